/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The oracle: a slow, obvious walker that the tests hold src/walk against. One function a format,
 * numbered like the procedure it follows, every entry read by viommu_mem_load64(), no caches,
 * nothing written. It was written from the rules of the ledger (docs/ledger.tsv) alone and shares
 * no code and no constant with src/. Where those rules leave something open it says "choice", and
 * follows viommu/walk.h where that speaks.
 */
#ifndef VIOMMU_TEST_ORACLE_H
#define VIOMMU_TEST_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <viommu/walk.h>

/* (5 + 1)^4 - 1 entries are read at most, and each is updated at most once. */
#define ORACLE_UPDATES_MAX 1295u

/* Bits that the walk sets in an entry. */
struct oracle_update {
	uint64_t phys;
	uint64_t bits;
};

struct oracle_result {
	int ret; /* what viommu_walk() returns: 0, VIOMMU_FAULTED, -EINVAL */
	struct viommu_walk_result walk;
	unsigned int nr_updates; /* made on the way, when it ends with a fault too */
	struct oracle_update update[ORACLE_UPDATES_MAX];
};

/*
 * One thread an oracle_result; the memory may change meanwhile, if the test can make sense of that.
 */
void oracle_walk(const struct viommu_stack *stack, uint64_t addr, uint32_t access, uint32_t flags,
		 struct oracle_result *out);

/*
 * Does what viommu_walk() returned equal it? If not, why says what differs. Everything is compared,
 * host as a pointer: the two must have walked the same memory, or the caller moves one of them.
 */
bool oracle_same(const struct oracle_result *r, int ret, const struct viommu_walk_result *walk,
		 char *why, size_t size);

/* Set the bits of the list in the memory. 0 or -errno. */
int oracle_apply(struct viommu_mem *mem, const struct oracle_result *r);

#endif /* VIOMMU_TEST_ORACLE_H */
