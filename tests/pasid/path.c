/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path, rule by rule: each fault code and gate of root, context, PASID directory and
 * PASID entry once, on tables as Linux writes them; what the stages look like; FPD; the interrupt
 * window. The random comparison with a plain implementation is path_model.c.
 */
#include <viommu/host.h>

#include "world.h"

#define ECAP(NAME) VTD_MASK(VTD_ECAP_##NAME)
#define CAP(NAME)  VTD_MASK(VTD_CAP_##NAME)

/* ---- What Linux sets up ---------------------------------------------------------------------- */

/*
 * VTD-PE-01, VTD-PE-02, VTD-PE-03, VTD-PE-04, VTD-PE-06, VTD-PE-09, VTD-PE-10, VTD-PE-17,
 * VTD-SCTX-01, VTD-SCTX-08, VTD-PDIR-01, VTD-PDIR-03, VTD-NEST-01
 */
static void booted_nesting_host_gives_two_stages(void **state)
{
	const struct viommu_stage *fs, *ss;
	struct world w;

	(void)state;
	world_scalable(&w, false);
	world_passes(&w);
	assert_int_equal(w.out.pgtt, VTD_PGTT_NESTED);
	assert_int_equal(w.out.did, 3);
	assert_int_equal(w.out.pasid, 5);
	assert_int_equal(w.out.legacy, 0);
	assert_memory_equal(w.out.pe, w.pe, 64);
	assert_int_equal(w.out.stack.nr, 2);
	assert_int_equal(w.out.stack.haw, 48);
	assert_ptr_equal(w.out.stack.mem, w.mem);
	fs = &w.out.stack.stage[0];
	assert_int_equal(fs->format, VIOMMU_FORMAT_VTD_FS);
	assert_int_equal(fs->levels, 4);
	assert_int_equal(fs->haw, 48);
	assert_true(fs->root == 0x100000);
	assert_int_equal(fs->flags, VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU_STAGE_SNOOP);
	ss = &w.out.stack.stage[1];
	assert_int_equal(ss->format, VIOMMU_FORMAT_VTD_SS);
	assert_int_equal(ss->levels, 4);
	assert_int_equal(ss->input_bits, 48);
	assert_true(ss->root == 0x9b5000);
	assert_int_equal(ss->flags,
			 VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU_STAGE_SNOOP | VIOMMU_STAGE_SNP);

	/* Without PASID: the parent domain of RID_PASID 0. */
	w.req.pasid = VIOMMU_NO_PASID;
	world_passes(&w);
	assert_int_equal(w.out.pgtt, VTD_PGTT_SS);
	assert_int_equal(w.out.did, 2);
	assert_int_equal(w.out.pasid, 0);
	assert_int_equal(w.out.stack.nr, 1);
	assert_true(w.out.stack.stage[0].root == 0x9b5000);
	world_close(&w);
}

/* VTD-PE-07, VTD-PE-13, VTD-PE-21, VTD-CAP-15, VTD-CAP-39 */
static void booted_guest_gives_one_stage_of_5_levels_in_spite_of_its_aw(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.unit.cap = CAP_GUEST;
	w.unit.ecap = ECAP_GUEST;
	world_pe_fs(&w);
	VTD_SET(w.pe, VTD_PE_AW, 3);
	VTD_SET(w.pe, VTD_PE_FSPM, 1);
	world_passes(&w);
	assert_int_equal(w.out.pgtt, VTD_PGTT_FS);
	assert_int_equal(w.out.stack.nr, 1);
	assert_int_equal(w.out.stack.stage[0].levels, 5);
	assert_true(w.out.stack.stage[0].root == 0x345000);

	/* Even an AW that means nothing, or the bits that older revisions had: 6:5 (VTD-PE-16). */
	VTD_SET(w.pe, VTD_PE_AW, 7);
	w.pe[2] |= 0x60;
	world_passes(&w);

	/* Pass-through likewise: no stage, and FSPM is nobody's business. */
	world_pe_pt(&w);
	VTD_SET(w.pe, VTD_PE_FSPM, 3);
	VTD_SET(w.pe, VTD_PE_FSPTPTR, ~UINT64_C(0));
	VTD_SET(w.pe, VTD_PE_SSPTPTR, ~UINT64_C(0));
	world_passes(&w);
	assert_int_equal(w.out.pgtt, VTD_PGTT_PT);
	assert_int_equal(w.out.stack.nr, 0);
	assert_int_equal(w.out.stack.haw, 48);
	world_close(&w);
}

/*
 * VTD-CTX-01, VTD-CTX-02, VTD-CTX-03, VTD-CTX-04, VTD-CTX-06, VTD-CTX-08, VTD-ROOT-01, VTD-ROOT-02
 */
static void legacy_context_gives_a_second_stage_or_pass_through(void **state)
{
	const struct viommu_stage *ss;
	struct world w;

	(void)state;
	world_legacy(&w, false);
	world_passes(&w);
	assert_int_equal(w.out.legacy, 1);
	assert_int_equal(w.out.pgtt, VTD_PGTT_SS);
	assert_int_equal(w.out.did, 7);
	assert_int_equal(w.out.pasid, VIOMMU_NO_PASID);
	assert_true(w.out.pe[0] == w.ce[0] && w.out.pe[1] == w.ce[1]);
	assert_int_equal(w.out.stack.nr, 1);
	ss = &w.out.stack.stage[0];
	assert_int_equal(ss->levels, 4);
	assert_int_equal(ss->input_bits, 48);
	assert_true(ss->root == 0x9b5000);
	/*
	 * ECAP.C makes legacy walks snoop (VTD-CAP-18, VTD-SNOOP-02), CAP.ZLR is handed on
	 * (VTD-CAP-08).
	 */
	assert_int_equal(ss->flags, VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_2M | VIOMMU_STAGE_1G |
					    VIOMMU_STAGE_SNP | VIOMMU_STAGE_SNOOP |
					    VIOMMU_STAGE_ZLR);
	w.unit.cap &= ~CAP(ZLR);
	w.unit.ecap &= ~ECAP(C);
	world_passes(&w);
	assert_int_equal(ss->flags, VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_2M | VIOMMU_STAGE_1G |
					    VIOMMU_STAGE_SNP);

	/* Pass-through does not look at the pointer; the ignored bits are ignored (VTD-CTX-07). */
	VTD_SET(w.ce, VTD_LCE_TT, VTD_TT_PT);
	VTD_SET(w.ce, VTD_LCE_SSPTPTR, ~UINT64_C(0));
	VTD_SET(w.ce, VTD_LCE_IGN, 0xf);
	world_passes(&w);
	assert_int_equal(w.out.pgtt, VTD_PGTT_PT);
	assert_int_equal(w.out.stack.nr, 0);

	/* The last bus and function have their own entries. */
	w.req.sid = 0xffff;
	world_find(&w, 0);
	w.root[0] = world_gpa(&w, CONTEXT_PAGE) | 1;
	w.ce[0] = 0x9b5001;
	w.ce[1] = 9 << 8 | 2;
	world_passes(&w);
	assert_int_equal(w.out.did, 9);
	world_close(&w);
}

/* VTD-ROOT-04, VTD-ROOT-05 */
static void scalable_root_halves_serve_half_a_bus_each(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.req.sid = 0x01a8; /* the same index in the upper half's table */
	w.root[1] = world_gpa(&w, CONTEXT_PAGE) | 1;
	w.root[0] = ~UINT64_C(0);
	world_passes(&w);
	w.req.sid = WORLD_SID;
	world_faults(&w, VTD_FR_SROOT_RSVD, &w.root[0]);
	w.root[0] = w.root[1];
	w.root[1] = ~UINT64_C(1);
	world_passes(&w);
	w.req.sid = 0x01a8;
	world_faults(&w, VTD_FR_SROOT_NP, &w.root[1]);
	world_close(&w);
}

/*
 * VTD-CAP-05, VTD-CAP-07, VTD-CAP-09, VTD-CAP-14, VTD-CAP-23, VTD-PE-06: every width, with each
 * MGAW
 */
static void second_stage_is_as_wide_as_aw_and_mgaw_allow(void **state)
{
	static const struct {
		unsigned int aw, mgaw, levels, bits;
	} t[] = {
		{ 1, 30, 3, 30 }, { 1, 39, 3, 39 }, { 1, 64, 3, 39 }, { 2, 47, 4, 47 },
		{ 2, 57, 4, 48 }, { 3, 48, 5, 48 }, { 3, 57, 5, 57 }, { 3, 64, 5, 57 },
	};
	struct world w;
	size_t i;

	(void)state;
	world_scalable(&w, false);
	w.req.pasid = VIOMMU_NO_PASID;
	world_find(&w, 0);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		VTD_SET(&w.unit.cap, VTD_CAP_SAGAW, 1 << t[i].aw);
		VTD_SET(&w.unit.cap, VTD_CAP_MGAW, t[i].mgaw - 1);
		VTD_SET(w.pe, VTD_PE_AW, t[i].aw);
		world_passes(&w);
		assert_int_equal(w.out.stack.stage[0].levels, t[i].levels);
		assert_int_equal(w.out.stack.stage[0].input_bits, t[i].bits);
		/* Not on a unit that has the other widths only. */
		VTD_SET(&w.unit.cap, VTD_CAP_SAGAW, 0x1f & ~(1u << t[i].aw));
		world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	}
	VTD_SET(&w.unit.cap, VTD_CAP_SAGAW, 0x1f);
	for (i = 0; i < 8; i++) {
		VTD_SET(w.pe, VTD_PE_AW, i);
		if (i >= 1 && i <= 3)
			world_passes(&w);
		else
			world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	}
	world_close(&w);
}

/*
 * Each bit of a PASID entry that changes a stage, and each capability. VTD-PE-08, VTD-PE-12,
 * VTD-PE-14, VTD-PE-15
 */
static void stage_flags_follow_entry_and_capabilities(void **state)
{
	uint32_t fs_base, ss_base;
	struct viommu_stage *s;
	struct world w;

	(void)state;
	world_scalable(&w, false);
	s = w.out.stack.stage;
	w.unit.ecap |= ECAP(MTS) | ECAP(SSIRWS);
	world_passes(&w);
	fs_base = s[0].flags;
	ss_base = s[1].flags;

	VTD_SET(w.pe, VTD_PE_SRE, 1);
	world_passes(&w);
	assert_int_equal(s[0].flags, fs_base | VIOMMU_STAGE_SRE);
	VTD_SET(w.pe, VTD_PE_WPE, 1);
	world_passes(&w);
	assert_int_equal(s[0].flags, fs_base | VIOMMU_STAGE_SRE | VIOMMU_STAGE_WPE);
	VTD_SET(w.pe, VTD_PE_SRE, 0);
	VTD_SET(w.pe, VTD_PE_WPE, 0);
	VTD_SET(w.pe, VTD_PE_EAFE, 1);
	world_passes(&w);
	assert_int_equal(s[0].flags, fs_base | VIOMMU_STAGE_EAFE);
	VTD_SET(w.pe, VTD_PE_EAFE, 0);

	VTD_SET(w.pe, VTD_PE_SSADE, 1);
	world_passes(&w);
	assert_int_equal(s[1].flags, ss_base | VIOMMU_STAGE_AD);
	VTD_SET(w.pe, VTD_PE_SSADE, 0);
	VTD_SET(w.pe, VTD_PE_EMTE, 1);
	world_passes(&w);
	assert_int_equal(s[1].flags, ss_base | VIOMMU_STAGE_MTS);
	VTD_SET(w.pe, VTD_PE_EMTE, 0);
	VTD_SET(w.pe, VTD_PE_PWSNP, 0);
	world_passes(&w);
	assert_int_equal(s[0].flags, fs_base & ~VIOMMU_STAGE_SNOOP);
	assert_int_equal(s[1].flags, ss_base & ~VIOMMU_STAGE_SNOOP);
	VTD_SET(w.pe, VTD_PE_PWSNP, 1);
	/* VTD-REG-15, VTD-CAP-48 */
	w.unit.rtaddr |= VTD_MASK(VTD_RTADDR_SSIRWE);
	world_passes(&w);
	assert_int_equal(s[1].flags, ss_base | VIOMMU_STAGE_IORW);
	w.unit.ecap &= ~ECAP(SSIRWS);
	world_passes(&w);
	assert_int_equal(s[1].flags, ss_base);

	w.unit.cap &= ~(CAP(FS1GP) | CAP(SSLPS));
	VTD_SET(&w.unit.cap, VTD_CAP_SSLPS, 1);
	world_passes(&w);
	assert_int_equal(s[0].flags, fs_base & ~VIOMMU_STAGE_1G);
	assert_int_equal(s[1].flags, ss_base & ~VIOMMU_STAGE_1G);
	VTD_SET(&w.unit.cap, VTD_CAP_SSLPS, 0);
	VTD_SET(w.pe, VTD_PE_PGSNP, 0);
	w.unit.ecap &= ~ECAP(SC);
	world_passes(&w);
	assert_int_equal(s[1].flags,
			 ss_base & ~(VIOMMU_STAGE_1G | VIOMMU_STAGE_2M | VIOMMU_STAGE_SNP));
	world_close(&w);
}

/* ---- The mode -------------------------------------------------------------------------------- */

/* VTD-FLT-127, VTD-REG-14, VTD-CAP-36, VTD-CAP-44 */
static void table_mode_must_exist_30h(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	VTD_SET(&w.unit.rtaddr, VTD_RTADDR_TTM, 2);
	world_faults(&w, VTD_FR_TTM, NULL);
	VTD_SET(&w.unit.rtaddr, VTD_RTADDR_TTM, VTD_TTM_ABORT);
	world_faults(&w, VTD_FR_TTM, NULL);
	VTD_SET(&w.unit.rtaddr, VTD_RTADDR_TTM, VTD_TTM_SCALABLE);
	w.unit.ecap &= ~ECAP(SMTS);
	world_faults(&w, VTD_FR_TTM, NULL);
	w.req.request = VIOMMU_REQ_PAGE;
	world_faults(&w, VTD_FR_TTM, NULL);
	world_close(&w);

	world_legacy(&w, false);
	w.unit.rtaddr |= VTD_MASK(VTD_RTADDR_SSIRWE);
	w.unit.ecap |= ECAP(SSIRWS);
	world_faults(&w, VTD_FR_TTM, NULL);
	world_close(&w);
}

/* VTD-FLT-128 */
static void request_with_pasid_in_legacy_mode_is_31h(void **state)
{
	struct world w;
	uint8_t kind;

	(void)state;
	world_legacy(&w, false);
	w.req.pasid = 0;
	for (kind = VIOMMU_REQ_UNTRANSLATED; kind <= VIOMMU_REQ_TRANSLATED; kind++) {
		w.req.request = kind;
		world_faults(&w, VTD_FR_LEGACY_PASID, NULL);
	}
	world_close(&w);
}

/* VTD-FLT-129 */
static void page_request_in_legacy_mode_is_32h(void **state)
{
	struct world w;

	(void)state;
	world_legacy(&w, false);
	w.req.request = VIOMMU_REQ_PAGE;
	world_faults(&w, VTD_FR_LEGACY_PRQ, NULL);
	w.req.pasid = 5;
	world_faults(&w, VTD_FR_LEGACY_PRQ, NULL);
	world_close(&w);
}

/* VTD-FLT-130, VTD-CAP-44 */
static void everything_in_abort_mode_is_33h(void **state)
{
	struct world w;
	uint8_t kind;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(ADMS);
	VTD_SET(&w.unit.rtaddr, VTD_RTADDR_TTM, VTD_TTM_ABORT);
	for (kind = VIOMMU_REQ_UNTRANSLATED; kind <= VIOMMU_REQ_PAGE; kind++) {
		w.req.request = kind;
		world_faults(&w, VTD_FR_ABORT, NULL);
	}
	world_close(&w);
}

/* VTD-FLT-131, VTD-FLT-152, VTD-CAP-28 */
static void execute_request_is_34h_from_version_8_and_5ch_before(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.req.access |= VIOMMU_EXEC;
	w.unit.ver = 0x80;
	world_faults(&w, VTD_FR_EXEC, NULL);
	w.req.request = VIOMMU_REQ_TRANSLATION;
	world_faults(&w, VTD_FR_EXEC, NULL);
	w.unit.ver = 0x7f;
	world_faults(&w, VTD_FR_PE_EXEC, w.pe);
	w.unit.ecap |= ECAP(ERS);
	world_faults(&w, VTD_FR_PE_EXEC, w.pe);

	/*
	 * Asking for a page to execute is for the answer to refuse; without PASID nobody can ask.
	 */
	w.req.request = VIOMMU_REQ_PAGE;
	world_passes(&w);
	w.unit.ver = 0xf0;
	world_passes(&w);
	w.unit.ver = 0x60;
	w.req.request = VIOMMU_REQ_UNTRANSLATED;
	w.req.pasid = VIOMMU_NO_PASID;
	world_passes(&w);
	world_close(&w);

	world_legacy(&w, false);
	w.req.access |= VIOMMU_EXEC;
	world_passes(&w);
	w.unit.ver = 0x80;
	world_faults(&w, VTD_FR_EXEC, NULL);
	world_close(&w);
}

/* ---- Legacy tables --------------------------------------------------------------------------- */

/* VTD-FLT-108, VTD-FLT-101, VTD-FLT-110, VTD-ROOT-03, VTD-ENT-03, VTD-ENT-04, VTD-ORDER-04 */
static void legacy_root_entry_faults(void **state)
{
	struct world w;
	int bit;

	(void)state;
	world_legacy(&w, true);
	w.unit.haw = 40;
	w.unit.rtaddr = WORLD_LOW + WORLD_BYTES;
	world_faults(&w, VTD_FR_ROOT_ACCESS, NULL);
	/* Even if something lies there. */
	assert_int_equal(viommu_mem_add_ptr(w.mem, WORLD_LOW | BIT64(40), WORLD_BYTES, w.words, 0),
			 0);
	w.unit.rtaddr = world_gpa(&w, ROOT_PAGE) | BIT64(40);
	world_faults(&w, VTD_FR_ROOT_ACCESS, NULL);
	w.unit.rtaddr = world_gpa(&w, ROOT_PAGE);

	for (bit = 1; bit < 128; bit++) {
		if (bit >= 12 && bit < 40)
			continue;
		w.root[bit / 64] ^= BIT64(bit % 64);
		world_faults(&w, VTD_FR_ROOT_RSVD, w.root);
		w.root[0] ^= 1;
		world_faults(&w, VTD_FR_ROOT_NP, w.root);
		w.root[0] ^= 1;
		w.root[bit / 64] ^= BIT64(bit % 64);
	}
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-109, VTD-FLT-102, VTD-FLT-111, VTD-CTX-07, VTD-CAP-02 */
static void legacy_context_entry_faults(void **state)
{
	struct world w;
	int bit;

	(void)state;
	world_legacy(&w, true);
	w.unit.haw = 40;
	w.root[0] = (WORLD_LOW + WORLD_BYTES) | 1;
	world_faults(&w, VTD_FR_CTX_ACCESS, NULL);
	w.root[0] = world_gpa(&w, CONTEXT_PAGE) | 1;

	for (bit = 4; bit < 128; bit++) {
		if ((bit >= 12 && bit < 40) || (bit >= 64 && bit < 71) || (bit >= 72 && bit < 88))
			continue;
		w.ce[bit / 64] ^= BIT64(bit % 64);
		world_faults(&w, VTD_FR_CTX_RSVD, w.ce);
		w.ce[0] ^= 1;
		world_faults(&w, VTD_FR_CTX_NP, w.ce);
		w.ce[0] ^= 1;
		w.ce[bit / 64] ^= BIT64(bit % 64);
	}
	world_passes(&w);

	/* Domain ids of 8 bits: the upper half of the field is reserved. */
	VTD_SET(&w.unit.cap, VTD_CAP_ND, 2);
	VTD_SET(w.ce, VTD_LCE_DID, 0xff);
	world_passes(&w);
	VTD_SET(w.ce, VTD_LCE_DID, 0x100);
	world_faults(&w, VTD_FR_CTX_RSVD, w.ce);
	world_close(&w);
}

/* VTD-FLT-103, VTD-CTX-05, VTD-CTX-06, VTD-CTX-09, VTD-CAP-20, VTD-CAP-22 */
static void legacy_context_must_make_sense_03h(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_legacy(&w, false);
	VTD_SET(w.ce, VTD_LCE_TT, 3);
	world_faults(&w, VTD_FR_CTX_INVALID, w.ce);
	VTD_SET(w.ce, VTD_LCE_TT, VTD_TT_SS);
	for (i = 0; i < 8; i++) {
		VTD_SET(w.ce, VTD_LCE_AW, i);
		if (i == 2)
			world_passes(&w);
		else
			world_faults(&w, VTD_FR_CTX_INVALID, w.ce);
	}
	VTD_SET(w.ce, VTD_LCE_AW, 2);
	w.unit.ecap &= ~(ECAP(DT) | ECAP(PT));
	world_passes(&w);
	VTD_SET(w.ce, VTD_LCE_TT, VTD_TT_SS_ATS);
	world_faults(&w, VTD_FR_CTX_INVALID, w.ce);
	VTD_SET(w.ce, VTD_LCE_TT, VTD_TT_PT);
	world_faults(&w, VTD_FR_CTX_INVALID, w.ce);
	world_close(&w);
}

/* VTD-FLT-113, VTD-CTX-02, VTD-CTX-03, VTD-CTX-04 */
static void legacy_tt_forbids_ats_0dh(void **state)
{
	static const unsigned int tts[] = { VTD_TT_SS, VTD_TT_PT };
	struct world w;
	uint8_t kind;
	size_t i;

	(void)state;
	world_legacy(&w, false);
	for (kind = VIOMMU_REQ_TRANSLATION; kind <= VIOMMU_REQ_TRANSLATED; kind++) {
		w.req.request = kind;
		VTD_SET(w.ce, VTD_LCE_TT, VTD_TT_SS_ATS);
		world_passes(&w);
		for (i = 0; i < ARRAY_SIZE(tts); i++) {
			VTD_SET(w.ce, VTD_LCE_TT, tts[i]);
			world_faults(&w, VTD_FR_CTX_TT, w.ce);
		}
	}
	world_close(&w);
}

/* VTD-FLT-104, VTD-FLT-114, VTD-ORDER-13, VTD-WIN-06 */
static void legacy_translated_request_needs_an_address_of_memory(void **state)
{
	struct world w;

	(void)state;
	world_legacy(&w, false);
	w.req.request = VIOMMU_REQ_TRANSLATED;
	w.req.addr = BIT64(48) - 1;
	world_passes(&w);
	assert_int_equal(w.out.stack.nr, 0);
	w.req.addr = BIT64(48);
	world_faults(&w, VTD_FR_BEYOND_MGAW, NULL);
	w.req.addr = 0xfee00000;
	world_faults(&w, VTD_FR_OUT_INTR, NULL);
	world_close(&w);
}

/* ---- Scalable root and context --------------------------------------------------------------- */

/* VTD-FLT-132, VTD-FLT-133, VTD-FLT-134, VTD-ROOT-05 */
static void scalable_root_entry_faults(void **state)
{
	struct world w;
	int bit, half;

	(void)state;
	world_scalable(&w, true);
	w.unit.haw = 40;
	w.unit.rtaddr = (WORLD_LOW + WORLD_BYTES) | 0x400;
	world_faults(&w, VTD_FR_SROOT_ACCESS, NULL);
	assert_int_equal(viommu_mem_add_ptr(w.mem, WORLD_LOW | BIT64(40), WORLD_BYTES, w.words, 0),
			 0);
	w.unit.rtaddr = world_gpa(&w, ROOT_PAGE) | BIT64(40) | 0x400;
	world_faults(&w, VTD_FR_SROOT_ACCESS, NULL);
	w.unit.rtaddr = world_gpa(&w, ROOT_PAGE) | 0x400;

	w.root[1] = w.root[0];
	for (half = 0; half < 2; half++) {
		w.req.sid = half ? 0x01a8 : WORLD_SID;
		for (bit = 1; bit < 64; bit++) {
			if (bit >= 12 && bit < 40)
				continue;
			w.root[half] ^= BIT64(bit);
			world_faults(&w, VTD_FR_SROOT_RSVD, &w.root[half]);
			w.root[half] ^= 1;
			world_faults(&w, VTD_FR_SROOT_NP, &w.root[half]);
			w.root[half] ^= BIT64(bit) | 1;
		}
		world_passes(&w);
	}
	world_close(&w);
}

/* VTD-FLT-135, VTD-FLT-136, VTD-FLT-137, VTD-SCTX-10, VTD-ORDER-05 */
static void scalable_context_entry_faults(void **state)
{
	struct world w;
	int bit;

	(void)state;
	world_scalable(&w, true);
	w.unit.haw = 40;
	w.root[0] = (WORLD_LOW + WORLD_BYTES) | 1;
	world_faults(&w, VTD_FR_SCE_ACCESS, NULL);
	w.root[0] = world_gpa(&w, CONTEXT_PAGE) | 1;
	w.unit.ecap |= ECAP(RPRIVS) | ECAP(HPTS) | ECAP(PTRS);

	for (bit = 5; bit < 256; bit++) {
		/* HPTE, EPTR, PDTS, the pointer, RID_PASID, RID_PRIV */
		if (bit == 5 || bit == 6 || (bit >= 9 && bit < 40) || (bit >= 64 && bit < 85))
			continue;
		w.ce[bit / 64] ^= BIT64(bit % 64);
		world_faults(&w, VTD_FR_SCE_RSVD, w.ce);
		w.ce[0] ^= 1;
		world_faults(&w, VTD_FR_SCE_NP, w.ce);
		w.ce[0] ^= 1;
		w.ce[bit / 64] ^= BIT64(bit % 64);
	}
	world_passes(&w);
	world_close(&w);
}

/* VTD-CAP-01, VTD-CAP-20, VTD-CAP-27, VTD-CAP-33, VTD-CAP-41, VTD-CAP-45, VTD-CAP-46, VTD-CAP-47 */
static void context_field_without_its_capability_is_reserved_42h(void **state)
{
	static const struct {
		uint64_t ecap;
		int bit;
	} t[] = {
		{ ECAP(DT), VTD_SCE_DTE_LO },        { ECAP(PASID), VTD_SCE_PASIDE_LO },
		{ ECAP(PRS), VTD_SCE_PRE_LO },       { ECAP(HPTS), VTD_SCE_HPTE_LO },
		{ ECAP(PTRS), VTD_SCE_EPTR_LO },     { ECAP(RPS), VTD_SCE_RID_PASID_LO },
		{ ECAP(RPS), VTD_SCE_RID_PASID_HI }, { ECAP(RPRIVS), VTD_SCE_RID_PRIV_LO },
	};
	uint64_t all = 0;
	struct world w;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++)
		all |= t[i].ecap;
	world_scalable(&w, false);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		w.unit.ecap = ECAP_HOST | all;
		/* Alone the field may be inconsistent or close a gate, but it is not reserved. */
		w.ce[0] = world_gpa(&w, DIR_PAGE) | 7 << 9 | 1;
		w.ce[1] = 0;
		w.ce[t[i].bit / 64] |= BIT64(t[i].bit % 64);
		world_look_up(&w);
		assert_int_not_equal(w.out.fault.reason, VTD_FR_SCE_RSVD);
		w.unit.ecap &= ~t[i].ecap;
		world_faults(&w, VTD_FR_SCE_RSVD, w.ce);
	}
	world_close(&w);
}

/*
 * VTD-SCTX-06, VTD-PE-11, VTD-PE-19, VTD-CAP-25, VTD-CAP-46, VTD-CAP-47, VTD-FLT-144, VTD-FLT-154,
 * VTD-FLT-179, VTD-FLT-180, VTD-FLT-181, VTD-FLT-182, VTD-FLT-183, VTD-FLT-184: our own units have
 * none of this.
 */
static void what_we_do_not_announce_stays_reserved(void **state)
{
	static const int ce_bits[] = { VTD_SCE_HPTE_LO, VTD_SCE_EPTR_LO };
	static const int pe_bits[] = { VTD_PE_CD_LO,    VTD_PE_EMTE_LO,   VTD_PE_PAT_LO,
				       VTD_PE_HPTSZ_LO, VTD_PE_HPTPFD_LO, VTD_PE_HPTPTR_LO,
				       VTD_PE_HPTDID_LO };
	struct world w;
	size_t i;

	(void)state;
	world_scalable(&w, false);
	w.unit.cap = viommu_host_default_cap();
	w.unit.ecap = viommu_host_default_ecap();
	assert_true(!(w.unit.ecap & (ECAP(HPTS) | ECAP(HPT1GPS) | ECAP(PTRS) | ECAP(MTS))));
	world_passes(&w);
	for (i = 0; i < ARRAY_SIZE(ce_bits); i++) {
		w.ce[0] ^= BIT64(ce_bits[i]);
		world_faults(&w, VTD_FR_SCE_RSVD, w.ce);
		w.ce[0] ^= BIT64(ce_bits[i]);
	}
	for (i = 0; i < ARRAY_SIZE(pe_bits); i++) {
		w.pe[pe_bits[i] / 64] ^= BIT64(pe_bits[i] % 64);
		world_faults(&w, VTD_FR_PE_RSVD, w.pe);
		w.pe[pe_bits[i] / 64] ^= BIT64(pe_bits[i] % 64);
	}
	world_close(&w);
}

/* VTD-FLT-138, VTD-SCTX-05, VTD-SCTX-06, VTD-SCTX-07 */
static void scalable_context_must_make_sense_43h(void **state)
{
	struct world w;
	unsigned int pdts;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(PTRS);
	VTD_SET(w.ce, VTD_SCE_DTE, 0);
	world_faults(&w, VTD_FR_SCE_INVALID, w.ce);
	VTD_SET(w.ce, VTD_SCE_PRE, 0);
	world_passes(&w);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	world_passes(&w);
	VTD_SET(w.ce, VTD_SCE_PASIDE, 0);
	world_faults(&w, VTD_FR_SCE_INVALID, w.ce);
	VTD_SET(w.ce, VTD_SCE_PASIDE, 1);

	for (pdts = 0; pdts < 7; pdts++) {
		VTD_SET(w.ce, VTD_SCE_PDTS, pdts);
		VTD_SET(w.ce, VTD_SCE_RID_PASID, BIT64(pdts + 13) - 1);
		world_passes(&w);
		VTD_SET(w.ce, VTD_SCE_RID_PASID, BIT64(pdts + 13));
		world_faults(&w, VTD_FR_SCE_INVALID, w.ce);
	}
	/* With seven, a directory serves every PASID there is. */
	VTD_SET(w.ce, VTD_SCE_PDTS, 7);
	VTD_SET(w.ce, VTD_SCE_RID_PASID, VIOMMU_PASID_MAX);
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-139, VTD-SCTX-03, VTD-ORDER-06 */
static void dte_is_for_translation_and_translated_requests_44h(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	VTD_SET(w.ce, VTD_SCE_DTE, 0);
	VTD_SET(w.ce, VTD_SCE_PRE, 0);
	world_passes(&w);
	w.req.request = VIOMMU_REQ_TRANSLATION;
	world_faults(&w, VTD_FR_SCE_DTE, w.ce);
	w.req.request = VIOMMU_REQ_TRANSLATED;
	world_faults(&w, VTD_FR_SCE_DTE, w.ce);
	w.req.pasid = VIOMMU_NO_PASID;
	world_faults(&w, VTD_FR_SCE_DTE, w.ce);
	VTD_SET(w.ce, VTD_SCE_DTE, 1);
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-140, VTD-SCTX-04 */
static void paside_is_for_requests_with_pasid_45h(void **state)
{
	static const uint8_t kinds[] = { VIOMMU_REQ_UNTRANSLATED, VIOMMU_REQ_TRANSLATION,
					 VIOMMU_REQ_PAGE };
	struct world w;
	size_t i;

	(void)state;
	world_scalable(&w, false);
	VTD_SET(w.ce, VTD_SCE_PASIDE, 0);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		w.req.request = kinds[i];
		w.req.pasid = 5;
		world_faults(&w, VTD_FR_SCE_PASIDE, w.ce);
		w.req.pasid = VIOMMU_NO_PASID;
		world_passes(&w);
	}
	world_close(&w);
}

/* VTD-FLT-142, VTD-SCTX-05 */
static void pre_is_for_page_requests_47h(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.req.request = VIOMMU_REQ_PAGE;
	world_passes(&w);
	VTD_SET(w.ce, VTD_SCE_PRE, 0);
	world_faults(&w, VTD_FR_SCE_PRE, w.ce);
	w.req.pasid = VIOMMU_NO_PASID;
	world_faults(&w, VTD_FR_SCE_PRE, w.ce);
	w.req.request = VIOMMU_REQ_UNTRANSLATED;
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-144, VTD-SCTX-06 */
static void eptr_is_for_translated_requests_with_pasid_49h(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(PTRS);
	w.req.request = VIOMMU_REQ_TRANSLATED;
	world_faults(&w, VTD_FR_SCE_EPTR, w.ce);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	world_passes(&w);
	VTD_SET(w.ce, VTD_SCE_EPTR, 0);
	w.req.pasid = VIOMMU_NO_PASID;
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-143, VTD-ORDER-07, VTD-CAP-41 */
static void own_pasid_must_not_be_rid_pasid_48h(void **state)
{
	struct world w;
	uint8_t kind;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(PTRS);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	for (kind = VIOMMU_REQ_UNTRANSLATED; kind <= VIOMMU_REQ_PAGE; kind++) {
		w.req.request = kind;
		w.req.pasid = 0;
		world_faults(&w, VTD_FR_RID_PASID, w.ce);
		VTD_SET(w.ce, VTD_SCE_RID_PASID, 5);
		w.req.pasid = 5;
		world_faults(&w, VTD_FR_RID_PASID, w.ce);
		VTD_SET(w.ce, VTD_SCE_RID_PASID, 0);
	}
	/* Without the field, it is PASID 0. */
	w.req.request = VIOMMU_REQ_UNTRANSLATED;
	w.unit.ecap &= ~ECAP(RPS);
	world_passes(&w);
	w.req.pasid = 0;
	world_faults(&w, VTD_FR_RID_PASID, w.ce);
	world_close(&w);
}

/* VTD-FLT-141, VTD-ORDER-08 */
static void pasid_must_be_in_the_directory_46h(void **state)
{
	struct world w;
	unsigned int pdts;
	uint8_t kind;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(PTRS);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	for (pdts = 0; pdts < 7; pdts++) {
		VTD_SET(w.ce, VTD_SCE_PDTS, pdts);
		for (kind = VIOMMU_REQ_UNTRANSLATED; kind <= VIOMMU_REQ_PAGE; kind++) {
			w.req.request = kind;
			w.req.pasid = 1u << (pdts + 13);
			world_faults(&w, VTD_FR_PASID_BEYOND_DIR, w.ce);
			w.req.pasid--;
			world_find(&w, w.req.pasid);
			*w.dir = world_gpa(&w, TABLE_PAGE) | 1;
			world_pe_nested(&w);
			world_passes(&w);
		}
	}
	world_close(&w);
}

/* VTD-FLT-176, VTD-ORDER-09, VTD-CAP-32 */
static void pasid_must_not_be_wider_than_pss_89h(void **state)
{
	struct world w;
	unsigned int pss;
	uint8_t kind;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(PTRS);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	for (pss = 2; pss < 19; pss++) {
		VTD_SET(&w.unit.ecap, VTD_ECAP_PSS, pss);
		for (kind = VIOMMU_REQ_UNTRANSLATED; kind <= VIOMMU_REQ_TRANSLATED; kind++) {
			w.req.request = kind;
			w.req.pasid = 2u << pss;
			world_faults(&w, VTD_FR_PASID_BEYOND_PSS, w.ce);
			w.req.pasid--;
			world_find(&w, w.req.pasid);
			*w.dir = world_gpa(&w, TABLE_PAGE) | 1;
			world_pe_nested(&w);
			world_passes(&w);
		}
	}
	VTD_SET(&w.unit.ecap, VTD_ECAP_PSS, 31);
	world_passes(&w);
	world_close(&w);
}

/*
 * Where several things are wrong, the first of the walk order is said. VTD-ORDER-05, VTD-ORDER-06
 */
static void gates_are_tried_in_order(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.req.request = VIOMMU_REQ_TRANSLATION;
	w.req.pasid = 0;
	w.ce[0] = world_gpa(&w, DIR_PAGE) | BIT64(8) | BIT64(4);
	world_faults(&w, VTD_FR_SCE_NP, w.ce);
	w.ce[0] |= 1;
	world_faults(&w, VTD_FR_SCE_RSVD, w.ce);
	w.ce[0] &= ~BIT64(8);
	world_faults(&w, VTD_FR_SCE_INVALID, w.ce);
	w.ce[0] &= ~BIT64(4);
	world_faults(&w, VTD_FR_SCE_DTE, w.ce);
	VTD_SET(w.ce, VTD_SCE_DTE, 1);
	world_faults(&w, VTD_FR_SCE_PASIDE, w.ce);
	VTD_SET(w.ce, VTD_SCE_PASIDE, 1);
	world_faults(&w, VTD_FR_RID_PASID, w.ce);
	VTD_SET(&w.unit.ecap, VTD_ECAP_PSS, 3);
	w.req.pasid = 0x80000;
	world_faults(&w, VTD_FR_PASID_BEYOND_DIR, w.ce);
	VTD_SET(w.ce, VTD_SCE_PDTS, 7);
	world_faults(&w, VTD_FR_PASID_BEYOND_PSS, w.ce);
	world_close(&w);
}

/* ---- PASID directory and entry --------------------------------------------------------------- */

/* VTD-FLT-145, VTD-FLT-146, VTD-FLT-147, VTD-PDIR-02 */
static void directory_entry_faults(void **state)
{
	struct world w;
	int bit;

	(void)state;
	world_scalable(&w, true);
	w.unit.haw = 40;
	VTD_SET(w.ce, VTD_SCE_PDTP, (WORLD_LOW + WORLD_BYTES) >> 12);
	world_faults(&w, VTD_FR_PDIR_ACCESS, NULL);
	VTD_SET(w.ce, VTD_SCE_PDTP, world_gpa(&w, DIR_PAGE) >> 12);
	for (bit = 2; bit < 64; bit++) {
		if (bit >= 12 && bit < 40)
			continue;
		*w.dir ^= BIT64(bit);
		world_faults(&w, VTD_FR_PDIR_RSVD, w.dir);
		*w.dir ^= 1;
		world_faults(&w, VTD_FR_PDIR_NP, w.dir);
		*w.dir ^= BIT64(bit) | 1;
	}
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-148, VTD-FLT-149, VTD-FLT-150, VTD-PE-20, VTD-ENT-03, VTD-ORDER-10 */
static void pasid_entry_faults(void **state)
{
	struct world w;
	int bit;

	(void)state;
	world_scalable(&w, true);
	w.unit.haw = 40;
	*w.dir = (WORLD_LOW + WORLD_BYTES) | 1;
	world_faults(&w, VTD_FR_PE_ACCESS, NULL);
	*w.dir = world_gpa(&w, TABLE_PAGE) | 1;
	w.unit.ecap |= ECAP(MTS) | ECAP(HPTS);

	for (bit = 5; bit < 512; bit++) {
		if ((bit >= 6 && bit < 10) || (bit >= 12 && bit < 40) ||  /* PGTT, SSADE, SSPTPTR */
		    (bit >= 64 && bit < 80) || (bit >= 87 && bit < 91) || /* DID, PWSNP to EMTE */
		    (bit >= 96 && bit < 129) || (bit >= 130 && bit < 136) ||  /* PAT, SRE to EAFE */
		    (bit >= 140 && bit < 168) || (bit >= 256 && bit < 259) || /* FSPTPTR, HPT */
		    (bit >= 268 && bit < 336))
			continue;
		w.pe[bit / 64] ^= BIT64(bit % 64);
		world_faults(&w, VTD_FR_PE_RSVD, w.pe);
		w.pe[0] ^= 1;
		world_faults(&w, VTD_FR_PE_NP, w.pe);
		w.pe[0] ^= 1;
		w.pe[bit / 64] ^= BIT64(bit % 64);
	}
	world_passes(&w);
	world_close(&w);
}

/*
 * VTD-CAP-01, VTD-CAP-23, VTD-CAP-25, VTD-CAP-29, VTD-CAP-31, VTD-CAP-38, VTD-CAP-40, VTD-PE-08,
 * VTD-PE-09, VTD-PE-10, VTD-PE-11, VTD-PE-12, VTD-PE-15, VTD-PE-19
 */
static void pasid_entry_field_without_its_capability_is_reserved_5ah(void **state)
{
	static const struct {
		uint64_t ecap;
		int bit;
	} t[] = {
		{ ECAP(SSADS), VTD_PE_SSADE_LO }, { ECAP(SMPWCS), VTD_PE_PWSNP_LO },
		{ ECAP(SC), VTD_PE_PGSNP_LO },    { ECAP(MTS), VTD_PE_CD_LO },
		{ ECAP(MTS), VTD_PE_EMTE_LO },    { ECAP(MTS), VTD_PE_PAT_LO },
		{ ECAP(MTS), VTD_PE_PAT_HI },     { ECAP(SRS), VTD_PE_SRE_LO },
		{ ECAP(SRS), VTD_PE_WPE_LO },     { ECAP(EAFS), VTD_PE_EAFE_LO },
		{ ECAP(HPTS), VTD_PE_HPTSZ_LO },  { ECAP(HPTS), VTD_PE_HPTPFD_LO },
		{ ECAP(HPTS), VTD_PE_HPTPTR_LO }, { ECAP(HPTS), VTD_PE_HPTDID_HI },
	};
	static void (*const fill[])(struct world * w) = { world_pe_fs, world_pe_ss, world_pe_nested,
							  world_pe_pt };
	struct world w;
	size_t i, k;

	(void)state;
	world_scalable(&w, false);
	for (k = 0; k < ARRAY_SIZE(fill); k++) {
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			w.unit.ecap = ECAP_HOST | ECAP(MTS) | ECAP(HPTS);
			fill[k](&w);
			VTD_SET(w.pe, VTD_PE_PWSNP, 0);
			VTD_SET(w.pe, VTD_PE_PGSNP, 0);
			w.pe[t[i].bit / 64] |= BIT64(t[i].bit % 64);
			world_passes(&w);
			w.unit.ecap &= ~t[i].ecap;
			world_faults(&w, VTD_FR_PE_RSVD, w.pe);
		}
	}
	/* Domain ids as wide as CAP.ND says (VTD-CAP-02). */
	w.unit.ecap = ECAP_HOST;
	VTD_SET(&w.unit.cap, VTD_CAP_ND, 0);
	world_pe_nested(&w);
	world_passes(&w);
	VTD_SET(w.pe, VTD_PE_DID, 0x10);
	world_faults(&w, VTD_FR_PE_RSVD, w.pe);
	world_close(&w);
}

/* Pointers matter where they are used. VTD-ENT-03, VTD-PE-17, VTD-PE-21 */
static void pointer_beyond_haw_is_reserved_where_it_is_used_5ah(void **state)
{
	static void (*const fill[])(struct world * w) = { world_pe_fs, world_pe_ss, world_pe_nested,
							  world_pe_pt };
	struct world w;
	size_t k;

	(void)state;
	world_scalable(&w, true);
	w.unit.haw = 44;
	for (k = 0; k < ARRAY_SIZE(fill); k++) {
		fill[k](&w);
		w.pe[0] |= BIT64(44);
		if (k == 1 || k == 2)
			world_faults(&w, VTD_FR_PE_RSVD, w.pe);
		else
			world_passes(&w);
		fill[k](&w);
		w.pe[2] |= BIT64(44);
		if (k == 0 || k == 2)
			world_faults(&w, VTD_FR_PE_RSVD, w.pe);
		else
			world_passes(&w);
	}
	world_close(&w);
}

/* VTD-FLT-151, VTD-PE-05, VTD-PE-13, VTD-PE-18, VTD-CAP-15, VTD-CAP-22, VTD-CAP-26, VTD-CAP-39 */
static void pasid_entry_must_make_sense_5bh(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_scalable(&w, false);
	for (i = 0; i < 8; i++) {
		VTD_SET(w.pe, VTD_PE_PGTT, i);
		if (i >= VTD_PGTT_FS && i <= VTD_PGTT_PT)
			world_passes(&w);
		else
			world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	}
	for (i = 0; i < 4; i++) {
		static void (*const fill[])(struct world * w) = { world_pe_fs, world_pe_ss,
								  world_pe_nested, world_pe_pt };
		static const uint64_t need[4] = { ECAP(FSTS), ECAP(SSTS), ECAP(NEST), ECAP(PT) };

		fill[i](&w);
		w.unit.ecap = ECAP_HOST & ~need[i];
		world_faults(&w, VTD_FR_PE_INVALID, w.pe);
		w.unit.ecap = ECAP_HOST;
	}
	/* Nesting needs both. */
	world_pe_nested(&w);
	w.unit.ecap = ECAP_HOST & ~ECAP(FSTS);
	world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	w.unit.ecap = ECAP_HOST & ~ECAP(SSTS);
	world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	w.unit.ecap = ECAP_HOST;

	for (i = 0; i < 4; i++) {
		VTD_SET(w.pe, VTD_PE_FSPM, i);
		w.unit.cap = CAP_HOST | CAP(FS5LP);
		if (i <= VTD_FSPM_5LEVEL)
			world_passes(&w);
		else
			world_faults(&w, VTD_FR_PE_INVALID, w.pe);
		w.unit.cap &= ~CAP(FS5LP);
		if (i == VTD_FSPM_4LEVEL)
			world_passes(&w);
		else
			world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	}
	VTD_SET(w.pe, VTD_PE_FSPM, 0);

	/* The guest's pointer must fit the second stage. */
	w.unit.cap = CAP_HOST;
	VTD_SET(&w.unit.cap, VTD_CAP_MGAW, 47);
	w.unit.haw = 52;
	VTD_SET(w.pe, VTD_PE_FSPTPTR, BIT64(48 - 12) - 1);
	world_passes(&w);
	VTD_SET(w.pe, VTD_PE_FSPTPTR, BIT64(48 - 12));
	world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	VTD_SET(&w.unit.cap, VTD_CAP_MGAW, 46);
	VTD_SET(w.pe, VTD_PE_FSPTPTR, BIT64(47 - 12));
	world_faults(&w, VTD_FR_PE_INVALID, w.pe);
	/* A host pointer need not. */
	VTD_SET(w.pe, VTD_PE_PGTT, VTD_PGTT_FS);
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-153, VTD-SCTX-09, VTD-PE-12 */
static void supervisor_request_needs_sre_5dh(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(RPRIVS);
	w.req.access |= VIOMMU_PRIV;
	world_faults(&w, VTD_FR_PE_SRE, w.pe);
	w.req.request = VIOMMU_REQ_TRANSLATION;
	world_faults(&w, VTD_FR_PE_SRE, w.pe);
	/* A page request is answered by software. */
	w.req.request = VIOMMU_REQ_PAGE;
	world_passes(&w);
	w.req.request = VIOMMU_REQ_UNTRANSLATED;
	VTD_SET(w.pe, VTD_PE_SRE, 1);
	world_passes(&w);
	assert_int_equal(w.out.priv, 1);
	/* No first stage, no privilege. */
	world_pe_ss(&w);
	world_passes(&w);
	world_pe_pt(&w);
	world_passes(&w);

	/* Without PASID the mark means nothing; RID_PRIV decides. */
	w.req.pasid = VIOMMU_NO_PASID;
	world_find(&w, 0);
	world_pe_fs(&w);
	world_passes(&w);
	assert_int_equal(w.out.priv, 0);
	VTD_SET(w.ce, VTD_SCE_RID_PRIV, 1);
	w.req.access = VIOMMU_READ;
	world_faults(&w, VTD_FR_PE_SRE, w.pe);
	VTD_SET(w.pe, VTD_PE_SRE, 1);
	world_passes(&w);
	assert_int_equal(w.out.priv, 1);
	/* ... but not for requests with one. */
	w.req.pasid = 5;
	world_find(&w, 5);
	world_pe_fs(&w);
	world_passes(&w);
	assert_int_equal(w.out.priv, 0);
	world_close(&w);
}

/* VTD-ORDER-12 */
static void page_request_stops_at_the_pasid_entry(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.req.request = VIOMMU_REQ_PAGE;
	w.req.access = VIOMMU_READ | VIOMMU_WRITE | VIOMMU_EXEC | VIOMMU_PRIV;
	w.req.addr = UINT64_C(0xdead000000000000);
	world_passes(&w);
	assert_int_equal(w.out.pgtt, VTD_PGTT_NESTED);
	w.req.addr = 0xfee00000;
	w.req.pasid = VIOMMU_NO_PASID;
	world_passes(&w);
	assert_int_equal(w.out.interrupt, 0);
	assert_int_equal(w.out.pasid, 0);
	w.req.pasid = 5;
	w.pe[0] &= ~UINT64_C(1);
	world_faults(&w, VTD_FR_PE_NP, w.pe);
	world_close(&w);
}

/* VTD-FLT-171, VTD-FLT-175, VTD-ORDER-13, VTD-WIN-06, VTD-CAP-47 */
static void translated_request_skips_the_pasid_tables(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(PTRS);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	*w.dir = 0;
	w.req.request = VIOMMU_REQ_TRANSLATED;
	w.req.addr = BIT64(48) - 1;
	world_passes(&w);
	assert_int_equal(w.out.stack.nr, 0);
	assert_int_equal(w.out.stack.haw, 48);
	w.req.addr = BIT64(48);
	world_faults(&w, VTD_FR_PT_BEYOND_HAW, NULL);
	w.req.addr = 0xfeefffff;
	world_faults(&w, VTD_FR_S_OUT_INTR, NULL);
	w.req.pasid = VIOMMU_NO_PASID;
	world_faults(&w, VTD_FR_S_OUT_INTR, NULL);
	w.req.addr = 0xfef00000;
	world_passes(&w);
	world_close(&w);
}

/* VTD-FLT-181, VTD-SCTX-06: we have no host permission tables, so what needs one cannot pass. */
static void translated_request_that_needs_host_permissions_is_refused(void **state)
{
	struct world w;

	(void)state;
	world_scalable(&w, false);
	w.unit.ecap |= ECAP(HPTS) | ECAP(PTRS);
	VTD_SET(w.ce, VTD_SCE_HPTE, 1);
	VTD_SET(w.ce, VTD_SCE_EPTR, 1);
	world_passes(&w);
	w.req.request = VIOMMU_REQ_TRANSLATED;
	world_faults(&w, VTD_FR_HPT_ROOT_ACCESS, NULL);
	w.pe[0] ^= 1;
	world_faults(&w, VTD_FR_PE_NP, w.pe);
	*w.dir = 0;
	world_faults(&w, VTD_FR_PDIR_NP, w.dir);
	world_close(&w);
}

/* ---- FPD ------------------------------------------------------------------------------------- */

struct fpd_case {
	int reason;
	bool qualified;
	/* Whether the context, directory and PASID entry have been read by then. */
	bool ce, dir, pe;
};

static void fpd_break(struct world *w, int reason)
{
	switch (reason) {
	case VTD_FR_SROOT_NP:
		w->root[0] ^= 1;
		break;
	case VTD_FR_SCE_ACCESS:
		VTD_SET(w->root, VTD_SROOT_LCTP, (WORLD_LOW + WORLD_BYTES) >> 12);
		break;
	case VTD_FR_SCE_NP:
		w->ce[0] ^= 1;
		break;
	case VTD_FR_SCE_RSVD:
		w->ce[3] ^= 1;
		break;
	case VTD_FR_SCE_INVALID:
		VTD_SET(w->ce, VTD_SCE_DTE, 0);
		break;
	case VTD_FR_SCE_PASIDE:
		VTD_SET(w->ce, VTD_SCE_PASIDE, 0);
		break;
	case VTD_FR_PDIR_ACCESS:
		VTD_SET(w->ce, VTD_SCE_PDTP, (WORLD_LOW + WORLD_BYTES) >> 12);
		break;
	case VTD_FR_PDIR_NP:
		*w->dir ^= 1;
		break;
	case VTD_FR_PDIR_RSVD:
		*w->dir ^= BIT64(11);
		break;
	case VTD_FR_PE_ACCESS:
		VTD_SET(w->dir, VTD_PDIR_SMPTBLPTR, (WORLD_LOW + WORLD_BYTES) >> 12);
		break;
	case VTD_FR_PE_NP:
		w->pe[0] ^= 1;
		break;
	case VTD_FR_PE_RSVD:
		w->pe[7] ^= 1;
		break;
	case VTD_FR_PE_INVALID:
		VTD_SET(w->pe, VTD_PE_PGTT, 7);
		break;
	case VTD_FR_PE_SRE:
		w->req.access |= VIOMMU_PRIV;
		break;
	default:
		fail_msg("no way to break it with %02xh", reason);
	}
}

/* VTD-FREC-10, VTD-FREC-11, VTD-FREC-12, VTD-SCTX-02 */
static void fpd_of_any_entry_visited_silences_qualified_faults(void **state)
{
	static const struct fpd_case t[] = {
		{ VTD_FR_SROOT_NP, false, false, false, false },
		{ VTD_FR_SCE_ACCESS, false, false, false, false },
		{ VTD_FR_SCE_NP, true, true, false, false },
		{ VTD_FR_SCE_RSVD, true, true, false, false },
		{ VTD_FR_SCE_INVALID, true, true, false, false },
		{ VTD_FR_SCE_PASIDE, true, true, false, false },
		{ VTD_FR_PDIR_ACCESS, false, true, false, false },
		{ VTD_FR_PDIR_NP, true, true, true, false },
		{ VTD_FR_PDIR_RSVD, true, true, true, false },
		{ VTD_FR_PE_ACCESS, false, true, true, false },
		{ VTD_FR_PE_NP, true, true, true, true },
		{ VTD_FR_PE_RSVD, true, true, true, true },
		{ VTD_FR_PE_INVALID, true, true, true, true },
		{ VTD_FR_PE_SRE, true, true, true, true },
	};
	unsigned int set;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		for (set = 0; set < 8; set++) {
			bool fpd = (set & 1 && t[i].ce) || (set & 2 && t[i].dir) ||
				   (set & 4 && t[i].pe);
			struct world w;

			world_scalable(&w, true);
			VTD_SET(w.ce, VTD_SCE_FPD, set & 1);
			VTD_SET(w.dir, VTD_PDIR_FPD, set >> 1 & 1);
			VTD_SET(w.pe, VTD_PE_FPD, set >> 2);
			assert_int_equal(world_look_up(&w), 0);
			assert_int_equal(w.out.fpd, set != 0);
			fpd_break(&w, t[i].reason);
			assert_int_equal(world_look_up(&w), VIOMMU_FAULTED);
			assert_int_equal(w.out.fault.reason, t[i].reason);
			assert_int_equal(w.out.fpd, fpd);
			assert_int_equal(!!(w.out.fault.flags & VIOMMU_FAULT_FPD),
					 fpd && t[i].qualified);
			world_close(&w);
		}
	}
}

static void fpd_of_a_legacy_context_silences_its_qualified_faults(void **state)
{
	struct world w;

	(void)state;
	world_legacy(&w, false);
	VTD_SET(w.ce, VTD_LCE_FPD, 1);
	assert_int_equal(world_look_up(&w), 0);
	assert_int_equal(w.out.fpd, 1);
	w.ce[0] ^= 1;
	assert_int_equal(world_look_up(&w), VIOMMU_FAULTED);
	assert_int_equal(w.out.fault.reason, VTD_FR_CTX_NP);
	assert_int_equal(w.out.fault.flags, VIOMMU_FAULT_FPD);
	w.ce[0] ^= 1;
	w.req.request = VIOMMU_REQ_TRANSLATED;
	w.req.addr = BIT64(50);
	assert_int_equal(world_look_up(&w), VIOMMU_FAULTED);
	assert_int_equal(w.out.fault.reason, VTD_FR_BEYOND_MGAW);
	assert_int_equal(w.out.fault.flags, VIOMMU_FAULT_FPD);
	w.root[0] ^= 1;
	assert_int_equal(world_look_up(&w), VIOMMU_FAULTED);
	assert_int_equal(w.out.fault.reason, VTD_FR_ROOT_NP);
	assert_int_equal(w.out.fault.flags, 0);
	world_close(&w);
}

/* ---- The interrupt window -------------------------------------------------------------------- */

/* VTD-WIN-01, VTD-WIN-02, VTD-WIN-03, VTD-WIN-04, VTD-WIN-07, VTD-FLT-124, VTD-ORDER-03 */
static void window_takes_requests_without_pasid_before_any_table(void **state)
{
	static const uint32_t bad[] = {
		VIOMMU_READ,
		VIOMMU_READ | VIOMMU_WRITE,
		VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC,
		VIOMMU_WRITE | VIOMMU_ATOMIC,
		VIOMMU_WRITE | VIOMMU_ZERO_LENGTH,
		0,
	};
	struct world w;
	size_t i;

	(void)state;
	world_scalable(&w, true);
	w.unit.rtaddr = WORLD_LOW + WORLD_BYTES; /* nothing there */
	w.req.pasid = VIOMMU_NO_PASID;
	for (i = 0; i < 2; i++) {
		w.req.addr = i ? 0xfeeffffc : 0xfee00000;
		w.req.access = VIOMMU_WRITE;
		world_passes(&w);
		assert_int_equal(w.out.interrupt, 1);
		assert_int_equal(w.out.zero_read, 0);
		assert_int_equal(w.out.pasid, VIOMMU_NO_PASID);
		w.req.access = VIOMMU_READ | VIOMMU_ZERO_LENGTH;
		world_passes(&w);
		assert_int_equal(w.out.interrupt, 0);
		assert_int_equal(w.out.zero_read, 1);
		w.req.access = VIOMMU_ZERO_LENGTH;
		world_passes(&w);
		assert_int_equal(w.out.zero_read, 1);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		w.req.access = bad[i];
		world_faults(&w, VTD_FR_IR_WINDOW, NULL);
	}
	w.req.access = VIOMMU_WRITE;
	w.req.addr = 0xfee00002;
	world_faults(&w, VTD_FR_IR_WINDOW, NULL);

	/* A device that asks is told to write untranslated, whatever it asked for. */
	w.req.request = VIOMMU_REQ_TRANSLATION;
	w.req.access = VIOMMU_READ;
	world_passes(&w);
	assert_int_equal(w.out.interrupt, 1);

	/* Next door, or with a PASID, it is an address like any other. */
	w.req.request = VIOMMU_REQ_UNTRANSLATED;
	w.req.access = VIOMMU_WRITE;
	w.req.addr = 0xfedffffc;
	world_faults(&w, VTD_FR_ROOT_ACCESS, NULL);
	w.req.addr = 0xfef00000;
	world_faults(&w, VTD_FR_ROOT_ACCESS, NULL);
	w.unit.rtaddr = world_gpa(&w, ROOT_PAGE) | 0x400;
	w.req.addr = 0xfee00000;
	w.req.pasid = 5;
	world_passes(&w);
	assert_int_equal(w.out.interrupt, 0);
	assert_int_equal(w.out.stack.nr, 2);
	world_close(&w);
}

/* ---- The caller ------------------------------------------------------------------------------ */

static void caller_mistakes_are_einval(void **state)
{
	struct viommu_path_request req;
	struct viommu_path_result out;
	struct viommu_unit unit;
	struct world w;

	(void)state;
	world_scalable(&w, false);
	assert_int_equal(viommu_path_lookup(NULL, &w.req, NULL, &out), -EINVAL);
	assert_int_equal(viommu_path_lookup(&w.unit, NULL, NULL, &out), -EINVAL);
	assert_int_equal(viommu_path_lookup(&w.unit, &w.req, NULL, NULL), -EINVAL);
	unit = w.unit;
	unit.mem = NULL;
	assert_int_equal(viommu_path_lookup(&unit, &w.req, NULL, &out), -EINVAL);
	assert_int_equal(viommu__path_lookup_own(&unit, &w.req, NULL, &out), 0);
	assert_null(out.stack.mem);
	unit = w.unit;
	unit.haw = 31;
	assert_int_equal(viommu_path_lookup(&unit, &w.req, NULL, &out), -EINVAL);
	assert_int_equal(viommu_path_entry(&unit, w.pe, &out), -EINVAL);
	unit.haw = 53;
	assert_int_equal(viommu_path_lookup(&unit, &w.req, NULL, &out), -EINVAL);
	req = w.req;
	req.request = VIOMMU_REQ_PAGE + 1;
	assert_int_equal(viommu_path_lookup(&w.unit, &req, NULL, &out), -EINVAL);
	req = w.req;
	req.access |= 0x40;
	assert_int_equal(viommu_path_lookup(&w.unit, &req, NULL, &out), -EINVAL);
	req = w.req;
	req.pasid = VIOMMU_PASID_MAX + 1;
	assert_int_equal(viommu_path_lookup(&w.unit, &req, NULL, &out), -EINVAL);
	assert_int_equal(viommu_path_entry(NULL, w.pe, &out), -EINVAL);
	assert_int_equal(viommu_path_entry(&w.unit, NULL, &out), -EINVAL);
	assert_int_equal(viommu_path_entry(&w.unit, w.pe, NULL), -EINVAL);
	world_close(&w);
}

static void entry_alone_is_checked_as_on_the_path(void **state)
{
	struct viommu_path_result out;
	struct world w;

	(void)state;
	world_scalable(&w, false);
	world_passes(&w);
	assert_int_equal(viommu_path_entry(&w.unit, w.pe, &out), 0);
	assert_memory_equal(&out.stack, &w.out.stack, sizeof(out.stack));
	assert_int_equal(out.pgtt, VTD_PGTT_NESTED);
	assert_int_equal(out.did, 3);
	VTD_SET(w.pe, VTD_PE_FPD, 1);
	VTD_SET(w.pe, VTD_PE_PGTT, 0);
	assert_int_equal(viommu_path_entry(&w.unit, w.pe, &out), VTD_FR_PE_INVALID);
	assert_int_equal(out.fpd, 1);
	w.pe[3] = 1;
	assert_int_equal(viommu_path_entry(&w.unit, w.pe, &out), VTD_FR_PE_RSVD);
	w.pe[0] = 0;
	assert_int_equal(viommu_path_entry(&w.unit, w.pe, &out), VTD_FR_PE_NP);
	world_close(&w);
}

struct steps {
	struct viommu_recorder rec;
	unsigned int nr;
	struct viommu_step step[8];
};

static void steps_add(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct steps *s = container_of(rec, struct steps, rec);

	assert_true(s->nr < ARRAY_SIZE(s->step));
	s->step[s->nr++] = *step;
}

static void recorder_sees_each_structure_once_and_in_order(void **state)
{
	static const char *const name[] = { "root entry", "context entry", "PASID directory entry",
					    "PASID entry" };
	struct steps s = { .rec.step = steps_add };
	uint64_t *entry[4];
	struct world w;
	unsigned int i;

	(void)state;
	world_scalable(&w, false);
	entry[0] = w.root;
	entry[1] = w.ce;
	entry[2] = w.dir;
	entry[3] = w.pe;
	assert_int_equal(viommu_path_lookup(&w.unit, &w.req, &s.rec, &w.out), 0);
	assert_int_equal(s.nr, 4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(s.step[i].kind, VIOMMU_STEP_READ);
		assert_int_equal(s.step[i].stage, VIOMMU_STAGE_PATH);
		assert_string_equal(s.step[i].name, name[i]);
		assert_true(s.step[i].entry_addr == (uintptr_t)entry[i]);
		assert_true(s.step[i].phys == (uintptr_t)entry[i]);
		assert_true(s.step[i].value == *entry[i]);
		assert_true(s.step[i].input == w.req.addr);
	}
	s.nr = 0;
	*w.dir ^= 1;
	assert_int_equal(viommu_path_lookup(&w.unit, &w.req, &s.rec, &w.out), VIOMMU_FAULTED);
	assert_int_equal(s.nr, 3);
	world_close(&w);

	s.nr = 0;
	world_legacy(&w, false);
	assert_int_equal(viommu_path_lookup(&w.unit, &w.req, &s.rec, &w.out), 0);
	assert_int_equal(s.nr, 2);
	assert_string_equal(s.step[1].name, "context entry");
	assert_true(s.step[1].value == w.ce[0]);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(booted_nesting_host_gives_two_stages),
	cmocka_unit_test(booted_guest_gives_one_stage_of_5_levels_in_spite_of_its_aw),
	cmocka_unit_test(legacy_context_gives_a_second_stage_or_pass_through),
	cmocka_unit_test(scalable_root_halves_serve_half_a_bus_each),
	cmocka_unit_test(second_stage_is_as_wide_as_aw_and_mgaw_allow),
	cmocka_unit_test(stage_flags_follow_entry_and_capabilities),
	cmocka_unit_test(table_mode_must_exist_30h),
	cmocka_unit_test(request_with_pasid_in_legacy_mode_is_31h),
	cmocka_unit_test(page_request_in_legacy_mode_is_32h),
	cmocka_unit_test(everything_in_abort_mode_is_33h),
	cmocka_unit_test(execute_request_is_34h_from_version_8_and_5ch_before),
	cmocka_unit_test(legacy_root_entry_faults),
	cmocka_unit_test(legacy_context_entry_faults),
	cmocka_unit_test(legacy_context_must_make_sense_03h),
	cmocka_unit_test(legacy_tt_forbids_ats_0dh),
	cmocka_unit_test(legacy_translated_request_needs_an_address_of_memory),
	cmocka_unit_test(scalable_root_entry_faults),
	cmocka_unit_test(scalable_context_entry_faults),
	cmocka_unit_test(context_field_without_its_capability_is_reserved_42h),
	cmocka_unit_test(what_we_do_not_announce_stays_reserved),
	cmocka_unit_test(scalable_context_must_make_sense_43h),
	cmocka_unit_test(dte_is_for_translation_and_translated_requests_44h),
	cmocka_unit_test(paside_is_for_requests_with_pasid_45h),
	cmocka_unit_test(pre_is_for_page_requests_47h),
	cmocka_unit_test(eptr_is_for_translated_requests_with_pasid_49h),
	cmocka_unit_test(own_pasid_must_not_be_rid_pasid_48h),
	cmocka_unit_test(pasid_must_be_in_the_directory_46h),
	cmocka_unit_test(pasid_must_not_be_wider_than_pss_89h),
	cmocka_unit_test(gates_are_tried_in_order),
	cmocka_unit_test(directory_entry_faults),
	cmocka_unit_test(pasid_entry_faults),
	cmocka_unit_test(pasid_entry_field_without_its_capability_is_reserved_5ah),
	cmocka_unit_test(pointer_beyond_haw_is_reserved_where_it_is_used_5ah),
	cmocka_unit_test(pasid_entry_must_make_sense_5bh),
	cmocka_unit_test(supervisor_request_needs_sre_5dh),
	cmocka_unit_test(page_request_stops_at_the_pasid_entry),
	cmocka_unit_test(translated_request_skips_the_pasid_tables),
	cmocka_unit_test(translated_request_that_needs_host_permissions_is_refused),
	cmocka_unit_test(fpd_of_any_entry_visited_silences_qualified_faults),
	cmocka_unit_test(fpd_of_a_legacy_context_silences_its_qualified_faults),
	cmocka_unit_test(window_takes_requests_without_pasid_before_any_table),
	cmocka_unit_test(caller_mistakes_are_einval),
	cmocka_unit_test(entry_alone_is_checked_as_on_the_path),
	cmocka_unit_test(recorder_sees_each_structure_once_and_in_order),
};
TEST_MAIN(tests)
