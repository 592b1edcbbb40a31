/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accesses in the corners that access.c leaves: regions and large pages that end in the middle of
 * an access, reads of no bytes, copies between PASIDs, dirty bits below the guest's tables, the
 * interrupt window next to memory, faults of each of three stages, tables that are replaced.
 */
#include <sys/mman.h>

#include "host/world.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* An entry without its address. */
#define MASK_LOW (~UINT64_C(0x000ffffffffff000))

static int rd(struct world *w, uint64_t addr, void *buf, size_t n, uint32_t flags,
	      struct viommu_dma_result *res)
{
	return viommu_dma_read(w->dma, w->dev, w->hp.v, addr, buf, n, flags, res);
}

static int wr(struct world *w, uint64_t addr, const void *buf, size_t n, uint32_t flags,
	      struct viommu_dma_result *res)
{
	return viommu_dma_write(w->dma, w->dev, w->hp.v, addr, buf, n, flags, res);
}

static uint64_t misses(const struct world *w)
{
	struct viommu_dma_stats s;

	viommu_dma_stats(w->dma, &s);
	return s.misses;
}

/* Another process of the guest, bound. */
static struct viommu_hp bind_other(struct world *w, struct tables_stage *fs)
{
	struct viommu_gpasid_bind b = { .size = sizeof(b), .addr_width = 48 };

	tables_stage_init(fs, &w->ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w->dom), 300, 900, &b.hp), 0);
	b.gpgd = tables_root(fs);
	assert_int_equal(viommu_host_bind_gpasid(w->dev, w->dom, &b), 0);
	return b.hp;
}

static int invalidate(struct world *w, uint32_t granularity, struct viommu_hp hp, uint64_t addr,
		      uint64_t bytes, struct viommu_device *dev, uint32_t flags)
{
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = granularity,
		.flags = flags,
		.hp = hp,
		.addr = addr,
		.bytes = bytes,
		.dev = dev,
	};

	return viommu_host_invalidate(w->host, w->dom, &inv);
}

/* 1 GiB of address space, aligned, that takes memory only where it is touched. */
static uint8_t *gigabyte(void **all)
{
	uint8_t *p = mmap(NULL, 2 * GIB, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	*all = p;
	return p + (-(uintptr_t)p & (GIB - 1));
}

/* ---- Pages and regions ---- */

static void an_access_goes_on_from_one_region_to_the_next(void **state)
{
	static uint8_t a[8192] __attribute__((aligned(4096)));
	static uint8_t b[8192] __attribute__((aligned(4096)));
	uint8_t out[6000], in[6000];
	struct viommu_dma_result res;
	struct rng rng;
	struct world w;
	unsigned int i;

	(void)state;
	rng_init(&rng, "regions");
	rng_fill(&rng, out, sizeof(out));
	world_open(&w, NULL);
	assert_int_equal(viommu_mem_add_ptr(w.mem, 0x40000000, 8192, a, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(w.mem, 0x40002000, 8192, b, VIOMMU_MEM_READ_ONLY), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(tables_map(&w.fs, WORLD_VA + i * 4096,
					    0x40000000 + (uint64_t)i * 4096, 12, TABLES_RWU),
				 0);
	assert_int_equal(world_bind(&w, 5), 0);
	memcpy(a + 5192, out, 3000);
	memcpy(b, out + 3000, 3000);
	assert_int_equal(rd(&w, WORLD_VA + 5192, in, 6000, 0, &res), 0);
	assert_int_equal(res.done, 6000);
	assert_memory_equal(in, out, 6000);
	/* A write ends where memory becomes read-only, a read where it ends. */
	rng_fill(&rng, out, sizeof(out));
	memcpy(in, b, 3000);
	assert_int_equal(wr(&w, WORLD_VA + 5192, out, 6000, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.done, 3000);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_int_equal(res.fault.addr, WORLD_VA + 8192);
	assert_memory_equal(a + 5192, out, 3000);
	assert_memory_equal(b, in, 3000);
	assert_int_equal(rd(&w, WORLD_VA + 12288, in, 6000, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.done, 4096);
	assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
	assert_int_equal(res.fault.stage_addr, 0x40004000);
	world_close(&w);
}

static void a_gigabyte_is_translated_in_every_part(void **state)
{
	struct viommu_dma_span span;
	struct world w;
	uint8_t *host, in[64], out[64];
	uint64_t first;
	struct rng rng;
	void *all;
	unsigned int i;

	(void)state;
	rng_init(&rng, "gigabyte");
	host = gigabyte(&all);
	world_open(&w, NULL);
	assert_int_equal(viommu_mem_add_ptr(w.mem, 4 * GIB, GIB, host, 0), 0);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 4 * GIB, 30, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	for (i = 0; i < 400; i++) {
		/* Also across the borders of 2 MiB that the caches cut it at. */
		uint64_t at = rng_one_in(&rng, 2)
				      ? rng_range(&rng, 1, 511) * 2 * MIB - rng_below(&rng, 64)
				      : rng_below(&rng, GIB - 64);

		rng_fill(&rng, out, sizeof(out));
		assert_int_equal(wr(&w, WORLD_VA + at, out, sizeof(out), 0, NULL), 0);
		assert_memory_equal(host + at, out, sizeof(out));
		assert_int_equal(rd(&w, WORLD_VA + at, in, sizeof(in), 0, NULL), 0);
		assert_memory_equal(in, out, sizeof(in));
	}
	assert_int_equal(rd(&w, WORLD_VA + 6 * MIB, in, 1, 0, NULL), 0);
	first = misses(&w);
	assert_int_equal(rd(&w, WORLD_VA + 6 * MIB + 0x123456, in, 1, 0, NULL), 0);
	assert_int_equal(misses(&w), first);
	viommu_dma_begin(w.dma);
	assert_int_equal(viommu_dma_translate(w.dma, w.dev, w.hp.v, WORLD_VA + GIB - 4096,
					      VIOMMU_WRITE, &span),
			 0);
	assert_ptr_equal(span.host, host + GIB - 4096);
	assert_int_equal(span.bytes, 4096);
	viommu_dma_end(w.dma);
	assert_int_equal(rd(&w, WORLD_VA + GIB, in, 1, 0, NULL), VIOMMU_FAULTED);
	world_close(&w);
	munmap(all, 2 * GIB);
}

static void a_large_page_is_cut_where_the_memory_below_it_ends(void **state)
{
	uint8_t one = 9, *ram;
	struct viommu_dma_result res;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	/* 1 GiB of the guest's over 16 MiB of memory. */
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 0, 30, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	ram = world_ptr(&w, WORLD_BYTES - 1);
	*ram = 3;
	assert_int_equal(rd(&w, WORLD_VA + WORLD_BYTES - 1, &one, 1, 0, NULL), 0);
	assert_int_equal(one, 3);
	assert_int_equal(rd(&w, WORLD_VA + WORLD_BYTES, &one, 1, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
	assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(res.fault.stage_addr, WORLD_BYTES);
	world_close(&w);
}

static void a_read_of_no_bytes_asks_for_permission_only(void **state)
{
	struct viommu_dma_result res;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_R | TABLES_U);
	world_map(&w, WORLD_VA + 4096, TABLES_RW);
	assert_int_equal(world_bind(&w, 5), 0);
	memset(&res, 0xff, sizeof(res));
	assert_int_equal(rd(&w, WORLD_VA + 5, NULL, 0, 0, &res), 0);
	assert_int_equal(res.done, 0);
	assert_int_equal(rd(&w, WORLD_VA + 8192, NULL, 0, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(rd(&w, WORLD_VA + 4096, NULL, 0, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_USER);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v + 1, WORLD_VA, NULL, 0, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_NP);
	assert_int_equal(w.faults, 3);
	/* A write of none is nothing, wherever. */
	assert_int_equal(wr(&w, WORLD_VA + 8192, NULL, 0, 0, &res), 0);
	assert_int_equal(w.faults, 3);
	world_close(&w);
}

/* ---- Copies, lists and batches ---- */

static void a_copy_between_pasids_names_the_side_that_faulted(void **state)
{
	static uint8_t out[10000], in[10000];
	struct viommu_dma_result res;
	struct tables_stage fs;
	struct viommu_hp other;
	struct world w;
	struct rng rng;
	unsigned int i;

	(void)state;
	rng_init(&rng, "pasids");
	rng_fill(&rng, out, sizeof(out));
	world_open(&w, NULL);
	assert_int_equal(world_bind(&w, 5), 0);
	other = bind_other(&w, &fs);
	/* The same addresses, other pages; the other has one page less. */
	for (i = 0; i < 4; i++) {
		world_map(&w, WORLD_VA + i * 4096, TABLES_RWU);
		if (i < 3)
			assert_int_equal(tables_map(&fs, WORLD_VA + i * 4096, world_page(&w), 12,
						    TABLES_RWU),
					 0);
	}
	assert_int_equal(wr(&w, WORLD_VA + 100, out, sizeof(out), 0, NULL), 0);
	assert_int_equal(viommu_dma_copy(w.dma, w.dev, other.v, WORLD_VA + 1500, w.hp.v,
					 WORLD_VA + 100, sizeof(out), 0, &res),
			 0);
	assert_int_equal(res.done, sizeof(out));
	assert_int_equal(viommu_dma_read(w.dma, w.dev, other.v, WORLD_VA + 1500, in, sizeof(in), 0,
					 NULL),
			 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(rd(&w, WORLD_VA + 100, in, sizeof(in), 0, NULL), 0);
	assert_memory_equal(in, out, sizeof(in));

	assert_int_equal(viommu_dma_copy(w.dma, w.dev, other.v, WORLD_VA + 8000, w.hp.v, WORLD_VA,
					 6000, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.done, 12288 - 8000);
	assert_int_equal(res.fault.addr, WORLD_VA + 12288);
	assert_int_equal(res.fault.access & VIOMMU_WRITE, VIOMMU_WRITE);
	assert_int_equal(res.fault.pasid, other.v);
	assert_int_equal(viommu_dma_copy(w.dma, w.dev, w.hp.v, WORLD_VA, other.v, WORLD_VA + 8000,
					 6000, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.done, 12288 - 8000);
	assert_int_equal(res.fault.addr, WORLD_VA + 12288);
	assert_int_equal(res.fault.access, VIOMMU_READ);
	assert_int_equal(res.fault.pasid, other.v);
	world_close(&w);
}

static void an_overlap_across_mirrored_pages_is_a_memmove(void **state)
{
	static uint8_t model[3 * 4096], in[3 * 4096];
	struct world w;
	struct rng rng;
	unsigned int i;

	(void)state;
	rng_init(&rng, "overlap");
	world_open(&w, NULL);
	for (i = 0; i < 3; i++)
		world_map(&w, WORLD_VA + (2 - i) * 4096, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	/* By one byte, by a page, both ways, with and without the caches bypassed. */
	for (i = 0; i < 64; i++) {
		uint64_t by = i & 1 ? 1 : rng_range(&rng, 1, 4200), n = sizeof(model) - by;
		uint64_t dst = i & 2 ? by : 0, src = i & 2 ? 0 : by;

		rng_fill(&rng, model, sizeof(model));
		assert_int_equal(wr(&w, WORLD_VA, model, sizeof(model), 0, NULL), 0);
		assert_int_equal(viommu_dma_copy(w.dma, w.dev, w.hp.v, WORLD_VA + dst, w.hp.v,
						 WORLD_VA + src, n,
						 i & 4 ? VIOMMU_DMA_NO_ALLOCATE : 0, NULL),
				 0);
		memmove(model + dst, model + src, n);
		assert_int_equal(rd(&w, WORLD_VA, in, sizeof(in), 0, NULL), 0);
		assert_memory_equal(in, model, sizeof(in));
	}
	world_close(&w);
}

static void a_list_counts_the_segments_before_its_fault(void **state)
{
	const struct viommu_dma_seg seg[] = { { WORLD_VA + 10, 20 },
					      { WORLD_VA + 4090, 10 },
					      { WORLD_VA + 30, 5 } };
	const struct viommu_dma_seg wraps[] = { { WORLD_VA, 4 }, { UINT64_MAX - 3, 8 } };
	struct viommu_dma_result res;
	uint8_t out[35], in[35] = { 0 }, zero[5] = { 0 };
	struct world w;
	struct rng rng;

	(void)state;
	rng_init(&rng, "list");
	rng_fill(&rng, out, sizeof(out));
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(viommu_dma_writev(w.dma, w.dev, w.hp.v, seg, 3, out, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.done, 26);
	assert_int_equal(res.fault.addr, WORLD_VA + 4096);
	assert_int_equal(viommu_dma_readv(w.dma, w.dev, w.hp.v, seg, 3, in, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.done, 26);
	assert_memory_equal(in, out, 26);
	assert_int_equal(rd(&w, WORLD_VA + 30, in, 5, 0, NULL), 0);
	assert_memory_equal(in, zero, 5);
	/* What cannot be is found before anything is done. */
	assert_int_equal(viommu_dma_writev(w.dma, w.dev, w.hp.v, wraps, 2, out, 0, NULL), -EINVAL);
	assert_int_equal(rd(&w, WORLD_VA, in, 4, 0, NULL), 0);
	assert_memory_equal(in, zero, 4);
	world_close(&w);
}

static void a_batch_does_each_kind_on_each_pasid(void **state)
{
	uint8_t out[100], in[100], expect[11];
	struct viommu_dma_op ops[4];
	struct tables_stage fs;
	struct viommu_hp other;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	other = bind_other(&w, &fs);
	assert_int_equal(tables_map(&fs, WORLD_VA, world_page(&w), 12, TABLES_RWU), 0);
	memset(out, 0x5a, sizeof(out));
	memset(ops, 0, sizeof(ops));
	for (i = 0; i < 4; i++) {
		ops[i].dev = w.dev;
		ops[i].pasid = i & 1 ? other.v : w.hp.v;
		ops[i].kind = i < 2 ? VIOMMU_DMA_WRITE : VIOMMU_DMA_FILL;
		ops[i].buf = out;
		ops[i].addr = WORLD_VA + (i < 2 ? 0 : 1003);
		ops[i].bytes = i < 2 ? sizeof(out) : 11;
		ops[i].pattern = UINT64_C(0x0807060504030201) << (4 * (i & 1));
	}
	ops[1].flags = VIOMMU_PRIV;
	assert_int_equal(viommu_dma_batch(w.dma, ops, 4), 3);
	assert_int_equal(ops[1].status, VIOMMU_FAULTED);
	assert_int_equal(ops[1].res.fault.reason, VTD_FR_PE_SRE);
	assert_int_equal(ops[0].res.done, sizeof(out));
	assert_int_equal(ops[2].res.done, 11);
	assert_int_equal(ops[3].res.done, 11);
	assert_int_equal(rd(&w, WORLD_VA, in, sizeof(in), 0, NULL), 0);
	assert_memory_equal(in, out, sizeof(in));
	for (i = 2; i < 4; i++) {
		unsigned int k;

		for (k = 0; k < 11; k++)
			expect[k] = (uint8_t)(ops[i].pattern >> (8 * (k % 8)));
		assert_int_equal(viommu_dma_read(w.dma, w.dev, ops[i].pasid, WORLD_VA + 1003, in,
						 12, 0, NULL),
				 0);
		assert_memory_equal(in, expect, 11);
		assert_int_equal(in[11], 0);
	}
	world_close(&w);
}

/* ---- Permissions and dirty bits ---- */

/* Batches that miss look ahead: what comes of it is what single accesses give. */
static void a_batch_that_misses_is_as_good_as_single_accesses(void **state)
{
	enum {
		OPS = 100,
		ROUNDS = 6,
		PAGES = 2048,
	};
	static struct viommu_dma_op ops[OPS];
	static uint64_t word[OPS];
	struct tables_stage *fs;
	uint64_t gpa, va;
	struct world w;
	struct rng rng;
	unsigned int i, round;

	(void)state;
	world_open(&w, NULL);
	fs = &w.fs;
	rng_init(&rng, "batch");
	gpa = world_page(&w);
	for (i = 1; i < 64; i++)
		world_page(&w);
	/* Aliases of 64 pages over more tables than are cached; holes, pages that are only read. */
	for (i = 0; i < PAGES; i++) {
		va = WORLD_VA + (uint64_t)i * 0x1000 + (uint64_t)(i / 64) * 0x200000;
		if (i % 7)
			assert_int_equal(tables_map(fs, va, gpa + (i % 64) * 0x1000, 12,
						    i % 5 ? TABLES_RWU : TABLES_R | TABLES_U),
					 0);
	}
	for (i = 0; i < 64; i++)
		*(uint64_t *)world_ptr(&w, gpa + i * 0x1000) = i;
	assert_int_equal(world_bind(&w, 5), 0);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < OPS; i++) {
			unsigned int page = (unsigned int)rng_below(&rng, PAGES);

			ops[i] = (struct viommu_dma_op){
				.dev = w.dev,
				.pasid = rng_one_in(&rng, 20) ? w.hp.v + 1 : w.hp.v,
				.kind = rng_one_in(&rng, 20)  ? 9
					: rng_one_in(&rng, 3) ? VIOMMU_DMA_WRITE
							      : VIOMMU_DMA_READ,
				.addr = WORLD_VA + (uint64_t)page * 0x1000 +
					(uint64_t)(page / 64) * 0x200000,
				.buf = &word[i],
				.bytes = 8,
			};
			word[i] = page % 64;
			if (rng_one_in(&rng, 20))
				ops[i].addr = rng_u64(&rng) & ~UINT64_C(7);
		}
		viommu_dma_batch(w.dma, ops, OPS);
		for (i = 0; i < OPS; i++) {
			uint64_t now = 0;
			int want = viommu_dma_read(w.dma, w.dev, ops[i].pasid, ops[i].addr, &now, 8,
						   0, NULL);

			if (ops[i].kind == 9) {
				assert_int_equal(ops[i].status, -EINVAL);
				continue;
			}
			if (ops[i].kind == VIOMMU_DMA_WRITE && !want)
				want = viommu_dma_write(w.dma, w.dev, ops[i].pasid, ops[i].addr,
							&now, 8, 0, NULL);
			assert_int_equal(ops[i].status, want);
			if (!want)
				assert_int_equal(word[i], now);
		}
	}
	/* What was written was what stood there. */
	for (i = 0; i < 64; i++)
		assert_int_equal(*(uint64_t *)world_ptr(&w, gpa + i * 0x1000), i);
	assert_true(misses(&w) > OPS);
	world_close(&w);
}

static void a_page_cached_for_the_supervisor_stays_closed_to_users(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct viommu_dma_result res;
	struct world w;
	uint32_t v = 1;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RW);
	world_map(&w, WORLD_VA + 4096, TABLES_R | TABLES_U | TABLES_D);
	b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
					    .levels = 4,
					    .flags = VIOMMU_STAGE_SRE,
					    .root = tables_root(&w.fs) };
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(wr(&w, WORLD_VA, &v, 4, VIOMMU_PRIV, NULL), 0);
		assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_FS_USER);
		/* Without WPE the supervisor writes what users only read. */
		assert_int_equal(wr(&w, WORLD_VA + 4096, &v, 4, VIOMMU_PRIV, NULL), 0);
		assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, NULL), 0);
		assert_int_equal(wr(&w, WORLD_VA + 4096, &v, 4, 0, &res), VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	}
	world_close(&w);
}

struct leaf {
	struct viommu_recorder rec;
	uint64_t entry; /* the last of the domain's that was read on the main line */
};

static void note_leaf(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct leaf *leaf = (struct leaf *)rec;

	if (step->kind == VIOMMU_STEP_READ && step->stage == 1 && !step->depth)
		leaf->entry = step->value;
}

/* The domain's entry that maps what va leads to. */
static uint64_t domain_leaf(struct world *w, uint64_t va)
{
	const struct viommu_path_request req = { .pasid = w->hp.v,
						 .access = VIOMMU_READ,
						 .addr = va };
	struct leaf leaf = { .rec.step = note_leaf };
	struct viommu_walk_result out;
	struct viommu_path_result path;

	assert_int_equal(viommu_host_walk(w->dev, &req, VIOMMU_WALK_DRY, &leaf.rec, &path, &out),
			 0);
	assert_true(leaf.entry != 0);
	return leaf.entry;
}

static void a_write_through_a_cached_page_dirties_both_stages(void **state)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	const struct world_config config = { .domain_flags = VIOMMU_DOMAIN_DIRTY };
	uint64_t *leaf, old, count;
	struct world w;
	uint32_t v = 1;

	(void)state;
	world_open(&w, &config);
	/* A region of its own: the guest's tables lie below another entry of the domain. */
	assert_int_equal(viommu_mem_add_ptr(w.mem, 0x40000000, 4096, page, 0), 0);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 0x40000000, 12, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	leaf = tables_entry(&w.fs, WORLD_VA, 1);
	assert_false(domain_leaf(&w, WORLD_VA) & VTD_MASK(VTD_SS_A));
	assert_false(*leaf & VTD_MASK(VTD_FS_A));
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_true(domain_leaf(&w, WORLD_VA) & VTD_MASK(VTD_SS_A));
	assert_false(domain_leaf(&w, WORLD_VA) & VTD_MASK(VTD_SS_D));
	assert_false(*leaf & VTD_MASK(VTD_FS_D));
	assert_int_equal(viommu_dma_atomic(w.dma, w.dev, w.hp.v, WORLD_VA, 8,
					   VIOMMU_ATOMIC_FETCH_ADD, 1, 0, 0, &old, NULL),
			 0);
	assert_true(domain_leaf(&w, WORLD_VA) & VTD_MASK(VTD_SS_D));
	assert_true(*leaf & VTD_MASK(VTD_FS_D));
	/* Now writes need the tables no more ... */
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	count = misses(&w);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(misses(&w), count);
	/* ... until the guest cleans the page and says so. */
	*leaf &= ~(VTD_MASK(VTD_FS_D) | VTD_MASK(VTD_FS_A));
	assert_int_equal(invalidate(&w, VIOMMU_INVALIDATE_RANGE, w.hp, WORLD_VA, 4096, NULL, 0), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_true(*leaf & VTD_MASK(VTD_FS_A));
	assert_false(*leaf & VTD_MASK(VTD_FS_D));
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_true(*leaf & VTD_MASK(VTD_FS_D));
	world_close(&w);
}

static void a_large_page_cached_by_a_read_is_dirtied_before_a_write(void **state)
{
	uint64_t *leaf;
	struct world w;
	uint32_t v = 1;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 4 * MIB, 21, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	leaf = tables_entry(&w.fs, WORLD_VA, 2);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_true(*leaf & VTD_MASK(VTD_FS_A));
	assert_false(*leaf & VTD_MASK(VTD_FS_D));
	assert_int_equal(wr(&w, WORLD_VA + MIB, &v, 4, 0, NULL), 0);
	assert_true(*leaf & VTD_MASK(VTD_FS_D));
	world_close(&w);
}

/* ---- Three stages ---- */

static void each_of_three_stages_faults_as_itself(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 2 };
	struct viommu_dma_result res;
	struct tables_stage ss, fs;
	uint64_t page;
	struct world w;
	uint32_t v = 0;

	(void)state;
	world_open(&w, NULL);
	tables_stage_init(&ss, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	tables_stage_init(&fs, &w.ram, &ss, VIOMMU_FORMAT_VTD_FS, 4);
	page = world_page(&w);
	assert_int_equal(tables_map(&ss, 0x7000, page, 12, TABLES_R), 0);
	assert_int_equal(tables_map(&ss, 0x9000, 0x50000000, 12, TABLES_RW), 0);
	assert_int_equal(tables_map(&fs, WORLD_VA, 0x7000, 12, TABLES_RWU), 0);
	assert_int_equal(tables_map(&fs, WORLD_VA + 0x1000, 0x8000, 12, TABLES_RWU), 0);
	assert_int_equal(tables_map(&fs, WORLD_VA + 0x2000, 0x9000, 12, TABLES_RWU), 0);
	tables_stage(&fs, 52, &b.stage[0]);
	tables_stage(&ss, 52, &b.stage[1]);
	b.stage[0].flags &= ~(uint32_t)VIOMMU_STAGE_SRE;
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), 0);
	*(uint32_t *)world_ptr(&w, page) = 4711;
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 4711);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_int_equal(res.fault.stage, 1);
	assert_false(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(rd(&w, WORLD_VA + 0x1000, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
	assert_int_equal(res.fault.stage, 1);
	assert_int_equal(res.fault.stage_addr, 0x8000);
	assert_false(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(rd(&w, WORLD_VA + 0x2000, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
	assert_int_equal(res.fault.stage, 2);
	assert_int_equal(res.fault.stage_addr, 0x50000000);
	assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(rd(&w, WORLD_VA + 0x3000, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(res.fault.stage, 0);
	/* The middle stage changes: the page that it named before is not read again. */
	page = world_page(&w);
	*(uint32_t *)world_ptr(&w, page) = 4712;
	assert_int_equal(tables_map(&ss, 0x7000, page, 12, TABLES_RW), 0);
	assert_int_equal(invalidate(&w, VIOMMU_INVALIDATE_PASID, w.hp, 0, 0, NULL, 0), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 4712);
	world_close(&w);
}

/* ---- The interrupt window ---- */

struct message {
	unsigned int count;
	uint64_t addr;
	uint32_t data;
};

static void on_interrupt(void *ctx, struct viommu_device *dev, uint64_t addr, uint32_t data)
{
	struct message *m = ctx;

	(void)dev;
	m->count++;
	m->addr = addr;
	m->data = data;
}

static void no_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	(void)ctx;
	(void)dev;
	(void)fault;
}

/* A VM whose memory lies below, under and above the window, in one page of 1 GiB. */
static void open_window(struct world *w, struct message *m, uint8_t *host)
{
	const struct world_config config = {
		.ops = { .ctx = m, .fault = no_fault, .interrupt = on_interrupt }
	};
	const struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED };

	memset(m, 0, sizeof(*m));
	world_open(w, &config);
	assert_int_equal(viommu_mem_add_ptr(w->mem, 3 * GIB, GIB, host, 0), 0);
	assert_int_equal(viommu_device_attach(w->dev, w->dom, &b), 0);
}

static void memory_beside_the_window_ends_at_it(void **state)
{
	struct viommu_bind b = { .size = sizeof(b),
				 .kind = VIOMMU_BIND_NESTED,
				 .nr = 1,
				 .stage[0] = { .format = VIOMMU_FORMAT_VTD_FS, .levels = 4 } };
	static uint8_t buf[8192];
	struct viommu_dma_result res;
	struct viommu_dma_span span;
	struct message m;
	struct world w;
	uint8_t *host, *window;
	unsigned int round;
	void *all;

	(void)state;
	host = gigabyte(&all);
	window = host + (VTD_WINDOW_BASE - 3 * GIB);
	memset(window - 4096, 0x11, 4096);
	memset(window, 0x22, MIB);
	memset(window + MIB, 0x33, 4096);
	open_window(&w, &m, host);
	/*
	 * The first time nothing is cached, the second time what may be is. Then the same by a
	 * guest's own large page, over the domain's.
	 */
	assert_int_equal(tables_map(&w.fs, 3 * GIB, 3 * GIB, 30, TABLES_RWU), 0);
	b.stage[0].root = tables_root(&w.fs);
	for (round = 0; round < 4; round++) {
		if (round == 2)
			assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
		memset(buf, 0, sizeof(buf));
		assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID,
						 VTD_WINDOW_BASE - 4096, buf, 8192, 0, &res),
				 VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
		assert_int_equal(res.fault.addr, VTD_WINDOW_BASE);
		assert_int_equal(res.done, 4096);
		assert_int_equal(buf[4095], 0x11);
		assert_int_equal(buf[4096], 0);
		assert_int_equal(viommu_dma_fill(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE - 8,
						 0, 16, 0, &res),
				 VIOMMU_FAULTED);
		assert_int_equal(res.done, 8);
		assert_int_equal(viommu_dma_copy(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE - 8,
						 VIOMMU_NO_PASID, VTD_WINDOW_BASE - 4096, 16, 0,
						 &res),
				 VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
		assert_int_equal(res.done, 8);
		assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_LAST + 1,
						 buf, 1, 0, &res),
				 0);
		assert_int_equal(buf[0], 0x33);
		assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_LAST,
						 buf, 1, 0, &res),
				 VIOMMU_FAULTED);
		viommu_dma_begin(w.dma);
		assert_int_equal(viommu_dma_translate(w.dma, w.dev, VIOMMU_NO_PASID, 3 * GIB,
						      VIOMMU_READ, &span),
				 0);
		assert_true(span.bytes <= VTD_WINDOW_BASE - 3 * GIB);
		viommu_dma_end(w.dma);
	}
	assert_int_equal(window[0], 0x22);
	assert_int_equal(window[MIB - 1], 0x22);
	assert_int_equal(m.count, 0);
	world_close(&w);
	munmap(all, 2 * GIB);
}

static void only_an_aligned_dword_write_is_a_message(void **state)
{
	const struct viommu_dma_seg seg[] = { { 0xfee01000, 4 }, { 0xfee01004, 4 } };
	const uint32_t two[] = { 0x31, 0x32 };
	struct viommu_dma_result res;
	struct message m;
	struct world w;
	uint64_t old;
	uint8_t *host;
	uint32_t v = 0x4041;
	void *all;

	(void)state;
	host = gigabyte(&all);
	open_window(&w, &m, host);
	assert_int_equal(
		viommu_dma_write(w.dma, w.dev, VIOMMU_NO_PASID, 0xfeeffffc, &v, 4, 0, &res), 0);
	assert_int_equal(res.done, 4);
	assert_int_equal(m.count, 1);
	assert_int_equal(m.addr, 0xfeeffffc);
	assert_int_equal(m.data, 0x4041);
	assert_int_equal(viommu_dma_writev(w.dma, w.dev, VIOMMU_NO_PASID, seg, 2, two, 0, &res), 0);
	assert_int_equal(res.done, 8);
	assert_int_equal(m.count, 3);
	assert_int_equal(m.data, 0x32);
#define BLOCKED(call)                                                 \
	do {                                                          \
		assert_int_equal(call, VIOMMU_FAULTED);               \
		assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW); \
		assert_int_equal(res.done, 0);                        \
		assert_int_equal(m.count, 3);                         \
	} while (0)
	BLOCKED(viommu_dma_write(w.dma, w.dev, VIOMMU_NO_PASID, 0xfee00002, &v, 4, 0, &res));
	BLOCKED(viommu_dma_write(w.dma, w.dev, VIOMMU_NO_PASID, 0xfee00000, &v, 2, 0, &res));
	BLOCKED(viommu_dma_fill(w.dma, w.dev, VIOMMU_NO_PASID, 0xfee00000, 1, 4, 0, &res));
	BLOCKED(viommu_dma_atomic(w.dma, w.dev, VIOMMU_NO_PASID, 0xfee00000, 4, VIOMMU_ATOMIC_SWAP,
				  1, 0, 0, &old, &res));
	BLOCKED(viommu_dma_copy(w.dma, w.dev, VIOMMU_NO_PASID, 3 * GIB, VIOMMU_NO_PASID, 0xfee00000,
				4, 0, &res));
#undef BLOCKED
	/* With PASID it is memory like any other. */
	assert_int_equal(tables_map(&w.fs, 0xfee00000, 3 * GIB, 12, TABLES_RWU), 0);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 0xfee00000, 12, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(wr(&w, 0xfee00000, &v, 4, 0, NULL), 0);
	assert_memory_equal(host, &v, 4);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_memory_equal(host + (VTD_WINDOW_BASE - 3 * GIB), &v, 4);
	assert_int_equal(m.count, 3);
	world_close(&w);
	munmap(all, 2 * GIB);
}

/* Of a device that nothing was ever attached to: the window comes before all tables. */
static void a_message_needs_nothing_that_is_bound(void **state)
{
	const struct world_config config = { .device_flags = VIOMMU_DEVICE_ATS };
	struct viommu_ats_result r;
	struct viommu_dma_result res;
	struct viommu_dma_span span;
	struct world w;
	uint32_t v = 0x4021;

	(void)state;
	world_open(&w, &config);
	assert_int_equal(viommu_dma_write(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE, &v, 4, 0,
					  &res),
			 0);
	assert_int_equal(
		viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE, &v, 0, 0, &res), 0);
	viommu_dma_begin(w.dma);
	assert_int_equal(viommu_dma_translate(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE,
					      VIOMMU_WRITE, &span),
			 0);
	assert_null(span.host);
	viommu_dma_end(w.dma);
	assert_int_equal(viommu_ats_translate(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE, 0, &r,
					      NULL),
			 0);
	assert_int_equal(r.untranslated, 1);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, VTD_WINDOW_BASE, &v, 4, 0,
					 &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
	world_close(&w);
}

/* ---- Caches ---- */

static void replaced_tables_of_every_level_are_not_walked_again(void **state)
{
	uint64_t page[2], spare[4];
	struct tables_stage fs;
	struct viommu_hp other;
	struct world w;
	unsigned int level;
	uint64_t count;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	page[0] = world_map(&w, WORLD_VA, TABLES_R | TABLES_U);
	world_map(&w, WORLD_VA + 4096, TABLES_R | TABLES_U);
	page[1] = world_page(&w);
	*(uint32_t *)world_ptr(&w, page[0]) = 10;
	assert_int_equal(world_bind(&w, 5), 0);
	other = bind_other(&w, &fs);
	assert_int_equal(tables_map(&fs, WORLD_VA, page[1], 12, TABLES_R | TABLES_U), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, other.v, WORLD_VA, &v, 4, 0, NULL), 0);
	/* A copy of the table below the entry of this level, whose pages lead elsewhere. */
	for (level = 2; level <= 4; level++) {
		uint64_t *entry = tables_entry(&w.fs, WORLD_VA, level), below;
		unsigned int l;

		assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
		assert_int_equal(v, 10 * (level - 1));
		below = *entry;
		for (l = level - 1; l; l--) {
			uint64_t *old = tables_entry(&w.fs, WORLD_VA, l);

			spare[l] = world_page(&w);
			memcpy(world_ptr(&w, spare[l]), (void *)((uintptr_t)old & ~(uintptr_t)4095),
			       4096);
		}
		for (l = level - 1; l; l--) {
			unsigned int index = WORLD_VA >> (3 + 9 * l) & 511;
			uint64_t *e = (uint64_t *)world_ptr(&w, spare[l]) + index;
			uint64_t to = l > 1 ? spare[l - 1] : world_page(&w);

			*e = (*e & MASK_LOW) | to;
			if (l == 1)
				*(uint32_t *)world_ptr(&w, to) = 10 * level;
		}
		*entry = (below & MASK_LOW) | spare[level - 1];
		assert_int_equal(
			invalidate(&w, VIOMMU_INVALIDATE_RANGE, w.hp, WORLD_VA, 4096, NULL, 0), 0);
		/* The neighbour first: it shares the tables, not the page. */
		assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, NULL), 0);
		assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
		assert_int_equal(v, 10 * level);
		count = misses(&w);
		assert_int_equal(viommu_dma_read(w.dma, w.dev, other.v, WORLD_VA, &v, 4, 0, NULL),
				 0);
		assert_int_equal(misses(&w), count);
	}
	world_close(&w);
}

static void an_invalidation_of_one_device_keeps_the_others(void **state)
{
	struct viommu_device_config vc = { .size = sizeof(vc),
					   .sid = WORLD_SID + 8,
					   .flags = VIOMMU_DEVICE_PASID };
	struct viommu_gpasid_bind b = { .size = sizeof(b), .addr_width = 48 };
	struct viommu_device *dev[2];
	uint64_t page, before;
	struct world w;
	unsigned int i;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	page = world_page(&w);
	*(uint32_t *)world_ptr(&w, page) = 1;
	dev[0] = w.dev;
	assert_int_equal(viommu_device_new(w.host, &vc, &dev[1]), 0);
	b.hp = w.hp;
	b.gpgd = tables_root(&w.fs);
	for (i = 0; i < 2; i++) {
		assert_int_equal(viommu_host_bind_gpasid(dev[i], w.dom, &b), 0);
		assert_int_equal(viommu_dma_read(w.dma, dev[i], w.hp.v, WORLD_VA, &v, 4, 0, NULL),
				 0);
		assert_int_equal(v, 0);
	}
	assert_int_equal(tables_map(&w.fs, WORLD_VA, page, 12, TABLES_RWU), 0);
	assert_int_equal(invalidate(&w, VIOMMU_INVALIDATE_PASID, w.hp, 0, 0, dev[1], 0), 0);
	assert_int_equal(viommu_dma_read(w.dma, dev[1], w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 1);
	before = misses(&w);
	assert_int_equal(viommu_dma_read(w.dma, dev[0], w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(misses(&w), before);
	/* Every device; without waiting, what begins later sees it all the same. */
	assert_int_equal(invalidate(&w, VIOMMU_INVALIDATE_PASID, w.hp, 0, 0, NULL,
				    VIOMMU_INVALIDATE_NO_DRAIN),
			 0);
	assert_int_equal(viommu_dma_read(w.dma, dev[0], w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 1);
	assert_int_equal(misses(&w), before + 1);
	viommu_host_drain(w.host);
	world_close(&w);
}

static void requests_without_pasid_are_invalidated_by_pasid_zero(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	uint64_t page, before;
	struct world w;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	page = world_page(&w);
	*(uint32_t *)world_ptr(&w, page) = 1;
	b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
					    .levels = 4,
					    .root = tables_root(&w.fs) };
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, WORLD_VA, &v, 4, 0, NULL),
			 0);
	assert_int_equal(v, 0);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, page, 12, TABLES_RWU), 0);
	assert_int_equal(invalidate(&w, VIOMMU_INVALIDATE_RANGE, (struct viommu_hp){ 0 }, WORLD_VA,
				    4096, NULL, 0),
			 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, WORLD_VA, &v, 4, 0, NULL),
			 0);
	assert_int_equal(v, 1);
	before = misses(&w);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(misses(&w), before);
	world_close(&w);
}

static void an_address_above_the_levels_misses_what_it_aliases(void **state)
{
	static const unsigned int levels[] = { 4, 5 };
	struct viommu_dma_result res;
	unsigned int i, bit, size;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (size = 12; size <= 21; size += 9) {
			const struct world_config config = { .fs_levels = levels[i] };
			unsigned int top = levels[i] == 5 ? 57 : 48;
			struct world w;
			uint32_t v = 1;

			world_open(&w, &config);
			assert_int_equal(tables_map(&w.fs, WORLD_VA, 4 * MIB, size, TABLES_RWU), 0);
			assert_int_equal(world_bind(&w, 5), 0);
			assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
			for (bit = top - 1; bit < 64; bit++) {
				uint64_t va = WORLD_VA ^ UINT64_C(1) << bit;
				unsigned int round;

				for (round = 0; round < 2; round++) {
					assert_int_equal(wr(&w, va, &v, 4, 0, &res),
							 VIOMMU_FAULTED);
					assert_int_equal(res.fault.reason, VTD_FR_FS_CANONICAL);
					assert_int_equal(res.fault.addr, va);
					assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
				}
			}
			world_close(&w);
		}
	}
}

static void written_pages_beyond_the_caches_keep_their_own_bytes(void **state)
{
	enum {
		N = 5000
	};
	uint64_t region = UINT64_C(0x40000000), before;
	struct world w;
	uint32_t v, *ram;
	void *all;
	unsigned int i;

	(void)state;
	ram = (uint32_t *)(void *)gigabyte(&all);
	world_open(&w, NULL);
	assert_int_equal(viommu_mem_add_ptr(w.mem, region, GIB, ram, 0), 0);
	/* In no order of the memory below. */
	for (i = 0; i < N; i++)
		assert_int_equal(tables_map(&w.fs, WORLD_VA + i * 4096ull,
					    region + i * 2027ull % N * 4096, 12, TABLES_RWU),
				 0);
	assert_int_equal(world_bind(&w, 5), 0);
	for (i = 0; i < N; i++) {
		v = i ^ 0x5555;
		assert_int_equal(wr(&w, WORLD_VA + i * 4096ull + 8, &v, 4, 0, NULL), 0);
	}
	for (i = 0; i < N; i++)
		assert_int_equal(ram[i * 2027ull % N * 1024 + 2], i ^ 0x5555);
	before = misses(&w);
	for (i = 0; i < N; i++) {
		unsigned int k = i * 3571u % N;

		assert_int_equal(rd(&w, WORLD_VA + k * 4096ull + 8, &v, 4, 0, NULL), 0);
		assert_int_equal(v, k ^ 0x5555);
	}
	/* It was about the overflow. */
	assert_true(misses(&w) > before + N / 2);
	world_close(&w);
	munmap(all, 2 * GIB);
}

static void memory_that_is_exchanged_is_not_read_from_the_caches(void **state)
{
	uint8_t *host, *half[2], v;
	struct viommu_dma_result res;
	struct world w;
	void *all;
	unsigned int i;

	(void)state;
	host = gigabyte(&all);
	half[0] = host;
	half[1] = host + 4 * MIB;
	half[0][5] = 1;
	half[1][5] = 2;
	world_open(&w, NULL);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, GIB, 21, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	for (i = 0; i < 6; i++) {
		/* Whole pages of 2 MiB, and half of one. */
		uint64_t bytes = i < 3 ? 2 * MIB : MIB;

		assert_int_equal(viommu_mem_add_ptr(w.mem, GIB, bytes, half[i & 1], 0), 0);
		assert_int_equal(rd(&w, WORLD_VA + 5, &v, 1, 0, NULL), 0);
		assert_int_equal(v, 1 + (i & 1));
		assert_int_equal(rd(&w, WORLD_VA + 2 * MIB - 1, &v, 1, 0, &res),
				 i < 3 ? 0 : VIOMMU_FAULTED);
		assert_int_equal(viommu_mem_remove(w.mem, GIB, bytes), 0);
		assert_int_equal(rd(&w, WORLD_VA + 5, &v, 1, 0, &res), VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
		assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
	}
	world_close(&w);
	munmap(all, 2 * GIB);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(an_access_goes_on_from_one_region_to_the_next),
	cmocka_unit_test(a_gigabyte_is_translated_in_every_part),
	cmocka_unit_test(a_large_page_is_cut_where_the_memory_below_it_ends),
	cmocka_unit_test(a_read_of_no_bytes_asks_for_permission_only),
	cmocka_unit_test(a_copy_between_pasids_names_the_side_that_faulted),
	cmocka_unit_test(an_overlap_across_mirrored_pages_is_a_memmove),
	cmocka_unit_test(a_list_counts_the_segments_before_its_fault),
	cmocka_unit_test(a_batch_does_each_kind_on_each_pasid),
	cmocka_unit_test(a_batch_that_misses_is_as_good_as_single_accesses),
	cmocka_unit_test(a_page_cached_for_the_supervisor_stays_closed_to_users),
	cmocka_unit_test(a_write_through_a_cached_page_dirties_both_stages),
	cmocka_unit_test(a_large_page_cached_by_a_read_is_dirtied_before_a_write),
	cmocka_unit_test(each_of_three_stages_faults_as_itself),
	cmocka_unit_test(memory_beside_the_window_ends_at_it),
	cmocka_unit_test(only_an_aligned_dword_write_is_a_message),
	cmocka_unit_test(a_message_needs_nothing_that_is_bound),
	cmocka_unit_test(replaced_tables_of_every_level_are_not_walked_again),
	cmocka_unit_test(an_invalidation_of_one_device_keeps_the_others),
	cmocka_unit_test(requests_without_pasid_are_invalidated_by_pasid_zero),
	cmocka_unit_test(an_address_above_the_levels_misses_what_it_aliases),
	cmocka_unit_test(written_pages_beyond_the_caches_keep_their_own_bytes),
	cmocka_unit_test(memory_that_is_exchanged_is_not_read_from_the_caches),
};
TEST_MAIN(tests)
