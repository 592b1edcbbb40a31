/* SPDX-License-Identifier: BSD-3-Clause */
/* The DMA maps of one client, as a sorted array. */
#include "server/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void file_drop(struct viommu__maps *maps, uint32_t n)
{
	if (n == MAPS_NO_FILE || --maps->file[n].refs)
		return;
	close(maps->file[n].fd);
	maps->file[n].fd = -1;
}

void viommu__maps_remove(struct viommu__maps *maps, struct viommu__map *map)
{
	uint32_t at = (uint32_t)(map - maps->map);

	file_drop(maps, map->file);
	maps->nr--;
	memmove(map, map + 1, (maps->nr - at) * sizeof(*map));
}

void viommu__maps_free(struct viommu__maps *maps)
{
	uint32_t i;

	for (i = 0; maps->file && i < MAPS_FILES; i++)
		if (maps->file[i].refs)
			close(maps->file[i].fd);
	viommu__free(maps->file);
	viommu__free(maps->map);
	maps->file = NULL;
	maps->map = NULL;
	maps->nr = 0;
	maps->room = 0;
}

int viommu__maps_prepare_files(struct viommu__maps *maps)
{
	if (!maps->file)
		maps->file = viommu__calloc(MAPS_FILES, sizeof(*maps->file));
	return maps->file ? 0 : -ENOMEM;
}

uint32_t viommu__maps_file(struct viommu__maps *maps, int *fd)
{
	int flags = fcntl(*fd, F_GETFL);
	uint32_t i, empty = MAPS_NO_FILE;
	struct viommu__file *file;
	struct stat st;

	if (flags < 0 || fstat(*fd, &st))
		return MAPS_NO_FILE;
	for (i = 0; i < MAPS_FILES; i++) {
		file = &maps->file[i];
		if (!file->refs && empty == MAPS_NO_FILE)
			empty = i;
		if (file->refs && file->dev == st.st_dev && file->ino == st.st_ino &&
		    file->access == (flags & O_ACCMODE)) {
			file->refs++;
			return i;
		}
	}
	if (empty == MAPS_NO_FILE)
		return MAPS_NO_FILE;
	maps->file[empty] = (struct viommu__file){ .fd = *fd,
						   .access = flags & O_ACCMODE,
						   .dev = st.st_dev,
						   .ino = st.st_ino,
						   .refs = 1 };
	*fd = -1;
	return empty;
}

void viommu__maps_release(struct viommu__maps *maps)
{
	uint32_t i;

	for (i = 0; maps->file && i < MAPS_FILES; i++)
		if (maps->file[i].refs)
			file_drop(maps, i);
}
