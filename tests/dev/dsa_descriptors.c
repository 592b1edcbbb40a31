/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What makes a descriptor wrong: each check, its code, and what the record or SWERROR says. The
 * flags of each operation stand here as a second list.
 */
#include "dev/dsa_guest.h"

#define A_VA (GUEST_VA + 0x10000)
#define B_VA (GUEST_VA + 0x100000)
#define C_VA (GUEST_VA + 0x200000)

/* Each operation in a form that succeeds. */
static struct desc good(unsigned int op)
{
	struct desc d = desc_make(op, 0, A_VA, B_VA, 64);

	switch (op) {
	case DSA_OP_NOOP:
	case DSA_OP_DRAIN:
		return desc_make(op, 0, 0, 0, 0);
	case DSA_OP_BATCH:
		return desc_make(op, 0, A_VA, 0, 2);
	case DSA_OP_CRC:
		return desc_make(op, 0, A_VA, 0, 64);
	case DSA_OP_CR_DELTA:
		d.w[5] = C_VA;
		d.w[6] = 80;
		break;
	case DSA_OP_AP_DELTA:
		d.w[5] = 10;
		break;
	case DSA_OP_DUALCAST:
		d.w[5] = C_VA;
		break;
	case DSA_OP_DIF_CHECK:
		d = desc_make(op, 0, A_VA, 0, 520);
		d.w[5] = DSA_DIF_SRC_NO_GUARD;
		break;
	case DSA_OP_DIF_STRIP:
	case DSA_OP_DIF_UPDATE:
		d.w[4] = 520;
		d.w[5] = DSA_DIF_SRC_NO_GUARD;
		break;
	case DSA_OP_DIF_INSERT:
		d.w[4] = 512;
		break;
	case DSA_OP_CFLUSH:
		d.w[2] = 0;
		break;
	default:
		break;
	}
	return d;
}

static const struct {
	unsigned int op;
	uint32_t flags; /* allowed, all of them */
	uint8_t needs_record;
	/* bytes that may have any value, as bits; those of the head are left out */
	uint64_t bytes;
} ops[] = {
	{ 0x00, 0x00101c & ~0xc00u, 0, 0 },
	{ 0x01, 0x00121c, 0, 0x0000000f00ff0000 },
	{ 0x02, 0x0c101c, 0, 0 },
	{ 0x03, 0x00771e, 0, 0x0000000fffff0000 },
	{ 0x04, 0x00751e, 0, 0x0000000fffff0000 },
	{ 0x05, 0x00169e, 1, 0x0000010fffff0000 },
	{ 0x06, 0x00129e, 1, 0x0000010fffff0000 },
	{ 0x07, 0x007f9e, 1, 0x010fff0fffff0000 },
	{ 0x08, 0x00771e, 0, 0x00000f0fffff0000 },
	{ 0x09, 0x007f1e, 0, 0x0000ff0fffff0000 },
	{ 0x10, 0x07121e, 1, 0x00ff0f0f00ff0000 },
	{ 0x11, 0x07771e, 1, 0x00ff0f0fffff0000 },
	{ 0x12, 0x00121e, 1, 0x00ff050f00ff0000 },
	{ 0x13, 0x00771e, 0, 0xff00060fffff0000 },
	{ 0x14, 0x00771e, 0, 0x00ff050fffff0000 },
	{ 0x15, 0x00771e, 0, 0xffff070fffff0000 },
	{ 0x20, 0x00541e, 0, 0x0000000fff000000 },
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

static unsigned int swerror_code(struct guest *g)
{
	uint64_t v = guest_read64(g, 0xc0);

	return v & 1 ? (unsigned int)(v >> 8 & 0xff) : 0;
}

static void submit(struct guest *g, const struct desc *d)
{
	guest_submit(g, 0, d);
	assert_int_equal(guest_run(g), 1);
}

static void expect(struct guest *g, const struct desc *d, unsigned int code)
{
	struct record r = guest_do(g, d);

	assert_int_equal(record_status(&r), code);
	if (code >= DSA_ST_OPCODE)
		assert_int_equal(record_completed(&r), 0);
	assert_int_equal(guest_read64(g, 0xc0), 0);
}

static void good_ones_succeed(void **state)
{
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < OPS; i++) {
		struct desc d = good(ops[i].op);

		memset(guest_ptr(&g, A_VA), 0, 4096);
		expect(&g, &d, DSA_ST_SUCCESS);
	}
	guest_close(&g);
}

static void operations_that_are_not_there_are_refused(void **state)
{
	static const unsigned int none[] = { 0x0a, 0x0f, 0x16, 0x17, 0x18, 0x1f,
					     0x21, 0x3f, 0x40, 0x80, 0xff };
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct desc d = desc_make(none[i], 0, A_VA, B_VA, 64);

		expect(&g, &d, DSA_ST_OPCODE);
	}
	guest_close(&g);
}

static void a_queue_may_allow_less(void **state)
{
	struct guest_config c = { .no_enable = 1 };
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, &c);
	guest_write32(&g, GRPCFG(0, 0), 1);
	guest_write32(&g, GRPCFG(0, 8), 1);
	guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_PASID(GUEST_GP));
	guest_write32(&g, WQCFG(0, 3), 10 | 2 << 5);
	guest_write64(&g, WQCFG(0, 8), 0x1003f03ff & ~(1ull << DSA_OP_FILL));
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	d = good(DSA_OP_FILL);
	expect(&g, &d, DSA_ST_OPCODE);
	d = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 1024);
	expect(&g, &d, DSA_ST_SUCCESS);
	d = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 1025);
	expect(&g, &d, DSA_ST_SIZE);
	d = desc_make(DSA_OP_BATCH, 0, A_VA, 0, 5);
	expect(&g, &d, DSA_ST_COUNT);
	d = desc_make(DSA_OP_BATCH, 0, A_VA, 0, 4);
	expect(&g, &d, DSA_ST_SUCCESS);
	/* Block on fault was not enabled, user interrupts neither. */
	d = desc_make(DSA_OP_MOVE, DSA_FLAG_BOF, A_VA, B_VA, 1024);
	expect(&g, &d, DSA_ST_FLAGS);
	d = desc_make(DSA_OP_MOVE, DSA_FLAG_RCI, A_VA, B_VA, 1024);
	expect(&g, &d, DSA_ST_FLAGS);
	guest_close(&g);
}

static void flags_are_those_of_the_operation(void **state)
{
	struct guest g;
	unsigned int i, bit;

	(void)state;
	guest_open(&g, NULL);
	guest_write32(&g, MSIXPERM(0), 8 | GUEST_GP << 12);
	for (i = 0; i < OPS; i++) {
		for (bit = 0; bit < 24; bit++) {
			struct desc d = good(ops[i].op);
			uint32_t flag = 1u << bit;
			struct record r;

			memset(guest_ptr(&g, A_VA), 0, 4096);
			d.w[0] |= (uint64_t)flag << 32;
			if (flag == DSA_FLAG_CHECK)
				d.w[7] = 7;
			if (flag == DSA_FLAG_CRC_READ_SEED && ops[i].op >= 0x10)
				d.w[6] = C_VA;
			if (ops[i].flags & flag) {
				r = guest_do(&g, &d);
				if (record_status(&r) != DSA_ST_SUCCESS &&
				    !(flag == DSA_FLAG_CHECK &&
				      (record_status(&r) == DSA_ST_FALSE ||
				       record_status(&r) == DSA_ST_RESERVED)))
					fail_msg("operation %#x, flag %#x: %#x", ops[i].op, flag,
						 record_status(&r));
				continue;
			}
			r = guest_do(&g, &d);
			if (record_status(&r) != DSA_ST_FLAGS)
				fail_msg("operation %#x, flag %#x: %#x", ops[i].op, flag,
					 record_status(&r));
			assert_int_equal(r.w[2], flag);
		}
	}
	/* The traffic class of a seed's address, with a seed. */
	{
		struct desc d = good(DSA_OP_CRC);

		d.w[0] |= (uint64_t)(DSA_FLAG_TC_A3 | DSA_FLAG_CRC_READ_SEED) << 32;
		d.w[6] = C_VA;
		expect(&g, &d, DSA_ST_SUCCESS);
	}
	guest_close(&g);
}

static void a_record_is_required_where_it_is_the_result(void **state)
{
	struct guest g;
	unsigned int i, k;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < OPS; i++) {
		for (k = 0; k < 3; k++) {
			static const uint32_t less[] = { DSA_FLAG_CRAV, DSA_FLAG_RCR,
							 DSA_FLAG_CRAV | DSA_FLAG_RCR };
			struct desc d = good(ops[i].op);
			bool bad = ops[i].needs_record || less[k] == DSA_FLAG_CRAV ||
				   ops[i].op == DSA_OP_DRAIN;
			uint64_t e;

			memset(guest_ptr(&g, A_VA), 0, 4096);
			memset(guest_ptr(&g, GUEST_RECORD), 0, 32);
			d.w[0] &= ~((uint64_t)less[k] << 32);
			submit(&g, &d);
			e = guest_read64(&g, 0xc0);
			if (!bad) {
				assert_int_equal(swerror_code(&g), 0);
				continue;
			}
			if (less[k] == DSA_FLAG_RCR) { /* there is an address: it is told there */
				assert_int_equal(guest_ptr(&g, GUEST_RECORD)[0], DSA_ST_FLAGS);
				assert_int_equal(swerror_code(&g), 0);
				continue;
			}
			assert_int_equal(swerror_code(&g), DSA_ST_FLAGS);
			assert_int_equal(e >> 32 & 0xff, ops[i].op);
			assert_int_equal(e & 0x8c, 0x8c);
			assert_true(guest_read64(&g, 0xc8) >> 32 & (DSA_FLAG_CRAV | DSA_FLAG_RCR));
			guest_write64(&g, 0xc0, 3);
		}
	}
	guest_close(&g);
}

static void reserved_bytes_are_0(void **state)
{
	struct guest g;
	unsigned int i, byte;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < OPS; i++) {
		for (byte = 16; byte < 64; byte++) {
			struct desc d = good(ops[i].op);

			if (ops[i].bytes >> byte & 1 || byte == 36 || byte == 37)
				continue;
			d.w[byte / 8] |= 0x40ull << 8 * (byte % 8);
			expect(&g, &d, DSA_ST_RESERVED);
		}
	}
	/* Dword 0 means nothing in a dedicated queue. */
	{
		struct desc d = good(DSA_OP_MOVE);

		d.w[0] |= 0xffffffff;
		expect(&g, &d, DSA_ST_SUCCESS);
		/* DIF flags have four bits. */
		d = good(DSA_OP_DIF_INSERT);
		d.w[5] = 0x10 << 16;
		expect(&g, &d, DSA_ST_RESERVED);
	}
	guest_close(&g);
}

static void in_a_shared_queue_dword_0_counts(void **state)
{
	struct guest_config c = { .shared = 1 };
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, &c);
	d = good(DSA_OP_MOVE);
	expect(&g, &d, DSA_ST_SUCCESS);
	d.w[0] |= 0x00100000;
	expect(&g, &d, DSA_ST_RESERVED);
	/* Privileged: the PASID capability has it not. That reaches no record. */
	d = good(DSA_OP_MOVE);
	d.w[0] |= 1u << 31 | GUEST_GP;
	memset(guest_ptr(&g, GUEST_RECORD), 0, 32);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0, &d), 0);
	assert_int_equal(guest_run(&g), 1);
	assert_int_equal(guest_ptr(&g, GUEST_RECORD)[0], 0);
	assert_int_equal(swerror_code(&g), DSA_ST_PRIV);
	guest_close(&g);
}

static void sizes_and_alignments(void **state)
{
	static const struct {
		unsigned int op, word;
		uint64_t value;
		unsigned int code;
	} rows[] = {
		{ DSA_OP_MOVE, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_MOVE, 4, (1 << 21) + 1, DSA_ST_SIZE },
		{ DSA_OP_MOVE, 4, 0xffffffff, DSA_ST_SIZE },
		{ DSA_OP_FILL, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_COMPARE, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_COMPVAL, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_CRC, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_COPY_CRC, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_DUALCAST, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_CFLUSH, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_BATCH, 4, 0, DSA_ST_COUNT },
		{ DSA_OP_BATCH, 4, 1, DSA_ST_COUNT },
		{ DSA_OP_BATCH, 4, 1025, DSA_ST_COUNT },
		{ DSA_OP_BATCH, 4, 0x80000002, DSA_ST_COUNT },
		{ DSA_OP_BATCH, 2, A_VA + 32, DSA_ST_LIST_ALIGN },
		{ DSA_OP_CR_DELTA, 4, 0x80008, DSA_ST_SIZE },
		{ DSA_OP_CR_DELTA, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_CR_DELTA, 4, 60, DSA_ST_ALIGN },
		{ DSA_OP_CR_DELTA, 2, A_VA + 4, DSA_ST_ALIGN },
		{ DSA_OP_CR_DELTA, 3, B_VA + 1, DSA_ST_ALIGN },
		{ DSA_OP_CR_DELTA, 5, C_VA + 2, DSA_ST_ALIGN },
		{ DSA_OP_CR_DELTA, 6, 79, DSA_ST_VALUE },
		{ DSA_OP_CR_DELTA, 5, A_VA + 56, DSA_ST_OVERLAP },
		{ DSA_OP_CR_DELTA, 5, B_VA - 72, DSA_ST_OVERLAP },
		{ DSA_OP_CR_DELTA, 5, B_VA - 80, DSA_ST_SUCCESS },
		{ DSA_OP_AP_DELTA, 4, 0x80008, DSA_ST_SIZE },
		{ DSA_OP_AP_DELTA, 4, 4, DSA_ST_ALIGN },
		{ DSA_OP_AP_DELTA, 3, B_VA + 4, DSA_ST_ALIGN },
		{ DSA_OP_AP_DELTA, 5, 0, DSA_ST_VALUE },
		{ DSA_OP_AP_DELTA, 5, 9, DSA_ST_VALUE },
		{ DSA_OP_AP_DELTA, 5, 15, DSA_ST_VALUE },
		{ DSA_OP_AP_DELTA, 3, A_VA + 8, DSA_ST_OVERLAP },
		{ DSA_OP_DUALCAST, 5, C_VA + 1, DSA_ST_DUALCAST },
		{ DSA_OP_DUALCAST, 3, A_VA, DSA_ST_OVERLAP },
		{ DSA_OP_DUALCAST, 5, B_VA, DSA_ST_OVERLAP },
		{ DSA_OP_COPY_CRC, 3, A_VA + 63, DSA_ST_OVERLAP },
		{ DSA_OP_COPY_CRC, 3, A_VA + 64, DSA_ST_SUCCESS },
		{ DSA_OP_COPY_CRC, 3, A_VA - 64, DSA_ST_SUCCESS },
		{ DSA_OP_DIF_CHECK, 4, 512, DSA_ST_SIZE },
		{ DSA_OP_DIF_INSERT, 4, 520, DSA_ST_SIZE },
		{ DSA_OP_DIF_STRIP, 4, 521, DSA_ST_SIZE },
		{ DSA_OP_DIF_UPDATE, 4, 0, DSA_ST_SIZE },
		{ DSA_OP_DIF_INSERT, 3, A_VA + 511, DSA_ST_OVERLAP },
		{ DSA_OP_DIF_INSERT, 3, A_VA - 519, DSA_ST_OVERLAP },
		{ DSA_OP_DIF_INSERT, 3, A_VA - 520, DSA_ST_SUCCESS },
		{ DSA_OP_DIF_STRIP, 3, A_VA, DSA_ST_OVERLAP },
	};
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, NULL);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct desc d = good(rows[i].op);

		memset(guest_ptr(&g, A_VA), 0, 4096);
		d.w[rows[i].word] = rows[i].value;
		expect(&g, &d, rows[i].code);
	}
	guest_close(&g);
}

static void a_misaligned_record_goes_to_swerror(void **state)
{
	struct desc d = good(DSA_OP_FILL);
	struct guest g;

	(void)state;
	guest_open(&g, NULL);
	d.w[1] = GUEST_RECORD + 8;
	memset(guest_ptr(&g, GUEST_RECORD), 0, 64);
	submit(&g, &d);
	assert_int_equal(guest_ptr(&g, GUEST_RECORD + 8)[0], 0);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_ALIGN);
	assert_int_equal(guest_read64(&g, 0xd0), GUEST_RECORD + 8);
	/* The next error only says that there was one. */
	d.w[0] = (uint64_t)0xffu << 56;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_ALIGN);
	assert_int_equal(guest_read64(&g, 0xc0) & 3, 3);
	guest_write64(&g, 0xc0, 2);
	assert_int_equal(guest_read64(&g, 0xc0) & 3, 1);
	guest_write64(&g, 0xc0, 3);
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_OPCODE);
	assert_int_equal(guest_read64(&g, 0xc0) >> 32 & 0xff, 0xff);
	guest_close(&g);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void completion_interrupts_need_a_handle_for_the_pasid(void **state)
{
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, NULL);
	d = desc_make(DSA_OP_FILL, DSA_FLAG_RCI, 5, B_VA, 8);
	d.w[4] |= 3ull << 32;
	expect(&g, &d, DSA_ST_INT_HANDLE); /* no permission yet */
	guest_write32(&g, MSIXPERM(3), 8 | (GUEST_GP + 1) << 12);
	expect(&g, &d, DSA_ST_INT_HANDLE);
	assert_int_equal(g.interrupts[3], 0);
	guest_write32(&g, MSIXPERM(3), 8 | GUEST_GP << 12);
	expect(&g, &d, DSA_ST_SUCCESS);
	assert_int_equal(g.interrupts[3], 1);
	guest_write32(&g, MSIXPERM(3), 8 | 4 | GUEST_GP << 12);
	expect(&g, &d, DSA_ST_SUCCESS);
	assert_int_equal(g.interrupts[3], 1);
	/* An error interrupts, too. */
	guest_write32(&g, MSIXPERM(3), 8 | GUEST_GP << 12);
	d.w[4] &= ~0xffffffffull;
	expect(&g, &d, DSA_ST_SIZE);
	assert_int_equal(g.interrupts[3], 2);
	/* Beyond the table. */
	d = desc_make(DSA_OP_FILL, DSA_FLAG_RCI, 5, B_VA, 8);
	d.w[4] |= 9ull << 32;
	expect(&g, &d, DSA_ST_INT_HANDLE);
	/* In a portal of the interrupt message store, which is empty. */
	d.w[4] = 8 | 3ull << 32;
	memset(guest_ptr(&g, GUEST_RECORD), 0, 32);
	guest_submit(&g, 0x2000, &d);
	assert_int_equal(guest_run(&g), 1);
	assert_int_equal(guest_ptr(&g, GUEST_RECORD)[0], DSA_ST_INT_HANDLE);
	/* Without a record the handle is in SWERROR. */
	d.w[0] = (uint64_t)(DSA_OP_FILL << 24 | DSA_FLAG_RCI) << 32;
	d.w[4] = 8 | 77ull << 32;
	submit(&g, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_INT_HANDLE);
	assert_int_equal(guest_read64(&g, 0xc8) >> 32 & 0xffff, 77);
	guest_close(&g);
}

static void a_queue_without_pasid_needs_a_handle_without(void **state)
{
	struct guest_config c = { .no_pasid_q = 1 };
	const struct viommu_bind bind = { .size = sizeof(bind), .kind = VIOMMU_BIND_NESTED };
	struct guest g;
	struct desc d;
	uint64_t gpa;

	(void)state;
	guest_open(&g, &c);
	assert_int_equal(viommu_device_attach(g.w.dev, g.w.dom, &bind), 0);
	gpa = (uint64_t)(g.mem - (uint8_t *)world_ptr(&g.w, 0));
	d = desc_make(DSA_OP_FILL, DSA_FLAG_RCI, 5, gpa + 0x1000, 8);
	d.w[1] = gpa + 0x40;
	d.w[4] |= 2ull << 32;
	guest_write32(&g, MSIXPERM(2), 8 | GUEST_GP << 12);
	submit(&g, &d);
	assert_int_equal(g.mem[0x40], DSA_ST_INT_HANDLE);
	guest_write32(&g, MSIXPERM(2), 0);
	submit(&g, &d);
	assert_int_equal(g.mem[0x40], DSA_ST_SUCCESS);
	assert_int_equal(g.interrupts[2], 1);
	guest_close(&g);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(good_ones_succeed),
	cmocka_unit_test(operations_that_are_not_there_are_refused),
	cmocka_unit_test(a_queue_may_allow_less),
	cmocka_unit_test(flags_are_those_of_the_operation),
	cmocka_unit_test(a_record_is_required_where_it_is_the_result),
	cmocka_unit_test(reserved_bytes_are_0),
	cmocka_unit_test(in_a_shared_queue_dword_0_counts),
	cmocka_unit_test(sizes_and_alignments),
	cmocka_unit_test(a_misaligned_record_goes_to_swerror),
	cmocka_unit_test(completion_interrupts_need_a_handle_for_the_pasid),
	cmocka_unit_test(a_queue_without_pasid_needs_a_handle_without),
};
TEST_MAIN(tests)
