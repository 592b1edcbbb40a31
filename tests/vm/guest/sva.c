/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user process shares its address space with a DSA device: commands that configure its queues as
 * accel-config does, and that let the device copy by the process's own pointers.
 *
 *	config [QUEUES [BLOCK-ON-FAULT]]   that many dedicated queues; "config off" undoes it
 *	copy [QUEUE [N]]		   memory of every kind, data compared; or N sizes only
 *	faults				   bad pointers, and that the next descriptor works
 *	processes N			   one process a queue, all with the same addresses
 *	kill N				   processes that are killed with descriptors in flight
 *	storm				   copies until something breaks, and says what
 *	speed				   figures: copies, and page requests, per second
 *
 * Page requests are counted by the interrupts of the unit's page request queue.
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

#define WAIT_MS     60000 /* for one descriptor: an idle machine needs a few milliseconds */
#define IN_FLIGHT   8     /* of a queue of 16 */
#define RANDOM_RUNS 150
#define UNUSED      ((void *)0x200000000000) /* far from where the kernel puts mappings */
#define DSA         "/sys/bus/dsa/devices/dsa0"

static struct dsa_record records[IN_FLIGHT];

int dsa_wait(volatile struct dsa_record *record, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	unsigned int turn;

	for (;;) {
		for (turn = 0; turn < 100; turn++) {
			if (record->status)
				return record->status;
			/* The kernel needs a processor to serve the page request with. */
			sched_yield();
		}
		if (now_ms() > end)
			return -1;
	}
}

int dsa_open(struct dsa_queue *queue, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/dev/dsa/%s", name);
	queue->fd = open(path, O_RDWR | O_CLOEXEC);
	if (queue->fd < 0)
		return -errno;
	queue->portal = mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED | MAP_POPULATE, queue->fd, 0);
	if (queue->portal == MAP_FAILED) {
		int error = -errno;

		close(queue->fd);
		return error;
	}
	snprintf(path, sizeof(path), DSA "/%s/max_transfer_size", name);
	queue->max_size = get_number(path, 2 * MIB);
	return 0;
}

void dsa_close(struct dsa_queue *queue)
{
	munmap((void *)queue->portal, PAGE);
	close(queue->fd);
}

static void must_open(struct dsa_queue *queue, const char *name)
{
	int error = dsa_open(queue, name);

	if (error) {
		say("@fail /dev/dsa/%s opens: %s", name, strerror(-error));
		_exit(1);
	}
}

/* Configuration. */

static int put_queue(int queue, const char *file, const char *text)
{
	char path[128];
	int error;

	snprintf(path, sizeof(path), DSA "/wq0.%d/%s", queue, file);
	error = put_text(path, text);
	if (error)
		say("@fail writing '%s' to %s: %s", text, path, strerror(-error));
	return error;
}

static int config_off(void)
{
	int error = put_text("/sys/bus/dsa/drivers/idxd/unbind", "dsa0");

	check(!error, "the device is disabled", "%s", strerror(-error));
	return !!error;
}

int command_config(int argc, char **argv)
{
	int queues = argc > 1 ? atoi(argv[1]) : 1;
	const char *block = argc > 2 ? argv[2] : "1";
	char text[64], size[16];
	int i, error = 0;

	if (argc > 1 && !strcmp(argv[1], "off"))
		return config_off();
	say("@value pasid_enabled %ld", get_number(DSA "/pasid_enabled", -1));
	error = put_text(DSA "/engine0.0/group_id", "0");
	if (error)
		say("@note engine0.0: %s", strerror(-error));
	/* What there is, in equal parts, but no more than a test needs. */
	snprintf(size, sizeof(size), "%ld", get_number(DSA "/max_work_queues_size", 16) / queues);
	if (atoi(size) > 16)
		snprintf(size, sizeof(size), "16");
	for (i = 0; i < queues && !error; i++) {
		snprintf(text, sizeof(text), "app%d", i + 1);
		error = put_queue(i, "group_id", "0") ?: put_queue(i, "mode", "dedicated") ?:
			put_queue(i, "size", size) ?: put_queue(i, "priority", "10") ?:
			put_queue(i, "block_on_fault", block) ?: put_queue(i, "type", "user") ?:
			put_queue(i, "name", text);
		/* Linux 6.1 has one driver for each type. */
		if (!error && !access(DSA "/wq0.0/driver_name", F_OK))
			error = put_queue(i, "driver_name", "user");
	}
	if (!check(!error, "the queues are configured", "%s", strerror(-error)))
		return 1;
	error = put_text("/sys/bus/dsa/drivers/idxd/bind", "dsa0");
	get_text(DSA "/cmd_status", text, sizeof(text));
	if (!check(!error, "the device is enabled", "%s, command status %s", strerror(-error),
		   text))
		return 1;
	for (i = 0; i < queues && !error; i++) {
		snprintf(text, sizeof(text), "wq0.%d", i);
		error = put_text("/sys/bus/dsa/drivers/user/bind", text);
	}
	get_text(DSA "/cmd_status", text, sizeof(text));
	return !check(!error, "the queues are enabled", "queue %d: %s, command status %s", i - 1,
		      strerror(-error), text);
}

/* Copies. */

static const char *status_text(const volatile struct dsa_record *record)
{
	static char texts[4][128];
	static int turn;
	char *text = texts[turn++ % 4];

	snprintf(text, sizeof(texts[0]), "status %#x, result %#x, %u completed, fault address %#lx",
		 record->status, record->result, record->completed,
		 (unsigned long)record->fault_address);
	return text;
}

static int one(struct dsa_queue *queue, enum dsa_opcode opcode, uint32_t flags,
	       volatile struct dsa_record *record, uint64_t source, uint64_t destination,
	       uint32_t size)
{
	struct dsa_descriptor d;

	dsa_describe(&d, opcode, flags, record, source, destination, size);
	dsa_submit(queue->portal, &d);
	return dsa_wait(record, WAIT_MS);
}

/* Copies, by as many descriptors as it takes. NULL, or what went wrong. */
static const char *copy(struct dsa_queue *queue, void *destination, const void *source, size_t size)
{
	static char why[256];
	size_t done = 0, at = 0;
	unsigned int in_flight = 0, first = 0;

	while (done < size) {
		if (at < size && in_flight < IN_FLIGHT) {
			volatile struct dsa_record *record =
				&records[(first + in_flight) % IN_FLIGHT];
			size_t part = size - at < queue->max_size ? size - at : queue->max_size;
			struct dsa_descriptor d;

			dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, record,
				     (uintptr_t)source + at, (uintptr_t)destination + at, part);
			dsa_submit(queue->portal, &d);
			at += part;
			in_flight++;
		} else {
			size_t part = size - done < queue->max_size ? size - done : queue->max_size;

			if (dsa_wait(&records[first], WAIT_MS) != DSA_SUCCESS) {
				snprintf(why, sizeof(why), "%zu bytes from %p to %p: %s", size,
					 source, destination, status_text(&records[first]));
				return why;
			}
			done += part;
			first = (first + 1) % IN_FLIGHT;
			in_flight--;
		}
	}
	return NULL;
}

static const char *compare(const void *have, const void *want, size_t size)
{
	static char why[128];
	const uint8_t *a = have, *b = want;
	size_t i;

	if (!memcmp(have, want, size))
		return NULL;
	for (i = 0; a[i] == b[i]; i++)
		;
	snprintf(why, sizeof(why), "byte %zu of %zu is %02x instead of %02x", i, size, a[i], b[i]);
	return why;
}

static const char *all_bytes(const uint8_t *have, uint8_t want, size_t size)
{
	static char why[128];
	size_t i;

	for (i = 0; i < size && have[i] == want; i++)
		;
	if (i == size)
		return NULL;
	snprintf(why, sizeof(why), "byte %zu of %zu is %02x instead of %02x", i, size, have[i],
		 want);
	return why;
}

static uint8_t *anonymous(size_t size)
{
	uint8_t *p = must_map(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

/* The destination was never touched: what the copy leaves alone must read as zeroes. */
static const char *copy_fresh(struct dsa_queue *queue, size_t size, size_t from, size_t to)
{
	size_t whole = (size + PAGE + PAGE - 1) / PAGE * PAGE + PAGE;
	uint8_t *source = anonymous(whole), *destination = anonymous(whole);
	const char *why;

	random_fill(source, whole);
	why = copy(queue, destination + to, source + from, size);
	why = why ?: compare(destination + to, source + from, size);
	why = why ?: all_bytes(destination, 0, to);
	why = why ?: all_bytes(destination + to + size, 0, whole - to - size);
	munmap(source, whole);
	munmap(destination, whole);
	return why;
}

static void copy_sizes(struct dsa_queue *queue, size_t most)
{
	static const size_t sizes[] = {
		1, 4097, MIB + 3, 2, 3, 7, 8, 9, 63, 64, 65, 511, 4095, 4096, 12345, 65537, 2 * MIB,
	};
	const char *why = NULL;
	char name[80];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes) && i < most; i++) {
		snprintf(name, sizeof(name), "%zu bytes are copied to untouched memory", sizes[i]);
		why = copy_fresh(queue, sizes[i], 0, 0);
		why = why ?: copy_fresh(queue, sizes[i], random_u64() % PAGE, random_u64() % PAGE);
		why = why ?: copy_fresh(queue, sizes[i], PAGE - 1, 1);
		why = why ?: copy_fresh(queue, sizes[i], 3, PAGE - 1);
		result(name, why);
	}
	if (most < ARRAY_SIZE(sizes))
		return;
	result("24 MiB and 5 bytes are copied to untouched memory",
	       copy_fresh(queue, 24 * MIB + 5, 11, 4093));
}

static void copy_untouched(struct dsa_queue *queue)
{
	const size_t size = 256 * KIB;
	uint8_t *source = anonymous(size), *destination = anonymous(size);
	uint8_t *page = anonymous(PAGE);
	volatile struct dsa_record *record = (struct dsa_record *)(page + 96);
	struct dsa_descriptor d;
	const char *why;

	random_fill(destination, size);
	why = copy(queue, destination, source, size);
	result("an untouched source reads as zeroes", why ?: all_bytes(destination, 0, size));

	random_fill(source, size);
	dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, NULL, (uintptr_t)source,
		     (uintptr_t)destination, size);
	d.record = (uintptr_t)record;
	d.flags_opcode |= DSA_RECORD_VALID | DSA_REQUEST_RECORD;
	dsa_submit(queue->portal, &d);
	/* The device makes the page; a read before that would. So look without touching. */
	for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end;) {
		unsigned char in = 0;

		if (!mincore(page, PAGE, &in) && (in & 1))
			break;
		sched_yield();
	}
	why = dsa_wait(record, WAIT_MS) == DSA_SUCCESS ? NULL : status_text(record);
	result("a completion record comes to an untouched page",
	       why ?: compare(destination, source, size));
	munmap(source, size);
	munmap(destination, size);
	munmap(page, PAGE);
}

static void copy_huge(struct dsa_queue *queue)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	const int rw = PROT_READ | PROT_WRITE;
	uint8_t *source, *destination, *base;
	const char *why;

	put_text("/proc/sys/vm/nr_hugepages", "8");
	source = must_map(NULL, 4 * HUGE, rw, flags | MAP_HUGETLB, -1);
	destination = must_map(NULL, 4 * HUGE, rw, flags | MAP_HUGETLB, -1);
	random_fill(source, 4 * HUGE);
	why = copy(queue, destination + 5, source + 4099, 3 * HUGE + 77);
	why = why ?: compare(destination + 5, source + 4099, 3 * HUGE + 77);
	result("hugetlb pages are copied", why ?: all_bytes(destination, 0, 5));
	munmap(source, 4 * HUGE);
	munmap(destination, 4 * HUGE);
	put_text("/proc/sys/vm/nr_hugepages", "0");

	put_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	base = must_map(NULL, 9 * HUGE, rw, flags, -1);
	source = (uint8_t *)(((uintptr_t)base + HUGE - 1) & ~(HUGE - 1));
	destination = source + 4 * HUGE;
	madvise(base, 9 * HUGE, MADV_HUGEPAGE);
	random_fill(source, 4 * HUGE);
	why = copy(queue, destination + 5, source + 4099, 3 * HUGE + 77);
	result("transparent huge pages are copied",
	       why ?: compare(destination + 5, source + 4099, 3 * HUGE + 77));
	/* A large page becomes 512 small ones, and one of them goes. */
	munmap(source + HUGE + 16 * PAGE, PAGE);
	must_map(source + HUGE + 16 * PAGE, PAGE, rw, flags | MAP_FIXED, -1);
	random_fill(source + HUGE + 20 * PAGE, PAGE);
	why = copy(queue, destination, source, 3 * HUGE);
	why = why ?: all_bytes(destination + HUGE + 16 * PAGE, 0, PAGE);
	result("a huge page that was split is copied",
	       why ?: compare(destination, source, 3 * HUGE));
	munmap(base, 9 * HUGE);
}

/* The child keeps what it saw; the device's writes break the sharing like the processor's. */
static void copy_forked(struct dsa_queue *queue)
{
	const size_t size = 128 * KIB;
	uint8_t *source = anonymous(size), *destination = anonymous(size),
		*before = anonymous(size);
	const char *why;
	int go[2], status;
	pid_t child;

	random_fill(source, size);
	random_fill(destination, size);
	memcpy(before, destination, size);
	/* Both are in the device's caches, writable. */
	why = copy(queue, destination, source, PAGE) ?: copy(queue, destination, before, PAGE);
	why = why ?: copy(queue, destination + PAGE, before + PAGE, size - PAGE);
	if (pipe(go))
		give_up("pipe");
	child = fork();
	if (child < 0)
		give_up("fork");
	if (child == 0) {
		char c;

		close(go[1]);
		_exit(read(go[0], &c, 1) == 1 ? memcmp(destination, before, size) != 0 : 2);
	}
	close(go[0]);
	why = why ?: copy(queue, destination, source, size);
	why = why ?: compare(destination, source, size);
	if (write(go[1], "x", 1) != 1)
		give_up("pipe");
	close(go[1]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	result("after a fork the parent's copy is its own", why);
	check(!status, "after a fork the child keeps its data", "the child ended with status %#x",
	      status);
	munmap(source, size);
	munmap(destination, size);
	munmap(before, size);
}

/* The memory under an address changes after the device has used, and cached, it. */
static void copy_changed(struct dsa_queue *queue)
{
	const size_t size = 64 * KIB;
	uint8_t *source = anonymous(size), *destination = anonymous(size), *other;
	volatile struct dsa_record *record = &records[0];
	int fd = memfd_create("viommu", 0), status;
	const char *why;

	random_fill(source, size);
	why = copy(queue, destination, source, size) ?: compare(destination, source, size);
	munmap(source, size);
	must_map(source, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	madvise(source, size, MADV_NOHUGEPAGE);
	random_fill(source, size);
	why = why ?: copy(queue, destination, source, size);
	result("memory mapped anew at an address is what is copied",
	       why ?: compare(destination, source, size));

	madvise(source, size, MADV_DONTNEED);
	why = copy(queue, destination, source, size);
	result("memory given back reads as zeroes", why ?: all_bytes(destination, 0, size));

	random_fill(source, size);
	other = mremap(source, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, UNUSED);
	if (other == MAP_FAILED)
		give_up("mremap");
	why = copy(queue, destination, other, size);
	result("moved memory is found at its new address",
	       why ?: compare(destination, other, size));
	status = one(queue, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, record, (uintptr_t)source,
		     (uintptr_t)destination, size);
	check((status & DSA_STATUS_CODE) == DSA_REQUEST_INVALID,
	      "moved memory is not found at its old address", "%s", status_text(record));
	why = copy(queue, destination, other, size);
	result("the descriptor after that works", why ?: compare(destination, other, size));

	mprotect(destination, size, PROT_READ);
	random_fill(other, size);
	status = one(queue, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, record, (uintptr_t)other,
		     (uintptr_t)destination, size);
	check((status & DSA_STATUS_CODE) == DSA_REQUEST_INVALID && status & 0x80,
	      "memory made read-only is not written", "%s", status_text(record));
	check(memcmp(destination, other, size), "and keeps its data", "it was written");
	mprotect(destination, size, PROT_READ | PROT_WRITE);
	why = copy(queue, destination, other, size);
	result("memory made writable again is written", why ?: compare(destination, other, size));

	mprotect(other, size, PROT_NONE);
	status = one(queue, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, record, (uintptr_t)other,
		     (uintptr_t)destination, size);
	check((status & DSA_STATUS_CODE) == DSA_REQUEST_INVALID && !(status & 0x80),
	      "memory made inaccessible is not read", "%s", status_text(record));
	munmap(other, size);

	if (fd < 0 || ftruncate(fd, size))
		give_up("memfd");
	other = must_map(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	source = must_map(NULL, size, PROT_READ, MAP_SHARED, fd);
	random_fill(destination, size);
	why = copy(queue, other, destination, size);
	why = why ?: compare(source, destination, size);
	random_fill(other, size);
	why = why ?: copy(queue, destination, source, size);
	result("shared memory of a file is copied", why ?: compare(destination, other, size));
	close(fd);
	munmap(other, size);
	munmap(source, size);
	munmap(destination, size);
}

/* Copies and changes in random order, against a plain copy of the memory. */
static void copy_random(struct dsa_queue *queue)
{
	const size_t size = 2 * MIB;
	uint8_t *arena = anonymous(size), *model = anonymous(size);
	const char *why = NULL;
	char text[64];
	int run;

	random_fill(arena, size);
	memcpy(model, arena, size);
	for (run = 0; run < RANDOM_RUNS && !why; run++) {
		size_t len = (random_u64() % (64 * KIB)) >> random_u64() % 16, from, to;
		size_t at = random_u64() % (size / PAGE) * PAGE;
		size_t pages = random_u64() % 16 * PAGE;
		pid_t child;

		len++;
		/* The two halves take turns, so that they do not overlap. */
		from = random_u64() % (size / 2 - len);
		to = random_u64() % (size / 2 - len);
		if (run % 2)
			from += size / 2;
		else
			to += size / 2;
		why = copy(queue, arena + to, arena + from, len);
		memcpy(model + to, model + from, len);
		why = why ?: compare(arena + to, model + to, len);
		if (at + pages > size)
			pages = size - at;
		switch (pages ? random_u64() % 6 : 5) {
		case 0:
			madvise(arena + at, pages, MADV_DONTNEED);
			memset(model + at, 0, pages);
			break;
		case 1:
			must_map(arena + at, pages, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
			madvise(arena + at, pages, MADV_NOHUGEPAGE);
			memset(model + at, 0, pages);
			break;
		case 2:
			mprotect(arena + at, pages, PROT_READ);
			mprotect(arena + at, pages, PROT_READ | PROT_WRITE);
			break;
		case 3:
			random_fill(arena + at, pages);
			memcpy(model + at, arena + at, pages);
			break;
		case 4:
			child = fork();
			if (child == 0)
				_exit(0);
			while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
				;
			break;
		}
	}
	why = why ?: compare(arena, model, size);
	snprintf(text, sizeof(text), "%d random copies amid random changes", RANDOM_RUNS);
	if (!result(text, why))
		say("@note in run %d", run);
	munmap(arena, size);
	munmap(model, size);
}

int command_copy(int argc, char **argv)
{
	unsigned long before = interrupts("-prq"), requests;
	struct dsa_queue queue;

	must_open(&queue, argc > 1 ? argv[1] : "wq0.0");
	say("@note copy: seed %#lx, at most %u bytes a descriptor", (unsigned long)random_seed(),
	    queue.max_size);
	copy_sizes(&queue, argc > 2 ? atoi(argv[2]) : 1000);
	if (argc > 2) {
		dsa_close(&queue);
		return 0;
	}
	copy_untouched(&queue);
	copy_huge(&queue);
	copy_forked(&queue);
	copy_changed(&queue);
	copy_random(&queue);
	requests = interrupts("-prq") - before;
	check(requests > 0, "page requests interrupted the processor", "there were none");
	say("@value page_request_interrupts %lu", requests);
	dsa_close(&queue);
	return 0;
}

/* Faults. */

static void bad_pointer(struct dsa_queue *queue, const char *what, uint64_t source,
			uint64_t destination, bool write)
{
	uint8_t *good = anonymous(2 * PAGE);
	volatile struct dsa_record *record = &records[0];
	uint64_t bad = write ? destination : source;
	char name[128];
	const char *why;
	int status;

	status = one(queue, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, record,
		     write ? (uintptr_t)good : source, write ? destination : (uintptr_t)good, 64);
	snprintf(name, sizeof(name), "%s of %s ends as a page request answered invalid",
		 write ? "a write" : "a read", what);
	check(status > 0 && (status & DSA_STATUS_CODE) == DSA_REQUEST_INVALID &&
		      !!(status & 0x80) == write && record->fault_address / PAGE == bad / PAGE,
	      name, "%s", status_text(record));
	random_fill(good, PAGE);
	why = copy(queue, good + PAGE, good, PAGE) ?: compare(good + PAGE, good, PAGE);
	snprintf(name, sizeof(name), "the descriptor after %s of %s works",
		 write ? "a write" : "a read", what);
	result(name, why);
	munmap(good, 2 * PAGE);
}

/* Without block-on-fault the record says how far it came; the rest is done after a touch. */
static void partial(struct dsa_queue *queue)
{
	const size_t size = 8 * PAGE;
	uint8_t *source = anonymous(size), *destination = anonymous(size);
	volatile struct dsa_record *record = &records[0];
	size_t done = 0;
	int status = 0, faults = 0;

	random_fill(source, size);
	destination[0] = destination[PAGE] = 1;
	while (done < size && faults < 16) {
		status = one(queue, DSA_MEMMOVE, 0, record, (uintptr_t)source + done,
			     (uintptr_t)destination + done, size - done);
		if (status < 0 || (status & DSA_STATUS_CODE) != DSA_PAGE_FAULT)
			break;
		faults++;
		if (record->result || record->completed >= size - done ||
		    (record->fault_address & ~(PAGE - 1)) !=
			    (((uintptr_t)destination + done + record->completed) & ~(PAGE - 1)))
			break;
		done += record->completed;
		destination[done] = 1;
	}
	check(status == DSA_SUCCESS && faults == 6,
	      "without block-on-fault each untouched page ends in partial progress",
	      "%d faults, %zu bytes done, %s", faults, done, status_text(record));
	result("and resuming copies all of it", compare(destination, source, size));
	munmap(source, size);
	munmap(destination, size);
}

/* No record can be written: the error goes to SWERROR, and the kernel reads it. */
static void bad_record(struct dsa_queue *queue)
{
	uint8_t *good = anonymous(2 * PAGE);
	char before[256], after[256];
	struct dsa_descriptor d;
	uint64_t end = now_ms() + WAIT_MS;

	get_text(DSA "/errors", before, sizeof(before));
	random_fill(good, PAGE);
	dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, NULL, (uintptr_t)good,
		     (uintptr_t)good + PAGE, 64);
	d.record = 0x1000;
	d.flags_opcode |= DSA_RECORD_VALID | DSA_REQUEST_RECORD;
	dsa_submit(queue->portal, &d);
	do {
		get_text(DSA "/errors", after, sizeof(after));
		sched_yield();
	} while (!strcmp(before, after) && now_ms() < end);
	check(strcmp(before, after), "a bad completion record address is told by SWERROR",
	      "the kernel saw no error: %s", after);
	say("@value errors %s", after);
	result("the descriptor after it works",
	       copy(queue, good + PAGE, good, PAGE) ?: compare(good + PAGE, good, PAGE));
	munmap(good, 2 * PAGE);
}

int command_faults(int argc, char **argv)
{
	uint8_t *gone, *fixed;
	struct dsa_queue queue;
	int status;

	must_open(&queue, argc > 1 ? argv[1] : "wq0.0");
	/* Where the kernel does not put what is mapped next. */
	gone = must_map(UNUSED, PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	gone[0] = 1;
	munmap(gone, PAGE);
	fixed = must_map(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	bad_pointer(&queue, "page 1", 0x1000, 0x1000, false);
	bad_pointer(&queue, "page 1", 0x1000, 0x1000, true);
	bad_pointer(&queue, "an unmapped page", (uintptr_t)gone, (uintptr_t)gone, false);
	bad_pointer(&queue, "an unmapped page", (uintptr_t)gone, (uintptr_t)gone, true);
	bad_pointer(&queue, "a read-only page", (uintptr_t)fixed, (uintptr_t)fixed, true);
	/* The kernel's text is there, but it is the supervisor's. */
	bad_pointer(&queue, "the kernel", 0xffffffff81000000, 0xffffffff81000000, false);
	bad_pointer(&queue, "the kernel", 0xffffffff81000000, 0xffffffff81000000, true);
	bad_pointer(&queue, "an address that is not canonical", 1UL << 62, 1UL << 62, false);
	munmap(fixed, PAGE);
	partial(&queue);
	status = one(&queue, 0x3f, 0, &records[0], 0, 0, 0);
	check(status == DSA_BAD_OPCODE, "an unknown operation ends with its status", "%s",
	      status_text(&records[0]));
	bad_record(&queue);
	dsa_close(&queue);
	return 0;
}

/* Several processes. */

/* A byte for each that is ready; then all wait for the end of what `go` reads. */
struct gate {
	int ready, go;
};

static int worker(int number, int rounds, const struct gate *gate)
{
	/* The same addresses in each process, with other data. */
	uint8_t *base = UNUSED;
	const size_t size = 512 * KIB;
	uint8_t *source, *destination;
	struct dsa_queue queue;
	const char *why = NULL;
	char name[64];
	int i;

	for (i = 0; i <= number; i++)
		random_u64();
	snprintf(name, sizeof(name), "wq0.%d", number);
	must_open(&queue, name);
	source = must_map(base, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	destination = must_map(base + size, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	random_fill(source, size);
	why = copy(&queue, destination, source, size) ?: compare(destination, source, size);
	/* All are there, and have their entries in the unit's tables, before any goes on. */
	if (write(gate->ready, "x", 1) != 1 || read(gate->go, name, 1) != 0)
		give_up("pipe");
	for (i = 0; i < rounds && !why; i++) {
		size_t len = 1 + random_u64() % (size / 2);
		size_t from = random_u64() % (size - len), to = random_u64() % (size - len);

		random_fill(source + from, len);
		if (i % 3 == 0)
			madvise(destination, size, MADV_DONTNEED);
		why = copy(&queue, destination + to, source + from, len);
		why = why ?: compare(destination + to, source + from, len);
	}
	snprintf(name, sizeof(name), "process %d's data is its own", number);
	result(name, why);
	dsa_close(&queue);
	return !!why;
}

int command_processes(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 2, rounds = argc > 2 ? atoi(argv[2]) : 10;
	int ready[2], go[2], i, status, good = 0;
	char c;

	if (pipe(ready) || pipe(go))
		give_up("pipe");
	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			give_up("fork");
		if (pid == 0) {
			close(ready[0]);
			close(go[1]);
			_exit(worker(i, rounds, &(struct gate){ ready[1], go[0] }));
		}
	}
	close(ready[1]);
	close(go[0]);
	/* One that fails before it is ready leaves the pipe's end sooner. */
	for (i = 0; i < n && read(ready[0], &c, 1) == 1; i++)
		;
	wait_for_test();
	close(go[1]);
	for (i = 0; i < n; i++) {
		while (wait(&status) < 0 && errno == EINTR)
			;
		good += !status;
	}
	return !check(good == n, "all processes end well", "%d of %d did", good, n);
}

/* Ends. */

static void victim(int ready)
{
	const size_t size = 4 * MIB;
	uint8_t *source = anonymous(size), *destination = anonymous(size);
	struct dsa_queue queue;
	unsigned int i;

	must_open(&queue, "wq0.0");
	random_fill(source, size);
	for (i = 0;; i++) {
		struct dsa_descriptor d;

		/* Always as many in flight as may be, always to pages that are not there. */
		if (i >= IN_FLIGHT && dsa_wait(&records[i % IN_FLIGHT], WAIT_MS) < 0)
			break;
		if (i % 4 == 0)
			madvise(destination, size, MADV_DONTNEED);
		dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, &records[i % IN_FLIGHT],
			     (uintptr_t)source + i % 4 * MIB, (uintptr_t)destination + i % 4 * MIB,
			     MIB);
		dsa_submit(queue.portal, &d);
		if (i == IN_FLIGHT && write(ready, "x", 1) != 1)
			break;
	}
	say("@fail the victim lives: its descriptors do not end");
	_exit(1);
}

int command_kill(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 4, round, status, opened;
	const size_t size = 32 * MIB;
	const char *why = NULL;

	for (round = 0; round < rounds && !why; round++) {
		uint64_t turns = random_u64() % 2000;
		struct dsa_queue queue;
		uint8_t *memory;
		int ready[2];
		pid_t pid;
		char c;

		if (pipe(ready))
			give_up("pipe");
		pid = fork();
		if (pid < 0)
			give_up("fork");
		if (pid == 0) {
			close(ready[0]);
			victim(ready[1]);
		}
		close(ready[1]);
		if (read(ready[0], &c, 1) != 1)
			why = "the victim did not start";
		close(ready[0]);
		while (turns--)
			sched_yield();
		kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		/* The dead process's pages are somebody else's now, and the device must know. */
		memory = anonymous(size);
		memset(memory, 0x5a, size);
		opened = dsa_open(&queue, "wq0.0");
		if (opened) {
			why = why ?: strerror(-opened);
		} else {
			why = why ?: copy(&queue, memory + MIB + 1, memory, MIB);
			dsa_close(&queue);
		}
		why = why ?: all_bytes(memory, 0x5a, size);
		munmap(memory, size);
	}
	return !result("processes killed with descriptors in flight leave no trace", why);
}

int command_storm(int argc, char **argv)
{
	unsigned int limit_ms = argc > 1 ? atoi(argv[1]) : 10000;
	const size_t size = 256 * KIB;
	uint8_t *source = anonymous(size), *destination = anonymous(size);
	struct dsa_queue queue;
	unsigned long done;

	must_open(&queue, "wq0.0");
	random_fill(source, size);
	for (done = 0;; done++) {
		struct dsa_descriptor d;
		int status;

		madvise(destination, size, MADV_DONTNEED);
		dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, &records[0], (uintptr_t)source,
			     (uintptr_t)destination, size);
		dsa_submit(queue.portal, &d);
		status = dsa_wait(&records[0], limit_ms);
		if (status != DSA_SUCCESS) {
			say("@value storm ended after %lu: %s", done,
			    status < 0 ? "no completion" : status_text(&records[0]));
			break;
		}
		if (memcmp(source, destination, size)) {
			say("@fail storm: copy %lu differs", done);
			break;
		}
		if (done == 3)
			say("@value storm started");
	}
	/* Closing waits for the device: nothing that could matter is behind it. */
	dsa_close(&queue);
	say("@value storm closed");
	return 0;
}

/*
 * Copies of `part` bytes, as many in flight as given, for about `ms`. How many a second; 0: failed.
 */
static unsigned long copies_per_second(struct dsa_queue *queue, uint8_t *destination,
				       const uint8_t *source, size_t part, unsigned int in_flight,
				       unsigned int ms)
{
	uint64_t begin = now_ms(), took = 0;
	unsigned long n = 0;
	unsigned int i;

	while (took < ms) {
		for (i = 0; i < in_flight; i++) {
			struct dsa_descriptor d;

			dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, &records[i],
				     (uintptr_t)source + i * part,
				     (uintptr_t)destination + i * part, part);
			dsa_submit(queue->portal, &d);
		}
		for (i = 0; i < in_flight; i++) {
			if (dsa_wait(&records[i], WAIT_MS) != DSA_SUCCESS)
				return 0;
		}
		n += in_flight;
		took = now_ms() - begin;
	}
	return n * 1000 / took;
}

int command_speed(int argc, char **argv)
{
	const unsigned int ms = argc > 1 ? atoi(argv[1]) : 1000;
	const size_t size = IN_FLIGHT * 64 * KIB;
	uint8_t *source = anonymous(size), *destination = anonymous(size);
	unsigned long one, many, big, pages = 0;
	struct dsa_queue queue;
	uint64_t begin, took = 0;
	const char *why;

	must_open(&queue, "wq0.0");
	random_fill(source, size);
	why = copy(&queue, destination, source, size);
	one = copies_per_second(&queue, destination, source, 4 * KIB, 1, ms);
	many = copies_per_second(&queue, destination, source, 4 * KIB, IN_FLIGHT, ms);
	big = copies_per_second(&queue, destination, source, 64 * KIB, IN_FLIGHT, ms);
	say("@value speed %lu copies of 4 KiB a second, one at a time", one);
	say("@value speed %lu copies of 4 KiB a second, %d in flight", many, IN_FLIGHT);
	say("@value speed %lu copies of 64 KiB a second, %d in flight", big, IN_FLIGHT);
	for (begin = now_ms(); !why && took < ms; took = now_ms() - begin) {
		madvise(destination, size, MADV_DONTNEED);
		why = copy(&queue, destination, source, size);
		pages += size / PAGE;
	}
	say("@value speed %lu page requests served a second", took ? pages * 1000 / took : 0);
	why = why ?: compare(destination, source, size);
	result("copies as fast as they go keep the data",
	       why ?: (one && many && big ? NULL : "a descriptor failed"));
	dsa_close(&queue);
	return !!why;
}
