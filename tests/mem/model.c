/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random scripts against the model, and that they did what they should: each call succeeded and
 * failed often enough.
 */
#include "mem/model.h"

#include "lib/test.h"

static void random_scripts_agree_with_an_array_of_bytes(void **state)
{
	uint64_t scripts = test_scale(2000), i, op;
	struct model_stats stats = { 0 };
	uint8_t script[1000];
	struct rng rng;

	(void)state;
	rng_init(&rng, "model");
	for (i = 0; i < scripts; i++) {
		struct fuzz_input in = { script, rng_range(&rng, 1, sizeof(script)) };

		rng_fill(&rng, script, in.left);
		model_run(&in, &stats);
	}
	for (op = 0; op < OP_NR; op++) {
		if (op == OP_ADD_MANY || op == OP_FAIL_ALLOC)
			continue;
		printf("# call %llu: %llu succeeded, %llu failed\n", (unsigned long long)op,
		       (unsigned long long)stats.ok[op], (unsigned long long)stats.error[op]);
		assert_true(stats.ok[op] * 10 >= scripts);
		assert_true(op == OP_LISTEN || stats.error[op] * 10 >= scripts);
	}
	printf("# no memory %llu, refused %llu, most regions %llu\n",
	       (unsigned long long)stats.no_memory, (unsigned long long)stats.refused,
	       (unsigned long long)stats.most);
	assert_true(stats.no_memory * 10 >= scripts);
	assert_true(stats.refused * 10 >= scripts);
	/* More than a leaf of the index. */
	assert_true(stats.most > 200);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(random_scripts_agree_with_an_array_of_bytes),
};

TEST_MAIN(tests)
