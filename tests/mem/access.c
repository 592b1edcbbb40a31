/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accesses: copies within and across regions, holes, read-only regions, 64-bit atomics, and the
 * pointers of a reader section.
 */
#include "mem/mem.h"

#include "mem/files.h"

#include <pthread.h>

/* Three regions: [0x1000, 0x3000) [0x3000, 0x4000) hole [0x5000, 0x6000), the last read-only. */
static char low[2 * 4096] __attribute__((aligned(4096)));
static char mid[4096] __attribute__((aligned(4096)));
static char high[4096] __attribute__((aligned(4096)));

static int set_up(void **state)
{
	struct viommu_mem *mem;

	memset(low, 'l', sizeof(low));
	memset(mid, 'm', sizeof(mid));
	memset(high, 'h', sizeof(high));
	if (viommu_mem_new(&mem) || viommu_mem_add_ptr(mem, 0x1000, sizeof(low), low, 0) ||
	    viommu_mem_add_ptr(mem, 0x3000, sizeof(mid), mid, 0) ||
	    viommu_mem_add_ptr(mem, 0x5000, sizeof(high), high, VIOMMU_MEM_READ_ONLY))
		return -1;
	*state = mem;
	return 0;
}

static int tear_down(void **state)
{
	viommu_mem_free(*state);
	return 0;
}

static void copies_cross_from_region_to_region(void **state)
{
	struct viommu_mem *mem = *state;
	char buf[0x3000], expect[0x3000];

	assert_int_equal(viommu_mem_read(mem, 0x1000, buf, sizeof(buf)), 0);
	memset(expect, 'l', 0x2000);
	memset(expect + 0x2000, 'm', 0x1000);
	assert_memory_equal(buf, expect, sizeof(buf));
	assert_int_equal(viommu_mem_read(mem, 0x2ffd, buf, 6), 0);
	assert_memory_equal(buf, "lllmmm", 6);
	assert_int_equal(viommu_mem_write(mem, 0x2ffe, "abcd", 4), 0);
	assert_memory_equal(low + 0x1ffe, "ab", 2);
	assert_memory_equal(mid, "cdm", 3);
}

static void a_hole_anywhere_in_a_copy_is_efault(void **state)
{
	struct viommu_mem *mem = *state;
	char buf[0x2000] = { 0 };

	assert_int_equal(viommu_mem_read(mem, 0xfff, buf, 2), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x4000, buf, 1), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x4fff, buf, 2), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x5fff, buf, 2), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x3000, buf, 0x2000), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, UINT64_MAX, buf, 2), -EFAULT);
	assert_int_equal(viommu_mem_write(mem, 0xfff, buf, 2), -EFAULT);
	assert_int_equal(viommu_mem_write(mem, 0x4000, buf, 1), -EFAULT);
	assert_int_equal(viommu_mem_write(mem, 0x3fff, buf, 2), -EFAULT);
	assert_int_equal(viommu_mem_write(mem, UINT64_MAX - 1, buf, 8), -EFAULT);
	/* No byte of a hole reached anything: what lies behind it is as it was. */
	assert_int_equal(high[0], 'h');
}

static void copies_of_nothing_succeed_anywhere(void **state)
{
	struct viommu_mem *mem = *state;

	assert_int_equal(viommu_mem_read(mem, 0x4000, NULL, 0), 0);
	assert_int_equal(viommu_mem_write(mem, UINT64_MAX, NULL, 0), 0);
}

static void a_read_only_region_is_read_and_not_written(void **state)
{
	struct viommu_mem *mem = *state;
	uint64_t v = 0;
	char c = 0;

	assert_int_equal(viommu_mem_read(mem, 0x5fff, &c, 1), 0);
	assert_int_equal(c, 'h');
	assert_int_equal(viommu_mem_load64(mem, 0x5008, &v), 0);
	assert_int_equal(v, 0x6868686868686868);
	assert_int_equal(viommu_mem_write(mem, 0x5000, &c, 1), -EFAULT);
	assert_int_equal(viommu_mem_store64(mem, 0x5000, 1), -EFAULT);
	/* Also when the comparison would fail. */
	assert_int_equal(viommu_mem_cas64(mem, 0x5000, &v, 1), -EFAULT);
	v = 3;
	assert_int_equal(viommu_mem_cas64(mem, 0x5000, &v, 1), -EFAULT);
	assert_int_equal(v, 3);
	assert_int_equal(high[0], 'h');
}

static void words_are_loaded_stored_and_swapped(void **state)
{
	struct viommu_mem *mem = *state;
	uint64_t v;

	assert_int_equal(viommu_mem_store64(mem, 0x2ff8, 0x0102030405060708), 0);
	assert_int_equal(viommu_mem_load64(mem, 0x2ff8, &v), 0);
	assert_int_equal(v, 0x0102030405060708);
	assert_memory_equal(low + 0x1ff8, &v, 8);
	assert_int_equal(low[0x1ff7], 'l');
	assert_int_equal(mid[0], 'm');
	assert_int_equal(viommu_mem_cas64(mem, 0x2ff8, &v, 42), 0);
	assert_int_equal(v, 0x0102030405060708);
	assert_int_equal(viommu_mem_cas64(mem, 0x2ff8, &v, 43), -EAGAIN);
	assert_int_equal(v, 42);
	assert_int_equal(viommu_mem_cas64(mem, 0x2ff8, &v, 43), 0);
	assert_int_equal(viommu_mem_load64(mem, 0x2ff8, &v), 0);
	assert_int_equal(v, 43);
}

static void words_that_are_not_aligned_are_einval(void **state)
{
	struct viommu_mem *mem = *state;
	uint64_t v = 5, gpa;

	for (gpa = 0x1001; gpa < 0x1008; gpa++) {
		assert_int_equal(viommu_mem_load64(mem, gpa, &v), -EINVAL);
		assert_int_equal(viommu_mem_store64(mem, gpa, 0), -EINVAL);
		assert_int_equal(viommu_mem_cas64(mem, gpa, &v, 0), -EINVAL);
	}
	/* In a hole too: the caller's mistake comes first. */
	assert_int_equal(viommu_mem_load64(mem, 0x4004, &v), -EINVAL);
	assert_int_equal(v, 5);
	assert_int_equal(low[0], 'l');
}

static void words_in_a_hole_are_efault(void **state)
{
	struct viommu_mem *mem = *state;
	uint64_t v = 5;

	assert_int_equal(viommu_mem_load64(mem, 0x4000, &v), -EFAULT);
	assert_int_equal(viommu_mem_store64(mem, 0xff8, 0), -EFAULT);
	assert_int_equal(viommu_mem_cas64(mem, 0x6000, &v, 0), -EFAULT);
	assert_int_equal(viommu_mem_load64(mem, -UINT64_C(8), &v), -EFAULT);
	assert_int_equal(v, 5);
}

static void small_copies_are_right_at_each_alignment(void **state)
{
	struct viommu_mem *mem = *state;
	unsigned char buf[32], from[32];
	unsigned int at, n, i;

	for (i = 0; i < sizeof(from); i++)
		from[i] = (unsigned char)(i * 7 + 1);
	for (at = 0; at < 16; at++) {
		for (n = 1; n <= 17; n++) {
			memset(low, 0xee, 64);
			assert_int_equal(viommu_mem_write(mem, 0x1000 + at, from, n), 0);
			assert_memory_equal(low + at, from, n);
			assert_int_equal((unsigned char)low[at + n], 0xee);
			if (at)
				assert_int_equal((unsigned char)low[at - 1], 0xee);
			memset(buf, 0, sizeof(buf));
			assert_int_equal(viommu_mem_read(mem, 0x1000 + at, buf, n), 0);
			assert_memory_equal(buf, from, n);
			assert_int_equal(buf[n], 0);
		}
	}
}

struct adder {
	struct viommu_mem *mem;
	uint64_t times;
};

static void *add_by_cas(void *arg)
{
	struct adder *a = arg;
	uint64_t i, old;

	for (i = 0; i < a->times; i++) {
		if (viommu_mem_load64(a->mem, 0x1000, &old))
			return a;
		while (viommu_mem_cas64(a->mem, 0x1000, &old, old + 1) == -EAGAIN)
			;
	}
	return NULL;
}

static void swaps_of_many_threads_lose_nothing(void **state)
{
	struct adder a = { *state, test_scale(20000) };
	pthread_t threads[4];
	void *failed;
	uint64_t v;
	size_t i;

	assert_int_equal(viommu_mem_store64(a.mem, 0x1000, 0), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_by_cas, &a), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(viommu_mem_load64(a.mem, 0x1000, &v), 0);
	assert_int_equal(v, 4 * a.times);
}

static void a_section_gives_pointers_and_what_follows(void **state)
{
	struct viommu_mem *mem = *state;
	unsigned token = viommu__mem_enter(mem), inner;
	uint64_t n = 0;

	assert_ptr_equal(viommu__mem_ptr(mem, 0x1000, true, &n), low);
	assert_int_equal(n, 0x2000);
	assert_ptr_equal(viommu__mem_ptr(mem, 0x2fff, false, &n), low + 0x1fff);
	assert_int_equal(n, 1);
	assert_ptr_equal(viommu__mem_ptr(mem, 0x3000, true, &n), mid);
	assert_int_equal(n, 0x1000);
	inner = viommu__mem_enter(mem);
	assert_ptr_equal(viommu__mem_ptr(mem, 0x5000, false, &n), high);
	assert_null(viommu__mem_ptr(mem, 0x5000, true, &n));
	assert_null(viommu__mem_ptr(mem, 0x4000, false, &n));
	assert_null(viommu__mem_ptr(mem, 0xfff, false, &n));
	assert_null(viommu__mem_ptr(mem, 0x6000, false, &n));
	viommu__mem_leave(mem, inner);
	viommu__mem_leave(mem, token);
}

static void host_addresses_are_known_if_one_region_holds_all_bytes(void **state)
{
	struct viommu_mem *mem = *state;
	unsigned token = viommu__mem_enter(mem);
	bool w = false;
	char other;

	assert_true(viommu__mem_has_host(mem, low, sizeof(low), &w));
	assert_true(w);
	assert_true(viommu__mem_has_host(mem, low + 0x1fff, 1, &w));
	assert_true(viommu__mem_has_host(mem, high + 1, sizeof(high) - 1, &w));
	assert_false(w);
	assert_false(viommu__mem_has_host(mem, low, sizeof(low) + 1, &w));
	assert_false(w);
	assert_false(viommu__mem_has_host(mem, (void *)((uintptr_t)low - 1), 2, &w));
	assert_false(viommu__mem_has_host(mem, high + 1, UINT64_MAX, &w));
	assert_false(viommu__mem_has_host(mem, &other, 1, &w));
	assert_false(viommu__mem_has_host(mem, NULL, 1, &w));
	assert_false(viommu__mem_has_host(mem, (void *)UINTPTR_MAX, 1, &w));
	viommu__mem_leave(mem, token);
}

static void host_addresses_may_be_shared_by_regions(void **state)
{
	struct viommu_mem *mem = *state;
	unsigned token;
	bool w;

	/*
	 * high once more, writable; a part of low, read-only; low a third time, longer than that.
	 */
	assert_int_equal(viommu_mem_add_ptr(mem, 0x8000, PAGE, high, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0x9000, PAGE, low + PAGE, VIOMMU_MEM_READ_ONLY),
			 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0xa000, PAGE, low, VIOMMU_MEM_READ_ONLY), 0);
	token = viommu__mem_enter(mem);
	assert_true(viommu__mem_has_host(mem, high, PAGE, &w));
	assert_true(w);
	assert_true(viommu__mem_has_host(mem, low + PAGE, PAGE, &w));
	assert_true(w);
	assert_true(viommu__mem_has_host(mem, low, 2 * PAGE, &w));
	assert_true(w);
	viommu__mem_leave(mem, token);
	/* Without the region that reaches farthest, the shorter ones are still there. */
	assert_int_equal(viommu_mem_remove(mem, 0x1000, 2 * PAGE), 0);
	token = viommu__mem_enter(mem);
	assert_true(viommu__mem_has_host(mem, low, PAGE, &w));
	assert_false(w);
	assert_true(viommu__mem_has_host(mem, low + PAGE, PAGE, &w));
	assert_false(w);
	assert_false(viommu__mem_has_host(mem, low, PAGE + 1, &w));
	viommu__mem_leave(mem, token);
}

#define WITH_MEM(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	WITH_MEM(copies_cross_from_region_to_region),
	WITH_MEM(a_hole_anywhere_in_a_copy_is_efault),
	WITH_MEM(copies_of_nothing_succeed_anywhere),
	WITH_MEM(a_read_only_region_is_read_and_not_written),
	WITH_MEM(words_are_loaded_stored_and_swapped),
	WITH_MEM(words_that_are_not_aligned_are_einval),
	WITH_MEM(words_in_a_hole_are_efault),
	WITH_MEM(small_copies_are_right_at_each_alignment),
	WITH_MEM(swaps_of_many_threads_lose_nothing),
	WITH_MEM(a_section_gives_pointers_and_what_follows),
	WITH_MEM(host_addresses_are_known_if_one_region_holds_all_bytes),
	WITH_MEM(host_addresses_may_be_shared_by_regions),
};

TEST_MAIN(tests)
