/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What alloc.c and map.c share: the state of a host PASID, of an owner and of the allocator.
 *
 *	viommu_pasids.ids: hp -> ids_chunk { used bits, 64 states }
 *	  a state is one word: [19:0] gp, [20] mapped by the caller, [21] by a bind, [22] held,
 *	  [42:23] owner, [63:43] refs
 *	viommu_pasids.full: a bit for each chunk that has no free id
 *	viommu_pasids.full_words: a bit for each word of `full` that is all ones
 *	viommu_owner.map: gp -> map_chunk { count, 64 host PASIDs, 0 = none }
 *
 * The way from hp back to gp is the state itself, since a host PASID has one owner. Dense, an id
 * takes 8 bytes of state and 4 of map, and less than one byte of chunk and node headers.
 *
 * Synchronisation
 *	field				guard
 *	everything but the constants	viommu_pasids.lock
 *	viommu_pasids.min, max		constant
 *	viommu_owner.pasids, quota, index	constant
 */
#ifndef VIOMMU_PASID_PASIDS_H
#define VIOMMU_PASID_PASIDS_H

#include <pthread.h>
#include <stdbool.h>
#include <viommu/pasid.h>

#include "base/bits.h"
#include "pasid/sparse.h"

#define OWNER_BITS 20
#define OWNERS_MAX (1u << OWNER_BITS)
#define REFS_MAX   ((1u << (64 - STATE_REFS_SHIFT)) - 1)

struct ids_chunk {
	uint64_t used;
	uint64_t state[SPARSE_CHUNK];
};

struct map_chunk {
	uint32_t used;
	uint32_t hp[SPARSE_CHUNK];
};

struct viommu_pasids {
	pthread_mutex_t lock;
	uint32_t min;
	uint32_t max;
	size_t bytes;
	struct viommu__sparse ids;
	uint64_t full[SPARSE_CHUNKS / 64];
	uint64_t full_words[SPARSE_CHUNKS / 64 / 64];
	uint32_t owners;      /* how many there are */
	uint32_t owner_words; /* length of owner_bits */
	uint32_t owner_hint;  /* no word below this one has a free bit */
	uint64_t *owner_bits; /* which owner indices are taken */
};

struct viommu_owner {
	struct viommu_pasids *pasids;
	uint32_t quota; /* 0 = no limit */
	uint32_t index; /* what states say */
	uint32_t count; /* ids held */
	uint64_t extra; /* references beyond the owner's own, over all ids */
	struct viommu__sparse map;
};

/* All of the following: lock held. */

/* The state of an id that is allocated, or NULL. */
static inline uint64_t *id_state(struct viommu_pasids *pasids, uint32_t id)
{
	struct ids_chunk *chunk;

	if (id < pasids->min || id > pasids->max)
		return NULL;
	chunk = viommu__sparse_find(&pasids->ids, id);
	if (!chunk || !(chunk->used >> (id % SPARSE_CHUNK) & 1))
		return NULL;
	return &chunk->state[id % SPARSE_CHUNK];
}

/* 0 and the state if owner holds hp; -ENOENT, -EPERM. */
int viommu__pasid_state(struct viommu_owner *owner, struct viommu_hp hp, uint64_t **state);

/* map.c: whoever wants the mapping of this host PASID, it goes. */
void viommu__pasid_map_clear(struct viommu_owner *owner, uint64_t *state);

/*
 * For binds, which take the lock inside: as viommu_pasid_map() and _unmap(), but what one of them
 * makes the other's removal leaves alone. Unmapping also names hp: a mapping of gp to another one
 * is not the bind's.
 */
int viommu__pasid_map_bind(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp hp);
void viommu__pasid_unmap_bind(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp hp);

#define STATE_GP_MASK MASK64(VIOMMU_PASID_BITS - 1, 0)
/* The mapping is there while either of them wants it. */
#define STATE_MAP_CALLER BIT64(VIOMMU_PASID_BITS)
#define STATE_MAP_BIND   BIT64(VIOMMU_PASID_BITS + 1)
#define STATE_MAPPED     (STATE_MAP_CALLER | STATE_MAP_BIND)
/* Made by viommu_pasid_hold(): the last reference frees it. */
#define STATE_HELD        BIT64(VIOMMU_PASID_BITS + 2)
#define STATE_OWNER_SHIFT (VIOMMU_PASID_BITS + 3)
#define STATE_REFS_SHIFT  (STATE_OWNER_SHIFT + OWNER_BITS)
#define STATE_ONE_REF     BIT64(STATE_REFS_SHIFT)

static inline uint32_t state_gp(uint64_t state)
{
	return (uint32_t)(state & STATE_GP_MASK);
}

static inline uint32_t state_owner(uint64_t state)
{
	return (uint32_t)(state >> STATE_OWNER_SHIFT) & (OWNERS_MAX - 1);
}

static inline uint32_t state_refs(uint64_t state)
{
	return (uint32_t)(state >> STATE_REFS_SHIFT);
}

#endif /* VIOMMU_PASID_PASIDS_H */
