/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accesses by (device, PASID, address): what is moved, what is refused and how, what the caches may
 * keep.
 */
#include "host/world.h"

#define PAGES 8u

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

/* PAGES pages from WORLD_VA on, in descending order of address: no two lie next to each other. */
static void map_pages(struct world *w, uint32_t flags)
{
	uint64_t gpa[PAGES];
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		gpa[i] = world_page(w);
	for (i = 0; i < PAGES; i++)
		assert_int_equal(
			tables_map(&w->fs, WORLD_VA + i * 4096, gpa[PAGES - 1 - i], 12, flags), 0);
}

static void open_bound(struct world *w, uint32_t flags)
{
	world_open(w, NULL);
	map_pages(w, flags);
	assert_int_equal(world_bind(w, 5), 0);
}

static void bytes_cross_pages_in_any_length(void **state)
{
	static uint8_t out[PAGES * 4096], in[PAGES * 4096];
	struct viommu_dma_result res;
	struct world w;
	struct rng rng;
	unsigned int i;

	(void)state;
	rng_init(&rng, "cross");
	open_bound(&w, TABLES_RWU);
	for (i = 0; i < 2000; i++) {
		size_t n = rng_one_in(&rng, 2) ? rng_range(&rng, 1, 200)
					       : rng_range(&rng, 1, sizeof(out));
		uint64_t at = rng_below(&rng, sizeof(out) - n + 1);

		rng_fill(&rng, out, n);
		memset(in, 0, n);
		assert_int_equal(wr(&w, WORLD_VA + at, out, n,
				    rng_one_in(&rng, 3) ? VIOMMU_DMA_NO_ALLOCATE : 0, &res),
				 0);
		assert_int_equal(res.done, n);
		assert_int_equal(rd(&w, WORLD_VA + at, in, n, 0, NULL), 0);
		assert_memory_equal(in, out, n);
	}
	assert_int_equal(w.faults, 0);
	world_close(&w);
}

static void a_fault_says_what_was_done_before_it(void **state)
{
	static uint8_t buf[PAGES * 4096 + 1];
	struct viommu_dma_result res;
	struct world w;

	(void)state;
	open_bound(&w, TABLES_RWU);
	assert_int_equal(rd(&w, WORLD_VA + 100, buf, sizeof(buf) - 100, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.done, PAGES * 4096 - 100);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(res.fault.addr, WORLD_VA + PAGES * 4096);
	assert_int_equal(res.fault.level, 1);
	assert_int_equal(w.faults, 1);
	world_close(&w);
}

static void copies_are_memmove_and_fills_repeat(void **state)
{
	static uint8_t model[PAGES * 4096], in[PAGES * 4096];
	struct world w;
	struct rng rng;
	unsigned int i, k;

	(void)state;
	rng_init(&rng, "copy");
	open_bound(&w, TABLES_RWU);
	rng_fill(&rng, model, sizeof(model));
	assert_int_equal(wr(&w, WORLD_VA, model, sizeof(model), 0, NULL), 0);
	for (i = 0; i < 500; i++) {
		size_t n = rng_range(&rng, 0, sizeof(model) / 2);
		uint64_t a = rng_below(&rng, sizeof(model) - n + 1);
		uint64_t b = rng_below(&rng, sizeof(model) - n + 1);
		uint64_t pattern = rng_u64(&rng);

		if (rng_one_in(&rng, 2)) {
			assert_int_equal(viommu_dma_copy(w.dma, w.dev, w.hp.v, WORLD_VA + a, w.hp.v,
							 WORLD_VA + b, n, 0, NULL),
					 0);
			memmove(model + a, model + b, n);
		} else {
			assert_int_equal(viommu_dma_fill(w.dma, w.dev, w.hp.v, WORLD_VA + a,
							 pattern, n, 0, NULL),
					 0);
			for (k = 0; k < n; k++)
				model[a + k] = (uint8_t)(pattern >> (8 * (k % 8)));
		}
		assert_int_equal(rd(&w, WORLD_VA, in, sizeof(in), 0, NULL), 0);
		assert_memory_equal(in, model, sizeof(in));
	}
	world_close(&w);
}

static void lists_and_batches_do_each_piece(void **state)
{
	const struct viommu_dma_seg seg[] = { { WORLD_VA + 5000, 10 },
					      { WORLD_VA + 4090, 12 },
					      { WORLD_VA, 0 },
					      { WORLD_VA + 9000, 1 } };
	uint8_t out[23], in[23], one[10];
	struct viommu_dma_op ops[3] = { 0 };
	struct viommu_dma_result res;
	struct world w;
	struct rng rng;

	(void)state;
	rng_init(&rng, "lists");
	open_bound(&w, TABLES_RWU);
	rng_fill(&rng, out, sizeof(out));
	assert_int_equal(viommu_dma_writev(w.dma, w.dev, w.hp.v, seg, 4, out, 0, &res), 0);
	assert_int_equal(res.done, 23);
	assert_int_equal(viommu_dma_readv(w.dma, w.dev, w.hp.v, seg, 4, in, 0, NULL), 0);
	assert_memory_equal(in, out, 23);
	assert_int_equal(rd(&w, WORLD_VA + 4090, in, 12, 0, NULL), 0);
	assert_memory_equal(in, out + 10, 12);

	ops[0] = (struct viommu_dma_op){ .dev = w.dev,
					 .pasid = w.hp.v,
					 .kind = VIOMMU_DMA_READ,
					 .addr = WORLD_VA + 5000,
					 .buf = one,
					 .bytes = 10 };
	ops[1] = ops[0];
	ops[1].addr = WORLD_VA - 4096;
	ops[2] = ops[0];
	ops[2].kind = 9;
	assert_int_equal(viommu_dma_batch(w.dma, ops, 3), 1);
	assert_int_equal(ops[0].status, 0);
	assert_memory_equal(one, out, 10);
	assert_int_equal(ops[1].status, VIOMMU_FAULTED);
	assert_int_equal(ops[1].res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(ops[2].status, -EINVAL);
	world_close(&w);
}

static int atomic(struct world *w, uint64_t addr, unsigned int n, enum viommu_atomic_op op,
		  uint64_t operand, uint64_t compare, uint64_t *old)
{
	struct viommu_dma_result res;

	return viommu_dma_atomic(w->dma, w->dev, w->hp.v, addr, n, op, operand, compare, 0, old,
				 &res);
}

static void atomics_do_what_they_say(void **state)
{
	uint64_t old, v = UINT64_C(0x1122334455667788);
	struct world w;

	(void)state;
	open_bound(&w, TABLES_RWU);
	assert_int_equal(wr(&w, WORLD_VA, &v, 8, 0, NULL), 0);
	assert_int_equal(atomic(&w, WORLD_VA, 8, VIOMMU_ATOMIC_FETCH_ADD, 1, 0, &old), 0);
	assert_true(old == v);
	assert_int_equal(atomic(&w, WORLD_VA, 4, VIOMMU_ATOMIC_FETCH_ADD, 0xffffffff, 0, &old), 0);
	assert_int_equal(old, 0x55667789);
	assert_int_equal(atomic(&w, WORLD_VA + 4, 4, VIOMMU_ATOMIC_SWAP, 7, 0, &old), 0);
	assert_int_equal(old, 0x11223344);
	assert_int_equal(atomic(&w, WORLD_VA, 8, VIOMMU_ATOMIC_CAS, 3, 4, &old), 0);
	assert_true(old == UINT64_C(0x755667788));
	assert_int_equal(atomic(&w, WORLD_VA, 8, VIOMMU_ATOMIC_CAS, 3, old, &old), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 8, 0, NULL), 0);
	assert_int_equal(v, 3);
	assert_int_equal(atomic(&w, WORLD_VA, 4, VIOMMU_ATOMIC_CAS, 9, 3, &old), 0);
	assert_int_equal(old, 3);
	assert_int_equal(atomic(&w, WORLD_VA + 4, 8, VIOMMU_ATOMIC_SWAP, 1, 0, &old), -EINVAL);
	assert_int_equal(atomic(&w, WORLD_VA, 2, VIOMMU_ATOMIC_SWAP, 1, 0, &old), -EINVAL);
	assert_int_equal(atomic(&w, WORLD_VA, 8, 4, 1, 0, &old), -EINVAL);
	world_close(&w);
}

static void permissions_end_in_their_faults(void **state)
{
	struct viommu_dma_result res;
	uint64_t old;
	uint32_t v;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_R | TABLES_U);
	world_map(&w, WORLD_VA + 4096, TABLES_RW);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_int_equal(viommu_dma_atomic(w.dma, w.dev, w.hp.v, WORLD_VA, 4, VIOMMU_ATOMIC_SWAP, 1,
					   0, 0, &old, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_USER);
	assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, VIOMMU_PRIV, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_SRE);
	/* Also once the page is cached for user requests. */
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, VIOMMU_PRIV, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_SRE);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, VIOMMU_EXEC, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_EXEC);
	world_close(&w);
}

static void supervisor_requests_follow_sre_and_wpe(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct viommu_dma_result res;
	uint32_t v = 1;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_R);
	b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
					    .levels = 4,
					    .flags = VIOMMU_STAGE_SRE,
					    .root = tables_root(&w.fs) };
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, VIOMMU_PRIV, NULL), 0);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, VIOMMU_PRIV, NULL), 0); /* no WPE */
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_USER);
	b.stage[0].flags |= VIOMMU_STAGE_WPE;
	assert_int_equal(viommu_host_rebind(w.dev, w.dom, w.hp, &b), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, VIOMMU_PRIV, NULL), 0);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, VIOMMU_PRIV, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	world_close(&w);
}

static void a_page_cached_by_a_read_is_dirtied_before_a_write(void **state)
{
	uint64_t *leaf;
	struct world w;
	uint32_t v = 1;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	leaf = tables_entry(&w.fs, WORLD_VA, 1);
	assert_false(*leaf & VTD_MASK(VTD_FS_A));
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_true(*leaf & VTD_MASK(VTD_FS_A));
	assert_false(*leaf & VTD_MASK(VTD_FS_D));
	assert_true(*tables_entry(&w.fs, WORLD_VA, 4) & VTD_MASK(VTD_FS_A));
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_true(*leaf & VTD_MASK(VTD_FS_D));
	world_close(&w);
}

static void names_that_do_not_exist_fault_in_the_path(void **state)
{
	struct viommu_dma_result res;
	struct world w;
	uint32_t v;

	(void)state;
	open_bound(&w, TABLES_RWU);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, 0, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_RID_PASID);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v + 1, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_NP);
	assert_int_equal(res.fault.stage, VIOMMU_STAGE_PATH);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, 0x80000, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PDIR_NP);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, 0x100000, WORLD_VA, &v, 4, 0, &res),
			 -EINVAL);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(viommu_device_unplug(w.dev), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_NP);
	world_close(&w);
}

static void an_address_that_is_not_canonical_never_hits(void **state)
{
	const uint64_t wrong[] = { UINT64_C(1) << 63, UINT64_C(1) << 57, UINT64_C(1) << 48,
				   UINT64_C(0xfe) << 56 };
	struct viommu_dma_result res;
	struct world w;
	unsigned int i;
	uint32_t v;

	(void)state;
	open_bound(&w, TABLES_RWU);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(rd(&w, WORLD_VA | wrong[i], &v, 4, 0, &res), VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_FS_CANONICAL);
	}
	world_close(&w);
}

static void holes_and_read_only_regions_are_the_hosts(void **state)
{
	static uint8_t rom[4096] __attribute__((aligned(4096)));
	struct viommu_dma_result res;
	struct world w;
	uint32_t v = 0;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_mem_add_ptr(w.mem, 0x40000000, 4096, rom, VIOMMU_MEM_READ_ONLY), 0);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 0x40000000, 12, TABLES_RWU), 0);
	assert_int_equal(tables_map(&w.fs, WORLD_VA + 4096, 0x50000000, 12, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
	assert_int_equal(res.fault.stage, 1);
	assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(res.fault.stage_addr, 0x50000000);
	/* Memory that comes is there at once, memory that goes is gone. */
	assert_int_equal(viommu_mem_add_ptr(w.mem, 0x50000000, 4096, rom, 0), 0);
	assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, NULL), 0);
	assert_int_equal(viommu_mem_remove(w.mem, 0x50000000, 4096), 0);
	assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, NULL), VIOMMU_FAULTED);
	world_close(&w);
}

static void a_hole_is_not_asked_for(void **state)
{
	const struct world_config config = {
		.device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
	};
	struct viommu_dma_result res;
	struct viommu_dma_stats s;
	struct world w;
	uint32_t v;

	(void)state;
	world_open(&w, &config);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, 0x50000000, 12, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.asked, 0);
	viommu_dma_stats(w.dma, &s);
	assert_int_equal(s.page_requests, 0);
	/*
	 * A page that the guest's own tables lack is: here nobody answers but the host, with
	 * INVALID.
	 */
	assert_int_equal(rd(&w, WORLD_VA + 4096, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.asked, 1);
	assert_int_equal(res.response, VIOMMU_RESPONSE_INVALID);
	world_close(&w);
}

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

static void requests_without_pasid_have_four_kinds_and_a_window(void **state)
{
	struct message m = { 0 };
	const struct world_config config = {
		.ops = { .ctx = &m, .fault = no_fault, .interrupt = on_interrupt }
	};
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED };
	struct viommu_dma_result res;
	uint64_t gpa, v, hpa;
	struct world w;

	(void)state;
	world_open(&w, &config);
	gpa = world_map(&w, WORLD_VA, TABLES_RWU);
	*(uint64_t *)world_ptr(&w, gpa) = 77;
#define BY_RID(addr, bytes) viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, addr, &v, bytes, 0, &res)
	/* Second stage alone. */
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	assert_int_equal(BY_RID(gpa, 8), 0);
	assert_int_equal(v, 77);
	/* Messages, and what is none. */
	v = 0x4021;
	assert_int_equal(
		viommu_dma_write(w.dma, w.dev, VIOMMU_NO_PASID, 0xfee00000, &v, 4, 0, &res), 0);
	assert_int_equal(m.count, 1);
	assert_int_equal(m.data, 0x4021);
	assert_int_equal(viommu_dma_write(w.dma, w.dev, VIOMMU_NO_PASID, 0xfee00000, &v, 8, 0,
					  &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
	assert_int_equal(BY_RID(0xfee00000, 4), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
	assert_int_equal(BY_RID(0xfee00000, 0), 0);
	assert_int_equal(m.count, 1);
	/* Nested. */
	b.nr = 1;
	b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
					    .levels = 4,
					    .root = tables_root(&w.fs) };
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	v = 0;
	assert_int_equal(BY_RID(WORLD_VA, 8), 0);
	assert_int_equal(v, 77);
	assert_int_equal(BY_RID(gpa, 8), VIOMMU_FAULTED);
	/* Pass-through: addresses of this process, if they are the VM's memory. */
	{
		struct viommu_mem_region r;

		assert_int_equal(viommu_mem_next(w.mem, gpa, &r), 0);
		hpa = (uintptr_t)r.host + gpa - r.gpa;
	}
	b = (struct viommu_bind){ .size = sizeof(b), .kind = VIOMMU_BIND_PASSTHROUGH };
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	v = 0;
	assert_int_equal(BY_RID(hpa, 8), 0);
	assert_int_equal(v, 77);
	assert_int_equal(BY_RID((uintptr_t)&w, 8), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PT_BEYOND_HAW);
	/* First stage whose tables and output are addresses of this process. */
	{
		static uint64_t t[4][512] __attribute__((aligned(4096)));
		uint64_t bits = VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US);
		unsigned int i;

		assert_int_equal(viommu_mem_add_ptr(w.mem, 0x60000000, sizeof(t), t, 0), 0);
		for (i = 0; i < 4; i++)
			t[i][0] = (i < 3 ? (uintptr_t)t[i + 1] : hpa & ~UINT64_C(4095)) | bits;
		b.kind = VIOMMU_BIND_FIRST;
		b.nr = 1;
		b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
						    .levels = 4,
						    .root = (uintptr_t)t[0] };
		assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
		v = 0;
		assert_int_equal(BY_RID(hpa & 4095, 8), 0);
		assert_int_equal(v, 77);
		t[3][0] = ((uintptr_t)&w & ~UINT64_C(4095)) | bits;
		assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
		assert_int_equal(BY_RID(8, 8), VIOMMU_FAULTED);
		assert_int_equal(viommu_device_detach(w.dev), 0);
		assert_int_equal(viommu_mem_remove(w.mem, 0x60000000, sizeof(t)), 0);
	}
	assert_int_equal(BY_RID(gpa, 8), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_NP);
#undef BY_RID
	world_close(&w);
}

static void a_guest_that_is_a_host_makes_three_stages(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 2 };
	struct tables_stage ss, fs;
	uint64_t page;
	struct world w;
	uint32_t v = 0;

	(void)state;
	world_open(&w, NULL);
	tables_stage_init(&ss, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	tables_stage_init(&fs, &w.ram, &ss, VIOMMU_FORMAT_VTD_FS, 4);
	page = world_page(&w);
	assert_int_equal(tables_map(&ss, 0x7000, page, 12, TABLES_RW), 0);
	assert_int_equal(tables_map(&fs, WORLD_VA, 0x7000, 12, TABLES_RWU), 0);
	tables_stage(&fs, 52, &b.stage[0]);
	tables_stage(&ss, 52, &b.stage[1]);
	b.stage[0].flags &= ~(uint32_t)VIOMMU_STAGE_SRE;
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), 0);
	*(uint32_t *)world_ptr(&w, page) = 4711;
	assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 4711);
	assert_int_equal(wr(&w, WORLD_VA, &v, 4, 0, NULL), 0);
	world_close(&w);
}

static void many_pasids_and_pages_keep_their_own_bytes(void **state)
{
	enum {
		N = 100
	};
	struct viommu_gpasid_bind b = { .size = sizeof(b), .addr_width = 48 };
	struct tables_stage fs[N];
	struct viommu_hp hp[N];
	struct world w;
	unsigned int i, round;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	for (i = 0; i < N; i++) {
		uint64_t gpa = world_page(&w);

		tables_stage_init(&fs[i], &w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
		assert_int_equal(tables_map(&fs[i], WORLD_VA, gpa, 12, TABLES_RWU), 0);
		*(uint32_t *)world_ptr(&w, gpa) = i;
		assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w.dom), 1000, 2000, &hp[i]),
				 0);
		b.hp = hp[i];
		b.gpgd = tables_root(&fs[i]);
		assert_int_equal(viommu_host_bind_gpasid(w.dev, w.dom, &b), 0);
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < N; i++) {
			assert_int_equal(viommu_dma_read(w.dma, w.dev, hp[i].v, WORLD_VA, &v, 4, 0,
							 NULL),
					 0);
			assert_int_equal(v, i);
		}
	}
	/* More pages than any cache holds, each with its own number in it. */
	assert_int_equal(world_bind(&w, 5), 0);
	for (i = 0; i < 3000; i++)
		*(uint32_t *)world_ptr(&w, world_map(&w, WORLD_VA + i * 4096ull,
						     TABLES_R | TABLES_U)) = i;
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 3000; i++) {
			unsigned int k = i * 7919u % 3000;

			assert_int_equal(rd(&w, WORLD_VA + k * 4096ull, &v, 4, 0, NULL), 0);
			assert_int_equal(v, k);
		}
	}
	world_close(&w);
}

static void an_invalidation_drops_its_own_and_keeps_the_rest(void **state)
{
	static const uint32_t kinds[] = { VIOMMU_INVALIDATE_RANGE, VIOMMU_INVALIDATE_PASID,
					  VIOMMU_INVALIDATE_DOMAIN, VIOMMU_INVALIDATE_GLOBAL };
	struct viommu_gpasid_bind b = { .size = sizeof(b), .addr_width = 48 };
	struct viommu_dma_stats before, after;
	struct viommu_hp other;
	uint64_t page[2];
	struct world w;
	unsigned int i;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	page[0] = world_map(&w, WORLD_VA, TABLES_RWU | TABLES_A | TABLES_D);
	page[1] = world_page(&w);
	*(uint32_t *)world_ptr(&w, page[0]) = 0;
	*(uint32_t *)world_ptr(&w, page[1]) = 1;
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w.dom), 300, 300, &other), 0);
	b.hp = other;
	b.gpgd = tables_root(&w.fs);
	assert_int_equal(viommu_host_bind_gpasid(w.dev, w.dom, &b), 0);
	for (i = 0; i < 4; i++) {
		struct viommu_invalidate inv = { .size = sizeof(inv),
						 .granularity = kinds[i],
						 .hp = w.hp,
						 .addr = WORLD_VA,
						 .bytes = 4096 };

		assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
		assert_int_equal(v, i & 1);
		assert_int_equal(viommu_dma_read(w.dma, w.dev, other.v, WORLD_VA, &v, 4, 0, NULL),
				 0);
		assert_int_equal(tables_map(&w.fs, WORLD_VA, page[~i & 1], 12,
					    TABLES_RWU | TABLES_A | TABLES_D),
				 0);
		assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
		assert_int_equal(rd(&w, WORLD_VA, &v, 4, 0, NULL), 0);
		assert_int_equal(v, ~i & 1);
		/*
		 * The other PASID of the same tables: kept by the first two, dropped by the rest.
		 */
		viommu_dma_stats(w.dma, &before);
		assert_int_equal(viommu_dma_read(w.dma, w.dev, other.v, WORLD_VA, &v, 4, 0, NULL),
				 0);
		viommu_dma_stats(w.dma, &after);
		assert_int_equal(v, i < 2 ? i & 1 : ~i & 1);
		assert_int_equal(after.misses - before.misses, i < 2 ? 0 : 1);
		/* For the next round both see the same. */
		inv.granularity = VIOMMU_INVALIDATE_GLOBAL;
		assert_int_equal(viommu_host_invalidate(w.host, NULL, &inv), 0);
	}
	world_close(&w);
}

static void large_pages_are_one_translation(void **state)
{
	struct viommu_dma_span span;
	struct viommu_dma_stats s;
	struct world w;
	uint32_t v = 5;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, UINT64_C(4) << 20, 21, TABLES_RWU), 0);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(wr(&w, WORLD_VA + 0x12344, &v, 4, 0, NULL), 0);
	assert_int_equal(*(uint32_t *)world_ptr(&w, (UINT64_C(4) << 20) + 0x12344), 5);
	for (i = 0; i < 100; i++)
		assert_int_equal(rd(&w, WORLD_VA + i * 20000, &v, 4, 0, NULL), 0);
	viommu_dma_stats(w.dma, &s);
	assert_int_equal(s.misses, 1);
	viommu_dma_begin(w.dma);
	assert_int_equal(viommu_dma_translate(w.dma, w.dev, w.hp.v, WORLD_VA + 0x1000, VIOMMU_READ,
					      &span),
			 0);
	assert_int_equal(span.bytes, (2u << 20) - 0x1000);
	assert_int_equal(viommu_dma_translate(w.dma, w.dev, w.hp.v, WORLD_VA, 0, &span), -EINVAL);
	viommu_dma_end(w.dma);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(bytes_cross_pages_in_any_length),
	cmocka_unit_test(a_fault_says_what_was_done_before_it),
	cmocka_unit_test(copies_are_memmove_and_fills_repeat),
	cmocka_unit_test(lists_and_batches_do_each_piece),
	cmocka_unit_test(atomics_do_what_they_say),
	cmocka_unit_test(permissions_end_in_their_faults),
	cmocka_unit_test(supervisor_requests_follow_sre_and_wpe),
	cmocka_unit_test(a_page_cached_by_a_read_is_dirtied_before_a_write),
	cmocka_unit_test(names_that_do_not_exist_fault_in_the_path),
	cmocka_unit_test(an_address_that_is_not_canonical_never_hits),
	cmocka_unit_test(holes_and_read_only_regions_are_the_hosts),
	cmocka_unit_test(a_hole_is_not_asked_for),
	cmocka_unit_test(requests_without_pasid_have_four_kinds_and_a_window),
	cmocka_unit_test(a_guest_that_is_a_host_makes_three_stages),
	cmocka_unit_test(many_pasids_and_pages_keep_their_own_bytes),
	cmocka_unit_test(an_invalidation_drops_its_own_and_keeps_the_rest),
	cmocka_unit_test(large_pages_are_one_translation),
};
TEST_MAIN(tests)
