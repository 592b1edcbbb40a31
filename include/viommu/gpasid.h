/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/gpasid.h - the guest-PASID bind interface of Linux v5.5 to v5.17, over viommu/host.h.
 *
 * A VMM that was written for that interface hands over its structures as bytes. They came in two
 * forms, each with functions of its own: the first (v5.5 to v5.9; suffix _v55) has structures of
 * fixed size; the second (v5.10 to v5.17) begins with argsz, the size that the caller knows.
 *
 * Smallest correct use:
 *	struct viommu_gpasid_bind_data b = {
 *		.argsz = sizeof(b), .version = 1, .format = VIOMMU_GPASID_FORMAT_VTD,
 *		.addr_width = 48, .flags = VIOMMU_GPASID_DATA_VALID, .gpgd = cr3, .hpasid = hp.v,
 *		.gpasid = 5, .vtd.flags = VIOMMU_GPASID_VTD_SRE };
 *	viommu_gpasid_bind(dom, dev, &b, sizeof(b));
 *	... DMA ...
 *	viommu_gpasid_unbind(dom, dev, &b, sizeof(b));
 *
 * The bytes are not trusted: they are copied once, then checked, then used. `bytes` is how many
 * may be read at `data`, so it plays the part that the caller's mapped memory played for the
 * kernel's copy_from_user: less than the call has to read is -EFAULT. Numbers are little-endian.
 * hpasid, and every PASID in an invalidation, a response or a fault, is a host PASID; it has to be
 * allocated to the domain (viommu/pasid.h) before it is bound. The domain stands for what the
 * kernel took from the calling process: one VM can name neither PASIDs nor page requests of
 * another.
 *
 * Synchronisation: as viommu_host_bind_gpasid(), _unbind_gpasid(), _invalidate(), _page_response()
 * of viommu/host.h, which these functions end in: any thread, may sleep, complete on return.
 *
 * Every check that the kernel made, in its order, with its errno and ours (both negated; 0:
 * passes). "n/a: why" has no meaning here. Where "hole" stands the kernel let something through,
 * and we refuse it. Tests cite the rows by number, tests/host/gpasid_rows.py holds them to this
 * table.
 *
 *	row		what is wrong				kernel			here
 *
 *	Bind and unbind, core (v5.10)
 *	GP-BIND-01	domain without a bind operation		ENODEV			n/a: every domain here has it; one that may not nest is GP-VTB-14
 *	GP-BIND-02	the first 56 bytes cannot be read	EFAULT			EFAULT, also for data NULL
 *	GP-BIND-03	argsz below 56				EINVAL			EINVAL
 *	GP-BIND-04	min(argsz, 72) bytes cannot be read	EFAULT			EFAULT
 *	GP-BIND-05	argsz beyond 72				0, excess ignored	0
 *	GP-BIND-06	argsz 56 to 71: what it leaves out is 0	0, then GP-VTB-03	EINVAL by GP-VTB-03; 0 for unbind
 *	GP-BIND-07	version is not 1			EINVAL			EINVAL
 *	GP-BIND-08	format 2 or more			EINVAL			EINVAL
 *	GP-BIND-09	flags beyond bit 0			EINVAL			EINVAL
 *	GP-BIND-10	padding is not 0			EINVAL			EINVAL
 *	GP-BIND-11	format 0				0, then GP-VTB-02	EINVAL by GP-VTB-02; 0 for unbind
 *	GP-UNB-01	domain without a bind operation: tested by unbind, too	ENODEV	n/a: every domain here has it
 *	GP-UNB-02	GP-BIND-02 to -10 on unbind		the same		EFAULT, EINVAL
 *	GP-UNB-03	hpasid above 32 bits			0, truncated (hole)	EINVAL
 *	GP-UNB-04	domain without an unbind operation	ENODEV			n/a: every domain here has it
 *	GP-UNB-05	unbind by number skips all checks	0			0: viommu_host_unbind_gpasid()
 *
 *	Invalidate, core
 *	GP-INV-01	domain without the operation		ENODEV			n/a: every domain here has it
 *	GP-INV-02	the first 16 bytes cannot be read	EFAULT			EFAULT, also for data NULL
 *	GP-INV-03	argsz below 16				EINVAL			EINVAL
 *	GP-INV-04	PASID granularity, argsz below 32	EINVAL			EINVAL
 *	GP-INV-05	ADDR granularity, argsz below 56	EINVAL			EINVAL
 *	GP-INV-06	min(argsz, 56) bytes cannot be read	EFAULT			EFAULT
 *	GP-INV-07	version is not 1			EINVAL			EINVAL
 *	GP-INV-08	cache bits above 7			EINVAL			EINVAL
 *	GP-INV-09	granularity 3 or more			EINVAL			EINVAL
 *	GP-INV-10	ADDR together with the PASID cache	EINVAL			EINVAL
 *	GP-INV-11	unknown flags of addr_info		EINVAL			EINVAL
 *	GP-INV-12	unknown flags of pasid_info		EINVAL			EINVAL
 *	GP-INV-13	DOMAIN together with DEV_IOTLB		EINVAL			EINVAL
 *	GP-INV-14	padding is not 0			EINVAL			EINVAL
 *	GP-INV-15	no cache named				0, no-op (hole)		EINVAL
 *
 *	Page response, core
 *	GP-RESP-01	device without domain, or no operation	ENODEV			n/a: the domain is an argument, all have it
 *	GP-RESP-02	device that reports no faults		EINVAL			EINVAL: device without PRI
 *	GP-RESP-03	version is not 1			EINVAL			EINVAL
 *	GP-RESP-04	unknown flags				EINVAL			EINVAL
 *	GP-RESP-05	nothing is pending			EINVAL			EINVAL
 *	GP-RESP-06	nothing pending has this grpid		EINVAL			EINVAL
 *	GP-RESP-07	PASID needed and missing, or another	EINVAL			EINVAL
 *	GP-RESP-08	PASID given and not needed		0, cleared		0
 *	GP-RESP-09	entry goes, whatever the driver says	-			0, then EINVAL for the same response again
 *	GP-RESP-10	argsz (no copy of the bytes was merged)	0, unchecked (hole)	EINVAL below 24, EFAULT if they cannot be read
 *	GP-RESP-11	code above 2				0, unchecked (hole)	EINVAL, and the request stays
 *	GP-RPT-01	only a LAST_PAGE request is pending	-			0: each request here is the last of its group
 *	GP-RPT-02	handler fails: not pending any more	-			n/a: a callback returns nothing; it answers FAILURE
 *	GP-RPT-03	no handler				EINVAL			0: answered INVALID, the access faults
 *	GP-RPT-04	access that ended: reason, PASID, address	-			0: viommu_gpasid_from_fault()
 *
 *	Bind, VT-d driver (v5.15)
 *	GP-VTB-01	no unit for the device, no data		EINVAL			EINVAL: dom or dev NULL
 *	GP-VTB-02	format is not VTD			EINVAL			EINVAL
 *	GP-VTB-03	argsz below 72				EINVAL			EINVAL
 *	GP-VTB-04	vtd.flags: unknown bits			EINVAL			EINVAL; in the _v55 form WPE is one
 *	GP-VTB-05	not a PCI device			524 (ENOTSUPP)		ENOTSUP: device that has no PASIDs
 *	GP-VTB-06	fewer than 2^20 PASIDs			EINVAL			EINVAL: ECAP.PSS below 19
 *	GP-VTB-07	hpasid 0, or 2^20 and more		EINVAL			EINVAL
 *	GP-VTB-08	the unit does not know the device	EINVAL			EINVAL: device of another host; ENODEV: unplugged
 *	GP-VTB-09	PASID look-up fails			ENOENT (to v5.13)	ENOENT: not allocated; EPERM: another VM's
 *	GP-VTB-10	bound on this device already		EBUSY			EBUSY
 *	GP-VTB-11	allocation				ENOMEM			ENOMEM
 *	GP-VTB-12	PASIDs cannot be enabled		the PCI error		n/a: enabled when the device is made, see GP-VTB-05
 *	GP-VTB-13	ECAP.NEST is 0				EINVAL			EINVAL
 *	GP-VTB-14	domain is not for nesting		EINVAL			EINVAL: VIOMMU_DOMAIN_NO_NEST
 *	GP-VTB-15	no PASID entry can be had		EINVAL			ENOMEM
 *	GP-VTB-16	entry is present (not by this call)	EBUSY			EBUSY: viommu_host_bind() of any kind
 *	GP-VTB-17	addr_width 57 without 5-level tables, or not 48, 57	EINVAL	EINVAL: CAP.FS5LP alone counts, no processor walks here
 *	GP-VTB-18	gpgd beyond the domain's addresses	EINVAL			EINVAL
 *	GP-VTB-19	SRE, ECAP.SRS is 0			EINVAL			EINVAL
 *	GP-VTB-20	WPE without SRE				0, ignored (hole)	EINVAL
 *	GP-VTB-21	EAFE, ECAP.EAFS is 0			EINVAL			EINVAL
 *	GP-VTB-22	PCD, PWT, EMTE or CD			EINVAL			EINVAL
 *	GP-VTB-23	domain with more levels than the unit	EINVAL at the root (hole)	EINVAL of viommu_domain_new()
 *	GP-VTB-24	what the entry holds			-			0: SSPTPTR, AW, DID, FPD 0, PWSNP 1, PGTT nested, P 1
 *	GP-VTB-25	flush after the entry, by CM		-			0: the next DMA uses it, one that had faulted before, too
 *	GP-VTB-26	the same hpasid on a second device	0, an entry of its own	0
 *	GP-VTB-27	low 12 bits of gpgd			0, they land in SRE, FSPM, WPE, EAFE (hole)	EINVAL
 *	GP-VTB-28	gpasid without GPASID_VAL		0, not recorded		0
 *	GP-VTB-29	gpasid beyond 20 bits			0, unchecked (hole)	EINVAL
 *	GP-VTB-30	the calling process is remembered	-			n/a: the domain stands for it, see GP-VTR-06
 *	GP-VTB-31	gpasid bound to another hpasid		0, unchecked (hole)	EEXIST
 *
 *	Unbind, VT-d driver
 *	GP-VTU-01	hpasid 2^20 and more			EINVAL			EINVAL, also for PASID zero
 *	GP-VTU-02	was never bound				0			0
 *	GP-VTU-03	the entry is cleared, FPD as well	-			0
 *	GP-VTU-04	PASID cache, IOTLB, device TLB flushed	-			0: later DMA faults
 *	GP-VTU-05	no device TLB flush with CM 1		-			n/a: there is no unit below this one
 *	GP-VTU-06	page requests are drained		-			0: open ones are answered INVALID
 *	GP-VTU-07	hpasid is not freed			-			0: viommu_pasid_free() frees it
 *	GP-VTU-08	another VM's PASID			0, unbound (hole)	EPERM
 *
 *	Invalidate, VT-d driver (v5.8, v5.9)
 *	GP-VTI-01	null argument				EINVAL			EINVAL: dom or dev NULL
 *	GP-VTI-02	not PCI, or no unit			ENODEV			ENODEV: unplugged
 *	GP-VTI-03	domain is not for nesting		EINVAL			EINVAL
 *	GP-VTI-04	the unit does not know the device	EINVAL			EINVAL: device of another host
 *	GP-VTI-05	IOTLB by PASID, ADDR; DEV_IOTLB by ADDR	0			0
 *	GP-VTI-06	PASID cache				0, nothing done (hole)	EINVAL: the host owns it
 *	GP-VTI-07	any other pair				0, half done (hole)	EINVAL, nothing done
 *	GP-VTI-08	no PASID flag				0: PASID 0		0: requests without PASID
 *	GP-VTI-09	granule x number rounded up to an order	0			0: exactly the range, in whole pages
 *	GP-VTI-10	addr not aligned to the order		ERANGE (v5.8), 0 with a warning	0
 *	GP-VTI-11	IOTLB with ATS flushes the device TLB	0			0
 *	GP-VTI-12	archid is ignored			0			0; EINVAL if it is all that is valid
 *	GP-VTI-13	PASID of another domain			0, by the domain's id	0, nothing of the other's
 *	GP-VTI-14	nothing, or more than 2^64 bytes	0, unchecked (hole)	EINVAL
 *	GP-VTI-15	PASID beyond 20 bits			0, unchecked (hole)	EINVAL
 *
 *	Page response, VT-d driver, and its page request thread
 *	GP-VTR-01	not PCI, or no unit			ENODEV			ENODEV: unplugged
 *	GP-VTR-02	null argument				EINVAL			EINVAL: dom or dev NULL; EFAULT: data NULL
 *	GP-VTR-03	request without PASID			EINVAL			0: there are such requests here
 *	GP-VTR-04	PASID 0, or 2^20 and more		EINVAL			EINVAL
 *	GP-VTR-05	PASID not bound on this device		ENODEV			n/a: unbind answered its requests, so GP-RESP-05
 *	GP-VTR-06	the caller is not who bound it		ENODEV			ENODEV: dom is not the domain it is bound to
 *	GP-VTR-07	the caller has no address space		EINVAL			n/a: a domain always has memory
 *	GP-VTR-08	answer is sent only for last or private data	-		n/a: each request is the last of its group
 *	GP-VTR-09	code goes raw to the device: 2 is not 0xF	0 (hole)	0: translated to VIOMMU_RESPONSE_FAILURE
 *	GP-PRQ-01	request without PASID			answered INVALID	0: served as any other
 *	GP-PRQ-02	address not canonical			answered INVALID	0: passed up, as the queue of VT-d does; the handler answers
 *	GP-PRQ-03	privileged, read or write		answered INVALID	0: without SRE it faults (5Dh), with it PRIV is passed on
 *	GP-PRQ-04	execute with read			answered INVALID	0: execution always faults, nobody is asked
 *	GP-PRQ-05	stop marker				dropped			n/a: a queue of the guest half
 *	GP-PRQ-06	private data makes it the last		-			n/a: no request here has any
 *	GP-PRQ-07	overflow cleared at an empty queue	-			n/a: no queue that could overflow; without a free group the access waits
 *	GP-PRQ-08	bad request in the middle of a group	dropped, no answer	n/a: each request is the last of its group
 *
 *	PASID allocator (ioasid); viommu/pasid.h has its place
 *	GP-IDA-01	32-bit ids, ~0 is none			-			ENOSPC: viommu_pasid_alloc() gives VIOMMU_NO_PASID
 *	GP-IDA-02	lowest free of an inclusive range	-			0: viommu_pasid_alloc()
 *	GP-IDA-03	first custom allocator, ids in use	EAGAIN			n/a: no custom allocators; a real host's ids are reserved
 *	GP-IDA-04	the same custom allocator again		EEXIST			n/a: no custom allocators
 *	GP-IDA-05	custom allocators that share functions	-			n/a: no custom allocators
 *	GP-IDA-06	custom id that is taken already		INVALID			EEXIST: viommu_pasid_reserve()
 *	GP-IDA-07	custom allocator is unregistered	-			n/a: no custom allocators
 *	GP-IDA-08	data for an id that is not allocated	ENOENT			ENOENT: viommu_pasid_map()
 *	GP-IDA-09	find: not allocated			ENOENT			ENOENT: viommu_pasid_get(), _to_guest()
 *	GP-IDA-10	find: another set			EACCES			EPERM: viommu_pasid_get()
 *	GP-IDA-11	find: the caller's getter refuses	NULL			n/a: no getter
 *	GP-IDA-12	the last reference frees		-			EBUSY: viommu_pasid_free() while one is left
 *	GP-IDA-13	custom free comes before the erasure	-			n/a: no custom allocators
 *	GP-IDA-14	one more custom allocator		queued, the first works	n/a: no custom allocators
 *	GP-IDA-15	data is changed while somebody reads it	waits for readers	n/a: viommu_pasid_to_host() copies under the lock
 *	GP-IDA-16	allocator goes, ids in use		0, with a warning	EBUSY: viommu_owner_free() while one is bound
 *
 *	Virtual commands of a guest (the registers: rules VTD-VCMD-01 to -06 of the ledger)
 *	GP-VC-01	guest without ECAP.VCS, CM or the PASID bit	allocates by itself	n/a: what the unit announces, viommu_guest_profile(); rule VTD-VCMD-03
 *	GP-VC-02	two layouts of the registers		by kernel version	n/a: VIOMMU_GUEST_VCMD, VIOMMU_GUEST_VCMD_OLD; rules VTD-VCMD-01, -06
 *	GP-VC-03	range from 1 to the guest's maximum	asked for, the host chooses	n/a: viommu_pasid_alloc() takes the range
 *	GP-VC-04	no PASID left				ENOSPC			n/a: a status in VCRSP; ENOSPC of viommu_pasid_alloc()
 *	GP-VC-05	any other status			ENODEV			n/a: an errno inside of the guest
 *	GP-VC-06	command while one is in progress	ignored (QEMU's proposal)	n/a: rule VTD-VCMD-05
 *	GP-VC-07	allocator cannot be registered		scalable mode goes off	n/a: a choice inside of the guest
 *
 *	The calls of VFIO that were proposed and never merged
 *	GP-VF-01	allocate, free in a range		-			0: viommu_pasid_alloc(), _free()
 *	GP-VF-02	bind, unbind, invalidate by one call	-			n/a: a function for each, with the same bytes
 *	GP-VF-03	unknown operation			EINVAL			n/a: no operation is a number here
 *	GP-VF-04	bind fails for one device of a group	all are unbound		n/a: a call is for one device; a bind that fails changed nothing
 *
 * And of the library underneath: -ENOMEM (an invalidation and a response allocate nothing).
 */
#ifndef VIOMMU_GPASID_H
#define VIOMMU_GPASID_H

#include <viommu/host.h>
#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Bind and unbind ------------------------------------------------------------------------- */

#define VIOMMU_GPASID_VERSION    1u
#define VIOMMU_GPASID_FORMAT_VTD 1u
/* flags */
#define VIOMMU_GPASID_DATA_VALID 0x1u /* gpasid is valid */
/* vtd.flags */
#define VIOMMU_GPASID_VTD_SRE  0x01u
#define VIOMMU_GPASID_VTD_EAFE 0x02u
#define VIOMMU_GPASID_VTD_PCD  0x04u
#define VIOMMU_GPASID_VTD_PWT  0x08u
#define VIOMMU_GPASID_VTD_EMTE 0x10u
#define VIOMMU_GPASID_VTD_CD   0x20u
#define VIOMMU_GPASID_VTD_WPE  0x40u /* since v5.13 */

struct viommu_gpasid_vtd {
	uint64_t flags;
	uint32_t pat; /* memory type: not looked at, since the flags that use it are refused */
	uint32_t emt;
};

struct viommu_gpasid_bind_data { /* 72 bytes */
	uint32_t argsz;
	uint32_t version;
	uint32_t format;
	uint32_t addr_width;
	uint64_t flags;
	uint64_t gpgd;
	uint64_t hpasid;
	uint64_t gpasid;
	uint8_t padding[8];
	struct viommu_gpasid_vtd vtd;
};

struct viommu_gpasid_bind_data_v55 { /* 72 bytes */
	uint32_t version;
	uint32_t format;
	uint64_t flags;
	uint64_t gpgd;
	uint64_t hpasid;
	uint64_t gpasid;
	uint32_t addr_width;
	uint8_t padding[12];
	struct viommu_gpasid_vtd vtd;
};

/*
 * Bind a guest's tables to hpasid on a device; unbind looks at nothing but hpasid, after the core's
 * checks.
 */
VIOMMU_API int viommu_gpasid_bind(struct viommu_domain *dom, struct viommu_device *dev,
				  const void *data, size_t bytes);
VIOMMU_API int viommu_gpasid_unbind(struct viommu_domain *dom, struct viommu_device *dev,
				    const void *data, size_t bytes);
VIOMMU_API int viommu_gpasid_bind_v55(struct viommu_domain *dom, struct viommu_device *dev,
				      const void *data, size_t bytes);
VIOMMU_API int viommu_gpasid_unbind_v55(struct viommu_domain *dom, struct viommu_device *dev,
					const void *data, size_t bytes);

/* ---- Invalidation ---------------------------------------------------------------------------- */

/* cache */
#define VIOMMU_GPASID_CACHE_IOTLB     0x1u
#define VIOMMU_GPASID_CACHE_DEV_IOTLB 0x2u
#define VIOMMU_GPASID_CACHE_PASID     0x4u
/* granularity */
#define VIOMMU_GPASID_GRANU_DOMAIN 0u
#define VIOMMU_GPASID_GRANU_PASID  1u
#define VIOMMU_GPASID_GRANU_ADDR   2u
/* flags of both infos */
#define VIOMMU_GPASID_INV_PASID  0x1u /* pasid is valid */
#define VIOMMU_GPASID_INV_ARCHID 0x2u /* archid is valid */
#define VIOMMU_GPASID_INV_LEAF   0x4u /* addr_info alone */

struct viommu_gpasid_inv_pasid { /* 16 bytes */
	uint32_t flags;
	uint32_t archid;
	uint64_t pasid;
};

struct viommu_gpasid_inv_addr { /* 40 bytes */
	uint32_t flags;
	uint32_t archid;
	uint64_t pasid;
	uint64_t addr;
	uint64_t granule_size;
	uint64_t nb_granules;
};

struct viommu_gpasid_inv_info { /* 56 bytes */
	uint32_t argsz;
	uint32_t version;
	uint8_t cache;
	uint8_t granularity;
	uint8_t padding[6];
	union {
		struct viommu_gpasid_inv_pasid pasid;
		struct viommu_gpasid_inv_addr addr;
	} granu;
};

struct viommu_gpasid_inv_info_v55 { /* 48 bytes */
	uint32_t version;
	uint8_t cache;
	uint8_t granularity;
	uint8_t padding[2];
	union {
		struct viommu_gpasid_inv_pasid pasid;
		struct viommu_gpasid_inv_addr addr;
	} granu;
};

/*
 * The IOTLB is the domain's: what is dropped from it is dropped for the PASID on every device, and
 * from their own caches. DEV_IOTLB alone drops from the cache of dev.
 */
VIOMMU_API int viommu_gpasid_invalidate(struct viommu_domain *dom, struct viommu_device *dev,
					const void *data, size_t bytes);
VIOMMU_API int viommu_gpasid_invalidate_v55(struct viommu_domain *dom, struct viommu_device *dev,
					    const void *data, size_t bytes);

/* ---- Page responses -------------------------------------------------------------------------- */

/* flags */
#define VIOMMU_GPASID_RESP_PASID 0x1u /* pasid is valid */
/* code */
#define VIOMMU_GPASID_RESP_SUCCESS 0u
#define VIOMMU_GPASID_RESP_INVALID 1u
#define VIOMMU_GPASID_RESP_FAILURE 2u

struct viommu_gpasid_response { /* 24 bytes */
	uint32_t argsz;
	uint32_t version;
	uint32_t flags;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t code;
};

struct viommu_gpasid_response_v55 { /* 20 bytes */
	uint32_t version;
	uint32_t flags;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t code;
};

VIOMMU_API int viommu_gpasid_page_response(struct viommu_domain *dom, struct viommu_device *dev,
					   const void *data, size_t bytes);
VIOMMU_API int viommu_gpasid_page_response_v55(struct viommu_domain *dom, struct viommu_device *dev,
					       const void *data, size_t bytes);

/* ---- Faults and page requests, on their way up ----------------------------------------------- */

/* type */
#define VIOMMU_GPASID_FAULT_EVENT 1u /* an access ended */
#define VIOMMU_GPASID_FAULT_PAGE  2u /* a page request */
/* perm */
#define VIOMMU_GPASID_PERM_READ  0x1u
#define VIOMMU_GPASID_PERM_WRITE 0x2u
#define VIOMMU_GPASID_PERM_EXEC  0x4u
#define VIOMMU_GPASID_PERM_PRIV  0x8u
/* event.flags */
#define VIOMMU_GPASID_EVENT_PASID 0x1u /* pasid is valid */
#define VIOMMU_GPASID_EVENT_ADDR  0x2u
#define VIOMMU_GPASID_EVENT_FETCH 0x4u /* fetch_addr is valid */
/* prm.flags */
#define VIOMMU_GPASID_PRM_PASID       0x1u /* pasid is valid */
#define VIOMMU_GPASID_PRM_LAST        0x2u
#define VIOMMU_GPASID_PRM_PRIV_DATA   0x4u /* never set */
#define VIOMMU_GPASID_PRM_NEEDS_PASID 0x8u /* the response needs it; not in the _v55 form */

enum viommu_gpasid_reason {
	VIOMMU_GPASID_REASON_UNKNOWN = 0,
	VIOMMU_GPASID_REASON_PASID_FETCH = 1,     /* PASID directory or table could not be read */
	VIOMMU_GPASID_REASON_BAD_PASID_ENTRY = 2, /* it says something that is not allowed */
	VIOMMU_GPASID_REASON_PASID_INVALID = 3,   /* out of range, not present, not enabled */
	VIOMMU_GPASID_REASON_WALK_EABT = 4, /* page-table entry could not be read or updated */
	VIOMMU_GPASID_REASON_PTE_FETCH = 5, /* page-table entry is not present or not valid */
	VIOMMU_GPASID_REASON_PERMISSION = 6,
	VIOMMU_GPASID_REASON_ACCESS = 7,      /* access flag: not in VT-d's tables */
	VIOMMU_GPASID_REASON_OOR_ADDRESS = 8, /* address out of range */
};

struct viommu_gpasid_fault_event {
	uint32_t reason; /* enum viommu_gpasid_reason */
	uint32_t flags;
	uint32_t pasid;
	uint32_t perm;
	uint64_t addr;
	uint64_t fetch_addr;
};

struct viommu_gpasid_fault_prm {
	uint32_t flags;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t perm;
	uint64_t addr;
	uint64_t private_data[2];
};

struct viommu_gpasid_fault { /* 64 bytes, the same in both forms */
	uint32_t type;
	uint32_t padding;
	union {
		struct viommu_gpasid_fault_event event;
		struct viommu_gpasid_fault_prm prm;
		uint8_t padding2[56];
	} u;
};

/*
 * For the callbacks of struct viommu_host_ops: what they are given, in the historical form. Every
 * byte is written.
 */
VIOMMU_API void viommu_gpasid_from_fault(const struct viommu_fault *fault,
					 struct viommu_gpasid_fault *out);
VIOMMU_API void viommu_gpasid_from_fault_v55(const struct viommu_fault *fault,
					     struct viommu_gpasid_fault *out);
VIOMMU_API void viommu_gpasid_from_page_request(const struct viommu_page_request *req,
						struct viommu_gpasid_fault *out);
VIOMMU_API void viommu_gpasid_from_page_request_v55(const struct viommu_page_request *req,
						    struct viommu_gpasid_fault *out);

#ifdef __cplusplus
}
#endif
#endif
