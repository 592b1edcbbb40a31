/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The software host as a whole: what it can do, its root table, its life, what it weighs.
 */
#include "host/soft.h"

/*
 * 16-bit domain ids; second stage with 3, 4 and 5 levels and pages of 4 KiB, 2 MiB, 1 GiB; first
 * stage with 4 and 5 levels and 1-GiB pages; addresses of 57 bits. Drains are always done, so DWD
 * and DRD read 1.
 */
uint64_t viommu_host_default_cap(void)
{
	return VTD_VAL(VTD_CAP_ND, 6) | VTD_VAL(VTD_CAP_SAGAW, 0xe) | VTD_VAL(VTD_CAP_MGAW, 56) |
	       VTD_VAL(VTD_CAP_ZLR, 1) | VTD_VAL(VTD_CAP_FRO, 0x22) | VTD_VAL(VTD_CAP_SSLPS, 3) |
	       VTD_VAL(VTD_CAP_PSI, 1) | VTD_VAL(VTD_CAP_NFR, 7) | VTD_VAL(VTD_CAP_MAMV, 18) |
	       VTD_VAL(VTD_CAP_DWD, 1) | VTD_VAL(VTD_CAP_DRD, 1) | VTD_VAL(VTD_CAP_FS1GP, 1) |
	       VTD_VAL(VTD_CAP_FS5LP, 1) | VTD_VAL(VTD_CAP_ESIRTPS, 1) | VTD_VAL(VTD_CAP_ESRTPS, 1);
}

uint64_t viommu_host_default_ecap(void)
{
	return VTD_VAL(VTD_ECAP_C, 1) | VTD_VAL(VTD_ECAP_QI, 1) | VTD_VAL(VTD_ECAP_DT, 1) |
	       VTD_VAL(VTD_ECAP_PT, 1) | VTD_VAL(VTD_ECAP_SC, 1) | VTD_VAL(VTD_ECAP_IRO, 0xf) |
	       VTD_VAL(VTD_ECAP_NEST, 1) | VTD_VAL(VTD_ECAP_PRS, 1) | VTD_VAL(VTD_ECAP_SRS, 1) |
	       VTD_VAL(VTD_ECAP_NWFS, 1) | VTD_VAL(VTD_ECAP_EAFS, 1) | VTD_VAL(VTD_ECAP_PSS, 19) |
	       VTD_VAL(VTD_ECAP_PASID, 1) | VTD_VAL(VTD_ECAP_PDS, 1) | VTD_VAL(VTD_ECAP_SMTS, 1) |
	       VTD_VAL(VTD_ECAP_SSADS, 1) | VTD_VAL(VTD_ECAP_SSTS, 1) | VTD_VAL(VTD_ECAP_FSTS, 1) |
	       VTD_VAL(VTD_ECAP_SMPWCS, 1) | VTD_VAL(VTD_ECAP_RPS, 1) | VTD_VAL(VTD_ECAP_SMS, 1);
}

/*
 * Multi-bit fields may only get smaller, single bits only be cleared; what its own tables need has
 * to stay.
 */
static int config_check(const struct viommu_host_config *c)
{
	static const struct {
		unsigned int hi, lo;
	} cap_fields[] = {
		{ VTD_CAP_ND_HI, VTD_CAP_ND_LO },     { VTD_CAP_MGAW_HI, VTD_CAP_MGAW_LO },
		{ VTD_CAP_MAMV_HI, VTD_CAP_MAMV_LO }, { VTD_CAP_NFR_HI, VTD_CAP_NFR_LO },
		{ VTD_CAP_FRO_HI, VTD_CAP_FRO_LO },
	};
	uint64_t max_cap = viommu_host_default_cap(), max_ecap = viommu_host_default_ecap();
	uint64_t cap = c->cap, ecap = c->ecap;
	uint64_t need = VTD_MASK(VTD_ECAP_SMTS) | VTD_MASK(VTD_ECAP_SMPWCS) |
			VTD_MASK(VTD_ECAP_PASID) | VTD_MASK(VTD_ECAP_QI) | VTD_MASK(VTD_ECAP_RPS);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cap_fields); i++) {
		uint64_t mask = MASK64(cap_fields[i].hi, cap_fields[i].lo);

		if ((cap & mask) > (max_cap & mask))
			return -EINVAL;
		cap &= ~mask;
	}
	if (!VTD_GET(&c->cap, VTD_CAP_MGAW) || VTD_GET(&c->cap, VTD_CAP_SSLPS) == 2)
		return -EINVAL;
	if (VTD_GET(&ecap, VTD_ECAP_PSS) > 19)
		return -EINVAL;
	if ((cap & ~max_cap) || (ecap & ~(max_ecap | VTD_MASK(VTD_ECAP_PSS))))
		return -EINVAL;
	if ((ecap & need) != need)
		return -EINVAL;
	/* What needs what, of the capabilities that it may lack (VTD-CAP-26, 27, 31, 38). */
	if (VTD_GET(&ecap, VTD_ECAP_NEST) &&
	    (!VTD_GET(&ecap, VTD_ECAP_SSTS) || !VTD_GET(&ecap, VTD_ECAP_FSTS)))
		return -EINVAL;
	if ((VTD_GET(&ecap, VTD_ECAP_PRS) && !VTD_GET(&ecap, VTD_ECAP_DT)) ||
	    (VTD_GET(&ecap, VTD_ECAP_EAFS) && !VTD_GET(&ecap, VTD_ECAP_FSTS)) ||
	    (VTD_GET(&ecap, VTD_ECAP_SSADS) && !VTD_GET(&ecap, VTD_ECAP_SSTS)))
		return -EINVAL;
	return 0;
}

int viommu_host_new(const struct viommu_host_config *config, struct viommu_host **out)
{
	struct viommu_host_config c = { 0 };
	struct viommu_host *host;
	int err;

	*out = NULL;
	if (config) {
		if (config->size != sizeof(c))
			return -EINVAL;
		c = *config;
	}
	if (!c.cap && !c.ecap) {
		c.cap = viommu_host_default_cap();
		c.ecap = viommu_host_default_ecap();
	}
	if (!c.haw)
		c.haw = 52;
	if (!c.ver)
		c.ver = 0x60;
	if (!c.pasid_min && !c.pasid_max) {
		c.pasid_min = 1;
		c.pasid_max = VIOMMU_PASID_MAX;
	}
	if (!c.max_devices)
		c.max_devices = 256;
	if (!c.max_page_requests)
		c.max_page_requests = 512;
	/*
	 * Our tables hold addresses of this process: 47 bits, plus what a large address space adds.
	 */
	if (c.haw < 48 || c.haw > 52 || c.max_page_requests > 512 || c.max_devices > 65536 ||
	    c.ver > 0xff || c.pasid_min > c.pasid_max)
		return -EINVAL;
	err = config_check(&c);
	if (err)
		return err;

	host = viommu__alloc_aligned(64, sizeof(*host));
	if (!host)
		return -ENOMEM;
	list_init(&host->devices);
	list_init(&host->domains);
	host->ops = c.ops;
	host->max_devices = c.max_devices;
	host->max_requests = c.max_page_requests;
	host->next_serial = 1;
	host->lost_seen = viommu__mem_lost_count();
	err = viommu__markers_init(&host->markers);
	if (err)
		goto fail_markers;
	err = -pthread_mutex_init(&host->lock, NULL);
	if (err)
		goto fail_lock;
	err = viommu_pasids_new(c.pasid_min, c.pasid_max, &host->pasids);
	if (err)
		goto fail_pasids;
	host->root = viommu__page_get(&host->pages);
	if (!host->root) {
		err = -ENOMEM;
		goto fail_root;
	}
	host->unit.cap = c.cap;
	if (!VTD_GET(&c.ecap, VTD_ECAP_SSTS)) /* VTD-CAP-06 */
		VTD_SET(&host->unit.cap, VTD_CAP_SAGAW, 0);
	host->unit.ecap = c.ecap;
	host->unit.ver = c.ver;
	host->unit.haw = c.haw;
	host->unit.rtaddr = (uintptr_t)host->root | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE);
	*out = host;
	return 0;

fail_root:
	viommu_pasids_free(host->pasids);
fail_pasids:
	pthread_mutex_destroy(&host->lock);
fail_lock:
	viommu__markers_destroy(&host->markers);
fail_markers:
	viommu__free(host);
	return err;
}

void viommu_host_free(struct viommu_host *host)
{
	if (!host)
		return;
	VIOMMU_ASSERT(host->nr_dma == 0);
	/* The last first: a sub-device is younger than its parent. */
	while (!list_empty(&host->devices))
		viommu_device_free(container_of(host->devices.prev, struct viommu_device, link));
	while (!list_empty(&host->domains))
		viommu_domain_free(container_of(host->domains.next, struct viommu_domain, link));
	viommu_pasids_free(host->pasids);
	viommu__pages_destroy(&host->pages);
	viommu__markers_destroy(&host->markers);
	pthread_mutex_destroy(&host->lock);
	viommu__free(host);
}

void viommu_host_unit(struct viommu_host *host, struct viommu_unit *out)
{
	*out = host->unit;
}

struct viommu_pasids *viommu_host_pasids(struct viommu_host *host)
{
	return host->pasids;
}

void viommu_host_memory(struct viommu_host *host, struct viommu_host_memory *out)
{
	struct list *l;
	uint64_t pages = 0;

	*out = (struct viommu_host_memory){ 0 };
	pthread_mutex_lock(&host->lock);
	for (l = host->devices.next; l != &host->devices; l = l->next) {
		struct viommu_device *dev = container_of(l, struct viommu_device, link);

		out->other += sizeof(*dev) + dev->max_requests * sizeof(struct request);
		if (dev->parent)
			continue; /* no tables of its own */
		out->pasid_tables += dev->pdir_entries * 8ull + dev->tables * 4096ull;
		out->pasid_records += dev->tables * 64ull * sizeof(struct record) +
				      dev->pdir_entries * sizeof(struct record *);
		pages += dev->tables;
	}
	for (l = host->domains.next; l != &host->domains; l = l->next) {
		struct viommu_domain *dom = container_of(l, struct viommu_domain, link);

		out->second_stage += dom->tables * 4096;
		out->other += sizeof(*dom);
		pages += dom->tables;
	}
	out->dma = host->dma_bytes;
	out->other += sizeof(*host) + (host->pages.used - pages) * 4096;
	pthread_mutex_unlock(&host->lock);
	out->pasid_records += viommu_pasids_memory(host->pasids);
}
