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

/* Up to here a copy is made of moves of fixed size, two of which may overlap. */
#define COPY_SMALL_MAX 128u

/* What one instruction moves, wherever it lies. */
typedef uint64_t copy_16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t copy_8 __attribute__((aligned(1), may_alias));
typedef uint32_t copy_4 __attribute__((aligned(1), may_alias));
typedef uint16_t copy_2 __attribute__((aligned(1), may_alias));

/* 32 bytes or more: everything is loaded before anything is stored. */
static inline __attribute__((always_inline)) void copy_vectors(uint8_t *d, const uint8_t *s,
							       size_t bytes)
{
	const copy_16 *from = (const copy_16 *)s, *from_end = (const copy_16 *)(s + bytes);
	copy_16 *to = (copy_16 *)d, *to_end = (copy_16 *)(d + bytes);
	copy_16 a = from[0], b = from[1], y = from_end[-2], z = from_end[-1];

	if (bytes > 64) {
		copy_16 c = from[2], e = from[3], w = from_end[-4], x = from_end[-3];

		to[2] = c;
		to[3] = e;
		to_end[-4] = w;
		to_end[-3] = x;
	}
	to[0] = a;
	to[1] = b;
	to_end[-2] = y;
	to_end[-1] = z;
}

#define COPY_TWO(type, d, s, bytes)                                         \
	do {                                                                \
		type head_ = *(const type *)(s);                            \
		type tail_ = *(const type *)((s) + (bytes) - sizeof(type)); \
                                                                            \
		*(type *)(d) = head_;                                       \
		*(type *)((d) + (bytes) - sizeof(type)) = tail_;            \
	} while (0)

/* bytes <= COPY_SMALL_MAX, without a call. The two sides do not overlap. */
static inline __attribute__((always_inline)) void copy_small(void *dst, const void *src,
							     size_t bytes)
{
	uint8_t *d = dst;
	const uint8_t *s = src;

	if (bytes >= 32)
		copy_vectors(d, s, bytes);
	else if (bytes >= 16)
		COPY_TWO(copy_16, d, s, bytes);
	else if (bytes >= 8)
		COPY_TWO(copy_8, d, s, bytes);
	else if (bytes >= 4)
		COPY_TWO(copy_4, d, s, bytes);
	else if (bytes >= 2)
		COPY_TWO(copy_2, d, s, bytes);
	else if (bytes)
		*d = *s;
}
#undef COPY_TWO

static inline void copy_bytes(void *dst, const void *src, size_t bytes, int no_allocate)
{
	if (bytes <= COPY_SMALL_MAX)
		copy_small(dst, src, bytes);
	else if (no_allocate && bytes >= COPY_STREAM_MIN)
		viommu__copy_no_allocate(dst, src, bytes);
	else
		memcpy(dst, src, bytes);
}

#endif /* VIOMMU_DMA_COPY_H */
