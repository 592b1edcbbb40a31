/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest PASID to host PASID and back, one to one, for each owner. The way there is a sparse array
 * of the owner; the way back is in the state of the host PASID (pasids.h).
 */
#include <errno.h>

#include "base/assert.h"
#include "pasid/pasids.h"

/* The host PASID of gp, 0 if there is none. Lock held. */
static uint32_t map_look_up(const struct viommu_owner *owner, struct viommu_gp gp)
{
	struct map_chunk *chunk;

	if (gp.v > VIOMMU_PASID_MAX)
		return 0;
	chunk = viommu__sparse_find(&owner->map, gp.v);
	return chunk ? chunk->hp[gp.v % SPARSE_CHUNK] : 0;
}

static int map_add(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp hp,
		   uint64_t who)
{
	struct map_chunk *chunk;
	uint64_t *state;
	uint32_t old;
	int ret;

	if (gp.v > VIOMMU_PASID_MAX)
		return -EINVAL;
	pthread_mutex_lock(&owner->pasids->lock);
	ret = viommu__pasid_state(owner, hp, &state);
	if (ret)
		goto unlock;
	old = map_look_up(owner, gp);
	if (old || *state & STATE_MAPPED) {
		if (old == hp.v)
			*state |= who;
		else
			ret = -EEXIST;
		goto unlock;
	}
	chunk = viommu__sparse_make(&owner->map, gp.v);
	if (!chunk) {
		ret = -ENOMEM;
		goto unlock;
	}
	chunk->hp[gp.v % SPARSE_CHUNK] = hp.v;
	chunk->used++;
	*state = (*state & ~STATE_GP_MASK) | gp.v | who;
unlock:
	pthread_mutex_unlock(&owner->pasids->lock);
	return ret;
}

int viommu_pasid_map(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp hp)
{
	return map_add(owner, gp, hp, STATE_MAP_CALLER);
}

int viommu__pasid_map_bind(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp hp)
{
	return map_add(owner, gp, hp, STATE_MAP_BIND);
}

void viommu__pasid_map_clear(struct viommu_owner *owner, uint64_t *state)
{
	struct map_chunk *chunk;
	uint32_t gp = state_gp(*state);

	if (!(*state & STATE_MAPPED))
		return;
	*state &= ~(STATE_GP_MASK | STATE_MAPPED);
	chunk = viommu__sparse_find(&owner->map, gp);
	chunk->hp[gp % SPARSE_CHUNK] = 0;
	if (!--chunk->used)
		viommu__sparse_drop(&owner->map, gp);
}

/* Nobody but `who` wants it any more: it goes. Lock held. */
static void map_drop(struct viommu_owner *owner, uint64_t *state, uint64_t who)
{
	if ((*state & STATE_MAPPED) == who)
		viommu__pasid_map_clear(owner, state);
	else
		*state &= ~who;
}

int viommu_pasid_unmap(struct viommu_owner *owner, struct viommu_gp gp)
{
	struct viommu_hp hp;
	uint64_t *state;
	int ret = -ENOENT;

	pthread_mutex_lock(&owner->pasids->lock);
	hp.v = map_look_up(owner, gp);
	if (hp.v) {
		VIOMMU_ASSERT(!viommu__pasid_state(owner, hp, &state));
		if (*state & STATE_MAP_CALLER) {
			map_drop(owner, state, STATE_MAP_CALLER);
			ret = 0;
		}
	}
	pthread_mutex_unlock(&owner->pasids->lock);
	return ret;
}

void viommu__pasid_unmap_bind(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp hp)
{
	uint64_t *state;

	pthread_mutex_lock(&owner->pasids->lock);
	if (map_look_up(owner, gp) == hp.v) {
		VIOMMU_ASSERT(!viommu__pasid_state(owner, hp, &state));
		map_drop(owner, state, STATE_MAP_BIND);
	}
	pthread_mutex_unlock(&owner->pasids->lock);
}

int viommu_pasid_to_host(struct viommu_owner *owner, struct viommu_gp gp, struct viommu_hp *out)
{
	uint32_t hp;

	pthread_mutex_lock(&owner->pasids->lock);
	hp = map_look_up(owner, gp);
	pthread_mutex_unlock(&owner->pasids->lock);
	out->v = hp ? hp : VIOMMU_NO_PASID;
	return hp ? 0 : -ENOENT;
}

int viommu_pasid_to_guest(struct viommu_owner *owner, struct viommu_hp hp, struct viommu_gp *out)
{
	uint64_t *state;
	int ret;

	out->v = VIOMMU_NO_PASID;
	pthread_mutex_lock(&owner->pasids->lock);
	ret = viommu__pasid_state(owner, hp, &state);
	if (!ret && *state & STATE_MAPPED)
		out->v = state_gp(*state);
	pthread_mutex_unlock(&owner->pasids->lock);
	return out->v == VIOMMU_NO_PASID ? -ENOENT : 0;
}
