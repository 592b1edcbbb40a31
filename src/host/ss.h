/* SPDX-License-Identifier: BSD-3-Clause */
/* A domain's second-stage entries, as the files that change them see them. */
#ifndef VIOMMU_HOST_SS_H
#define VIOMMU_HOST_SS_H

#include <string.h>

#include "host/soft.h"

#define SS_RW   (VTD_MASK(VTD_SS_R) | VTD_MASK(VTD_SS_W))
#define SS_ADDR MASK64(51, 12)

static inline unsigned int ss_shift(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

static inline unsigned int ss_index(uint64_t gpa, unsigned int level)
{
	return gpa >> ss_shift(level) & 511;
}

static inline uint64_t *ss_table(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & SS_ADDR);
}

static inline bool ss_is_leaf(uint64_t entry, unsigned int level)
{
	return level == 1 || (entry & VTD_MASK(VTD_SS_PS));
}

/* The level of the largest leaf that fits at gpa, with `left` bytes of its region to come. */
unsigned int viommu__domain_level(const struct viommu_domain *dom, uint64_t gpa, uint64_t hpa,
				  uint64_t left);

#endif /* VIOMMU_HOST_SS_H */
