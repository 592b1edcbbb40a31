/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translation alone, by viommu_dma_translate() inside sections: hits (P1), misses whose upper
 * levels are cached (P3), cold misses (P4); and counted loops of the same for callgrind.
 *
 * Every stage has its checks on: permissions (the accesses are writes), accessed and dirty bits,
 * reserved bits, generations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <viommu/vtd.h>

#include "bench.h"
#include "cmd.h"

/* Translations in one section of begin and end. */
#define SECTION 64u

/* The warm misses': four times the cache's entries. Their table entries are 32 KiB. */
#define MISS_PAGES 4096u
#define MISS_BASE  UINT64_C(0x7f3400000000)

uint64_t xlate_independent(void *ctx, uint64_t passes)
{
	struct xlate *x = ctx;
	struct viommu_dma *dma = x->dma;
	struct viommu_device *dev = x->dev;
	struct stream *s = x->stream;
	const uint32_t pasid = x->pasid, access = x->access;
	uint64_t t0 = bench_cpu(), sum = 0, errors = 0;

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i, j;

		for (i = 0; i < STREAM; i += SECTION) {
			viommu_dma_begin(dma);
			for (j = i; j < i + SECTION; j++) {
				struct viommu_dma_span span;

				errors += viommu_dma_translate(dma, dev, pasid, s->addr[j] ^ salt,
							       access, &span) != 0;
				sum += (uintptr_t)span.host;
			}
			viommu_dma_end(dma);
		}
	}
	x->sum += sum;
	x->errors += errors;
	return bench_cpu() - t0;
}

static uint64_t xlate_dependent(void *ctx, uint64_t passes)
{
	struct xlate *x = ctx;
	struct viommu_dma *dma = x->dma;
	struct viommu_device *dev = x->dev;
	struct stream *s = x->stream;
	const uint32_t pasid = x->pasid, access = x->access;
	uint64_t t0 = bench_cpu(), zero = x->zero, found = 0, errors = 0;

	OPAQUE(zero);
	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i, j;

		for (i = 0; i < STREAM; i += SECTION) {
			viommu_dma_begin(dma);
			for (j = i; j < i + SECTION; j++) {
				struct viommu_dma_span span;
				uint64_t addr = s->addr[j] ^ salt ^ (found & zero);

				errors += viommu_dma_translate(dma, dev, pasid, addr, access,
							       &span) != 0;
				found = (uintptr_t)span.host;
			}
			viommu_dma_end(dma);
		}
	}
	x->sum += found;
	x->errors += errors;
	return bench_cpu() - t0;
}

/* A section for each: what a device model pays that asks once in a while. */
static uint64_t xlate_sections(void *ctx, uint64_t passes)
{
	struct xlate *x = ctx;
	struct viommu_dma *dma = x->dma;
	struct viommu_device *dev = x->dev;
	struct stream *s = x->stream;
	const uint32_t pasid = x->pasid, access = x->access;
	uint64_t t0 = bench_cpu(), sum = 0, errors = 0;

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM; i++) {
			struct viommu_dma_span span;

			viommu_dma_begin(dma);
			errors += viommu_dma_translate(dma, dev, pasid, s->addr[i] ^ salt, access,
						       &span) != 0;
			viommu_dma_end(dma);
			sum += (uintptr_t)span.host;
		}
	}
	x->sum += sum;
	x->errors += errors;
	return bench_cpu() - t0;
}

uint64_t xlate_walk(void *ctx, uint64_t passes)
{
	struct xlate *x = ctx;
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = VIOMMU_INVALIDATE_DOMAIN,
		.flags = VIOMMU_INVALIDATE_NO_DRAIN,
	};
	struct stream *s = x->stream;
	uint64_t t0 = bench_cpu(), sum = 0, errors = 0;

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM; i++) {
			struct viommu_dma_span span;

			errors += viommu_host_invalidate(x->vm->host, x->vm->dom, &inv) != 0;
			viommu_dma_begin(x->dma);
			errors += viommu_dma_translate(x->dma, x->dev, x->pasid, s->addr[i] ^ salt,
						       x->access, &span) != 0;
			viommu_dma_end(x->dma);
			sum += (uintptr_t)span.host;
		}
	}
	x->sum += sum;
	x->errors += errors;
	return bench_cpu() - t0;
}

/* Bits 20:17 of the address say which PASID. */
static uint64_t xlate_pasids(void *ctx, uint64_t passes)
{
	struct xlate *x = ctx;
	struct viommu_dma *dma = x->dma;
	struct viommu_device *dev = x->dev;
	struct stream *s = x->stream;
	const uint32_t access = x->access;
	uint64_t t0 = bench_cpu(), sum = 0, errors = 0;

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i, j;

		for (i = 0; i < STREAM; i += SECTION) {
			viommu_dma_begin(dma);
			for (j = i; j < i + SECTION; j++) {
				struct viommu_dma_span span;
				uint64_t addr = s->addr[j] ^ salt;

				errors += viommu_dma_translate(dma, dev, x->pasids[addr >> 17 & 15],
							       addr, access, &span) != 0;
				sum += (uintptr_t)span.host;
			}
			viommu_dma_end(dma);
		}
	}
	x->sum += sum;
	x->errors += errors;
	return bench_cpu() - t0;
}

void xlate_init(struct xlate *x, struct vm *vm, uint32_t pasid, struct stream *s)
{
	memset(x, 0, sizeof(*x));
	x->vm = vm;
	x->dma = vm->dma;
	x->dev = vm->dev;
	x->pasid = pasid;
	x->access = VIOMMU_WRITE;
	x->stream = s;
}

void xlate_check(struct bench *b, struct xlate *x, const char *what)
{
	b->checksum ^= x->sum;
	if (x->errors)
		bench_wrong(b, "%s: %llu translations failed", what, (unsigned long long)x->errors);
}

/* Does it say what the tables say? */
static void verify(struct bench *b, struct vm *vm, uint32_t pasid, uint64_t gva, uint64_t gpa)
{
	struct viommu_dma_span span;
	int ret;

	viommu_dma_begin(vm->dma);
	ret = viommu_dma_translate(vm->dma, vm->dev, pasid, gva, VIOMMU_WRITE, &span);
	viommu_dma_end(vm->dma);
	if (ret || (uint8_t *)span.host != vm->ram + gpa)
		bench_wrong(b, "0x%llx translates to the wrong byte", (unsigned long long)gva);
}

static double miss_share(struct vm *vm, uint64_t (*run)(void *, uint64_t), struct xlate *x)
{
	struct viommu_dma_stats before, after;

	run(x, 4);
	viommu_dma_stats(vm->dma, &before);
	run(x, 16);
	viommu_dma_stats(vm->dma, &after);
	return (double)(after.misses - before.misses) / (16.0 * STREAM);
}

/* ---- P1 ---- */

struct hit {
	struct vm vm;
	struct stream stream;
	struct probe probe;
	struct xlate x;
	uint64_t root;
	uint64_t page_of[HIT_PAGES];
};

/* Pages at [base, base + pages * 4096), each somewhere else in guest memory. */
static void map_shuffled(struct bench *b, struct vm *vm, uint64_t root, uint64_t base,
			 uint64_t pages, uint64_t first_gpa, uint64_t *page_of)
{
	uint64_t *page = bench_alloc(pages * sizeof(*page)), i;

	for (i = 0; i < pages; i++) {
		uint64_t j = bench_random(b) % (i + 1);

		page[i] = page[j];
		page[j] = first_gpa + i * PAGE;
	}
	for (i = 0; i < pages; i++)
		vm_map(vm, root, base + i * PAGE, page[i], PAGE_LG2);
	if (page_of)
		memcpy(page_of, page, pages * sizeof(*page));
	free(page);
}

static void hit_open(struct bench *b, struct hit *h)
{
	const struct vm_config config = { .bytes = 16 * MIB };
	uint64_t i;

	vm_open(&h->vm, &config);
	h->root = vm_table(&h->vm);
	map_shuffled(b, &h->vm, h->root, HIT_BASE, HIT_PAGES, 0, h->page_of);
	stream_fill(b, &h->stream, HIT_BASE, HIT_PAGES);
	probe_init(&h->probe, &h->stream);
	xlate_init(&h->x, &h->vm, vm_bind(&h->vm, h->root), &h->stream);
	for (i = 0; i < HIT_PAGES; i++) {
		verify(b, &h->vm, h->x.pasid, HIT_BASE + i * PAGE, h->page_of[i]);
		probe_add(&h->probe, HIT_BASE + i * PAGE, h->vm.ram + h->page_of[i]);
	}
}

static void hit_fresh(struct bench *b, void *ctx)
{
	struct hit *h = ctx;

	stream_fill(b, &h->stream, HIT_BASE, HIT_PAGES);
}

static void hit_many_pasids(struct bench *b, struct hit *h)
{
	struct comparison c = {
		.subject = { xlate_pasids, &h->x, STREAM, 0 },
		.base = { probe_run_independent, &h->probe, STREAM, 0 },
		.fresh = hit_fresh,
		.fresh_ctx = h,
	};
	struct figures f;
	char name[80];
	size_t i;

	for (i = 0; i < MANY_PASIDS; i++)
		h->x.pasids[i] = vm_bind(&h->vm, h->root);
	snprintf(name, sizeof(name), "hit, 16 PASIDs (%.1f %% misses)",
		 100 * miss_share(&h->vm, xlate_pasids, &h->x));
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P1", name, "probe", &f, GOAL_NONE, 0);
}

static void hit_2m(struct bench *b, struct hit *h)
{
	/* 64 pages of 2 MiB: half of what the cache holds of that size. */
	struct comparison c = {
		.subject = { xlate_independent, &h->x, STREAM, 0 },
		.base = { probe_run_independent, &h->probe, STREAM, 0 },
	};
	const uint64_t base = UINT64_C(0x7f5600000000);
	struct stream *s = bench_alloc(sizeof(*s));
	struct figures f;
	char name[80];
	uint64_t i;

	for (i = 0; i < 64; i++)
		vm_map(&h->vm, h->root, base + i * 2 * MIB, i % 4 * 2 * MIB, 21);
	for (i = 0; i < STREAM; i++)
		s->addr[i] = base + (bench_random(b) & (128 * MIB - 8));
	s->salt_mask = 128 * MIB - PAGE;
	s->rng = bench_random(b) | 1;
	h->x.stream = s;
	snprintf(name, sizeof(name), "hit, 2-MiB pages (%.1f %% misses)",
		 100 * miss_share(&h->vm, xlate_independent, &h->x));
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P1", name, "probe", &f, GOAL_NONE, 0);
	h->x.stream = &h->stream;
	free(s);
}

static void hit_instructions(struct bench *b);

void bench_hit(struct bench *b)
{
	struct hit *h = bench_alloc(sizeof(*h));
	struct comparison c = {
		.subject = { xlate_independent, &h->x, STREAM, 0 },
		.base = { probe_run_independent, &h->probe, STREAM, 0 },
		.fresh = hit_fresh,
		.fresh_ctx = h,
	};
	struct figures f;
	char name[80];

	bench_progress(b, "P1 hits");
	hit_open(b, h);
	snprintf(name, sizeof(name), "hit, 512 pages, independent (%.1f %% misses)",
		 100 * miss_share(&h->vm, xlate_independent, &h->x));
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P1", name, "probe", &f, GOAL_AT_MOST, 5);
	c.subject.run = xlate_dependent;
	c.base.run = probe_run_dependent;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P1", "hit, 512 pages, dependent", "dependent probe", &f, GOAL_AT_MOST,
			2.5);
	hit_instructions(b);
	c.subject.run = xlate_sections;
	c.base.run = probe_run_independent;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P1", "hit, a section each", "probe", &f, GOAL_NONE, 0);
	hit_many_pasids(b, h);
	hit_2m(b, h);
	xlate_check(b, &h->x, "P1");
	if (h->probe.misses)
		bench_wrong(b, "the hash probe missed");
	b->checksum ^= h->probe.sum;
	bench_note(b, "P1",
		   "512 pages of 4 KiB in random order; sections of %u translations; "
		   "%.0f %% of guest memory in huge pages",
		   SECTION, 100 * h->vm.huge);
	vm_close(&h->vm);
	free(h);
}

/* ---- P3 ---- */

struct miss {
	struct vm vm;
	struct stream hit_stream;
	struct stream stream;
	struct xlate hit;
	struct xlate x;
};

/* Half of the pages in one pass, the other half in the next: a page is gone when it returns. */
static void miss_fresh(struct bench *b, void *ctx)
{
	struct miss *m = ctx;
	size_t i;

	stream_fill(b, &m->hit_stream, HIT_BASE, HIT_PAGES);
	stream_fill(b, &m->stream, MISS_BASE, STREAM);
	for (i = 0; i < STREAM; i++) {
		size_t j = bench_random(b) % (i + 1);

		m->stream.addr[i] = m->stream.addr[j];
		m->stream.addr[j] = MISS_BASE + i * PAGE + (bench_random(b) & (PAGE - 8));
	}
	m->stream.toggle = STREAM * PAGE;
}

void bench_miss(struct bench *b)
{
	struct miss *m = bench_alloc(sizeof(*m));
	const struct vm_config config = { .bytes = 64 * MIB };
	struct comparison c = {
		.subject = { xlate_independent, &m->x, STREAM, 0 },
		.base = { xlate_independent, &m->hit, STREAM, 0 },
		.fresh = miss_fresh,
		.fresh_ctx = m,
	};
	uint64_t root, i, *page_of = bench_alloc(MISS_PAGES * sizeof(*page_of));
	struct figures f;
	uint32_t pasid;
	char name[80];

	bench_progress(b, "P3 warm misses");
	vm_open(&m->vm, &config);
	root = vm_table(&m->vm);
	map_shuffled(b, &m->vm, root, HIT_BASE, HIT_PAGES, 32 * MIB, NULL);
	map_shuffled(b, &m->vm, root, MISS_BASE, MISS_PAGES, 0, page_of);
	pasid = vm_bind(&m->vm, root);
	xlate_init(&m->hit, &m->vm, pasid, &m->hit_stream);
	xlate_init(&m->x, &m->vm, pasid, &m->stream);
	for (i = 0; i < MISS_PAGES; i++)
		verify(b, &m->vm, pasid, MISS_BASE + i * PAGE, page_of[i]);
	miss_fresh(b, m);
	snprintf(name, sizeof(name), "warm miss, 4096 pages, independent (%.0f %%)",
		 100 * miss_share(&m->vm, xlate_independent, &m->x));
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P3", name, "hit", &f, GOAL_AT_MOST, 4);
	c.subject.run = xlate_dependent;
	c.base.run = xlate_dependent;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P3", "warm miss, 4096 pages, dependent", "dependent hit", &f,
			GOAL_AT_MOST, 4);
	c.subject = (struct side){ xlate_walk, &m->x, STREAM, 0 };
	c.base.run = xlate_independent;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P3", "after an invalidation: path and 24 reads", "hit", &f, GOAL_NONE,
			0);
	xlate_check(b, &m->x, "P3");
	xlate_check(b, &m->hit, "P3 hits");
	vm_close(&m->vm);
	free(page_of);
	free(m);
}

/* ---- Counted loops ---- */

/* As little around the call as there can be. */
static void count_translate(struct hit *h, uint64_t n)
{
	struct viommu_dma_span span;
	int ret = 0;

	n -= n % 8;
	viommu_dma_begin(h->x.dma);
	for (; n; n -= 8) {
		const uint64_t *addr = &h->stream.addr[n % STREAM];

#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			ret |= viommu_dma_translate(h->x.dma, h->x.dev, h->x.pasid, addr[i],
						    VIOMMU_WRITE, &span);
	}
	viommu_dma_end(h->x.dma);
	h->x.errors += ret != 0;
}

static void count_read64(struct hit *h, uint64_t n)
{
	uint8_t buf[64];

	for (; n; n--)
		h->x.errors += viommu_dma_read(h->x.dma, h->x.dev, h->x.pasid,
					       h->stream.addr[n % STREAM] & ~UINT64_C(63), buf,
					       sizeof(buf), 0, NULL) != 0;
	h->x.sum += buf[0];
}

static void count_invalidate(struct hit *h, uint64_t n)
{
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = VIOMMU_INVALIDATE_PASID,
		.flags = VIOMMU_INVALIDATE_NO_DRAIN,
		.hp = { h->x.pasid },
	};

	for (; n; n--)
		h->x.errors += viommu_host_invalidate(h->vm.host, h->vm.dom, &inv) != 0;
}

static const struct {
	const char *what;
	void (*run)(struct hit *h, uint64_t n);
	const char *name;
	double goal;
} counts[] = {
	{ "translate", count_translate, "hit, instructions of call and loop", 60 },
	{ "read64", count_read64, "read of 64 B, instructions", 0 },
	{ "invalidate", count_invalidate, "invalidation of a PASID, instructions", 0 },
};

int bench_count(const char *what, uint64_t n)
{
	struct bench b = { .rng = 1 };
	struct hit *h;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++)
		if (!strcmp(what, counts[i].what))
			break;
	if (i == ARRAY_SIZE(counts))
		return cmd_usage("bench", "--count: there is no '%s'", what);
	h = bench_alloc(sizeof(*h));
	hit_open(&b, h);
	counts[i].run(h, n);
	xlate_check(&b, &h->x, what);
	vm_close(&h->vm);
	free(h);
	return b.failed ? CMD_FAILED : CMD_OK;
}

#define COUNT_COMMAND                                                                     \
	"valgrind --tool=callgrind --callgrind-out-file=/dev/null '%s' bench --count %s " \
	"%llu 2>&1"

/* Instructions of a whole run under callgrind; negative if it cannot be run. */
static double collected(const char *what, uint64_t n)
{
	char self[4096], line[8192];
	double ir = -1, v;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	FILE *f;

	if (len < 0)
		return -1;
	self[len] = 0;
	if (strchr(self, '\''))
		return -1;
	snprintf(line, sizeof(line), COUNT_COMMAND, self, what, (unsigned long long)n);
	f = popen(line, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		const char *p = strstr(line, "Collected :");

		if (p && sscanf(p, "Collected : %lf", &v) == 1)
			ir = v;
	}
	return pclose(f) == 0 ? ir : -1;
}

/* Per operation; negative if there is no valgrind. */
static double instructions(const char *what)
{
	const uint64_t n1 = 10 * STREAM, n2 = 60 * STREAM;
	double a = collected(what, n1), b;

	if (a < 0)
		return -1;
	b = collected(what, n2);
	return b < 0 ? -1 : (b - a) / (double)(n2 - n1);
}

static void hit_instructions(struct bench *b)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		double n = instructions(counts[i].what);

		if (n < 0) {
			bench_note(b, "P1", "instructions are not counted: no valgrind");
			return;
		}
		bench_row_value(b, "P1", counts[i].name, n, "instr",
				counts[i].goal > 0 ? GOAL_AT_MOST : GOAL_NONE, counts[i].goal);
	}
}
