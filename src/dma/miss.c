/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hit is not: fill a slot from the tables, walk, fill an entry. Slow next to cache.h, but never wrong: what it decides on
 * it has just read.
 *
 * Everything here runs inside the object's in-flight section.
 */
#include <sched.h>
#include <string.h>

#include "dma/cache.h"
#include "pasid/path.h"
#include "walk/walk.h"

#define WINDOW_FIRST UINT64_C(0xfee00000)
#define WINDOW_LAST  UINT64_C(0xfeefffff)

static uint32_t tag_new(struct viommu_dma *dma)
{
	if (dma->next_tag == TAG_LAST) {
		/* All tags were used: nothing old may meet them again. */
		memset(dma->slot, 0, sizeof(dma->slot));
		memset(dma->tlb, 0, sizeof(dma->tlb));
		memset(dma->tlb_2m, 0, sizeof(dma->tlb_2m));
		dma->next_tag = 0;
	}
	return (uint32_t)++dma->next_tag; /* 0 is the tag of empty entries */
}

static bool in_window(uint64_t addr)
{
	return addr >= WINDOW_FIRST && addr <= WINDOW_LAST;
}

static void fault_from(struct viommu_fault *fault, const struct viommu_fault *f,
		       const struct viommu_device *dev, uint32_t pasid, uint32_t access,
		       uint64_t addr, uint8_t fpd)
{
	if (!fault)
		return;
	*fault = *f;
	fault->sid = dev->sid;
	fault->pasid = pasid;
	fault->access = (uint8_t)access;
	fault->addr = addr;
	if (pasid != VIOMMU_NO_PASID)
		fault->flags |= VIOMMU_FAULT_HAS_PASID;
	if (fpd)
		fault->flags |= VIOMMU_FAULT_FPD;
}

int viommu__dma_path(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, uint8_t request,
		     struct viommu__path_snapshot *out)
{
	const struct viommu_path_request req = {
		.sid = dev->sid,
		.request = request,
		.pasid = pasid,
		.access = access,
		.addr = addr,
	};
	uint64_t gen;
	int ret;

	for (;;) {
		struct record *rec = viommu__record(dev, pasid == VIOMMU_NO_PASID ? 0 : pasid);

		out->host_gen = load_acquire(&dma->host->gen.v);
		out->rec = rec;
		gen = rec ? load_acquire(&rec->gen) : 0;
		if (gen & 1) {
			sched_yield();
			continue;
		}
		ret = viommu__path_lookup_own(&dma->host->unit, &req, NULL, &out->path);
		if (rec) {
			out->dom = load_relaxed(&rec->dom);
			out->ext = load_relaxed(&rec->ext);
			fence_acquire();
			if (load_relaxed(&rec->gen) != gen)
				continue;
		} else if (ret == 0) {
			continue; /* its table was made while we looked */
		}
		out->rec_gen = gen;
		return ret;
	}
}

static int slot_fill(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct slot *slot, struct viommu_fault *fault)
{
	struct viommu__path_snapshot snap;
	const struct viommu_stage *fs;
	int ret;

	slot->key = 0;
	ret = viommu__dma_path(dma, dev, pasid, addr, access, VIOMMU_REQ_UNTRANSLATED, &snap);
	if (ret) {
		if (ret == VIOMMU_FAULTED)
			fault_from(fault, &snap.path.fault, dev, pasid, access, addr, 0);
		return ret;
	}
	slot->gen_record = &snap.rec->gen;
	slot->gen_domain = &dma->host->gens[snap.dom->did].v;
	slot->dom = snap.dom;
	slot->ext = snap.ext;
	slot->sum = snap.host_gen + load_acquire(slot->gen_domain) + snap.rec_gen;
	slot->tag = tag_new(dma);
	slot->fs_root = 0;
	slot->fs_flags = 0;
	slot->fs_levels = 0;
	fs = &snap.path.stack.stage[0];
	switch (snap.path.pgtt) {
	case VTD_PGTT_NESTED:
	case VTD_PGTT_FS:
		slot->kind = snap.path.pgtt == VTD_PGTT_NESTED ? SLOT_NESTED : SLOT_HOST;
		slot->fs_root = fs->root;
		slot->fs_flags = (uint16_t)fs->flags;
		slot->fs_levels = fs->levels;
		break;
	case VTD_PGTT_SS:
		slot->kind = SLOT_STACK;
		break;
	default:
		slot->kind = SLOT_HOST;
		break;
	}
	/* Last: tag_new() may have swept it. */
	slot->key = slot_key(dev, pasid);
	return 0;
}

/* The stages of a slot as a stack. */
static void slot_stack(const struct viommu_dma *dma, const struct slot *slot,
		       struct viommu_stack *stack)
{
	uint8_t haw = dma->host->unit.haw;
	struct viommu_stage *st = stack->stage;

	stack->haw = 0;
	stack->mem = slot->dom->mem;
	if (slot->ext) {
		memcpy(st, slot->ext->stage, slot->ext->nr * sizeof(*st));
		st += slot->ext->nr;
	} else if (slot->fs_levels) {
		*st++ = (struct viommu_stage){
			.format = VIOMMU_FORMAT_VTD_FS,
			.levels = slot->fs_levels,
			.haw = haw,
			.flags = slot->fs_flags,
			.root = slot->fs_root,
		};
	}
	if (slot->kind == SLOT_HOST) {
		if (slot->fs_levels)
			st[-1].flags |= VIOMMU__STAGE_OWN;
	} else {
		viommu_domain_stage(slot->dom, st, NULL);
		st->flags |= VIOMMU__STAGE_OWN;
		st++;
	}
	stack->nr = (uint32_t)(st - stack->stage);
}

/*
 * Where an HPA lies that no second stage of ours vouches for. The page of lg2 bits must lie whole in a region, else it is cut down.
 */
static int host_output(struct slot *slot, uint64_t addr, struct viommu_walk_result *wr)
{
	void *page;
	bool write;

	for (;; wr->page_lg2 = wr->page_lg2 > 21 ? 21 : 12) {
		page = (void *)(uintptr_t)align_down(wr->out, BIT64(wr->page_lg2));
		if (viommu__mem_has_host(slot->dom->mem, page, BIT64(wr->page_lg2), &write))
			break;
		if (wr->page_lg2 == 12)
			return -1;
	}
	wr->host = (void *)(uintptr_t)wr->out;
	if (!write)
		wr->perm &= (uint8_t) ~(VIOMMU_PERM_W | VIOMMU_PERM_SW);
	(void)addr;
	return 0;
}

static int walk_host(struct viommu_dma *dma, struct slot *slot, uint64_t addr, uint32_t access,
		     struct viommu_walk_result *wr)
{
	unsigned int token = viommu__mem_enter(slot->dom->mem);
	struct viommu_stack stack;
	int ret = 0;

	slot_stack(dma, slot, &stack);
	if (stack.nr) {
		ret = viommu__walk(&stack, addr, access, 0, NULL, wr);
	} else {
		memset(wr, 0, sizeof(*wr));
		wr->out = addr;
		wr->page_lg2 = 30;
		wr->perm = PERM_MASK;
	}
	if (!ret && (host_output(slot, addr, wr) || (need_of(access) & ~(uint64_t)wr->perm))) {
		/* choice: memory that is not there, or not to be written, is an address beyond the host's width. */
		wr->fault = (struct viommu_fault){
			.reason = VTD_FR_PT_BEYOND_HAW,
			.stage = (uint8_t)(stack.nr ? stack.nr - 1 : 0),
			.stage_addr = wr->out,
		};
		ret = VIOMMU_FAULTED;
	}
	viommu__mem_leave(slot->dom->mem, token);
	return ret;
}

int viommu__dma_walk(struct viommu_dma *dma, struct slot *slot, uint64_t addr, uint32_t access,
		     struct viommu_walk_result *wr)
{
	struct viommu_stack stack;
	int ret;

	dma->stats.walks++;
	if (slot->kind == SLOT_HOST) {
		ret = walk_host(dma, slot, addr, access, wr);
	} else {
		slot_stack(dma, slot, &stack);
		ret = viommu__walk(&stack, addr, access, 0, NULL, wr);
	}
	dma->stats.reads += wr->reads;
	return ret;
}

static void set_put(struct viommu_dma *dma, struct set *set, uint64_t tag, uint64_t val)
{
	unsigned int i, way = WAYS;

	/* The same tag again (more permissions now), else an empty way, else the next in turn. */
	for (i = 0; i < WAYS; i++) {
		if (set->tag[i] == tag)
			break;
		if (!set->tag[i] && way == WAYS)
			way = i;
	}
	if (i < WAYS)
		way = i;
	else if (way == WAYS)
		way = dma->victim++ % WAYS;
	set->tag[way] = tag;
	set->val[way] = val;
}

static void tlb_fill(struct viommu_dma *dma, const struct slot *slot, uint32_t pasid, uint64_t addr,
		     const struct viommu_walk_result *wr)
{
	uint64_t host = (uintptr_t)wr->host;

	if (!cacheable(addr))
		return;
	/* Interrupt messages are never translated, so no entry may cover them. */
	if (pasid == VIOMMU_NO_PASID &&
	    align_down(addr, BIT64(21)) == align_down(WINDOW_FIRST, BIT64(21)))
		return;
	if (wr->page_lg2 >= 21)
		set_put(dma, set_2m(dma, addr, slot->tag), tag_2m(addr, slot->tag),
			align_down(host, BIT64(21)) | wr->perm);
	else
		set_put(dma, set_4k(dma, addr, slot->tag), tag_4k(addr, slot->tag),
			align_down(host, 4096) | wr->perm);
}

int viommu__dma_slot(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct slot **out, struct viommu_fault *fault)
{
	uint64_t key = slot_key(dev, pasid);
	struct slot *slot = slot_of(dma, key);

	/* What the path alone can judge it judges each time; the slot holds the answer for plain requests. */
	if (slot->key != key || gen_sum(dma->host, slot) != slot->sum || (access & VIOMMU_EXEC) ||
	    (access & VIOMMU_PRIV && slot->fs_levels && !(slot->fs_flags & VIOMMU_STAGE_SRE))) {
		int ret = slot_fill(dma, dev, pasid, addr, access, slot, fault);

		if (ret)
			return ret;
	}
	*out = slot;
	return 0;
}

int viommu__dma_miss(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct viommu_dma_span *out,
		     struct viommu_fault *fault)
{
	struct viommu_walk_result wr;
	struct slot *slot;
	int ret;

	if (pasid > VIOMMU_PASID_MAX && pasid != VIOMMU_NO_PASID)
		return -EINVAL;
	if (access & ~(VIOMMU_READ | VIOMMU_WRITE | VIOMMU_EXEC | VIOMMU_PRIV | VIOMMU_ATOMIC |
		       VIOMMU_ZERO_LENGTH) ||
	    (pasid == VIOMMU_NO_PASID && (access & VIOMMU_PRIV)))
		return -EINVAL;
	dma->stats.misses++;
	if (unlikely(pasid == VIOMMU_NO_PASID && in_window(addr))) {
		struct viommu__path_snapshot snap;

		ret = viommu__dma_path(dma, dev, pasid, addr, access, VIOMMU_REQ_UNTRANSLATED,
				       &snap);
		if (ret == VIOMMU_FAULTED)
			fault_from(fault, &snap.path.fault, dev, pasid, access, addr, 0);
		/* An interrupt message or a zero-length read: there is no memory behind it. */
		out->host = NULL;
		out->bytes = 0;
		return ret;
	}
	ret = viommu__dma_slot(dma, dev, pasid, addr, access, &slot, fault);
	if (ret)
		return ret;
	ret = viommu__dma_walk(dma, slot, addr, access, &wr);
	if (ret) {
		fault_from(fault, &wr.fault, dev, pasid, access, addr, 0);
		return ret;
	}
	if (slot->fs_levels && !(slot->fs_flags & VIOMMU_STAGE_SRE))
		wr.perm &= (uint8_t) ~(VIOMMU_PERM_SR | VIOMMU_PERM_SW);
	tlb_fill(dma, slot, pasid, addr, &wr);
	out->host = wr.host;
	out->bytes = BIT64(wr.page_lg2) - (addr & (BIT64(wr.page_lg2) - 1));
	return 0;
}
