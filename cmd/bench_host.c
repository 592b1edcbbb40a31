/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control path: invalidation (P7), bytes a bound PASID takes (P9), bind and unbind.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <viommu/pasid.h>

#include "bench.h"
#include "cmd.h"

/* ---- P7 ---- */

/* Bound PASIDs, each with cached pages: together all entries of the DMA object's cache. */
#define INV_PASIDS 64u
#define INV_PAGES  16u
#define INV_HOSTS  16u
#define INV_BASE   UINT64_C(0x7fbc00000000)

/*
 * Two sets of VMs of the same shape; calls to the first are timed. `full`: just before, each of its
 * caches was filled. `empty`: one page of each PASID was cached (so that the processor has the same
 * lines), and the second set was filled, to disturb the processor's caches as much.
 */
struct inv {
	struct vm vm[2][INV_HOSTS];
	uint32_t pasid[2][INV_HOSTS][INV_PASIDS];
	unsigned int hosts;
	uint32_t granularity;
	uint64_t errors;
	uint64_t at;
};

static void inv_cache(struct inv *inv, unsigned int which, unsigned int h, unsigned int pages)
{
	struct vm *vm = &inv->vm[which][h];
	unsigned int p, i;

	viommu_dma_begin(vm->dma);
	for (p = 0; p < INV_PASIDS; p++) {
		for (i = 0; i < pages; i++) {
			struct viommu_dma_span span;
			uint64_t gva = INV_BASE + (p * INV_PAGES + i) * PAGE;

			inv->errors +=
				viommu_dma_translate(vm->dma, vm->dev, inv->pasid[which][h][p], gva,
						     VIOMMU_READ, &span) != 0;
		}
	}
	viommu_dma_end(vm->dma);
}

static void inv_call(struct inv *inv, struct vm *vm, uint32_t pasid)
{
	const struct viommu_invalidate v = {
		.size = sizeof(v),
		.granularity = inv->granularity,
		.flags = VIOMMU_INVALIDATE_NO_DRAIN,
		.hp = { inv->granularity == VIOMMU_INVALIDATE_PASID ? pasid : 0 },
	};

	inv->errors += viommu_host_invalidate(vm->host, vm->dom, &v) != 0;
}

/* Calls in one timed stretch: each PASID once; a domain or host once each. */
static unsigned int inv_calls(const struct inv *inv)
{
	return inv->granularity == VIOMMU_INVALIDATE_PASID ? INV_PASIDS * inv->hosts : inv->hosts;
}

static void inv_host(struct inv *inv, unsigned int which, unsigned int h)
{
	unsigned int p;

	if (inv->granularity != VIOMMU_INVALIDATE_PASID) {
		inv_call(inv, &inv->vm[which][h], 0);
		return;
	}
	for (p = 0; p < INV_PASIDS; p++)
		inv_call(inv, &inv->vm[which][h], inv->pasid[which][h][p]);
}

static uint64_t inv_stretch(struct inv *inv, uint64_t n, bool full)
{
	uint64_t ns = 0;

	for (; n; n--) {
		unsigned int h;
		uint64_t t0;

		for (h = 0; h < inv->hosts; h++) {
			if (!full)
				inv_cache(inv, 1, h, INV_PAGES);
			inv_cache(inv, 0, h, full ? INV_PAGES : 1);
		}
		t0 = bench_now();
		for (h = 0; h < inv->hosts; h++)
			inv_host(inv, 0, h);
		ns += bench_now() - t0;
		for (h = 0; h < inv->hosts && !full; h++)
			inv_host(inv, 1, h);
	}
	return ns;
}

static uint64_t inv_full(void *ctx, uint64_t n)
{
	return inv_stretch(ctx, n, true);
}

static uint64_t inv_empty(void *ctx, uint64_t n)
{
	return inv_stretch(ctx, n, false);
}

/* Calls alone, PASIDs in turn. */
static uint64_t inv_loop(void *ctx, uint64_t n)
{
	struct inv *inv = ctx;
	uint64_t t0 = bench_cpu();

	for (; n; n--)
		inv_call(inv, &inv->vm[0][0], inv->pasid[0][0][inv->at++ * 37 % INV_PASIDS]);
	return bench_cpu() - t0;
}

static void inv_rows(struct bench *b, struct inv *inv, uint32_t granularity, const char *what)
{
	struct comparison c = {
		.subject = { inv_full, inv, 0, 0 },
		.base = { inv_empty, inv, 0, 0 },
		.slice_ns = b->slice_ns / 4,
	};
	struct figures f;
	char name[80];

	inv->granularity = granularity;
	/* A host or domain is one call: many of them, or the clock would be all there is. */
	inv->hosts = granularity == VIOMMU_INVALIDATE_PASID ? 1 : INV_HOSTS;
	c.subject.per_unit = c.base.per_unit = inv_calls(inv);
	/* Only the calls count for a slice, but the filling takes a hundred times as long. */
	c.subject.max_units = c.base.max_units = granularity == VIOMMU_INVALIDATE_PASID ? 32 : 4;
	snprintf(name, sizeof(name), "invalidate a %s, caches full", what);
	bench_progress(b, name);
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P7", name, "almost empty", &f, GOAL_AT_MOST, 1.2);
	c = (struct comparison){ .subject = { inv_loop, inv, 1, 0 } };
	bench_compare(b, &c, &f);
	snprintf(name, sizeof(name), "invalidate a %s, a call", what);
	bench_row_value(b, "P7", name, f.value, "ns", GOAL_AT_MOST, 50);
}

static void inv_open(struct inv *inv)
{
	const struct vm_config config = { .bytes = 8 * MIB };
	unsigned int which, h, i;

	for (which = 0; which < 2; which++) {
		for (h = 0; h < INV_HOSTS; h++) {
			struct vm *vm = &inv->vm[which][h];
			uint64_t root;

			vm_open(vm, &config);
			root = vm_table(vm);
			for (i = 0; i < INV_PASIDS * INV_PAGES; i++)
				vm_map(vm, root, INV_BASE + i * PAGE, i * PAGE, PAGE_LG2);
			for (i = 0; i < INV_PASIDS; i++)
				inv->pasid[which][h][i] = vm_bind(vm, root);
		}
	}
}

/* Everything waits: what a caller pays that does not collect invalidations. */
static uint64_t inv_drained(void *ctx, uint64_t n)
{
	struct inv *inv = ctx;
	struct vm *vm = &inv->vm[0][0];
	uint64_t t0 = bench_cpu();

	for (; n; n--) {
		const struct viommu_invalidate v = {
			.size = sizeof(v),
			.granularity = VIOMMU_INVALIDATE_PASID,
			.hp = { inv->pasid[0][0][inv->at++ % INV_PASIDS] },
		};

		inv->errors += viommu_host_invalidate(vm->host, vm->dom, &v) != 0;
	}
	return bench_cpu() - t0;
}

void bench_invalidate(struct bench *b)
{
	struct inv *inv = bench_alloc(sizeof(*inv));
	struct comparison c = { .subject = { inv_drained, inv, 1, 0 } };
	struct figures f;
	unsigned int which, h;

	bench_progress(b, "P7 invalidation");
	inv_open(inv);
	inv_rows(b, inv, VIOMMU_INVALIDATE_PASID, "PASID");
	inv_rows(b, inv, VIOMMU_INVALIDATE_DOMAIN, "domain");
	inv_rows(b, inv, VIOMMU_INVALIDATE_GLOBAL, "host");
	bench_compare(b, &c, &f);
	bench_row_value(b, "P7", "invalidate a PASID and drain, one thread", f.value, "ns",
			GOAL_NONE, 0);
	if (inv->errors)
		bench_wrong(b, "P7: %llu calls failed", (unsigned long long)inv->errors);
	for (which = 0; which < 2; which++)
		for (h = 0; h < INV_HOSTS; h++)
			vm_close(&inv->vm[which][h]);
	free(inv);
}

/* ---- P9 ---- */

#define MANY 65536u

static uint64_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

void bench_memory(struct bench *b)
{
	const struct vm_config config = { .bytes = 4 * MIB };
	struct viommu_host_memory before, after, two;
	struct viommu_dma *second;
	uint64_t heap, heap_after, root, i;
	struct vm vm;
	double n = MANY;

	bench_progress(b, "P9 65,536 PASIDs");
	vm_open(&vm, &config);
	root = vm_table(&vm);
	viommu_host_memory(vm.host, &before);
	heap = in_use();
	for (i = 0; i < MANY; i++)
		vm_bind(&vm, root);
	heap_after = in_use();
	viommu_host_memory(vm.host, &after);
	bench_row_value(b, "P9", "a bound PASID besides its entry",
			(double)(after.pasid_records - before.pasid_records) / n, "B", GOAL_AT_MOST,
			64);
	bench_row_value(b, "P9", "PASID directory and tables, a PASID",
			(double)(after.pasid_tables - before.pasid_tables) / n, "B", GOAL_NONE, 0);
	bench_row_value(b, "P9", "65,536 PASIDs, tables, records, caches",
			(double)(after.pasid_tables + after.pasid_records + after.dma) /
				(double)MIB,
			"MiB", GOAL_AT_MOST, 9);
	bench_row_value(b, "P9", "the same by malloc's own count",
			(double)(heap_after - heap + after.dma) / (double)MIB, "MiB", GOAL_AT_MOST,
			9);
	if (viommu_dma_new(vm.host, &second)) {
		bench_wrong(b, "P9: no second DMA object");
	} else {
		viommu_host_memory(vm.host, &two);
		bench_row_value(b, "P9", "a thread's caches",
				(double)(two.dma - after.dma) / (double)KIB, "KiB", GOAL_AT_MOST,
				32);
		viommu_dma_free(second);
	}
	bench_row_value(b, "P9", "caches of a host with one thread, all else",
			(double)(before.dma + before.other) / (double)MIB, "MiB", GOAL_AT_MOST, 1);
	vm_close(&vm);
}

/* ---- Bind ---- */

#define BINDS 1024u

struct binds {
	struct vm vm;
	uint64_t root;
	uint32_t pasid[BINDS];
};

static uint64_t run_bind(void *ctx, uint64_t n)
{
	struct binds *s = ctx;
	uint64_t t0 = bench_now(), i;

	for (i = 0; i < n; i++)
		s->pasid[i % BINDS] = vm_bind(&s->vm, s->root);
	t0 = bench_now() - t0;
	for (i = 0; i < n; i++)
		vm_unbind(&s->vm, s->pasid[i % BINDS]);
	return t0;
}

static uint64_t run_unbind(void *ctx, uint64_t n)
{
	struct binds *s = ctx;
	uint64_t t0, i;

	for (i = 0; i < n; i++)
		s->pasid[i % BINDS] = vm_bind(&s->vm, s->root);
	t0 = bench_now();
	for (i = 0; i < n; i++)
		vm_unbind(&s->vm, s->pasid[i % BINDS]);
	return bench_now() - t0;
}

void bench_bind(struct bench *b)
{
	const struct vm_config config = { .bytes = 4 * MIB };
	struct binds *s = bench_alloc(sizeof(*s));
	struct comparison c = { .subject = { run_bind, s, 1, BINDS } };
	struct figures f;

	bench_progress(b, "bind and unbind");
	vm_open(&s->vm, &config);
	s->root = vm_table(&s->vm);
	bench_compare(b, &c, &f);
	bench_row_value(b, "BIND", "allocate a PASID and bind it", f.value, "ns", GOAL_NONE, 0);
	c.subject.run = run_unbind;
	bench_compare(b, &c, &f);
	bench_row_value(b, "BIND", "unbind (drains) and free it", f.value, "ns", GOAL_NONE, 0);
	vm_close(&s->vm);
	free(s);
}
