/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A 64-bit mix for hash tables: a bijection in which each input bit changes each output bit about
 * half of the time (tests/base measures it). Not for keys that an attacker chooses to collide
 * where a collision costs more than a longer probe: no secret goes in.
 */
#ifndef VIOMMU_BASE_HASH_H
#define VIOMMU_BASE_HASH_H

#include <stdint.h>

/* Two rounds of multiply and fold. The multipliers are odd, so each step can be undone. */
static inline uint64_t hash64(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
	x ^= x >> 29;
	x *= UINT64_C(0xb7e151628aed2a6b); /* 2^64 * (e - 2) */
	x ^= x >> 32;
	return x;
}

static inline uint64_t hash64_pair(uint64_t a, uint64_t b)
{
	return hash64(hash64(a) + b);
}

#endif /* VIOMMU_BASE_HASH_H */
