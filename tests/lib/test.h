/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every test includes: cmocka, seeded random numbers, the size of long loops. A test file ends
 * with
 *
 *	static const struct CMUnitTest tests[] = {
 *		cmocka_unit_test(unbind_drains_page_requests),
 *	};
 *	TEST_MAIN(tests)
 *
 * Test names are sentences. Output is TAP. VIOMMU_TEST in the environment runs only the tests whose
 * name matches that pattern (* and ?).
 *
 * Random numbers: rng_init(&rng, "label") gives a stream that depends on the seed and the label
 * only, not on which tests ran before. The seed is new in each run, printed as "# seed N", and
 * taken from VIOMMU_SEED if that is set.
 */
#ifndef VIOMMU_TEST_H
#define VIOMMU_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* xoshiro256**: four words of state, never all zero. One thread each. */
struct rng {
	uint64_t s[4];
};

/* The seed of this process; the first call prints it. */
uint64_t test_seed(void);

void rng_init(struct rng *rng, const char *label);
void rng_init_seed(struct rng *rng, uint64_t seed);

uint64_t rng_u64(struct rng *rng);

/* 0 to n - 1, each equally likely; n is not 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/* first to last, both inclusive. */
uint64_t rng_range(struct rng *rng, uint64_t first, uint64_t last);

/* True once in n on average. */
bool rng_one_in(struct rng *rng, uint64_t n);

void rng_fill(struct rng *rng, void *buf, size_t size);

/*
 * How often a long loop runs: n at VIOMMU_SCALE=1, which is also the value if it is not set; n
 * times VIOMMU_SCALE else, a fraction too, but at least once.
 */
uint64_t test_scale(uint64_t n);

int test_main(const char *group, const struct CMUnitTest *tests, size_t n);

#define TEST_MAIN(array)                                                               \
	int main(void)                                                                 \
	{                                                                              \
		return test_main(__FILE__, array, sizeof(array) / sizeof((array)[0])); \
	}

#endif /* VIOMMU_TEST_H */
