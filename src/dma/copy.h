/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma/copy.h - moving bytes: memcpy, or stores that go past the caches for destinations that nobody
 * reads soon.
 */
#ifndef VIOMMU_DMA_COPY_H
#define VIOMMU_DMA_COPY_H

#include <string.h>

#include <viommu/types.h>

/* Destinations in whole cache lines bypass the caches; the ends do not. */
void viommu__copy_no_allocate(void *dst, const void *src, size_t bytes);

/* Below this a non-temporal copy has no line to save. */
#define COPY_STREAM_MIN 512u

static inline void copy_bytes(void *dst, const void *src, size_t bytes, int no_allocate)
{
	if (no_allocate && bytes >= COPY_STREAM_MIN)
		viommu__copy_no_allocate(dst, src, bytes);
	else
		memcpy(dst, src, bytes);
}

#endif /* VIOMMU_DMA_COPY_H */
