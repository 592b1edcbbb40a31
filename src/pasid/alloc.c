/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host PASID allocator: ranges, owners, quotas and references of viommu/pasid.h. The map
 * between guest and host PASIDs is in map.c, the layout of all of it in pasids.h.
 *
 * The search for the lowest free id looks at one chunk of 64 ids, then at two levels of "full"
 * bits: at most 262 words, whatever is allocated.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "pasid/pasids.h"

int viommu_pasids_new(uint32_t min, uint32_t max, struct viommu_pasids **out)
{
	struct viommu_pasids *pasids;

	*out = NULL;
	if (min < 1 || min > max || max > VIOMMU_PASID_MAX)
		return -EINVAL;
	pasids = viommu__calloc(1, sizeof(*pasids));
	if (!pasids)
		return -ENOMEM;
	if (pthread_mutex_init(&pasids->lock, NULL)) {
		viommu__free(pasids);
		return -ENOMEM;
	}
	pasids->min = min;
	pasids->max = max;
	pasids->bytes = sizeof(*pasids);
	pasids->ids.chunk_size = sizeof(struct ids_chunk);
	pasids->ids.bytes = &pasids->bytes;
	*out = pasids;
	return 0;
}

void viommu_pasids_free(struct viommu_pasids *pasids)
{
	if (!pasids)
		return;
	VIOMMU_ASSERT(!pasids->owners);
	VIOMMU_ASSERT(!pasids->ids.root);
	pthread_mutex_destroy(&pasids->lock);
	viommu__free(pasids->owner_bits);
	viommu__free(pasids);
}

/* Twice the room for owner indices. */
static int owner_bits_grow(struct viommu_pasids *pasids)
{
	uint32_t words = pasids->owner_words ? pasids->owner_words * 2 : 1, i;
	uint64_t *bits;

	if (words * 64 > OWNERS_MAX)
		return -ENOMEM;
	bits = viommu__realloc(pasids->owner_bits, words, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	for (i = pasids->owner_words; i < words; i++)
		bits[i] = 0;
	pasids->bytes += (words - pasids->owner_words) * sizeof(*bits);
	pasids->owner_bits = bits;
	pasids->owner_words = words;
	return 0;
}

static int owner_index_take(struct viommu_pasids *pasids, uint32_t *index)
{
	uint32_t i = pasids->owner_hint;
	int ret;

	while (i < pasids->owner_words && !~pasids->owner_bits[i])
		i++;
	pasids->owner_hint = i;
	if (i == pasids->owner_words) {
		ret = owner_bits_grow(pasids);
		if (ret)
			return ret;
	}
	*index = i * 64 + lowest_bit(~pasids->owner_bits[i]);
	pasids->owner_bits[i] |= BIT64(*index % 64);
	pasids->owners++;
	return 0;
}

static void owner_index_give(struct viommu_pasids *pasids, uint32_t index)
{
	pasids->owner_bits[index / 64] &= ~BIT64(index % 64);
	if (index / 64 < pasids->owner_hint)
		pasids->owner_hint = index / 64;
	pasids->owners--;
}

int viommu_owner_new(struct viommu_pasids *pasids, uint32_t quota, struct viommu_owner **out)
{
	struct viommu_owner *owner;
	int ret;

	*out = NULL;
	owner = viommu__calloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	owner->pasids = pasids;
	owner->quota = quota;
	owner->map.chunk_size = sizeof(struct map_chunk);
	owner->map.bytes = &pasids->bytes;
	pthread_mutex_lock(&pasids->lock);
	ret = owner_index_take(pasids, &owner->index);
	if (!ret)
		pasids->bytes += sizeof(*owner);
	pthread_mutex_unlock(&pasids->lock);
	if (ret) {
		viommu__free(owner);
		return ret;
	}
	*out = owner;
	return 0;
}

/* A chunk became full or stopped being so. */
static void full_set(struct viommu_pasids *pasids, uint32_t chunk, bool full)
{
	uint64_t *word = &pasids->full[chunk / 64];
	uint64_t *word_above = &pasids->full_words[chunk / 64 / 64];

	if (full)
		*word |= BIT64(chunk % 64);
	else
		*word &= ~BIT64(chunk % 64);
	if (!~*word)
		*word_above |= BIT64(chunk / 64 % 64);
	else
		*word_above &= ~BIT64(chunk / 64 % 64);
}

/* The first chunk in first..last that has a free id, or last + 1. */
static uint32_t full_search(const struct viommu_pasids *pasids, uint32_t first, uint32_t last)
{
	uint32_t word = first / 64, above;
	uint64_t bits;

	if (first > last)
		return last + 1;
	bits = ~pasids->full[word] & MASK64(63, first % 64);
	if (!bits) {
		word++;
		for (above = word / 64; above < ARRAY_SIZE(pasids->full_words); above++) {
			bits = ~pasids->full_words[above];
			if (above == word / 64)
				bits &= MASK64(63, word % 64);
			if (bits)
				break;
		}
		if (above == ARRAY_SIZE(pasids->full_words))
			return last + 1;
		word = above * 64 + lowest_bit(bits);
		bits = ~pasids->full[word];
	}
	return word * 64 + lowest_bit(bits);
}

/* The lowest free id in min..max, both in the allocator's range; 0 if there is none. */
static uint32_t id_search(struct viommu_pasids *pasids, uint32_t min, uint32_t max)
{
	uint32_t chunk = min / SPARSE_CHUNK, last = max / SPARSE_CHUNK;
	struct ids_chunk *ids = viommu__sparse_find(&pasids->ids, min);
	uint64_t bits = (ids ? ~ids->used : ~UINT64_C(0)) & MASK64(63, min % SPARSE_CHUNK);
	uint32_t id;

	if (!bits) {
		chunk = full_search(pasids, chunk + 1, last);
		if (chunk > last)
			return 0;
		ids = viommu__sparse_find(&pasids->ids, chunk * SPARSE_CHUNK);
		bits = ids ? ~ids->used : ~UINT64_C(0);
	}
	id = chunk * SPARSE_CHUNK + lowest_bit(bits);
	return id <= max ? id : 0;
}

/* Give a free id to owner, with one reference. */
static int id_take(struct viommu_owner *owner, uint32_t id)
{
	struct viommu_pasids *pasids = owner->pasids;
	struct ids_chunk *ids;

	ids = viommu__sparse_make(&pasids->ids, id);
	if (!ids)
		return -ENOMEM;
	VIOMMU_ASSERT(!(ids->used & BIT64(id % SPARSE_CHUNK)));
	ids->used |= BIT64(id % SPARSE_CHUNK);
	ids->state[id % SPARSE_CHUNK] = STATE_ONE_REF | (uint64_t)owner->index << STATE_OWNER_SHIFT;
	if (!~ids->used)
		full_set(pasids, id / SPARSE_CHUNK, true);
	owner->count++;
	return 0;
}

/* The opposite; its references are the caller's business. */
static void id_give(struct viommu_owner *owner, uint32_t id)
{
	struct viommu_pasids *pasids = owner->pasids;
	struct ids_chunk *ids = viommu__sparse_find(&pasids->ids, id);

	if (!~ids->used)
		full_set(pasids, id / SPARSE_CHUNK, false);
	ids->used &= ~BIT64(id % SPARSE_CHUNK);
	ids->state[id % SPARSE_CHUNK] = 0;
	if (!ids->used)
		viommu__sparse_drop(&pasids->ids, id);
	owner->count--;
}

int viommu_owner_free(struct viommu_owner *owner)
{
	struct viommu_pasids *pasids;
	struct ids_chunk *ids;
	uint32_t base, id;
	uint64_t bits;

	if (!owner)
		return 0;
	pasids = owner->pasids;
	pthread_mutex_lock(&pasids->lock);
	if (owner->extra) {
		pthread_mutex_unlock(&pasids->lock);
		return -EBUSY;
	}
	viommu__sparse_clear(&owner->map);
	for (base = 0; owner->count && (ids = viommu__sparse_next(&pasids->ids, &base));
	     base += SPARSE_CHUNK) {
		/* id_give() frees the chunk with its last id: no look into it after that. */
		for (bits = ids->used; bits; bits &= bits - 1) {
			id = base + lowest_bit(bits);
			if (state_owner(ids->state[id % SPARSE_CHUNK]) == owner->index)
				id_give(owner, id);
		}
	}
	VIOMMU_ASSERT(!owner->count);
	owner_index_give(pasids, owner->index);
	pasids->bytes -= sizeof(*owner);
	pthread_mutex_unlock(&pasids->lock);
	viommu__free(owner);
	return 0;
}

uint32_t viommu_owner_count(struct viommu_owner *owner)
{
	uint32_t count;

	pthread_mutex_lock(&owner->pasids->lock);
	count = owner->count;
	pthread_mutex_unlock(&owner->pasids->lock);
	return count;
}

static bool quota_used_up(const struct viommu_owner *owner)
{
	return owner->quota && owner->count >= owner->quota;
}

int viommu_pasid_alloc(struct viommu_owner *owner, uint32_t min, uint32_t max,
		       struct viommu_hp *out)
{
	struct viommu_pasids *pasids = owner->pasids;
	uint32_t id;
	int ret;

	out->v = VIOMMU_NO_PASID;
	if (min > max)
		return -EINVAL;
	if (min < pasids->min)
		min = pasids->min;
	if (max > pasids->max)
		max = pasids->max;
	if (min > max)
		return -ENOSPC;
	pthread_mutex_lock(&pasids->lock);
	if (quota_used_up(owner)) {
		ret = -EDQUOT;
		goto unlock;
	}
	id = id_search(pasids, min, max);
	if (!id) {
		ret = -ENOSPC;
		goto unlock;
	}
	ret = id_take(owner, id);
	if (!ret)
		out->v = id;
unlock:
	pthread_mutex_unlock(&pasids->lock);
	return ret;
}

int viommu_pasid_reserve(struct viommu_owner *owner, struct viommu_hp hp)
{
	struct viommu_pasids *pasids = owner->pasids;
	int ret;

	if (hp.v < pasids->min || hp.v > pasids->max)
		return -EINVAL;
	pthread_mutex_lock(&pasids->lock);
	if (id_state(pasids, hp.v))
		ret = -EEXIST;
	else if (quota_used_up(owner))
		ret = -EDQUOT;
	else
		ret = id_take(owner, hp.v);
	pthread_mutex_unlock(&pasids->lock);
	return ret;
}

int viommu__pasid_state(struct viommu_owner *owner, struct viommu_hp hp, uint64_t **state)
{
	*state = id_state(owner->pasids, hp.v);
	if (!*state)
		return -ENOENT;
	return state_owner(**state) == owner->index ? 0 : -EPERM;
}

int viommu_pasid_free(struct viommu_owner *owner, struct viommu_hp hp)
{
	uint64_t *state;
	int ret;

	pthread_mutex_lock(&owner->pasids->lock);
	ret = viommu__pasid_state(owner, hp, &state);
	if (!ret && (state_refs(*state) > 1 || *state & (STATE_MAPPED | STATE_HELD)))
		ret = -EBUSY;
	if (!ret)
		id_give(owner, hp.v);
	pthread_mutex_unlock(&owner->pasids->lock);
	return ret;
}

int viommu_pasid_get(struct viommu_owner *owner, struct viommu_hp hp)
{
	uint64_t *state;
	int ret;

	pthread_mutex_lock(&owner->pasids->lock);
	ret = viommu__pasid_state(owner, hp, &state);
	if (!ret && state_refs(*state) == REFS_MAX)
		ret = -EOVERFLOW;
	if (!ret) {
		*state += STATE_ONE_REF;
		owner->extra++;
	}
	pthread_mutex_unlock(&owner->pasids->lock);
	return ret;
}

/* Lock held. The last reference of an id that is held takes the id and its mapping with it. */
static void ref_drop(struct viommu_owner *owner, uint32_t id, uint64_t *state)
{
	if (state_refs(*state) == 1) {
		viommu__pasid_map_clear(owner, state);
		id_give(owner, id);
		return;
	}
	*state -= STATE_ONE_REF;
	owner->extra--;
}

void viommu_pasid_put(struct viommu_owner *owner, struct viommu_hp hp)
{
	uint64_t *state;

	pthread_mutex_lock(&owner->pasids->lock);
	VIOMMU_ASSERT(!viommu__pasid_state(owner, hp, &state));
	VIOMMU_ASSERT(state_refs(*state) > 1 || *state & STATE_HELD);
	ref_drop(owner, hp.v, state);
	pthread_mutex_unlock(&owner->pasids->lock);
}

int viommu_pasid_hold(struct viommu_owner *owner, struct viommu_hp hp)
{
	struct viommu_pasids *pasids = owner->pasids;
	uint64_t *state;
	int ret;

	if (hp.v < pasids->min || hp.v > pasids->max)
		return -EINVAL;
	pthread_mutex_lock(&pasids->lock);
	ret = viommu__pasid_state(owner, hp, &state);
	if (ret == -EPERM) {
		ret = -EEXIST;
	} else if (ret == -ENOENT) {
		ret = quota_used_up(owner) ? -EDQUOT : id_take(owner, hp.v);
		if (!ret)
			*id_state(pasids, hp.v) |= STATE_HELD;
	} else if (state_refs(*state) == REFS_MAX) {
		ret = -EOVERFLOW;
	} else {
		*state += STATE_ONE_REF;
		owner->extra++;
	}
	pthread_mutex_unlock(&pasids->lock);
	return ret;
}

int viommu_pasid_release(struct viommu_owner *owner, struct viommu_hp hp)
{
	uint64_t *state;
	int ret;

	pthread_mutex_lock(&owner->pasids->lock);
	ret = viommu__pasid_state(owner, hp, &state);
	/* The owner's own reference, of alloc or reserve, is for viommu_pasid_free(). */
	if (!ret && state_refs(*state) == 1 && !(*state & STATE_HELD))
		ret = -EBUSY;
	if (!ret)
		ref_drop(owner, hp.v, state);
	pthread_mutex_unlock(&owner->pasids->lock);
	return ret;
}

size_t viommu_pasids_memory(struct viommu_pasids *pasids)
{
	size_t bytes;

	pthread_mutex_lock(&pasids->lock);
	bytes = pasids->bytes;
	pthread_mutex_unlock(&pasids->lock);
	return bytes;
}
