/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests: admission, the ring, overflow, the unit's own answers, group responses.
 */
#include "guest/world.h"

#define PPR 1u
#define PRO 2u

static struct viommu_page_request request(uint32_t pasid, uint16_t prgi, uint64_t addr)
{
	return (struct viommu_page_request){
		.prgi = prgi,
		.flags = VIOMMU_PAGE_REQUEST_LAST |
			 (pasid == VIOMMU_NO_PASID ? 0 : VIOMMU_PAGE_REQUEST_PASID),
		.pasid = pasid,
		.access = VIOMMU_READ,
		.addr = addr,
	};
}

static struct viommu_guest_stats stats(struct gw *w)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(w->guest, &s);
	return s;
}

static uint64_t *slot(struct gw *w, unsigned int n)
{
	return gw_ptr(w, w->prq + 32 * n);
}

static void open_with_process(struct gw *w, struct gw_process *p, const struct gw_config *c)
{
	gw_open(w, c);
	gw_start(w);
	gw_process(w, p, 4, 1);
	gw_pe_fs(gw_pe(w, GW_SID(0), 5), &p->fs, 1);
	gw_pe_fs(gw_pe(w, GW_SID(0), 0), &p->fs, 1);
}

/* VTD-PRQ-02, VTD-PRQ-03, VTD-PRQ-10, VTD-PRQ-12, VTD-REG-30, VTD-REG-31, VTD-CAP-27 */
static void requests_stand_in_the_ring_as_specified(void **state)
{
	struct viommu_page_request req;
	struct gw_process p;
	uint64_t *d;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	req = request(5, 0x1ab, UINT64_C(0x7f1234567000));
	req.access = VIOMMU_READ | VIOMMU_WRITE | VIOMMU_PRIV;
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 32);
	assert_int_equal(gw_rd32(&w, VTD_REG_PRS), PPR);
	d = slot(&w, 0);
	assert_int_equal(VTD_GET(d, VTD_PRQ_TYPE), VTD_PRQ_TYPE_PAGE);
	assert_int_equal(VTD_GET(d, VTD_PRQ_PP), 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_RID), GW_SID(0));
	assert_int_equal(VTD_GET(d, VTD_PRQ_PASID), 5);
	assert_int_equal(VTD_GET(d, VTD_PRQ_PMR), 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_EXR), 0);
	assert_int_equal(VTD_GET(d, VTD_PRQ_RDR), 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_WRR), 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_LPIG), 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_PRGI), 0x1ab);
	assert_int_equal(VTD_GET(d, VTD_PRQ_ADDR), 0x7f1234567);
	assert_int_equal(d[0] & VTD_RSVD(VTD_PRQ, 0), 0);
	assert_int_equal(d[1] & VTD_RSVD(VTD_PRQ, 1), 0);
	assert_int_equal(d[2] | d[3], 0);
	/* Without PASID, not the last of its group. */
	req = request(VIOMMU_NO_PASID, 1, 0x5000);
	req.flags = 0;
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	d = slot(&w, 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_PP), 0);
	assert_int_equal(VTD_GET(d, VTD_PRQ_PASID), 0);
	assert_int_equal(VTD_GET(d, VTD_PRQ_LPIG), 0);
	assert_int_equal(stats(&w).page_requests, 2);
	gw_close(&w);
}

/* VTD-PRQ-01, VTD-PRQ-07, VTD-PRQ-08, VTD-PRQ-11, VTD-PRQ-13, VTD-REG-31, VTD-REG-32 */
static void a_full_ring_overflows_once_and_goes_on_when_cleared(void **state)
{
	struct viommu_page_request req = request(5, 0, GW_VA);
	struct gw_process p;
	unsigned int i, pqs;
	struct gw w;

	(void)state;
	for (pqs = 0; pqs < 3; pqs++) {
		unsigned int slots = 128u << pqs;

		open_with_process(&w, &p, NULL);
		gw_prq_setup(&w, pqs);
		gw_wr32(&w, VTD_REG_PECTL, 0);
		for (i = 0; i < slots - 1; i++)
			viommu_guest_page_request(w.guest, w.dev[0], &req);
		assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 32 * (slots - 1));
		assert_int_equal(gw_rd32(&w, VTD_REG_PRS), PPR);
		assert_int_equal(w.messages, 1);
		gw_wr32(&w, VTD_REG_PRS, PPR);
		viommu_guest_page_request(w.guest, w.dev[0], &req); /* no slot */
		assert_int_equal(gw_rd32(&w, VTD_REG_PRS), PRO);
		assert_int_equal(w.messages, 2);
		viommu_guest_page_request(w.guest, w.dev[0], &req); /* while PRO: quiet */
		assert_int_equal(w.messages, 2);
		assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 32 * (slots - 1));
		assert_int_equal(stats(&w).page_requests, slots - 1);
		assert_int_equal(stats(&w).page_requests_lost, 2);
		/* Room, but PRO still stands. */
		gw_wr64(&w, VTD_REG_PQH, 64);
		viommu_guest_page_request(w.guest, w.dev[0], &req);
		assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 32 * (slots - 1));
		gw_wr32(&w, VTD_REG_PRS, PRO);
		viommu_guest_page_request(w.guest, w.dev[0], &req);
		assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 0); /* wrapped */
		assert_int_equal(w.messages, 3);
		gw_close(&w);
	}
}

/* What the unit itself answers, seen by an access that asked. */
static uint32_t answer(struct gw *w, uint32_t pasid, uint64_t addr)
{
	struct viommu_dma_result res = { 0 };
	uint64_t v;

	assert_int_equal(viommu_dma_read(w->dma, w->dev[0], pasid, addr, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	return res.response;
}

#define ABSENT (GW_VA + 0x200000)

/* VTD-PRQ-05, VTD-PRQ-06, VTD-PRI-06, VTD-FREC-02 */
static void requests_that_fault_in_the_tables_are_answered_and_recorded(void **state)
{
	struct viommu_page_request req = request(5, 3, GW_VA);
	uint64_t rec[2];
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	gw_pe(&w, GW_SID(0), 5)[0] = 0; /* not flushed: DMA still finds it, a request does not */
	assert_int_equal(answer(&w, 5, ABSENT), VIOMMU_RESPONSE_INVALID);
	assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 0);
	rec[0] = gw_rd64(&w, gw_frcd(&w, 0));
	rec[1] = gw_rd64(&w, gw_frcd(&w, 0) + 8);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_PE_NP);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T1), 0);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T2), 1);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PASID), 5);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FI), ABSENT >> 12);
	/* Not the last of its group: dropped, recorded all the same. */
	req.flags &= ~VIOMMU_PAGE_REQUEST_LAST;
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_true(gw_rd64(&w, gw_frcd(&w, 2) + 8) >> 63);
	gw_close(&w);
}

/* VTD-PRI-06: PRE goes while the device asks. */
static void requests_after_pre_went_are_answered_invalid(void **state)
{
	struct viommu_page_request req = request(5, 3, GW_VA);
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	gw_context(&w, GW_SID(0))[0] &= ~VTD_MASK(VTD_SCE_PRE);
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 0);
	assert_int_equal(VTD_FIELD(gw_rd64(&w, gw_frcd(&w, 0) + 8) >> 32, VTD_VCMD_CMD),
			 VTD_FR_SCE_PRE);
	/* After the flush the host does not even ask. */
	assert_true(gw_do(&w, gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), 0));
	w.requests = 0;
	assert_int_equal(answer(&w, 5, ABSENT), VIOMMU_RESPONSE_INVALID);
	assert_int_equal(w.requests, 0);
	assert_int_equal(VTD_FIELD(gw_rd64(&w, gw_frcd(&w, 1) + 8) >> 32, VTD_VCMD_CMD),
			 VTD_FR_SCE_PRE);
	gw_close(&w);
}

/* VTD-PRQ-07, VTD-PRQ-08 */
static void overflow_is_answered_success(void **state)
{
	struct viommu_page_request req = request(5, 0, GW_VA);
	struct gw_process p;
	unsigned int i;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	for (i = 0; i < 128; i++)
		viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_int_equal(gw_rd32(&w, VTD_REG_PRS), PPR | PRO);
	/* The access walks again and asks again, a bounded number of times. */
	assert_int_equal(answer(&w, 5, ABSENT), VIOMMU_RESPONSE_SUCCESS);
	gw_close(&w);
}

static void a_ring_without_memory_loses_requests(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	gw_wr64(&w, VTD_REG_PQA, UINT64_C(1) << 40);
	assert_int_equal(answer(&w, 5, ABSENT), VIOMMU_RESPONSE_INVALID);
	gw_wr64(&w, VTD_REG_PQA, ~UINT64_C(0xfff));
	assert_int_equal(answer(&w, 5, ABSENT), VIOMMU_RESPONSE_INVALID);
	assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 0);
	assert_int_equal(gw_rd32(&w, VTD_REG_PRS), 0);
	gw_close(&w);
}

/* With translation off, from a device that was removed, from a PASID that is not the guest's. */
static void requests_that_are_nobodys_are_answered_invalid(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_page_request req = request(77, 3, GW_VA);
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, &c);
	viommu_guest_page_request(w.guest, w.dev[0], &req); /* no such host PASID */
	assert_int_equal(viommu_guest_remove_device(w.guest, w.dev[0]), 0);
	req = request(VIOMMU_NO_PASID, 3, GW_VA);
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_TE), false);
	viommu_guest_page_request(w.guest, w.dev[1], &req);
	assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 0);
	assert_int_equal(stats(&w).page_requests_lost, 3);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), 0);
	gw_close(&w);
}

/* ---- Responses ---- */

/* A read that does not wait: 0, VIOMMU_FAULTED, -EAGAIN. */
static int try_read(struct gw *w, uint32_t pasid, uint64_t addr)
{
	uint64_t v;

	return viommu_dma_read(w->dma, w->dev[0], pasid, addr, &v, 8, VIOMMU_DMA_NO_WAIT, NULL);
}

/* VTD-QI-40, VTD-QI-42, VTD-PRI-01, VTD-PRI-02, VTD-PRI-05, VTD-QORD-03 */
static void group_responses_reach_the_access_that_waits(void **state)
{
	static const struct {
		unsigned int code;
		int ret;
		bool off; /* page requests of the device are off after it */
	} tries[] = {
		{ VTD_PGRP_SUCCESS, 0, false },
		{ VTD_PGRP_INVALID, VIOMMU_FAULTED, false },
		{ 2, VIOMMU_FAULTED, false },
		{ 14, VIOMMU_FAULTED, false },
		{ VTD_PGRP_FAILURE, VIOMMU_FAULTED, true },
	};
	unsigned int i, with;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		for (with = 0; with < 2; with++) {
			uint32_t pasid = with ? 5 : VIOMMU_NO_PASID;
			struct gw_process p;
			struct gw w;
			uint64_t *d, page;

			open_with_process(&w, &p, NULL);
			assert_int_equal(try_read(&w, pasid, ABSENT), -EAGAIN);
			assert_int_equal(gw_rd64(&w, VTD_REG_PQT), 32);
			d = slot(&w, 0);
			assert_int_equal(VTD_GET(d, VTD_PRQ_ADDR), ABSENT >> 12);
			page = gw_page(&w);
			assert_int_equal(tables_map(&p.fs, ABSENT, page, 12, TABLES_RWU), 0);
			/* Bit 2 of the second word is nothing (once: last in group). */
			assert_true(gw_do(&w, gw_pgrp(GW_SID(0), with, with ? 5 : 0, tries[i].code),
					  VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(d, VTD_PRQ_PRGI)) | 4));
			assert_int_equal(viommu_device_open_requests(w.dev[0]), 0);
			if (tries[i].ret) /* the guest did not map it after all */
				tables_entry_set(&p.fs, ABSENT, 1, 0);
			assert_int_equal(try_read(&w, pasid, ABSENT), tries[i].ret);
			if (tries[i].ret) {
				w.requests = 0;
				try_read(&w, pasid, ABSENT + 4096);
				assert_int_equal(w.requests, !tries[i].off);
			}
			gw_close(&w);
		}
	}
}

/* VTD-PRI-04, VTD-CAP-49: it stands in the ring like a request, and is never answered. */
static void a_stop_marker_is_passed_on_and_not_answered(void **state)
{
	struct viommu_page_request req = request(5, 0, 0);
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	assert_int_equal(VTD_FIELD(w.ecap, VTD_ECAP_SMS), 1);
	/* A group with the marker's number that nobody may answer by mistake. */
	assert_int_equal(try_read(&w, 5, ABSENT), -EAGAIN);
	req.prgi = (uint16_t)VTD_GET(slot(&w, 0), VTD_PRQ_PRGI);
	req.access = 0;
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_int_equal(VTD_GET(slot(&w, 1), VTD_PRQ_LPIG), 1);
	assert_int_equal(slot(&w, 1)[1] & 3, 0);
	gw_pe(&w, GW_SID(0), 5)[0] = 0;
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_int_equal(viommu_device_open_requests(w.dev[0]), 1);
	gw_close(&w);
}

/* VTD-PRI-03 */
static void responses_without_a_group_are_ignored(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	gw_put(&w, gw_pgrp(GW_SID(0), true, 5, 0), 0);
	gw_put(&w, gw_pgrp(GW_SID(0), false, 0, 1), VTD_VAL(VTD_IQ_PGRP_PRGI, 511));
	gw_put(&w, gw_pgrp(0x7777, true, 5, 0), 0);
	gw_put(&w, gw_pgrp(GW_SID(0), true, 0xfffff, 0), 0);
	assert_true(gw_do(&w, gw_pgrp(GW_SID(0), true, 0, 0), 0));
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), 0);
	assert_int_equal(stats(&w).page_responses, 5);
	/* With an open group: for another PASID, or none, it is not answered. */
	assert_int_equal(try_read(&w, 5, ABSENT), -EAGAIN);
	gw_put(&w, gw_pgrp(GW_SID(0), false, 0, 0),
	       VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(slot(&w, 0), VTD_PRQ_PRGI)));
	assert_true(gw_do(&w, gw_pgrp(GW_SID(0), true, 6, 0),
			  VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(slot(&w, 0), VTD_PRQ_PRGI))));
	assert_int_equal(viommu_device_open_requests(w.dev[0]), 1);
	gw_close(&w);
}

/* The guest's numbers in the ring and in the response, the host's towards the device. */
static void guest_pasids_are_converted_both_ways(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_hp hp;
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 300), &p.fs, 1);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 300 }, &hp), 0);
	assert_int_not_equal(hp.v, 300);
	assert_true(gw_sees(&w, 0, hp.v, GW_VA, 1));
	assert_int_equal(try_read(&w, hp.v, ABSENT), -EAGAIN);
	assert_int_equal(w.request.pasid, hp.v);
	assert_int_equal(VTD_GET(slot(&w, 0), VTD_PRQ_PASID), 300);
	assert_int_equal(tables_map(&p.fs, ABSENT, gw_page(&w), 12, TABLES_RWU), 0);
	assert_true(gw_do(&w, gw_pgrp(GW_SID(0), true, 300, 0),
			  VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(slot(&w, 0), VTD_PRQ_PRGI))));
	assert_int_equal(try_read(&w, hp.v, ABSENT), 0);
	gw_close(&w);
}

/* VTD-PRQ-14 */
static void the_event_may_be_unmasked_before_the_ring_is_set(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_wr32(&w, VTD_REG_PECTL, 0);
	gw_start(&w);
	assert_int_equal(w.messages, 0);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_int_equal(try_read(&w, 5, ABSENT), -EAGAIN);
	assert_int_equal(w.messages, 1);
	gw_close(&w);
}

/* VTD-PRQ-09 */
static void before_a_request_is_queued_its_page_is_read_anew(void **state)
{
	struct viommu_page_request req = request(5, 3, GW_VA);
	struct gw_process p;
	uint64_t moved;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	moved = gw_page(&w);
	gw_ptr(&w, moved)[0] = 2;
	assert_int_equal(tables_map(&p.fs, GW_VA, moved, 12, TABLES_RWU), 0);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	viommu_guest_page_request(w.guest, w.dev[0], &req);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 2));
	gw_close(&w);
}

/* As Linux drains at the end of a PASID: nothing is open after the last wait. */
static void unbinding_drains_page_requests(void **state)
{
	struct gw_process p;
	struct gw w;

	(void)state;
	open_with_process(&w, &p, NULL);
	assert_int_equal(try_read(&w, 5, ABSENT), -EAGAIN);
	assert_int_equal(viommu_device_open_requests(w.dev[0]), 1);
	gw_pe(&w, GW_SID(0), 5)[0] = 0;
	gw_put(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0);
	gw_put(&w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 5), 0);
	gw_put(&w, gw_pdtlb(GW_SID(0), 5), GW_EVERYTHING | VTD_MASK(VTD_IQ_PDTLB_S));
	gw_put(&w, VTD_IQ_TYPE_WAIT | VTD_MASK(VTD_IQ_WAIT_FN) | VTD_VAL(VTD_IQ_WAIT_DATA, 2), 0);
	assert_true(gw_wait(&w));
	assert_int_equal(viommu_device_open_requests(w.dev[0]), 0);
	assert_int_equal(try_read(&w, 5, ABSENT), VIOMMU_FAULTED);
	gw_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(requests_stand_in_the_ring_as_specified),
	cmocka_unit_test(a_full_ring_overflows_once_and_goes_on_when_cleared),
	cmocka_unit_test(requests_that_fault_in_the_tables_are_answered_and_recorded),
	cmocka_unit_test(requests_after_pre_went_are_answered_invalid),
	cmocka_unit_test(overflow_is_answered_success),
	cmocka_unit_test(a_ring_without_memory_loses_requests),
	cmocka_unit_test(requests_that_are_nobodys_are_answered_invalid),
	cmocka_unit_test(group_responses_reach_the_access_that_waits),
	cmocka_unit_test(a_stop_marker_is_passed_on_and_not_answered),
	cmocka_unit_test(responses_without_a_group_are_ignored),
	cmocka_unit_test(guest_pasids_are_converted_both_ways),
	cmocka_unit_test(the_event_may_be_unmasked_before_the_ring_is_set),
	cmocka_unit_test(before_a_request_is_queued_its_page_is_read_anew),
	cmocka_unit_test(unbinding_drains_page_requests),
};
TEST_MAIN(tests)
