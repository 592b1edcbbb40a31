/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/memory.h - the memory object, as the files of this floor share it.
 *
 * Synchronisation
 *	field		written by			read by
 *	by_gpa, by_host	under lock, seq_cst store	readers in a section, seq_cst load; see section.h
 *	region.dead	GONE under lock, LOST by	readers in a section
 *			the SIGBUS handler; fetch_or
 *	trackers	under track_lock		under track_lock
 *	tracked		under track_lock		any thread
 *	others		under lock			under lock
 * Adding:   prepare both edits, tell listeners, publish. Nothing can fail after the first listener
 *	     agreed but another listener.
 * Removing: mark gone, tell listeners, wait for readers, unmap, publish indexes without, retire.
 *	     Nothing can fail: if memory is short the entry stays in the index, gone, until the next
 *	     change cleans up (`leftover`).
 * What is replaced is retired: freed by the next removal that waits for readers, or by an addition
 * that finds they have left meanwhile (an addition never waits).
 */
#ifndef VIOMMU_SRC_MEM_MEMORY_H
#define VIOMMU_SRC_MEM_MEMORY_H

#include <pthread.h>

#include "base/list.h"
#include "mem/index.h"
#include "mem/mem.h"
#include "mem/region.h"
#include "mem/section.h"

struct viommu_mem {
	struct viommu__top *by_gpa;
	struct viommu__top *by_host;
	struct viommu__sections sections;

	pthread_mutex_t lock;
	struct list listeners;
	unsigned int n_regions;           /* that are not gone */
	struct viommu__retired *retired;  /* since the grace period below began */
	struct viommu__retired *ageing;   /* freed when it ends */
	int ageing_step;                  /* 0: the unused phase may have readers; 1: flipped */
	struct viommu__retired *leftover; /* regions gone, unmapped, still in an index */

	pthread_mutex_t track_lock; /* with no other of ours held; inside it the host's */
	struct list trackers;
	uint32_t tracked; /* how many */

#ifdef VIOMMU_TEST_HOOKS
	/* Atomic: lookups until the one that fails, 0 for none; and whether it has. */
	long fail_in;
	uint32_t failed;
#endif
};

void viommu__mem_describe(const struct viommu__region *r, struct viommu_mem_region *out);

/* Inside a section: the live region that holds gpa, or NULL. */
static inline struct viommu__region *viommu__mem_region(struct viommu_mem *mem, uint64_t gpa)
{
	const struct viommu__top *top = load_seqcst(&mem->by_gpa);
	struct viommu__region *r;
	struct viommu__spot spot;

	if (!viommu__index_find(top, gpa, &spot))
		return NULL;
	r = viommu__index_at(top, &spot);
	if (gpa - r->gpa >= r->bytes || viommu__region_dead(r))
		return NULL;
	return r;
}

#endif /* VIOMMU_SRC_MEM_MEMORY_H */
