/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PASID allocator and the guest-to-host map of viommu/pasid.h: every errno of the header, full
 * size, memory, threads, failing allocations. The random test against a model is model.c.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib/test.h"
#include "pasid/pasids.h"

#define GP(n) ((struct viommu_gp){ n })
#define HP(n) ((struct viommu_hp){ n })

static struct viommu_pasids *pasids_make(uint32_t min, uint32_t max)
{
	struct viommu_pasids *pasids;

	assert_int_equal(viommu_pasids_new(min, max, &pasids), 0);
	return pasids;
}

static struct viommu_owner *owner_make(struct viommu_pasids *pasids, uint32_t quota)
{
	struct viommu_owner *owner;

	assert_int_equal(viommu_owner_new(pasids, quota, &owner), 0);
	return owner;
}

static uint32_t alloc_ok(struct viommu_owner *owner, uint32_t min, uint32_t max)
{
	struct viommu_hp hp;

	assert_int_equal(viommu_pasid_alloc(owner, min, max, &hp), 0);
	return hp.v;
}

static void alloc_fails(struct viommu_owner *owner, uint32_t min, uint32_t max, int err)
{
	struct viommu_hp hp = { 1 };

	assert_int_equal(viommu_pasid_alloc(owner, min, max, &hp), err);
	assert_int_equal(hp.v, VIOMMU_NO_PASID);
}

static void everything_freed(struct viommu_pasids *pasids, long live_before)
{
	viommu_pasids_free(pasids);
	assert_int_equal(viommu__alloc_live(), live_before);
}

static void allocator_refuses_a_range_outside_1_to_fffff(void **state)
{
	static const uint32_t bad[][2] = { { 0, 5 }, { 6, 5 }, { 1, 0x100000 }, { 0, 0 } };
	struct viommu_pasids *pasids;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		pasids = (void *)1;
		assert_int_equal(viommu_pasids_new(bad[i][0], bad[i][1], &pasids), -EINVAL);
		assert_null(pasids);
	}
	viommu_pasids_free(NULL);
	assert_int_equal(viommu_owner_free(NULL), 0);
}

static void alloc_gives_the_lowest_free_id_of_the_range(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, VIOMMU_PASID_MAX);
	struct viommu_owner *owner = owner_make(pasids, 0);

	(void)state;
	assert_int_equal(alloc_ok(owner, 0, UINT32_MAX), 1);
	assert_int_equal(alloc_ok(owner, 1, VIOMMU_PASID_MAX), 2);
	assert_int_equal(alloc_ok(owner, 1000, 2000), 1000);
	assert_int_equal(alloc_ok(owner, 1000, 2000), 1001);
	assert_int_equal(alloc_ok(owner, 1, VIOMMU_PASID_MAX), 3);
	assert_int_equal(alloc_ok(owner, VIOMMU_PASID_MAX, VIOMMU_PASID_MAX), VIOMMU_PASID_MAX);
	assert_int_equal(viommu_pasid_free(owner, HP(2)), 0);
	assert_int_equal(alloc_ok(owner, 1, VIOMMU_PASID_MAX), 2);
	assert_int_equal(viommu_owner_count(owner), 6);
	assert_int_equal(viommu_owner_free(owner), 0);
	viommu_pasids_free(pasids);
}

static void alloc_errors_are_those_of_the_header(void **state)
{
	struct viommu_pasids *pasids = pasids_make(100, 163);
	struct viommu_owner *owner = owner_make(pasids, 0);
	uint32_t i;

	(void)state;
	alloc_fails(owner, 5, 4, -EINVAL);
	alloc_fails(owner, 1, 99, -ENOSPC);
	alloc_fails(owner, 164, VIOMMU_PASID_MAX, -ENOSPC);
	assert_int_equal(alloc_ok(owner, 120, 121), 120);
	assert_int_equal(alloc_ok(owner, 120, 121), 121);
	alloc_fails(owner, 120, 121, -ENOSPC);
	for (i = 0; i < 62; i++)
		alloc_ok(owner, 1, VIOMMU_PASID_MAX);
	alloc_fails(owner, 1, VIOMMU_PASID_MAX, -ENOSPC);
	assert_int_equal(viommu_owner_free(owner), 0);
	viommu_pasids_free(pasids);
}

static void reserve_takes_that_very_id(void **state)
{
	struct viommu_pasids *pasids = pasids_make(10, 20);
	struct viommu_owner *owner = owner_make(pasids, 0), *other = owner_make(pasids, 0);

	(void)state;
	assert_int_equal(viommu_pasid_reserve(owner, HP(9)), -EINVAL);
	assert_int_equal(viommu_pasid_reserve(owner, HP(21)), -EINVAL);
	assert_int_equal(viommu_pasid_reserve(owner, HP(UINT32_MAX)), -EINVAL);
	assert_int_equal(viommu_pasid_reserve(owner, HP(10)), 0);
	assert_int_equal(viommu_pasid_reserve(owner, HP(10)), -EEXIST);
	assert_int_equal(viommu_pasid_reserve(other, HP(10)), -EEXIST);
	assert_int_equal(alloc_ok(other, 1, 20), 11);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_pasid_reserve(other, HP(10)), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	viommu_pasids_free(pasids);
}

static void quota_limits_what_an_owner_holds_at_a_time(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, 100);
	struct viommu_owner *owner = owner_make(pasids, 2), *other = owner_make(pasids, 0);

	(void)state;
	alloc_ok(owner, 1, 100);
	assert_int_equal(viommu_pasid_reserve(owner, HP(50)), 0);
	alloc_fails(owner, 1, 100, -EDQUOT);
	assert_int_equal(viommu_pasid_reserve(owner, HP(51)), -EDQUOT);
	assert_int_equal(alloc_ok(other, 1, 100), 2);
	assert_int_equal(viommu_pasid_free(owner, HP(50)), 0);
	assert_int_equal(alloc_ok(owner, 1, 100), 3);
	assert_int_equal(viommu_owner_count(owner), 2);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	viommu_pasids_free(pasids);
}

static void free_refuses_what_is_in_use_or_not_ours(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, 100);
	struct viommu_owner *owner = owner_make(pasids, 0), *other = owner_make(pasids, 0);
	struct viommu_hp hp = { alloc_ok(owner, 7, 7) };

	(void)state;
	assert_int_equal(viommu_pasid_free(owner, HP(8)), -ENOENT);
	assert_int_equal(viommu_pasid_free(owner, HP(0)), -ENOENT);
	assert_int_equal(viommu_pasid_free(owner, HP(UINT32_MAX)), -ENOENT);
	assert_int_equal(viommu_pasid_free(other, hp), -EPERM);

	assert_int_equal(viommu_pasid_get(owner, hp), 0);
	assert_int_equal(viommu_pasid_free(owner, hp), -EBUSY);
	viommu_pasid_put(owner, hp);

	assert_int_equal(viommu_pasid_map(owner, GP(3), hp), 0);
	assert_int_equal(viommu_pasid_free(owner, hp), -EBUSY);
	assert_int_equal(viommu_pasid_unmap(owner, GP(3)), 0);

	assert_int_equal(viommu_pasid_free(owner, hp), 0);
	assert_int_equal(viommu_pasid_free(owner, hp), -ENOENT);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	viommu_pasids_free(pasids);
}

static void references_are_counted_up_to_their_limit(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, 100);
	struct viommu_owner *owner = owner_make(pasids, 0), *other = owner_make(pasids, 0);
	struct viommu_hp hp = { alloc_ok(owner, 1, 100) };
	uint64_t *word, before;

	(void)state;
	assert_int_equal(viommu_pasid_get(owner, HP(2)), -ENOENT);
	assert_int_equal(viommu_pasid_get(other, hp), -EPERM);

	/* Eight million calls later: */
	assert_int_equal(viommu__pasid_state(owner, hp, &word), 0);
	before = *word;
	*word += (uint64_t)(REFS_MAX - 2) << STATE_REFS_SHIFT;
	assert_int_equal(viommu_pasid_get(owner, hp), 0);
	assert_int_equal(viommu_pasid_get(owner, hp), -EOVERFLOW);
	assert_int_equal(state_owner(*word), state_owner(before));
	*word -= (uint64_t)(REFS_MAX - 2) << STATE_REFS_SHIFT;
	viommu_pasid_put(owner, hp);
	assert_true(*word == before);

	assert_int_equal(viommu_pasid_free(owner, hp), 0);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	viommu_pasids_free(pasids);
}

static void put_without_get_is_an_assertion(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, 100);
	struct viommu_owner *owner = owner_make(pasids, 0);
	struct viommu_hp hp = { alloc_ok(owner, 1, 100) };
	int status;
	pid_t pid;

	(void)state;
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		viommu_pasid_put(owner, hp);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(viommu_owner_free(owner), 0);
	viommu_pasids_free(pasids);
}

static void owner_with_a_bound_pasid_cannot_go(void **state)
{
	long live = viommu__alloc_live();
	struct viommu_pasids *pasids = pasids_make(1, VIOMMU_PASID_MAX);
	struct viommu_owner *owner = owner_make(pasids, 0), *other = owner_make(pasids, 0);
	struct viommu_hp hp, out;

	(void)state;
	hp.v = alloc_ok(owner, 1, 100);
	assert_int_equal(alloc_ok(other, 1, 100), 2);
	alloc_ok(owner, 5000, 5000);
	assert_int_equal(viommu_pasid_map(owner, GP(9), hp), 0);
	assert_int_equal(viommu_pasid_get(owner, hp), 0);
	assert_int_equal(viommu_owner_free(owner), -EBUSY);
	assert_int_equal(viommu_owner_count(owner), 2);
	assert_int_equal(viommu_pasid_to_host(owner, GP(9), &out), 0);
	viommu_pasid_put(owner, hp);
	/* A mapping alone does not keep it. */
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_count(other), 1);
	assert_int_equal(alloc_ok(other, 1, 100), 1);
	assert_int_equal(viommu_owner_free(other), 0);
	everything_freed(pasids, live);
}

static void hold_finds_or_makes(void **state)
{
	long live = viommu__alloc_live();
	struct viommu_pasids *pasids = pasids_make(10, 1000);
	struct viommu_owner *owner = owner_make(pasids, 2), *other = owner_make(pasids, 0);

	(void)state;
	assert_int_equal(viommu_pasid_hold(owner, HP(9)), -EINVAL);
	assert_int_equal(viommu_pasid_hold(owner, HP(1001)), -EINVAL);
	assert_int_equal(viommu_pasid_release(owner, HP(10)), -ENOENT);
	assert_int_equal(viommu_pasid_hold(owner, HP(10)), 0);
	assert_int_equal(viommu_pasid_hold(owner, HP(10)), 0);
	assert_int_equal(viommu_owner_count(owner), 1);
	assert_int_equal(viommu_pasid_hold(other, HP(10)), -EEXIST);
	assert_int_equal(viommu_pasid_release(other, HP(10)), -EPERM);
	assert_int_equal(viommu_pasid_reserve(owner, HP(10)), -EEXIST);
	/* The quota is about ids, not about references. */
	assert_int_equal(alloc_ok(owner, 10, 1000), 11);
	assert_int_equal(viommu_pasid_hold(owner, HP(12)), -EDQUOT);
	assert_int_equal(viommu_pasid_hold(owner, HP(10)), 0);
	assert_int_equal(viommu_pasid_release(owner, HP(10)), 0);
	assert_int_equal(viommu_pasid_release(owner, HP(10)), 0);
	assert_int_equal(viommu_pasid_free(owner, HP(10)), -EBUSY);
	assert_int_equal(viommu_pasid_release(owner, HP(10)), 0);
	assert_int_equal(viommu_pasid_release(owner, HP(10)), -ENOENT);
	assert_int_equal(viommu_owner_count(owner), 1);
	/* An id that was allocated keeps its first reference. */
	assert_int_equal(viommu_pasid_hold(owner, HP(11)), 0);
	assert_int_equal(viommu_pasid_free(owner, HP(11)), -EBUSY);
	assert_int_equal(viommu_pasid_release(owner, HP(11)), 0);
	assert_int_equal(viommu_pasid_release(owner, HP(11)), -EBUSY);
	assert_int_equal(viommu_pasid_free(owner, HP(11)), 0);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	everything_freed(pasids, live);
}

static void the_last_reference_of_a_held_id_frees_it_with_its_mapping(void **state)
{
	long live = viommu__alloc_live();
	struct viommu_pasids *pasids = pasids_make(1, 1000);
	struct viommu_owner *owner = owner_make(pasids, 0);
	struct viommu_hp hp;

	(void)state;
	assert_int_equal(viommu_pasid_hold(owner, HP(7)), 0);
	assert_int_equal(viommu_pasid_get(owner, HP(7)), 0);
	assert_int_equal(viommu_pasid_map(owner, GP(7), HP(7)), 0);
	assert_int_equal(viommu_pasid_release(owner, HP(7)), 0);
	assert_int_equal(viommu_pasid_free(owner, HP(7)), -EBUSY); /* the bind's */
	assert_int_equal(viommu_pasid_to_host(owner, GP(7), &hp), 0);
	viommu_pasid_put(owner, HP(7));
	assert_int_equal(viommu_owner_count(owner), 0);
	assert_int_equal(viommu_pasid_to_host(owner, GP(7), &hp), -ENOENT);
	/* What is still held goes with the owner. */
	assert_int_equal(viommu_pasid_hold(owner, HP(8)), 0);
	assert_int_equal(viommu_owner_free(owner), 0);
	everything_freed(pasids, live);
}

static void map_is_one_to_one_and_errors_are_those_of_the_header(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, 1000);
	struct viommu_owner *owner = owner_make(pasids, 0), *other = owner_make(pasids, 0);
	struct viommu_hp a = { alloc_ok(owner, 10, 10) }, b = { alloc_ok(owner, 11, 11) };
	struct viommu_hp hp;
	struct viommu_gp gp;

	(void)state;
	assert_int_equal(viommu_pasid_map(owner, GP(0x100000), a), -EINVAL);
	assert_int_equal(viommu_pasid_map(owner, GP(UINT32_MAX), a), -EINVAL);
	assert_int_equal(viommu_pasid_map(owner, GP(1), HP(12)), -ENOENT);
	assert_int_equal(viommu_pasid_map(owner, GP(1), HP(0)), -ENOENT);
	assert_int_equal(viommu_pasid_map(other, GP(1), a), -EPERM);

	/* Guest PASID 0 is one like any other. */
	assert_int_equal(viommu_pasid_map(owner, GP(0), a), 0);
	assert_int_equal(viommu_pasid_map(owner, GP(0), a), 0);
	assert_int_equal(viommu_pasid_map(owner, GP(0), b), -EEXIST);
	assert_int_equal(viommu_pasid_map(owner, GP(1), a), -EEXIST);
	assert_int_equal(viommu_pasid_map(owner, GP(VIOMMU_PASID_MAX), b), 0);

	assert_int_equal(viommu_pasid_to_host(owner, GP(0), &hp), 0);
	assert_int_equal(hp.v, 10);
	assert_int_equal(viommu_pasid_to_host(owner, GP(VIOMMU_PASID_MAX), &hp), 0);
	assert_int_equal(hp.v, 11);
	assert_int_equal(viommu_pasid_to_guest(owner, a, &gp), 0);
	assert_int_equal(gp.v, 0);
	assert_int_equal(viommu_pasid_to_guest(owner, b, &gp), 0);
	assert_int_equal(gp.v, VIOMMU_PASID_MAX);

	assert_int_equal(viommu_pasid_to_host(owner, GP(1), &hp), -ENOENT);
	assert_int_equal(hp.v, VIOMMU_NO_PASID);
	assert_int_equal(viommu_pasid_to_host(owner, GP(0x100000), &hp), -ENOENT);
	assert_int_equal(viommu_pasid_to_host(other, GP(0), &hp), -ENOENT);
	assert_int_equal(viommu_pasid_to_guest(other, a, &gp), -ENOENT);
	assert_int_equal(viommu_pasid_to_guest(owner, HP(12), &gp), -ENOENT);
	assert_int_equal(gp.v, VIOMMU_NO_PASID);

	assert_int_equal(viommu_pasid_unmap(owner, GP(1)), -ENOENT);
	assert_int_equal(viommu_pasid_unmap(owner, GP(0x100000)), -ENOENT);
	assert_int_equal(viommu_pasid_unmap(owner, GP(0)), 0);
	assert_int_equal(viommu_pasid_unmap(owner, GP(0)), -ENOENT);
	assert_int_equal(viommu_pasid_to_guest(owner, a, &gp), -ENOENT);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	viommu_pasids_free(pasids);
}

static void two_owners_may_use_the_same_guest_pasid(void **state)
{
	struct viommu_pasids *pasids = pasids_make(1, 1000);
	struct viommu_owner *owner[2];
	struct viommu_hp hp;
	struct viommu_gp gp;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		owner[i] = owner_make(pasids, 0);
		hp.v = alloc_ok(owner[i], 1, 1000);
		assert_int_equal(hp.v, i + 1);
		assert_int_equal(viommu_pasid_map(owner[i], GP(5), hp), 0);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(viommu_pasid_to_host(owner[i], GP(5), &hp), 0);
		assert_int_equal(hp.v, i + 1);
		assert_int_equal(viommu_pasid_to_guest(owner[i], HP(2 - (uint32_t)i), &gp),
				 -ENOENT);
	}
	assert_int_equal(viommu_owner_free(owner[0]), 0);
	assert_int_equal(viommu_pasid_to_host(owner[1], GP(5), &hp), 0);
	assert_int_equal(viommu_owner_free(owner[1]), 0);
	viommu_pasids_free(pasids);
}

/* 2^20 - 1 host PASIDs (0 is none), each mapped; forward then backward numbers. */
static void all_pasids_can_be_held_and_mapped(void **state)
{
	long live = viommu__alloc_live();
	struct viommu_pasids *pasids = pasids_make(1, VIOMMU_PASID_MAX);
	struct viommu_owner *owner[2] = { owner_make(pasids, 0), owner_make(pasids, 0) };
	size_t empty = viommu_pasids_memory(pasids), full;
	uint32_t id, round, gp;
	struct viommu_hp hp;
	struct viommu_gp back;

	(void)state;
	for (round = 0; round < 2; round++) {
		for (id = 1; id <= VIOMMU_PASID_MAX; id++) {
			/* Two owners share the ids, so that one's map is half empty. */
			struct viommu_owner *o = owner[round ? id & 1 : 0];

			assert_int_equal(alloc_ok(o, 1, VIOMMU_PASID_MAX), id);
			gp = round ? VIOMMU_PASID_MAX - id : id;
			assert_int_equal(viommu_pasid_map(o, GP(gp), HP(id)), 0);
		}
		alloc_fails(owner[0], 1, VIOMMU_PASID_MAX, -ENOSPC);
		full = viommu_pasids_memory(pasids);
		print_message("# %zu bytes for %u PASIDs of %u owner(s)\n", full, VIOMMU_PASID_MAX,
			      round + 1);
		/* Two maps with every other guest PASID are as large as two full ones. */
		assert_in_range(full / VIOMMU_PASID_MAX, 1, round ? 17 : 12);
		if (!round)
			assert_true(full <= 16 * (size_t)VIOMMU_PASID_MAX);
		for (id = 1; id <= VIOMMU_PASID_MAX; id++) {
			struct viommu_owner *o = owner[round ? id & 1 : 0];

			gp = round ? VIOMMU_PASID_MAX - id : id;
			assert_int_equal(viommu_pasid_to_host(o, GP(gp), &hp), 0);
			assert_int_equal(hp.v, id);
			assert_int_equal(viommu_pasid_to_guest(o, HP(id), &back), 0);
			assert_int_equal(back.v, gp);
		}
		/* The lowest hole is found, wherever it is. */
		for (id = VIOMMU_PASID_MAX; id > 1; id = id * 5 / 8) {
			struct viommu_owner *o = owner[round ? id & 1 : 0];

			gp = round ? VIOMMU_PASID_MAX - id : id;
			assert_int_equal(viommu_pasid_unmap(o, GP(gp)), 0);
			assert_int_equal(viommu_pasid_free(o, HP(id)), 0);
			alloc_fails(o, 1, id - 1, -ENOSPC);
			assert_int_equal(alloc_ok(o, 1, VIOMMU_PASID_MAX), id);
			assert_int_equal(viommu_pasid_map(o, GP(gp), HP(id)), 0);
		}
		for (id = 1; !round && id <= VIOMMU_PASID_MAX; id++) {
			assert_int_equal(viommu_pasid_unmap(owner[0], GP(id)), 0);
			assert_int_equal(viommu_pasid_free(owner[0], HP(id)), 0);
		}
		if (!round)
			assert_int_equal(viommu_pasids_memory(pasids), empty);
	}
	assert_int_equal(viommu_owner_free(owner[0]), 0);
	assert_int_equal(viommu_owner_free(owner[1]), 0);
	assert_true(viommu_pasids_memory(pasids) < empty);
	everything_freed(pasids, live);
}

static void many_owners_come_and_go_in_any_order(void **state)
{
	enum {
		OWNERS = 300
	};
	long live = viommu__alloc_live();
	struct viommu_pasids *pasids = pasids_make(1, VIOMMU_PASID_MAX);
	struct viommu_owner *owner[OWNERS];
	uint32_t i, round;

	(void)state;
	for (i = 0; i < OWNERS; i++) {
		owner[i] = owner_make(pasids, 0);
		assert_int_equal(alloc_ok(owner[i], 1, VIOMMU_PASID_MAX), i + 1);
	}
	for (round = 0; round < 3; round++) {
		for (i = round; i < OWNERS; i += 3)
			assert_int_equal(viommu_owner_free(owner[i]), 0);
		for (i = round; i < OWNERS; i += 3) {
			owner[i] = owner_make(pasids, 0);
			/* Were an index given twice, one of the two would hold the other's. */
			assert_int_equal(alloc_ok(owner[i], 1, VIOMMU_PASID_MAX), i + 1);
			assert_int_equal(viommu_pasid_free(owner[(i + 1) % OWNERS], HP(i + 1)),
					 -EPERM);
		}
	}
	for (i = 0; i < OWNERS; i++) {
		assert_int_equal(viommu_owner_count(owner[i]), 1);
		assert_int_equal(viommu_owner_free(owner[i]), 0);
	}
	everything_freed(pasids, live);
}

/* Each step either does all or says -ENOMEM and has done nothing. */
static int failing_sequence(void)
{
	struct viommu_owner *owner = NULL, *other = NULL;
	struct viommu_pasids *pasids;
	struct viommu_hp hp, got;
	struct viommu_gp gp;
	size_t before;
	int ret;

	ret = viommu_pasids_new(1, VIOMMU_PASID_MAX, &pasids);
	if (ret)
		return ret;
	ret = viommu_owner_new(pasids, 0, &owner);
	if (!ret)
		ret = viommu_owner_new(pasids, 0, &other);
	if (ret)
		goto out;
	before = viommu_pasids_memory(pasids);
	ret = viommu_pasid_alloc(owner, 100, 200, &hp);
	if (ret) {
		assert_int_equal(hp.v, VIOMMU_NO_PASID);
		assert_int_equal(viommu_owner_count(owner), 0);
		assert_int_equal(viommu_pasids_memory(pasids), before);
		goto out;
	}
	before = viommu_pasids_memory(pasids);
	ret = viommu_pasid_reserve(other, HP(70000));
	if (ret) {
		assert_int_equal(viommu_owner_count(other), 0);
		assert_int_equal(viommu_pasids_memory(pasids), before);
		goto out;
	}
	before = viommu_pasids_memory(pasids);
	ret = viommu_pasid_map(owner, GP(3), hp);
	if (ret) {
		assert_int_equal(viommu_pasid_to_host(owner, GP(3), &got), -ENOENT);
		assert_int_equal(viommu_pasid_to_guest(owner, hp, &gp), -ENOENT);
		assert_int_equal(viommu_pasids_memory(pasids), before);
		assert_int_equal(viommu_pasid_free(owner, hp), 0);
	}
out:
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_owner_free(other), 0);
	viommu_pasids_free(pasids);
	return ret;
}

static void failed_allocations_change_nothing(void **state)
{
	long n, live = viommu__alloc_live();
	int ret;

	(void)state;
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = failing_sequence();
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(viommu__alloc_live(), live);
	/* Allocator, two owners, their index bits, two ids in two places, one mapping. */
	assert_int_equal(n - 1, 1 + 2 + 1 + 3 + 2 + 3);
}

struct hammer {
	struct viommu_pasids *pasids;
	unsigned char *held; /* who holds an id, 0 = nobody: two threads must not get one id */
	uint64_t seed;
	uint8_t me;
	unsigned int failures;
};

static void *hammer_run(void *arg)
{
	struct hammer *h = arg;
	struct viommu_owner *owner;
	struct viommu_hp mine[64], hp;
	struct viommu_gp gp;
	unsigned int nr = 0, i, k;
	struct rng rng;

	rng_init_seed(&rng, h->seed);
	if (viommu_owner_new(h->pasids, 0, &owner)) {
		h->failures++;
		return NULL;
	}
	for (i = 0; i < 20000; i++) {
		if (nr < 64 && rng_one_in(&rng, 2)) {
			if (viommu_pasid_alloc(owner, 1, 300, &hp))
				continue;
			if (__atomic_exchange_n(&h->held[hp.v], h->me, __ATOMIC_SEQ_CST))
				h->failures++;
			/* The same guest numbers in every thread. */
			if (viommu_pasid_map(owner, GP(hp.v ^ 0x155), hp))
				h->failures++;
			mine[nr++] = hp;
		} else if (nr) {
			k = (unsigned int)rng_below(&rng, nr);
			hp = mine[k];
			if (viommu_pasid_to_guest(owner, hp, &gp) || gp.v != (hp.v ^ 0x155))
				h->failures++;
			if (viommu_pasid_get(owner, hp))
				h->failures++;
			viommu_pasid_put(owner, hp);
			if (viommu_pasid_free(owner, hp) != -EBUSY)
				h->failures++;
			if (viommu_pasid_unmap(owner, gp))
				h->failures++;
			__atomic_store_n(&h->held[hp.v], 0, __ATOMIC_SEQ_CST);
			if (viommu_pasid_free(owner, hp))
				h->failures++;
			mine[k] = mine[--nr];
		}
		if (rng_one_in(&rng, 2000)) {
			if (viommu_owner_count(owner) != nr)
				h->failures++;
			while (nr)
				__atomic_store_n(&h->held[mine[--nr].v], 0, __ATOMIC_SEQ_CST);
			if (viommu_owner_free(owner) || viommu_owner_new(h->pasids, 0, &owner)) {
				h->failures++;
				return NULL;
			}
		}
	}
	while (nr)
		__atomic_store_n(&h->held[mine[--nr].v], 0, __ATOMIC_SEQ_CST);
	if (viommu_owner_free(owner))
		h->failures++;
	return NULL;
}

static void threads_never_hold_the_same_id(void **state)
{
	enum {
		THREADS = 4
	};
	long live = viommu__alloc_live();
	struct viommu_pasids *pasids = pasids_make(1, VIOMMU_PASID_MAX);
	unsigned char held[301] = { 0 };
	struct hammer hammer[THREADS];
	pthread_t thread[THREADS];
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		hammer[i] = (struct hammer){ .pasids = pasids,
					     .held = held,
					     .seed = test_seed() + (uint64_t)i,
					     .me = (uint8_t)(i + 1) };
		assert_int_equal(pthread_create(&thread[i], NULL, hammer_run, &hammer[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(hammer[i].failures, 0);
	}
	everything_freed(pasids, live);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(allocator_refuses_a_range_outside_1_to_fffff),
	cmocka_unit_test(alloc_gives_the_lowest_free_id_of_the_range),
	cmocka_unit_test(alloc_errors_are_those_of_the_header),
	cmocka_unit_test(reserve_takes_that_very_id),
	cmocka_unit_test(quota_limits_what_an_owner_holds_at_a_time),
	cmocka_unit_test(free_refuses_what_is_in_use_or_not_ours),
	cmocka_unit_test(references_are_counted_up_to_their_limit),
	cmocka_unit_test(put_without_get_is_an_assertion),
	cmocka_unit_test(owner_with_a_bound_pasid_cannot_go),
	cmocka_unit_test(hold_finds_or_makes),
	cmocka_unit_test(the_last_reference_of_a_held_id_frees_it_with_its_mapping),
	cmocka_unit_test(map_is_one_to_one_and_errors_are_those_of_the_header),
	cmocka_unit_test(two_owners_may_use_the_same_guest_pasid),
	cmocka_unit_test(all_pasids_can_be_held_and_mapped),
	cmocka_unit_test(many_owners_come_and_go_in_any_order),
	cmocka_unit_test(failed_allocations_change_nothing),
	cmocka_unit_test(threads_never_hold_the_same_id),
};
TEST_MAIN(tests)
