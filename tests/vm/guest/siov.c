/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One of several guests that share a device: what it does in the background while others do theirs,
 * and what it tries.
 *
 *	sustain QUEUE &	copies and looks at the data until it is told to end
 *	kept N			that it has done N more rounds; "kept end" ends it
 *	rounds N QUEUE		that many rounds and no more
 *	hog N &			processes on queues 0 to N - 1 that always have all in flight
 *	bound N GOOD		N processes at once, of which GOOD find their memory by the device
 *	wild BDF PASID...	by vfio: descriptors with PASIDs that are not its own
 *
 * All processes have their memory at the same addresses, so that the guests' would be mistaken for
 * each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dsa.h"
#include "dsa_device.h"
#include "guest.h"
#include "vfio_device.h"

#define BASE      ((uint8_t *)0x200000000000)
#define PART      (64 * KIB) /* of one descriptor */
#define BYTES     (512 * KIB)
#define MARK      ((uint8_t *)BASE + 16 * MIB) /* written once, then only looked at */
#define MARK_SIZE (256 * KIB)
#define IN_FLIGHT 8
#define WAIT_MS   120000
#define DONE_MS   900000

/* What a process in the background tells the others, in /tmp/keep. */
struct kept {
	volatile uint64_t rounds;
	volatile uint32_t end;
	volatile uint32_t over;
	char why[256]; /* empty: all is well */
};

static struct kept *kept_map(void)
{
	int fd = open("/tmp/keep", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	if (fd < 0 || ftruncate(fd, PAGE))
		give_up("/tmp/keep");
	p = must_map(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	close(fd);
	return p;
}

struct worker {
	struct dsa_queue queue;
	uint8_t *source, *destination;
	uint64_t mark; /* what its mark is filled with */
	struct dsa_record records[IN_FLIGHT];
};

static uint8_t *map_at(uint8_t *at, size_t size)
{
	uint8_t *p = must_map(at, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);

	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static void worker_open(struct worker *w, const char *name)
{
	int error = dsa_open(&w->queue, name);
	uint64_t i;

	if (error) {
		say("@fail /dev/dsa/%s opens: %s", name, strerror(-error));
		_exit(1);
	}
	w->source = map_at(BASE, BYTES);
	w->destination = map_at(BASE + 4 * MIB, BYTES);
	map_at(MARK, MARK_SIZE);
	w->mark = random_u64();
	for (i = 0; i < MARK_SIZE / 8; i++)
		((uint64_t *)MARK)[i] = w->mark ^ i;
}

static const char *mark_lost(const struct worker *w)
{
	uint64_t i;

	for (i = 0; i < MARK_SIZE / 8; i++)
		if (((volatile uint64_t *)MARK)[i] != (w->mark ^ i))
			return "memory that nobody had to write has changed";
	return NULL;
}

static const char *status_why(const struct dsa_record *r, int status)
{
	static char why[128];

	snprintf(why, sizeof(why), "status %#x, result %#x, address %#lx", status, r->result,
		 (unsigned long)r->fault_address);
	return why;
}

static const char *copy(struct worker *w, size_t to, size_t from, size_t size)
{
	size_t at = 0, done = 0;
	unsigned int n = 0;

	while (done < size) {
		struct dsa_descriptor d;
		unsigned int i, first = n;

		for (i = 0; i < IN_FLIGHT && at < size; i++, n++) {
			size_t part = size - at < PART ? size - at : PART;

			dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT,
				     &w->records[n % IN_FLIGHT], (uintptr_t)w->source + from + at,
				     (uintptr_t)w->destination + to + at, part);
			dsa_submit(w->queue.portal, &d);
			at += part;
		}
		for (; first < n; first++) {
			struct dsa_record *r = &w->records[first % IN_FLIGHT];
			int status = dsa_wait(r, WAIT_MS);

			if (status != DSA_SUCCESS)
				return status_why(r, status);
		}
		done = at;
	}
	return NULL;
}

static const char *one_round(struct worker *w, uint64_t i)
{
	size_t size = 1 + random_u64() % (BYTES / 2);
	size_t from = random_u64() % (BYTES - size), to = random_u64() % (BYTES - size);
	const char *why;

	random_fill(w->source + from, size);
	if (i % 3 == 0)
		madvise(w->destination, BYTES, MADV_DONTNEED);
	why = copy(w, to, from, size);
	if (!why && memcmp(w->source + from, w->destination + to, size))
		why = "the data differs";
	return why ?: mark_lost(w);
}

int command_sustain(int argc, char **argv)
{
	struct kept *kept = kept_map();
	static struct worker w;
	const char *why = NULL;

	memset(kept, 0, sizeof(*kept));
	worker_open(&w, argc > 1 ? argv[1] : "wq0.0");
	while (!why && !kept->end) {
		why = one_round(&w, kept->rounds);
		kept->rounds++;
	}
	snprintf(kept->why, sizeof(kept->why), "%s", why ?: "");
	dsa_close(&w.queue);
	kept->over = 1;
	return !!why;
}

int command_kept(int argc, char **argv)
{
	bool ending = argc > 1 && !strcmp(argv[1], "end");
	struct kept *kept = kept_map();
	uint64_t until = kept->rounds + (argc > 1 ? atoi(argv[1]) : 1), end = now_ms() + DONE_MS;

	if (ending)
		kept->end = 1;
	while (now_ms() < end && !kept->over && (ending || kept->rounds < until))
		usleep(1000);
	say("@value rounds %lu", (unsigned long)kept->rounds);
	if (ending)
		return !check(kept->over && !kept->why[0], "all of its data was its own", "%s",
			      kept->over ? kept->why : "it does not end");
	return !check(!kept->over && kept->rounds >= until, "it copies on, and the data is its own",
		      "%s", kept->over ? kept->why : "it comes no further");
}

int command_rounds(int argc, char **argv)
{
	uint64_t n = argc > 1 ? atoi(argv[1]) : 10, i, begin = now_ms();
	static struct worker w;
	const char *why = NULL;

	worker_open(&w, argc > 2 ? argv[2] : "wq0.0");
	for (i = 0; i < n && !why; i++)
		why = one_round(&w, i);
	dsa_close(&w.queue);
	say("@value rounds_ms %lu", (unsigned long)(now_ms() - begin));
	return !result("a bounded number of rounds is done, and the data is its own", why);
}

/* Descriptors as large as may be, so many that the queue is never empty. */
static void hog(unsigned int number)
{
	static struct worker w;
	size_t size = 2 * MIB;
	uint8_t *from, *to;
	unsigned int i;
	char name[32];

	snprintf(name, sizeof(name), "wq0.%u", number);
	worker_open(&w, name);
	if (size > w.queue.max_size)
		size = w.queue.max_size;
	from = map_at(BASE + 32 * MIB, 2 * MIB);
	to = map_at(BASE + 64 * MIB, 2 * MIB);
	for (i = 0;; i++) {
		struct dsa_record *r = &w.records[i % IN_FLIGHT];
		struct dsa_descriptor d;

		if (i >= IN_FLIGHT && dsa_wait(r, WAIT_MS) != DSA_SUCCESS) {
			say("@fail hog: %s", status_why(r, r->status));
			_exit(1);
		}
		if (i == 2 * IN_FLIGHT)
			say("@value hog %u runs", number);
		dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, r, (uintptr_t)from, (uintptr_t)to,
			     size);
		dsa_submit(w.queue.portal, &d);
	}
}

int command_hog(int argc, char **argv)
{
	unsigned int n = argc > 1 ? atoi(argv[1]) : 1, i;

	for (i = 1; i < n; i++)
		if (!fork())
			hog(i);
	hog(0);
	return 1;
}

/* The error register's first word, as the driver last read it. */
static uint64_t last_error(void)
{
	char text[128];

	get_text("/sys/bus/dsa/devices/dsa0/errors", text, sizeof(text));
	return strtoull(text, NULL, 16);
}

/*
 * One descriptor. Without PASID on the host not even its record can be written: then the device's
 * error is about this queue. At most one queue has errors.
 */
static const char *copy_or_error(struct worker *w, unsigned int number)
{
	uint64_t end = now_ms() + WAIT_MS, error = 0;
	struct dsa_record *r = &w->records[0];
	struct dsa_descriptor d;

	dsa_describe(&d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, r, (uintptr_t)w->source,
		     (uintptr_t)w->destination, PART);
	dsa_submit(w->queue.portal, &d);
	while (!r->status && now_ms() < end) {
		error = last_error();
		if ((error & 1) && (error >> 16 & 0xff) == number)
			return "an error of the device";
		sched_yield();
	}
	return r->status == DSA_SUCCESS ? NULL : status_why(r, r->status);
}

/* It is bound, if the device finds its memory. All are there at once before any ends. */
static int bound_one(unsigned int number, int ready, int go)
{
	static struct worker w;
	const char *why;
	char name[32], c;

	snprintf(name, sizeof(name), "wq0.%u", number);
	worker_open(&w, name);
	random_fill(w.source, PART);
	memset(w.destination, 0, PART);
	why = copy_or_error(&w, number);
	if (!why && memcmp(w.source, w.destination, PART)) {
		say("@fail process %u's data is its own: it differs", number);
		why = "it differs";
	}
	say("@note process %u: %s", number, why ?: "bound");
	c = why ? 'n' : 'y';
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 0)
		give_up("pipe");
	dsa_close(&w.queue);
	return 0;
}

int command_bound(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1, good = argc > 2 ? atoi(argv[2]) : n, i, have = 0;
	int ready[2], go[2];
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
			_exit(bound_one(i, ready[1], go[0]));
		}
	}
	close(ready[1]);
	close(go[0]);
	for (i = 0; i < n && read(ready[0], &c, 1) == 1; i++)
		have += c == 'y';
	check(i == n && have == good, "as many processes as may be are bound", "%d of %d are", have,
	      i);
	wait_for_test();
	close(go[1]);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return have != good;
}

/* ---- By vfio ---- */

struct raw {
	struct vfio_device device;
	struct dsa_device dsa;
};

/* Queue 0, dedicated, with this PASID (or without), for the group with engine 0. 0 or an error. */
static int queue_with(struct raw *r, int64_t pasid)
{
	uint64_t capability = dsa_read64(&r->dsa, REG_GENCAP);
	uint32_t queue = dsa_queue_at(&r->dsa, 0), group = dsa_group(&r->dsa, 0);
	int error;

	error = dsa_command(&r->dsa, CMD_RESET_DEVICE, 0);
	if (error)
		return error;
	dsa_write32(&r->dsa, queue, 8);
	dsa_write32(&r->dsa, queue + 4, 0);
	dsa_write32(&r->dsa, queue + 8,
		    1 | 10 << 4 | (pasid >= 0 ? 1 << 28 | (uint32_t)pasid << 8 : 0));
	dsa_write32(&r->dsa, queue + 12, (capability >> 16 & 31) | (capability >> 21 & 15) << 5);
	dsa_write64(&r->dsa, group, 1);
	dsa_write64(&r->dsa, group + 32, 1);
	error = dsa_command(&r->dsa, CMD_ENABLE_DEVICE, 0);
	return error ?: dsa_command(&r->dsa, CMD_ENABLE_QUEUE, 0);
}

static void submit_fill(struct raw *r, uint64_t address, uint64_t record)
{
	static struct dsa_record unused __attribute__((aligned(32)));
	struct dsa_descriptor d;

	dsa_describe(&d, DSA_FILL, 0, &unused, 0x6666666666666666, address, PAGE);
	d.record = record;
	dsa_submit(r->dsa.portals + PAGE, &d);
}

/*
 * A fill of memory that is not there, and its completion record neither: so it says by the error
 * register alone that the descriptor was tried, by which queue and with which PASID.
 */
static const char *vanishes(struct raw *r, int64_t pasid, uint64_t address)
{
	static char why[160];
	uint64_t record = address + 8192;
	struct dsa_swerror e;

	submit_fill(r, address, record);
	e = dsa_swerror_take(&r->dsa);
	if (e.valid && e.code == DSA_RECORD_FAULT && !e.queue &&
	    e.pasid == (uint32_t)(pasid < 0 ? 0 : pasid) && e.address == record)
		return NULL;
	snprintf(why, sizeof(why), "%s code %#x, queue %u, PASID %u, address %#lx, wanted %#lx",
		 e.valid ? "software error" : "no software error", e.code, e.queue, e.pasid,
		 (unsigned long)e.address, (unsigned long)record);
	return why;
}

/* Memory of its own is reached: what is tried after this would reach others', if it could. */
static void reaches_its_own(struct raw *r)
{
	static const uint32_t rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	const uint64_t iova = 0x7fff0000;
	uint8_t *memory = map_at(BASE, 2 * PAGE);
	struct dsa_record *record = (struct dsa_record *)(memory + PAGE);
	int failed, status = -1;
	size_t i = 0;

	memset(memory, 0, 2 * PAGE);
	failed = vfio_map(&r->device, memory, iova, 2 * PAGE, rw) ?: queue_with(r, -1);
	if (!failed) {
		submit_fill(r, iova, iova + PAGE);
		status = dsa_wait(record, WAIT_MS);
		while (i < PAGE && memory[i] == 0x66)
			i++;
	}
	check(status == DSA_SUCCESS && i == PAGE, "its own memory it reaches",
	      "error %d, status %#x, %zu bytes are filled", failed, status, i);
}

/* The function has no PASID now, or it has: the unit of the guest may be asked for any. */
int command_wild(int argc, char **argv)
{
	static const uint64_t addresses[] = { 0x200000000000 + 16 * MIB, 0x10000000, 0x1000 };
	const char *why;
	struct raw r;
	char name[128];
	uint64_t size;
	size_t k;
	int i, failed;

	vfio_take(argv[1]);
	vfio_open(&r.device, argv[1]);
	r.dsa.registers = vfio_map_region(&r.device, VFIO_PCI_BAR0_REGION_INDEX, &size);
	r.dsa.portals = vfio_map_region(&r.device, VFIO_PCI_BAR2_REGION_INDEX, &size);
	vfio_enable_master(&r.device);
	reaches_its_own(&r);
	for (i = 2; i < argc; i++) {
		int64_t pasid = !strcmp(argv[i], "none") ? -1 : strtol(argv[i], NULL, 0);

		snprintf(name, sizeof(name), "PASID %s reaches nothing", argv[i]);
		failed = queue_with(&r, pasid);
		why = failed ? "the queue is not enabled" : NULL;
		for (k = 0; k < ARRAY_SIZE(addresses) && !why; k++)
			why = vanishes(&r, pasid, addresses[k]);
		result(name, why);
	}
	return 0;
}
