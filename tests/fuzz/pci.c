/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a PCI function made from the input, then a script of everything that a guest, a VMM
 * and a model can do to it. What must hold:
 *
 *  - what makes no function is refused with a reason;
 *  - configuration space: a write changes no read-only bit; the lists of capabilities end, and each
 *    capability is there once; what is enabled is what the bits say;
 *  - nothing is sent while bus mastering is off; the model sees accesses inside of its BARs only
 *    and none of the MSI-X table;
 *  - a reset gives power-on state back, but for what a function-level reset keeps.
 *
 * Input: the configuration (see config_read()), then operations: one byte what, then its operands.
 */
#include <errno.h>
#include <stdlib.h>

#include <viommu/viommu.h>

#include "base/assert.h"
#include "base/bits.h"
#include "fuzz/fuzz.h"
#include "spec/pci.h"

#define OPERATIONS 256u

struct fuzz {
	struct viommu_pci *pci;
	struct viommu_pci_config config;
	uint8_t power_on[VIOMMU_PCI_CONFIG_BYTES];
	unsigned int resets, sent, runs;
	uint32_t work;
};

/* ---- Model and VMM --------------------------------------------------------------------------- */

static void access_check(struct fuzz *f, unsigned bar, uint64_t offset, unsigned bytes)
{
	const struct viommu_pci_config *c = &f->config;
	uint64_t table = c->msix_table, pba = c->msix_pba;

	VIOMMU_ASSERT(bar < VIOMMU_PCI_BARS && is_pow2(bytes) && bytes <= 8);
	VIOMMU_ASSERT(is_aligned(offset, bytes) && offset + bytes <= c->bar[bar].bytes);
	if (!c->msix_vectors || bar != c->msix_bar)
		return;
	VIOMMU_ASSERT(offset < table || offset >= table + 16u * c->msix_vectors);
	VIOMMU_ASSERT(offset < pba || offset >= pba + (c->msix_vectors + 63u) / 64 * 8);
}

static uint64_t model_read(void *ctx, unsigned bar, uint64_t offset, unsigned bytes)
{
	access_check(ctx, bar, offset, bytes);
	return UINT64_MAX;
}

static void model_write(void *ctx, unsigned bar, uint64_t offset, unsigned bytes, uint64_t value)
{
	access_check(ctx, bar, offset, bytes);
	VIOMMU_ASSERT(!(value & ~low_bits(bytes * 8)));
}

static void model_reset(void *ctx)
{
	struct fuzz *f = ctx;

	VIOMMU_ASSERT(!viommu_pci_enabled(f->pci) && viommu_pci_stopping(f->pci));
	f->resets++;
}

static void model_control(void *ctx, uint32_t changed)
{
	(void)ctx;
	VIOMMU_ASSERT(changed && !(changed & ~0x7fu));
}

static int model_run(void *ctx, struct viommu_dma *dma)
{
	struct fuzz *f = ctx;

	VIOMMU_ASSERT(!dma && (viommu_pci_enabled(f->pci) & VIOMMU_PCI_BUS_MASTER));
	f->runs++;
	f->work >>= 1;
	return f->work & 1;
}

static void vmm_interrupt(void *ctx, unsigned vector)
{
	struct fuzz *f = ctx;
	uint32_t on = viommu_pci_enabled(f->pci);

	VIOMMU_ASSERT(on & VIOMMU_PCI_BUS_MASTER);
	if (on & VIOMMU_PCI_MSIX)
		VIOMMU_ASSERT(vector < f->config.msix_vectors);
	else
		VIOMMU_ASSERT((on & VIOMMU_PCI_MSI) && vector < f->config.msi_vectors);
	f->sent++;
}

static void vmm_message(void *ctx, uint64_t addr, uint32_t data)
{
	(void)data;
	((struct fuzz *)ctx)->sent += addr != 0;
}

static void vmm_intx(void *ctx, int level)
{
	struct fuzz *f = ctx;

	VIOMMU_ASSERT(f->config.intx);
	VIOMMU_ASSERT(!level || !(viommu_pci_enabled(f->pci) & (VIOMMU_PCI_MSIX | VIOMMU_PCI_MSI)));
}

static void vmm_kick(void *ctx)
{
	(void)ctx;
}

/* ---- Configuration --------------------------------------------------------------------------- */

static void config_read(struct fuzz_input *in, struct fuzz *f)
{
	struct viommu_pci_config *c = &f->config;
	unsigned int i;
	uint8_t b;

	c->size = fuzz_u8(in) == 0xff ? 1 : sizeof(*c);
	c->vendor = fuzz_u16(in);
	c->device = fuzz_u16(in);
	c->class_code = fuzz_u32(in);
	c->intx = fuzz_u8(in);
	c->msi_vectors = fuzz_u8(in);
	c->reserved = fuzz_u8(in) == 0xff;
	c->flags = fuzz_u8(in);
	for (i = 0; i < VIOMMU_PCI_BARS; i++) {
		b = fuzz_u8(in);
		c->bar[i].bytes = b & 0x3f ? BIT64(b & 0x3f) : 0;
		c->bar[i].flags = b >> 6;
		/* The odd ones. */
		if (b == 0x3f)
			c->bar[i].bytes += 4096;
		if (b == 0x3e)
			c->bar[i].reserved = 1;
	}
	c->msix_vectors = fuzz_u16(in);
	c->msix_bar = fuzz_u8(in);
	c->msix_table = fuzz_u32(in);
	c->msix_pba = fuzz_u32(in);
	c->pri_capacity = fuzz_u16(in);
	c->workers = fuzz_u8(in);
	b = fuzz_u8(in);
	c->ops = (struct viommu_pci_ops){
		.ctx = f,
		.read = b & 1 ? NULL : model_read,
		.write = b & 2 ? NULL : model_write,
		.reset = model_reset,
		.control = b & 4 ? NULL : model_control,
		.run = b & 8 ? NULL : model_run,
	};
}

/* ---- What holds after each operation --------------------------------------------------------- */

static uint32_t get(struct fuzz *f, unsigned int at)
{
	uint8_t b[4];

	VIOMMU_ASSERT(!viommu_pci_config_read(f->pci, at, b, 4));
	return viommu__pcie_load(b);
}

/* Walks a list; the field in question of the capability `id`, 0 if it is not there. */
static bool bit_at(struct fuzz *f, unsigned int id, bool extended, unsigned int dword,
		   uint32_t mask)
{
	unsigned int at = extended ? 0x100 : get(f, 0x34) & 0xff, n = 0, found = 0;
	bool set = false;

	while (at) {
		uint32_t header = get(f, at);

		VIOMMU_ASSERT(n++ < 16 && !(at & 3) && at < VIOMMU_PCI_CONFIG_BYTES);
		if ((header & (extended ? 0xffff : 0xff)) == id) {
			set = get(f, at + dword) & mask;
			found++;
		}
		at = extended ? header >> 20 : header >> 8 & 0xff;
	}
	VIOMMU_ASSERT(found < 2);
	return set;
}

#define BIT_AT(f, id, extended, NAME) bit_at(f, id, extended, PCIE_DWORD(NAME), PCIE_MASK(NAME))

static void enabled_check(struct fuzz *f)
{
	uint32_t on = 0, command = get(f, 4);

	if (command & 2)
		on |= VIOMMU_PCI_MEMORY;
	if (command & 4)
		on |= VIOMMU_PCI_BUS_MASTER;
	if (BIT_AT(f, 0x11, false, PCIE_MSIX_ENABLE))
		on |= VIOMMU_PCI_MSIX;
	if (BIT_AT(f, 0x05, false, PCIE_MSI_ENABLE))
		on |= VIOMMU_PCI_MSI;
	if (BIT_AT(f, 0x01, false, PCIE_PM_STATE))
		on = 0;
	if (BIT_AT(f, 0x0f, true, PCIE_ATS_ENABLE))
		on |= VIOMMU_PCI_ATS;
	if (BIT_AT(f, 0x1b, true, PCIE_PASID_ENABLE))
		on |= VIOMMU_PCI_PASID;
	if (BIT_AT(f, 0x13, true, PCIE_PRI_ENABLE))
		on |= VIOMMU_PCI_PRI;
	VIOMMU_ASSERT(viommu_pci_enabled(f->pci) == on);
	VIOMMU_ASSERT(viommu_pci_stopping(f->pci) == !(on & VIOMMU_PCI_BUS_MASTER));
	VIOMMU_ASSERT(!(viommu_pci_dma_flags(f->pci) & VIOMMU_DMA_ATS) == !(on & VIOMMU_PCI_ATS));
}

/* Identification and layout are what they were. */
static void constant_check(struct fuzz *f)
{
	static const uint16_t constant[] = { 0x00,  0x08,  0x2c,  0x34,  0x40, 0x44,  0x64,
					     0x84,  0x88,  0x90,  0xb0,  0xbc, 0x100, 0x220,
					     0x230, 0x240, 0x248, 0x300, 0xffc };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(constant); i++)
		VIOMMU_ASSERT(get(f, constant[i]) == viommu__pcie_load(f->power_on + constant[i]));
}

static void power_on_check(struct fuzz *f, bool flr)
{
	uint8_t now[VIOMMU_PCI_CONFIG_BYTES];

	VIOMMU_ASSERT(!viommu_pci_config_read(f->pci, 0, now, sizeof(now)));
	if (flr && (f->config.flags & VIOMMU_PCI_PIN_BAR0))
		memcpy(now + 0xb4, f->power_on + 0xb4, 8);
	VIOMMU_ASSERT(!memcmp(now, f->power_on, sizeof(now)));
}

/* ---- The script ------------------------------------------------------------------------------ */

/* An address inside of the BAR now and then, at its edges more often. */
static uint64_t offset_read(struct fuzz_input *in, struct fuzz *f, unsigned int bar)
{
	uint8_t how = fuzz_u8(in);
	uint64_t at = fuzz_u32(in);

	if (how & 1)
		return fuzz_u64(in);
	if (how & 2)
		at &= 0xfff;
	if (how & 4)
		at += f->config.msix_table;
	else if (how & 8)
		at += f->config.msix_pba;
	else if ((how & 16) && bar < VIOMMU_PCI_BARS)
		at = f->config.bar[bar].bytes - at;
	return how & 32 ? align_down(at, 8) : at;
}

static void operation(struct fuzz_input *in, struct fuzz *f, struct viommu_device *dev)
{
	const struct viommu_pci_vmm vmm = { .ctx = f,
					    .interrupt = vmm_interrupt,
					    .intx = vmm_intx,
					    .message = vmm_message,
					    .kick = vmm_kick };
	struct viommu_pci_vmm other = vmm;
	uint8_t buf[16], what = fuzz_u8(in);
	unsigned int bar, bytes, resets = f->resets;
	uint64_t offset, value = 0;
	uint32_t hp;
	int ret;

	switch (what % 13) {
	case 0:
	case 1: /* where most of the registers are */
		offset = fuzz_u16(in) & 0x3ff;
		if (what & 0x80)
			offset &= 0xff;
		bytes = 1u << (what >> 4 & 3) % 3;
		fuzz_bytes(in, buf, 4);
		ret = viommu_pci_config_write(f->pci, offset, buf, bytes);
		VIOMMU_ASSERT(ret == (is_aligned(offset, bytes) ? 0 : -EINVAL));
		if (f->resets != resets)
			power_on_check(f, true);
		break;
	case 2:
		offset = fuzz_u64(in);
		bytes = fuzz_u8(in) % 16;
		memset(buf, 0xff, sizeof(buf));
		ret = viommu_pci_config_write(f->pci, offset, buf, bytes);
		VIOMMU_ASSERT(!ret || ret == -EINVAL);
		ret = viommu_pci_config_read(f->pci, offset, buf, bytes);
		VIOMMU_ASSERT(ret == (offset <= 4096 && bytes <= 4096 - offset ? 0 : -EINVAL));
		break;
	case 3:
	case 4:
		bar = fuzz_u8(in) % 8;
		bytes = 1u << (what >> 4 & 3);
		offset = offset_read(in, f, bar);
		ret = viommu_pci_bar_write(f->pci, bar, offset, bytes, fuzz_u64(in));
		VIOMMU_ASSERT(viommu_pci_bar_read(f->pci, bar, offset, bytes, &value) == ret);
		VIOMMU_ASSERT(!(value & ~low_bits(bytes * 8)));
		break;
	case 5:
		bar = fuzz_u8(in);
		VIOMMU_ASSERT(viommu_pci_bar_read(f->pci, bar, fuzz_u64(in), fuzz_u8(in), &value) ==
				      0 ||
			      value == 0);
		break;
	case 6:
		viommu_pci_interrupt(f->pci, fuzz_u16(in));
		break;
	case 7:
		viommu_pci_intx(f->pci, what & 0x80);
		viommu_pci_message(f->pci, fuzz_u32(in), 1);
		break;
	case 8:
		viommu_pci_kick(f->pci);
		f->work = fuzz_u8(in);
		break;
	case 9:
		for (bytes = 0; bytes < 64 && viommu_pci_run(f->pci, NULL); bytes++)
			;
		VIOMMU_ASSERT(bytes < 64);
		break;
	case 10:
		viommu_pci_reset(f->pci);
		VIOMMU_ASSERT(f->resets == resets + 1);
		power_on_check(f, false);
		break;
	case 11:
		value = fuzz_u32(in);
		ret = viommu_pci_pasid(f->pci, (uint32_t)value, &hp);
		VIOMMU_ASSERT(ret ? ret == -EINVAL || ret == -EPERM
				  : hp == value && value < 0x100000);
		break;
	default:
		if (what & 0x80)
			other.interrupt = NULL;
		viommu_pci_set_vmm(f->pci, what & 0x40 ? NULL : &other);
		viommu_pci_attach(f->pci, what & 0x20 ? NULL : dev, NULL, NULL);
		break;
	}
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct viommu_device_config dc = { .size = sizeof(dc),
					   .sid = 8,
					   .flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
						    VIOMMU_DEVICE_PRI };
	struct fuzz_input in = { data, size };
	struct viommu_device *dev;
	struct viommu_host *host;
	const char *why = NULL;
	struct fuzz f = { 0 };
	unsigned int i;
	int ret;

	config_read(&in, &f);
	ret = viommu_pci_new(&f.config, &f.pci, &why);
	VIOMMU_ASSERT((ret == -EINVAL) == (why != NULL));
	VIOMMU_ASSERT((ret == 0) == (f.pci != NULL));
	if (ret)
		return;
	VIOMMU_ASSERT(!viommu_host_new(NULL, &host));
	VIOMMU_ASSERT(!viommu_device_new(host, &dc, &dev));
	VIOMMU_ASSERT(!viommu_pci_config_read(f.pci, 0, f.power_on, sizeof(f.power_on)));
	for (i = 0; i < OPERATIONS && !fuzz_done(&in); i++) {
		operation(&in, &f, dev);
		enabled_check(&f);
		constant_check(&f);
	}
	viommu_pci_free(f.pci);
	viommu_host_free(host);
}

FUZZ_TARGET
