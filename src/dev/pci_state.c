/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function paused, saved and restored.
 *
 *	FUNC	what it is (to compare), configuration space, MSI-X table and pending bits, INTx, kicks
 *	MODL	what its device model wrote
 *
 * Of configuration space a state may say what a write can change, and nothing else: the rest has to
 * be what the configuration makes of it, or the function is another one.
 */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "dev/pci.h"
#include "dev/state.h"
#include "host/soft.h"

#define TAG_FUNCTION VIOMMU__TAG('F', 'U', 'N', 'C')
#define TAG_MODEL    VIOMMU__TAG('M', 'O', 'D', 'L')

/* ---- Pausing --------------------------------------------------------------------------------- */

int viommu_pci_pause(struct viommu_pci *pci)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;

	if (!ops->save || !ops->load)
		return -ENOTSUP;
	if (fetch_or(&pci->gate, PCI_GATE_PAUSED) & PCI_GATE_PAUSED)
		return 0;
	if (pci->dev)
		viommu__device_pause(pci->dev, 1);
	viommu__pci_wait_idle(pci);
	return 0;
}

void viommu_pci_resume(struct viommu_pci *pci)
{
	if (!viommu_pci_pausing(pci))
		return;
	if (pci->dev)
		viommu__device_pause(pci->dev, 0);
	fetch_and(&pci->gate, ~PCI_GATE_PAUSED);
	/* What was put off has told nobody; to look once too often is harmless. */
	viommu_pci_kick(pci);
	viommu__pci_vmm_kick(pci);
}

int viommu_pci_pausing(const struct viommu_pci *pci)
{
	return !!(load_acquire(&pci->gate) & PCI_GATE_PAUSED);
}

/* ---- Saving ---------------------------------------------------------------------------------- */

static void config_save(const struct viommu_pci_config *c, struct viommu_state_out *out)
{
	unsigned int i;

	viommu_state_put_u32(out, c->flags);
	for (i = 0; i < VIOMMU_PCI_BARS; i++) {
		viommu_state_put_u64(out, c->bar[i].bytes);
		viommu_state_put_u32(out, c->bar[i].flags);
	}
	viommu_state_put_u16(out, c->msix_vectors);
	viommu_state_put_u8(out, c->msi_vectors);
}

/* irq.lock held, as in table_load(). */
static void pba_save(struct viommu_pci *pci, struct viommu_state_out *out)
{
	unsigned int i;

	for (i = 0; i < viommu__pci_pba_bytes(pci) / 8; i++)
		viommu_state_put_u64(out, pci->irq.pba[i]);
}

void viommu__pci_save(struct viommu_pci *pci, struct viommu_state_out *out)
{
	struct pci_irq *irq = &pci->irq;

	viommu__section_begin(out, TAG_FUNCTION, 1, 0);
	config_save(&pci->config, out);
	viommu_state_put(out, pci->cfg, sizeof(pci->cfg));
	pthread_mutex_lock(&irq->lock);
	viommu_state_put_u8(out, irq->table_used);
	viommu_state_put_u8(out, (uint8_t)irq->level);
	viommu_state_put(out, irq->table, viommu__pci_table_bytes(pci));
	pba_save(pci, out);
	pthread_mutex_unlock(&irq->lock);
	viommu__section_end(out);
}

void viommu__pci_model_save(struct viommu_pci *pci, struct viommu_state_out *out)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;

	viommu__section_begin(out, TAG_MODEL, 1, 0);
	ops->save(ops->ctx, out);
	viommu__section_end(out);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

static void config_check(const struct viommu_pci_config *c, struct viommu_state_in *in)
{
	unsigned int i, n;

	n = viommu_state_get_u32(in);
	if (n != c->flags)
		viommu_state_refuse(in, "saved with capabilities %xh, has %xh", n, c->flags);
	for (i = 0; i < VIOMMU_PCI_BARS; i++) {
		uint64_t bytes = viommu_state_get_u64(in);
		uint32_t flags = viommu_state_get_u32(in);

		if (bytes != c->bar[i].bytes || flags != c->bar[i].flags)
			viommu_state_refuse(in, "saved with a BAR %u of %llu bytes, has %llu", i,
					    (unsigned long long)bytes,
					    (unsigned long long)c->bar[i].bytes);
	}
	n = viommu_state_get_u16(in);
	if (n != c->msix_vectors)
		viommu_state_refuse(in, "saved with %u MSI-X vectors, has %u", n, c->msix_vectors);
	n = viommu_state_get_u8(in);
	if (n != c->msi_vectors)
		viommu_state_refuse(in, "saved with %u MSI vectors, has %u", n, c->msi_vectors);
}

/* Bits of configuration space that are not always what they are after power-on. */
static void variable(const struct viommu_pci *pci, uint8_t may[VIOMMU_PCI_CONFIG_BYTES])
{
	unsigned int i, ea = pci->cap_at[PCIE_EA], pri = pci->cap_at[PCIE_PRI];

	for (i = 0; i < VIOMMU_PCI_CONFIG_BYTES; i++)
		may[i] = pci->rw[i] | pci->w1c[i];
	/* And what changes without a write to it. */
	PCIE_SET(may, PCIE_HDR_INTX_STATUS, ~0u);
	if (pri)
		PCIE_SET(may + pri, PCIE_PRI_STOPPED, ~0u);
	if (ea) {
		PCIE_SET(may + ea, PCIE_EA_ENABLE, ~0u);
		PCIE_SET(may + ea, PCIE_EA_BASE, ~0u);
	}
}

/* The states that power management has. */
static bool power_possible(const struct viommu_pci *pci)
{
	const uint8_t *pm = pci->cfg + pci->cap_at[PCIE_PM];

	return !pci->cap_at[PCIE_PM] || PCIE_GET(pm, PCIE_PM_STATE) == PCIE_PM_D0 ||
	       PCIE_GET(pm, PCIE_PM_STATE) == PCIE_PM_D3HOT;
}

static void table_load(struct viommu_pci *pci, struct viommu_state_in *in)
{
	struct pci_irq *irq = &pci->irq;
	unsigned int i;

	viommu_state_get(in, irq->table, viommu__pci_table_bytes(pci));
	for (i = 0; i < viommu__pci_pba_bytes(pci) / 8; i++)
		irq->pba[i] = viommu_state_get_u64(in);
	irq->pending = 0;
	for (i = 0; i < viommu__pci_table_bytes(pci) / 4; i++) {
		if (viommu__pcie_load(irq->table + i * 4) & ~viommu__pci_entry_mask(i % 4))
			viommu_state_refuse(in, "MSI-X vector %u has reserved bits", i / 4);
	}
	for (i = 0; i < viommu__pci_pba_bytes(pci) * 8; i++) {
		if (!(irq->pba[i / 64] & BIT64(i % 64)))
			continue;
		if (i >= pci->config.msix_vectors)
			viommu_state_refuse(in, "MSI-X vector %u is pending, and there is none", i);
		irq->pending++;
	}
}

static void cfg_load(struct viommu_pci *pci, struct viommu_state_in *in)
{
	uint8_t cfg[VIOMMU_PCI_CONFIG_BYTES], may[VIOMMU_PCI_CONFIG_BYTES];
	unsigned int i;

	viommu_state_get(in, cfg, sizeof(cfg));
	if (viommu_state_bad(in))
		return;
	variable(pci, may);
	for (i = 0; i < sizeof(cfg); i++) {
		if ((cfg[i] ^ pci->init[i]) & ~may[i]) {
			viommu_state_refuse(
				in, "configuration space has %02xh at %xh, has to have %02xh",
				cfg[i], i, pci->init[i]);
			return;
		}
	}
	memcpy(pci->cfg, cfg, sizeof(cfg));
	if (!power_possible(pci))
		viommu_state_refuse(in, "the power state cannot be");
}

void viommu__pci_load(struct viommu_pci *pci, struct viommu_state_in *in)
{
	struct viommu_state_in s;
	struct pci_irq *irq = &pci->irq;

	if (!viommu__section_get(in, TAG_FUNCTION, 1, &s))
		return;
	config_check(&pci->config, &s);
	cfg_load(pci, &s);
	pthread_mutex_lock(&irq->lock);
	irq->table_used = viommu_state_get_u8(&s) & 1;
	irq->level = viommu_state_get_u8(&s) & 1;
	table_load(pci, &s);
	pthread_mutex_unlock(&irq->lock);
	if (!viommu__section_done(&s))
		return;
	viommu__pci_restored(pci);
}

void viommu__pci_model_load(struct viommu_pci *pci, struct viommu_state_in *in)
{
	const struct viommu_pci_ops *ops = &pci->config.ops;
	struct viommu_state_in s;

	if (!viommu__section_get(in, TAG_MODEL, 1, &s))
		return;
	ops->load(ops->ctx, &s);
	viommu__section_done(&s);
}
