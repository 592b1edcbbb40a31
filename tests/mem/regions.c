/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions: every return value of adding, removing and listing them, where a file is mapped, and
 * thousands of them.
 */
#include <viommu/mem.h>

#include "mem/files.h"

static char arena[64 * 4096] __attribute__((aligned(4096)));

static struct viommu_mem *mem_new(void)
{
	struct viommu_mem *mem;

	assert_int_equal(viommu_mem_new(&mem), 0);
	assert_non_null(mem);
	return mem;
}

static void a_new_memory_is_one_hole(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	uint64_t v = 7;

	(void)state;
	assert_int_equal(viommu_mem_next(mem, 0, &r), -ENOENT);
	assert_int_equal(viommu_mem_read(mem, 0, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, UINT64_MAX, &v, 1), -EFAULT);
	assert_int_equal(viommu_mem_remove(mem, 0, UINT64_MAX), -ENOENT);
	assert_int_equal(v, 7);
	viommu_mem_free(mem);
	viommu_mem_free(NULL);
}

static void an_added_file_is_read_and_written_in_place(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	int fd = file_sealed(4 * PAGE);
	uint64_t v = 0x1122334455667788, got = 0;

	(void)state;
	assert_int_equal(pwrite(fd, &v, 8, 3 * PAGE + 16), 8);
	/* The second half of the file, so that an ignored offset shows. */
	assert_int_equal(viommu_mem_add_fd(mem, 0x10000, 2 * PAGE, fd, 2 * PAGE, 0), 0);
	assert_int_equal(viommu_mem_read(mem, 0x10000 + PAGE + 16, &got, 8), 0);
	assert_int_equal(got, v);
	v = ~v;
	assert_int_equal(viommu_mem_write(mem, 0x10000 + 24, &v, 8), 0);
	assert_int_equal(pread(fd, &got, 8, 2 * PAGE + 24), 8);
	assert_int_equal(got, v);
	assert_int_equal(viommu_mem_next(mem, 0, &r), 0);
	assert_int_equal(r.gpa, 0x10000);
	assert_int_equal(r.bytes, 2 * PAGE);
	assert_int_equal(r.flags, 0);
	assert_int_equal(r.lost, 0);
	assert_memory_equal((char *)r.host + 24, &v, 8);
	/* The descriptor is not needed any more. */
	assert_int_equal(close(fd), 0);
	assert_int_equal(viommu_mem_read(mem, 0x10000 + 24, &got, 8), 0);
	assert_int_equal(got, v);
	viommu_mem_free(mem);
	assert_false(page_is_mapped(r.host));
}

static void an_added_pointer_stays_the_callers(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	uint32_t v = 0xdeadbeef;

	(void)state;
	memset(arena, 0, sizeof(arena));
	assert_int_equal(viommu_mem_add_ptr(mem, 0, 2 * PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_write(mem, PAGE, &v, 4), 0);
	assert_memory_equal(arena + PAGE, &v, 4);
	assert_int_equal(viommu_mem_next(mem, 0, &r), 0);
	assert_ptr_equal(r.host, arena);
	assert_int_equal(viommu_mem_remove(mem, 0, 2 * PAGE), 0);
	assert_true(page_is_mapped(arena));
	assert_memory_equal(arena + PAGE, &v, 4);
	viommu_mem_free(mem);
}

static void adding_with_wrong_arguments_is_einval(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	int fd = file_sealed(4 * PAGE);
	const uint64_t top = UINT64_C(1) << 52;

	(void)state;
	assert_int_equal(viommu_mem_add_fd(mem, 1, PAGE, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 2048, PAGE, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE - 1, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, 0, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 512, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 2), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 0, 0x80000000), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, top, PAGE, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, top - PAGE, 2 * PAGE, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, -PAGE, 2 * PAGE, fd, 0, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, -PAGE, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, INT64_MAX - 4095, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 5, PAGE, arena, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, 100, arena, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, 0, arena, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, PAGE, arena + 8, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, PAGE, NULL, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, PAGE, arena, 4), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, top - PAGE, 2 * PAGE, arena, 0), -EINVAL);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, 2 * PAGE, (void *)(UINTPTR_MAX & ~(PAGE - 1)),
					    0),
			 -EINVAL);
	assert_int_equal(viommu_mem_next(mem, 0, &r), -ENOENT);
	/* The last page that is allowed. */
	assert_int_equal(viommu_mem_add_fd(mem, top - PAGE, PAGE, fd, 0, 0), 0);
	close(fd);
	viommu_mem_free(mem);
}

static void what_the_descriptor_cannot_do_is_its_errno(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	int fd, ro;
	char path[64];

	(void)state;
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, -1, 0, 0), -EBADF);
	fd = file_sealed(2 * PAGE);
	assert_int_equal(viommu_mem_add_fd(mem, 0, 3 * PAGE, fd, 0, 0), -ENXIO);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, fd, 2 * PAGE, 0), -ENXIO);
	/* A descriptor that is open for reading gives a read-only region, and no other. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, ro, 0, 0), -EACCES);
	assert_int_equal(viommu_mem_next(mem, 0, &r), -ENOENT);
	assert_int_equal(viommu_mem_add_fd(mem, 0, PAGE, ro, 0, VIOMMU_MEM_READ_ONLY), 0);
	close(ro);
	close(fd);
	viommu_mem_free(mem);
}

static void overlapping_regions_are_eexist(void **state)
{
	static const struct {
		uint64_t gpa, pages;
		int ret;
	} cases[] = {
		{ 0x10000, 4, -EEXIST }, { 0xf000, 2, -EEXIST },  { 0x13000, 1, -EEXIST },
		{ 0x0f000, 8, -EEXIST }, { 0x11000, 1, -EEXIST }, { 0x13000, 9, -EEXIST },
		{ 0x0f000, 1, 0 },       { 0x14000, 1, 0 },
	};
	struct viommu_mem *mem = mem_new();
	size_t i;

	(void)state;
	assert_int_equal(viommu_mem_add_ptr(mem, 0x10000, 4 * PAGE, arena, 0), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(viommu_mem_add_ptr(mem, cases[i].gpa, cases[i].pages * PAGE, arena,
						    0),
				 cases[i].ret);
	viommu_mem_free(mem);
}

static void removal_takes_whole_regions_or_nothing(void **state)
{
	struct viommu_mem *mem = mem_new();
	uint64_t v;

	(void)state;
	assert_int_equal(viommu_mem_add_ptr(mem, 0x1000, PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0x4000, 4 * PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0x8000, PAGE, arena, 0), 0);

	assert_int_equal(viommu_mem_remove(mem, 0x4000, 0), -EINVAL);
	assert_int_equal(viommu_mem_remove(mem, 0x4000, -UINT64_C(0x4000)), -EINVAL);
	assert_int_equal(viommu_mem_remove(mem, 0x4000, UINT64_MAX), -EINVAL);
	assert_int_equal(viommu_mem_remove(mem, 0x2000, 2 * PAGE), -ENOENT);
	assert_int_equal(viommu_mem_remove(mem, 0x9000, PAGE), -ENOENT);
	assert_int_equal(viommu_mem_remove(mem, 0, PAGE), -ENOENT);
	/* Partly: at its start, its end, its middle; and the others stay. */
	assert_int_equal(viommu_mem_remove(mem, 0, 0x5000), -EINVAL);
	assert_int_equal(viommu_mem_remove(mem, 0x5000, 0x10000), -EINVAL);
	assert_int_equal(viommu_mem_remove(mem, 0x5000, PAGE), -EINVAL);
	assert_int_equal(viommu_mem_remove(mem, 0x4001, 0x4000), -EINVAL);
	assert_int_equal(viommu_mem_read(mem, 0x1000, &v, 8), 0);
	assert_int_equal(viommu_mem_read(mem, 0x8000, &v, 8), 0);

	/* The range need not be aligned, nor end at a region. */
	assert_int_equal(viommu_mem_remove(mem, 0x3fff, 0x5002), 0);
	assert_int_equal(viommu_mem_read(mem, 0x4000, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x8000, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x1000, &v, 8), 0);
	assert_int_equal(viommu_mem_remove(mem, 0, UINT64_MAX), 0);
	assert_int_equal(viommu_mem_read(mem, 0x1000, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_remove(mem, 0, UINT64_MAX), -ENOENT);
	viommu_mem_free(mem);
}

static void a_removed_file_is_unmapped(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	int fd = file_sealed(8 * PAGE);

	(void)state;
	assert_int_equal(viommu_mem_add_fd(mem, 0, 8 * PAGE, fd, 0, 0), 0);
	assert_int_equal(viommu_mem_next(mem, 0, &r), 0);
	assert_true(page_is_mapped(r.host));
	assert_int_equal(viommu_mem_remove(mem, 0, 8 * PAGE), 0);
	assert_false(page_is_mapped(r.host));
	assert_false(page_is_mapped((char *)r.host + 7 * PAGE));
	close(fd);
	viommu_mem_free(mem);
}

static void the_list_walks_up_and_skips_holes(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;

	(void)state;
	/* Not in order. */
	assert_int_equal(viommu_mem_add_ptr(mem, 0x9000, PAGE, arena, VIOMMU_MEM_READ_ONLY), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0x1000, 2 * PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0x3000, PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_next(mem, 0, &r), 0);
	assert_int_equal(r.gpa, 0x1000);
	assert_int_equal(viommu_mem_next(mem, 0x2fff, &r), 0);
	assert_int_equal(r.gpa, 0x1000);
	assert_int_equal(viommu_mem_next(mem, r.gpa + r.bytes, &r), 0);
	assert_int_equal(r.gpa, 0x3000);
	assert_int_equal(viommu_mem_next(mem, r.gpa + r.bytes, &r), 0);
	assert_int_equal(r.gpa, 0x9000);
	assert_int_equal(r.bytes, PAGE);
	assert_int_equal(r.flags, VIOMMU_MEM_READ_ONLY);
	assert_int_equal(viommu_mem_next(mem, 0xa000, &r), -ENOENT);
	assert_int_equal(viommu_mem_next(mem, UINT64_MAX, &r), -ENOENT);
	viommu_mem_free(mem);
}

/* Bytes of address space that this process has mapped. */
static uint64_t address_space(void)
{
	unsigned long pages;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * PAGE;
}

static void large_files_lie_where_large_pages_fit(void **state)
{
	static const struct {
		uint64_t gpa, bytes, align;
	} cases[] = {
		{ 0, GIB, GIB },
		{ 4 * GIB + 2 * MIB, GIB + 4 * MIB, GIB },
		{ 100 * GIB + 5 * PAGE, 2 * GIB, GIB },
		{ 200 * GIB, 2 * MIB, 2 * MIB },
		{ 201 * GIB + 3 * PAGE, 3 * MIB, 2 * MIB },
		{ 202 * GIB, GIB - PAGE, 2 * MIB },
		{ 203 * GIB + PAGE, PAGE, PAGE },
	};
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	uint64_t before = address_space(), bytes = 0;
	int fd = file_sealed(2 * GIB);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(viommu_mem_add_fd(mem, cases[i].gpa, cases[i].bytes, fd, 0, 0), 0);
		assert_int_equal(viommu_mem_next(mem, cases[i].gpa, &r), 0);
		assert_int_equal(r.bytes, cases[i].bytes);
		assert_int_equal(((uintptr_t)r.host ^ r.gpa) % cases[i].align, 0);
		bytes += r.bytes;
	}
	/* What was reserved around them is given back; a few pages may be the allocator's. */
	assert_in_range(address_space() - before, bytes, bytes + MIB);
	close(fd);
	viommu_mem_free(mem);
}

static void one_region_more_than_the_most_is_enospc(void **state)
{
	struct viommu_mem *mem = mem_new();
	struct viommu_mem_region r;
	uint64_t i, v, gpa = 0;
	uint32_t n = 0;

	(void)state;
	/* A stride that visits every page once, in no simple order; all show the same bytes. */
	for (i = 0; i < VIOMMU_MEM_MAX_REGIONS; i++)
		assert_int_equal(viommu_mem_add_ptr(mem,
						    i * 40503 % VIOMMU_MEM_MAX_REGIONS * 2 * PAGE,
						    PAGE, arena, 0),
				 0);
	assert_int_equal(viommu_mem_add_ptr(mem, PAGE, PAGE, arena, 0), -ENOSPC);
	/* Overlap is said first. */
	assert_int_equal(viommu_mem_add_ptr(mem, 0, PAGE, arena, 0), -EEXIST);
	for (; viommu_mem_next(mem, gpa, &r) == 0; gpa = r.gpa + r.bytes, n++)
		assert_int_equal(r.gpa, n * 2 * PAGE);
	assert_int_equal(n, VIOMMU_MEM_MAX_REGIONS);
	assert_int_equal(viommu_mem_remove(mem, 0x2000 * 777, PAGE), 0);
	assert_int_equal(viommu_mem_read(mem, 0x2000 * 777, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_read(mem, 0x2000 * 776, &v, 8), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, PAGE, PAGE, arena, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 3 * PAGE, PAGE, arena, 0), -ENOSPC);
	assert_int_equal(viommu_mem_remove(mem, 0, VIOMMU_MEM_MAX_REGIONS * 2 * PAGE), 0);
	assert_int_equal(viommu_mem_next(mem, 0, &r), -ENOENT);
	viommu_mem_free(mem);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_new_memory_is_one_hole),
	cmocka_unit_test(an_added_file_is_read_and_written_in_place),
	cmocka_unit_test(an_added_pointer_stays_the_callers),
	cmocka_unit_test(adding_with_wrong_arguments_is_einval),
	cmocka_unit_test(what_the_descriptor_cannot_do_is_its_errno),
	cmocka_unit_test(overlapping_regions_are_eexist),
	cmocka_unit_test(removal_takes_whole_regions_or_nothing),
	cmocka_unit_test(a_removed_file_is_unmapped),
	cmocka_unit_test(the_list_walks_up_and_skips_holes),
	cmocka_unit_test(large_files_lie_where_large_pages_fit),
	cmocka_unit_test(one_region_more_than_the_most_is_enospc),
};

TEST_MAIN(tests)
