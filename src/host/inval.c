/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invalidation by generation: to forget everything of a PASID, a domain or the host is to add to
 * one number; then devices with caches of their own are told, then DMA that began before drains.
 *
 * choice: a range drops the whole PASID from the caches of DMA objects (the specification allows to
 * invalidate more); devices are told the range.
 */
#include "host/soft.h"

void viommu__device_drop(struct viommu_device *dev, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct viommu_host *host = dev->host;
	struct list *l;

	for (l = dev->devtlbs.next; l != &dev->devtlbs; l = l->next) {
		struct viommu__devtlb_hook *hook =
			container_of(l, struct viommu__devtlb_hook, link);

		hook->invalidate(hook, pasid, addr, bytes);
	}
	if (!dev->invalidate)
		return;
	dev->busy++;
	pthread_mutex_unlock(&host->lock);
	dev->invalidate(dev->ctx, pasid, addr, bytes);
	pthread_mutex_lock(&host->lock);
	dev->busy--;
}

void viommu__devices_drop_all(struct viommu_host *host, const struct viommu_domain *dom)
{
	struct list *l;

	for (l = host->devices.next; l != &host->devices; l = l->next) {
		struct viommu_device *dev = container_of(l, struct viommu_device, link);

		if (!dev->binds || (dom && dev->parent && dev->dom != dom))
			continue;
		/* busy keeps it in the list while the lock is dropped. */
		viommu__device_drop(dev, VIOMMU_ALL_PASIDS, 0, 0);
	}
}

/* One PASID of a domain on every device. Lock held, dropped while a device is told. */
static void drop_pasid(struct viommu_host *host, struct viommu_domain *dom,
		       const struct viommu_invalidate *inv)
{
	uint64_t addr = inv->granularity == VIOMMU_INVALIDATE_RANGE ? inv->addr : 0;
	uint64_t bytes = inv->granularity == VIOMMU_INVALIDATE_RANGE ? inv->bytes : 0;
	uint32_t pasid = inv->hp.v;
	struct list *l;

	for (l = host->devices.next; l != &host->devices; l = l->next) {
		struct viommu_device *dev = container_of(l, struct viommu_device, link);
		uint32_t entry = pasid ? pasid : dev->rid;
		struct record *rec = viommu__own_record(dev, entry);

		if (!rec || rec->state != RECORD_BOUND || rec->dom != dom ||
		    (inv->dev && inv->dev != dev))
			continue;
		if (!(inv->flags & VIOMMU_INVALIDATE_ONLY_DEVICE))
			gen_bump(host, &rec->gen);
		if (inv->flags & VIOMMU_INVALIDATE_NO_DEVICE)
			continue;
		viommu__device_drop(dev, viommu__request_of(dev, entry), addr, bytes);
	}
}

int viommu_host_invalidate(struct viommu_host *host, struct viommu_domain *dom,
			   const struct viommu_invalidate *inv)
{
	const uint32_t known = VIOMMU_INVALIDATE_NO_DRAIN | VIOMMU_INVALIDATE_NO_DEVICE |
			       VIOMMU_INVALIDATE_ONLY_DEVICE | VIOMMU_INVALIDATE_LEAF;
	int iotlb = !(inv->flags & VIOMMU_INVALIDATE_ONLY_DEVICE);
	int device = !(inv->flags & VIOMMU_INVALIDATE_NO_DEVICE);

	if (inv->size != sizeof(*inv) || (inv->flags & ~known) || (!iotlb && !device))
		return -EINVAL;
	if (inv->granularity > VIOMMU_INVALIDATE_RANGE || inv->hp.v > VIOMMU_PASID_MAX)
		return -EINVAL;
	if (inv->granularity != VIOMMU_INVALIDATE_GLOBAL && (!dom || dom->host != host))
		return -EINVAL;

	pthread_mutex_lock(&host->lock);
	switch (inv->granularity) {
	case VIOMMU_INVALIDATE_GLOBAL:
		if (iotlb)
			gen_bump(host, &host->gen.v);
		if (device)
			viommu__devices_drop_all(host, NULL);
		break;
	case VIOMMU_INVALIDATE_DOMAIN:
		if (iotlb)
			gen_bump(host, &host->gens[dom->did].v);
		if (device)
			viommu__devices_drop_all(host, dom);
		break;
	default:
		drop_pasid(host, dom, inv);
	}
	pthread_mutex_unlock(&host->lock);
	if (!(inv->flags & VIOMMU_INVALIDATE_NO_DRAIN))
		viommu__markers_drain(&host->markers);
	return 0;
}

void viommu_host_drain(struct viommu_host *host)
{
	viommu__markers_drain(&host->markers);
}
