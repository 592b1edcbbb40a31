/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function for tests: its model counts what is called, its VMM counts what is sent.
 */
#ifndef VIOMMU_TEST_TOY_H
#define VIOMMU_TEST_TOY_H

#include <viommu/viommu.h>

#include "base/atomic.h"
#include "lib/test.h"

struct toy {
	struct viommu_pci *pci;
	/* what the model saw */
	unsigned int aborts, resets, controls, runs, reads, writes;
	uint32_t changed;          /* of the last control */
	uint32_t enabled_at_reset; /* viommu_pci_enabled() in the last reset */
	unsigned int work;         /* runs that find something */
	unsigned int inside;       /* of ops.run */
	unsigned int bar, bytes;   /* of the last BAR access */
	uint64_t offset, value;
	/* what the VMM saw */
	unsigned int interrupts[64], kicks, messages;
	int intx;
	uint64_t addr;
	uint32_t data;
	int no_vectors; /* the VMM takes messages only */
};

static uint64_t toy_read(void *ctx, unsigned bar, uint64_t offset, unsigned bytes)
{
	struct toy *t = ctx;

	t->reads++;
	t->bar = bar;
	t->offset = offset;
	t->bytes = bytes;
	return UINT64_C(0x1122334455667788);
}

static void toy_write(void *ctx, unsigned bar, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct toy *t = ctx;

	t->writes++;
	t->bar = bar;
	t->offset = offset;
	t->bytes = bytes;
	t->value = value;
}

static void toy_abort(void *ctx)
{
	struct toy *t = ctx;

	assert_int_equal(viommu_pci_stopping(t->pci), 1);
	t->aborts++;
}

static void toy_reset(void *ctx)
{
	struct toy *t = ctx;

	t->resets++;
	t->enabled_at_reset = viommu_pci_enabled(t->pci);
}

static void toy_control(void *ctx, uint32_t changed)
{
	struct toy *t = ctx;

	t->controls++;
	t->changed = changed;
}

static int toy_run(void *ctx, struct viommu_dma *dma)
{
	struct toy *t = ctx;

	(void)dma;
	t->runs++;
	if (!t->work)
		return 0;
	t->work--;
	return 1;
}

static void toy_interrupt(void *ctx, unsigned vector)
{
	struct toy *t = ctx;

	assert_in_range(vector, 0, 63);
	t->interrupts[vector]++;
}

static void toy_intx(void *ctx, int level)
{
	struct toy *t = ctx;

	t->intx = level;
}

static void toy_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct toy *t = ctx;

	t->messages++;
	t->addr = addr;
	t->data = data;
}

static void toy_kick(void *ctx)
{
	struct toy *t = ctx;

	fetch_add(&t->kicks, 1);
}

/* Everything there, laid out as DSA hardware. */
static inline struct viommu_pci_config toy_config(struct toy *t)
{
	return (struct viommu_pci_config){
		.size = sizeof(struct viommu_pci_config),
		.vendor = 0x8086,
		.device = 0x0b25,
		.subsystem_vendor = 0x8086,
		.subsystem = 0x1234,
		.class_code = 0x088000,
		.revision = 3,
		.intx = 1,
		.msi_vectors = 4,
		.flags = VIOMMU_PCI_HAS_ATS | VIOMMU_PCI_HAS_PRI | VIOMMU_PCI_HAS_PASID |
			 VIOMMU_PCI_HAS_FLR | VIOMMU_PCI_HAS_PM,
		.bar = { { 0x10000, VIOMMU_PCI_BAR_64 | VIOMMU_PCI_BAR_PREFETCH, 0 },
			 { 0 },
			 { 0x20000, VIOMMU_PCI_BAR_64 | VIOMMU_PCI_BAR_PREFETCH, 0 },
			 { 0 },
			 { 0x1000, 0, 0 } },
		.msix_vectors = 9,
		.msix_bar = 0,
		.msix_table = 0x2000,
		.msix_pba = 0x3000,
		.ops = { .ctx = t,
			 .read = toy_read,
			 .write = toy_write,
			 .abort = toy_abort,
			 .reset = toy_reset,
			 .control = toy_control,
			 .run = toy_run },
	};
}

static inline void toy_vmm(struct toy *t)
{
	struct viommu_pci_vmm vmm = { .ctx = t,
				      .interrupt = t->no_vectors ? NULL : toy_interrupt,
				      .intx = toy_intx,
				      .message = toy_message,
				      .kick = toy_kick };

	viommu_pci_set_vmm(t->pci, &vmm);
}

/* config NULL: toy_config(). */
static inline void toy_open(struct toy *t, const struct viommu_pci_config *config)
{
	struct viommu_pci_config all;
	const char *why = "";

	memset(t, 0, sizeof(*t));
	all = toy_config(t);
	assert_int_equal(viommu_pci_new(config ? config : &all, &t->pci, &why), 0);
	assert_null(why);
	toy_vmm(t);
}

static inline void toy_close(struct toy *t)
{
	viommu_pci_free(t->pci);
}

static inline uint32_t cfg_read(struct toy *t, unsigned int at, unsigned int bytes)
{
	uint8_t b[4] = { 0 };

	assert_int_equal(viommu_pci_config_read(t->pci, at, b, bytes), 0);
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline void cfg_write(struct toy *t, unsigned int at, unsigned int bytes, uint32_t v)
{
	const uint8_t b[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			       (uint8_t)(v >> 24) };

	assert_int_equal(viommu_pci_config_write(t->pci, at, b, bytes), 0);
}

/* Where capabilities of toy_config() stand, and the bits that tests write. */
#define AT_COMMAND   0x04u
#define AT_STATUS    0x06u
#define AT_DEVCTL    0x48u
#define AT_MSIX_CTL  0x82u
#define AT_PM_CTL    0x94u
#define AT_MSI_CTL   0xa2u
#define AT_ATS_CTL   0x226u
#define AT_PASID_CTL 0x236u
#define AT_PRI_CTL   0x244u
#define AT_PRI_STA   0x246u

#define CMD_MEMORY   0x2u
#define CMD_MASTER   0x4u
#define CMD_NO_INTX  0x400u
#define DEVCTL_FLR   0x8000u
#define MSIX_ENABLE  0x8000u
#define MSIX_MASKALL 0x4000u

#endif /* VIOMMU_TEST_TOY_H */
