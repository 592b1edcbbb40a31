/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Global commands with their handshakes, translation on and off, root table modes, and invalidation
 * by registers.
 */
#include "guest/world.h"

#define G(NAME) ((uint32_t)VTD_MASK(VTD_GCMD_##NAME))
#define S(NAME) ((uint32_t)VTD_MASK(VTD_GSTS_##NAME))

/* Something that any device reads at an address of the VM. */
static uint64_t marked_page(struct gw *w, uint64_t value)
{
	uint64_t gpa = gw_page(w);

	gw_ptr(w, gpa)[0] = value;
	return gpa;
}

/* ---- Handshakes ---- */

/* VTD-CMD-01, VTD-CMD-04, VTD-CMD-10, VTD-CMD-22 */
static void levels_follow_what_each_write_carries(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_wr32(&w, VTD_REG_GCMD, G(QIE));
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), S(QIES));
	gw_wr32(&w, VTD_REG_GCMD, G(QIE) | G(TE));
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), S(QIES) | S(TES));
	assert_int_equal(gw_rd32(&w, VTD_REG_GCMD), 0); /* write-only */
	gw_wr32(&w, VTD_REG_GCMD, G(TE));
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), S(TES));
	gw_wr32(&w, VTD_REG_GCMD, 0);
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), 0);
	gw_close(&w);
}

/* VTD-CMD-02, VTD-CMD-03, VTD-CAP-03 */
static void one_shots_complete_in_the_write(void **state)
{
	struct viommu_unit unit;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_wr64(&w, VTD_REG_RTADDR, 0x5400);
	viommu_guest_unit(w.guest, &unit);
	assert_int_equal(unit.rtaddr, 0);
	gw_wr32(&w, VTD_REG_GCMD, G(SRTP));
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), S(RTPS));
	viommu_guest_unit(w.guest, &unit);
	assert_int_equal(unit.rtaddr, 0x5400);
	assert_ptr_equal(unit.mem, w.mem);
	gw_wr32(&w, VTD_REG_GCMD, G(WBF));
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), S(RTPS)); /* no WBFS: it is done */
	gw_close(&w);
}

/*
 * Without interrupt remapping (VTD-CAP-21) its table can be "set", and remapping does not turn on;
 * guest/intremap.c has it turned on.
 */
static void interrupt_remapping_is_not_there_unless_asked_for(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	assert_int_equal(VTD_FIELD(w.ecap, VTD_ECAP_IR), 0);
	assert_int_equal(VTD_FIELD(w.ecap, VTD_ECAP_EIM), 0);
	gw_wr32(&w, VTD_REG_GCMD, G(SIRTP) | G(IRE) | G(CFI));
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), S(IRTPS));
	gw_close(&w);
}

/* VTD-CMD-19, VTD-CMD-15 */
static void a_new_root_table_counts_from_srtp_on(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 0x1234);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 0x1234));
	gw_wr64(&w, VTD_REG_RTADDR, gw_page(&w) | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	assert_true(gw_do(&w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0));
	assert_true(gw_sees(&w, 0, 5, GW_VA, 0x1234)); /* still the old one */
	gw_wr32(&w, VTD_REG_GCMD, G(TE) | G(QIE) | G(SRTP));
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_SROOT_NP));
	gw_close(&w);
}

/* VTD-CMD-14: nothing of the old table is left without a descriptor; VTD-CMD-21 */
static void setting_the_root_table_drops_every_cache_if_esrtps(void **state)
{
	struct gw_process p, q;
	uint64_t old;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_process(&w, &q, 4, 2);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 1));
	/* A second set of tables. */
	old = w.root;
	w.root = gw_page(&w);
	gw_context_make(&w, GW_SID(0), GW_ALL, 0);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &q.fs, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &q.fs, 1);
	gw_set_root(&w, VTD_TTM_SCALABLE);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 2));
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 2));
	/* The first-stage table changes and the same root is set again: no descriptor needed. */
	gw_ptr(&w, p.page)[0] = 3;
	assert_int_equal(tables_map(&q.fs, GW_VA, p.page, 12, TABLES_RWU), 0);
	gw_set_root(&w, VTD_TTM_SCALABLE);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 3));
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 3));
	assert_int_not_equal(old, w.root);
	gw_close(&w);
}

/* VTD-CMD-15 */
static void without_esrtps_software_invalidates_after_srtp(void **state)
{
	struct gw_config c = { 0 };
	struct gw_process p, q;
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	viommu_guest_profile(VIOMMU_PROFILE_SVA, 0, NULL, &c.cap, &c.ecap, NULL);
	c.cap &= ~VTD_MASK(VTD_CAP_ESRTPS);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_process(&w, &q, 4, 2);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	w.root = gw_page(&w);
	gw_context_make(&w, GW_SID(0), GW_ALL, 0);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &q.fs, 1);
	gw_set_root(&w, VTD_TTM_SCALABLE);
	gw_put(&w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0);
	gw_put(&w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
	assert_true(gw_do(&w, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0));
	assert_true(gw_sees(&w, 0, 5, GW_VA, 2));
	gw_close(&w);
}

/* ---- Translation on and off ---- */

/* VTD-ORDER-01, VTD-ORDER-02, VTD-CMD-11, VTD-CMD-12, VTD-CMD-13 */
static void with_translation_off_devices_have_the_vms_memory(void **state)
{
	struct viommu_ats_result ats;
	struct viommu_fault fault;
	struct gw_process p;
	uint64_t gpa;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gpa = marked_page(&w, 0xabc);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, gpa, 0xabc));
	assert_int_equal(gw_write(&w, 2, VIOMMU_NO_PASID, gpa + 8, 0xdef), 0);
	assert_int_equal(gw_ptr(&w, gpa)[1], 0xdef);
	/* A request with PASID, or of ATS, has no translation to ask for. */
	assert_true(gw_faults(&w, 0, 5, gpa, VTD_FR_PE_NP) ||
		    gw_faults(&w, 0, 5, gpa, VTD_FR_PDIR_NP));
	assert_int_equal(viommu_ats_translate(w.dma, w.dev[0], VIOMMU_NO_PASID, gpa, 0, &ats,
					      &fault),
			 VIOMMU_FAULTED);
	assert_int_equal(viommu_fault_outcome(fault.reason, VIOMMU_REQ_TRANSLATION), VTD_OUT_UR);

	gw_start(&w);
	assert_true(gw_faults(&w, 0, VIOMMU_NO_PASID, gpa, VTD_FR_PDIR_NP));
	gw_process(&w, &p, 4, 0x77);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 0x77));
	assert_true(gw_sees(&w, 0, 5, GW_VA, 0x77));
	assert_int_equal(viommu_ats_translate(w.dma, w.dev[0], 5, GW_VA, 0, &ats, &fault), 0);
	assert_int_equal(ats.perm, VIOMMU_READ | VIOMMU_WRITE);

	gw_command(&w, G(TE), false);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, gpa, 0xabc));
	assert_int_not_equal(gw_read(&w, 0, 5, GW_VA, &gpa), 0);
	/* On again: what it was translated by before is not believed, the tables are read. */
	gw_pe(&w, GW_SID(0), 5)[0] = 0;
	gw_command(&w, G(TE), true);
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_PE_NP));
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 0x77));
	gw_close(&w);
}

/* With translation off nothing of it is the unit's to record. */
static void with_translation_off_no_fault_is_recorded(void **state)
{
	uint64_t v;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	assert_int_equal(gw_read(&w, 0, 5, 0, &v), VIOMMU_FAULTED);
	assert_int_equal(gw_read(&w, 0, VIOMMU_NO_PASID, UINT64_C(1) << 45, &v), VIOMMU_FAULTED);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), 0);
	gw_close(&w);
}

/* VTD_FR_ABORT, VTD_FR_TTM */
static void abort_mode_and_reserved_mode_block_all_dma(void **state)
{
	struct gw_config c = { 0 };
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	viommu_guest_profile(VIOMMU_PROFILE_SVA, 0, NULL, &c.cap, &c.ecap, NULL);
	c.ecap |= VTD_MASK(VTD_ECAP_ADMS);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	gw_set_root(&w, VTD_TTM_ABORT);
	gw_command(&w, G(TE), true);
	assert_true(gw_faults(&w, 0, VIOMMU_NO_PASID, 0x5000, VTD_FR_ABORT));
	assert_true(gw_faults(&w, 0, 7, 0x5000, VTD_FR_ABORT));
	gw_set_root(&w, 2);
	assert_true(gw_faults(&w, 0, VIOMMU_NO_PASID, 0x5000, VTD_FR_TTM));
	gw_close(&w);
	/* Without ADMS the abort mode is no mode. */
	gw_open(&w, NULL);
	gw_set_root(&w, VTD_TTM_ABORT);
	gw_command(&w, G(TE), true);
	assert_true(gw_faults(&w, 0, VIOMMU_NO_PASID, 0x5000, VTD_FR_TTM));
	gw_close(&w);
}

/* ---- Legacy mode and register-based invalidation ---- */

#define IOVA UINT64_C(0x40000000)

static void legacy_open_with(struct gw *w, struct tables_stage *ss, uint16_t did, uint32_t burst)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_LEGACY,
				     .burst = burst,
				     .no_kick = burst != 0 };
	uint64_t gpa;

	gw_open(w, &c);
	gw_set_root(w, VTD_TTM_LEGACY);
	tables_stage_init(ss, &w->ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	gpa = marked_page(w, 0x100);
	assert_int_equal(tables_map(ss, IOVA, gpa, 12, TABLES_RW), 0);
	gw_lce_ss(gw_context(w, GW_SID(0)), ss, VTD_TT_SS, did);
	gw_command(w, G(TE), true);
	assert_true(gw_sees(w, 0, VIOMMU_NO_PASID, IOVA, 0x100));
}

static void legacy_open(struct gw *w, struct tables_stage *ss, uint16_t did)
{
	legacy_open_with(w, ss, did, 0);
}

static uint64_t ccmd(struct gw *w, unsigned int g, uint16_t did, uint16_t sid, unsigned int fm)
{
	gw_wr64(w, VTD_REG_CCMD,
		VTD_MASK(VTD_CCMD_ICC) | VTD_VAL(VTD_CCMD_CIRG, g) | VTD_VAL(VTD_CCMD_DID, did) |
			VTD_VAL(VTD_CCMD_SID, sid) | VTD_VAL(VTD_CCMD_FM, fm));
	return gw_rd64(w, VTD_REG_CCMD);
}

/* VTD-RINV-01, VTD-RINV-02, VTD-RINV-03, VTD-RINV-04, VTD-CTX-08, VTD-TAG-01 */
static void ccmd_drops_contexts_by_granularity(void **state)
{
	static const struct {
		unsigned int g;
		uint16_t did, sid;
		unsigned int fm;
		bool hits;
	} tries[] = {
		{ VTD_RINV_GLOBAL, 0, 0, 0, true },
		{ VTD_RINV_DOMAIN, 5, 0, 0, true },
		{ VTD_RINV_DOMAIN, 6, 0, 0, false },
		{ VTD_RINV_DEVICE, 5, GW_SID(0), 0, true },
		{ VTD_RINV_DEVICE, 5, GW_SID(1), 0, false },
		{ VTD_RINV_DEVICE, 5, GW_SID(0) | 4, 1, true },
		{ VTD_RINV_DEVICE, 5, GW_SID(0) | 6, 2, true },
		{ VTD_RINV_DEVICE, 5, GW_SID(0) | 7, 3, true },
		{ VTD_RINV_DEVICE, 5, GW_SID(0) | 1, 2, false },
	};
	struct tables_stage ss, other;
	uint64_t gpa, v;
	unsigned int i;
	struct gw w;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		legacy_open(&w, &ss, 5);
		tables_stage_init(&other, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
		gpa = marked_page(&w, 0x200);
		assert_int_equal(tables_map(&other, IOVA, gpa, 12, TABLES_RW), 0);
		gw_lce_ss(gw_context(&w, GW_SID(0)), &other, VTD_TT_SS, 5);
		v = ccmd(&w, tries[i].g, tries[i].did, tries[i].sid, tries[i].fm);
		assert_false(v & VTD_MASK(VTD_CCMD_ICC));
		assert_int_equal(VTD_FIELD(v, VTD_CCMD_CAIG), tries[i].g);
		assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, IOVA, tries[i].hits ? 0x200 : 0x100));
		gw_close(&w);
	}
	legacy_open(&w, &ss, 5);
	v = ccmd(&w, 0, 0, 0, 0); /* a reserved granularity */
	assert_int_equal(v & (VTD_MASK(VTD_CCMD_ICC) | VTD_MASK(VTD_CCMD_CAIG)), 0);
	gw_close(&w);
}

/* Both look at every device, and each has its own place where it is. */
static void ccmd_does_not_go_on_where_the_queue_is(void **state)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };
	struct tables_stage ss, other;
	uint64_t gpa;
	struct gw w;

	(void)state;
	legacy_open_with(&w, &ss, 5, 2);
	gw_iq_setup(&w, 16, 0);
	gw_put(&w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0);
	gw_kick(&w);
	/* It has looked at the first device, and will go on with the second. */
	viommu_guest_stats(w.guest, &s);
	assert_int_equal(s.descriptors[VTD_IQ_TYPE_CC], 0);
	tables_stage_init(&other, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	gpa = marked_page(&w, 0x200);
	assert_int_equal(tables_map(&other, IOVA, gpa, 12, TABLES_RW), 0);
	gw_lce_ss(gw_context(&w, GW_SID(0)), &other, VTD_TT_SS, 5);
	ccmd(&w, VTD_RINV_GLOBAL, 0, 0, 0);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, IOVA, 0x200));
	while (viommu_guest_run(w.guest))
		;
	viommu_guest_stats(w.guest, &s);
	assert_int_equal(s.descriptors[VTD_IQ_TYPE_CC], 1);
	gw_close(&w);
}

static uint64_t iotlb(struct gw *w, unsigned int g, uint16_t did)
{
	gw_wr64(w, gw_iotlb(w),
		VTD_MASK(VTD_IOTLB_IVT) | VTD_VAL(VTD_IOTLB_IIRG, g) | VTD_VAL(VTD_IOTLB_DID, did) |
			VTD_MASK(VTD_IOTLB_DR) | VTD_MASK(VTD_IOTLB_DW));
	return gw_rd64(w, gw_iotlb(w));
}

/* VTD-RINV-07, VTD-RINV-08, VTD-RINV-09, VTD-RINV-10, VTD-RINV-11, VTD-TAG-06 */
static void iotlb_drops_translations_by_granularity(void **state)
{
	static const struct {
		unsigned int g;
		uint16_t did;
		uint64_t iva;
		unsigned int done;
		bool hits;
	} tries[] = {
		{ VTD_RINV_GLOBAL, 0, 0, VTD_RINV_GLOBAL, true },
		{ VTD_RINV_DOMAIN, 5, 0, VTD_RINV_DOMAIN, true },
		{ VTD_RINV_DOMAIN, 6, 0, VTD_RINV_DOMAIN, false },
		{ VTD_RINV_PAGE, 5, IOVA, VTD_RINV_PAGE, true },
		{ VTD_RINV_PAGE, 5, IOVA | 9, VTD_RINV_PAGE, true },
		{ VTD_RINV_PAGE, 5, IOVA | 18, VTD_RINV_PAGE, true },
		{ VTD_RINV_PAGE, 6, IOVA, VTD_RINV_PAGE, false },
		{ VTD_RINV_PAGE, 5, IOVA | 19, VTD_RINV_ERROR, false }, /* beyond MAMV */
		{ 0, 5, 0, VTD_RINV_ERROR, false },
	};
	struct tables_stage ss;
	uint64_t gpa, v;
	unsigned int i;
	struct gw w;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		legacy_open(&w, &ss, 5);
		gpa = marked_page(&w, 0x200);
		assert_int_equal(tables_map(&ss, IOVA, gpa, 12, TABLES_RW), 0);
		assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, IOVA, 0x100)); /* cached */
		gw_wr64(&w, gw_iotlb(&w) - 8, tries[i].iva);
		v = iotlb(&w, tries[i].g, tries[i].did);
		assert_false(v & VTD_MASK(VTD_IOTLB_IVT));
		assert_int_equal(VTD_FIELD(v, VTD_IOTLB_IAIG), tries[i].done);
		assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, IOVA, tries[i].hits ? 0x200 : 0x100));
		gw_close(&w);
	}
}

/* VTD-RINV-08: without page-selective invalidation more is dropped, and the answer says so. */
static void iotlb_by_page_is_by_domain_without_psi(void **state)
{
	struct gw_config c = { 0 };
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	viommu_guest_profile(VIOMMU_PROFILE_LEGACY, 0, &c.ver, &c.cap, &c.ecap, NULL);
	c.cap &= ~VTD_MASK(VTD_CAP_PSI);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	assert_int_equal(VTD_FIELD(iotlb(&w, VTD_RINV_PAGE, 3), VTD_IOTLB_IAIG), VTD_RINV_DOMAIN);
	gw_close(&w);
}

/* VTD-RINV-12 */
static void the_upper_half_starts_a_register_command(void **state)
{
	struct tables_stage ss;
	struct gw w;

	(void)state;
	legacy_open(&w, &ss, 5);
	*gw_context(&w, GW_SID(0)) = 0;
	gw_wr32(&w, VTD_REG_CCMD + 4,
		(uint32_t)(VTD_VAL(VTD_CCMD_CIRG, VTD_RINV_GLOBAL) >> 32)); /* without ICC */
	gw_wr32(&w, VTD_REG_CCMD, 0xffffffff);
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, IOVA, 0x100));
	gw_wr32(&w, VTD_REG_CCMD + 4,
		(uint32_t)((VTD_MASK(VTD_CCMD_ICC) | VTD_VAL(VTD_CCMD_CIRG, VTD_RINV_GLOBAL)) >>
			   32));
	assert_true(gw_faults(&w, 0, VIOMMU_NO_PASID, IOVA, VTD_FR_CTX_NP));
	gw_wr32(&w, gw_iotlb(&w), 0xffffffff);
	assert_int_equal(VTD_FIELD(gw_rd64(&w, gw_iotlb(&w)), VTD_IOTLB_IAIG), 0);
	gw_wr32(&w, gw_iotlb(&w) + 4,
		(uint32_t)((VTD_MASK(VTD_IOTLB_IVT) | VTD_VAL(VTD_IOTLB_IIRG, VTD_RINV_GLOBAL)) >>
			   32));
	assert_int_equal(VTD_FIELD(gw_rd64(&w, gw_iotlb(&w)), VTD_IOTLB_IAIG), VTD_RINV_GLOBAL);
	gw_close(&w);
}

/* VTD-RINV-05, VTD-RINV-06 */
static void register_commands_fail_in_scalable_mode_and_on_new_units(void **state)
{
	const struct gw_config legacy = { .profile = VIOMMU_PROFILE_LEGACY };
	struct gw w;

	(void)state;
	gw_open(&w, &legacy);
	gw_set_root(&w, VTD_TTM_SCALABLE);
	assert_int_equal(VTD_FIELD(ccmd(&w, VTD_RINV_GLOBAL, 0, 0, 0), VTD_CCMD_CAIG), 0);
	assert_int_equal(VTD_FIELD(iotlb(&w, VTD_RINV_GLOBAL, 0), VTD_IOTLB_IAIG), VTD_RINV_GLOBAL);
	gw_close(&w);
	gw_open(&w, NULL); /* version 6 */
	assert_int_equal(VTD_FIELD(ccmd(&w, VTD_RINV_GLOBAL, 0, 0, 0), VTD_CCMD_CAIG), 0);
	assert_int_equal(VTD_FIELD(iotlb(&w, VTD_RINV_GLOBAL, 0), VTD_IOTLB_IAIG), 0);
	assert_false(gw_rd64(&w, VTD_REG_CCMD) & VTD_MASK(VTD_CCMD_ICC));
	assert_false(gw_rd64(&w, gw_iotlb(&w)) & VTD_MASK(VTD_IOTLB_IVT));
	gw_close(&w);
}

/* Legacy mode: pass-through, ATS by translation type. */
static void legacy_contexts_translate_pass_through_and_allow_ats(void **state)
{
	struct viommu_ats_result ats;
	struct viommu_fault fault;
	struct tables_stage ss;
	uint64_t gpa;
	struct gw w;

	(void)state;
	legacy_open(&w, &ss, 5);
	assert_int_equal(viommu_ats_translate(w.dma, w.dev[0], VIOMMU_NO_PASID, IOVA, 0, &ats,
					      &fault),
			 VIOMMU_FAULTED);
	gw_lce_ss(gw_context(&w, GW_SID(0)), &ss, VTD_TT_SS_ATS, 5);
	ccmd(&w, VTD_RINV_GLOBAL, 0, 0, 0);
	assert_int_equal(
		viommu_ats_translate(w.dma, w.dev[0], VIOMMU_NO_PASID, IOVA, 0, &ats, &fault), 0);
	assert_int_equal(ats.perm, VIOMMU_READ | VIOMMU_WRITE);
	gpa = marked_page(&w, 0x300);
	gw_lce_ss(gw_context(&w, GW_SID(1)), NULL, VTD_TT_PT, 9);
	assert_true(gw_sees(&w, 1, VIOMMU_NO_PASID, gpa, 0x300));
	assert_true(gw_faults(&w, 1, 4, gpa, VTD_FR_LEGACY_PASID));
	assert_true(gw_faults(&w, 2, VIOMMU_NO_PASID, gpa, VTD_FR_ROOT_NP));
	gw_close(&w);
}

/* VTD-CAP-08, VTD-CAP-19 */
static void zero_length_reads_and_the_queue_are_there_as_announced(void **state)
{
	unsigned int zlr;

	(void)state;
	for (zlr = 0; zlr < 2; zlr++) {
		struct gw_config c = { 0 };
		struct tables_stage ss;
		struct gw w;

		gw_open_host(&w, &c);
		viommu_guest_profile(VIOMMU_PROFILE_LEGACY, 0, &c.ver, &c.cap, &c.ecap, NULL);
		c.cap &= ~(zlr ? 0 : VTD_MASK(VTD_CAP_ZLR));
		c.ecap &= ~(VTD_MASK(VTD_ECAP_QI) | VTD_MASK(VTD_ECAP_SMTS) |
			    VTD_MASK(VTD_ECAP_SSTS) | VTD_MASK(VTD_ECAP_RPS));
		assert_int_equal(gw_open_unit(&w, &c), 0);
		/* No queue: its registers are not there, and it does not turn on. */
		gw_wr64(&w, VTD_REG_IQA, 0x5000);
		assert_int_equal(gw_rd64(&w, VTD_REG_IQA), 0);
		gw_wr32(&w, VTD_REG_GCMD, G(QIE));
		assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), 0);
		gw_set_root(&w, VTD_TTM_LEGACY);
		tables_stage_init(&ss, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
		assert_int_equal(tables_map(&ss, IOVA, gw_page(&w), 12, TABLES_W), 0);
		gw_lce_ss(gw_context(&w, GW_SID(0)), &ss, VTD_TT_SS, 5);
		gw_command(&w, G(TE), true);
		assert_int_equal(viommu_dma_read(w.dma, w.dev[0], VIOMMU_NO_PASID, IOVA, NULL, 0, 0,
						 NULL),
				 zlr ? 0 : VIOMMU_FAULTED);
		gw_close(&w);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(levels_follow_what_each_write_carries),
	cmocka_unit_test(one_shots_complete_in_the_write),
	cmocka_unit_test(interrupt_remapping_is_not_there_unless_asked_for),
	cmocka_unit_test(a_new_root_table_counts_from_srtp_on),
	cmocka_unit_test(setting_the_root_table_drops_every_cache_if_esrtps),
	cmocka_unit_test(without_esrtps_software_invalidates_after_srtp),
	cmocka_unit_test(with_translation_off_devices_have_the_vms_memory),
	cmocka_unit_test(with_translation_off_no_fault_is_recorded),
	cmocka_unit_test(abort_mode_and_reserved_mode_block_all_dma),
	cmocka_unit_test(ccmd_drops_contexts_by_granularity),
	cmocka_unit_test(ccmd_does_not_go_on_where_the_queue_is),
	cmocka_unit_test(iotlb_drops_translations_by_granularity),
	cmocka_unit_test(iotlb_by_page_is_by_domain_without_psi),
	cmocka_unit_test(the_upper_half_starts_a_register_command),
	cmocka_unit_test(register_commands_fail_in_scalable_mode_and_on_new_units),
	cmocka_unit_test(zero_length_reads_and_the_queue_are_there_as_announced),
	cmocka_unit_test(legacy_contexts_translate_pass_through_and_allow_ats),
};
TEST_MAIN(tests)
