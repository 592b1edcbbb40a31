/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The unit as a whole: its life, its lock, its devices, reset, inspection.
 */
#include "guest/unit.h"
#include "host/handle.h"

/* ---- Locking ---- */

void viommu__guest_enter(struct viommu_guest *g, struct unit_out *out)
{
	out->messages = 0;
	out->kick = false;
	pthread_mutex_lock(&g->lock);
}

void viommu__guest_leave(struct viommu_guest *g, struct unit_out *out)
{
	unsigned int i;

	pthread_mutex_unlock(&g->lock);
	for (i = 0; i < out->messages && g->ops.message; i++)
		g->ops.message(g->ops.ctx, out->message[i].addr, out->message[i].data);
	if (out->kick && g->ops.kick)
		g->ops.kick(g->ops.ctx);
}

/* ---- Devices ---- */

static struct list *dev_bucket(struct viommu_guest *g, const struct viommu_device *dev)
{
	return &g->dev_hash[hash64((uintptr_t)dev) % GUEST_HASH];
}

static struct list *sid_bucket(struct viommu_guest *g, uint16_t sid)
{
	return &g->sid_hash[hash64(sid) % GUEST_HASH];
}

struct unit_device *viommu__guest_by_dev(struct viommu_guest *g, const struct viommu_device *dev)
{
	struct unit_device *d;

	list_for_each_entry(d, dev_bucket(g, dev), by_dev) {
		if (d->dev == dev)
			return d;
	}
	return NULL;
}

struct unit_device *viommu__guest_by_sid(struct viommu_guest *g, uint16_t sid)
{
	struct unit_device *d;

	list_for_each_entry(d, sid_bucket(g, sid), by_sid) {
		if (d->sid == sid)
			return d;
	}
	return NULL;
}

/* In the order of requester ids: inspection and scans go by it. */
static void device_link(struct viommu_guest *g, struct unit_device *d)
{
	struct list *pos;

	list_for_each(pos, &g->devices) {
		if (list_entry(pos, struct unit_device, link)->sid > d->sid)
			break;
	}
	list_add_before(pos, &d->link);
	list_add_tail(dev_bucket(g, d->dev), &d->by_dev);
	list_add_tail(sid_bucket(g, d->sid), &d->by_sid);
}

static void device_free(struct viommu_guest *g, struct unit_device *d)
{
	viommu__bind_drop_device(g, d, VIOMMU_TRAP_GLOBAL);
	viommu_device_gate(d->dev, viommu__device_flags(d->dev)); /* as it was given */
	list_del(&d->link);
	list_del(&d->by_dev);
	list_del(&d->by_sid);
	viommu__free(d);
}

int viommu_guest_add_device(struct viommu_guest *guest, struct viommu_device *dev, uint16_t sid)
{
	struct unit_device *d;
	struct unit_out out;
	int err = 0;

	if (!dev)
		return -EINVAL;
	viommu__guest_enter(guest, &out);
	if (viommu__guest_by_dev(guest, dev) || viommu__guest_by_sid(guest, sid)) {
		err = -EEXIST;
		goto leave;
	}
	d = viommu__calloc(1, sizeof(*d));
	if (!d) {
		err = -ENOMEM;
		goto leave;
	}
	d->dev = dev;
	d->sid = sid;
	d->gate = (uint8_t)viommu__device_flags(dev); /* as a device begins */
	d->shadows.chunk_size = sizeof(struct shadow_chunk);
	d->shadows.bytes = &d->bytes;
	device_link(guest, d);
	viommu__bind_reset_device(guest, d, VIOMMU_TRAP_GLOBAL);
	if (!unit_translates(guest) && !d->rid) {
		device_free(guest, d);
		err = -ENOMEM;
	}
leave:
	viommu__guest_leave(guest, &out);
	return err;
}

int viommu_guest_remove_device(struct viommu_guest *guest, struct viommu_device *dev)
{
	struct unit_device *d;
	struct unit_out out;

	viommu__guest_enter(guest, &out);
	d = viommu__guest_by_dev(guest, dev);
	if (d)
		device_free(guest, d);
	viommu__guest_leave(guest, &out);
	return d ? 0 : -ENOENT;
}

/* ---- Life ---- */

static int config_read(const struct viommu_guest_config *c, struct viommu_guest *g)
{
	uint8_t haw;
	int err;

	err = viommu_guest_profile(c->profile, c->flags, &g->unit.ver, &g->unit.cap, &g->unit.ecap,
				   &haw);
	if (err)
		return err;
	if (c->cap || c->ecap) {
		g->unit.cap = c->cap | (c->flags & VIOMMU_GUEST_CM ? VTD_MASK(VTD_CAP_CM) : 0);
		g->unit.ecap = c->ecap |
			       (c->flags & VIOMMU_GUEST_INTREMAP ? VTD_MASK(VTD_ECAP_IR) : 0) |
			       (c->flags & VIOMMU_GUEST_X2APIC ? VTD_MASK(VTD_ECAP_EIM) : 0) |
			       (c->flags & VIOMMU_GUEST_VCMD ? VTD_MASK(VTD_ECAP_VCS) : 0);
	}
	if (c->ver)
		g->unit.ver = c->ver;
	g->unit.haw = c->haw ? c->haw : haw;
	g->unit.mem = g->mem;
	g->flags = c->flags;
	g->ops = c->ops;
	g->max_binds = c->max_binds ? c->max_binds : GUEST_MAX_BINDS;
	g->burst = c->burst ? c->burst : GUEST_BURST;
	return viommu__profile_check(g);
}

int viommu_guest_new(const struct viommu_guest_config *config, struct viommu_domain *dom,
		     struct viommu_mem *mem, struct viommu_guest **out)
{
	struct viommu_guest_config c = { 0 };
	struct viommu_guest *g;
	unsigned int i;
	int err;

	*out = NULL;
	if (!dom || !mem || (config && config->size != sizeof(c)))
		return -EINVAL;
	if (config)
		c = *config;
	g = viommu__calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->dom = dom;
	g->host = viommu__domain_host(dom);
	g->mem = mem;
	err = config_read(&c, g);
	if (!err)
		err = viommu__ir_init(g);
	if (err) {
		viommu__free(g);
		return err;
	}
	err = -pthread_mutex_init(&g->lock, NULL);
	if (err) {
		viommu__ir_free(g);
		viommu__free(g);
		return err;
	}
	list_init(&g->devices);
	for (i = 0; i < GUEST_HASH; i++) {
		list_init(&g->dev_hash[i]);
		list_init(&g->sid_hash[i]);
		list_init(&g->by_did[i]);
	}
	viommu__registers_init(g);
	*out = g;
	return 0;
}

void viommu_guest_free(struct viommu_guest *guest)
{
	struct unit_device *d, *next;

	if (!guest)
		return;
	list_for_each_entry_safe(d, next, &guest->devices, link)
		device_free(guest, d);
	viommu__bind_release(guest);
	viommu__ir_free(guest);
	pthread_mutex_destroy(&guest->lock);
	viommu__free(guest);
}

static void reset(struct viommu_guest *g, bool warm)
{
	struct unit_device *d;
	struct unit_out out;

	viommu__guest_enter(g, &out);
	viommu__registers_reset(g, warm);
	g->unit.rtaddr = 0;
	g->fault_index = 0;
	viommu__queue_enable(g, false);
	viommu__ir_reset(g);
	/* Ending a bind answers its page requests; then all have the VM's memory again. */
	list_for_each_entry(d, &g->devices, link) {
		viommu__bind_drop_device(g, d, VIOMMU_TRAP_GLOBAL);
		viommu__bind_reset_device(g, d, VIOMMU_TRAP_GLOBAL);
	}
	viommu__inv_drain(g);
	viommu__bind_release(g);
	viommu__guest_leave(g, &out);
}

void viommu_guest_reset(struct viommu_guest *guest)
{
	reset(guest, false);
}

void viommu_guest_warm_reset(struct viommu_guest *guest)
{
	reset(guest, true);
}

/* ---- Inspection ---- */

static void shadow_show(const struct shadow *s, struct viommu_guest_shadow *out)
{
	*out = (struct viommu_guest_shadow){
		.sid = s->dev->sid,
		.did = s->did,
		.pgtt = s->pgtt,
		.fpd = s->fpd,
		.gp = { s->gp },
		.hp = { s->hp },
	};
	memcpy(out->pe, s->pe, sizeof(out->pe));
}

unsigned viommu_guest_shadows(struct viommu_guest *guest, uint16_t sid, struct viommu_gp gp,
			      struct viommu_guest_shadow *out, unsigned max)
{
	struct unit_device *d;
	unsigned int n = 0;

	pthread_mutex_lock(&guest->lock);
	list_for_each_entry(d, &guest->devices, link) {
		uint32_t from = d->sid == sid && gp.v != VIOMMU_NO_PASID ? gp.v : 0;
		struct shadow *s;

		if (d->sid < sid)
			continue;
		if (d->rid && n < max && (d->sid != sid || gp.v == VIOMMU_NO_PASID))
			shadow_show(d->rid, &out[n++]);
		while (n < max && (s = viommu__shadow_next(d, from))) {
			shadow_show(s, &out[n++]);
			from = s->gp + 1;
		}
	}
	pthread_mutex_unlock(&guest->lock);
	return n;
}

void viommu_guest_unit(struct viommu_guest *guest, struct viommu_unit *out)
{
	pthread_mutex_lock(&guest->lock);
	*out = guest->unit;
	pthread_mutex_unlock(&guest->lock);
}

void viommu_guest_stats(struct viommu_guest *guest, struct viommu_guest_stats *out)
{
	size_t size = out->size < sizeof(*out) ? out->size : sizeof(*out);

	if (size < sizeof(out->size))
		return;
	pthread_mutex_lock(&guest->lock);
	pthread_mutex_lock(&guest->ir.lock);
	guest->stats.interrupts_remapped = guest->ir.remapped;
	guest->stats.interrupts_passed = guest->ir.passed;
	guest->stats.interrupts_blocked = guest->ir.blocked;
	guest->stats.interrupt_hits = guest->ir.hits;
	pthread_mutex_unlock(&guest->ir.lock);
	guest->stats.size = size;
	memcpy(out, &guest->stats, size);
	pthread_mutex_unlock(&guest->lock);
}
