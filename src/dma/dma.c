/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA objects: their life, sections, plain translation, and what happens to an access that faulted.
 */
#include "dma/access.h"

/*
 * Page requests that one access sends for one page before it gives up: a handler may say yes and do
 * nothing.
 */
#define MAX_REQUESTS 16u

int viommu_dma_new(struct viommu_host *host, struct viommu_dma **out)
{
	struct viommu_dma *dma = viommu__alloc_aligned(64, sizeof(*dma));

	*out = NULL;
	if (!dma)
		return -ENOMEM;
	dma->host = host;
	dma->last = &dma->slot[0];
	pthread_mutex_lock(&host->lock);
	host->nr_dma++;
	host->dma_bytes += sizeof(*dma);
	pthread_mutex_unlock(&host->lock);
	viommu__marker_add(&host->markers, &dma->marker);
	*out = dma;
	return 0;
}

void viommu_dma_free(struct viommu_dma *dma)
{
	struct viommu_host *host;

	if (!dma)
		return;
	host = dma->host;
	viommu__marker_del(&host->markers, &dma->marker);
	pthread_mutex_lock(&host->lock);
	host->nr_dma--;
	host->dma_bytes -= sizeof(*dma);
	pthread_mutex_unlock(&host->lock);
	viommu__free(dma);
}

void viommu_dma_begin(struct viommu_dma *dma)
{
	viommu__marker_enter(&dma->marker);
}

void viommu_dma_end(struct viommu_dma *dma)
{
	viommu__marker_leave(&dma->marker);
}

int viommu_dma_translate(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
			 uint64_t addr, uint32_t access, struct viommu_dma_span *out)
{
	VIOMMU_DEBUG_ASSERT(viommu__marker_inside(&dma->marker));
	return dma_translate(dma, dev, pasid, addr, access, out);
}

const struct viommu_fault *viommu_dma_fault(const struct viommu_dma *dma)
{
	return &dma->fault;
}

void viommu_dma_stats(const struct viommu_dma *dma, struct viommu_dma_stats *out)
{
	*out = dma->stats;
}

/*
 * Would an ATS translation request have got an answer without error, so that a device asks for the
 * page?
 */
static bool recoverable(const struct viommu_fault *fault)
{
	enum viommu_outcome o;

	if (fault->stage == VIOMMU_STAGE_PATH || (fault->flags & VIOMMU_FAULT_HOST))
		return false;
	o = viommu_fault_outcome(fault->reason, VIOMMU_REQ_TRANSLATION);
	return o == VTD_OUT_S0 || o == VTD_OUT_SP;
}

bool viommu__access_absent(const struct viommu_fault *fault)
{
	return fault->stage == VIOMMU_STAGE_PATH &&
	       (fault->reason == VTD_FR_PE_NP || fault->reason == VTD_FR_PDIR_NP);
}

/* The callback may bind, and may say the fault; who asked for what stays. */
int viommu__access_miss(struct access *a)
{
	const struct viommu_host_ops *ops = a->dev->ops;
	const struct viommu_fault asked = a->fault;

	if (a->missed || !ops->miss)
		return -EPERM;
	a->missed = true;
	if (!ops->miss(ops->ctx, a->dev, a->pasid, &a->fault))
		return 0;
	a->fault.sid = asked.sid;
	a->fault.pasid = asked.pasid;
	a->fault.addr = asked.addr;
	a->fault.access = asked.access;
	a->fault.request = asked.request;
	return -EPERM;
}

int viommu__access_gate(struct access *a, uint64_t addr, uint32_t access)
{
	struct viommu__path_snapshot snap;
	int ret;

	if (likely(load_acquire(&a->dev->gates) & VIOMMU_DEVICE_ATS))
		return 0;
	ret = viommu__dma_path(a->dma, a->dev, a->pasid, addr, access, VIOMMU_REQ_TRANSLATION,
			       &snap);
	if (ret == VIOMMU_FAULTED)
		viommu__dma_fault(a->dma, &snap.path.fault, a->dev, a->pasid, access, addr);
	return ret;
}

/* Is it to be told? By translation requests, only what those end in an error for. */
static bool recorded(const struct access *a)
{
	uint8_t reason = a->fault.reason;

	if (a->fault.flags & VIOMMU_FAULT_FPD)
		return false;
	return !(a->flags & VIOMMU_DMA_ATS) ||
	       viommu_fault_is_logged(reason, viommu_fault_outcome(reason, a->fault.request));
}

/*
 * The context entry admits no page request, so the one that this access sent is answered Invalid
 * Request, and is the fault that is recorded (VTD-FLT-142).
 */
static void page_request_refused(struct access *a)
{
	const struct viommu_fault refused = {
		.reason = VTD_FR_SCE_PRE,
		.stage = VIOMMU_STAGE_PATH,
		.flags = a->fault.flags & VIOMMU_FAULT_HAS_PASID,
		.sid = a->fault.sid,
		.access = a->fault.access,
		.request = VIOMMU_REQ_PAGE,
		.pasid = a->fault.pasid,
		.addr = a->fault.addr,
		.stage_addr = a->fault.addr,
		.entry_addr = (uintptr_t)a->dev->sce,
		.entry = load_relaxed(&a->dev->sce[0]),
	};

	a->fault = refused;
	a->response = VIOMMU_RESPONSE_INVALID;
}

/* Nothing but an answer to a page request is waited for here. Outside of any section. */
static int recover(struct access *a)
{
	struct viommu_host *host = a->dma->host;
	int ret;

	if (viommu__mem_lost_count() != a->lost) {
		/*
		 * A file was truncated: its regions leave, then the access sees a hole, or goes on.
		 */
		viommu__host_reap_lost(host);
		a->lost = load_acquire(&host->lost_seen);
		return 0;
	}
	if (viommu__access_absent(&a->fault))
		return viommu__access_miss(a);
	if ((a->dev->flags & VIOMMU_DEVICE_PRI) && !(a->flags & VIOMMU_DMA_NO_PRI) &&
	    recoverable(&a->fault) && a->asked < MAX_REQUESTS) {
		a->asked++;
		a->dma->stats.page_requests++;
		ret = viommu__request_page(a->dev, a->pasid, a->fault.addr, a->fault.access,
					   a->flags & VIOMMU_DMA_NO_WAIT, &a->response);
		if (ret != -EACCES)
			return ret;
		page_request_refused(a);
	}
	return -EPERM;
}

/*
 * What a device with ATS meets it meets by a translation request, which knows no atomics: it asks
 * for permission to read and to write (VTD-FREC-02, VTD-FREC-03).
 */
static void as_asked(struct access *a)
{
	if (!(a->flags & VIOMMU_DMA_ATS) || a->fault.request != VIOMMU_REQ_UNTRANSLATED)
		return;
	a->fault.request = VIOMMU_REQ_TRANSLATION;
	if (a->fault.access & VIOMMU_ATOMIC) {
		a->fault.access &= (uint8_t)~VIOMMU_ATOMIC;
		a->fault.access |= VIOMMU_READ | VIOMMU_WRITE;
	}
}

int viommu__access_recover(struct access *a)
{
	const struct viommu_host_ops *ops = a->dev->ops;
	int ret;

	viommu__marker_leave(&a->dma->marker);
	as_asked(a);
	ret = recover(a);
	if (ret && ret != -EAGAIN) {
		a->dma->stats.faults++;
		if (recorded(a) && ops->fault)
			ops->fault(ops->ctx, a->dev, &a->fault);
		ret = VIOMMU_FAULTED;
	}
	viommu__marker_enter(&a->dma->marker);
	return ret;
}

int viommu__access_lost(struct access *a)
{
	viommu__marker_leave(&a->dma->marker);
	viommu__host_reap_lost(a->dma->host);
	a->lost = load_acquire(&a->dma->host->lost_seen);
	viommu__marker_enter(&a->dma->marker);
	return 0;
}
