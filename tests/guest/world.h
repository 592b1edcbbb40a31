/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A scripted guest: a VM's memory with root, context and PASID tables, an invalidation queue and a
 * page request ring, driven through the registers of a unit as a guest's driver does; and devices
 * of the host that do DMA.
 */
#ifndef VIOMMU_TEST_GUEST_WORLD_H
#define VIOMMU_TEST_GUEST_WORLD_H

#include <pthread.h>

#include <viommu/viommu.h>
#include "base/bits.h"
#include "lib/tables.h"
#include "lib/test.h"

#define GW_BYTES   (UINT64_C(16) << 20)
#define GW_VA      UINT64_C(0x7f0000000000)
#define GW_DEVICES 3u
#define GW_LOG     64u

/* Requester ids: the guest's, and on the host something else. */
#define GW_SID(n)      (uint16_t)(0x0028 + 0x108 * (n))
#define GW_HOST_SID(n) (uint16_t)(0x1000 + (n))

struct gw_message {
	uint64_t addr;
	uint32_t data;
};

struct gw {
	struct tables ram;
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev[GW_DEVICES];
	struct viommu_dma *dma;
	struct viommu_guest *guest;
	uint64_t cap, ecap;
	bool legacy; /* which context entries gw_* functions write */

	/* What the guest keeps. */
	uint64_t root;
	uint64_t iq;
	uint32_t iq_bytes, iq_width, iq_tail;
	uint64_t status; /* where wait descriptors write */
	uint32_t seq;
	uint64_t prq;
	uint32_t prq_bytes;

	/* What came out. */
	pthread_mutex_t lock;
	struct gw_message message[GW_LOG];
	unsigned int messages;
	unsigned int kicks;
	struct viommu_guest_trap trap[GW_LOG];
	unsigned int traps;
	struct viommu_page_request request; /* last that the host sent up */
	unsigned int requests;
	void (*answer)(struct gw *w); /* after a request has gone up; may be NULL */
	/* the least and the greatest PASID that the host named or was told, of all callbacks */
	uint32_t named_min, named_max;
	unsigned int told; /* times a device's own cache was told of an invalidation */
	uint32_t told_pasid;
	uint64_t told_addr, told_bytes;
};

struct gw_config {
	uint32_t profile;
	uint32_t flags;
	uint32_t ver;
	uint64_t cap, ecap; /* both 0: the profile's */
	uint8_t haw;
	uint32_t max_binds;
	uint32_t burst;
	bool no_kick;
	bool no_trap;
	uint32_t device_flags; /* 0: PASID, ATS, PRI */
	uint32_t max_page_requests;
	uint32_t pasid_min, pasid_max; /* of the host's allocator; both 0: all */
	uint32_t pasid_quota;
};

void gw_open(struct gw *w, const struct gw_config *config);
void gw_close(struct gw *w);
/* The objects up to the host; gw_open() is this and the unit with its devices. */
void gw_open_host(struct gw *w, const struct gw_config *config);
int gw_open_unit(struct gw *w, const struct gw_config *config);

/* A zeroed page of RAM and where it lies here. */
uint64_t gw_page(struct gw *w);
uint64_t *gw_ptr(struct gw *w, uint64_t gpa);

/* ---- Registers; IVA, IOTLB and fault records by their own names ---- */

uint32_t gw_rd32(struct gw *w, unsigned int offset);
uint64_t gw_rd64(struct gw *w, unsigned int offset);
void gw_wr32(struct gw *w, unsigned int offset, uint32_t v);
void gw_wr64(struct gw *w, unsigned int offset, uint64_t v);
/* As drivers do: GSTS without one-shots, one bit changed, written, waited for. */
void gw_command(struct gw *w, uint32_t gcmd_bit, bool on);
unsigned int gw_frcd(struct gw *w, unsigned int n); /* byte offset of a record */
unsigned int gw_iotlb(struct gw *w);                /* of IOTLB */

/* ---- Tables ---- */

/* Root table registered as scalable or legacy (VTD_TTM_*). */
void gw_set_root(struct gw *w, unsigned int ttm);
/* The context entry (4 words scalable, 2 legacy); tables on the way are made. */
uint64_t *gw_context(struct gw *w, uint16_t sid);
/* A present scalable context entry with an empty directory of 2^(pdts + 7) entries. */
uint64_t *gw_context_make(struct gw *w, uint16_t sid, uint64_t bits, unsigned int pdts);
/* DTE, PASIDE, PRE */
#define GW_ALL (VTD_MASK(VTD_SCE_DTE) | VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE))
/* The PASID entry; its table is made. The context entry is there. */
uint64_t *gw_pe(struct gw *w, uint16_t sid, uint32_t pasid);
uint64_t *gw_pde(struct gw *w, uint16_t sid, uint32_t pasid);
/* Fill an entry, P last. */
void gw_pe_fs(uint64_t *pe, struct tables_stage *fs, uint16_t did);
void gw_pe_ss(uint64_t *pe, struct tables_stage *ss, uint16_t did);
void gw_pe_nested(uint64_t *pe, struct tables_stage *fs, struct tables_stage *ss, uint16_t did);
void gw_pe_pt(uint64_t *pe, uint16_t did);
void gw_lce_ss(uint64_t *ce, struct tables_stage *ss, unsigned int tt, uint16_t did);

/* ---- The invalidation queue ---- */

void gw_iq_setup(struct gw *w, unsigned int width, unsigned int qs);
/* Put into the ring without telling; then tell the tail. */
void gw_put(struct gw *w, uint64_t d0, uint64_t d1);
void gw_put4(struct gw *w, const uint64_t d[4]);
void gw_kick(struct gw *w);
/* One descriptor, told. */
void gw_submit(struct gw *w, uint64_t d0, uint64_t d1);
/* A wait with status write is put and told: true if its status was written. */
bool gw_wait(struct gw *w);
/* Submit and wait: done? */
bool gw_do(struct gw *w, uint64_t d0, uint64_t d1);

uint64_t gw_cc(unsigned int g, uint16_t did, uint16_t sid, unsigned int fm);
uint64_t gw_pc(unsigned int g, uint16_t did, uint32_t pasid);
uint64_t gw_piotlb(unsigned int g, uint16_t did, uint32_t pasid);
uint64_t gw_iotlb_d(unsigned int g, uint16_t did);
uint64_t gw_dtlb(uint16_t sid);
uint64_t gw_pdtlb(uint16_t sid, uint32_t pasid);
uint64_t gw_pgrp(uint16_t sid, bool pp, uint32_t pasid, unsigned int code);
#define GW_EVERYTHING UINT64_C(0x7ffffffffffff000)

/* ---- Page requests ---- */

void gw_prq_setup(struct gw *w, unsigned int pqs);

/* ---- DMA ---- */

/* A word. 0, VIOMMU_FAULTED, ... */
int gw_read(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint64_t *v);
int gw_write(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint64_t v);
/* Does it read this value? */
bool gw_sees(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint64_t v);
/* It ends in this reason, seen by the device. */
bool gw_faults(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint8_t reason);

/* A process with one page at GW_VA that holds `value`. */
struct gw_process {
	struct tables_stage fs;
	uint64_t page;
};
void gw_process(struct gw *w, struct gw_process *p, unsigned int levels, uint64_t value);

/* Translation is on in scalable mode, 256-bit queue, device contexts with everything allowed. */
void gw_start(struct gw *w);

#endif /* VIOMMU_TEST_GUEST_WORLD_H */
