/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested invalidate, nested replace: inner tables that change, by an invalidation or by another
 * page table in place of the first. What was there is used before, so that it is in every cache.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nested.h"

#define MANY 256

/* An entry's page becomes another. */
static void renew(struct inner *space, uint64_t va)
{
	inner_map(space, va, page_new(space->n), 1, INNER_PAGE);
}

/* The same move often and at once: whichever engine does the next has its addresses cached. */
static void warm(struct user *u, uint64_t source, uint64_t destination, uint32_t size)
{
	struct dsa_descriptor d[12];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(d); i++)
		describe(u, &d[i], DSA_MEMMOVE, 0, source, destination, size);
	for (i = 0; i < ARRAY_SIZE(d); i++)
		submit(u, &d[i]);
	for (i = 0; i < ARRAY_SIZE(d); i++) {
		if (complete(u, &d[i]) != DSA_SUCCESS)
			check(false, "a move succeeds", "status %#x", record_of(u, &d[i])->status);
	}
}

static void pages(struct user *u)
{
	const uint64_t to = DATA_VA + 8 * PAGE;
	unsigned int i;

	moves(u, DATA_VA, to, 3 * PAGE, "a move before anything changes");
	warm(u, DATA_VA, to, 3 * PAGE);
	renew(&u->space, DATA_VA + PAGE);
	flush(u, DATA_VA + PAGE, 1, IOFD_INV_LEAF);
	moves(u, DATA_VA, to, 3 * PAGE, "after one page is invalidated the new one is read");
	warm(u, DATA_VA, to, 3 * PAGE);
	renew(&u->space, to + PAGE);
	flush(u, to + PAGE, 1, IOFD_INV_LEAF);
	moves(u, DATA_VA, to, 3 * PAGE, "after one page is invalidated the new one is written");
	/* No block that an invalidation can name: it has to be a larger one. */
	warm(u, DATA_VA, to, 5 * PAGE);
	for (i = 1; i < 4; i++)
		renew(&u->space, DATA_VA + i * PAGE);
	flush(u, DATA_VA + PAGE, 3, 0);
	moves(u, DATA_VA, to, 5 * PAGE, "after three pages are invalidated the new ones are read");
	warm(u, DATA_VA, to, 8 * PAGE);
	for (i = 0; i < 8; i++)
		renew(&u->space, DATA_VA + i * PAGE);
	flush(u, 0, IOFD_INV_ALL, 0);
	moves(u, DATA_VA, to, 8 * PAGE, "after all is invalidated new pages are read");
}

/* A whole table of the last level, and one above it. */
static void tables(struct user *u)
{
	const uint64_t first = DATA_VA & ~(HUGE - 1), to = DATA_VA + 8 * PAGE;
	struct inner other;
	uint64_t kept[4];
	unsigned int i;

	inner_new(u->n, &other, u->space.levels);
	inner_fill(&other, DATA_VA, 4); /* up to the next multiple of 2 MiB */
	for (i = 0; i < 4; i++)
		kept[i] = *inner_entry(&u->space, DATA_VA + i * PAGE, 1, false);
	warm(u, DATA_VA, to, 4 * PAGE);
	*inner_entry(&u->space, first, 2, false) = *inner_entry(&other, first, 2, false);
	flush(u, first, 512, 0);
	moves(u, DATA_VA, to, 4 * PAGE, "after another table of the last level its pages are read");
	/* Two levels up: its table has but that one. */
	*inner_entry(&other, first, 2, false) = 0;
	inner_new(u->n, &other, u->space.levels);
	for (i = 0; i < 4; i++)
		*inner_entry(&other, DATA_VA + i * PAGE, 1, true) = kept[i];
	*inner_entry(&other, first + HUGE, 2, true) =
		*inner_entry(&u->space, first + HUGE, 2, false);
	warm(u, DATA_VA, to, 4 * PAGE);
	*inner_entry(&u->space, first, 3, false) = *inner_entry(&other, first, 3, false);
	flush(u, 0, IOFD_INV_ALL, 0);
	moves(u, DATA_VA, to, 4 * PAGE, "after another table of level 2 the former pages are read");
}

/* 256 of them in one call, which is far more than what the caches of the unit's host hold. */
static void many(struct user *u)
{
	static struct iofd_inv_entry entry[MANY];
	const uint64_t from = 0x0000610000000000, to = 0x0000620000000000;
	uint32_t nr = MANY;
	unsigned int i;
	uint64_t start;
	int error;

	inner_fill(&u->space, from, MANY);
	inner_fill(&u->space, to, MANY);
	moves(u, from + 1, to, MANY * PAGE - 4096, "a move of 256 pages");
	for (i = 0; i < MANY; i++) {
		uint64_t *entry_of = inner_entry(&u->space, from + i * PAGE, 1, false), was;

		/* Pages change places: there are not enough for new ones. */
		was = *entry_of;
		*entry_of = *inner_entry(&u->space, to + (MANY - 1 - i) * PAGE, 1, false);
		*inner_entry(&u->space, to + (MANY - 1 - i) * PAGE, 1, false) = was;
	}
	for (i = 0; i < MANY; i++)
		entry[i] = (struct iofd_inv_entry){ .addr = (i % 2 ? to : from) + i / 2 * 2 * PAGE,
						    .pages = 2,
						    .flags = IOFD_INV_LEAF };
	start = now_us();
	error = invalidate(u->n, u->page_table, entry, &nr);
	say("@value invalidate 256 entries in %lu us", (unsigned long)(now_us() - start));
	check(!error && nr == MANY, "256 entries are invalidated in one call", "%s, %u done",
	      strerror(-error), nr);
	moves(u, from + 1, to, MANY * PAGE - 4096, "then 256 changed pages are read and written");
}

#define FILLS 14

/*
 * What was on its way to a page is there, or is not: after an invalidation no more comes. A page of
 * 2 MiB, so that it is on its way for long.
 */
static void in_flight(struct user *u)
{
	const uint64_t va = 0x0000630000000000;
	static uint8_t left[HUGE];
	struct dsa_descriptor d[FILLS];
	unsigned int round, i, failed = 0, late = 0;
	const uint8_t *old;

	for (round = 0; round < 20; round++) {
		inner_map(&u->space, va, HUGE_PA + round % 2 * HUGE, 2, INNER_PAGE);
		old = inner_at(&u->space, va);
		for (i = 0; i < FILLS; i++)
			describe(u, &d[i], DSA_FILL, 0, random_u64(), va, HUGE);
		for (i = 0; i < FILLS; i++)
			submit(u, &d[i]);
		inner_map(&u->space, va, HUGE_PA + (round + 1) % 2 * HUGE, 2, INNER_PAGE);
		flush(u, va, 512, IOFD_INV_LEAF);
		memcpy(left, old, HUGE);
		for (i = 0; i < FILLS; i++)
			failed += complete(u, &d[i]) != DSA_SUCCESS;
		late += memcmp(left, old, HUGE) != 0;
	}
	check(!failed && !late, "after an invalidation nothing more comes to the former page",
	      "%u of 20 times it did, %u fills failed", late, failed);
}

static void refused(struct user *u)
{
	struct iofd_inv_entry entry[5] = { 0 };
	struct iofd_invalidate none = { .size = sizeof(none),
					.page_table = u->page_table,
					.entry_bytes = sizeof(entry[0]) };
	uint32_t nr = 5;
	unsigned int i;
	int error;

	for (i = 0; i < 5; i++)
		entry[i] = (struct iofd_inv_entry){ .addr = DATA_VA + i * PAGE, .pages = 1 };
	entry[2].addr += 8;
	error = invalidate(u->n, u->page_table, entry, &nr);
	check(error == -EINVAL && nr == 2, "an address within a page stops after those before it",
	      "%s, %u done", strerror(-error), nr);
	entry[2].addr -= 8;
	entry[4].flags = 2;
	nr = 5;
	error = invalidate(u->n, u->page_table, entry, &nr);
	check(error == -EOPNOTSUPP && nr == 4, "an unknown flag stops after those before it",
	      "%s, %u done", strerror(-error), nr);
	entry[0] = (struct iofd_inv_entry){ .addr = PAGE, .pages = IOFD_INV_ALL };
	nr = 1;
	check_error(invalidate(u->n, u->page_table, entry, &nr), EINVAL,
		    "everything begins at address 0");
	check_error(iofd(u->n->iommu, IOFD_INVALIDATE, &none), 0,
		    "no entry at all tells that the type is known");
	none.data_type = 1;
	check_error(iofd(u->n->iommu, IOFD_INVALIDATE, &none), EINVAL,
		    "no entry at all tells that the type is unknown");
}

/* Less than before: caches must not remember more. */
static void withdrawn(struct user *u)
{
	const uint64_t to = DATA_VA + 8 * PAGE;
	uint64_t *entry = inner_entry(&u->space, to, 1, false), was = *entry;

	moves(u, DATA_VA, to, 64, "a move before a permission is withdrawn");
	warm(u, DATA_VA, to, 64);
	*entry = was & ~INNER_RW;
	flush(u, to, 1, IOFD_INV_LEAF);
	fails(u, DSA_MEMMOVE, DATA_VA, to, DSA_PAGE_FAULT | DSA_STATUS_WRITE, to,
	      "a page made read-only is not written");
	moves(u, to, DATA_VA, 64, "a page made read-only is read");
	warm(u, to, DATA_VA, 64);
	*entry = 0;
	flush(u, to, 1, IOFD_INV_LEAF);
	fails(u, DSA_MEMMOVE, to, DATA_VA, DSA_PAGE_FAULT, to, "a page taken away is not read");
	fails(u, DSA_MEMMOVE, DATA_VA, to, DSA_PAGE_FAULT | DSA_STATUS_WRITE, to,
	      "a page taken away is not written");
	*entry = was;
	moves(u, DATA_VA, to, 64, "a page that comes back needs no invalidation");
}

int nested_invalidate(const char *bdf)
{
	struct user with, without;
	struct nested n;

	nested_open(&n, bdf, 0);
	user_new(&n, &with, 0, 3, 4);
	inner_fill(&with.space, DATA_VA, 24);
	user_attach(&with, 0, 0);
	pages(&with);
	tables(&with);
	withdrawn(&with);
	refused(&with);
	in_flight(&with);
	many(&with);
	user_new(&n, &without, 1, NO_PASID, 4);
	inner_fill(&without.space, DATA_VA, 24);
	user_attach(&without, 0, 0);
	pages(&without);
	withdrawn(&without);
	return 0;
}

/* ---- Replaced -------------------------------------------------------------------------------- */

/* Another space with other pages at the same addresses. */
static void replace(struct user *u, const char *name)
{
	uint32_t old = u->page_table;
	struct nested *n = u->n;
	char text[128];

	inner_new(n, &u->space, u->space.levels);
	inner_fill(&u->space, RECORDS_VA, 1);
	inner_fill(&u->space, DATA_VA, 8);
	if (hwpt_nested(n, &u->space, 0, 0, &u->page_table))
		give_up("a page table");
	snprintf(text, sizeof(text), "%s: another page table is attached", name);
	check_error(attach(n, u->page_table, u->pasid), 0, text);
	if (old) {
		snprintf(text, sizeof(text), "%s: the former one is destroyed", name);
		check_error(destroy(n, old), 0, text);
	}
	snprintf(text, sizeof(text), "%s: addresses lead to the other pages", name);
	moves(u, DATA_VA + 10, DATA_VA + 4 * PAGE, 2 * PAGE, text);
}

/* The same table for more than one PASID. */
static void shared(struct nested *n)
{
	struct user one, two;

	user_new(n, &one, 2, 20, 4);
	inner_fill(&one.space, DATA_VA, 8);
	user_attach(&one, 0, 0);
	two = one;
	two.queue = 3;
	two.pasid = 21;
	two.slot = RECORDS / 2;
	check_error(attach(n, two.page_table, two.pasid), 0,
		    "one page table is attached to two PASIDs");
	user_queue(&two, false);
	moves(&one, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "the one PASID moves");
	moves(&two, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "the other PASID moves");
	renew(&one.space, DATA_VA);
	flush(&one, DATA_VA, 1, IOFD_INV_LEAF);
	moves(&one, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "an invalidation counts for the one");
	renew(&one.space, DATA_VA);
	flush(&one, DATA_VA, 1, IOFD_INV_LEAF);
	moves(&two, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "an invalidation counts for the other");
	check_error(detach(n, one.pasid), 0, "the one is detached");
	vanishes(&one, DATA_VA, DATA_VA + 4 * PAGE, "the one moves no more");
	moves(&two, DATA_VA, DATA_VA + 5 * PAGE, PAGE, "the other still moves");
	check_error(detach(n, two.pasid), 0, "the other is detached");
	vanishes(&two, DATA_VA, DATA_VA + 4 * PAGE, "the other moves no more");
}

int nested_replace(const char *bdf)
{
	struct user with, without;
	struct nested n;

	nested_open(&n, bdf, 0);
	user_new(&n, &with, 0, 9, 4);
	inner_fill(&with.space, DATA_VA, 8);
	user_attach(&with, 0, 0);
	moves(&with, DATA_VA + 10, DATA_VA + 4 * PAGE, 2 * PAGE, "PASID 9: a move");
	replace(&with, "PASID 9");
	with.space.levels = 5;
	replace(&with, "PASID 9, now 5 levels");
	user_new(&n, &without, 1, NO_PASID, 4);
	user_queue(&without, false);
	replace(&without, "without PASID, second stage before");
	replace(&without, "without PASID, first stage before");
	moves(&with, DATA_VA + 10, DATA_VA + 4 * PAGE, 2 * PAGE, "PASID 9 is as it was");
	check_error(detach(&n, NO_PASID), 0, "without PASID: it is detached");
	vanishes(&without, DATA_VA, DATA_VA + PAGE, "without PASID: nothing moves any more");
	moves(&with, DATA_VA + 10, DATA_VA + 4 * PAGE, 2 * PAGE, "PASID 9 goes on");
	replace(&without, "without PASID, nothing before");
	check_error(detach(&n, 9), 0, "PASID 9 is detached");
	vanishes(&with, DATA_VA, DATA_VA + PAGE, "PASID 9: nothing moves any more");
	check_error(attach(&n, with.page_table, 9), 0, "PASID 9 is attached again");
	moves(&with, DATA_VA + 10, DATA_VA + 4 * PAGE, 2 * PAGE, "PASID 9 moves again");
	shared(&n);
	return 0;
}

/* ---- The second stage ------------------------------------------------------------------------ */

#define GONE_VA    0x0000660000000000UL
#define GONE_USERS 2

/* A page that is in no piece which goes. */
static uint64_t lasting(struct nested *n)
{
	uint64_t page;

	do
		page = page_new(n);
	while (page < HIGH_PA);
	return page;
}

static void piece_goes(struct nested *n, struct user *u, enum inner_piece piece, uint64_t first)
{
	static uint8_t left[PIECE_BYTES];
	const uint8_t *old;
	unsigned int i, j;

	for (i = 0; i < GONE_USERS; i++) {
		for (j = 0; j < 4; j++) {
			/* Somewhere in it, and not side by side. */
			inner_map(&u[i].space, GONE_VA + j * PAGE,
				  first + (i * 300 + j * 99) * PAGE, 1, INNER_PAGE);
		}
		/* The last invalidation of these addresses was for what was there before. */
		flush(&u[i], GONE_VA, 4, IOFD_INV_LEAF);
		warm(&u[i], GONE_VA, DATA_VA, 2 * PAGE);
		warm(&u[i], DATA_VA, GONE_VA + 2 * PAGE, 2 * PAGE);
		moves(&u[i], GONE_VA, DATA_VA, 4 * PAGE, "a move from RAM that will go");
	}
	piece_unmap(n, piece);
	memcpy(left, ram_at(n, first), PIECE_BYTES);
	for (i = 0; i < GONE_USERS; i++) {
		fails(&u[i], DSA_MEMMOVE, GONE_VA, DATA_VA, DSA_PAGE_FAULT, GONE_VA,
		      "RAM that went is not read");
		fails(&u[i], DSA_MEMMOVE, DATA_VA, GONE_VA + 2 * PAGE,
		      DSA_PAGE_FAULT | DSA_STATUS_WRITE, GONE_VA + 2 * PAGE,
		      "RAM that went is not written");
	}
	old = piece_renew(n, piece);
	for (i = 0; i < GONE_USERS; i++) {
		moves(&u[i], GONE_VA, DATA_VA, 4 * PAGE, "what is there instead is read");
		moves(&u[i], DATA_VA + 100, GONE_VA, 3 * PAGE, "what is there instead is written");
	}
	check(!memcmp(left, old, PIECE_BYTES), "RAM that went is as it was when it went",
	      "it differs");
}

int nested_unmap(const char *bdf)
{
	struct user u[GONE_USERS];
	struct nested n;
	unsigned int i, j;

	nested_open(&n, bdf, 0);
	for (i = 0; i < GONE_USERS; i++) {
		user_new(&n, &u[i], i, i ? NO_PASID : 80, 4 + i);
		inner_map(&u[i].space, RECORDS_VA, lasting(&n), 1, INNER_PAGE);
		for (j = 0; j < 4; j++)
			inner_map(&u[i].space, DATA_VA + j * PAGE, lasting(&n), 1, INNER_PAGE);
		user_attach(&u[i], 0, 0);
	}
	piece_goes(&n, u, PIECE_LOW, LOW_PA);
	piece_goes(&n, u, PIECE_HUGE, HUGE_PA);
	return 0;
}
