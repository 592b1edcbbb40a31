/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path while somebody edits the tables: 128 bits that a guest writes at once are seen as
 * they stood together.
 */
#include <pthread.h>

#include "base/atomic.h"
#include "world.h"

#if defined(__x86_64__)

struct editor {
	uint64_t *entry;
	uint64_t edits;
	int stop;
};

/* Replace 128 bits in one access, as a guest's processor can. Only one thread writes. */
static void store128(uint64_t *at, uint64_t lo, uint64_t hi)
{
	uint64_t old_lo = at[0], old_hi = at[1];
	unsigned char done;

	__asm__ __volatile__("lock cmpxchg16b %1\n\tsete %0"
			     : "=q"(done), "+m"(*(__int128 *)at), "+a"(old_lo), "+d"(old_hi)
			     : "b"(lo), "c"(hi)
			     : "cc");
	if (!done)
		abort();
}

/* The table pointer and the domain id always carry the same number. */
static void entry_of(uint64_t n, uint64_t *lo, uint64_t *hi)
{
	*lo = (n & 0xffff) << 20 | 1 << 2 | 1;
	*hi = (n & 0xffff) << 8 | 2;
}

static void *editor_run(void *arg)
{
	struct editor *e = arg;
	uint64_t lo, hi, pause;
	struct rng rng;

	rng_init_seed(&rng, 1);
	while (!load_relaxed(&e->stop)) {
		entry_of(++e->edits, &lo, &hi);
		store128(e->entry, lo, hi);
		/* Who writes without pause beats any number of tries: that is the path's choice. */
		for (pause = rng_below(&rng, 500); pause; pause--)
			cpu_relax();
	}
	return NULL;
}

/* VTD-ENT-01 */
static void context_entry_is_seen_as_it_stood_at_one_moment(void **state)
{
	uint64_t lookups = test_scale(200000), i, last = 0, changes = 0;
	struct editor editor = { 0 };
	pthread_t thread;
	struct world w;

	(void)state;
	world_legacy(&w, false);
	editor.entry = w.ce;
	entry_of(0, &w.ce[0], &w.ce[1]);
	assert_int_equal(pthread_create(&thread, NULL, editor_run, &editor), 0);
	/* Go on until the editor was seen at work, however the two are scheduled. */
	for (i = 0; i < lookups || changes < 100; i++) {
		const struct viommu_stage *s = &w.out.stack.stage[0];

		assert_int_equal(viommu_path_lookup(&w.unit, &w.req, NULL, &w.out), 0);
		assert_true(s->root >> 20 == w.out.did);
		changes += w.out.did != last;
		last = w.out.did;
	}
	store_relaxed(&editor.stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# %llu edits, %llu lookups, %llu saw another entry than before\n",
		      (unsigned long long)editor.edits, (unsigned long long)i,
		      (unsigned long long)changes);
	world_close(&w);
}

#else

static void context_entry_is_seen_as_it_stood_at_one_moment(void **state)
{
	(void)state;
	print_message("# no 128-bit store here\n");
	skip();
}

#endif

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(context_entry_is_seen_as_it_stood_at_one_moment),
};
TEST_MAIN(tests)
