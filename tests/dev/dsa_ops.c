/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every operation against a slow second implementation, with random data, lengths and alignments.
 */
#include "dev/dsa_guest.h"

/* Regions of the process's memory: 512 pages each, the first begins behind the records' page. */
#define A_VA (GUEST_VA + 0x1000)
#define B_VA (GUEST_VA + 0x200000)
#define C_VA (GUEST_VA + 0x400000)
#define ROOM 0x180000u

static struct rng rng;

/* Lengths that matter: small, around pages and buffers, large. */
static uint32_t length(void)
{
	switch (rng_below(&rng, 5)) {
	case 0:
		return (uint32_t)rng_range(&rng, 1, 64);
	case 1:
		return (uint32_t)rng_range(&rng, 4000, 4200);
	case 2:
		return (uint32_t)rng_range(&rng, 32700, 32800);
	case 3:
		return (uint32_t)rng_range(&rng, 1, 200000);
	default:
		return (uint32_t)rng_range(&rng, 262100, 600000);
	}
}

static uint64_t somewhere(uint64_t va)
{
	return va + rng_below(&rng, 8192);
}

static void assert_success(const struct record *r, unsigned int result)
{
	assert_int_equal(record_status(r), DSA_ST_SUCCESS);
	assert_int_equal(record_result(r), result);
	assert_int_equal(record_completed(r), 0);
}

/* ---- Plain bytes ----------------------------------------------------------------------------- */

static void move_and_overlapping_move_are_memmove(void **state)
{
	uint8_t *want = malloc(4 * ROOM);
	struct guest g;
	uint64_t i;

	(void)state;
	guest_open(&g, NULL);
	assert_non_null(want);
	for (i = 0; i < test_scale(60); i++) {
		uint32_t n = length();
		uint64_t src = somewhere(A_VA), dst = somewhere(i & 1 ? B_VA : A_VA);
		uint64_t area = i & 1 ? B_VA : A_VA;
		struct desc d = desc_make(DSA_OP_MOVE, 0, src, dst, n);
		struct record r;

		rng_fill(&rng, guest_ptr(&g, A_VA), n + 8192);
		rng_fill(&rng, guest_ptr(&g, area), n + 3 * 8192);
		memcpy(want, guest_ptr(&g, area), n + 3 * 8192);
		memmove(want + (dst - area), guest_ptr(&g, src), n);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, area), want, n + 3 * 8192);
	}
	free(want);
	guest_close(&g);
}

static void fill_repeats_its_pattern(void **state)
{
	struct guest g;
	uint64_t i;
	uint32_t k;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < test_scale(40); i++) {
		uint64_t pattern = rng_u64(&rng), dst = somewhere(B_VA);
		uint32_t n = length();
		struct desc d = desc_make(DSA_OP_FILL, 0, pattern, dst, n);
		uint8_t *p = guest_ptr(&g, dst);
		struct record r;

		memset(p - 1, 0xee, n + 2);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		for (k = 0; k < n; k++)
			if (p[k] != (uint8_t)(pattern >> 8 * (k & 7)))
				fail_msg("byte %u of %u", k, n);
		assert_int_equal(p[-1], 0xee);
		assert_int_equal(p[n], 0xee);
	}
	guest_close(&g);
}

static void check_compare(struct guest *g, struct desc *d, uint32_t differ_at, uint32_t n)
{
	bool differ = differ_at < n;
	struct record r = guest_do(g, d);

	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	assert_int_equal(record_result(&r), differ);
	assert_int_equal(record_completed(&r), differ ? differ_at : 0);
	d->w[0] |= (uint64_t)DSA_FLAG_CHECK << 32;
	d->w[5] = 1;
	r = guest_do(g, d);
	assert_int_equal(record_status(&r), differ ? DSA_ST_SUCCESS : DSA_ST_FALSE);
	d->w[5] = 0;
	r = guest_do(g, d);
	assert_int_equal(record_status(&r), differ ? DSA_ST_FALSE : DSA_ST_SUCCESS);
	assert_int_equal(record_result(&r), differ);
}

static void compare_finds_the_first_difference(void **state)
{
	struct guest g;
	uint64_t i;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < test_scale(40); i++) {
		uint64_t a = somewhere(A_VA), b = somewhere(B_VA), at = UINT64_MAX;
		uint32_t n = length();
		struct desc d = desc_make(DSA_OP_COMPARE, 0, a, b, n);

		rng_fill(&rng, guest_ptr(&g, a), n);
		memcpy(guest_ptr(&g, b), guest_ptr(&g, a), n);
		if (i & 1) {
			at = rng_below(&rng, n);
			guest_ptr(&g, b)[at] ^= 1;
			guest_ptr(&g, b)[rng_range(&rng, at, n - 1)] ^= 0x80;
		}
		check_compare(&g, &d, at < n ? (uint32_t)at : n, n);
	}
	guest_close(&g);
}

static void compare_pattern_finds_the_first_difference(void **state)
{
	struct guest g;
	uint64_t i;
	uint32_t k;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < test_scale(40); i++) {
		uint64_t a = somewhere(A_VA), pattern = rng_u64(&rng);
		uint32_t n = length(), at = n;
		struct desc d = desc_make(DSA_OP_COMPVAL, 0, a, pattern, n);
		uint8_t *p = guest_ptr(&g, a);

		for (k = 0; k < n; k++)
			p[k] = (uint8_t)(pattern >> 8 * (k & 7));
		if (i & 1) {
			at = (uint32_t)rng_below(&rng, n);
			p[at] ^= 4;
		}
		check_compare(&g, &d, at, n);
	}
	guest_close(&g);
}

static void dualcast_writes_both(void **state)
{
	struct guest g;
	uint64_t i;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < test_scale(30); i++) {
		uint64_t src = somewhere(A_VA), dst1 = somewhere(B_VA);
		uint64_t dst2 = C_VA + (dst1 & 0xfff) + 4096 * rng_below(&rng, 3);
		uint32_t n = length();
		struct desc d = desc_make(DSA_OP_DUALCAST, 0, src, dst1, n);
		struct record r;

		d.w[5] = dst2;
		rng_fill(&rng, guest_ptr(&g, src), n);
		guest_ptr(&g, dst1)[n] = 0xee;
		guest_ptr(&g, dst2)[n] = 0xee;
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, dst1), guest_ptr(&g, src), n);
		assert_memory_equal(guest_ptr(&g, dst2), guest_ptr(&g, src), n);
		assert_int_equal(guest_ptr(&g, dst1)[n], 0xee);
		assert_int_equal(guest_ptr(&g, dst2)[n], 0xee);
	}
	guest_close(&g);
}

static void noop_drain_and_flush_complete(void **state)
{
	struct guest g;
	struct desc d;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	r = guest_do(&g, &d);
	assert_success(&r, 0);
	d = desc_make(DSA_OP_DRAIN, 0, 0, 0, 0);
	r = guest_do(&g, &d);
	assert_success(&r, 0);
	d = desc_make(DSA_OP_CFLUSH, 0, 0, B_VA + 5, 100000);
	r = guest_do(&g, &d);
	assert_success(&r, 0);
	/* Without a wish for a record, success writes none. */
	d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	d.w[0] = 0;
	r = guest_do(&g, &d);
	assert_int_equal(r.w[0], 0);
	d.w[0] = (uint64_t)DSA_FLAG_CRAV << 32;
	r = guest_do(&g, &d);
	assert_int_equal(r.w[0], 0);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	guest_close(&g);
}

/* ---- Delta records --------------------------------------------------------------------------- */

/* The oracle's record of b against a; bytes. */
static uint32_t slow_delta(const uint8_t *a, const uint8_t *b, uint32_t n, uint8_t *out)
{
	uint32_t i, k, at = 0;

	for (i = 0; i < n / 8; i++) {
		bool same = true;

		for (k = 0; k < 8; k++)
			same &= a[8 * i + k] == b[8 * i + k];
		if (same)
			continue;
		out[at++] = (uint8_t)(i % 256);
		out[at++] = (uint8_t)(i / 256);
		for (k = 0; k < 8; k++)
			out[at++] = b[8 * i + k];
	}
	return at;
}

static void delta_records_are_made_and_applied(void **state)
{
	uint8_t *want = malloc(700000);
	struct guest g;
	uint64_t i;

	(void)state;
	guest_open(&g, NULL);
	assert_non_null(want);
	for (i = 0; i < test_scale(30); i++) {
		uint64_t a = somewhere(A_VA) & ~7ull, b = somewhere(B_VA) & ~7ull;
		uint64_t delta = somewhere(C_VA) & ~7ull;
		uint32_t n = length() / 8 * 8, k, size, max;
		struct desc d;
		struct record r;

		n = n < 8 ? 8 : n > 0x80000 ? 0x80000 : n;
		d = desc_make(DSA_OP_CR_DELTA, 0, a, b, n);
		rng_fill(&rng, guest_ptr(&g, a), n);
		memcpy(guest_ptr(&g, b), guest_ptr(&g, a), n);
		for (k = (uint32_t)rng_below(&rng, 40); k && i % 3; k--)
			guest_ptr(&g, b)[rng_below(&rng, n)] ^= 1;
		if (i % 7 == 1)
			rng_fill(&rng, guest_ptr(&g, b), n);
		size = slow_delta(guest_ptr(&g, a), guest_ptr(&g, b), n, want);
		max = size < 80 ? 80 : size;
		d.w[5] = delta;
		d.w[6] = max;
		d.w[7] = 7;
		memset(guest_ptr(&g, delta), 0xee, max + 1);
		r = guest_do(&g, &d);
		assert_success(&r, size != 0);
		assert_int_equal((uint32_t)r.w[2], size);
		assert_memory_equal(guest_ptr(&g, delta), want, size);
		assert_int_equal(guest_ptr(&g, delta)[size], 0xee);

		if (size > 80) { /* one entry too little */
			uint32_t words = 0;

			d.w[6] = size - 1;
			d.w[0] |= (uint64_t)DSA_FLAG_CHECK << 32;
			d.w[7] = 3;
			r = guest_do(&g, &d);
			assert_int_equal(record_status(&r), DSA_ST_FALSE);
			assert_int_equal(record_result(&r), 2);
			assert_int_equal((uint32_t)r.w[2], size - 10);
			words = want[size - 10] + want[size - 9] * 256u;
			assert_int_equal(record_completed(&r), words * 8);
		}
		if (!size)
			continue;
		d = desc_make(DSA_OP_AP_DELTA, 0, delta, a, n);
		d.w[5] = size;
		memcpy(guest_ptr(&g, delta), want, size);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, a), guest_ptr(&g, b), n);
	}
	free(want);
	guest_close(&g);
}

static void delta_records_that_are_wrong_are_told(void **state)
{
	struct guest g;
	struct desc d;
	struct record r;
	uint8_t *p;

	(void)state;
	guest_open(&g, NULL);
	p = guest_ptr(&g, A_VA);
	memset(p, 0x55, 64);
	memset(guest_ptr(&g, B_VA), 0, 64);
	p[0] = 1, p[1] = 0, p[10] = 3, p[11] = 0, p[20] = 3, p[21] = 0;
	d = desc_make(DSA_OP_AP_DELTA, 0, A_VA, B_VA, 64);
	d.w[5] = 30;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_DELTA_ORDER);
	assert_int_equal(record_completed(&r), 20);
	p[20] = 8;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_DELTA_RANGE);
	assert_int_equal(record_completed(&r), 20);
	p[20] = 7;
	r = guest_do(&g, &d);
	assert_success(&r, 0);
	guest_close(&g);
}

/* ---- CRC ------------------------------------------------------------------------------------- */

static uint32_t reversed(uint32_t v, unsigned int bits)
{
	uint32_t out = 0;
	unsigned int i;

	for (i = 0; i < bits; i++)
		out |= (v >> i & 1) << (bits - 1 - i);
	return out;
}

/* Polynomial division bit by bit, highest power first. */
static uint32_t slow_crc32(uint32_t seed, const uint8_t *p, uint32_t n, uint32_t flags)
{
	uint32_t crc = flags & DSA_FLAG_CRC_NO_INVERT ? seed : reversed(~seed, 32), i;
	int k;

	for (i = 0; i < n; i++) {
		uint8_t byte = p[i];

		if (!(flags & DSA_FLAG_CRC_NO_REFLECT))
			byte = (uint8_t)reversed(byte, 8);
		for (k = 7; k >= 0; k--) {
			bool top = (crc >> 31) ^ (byte >> k & 1);

			crc = crc << 1 ^ (top ? 0x1edc6f41u : 0);
		}
	}
	return flags & DSA_FLAG_CRC_NO_INVERT ? crc : ~reversed(crc, 32);
}

static void crc_is_that_of_iscsi(void **state)
{
	static const uint32_t flags[] = { 0, DSA_FLAG_CRC_NO_INVERT, DSA_FLAG_CRC_NO_REFLECT,
					  DSA_FLAG_CRC_NO_INVERT | DSA_FLAG_CRC_NO_REFLECT };
	struct guest g;
	uint64_t i;

	(void)state;
	guest_open(&g, NULL);
	memcpy(guest_ptr(&g, A_VA), "123456789", 9);
	assert_int_equal(slow_crc32(0, guest_ptr(&g, A_VA), 9, 0), 0xe3069283);
	for (i = 0; i < test_scale(40); i++) {
		uint64_t src = somewhere(A_VA), dst = somewhere(B_VA);
		uint32_t f = flags[i / 4 % 4], n = length() % 100000 + 1, want;
		uint32_t seed = rng_one_in(&rng, 2) ? (uint32_t)rng_u64(&rng) : 0;
		struct desc d =
			desc_make(i & 1 ? DSA_OP_COPY_CRC : DSA_OP_CRC, f, src, i & 1 ? dst : 0, n);
		struct record r;

		d.w[5] = seed;
		if (i & 2) {
			d.w[0] |= (uint64_t)DSA_FLAG_CRC_READ_SEED << 32;
			d.w[5] = 0;
			d.w[6] = C_VA + 2;
			memcpy(guest_ptr(&g, C_VA + 2), &seed, 4);
		}
		rng_fill(&rng, guest_ptr(&g, src), n);
		want = slow_crc32(seed, guest_ptr(&g, src), n, f);
		memset(guest_ptr(&g, dst), 0, n + 1);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_int_equal(r.w[2], want);
		if (i & 1)
			assert_memory_equal(guest_ptr(&g, dst), guest_ptr(&g, src), n);
		assert_int_equal(guest_ptr(&g, dst)[i & 1 ? n : 0], 0);
	}
	guest_close(&g);
}

/* ---- DIF ------------------------------------------------------------------------------------- */

static uint16_t slow_t10(uint16_t crc, const uint8_t *p, uint32_t n)
{
	uint32_t i;
	int k;

	for (i = 0; i < n; i++) {
		for (k = 7; k >= 0; k--) {
			bool top = (crc >> 15) ^ (p[i] >> k & 1);

			crc = (uint16_t)(crc << 1 ^ (top ? 0x8bb7 : 0));
		}
	}
	return crc;
}

struct dif {
	uint32_t block, blocks;
	uint8_t flags;
	uint8_t tag_flags; /* bits that source and destination share: increments, fixed */
	uint32_t ref;
	uint16_t mask, app;
};

static struct dif dif_random(void)
{
	static const uint32_t sizes[] = { 512, 520, 4096, 4104 };
	struct dif f = { .flags = (uint8_t)rng_below(&rng, 16),
			 .blocks = (uint32_t)rng_range(&rng, 1, 100),
			 .tag_flags =
				 (uint8_t)(rng_below(&rng, 2) * 0x10 + rng_below(&rng, 2) * 0x80),
			 .ref = (uint32_t)rng_u64(&rng),
			 .mask = (uint16_t)(rng_one_in(&rng, 2) ? rng_u64(&rng) : 0),
			 .app = (uint16_t)rng_u64(&rng) };

	f.block = sizes[f.flags & 3];
	return f;
}

static uint64_t dif_half(const struct dif *f)
{
	return f->ref | (uint64_t)f->mask << 32 | (uint64_t)f->app << 48;
}

/* Half of a record after n blocks. */
static uint64_t dif_half_after(const struct dif *f, uint32_t n)
{
	struct dif after = *f;

	if (!(f->tag_flags & 0x80))
		after.ref += n;
	if (f->tag_flags & 0x10)
		after.app = (uint16_t)(after.app + n);
	return dif_half(&after);
}

/* The tag of block n over data. */
static void slow_tag(const struct dif *f, const uint8_t *data, uint32_t n, uint8_t *tag)
{
	uint16_t crc = slow_t10(f->flags & 4 ? 0xffff : 0, data, f->block);
	uint32_t ref = f->ref + (f->tag_flags & 0x80 ? 0 : n);
	uint16_t app = (uint16_t)(f->app + (f->tag_flags & 0x10 ? n : 0));
	unsigned int i;

	app &= (uint16_t)~f->mask;
	if (f->flags & 8)
		crc = (uint16_t)~crc;
	tag[0] = (uint8_t)(crc >> 8);
	tag[1] = (uint8_t)crc;
	tag[2] = (uint8_t)(app >> 8);
	tag[3] = (uint8_t)app;
	for (i = 0; i < 4; i++)
		tag[4 + i] = (uint8_t)(ref >> (24 - 8 * i));
}

static void slow_insert(const struct dif *f, const uint8_t *in, uint8_t *out)
{
	uint32_t n;

	for (n = 0; n < f->blocks; n++) {
		memcpy(out, in, f->block);
		slow_tag(f, in, n, out + f->block);
		in += f->block;
		out += f->block + 8;
	}
}

static void dif_is_inserted_checked_updated_and_stripped(void **state)
{
	uint8_t *want = malloc(500000);
	struct guest g;
	uint64_t i;

	(void)state;
	guest_open(&g, NULL);
	assert_non_null(want);
	for (i = 0; i < test_scale(25); i++) {
		uint64_t a = somewhere(A_VA), b = somewhere(B_VA), c = somewhere(C_VA);
		struct dif f = dif_random(), to = f;
		uint32_t plain = f.block * f.blocks, tagged = plain + 8 * f.blocks, n;
		struct desc d = desc_make(DSA_OP_DIF_INSERT, 0, a, b, plain);
		struct record r;

		rng_fill(&rng, guest_ptr(&g, a), plain);
		d.w[5] = (uint64_t)f.flags << 16 | (uint64_t)f.tag_flags << 8;
		d.w[7] = dif_half(&f);
		slow_insert(&f, guest_ptr(&g, a), want);
		memset(guest_ptr(&g, b), 0xee, tagged + 1);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, b), want, tagged);
		assert_int_equal(guest_ptr(&g, b)[tagged], 0xee);
		assert_int_equal(r.w[2], 0);
		assert_int_equal(r.w[3], dif_half_after(&f, f.blocks));

		d = desc_make(DSA_OP_DIF_CHECK, 0, b, 0, tagged);
		d.w[5] = (uint64_t)f.flags << 16 | f.tag_flags;
		d.w[6] = dif_half(&f);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_int_equal(r.w[2], dif_half_after(&f, f.blocks));
		assert_int_equal(r.w[3], 0);

		/* New seeds; the application tag's masked bits are those of the source: 0. */
		to.ref = (uint32_t)rng_u64(&rng);
		to.app = (uint16_t)rng_u64(&rng);
		to.tag_flags = (uint8_t)(rng_below(&rng, 2) * 0x10);
		to.mask = f.mask;
		d = desc_make(DSA_OP_DIF_UPDATE, 0, b, c, tagged);
		d.w[5] = (uint64_t)f.flags << 16 | (uint64_t)to.tag_flags << 8 | f.tag_flags;
		d.w[6] = dif_half(&f);
		d.w[7] = dif_half(&to);
		slow_insert(&to, guest_ptr(&g, a), want);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, c), want, tagged);
		assert_int_equal(r.w[2], dif_half_after(&f, f.blocks));
		assert_int_equal(r.w[3], dif_half_after(&to, f.blocks));

		/* Everything passed through: a copy. */
		d.w[5] |= 0x68 << 8;
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, c), guest_ptr(&g, b), tagged);

		d = desc_make(DSA_OP_DIF_STRIP, 0, b, c, tagged);
		d.w[5] = (uint64_t)f.flags << 16 | f.tag_flags;
		d.w[6] = dif_half(&f);
		memset(guest_ptr(&g, c), 0xee, plain + 1);
		r = guest_do(&g, &d);
		assert_success(&r, 0);
		assert_memory_equal(guest_ptr(&g, c), guest_ptr(&g, a), plain);
		assert_int_equal(guest_ptr(&g, c)[plain], 0xee);

		/* One bit wrong: the blocks before it are good. */
		n = (uint32_t)rng_below(&rng, f.blocks);
		guest_ptr(&g, b)[n * (f.block + 8) + 3] ^= 1;
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), DSA_ST_DIF);
		assert_int_equal(record_result(&r), DSA_DIF_ERROR_GUARD);
		assert_int_equal(record_completed(&r), n * (f.block + 8));
		assert_int_equal(r.w[2], dif_half_after(&f, n));
	}
	free(want);
	guest_close(&g);
}

static void each_tag_is_checked_and_can_be_left_unchecked(void **state)
{
	static const struct {
		uint8_t flags;  /* of the source */
		uint16_t mask;  /* of the application tag */
		uint8_t tag[8]; /* exclusive-or with the good one, or all of it if set is */
		uint8_t set;
		uint8_t result; /* 0: success */
	} rows[] = {
		{ 0, 0, { 0 }, 0, 0 },
		{ 0, 0, { 1 }, 0, DSA_DIF_ERROR_GUARD },
		{ 0, 0, { 0, 0, 0, 1 }, 0, DSA_DIF_ERROR_APP },
		{ 0, 1, { 0, 0, 0, 1 }, 0, 0 },
		{ 0, 0xffff, { 0, 0, 0x55, 0xaa }, 0, 0 },
		{ 0, 0, { 0, 0, 0, 0, 0, 0, 0, 1 }, 0, DSA_DIF_ERROR_REF },
		{ 0, 0, { 1, 0, 1, 0, 1 }, 0, 7 },
		{ DSA_DIF_SRC_NO_GUARD, 0, { 1 }, 0, 0 },
		{ DSA_DIF_SRC_NO_REF, 0, { 0, 0, 0, 0, 1 }, 0, 0 },
		{ DSA_DIF_SRC_APP_F, 0, { 9, 9, 0xff, 0xff, 1, 2, 3, 4 }, 1, 0 },
		{ DSA_DIF_SRC_APP_F, 0, { 9, 9, 0xff, 0xfe, 1, 2, 3, 4 }, 1, 7 },
		{ DSA_DIF_SRC_APP_REF_F, 0, { 9, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 1, 0 },
		{ DSA_DIF_SRC_APP_REF_F, 0, { 9, 9, 0xff, 0xff, 1, 2, 3, 4 }, 1, 7 },
		{ DSA_DIF_SRC_ALL_F, 0, { 9, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 1, 7 },
		{ DSA_DIF_SRC_ALL_F, 0, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 1, 0 },
		{ DSA_DIF_SRC_ALL_F | DSA_DIF_SRC_ALL_F_ERROR,
		  0,
		  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		  1,
		  DSA_DIF_ERROR_ALL_F },
	};
	struct guest g;
	unsigned int i, k;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dif f = { .block = 512, .ref = 77, .app = 0x1234, .blocks = 1 };
		struct desc d = desc_make(DSA_OP_DIF_CHECK, 0, A_VA, 0, 520);
		uint8_t *p = guest_ptr(&g, A_VA), *tag = p + 512;
		struct record r;

		rng_fill(&rng, p, 512);
		slow_tag(&f, p, 0, tag);
		for (k = 0; k < 8; k++)
			tag[k] = rows[i].set ? rows[i].tag[k] : tag[k] ^ rows[i].tag[k];
		d.w[5] = rows[i].flags;
		f.mask = rows[i].mask;
		d.w[6] = dif_half(&f);
		r = guest_do(&g, &d);
		assert_int_equal(record_status(&r), rows[i].result ? DSA_ST_DIF : DSA_ST_SUCCESS);
		assert_int_equal(record_result(&r), rows[i].result);
		assert_int_equal(record_completed(&r), 0);
	}
	guest_close(&g);
}

/* ---- Batches --------------------------------------------------------------------------------- */

#define LIST_VA (GUEST_VA + 0x500000)
#define CR_VA   (GUEST_VA + 0x520000)

static struct desc *member(struct guest *g, unsigned int i, const struct desc *d)
{
	struct desc *list = (struct desc *)(void *)guest_ptr(g, LIST_VA);

	list[i] = *d;
	list[i].w[1] = CR_VA + 32 * i;
	memset(guest_ptr(g, CR_VA + 32 * i), 0, 32);
	return &list[i];
}

static unsigned int member_status(struct guest *g, unsigned int i)
{
	return guest_ptr(g, CR_VA + 32 * i)[0] & 0x3f;
}

static void a_batch_runs_its_descriptors_in_order(void **state)
{
	struct viommu_dsa_stats s = { .size = sizeof(s) };
	struct guest g;
	struct desc d, b;
	struct record r;
	unsigned int i, n;

	(void)state;
	guest_open(&g, NULL);
	for (n = 2; n <= 1024; n = n < 40 ? n + 7 : n * 2 + (n == 1024 - 1)) {
		for (i = 0; i < n; i++) {
			d = desc_make(DSA_OP_FILL, i & 1 ? DSA_FLAG_FENCE : 0, i,
				      B_VA + 8 * (i / 2), 16);
			member(&g, i, &d);
		}
		b = desc_make(DSA_OP_BATCH, 0, LIST_VA, 0, n);
		r = guest_do(&g, &b);
		assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
		assert_int_equal(record_completed(&r), n);
		for (i = 0; i < n; i++)
			assert_int_equal(member_status(&g, i), DSA_ST_SUCCESS);
		for (i = 0; i < n / 2; i++) {
			uint64_t v;

			memcpy(&v, guest_ptr(&g, B_VA + 8 * i), 8);
			/* The last that wrote it: entries 2i and 2i + 1 did, and those before. */
			assert_int_equal(v, 2 * i + 1);
		}
	}
	viommu_dsa_stats(g.dsa, &s);
	assert_true(s.batches > 5);
	assert_true(s.descriptors > 1000);
	assert_int_equal(s.errors, 0);
	guest_close(&g);
}

static void a_batch_goes_on_after_an_error_but_not_over_a_fence(void **state)
{
	struct guest g;
	struct desc d, b;
	struct record r;
	unsigned int i;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < 6; i++) {
		d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
		member(&g, i, &d);
	}
	d = desc_make(DSA_OP_BATCH, 0, LIST_VA, 0, 4); /* no batch in a batch */
	member(&g, 1, &d);
	d = desc_make(DSA_OP_DRAIN, 0, 0, 0, 0);
	member(&g, 2, &d);
	b = desc_make(DSA_OP_BATCH, 0, LIST_VA, 0, 6);
	r = guest_do(&g, &b);
	assert_int_equal(record_status(&r), DSA_ST_BATCH);
	assert_int_equal(record_completed(&r), 6);
	assert_int_equal(member_status(&g, 0), DSA_ST_SUCCESS);
	assert_int_equal(member_status(&g, 1), DSA_ST_OPCODE);
	assert_int_equal(member_status(&g, 2), DSA_ST_OPCODE);
	assert_int_equal(member_status(&g, 5), DSA_ST_SUCCESS);

	for (i = 0; i < 6; i++) {
		d = desc_make(DSA_OP_NOOP, i == 1 || i == 4 ? DSA_FLAG_FENCE : 0, 0, 0, 0);
		member(&g, i, &d);
	}
	d = desc_make(DSA_OP_COMPVAL, DSA_FLAG_CHECK, B_VA, 0, 8); /* code 2 counts, too */
	d.w[5] = 1;
	memset(guest_ptr(&g, B_VA), 0, 8);
	member(&g, 2, &d);
	r = guest_do(&g, &b);
	assert_int_equal(record_status(&r), DSA_ST_BATCH);
	assert_int_equal(record_completed(&r), 4);
	assert_int_equal(member_status(&g, 2), DSA_ST_FALSE);
	assert_int_equal(member_status(&g, 3), DSA_ST_SUCCESS);
	assert_int_equal(member_status(&g, 4), 0);
	assert_int_equal(member_status(&g, 5), 0);
	/* Who asks for no record gets none for it. */
	b.w[0] = (uint64_t)(DSA_OP_BATCH << 24 | DSA_FLAG_CRAV) << 32;
	r = guest_do(&g, &b);
	assert_int_equal(r.w[0], 0);
	guest_close(&g);
}

static int group_setup(void **state)
{
	(void)state;
	rng_init(&rng, "dsa_ops");
	return 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup(move_and_overlapping_move_are_memmove, group_setup),
	cmocka_unit_test_setup(fill_repeats_its_pattern, group_setup),
	cmocka_unit_test_setup(compare_finds_the_first_difference, group_setup),
	cmocka_unit_test_setup(compare_pattern_finds_the_first_difference, group_setup),
	cmocka_unit_test_setup(dualcast_writes_both, group_setup),
	cmocka_unit_test_setup(noop_drain_and_flush_complete, group_setup),
	cmocka_unit_test_setup(delta_records_are_made_and_applied, group_setup),
	cmocka_unit_test_setup(delta_records_that_are_wrong_are_told, group_setup),
	cmocka_unit_test_setup(crc_is_that_of_iscsi, group_setup),
	cmocka_unit_test_setup(dif_is_inserted_checked_updated_and_stripped, group_setup),
	cmocka_unit_test_setup(each_tag_is_checked_and_can_be_left_unchecked, group_setup),
	cmocka_unit_test_setup(a_batch_runs_its_descriptors_in_order, group_setup),
	cmocka_unit_test_setup(a_batch_goes_on_after_an_error_but_not_over_a_fence, group_setup),
};
TEST_MAIN(tests)
