/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request from device to memory in one call: the table path, then the walk (viommu/path.h). What
 * the walker cannot know is added to its faults: who asked, FPD, and legacy mode's reason codes
 * where no stage says that it is legacy mode.
 */
#include <errno.h>
#include <string.h>

#include <viommu/vtd.h>

#include "base/bits.h"
#include "pasid/path.h"

/*
 * Pass-through tells a device that asks about the interrupt window what it tells it about any other
 * address; only a use of the answer is refused (87h does not come up for it).
 */
static bool path_is_window_query(const struct viommu_path_request *req,
				 const struct viommu_path_result *path)
{
	return req->request == VIOMMU_REQ_TRANSLATION && path->stack.nr == 0 &&
	       viommu__path_in_window(req->addr);
}

/* The walker's fault as the unit reports it. */
static void fault_complete(const struct viommu_path_request *req,
			   const struct viommu_path_result *path, struct viommu_fault *f)
{
	const struct viommu_spec_fault *spec;

	/* Pass-through is no stage, so the walker cannot know that it is legacy mode's. */
	if (path->legacy && f->reason == VTD_FR_PT_BEYOND_HAW)
		f->reason = VTD_FR_BEYOND_MGAW;
	if (path->legacy && f->reason == VTD_FR_S_OUT_INTR)
		f->reason = VTD_FR_OUT_INTR;
	f->sid = req->sid;
	f->access = (uint8_t)req->access;
	f->request = req->request;
	f->pasid = path->pasid;
	f->addr = req->addr;
	if (req->pasid != VIOMMU_NO_PASID)
		f->flags |= VIOMMU_FAULT_HAS_PASID;
	spec = viommu_fault_find(f->reason);
	if (path->fpd && spec && spec->qualified)
		f->flags |= VIOMMU_FAULT_FPD;
}

int viommu_path_translate(const struct viommu_unit *unit, const struct viommu_path_request *req,
			  uint32_t flags, struct viommu_recorder *rec,
			  struct viommu_path_result *path, struct viommu_walk_result *out)
{
	uint32_t access;
	int ret;

	if (!out)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	ret = viommu_path_lookup(unit, req, rec, path);
	if (ret == VIOMMU_FAULTED)
		out->fault = path->fault;
	if (ret || path->interrupt || path->zero_read || req->request == VIOMMU_REQ_PAGE)
		return ret;

	access = req->access & ~(VIOMMU_EXEC | VIOMMU_PRIV);
	if (path->priv)
		access |= VIOMMU_PRIV;
	if (path_is_window_query(req, path)) {
		out->out = req->addr;
		out->page_lg2 = 12;
		out->perm = VIOMMU_PERM_R | VIOMMU_PERM_W | VIOMMU_PERM_SR | VIOMMU_PERM_SW;
		return 0;
	}
	ret = viommu_walk(&path->stack, req->addr, access, flags, rec, out);
	if (ret == VIOMMU_FAULTED)
		fault_complete(req, path, &out->fault);
	return ret;
}
