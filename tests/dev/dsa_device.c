/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers, commands, portals, queues: what a driver sees of the device besides its operations.
 * Numbers stand here as a driver writes them.
 */
#include "base/alloc.h"
#include "base/bits.h"
#include "dev/dsa_guest.h"

#define A_VA (GUEST_VA + 0x10000)
#define B_VA (GUEST_VA + 0x100000)

#define ACTIVE 0x80000000u

static const struct guest_config bare = { .no_enable = 1 };

static unsigned int swerror_code(struct guest *g)
{
	uint64_t v = guest_read64(g, 0xc0);

	return v & 1 ? (unsigned int)(v >> 8 & 0xff) : 0;
}

static uint32_t occupancy(struct guest *g, unsigned int wq)
{
	return guest_read32(g, WQCFG(wq, 6)) & 0xffff;
}

static unsigned int wq_state(struct guest *g, unsigned int wq)
{
	return guest_read32(g, WQCFG(wq, 6)) >> 30;
}

/* ---- Registers ------------------------------------------------------------------------------- */

static void power_on(struct guest *g)
{
	assert_int_equal(guest_read32(g, 0x00), 0x100);
	assert_int_equal(guest_read64(g, 0x10), 0x815e0117);
	assert_int_equal(guest_read64(g, 0x20), 0x7f000001080080);
	assert_int_equal(guest_read64(g, 0x30), 0x36004);
	assert_int_equal(guest_read64(g, 0x38), 4);
	assert_int_equal(guest_read64(g, 0x40), 0x1003f03ff);
	assert_int_equal(guest_read64(g, 0x48), 0);
	assert_int_equal(guest_read64(g, 0x60), 0x0000000800050004);
	assert_int_equal(guest_read64(g, 0x68), 0);
	assert_int_equal(guest_read32(g, 0x80), 96);
	assert_int_equal(guest_read32(g, 0x88), 0);
	assert_int_equal(guest_read32(g, 0x90), 0);
	assert_int_equal(guest_read32(g, 0x98), 0);
	assert_int_equal(guest_read32(g, 0xa0), 0);
	assert_int_equal(guest_read32(g, 0xa8), 0);
	assert_int_equal(guest_read64(g, 0xb0), 0x1ffe);
	assert_int_equal(guest_read32(g, GRPCFG(3, 10)), 96 << 20);
	assert_int_equal(guest_read32(g, WQCFG(7, 6)), 0x20000000);
	assert_int_equal(guest_read64(g, WQCFG(7, 8)), 0x1003f03ff);
	assert_int_equal(guest_read32(g, MSIXPERM(8)), 0);
}

static void registers_after_power_on_are_those_that_drivers_know(void **state)
{
	struct guest g;
	uint64_t v;

	(void)state;
	guest_open(&g, &bare);
	power_on(&g);
	assert_int_equal(guest_read64(&g, 0xf000), ~0ull);
	assert_int_equal(guest_read64(&g, 0xe000), 0);
	assert_int_equal(viommu_pci_bar_read(g.pci, 2, 0x1000, 4, &v), 0);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(viommu_pci_bar_read(g.pci, 2, 0x20000, 4, &v), -EINVAL);
	assert_int_equal(viommu_pci_config(g.pci)->vendor, 0x8086);
	assert_int_equal(viommu_pci_config(g.pci)->device, 0x0b25);
	assert_int_equal(viommu_pci_config(g.pci)->msix_vectors, 9);
	guest_close(&g);
}

static void what_is_smaller_says_so(void **state)
{
	struct guest_config c = { .no_enable = 1,
				  .dsa = { .queues = 3,
					   .groups = 2,
					   .engines = 1,
					   .max_transfer_lg2 = 21,
					   .max_batch_lg2 = 5,
					   .entries = 40 } };
	struct guest g;

	(void)state;
	guest_open(&g, &c);
	assert_int_equal(guest_read64(&g, 0x10) & 0x1ff0000, 21 << 16 | 5 << 21);
	assert_int_equal(guest_read64(&g, 0x20) & 0xffffff, 3 << 16 | 40);
	assert_int_equal(guest_read64(&g, 0x30) & 0xff, 2);
	assert_int_equal(guest_read64(&g, 0x38), 1);
	assert_int_equal(viommu_pci_config(g.pci)->msix_vectors, 4);
	assert_int_equal(viommu_pci_config(g.pci)->bar[2].bytes, 0x10000);
	assert_int_equal(viommu_pci_config(g.pci)->workers, 1);
	/* Neither queue 3, nor group 2, nor engine 1, nor vector 4. */
	guest_write32(&g, WQCFG(3, 0), 5);
	assert_int_equal(guest_read32(&g, WQCFG(3, 0)), 0);
	guest_write64(&g, GRPCFG(2, 0), 1);
	assert_int_equal(guest_read64(&g, GRPCFG(2, 0)), 0);
	guest_write64(&g, GRPCFG(1, 0), ~0ull);
	assert_int_equal(guest_read64(&g, GRPCFG(1, 0)), 7);
	guest_write64(&g, GRPCFG(1, 2), ~0ull);
	assert_int_equal(guest_read64(&g, GRPCFG(1, 2)), 0);
	guest_write64(&g, GRPCFG(1, 8), ~0ull);
	assert_int_equal(guest_read64(&g, GRPCFG(1, 8)), 1);
	guest_write32(&g, MSIXPERM(4), ~0u);
	assert_int_equal(guest_read32(&g, MSIXPERM(4)), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 3), DSA_CE_WQ);
	assert_int_equal(guest_command(&g, DSA_CMD_RESET_WQ, 8), DSA_CE_WQ);
	guest_close(&g);
}

static void with_msi_it_is_another_function(void **state)
{
	struct guest_config c = { .dsa = { .queues = 3, .msi = 1 } };
	const struct viommu_pci_config *pc;
	struct guest g;

	(void)state;
	guest_open(&g, &c);
	pc = viommu_pci_config(g.pci);
	assert_int_equal(pc->vendor, 0x1af4);
	assert_int_equal(pc->device, 0x10f1);
	assert_int_equal(pc->msix_vectors, 0);
	assert_int_equal(pc->msi_vectors, 4); /* its own, and a queue's each */
	assert_int_equal(guest_capability(&g, 0x11), 0);
	guest_close(&g);
	c.dsa.queues = 4;
	guest_open(&g, &c);
	assert_int_equal(viommu_pci_config(g.pci)->msi_vectors, 8);
	guest_close(&g);
}

static void configurations_out_of_range_are_refused(void **state)
{
	const struct viommu_dsa_config bad[] = {
		{ .size = 1 },
		{ .size = sizeof(bad[0]), .queues = 9 },
		{ .size = sizeof(bad[0]), .groups = 5 },
		{ .size = sizeof(bad[0]), .engines = 5 },
		{ .size = sizeof(bad[0]), .max_transfer_lg2 = 20 },
		{ .size = sizeof(bad[0]), .max_transfer_lg2 = 32 },
		{ .size = sizeof(bad[0]), .max_batch_lg2 = 4 },
		{ .size = sizeof(bad[0]), .max_batch_lg2 = 11 },
		{ .size = sizeof(bad[0]), .entries = 1025 },
		{ .size = sizeof(bad[0]), .no_pri = 2 },
		{ .size = sizeof(bad[0]), .msi = 2 },
		{ .size = sizeof(bad[0]), .reserved = 1 },
	};
	struct viommu_dsa *dsa;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(viommu_dsa_new(&bad[i], &dsa), -EINVAL);
		assert_null(dsa);
	}
	assert_int_equal(viommu_dsa_new(NULL, &dsa), 0);
	viommu_dsa_free(dsa);
	viommu_dsa_free(NULL);
}

static void it_is_made_whole_or_not_at_all(void **state)
{
	long n, live = viommu__alloc_live();
	struct viommu_dsa *dsa;
	int err;

	(void)state;
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = viommu_dsa_new(NULL, &dsa);
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(dsa);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_int_equal(err, 0);
	assert_true(n > 10);
	viommu_dsa_free(dsa);
	assert_int_equal(viommu__alloc_live(), live);
}

static void locked_fields_keep_their_value_silently(void **state)
{
	static const struct {
		uint32_t offset;
		uint32_t off, on, queue_on; /* what can be written: device off, on, queue on */
	} rows[] = {
		{ 0x00, 0, 0, 0 },
		{ 0x10, 0, 0, 0 },
		{ 0x14, 0, 0, 0 },
		{ 0x40, 0, 0, 0 },
		{ 0x80, 0x10ff, 0, 0 },
		{ 0x84, 0, 0, 0 },
		{ 0x88, 3, 3, 3 },
		{ 0x90, 0, 0, 0 },
		{ 0xa8, 0, 0, 0 },
		{ 0xb0, 0, 0, 0 },
		{ 0xc8, 0, 0, 0 },
		{ GRPCFG(1, 0), 0xff, 0, 0 },
		{ GRPCFG(1, 1), 0, 0, 0 },
		{ GRPCFG(1, 8), 0xf, 0, 0 },
		{ GRPCFG(1, 10), 0x0ff0ffbf, 0, 0 },
		{ GRPCFG(1, 11), 0, 0, 0 },
		{ WQCFG(0, 0), 0xffff, 0, 0 },
		{ WQCFG(0, 1), 0xffff, 0xffff, 0xffff },
		{ WQCFG(0, 2), 0x3fffffff, 0x3fffffff, 0 },
		{ WQCFG(0, 3), 0x1fff, 0x1fff, 0 },
		{ WQCFG(0, 4), 0x1ffff, 0x1ffff, 0 },
		{ WQCFG(0, 5), 0xffff, 0xffff, 0xffff },
		{ WQCFG(0, 6), 0, 0, 0 },
		{ WQCFG(0, 7), 0, 0, 0 },
		{ WQCFG(0, 8), 0xffffffff, 0xffffffff, 0 },
		{ WQCFG(0, 15), 0xffffffff, 0xffffffff, 0 },
		{ MSIXPERM(1), 0xfffff00c, 0xfffff00c, 0xfffff00c },
		{ MSIXPERM(1) + 4, 0, 0, 0 },
		{ 0x300, 0, 0, 0 },
		{ 0xffc, 0, 0, 0 },
	};
	struct guest g;
	unsigned int step, i;

	(void)state;
	guest_open(&g, &bare);
	for (step = 0; step < 3; step++) {
		if (step == 1) {
			guest_write32(&g, GRPCFG(0, 0), 1);
			guest_write32(&g, GRPCFG(0, 8), 1);
			guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED);
			assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
		} else if (step == 2) {
			assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
		}
		for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			uint32_t at = rows[i].offset, was = guest_read32(&g, at);
			uint32_t can = step == 0   ? rows[i].off
				       : step == 1 ? rows[i].on
						   : rows[i].queue_on;

			/* All but the enable bit that would lock its own register. */
			guest_write32(&g, at, at == WQCFG(0, 5) ? ~was & 0xfffeffff : ~was);
			if (guest_read32(&g, at) != (was ^ can))
				fail_msg("step %u, %#x: %#x, then %#x", step, at, was,
					 guest_read32(&g, at));
			guest_write32(&g, at, was);
			if (guest_read32(&g, at) != was)
				fail_msg("step %u, %#x: not %#x again", step, at, was);
		}
	}
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	guest_close(&g);
}

static void accesses_of_any_width_are_parts_of_registers(void **state)
{
	struct guest g;
	uint64_t v;

	(void)state;
	guest_open(&g, &bare);
	guest_write64(&g, MSIXPERM(2), 0x12345000);
	assert_int_equal(viommu_pci_bar_write(g.pci, 0, MSIXPERM(2) + 2, 1, 0x99), 0);
	assert_int_equal(guest_read32(&g, MSIXPERM(2)), 0x12995000);
	assert_int_equal(viommu_pci_bar_write(g.pci, 0, MSIXPERM(2) + 2, 2, 0xabcd), 0);
	assert_int_equal(guest_read64(&g, MSIXPERM(2)), 0xabcd5000);
	assert_int_equal(viommu_pci_bar_read(g.pci, 0, MSIXPERM(2) + 3, 1, &v), 0);
	assert_int_equal(v, 0xab);
	assert_int_equal(viommu_pci_bar_read(g.pci, 0, 0x12, 2, &v), 0);
	assert_int_equal(v, 0x815e);
	/* A part of the command register is no command; an 8-byte write is one. */
	assert_int_equal(viommu_pci_bar_write(g.pci, 0, 0xa2, 2, 0x0050), 0);
	assert_int_equal(guest_read32(&g, MSIXPERM(2)), 0xabcd5000);
	guest_write64(&g, 0xa0, 0x00500000);
	assert_int_equal(guest_read32(&g, MSIXPERM(2)), 0);
	guest_close(&g);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void device_enable_checks_the_configuration(void **state)
{
	static const struct {
		uint32_t at[3], value[3];
		unsigned int err;
	} rows[] = {
		/* queue 0 of 16 entries in group 0 with engine 0 is the base */
		{ { WQCFG(1, 0) }, { 113 }, DSA_CE_WQ_SIZES },
		{ { GRPCFG(1, 0) }, { 2 }, DSA_CE_GROUP },
		{ { GRPCFG(1, 8) }, { 2 }, DSA_CE_GROUP },
		{ { GRPCFG(1, 0), GRPCFG(1, 8) }, { 2, 2 }, DSA_CE_WQ_GROUP },
		{ { WQCFG(1, 0) }, { 16 }, DSA_CE_WQ_GROUP },
		{ { GRPCFG(1, 0), GRPCFG(1, 8) }, { 1, 2 }, DSA_CE_WQ_GROUP },
		{ { GRPCFG(1, 0), GRPCFG(1, 8), WQCFG(1, 0) }, { 2, 1, 1 }, DSA_CE_ENGINE_GROUP },
		{ { GRPCFG(0, 10) }, { 3 << 20 }, DSA_CE_BUFFERS },
		{ { GRPCFG(0, 10) }, { 5 << 20 | 6 << 8 }, DSA_CE_BUFFERS },
		{ { GRPCFG(0, 10) }, { 255u << 20 | 97 << 8 }, DSA_CE_BUFFERS },
		{ { GRPCFG(1, 10) }, { 0 }, 0 },
		{ { GRPCFG(0, 8), GRPCFG(0, 10) }, { 0xf, 16 << 20 | 16 << 8 }, 0 },
	};
	struct guest_config c = { .no_enable = 1, .no_master = 1 };
	struct guest g;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		guest_open(&g, &bare);
		guest_write32(&g, GRPCFG(0, 0), 1);
		guest_write32(&g, GRPCFG(0, 8), 1);
		guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED);
		for (k = 0; k < 3 && rows[i].at[k]; k++)
			guest_write32(&g, rows[i].at[k], rows[i].value[k]);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), rows[i].err);
		assert_int_equal(guest_read32(&g, 0x90), !rows[i].err);
		if (!rows[i].err)
			assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0),
					 DSA_CE_DEV_ENABLED);
		guest_close(&g);
	}
	guest_open(&g, &c);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), DSA_CE_BUS_MASTER);
	guest_close(&g);
}

static void queue_enable_checks_the_configuration(void **state)
{
	static const struct {
		uint32_t at, value;
		unsigned int err;
		unsigned int off; /* 1: page requests, 2: PASID */
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED, DSA_CE_WQ_PRIORITY, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED | WQ_PRIORITY(1) | WQ_BOF, 0, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED | WQ_PRIORITY(1) | WQ_BOF, DSA_CE_WQ_BOF, 1 },
		{ WQCFG(0, 2), WQ_PRIORITY(1), DSA_CE_WQ_PASID, 0 },
		{ WQCFG(0, 2), WQ_PRIORITY(1) | WQ_PASID(0), 0, 0 },
		{ WQCFG(0, 2), WQ_PRIORITY(1) | WQ_PASID(0), DSA_CE_WQ_PASID, 2 },
		{ WQCFG(0, 2), WQ_PRIORITY(1) | WQ_DEDICATED | WQ_PASID(5), DSA_CE_WQ_PASID, 2 },
		{ WQCFG(0, 3), 21 | 11 << 5, DSA_CE_WQ_BATCH, 0 },
		{ WQCFG(0, 3), 21 | 1 << 9, DSA_CE_WQ_BATCH, 0 },
		{ WQCFG(0, 3), 31, DSA_CE_WQ_TRANSFER, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED | WQ_PRIORITY(1) | 1u << 29, 0, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED | WQ_PRIORITY(1) | 1u << 29 | WQ_PASID(5),
		  DSA_CE_WQ_PRIV, 0 },
		{ WQCFG(0, 5), 1u << 16, 0, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED | WQ_PRIORITY(1) | 8, DSA_CE_WQ_PRS, 0 },
		{ WQCFG(0, 2), WQ_DEDICATED | WQ_PRIORITY(1) | 4, 0, 0 },
		{ WQCFG(0, 8), 0x400, DSA_CE_WQ_OPS, 0 },
		{ WQCFG(0, 9), 2, DSA_CE_WQ_OPS, 0 },
		{ WQCFG(0, 15), 1u << 31, DSA_CE_WQ_OPS, 0 },
	};
	struct guest_config c = bare;
	struct guest g;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c.no_pri = rows[i].off == 1;
		c.no_pasid = rows[i].off == 2;
		guest_open(&g, &c);
		guest_write32(&g, GRPCFG(0, 0), 1);
		guest_write32(&g, GRPCFG(0, 8), 1);
		guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED);
		if (rows[i].at)
			guest_write32(&g, rows[i].at, rows[i].value);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), DSA_CE_DEV_OFF);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 1), DSA_CE_WQ_SIZE);
		if (guest_command(&g, DSA_CMD_ENABLE_WQ, 0) != rows[i].err)
			fail_msg("row %u: %#x", i, guest_read32(&g, 0xa8));
		assert_int_equal(wq_state(&g, 0), !rows[i].err);
		if (!rows[i].err)
			assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0),
					 DSA_CE_WQ_ENABLED);
		guest_close(&g);
	}
	/* The occupancy interrupt's handle counts only with the interrupt. */
	for (i = 0; i < 2; i++) {
		guest_open(&g, &bare);
		guest_write32(&g, GRPCFG(0, 0), 1);
		guest_write32(&g, GRPCFG(0, 8), 1);
		guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED);
		guest_write32(&g, WQCFG(0, 4), i ? 1 << 16 : 9);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
		guest_write32(&g, WQCFG(0, 5), 1 << 16);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), DSA_CE_WQ_OCCUPANCY);
		guest_write32(&g, WQCFG(0, 5), 0);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
		guest_close(&g);
	}
}

static void commands_and_operands_are_checked(void **state)
{
	static const struct {
		unsigned int code;
		uint32_t operand;
		unsigned int err;
	} rows[] = {
		{ 0, 0, DSA_CE_COMMAND },
		{ 13, 0, DSA_CE_COMMAND },
		{ 31, 0, DSA_CE_COMMAND },
		{ DSA_CMD_ENABLE_DEVICE, 1, DSA_CE_RESERVED },
		{ DSA_CMD_DISABLE_DEVICE, 1, DSA_CE_RESERVED },
		{ DSA_CMD_DRAIN_ALL, 1, DSA_CE_RESERVED },
		{ DSA_CMD_ABORT_ALL, 0x80000, DSA_CE_RESERVED },
		{ DSA_CMD_RESET_DEVICE, 1, DSA_CE_RESERVED },
		{ DSA_CMD_DISABLE_DEVICE, 0, DSA_CE_DEV_NOT_ENABLED },
		{ DSA_CMD_ENABLE_WQ, 8, DSA_CE_WQ },
		{ DSA_CMD_DISABLE_WQ, 0x100, DSA_CE_WQ },
		{ DSA_CMD_DRAIN_WQ, 0x10001, DSA_CE_WQ },
		{ DSA_CMD_RESET_WQ, 0x8000, DSA_CE_WQ },
		{ DSA_CMD_DISABLE_WQ, 1, DSA_CE_WQ_NOT_ENABLED },
		{ DSA_CMD_DRAIN_WQ, 1, DSA_CE_WQ_NOT_ENABLED },
		{ DSA_CMD_ABORT_WQ, 1, DSA_CE_WQ_NOT_ENABLED },
		{ DSA_CMD_RESET_WQ, 1, 0 },
		{ DSA_CMD_DRAIN_ALL, 0, 0 },
		{ DSA_CMD_ABORT_ALL, 0, 0 },
		{ DSA_CMD_DRAIN_PASID, 5, 0 },
		{ DSA_CMD_ABORT_PASID, 5, 0 },
		{ DSA_CMD_RESET_DEVICE, 0, 0 },
	};
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, &bare);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(guest_command(&g, rows[i].code, rows[i].operand), rows[i].err);
	guest_write32(&g, 0xa0, 0x00500000 | 1u << 25);
	assert_int_equal(guest_read32(&g, 0xa8), DSA_CE_RESERVED);
	assert_int_equal(g.interrupts[0], 0);
	/* With the interrupt: cause and vector 0, on errors, too. */
	guest_write32(&g, 0xa0, 0x80500000);
	assert_int_equal(guest_read32(&g, 0xa8), 0);
	assert_int_equal(guest_read32(&g, 0x98), 2);
	assert_int_equal(g.interrupts[0], 1);
	guest_write32(&g, 0x98, 2);
	assert_int_equal(guest_read32(&g, 0x98), 0);
	guest_write32(&g, 0xa0, 0x80200000);
	assert_int_equal(guest_read32(&g, 0xa8), DSA_CE_DEV_NOT_ENABLED);
	assert_int_equal(g.interrupts[0], 2);
	guest_close(&g);
}

static void reset_queue_keeps_the_size_alone(void **state)
{
	struct guest g;

	(void)state;
	guest_open(&g, NULL);
	assert_int_equal(wq_state(&g, 0), 1);
	assert_int_equal(guest_command(&g, DSA_CMD_RESET_WQ, 1), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 0)), 16);
	assert_int_equal(guest_read32(&g, WQCFG(0, 1)), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 2)), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 3)), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 6)), 0x20000000);
	assert_int_equal(guest_read64(&g, WQCFG(0, 8)), 0x1003f03ff);
	assert_int_equal(guest_read32(&g, 0x90), 1);
	guest_close(&g);
}

static void disable_keeps_the_configuration(void **state)
{
	struct guest g;
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	struct record r;
	uint32_t mode;

	(void)state;
	guest_open(&g, NULL);
	mode = guest_read32(&g, WQCFG(0, 2));
	assert_int_equal(guest_command(&g, DSA_CMD_DISABLE_WQ, 1), 0);
	assert_int_equal(wq_state(&g, 0), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 2)), mode);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_DISABLE_DEVICE, 0), 0);
	assert_int_equal(guest_read32(&g, 0x90), 0);
	assert_int_equal(wq_state(&g, 0), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 2)), mode);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	guest_close(&g);
}

static void reset_device_keeps_the_error_and_no_more(void **state)
{
	struct guest g;
	struct desc d = desc_make(DSA_OP_FILL, 0, 0, B_VA, 8);

	(void)state;
	guest_open(&g, NULL);
	guest_write32(&g, 0x88, 3);
	guest_write32(&g, MSIXPERM(2), 8);
	d.w[1] |= 1;
	guest_submit(&g, 0, &d);
	assert_int_equal(guest_run(&g), 1);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_ALIGN);
	assert_int_equal(guest_read32(&g, 0x98), 1);
	assert_int_equal(g.interrupts[0], 1);
	assert_int_equal(guest_command(&g, DSA_CMD_RESET_DEVICE, 0), 0);
	assert_int_equal(swerror_code(&g), DSA_ST_CR_ALIGN);
	power_on(&g);
	/* A reset of the function clears that, too. */
	viommu_pci_reset(g.pci);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	power_on(&g);
	guest_close(&g);
}

/* ---- Commands that wait ---------------------------------------------------------------------- */

/* A descriptor of queue wq that is stuck in a page request until the test answers. */
static void stick(struct guest *g, uint64_t portal, struct desc *d)
{
	*d = desc_make(DSA_OP_FILL, DSA_FLAG_BOF, 0x1111, B_VA, 8);
	memset(guest_ptr(g, GUEST_RECORD), 0, 32);
	g->answer = ANSWER_LATER;
	guest_hide(g, B_VA);
	guest_workers_start(g, 4);
	guest_submit(g, portal, d);
	guest_wait_requests(g, 1);
}

static void unstick(struct guest *g)
{
	guest_show(g, B_VA);
	guest_respond(g, VIOMMU_RESPONSE_SUCCESS);
}

static unsigned int stuck_status(struct guest *g)
{
	guest_workers_stop(g);
	return guest_ptr(g, GUEST_RECORD)[0];
}

static void drain_waits_for_page_requests(void **state)
{
	static const struct {
		unsigned int code;
		uint32_t operand;
	} rows[] = {
		{ DSA_CMD_DRAIN_ALL, 0 },          { DSA_CMD_DRAIN_WQ, 1 },
		{ DSA_CMD_DRAIN_PASID, GUEST_GP }, { DSA_CMD_DISABLE_WQ, 1 },
		{ DSA_CMD_DISABLE_DEVICE, 0 },
	};
	struct guest g;
	struct desc d;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		guest_open(&g, NULL);
		stick(&g, 0, &d);
		guest_write32(&g, 0xa0, 0x80000000 | rows[i].code << 20 | rows[i].operand);
		assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
		assert_int_equal(g.interrupts[0], 0);
		/* A second command is lost, and told. */
		guest_write32(&g, 0xa0, DSA_CMD_ABORT_ALL << 20);
		assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
		assert_int_equal(swerror_code(&g), DSA_ST_COMMAND);
		if (rows[i].code == DSA_CMD_DISABLE_WQ)
			assert_int_equal(wq_state(&g, 0), 2);
		if (rows[i].code == DSA_CMD_DISABLE_DEVICE)
			assert_int_equal(guest_read32(&g, 0x90), 2);
		unstick(&g);
		guest_wait_interrupts(&g, 0, 1);
		assert_int_equal(guest_read32(&g, 0xa8), 0);
		assert_int_equal(guest_read32(&g, 0x98), 2);
		assert_int_equal(stuck_status(&g), DSA_ST_SUCCESS);
		guest_close(&g);
	}
}

static void drain_waits_for_nobody_else(void **state)
{
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, NULL);
	stick(&g, 0, &d);
	assert_int_equal(guest_command(&g, DSA_CMD_DRAIN_PASID, GUEST_GP + 1), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ABORT_PASID, GUEST_GP + 1), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_DRAIN_WQ, 2), DSA_CE_WQ_NOT_ENABLED);
	/* What comes after the command is not waited for either. */
	guest_write32(&g, 0xa0, 0x80000000 | DSA_CMD_DRAIN_WQ << 20 | 1);
	guest_submit(&g, 0, &d);
	assert_int_equal(occupancy(&g, 0), 1);
	unstick(&g);
	guest_wait_interrupts(&g, 0, 1);
	assert_int_equal(guest_read32(&g, 0xa8), 0);
	guest_close(&g);
}

static void drain_waits_for_nothing_that_comes_after_it(void **state)
{
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	struct guest g;

	(void)state;
	guest_open(&g, NULL);
	guest_submit(&g, 0, &d);
	guest_write32(&g, 0xa0, DSA_CMD_DRAIN_WQ << 20 | 1);
	guest_submit(&g, 0, &d);
	assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
	assert_int_equal(viommu_pci_run(g.pci, g.w.dma), 1);
	assert_int_equal(guest_read32(&g, 0xa8), 0);
	assert_int_equal(occupancy(&g, 0), 1);
	guest_close(&g);
}

static void abort_and_reset_end_what_is_stuck_without_a_record(void **state)
{
	static const struct {
		unsigned int code;
		uint32_t operand;
	} rows[] = {
		{ DSA_CMD_ABORT_ALL, 0 },          { DSA_CMD_ABORT_WQ, 1 },
		{ DSA_CMD_ABORT_PASID, GUEST_GP }, { DSA_CMD_RESET_WQ, 1 },
		{ DSA_CMD_RESET_DEVICE, 0 },
	};
	struct guest g;
	struct desc d;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		guest_open(&g, NULL);
		stick(&g, 0, &d);
		guest_submit(&g, 0, &d);
		guest_submit(&g, 0, &d);
		guest_write32(&g, 0xa0, 0x80000000 | rows[i].code << 20 | rows[i].operand);
		/* The page request is outstanding: so is the command. What waited is gone. */
		assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
		assert_int_equal(occupancy(&g, 0), 0);
		unstick(&g);
		guest_wait_interrupts(&g, 0, 1);
		assert_int_equal(guest_read32(&g, 0xa8), 0);
		assert_int_equal(stuck_status(&g), 0);
		assert_int_equal(guest_read64(&g, 0xc0), 0);
		assert_int_equal(guest_run(&g), 0);
		guest_close(&g);
	}
}

static void a_reset_of_the_function_ends_what_is_stuck(void **state)
{
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, NULL);
	stick(&g, 0, &d);
	guest_submit(&g, 0, &d);
	guest_write32(&g, 0xa0, DSA_CMD_DRAIN_ALL << 20);
	assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
	viommu_pci_reset(g.pci);
	power_on(&g);
	assert_int_equal(stuck_status(&g), 0);
	assert_int_equal(guest_run(&g), 0);
	guest_close(&g);
}

static void an_abort_ends_a_batch_between_two_descriptors(void **state)
{
	struct guest g;
	struct desc d, b;

	(void)state;
	guest_open(&g, NULL);
	d = desc_make(DSA_OP_FILL, DSA_FLAG_BOF, 1, B_VA, 8);
	d.w[0] &= ~((uint64_t)(DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32);
	memcpy(guest_ptr(&g, A_VA), &d, 64);
	d.w[3] += 64;
	memcpy(guest_ptr(&g, A_VA + 64), &d, 64);
	b = desc_make(DSA_OP_BATCH, 0, A_VA, 0, 2);
	memset(guest_ptr(&g, GUEST_RECORD), 0, 32);
	memset(guest_ptr(&g, B_VA), 0, 128);
	g.answer = ANSWER_LATER;
	guest_hide(&g, B_VA);
	guest_workers_start(&g, 2);
	guest_submit(&g, 0, &b);
	guest_wait_requests(&g, 1);
	guest_write32(&g, 0xa0, 0x80000000 | DSA_CMD_ABORT_WQ << 20 | 1);
	unstick(&g);
	guest_wait_interrupts(&g, 0, 1);
	assert_int_equal(stuck_status(&g), 0);
	assert_int_equal(guest_ptr(&g, B_VA + 64)[0], 0);
	guest_close(&g);
}

static void an_abort_ends_a_job_that_is_stuck_with_its_record(void **state)
{
	struct desc d = desc_make(DSA_OP_FILL, DSA_FLAG_BOF | DSA_FLAG_RCI, 1, B_VA, 8);
	struct guest g;

	(void)state;
	guest_open(&g, NULL);
	guest_write32(&g, MSIXPERM(1), 8 | GUEST_GP << 12);
	d.w[1] = A_VA;
	d.w[4] |= 1ull << 32;
	guest_hide(&g, B_VA);
	g.vanish = A_VA;
	g.then = ANSWER_LATER;
	guest_workers_start(&g, 1);
	guest_submit(&g, 0, &d);
	guest_wait_requests(&g, 2);
	guest_write32(&g, 0xa0, 0x80000000 | DSA_CMD_ABORT_ALL << 20);
	assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
	guest_respond(&g, VIOMMU_RESPONSE_INVALID);
	guest_wait_interrupts(&g, 0, 1);
	guest_workers_stop(&g);
	assert_int_equal(g.interrupts[1], 0);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	guest_close(&g);
}

/* ---- PCI controls ---------------------------------------------------------------------------- */

static void a_control_that_changes_while_enabled_halts(void **state)
{
	struct guest g;
	struct desc d;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		guest_open(&g, NULL);
		guest_write32(&g, 0x88, 3);
		d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
		guest_submit(&g, 0, &d);
		switch (i) {
		case 0:
			guest_set_config16(&g, 4, 2);
			break;
		case 1:
			guest_set_config16(&g, guest_capability(&g, 0xf) + 6, 0);
			break;
		case 2:
			guest_set_config16(&g, guest_capability(&g, 0x1b) + 6, 0);
			break;
		default:
			guest_set_config16(&g, guest_capability(&g, 0x13) + 4, 0);
			break;
		}
		assert_int_equal(guest_read32(&g, 0x90), 3);
		assert_int_equal(swerror_code(&g), DSA_ST_PCI_CONTROL);
		assert_int_equal(guest_read32(&g, 0x98), 0x11);
		if (i)
			assert_int_equal(g.interrupts[0], 1);
		/* What waited is gone; nothing is taken; only a reset is. */
		assert_int_equal(occupancy(&g, 0), 0);
		guest_submit(&g, 0, &d);
		assert_int_equal(occupancy(&g, 0), 0);
		assert_int_equal(guest_command(&g, DSA_CMD_DRAIN_ALL, 0), DSA_CE_HALTED);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), DSA_CE_HALTED);
		assert_int_equal(guest_command(&g, DSA_CMD_RESET_DEVICE, 0), 0);
		assert_int_equal(guest_read32(&g, 0x90), 0);
		guest_close(&g);
	}
}

/* What Linux does when it finds the function, before a driver is there. */
static void controls_that_change_before_enable_are_fine(void **state)
{
	struct guest_config c = { .no_enable = 1 };
	struct guest g;

	(void)state;
	guest_open(&g, &c);
	guest_set_config16(&g, 4, 2);
	guest_set_config16(&g, guest_capability(&g, 0xf) + 6, 0);
	guest_set_config16(&g, guest_capability(&g, 0xf) + 6, 0x8000);
	guest_set_config16(&g, guest_capability(&g, 0x1b) + 6, 0);
	guest_set_config16(&g, guest_capability(&g, 0x1b) + 6, 1);
	guest_set_config16(&g, guest_capability(&g, 0x13) + 4, 2);
	guest_set_config16(&g, guest_capability(&g, 0x13) + 4, 1);
	guest_set_config16(&g, 4, 6);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	assert_int_equal(guest_read32(&g, 0x90), 0);
	guest_close(&g);
}

static void a_halt_ends_what_is_stuck(void **state)
{
	struct guest g;
	struct desc d;

	(void)state;
	guest_open(&g, NULL);
	stick(&g, 0, &d);
	guest_set_config16(&g, 4, 2);
	assert_int_equal(guest_read32(&g, 0x90), 3);
	assert_int_equal(stuck_status(&g), 0);
	guest_set_config16(&g, 4, 6);
	assert_int_equal(guest_command(&g, DSA_CMD_RESET_DEVICE, 0), 0);
	guest_close(&g);
}

/* ---- Portals --------------------------------------------------------------------------------- */

static void portal_write(struct guest *g, uint64_t at, unsigned int bytes, uint64_t value)
{
	assert_int_equal(viommu_pci_bar_write(g->pci, 2, at, bytes, value), 0);
}

static uint64_t part(const struct desc *d, unsigned int at, unsigned int bytes)
{
	uint64_t v = 0;

	memcpy(&v, (const uint8_t *)d->w + at, bytes);
	return v;
}

static void pieces(struct guest *g, uint64_t portal, const struct desc *d, unsigned int from,
		   unsigned int to, unsigned int bytes)
{
	unsigned int at;

	for (at = from; at < to; at += bytes)
		portal_write(g, portal + at, bytes, part(d, at, bytes));
}

static void descriptors_are_assembled_from_pieces(void **state)
{
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	struct guest g;

	(void)state;
	guest_open(&g, NULL);
	pieces(&g, 0, &d, 0, 64, 4);
	assert_int_equal(occupancy(&g, 0), 1);
	pieces(&g, 0xfc0, &d, 0, 64, 8);
	assert_int_equal(occupancy(&g, 0), 2);
	/* Each page of the portal; interleaved with another slot. */
	pieces(&g, 0x1040, &d, 0, 24, 8);
	pieces(&g, 0x1080, &d, 0, 64, 8);
	pieces(&g, 0x1040, &d, 24, 64, 8);
	assert_int_equal(occupancy(&g, 0), 4);
	pieces(&g, 0x2000, &d, 0, 64, 8);
	pieces(&g, 0x3000, &d, 0, 64, 8);
	assert_int_equal(occupancy(&g, 0), 6);
	/* Not from the beginning; a piece twice; a byte in between; another slot's rest. */
	pieces(&g, 0, &d, 8, 64, 8);
	pieces(&g, 0, &d, 0, 16, 8);
	pieces(&g, 0, &d, 8, 64, 8);
	pieces(&g, 0, &d, 0, 32, 8);
	portal_write(&g, 32, 1, 0);
	pieces(&g, 0, &d, 32, 64, 8);
	pieces(&g, 0, &d, 0, 32, 8);
	pieces(&g, 0x200, &d, 32, 64, 8);
	assert_int_equal(occupancy(&g, 0), 6);
	/* Beginning again is fine, mixed sizes are. */
	pieces(&g, 0, &d, 0, 40, 8);
	pieces(&g, 0, &d, 0, 32, 4);
	pieces(&g, 0, &d, 32, 64, 8);
	assert_int_equal(occupancy(&g, 0), 7);
	/* Reset of the queue drops a beginning. */
	pieces(&g, 0, &d, 0, 32, 8);
	assert_int_equal(guest_command(&g, DSA_CMD_RESET_WQ, 1), 0);
	guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_PASID(GUEST_GP));
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	pieces(&g, 0, &d, 32, 64, 8);
	assert_int_equal(occupancy(&g, 0), 0);
	/* No such queue in this device, or not enabled: nothing. */
	pieces(&g, 0x4000, &d, 0, 64, 8);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	guest_close(&g);
}

static void a_dedicated_queue_overflows_into_swerror(void **state)
{
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, NULL);
	/* The threshold is for shared queues. */
	guest_write32(&g, WQCFG(0, 1), 1);
	for (i = 0; i < 16; i++)
		guest_submit(&g, 0x1000, &d);
	assert_int_equal(occupancy(&g, 0), 16);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	guest_submit(&g, 0x1000, &d);
	assert_int_equal(swerror_code(&g), DSA_ST_WQ_FULL);
	assert_int_equal(guest_read64(&g, 0xc0) >> 16 & 0xff, 0);
	assert_int_equal(guest_read64(&g, 0xc0) & 0xc, 0xc);
	assert_int_equal(guest_run(&g), 16);
	assert_int_equal(occupancy(&g, 0), 0);
	/* An answer that it cannot give. */
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0, &d), -EAGAIN);
	guest_close(&g);
}

static void a_shared_queue_answers_retry(void **state)
{
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	struct viommu_dsa_stats s = { .size = sizeof(s) };
	struct guest_config c = { .shared = 1 };
	struct guest g;
	unsigned int i;

	(void)state;
	d.w[0] |= GUEST_GP;
	guest_open(&g, &c);
	guest_write32(&g, WQCFG(0, 1), 10);
	guest_submit(&g, 0, &d); /* no answer wanted: ignored */
	assert_int_equal(occupancy(&g, 0), 0);
	for (i = 0; i < 10; i++)
		assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x1fc0, &d), 0);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x1000, &d), -EAGAIN);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x3000, &d), -EAGAIN);
	for (i = 0; i < 6; i++)
		assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x2040, &d), 0);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0, &d), -EAGAIN);
	/* A threshold beyond the size is the size; it may be changed at any time. */
	guest_write32(&g, WQCFG(0, 1), 0xffff);
	assert_int_equal(guest_run(&g), 16);
	for (i = 0; i < 16; i++)
		assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x1000, &d), 0);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x1000, &d), -EAGAIN);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x4000, &d), -EAGAIN);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x20000, &d), -EINVAL);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x20, &d), -EINVAL);
	viommu_dsa_stats(g.dsa, &s);
	assert_int_equal(s.retries, 5);
	assert_int_equal(s.occupancy[0], 16);
	assert_int_equal(guest_read64(&g, 0xc0), 0);
	/* Another process's are left alone by drain and abort of a PASID. */
	d.w[0] = (d.w[0] & ~0xfffffull) | 9;
	guest_run(&g);
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x1000, &d), 0);
	d.w[0] = (d.w[0] & ~0xfffffull) | GUEST_GP;
	assert_int_equal(viommu_dsa_enqueue(g.dsa, 0x1000, &d), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ABORT_PASID, 9), 0);
	assert_int_equal(occupancy(&g, 0), 1);
	guest_write32(&g, 0xa0, DSA_CMD_DRAIN_PASID << 20 | GUEST_GP);
	assert_int_equal(guest_read32(&g, 0xa8), ACTIVE);
	assert_int_equal(guest_run(&g), 1);
	assert_int_equal(guest_read32(&g, 0xa8), 0);
	guest_close(&g);
}

/* ---- Choice, order, occupancy ---------------------------------------------------------------- */

static void queues_share_by_priority_and_none_starves(void **state)
{
	static const unsigned int priority[] = { 1, 3, 15 };
	struct guest g;
	unsigned int i, k, seen[3] = { 0 };
	uint64_t v;

	(void)state;
	guest_open(&g, &bare);
	guest_write32(&g, GRPCFG(0, 0), 7);
	guest_write32(&g, GRPCFG(0, 8), 1);
	for (i = 0; i < 3; i++)
		guest_queue(&g, i, 40,
			    WQ_PRIORITY(priority[i]) | WQ_DEDICATED | WQ_PASID(GUEST_GP));
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, i), 0);
	for (i = 0; i < 3; i++) {
		struct desc d = desc_make(DSA_OP_FILL, 0, i + 1, B_VA, 8);

		for (k = 0; k < 40; k++)
			guest_submit(&g, i * 0x4000, &d);
	}
	/* Two rounds of 19: each has run its share exactly. */
	for (i = 0; i < 38; i++) {
		assert_int_equal(viommu_pci_run(g.pci, g.w.dma), 1);
		memcpy(&v, guest_ptr(&g, B_VA), 8);
		assert_in_range(v, 1, 3);
		seen[v - 1]++;
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(seen[i], 2 * priority[i]);
	assert_int_equal(guest_run(&g), 120 - 38);
	guest_close(&g);
}

static void groups_have_engines_of_their_own(void **state)
{
	struct desc d, n = desc_make(DSA_OP_NOOP, DSA_FLAG_RCI, 0, 0, 0);
	struct guest g;

	(void)state;
	guest_open(&g, &bare);
	guest_write32(&g, GRPCFG(0, 0), 1);
	guest_write32(&g, GRPCFG(0, 8), 1);
	guest_write32(&g, GRPCFG(1, 0), 2);
	guest_write32(&g, GRPCFG(1, 8), 2);
	guest_write32(&g, 0x80, 0x1060);
	guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_BOF | WQ_PASID(GUEST_GP));
	guest_queue(&g, 1, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_BOF | WQ_PASID(GUEST_GP));
	guest_write32(&g, MSIXPERM(1), 8 | GUEST_GP << 12);
	guest_write32(&g, MSIXPERM(2), 8 | GUEST_GP << 12);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	stick(&g, 0, &d);
	/* To enable a queue waits for nothing. */
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 1), 0);
	/* Group 0's engine is taken; group 1 goes on. */
	n.w[1] += 64;
	n.w[4] = 1ull << 32;
	guest_submit(&g, 0, &n);
	n.w[1] += 64;
	n.w[4] = 2ull << 32;
	guest_submit(&g, 0x4000, &n);
	guest_wait_interrupts(&g, 2, 1);
	assert_int_equal(occupancy(&g, 0), 1);
	assert_int_equal(g.interrupts[1], 0);
	unstick(&g);
	guest_wait_interrupts(&g, 1, 1);
	assert_int_equal(stuck_status(&g), DSA_ST_SUCCESS);
	guest_close(&g);
}

static void a_drain_descriptor_waits_for_those_before_it(void **state)
{
	struct desc d, drain = desc_make(DSA_OP_DRAIN, DSA_FLAG_RCI, 0, 0, 0);
	struct guest g;

	(void)state;
	guest_open(&g, &bare);
	guest_write32(&g, GRPCFG(0, 0), 1);
	guest_write32(&g, GRPCFG(0, 8), 3); /* two engines */
	guest_write32(&g, 0x80, 0x1060);
	guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_BOF | WQ_PASID(GUEST_GP));
	guest_write32(&g, MSIXPERM(1), 8 | GUEST_GP << 12);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	stick(&g, 0, &d);
	drain.w[1] += 64;
	drain.w[4] = 1ull << 32;
	guest_submit(&g, 0, &drain);
	assert_int_equal(viommu_pci_run(g.pci, g.w.dma), 0);
	assert_int_equal(occupancy(&g, 0), 1);
	unstick(&g);
	guest_wait_interrupts(&g, 1, 1);
	assert_int_equal(stuck_status(&g), DSA_ST_SUCCESS);
	guest_close(&g);
}

static void the_occupancy_interrupt_comes_at_the_limit(void **state)
{
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	struct guest g;
	unsigned int i;

	(void)state;
	guest_open(&g, &bare);
	guest_write32(&g, GRPCFG(0, 0), 1);
	guest_write32(&g, GRPCFG(0, 8), 1);
	guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_PASID(GUEST_GP));
	guest_write32(&g, WQCFG(0, 4), 4);
	guest_write32(&g, WQCFG(0, 5), 3 | 1 << 16);
	guest_write32(&g, WQCFG(0, 5), 9 | 1 << 16); /* locked while enabled */
	assert_int_equal(guest_read32(&g, WQCFG(0, 5)), 3 | 1 << 16);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
	for (i = 0; i < 6; i++)
		guest_submit(&g, 0, &d);
	for (i = 0; i < 2; i++)
		viommu_pci_run(g.pci, g.w.dma);
	assert_int_equal(g.interrupts[4], 0);
	viommu_pci_run(g.pci, g.w.dma);
	assert_int_equal(g.interrupts[4], 1);
	assert_int_equal(guest_read32(&g, 0x98), 4);
	assert_int_equal(guest_read32(&g, WQCFG(0, 6)) >> 16 & 1, 1);
	/* Once, until software took it. */
	guest_submit(&g, 0, &d);
	guest_run(&g);
	assert_int_equal(g.interrupts[4], 1);
	guest_write32(&g, WQCFG(0, 6), 1 << 16);
	assert_int_equal(guest_read32(&g, WQCFG(0, 6)), 0x60000000);
	for (i = 0; i < 4; i++)
		guest_submit(&g, 0, &d);
	guest_run(&g);
	assert_int_equal(g.interrupts[4], 2);
	/* Disabled by clearing the enable alone. */
	guest_write32(&g, WQCFG(0, 6), 1 << 16);
	guest_write32(&g, WQCFG(0, 5), 0);
	assert_int_equal(guest_read32(&g, WQCFG(0, 5)), 3);
	for (i = 0; i < 4; i++)
		guest_submit(&g, 0, &d);
	guest_run(&g);
	assert_int_equal(g.interrupts[4], 2);
	guest_close(&g);
}

/* The check of the handle at enable is passed by when the interrupt is enabled after it. */
static void an_occupancy_handle_that_is_none_sends_nothing(void **state)
{
	static const uint32_t handles[] = { 9, 31, 32, 0xffff, 1 << 16 | 4 };
	struct desc d = desc_make(DSA_OP_NOOP, 0, 0, 0, 0);
	unsigned int i, k;
	struct guest g;

	(void)state;
	guest_open(&g, &bare);
	guest_write32(&g, GRPCFG(0, 0), 1);
	guest_write32(&g, GRPCFG(0, 8), 1);
	guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_PASID(GUEST_GP));
	assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	for (i = 0; i < ARRAY_SIZE(handles); i++) {
		guest_queue(&g, 0, 16, WQ_PRIORITY(1) | WQ_DEDICATED | WQ_PASID(GUEST_GP));
		guest_write32(&g, WQCFG(0, 4), handles[i]);
		assert_int_equal(guest_command(&g, DSA_CMD_ENABLE_WQ, 0), 0);
		guest_write32(&g, WQCFG(0, 5), 1 << 16);
		guest_submit(&g, 0, &d);
		guest_run(&g);
		/* It came about, and that is told. */
		assert_int_equal(guest_read32(&g, WQCFG(0, 6)) >> 16 & 1, 1);
		assert_int_equal(guest_read32(&g, 0x98), 4);
		guest_write32(&g, 0x98, 4);
		for (k = 0; k < ARRAY_SIZE(g.interrupts); k++)
			assert_int_equal(g.interrupts[k], 0);
		assert_int_equal(guest_command(&g, DSA_CMD_RESET_WQ, 1), 0);
	}
	guest_close(&g);
}

static void stats_count(void **state)
{
	struct viommu_dsa_stats s = { .size = sizeof(s) };
	struct desc d = desc_make(DSA_OP_MOVE, 0, A_VA, B_VA, 5000);
	struct guest g;
	struct record r;

	(void)state;
	guest_open(&g, NULL);
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SUCCESS);
	d.w[4] = 0;
	r = guest_do(&g, &d);
	assert_int_equal(record_status(&r), DSA_ST_SIZE);
	viommu_dsa_stats(g.dsa, &s);
	assert_int_equal(s.size, sizeof(s));
	assert_int_equal(s.descriptors, 2);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.bytes, 5000);
	assert_int_equal(s.batches, 0);
	assert_int_equal(s.swerrors, 0);
	/* A program that knows only the first two gets no more. */
	memset(&s, 0xee, sizeof(s));
	s.size = 16;
	viommu_dsa_stats(g.dsa, &s);
	assert_int_equal(s.size, 16);
	assert_int_equal(s.descriptors, 2);
	assert_int_equal(s.batches, 0xeeeeeeeeeeeeeeee);
	guest_close(&g);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(registers_after_power_on_are_those_that_drivers_know),
	cmocka_unit_test(what_is_smaller_says_so),
	cmocka_unit_test(with_msi_it_is_another_function),
	cmocka_unit_test(configurations_out_of_range_are_refused),
	cmocka_unit_test(it_is_made_whole_or_not_at_all),
	cmocka_unit_test(locked_fields_keep_their_value_silently),
	cmocka_unit_test(accesses_of_any_width_are_parts_of_registers),
	cmocka_unit_test(device_enable_checks_the_configuration),
	cmocka_unit_test(queue_enable_checks_the_configuration),
	cmocka_unit_test(commands_and_operands_are_checked),
	cmocka_unit_test(reset_queue_keeps_the_size_alone),
	cmocka_unit_test(disable_keeps_the_configuration),
	cmocka_unit_test(reset_device_keeps_the_error_and_no_more),
	cmocka_unit_test(drain_waits_for_page_requests),
	cmocka_unit_test(drain_waits_for_nobody_else),
	cmocka_unit_test(drain_waits_for_nothing_that_comes_after_it),
	cmocka_unit_test(abort_and_reset_end_what_is_stuck_without_a_record),
	cmocka_unit_test(a_reset_of_the_function_ends_what_is_stuck),
	cmocka_unit_test(an_abort_ends_a_batch_between_two_descriptors),
	cmocka_unit_test(an_abort_ends_a_job_that_is_stuck_with_its_record),
	cmocka_unit_test(a_control_that_changes_while_enabled_halts),
	cmocka_unit_test(controls_that_change_before_enable_are_fine),
	cmocka_unit_test(a_halt_ends_what_is_stuck),
	cmocka_unit_test(descriptors_are_assembled_from_pieces),
	cmocka_unit_test(a_dedicated_queue_overflows_into_swerror),
	cmocka_unit_test(a_shared_queue_answers_retry),
	cmocka_unit_test(queues_share_by_priority_and_none_starves),
	cmocka_unit_test(groups_have_engines_of_their_own),
	cmocka_unit_test(a_drain_descriptor_waits_for_those_before_it),
	cmocka_unit_test(the_occupancy_interrupt_comes_at_the_limit),
	cmocka_unit_test(an_occupancy_handle_that_is_none_sends_nothing),
	cmocka_unit_test(stats_count),
};
TEST_MAIN(tests)
