/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested errors: inner addresses that lead nowhere, without block on fault. nested hostile: inner
 * tables that an inner guest could only have made in malice. Whatever it does, its descriptors end,
 * its RAM is as it was but for what they may write, and others go on.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "nested.h"

#define ODD_VA 0x0000720000000000UL

static void by_first_stage(struct user *u)
{
	fails(u, DSA_MEMMOVE, ODD_VA, DATA_VA, DSA_PAGE_FAULT, ODD_VA,
	      "a source that is not mapped is a page fault");
	fails(u, DSA_MEMMOVE, DATA_VA, ODD_VA, DSA_PAGE_FAULT | DSA_STATUS_WRITE, ODD_VA,
	      "a destination that is not mapped is a page fault");
	inner_map(&u->space, ODD_VA, page_new(u->n), 1, INNER_P | INNER_US);
	fails(u, DSA_MEMMOVE, DATA_VA, ODD_VA, DSA_PAGE_FAULT | DSA_STATUS_WRITE, ODD_VA,
	      "a destination that is read-only is a page fault");
	inner_map(&u->space, ODD_VA, page_new(u->n), 1, INNER_P | INNER_RW);
	fails(u, DSA_MEMMOVE, ODD_VA, DATA_VA, DSA_PAGE_FAULT, ODD_VA,
	      "a source for the inner kernel alone is a page fault");
	moves(u, DATA_VA, DATA_VA + PAGE, 64, "after these a move succeeds");
}

/* The status depends on how a device is told of it; that it fails, and where, does not. */
static void no_way(struct user *u, uint64_t source, uint64_t destination, const char *name)
{
	struct dsa_descriptor d;
	int status;

	model_take(u->n);
	describe(u, &d, DSA_MEMMOVE, 0, source, destination, 64);
	submit(u, &d);
	status = complete(u, &d);
	say("@value status %#x %s", status, name);
	if (check(status > DSA_SUCCESS, name, "status %#x", status)) {
		char text[160];

		snprintf(text, sizeof(text), "%s, and nothing is changed", name);
		model_check(u->n, text);
	}
}

static void by_second_stage(struct user *u)
{
	const uint64_t page = ODD_VA + 0x1000, table = ODD_VA + GIANT, above = ODD_VA + 2 * GIANT;

	inner_map(&u->space, page, UNMAPPED_PA, 1, INNER_PAGE);
	no_way(u, page, DATA_VA, "a source page that is no RAM fails");
	no_way(u, DATA_VA, page, "a destination page that is no RAM fails");
	*inner_entry(&u->space, table, 2, true) = (UNMAPPED_PA + PAGE) | INNER_PAGE;
	no_way(u, table, DATA_VA, "a table that is no RAM fails");
	/* Just beyond what the second stage has bits for. */
	inner_map(&u->space, above, UINT64_C(1) << 48, 1, INNER_PAGE);
	no_way(u, above, DATA_VA, "a page beyond the second stage fails");
	moves(u, DATA_VA, DATA_VA + PAGE, 64, "after those a move succeeds");
}

static void nobody(struct nested *n, struct user *good)
{
	struct user none;

	user_new(n, &none, 1, 77, 4);
	inner_fill(&none.space, DATA_VA, 2);
	user_queue(&none, false);
	vanishes(&none, DATA_VA, DATA_VA + PAGE, "a PASID that is not attached moves nothing");
	moves(good, DATA_VA, DATA_VA + PAGE, 64, "a PASID that is attached does");
}

int nested_errors(const char *bdf)
{
	struct nested n;
	struct user u;

	nested_open(&n, bdf, 0);
	user_new(&n, &u, 0, 6, 4);
	inner_fill(&u.space, DATA_VA, 4);
	user_attach(&u, 0, 0);
	by_first_stage(&u);
	by_second_stage(&u);
	nobody(&n, &u);
	return 0;
}

/* ---- As records ------------------------------------------------------------------------------ */

/* A read of what leads nowhere is an error of the device's; the test looks at the record. */
static void lost_read(struct user *u, unsigned int reason, uint64_t va, const char *name)
{
	fails(u, DSA_MEMMOVE, va, DATA_VA, DSA_READ_ERROR, va, name);
	say("@value record %#x %d read %#lx", reason, (int)u->pasid, (unsigned long)va);
}

/* A write is on its way when it fails: nobody tells the device. */
static void lost_write(struct user *u, unsigned int reason, uint64_t va, const char *name)
{
	int status;

	model_take(u->n);
	status = run(u, DSA_MEMMOVE, 0, DATA_VA, va, 64);
	if (check(status == DSA_SUCCESS, name, "status %#x", status)) {
		char text[160];

		snprintf(text, sizeof(text), "%s, and nothing is changed", name);
		model_check(u->n, text);
	}
	say("@value record %#x %d write %#lx", reason, (int)u->pasid, (unsigned long)va);
}

int nested_records(const char *bdf)
{
	const uint64_t readable = ODD_VA + PAGE, nowhere = ODD_VA + 2 * PAGE;
	struct user with, without;
	struct nested n;

	nested_open(&n, bdf, 0);
	user_new(&n, &with, 0, 60, 4);
	user_new(&n, &without, 1, NO_PASID, 5);
	with.untranslated = true;
	without.untranslated = true;
	inner_fill(&with.space, DATA_VA, 2);
	inner_fill(&without.space, DATA_VA, 2);
	inner_map(&with.space, readable, page_new(&n), 1, INNER_P | INNER_US);
	inner_map(&with.space, nowhere, UNMAPPED_PA, 1, INNER_PAGE);
	inner_map(&without.space, nowhere, UNMAPPED_PA, 1, INNER_PAGE);
	user_attach(&with, 0, 0);
	user_attach(&without, 0, 0);
	moves(&with, DATA_VA, DATA_VA + PAGE, 64, "a PASID moves without asking for translations");
	moves(&without, DATA_VA, DATA_VA + PAGE, 64, "and so does what has none");
	lost_read(&with, 0x71, ODD_VA, "a read where the first stage has nothing fails");
	lost_write(&with, 0x85, readable, "a write that the first stage forbids is lost");
	lost_read(&with, 0x79, nowhere, "a read where the second stage has nothing fails");
	lost_write(&with, 0x79, nowhere, "a write where the second stage has nothing is lost");
	lost_read(&without, 0x71, ODD_VA,
		  "without PASID: a read where the first stage has nothing fails");
	lost_read(&without, 0x79, nowhere,
		  "without PASID: a read where the second stage has nothing fails");
	return 0;
}

/* ---- Malice ---------------------------------------------------------------------------------- */

static void reserved_bits(struct user *u)
{
	static const struct {
		unsigned int level;
		uint64_t bits;
		const char *name;
	} odd[] = {
		{ 4, INNER_PS, "a page of 512 GiB fails" },
		{ 3, INNER_PS | 1 << 13, "a page of 1 GiB at no multiple of its size fails" },
		{ 2, INNER_PS | 1 << 20, "a page of 2 MiB at no multiple of its size fails" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		const uint64_t va = (UINT64_C(0x80) + i) << 39;

		*inner_entry(&u->space, va, odd[i].level, true) =
			HUGE_PA | odd[i].bits | INNER_PAGE;
		no_way(u, va, DATA_VA, odd[i].name);
	}
}

/* A top table that is its own next table, at every level: the data is the table. */
static void itself(struct user *u)
{
	const uint64_t slot = 0x1ab, last = 0x0aa;
	uint64_t va = 0, *top = ram_at(u->n, u->space.root), moved[8];
	struct dsa_descriptor d;
	unsigned int i;
	int status;

	for (i = 0; i < 4; i++)
		va = va << 9 | slot;
	va = va << 12 | UINT64_C(0xffff) << 48;
	top[slot] = u->space.root | INNER_PAGE;
	describe(u, &d, DSA_MEMMOVE, 0, va + (last & ~7UL) * 8, DATA_VA, 64);
	submit(u, &d);
	status = complete(u, &d);
	memcpy(moved, inner_at(&u->space, DATA_VA), 64);
	check(status == DSA_SUCCESS && !memcmp(moved, &top[last & ~7UL], 64),
	      "a table that is its own page is read", "status %#x", status);
	/* The device writes the tables that its next address goes by: entries that lead nowhere. */
	*(uint64_t *)inner_at(&u->space, DATA_VA) = UINT64_MAX;
	describe(u, &d, DSA_MEMMOVE, 0, DATA_VA, va + last * 8, 8);
	submit(u, &d);
	status = complete(u, &d);
	check(status == DSA_SUCCESS && top[last] == UINT64_MAX,
	      "a table that is its own page is written", "status %#x", status);
	no_way(u, last << 39, DATA_VA, "what was written there leads nowhere");
	top[last] = 0;
	top[slot] = 0;
	flush(u, 0, IOFD_INV_ALL, 0);
}

/* The record, and the list of a batch, where the tables are: the device writes what it reads. */
static void records_over_tables(struct user *u)
{
	const uint64_t va = 0x0000123000000000UL;
	struct dsa_descriptor d;
	uint64_t *entry, *table;
	int status;

	inner_map(&u->space, va + PAGE, page_new(u->n), 1, INNER_PAGE);
	entry = inner_entry(&u->space, va, 1, false);
	table = ram_at(u->n, *inner_entry(&u->space, va, 2, false) & INNER_ADDR);
	/* The first page of this 2 MiB is its own table. */
	*entry = (*inner_entry(&u->space, va, 2, false) & INNER_ADDR) | INNER_PAGE;
	describe(u, &d, DSA_MEMMOVE, 0, DATA_VA, DATA_VA + PAGE, 64);
	d.record = va + 32;
	*(volatile uint8_t *)&table[4] = 0;
	submit(u, &d);
	status = dsa_wait((struct dsa_record *)&table[4], DSA_WAIT_MS);
	check(status == DSA_SUCCESS, "a record within its own table is written", "status %#x",
	      status);
	describe(u, &d, DSA_BATCH, 0, va, 0, 16);
	submit(u, &d);
	status = complete(u, &d);
	check(status > DSA_SUCCESS, "a table is no list of descriptors", "status %#x", status);
	/* Those of its descriptors that have no record. */
	dsa_swerror_take(&u->n->dsa);
	memset(table, 0, PAGE);
	flush(u, 0, IOFD_INV_ALL, 0);
}

/* Tables of random bits; nothing but reads, which no address can turn into a write of data. */
static void random_tables(struct user *u)
{
	const unsigned int tables = 16;
	uint64_t at[16], *entry;
	unsigned int i, j, ended = 0, failed = 0;

	for (i = 0; i < tables; i++)
		at[i] = page_new(u->n);
	for (i = 0; i < tables; i++) {
		entry = ram_at(u->n, at[i]);
		for (j = 0; j < 512; j++) {
			entry[j] = random_u64();
			/* One in two leads to another of them, and so on. */
			if (j % 2)
				entry[j] =
					at[entry[j] % tables] | (entry[j] >> 52 & 0xfff) | INNER_P;
		}
	}
	for (i = 0; i < 8; i++)
		*inner_entry(&u->space, (UINT64_C(0xc0) + i) << 39, 4, true) = at[i] | INNER_PAGE;
	for (i = 0; i < 300; i++) {
		uint64_t va = (UINT64_C(0xc0) + random_u64() % 8) << 39;
		int status;

		va |= random_u64() & ((1UL << 39) - 1);
		status = run(u, DSA_COMPARE, 0, va, DATA_VA, 64);
		ended += status > 0;
		failed += status > DSA_SUCCESS;
	}
	check(ended == 300 && failed > 0, "300 addresses by random tables end", "%u of 300 ended",
	      ended);
	say("@value random %u of 300 failed", failed);
	for (i = 0; i < 8; i++)
		*inner_entry(&u->space, (UINT64_C(0xc0) + i) << 39, 4, true) = 0;
	flush(u, 0, IOFD_INV_ALL, 0);
}

/* Roots that the kernel takes, and that are none. */
static void odd_roots(struct nested *n, struct user *good)
{
	static const struct {
		uint64_t add;
		bool alone; /* instead of a root of RAM */
		const char *name;
	} odd[] = {
		{ UNMAPPED_PA, true, "a root that is no RAM moves nothing" },
		{ UINT64_C(1) << 51, true, "a root beyond the second stage moves nothing" },
		{ 0x800, false, "a root with low bits set moves nothing" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		struct user u;
		uint64_t root;
		int error;

		user_new(n, &u, 2, 40 + i, 4);
		inner_fill(&u.space, DATA_VA, 2);
		root = u.space.root;
		u.space.root = (odd[i].alone ? 0 : root) | odd[i].add;
		error = hwpt_nested(n, &u.space, 0, 0, &u.page_table);
		error = error ?: attach(n, u.page_table, u.pasid);
		u.space.root = root;
		user_queue(&u, false);
		say("@value root %#lx: %s", (unsigned long)(root | odd[i].add), strerror(-error));
		if (!error)
			vanishes(&u, DATA_VA, DATA_VA + PAGE, odd[i].name);
		if (!error)
			detach(n, u.pasid);
	}
	moves(good, DATA_VA, DATA_VA + PAGE, 64, "another PASID moves as before");
}

int nested_hostile(const char *bdf)
{
	struct user u, good;
	struct nested n;

	nested_open(&n, bdf, 0);
	user_new(&n, &good, 1, 51, 4);
	inner_fill(&good.space, DATA_VA, 4);
	user_attach(&good, 0, 0);
	user_new(&n, &u, 0, 50, 4);
	inner_fill(&u.space, DATA_VA, 4);
	user_attach(&u, 0, 0);
	reserved_bits(&u);
	itself(&u);
	records_over_tables(&u);
	random_tables(&u);
	odd_roots(&n, &good);
	moves(&u, DATA_VA, DATA_VA + PAGE, 64, "the hostile PASID itself moves again");
	return 0;
}
