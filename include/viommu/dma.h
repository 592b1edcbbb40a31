/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/dma.h - what a device model sees: memory by (device, PASID, address).
 *
 * Each thread that does DMA owns one struct viommu_dma: its translation caches (32 KiB) and its
 * in-flight marker. An access is translated through the stages bound to (device, PASID) and copies
 * bytes at once; nothing is copied that a permission or an invalidation forbids.
 *
 * Results. 0: all bytes done. VIOMMU_FAULTED: res->fault says why, res->done how many bytes were
 * done before it. -EAGAIN: only with VIOMMU_DMA_NO_WAIT, or while the device's function is paused
 * (viommu_pci_pausing()): a page request is open; repeat the access after it was answered, or in a
 * later run; res->done says how many bytes were done. -EINVAL: bad argument.
 *
 * Synchronisation: one object belongs to one thread at a time; any number of objects work at once,
 * with each other and with every call of viommu/host.h. A span from viommu_dma_translate() may be
 * used until viommu_dma_end().
 */
#ifndef VIOMMU_DMA_H
#define VIOMMU_DMA_H

#include <viommu/host.h>
#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_dma;

/* 0, -ENOMEM. */
VIOMMU_API int viommu_dma_new(struct viommu_host *host, struct viommu_dma **out);
/* NULL is allowed. */
VIOMMU_API void viommu_dma_free(struct viommu_dma *dma);

/* flags of accesses, besides VIOMMU_PRIV (with PASID) and VIOMMU_EXEC of types.h */
/* destination is not wanted in the caches: non-temporal stores */
#define VIOMMU_DMA_NO_ALLOCATE 0x100u
#define VIOMMU_DMA_NO_WAIT     0x200u /* a page request does not park the access: -EAGAIN */
#define VIOMMU_DMA_NO_PRI      0x400u /* no page request: a missing page is a fault */

/*
 * The access goes as a device with ATS makes it, by translation requests: what such a request gets
 * an answer without error for (a missing page, a missing permission) ends the access as any fault
 * does, but is not told to the host's fault callback. Needs VIOMMU_DEVICE_ATS.
 */
#define VIOMMU_DMA_ATS 0x800u

struct viommu_dma_result {
	uint64_t done; /* bytes */
	/* The rest only when VIOMMU_FAULTED was returned: */
	struct viommu_fault fault;
	uint32_t asked;    /* page requests sent for the page that faulted */
	uint32_t response; /* VIOMMU_RESPONSE_* of the last of them */
};

/*
 * pasid: a host PASID, or VIOMMU_NO_PASID. res may be NULL. bytes 0 is a zero-length read, or
 * nothing for a write.
 */
VIOMMU_API int viommu_dma_read(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
			       uint64_t addr, void *buf, size_t bytes, uint32_t flags,
			       struct viommu_dma_result *res);
VIOMMU_API int viommu_dma_write(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
				uint64_t addr, const void *buf, size_t bytes, uint32_t flags,
				struct viommu_dma_result *res);
/* Repeats the 8 bytes of pattern (little-endian, from addr on). */
VIOMMU_API int viommu_dma_fill(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
			       uint64_t addr, uint64_t pattern, size_t bytes, uint32_t flags,
			       struct viommu_dma_result *res);
/*
 * Copy between two addresses of one device, also of two PASIDs. Ranges that overlap in the same
 * PASID give what memmove() gives. fault.addr tells which side faulted (fault.access: VIOMMU_READ
 * the source).
 */
VIOMMU_API int viommu_dma_copy(struct viommu_dma *dma, struct viommu_device *dev,
			       uint32_t dst_pasid, uint64_t dst, uint32_t src_pasid, uint64_t src,
			       size_t bytes, uint32_t flags, struct viommu_dma_result *res);

/* Scatter lists: segments one after the other from / to one buffer. */
struct viommu_dma_seg {
	uint64_t addr;
	uint64_t bytes;
};
VIOMMU_API int viommu_dma_readv(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
				const struct viommu_dma_seg *seg, size_t nr, void *buf,
				uint32_t flags, struct viommu_dma_result *res);
VIOMMU_API int viommu_dma_writev(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
				 const struct viommu_dma_seg *seg, size_t nr, const void *buf,
				 uint32_t flags, struct viommu_dma_result *res);

/*
 * Atomics, as PCIe has them: 4 or 8 bytes, naturally aligned (-EINVAL). Need read and write
 * permission.
 */
enum viommu_atomic_op {
	VIOMMU_ATOMIC_FETCH_ADD = 1,
	VIOMMU_ATOMIC_SWAP = 2,
	VIOMMU_ATOMIC_CAS = 3,
};
/* *old receives the value before. compare is used by CAS. */
VIOMMU_API int viommu_dma_atomic(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
				 uint64_t addr, unsigned bytes, enum viommu_atomic_op op,
				 uint64_t operand, uint64_t compare, uint32_t flags, uint64_t *old,
				 struct viommu_dma_result *res);

/* A batch: independent operations, translated together so that their memory latencies overlap. */
enum viommu_dma_kind {
	VIOMMU_DMA_READ = 1,
	VIOMMU_DMA_WRITE = 2,
	VIOMMU_DMA_FILL = 3,
};
struct viommu_dma_op {
	struct viommu_device *dev;
	uint32_t pasid;
	uint32_t kind; /* enum viommu_dma_kind */
	uint64_t addr;
	void *buf; /* READ: destination, WRITE: source */
	uint64_t bytes;
	uint64_t pattern; /* FILL */
	uint32_t flags;
	int status;                   /* out: as the single call returns */
	struct viommu_dma_result res; /* out */
};
/* Every operation gets its status; their order is not defined. Returns how many have status 0. */
VIOMMU_API size_t viommu_dma_batch(struct viommu_dma *dma, struct viommu_dma_op *ops, size_t nr);

/* ---- Translation alone ----------------------------------------------------------------------- */

/*
 * Between begin and end, spans stay valid: unbind, invalidation and the removal of memory wait for
 * the end. Keep it short, call nothing of viommu/host.h in between. They do not nest.
 */
VIOMMU_API void viommu_dma_begin(struct viommu_dma *dma);
VIOMMU_API void viommu_dma_end(struct viommu_dma *dma);

struct viommu_dma_span {
	void *host;     /* the byte at addr */
	uint64_t bytes; /* how many follow in the same page */
};
/*
 * access: VIOMMU_READ, _WRITE, _PRIV, _ATOMIC. Never parks: a missing page is a fault, which
 * viommu_dma_fault() has. 0, VIOMMU_FAULTED, -EINVAL. Faults are not reported to the host's fault
 * callback, and the miss callback is not called.
 */
VIOMMU_API int viommu_dma_translate(struct viommu_dma *dma, struct viommu_device *dev,
				    uint32_t pasid, uint64_t addr, uint32_t access,
				    struct viommu_dma_span *out);
/* The fault of this object's last translation that returned VIOMMU_FAULTED. */
VIOMMU_API const struct viommu_fault *viommu_dma_fault(const struct viommu_dma *dma);

/* Counts of one object since it was made. */
struct viommu_dma_stats {
	uint64_t misses; /* translations that found nothing in the cache */
	uint64_t walks;  /* of these: walks from the top */
	uint64_t reads;  /* table entries read */
	uint64_t faults;
	uint64_t page_requests;
};
VIOMMU_API void viommu_dma_stats(const struct viommu_dma *dma, struct viommu_dma_stats *out);

/* ---- ATS ------------------------------------------------------------------------------------- */

#define VIOMMU_ATS_NO_WRITE 0x1u /* NW: no write permission wanted, no dirty bit set */
#define VIOMMU_ATS_PRIV     0x2u

struct viommu_ats_result {
	uint64_t addr; /* translated address (HPA), aligned to its size */
	uint8_t size_lg2;
	uint8_t perm;     /* VIOMMU_READ | VIOMMU_WRITE; 0 = no translation: send a page request */
	uint8_t no_snoop; /* N: the device must not use No-Snoop */
	uint8_t priv;
	/* U: not translated, only untranslated requests may use it (the interrupt window) */
	uint8_t untranslated;
	uint8_t reserved[3];
};

/*
 * A translation request. 0 (perm may be 0: viommu_dma_fault() says why), VIOMMU_FAULTED (the
 * request ended UR or CA), -EINVAL (device without ATS). Asks the miss callback where nothing is
 * bound; never asks for a page. A result without PASID never reaches into the interrupt window:
 * there it is untranslated, for writing only, or nothing with NO_WRITE. On a host without ECAP.NWFS
 * NO_WRITE is ignored, so the page may be dirtied.
 */
VIOMMU_API int viommu_ats_translate(struct viommu_dma *dma, struct viommu_device *dev,
				    uint32_t pasid, uint64_t addr, uint32_t flags,
				    struct viommu_ats_result *out, struct viommu_fault *fault);

/* The result as a completion has it on the wire (VTD_ATS_* of viommu/vtd.h). */
VIOMMU_API uint64_t viommu_ats_item(const struct viommu_ats_result *result);

/*
 * A device TLB: caches translations of one device, honours invalidations, sends page requests for
 * what is missing. Accesses use translated requests, in the interrupt window untranslated ones.
 * Results and errors are those of viommu_dma_read() and _write(). Belongs to the device: freed
 * before it. Any number of threads, each with its own dma.
 */
struct viommu_devtlb;
VIOMMU_API int viommu_devtlb_new(struct viommu_device *dev, unsigned entries,
				 struct viommu_devtlb **out);
VIOMMU_API void viommu_devtlb_free(struct viommu_devtlb *tlb);
VIOMMU_API int viommu_devtlb_read(struct viommu_devtlb *tlb, struct viommu_dma *dma, uint32_t pasid,
				  uint64_t addr, void *buf, size_t bytes, uint32_t flags,
				  struct viommu_dma_result *res);
VIOMMU_API int viommu_devtlb_write(struct viommu_devtlb *tlb, struct viommu_dma *dma,
				   uint32_t pasid, uint64_t addr, const void *buf, size_t bytes,
				   uint32_t flags, struct viommu_dma_result *res);
/* Entries that are valid now, hits and misses so far. */
VIOMMU_API void viommu_devtlb_stats(struct viommu_devtlb *tlb, unsigned *valid, uint64_t *hits,
				    uint64_t *misses);

#ifdef __cplusplus
}
#endif
#endif
