/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The builder that the walker's tests stand on (tests/lib/tables.h), checked by hand-written
 * entries: what it writes, where an upper stage's tables appear below.
 */
#include "lib/tables.h"
#include "lib/test.h"

#define GPA UINT64_C(0x100000000)

static void a_first_stage_leaf_is_reached_through_the_entries_written(void **state)
{
	struct tables t;
	struct tables_stage fs;
	uint64_t va = UINT64_C(0x0000123456789000), *e;
	unsigned int level;

	(void)state;
	tables_init(&t, GPA, 16 << 12);
	tables_stage_init(&fs, &t, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(tables_map(&fs, va, 0xabcde000, 12, TABLES_RWU), 0);
	e = tables_ptr(&t, tables_root(&fs));
	for (level = 4; level > 1; level--) {
		e += va >> (12 + 9 * (level - 1)) & 511;
		assert_ptr_equal(e, tables_entry(&fs, va, level));
		assert_int_equal(*e & 0xfff, 7);
		e = tables_ptr(&t, *e & ~UINT64_C(0xfff));
		assert_non_null(e);
	}
	e += va >> 12 & 511;
	assert_int_equal(*e, 0xabcde007);
	/* root, three tables below it */
	assert_int_equal(t.used, 4 << 12);
	tables_free(&t);
}

static void entries_have_the_bits_of_their_format(void **state)
{
	(void)state;
	assert_int_equal(tables_entry_make(VIOMMU_FORMAT_VTD_FS, 0x1000, 12, 0), 0x1001);
	assert_int_equal(tables_entry_make(VIOMMU_FORMAT_VTD_FS, 0x200000, 21,
					   TABLES_W | TABLES_U | TABLES_A | TABLES_D),
			 0x2000e7);
	assert_int_equal(tables_entry_make(VIOMMU_FORMAT_VTD_SS, 0x1000, 0, TABLES_RW), 0x1003);
	assert_int_equal(tables_entry_make(VIOMMU_FORMAT_VTD_SS, 0x40000000, 30,
					   TABLES_R | TABLES_A | TABLES_D),
			 0x40000381);
}

static void a_leaf_in_the_way_is_refused_and_the_same_size_is_replaced(void **state)
{
	struct tables t;
	struct tables_stage ss;

	(void)state;
	tables_init(&t, GPA, 16 << 12);
	tables_stage_init(&ss, &t, NULL, VIOMMU_FORMAT_VTD_SS, 3);
	assert_int_equal(tables_map(&ss, 0x200000, 0x400000, 21, TABLES_RW), 0);
	assert_int_equal(tables_map(&ss, 0x201000, 0x5000, 12, TABLES_RW), -EEXIST);
	assert_int_equal(tables_map(&ss, 0, 0, 30, TABLES_RW), -EEXIST);
	assert_int_equal(tables_map(&ss, 0x200000, 0x800000, 21, TABLES_R), 0);
	assert_int_equal(*tables_entry(&ss, 0x200000, 2), 0x800081);
	assert_null(tables_entry(&ss, 0x200000, 1));
	tables_free(&t);
}

/* Follow the table's address through the stage below by hand. */
static void an_upper_stages_tables_appear_in_the_stage_below(void **state)
{
	struct tables t;
	struct tables_stage fs, ss;
	uint64_t root, *leaf;

	(void)state;
	tables_init(&t, GPA, 64 << 12);
	tables_stage_init(&ss, &t, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	tables_stage_init(&fs, &t, &ss, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(tables_map(&fs, 0x7000, 0x5000, 12, TABLES_RWU), 0);
	root = tables_root(&fs);
	assert_int_equal(root, TABLES_WINDOW);
	leaf = tables_entry(&ss, root, 1);
	assert_non_null(leaf);
	assert_int_equal(*leaf & 0xfff, 3);
	assert_ptr_equal(tables_ptr(&t, *leaf & ~UINT64_C(0xfff)), tables_entry(&fs, 0, 4));
	assert_int_equal(tables_entry_addr(&fs, 0x7000, 1), TABLES_WINDOW + (3 << 12) + 7 * 8);
	tables_free(&t);
}

static void four_stages_stack(void **state)
{
	struct tables t;
	struct tables_stage s[4];
	struct viommu_stack stack;
	int i;

	(void)state;
	tables_init(&t, GPA, 512 << 12);
	for (i = 3; i >= 0; i--)
		tables_stage_init(&s[i], &t, i == 3 ? NULL : &s[i + 1],
				  i ? VIOMMU_FORMAT_VTD_SS : VIOMMU_FORMAT_VTD_FS, 4);
	s[2].next = TABLES_SAME;
	assert_int_equal(tables_map(&s[0], 0x7000, 0x5000, 12, TABLES_RWU), 0);
	assert_int_equal(*tables_entry(&s[0], 0x7000, 1), 0x5007);
	tables_stack(&s[0], 48, NULL, &stack);
	assert_int_equal(stack.nr, 4);
	assert_int_equal(stack.stage[0].format, VIOMMU_FORMAT_VTD_FS);
	assert_int_equal(stack.stage[3].format, VIOMMU_FORMAT_VTD_SS);
	assert_int_equal(stack.stage[3].root, tables_root(&s[3]));
	assert_int_equal(stack.stage[2].root & ~UINT64_C(0xfff), stack.stage[2].root);
	/* A stage whose tables are at their physical addresses. */
	assert_non_null(tables_ptr(&t, stack.stage[2].root));
	tables_free(&t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_first_stage_leaf_is_reached_through_the_entries_written),
	cmocka_unit_test(entries_have_the_bits_of_their_format),
	cmocka_unit_test(a_leaf_in_the_way_is_refused_and_the_same_size_is_replaced),
	cmocka_unit_test(an_upper_stages_tables_appear_in_the_stage_below),
	cmocka_unit_test(four_stages_stack),
};

TEST_MAIN(tests)
