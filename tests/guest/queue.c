/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The invalidation queue: framing, every descriptor type, errors, order, bounded work.
 */
#include "guest/world.h"

#define WAIT    VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT)
#define WAIT_SW (WAIT | VTD_MASK(VTD_IQ_WAIT_SW))
#define WAIT_IF (WAIT | VTD_MASK(VTD_IQ_WAIT_IF))
#define IQE     ((uint32_t)VTD_MASK(VTD_FSTS_IQE))

static uint32_t *status(struct gw *w)
{
	return (uint32_t *)gw_ptr(w, w->status);
}

static unsigned int error_code(struct gw *w)
{
	return (unsigned int)VTD_FIELD(gw_rd64(w, VTD_REG_IQERCD), VTD_IQERCD_IQEI);
}

static bool failed(struct gw *w)
{
	return gw_rd32(w, VTD_REG_FSTS) & IQE;
}

static uint64_t done(struct gw *w, unsigned int type)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(w->guest, &s);
	return s.descriptors[type];
}

/* ---- Framing ---- */

/* VTD-QI-06, VTD-REG-21, VTD-REG-22, VTD-REG-23, VTD-CMD-17, VTD-CMD-18 */
static void the_queue_runs_while_it_is_on_and_head_differs_from_tail(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_iq_setup(&w, 32, 0);
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), false);
	gw_put(&w, WAIT_SW | VTD_VAL(VTD_IQ_WAIT_DATA, 7), w.status);
	gw_kick(&w);
	assert_int_equal(*status(&w), 0);
	assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 0);
	/* A tail that is there already is served when the queue turns on. */
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), true);
	assert_int_equal(*status(&w), 7);
	assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 32);
	assert_false(gw_rd32(&w, VTD_REG_GSTS) & VTD_MASK(VTD_GSTS_TES)); /* translation or not */
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), false);
	assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 0);
	gw_close(&w);
}

/* VTD-QI-09, VTD-REG-25, VTD-REG-26 */
static void the_head_wraps_in_queues_of_every_size_and_width(void **state)
{
	unsigned int width, qs, i;
	struct gw w;

	(void)state;
	for (width = 16; width <= 32; width += 16) {
		for (qs = 0; qs < 8; qs += width == 32 ? 3 : 1) {
			const struct gw_config c = { .burst = 1u << 20 };
			unsigned int nr = (4096u << qs) / width;

			gw_open(&w, &c);
			gw_iq_setup(&w, width, qs);
			for (i = 0; i < nr - 1; i++)
				gw_put(&w, WAIT, 0);
			gw_kick(&w);
			assert_int_equal(gw_rd64(&w, VTD_REG_IQH), w.iq_bytes - width);
			assert_int_equal(done(&w, VTD_IQ_TYPE_WAIT), nr - 1);
			assert_true(gw_wait(&w)); /* the last slot; the tail is 0 */
			assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 0);
			assert_true(gw_wait(&w));
			assert_int_equal(gw_rd64(&w, VTD_REG_IQH), width);
			gw_close(&w);
		}
	}
}

/* The ring's place, size and width count as they were at QIE. */
static void the_queue_registers_count_when_it_turns_on(void **state)
{
	uint64_t iqa;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_iq_setup(&w, 32, 1);
	iqa = gw_rd64(&w, VTD_REG_IQA);
	gw_wr64(&w, VTD_REG_IQA, gw_page(&w));
	assert_true(gw_wait(&w));
	gw_wr64(&w, VTD_REG_IQA, iqa);
	gw_close(&w);
}

/* VTD-QI-02, VTD-QI-03 */
static void widths_and_types_go_by_the_table_mode(void **state)
{
	struct gw w;
	unsigned int type;

	(void)state;
	/* Legacy mode: both widths, types 1 to 5. */
	gw_open(&w, NULL);
	gw_iq_setup(&w, 16, 0);
	assert_true(gw_wait(&w));
	gw_close(&w);
	for (type = 0; type < 16; type++) {
		gw_open(&w, NULL);
		gw_iq_setup(&w, 32, 0);
		gw_submit(&w, type | VTD_VAL(VTD_IQ_CC_G, type <= VTD_IQ_TYPE_IOTLB), 0);
		assert_int_equal(failed(&w), !(type >= 1 && type <= 5));
		if (failed(&w))
			assert_int_equal(error_code(&w), VTD_IQEI_TYPE);
		gw_close(&w);
	}
	/* Scalable mode: 256 bits. VTD-QERR-05 */
	gw_open(&w, NULL);
	gw_iq_setup(&w, 16, 0);
	gw_set_root(&w, VTD_TTM_SCALABLE);
	assert_false(gw_wait(&w));
	assert_int_equal(error_code(&w), VTD_IQEI_WIDTH);
	gw_close(&w);
}

/* VTD-QERR-05: 256 bits on a unit with neither scalable nor abort mode. */
static void wide_descriptors_need_a_unit_that_has_them(void **state)
{
	struct gw_config c = { 0 };
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	viommu_guest_profile(VIOMMU_PROFILE_LEGACY, 0, &c.ver, &c.cap, &c.ecap, NULL);
	c.ecap &= ~(VTD_MASK(VTD_ECAP_SMTS) | VTD_MASK(VTD_ECAP_SSTS) | VTD_MASK(VTD_ECAP_RPS) |
		    VTD_MASK(VTD_ECAP_SMPWCS));
	assert_int_equal(gw_open_unit(&w, &c), 0);
	gw_iq_setup(&w, 32, 0);
	assert_false(gw_wait(&w));
	assert_int_equal(error_code(&w), VTD_IQEI_WIDTH);
	gw_close(&w);
}

/* VTD-QI-04, VTD-QERR-07 */
static void the_reserved_table_mode_takes_no_descriptor(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_iq_setup(&w, 32, 0);
	gw_set_root(&w, 2);
	assert_false(gw_wait(&w));
	assert_int_equal(error_code(&w), VTD_IQEI_TTM);
	gw_close(&w);
}

/* ---- Checks of each type ---- */

struct bad {
	uint64_t d[4];
	unsigned int code;
};

#define D(type) ((uint64_t)VTD_IQ_TYPE_##type)
#define G(n)    ((uint64_t)(n) << 4)
#define B(n)    (UINT64_C(1) << (n))

/*
 * VTD-QI-01, VTD-QI-05, VTD-QI-07, VTD-QI-08, VTD-QI-15, VTD-QI-27, VTD-QI-28, VTD-QI-44,
 * VTD-QERR-03, VTD-QERR-04
 */
static const struct bad bad[] = {
	{ { 0 }, VTD_IQEI_TYPE },
	{ { 11 }, VTD_IQEI_TYPE },
	{ { 15 }, VTD_IQEI_TYPE },
	{ { D(HPT) | G(1) }, VTD_IQEI_TYPE },       /* ECAP.HPTS is 0 */
	{ { D(CC) | G(1) | B(9) }, VTD_IQEI_TYPE }, /* upper half of the type */
	{ { D(WAIT) | B(11) }, VTD_IQEI_TYPE },
	{ { D(CC) | G(0) }, VTD_IQEI_TYPE },
	{ { D(CC) | G(1) | B(6) }, VTD_IQEI_RSVD },
	{ { D(CC) | G(1) | B(50) }, VTD_IQEI_RSVD },
	{ { D(CC) | G(1), 1 }, VTD_IQEI_RSVD },
	{ { D(CC) | G(1), 0, 1 }, VTD_IQEI_RSVD },
	{ { D(CC) | G(1), 0, 0, B(63) }, VTD_IQEI_RSVD },
	{ { D(IOTLB) | G(0) }, VTD_IQEI_TYPE },
	{ { D(IOTLB) | G(1) | B(8) }, VTD_IQEI_RSVD },
	{ { D(IOTLB) | G(1) | B(32) }, VTD_IQEI_RSVD },
	{ { D(IOTLB) | G(1), B(7) }, VTD_IQEI_RSVD },
	{ { D(IOTLB) | G(3), 19 }, VTD_IQEI_TYPE }, /* beyond MAMV */
	{ { D(DTLB) | B(4) }, VTD_IQEI_RSVD },
	{ { D(DTLB) | B(12) }, VTD_IQEI_RSVD }, /* PFSID without DIT */
	{ { D(DTLB) | B(52) }, VTD_IQEI_RSVD },
	{ { D(DTLB), B(1) }, VTD_IQEI_RSVD },
	{ { D(IEC) | B(5) }, VTD_IQEI_RSVD },
	{ { D(IEC) | B(48) }, VTD_IQEI_RSVD },
	{ { D(IEC), 1 }, VTD_IQEI_RSVD },
	{ { D(WAIT) | B(8) }, VTD_IQEI_RSVD },
	{ { D(WAIT), B(0) }, VTD_IQEI_RSVD },
	{ { D(WAIT), B(1) }, VTD_IQEI_RSVD },
	{ { D(WAIT), 0, 0, 1 }, VTD_IQEI_RSVD },
	{ { D(PIOTLB) | G(0) }, VTD_IQEI_TYPE },
	{ { D(PIOTLB) | G(1) }, VTD_IQEI_TYPE },
	{ { D(PIOTLB) | G(2) | B(6) }, VTD_IQEI_RSVD },
	{ { D(PIOTLB) | G(2) | B(52) }, VTD_IQEI_RSVD },
	{ { D(PIOTLB) | G(3), B(7) }, VTD_IQEI_RSVD },
	{ { D(PIOTLB) | G(2), 0, 1 }, VTD_IQEI_RSVD },
	{ { D(PC) | G(2) }, VTD_IQEI_TYPE },
	{ { D(PC) | G(3) | B(6) }, VTD_IQEI_RSVD },
	{ { D(PC) | G(3) | B(52) }, VTD_IQEI_RSVD },
	{ { D(PC) | G(3), 1 }, VTD_IQEI_RSVD },
	{ { D(PDTLB) | B(12) }, VTD_IQEI_RSVD },
	{ { D(PDTLB) | B(52) }, VTD_IQEI_RSVD },
	{ { D(PDTLB), B(1) }, VTD_IQEI_RSVD },
	{ { D(PDTLB), 0, 0, 1 }, VTD_IQEI_RSVD },
	{ { D(PGRP) | B(5) }, VTD_IQEI_RSVD },
	{ { D(PGRP) | B(52) }, VTD_IQEI_RSVD },
	{ { D(PGRP), B(0) }, VTD_IQEI_RSVD },
	{ { D(PGRP), B(12) }, VTD_IQEI_RSVD },
	{ { D(PGRP), 0, 1 }, VTD_IQEI_RSVD },
};

/* VTD-QERR-08, VTD-QERR-09, VTD-QERR-10, VTD-QERR-14, VTD-FSTS-03, VTD-REG-28 */
static void a_bad_descriptor_stops_the_queue_until_it_is_mended(void **state)
{
	unsigned int i;
	struct gw w;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t *slot;

		gw_open(&w, NULL);
		gw_start(&w);
		gw_wr32(&w, VTD_REG_FECTL, 0);
		assert_true(gw_wait(&w));
		slot = gw_ptr(&w, w.iq + w.iq_tail);
		gw_put4(&w, bad[i].d);
		gw_kick(&w);
		assert_true(failed(&w));
		assert_int_equal(error_code(&w), bad[i].code);
		assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 32); /* on it */
		assert_int_equal(w.messages, 1);                /* the fault event */
		/* More may be submitted, nothing is fetched. */
		assert_false(gw_wait(&w));
		assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 32);
		/* Cleared without being mended it stops again. */
		gw_wr32(&w, VTD_REG_FSTS, IQE);
		assert_true(failed(&w));
		assert_int_equal(w.messages, 2);
		/* Mended, as Linux does: by a wait of its own. */
		slot[0] = WAIT;
		slot[1] = slot[2] = slot[3] = 0;
		gw_wr32(&w, VTD_REG_FSTS, IQE);
		assert_false(failed(&w));
		assert_int_equal(*status(&w), w.seq);
		assert_int_equal(gw_rd64(&w, VTD_REG_IQH), w.iq_tail);
		gw_close(&w);
	}
}

/* VTD-QI-14, VTD-QI-26, VTD-QI-39, VTD-QI-41, VTD-CAP-10, VTD-CAP-35 */
static void descriptors_of_capabilities_that_are_missing_are_invalid(void **state)
{
	static const struct {
		uint64_t cap, ecap; /* taken away */
		uint64_t d0;
		unsigned int code;
	} tries[] = {
		{ VTD_MASK(VTD_CAP_PSI), 0, D(IOTLB) | G(3), VTD_IQEI_TYPE },
		{ 0, VTD_MASK(VTD_ECAP_DT) | VTD_MASK(VTD_ECAP_PRS) | VTD_MASK(VTD_ECAP_PDS),
		  D(DTLB), VTD_IQEI_TYPE },
		{ 0, VTD_MASK(VTD_ECAP_DT) | VTD_MASK(VTD_ECAP_PRS) | VTD_MASK(VTD_ECAP_PDS),
		  D(PDTLB), VTD_IQEI_TYPE },
		{ 0, VTD_MASK(VTD_ECAP_PRS) | VTD_MASK(VTD_ECAP_PDS), D(PGRP), VTD_IQEI_TYPE },
		{ 0, VTD_MASK(VTD_ECAP_PDS), D(WAIT) | B(7), VTD_IQEI_RSVD },
	};
	unsigned int i;
	struct gw w;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		struct gw_config c = { 0 };

		gw_open_host(&w, &c);
		viommu_guest_profile(VIOMMU_PROFILE_SVA, 0, NULL, &c.cap, &c.ecap, NULL);
		c.cap &= ~tries[i].cap;
		c.ecap &= ~tries[i].ecap;
		assert_int_equal(gw_open_unit(&w, &c), 0);
		gw_iq_setup(&w, 32, 0);
		gw_set_root(&w, VTD_TTM_SCALABLE);
		gw_submit(&w, tries[i].d0, 0);
		assert_true(failed(&w));
		assert_int_equal(error_code(&w), tries[i].code);
		gw_close(&w);
	}
}

/* VTD-QERR-01, VTD-QERR-02, VTD-QERR-06 */
static void bad_tails_and_rings_without_memory_are_errors(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_wr32(&w, VTD_REG_IQT, 8192);
	assert_int_equal(error_code(&w), VTD_IQEI_TAIL);
	gw_wr32(&w, VTD_REG_IQT, 16);
	gw_wr32(&w, VTD_REG_FSTS, IQE);
	assert_true(failed(&w));
	assert_int_equal(error_code(&w), VTD_IQEI_TAIL_ALIGN);
	gw_wr32(&w, VTD_REG_IQT, 0);
	gw_wr32(&w, VTD_REG_FSTS, IQE);
	assert_false(failed(&w));
	assert_true(gw_wait(&w));
	/* In a queue of 16-byte descriptors bit 4 is a place like any other. */
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), false);
	gw_set_root(&w, VTD_TTM_LEGACY);
	gw_iq_setup(&w, 16, 0);
	assert_true(gw_wait(&w));
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), false);
	gw_wr64(&w, VTD_REG_IQA, UINT64_C(1) << 40);
	gw_wr32(&w, VTD_REG_IQT, 16);
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), true);
	assert_int_equal(error_code(&w), VTD_IQEI_FETCH);
	gw_close(&w);
}

/* VTD-QERR-11, VTD-QERR-12, VTD-QERR-13: devices answer at once, so neither comes up. */
static void no_device_times_out(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_put(&w, gw_dtlb(GW_SID(0)), GW_EVERYTHING | 1);
	gw_put(&w, gw_dtlb(0x7777), GW_EVERYTHING | 1); /* VTD-QI-45 */
	gw_put(&w, gw_pdtlb(0x7777, 5), 0);
	viommu_device_unplug(w.dev[0]);
	assert_true(gw_do(&w, gw_dtlb(GW_SID(0)), GW_EVERYTHING | 1));
	assert_int_equal(
		gw_rd32(&w, VTD_REG_FSTS) & (VTD_MASK(VTD_FSTS_ICE) | VTD_MASK(VTD_FSTS_ITE)), 0);
	assert_int_equal(gw_rd64(&w, VTD_REG_IQERCD), 0);
	gw_close(&w);
}

/* ---- Wait ---- */

/* VTD-QI-34, VTD-QI-35, VTD-QI-37, VTD-QI-38, VTD-QI-39 */
static void wait_writes_its_dword_if_asked_and_nothing_else(void **state)
{
	uint32_t *s;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	s = status(&w);
	memset(s, 0xee, 64);
	gw_submit(&w, WAIT_SW | VTD_VAL(VTD_IQ_WAIT_DATA, 0x12345678), w.status + 4);
	assert_int_equal(s[0], 0xeeeeeeee);
	assert_int_equal(s[1], 0x12345678);
	assert_int_equal(s[2], 0xeeeeeeee);
	/* Neither, with a fence, with a page-request drain, as Linux drains. */
	gw_submit(&w, WAIT | VTD_MASK(VTD_IQ_WAIT_FN) | VTD_VAL(VTD_IQ_WAIT_DATA, 2), 0);
	gw_submit(&w, WAIT_SW | VTD_MASK(VTD_IQ_WAIT_PD) | VTD_VAL(VTD_IQ_WAIT_DATA, 3),
		  w.status + 8);
	assert_int_equal(s[2], 3);
	assert_int_equal(gw_ptr(&w, 0)[0], 0);
	/* An address that is no memory is nothing to stop for. */
	gw_submit(&w, WAIT_SW, UINT64_C(1) << 40);
	gw_submit(&w, WAIT_SW, ~UINT64_C(3));
	assert_false(failed(&w));
	assert_int_equal(gw_rd64(&w, VTD_REG_IQH), w.iq_tail);
	gw_close(&w);
}

/* VTD-QI-36, VTD-QORD-05, VTD-QORD-06, VTD-REG-27 */
static void wait_raises_the_completion_event_if_asked(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_wr32(&w, VTD_REG_IECTL, 0);
	gw_submit(&w, WAIT_IF, 0);
	assert_int_equal(gw_rd32(&w, VTD_REG_ICS), 1);
	assert_int_equal(w.messages, 1);
	gw_submit(&w, WAIT_IF | WAIT_SW | VTD_VAL(VTD_IQ_WAIT_DATA, 9), w.status);
	assert_int_equal(*status(&w), 9);
	assert_int_equal(w.messages, 1);
	gw_wr32(&w, VTD_REG_ICS, 1);
	assert_int_equal(gw_rd32(&w, VTD_REG_ICS), 0);
	gw_submit(&w, WAIT_IF, 0);
	assert_int_equal(w.messages, 2);
	gw_close(&w);
}

/* VTD-QORD-01, VTD-QORD-02, VTD-QORD-03, VTD-QORD-04, VTD-QORD-08, VTD-TAG-07 */
static void after_the_wait_nothing_old_is_used(void **state)
{
	struct gw_process p, q;
	struct viommu_devtlb *tlb;
	uint64_t *pe, v;
	unsigned int i;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	assert_int_equal(viommu_devtlb_new(w.dev[0], 64, &tlb), 0);
	gw_process(&w, &p, 4, 1);
	gw_process(&w, &q, 4, 2);
	pe = gw_pe(&w, GW_SID(0), 5);
	for (i = 0; i < 8; i++) {
		gw_pe_fs(pe, i & 1 ? &q.fs : &p.fs, 1);
		gw_put(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0);
		gw_put(&w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 5), 0);
		gw_put(&w, gw_pdtlb(GW_SID(0), 5), GW_EVERYTHING | VTD_MASK(VTD_IQ_PDTLB_S));
		assert_true(gw_wait(&w));
		assert_true(gw_sees(&w, 0, 5, GW_VA, 1 + (i & 1)));
		assert_int_equal(viommu_devtlb_read(tlb, w.dma, 5, GW_VA, &v, 8, 0, NULL), 0);
		assert_int_equal(v, 1 + (i & 1));
	}
	viommu_devtlb_free(tlb);
	gw_close(&w);
}

/* ---- What is invalidated ---- */

#define IOVA UINT64_C(0x40000000)

struct tag_try {
	uint64_t d0, d1;
	bool fs; /* are they dropped? */
	bool ss;
	bool rid;
};

#define PAGE(addr) ((addr) & ~UINT64_C(0xfff))

/*
 * A process in PASID 5 with domain id 1, a second stage in PASID 6 with id 2, requests without
 * PASID (RID_PASID 0) with id 1. Each moves its page; the descriptor says which are seen to have
 * moved.
 *
 * VTD-QI-13, VTD-QI-16, VTD-QI-17, VTD-QI-18, VTD-QI-19, VTD-QI-20, VTD-QI-21, VTD-QI-22,
 * VTD-QI-23, VTD-TAG-03, VTD-TAG-04, VTD-TAG-05, VTD-TAG-06, VTD-SNOOP-04
 */
static void iotlb_descriptors_drop_what_their_tags_say(void **state)
{
	static const struct tag_try tries[] = {
		{ D(IOTLB) | G(1), 0, true, true, true },
		{ D(IOTLB) | G(1) | B(6) | B(7), 0, true, true, true },
		{ D(IOTLB) | G(2) | 1 << 16, 0, true, false, true },
		{ D(IOTLB) | G(2) | 2 << 16, 0, false, true, false },
		{ D(IOTLB) | G(2) | 3 << 16, 0, false, false, false },
		{ D(IOTLB) | G(3) | 2 << 16, IOVA, false, true, false },
		{ D(IOTLB) | G(3) | 2 << 16, IOVA | 0x3000 | B(6) | 9, false, true, false },
		{ D(IOTLB) | G(3) | 1 << 16, 0, true, false, true }, /* of the first stage: all */
		{ D(PIOTLB) | G(2) | 1 << 16 | B(32) * 5, 0, true, false, false },
		{ D(PIOTLB) | G(3) | 1 << 16 | B(32) * 5, GW_VA, true, false, false },
		{ D(PIOTLB) | G(3) | 1 << 16 | B(32) * 5, 63, true, false, false },
		{ D(PIOTLB) | G(3) | 1 << 16 | B(32) * 5, GW_VA | 30, true, false, false },
		{ D(PIOTLB) | G(2) | 2 << 16 | B(32) * 6, 0, false, true, false },
		{ D(PIOTLB) | G(2) | 1 << 16, 0, false, false, true },
		{ D(PIOTLB) | G(2) | 1 << 16 | B(32) * 0xfffff, 0, false, false, false },
		{ D(IEC), 0, false, false, false },
		{ D(IEC) | B(4) | B(27) | B(32), 0, false, false, false },
		{ WAIT, 0, false, false, false },
	};
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		const struct tag_try *t = &tries[i];
		struct tables_stage ss;
		struct gw_process p, r;
		uint64_t gpa, moved;
		struct gw w;

		gw_open(&w, &c);
		gw_start(&w);
		gw_process(&w, &p, 4, 0x10);
		gw_process(&w, &r, 4, 0x10);
		tables_stage_init(&ss, &w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
		gpa = gw_page(&w);
		gw_ptr(&w, gpa)[0] = 0x10;
		assert_int_equal(tables_map(&ss, IOVA, gpa, 12, TABLES_RW), 0);
		gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
		gw_pe_ss(gw_pe(&w, GW_SID(0), 6), &ss, 2);
		gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &r.fs, 1);
		assert_true(gw_sees(&w, 0, 5, GW_VA, 0x10));
		assert_true(gw_sees(&w, 0, 6, IOVA, 0x10));
		assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 0x10));
		moved = gw_page(&w);
		gw_ptr(&w, moved)[0] = 0x20;
		assert_int_equal(tables_map(&p.fs, GW_VA, moved, 12, TABLES_RWU), 0);
		assert_int_equal(tables_map(&r.fs, GW_VA, moved, 12, TABLES_RWU), 0);
		assert_int_equal(tables_map(&ss, IOVA, moved, 12, TABLES_RW), 0);
		w.told = 0;
		assert_true(gw_do(&w, t->d0, t->d1));
		assert_true(gw_sees(&w, 0, 5, GW_VA, t->fs ? 0x20 : 0x10));
		assert_true(gw_sees(&w, 0, 6, IOVA, t->ss ? 0x20 : 0x10));
		assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, t->rid ? 0x20 : 0x10));
		assert_int_equal(w.told, 0); /* devices have descriptors of their own */
		gw_close(&w);
	}
}

/* The guest's number in the descriptor, the host's in what is invalidated. */
static void pasids_of_descriptors_are_converted(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_hp hp, other;
	struct gw_process p;
	uint64_t moved;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	/* The host's number of 5 is not 5, and 5 on the host is not the guest's 5. */
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 9 }, &other), 0);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 5 }, &hp), 0);
	assert_int_not_equal(hp.v, 5);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, hp.v, GW_VA, 1));
	moved = gw_page(&w);
	gw_ptr(&w, moved)[0] = 2;
	assert_int_equal(tables_map(&p.fs, GW_VA, moved, 12, TABLES_RWU), 0);
	assert_true(gw_do(&w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 9), 0));
	assert_true(gw_sees(&w, 0, hp.v, GW_VA, 1));
	assert_true(gw_do(&w, gw_piotlb(VTD_IQ_PIOTLB_PAGE, 1, 5), GW_VA));
	assert_true(gw_sees(&w, 0, hp.v, GW_VA, 2));
	w.told = 0;
	assert_true(gw_do(&w, gw_pdtlb(GW_SID(0), 5), GW_VA));
	assert_int_equal(w.told, 1);
	assert_int_equal(w.told_pasid, hp.v);
	gw_close(&w);
}

/* VTD-QI-25, VTD-QI-29, VTD-QI-30, VTD-QI-31, VTD-QI-32 */
static void device_tlb_descriptors_tell_the_device_the_range(void **state)
{
	static const struct {
		uint64_t d1; /* with S where type 3 has it; type 8's is bit 11 */
		uint64_t addr, bytes;
	} tries[] = {
		{ 0x5000, 0x5000, 4096 },
		{ 0x4000 | 1, 0x4000, 8192 },
		{ 0x5000 | 1, 0x4000, 16384 },
		{ 0x3ff000 | 1, 0, UINT64_C(1) << 23 },
		{ 0x1ff000 | 1, 0, UINT64_C(1) << 22 },
		{ GW_EVERYTHING | 1, 0, 0 },
	};
	struct gw_process p;
	unsigned int i;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 0), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, GW_VA, 1));
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		uint64_t d1 = tries[i].d1;

		w.told = 0;
		assert_true(gw_do(&w, gw_dtlb(GW_SID(0)), d1));
		assert_int_equal(w.told, 1);
		assert_int_equal(w.told_pasid, VIOMMU_NO_PASID);
		assert_int_equal(w.told_addr, tries[i].addr);
		assert_int_equal(w.told_bytes, tries[i].bytes);
		d1 = (d1 & ~UINT64_C(1)) | (d1 & 1) << 11;
		assert_true(gw_do(&w, gw_pdtlb(GW_SID(0), 5), d1));
		assert_int_equal(w.told, 2);
		assert_int_equal(w.told_pasid, 5);
		assert_int_equal(w.told_addr, tries[i].addr);
		assert_int_equal(w.told_bytes, tries[i].bytes);
	}
	/* All PASIDs; and one that has nothing. */
	w.told = 0;
	assert_true(gw_do(&w, gw_pdtlb(GW_SID(0), 77), GW_EVERYTHING | 1 | B(11)));
	assert_int_equal(w.told, 1);
	assert_int_equal(w.told_pasid, 5);
	assert_true(gw_do(&w, gw_pdtlb(GW_SID(0), 77), 0x5000));
	assert_int_equal(w.told, 1);
	gw_close(&w);
}

/* More shadows of a domain id, and of a device, than are told one by one. */
static void many_shadows_are_invalidated_as_a_whole(void **state)
{
	struct gw_process p;
	uint64_t moved;
	uint32_t i;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	for (i = 1; i <= 100; i++) {
		gw_pe_fs(gw_pe(&w, GW_SID(0), i), &p.fs, i == 100 ? 2 : 1);
		assert_true(gw_sees(&w, 0, i, GW_VA, 1));
	}
	moved = gw_page(&w);
	gw_ptr(&w, moved)[0] = 2;
	assert_int_equal(tables_map(&p.fs, GW_VA, moved, 12, TABLES_RWU), 0);
	assert_true(gw_do(&w, gw_iotlb_d(VTD_IQ_IOTLB_DOMAIN, 1), 0));
	for (i = 1; i < 100; i++)
		assert_true(gw_sees(&w, 0, i, GW_VA, 2));
	w.told = 0;
	assert_true(gw_do(&w, gw_pdtlb(GW_SID(0), 0), GW_EVERYTHING | 1 | B(11)));
	assert_true(w.told >= 1);
	assert_int_equal(w.told_bytes, 0);
	gw_close(&w);
}

/* ---- Bounded work ---- */

static void a_full_queue_is_done_in_bursts_with_a_kick(void **state)
{
	const struct gw_config c = { .burst = 10 };
	unsigned int i, runs = 0;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	for (i = 0; i < 45; i++)
		gw_put(&w, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0);
	gw_kick(&w);
	assert_int_equal(done(&w, VTD_IQ_TYPE_IOTLB), 10);
	assert_int_equal(w.kicks, 1);
	while (viommu_guest_run(w.guest))
		runs++;
	assert_int_equal(runs, 3);
	assert_int_equal(w.kicks, 1); /* a run says it by its return */
	assert_int_equal(done(&w, VTD_IQ_TYPE_IOTLB), 45);
	assert_int_equal(viommu_guest_run(w.guest), 0);
	gw_close(&w);
}

static void without_a_kick_the_caller_runs(void **state)
{
	const struct gw_config c = { .burst = 1, .no_kick = true };
	unsigned int i;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	for (i = 0; i < 5; i++)
		gw_put(&w, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0);
	assert_true(gw_wait(&w));
	assert_int_equal(done(&w, VTD_IQ_TYPE_IOTLB), 5);
	gw_close(&w);
}

/* One descriptor that looks at more shadows than a call may. VTD-QI-24, VTD-TAG-02 */
static void a_flush_of_everything_goes_on_over_several_calls(void **state)
{
	const struct gw_config c = { .burst = 7, .no_kick = true };
	struct gw_process p, q;
	unsigned int runs = 0;
	struct viommu_guest_shadow sh[64];
	uint32_t i, d;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_process(&w, &q, 4, 2);
	for (d = 0; d < 2; d++) {
		for (i = 1; i <= 30; i++) {
			gw_pe_fs(gw_pe(&w, GW_SID(d), i), &p.fs, 1);
			assert_true(gw_sees(&w, d, i, GW_VA, 1));
		}
	}
	for (d = 0; d < 2; d++) {
		for (i = 1; i <= 30; i++) {
			if (i % 3 == 0)
				gw_pe(&w, GW_SID(d), i)[0] = 0;
			else if (i % 3 == 1)
				gw_pe_fs(gw_pe(&w, GW_SID(d), i), &q.fs, 1);
		}
	}
	gw_put(&w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
	gw_kick(&w);
	assert_int_equal(gw_rd64(&w, VTD_REG_IQH), 0); /* the head stays until it is done */
	/* What is in the slot now is not what was begun. */
	gw_ptr(&w, w.iq)[0] = WAIT;
	while (viommu_guest_run(w.guest))
		runs++;
	assert_true(runs >= 60 / 7 - 1);
	assert_int_equal(done(&w, VTD_IQ_TYPE_PC), 1);
	assert_int_equal(viommu_guest_shadows(w.guest, 0, (struct viommu_gp){ 0 }, sh, 64), 40);
	for (d = 0; d < 2; d++) {
		for (i = 1; i <= 30; i++) {
			if (i % 3 == 0)
				assert_true(gw_faults(&w, d, i, GW_VA, VTD_FR_PE_NP));
			else
				assert_true(gw_sees(&w, d, i, GW_VA, i % 3 == 1 ? 2 : 1));
		}
	}
	gw_close(&w);
}

/* Turned off in the middle, the rest is forgotten. */
static void turning_the_queue_off_ends_a_flush_that_goes_on(void **state)
{
	const struct gw_config c = { .burst = 3, .no_kick = true };
	struct gw_process p;
	uint32_t i;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	for (i = 1; i <= 30; i++) {
		gw_pe_fs(gw_pe(&w, GW_SID(0), i), &p.fs, 1);
		assert_true(gw_sees(&w, 0, i, GW_VA, 1));
	}
	gw_submit(&w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
	assert_int_equal(viommu_guest_run(w.guest), 1);
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), false);
	assert_int_equal(viommu_guest_run(w.guest), 0);
	gw_iq_setup(&w, 32, 0);
	assert_true(gw_wait(&w));
	assert_int_equal(done(&w, VTD_IQ_TYPE_PC), 0);
	gw_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_queue_runs_while_it_is_on_and_head_differs_from_tail),
	cmocka_unit_test(the_head_wraps_in_queues_of_every_size_and_width),
	cmocka_unit_test(the_queue_registers_count_when_it_turns_on),
	cmocka_unit_test(widths_and_types_go_by_the_table_mode),
	cmocka_unit_test(wide_descriptors_need_a_unit_that_has_them),
	cmocka_unit_test(the_reserved_table_mode_takes_no_descriptor),
	cmocka_unit_test(a_bad_descriptor_stops_the_queue_until_it_is_mended),
	cmocka_unit_test(descriptors_of_capabilities_that_are_missing_are_invalid),
	cmocka_unit_test(bad_tails_and_rings_without_memory_are_errors),
	cmocka_unit_test(no_device_times_out),
	cmocka_unit_test(wait_writes_its_dword_if_asked_and_nothing_else),
	cmocka_unit_test(wait_raises_the_completion_event_if_asked),
	cmocka_unit_test(after_the_wait_nothing_old_is_used),
	cmocka_unit_test(iotlb_descriptors_drop_what_their_tags_say),
	cmocka_unit_test(pasids_of_descriptors_are_converted),
	cmocka_unit_test(device_tlb_descriptors_tell_the_device_the_range),
	cmocka_unit_test(many_shadows_are_invalidated_as_a_whole),
	cmocka_unit_test(a_full_queue_is_done_in_bursts_with_a_kick),
	cmocka_unit_test(without_a_kick_the_caller_runs),
	cmocka_unit_test(a_flush_of_everything_goes_on_over_several_calls),
	cmocka_unit_test(turning_the_queue_off_ends_a_flush_that_goes_on),
};
TEST_MAIN(tests)
