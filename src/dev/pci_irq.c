/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of a function: MSI-X with table and pending bits, MSI, INTx, and plain messages.
 *
 * VMMs differ in who keeps the MSI-X table. QEMU's vfio client answers table accesses itself, masks
 * by vector itself, and wants to hear of a vector by number. A VMM that forwards table accesses
 * gets vectors masked and held pending here. A vector that is not enabled is dropped, as is one
 * that is raised while bus mastering is off: an interrupt message is a memory write.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "dev/pci.h"

size_t viommu__pci_table_bytes(const struct viommu_pci *pci)
{
	return (size_t)pci->config.msix_vectors * PCIE_MSIX_ENTRY_BYTES;
}

size_t viommu__pci_pba_bytes(const struct viommu_pci *pci)
{
	return (size_t)(pci->config.msix_vectors + 63u) / 64 * 8;
}

static void table_reset(struct pci_irq *irq, const struct viommu_pci *pci)
{
	unsigned int i;

	memset(irq->table, 0, viommu__pci_table_bytes(pci));
	memset(irq->pba, 0, viommu__pci_pba_bytes(pci));
	for (i = 0; i < pci->config.msix_vectors; i++)
		PCIE_SET(irq->table + i * PCIE_MSIX_ENTRY_BYTES, PCIE_MSIX_VMASK, 1);
	irq->pending = 0;
	irq->table_used = false;
}

int viommu__pci_irq_init(struct viommu_pci *pci)
{
	struct pci_irq *irq = &pci->irq;
	int err;

	irq->table = viommu__calloc(1, viommu__pci_table_bytes(pci));
	irq->pba = viommu__calloc(1, viommu__pci_pba_bytes(pci));
	err = irq->table && irq->pba ? pthread_mutex_init(&irq->lock, NULL) : ENOMEM;
	if (err) {
		viommu__free(irq->table);
		viommu__free(irq->pba);
		return -err;
	}
	table_reset(irq, pci);
	return 0;
}

void viommu__pci_irq_destroy(struct viommu_pci *pci)
{
	pthread_mutex_destroy(&pci->irq.lock);
	viommu__free(pci->irq.table);
	viommu__free(pci->irq.pba);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void message_send(struct viommu_pci *pci, uint64_t addr, uint32_t data)
{
	pthread_rwlock_rdlock(&pci->vmm_lock);
	if (pci->vmm.message)
		pci->vmm.message(pci->vmm.ctx, addr, data);
	pthread_rwlock_unlock(&pci->vmm_lock);
}

/* By number; a VMM that takes none gets the message that the guest programmed. */
static void vector_send(struct viommu_pci *pci, unsigned int vector, uint64_t addr, uint32_t data)
{
	pthread_rwlock_rdlock(&pci->vmm_lock);
	if (pci->vmm.interrupt)
		pci->vmm.interrupt(pci->vmm.ctx, vector);
	else if (pci->vmm.message && addr)
		pci->vmm.message(pci->vmm.ctx, addr, data);
	pthread_rwlock_unlock(&pci->vmm_lock);
}

static uint64_t entry_addr(const uint8_t *entry)
{
	return (uint64_t)PCIE_GET(entry, PCIE_MSIX_ADDR_HI) << 32 |
	       (uint64_t)PCIE_GET(entry, PCIE_MSIX_ADDR) << 2;
}

/* lock held */
static bool vector_masked(const struct pci_irq *irq, unsigned int vector)
{
	const uint8_t *entry = irq->table + vector * PCIE_MSIX_ENTRY_BYTES;

	return irq->mask || (irq->table_used && PCIE_GET(entry, PCIE_MSIX_VMASK));
}

static bool can_send(const struct viommu_pci *pci, uint32_t kind)
{
	uint32_t on = load_acquire(&pci->enabled);

	return (on & kind) && (on & VIOMMU_PCI_BUS_MASTER);
}

static void msix_raise(struct viommu_pci *pci, unsigned int vector)
{
	struct pci_irq *irq = &pci->irq;
	uint64_t addr;
	uint32_t data;
	bool masked;

	if (vector >= pci->config.msix_vectors)
		return;
	pthread_mutex_lock(&irq->lock);
	masked = vector_masked(irq, vector);
	addr = entry_addr(irq->table + vector * PCIE_MSIX_ENTRY_BYTES);
	data = PCIE_GET(irq->table + vector * PCIE_MSIX_ENTRY_BYTES, PCIE_MSIX_DATA);
	if (masked && !(irq->pba[vector / 64] & BIT64(vector % 64))) {
		irq->pba[vector / 64] |= BIT64(vector % 64);
		irq->pending++;
	}
	pthread_mutex_unlock(&irq->lock);
	if (!masked)
		vector_send(pci, vector, addr, data);
}

/* Sends what is pending and no longer masked. */
static void msix_flush(struct viommu_pci *pci)
{
	struct pci_irq *irq = &pci->irq;
	unsigned int vector;

	if (!can_send(pci, VIOMMU_PCI_MSIX))
		return;
	for (vector = 0; vector < pci->config.msix_vectors; vector++) {
		uint64_t addr = 0;
		uint32_t data = 0;
		bool send, more;

		pthread_mutex_lock(&irq->lock);
		more = irq->pending != 0;
		send = (irq->pba[vector / 64] & BIT64(vector % 64)) && !vector_masked(irq, vector);
		if (send) {
			irq->pba[vector / 64] &= ~BIT64(vector % 64);
			irq->pending--;
			addr = entry_addr(irq->table + vector * PCIE_MSIX_ENTRY_BYTES);
			data = PCIE_GET(irq->table + vector * PCIE_MSIX_ENTRY_BYTES,
					PCIE_MSIX_DATA);
		}
		pthread_mutex_unlock(&irq->lock);
		if (send)
			vector_send(pci, vector, addr, data);
		if (!more)
			break;
	}
}

static void msi_raise(struct viommu_pci *pci, unsigned int vector)
{
	struct pci_irq *irq = &pci->irq;
	uint64_t addr;
	uint32_t data;

	if (vector >= pci->config.msi_vectors)
		return;
	pthread_mutex_lock(&irq->lock);
	/* Choice: with fewer vectors than the function has, they are shared round. */
	vector &= irq->msi_vectors - 1;
	addr = irq->msi_addr;
	data = irq->msi_data | vector;
	pthread_mutex_unlock(&irq->lock);
	vector_send(pci, vector, addr, data);
}

void viommu_pci_interrupt(struct viommu_pci *pci, unsigned vector)
{
	if (can_send(pci, VIOMMU_PCI_MSIX))
		msix_raise(pci, vector);
	else if (can_send(pci, VIOMMU_PCI_MSI))
		msi_raise(pci, vector);
}

void viommu_pci_message(struct viommu_pci *pci, uint64_t addr, uint32_t data)
{
	message_send(pci, addr, data);
}

/* lock held: levels reach the VMM in the order in which they came about. */
static void intx_update(struct viommu_pci *pci)
{
	struct pci_irq *irq = &pci->irq;
	int asserted = irq->level && pci->config.intx &&
		       !(load_acquire(&pci->enabled) & (VIOMMU_PCI_MSIX | VIOMMU_PCI_MSI));

	/* cfg belongs to the accessing thread: what it says of INTx was put into irq. */
	asserted = asserted && !irq->intx_disabled;
	if (asserted == irq->asserted)
		return;
	irq->asserted = asserted;
	pthread_rwlock_rdlock(&pci->vmm_lock);
	if (pci->vmm.intx)
		pci->vmm.intx(pci->vmm.ctx, asserted);
	pthread_rwlock_unlock(&pci->vmm_lock);
}

void viommu_pci_intx(struct viommu_pci *pci, int level)
{
	pthread_mutex_lock(&pci->irq.lock);
	pci->irq.level = !!level;
	intx_update(pci);
	pthread_mutex_unlock(&pci->irq.lock);
}

void viommu__pci_irq_vmm(struct viommu_pci *pci)
{
	pthread_mutex_lock(&pci->irq.lock);
	pci->irq.asserted = 0; /* which the new VMM assumes */
	intx_update(pci);
	pthread_mutex_unlock(&pci->irq.lock);
}

void viommu__pci_irq_follow(struct viommu_pci *pci)
{
	const uint8_t *msix = viommu__pci_cap(pci, PCIE_MSIX);
	const uint8_t *msi = viommu__pci_cap(pci, PCIE_MSI);
	struct pci_irq *irq = &pci->irq;

	pthread_mutex_lock(&irq->lock);
	irq->intx_disabled = PCIE_GET(pci->cfg, PCIE_HDR_INTX_DISABLE);
	irq->mask = msix && PCIE_GET(msix, PCIE_MSIX_MASK);
	/* Choice: what is pending when MSI-X is switched off is forgotten. */
	if (irq->pending && !(load_acquire(&pci->enabled) & VIOMMU_PCI_MSIX)) {
		memset(irq->pba, 0, viommu__pci_pba_bytes(pci));
		irq->pending = 0;
	}
	if (msi) {
		unsigned int used = PCIE_GET(msi, PCIE_MSI_VECTORS);

		used = used < 6 ? 1u << used : 32; /* 6 and 7 are reserved */
		irq->msi_vectors = (unsigned int)min_u64(used, pci->config.msi_vectors);
		irq->msi_addr = (uint64_t)PCIE_GET(msi, PCIE_MSI_ADDR_HI) << 32 |
				(uint64_t)PCIE_GET(msi, PCIE_MSI_ADDR) << 2;
		/* The low bits are the vector. */
		irq->msi_data = PCIE_GET(msi, PCIE_MSI_DATA) & ~(irq->msi_vectors - 1);
	}
	pthread_mutex_unlock(&irq->lock);
}

void viommu__pci_irq_update(struct viommu_pci *pci)
{
	viommu__pci_irq_follow(pci);
	pthread_mutex_lock(&pci->irq.lock);
	intx_update(pci);
	pthread_mutex_unlock(&pci->irq.lock);
	msix_flush(pci);
}

void viommu__pci_irq_reset(struct viommu_pci *pci)
{
	pthread_mutex_lock(&pci->irq.lock);
	table_reset(&pci->irq, pci);
	pci->irq.level = 0;
	pthread_mutex_unlock(&pci->irq.lock);
	viommu__pci_irq_update(pci);
}

/* ---- Table and pending bits in their BAR ----------------------------------------------------- */

/* Offset in an area of `bytes` at `base`, if the access begins in it. */
static bool area_at(uint64_t offset, uint64_t base, size_t bytes, uint64_t *at)
{
	*at = offset - base;
	return offset >= base && *at < bytes;
}

bool viommu__pci_msix_read(struct viommu_pci *pci, unsigned bar, uint64_t offset, unsigned bytes,
			   uint64_t *value)
{
	const struct viommu_pci_config *c = &pci->config;
	struct pci_irq *irq = &pci->irq;
	bool hit = true;
	uint64_t at;

	if (!c->msix_vectors || bar != c->msix_bar)
		return false;
	/* Accesses are aligned and both areas whole words: what begins in one ends in it. */
	pthread_mutex_lock(&irq->lock);
	if (area_at(offset, c->msix_table, viommu__pci_table_bytes(pci), &at))
		*value = ((uint64_t)viommu__pcie_load(irq->table + align_down(at, 8) + 4) << 32 |
			  viommu__pcie_load(irq->table + align_down(at, 8))) >>
			 at % 8 * 8;
	else if (area_at(offset, c->msix_pba, viommu__pci_pba_bytes(pci), &at))
		*value = irq->pba[at / 8] >> at % 8 * 8;
	else
		hit = false;
	pthread_mutex_unlock(&irq->lock);
	*value &= low_bits(bytes * 8);
	return hit;
}

uint32_t viommu__pci_entry_mask(unsigned int dword)
{
	switch (dword) {
	case 0:
		return PCIE_MASK(PCIE_MSIX_ADDR);
	case 3:
		return PCIE_MASK(PCIE_MSIX_VMASK);
	default:
		return UINT32_MAX;
	}
}

bool viommu__pci_msix_write(struct viommu_pci *pci, unsigned bar, uint64_t offset, unsigned bytes,
			    uint64_t value)
{
	const struct viommu_pci_config *c = &pci->config;
	uint64_t at;

	if (!c->msix_vectors || bar != c->msix_bar)
		return false;
	if (area_at(offset, c->msix_pba, viommu__pci_pba_bytes(pci), &at))
		return true; /* read-only */
	if (!area_at(offset, c->msix_table, viommu__pci_table_bytes(pci), &at))
		return false;
	/* Narrower writes are undefined. Choice: they do nothing. */
	if (bytes < 4)
		return true;
	pthread_mutex_lock(&pci->irq.lock);
	pci->irq.table_used = true;
	for (; bytes; bytes -= 4, at += 4, value >>= 32)
		viommu__pcie_store(pci->irq.table + at,
				   (uint32_t)value & viommu__pci_entry_mask(at / 4 % 4));
	pthread_mutex_unlock(&pci->irq.lock);
	msix_flush(pci);
	return true;
}
