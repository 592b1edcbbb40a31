/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The demo's guest kernel, as far as it drives its IOMMU: root, context and PASID tables in its
 * memory, an invalidation queue, a page request ring, and the registers of the unit. It knows
 * nothing of host PASIDs, shadows and binds.
 */
#ifndef VIOMMU_CMD_DEMO_GUEST_H
#define VIOMMU_CMD_DEMO_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <viommu/viommu.h>

/* What the demo leaves to the guest's IOMMU tables: below this, everything else stands above. */
#define DEMO_GUEST_TABLES_END UINT64_C(0x80000)

/* The interrupt vectors that the guest chose; its messages go to FEE0_0000h. */
#define DEMO_GUEST_VECTOR_FAULT 0x30u
#define DEMO_GUEST_VECTOR_PAGE  0x31u

struct demo_guest {
	struct viommu_mem *mem;
	struct viommu_guest *unit;
	uint16_t sid;
	uint32_t gp;
	uint64_t cap;
	uint32_t tail; /* byte offset in the queue */
	uint32_t seq;  /* of wait descriptors */

	uint64_t entry_addr; /* where the PASID entry stands */
	uint64_t entry[8];   /* as the guest wrote it */
	uint64_t flush[2];   /* the PASID-cache invalidation that followed */
};

/* Tables, queue, ring, interrupts; then translation goes on. 0, -errno. */
int demo_guest_start(struct demo_guest *g);
/* Put the process's tables into the PASID entry, and flush the PASID cache. */
int demo_guest_bind(struct demo_guest *g, uint64_t root, unsigned int levels);
/* The same entry goes: PASID cache, IOTLB and device TLB are flushed. */
int demo_guest_unbind(struct demo_guest *g);
/* One page of the process changed. */
int demo_guest_flush(struct demo_guest *g, uint64_t va, unsigned int page_lg2);
/* The next request in the ring, as the guest reads it. True if there is one. */
bool demo_guest_request(struct demo_guest *g, uint64_t request[4]);
/* Answer it. */
int demo_guest_respond(struct demo_guest *g, const uint64_t request[4], unsigned int code);
/* Take the next fault record (two words) and free it. True if there is one. */
bool demo_guest_fault(struct demo_guest *g, uint64_t record[2]);

#endif /* VIOMMU_CMD_DEMO_GUEST_H */
