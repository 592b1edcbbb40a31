/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages that are not there: who asks for them, what the answers do, what the record says of the
 * part that was done, and that software can go on from there.
 */
#include "dev/dsa_guest.h"

#define A_VA  (GUEST_VA + 0x10000)
#define B_VA  (GUEST_VA + 0x100000)
#define C_VA  (GUEST_VA + 0x200000)
#define PAGE  4096u
#define BYTES (5 * PAGE)

#define BOF DSA_FLAG_BOF

static struct rng rng;

static int seed(void **state)
{
	(void)state;
	rng_init(&rng, "dsa_faults");
	return 0;
}

static uint64_t page(uint64_t va)
{
	return va & ~4095ull;
}

static unsigned int swerror_code(struct guest *g)
{
	uint64_t v = guest_read64(g, 0xc0);

	return v & 1 ? (unsigned int)(v >> 8 & 0xff) : 0;
}

static void swerror_clear(struct guest *g)
{
	guest_write64(g, 0xc0, 3);
	assert_int_equal(guest_read64(g, 0xc0) & 3, 0);
}

/* ---- One missing page, every answer ---------------------------------------------------------- */

enum operand {
	SOURCE,
	DESTINATION
};

static void one_missing(struct guest *g, enum operand which, uint32_t flags,
			enum guest_answer answer, unsigned int want, unsigned int requests)
{
	struct desc d = desc_make(DSA_OP_MOVE, flags, A_VA + 100, B_VA + 100, 2 * PAGE);
	uint64_t gone = page(which == SOURCE ? A_VA + 100 + PAGE : B_VA + 100 + PAGE);
	unsigned int before = g->requests;
	struct record r;

	memset(guest_ptr(g, A_VA), 0x5a, 3 * PAGE);
	memset(guest_ptr(g, B_VA), 0, 3 * PAGE);
	g->answer = answer;
	guest_hide(g, gone);
	r = guest_do(g, &d);
	assert_int_equal(record_status(&r), want);
	assert_int_equal(g->requests - before, requests);
	if (want == DSA_ST_SUCCESS) {
		assert_int_equal(record_completed(&r), 0);
		assert_int_equal(r.w[1], 0);
	} else {
		assert_int_equal(record_completed(&r), PAGE - 100);
		assert_int_equal(page(r.w[1]), gone);
		assert_int_equal(r.w[0] >> 7 & 1, which == DESTINATION);
	}
	if (requests) {
		assert_int_equal(g->last.addr, gone);
		assert_int_equal(g->last.access, which == SOURCE ? VIOMMU_READ : VIOMMU_WRITE);
		assert_int_equal(g->last.gp.v, GUEST_GP);
	}
	guest_show(g, gone);
	viommu_device_pri_reset(g->w.dev);
	assert_int_equal(guest_read64(g, 0xc0), 0);
}

static void a_missing_page_is_asked_for_or_told(void **state)
{
	struct guest_config no_pri = { .no_pri = 1 }, never = { .dsa.no_pri = 1 };
	struct guest g;
	unsigned int which;

	(void)state;
	for (which = SOURCE; which <= DESTINATION; which++) {
		guest_open(&g, NULL);
		one_missing(&g, which, BOF, ANSWER_MAP, DSA_ST_SUCCESS, 1);
		one_missing(&g, which, BOF, ANSWER_INVALID, DSA_ST_PAGE_INVALID, 1);
		one_missing(&g, which, BOF, ANSWER_FAILURE, DSA_ST_TRANSLATION, 1);
		/* Asked again and again while nothing changes: that has an end. */
		one_missing(&g, which, BOF, ANSWER_NOTHING, DSA_ST_TRANSLATION, 16);
		one_missing(&g, which, 0, ANSWER_MAP, DSA_ST_PAGE_FAULT, 0);
		assert_int_equal(g.w.faults, 0); /* as a device with ATS: nothing is recorded */
		guest_close(&g);
		guest_open(&g, &no_pri);
		one_missing(&g, which, 0, ANSWER_MAP, DSA_ST_PAGE_FAULT, 0);
		guest_close(&g);
		guest_open(&g, &never);
		assert_int_equal(guest_read64(&g, 0x10) & 1, 0);
		assert_int_equal(guest_capability(&g, 0x13), 0);
		one_missing(&g, which, 0, ANSWER_MAP, DSA_ST_PAGE_FAULT, 0);
		guest_close(&g);
	}
}

static void after_response_failure_nothing_is_asked(void **state)
{
	struct desc d = desc_make(DSA_OP_MOVE, BOF, A_VA, B_VA, PAGE);
	struct guest g;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	guest_hide(&g, A_VA);
	g.answer = ANSWER_FAILURE;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_TRANSLATION);
	g.answer = ANSWER_MAP;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_TRANSLATION);
	assert_int_equal(g.requests, 1);
	guest_close(&g);
}

static void a_missing_permission_is_a_missing_page(void **state)
{
	struct desc d = desc_make(DSA_OP_FILL, 0, 0x77, B_VA, PAGE);
	struct guest g;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	guest_protect(&g, B_VA);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
	assert_int_equal(r.w[0] >> 7 & 1, 1);
	assert_int_equal(g.requests, 0);
	d = desc_make(DSA_OP_FILL, BOF, 0x77, B_VA, PAGE);
	g.answer = ANSWER_INVALID;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_INVALID);
	assert_int_equal(g.last.access, VIOMMU_WRITE);
	g.answer = ANSWER_MAP;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	guest_close(&g);
}

static void an_address_that_is_not_canonical_is_no_page(void **state)
{
	static const uint64_t bad[] = { 0x0000800000000000, 0xfffffffffffff000, 0x4000000000000000,
					0xffffffffffffffff };
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, NULL);
	g.answer = ANSWER_INVALID;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct desc d = desc_make(DSA_OP_MOVE, 0, bad[i], B_VA, 2 * PAGE);
		struct record r = guest_do(&g, &d);

		assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
		assert_int_equal(record_completed(&r), 0);
		assert_int_equal(page(r.w[1]), page(bad[i]));
		d = desc_make(DSA_OP_FILL, BOF, 0, bad[i], 2 * PAGE);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_PAGE_INVALID);
		/* An end that wraps, backwards. */
		d = desc_make(DSA_OP_MOVE, 0, 0xffffffffffffe000, bad[1], 3 * PAGE);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
		assert_int_equal(record_result(&r), 1);
	}
	guest_close(&g);
}

/* ---- Every operation, every page ------------------------------------------------------------- */

/*
 * Operations that want nothing but their bytes: with all operands' pages gone, software brings one
 * page after the other and submits the rest each time, as programs do.
 */
static void finish_by_hand(struct guest *g, struct desc d)
{
	unsigned int op = (unsigned int)(d.w[0] >> 56), tries;
	struct record r;

	for (tries = 0; tries < 200; tries++) {
		uint32_t done;

		r = guest_do(g, &d);
		if (record_status(&r) != DSA_ST_PAGE_FAULT)
			break;
		done = record_completed(&r);
		guest_show(g, r.w[1]);
		switch (op) {
		case DSA_OP_MOVE:
			if (record_result(&r))
				break;
			__attribute__((fallthrough));
		case DSA_OP_COMPARE:
		case DSA_OP_DUALCAST:
		case DSA_OP_COPY_CRC:
			d.w[2] += done;
			d.w[3] += done;
			break;
		case DSA_OP_FILL:
		case DSA_OP_CFLUSH:
			d.w[3] += done;
			break;
		case DSA_OP_COMPVAL:
		case DSA_OP_CRC:
			d.w[2] += done;
			break;
		default:
			break;
		}
		if (op == DSA_OP_DUALCAST)
			d.w[5] += done;
		if (op == DSA_OP_CRC || op == DSA_OP_COPY_CRC)
			d.w[5] = (uint32_t)r.w[2];
		d.w[4] -= done;
	}
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	assert_true(tries >= 4);
	assert_int_equal(g->requests, 0);
}

static void hide_all(struct guest *g, uint64_t va, uint32_t bytes)
{
	uint64_t at;

	for (at = page(va); at < va + bytes; at += PAGE)
		guest_hide(g, at);
}

static void show_all(struct guest *g)
{
	uint64_t i;

	for (i = 0; i < GUEST_PAGES; i++)
		guest_show(g, GUEST_VA + i * PAGE);
}

/* Runs d with all pages gone: by page requests, then by hand; check looks at memory. */
static void with_faults(struct guest *g, const struct desc *d, void (*prepare)(struct guest *g),
			void (*check)(struct guest *g), uint64_t b)
{
	struct desc blocking = *d;
	struct record r;

	blocking.w[0] |= (uint64_t)BOF << 32;
	prepare(g);
	hide_all(g, A_VA, BYTES + PAGE);
	hide_all(g, b, BYTES + PAGE);
	hide_all(g, C_VA, BYTES + PAGE);
	g->answer = ANSWER_MAP;
	g->requests = 0;
	r = guest_do(g, &blocking);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	assert_true(g->requests >= 5);
	check(g);

	show_all(g);
	prepare(g);
	hide_all(g, A_VA, BYTES + PAGE);
	hide_all(g, b, BYTES + PAGE);
	hide_all(g, C_VA, BYTES + PAGE);
	g->requests = 0;
	finish_by_hand(g, *d);
	check(g);
	show_all(g);
}

static uint8_t original[BYTES + PAGE];

static void prepare_copy(struct guest *g)
{
	rng_fill(&rng, original, sizeof(original));
	memcpy(guest_ptr(g, A_VA), original, sizeof(original));
	memset(guest_ptr(g, B_VA), 0, BYTES + PAGE);
	memset(guest_ptr(g, C_VA), 0, BYTES + PAGE);
}

static void check_copy(struct guest *g)
{
	assert_memory_equal(guest_ptr(g, B_VA + 24), original + 24, BYTES);
}

static void check_second(struct guest *g)
{
	check_copy(g);
	assert_memory_equal(guest_ptr(g, C_VA + 24), original + 24, BYTES);
}

static void check_overlap(struct guest *g)
{
	assert_memory_equal(guest_ptr(g, A_VA + 24 + 3000), original + 24, BYTES - 3000);
}

static void check_fill(struct guest *g)
{
	uint32_t i;

	for (i = 0; i < BYTES; i++)
		assert_int_equal(guest_ptr(g, B_VA + 24)[i], 1 + (i & 7));
}

static void prepare_same(struct guest *g)
{
	prepare_copy(g);
	memcpy(guest_ptr(g, B_VA), original, sizeof(original));
}

static void prepare_pattern(struct guest *g)
{
	memset(guest_ptr(g, A_VA), 0x44, BYTES + PAGE);
}

static void nothing(struct guest *g)
{
	(void)g;
}

static uint32_t crc;

static void check_crc(struct guest *g)
{
	struct record r;

	memcpy(&r, guest_ptr(g, GUEST_RECORD), 32);
	if (crc)
		assert_int_equal(crc, r.w[2]);
	crc = (uint32_t)r.w[2];
}

static void prepare_crc(struct guest *g)
{
	memset(guest_ptr(g, A_VA), 0x44, BYTES + PAGE);
	memset(guest_ptr(g, B_VA), 0, BYTES + PAGE);
}

static void every_operation_goes_on_where_a_page_was_missing(void **state)
{
	const uint64_t a = A_VA + 24, b = B_VA + 24;
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, NULL);
	d = desc_make(DSA_OP_MOVE, 0, a, b, BYTES);
	with_faults(&g, &d, prepare_copy, check_copy, B_VA);
	d = desc_make(DSA_OP_MOVE, 0, a, a + 3000, BYTES - 3000);
	with_faults(&g, &d, prepare_copy, check_overlap, B_VA);
	d = desc_make(DSA_OP_FILL, 0, 0x0807060504030201, b, BYTES);
	with_faults(&g, &d, nothing, check_fill, B_VA);
	d = desc_make(DSA_OP_COMPARE, DSA_FLAG_CHECK, a, b, BYTES);
	with_faults(&g, &d, prepare_same, nothing, B_VA);
	d = desc_make(DSA_OP_COMPVAL, DSA_FLAG_CHECK, a, 0x4444444444444444, BYTES);
	with_faults(&g, &d, prepare_pattern, nothing, B_VA);
	d = desc_make(DSA_OP_DUALCAST, 0, a, b, BYTES);
	d.w[5] = C_VA + 24;
	with_faults(&g, &d, prepare_copy, check_second, B_VA);
	crc = 0;
	d = desc_make(DSA_OP_CRC, 0, a, 0, BYTES);
	with_faults(&g, &d, prepare_crc, check_crc, B_VA);
	d = desc_make(DSA_OP_COPY_CRC, 0, a, b, BYTES);
	with_faults(&g, &d, prepare_crc, check_crc, B_VA);
	d = desc_make(DSA_OP_CFLUSH, 0, 0, b, BYTES);
	with_faults(&g, &d, nothing, nothing, B_VA);
	guest_close(&g);
}

/* ---- Delta and DIF: the record says more than a number of bytes ------------------------------ */

static void a_delta_record_is_told_as_far_as_it_was_written(void **state)
{
	const uint32_t n = 4 * PAGE;
	struct guest g;
	struct desc d, rest;
	struct record r;
	uint32_t i;

	(void)state;
	guest_open(&g, NULL);
	memset(guest_ptr(&g, A_VA), 0, n);
	memset(guest_ptr(&g, B_VA), 0x11, n);
	d = desc_make(DSA_OP_CR_DELTA, 0, A_VA, B_VA, n);
	d.w[5] = C_VA;
	d.w[6] = n / 8 * 10;
	d.w[7] = 7;
	/* The record's second page: 409 entries end before it. */
	guest_hide(&g, C_VA + PAGE);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
	assert_int_equal(r.w[0] >> 7 & 1, 1);
	assert_int_equal((uint32_t)r.w[2], 4090);
	assert_int_equal(record_completed(&r), 409 * 8);
	assert_int_equal(record_result(&r), 1);
	guest_show(&g, C_VA + PAGE);
	/* Nothing of it. */
	guest_hide(&g, C_VA);
	r = guest_do(&g, &d);
	assert_int_equal(record_completed(&r), 0);
	assert_int_equal(record_result(&r), 0);
	assert_int_equal((uint32_t)r.w[2], 0);
	guest_show(&g, C_VA);
	/* The sources' third page, each. */
	for (i = 0; i < 2; i++) {
		uint64_t gone = (i ? B_VA : A_VA) + 2 * PAGE;

		guest_hide(&g, gone);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
		assert_int_equal(record_completed(&r), 2 * PAGE);
		assert_int_equal((uint32_t)r.w[2], 2 * PAGE / 8 * 10);
		assert_int_equal(record_result(&r), 1);
		assert_int_equal(page(r.w[1]), gone);
		guest_show(&g, gone);
	}
	/* Both: the first source's is told. */
	guest_hide(&g, A_VA + 2 * PAGE);
	guest_hide(&g, B_VA + 3 * PAGE);
	r = guest_do(&g, &d);
	assert_int_equal(page(r.w[1]), A_VA + 2 * PAGE);
	show_all(&g);

	/* Applied over a destination whose second page is missing, then the rest. */
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	d = desc_make(DSA_OP_AP_DELTA, 0, C_VA, A_VA, n);
	d.w[5] = n / 8 * 10;
	guest_hide(&g, A_VA + PAGE);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
	assert_int_equal(record_completed(&r), 512 * 10);
	guest_show(&g, A_VA + PAGE);
	rest = d;
	rest.w[2] += record_completed(&r);
	rest.w[5] -= record_completed(&r);
	/* Its record's last page. */
	guest_hide(&g, C_VA + 4 * PAGE);
	r = guest_do(&g, &rest);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
	assert_int_equal(record_completed(&r), (4 * PAGE / 10 - 512) * 10);
	guest_show(&g, C_VA + 4 * PAGE);
	r = guest_do(&g, &rest);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	assert_memory_equal(guest_ptr(&g, A_VA), guest_ptr(&g, B_VA), n);
	guest_close(&g);
}

static void dif_stops_between_blocks(void **state)
{
	static const unsigned int ops[] = { DSA_OP_DIF_INSERT, DSA_OP_DIF_UPDATE, DSA_OP_DIF_STRIP,
					    DSA_OP_DIF_CHECK };
	struct guest g;
	struct desc d;
	struct record r;
	unsigned int i, whole;

	(void)state;
	guest_open(&g, NULL);
	d = desc_make(DSA_OP_DIF_INSERT, 0, A_VA, B_VA, 20 * 512);
	d.w[7] = 1000;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	for (i = 0; i < 4; i++) {
		unsigned int op = ops[i], in = op == DSA_OP_DIF_INSERT ? 512 : 520;
		uint64_t src = op == DSA_OP_DIF_INSERT ? A_VA : B_VA;

		d = desc_make(op, 0, src, op == DSA_OP_DIF_CHECK ? 0 : C_VA, 20 * in);
		if (op != DSA_OP_DIF_INSERT)
			d.w[6] = 1000;
		if (op == DSA_OP_DIF_INSERT || op == DSA_OP_DIF_UPDATE)
			d.w[7] = 5000;
		guest_hide(&g, src + PAGE);
		whole = PAGE / in;
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
		assert_int_equal(record_completed(&r), whole * in);
		assert_int_equal((uint32_t)r.w[2], op == DSA_OP_DIF_INSERT ? 0 : 1000 + whole);
		guest_show(&g, src + PAGE);
		if (op == DSA_OP_DIF_CHECK)
			continue;
		guest_hide(&g, C_VA + PAGE);
		whole = PAGE / (op == DSA_OP_DIF_STRIP ? 512 : 520);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
		assert_int_equal(r.w[0] >> 7 & 1, 1);
		assert_int_equal(record_completed(&r), whole * in);
		assert_int_equal((uint32_t)r.w[3], op == DSA_OP_DIF_STRIP ? 0 : 5000 + whole);
		guest_show(&g, C_VA + PAGE);
	}
	guest_close(&g);
}

static void a_seed_in_memory_can_be_missing(void **state)
{
	struct desc d = desc_make(DSA_OP_CRC, DSA_FLAG_CRC_READ_SEED, A_VA, 0, 100);
	struct guest g;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	d.w[6] = C_VA;
	guest_hide(&g, C_VA);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_FAULT);
	assert_int_equal(page(r.w[1]), C_VA);
	assert_int_equal(record_completed(&r), 0);
	guest_close(&g);
}

/* ---- Lists and records ----------------------------------------------------------------------- */

#define LIST_VA (GUEST_VA + 0x300000)

static struct desc make_list(struct guest *g, unsigned int n)
{
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	unsigned int i;

	d.w[0] = 0;
	for (i = 0; i < n; i++)
		memcpy(guest_ptr(g, LIST_VA + 64 * i), &d, 64);
	return desc_make(DSA_OP_BATCH, 0, LIST_VA, 0, n);
}

static void a_missing_list_is_always_asked_for(void **state)
{
	struct guest_config no_pri = { .no_pri = 1 };
	struct guest g;
	struct desc d;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	d = make_list(&g, 200);
	guest_hide(&g, LIST_VA + PAGE);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	assert_int_equal(record_completed(&r), 200);
	assert_int_equal(g.requests, 1);
	g.answer = ANSWER_INVALID;
	guest_hide(&g, LIST_VA + 2 * PAGE);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_PAGE_INVALID);
	assert_int_equal(record_completed(&r), 128);
	assert_int_equal(page(r.w[1]), LIST_VA + 2 * PAGE);
	guest_show(&g, LIST_VA + 2 * PAGE);
	guest_hide(&g, LIST_VA);
	g.answer = ANSWER_FAILURE;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_TRANSLATION);
	assert_int_equal(record_completed(&r), 0);
	guest_close(&g);

	guest_open(&g, &no_pri);
	d = make_list(&g, 200);
	guest_hide(&g, LIST_VA + PAGE);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_BATCH_FAULT);
	assert_int_equal(record_completed(&r), 64);
	assert_int_equal(page(r.w[1]), LIST_VA + PAGE);
	guest_close(&g);
}

static void submit(struct guest *g, const struct desc *d)
{
	guest_submit(g, 0, d);
	assert_int_equal(guest_run(g), 1);
}

static void a_missing_record_is_always_asked_for(void **state)
{
	struct desc d = desc_make(DSA_OP_FILL, 0, 0x11, B_VA, 64);
	struct guest_config no_pri = { .no_pri = 1 };
	struct guest g;
	unsigned int i;

	(void)state;
	d.w[1] = C_VA + 0x20;
	guest_open(&g, NULL);
	guest_hide(&g, C_VA);
	submit(&g, &d);
	assert_int_equal(g.requests, 1);
	assert_int_equal(g.last.access & VIOMMU_WRITE, VIOMMU_WRITE);
	assert_int_equal(guest_ptr(&g, C_VA + 0x20)[0], DSA_ST_SUCCESS);
	assert_int_equal(swerror_code(&g), 0);
	for (i = 0; i < 2; i++) {
		memset(guest_ptr(&g, B_VA), 0, 64);
		guest_hide(&g, C_VA);
		g.answer = i ? ANSWER_FAILURE : ANSWER_INVALID;
		submit(&g, &d);
		assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
		assert_int_equal(guest_read64(&g, 0xd0), C_VA + 0x20);
		assert_int_equal(guest_read64(&g, 0xc0) >> 32 & 0xff, DSA_OP_FILL);
		assert_int_equal(guest_read64(&g, 0xc0) >> 40 & 0xfffff, GUEST_GP);
		/* What cannot be told is not done. */
		assert_int_equal(guest_ptr(&g, B_VA)[0], 0);
		swerror_clear(&g);
	}
	guest_close(&g);

	guest_open(&g, &no_pri);
	guest_hide(&g, C_VA);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	assert_int_equal(guest_ptr(&g, B_VA)[0], 0);
	swerror_clear(&g);
	/* Read-only is as bad. */
	guest_show(&g, C_VA);
	guest_protect(&g, C_VA);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	guest_close(&g);
}

static void an_error_without_a_record_goes_to_swerror(void **state)
{
	struct desc d = desc_make(DSA_OP_FILL, 0, 0x11, B_VA, 64);
	struct guest g;

	(void)state;
	d.w[0] = (uint64_t)DSA_OP_FILL << 56;
	guest_open(&g, NULL);
	guest_hide(&g, B_VA);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_PAGE_FAULT);
	assert_int_equal(guest_read64(&g, 0xd0), B_VA);
	assert_int_equal(guest_read64(&g, 0xc0) & 0x2c, 0x2c); /* descriptor, queue, write */
	guest_close(&g);
}

/* ---- Who is not known, and other translations ------------------------------------------------ */

static void a_pasid_without_place_faults_as_one_that_is_not_present(void **state)
{
	struct desc d = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 64);
	struct guest g;

	(void)state;
	guest_open(&g, NULL);
	g.no_gp = 1;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	swerror_clear(&g);
	d.w[0] = (uint64_t)DSA_OP_MOVE << 56;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_PAGE_FAULT);
	swerror_clear(&g);
	d.w[0] |= (uint64_t)BOF << 32;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_PAGE_INVALID);
	swerror_clear(&g);
	/* The same for one that has a place, but is not bound. */
	g.no_gp = 0;
	assert_int_equal(viommu_host_unbind_gpasid(g.w.dev, g.w.hp), 0);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_PAGE_INVALID);
	swerror_clear(&g);
	/* And for no device at all. */
	viommu_pci_attach(g.pci, NULL, NULL, NULL);
	d.w[0] = (uint64_t)DSA_OP_FILL << 56;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_PAGE_FAULT);
	guest_close(&g);
}

static void a_queue_without_pasid_uses_the_requester_id(void **state)
{
	struct guest_config c = { .no_pasid_q = 1 };
	const struct viommu_bind bind = { .size = sizeof(bind), .kind = VIOMMU_BIND_NESTED };
	struct guest g;
	struct desc d;
	uint64_t gpa;

	(void)state;
	guest_open(&g, &c);
	gpa = (uint64_t)(g.mem - (uint8_t *)world_ptr(&g.w, 0));
	d = desc_make(DSA_OP_MOVE, BOF, gpa + 0x2000, gpa + 0x3000, 64);
	d.w[0] |= 1u << 31; /* ignored, as the PASID */
	d.w[1] = gpa + 0x40;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	swerror_clear(&g);
	assert_int_equal(viommu_device_attach(g.w.dev, g.w.dom, &bind), 0);
	memset(g.mem + 0x2000, 0x33, 64);
	submit(&g, &d);
	assert_int_equal(g.mem[0x40], DSA_ST_SUCCESS);
	assert_memory_equal(g.mem + 0x3000, g.mem + 0x2000, 64);
	guest_close(&g);
}

static void without_ats_reads_fail_and_writes_are_lost(void **state)
{
	struct guest_config no_ats = { .no_ats = 1 }, wq = { .wq_bits = 4, .no_bof = 1 };
	struct guest g;
	struct record r;
	struct desc d;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		guest_open(&g, i ? &wq : &no_ats);
		memset(guest_ptr(&g, A_VA), 0x66, 4 * PAGE);
		memset(guest_ptr(&g, B_VA), 0, 4 * PAGE);
		guest_hide(&g, B_VA + PAGE);
		d = desc_make(DSA_OP_MOVE, 0, A_VA + 10, B_VA + 10, 3 * PAGE);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
		assert_int_equal(guest_ptr(&g, B_VA)[PAGE - 1], 0x66);
		assert_int_equal(guest_ptr(&g, B_VA)[PAGE], 0);
		assert_int_equal(guest_ptr(&g, B_VA)[2 * PAGE], 0x66);
		d = desc_make(DSA_OP_FILL, 0, 0x7777777777777777, B_VA + 10, 3 * PAGE);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
		assert_int_equal(guest_ptr(&g, B_VA)[2 * PAGE], 0x77);
		assert_int_equal(guest_ptr(&g, B_VA)[PAGE], 0);
		guest_hide(&g, A_VA + PAGE);
		d = desc_make(DSA_OP_MOVE, 0, A_VA + 10, C_VA, 3 * PAGE);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_READ);
		assert_int_equal(record_completed(&r), PAGE - 10);
		assert_true(g.w.faults > 0); /* untranslated requests: the host records them */
		/* A lost record is lost. */
		guest_hide(&g, C_VA);
		d = desc_make(DSA_OP_FILL, 0, 1, B_VA, 8);
		d.w[1] = C_VA;
		submit(&g, &d);
		assert_int_equal(swerror_code(&g), 0);
		g.no_gp = 1;
		submit(&g, &d);
		d = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 8);
		d.w[0] = (uint64_t)DSA_OP_MOVE << 56;
		submit(&g, &d);
		assert_int_equal(swerror_code(&g), DSA_ST_READ);
		assert_int_equal(g.requests, 0);
		guest_close(&g);
	}
}

static void a_record_whose_page_goes_meanwhile_is_asked_for_again(void **state)
{
	struct desc d = desc_make(DSA_OP_MOVE, BOF, A_VA, B_VA, 64);
	struct guest g;

	(void)state;
	d.w[1] = C_VA;
	guest_open(&g, NULL);
	guest_hide(&g, A_VA);
	g.vanish = C_VA;
	g.then = ANSWER_MAP;
	submit(&g, &d);
	assert_int_equal(g.requests, 2);
	assert_int_equal(guest_ptr(&g, C_VA)[0], DSA_ST_SUCCESS);
	assert_int_equal(swerror_code(&g), 0);
	/* When that is refused, the operation is done, and SWERROR has to tell. */
	guest_hide(&g, A_VA);
	memset(guest_ptr(&g, A_VA), 0x21, 64);
	g.answer = ANSWER_MAP;
	g.vanish = C_VA;
	g.then = ANSWER_INVALID;
	submit(&g, &d);
	assert_int_equal(guest_ptr(&g, B_VA)[63], 0x21);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	assert_int_equal(guest_read64(&g, 0xd0), C_VA);
	guest_close(&g);
}

static void a_host_device_without_ats_can_send_nothing(void **state)
{
	struct guest_config c = { .host_no_ats = 1 };
	struct desc d = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 64);
	struct guest g;

	(void)state;
	guest_open(&g, &c);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	swerror_clear(&g);
	guest_hide(&g, GUEST_RECORD);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	swerror_clear(&g);
	d.w[0] = (uint64_t)DSA_OP_MOVE << 56;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_PAGE_FAULT);
	guest_close(&g);
}

static void members_of_a_batch_fault_alone(void **state)
{
	struct guest g;
	struct desc d;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	d = make_list(&g, 3);
	{
		struct desc m = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 64);

		m.w[1] = GUEST_VA + 0x80;
		memcpy(guest_ptr(&g, LIST_VA + 64), &m, 64);
	}
	guest_hide(&g, A_VA);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_BATCH);
	assert_int_equal(record_completed(&r), 3);
	assert_int_equal(guest_ptr(&g, GUEST_VA + 0x80)[0] & 0x3f, DSA_ST_PAGE_FAULT);
	/* A member whose record cannot be written is told by SWERROR, with its index. */
	guest_show(&g, A_VA);
	guest_hide(&g, C_VA);
	{
		struct desc m = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 64);

		m.w[1] = C_VA;
		memcpy(guest_ptr(&g, LIST_VA + 128), &m, 64);
	}
	g.answer = ANSWER_INVALID;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_BATCH);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_FAULT);
	assert_int_equal(guest_read64(&g, 0xc0) >> 4 & 1, 1);
	assert_int_equal(guest_read64(&g, 0xc8) & 0xffff, 2);
	guest_close(&g);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup(a_missing_page_is_asked_for_or_told, seed),
	cmocka_unit_test(after_response_failure_nothing_is_asked),
	cmocka_unit_test(a_missing_permission_is_a_missing_page),
	cmocka_unit_test(an_address_that_is_not_canonical_is_no_page),
	cmocka_unit_test_setup(every_operation_goes_on_where_a_page_was_missing, seed),
	cmocka_unit_test(a_delta_record_is_told_as_far_as_it_was_written),
	cmocka_unit_test(dif_stops_between_blocks),
	cmocka_unit_test(a_seed_in_memory_can_be_missing),
	cmocka_unit_test(a_missing_list_is_always_asked_for),
	cmocka_unit_test(a_missing_record_is_always_asked_for),
	cmocka_unit_test(an_error_without_a_record_goes_to_swerror),
	cmocka_unit_test(a_pasid_without_place_faults_as_one_that_is_not_present),
	cmocka_unit_test(a_queue_without_pasid_uses_the_requester_id),
	cmocka_unit_test(without_ats_reads_fail_and_writes_are_lost),
	cmocka_unit_test(a_record_whose_page_goes_meanwhile_is_asked_for_again),
	cmocka_unit_test(a_host_device_without_ats_can_send_nothing),
	cmocka_unit_test(members_of_a_batch_fault_alone),
};
TEST_MAIN(tests)
