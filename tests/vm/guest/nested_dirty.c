/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested dirty: the parent's dirty pages, as a VMM needs them to move its guest to another host.
 * nested reset: the device is reset while page tables are attached. nested abandon: a VMM is killed
 * with work on its way.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nested.h"

/* ---- Dirty pages ----------------------------------------------------------------------------- */

#define PIECE_PAGES (PIECE_BYTES / PAGE)

struct bitmap {
	uint64_t piece[2][PIECE_PAGES / 64]; /* low, high */
};

static int track(struct nested *n, bool on)
{
	struct iofd_set_dirty set = { .size = sizeof(set),
				      .flags = on ? IOFD_DIRTY_ON : 0,
				      .page_table = n->parent };

	return iofd(n->iommu, IOFD_SET_DIRTY, &set);
}

static int get_dirty(struct nested *n, struct bitmap *map, uint32_t flags)
{
	static const uint64_t start[2] = { LOW_PA, HIGH_PA };
	unsigned int i;
	int error = 0;

	memset(map, 0, sizeof(*map));
	for (i = 0; i < 2 && !error; i++) {
		struct iofd_get_dirty get = {
			.size = sizeof(get),
			.page_table = n->parent,
			.flags = flags,
			.iova = start[i],
			.bytes = PIECE_BYTES,
			.page = PAGE,
			.bitmap = (uintptr_t)map->piece[i],
		};

		error = iofd(n->iommu, IOFD_GET_DIRTY, &get);
	}
	return error;
}

static uint64_t *word_of(struct bitmap *map, uint64_t pa, uint64_t *bit)
{
	unsigned int piece = pa >= HIGH_PA;
	uint64_t page = (pa - (piece ? HIGH_PA : LOW_PA)) / PAGE;

	*bit = UINT64_C(1) << page % 64;
	return &map->piece[piece][page / 64];
}

static void expect(struct bitmap *map, struct inner *space, uint64_t va)
{
	void *at = inner_at(space, va);
	uint64_t bit;

	*word_of(map, ram_pa(space->n, at), &bit) |= bit;
}

/* Is exactly this dirty? Tables are, too, where accessed bits were set: they may be, or not. */
static void exactly(struct nested *n, struct bitmap *want, const char *name)
{
	struct bitmap have;
	unsigned int i, j, more = 0, less = 0;
	int error = get_dirty(n, &have, 0);

	for (i = 0; i < 2; i++) {
		for (j = 0; j < PIECE_PAGES / 64; j++) {
			uint64_t extra = have.piece[i][j] & ~want->piece[i][j];

			if (i == 1 && j < TABLES_BYTES / PAGE / 64)
				extra = 0;
			more += __builtin_popcountl(extra);
			less += __builtin_popcountl(want->piece[i][j] & ~have.piece[i][j]);
		}
	}
	check(!error && !more && !less, name, "%s, %u pages too many, %u too few", strerror(-error),
	      more, less);
}

static void move(struct user *u, uint64_t source, uint64_t destination, uint32_t size)
{
	int status = run(u, DSA_MEMMOVE, 0, source, destination, size);

	if (status != DSA_SUCCESS)
		check(false, "a move", "status %#x", status);
}

static void tracked(struct user *u, const char *who)
{
	const uint64_t to = DATA_VA + 8 * PAGE;
	struct bitmap want, again;
	char text[128];
	unsigned int i;
	uint64_t bit;

	memset(&want, 0, sizeof(want));
	snprintf(text, sizeof(text), "%s: nothing is dirty before anything is written", who);
	exactly(u->n, &want, text);
	/* Five pages, the first and last in part; and the record. */
	move(u, DATA_VA, to + 100, 4 * PAGE);
	for (i = 0; i < 5; i++)
		expect(&want, &u->space, to + i * PAGE);
	expect(&want, &u->space, RECORDS_VA);
	get_dirty(u->n, &again, IOFD_DIRTY_KEEP);
	snprintf(text, sizeof(text), "%s: a look that keeps finds what was written", who);
	check(*word_of(&again, ram_pa(u->n, inner_at(&u->space, to)), &bit) & bit, text,
	      "it does not");
	snprintf(text, sizeof(text), "%s: what was written is dirty, what was read is not", who);
	exactly(u->n, &want, text);
	memset(&want, 0, sizeof(want));
	snprintf(text, sizeof(text), "%s: after that nothing is", who);
	exactly(u->n, &want, text);
	/* By translations that the caches still have. */
	move(u, DATA_VA, to + 100, 4 * PAGE);
	move(u, to, DATA_VA + 3 * PAGE, 8);
	for (i = 0; i < 5; i++)
		expect(&want, &u->space, to + i * PAGE);
	expect(&want, &u->space, DATA_VA + 3 * PAGE);
	expect(&want, &u->space, RECORDS_VA);
	snprintf(text, sizeof(text), "%s: what is written again is dirty again", who);
	exactly(u->n, &want, text);
	/* Only reads, and a record. */
	memset(&want, 0, sizeof(want));
	run(u, DSA_COMPARE, 0, DATA_VA, to, 4 * PAGE);
	expect(&want, &u->space, RECORDS_VA);
	snprintf(text, sizeof(text), "%s: reads make nothing dirty", who);
	exactly(u->n, &want, text);
}

/* By addresses of the parent's, without any table of the inner guest's. */
static void parent_alone(struct nested *n)
{
	struct user u = { .n = n, .queue = 3, .pasid = NO_PASID };
	uint64_t from = page_new(n), to = page_new(n), records = page_new(n), bit;
	volatile struct dsa_record *record = ram_at(n, records);
	struct dsa_descriptor d;
	struct bitmap want;
	int status;

	user_queue(&u, false);
	dsa_describe(&d, DSA_MEMMOVE, 0, record, from, to, PAGE);
	d.record = records;
	submit(&u, &d);
	status = dsa_wait(record, DSA_WAIT_MS);
	check(status == DSA_SUCCESS && !memcmp(ram_at(n, from), ram_at(n, to), PAGE),
	      "by the parent alone: a move", "status %#x", status);
	memset(&want, 0, sizeof(want));
	*word_of(&want, to, &bit) |= bit;
	*word_of(&want, records, &bit) |= bit;
	exactly(n, &want, "by the parent alone: what was written is dirty, what was read is not");
}

int nested_dirty(const char *bdf)
{
	struct user early, late, without;
	struct nested n;
	struct bitmap map;

	nested_open(&n, bdf, IOFD_HWPT_DIRTY);
	user_new(&n, &early, 0, 11, 4);
	inner_fill(&early.space, DATA_VA, 16);
	user_attach(&early, 0, 0);
	/* Its translations are cached, with nothing about dirty pages. */
	move(&early, DATA_VA, DATA_VA + 8 * PAGE, 6 * PAGE);
	check_error(track(&n, true), 0, "dirty tracking is turned on");
	tracked(&early, "attached before");
	user_new(&n, &late, 1, 12, 4);
	inner_fill(&late.space, DATA_VA, 16);
	user_attach(&late, 0, 0);
	tracked(&late, "attached after");
	parent_alone(&n);
	user_new(&n, &without, 2, NO_PASID, 4);
	inner_fill(&without.space, DATA_VA, 16);
	user_attach(&without, 0, 0);
	tracked(&without, "without PASID");
	check_error(track(&n, false), 0, "dirty tracking is turned off");
	moves(&early, DATA_VA, DATA_VA + 8 * PAGE, PAGE, "and all goes on");
	check_error(track(&n, true), 0, "it is turned on again");
	check(!get_dirty(&n, &map, 0) && !map.piece[0][0] && !map.piece[1][PIECE_PAGES / 64 - 1],
	      "and begins with nothing dirty", "it does not");
	return 0;
}

/* ---- Reset ----------------------------------------------------------------------------------- */

int nested_reset(const char *bdf)
{
	struct user with, without;
	struct dsa_descriptor d;
	struct nested n;
	unsigned int i;

	nested_open(&n, bdf, 0);
	user_new(&n, &with, 0, 14, 4);
	inner_fill(&with.space, DATA_VA, 16);
	user_attach(&with, 0, 0);
	user_new(&n, &without, 1, NO_PASID, 4);
	inner_fill(&without.space, DATA_VA, 16);
	user_attach(&without, 0, 0);
	moves(&with, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "before the reset a PASID moves");
	moves(&without, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "and so does what has none");
	for (i = 0; i < 2; i++) {
		/* With work on its way, which may be done or not. */
		describe(&with, &d, DSA_MEMMOVE, 0, DATA_VA, DATA_VA + 4 * PAGE, 4 * PAGE);
		submit(&with, &d);
		check_error(iofd(n.vfio.device, VFIOD_RESET, NULL), 0, "the device is reset");
		vfio_enable_master(&n.vfio);
		check((dsa_read32(&n.dsa, REG_GENSTS) & 3) == 0, "it is disabled then",
		      "GENSTS %#x", dsa_read32(&n.dsa, REG_GENSTS));
		dsa_start(&n);
		user_queue(&with, false);
		user_queue(&without, false);
		moves(&with, DATA_VA, DATA_VA + 4 * PAGE, 3 * PAGE,
		      "enabled again, the PASID moves as it is attached");
		moves(&without, DATA_VA, DATA_VA + 4 * PAGE, 3 * PAGE,
		      "and so does what has none, as it is attached");
	}
	inner_map(&with.space, DATA_VA, page_new(&n), 1, INNER_PAGE);
	flush(&with, DATA_VA, 1, IOFD_INV_LEAF);
	moves(&with, DATA_VA, DATA_VA + 4 * PAGE, PAGE, "and an invalidation counts");
	return 0;
}

/* ---- A VMM that is killed -------------------------------------------------------------------- */

/* The process that is killed: large moves, and one that waits for a page. */
static void die(const char *bdf)
{
	struct iofd_fault_queue queue = { .size = sizeof(queue) };
	struct dsa_descriptor d;
	struct user u, waits;
	struct iofd_fault f;
	struct nested n;
	unsigned int i;

	nested_open(&n, bdf, 0);
	if (iofd(n.iommu, IOFD_FAULT_QUEUE, &queue))
		give_up("a fault queue");
	user_new(&n, &waits, 0, 70, 4);
	inner_fill(&waits.space, DATA_VA, 1);
	user_attach(&waits, IOFD_HWPT_FAULTS, queue.out_id);
	user_new(&n, &u, 1, NO_PASID, 4);
	inner_map(&u.space, DATA_VA & ~(HUGE - 1), HUGE_PA, 2, INNER_PAGE);
	inner_map(&u.space, (DATA_VA & ~(HUGE - 1)) + HUGE, HUGE_PA + HUGE, 2, INNER_PAGE);
	user_attach(&u, 0, 0);
	describe(&waits, &d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, DATA_VA + HUGE, DATA_VA, 64);
	submit(&waits, &d);
	while (read(queue.out_fd, &f, sizeof(f)) == 0)
		usleep(1000);
	for (i = 0; i < 12; i++) {
		describe(&u, &d, DSA_FILL, 0, random_u64(), DATA_VA & ~(HUGE - 1), 2 * HUGE);
		/* No record: its page is elsewhere. */
		d.flags_opcode &= ~(uint32_t)(DSA_RECORD_VALID | DSA_REQUEST_RECORD);
		d.record = 0;
		submit(&u, &d);
	}
	kill(getpid(), SIGKILL);
}

/* The next one, which finds nothing of the former. */
static void live(const char *bdf)
{
	struct nested n;
	struct user u;

	nested_open(&n, bdf, 0);
	user_new(&n, &u, 0, 70, 5);
	inner_fill(&u.space, DATA_VA, 8);
	user_attach(&u, 0, 0);
	moves(&u, DATA_VA, DATA_VA + 4 * PAGE, 3 * PAGE, "the next one has the device to itself");
	_exit(0);
}

/* What a process does that holds the device; how it ended. */
static int apart(const char *bdf, void (*what)(const char *bdf))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		what(bdf);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		give_up("a process for a VMM");
	return status;
}

int nested_abandon(const char *bdf)
{
	unsigned int i;
	int status;

	for (i = 0; i < 3; i++) {
		status = apart(bdf, die);
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "a VMM is killed with work on its way", "status %#x", status);
		status = apart(bdf, live);
		check(!status, "and ends as it should", "status %#x", status);
	}
	return 0;
}
