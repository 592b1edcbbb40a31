/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/host.h - a host IOMMU: domains, devices, and guest page tables bound to a device's PASIDs.
 *
 * The software host keeps real VT-d tables (root, context, PASID directory, PASID entries, second
 * stage) in the memory of this process and really walks them; its host physical addresses (HPA) are
 * addresses of this process. A domain is one VM: its memory (GPA -> HPA as second-stage tables) and
 * the PASIDs it owns. A device is a requester id; a bind puts the guest's first-stage tables,
 * nested on the domain's second stage, into the device's PASID entry.
 *
 * Smallest correct use (error checks left out):
 *	struct viommu_device_config dc = { .size = sizeof(dc), .sid = 0x28,
 *					   .flags = VIOMMU_DEVICE_PASID };
 *	struct viommu_gpasid_bind b = { .size = sizeof(b), .flags = VIOMMU_GPASID_VALID,
 *					.gp = { 5 }, .addr_width = 48, .gpgd = cr3 };
 *
 *	viommu_host_new(NULL, &host);
 *	viommu_domain_new(host, mem, NULL, &dom);
 *	viommu_device_new(host, &dc, &dev);
 *	viommu_pasid_alloc(viommu_domain_owner(dom), 1, VIOMMU_PASID_MAX, &b.hp);
 *	viommu_host_bind_gpasid(dev, dom, &b);
 *	... DMA through viommu/dma.h ...
 *	viommu_host_unbind_gpasid(dev, b.hp);
 *
 * Without a guest's tables: a second stage alone, for the whole device or for a PASID of it. A
 * device may belong to one domain, and any number of its PASIDs to others (the aux domains of 2019;
 * examples/aux_domain.c). Addresses are guest physical addresses of the domain that the PASID is
 * bound to:
 *	struct viommu_bind ss = { .size = sizeof(ss), .kind = VIOMMU_BIND_NESTED };	(nr is 0)
 *
 *	viommu_device_attach(dev, dom, &ss);				requests without PASID
 *	viommu_pasid_alloc(viommu_domain_owner(aux), 1, VIOMMU_PASID_MAX, &hp);
 *	viommu_host_bind(dev, aux, hp, &ss);				requests with hp
 * Such a bind needs neither nesting (VIOMMU_DOMAIN_NO_NEST, ECAP.NEST) nor a guest PASID. Pages of
 * 4 KiB to 1 GiB, read-only regions and dirty bits are the domain's, whatever names it.
 *
 * Synchronisation
 *	function                                   context                 returns when
 *	viommu_host_new, _free                     owner, nobody else      -
 *	viommu_domain_*, viommu_device_*           any thread, may sleep   no DMA uses what was removed
 *	viommu_host_bind*                          any thread, may sleep   the next DMA uses the new tables
 *	viommu_host_rebind                         any thread, may sleep   no DMA uses the old tables
 *	viommu_host_unbind*                        any thread, may sleep   no DMA uses the tables, no page request is open
 *	viommu_host_invalidate (default)           any thread, may sleep   no DMA uses what was invalidated
 *	viommu_host_invalidate with NO_DRAIN       any thread              at once: accesses that begin later see the change
 *	viommu_host_drain                          any thread, may sleep   every access that had begun has ended
 *	viommu_host_page_response, _expire         any thread              at once
 *	viommu_device_gate                         any thread, may sleep   no DMA passes a gate that was shut
 *	viommu_device_abort_requests               any thread              at once
 * None of them may be called between viommu_dma_begin() and viommu_dma_end() of the same thread.
 * All of them may be called from the callbacks of struct viommu_host_ops, which run on a DMA thread
 * outside of any access, with no lock held, except that no callback may free the object it was
 * called for. No call waits for a callback of struct viommu_host_ops to return, so a callback may
 * block on a lock that a thread inside of any of these calls holds. Completion is synchronous:
 * there is no completion event. A queue that wants to invalidate many things and wait once uses
 * NO_DRAIN and then one viommu_host_drain().
 */
#ifndef VIOMMU_HOST_H
#define VIOMMU_HOST_H

#include <viommu/mem.h>
#include <viommu/pasid.h>
#include <viommu/path.h>
#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_host;
struct viommu_domain;
struct viommu_device;

/* A page request (VT-d page request descriptor, PCIe PRI), as it goes up to whoever answers. */
#define VIOMMU_PAGE_REQUEST_LAST  0x01u /* last of its group: wants a response */
#define VIOMMU_PAGE_REQUEST_PASID 0x02u /* pasid is valid */
#define VIOMMU_PAGE_REQUEST_GP    0x04u /* gp is valid */

struct viommu_page_request {
	uint16_t sid;
	uint16_t prgi;       /* page request group index, 9 bits */
	uint32_t flags;      /* VIOMMU_PAGE_REQUEST_* */
	uint32_t pasid;      /* host PASID */
	struct viommu_gp gp; /* the guest's PASID of that bind */
	uint32_t access;     /* VIOMMU_READ, _WRITE, _PRIV */
	uint32_t reserved;
	uint64_t addr; /* page address */
};

/* Response codes (PCIe PRG response). */
#define VIOMMU_RESPONSE_SUCCESS 0u
#define VIOMMU_RESPONSE_INVALID 1u
#define VIOMMU_RESPONSE_FAILURE 0xfu

/* Callbacks; each may be NULL. ctx is passed through. */
struct viommu_host_ops {
	void *ctx;
	/*
	 * DMA found no present PASID entry for (dev, pasid; VIOMMU_NO_PASID: a request without, and
	 * nothing is attached). Bind it and return 0: the access is retried once. Any other value:
	 * the access ends in *fault, which holds the host's view and may be replaced (by what the
	 * guest's own tables say; sid, pasid, addr, access and request stay those of the request).
	 * Absence is never cached.
	 */
	int (*miss)(void *ctx, struct viommu_device *dev, uint32_t pasid,
		    struct viommu_fault *fault);
	/* An access ended in a fault that is to be recorded (not called when FPD suppressed it). */
	void (*fault)(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault);
	/*
	 * A device without PASID wrote 4 bytes at FEEx_xxxxh: an interrupt message. NULL: dropped.
	 */
	void (*interrupt)(void *ctx, struct viommu_device *dev, uint64_t addr, uint32_t data);
	/*
	 * A page request. Answer by viommu_host_page_response(), now or later, from any thread.
	 * NULL: answered INVALID.
	 */
	void (*page_request)(void *ctx, struct viommu_device *dev,
			     const struct viommu_page_request *req);
};

struct viommu_host_config {
	size_t size;  /* sizeof(struct viommu_host_config) */
	uint32_t ver; /* VER register; 0 = 0x60 */
	uint8_t haw;  /* host address width 48..52; 0 = 52 */
	uint8_t reserved[3];
	uint64_t cap; /* CAP and ECAP of this host; both 0 = viommu_host_default_cap/ecap */
	uint64_t ecap;
	uint32_t pasid_min; /* host PASIDs it hands out, inclusive; 0, 0 = 1..VIOMMU_PASID_MAX */
	uint32_t pasid_max;
	uint32_t max_devices; /* 0 = 256 */
	/* page requests open at a time for one device, 1..512; 0 = 512 */
	uint32_t max_page_requests;
	struct viommu_host_ops ops;
};

/* What a software host can do at most: a config's cap and ecap may only clear bits of these. */
VIOMMU_API uint64_t viommu_host_default_cap(void);
VIOMMU_API uint64_t viommu_host_default_ecap(void);

/*
 * config may be NULL. 0, -EINVAL (a value out of range, a capability that the host lacks, or one
 * that needs another it was not given), -ENOMEM. Without ECAP.SSTS it has SAGAW 0, whatever cap
 * says.
 */
VIOMMU_API int viommu_host_new(const struct viommu_host_config *config, struct viommu_host **out);
/*
 * NULL is allowed. Devices and domains that are left are freed too; DMA objects must be gone
 * (assertion).
 */
VIOMMU_API void viommu_host_free(struct viommu_host *host);
/*
 * The unit as the table path sees it: capabilities and the address of the root table. mem is NULL:
 * tables are our own.
 */
VIOMMU_API void viommu_host_unit(struct viommu_host *host, struct viommu_unit *out);
/* The allocator of host PASIDs. Borrowed. */
VIOMMU_API struct viommu_pasids *viommu_host_pasids(struct viommu_host *host);

/* Bytes in use: tables the specification defines, and what the host keeps beside them. */
struct viommu_host_memory {
	uint64_t pasid_tables;  /* PASID directories and tables */
	uint64_t pasid_records; /* beside each PASID entry, and the allocator with its maps */
	uint64_t second_stage;  /* domains' tables */
	uint64_t dma;           /* caches of all DMA objects */
	uint64_t other;
};
VIOMMU_API void viommu_host_memory(struct viommu_host *host, struct viommu_host_memory *out);

/* ---- Domains --------------------------------------------------------------------------------- */

#define VIOMMU_DOMAIN_DIRTY   0x1u /* keep accessed and dirty bits in the second stage (SSADE) */
#define VIOMMU_DOMAIN_NO_NEST 0x2u /* no guest tables may be nested on it */

struct viommu_domain_config {
	size_t size;
	uint32_t flags;       /* VIOMMU_DOMAIN_* */
	uint8_t levels;       /* second stage 3, 4, 5; 0 = 4 */
	uint8_t max_page_lg2; /* largest leaf: 12, 21, 30; 0 = 30 */
	uint8_t reserved[2];
	uint32_t pasid_quota; /* host PASIDs it may hold; 0 = no limit */
	uint32_t reserved2;
};

/*
 * A VM: second-stage tables over mem, which follow every region that comes and goes; read-only
 * regions give read-only pages. mem is borrowed until the domain is freed. 0, -EINVAL, -ENOSPC (no
 * domain id), -ERANGE (a region beyond the levels' reach), -ENOMEM.
 */
VIOMMU_API int viommu_domain_new(struct viommu_host *host, struct viommu_mem *mem,
				 const struct viommu_domain_config *config,
				 struct viommu_domain **out);
/* Unbinds what is bound to it on every device, then frees it. NULL is allowed. */
VIOMMU_API void viommu_domain_free(struct viommu_domain *dom);
/* Who owns its PASIDs: for viommu_pasid_alloc() and the rest of viommu/pasid.h. Borrowed. */
VIOMMU_API struct viommu_owner *viommu_domain_owner(struct viommu_domain *dom);
/* Its second stage as it would stand in a stack (root is an HPA), and its domain id. */
VIOMMU_API void viommu_domain_stage(struct viommu_domain *dom, struct viommu_stage *out,
				    uint16_t *did);

/*
 * Which pages devices write, for whoever copies the VM elsewhere while it runs. The domain was made
 * with VIOMMU_DOMAIN_DIRTY. While it is tracked its pages have 2^page_lg2 bytes (12, 21 or 30; less
 * where a region is smaller or not aligned), in the tables as in the bitmap: for DMA that is slower
 * than large pages. A bit is set for each page that was written since it was last cleared: by DMA
 * of any kind, with its translation cached or not, by bits that a walk sets in the guest's tables,
 * by the guest's unit, by viommu_mem_write() and its like. It may be set for a page that was only
 * translated for writing. Not seen are requests bound by VIOMMU_BIND_FIRST and _PASSTHROUGH, which
 * have no second stage. Memory that is added while it is tracked begins clean.
 *
 *	viommu_domain_dirty_start(dom, 12);		all is clean from here on; copy everything
 *	viommu_domain_dirty_read(dom, gpa, bytes, VIOMMU_DIRTY_CLEAR, bitmap);	copy what it names
 *	... as often as is worth it; then stop the VM, read once more, copy the rest ...
 *	viommu_domain_dirty_stop(dom);
 *
 * _start: 0; -ENOTSUP: made without VIOMMU_DOMAIN_DIRTY; -EINVAL; -EBUSY: is tracked already;
 * -ENOMEM. Synchronisation as the other viommu_domain_*(), but one start or stop at a time.
 */
VIOMMU_API int viommu_domain_dirty_start(struct viommu_domain *dom, unsigned page_lg2);
/* Of a domain that is not tracked: nothing. */
VIOMMU_API void viommu_domain_dirty_stop(struct viommu_domain *dom);

/*
 * Clear what is returned. A write that began before the call returns is either in this bitmap or
 * done before the call returns, so copy a page after the call that named it.
 */
#define VIOMMU_DIRTY_CLEAR 0x1u

/*
 * Bit n of bitmap (of word n / 64) is the n-th page of [gpa, gpa + bytes), both multiples of the
 * page; holes and read-only memory are clean. bitmap has a bit for each page, rounded up to words,
 * or is NULL. 0; -ENOENT: not tracked; -EINVAL.
 */
VIOMMU_API int viommu_domain_dirty_read(struct viommu_domain *dom, uint64_t gpa, uint64_t bytes,
					uint32_t flags, uint64_t *bitmap);

/* ---- Devices --------------------------------------------------------------------------------- */

#define VIOMMU_DEVICE_PASID 0x1u /* may send requests with PASID (context entry PASIDE) */
#define VIOMMU_DEVICE_ATS   0x2u /* may send translation and translated requests (DTE) */
#define VIOMMU_DEVICE_PRI   0x4u /* may send page requests (PRE); needs ATS */

struct viommu_device_config {
	size_t size;
	uint16_t sid; /* requester id */
	uint16_t reserved;
	uint32_t flags; /* VIOMMU_DEVICE_* */
	void *ctx;
	/*
	 * For a device with a translation cache of its own (besides struct viommu_devtlb): drop
	 * what it cached for [addr, addr + bytes) of pasid (VIOMMU_NO_PASID: of its requests
	 * without, VIOMMU_ALL_PASIDS: of all; bytes 0: every address). Must return only when no
	 * request with such a translation can begin. Called with no lock of the host held, on the
	 * invalidating thread; it must not unbind, nor change memory. May be NULL.
	 */
	void (*invalidate)(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes);
	/* NULL; else a sub-device of this one, with its sid and some of its flags: see below */
	struct viommu_device *parent;
	/* Who hears of its misses, faults, requests; copied. NULL: the host's */
	const struct viommu_host_ops *ops;
	uint32_t max_page_requests; /* open at a time, 1..512; 0 = the host's */
	uint32_t reserved2;
};

/*
 * Sub-devices. One device may serve several VMs (scalable I/O virtualisation: a sub-device is an
 * assignable device interface): requests of all have the device's one requester id, and the PASID
 * alone tells whose they are.
 *
 *	viommu_device_config device = { ..., .sid = 0x28, .flags = VIOMMU_DEVICE_PASID };
 *	viommu_device_config part = { ..., .sid = 0x28, .flags = VIOMMU_DEVICE_PASID,
 *				      .parent = dev, .ops = &this_vm };
 *
 * Every call of this header and of viommu/dma.h takes a sub-device. Its binds are entries of the
 * parent's PASID table, which are nobody else's: a request of it with a PASID that it has not bound
 * faults as if the entry were not present, whoever has it bound. Its requests without PASID carry
 * one that it has for its whole life (its default PASID, of no domain's quota); attach binds that.
 * Gates, page requests, invalidations told to it, the end: each is its own.
 *
 * All binds of a sub-device name one domain (-EBUSY), and no two sub-devices of a parent serve the
 * same domain at a time (-EBUSY): their parent has one entry for a PASID. The parent may have binds
 * of its own. It ends with its sub-devices: unplugged, it takes them along; to free it before them
 * is an assertion. A device has 255 at most.
 */

/*
 * 0, -EINVAL, -EEXIST (sid taken), -ENODEV (the parent is unplugged), -ENOSPC (max_devices; no
 * PASID is left for a sub-device), -ENOMEM. Its requests fault until something is attached or
 * bound.
 */
VIOMMU_API int viommu_device_new(struct viommu_host *host,
				 const struct viommu_device_config *config,
				 struct viommu_device **out);
/*
 * The device vanishes (surprise removal): its context entry goes, all binds end, open page requests
 * are answered FAILURE, accesses in flight end, later ones fault with 41h. The object stays for the
 * owner to free. 0.
 */
VIOMMU_API int viommu_device_unplug(struct viommu_device *dev);
/*
 * Unplugs and frees. No thread may be inside, or later begin, a DMA call with it. NULL is allowed.
 */
VIOMMU_API void viommu_device_free(struct viommu_device *dev);
VIOMMU_API uint16_t viommu_device_sid(const struct viommu_device *dev);
/* The host PASID of a sub-device's requests without PASID; 0: it is none, they have none. */
VIOMMU_API struct viommu_hp viommu_device_default_pasid(const struct viommu_device *dev);

/*
 * Which kinds of request the device's context entry admits from now on: flags are some of those it
 * was made with (PASID: PASIDE, ATS: DTE, PRI: PRE). It begins with all of them. What a gate
 * forbids ends in its fault, and the miss callback is not asked: a request with PASID in 45h, a
 * translation request (also of a device TLB, and accesses with VIOMMU_DMA_ATS) in 44h, an access
 * that would have asked for its page in 47h. Returns when no DMA passes a gate that was shut; with
 * PRI shut, open groups have been answered INVALID. Binds stay. 0; -EINVAL: a flag it was not made
 * with, or PRI without ATS; -ENODEV: unplugged.
 */
VIOMMU_API int viommu_device_gate(struct viommu_device *dev, uint32_t flags);

/* ---- Binds ----------------------------------------------------------------------------------- */

/*
 * What a PASID (or, for viommu_device_attach(), the device's requests without PASID) is translated
 * by.
 */
enum viommu_bind_kind {
	/* nr stages of the guest's (1 or 2; 0 = none) over the domain's second stage */
	VIOMMU_BIND_NESTED = 1,
	/* one first stage whose tables and output are HPAs; no domain's memory in between */
	VIOMMU_BIND_FIRST = 2,
	VIOMMU_BIND_PASSTHROUGH =
		3, /* none: addresses are HPAs, checked to lie in a domain's memory */
};

/*
 * The guest disabled fault processing for it (FPD): faults whose reason is qualified carry
 * VIOMMU_FAULT_FPD and are not told to the fault callback.
 */
#define VIOMMU_BIND_FPD 0x100u

struct viommu_bind {
	size_t size;
	uint32_t kind;  /* enum viommu_bind_kind */
	uint32_t flags; /* VIOMMU_GPASID_VALID: gp is recorded; VIOMMU_BIND_FPD */
	struct viommu_gp gp;
	uint32_t nr; /* stages */
	/* stage[0] is entered first; haw is ignored (the host's), reserved is 0 */
	struct viommu_stage stage[2];
};

/*
 * Bind, replace, unbind what translates (dev, hp). dom owns hp, gives the second stage, and is the
 * memory that HPAs of the kinds FIRST and PASSTHROUGH must lie in. 0; -EINVAL (a stage that is not
 * well formed or that the capabilities forbid, hp 0, beyond 20 bits, or the device's default PASID,
 * a device without PASID); -ENOENT, -EPERM (hp not allocated, another domain's); -EBUSY (bound:
 * bind; another domain's bind: rebind; a sub-device that serves another domain); -EEXIST (gp or hp
 * mapped otherwise); -ENODEV (unplugged); -ENOMEM. rebind also binds what is not bound yet. unbind
 * of what is not bound, by this device: 0.
 */
VIOMMU_API int viommu_host_bind(struct viommu_device *dev, struct viommu_domain *dom,
				struct viommu_hp hp, const struct viommu_bind *bind);
VIOMMU_API int viommu_host_rebind(struct viommu_device *dev, struct viommu_domain *dom,
				  struct viommu_hp hp, const struct viommu_bind *bind);
VIOMMU_API int viommu_host_unbind(struct viommu_device *dev, struct viommu_hp hp);

/*
 * The same for the device's requests without PASID (RID_PASID). Attach replaces what was attached.
 */
VIOMMU_API int viommu_device_attach(struct viommu_device *dev, struct viommu_domain *dom,
				    const struct viommu_bind *bind);
VIOMMU_API int viommu_device_detach(struct viommu_device *dev);

/* Unbind every PASID and detach: a reset of the device. 0. */
VIOMMU_API int viommu_device_unbind_all(struct viommu_device *dev);

/* The guest-PASID bind of the 2019 interface (gpasid.h has its historical structures). */
#define VIOMMU_GPASID_VALID 0x01u /* gp is valid */
#define VIOMMU_GPASID_SRE   0x02u
#define VIOMMU_GPASID_WPE   0x04u
#define VIOMMU_GPASID_EAFE  0x08u

struct viommu_gpasid_bind {
	size_t size;
	uint32_t flags;      /* VIOMMU_GPASID_* */
	uint32_t addr_width; /* 48 or 57 */
	struct viommu_gp gp;
	struct viommu_hp hp;
	uint64_t gpgd; /* guest physical address of the top first-stage table; low 12 bits 0 */
};

VIOMMU_API int viommu_host_bind_gpasid(struct viommu_device *dev, struct viommu_domain *dom,
				       const struct viommu_gpasid_bind *bind);
VIOMMU_API int viommu_host_unbind_gpasid(struct viommu_device *dev, struct viommu_hp hp);

/*
 * What is bound: the PASID entry as it stands in the host's table. 0, -ENOENT. hp 0: requests
 * without PASID.
 */
VIOMMU_API int viommu_host_pasid_entry(struct viommu_device *dev, struct viommu_hp hp,
				       uint64_t pe[8]);

/*
 * The device's bind with the lowest host PASID that is not below hp->v (0, or the default PASID:
 * requests without PASID): its host PASID, its guest PASID (gp->v VIOMMU_NO_PASID: none given), its
 * entry. gp and pe may be NULL. 0, -ENOENT: there is none. To see all: begin at 0, then go on at
 * hp->v + 1.
 */
VIOMMU_API int viommu_host_next_bind(struct viommu_device *dev, struct viommu_hp *hp,
				     struct viommu_gp *gp, uint64_t pe[8]);

/*
 * The way of one request through the host's tables, without doing it: root, context, directory,
 * PASID entry (steps of VIOMMU_STAGE_PATH), then every stage. req->sid is ignored (the device's).
 * VIOMMU_WALK_DRY leaves accessed and dirty bits alone. Page requests and translated requests have
 * no stages to walk. 0, VIOMMU_FAULTED (out->fault), -EINVAL. Holds the host's lock: rec must not
 * call the host.
 */
VIOMMU_API int viommu_host_walk(struct viommu_device *dev, const struct viommu_path_request *req,
				uint32_t flags, struct viommu_recorder *rec,
				struct viommu_path_result *path, struct viommu_walk_result *out);

/* ---- Invalidation ---------------------------------------------------------------------------- */

enum viommu_granularity {
	VIOMMU_INVALIDATE_GLOBAL = 0, /* everything of the host; dom is ignored */
	VIOMMU_INVALIDATE_DOMAIN = 1,
	VIOMMU_INVALIDATE_PASID = 2, /* one host PASID of the domain, on every device */
	VIOMMU_INVALIDATE_RANGE =
		3, /* addresses of one host PASID (0: of requests without PASID) */
};

/* struct viommu_invalidate.flags */
#define VIOMMU_INVALIDATE_NO_DRAIN    0x1u /* return at once; viommu_host_drain() completes it */
#define VIOMMU_INVALIDATE_NO_DEVICE   0x2u /* leave the devices' own caches alone (IOTLB only) */
#define VIOMMU_INVALIDATE_ONLY_DEVICE 0x4u /* the devices' own caches alone */
#define VIOMMU_INVALIDATE_LEAF        0x8u /* only leaf entries changed */

struct viommu_invalidate {
	size_t size;
	uint32_t granularity; /* enum viommu_granularity */
	uint32_t flags;
	struct viommu_hp hp;
	uint32_t reserved;
	uint64_t addr;             /* RANGE */
	uint64_t bytes;            /* RANGE; 0 = to the end */
	struct viommu_device *dev; /* PASID and RANGE: on this device alone; NULL = on every one */
};

/*
 * 0, -EINVAL. A PASID that is not bound, a range without translations: 0 (nothing to do is not an
 * error).
 */
VIOMMU_API int viommu_host_invalidate(struct viommu_host *host, struct viommu_domain *dom,
				      const struct viommu_invalidate *inv);
VIOMMU_API void viommu_host_drain(struct viommu_host *host);

/* ---- Page requests --------------------------------------------------------------------------- */

struct viommu_page_response {
	size_t size;
	uint32_t pasid; /* or VIOMMU_NO_PASID */
	uint16_t prgi;
	uint16_t code; /* VIOMMU_RESPONSE_*; any other value counts as FAILURE */
};

/*
 * Answer a group: its accesses go on (SUCCESS: they walk again) or fault. 0; -ENOENT: no such group
 * is open (answered before, expired, unbound: harmless); -EINVAL: size.
 */
VIOMMU_API int viommu_host_page_response(struct viommu_device *dev,
					 const struct viommu_page_response *resp);
/*
 * Answer every open group of a PASID with code (as in struct viommu_page_response): VIOMMU_NO_PASID
 * those of requests without, VIOMMU_ALL_PASIDS all. Returns how many there were.
 */
VIOMMU_API int viommu_device_abort_requests(struct viommu_device *dev, uint32_t pasid,
					    uint16_t code);
/*
 * Nobody answers: the owner counts time. Answers INVALID to every group that was already open at
 * the call before (so it waited at least one whole period). Returns how many.
 */
VIOMMU_API unsigned viommu_host_expire_page_requests(struct viommu_host *host);
/*
 * Reset the page request interface (PCIe: PRI reset): open groups are answered INVALID. It also
 * ends the state that a FAILURE answer leaves (Response Failure), in which the device asks no more
 * and missing pages are faults.
 */
VIOMMU_API void viommu_device_pri_reset(struct viommu_device *dev);
/* Page requests open now on this device. */
VIOMMU_API unsigned viommu_device_open_requests(struct viommu_device *dev);

#ifdef __cplusplus
}
#endif
#endif
