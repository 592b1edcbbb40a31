/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest-PASID bind interface of Linux v5.5 to v5.17 over the host: structures of both forms,
 * checked in the order in which that kernel checked them. The table of all checks, with row numbers
 * (GP-...), is in viommu/gpasid.h.
 *
 * Both forms are read into one plain structure, from there on there is one path. What is only
 * checked here and again by the host (is the PASID allocated, is it bound) is here for the order
 * of the errnos; the host's own check, under its lock, is the one that counts.
 */
#include <string.h>

#include <viommu/gpasid.h>
#include "host/soft.h"

#define AT(s, member, offset) \
	_Static_assert(offsetof(struct viommu_gpasid_##s, member) == (offset), #s "." #member)
#define SIZE(s, size) _Static_assert(sizeof(struct viommu_gpasid_##s) == (size), #s)

SIZE(vtd, 16);
AT(vtd, flags, 0);
AT(vtd, pat, 8);
AT(vtd, emt, 12);

SIZE(bind_data, 72);
AT(bind_data, argsz, 0);
AT(bind_data, version, 4);
AT(bind_data, format, 8);
AT(bind_data, addr_width, 12);
AT(bind_data, flags, 16);
AT(bind_data, gpgd, 24);
AT(bind_data, hpasid, 32);
AT(bind_data, gpasid, 40);
AT(bind_data, padding, 48);
AT(bind_data, vtd, 56);

SIZE(bind_data_v55, 72);
AT(bind_data_v55, version, 0);
AT(bind_data_v55, format, 4);
AT(bind_data_v55, flags, 8);
AT(bind_data_v55, gpgd, 16);
AT(bind_data_v55, hpasid, 24);
AT(bind_data_v55, gpasid, 32);
AT(bind_data_v55, addr_width, 40);
AT(bind_data_v55, padding, 44);
AT(bind_data_v55, vtd, 56);

SIZE(inv_pasid, 16);
AT(inv_pasid, flags, 0);
AT(inv_pasid, archid, 4);
AT(inv_pasid, pasid, 8);

SIZE(inv_addr, 40);
AT(inv_addr, flags, 0);
AT(inv_addr, archid, 4);
AT(inv_addr, pasid, 8);
AT(inv_addr, addr, 16);
AT(inv_addr, granule_size, 24);
AT(inv_addr, nb_granules, 32);

SIZE(inv_info, 56);
AT(inv_info, argsz, 0);
AT(inv_info, version, 4);
AT(inv_info, cache, 8);
AT(inv_info, granularity, 9);
AT(inv_info, padding, 10);
AT(inv_info, granu, 16);

SIZE(inv_info_v55, 48);
AT(inv_info_v55, version, 0);
AT(inv_info_v55, cache, 4);
AT(inv_info_v55, granularity, 5);
AT(inv_info_v55, padding, 6);
AT(inv_info_v55, granu, 8);

SIZE(response, 24);
AT(response, argsz, 0);
AT(response, version, 4);
AT(response, flags, 8);
AT(response, pasid, 12);
AT(response, grpid, 16);
AT(response, code, 20);

SIZE(response_v55, 20);
AT(response_v55, version, 0);
AT(response_v55, flags, 4);
AT(response_v55, pasid, 8);
AT(response_v55, grpid, 12);
AT(response_v55, code, 16);

SIZE(fault, 64);
AT(fault, type, 0);
AT(fault, padding, 4);
AT(fault, u.event.reason, 8);
AT(fault, u.event.flags, 12);
AT(fault, u.event.pasid, 16);
AT(fault, u.event.perm, 20);
AT(fault, u.event.addr, 24);
AT(fault, u.event.fetch_addr, 32);
AT(fault, u.prm.flags, 8);
AT(fault, u.prm.pasid, 12);
AT(fault, u.prm.grpid, 16);
AT(fault, u.prm.perm, 20);
AT(fault, u.prm.addr, 24);
AT(fault, u.prm.private_data, 32);

/* The bytes before the vendor's part of a bind, and before the union of an invalidation. */
#define BIND_HEAD 56u
#define INV_HEAD  16u

/* ---- The caller's bytes ---- */

/*
 * A structure whose size both sides know. The caller may be changing it: once copied, it is never
 * looked at again.
 */
static int read_fixed(void *to, size_t size, const void *data, size_t bytes)
{
	if (!data || bytes < size)
		return -EFAULT;
	memcpy(to, data, size);
	return 0;
}

/*
 * A structure that begins with argsz: the first `head` bytes have to be there. The rest is copied
 * with them, since a second look would see other bytes; read_argsz_rest() judges it.
 */
static int read_argsz(void *to, size_t size, size_t head, const void *data, size_t bytes,
		      uint32_t *argsz)
{
	if (!data || bytes < head)
		return -EFAULT;
	memset(to, 0, size);
	memcpy(to, data, bytes < size ? bytes : size);
	memcpy(argsz, to, sizeof(*argsz));
	return *argsz < head ? -EINVAL : 0;
}

/*
 * What argsz promises has to be there too; what it leaves out is 0, what is beyond our size does
 * not matter.
 */
static int read_argsz_rest(void *to, size_t size, uint32_t argsz, size_t bytes)
{
	size_t want = argsz < size ? argsz : size;

	if (bytes < want)
		return -EFAULT;
	memset((uint8_t *)to + want, 0, size - want);
	return 0;
}

static int is_zero(const uint8_t *bytes, size_t n)
{
	uint8_t any = 0;

	while (n--)
		any |= *bytes++;
	return !any;
}

/* ---- Bind and unbind ---- */

struct bind_args {
	uint32_t argsz;
	uint32_t version;
	uint32_t format;
	uint32_t addr_width;
	uint64_t flags;
	uint64_t gpgd;
	uint64_t hpasid;
	uint64_t gpasid;
	uint64_t vtd_flags;
	uint64_t vtd_known;
	int padding_is_zero;
};

static int bind_read(const void *data, size_t bytes, struct bind_args *out)
{
	struct viommu_gpasid_bind_data d;
	uint32_t argsz;
	int err;

	err = read_argsz(&d, sizeof(d), BIND_HEAD, data, bytes, &argsz);
	if (!err)
		err = read_argsz_rest(&d, sizeof(d), argsz, bytes);
	if (err)
		return err;
	*out = (struct bind_args){
		.argsz = argsz,
		.version = d.version,
		.format = d.format,
		.addr_width = d.addr_width,
		.flags = d.flags,
		.gpgd = d.gpgd,
		.hpasid = d.hpasid,
		.gpasid = d.gpasid,
		.vtd_flags = d.vtd.flags,
		.vtd_known = 0x7f,
		.padding_is_zero = is_zero(d.padding, sizeof(d.padding)),
	};
	return 0;
}

static int bind_read_v55(const void *data, size_t bytes, struct bind_args *out)
{
	struct viommu_gpasid_bind_data_v55 d;
	int err = read_fixed(&d, sizeof(d), data, bytes);

	if (err)
		return err;
	*out = (struct bind_args){
		.argsz = sizeof(struct viommu_gpasid_bind_data),
		.version = d.version,
		.format = d.format,
		.addr_width = d.addr_width,
		.flags = d.flags,
		.gpgd = d.gpgd,
		.hpasid = d.hpasid,
		.gpasid = d.gpasid,
		.vtd_flags = d.vtd.flags,
		.vtd_known = 0x3f, /* WPE came later */
		.padding_is_zero = is_zero(d.padding, sizeof(d.padding)),
	};
	return 0;
}

/* GP-BIND-07 to -10 */
static int bind_check_core(const struct bind_args *a)
{
	if (a->version != VIOMMU_GPASID_VERSION || a->format > VIOMMU_GPASID_FORMAT_VTD)
		return -EINVAL;
	if ((a->flags & ~(uint64_t)VIOMMU_GPASID_DATA_VALID) || !a->padding_is_zero)
		return -EINVAL;
	return 0;
}

static int domain_nests(const struct viommu_domain *dom)
{
	return VTD_GET(&dom->host->unit.ecap, VTD_ECAP_NEST) &&
	       !(dom->flags & VIOMMU_DOMAIN_NO_NEST);
}

static int device_gone(struct viommu_device *dev)
{
	int gone;

	pthread_mutex_lock(&dev->host->lock);
	gone = dev->gone;
	pthread_mutex_unlock(&dev->host->lock);
	return gone;
}

static int is_bound(struct viommu_device *dev, struct viommu_hp hp)
{
	struct record *rec;
	int bound;

	pthread_mutex_lock(&dev->host->lock);
	rec = viommu__own_record(dev, hp.v);
	bound = rec && rec->state != RECORD_FREE;
	pthread_mutex_unlock(&dev->host->lock);
	return bound;
}

/* GP-VTB-02 to -08: what needs no look at PASIDs. */
static int bind_check_vtd(const struct viommu_domain *dom, struct viommu_device *dev,
			  const struct bind_args *a)
{
	if (a->format != VIOMMU_GPASID_FORMAT_VTD ||
	    a->argsz < sizeof(struct viommu_gpasid_bind_data))
		return -EINVAL;
	if (a->vtd_flags & ~a->vtd_known)
		return -EINVAL;
	if (!(dev->flags & VIOMMU_DEVICE_PASID))
		return -ENOTSUP;
	if (VTD_GET(&dev->host->unit.ecap, VTD_ECAP_PSS) + 1 < VIOMMU_PASID_BITS)
		return -EINVAL;
	if (a->hpasid == 0 || a->hpasid > VIOMMU_PASID_MAX)
		return -EINVAL;
	if (dev->host != dom->host)
		return -EINVAL;
	return device_gone(dev) ? -ENODEV : 0;
}

/* GP-VTB-13 to -31; what is not here the host refuses (capabilities, roots, WPE alone). */
static int bind_nested(struct viommu_domain *dom, struct viommu_device *dev,
		       const struct bind_args *a)
{
	const uint64_t memory_type = VIOMMU_GPASID_VTD_PCD | VIOMMU_GPASID_VTD_PWT |
				     VIOMMU_GPASID_VTD_EMTE | VIOMMU_GPASID_VTD_CD;
	struct viommu_gpasid_bind b = {
		.size = sizeof(b),
		.flags = (a->vtd_flags & VIOMMU_GPASID_VTD_SRE ? VIOMMU_GPASID_SRE : 0) |
			 (a->vtd_flags & VIOMMU_GPASID_VTD_EAFE ? VIOMMU_GPASID_EAFE : 0) |
			 (a->vtd_flags & VIOMMU_GPASID_VTD_WPE ? VIOMMU_GPASID_WPE : 0),
		.addr_width = a->addr_width,
		.hp = { (uint32_t)a->hpasid },
		.gpgd = a->gpgd,
	};

	if (!domain_nests(dom) || (a->vtd_flags & memory_type))
		return -EINVAL;
	if (a->flags & VIOMMU_GPASID_DATA_VALID) {
		if (a->gpasid > VIOMMU_PASID_MAX)
			return -EINVAL;
		b.flags |= VIOMMU_GPASID_VALID;
		b.gp.v = (uint32_t)a->gpasid;
	}
	return viommu_host_bind_gpasid(dev, dom, &b);
}

static int bind_run(struct viommu_domain *dom, struct viommu_device *dev, const struct bind_args *a)
{
	struct viommu_hp hp;
	int err;

	err = bind_check_core(a);
	if (!err)
		err = bind_check_vtd(dom, dev, a);
	if (err)
		return err;
	/* Held until the bind holds a reference of its own. */
	hp.v = (uint32_t)a->hpasid;
	err = viommu_pasid_get(dom->owner, hp);
	if (err)
		return err;
	err = is_bound(dev, hp) ? -EBUSY : bind_nested(dom, dev, a);
	viommu_pasid_put(dom->owner, hp);
	return err;
}

static int unbind_run(struct viommu_domain *dom, struct viommu_device *dev,
		      const struct bind_args *a)
{
	struct viommu_hp hp;
	int err;

	err = bind_check_core(a);
	if (err)
		return err;
	if (a->hpasid == 0 || a->hpasid > VIOMMU_PASID_MAX || dev->host != dom->host)
		return -EINVAL;
	hp.v = (uint32_t)a->hpasid;
	err = viommu_pasid_get(dom->owner, hp);
	if (err)
		return err == -ENOENT ? 0 : err; /* not allocated, so not bound */
	err = viommu_host_unbind_gpasid(dev, hp);
	viommu_pasid_put(dom->owner, hp);
	return err;
}

int viommu_gpasid_bind(struct viommu_domain *dom, struct viommu_device *dev, const void *data,
		       size_t bytes)
{
	struct bind_args a;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = bind_read(data, bytes, &a);
	return err ? err : bind_run(dom, dev, &a);
}

int viommu_gpasid_bind_v55(struct viommu_domain *dom, struct viommu_device *dev, const void *data,
			   size_t bytes)
{
	struct bind_args a;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = bind_read_v55(data, bytes, &a);
	return err ? err : bind_run(dom, dev, &a);
}

int viommu_gpasid_unbind(struct viommu_domain *dom, struct viommu_device *dev, const void *data,
			 size_t bytes)
{
	struct bind_args a;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = bind_read(data, bytes, &a);
	return err ? err : unbind_run(dom, dev, &a);
}

int viommu_gpasid_unbind_v55(struct viommu_domain *dom, struct viommu_device *dev, const void *data,
			     size_t bytes)
{
	struct bind_args a;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = bind_read_v55(data, bytes, &a);
	return err ? err : unbind_run(dom, dev, &a);
}

/* ---- Invalidation ---- */

struct inv_args {
	uint32_t version;
	uint8_t cache;
	uint8_t granularity;
	int padding_is_zero;
	struct viommu_gpasid_inv_addr info; /* pasid_info is its beginning */
};

static int inv_read(const void *data, size_t bytes, struct inv_args *out)
{
	struct viommu_gpasid_inv_info d;
	uint32_t argsz;
	int err;

	err = read_argsz(&d, sizeof(d), INV_HEAD, data, bytes, &argsz);
	if (err)
		return err;
	if (d.granularity == VIOMMU_GPASID_GRANU_PASID && argsz < INV_HEAD + sizeof(d.granu.pasid))
		return -EINVAL;
	if (d.granularity == VIOMMU_GPASID_GRANU_ADDR && argsz < INV_HEAD + sizeof(d.granu.addr))
		return -EINVAL;
	err = read_argsz_rest(&d, sizeof(d), argsz, bytes);
	if (err)
		return err;
	*out = (struct inv_args){
		.version = d.version,
		.cache = d.cache,
		.granularity = d.granularity,
		.padding_is_zero = is_zero(d.padding, sizeof(d.padding)),
		.info = d.granu.addr,
	};
	return 0;
}

static int inv_read_v55(const void *data, size_t bytes, struct inv_args *out)
{
	struct viommu_gpasid_inv_info_v55 d;
	int err = read_fixed(&d, sizeof(d), data, bytes);

	if (err)
		return err;
	*out = (struct inv_args){
		.version = d.version,
		.cache = d.cache,
		.granularity = d.granularity,
		.padding_is_zero = is_zero(d.padding, sizeof(d.padding)),
		.info = d.granu.addr,
	};
	return 0;
}

/* GP-INV-07 to -15 */
static int inv_check_core(const struct inv_args *a)
{
	const uint32_t pasid_flags = VIOMMU_GPASID_INV_PASID | VIOMMU_GPASID_INV_ARCHID;
	const uint32_t addr_flags = pasid_flags | VIOMMU_GPASID_INV_LEAF;

	if (a->version != VIOMMU_GPASID_VERSION)
		return -EINVAL;
	if (a->cache > 7 || !a->cache || a->granularity > VIOMMU_GPASID_GRANU_ADDR)
		return -EINVAL;
	switch (a->granularity) {
	case VIOMMU_GPASID_GRANU_ADDR:
		if ((a->cache & VIOMMU_GPASID_CACHE_PASID) || (a->info.flags & ~addr_flags))
			return -EINVAL;
		break;
	case VIOMMU_GPASID_GRANU_PASID:
		if (a->info.flags & ~pasid_flags)
			return -EINVAL;
		break;
	default:
		if (a->cache & VIOMMU_GPASID_CACHE_DEV_IOTLB)
			return -EINVAL;
	}
	return a->padding_is_zero ? 0 : -EINVAL;
}

/* GP-VTI-05 to -07: each cache that is named has to be allowed with this granularity. */
static int inv_check_pairs(const struct inv_args *a)
{
	switch (a->granularity) {
	case VIOMMU_GPASID_GRANU_ADDR:
		return 0; /* the core let only the IOTLB and the device's through */
	case VIOMMU_GPASID_GRANU_PASID:
		return a->cache == VIOMMU_GPASID_CACHE_IOTLB ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

/*
 * In whole pages; the end is 2^64 at most. Alignment to the size does not matter here (GP-VTI-10).
 */
static int inv_range(const struct viommu_gpasid_inv_addr *info, uint64_t *addr, uint64_t *bytes)
{
	uint64_t n, last;

	if (mul_overflows(info->granule_size, info->nb_granules, &n) || !n ||
	    !range_last(info->addr, n, &last))
		return -EINVAL;
	*addr = align_down(info->addr, 4096);
	/* 0 if that is everything: what the host calls it, too */
	*bytes = (last | 4095) - *addr + 1;
	return 0;
}

static int inv_run(struct viommu_domain *dom, struct viommu_device *dev, const struct inv_args *a)
{
	struct viommu_invalidate inv = { .size = sizeof(inv) };
	int err;

	err = inv_check_core(a);
	if (err)
		return err;
	if (device_gone(dev))
		return -ENODEV;
	if (!domain_nests(dom) || dev->host != dom->host)
		return -EINVAL;
	err = inv_check_pairs(a);
	if (err)
		return err;
	if (a->info.flags & VIOMMU_GPASID_INV_PASID) {
		if (a->info.pasid > VIOMMU_PASID_MAX)
			return -EINVAL;
		inv.hp.v = (uint32_t)a->info.pasid;
	} else if (a->info.flags & VIOMMU_GPASID_INV_ARCHID) {
		/* an id that means nothing here: it cannot be PASID 0 that is meant */
		return -EINVAL;
	}
	inv.granularity = VIOMMU_INVALIDATE_PASID;
	if (a->granularity == VIOMMU_GPASID_GRANU_ADDR) {
		inv.granularity = VIOMMU_INVALIDATE_RANGE;
		err = inv_range(&a->info, &inv.addr, &inv.bytes);
		if (err)
			return err;
		if (a->info.flags & VIOMMU_GPASID_INV_LEAF)
			inv.flags |= VIOMMU_INVALIDATE_LEAF;
		if (a->cache == VIOMMU_GPASID_CACHE_DEV_IOTLB) {
			inv.flags |= VIOMMU_INVALIDATE_ONLY_DEVICE;
			inv.dev = dev;
		}
	}
	return viommu_host_invalidate(dom->host, dom, &inv);
}

int viommu_gpasid_invalidate(struct viommu_domain *dom, struct viommu_device *dev, const void *data,
			     size_t bytes)
{
	struct inv_args a;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = inv_read(data, bytes, &a);
	return err ? err : inv_run(dom, dev, &a);
}

int viommu_gpasid_invalidate_v55(struct viommu_domain *dom, struct viommu_device *dev,
				 const void *data, size_t bytes)
{
	struct inv_args a;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = inv_read_v55(data, bytes, &a);
	return err ? err : inv_run(dom, dev, &a);
}

/* ---- Page responses ---- */

struct response_args {
	uint32_t version;
	uint32_t flags;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t code;
};

/* GP-RESP-03 to -08, -11: which open group is meant. Host's lock held. 0 and its PASID. */
static int response_find(struct viommu_device *dev, const struct response_args *a, uint32_t *pasid)
{
	int has_pasid = a->flags & VIOMMU_GPASID_RESP_PASID, err = -EINVAL;
	const struct request *r;

	if (a->version != VIOMMU_GPASID_VERSION ||
	    (a->flags & ~(uint32_t)VIOMMU_GPASID_RESP_PASID) ||
	    a->code > VIOMMU_GPASID_RESP_FAILURE || a->grpid >= dev->max_requests)
		return -EINVAL;
	pthread_mutex_lock(&dev->request_lock);
	r = &dev->requests[a->grpid];
	if (r->state == REQUEST_OPEN &&
	    (r->pasid == VIOMMU_NO_PASID || (has_pasid && r->pasid == a->pasid))) {
		*pasid = r->pasid;
		err = 0;
	}
	pthread_mutex_unlock(&dev->request_lock);
	return err;
}

static int response_run(struct viommu_domain *dom, struct viommu_device *dev,
			const struct response_args *a)
{
	/* GP-VTR-09 */
	static const uint16_t codes[] = { VIOMMU_RESPONSE_SUCCESS, VIOMMU_RESPONSE_INVALID,
					  VIOMMU_RESPONSE_FAILURE };
	struct viommu_page_response resp = { .size = sizeof(resp) };
	const struct record *rec;
	int err;

	if (!(dev->flags & VIOMMU_DEVICE_PRI))
		return -EINVAL;
	pthread_mutex_lock(&dev->host->lock);
	err = dev->gone ? -ENODEV : response_find(dev, a, &resp.pasid);
	if (!err) {
		rec = viommu__record(dev, viommu__entry_of(dev, resp.pasid));
		if (rec->dom != dom)
			err = -ENODEV; /* GP-VTR-06 */
	}
	if (!err) {
		resp.prgi = (uint16_t)a->grpid;
		resp.code = codes[a->code];
		/* Somebody else may have answered it by now. */
		err = viommu_host_page_response(dev, &resp) ? -EINVAL : 0;
	}
	pthread_mutex_unlock(&dev->host->lock);
	return err;
}

int viommu_gpasid_page_response(struct viommu_domain *dom, struct viommu_device *dev,
				const void *data, size_t bytes)
{
	struct viommu_gpasid_response d;
	uint32_t argsz;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = read_argsz(&d, sizeof(d), sizeof(d), data, bytes, &argsz);
	if (err)
		return err;
	return response_run(
		dom, dev, &(struct response_args){ d.version, d.flags, d.pasid, d.grpid, d.code });
}

int viommu_gpasid_page_response_v55(struct viommu_domain *dom, struct viommu_device *dev,
				    const void *data, size_t bytes)
{
	struct viommu_gpasid_response_v55 d;
	int err;

	if (!dom || !dev)
		return -EINVAL;
	err = read_fixed(&d, sizeof(d), data, bytes);
	if (err)
		return err;
	return response_run(
		dom, dev, &(struct response_args){ d.version, d.flags, d.pasid, d.grpid, d.code });
}

/* ---- Faults and page requests ---- */

/*
 * choice: VT-d's reasons are finer. What denies access to a table of another stage counts as a
 * table that cannot be read.
 */
static enum viommu_gpasid_reason reason_of(uint8_t reason)
{
	switch (reason) {
	case VTD_FR_PDIR_ACCESS:
	case VTD_FR_PE_ACCESS:
		return VIOMMU_GPASID_REASON_PASID_FETCH;
	case VTD_FR_PDIR_RSVD:
	case VTD_FR_PE_RSVD:
	case VTD_FR_PE_INVALID:
		return VIOMMU_GPASID_REASON_BAD_PASID_ENTRY;
	case VTD_FR_PDIR_NP:
	case VTD_FR_PE_NP:
	case VTD_FR_LEGACY_PASID:
	case VTD_FR_SCE_PASIDE:
	case VTD_FR_PASID_BEYOND_DIR:
	case VTD_FR_PASID_BEYOND_PSS:
	case VTD_FR_RID_PASID:
		return VIOMMU_GPASID_REASON_PASID_INVALID;
	case VTD_FR_SS_ACCESS:
	case VTD_FR_FS_ACCESS:
	case VTD_FR_FS_ROOT_ACCESS:
	case VTD_FR_FS_ROOT_SS_READ:
	case VTD_FR_FS_SS_READ:
	case VTD_FR_FS_SS_WRITE:
	case VTD_FR_SSS_ACCESS:
	case VTD_FR_SSS_ROOT_ACCESS:
	case VTD_FR_FS_AD_NOSNOOP:
	case VTD_FR_FS_AD_FAILED:
	case VTD_FR_SSS_AD_NOSNOOP:
	case VTD_FR_SSS_AD_FAILED:
		return VIOMMU_GPASID_REASON_WALK_EABT;
	case VTD_FR_SS_RSVD:
	case VTD_FR_FS_NP:
	case VTD_FR_FS_RSVD:
	case VTD_FR_SSS_NP:
	case VTD_FR_SSS_RSVD:
		return VIOMMU_GPASID_REASON_PTE_FETCH;
	case VTD_FR_READ:
	case VTD_FR_WRITE:
	case VTD_FR_EXEC:
	case VTD_FR_PE_EXEC:
	case VTD_FR_PE_SRE:
	case VTD_FR_FS_USER:
	case VTD_FR_S_READ:
	case VTD_FR_S_WRITE:
		return VIOMMU_GPASID_REASON_PERMISSION;
	case VTD_FR_BEYOND_MGAW:
	case VTD_FR_OUT_INTR:
	case VTD_FR_FS_BEYOND_MGAW:
	case VTD_FR_FS_CANONICAL:
	case VTD_FR_PT_BEYOND_HAW:
	case VTD_FR_SSS_BEYOND_MGAW:
	case VTD_FR_S_OUT_INTR:
		return VIOMMU_GPASID_REASON_OOR_ADDRESS;
	default:
		return VIOMMU_GPASID_REASON_UNKNOWN; /* root, context, interrupt remapping */
	}
}

static uint32_t perm_of(uint32_t access)
{
	return (access & (VIOMMU_READ | VIOMMU_ATOMIC) ? VIOMMU_GPASID_PERM_READ : 0) |
	       (access & (VIOMMU_WRITE | VIOMMU_ATOMIC) ? VIOMMU_GPASID_PERM_WRITE : 0) |
	       (access & VIOMMU_EXEC ? VIOMMU_GPASID_PERM_EXEC : 0) |
	       (access & VIOMMU_PRIV ? VIOMMU_GPASID_PERM_PRIV : 0);
}

void viommu_gpasid_from_fault(const struct viommu_fault *fault, struct viommu_gpasid_fault *out)
{
	struct viommu_gpasid_fault_event *e = &out->u.event;

	memset(out, 0, sizeof(*out));
	out->type = VIOMMU_GPASID_FAULT_EVENT;
	e->reason = reason_of(fault->reason);
	e->flags = VIOMMU_GPASID_EVENT_ADDR;
	e->perm = perm_of(fault->access);
	e->addr = fault->addr;
	if (fault->flags & VIOMMU_FAULT_HAS_PASID) {
		e->flags |= VIOMMU_GPASID_EVENT_PASID;
		e->pasid = fault->pasid;
	}
	if (fault->entry_addr && (e->reason == VIOMMU_GPASID_REASON_PASID_FETCH ||
				  e->reason == VIOMMU_GPASID_REASON_WALK_EABT)) {
		e->flags |= VIOMMU_GPASID_EVENT_FETCH;
		e->fetch_addr = fault->entry_addr;
	}
}

void viommu_gpasid_from_fault_v55(const struct viommu_fault *fault, struct viommu_gpasid_fault *out)
{
	viommu_gpasid_from_fault(fault, out);
}

void viommu_gpasid_from_page_request_v55(const struct viommu_page_request *req,
					 struct viommu_gpasid_fault *out)
{
	struct viommu_gpasid_fault_prm *p = &out->u.prm;

	memset(out, 0, sizeof(*out));
	out->type = VIOMMU_GPASID_FAULT_PAGE;
	p->grpid = req->prgi;
	p->perm = perm_of(req->access);
	p->addr = req->addr;
	if (req->flags & VIOMMU_PAGE_REQUEST_LAST)
		p->flags |= VIOMMU_GPASID_PRM_LAST;
	if (req->flags & VIOMMU_PAGE_REQUEST_PASID) {
		p->flags |= VIOMMU_GPASID_PRM_PASID;
		p->pasid = req->pasid;
	}
}

void viommu_gpasid_from_page_request(const struct viommu_page_request *req,
				     struct viommu_gpasid_fault *out)
{
	viommu_gpasid_from_page_request_v55(req, out);
	if (req->flags & VIOMMU_PAGE_REQUEST_PASID)
		out->u.prm.flags |= VIOMMU_GPASID_PRM_NEEDS_PASID;
}
