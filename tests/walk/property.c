/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Laws of translation as composition of stages: how many entries a walk reads, that stages compose,
 * that what was mapped is what is found, that memory which vanishes under a walk ends it with the
 * access error of that very entry and changes nothing but the accessed bits of entries used before.
 *
 * Random tables against the oracle are in property_random.c, edits during a walk in
 * property_edits.c.
 */
#include "lib/oracle.h"
#include "lib/tables.h"
#include "lib/test.h"

#include <sys/mman.h>
#include <unistd.h>

#define GPA   UINT64_C(0x40000000)
#define PAGES 512u
#define HAW   48u

static const struct kind {
	enum viommu_format format;
	unsigned int levels;
} kinds[] = {
	{ VIOMMU_FORMAT_VTD_FS, 4 }, { VIOMMU_FORMAT_VTD_FS, 5 }, { VIOMMU_FORMAT_VTD_SS, 3 },
	{ VIOMMU_FORMAT_VTD_SS, 4 }, { VIOMMU_FORMAT_VTD_SS, 5 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* An arena, its memory and up to four stages, s[0] on top. */
struct world {
	struct tables t;
	struct viommu_mem *mem;
	struct tables_stage s[VIOMMU_STACK_MAX];
	unsigned int nr;
};

static void world_init(struct world *w)
{
	tables_init(&w->t, GPA, PAGES << 12);
	assert_int_equal(viommu_mem_new(&w->mem), 0);
	assert_int_equal(tables_add_to(&w->t, w->mem), 0);
}

static void world_free(struct world *w)
{
	viommu_mem_free(w->mem);
	tables_free(&w->t);
}

/* Empty tables for nr stages; which: KINDS to the power of nr choices. */
static void world_stages(struct world *w, unsigned int nr, unsigned int which)
{
	unsigned int i;

	tables_reset(&w->t);
	w->nr = nr;
	for (i = nr; i-- > 0; which /= KINDS)
		tables_stage_init(&w->s[i], &w->t, i + 1 < nr ? &w->s[i + 1] : NULL,
				  kinds[which % KINDS].format, kinds[which % KINDS].levels);
}

static unsigned int power(unsigned int base, unsigned int n)
{
	return n ? base * power(base, n - 1) : 1;
}

/* Counts the steps of each kind and keeps the reads. */
struct counter {
	struct viommu_recorder rec;
	unsigned int reads, updates, outputs;
	struct viommu_step read[ORACLE_UPDATES_MAX + 1];
};

static void counter_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct counter *c = (struct counter *)rec;

	switch (step->kind) {
	case VIOMMU_STEP_READ:
		if (c->reads < sizeof(c->read) / sizeof(c->read[0]))
			c->read[c->reads] = *step;
		c->reads++;
		break;
	case VIOMMU_STEP_UPDATE:
		c->updates++;
		break;
	case VIOMMU_STEP_OUTPUT:
		c->outputs++;
		break;
	default:
		fail_msg("a step of kind %u", step->kind);
	}
}

static int walk_count(const struct viommu_stack *stack, uint64_t addr, uint32_t access,
		      uint32_t flags, struct counter *c, struct viommu_walk_result *res)
{
	memset(c, 0, sizeof(*c));
	c->rec.step = counter_step;
	return viommu_walk(stack, addr, access, flags, &c->rec, res);
}

/*
 * Stages of L levels each: (L + 1)^n - 1; of different heights: the product of (L_i + 1), less 1.
 */
static void a_walk_of_n_stages_reads_the_product_of_levels_plus_one_less_one(void **state)
{
	static struct counter c;
	struct viommu_walk_result res;
	struct viommu_stack stack;
	unsigned int nr, which, i, expected, combinations = 0;
	struct world w;
	uint64_t x;

	(void)state;
	world_init(&w);
	for (nr = 1; nr <= VIOMMU_STACK_MAX; nr++) {
		for (which = 0; which < power(KINDS, nr); which++) {
			world_stages(&w, nr, which);
			expected = 1;
			for (i = 0, x = 0x12345000; i < nr; i++, x += 0x11000) {
				expected *= w.s[i].levels + 1;
				assert_int_equal(
					tables_map(&w.s[i], x, x + 0x11000, 12, TABLES_RWU), 0);
			}
			expected--;
			tables_stack(&w.s[0], HAW, w.mem, &stack);
			/* The first walk sets accessed bits, the second finds them. */
			for (i = 0; i < 2; i++) {
				assert_int_equal(walk_count(&stack, 0x12345678, VIOMMU_READ, 0, &c,
							    &res),
						 0);
				assert_int_equal(res.out, x + 0x678);
				assert_int_equal(res.reads, expected);
				assert_int_equal(c.reads, expected);
				assert_true(i == 0 || c.updates == 0);
			}
			combinations++;
		}
	}
	assert_int_equal(combinations, 5 + 25 + 125 + 625);
	world_free(&w);
}

/* The numbers that documentation quotes, spelt out. */
static void the_well_known_numbers_of_reads_come_out(void **state)
{
	static const struct {
		unsigned int nr, levels;
		uint32_t reads;
	} row[] = { { 1, 4, 4 },  { 1, 5, 5 },   { 2, 4, 24 },
		    { 2, 5, 35 }, { 3, 4, 124 }, { 4, 4, 624 } };
	struct viommu_walk_result res;
	struct viommu_stack stack;
	unsigned int r, i;
	struct world w;

	(void)state;
	world_init(&w);
	for (r = 0; r < sizeof(row) / sizeof(row[0]); r++) {
		tables_reset(&w.t);
		for (i = row[r].nr; i-- > 0;) {
			tables_stage_init(&w.s[i], &w.t, i + 1 < row[r].nr ? &w.s[i + 1] : NULL,
					  i ? VIOMMU_FORMAT_VTD_SS : VIOMMU_FORMAT_VTD_FS,
					  row[r].levels);
			tables_map(&w.s[i], 0x5000, 0x5000, 12, TABLES_RWU);
		}
		tables_stack(&w.s[0], HAW, w.mem, &stack);
		assert_int_equal(viommu_walk(&stack, 0x5008, VIOMMU_WRITE, 0, NULL, &res), 0);
		assert_int_equal(res.reads, row[r].reads);
	}
	world_free(&w);
}

static const unsigned int sizes[] = { 12, 21, 30 };

/*
 * A page-aligned address in a 1-GiB slot of its own. GiB 64 is the window of tables, 1 the arena,
 * and 3 holds the interrupt window, which no output may lie in.
 */
static uint64_t slot_address(struct rng *rng, unsigned int slot)
{
	return (uint64_t)(slot + 4) << 30 | (rng_u64(rng) & 0x3ffff000);
}

#define CHAINS 8u

static void flat_maps_compose_to_a_flat_map(void **state)
{
	uint64_t rounds = test_scale(300);
	struct viommu_walk_result res;
	struct viommu_stack stack;
	struct world w;
	struct rng rng;

	(void)state;
	rng_init(&rng, "flat maps");
	world_init(&w);
	while (rounds--) {
		unsigned int nr = (unsigned int)rng_range(&rng, 1, VIOMMU_STACK_MAX), i, k;
		unsigned int smallest[CHAINS];
		uint64_t x[CHAINS], addr;

		world_stages(&w, nr, (unsigned int)rng_below(&rng, power(KINDS, nr)));
		for (i = 0; i < nr; i++)
			w.s[i].next = rng_one_in(&rng, 2) ? TABLES_SAME : TABLES_WINDOW;
		for (k = 0; k < CHAINS; k++) {
			x[k] = slot_address(&rng, k);
			smallest[k] = 30;
			for (i = 0; i < nr; i++) {
				unsigned int lg2 = sizes[rng_below(&rng, 3)];

				assert_int_equal(tables_map(&w.s[i], x[k], x[k], lg2, TABLES_RWU),
						 0);
				if (lg2 < smallest[k])
					smallest[k] = lg2;
			}
		}
		tables_stack(&w.s[0], HAW, w.mem, &stack);
		for (k = 0; k < CHAINS; k++) {
			addr = x[k] | rng_below(&rng, 4096);
			assert_int_equal(viommu_walk(&stack, addr, VIOMMU_WRITE, 0, NULL, &res), 0);
			assert_int_equal(res.out, addr);
			assert_int_equal(res.page_lg2, smallest[k]);
		}
	}
	world_free(&w);
}

/* Each stage is a random function on pages; the stack is their composition, at every cut of it. */
static void random_maps_compose(void **state)
{
	uint64_t rounds = test_scale(300);
	struct viommu_walk_result res;
	struct viommu_stack stack, lower;
	struct world w;
	struct rng rng;

	(void)state;
	rng_init(&rng, "random maps");
	world_init(&w);
	while (rounds--) {
		unsigned int nr = (unsigned int)rng_range(&rng, 1, VIOMMU_STACK_MAX), i, k;
		uint64_t x[VIOMMU_STACK_MAX + 1][CHAINS];
		unsigned int lg2[VIOMMU_STACK_MAX][CHAINS];

		world_stages(&w, nr, (unsigned int)rng_below(&rng, power(KINDS, nr)));
		for (k = 0; k < CHAINS; k++) {
			x[0][k] = slot_address(&rng, k) | rng_below(&rng, 4096);
			for (i = 0; i < nr; i++) {
				uint64_t low;

				lg2[i][k] = sizes[rng_below(&rng, 3)];
				low = (UINT64_C(1) << lg2[i][k]) - 1;
				x[i + 1][k] = slot_address(&rng, (k * 5 + i) % 40);
				x[i + 1][k] = (x[i + 1][k] & ~low) | (x[i][k] & low);
				/* Where two chains meet in one slot the first map stays. */
				if (tables_map(&w.s[i], x[i][k], x[i + 1][k], lg2[i][k],
					       TABLES_RWU)) {
					x[0][k] = UINT64_MAX;
					break;
				}
			}
		}
		tables_stack(&w.s[0], HAW, w.mem, &stack);
		for (k = 0; k < CHAINS; k++) {
			if (x[0][k] == UINT64_MAX)
				continue;
			for (i = 0; i < nr; i++) {
				lower = stack;
				lower.nr = nr - i;
				memmove(lower.stage, stack.stage + i,
					sizeof(stack.stage[0]) * lower.nr);
				assert_int_equal(viommu_walk(&lower, x[i][k], VIOMMU_READ, 0, NULL,
							     &res),
						 0);
				assert_int_equal(res.out, x[nr][k]);
			}
		}
	}
	world_free(&w);
}

/*
 * Random pages of all sizes: what was mapped is found, with its rights; next to it there is
 * nothing.
 */
static void map_then_walk_is_identity(void **state)
{
	enum {
		MAPS = 60
	};
	uint64_t rounds = test_scale(100);
	unsigned int found[3] = { 0 }, kind, missing = 0;
	struct viommu_walk_result res;
	struct viommu_stack stack;
	struct world w;
	struct rng rng;

	(void)state;
	rng_init(&rng, "map then walk");
	world_init(&w);
	for (kind = 0; rounds--; kind = (kind + 1) % KINDS) {
		const bool is_fs = kinds[kind].format == VIOMMU_FORMAT_VTD_FS;
		const unsigned int bits = 12 + 9 * kinds[kind].levels;
		struct {
			uint64_t va, pa;
			unsigned int lg2;
			uint32_t flags;
		} map[MAPS];
		unsigned int n = 0, m, tries;

		world_stages(&w, 1, kind);
		for (tries = 0; tries < MAPS; tries++) {
			unsigned int lg2 = sizes[rng_below(&rng, 3)];
			uint64_t low = (UINT64_C(1) << lg2) - 1;
			uint64_t va = rng_u64(&rng) >> (64 - bits),
				 pa = rng_u64(&rng) >> (64 - HAW);
			uint32_t flags = TABLES_R | (rng_u64(&rng) & (TABLES_W | TABLES_U));

			/* Neighbours are likelier to share tables, and to show a wrong index. */
			if (n && rng_one_in(&rng, 2))
				va = map[n - 1].va + rng_range(&rng, 1, 3) * (low + 1);
			va &= ((UINT64_C(1) << bits) - 1) & ~low;
			pa &= ~low;
			if (is_fs && va >> (bits - 1))
				va |= ~UINT64_C(0) << bits;
			if (pa >> 20 == 0xfee || pa >> 30 == 3 || w.t.bytes - w.t.used < 5 << 12)
				continue;
			for (m = 0; m < n; m++) {
				uint64_t other = (UINT64_C(1) << map[m].lg2) - 1;

				if ((map[m].va & ~low) == va || (va & ~other) == map[m].va)
					break;
			}
			if (m < n)
				continue;
			assert_int_equal(tables_map(&w.s[0], va, pa, lg2, flags), 0);
			map[n].va = va;
			map[n].pa = pa;
			map[n].lg2 = lg2;
			map[n++].flags = flags;
		}
		tables_stack(&w.s[0], HAW, w.mem, &stack);
		if (is_fs)
			stack.stage[0].flags |= VIOMMU_STAGE_WPE;
		for (m = 0; m < n; m++) {
			uint64_t off = rng_u64(&rng) & ((UINT64_C(1) << map[m].lg2) - 1), va;
			bool w_ok = map[m].flags & TABLES_W,
			     u_ok = map[m].flags & TABLES_U || !is_fs;
			unsigned int k;
			int ret;

			ret = viommu_walk(&stack, map[m].va + off, VIOMMU_READ | VIOMMU_PRIV, 0,
					  NULL, &res);
			assert_int_equal(ret, 0);
			assert_int_equal(res.out, map[m].pa + off);
			assert_int_equal(res.page_lg2, map[m].lg2);
			found[(map[m].lg2 - 12) / 9]++;

			ret = viommu_walk(&stack, map[m].va + off, VIOMMU_READ, 0, NULL, &res);
			assert_int_equal(ret, u_ok ? 0 : VIOMMU_FAULTED);
			if (ret)
				assert_int_equal(res.fault.reason, 0x81);
			ret = viommu_walk(&stack, map[m].va + off, VIOMMU_WRITE | VIOMMU_PRIV, 0,
					  NULL, &res);
			assert_int_equal(ret, w_ok ? 0 : VIOMMU_FAULTED);
			if (ret)
				assert_int_equal(res.fault.reason, 0x85);

			/* The page after it, unless that is mapped too. */
			va = map[m].va + (UINT64_C(1) << map[m].lg2);
			if (va << (64 - bits) == 0 || (is_fs && va << (65 - bits) == 0))
				continue;
			for (k = 0; k < n; k++) {
				if (va >= map[k].va && va - map[k].va < UINT64_C(1) << map[k].lg2)
					break;
			}
			if (k < n)
				continue;
			ret = viommu_walk(&stack, va, VIOMMU_READ | VIOMMU_PRIV, 0, NULL, &res);
			assert_int_equal(ret, VIOMMU_FAULTED);
			assert_int_equal(res.fault.reason, is_fs ? 0x71 : 0x79);
			missing++;
		}
	}
	for (kind = 0; kind < 3; kind++)
		assert_true(found[kind] > 0);
	assert_true(missing > 0);
	world_free(&w);
}

/*
 * The stacks of the sweeps: all formats alone, nested pairs and a stack of three; with A/D kept in
 * the second stage or not; legacy codes.
 */
static const struct sweep {
	unsigned int nr;
	struct kind kind[3];
	uint32_t flags; /* added to every second stage */
} sweeps[] = {
	{ 1, { { VIOMMU_FORMAT_VTD_FS, 4 } }, 0 },
	{ 1, { { VIOMMU_FORMAT_VTD_FS, 5 } }, 0 },
	{ 1, { { VIOMMU_FORMAT_VTD_SS, 3 } }, 0 },
	{ 1, { { VIOMMU_FORMAT_VTD_SS, 4 } }, VIOMMU_STAGE_AD },
	{ 1, { { VIOMMU_FORMAT_VTD_SS, 5 } }, VIOMMU_STAGE_AD },
	{ 1, { { VIOMMU_FORMAT_VTD_SS, 4 } }, VIOMMU_STAGE_LEGACY },
	{ 2, { { VIOMMU_FORMAT_VTD_FS, 4 }, { VIOMMU_FORMAT_VTD_SS, 4 } }, 0 },
	{ 2, { { VIOMMU_FORMAT_VTD_FS, 4 }, { VIOMMU_FORMAT_VTD_SS, 3 } }, VIOMMU_STAGE_AD },
	{ 2, { { VIOMMU_FORMAT_VTD_FS, 5 }, { VIOMMU_FORMAT_VTD_SS, 5 } }, VIOMMU_STAGE_AD },
	{ 3,
	  { { VIOMMU_FORMAT_VTD_FS, 4 }, { VIOMMU_FORMAT_VTD_SS, 4 }, { VIOMMU_FORMAT_VTD_SS, 4 } },
	  VIOMMU_STAGE_AD },
};

/* Stages and one mapped address, nothing accessed or dirty yet. */
static void sweep_build(const struct sweep *sw, struct world *w, struct viommu_stack *stack)
{
	unsigned int i;

	tables_reset(&w->t);
	w->nr = sw->nr;
	for (i = sw->nr; i-- > 0;) {
		tables_stage_init(&w->s[i], &w->t, i + 1 < sw->nr ? &w->s[i + 1] : NULL,
				  sw->kind[i].format, sw->kind[i].levels);
		tables_map(&w->s[i], 0x5000 + i * 0x10000, 0x15000 + i * 0x10000, 12, TABLES_RWU);
	}
	tables_stack(&w->s[0], HAW, w->mem, stack);
	for (i = 0; i < sw->nr; i++) {
		if (sw->kind[i].format == VIOMMU_FORMAT_VTD_SS)
			stack->stage[i].flags |= sw->flags;
	}
}

/* The access error of the entry that this step reads. */
static unsigned int access_error(const struct viommu_stack *stack, const struct viommu_step *step)
{
	const struct viommu_stage *s = &stack->stage[step->stage];
	bool top = step->level == s->levels;

	if (s->format == VIOMMU_FORMAT_VTD_FS)
		return top ? 0x73 : 0x70;
	if (s->flags & VIOMMU_STAGE_LEGACY)
		return top ? 0x03 : 0x07;
	return top ? 0x7b : 0x78;
}

static void expect_access_error(const struct viommu_stack *stack, const struct viommu_step *step,
				int ret, const struct viommu_walk_result *res)
{
	assert_int_equal(ret, VIOMMU_FAULTED);
	assert_int_equal(res->fault.reason, access_error(stack, step));
	assert_int_equal(res->fault.stage, step->stage);
	assert_int_equal(res->fault.level, step->level);
	assert_int_equal(res->fault.entry_addr, step->entry_addr);
	assert_int_equal(res->fault.stage_addr, step->input);
	assert_int_equal(res->fault.addr, 0x5abc);
}

/* The arena as it was, and as it must be after a walk: with the oracle's bits set and no other. */
static uint8_t before[PAGES << 12], expected[PAGES << 12];

static void expect_updates(const struct world *w, const struct oracle_result *r, uint64_t bytes)
{
	unsigned int u;
	uint64_t at;

	memcpy(expected, before, bytes);
	for (u = 0; u < r->nr_updates; u++) {
		at = r->update[u].phys - GPA;
		if (at < bytes)
			*(uint64_t *)(expected + at) |= r->update[u].bits;
	}
	assert_memory_equal(expected, w->t.host, bytes);
}

/* Each page of the arena is a region; each page that a walk reads vanishes once. */
static void a_table_that_vanishes_is_the_access_error_of_its_first_entry(void **state)
{
	static struct oracle_result oracle;
	static struct counter whole;
	struct viommu_walk_result res;
	struct viommu_stack stack;
	unsigned int n, k, j, p, cut;
	struct world w;
	char why[200];
	int ret;

	(void)state;
	tables_init(&w.t, GPA, PAGES << 12);
	assert_int_equal(viommu_mem_new(&w.mem), 0);
	for (p = 0; p < PAGES; p++)
		assert_int_equal(viommu_mem_add_ptr(w.mem, GPA + (p << 12), 4096,
						    w.t.host + (p << 12), 0),
				 0);
	for (n = 0; n < sizeof(sweeps) / sizeof(sweeps[0]); n++) {
		sweep_build(&sweeps[n], &w, &stack);
		assert_int_equal(
			walk_count(&stack, 0x5abc, VIOMMU_WRITE, VIOMMU_WALK_DRY, &whole, &res), 0);
		memcpy(before, w.t.host, w.t.used);
		for (k = 0, cut = 0; k < whole.reads; k++) {
			uint64_t page = whole.read[k].phys & ~UINT64_C(0xfff);

			for (j = 0; j < k && (whole.read[j].phys & ~UINT64_C(0xfff)) != page; j++)
				;
			if (j < k)
				continue;
			cut++;
			assert_int_equal(viommu_mem_remove(w.mem, page, 4096), 0);
			oracle_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, &oracle);
			ret = viommu_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, NULL, &res);
			expect_access_error(&stack, &whole.read[k], ret, &res);
			if (!oracle_same(&oracle, ret, &res, why, sizeof(why)))
				fail_msg("stack %u, read %u: %s", n, k, why);
			expect_updates(&w, &oracle, w.t.used);
			memcpy(w.t.host, before, w.t.used);
			assert_int_equal(viommu_mem_add_ptr(w.mem, page, 4096,
							    tables_ptr(&w.t, page), 0),
					 0);
		}
		assert_true(cut >= stack.stage[0].levels);
		/* And with all of it back the walk passes, and does change something. */
		assert_int_equal(viommu_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, NULL, &res), 0);
		assert_int_equal(res.out, 0x5abc + sweeps[n].nr * 0x10000);
	}
	world_free(&w);
}

/* The same with read-only regions: reading is fine, to set a bit there is not. */
static void a_table_that_is_read_only_fails_the_update_of_its_first_entry(void **state)
{
	static struct oracle_result oracle;
	unsigned int n, p, used, failed = 0, passed = 0;
	struct viommu_walk_result res;
	struct viommu_stack stack;
	struct world w;
	char why[200];
	int ret;

	(void)state;
	tables_init(&w.t, GPA, PAGES << 12);
	assert_int_equal(viommu_mem_new(&w.mem), 0);
	for (p = 0; p < PAGES; p++)
		assert_int_equal(viommu_mem_add_ptr(w.mem, GPA + (p << 12), 4096,
						    w.t.host + (p << 12), 0),
				 0);
	for (n = 0; n < sizeof(sweeps) / sizeof(sweeps[0]); n++) {
		sweep_build(&sweeps[n], &w, &stack);
		used = (unsigned int)(w.t.used >> 12);
		for (p = 0; p < used; p++) {
			uint64_t page = GPA + (p << 12);

			sweep_build(&sweeps[n], &w, &stack);
			memcpy(before, w.t.host, w.t.used);
			assert_int_equal(viommu_mem_remove(w.mem, page, 4096), 0);
			assert_int_equal(viommu_mem_add_ptr(w.mem, page, 4096,
							    tables_ptr(&w.t, page),
							    VIOMMU_MEM_READ_ONLY),
					 0);
			oracle_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, &oracle);
			ret = viommu_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, NULL, &res);
			if (!oracle_same(&oracle, ret, &res, why, sizeof(why)))
				fail_msg("stack %u, page %u: %s", n, p, why);
			if (ret) {
				assert_int_equal(ret, VIOMMU_FAULTED);
				assert_int_equal(res.fault.reason,
						 stack.stage[res.fault.stage].format ==
								 VIOMMU_FORMAT_VTD_FS
							 ? 0x91
							 : 0x7d);
				assert_int_equal(res.fault.entry_addr >> 63, 0);
				failed++;
			} else {
				passed++;
			}
			expect_updates(&w, &oracle, w.t.used);
			assert_int_equal(viommu_mem_remove(w.mem, page, 4096), 0);
			assert_int_equal(viommu_mem_add_ptr(w.mem, page, 4096,
							    tables_ptr(&w.t, page), 0),
					 0);
		}
	}
	assert_true(failed > 30);
	assert_true(passed > 0);
	world_free(&w);
}

/* A file that shrinks page by page under the tables, with the SIGBUS guard installed. */
static void a_table_lost_with_its_file_is_the_access_error_of_its_first_entry(void **state)
{
	static struct counter whole;
	static struct oracle_result oracle;
	unsigned int n, k, p, used, cut;
	struct viommu_walk_result res;
	struct viommu_stack stack;
	struct world w;
	uint8_t *host;
	int fd, ret;

	(void)state;
	assert_int_equal(viommu_mem_guard_install(), 0);
	for (n = 0; n < sizeof(sweeps) / sizeof(sweeps[0]); n++) {
		fd = memfd_create("lost", MFD_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, PAGES << 12), 0);
		host = mmap(NULL, PAGES << 12, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(host, MAP_FAILED);
		assert_int_equal(viommu_mem_new(&w.mem), 0);
		tables_over(&w.t, host, GPA, PAGES << 12, 0);
		sweep_build(&sweeps[n], &w, &stack);
		used = (unsigned int)(w.t.used >> 12);
		for (p = 0; p < used; p++)
			assert_int_equal(
				viommu_mem_add_fd(w.mem, GPA + (p << 12), 4096, fd, p << 12, 0), 0);
		assert_int_equal(
			walk_count(&stack, 0x5abc, VIOMMU_WRITE, VIOMMU_WALK_DRY, &whole, &res), 0);
		memcpy(before, host, w.t.used);
		for (p = used, cut = 0; p-- > 0;) {
			assert_int_equal(ftruncate(fd, p << 12), 0);
			for (k = 0; k < whole.reads; k++) {
				if (whole.read[k].phys >= GPA + (p << 12))
					break;
			}
			/* Not before the first page that the walk reads is gone. */
			if (k == whole.reads)
				continue;
			cut++;
			memcpy(host, before, p << 12);
			oracle_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, &oracle);
			ret = viommu_walk(&stack, 0x5abc, VIOMMU_WRITE, 0, NULL, &res);
			expect_access_error(&stack, &whole.read[k], ret, &res);
			expect_updates(&w, &oracle, p << 12);
		}
		assert_true(cut >= stack.stage[0].levels);
		viommu_mem_free(w.mem);
		munmap(host, PAGES << 12);
		close(fd);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_walk_of_n_stages_reads_the_product_of_levels_plus_one_less_one),
	cmocka_unit_test(the_well_known_numbers_of_reads_come_out),
	cmocka_unit_test(flat_maps_compose_to_a_flat_map),
	cmocka_unit_test(random_maps_compose),
	cmocka_unit_test(map_then_walk_is_identity),
	cmocka_unit_test(a_table_that_vanishes_is_the_access_error_of_its_first_entry),
	cmocka_unit_test(a_table_that_is_read_only_fails_the_update_of_its_first_entry),
	cmocka_unit_test(a_table_lost_with_its_file_is_the_access_error_of_its_first_entry),
};

TEST_MAIN(tests)
