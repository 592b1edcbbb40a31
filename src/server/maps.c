/* SPDX-License-Identifier: BSD-3-Clause */
/* The DMA maps of one client, as a sorted array. */
#include "server/maps.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bits.h"

/* The first map that ends at or above addr. */
static uint32_t lower(const struct viommu__maps *maps, uint64_t addr)
{
	uint32_t from = 0, to = maps->nr, mid;

	while (from < to) {
		mid = from + (to - from) / 2;
		if (maps->map[mid].last < addr)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

int viommu__maps_prepare(struct viommu__maps *maps, uint64_t addr, uint64_t last, uint32_t *at)
{
	struct viommu__map *map;
	uint32_t room;

	*at = lower(maps, addr);
	if (*at < maps->nr && maps->map[*at].addr <= last)
		return -EEXIST;
	if (maps->nr >= maps->max)
		return -ENOSPC;
	if (maps->nr < maps->room)
		return 0;
	room = maps->room ? maps->room * 2 : 16;
	map = viommu__realloc(maps->map, room, sizeof(*map));
	if (!map)
		return -ENOMEM;
	maps->map = map;
	maps->room = room;
	return 0;
}

void viommu__maps_insert(struct viommu__maps *maps, uint32_t at, struct viommu__map map)
{
	memmove(&maps->map[at + 1], &maps->map[at], (maps->nr - at) * sizeof(map));
	maps->map[at] = map;
	maps->nr++;
}

struct viommu__map *viommu__maps_find(struct viommu__maps *maps, uint64_t addr, uint64_t last)
{
	uint32_t at = lower(maps, addr);

	if (at == maps->nr || maps->map[at].addr != addr || maps->map[at].last != last)
		return NULL;
	return &maps->map[at];
}

void viommu__maps_remove(struct viommu__maps *maps, struct viommu__map *map)
{
	uint32_t at = (uint32_t)(map - maps->map);

	maps->nr--;
	memmove(map, map + 1, (maps->nr - at) * sizeof(*map));
}

void viommu__maps_free(struct viommu__maps *maps)
{
	viommu__free(maps->map);
	maps->map = NULL;
	maps->nr = 0;
	maps->room = 0;
}
