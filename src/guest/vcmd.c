/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual commands (VT-d 5.10; up to 3.2 with other registers): the guest asks for PASIDs, the host
 * chooses them. The number is the same on both sides, so whatever the guest programs, into its
 * tables or a device, is a PASID of the host that is the guest's.
 *
 *	not given --allocate--> given --bind--> bound --unbind--> idle
 *	    ^                     |                                | |
 *	    +----free, reset------+---------free, reset------------+ +--> bound
 *	    +---------------an allocation finds none left----------+
 *
 * Idle PASIDs are taken back only when there is no other: kernels up to 6.3 mean to free a PASID
 * and send no command, but the same kernels bind a process's PASID again that they unbound.
 */
#include "guest/unit.h"

static struct viommu_owner *owner_of(const struct viommu_guest *g)
{
	return viommu_domain_owner(g->dom);
}

static bool is_old(const struct viommu_guest *g)
{
	return g->flags & VIOMMU_GUEST_VCMD_OLD;
}

/* ---- PASIDs of the guest ---- */

bool viommu__vcmd_given(const struct viommu_guest *g, uint32_t pasid)
{
	const struct unit_held *page;

	if (pasid > VIOMMU_PASID_MAX)
		return false;
	page = g->held[pasid / HELD_BITS];
	return page && page->given[pasid % HELD_BITS / 64] & BIT64(pasid % 64);
}

void viommu__vcmd_idle(struct viommu_guest *g, uint32_t pasid)
{
	if (g->flags & VIOMMU_GUEST_VCMD && viommu__vcmd_given(g, pasid))
		g->held[pasid / HELD_BITS]->idle[pasid % HELD_BITS / 64] |= BIT64(pasid % 64);
}

/* 0, -ENOENT (not the guest's), -EBUSY (bound). */
static int give_back(struct viommu_guest *g, uint32_t pasid)
{
	struct unit_held *page;
	unsigned int w = pasid % HELD_BITS / 64;
	int err;

	if (!viommu__vcmd_given(g, pasid))
		return -ENOENT;
	err = viommu_pasid_free(owner_of(g), (struct viommu_hp){ pasid });
	if (err)
		return err;
	page = g->held[pasid / HELD_BITS];
	page->given[w] &= ~BIT64(pasid % 64);
	page->idle[w] &= ~BIT64(pasid % 64);
	page->again[w] &= ~BIT64(pasid % 64);
	g->stats.pasids_given--;
	return 0;
}

#define HELD_WORDS ((VIOMMU_PASID_MAX + 1) / 64)

/*
 * Take back one that is idle, each in its turn: the search goes on behind the last one, once
 * around. One that is bound again, or still on another device, is not freed: its unbind will say
 * anew that it is idle.
 */
static bool reclaim(struct viommu_guest *g)
{
	uint32_t i, w, first = g->reclaim / 64;

	for (i = 0; i <= HELD_WORDS; i++) {
		struct unit_held *page;
		uint64_t *idle, skip;

		w = (first + i) % HELD_WORDS;
		page = g->held[w / (HELD_BITS / 64)];
		if (!page)
			continue;
		idle = &page->idle[w % (HELD_BITS / 64)];
		skip = i ? 0 : low_bits(g->reclaim % 64);
		while (*idle & ~skip) {
			uint32_t pasid = w * 64 + lowest_bit(*idle & ~skip);

			*idle &= ~BIT64(pasid % 64);
			if (give_back(g, pasid))
				continue;
			g->reclaim = (pasid + 1) & VIOMMU_PASID_MAX;
			g->stats.pasids_reclaimed++;
			return true;
		}
	}
	return false;
}

/*
 * choice: who asks for the next PASID may have one that was given anew, unless it is bound by then.
 * A kernel that finds such a number in use (by a process that ended a moment ago, too) fails the
 * bind and never mentions the number again; each of those would be lost. Not before an allocation
 * was refused: time for the one that has it to bind.
 */
static void refused(struct viommu_guest *g)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(g->held); i++) {
		for (j = 0; g->held[i] && j < HELD_BITS / 64; j++) {
			g->held[i]->idle[j] |= g->held[i]->again[j];
			g->held[i]->again[j] = 0;
		}
	}
}

/* VIOMMU_NO_PASID: there is none. */
static uint32_t allocate(struct viommu_guest *g)
{
	/* One that the guest's tables can name (ECAP.PSS). */
	const uint32_t max = (2u << HAS_ECAP(g, PSS)) - 1;
	struct unit_held *page;
	struct viommu_hp hp;
	bool again = false;
	int err;

	err = viommu_pasid_alloc(owner_of(g), 1, max, &hp);
	if (err == -ENOSPC || err == -EDQUOT) {
		again = reclaim(g);
		if (again)
			err = viommu_pasid_alloc(owner_of(g), 1, max, &hp);
		else
			refused(g);
	}
	if (err)
		return VIOMMU_NO_PASID;
	page = viommu__bind_held(g, hp.v);
	if (!page) {
		viommu_pasid_free(owner_of(g), hp);
		return VIOMMU_NO_PASID;
	}
	page->given[hp.v % HELD_BITS / 64] |= BIT64(hp.v % 64);
	if (again)
		page->again[hp.v % HELD_BITS / 64] |= BIT64(hp.v % 64);
	g->stats.pasids_given++;
	return hp.v;
}

/* ---- Registers ---- */

uint64_t viommu__vcmd_capability(const struct viommu_guest *g)
{
	/* VTD-VCMD-03: kernels look at bit 0, where the specification has bit 1. */
	return is_old(g) ? VTD_MASK(VTD_OLD_VCCAP_PAS)
			 : VTD_MASK(VTD_VCCAP_NULL) | VTD_MASK(VTD_VCCAP_PAS) |
				   VTD_MASK(VTD_VCCAP_FPS);
}

static uint64_t response(const struct viommu_guest *g, unsigned int status, uint32_t pasid)
{
	if (is_old(g))
		return VTD_VAL(VTD_OLD_VCRSP_SC, status == VTD_VCRSP_PASID_ERROR
							 ? VTD_OLD_VCRSP_PASID_ERROR
							 : status) |
		       VTD_VAL(VTD_OLD_VCRSP_PASID, pasid);
	return VTD_VAL(VTD_VCRSP_SC, status) | VTD_VAL(VTD_VCRSP_PASID, pasid);
}

/* The PASID of the operand; none has more than 20 bits. */
static uint32_t operand(const struct viommu_guest *g, uint64_t v)
{
	if (is_old(g))
		return VTD_FIELD(v, VTD_OLD_VCMD_OPERAND)
			       ? VIOMMU_NO_PASID
			       : (uint32_t)VTD_FIELD(v, VTD_OLD_VCMD_PASID);
	return VTD_FIELD(v, VTD_VCMD_OPERAND) ? VIOMMU_NO_PASID
					      : (uint32_t)VTD_FIELD(v, VTD_VCMD_PASID);
}

/* VTD-VCMD-01, VTD-VCMD-02; the code is at the same place in both layouts. */
uint64_t viommu__vcmd_run(struct viommu_guest *g, uint64_t command)
{
	uint32_t pasid;

	g->stats.virtual_commands++;
	switch (VTD_FIELD(command, VTD_VCMD_CMD)) {
	case VTD_VCMD_CODE_NULL:
		return response(g, VTD_VCRSP_OK, 0);
	case VTD_VCMD_CODE_ALLOC:
		pasid = allocate(g);
		if (pasid == VIOMMU_NO_PASID)
			return response(g, VTD_VCRSP_PASID_ERROR, 0);
		return response(g, VTD_VCRSP_OK, pasid);
	case VTD_VCMD_CODE_FREE:
		/*
		 * choice: one that is bound stays the guest's, as one that is not its stays whose
		 * it is.
		 */
		if (give_back(g, operand(g, command)))
			return response(g, VTD_VCRSP_PASID_ERROR, 0);
		return response(g, VTD_VCRSP_OK, 0);
	default:
		return response(g, VTD_VCRSP_UNDEFINED, 0);
	}
}
