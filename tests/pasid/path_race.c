/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path while somebody edits the tables: 128 bits that a guest writes at once are seen as
 * they stood together.
 */
#include <pthread.h>
#include <sched.h>

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
	for (i = 0; i < lookups || changes < 20; i++) {
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

/* A PASID entry that comes and goes: P is written last and cleared first, as software must. */
struct publisher {
	uint64_t *pe;
	uint64_t wanted; /* the reader has seen all rounds before this one */
	uint64_t rounds;
};

static void *publisher_run(void *arg)
{
	struct publisher *p = arg;
	uint64_t round;

	for (round = 1; round <= p->rounds; round++) {
		while (load_acquire(&p->wanted) != round)
			sched_yield();
		store_relaxed(&p->pe[0], 0);
		store_relaxed(&p->pe[1], (round & 0xffff) | 0x800000);
		store_relaxed(&p->pe[2], (round & 0xffff) << 12);
		store_release(&p->pe[0], (round & 0xffff) << 12 | 0xc9);
	}
	return NULL;
}

/* VTD-ENT-02 */
/* VTD-SNOOP-01: what another processor wrote is seen, with no flush in between. */
static void entry_that_is_present_is_seen_whole(void **state)
{
	struct publisher publisher = { .rounds = test_scale(3000) };
	pthread_t thread;
	uint64_t round;
	struct world w;

	(void)state;
	world_scalable(&w, false);
	publisher.pe = w.pe;
	w.pe[0] = 0;
	assert_int_equal(pthread_create(&thread, NULL, publisher_run, &publisher), 0);
	for (round = 1; round <= publisher.rounds; round++) {
		store_release(&publisher.wanted, round);
		/*
		 * The round before may still stand; then the entry is absent, then new and whole.
		 */
		do {
			if (viommu_path_lookup(&w.unit, &w.req, NULL, &w.out) == VIOMMU_FAULTED) {
				assert_int_equal(w.out.fault.reason, VTD_FR_PE_NP);
				continue;
			}
			if (w.out.stack.stage[1].root >> 12 != (round & 0xffff)) {
				sched_yield();
				continue;
			}
			assert_int_equal(w.out.did, round & 0xffff);
			assert_true(w.out.stack.stage[0].root >> 12 == (round & 0xffff));
			break;
		} while (1);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(context_entry_is_seen_as_it_stood_at_one_moment),
	cmocka_unit_test(entry_that_is_present_is_seen_whole),
};
TEST_MAIN(tests)
