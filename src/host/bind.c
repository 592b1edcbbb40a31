/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Binds: what translates a (device, PASID), written as a VT-d PASID entry.
 *
 * A guest's one first stage over the domain's second stage is PGTT nested, none is PGTT
 * second-stage. What an entry cannot name (a guest's own second stage, so that three stages stand
 * on each other) is kept beside it in the record; hardware would need a shadow.
 */
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "host/soft.h"
#include "pasid/pasids.h"

#define FS_FLAGS (VIOMMU_STAGE_SRE | VIOMMU_STAGE_WPE | VIOMMU_STAGE_EAFE)
#define SS_FLAGS                                                                  \
	(VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU_STAGE_AD | VIOMMU_STAGE_SNP | \
	 VIOMMU_STAGE_IORW | VIOMMU_STAGE_MTS | VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_ZLR)
/* Allowed in a caller's stage and set by the host whatever he says. */
#define HOST_FLAGS (VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU_STAGE_SNOOP)

/* How a bind will look in the tables, made before anything is changed. */
struct plan {
	uint64_t pe[8];
	struct stages *ext;
	struct viommu_domain *dom;
	uint32_t gp;
};

/* A guest's first stage. `limit`: addresses its root may have. */
static int stage_check_fs(const struct viommu_host *host, const struct viommu_stage *st,
			  unsigned int limit_bits)
{
	const uint64_t *cap = &host->unit.cap, *ecap = &host->unit.ecap;

	if (!VTD_GET(ecap, VTD_ECAP_FSTS))
		return -EINVAL;
	if (st->levels != 4 && !(st->levels == 5 && VTD_GET(cap, VTD_CAP_FS5LP)))
		return -EINVAL;
	if (st->flags & ~(FS_FLAGS | HOST_FLAGS))
		return -EINVAL;
	if ((st->flags & VIOMMU_STAGE_SRE) && !VTD_GET(ecap, VTD_ECAP_SRS))
		return -EINVAL;
	/*
	 * Write protection speaks of supervisor requests only; alone it would be dropped without a
	 * word.
	 */
	if ((st->flags & VIOMMU_STAGE_WPE) && !(st->flags & VIOMMU_STAGE_SRE))
		return -EINVAL;
	if ((st->flags & VIOMMU_STAGE_EAFE) && !VTD_GET(ecap, VTD_ECAP_EAFS))
		return -EINVAL;
	/* Low bits of a raw CR3 would land in SRE, FSPM, WPE and EAFE. */
	if (!is_aligned(st->root, 4096) || st->root & ~low_bits(limit_bits))
		return -EINVAL;
	return 0;
}

/* A guest's own second stage, over the domain's. */
static int stage_check_ss(const struct viommu_stage *st, unsigned int limit_bits)
{
	if (st->levels < 3 || st->levels > 5 || st->input_bits < 30 ||
	    st->input_bits > 12 + 9 * st->levels)
		return -EINVAL;
	if (st->flags & ~(SS_FLAGS | VIOMMU_STAGE_SNOOP))
		return -EINVAL;
	if (!is_aligned(st->root, 4096) || st->root & ~low_bits(limit_bits))
		return -EINVAL;
	return 0;
}

static void pe_first_stage(uint64_t *pe, const struct viommu_stage *st)
{
	VTD_SET(pe, VTD_PE_FSPTPTR, st->root >> 12);
	VTD_SET(pe, VTD_PE_FSPM, st->levels == 5);
	VTD_SET(pe, VTD_PE_SRE, !!(st->flags & VIOMMU_STAGE_SRE));
	VTD_SET(pe, VTD_PE_WPE, !!(st->flags & VIOMMU_STAGE_WPE));
	VTD_SET(pe, VTD_PE_EAFE, !!(st->flags & VIOMMU_STAGE_EAFE));
}

static int plan_nested(struct viommu_domain *dom, const struct viommu_bind *bind, struct plan *plan)
{
	const struct viommu_host *host = dom->host;
	struct viommu_stage ss;
	uint16_t did;
	unsigned int limit;
	int err;
	uint32_t i;

	viommu_domain_stage(dom, &ss, &did);
	VTD_SET(plan->pe, VTD_PE_SSPTPTR, ss.root >> 12);
	VTD_SET(plan->pe, VTD_PE_AW, ss.levels - 2u);
	VTD_SET(plan->pe, VTD_PE_SSADE, !!(ss.flags & VIOMMU_STAGE_AD));
	VTD_SET(plan->pe, VTD_PE_DID, did);
	VTD_SET(plan->pe, VTD_PE_PGTT, VTD_PGTT_SS);
	if (!bind->nr)
		return 0;
	if (!VTD_GET(&host->unit.ecap, VTD_ECAP_NEST) || (dom->flags & VIOMMU_DOMAIN_NO_NEST))
		return -EINVAL;
	/* From the stage next to the domain upwards: each root is an address of the stage below. */
	limit = ss.input_bits;
	for (i = bind->nr; i-- > 0;) {
		const struct viommu_stage *st = &bind->stage[i];

		if (st->reserved[0] || st->reserved[1])
			return -EINVAL;
		if (st->format == VIOMMU_FORMAT_VTD_FS && i == 0)
			err = stage_check_fs(host, st, limit);
		else if (st->format == VIOMMU_FORMAT_VTD_SS)
			err = stage_check_ss(st, limit);
		else
			err = -EINVAL;
		if (err)
			return err;
		limit = st->input_bits;
	}
	if (bind->nr == 1 && bind->stage[0].format == VIOMMU_FORMAT_VTD_FS) {
		VTD_SET(plan->pe, VTD_PE_PGTT, VTD_PGTT_NESTED);
		pe_first_stage(plan->pe, &bind->stage[0]);
		return 0;
	}
	plan->ext = viommu__calloc(1, sizeof(*plan->ext));
	if (!plan->ext)
		return -ENOMEM;
	plan->ext->nr = bind->nr;
	for (i = 0; i < bind->nr; i++) {
		struct viommu_stage *st = &plan->ext->stage[i];

		*st = bind->stage[i];
		st->haw = host->unit.haw;
		st->flags |= VIOMMU_STAGE_SNOOP;
		if (st->format == VIOMMU_FORMAT_VTD_FS && VTD_GET(&host->unit.cap, VTD_CAP_FS1GP))
			st->flags |= VIOMMU_STAGE_1G;
	}
	return 0;
}

static int plan_make(struct viommu_device *dev, struct viommu_domain *dom,
		     const struct viommu_bind *bind, struct plan *plan)
{
	const struct viommu_host *host = dev->host;
	int err;

	memset(plan, 0, sizeof(*plan));
	if (bind->size != sizeof(*bind) ||
	    (bind->flags & ~(VIOMMU_GPASID_VALID | VIOMMU_BIND_FPD)) || bind->nr > 2)
		return -EINVAL;
	if (!dom || dom->host != host)
		return -EINVAL;
	plan->dom = dom;
	plan->gp = VIOMMU_NO_PASID;
	if (bind->flags & VIOMMU_GPASID_VALID) {
		if (bind->gp.v > VIOMMU_PASID_MAX)
			return -EINVAL;
		plan->gp = bind->gp.v;
	}
	VTD_SET(plan->pe, VTD_PE_P, 1);
	VTD_SET(plan->pe, VTD_PE_FPD, !!(bind->flags & VIOMMU_BIND_FPD));
	VTD_SET(plan->pe, VTD_PE_PWSNP, 1);
	VTD_SET(plan->pe, VTD_PE_DID, VIOMMU__DID_NONE);
	switch (bind->kind) {
	case VIOMMU_BIND_NESTED:
		err = plan_nested(dom, bind, plan);
		break;
	case VIOMMU_BIND_FIRST:
		if (bind->nr != 1 || bind->stage[0].format != VIOMMU_FORMAT_VTD_FS ||
		    bind->stage[0].reserved[0] || bind->stage[0].reserved[1])
			return -EINVAL;
		err = stage_check_fs(host, &bind->stage[0], host->unit.haw);
		VTD_SET(plan->pe, VTD_PE_PGTT, VTD_PGTT_FS);
		pe_first_stage(plan->pe, &bind->stage[0]);
		break;
	case VIOMMU_BIND_PASSTHROUGH:
		err = bind->nr || !VTD_GET(&host->unit.ecap, VTD_ECAP_PT) ? -EINVAL : 0;
		VTD_SET(plan->pe, VTD_PE_PGTT, VTD_PGTT_PT);
		break;
	default:
		err = -EINVAL;
	}
	return err;
}

/* Write an entry under the record's seqlock. Lock held. */
static void entry_write(struct viommu_device *dev, uint32_t pasid, struct record *rec,
			const struct plan *plan)
{
	uint64_t *pe = viommu__pe(dev, pasid);
	unsigned int i;

	store_relaxed(&rec->gen, rec->gen + 1);
	fence_release(); /* odd before any word changes */
	for (i = 1; i < 8; i++)
		store_relaxed(&pe[i], plan->pe[i]);
	store_release(&pe[0], plan->pe[0]);
	store_relaxed(&rec->dom, plan->dom);
	store_relaxed(&rec->ext, plan->ext);
	store_release(&rec->gen, rec->gen + 1);
	viommu__changed(dev->host);
}

/* P first: whoever reads the entry meanwhile finds it not present. Lock held. */
static void entry_clear_present(struct viommu_device *dev, uint32_t pasid, struct record *rec)
{
	uint64_t *pe = viommu__pe(dev, pasid);

	store_relaxed(&rec->gen, rec->gen + 1);
	fence_release();
	store_release(&pe[0], pe[0] & ~VTD_MASK(VTD_PE_P));
	store_release(&rec->gen, rec->gen + 1);
	viommu__changed(dev->host);
}

/* Is (dom, hp) bound as gp on any device but this one? Lock held. */
static int bound_elsewhere(struct viommu_host *host, const struct viommu_device *but,
			   const struct viommu_domain *dom, uint32_t pasid, uint32_t gp)
{
	struct list *l;

	for (l = host->devices.next; l != &host->devices; l = l->next) {
		struct viommu_device *dev = container_of(l, struct viommu_device, link);
		struct record *rec = viommu__own_record(dev, pasid);

		if (dev != but && rec && rec->state != RECORD_FREE && rec->dom == dom &&
		    rec->gp == gp)
			return 1;
	}
	return 0;
}

/*
 * A sub-device serves one domain at a time, and no other sub-device of the same parent serves it:
 * there is one PASID table for all, so one entry for a host PASID. `replaces`: a bind of its own
 * goes.
 */
static int sub_check(struct viommu_device *dev, const struct viommu_domain *dom, bool replaces)
{
	struct list *l;

	if (!dev->parent || dev->dom == dom)
		return 0;
	if (dev->binds > replaces)
		return -EBUSY;
	for (l = dev->host->devices.next; l != &dev->host->devices; l = l->next) {
		const struct viommu_device *other = container_of(l, struct viommu_device, link);

		if (other->parent == dev->parent && other->dom == dom)
			return -EBUSY;
	}
	return 0;
}

/*
 * What a bind holds besides the entry: references and the guest's number. That of requests without
 * PASID holds neither.
 */
static int claims_take(const struct viommu_device *dev, struct viommu_domain *dom, uint32_t pasid,
		       uint32_t gp)
{
	struct viommu_hp hp = { pasid };
	int err;

	if (pasid == dev->rid)
		return 0;
	err = viommu_pasid_get(dom->owner, hp);
	if (err || gp == VIOMMU_NO_PASID)
		return err;
	err = viommu__pasid_map_bind(dom->owner, (struct viommu_gp){ gp }, hp);
	if (err)
		viommu_pasid_put(dom->owner, hp);
	return err;
}

static void claims_drop(struct viommu_device *dev, struct viommu_domain *dom, uint32_t pasid,
			uint32_t gp)
{
	struct viommu_hp hp = { pasid };

	if (pasid == dev->rid)
		return;
	if (gp != VIOMMU_NO_PASID && !bound_elsewhere(dev->host, dev, dom, pasid, gp))
		viommu__pasid_unmap_bind(dom->owner, (struct viommu_gp){ gp }, hp);
	viommu_pasid_put(dom->owner, hp);
}

/*
 * Somebody else is ending this bind: let him finish. Lock held, dropped inside; busy keeps the
 * device from being freed by him meanwhile.
 */
static void wait_dying(struct viommu_device *dev, const struct record *rec)
{
	struct viommu_host *host = dev->host;

	dev->busy++;
	while (rec->state == RECORD_DYING) {
		pthread_mutex_unlock(&host->lock);
		sched_yield();
		pthread_mutex_lock(&host->lock);
	}
	dev->busy--;
}

static int bind_new(struct viommu_device *dev, uint32_t pasid, struct record *rec,
		    const struct plan *plan)
{
	int err = sub_check(dev, plan->dom, false);

	if (!err)
		err = claims_take(dev, plan->dom, pasid, plan->gp);
	if (err)
		return err;
	store_relaxed(&rec->gp, plan->gp);
	store_relaxed(&rec->sub, dev->sub);
	store_release(&rec->state, RECORD_BOUND);
	dev->bound[pasid >> 6]++;
	dev->binds++;
	dev->dom = plan->dom;
	plan->dom->binds++;
	entry_write(dev, pasid, rec, plan);
	return 0;
}

/* Replace a live bind. Lock held, dropped inside; on return no DMA uses the old tables. */
static int bind_replace(struct viommu_device *dev, uint32_t pasid, struct record *rec,
			const struct plan *plan)
{
	struct stages *old_ext = rec->ext;
	int err;

	if (rec->sub != dev->sub || (pasid != dev->rid && rec->dom != plan->dom))
		return -EBUSY;
	if (pasid != dev->rid && rec->gp != plan->gp)
		return -EEXIST;
	err = sub_check(dev, plan->dom, true);
	if (err)
		return err;
	rec->dom->binds--;
	dev->dom = plan->dom;
	plan->dom->binds++;
	store_relaxed(&rec->gp, plan->gp);
	entry_write(dev, pasid, rec, plan);
	viommu__device_drop(dev, viommu__request_of(dev, pasid), 0, 0);
	viommu__markers_drain(&dev->host->markers);
	viommu__free(old_ext);
	return 0;
}

enum bind_mode {
	BIND_NEW,
	BIND_OR_REPLACE,
};

static int bind_entry(struct viommu_device *dev, struct viommu_domain *dom, uint32_t pasid,
		      const struct viommu_bind *bind, enum bind_mode mode)
{
	struct viommu_host *host = dev->host;
	struct record *rec;
	struct plan plan;
	int err;

	err = plan_make(dev, dom, bind, &plan);
	if (err)
		goto out;
	pthread_mutex_lock(&host->lock);
	rec = viommu__record(dev, pasid);
	if (rec && mode == BIND_OR_REPLACE)
		wait_dying(dev, rec);
	/* Now the lock is kept. */
	err = dev->gone ? -ENODEV : dom->ending ? -EINVAL : viommu__device_table(dev, pasid);
	if (err)
		goto out_unlock;
	rec = viommu__record(dev, pasid);
	if (rec->state == RECORD_FREE)
		err = bind_new(dev, pasid, rec, &plan);
	else if (mode == BIND_OR_REPLACE && rec->state == RECORD_BOUND)
		err = bind_replace(dev, pasid, rec, &plan);
	else
		err = -EBUSY;
out_unlock:
	pthread_mutex_unlock(&host->lock);
out:
	if (err)
		viommu__free(plan.ext);
	return err;
}

static int hp_check(const struct viommu_device *dev, struct viommu_hp hp)
{
	if (hp.v == 0 || hp.v == dev->rid || hp.v > VIOMMU_PASID_MAX ||
	    !(dev->flags & VIOMMU_DEVICE_PASID))
		return -EINVAL;
	if (hp.v >> (VTD_GET(&dev->host->unit.ecap, VTD_ECAP_PSS) + 1))
		return -EINVAL;
	return 0;
}

int viommu_host_bind(struct viommu_device *dev, struct viommu_domain *dom, struct viommu_hp hp,
		     const struct viommu_bind *bind)
{
	int err = hp_check(dev, hp);

	return err ? err : bind_entry(dev, dom, hp.v, bind, BIND_NEW);
}

int viommu_host_rebind(struct viommu_device *dev, struct viommu_domain *dom, struct viommu_hp hp,
		       const struct viommu_bind *bind)
{
	int err = hp_check(dev, hp);

	return err ? err : bind_entry(dev, dom, hp.v, bind, BIND_OR_REPLACE);
}

int viommu_device_attach(struct viommu_device *dev, struct viommu_domain *dom,
			 const struct viommu_bind *bind)
{
	if (bind->flags & ~VIOMMU_BIND_FPD)
		return -EINVAL;
	return bind_entry(dev, dom, dev->rid, bind, BIND_OR_REPLACE);
}

static void bind_from_gpasid(const struct viommu_gpasid_bind *g, struct viommu_bind *out)
{
	*out = (struct viommu_bind){
		.size = sizeof(*out),
		.kind = VIOMMU_BIND_NESTED,
		.flags = g->flags & VIOMMU_GPASID_VALID,
		.gp = g->gp,
		.nr = 1,
		.stage[0] = {
			.format = VIOMMU_FORMAT_VTD_FS,
			.levels = g->addr_width == 57 ? 5 : 4,
			.flags = (g->flags & VIOMMU_GPASID_SRE ? VIOMMU_STAGE_SRE : 0) |
				 (g->flags & VIOMMU_GPASID_WPE ? VIOMMU_STAGE_WPE : 0) |
				 (g->flags & VIOMMU_GPASID_EAFE ? VIOMMU_STAGE_EAFE : 0),
			.root = g->gpgd,
		},
	};
}

int viommu_host_bind_gpasid(struct viommu_device *dev, struct viommu_domain *dom,
			    const struct viommu_gpasid_bind *bind)
{
	const uint32_t known =
		VIOMMU_GPASID_VALID | VIOMMU_GPASID_SRE | VIOMMU_GPASID_WPE | VIOMMU_GPASID_EAFE;
	struct viommu_bind b;

	if (bind->size != sizeof(*bind) || (bind->flags & ~known))
		return -EINVAL;
	if (bind->addr_width != 48 && bind->addr_width != 57)
		return -EINVAL;
	bind_from_gpasid(bind, &b);
	return viommu_host_bind(dev, dom, bind->hp, &b);
}

/* ---- The end of binds ---- */

static int ender_takes(const struct viommu_device *dev, const struct record *rec,
		       const struct viommu_domain *dom)
{
	return rec->state == RECORD_BOUND && rec->sub == dev->sub && (!dom || rec->dom == dom);
}

/*
 * Tables where nothing of this device's is bound are passed over: the others with the same tables
 * may have spread over all of them, and the lock is everybody's.
 */
struct record *viommu__record_next(struct viommu_device *dev, uint32_t *pasid, uint32_t last)
{
	uint32_t i;

	for (i = *pasid; i <= last; i++) {
		struct record *rec;

		if (!dev->bound[i >> 6]) {
			i |= 63;
			continue;
		}
		rec = viommu__own_record(dev, i);
		if (!rec)
			continue;
		*pasid = i;
		return rec;
	}
	return NULL;
}

static void bind_start_end(struct viommu_device *dev, uint32_t pasid, struct record *rec,
			   uint16_t token)
{
	store_release(&rec->state, RECORD_DYING);
	rec->token = token;
	entry_clear_present(dev, pasid, rec);
	viommu__requests_end(dev, viommu__request_of(dev, pasid), VIOMMU_RESPONSE_INVALID);
}

static void bind_finish_end(struct viommu_device *dev, uint32_t pasid, struct record *rec)
{
	static const struct plan none = { .gp = VIOMMU_NO_PASID };
	struct viommu_domain *dom = rec->dom;
	struct stages *ext = rec->ext;

	/* An access that was still inside may have asked for a page after the first round. */
	viommu__requests_end(dev, viommu__request_of(dev, pasid), VIOMMU_RESPONSE_INVALID);
	entry_write(dev, pasid, rec, &none);
	viommu__free(ext);
	claims_drop(dev, dom, pasid, rec->gp);
	store_relaxed(&rec->gp, VIOMMU_NO_PASID);
	store_release(&rec->state, RECORD_FREE);
	dev->bound[pasid >> 6]--;
	if (--dev->binds == 0)
		dev->dom = NULL;
	dom->binds--;
}

int viommu__binds_end(struct viommu_device *dev, uint32_t pasid, struct viommu_domain *dom)
{
	struct viommu_host *host = dev->host;
	uint32_t first = 0, last = dev->pdir_entries * 64 - 1, i;
	uint16_t token = host->next_token++;
	struct record *rec;
	int any = 0;

	if (pasid != VIOMMU_ALL_PASIDS)
		first = last = pasid;
	for (i = first; (rec = viommu__record_next(dev, &i, last)); i++) {
		if (rec->state == RECORD_DYING)
			wait_dying(dev, rec);
		if (!ender_takes(dev, rec, dom))
			continue;
		bind_start_end(dev, i, rec, token);
		any = 1;
	}
	if (!any)
		return 0;
	dev->busy++;
	viommu__device_drop(dev, viommu__request_of(dev, pasid), 0, 0);
	viommu__markers_drain(&host->markers);
	for (i = first; (rec = viommu__record_next(dev, &i, last)); i++) {
		if (rec->state == RECORD_DYING && rec->token == token)
			bind_finish_end(dev, i, rec);
	}
	dev->busy--;
	return 1;
}

static int unbind(struct viommu_device *dev, uint32_t pasid)
{
	if (pasid >= dev->pdir_entries * 64 && pasid != VIOMMU_ALL_PASIDS)
		return 0;
	pthread_mutex_lock(&dev->host->lock);
	viommu__binds_end(dev, pasid, NULL);
	pthread_mutex_unlock(&dev->host->lock);
	return 0;
}

int viommu_host_unbind(struct viommu_device *dev, struct viommu_hp hp)
{
	if (hp.v == 0 || hp.v == dev->rid || hp.v > VIOMMU_PASID_MAX)
		return -EINVAL;
	return unbind(dev, hp.v);
}

int viommu_host_unbind_gpasid(struct viommu_device *dev, struct viommu_hp hp)
{
	return viommu_host_unbind(dev, hp);
}

int viommu_device_detach(struct viommu_device *dev)
{
	return unbind(dev, dev->rid);
}

int viommu_device_unbind_all(struct viommu_device *dev)
{
	return unbind(dev, VIOMMU_ALL_PASIDS);
}

int viommu_host_pasid_entry(struct viommu_device *dev, struct viommu_hp hp, uint64_t pe[8])
{
	uint32_t entry = hp.v ? hp.v : dev->rid;
	struct record *rec;
	int err = -ENOENT;

	pthread_mutex_lock(&dev->host->lock);
	rec = viommu__own_record(dev, entry);
	if (rec && rec->state == RECORD_BOUND) {
		memcpy(pe, viommu__pe(dev, entry), 64);
		err = 0;
	}
	pthread_mutex_unlock(&dev->host->lock);
	return err;
}

int viommu_host_next_bind(struct viommu_device *dev, struct viommu_hp *hp, struct viommu_gp *gp,
			  uint64_t pe[8])
{
	uint32_t last = dev->pdir_entries * 64 - 1, i;
	struct record *rec;
	int err = -ENOENT;

	pthread_mutex_lock(&dev->host->lock);
	for (i = hp->v; (rec = viommu__record_next(dev, &i, last)); i++) {
		if (rec->state != RECORD_BOUND)
			continue;
		hp->v = i;
		if (gp)
			gp->v = rec->gp;
		if (pe)
			memcpy(pe, viommu__pe(dev, i), 64);
		err = 0;
		break;
	}
	pthread_mutex_unlock(&dev->host->lock);
	return err;
}
