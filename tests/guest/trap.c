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

static uint64_t misses_of(struct gw *w)
{
	return stats(w).misses;
}

/* VTD-CM-01, VTD-CM-04, VTD-TAG-07 */
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

/* ---- Every granularity ---- */

/* Two devices, two PASIDs each with domain ids 1 and 2, and requests without PASID with id 1. */
struct grid {
	struct gw w;
	struct gw_process old, new;
};

static void grid_fill(struct grid *g, struct tables_stage *fs)
{
	uint32_t d, gp;

	for (d = 0; d < 2; d++) {
		gw_pe_fs(gw_pe(&g->w, GW_SID(d), 0), fs, 1);
		for (gp = 1; gp <= 2; gp++)
			gw_pe_fs(gw_pe(&g->w, GW_SID(d), gp), fs, (uint16_t)gp);
	}
}

static uint64_t grid_sees(struct grid *g, unsigned int d, uint32_t gp)
{
	uint64_t v = 0;

	assert_int_equal(gw_read(&g->w, d, gp ? gp : VIOMMU_NO_PASID, GW_VA, &v), 0);
	return v;
}

static void grid_open(struct grid *g, const struct gw_config *c)
{
	uint32_t d, gp;

	gw_open(&g->w, c);
	gw_start(&g->w);
	gw_process(&g->w, &g->old, 4, 1);
	gw_process(&g->w, &g->new, 4, 2);
	grid_fill(g, &g->old.fs);
	for (d = 0; d < 2; d++) {
		for (gp = 0; gp <= 2; gp++)
			assert_int_equal(grid_sees(g, d, gp), 1);
	}
	grid_fill(g, &g->new.fs);
}

#define BITS(r0, p1, p2, s0, q1, q2) \
	((r0) | (p1) << 1 | (p2) << 2 | (s0) << 3 | (q1) << 4 | (q2) << 5)
#define ALL BITS(1, 1, 1, 1, 1, 1)

/* VTD-QI-10, VTD-QI-11, VTD-QI-12, VTD-QI-24, VTD-TAG-01, VTD-TAG-02, VTD-QORD-08 */
static void each_granularity_looks_at_what_it_names(void **state)
{
	struct {
		uint64_t d0;
		unsigned int reach; /* device 0: without, 1, 2; device 1 */
	} tries[] = {
		{ gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), ALL },
		{ gw_cc(VTD_IQ_CC_DOMAIN, 99, 0, 0), ALL }, /* scalable mode: as global */
		{ gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), BITS(1, 1, 1, 0, 0, 0) },
		{ gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(1), 0), BITS(0, 0, 0, 1, 1, 1) },
		{ gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(1) | 4, 1), BITS(0, 0, 0, 1, 1, 1) },
		{ gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(1) | 7, 3), BITS(0, 0, 0, 1, 1, 1) },
		{ gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(1) | 1, 0), 0 },
		{ gw_cc(VTD_IQ_CC_DEVICE, 0, 0x7777, 0), 0 },
		{ gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), ALL },
		{ gw_pc(VTD_IQ_PC_DOMAIN, 1, 0), BITS(1, 1, 0, 1, 1, 0) },
		{ gw_pc(VTD_IQ_PC_DOMAIN, 2, 0), BITS(0, 0, 1, 0, 0, 1) },
		{ gw_pc(VTD_IQ_PC_DOMAIN, 3, 0), 0 },
		{ gw_pc(VTD_IQ_PC_SELECTIVE, 1, 1), BITS(0, 1, 0, 0, 1, 0) },
		{ gw_pc(VTD_IQ_PC_SELECTIVE, 2, 2), BITS(0, 0, 1, 0, 0, 1) },
		{ gw_pc(VTD_IQ_PC_SELECTIVE, 1, 0), BITS(1, 0, 0, 1, 0, 0) }, /* RID_PASID */
		{ gw_pc(VTD_IQ_PC_SELECTIVE, 1, 3), 0 },
	};
	unsigned int i, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		struct grid g;

		grid_open(&g, NULL);
		assert_true(gw_do(&g.w, tries[i].d0, 0));
		for (n = 0; n < 6; n++)
			assert_int_equal(grid_sees(&g, n / 3, n % 3),
					 1 + (tries[i].reach >> n & 1));
		gw_close(&g.w);
	}
}

/* The same for entries that went. */
static void each_granularity_unbinds_what_went(void **state)
{
	uint64_t d0[] = { gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), gw_pc(VTD_IQ_PC_GLOBAL, 0, 0) };
	unsigned int i, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(d0); i++) {
		struct grid g;

		grid_open(&g, NULL);
		for (n = 0; n < 6; n++)
			gw_pe(&g.w, GW_SID(n / 3), n % 3)[0] = 0;
		assert_true(gw_do(&g.w, d0[i], 0));
		for (n = 0; n < 6; n++)
			assert_true(gw_faults(&g.w, n / 3, n % 3 ? n % 3 : VIOMMU_NO_PASID, GW_VA,
					      VTD_FR_PE_NP));
		gw_close(&g.w);
	}
}

/* The context entry is part of the way to every entry below it. */
static void a_context_that_changes_takes_its_pasids_along(void **state)
{
	struct grid g;

	(void)state;
	grid_open(&g, NULL);
	/* PASIDE goes: requests with PASID end, those without go on. */
	gw_context(&g.w, GW_SID(0))[0] &= ~VTD_MASK(VTD_SCE_PASIDE);
	assert_true(gw_do(&g.w, gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), 0));
	assert_true(gw_faults(&g.w, 0, 1, GW_VA, VTD_FR_SCE_PASIDE));
	assert_int_equal(grid_sees(&g, 0, 0), 2);
	assert_int_equal(grid_sees(&g, 1, 1), 1);
	/* And comes back. */
	gw_context(&g.w, GW_SID(0))[0] |= VTD_MASK(VTD_SCE_PASIDE);
	assert_true(gw_do(&g.w, gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), 0));
	assert_int_equal(grid_sees(&g, 0, 1), 2);
	/* All of it goes. */
	gw_context(&g.w, GW_SID(0))[0] &= ~UINT64_C(1);
	assert_true(gw_do(&g.w, gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), 0));
	assert_true(gw_faults(&g.w, 0, 1, GW_VA, VTD_FR_SCE_NP));
	assert_true(gw_faults(&g.w, 0, VIOMMU_NO_PASID, GW_VA, VTD_FR_SCE_NP));
	/* And is there again without a word. */
	gw_context(&g.w, GW_SID(0))[0] |= 1;
	assert_int_equal(grid_sees(&g, 0, 1), 2);
	gw_close(&g.w);
}

/* ---- Kinds of entry ---- */

#define IOVA UINT64_C(0x40000000)

static void every_kind_of_entry_translates_as_it_says(void **state)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST };
	struct viommu_guest_shadow sh[8];
	struct tables_stage ss, nfs;
	struct gw_process p;
	uint64_t gpa, deep;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 5, 0x51);
	gpa = gw_page(&w);
	gw_ptr(&w, gpa)[0] = 0x52;
	deep = gw_page(&w);
	gw_ptr(&w, deep)[0] = 0x53;
	tables_stage_init(&ss, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&ss, IOVA, gpa, 12, TABLES_RW), 0);
	tables_stage_init(&nfs, &w.ram, &ss, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(tables_map(&ss, IOVA + 4096, deep, 12, TABLES_RW), 0);
	assert_int_equal(tables_map(&nfs, GW_VA, IOVA + 4096, 12, TABLES_RWU), 0);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 1), &p.fs, 1);
	gw_pe_ss(gw_pe(&w, GW_SID(0), 2), &ss, 2);
	gw_pe_nested(gw_pe(&w, GW_SID(0), 3), &nfs, &ss, 3);
	gw_pe_pt(gw_pe(&w, GW_SID(0), 4), 4);
	assert_true(gw_sees(&w, 0, 1, GW_VA, 0x51));
	assert_true(gw_sees(&w, 0, 2, IOVA, 0x52));
	assert_true(gw_sees(&w, 0, 3, GW_VA, 0x53)); /* three stages */
	assert_true(gw_sees(&w, 0, 4, gpa, 0x52));
	assert_int_equal(viommu_guest_shadows(w.guest, GW_SID(0), (struct viommu_gp){ 0 }, sh, 8),
			 4);
	assert_int_equal(sh[0].pgtt, VTD_PGTT_FS);
	assert_int_equal(sh[1].pgtt, VTD_PGTT_SS);
	assert_int_equal(sh[2].pgtt, VTD_PGTT_NESTED);
	assert_int_equal(sh[3].pgtt, VTD_PGTT_PT);
	/* One kind becomes another under the same PASID. */
	gw_pe_pt(gw_pe(&w, GW_SID(0), 2), 4);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 2, 2), 0));
	assert_true(gw_sees(&w, 0, 2, gpa, 0x52));
	gw_pe_nested(gw_pe(&w, GW_SID(0), 2), &nfs, &ss, 3);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 4, 2), 0));
	assert_true(gw_sees(&w, 0, 2, GW_VA, 0x53));
	gw_close(&w);
}

/* VTD-FS-19, VTD-FS-20: who counts as supervisor. */
static void supervisor_pages_are_for_supervisor_requests(void **state)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST };
	struct gw_process p;
	uint64_t *pe, v;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	*tables_entry(&p.fs, GW_VA, 1) &= ~VTD_MASK(VTD_FS_US);
	pe = gw_pe(&w, GW_SID(0), 5);
	gw_pe_fs(pe, &p.fs, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	VTD_SET(pe, VTD_PE_SRE, 1);
	assert_true(gw_faults(&w, 0, VIOMMU_NO_PASID, GW_VA, VTD_FR_FS_USER));
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_FS_USER));
	assert_int_equal(viommu_dma_read(w.dma, w.dev[0], 5, GW_VA, &v, 8,
					 VIOMMU_PRIV | VIOMMU_DMA_NO_PRI, NULL),
			 0);
	gw_close(&w);
}

/* ---- The stages of a trap that nobody may miss ---- */

static void a_bind_tells_the_entry_before_and_after(void **state)
{
	struct gw_process p, q;
	const struct viommu_guest_trap *t;
	uint64_t *pe;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_process(&w, &q, 4, 2);
	pe = gw_pe(&w, GW_SID(1), 12);
	/* A flush of a present entry binds at once: DMA need not miss first. */
	gw_pe_fs(pe, &p.fs, 1);
	w.traps = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 12), 0));
	assert_int_equal(w.traps, 1);
	t = last_trap(&w);
	assert_int_equal(t->kind, VIOMMU_TRAP_BIND);
	assert_int_equal(t->cause, VIOMMU_TRAP_PASID_CACHE);
	assert_int_equal(t->sid, GW_SID(1));
	assert_int_equal(t->did, 1);
	assert_int_equal(t->before[0], 0);
	assert_memory_equal(t->after, pe, 64);
	gw_pe_fs(pe, &q.fs, 7);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 12), 0));
	t = last_trap(&w);
	assert_int_equal(t->kind, VIOMMU_TRAP_REBIND);
	assert_int_equal(t->did, 7);
	assert_int_equal(t->before[2], tables_root(&p.fs));
	assert_int_equal(t->after[2], tables_root(&q.fs));
	/* The same again is no trap. */
	w.traps = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 7, 12), 0));
	assert_int_equal(w.traps, 0);
	/* A domain id alone changes the tag, not the bind. */
	VTD_SET(pe, VTD_PE_DID, 9);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 7, 12), 0));
	assert_int_equal(w.traps, 0);
	pe[0] = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_DOMAIN, 9, 0), 0));
	t = last_trap(&w);
	assert_int_equal(t->kind, VIOMMU_TRAP_UNBIND);
	assert_int_equal(t->before[2], tables_root(&q.fs));
	assert_int_equal(t->after[0], 0);
	assert_int_equal(misses_of(&w), 0);
	gw_close(&w);
}

/* VTD-CM-02, VTD-CM-03, VTD-CM-05, VTD-PE-22 */
static void caching_mode_guests_are_served_by_the_flushes_they_send(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_CM };
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	assert_int_equal(VTD_FIELD(w.cap, VTD_CAP_CM), 1);
	gw_iq_setup(&w, 32, 0);
	gw_set_root(&w, VTD_TTM_SCALABLE);
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
	gw_process(&w, &p, 4, 1);
	/*
	 * As Linux: a flush for PASID 0 before the context entry is there, then one of the context.
	 */
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 0), 0));
	gw_context_make(&w, GW_SID(0), GW_ALL, 0);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	w.traps = 0;
	assert_true(gw_do(&w, gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), 0));
	assert_int_equal(last_trap(&w)->kind, VIOMMU_TRAP_BIND);
	assert_int_equal(last_trap(&w)->cause, VIOMMU_TRAP_CONTEXT_CACHE);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0));
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	assert_int_equal(misses_of(&w), 0);
	/* choice: one that forgets to flush is served, too. */
	gw_pe_fs(gw_pe(&w, GW_SID(0), 6), &p.fs, 0);
	assert_true(gw_sees(&w, 0, 6, GW_VA, 1));
	gw_close(&w);
}

/* ---- Host PASIDs ---- */

static void a_guest_pasid_keeps_its_host_pasid(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_hp hp, again;
	struct viommu_gp gp;
	struct gw_process p;
	uint64_t *pe;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	pe = gw_pe(&w, GW_SID(0), 4000);
	gw_pe_fs(pe, &p.fs, 1);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 4000), 0));
	hp = last_trap(&w)->hp;
	assert_int_not_equal(hp.v, 4000);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 4000 }, &again),
			 0);
	assert_int_equal(again.v, hp.v);
	assert_int_equal(viommu_guest_pasid_to_guest(w.guest, hp, &gp), 0);
	assert_int_equal(gp.v, 4000);
	assert_true(gw_sees(&w, 0, hp.v, GW_VA, 1));
	/* Unbound and bound again, by a device model that kept the number. */
	pe[0] = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 4000), 0));
	assert_true(gw_faults(&w, 0, hp.v, GW_VA, VTD_FR_PE_NP));
	gw_pe_fs(pe, &p.fs, 1);
	assert_true(gw_sees(&w, 0, hp.v, GW_VA, 1));
	/* A reset gives the numbers back. */
	viommu_guest_reset(w.guest);
	assert_int_equal(viommu_guest_pasid_to_guest(w.guest, hp, &gp), -ENOENT);
	assert_int_equal(gp.v, VIOMMU_NO_PASID);
	assert_int_equal(viommu_owner_count(viommu_domain_owner(w.dom)), 0);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 1u << 20 }, &hp),
			 -EINVAL);
	assert_int_equal(hp.v, VIOMMU_NO_PASID);
	/* PASID 0 is one like any other here. */
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 0 }, &hp), 0);
	assert_int_not_equal(hp.v, 0);
	gw_close(&w);
}

static void a_mapping_that_is_there_is_taken(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_owner *owner;
	struct viommu_hp hp = { 777 };
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	owner = viommu_domain_owner(w.dom);
	assert_int_equal(viommu_pasid_reserve(owner, hp), 0);
	assert_int_equal(viommu_pasid_map(owner, (struct viommu_gp){ 5 }, hp), 0);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 777, GW_VA, 1));
	viommu_guest_reset(w.guest); /* not the unit's to give back */
	assert_int_equal(viommu_owner_count(owner), 1);
	gw_close(&w);
}

static void identity_has_the_same_number_and_no_0(void **state)
{
	struct gw_process p;
	struct viommu_hp hp;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 99 }, &hp), 0);
	assert_int_equal(hp.v, 99);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 0 }, &hp),
			 -EINVAL);
	gw_process(&w, &p, 4, 1);
	gw_context(&w, GW_SID(0))[1] = 7; /* RID_PASID is another, so 0 is an ordinary one */
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 7), &p.fs, 1);
	w.traps = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 0), 0));
	assert_true(w.traps >= 1);
	assert_int_equal(w.trap[0].kind, VIOMMU_TRAP_REFUSED);
	assert_int_equal(w.trap[0].error, -EINVAL);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 1));
	assert_int_equal(viommu_owner_count(viommu_domain_owner(w.dom)), 0);
	assert_true(gw_faults(&w, 0, 7, GW_VA, VTD_FR_RID_PASID));
	gw_pe_fs(gw_pe(&w, GW_SID(0), 9), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 9, GW_VA, 1));
	assert_int_equal(viommu_owner_count(viommu_domain_owner(w.dom)), 1);
	gw_pe(&w, GW_SID(0), 9)[0] = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 9), 0));
	assert_int_equal(viommu_owner_count(viommu_domain_owner(w.dom)), 0);
	gw_close(&w);
}

/* ---- Limits ---- */

static void binds_beyond_the_limit_are_refused(void **state)
{
	const struct gw_config c = { .max_binds = 3 };
	struct gw_process p;
	uint32_t i;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	for (i = 1; i <= 4; i++)
		gw_pe_fs(gw_pe(&w, GW_SID(0), i), &p.fs, 1);
	for (i = 1; i <= 3; i++)
		assert_true(gw_sees(&w, 0, i, GW_VA, 1));
	assert_true(gw_faults(&w, 0, 4, GW_VA, VTD_FR_PE_ACCESS));
	assert_int_equal(last_trap(&w)->kind, VIOMMU_TRAP_REFUSED);
	assert_int_equal(last_trap(&w)->error, -ENOSPC);
	/* Requests without PASID do not count. */
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 1));
	gw_pe(&w, GW_SID(0), 2)[0] = 0;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 2), 0));
	assert_true(gw_sees(&w, 0, 4, GW_VA, 1));
	gw_close(&w);
}

/* A table that the host cannot nest on the VM's memory: what was bound before is not used on. */
static void an_entry_that_the_host_refuses_ends_the_bind(void **state)
{
	struct viommu_fault last;
	struct gw_process p;
	uint64_t *pe, v;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	pe = gw_pe(&w, GW_SID(0), 5);
	gw_pe_fs(pe, &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	pe[2] |= UINT64_C(1) << 50;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0));
	assert_int_equal(last_trap(&w)->kind, VIOMMU_TRAP_REFUSED);
	assert_int_equal(last_trap(&w)->error, -EINVAL);
	assert_int_equal(gw_read(&w, 0, 5, GW_VA, &v), VIOMMU_FAULTED);
	assert_int_equal(viommu_guest_last_faults(w.guest, &last, 1), 1);
	assert_int_equal(last.reason, VTD_FR_FS_ROOT_ACCESS); /* as the guest's tables have it */
	gw_close(&w);
}

/* Another VM on the host has the number. */
static void a_pasid_of_another_vm_is_refused(void **state)
{
	struct viommu_domain *other;
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &other), 0);
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(other), (struct viommu_hp){ 5 }),
			 0);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_PE_ACCESS));
	assert_int_equal(last_trap(&w)->error, -EEXIST);
	gw_close(&w);
}

/* ---- Devices come and go ---- */

static void devices_get_what_the_units_state_says(void **state)
{
	const struct viommu_device_config dc = { .size = sizeof(dc), .sid = 0x99 };
	struct viommu_device *dev;
	struct gw_process p;
	struct gw w;
	uint64_t v;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_context_make(&w, 0x300, GW_ALL, 0);
	gw_pe_fs(gw_pe(&w, 0x300, 0), &p.fs, 1);
	assert_int_equal(viommu_device_new(w.host, &dc, &dev), 0);
	assert_int_equal(viommu_guest_add_device(w.guest, NULL, 0x300), -EINVAL);
	assert_int_equal(viommu_guest_add_device(w.guest, dev, GW_SID(0)), -EEXIST);
	assert_int_equal(viommu_guest_add_device(w.guest, w.dev[0], 0x300), -EEXIST);
	assert_int_equal(viommu_guest_add_device(w.guest, dev, 0x300), 0);
	assert_int_equal(viommu_dma_read(w.dma, dev, VIOMMU_NO_PASID, GW_VA, &v, 8, 0, NULL), 0);
	assert_int_equal(viommu_guest_remove_device(w.guest, dev), 0);
	assert_int_equal(viommu_guest_remove_device(w.guest, dev), -ENOENT);
	assert_int_equal(viommu_dma_read(w.dma, dev, VIOMMU_NO_PASID, GW_VA, &v, 8, 0, NULL),
			 VIOMMU_FAULTED);
	/* Unplugged under the unit's feet: its requests fault, the queue goes on. */
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	viommu_device_unplug(w.dev[0]);
	assert_int_equal(gw_read(&w, 0, 5, GW_VA, &v), VIOMMU_FAULTED);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0));
	gw_close(&w);
}

static void the_host_may_end_a_bind_on_its_own(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	assert_int_equal(viommu_host_unbind(w.dev[0], (struct viommu_hp){ 5 }), 0);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1)); /* the next DMA has it bound again */
	gw_close(&w);
}

/* ---- Inspection ---- */

static void shadows_are_shown_in_order_from_anywhere(void **state)
{
	struct viommu_guest_shadow sh[16];
	struct grid g;

	(void)state;
	grid_open(&g, NULL);
	/* Device 2 has nothing. */
	assert_int_equal(viommu_guest_shadows(g.w.guest, 0, (struct viommu_gp){ VIOMMU_NO_PASID },
					      sh, 16),
			 6);
	assert_int_equal(sh[0].gp.v, VIOMMU_NO_PASID);
	assert_int_equal(sh[0].hp.v, 0);
	assert_int_equal(sh[2].gp.v, 2);
	assert_int_equal(sh[2].did, 2);
	assert_int_equal(sh[3].sid, GW_SID(1));
	assert_int_equal(sh[1].pe[2], tables_root(&g.old.fs));
	assert_int_equal(viommu_guest_shadows(g.w.guest, GW_SID(0), (struct viommu_gp){ 2 }, sh, 2),
			 2);
	assert_int_equal(sh[0].gp.v, 2);
	assert_int_equal(sh[1].gp.v, VIOMMU_NO_PASID);
	assert_int_equal(sh[1].sid, GW_SID(1));
	assert_int_equal(
		viommu_guest_shadows(g.w.guest, GW_SID(1), (struct viommu_gp){ 3 }, sh, 16), 0);
	assert_int_equal(stats(&g.w).bound, 6);
	gw_close(&g.w);
}

static void statistics_have_a_size(void **state)
{
	struct viommu_guest_stats s;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	memset(&s, 0xee, sizeof(s));
	s.size = 16;
	viommu_guest_stats(w.guest, &s);
	assert_int_equal(s.size, 16);
	assert_int_equal(s.descriptors[0], 0);
	assert_int_equal(s.descriptors[1], 0xeeeeeeeeeeeeeeee);
	s.size = 4;
	viommu_guest_stats(w.guest, &s);
	assert_int_equal(s.size, 4);
	gw_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dma_binds_an_entry_that_nobody_announced),
	cmocka_unit_test(a_flush_after_the_entry_went_unbinds),
	cmocka_unit_test(a_flush_after_the_entry_changed_rebinds),
	cmocka_unit_test(each_granularity_looks_at_what_it_names),
	cmocka_unit_test(each_granularity_unbinds_what_went),
	cmocka_unit_test(a_context_that_changes_takes_its_pasids_along),
	cmocka_unit_test(every_kind_of_entry_translates_as_it_says),
	cmocka_unit_test(supervisor_pages_are_for_supervisor_requests),
	cmocka_unit_test(a_bind_tells_the_entry_before_and_after),
	cmocka_unit_test(caching_mode_guests_are_served_by_the_flushes_they_send),
	cmocka_unit_test(a_guest_pasid_keeps_its_host_pasid),
	cmocka_unit_test(a_mapping_that_is_there_is_taken),
	cmocka_unit_test(identity_has_the_same_number_and_no_0),
	cmocka_unit_test(binds_beyond_the_limit_are_refused),
	cmocka_unit_test(an_entry_that_the_host_refuses_ends_the_bind),
	cmocka_unit_test(a_pasid_of_another_vm_is_refused),
	cmocka_unit_test(devices_get_what_the_units_state_says),
	cmocka_unit_test(the_host_may_end_a_bind_on_its_own),
	cmocka_unit_test(shadows_are_shown_in_order_from_anywhere),
	cmocka_unit_test(statistics_have_a_size),
};
TEST_MAIN(tests)
