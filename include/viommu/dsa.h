/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/dsa.h - a PCI function that is compatible with the Intel Data Streaming Accelerator 1.0.
 *
 * Registers, work queues, groups, engines and descriptors as drivers of 8086:0b25 know them
 * (viommu/dsa_spec.h has them as data): dedicated and shared queues, batch, completion records,
 * interrupts, block-on-fault by page requests, the error register, and the drain, abort and reset
 * commands. Descriptors run on the threads that call viommu_pci_run() for it, one descriptor a
 * step; a batch is one. There is no event log, no interrupt message store, no privileged mode. One
 * accelerator may be divided into functions for several VMs (struct viommu_dsa_hw).
 *
 *	viommu_dsa_new(NULL, &dsa);
 *	viommu_board_add(board, viommu_dsa_pci(dsa), 0x28);
 *	... serve viommu_dsa_pci(dsa) ...
 *
 * Synchronisation: as viommu/pci.h says for its function; viommu_dsa_enqueue() and _stats() from
 * any thread.
 */
#ifndef VIOMMU_DSA_H
#define VIOMMU_DSA_H

#include <viommu/pci.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_dsa;

#define VIOMMU_DSA_MAX_QUEUES  8u
#define VIOMMU_DSA_MAX_GROUPS  4u
#define VIOMMU_DSA_MAX_ENGINES 4u

struct viommu_dsa_config {
	size_t size;              /* sizeof(struct viommu_dsa_config) */
	uint8_t queues;           /* 1..8; 0 = 8 */
	uint8_t groups;           /* 1..4; 0 = 4 */
	uint8_t engines;          /* 1..4; 0 = 4; each is a thread that may run descriptors */
	uint8_t max_transfer_lg2; /* 21..31; 0 = 30 */
	uint8_t max_batch_lg2;    /* 5..10; 0 = 10 */
	uint8_t no_pri;           /* no page request interface: PRS off */
	uint16_t entries;         /* of all queues together, 1..1024; 0 = 128 */
	/*
	 * The accelerator that this is a part of; NULL: one of its own. Borrowed until it is freed.
	 * It has so many of its queues, entries and engines; 0: an equal part, of engines as many
	 * as it may have at once.
	 */
	struct viommu_dsa_hw *hw;
	/*
	 * 1: interrupts by MSI instead of MSI-X, for VMMs that cannot let go of MSI-X. No hardware
	 * is like that, and Linux's idxd does not get along with it, so it has other ids:
	 * 1af4:10f1, one of those that QEMU's list sets apart for experiments. For drivers in user
	 * space.
	 */
	uint32_t msi;
	uint32_t reserved;
};

/*
 * One accelerator for several VMs: each has a function of its own, with queues, entries and a place
 * at the engines that are given to it (viommu_dsa_config.hw).
 */
struct viommu_dsa_hw;

#define VIOMMU_DSA_HW_MAX_QUEUES 64u

struct viommu_dsa_hw_config {
	size_t size;       /* sizeof(struct viommu_dsa_hw_config) */
	uint8_t functions; /* that it is divided into, 1..16 */
	uint8_t queues;    /* of all together, at least one each, up to 64; 0 = 8 */
	uint8_t engines;   /* at least one each, up to 16; 0 = 4 */
	uint8_t reserved;
	uint16_t entries; /* of all together, at least one each, up to 1024; 0 = 128 */
	uint16_t reserved2;
};

/* 0, -EINVAL, -ENOMEM. */
VIOMMU_API int viommu_dsa_hw_new(const struct viommu_dsa_hw_config *config,
				 struct viommu_dsa_hw **out);
/* Its functions must be gone (assertion). NULL is allowed. */
VIOMMU_API void viommu_dsa_hw_free(struct viommu_dsa_hw *hw);
/* What its threads run (viommu/pci.h). Borrowed. */
VIOMMU_API struct viommu_pci_engines *viommu_dsa_hw_engines(struct viommu_dsa_hw *hw);

/*
 * config may be NULL. 0, -EINVAL, -ENOSPC (of the accelerator's queues, entries or functions not
 * enough are left), -ENOMEM.
 */
VIOMMU_API int viommu_dsa_new(const struct viommu_dsa_config *config, struct viommu_dsa **out);
/* NULL is allowed. No thread runs it, or begins to. */
VIOMMU_API void viommu_dsa_free(struct viommu_dsa *dsa);
/* The function, owned by the device. */
VIOMMU_API struct viommu_pci *viommu_dsa_pci(struct viommu_dsa *dsa);

/*
 * What a 64-byte write with an answer does (ENQCMD, PCIe deferrable memory write) at `offset` of
 * BAR 2: for VMMs whose bus can carry the answer. 0: accepted; -EAGAIN: Retry (also every other
 * refusal); -EINVAL: offset not in a portal or not aligned.
 */
VIOMMU_API int viommu_dsa_enqueue(struct viommu_dsa *dsa, uint64_t offset, const void *descriptor);

struct viommu_dsa_stats {
	size_t size;          /* in: sizeof(struct viommu_dsa_stats); out: what was filled in */
	uint64_t descriptors; /* completed, batches' elements included */
	uint64_t batches;
	uint64_t bytes;  /* moved */
	uint64_t errors; /* completed with another status than success */
	uint64_t swerrors;
	uint64_t retries;
	uint64_t occupancy[VIOMMU_DSA_MAX_QUEUES]; /* descriptors waiting or running now */
};
VIOMMU_API void viommu_dsa_stats(struct viommu_dsa *dsa, struct viommu_dsa_stats *out);

#ifdef __cplusplus
}
#endif
#endif
