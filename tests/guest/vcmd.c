/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual commands, in both layouts: registers, PASIDs allocated and freed, every error, what
 * becomes of those that were bound.
 */
#include "base/atomic.h"
#include "base/alloc.h"
#include "guest/world.h"

#define FIRST 0x1000u
#define VCMD  (VIOMMU_GUEST_CM | VIOMMU_GUEST_VCMD)
#define NEW   0
#define OLD   1

/* By hand, not from the tables under test. */
static const struct {
	unsigned int cap, cmd, rsp, shift;
	uint64_t cap_value;
	unsigned int undefined, none;
	uint32_t flags;
} layouts[] = {
	[NEW] = { 0xe30, 0xe00, 0xe10, 16, 7, 1, 16, VCMD },
	[OLD] = { 0xe00, 0xe10, 0xe20, 8, 1, 1, 2, VCMD | VIOMMU_GUEST_VCMD_OLD },
};

static void vc_open(struct gw *w, unsigned int layout, uint32_t last, uint32_t quota)
{
	const struct gw_config c = { .flags = layouts[layout].flags,
				     .pasid_min = FIRST,
				     .pasid_max = last,
				     .pasid_quota = quota };

	gw_open(w, &c);
	gw_start(w);
}

/* The status; *pasid: the result. IP is never seen. */
static unsigned int command(struct gw *w, unsigned int layout, unsigned int code, uint64_t operand,
			    uint32_t *pasid)
{
	uint64_t v;

	gw_wr64(w, layouts[layout].cmd, operand << layouts[layout].shift | code);
	v = gw_rd64(w, layouts[layout].rsp);
	assert_int_equal(v & 1, 0);
	if (pasid)
		*pasid = (uint32_t)(v >> layouts[layout].shift);
	else
		assert_int_equal(v >> layouts[layout].shift, 0);
	return (unsigned int)(layout == OLD ? v >> 1 & 3 : v >> 1 & 0x7f);
}

static uint32_t alloc(struct gw *w, unsigned int layout)
{
	uint32_t pasid;

	assert_int_equal(command(w, layout, 1, 0, &pasid), 0);
	assert_int_not_equal(pasid, 0);
	return pasid;
}

static unsigned int give(struct gw *w, unsigned int layout, uint64_t pasid)
{
	return command(w, layout, 2, pasid, NULL);
}

static void none_left(struct gw *w, unsigned int layout)
{
	uint32_t pasid;

	assert_int_equal(command(w, layout, 1, 0, &pasid), layouts[layout].none);
	assert_int_equal(pasid, 0);
}

static uint32_t owned(struct gw *w)
{
	return viommu_owner_count(viommu_domain_owner(w->dom));
}

static struct viommu_guest_stats stats(struct gw *w)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(w->guest, &s);
	return s;
}

static void bind(struct gw *w, unsigned int dev, struct gw_process *p, uint32_t pasid)
{
	gw_pe_fs(gw_pe(w, GW_SID(dev), pasid), &p->fs, 1);
	assert_true(gw_do(w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, pasid), 0));
}

static void unbind(struct gw *w, unsigned int dev, uint32_t pasid)
{
	gw_pe(w, GW_SID(dev), pasid)[0] = 0;
	assert_true(gw_do(w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, pasid), 0));
}

static void each_layout(void (*check)(unsigned int layout))
{
	check(NEW);
	check(OLD);
}

/* ---- Registers ---- */

/* VTD-CAP-37, VTD-REG-38, VTD-VCMD-03, VTD-VCMD-06 */
static void check_registers(unsigned int layout)
{
	unsigned int at;
	struct gw w;

	vc_open(&w, layout, FIRST + 10, 0);
	assert_int_equal(w.ecap >> 44 & 1, 1);
	for (at = 0xe00; at < 0xe40; at += 8)
		assert_int_equal(gw_rd64(&w, at),
				 at == layouts[layout].cap ? layouts[layout].cap_value : 0);
	for (at = 0xe00; at < 0xe40; at += 8)
		gw_wr64(&w, at, ~UINT64_C(0));
	for (at = 0xe00; at < 0xe40; at += 8) {
		bool there = at == layouts[layout].cmd || at == layouts[layout].rsp ||
			     (layout == NEW && at == 0xe08);

		if (!there)
			assert_int_equal(gw_rd64(&w, at),
					 at == layouts[layout].cap ? layouts[layout].cap_value : 0);
	}
	/* All ones were an undefined command: the answer is in its place, the command readable. */
	assert_int_equal(gw_rd64(&w, layouts[layout].rsp), layouts[layout].undefined << 1);
	assert_int_equal(gw_rd64(&w, layouts[layout].cmd) & 0xff, 0xff);
	viommu_guest_warm_reset(w.guest);
	assert_int_equal(gw_rd64(&w, layouts[layout].cmd), 0);
	assert_int_equal(gw_rd64(&w, layouts[layout].rsp), 0);
	assert_int_equal(gw_rd64(&w, layouts[layout].cap), layouts[layout].cap_value);
	gw_close(&w);
}

static void registers_stand_where_the_layout_says(void **state)
{
	(void)state;
	each_layout(check_registers);
}

/* VTD-VCMD-04, VTD-REG-03: as a kernel of 32 bits writes it. */
static void check_halves(unsigned int layout)
{
	const unsigned int at = layouts[layout].cmd;
	uint64_t before;
	struct gw w;
	uint32_t id;

	vc_open(&w, layout, FIRST + 10, 0);
	id = alloc(&w, layout);
	before = gw_rd64(&w, layouts[layout].rsp);
	gw_wr32(&w, at, (uint32_t)((uint64_t)id << layouts[layout].shift) | 2);
	assert_int_equal(gw_rd64(&w, layouts[layout].rsp), before);
	assert_int_equal(owned(&w), 1);
	gw_wr32(&w, at + 4, (uint32_t)((uint64_t)id << layouts[layout].shift >> 32));
	assert_int_equal(gw_rd64(&w, layouts[layout].rsp), 0);
	assert_int_equal(owned(&w), 0);
	gw_close(&w);
}

static void the_upper_half_starts_the_command(void **state)
{
	(void)state;
	each_layout(check_halves);
}

/* VTD-CAP-37 */
static void what_does_not_go_together_is_refused(void **state)
{
	static const struct {
		uint32_t profile, flags;
		int err;
	} tries[] = {
		{ VIOMMU_PROFILE_SVA, VIOMMU_GUEST_VCMD, 0 },
		{ VIOMMU_PROFILE_HOST, VIOMMU_GUEST_VCMD | VIOMMU_GUEST_VCMD_OLD, 0 },
		{ VIOMMU_PROFILE_SVA, VIOMMU_GUEST_VCMD_OLD, -EINVAL },
		{ VIOMMU_PROFILE_SVA, VIOMMU_GUEST_VCMD | VIOMMU_GUEST_HOST_PASIDS, -EINVAL },
		{ VIOMMU_PROFILE_LEGACY, VIOMMU_GUEST_VCMD, -EINVAL }, /* no PASIDs */
	};
	struct gw_config c = { 0 };
	unsigned int i;
	struct gw w;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		c = (struct gw_config){ .profile = tries[i].profile, .flags = tries[i].flags };
		gw_open_host(&w, &c);
		assert_int_equal(gw_open_unit(&w, &c), tries[i].err);
		gw_close(&w);
	}
	/* With capabilities of the caller's the flag adds the bit. */
	c = (struct gw_config){ .flags = VIOMMU_GUEST_VCMD };
	gw_open_host(&w, &c);
	assert_int_equal(viommu_guest_profile(0, 0, NULL, &c.cap, &c.ecap, NULL), 0);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	assert_int_equal(w.ecap >> 44 & 1, 1);
	gw_close(&w);
}

/* ---- Commands ---- */

/* VTD-VCMD-01, VTD-VCMD-02 */
static void check_life(unsigned int layout)
{
	struct gw w;
	uint32_t i;

	vc_open(&w, layout, FIRST + 10, 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(alloc(&w, layout), FIRST + i);
	assert_int_equal(owned(&w), 3);
	assert_int_equal(stats(&w).pasids_given, 3);
	assert_int_equal(give(&w, layout, FIRST + 1), 0);
	assert_int_equal(owned(&w), 2);
	/* An operand means nothing to an allocation. */
	assert_int_equal(command(&w, layout, 1, 77, &i), 0);
	assert_int_equal(i, FIRST + 1);
	assert_int_equal(stats(&w).virtual_commands, 5);
	/* Nothing, and no such thing. */
	assert_int_equal(command(&w, layout, 0, FIRST, NULL), 0);
	for (i = 3; i < 256; i++)
		assert_int_equal(command(&w, layout, i, FIRST, NULL), layouts[layout].undefined);
	assert_int_equal(owned(&w), 3);
	viommu_guest_reset(w.guest);
	assert_int_equal(owned(&w), 0);
	assert_int_equal(stats(&w).pasids_given, 0);
	assert_int_equal(give(&w, layout, FIRST), layouts[layout].none);
	assert_int_equal(alloc(&w, layout), FIRST);
	viommu_guest_warm_reset(w.guest);
	assert_int_equal(owned(&w), 0);
	gw_close(&w);
}

static void pasids_are_allocated_and_freed(void **state)
{
	(void)state;
	each_layout(check_life);
}

static void check_errors(unsigned int layout)
{
	const unsigned int none = layouts[layout].none;
	struct viommu_domain *other;
	struct viommu_owner *theirs;
	struct gw_process p;
	struct viommu_hp hp;
	struct gw w;
	uint32_t id;

	vc_open(&w, layout, FIRST + 10, 0);
	gw_process(&w, &p, 4, 1);
	id = alloc(&w, layout);
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &other), 0);
	theirs = viommu_domain_owner(other);
	assert_int_equal(viommu_pasid_alloc(theirs, 1, VIOMMU_PASID_MAX, &hp), 0);
	/* Another VM's, nobody's, none. */
	assert_int_equal(give(&w, layout, hp.v), none);
	assert_int_equal(viommu_owner_count(theirs), 1);
	assert_int_equal(give(&w, layout, FIRST + 5), none);
	assert_int_equal(give(&w, layout, 0), none);
	assert_int_equal(give(&w, layout, VIOMMU_PASID_MAX), none);
	/* More than a PASID has bits. */
	assert_int_equal(give(&w, layout, id | 1u << 20), none);
	assert_int_equal(give(&w, layout, id | UINT64_C(1) << 47), none);
	assert_int_equal(owned(&w), 1);
	/* Bound: it stays, and goes on. */
	bind(&w, 0, &p, id);
	assert_int_equal(give(&w, layout, id), none);
	assert_true(gw_sees(&w, 0, id, GW_VA, 1));
	unbind(&w, 0, id);
	assert_int_equal(give(&w, layout, id), 0);
	assert_int_equal(give(&w, layout, id), none);
	assert_int_equal(owned(&w), 0);
	/* The other's is not what an allocation finds. */
	assert_int_not_equal(alloc(&w, layout), hp.v);
	/* The VMM's own, of the same VM. */
	hp.v = id + 7;
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(w.dom), hp), 0);
	assert_int_equal(give(&w, layout, id + 7), none);
	assert_int_equal(owned(&w), 2);
	gw_close(&w);
}

static void what_is_not_the_guests_or_is_bound_is_not_freed(void **state)
{
	(void)state;
	each_layout(check_errors);
}

static void check_exhaustion(unsigned int layout)
{
	unsigned int by_quota, i;
	struct gw w;

	for (by_quota = 0; by_quota < 2; by_quota++) {
		vc_open(&w, layout, by_quota ? FIRST + 10 : FIRST + 1, by_quota ? 2 : 0);
		assert_int_equal(alloc(&w, layout), FIRST);
		assert_int_equal(alloc(&w, layout), FIRST + 1);
		for (i = 0; i < 3; i++)
			none_left(&w, layout);
		assert_int_equal(give(&w, layout, FIRST), 0);
		assert_int_equal(alloc(&w, layout), FIRST);
		none_left(&w, layout);
		assert_int_equal(owned(&w), 2);
		assert_int_equal(stats(&w).pasids_reclaimed, 0);
		gw_close(&w);
	}
}

static void an_allocation_beyond_range_or_quota_fails(void **state)
{
	(void)state;
	each_layout(check_exhaustion);
}

/* No more than ECAP.PSS lets the tables name. */
static void allocations_fit_the_guests_pasids(void **state)
{
	struct gw_config c = { .flags = VCMD };
	unsigned int i;
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	assert_int_equal(viommu_guest_profile(0, VCMD, NULL, &c.cap, &c.ecap, NULL), 0);
	c.ecap = (c.ecap & ~VTD_MASK(VTD_ECAP_PSS)) | VTD_VAL(VTD_ECAP_PSS, 5);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	for (i = 1; i < 64; i++)
		assert_int_equal(alloc(&w, NEW), i);
	none_left(&w, NEW);
	gw_close(&w);
}

/* ---- Binds ---- */

static void check_bind(unsigned int layout)
{
	struct viommu_hp hp = { 0 };
	struct viommu_gp gp;
	struct gw_process p;
	uint64_t rec[2], v;
	struct gw w;
	uint32_t id;

	vc_open(&w, layout, FIRST + 10, 0);
	gw_process(&w, &p, 4, 1);
	id = alloc(&w, layout);
	w.traps = 0;
	bind(&w, 0, &p, id + 1);
	assert_int_equal(w.traps, 1);
	assert_int_equal(w.trap[0].kind, VIOMMU_TRAP_REFUSED);
	assert_int_equal(w.trap[0].error, -EPERM);
	assert_int_equal(owned(&w), 1);
	/* Nor does a device model get it, or a device that sends it all the same. */
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ id + 1 }, &hp),
			 -EPERM);
	assert_int_equal(viommu_guest_pasid_to_guest(w.guest, (struct viommu_hp){ id + 1 }, &gp),
			 -ENOENT);
	assert_int_equal(gw_read(&w, 0, id + 1, GW_VA, &v), VIOMMU_FAULTED);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), 0);
	/* What was given is the same number on both sides. */
	bind(&w, 0, &p, id);
	assert_int_equal(w.trap[1].kind, VIOMMU_TRAP_BIND);
	assert_int_equal(w.trap[1].gp.v, id);
	assert_int_equal(w.trap[1].hp.v, id);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ id }, &hp), 0);
	assert_int_equal(hp.v, id);
	assert_true(gw_sees(&w, 0, id, GW_VA, 1));
	assert_int_equal(gw_read(&w, 0, id, GW_VA + 4096, &v), VIOMMU_FAULTED);
	rec[0] = gw_rd64(&w, gw_frcd(&w, 0));
	rec[1] = gw_rd64(&w, gw_frcd(&w, 0) + 8);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PASID), id);
	/* Requests without PASID need none. */
	gw_pe_fs(gw_pe(&w, GW_SID(1), 0), &p.fs, 1);
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 0), 0));
	assert_true(gw_sees(&w, 1, VIOMMU_NO_PASID, GW_VA, 1));
	/* Freed while its entry is there, though not bound: the next look refuses it. */
	unbind(&w, 0, id);
	gw_pe_fs(gw_pe(&w, GW_SID(0), id), &p.fs, 1);
	assert_int_equal(give(&w, layout, id), 0);
	assert_int_equal(gw_read(&w, 0, id, GW_VA, &v), VIOMMU_FAULTED);
	gw_close(&w);
}

static void a_pasid_that_was_not_given_does_not_bind(void **state)
{
	(void)state;
	each_layout(check_bind);
}

/* For kernels that never send the free command. */
static void check_reclaim(unsigned int layout)
{
	struct gw_process p;
	uint32_t id[4], i;
	struct gw w;

	vc_open(&w, layout, FIRST + 3, 0);
	gw_process(&w, &p, 4, 1);
	for (i = 0; i < 4; i++)
		id[i] = alloc(&w, layout);
	/* 0: never bound; 1, 2: bound and ended; 3: bound on two devices, ended on one. */
	for (i = 1; i < 4; i++)
		bind(&w, 0, &p, id[i]);
	bind(&w, 1, &p, id[3]);
	none_left(&w, layout);
	for (i = 1; i < 4; i++)
		unbind(&w, 0, id[i]);
	assert_int_equal(owned(&w), 4); /* the guest's as long as it asks for no other */
	/* Each in its turn, so that a process has time to bind its own again. */
	assert_int_equal(alloc(&w, layout), id[1]);
	bind(&w, 0, &p, id[1]);
	unbind(&w, 0, id[1]);
	assert_int_equal(alloc(&w, layout), id[2]);
	bind(&w, 0, &p, id[2]);
	assert_int_equal(alloc(&w, layout), id[1]);
	bind(&w, 0, &p, id[1]);
	none_left(&w, layout);
	assert_true(gw_sees(&w, 1, id[3], GW_VA, 1));
	unbind(&w, 1, id[3]);
	/* Bound again in time: it is not taken. */
	bind(&w, 2, &p, id[3]);
	none_left(&w, layout);
	assert_int_equal(stats(&w).pasids_reclaimed, 3);
	assert_int_equal(stats(&w).pasids_given, 4);
	/* The device goes, and its binds with it. */
	assert_int_equal(viommu_guest_remove_device(w.guest, w.dev[2]), 0);
	assert_int_equal(alloc(&w, layout), id[3]);
	/* A freed one is idle no more. */
	bind(&w, 0, &p, id[0]);
	unbind(&w, 0, id[0]);
	assert_int_equal(give(&w, layout, id[0]), 0);
	assert_int_equal(alloc(&w, layout), id[0]);
	none_left(&w, layout);
	gw_close(&w);
}

static void what_was_bound_is_reclaimed_when_none_is_left(void **state)
{
	(void)state;
	each_layout(check_reclaim);
}

/* A kernel that finds the number in use throws it away without a word. */
static void check_given_again(unsigned int layout)
{
	struct gw_process p;
	uint32_t id[3], i;
	struct gw w;

	vc_open(&w, layout, FIRST + 2, 0);
	gw_process(&w, &p, 4, 1);
	for (i = 0; i < 3; i++)
		id[i] = alloc(&w, layout);
	/* 0 is never bound; a bind of 1 and one of 2 have ended. */
	for (i = 1; i < 3; i++) {
		bind(&w, 0, &p, id[i]);
		unbind(&w, 0, id[i]);
	}
	assert_int_equal(alloc(&w, layout), id[1]);
	assert_int_equal(alloc(&w, layout), id[2]);
	/* One has been bound by now, the other was thrown away; one that was given once stays. */
	none_left(&w, layout);
	bind(&w, 0, &p, id[1]);
	assert_int_equal(alloc(&w, layout), id[2]);
	none_left(&w, layout);
	assert_int_equal(alloc(&w, layout), id[2]);
	assert_true(gw_sees(&w, 0, id[1], GW_VA, 1));
	/* Given by a free and not by force: it is the guest's to keep. */
	assert_int_equal(give(&w, layout, id[2]), 0);
	assert_int_equal(alloc(&w, layout), id[2]);
	none_left(&w, layout);
	none_left(&w, layout);
	/* And a bound one is as idle as any when its bind ends. */
	unbind(&w, 0, id[1]);
	assert_int_equal(alloc(&w, layout), id[1]);
	assert_int_equal(stats(&w).pasids_given, 3);
	gw_close(&w);
}

static void what_was_given_anew_and_thrown_away_is_not_lost(void **state)
{
	(void)state;
	each_layout(check_given_again);
}

static void check_reset(unsigned int layout)
{
	struct gw_process p;
	struct gw w;
	uint32_t i;

	vc_open(&w, layout, FIRST + 3, 0);
	gw_process(&w, &p, 4, 1);
	for (i = 0; i < 4; i++)
		bind(&w, i & 1, &p, alloc(&w, layout));
	viommu_guest_reset(w.guest);
	assert_int_equal(owned(&w), 0);
	assert_int_equal(stats(&w).bound, GW_DEVICES); /* without PASID */
	gw_start(&w);
	for (i = 0; i < 4; i++)
		assert_int_equal(alloc(&w, layout), FIRST + i);
	none_left(&w, layout); /* nothing is idle from before */
	gw_close(&w);
}

static void a_reset_ends_binds_and_takes_their_pasids_back(void **state)
{
	(void)state;
	each_layout(check_reset);
}

/* ---- Others at the same time, and no memory ---- */

#define ROUNDS 300u

struct race {
	struct gw w;
	uint64_t stop;
	uint64_t busy; /* answers with IP */
};

static void *allocate_and_ask(void *arg)
{
	struct race *r = arg;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++)
		gw_wr64(&r->w, 0xe00, i % 3 ? 1 : 0);
	return NULL;
}

static void *look(void *arg)
{
	struct race *r = arg;

	do {
		if (gw_rd64(&r->w, 0xe10) & 1)
			fetch_add(&r->busy, 1);
	} while (!load_acquire(&r->stop));
	return NULL;
}

/* VTD-VCMD-04, VTD-VCMD-05: who writes second does so after the first has its answer. */
static void nobody_sees_a_command_in_progress(void **state)
{
	pthread_t writer[2], reader;
	struct race r = { 0 };
	unsigned int i;

	(void)state;
	vc_open(&r.w, NEW, VIOMMU_PASID_MAX, 0);
	assert_int_equal(pthread_create(&reader, NULL, look, &r), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, allocate_and_ask, &r), 0);
	for (i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	store_release(&r.stop, 1);
	pthread_join(reader, NULL);
	assert_int_equal(r.busy, 0);
	assert_int_equal(owned(&r.w), 2 * ROUNDS / 3 * 2);
	assert_int_equal(stats(&r.w).pasids_given, 2 * ROUNDS / 3 * 2);
	assert_int_equal(stats(&r.w).virtual_commands, 2 * ROUNDS);
	gw_close(&r.w);
}

static void an_allocation_without_memory_takes_no_pasid(void **state)
{
	long n, live = viommu__alloc_live();
	unsigned int failed = 0;
	bool done;

	(void)state;
	for (n = 1;; n++) {
		uint32_t pasid;
		unsigned int sc;
		struct gw w;

		vc_open(&w, NEW, FIRST + 10, 0);
		viommu__alloc_fail_nth(n);
		sc = command(&w, NEW, 1, 0, &pasid);
		done = !viommu__alloc_fail_done();
		assert_int_equal(sc, done ? 0 : 16);
		assert_int_equal(owned(&w), done);
		failed += !done;
		assert_int_equal(alloc(&w, NEW), FIRST + done);
		gw_close(&w);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(failed >= 2);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(registers_stand_where_the_layout_says),
	cmocka_unit_test(the_upper_half_starts_the_command),
	cmocka_unit_test(what_does_not_go_together_is_refused),
	cmocka_unit_test(pasids_are_allocated_and_freed),
	cmocka_unit_test(what_is_not_the_guests_or_is_bound_is_not_freed),
	cmocka_unit_test(an_allocation_beyond_range_or_quota_fails),
	cmocka_unit_test(allocations_fit_the_guests_pasids),
	cmocka_unit_test(a_pasid_that_was_not_given_does_not_bind),
	cmocka_unit_test(what_was_bound_is_reclaimed_when_none_is_left),
	cmocka_unit_test(what_was_given_anew_and_thrown_away_is_not_lost),
	cmocka_unit_test(a_reset_ends_binds_and_takes_their_pasids_back),
	cmocka_unit_test(nobody_sees_a_command_in_progress),
	cmocka_unit_test(an_allocation_without_memory_takes_no_pasid),
};
TEST_MAIN(tests)
