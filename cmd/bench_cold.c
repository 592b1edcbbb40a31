/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translations whose table entries are not in the processor's caches: one after the other, against
 * a pointer chase through memory of the same kind (P4), and in batches (P5).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <viommu/vtd.h>

#include "bench.h"

#define COLD_PAGES (8 * GIB / PAGE)
#define MANY       65536u
/* Pages of each of many PASIDs: together they are 8 GiB again. */
#define OWN_PAGES 32u

struct cold {
	struct vm vm;
	struct stream stream;
	struct chase chase;
	void *chase_map;
	uint64_t chase_bytes;
	uint32_t pasid; /* the first; the others follow */
	uint64_t sum;
	uint64_t errors;
};

/* Random multiples of 8 in a region that is a power of 2; each pass goes to other pages. */
static void cold_fresh(struct bench *b, void *ctx)
{
	struct cold *c = ctx;

	stream_fill(b, &c->stream, 0, COLD_PAGES);
}

/* Address of the page for what the stream says, so that no two PASIDs have the same one. */
static inline uint64_t own_addr(uint64_t at)
{
	uint64_t i = at / (OWN_PAGES * PAGE);

	return (at & (OWN_PAGES * PAGE - 1)) | (i & 4095) << 17 | (i * 37 & 511) << 30 |
	       (i * 101 & 255) << 39;
}

static inline uint32_t own_pasid(const struct cold *c, uint64_t at)
{
	return c->pasid + (uint32_t)(at / (OWN_PAGES * PAGE));
}

static inline __attribute__((always_inline)) uint64_t cold_loop(struct cold *c, uint64_t passes,
								bool many)
{
	uint64_t t0 = bench_cpu(), zero = 0, found = 0;
	struct stream *s = &c->stream;

	OPAQUE(zero);
	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM / 8; i++) {
			struct viommu_dma_span span;
			uint64_t at = s->addr[i] ^ salt ^ (found & zero);

			viommu_dma_begin(c->vm.dma);
			c->errors += viommu_dma_translate(c->vm.dma, c->vm.dev,
							  many ? own_pasid(c, at) : c->pasid,
							  many ? own_addr(at) : at, VIOMMU_WRITE,
							  &span) != 0;
			viommu_dma_end(c->vm.dma);
			found = (uintptr_t)span.host;
		}
	}
	c->sum += found;
	return bench_cpu() - t0;
}

static uint64_t cold_one(void *ctx, uint64_t passes)
{
	return cold_loop(ctx, passes, false);
}

static uint64_t cold_many(void *ctx, uint64_t passes)
{
	return cold_loop(ctx, passes, true);
}

/* Accessed and dirty as after the first use: to set them is not what is asked here. */
static void map_used(struct vm *vm, uint64_t root, uint64_t gva, uint64_t gpa)
{
	vm_map(vm, root, gva, gpa, PAGE_LG2);
	*vm_entry(vm, root, gva, PAGE_LG2) |= VTD_MASK(VTD_FS_A) | VTD_MASK(VTD_FS_D);
}

/* The pages' order in guest memory has nothing to do with that of the addresses. */
static uint64_t scattered(uint64_t page)
{
	return (page * UINT64_C(0x9e3779b1) & (COLD_PAGES - 1)) * PAGE;
}

static void cold_open(struct bench *b, struct cold *c, uint64_t table_bytes, uint64_t chase_bytes)
{
	const struct vm_config config = {
		.bytes = COLD_PAGES * PAGE + table_bytes,
		.table_bytes = table_bytes,
		.untouched = true,
	};

	vm_open(&c->vm, &config);
	chase_init(b, &c->chase, vm_map_memory(chase_bytes, &c->chase_map, &c->chase_bytes),
		   chase_bytes);
}

static void cold_close(struct bench *b, struct cold *c, const char *what)
{
	if (c->errors)
		bench_wrong(b, "%s: %llu translations failed", what, (unsigned long long)c->errors);
	b->checksum ^= c->sum;
	munmap(c->chase_map, c->chase_bytes);
	vm_close(&c->vm);
}

static void cold_row(struct bench *b, struct cold *c, uint64_t (*run)(void *, uint64_t),
		     double lines, const char *name, const char *against)
{
	struct comparison cmp = {
		.subject = { run, c, STREAM / 8, 0 },
		.base = { chase_run, &c->chase, CHASE_UNIT / lines, 0 },
		.fresh = cold_fresh,
		.fresh_ctx = c,
	};
	struct figures f;

	bench_progress(b, name);
	bench_compare(b, &cmp, &f);
	bench_row_ratio(b, "P4", name, against, &f, GOAL_AT_MOST, 1.3);
}

/* One PASID: the one line that is not there is that of the last table's entry, of 16 MiB. */
static void cold_one_pasid(struct bench *b)
{
	struct cold *c = bench_alloc(sizeof(*c));
	uint64_t root, i;

	cold_open(b, c, 20 * MIB, 16 * MIB);
	root = vm_table(&c->vm);
	for (i = 0; i < COLD_PAGES; i++)
		map_used(&c->vm, root, i * PAGE, scattered(i));
	c->pasid = vm_bind(&c->vm, root);
	cold_row(b, c, cold_one, 1, "cold miss, 8 GiB, 1 PASID", "1 x chase, 16 MiB");
	cold_close(b, c, "P4");
	free(c);
}

/* Of many PASIDs: PASID entry, what stands beside it, an entry of each of four tables. */
static void cold_many_pasids(struct bench *b)
{
	const uint64_t table_bytes = MANY * 4 * PAGE;
	struct cold *c = bench_alloc(sizeof(*c));
	uint64_t i, j;

	if (bench_available_memory() < 2 * table_bytes + GIB) {
		bench_note(b, "P4", "65,536 PASIDs left out: not enough memory");
		free(c);
		return;
	}
	bench_progress(b, "P4 tables of 65,536 PASIDs");
	cold_open(b, c, table_bytes, table_bytes);
	for (i = 0; i < MANY; i++) {
		uint64_t root = vm_table(&c->vm);
		uint32_t pasid;

		for (j = 0; j < OWN_PAGES; j++) {
			uint64_t at = (i * OWN_PAGES + j) * PAGE;

			map_used(&c->vm, root, own_addr(at), scattered(at / PAGE));
		}
		pasid = vm_bind(&c->vm, root);
		if (!i)
			c->pasid = pasid;
		if (pasid != c->pasid + i)
			bench_wrong(b, "P4: PASIDs are not given out in order");
	}
	cold_row(b, c, cold_many, 6, "cold miss, 8 GiB, 65,536 PASIDs", "6 x chase, 1 GiB");
	cold_close(b, c, "P4");
	free(c);
}

void bench_cold(struct bench *b)
{
	bench_progress(b, "P4 cold misses");
	cold_one_pasid(b);
	if (!b->quick)
		cold_many_pasids(b);
}

/* ---- P5 ---- */

#define BATCH 32u

struct batch {
	struct vm vm;
	struct stream stream;
	uint64_t pages; /* a power of 2 */
	uint32_t pasid;
	uint64_t errors;
	uint64_t word[BATCH];
	struct viommu_dma_op op[BATCH];
};

static void batch_fresh(struct bench *b, void *ctx)
{
	struct batch *t = ctx;

	stream_fill(b, &t->stream, 0, t->pages);
}

static uint64_t batch_run(void *ctx, uint64_t passes)
{
	struct batch *t = ctx;
	struct stream *s = &t->stream;
	uint64_t t0 = bench_cpu();

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i, j;

		for (i = 0; i < STREAM; i += BATCH) {
			for (j = 0; j < BATCH; j++)
				t->op[j].addr = s->addr[i + j] ^ salt;
			t->errors += viommu_dma_batch(t->vm.dma, t->op, BATCH) != BATCH;
		}
	}
	return bench_cpu() - t0;
}

static uint64_t scalar_run(void *ctx, uint64_t passes)
{
	struct batch *t = ctx;
	struct stream *s = &t->stream;
	uint64_t t0 = bench_cpu();

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM; i++)
			t->errors +=
				viommu_dma_read(t->vm.dma, t->vm.dev, t->pasid, s->addr[i] ^ salt,
						&t->word[i % BATCH], 8, 0, NULL) != 0;
	}
	return bench_cpu() - t0;
}

static void batch_row(struct bench *b, struct batch *t, uint64_t pages, const char *name,
		      double goal)
{
	struct comparison c = {
		.subject = { batch_run, t, STREAM, 0 },
		.base = { scalar_run, t, STREAM, 0 },
		.fresh = batch_fresh,
		.fresh_ctx = t,
		.speed = true,
	};
	struct figures f;

	t->pages = pages;
	bench_progress(b, name);
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P5", name, "scalar", &f, GOAL_AT_LEAST, goal);
}

void bench_batch(struct bench *b)
{
	struct batch *t = bench_alloc(sizeof(*t));
	struct vm_config config = { .bytes = b->quick ? 512 * MIB : GIB };
	uint64_t root, i, pages;
	char name[80];

	while (config.bytes > 128 * MIB && config.bytes > bench_available_memory() / 3)
		config.bytes /= 2;
	bench_progress(b, "P5 batches");
	vm_open(&t->vm, &config);
	root = vm_table(&t->vm);
	/* A power of 2, and no data page in the tables' part. */
	pages = config.bytes / PAGE / 2;
	for (i = 0; i < pages; i++)
		map_used(&t->vm, root, i * PAGE, (i * UINT64_C(0x9e3779b1) & (pages - 1)) * PAGE);
	t->pasid = vm_bind(&t->vm, root);
	for (i = 0; i < BATCH; i++)
		t->op[i] = (struct viommu_dma_op){
			.dev = t->vm.dev,
			.pasid = t->pasid,
			.kind = VIOMMU_DMA_READ,
			.buf = &t->word[i],
			.bytes = 8,
		};
	snprintf(name, sizeof(name), "batch of %u reads of 8 B, cold, %llu MiB", BATCH,
		 (unsigned long long)(pages * PAGE / MIB));
	batch_row(b, t, pages, name, 4);
	snprintf(name, sizeof(name), "batch of %u reads of 8 B, resident", BATCH);
	batch_row(b, t, 32, name, 1);
	if (t->errors)
		bench_wrong(b, "P5: %llu accesses failed", (unsigned long long)t->errors);
	b->checksum ^= t->word[0];
	vm_close(&t->vm);
	free(t);
}
