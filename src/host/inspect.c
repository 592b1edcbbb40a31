/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking at a bind without DMA: the path and the walk that a request would take, every step
 * recorded.
 */
#include <string.h>

#include "host/soft.h"
#include "pasid/path.h"
#include "walk/walk.h"

void viommu__bind_stack(const struct viommu_domain *dom, const struct stages *ext,
			const struct viommu_stage *fs, bool hpa_output, struct viommu_stack *out)
{
	struct viommu_stage *st = out->stage;

	out->haw = 0; /* outputs are addresses of this process: no window, no width to check */
	out->mem = dom->mem;
	if (ext) {
		memcpy(st, ext->stage, ext->nr * sizeof(*st));
		st += ext->nr;
	} else if (fs) {
		*st++ = *fs;
	}
	if (hpa_output) {
		if (fs)
			st[-1].flags |= VIOMMU__STAGE_OWN;
	} else {
		*st = dom->stage;
		st++->flags |= VIOMMU__STAGE_OWN;
	}
	out->nr = (uint32_t)(st - out->stage);
}

/* Was it the last stage, the domain's, or its denial of a table that lies right above it? */
static bool by_domain(const struct viommu_stack *stack, const struct viommu_fault *fault)
{
	if (fault->stage + 1u == stack->nr)
		return true;
	return fault->stage + 2u == stack->nr &&
	       (fault->reason == VTD_FR_FS_ROOT_SS_READ || fault->reason == VTD_FR_FS_SS_READ ||
		fault->reason == VTD_FR_FS_SS_WRITE);
}

int viommu__bind_walk(const struct viommu_domain *dom, const struct stages *ext,
		      const struct viommu_stage *fs, bool hpa_output, uint64_t addr,
		      uint32_t access, uint32_t flags, struct viommu_recorder *rec,
		      struct viommu_walk_result *wr)
{
	struct viommu_stack stack;
	unsigned int token;
	int ret = 0;

	viommu__bind_stack(dom, ext, fs, hpa_output, &stack);
	if (!hpa_output) {
		ret = viommu__walk(&stack, addr, access, flags, rec, wr);
		if (ret == VIOMMU_FAULTED && by_domain(&stack, &wr->fault))
			wr->fault.flags |= VIOMMU_FAULT_HOST;
		return ret;
	}
	token = viommu__mem_enter(dom->mem);
	if (stack.nr) {
		ret = viommu__walk(&stack, addr, access, flags, rec, wr);
	} else {
		memset(wr, 0, sizeof(*wr));
		wr->out = addr;
		wr->page_lg2 = 30;
		wr->perm = VIOMMU_PERM_R | VIOMMU_PERM_W | VIOMMU_PERM_SR | VIOMMU_PERM_SW;
	}
	if (!ret)
		ret = viommu__hpa_check(dom, &stack, access, wr);
	viommu__mem_leave(dom->mem, token);
	return ret;
}

void viommu__fault_fpd(struct viommu_fault *fault)
{
	const struct viommu_spec_fault *spec = viommu_fault_find(fault->reason);

	if (spec && spec->qualified)
		fault->flags |= VIOMMU_FAULT_FPD;
}

int viommu__hpa_check(const struct viommu_domain *dom, const struct viommu_stack *stack,
		      uint32_t access, struct viommu_walk_result *wr)
{
	bool write = false, there = false;

	/* The page of page_lg2 bits must lie whole in a region, else it is cut down. */
	for (; !there && wr->page_lg2 >= 12; wr->page_lg2 = wr->page_lg2 > 21 ? 21 : 12) {
		const void *page =
			(const void *)(uintptr_t)align_down(wr->out, BIT64(wr->page_lg2));

		there = viommu__mem_has_host(dom->mem, page, BIT64(wr->page_lg2), &write);
		if (there || wr->page_lg2 == 12)
			break;
	}
	wr->host = there ? (void *)(uintptr_t)wr->out : NULL;
	if (!write)
		wr->perm &= (uint8_t) ~(VIOMMU_PERM_W | VIOMMU_PERM_SW);
	if (there && (write || !(access & (VIOMMU_WRITE | VIOMMU_ATOMIC))))
		return 0;
	/*
	 * choice: memory that is not there, or is not to be written, lies beyond the host's width.
	 */
	wr->fault = (struct viommu_fault){
		.reason = VTD_FR_PT_BEYOND_HAW,
		.flags = VIOMMU_FAULT_HOST,
		.stage = (uint8_t)(stack->nr ? stack->nr - 1 : 0),
		.stage_addr = wr->out,
	};
	return VIOMMU_FAULTED;
}

int viommu_host_walk(struct viommu_device *dev, const struct viommu_path_request *req,
		     uint32_t flags, struct viommu_recorder *rec, struct viommu_path_result *path,
		     struct viommu_walk_result *out)
{
	struct viommu_host *host = dev->host;
	struct viommu_path_request r = *req;
	struct record *record;
	int ret;

	if ((flags & ~VIOMMU_WALK_DRY) ||
	    (r.pasid > VIOMMU_PASID_MAX && r.pasid != VIOMMU_NO_PASID))
		return -EINVAL;
	r.sid = dev->sid;
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&host->lock);
	record = viommu__record(dev, viommu__entry_of(dev, r.pasid));
	ret = viommu__device_path(dev, &r, record && record->sub != dev->sub, rec, path);
	if (!ret && !path->interrupt && !path->zero_read && r.request != VIOMMU_REQ_PAGE &&
	    r.request != VIOMMU_REQ_TRANSLATED) {
		ret = viommu__bind_walk(record->dom, record->ext,
					path->pgtt == VTD_PGTT_NESTED || path->pgtt == VTD_PGTT_FS
						? &path->stack.stage[0]
						: NULL,
					path->pgtt == VTD_PGTT_FS || path->pgtt == VTD_PGTT_PT,
					r.addr, r.access, flags, rec, out);
		if (ret == VIOMMU_FAULTED) {
			out->fault.sid = dev->sid;
			out->fault.pasid = r.pasid;
			out->fault.addr = r.addr;
			out->fault.access = (uint8_t)r.access;
			if (r.pasid != VIOMMU_NO_PASID)
				out->fault.flags |= VIOMMU_FAULT_HAS_PASID;
			if (path->fpd)
				viommu__fault_fpd(&out->fault);
		}
	} else if (ret == VIOMMU_FAULTED) {
		out->fault = path->fault;
	}
	pthread_mutex_unlock(&host->lock);
	return ret;
}
