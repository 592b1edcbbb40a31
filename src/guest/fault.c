/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults as the guest has to see them (VT-d 5.10, fault recording).
 *
 * The host reports what its own tables say: its PASIDs, its empty PASID entries, and second-stage
 * reasons of the VM's memory that a guest knows nothing of. So a fault of the host's table path,
 * or one that the domain's stage brought in, is asked of the guest's own tables again, without
 * touching accessed or dirty bits.
 */
#include "guest/unit.h"

static uint64_t *frcd_words(struct viommu_guest *g, uint32_t n, uint64_t words[2])
{
	words[0] = reg64_at(g, g->frcd + 16 * n);
	words[1] = reg64_at(g, g->frcd + 16 * n + 8);
	return words;
}

static uint32_t frcd_nr(const struct viommu_guest *g)
{
	return (uint32_t)HAS_CAP(g, NFR) + 1;
}

static bool frcd_filled(struct viommu_guest *g, uint32_t n)
{
	uint64_t words[2];

	return VTD_GET(frcd_words(g, n, words), VTD_FRCD_F);
}

void viommu__fault_update(struct viommu_guest *g)
{
	uint32_t *fsts = &REG32(g, FSTS), i;
	bool any = false;

	for (i = 0; i < frcd_nr(g) && !any; i++)
		any = frcd_filled(g, i);
	if (!any)
		*fsts &= ~(uint32_t)VTD_MASK(VTD_FSTS_PPF); /* VTD-FSTS-05, VTD-FREC-19 */
	if (!(*fsts & VTD_FSTS_EVENTS))
		viommu__event_clear(g, EVENT_FAULT); /* VTD-FEVT-04 */
}

/* T1 and T2 (VTD-FREC-02). */
static unsigned int frcd_type(const struct viommu_fault *f)
{
	if (f->request == VIOMMU_REQ_PAGE)
		return VTD_FRCD_TYPE_PAGE;
	if (f->access & VIOMMU_ATOMIC)
		return VTD_FRCD_TYPE_ATOMIC;
	return f->access & VIOMMU_WRITE ? VTD_FRCD_TYPE_WRITE : VTD_FRCD_TYPE_READ;
}

/*
 * VTD-FREC-09: FI of a message is its interrupt index, 0 if it was blocked before it had one. 29h
 * is about an access that is no message.
 */
static uint64_t frcd_info(const struct viommu_fault *f)
{
	if (f->reason >= VTD_FR_IR_REQ_RSVD && f->reason <= VTD_FR_IR_OFF &&
	    f->reason != VTD_FR_IR_WINDOW)
		return f->stage_addr << 48;
	return f->addr & VTD_MASK(VTD_FRCD_FI);
}

static void frcd_fill(struct viommu_guest *g, uint32_t n, const struct viommu_fault *f)
{
	uint64_t w[2] = { frcd_info(f), 0 };
	unsigned int type = frcd_type(f);

	VTD_SET(w, VTD_FRCD_SID, f->sid);
	VTD_SET(w, VTD_FRCD_T1, type >> 1);
	VTD_SET(w, VTD_FRCD_T2, type & 1);
	VTD_SET(w, VTD_FRCD_FR, f->reason);
	VTD_SET(w, VTD_FRCD_AT, f->request == VIOMMU_REQ_PAGE ? 0 : f->request);
	if (f->pasid != VIOMMU_NO_PASID) {
		VTD_SET(w, VTD_FRCD_PP, 1);
		VTD_SET(w, VTD_FRCD_PASID, f->pasid);
		VTD_SET(w, VTD_FRCD_EXE, !!(f->access & VIOMMU_EXEC));
		VTD_SET(w, VTD_FRCD_PRIV, !!(f->access & VIOMMU_PRIV));
	}
	VTD_SET(w, VTD_FRCD_F, 1);
	/* The lock keeps readers out, so F comes with the rest (VTD-FREC-01). */
	reg64_at_set(g, g->frcd + 16 * n, w[0]);
	reg64_at_set(g, g->frcd + 16 * n + 8, w[1]);
}

void viommu__fault_record(struct viommu_guest *g, const struct viommu_fault *f,
			  struct unit_out *out)
{
	uint32_t *fsts = &REG32(g, FSTS), index = g->fault_index;

	/* VTD-FREC-20: what a translation request is answered without error leaves no record. */
	if ((f->flags & VIOMMU_FAULT_FPD) ||
	    !viommu_fault_is_logged(f->reason, viommu_fault_outcome(f->reason, f->request)))
		return;
	g->last[g->last_nr++ % GUEST_FAULTS] = *f;
	if (*fsts & VTD_MASK(VTD_FSTS_PFO)) {
		g->stats.faults_lost++; /* VTD-FREC-13 */
		return;
	}
	/* choice: no merging with a pending record of the same source (VTD-FREC-14). */
	if (frcd_filled(g, index)) {
		g->stats.faults_lost++;
		viommu__fsts_set(g, (uint32_t)VTD_MASK(VTD_FSTS_PFO), out); /* VTD-FREC-15 */
		return;
	}
	frcd_fill(g, index, f);
	g->stats.faults++;
	if (!(*fsts & VTD_MASK(VTD_FSTS_PPF))) /* VTD-FREC-16 */
		*fsts = (*fsts & ~(uint32_t)VTD_MASK(VTD_FSTS_FRI)) |
			(uint32_t)VTD_VAL(VTD_FSTS_FRI, index);
	g->fault_index = (index + 1) % frcd_nr(g); /* VTD-FREC-17 */
	viommu__fsts_set(g, (uint32_t)VTD_MASK(VTD_FSTS_PPF), out);
}

/* What the VM's memory was missing where the guest's own tables see nothing wrong. */
static uint8_t memory_reason(const struct viommu_path_result *path, const struct viommu_fault *f)
{
	bool write = f->access & (VIOMMU_WRITE | VIOMMU_ATOMIC);

	/* A table in memory that takes no write: the accessed or dirty bit could not be set. */
	if (f->reason == VTD_FR_FS_SS_WRITE && f->stage < path->stack.nr)
		return path->stack.stage[f->stage].format == VIOMMU_FORMAT_VTD_FS
			       ? VTD_FR_FS_AD_FAILED
			       : VTD_FR_SSS_AD_FAILED;
	if (path->pgtt == VTD_PGTT_PT)
		return path->legacy ? VTD_FR_BEYOND_MGAW : VTD_FR_PT_BEYOND_HAW;
	if (path->legacy)
		return write ? VTD_FR_WRITE : VTD_FR_READ;
	return write ? VTD_FR_S_WRITE : VTD_FR_S_READ;
}

/*
 * Turn a fault with the guest's sid and PASID, but the host's reason, into the guest's.
 *  - from the host's table path: what the guest's path says;
 *  - by the VM's memory or its second stage: what a walk of the guest's own tables over guest
 *    memory says. If that finds its way, the page at its end is no memory (or read-only): choice:
 *    no permission, or beyond the host's width for pass-through.
 * Any other fault is one of the guest's own stages, which the host walked as they are.
 */
static void fault_translate(struct viommu_guest *g, struct viommu_fault *f)
{
	const struct viommu_path_request req = {
		.sid = f->sid,
		.request = f->request,
		.pasid = f->pasid,
		.access = f->access,
		.addr = f->addr,
	};
	struct viommu_path_result path;
	struct viommu_walk_result walk;
	int ret;

	if (f->stage == VIOMMU_STAGE_PATH) {
		if (viommu_path_lookup(&g->unit, &req, NULL, &path) == VIOMMU_FAULTED)
			*f = path.fault;
		f->pasid = req.pasid; /* not the RID_PASID */
		return;
	}
	if (!(f->flags & VIOMMU_FAULT_HOST))
		return;
	ret = viommu_path_translate(&g->unit, &req, VIOMMU_WALK_DRY, NULL, &path, &walk);
	if (ret == VIOMMU_FAULTED) {
		*f = walk.fault;
		f->pasid = req.pasid;
	} else if (!ret) {
		f->reason = memory_reason(&path, f);
		f->level = 0;
		f->entry_addr = 0;
		f->entry = 0;
	}
	f->flags &= (uint8_t)~VIOMMU_FAULT_HOST;
}

void viommu_guest_fault(struct viommu_guest *guest, struct viommu_device *dev,
			const struct viommu_fault *fault)
{
	struct viommu_fault f = *fault;
	struct unit_device *d;
	struct unit_out out;

	viommu__guest_enter(guest, &out);
	d = viommu__guest_by_dev(guest, dev);
	/* With translation off the unit is not in the way of anything: nothing to record. */
	if (!d || !unit_translates(guest))
		goto leave;
	f.sid = d->sid;
	if (f.pasid != VIOMMU_NO_PASID) {
		/* A device that sends a PASID that is not this guest's: its own mistake. */
		if (viommu__bind_gp(guest, f.pasid, &f.pasid))
			goto leave;
		f.flags |= VIOMMU_FAULT_HAS_PASID;
	}
	fault_translate(guest, &f);
	viommu__fault_record(guest, &f, &out);
leave:
	viommu__guest_leave(guest, &out);
}

unsigned viommu_guest_last_faults(struct viommu_guest *guest, struct viommu_fault *out,
				  unsigned max)
{
	unsigned int n;

	pthread_mutex_lock(&guest->lock);
	for (n = 0; n < max && n < GUEST_FAULTS && n < guest->last_nr; n++)
		out[n] = guest->last[(guest->last_nr - 1 - n) % GUEST_FAULTS];
	pthread_mutex_unlock(&guest->lock);
	return n;
}
