/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight markers: how a writer learns that no reader still uses what it took away, at the price
 * of two plain stores for the reader.
 *
 *	reader                                  writer
 *	seq = odd          (plain store)        take it away: bump a generation, clear an entry (release)
 *	  [light fence]  <------------------->  membarrier(2): a full fence in every running thread
 *	load generation, tables, use them       for each marker: if seq is odd, wait until it changes
 *	seq = even         (release)            free what was taken away
 *
 * Either the reader's odd store is seen by the writer after the membarrier, and the writer waits;
 * or it was not yet made when the membarrier hit that thread, and then all of the reader's later
 * loads see what the writer did. tests/base explores every interleaving of this, store buffers
 * included.
 *
 * With VIOMMU_MARKER_SEQCST (for ThreadSanitizer, which does not know membarrier), or where the
 * kernel has no membarrier, the light fence is a real one.
 *
 * Synchronisation: list and count are guarded by lock; seq is written by its reader alone.
 */
#ifndef VIOMMU_BASE_MARKER_H
#define VIOMMU_BASE_MARKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/list.h"

struct viommu__markers {
	pthread_mutex_t lock;
	struct list list;
	bool fence; /* the readers' light fence has to be a real one */
};

struct viommu__marker {
	uint64_t seq; /* odd: inside */
	struct list link;
	bool fence;
};

/* 0 or -errno. */
int viommu__markers_init(struct viommu__markers *ms);
/* No marker may be left. */
void viommu__markers_destroy(struct viommu__markers *ms);

void viommu__marker_add(struct viommu__markers *ms, struct viommu__marker *m);
void viommu__marker_del(struct viommu__markers *ms, struct viommu__marker *m);

/*
 * Wait until every reader that was inside has left. May be called by any number of threads at once,
 * by a thread whose own markers are outside.
 */
void viommu__markers_drain(struct viommu__markers *ms);

static inline void viommu__marker_enter(struct viommu__marker *m)
{
	VIOMMU_DEBUG_ASSERT(!(m->seq & 1));
#ifdef VIOMMU_MARKER_SEQCST
	xchg(&m->seq, m->seq + 1);
#else
	store_relaxed(&m->seq, m->seq + 1);
	compiler_barrier(); /* pairs with membarrier in viommu__markers_drain() */
	if (unlikely(m->fence))
		fence_seqcst();
#endif
}

/*
 * One addition in memory, of which the store is all that others see; compilers make three
 * instructions of it.
 */
static inline void marker_step(struct viommu__marker *m)
{
#if defined(__x86_64__) && !defined(VIOMMU_MARKER_SEQCST)
	__asm__ __volatile__("incq %[seq]" : [seq] "+m"(m->seq) : : "cc", "memory");
#else
	store_release(&m->seq, m->seq + 1);
#endif
}

/* Enter without looking whether the light fence is enough: who finds m->fence set has to leave. */
static inline void viommu__marker_enter_light(struct viommu__marker *m)
{
#ifdef VIOMMU_MARKER_SEQCST
	viommu__marker_enter(m);
#else
	VIOMMU_DEBUG_ASSERT(!(m->seq & 1));
	marker_step(m);
	compiler_barrier(); /* as in viommu__marker_enter() */
#endif
}

static inline void viommu__marker_leave(struct viommu__marker *m)
{
	VIOMMU_DEBUG_ASSERT(m->seq & 1);
	marker_step(m);
}

static inline bool viommu__marker_inside(const struct viommu__marker *m)
{
	return m->seq & 1;
}

#endif /* VIOMMU_BASE_MARKER_H */
