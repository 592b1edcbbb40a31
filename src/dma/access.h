/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma/access.h - one access of a device model while it runs: spans one after the other, inside
 * sections, with the recovery (miss callback, page request, truncated file) in between.
 */
#ifndef VIOMMU_DMA_ACCESS_H
#define VIOMMU_DMA_ACCESS_H

#include "dma/cache.h"

#define ACCESS_FLAGS                                                               \
	(VIOMMU_PRIV | VIOMMU_EXEC | VIOMMU_DMA_NO_ALLOCATE | VIOMMU_DMA_NO_WAIT | \
	 VIOMMU_DMA_NO_PRI | VIOMMU_DMA_ATS)

/* Most bytes moved in one section: what an invalidation may have to wait for. */
#define SECTION_BYTES (UINT64_C(1) << 21)

struct access {
	struct viommu_dma *dma;
	struct viommu_device *dev;
	uint32_t pasid;
	uint32_t flags;
	uint32_t asked;    /* page requests for the page at hand */
	uint32_t response; /* to the last of them */
	bool missed;
	uint64_t lost; /* truncations known when the bytes were touched */
	struct viommu_fault fault;
};

/*
 * After a fault, inside the section, which is left and entered again. 0: translate again.
 * VIOMMU_FAULTED: reported. -EAGAIN: a page request is open (NO_WAIT).
 */
int viommu__access_recover(struct access *a);

/*
 * Inside the section: does the context entry admit translation requests (VIOMMU_DMA_ATS)? 0, or
 * VIOMMU_FAULTED with the fault in the DMA object.
 */
int viommu__access_gate(struct access *a, uint64_t addr, uint32_t access);

/* Is it that nothing is bound? */
bool viommu__access_absent(const struct viommu_fault *fault);
/*
 * Then, outside of any section: ask the miss callback, once. 0: translate again; -EPERM: a->fault
 * it is.
 */
int viommu__access_miss(struct access *a);

/* Bytes were moved: the next page has its tries to itself. */
static inline void access_progress(struct access *a)
{
	a->asked = 0;
	a->missed = false;
}

static inline void access_init(struct access *a, struct viommu_dma *dma, struct viommu_device *dev,
			       uint32_t pasid, uint32_t flags)
{
	a->dma = dma;
	a->dev = dev;
	a->pasid = pasid;
	a->flags = flags;
	a->response = 0;
	access_progress(a);
	a->lost = load_acquire(&dma->host->lost_seen);
}

/* One span at addr, recovered where that can be. 0, VIOMMU_FAULTED, -errno. */
static inline __attribute__((always_inline)) int access_span(struct access *a, uint64_t addr,
							     uint32_t want,
							     struct viommu_dma_span *span)
{
	uint32_t access = want | (a->flags & (VIOMMU_PRIV | VIOMMU_EXEC));
	int ret;

	for (;;) {
		ret = unlikely(a->flags & VIOMMU_DMA_ATS) ? viommu__access_gate(a, addr, access)
							  : 0;
		if (!ret)
			ret = dma_translate(a->dma, a->dev, a->pasid, addr, access, span);
		if (likely(ret == 0) || ret != VIOMMU_FAULTED)
			return ret;
		a->fault = a->dma->fault;
		ret = viommu__access_recover(a);
		if (ret)
			return ret;
	}
}

/*
 * A span of up to `bytes`, made of as many pages as lie next to each other in this process: one
 * copy for all of them. A page that cannot be had ends it early; the fault comes when the access
 * gets there.
 */
static inline int access_run(struct access *a, uint64_t addr, uint64_t bytes, uint32_t want,
			     struct viommu_dma_span *span)
{
	uint32_t access = want | (a->flags & (VIOMMU_PRIV | VIOMMU_EXEC));
	const struct slot *slot = slot_of(a->dma, a->dev, a->pasid);
	struct viommu_dma_span next;
	int ret = access_span(a, addr, want, span);

	if (ret)
		return ret;
	while (span->bytes < bytes && span->host) {
		uint64_t at = addr + span->bytes, tag = tag_4k(at, slot->tag);
		uint64_t val = set_find(set_4k(a->dma, tag), tag);

		/* In this section the slot stays good; most pages are among the small ones. */
		if (likely(!(val & want) && !(a->flags & (VIOMMU_PRIV | VIOMMU_EXEC)) &&
			   slot->seq == a->dma->marker.seq && cacheable(at))) {
			next.host = (void *)(uintptr_t)(val & ~MASK64(11, 0));
			next.bytes = 4096;
		} else if (dma_translate(a->dma, a->dev, a->pasid, at, access, &next)) {
			break;
		}
		if ((uint8_t *)next.host != (uint8_t *)span->host + span->bytes)
			break;
		span->bytes += next.bytes;
	}
	if (span->bytes > bytes)
		span->bytes = bytes;
	return 0;
}

/*
 * Were the bytes just touched really there? False: a file lost pages meanwhile; do the run again.
 */
static inline bool access_whole(struct access *a)
{
	return likely(viommu__mem_lost_count() == a->lost);
}

/* The region's memory went under the access: outside of the section, take it out of the tables. */
int viommu__access_lost(struct access *a);

static inline void access_done(struct viommu_dma_result *res, uint64_t done, int ret,
			       const struct access *a)
{
	if (!res)
		return;
	res->done = done;
	res->asked = a->asked;
	res->response = a->response;
	if (ret == VIOMMU_FAULTED)
		res->fault = a->fault;
}

#endif /* VIOMMU_DMA_ACCESS_H */
