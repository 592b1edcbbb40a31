/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stages whose tables lie in our own memory give what the same tables in a guest's memory give;
 * stacks that are not well formed.
 */
#include "walk/fix.h"
#include "walk/nested.h"

/* Turn the last stage's tables into tables of pointers: the arena is ours then. */
static void own_table(struct fix *f, uint64_t *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; i < 512; i++) {
		uint64_t *next = tables_ptr(&f->t, table[i] & MASK64(51, 12));

		if (!(table[i] & 3) || !next)
			continue;
		table[i] = (table[i] & ~MASK64(51, 12)) | (uint64_t)(uintptr_t)next;
		if (level > 1)
			own_table(f, next, level - 1);
	}
}

static void fix_own(struct fix *f)
{
	struct viommu_stage *last = &f->stack.stage[f->nr - 1];
	uint64_t *root = tables_ptr(&f->t, last->root);

	own_table(f, root, last->levels);
	last->root = (uint64_t)(uintptr_t)root;
	last->flags |= VIOMMU__STAGE_OWN;
	f->stack.haw = 0;
}

/* An own second stage gives what the same tables in a memory give: plain, recorded, faulting. */
static void an_own_second_stage_gives_the_same_with_pointers(void **state)
{
	static const char *const stacks[] = { "s4", "f4s4", "f5s5", "f4s3", "s4s4", "f4s4s4" };
	static const uint32_t accesses[] = { VIOMMU_READ, VIOMMU_WRITE, VIOMMU_ATOMIC,
					     VIOMMU_READ | VIOMMU_PRIV };
	unsigned int k, a, ad, pass;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(stacks); k++) {
		for (a = 0; a < ARRAY_SIZE(accesses); a++) {
			for (ad = 0; ad < 2; ad++) {
				struct viommu_walk_result own;
				struct fix f, g;
				uint64_t data;
				unsigned int last;
				struct log *log;

				fix_init(&f, stacks[k]);
				fix_init(&g, stacks[k]);
				last = f.nr - 1;
				data = tables_page(&f.t);
				assert_int_equal(data, tables_page(&g.t));
				tables_map(&f.stage[last], fix_addr(last), data, 12, TABLES_RW);
				tables_map(&g.stage[last], fix_addr(last), data, 12, TABLES_RW);
				if (ad) {
					f.stack.stage[last].flags |= VIOMMU_STAGE_AD;
					g.stack.stage[last].flags |= VIOMMU_STAGE_AD;
				}
				fix_own(&g);
				g.stack.mem = NULL;
				assert_int_equal(viommu__walk_check(&g.stack, true), 0);
				log = log_new(&g);
				/* the first pass marks, the second finds all marked */
				for (pass = 0; pass < 3; pass++) {
					int want = fix_walk(&f, fix_addr(0) + 8, accesses[a]);

					assert_int_equal(
						viommu__walk(&g.stack, fix_addr(0) + 8, accesses[a],
							     0, pass == 2 ? &log->rec : NULL, &own),
						want);
					assert_int_equal(own.reads, f.r.reads);
					assert_int_equal(own.perm, f.r.perm);
					assert_int_equal(own.page_lg2, f.r.page_lg2);
					if (want) {
						assert_int_equal(own.fault.reason,
								 f.r.fault.reason);
						continue;
					}
					assert_ptr_equal(own.host,
							 (uint8_t *)tables_ptr(&g.t, data) + 8);
					assert_int_equal(own.out, (uintptr_t)own.host);
				}
				if (!f.r.fault.reason)
					assert_int_equal(log->reads, own.reads);
				free(log);
				fix_free(&f);
				fix_free(&g);
			}
		}
	}
}

/* A resolver that edits an entry while the data page is looked up. */
struct editor {
	struct viommu_stage *ss;
	uint64_t *entry;
	uint64_t bits;
};

static bool resolve_and_edit(void *ctx, uint64_t gpa, unsigned int want, struct viommu__hit *hit)
{
	struct editor *ed = ctx;

	if (!(want & VIOMMU__WANT_TABLE))
		*ed->entry ^= ed->bits;
	return viommu__walk_own(ed->ss, gpa, want, hit);
}

static void note_nothing(void *ctx, unsigned int level, const uint64_t *table, uint64_t cum)
{
	(void)ctx;
	(void)level;
	(void)table;
	(void)cum;
}

static void a_hurried_walk_gives_up_when_an_entry_above_the_leaf_changed(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct viommu__hit hit = { 0 };
		struct editor ed;
		struct fix f;

		fix_init(&f, "f4s4");
		fix_ok(&f, fix_addr(0), VIOMMU_READ, fix_addr(2)); /* marks */
		ed.entry = fix_entry(&f, 0, level);
		fix_own(&f);
		ed.ss = &f.stack.stage[1];
		ed.bits = 0;
		assert_true(viommu__walk_nested(&f.stack.stage[0], fix_addr(0), VIOMMU__WANT_R,
						resolve_and_edit, note_nothing, &ed, &hit));
		ed.bits = FS_D | FS_EA; /* marks are no edit */
		assert_true(viommu__walk_nested(&f.stack.stage[0], fix_addr(0), VIOMMU__WANT_R,
						resolve_and_edit, note_nothing, &ed, &hit));
		ed.bits = BIT64(52);
		/* the leaf was one load, which is a state by itself */
		assert_int_equal(viommu__walk_nested(&f.stack.stage[0], fix_addr(0), VIOMMU__WANT_R,
						     resolve_and_edit, note_nothing, &ed, &hit),
				 level == 1);
		fix_free(&f);
	}
}

static void an_own_second_stage_faults_alike(void **state)
{
	struct viommu_walk_result r;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	fix_own(&f);
	assert_int_equal(viommu__walk(&f.stack, BIT64(50), VIOMMU_READ, 0, NULL, &r),
			 VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x80);
	assert_int_equal(viommu__walk(&f.stack, 0x5000, VIOMMU_READ, 0, NULL, &r), VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x71);
	assert_int_equal(r.fault.stage, 0);
	f.stack.stage[1].input_bits = 36;
	assert_int_equal(viommu__walk(&f.stack, fix_addr(0), VIOMMU_READ, 0, NULL, &r),
			 VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x5b);
	fix_free(&f);
}

static void an_own_first_stage_stays_in_its_memory(void **state)
{
	struct viommu_walk_result r;
	uint64_t page, *root;
	struct fix f;

	(void)state;
	fix_stages(&f, "f4");
	page = tables_page(&f.t);
	tables_map(&f.stage[0], fix_addr(0), page, 12, TABLES_RWU);
	fix_stack(&f);
	fix_own(&f);
	assert_int_equal(viommu__walk_check(&f.stack, true), 0);
	assert_int_equal(viommu__walk_check(&f.stack, false), -EINVAL);
	assert_int_equal(viommu__walk(&f.stack, fix_addr(0), VIOMMU_READ, 0, NULL, &r), 0);
	assert_ptr_equal(r.host, tables_ptr(&f.t, page));
	/* a table that somebody put elsewhere is not followed */
	root = (uint64_t *)(uintptr_t)f.stack.stage[0].root;
	root[fix_addr(0) >> 39 & 511] = 0x1000 | FS_P | FS_RW | FS_US;
	assert_int_equal(viommu__walk(&f.stack, fix_addr(0), VIOMMU_READ, 0, NULL, &r),
			 VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x70);
	fix_free(&f);
}

static void a_stack_that_is_not_well_formed_is_refused(void **state)
{
	struct viommu_stack good;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	good = f.stack;
	assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ), 0);
#define REFUSED(field, value)                                                      \
	do {                                                                       \
		f.stack = good;                                                    \
		f.stack.field = value;                                             \
		assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ), -EINVAL); \
	} while (0)
	REFUSED(nr, 5);
	REFUSED(haw, 31);
	REFUSED(haw, 53);
	REFUSED(reserved[1], 1);
	REFUSED(mem, NULL);
	REFUSED(stage[0].format, 0);
	REFUSED(stage[1].format, 3);
	REFUSED(stage[0].levels, 3);
	REFUSED(stage[0].levels, 6);
	REFUSED(stage[1].levels, 2);
	REFUSED(stage[1].levels, 6);
	REFUSED(stage[1].input_bits, 49);
	REFUSED(stage[1].input_bits, 12);
	REFUSED(stage[0].haw, 31);
	REFUSED(stage[1].haw, 53);
	REFUSED(stage[0].root, 0x1008);
	REFUSED(stage[0].reserved[0], 1);
	REFUSED(stage[1].reserved[1], 1);
	REFUSED(stage[0].flags, 0x1000);
	REFUSED(stage[1].flags, VIOMMU__STAGE_OWN);
	REFUSED(stage[1].flags, VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_AD);
	f.stack = good;
	assert_int_equal(fix_walk(&f, fix_addr(0), 0), -EINVAL);
	assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_PRIV), -EINVAL);
	assert_int_equal(fix_walk(&f, fix_addr(0), VIOMMU_READ | 0x80), -EINVAL);
	assert_int_equal(viommu_walk(&f.stack, fix_addr(0), VIOMMU_READ, 2, NULL, &f.r), -EINVAL);
	/* own is for the last stage only */
	f.stack.stage[0].flags |= VIOMMU__STAGE_OWN;
	assert_int_equal(viommu__walk_check(&f.stack, true), -EINVAL);
	fix_free(&f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(an_own_second_stage_gives_the_same_with_pointers),
	cmocka_unit_test(a_hurried_walk_gives_up_when_an_entry_above_the_leaf_changed),
	cmocka_unit_test(an_own_second_stage_faults_alike),
	cmocka_unit_test(an_own_first_stage_stays_in_its_memory),
	cmocka_unit_test(a_stack_that_is_not_well_formed_is_refused),
};
TEST_MAIN(tests)
