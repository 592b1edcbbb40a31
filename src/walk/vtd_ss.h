/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second stage (VT-d 5.10, second-stage paging, 3 to 5 levels) as the walker wants a format;
 * see vtd_fs.h, which has the same functions. Legacy mode has the same entries and other fault
 * reasons.
 *
 * Memory types (EMT, IPAT; VTD-SS-03) are looked at nowhere: any value is accepted, with and
 * without MTS.
 */
#ifndef VIOMMU_SRC_WALK_VTD_SS_H
#define VIOMMU_SRC_WALK_VTD_SS_H

#include <stdbool.h>
#include <stdint.h>

#include <viommu/vtd.h>

#include "base/bits.h"
#include "walk/walk.h"

/* Bits that hardware sets by itself (VTD-SS-06). */
#define VTD_SS_MARKS (VTD_MASK(VTD_SS_A) | VTD_MASK(VTD_SS_D))

/* input_bits is min(MGAW, width of AW) (VTD-SS-16). */
static VIOMMU__INLINE uint8_t vtd_ss_input(const struct viommu_stage *s, uint64_t addr)
{
	if (unlikely(addr >> s->input_bits))
		return s->flags & VIOMMU_STAGE_LEGACY ? VTD_FR_BEYOND_MGAW : VTD_FR_SSS_BEYOND_MGAW;
	return 0;
}

/* (VTD-SS-01) */
static VIOMMU__INLINE bool vtd_ss_present(uint64_t e)
{
	return e & (VTD_MASK(VTD_SS_R) | VTD_MASK(VTD_SS_W));
}

/*
 * Large pages as SSLPS says; where there are none bit 7 is reserved (VTD-SS-04). Ignored in a 4-KiB
 * entry.
 */
static VIOMMU__INLINE bool vtd_ss_leaf(const struct viommu_stage *s, unsigned int level, uint64_t e)
{
	return level == 1 ||
	       ((e & VTD_MASK(VTD_SS_PS)) && ((level == 2 && (s->flags & VIOMMU_STAGE_2M)) ||
					      (level == 3 && (s->flags & VIOMMU_STAGE_1G))));
}

/*
 * The reserved bits that are set in a present entry: address bits (VTD-SS-10), bit 62 (VTD-SS-12),
 * SNP (VTD-SS-08), bit 7 (VTD-SS-05), the low address bits of a large page (VTD-SS-09).
 */
static VIOMMU__INLINE uint64_t vtd_ss_reserved(const struct viommu_stage *s, unsigned int level,
					       bool leaf, uint64_t e)
{
	uint64_t rsvd = BIT64(52) - BIT64(s->haw);

	if (!(s->flags & VIOMMU_STAGE_IORW))
		rsvd |= VTD_MASK(VTD_SS_IW);
	if (!leaf || !(s->flags & VIOMMU_STAGE_SNP))
		rsvd |= VTD_MASK(VTD_SS_SNP);
	if (!leaf)
		rsvd |= VTD_MASK(VTD_SS_PS);
	else if (level > 1) /* bits 20:12 or 29:12 */
		rsvd |= BIT64(12 + 9 * (level - 1)) - BIT64(12);
	return e & rsvd;
}

/*
 * Read and write as VIOMMU_PERM_R and _W. Choice (VTD-SS-13): with SSIRWE the I/O bits 61 and 62
 * stand in for bits 0 and 1, which then only say whether the entry is present.
 */
static VIOMMU__INLINE unsigned int vtd_ss_rights(const struct viommu_stage *s, uint64_t cum)
{
	_Static_assert(VIOMMU_PERM_R == 1 && VIOMMU_PERM_W == 2, "bits 1:0 of an entry");
	if (unlikely(s->flags & VIOMMU_STAGE_IORW))
		return cum >> VTD_SHIFT(VTD_SS_IR) & 3;
	return cum & 3;
}

/*
 * What stands in the way of the request after the last level: a fault reason, or 0 (VTD-SS-17 to
 * -19).
 */
static VIOMMU__INLINE uint8_t vtd_ss_judge(const struct viommu_stage *s, uint64_t cum,
					   unsigned int want)
{
	unsigned int rights = vtd_ss_rights(s, cum);
	unsigned int need = want & (VIOMMU__WANT_R | VIOMMU__WANT_W);

	_Static_assert(VIOMMU__WANT_R == VIOMMU_PERM_R && VIOMMU__WANT_W == VIOMMU_PERM_W, "same");
	if (likely(!(need & ~rights)))
		return 0;
	if (s->flags & VIOMMU_STAGE_LEGACY) {
		if (rights && (want & VIOMMU__WANT_ZERO) && (s->flags & VIOMMU_STAGE_ZLR) &&
		    !(need & VIOMMU__WANT_W))
			return 0;
		return need & ~rights & VIOMMU__WANT_W ? VTD_FR_WRITE : VTD_FR_READ;
	}
	if (!rights)
		return VTD_FR_SSS_NP;
	return need & ~rights & VIOMMU__WANT_W ? VTD_FR_S_WRITE : VTD_FR_S_READ;
}

/* The bits that have to be set in an entry that is used (VTD-SS-20). */
static VIOMMU__INLINE uint64_t vtd_ss_marks(const struct viommu_stage *s, bool leaf,
					    unsigned int want)
{
	if (!(s->flags & VIOMMU_STAGE_AD))
		return 0;
	if (leaf && (want & VIOMMU__WANT_W))
		return VTD_MASK(VTD_SS_A) | VTD_MASK(VTD_SS_D);
	return VTD_MASK(VTD_SS_A);
}

/* What the translation allows, VIOMMU_PERM_*. A write only where D is set, or not kept. */
static VIOMMU__INLINE uint8_t vtd_ss_perm(const struct viommu_stage *s, uint64_t cum, uint64_t leaf)
{
	unsigned int rights = vtd_ss_rights(s, cum);

	if ((s->flags & VIOMMU_STAGE_AD) && !(leaf & VTD_MASK(VTD_SS_D)))
		rights &= ~VIOMMU_PERM_W;
	return rights * (VIOMMU_PERM_R | VIOMMU_PERM_SR); /* the same for user and supervisor */
}

/* The reasons of this format; want decides between the two of legacy mode for an absent entry. */
static VIOMMU__INLINE uint8_t vtd_ss_reason(const struct viommu_stage *s, unsigned int want,
					    enum viommu__walk_wrong wrong)
{
	bool legacy = s->flags & VIOMMU_STAGE_LEGACY;

	switch (wrong) {
	case VIOMMU__WRONG_ROOT_ACCESS:
		return legacy ? VTD_FR_CTX_INVALID : VTD_FR_SSS_ROOT_ACCESS;
	case VIOMMU__WRONG_ACCESS:
		return legacy ? VTD_FR_SS_ACCESS : VTD_FR_SSS_ACCESS;
	case VIOMMU__WRONG_ABSENT:
		if (!legacy)
			return VTD_FR_SSS_NP;
		return want & VIOMMU__WANT_W ? VTD_FR_WRITE : VTD_FR_READ;
	case VIOMMU__WRONG_RESERVED:
		return legacy ? VTD_FR_SS_RSVD : VTD_FR_SSS_RSVD;
	case VIOMMU__WRONG_NO_SNOOP:
		return VTD_FR_SSS_AD_NOSNOOP;
	case VIOMMU__WRONG_NO_UPDATE:
		return VTD_FR_SSS_AD_FAILED;
	}
	return VTD_FR_SSS_ACCESS;
}

#endif /* VIOMMU_SRC_WALK_VTD_SS_H */
