/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests (VT-d 5.10): admitted by the guest's tables as far as the PASID entry, written into
 * the guest's ring, answered by page group response descriptors.
 *
 * The host numbers groups (PRGI) and bounds how many a device has open, so the ring of a guest that
 * does not answer fills no faster than that.
 */
#include "guest/unit.h"

#define PPR ((uint32_t)VTD_MASK(VTD_PRS_PPR))
#define PRO ((uint32_t)VTD_MASK(VTD_PRS_PRO))

static void respond(struct viommu_device *dev, uint32_t pasid, uint16_t prgi, uint16_t code)
{
	const struct viommu_page_response resp = {
		.size = sizeof(resp),
		.pasid = pasid,
		.prgi = prgi,
		.code = code,
	};

	/* VTD-PRI-03: -ENOENT, no such group is open, is nobody's mistake. */
	viommu_host_page_response(dev, &resp);
}

void viommu__prq_respond(struct viommu_guest *g, uint16_t rid, bool pp, uint32_t gp, uint16_t prgi,
			 unsigned int code)
{
	struct unit_device *d = viommu__guest_by_sid(g, rid);
	uint32_t hp = VIOMMU_NO_PASID;

	g->stats.page_responses++;
	if (!d || (pp && viommu__bind_hp_find(g, gp, &hp)))
		return;
	/*
	 * VTD-PRI-01, VTD-PRI-02: codes 2 to 14 are reserved; choice: they end the group without
	 * turning the device's page requests off, as code 1 does.
	 */
	respond(d->dev, hp, prgi,
		code == VTD_PGRP_SUCCESS   ? VIOMMU_RESPONSE_SUCCESS
		: code == VTD_PGRP_FAILURE ? VIOMMU_RESPONSE_FAILURE
					   : VIOMMU_RESPONSE_INVALID);
}

/* The tail's slot, and the tail moves (VTD-PRQ-10). False: the ring is no memory. */
static bool ring_write(struct viommu_guest *g, const struct unit_device *d, uint32_t gp,
		       const struct viommu_page_request *req)
{
	uint64_t pqa = REG64(g, PQA), mask = (4096u << VTD_FIELD(pqa, VTD_PQA_PQS)) - 1;
	uint64_t tail = REG64(g, PQT) & mask, w[4] = { 0 };

	VTD_SET(w, VTD_PRQ_TYPE, VTD_PRQ_TYPE_PAGE);
	VTD_SET(w, VTD_PRQ_RID, d->sid);
	if (gp != VIOMMU_NO_PASID) {
		VTD_SET(w, VTD_PRQ_PP, 1);
		VTD_SET(w, VTD_PRQ_PASID, gp);
		VTD_SET(w, VTD_PRQ_EXR, !!(req->access & VIOMMU_EXEC));
		VTD_SET(w, VTD_PRQ_PMR, !!(req->access & VIOMMU_PRIV));
	}
	VTD_SET(w, VTD_PRQ_RDR, !!(req->access & VIOMMU_READ));
	VTD_SET(w, VTD_PRQ_WRR, !!(req->access & VIOMMU_WRITE));
	VTD_SET(w, VTD_PRQ_LPIG, !!(req->flags & VIOMMU_PAGE_REQUEST_LAST));
	VTD_SET(w, VTD_PRQ_PRGI, req->prgi);
	VTD_SET(w, VTD_PRQ_ADDR, req->addr >> 12);
	pqa &= VTD_MASK(VTD_PQA_PQA);
	if (pqa >> g->unit.haw || viommu_mem_write(g->mem, pqa + tail, w, sizeof(w)))
		return false;
	/* The lock orders it: who reads this tail finds the descriptor (VTD-PRQ-12). */
	REG64_SET(g, PQT, (tail + VTD_PRQ_BYTES) & mask);
	return true;
}

/* VTD-PRQ-01; positions beyond the ring count modulo its size. */
static bool ring_full(const struct viommu_guest *g)
{
	uint64_t mask = (4096u << VTD_FIELD(REG64(g, PQA), VTD_PQA_PQS)) - 1;

	return ((REG64(g, PQT) + VTD_PRQ_BYTES - REG64(g, PQH)) & mask) == 0;
}

/* VTD-PRQ-11 */
static void status_set(struct viommu_guest *g, uint32_t bit, struct unit_out *out)
{
	uint32_t *prs = &REG32(g, PRS);
	bool quiet = *prs & (PPR | PRO);

	*prs |= bit;
	if (!quiet)
		viommu__event_raise(g, EVENT_PAGE, out);
}

/* What becomes of a request: an answer of ours, or ADMITTED. */
#define ADMITTED 0x100u

static unsigned int admit(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
			  const struct viommu_page_request *req, struct unit_out *out)
{
	struct viommu_path_result path;

	/* A unit that does not translate, or announces none, gets no page requests. */
	if (!unit_translates(g) || !HAS_ECAP(g, PRS))
		return VIOMMU_RESPONSE_INVALID;
	/* VTD-PRQ-05, VTD-PRQ-06, VTD-PRI-06 */
	if (viommu__bind_lookup(g, d, gp, VIOMMU_REQ_PAGE, req->access, req->addr, &path)) {
		path.fault.pasid = gp;
		viommu__fault_record(g, &path.fault, out);
		return VIOMMU_RESPONSE_INVALID;
	}
	if (REG32(g, PRS) & PRO) /* VTD-PRQ-07 */
		return VIOMMU_RESPONSE_SUCCESS;
	if (ring_full(g)) { /* VTD-PRQ-08 */
		status_set(g, PRO, out);
		return VIOMMU_RESPONSE_SUCCESS;
	}
	/* VTD-PRQ-09 */
	viommu__inv_pasid(g, path.did, path.pasid, req->addr, 4096);
	/* choice: a ring that is no memory loses the request as a missing entry does. */
	if (!ring_write(g, d, gp, req))
		return VIOMMU_RESPONSE_INVALID;
	status_set(g, PPR, out);
	return ADMITTED;
}

void viommu_guest_page_request(struct viommu_guest *guest, struct viommu_device *dev,
			       const struct viommu_page_request *req)
{
	uint32_t gp = VIOMMU_NO_PASID;
	unsigned int answer = VIOMMU_RESPONSE_INVALID;
	/* VTD-PRI-04: a stop marker asks for no response. */
	bool marker = (req->flags & VIOMMU_PAGE_REQUEST_PASID) &&
		      !(req->access & (VIOMMU_READ | VIOMMU_WRITE));
	struct unit_device *d;
	struct unit_out out;

	viommu__guest_enter(guest, &out);
	d = viommu__guest_by_dev(guest, dev);
	if (d &&
	    (!(req->flags & VIOMMU_PAGE_REQUEST_PASID) || !viommu__bind_gp(guest, req->pasid, &gp)))
		answer = admit(guest, d, gp, req, &out);
	if (answer == ADMITTED)
		guest->stats.page_requests++;
	else
		guest->stats.page_requests_lost++;
	viommu__guest_leave(guest, &out);
	if (answer != ADMITTED && !marker && (req->flags & VIOMMU_PAGE_REQUEST_LAST))
		respond(dev, req->flags & VIOMMU_PAGE_REQUEST_PASID ? req->pasid : VIOMMU_NO_PASID,
			req->prgi, (uint16_t)answer);
}
