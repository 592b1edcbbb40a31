/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hit is not: fill a slot from the tables, walk, fill an entry. Slow next to cache.h, but
 * never wrong: what it decides on it has just read.
 *
 * Everything here runs inside the object's in-flight section.
 */
#include <sched.h>
#include <string.h>

#include "dma/cache.h"
#include "pasid/path.h"
#include "walk/nested.h"
#include "walk/walk.h"

#define NEED(a)                                                                              \
	(((a) & (VIOMMU_EXEC | VIOMMU_ZERO_LENGTH)) || !((a) & (VIOMMU_READ | VIOMMU_WRITE)) \
		 ? DENY_ALWAYS                                                               \
		 : ((a) & (VIOMMU_READ | VIOMMU_WRITE)) << (((a)&VIOMMU_PRIV) >> 2))
#define NEED_4(a)  NEED(a), NEED((a) + 1), NEED((a) + 2), NEED((a) + 3)
#define NEED_16(a) NEED_4(a), NEED_4((a) + 4), NEED_4((a) + 8), NEED_4((a) + 12)

const uint8_t viommu__dma_need[NEED_MAX + 1] = { NEED_16(0), NEED_16(16), NEED_16(32),
						 NEED_16(48) };

static uint32_t tag_new(struct viommu_dma *dma)
{
	if (dma->next_tag == TAG_LAST) {
		/* All tags were used: nothing old may meet them again. */
		memset(dma->slot, 0, sizeof(dma->slot));
		memset(dma->domain, 0, sizeof(dma->domain));
		memset(dma->tlb, 0, sizeof(dma->tlb));
		memset(dma->tlb_2m, 0, sizeof(dma->tlb_2m));
		memset(dma->gpa_4k, 0, sizeof(dma->gpa_4k));
		memset(dma->gpa_2m, 0, sizeof(dma->gpa_2m));
		memset(dma->table_1, 0, sizeof(dma->table_1));
		memset(dma->table_2, 0, sizeof(dma->table_2));
		dma->next_tag = 0;
	}
	return (uint32_t)++dma->next_tag; /* 0 is the tag of empty entries */
}

/*
 * The tag of a domain's guest physical addresses; sum: of its and the host's generation, read
 * before anything is walked.
 */
static uint32_t domain_tag(struct viommu_dma *dma, uint32_t did, uint64_t sum)
{
	struct domain_slot *d = &dma->domain[did % DOMAINS];
	uint32_t tag;

	if (d->did == did && d->sum == sum)
		return d->tag;
	tag = tag_new(dma);
	*d = (struct domain_slot){ .sum = sum, .did = did, .tag = tag };
	return tag;
}

int viommu__dma_fault(struct viommu_dma *dma, const struct viommu_fault *from,
		      const struct viommu_device *dev, uint32_t pasid, uint32_t access,
		      uint64_t addr)
{
	struct viommu_fault *fault = &dma->fault;

	*fault = *from;
	fault->sid = dev->sid;
	fault->pasid = pasid;
	fault->access = (uint8_t)access;
	fault->addr = addr;
	/* A sub-device's request without PASID went with one: that is the host's business. */
	fault->flags &= (uint8_t)~VIOMMU_FAULT_HAS_PASID;
	if (pasid != VIOMMU_NO_PASID)
		fault->flags |= VIOMMU_FAULT_HAS_PASID;
	return VIOMMU_FAULTED;
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
		struct record *rec = viommu__record(dev, viommu__entry_of(dev, pasid));

		out->host_gen = load_acquire(&dma->host->gen.v);
		out->rec = rec;
		gen = rec ? load_acquire(&rec->gen) : 0;
		if (gen & 1) {
			sched_yield();
			continue;
		}
		ret = viommu__device_path(dev, &req, rec && load_relaxed(&rec->sub) != dev->sub,
					  NULL, &out->path);
		if (rec) {
			out->dom = load_relaxed(&rec->dom);
			out->ext = load_relaxed(&rec->ext);
			fence_acquire();
			if (load_relaxed(&rec->gen) != gen)
				continue;
		} else if (ret == 0 && !out->path.interrupt && !out->path.zero_read) {
			continue; /* its table was made while we looked */
		}
		out->rec_gen = gen;
		return ret;
	}
}

static int slot_fill(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct slot *slot)
{
	struct viommu__path_snapshot snap;
	struct slot_more *more = &dma->more[slot - dma->slot];
	uint64_t changes = slot_changes(dma), sum;
	const struct viommu_stage *fs;
	int ret;

	slot->key = 0;
	slot->dev = NULL;
	ret = viommu__dma_path(dma, dev, pasid, addr, access, VIOMMU_REQ_UNTRANSLATED, &snap);
	if (ret)
		return ret == VIOMMU_FAULTED
			       ? viommu__dma_fault(dma, &snap.path.fault, dev, pasid, access, addr)
			       : ret;
	/* Before the slot is filled: tag_new() may sweep it. Both tags are from the same sweep. */
	if (dma->next_tag + 2 > TAG_LAST)
		dma->next_tag = TAG_LAST;
	slot->tag = tag_new(dma);
	slot->dom = snap.dom;
	slot->did = snap.dom->did;
	slot->fpd = snap.path.fpd;
	more->ext = snap.ext;
	slot->seq = dma->marker.seq;
	sum = snap.host_gen + load_acquire(&dma->host->gens[slot->did].v);
	more->sum = sum + snap.rec_gen;
	slot->changes = changes;
	more->gpa_tag = domain_tag(dma, snap.dom->did, sum);
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
	slot->key = slot_key(dev, pasid);
	slot->dev = dev;
	slot->pasid = pasid;
	return 0;
}

static inline struct viommu_stage slot_fs(const struct viommu_dma *dma, const struct slot *slot)
{
	return (struct viommu_stage){
		.format = VIOMMU_FORMAT_VTD_FS,
		.levels = slot->fs_levels,
		.haw = dma->host->unit.haw,
		.flags = slot->fs_flags,
		.root = slot->fs_root,
	};
}

int viommu__dma_walk(struct viommu_dma *dma, struct slot *slot, uint64_t addr, uint32_t access,
		     struct viommu_walk_result *wr)
{
	const struct slot_more *more = &dma->more[slot - dma->slot];
	const struct viommu_stage fs = slot_fs(dma, slot);
	int ret;

	dma->stats.walks++;
	ret = viommu__bind_walk(slot->dom, more->ext, slot->fs_levels ? &fs : NULL,
				(slot->kind & ~SLOT_LARGE) == SLOT_HOST, addr, access, 0, NULL, wr);
	dma->stats.reads += wr->reads;
	if (ret == VIOMMU_FAULTED && slot->fpd)
		viommu__fault_fpd(&wr->fault);
	return ret;
}

/*
 * Where an entry with this tag goes: over one with the same tag (set_find() wants no two), else
 * over the next in turn.
 */
static inline void set_put(struct viommu_dma *dma, struct set *set, uint64_t tag, uint64_t val)
{
	unsigned int way = dma->victim++ % WAYS, i;

	for (i = 0; i < WAYS; i++)
		way = set->tag[i] == tag ? i : way;
	set->tag[way] = tag;
	set->val[way] = val;
}

static inline void tlb_fill(struct viommu_dma *dma, struct slot *slot, uint32_t pasid,
			    uint64_t addr, uint64_t host, unsigned int page_lg2, uint8_t perm)
{
	uint64_t tag;

	if (unlikely(!cacheable(addr)))
		return;
	/* Interrupt messages are never translated, so no entry may cover them. */
	if (unlikely(pasid == VIOMMU_NO_PASID &&
		     align_down(addr, BIT64(21)) == align_down(VTD_WINDOW_BASE, BIT64(21))))
		return;
	if (page_lg2 >= 21) {
		slot->kind |= SLOT_LARGE;
		tag = tag_2m(addr, slot->tag);
		set_put(dma, set_2m(dma, tag), tag, align_down(host, BIT64(21)) | DENY(perm));
	} else {
		tag = tag_4k(addr, slot->tag);
		set_put(dma, set_4k(dma, tag), tag, align_down(host, 4096) | DENY(perm));
	}
}

/* ---- Nested, by caches ---- */

struct nested {
	struct viommu_dma *dma;
	const struct slot *slot;
	const struct viommu_stage *ss;
	uint32_t gpa_tag;
	/* Tables met on the way down, to be kept if the walk ends well. */
	uint64_t table[3];
};

/*
 * What a table entry's permissions amount to so far: RW and US, in the low bits of the table's
 * address.
 */
#define CUM_BITS (VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US))

static inline struct pair *gpa_pair(struct viommu_dma *dma, uint64_t gpa, unsigned int page_lg2)
{
	if (page_lg2 >= 21)
		return &dma->gpa_2m[(gpa >> 21 ^ gpa >> 27) % GPAS_2M];
	return &dma->gpa_4k[(gpa >> 12 ^ gpa >> 19) % GPAS_4K];
}

/* From the caches alone. */
static VIOMMU__INLINE bool resolve_cached(void *ctx, uint64_t gpa, unsigned int want,
					  struct viommu__hit *hit)
{
	struct nested *n = ctx;
	unsigned int need = viommu__own_need(n->ss, want);
	struct pair *p = gpa_pair(n->dma, gpa, 21);

	if (likely(p->tag == tag_2m(gpa, n->gpa_tag) && !(need & ~p->val))) {
		hit->addr = (p->val & ~MASK64(20, 0)) | (gpa & MASK64(20, 0));
		hit->page_lg2 = 21;
		hit->perm = p->val & PERM_MASK;
		return true;
	}
	p = gpa_pair(n->dma, gpa, 12);
	if (likely(p->tag == tag_4k(gpa, n->gpa_tag) && !(need & ~p->val))) {
		hit->addr = (p->val & ~MASK64(11, 0)) | (gpa & MASK64(11, 0));
		hit->page_lg2 = 12;
		hit->perm = p->val & PERM_MASK;
		return true;
	}
	return false;
}

static VIOMMU__INLINE bool nested_resolve(void *ctx, uint64_t gpa, unsigned int want,
					  struct viommu__hit *hit)
{
	struct nested *n = ctx;
	struct pair *p;

	if (likely(resolve_cached(ctx, gpa, want, hit)))
		return true;
	if (unlikely(!cacheable(gpa) || !viommu__walk_own(n->ss, gpa, want, hit)))
		return false;
	p = gpa_pair(n->dma, gpa, hit->page_lg2);
	if (hit->page_lg2 >= 21)
		*p = (struct pair){ tag_2m(gpa, n->gpa_tag),
				    align_down(hit->addr, BIT64(21)) | hit->perm };
	else
		*p = (struct pair){ tag_4k(gpa, n->gpa_tag),
				    align_down(hit->addr, 4096) | hit->perm };
	return true;
}

static VIOMMU__INLINE void nested_note(void *ctx, unsigned int level, const uint64_t *table,
				       uint64_t cum)
{
	struct nested *n = ctx;

	if (level <= 2)
		n->table[level] = (uintptr_t)table | (cum & CUM_BITS);
}

static inline struct pair *table_1(struct viommu_dma *dma, uint64_t gva, uint32_t tag)
{
	return &dma->table_1[(gva >> 21 ^ gva >> 29 ^ tag) % TABLES_1];
}

static inline struct pair *table_2(struct viommu_dma *dma, uint64_t gva, uint32_t tag)
{
	return &dma->table_2[(gva >> 30 ^ tag) % TABLES_2];
}

/*
 * True: *hit says all. False: the walker has to look (a fault, a bit to set), or it is no case for
 * the caches.
 */
static inline bool nested_walk(struct viommu_dma *dma, const struct slot *slot, uint64_t gva,
			       unsigned int want, struct viommu__hit *hit)
{
	const struct viommu_stage fs = slot_fs(dma, slot);
	struct nested n = {
		.dma = dma,
		.slot = slot,
		.ss = &slot->dom->stage,
		.gpa_tag = dma->more[slot - dma->slot].gpa_tag,
	};
	struct pair *p1 = table_1(dma, gva, slot->tag), *p2;
	bool ok;

	hit->reads = 0;
	if (likely(p1->tag == tag_2m(gva, slot->tag)))
		return viommu__walk_nested_from(&fs, gva, want, 1,
						(const uint64_t *)(uintptr_t)(p1->val & ~CUM_BITS),
						~CUM_BITS | p1->val, nested_resolve, nested_note,
						&n, hit);
	p2 = table_2(dma, gva, slot->tag);
	if (p2->tag == tag_1g(gva, slot->tag))
		ok = viommu__walk_nested_from(&fs, gva, want, 2,
					      (const uint64_t *)(uintptr_t)(p2->val & ~CUM_BITS),
					      ~CUM_BITS | p2->val, nested_resolve, nested_note, &n,
					      hit);
	else
		ok = viommu__walk_nested(&fs, gva, want, nested_resolve, nested_note, &n, hit);
	if (ok && n.table[1])
		*p1 = (struct pair){ tag_2m(gva, slot->tag), n.table[1] };
	if (ok && n.table[2])
		*p2 = (struct pair){ tag_1g(gva, slot->tag), n.table[2] };
	return ok;
}

/* Does it stand for them, and has nothing of it been invalidated before this section? */
static inline bool slot_good(const struct viommu_dma *dma, struct slot *slot,
			     struct viommu_device *dev, uint32_t pasid)
{
	if (unlikely(slot->key != slot_key(dev, pasid)))
		return false;
	if (slot->seq != dma->marker.seq) {
		const struct slot_more *more = &dma->more[slot - dma->slot];
		uint64_t changes = slot_changes(dma);

		if (unlikely(slot->changes != changes || changes == CHANGES_NEVER) &&
		    unlikely(gen_sum(dma->host, slot, dev, pasid) != more->sum))
			return false;
		slot->changes = changes;
		slot->seq = dma->marker.seq;
	}
	return true;
}

int viommu__dma_slot(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct slot **out)
{
	struct slot *slot = slot_of(dma, dev, pasid);

	/*
	 * What the path alone can judge it judges each time; the slot holds the answer for plain
	 * requests.
	 */
	if (!slot_good(dma, slot, dev, pasid) || (access & VIOMMU_EXEC) ||
	    (access & VIOMMU_PRIV && slot->fs_levels && !(slot->fs_flags & VIOMMU_STAGE_SRE))) {
		int ret = slot_fill(dma, dev, pasid, addr, access, slot);

		if (ret)
			return ret;
	}
	*out = slot;
	return 0;
}

static inline bool hit(uint64_t val, uint8_t need, uint64_t page, uint64_t addr,
		       struct viommu_dma_span *out)
{
	if (val & need)
		return false;
	out->host = (void *)(uintptr_t)((val & ~(page - 1)) | (addr & (page - 1)));
	out->bytes = page - (addr & (page - 1));
	return true;
}

/*
 * What dma_translate() does not look for, in a slot that is good: other kinds of access, the first
 * access of a section, large pages.
 */
static inline bool second_hit(struct viommu_dma *dma, const struct slot *slot, uint64_t addr,
			      uint32_t access, bool small, struct viommu_dma_span *out)
{
	uint8_t need = viommu__dma_need[access];
	uint64_t tag;

	if (slot->kind & SLOT_LARGE) {
		tag = tag_2m(addr, slot->tag);
		if (hit(set_find(set_2m(dma, tag), tag), need, BIT64(21), addr, out))
			return true;
	}
	if (!small)
		return false;
	tag = tag_4k(addr, slot->tag);
	return hit(set_find(set_4k(dma, tag), tag), need, 4096, addr, out);
}

static inline bool nested_miss(struct viommu_dma *dma, struct slot *slot, uint32_t pasid,
			       uint64_t addr, uint32_t access, struct viommu_dma_span *out)
{
	struct viommu__hit h;

	if (!nested_walk(dma, slot, addr, viommu__walk_want(access), &h))
		return false;
	dma->stats.reads += h.reads;
	tlb_fill(dma, slot, pasid, addr, h.addr, h.page_lg2, h.perm);
	out->host = (void *)(uintptr_t)h.addr;
	out->bytes = BIT64(h.page_lg2) - (addr & (BIT64(h.page_lg2) - 1));
	return true;
}

/* A large page may reach from below into the window: the span does not. */
static inline void window_cut(uint32_t pasid, uint64_t addr, struct viommu_dma_span *out)
{
	if (unlikely(pasid == VIOMMU_NO_PASID && addr < VTD_WINDOW_BASE &&
		     out->bytes > VTD_WINDOW_BASE - addr))
		out->bytes = VTD_WINDOW_BASE - addr;
}

/* No cache had it, or it is nothing for them: by the tables. */
static __attribute__((noinline)) int miss_slow(struct viommu_dma *dma, struct viommu_device *dev,
					       uint32_t pasid, uint64_t addr, uint32_t access,
					       struct viommu_dma_span *out)
{
	struct viommu_walk_result wr;
	struct slot *slot;
	int ret;

	if (pasid > VIOMMU_PASID_MAX && pasid != VIOMMU_NO_PASID)
		return -EINVAL;
	if (access & ~(VIOMMU_READ | VIOMMU_WRITE | VIOMMU_EXEC | VIOMMU_PRIV | VIOMMU_ATOMIC |
		       VIOMMU_ZERO_LENGTH) ||
	    (pasid == VIOMMU_NO_PASID && (access & VIOMMU_PRIV)) ||
	    !(access & (VIOMMU_READ | VIOMMU_WRITE | VIOMMU_EXEC | VIOMMU_ZERO_LENGTH)))
		return -EINVAL;
	dma->stats.misses++;
	if (unlikely(pasid == VIOMMU_NO_PASID && viommu__path_in_window(addr))) {
		struct viommu__path_snapshot snap;

		ret = viommu__dma_path(dma, dev, pasid, addr, access, VIOMMU_REQ_UNTRANSLATED,
				       &snap);
		if (ret == VIOMMU_FAULTED)
			viommu__dma_fault(dma, &snap.path.fault, dev, pasid, access, addr);
		/* An interrupt message or a zero-length read: there is no memory behind it. */
		out->host = NULL;
		out->bytes = 0;
		return ret;
	}
	ret = viommu__dma_slot(dma, dev, pasid, addr, access, &slot);
	if (ret)
		return ret;
	if ((slot->kind & ~SLOT_LARGE) == SLOT_NESTED && cacheable(addr) &&
	    !(access & VIOMMU_ZERO_LENGTH) && nested_miss(dma, slot, pasid, addr, access, out)) {
		window_cut(pasid, addr, out);
		return 0;
	}
	ret = viommu__dma_walk(dma, slot, addr, access, &wr);
	if (ret)
		return viommu__dma_fault(dma, &wr.fault, dev, pasid, access, addr);
	if (slot->fs_levels && !(slot->fs_flags & VIOMMU_STAGE_SRE))
		wr.perm &= (uint8_t) ~(VIOMMU_PERM_SR | VIOMMU_PERM_SW);
	tlb_fill(dma, slot, pasid, addr, (uintptr_t)wr.host, wr.page_lg2, wr.perm);
	out->host = wr.host;
	out->bytes = BIT64(wr.page_lg2) - (addr & (BIT64(wr.page_lg2) - 1));
	window_cut(pasid, addr, out);
	return 0;
}

/* Not the usual miss: see viommu__dma_miss(). */
static __attribute__((noinline)) int miss_general(struct viommu_dma *dma, struct viommu_device *dev,
						  uint32_t pasid, uint64_t addr, uint32_t access,
						  struct viommu_dma_span *out)
{
	struct slot *slot = slot_find(dma, dev, pasid);
	bool plain = access - 1 <= (VIOMMU_READ | VIOMMU_WRITE) - 1;
	bool looked = plain && slot->seq == dma->marker.seq;

	if (unlikely(!slot_good(dma, slot, dev, pasid) || !cacheable(addr) || access > NEED_MAX))
		return miss_slow(dma, dev, pasid, addr, access, out);
	if (second_hit(dma, slot, addr, access, !looked, out))
		return 0;
	if (likely(plain && (slot->kind & ~SLOT_LARGE) == SLOT_NESTED &&
		   pasid != VIOMMU_NO_PASID) &&
	    likely(nested_miss(dma, slot, pasid, addr, access, out))) {
		dma->stats.misses++;
		return 0;
	}
	return miss_slow(dma, dev, pasid, addr, access, out);
}

static VIOMMU__INLINE void note_nothing(void *ctx, unsigned int level, const uint64_t *table,
					uint64_t cum)
{
	(void)ctx;
	(void)level;
	(void)table;
	(void)cum;
}

/*
 * The usual miss: another small page of a process whose last-level table and guest physical page
 * are cached. One entry is read.
 */
int viommu__dma_miss(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		     uint64_t addr, uint32_t access, struct viommu_dma_span *out)
{
	struct slot *slot = dma->last;
	struct viommu__hit h;
	struct nested n;
	struct pair *p;
	uint64_t tag;

	if (unlikely(slot->key != slot_key(dev, pasid) || slot->seq != dma->marker.seq ||
		     slot->kind != SLOT_NESTED || pasid == VIOMMU_NO_PASID ||
		     access - 1 > (VIOMMU_READ | VIOMMU_WRITE) - 1 || !cacheable(addr)))
		goto general;
	p = table_1(dma, addr, slot->tag);
	if (unlikely(p->tag != tag_2m(addr, slot->tag)))
		goto general;
	h.reads = 0;
	n.dma = dma;
	n.ss = &slot->dom->stage;
	n.gpa_tag = dma->more[slot - dma->slot].gpa_tag;
	{
		const struct viommu_stage fs = slot_fs(dma, slot);

		if (unlikely(!viommu__walk_nested_from(
			    &fs, addr, access, 1, (const uint64_t *)(uintptr_t)(p->val & ~CUM_BITS),
			    ~CUM_BITS | p->val, resolve_cached, note_nothing, &n, &h)))
			goto general;
	}
	dma->stats.misses++;
	dma->stats.reads++;
	tag = tag_4k(addr, slot->tag);
	set_put(dma, set_4k(dma, tag), tag, align_down(h.addr, 4096) | DENY(h.perm));
	out->host = (void *)(uintptr_t)h.addr;
	out->bytes = 4096 - (addr & 4095);
	return 0;
general:
	return miss_general(dma, dev, pasid, addr, access, out);
}

/* ---- Batches ---- */

/* How far an operation is known: the entry that its translation reads next. */
struct ahead {
	const uint64_t *entry;
	struct slot *slot; /* NULL: nothing to be had in advance */
	uint32_t level;
};

/* Where it begins: at the lowest table that is cached, unless the page itself is. */
static inline struct ahead ahead_begin(struct viommu_dma *dma, const struct viommu_dma_op *op)
{
	struct slot *slot = slot_find(dma, op->dev, op->pasid);
	struct ahead a = { .level = 1 };
	struct pair *p;
	uint64_t tag;

	if (unlikely(!slot_good(dma, slot, op->dev, op->pasid) ||
		     (slot->kind & ~SLOT_LARGE) != SLOT_NESTED || !cacheable(op->addr) ||
		     (op->flags & (VIOMMU_PRIV | VIOMMU_EXEC | VIOMMU_DMA_ATS))))
		return a;
	a.slot = slot;
	tag = tag_4k(op->addr, slot->tag);
	if (!(set_find(set_4k(dma, tag), tag) & VIOMMU_PERM_R))
		return a;
	p = table_1(dma, op->addr, slot->tag);
	if (p->tag != tag_2m(op->addr, slot->tag)) {
		p = table_2(dma, op->addr, slot->tag);
		a.level = 2;
		if (p->tag != tag_1g(op->addr, slot->tag))
			return a;
	}
	a.entry = (const uint64_t *)(uintptr_t)(p->val & ~CUM_BITS) +
		  (op->addr >> (12 + 9 * (a.level - 1)) & 511);
	__builtin_prefetch(a.entry);
	return a;
}

/* From the table above the last to the last; what the entry says is only a guess where to look. */
static inline void ahead_down(struct viommu_dma *dma, const struct ahead *a, uint64_t addr)
{
	struct nested n = {
		.dma = dma,
		.slot = a->slot,
		.ss = &a->slot->dom->stage,
		.gpa_tag = dma->more[a->slot - dma->slot].gpa_tag,
	};
	uint64_t e = load_acquire(a->entry);
	struct viommu__hit h;

	if ((e & VTD_MASK(VTD_FS_P)) && !(e & VTD_MASK(VTD_FS_PS)) &&
	    nested_resolve(&n, e & VTD_MASK(VTD_FS_ADDR), VIOMMU__WANT_R | VIOMMU__WANT_TABLE, &h))
		__builtin_prefetch((const uint64_t *)(uintptr_t)h.addr + (addr >> 12 & 511));
}

void viommu__dma_prefetch(struct viommu_dma *dma, const struct viommu_dma_op *ops, size_t nr)
{
	struct ahead ahead[BATCH_GROUP];
	struct viommu_dma_span span;
	size_t i;

	viommu__marker_enter(&dma->marker);
	for (i = 0; i < nr; i++)
		ahead[i] = ahead_begin(dma, &ops[i]);
	for (i = 0; i < nr; i++)
		if (ahead[i].entry && ahead[i].level == 2)
			ahead_down(dma, &ahead[i], ops[i].addr);
	/* A fault comes up again where the operation is done. */
	for (i = 0; i < nr; i++)
		if (ahead[i].slot &&
		    !dma_translate(dma, ops[i].dev, ops[i].pasid, ops[i].addr,
				   ops[i].kind == VIOMMU_DMA_READ ? VIOMMU_READ : VIOMMU_WRITE,
				   &span))
			__builtin_prefetch(span.host);
	viommu__marker_leave(&dma->marker);
}
