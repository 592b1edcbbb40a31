/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Binds as DMA sees them: bytes arrive by the guest's own tables, and stop arriving when they
 * should.
 */
#include "host/world.h"

static void dma_goes_through_both_stages(void **state)
{
	uint8_t out[64], in[64];
	struct world w;
	struct rng rng;
	uint64_t gpa;

	(void)state;
	rng_init(&rng, "both stages");
	world_open(&w, NULL);
	gpa = world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	rng_fill(&rng, out, sizeof(out));
	assert_int_equal(viommu_dma_write(w.dma, w.dev, w.hp.v, WORLD_VA + 100, out, 64, 0, NULL),
			 0);
	assert_memory_equal((uint8_t *)world_ptr(&w, gpa) + 100, out, 64);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, WORLD_VA + 100, in, 64, 0, NULL), 0);
	assert_memory_equal(in, out, 64);
	assert_int_equal(w.faults, 0);
	world_close(&w);
}

static void unbind_ends_dma_with_a_fault_report(void **state)
{
	struct viommu_dma_result res;
	struct world w;
	uint32_t v = 1;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(viommu_dma_write(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(viommu_host_unbind_gpasid(w.dev, w.hp), 0);
	assert_int_equal(viommu_dma_write(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_NP);
	assert_int_equal(w.faults, 1);
	assert_int_equal(w.fault.sid, WORLD_SID);
	assert_int_equal(w.fault.pasid, w.hp.v);
	assert_int_equal(w.fault.addr, WORLD_VA);
	/* The guest's number is free again. */
	assert_int_equal(world_bind(&w, 6), 0);
	world_close(&w);
}

static void an_invalidation_brings_the_new_page(void **state)
{
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = VIOMMU_INVALIDATE_PASID };
	uint64_t a, b;
	struct world w;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	a = world_map(&w, WORLD_VA, TABLES_RWU);
	b = world_page(&w);
	*(uint32_t *)world_ptr(&w, a) = 1;
	*(uint32_t *)world_ptr(&w, b) = 2;
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 1);
	assert_int_equal(tables_map(&w.fs, WORLD_VA, b, 12, TABLES_RWU), 0);
	inv.hp = w.hp;
	assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 2);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dma_goes_through_both_stages),
	cmocka_unit_test(unbind_ends_dma_with_a_fault_report),
	cmocka_unit_test(an_invalidation_brings_the_new_page),
};
TEST_MAIN(tests)
