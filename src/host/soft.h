/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host/soft.h - the software host from inside.
 *
 *	host
 *	 +- root table -> context tables -> PASID directory -> PASID tables (VT-d layout)
 *	 +- devices: context entry, a record beside each PASID entry, page requests
 *	 |   +- sub-devices: no tables; entries of the device's PASID table are theirs, by record.sub
 *	 +- domains: second-stage tables (VT-d layout) that follow a viommu_mem
 *	 +- generations: one a host, one a domain id, one a PASID record; they only grow
 *	 +- markers: one a DMA object
 *
 * Generations. A DMA object caches translations under the sum of the three generations it read
 * before it walked. All of them only grow, so the sum is the same exactly if none has changed: one
 * comparison on a hit. To invalidate is to add to one of them. Domain generations stand in an array
 * by domain id that lives as long as the host, since a stale cache slot may still look at one;
 * records live as long as the device, whose serial in the slot's key is never used again.
 *
 * Of the host as a whole there is a count of changes to any of them, made after the generation: an
 * access that finds the count as it was when the sum was last looked at does not look again.
 *
 * A record's generation is odd while its PASID entry is being changed; who reads the entry waits
 * for even, reads, and checks that it is still the same (a seqlock).
 *
 * Synchronisation
 *	field                                   guard
 *	everything not named below              host->lock
 *	host->gen, gens[].v, record.gen,        written under host->lock, read by anybody (acquire)
 *	host->changes
 *	table entries, record.dom, .ext, .sub   written under host->lock, read inside markers (seqlock of record.gen)
 *	device.requests and what is in it       device->request_lock (inner to host->lock)
 *	lost_seen                               written under host->lock, read by anybody (acquire)
 *	device.gone, .gates                     written under host->lock, read by anybody
 *	device.parent, .rid, .sub, .ops         constant
 * Lock order: memory's lock, host->lock, device->request_lock, markers' lock. No callback is called
 * with any of them held.
 */
#ifndef VIOMMU_HOST_SOFT_H
#define VIOMMU_HOST_SOFT_H

#include <pthread.h>

#include <viommu/error.h>
#include <viommu/host.h>
#include <viommu/vtd.h>
#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "base/list.h"
#include "base/marker.h"
#include "host/pages.h"
#include "mem/mem.h"

#define VIOMMU__MAX_DOMAINS 1024u
/*
 * Domain ids 0 (reserved with CM) and 1 (first-stage-only and pass-through entries) belong to no
 * domain.
 */
#define VIOMMU__DID_NONE  1u
#define VIOMMU__DID_FIRST 2u

/* Sub-devices of one device, and itself: record.sub has eight bits. */
#define SUBS_MAX 256u

/* What stands beside a PASID entry. 32 bytes, part of the budget of 64 a bound PASID. */
struct record {
	uint64_t gen;
	struct viommu_domain *dom;
	struct stages *ext; /* guest stages that a PASID entry cannot name; else NULL */
	uint32_t gp;        /* VIOMMU_NO_PASID: none given */
	uint16_t token;     /* DYING: which ender finishes it */
	uint8_t state;      /* enum record_state */
	uint8_t sub;        /* whose it is: viommu_device.sub of the last that bound it */
};

enum record_state {
	RECORD_FREE = 0,
	RECORD_BOUND,
	RECORD_DYING, /* being unbound: no longer translated, waits for DMA and the device */
};

struct stages {
	uint32_t nr;
	struct viommu_stage stage[2];
};

/* One cache line each: to invalidate one domain must not disturb another. */
struct gen {
	uint64_t v;
} __attribute__((aligned(64)));

/* Page requests of a device: prgi is the index. */
enum request_state {
	REQUEST_FREE = 0,
	REQUEST_OPEN,     /* waits for an answer */
	REQUEST_ANSWERED, /* has it; whoever waits takes it, the last one frees it */
};

struct request {
	uint64_t addr;
	uint32_t pasid;
	uint32_t access;
	uint16_t waiters;
	uint8_t state;
	uint8_t code;
	uint8_t age; /* expire calls it has seen */
};

struct viommu_device {
	struct viommu_host *host;
	struct list link;
	uint32_t busy; /* enders and tellers that hold it while the lock is dropped */
	uint32_t binds;
	uint64_t key; /* serial << 32: upper half of a cache slot's key; no serial is used twice */
	uint32_t mix; /* spreads the slots of several devices with the same PASIDs */
	uint16_t sid;
	uint8_t gone;
	/* a group was answered FAILURE: no page requests until viommu_device_pri_reset() */
	uint8_t pri_off;
	/* the function itself has page requests switched off, see viommu__device_pri() */
	uint8_t pri_shut;
	/* nobody waits for an answer: viommu__device_pause() */
	uint8_t paused;
	uint32_t flags; /* what it was made with */
	uint32_t gates; /* which of them its context entry admits */
	/* Requests without PASID use this entry: 0, RID_PASID; a sub-device's own PASID. */
	uint32_t rid;
	uint8_t sub; /* 0: not a sub-device; else its number under its parent */
	const struct viommu_host_ops *ops;
	struct viommu_host_ops own_ops; /* .ops points here, or to the host's */
	void *ctx;
	void (*invalidate)(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes);
	struct list devtlbs; /* struct viommu__devtlb_hook */

	uint64_t *sce; /* its scalable context entry */
	void *pdir_alloc;
	uint64_t *pdir;
	struct record **records; /* by PASID directory index */
	uint32_t pdir_entries;
	uint8_t *bound; /* how many of a PASID table's entries are this device's, RECORD_FREE not */
	uint32_t tables; /* PASID tables allocated */

	/*
	 * A sub-device: sid, sce, pdir, records, pdir_entries are copies of its parent's, which
	 * lives longer.
	 */
	struct viommu_device *parent;
	struct viommu_domain *dom;      /* the one that its binds name, while it has any */
	struct viommu_owner *rid_owner; /* of .rid */
	uint64_t subs[SUBS_MAX / 64];   /* numbers in use under this device; bit 0 is its own */
	uint32_t nr_subs;

	pthread_mutex_t request_lock;
	pthread_cond_t request_cond;
	struct request *requests;
	uint32_t max_requests;
	uint32_t open_requests;
	uint32_t unclaimed; /* answered, and no waiter to take the answer */
};

/* A device TLB of src/dma: told of invalidations before the drain, with host->lock held. */
struct viommu__devtlb_hook {
	struct list link;
	void (*invalidate)(struct viommu__devtlb_hook *hook, uint32_t pasid, uint64_t addr,
			   uint64_t bytes);
};

struct viommu_domain {
	struct viommu_host *host;
	struct list link;
	struct viommu_mem *mem;
	struct viommu__mem_listener listener;
	struct viommu_owner *owner;
	struct viommu_stage stage; /* as in a stack: see viommu_domain_stage() */
	uint64_t *root;
	uint64_t tables; /* pages of second-stage tables */
	uint32_t binds;  /* PASID entries that name it */
	uint32_t flags;
	uint16_t did;
	uint8_t levels;
	uint8_t max_page_lg2;
	uint8_t ending;
	uint8_t track_lg2; /* of pages of the dirty bitmap; 0: not tracked */
	struct viommu__mem_tracker tracker;
};

struct viommu_host {
	/*
	 * Truncations that the tables know of: an access compares it with viommu__mem_lost_count().
	 */
	uint64_t lost_seen;
	/* Counts what happened to generations: who finds it unchanged need not look at them. */
	uint64_t changes;
	struct gen gen;                       /* on a line of its own */
	struct gen gens[VIOMMU__MAX_DOMAINS]; /* by domain id */
	struct viommu__markers markers;
	struct viommu_unit unit;
	struct viommu_host_ops ops;
	pthread_mutex_t lock;
	struct pages pages;
	uint64_t *root;
	struct list devices;
	struct list domains;
	struct viommu_domain *by_did[VIOMMU__MAX_DOMAINS];
	struct viommu_pasids *pasids;
	uint32_t next_serial;
	uint16_t next_token;
	uint32_t nr_devices;
	uint32_t max_devices;
	uint32_t max_requests;
	uint32_t nr_dma;
	uint64_t dma_bytes;
};

/* After any generation has changed. Lock held. */
static inline void viommu__changed(struct viommu_host *host)
{
	store_release(&host->changes, host->changes + 1);
}

static inline void gen_bump(struct viommu_host *host, uint64_t *gen)
{
	store_release(gen, *gen + 2); /* parity is the record's business; the others stay even */
	viommu__changed(host);
}

/* The record of a PASID, NULL if there is no table for it yet. Any thread that has the device. */
static inline struct record *viommu__record(struct viommu_device *dev, uint32_t pasid)
{
	struct record *table;

	if (pasid >> 6 >= dev->pdir_entries)
		return NULL;
	table = load_acquire(&dev->records[pasid >> 6]);
	return table ? &table[pasid & 63] : NULL;
}

/*
 * The same if what is bound there is this device's, and not that of another with the same tables.
 */
static inline struct record *viommu__own_record(struct viommu_device *dev, uint32_t pasid)
{
	struct record *rec = viommu__record(dev, pasid);

	return rec && load_relaxed(&rec->sub) == dev->sub ? rec : NULL;
}

/* Which entry serves a request, and what a device calls the requests that an entry serves. */
static inline uint32_t viommu__entry_of(const struct viommu_device *dev, uint32_t pasid)
{
	return pasid == VIOMMU_NO_PASID ? dev->rid : pasid;
}

static inline uint32_t viommu__request_of(const struct viommu_device *dev, uint32_t entry)
{
	return entry == dev->rid ? VIOMMU_NO_PASID : entry;
}

static inline uint64_t *viommu__pe(struct viommu_device *dev, uint32_t pasid)
{
	uint64_t pde = load_acquire(&dev->pdir[pasid >> 6]);

	return (uint64_t *)(uintptr_t)(pde & VTD_MASK(VTD_PDIR_SMPTBLPTR)) +
	       (size_t)(pasid & 63) * 8;
}

/* domain.c */
int viommu__domain_map(struct viommu_domain *dom, const struct viommu_mem_region *r);
/*
 * Regions whose file was truncated since the last call leave every domain. Takes the lock. True if
 * any did.
 */
int viommu__host_reap_lost(struct viommu_host *host);

/* device.c */
/* The PASID table that holds pasid, made if it is not there. Lock held. 0, -ENOMEM. */
int viommu__device_table(struct viommu_device *dev, uint32_t pasid);

/* bind.c */
/*
 * End binds of a device: the one of pasid, or (VIOMMU_ALL_PASIDS) all that name dom (NULL: all).
 * Lock held on entry and exit, dropped in between while the device is told and DMA drains. True if
 * there was any.
 */
int viommu__binds_end(struct viommu_device *dev, uint32_t pasid, struct viommu_domain *dom);
/*
 * The next record of the device at or behind *pasid, up to last, where something is bound or was;
 * NULL: there is none. Lock held.
 */
struct record *viommu__record_next(struct viommu_device *dev, uint32_t *pasid, uint32_t last);

/* inspect.c */
/*
 * The stages of a bind: guest stages (ext, or fs, or none), then the domain's second stage;
 * hpa_output: none, the output is an HPA that must lie in the domain's memory.
 */
void viommu__bind_stack(const struct viommu_domain *dom, const struct stages *ext,
			const struct viommu_stage *fs, bool hpa_output, struct viommu_stack *out);
/* Walk them. Inside a section, or with the lock held. */
int viommu__bind_walk(const struct viommu_domain *dom, const struct stages *ext,
		      const struct viommu_stage *fs, bool hpa_output, uint64_t addr,
		      uint32_t access, uint32_t flags, struct viommu_recorder *rec,
		      struct viommu_walk_result *wr);
/* FPD was set on the way to a fault of the walk: if its reason is qualified, it says so. */
void viommu__fault_fpd(struct viommu_fault *fault);
/* May an HPA be accessed? Sets wr->host. 0 or VIOMMU_FAULTED. */
int viommu__hpa_check(const struct viommu_domain *dom, const struct viommu_stack *stack,
		      uint32_t access, struct viommu_walk_result *wr);

/*
 * The way of a request through the host's tables, by a sub-device's gates first. foreign: the entry
 * is another's with the same tables. Inside a section, or with the lock held.
 */
int viommu__device_path(const struct viommu_device *dev, const struct viommu_path_request *req,
			bool foreign, struct viommu_recorder *rec, struct viommu_path_result *out);

/* inval.c */
/*
 * What a device has cached: first its device TLBs of src/dma, then its own callback. pasid: of its
 * requests. Lock held on entry and exit, dropped in between.
 */
void viommu__device_drop(struct viommu_device *dev, uint32_t pasid, uint64_t addr, uint64_t bytes);
/* On every device that has binds; dom: sub-devices only if theirs name it (NULL: all). */
void viommu__devices_drop_all(struct viommu_host *host, const struct viommu_domain *dom);

/* prq.c */
int viommu__requests_init(struct viommu_device *dev);
void viommu__requests_destroy(struct viommu_device *dev);
/*
 * Answer every open group of this PASID (VIOMMU_ALL_PASIDS: of every one); their bind is over, so
 * answers that nobody took go, too.
 */
void viommu__requests_end(struct viommu_device *dev, uint32_t pasid, uint8_t code);
/*
 * Page requests on or off, as the function's own control says (a device begins with on). Off: open
 * groups are answered INVALID and none is opened; missing pages are faults.
 */
void viommu__device_pri(struct viommu_device *dev, int on);
/*
 * While it is paused an access that waits for an answer, or would, ends with -EAGAIN, and its group
 * stays: the repeated access joins it, or finds its answer.
 */
void viommu__device_pause(struct viommu_device *dev, int on);
/* A group was answered FAILURE since the last viommu_device_pri_reset(). */
int viommu__device_pri_failed(struct viommu_device *dev);
/*
 * A missing page. 0: answered with SUCCESS, walk again. -EAGAIN: open, or no group is free (only
 * with no_wait, or paused). -EPERM: answered with a failure, or the device may not ask: the access
 * faults. -EACCES: the context entry admits no page requests.
 */
int viommu__request_page(struct viommu_device *dev, uint32_t pasid, uint64_t addr, uint32_t access,
			 int no_wait, uint32_t *response);

#endif /* VIOMMU_HOST_SOFT_H */
