/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool of 4-KiB pages for tables that the specification defines: zeroed, aligned, handed out one
 * by one from larger chunks, so that a page costs a page. Guarded by the host's lock.
 */
#ifndef VIOMMU_HOST_PAGES_H
#define VIOMMU_HOST_PAGES_H

#include <stdint.h>

struct pages {
	struct pages_chunk *chunks;
	void *free;    /* each free page begins with a pointer to the next */
	uint64_t used; /* pages handed out */
};

/* Zeroed; NULL when out of memory. */
void *viommu__page_get(struct pages *pages);
/* NULL is allowed. */
void viommu__page_put(struct pages *pages, void *page);
void viommu__pages_destroy(struct pages *pages);

#endif /* VIOMMU_HOST_PAGES_H */
