/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processes whose PASIDs the host gave, by the unit's virtual commands:
 *
 *	given N		a process a queue; each copies, says its PASID, and opens its queue again
 *	exhaust N	N processes, and one more that the host has no PASID for until another ends
 *	keep N		a process that lives and has no bind, when the host has no other PASID
 *	refused		a PASID that the host did not give: nothing is copied
 *
 * A process's PASID is what the driver wrote to its queue's configuration; the device's registers
 * say it ("@value pasid QUEUE NUMBER").
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dsa.h"
#include "guest.h"

#define MAX_PROCESSES 8
#define SIZE          (64 * KIB)
#define WAIT_MS       60000
/* The device's own folder: its parent is the PCI function's. */
#define REGISTERS "/sys/bus/dsa/devices/dsa0/../resource0"
/* DSA 1.0: registers, and what they say. */
#define WQCAP    0x20
#define OFFSETS  0x60
#define WQ_PASID 8
#define PASID_ON (1u << 28)
#define NO_PASID (-1L)

struct held {
	pid_t pid;
	int go; /* the process goes on when something is written */
};

static volatile uint8_t *map_registers(void)
{
	int fd = open(REGISTERS, O_RDONLY | O_CLOEXEC);
	void *p;

	if (fd < 0)
		give_up(REGISTERS);
	p = must_map(NULL, 64 * KIB, PROT_READ, MAP_SHARED, fd);
	close(fd);
	return p;
}

static uint32_t register32(volatile uint8_t *registers, size_t at)
{
	return *(volatile uint32_t *)(registers + at);
}

/* As the driver wrote it; NO_PASID if the queue has none. */
static long queue_pasid(int queue)
{
	volatile uint8_t *registers = map_registers();
	size_t queues = (size_t)(register32(registers, OFFSETS) >> 16) * 0x100;
	size_t bytes = 32u << (register32(registers, WQCAP) >> 24 & 0xf);
	uint32_t value = register32(registers, queues + queue * bytes + WQ_PASID);

	munmap((void *)registers, 64 * KIB);
	return value & PASID_ON ? (long)(value >> 8 & 0xfffff) : NO_PASID;
}

static uint8_t *anonymous(size_t size)
{
	return must_map(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* To memory that nobody has touched; each page of it is a page request. NULL or what is wrong. */
static const char *copy(struct dsa_queue *queue)
{
	static char why[96];
	static struct dsa_record record;
	uint8_t *source = anonymous(SIZE), *destination = anonymous(SIZE);
	struct dsa_descriptor d;
	int status;

	random_fill(source, SIZE);
	dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, &record, (uintptr_t)source,
		     (uintptr_t)destination, SIZE);
	dsa_submit(queue->portal, &d);
	status = dsa_wait(&record, WAIT_MS);
	why[0] = 0;
	if (status != DSA_SUCCESS)
		snprintf(why, sizeof(why), "status %#x, %u bytes done", status, record.completed);
	else if (memcmp(source, destination, SIZE))
		snprintf(why, sizeof(why), "the bytes are others");
	munmap(source, SIZE);
	munmap(destination, SIZE);
	return why[0] ? why : NULL;
}

static int open_queue(struct dsa_queue *queue, int number)
{
	char name[16];

	snprintf(name, sizeof(name), "wq0.%d", number);
	return dsa_open(queue, name);
}

/* Copies, says that it is ready, waits, copies again; its exit status is 0 if all was well. */
static int holder(int number, int ready, int go, bool again)
{
	struct dsa_queue queue;
	const char *why;
	char name[96], c;
	long pasid;
	int error, i;

	for (i = 0; i <= number; i++)
		random_u64();
	error = open_queue(&queue, number);
	if (error) {
		say("@fail queue %d opens: %s", number, strerror(-error));
		return 1;
	}
	why = copy(&queue);
	pasid = queue_pasid(number);
	say("@value pasid %d %#lx", number, pasid);
	if (write(ready, "x", 1) != 1 || read(go, &c, 1) != 1)
		give_up("pipe");
	why = why ?: copy(&queue);
	snprintf(name, sizeof(name), "process %d copies with the PASID it was given", number);
	error = !result(name, why);
	dsa_close(&queue);
	if (!again)
		return error;
	/* The kernel keeps a process's PASID until the process ends. */
	why = open_queue(&queue, number) ? "the queue does not open" : NULL;
	if (!why && queue_pasid(number) != pasid)
		why = "it has another PASID";
	why = why ?: copy(&queue);
	snprintf(name, sizeof(name), "process %d has its PASID again in a second bind", number);
	return !result(name, why) || error;
}

/* Returns when it is ready, or has ended. */
static struct held hold(int number, bool again)
{
	struct held held;
	int ready[2], go[2];
	char c;

	if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		give_up("pipe");
	held.pid = fork();
	if (held.pid < 0)
		give_up("fork");
	if (held.pid == 0) {
		close(ready[0]);
		close(go[1]);
		_exit(holder(number, ready[1], go[0], again));
	}
	close(ready[1]);
	close(go[0]);
	held.go = go[1];
	/* Ready or gone: waitpid() will tell. */
	while (read(ready[0], &c, 1) < 0 && errno == EINTR)
		;
	close(ready[0]);
	return held;
}

/*
 * The kernel frees a process's PASID with the last use of its memory, and a processor uses the
 * memory of the process that it ran last until it runs another one. So it runs this one.
 */
static void visit_processors(void)
{
	cpu_set_t all, one;
	int i;

	if (sched_getaffinity(0, sizeof(all), &all))
		give_up("processors");
	for (i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			give_up("processors");
	}
	if (sched_setaffinity(0, sizeof(all), &all))
		give_up("processors");
}

/* And its PASID is free. */
static bool ends_well(struct held *held)
{
	/* Not by its end: processes that came later have that open, too. */
	bool told = write(held->go, "x", 1) == 1;
	int status;

	close(held->go);
	while (waitpid(held->pid, &status, 0) < 0 && errno == EINTR)
		;
	visit_processors();
	return told && !status;
}

static int processes(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;

	if (n < 1 || n > MAX_PROCESSES) {
		say("@fail %s N: 1 to %d", argv[0], MAX_PROCESSES);
		_exit(1);
	}
	/* One that fails has said so, and does not wait any more. */
	signal(SIGPIPE, SIG_IGN);
	visit_processors();
	return n;
}

int command_given(int argc, char **argv)
{
	struct held held[MAX_PROCESSES];
	int i, good = 0, n = processes(argc, argv);

	for (i = 0; i < n; i++)
		held[i] = hold(i, true);
	wait_for_test();
	for (i = 0; i < n; i++)
		good += ends_well(&held[i]);
	return !check(good == n, "all processes end well", "%d of %d did", good, n);
}

int command_exhaust(int argc, char **argv)
{
	struct held held[MAX_PROCESSES];
	struct dsa_queue queue;
	int i, error, good = 0, n = processes(argc, argv);

	for (i = 0; i < n; i++)
		held[i] = hold(i, false);
	/* This process has no PASID yet. */
	error = open_queue(&queue, n);
	say("@value refused %s", strerror(-error));
	check(error == -ENOMEM || error == -ENOSPC, "the bind that the host has no PASID for fails",
	      "%s", error ? strerror(-error) : "it works");
	wait_for_test();
	check(ends_well(&held[0]), "one process ends", "it failed");
	/* No more than one is free now, and it goes round. */
	held[0] = hold(n, false);
	wait_for_test();
	for (i = 0; i < n; i++)
		good += ends_well(&held[i]);
	return !check(good == n, "all processes end well", "%d of %d did", good, n);
}

/* What the open of a queue says to a new process. */
static int open_elsewhere(int number)
{
	struct dsa_queue queue;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid == 0)
		_exit(-open_queue(&queue, number));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return -WEXITSTATUS(status);
}

/*
 * This process's PASID is idle on the host, which takes it back for the next one that asks. The
 * kernel knows that it is still in use here, and binds nobody else with it.
 */
int command_keep(int argc, char **argv)
{
	struct held held[MAX_PROCESSES];
	int i, error, good = 0, n = processes(argc, argv) - 1;
	struct dsa_queue queue;
	const char *why;
	long pasid;

	error = open_queue(&queue, n);
	if (!check(!error, "a process binds", "%s", strerror(-error)))
		return 1;
	why = copy(&queue);
	pasid = queue_pasid(n);
	dsa_close(&queue);
	for (i = 0; i < n; i++)
		held[i] = hold(i, false);
	error = open_elsewhere(n + 1);
	check(error == -ENOMEM || error == -ENOSPC,
	      "no other gets the PASID of a process that lives", "%s",
	      error ? strerror(-error) : "it does");
	if (!why && open_queue(&queue, n))
		why = "the queue does not open";
	if (!why && queue_pasid(n) != pasid)
		why = "it has another PASID";
	why = why ?: copy(&queue);
	result("and that process can bind with it again", why);
	for (i = 0; i < n; i++)
		good += ends_well(&held[i]);
	return !check(good == n, "all processes end well", "%d of %d did", good, n);
}

int command_refused(int argc, char **argv)
{
	static struct dsa_record record;
	uint8_t *source = anonymous(PAGE), *destination = anonymous(PAGE);
	struct dsa_descriptor d;
	struct dsa_queue queue;
	size_t i;
	int error;

	(void)argc;
	(void)argv;
	error = open_queue(&queue, 0);
	if (!check(!error, "the kernel binds with a PASID of its own choice", "%s",
		   strerror(-error)))
		return 1;
	say("@value pasid 0 %#lx", queue_pasid(0));
	memset(source, 0x5a, PAGE);
	memset(destination, 0, PAGE);
	dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, &record, (uintptr_t)source,
		     (uintptr_t)destination, PAGE);
	dsa_submit(queue.portal, &d);
	/* The device cannot say how it ended: the record is memory of this process, too. */
	wait_for_test();
	for (i = 0; i < PAGE && !destination[i]; i++)
		;
	error = !check(!record.status && i == PAGE,
		       "nothing is copied with a PASID that the host did not give",
		       "status %#x, %zu bytes are as they were", record.status, i);
	dsa_close(&queue);
	return error;
}
