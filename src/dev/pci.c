/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI function: its configuration checked and made into configuration space, the VMM's accesses
 * to it, and what the device model asks.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "dev/pci.h"
#include "host/soft.h"

#define ALL_FLAGS                                                                              \
	(VIOMMU_PCI_HAS_ATS | VIOMMU_PCI_HAS_PRI | VIOMMU_PCI_HAS_PASID | VIOMMU_PCI_HAS_FLR | \
	 VIOMMU_PCI_PIN_BAR0 | VIOMMU_PCI_HAS_PM | VIOMMU_PCI_HAS_VENDOR)
#define MAX_PRI_CAPACITY 512u /* group indices have 9 bits */
#define MAX_MSI          32u

/* ---- Checking a configuration ---------------------------------------------------------------- */

/* Each returns NULL or why not. */

static const char *bar_check(const struct viommu_pci_config *c, unsigned int n)
{
	const struct viommu_pci_bar *bar = &c->bar[n];
	bool upper = n && c->bar[n - 1].bytes && (c->bar[n - 1].flags & VIOMMU_PCI_BAR_64);

	if (bar->reserved || (bar->flags & ~(VIOMMU_PCI_BAR_64 | VIOMMU_PCI_BAR_PREFETCH)))
		return "a BAR has a flag that does not exist, or its reserved word is not 0";
	if (!bar->bytes)
		return bar->flags ? "a BAR of no bytes has flags" : NULL;
	if (upper)
		return "a BAR stands in the upper half of a 64-bit one";
	if (!is_pow2(bar->bytes) || bar->bytes < 4096)
		return "a BAR's size is not a power of two of 4096 and more";
	if (bar->flags & VIOMMU_PCI_BAR_64)
		return n == VIOMMU_PCI_BARS - 1 ? "the last BAR cannot be a 64-bit one" : NULL;
	return bar->bytes > UINT64_C(1) << 31 ? "a 32-bit BAR is larger than 2 GiB" : NULL;
}

static const char *msix_check(const struct viommu_pci_config *c)
{
	uint64_t table = (uint64_t)c->msix_vectors * PCIE_MSIX_ENTRY_BYTES;
	uint64_t pba = (uint64_t)(c->msix_vectors + 63u) / 64 * 8, bytes;

	if (!c->msix_vectors)
		return NULL;
	if (c->msix_vectors > VIOMMU_PCI_MAX_MSIX)
		return "more than 2048 MSI-X vectors";
	if (c->msix_bar >= VIOMMU_PCI_BARS || !c->bar[c->msix_bar].bytes)
		return "the BAR of the MSI-X table does not exist";
	bytes = c->bar[c->msix_bar].bytes;
	if (!is_aligned(c->msix_table, 4096) || !is_aligned(c->msix_pba, 4096))
		return "the MSI-X table or its pending bits do not begin a page";
	if (c->msix_table + table > bytes || c->msix_pba + pba > bytes)
		return "the MSI-X table or its pending bits are beyond their BAR's end";
	if (c->msix_table < c->msix_pba + pba && c->msix_pba < c->msix_table + table)
		return "the MSI-X table and its pending bits overlap";
	return NULL;
}

static const char *config_check(const struct viommu_pci_config *c)
{
	const char *why;
	unsigned int i;

	if (c->size != sizeof(*c))
		return "size is not sizeof(struct viommu_pci_config)";
	if (c->vendor == 0xffff)
		return "vendor id ffffh says that no function is there";
	if (c->class_code >> 24)
		return "the class code has more than 24 bits";
	if (c->intx > 1)
		return "intx is neither 0 nor 1";
	if (c->reserved)
		return "the reserved byte is not 0";
	if (c->msi_vectors && (!is_pow2(c->msi_vectors) || c->msi_vectors > MAX_MSI))
		return "MSI vectors are not 1, 2, 4, 8, 16 or 32";
	if (c->flags & ~ALL_FLAGS)
		return "a flag that does not exist";
	if ((c->flags & VIOMMU_PCI_HAS_PRI) && !(c->flags & VIOMMU_PCI_HAS_ATS))
		return "page requests need ATS";
	for (i = 0; i < VIOMMU_PCI_BARS; i++) {
		why = bar_check(c, i);
		if (why)
			return why;
	}
	if ((c->flags & VIOMMU_PCI_PIN_BAR0) &&
	    (!c->bar[0].bytes || (c->bar[0].flags & VIOMMU_PCI_BAR_64)))
		return "only a 32-bit BAR 0 can be pinned";
	if (c->pri_capacity > MAX_PRI_CAPACITY)
		return "more than 512 page requests";
	if (c->workers > VIOMMU_PCI_MAX_WORKERS)
		return "more than 16 workers";
	if (c->workers && !c->ops.run)
		return "workers without ops.run";
	return msix_check(c);
}

/* ---- Life ------------------------------------------------------------------------------------ */

int viommu_pci_new(const struct viommu_pci_config *config, struct viommu_pci **out,
		   const char **why)
{
	const char *wrong = config_check(config);
	struct viommu_pci *pci;
	int err;

	*out = NULL;
	if (why)
		*why = wrong;
	if (wrong)
		return -EINVAL;
	pci = viommu__calloc(1, sizeof(*pci));
	if (!pci)
		return -ENOMEM;
	pci->config = *config;
	viommu__pci_caps_init(pci);
	err = -pthread_rwlock_init(&pci->vmm_lock, NULL);
	if (err)
		goto fail_lock;
	err = viommu__pci_run_init(pci);
	if (err)
		goto fail_run;
	err = viommu__pci_irq_init(pci);
	if (err)
		goto fail_irq;
	*out = pci;
	return 0;

fail_irq:
	viommu__pci_run_destroy(pci);
fail_run:
	pthread_rwlock_destroy(&pci->vmm_lock);
fail_lock:
	viommu__free(pci);
	return err;
}

void viommu_pci_free(struct viommu_pci *pci)
{
	if (!pci)
		return;
	viommu__pci_irq_destroy(pci);
	viommu__pci_run_destroy(pci);
	pthread_rwlock_destroy(&pci->vmm_lock);
	viommu__free(pci);
}

void viommu_pci_attach(struct viommu_pci *pci, struct viommu_device *dev,
		       int (*hpasid)(void *ctx, struct viommu_gp gp, struct viommu_hp *out),
		       void *ctx)
{
	const uint32_t both = VIOMMU_PCI_PRI | VIOMMU_PCI_BUS_MASTER;

	pci->hpasid = hpasid;
	pci->hpasid_ctx = ctx;
	store_release(&pci->dev, dev);
	/* A device of the host may ask for pages; the function's own control comes on top. */
	if (dev)
		viommu__device_pri(dev, (pci->enabled & both) == both);
}

void viommu_pci_set_vmm(struct viommu_pci *pci, const struct viommu_pci_vmm *vmm)
{
	pthread_rwlock_wrlock(&pci->vmm_lock);
	pci->vmm = vmm ? *vmm : (struct viommu_pci_vmm){ 0 };
	pthread_rwlock_unlock(&pci->vmm_lock);
	viommu__pci_irq_vmm(pci);
	/* Kicks that the VMM before was told, or nobody. */
	if (load_seqcst(&pci->kicks))
		viommu__pci_vmm_kick(pci);
}

const struct viommu_pci_config *viommu_pci_config(const struct viommu_pci *pci)
{
	return &pci->config;
}

/* ---- Configuration space --------------------------------------------------------------------- */

int viommu_pci_config_read(struct viommu_pci *pci, uint64_t offset, void *buf, size_t bytes)
{
	if (offset > VIOMMU_PCI_CONFIG_BYTES || bytes > VIOMMU_PCI_CONFIG_BYTES - offset)
		return -EINVAL;
	viommu__pci_caps_refresh(pci);
	memcpy(buf, pci->cfg + offset, bytes);
	return 0;
}

/* One write applied to one dword: masks first, then what the capability makes of it. */
int viommu_pci_config_write(struct viommu_pci *pci, uint64_t offset, const void *buf, size_t bytes)
{
	uint8_t written[4] = { 0 }, on[4] = { 0 };
	uint32_t value, mask, before, rw, w1c;
	unsigned int at, wrote;

	if ((bytes != 1 && bytes != 2 && bytes != 4) || offset >= VIOMMU_PCI_CONFIG_BYTES ||
	    !is_aligned(offset, bytes))
		return -EINVAL;
	at = (unsigned int)offset & ~3u;
	memcpy(written + offset % 4, buf, bytes);
	memset(on + offset % 4, 0xff, bytes);
	value = viommu__pcie_load(written);
	mask = viommu__pcie_load(on);
	before = viommu__pcie_load(pci->cfg + at);
	rw = viommu__pcie_load(pci->rw + at) & mask;
	w1c = viommu__pcie_load(pci->w1c + at) & mask;
	viommu__pcie_store(pci->cfg + at, ((before & ~rw) | (value & rw)) & ~(value & w1c));

	wrote = viommu__pci_caps_written(pci, at, value, before);
	if (wrote & PCI_WROTE_FLR) {
		viommu__pci_reset(pci, true);
		return 0;
	}
	viommu__pci_enable(pci);
	if ((wrote & PCI_WROTE_PRI) && pci->dev)
		viommu_device_pri_reset(pci->dev);
	if ((wrote & PCI_WROTE_VENDOR) && pci->config.ops.control)
		pci->config.ops.control(pci->config.ops.ctx, VIOMMU_PCI_VENDOR);
	return 0;
}

/* ---- BARs ------------------------------------------------------------------------------------ */

static bool bar_access_ok(const struct viommu_pci *pci, unsigned int bar, uint64_t offset,
			  unsigned int bytes)
{
	uint64_t size = bar < VIOMMU_PCI_BARS ? pci->config.bar[bar].bytes : 0;

	return (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) &&
	       is_aligned(offset, bytes) && offset < size;
}

int viommu_pci_bar_read(struct viommu_pci *pci, unsigned bar, uint64_t offset, unsigned bytes,
			uint64_t *value)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;

	*value = 0;
	if (!bar_access_ok(pci, bar, offset, bytes))
		return -EINVAL;
	if (!viommu__pci_msix_read(pci, bar, offset, bytes, value) && ops->read)
		*value = ops->read(ops->ctx, bar, offset, bytes) & low_bits(bytes * 8);
	return 0;
}

int viommu_pci_bar_write(struct viommu_pci *pci, unsigned bar, uint64_t offset, unsigned bytes,
			 uint64_t value)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;

	if (!bar_access_ok(pci, bar, offset, bytes))
		return -EINVAL;
	value &= low_bits(bytes * 8);
	if (!viommu__pci_msix_write(pci, bar, offset, bytes, value) && ops->write)
		ops->write(ops->ctx, bar, offset, bytes, value);
	return 0;
}

/* ---- For the device model -------------------------------------------------------------------- */

uint32_t viommu_pci_enabled(const struct viommu_pci *pci)
{
	return load_acquire(&pci->enabled);
}

struct viommu_device *viommu_pci_device(const struct viommu_pci *pci)
{
	return load_acquire(&pci->dev);
}

uint32_t viommu_pci_dma_flags(const struct viommu_pci *pci)
{
	uint32_t on = viommu_pci_enabled(pci);

	return (on & VIOMMU_PCI_ATS ? VIOMMU_DMA_ATS : 0) |
	       (on & VIOMMU_PCI_PRI ? 0 : VIOMMU_DMA_NO_PRI);
}

int viommu_pci_pasid(struct viommu_pci *pci, uint32_t gp, uint32_t *hp)
{
	struct viommu_hp out = { gp };
	int err = 0;

	if (gp > VIOMMU_PASID_MAX)
		return -EINVAL;
	if (!(viommu_pci_enabled(pci) & VIOMMU_PCI_PASID))
		return -EPERM;
	if (pci->hpasid)
		err = pci->hpasid(pci->hpasid_ctx, (struct viommu_gp){ gp }, &out);
	if (err)
		return err;
	*hp = out.v;
	return 0;
}
