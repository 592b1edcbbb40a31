/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hash: each input bit must change each output bit about half of the time, and neighbouring
 * page numbers must spread over a small table.
 */
#include "base/hash.h"

#include "lib/test.h"

static void each_input_bit_changes_each_output_bit_half_the_time(void **state)
{
	enum {
		ROUNDS = 4096
	};
	static unsigned int flips[64][64];
	struct rng rng;
	uint64_t x, d;
	int r, i, j;

	(void)state;
	rng_init(&rng, "avalanche");
	for (r = 0; r < ROUNDS; r++) {
		x = rng_u64(&rng);
		for (i = 0; i < 64; i++) {
			d = hash64(x) ^ hash64(x ^ UINT64_C(1) << i);
			for (j = 0; j < 64; j++)
				flips[i][j] += d >> j & 1;
		}
	}
	/*
	 * A fair coin has a standard deviation of 0.8 % here. The mix is a little biased for single
	 * pairs; a quarter or three quarters would make short chains long.
	 */
	for (i = 0; i < 64; i++)
		for (j = 0; j < 64; j++)
			assert_in_range(flips[i][j], ROUNDS * 40 / 100, ROUNDS * 60 / 100);
}

static void neighbouring_pages_spread_over_a_small_table(void **state)
{
	enum {
		SLOTS = 1024,
		KEYS = 8 * SLOTS
	};
	static unsigned int count[SLOTS];
	unsigned int i;

	(void)state;
	for (i = 0; i < KEYS; i++)
		count[hash64((uint64_t)i << 12) % SLOTS]++;
	for (i = 0; i < SLOTS; i++)
		assert_in_range(count[i], 0, 32);
}

static void pair_hash_depends_on_the_order(void **state)
{
	(void)state;
	assert_true(hash64_pair(1, 2) != hash64_pair(2, 1));
	assert_true(hash64_pair(0, 1) != hash64_pair(1, 0));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_input_bit_changes_each_output_bit_half_the_time),
	cmocka_unit_test(neighbouring_pages_spread_over_a_small_table),
	cmocka_unit_test(pair_hash_depends_on_the_order),
};
TEST_MAIN(tests)
