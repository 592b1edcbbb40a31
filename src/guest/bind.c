/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trap: the guest's tables are read, compared with the shadow, and the host is told to bind,
 * rebind or unbind.
 *
 *	guest's entry	shadow		what is done
 *	fault		none		nothing
 *	fault		there		unbind
 *	present		none		bind
 *	present		differs		rebind
 *	present		same		nothing
 *
 * With translation off a device's requests without PASID have the VM's memory at its own addresses,
 * as a shadow with PGTT 0, and there is no other.
 *
 * A guest that announces nothing when an entry becomes present (caching mode off) is served by
 * viommu_guest_miss(); one that does is served by the same code when it invalidates. Nothing that
 * is absent is remembered (VTD-CM-01, VTD-CM-04): with caching mode on we may, and do not
 * (VTD-CM-02).
 */
#include "guest/unit.h"
#include "host/handle.h"

/* ---- Host PASIDs ---- */

static struct viommu_owner *owner_of(const struct viommu_guest *g)
{
	return viommu_domain_owner(g->dom);
}

struct unit_held *viommu__bind_held(struct viommu_guest *g, uint32_t gp)
{
	struct unit_held **page = &g->held[gp / HELD_BITS];

	if (!*page)
		*page = viommu__calloc(1, sizeof(**page));
	return *page;
}

int viommu__bind_hp_find(struct viommu_guest *g, uint32_t gp, uint32_t *hp)
{
	struct viommu_hp host;

	if (!(g->flags & VIOMMU_GUEST_HOST_PASIDS)) {
		/* The host's PASID 0 stands for requests without PASID. */
		*hp = gp;
		if (g->flags & VIOMMU_GUEST_VCMD)
			return viommu__vcmd_given(g, gp) ? 0 : -ENOENT;
		return gp && gp <= VIOMMU_PASID_MAX ? 0 : -ENOENT;
	}
	if (viommu_pasid_to_host(owner_of(g), (struct viommu_gp){ gp }, &host))
		return -ENOENT;
	*hp = host.v;
	return 0;
}

/* Guest PASIDs that one search looks at; the next goes on behind them. */
#define RECLAIM_STEPS 1024u
#define HELD_WORDS    ((VIOMMU_PASID_MAX + 1) / 64)

static bool is_bound(struct viommu_guest *g, uint32_t gp)
{
	struct unit_device *d;

	list_for_each_entry(d, &g->devices, link)
		if (viommu__shadow_find(d, gp))
			return true;
	return false;
}

/* The host PASID of gp, which is not bound, back to the allocator. */
static bool take_back(struct viommu_guest *g, uint32_t gp)
{
	const struct viommu_gp guest = { gp };
	struct viommu_hp host;

	if (viommu_pasid_to_host(owner_of(g), guest, &host) ||
	    viommu_pasid_unmap(owner_of(g), guest))
		return false;
	if (viommu_pasid_free(owner_of(g), host)) {
		/* Somebody else has a hold on it; this mapping was there a moment ago. */
		viommu_pasid_map(owner_of(g), guest, host);
		return false;
	}
	g->held[gp / HELD_BITS]->given[gp % HELD_BITS / 64] &= ~BIT64(gp % 64);
	g->stats.pasids_reclaimed++;
	g->next_hp = host.v + 1;
	return true;
}

/* None is left, or no more are allowed: one that was named and is not bound, each in its turn. */
static bool reclaim(struct viommu_guest *g)
{
	uint32_t i, steps = 0, first = g->reclaim / 64, from = g->reclaim % 64;

	for (i = 0; i <= HELD_WORDS; i++) {
		uint32_t w = (first + i) % HELD_WORDS, gp;
		struct unit_held *page = g->held[w / (HELD_BITS / 64)];
		uint64_t bits = page ? page->given[w % (HELD_BITS / 64)] : 0;

		for (bits &= i ? ~UINT64_C(0) : ~low_bits(from); bits; bits &= bits - 1) {
			gp = w * 64 + lowest_bit(bits);
			g->reclaim = (gp + 1) & VIOMMU_PASID_MAX;
			if (!is_bound(g, gp) && take_back(g, gp))
				return true;
			if (++steps == RECLAIM_STEPS)
				return false;
		}
	}
	return false;
}

/*
 * The lowest, until one was taken back: then the next above the last, so that an access of a device
 * that still has the number which went does not find it to be somebody else's.
 */
static int hp_alloc(struct viommu_guest *g, struct viommu_hp *out)
{
	int err = -ENOSPC;

	if (g->next_hp && g->next_hp <= VIOMMU_PASID_MAX)
		err = viommu_pasid_alloc(owner_of(g), g->next_hp, VIOMMU_PASID_MAX, out);
	if (err == -ENOSPC || err == -EINVAL)
		err = viommu_pasid_alloc(owner_of(g), 1, VIOMMU_PASID_MAX, out);
	if (!err && g->next_hp)
		g->next_hp = out->v + 1;
	return err;
}

int viommu__bind_hp(struct viommu_guest *g, uint32_t gp, uint32_t *hp)
{
	const struct viommu_gp guest = { gp };
	struct viommu_hp host;
	struct unit_held *page;
	int err;

	if (gp > VIOMMU_PASID_MAX)
		return -EINVAL;
	if (!viommu__bind_hp_find(g, gp, hp))
		return 0;
	if (!(g->flags & VIOMMU_GUEST_HOST_PASIDS))
		return g->flags & VIOMMU_GUEST_VCMD ? -EPERM : -EINVAL;
	page = viommu__bind_held(g, gp);
	if (!page)
		return -ENOMEM;
	err = hp_alloc(g, &host);
	if ((err == -ENOSPC || err == -EDQUOT) && reclaim(g))
		err = hp_alloc(g, &host);
	if (err)
		return err;
	err = viommu_pasid_map(owner_of(g), guest, host);
	if (err) {
		viommu_pasid_free(owner_of(g), host);
		return err;
	}
	page->given[gp % HELD_BITS / 64] |= BIT64(gp % 64);
	*hp = host.v;
	return 0;
}

int viommu__bind_gp(struct viommu_guest *g, uint32_t hp, uint32_t *gp)
{
	struct viommu_gp guest;

	if (!(g->flags & VIOMMU_GUEST_HOST_PASIDS)) {
		*gp = hp;
		if (g->flags & VIOMMU_GUEST_VCMD)
			return viommu__vcmd_given(g, hp) ? 0 : -ENOENT;
		return hp && hp <= VIOMMU_PASID_MAX ? 0 : -ENOENT;
	}
	if (viommu_pasid_to_guest(owner_of(g), (struct viommu_hp){ hp }, &guest))
		return -ENOENT;
	*gp = guest.v;
	return 0;
}

void viommu__bind_release(struct viommu_guest *g)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(g->held); i++) {
		for (j = 0; g->held[i] && j < HELD_BITS / 64; j++) {
			uint64_t bits = g->held[i]->given[j];

			for (; bits; bits &= bits - 1) {
				struct viommu_gp gp = { i * HELD_BITS + j * 64 + lowest_bit(bits) };
				uint32_t hp;

				if (viommu__bind_hp_find(g, gp.v, &hp))
					continue;
				viommu_pasid_unmap(owner_of(g), gp);
				viommu_pasid_free(owner_of(g), (struct viommu_hp){ hp });
			}
		}
		viommu__free(g->held[i]);
		g->held[i] = NULL;
	}
	g->stats.pasids_given = 0;
	g->next_hp = 0;
}

/* With identity an id is ours while a shadow names it. */
static int hp_hold(struct viommu_guest *g, uint32_t hp)
{
	if (g->flags & VIOMMU_GUEST_HOST_PASIDS)
		return 0;
	return viommu_pasid_hold(owner_of(g), (struct viommu_hp){ hp });
}

static void hp_release(struct viommu_guest *g, uint32_t hp)
{
	if (!(g->flags & VIOMMU_GUEST_HOST_PASIDS))
		viommu_pasid_release(owner_of(g), (struct viommu_hp){ hp });
}

int viommu_guest_pasid_to_host(struct viommu_guest *guest, struct viommu_gp gp,
			       struct viommu_hp *out)
{
	int err;

	out->v = VIOMMU_NO_PASID;
	pthread_mutex_lock(&guest->lock);
	err = viommu__bind_hp(guest, gp.v, &out->v);
	pthread_mutex_unlock(&guest->lock);
	if (err)
		out->v = VIOMMU_NO_PASID;
	return err;
}

int viommu_guest_pasid_to_guest(struct viommu_guest *guest, struct viommu_hp hp,
				struct viommu_gp *out)
{
	int err;

	out->v = VIOMMU_NO_PASID;
	pthread_mutex_lock(&guest->lock);
	err = viommu__bind_gp(guest, hp.v, &out->v);
	pthread_mutex_unlock(&guest->lock);
	return err;
}

/* ---- The guest's tables ---- */

/* The first word of the context entry, if the path came that far. */
struct context_seen {
	struct viommu_recorder rec;
	uint64_t entry;
};

static void context_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct context_seen *c = container_of(rec, struct context_seen, rec);

	if (step->name && !strcmp(step->name, "context entry"))
		c->entry = step->value;
}

/*
 * Which requests the host admits: as the guest's present context entry says. Absence shuts nothing,
 * since nobody tells when the entry comes; what is not bound ends in the guest's own fault anyway.
 * With translation off translation requests and page requests end (VTD-ORDER-02).
 */
static void gate(struct viommu_guest *g, struct unit_device *d, uint64_t entry)
{
	uint32_t flags = VIOMMU_DEVICE_PASID;

	if (unit_translates(g) && unit_ttm(g) == VTD_TTM_LEGACY)
		flags |= !(entry & VTD_MASK(VTD_LCE_P)) ||
					 VTD_FIELD(entry, VTD_LCE_TT) == VTD_TT_SS_ATS
				 ? VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI
				 : 0;
	else if (unit_translates(g) && !(entry & VTD_MASK(VTD_SCE_P)))
		flags |= VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI;
	else if (unit_translates(g))
		flags = (entry & VTD_MASK(VTD_SCE_PASIDE) ? VIOMMU_DEVICE_PASID : 0) |
			(entry & VTD_MASK(VTD_SCE_DTE) ? VIOMMU_DEVICE_ATS : 0) |
			(entry & VTD_MASK(VTD_SCE_PRE) && entry & VTD_MASK(VTD_SCE_DTE)
				 ? VIOMMU_DEVICE_PRI
				 : 0);
	flags &= viommu__device_flags(d->dev);
	if (flags == d->gate)
		return;
	d->gate = (uint8_t)flags;
	viommu_device_gate(d->dev, flags); /* -ENODEV: it is gone, and so are its requests */
}

int viommu__bind_lookup(struct viommu_guest *g, struct unit_device *d, uint32_t gp, uint8_t request,
			uint32_t access, uint64_t addr, struct viommu_path_result *path)
{
	struct context_seen c = { .rec.step = context_step };
	const struct viommu_path_request req = {
		.sid = d->sid,
		.request = request,
		.pasid = gp,
		.access = access,
		.addr = addr,
	};

	int ret = viommu_path_lookup(&g->unit, &req, &c.rec, path);

	gate(g, d, c.entry);
	return ret;
}

/* ---- Telling whoever watches ---- */

static void trap(struct viommu_guest *g, uint32_t kind, uint32_t cause, struct unit_device *d,
		 uint32_t gp, uint32_t hp, const struct shadow *before,
		 const struct viommu_path_result *after, int error)
{
	struct viommu_guest_trap t = {
		.kind = kind,
		.cause = cause,
		.sid = d->sid,
		.did = after    ? after->did
		       : before ? before->did
				: 0,
		.gp = { gp },
		.hp = { hp },
		.error = error,
	};

	switch (kind) {
	case VIOMMU_TRAP_BIND:
		g->stats.binds++;
		break;
	case VIOMMU_TRAP_REBIND:
		g->stats.rebinds++;
		break;
	case VIOMMU_TRAP_UNBIND:
		g->stats.unbinds++;
		break;
	default:
		g->stats.refused++;
		break;
	}
	if (!g->ops.trap)
		return;
	if (before)
		memcpy(t.before, before->pe, sizeof(t.before));
	if (after)
		memcpy(t.after, after->pe, sizeof(t.after));
	g->ops.trap(g->ops.ctx, &t);
}

/* ---- The host ---- */

static int host_bind(struct viommu_guest *g, struct unit_device *d, uint32_t gp, uint32_t hp,
		     const struct viommu_path_result *path)
{
	struct viommu_bind b = { .size = sizeof(b),
				 .kind = VIOMMU_BIND_NESTED,
				 .nr = path->stack.nr };
	uint32_t i;

	if (path->fpd)
		b.flags |= VIOMMU_BIND_FPD;
	for (i = 0; i < b.nr; i++) {
		b.stage[i] = path->stack.stage[i];
		/* Alone it says nothing: it speaks of supervisor requests. */
		if (!(b.stage[i].flags & VIOMMU_STAGE_SRE))
			b.stage[i].flags &= ~VIOMMU_STAGE_WPE;
	}
	if (gp == VIOMMU_NO_PASID)
		return viommu_device_attach(d->dev, g->dom, &b);
	b.flags |= VIOMMU_GPASID_VALID;
	b.gp.v = gp;
	return viommu_host_rebind(d->dev, g->dom, (struct viommu_hp){ hp }, &b);
}

/* The host has unbound it. */
static void unbound(struct viommu_guest *g, struct shadow *s, uint32_t cause,
		    const struct viommu_path_result *after)
{
	if (s->gp != VIOMMU_NO_PASID) {
		hp_release(g, s->hp);
		viommu__vcmd_idle(g, s->gp);
	}
	trap(g, VIOMMU_TRAP_UNBIND, cause, s->dev, s->gp, s->hp, s, after, 0);
	viommu__shadow_del(g, s);
}

static void unbind(struct viommu_guest *g, struct shadow *s, uint32_t cause,
		   const struct viommu_path_result *after)
{
	if (s->gp == VIOMMU_NO_PASID)
		viommu_device_detach(s->dev->dev);
	else
		viommu_host_unbind(s->dev->dev, (struct viommu_hp){ s->hp });
	unbound(g, s, cause, after);
}

static bool same_stages(const struct shadow *s, const struct viommu_path_result *path)
{
	return s->nr == path->stack.nr && s->fpd == path->fpd &&
	       !memcmp(s->stage, path->stack.stage, s->nr * sizeof(s->stage[0]));
}

static void shadow_set(struct viommu_guest *g, struct shadow *s,
		       const struct viommu_path_result *path)
{
	viommu__shadow_did(g, s, path->did);
	memcpy(s->pe, path->pe, sizeof(s->pe));
	memcpy(s->stage, path->stack.stage, sizeof(s->stage));
	s->nr = (uint8_t)path->stack.nr;
	s->pgtt = path->pgtt;
	s->fpd = path->fpd;
	s->rid_pasid = path->pasid;
}

static int bind_new(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
		    const struct viommu_path_result *path, uint32_t *hp)
{
	struct shadow *s;
	int err;

	*hp = 0;
	if (gp != VIOMMU_NO_PASID) {
		if (g->binds >= g->max_binds)
			return -ENOSPC;
		err = viommu__bind_hp(g, gp, hp);
		if (!err)
			err = hp_hold(g, *hp);
		if (err)
			return err;
	}
	s = viommu__shadow_add(g, d, gp, path->did);
	err = s ? host_bind(g, d, gp, *hp, path) : -ENOMEM;
	if (!err) {
		s->hp = *hp;
		shadow_set(g, s, path);
		return 0;
	}
	if (s)
		viommu__shadow_del(g, s);
	if (gp != VIOMMU_NO_PASID)
		hp_release(g, *hp);
	return err;
}

/*
 * The entry is present: have it bound. host_lost: the host said that it has no bind, whatever the
 * shadow says. 0, or why the host would not.
 */
static int apply(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
		 const struct viommu_path_result *path, uint32_t cause, bool host_lost)
{
	struct shadow *s = viommu__shadow_find(d, gp);
	uint32_t hp;
	int err;

	if (!s) {
		err = bind_new(g, d, gp, path, &hp);
		trap(g, err ? VIOMMU_TRAP_REFUSED : VIOMMU_TRAP_BIND, cause, d, gp, hp, NULL, path,
		     err);
		return err;
	}
	if (same_stages(s, path) && !host_lost) {
		shadow_set(g, s, path);
		return 0;
	}
	err = host_bind(g, d, gp, s->hp, path);
	if (err) {
		/* What was bound is no longer what the guest says. */
		unbind(g, s, cause, path);
		trap(g, VIOMMU_TRAP_REFUSED, cause, d, gp, 0, NULL, path, err);
		return err;
	}
	trap(g, VIOMMU_TRAP_REBIND, cause, d, gp, s->hp, s, path, 0);
	shadow_set(g, s, path);
	return 0;
}

/* Translation is off: the VM's memory at its own addresses, for requests without PASID. */
static int apply_off(struct viommu_guest *g, struct unit_device *d, uint32_t cause, bool host_lost)
{
	const struct viommu_path_result path = { .pasid = VIOMMU_NO_PASID };

	return apply(g, d, VIOMMU_NO_PASID, &path, cause, host_lost);
}

int viommu__bind_refresh(struct viommu_guest *g, struct unit_device *d, uint32_t gp, uint32_t cause)
{
	struct viommu_path_result path;
	struct shadow *s;
	int ret;

	if (!unit_translates(g)) {
		gate(g, d, 0);
		return gp == VIOMMU_NO_PASID ? apply_off(g, d, cause, false) : 0;
	}
	ret = viommu__bind_lookup(g, d, gp, VIOMMU_REQ_UNTRANSLATED, VIOMMU_READ, 0, &path);
	if (!ret)
		return apply(g, d, gp, &path, cause, false);
	s = viommu__shadow_find(d, gp);
	if (s)
		unbind(g, s, cause, &path);
	return 0;
}

void viommu__bind_selective(struct viommu_guest *g, uint32_t gp)
{
	struct unit_device *d;

	/*
	 * choice: whatever the domain id of the descriptor, the PASID is looked at on every device;
	 * an entry whose id changed is then found under either.
	 */
	list_for_each_entry(d, &g->devices, link) {
		viommu__bind_refresh(g, d, gp, VIOMMU_TRAP_PASID_CACHE);
		if (!d->rid || d->rid->rid_pasid == gp)
			viommu__bind_refresh(g, d, VIOMMU_NO_PASID, VIOMMU_TRAP_PASID_CACHE);
	}
}

static bool spend(uint32_t *budget)
{
	if (!*budget)
		return false;
	--*budget;
	return true;
}

bool viommu__bind_scan(struct viommu_guest *g, const struct shadow_filter *f, uint32_t *budget)
{
	struct unit_scan *c = &g->scan;
	struct unit_device *d;
	struct shadow *s;

	if (!c->active)
		*c = (struct unit_scan){ .active = true };
	list_for_each_entry(d, &g->devices, link) {
		if (d->sid < c->sid || ((d->sid ^ f->sid) & ~f->sid_ignore & 0xffff))
			continue;
		if (d->sid > c->sid) {
			c->sid = d->sid;
			c->gp = 0;
			c->rid_done = false;
		}
		if (!c->rid_done) {
			if (!spend(budget))
				return false;
			c->rid_done = true;
			if (!f->by_did || !d->rid || d->rid->did == f->did)
				viommu__bind_refresh(g, d, VIOMMU_NO_PASID, f->cause);
		}
		while ((s = viommu__shadow_next(d, c->gp))) {
			if (!spend(budget))
				return false;
			c->gp = s->gp + 1;
			if (!f->by_did || s->did == f->did)
				viommu__bind_refresh(g, d, s->gp, f->cause);
		}
	}
	c->active = false;
	return true;
}

void viommu__bind_drop_device(struct viommu_guest *g, struct unit_device *d, uint32_t cause)
{
	struct shadow *s;

	viommu_device_unbind_all(d->dev); /* one drain for all */
	while ((s = viommu__shadow_next(d, 0)))
		unbound(g, s, cause, NULL);
	if (d->rid)
		unbound(g, d->rid, cause, NULL);
}

void viommu__bind_reset_device(struct viommu_guest *g, struct unit_device *d, uint32_t cause)
{
	if (d->nr)
		viommu__bind_drop_device(g, d, cause);
	viommu__bind_refresh(g, d, VIOMMU_NO_PASID, cause);
}

void viommu__bind_reset_all(struct viommu_guest *g, uint32_t cause)
{
	struct unit_device *d;

	list_for_each_entry(d, &g->devices, link)
		viommu__bind_reset_device(g, d, cause);
	viommu__inv_global(g);
	viommu__inv_drain(g);
}

/* ---- Demand ---- */

/* The host would not bind a present entry: what a walk of the guest's tables says, or 58h. */
static void refused(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
		    struct viommu_fault *fault)
{
	const struct viommu_path_request req = {
		.sid = d->sid,
		.request = fault->request,
		.pasid = gp,
		.access = fault->access,
		.addr = fault->addr,
	};
	struct viommu_path_result path;
	struct viommu_walk_result walk;

	if (viommu_path_translate(&g->unit, &req, VIOMMU_WALK_DRY, NULL, &path, &walk) ==
	    VIOMMU_FAULTED)
		*fault = walk.fault;
	else
		fault->reason = path.legacy ? VTD_FR_CTX_ACCESS : VTD_FR_PE_ACCESS;
}

int viommu_guest_miss(struct viommu_guest *guest, struct viommu_device *dev, uint32_t pasid,
		      struct viommu_fault *fault)
{
	struct viommu_path_result path;
	struct unit_device *d;
	struct unit_out out;
	uint32_t gp = VIOMMU_NO_PASID;
	uint64_t pe[8];
	int ret = VIOMMU_FAULTED;
	bool lost;

	viommu__guest_enter(guest, &out);
	guest->stats.misses++;
	d = viommu__guest_by_dev(guest, dev);
	if (!d || (pasid != VIOMMU_NO_PASID && viommu__bind_gp(guest, pasid, &gp)))
		goto leave;
	/* Another thread may have bound it since; or the host ended it on its own. */
	lost = viommu_host_pasid_entry(
		dev, (struct viommu_hp){ pasid == VIOMMU_NO_PASID ? 0 : pasid }, pe);
	if (!unit_translates(guest)) {
		if (gp == VIOMMU_NO_PASID && !apply_off(guest, d, VIOMMU_TRAP_MISS, lost))
			ret = 0;
		goto leave;
	}
	ret = viommu__bind_lookup(guest, d, gp, fault->request, fault->access, fault->addr, &path);
	if (ret == VIOMMU_FAULTED)
		*fault = path.fault;
	if (ret)
		goto leave;
	if (apply(guest, d, gp, &path, VIOMMU_TRAP_MISS, lost)) {
		refused(guest, d, gp, fault);
		ret = VIOMMU_FAULTED;
	}
leave:
	viommu__guest_leave(guest, &out);
	return ret;
}
