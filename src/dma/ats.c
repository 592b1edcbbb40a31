/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ATS: translation requests, and a device TLB that uses their results in translated requests (VT-d
 * 5.10, PCIe ATS).
 *
 * A device TLB is direct-mapped, one lock around look-up and fill. Invalidations come as a hook
 * from the host before it drains: entries go, then every access that still uses one ends. A
 * translation asked for before an invalidation and filled in after it is recognised by the TLB's
 * generation and not kept.
 */
#include "dma/access.h"
#include "dma/copy.h"
#include "pasid/path.h"

#define ATS_FLAGS (VIOMMU_ATS_NO_WRITE | VIOMMU_ATS_PRIV)
/* Entries of one device TLB. */
#define DEVTLB_MAX 65536u

static enum viommu_outcome ats_outcome(const struct viommu_fault *fault)
{
	return viommu_fault_outcome(fault->reason, VIOMMU_REQ_TRANSLATION);
}

/* What a translation request that met this fault returns: not every fault is an error of it. */
static int ats_status(const struct viommu_fault *fault)
{
	enum viommu_outcome o = ats_outcome(fault);

	return o == VTD_OUT_S0 || o == VTD_OUT_SP ? 0 : VIOMMU_FAULTED;
}

/* A large page around the interrupt window: messages are never translated, so the result is cut. */
static void window_cut(uint64_t addr, uint8_t *size_lg2)
{
	while (*size_lg2 > 12 && align_down(addr, BIT64(*size_lg2)) <= VTD_WINDOW_LAST &&
	       (addr | low_bits(*size_lg2)) >= VTD_WINDOW_BASE)
		(*size_lg2)--;
}

/*
 * Inside a section. 0 (out->perm may be 0: what stood in the way is in dma->fault), VIOMMU_FAULTED
 * (UR, CA).
 */
static int ats_translate(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
			 uint64_t addr, uint32_t flags, struct viommu_ats_result *out)
{
	uint32_t priv = flags & VIOMMU_ATS_PRIV ? VIOMMU_PRIV : 0;
	bool no_write =
		flags & VIOMMU_ATS_NO_WRITE && VTD_GET(&dma->host->unit.ecap, VTD_ECAP_NWFS);
	uint32_t access = priv | VIOMMU_READ | (no_write ? 0 : VIOMMU_WRITE);
	struct viommu__path_snapshot snap;
	struct viommu_walk_result wr;
	struct slot *slot;
	int ret;

	memset(out, 0, sizeof(*out));
	dma->fault.reason = 0;
	/* DTE and the other gates of this kind of request; the slot was filled for plain ones. */
	ret = viommu__dma_path(dma, dev, pasid, addr, access, VIOMMU_REQ_TRANSLATION, &snap);
	if (ret == VIOMMU_FAULTED)
		viommu__dma_fault(dma, &snap.path.fault, dev, pasid, access, addr);
	if (!ret && snap.path.interrupt) {
		out->untranslated = !no_write;
		out->perm = no_write ? 0 : VIOMMU_WRITE;
		out->addr = align_down(addr, 4096);
		out->size_lg2 = 12;
		return 0;
	}
	if (!ret)
		ret = viommu__dma_slot(dma, dev, pasid, addr, access, &slot);
	if (!ret) {
		ret = viommu__dma_walk(dma, slot, addr, access, &wr);
		/* A page that may only be read is an answer, not a fault. */
		if (ret == VIOMMU_FAULTED && (access & VIOMMU_WRITE) &&
		    viommu_fault_outcome(wr.fault.reason, VIOMMU_REQ_TRANSLATION) == VTD_OUT_SP)
			ret = viommu__dma_walk(dma, slot, addr, access & ~VIOMMU_WRITE, &wr);
		if (ret == VIOMMU_FAULTED)
			viommu__dma_fault(dma, &wr.fault, dev, pasid, access, addr);
	}
	if (ret == VIOMMU_FAULTED) {
		dma->fault.request = VIOMMU_REQ_TRANSLATION;
		return ats_status(&dma->fault);
	}
	if (ret)
		return ret;
	out->size_lg2 = wr.page_lg2;
	if (pasid == VIOMMU_NO_PASID)
		window_cut(addr, &out->size_lg2);
	out->addr = align_down((uintptr_t)wr.host, BIT64(out->size_lg2));
	out->perm = (priv ? wr.perm >> 2 : wr.perm) & (VIOMMU_READ | VIOMMU_WRITE);
	out->no_snoop = wr.snp;
	out->priv = priv != 0;
	return 0;
}

/*
 * Nothing is bound. Guests do not announce a PASID entry that becomes present, so the owner may
 * know one. Outside of any section.
 */
static int ats_miss(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
		    uint64_t addr, uint32_t flags, struct viommu_ats_result *out)
{
	struct access a;
	int ret;

	access_init(&a, dma, dev, pasid, VIOMMU_DMA_ATS);
	a.fault = dma->fault;
	if (viommu__access_miss(&a)) {
		dma->fault = a.fault;
		return ats_status(&dma->fault);
	}
	viommu__marker_enter(&dma->marker);
	ret = ats_translate(dma, dev, pasid, addr, flags, out);
	viommu__marker_leave(&dma->marker);
	return ret;
}

int viommu_ats_translate(struct viommu_dma *dma, struct viommu_device *dev, uint32_t pasid,
			 uint64_t addr, uint32_t flags, struct viommu_ats_result *out,
			 struct viommu_fault *fault)
{
	const struct viommu_host_ops *ops = dev->ops;
	int ret;

	if ((flags & ~ATS_FLAGS) || (pasid > VIOMMU_PASID_MAX && pasid != VIOMMU_NO_PASID) ||
	    (pasid == VIOMMU_NO_PASID && (flags & VIOMMU_ATS_PRIV)) ||
	    !(dev->flags & VIOMMU_DEVICE_ATS))
		return -EINVAL;
	viommu__marker_enter(&dma->marker);
	ret = ats_translate(dma, dev, pasid, addr, flags, out);
	viommu__marker_leave(&dma->marker);
	if (!ret && viommu__access_absent(&dma->fault))
		ret = ats_miss(dma, dev, pasid, addr, flags, out);
	if ((ret && ret != VIOMMU_FAULTED) || !dma->fault.reason)
		return ret;
	/* Also of a request that ended without error there may be something to record: 91h. */
	if (viommu_fault_is_logged(dma->fault.reason, ats_outcome(&dma->fault)) &&
	    !(dma->fault.flags & VIOMMU_FAULT_FPD) && ops->fault)
		ops->fault(ops->ctx, dev, &dma->fault);
	if (ret && fault)
		*fault = dma->fault;
	return ret;
}

uint64_t viommu_ats_item(const struct viommu_ats_result *result)
{
	uint64_t item = result->addr & VTD_MASK(VTD_ATS_ADDR);

	/* Without permissions there is no address to tell. Execute and global stay 0. */
	if (!result->perm)
		return VTD_VAL(VTD_ATS_PRIV, result->priv);
	/* The lowest address bit from 12 up that is 0 gives the size: those below it are 1. */
	if (result->size_lg2 > 12)
		item |= VTD_MASK(VTD_ATS_S) | (low_bits(result->size_lg2 - 1) & ~low_bits(12));
	return item | VTD_VAL(VTD_ATS_R, !!(result->perm & VIOMMU_READ)) |
	       VTD_VAL(VTD_ATS_W, !!(result->perm & VIOMMU_WRITE)) |
	       VTD_VAL(VTD_ATS_U, result->untranslated) | VTD_VAL(VTD_ATS_PRIV, result->priv) |
	       VTD_VAL(VTD_ATS_N, result->no_snoop);
}

struct entry {
	uint64_t page; /* address / 4096 */
	uint64_t host; /* translated address, with the result's permissions in the low bits */
	uint32_t pasid;
	uint8_t used;
	uint8_t priv;
};

struct viommu_devtlb {
	struct viommu__devtlb_hook hook;
	struct viommu_device *dev;
	pthread_mutex_t lock;
	uint64_t gen; /* invalidations seen */
	uint64_t hits;
	uint64_t misses;
	uint32_t mask;
	uint32_t valid;
	struct entry *entries;
};

static struct entry *entry_of(struct viommu_devtlb *tlb, uint32_t pasid, uint64_t page)
{
	return &tlb->entries[hash64_pair(pasid, page) & tlb->mask];
}

static void entry_drop(struct viommu_devtlb *tlb, struct entry *e)
{
	tlb->valid -= e->used;
	e->used = 0;
}

/* The host's hook. pasid 0 stands for requests without PASID. */
static void devtlb_invalidate(struct viommu__devtlb_hook *hook, uint32_t pasid, uint64_t addr,
			      uint64_t bytes)
{
	struct viommu_devtlb *tlb = container_of(hook, struct viommu_devtlb, hook);
	uint64_t last = bytes && bytes - 1 <= UINT64_MAX - addr ? addr + bytes - 1 : UINT64_MAX;
	uint32_t i;

	if (pasid == 0)
		pasid = VIOMMU_NO_PASID;
	pthread_mutex_lock(&tlb->lock);
	tlb->gen++;
	for (i = 0; i <= tlb->mask; i++) {
		struct entry *e = &tlb->entries[i];

		if (!e->used || (pasid != VIOMMU_ALL_PASIDS && e->pasid != pasid))
			continue;
		if (!bytes || (e->page << 12 <= last && (e->page << 12 | 4095) >= addr))
			entry_drop(tlb, e);
	}
	pthread_mutex_unlock(&tlb->lock);
}

int viommu_devtlb_new(struct viommu_device *dev, unsigned entries, struct viommu_devtlb **out)
{
	struct viommu_devtlb *tlb;
	int err;

	*out = NULL;
	if (!is_pow2(entries) || entries > DEVTLB_MAX || !(dev->flags & VIOMMU_DEVICE_ATS))
		return -EINVAL;
	tlb = viommu__calloc(1, sizeof(*tlb));
	if (!tlb)
		return -ENOMEM;
	tlb->entries = viommu__calloc(entries, sizeof(*tlb->entries));
	if (!tlb->entries) {
		viommu__free(tlb);
		return -ENOMEM;
	}
	err = pthread_mutex_init(&tlb->lock, NULL);
	if (err) {
		viommu__free(tlb->entries);
		viommu__free(tlb);
		return -err;
	}
	tlb->dev = dev;
	tlb->mask = entries - 1;
	tlb->hook.invalidate = devtlb_invalidate;
	pthread_mutex_lock(&dev->host->lock);
	list_add_tail(&dev->devtlbs, &tlb->hook.link);
	pthread_mutex_unlock(&dev->host->lock);
	*out = tlb;
	return 0;
}

void viommu_devtlb_free(struct viommu_devtlb *tlb)
{
	if (!tlb)
		return;
	pthread_mutex_lock(&tlb->dev->host->lock);
	list_del(&tlb->hook.link);
	pthread_mutex_unlock(&tlb->dev->host->lock);
	pthread_mutex_destroy(&tlb->lock);
	viommu__free(tlb->entries);
	viommu__free(tlb);
}

void viommu_devtlb_stats(struct viommu_devtlb *tlb, unsigned *valid, uint64_t *hits,
			 uint64_t *misses)
{
	pthread_mutex_lock(&tlb->lock);
	*valid = tlb->valid;
	*hits = tlb->hits;
	*misses = tlb->misses;
	pthread_mutex_unlock(&tlb->lock);
}

/* Look up; false on a miss. *gen: for devtlb_put(). */
static bool devtlb_get(struct viommu_devtlb *tlb, uint32_t pasid, uint64_t addr, bool priv,
		       uint32_t want, uint64_t *host, uint64_t *gen)
{
	struct entry *e = entry_of(tlb, pasid, addr >> 12);
	bool hit;

	pthread_mutex_lock(&tlb->lock);
	*gen = tlb->gen;
	hit = e->used && e->pasid == pasid && e->page == addr >> 12 && e->priv == priv &&
	      (e->host & want) == want;
	if (hit) {
		*host = align_down(e->host, 4096) | (addr & 4095);
		tlb->hits++;
	} else {
		tlb->misses++;
	}
	pthread_mutex_unlock(&tlb->lock);
	return hit;
}

static void devtlb_put(struct viommu_devtlb *tlb, uint32_t pasid, uint64_t addr, bool priv,
		       uint64_t host_page, uint8_t perm, uint64_t gen)
{
	struct entry *e = entry_of(tlb, pasid, addr >> 12);

	pthread_mutex_lock(&tlb->lock);
	if (tlb->gen == gen) {
		entry_drop(tlb, e);
		*e = (struct entry){
			.page = addr >> 12,
			.host = host_page | perm,
			.pasid = pasid,
			.used = 1,
			.priv = priv,
		};
		tlb->valid++;
	}
	pthread_mutex_unlock(&tlb->lock);
}

/* One page of an access: translated by the TLB, by a translation request, after a page request. */
static int devtlb_page(struct viommu_devtlb *tlb, struct access *a, uint64_t addr, uint32_t want,
		       uint64_t *host)
{
	bool priv = a->flags & VIOMMU_PRIV;
	struct viommu_ats_result r;
	uint64_t gen;
	int ret;

	for (;;) {
		if (devtlb_get(tlb, a->pasid, addr, priv, want, host, &gen))
			return 0;
		ret = ats_translate(a->dma, a->dev, a->pasid, addr,
				    (want & VIOMMU_WRITE ? 0 : VIOMMU_ATS_NO_WRITE) |
					    (priv ? VIOMMU_ATS_PRIV : 0),
				    &r);
		a->fault = a->dma->fault;
		if (ret && ret != VIOMMU_FAULTED)
			return ret;
		if (!ret && (r.perm & want) == want) {
			uint64_t page = align_down(r.addr + (addr & (BIT64(r.size_lg2) - 1)), 4096);

			devtlb_put(tlb, a->pasid, addr, priv, page, r.perm, gen);
			*host = page | (addr & 4095);
			return 0;
		}
		if (!ret && r.perm) {
			/* Readable, not writable: an answer, so the fault has to be said here. */
			a->fault = (struct viommu_fault){
				.reason = VTD_FR_S_WRITE,
				.sid = a->dev->sid,
				.pasid = a->pasid,
				.access = (uint8_t)(want | (priv ? VIOMMU_PRIV : 0)),
				.request = VIOMMU_REQ_TRANSLATION,
				.addr = addr,
				.stage_addr = addr,
				.flags = a->pasid != VIOMMU_NO_PASID ? VIOMMU_FAULT_HAS_PASID : 0,
			};
		}
		a->fault.access = (uint8_t)(want | (priv ? VIOMMU_PRIV : 0));
		ret = viommu__access_recover(a);
		if (ret)
			return ret;
	}
}

/*
 * The part of an access that lies in the interrupt window is not translated, so it goes as a plain
 * request: a message, or 29h.
 */
static int devtlb_window(struct viommu_devtlb *tlb, struct viommu_dma *dma, uint64_t addr,
			 uint8_t *buf, uint64_t bytes, uint32_t flags, uint32_t want,
			 uint64_t *done, struct viommu_dma_result *res)
{
	struct viommu_dma_result r = { 0 };
	int ret;

	if (want & VIOMMU_WRITE)
		ret = viommu_dma_write(dma, tlb->dev, VIOMMU_NO_PASID, addr, buf, bytes,
				       flags & ~VIOMMU_DMA_ATS, &r);
	else
		ret = viommu_dma_read(dma, tlb->dev, VIOMMU_NO_PASID, addr, buf, bytes,
				      flags & ~VIOMMU_DMA_ATS, &r);
	*done += r.done;
	if (res) {
		*res = r;
		res->done = *done;
	}
	return ret;
}

static int devtlb_access(struct viommu_devtlb *tlb, struct viommu_dma *dma, uint32_t pasid,
			 uint64_t addr, uint8_t *buf, size_t bytes, uint32_t flags, uint32_t want,
			 struct viommu_dma_result *res)
{
	uint64_t done = 0, host, last, n;
	struct access a;
	int ret = 0;

	if ((flags & ~ACCESS_FLAGS) || (flags & VIOMMU_EXEC) ||
	    (pasid > VIOMMU_PASID_MAX && pasid != VIOMMU_NO_PASID) ||
	    (pasid == VIOMMU_NO_PASID && (flags & VIOMMU_PRIV)) || dma->host != tlb->dev->host ||
	    (bytes && !range_last(addr, bytes, &last)))
		return -EINVAL;
	access_init(&a, dma, tlb->dev, pasid, flags | VIOMMU_DMA_ATS);
	while (done < bytes && !ret) {
		n = min_u64(bytes - done, 4096 - ((addr + done) & 4095));
		if (pasid == VIOMMU_NO_PASID && viommu__path_in_window(addr + done)) {
			ret = devtlb_window(tlb, dma, addr + done, buf + done, n, flags, want,
					    &done, res);
			if (ret)
				return ret;
			continue;
		}
		/* A section a page: look-up and use of an entry stand in the same one. */
		viommu__marker_enter(&dma->marker);
		ret = devtlb_page(tlb, &a, addr + done, want, &host);
		if (!ret) {
			if (want & VIOMMU_WRITE)
				copy_bytes((void *)(uintptr_t)host, buf + done, n,
					   flags & VIOMMU_DMA_NO_ALLOCATE);
			else
				copy_bytes(buf + done, (void *)(uintptr_t)host, n,
					   flags & VIOMMU_DMA_NO_ALLOCATE);
			if (access_whole(&a)) {
				done += n;
				access_progress(&a);
			} else {
				viommu__access_lost(&a);
			}
		}
		viommu__marker_leave(&dma->marker);
	}
	access_done(res, done, ret, &a);
	return ret;
}

int viommu_devtlb_read(struct viommu_devtlb *tlb, struct viommu_dma *dma, uint32_t pasid,
		       uint64_t addr, void *buf, size_t bytes, uint32_t flags,
		       struct viommu_dma_result *res)
{
	return devtlb_access(tlb, dma, pasid, addr, buf, bytes, flags, VIOMMU_READ, res);
}

int viommu_devtlb_write(struct viommu_devtlb *tlb, struct viommu_dma *dma, uint32_t pasid,
			uint64_t addr, const void *buf, size_t bytes, uint32_t flags,
			struct viommu_dma_result *res)
{
	return devtlb_access(tlb, dma, pasid, addr, (void *)(uintptr_t)buf, bytes, flags,
			     VIOMMU_WRITE, res);
}
