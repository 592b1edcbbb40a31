/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trap: PASID-cache and context-cache invalidations make the unit compare the guest's entries
 * with its shadows, and bind, rebind or unbind; DMA that finds nothing bound makes it look, too.
 */
#include "guest/world.h"

static const struct viommu_guest_trap *last_trap(const struct gw *w)
{
	assert_true(w->traps > 0);
	return &w->trap[(w->traps - 1) % GW_LOG];
}

static struct viommu_guest_stats stats(struct gw *w)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(w->guest, &s);
	return s;
}

/* VTD-CM-01, VTD-TAG-07 */
static void dma_binds_an_entry_that_nobody_announced(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 0x1111);
	/* Absence is not remembered: the entry works from the moment that it is there. */
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_PDIR_NP));
	gw_pe(&w, GW_SID(0), 5);
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_PE_NP));
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 0x1111));
	assert_int_equal(last_trap(&w)->kind, VIOMMU_TRAP_BIND);
	assert_int_equal(last_trap(&w)->cause, VIOMMU_TRAP_MISS);
	assert_int_equal(last_trap(&w)->sid, GW_SID(0));
	assert_int_equal(last_trap(&w)->gp.v, 5);
	assert_int_equal(last_trap(&w)->hp.v, 5);
	/* The other device has a table of its own. */
	assert_true(gw_faults(&w, 1, 5, GW_VA, VTD_FR_PDIR_NP));
	gw_close(&w);
}

static void a_flush_after_the_entry_went_unbinds(void **state)
{
	struct gw_process p;
	uint64_t *pe;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 0x2222);
	pe = gw_pe(&w, GW_SID(0), 7);
	gw_pe_fs(pe, &p.fs, 1);
	assert_true(gw_sees(&w, 0, 7, GW_VA, 0x2222));
	pe[0] &= ~UINT64_C(1);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 7), 0));
	assert_int_equal(last_trap(&w)->kind, VIOMMU_TRAP_UNBIND);
	assert_int_equal(last_trap(&w)->cause, VIOMMU_TRAP_PASID_CACHE);
	assert_true(gw_faults(&w, 0, 7, GW_VA, VTD_FR_PE_NP));
	/* 3 devices' own requests lost the VM's memory when translation went on. */
	assert_int_equal(stats(&w).unbinds, 3 + 1);
	gw_close(&w);
}

static void a_flush_after_the_entry_changed_rebinds(void **state)
{
	struct gw_process p, q;
	uint64_t *pe;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 0x3333);
	gw_process(&w, &q, 5, 0x4444);
	pe = gw_pe(&w, GW_SID(0), 9);
	gw_pe_fs(pe, &p.fs, 1);
	assert_true(gw_sees(&w, 0, 9, GW_VA, 0x3333));
	gw_pe_fs(pe, &q.fs, 1);
	assert_true(gw_sees(&w, 0, 9, GW_VA, 0x3333)); /* a cache may hold on until told */
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 9), 0));
	assert_int_equal(last_trap(&w)->kind, VIOMMU_TRAP_REBIND);
	assert_true(gw_sees(&w, 0, 9, GW_VA, 0x4444));
	gw_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dma_binds_an_entry_that_nobody_announced),
	cmocka_unit_test(a_flush_after_the_entry_went_unbinds),
	cmocka_unit_test(a_flush_after_the_entry_changed_rebinds),
};
TEST_MAIN(tests)
