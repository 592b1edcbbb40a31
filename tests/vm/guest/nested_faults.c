/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested faults: pages that are missing in the inner tables are asked for by page requests, which
 * come to this program through the kernel's fault queue, and which it answers.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nested.h"

#define MISSING_VA 0x0000710000000000UL
#define USERS      4

struct queue {
	int fd;
	uint32_t id;
};

static bool readable(const struct queue *q, int ms)
{
	struct pollfd wait = { .fd = q->fd, .events = POLLIN };

	return poll(&wait, 1, ms) == 1;
}

/* The next fault; false when there is none within the time. */
static bool next_fault(const struct queue *q, struct iofd_fault *f)
{
	return readable(q, DSA_WAIT_MS) && read(q->fd, f, sizeof(*f)) == sizeof(*f);
}

static int answer(const struct queue *q, uint32_t cookie, uint32_t code)
{
	struct iofd_response r = { .cookie = cookie, .code = code };
	ssize_t n = write(q->fd, &r, sizeof(r));

	return n == sizeof(r) ? 0 : n < 0 ? -errno : -EIO;
}

static bool about(const struct iofd_fault *f, const struct user *u, uint64_t addr, uint32_t access)
{
	return f->device == u->n->device && f->pasid == u->pasid && (f->flags & IOFD_FAULT_PASID) &&
	       (f->flags & IOFD_FAULT_LAST) && f->addr == (addr & ~(PAGE - 1)) &&
	       (f->access & access) == access;
}

/* Expects a fault, maps a page there, answers success. */
static bool serve(struct user *u, const struct queue *q, uint64_t addr, uint32_t access,
		  const char *name)
{
	struct iofd_fault f = { .flags = 0 };
	int error;

	if (!next_fault(q, &f) || !about(&f, u, addr, access))
		return check(false, name, "flags %#x, device %u, PASID %u, access %#x, at %#lx",
			     f.flags, f.device, f.pasid, f.access, (unsigned long)f.addr);
	inner_map(&u->space, addr & ~(PAGE - 1), page_new(u->n), 1, INNER_PAGE);
	error = answer(q, f.cookie, IOFD_SUCCESS);
	return check(!error, name, "the answer: %s", strerror(-error));
}

/* A move of 64 bytes that waits for pages. */
static void begin(struct user *u, struct dsa_descriptor *d, uint64_t source, uint64_t destination)
{
	describe(u, d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, source, destination, 64);
	submit(u, d);
}

static void end(struct user *u, const struct dsa_descriptor *d, const char *name)
{
	int status;

	status = complete(u, d);
	check(status == DSA_SUCCESS && !memcmp(inner_at(&u->space, d->destination),
					       inner_at(&u->space, d->source), 64),
	      name, "status %#x", status);
}

static void served(struct user *u, const struct queue *q)
{
	struct dsa_descriptor d;

	begin(u, &d, MISSING_VA + 100, DATA_VA);
	serve(u, q, MISSING_VA, IOFD_FAULT_READ, "a missing source page is asked for");
	end(u, &d, "when it is there it is moved");
	begin(u, &d, DATA_VA, MISSING_VA + 8 * PAGE + 77);
	serve(u, q, MISSING_VA + 8 * PAGE, IOFD_FAULT_WRITE,
	      "a missing destination page is asked for");
	end(u, &d, "when it is there it is moved to");
	inner_map(&u->space, MISSING_VA + 9 * PAGE, page_new(u->n), 1, INNER_P | INNER_US);
	begin(u, &d, DATA_VA, MISSING_VA + 9 * PAGE);
	serve(u, q, MISSING_VA + 9 * PAGE, IOFD_FAULT_WRITE,
	      "a read-only destination page is asked for");
	end(u, &d, "when it may be written it is moved to");
	/* The record is asked for whether or not the descriptor blocks on faults. */
	describe(u, &d, DSA_MEMMOVE, 0, DATA_VA, DATA_VA + 64, 64);
	d.record = MISSING_VA + 10 * PAGE;
	submit(u, &d);
	serve(u, q, MISSING_VA + 10 * PAGE, IOFD_FAULT_WRITE, "a missing record page is asked for");
	check(complete(u, &d) == DSA_SUCCESS, "when it is there the record is written",
	      "status %#x", record_of(u, &d)->status);
}

/* Every page of a large move, one after the other. */
static void populate(struct user *u, const struct queue *q)
{
	const uint64_t to = MISSING_VA + HUGE;
	const uint32_t bytes = 64 * PAGE;
	struct dsa_descriptor d;
	struct iofd_fault f;
	unsigned int faults = 0;
	int status;

	describe(u, &d, DSA_MEMMOVE, DSA_BLOCK_ON_FAULT, DATA_VA, to, bytes);
	submit(u, &d);
	while (!record_of(u, &d)->status && faults < 65) {
		if (!readable(q, 20))
			continue;
		if (!next_fault(q, &f) || f.addr - to >= bytes)
			break;
		inner_map(&u->space, f.addr, page_new(u->n), 1, INNER_PAGE);
		answer(q, f.cookie, IOFD_SUCCESS);
		faults++;
	}
	status = complete(u, &d);
	check(status == DSA_SUCCESS && faults == 64, "64 missing pages are served one by one",
	      "status %#x, %u faults", status, faults);
	/* The pages came after the copy was made. */
	model_take(u->n);
	model_copy(&u->space, to, &u->space, DATA_VA, bytes);
	model_check(u->n, "and all of them have the data");
}

static void answered_invalid(struct user *u, const struct queue *q)
{
	const uint64_t addr = MISSING_VA + 20 * PAGE;
	struct dsa_descriptor d;
	struct iofd_fault f = { .flags = 0 };
	uint64_t fault;
	int status;

	model_take(u->n);
	begin(u, &d, addr, DATA_VA);
	if (!check(next_fault(q, &f) && about(&f, u, addr, IOFD_FAULT_READ),
		   "one more page is asked for", "at %#lx", (unsigned long)f.addr))
		return;
	check_error(answer(q, f.cookie + 1000, IOFD_SUCCESS), EINVAL,
		    "an answer to a request that is none is refused");
	check_error(answer(q, f.cookie, 2), EINVAL, "an answer that is none is refused");
	check(write(q->fd, &f, 12) < 0 && errno == ESPIPE, "half an answer is refused", "%s",
	      strerror(errno));
	check_error(answer(q, f.cookie, IOFD_INVALID), 0, "it is answered with invalid");
	status = complete(u, &d);
	fault = record_of(u, &d)->fault_address;
	check(status == DSA_REQUEST_INVALID && fault / PAGE == addr / PAGE,
	      "the record says that the request was invalid, and where", "status %#x at %#lx",
	      status, (unsigned long)fault);
	model_check(u->n, "and nothing was moved");
	check_error(answer(q, f.cookie, IOFD_SUCCESS), EINVAL, "a second answer is refused");

	begin(u, &d, addr, DATA_VA);
	next_fault(q, &f);
	answer(q, f.cookie, IOFD_SUCCESS);
	check(next_fault(q, &f) && about(&f, u, addr, IOFD_FAULT_READ),
	      "success without a page is asked again", "at %#lx", (unsigned long)f.addr);
	answer(q, f.cookie, IOFD_INVALID);
	status = complete(u, &d);
	check(status == DSA_REQUEST_INVALID, "until that is answered with invalid", "status %#x",
	      status);
}

/* The kernel answers itself what no page can be for. */
static void not_canonical(struct user *u, const struct queue *q)
{
	struct dsa_descriptor d;
	int status;

	begin(u, &d, 0x1234UL << 48, DATA_VA);
	status = complete(u, &d);
	check(status > DSA_SUCCESS && !readable(q, 0),
	      "an address that is not canonical fails and asks for nothing", "status %#x", status);
}

/* Groups of several PASIDs, all open at once, answered in reverse. */
static void several(struct user *u, const struct queue *q)
{
	const uint64_t addr = MISSING_VA + 30 * PAGE;
	struct iofd_fault f[USERS], *of[USERS] = { NULL };
	struct dsa_descriptor d[USERS];
	unsigned int i, j, got = 0;
	uint64_t end_ms = now_ms() + DSA_WAIT_MS;

	for (i = 0; i < USERS; i++)
		begin(&u[i], &d[i], DATA_VA, addr);
	while (got < USERS && now_ms() < end_ms) {
		ssize_t n;

		if (!readable(q, DSA_WAIT_MS))
			break;
		n = read(q->fd, &f[got], (USERS - got) * sizeof(f[0]));
		got += n > 0 ? n / sizeof(f[0]) : 0;
	}
	for (i = 0; i < got; i++) {
		for (j = 0; j < USERS; j++) {
			if (about(&f[i], &u[j], addr, IOFD_FAULT_WRITE))
				of[j] = &f[i];
		}
	}
	if (!check(got == USERS && of[0] && of[1] && of[2] && of[3],
		   "four PASIDs wait for the same address at once", "%u faults", got))
		return;
	for (i = USERS; i--;) {
		inner_map(&u[i].space, addr, page_new(u->n), 1, INNER_PAGE);
		answer(q, of[i]->cookie, IOFD_SUCCESS);
	}
	for (i = 0; i < USERS; i++) {
		if (complete(&u[i], &d[i]) != DSA_SUCCESS ||
		    memcmp(inner_at(&u[i].space, addr), inner_at(&u[i].space, DATA_VA), 64))
			break;
	}
	check(i == USERS, "and each goes on with its own page", "not PASID %u",
	      i < USERS ? u[i].pasid : 0);
}

static void detached(struct user *u, const struct queue *q)
{
	const uint64_t addr = MISSING_VA + 40 * PAGE;
	struct iofd_fault f = { .flags = 0 };
	struct dsa_descriptor d;
	struct dsa_swerror e;

	model_take(u->n);
	begin(u, &d, addr, DATA_VA);
	u->n->model[(uint8_t *)record_of(u, &d) - u->n->ram] = 0;
	next_fault(q, &f);
	check_error(detach(u->n, u->pasid), 0, "a PASID that waits for a page is detached");
	e = dsa_swerror_take(&u->n->dsa);
	check(e.valid && e.code == DSA_RECORD_FAULT && e.pasid == u->pasid && e.address == d.record,
	      "its record cannot be written then, the device has an error for that",
	      "code %#x, PASID %u, address %#lx", e.code, e.pasid, (unsigned long)e.address);
	model_check(u->n, "nothing was moved, and no record was written");
	check_error(answer(q, f.cookie, IOFD_SUCCESS), EINVAL, "the answer comes too late");
	check_error(attach(u->n, u->page_table, u->pasid), 0, "the PASID is attached again");
	moves(u, DATA_VA, DATA_VA + PAGE, 64, "and moves again");
}

/* The page table is replaced while the device waits; the new one has the page or not. */
static void replaced(struct user *u, const struct queue *q)
{
	const uint64_t addr = MISSING_VA + 50 * PAGE;
	struct iofd_fault f = { .flags = 0 };
	uint32_t old = u->page_table;
	struct dsa_descriptor d;
	uint64_t end_ms;
	int error;

	begin(u, &d, addr, DATA_VA);
	next_fault(q, &f);
	error = hwpt_nested(u->n, &u->space, IOFD_HWPT_FAULTS, q->id, &u->page_table);
	check_error(error ?: attach(u->n, u->page_table, u->pasid), 0,
		    "the page table is replaced while a page is waited for");
	check_error(answer(q, f.cookie, IOFD_SUCCESS), EINVAL,
		    "the kernel has answered in our place");
	/* Its record is written by the new table, or was tried while there was none. */
	for (end_ms = now_ms() + DSA_WAIT_MS; now_ms() < end_ms; usleep(1000))
		if (record_of(u, &d)->status || dsa_read64(&u->n->dsa, REG_SWERROR) & 1)
			break;
	check(now_ms() < end_ms && record_of(u, &d)->status != DSA_SUCCESS, "the move has failed",
	      now_ms() < end_ms ? "it has not" : "it has not ended");
	if (dsa_read64(&u->n->dsa, REG_SWERROR) & 1)
		dsa_swerror_take(&u->n->dsa);
	check_error(destroy(u->n, old), 0, "the former page table is destroyed");
	begin(u, &d, addr, DATA_VA);
	serve(u, q, addr, IOFD_FAULT_READ, "the new one reports faults, too");
	end(u, &d, "and they are served");
}

int nested_faults(const char *bdf)
{
	struct iofd_fault_queue made = { .size = sizeof(made) };
	struct user u[USERS];
	struct iofd_fault f;
	struct nested n;
	struct queue q;
	unsigned int i;

	nested_open(&n, bdf, 0);
	check_error(iofd(n.iommu, IOFD_FAULT_QUEUE, &made), 0, "a fault queue is made");
	q = (struct queue){ .fd = made.out_fd, .id = made.out_id };
	check(!readable(&q, 0) && read(q.fd, &f, sizeof(f)) == 0, "it is empty", "it is not");
	check(read(q.fd, &f, 16) < 0 && errno == ESPIPE, "half a fault is not read", "%s",
	      strerror(errno));
	for (i = 0; i < USERS; i++) {
		user_new(&n, &u[i], i, 30 + i, i % 2 ? 5 : 4);
		inner_fill(&u[i].space, DATA_VA, 64);
		user_attach(&u[i], IOFD_HWPT_FAULTS, q.id);
	}
	served(&u[0], &q);
	populate(&u[1], &q);
	answered_invalid(&u[0], &q);
	not_canonical(&u[0], &q);
	several(u, &q);
	detached(&u[1], &q);
	replaced(&u[2], &q);
	check_error(destroy(&n, q.id), EBUSY, "a fault queue in use is not destroyed");
	for (i = 0; i < USERS; i++) {
		detach(&n, u[i].pasid);
		destroy(&n, u[i].page_table);
	}
	check_error(destroy(&n, q.id), EBUSY, "nor one whose descriptor is open");
	close(q.fd);
	check_error(destroy(&n, q.id), 0, "then it is destroyed");
	return 0;
}
