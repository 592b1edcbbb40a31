/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI function as its VMM and its guest see it: configuration space, BARs, interrupts, resets.
 * One thread; pci_threads.c has the workers.
 */
#include "dev/toy.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "host/world.h"

/* ---- Configuration space --------------------------------------------------------------------- */

/*
 * The whole space by hand, not from the lists that make it: offset, value after power-on, bits that
 * a write stores, bits that writing 1 clears. What is not here is 0 and read-only.
 */
static const struct dword {
	uint16_t at;
	uint32_t reset, rw, w1c;
} dwords[] = {
	{ 0x00, 0x0b258086, 0, 0 },
	{ 0x04, 0x00100000, 0x00000546, 0xf9000000 },
	{ 0x08, 0x08800003, 0, 0 },
	{ 0x0c, 0x00000000, 0x000000ff, 0 },
	{ 0x10, 0x0000000c, 0xffff0000, 0 },
	{ 0x14, 0x00000000, 0xffffffff, 0 },
	{ 0x18, 0x0000000c, 0xfffe0000, 0 },
	{ 0x1c, 0x00000000, 0xffffffff, 0 },
	{ 0x20, 0x00000000, 0xfffff000, 0 },
	{ 0x2c, 0x12348086, 0, 0 },
	{ 0x34, 0x00000040, 0, 0 },
	{ 0x3c, 0x00000100, 0x000000ff, 0 },
	/* PCI Express, version 2, root complex integrated endpoint, function-level reset */
	{ 0x40, 0x00928010, 0, 0 },
	{ 0x44, 0x10008022, 0, 0 },
	{ 0x48, 0x00002810, 0x000079ff, 0x000f0000 },
	{ 0x64, 0x00700010, 0, 0 },
	{ 0x68, 0x00000000, 0x00000010, 0 },
	/* MSI-X, 9 vectors */
	{ 0x80, 0x00089011, 0xc0000000, 0 },
	{ 0x84, 0x00002000, 0, 0 },
	{ 0x88, 0x00003000, 0, 0 },
	/* power management 3 */
	{ 0x90, 0x0003a001, 0, 0 },
	{ 0x94, 0x00000008, 0x00000003, 0 },
	/* MSI, 4 vectors, 64-bit address */
	{ 0xa0, 0x00840005, 0x00710000, 0 },
	{ 0xa4, 0x00000000, 0xfffffffc, 0 },
	{ 0xa8, 0x00000000, 0xffffffff, 0 },
	{ 0xac, 0x00000000, 0x0000ffff, 0 },
	/* a header that leads on */
	{ 0x100, 0x22000000, 0, 0 },
	/* VTD-EP-01: ATS; page-aligned, global */
	{ 0x220, 0x2301000f, 0, 0 },
	{ 0x224, 0x00000060, 0x801f0000, 0 },
	/* VTD-EP-03, VTD-EP-05: PASID; 20 bits, neither execute nor privileged */
	{ 0x230, 0x2401001b, 0, 0 },
	{ 0x234, 0x00001400, 0x00010000, 0 },
	/* VTD-EP-02: page requests; stopped, response with PASID, 512 */
	{ 0x240, 0x00010013, 0, 0 },
	{ 0x244, 0x81000000, 0x00000001, 0x00030000 },
	{ 0x248, 0x00000200, 0, 0 },
	{ 0x24c, 0x00000000, 0xffffffff, 0 },
};

static const struct dword *dword_at(unsigned int at)
{
	static const struct dword none;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dwords); i++)
		if (dwords[i].at == at)
			return &dwords[i];
	return &none;
}

static void power_on_state_is_every_capability_in_its_place(void **state)
{
	uint8_t whole[VIOMMU_PCI_CONFIG_BYTES];
	struct toy t;
	unsigned int at;

	(void)state;
	toy_open(&t, NULL);
	for (at = 0; at < VIOMMU_PCI_CONFIG_BYTES; at += 4)
		assert_int_equal(cfg_read(&t, at, 4), dword_at(at)->reset);
	/* One read of all, as QEMU does it. */
	assert_int_equal(viommu_pci_config_read(t.pci, 0, whole, sizeof(whole)), 0);
	for (at = 0; at < sizeof(whole); at++)
		assert_int_equal(whole[at], dword_at(at & ~3u)->reset >> at % 4 * 8 & 0xff);
	toy_close(&t);
}

/* Bits that writing acts on, so that they are tested apart. */
static uint32_t without_actions(unsigned int at, uint32_t v)
{
	if (at == AT_DEVCTL)
		return v & ~DEVCTL_FLR;
	if (at == (AT_PM_CTL & ~3u))
		return v & ~3u;
	return v;
}

/* What a read gives beyond what was stored: page requests are not "stopped" while enabled. */
static uint32_t seen(unsigned int at, uint32_t v)
{
	if (at == (AT_PRI_CTL & ~3u) && (v & 1))
		return v & ~0x01000000u;
	return v;
}

static void writes_of_every_width_store_what_may_be_stored(void **state)
{
	static const uint32_t values[] = { 0xffffffff, 0, 0xa5a5a5a5, 0x5a5a5a5a };
	struct toy t;
	unsigned int at, width, i, part;

	(void)state;
	for (width = 1; width <= 4; width *= 2) {
		toy_open(&t, NULL);
		for (at = 0; at < VIOMMU_PCI_CONFIG_BYTES; at += 4) {
			const struct dword *d = dword_at(at);
			uint32_t want = d->reset;

			for (i = 0; i < ARRAY_SIZE(values); i++) {
				uint32_t v = without_actions(at, values[i]);

				for (part = 0; part < 4; part += width)
					cfg_write(&t, at + part, width, v >> part * 8);
				want = (want & ~d->rw) | (v & d->rw);
				assert_int_equal(cfg_read(&t, at, 4), seen(at, want));
			}
		}
		assert_int_equal(t.resets, 0);
		toy_close(&t);
	}
}

static void accesses_out_of_bounds_or_of_other_widths_are_refused(void **state)
{
	static const struct {
		uint64_t at;
		size_t bytes;
	} bad[] = {
		{ 0x1000, 1 }, { 0x1000, 4 }, { UINT64_MAX, 1 }, { 0xffe, 4 }, { 1, 2 },
		{ 2, 4 },      { 0, 0 },      { 0, 3 },          { 0, 8 },     { 4, 5 },
	};
	uint8_t buf[VIOMMU_PCI_CONFIG_BYTES + 1] = { 0 };
	struct toy t;
	unsigned int i;

	(void)state;
	toy_open(&t, NULL);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(viommu_pci_config_write(t.pci, bad[i].at, buf, bad[i].bytes),
				 -EINVAL);
	assert_int_equal(viommu_pci_config_read(t.pci, 0, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(viommu_pci_config_read(t.pci, 1, buf, VIOMMU_PCI_CONFIG_BYTES), -EINVAL);
	assert_int_equal(viommu_pci_config_read(t.pci, UINT64_MAX, buf, 2), -EINVAL);
	assert_int_equal(viommu_pci_config_read(t.pci, VIOMMU_PCI_CONFIG_BYTES, buf, 0), 0);
	assert_int_equal(viommu_pci_config_read(t.pci, 3, buf, 7), 0);
	toy_close(&t);
}

static void bars_tell_their_size_when_ones_are_written(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	cfg_write(&t, 0x10, 4, 0xffffffff);
	cfg_write(&t, 0x14, 4, 0xffffffff);
	assert_int_equal(cfg_read(&t, 0x10, 4), 0xffff000c);
	assert_int_equal(cfg_read(&t, 0x14, 4), 0xffffffff);
	cfg_write(&t, 0x20, 4, 0xffffffff);
	assert_int_equal(cfg_read(&t, 0x20, 4), 0xfffff000);
	cfg_write(&t, 0x24, 4, 0xffffffff); /* no such BAR */
	assert_int_equal(cfg_read(&t, 0x24, 4), 0);
	cfg_write(&t, 0x30, 4, 0xfffff800); /* no ROM */
	assert_int_equal(cfg_read(&t, 0x30, 4), 0);
	toy_close(&t);
}

static void capabilities_that_are_not_asked_for_are_not_there(void **state)
{
	struct viommu_pci_config c = { .size = sizeof(c), .vendor = 0x1b36, .device = 1 };
	struct toy t;
	unsigned int at;

	(void)state;
	toy_open(&t, &c);
	assert_int_equal(cfg_read(&t, 0x34, 1), 0x40);
	assert_int_equal(cfg_read(&t, 0x40, 4), 0x00920010);
	assert_int_equal(cfg_read(&t, 0x44, 4), 0x00008022); /* no function-level reset */
	assert_int_equal(cfg_read(&t, 0x64, 4), 0x00000010); /* no prefixes */
	for (at = 0x80; at < VIOMMU_PCI_CONFIG_BYTES; at += 4) {
		cfg_write(&t, at, 4, 0xffffffff);
		assert_int_equal(cfg_read(&t, at, 4), 0);
	}
	cfg_write(&t, AT_DEVCTL, 2, DEVCTL_FLR | 0x10);
	assert_int_equal(cfg_read(&t, AT_DEVCTL, 2), 0x10);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
	toy_close(&t);
}

static void a_configuration_that_makes_no_function_is_refused_with_a_reason(void **state)
{
	struct viommu_pci_config good, c;
	struct viommu_pci *pci;
	const char *why;
	struct toy t;

	(void)state;
	memset(&t, 0, sizeof(t));
	good = toy_config(&t);
#define REFUSED(change)                                                    \
	do {                                                               \
		c = good;                                                  \
		change;                                                    \
		why = NULL;                                                \
		pci = (void *)1;                                           \
		assert_int_equal(viommu_pci_new(&c, &pci, &why), -EINVAL); \
		assert_non_null(why);                                      \
		assert_null(pci);                                          \
	} while (0)
	REFUSED(c.size--);
	REFUSED(c.vendor = 0xffff);
	REFUSED(c.class_code = 0x1000000);
	REFUSED(c.intx = 2);
	REFUSED(c.reserved = 1);
	REFUSED(c.msi_vectors = 3);
	REFUSED(c.msi_vectors = 64);
	REFUSED(c.flags |= 0x80000000);
	REFUSED(c.flags &= ~VIOMMU_PCI_HAS_ATS);
	REFUSED(c.flags |= VIOMMU_PCI_PIN_BAR0); /* a 64-bit one */
	REFUSED(c.bar[0].bytes = 0; c.flags |= VIOMMU_PCI_PIN_BAR0; c.msix_vectors = 0;
		c.bar[0].flags = 0);
	REFUSED(c.bar[0].bytes = 0x1800);
	REFUSED(c.bar[4].bytes = 2048);
	REFUSED(c.bar[4].bytes = UINT64_C(1) << 32);
	REFUSED(c.bar[4].flags = 4);
	REFUSED(c.bar[4].reserved = 1);
	REFUSED(c.bar[5].flags = 1);
	REFUSED(c.bar[1].bytes = 4096);
	REFUSED(c.bar[5].bytes = 4096; c.bar[5].flags = VIOMMU_PCI_BAR_64);
	REFUSED(c.msix_vectors = 2049);
	REFUSED(c.msix_bar = 6);
	REFUSED(c.msix_bar = 5);
	REFUSED(c.msix_bar = 1);
	REFUSED(c.msix_table = 0x2010);
	REFUSED(c.msix_pba = 0x3008);
	REFUSED(c.msix_table = 0x10000);
	REFUSED(c.msix_pba = 0xfffff000);
	REFUSED(c.msix_table = 0x3000);
	REFUSED(c.msix_vectors = 2048); /* reaches the pending bits */
	REFUSED(c.pri_capacity = 513);
	REFUSED(c.workers = VIOMMU_PCI_MAX_WORKERS + 1);
	REFUSED(c.workers = 1; c.ops.run = NULL);
#undef REFUSED
	assert_int_equal(viommu_pci_new(&good, &pci, NULL), 0);
	assert_ptr_not_equal(viommu_pci_config(pci), &good);
	assert_int_equal(viommu_pci_config(pci)->pri_capacity, 512);
	viommu_pci_free(pci);
	viommu_pci_free(NULL);
	good.size = 0;
	assert_int_equal(viommu_pci_new(&good, &pci, NULL), -EINVAL);
}

static void each_allocation_that_fails_leaves_nothing(void **state)
{
	long n, live = viommu__alloc_live();
	struct viommu_pci_config c;
	struct viommu_pci *pci;
	struct toy t;
	int err, done;

	(void)state;
	memset(&t, 0, sizeof(t));
	c = toy_config(&t);
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = viommu_pci_new(&c, &pci, NULL);
		done = !viommu__alloc_fail_done();
		assert_int_equal(err, done ? 0 : -ENOMEM);
		assert_true(done == (pci != NULL));
		viommu_pci_free(pci);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_int_equal(n, 4);
}

/* ---- What a guest switches on ---------------------------------------------------------------- */

/*
 * Linux 7.3, by offset of toy_config(): what is written, how wide, and what is on afterwards. PASID
 * before ATS before page requests; a page request interface that is not stopped is left off.
 */
static void linux_enumeration_enables_what_it_asks_for(void **state)
{
	static const struct {
		uint16_t at;
		uint8_t bytes;
		uint32_t value;
		uint32_t on;
	} steps[] = {
		{ AT_COMMAND, 2, 0x0000, 0 },
		{ 0x10, 4, 0xffffffff, 0 },
		{ 0x14, 4, 0xffffffff, 0 },
		{ 0x10, 4, 0xc0000000, 0 },
		{ 0x14, 4, 0x000000c0, 0 },
		{ AT_COMMAND, 2, CMD_MEMORY, VIOMMU_PCI_MEMORY },
		/* ATS: smallest unit first, not yet on */
		{ AT_ATS_CTL, 2, 0x0000, VIOMMU_PCI_MEMORY },
		{ AT_PASID_CTL, 2, 0x0001, VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID },
		{ AT_ATS_CTL, 2, 0x8000, VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID | VIOMMU_PCI_ATS },
		{ AT_PRI_CTL, 2, 0x0002, VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID | VIOMMU_PCI_ATS },
		{ 0x24c, 4, 512, VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID | VIOMMU_PCI_ATS },
		{ AT_PRI_CTL, 2, 0x0001,
		  VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID | VIOMMU_PCI_ATS | VIOMMU_PCI_PRI },
		{ AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER,
		  VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID | VIOMMU_PCI_ATS | VIOMMU_PCI_PRI |
			  VIOMMU_PCI_BUS_MASTER },
		{ AT_MSIX_CTL, 2, MSIX_ENABLE | MSIX_MASKALL,
		  VIOMMU_PCI_MEMORY | VIOMMU_PCI_PASID | VIOMMU_PCI_ATS | VIOMMU_PCI_PRI |
			  VIOMMU_PCI_BUS_MASTER | VIOMMU_PCI_MSIX },
	};
	uint32_t before = 0;
	struct toy t;
	unsigned int i, controls = 0;

	(void)state;
	toy_open(&t, NULL);
	/* Linux tests this before it enables page requests (VTD-EP-04). */
	assert_int_equal(cfg_read(&t, AT_PRI_STA, 2), 0x8100);
	assert_int_equal(viommu_pci_dma_flags(t.pci), VIOMMU_DMA_NO_PRI);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		cfg_write(&t, steps[i].at, steps[i].bytes, steps[i].value);
		assert_int_equal(viommu_pci_enabled(t.pci), steps[i].on);
		if (steps[i].on != before) {
			assert_int_equal(t.controls, ++controls);
			assert_int_equal(t.changed, steps[i].on ^ before);
		}
		assert_int_equal(t.controls, controls);
		before = steps[i].on;
	}
	assert_int_equal(cfg_read(&t, AT_PRI_CTL, 4), 0x80000001);
	assert_int_equal(viommu_pci_dma_flags(t.pci), VIOMMU_DMA_ATS);
	toy_close(&t);
}

static int convert(void *ctx, struct viommu_gp gp, struct viommu_hp *out)
{
	(void)ctx;
	if (gp.v == 9)
		return -EDQUOT;
	out->v = gp.v + 1000;
	return 0;
}

static void pasid_needs_its_control_and_goes_through_the_boards_conversion(void **state)
{
	uint32_t hp = 77;
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	assert_int_equal(viommu_pci_pasid(t.pci, 5, &hp), -EPERM);
	cfg_write(&t, AT_PASID_CTL, 2, 1);
	assert_int_equal(viommu_pci_pasid(t.pci, 5, &hp), 0);
	assert_int_equal(hp, 5);
	viommu_pci_attach(t.pci, NULL, convert, NULL);
	assert_int_equal(viommu_pci_pasid(t.pci, 5, &hp), 0);
	assert_int_equal(hp, 1005);
	assert_int_equal(viommu_pci_pasid(t.pci, 9, &hp), -EDQUOT);
	assert_int_equal(viommu_pci_pasid(t.pci, VIOMMU_PASID_MAX + 1, &hp), -EINVAL);
	assert_int_equal(hp, 1005);
	assert_null(viommu_pci_device(t.pci));
	toy_close(&t);
}

static void sleeping_in_d3hot_is_as_bus_mastering_off_and_keeps_its_state(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	cfg_write(&t, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	cfg_write(&t, AT_PM_CTL, 2, 1); /* D1: there is none */
	assert_int_equal(cfg_read(&t, AT_PM_CTL, 2), 0x0008);
	cfg_write(&t, AT_PM_CTL, 1, 3);
	assert_int_equal(cfg_read(&t, AT_PM_CTL, 2), 0x000b);
	assert_int_equal(viommu_pci_enabled(t.pci), 0);
	assert_int_equal(t.aborts, 1);
	assert_int_equal(viommu_pci_stopping(t.pci), 1);
	viommu_pci_interrupt(t.pci, 0);
	assert_int_equal(t.interrupts[0], 0);
	cfg_write(&t, AT_PM_CTL, 1, 2); /* D2: there is none */
	assert_int_equal(cfg_read(&t, AT_PM_CTL, 2), 0x000b);
	cfg_write(&t, AT_PM_CTL, 1, 0);
	assert_int_equal(viommu_pci_enabled(t.pci),
			 VIOMMU_PCI_MEMORY | VIOMMU_PCI_BUS_MASTER | VIOMMU_PCI_MSIX);
	assert_int_equal(t.resets, 0);
	toy_close(&t);
}

/* ---- Enhanced Allocation --------------------------------------------------------------------- */

static void firmware_pins_bar_0_by_writing_its_address(void **state)
{
	struct viommu_pci_config c = {
		.size = sizeof(c),
		.vendor = 0x1b36,
		.class_code = 0x080600,
		.flags = VIOMMU_PCI_PIN_BAR0 | VIOMMU_PCI_HAS_FLR,
		.bar = { { 0x10000, 0, 0 } },
	};
	struct toy t;

	(void)state;
	toy_open(&t, &c);
	assert_int_equal(cfg_read(&t, 0x40, 4), 0x0092b010);
	assert_int_equal(cfg_read(&t, 0xb0, 4), 0x00010014);
	assert_int_equal(cfg_read(&t, 0xb4, 4), 0x00ff0002); /* not yet enabled */
	assert_int_equal(cfg_read(&t, 0xbc, 4), 0x0000fffc);
	/* Firmware measures, restores, then assigns. */
	cfg_write(&t, 0x10, 4, 0xffffffff);
	cfg_write(&t, 0x10, 4, 0);
	assert_int_equal(cfg_read(&t, 0xb4, 4), 0x00ff0002);
	cfg_write(&t, 0x10, 4, 0xfebe0000);
	assert_int_equal(cfg_read(&t, 0xb4, 4), 0x80ff0002);
	assert_int_equal(cfg_read(&t, 0xb8, 4), 0xfebe0000);
	/* The guest measures again: the entry stays. */
	cfg_write(&t, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_read(&t, 0x10, 4), 0xffff0000);
	assert_int_equal(cfg_read(&t, 0xb8, 4), 0xfebe0000);
	/* And is read-only. */
	cfg_write(&t, 0xb4, 4, 0);
	cfg_write(&t, 0xb8, 4, 0);
	assert_int_equal(cfg_read(&t, 0xb4, 4), 0x80ff0002);
	assert_int_equal(cfg_read(&t, 0xb8, 4), 0xfebe0000);
	/* A function-level reset keeps it, power-on does not. */
	cfg_write(&t, AT_DEVCTL, 2, DEVCTL_FLR);
	assert_int_equal(cfg_read(&t, 0x10, 4), 0);
	assert_int_equal(cfg_read(&t, 0xb4, 4), 0x80ff0002);
	assert_int_equal(cfg_read(&t, 0xb8, 4), 0xfebe0000);
	viommu_pci_reset(t.pci);
	assert_int_equal(cfg_read(&t, 0xb4, 4), 0x00ff0002);
	assert_int_equal(cfg_read(&t, 0xb8, 4), 0);
	toy_close(&t);
}

/* ---- Vendor-specific capability -------------------------------------------------------------- */

static void what_a_guest_writes_for_the_function_itself_is_told(void **state)
{
	struct viommu_pci_config c;
	unsigned int controls;
	struct toy t;

	(void)state;
	memset(&t, 0, sizeof(t));
	c = toy_config(&t);
	c.flags |= VIOMMU_PCI_HAS_VENDOR;
	toy_open(&t, &c);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT - 4, 4), 0x000c0009);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT, 4), 0);
	cfg_write(&t, VIOMMU_PCI_VENDOR_AT, 1, 0x12);
	assert_int_equal(t.controls, 1);
	assert_int_equal(t.changed, VIOMMU_PCI_VENDOR);
	cfg_write(&t, VIOMMU_PCI_VENDOR_AT + VIOMMU_PCI_VENDOR_BYTES - 1, 1, 0x34);
	assert_int_equal(t.controls, 2);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT, 4), 0x12);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT + 4, 4), 0x34000000);
	/* Its header is read-only, and what is beyond is not there. */
	controls = t.controls;
	cfg_write(&t, VIOMMU_PCI_VENDOR_AT - 4, 4, 0xffffffff);
	cfg_write(&t, VIOMMU_PCI_VENDOR_AT + VIOMMU_PCI_VENDOR_BYTES, 4, 0xffffffff);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT - 4, 4), 0x000c0009);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT + VIOMMU_PCI_VENDOR_BYTES, 4), 0);
	assert_int_equal(t.controls, controls);
	/* It is no switch: nothing is on. */
	assert_int_equal(viommu_pci_enabled(t.pci), 0);
	viommu_pci_reset(t.pci);
	assert_int_equal(cfg_read(&t, VIOMMU_PCI_VENDOR_AT, 4), 0);
	assert_int_equal(t.controls, controls);
	toy_close(&t);
}

/* ---- BARs ------------------------------------------------------------------------------------ */

static void bar_accesses_reach_the_model_whole_or_are_refused(void **state)
{
	static const struct {
		unsigned int bar;
		uint64_t offset;
		unsigned int bytes;
	} bad[] = {
		{ 1, 0, 4 },          { 3, 0, 4 },       { 5, 0, 4 },          { 6, 0, 4 },
		{ 0xffffffff, 0, 4 }, { 0, 0x10000, 1 }, { 0, UINT64_MAX, 1 }, { 0, 2, 4 },
		{ 0, 4, 8 },          { 0, 1, 2 },       { 0, 0, 3 },          { 0, 0, 0 },
		{ 0, 0, 16 },
	};
	unsigned int bytes, i;
	struct toy t;
	uint64_t v;

	(void)state;
	toy_open(&t, NULL);
	for (bytes = 1; bytes <= 8; bytes *= 2) {
		assert_int_equal(viommu_pci_bar_read(t.pci, 2, 0x1fff8, bytes, &v), 0);
		assert_int_equal(v, UINT64_C(0x1122334455667788) & low_bits(bytes * 8));
		assert_int_equal(t.bar, 2);
		assert_int_equal(t.offset, 0x1fff8);
		assert_int_equal(t.bytes, bytes);
		assert_int_equal(viommu_pci_bar_write(t.pci, 4, 0xff8, bytes, UINT64_MAX), 0);
		assert_int_equal(t.value, low_bits(bytes * 8));
		assert_int_equal(t.bar, 4);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		v = 1;
		assert_int_equal(viommu_pci_bar_read(t.pci, bad[i].bar, bad[i].offset, bad[i].bytes,
						     &v),
				 -EINVAL);
		assert_int_equal(v, 0);
		assert_int_equal(viommu_pci_bar_write(t.pci, bad[i].bar, bad[i].offset,
						      bad[i].bytes, 0),
				 -EINVAL);
	}
	assert_int_equal(t.reads, 4);
	assert_int_equal(t.writes, 4);
	toy_close(&t);
}

static void a_model_without_callbacks_reads_as_zero(void **state)
{
	struct viommu_pci_config c = { .size = sizeof(c),
				       .flags = VIOMMU_PCI_HAS_FLR,
				       .bar = { { 4096, 0, 0 } } };
	struct viommu_pci *pci;
	const uint16_t master = CMD_MASTER, flr = DEVCTL_FLR;
	uint64_t v = 1;

	(void)state;
	assert_int_equal(viommu_pci_new(&c, &pci, NULL), 0);
	assert_int_equal(viommu_pci_bar_read(pci, 0, 0, 8, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(viommu_pci_bar_write(pci, 0, 0, 8, 1), 0);
	viommu_pci_set_vmm(pci, NULL);
	assert_int_equal(viommu_pci_config_write(pci, AT_COMMAND, &master, 2), 0);
	viommu_pci_kick(pci);
	viommu_pci_intx(pci, 1);
	viommu_pci_interrupt(pci, 0);
	viommu_pci_message(pci, 0xfee00000, 1);
	assert_int_equal(viommu_pci_run(pci, NULL), 0);
	assert_int_equal(viommu_pci_config_write(pci, AT_DEVCTL, &flr, 2), 0);
	assert_int_equal(viommu_pci_enabled(pci), 0);
	viommu_pci_free(pci);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void table_write(struct toy *t, unsigned int vector, uint64_t addr, uint32_t data,
			uint32_t mask)
{
	const uint64_t at = 0x2000 + vector * 16;

	assert_int_equal(viommu_pci_bar_write(t->pci, 0, at, 8, addr), 0);
	assert_int_equal(viommu_pci_bar_write(t->pci, 0, at + 8, 4, data), 0);
	assert_int_equal(viommu_pci_bar_write(t->pci, 0, at + 12, 4, mask), 0);
}

static uint64_t bar0(struct toy *t, uint64_t at, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(t->pci, 0, at, bytes, &v), 0);
	return v;
}

static void vectors_are_sent_only_while_enabled_and_bus_master(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	viommu_pci_interrupt(t.pci, 1);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	viommu_pci_interrupt(t.pci, 1);
	assert_int_equal(t.interrupts[1], 0);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	/* The VMM keeps the table: ours, all masked, says nothing. */
	viommu_pci_interrupt(t.pci, 1);
	viommu_pci_interrupt(t.pci, 9);
	viommu_pci_interrupt(t.pci, UINT32_MAX);
	assert_int_equal(t.interrupts[1], 1);
	assert_int_equal(t.interrupts[9], 0);
	cfg_write(&t, AT_MSIX_CTL, 2, 0);
	viommu_pci_interrupt(t.pci, 1);
	assert_int_equal(t.interrupts[1], 1);
	assert_int_equal(t.messages, 0);
	toy_close(&t);
}

static void function_mask_holds_vectors_pending_until_it_goes(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE | MSIX_MASKALL);
	viommu_pci_interrupt(t.pci, 2);
	viommu_pci_interrupt(t.pci, 2);
	viommu_pci_interrupt(t.pci, 8);
	assert_int_equal(t.interrupts[2] + t.interrupts[8], 0);
	assert_int_equal(bar0(&t, 0x3000, 8), 0x104);
	assert_int_equal(bar0(&t, 0x3000, 1), 0x04);
	assert_int_equal(bar0(&t, 0x3001, 1), 0x01);
	/* Read-only. */
	assert_int_equal(viommu_pci_bar_write(t.pci, 0, 0x3000, 8, 0), 0);
	assert_int_equal(bar0(&t, 0x3000, 4), 0x104);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	assert_int_equal(t.interrupts[2], 1);
	assert_int_equal(t.interrupts[8], 1);
	assert_int_equal(bar0(&t, 0x3000, 8), 0);
	/* Switched off, what is pending is forgotten. */
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE | MSIX_MASKALL);
	viommu_pci_interrupt(t.pci, 3);
	cfg_write(&t, AT_MSIX_CTL, 2, 0);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	assert_int_equal(t.interrupts[3], 0);
	assert_int_equal(t.reads + t.writes, 0); /* the model saw none of it */
	toy_close(&t);
}

static void a_vmm_that_forwards_the_table_has_vectors_masked_here(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	assert_int_equal(bar0(&t, 0x200c, 4), 1); /* masked after reset */
	table_write(&t, 0, 0xfee01003, 0x41, 0xffffffff);
	assert_int_equal(bar0(&t, 0x2000, 4), 0xfee01000);
	assert_int_equal(bar0(&t, 0x2008, 8), UINT64_C(0x100000041));
	assert_int_equal(bar0(&t, 0x2009, 1), 0);
	assert_int_equal(bar0(&t, 0x200c, 2), 1);
	viommu_pci_interrupt(t.pci, 0);
	viommu_pci_interrupt(t.pci, 1); /* never programmed, so masked */
	assert_int_equal(t.interrupts[0] + t.interrupts[1], 0);
	assert_int_equal(bar0(&t, 0x3000, 8), 3);
	table_write(&t, 0, 0xfee01000, 0x41, 0);
	assert_int_equal(t.interrupts[0], 1);
	assert_int_equal(bar0(&t, 0x3000, 8), 2);
	viommu_pci_interrupt(t.pci, 0);
	assert_int_equal(t.interrupts[0], 2);
	/* Narrow writes do nothing. */
	assert_int_equal(viommu_pci_bar_write(t.pci, 0, 0x200c, 1, 1), 0);
	assert_int_equal(viommu_pci_bar_write(t.pci, 0, 0x200c, 2, 1), 0);
	assert_int_equal(bar0(&t, 0x200c, 4), 0);
	/* The areas end where the vectors end. */
	assert_int_equal(viommu_pci_bar_write(t.pci, 0, 0x2000 + 9 * 16, 4, 1), 0);
	assert_int_equal(t.writes, 1);
	assert_int_equal(viommu_pci_bar_write(t.pci, 0, 0x3008, 4, 1), 0);
	assert_int_equal(t.writes, 2);
	assert_int_equal(viommu_pci_bar_write(t.pci, 2, 0x2000, 4, 1), 0);
	assert_int_equal(t.writes, 3);
	/* Reset: masked, and nobody has used it. */
	viommu_pci_reset(t.pci);
	assert_int_equal(bar0(&t, 0x2000, 8), 0);
	assert_int_equal(bar0(&t, 0x200c, 4), 1);
	assert_int_equal(bar0(&t, 0x3000, 8), 0);
	toy_close(&t);
}

static void without_vectors_the_vmm_gets_the_programmed_message(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	t.no_vectors = 1;
	toy_vmm(&t);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	viommu_pci_interrupt(t.pci, 4); /* no address yet */
	assert_int_equal(t.messages, 0);
	table_write(&t, 4, UINT64_C(0x1fee00000), 0x31, 0);
	viommu_pci_interrupt(t.pci, 4);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.addr, UINT64_C(0x1fee00000));
	assert_int_equal(t.data, 0x31);
	viommu_pci_message(t.pci, 0xfee02000, 7);
	assert_int_equal(t.messages, 2);
	assert_int_equal(t.addr, 0xfee02000);
	assert_int_equal(t.data, 7);
	toy_close(&t);
}

static void msi_shares_the_vectors_that_are_in_use(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	cfg_write(&t, 0xa4, 4, 0xfee03000);
	cfg_write(&t, 0xac, 2, 0x4043);
	cfg_write(&t, AT_MSI_CTL, 2, 0x0011); /* two of four */
	viommu_pci_interrupt(t.pci, 3);
	assert_int_equal(t.interrupts[1], 1);
	viommu_pci_interrupt(t.pci, 4);
	assert_int_equal(t.interrupts[0], 0);
	cfg_write(&t, AT_MSI_CTL, 2, 0x0071); /* more than there are */
	viommu_pci_interrupt(t.pci, 3);
	assert_int_equal(t.interrupts[3], 1);
	t.no_vectors = 1;
	toy_vmm(&t);
	viommu_pci_interrupt(t.pci, 2);
	assert_int_equal(t.addr, 0xfee03000);
	assert_int_equal(t.data, 0x4042);
	/* MSI-X comes first. */
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE | MSIX_MASKALL);
	viommu_pci_interrupt(t.pci, 2);
	assert_int_equal(t.messages, 1);
	assert_int_equal(bar0(&t, 0x3000, 8), 4);
	toy_close(&t);
}

static void intx_follows_level_disable_and_the_other_kinds(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	viommu_pci_intx(t.pci, 1);
	assert_int_equal(t.intx, 1);
	assert_int_equal(cfg_read(&t, AT_STATUS, 2), 0x18);
	cfg_write(&t, AT_COMMAND, 2, CMD_NO_INTX);
	assert_int_equal(t.intx, 0);
	assert_int_equal(cfg_read(&t, AT_STATUS, 2), 0x18); /* the state shows all the same */
	cfg_write(&t, AT_COMMAND, 2, 0);
	assert_int_equal(t.intx, 1);
	cfg_write(&t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	assert_int_equal(t.intx, 0);
	cfg_write(&t, AT_MSIX_CTL, 2, 0);
	assert_int_equal(t.intx, 1);
	/* A VMM that comes later hears of it, one that went is told no more. */
	viommu_pci_set_vmm(t.pci, NULL);
	t.intx = 0;
	toy_vmm(&t);
	assert_int_equal(t.intx, 1);
	viommu_pci_reset(t.pci);
	assert_int_equal(t.intx, 0);
	assert_int_equal(cfg_read(&t, AT_STATUS, 2), 0x10);
	viommu_pci_intx(t.pci, 1);
	viommu_pci_intx(t.pci, 0);
	assert_int_equal(t.intx, 0);
	toy_close(&t);
}

/* ---- Runs and resets ------------------------------------------------------------------------- */

static void runs_wait_for_bus_mastering_and_kicks_are_kept_for_it(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	t.work = 2;
	viommu_pci_kick(t.pci);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
	assert_int_equal(t.runs, 0);
	assert_int_equal(t.kicks, 0); /* nobody could do anything */
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	assert_int_equal(t.kicks, 1);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 1);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 1);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
	assert_int_equal(t.runs, 3);
	/* One wake for any number of kicks that nobody has looked at. */
	viommu_pci_kick(t.pci);
	viommu_pci_kick(t.pci);
	assert_int_equal(t.kicks, 2);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
	viommu_pci_kick(t.pci);
	assert_int_equal(t.kicks, 3);
	/* A VMM that comes later hears of it. */
	toy_vmm(&t);
	assert_int_equal(t.kicks, 4);
	toy_close(&t);
}

static int run_and_kick(void *ctx, struct viommu_dma *dma)
{
	struct toy *t = ctx;

	(void)dma;
	t->runs++;
	if (t->work) {
		t->work--;
		viommu_pci_kick(t->pci); /* comes while it is looking */
	}
	return 0;
}

static void a_kick_during_a_run_makes_it_run_again_without_a_wake(void **state)
{
	struct viommu_pci_config c;
	struct toy t;

	(void)state;
	c = toy_config(&t);
	c.ops.run = run_and_kick;
	toy_open(&t, &c);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	t.work = 1;
	assert_int_equal(viommu_pci_run(t.pci, NULL), 1);
	assert_int_equal(t.kicks, 0);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
	assert_int_equal(t.runs, 2);
	toy_close(&t);
}

static void several_kicks_wake_several_workers(void **state)
{
	struct viommu_pci_config c;
	struct toy t;

	(void)state;
	c = toy_config(&t);
	c.workers = 3;
	toy_open(&t, &c);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	viommu_pci_kick(t.pci);
	viommu_pci_kick(t.pci);
	viommu_pci_kick(t.pci);
	assert_int_equal(t.kicks, 1);
	/* The first to come sends the next. */
	viommu_pci_run(t.pci, NULL);
	assert_int_equal(t.kicks, 2);
	viommu_pci_run(t.pci, NULL);
	assert_int_equal(t.kicks, 3);
	assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
	assert_int_equal(t.kicks, 3);
	toy_close(&t);
}

static void everything_on(struct toy *t)
{
	cfg_write(t, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(t, AT_PASID_CTL, 2, 1);
	cfg_write(t, AT_ATS_CTL, 2, 0x8000);
	cfg_write(t, 0x24c, 4, 512);
	cfg_write(t, AT_PRI_CTL, 2, 1);
	cfg_write(t, AT_MSIX_CTL, 2, MSIX_ENABLE);
	cfg_write(t, 0x10, 4, 0xc0000000);
	assert_int_equal(viommu_pci_enabled(t->pci), 0x3f);
}

static void every_reset_brings_back_power_on_state(void **state)
{
	struct toy t;
	unsigned int at, how;

	(void)state;
	for (how = 0; how < 3; how++) {
		toy_open(&t, NULL);
		everything_on(&t);
		t.controls = 0;
		if (how == 0)
			viommu_pci_reset(t.pci);
		else if (how == 1)
			cfg_write(&t, AT_DEVCTL, 2, 0x2810 | DEVCTL_FLR);
		else
			cfg_write(&t, AT_DEVCTL + 1, 1, DEVCTL_FLR >> 8);
		assert_int_equal(t.aborts, 1);
		assert_int_equal(t.resets, 1);
		assert_int_equal(t.controls, 0);
		assert_int_equal(t.enabled_at_reset, 0);
		assert_int_equal(viommu_pci_enabled(t.pci), 0);
		for (at = 0; at < VIOMMU_PCI_CONFIG_BYTES; at += 4)
			assert_int_equal(cfg_read(&t, at, 4), dword_at(at)->reset);
		/* Work from before is not done after. */
		viommu_pci_kick(t.pci);
		assert_int_equal(viommu_pci_run(t.pci, NULL), 0);
		/* A reset of what does not run aborts nothing. */
		viommu_pci_reset(t.pci);
		assert_int_equal(t.aborts, 1);
		assert_int_equal(t.resets, 2);
		toy_close(&t);
	}
}

static void bus_master_off_stops_without_a_reset(void **state)
{
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	everything_on(&t);
	assert_int_equal(viommu_pci_stopping(t.pci), 0);
	cfg_write(&t, AT_COMMAND, 2, CMD_MEMORY);
	assert_int_equal(t.aborts, 1);
	assert_int_equal(t.resets, 0);
	assert_int_equal(t.changed, VIOMMU_PCI_BUS_MASTER);
	assert_int_equal(viommu_pci_stopping(t.pci), 1);
	cfg_write(&t, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	assert_int_equal(viommu_pci_stopping(t.pci), 0);
	assert_int_equal(viommu_pci_enabled(t.pci), 0x3f);
	toy_close(&t);
}

/* ---- Page requests --------------------------------------------------------------------------- */

#define MISSING (WORLD_VA + 0x5000)

static void take_down(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	(void)dev;
	*(struct viommu_page_request *)ctx = *req;
}

static void let_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	(void)ctx;
	(void)dev;
	(void)fault;
}

static int touch(struct world *w)
{
	uint32_t v;

	return viommu_dma_read(w->dma, w->dev, w->hp.v, MISSING, &v, 4, VIOMMU_DMA_NO_WAIT, NULL);
}

static void page_requests_are_open_only_while_they_are_on(void **state)
{
	struct viommu_page_request req;
	struct world_config wc = {
		.device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
		.ops = { .ctx = &req, .page_request = take_down, .fault = let_fault },
	};
	struct viommu_page_response resp = { .size = sizeof(resp) };
	struct world w;
	struct toy t;

	(void)state;
	toy_open(&t, NULL);
	world_open(&w, &wc);
	world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	viommu_pci_attach(t.pci, w.dev, NULL, NULL);
	assert_ptr_equal(viommu_pci_device(t.pci), w.dev);

	/* Off: the access faults. */
	assert_int_equal(touch(&w), VIOMMU_FAULTED);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	assert_int_equal(touch(&w), VIOMMU_FAULTED);
	assert_int_equal(cfg_read(&t, AT_PRI_STA, 2), 0x8100);

	/* On: a request. VTD-EP-02: not stopped while it is open. */
	cfg_write(&t, AT_PRI_CTL, 2, 1);
	assert_int_equal(touch(&w), -EAGAIN);
	assert_int_equal(viommu_device_open_requests(w.dev), 1);
	assert_int_equal(cfg_read(&t, AT_PRI_STA, 2), 0x8000);

	/* A reset while it is on is none. */
	cfg_write(&t, AT_PRI_CTL, 2, 3);
	assert_int_equal(viommu_device_open_requests(w.dev), 1);

	/* Disabling answers what is open, so it is stopped (VTD-EP-04). */
	cfg_write(&t, AT_PRI_CTL, 2, 0);
	assert_int_equal(viommu_device_open_requests(w.dev), 0);
	assert_int_equal(cfg_read(&t, AT_PRI_STA, 2), 0x8100);
	cfg_write(&t, AT_PRI_CTL, 2, 2);
	assert_int_equal(cfg_read(&t, AT_PRI_CTL, 2), 0);

	/* So does bus mastering off, and the function-level reset. */
	cfg_write(&t, AT_PRI_CTL, 2, 1);
	assert_int_equal(touch(&w), -EAGAIN);
	cfg_write(&t, AT_COMMAND, 2, 0);
	assert_int_equal(viommu_device_open_requests(w.dev), 0);
	assert_int_equal(touch(&w), VIOMMU_FAULTED);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);
	assert_int_equal(touch(&w), -EAGAIN);
	cfg_write(&t, AT_DEVCTL, 2, DEVCTL_FLR);
	assert_int_equal(viommu_device_open_requests(w.dev), 0);
	assert_int_equal(touch(&w), VIOMMU_FAULTED);
	cfg_write(&t, AT_COMMAND, 2, CMD_MASTER);

	/* A failed response (VTD-PRI-01) shows in the status until it is cleared. */
	cfg_write(&t, AT_PRI_CTL, 2, 1);
	assert_int_equal(touch(&w), -EAGAIN);
	resp.pasid = req.pasid;
	resp.prgi = req.prgi;
	resp.code = VIOMMU_RESPONSE_FAILURE;
	assert_int_equal(viommu_host_page_response(w.dev, &resp), 0);
	assert_int_equal(cfg_read(&t, AT_PRI_STA, 2), 0x8001);
	assert_int_equal(touch(&w), VIOMMU_FAULTED);
	assert_int_equal(touch(&w), VIOMMU_FAULTED);
	cfg_write(&t, AT_PRI_STA, 2, 1);
	assert_int_equal(cfg_read(&t, AT_PRI_STA, 2), 0x8000);
	assert_int_equal(touch(&w), -EAGAIN);
	/* Clearing what is not set ends no request. */
	cfg_write(&t, AT_PRI_STA, 2, 1);
	assert_int_equal(viommu_device_open_requests(w.dev), 1);

	/* A device that is attached to a function with page requests on may send them. */
	viommu_pci_attach(t.pci, NULL, NULL, NULL);
	assert_int_equal(viommu_device_open_requests(w.dev), 1);
	cfg_read(&t, AT_PRI_STA, 2);
	viommu_pci_attach(t.pci, w.dev, NULL, NULL);
	assert_int_equal(viommu_device_open_requests(w.dev), 1);
	world_close(&w);
	toy_close(&t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(power_on_state_is_every_capability_in_its_place),
	cmocka_unit_test(writes_of_every_width_store_what_may_be_stored),
	cmocka_unit_test(accesses_out_of_bounds_or_of_other_widths_are_refused),
	cmocka_unit_test(bars_tell_their_size_when_ones_are_written),
	cmocka_unit_test(capabilities_that_are_not_asked_for_are_not_there),
	cmocka_unit_test(a_configuration_that_makes_no_function_is_refused_with_a_reason),
	cmocka_unit_test(each_allocation_that_fails_leaves_nothing),
	cmocka_unit_test(linux_enumeration_enables_what_it_asks_for),
	cmocka_unit_test(pasid_needs_its_control_and_goes_through_the_boards_conversion),
	cmocka_unit_test(sleeping_in_d3hot_is_as_bus_mastering_off_and_keeps_its_state),
	cmocka_unit_test(firmware_pins_bar_0_by_writing_its_address),
	cmocka_unit_test(what_a_guest_writes_for_the_function_itself_is_told),
	cmocka_unit_test(bar_accesses_reach_the_model_whole_or_are_refused),
	cmocka_unit_test(a_model_without_callbacks_reads_as_zero),
	cmocka_unit_test(vectors_are_sent_only_while_enabled_and_bus_master),
	cmocka_unit_test(function_mask_holds_vectors_pending_until_it_goes),
	cmocka_unit_test(a_vmm_that_forwards_the_table_has_vectors_masked_here),
	cmocka_unit_test(without_vectors_the_vmm_gets_the_programmed_message),
	cmocka_unit_test(msi_shares_the_vectors_that_are_in_use),
	cmocka_unit_test(intx_follows_level_disable_and_the_other_kinds),
	cmocka_unit_test(runs_wait_for_bus_mastering_and_kicks_are_kept_for_it),
	cmocka_unit_test(a_kick_during_a_run_makes_it_run_again_without_a_wake),
	cmocka_unit_test(several_kicks_wake_several_workers),
	cmocka_unit_test(every_reset_brings_back_power_on_state),
	cmocka_unit_test(bus_master_off_stops_without_a_reset),
	cmocka_unit_test(page_requests_are_open_only_while_they_are_on),
};

TEST_MAIN(tests)
