/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The allocator: what it promises, and that its hook fails exactly the allocation it was asked to.
 */
#include "base/alloc.h"

#include "lib/test.h"

static void calloc_and_aligned_memory_is_zero(void **state)
{
	unsigned char *p, *q;
	size_t i;

	(void)state;
	p = viommu__calloc(100, 41);
	q = viommu__alloc_aligned(4096, 8192);
	assert_non_null(p);
	assert_non_null(q);
	for (i = 0; i < 4100; i++)
		assert_int_equal(p[i], 0);
	for (i = 0; i < 8192; i++)
		assert_int_equal(q[i], 0);
	assert_int_equal((uintptr_t)q % 4096, 0);
	viommu__free(p);
	viommu__free(q);
}

static void sizes_that_overflow_give_null(void **state)
{
	long live = viommu__alloc_live();

	(void)state;
	assert_null(viommu__calloc(SIZE_MAX / 2, 4));
	assert_null(viommu__realloc(NULL, SIZE_MAX / 2, 4));
	assert_int_equal(viommu__alloc_live(), live);
}

static void size_zero_can_be_freed(void **state)
{
	void *p = viommu__alloc(0), *q = viommu__calloc(0, 8);

	(void)state;
	assert_non_null(p);
	assert_non_null(q);
	viommu__free(p);
	viommu__free(q);
	viommu__free(NULL);
}

static void live_counts_what_is_not_freed(void **state)
{
	long live = viommu__alloc_live();
	void *p, *q, *r;

	(void)state;
	p = viommu__alloc(1);
	q = viommu__alloc_aligned(64, 64);
	r = viommu__realloc(NULL, 4, 4);
	assert_int_equal(viommu__alloc_live(), live + 3);
	r = viommu__realloc(r, 4000, 4);
	assert_int_equal(viommu__alloc_live(), live + 3);
	viommu__free(p);
	viommu__free(q);
	viommu__free(r);
	assert_int_equal(viommu__alloc_live(), live);
}

static void exactly_the_nth_allocation_fails(void **state)
{
	long live = viommu__alloc_live();
	void *p[4];
	long n, i;

	(void)state;
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		p[0] = viommu__alloc(8);
		p[1] = viommu__calloc(1, 8);
		p[2] = viommu__alloc_aligned(64, 8);
		p[3] = viommu__realloc(NULL, 1, 8);
		for (i = 0; i < 4; i++) {
			if (i + 1 == n)
				assert_null(p[i]);
			else
				assert_non_null(p[i]);
			viommu__free(p[i]);
		}
		if (!viommu__alloc_fail_done())
			break;
	}
	assert_int_equal(n, 5);
	assert_int_equal(viommu__alloc_live(), live);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(calloc_and_aligned_memory_is_zero),
	cmocka_unit_test(sizes_that_overflow_give_null),
	cmocka_unit_test(size_zero_can_be_freed),
	cmocka_unit_test(live_counts_what_is_not_freed),
	cmocka_unit_test(exactly_the_nth_allocation_fails),
};
TEST_MAIN(tests)
