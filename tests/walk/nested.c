/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stacks of two, three and four stages: the number of reads, what a stage asks of those below it,
 * which stage a fault names.
 */
#include "walk/fix.h"

/* Every stack of up to four stages of any formats and levels, and one of the deepest. */
static void reads_are_a_power_of_levels(void **state)
{
	static const char *const kinds[] = { "f4", "f5", "s3", "s4", "s5" };
	unsigned int n, a, i;

	(void)state;
	for (n = 1; n <= 4; n++) {
		unsigned int all = n == 1 ? 5 : n == 2 ? 25 : n == 3 ? 125 : 625;

		for (a = 0; a < all; a++) {
			unsigned int left = a, reads = 1;
			char stages[9] = "";
			struct fix f;

			for (i = 0; i < n; i++) {
				memcpy(stages + 2 * i, kinds[left % 5], 2);
				reads *= (unsigned int)(kinds[left % 5][1] - '0') + 1;
				left /= 5;
			}
			fix_init(&f, stages);
			fix_ok(&f, fix_addr(0) + 0x18, VIOMMU_WRITE, fix_addr(n) + 0x18);
			assert_int_equal(f.r.reads, reads - 1);
			assert_int_equal(f.r.perm & (VIOMMU_PERM_R | VIOMMU_PERM_W),
					 VIOMMU_PERM_R | VIOMMU_PERM_W);
			fix_free(&f);
		}
	}
}

/* VTD-NEST-05, VTD-NEST-06, VTD-NEST-09 */
static void nested_permissions_are_the_and_of_both_stages(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(2));
	assert_int_equal(f.r.perm, 0xf);
	*fix_entry(&f, 1, 1) &= ~SS_W;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 1, 1);
	fix_fault_at(&f, VIOMMU_ATOMIC, 0x85, 1, 1);
	*fix_entry(&f, 1, 1) ^= SS_W | SS_R;
	fix_fault_at(&f, VIOMMU_READ, 0x86, 1, 1);
	fix_fault_at(&f, VIOMMU_READ | VIOMMU_PRIV, 0x86, 1, 1);
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(2));
	assert_int_equal(f.r.perm, VIOMMU_PERM_W | VIOMMU_PERM_SW);
	/* first-stage rules come first */
	*fix_entry(&f, 0, 1) &= ~FS_RW;
	*fix_entry(&f, 1, 1) = 0;
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
	fix_fault_at(&f, VIOMMU_READ, 0x79, 1, 1);
	fix_free(&f);
}

/* VTD-NEST-07 */
static void nested_page_size_is_the_smaller_one(void **state)
{
	static const unsigned int lg2[] = { 12, 21, 30 };
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++) {
			uint64_t gpa = UINT64_C(0x40000000), hpa = UINT64_C(0x2c0000000);
			struct fix f;

			fix_stages(&f, "f4s4");
			tables_map(&f.stage[1], gpa, hpa, lg2[j], TABLES_RW);
			tables_map(&f.stage[0], UINT64_C(0x7fc0000000), gpa, lg2[i], TABLES_RWU);
			fix_stack(&f);
			fix_ok(&f, UINT64_C(0x7fc0000abc), VIOMMU_READ, hpa + 0xabc);
			assert_int_equal(f.r.page_lg2, lg2[i < j ? i : j]);
			assert_int_equal(f.r.reads, 24 - 5 * i - j);
			fix_free(&f);
		}
	}
}

/*
 * FSPTPTR and the addresses in first-stage entries are inputs of the second stage. (VTD-NEST-08,
 * VTD-PE-18, VTD-FLT-151, VTD-FLT-159)
 */
static void first_stage_addresses_must_fit_the_second_stage(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	for (level = 1; level <= 4; level++) {
		fix_init(&f, "f4s3");
		*fix_entry(&f, 0, level) |= BIT64(39);
		fix_fault_at(&f, VIOMMU_READ, 0x74, 0, level);
		assert_int_equal(*fix_entry(&f, 0, level) & FS_A, 0);
		fix_free(&f);
	}
	fix_init(&f, "f4s3");
	f.stack.stage[0].root |= BIT64(39);
	fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x5b, 0, 0, fix_addr(0), 0, 0);
	fix_free(&f);
	/* a large page's start fits, the byte does not: an ordinary address above the width */
	fix_stages(&f, "f4s4");
	tables_map(&f.stage[0], 0x40000000, 0, 30, TABLES_RWU);
	fix_stack(&f);
	f.stack.stage[1].input_bits = 37;
	fix_fault(&f, 0x40000000, VIOMMU_READ, 0x79, 1, 3, 0, tables_entry_addr(&f.stage[1], 0, 3),
		  0);
	fix_free(&f);
}

/* VTD-NEST-01, VTD-NEST-02, VTD-FLT-160, VTD-FLT-161 */
static void first_stage_tables_must_be_readable_in_the_second(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		uint64_t at;
		struct fix f;

		fix_init(&f, "f4s4");
		at = tables_entry_addr(&f.stage[0], fix_addr(0), level);
		*fix_leaf_below(&f, 0, level) &= ~SS_R;
		fix_fault(&f, fix_addr(0), VIOMMU_READ, level == 4 ? 0x75 : 0x76, 0, level,
			  fix_addr(0), at, 0);
		fix_free(&f);
	}
}

/* VTD-NEST-03, VTD-FLT-162 */
static void first_stage_updates_need_w_in_the_second(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;

		fix_init(&f, "f4s4");
		*fix_leaf_below(&f, 0, level) &= ~SS_W;
		fix_fault_at(&f, VIOMMU_READ, 0x77, 0, level);
		*fix_entry(&f, 0, level) |= FS_A | (level == 1 ? FS_D : 0);
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(2));
		*fix_entry(&f, 0, level) &= ~FS_D;
		if (level == 1) {
			fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2));
			fix_fault_at(&f, VIOMMU_WRITE, 0x77, 0, 1);
		}
		fix_free(&f);
	}
}

/*
 * With SSADE every access to a first-stage table is one with R and W, and dirties its page.
 * (VTD-NEST-04)
 */
static void with_ssade_reads_of_tables_count_as_writes(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[1].flags |= VIOMMU_STAGE_AD;
	for (level = 1; level <= 4; level++)
		*fix_entry(&f, 0, level) |= FS_A | (level == 1 ? FS_D : 0);
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2));
	for (level = 1; level <= 4; level++)
		assert_int_equal(*fix_leaf_below(&f, 0, level) & (SS_A | SS_D), SS_A | SS_D);
	assert_int_equal(*fix_entry(&f, 1, 1) & (SS_A | SS_D), SS_A);
	/*
	 * Five leaves, four of them dirty. Upper entries: the data and the tables (at the window)
	 * share the top two of stage 1 (fix_addr(1) and the window lie in one 512-GiB slot, not in
	 * one GiB), then two paths of two.
	 */
	assert_int_equal(fix_changes(&f), 5 + 4 + 1 + 2 + 2);
	/* A read-only page for a table is not enough, even if no bit of it needs setting. */
	*fix_leaf_below(&f, 0, 2) &= ~SS_W;
	fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x77, 0, 2, fix_addr(0),
		  tables_entry_addr(&f.stage[0], fix_addr(0), 2), 0);
	fix_free(&f);
}

/* VTD-NEST-10 */
static void second_stage_faults_of_table_reads_keep_their_reason(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	for (level = 1; level <= 4; level++) {
		uint64_t at, *e;
		unsigned int ss;

		fix_init(&f, "f4s4");
		at = tables_entry_addr(&f.stage[0], fix_addr(0), level);
		for (ss = 1; ss <= 4; ss++) {
			uint64_t was, ea = tables_entry_addr(&f.stage[1], at, ss);

			/* entries of levels 2 and up serve all tables: the top one meets it */
			if (ss > 1 && level != 4)
				continue;
			e = tables_entry(&f.stage[1], at, ss);
			was = *e;
			*e = 0;
			fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x79, 1, ss, at, ea, 0);
			*e = was | BIT64(51);
			fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x7a, 1, ss, at, ea,
				  was | BIT64(51));
			*e = was;
		}
		fix_free(&f);
	}
	fix_init(&f, "f4s4");
	f.stack.stage[1].root = 0x7000;
	assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ), VIOMMU_FAULTED);
	assert_int_equal(f.r.fault.reason, 0x7b);
	assert_int_equal(f.r.fault.stage, 1);
	fix_free(&f);
}

static void a_first_stage_table_mapped_to_a_hole_is_an_access_error(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;
		uint64_t at;

		fix_init(&f, "f4s4");
		at = tables_entry_addr(&f.stage[0], fix_addr(0), level);
		*fix_leaf_below(&f, 0, level) = 0x7000 | SS_R | SS_W;
		fix_fault(&f, fix_addr(0), VIOMMU_READ, level == 4 ? 0x73 : 0x70, 0, level,
			  fix_addr(0), at, 0);
		fix_free(&f);
	}
}

static void nested_read_marks_first_stage_tables_exactly(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f5s5");
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(2));
	assert_int_equal(f.r.reads, 35);
	assert_int_equal(fix_changes(&f), 6);
	assert_int_equal(*fix_entry(&f, 0, 1) & (FS_A | FS_D), FS_A | FS_D);
	fix_free(&f);
}

static void second_stage_snoop_bit_is_reported_through_nesting(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[1].flags |= VIOMMU_STAGE_SNP;
	*fix_entry(&f, 1, 1) |= SNP;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2));
	assert_int_equal(f.r.snp, 1);
	*fix_entry(&f, 1, 1) ^= SNP;
	/* of the data page, not of a table's */
	*fix_leaf_below(&f, 0, 1) |= SNP;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2));
	assert_int_equal(f.r.snp, 0);
	fix_free(&f);
}

static void in_deeper_stacks_each_pair_nests_alike(void **state)
{
	static const char *const stacks[] = { "f4s4s4", "f5s4s3", "f4s4s4s4" };
	unsigned int k, i, level;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(stacks); k++) {
		unsigned int n = (unsigned int)strlen(stacks[k]) / 2;
		struct fix f;

		fix_init(&f, stacks[k]);
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(n));
		for (i = 0; i + 1 < n; i++) {
			uint64_t was;

			for (level = 1; level <= f.stage[i].levels; level++) {
				uint64_t at = tables_entry_addr(&f.stage[i], fix_addr(i), level);
				uint64_t e = *fix_entry(&f, i, level);

				/* R or W missing one stage below: named after the upper one */
				was = *fix_leaf_below(&f, i, level);
				*fix_leaf_below(&f, i, level) &= ~SS_R;
				assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ),
						 VIOMMU_FAULTED);
				assert_int_equal(f.r.fault.reason,
						 level == f.stage[i].levels ? 0x75 : 0x76);
				assert_int_equal(f.r.fault.stage, i);
				assert_int_equal(f.r.fault.level, level);
				if (!i)
					assert_int_equal(f.r.fault.entry_addr, at);
				*fix_leaf_below(&f, i, level) = was;
				/* address too wide for the stage below */
				f.stack.stage[i + 1].input_bits = 38;
				*fix_entry(&f, i, level) |= BIT64(38);
				assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ),
						 VIOMMU_FAULTED);
				assert_int_equal(f.r.fault.reason, 0x74);
				assert_int_equal(f.r.fault.stage, i);
				assert_int_equal(f.r.fault.level, level);
				*fix_entry(&f, i, level) = e;
			}
			/* the final access, judged stage by stage */
			was = *fix_entry(&f, i, 1);
			*fix_entry(&f, i, 1) &= ~BIT64(1);
			fix_fault_at(&f, VIOMMU_WRITE, 0x85, i, 1);
			*fix_entry(&f, i, 1) = was;
			f.stack.stage[i].root |= BIT64(38);
			assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ), VIOMMU_FAULTED);
			assert_int_equal(f.r.fault.reason, 0x5b);
			assert_int_equal(f.r.fault.stage, i);
			f.stack.stage[i].root ^= BIT64(38);
		}
		*fix_entry(&f, n - 1, 1) = 0;
		fix_fault_at(&f, VIOMMU_READ, 0x79, n - 1, 1);
		fix_free(&f);
	}
}

/* Two stages down counts as much as one: first-stage updates need W in all of them. */
static void updates_need_w_in_every_stage_below(void **state)
{
	uint64_t at, mid;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4s4");
	at = tables_entry_addr(&f.stage[0], fix_addr(0), 2);
	mid = (*tables_entry(&f.stage[1], at, 1) & MASK64(51, 12)) | (at & 0xfff);
	*tables_entry(&f.stage[2], mid, 1) &= ~SS_W;
	fix_fault_at(&f, VIOMMU_READ, 0x77, 0, 2);
	*fix_entry(&f, 0, 2) |= FS_A;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(3));
	/* and R */
	*tables_entry(&f.stage[2], mid, 1) ^= SS_W | SS_R;
	fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x76, 0, 2, fix_addr(0), at, 0);
	fix_free(&f);
}

/* A table read wants W in each stage that keeps A/D bits, so its page gets dirty there too. */
static void table_reads_dirty_every_stage_that_keeps_bits(void **state)
{
	uint64_t at, mid;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4s4");
	f.stack.stage[2].flags |= VIOMMU_STAGE_AD;
	at = tables_entry_addr(&f.stage[0], fix_addr(0), 3);
	mid = *tables_entry(&f.stage[1], at, 1) & MASK64(51, 12);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(3));
	assert_int_equal(*tables_entry(&f.stage[2], mid, 1) & (SS_A | SS_D), SS_A | SS_D);
	assert_int_equal(*fix_leaf_below(&f, 0, 3) & (SS_A | SS_D), 0);
	assert_int_equal(*fix_leaf_below(&f, 1, 3) & (SS_A | SS_D), SS_A | SS_D);
	assert_int_equal(*fix_entry(&f, 2, 1) & (SS_A | SS_D), SS_A);
	fix_free(&f);
}

/* Not in VT-d, but stages of any format stack: table reads are user requests there. */
static void a_first_stage_below_sees_table_reads_as_user_writes(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4f4");
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2));
	assert_int_equal(*fix_leaf_below(&f, 0, 3) & (FS_A | FS_D), FS_A | FS_D);
	assert_int_equal(*fix_entry(&f, 1, 1) & (FS_A | FS_D), FS_A);
	*fix_leaf_below(&f, 0, 3) ^= FS_US;
	fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x76, 0, 3, fix_addr(0),
		  tables_entry_addr(&f.stage[0], fix_addr(0), 3), 0);
	*fix_leaf_below(&f, 0, 3) ^= FS_US | FS_RW;
	fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x77, 0, 3, fix_addr(0),
		  tables_entry_addr(&f.stage[0], fix_addr(0), 3), 0);
	fix_free(&f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(reads_are_a_power_of_levels),
	cmocka_unit_test(nested_permissions_are_the_and_of_both_stages),
	cmocka_unit_test(nested_page_size_is_the_smaller_one),
	cmocka_unit_test(first_stage_addresses_must_fit_the_second_stage),
	cmocka_unit_test(first_stage_tables_must_be_readable_in_the_second),
	cmocka_unit_test(first_stage_updates_need_w_in_the_second),
	cmocka_unit_test(with_ssade_reads_of_tables_count_as_writes),
	cmocka_unit_test(second_stage_faults_of_table_reads_keep_their_reason),
	cmocka_unit_test(a_first_stage_table_mapped_to_a_hole_is_an_access_error),
	cmocka_unit_test(nested_read_marks_first_stage_tables_exactly),
	cmocka_unit_test(second_stage_snoop_bit_is_reported_through_nesting),
	cmocka_unit_test(in_deeper_stacks_each_pair_nests_alike),
	cmocka_unit_test(updates_need_w_in_every_stage_below),
	cmocka_unit_test(table_reads_dirty_every_stage_that_keeps_bits),
	cmocka_unit_test(a_first_stage_below_sees_table_reads_as_user_writes),
};
TEST_MAIN(tests)
