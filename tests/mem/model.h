/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A script of calls on one memory, decoded from bytes, each checked against a model that is an
 * array of pages and an array of bytes. The property test feeds it random bytes, the fuzz target
 * whatever it finds. A disagreement is a failed VIOMMU_ASSERT.
 *
 * The guest has PAGES pages at the bottom of the address space and as many at the very top. Behind
 * them lie BACKING pages of bytes, the first half in a file, the second half in an array: regions
 * show them at any number of guest addresses.
 */
#ifndef VIOMMU_TEST_MEM_MODEL_H
#define VIOMMU_TEST_MEM_MODEL_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bits.h"
#include "fuzz/fuzz.h"
#include "mem/mem.h"

#define MODEL_PAGE    UINT64_C(4096)
#define MODEL_PAGES   512u
#define MODEL_BACKING 16u
#define MODEL_FILE    (MODEL_BACKING / 2)
#define MODEL_TOP     (UINT64_C(1) << 52)
#define MODEL_OPS     150u /* calls in one script; additions by the dozen count as some */
#define MODEL_DOZEN   2u

enum model_op {
	OP_ADD_FD,
	OP_ADD_PTR,
	OP_ADD_MANY,
	OP_REMOVE,
	OP_READ,
	OP_WRITE,
	OP_LOAD,
	OP_STORE,
	OP_CAS,
	OP_NEXT,
	OP_HAS_HOST,
	OP_PTR,
	OP_FAIL_ALLOC,
	OP_LISTEN,
	OP_SECTION,
	OP_NR,
};

/* What came up, for a test to assert that it did. */
struct model_stats {
	uint64_t ok[OP_NR];
	uint64_t error[OP_NR];
	uint64_t no_memory;
	uint64_t refused;
	uint64_t most; /* regions at a time */
};

struct model_region {
	bool there;
	bool read_only;
	unsigned int pages;
	unsigned int backing;
	char *host;
};

struct model {
	struct fuzz_input *in;
	struct model_stats *stats;
	struct viommu_mem *mem;
	struct viommu__mem_listener listener;
	bool listening;
	bool in_section; /* one that stays open over additions */
	unsigned token;
	unsigned int refuse_in; /* calls of added() until one is refused; 0: none */
	bool refused;
	bool alloc_failed; /* in the call just made */
	unsigned int fail_alloc;
	uint64_t regions;
	uint64_t told; /* regions that the listener knows */
	/* By number of the first page; `owner` by number of any page, MODEL_NONE for a hole. */
	struct model_region region[2 * MODEL_PAGES];
	uint16_t owner[2 * MODEL_PAGES];
	uint8_t bytes[MODEL_BACKING * 4096];
};

#define MODEL_NONE 0xffff

static char model_arena[MODEL_FILE * 4096] __attribute__((aligned(4096)));

/* The file, and our own view of it: made once, filled anew by each script. */
static int model_file(char **view)
{
	static int fd = -1;
	static char *p;

	if (fd < 0) {
		fd = memfd_create("viommu-test-model", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		VIOMMU_ASSERT(fd >= 0 && !ftruncate(fd, MODEL_FILE * 4096) &&
			      !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
		p = mmap(NULL, MODEL_FILE * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		VIOMMU_ASSERT(p != MAP_FAILED);
	}
	*view = p;
	return fd;
}

/* The number of the page at gpa, or MODEL_NONE. */
static unsigned int model_page(uint64_t gpa)
{
	if (gpa < MODEL_PAGES * MODEL_PAGE)
		return (unsigned int)(gpa / MODEL_PAGE);
	if (gpa >= MODEL_TOP - MODEL_PAGES * MODEL_PAGE && gpa < MODEL_TOP)
		return (unsigned int)((gpa - (MODEL_TOP - 2 * MODEL_PAGES * MODEL_PAGE)) /
				      MODEL_PAGE);
	return MODEL_NONE;
}

static uint64_t model_gpa(unsigned int page)
{
	if (page < MODEL_PAGES)
		return page * MODEL_PAGE;
	return MODEL_TOP - (2 * MODEL_PAGES - page) * MODEL_PAGE;
}

/* A page number that is likely to be near others. */
static unsigned int model_pick(struct model *m)
{
	unsigned int v = fuzz_u8(m->in);

	if (v < 0xe0)
		return v % 48;
	return fuzz_u16(m->in) % (2 * MODEL_PAGES);
}

/* An address in a page, or one that is anything at all. */
static uint64_t model_pick_gpa(struct model *m)
{
	unsigned int v = fuzz_u8(m->in);
	uint64_t gpa;

	if (v == 0xff)
		return fuzz_u64(m->in);
	gpa = model_gpa(model_pick(m));
	switch (v % 4) {
	case 0:
		return gpa;
	case 1:
		return gpa + 4096 - v / 4;
	case 2:
		return gpa + v / 4 * 8;
	default:
		return gpa + fuzz_u16(m->in) % 4096;
	}
}

/* The byte at gpa in the model, or NULL. */
static uint8_t *model_byte(struct model *m, uint64_t gpa, bool write)
{
	unsigned int page = model_page(gpa);
	struct model_region *r;

	if (page == MODEL_NONE || m->owner[page] == MODEL_NONE)
		return NULL;
	r = &m->region[m->owner[page]];
	if (write && r->read_only)
		return NULL;
	return &m->bytes[(r->backing + page - m->owner[page]) * MODEL_PAGE + gpa % MODEL_PAGE];
}

static int model_added(struct viommu__mem_listener *l, const struct viommu_mem_region *r)
{
	struct model *m = list_entry(l, struct model, listener);

	VIOMMU_ASSERT(r->bytes && !r->lost);
	if (m->refuse_in && !--m->refuse_in) {
		m->refused = true;
		return -EBUSY;
	}
	m->told++;
	return 0;
}

static void model_removed(struct viommu__mem_listener *l, const struct viommu_mem_region *r)
{
	struct model *m = list_entry(l, struct model, listener);
	unsigned int page = model_page(r->gpa);

	VIOMMU_ASSERT(page != MODEL_NONE && m->told);
	m->told--;
}

/* Around a call that may allocate. */
static void model_call_begin(struct model *m)
{
	m->refused = false;
	viommu__alloc_fail_nth(m->fail_alloc);
	m->fail_alloc = 0;
}

static void model_call_end(struct model *m, enum model_op op, int ret)
{
	m->alloc_failed = viommu__alloc_fail_done();
	if (ret)
		m->stats->error[op]++;
	else
		m->stats->ok[op]++;
	m->stats->no_memory += ret == -ENOMEM;
	m->stats->refused += ret == -EBUSY;
}

/* What an addition has to return, memory and listener permitting. */
static int model_add_expect(struct model *m, uint64_t gpa, uint64_t bytes, uint64_t backing,
			    uint64_t backing_end, uint32_t flags, int beyond)
{
	unsigned int first, i;

	if (gpa % MODEL_PAGE || bytes % MODEL_PAGE || !bytes || backing % MODEL_PAGE ||
	    (flags & ~VIOMMU_MEM_READ_ONLY) || gpa > MODEL_TOP || bytes > MODEL_TOP - gpa)
		return -EINVAL;
	/* Picks are such that a valid region lies in the pages. */
	first = model_page(gpa);
	for (i = 0; i < bytes / MODEL_PAGE; i++)
		if (m->owner[first + i] != MODEL_NONE)
			return -EEXIST;
	if (backing + bytes > backing_end)
		return beyond;
	return 0;
}

static void model_add(struct model *m, enum model_op op, uint64_t gpa, uint64_t bytes,
		      uint64_t backing, uint32_t flags)
{
	struct viommu_mem_region r;
	struct model_region *mr;
	unsigned int page, i;
	int ret, expect, fd;
	char *view;

	if (op == OP_ADD_FD) {
		fd = model_file(&view);
		expect = model_add_expect(m, gpa, bytes, backing, MODEL_FILE * MODEL_PAGE, flags,
					  -ENXIO);
		model_call_begin(m);
		ret = viommu_mem_add_fd(m->mem, gpa, bytes, fd, backing, flags);
	} else {
		/* Pointers cannot be beyond anything: keep them in the array. */
		if (backing + bytes > sizeof(model_arena))
			backing = 0;
		if (bytes > sizeof(model_arena))
			return;
		expect = model_add_expect(m, gpa, bytes, backing, UINT64_MAX, flags, 0);
		model_call_begin(m);
		ret = viommu_mem_add_ptr(m->mem, gpa, bytes, model_arena + backing, flags);
	}
	model_call_end(m, op, ret);
	if (ret == -ENOMEM) {
		VIOMMU_ASSERT(m->alloc_failed && expect != -EINVAL);
		return;
	}
	if (expect == 0 && m->refused)
		expect = -EBUSY;
	VIOMMU_ASSERT(ret == expect);
	if (ret)
		return;
	page = model_page(gpa);
	mr = &m->region[page];
	mr->there = true;
	mr->read_only = flags & VIOMMU_MEM_READ_ONLY;
	mr->pages = (unsigned int)(bytes / MODEL_PAGE);
	mr->backing = (unsigned int)(backing / MODEL_PAGE) + (op == OP_ADD_FD ? 0 : MODEL_FILE);
	for (i = 0; i < mr->pages; i++)
		m->owner[page + i] = (uint16_t)page;
	VIOMMU_ASSERT(!viommu_mem_next(m->mem, gpa, &r) && r.gpa == gpa && r.bytes == bytes &&
		      r.flags == flags && !r.lost);
	VIOMMU_ASSERT(op == OP_ADD_FD || (char *)r.host == model_arena + backing);
	mr->host = r.host;
	m->regions++;
	m->stats->most = max_u64(m->stats->most, m->regions);
}

static void model_op_add(struct model *m, enum model_op op)
{
	unsigned int page = model_pick(m), shape = fuzz_u8(m->in), pages = 1 + shape % 4;
	uint64_t gpa = model_gpa(page), bytes, backing;
	uint32_t flags = fuzz_u8(m->in) % 2 ? VIOMMU_MEM_READ_ONLY : 0;

	backing = shape / 4 % 16 % MODEL_FILE * MODEL_PAGE;
	bytes = pages * MODEL_PAGE;
	/* Not out of the model's pages, save over the top of the address space. */
	if (page < MODEL_PAGES && page + pages > MODEL_PAGES)
		bytes = MODEL_PAGE;
	if (shape >= 0xf0) {
		/* Something wrong with it. */
		switch (shape % 8) {
		case 0:
			gpa += 8;
			break;
		case 1:
			bytes -= 1;
			break;
		case 2:
			bytes = 0;
			break;
		case 3:
			flags |= 1u << (1 + fuzz_u8(m->in) % 31);
			break;
		case 4:
			backing += 512;
			break;
		case 5:
			bytes = -MODEL_PAGE;
			break;
		case 6:
			gpa += MODEL_TOP;
			break;
		case 7:
			gpa = -MODEL_PAGE;
			break;
		}
	}
	model_add(m, op, gpa, bytes, backing, flags);
}

/* How many. */
static unsigned int model_op_add_many(struct model *m)
{
	unsigned int page = model_pick(m), n = fuzz_u8(m->in), stride = 1 + fuzz_u8(m->in) % 3, i;

	/* Seldom enough to split leaves of the index. */
	if (n < 0xf0)
		n %= 8;
	for (i = 0; i < n; i++, page += stride)
		if (page < 2 * MODEL_PAGES)
			model_add(m, OP_ADD_PTR, model_gpa(page), MODEL_PAGE,
				  i % MODEL_FILE * MODEL_PAGE, 0);
	return n;
}

/* A removal would wait for us. */
static void model_leave(struct model *m)
{
	if (m->in_section)
		viommu__mem_leave(m->mem, m->token);
	m->in_section = false;
}

static void model_op_section(struct model *m)
{
	bool enter = !m->in_section;

	model_leave(m);
	if (enter)
		m->token = viommu__mem_enter(m->mem);
	m->in_section = enter;
	model_call_end(m, OP_SECTION, !enter);
}

static void model_op_remove(struct model *m)
{
	uint64_t gpa = model_gpa(model_pick(m)), bytes, end, start, stop;
	unsigned int shape = fuzz_u8(m->in), found = 0, partly = 0, page, i;
	int ret, expect;
	bool wraps;

	if (shape < 0xc0) {
		bytes = shape % 8 * MODEL_PAGE;
	} else if (shape < 0xe0) {
		bytes = (shape & 31) * 16 * MODEL_PAGE;
	} else if (shape < 0xf8) {
		/* It need not be aligned: from and to somewhere in a hole, if it is one. */
		bytes = (shape & 31) * 16 * MODEL_PAGE + 1;
		gpa -= gpa ? fuzz_u8(m->in) : 0;
	} else {
		gpa = fuzz_u64(m->in);
		bytes = fuzz_u64(m->in);
	}
	wraps = add_overflows(gpa, bytes, &end);
	for (page = 0; page < 2 * MODEL_PAGES && !wraps; page++) {
		if (!m->region[page].there)
			continue;
		start = model_gpa(page);
		stop = start + m->region[page].pages * MODEL_PAGE;
		if (start >= gpa && stop <= end)
			found++;
		else if (start < end && stop > gpa)
			partly++;
	}
	if (!bytes || wraps || partly)
		expect = -EINVAL;
	else
		expect = found ? 0 : -ENOENT;
	model_leave(m);
	model_call_begin(m);
	ret = viommu_mem_remove(m->mem, gpa, bytes);
	model_call_end(m, OP_REMOVE, ret);
	VIOMMU_ASSERT(ret == expect);
	if (ret)
		return;
	for (page = 0; page < 2 * MODEL_PAGES; page++) {
		start = model_gpa(page);
		if (!m->region[page].there || start < gpa || start >= end)
			continue;
		for (i = 0; i < m->region[page].pages; i++)
			m->owner[page + i] = MODEL_NONE;
		m->region[page].there = false;
		m->regions--;
	}
}

static size_t model_pick_size(struct model *m)
{
	unsigned int v = fuzz_u8(m->in);

	return v < 0x80 ? v % 17 : v < 0xf0 ? v * 8 : 4096 * (v & 3);
}

/* How many of n bytes from gpa are there, in the model; *p: the first of them in its page. */
static size_t model_run_of(struct model *m, uint64_t gpa, size_t n, bool write, uint8_t **p)
{
	*p = model_byte(m, gpa, write);
	return *p ? min_u64(n, MODEL_PAGE - gpa % MODEL_PAGE) : 0;
}

static void model_op_read(struct model *m)
{
	static uint8_t buf[16384], expect[16384];
	uint64_t gpa = model_pick_gpa(m);
	size_t n = model_pick_size(m), i, run;
	uint8_t *p;
	int ret;

	memset(buf, 0xa5, n + 1);
	for (i = 0; (run = model_run_of(m, gpa + i, n - i, false, &p)) != 0; i += run)
		memcpy(expect + i, p, run);
	ret = viommu_mem_read(m->mem, gpa, buf, n);
	model_call_end(m, OP_READ, ret);
	VIOMMU_ASSERT(ret == (i == n ? 0 : -EFAULT));
	VIOMMU_ASSERT(!memcmp(buf, expect, i));
	VIOMMU_ASSERT(buf[n] == 0xa5);
}

static void model_op_write(struct model *m)
{
	static uint8_t pattern[16384 + 256];
	uint64_t gpa = model_pick_gpa(m);
	size_t n = model_pick_size(m), i, run;
	uint8_t *buf = pattern + fuzz_u8(m->in), *p;
	int ret;

	for (i = 0; !pattern[1] && i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8));
	/* In order, because aliases may overlap; up to the hole, because that is what we do. */
	for (i = 0; (run = model_run_of(m, gpa + i, n - i, true, &p)) != 0; i += run)
		memcpy(p, buf + i, run);
	ret = viommu_mem_write(m->mem, gpa, buf, n);
	model_call_end(m, OP_WRITE, ret);
	VIOMMU_ASSERT(ret == (i == n ? 0 : -EFAULT));
}

static void model_op_word(struct model *m, enum model_op op)
{
	uint64_t gpa = model_pick_gpa(m), value = fuzz_u8(m->in), now = 0, word;
	uint8_t *p = model_byte(m, gpa, op != OP_LOAD);
	int ret, expect = 0;

	if (gpa % 8)
		expect = -EINVAL;
	else if (!p)
		expect = -EFAULT;
	else
		memcpy(&now, p, 8);
	value *= UINT64_C(0x0101010101010101);
	switch (op) {
	case OP_LOAD:
		word = value;
		ret = viommu_mem_load64(m->mem, gpa, &word);
		VIOMMU_ASSERT(word == (ret ? value : now));
		break;
	case OP_STORE:
		ret = viommu_mem_store64(m->mem, gpa, value);
		if (!expect)
			memcpy(p, &value, 8);
		break;
	default:
		/* Half of the time with the value that is there. */
		word = value & 1 ? now : ~now;
		if (!expect && word != now)
			expect = -EAGAIN;
		else if (!expect)
			memcpy(p, &value, 8);
		ret = viommu_mem_cas64(m->mem, gpa, &word, value);
		VIOMMU_ASSERT(word ==
			      (ret == -EINVAL || ret == -EFAULT ? (value & 1 ? now : ~now) : now));
		break;
	}
	model_call_end(m, op, ret);
	VIOMMU_ASSERT(ret == expect);
}

static void model_op_next(struct model *m)
{
	uint64_t gpa = model_pick_gpa(m);
	struct viommu_mem_region r;
	struct model_region *mr;
	unsigned int page;
	int ret;

	for (page = 0; page < 2 * MODEL_PAGES; page++)
		if (m->region[page].there &&
		    model_gpa(page) + m->region[page].pages * MODEL_PAGE > gpa)
			break;
	ret = viommu_mem_next(m->mem, gpa, &r);
	model_call_end(m, OP_NEXT, ret);
	if (page == 2 * MODEL_PAGES) {
		VIOMMU_ASSERT(ret == -ENOENT);
		return;
	}
	mr = &m->region[page];
	VIOMMU_ASSERT(!ret && r.gpa == model_gpa(page) && r.bytes == mr->pages * MODEL_PAGE);
	VIOMMU_ASSERT(r.host == mr->host && r.flags == (mr->read_only ? VIOMMU_MEM_READ_ONLY : 0));
}

static void model_op_has_host(struct model *m)
{
	unsigned int owner = m->owner[model_pick(m)], page;
	uint64_t off = fuzz_u16(m->in), bytes = 1 + fuzz_u16(m->in) / 4, start;
	bool any = false, any_rw = false, ret, w;
	unsigned token;
	uint64_t host;

	host = (uintptr_t)model_arena + off % (sizeof(model_arena) + 4096);
	if (owner != MODEL_NONE)
		host = (uintptr_t)m->region[owner].host + off % (5 * 4096);
	for (page = 0; page < 2 * MODEL_PAGES; page++) {
		if (!m->region[page].there)
			continue;
		start = (uintptr_t)m->region[page].host;
		if (host >= start && host + bytes <= start + m->region[page].pages * MODEL_PAGE) {
			any = true;
			any_rw |= !m->region[page].read_only;
		}
	}
	token = viommu__mem_enter(m->mem);
	ret = viommu__mem_has_host(m->mem, (void *)(uintptr_t)host, bytes, &w);
	viommu__mem_leave(m->mem, token);
	model_call_end(m, OP_HAS_HOST, !ret);
	VIOMMU_ASSERT(ret == any && w == any_rw);
}

static void model_op_ptr(struct model *m)
{
	uint64_t gpa = model_pick_gpa(m), n = 0;
	bool write = fuzz_u8(m->in) % 2;
	struct model_region *r;
	unsigned token;
	uint8_t *p;
	char *host;

	p = model_byte(m, gpa, write);
	token = viommu__mem_enter(m->mem);
	host = viommu__mem_ptr(m->mem, gpa, write, &n);
	VIOMMU_ASSERT(!host == !p);
	if (host) {
		r = &m->region[m->owner[model_page(gpa)]];
		VIOMMU_ASSERT((uint8_t)*host == *p);
		VIOMMU_ASSERT(host + n == r->host + r->pages * MODEL_PAGE);
		VIOMMU_ASSERT((uint8_t)host[n - 1] == p[n - 1]);
	}
	viommu__mem_leave(m->mem, token);
	model_call_end(m, OP_PTR, !host);
}

static void model_op_listen(struct model *m)
{
	uint8_t v = fuzz_u8(m->in);
	int ret = 0;

	m->refuse_in = v % 8 == 7 ? v / 8 : 0;
	/* Half of the time only the refusal is set, for an addition to meet it. */
	if (m->listening && (v & 1))
		return;
	model_call_begin(m);
	if (m->listening) {
		viommu__mem_unlisten(m->mem, &m->listener);
		VIOMMU_ASSERT(!m->told);
		m->listening = false;
	} else {
		ret = viommu__mem_listen(m->mem, &m->listener);
		VIOMMU_ASSERT(ret == (m->refused ? -EBUSY : 0));
		m->listening = !ret;
	}
	model_call_end(m, OP_LISTEN, ret);
}

static void model_check(struct model *m)
{
	char *view;

	VIOMMU_ASSERT(m->told == (m->listening ? m->regions : 0));
	model_file(&view);
	VIOMMU_ASSERT(!memcmp(view, m->bytes, MODEL_FILE * MODEL_PAGE));
	VIOMMU_ASSERT(
		!memcmp(model_arena, m->bytes + MODEL_FILE * MODEL_PAGE, sizeof(model_arena)));
}

/* Run a script to its end. */
static void model_run(struct fuzz_input *in, struct model_stats *stats)
{
	static uint8_t fill[sizeof(((struct model *)NULL)->bytes)];
	static struct model model;
	struct model *m = &model;
	long live = viommu__alloc_live();
	unsigned int ops, checked = 0;
	char *view;
	size_t i;

	memset(m, 0, sizeof(*m));
	memset(m->owner, 0xff, sizeof(m->owner));
	m->in = in;
	m->stats = stats;
	m->listener.added = model_added;
	m->listener.removed = model_removed;
	for (i = 0; !fill[1] && i < sizeof(fill); i++)
		fill[i] = (uint8_t)(i ^ i >> 8);
	memcpy(m->bytes, fill, sizeof(fill));
	model_file(&view);
	memcpy(view, m->bytes, MODEL_FILE * MODEL_PAGE);
	memcpy(model_arena, m->bytes + MODEL_FILE * MODEL_PAGE, sizeof(model_arena));
	VIOMMU_ASSERT(!viommu_mem_new(&m->mem));
	for (ops = 0; ops < MODEL_OPS && !fuzz_done(in); ops++) {
		enum model_op op = fuzz_u8(in) % OP_NR;

		switch (op) {
		case OP_ADD_FD:
		case OP_ADD_PTR:
			model_op_add(m, op);
			break;
		case OP_ADD_MANY:
			ops += model_op_add_many(m) / MODEL_DOZEN;
			break;
		case OP_REMOVE:
			model_op_remove(m);
			break;
		case OP_READ:
			model_op_read(m);
			break;
		case OP_WRITE:
			model_op_write(m);
			break;
		case OP_LOAD:
		case OP_STORE:
		case OP_CAS:
			model_op_word(m, op);
			break;
		case OP_NEXT:
			model_op_next(m);
			break;
		case OP_HAS_HOST:
			model_op_has_host(m);
			break;
		case OP_PTR:
			model_op_ptr(m);
			break;
		case OP_FAIL_ALLOC:
			m->fail_alloc = fuzz_u8(in) % 8;
			break;
		case OP_LISTEN:
			model_op_listen(m);
			break;
		case OP_SECTION:
			model_op_section(m);
			break;
		case OP_NR:
			break;
		}
		VIOMMU_ASSERT(m->told == (m->listening ? m->regions : 0));
		if (ops - checked >= 16) {
			checked = ops;
			model_check(m);
		}
	}
	model_check(m);
	model_leave(m);
	if (m->listening)
		viommu__mem_unlisten(m->mem, &m->listener);
	viommu_mem_free(m->mem);
	VIOMMU_ASSERT(viommu__alloc_live() == live);
}

#endif /* VIOMMU_TEST_MEM_MODEL_H */
