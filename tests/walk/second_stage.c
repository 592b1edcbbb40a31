/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker's rules of the second stage, scalable and legacy mode, one by one, of the output of a
 * stack, and of a stack without stages.
 */
#include "walk/fix.h"

/* VTD-SS-06, VTD-SS-15, VTD-SS-16, VTD-FLT-172 */
static void second_stage_of_3_to_5_levels_translates(void **state)
{
	static const char *const stages[] = { "s3", "s4", "s5" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		uint64_t wide = BIT64(39 + 9 * i);
		struct fix f;

		fix_init(&f, stages[i]);
		fix_remember(&f);
		fix_ok(&f, fix_addr(0) + 0xfff, VIOMMU_ATOMIC, fix_addr(1) + 0xfff);
		assert_int_equal(f.r.reads, 3 + i);
		assert_int_equal(f.r.page_lg2, 12);
		assert_int_equal(f.r.perm, 0xf);
		/* no supervisor there, and no SRE */
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE | VIOMMU_PRIV, fix_addr(1));
		/* nothing is marked without SSADE */
		assert_int_equal(fix_changes(&f), 0);
		fix_fault(&f, wide, VIOMMU_READ, 0x84, 0, 0, wide, 0, 0);
		fix_fault(&f, ~UINT64_C(0), VIOMMU_READ, 0x84, 0, 0, ~UINT64_C(0), 0, 0);
		/* input_bits may be less than the levels give */
		f.stack.stage[0].input_bits = 38;
		fix_fault(&f, BIT64(38), VIOMMU_READ, 0x84, 0, 0, BIT64(38), 0, 0);
		fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
		fix_free(&f);
	}
}

/* VTD-SS-01, VTD-ENT-04, VTD-FLT-164 */
static void second_stage_absent_entry_faults_at_its_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "s5");
		*fix_entry(&f, 0, level) = ~(SS_R | SS_W);
		fix_fault_at(&f, VIOMMU_READ, 0x79, 0, level);
		fix_fault_at(&f, VIOMMU_WRITE, 0x79, 0, level);
		fix_free(&f);
	}
}

/* VTD-SS-17, VTD-SS-18, VTD-FLT-164, VTD-FLT-173, VTD-FLT-174 */
static void second_stage_permissions_are_the_and_of_all_levels(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;

		fix_init(&f, "s4");
		*fix_entry(&f, 0, level) &= ~SS_W;
		fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
		fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x85, 0, 1);
		*fix_entry(&f, 0, level) ^= SS_W | SS_R;
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_W | VIOMMU_PERM_SW);
		fix_fault_at(&f, VIOMMU_READ, 0x86, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x86, 0, 1);
		/* scalable mode has no pardon for zero-length reads */
		f.stack.stage[0].flags |= VIOMMU_STAGE_ZLR;
		fix_fault_at(&f, VIOMMU_ZERO_LENGTH, 0x86, 0, 1);
		/* R here, W there: present at all levels, and nothing survives */
		*fix_entry(&f, 0, level == 1 ? 2 : level - 1) &= ~SS_W;
		fix_fault_at(&f, VIOMMU_READ, 0x79, 0, 1);
		fix_fault_at(&f, VIOMMU_WRITE, 0x79, 0, 1);
		fix_free(&f);
	}
}

/* VTD-SS-05, VTD-SS-08, VTD-SS-10, VTD-SS-12, VTD-FLT-165 */
static void second_stage_reserved_bits_fault(void **state)
{
	unsigned int level, bit;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "s5");
		for (bit = 48; bit < 52; bit++) {
			f.stack.stage[0].haw = (uint8_t)bit;
			*fix_entry(&f, 0, level) ^= BIT64(bit);
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
			*fix_entry(&f, 0, level) ^= BIT64(bit);
		}
		/* once TM, now IW where SSIRWE allows it */
		*fix_entry(&f, 0, level) ^= BIT64(62);
		fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		*fix_entry(&f, 0, level) ^= BIT64(62);
		/* SNP: in a leaf, if the unit has snoop control */
		*fix_entry(&f, 0, level) ^= SNP;
		fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		f.stack.stage[0].flags |= VIOMMU_STAGE_SNP;
		if (level == 1) {
			fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
			assert_int_equal(f.r.snp, 1);
		} else {
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		}
		*fix_entry(&f, 0, level) ^= SNP;
		fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
		assert_int_equal(f.r.snp, 0);
		if (level >= 4) {
			*fix_entry(&f, 0, level) ^= PS;
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		}
		fix_free(&f);
	}
}

/* VTD-SS-04, VTD-SS-09 */
static void second_stage_large_leaves_need_their_capability(void **state)
{
	static const unsigned int lg2[] = { 21, 30 };
	unsigned int i, bit;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint64_t mask = BIT64(lg2[i]) - 1, *e;
		struct fix f;

		fix_stages(&f, "s4");
		tables_map(&f.stage[0], fix_addr(0), UINT64_C(0xc0000000), lg2[i], TABLES_RW);
		fix_stack(&f);
		f.stack.stage[0].flags = i ? VIOMMU_STAGE_1G : VIOMMU_STAGE_2M;
		e = fix_entry(&f, 0, 2 + i);
		fix_ok(&f, fix_addr(0), VIOMMU_READ, UINT64_C(0xc0000000) | (fix_addr(0) & mask));
		assert_int_equal(f.r.page_lg2, lg2[i]);
		assert_int_equal(f.r.reads, 3 - i);
		for (bit = 12; bit < lg2[i]; bit++) {
			*e ^= BIT64(bit);
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, 2 + i);
			*e ^= BIT64(bit);
		}
		f.stack.stage[0].flags = i ? VIOMMU_STAGE_2M : VIOMMU_STAGE_1G;
		fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, 2 + i);
		fix_free(&f);
	}
}

/* VTD-SS-02, VTD-SS-03, VTD-SS-06, VTD-SS-07, VTD-SS-11, VTD-SS-12 */
static void second_stage_ignored_bits_are_ignored(void **state)
{
	uint64_t ignored = BIT64(2) | MASK64(5, 3) | BIT64(6) | BIT64(8) | BIT64(9) | BIT64(10) |
			   MASK64(60, 52) | BIT64(61) | BIT64(63);
	unsigned int level, mts;
	struct fix f;

	(void)state;
	fix_init(&f, "s5");
	for (level = 1; level <= 5; level++)
		*fix_entry(&f, 0, level) |= ignored;
	*fix_entry(&f, 0, 1) |= PS;
	for (mts = 0; mts < 2; mts++) {
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
		f.stack.stage[0].flags |= VIOMMU_STAGE_MTS;
	}
	fix_free(&f);
}

/* VTD-SS-13 */
static void io_permission_bits_stand_in_for_r_and_w(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "s4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_IORW;
	fix_fault_at(&f, VIOMMU_READ, 0x79, 0, 1);
	for (level = 1; level <= 4; level++)
		*fix_entry(&f, 0, level) |= BIT64(61) | BIT64(62);
	fix_ok(&f, fix_addr(0), VIOMMU_ATOMIC, fix_addr(1));
	assert_int_equal(f.r.perm, 0xf);
	*fix_entry(&f, 0, 3) ^= BIT64(62);
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	*fix_entry(&f, 0, 3) ^= BIT64(62) | BIT64(61);
	fix_fault_at(&f, VIOMMU_READ, 0x86, 0, 1);
	fix_ok(&f, fix_addr(0), VIOMMU_WRITE, fix_addr(1));
	/* bits 1:0 still say what is present */
	*fix_entry(&f, 0, 3) &= ~(SS_R | SS_W);
	fix_fault_at(&f, VIOMMU_WRITE, 0x79, 0, 3);
	fix_free(&f);
}

/* VTD-SS-06, VTD-SS-20, VTD-PE-08 */
static void second_stage_marks_only_with_ssade(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "s4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(1));
	assert_int_equal(fix_changes(&f), 4);
	for (level = 1; level <= 4; level++)
		assert_int_equal(*fix_entry(&f, 0, level) & (SS_A | SS_D), SS_A);
	fix_remember(&f);
	fix_ok(&f, fix_addr(0), VIOMMU_ATOMIC, fix_addr(1));
	assert_int_equal(fix_changes(&f), 1);
	assert_int_equal(*fix_entry(&f, 0, 1) & (SS_A | SS_D), SS_A | SS_D);
	fix_free(&f);
}

/* VTD-FLT-103, VTD-FLT-107, VTD-FLT-163, VTD-FLT-166 */
static void a_second_stage_table_in_a_hole_faults(void **state)
{
	unsigned int level, legacy;
	struct fix f;

	(void)state;
	for (legacy = 0; legacy < 2; legacy++) {
		fix_init(&f, "s4");
		f.stack.stage[0].flags |= legacy ? VIOMMU_STAGE_LEGACY : 0;
		f.stack.stage[0].root = 0x7000;
		fix_fault(&f, fix_addr(0), VIOMMU_READ, legacy ? 0x03 : 0x7b, 0, 4, fix_addr(0),
			  0x7000 + 8 * (fix_addr(0) >> 39 & 511), 0);
		fix_free(&f);
		for (level = 1; level < 4; level++) {
			fix_init(&f, "s4");
			f.stack.stage[0].flags |= legacy ? VIOMMU_STAGE_LEGACY : 0;
			*fix_entry(&f, 0, level + 1) = 0x7000 | SS_R | SS_W;
			fix_fault(&f, fix_addr(0), VIOMMU_READ, legacy ? 0x07 : 0x78, 0, level,
				  fix_addr(0),
				  0x7000 + 8 * (fix_addr(0) >> (12 + 9 * (level - 1)) & 511), 0);
			fix_free(&f);
		}
	}
}

/* VTD-SS-19, VTD-FLT-104, VTD-FLT-105, VTD-FLT-106, VTD-FLT-112 */
static void legacy_mode_has_its_own_reasons(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		uint64_t was;
		struct fix f;

		fix_init(&f, "s4");
		f.stack.stage[0].flags |= VIOMMU_STAGE_LEGACY;
		fix_ok(&f, fix_addr(0), VIOMMU_ATOMIC, fix_addr(1));
		fix_fault(&f, BIT64(48), VIOMMU_READ, 0x04, 0, 0, BIT64(48), 0, 0);
		was = *fix_entry(&f, 0, level);
		*fix_entry(&f, 0, level) = 0;
		fix_fault_at(&f, VIOMMU_READ, 0x06, 0, level);
		fix_fault_at(&f, VIOMMU_WRITE, 0x05, 0, level);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x05, 0, level);
		*fix_entry(&f, 0, level) = was | BIT64(62);
		fix_fault_at(&f, VIOMMU_READ, 0x0c, 0, level);
		*fix_entry(&f, 0, level) = was & ~SS_W;
		fix_fault_at(&f, VIOMMU_WRITE, 0x05, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x05, 0, 1);
		*fix_entry(&f, 0, level) = was & ~SS_R;
		fix_fault_at(&f, VIOMMU_READ, 0x06, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x06, 0, 1);
		/* ZLR */
		fix_fault_at(&f, VIOMMU_ZERO_LENGTH, 0x06, 0, 1);
		f.stack.stage[0].flags |= VIOMMU_STAGE_ZLR;
		fix_ok(&f, fix_addr(0), VIOMMU_ZERO_LENGTH, fix_addr(1));
		fix_fault_at(&f, VIOMMU_READ, 0x06, 0, 1);
		*fix_entry(&f, 0, level == 1 ? 2 : 1) &= ~SS_W;
		fix_fault_at(&f, VIOMMU_ZERO_LENGTH, 0x06, 0, 1);
		fix_free(&f);
	}
}

/* VTD-WIN-05, VTD-FLT-114, VTD-FLT-175 */
static void output_must_not_lie_in_the_interrupt_window(void **state)
{
	static const struct {
		const char *stages;
		uint32_t flags;
		uint8_t reason;
	} cases[] = { { "f4", 0, 0x87 },
		      { "s4", 0, 0x87 },
		      { "s4", VIOMMU_STAGE_LEGACY, 0x0e },
		      { "f4s4", 0, 0x87 } };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int last;
		struct fix f;

		fix_init(&f, cases[i].stages);
		last = f.nr - 1;
		f.stack.stage[last].flags |= cases[i].flags;
		*fix_entry(&f, last, 1) &= 0xfff;
		*fix_entry(&f, last, 1) |= 0xfee00000;
		fix_fault(&f, fix_addr(0) + 4, VIOMMU_WRITE, cases[i].reason, last, 0,
			  fix_addr(last) + 4, 0, 0);
		*fix_entry(&f, last, 1) |= 0xfeeff000;
		fix_fault(&f, fix_addr(0) + 4, VIOMMU_WRITE, cases[i].reason, last, 0,
			  fix_addr(last) + 4, 0, 0);
		*fix_entry(&f, last, 1) = (*fix_entry(&f, last, 1) & 0xfff) | 0xfef00000;
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE, 0xfef00000);
		*fix_entry(&f, last, 1) = (*fix_entry(&f, last, 1) & 0xfff) | 0xfedff000;
		fix_ok(&f, fix_addr(0) + 0xfff, VIOMMU_WRITE, 0xfedfffff);
		/* not judged without an address width of the unit */
		*fix_entry(&f, last, 1) = (*fix_entry(&f, last, 1) & 0xfff) | 0xfee00000;
		f.stack.haw = 0;
		fix_ok(&f, fix_addr(0), VIOMMU_WRITE, 0xfee00000);
		fix_free(&f);
	}
}

/* VTD-WIN-05 */
static void a_first_stage_may_name_the_window_if_a_second_stage_follows(void **state)
{
	struct fix f;

	(void)state;
	fix_stages(&f, "f4s4");
	tables_map(&f.stage[1], 0xfee00000, 0x9000, 12, TABLES_RW);
	tables_map(&f.stage[0], 0x5000, 0xfee00000, 12, TABLES_RWU);
	fix_stack(&f);
	fix_ok(&f, 0x5000, VIOMMU_READ, 0x9000);
	fix_free(&f);
}

/* VTD-PT-01, VTD-PT-02, VTD-FLT-171 */
static void no_stage_passes_through(void **state)
{
	struct fix f;

	(void)state;
	fix_memory(&f);
	f.stack = (struct viommu_stack){ .haw = 40, .mem = f.mem };
	fix_ok(&f, GPA + 0x1234, VIOMMU_WRITE | VIOMMU_PRIV, GPA + 0x1234);
	assert_int_equal(f.r.reads, 0);
	assert_int_equal(f.r.perm, 0xf);
	assert_int_equal(f.r.page_lg2, 12);
	assert_ptr_equal(f.r.host, f.t.host + 0x1234);
	fix_fault(&f, BIT64(40), VIOMMU_READ, 0x83, 0, 0, BIT64(40), 0, 0);
	fix_fault(&f, 0xfee12340, VIOMMU_WRITE, 0x87, 0, 0, 0xfee12340, 0, 0);
	f.stack.haw = 0;
	fix_ok(&f, BIT64(40), VIOMMU_READ, BIT64(40));
	fix_free(&f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(second_stage_of_3_to_5_levels_translates),
	cmocka_unit_test(second_stage_absent_entry_faults_at_its_level),
	cmocka_unit_test(second_stage_permissions_are_the_and_of_all_levels),
	cmocka_unit_test(second_stage_reserved_bits_fault),
	cmocka_unit_test(second_stage_large_leaves_need_their_capability),
	cmocka_unit_test(second_stage_ignored_bits_are_ignored),
	cmocka_unit_test(io_permission_bits_stand_in_for_r_and_w),
	cmocka_unit_test(second_stage_marks_only_with_ssade),
	cmocka_unit_test(a_second_stage_table_in_a_hole_faults),
	cmocka_unit_test(legacy_mode_has_its_own_reasons),
	cmocka_unit_test(output_must_not_lie_in_the_interrupt_window),
	cmocka_unit_test(a_first_stage_may_name_the_window_if_a_second_stage_follows),
	cmocka_unit_test(no_stage_passes_through),
};
TEST_MAIN(tests)
