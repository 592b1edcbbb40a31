/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices: a requester id, its scalable context entry, its PASID directory and tables (VT-d 5.10
 * layouts).
 *
 * Each device has tables of its own: the same host PASID on two devices is two entries.
 *
 * A sub-device (assignable device interface of scalable I/O virtualisation) is a part of a device
 * with nothing but PASIDs of its own: it has its parent's requester id and tables. Of each PASID
 * entry the record says whose it is; requests without PASID carry a PASID that it has for its whole
 * life. What its guest may switch at the context entry is kept beside it, since the real one serves
 * the others, too.
 */
#include <sched.h>

#include "base/hash.h"
#include "host/handle.h"
#include "host/soft.h"
#include "pasid/path.h"

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
	const struct viommu_device *parent = c->parent;
	const uint64_t *ecap = &host->unit.ecap;

	if (c->size != sizeof(*c) || (c->flags & ~DEVICE_FLAGS) || c->max_page_requests > 512)
		return -EINVAL;
	if (parent && (parent->host != host || parent->parent || c->sid != parent->sid ||
		       (c->flags & ~parent->flags) || !(parent->flags & VIOMMU_DEVICE_PASID)))
		return -EINVAL;
	if ((c->flags & VIOMMU_DEVICE_ATS) && !VTD_GET(ecap, VTD_ECAP_DT))
		return -EINVAL;
	if ((c->flags & VIOMMU_DEVICE_PRI) &&
	    (!(c->flags & VIOMMU_DEVICE_ATS) || !VTD_GET(ecap, VTD_ECAP_PRS)))
		return -EINVAL;
	return 0;
}

/* Directory and records: its own, or its parent's. */
static int tables_new(struct viommu_device *dev, struct viommu_device *parent)
{
	unsigned int pdts = dev->flags & VIOMMU_DEVICE_PASID ? PDTS_FULL : PDTS_MIN;

	dev->pdir_entries = parent ? parent->pdir_entries : pdts_entries(pdts);
	dev->bound = viommu__calloc(dev->pdir_entries, sizeof(*dev->bound));
	if (!dev->bound)
		return -ENOMEM;
	if (parent) {
		dev->parent = parent;
		dev->sce = parent->sce;
		dev->pdir = parent->pdir;
		dev->records = parent->records;
		return 0;
	}
	/* Large and mostly untouched: calloc gives pages that cost nothing until they are used. */
	dev->pdir_alloc = viommu__calloc(1, dev->pdir_entries * 8 + 4096);
	dev->records = viommu__calloc(dev->pdir_entries, sizeof(struct record *));
	if (!dev->pdir_alloc || !dev->records)
		return -ENOMEM;
	dev->pdir = (uint64_t *)align_up((uintptr_t)dev->pdir_alloc, 4096);
	return 0;
}

static void tables_free(struct viommu_device *dev)
{
	viommu__free(dev->bound);
	if (dev->parent)
		return;
	viommu__free(dev->records);
	viommu__free(dev->pdir_alloc);
}

/* The PASID that a sub-device's requests without one carry. No VM's quota pays for it. */
static int rid_new(struct viommu_device *dev)
{
	struct viommu_hp hp;
	int err;

	if (!dev->parent)
		return 0;
	err = viommu_owner_new(dev->host->pasids, 1, &dev->rid_owner);
	if (err)
		return err;
	err = viommu_pasid_alloc(
		dev->rid_owner, 1,
		(uint32_t)low_bits(VTD_GET(&dev->host->unit.ecap, VTD_ECAP_PSS) + 1), &hp);
	if (!err)
		dev->rid = hp.v;
	return err;
}

static void rid_free(struct viommu_device *dev)
{
	VIOMMU_ASSERT(viommu_owner_free(dev->rid_owner) == 0);
}

/* A place among the host's devices. Lock held. */
static int sid_take(struct viommu_device *dev)
{
	struct viommu_host *host = dev->host;
	struct list *l;

	for (l = host->devices.next; l != &host->devices; l = l->next)
		if (container_of(l, struct viommu_device, link)->sid == dev->sid)
			return -EEXIST;
	dev->sce = context_entry(host, dev->sid);
	return dev->sce ? 0 : -ENOMEM;
}

static int sub_take(struct viommu_device *dev)
{
	struct viommu_device *parent = dev->parent;
	unsigned int i;

	if (parent->gone)
		return -ENODEV;
	for (i = 0; i < SUBS_MAX / 64 && !~parent->subs[i]; i++)
		;
	if (i == SUBS_MAX / 64)
		return -ENOSPC;
	dev->sub = (uint8_t)(i * 64 + lowest_bit(~parent->subs[i]));
	parent->subs[i] |= BIT64(dev->sub % 64);
	parent->nr_subs++;
	return 0;
}

int viommu_device_new(struct viommu_host *host, const struct viommu_device_config *config,
		      struct viommu_device **out)
{
	struct viommu_device *dev;
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
	dev->ops = &host->ops;
	if (config->ops) {
		dev->own_ops = *config->ops;
		dev->ops = &dev->own_ops;
	}
	dev->max_requests =
		config->max_page_requests ? config->max_page_requests : host->max_requests;
	dev->subs[0] = 1;
	err = viommu__requests_init(dev);
	if (err) {
		viommu__free(dev);
		return err;
	}
	err = tables_new(dev, config->parent);
	if (!err)
		err = rid_new(dev);
	if (err)
		goto fail;

	pthread_mutex_lock(&host->lock);
	if (host->nr_devices >= host->max_devices || host->next_serial == UINT32_MAX)
		err = -ENOSPC;
	else
		err = dev->parent ? sub_take(dev) : sid_take(dev);
	if (err) {
		pthread_mutex_unlock(&host->lock);
		goto fail;
	}
	dev->key = (uint64_t)host->next_serial << 32;
	dev->mix = (uint32_t)hash64(host->next_serial++);
	host->nr_devices++;
	list_add_tail(&host->devices, &dev->link);
	if (!dev->parent) {
		unsigned int pdts = dev->flags & VIOMMU_DEVICE_PASID ? PDTS_FULL : PDTS_MIN;

		/* RID_PASID is 0, RID_PRIV 0. P is in the first word, which goes last. */
		store_relaxed(&dev->sce[1], 0);
		store_release(&dev->sce[0], (uintptr_t)dev->pdir | VTD_VAL(VTD_SCE_PDTS, pdts) |
						    sce_gates(dev->gates) | VTD_MASK(VTD_SCE_P));
	}
	pthread_mutex_unlock(&host->lock);
	*out = dev;
	return 0;

fail:
	rid_free(dev);
	tables_free(dev);
	viommu__requests_destroy(dev);
	viommu__free(dev);
	return err;
}

int viommu__device_table(struct viommu_device *dev, uint32_t pasid)
{
	struct record *records;
	uint64_t *table;
	unsigned int i;

	if (dev->parent)
		dev = dev->parent;
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
	if (!dev->parent)
		store_release(&dev->sce[0], 0);
	viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_FAILURE);
	viommu__binds_end(dev, VIOMMU_ALL_PASIDS, NULL);
	/* A request may have been opened by an access that found the bind still there. */
	viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_FAILURE);
}

int viommu_device_unplug(struct viommu_device *dev)
{
	struct viommu_host *host = dev->host;
	struct list *l;

	pthread_mutex_lock(&host->lock);
	if (!dev->gone)
		unplug_locked(dev);
again:
	for (l = host->devices.next; dev->nr_subs && l != &host->devices; l = l->next) {
		struct viommu_device *sub = container_of(l, struct viommu_device, link);

		if (sub->parent != dev || sub->gone)
			continue;
		unplug_locked(sub);
		goto again; /* the lock was dropped */
	}
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
	VIOMMU_ASSERT(!dev->nr_subs);
	list_del(&dev->link);
	host->nr_devices--;
	if (dev->parent) {
		dev->parent->subs[dev->sub / 64] &= ~BIT64(dev->sub % 64);
		dev->parent->nr_subs--;
	}
	for (i = 0; i < dev->pdir_entries && dev->tables; i++) {
		if (!dev->records[i])
			continue;
		viommu__page_put(&host->pages,
				 (void *)(uintptr_t)(dev->pdir[i] & VTD_MASK(VTD_PDIR_SMPTBLPTR)));
		viommu__free(dev->records[i]);
		dev->tables--;
	}
	pthread_mutex_unlock(&host->lock);
	rid_free(dev);
	tables_free(dev);
	viommu__requests_destroy(dev);
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

struct viommu_hp viommu_device_default_pasid(const struct viommu_device *dev)
{
	return (struct viommu_hp){ dev->rid };
}

/* A sub-device's own gates, and its end: what its context entry would say if it had one. */
static uint8_t sub_refuses(const struct viommu_device *dev, const struct viommu_path_request *req)
{
	uint32_t gates = load_acquire(&dev->gates);

	if (load_acquire(&dev->gone))
		return VTD_FR_SCE_NP;
	if ((req->request == VIOMMU_REQ_TRANSLATION || req->request == VIOMMU_REQ_TRANSLATED) &&
	    !(gates & VIOMMU_DEVICE_ATS))
		return VTD_FR_SCE_DTE;
	if (req->pasid != VIOMMU_NO_PASID && !(gates & VIOMMU_DEVICE_PASID))
		return VTD_FR_SCE_PASIDE;
	if (req->request == VIOMMU_REQ_PAGE && !(gates & VIOMMU_DEVICE_PRI))
		return VTD_FR_SCE_PRE;
	return req->pasid == dev->rid ? VTD_FR_RID_PASID : 0;
}

static int path_refused(const struct viommu_path_request *req, uint8_t reason,
			struct viommu_path_result *out)
{
	*out = (struct viommu_path_result){
		.pasid = req->pasid,
		.fault = {
			.reason = reason,
			.stage = VIOMMU_STAGE_PATH,
			.flags = req->pasid == VIOMMU_NO_PASID ? 0 : VIOMMU_FAULT_HAS_PASID,
			.sid = req->sid,
			.access = (uint8_t)req->access,
			.request = req->request,
			.pasid = req->pasid,
			.addr = req->addr,
		},
	};
	return VIOMMU_FAULTED;
}

int viommu__device_path(const struct viommu_device *dev, const struct viommu_path_request *req,
			bool foreign, struct viommu_recorder *rec, struct viommu_path_result *out)
{
	struct viommu_path_request r = *req;
	uint8_t reason;

	/* Interrupt messages come before any table, so a sub-device's are like any other's. */
	if (req->pasid == VIOMMU_NO_PASID && viommu__path_in_window(req->addr) &&
	    req->request <= VIOMMU_REQ_TRANSLATION)
		return viommu__path_lookup_own(&dev->host->unit, req, rec, out);
	if (dev->parent) {
		reason = sub_refuses(dev, req);
		if (reason)
			return path_refused(req, reason, out);
		r.pasid = viommu__entry_of(dev, req->pasid);
	}
	/* What another has bound is not there for this one. */
	if (foreign)
		return path_refused(req, VTD_FR_PE_NP, out);
	return viommu__path_lookup_own(&dev->host->unit, &r, rec, out);
}

/*
 * Nothing that was translated for it so far is used again. Not by the host's generation: a guest
 * has this done as often as it likes, and other VMs' translations must not cost more. Lock held.
 */
static void forget_all(struct viommu_device *dev)
{
	struct record *rec;
	uint32_t i;

	for (i = 0; (rec = viommu__record_next(dev, &i, dev->pdir_entries * 64 - 1)); i++)
		if (rec->state != RECORD_FREE)
			gen_bump(dev->host, &rec->gen);
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
	if (!dev->parent)
		store_release(&dev->sce[0],
			      (dev->sce[0] & ~sce_gates(UINT32_MAX)) | sce_gates(flags));
	forget_all(dev); /* translations know nothing of gates */
	if (!(flags & VIOMMU_DEVICE_PRI))
		viommu__requests_end(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_INVALID);
	viommu__device_drop(dev, VIOMMU_ALL_PASIDS, 0, 0);
	pthread_mutex_unlock(&host->lock);
	viommu__markers_drain(&host->markers);
	return 0;
}
