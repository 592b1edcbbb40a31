/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an adapter for `viommu bench --peer NAME=ADAPTER.so` exports: another implementation, to be
 * measured in the same run. No adapter is part of viommu.
 */
#ifndef VIOMMU_CMD_BENCH_PEER_H
#define VIOMMU_CMD_BENCH_PEER_H

#include <stdint.h>

/* Is 1. */
extern const uint32_t viommu_peer_abi;
/*
 * A translator that maps page i (of 4 KiB, read and write) at iova + i * 4096 to host + i * 4096.
 * NULL: cannot.
 */
void *viommu_peer_open(uint64_t iova, void *host, uint64_t pages);
void viommu_peer_close(void *peer);
/* Where iova lies, for a write; may be cached. */
void *viommu_peer_translate(void *peer, uint64_t iova);
/* Optional: the same by a walk of the tables, with nothing cached. */
void *viommu_peer_walk(void *peer, uint64_t iova);
/* Optional: forget every cached translation. */
void viommu_peer_invalidate(void *peer);

#endif /* VIOMMU_CMD_BENCH_PEER_H */
