/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/mem.h - what the other floors see of guest memory beside the public calls.
 *
 * Two ways in. (1) A reader section of the memory itself (viommu__mem_enter / _leave), inside which pointers from
 * viommu__mem_ptr() stay valid: for the walker over a memory and for the guest half. (2) A listener: a domain copies the
 * regions into its second-stage tables, and removes them when told, before the mapping goes away.
 */
#ifndef VIOMMU_SRC_MEM_MEM_H
#define VIOMMU_SRC_MEM_MEM_H

#include <stdbool.h>
#include <viommu/mem.h>
#include "base/list.h"

/* Any number of threads; may nest in one thread. Cheap, not free: an atomic pair. Returns a token for leave. */
unsigned viommu__mem_enter(struct viommu_mem *mem);
void viommu__mem_leave(struct viommu_mem *mem, unsigned token);

/*
 * Inside a section: host address of gpa and how many bytes follow in the same region (*bytes, at least 1). NULL for a hole,
 * a lost region, or write and read-only.
 */
void *viommu__mem_ptr(struct viommu_mem *mem, uint64_t gpa, bool write, uint64_t *bytes);
/* Inside a section: is [host, host + bytes) part of a region of this memory that is not lost? *write: writable. */
bool viommu__mem_has_host(struct viommu_mem *mem, const void *host, uint64_t bytes, bool *write);

/*
 * Truncated files. The guard replaces a lost page by zeroes and counts. A reader that saw the same count before and after
 * its accesses touched no lost page; if the count moved, it treats the access as a hole (looks again: the region is now
 * marked lost).
 */
uint64_t viommu__mem_lost_count(void);

struct viommu__mem_listener {
	struct viommu__list link;
	/* A region appeared. -errno refuses it: the add fails, listeners told before get removed(). */
	int (*added)(struct viommu__mem_listener *l, const struct viommu_mem_region *r);
	/* A region goes: after return nobody reached through this listener may use it. */
	void (*removed)(struct viommu__mem_listener *l, const struct viommu_mem_region *r);
};

/* Registers and calls added() for the regions that exist; on failure removed() for those already told. 0 or -errno. */
int viommu__mem_listen(struct viommu_mem *mem, struct viommu__mem_listener *l);
/* removed() is called for all regions. */
void viommu__mem_unlisten(struct viommu_mem *mem, struct viommu__mem_listener *l);

#endif
