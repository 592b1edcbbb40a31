/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a recorder sees, what a dry walk leaves alone, and edits of the tables between two steps of
 * a walk, made by the recorder.
 */
#include "walk/fix.h"

static void a_dry_walk_tells_what_it_would_set_and_sets_nothing(void **state)
{
	struct log *log;
	struct fix f;
	unsigned int i;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[1].flags |= VIOMMU_STAGE_AD;
	log = log_new(&f);
	fix_remember(&f);
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_WRITE, VIOMMU_WALK_DRY), 0);
	assert_int_equal(f.r.out, fix_addr(2));
	assert_int_equal(f.r.perm & VIOMMU_PERM_W, VIOMMU_PERM_W);
	assert_int_equal(fix_changes(&f), 0);
	/* Nothing was set in between, so every use of an entry says it again. */
	assert_int_equal(log->updates, 24);
	for (i = 0; i < log->nr; i++) {
		const struct viommu_step *s = &log->step[i];

		if (s->kind == VIOMMU_STEP_UPDATE && s->stage == 0)
			assert_int_equal(s->value, s->level == 1 ? FS_A | FS_D : FS_A);
		else if (s->kind == VIOMMU_STEP_UPDATE)
			assert_int_equal(s->value, s->level == 1 ? SS_A | SS_D : SS_A);
	}
	assert_int_equal(
		viommu_walk(&f.stack, fix_addr(0), VIOMMU_WRITE, VIOMMU_WALK_DRY, NULL, &f.r), 0);
	assert_int_equal(fix_changes(&f), 0);
	/* A dry walk faults where a real one does. */
	*fix_leaf_below(&f, 0, 2) &= ~SS_W;
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_READ, VIOMMU_WALK_DRY), VIOMMU_FAULTED);
	assert_int_equal(f.r.fault.reason, 0x77);
	free(log);
	fix_free(&f);
}

static void a_recorder_sees_every_step_in_order(void **state)
{
	unsigned int i, level, at = 0;
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	log = log_new(&f);
	assert_int_equal(log_walk(log, fix_addr(0) + 0x10, VIOMMU_READ, 0), 0);
	assert_int_equal(log->reads, 24);
	assert_int_equal(f.r.reads, 24);
	assert_int_equal(log->updates, 4);
	assert_int_equal(log->outputs, 6);
	for (level = 4; level >= 1; level--) {
		uint64_t ea = tables_entry_addr(&f.stage[0], fix_addr(0), level);
		uint64_t phys = GPA + (uint64_t)((uint8_t *)fix_entry(&f, 0, level) - f.t.host);

		for (i = 4; i >= 1; i--, at++) {
			const struct viommu_step *s = &log->step[at];

			assert_int_equal(s->kind, VIOMMU_STEP_READ);
			assert_int_equal(s->stage, 1);
			assert_int_equal(s->level, i);
			assert_int_equal(s->depth, 1);
			assert_int_equal(s->input, ea);
			assert_int_equal(s->entry_addr, tables_entry_addr(&f.stage[1], ea, i));
			assert_int_equal(s->phys, s->entry_addr);
			assert_int_equal(s->value, *tables_entry(&f.stage[1], ea, i));
		}
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_OUTPUT);
		assert_int_equal(log->step[at].stage, 1);
		assert_int_equal(log->step[at].level, 0);
		assert_int_equal(log->step[at].depth, 1);
		assert_int_equal(log->step[at].page_lg2, 12);
		assert_int_equal(log->step[at].input, ea);
		assert_int_equal(log->step[at].value, phys);
		at++;
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_READ);
		assert_int_equal(log->step[at].stage, 0);
		assert_int_equal(log->step[at].level, level);
		assert_int_equal(log->step[at].depth, 0);
		assert_int_equal(log->step[at].input, fix_addr(0) + 0x10);
		assert_int_equal(log->step[at].entry_addr, ea);
		assert_int_equal(log->step[at].phys, phys);
		assert_int_equal(log->step[at].value, *fix_entry(&f, 0, level) & ~FS_A);
		at++;
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_UPDATE);
		assert_int_equal(log->step[at].stage, 0);
		assert_int_equal(log->step[at].level, level);
		assert_int_equal(log->step[at].entry_addr, ea);
		assert_int_equal(log->step[at].phys, phys);
		assert_int_equal(log->step[at].value, FS_A);
		at++;
	}
	assert_int_equal(log->step[at].kind, VIOMMU_STEP_OUTPUT);
	assert_int_equal(log->step[at].stage, 0);
	assert_int_equal(log->step[at].value, fix_addr(1) + 0x10);
	at++;
	for (i = 4; i >= 1; i--, at++) {
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_READ);
		assert_int_equal(log->step[at].stage, 1);
		assert_int_equal(log->step[at].depth, 0);
		assert_int_equal(log->step[at].level, i);
		assert_int_equal(log->step[at].input, fix_addr(1) + 0x10);
	}
	assert_int_equal(log->step[at].kind, VIOMMU_STEP_OUTPUT);
	assert_int_equal(log->step[at].value, fix_addr(2) + 0x10);
	assert_int_equal(at + 1, log->nr);
	free(log);
	fix_free(&f);
}

static void depth_counts_the_table_reads_that_a_read_serves(void **state)
{
	unsigned int count[3][3] = { { 0 } }, i;
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4s4");
	log = log_new(&f);
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_READ, 0), 0);
	assert_int_equal(log->reads, 124);
	for (i = 0; i < log->nr; i++) {
		assert_in_range(log->step[i].depth, 0, 2);
		if (log->step[i].kind == VIOMMU_STEP_READ)
			count[log->step[i].stage][log->step[i].depth]++;
	}
	assert_int_equal(count[0][0], 4);
	assert_int_equal(count[1][0], 4);
	assert_int_equal(count[1][1], 16);
	assert_int_equal(count[2][0], 4);
	assert_int_equal(count[2][1], 16 + 16); /* for stage 0's tables, and for stage 1's */
	assert_int_equal(count[2][2], 64);
	free(log);
	fix_free(&f);
}

/* When the leaf is read, the top entry moves the whole space to other tables. */
static void edit_top(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_READ && step->stage == 0 && step->level == 1 && !log->edits) {
		log->edits++;
		*fix_entry(log->f, 0, 4) = 0;
	}
}

static void a_result_that_no_state_gave_is_walked_again(void **state)
{
	static const char *const stacks[] = { "f4", "s4", "f4s4", "f4s4s4" };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(stacks); i++) {
		struct log *log;
		struct fix f;

		fix_init(&f, stacks[i]);
		log = log_new(&f);
		log->edit = edit_top;
		assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_READ, 0), VIOMMU_FAULTED);
		assert_int_equal(log->edits, 1);
		assert_int_equal(f.r.fault.reason, stacks[i][0] == 'f' ? 0x71 : 0x79);
		assert_int_equal(f.r.fault.level, 4);
		free(log);
		fix_free(&f);
	}
}

/* Marks that somebody else sets or clears meanwhile are no reason to start again. */
static void edit_marks(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_READ && step->stage == 0 && step->level == 1) {
		log->edits++;
		*fix_entry(log->f, 0, 4) ^= FS_D | FS_EA;
		*fix_entry(log->f, 0, 3) ^= FS_A;
	}
}

static void marks_set_meanwhile_do_not_restart(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	log = log_new(&f);
	log->edit = edit_marks;
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_READ, 0), 0);
	assert_int_equal(log->edits, 1);
	assert_int_equal(log->reads, 24);
	free(log);
	fix_free(&f);
}

/* The entry changes between its read and its update: the update must not bring it back. */
static void edit_leaf_once(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_UPDATE && step->stage == 0 && step->level == 1 &&
	    !log->edits) {
		log->edits++;
		*fix_entry(log->f, 0, 1) = 0xabc000 | FS_P | FS_RW | FS_US;
	}
}

/* VTD-FS-30 */
static void an_update_that_loses_walks_again(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	log = log_new(&f);
	log->edit = edit_leaf_once;
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_WRITE, 0), 0);
	assert_int_equal(log->edits, 1);
	assert_int_equal(f.r.out, 0xabc000);
	assert_int_equal(f.r.reads, 4); /* of the try that counts */
	assert_int_equal(*fix_entry(&f, 0, 1), 0xabc000 | FS_P | FS_RW | FS_US | FS_A | FS_D);
	free(log);
	fix_free(&f);
}

static void edit_leaf_always(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_UPDATE && step->level == 1) {
		log->edits++;
		*fix_entry(log->f, 0, 1) ^= 0x100000;
	}
}

/* VTD-FLT-168, VTD-FLT-178 */
static void an_update_that_always_loses_is_a_fault(void **state)
{
	static const char *const stacks[] = { "f4", "s4" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct log *log;
		struct fix f;

		fix_init(&f, stacks[i]);
		f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
		log = log_new(&f);
		log->edit = edit_leaf_always;
		assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_WRITE, 0), VIOMMU_FAULTED);
		assert_int_equal(f.r.fault.reason, i ? 0x7d : 0x91);
		assert_int_equal(f.r.fault.level, 1);
		assert_in_range(log->edits, 2, 1000);
		free(log);
		fix_free(&f);
	}
}

/* A processor that sets the same bits at the same time is no conflict. */
static void edit_same_bits(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_UPDATE) {
		log->edits++;
		*fix_entry(log->f, 0, step->level) |= FS_A;
	}
}

static void an_update_that_somebody_else_made_is_done(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	log = log_new(&f);
	log->edit = edit_same_bits;
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_WRITE, 0), 0);
	assert_int_equal(log->edits, 4);
	assert_int_equal(log->reads, 4);
	assert_int_equal(*fix_entry(&f, 0, 1) & (FS_A | FS_D), FS_A | FS_D);
	free(log);
	fix_free(&f);
}

static void edit_top_always(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_READ && step->level == 1) {
		log->edits++;
		*fix_entry(log->f, 0, 4) ^= BIT64(60); /* ignored, but an edit */
	}
}

static void endless_edits_end(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	log = log_new(&f);
	log->edit = edit_top_always;
	assert_int_equal(log_walk(log, fix_addr(0), VIOMMU_READ, 0), 0);
	assert_int_equal(f.r.out, fix_addr(1));
	assert_in_range(log->edits, 2, 1000);
	free(log);
	fix_free(&f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_dry_walk_tells_what_it_would_set_and_sets_nothing),
	cmocka_unit_test(a_recorder_sees_every_step_in_order),
	cmocka_unit_test(depth_counts_the_table_reads_that_a_read_serves),
	cmocka_unit_test(a_result_that_no_state_gave_is_walked_again),
	cmocka_unit_test(marks_set_meanwhile_do_not_restart),
	cmocka_unit_test(an_update_that_loses_walks_again),
	cmocka_unit_test(an_update_that_always_loses_is_a_fault),
	cmocka_unit_test(an_update_that_somebody_else_made_is_done),
	cmocka_unit_test(endless_edits_end),
};
TEST_MAIN(tests)
