/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space of a function: which capabilities, where, their values, and what writing does
 * beyond storing bits. Write masks come from the lists of spec/pci.h.
 *
 *	40h PCI Express     80h MSI-X    90h power management    a0h MSI    b0h enhanced allocation
 *	c0h vendor specific
 *	100h null           220h ATS     230h PASID              240h page requests
 *
 * Offsets are those of DSA hardware where it has the capability. Extended capabilities begin at
 * 100h, so the null capability (PCI Express base specification: registers none, only a header)
 * stands there and leads on.
 *
 * Not here: error reporting (AER), virtual channels, I/O space, a ROM.
 */
#include <string.h>

#include "base/bits.h"
#include "dev/pci.h"
#include "host/soft.h"

#define DEFAULT_PRI_CAPACITY 512u

static const uint16_t places[PCIE_STRUCTS_NR] = {
	[PCIE_HDR] = 0,       [PCIE_EXP] = 0x40,  [PCIE_MSIX] = 0x80,   [PCIE_PM] = 0x90,
	[PCIE_MSI] = 0xa0,    [PCIE_EA] = 0xb0,   [PCIE_NULL] = 0x100,  [PCIE_ATS] = 0x220,
	[PCIE_PASID] = 0x230, [PCIE_PRI] = 0x240, [PCIE_VENDOR] = 0xc0,
};

/* ---- Building -------------------------------------------------------------------------------- */

static void masks_add(struct viommu_pci *pci, enum pcie_struct kind)
{
	const struct pcie_layout *l = &viommu__pcie_layouts[kind];
	unsigned int i, bit;

	for (i = 0; i < l->nr; i++) {
		const struct pcie_field *f = &l->fields[i];
		uint8_t *masks = f->kind == PCIE_RW    ? pci->rw
				 : f->kind == PCIE_W1C ? pci->w1c
						       : NULL;

		for (bit = f->lo; masks && bit <= f->hi; bit++)
			masks[places[kind] + bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

/* Puts a capability at its place, after *last; returns it. */
static uint8_t *cap_add(struct viommu_pci *pci, enum pcie_struct kind, uint8_t **last)
{
	const struct pcie_layout *l = &viommu__pcie_layouts[kind];
	uint8_t *at = pci->init + places[kind];

	pci->cap_at[kind] = places[kind];
	masks_add(pci, kind);
	if (l->extended) {
		PCIE_SET(at, PCIE_XCAP_ID, l->id);
		/* The null capability is all zero but for its link. */
		PCIE_SET(at, PCIE_XCAP_VERSION, kind == PCIE_NULL ? 0 : 1);
		if (*last)
			PCIE_SET(*last, PCIE_XCAP_NEXT, places[kind]);
	} else {
		PCIE_SET(at, PCIE_CAP_ID, l->id);
		if (*last)
			PCIE_SET(*last, PCIE_CAP_NEXT, places[kind]);
		else
			PCIE_SET(pci->init, PCIE_HDR_CAP_PTR, places[kind]);
	}
	*last = at;
	return at;
}

/* Address bits below a BAR's size are not stored: writing ones and reading back gives its size. */
static void bar_init(struct viommu_pci *pci, unsigned int n)
{
	const struct viommu_pci_bar *bar = &pci->config.bar[n];
	uint64_t mask = ~(bar->bytes - 1);
	unsigned int at = PCIE_DWORD(PCIE_HDR_BAR0) + n * 4;
	uint32_t flags = (bar->flags & VIOMMU_PCI_BAR_64 ? PCIE_BAR_64 : 0) |
			 (bar->flags & VIOMMU_PCI_BAR_PREFETCH ? PCIE_BAR_PREFETCH : 0);

	if (!bar->bytes)
		return;
	viommu__pcie_store(pci->init + at, flags);
	viommu__pcie_store(pci->rw + at, (uint32_t)mask);
	if (bar->flags & VIOMMU_PCI_BAR_64)
		viommu__pcie_store(pci->rw + at + 4, (uint32_t)(mask >> 32));
}

static void header_init(struct viommu_pci *pci)
{
	const struct viommu_pci_config *c = &pci->config;
	uint8_t *hdr = pci->init;
	unsigned int i;

	masks_add(pci, PCIE_HDR);
	PCIE_SET(hdr, PCIE_HDR_VENDOR, c->vendor);
	PCIE_SET(hdr, PCIE_HDR_DEVICE, c->device);
	PCIE_SET(hdr, PCIE_HDR_CAPS, 1);
	PCIE_SET(hdr, PCIE_HDR_REVISION, c->revision);
	PCIE_SET(hdr, PCIE_HDR_CLASS, c->class_code);
	PCIE_SET(hdr, PCIE_HDR_SUBVENDOR, c->subsystem_vendor);
	PCIE_SET(hdr, PCIE_HDR_SUBSYSTEM, c->subsystem);
	PCIE_SET(hdr, PCIE_HDR_INT_PIN, c->intx);
	for (i = 0; i < VIOMMU_PCI_BARS; i++)
		bar_init(pci, i);
}

static void express_init(struct viommu_pci *pci, uint8_t *at)
{
	const struct viommu_pci_config *c = &pci->config;

	PCIE_SET(at, PCIE_EXP_VERSION, 2);
	PCIE_SET(at, PCIE_EXP_TYPE, PCIE_EXP_TYPE_RCIEP);
	PCIE_SET(at, PCIE_EXP_MPS, 2);
	PCIE_SET(at, PCIE_EXP_EXT_TAG, 1);
	PCIE_SET(at, PCIE_EXP_RBER, 1);
	PCIE_SET(at, PCIE_EXP_FLR, !!(c->flags & VIOMMU_PCI_HAS_FLR));
	/* What the base specification says that these are after a reset. */
	PCIE_SET(at, PCIE_EXP_RELAXED, 1);
	PCIE_SET(at, PCIE_EXP_NO_SNOOP, 1);
	PCIE_SET(at, PCIE_EXP_READ_REQUEST, 2);
	PCIE_SET(at, PCIE_EXP_CTO_DISABLE_SUP, 1);
	if (c->flags & VIOMMU_PCI_HAS_PASID) {
		/* A PASID travels in a prefix; Linux leaves PASIDs off without this bit. */
		PCIE_SET(at, PCIE_EXP_EXT_FMT, 1);
		PCIE_SET(at, PCIE_EXP_E2E_PREFIX, 1);
		PCIE_SET(at, PCIE_EXP_MAX_PREFIX, 1);
	}
}

/* The slowest and narrowest link: nobody waits for one that is not there. */
static void place(uint8_t *at, bool port)
{
	PCIE_SET(at, PCIE_EXP_TYPE, port ? PCIE_EXP_TYPE_ENDPOINT : PCIE_EXP_TYPE_RCIEP);
	PCIE_SET(at, PCIE_EXP_LINK_SPEED_MAX, port);
	PCIE_SET(at, PCIE_EXP_LINK_WIDTH_MAX, port);
	PCIE_SET(at, PCIE_EXP_LINK_SPEED, port);
	PCIE_SET(at, PCIE_EXP_LINK_WIDTH, port);
}

void viommu__pci_place(struct viommu_pci *pci, bool port)
{
	place(pci->init + pci->cap_at[PCIE_EXP], port);
	place(pci->cfg + pci->cap_at[PCIE_EXP], port);
}

static void msix_init(const struct viommu_pci_config *c, uint8_t *at)
{
	PCIE_SET(at, PCIE_MSIX_LAST, c->msix_vectors - 1u);
	PCIE_SET(at, PCIE_MSIX_TABLE_BAR, c->msix_bar);
	PCIE_SET(at, PCIE_MSIX_TABLE, c->msix_table / 8);
	PCIE_SET(at, PCIE_MSIX_PBA_BAR, c->msix_bar);
	PCIE_SET(at, PCIE_MSIX_PBA, c->msix_pba / 8);
}

/* The entry is not enabled before an address is known. */
static void ea_init(const struct viommu_pci_config *c, uint8_t *at)
{
	PCIE_SET(at, PCIE_EA_ENTRIES, 1);
	PCIE_SET(at, PCIE_EA_ES, 2);
	PCIE_SET(at, PCIE_EA_SECONDARY, 0xff);
	PCIE_SET(at, PCIE_EA_OFFSET, c->bar[0].bytes / 4 - 1);
}

static void extended_init(struct viommu_pci *pci)
{
	const struct viommu_pci_config *c = &pci->config;
	uint8_t *last = NULL, *at;

	if (!(c->flags & (VIOMMU_PCI_HAS_ATS | VIOMMU_PCI_HAS_PASID | VIOMMU_PCI_HAS_PRI)))
		return;
	cap_add(pci, PCIE_NULL, &last);
	if (c->flags & VIOMMU_PCI_HAS_ATS) {
		at = cap_add(pci, PCIE_ATS, &last);
		/* VTD-EP-01; Linux leaves ATS off for a device without page-aligned requests. */
		PCIE_SET(at, PCIE_ATS_PAGE_ALIGNED, 1);
		PCIE_SET(at, PCIE_ATS_GLOBAL, 1);
	}
	if (c->flags & VIOMMU_PCI_HAS_PASID) {
		at = cap_add(pci, PCIE_PASID, &last);
		/* VTD-EP-03, VTD-EP-05: neither execute nor privileged mode */
		PCIE_SET(at, PCIE_PASID_WIDTH, VIOMMU_PASID_BITS);
	}
	if (c->flags & VIOMMU_PCI_HAS_PRI) {
		at = cap_add(pci, PCIE_PRI, &last);
		/* VTD-EP-02, VTD-EP-04 */
		PCIE_SET(at, PCIE_PRI_STOPPED, 1);
		PCIE_SET(at, PCIE_PRI_PASID_REQUIRED, !!(c->flags & VIOMMU_PCI_HAS_PASID));
		PCIE_SET(at, PCIE_PRI_CAPACITY, c->pri_capacity);
	}
}

void viommu__pci_caps_init(struct viommu_pci *pci)
{
	struct viommu_pci_config *c = &pci->config;
	uint8_t *last = NULL, *at;

	if (!c->pri_capacity)
		c->pri_capacity = DEFAULT_PRI_CAPACITY;
	header_init(pci);
	express_init(pci, cap_add(pci, PCIE_EXP, &last));
	if (c->msix_vectors)
		msix_init(c, cap_add(pci, PCIE_MSIX, &last));
	if (c->flags & VIOMMU_PCI_HAS_PM) {
		at = cap_add(pci, PCIE_PM, &last);
		PCIE_SET(at, PCIE_PM_VERSION, 3);
		PCIE_SET(at, PCIE_PM_NO_SOFT_RESET, 1);
	}
	if (c->msi_vectors) {
		at = cap_add(pci, PCIE_MSI, &last);
		PCIE_SET(at, PCIE_MSI_CAPABLE, log2_floor(c->msi_vectors));
		PCIE_SET(at, PCIE_MSI_64, 1);
	}
	if (c->flags & VIOMMU_PCI_PIN_BAR0)
		ea_init(c, cap_add(pci, PCIE_EA, &last));
	if (c->flags & VIOMMU_PCI_HAS_VENDOR) {
		at = cap_add(pci, PCIE_VENDOR, &last);
		PCIE_SET(at, PCIE_VENDOR_BYTES, viommu__pcie_layouts[PCIE_VENDOR].bytes);
	}
	extended_init(pci);
	memcpy(pci->cfg, pci->init, sizeof(pci->cfg));
}

void viommu__pci_caps_reset(struct viommu_pci *pci, bool flr)
{
	uint8_t ea[16];
	uint8_t *at = viommu__pci_cap(pci, PCIE_EA);

	/*
	 * Where the firmware put BAR 0 is initialised by hardware: a function-level reset keeps it.
	 */
	if (at)
		memcpy(ea, at, sizeof(ea));
	memcpy(pci->cfg, pci->init, sizeof(pci->cfg));
	if (at && flr)
		memcpy(at, ea, sizeof(ea));
}

/* ---- Reading --------------------------------------------------------------------------------- */

uint32_t viommu__pci_caps_enabled(const struct viommu_pci *pci)
{
	static const struct {
		uint8_t kind;
		uint8_t dword;
		uint32_t mask;
		uint32_t bit;
	} enables[] = {
		{ PCIE_ATS, PCIE_DWORD(PCIE_ATS_ENABLE), PCIE_MASK(PCIE_ATS_ENABLE),
		  VIOMMU_PCI_ATS },
		{ PCIE_PRI, PCIE_DWORD(PCIE_PRI_ENABLE), PCIE_MASK(PCIE_PRI_ENABLE),
		  VIOMMU_PCI_PRI },
		{ PCIE_PASID, PCIE_DWORD(PCIE_PASID_ENABLE), PCIE_MASK(PCIE_PASID_ENABLE),
		  VIOMMU_PCI_PASID },
		{ PCIE_MSIX, PCIE_DWORD(PCIE_MSIX_ENABLE), PCIE_MASK(PCIE_MSIX_ENABLE),
		  VIOMMU_PCI_MSIX },
		{ PCIE_MSI, PCIE_DWORD(PCIE_MSI_ENABLE), PCIE_MASK(PCIE_MSI_ENABLE),
		  VIOMMU_PCI_MSI },
	};
	uint32_t on = 0;
	unsigned int i;

	if (PCIE_GET(pci->cfg, PCIE_HDR_MEMORY))
		on |= VIOMMU_PCI_MEMORY;
	if (PCIE_GET(pci->cfg, PCIE_HDR_MASTER))
		on |= VIOMMU_PCI_BUS_MASTER;
	for (i = 0; i < ARRAY_SIZE(enables); i++) {
		unsigned int at = pci->cap_at[enables[i].kind];

		if (at && viommu__pcie_load(pci->cfg + at + enables[i].dword) & enables[i].mask)
			on |= enables[i].bit;
	}
	/* In D3hot a function answers configuration accesses and does nothing else. */
	if (pci->cap_at[PCIE_PM] &&
	    PCIE_GET(pci->cfg + pci->cap_at[PCIE_PM], PCIE_PM_STATE) == PCIE_PM_D3HOT)
		on &= ~(VIOMMU_PCI_MEMORY | VIOMMU_PCI_BUS_MASTER | VIOMMU_PCI_MSIX |
			VIOMMU_PCI_MSI);
	return on;
}

void viommu__pci_caps_refresh(struct viommu_pci *pci)
{
	uint8_t *at = viommu__pci_cap(pci, PCIE_PRI);
	bool stopped;
	int level;

	pthread_mutex_lock(&pci->irq.lock);
	level = pci->irq.level;
	pthread_mutex_unlock(&pci->irq.lock);
	PCIE_SET(pci->cfg, PCIE_HDR_INTX_STATUS, level);
	if (!at)
		return;
	stopped = !PCIE_GET(at, PCIE_PRI_ENABLE) &&
		  (!pci->dev || !viommu_device_open_requests(pci->dev));
	PCIE_SET(at, PCIE_PRI_STOPPED, stopped);
	PCIE_SET(at, PCIE_PRI_FAILURE, pci->dev && viommu__device_pri_failed(pci->dev));
}

/* ---- Writing --------------------------------------------------------------------------------- */

/*
 * The unit's registers are announced by ACPI at the address that the firmware chose, so the address
 * must not change after: Enhanced Allocation says so. Every address counts that is not part of
 * measuring the size, the last one wins: firmware may assign more than once.
 */
static void ea_follow(struct viommu_pci *pci)
{
	uint8_t *at = viommu__pci_cap(pci, PCIE_EA);
	uint32_t mask = viommu__pcie_load(pci->rw + PCIE_DWORD(PCIE_HDR_BAR0));
	uint32_t addr = PCIE_GET(pci->cfg, PCIE_HDR_BAR0) & ~PCIE_BAR_FLAGS;

	if (!at || !addr || addr == mask)
		return;
	PCIE_SET(at, PCIE_EA_BASE, addr / 4);
	PCIE_SET(at, PCIE_EA_ENABLE, 1);
}

unsigned viommu__pci_caps_written(struct viommu_pci *pci, unsigned at, uint32_t value,
				  uint32_t before)
{
	unsigned int wrote = 0;
	uint8_t *cap;

	if (at == PCIE_DWORD(PCIE_HDR_BAR0))
		ea_follow(pci);

	if (at == pci->cap_at[PCIE_EXP] + PCIE_DWORD(PCIE_EXP_DO_FLR) &&
	    (value & PCIE_MASK(PCIE_EXP_DO_FLR)) && (pci->config.flags & VIOMMU_PCI_HAS_FLR))
		wrote |= PCI_WROTE_FLR;

	cap = viommu__pci_cap(pci, PCIE_PM);
	if (cap && at == pci->cap_at[PCIE_PM] + PCIE_DWORD(PCIE_PM_STATE) &&
	    PCIE_GET(cap, PCIE_PM_STATE) != PCIE_PM_D0 &&
	    PCIE_GET(cap, PCIE_PM_STATE) != PCIE_PM_D3HOT)
		viommu__pcie_store(pci->cfg + at, before); /* a state that is not there: ignored */

	cap = viommu__pci_cap(pci, PCIE_VENDOR);
	if (cap && (at == pci->cap_at[PCIE_VENDOR] + PCIE_DWORD(PCIE_VENDOR_0) ||
		    at == pci->cap_at[PCIE_VENDOR] + PCIE_DWORD(PCIE_VENDOR_1)))
		wrote |= PCI_WROTE_VENDOR;

	cap = viommu__pci_cap(pci, PCIE_PRI);
	if (cap && at == pci->cap_at[PCIE_PRI] + PCIE_DWORD(PCIE_PRI_ENABLE)) {
		/* A reset counts only when page requests are, or are being, disabled. */
		if ((value & PCIE_MASK(PCIE_PRI_RESET)) && !PCIE_GET(cap, PCIE_PRI_ENABLE))
			wrote |= PCI_WROTE_PRI;
		/* VTD-PRI-01: after a failure the function asks no more until that is cleared. */
		if ((value & PCIE_MASK(PCIE_PRI_FAILURE)) && pci->dev &&
		    viommu__device_pri_failed(pci->dev))
			wrote |= PCI_WROTE_PRI;
	}
	return wrote;
}
