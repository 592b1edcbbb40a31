/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Masks, alignment and checked arithmetic on 64-bit values. Knows no hardware: the fields of
 * specified structures are in viommu/vtd.h.
 */
#ifndef VIOMMU_BASE_BITS_H
#define VIOMMU_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT64(n) (UINT64_C(1) << (n))

/* Bits hi to lo, both inclusive, 63 >= hi >= lo. A constant expression for constant arguments. */
#define MASK64(hi, lo) ((~UINT64_C(0) >> (63 - (hi))) & (~UINT64_C(0) << (lo)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The low n bits, 0 <= n <= 64: unlike a shift, right at both ends. */
static inline uint64_t low_bits(unsigned int n)
{
	return n == 0 ? 0 : ~UINT64_C(0) >> (64 - n);
}

static inline bool is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* align is a power of two in all of these. */
static inline bool is_aligned(uint64_t v, uint64_t align)
{
	return !(v & (align - 1));
}

static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

/* Wraps to 0 above the last multiple of align; check with add_overflows where that can be. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

/* floor(log2(v)), v not 0. */
static inline unsigned int log2_floor(uint64_t v)
{
	return 63 - (unsigned int)__builtin_clzll(v);
}

/* The number of the lowest bit that is set, v not 0. */
static inline unsigned int lowest_bit(uint64_t v)
{
	return (unsigned int)__builtin_ctzll(v);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* True if the sum, difference or product does not fit *result's type; then *result has wrapped. */
#define add_overflows(a, b, result) __builtin_add_overflow(a, b, result)
#define sub_overflows(a, b, result) __builtin_sub_overflow(a, b, result)
#define mul_overflows(a, b, result) __builtin_mul_overflow(a, b, result)

/*
 * [start, start + size) as an inclusive last byte. False if the range is empty or wraps; a range
 * that ends with the address space is fine.
 */
static inline bool range_last(uint64_t start, uint64_t size, uint64_t *last)
{
	return size && !add_overflows(start, size - 1, last);
}

#endif /* VIOMMU_BASE_BITS_H */
