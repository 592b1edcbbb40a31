/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: alignment and ranges of base/bits.h against what they mean.
 */
#include "fuzz/fuzz.h"

#include "base/assert.h"
#include "base/bits.h"

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint64_t v = fuzz_u64(&in), n = fuzz_u64(&in), align = BIT64(fuzz_u8(&in) % 64), last;

	VIOMMU_ASSERT(is_pow2(align) && log2_floor(align) == lowest_bit(align));
	VIOMMU_ASSERT(is_aligned(align_down(v, align), align) && align_down(v, align) <= v);
	VIOMMU_ASSERT(v - align_down(v, align) < align);
	VIOMMU_ASSERT(is_aligned(align_up(v, align), align));
	if (range_last(v, n, &last))
		VIOMMU_ASSERT(last >= v && last - v == n - 1);
	else
		VIOMMU_ASSERT(!n || v + n - 1 < v);
}

FUZZ_TARGET
