/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processes that copy by the device until they are told to stop, each byte compared, always to
 * pages that are not there: for what is done to the device meanwhile (tests/vm/state.py).
 *
 *	steady N &	   starts them, one a queue
 *	more COPIES	   returns when each has done so many more; the longest time between two of
 *			   a process, since the last `more` ended
 *	enough		   ends them: what each of them found
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dsa.h"
#include "guest.h"

#define MOST      8 /* processes */
#define IN_FLIGHT 4
#define BYTES     (64 * KIB) /* of one copy */
#define WAIT_MS   60000      /* for one of them */
#define BOARD     "/tmp/steady"

/* What all of the processes and commands see. */
struct board {
	uint32_t stop;
	uint32_t processes;
	struct {
		uint64_t copies;
		uint64_t gap_us; /* the longest between two that were seen complete */
		uint32_t ended;  /* 1: stopped; 2: failed */
		char why[128];
	} process[MOST];
};

static struct board *board_map(bool make)
{
	int fd = open(BOARD, make ? O_RDWR | O_CREAT | O_TRUNC : O_RDWR, 0600);

	if (fd < 0 || (make && ftruncate(fd, sizeof(struct board))))
		give_up(BOARD);
	return must_map(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd);
}

static bool stopped(const struct board *board)
{
	return __atomic_load_n(&board->stop, __ATOMIC_SEQ_CST);
}

static uint64_t copies(struct board *board, unsigned int n)
{
	return __atomic_load_n(&board->process[n].copies, __ATOMIC_SEQ_CST);
}

static uint32_t ended(struct board *board, unsigned int n)
{
	return __atomic_load_n(&board->process[n].ended, __ATOMIC_SEQ_CST);
}

/* *last: when the one before was seen complete; 0: there was none. */
static void completed(uint64_t *gap_us, uint64_t *last)
{
	uint64_t now = now_us(), most = __atomic_load_n(gap_us, __ATOMIC_RELAXED);

	while (*last && now - *last > most &&
	       !__atomic_compare_exchange_n(gap_us, &most, now - *last, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
	*last = now;
}

/* One round: several copies in flight, other data each time. False: *why says what was wrong. */
static bool copy_round(struct dsa_queue *queue, uint8_t *source, uint8_t *destination,
		       uint64_t *gap_us, char *why, size_t why_size)
{
	static struct dsa_record records[IN_FLIGHT];
	static uint64_t last;
	size_t from[IN_FLIGHT], to[IN_FLIGHT], size[IN_FLIGHT];
	struct dsa_descriptor d;
	unsigned int i;
	int status;

	madvise(destination, IN_FLIGHT * 2 * BYTES, MADV_DONTNEED);
	for (i = 0; i < IN_FLIGHT; i++) {
		size[i] = 1 + random_u64() % BYTES;
		from[i] = 2 * BYTES * i + random_u64() % BYTES;
		to[i] = 2 * BYTES * i + random_u64() % BYTES;
		*(uint64_t *)(source + from[i] / 8 * 8) = random_u64();
		dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, &records[i],
			     (uintptr_t)source + from[i], (uintptr_t)destination + to[i],
			     (uint32_t)size[i]);
		dsa_submit(queue->portal, &d);
	}
	for (i = 0; i < IN_FLIGHT; i++) {
		status = dsa_wait(&records[i], WAIT_MS);
		completed(gap_us, &last);
		if (status != DSA_SUCCESS) {
			snprintf(why, why_size, "status %d, fault address %#lx", status,
				 (unsigned long)records[i].fault_address);
			return false;
		}
		if (memcmp(source + from[i], destination + to[i], size[i])) {
			snprintf(why, why_size, "%zu bytes from %zu to %zu differ", size[i],
				 from[i], to[i]);
			return false;
		}
		/* What the copy leaves alone reads as zeroes. */
		if ((to[i] % BYTES && destination[to[i] - 1]) || destination[to[i] + size[i]]) {
			snprintf(why, why_size, "a byte beside a copy was written");
			return false;
		}
	}
	return true;
}

static int process(struct board *board, unsigned int n, unsigned int processes)
{
	size_t bytes = IN_FLIGHT * 2 * BYTES + PAGE;
	uint8_t *source, *destination;
	struct dsa_queue queue;
	char name[32];
	unsigned int i;
	int error;
	bool good;

	for (i = 0; i <= n; i++)
		random_u64();
	snprintf(name, sizeof(name), "wq0.%u", n);
	error = dsa_open(&queue, name);
	if (error) {
		snprintf(board->process[n].why, sizeof(board->process[n].why), "%s",
			 strerror(-error));
		__atomic_store_n(&board->process[n].ended, 2, __ATOMIC_SEQ_CST);
		return 1;
	}
	source = must_map(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	destination =
		must_map(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(destination, bytes, MADV_NOHUGEPAGE);
	random_fill(source, bytes);
	do {
		good = copy_round(&queue, source, destination, &board->process[n].gap_us,
				  board->process[n].why, sizeof(board->process[n].why));
		if (good)
			__atomic_fetch_add(&board->process[n].copies, IN_FLIGHT, __ATOMIC_SEQ_CST);
		/* The first of all to have begun says so, once. */
		if (good && !n && copies(board, 0) == IN_FLIGHT)
			say("@value steady started %u", processes);
	} while (good && !stopped(board));
	dsa_close(&queue);
	__atomic_store_n(&board->process[n].ended, good ? 1 : 2, __ATOMIC_SEQ_CST);
	return 0;
}

int command_steady(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 2, i;
	struct board *board = board_map(true);

	if (n < 1 || n > MOST) {
		say("@fail steady: 1 to %d processes", MOST);
		return 1;
	}
	board->processes = (uint32_t)n;
	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			give_up("fork");
		if (!pid)
			_exit(process(board, (unsigned int)i, (unsigned int)n));
	}
	while (wait(NULL) >= 0 || errno == EINTR)
		;
	return 0;
}

/* Until a process has done so many in all, or has ended; false: it does not. */
static bool wait_for(struct board *board, unsigned int n, uint64_t many)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (!ended(board, n) && copies(board, n) < many) {
		if (now_ms() > end)
			return false;
		usleep(1000);
	}
	return true;
}

int command_more(int argc, char **argv)
{
	uint64_t many = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, want[MOST], sum = 0;
	uint64_t gap, longest = 0;
	struct board *board = board_map(false);
	bool good = true;
	unsigned int i;

	for (i = 0; i < board->processes; i++)
		want[i] = copies(board, i) + many;
	for (i = 0; i < board->processes; i++) {
		good &= wait_for(board, i, want[i]) && !ended(board, i);
		sum += copies(board, i);
		gap = __atomic_exchange_n(&board->process[i].gap_us, 0, __ATOMIC_SEQ_CST);
		longest = gap > longest ? gap : longest;
	}
	say("@value copies %lu", (unsigned long)sum);
	say("@value gap_us %lu", (unsigned long)longest);
	return !check(good, "every process goes on copying", "process 0: %s",
		      board->process[0].why);
}

int command_enough(int argc, char **argv)
{
	struct board *board = board_map(false);
	bool good, all = true;
	unsigned int i;
	char name[64];

	(void)argc;
	(void)argv;
	__atomic_store_n(&board->stop, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < board->processes; i++) {
		snprintf(name, sizeof(name), "process %u: all its copies were right", i);
		wait_for(board, i, UINT64_MAX);
		good = ended(board, i) == 1;
		all &= check(good, name, "%s", board->process[i].why);
	}
	return !all;
}
