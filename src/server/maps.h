/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DMA maps of one client: what it told, so that an unmap finds exactly what a map made. A
 * sorted array, because stock QEMU holds about ten; thousands still are a short memmove().
 */
#ifndef VIOMMU_SERVER_MAPS_H
#define VIOMMU_SERVER_MAPS_H

#include <stdbool.h>
#include <stdint.h>

struct viommu__map {
	uint64_t addr;
	uint64_t last; /* inclusive */
	bool in_mem;   /* it is a region of the memory that the client fills */
};

struct viommu__maps {
	struct viommu__map *map; /* sorted by addr, none overlaps another */
	uint32_t nr;
	uint32_t room;
	uint32_t max;
};

/*
 * Room for one more at [addr, last], and its place in *at. 0, -EEXIST (overlap), -ENOSPC, -ENOMEM.
 */
int viommu__maps_prepare(struct viommu__maps *maps, uint64_t addr, uint64_t last, uint32_t *at);
/* Into the place of viommu__maps_prepare(). */
void viommu__maps_insert(struct viommu__maps *maps, uint32_t at, struct viommu__map map);
/* The one that is exactly this, or NULL. */
struct viommu__map *viommu__maps_find(struct viommu__maps *maps, uint64_t addr, uint64_t last);
void viommu__maps_remove(struct viommu__maps *maps, struct viommu__map *map);
/* Forgets all of them. */
void viommu__maps_free(struct viommu__maps *maps);

#endif /* VIOMMU_SERVER_MAPS_H */
