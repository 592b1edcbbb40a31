/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A job's accesses to guest memory, and what a fault of one means for its completion record.
 *
 * With ATS a device asks for translations: a missing page is asked for (block on fault, or what is
 * always asked for) or is a page fault; a request that ends in an error is another status. Without
 * ATS writes are posted, so their faults are not known here: the bytes are lost, and the job goes
 * on.
 *
 * While the function pauses an access that waits for its page ends with -EAGAIN: the job is
 * suspended, its request stays, and the access that comes again finds it or its answer.
 *
 * The guest's PASID becomes the host's for each access anew: a host PASID that was given back
 * meanwhile may be somebody else's.
 */
#include "dev/dsa/dsa.h"

static bool may_ask(const struct dsa_job *job, unsigned int how)
{
	return job->prs && (how & DSA_ALWAYS || job->flags & DSA_FLAG_BOF);
}

static uint32_t dma_flags(const struct dsa_job *job, unsigned int how)
{
	uint32_t flags = may_ask(job, how) ? 0 : VIOMMU_DMA_NO_PRI;

	/* Never VIOMMU_PRIV: a queue with PASID cannot be privileged (command.c). */
	if (job->ats)
		flags |= VIOMMU_DMA_ATS;
	return flags;
}

/* Who asks, for the host. False: the guest's PASID has no place there. */
static bool requester(const struct dsa_job *job, struct viommu_device **dev, uint32_t *pasid)
{
	*dev = viommu_pci_device(job->dsa->pci);
	*pasid = VIOMMU_NO_PASID;
	if (!*dev)
		return false;
	return job->pasid == VIOMMU_NO_PASID || !viommu_pci_pasid(job->dsa->pci, job->pasid, pasid);
}

/* A missing page, or a missing PASID entry, as a translation request sees them. */
static unsigned int missing(const struct dsa_job *job, unsigned int how, uint32_t asked,
			    uint32_t response)
{
	if (!may_ask(job, how))
		return DSA_ST_PAGE_FAULT;
	/*
	 * A page request that goes nowhere, as one for a PASID that is not present, is answered
	 * invalid. After Response Failure nothing is asked any more; and one that is answered with
	 * success again and again while nothing changes ends like that, too.
	 */
	if (!asked || response == VIOMMU_RESPONSE_INVALID)
		return DSA_ST_PAGE_INVALID;
	return DSA_ST_TRANSLATION;
}

static unsigned int faulted(struct dsa_job *job, unsigned int how,
			    const struct viommu_dma_result *res)
{
	enum viommu_outcome o;

	job->fault_addr = res->fault.addr;
	job->fault_write = res->fault.access & VIOMMU_WRITE;
	if (!job->ats)
		return DSA_ST_READ;
	o = viommu_fault_outcome(res->fault.reason, VIOMMU_REQ_TRANSLATION);
	if (o != VTD_OUT_S0 && o != VTD_OUT_SP)
		return DSA_ST_TRANSLATION;
	return missing(job, how, res->asked, res->response);
}

static unsigned int nowhere(struct dsa_job *job, unsigned int how, uint64_t addr, bool write)
{
	job->fault_addr = addr;
	job->fault_write = write;
	if (!job->ats)
		return DSA_ST_READ;
	return missing(job, how, 0, 0);
}

/* What of [addr, addr + bytes) lies before the end of the address space. */
static uint32_t to_end(uint64_t addr, uint32_t bytes)
{
	return addr && 0 - addr < bytes ? (uint32_t)(0 - addr) : bytes;
}

static uint32_t to_page(uint64_t addr, uint32_t bytes)
{
	return (uint32_t)min_u64(bytes, 4096 - (addr & 4095));
}

enum kind {
	READ,
	WRITE,
	FILL
};

static unsigned int run(struct dsa_job *job, enum kind kind, uint64_t addr, uint8_t *buf,
			uint64_t pattern, uint32_t bytes, unsigned int how, uint32_t *done)
{
	uint32_t flags = dma_flags(job, how), pasid, n, phase;
	struct viommu_dma_result res;
	struct viommu_device *dev;
	int ret;

	for (*done = 0; *done < bytes; *done += n) {
		uint64_t at = addr + *done;

		if (!requester(job, &dev, &pasid)) {
			if (job->ats || kind == READ)
				return nowhere(job, how, at, kind != READ);
			n = bytes - *done;
			continue;
		}
		n = to_end(at, bytes - *done);
		phase = 8 * (*done & 7);
		if (kind == READ)
			ret = viommu_dma_read(job->dma, dev, pasid, at, buf + *done, n, flags,
					      &res);
		else if (kind == WRITE)
			ret = viommu_dma_write(job->dma, dev, pasid, at, buf + *done, n, flags,
					       &res);
		else
			ret = viommu_dma_fill(job->dma, dev, pasid, at,
					      phase ? pattern >> phase | pattern << (64 - phase)
						    : pattern,
					      n, flags, &res);
		if (!ret)
			continue;
		if (ret == -EAGAIN) {
			*done += (uint32_t)res.done;
			return DSA_SUSPENDED;
		}
		if (ret < 0) /* a host device that cannot send what the function may */
			return nowhere(job, how, at, kind != READ);
		*done += (uint32_t)res.done;
		if (job->ats || kind == READ)
			return faulted(job, how, &res);
		n = to_page(addr + *done, bytes - *done);
	}
	return 0;
}

unsigned int viommu__dsa_read(struct dsa_job *job, uint64_t addr, void *buf, uint32_t bytes,
			      unsigned int how, uint32_t *done)
{
	return run(job, READ, addr, buf, 0, bytes, how, done);
}

unsigned int viommu__dsa_write(struct dsa_job *job, uint64_t addr, const void *buf, uint32_t bytes,
			       unsigned int how, uint32_t *done)
{
	/* Only read. */
	return run(job, WRITE, addr, (uint8_t *)(uintptr_t)buf, 0, bytes, how, done);
}

unsigned int viommu__dsa_fill(struct dsa_job *job, uint64_t addr, uint64_t pattern, uint32_t bytes,
			      uint32_t *done)
{
	return run(job, FILL, addr, NULL, pattern, bytes, 0, done);
}

unsigned int viommu__dsa_copy(struct dsa_job *job, uint64_t dst, uint64_t src, uint32_t bytes,
			      uint32_t *done)
{
	uint32_t flags = dma_flags(job, 0), pasid, n;
	struct viommu_dma_result res;
	struct viommu_device *dev;
	int ret;

	for (*done = 0; *done < bytes; *done += n) {
		uint64_t s = src + *done, d = dst + *done;

		if (!requester(job, &dev, &pasid))
			return nowhere(job, 0, s, false);
		n = to_end(s, to_end(d, bytes - *done));
		ret = viommu_dma_copy(job->dma, dev, pasid, d, pasid, s, n, flags, &res);
		if (!ret)
			continue;
		if (ret == -EAGAIN) {
			*done += (uint32_t)res.done;
			return DSA_SUSPENDED;
		}
		if (ret < 0)
			return nowhere(job, 0, s, false);
		*done += (uint32_t)res.done;
		if (job->ats || !(res.fault.access & VIOMMU_WRITE))
			return faulted(job, 0, &res);
		n = to_page(dst + *done, bytes - *done);
	}
	return 0;
}

unsigned int viommu__dsa_probe(struct dsa_job *job, uint64_t addr)
{
	struct viommu_dma_result res;
	struct viommu_dma_span span;
	struct viommu_device *dev;
	uint32_t pasid;
	uint64_t old;
	int ret;

	if (!job->ats)
		return 0;
	if (!requester(job, &dev, &pasid))
		return nowhere(job, DSA_ALWAYS, addr, true);
	viommu_dma_begin(job->dma);
	ret = viommu_dma_translate(job->dma, dev, pasid, addr, VIOMMU_WRITE, &span);
	viommu_dma_end(job->dma);
	if (ret != VIOMMU_FAULTED)
		return 0;
	/* The page is not there, so nobody looks at it: an atomic that adds nothing asks for it. */
	ret = viommu_dma_atomic(job->dma, dev, pasid, addr, 8, VIOMMU_ATOMIC_FETCH_ADD, 0, 0,
				dma_flags(job, DSA_ALWAYS), &old, &res);
	if (ret == -EAGAIN)
		return DSA_SUSPENDED;
	if (ret < 0)
		return nowhere(job, DSA_ALWAYS, addr, true);
	return ret ? faulted(job, DSA_ALWAYS, &res) : 0;
}
