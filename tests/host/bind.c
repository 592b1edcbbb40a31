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

/* VTD-PE-22: an id stands for one domain's second stage, or for no second stage at all. */
static void domain_ids_are_not_shared_between_kinds(void **state)
{
	static uint64_t root[512] __attribute__((aligned(4096)));
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED };
	struct viommu_domain *other;
	struct viommu_stage ss;
	uint64_t pe[6][8];
	uint16_t did[2];
	struct viommu_hp hp;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &other), 0);
	viommu_domain_stage(w.dom, &ss, &did[0]);
	viommu_domain_stage(other, &ss, &did[1]);
	assert_int_not_equal(did[0], did[1]);
	for (i = 0; i < 6; i++) {
		struct viommu_domain *dom = i & 1 ? other : w.dom;

		b.nr = i < 4;
		b.kind = i < 2   ? VIOMMU_BIND_NESTED
			 : i < 4 ? VIOMMU_BIND_FIRST
				 : VIOMMU_BIND_PASSTHROUGH;
		b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
						    .levels = 4,
						    .root = i < 2 ? 0x1000 : (uintptr_t)root };
		assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(dom), 300, 400, &hp), 0);
		assert_int_equal(viommu_host_bind(w.dev, dom, hp, &b), 0);
		assert_int_equal(viommu_host_pasid_entry(w.dev, hp, pe[i]), 0);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(VTD_GET(pe[i], VTD_PE_DID), did[i]);
		viommu_domain_stage(i ? other : w.dom, &ss, NULL);
		assert_int_equal(pe[i][0] & VTD_MASK(VTD_PE_SSPTPTR), ss.root);
		assert_int_equal(VTD_GET(pe[i], VTD_PE_AW), ss.levels - 2);
	}
	for (i = 2; i < 6; i++) {
		assert_int_not_equal(VTD_GET(pe[i], VTD_PE_DID), did[0]);
		assert_int_not_equal(VTD_GET(pe[i], VTD_PE_DID), did[1]);
		assert_int_not_equal(VTD_GET(pe[i], VTD_PE_DID), 0);
	}
	world_close(&w);
}

/* VTD-FS-19 */
static void a_request_without_pasid_is_a_user_request(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct viommu_dma_result res;
	struct world w;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RW);
	world_map(&w, WORLD_VA + 0x1000, TABLES_RWU);
	tables_stage(&w.fs, 52, &b.stage[0]);
	b.stage[0].flags = VIOMMU_STAGE_SRE;
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_USER);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, VIOMMU_NO_PASID, WORLD_VA + 0x1000, &v, 4, 0,
					 &res),
			 0);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(domain_ids_are_not_shared_between_kinds),
	cmocka_unit_test(a_request_without_pasid_is_a_user_request),
	cmocka_unit_test(dma_goes_through_both_stages),
	cmocka_unit_test(unbind_ends_dma_with_a_fault_report),
	cmocka_unit_test(an_invalidation_brings_the_new_page),
};
TEST_MAIN(tests)
