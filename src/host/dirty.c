/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pages of a VM were written: dirty bits of a domain's second stage (VT-d 5.10, SSADE), read
 * and cleared by whoever copies the VM elsewhere.
 *
 *	a device writes --> walk sets D in the leaf (VTD-SS-20) --> cached: later writes set nothing
 *	read and clear  --> D of the leaf clear --> every cache forgets --> drain
 *
 * A write through a cache between the clearing and the drain leaves no new bit. It needs none: the
 * page is in the bitmap that this call returns, and its reader looks at the page after the call.
 *
 * While a domain is tracked its leaves are as small as the bitmap's pages. A large leaf is split by
 * a table that translates alike, put in its place by one store; back the same way. Who still walks
 * the old one sees nothing else, so nobody has to be stopped for it.
 *
 * Writes that do not go through the tables (the unit's own, and the VMM's by viommu_mem_write())
 * come from the memory, which tells of each after it was done.
 */
#include "host/ss.h"
#include "mem/mem.h"

/* ---- Leaves, smaller and larger -------------------------------------------------------------- */

/* One large leaf of this level becomes a table. 0, -ENOMEM. Lock held. */
static int leaf_split(struct viommu_domain *dom, uint64_t *entry, unsigned int level)
{
	uint64_t *table = viommu__page_get(&dom->host->pages);
	uint64_t e = load_relaxed(entry), span = BIT64(ss_shift(level - 1));
	uint64_t leaf = (e & SS_RW) | (level - 1 > 1 ? VTD_MASK(VTD_SS_PS) : 0);
	unsigned int i;

	if (!table)
		return -ENOMEM;
	dom->tables++;
	for (i = 0; i < 512; i++)
		table[i] = (e & SS_ADDR) + i * span + leaf; /* no marks */
	store_release(entry, (uintptr_t)table | SS_RW);
	return 0;
}

/* Every leaf below a table of this level that is larger than 2^lg2. */
static int table_split(struct viommu_domain *dom, uint64_t *table, unsigned int level,
		       unsigned int lg2)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < 512 && !err && ss_shift(level) > lg2; i++) {
		if (!(load_relaxed(&table[i]) & SS_RW))
			continue;
		if (ss_is_leaf(load_relaxed(&table[i]), level))
			err = leaf_split(dom, &table[i], level);
		if (!err)
			err = table_split(dom, ss_table(load_relaxed(&table[i])), level - 1, lg2);
	}
	return err;
}

/* Tables that were replaced by a leaf; somebody may still walk them. */
struct replaced {
	uint64_t **table;
	uint64_t nr;
};

static void table_replaced(struct replaced *r, uint64_t *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; i < 512; i++) {
		uint64_t e = load_relaxed(&table[i]);

		if ((e & SS_RW) && !ss_is_leaf(e, level))
			table_replaced(r, ss_table(e), level - 1);
	}
	r->table[r->nr++] = table;
}

static void region_merge(struct viommu_domain *dom, const struct viommu_mem_region *region,
			 struct replaced *r)
{
	uint64_t hpa = (uintptr_t)region->host, gpa = region->gpa, left = region->bytes, step;
	unsigned int level, l;

	for (; left; gpa += step, hpa += step, left -= step) {
		uint64_t *table = dom->root, *entry, e;

		level = viommu__domain_level(dom, gpa, hpa, left);
		step = BIT64(ss_shift(level));
		if (level == 1) {
			/* To the next place where a larger one may begin. */
			step = min_u64(left, BIT64(21) - (gpa & (BIT64(21) - 1)));
			continue;
		}
		for (l = dom->levels; l > level && table; l--) {
			e = load_relaxed(&table[ss_index(gpa, l)]);
			table = (e & SS_RW) && !ss_is_leaf(e, l) ? ss_table(e) : NULL;
		}
		if (!table)
			continue;
		entry = &table[ss_index(gpa, level)];
		e = load_relaxed(entry);
		if (!(e & SS_RW) || ss_is_leaf(e, level))
			continue;
		table_replaced(r, ss_table(e), level - 1);
		store_release(entry,
			      hpa | VTD_MASK(VTD_SS_PS) | VTD_MASK(VTD_SS_R) |
				      (region->flags & VIOMMU_MEM_READ_ONLY ? 0
									    : VTD_MASK(VTD_SS_W)));
	}
}

/*
 * Caches forget, and who uses what they held has ended. Lock held, dropped while devices are told.
 */
static void forget(struct viommu_domain *dom)
{
	gen_bump(dom->host, &dom->host->gens[dom->did].v);
	viommu__devices_drop_all(dom->host, dom);
	viommu__markers_drain(&dom->host->markers);
}

/*
 * The largest leaves again. Without memory to remember what has to be freed they stay as small as
 * they are: that is slower, and not wrong.
 */
static void domain_merge(struct viommu_domain *dom)
{
	struct replaced r = { .table = viommu__calloc(dom->tables, sizeof(*r.table)) };
	struct viommu_mem_region region;
	uint64_t gpa;

	if (!r.table)
		return;
	for (gpa = 0; !viommu_mem_next(dom->mem, gpa, &region); gpa = region.gpa + region.bytes)
		if (!region.lost)
			region_merge(dom, &region, &r);
	forget(dom);
	while (r.nr) {
		viommu__page_put(&dom->host->pages, r.table[--r.nr]);
		dom->tables--;
	}
	viommu__free(r.table);
}

/* ---- Bits ------------------------------------------------------------------------------------ */

/* What one look over a range does. */
struct look {
	uint64_t first, last; /* of the range */
	unsigned int lg2;     /* of a page of the bitmap */
	bool clear;
	uint64_t *bitmap; /* NULL: only clear */
	bool cleared;
};

static void leaf_look(struct look *k, uint64_t *entry, uint64_t gpa, uint64_t span)
{
	uint64_t at, end = min_u64(gpa + span - 1, k->last);

	if (!(load_relaxed(entry) & VTD_MASK(VTD_SS_D)))
		return;
	if (k->clear) {
		fetch_and(entry, ~VTD_MASK(VTD_SS_D));
		k->cleared = true;
	}
	/* Once, unless memory was short and the leaf is larger than the page. */
	for (at = gpa > k->first ? gpa : k->first; k->bitmap && at <= end; at += BIT64(k->lg2)) {
		uint64_t bit = (at - k->first) >> k->lg2;

		k->bitmap[bit / 64] |= BIT64(bit % 64);
	}
}

static void table_look(struct look *k, uint64_t *table, unsigned int level, uint64_t base)
{
	uint64_t span = BIT64(ss_shift(level));
	unsigned int i = k->first > base ? ss_index(k->first, level) : 0;

	for (; i < 512 && base + i * span <= k->last; i++) {
		uint64_t e = load_relaxed(&table[i]);

		if (!(e & SS_RW))
			continue;
		if (ss_is_leaf(e, level))
			leaf_look(k, &table[i], base + i * span, span);
		else
			table_look(k, ss_table(e), level - 1, base + i * span);
	}
}

/* Written without the tables; the bytes are there. */
static void tracker_written(struct viommu__mem_tracker *t, uint64_t gpa, uint64_t bytes)
{
	struct viommu_domain *dom = container_of(t, struct viommu_domain, tracker);
	uint64_t end = gpa + bytes, *table, *entry, e;
	unsigned int level;

	pthread_mutex_lock(&dom->host->lock);
	for (gpa = align_down(gpa, 4096); gpa < end; gpa += 4096) {
		table = dom->root;
		for (level = dom->levels; table; level--) {
			entry = &table[ss_index(gpa, level)];
			e = load_relaxed(entry);
			table = NULL;
			if ((e & SS_RW) && ss_is_leaf(e, level))
				fetch_or(entry, VTD_MASK(VTD_SS_A) | VTD_MASK(VTD_SS_D));
			else if (e & SS_RW)
				table = ss_table(e);
		}
	}
	pthread_mutex_unlock(&dom->host->lock);
}

/* ---- For whoever copies the VM --------------------------------------------------------------- */

int viommu_domain_dirty_start(struct viommu_domain *dom, unsigned page_lg2)
{
	struct look clear = { .last = UINT64_MAX, .lg2 = page_lg2, .clear = true };
	struct viommu_host *host = dom->host;
	int err;

	if (!(dom->flags & VIOMMU_DOMAIN_DIRTY))
		return -ENOTSUP;
	if (page_lg2 != 12 && page_lg2 != 21 && page_lg2 != 30)
		return -EINVAL;
	pthread_mutex_lock(&host->lock);
	if (dom->track_lg2) {
		pthread_mutex_unlock(&host->lock);
		return -EBUSY;
	}
	dom->track_lg2 = (uint8_t)page_lg2;
	pthread_mutex_unlock(&host->lock);
	/* Not with the lock: who writes memory has the tracker's first. */
	dom->tracker.written = tracker_written;
	viommu__mem_track(dom->mem, &dom->tracker);
	pthread_mutex_lock(&host->lock);
	err = table_split(dom, dom->root, dom->levels, page_lg2);
	clear.last = BIT64(ss_shift(dom->levels + 1u)) - 1;
	table_look(&clear, dom->root, dom->levels, 0);
	forget(dom);
	pthread_mutex_unlock(&host->lock);
	if (err)
		viommu_domain_dirty_stop(dom);
	return err;
}

void viommu_domain_dirty_stop(struct viommu_domain *dom)
{
	struct viommu_host *host = dom->host;

	pthread_mutex_lock(&host->lock);
	if (!dom->track_lg2) {
		pthread_mutex_unlock(&host->lock);
		return;
	}
	pthread_mutex_unlock(&host->lock);
	viommu__mem_untrack(dom->mem, &dom->tracker);
	pthread_mutex_lock(&host->lock);
	dom->track_lg2 = 0;
	domain_merge(dom);
	pthread_mutex_unlock(&host->lock);
}

int viommu_domain_dirty_read(struct viommu_domain *dom, uint64_t gpa, uint64_t bytes,
			     uint32_t flags, uint64_t *bitmap)
{
	struct viommu_host *host = dom->host;
	struct look k = { .first = gpa, .clear = flags & VIOMMU_DIRTY_CLEAR, .bitmap = bitmap };
	uint64_t end = BIT64(ss_shift(dom->levels + 1u)), pages;
	int err = 0;

	if (flags & ~VIOMMU_DIRTY_CLEAR)
		return -EINVAL;
	pthread_mutex_lock(&host->lock);
	k.lg2 = dom->track_lg2;
	k.last = gpa + bytes - 1;
	if (!k.lg2)
		err = -ENOENT;
	else if (!bytes || !is_aligned(gpa | bytes, BIT64(k.lg2)) || gpa > end || bytes > end - gpa)
		err = -EINVAL;
	if (!err) {
		pages = bytes >> k.lg2;
		if (bitmap)
			memset(bitmap, 0, (size_t)((pages + 63) / 64 * 8));
		table_look(&k, dom->root, dom->levels, 0);
		if (k.cleared)
			forget(dom);
	}
	pthread_mutex_unlock(&host->lock);
	return err;
}
