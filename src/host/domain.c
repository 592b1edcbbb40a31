/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains: one VM's memory as second-stage tables (VT-d 5.10 second-stage entries, largest pages
 * that fit).
 *
 * The tables follow the regions of a viommu_mem. A leaf never spans two regions, so a region leaves
 * without splitting anything. A table that became empty leaves its parent at once; while DMA drains
 * it is chained by its first entry, whose low bits stay 0 (a walker that is still inside reads "not
 * present").
 */
#include "host/handle.h"
#include "host/ss.h"

#define DOMAIN_FLAGS (VIOMMU_DOMAIN_DIRTY | VIOMMU_DOMAIN_NO_NEST)

/* One leaf; tables on the way are made. 0, -ENOMEM. */
static int ss_map_page(struct viommu_domain *dom, uint64_t gpa, uint64_t hpa, unsigned int level,
		       uint64_t perm)
{
	uint64_t *table = dom->root;
	unsigned int l;

	for (l = dom->levels; l > level; l--) {
		uint64_t *e = &table[ss_index(gpa, l)];

		if (!(load_relaxed(e) & SS_RW)) {
			uint64_t *next = viommu__page_get(&dom->host->pages);

			if (!next)
				return -ENOMEM;
			dom->tables++;
			store_release(e, (uintptr_t)next | SS_RW);
		}
		table = ss_table(load_relaxed(e));
	}
	store_release(&table[ss_index(gpa, level)],
		      hpa | perm | (level > 1 ? VTD_MASK(VTD_SS_PS) : 0));
	return 0;
}

/*
 * Clear [first, last] below one table of level that begins at base; empty tables go to *chain. True
 * if it became empty.
 */
static int ss_clear(struct viommu_domain *dom, uint64_t *table, unsigned int level, uint64_t base,
		    uint64_t first, uint64_t last, uint64_t **chain)
{
	uint64_t span = BIT64(ss_shift(level));
	unsigned int i = first > base ? ss_index(first, level) : 0;
	int empty = 1;

	for (; i < 512 && base + i * span <= last; i++) {
		uint64_t e = load_relaxed(&table[i]); /* walks set marks in it */

		if (!(e & SS_RW))
			continue;
		if (!ss_is_leaf(e, level)) {
			uint64_t *next = ss_table(e);

			if (!ss_clear(dom, next, level - 1, base + i * span, first, last, chain))
				continue;
			store_release(&table[i], 0);
			store_release(&next[0], (uintptr_t)*chain);
			*chain = next;
		} else {
			store_release(&table[i], 0);
		}
	}
	for (i = 0; i < 512 && empty; i++)
		empty = !(load_relaxed(&table[i]) & SS_RW);
	return empty;
}

static void chain_free(struct viommu_domain *dom, uint64_t *chain)
{
	while (chain) {
		uint64_t *next = (uint64_t *)(uintptr_t)chain[0];

		viommu__page_put(&dom->host->pages, chain);
		dom->tables--;
		chain = next;
	}
}

/* Lock held; dropped while devices are told. On return no DMA uses the range. */
static void domain_unmap(struct viommu_domain *dom, uint64_t gpa, uint64_t bytes)
{
	struct viommu_host *host = dom->host;
	uint64_t *chain = NULL;

	ss_clear(dom, dom->root, dom->levels, 0, gpa, gpa + bytes - 1, &chain);
	gen_bump(host, &host->gens[dom->did].v);
	viommu__devices_drop_all(host, dom);
	viommu__markers_drain(&host->markers);
	chain_free(dom, chain);
}

unsigned int viommu__domain_level(const struct viommu_domain *dom, uint64_t gpa, uint64_t hpa,
				  uint64_t left)
{
	unsigned int most = dom->max_page_lg2, level = 1;

	/* A page of the dirty bitmap is a leaf of its own. */
	if (dom->track_lg2 && dom->track_lg2 < most)
		most = dom->track_lg2;
	while (level < 3 && ss_shift(level + 1) <= most &&
	       is_aligned(gpa | hpa, BIT64(ss_shift(level + 1))) &&
	       left >= BIT64(ss_shift(level + 1)))
		level++;
	return level;
}

int viommu__domain_map(struct viommu_domain *dom, const struct viommu_mem_region *r)
{
	uint64_t perm =
		VTD_MASK(VTD_SS_R) | (r->flags & VIOMMU_MEM_READ_ONLY ? 0 : VTD_MASK(VTD_SS_W));
	uint64_t hpa = (uintptr_t)r->host;
	uint64_t gpa = r->gpa, left = r->bytes;

	if (gpa + left > BIT64(ss_shift(dom->levels + 1u)) ||
	    hpa + left > BIT64(dom->host->unit.haw))
		return -ERANGE;
	while (left) {
		unsigned int level = viommu__domain_level(dom, gpa, hpa, left);
		uint64_t page = BIT64(ss_shift(level));

		if (ss_map_page(dom, gpa, hpa, level, perm)) {
			/* Also takes away empty tables that this call made. */
			domain_unmap(dom, r->gpa, r->bytes);
			return -ENOMEM;
		}
		gpa += page;
		hpa += page;
		left -= page;
	}
	return 0;
}

static int listener_added(struct viommu__mem_listener *l, const struct viommu_mem_region *r)
{
	struct viommu_domain *dom = container_of(l, struct viommu_domain, listener);
	int err = 0;

	pthread_mutex_lock(&dom->host->lock);
	if (!r->lost)
		err = viommu__domain_map(dom, r);
	pthread_mutex_unlock(&dom->host->lock);
	return err;
}

static void listener_removed(struct viommu__mem_listener *l, const struct viommu_mem_region *r)
{
	struct viommu_domain *dom = container_of(l, struct viommu_domain, listener);

	pthread_mutex_lock(&dom->host->lock);
	domain_unmap(dom, r->gpa, r->bytes);
	pthread_mutex_unlock(&dom->host->lock);
}

int viommu__host_reap_lost(struct viommu_host *host)
{
	uint64_t count = viommu__mem_lost_count();
	struct list *l;

	pthread_mutex_lock(&host->lock);
	if (host->lost_seen == count) {
		pthread_mutex_unlock(&host->lock);
		return 0;
	}
	for (l = host->domains.next; l != &host->domains; l = l->next) {
		struct viommu_domain *dom = container_of(l, struct viommu_domain, link);
		struct viommu_mem_region r;
		uint64_t *chain = NULL;
		uint64_t gpa;

		for (gpa = 0; !viommu_mem_next(dom->mem, gpa, &r); gpa = r.gpa + r.bytes) {
			if (r.lost)
				ss_clear(dom, dom->root, dom->levels, 0, r.gpa, r.gpa + r.bytes - 1,
					 &chain);
		}
		gen_bump(host, &host->gens[dom->did].v);
		viommu__markers_drain(&host->markers);
		chain_free(dom, chain);
	}
	viommu__devices_drop_all(host, NULL);
	store_release(&host->lost_seen, count); /* last: now the tables know */
	pthread_mutex_unlock(&host->lock);
	return 1;
}

static int config_check(struct viommu_host *host, const struct viommu_domain_config *c)
{
	const uint64_t *cap = &host->unit.cap;
	uint64_t sslps = VTD_GET(cap, VTD_CAP_SSLPS);

	if (!VTD_GET(&host->unit.ecap, VTD_ECAP_SSTS))
		return -EINVAL;
	if (c->flags & ~DOMAIN_FLAGS)
		return -EINVAL;
	if ((c->flags & VIOMMU_DOMAIN_DIRTY) && !VTD_GET(&host->unit.ecap, VTD_ECAP_SSADS))
		return -EINVAL;
	if (c->levels < 3 || c->levels > 5 ||
	    !(VTD_GET(cap, VTD_CAP_SAGAW) & BIT64(c->levels - 2u)))
		return -EINVAL;
	if (c->max_page_lg2 != 12 && !(c->max_page_lg2 == 21 && (sslps & 1)) &&
	    !(c->max_page_lg2 == 30 && (sslps & 2)))
		return -EINVAL;
	return 0;
}

static void stage_make(struct viommu_domain *dom)
{
	const struct viommu_unit *unit = &dom->host->unit;
	uint64_t sslps = VTD_GET(&unit->cap, VTD_CAP_SSLPS);
	uint64_t mgaw = VTD_GET(&unit->cap, VTD_CAP_MGAW) + 1;

	dom->stage = (struct viommu_stage){
		.format = VIOMMU_FORMAT_VTD_SS,
		.levels = dom->levels,
		.haw = unit->haw,
		.input_bits = (uint8_t)min_u64(mgaw, ss_shift(dom->levels + 1u)),
		.flags = VIOMMU_STAGE_SNOOP | VIOMMU_STAGE_SNP | (sslps & 1 ? VIOMMU_STAGE_2M : 0) |
			 (sslps & 2 ? VIOMMU_STAGE_1G : 0) |
			 (dom->flags & VIOMMU_DOMAIN_DIRTY ? VIOMMU_STAGE_AD : 0),
		.root = (uintptr_t)dom->root,
	};
}

int viommu_domain_new(struct viommu_host *host, struct viommu_mem *mem,
		      const struct viommu_domain_config *config, struct viommu_domain **out)
{
	struct viommu_domain_config c = { 0 };
	struct viommu_domain *dom;
	uint32_t did;
	int err;

	*out = NULL;
	if (config) {
		if (config->size != sizeof(c))
			return -EINVAL;
		c = *config;
	}
	if (!c.levels)
		c.levels = 4;
	if (!c.max_page_lg2) {
		uint64_t sslps = VTD_GET(&host->unit.cap, VTD_CAP_SSLPS);

		c.max_page_lg2 = sslps & 2 ? 30 : sslps & 1 ? 21 : 12;
	}
	err = config_check(host, &c);
	if (err)
		return err;
	dom = viommu__calloc(1, sizeof(*dom));
	if (!dom)
		return -ENOMEM;
	dom->host = host;
	dom->mem = mem;
	dom->flags = c.flags;
	dom->levels = c.levels;
	dom->max_page_lg2 = c.max_page_lg2;
	dom->listener.added = listener_added;
	dom->listener.removed = listener_removed;
	list_init(&dom->link);
	err = viommu_owner_new(host->pasids, c.pasid_quota, &dom->owner);
	if (err)
		goto fail_owner;

	pthread_mutex_lock(&host->lock);
	for (did = VIOMMU__DID_FIRST; did < VIOMMU__MAX_DOMAINS && host->by_did[did]; did++)
		;
	dom->root = did < VIOMMU__MAX_DOMAINS ? viommu__page_get(&host->pages) : NULL;
	if (!dom->root) {
		err = did < VIOMMU__MAX_DOMAINS ? -ENOMEM : -ENOSPC;
		pthread_mutex_unlock(&host->lock);
		goto fail_root;
	}
	dom->tables = 1;
	dom->did = (uint16_t)did;
	stage_make(dom);
	host->by_did[did] = dom;
	list_add_tail(&host->domains, &dom->link);
	pthread_mutex_unlock(&host->lock);

	err = viommu__mem_listen(mem, &dom->listener);
	if (err)
		goto fail_listen;
	*out = dom;
	return 0;

fail_listen:
	pthread_mutex_lock(&host->lock);
	list_del(&dom->link);
	host->by_did[did] = NULL;
	viommu__page_put(&host->pages, dom->root);
	pthread_mutex_unlock(&host->lock);
fail_root:
	viommu_owner_free(dom->owner);
fail_owner:
	viommu__free(dom);
	return err;
}

void viommu_domain_free(struct viommu_domain *dom)
{
	struct viommu_host *host;
	struct list *l;

	if (!dom)
		return;
	host = dom->host;
	viommu_domain_dirty_stop(dom);
	pthread_mutex_lock(&host->lock);
	dom->ending = 1;
again:
	for (l = host->devices.next; l != &host->devices; l = l->next) {
		struct viommu_device *dev = container_of(l, struct viommu_device, link);

		if (viommu__binds_end(dev, VIOMMU_ALL_PASIDS, dom))
			goto again; /* the lock was dropped */
	}
	VIOMMU_ASSERT(dom->binds == 0);
	pthread_mutex_unlock(&host->lock);
	viommu__mem_unlisten(dom->mem, &dom->listener);
	pthread_mutex_lock(&host->lock);
	list_del(&dom->link);
	host->by_did[dom->did] = NULL;
	gen_bump(host, &host->gens[dom->did].v);
	viommu__markers_drain(&host->markers);
	viommu__page_put(&host->pages, dom->root);
	VIOMMU_ASSERT(dom->tables == 1);
	pthread_mutex_unlock(&host->lock);
	VIOMMU_ASSERT(viommu_owner_free(dom->owner) == 0);
	viommu__free(dom);
}

struct viommu_host *viommu__domain_host(const struct viommu_domain *dom)
{
	return dom->host;
}

struct viommu_owner *viommu_domain_owner(struct viommu_domain *dom)
{
	return dom->owner;
}

void viommu_domain_stage(struct viommu_domain *dom, struct viommu_stage *out, uint16_t *did)
{
	*out = dom->stage;
	if (did)
		*did = dom->did;
}
