/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each allocation of each call fails once: the call says -ENOMEM and changed nothing (a removal
 * succeeds all the same), and nothing is leaked.
 */
#include "mem/mem.h"

#include "base/alloc.h"
#include "mem/files.h"

/* More than a leaf of the index holds, so that an insertion in the middle splits one. */
#define REGIONS 128

static char arena[4096] __attribute__((aligned(4096)));

/* Regions as text, to compare. */
static uint64_t regions_hash(struct viommu_mem *mem, unsigned int *n)
{
	struct viommu_mem_region r;
	uint64_t gpa = 0, h = 14695981039346656037u;

	for (*n = 0; viommu_mem_next(mem, gpa, &r) == 0; gpa = r.gpa + r.bytes, ++*n)
		h = (h ^ r.gpa ^ r.bytes << 20 ^ r.flags ^ (uint64_t)(uintptr_t)r.host << 13) *
		    1099511628211u;
	return h;
}

static struct viommu_mem *mem_filled(unsigned int n)
{
	struct viommu_mem *mem;
	unsigned int i;

	assert_int_equal(viommu_mem_new(&mem), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(viommu_mem_add_ptr(mem, i * 2 * PAGE, PAGE, arena, 0), 0);
	return mem;
}

static void creation_fails_whole(void **state)
{
	struct viommu_mem *mem;
	long n, live = viommu__alloc_live();
	int ret;

	(void)state;
	for (n = 1;; n++) {
		mem = (void *)arena;
		viommu__alloc_fail_nth(n);
		ret = viommu_mem_new(&mem);
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_null(mem);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_int_equal(ret, 0);
	assert_true(n > 3);
	viommu_mem_free(mem);
	assert_int_equal(viommu__alloc_live(), live);
}

static int add_fd_or_ptr(struct viommu_mem *mem, uint64_t gpa, int fd)
{
	if (fd >= 0)
		return viommu_mem_add_fd(mem, gpa, PAGE, fd, 0, 0);
	return viommu_mem_add_ptr(mem, gpa, PAGE, arena, 0);
}

static void addition_fails_whole(unsigned int filled, int fd)
{
	long n, live = viommu__alloc_live();
	struct viommu_mem *mem = mem_filled(filled);
	unsigned int count;
	uint64_t before = regions_hash(mem, &count), v;
	int ret;

	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = add_fd_or_ptr(mem, 129 * PAGE, fd);
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(regions_hash(mem, &count), before);
		assert_int_equal(count, filled);
		assert_int_equal(viommu_mem_read(mem, 129 * PAGE, &v, 8), -EFAULT);
	}
	assert_int_equal(ret, 0);
	/* Region, two tops, two leaves. */
	assert_true(n > 5);
	assert_int_equal(viommu_mem_read(mem, 129 * PAGE, &v, 8), 0);
	viommu_mem_free(mem);
	assert_int_equal(viommu__alloc_live(), live);
}

static void adding_the_first_pointer_fails_whole(void **state)
{
	(void)state;
	addition_fails_whole(0, -1);
}

static void adding_a_file_that_splits_a_leaf_fails_whole(void **state)
{
	int fd = file_sealed(PAGE);

	(void)state;
	addition_fails_whole(REGIONS, fd);
	close(fd);
}

static void removal_needs_no_memory(void **state)
{
	long n, live = viommu__alloc_live();
	struct viommu_mem_region r;
	struct viommu_mem *mem;
	unsigned int count;
	uint64_t v;
	bool failed;

	(void)state;
	for (n = 1, failed = true; failed; n++) {
		mem = mem_filled(REGIONS);
		viommu__alloc_fail_nth(n);
		assert_int_equal(viommu_mem_remove(mem, 2 * PAGE, 5 * PAGE), 0);
		failed = viommu__alloc_fail_done();
		/* Gone for everyone ... */
		assert_int_equal(viommu_mem_read(mem, 2 * PAGE, &v, 8), -EFAULT);
		assert_int_equal(viommu_mem_read(mem, 8 * PAGE, &v, 8), 0);
		regions_hash(mem, &count);
		assert_int_equal(count, REGIONS - 3);
		assert_int_equal(viommu_mem_remove(mem, 2 * PAGE, 5 * PAGE), -ENOENT);
		/* ... so its place can be taken, by something of another shape. */
		assert_int_equal(viommu_mem_add_ptr(mem, 3 * PAGE, PAGE, arena, 0), 0);
		assert_int_equal(viommu_mem_read(mem, 3 * PAGE, &v, 8), 0);
		assert_int_equal(viommu_mem_read(mem, 4 * PAGE, &v, 8), -EFAULT);
		assert_int_equal(viommu_mem_next(mem, PAGE, &r), 0);
		assert_int_equal(r.gpa, 3 * PAGE);
		viommu_mem_free(mem);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_true(n > 4);
}

static void removed_entries_wait_for_memory(void **state)
{
	long live = viommu__alloc_live();
	struct viommu_mem *mem = mem_filled(4);
	struct viommu_mem_region r;
	int fd = file_sealed(PAGE), i, ret;
	void *host;
	uint64_t v;
	bool w;

	(void)state;
	assert_int_equal(viommu_mem_add_fd(mem, 100 * PAGE, PAGE, fd, 0, 0), 0);
	assert_int_equal(viommu_mem_next(mem, 100 * PAGE, &r), 0);
	host = r.host;
	/* The index by guest address cannot be rebuilt; the bytes are unmapped none the less. */
	viommu__alloc_fail_nth(1);
	assert_int_equal(viommu_mem_remove(mem, 100 * PAGE, PAGE), 0);
	assert_true(viommu__alloc_fail_done());
	assert_false(page_is_mapped(host));
	for (i = 0; i < 2; i++) {
		/* The next change would clean up, and fails at that. */
		viommu__alloc_fail_nth(1);
		ret = viommu_mem_add_ptr(mem, 99 * PAGE, 3 * PAGE, arena, 0);
		assert_true(viommu__alloc_fail_done());
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(viommu_mem_read(mem, 100 * PAGE, &v, 8), -EFAULT);
		assert_false(viommu__mem_has_host(mem, host, 1, &w));
		assert_int_equal(viommu_mem_next(mem, 10 * PAGE, &r), -ENOENT);
	}
	viommu__alloc_fail_nth(1);
	assert_int_equal(viommu_mem_remove(mem, 0, PAGE), 0);
	viommu__alloc_fail_done();
	viommu_mem_free(mem);
	assert_int_equal(viommu__alloc_live(), live);
	close(fd);
}

static void what_additions_replace_is_freed_without_a_removal(void **state)
{
	struct viommu_mem *mem = mem_filled(0);
	unsigned token, i;
	long live;

	(void)state;
	for (i = 0; i < 1000; i++)
		assert_int_equal(viommu_mem_add_ptr(mem, i * PAGE, PAGE, arena, 0), 0);
	live = viommu__alloc_live();
	/* The regions, at most 1000 / 64 leaves of each index, a few others. */
	assert_true(live < 1000 + 2 * 16 + 20);
	/* A reader in between keeps what it may see; an addition does not wait for it. */
	token = viommu__mem_enter(mem);
	for (; i < 1100; i++)
		assert_int_equal(viommu_mem_add_ptr(mem, i * PAGE, PAGE, arena, 0), 0);
	assert_true(viommu__alloc_live() > live + 100 + 300);
	viommu__mem_leave(mem, token);
	assert_int_equal(viommu_mem_add_ptr(mem, i * PAGE, PAGE, arena, 0), 0);
	assert_true(viommu__alloc_live() < live + 100 + 20);
	viommu_mem_free(mem);
}

static void the_nth_lookup_finds_a_hole_once(void **state)
{
	struct viommu_mem *mem = mem_filled(2);
	uint64_t v = 0, n;
	unsigned token;
	bool w;

	(void)state;
	assert_int_equal(viommu_mem_add_ptr(mem, PAGE, PAGE, arena, 0), 0);
	assert_false(viommu__mem_fail_done(mem));
	viommu__mem_fail_nth(mem, 3);
	assert_int_equal(viommu_mem_load64(mem, 0, &v), 0);
	/* Across two regions: the second lookup of it is the third. */
	assert_int_equal(viommu_mem_read(mem, PAGE - 4, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, PAGE - 4, &v, 8), 0);
	assert_true(viommu__mem_fail_done(mem));
	token = viommu__mem_enter(mem);
	viommu__mem_fail_nth(mem, 1);
	assert_null(viommu__mem_ptr(mem, 0, false, &n));
	assert_non_null(viommu__mem_ptr(mem, 0, false, &n));
	viommu__mem_fail_nth(mem, 1);
	assert_false(viommu__mem_has_host(mem, arena, 1, &w));
	assert_true(viommu__mem_has_host(mem, arena, 1, &w));
	viommu__mem_leave(mem, token);
	viommu__mem_fail_nth(mem, 2);
	assert_int_equal(viommu_mem_store64(mem, 0, 1), 0);
	assert_false(viommu__mem_fail_done(mem));
	assert_int_equal(viommu_mem_store64(mem, 0, 1), 0);
	viommu_mem_free(mem);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(creation_fails_whole),
	cmocka_unit_test(adding_the_first_pointer_fails_whole),
	cmocka_unit_test(adding_a_file_that_splits_a_leaf_fails_whole),
	cmocka_unit_test(removal_needs_no_memory),
	cmocka_unit_test(removed_entries_wait_for_memory),
	cmocka_unit_test(the_nth_lookup_finds_a_hole_once),
	cmocka_unit_test(what_additions_replace_is_freed_without_a_removal),
};

TEST_MAIN(tests)
