/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small VM for tests of the host and of DMA: memory, a domain, a device, a guest process with
 * first-stage tables.
 */
#ifndef VIOMMU_TEST_WORLD_H
#define VIOMMU_TEST_WORLD_H

#include <pthread.h>

#include <viommu/viommu.h>
#include "lib/tables.h"
#include "lib/test.h"

#define WORLD_BYTES (UINT64_C(16) << 20)
#define WORLD_VA    UINT64_C(0x7f0000000000)
#define WORLD_SID   0x28

struct world {
	struct tables ram; /* GPA 0 up */
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct viommu_hp hp;
	struct tables_stage fs;    /* the process: identity windows, tables at their GPAs */
	pthread_mutex_t lock;      /* of the two below: any DMA thread reports */
	struct viommu_fault fault; /* last reported */
	unsigned int faults;
};

struct world_config {
	struct viommu_host_ops ops; /* fault NULL: counted in the world */
	uint32_t device_flags;      /* 0: PASID */
	unsigned int fs_levels;     /* 0: 4 */
	unsigned int ss_levels;     /* 0: 4 */
	uint32_t domain_flags;
	uint64_t cap_clear; /* bits that the host's CAP and ECAP lack */
	uint64_t ecap_clear;
	uint32_t max_page_requests; /* 0: 512 */
};

void world_open(struct world *w, const struct world_config *config);
void world_close(struct world *w);

/* A page of RAM, zeroed; its GPA. */
uint64_t world_page(struct world *w);
void *world_ptr(struct world *w, uint64_t gpa);
/* Map a new page at va for the process; returns its GPA. */
uint64_t world_map(struct world *w, uint64_t va, uint32_t flags);
/* Bind the process to hp as gp. */
int world_bind(struct world *w, uint32_t gp);

#endif /* VIOMMU_TEST_WORLD_H */
