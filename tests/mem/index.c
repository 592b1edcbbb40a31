/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The index of regions against an array searched from end to end: insertion in random order,
 * erasure one by one and in lots, aliases by host address, dead regions, failed allocations, and
 * that an index which is published does not change under a reader.
 */
#include "mem/index.h"

#include <viommu/mem.h>

#include "base/alloc.h"
#include "mem/files.h"

#define REGIONS 3000

struct fixture {
	struct rng rng;
	struct viommu__region regions[REGIONS];
	struct viommu__top *top;
	struct viommu__retired *retired;
	size_t n; /* regions[0, n) are in the index */
};

static void retired_free(struct viommu__retired **list)
{
	struct viommu__retired *node;

	while ((node = *list)) {
		*list = node->next;
		viommu__free(node);
	}
}

static uint64_t key_of(const struct fixture *f, const struct viommu__region *r)
{
	return f->top->by_host ? (uint64_t)(uintptr_t)r->host : r->gpa;
}

/* Guest addresses are distinct; host addresses repeat and overlap. */
static void fixture_init(struct fixture *f, const char *label, bool by_host)
{
	size_t i, j;

	rng_init(&f->rng, label);
	memset(f->regions, 0, sizeof(f->regions));
	for (i = 0; i < REGIONS; i++) {
		f->regions[i].gpa = i * 16 * PAGE;
		f->regions[i].bytes =
			PAGE * rng_range(&f->rng, 1, rng_one_in(&f->rng, 50) ? 400 : 16);
		f->regions[i].host = (char *)(uintptr_t)(PAGE * rng_range(&f->rng, 1, 20000));
		if (rng_one_in(&f->rng, 3))
			f->regions[i].host = f->regions[i / 2].host;
		if (rng_one_in(&f->rng, 2))
			f->regions[i].flags = VIOMMU_MEM_READ_ONLY;
	}
	/* Shuffle. */
	for (i = REGIONS - 1; i; i--) {
		struct viommu__region r = f->regions[i];

		j = rng_below(&f->rng, i + 1);
		f->regions[i] = f->regions[j];
		f->regions[j] = r;
	}
	f->n = 0;
	f->retired = NULL;
	f->top = viommu__index_new(by_host);
	assert_non_null(f->top);
}

static void fixture_destroy(struct fixture *f)
{
	viommu__index_free(f->top);
	retired_free(&f->retired);
}

static void insert_one(struct fixture *f)
{
	struct viommu__edit edit;

	assert_int_equal(viommu__edit_begin(&edit, f->top), 0);
	assert_int_equal(viommu__edit_insert(&edit, &f->regions[f->n++]), 0);
	f->top = viommu__edit_commit(&edit, &f->retired);
}

/* Erase n that are there, in one edit. */
static void erase_some(struct fixture *f, size_t n)
{
	struct viommu__edit edit;
	struct viommu__region r;
	size_t i;

	assert_int_equal(viommu__edit_begin(&edit, f->top), 0);
	while (n--)
		assert_int_equal(viommu__edit_erase(&edit, &f->regions[--f->n]), 0);
	f->top = viommu__edit_commit(&edit, &f->retired);
	/* Others are erased next time: the index holds pointers, so only swap what is not in it. */
	if (f->n + 1 < REGIONS) {
		i = rng_range(&f->rng, f->n, REGIONS - 1);
		r = f->regions[i];
		f->regions[i] = f->regions[f->n];
		f->regions[f->n] = r;
	}
}

/* Every entry in order, nothing else; leaves neither empty nor many. */
static void check_order(const struct fixture *f)
{
	struct viommu__region *r, *before = NULL;
	struct viommu__spot spot;
	size_t n = 0, l;
	bool more;

	for (more = viommu__index_first(f->top, &spot); more;
	     more = viommu__index_next(f->top, &spot)) {
		r = viommu__index_at(f->top, &spot);
		assert_true(r >= f->regions && r < f->regions + f->n);
		if (before) {
			assert_true(key_of(f, before) <= key_of(f, r));
			if (key_of(f, before) == key_of(f, r))
				assert_true(before->gpa < r->gpa);
		}
		before = r;
		n++;
	}
	assert_int_equal(n, f->n);
	for (l = 0; l < f->top->n; l++) {
		assert_in_range(f->top->e[l].leaf->n, 1, VIOMMU__LEAF_MAX);
		assert_false(f->top->e[l].leaf->fresh);
		assert_int_equal(f->top->e[l].key, f->top->e[l].leaf->key[0]);
	}
}

static void check_find(struct fixture *f, uint64_t key)
{
	struct viommu__region *best = NULL;
	struct viommu__spot spot;
	size_t i;
	bool found;

	for (i = 0; i < f->n; i++)
		if (key_of(f, &f->regions[i]) <= key &&
		    (!best || key_of(f, best) <= key_of(f, &f->regions[i])))
			best = &f->regions[i];
	found = viommu__index_find(f->top, key, &spot);
	assert_int_equal(found, best != NULL);
	if (found)
		assert_int_equal(key_of(f, viommu__index_at(f->top, &spot)), key_of(f, best));
}

static bool contains(const struct viommu__region *r, uint64_t host, uint64_t bytes, bool write)
{
	uint64_t start = (uintptr_t)r->host;

	return start <= host && host < start + r->bytes && bytes <= start + r->bytes - host &&
	       !(write && (r->flags & VIOMMU_MEM_READ_ONLY)) && !r->dead;
}

static void check_containing(struct fixture *f, uint64_t host, uint64_t bytes, bool write)
{
	struct viommu__region *r = viommu__index_containing(f->top, host, bytes, write);
	bool any = false;
	size_t i;

	for (i = 0; i < f->n && !any; i++)
		any = contains(&f->regions[i], host, bytes, write);
	assert_int_equal(r != NULL, any);
	if (r)
		assert_true(contains(r, host, bytes, write));
}

static void random_index(const char *label, bool by_host)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint64_t steps = test_scale(4000), i;
	size_t goal = 0;
	int q;

	assert_non_null(f);
	fixture_init(f, label, by_host);
	for (i = 0; i < steps; i++) {
		/* Grow and shrink for a while each, or it would stay at one size. */
		if (f->n == goal || i % 1000 == 0)
			goal = rng_range(&f->rng, 0, REGIONS);
		if (f->n < goal)
			insert_one(f);
		else if (f->n > goal)
			erase_some(f, rng_range(&f->rng, 1,
						rng_one_in(&f->rng, 20) ? f->n - goal : 1));
		if (rng_one_in(&f->rng, 50))
			retired_free(&f->retired);
		if (f->n && rng_one_in(&f->rng, 10))
			f->regions[rng_below(&f->rng, f->n)].dead ^= REGION_LOST;
		for (q = 0; q < 2; q++) {
			check_find(f, rng_below(&f->rng, REGIONS * 17) * PAGE);
			if (by_host)
				check_containing(f, rng_below(&f->rng, 20100 * PAGE),
						 rng_range(&f->rng, 1, 32 * PAGE),
						 rng_one_in(&f->rng, 2));
		}
		if (rng_one_in(&f->rng, 100))
			check_order(f);
	}
	check_order(f);
	while (f->n)
		erase_some(f, rng_range(&f->rng, 1, f->n));
	check_order(f);
	assert_int_equal(f->top->n, 0);
	fixture_destroy(f);
	free(f);
}

static void random_changes_by_guest_address_agree_with_an_array(void **state)
{
	(void)state;
	random_index("gpa", false);
}

static void random_changes_by_host_address_agree_with_an_array(void **state)
{
	(void)state;
	random_index("host", true);
}

static void ascending_regions_fill_their_leaves(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	size_t i;

	(void)state;
	assert_non_null(f);
	fixture_init(f, "ascending", false);
	for (i = 0; i < REGIONS; i++)
		f->regions[i].gpa = i * PAGE;
	while (f->n < REGIONS)
		insert_one(f);
	check_order(f);
	assert_int_equal(f->top->n, (REGIONS + VIOMMU__LEAF_MAX - 1) / VIOMMU__LEAF_MAX);
	/* And leaves of which little is left become one. */
	while (f->n > 10)
		erase_some(f, 1);
	check_order(f);
	assert_int_equal(f->top->n, 1);
	fixture_destroy(f);
	free(f);
}

static void a_published_index_stays_as_it_is(void **state)
{
	struct viommu__region *seen[600], **p;
	struct fixture *f = calloc(1, sizeof(*f));
	const struct viommu__top *old;
	struct viommu__spot spot;
	bool more;

	(void)state;
	assert_non_null(f);
	fixture_init(f, "published", true);
	while (f->n < 600)
		insert_one(f);
	retired_free(&f->retired);
	old = f->top;
	p = seen;
	for (more = viommu__index_first(old, &spot); more; more = viommu__index_next(old, &spot))
		*p++ = viommu__index_at(old, &spot);
	/* Nothing is freed meanwhile, as for a reader that stays in its section. */
	while (f->n < 1200)
		insert_one(f);
	while (f->n)
		erase_some(f, f->n > 7 ? 7 : f->n);
	p = seen;
	for (more = viommu__index_first(old, &spot); more; more = viommu__index_next(old, &spot))
		assert_ptr_equal(*p++, viommu__index_at(old, &spot));
	assert_int_equal(p - seen, 600);
	fixture_destroy(f);
	free(f);
}

static void a_failed_allocation_leaves_the_edit_as_it_was(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct viommu__edit edit;
	struct viommu__top *old;
	long live, n;
	int ret, failed = 0;

	(void)state;
	assert_non_null(f);
	fixture_init(f, "failed", true);
	while (f->n < REGIONS) {
		old = f->top;
		for (n = 1;; n++) {
			live = viommu__alloc_live();
			viommu__alloc_fail_nth(n);
			ret = viommu__edit_begin(&edit, f->top);
			if (!ret)
				ret = viommu__edit_insert(&edit, &f->regions[f->n]);
			if (!viommu__alloc_fail_done())
				break;
			failed++;
			assert_int_equal(ret, -ENOMEM);
			viommu__edit_abort(&edit);
			assert_int_equal(viommu__alloc_live(), live);
			assert_ptr_equal(f->top, old);
		}
		assert_int_equal(ret, 0);
		/* What is not published can be forgotten as well. */
		viommu__edit_abort(&edit);
		assert_int_equal(viommu__alloc_live(), live);
		insert_one(f);
		retired_free(&f->retired);
	}
	check_order(f);
	/* Top and leaf each time, and sometimes two leaves. */
	assert_true(failed > 2 * REGIONS);
	while (f->n) {
		assert_int_equal(viommu__edit_begin(&edit, f->top), 0);
		viommu__alloc_fail_nth(1);
		ret = viommu__edit_erase(&edit, &f->regions[f->n - 1]);
		assert_true(viommu__alloc_fail_done());
		assert_int_equal(ret, -ENOMEM);
		/* The second allocation is for joining leaves, which can wait. */
		viommu__alloc_fail_nth(2);
		assert_int_equal(viommu__edit_erase(&edit, &f->regions[--f->n]), 0);
		viommu__alloc_fail_done();
		f->top = viommu__edit_commit(&edit, &f->retired);
		retired_free(&f->retired);
		if (f->n % 100 == 0)
			check_order(f);
	}
	fixture_destroy(f);
	free(f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(random_changes_by_guest_address_agree_with_an_array),
	cmocka_unit_test(random_changes_by_host_address_agree_with_an_array),
	cmocka_unit_test(ascending_regions_fill_their_leaves),
	cmocka_unit_test(a_published_index_stays_as_it_is),
	cmocka_unit_test(a_failed_allocation_leaves_the_edit_as_it_was),
};

TEST_MAIN(tests)
