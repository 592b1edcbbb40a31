/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/map.h - a part of a file in this process's address space, where large pages fit.
 */
#ifndef VIOMMU_SRC_MEM_MAP_H
#define VIOMMU_SRC_MEM_MAP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Map [offset, offset + bytes) of fd, shared, at an address that equals gpa modulo 1 GiB (from
 * 1 GiB on) or 2 MiB (from 2 MiB on). *sealed: the file cannot shrink. 0 or -errno: -EPERM (the
 * file can shrink and guarded is not set), -ENXIO (it is shorter already), or of fstat and mmap.
 */
int viommu__map_fd(uint64_t gpa, uint64_t bytes, int fd, uint64_t offset, bool writable,
		   bool guarded, char **host, bool *sealed);
void viommu__unmap(char *host, uint64_t bytes);

#endif /* VIOMMU_SRC_MEM_MAP_H */
