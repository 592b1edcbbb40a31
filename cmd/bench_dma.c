/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * P6: DMA against memcpy() over the same bytes in the same random order. The size is not known to
 * the compiler on either side. Ratios are speeds: DMA's share of memcpy's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define OFFSETS  1024u
#define HOT_BASE UINT64_C(0x7f7800000000)
/* Pages that lie next to each other in guest memory, then as many that do not. */
#define HOT_PAGES 256u
#define SCATTERED (HOT_BASE + GIB)
#define COLD_BASE UINT64_C(0x7f9a00000000)
#define SEGMENTS  16u

struct copy {
	struct viommu_dma *dma;
	struct viommu_device *dev;
	uint32_t pasid;
	uint32_t flags;
	uint64_t gva;    /* of the region */
	uint64_t region; /* bytes, a power of 2 */
	uint64_t bytes;  /* of a copy, a power of 2 */
	uint64_t piece;  /* memcpy does so many at a time; a power of 2 */
	uint8_t **page;  /* where each page of the region lies; NULL: all in a row from host on */
	uint8_t *host;
	uint8_t *buf;
	uint64_t buf_mask;
	bool write;   /* to guest memory */
	bool vector;  /* as SEGMENTS segments of 4 KiB */
	bool one_way; /* offsets by a stride that comes back when all were visited */
	uint64_t at;
	uint64_t salt;
	uint64_t rng;
	uint64_t errors;
	uint64_t offset[OFFSETS];
};

static inline uint64_t next_offset(struct copy *c)
{
	uint64_t i = c->at++;

	if (c->one_way)
		return i * UINT64_C(0x9e3779b1) * c->bytes & (c->region - 1);
	if (i % OFFSETS == 0) {
		c->rng = c->rng * UINT64_C(6364136223846793005) + 1442695040888963407;
		c->salt = (c->rng >> 20) & (c->region - 1) & ~(c->bytes - 1);
	}
	return c->offset[i % OFFSETS] ^ c->salt;
}

static uint64_t run_dma(void *ctx, uint64_t n)
{
	struct copy *c = ctx;
	uint64_t t0 = bench_cpu(), bytes = c->bytes, i;

	OPAQUE(bytes);
	for (i = 0; i < n; i++) {
		uint64_t off = next_offset(c);
		uint8_t *buf = c->buf + (i * bytes & c->buf_mask);

		if (c->write)
			c->errors += viommu_dma_write(c->dma, c->dev, c->pasid, c->gva + off, buf,
						      bytes, c->flags, NULL) != 0;
		else
			c->errors += viommu_dma_read(c->dma, c->dev, c->pasid, c->gva + off, buf,
						     bytes, c->flags, NULL) != 0;
	}
	return bench_cpu() - t0;
}

static uint64_t run_vector(void *ctx, uint64_t n)
{
	struct copy *c = ctx;
	uint64_t t0 = bench_cpu(), i;
	struct viommu_dma_seg seg[SEGMENTS];

	for (i = 0; i < n; i++) {
		size_t k;

		for (k = 0; k < SEGMENTS; k++)
			seg[k] = (struct viommu_dma_seg){ c->gva + next_offset(c), c->bytes };
		if (c->write)
			c->errors += viommu_dma_writev(c->dma, c->dev, c->pasid, seg, SEGMENTS,
						       c->buf, c->flags, NULL) != 0;
		else
			c->errors += viommu_dma_readv(c->dma, c->dev, c->pasid, seg, SEGMENTS,
						      c->buf, c->flags, NULL) != 0;
	}
	return bench_cpu() - t0;
}

static inline uint8_t *host_of(const struct copy *c, uint64_t off)
{
	return c->page ? c->page[off >> PAGE_LG2] + (off & (PAGE - 1)) : c->host + off;
}

static uint64_t run_memcpy(void *ctx, uint64_t n)
{
	struct copy *c = ctx;
	uint64_t t0 = bench_cpu(), piece = c->piece, i;
	const uint64_t copies = c->vector ? SEGMENTS : 1;

	OPAQUE(piece);
	for (i = 0; i < n; i++) {
		uint8_t *buf = c->buf + (i * copies * c->bytes & c->buf_mask);
		uint64_t k, done;

		for (k = 0; k < copies; k++) {
			uint64_t off = next_offset(c);

			for (done = 0; done < c->bytes; done += piece, buf += piece) {
				if (c->write)
					memcpy(host_of(c, off + done), buf, piece);
				else
					memcpy(buf, host_of(c, off + done), piece);
				CLOBBER();
			}
		}
	}
	return bench_cpu() - t0;
}

static void copy_fresh(struct bench *b, void *ctx)
{
	struct copy *c = ctx;
	size_t i;

	for (i = 0; i < OFFSETS; i++)
		c->offset[i] = bench_random(b) & (c->region - 1) & ~(c->bytes - 1);
	c->rng = bench_random(b);
	if (c->one_way)
		c->at = bench_random(b);
}

static void copy_row(struct bench *b, struct copy *c, const char *name, enum goal kind, double goal)
{
	struct comparison cmp = {
		.subject = { c->vector ? run_vector : run_dma, c, 1, 0 },
		.base = { run_memcpy, c, 1, 0 },
		.fresh = copy_fresh,
		.fresh_ctx = c,
		.speed = true,
	};
	struct figures f;

	bench_progress(b, name);
	bench_compare(b, &cmp, &f);
	bench_row_ratio(b, "P6", name, "memcpy", &f, kind, goal);
	if (c->errors)
		bench_wrong(b, "%s: %llu accesses failed", name, (unsigned long long)c->errors);
}

/* The same row for both directions. */
static void copy_rows(struct bench *b, struct copy *c, const char *what, enum goal kind,
		      double goal)
{
	char name[80];

	c->write = false;
	snprintf(name, sizeof(name), "read %s", what);
	copy_row(b, c, name, kind, goal);
	c->write = true;
	snprintf(name, sizeof(name), "write %s", what);
	copy_row(b, c, name, kind, goal);
}

static void verify(struct bench *b, struct copy *c)
{
	uint64_t off, i, at = bench_random(b);
	uint8_t got[64];

	for (i = 0; i < 64; i++) {
		off = (at + i * UINT64_C(0x9e3779b1)) * 64 & (c->region - 1);
		memset(host_of(c, off), (int)i, 64);
		if (viommu_dma_read(c->dma, c->dev, c->pasid, c->gva + off, got, 64, 0, NULL) ||
		    memcmp(got, host_of(c, off), 64))
			bench_wrong(b, "DMA reads the wrong bytes");
	}
}

static void copy_hot(struct bench *b, uint8_t *buf)
{
	static uint8_t *page[HOT_PAGES];
	const struct vm_config config = { .bytes = 16 * MIB };
	struct copy *c = bench_alloc(sizeof(*c));
	struct vm vm;
	uint64_t root, i;

	vm_open(&vm, &config);
	root = vm_table(&vm);
	for (i = 0; i < HOT_PAGES; i++) {
		uint64_t j = bench_random(b) % (i + 1);

		vm_map(&vm, root, HOT_BASE + i * PAGE, i * PAGE, PAGE_LG2);
		page[i] = page[j];
		/* every other one: no two lie next to each other by chance */
		page[j] = vm.ram + 4 * MIB + i * 2 * PAGE;
	}
	for (i = 0; i < HOT_PAGES; i++)
		vm_map(&vm, root, SCATTERED + i * PAGE, (uint64_t)(page[i] - vm.ram), PAGE_LG2);
	*c = (struct copy){
		.dma = vm.dma,
		.dev = vm.dev,
		.pasid = vm_bind(&vm, root),
		.gva = HOT_BASE,
		.host = vm.ram,
		.buf = buf,
		.region = HOT_PAGES * PAGE,
	};
	verify(b, c);

	c->bytes = c->piece = 64;
	c->region = 4 * PAGE;
	c->buf_mask = PAGE - 1;
	copy_rows(b, c, "64 B, hot (16 KiB)", GOAL_AT_LEAST, 0.60);
	c->region = HOT_PAGES * PAGE;
	copy_rows(b, c, "64 B in 1 MiB", GOAL_NONE, 0);
	c->bytes = c->piece = PAGE;
	c->region = 4 * PAGE;
	copy_rows(b, c, "4 KiB, hot (16 KiB)", GOAL_AT_LEAST, 0.88);
	c->bytes = c->piece = 64 * KIB;
	c->region = 256 * KIB;
	c->buf_mask = 64 * KIB - 1;
	copy_rows(b, c, "64 KiB contiguous, hot (256 KiB)", GOAL_AT_LEAST, 0.95);

	c->gva = SCATTERED;
	c->page = page;
	c->region = HOT_PAGES * PAGE;
	verify(b, c);
	c->region = 256 * KIB;
	c->piece = PAGE;
	copy_rows(b, c, "64 KiB in scattered pages, hot", GOAL_AT_LEAST, 0.88);
	c->vector = true;
	c->bytes = PAGE;
	copy_rows(b, c, "list of 16 x 4 KiB, hot", GOAL_AT_LEAST, 0.88);
	vm_close(&vm);
	free(c);
}

static void copy_cold(struct bench *b, uint8_t *buf)
{
	uint64_t region = b->quick ? 512 * MIB : GIB, i;
	struct vm_config config = { .table_bytes = 2 * MIB };
	struct copy *c = bench_alloc(sizeof(*c));
	struct vm vm;
	uint64_t root;

	while (region > 64 * MIB && region > bench_available_memory() / 3)
		region /= 2;
	config.bytes = region + config.table_bytes;
	bench_progress(b, "P6 cold destinations");
	vm_open(&vm, &config);
	root = vm_table(&vm);
	for (i = 0; i < region; i += 2 * MIB)
		vm_map(&vm, root, COLD_BASE + i, i, 21);
	*c = (struct copy){
		.dma = vm.dma,
		.dev = vm.dev,
		.pasid = vm_bind(&vm, root),
		.gva = COLD_BASE,
		.host = vm.ram,
		.buf = buf,
		.region = region,
		.write = true,
		.one_way = true,
		.flags = VIOMMU_DMA_NO_ALLOCATE,
	};
	verify(b, c);
	c->bytes = c->piece = 64 * KIB;
	c->buf_mask = 64 * KIB - 1;
	copy_row(b, c, "write 64 KiB, cold, NO_ALLOCATE", GOAL_AT_LEAST, 1.15);
	c->bytes = c->piece = 256 * KIB;
	c->buf_mask = 256 * KIB - 1;
	copy_row(b, c, "write 256 KiB, cold, NO_ALLOCATE", GOAL_AT_LEAST, 1.15);
	c->flags = 0;
	c->bytes = c->piece = 64 * KIB;
	c->buf_mask = 64 * KIB - 1;
	copy_row(b, c, "write 64 KiB, cold", GOAL_NONE, 0);
	bench_note(b, "P6",
		   "cold: %llu MiB of guest memory, %.0f %% in huge pages, each byte once "
		   "before any comes back",
		   (unsigned long long)(region / MIB), 100 * vm.huge);
	vm_close(&vm);
	free(c);
}

void bench_copy(struct bench *b)
{
	void *map;
	uint64_t map_bytes;
	uint8_t *buf = vm_map_memory(2 * MIB, &map, &map_bytes);

	memset(buf, 0x5a, 2 * MIB);
	/* not at the same offset in a page as what it is copied with: no false dependencies */
	copy_hot(b, buf + 0x40);
	copy_cold(b, buf + 0x40);
}
