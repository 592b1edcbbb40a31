/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DMA maps of one client: what it told, so that an unmap finds exactly what a map made. A
 * sorted array, because stock QEMU holds about ten; thousands still are a short memmove().
 *
 * And the files behind them, for the process that may replace this one and has to map them again: a
 * descriptor for each, however many maps tell of it. There are few (QEMU has one for each memory
 * backend), and a client shall not use up our descriptors; the memory of more than MAPS_FILES is
 * mapped as well, but can't be handed over.
 */
#ifndef VIOMMU_SERVER_MAPS_H
#define VIOMMU_SERVER_MAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAPS_FILES   256u
#define MAPS_NO_FILE UINT32_MAX

struct viommu__file {
	int fd;
	int access; /* O_RDONLY, O_RDWR */
	dev_t dev;
	ino_t ino;
	uint32_t refs; /* 0: the place is free */
};

struct viommu__map {
	uint64_t addr;
	uint64_t last; /* inclusive */
	uint64_t offset;
	uint32_t file;  /* of .file, or MAPS_NO_FILE */
	bool in_mem;    /* it is a region of the memory that the client fills */
	bool read_only; /* there */
};

struct viommu__maps {
	struct viommu__map *map; /* sorted by addr, none overlaps another */
	uint32_t nr;
	uint32_t room;
	uint32_t max;
	struct viommu__file *file; /* MAPS_FILES of them, or NULL */
};

/*
 * Room for one more at [addr, last], and its place in *at. 0, -EEXIST (overlap), -ENOSPC, -ENOMEM.
 */
int viommu__maps_prepare(struct viommu__maps *maps, uint64_t addr, uint64_t last, uint32_t *at);
/* Into the place of viommu__maps_prepare(). */
void viommu__maps_insert(struct viommu__maps *maps, uint32_t at, struct viommu__map map);
/* The one that is exactly this, or NULL. */
struct viommu__map *viommu__maps_find(struct viommu__maps *maps, uint64_t addr, uint64_t last);
/* Its file has a map less. */
void viommu__maps_remove(struct viommu__maps *maps, struct viommu__map *map);
/* Forgets all of them. */
void viommu__maps_free(struct viommu__maps *maps);

/* Room for files. 0 or -ENOMEM. */
int viommu__maps_prepare_files(struct viommu__maps *maps);
/*
 * The file of a map to come, after viommu__maps_prepare_files(), for its .file; *fd is -1
 * afterwards if it was kept. MAPS_NO_FILE: no room for it.
 */
uint32_t viommu__maps_file(struct viommu__maps *maps, int *fd);
/* Each file that is there has a map less. */
void viommu__maps_release(struct viommu__maps *maps);

#endif /* VIOMMU_SERVER_MAPS_H */
