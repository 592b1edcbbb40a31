/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers while regions come and go: a removal waits for sections and for nothing else, an
 * addition waits for none, and nobody reads what was removed. Removed memory is unmapped or
 * overwritten, so a use after removal crashes, is a wrong stamp, or is a race that ThreadSanitizer
 * reports.
 */
#include "mem/mem.h"

#include <pthread.h>
#include <sched.h>

#include "mem/files.h"

/* ---- one removal, step by step */

struct removal {
	struct viommu_mem *mem;
	uint32_t returned;
	int ret;
};

static void *remove_page_0(void *arg)
{
	struct removal *r = arg;

	r->ret = viommu_mem_remove(r->mem, 0, PAGE);
	store_release(&r->returned, 1);
	return NULL;
}

static void a_removal_waits_for_the_sections_of_before(void **state)
{
	struct removal removal = { 0 };
	unsigned outer, inner;
	int fd = file_sealed(PAGE), i;
	pthread_t thread;
	uint64_t n, v;
	char *p;

	(void)state;
	assert_int_equal(pwrite(fd, "here", 4, 0), 4);
	assert_int_equal(viommu_mem_new(&removal.mem), 0);
	assert_int_equal(viommu_mem_add_fd(removal.mem, 0, PAGE, fd, 0, 0), 0);
	outer = viommu__mem_enter(removal.mem);
	p = viommu__mem_ptr(removal.mem, 0, true, &n);
	assert_non_null(p);
	assert_int_equal(pthread_create(&thread, NULL, remove_page_0, &removal), 0);
	/* Once it is gone for new lookups, the removal is on its way. */
	while (viommu_mem_read(removal.mem, 0, &v, 8) == 0)
		sched_yield();
	/* New sections, nested in this one, come and go and do not end it. */
	for (i = 0; i < 1000; i++) {
		inner = viommu__mem_enter(removal.mem);
		assert_null(viommu__mem_ptr(removal.mem, 0, false, &n));
		viommu__mem_leave(removal.mem, inner);
		sched_yield();
	}
	assert_int_equal(load_acquire(&removal.returned), 0);
	assert_memory_equal(p, "here", 4);
	viommu__mem_leave(removal.mem, outer);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(removal.ret, 0);
	assert_false(page_is_mapped(p));
	viommu_mem_free(removal.mem);
	close(fd);
}

struct handover {
	struct viommu_mem *mem;
	unsigned token;
};

static void *leave_for_other(void *arg)
{
	struct handover *h = arg;

	viommu__mem_leave(h->mem, h->token);
	return NULL;
}

static void a_section_may_end_in_another_thread(void **state)
{
	static char arena[4096] __attribute__((aligned(4096)));
	struct handover h;
	pthread_t thread;

	(void)state;
	assert_int_equal(viommu_mem_new(&h.mem), 0);
	assert_int_equal(viommu_mem_add_ptr(h.mem, 0, PAGE, arena, 0), 0);
	h.token = viommu__mem_enter(h.mem);
	assert_int_equal(pthread_create(&thread, NULL, leave_for_other, &h), 0);
	/* Returns only if the section ends. */
	assert_int_equal(viommu_mem_remove(h.mem, 0, PAGE), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	viommu_mem_free(h.mem);
}

/* ---- many of them */

#define READERS      3
#define REGIONS      8
#define REGION_PAGES 4
#define STRIDE       (16 * PAGE)

/* What each word of a region holds while it is there; nothing else may be read. */
static uint64_t stamp(unsigned int region, uint32_t generation)
{
	return UINT64_C(0xabcd) << 48 | (uint64_t)region << 32 | generation;
}

struct stress {
	struct viommu_mem *mem;
	uint32_t stop;
	uint32_t wrong;
	uint32_t readers; /* that have their number */
	/* Of each reader; relaxed, to order nothing that the test is about. */
	uint64_t hits[READERS];
	uint64_t misses[READERS];
	/* Newest generation that was added, and the newest that was removed, of each region. */
	uint32_t added[REGIONS];
	uint32_t removed[REGIONS];
};

static bool words_right(const uint64_t *words, size_t n, unsigned int region, uint32_t oldest)
{
	uint64_t v, first = load_relaxed(&words[0]);
	size_t i;

	/* A generation that was removed before we began is the use after removal we look for. */
	if (first >> 32 != stamp(region, 0) >> 32 || (uint32_t)first < oldest)
		return false;
	for (i = 1; i < n; i++) {
		v = load_relaxed(&words[i]);
		if (v != first)
			return false;
	}
	return true;
}

static void *stress_reader(void *arg)
{
	struct stress *s = arg;
	uint32_t me = fetch_add(&s->readers, 1);
	uint64_t page[512], n, at;
	unsigned int region, token;
	uint32_t oldest;
	struct rng rng;
	uint64_t *p;
	bool w;
	int ret;

	rng_init_seed(&rng, test_seed() ^ (uintptr_t)&rng);
	while (!load_acquire(&s->stop)) {
		region = (unsigned int)rng_below(&rng, REGIONS);
		at = region * STRIDE + rng_below(&rng, REGION_PAGES) * PAGE;
		oldest = load_acquire(&s->removed[region]) + 1;
		ret = viommu_mem_read(s->mem, at, page, PAGE);
		if (ret == 0 && !words_right(page, 512, region, oldest))
			fetch_add(&s->wrong, 1);
		if (ret && ret != -EFAULT)
			fetch_add(&s->wrong, 1);
		store_relaxed(&s->hits[me], s->hits[me] + !ret);
		store_relaxed(&s->misses[me], s->misses[me] + !!ret);

		token = viommu__mem_enter(s->mem);
		oldest = load_acquire(&s->removed[region]) + 1;
		p = viommu__mem_ptr(s->mem, region * STRIDE, false, &n);
		if (p) {
			if (n != REGION_PAGES * PAGE || !words_right(p, n / 8, region, oldest))
				fetch_add(&s->wrong, 1);
			/*
			 * Unless its removal has begun meanwhile, it is known by address as well.
			 */
			viommu__mem_has_host(s->mem, p + 7, 8, &w);
		}
		viommu__mem_leave(s->mem, token);
	}
	return NULL;
}

static void fill(uint64_t *words, uint64_t value)
{
	size_t i;

	for (i = 0; i < REGION_PAGES * PAGE / 8; i++)
		words[i] = value;
}

/* Did every reader find regions that were there and regions that were not? */
static bool readers_met_both(struct stress *s)
{
	int t;

	for (t = 0; t < READERS; t++)
		if (load_relaxed(&s->hits[t]) < 100 || load_relaxed(&s->misses[t]) < 100)
			return false;
	return true;
}

/* Even regions are files of their own, mapped and unmapped; odd ones are ours, overwritten. */
static void stress_writer(struct stress *s, uint64_t rounds)
{
	static uint64_t bytes[REGION_PAGES * 512];
	uint64_t *arena[REGIONS] = { 0 };
	bool there[REGIONS] = { 0 };
	uint64_t i, gpa;
	unsigned int r;
	struct rng rng;
	int fd;

	rng_init(&rng, "writer");
	for (r = 1; r < REGIONS; r += 2)
		assert_int_equal(posix_memalign((void **)&arena[r], PAGE, REGION_PAGES * PAGE), 0);
	/* On a busy machine, until the readers have had their share. */
	for (i = 0; i < rounds || !readers_met_both(s); i++) {
		r = (unsigned int)rng_below(&rng, REGIONS);
		gpa = r * STRIDE;
		if (there[r]) {
			assert_int_equal(viommu_mem_remove(s->mem, gpa, STRIDE), 0);
			store_release(&s->removed[r], s->added[r]);
			if (r & 1)
				fill(arena[r], 0xdead);
		} else {
			s->added[r]++;
			if (r & 1) {
				fill(arena[r], stamp(r, s->added[r]));
				assert_int_equal(viommu_mem_add_ptr(s->mem, gpa,
								    REGION_PAGES * PAGE, arena[r],
								    0),
						 0);
			} else {
				fd = file_sealed(sizeof(bytes));
				fill(bytes, stamp(r, s->added[r]));
				assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0),
						 sizeof(bytes));
				assert_int_equal(
					viommu_mem_add_fd(s->mem, gpa, sizeof(bytes), fd, 0, 0), 0);
				close(fd);
			}
		}
		there[r] = !there[r];
		/* Now and then all at once. */
		if (rng_one_in(&rng, 100) && viommu_mem_remove(s->mem, 0, REGIONS * STRIDE) == 0)
			for (r = 0; r < REGIONS; r++) {
				there[r] = false;
				store_release(&s->removed[r], s->added[r]);
				if (r & 1)
					fill(arena[r], 0xdead);
			}
	}
	assert_int_not_equal(viommu_mem_remove(s->mem, 0, REGIONS * STRIDE), -EINVAL);
	for (r = 1; r < REGIONS; r += 2)
		free(arena[r]);
}

static void readers_never_see_what_was_removed(void **state)
{
	struct stress s = { 0 };
	pthread_t threads[READERS];
	int t;

	(void)state;
	test_seed();
	assert_int_equal(viommu_mem_new(&s.mem), 0);
	for (t = 0; t < READERS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, stress_reader, &s), 0);
	stress_writer(&s, test_scale(4000));
	store_release(&s.stop, 1);
	for (t = 0; t < READERS; t++)
		assert_int_equal(pthread_join(threads[t], NULL), 0);
	assert_int_equal(s.wrong, 0);
	viommu_mem_free(s.mem);
}

/* ---- writers against each other */

#define WRITERS 3

struct writer {
	struct viommu_mem *mem;
	unsigned int id;
	uint64_t rounds;
	uint32_t *wrong;
};

static void *write_own_range(void *arg)
{
	static char shared[4 * 4096] __attribute__((aligned(4096)));
	struct writer *w = arg;
	uint64_t base = w->id * GIB, i, v;
	struct rng rng;
	bool there[64] = { 0 };
	int ret;

	rng_init_seed(&rng, test_seed() + w->id);
	for (i = 0; i < w->rounds; i++) {
		uint64_t at = rng_below(&rng, 64);

		if (there[at])
			ret = viommu_mem_remove(w->mem, base + at * STRIDE, STRIDE);
		else
			ret = viommu_mem_add_ptr(w->mem, base + at * STRIDE,
						 rng_range(&rng, 1, 4) * PAGE, shared, 0);
		there[at] = !there[at];
		if (ret)
			fetch_add(w->wrong, 1);
		at = rng_below(&rng, 64);
		ret = viommu_mem_load64(w->mem, base + at * STRIDE, &v);
		if (ret != (there[at] ? 0 : -EFAULT))
			fetch_add(w->wrong, 1);
	}
	return NULL;
}

static void writers_of_their_own_ranges_do_not_disturb_each_other(void **state)
{
	struct writer w[WRITERS];
	struct viommu_mem *mem;
	pthread_t threads[WRITERS];
	uint32_t wrong = 0;
	unsigned int t;

	(void)state;
	test_seed();
	assert_int_equal(viommu_mem_new(&mem), 0);
	for (t = 0; t < WRITERS; t++) {
		w[t] = (struct writer){ mem, t, test_scale(3000), &wrong };
		assert_int_equal(pthread_create(&threads[t], NULL, write_own_range, &w[t]), 0);
	}
	for (t = 0; t < WRITERS; t++)
		assert_int_equal(pthread_join(threads[t], NULL), 0);
	assert_int_equal(wrong, 0);
	viommu_mem_free(mem);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_removal_waits_for_the_sections_of_before),
	cmocka_unit_test(a_section_may_end_in_another_thread),
	cmocka_unit_test(readers_never_see_what_was_removed),
	cmocka_unit_test(writers_of_their_own_ranges_do_not_disturb_each_other),
};

TEST_MAIN(tests)
