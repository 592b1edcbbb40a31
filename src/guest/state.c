/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The unit saved and restored.
 *
 *	UNIT	capabilities (to compare), registers, root table as latched, queue, fault index
 *	UIRT	interrupt remapping as latched; only if it is announced
 *	UPAS	PASIDs that the host gave: guest PASID, host PASID, idle and given again
 *	UBND	binds: requester id, guest PASID
 *	UCNT	counts, for whoever inspects; optional
 *
 * choice: of binds only their names are saved. What they were made of is read from the guest's
 * tables again: a cache may drop an entry at any time (VTD-CM-04), so what the guest changed and
 * did not flush may count from now on, with caching mode, too; what it took away may be gone. A
 * bind whose entry is still there is made before the first access, not by a miss, so open page
 * requests of it find it.
 *
 * Nothing saved is trusted. Registers may hold what they can hold and nothing else (reserved bits
 * are 0), and what is latched beside them is checked for what the code that uses it relies on.
 */
#include "guest/state.h"
#include "guest/unit.h"

#define TAG_UNIT    VIOMMU__TAG('U', 'N', 'I', 'T')
#define TAG_INT     VIOMMU__TAG('U', 'I', 'R', 'T')
#define TAG_PASIDS  VIOMMU__TAG('U', 'P', 'A', 'S')
#define TAG_BINDS   VIOMMU__TAG('U', 'B', 'N', 'D')
#define TAG_COUNTS  VIOMMU__TAG('U', 'C', 'N', 'T')
#define REG_DWORDS  (VIOMMU_GUEST_REGISTERS / 4)
#define PASID_BYTES 9u /* of one of UPAS */
#define PASID_IDLE  1u
#define PASID_AGAIN 2u
#define BIND_BYTES  6u /* of one of UBND */

/* The counts of struct viommu_guest_stats: all that follows its size. */
#define COUNTS \
	((sizeof(struct viommu_guest_stats) - offsetof(struct viommu_guest_stats, descriptors)) / 8)

static struct viommu_owner *owner_of(const struct viommu_guest *g)
{
	return viommu_domain_owner(g->dom);
}

/* ---- Saving ---------------------------------------------------------------------------------- */

static void unit_save(const struct viommu_guest *g, struct viommu_state_out *out)
{
	unsigned int i;

	viommu__section_begin(out, TAG_UNIT, 1, 0);
	viommu_state_put_u32(out, g->unit.ver);
	viommu_state_put_u64(out, g->unit.cap);
	viommu_state_put_u64(out, g->unit.ecap);
	viommu_state_put_u8(out, g->unit.haw);
	viommu_state_put_u32(out, g->flags);
	for (i = 0; i < REG_DWORDS; i++)
		viommu_state_put_u32(out, g->reg[i]);
	viommu_state_put_u64(out, g->unit.rtaddr);
	viommu_state_put_u64(out, g->queue.base);
	viommu_state_put_u32(out, g->queue.bytes);
	viommu_state_put_u32(out, g->queue.width);
	viommu_state_put_u32(out, g->fault_index);
	viommu_state_put_u8(out, g->scan.active);
	viommu_state_put_u8(out, g->scan.rid_done);
	viommu_state_put_u32(out, g->scan.sid);
	viommu_state_put_u32(out, g->scan.gp);
	for (i = 0; i < ARRAY_SIZE(g->scan.desc); i++)
		viommu_state_put_u64(out, g->scan.desc[i]);
	viommu__section_end(out);
}

static void int_save(struct viommu_guest *g, struct viommu_state_out *out)
{
	if (!HAS_ECAP(g, IR))
		return;
	pthread_mutex_lock(&g->ir.lock);
	viommu__section_begin(out, TAG_INT, 1, 0);
	viommu_state_put_u64(out, g->ir.base);
	viommu_state_put_u32(out, g->ir.entries);
	viommu_state_put_u8(out, g->ir.x2apic);
	viommu__section_end(out);
	pthread_mutex_unlock(&g->ir.lock);
}

static uint8_t standing(const struct unit_held *page, uint32_t gp)
{
	const unsigned int w = gp % HELD_BITS / 64;

	return (page->idle[w] & BIT64(gp % 64) ? PASID_IDLE : 0) |
	       (page->again[w] & BIT64(gp % 64) ? PASID_AGAIN : 0);
}

static void pasids_save(struct viommu_guest *g, struct viommu_state_out *out)
{
	unsigned int i, j;

	viommu__section_begin(out, TAG_PASIDS, 1, 0);
	viommu_state_put_u32(out, g->reclaim);
	for (i = 0; i < ARRAY_SIZE(g->held); i++) {
		for (j = 0; g->held[i] && j < HELD_BITS / 64; j++) {
			uint64_t bits = g->held[i]->given[j];

			for (; bits; bits &= bits - 1) {
				uint32_t gp = i * HELD_BITS + j * 64 + lowest_bit(bits), hp;

				if (viommu__bind_hp_find(g, gp, &hp))
					continue;
				viommu_state_put_u32(out, gp);
				viommu_state_put_u32(out, hp);
				viommu_state_put_u8(out, standing(g->held[i], gp));
			}
		}
	}
	viommu__section_end(out);
}

static void binds_save(struct viommu_guest *g, struct viommu_state_out *out)
{
	struct unit_device *d;
	struct shadow *s;
	uint32_t gp;

	viommu__section_begin(out, TAG_BINDS, 1, 0);
	list_for_each_entry(d, &g->devices, link) {
		for (gp = 0; (s = viommu__shadow_next(d, gp)); gp = s->gp + 1) {
			viommu_state_put_u16(out, d->sid);
			viommu_state_put_u32(out, s->gp);
		}
	}
	viommu__section_end(out);
}

static void counts_save(struct viommu_guest *g, struct viommu_state_out *out)
{
	const uint64_t *count = &g->stats.descriptors[0];
	size_t i;

	pthread_mutex_lock(&g->ir.lock);
	g->stats.interrupts_remapped = g->ir.remapped;
	g->stats.interrupts_passed = g->ir.passed;
	g->stats.interrupts_blocked = g->ir.blocked;
	g->stats.interrupt_hits = g->ir.hits;
	pthread_mutex_unlock(&g->ir.lock);
	viommu__section_begin(out, TAG_COUNTS, 1, VIOMMU__SECTION_OPTIONAL);
	for (i = 0; i < COUNTS; i++)
		viommu_state_put_u64(out, count[i]);
	viommu__section_end(out);
}

void viommu__guest_save(struct viommu_guest *g, struct viommu_state_out *out)
{
	pthread_mutex_lock(&g->lock);
	/* What a wait descriptor that is still to come would have waited for. */
	viommu__inv_drain(g);
	unit_save(g, out);
	int_save(g, out);
	pasids_save(g, out);
	binds_save(g, out);
	counts_save(g, out);
	pthread_mutex_unlock(&g->lock);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

struct unit_loaded {
	uint32_t reg[REG_DWORDS];
	uint64_t rtaddr;
	struct unit_queue queue;
	struct unit_scan scan;
	uint32_t fault_index;
};

/* Capabilities and their like are configuration: who loads has to have them. */
static void same(struct viommu_state_in *in, const char *what, uint64_t saved, uint64_t has)
{
	if (saved != has)
		viommu_state_refuse(in, "saved with %s %llxh, has %llxh", what,
				    (unsigned long long)saved, (unsigned long long)has);
}

/* Bits that GSTS can ever have here. */
static uint32_t gsts_bits(const struct viommu_guest *g)
{
	return (uint32_t)(VTD_MASK(VTD_GSTS_TES) | VTD_MASK(VTD_GSTS_RTPS) |
			  VTD_MASK(VTD_GSTS_IRTPS) |
			  (HAS_ECAP(g, QI) ? VTD_MASK(VTD_GSTS_QIES) : 0) |
			  (HAS_ECAP(g, IR) ? VTD_MASK(VTD_GSTS_IRES) | VTD_MASK(VTD_GSTS_CFIS)
					   : 0));
}

static void queue_check(const struct viommu_guest *g, struct unit_loaded *u,
			struct viommu_state_in *in)
{
	struct unit_queue *q = &u->queue;
	bool on = u->reg[VTD_REG_GSTS / 4] & VTD_MASK(VTD_GSTS_QIES);

	(void)g;
	q->head = u->reg[VTD_REG_IQH / 4];
	if (!q->bytes && !q->width && !q->base && !q->head && !on)
		return; /* never enabled */
	if ((q->width != 16 && q->width != 32) || !is_pow2(q->bytes) || q->bytes < 4096 ||
	    q->bytes > 4096u << 7 || q->base & ~VTD_MASK(VTD_IQA_IQA) || q->head >= q->bytes ||
	    q->head % q->width || u->reg[VTD_REG_IQH / 4 + 1])
		viommu_state_refuse(in, "the invalidation queue's head or place cannot be");
}

static void unit_read(struct viommu_guest *g, struct unit_loaded *u, struct viommu_state_in *in)
{
	unsigned int i;

	same(in, "VER", viommu_state_get_u32(in), g->unit.ver);
	same(in, "CAP", viommu_state_get_u64(in), g->unit.cap);
	same(in, "ECAP", viommu_state_get_u64(in), g->unit.ecap);
	same(in, "host address width", viommu_state_get_u8(in), g->unit.haw);
	same(in, "flags", viommu_state_get_u32(in), g->flags);
	for (i = 0; i < REG_DWORDS; i++)
		u->reg[i] = viommu_state_get_u32(in);
	u->rtaddr = viommu_state_get_u64(in);
	u->queue.base = viommu_state_get_u64(in);
	u->queue.bytes = viommu_state_get_u32(in);
	u->queue.width = viommu_state_get_u32(in);
	u->fault_index = viommu_state_get_u32(in);
	u->scan.active = viommu_state_get_u8(in);
	u->scan.rid_done = viommu_state_get_u8(in);
	u->scan.sid = viommu_state_get_u32(in);
	u->scan.gp = viommu_state_get_u32(in);
	for (i = 0; i < ARRAY_SIZE(u->scan.desc); i++)
		u->scan.desc[i] = viommu_state_get_u64(in);
	if (!viommu__section_done(in))
		return;
	viommu__registers_check(g, u->reg, in);
	if (u->reg[VTD_REG_GSTS / 4] & ~gsts_bits(g))
		viommu_state_refuse(in, "GSTS has a bit that this unit never sets");
	if (u->rtaddr & VTD_RSVD(VTD_RTADDR, 0))
		viommu_state_refuse(in, "the root table's address has reserved bits");
	if (u->fault_index > HAS_CAP(g, NFR))
		viommu_state_refuse(in, "the next fault record is beyond the last");
	if (u->scan.sid > 0xffff || u->scan.gp > VIOMMU_PASID_MAX + 1)
		viommu_state_refuse(in, "a descriptor goes on at no device or PASID");
	queue_check(g, u, in);
}

static void int_load(struct viommu_guest *g, struct viommu_state_in *in)
{
	uint64_t base = viommu_state_get_u64(in);
	uint32_t entries = viommu_state_get_u32(in);
	bool x2apic = viommu_state_get_u8(in);

	if (!viommu__section_done(in))
		return;
	if (base & ~VTD_MASK(VTD_IRTA_IRTA) || (x2apic && !HAS_ECAP(g, EIM)) ||
	    (entries && (!is_pow2(entries) || entries < 2 || entries > VIOMMU_GUEST_INTERRUPTS))) {
		viommu_state_refuse(in, "the interrupt remapping table cannot be");
		return;
	}
	pthread_mutex_lock(&g->ir.lock);
	g->ir.base = base;
	g->ir.entries = entries;
	g->ir.x2apic = x2apic;
	pthread_mutex_unlock(&g->ir.lock);
}

/* One PASID that the host gave: the same number if it is to be had. */
static int pasid_take(struct viommu_guest *g, uint32_t gp, struct viommu_hp hp, unsigned int stands)
{
	const struct viommu_gp guest = { gp };
	struct unit_held *page = viommu__bind_held(g, gp);
	int err;

	if (!page)
		return -ENOMEM;
	err = viommu_pasid_reserve(owner_of(g), hp);
	if (g->flags & VIOMMU_GUEST_HOST_PASIDS) {
		/* Nobody but the host ever sees it: another one does as well. */
		if (err == -EEXIST || err == -EINVAL)
			err = viommu_pasid_alloc(owner_of(g), 1, VIOMMU_PASID_MAX, &hp);
		if (err)
			return err;
		err = viommu_pasid_map(owner_of(g), guest, hp);
		if (err)
			viommu_pasid_free(owner_of(g), hp);
	}
	if (err)
		return err;
	page->given[gp % HELD_BITS / 64] |= BIT64(gp % 64);
	if (stands & PASID_IDLE)
		page->idle[gp % HELD_BITS / 64] |= BIT64(gp % 64);
	if (stands & PASID_AGAIN)
		page->again[gp % HELD_BITS / 64] |= BIT64(gp % 64);
	if (g->flags & VIOMMU_GUEST_VCMD)
		g->stats.pasids_given++;
	return 0;
}

static void pasids_load(struct viommu_guest *g, struct viommu_state_in *in)
{
	const bool vcmd = g->flags & VIOMMU_GUEST_VCMD;
	int64_t last = -1;
	int err;

	g->reclaim = viommu_state_get_u32(in) & VIOMMU_PASID_MAX;
	while (viommu__state_ok(in) && viommu_state_left(in) >= PASID_BYTES) {
		uint32_t gp = viommu_state_get_u32(in), hp = viommu_state_get_u32(in);
		unsigned int stands = viommu_state_get_u8(in);

		if (!(g->flags & (VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD)) ||
		    gp > VIOMMU_PASID_MAX || gp <= last || (vcmd && gp != hp)) {
			viommu_state_refuse(in, "PASID %u cannot have been given", gp);
			return;
		}
		last = gp;
		err = pasid_take(g, gp, (struct viommu_hp){ hp }, stands);
		if (err == -ENOMEM)
			viommu__state_no_memory(in);
		else if (err)
			viommu_state_refuse(in, "the guest's PASID %u is not to be had: %s", gp,
					    err == -EDQUOT   ? "over the VM's quota"
					    : err == -ENOSPC ? "none is left"
							     : "it is taken, or out of range");
	}
	viommu__section_done(in);
}

static void binds_load(struct viommu_guest *g, struct viommu_state_in *in)
{
	int err;

	while (viommu__state_ok(in) && viommu_state_left(in) >= BIND_BYTES) {
		uint16_t sid = viommu_state_get_u16(in);
		uint32_t gp = viommu_state_get_u32(in);
		struct unit_device *d = viommu__guest_by_sid(g, sid);

		if (!d || gp > VIOMMU_PASID_MAX) {
			viommu_state_refuse(in, "a bind of %02x:%02x.%u, PASID %u, cannot be",
					    sid >> 8, sid >> 3 & 31, sid & 7u, gp);
			return;
		}
		err = viommu__bind_refresh(g, d, gp, VIOMMU_TRAP_GLOBAL);
		/*
		 * It was bound, and is not any more: an open page request of it would be lost. What
		 * is wrong with the guest's entry is no refusal, also if only the host finds it (an
		 * address beyond the VM's): then it has no bind, and that is right. Else a guest
		 * could see to it that nobody takes its state.
		 */
		if (err && err != -EINVAL)
			viommu_state_refuse(in, "the host does not bind %02x:%02x.%u, PASID %u",
					    sid >> 8, sid >> 3 & 31, sid & 7u, gp);
	}
	viommu__section_done(in);
}

static void counts_load(struct viommu_guest *g, struct viommu_state_in *in)
{
	const uint64_t bound = g->stats.bound, given = g->stats.pasids_given;
	uint64_t *count = &g->stats.descriptors[0], saved[COUNTS];
	size_t i;

	for (i = 0; i < COUNTS; i++)
		saved[i] = viommu_state_get_u64(in);
	if (!viommu__section_done(in))
		return;
	memcpy(count, saved, sizeof(saved));
	g->stats.bound = bound;
	g->stats.pasids_given = given;
	pthread_mutex_lock(&g->ir.lock);
	g->ir.remapped = g->stats.interrupts_remapped;
	g->ir.passed = g->stats.interrupts_passed;
	g->ir.blocked = g->stats.interrupts_blocked;
	g->ir.hits = g->stats.interrupt_hits;
	pthread_mutex_unlock(&g->ir.lock);
}

static void unit_set(struct viommu_guest *g, const struct unit_loaded *u)
{
	memcpy(g->reg, u->reg, sizeof(g->reg));
	viommu__registers_constants(g);
	g->unit.rtaddr = u->rtaddr;
	g->queue = u->queue;
	g->scan = u->scan;
	g->fault_index = u->fault_index;
}

static bool load(struct viommu_guest *g, struct viommu_state_in *in)
{
	struct viommu_state_in s;
	struct unit_loaded u;

	if (viommu__section_get(in, TAG_UNIT, 1, &s))
		unit_read(g, &u, &s);
	if (!viommu__state_ok(in))
		return false;
	if (HAS_ECAP(g, IR) && viommu__section_get(in, TAG_INT, 1, &s))
		int_load(g, &s);
	if (viommu__section_get(in, TAG_PASIDS, 1, &s))
		pasids_load(g, &s);
	if (!viommu__section_get(in, TAG_BINDS, 1, &s))
		return false;
	unit_set(g, &u);
	if (HAS_ECAP(g, IR))
		viommu__ir_switch(g);
	viommu__bind_reset_all(g, VIOMMU_TRAP_GLOBAL);
	binds_load(g, &s);
	return viommu__state_ok(in);
}

bool viommu__guest_load(struct viommu_guest *g, struct viommu_state_in *in)
{
	struct viommu_state_in s;
	struct unit_out out;

	viommu__guest_enter(g, &out);
	if (load(g, in) && viommu__section_peek(in, TAG_COUNTS) &&
	    viommu__section_get(in, TAG_COUNTS, 1, &s))
		counts_load(g, &s);
	viommu__guest_leave(g, &out);
	return viommu__state_ok(in);
}
