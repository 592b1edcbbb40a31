/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each allocation fails once, each look at guest memory finds a hole once: the guest sees what the
 * specification has for it, or nothing at all; afterwards everything works; nothing is leaked.
 */
#include "base/alloc.h"
#include "guest/world.h"
#include "mem/mem.h"

static void the_unit_is_made_whole_or_not_at_all(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_guest_config gc = { .size = sizeof(gc) };
	struct viommu_guest *guest;
	struct gw w;
	long n, live;
	int err;

	(void)state;
	gw_open_host(&w, &c);
	/* A device's first table is made at its first attach, and stays. */
	assert_int_equal(gw_open_unit(&w, &c), 0);
	viommu_guest_free(w.guest);
	w.guest = NULL;
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = viommu_guest_new(&gc, w.dom, w.mem, &guest);
		if (!err)
			err = viommu_guest_add_device(guest, w.dev[0], 5);
		if (!err)
			err = viommu_guest_add_device(guest, w.dev[1], 6);
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(err, -ENOMEM);
		viommu_guest_free(guest);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_int_equal(err, 0);
	assert_true(n > 4);
	viommu_guest_free(guest);
	assert_int_equal(viommu__alloc_live(), live);
	gw_close(&w);
}

/* What a guest and its devices do, told to go on whatever happens. */
struct script {
	struct gw w;
	struct gw_process p, q;
	struct tables_stage ss;
	uint32_t base; /* host PASIDs begin here */
};

#define IOVA UINT64_C(0x40000000)

static void script_open(struct script *s, const struct gw_config *c)
{
	gw_open(&s->w, c);
	gw_start(&s->w);
	gw_process(&s->w, &s->p, 4, 0x11);
	gw_process(&s->w, &s->q, 4, 0x22);
	tables_stage_init(&s->ss, &s->w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&s->ss, IOVA, s->q.page, 12, TABLES_RW), 0);
	gw_pe_fs(gw_pe(&s->w, GW_SID(0), 0), &s->p.fs, 1);
	gw_pe_fs(gw_pe(&s->w, GW_SID(0), 100), &s->p.fs, 1);
	gw_pe_fs(gw_pe(&s->w, GW_SID(0), 4000), &s->q.fs, 1);
	gw_pe_ss(gw_pe(&s->w, GW_SID(1), 100), &s->ss, 2);
}

static uint32_t hp_of(struct script *s, uint32_t gp)
{
	struct viommu_hp hp;

	return viommu_guest_pasid_to_host(s->w.guest, (struct viommu_gp){ gp }, &hp)
		       ? VIOMMU_PASID_MAX
		       : hp.v;
}

/* Mend what stopped the queue, as a driver does. */
static void mend(struct gw *w)
{
	unsigned int tries;

	for (tries = 0; tries < 4; tries++) {
		if (gw_rd32(w, VTD_REG_FSTS) & VTD_MASK(VTD_FSTS_IQE))
			gw_wr32(w, VTD_REG_FSTS, (uint32_t)VTD_MASK(VTD_FSTS_IQE));
		if (gw_wait(w))
			return;
	}
	fail_msg("the queue does not go on");
}

static void script_dma(struct script *s)
{
	uint64_t v;

	gw_read(&s->w, 0, VIOMMU_NO_PASID, GW_VA, &v);
	gw_read(&s->w, 0, hp_of(s, 100), GW_VA, &v);
	gw_read(&s->w, 0, hp_of(s, 4000), GW_VA, &v);
	gw_read(&s->w, 1, hp_of(s, 100), IOVA, &v);
	/* A fault to record, and a page request. */
	gw_read(&s->w, 0, hp_of(s, 100), GW_VA + 0x100000, &v);
	viommu_dma_read(s->w.dma, s->w.dev[0], hp_of(s, 100), GW_VA + 0x200000, &v, 8,
			VIOMMU_DMA_NO_WAIT, NULL);
	viommu_dma_read(s->w.dma, s->w.dev[0], hp_of(s, 100), GW_VA + 0x200000, &v, 8,
			VIOMMU_DMA_NO_WAIT, NULL);
}

static void script_run(struct script *s)
{
	unsigned int round;

	for (round = 0; round < 2; round++) {
		script_dma(s);
		gw_pe_fs(gw_pe(&s->w, GW_SID(0), 100), round ? &s->p.fs : &s->q.fs, 1);
		gw_put(&s->w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 100), 0);
		gw_put(&s->w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 100), 0);
		gw_put(&s->w, gw_pdtlb(GW_SID(0), 100), GW_EVERYTHING | VTD_MASK(VTD_IQ_PDTLB_S));
		gw_wait(&s->w);
		gw_put(&s->w, gw_iotlb_d(VTD_IQ_IOTLB_DOMAIN, 1), 0);
		gw_put(&s->w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
		gw_put(&s->w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0);
		gw_put(&s->w, gw_pgrp(GW_SID(0), true, 100, 0), 0);
		gw_wait(&s->w);
	}
}

/* In the end everything is as it would have been. */
static void script_check(struct script *s)
{
	mend(&s->w);
	assert_true(gw_do(&s->w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0));
	assert_true(gw_sees(&s->w, 0, VIOMMU_NO_PASID, GW_VA, 0x11));
	assert_true(gw_sees(&s->w, 0, hp_of(s, 100), GW_VA, 0x11));
	assert_true(gw_sees(&s->w, 0, hp_of(s, 4000), GW_VA, 0x22));
	assert_true(gw_sees(&s->w, 1, hp_of(s, 100), IOVA, 0x22));
	viommu_guest_reset(s->w.guest);
	assert_int_equal(gw_rd32(&s->w, VTD_REG_FSTS), 0);
}

static void each_allocation_fails_once_while_a_guest_works(void **state)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST,
				     .flags = VIOMMU_GUEST_HOST_PASIDS };
	long n, live = viommu__alloc_live();
	bool done;

	(void)state;
	for (n = 1;; n++) {
		struct script s;

		script_open(&s, &c);
		viommu__alloc_fail_nth(n);
		script_run(&s);
		done = !viommu__alloc_fail_done();
		script_check(&s);
		gw_close(&s.w);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 10);
}

static void each_look_at_guest_memory_fails_once_while_a_guest_works(void **state)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST,
				     .flags = VIOMMU_GUEST_HOST_PASIDS };
	long n, live = viommu__alloc_live();
	bool done;

	(void)state;
	for (n = 1;; n++) {
		struct script s;

		script_open(&s, &c);
		viommu__mem_fail_nth(s.w.mem, n);
		script_run(&s);
		done = !viommu__mem_fail_done(s.w.mem);
		script_check(&s);
		gw_close(&s.w);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 200);
}

/* The host cannot keep the device's memory attached: the next access tries again. */
static void what_could_not_be_attached_is_attached_when_it_is_needed(void **state)
{
	struct gw w;
	long n;

	(void)state;
	for (n = 1; n < 8; n++) {
		gw_open(&w, NULL);
		gw_start(&w);
		viommu__alloc_fail_nth(n);
		gw_command(&w, (uint32_t)VTD_MASK(VTD_GCMD_TE), false);
		viommu__alloc_fail_done();
		gw_ptr(&w, w.status)[1] = 5;
		assert_true(gw_sees(&w, 0, VIOMMU_NO_PASID, w.status + 8, 5));
		assert_true(gw_sees(&w, 1, VIOMMU_NO_PASID, w.status + 8, 5));
		gw_close(&w);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_unit_is_made_whole_or_not_at_all),
	cmocka_unit_test(each_allocation_fails_once_while_a_guest_works),
	cmocka_unit_test(each_look_at_guest_memory_fails_once_while_a_guest_works),
	cmocka_unit_test(what_could_not_be_attached_is_attached_when_it_is_needed),
};
TEST_MAIN(tests)
