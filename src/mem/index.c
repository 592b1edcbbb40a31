/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sorted index of regions: search, and edits that copy what they change. See index.h.
 */
#include "mem/index.h"

#include <errno.h>
#include <string.h>

#include <viommu/mem.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bits.h"

static uint64_t region_key(const struct viommu__top *top, const struct viommu__region *r)
{
	return top->by_host ? (uint64_t)(uintptr_t)r->host : r->gpa;
}

static uint64_t host_end(const struct viommu__region *r)
{
	return (uint64_t)(uintptr_t)r->host + r->bytes;
}

static bool region_writable(const struct viommu__region *r)
{
	return !(r->flags & VIOMMU_MEM_READ_ONLY);
}

static void retire(struct viommu__retired **list, struct viommu__retired *what)
{
	what->next = *list;
	*list = what;
}

static struct viommu__top *top_alloc(size_t leaves)
{
	struct viommu__top *top;

	return viommu__calloc(1, sizeof(*top) + leaves * sizeof(top->e[0]));
}

struct viommu__top *viommu__index_new(bool by_host)
{
	struct viommu__top *top = top_alloc(0);

	if (top)
		top->by_host = by_host;
	return top;
}

void viommu__index_free(struct viommu__top *top)
{
	size_t i;

	if (!top)
		return;
	for (i = 0; i < top->n; i++)
		viommu__free(top->e[i].leaf);
	viommu__free(top);
}

/* Is an entry at or before (key, gpa)? The guest address is looked at for equal keys only. */
static bool entry_upto(uint64_t entry_key, const struct viommu__region *r, uint64_t key,
		       uint64_t gpa)
{
	return entry_key < key || (entry_key == key && r->gpa <= gpa);
}

/* The last entry at or before (key, gpa): for edits, that tell equal keys apart. */
static bool pair_find(const struct viommu__top *top, uint64_t key, uint64_t gpa,
		      struct viommu__spot *spot)
{
	const struct viommu__leaf *leaf;
	size_t lo = 0, hi = top->n, mid;

	/* Of leaves [0, lo) the first entry is at or before, of [hi, n) it is after. */
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (entry_upto(top->e[mid].key, top->e[mid].leaf->region[0], key, gpa))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return false;
	spot->leaf = lo - 1;
	leaf = top->e[spot->leaf].leaf;
	lo = 1;
	hi = leaf->n;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (entry_upto(leaf->key[mid], leaf->region[mid], key, gpa))
			lo = mid + 1;
		else
			hi = mid;
	}
	spot->i = (unsigned int)lo - 1;
	return true;
}

/*
 * pair_find for readers, who have no second key. Addresses come in no order, so a branch would be
 * mispredicted every other step: the steps are arithmetic.
 */
bool viommu__index_find(const struct viommu__top *top, uint64_t key, struct viommu__spot *spot)
{
	const struct viommu__leaf *leaf;
	size_t at = 0, n = top->n, half;

	if (!n || top->e[0].key > key)
		return false;
	/* The entry at `at` is not after key; the one looked for is among the n from there. */
	for (; n > 1; n -= half) {
		half = n / 2;
		at += half & -(size_t)(top->e[at + half].key <= key);
	}
	spot->leaf = at;
	leaf = top->e[at].leaf;
	at = 0;
	for (n = leaf->n; n > 1; n -= half) {
		half = n / 2;
		at += half & -(size_t)(leaf->key[at + half] <= key);
	}
	spot->i = (unsigned int)at;
	return true;
}

bool viommu__index_first(const struct viommu__top *top, struct viommu__spot *spot)
{
	spot->leaf = 0;
	spot->i = 0;
	return top->n != 0;
}

bool viommu__index_next(const struct viommu__top *top, struct viommu__spot *spot)
{
	if (++spot->i < top->e[spot->leaf].leaf->n)
		return true;
	spot->i = 0;
	return ++spot->leaf < top->n;
}

static struct viommu__region *reach_max(struct viommu__region *a, struct viommu__region *b)
{
	if (!a || !b)
		return a ? a : b;
	return host_end(b) > host_end(a) ? b : a;
}

/*
 * The slow twin, for when the region that reaches farthest is dead (truncated, and not yet
 * removed): some other one behind it may contain the range.
 */
static struct viommu__region *containing_slow(const struct viommu__top *top, uint64_t host,
					      uint64_t bytes, bool write)
{
	struct viommu__region *r;
	struct viommu__spot spot;
	bool more;

	for (more = viommu__index_first(top, &spot); more; more = viommu__index_next(top, &spot)) {
		r = viommu__index_at(top, &spot);
		if (region_key(top, r) > host)
			break;
		if (host_end(r) - host >= bytes && host < host_end(r) &&
		    (!write || region_writable(r)) && !viommu__region_dead(r))
			return r;
	}
	return NULL;
}

struct viommu__region *viommu__index_containing(const struct viommu__top *top, uint64_t host,
						uint64_t bytes, bool write)
{
	const struct viommu__leaf *leaf;
	struct viommu__region *r;
	struct viommu__spot spot;

	if (!viommu__index_find(top, host, &spot))
		return NULL;
	leaf = top->e[spot.leaf].leaf;
	if (write)
		r = reach_max(top->e[spot.leaf].reach_rw, leaf->reach_rw[spot.i]);
	else
		r = reach_max(top->e[spot.leaf].reach, leaf->reach[spot.i]);
	/*
	 * Who reaches farthest among all that start at or below host contains it, or nobody does.
	 */
	if (!r || host >= host_end(r) || host_end(r) - host < bytes)
		return NULL;
	if (unlikely(viommu__region_dead(r)))
		return containing_slow(top, host, bytes, write);
	return r;
}

int viommu__edit_begin(struct viommu__edit *edit, struct viommu__top *old)
{
	/* One more than there are: an insertion may split a leaf. */
	struct viommu__top *top = top_alloc(old->n + 1);

	edit->old = old;
	edit->top = top;
	edit->replaced = NULL;
	if (!top)
		return -ENOMEM;
	top->by_host = old->by_host;
	top->n = old->n;
	memcpy(top->e, old->e, old->n * sizeof(old->e[0]));
	return 0;
}

static struct viommu__leaf *leaf_alloc(void)
{
	struct viommu__leaf *leaf = viommu__alloc(sizeof(*leaf));

	if (leaf) {
		leaf->n = 0;
		leaf->changed = 0;
		leaf->fresh = true;
	}
	return leaf;
}

/* A leaf that may change in the place of one that is published. */
static struct viommu__leaf *leaf_own(struct viommu__edit *edit, size_t i)
{
	struct viommu__leaf *leaf = edit->top->e[i].leaf, *copy;

	if (leaf->fresh)
		return leaf;
	copy = leaf_alloc();
	if (!copy)
		return NULL;
	copy->n = leaf->n;
	copy->changed = leaf->n;
	memcpy(copy->key, leaf->key, leaf->n * sizeof(leaf->key[0]));
	memcpy(copy->region, leaf->region, leaf->n * sizeof(leaf->region[0]));
	if (edit->top->by_host) {
		memcpy(copy->reach, leaf->reach, leaf->n * sizeof(leaf->reach[0]));
		memcpy(copy->reach_rw, leaf->reach_rw, leaf->n * sizeof(leaf->reach_rw[0]));
	}
	edit->top->e[i].leaf = copy;
	retire(&edit->replaced, &leaf->retired);
	return copy;
}

static void leaf_insert(struct viommu__leaf *leaf, unsigned int at, uint64_t key,
			struct viommu__region *r)
{
	memmove(&leaf->key[at + 1], &leaf->key[at], (leaf->n - at) * sizeof(leaf->key[0]));
	memmove(&leaf->region[at + 1], &leaf->region[at], (leaf->n - at) * sizeof(leaf->region[0]));
	leaf->key[at] = key;
	leaf->region[at] = r;
	leaf->n++;
	if (leaf->changed > at)
		leaf->changed = at;
}

static void leaf_move(struct viommu__leaf *to, struct viommu__leaf *from, unsigned int first)
{
	unsigned int n = from->n - first;

	if (to->changed > to->n)
		to->changed = to->n;
	memcpy(&to->key[to->n], &from->key[first], n * sizeof(to->key[0]));
	memcpy(&to->region[to->n], &from->region[first], n * sizeof(to->region[0]));
	to->n += n;
}

static void top_insert(struct viommu__top *top, size_t at, struct viommu__leaf *leaf)
{
	memmove(&top->e[at + 1], &top->e[at], (top->n - at) * sizeof(top->e[0]));
	top->e[at].leaf = leaf;
	top->n++;
}

static void top_erase(struct viommu__top *top, size_t at)
{
	top->n--;
	memmove(&top->e[at], &top->e[at + 1], (top->n - at) * sizeof(top->e[0]));
}

int viommu__edit_insert(struct viommu__edit *edit, struct viommu__region *r)
{
	struct viommu__top *top = edit->top;
	uint64_t key = region_key(top, r);
	struct viommu__leaf *leaf, *upper;
	struct viommu__spot spot;
	unsigned int at;

	/* Where it goes: behind the last entry before it, or in front of everything. */
	if (!top->n) {
		leaf = leaf_alloc();
		if (!leaf)
			return -ENOMEM;
		leaf_insert(leaf, 0, key, r);
		top_insert(top, 0, leaf);
		top->e[0].key = key;
		return 0;
	}
	if (pair_find(top, key, r->gpa, &spot)) {
		at = spot.i + 1;
	} else {
		spot.leaf = 0;
		at = 0;
	}
	leaf = top->e[spot.leaf].leaf;
	if (leaf->n < VIOMMU__LEAF_MAX) {
		leaf = leaf_own(edit, spot.leaf);
		if (!leaf)
			return -ENOMEM;
		leaf_insert(leaf, at, key, r);
	} else {
		upper = leaf_alloc();
		if (!upper)
			return -ENOMEM;
		if (at == leaf->n) {
			/* Regions often come in ascending order: leave full leaves behind. */
			leaf_insert(upper, 0, key, r);
		} else {
			leaf = leaf_own(edit, spot.leaf);
			if (!leaf) {
				viommu__free(upper);
				return -ENOMEM;
			}
			leaf_move(upper, leaf, VIOMMU__LEAF_MAX / 2);
			leaf->n = VIOMMU__LEAF_MAX / 2;
			if (at <= leaf->n)
				leaf_insert(leaf, at, key, r);
			else
				leaf_insert(upper, at - leaf->n, key, r);
			top->e[spot.leaf].key = leaf->key[0];
		}
		top_insert(top, spot.leaf + 1, upper);
		top->e[spot.leaf + 1].key = upper->key[0];
	}
	top->e[spot.leaf].key = top->e[spot.leaf].leaf->key[0];
	return 0;
}

/* Drop leaf i, whose entries are in another leaf now. */
static void leaf_drop(struct viommu__edit *edit, size_t i)
{
	struct viommu__leaf *leaf = edit->top->e[i].leaf;

	if (leaf->fresh)
		viommu__free(leaf);
	else
		retire(&edit->replaced, &leaf->retired);
	top_erase(edit->top, i);
}

/* Would the leaves a and b, both there, fill at most half a leaf? Then they become one. */
static bool leaves_small(const struct viommu__top *top, size_t a, size_t b)
{
	return b < top->n && top->e[a].leaf->n + top->e[b].leaf->n <= VIOMMU__LEAF_MAX / 2;
}

int viommu__edit_erase(struct viommu__edit *edit, struct viommu__region *r)
{
	struct viommu__top *top = edit->top;
	struct viommu__leaf *leaf, *before;
	struct viommu__spot spot;
	bool found;

	found = pair_find(top, region_key(top, r), r->gpa, &spot);
	VIOMMU_ASSERT(found && viommu__index_at(top, &spot) == r);
	leaf = leaf_own(edit, spot.leaf);
	if (!leaf)
		return -ENOMEM;
	leaf->n--;
	if (leaf->changed > spot.i)
		leaf->changed = spot.i;
	memmove(&leaf->key[spot.i], &leaf->key[spot.i + 1],
		(leaf->n - spot.i) * sizeof(leaf->key[0]));
	memmove(&leaf->region[spot.i], &leaf->region[spot.i + 1],
		(leaf->n - spot.i) * sizeof(leaf->region[0]));
	if (!leaf->n) {
		leaf_drop(edit, spot.leaf);
		return 0;
	}
	top->e[spot.leaf].key = leaf->key[0];
	/* Without this, a memory that once was full would keep a long top. */
	if (leaves_small(top, spot.leaf, spot.leaf + 1)) {
		leaf_move(leaf, top->e[spot.leaf + 1].leaf, 0);
		leaf_drop(edit, spot.leaf + 1);
	} else if (spot.leaf && leaves_small(top, spot.leaf - 1, spot.leaf)) {
		before = leaf_own(edit, spot.leaf - 1);
		if (!before)
			return 0; /* only a longer top */
		leaf_move(before, leaf, 0);
		leaf_drop(edit, spot.leaf);
	}
	return 0;
}

/* What reaches farthest, for the entries of a leaf that changed. */
static void leaf_reach(struct viommu__leaf *leaf)
{
	struct viommu__region *reach = NULL, *reach_rw = NULL, *r;
	unsigned int i = leaf->changed;

	if (i) {
		reach = leaf->reach[i - 1];
		reach_rw = leaf->reach_rw[i - 1];
	}
	for (; i < leaf->n; i++) {
		r = leaf->region[i];
		reach = reach_max(reach, r);
		reach_rw = reach_max(reach_rw, region_writable(r) ? r : NULL);
		leaf->reach[i] = reach;
		leaf->reach_rw[i] = reach_rw;
	}
}

struct viommu__top *viommu__edit_commit(struct viommu__edit *edit, struct viommu__retired **retired)
{
	struct viommu__region *reach = NULL, *reach_rw = NULL;
	struct viommu__top *top = edit->top;
	struct viommu__retired *node;
	struct viommu__leaf *leaf;
	size_t l;

	for (l = 0; l < top->n; l++) {
		leaf = top->e[l].leaf;
		if (leaf->fresh) {
			if (top->by_host)
				leaf_reach(leaf);
			leaf->fresh = false;
		}
		if (!top->by_host)
			continue;
		top->e[l].reach = reach;
		top->e[l].reach_rw = reach_rw;
		reach = reach_max(reach, leaf->reach[leaf->n - 1]);
		reach_rw = reach_max(reach_rw, leaf->reach_rw[leaf->n - 1]);
	}
	while ((node = edit->replaced)) {
		edit->replaced = node->next;
		retire(retired, node);
	}
	retire(retired, &edit->old->retired);
	memset(edit, 0, sizeof(*edit));
	return top;
}

void viommu__edit_abort(struct viommu__edit *edit)
{
	size_t i;

	if (edit->top)
		for (i = 0; i < edit->top->n; i++)
			if (edit->top->e[i].leaf->fresh)
				viommu__free(edit->top->e[i].leaf);
	viommu__free(edit->top);
	memset(edit, 0, sizeof(*edit));
}
