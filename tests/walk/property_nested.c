/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hurried walk of nested.h against the walker that it stands in for, on random first-stage
 * tables over random second stages of our own. It may answer exactly when the walker succeeds and
 * has no accessed or dirty bit to set, and then with the same answer, also from the middle, as a
 * page-walk cache starts it. The walker itself is held to the oracle in property_random.c.
 *
 * The guest's memory is one host gigabyte (16 pages of it are used), which the second stage shows
 * three times: by 4-KiB pages from 0, by a 2-MiB page at 2 MiB, by a 1-GiB page at 1 GiB.
 */
#include <sys/mman.h>

#include <viommu/walk.h>

#include "base/bits.h"
#include "lib/test.h"
#include "walk/nested.h"
#include "walk/walk.h"

#define PAGES   16u
#define INDICES 4u /* of a table that are used */

struct world {
	struct rng rng;
	void *map;
	uint64_t *ram;    /* PAGES, 1-GiB aligned */
	uint64_t *own[5]; /* level 1..5, from index 0 */
	struct viommu_stack stack;
	struct viommu_recorder rec;
	unsigned int updates, reads;
	/* what note() was told */
	struct {
		unsigned int level;
		const uint64_t *table;
		uint64_t cum;
	} noted[5];
	unsigned int nr_noted;
};

static void count_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct world *w = container_of(rec, struct world, rec);

	w->updates += step->kind == VIOMMU_STEP_UPDATE;
	w->reads += step->kind == VIOMMU_STEP_READ;
}

static void world_init(struct world *w, const char *label)
{
	unsigned int i;

	memset(w, 0, sizeof(*w));
	rng_init(&w->rng, label);
	w->rec.step = count_step;
	w->map = mmap(NULL, BIT64(31), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(w->map, MAP_FAILED);
	w->ram = (uint64_t *)(uintptr_t)align_up((uintptr_t)w->map, BIT64(30));
	for (i = 0; i < 5; i++) {
		w->own[i] = aligned_alloc(4096, 4096);
		assert_non_null(w->own[i]);
		memset(w->own[i], 0, 4096);
	}
}

static void world_free(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 5; i++)
		free(w->own[i]);
	munmap(w->map, BIT64(31));
}

/* Permissions and marks of an own entry: mostly all of them. */
static uint64_t own_bits(struct world *w)
{
	uint64_t bits = 0x303;

	if (rng_one_in(&w->rng, 12))
		bits &= ~BIT64(rng_below(&w->rng, 2));
	if (rng_one_in(&w->rng, 8))
		bits &= ~BIT64(8 + rng_below(&w->rng, 2));
	if (rng_one_in(&w->rng, 32))
		bits = 0;
	if (rng_one_in(&w->rng, 4))
		bits |= BIT64(11); /* SNP */
	return bits;
}

/* Another second stage. */
static void own_change(struct world *w)
{
	struct viommu_stage *s = &w->stack.stage[1];
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->format = VIOMMU_FORMAT_VTD_SS;
	s->levels = (uint8_t)rng_range(&w->rng, 3, 5);
	s->input_bits = (uint8_t)(12 + 9 * s->levels);
	if (rng_one_in(&w->rng, 16))
		s->input_bits = (uint8_t)rng_range(&w->rng, 13, 30);
	s->haw = 52;
	s->flags = VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU__STAGE_OWN;
	s->flags |= rng_u64(&w->rng) & (VIOMMU_STAGE_AD | VIOMMU_STAGE_SNP);
	s->flags |= rng_one_in(&w->rng, 8) ? 0 : VIOMMU_STAGE_SNOOP;
	s->root = (uint64_t)(uintptr_t)w->own[s->levels - 1];
	for (i = 4; i >= 2; i--)
		w->own[i][0] = (uint64_t)(uintptr_t)w->own[i - 1] | own_bits(w) | 3;
	w->own[2][1] = (uint64_t)(uintptr_t)w->ram | own_bits(w) | BIT64(7);
	w->own[1][0] = (uint64_t)(uintptr_t)w->own[0] | own_bits(w) | 3;
	w->own[1][1] = (uint64_t)(uintptr_t)w->ram | own_bits(w) | BIT64(7);
	for (i = 0; i < PAGES; i++)
		w->own[0][i] = (uint64_t)(uintptr_t)(w->ram + 512 * i) | own_bits(w);
	w->stack.nr = 2;
}

/* A guest physical page: mostly one that is there. */
static uint64_t random_page(struct world *w)
{
	static const uint64_t base[] = { 0, 0, BIT64(21), BIT64(30) };
	uint64_t page = rng_below(&w->rng, PAGES) << 12 | base[rng_below(&w->rng, 4)];

	if (rng_one_in(&w->rng, 64))
		page ^= BIT64(rng_range(&w->rng, 16, 51));
	return page;
}

static uint64_t random_entry(struct world *w)
{
	uint64_t e = random_page(w) | 0x467; /* P, RW, US, A, D, EA */

	if (rng_one_in(&w->rng, 3))
		e &= ~(rng_u64(&w->rng) & 0x460);
	if (rng_one_in(&w->rng, 8))
		e ^= BIT64(rng_below(&w->rng, 12));
	if (rng_one_in(&w->rng, 16))
		e ^= BIT64(rng_below(&w->rng, 64));
	if (rng_one_in(&w->rng, 8))
		e |= BIT64(7);
	if (rng_one_in(&w->rng, 16))
		e &= ~(BIT64(30) - BIT64(13)); /* a large page that may be aligned */
	return e;
}

static void fs_change(struct world *w)
{
	struct viommu_stage *s = &w->stack.stage[0];

	memset(s, 0, sizeof(*s));
	s->format = VIOMMU_FORMAT_VTD_FS;
	s->levels = (uint8_t)rng_range(&w->rng, 4, 5);
	s->haw = rng_one_in(&w->rng, 4) ? 52 : 40;
	s->flags = rng_u64(&w->rng) &
		   (VIOMMU_STAGE_1G | VIOMMU_STAGE_SRE | VIOMMU_STAGE_WPE | VIOMMU_STAGE_EAFE);
	s->flags |= rng_one_in(&w->rng, 8) ? 0 : VIOMMU_STAGE_SNOOP;
	s->root = random_page(w) & ~BIT64(51);
}

static uint64_t random_addr(struct world *w)
{
	uint64_t addr = rng_below(&w->rng, 4096);
	unsigned int level;

	for (level = 1; level <= w->stack.stage[0].levels; level++)
		addr |= rng_below(&w->rng, INDICES) << (12 + 9 * (level - 1));
	if (rng_one_in(&w->rng, 64))
		addr ^= BIT64(rng_range(&w->rng, 48, 63));
	return addr;
}

static VIOMMU__INLINE bool resolve(void *ctx, uint64_t gpa, unsigned int want,
				   struct viommu__hit *hit)
{
	struct world *w = ctx;

	return viommu__walk_own(&w->stack.stage[1], gpa, want, hit);
}

static VIOMMU__INLINE void note(void *ctx, unsigned int level, const uint64_t *table, uint64_t cum)
{
	struct world *w = ctx;

	w->noted[w->nr_noted].level = level;
	w->noted[w->nr_noted].table = table;
	w->noted[w->nr_noted++].cum = cum;
}

static VIOMMU__INLINE void note_nothing(void *ctx, unsigned int level, const uint64_t *table,
					uint64_t cum)
{
	(void)ctx;
	(void)level;
	(void)table;
	(void)cum;
}

static void the_hurried_walk_answers_exactly_what_needs_no_marks(void **state)
{
	static const uint32_t accesses[] = { VIOMMU_READ,
					     VIOMMU_READ,
					     VIOMMU_WRITE,
					     VIOMMU_ATOMIC,
					     VIOMMU_READ | VIOMMU_PRIV,
					     VIOMMU_WRITE | VIOMMU_PRIV,
					     VIOMMU_ZERO_LENGTH };
	uint64_t rounds = test_scale(1000000), round, hurried = 0, marked = 0, faulted = 0,
		 twice = 0, page[3];
	struct world w;

	(void)state;
	memset(page, 0, sizeof(page));
	world_init(&w, "nested");
	own_change(&w);
	fs_change(&w);
	for (round = 0; round < rounds; round++) {
		uint32_t access = accesses[rng_below(&w.rng, ARRAY_SIZE(accesses))];
		struct viommu_walk_result slow, plain;
		struct viommu__hit hit = { 0 };
		uint64_t addr;
		unsigned int i;
		bool fast;
		int ret, done;

		if (rng_one_in(&w.rng, 64))
			own_change(&w);
		if (rng_one_in(&w.rng, 16))
			fs_change(&w);
		for (i = 0; i < 4; i++)
			w.ram[rng_below(&w.rng, PAGES) * 512 + rng_below(&w.rng, INDICES)] =
				random_entry(&w);
		addr = random_addr(&w);

		w.updates = w.reads = 0;
		ret = viommu__walk(&w.stack, addr, access, VIOMMU_WALK_DRY, &w.rec, &slow);
		w.nr_noted = 0;
		fast = viommu__walk_nested(&w.stack.stage[0], addr, viommu__walk_want(access),
					   resolve, note, &w, &hit);
		assert_int_equal(fast, ret == 0 && w.updates == 0);
		if (fast) {
			unsigned int n = w.nr_noted;

			hurried++;
			page[(hit.page_lg2 - 12) / 9]++;
			assert_int_equal(hit.addr, slow.out);
			assert_int_equal(hit.page_lg2, slow.page_lg2);
			assert_int_equal(hit.perm, slow.perm);
			assert_int_equal(hit.snp, slow.snp);
			assert_int_equal(hit.reads, slow.reads);
			for (i = 0; i < n; i++) {
				struct viommu__hit from = { 0 };

				assert_int_equal(w.noted[i].level, w.stack.stage[0].levels - 1 - i);
				assert_true(viommu__walk_nested_from(
					&w.stack.stage[0], addr, viommu__walk_want(access),
					w.noted[i].level, w.noted[i].table, w.noted[i].cum, resolve,
					note_nothing, &w, &from));
				assert_int_equal(from.addr, hit.addr);
				assert_int_equal(from.perm, hit.perm);
				assert_int_equal(from.page_lg2, hit.page_lg2);
				assert_true(from.reads < hit.reads);
			}
		}
		/* The walker as it is called: it hurries where it can, marks where it has to. */
		done = viommu__walk(&w.stack, addr, access, 0, NULL, &plain);
		if (ret && slow.fault.reason == 0x77 &&
		    (!done || plain.fault.reason != 0x77 ||
		     plain.fault.level != slow.fault.level)) {
			/*
			 * An entry that serves twice, the second time by way of a page that may not
			 * be written: marked by then, but not in a dry walk.
			 */
			twice++;
			continue;
		}
		assert_int_equal(done, ret);
		if (ret) {
			faulted++;
			assert_int_equal(plain.fault.reason, slow.fault.reason);
			assert_int_equal(plain.fault.stage, slow.fault.stage);
			assert_int_equal(plain.fault.level, slow.fault.level);
			assert_int_equal(plain.fault.entry_addr, slow.fault.entry_addr);
			continue;
		}
		marked += w.updates != 0;
		assert_int_equal(plain.out, slow.out);
		w.updates = 0;
		assert_int_equal(
			viommu__walk(&w.stack, addr, access, VIOMMU_WALK_DRY, &w.rec, &slow), 0);
		assert_int_equal(w.updates, 0);
		assert_true(viommu__walk_nested(&w.stack.stage[0], addr, viommu__walk_want(access),
						resolve, note_nothing, &w,
						&(struct viommu__hit){ 0 }));
	}
	print_message("# hurried %lu (4 KiB %lu, 2 MiB %lu, 1 GiB %lu), marked %lu, faulted %lu\n",
		      (unsigned long)hurried, (unsigned long)page[0], (unsigned long)page[1],
		      (unsigned long)page[2], (unsigned long)marked, (unsigned long)faulted);
	assert_true(twice < rounds / 100);
	assert_true(hurried > rounds / 50);
	assert_true(marked > rounds / 100);
	assert_true(faulted > rounds / 50);
	assert_true(page[0] && page[1] && page[2]);
	world_free(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_hurried_walk_answers_exactly_what_needs_no_marks),
};
TEST_MAIN(tests)
