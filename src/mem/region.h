/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/region.h - one region of guest memory, as the files of this floor share it.
 */
#ifndef VIOMMU_SRC_MEM_REGION_H
#define VIOMMU_SRC_MEM_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

/*
 * First member of everything that readers may still look at after it was taken out: regions and
 * nodes of the index. A writer collects these and frees them when the readers of then have left.
 */
struct viommu__retired {
	struct viommu__retired *next;
};

/* struct viommu__region.dead */
#define REGION_GONE 0x1u /* being removed, or removed and waiting to be freed */
#define REGION_LOST 0x2u /* its file was truncated under it; set by the SIGBUS handler */

struct viommu__region {
	struct viommu__retired retired;
	uint64_t gpa;
	uint64_t bytes;
	char *host;
	uint32_t flags; /* VIOMMU_MEM_* */
	uint32_t dead;  /* REGION_*, atomic; not 0: a hole for every access */

	/* Guarded by the lock of the memory. */
	bool mapped; /* by us: to be unmapped */
	bool in_gpa; /* still in the index by address */
	bool in_host;
	int guard; /* slot of the SIGBUS guard, -1 for none */
};

static inline uint32_t viommu__region_dead(const struct viommu__region *r)
{
	/* seq_cst: pairs with the removal's mark before it counts readers, see section.h. */
	return load_seqcst(&r->dead);
}

#endif /* VIOMMU_SRC_MEM_REGION_H */
