/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/pasid.h - host PASIDs: who owns which, and which guest PASID each one serves.
 *
 * One allocator a host: 20-bit ids, handed out to owners (a VM) from inclusive ranges, with a quota
 * an owner and a reference count an id. Each owner has a map from its guest PASIDs to host PASIDs
 * (the same number or another) and back.
 *
 * References. An id is made with one reference, by viommu_pasid_alloc(), viommu_pasid_reserve() or
 * viommu_pasid_hold(); viommu_pasid_get(), every bind and every further hold add one. How it ends
 * depends on how it was made:
 *
 *	made by		ends with
 *	alloc, reserve	viommu_pasid_free(), once nothing but its first reference is left
 *	hold		the last reference, whoever drops it: release, put, an unbind
 *
 * So a guest's PASID N can be host PASID N for as long as anything names it: hold it for each table
 * entry that does, release it for each that goes, in any order with the binds. alloc and reserve
 * say "mine alone": they never add to an id that somebody has.
 *
 * Threads: every function may be called from any thread; a lock inside. Look-ups by
 * viommu_pasid_to_host() and viommu_pasid_to_guest() take it too: they are not for the DMA path,
 * which caches.
 */
#ifndef VIOMMU_PASID_H
#define VIOMMU_PASID_H

#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_pasids; /* the allocator */
struct viommu_owner;  /* one VM in it */

/* PASIDs min..max inclusive (min >= 1, max <= VIOMMU_PASID_MAX). 0, -EINVAL, -ENOMEM. */
VIOMMU_API int viommu_pasids_new(uint32_t min, uint32_t max, struct viommu_pasids **out);
/* NULL is allowed; no owner may be left (assertion). */
VIOMMU_API void viommu_pasids_free(struct viommu_pasids *pasids);

/*
 * quota: most PASIDs the owner may hold at a time, 0 = no limit. 0, -ENOMEM (also for more than
 * 2^20 owners at a time).
 */
VIOMMU_API int viommu_owner_new(struct viommu_pasids *pasids, uint32_t quota,
				struct viommu_owner **out);
/*
 * -EBUSY while one of its PASIDs has more than the owner's own reference (is bound); else all are
 * freed, 0. NULL is 0.
 */
VIOMMU_API int viommu_owner_free(struct viommu_owner *owner);
/* How many PASIDs it holds. */
VIOMMU_API uint32_t viommu_owner_count(struct viommu_owner *owner);

/*
 * Allocate the lowest free id in min..max (clipped to the allocator's range), with one reference.
 * 0, -EINVAL (min > max), -ENOSPC (none free), -EDQUOT (quota), -ENOMEM. On failure out->v is
 * VIOMMU_NO_PASID, as in the look-ups below.
 */
VIOMMU_API int viommu_pasid_alloc(struct viommu_owner *owner, uint32_t min, uint32_t max,
				  struct viommu_hp *out);
/*
 * Take this very id (identity mapping, or an id a real host gave). -EINVAL out of range, -EEXIST
 * taken, -EDQUOT, -ENOMEM.
 */
VIOMMU_API int viommu_pasid_reserve(struct viommu_owner *owner, struct viommu_hp hp);
/*
 * Give it back. -ENOENT not allocated, -EPERM another's, -EBUSY in use (extra references, or mapped
 * to a guest PASID), or made by viommu_pasid_hold().
 */
VIOMMU_API int viommu_pasid_free(struct viommu_owner *owner, struct viommu_hp hp);
/* Extra references: a bind holds one. -ENOENT, -EPERM, -EOVERFLOW (2^21 - 1 references). */
VIOMMU_API int viommu_pasid_get(struct viommu_owner *owner, struct viommu_hp hp);
/*
 * Drops a reference that viommu_pasid_get() took; there must be one (assertion). The last one of an
 * id made by viommu_pasid_hold() frees it.
 */
VIOMMU_API void viommu_pasid_put(struct viommu_owner *owner, struct viommu_hp hp);

/*
 * Find or make, for identity mapping: if the owner has hp already, however it got it, one more
 * reference; if it is free, take it with this one. 0, -EINVAL out of range, -EEXIST another
 * owner's, -EDQUOT, -EOVERFLOW, -ENOMEM.
 */
VIOMMU_API int viommu_pasid_hold(struct viommu_owner *owner, struct viommu_hp hp);
/*
 * Drops one reference that viommu_pasid_hold() took. The last one of an id made by hold frees it,
 * with its mapping; while a bind still has one, the unbind does that. 0, -ENOENT not allocated,
 * -EPERM another's, -EBUSY: only the reference of viommu_pasid_alloc() or _reserve() is left.
 */
VIOMMU_API int viommu_pasid_release(struct viommu_owner *owner, struct viommu_hp hp);

/*
 * Map gp to hp, both ways, one to one. The owner must hold hp. 0 (also if that very mapping
 * exists), -EINVAL (gp beyond 20 bits), -ENOENT / -EPERM (hp), -EEXIST (gp or hp mapped otherwise),
 * -ENOMEM. A bind that names gp maps it, too; the mapping is there while the caller or a bind wants
 * it.
 */
VIOMMU_API int viommu_pasid_map(struct viommu_owner *owner, struct viommu_gp gp,
				struct viommu_hp hp);
/* Takes back viommu_pasid_map(). 0 or -ENOENT (also: it is there for a bind alone). */
VIOMMU_API int viommu_pasid_unmap(struct viommu_owner *owner, struct viommu_gp gp);
/* 0 or -ENOENT. */
VIOMMU_API int viommu_pasid_to_host(struct viommu_owner *owner, struct viommu_gp gp,
				    struct viommu_hp *out);
VIOMMU_API int viommu_pasid_to_guest(struct viommu_owner *owner, struct viommu_hp hp,
				     struct viommu_gp *out);

/* Bytes that the allocator, its owners and their maps take now. */
VIOMMU_API size_t viommu_pasids_memory(struct viommu_pasids *pasids);

#ifdef __cplusplus
}
#endif
#endif
