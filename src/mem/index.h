/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/index.h - regions sorted by guest or host address; readers need no lock.
 *
 * Two levels, and a published node never changes:
 *
 *	top  [ key, leaf, reach, reach_rw ] [ ... ] [ ... ]	as many as there are leaves
 *	          |
 *	     leaf [ key, region, reach, reach_rw ] x 1..128	keys ascend
 *
 * A change copies the top and the one leaf it touches, so it costs little with 65,536 regions
 * too. It is prepared in an edit (which can fail), published by one store (which cannot), and
 * what it replaced is retired for the time after the readers.
 *
 * Regions do not overlap by guest address, but may by host address (the same pointer at several
 * guest addresses). `reach` of an entry is, among all regions up to and with it, the one that ends
 * last; `reach_rw` the same among writable ones; both by host address only. So "does any region
 * that starts at or below h contain [h, end)" is one binary search and one comparison. Equal host
 * addresses are told apart by guest address.
 */
#ifndef VIOMMU_SRC_MEM_INDEX_H
#define VIOMMU_SRC_MEM_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/region.h"

#define VIOMMU__LEAF_MAX 128u

struct viommu__leaf {
	struct viommu__retired retired;
	unsigned int n;       /* at least 1 */
	bool fresh;           /* made by the edit that is under way: may still change */
	unsigned int changed; /* entries from here on: reach is to be computed by the commit */
	uint64_t key[VIOMMU__LEAF_MAX];
	struct viommu__region *region[VIOMMU__LEAF_MAX];
	struct viommu__region *reach[VIOMMU__LEAF_MAX];
	struct viommu__region *reach_rw[VIOMMU__LEAF_MAX]; /* NULL: none is writable */
};

struct viommu__top {
	struct viommu__retired retired;
	bool by_host;
	size_t n;
	struct {
		uint64_t key; /* of the first entry in the leaf */
		struct viommu__leaf *leaf;
		/* Of all leaves before this one; NULL: none. */
		struct viommu__region *reach, *reach_rw;
	} e[];
};

/* A place in an index. */
struct viommu__spot {
	size_t leaf;
	unsigned int i;
};

/* A change under way. Nobody else sees it before the new top is stored. */
struct viommu__edit {
	struct viommu__top *old;
	struct viommu__top *top;
	struct viommu__retired *replaced; /* nodes of old that are not in top */
};

/* An index of nothing, or NULL. */
struct viommu__top *viommu__index_new(bool by_host);
/* Top and leaves, not the regions. Takes NULL. */
void viommu__index_free(struct viommu__top *top);

/* The last entry with a key of at most `key`; false if there is none. */
bool viommu__index_find(const struct viommu__top *top, uint64_t key, struct viommu__spot *spot);
/* The next entry; false at the end. */
bool viommu__index_next(const struct viommu__top *top, struct viommu__spot *spot);
/* The first entry; false if there is none. */
bool viommu__index_first(const struct viommu__top *top, struct viommu__spot *spot);

static inline struct viommu__region *viommu__index_at(const struct viommu__top *top,
						      const struct viommu__spot *spot)
{
	return top->e[spot->leaf].leaf->region[spot->i];
}

/* A live region (by host) that contains [host, host + bytes), writable if so asked, or NULL. */
struct viommu__region *viommu__index_containing(const struct viommu__top *top, uint64_t host,
						uint64_t bytes, bool write);

/* 0 or -ENOMEM. One edit inserts one region, or erases any number. */
int viommu__edit_begin(struct viommu__edit *edit, struct viommu__top *old);
/* 0 or -ENOMEM; then the edit is as before the call. */
int viommu__edit_insert(struct viommu__edit *edit, struct viommu__region *r);
/* 0 or -ENOMEM; then the edit is as before the call. The region is in the index. */
int viommu__edit_erase(struct viommu__edit *edit, struct viommu__region *r);
/* Ready to be read: returns the new top to publish; *retired grows by what it replaces. */
struct viommu__top *viommu__edit_commit(struct viommu__edit *edit,
					struct viommu__retired **retired);
/* Forget it; takes an edit that is all zero. */
void viommu__edit_abort(struct viommu__edit *edit);

#endif /* VIOMMU_SRC_MEM_INDEX_H */
