/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The register block by its table: offsets, widths, access classes, partial accesses, what is not
 * announced; event registers; reset.
 */
#include "guest/world.h"

/* Where the n-th instance of a register lies. */
static unsigned int reg_at(const struct gw *w, const struct viommu_spec_reg *reg, unsigned int n)
{
	unsigned int at = reg->offset;

	if (reg->base == VIOMMU_SPEC_BASE_IRO)
		at += 16 * (unsigned int)VTD_FIELD(w->ecap, VTD_ECAP_IRO);
	if (reg->base == VIOMMU_SPEC_BASE_FRO)
		at += 16 * (unsigned int)VTD_FIELD(w->cap, VTD_CAP_FRO);
	return at + n * (reg->flags & VIOMMU_SPEC_REG_PER_RECORD ? 16u : reg->width / 8u);
}

static unsigned int reg_count(const struct gw *w, const struct viommu_spec_reg *reg)
{
	return reg->flags & VIOMMU_SPEC_REG_PER_RECORD
		       ? (unsigned int)VTD_FIELD(w->cap, VTD_CAP_NFR) + 1
		       : reg->count;
}

static uint64_t reg_read(struct gw *w, const struct viommu_spec_reg *reg, unsigned int at)
{
	return viommu_guest_read(w->guest, at, reg->width / 8u);
}

static uint64_t reg_reset(const struct gw *w, const struct viommu_spec_reg *reg)
{
	if (!strcmp(reg->name, "CAP"))
		return w->cap;
	if (!strcmp(reg->name, "ECAP"))
		return w->ecap;
	if (!strcmp(reg->name, "VER"))
		return w->guest ? viommu_guest_read(w->guest, VTD_REG_VER, 4) : 0;
	return reg->flags & VIOMMU_SPEC_REG_WO ? 0 : reg->reset;
}

static void each_profile(void (*check)(struct gw *w))
{
	uint32_t profile;

	for (profile = VIOMMU_PROFILE_SVA; profile <= VIOMMU_PROFILE_LEGACY; profile++) {
		struct gw_config c = { .profile = profile };
		struct gw w;

		gw_open(&w, &c);
		check(&w);
		gw_close(&w);
	}
}

/* ---- Layout ---- */

/*
 * VTD-REG-08, VTD-REG-42, VTD-REG-40, VTD-REG-39, VTD-EVT-01, and what no capability announces:
 * VTD-REG-35, VTD-REG-36, VTD-REG-38
 */
static void check_reset_values(struct gw *w)
{
	uint8_t covered[VIOMMU_GUEST_REGISTERS / 4] = { 0 };
	unsigned int i, n, d;

	for (i = 0; i < viommu_spec_regs_nr; i++) {
		const struct viommu_spec_reg *reg = &viommu_spec_regs[i];

		for (n = 0; n < reg_count(w, reg); n++) {
			unsigned int at = reg_at(w, reg, n);

			if (!viommu_spec_reg_present(reg, w->cap, w->ecap))
				continue;
			assert_int_equal(reg_read(w, reg, at), reg_reset(w, reg));
			for (d = 0; d < reg->width / 32u; d++) {
				/* VTD-REG-41: nothing lies over anything else. */
				assert_int_equal(covered[at / 4 + d], 0);
				covered[at / 4 + d] = 1;
			}
		}
	}
	/* Everything else reads 0 and takes no write. */
	for (d = 0; d < VIOMMU_GUEST_REGISTERS / 4; d++) {
		if (covered[d])
			continue;
		gw_wr32(w, 4 * d, ~0u);
		assert_int_equal(gw_rd32(w, 4 * d), 0);
	}
}

static void registers_sit_where_the_map_says_with_their_reset_values(void **state)
{
	(void)state;
	each_profile(check_reset_values);
}

/* A register whose write starts something that other tests look at. */
static bool starts_something(const struct viommu_spec_reg *reg)
{
	return !strcmp(reg->name, "GCMD") || !strcmp(reg->name, "CCMD") ||
	       !strcmp(reg->name, "IOTLB");
}

/* VTD-REG-05, VTD-REG-06, VTD-REG-09, VTD-REG-13, VTD-REG-24, VTD-REG-30, VTD-EVT-02 */
static void check_writes(struct gw *w)
{
	static const uint64_t patterns[] = { ~UINT64_C(0), 0, 0x5555555555555555,
					     0xaaaaaaaaaaaaaaaa };
	unsigned int i, n, p;

	for (i = 0; i < viommu_spec_regs_nr; i++) {
		const struct viommu_spec_reg *reg = &viommu_spec_regs[i];

		if (!viommu_spec_reg_present(reg, w->cap, w->ecap) || starts_something(reg))
			continue;
		for (n = 0; n < reg_count(w, reg); n++) {
			unsigned int at = reg_at(w, reg, n);

			for (p = 0; p < ARRAY_SIZE(patterns); p++) {
				uint64_t before = reg_read(w, reg, at), v = patterns[p];
				uint64_t mask = reg->width == 64 ? ~UINT64_C(0) : ~0u;
				uint64_t expect = (before & ~reg->writable & ~(v & reg->rw1c)) |
						  (v & reg->writable);

				viommu_guest_write(w->guest, at, reg->width / 8u, v & mask);
				if (reg->flags & VIOMMU_SPEC_REG_WO)
					expect = 0;
				assert_int_equal(reg_read(w, reg, at), expect & mask);
			}
		}
	}
	/* Nothing of that turned anything on. */
	assert_int_equal(gw_rd32(w, VTD_REG_GSTS), 0);
}

static void writes_take_what_is_writable_and_nothing_else(void **state)
{
	(void)state;
	each_profile(check_writes);
}

/* VTD-REG-01, VTD-REG-02, VTD-REG-03 */
static void qwords_may_be_written_in_halves_and_pairs_of_dwords_as_one(void **state)
{
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	gw_wr32(&w, VTD_REG_RTADDR, 0x12345400);
	assert_int_equal(gw_rd64(&w, VTD_REG_RTADDR), 0x12345400);
	gw_wr32(&w, VTD_REG_RTADDR + 4, 0x9);
	assert_int_equal(gw_rd64(&w, VTD_REG_RTADDR), 0x912345400);
	assert_int_equal(gw_rd32(&w, VTD_REG_RTADDR), 0x12345400);
	assert_int_equal(gw_rd32(&w, VTD_REG_RTADDR + 4), 0x9);
	/* Two registers of 32 bits. */
	gw_wr64(&w, VTD_REG_FEADDR, 0x00000100fee01004);
	assert_int_equal(gw_rd32(&w, VTD_REG_FEADDR), 0xfee01004);
	assert_int_equal(gw_rd32(&w, VTD_REG_FEUADDR), 0x100);
	assert_int_equal(gw_rd64(&w, VTD_REG_FEADDR), 0x00000100fee01004);
	gw_close(&w);
}

/* VTD-REG-04 */
static void other_sizes_and_places_read_0_and_write_nothing(void **state)
{
	static const struct {
		uint64_t offset;
		unsigned int bytes;
	} odd[] = {
		{ VTD_REG_CAP, 1 },
		{ VTD_REG_CAP, 2 },
		{ VTD_REG_CAP, 16 },
		{ VTD_REG_CAP + 4, 8 },
		{ VTD_REG_CAP + 2, 4 },
		{ VTD_REG_CAP, 0 },
		{ 4096, 4 },
		{ 4096, 8 },
		{ UINT64_MAX - 7, 8 },
		{ UINT64_C(1) << 32, 4 },
		{ VTD_REG_RTADDR + 1, 4 },
		{ VTD_REG_RTADDR + 4, 8 },
		{ VTD_REG_RTADDR, 3 },
	};
	unsigned int i;
	struct gw w;

	(void)state;
	gw_open(&w, NULL);
	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		viommu_guest_write(w.guest, odd[i].offset, odd[i].bytes, ~UINT64_C(0));
		assert_int_equal(viommu_guest_read(w.guest, odd[i].offset, odd[i].bytes), 0);
	}
	assert_int_equal(gw_rd64(&w, VTD_REG_RTADDR), 0);
	assert_int_equal(gw_rd64(&w, VTD_REG_CAP), w.cap);
	gw_close(&w);
}

/*
 * VTD-REG-17, VTD-REG-18, VTD-REG-19, VTD-REG-20, VTD-REG-33, VTD-REG-34, VTD-REG-37,
 * VTD-CAP-04, VTD-ECMD-01, VTD-ECMD-02, VTD-ECMD-03, VTD-ECMD-04, VTD-CAP-43, and without its flag
 * VTD-REG-38
 */
static void check_absent(struct gw *w)
{
	static const unsigned int offsets[] = {
		0x058,           VTD_REG_PMEN,       VTD_REG_PLMBASE,     VTD_REG_PLMLIMIT,
		VTD_REG_PHMBASE, VTD_REG_PHMLIMIT,   VTD_REG_IRTA,        VTD_REG_MTRRCAP,
		VTD_REG_MTRRDEF, VTD_REG_MTRRFIX64K, VTD_REG_MTRRFIX16K,  VTD_REG_MTRRFIX4K,
		VTD_REG_MTRRVAR, VTD_REG_PERFCAP,    VTD_REG_PERFINTRCTL, VTD_REG_PERFEVNTCAP,
		VTD_REG_ECMD,    VTD_REG_ECEO,       VTD_REG_ECRSP,       VTD_REG_ECSTS,
		VTD_REG_ECCAP0,  VTD_REG_ECCAP3,     VTD_REG_RDTC,        VTD_REG_VCMD,
		VTD_REG_VCMD_EO, VTD_REG_VCRSP,      VTD_REG_VCCAP,
	};
	unsigned int i;

	/*
	 * Nor their faults: VTD-FLT-122, VTD-FLT-123, VTD-FLT-154, VTD-FLT-179, VTD-FLT-180,
	 * VTD-FLT-182, VTD-FLT-183, VTD-FLT-184. (Those of interrupt remapping: intremap.c.)
	 */
	/* VTD-CAP-21, VTD-CAP-24, VTD-CAP-16, VTD-CAP-34, VTD-CAP-42, VTD-CAP-45, VTD-CAP-50 */
	assert_int_equal(w->ecap & (VTD_MASK(VTD_ECAP_MTS) | VTD_MASK(VTD_ECAP_PMS) |
				    VTD_MASK(VTD_ECAP_VCS) | VTD_MASK(VTD_ECAP_RDTS) |
				    VTD_MASK(VTD_ECAP_IR) | VTD_MASK(VTD_ECAP_EIM) |
				    VTD_MASK(VTD_ECAP_MHMV) | VTD_MASK(VTD_ECAP_DIT) |
				    VTD_MASK(VTD_ECAP_TDXCS) | VTD_MASK(VTD_ECAP_RPRIVS) |
				    VTD_MASK(VTD_ECAP_EIMER) | VTD_MASK(VTD_ECAP_IRREQ) |
				    VTD_MASK(VTD_ECAP_HPTS) | VTD_MASK(VTD_ECAP_PTRS)),
			 0);
	assert_int_equal(w->cap & (VTD_MASK(VTD_CAP_PLMR) | VTD_MASK(VTD_CAP_PHMR) |
				   VTD_MASK(VTD_CAP_ECMDS) | VTD_MASK(VTD_CAP_PI) |
				   VTD_MASK(VTD_CAP_RWBF)),
			 0);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		gw_wr32(w, offsets[i], ~0u);
		assert_int_equal(gw_rd32(w, offsets[i]), 0);
	}
}

static void what_is_not_announced_reads_0(void **state)
{
	(void)state;
	each_profile(check_absent);
}

/* VTD-REG-39, VTD-REG-40, VTD-REG-41 */
static void invalidation_registers_and_records_move_as_the_capabilities_say(void **state)
{
	struct gw_config c = { .profile = VIOMMU_PROFILE_SVA };
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	assert_int_equal(viommu_guest_profile(VIOMMU_PROFILE_SVA, 0, NULL, &c.cap, &c.ecap, NULL),
			 0);
	c.cap = (c.cap & ~(VTD_MASK(VTD_CAP_FRO) | VTD_MASK(VTD_CAP_NFR))) |
		VTD_VAL(VTD_CAP_FRO, 0x60) | VTD_VAL(VTD_CAP_NFR, 1);
	c.ecap = (c.ecap & ~VTD_MASK(VTD_ECAP_IRO)) | VTD_VAL(VTD_ECAP_IRO, 0x50);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	check_reset_values(&w);
	check_writes(&w);
	gw_start(&w);
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_PDIR_NP));
	assert_int_equal(VTD_FIELD(gw_rd64(&w, 0x608) >> 32, VTD_EVCTL_IM), 1); /* F */
	gw_wr64(&w, 0x508, VTD_MASK(VTD_IOTLB_IVT) | VTD_VAL(VTD_IOTLB_IIRG, VTD_RINV_GLOBAL));
	assert_int_equal(gw_rd64(&w, 0x508) & VTD_MASK(VTD_IOTLB_IVT), 0);
	gw_close(&w);
}

/* ---- Events ---- */

/* One of the three, by way of a condition that the test makes. */
struct event {
	unsigned int ctl;
	void (*make)(struct gw *w);
	void (*clear)(struct gw *w);
};

static void fault_make(struct gw *w)
{
	assert_true(gw_faults(w, 0, 5, GW_VA, VTD_FR_PDIR_NP));
}

static void fault_clear(struct gw *w)
{
	unsigned int i;

	for (i = 0; i <= VTD_FIELD(w->cap, VTD_CAP_NFR); i++)
		gw_wr32(w, gw_frcd(w, i) + 12, 1u << 31);
	gw_wr32(w, VTD_REG_FSTS, ~0u);
}

static void wait_make(struct gw *w)
{
	gw_submit(w, VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_MASK(VTD_IQ_WAIT_IF), 0);
}

static void wait_clear(struct gw *w)
{
	gw_wr32(w, VTD_REG_ICS, 1);
}

static void page_make(struct gw *w)
{
	const struct viommu_page_request req = {
		.prgi = 3,
		.flags = VIOMMU_PAGE_REQUEST_LAST | VIOMMU_PAGE_REQUEST_PASID,
		.pasid = 8,
		.access = VIOMMU_READ,
		.addr = GW_VA,
	};

	viommu_guest_page_request(w->guest, w->dev[1], &req);
}

static void page_clear(struct gw *w)
{
	gw_wr32(w, VTD_REG_PRS, 3);
}

static const struct event events[] = {
	{ VTD_REG_FECTL, fault_make, fault_clear },
	{ VTD_REG_IECTL, wait_make, wait_clear },
	{ VTD_REG_PECTL, page_make, page_clear },
};

#define IM (1u << 31)
#define IP (1u << 30)

static void events_open(struct gw *w)
{
	struct gw_process p;

	gw_open(w, NULL);
	gw_start(w);
	gw_process(w, &p, 4, 1);
	gw_pe_fs(gw_pe(w, GW_SID(1), 8), &p.fs, 1);
}

/* VTD-EVT-03, VTD-EVT-04, VTD-EVT-05, VTD-EVT-06, VTD-FEVT-03, VTD-QORD-06, VTD-PRQ-11 */
static void an_unmasked_condition_sends_its_message(void **state)
{
	unsigned int i;
	struct gw w;

	(void)state;
	events_open(&w);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		const struct event *e = &events[i];

		gw_wr32(&w, e->ctl + 4, 0x130 + i);
		gw_wr32(&w, e->ctl + 8, 0xfee0100c);
		gw_wr32(&w, e->ctl + 12, 0x00000200);
		gw_wr32(&w, e->ctl, 0);
		assert_int_equal(w.messages, i);
		e->make(&w);
		assert_int_equal(w.messages, i + 1);
		assert_int_equal(w.message[i].data, 0x130 + i);
		assert_int_equal(w.message[i].addr, 0x00000200fee0100c);
		assert_int_equal(gw_rd32(&w, e->ctl), 0);
	}
	gw_close(&w);
}

/* VTD-EVT-07, VTD-EVT-08 */
static void a_masked_condition_is_pending_and_sent_at_unmasking(void **state)
{
	unsigned int i;
	struct gw w;

	(void)state;
	events_open(&w);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		const struct event *e = &events[i];

		gw_wr32(&w, e->ctl + 8, 0xfee00000);
		assert_int_equal(gw_rd32(&w, e->ctl), IM);
		e->make(&w);
		assert_int_equal(w.messages, i);
		assert_int_equal(gw_rd32(&w, e->ctl), IM | IP);
		gw_wr32(&w, e->ctl, IM); /* IP is not software's to write */
		assert_int_equal(gw_rd32(&w, e->ctl), IM | IP);
		gw_wr32(&w, e->ctl, 0);
		assert_int_equal(w.messages, i + 1);
		assert_int_equal(gw_rd32(&w, e->ctl), 0);
		gw_wr32(&w, e->ctl, IM);
		gw_wr32(&w, e->ctl, 0);
		assert_int_equal(w.messages, i + 1);
	}
	gw_close(&w);
}

/* VTD-EVT-09, VTD-FEVT-04, VTD-QORD-07, VTD-FEVT-02, VTD-QORD-05, VTD-PRQ-11 */
static void a_pending_message_goes_with_its_cause_and_comes_once(void **state)
{
	unsigned int i;
	struct gw w;

	(void)state;
	events_open(&w);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		const struct event *e = &events[i];

		e->make(&w);
		assert_int_equal(gw_rd32(&w, e->ctl), IM | IP);
		e->clear(&w);
		assert_int_equal(gw_rd32(&w, e->ctl), IM);
		gw_wr32(&w, e->ctl, 0);
		assert_int_equal(w.messages, i);
		e->make(&w);
		e->make(&w); /* the status bit is still set: no second message */
		assert_int_equal(w.messages, i + 1);
		e->clear(&w);
	}
	gw_close(&w);
}

static void without_a_message_callback_events_are_lost_quietly(void **state)
{
	struct viommu_guest_config gc = { .size = sizeof(gc) };
	struct gw w;

	(void)state;
	gw_open_host(&w, &(struct gw_config){ 0 });
	assert_int_equal(viommu_guest_new(&gc, w.dom, w.mem, &w.guest), 0);
	w.cap = gw_rd64(&w, VTD_REG_CAP);
	gw_iq_setup(&w, 32, 0);
	gw_wr32(&w, VTD_REG_IECTL, 0);
	wait_make(&w);
	assert_int_equal(gw_rd32(&w, VTD_REG_ICS), 1);
	gw_close(&w);
}

/* ---- Reset ---- */

static void dirty(struct gw *w)
{
	fault_make(w);
	wait_make(w);
	page_make(w);
	gw_put(w, 0xf, 0);
	gw_kick(w); /* a queue error, too */
	assert_true(gw_rd32(w, VTD_REG_FSTS) & VTD_MASK(VTD_FSTS_IQE));
}

/* VTD-REG-08 */
static void reset_is_power_on(void **state)
{
	struct viommu_guest_shadow sh;
	struct gw w;

	(void)state;
	events_open(&w);
	assert_true(gw_sees(&w, 1, 8, GW_VA, 1));
	dirty(&w);
	viommu_guest_reset(w.guest);
	check_reset_values(&w);
	/* No bind is left; devices have the VM's memory again. */
	assert_int_equal(viommu_guest_shadows(w.guest, GW_SID(1), (struct viommu_gp){ 8 }, &sh, 1),
			 1);
	assert_int_equal(sh.gp.v, VIOMMU_NO_PASID);
	assert_int_equal(sh.pgtt, 0);
	gw_ptr(&w, w.status)[1] = 77;
	assert_true(gw_sees(&w, 1, VIOMMU_NO_PASID, w.status + 8, 77));
	gw_close(&w);
}

/* VTD-REG-07, VTD-REG-27, VTD-REG-28, VTD-REG-32 */
static void a_warm_reset_keeps_sticky_bits(void **state)
{
	uint64_t lo, hi;
	uint32_t fsts;
	struct gw w;

	(void)state;
	events_open(&w);
	dirty(&w);
	fsts = gw_rd32(&w, VTD_REG_FSTS);
	lo = gw_rd64(&w, gw_frcd(&w, 0));
	hi = gw_rd64(&w, gw_frcd(&w, 0) + 8);
	assert_true(hi >> 63);
	viommu_guest_warm_reset(w.guest);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), fsts);
	assert_int_equal(gw_rd64(&w, gw_frcd(&w, 0)), lo);
	assert_int_equal(gw_rd64(&w, gw_frcd(&w, 0) + 8), hi);
	assert_int_equal(gw_rd32(&w, VTD_REG_ICS), 1);
	assert_int_equal(gw_rd32(&w, VTD_REG_PRS), 1);
	assert_int_equal(VTD_FIELD(gw_rd64(&w, VTD_REG_IQERCD), VTD_IQERCD_IQEI), VTD_IQEI_TYPE);
	/* The rest is as after power-on. */
	assert_int_equal(gw_rd32(&w, VTD_REG_GSTS), 0);
	assert_int_equal(gw_rd64(&w, VTD_REG_RTADDR), 0);
	assert_int_equal(gw_rd32(&w, VTD_REG_FECTL), IM);
	assert_int_equal(gw_rd64(&w, VTD_REG_PQA), 0);
	/* And can be cleared. */
	fault_clear(&w);
	gw_wr32(&w, VTD_REG_ICS, 1);
	gw_wr32(&w, VTD_REG_PRS, 3);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS) & (uint32_t)VTD_FSTS_EVENTS, 0);
	assert_int_equal(gw_rd32(&w, VTD_REG_ICS), 0);
	assert_int_equal(gw_rd32(&w, VTD_REG_PRS), 0);
	gw_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(registers_sit_where_the_map_says_with_their_reset_values),
	cmocka_unit_test(writes_take_what_is_writable_and_nothing_else),
	cmocka_unit_test(qwords_may_be_written_in_halves_and_pairs_of_dwords_as_one),
	cmocka_unit_test(other_sizes_and_places_read_0_and_write_nothing),
	cmocka_unit_test(what_is_not_announced_reads_0),
	cmocka_unit_test(invalidation_registers_and_records_move_as_the_capabilities_say),
	cmocka_unit_test(an_unmasked_condition_sends_its_message),
	cmocka_unit_test(a_masked_condition_is_pending_and_sent_at_unmasking),
	cmocka_unit_test(a_pending_message_goes_with_its_cause_and_comes_once),
	cmocka_unit_test(without_a_message_callback_events_are_lost_quietly),
	cmocka_unit_test(reset_is_power_on),
	cmocka_unit_test(a_warm_reset_keeps_sticky_bits),
};
TEST_MAIN(tests)
