/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker's rules of the first stage, one by one: canonical addresses, entries, permissions,
 * accessed and dirty bits, every fault reason with the level and address it names.
 */
#include "walk/fix.h"

/* VTD-PE-13 */
static void first_stage_of_4_and_5_levels_translates(void **state)
{
	unsigned int levels;

	(void)state;
	for (levels = 4; levels <= 5; levels++) {
		struct fix f;

		fix_init(&f, levels == 4 ? "f4" : "f5");
		fix_ok(&f, fix_addr(0) + 0x123, VIOMMU_READ, fix_addr(1) + 0x123);
		assert_int_equal(f.r.reads, levels);
		assert_int_equal(f.r.page_lg2, 12);
		assert_int_equal(f.r.snp, 0);
		assert_null(f.r.host); /* fix_addr(1) is no memory */
		fix_free(&f);
	}
}

static void output_in_memory_has_a_host_pointer(void **state)
{
	struct fix f;
	uint64_t data;

	(void)state;
	fix_stages(&f, "f4");
	data = tables_page(&f.t);
	tables_map(&f.stage[0], 0x5000, data, 12, TABLES_RWU);
	fix_stack(&f);
	fix_ok(&f, 0x5008, VIOMMU_WRITE, data + 8);
	assert_ptr_equal(f.r.host, (uint8_t *)tables_ptr(&f.t, data) + 8);
	fix_free(&f);
}

/*
 * Both halves of the address space are there; what lies between is 80h. (VTD-FS-16, VTD-FS-18,
 * VTD-FLT-169)
 */
static void first_stage_input_must_be_canonical(void **state)
{
	static const struct {
		const char *stages;
		unsigned int bits;
	} cases[] = { { "f4", 48 }, { "f5", 57 } };
	unsigned int i, b;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t high = ~UINT64_C(0) << (cases[i].bits - 1), low = ~high & ~UINT64_C(0xfff);
		struct fix f;

		fix_stages(&f, cases[i].stages);
		tables_map(&f.stage[0], high, 0x7000, 12, TABLES_RWU);
		tables_map(&f.stage[0], low, 0x8000, 12, TABLES_RWU);
		fix_stack(&f);
		fix_ok(&f, high, VIOMMU_READ, 0x7000);
		fix_ok(&f, low, VIOMMU_READ, 0x8000);
		for (b = cases[i].bits; b < 64; b++) {
			fix_fault(&f, high ^ BIT64(b), VIOMMU_READ, 0x80, 0, 0, high ^ BIT64(b), 0,
				  0);
			fix_fault(&f, low ^ BIT64(b), VIOMMU_READ, 0x80, 0, 0, low ^ BIT64(b), 0,
				  0);
		}
		fix_fault(&f, high ^ BIT64(cases[i].bits - 1), VIOMMU_READ, 0x80, 0, 0,
			  high ^ BIT64(cases[i].bits - 1), 0, 0);
		assert_int_equal(f.r.reads, 0);
		fix_free(&f);
	}
}

/* VTD-FS-01, VTD-ENT-04, VTD-FLT-156 */
static void first_stage_absent_entry_faults_at_its_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "f5");
		/* Nothing of an absent entry is looked at, reserved bits either. */
		*fix_entry(&f, 0, level) = ~FS_P;
		fix_fault_at(&f, VIOMMU_READ, 0x71, 0, level);
		fix_fault_at(&f, VIOMMU_WRITE, 0x71, 0, level);
		assert_int_equal(f.r.reads, 6 - level);
		fix_free(&f);
	}
}

/* VTD-FS-14, VTD-ENT-03, VTD-FLT-157 */
static void first_stage_reserved_address_bits_fault(void **state)
{
	unsigned int level, bit;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "f5");
		for (bit = 48; bit < 52; bit++) {
			*fix_entry(&f, 0, level) ^= BIT64(bit);
			f.stack.stage[0].haw = (uint8_t)bit;
			fix_fault_at(&f, VIOMMU_READ, 0x72, 0, level);
			*fix_entry(&f, 0, level) ^= BIT64(bit);
			fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
		}
		/* Below haw it is an address like any other. */
		f.stack.stage[0].haw = 52;
		f.stack.haw = 52;
		*fix_entry(&f, 0, 1) |= BIT64(51);
		fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1) | BIT64(51));
		fix_free(&f);
	}
}

/* VTD-FS-05, VTD-FS-07, VTD-FS-08 */
static void first_stage_bit_7_is_reserved_where_no_page_is(void **state)
{
	struct fix f;
	unsigned int level;

	(void)state;
	for (level = 4; level <= 5; level++) {
		fix_init(&f, "f5");
		*fix_entry(&f, 0, level) |= PS;
		fix_fault_at(&f, VIOMMU_READ, 0x72, 0, level);
		fix_free(&f);
	}
	fix_stages(&f, "f4");
	tables_map(&f.stage[0], fix_addr(0), UINT64_C(0x80000000), 30, TABLES_RWU);
	fix_stack(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, UINT64_C(0x80000000) | (fix_addr(0) & 0x3fffffff));
	assert_int_equal(f.r.page_lg2, 30);
	f.stack.stage[0].flags &= ~VIOMMU_STAGE_1G;
	fix_fault_at(&f, VIOMMU_READ, 0x72, 0, 3);
	fix_free(&f);
}

/* VTD-FS-05, VTD-FS-12, VTD-FS-13, VTD-FS-17 */
static void first_stage_large_leaves_must_be_aligned_but_for_pat(void **state)
{
	static const unsigned int lg2[] = { 21, 30 };
	unsigned int i, bit;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint64_t mask = BIT64(lg2[i]) - 1, *e;
		struct fix f;

		fix_stages(&f, "f4");
		tables_map(&f.stage[0], fix_addr(0), UINT64_C(0xc0000000), lg2[i], TABLES_RWU);
		fix_stack(&f);
		/* 2 MiB needs no capability */
		f.stack.stage[0].flags &= ~VIOMMU_STAGE_2M;
		e = fix_entry(&f, 0, 2 + i);
		*e |= BIT64(12);
		fix_ok(&f, fix_addr(0), VIOMMU_READ, UINT64_C(0xc0000000) | (fix_addr(0) & mask));
		assert_int_equal(f.r.page_lg2, lg2[i]);
		for (bit = 13; bit < lg2[i]; bit++) {
			*e ^= BIT64(bit);
			fix_fault_at(&f, VIOMMU_READ, 0x72, 0, 2 + i);
			*e ^= BIT64(bit);
		}
		fix_free(&f);
	}
}

/* VTD-FS-03, VTD-FS-04, VTD-FS-06, VTD-FS-09, VTD-FS-10, VTD-FS-11, VTD-FS-15 */
static void first_stage_ignored_bits_are_ignored(void **state)
{
	uint64_t ignored =
		BIT64(3) | BIT64(4) | BIT64(8) | BIT64(9) | BIT64(10) | BIT64(11) | MASK64(63, 52);
	struct fix f;
	unsigned int level;

	(void)state;
	fix_init(&f, "f5");
	for (level = 1; level <= 5; level++)
		*fix_entry(&f, 0, level) |= ignored;
	*fix_entry(&f, 0, 1) |= PS; /* PAT there */
	for (level = 2; level <= 5; level++)
		*fix_entry(&f, 0, level) |= FS_D;
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	fix_free(&f);
}

/* VTD-FS-02, VTD-FS-22, VTD-FS-24, VTD-FS-26, VTD-FLT-170 */
/* VTD-ORDER-11: what the page permits comes before where it lies. */
static void the_output_is_judged_last(void **state)
{
	static const uint64_t outside[] = { UINT64_C(1) << 46, 0xfee01000 };
	struct fix f;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		fix_init(&f, "f4");
		f.stack.haw = 45;
		assert_int_equal(tables_map(&f.stage[0], fix_addr(0), outside[i], 12, TABLES_R), 0);
		fix_fault_at(&f, VIOMMU_READ, 0x81, 0, 1);
		*fix_entry(&f, 0, 1) |= FS_US;
		fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
		*fix_entry(&f, 0, 1) |= FS_RW;
		assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_WRITE), VIOMMU_FAULTED);
		assert_int_equal(f.r.fault.reason, i ? 0x87 : 0x83);
		fix_free(&f);
	}
}

static void user_requests_need_user_at_every_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;

		fix_init(&f, "f4");
		f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
		*fix_entry(&f, 0, level) &= ~FS_US;
		/* Judged at the leaf. */
		assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ), VIOMMU_FAULTED);
		fix_fault_at(&f, VIOMMU_READ, 0x81, 0, 1);
		fix_fault_at(&f, VIOMMU_WRITE, 0x81, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x81, 0, 1);
		fix_ok(&f, fix_addr(0), VIOMMU_READ | VIOMMU_PRIV, fix_addr(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_SR);
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE | VIOMMU_PRIV, fix_addr(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_SR | VIOMMU_PERM_SW);
		fix_free(&f);
	}
}

/* VTD-FS-02, VTD-FS-23, VTD-FS-25, VTD-PE-14, VTD-FLT-173 */
static void writes_need_rw_at_every_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "f5");
		f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
		*fix_entry(&f, 0, level) &= ~FS_RW;
		fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
		fix_ok(&f, fix_addr(0), VIOMMU_ZERO_LENGTH, fix_addr(1));
		fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_READ | VIOMMU_WRITE, 0x85, 0, 1);
		/* Supervisor: as WPE says. */
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE | VIOMMU_PRIV, fix_addr(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR | VIOMMU_PERM_SW);
		f.stack.stage[0].flags |= VIOMMU_STAGE_WPE;
		fix_fault_at(&f, VIOMMU_WRITE | VIOMMU_PRIV, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC | VIOMMU_PRIV, 0x85, 0, 1);
		fix_ok(&f, fix_addr(0), VIOMMU_READ | VIOMMU_PRIV, fix_addr(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
		fix_free(&f);
	}
}

/* VTD-FS-21, VTD-PE-12, VTD-FLT-153 */
static void supervisor_requests_need_sre(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	fix_fault(&f, fix_addr(0), VIOMMU_READ | VIOMMU_PRIV, 0x5d, 0, 0, fix_addr(0), 0, 0);
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_W);
	f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE | VIOMMU_PRIV, fix_addr(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_free(&f);
}

/* VTD-FS-27, VTD-FS-30 */
static void a_read_sets_accessed_everywhere_and_nothing_else(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f5");
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(fix_changes(&f), 5);
	for (level = 1; level <= 5; level++)
		assert_int_equal(*fix_entry(&f, 0, level) & (FS_A | FS_D | FS_EA), FS_A);
	/* Again: nothing to do. */
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(fix_changes(&f), 0);
	fix_free(&f);
}

/* VTD-FS-29 */
static void a_write_sets_dirty_in_the_leaf_alone(void **state)
{
	static const uint32_t accesses[] = { VIOMMU_WRITE, VIOMMU_ATOMIC,
					     VIOMMU_READ | VIOMMU_WRITE };
	unsigned int level, i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(accesses); i++) {
		struct fix f;

		fix_init(&f, "f4");
		fix_remember(&f);
		fix_ok(&f, fix_addr(0), accesses[i], fix_addr(1));
		assert_int_equal(fix_changes(&f), 5);
		for (level = 1; level <= 4; level++)
			assert_int_equal(*fix_entry(&f, 0, level) & (FS_A | FS_D | FS_EA),
					 level == 1 ? FS_A | FS_D : FS_A);
		fix_free(&f);
	}
}

/* VTD-FS-10, VTD-FS-28, VTD-PE-15 */
static void extended_accessed_goes_with_accessed_if_asked(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_EAFE;
	*fix_entry(&f, 0, 2) |= FS_A; /* EA alone is missing there */
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(fix_changes(&f), 7);
	for (level = 1; level <= 4; level++)
		assert_int_equal(*fix_entry(&f, 0, level) & (FS_A | FS_D | FS_EA), FS_A | FS_EA);
	fix_free(&f);
}

/* What a cache may keep of a read must not serve a write that would have set D. */
static void write_permission_is_given_only_where_dirty_is_set(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_free(&f);

	fix_init(&f, "s4");
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(f.r.perm, 0xf); /* no D is kept */
	f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_free(&f);
}

static void a_forbidden_access_marks_no_leaf(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	*fix_entry(&f, 0, 1) &= ~FS_RW;
	fix_remember(&f);
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
	assert_int_equal(fix_changes(&f), 3); /* accessed, in the three above */
	assert_int_equal(*fix_entry(&f, 0, 1) & (FS_A | FS_D), 0);
	fix_free(&f);
}

/* VTD-FS-32, VTD-SS-21, VTD-PE-09, VTD-FLT-177, VTD-FLT-167 */
static void an_update_without_snoop_faults(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].flags &= ~VIOMMU_STAGE_SNOOP;
	fix_remember(&f);
	fix_fault_at(&f, VIOMMU_READ, 0x90, 0, 4);
	assert_int_equal(fix_changes(&f), 0);
	*fix_entry(&f, 0, 4) |= FS_A;
	*fix_entry(&f, 0, 3) |= FS_A;
	*fix_entry(&f, 0, 2) |= FS_A;
	fix_fault_at(&f, VIOMMU_READ, 0x90, 0, 1);
	*fix_entry(&f, 0, 1) |= FS_A;
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	fix_fault_at(&f, VIOMMU_WRITE, 0x90, 0, 1);
	*fix_entry(&f, 0, 1) |= FS_D;
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	fix_free(&f);

	fix_init(&f, "s4");
	f.stack.stage[0].flags &= ~VIOMMU_STAGE_SNOOP;
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
	fix_fault_at(&f, VIOMMU_WRITE, 0x7c, 0, 4);
	fix_free(&f);
}

/* VTD-FLT-178, VTD-FLT-168 */
static void an_update_in_read_only_memory_fails(void **state)
{
	static const char *const stages[] = { "f4", "s4" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct fix f;

		fix_init(&f, stages[i]);
		f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
		assert_int_equal(viommu_mem_remove(f.mem, GPA, PAGES << 12), 0);
		assert_int_equal(viommu_mem_add_ptr(f.mem, GPA, PAGES << 12, f.t.host,
						    VIOMMU_MEM_READ_ONLY),
				 0);
		fix_fault_at(&f, VIOMMU_READ, i ? 0x7d : 0x91, 0, 4);
		fix_free(&f);
	}
}

/* VTD-FLT-155, VTD-FLT-158 */
static void a_first_stage_table_in_a_hole_faults(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].root = 0x7000;
	fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x73, 0, 4, fix_addr(0),
		  0x7000 + 8 * (fix_addr(0) >> 39 & 511), 0);
	assert_int_equal(f.r.reads, 0);
	fix_free(&f);
	for (level = 1; level < 4; level++) {
		fix_init(&f, "f4");
		*fix_entry(&f, 0, level + 1) = 0x7000 | FS_P | FS_RW | FS_US;
		fix_fault(&f, fix_addr(0), VIOMMU_READ, 0x70, 0, level, fix_addr(0),
			  0x7000 + 8 * (fix_addr(0) >> (12 + 9 * (level - 1)) & 511), 0);
		assert_int_equal(f.r.reads, 4 - level);
		fix_free(&f);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(first_stage_of_4_and_5_levels_translates),
	cmocka_unit_test(output_in_memory_has_a_host_pointer),
	cmocka_unit_test(first_stage_input_must_be_canonical),
	cmocka_unit_test(first_stage_absent_entry_faults_at_its_level),
	cmocka_unit_test(first_stage_reserved_address_bits_fault),
	cmocka_unit_test(first_stage_bit_7_is_reserved_where_no_page_is),
	cmocka_unit_test(first_stage_large_leaves_must_be_aligned_but_for_pat),
	cmocka_unit_test(first_stage_ignored_bits_are_ignored),
	cmocka_unit_test(the_output_is_judged_last),
	cmocka_unit_test(user_requests_need_user_at_every_level),
	cmocka_unit_test(writes_need_rw_at_every_level),
	cmocka_unit_test(supervisor_requests_need_sre),
	cmocka_unit_test(a_read_sets_accessed_everywhere_and_nothing_else),
	cmocka_unit_test(a_write_sets_dirty_in_the_leaf_alone),
	cmocka_unit_test(extended_accessed_goes_with_accessed_if_asked),
	cmocka_unit_test(write_permission_is_given_only_where_dirty_is_set),
	cmocka_unit_test(a_forbidden_access_marks_no_leaf),
	cmocka_unit_test(an_update_without_snoop_faults),
	cmocka_unit_test(an_update_in_read_only_memory_fails),
	cmocka_unit_test(a_first_stage_table_in_a_hole_faults),
};
TEST_MAIN(tests)
