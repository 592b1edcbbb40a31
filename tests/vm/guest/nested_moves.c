/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested moves: operations of the device by inner virtual addresses, from several address spaces at
 * once: for requests without PASID and for three PASIDs, one of them with 5-level tables. The same
 * inner address leads each of them to a page of its own.
 */
#include <stdio.h>
#include <string.h>

#include "nested.h"

#define CAP_1GIB    (1UL << 56)
#define CAP_5LEVELS (1UL << 60)

#define DATA_PAGES_EACH 24
/* The upper half of the address space, and beyond what 4 levels reach. */
#define UPPER_VA 0xffffa234561fc000UL
#define WIDE_VA  0x00ab1234561fc000UL
#define HUGE_VA  0x0000330000000000UL
#define GIANT_VA 0x0000440000000000UL
/* Pages that nobody has touched. */
#define FRESH_VA 0x0000550000000000UL

static const char *who;

static const char *named(const char *what)
{
	static char text[160];

	snprintf(text, sizeof(text), "%s: %s", who, what);
	return text;
}

/* Reflected CRC-32C, as iSCSI has it. */
static uint32_t crc32c(struct inner *space, uint64_t va, size_t bytes)
{
	uint32_t crc = ~0u;
	unsigned int bit;

	for (; bytes; bytes--, va++) {
		crc ^= *(uint8_t *)inner_at(space, va);
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void fill(struct user *u, uint64_t va)
{
	const uint64_t pattern = 0x1122334455667788;
	int status;

	model_take(u->n);
	model_fill(&u->space, va, pattern, 2 * PAGE + 5);
	status = run(u, DSA_FILL, 0, pattern, va, 2 * PAGE + 5);
	if (check(status == DSA_SUCCESS, named("a fill succeeds"), "status %#x", status))
		model_check(u->n, named("and fills what it should"));
}

static void compare(struct user *u, uint64_t same, uint64_t also, uint64_t other, uint32_t size)
{
	struct dsa_descriptor d;
	struct dsa_record *r;
	uint32_t first = 0;
	int status;

	model_take(u->n);
	describe(u, &d, DSA_COMPARE, 0, same, also, size);
	submit(u, &d);
	status = complete(u, &d);
	r = record_of(u, &d);
	check(status == DSA_SUCCESS && r->result == 0, named("a comparison finds no difference"),
	      "status %#x, result %u", status, r->result);
	/* The last byte alone is another. */
	*(uint8_t *)inner_at(&u->space, other + size - 1) = 1;
	*(uint8_t *)inner_at(&u->space, same + size - 1) = 2;
	for (; first < size; first++) {
		if (*(uint8_t *)inner_at(&u->space, same + first) !=
		    *(uint8_t *)inner_at(&u->space, other + first))
			break;
	}
	model_take(u->n);
	describe(u, &d, DSA_COMPARE, 0, same, other, size);
	submit(u, &d);
	status = complete(u, &d);
	r = record_of(u, &d);
	check(status == DSA_SUCCESS && r->result == 1 && r->completed == first,
	      named("a comparison finds the difference"), "status %#x, result %u at %u, not %u",
	      status, r->result, r->completed, first);
	model_check(u->n, named("comparisons change nothing"));
}

static void checksum(struct user *u, uint64_t va)
{
	uint32_t want = crc32c(&u->space, va, 3 * PAGE + 100);
	struct dsa_descriptor d;
	int status;

	describe(u, &d, DSA_CRC, 0, va, 0, 3 * PAGE + 100);
	submit(u, &d);
	status = complete(u, &d);
	check(status == DSA_SUCCESS && (uint32_t)record_of(u, &d)->operation[0] == want,
	      named("a checksum is right"), "status %#x, %#x instead of %#x", status,
	      (uint32_t)record_of(u, &d)->operation[0], want);
}

static void dualcast(struct user *u, uint64_t source, uint64_t one, uint64_t two)
{
	struct dsa_descriptor d;
	int status;

	model_take(u->n);
	model_copy(&u->space, one, &u->space, source, 2 * PAGE);
	model_copy(&u->space, two, &u->space, source, 2 * PAGE);
	describe(u, &d, DSA_DUALCAST, 0, source, one, 2 * PAGE);
	d.operation[0] = two;
	submit(u, &d);
	status = complete(u, &d);
	if (check(status == DSA_SUCCESS, named("a copy to two places succeeds"), "status %#x",
		  status))
		model_check(u->n, named("and both have it"));
}

#define BATCH 6

/* Its list lies in inner memory, across two pages. */
static void batch(struct user *u, uint64_t list, uint64_t source, uint64_t destination)
{
	struct dsa_descriptor member[BATCH], d;
	int status = DSA_SUCCESS;
	unsigned int i;

	list += PAGE - 3 * sizeof(member[0]);
	for (i = 0; i < BATCH; i++) {
		describe(u, &member[i], DSA_MEMMOVE, i == BATCH - 1 ? DSA_FENCE : 0,
			 source + i * 1000, destination + i * 1000, 1000);
		memcpy(inner_at(&u->space, list + i * sizeof(d)), &member[i], sizeof(d));
	}
	describe(u, &d, DSA_BATCH, 0, list, 0, BATCH);
	model_take(u->n);
	model_copy(&u->space, destination, &u->space, source, BATCH * 1000);
	submit(u, &d);
	status = complete(u, &d);
	for (i = 0; i < BATCH && status == DSA_SUCCESS; i++)
		status = complete(u, &member[i]);
	if (check(status == DSA_SUCCESS, named("a batch succeeds"), "status %#x", status))
		model_check(u->n, named("and each of its moves is done"));
}

static void operations(struct user *u, uint64_t va)
{
	moves(u, va + 100, va + 8 * PAGE + 3000, 3 * PAGE + 777,
	      named("a move across pages moves every byte"));
	fill(u, va + 5 * PAGE + 4000);
	compare(u, va + 100, va + 8 * PAGE + 3000, va + 16 * PAGE, 3 * PAGE + 777);
	checksum(u, va + 4090);
	dualcast(u, va + 300, va + 9 * PAGE + 8, va + 12 * PAGE + 8);
	batch(u, va + 14 * PAGE, va + 17, va + 18 * PAGE + 2001);
}

#define MARKS (INNER_A | INNER_D | INNER_EA)

/*
 * What a move reads is accessed, what it writes is accessed and dirty, and nothing else is. With
 * the extended flag it comes with the plain one.
 */
static void accessed(struct user *u, uint64_t va)
{
	uint64_t want = INNER_A | (u->space.flags & IOFD_VTD_EAFE ? INNER_EA : 0);
	uint64_t entry[3], above = 0;
	unsigned int i, level;
	int status;

	inner_fill(&u->space, va, 3);
	status = run(u, DSA_MEMMOVE, 0, va + 10, va + PAGE, 500);
	for (i = 0; i < 3; i++)
		entry[i] = *inner_entry(&u->space, va + i * PAGE, 1, false) & MARKS;
	check(status == DSA_SUCCESS && entry[0] == want && entry[1] == (want | INNER_D) &&
		      entry[2] == 0,
	      named("accessed and dirty are set where they should"),
	      "status %#x, source %#lx, destination %#lx, other page %#lx", status,
	      (unsigned long)entry[0], (unsigned long)entry[1], (unsigned long)entry[2]);
	for (level = 2; level <= u->space.levels; level++) {
		above = *inner_entry(&u->space, va, level, false);
		if ((above & MARKS) != want)
			break;
	}
	check(level > u->space.levels, named("every table on the way is accessed"),
	      "level %u: %#lx", level, (unsigned long)above);
}

static void large(struct user *u, uint64_t va, bool giant)
{
	uint64_t entry;

	inner_map(&u->space, HUGE_VA, HUGE_PA, 2, INNER_PAGE);
	inner_map(&u->space, HUGE_VA + HUGE, HUGE_PA + HUGE, 2, INNER_PAGE);
	moves(u, va + 50, HUGE_VA + 3 * PAGE + 4000, 2 * PAGE, named("a move to a page of 2 MiB"));
	moves(u, HUGE_VA + 5, HUGE_VA + HUGE - 50000, 100000,
	      named("a move across two pages of 2 MiB"));
	entry = *inner_entry(&u->space, HUGE_VA + HUGE, 2, false);
	check((entry & (INNER_A | INNER_D)) == (INNER_A | INNER_D),
	      named("a page of 2 MiB is accessed and dirty"), "entry %#lx", (unsigned long)entry);
	if (!giant)
		return;
	inner_map(&u->space, GIANT_VA, HUGE_PA, 3, INNER_PAGE);
	moves(u, GIANT_VA + HUGE + 77, GIANT_VA + HUGE - 60000, 50000,
	      named("a move within a page of 1 GiB"));
	moves(u, GIANT_VA + 1234, va + 2 * PAGE + 1, 4 * PAGE,
	      named("a move from a page of 1 GiB"));
	entry = *inner_entry(&u->space, GIANT_VA, 3, false);
	check((entry & (INNER_A | INNER_D)) == (INNER_A | INNER_D),
	      named("a page of 1 GiB is accessed and dirty"), "entry %#lx", (unsigned long)entry);
}

#define USERS  4
#define ROUNDS 8

/* All of them at once, with the same addresses. */
static void together(struct nested *n, struct user *u, unsigned int nr)
{
	struct dsa_descriptor d[USERS][ROUNDS];
	unsigned int i, j, failed = 0;

	for (i = 0; i < nr; i++) {
		for (j = 0; j < ROUNDS; j++) {
			uint32_t at = j * 2 * PAGE + random_u64() % 1000;

			describe(&u[i], &d[i][j], DSA_MEMMOVE, 0, DATA_VA + at % PAGE + j,
				 DATA_VA + 4 * PAGE + at, 5000);
		}
	}
	model_take(n);
	for (i = 0; i < nr; i++)
		for (j = 0; j < ROUNDS; j++)
			model_copy(&u[i].space, d[i][j].destination, &u[i].space, d[i][j].source,
				   5000);
	for (j = 0; j < ROUNDS; j++)
		for (i = 0; i < nr; i++)
			submit(&u[i], &d[i][j]);
	for (i = 0; i < nr; i++)
		for (j = 0; j < ROUNDS; j++)
			failed += complete(&u[i], &d[i][j]) != DSA_SUCCESS;
	check(!failed, "all address spaces at once: their moves succeed", "%u failed", failed);
	model_check(n, "all address spaces at once: each moved its own pages");
}

#define SPEED 500

/* For people, not for the test. */
static void speed(struct user *u)
{
	uint64_t start = now_us();
	unsigned int i;

	for (i = 0; i < SPEED; i++)
		run(u, DSA_MEMMOVE, 0, DATA_VA, DATA_VA + 4 * PAGE, PAGE);
	say("@value speed %lu us for a move of 4 KiB, one at a time",
	    (unsigned long)((now_us() - start) / SPEED));
}

int nested_moves(const char *bdf, bool few)
{
	static const struct {
		const char *who;
		uint32_t pasid;
		unsigned int levels;
		uint64_t flags;
	} kinds[USERS] = {
		{ "without PASID", NO_PASID, 4, 0 },
		{ "PASID 1", 1, 4, 0 },
		{ "PASID 2^20 - 1", 0xfffff, 4, IOFD_VTD_EAFE },
		{ "PASID 5, 5 levels", 5, 5, IOFD_VTD_SRE | IOFD_VTD_WPE },
	};
	struct user user[USERS];
	struct nested n;
	unsigned int i;
	uint64_t cap;
	char text[64];

	nested_open(&n, bdf, 0);
	get_text("/sys/class/iommu/dmar0/intel-iommu/cap", text, sizeof(text));
	if (sscanf(text, "%lx", &cap) != 1 || !(cap & CAP_5LEVELS) || !(cap & CAP_1GIB)) {
		result("the unit has 5 levels and pages of 1 GiB", text);
		return 1;
	}
	for (i = 0; i < USERS; i++) {
		user_new(&n, &user[i], i, kinds[i].pasid, kinds[i].levels);
		user[i].space.flags = kinds[i].flags;
		inner_fill(&user[i].space, DATA_VA, DATA_PAGES_EACH);
		user_attach(&user[i], 0, 0);
	}
	for (i = 0; i < USERS; i++) {
		who = kinds[i].who;
		operations(&user[i], DATA_VA);
		accessed(&user[i], FRESH_VA);
		if (!few)
			large(&user[i], DATA_VA, true);
	}
	if (!few) {
		who = "upper half";
		inner_fill(&user[1].space, UPPER_VA, DATA_PAGES_EACH);
		operations(&user[1], UPPER_VA);
		who = "beyond 48 bits";
		inner_fill(&user[3].space, WIDE_VA, DATA_PAGES_EACH);
		operations(&user[3], WIDE_VA);
		speed(&user[1]);
	}
	together(&n, user, USERS);
	/* The test looks at the tables from outside. */
	wait_for_test();
	return 0;
}
