/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk/nested.h - the walk of one first stage over a second stage of ours, as fast as loads allow:
 * for walk.c, and for the DMA side, which puts its own caches in between.
 *
 * Everything is inlined into the caller, callbacks included. Only the plain case is here: all
 * present and well formed, permitted, every accessed and dirty bit set that has to be. Anything
 * else is `false`, and the caller asks viommu__walk() for the same address, which sets the bits or
 * describes the fault. The rules are those of vtd_fs.h and vtd_ss.h, the order of steps that of
 * walk.c.
 *
 *	resolve(ctx, gpa, want, &hit)
 *		A guest physical address to the process: viommu__walk_own(), or a cache in front of
 *		it. want is VIOMMU__WANT_R | VIOMMU__WANT_TABLE for an entry of a first-stage table,
 *		the request's own for the data. The answer holds for the 4-KiB page around gpa.
 *	note(ctx, level, table, cum)
 *		The walk goes down to the table of this level. What a page-walk cache keeps, for
 *		viommu__walk_nested_from(), if the walk ends with true: then A is set in all
 *		entries above.
 *
 * The first stage's snapshot rule (walk.c, Restarts) holds here for the entries that this walk
 * read: what a cache gave is the caller's to keep true.
 */
#ifndef VIOMMU_SRC_WALK_NESTED_H
#define VIOMMU_SRC_WALK_NESTED_H

#include <stdbool.h>
#include <stdint.h>

#include <viommu/vtd.h>
#include <viommu/walk.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "walk/vtd_fs.h"
#include "walk/vtd_ss.h"
#include "walk/walk.h"

/* Where an address leads. Fields that the caller does not use cost nothing. */
struct viommu__hit {
	uint64_t addr;    /* pointer of this process, as a number */
	uint64_t input;   /* what the last stage was asked for */
	uint32_t reads;   /* table entries read */
	uint8_t page_lg2; /* 12, 21, 30 */
	uint8_t perm;     /* VIOMMU_PERM_*; a write only where D is set, or not kept */
	uint8_t snp;
};

/* What an own second stage wants of a hit: reading a table counts as a write where A/D is kept. */
static VIOMMU__INLINE unsigned int viommu__own_need(const struct viommu_stage *s, unsigned int want)
{
	unsigned int need = want & (VIOMMU__WANT_R | VIOMMU__WANT_W);

	if ((want & VIOMMU__WANT_TABLE) && (s->flags & VIOMMU_STAGE_AD))
		need |= VIOMMU__WANT_W;
	return need;
}

/* How a step of viommu__walk_own() ends. */
enum viommu__own_end {
	VIOMMU__OWN_DOWN, /* to the next table */
	VIOMMU__OWN_LEAF, /* *hit is set */
	VIOMMU__OWN_SLOW, /* not the plain case */
};

/* One level of it; level is a constant, so that shifts and masks are. */
static VIOMMU__INLINE enum viommu__own_end viommu__own_step(const struct viommu_stage *s,
							    unsigned int level, uint64_t gpa,
							    unsigned int need, uint64_t *table,
							    uint64_t *cum, struct viommu__hit *hit)
{
	unsigned int shift = 12 + 9 * (level - 1);
	uint64_t low = BIT64(shift) - 1, e;

	e = load_acquire((const uint64_t *)(uintptr_t)*table + (gpa >> shift & 511));
	hit->reads++;
	if (unlikely(!vtd_ss_present(e) || (vtd_ss_marks(s, false, 0) & ~e)))
		return VIOMMU__OWN_SLOW;
	*cum &= e;
	if (level > 3 || !vtd_ss_leaf(s, level, e)) {
		*table = e & VTD_MASK(VTD_SS_ADDR);
		return VIOMMU__OWN_DOWN;
	}
	hit->perm = vtd_ss_perm(s, *cum, e);
	if (unlikely(need & ~hit->perm))
		return VIOMMU__OWN_SLOW;
	hit->addr = (e & VTD_MASK(VTD_SS_ADDR) & ~low) | (gpa & low);
	hit->input = gpa;
	hit->page_lg2 = (uint8_t)shift;
	hit->snp = (s->flags & VIOMMU_STAGE_SNP) && (e & VTD_MASK(VTD_SS_SNP));
	return VIOMMU__OWN_LEAF;
}

/* gpa through a second stage of ours. False: see above. */
static VIOMMU__INLINE bool viommu__walk_own(const struct viommu_stage *s, uint64_t gpa,
					    unsigned int want, struct viommu__hit *hit)
{
	unsigned int need = viommu__own_need(s, want);
	uint64_t table = s->root, cum = ~UINT64_C(0);
	enum viommu__own_end end = VIOMMU__OWN_DOWN;

	if (unlikely(gpa >> s->input_bits))
		return false;
	if (s->levels == 5)
		end = viommu__own_step(s, 5, gpa, need, &table, &cum, hit);
	if (s->levels >= 4 && likely(end == VIOMMU__OWN_DOWN))
		end = viommu__own_step(s, 4, gpa, need, &table, &cum, hit);
	if (likely(end == VIOMMU__OWN_DOWN))
		end = viommu__own_step(s, 3, gpa, need, &table, &cum, hit);
	if (end == VIOMMU__OWN_DOWN)
		end = viommu__own_step(s, 2, gpa, need, &table, &cum, hit);
	if (end == VIOMMU__OWN_DOWN)
		end = viommu__own_step(s, 1, gpa, need, &table, &cum, hit);
	return end == VIOMMU__OWN_LEAF;
}

typedef bool (*viommu__nested_resolve)(void *ctx, uint64_t gpa, unsigned int want,
				       struct viommu__hit *hit);
typedef void (*viommu__nested_note)(void *ctx, unsigned int level, const uint64_t *table,
				    uint64_t cum);

/*
 * Go on with gva in the first-stage table of this level, which lies at `table`. cum is the AND of
 * all entries above, ~0 at the top. hit->reads is added to, the rest of *hit is set on true.
 */
static VIOMMU__INLINE bool viommu__walk_nested_from(const struct viommu_stage *fs, uint64_t gva,
						    unsigned int want, unsigned int level,
						    const uint64_t *table, uint64_t cum,
						    viommu__nested_resolve resolve,
						    viommu__nested_note note, void *ctx,
						    struct viommu__hit *hit)
{
	const uint64_t *slot[5];
	unsigned int shift = 12 + 9 * (level - 1), nr = 0, i;
	uint64_t value[5], mark, e, page;
	struct viommu__hit below = { 0 };
	uint8_t perm;

	if (unlikely(vtd_fs_input(fs, gva, want)))
		return false;
	mark = vtd_fs_marks(fs, false, want);
	for (;; shift -= 9, level--) {
		slot[nr] = table + (gva >> shift & 511);
		e = load_acquire(slot[nr]);
		value[nr++] = e;
		hit->reads++;
		page = e & VTD_MASK(VTD_FS_ADDR);
		if (vtd_fs_leaf(fs, level, e))
			break;
		if (unlikely(!vtd_fs_present(e) || vtd_fs_reserved(fs, level, false, e) ||
			     (mark & ~e)))
			return false;
		cum &= e;
		below.reads = 0;
		if (unlikely(!resolve(ctx, page, VIOMMU__WANT_R | VIOMMU__WANT_TABLE, &below)))
			return false;
		hit->reads += below.reads;
		table = (const uint64_t *)(uintptr_t)below.addr;
		note(ctx, level - 1, table, cum);
	}
	cum &= e;
	if (unlikely(!vtd_fs_present(e) || vtd_fs_reserved(fs, level, true, e) ||
		     (vtd_fs_marks(fs, true, want) & ~e) || vtd_fs_judge(fs, cum, want)))
		return false;
	perm = vtd_fs_perm(fs, cum, e);
	page &= ~(BIT64(shift) - 1);
	below.reads = 0;
	if (unlikely(!resolve(ctx, page | (gva & (BIT64(shift) - 1)), want, &below)))
		return false;
	hit->reads += below.reads;
	hit->addr = below.addr;
	hit->input = below.input;
	hit->page_lg2 = below.page_lg2 < shift ? below.page_lg2 : (uint8_t)shift;
	hit->perm = perm & below.perm;
	hit->snp = below.snp;
	/*
	 * Did the entries above the leaf stand when the leaf was read? The leaf itself is one load.
	 */
	for (i = 0; i + 1 < nr; i++) {
		if (unlikely((load_acquire(slot[i]) ^ value[i]) & ~VTD_FS_MARKS))
			return false;
	}
	return true;
}

/* The same from the top. */
static VIOMMU__INLINE bool viommu__walk_nested(const struct viommu_stage *fs, uint64_t gva,
					       unsigned int want, viommu__nested_resolve resolve,
					       viommu__nested_note note, void *ctx,
					       struct viommu__hit *hit)
{
	struct viommu__hit below = { 0 };

	if (unlikely(!resolve(ctx, fs->root, VIOMMU__WANT_R | VIOMMU__WANT_TABLE, &below)))
		return false;
	hit->reads += below.reads;
	return viommu__walk_nested_from(fs, gva, want, fs->levels,
					(const uint64_t *)(uintptr_t)below.addr, ~UINT64_C(0),
					resolve, note, ctx, hit);
}

#endif /* VIOMMU_SRC_WALK_NESTED_H */
