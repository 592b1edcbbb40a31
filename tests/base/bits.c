/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Masks and checked arithmetic, at the ends of their ranges.
 */
#include "base/bits.h"

#include "lib/test.h"

static void masks_cover_both_ends(void **state)
{
	(void)state;
	assert_true(MASK64(63, 0) == UINT64_MAX);
	assert_true(MASK64(0, 0) == 1);
	assert_true(MASK64(63, 63) == UINT64_C(1) << 63);
	assert_true(MASK64(51, 12) == UINT64_C(0x000ffffffffff000));
	assert_true(low_bits(0) == 0);
	assert_true(low_bits(1) == 1);
	assert_true(low_bits(64) == UINT64_MAX);
}

static void alignment_rounds_both_ways(void **state)
{
	(void)state;
	assert_true(align_down(0x1fff, 0x1000) == 0x1000);
	assert_true(align_up(0x1001, 0x1000) == 0x2000);
	assert_true(align_up(0x1000, 0x1000) == 0x1000);
	assert_true(is_aligned(0x3000, 0x1000));
	assert_false(is_aligned(0x3008, 0x1000));
	assert_true(is_pow2(1));
	assert_true(is_pow2(UINT64_C(1) << 63));
	assert_false(is_pow2(0));
	assert_false(is_pow2(6));
}

static void logarithm_and_lowest_bit_agree_on_powers(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		assert_int_equal(log2_floor(BIT64(i)), i);
		assert_int_equal(lowest_bit(BIT64(i)), i);
	}
	assert_int_equal(log2_floor(UINT64_MAX), 63);
	assert_int_equal(lowest_bit(12), 2);
}

static void ranges_may_touch_the_end_but_not_wrap(void **state)
{
	uint64_t last = 0;

	(void)state;
	assert_true(range_last(UINT64_MAX, 1, &last));
	assert_true(last == UINT64_MAX);
	assert_true(range_last(0x1000, 0x1000, &last));
	assert_true(last == 0x1fff);
	assert_false(range_last(UINT64_MAX, 2, &last));
	assert_false(range_last(0, 0, &last));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(masks_cover_both_ends),
	cmocka_unit_test(alignment_rounds_both_ways),
	cmocka_unit_test(logarithm_and_lowest_bit_agree_on_powers),
	cmocka_unit_test(ranges_may_touch_the_end_but_not_wrap),
};
TEST_MAIN(tests)
