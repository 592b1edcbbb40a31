/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI function inside: what the files pci*.c share.
 *
 *	pci.c       making one, attaching, BARs, configuration reads and writes
 *	pci_caps.c  which capabilities stand where, their values after power-on, what writing does
 *	pci_irq.c   MSI-X with its table and pending bits, MSI, INTx, messages
 *	pci_run.c   runs, kicks, stopping, resets
 *	pci_state.c pausing, saving, restoring
 *
 * Synchronisation
 *	config, cap_at, init, rw, w1c    constant
 *	cfg, ea_*                        the one thread that accesses registers
 *	enabled                          written by that thread, read by anybody
 *	dev, hpasid                      written by that thread while no .run is running; dev read by anybody
 *	gate, kicks                      atomic; see pci_run.c
 *	irq                              irq.lock
 *	vmm                              vmm_lock: held for reading around each callback
 * Lock order: irq.lock, vmm_lock. idle_lock stands alone. No callback of the device model is called
 * with any of them held; vmm.intx is called with irq.lock, so that levels keep their order.
 */
#ifndef VIOMMU_DEV_PCI_H
#define VIOMMU_DEV_PCI_H

#include <pthread.h>
#include <stdbool.h>

#include <viommu/pci.h>

#include "spec/pci.h"

/* gate: how many are inside of viommu_pci_run(), and whether more may enter. */
#define PCI_GATE_CLOSED 0x80000000u
#define PCI_GATE_PAUSED 0x40000000u
#define PCI_GATE_COUNT  0x3fffffffu

struct pci_irq {
	pthread_mutex_t lock;
	uint8_t *table;   /* MSI-X: 16 bytes a vector */
	uint64_t *pba;    /* a bit a vector */
	unsigned pending; /* bits set in pba */
	bool mask;        /* function mask */
	/*
	 * Somebody wrote the table since the last reset. Otherwise the VMM keeps the table to
	 * itself (QEMU does) and the masks in ours say nothing.
	 */
	bool table_used;
	unsigned msi_vectors; /* in use */
	uint64_t msi_addr;
	uint32_t msi_data;
	bool intx_disabled; /* INTx disable of the command register */
	int level;          /* INTx, as the device model says */
	int asserted;       /* as the VMM was told */
};

struct viommu_pci {
	struct viommu_pci_config config;
	uint16_t cap_at[PCIE_STRUCTS_NR]; /* 0: not there (the header is at 0) */
	uint32_t enabled;                 /* VIOMMU_PCI_* */
	struct viommu_device *dev;
	int (*hpasid)(void *ctx, struct viommu_gp gp, struct viommu_hp *out);
	void *hpasid_ctx;

	uint32_t gate;
	uint32_t limit; /* inside of ops.run at once */
	uint64_t kicks; /* since the last ops.run began */
	pthread_mutex_t idle_lock;
	pthread_cond_t idle;

	struct pci_irq irq;

	pthread_rwlock_t vmm_lock;
	struct viommu_pci_vmm vmm;

	uint8_t cfg[VIOMMU_PCI_CONFIG_BYTES];
	uint8_t init[VIOMMU_PCI_CONFIG_BYTES]; /* after power-on */
	uint8_t rw[VIOMMU_PCI_CONFIG_BYTES];   /* bits that a write stores */
	uint8_t w1c[VIOMMU_PCI_CONFIG_BYTES];  /* bits that writing 1 clears */
};

/* ---- pci_caps.c ---- */

/* Fills cap_at, init, rw, w1c from the configuration, which has been checked. */
void viommu__pci_caps_init(struct viommu_pci *pci);
/* What configuration space says that is on. */
uint32_t viommu__pci_caps_enabled(const struct viommu_pci *pci);
/* Puts the bits that change without a write into cfg, before a read. */
void viommu__pci_caps_refresh(struct viommu_pci *pci);

#define PCI_WROTE_FLR    0x1u
#define PCI_WROTE_PRI    0x2u /* reset of page requests */
#define PCI_WROTE_VENDOR 0x4u
/*
 * The dword at `at` was written: value holds the bits that were (others 0), before what stood
 * there. Corrects what was stored; returns PCI_WROTE_*.
 */
unsigned viommu__pci_caps_written(struct viommu_pci *pci, unsigned at, uint32_t value,
				  uint32_t before);
/*
 * Behind a port the function is an endpoint with a link, else one that is part of the root complex.
 * On the accessing thread.
 */
void viommu__pci_place(struct viommu_pci *pci, bool port);
/* Configuration space as after power-on; flr: without what a function-level reset keeps. */
void viommu__pci_caps_reset(struct viommu_pci *pci, bool flr);

/* The capability in configuration space, NULL if there is none. */
static inline uint8_t *viommu__pci_cap(struct viommu_pci *pci, enum pcie_struct kind)
{
	return pci->cap_at[kind] ? pci->cfg + pci->cap_at[kind] : NULL;
}

/* ---- pci_irq.c ---- */

int viommu__pci_irq_init(struct viommu_pci *pci);
void viommu__pci_irq_destroy(struct viommu_pci *pci);
/* Configuration space changed: masks, MSI registers, INTx disable; sends what became sendable. */
void viommu__pci_irq_update(struct viommu_pci *pci);
/* Only what the masks and registers are. */
void viommu__pci_irq_follow(struct viommu_pci *pci);
void viommu__pci_irq_reset(struct viommu_pci *pci);
/* Another VMM listens. */
void viommu__pci_irq_vmm(struct viommu_pci *pci);
/* Does this BAR access meet the MSI-X table or PBA? Then it is done. */
bool viommu__pci_msix_read(struct viommu_pci *pci, unsigned bar, uint64_t offset, unsigned bytes,
			   uint64_t *value);
bool viommu__pci_msix_write(struct viommu_pci *pci, unsigned bar, uint64_t offset, unsigned bytes,
			    uint64_t value);

size_t viommu__pci_table_bytes(const struct viommu_pci *pci);
/* Whole 64-bit words, as many as are in the BAR. */
size_t viommu__pci_pba_bytes(const struct viommu_pci *pci);
/* The bits of the n-th dword of an MSI-X entry that can be written. */
uint32_t viommu__pci_entry_mask(unsigned int dword);

/* ---- pci_run.c ---- */

int viommu__pci_run_init(struct viommu_pci *pci);
void viommu__pci_run_destroy(struct viommu_pci *pci);
/* Ends what runs and lets nothing begin; then opens again. */
void viommu__pci_stop(struct viommu_pci *pci);
void viommu__pci_go(struct viommu_pci *pci);
/* What configuration space says that is on was changed by a write: make it so. */
void viommu__pci_enable(struct viommu_pci *pci);
void viommu__pci_reset(struct viommu_pci *pci, bool flr);
/* Until nobody is inside of a run; the gate lets nobody in. */
void viommu__pci_wait_idle(struct viommu_pci *pci);
/* Configuration space was restored: what it says that is on is on, but nobody is told. */
void viommu__pci_restored(struct viommu_pci *pci);
/* Tells the VMM that there is work. */
void viommu__pci_vmm_kick(struct viommu_pci *pci);

#endif /* VIOMMU_DEV_PCI_H */
