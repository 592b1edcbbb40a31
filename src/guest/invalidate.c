/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invalidations of translations, handed to the host by the granularity asked (VT-d 5.10, cache
 * tags). The caches of DMA are told by IOTLB descriptors, those of devices by device-TLB
 * descriptors; none of it waits, viommu__inv_drain() does.
 *
 * Domain ids of the guest are the guest's: they say which shadows are meant. Where more shadows
 * have one than GUEST_FEW, the whole VM is invalidated instead: to drop more than asked is allowed.
 */
#include "guest/unit.h"

/* Shadows looked at in one list: others with the same hash may stand in it. */
#define LIST_STEPS 256u

static void tell(struct viommu_guest *g, uint32_t granularity, uint32_t flags, uint32_t hp,
		 struct viommu_device *dev, uint64_t addr, uint64_t bytes)
{
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = granularity,
		.flags = flags | VIOMMU_INVALIDATE_NO_DRAIN,
		.hp = { hp },
		.addr = addr,
		.bytes = bytes,
		.dev = dev,
	};
	int err = viommu_host_invalidate(g->host, g->dom, &inv);

	VIOMMU_ASSERT(!err);
	g->undrained = true;
}

void viommu__inv_global(struct viommu_guest *g)
{
	tell(g, VIOMMU_INVALIDATE_DOMAIN, VIOMMU_INVALIDATE_NO_DEVICE, 0, NULL, 0, 0);
}

/* Shadows of a domain id, or more than GUEST_FEW (then nothing else is known). */
static unsigned int domain_shadows(struct viommu_guest *g, uint16_t did, struct shadow **out)
{
	struct list *head = viommu__shadow_did_list(g, did), *l;
	unsigned int n = 0, steps = 0;

	list_for_each(l, head) {
		struct shadow *s = list_entry(l, struct shadow, did_link);

		if (steps++ == LIST_STEPS)
			return GUEST_FEW + 1;
		if (s->did != did)
			continue;
		if (n == GUEST_FEW)
			return GUEST_FEW + 1;
		out[n++] = s;
	}
	return n;
}

void viommu__inv_domain(struct viommu_guest *g, uint16_t did, bool page, uint64_t addr,
			uint64_t bytes)
{
	struct shadow *s[GUEST_FEW];
	unsigned int n = domain_shadows(g, did, s), i;

	if (n > GUEST_FEW) {
		viommu__inv_global(g);
		return;
	}
	for (i = 0; i < n; i++) {
		/* VTD-QI-18: what has a first stage goes as a whole. */
		bool range = page && (s[i]->pgtt == VTD_PGTT_SS || s[i]->pgtt == VTD_PGTT_PT);

		tell(g, VIOMMU_INVALIDATE_RANGE, VIOMMU_INVALIDATE_NO_DEVICE, s[i]->hp,
		     s[i]->dev->dev, range ? addr : 0, range ? bytes : 0);
	}
}

void viommu__inv_pasid(struct viommu_guest *g, uint16_t did, uint32_t gp, uint64_t addr,
		       uint64_t bytes)
{
	struct unit_device *d;
	uint32_t hp;

	/* choice: the domain id does not matter, a PASID is dropped under any (VTD-QI-20). */
	(void)did;
	if (!viommu__bind_hp_find(g, gp, &hp))
		tell(g, VIOMMU_INVALIDATE_RANGE, VIOMMU_INVALIDATE_NO_DEVICE, hp, NULL, addr,
		     bytes);
	list_for_each_entry(d, &g->devices, link) {
		if (d->rid && d->rid->rid_pasid == gp) {
			/* Of every device: they use the same PASID as a rule. */
			tell(g, VIOMMU_INVALIDATE_RANGE, VIOMMU_INVALIDATE_NO_DEVICE, 0, NULL, addr,
			     bytes);
			break;
		}
	}
}

void viommu__inv_device(struct viommu_guest *g, struct unit_device *d, uint32_t gp, uint64_t addr,
			uint64_t bytes)
{
	const uint32_t flags = VIOMMU_INVALIDATE_ONLY_DEVICE;
	struct shadow *s;
	uint32_t next = 0;

	if (gp == VIOMMU_ALL_PASIDS && d->nr > GUEST_FEW) {
		tell(g, VIOMMU_INVALIDATE_DOMAIN, flags, 0, NULL, 0, 0);
	} else if (gp == VIOMMU_ALL_PASIDS) {
		for (; (s = viommu__shadow_next(d, next)); next = s->gp + 1)
			tell(g, VIOMMU_INVALIDATE_RANGE, flags, s->hp, d->dev, addr, bytes);
	} else {
		s = viommu__shadow_find(d, gp);
		if (s)
			tell(g, VIOMMU_INVALIDATE_RANGE, flags, s->hp, d->dev, addr, bytes);
	}
}

void viommu__inv_drain(struct viommu_guest *g)
{
	if (g->undrained)
		viommu_host_drain(g->host);
	g->undrained = false;
}
