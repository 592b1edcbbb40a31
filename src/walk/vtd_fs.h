/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first stage (VT-d 5.10, first-stage paging: x86-64 entries, 4 or 5 levels) as the walker
 * wants a format: small functions over one entry, no memory access, no order of steps. The order is
 * in walk.c. The second format, with the same functions, is vtd_ss.h.
 *
 * `cum` is the AND of all entries of the walk so far: a permission holds if every level gives it.
 */
#ifndef VIOMMU_SRC_WALK_VTD_FS_H
#define VIOMMU_SRC_WALK_VTD_FS_H

#include <stdbool.h>
#include <stdint.h>

#include <viommu/vtd.h>

#include "base/bits.h"
#include "walk/walk.h"

/* Bits that hardware sets by itself (VTD-FS-27 to -30): no edit of an entry. */
#define VTD_FS_MARKS (VTD_MASK(VTD_FS_A) | VTD_MASK(VTD_FS_D) | VTD_MASK(VTD_FS_EA))

/* May the request enter? SRE for supervisor requests (VTD-FS-21), canonical form (VTD-FS-16). */
static VIOMMU__INLINE uint8_t vtd_fs_input(const struct viommu_stage *s, uint64_t addr,
					   unsigned int want)
{
	unsigned int unused = 64 - (12 + 9 * s->levels);

	if (unlikely((want & VIOMMU__WANT_PRIV) && !(s->flags & VIOMMU_STAGE_SRE)))
		return VTD_FR_PE_SRE;
	if (unlikely((uint64_t)((int64_t)(addr << unused) >> unused) != addr))
		return VTD_FR_FS_CANONICAL;
	return 0;
}

/* (VTD-FS-01) */
static VIOMMU__INLINE bool vtd_fs_present(uint64_t e)
{
	return e & VTD_MASK(VTD_FS_P);
}

/*
 * 4-KiB and 2-MiB pages always exist (VTD-FS-17), 1-GiB pages if FS1GP; bit 7 of a PTE is PAT
 * (VTD-FS-06).
 */
static VIOMMU__INLINE bool vtd_fs_leaf(const struct viommu_stage *s, unsigned int level, uint64_t e)
{
	return level == 1 || ((e & VTD_MASK(VTD_FS_PS)) &&
			      (level == 2 || (level == 3 && (s->flags & VIOMMU_STAGE_1G))));
}

/*
 * The reserved bits that are set in a present entry: address bits (VTD-FS-14), bit 7 where no page
 * can be (VTD-FS-07, VTD-FS-08), the low address bits of a large page (VTD-FS-13).
 */
static VIOMMU__INLINE uint64_t vtd_fs_reserved(const struct viommu_stage *s, unsigned int level,
					       bool leaf, uint64_t e)
{
	uint64_t rsvd = BIT64(52) - BIT64(s->haw);

	if (!leaf)
		rsvd |= VTD_MASK(VTD_FS_PS);
	else if (level > 1) /* bit 12 is PAT (VTD-FS-12) */
		rsvd |= BIT64(12 + 9 * (level - 1)) - BIT64(13);
	return e & rsvd;
}

/*
 * What stands in the way of the request after the last level: a fault reason, or 0 (VTD-FS-22 to
 * -26).
 */
static VIOMMU__INLINE uint8_t vtd_fs_judge(const struct viommu_stage *s, uint64_t cum,
					   unsigned int want)
{
	if (want & VIOMMU__WANT_PRIV) {
		/* Reads pass on every present mapping, writes too unless WPE asks for R/W. */
		if ((want & VIOMMU__WANT_W) && (s->flags & VIOMMU_STAGE_WPE) &&
		    !(cum & VTD_MASK(VTD_FS_RW)))
			return VTD_FR_S_WRITE;
		return 0;
	}
	if (unlikely(!(cum & VTD_MASK(VTD_FS_US))))
		return VTD_FR_FS_USER;
	if ((want & VIOMMU__WANT_W) && !(cum & VTD_MASK(VTD_FS_RW)))
		return VTD_FR_S_WRITE;
	return 0;
}

/* The bits that have to be set in an entry that is used (VTD-FS-27 to -29). */
static VIOMMU__INLINE uint64_t vtd_fs_marks(const struct viommu_stage *s, bool leaf,
					    unsigned int want)
{
	uint64_t marks = VTD_MASK(VTD_FS_A);

	if (s->flags & VIOMMU_STAGE_EAFE)
		marks |= VTD_MASK(VTD_FS_EA);
	if (leaf && (want & VIOMMU__WANT_W))
		marks |= VTD_MASK(VTD_FS_D);
	return marks;
}

/* What the translation allows, VIOMMU_PERM_*. A write only where D is set in the leaf. */
static VIOMMU__INLINE uint8_t vtd_fs_perm(const struct viommu_stage *s, uint64_t cum, uint64_t leaf)
{
	bool dirty = leaf & VTD_MASK(VTD_FS_D);
	uint8_t perm = 0;

	if (cum & VTD_MASK(VTD_FS_US)) {
		perm |= VIOMMU_PERM_R;
		if (dirty && (cum & VTD_MASK(VTD_FS_RW)))
			perm |= VIOMMU_PERM_W;
	}
	if (s->flags & VIOMMU_STAGE_SRE) {
		perm |= VIOMMU_PERM_SR;
		if (dirty && (!(s->flags & VIOMMU_STAGE_WPE) || (cum & VTD_MASK(VTD_FS_RW))))
			perm |= VIOMMU_PERM_SW;
	}
	return perm;
}

/* The reasons of this format. */
static VIOMMU__INLINE uint8_t vtd_fs_reason(enum viommu__walk_wrong wrong)
{
	switch (wrong) {
	case VIOMMU__WRONG_ROOT_ACCESS:
		return VTD_FR_FS_ROOT_ACCESS;
	case VIOMMU__WRONG_ACCESS:
		return VTD_FR_FS_ACCESS;
	case VIOMMU__WRONG_ABSENT:
		return VTD_FR_FS_NP;
	case VIOMMU__WRONG_RESERVED:
		return VTD_FR_FS_RSVD;
	case VIOMMU__WRONG_NO_SNOOP:
		return VTD_FR_FS_AD_NOSNOOP;
	case VIOMMU__WRONG_NO_UPDATE:
		return VTD_FR_FS_AD_FAILED;
	}
	return VTD_FR_FS_ACCESS;
}

#endif /* VIOMMU_SRC_WALK_VTD_FS_H */
