/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices: a requester id, its scalable context entry, its PASID directory and tables (VT-d 5.10
 * layouts).
 *
 * Each device has tables of its own: the same host PASID on two devices is two entries.
 */
#include <sched.h>

#include "base/hash.h"
#include "host/handle.h"
#include "host/soft.h"

#define DEVICE_FLAGS (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)

/*
 * PDTS names 2^(PDTS + 7) directory entries of 64 PASIDs each; the whole range of 20 bits is PDTS
 * 7.
 */
#define PDTS_FULL 7u
/* A device that sends no PASIDs has only PASID 0. */
#define PDTS_MIN 0u

static uint32_t pdts_entries(unsigned int pdts)
{
	return 1u << (pdts + 7);
}

/* The context entry of sid: its table is made if need be. Lock held. */
static uint64_t *context_entry(struct viommu_host *host, uint16_t sid)
{
	uint64_t *root = host->root + (size_t)(sid >> 8) * 2 + (sid >> 7 & 1);
	uint64_t *table;

	if (!(*root & VTD_MASK(VTD_SROOT_LP))) {
		table = viommu__page_get(&host->pages);
		if (!table)
			return NULL;
		/* LP and UP are bit 0 of their halves, the pointers bits 63:12. */
		store_release(root, (uintptr_t)table | VTD_MASK(VTD_SROOT_LP));
	}
	table = (uint64_t *)(uintptr_t)(*root & MASK64(63, 12));
	return table + (size_t)(sid & 0x7f) * 4;
}

/* The bits of a context entry that admit kinds of requests. */
static uint64_t sce_gates(uint32_t flags)
{
	return (flags & VIOMMU_DEVICE_PASID ? VTD_MASK(VTD_SCE_PASIDE) : 0) |
	       (flags & VIOMMU_DEVICE_ATS ? VTD_MASK(VTD_SCE_DTE) : 0) |
	       (flags & VIOMMU_DEVICE_PRI ? VTD_MASK(VTD_SCE_PRE) : 0);
}

static int config_check(struct viommu_host *host, const struct viommu_device_config *c)
{
	const uint64_t *ecap = &host->unit.ecap;

	if (c->size != sizeof(*c) || (c->flags & ~DEVICE_FLAGS))
		return -EINVAL;
	if ((c->flags & VIOMMU_DEVICE_ATS) && !VTD_GET(ecap, VTD_ECAP_DT))
		return -EINVAL;
	if ((c->flags & VIOMMU_DEVICE_PRI) &&
	    (!(c->flags & VIOMMU_DEVICE_ATS) || !VTD_GET(ecap, VTD_ECAP_PRS)))
		return -EINVAL;
	return 0;
}

int viommu_device_new(struct viommu_host *host, const struct viommu_device_config *config,
		      struct viommu_device **out)
{
	unsigned int pdts = config->flags & VIOMMU_DEVICE_PASID ? PDTS_FULL : PDTS_MIN;
	struct viommu_device *dev;
	struct list *l;
	int err;

	*out = NULL;
	err = config_check(host, config);
	if (err)
		return err;
	dev = viommu__calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	list_init(&dev->devtlbs);
	dev->host = host;
	dev->sid = config->sid;
	dev->flags = config->flags;
	dev->gates = config->flags;
	dev->ctx = config->ctx;
	dev->invalidate = config->invalidate;
	dev->max_requests = host->max_requests;
	dev->pdir_entries = pdts_entries(pdts);
	/* Large and mostly untouched: calloc gives pages that cost nothing until they are used. */
	dev->pdir_alloc = viommu__calloc(1, dev->pdir_entries * 8 + 4096);
	dev->records = viommu__calloc(dev->pdir_entries, sizeof(struct record *));
	err = viommu__requests_init(dev);
	if (err || !dev->pdir_alloc || !dev->records) {
		if (!err) {
			viommu__requests_destroy(dev);
			err = -ENOMEM;
		}
		goto fail;
	}
	dev->pdir = (uint64_t *)align_up((uintptr_t)dev->pdir_alloc, 4096);

	pthread_mutex_lock(&host->lock);
	if (host->nr_devices >= host->max_devices || host->next_serial == UINT32_MAX) {
		err = -ENOSPC;
		goto fail_locked;
	}
	for (l = host->devices.next; l != &host->devices; l = l->next) {
		if (container_of(l, struct viommu_device, link)->sid == dev->sid) {
			err = -EEXIST;
			goto fail_locked;
		}
	}
	dev->sce = context_entry(host, dev->sid);
	if (!dev->sce) {
		err = -ENOMEM;
		goto fail_locked;
	}
	dev->key = (uint64_t)host->next_serial << 32;
	dev->mix = (uint32_t)hash64(host->next_serial++);
	host->nr_devices++;
	list_add_tail(&host->devices, &dev->link);
	/* RID_PASID is 0, RID_PRIV 0. P is in the first word, which goes last. */
	store_relaxed(&dev->sce[1], 0);
	store_release(&dev->sce[0], (uintptr_t)dev->pdir | VTD_VAL(VTD_SCE_PDTS, pdts) |
					    sce_gates(dev->gates) | VTD_MASK(VTD_SCE_P));
	pthread_mutex_unlock(&host->lock);
	*out = dev;
	return 0;

fail_locked:
	pthread_mutex_unlock(&host->lock);
	viommu__requests_destroy(dev);
fail:
	viommu__free(dev->records);
	viommu__free(dev->pdir_alloc);
	viommu__free(dev);
	return err;
}

int viommu__device_table(struct viommu_device *dev, uint32_t pasid)
{
	struct record *records;
	uint64_t *table;
	unsigned int i;

	if (dev->records[pasid >> 6])
		return 0;
	records = viommu__calloc(64, sizeof(*records));
	table = viommu__page_get(&dev->host->pages);
	if (!records || !table) {
		viommu__free(records);
		viommu__page_put(&dev->host->pages, table);
		return -ENOMEM;
	}
	for (i = 0; i < 64; i++)
		records[i].gp = VIOMMU_NO_PASID;
	store_release(&dev->records[pasid >> 6], records);
	store_release(&dev->pdir[pasid >> 6], (uintptr_t)table | VTD_MASK(VTD_PDIR_P));
	dev->tables++;
	return 0;
}

/* Lock held; dropped inside. */
static void unplug_locked(struct viommu_device *dev)
{
	store_release(&dev->gone, 1);
	store_release(&dev->sce[0], 0);
	viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_FAILURE);
	viommu__binds_end(dev, VIOMMU_ALL_PASIDS, NULL);
	/* A request may have been opened by an access that found the bind still there. */
	viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_FAILURE);
}

int viommu_device_unplug(struct viommu_device *dev)
{
	struct viommu_host *host = dev->host;

	pthread_mutex_lock(&host->lock);
	if (!dev->gone)
		unplug_locked(dev);
	pthread_mutex_unlock(&host->lock);
	viommu__markers_drain(&host->markers);
	return 0;
}

void viommu_device_free(struct viommu_device *dev)
{
	struct viommu_host *host;
	uint32_t i;

	if (!dev)
		return;
	host = dev->host;
	viommu_device_unplug(dev);
	pthread_mutex_lock(&host->lock);
	/* Somebody tells it of an invalidation, or ends its binds, with the lock dropped. */
	while (dev->busy) {
		pthread_mutex_unlock(&host->lock);
		sched_yield();
		pthread_mutex_lock(&host->lock);
	}
	VIOMMU_ASSERT(list_empty(&dev->devtlbs));
	list_del(&dev->link);
	host->nr_devices--;
	for (i = 0; i < dev->pdir_entries && dev->tables; i++) {
		if (!dev->records[i])
			continue;
		viommu__page_put(&host->pages,
				 (void *)(uintptr_t)(dev->pdir[i] & VTD_MASK(VTD_PDIR_SMPTBLPTR)));
		viommu__free(dev->records[i]);
		dev->tables--;
	}
	pthread_mutex_unlock(&host->lock);
	viommu__requests_destroy(dev);
	viommu__free(dev->records);
	viommu__free(dev->pdir_alloc);
	viommu__free(dev);
}

uint32_t viommu__device_flags(const struct viommu_device *dev)
{
	return dev->flags;
}

uint16_t viommu_device_sid(const struct viommu_device *dev)
{
	return dev->sid;
}

int viommu_device_gate(struct viommu_device *dev, uint32_t flags)
{
	struct viommu_host *host = dev->host;

	if ((flags & ~dev->flags) || ((flags & VIOMMU_DEVICE_PRI) && !(flags & VIOMMU_DEVICE_ATS)))
		return -EINVAL;
	pthread_mutex_lock(&host->lock);
	if (dev->gone) {
		pthread_mutex_unlock(&host->lock);
		return -ENODEV;
	}
	store_release(&dev->gates, flags);
	store_release(&dev->sce[0], (dev->sce[0] & ~sce_gates(UINT32_MAX)) | sce_gates(flags));
	/* Translations know nothing of gates, so they go: of every device, which is seldom. */
	gen_bump(host, &host->gen.v);
	if (!(flags & VIOMMU_DEVICE_PRI))
		viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_INVALID);
	viommu__devtlbs_drop(dev, VIOMMU_ALL_PASIDS, 0, 0);
	viommu__device_tell(dev, VIOMMU_ALL_PASIDS, 0, 0);
	pthread_mutex_unlock(&host->lock);
	viommu__markers_drain(&host->markers);
	return 0;
}
