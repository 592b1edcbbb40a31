/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where shadows stand: a slot for requests without PASID, a sparse array by guest PASID a device,
 * and a list by domain id. No host call here.
 */
#include "guest/unit.h"

struct shadow *viommu__shadow_find(const struct unit_device *d, uint32_t gp)
{
	struct shadow_chunk *c;

	if (gp == VIOMMU_NO_PASID)
		return d->rid;
	c = viommu__sparse_find(&d->shadows, gp);
	return c ? c->shadow[gp % SPARSE_CHUNK] : NULL;
}

struct list *viommu__shadow_did_list(struct viommu_guest *g, uint16_t did)
{
	return &g->by_did[hash64(did) % GUEST_HASH];
}

struct shadow *viommu__shadow_add(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
				  uint16_t did)
{
	struct shadow *s = viommu__calloc(1, sizeof(*s));
	struct shadow_chunk *c;

	if (!s)
		return NULL;
	s->dev = d;
	s->gp = gp;
	s->did = did;
	if (gp == VIOMMU_NO_PASID) {
		d->rid = s;
	} else {
		c = viommu__sparse_make(&d->shadows, gp);
		if (!c) {
			viommu__free(s);
			return NULL;
		}
		c->shadow[gp % SPARSE_CHUNK] = s;
		c->used |= BIT64(gp % SPARSE_CHUNK);
		d->nr++;
		g->binds++;
	}
	list_add_tail(viommu__shadow_did_list(g, did), &s->did_link);
	g->stats.bound++;
	return s;
}

void viommu__shadow_did(struct viommu_guest *g, struct shadow *s, uint16_t did)
{
	if (s->did == did)
		return;
	list_del(&s->did_link);
	s->did = did;
	list_add_tail(viommu__shadow_did_list(g, did), &s->did_link);
}

void viommu__shadow_del(struct viommu_guest *g, struct shadow *s)
{
	struct unit_device *d = s->dev;

	list_del(&s->did_link);
	if (s->gp == VIOMMU_NO_PASID) {
		d->rid = NULL;
	} else {
		struct shadow_chunk *c = viommu__sparse_find(&d->shadows, s->gp);

		c->shadow[s->gp % SPARSE_CHUNK] = NULL;
		c->used &= ~BIT64(s->gp % SPARSE_CHUNK);
		if (!c->used)
			viommu__sparse_drop(&d->shadows, s->gp);
		d->nr--;
		g->binds--;
	}
	g->stats.bound--;
	viommu__free(s);
}

struct shadow *viommu__shadow_next(const struct unit_device *d, uint32_t gp)
{
	struct shadow_chunk *c;
	uint32_t at = gp;

	while (at <= VIOMMU_PASID_MAX && (c = viommu__sparse_next(&d->shadows, &at))) {
		uint64_t left = c->used;

		if (gp > at)
			left &= ~low_bits(gp - at);
		if (left)
			return c->shadow[lowest_bit(left)];
		at += SPARSE_CHUNK;
	}
	return NULL;
}
