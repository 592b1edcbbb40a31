/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/mem.h - what the other floors see of guest memory beside the public calls.
 *
 * Two ways in. (1) A reader section of the memory itself (viommu__mem_enter / _leave), inside which
 * pointers from viommu__mem_ptr() stay valid: for the walker over a memory and for the guest half.
 * (2) A listener: a domain copies the regions into its second-stage tables, and removes them when
 * told, before the mapping goes away.
 */
#ifndef VIOMMU_SRC_MEM_MEM_H
#define VIOMMU_SRC_MEM_MEM_H

#include <stdbool.h>

#include <viommu/mem.h>

#include "base/atomic.h"
#include "base/list.h"

/*
 * Any number of threads; may nest in one thread. Cheap, not free: an atomic pair. Returns a token
 * for leave, which the same or another thread may give. Inside, do not add or remove regions,
 * listen or unlisten: who holds the lock may be waiting for this section to end.
 */
unsigned viommu__mem_enter(struct viommu_mem *mem);
void viommu__mem_leave(struct viommu_mem *mem, unsigned token);

/*
 * Inside a section: host address of gpa and how many bytes follow in the same region (*bytes, at
 * least 1). NULL for a hole, a lost region, or write and read-only.
 */
void *viommu__mem_ptr(struct viommu_mem *mem, uint64_t gpa, bool write, uint64_t *bytes);
/*
 * Inside a section: is [host, host + bytes), not empty, part of one region of this memory that is
 * not lost? *write: of one that is writable. The same bytes may be in any number of regions.
 */
bool viommu__mem_has_host(struct viommu_mem *mem, const void *host, uint64_t bytes, bool *write);

/*
 * Truncated files. The guard marks the region lost, counts, then replaces its bytes by zeroes. A
 * reader that saw the same count before it looked the pointer up and after its access touched
 * nothing that was lost; if the count moved, it looks again: the region may be marked lost now.
 * Who keeps pointers longer than a section (a second-stage table, a cache) compares with the count
 * of the time when it last looked, not with the one at the start of the access.
 */
extern uint64_t viommu__mem_lost;

static inline uint64_t viommu__mem_lost_count(void)
{
	/*
	 * The fence keeps the accesses before it before, the acquiring load those after it after.
	 */
	fence_acquire();
	return load_acquire(&viommu__mem_lost);
}

/*
 * All callbacks come with the memory's lock held: they may read the memory, but not add, remove,
 * listen or unlisten.
 */
struct viommu__mem_listener {
	struct list link; /* guarded by the memory while registered */
	/*
	 * A region appears. -errno refuses it: the add fails, listeners told before get removed().
	 */
	int (*added)(struct viommu__mem_listener *l, const struct viommu_mem_region *r);
	/* A region goes: after return nobody reached through this listener may use it. */
	void (*removed)(struct viommu__mem_listener *l, const struct viommu_mem_region *r);
};

/*
 * Registers and calls added() for the regions that exist; on failure removed() for those already
 * told. 0 or -errno of added().
 */
int viommu__mem_listen(struct viommu_mem *mem, struct viommu__mem_listener *l);
/* removed() is called for all regions. */
void viommu__mem_unlisten(struct viommu_mem *mem, struct viommu__mem_listener *l);

/*
 * Told of each write by the public calls, and by viommu__mem_written(), after it was done. Under a
 * lock that no other call of the memory takes, so it may take the host's.
 */
struct viommu__mem_tracker {
	struct list link;
	void (*written)(struct viommu__mem_tracker *t, uint64_t gpa, uint64_t bytes);
};

void viommu__mem_track(struct viommu_mem *mem, struct viommu__mem_tracker *t);
/* On return it is told nothing any more. */
void viommu__mem_untrack(struct viommu_mem *mem, struct viommu__mem_tracker *t);
/* For who writes by viommu__mem_ptr(). */
void viommu__mem_written(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes);

#ifdef VIOMMU_TEST_HOOKS
/*
 * Let the n-th lookup from here find a hole, once: 1 is the next, 0 is none. A lookup is a call of
 * viommu__mem_ptr(), viommu__mem_has_host() or of a public access (one for each region that it
 * touches). To be used like viommu__alloc_fail_nth(); any thread.
 */
void viommu__mem_fail_nth(struct viommu_mem *mem, long n);
/* Stop failing; true if a lookup was failed since viommu__mem_fail_nth(). */
bool viommu__mem_fail_done(struct viommu_mem *mem);
#endif

#endif /* VIOMMU_SRC_MEM_MEM_H */
