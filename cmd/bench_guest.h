/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the rows UNIT and STATE: a script in this process that keeps tables in guest memory,
 * writes the unit's registers, and drives a DSA device. A board is under it, which can be replaced.
 */
#ifndef VIOMMU_CMD_BENCH_GUEST_H
#define VIOMMU_CMD_BENCH_GUEST_H

#include <viommu/board.h>
#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>
#include <viommu/vtd.h>

#include "bench.h"

#define SID   VIOMMU_SID(0, 5, 0)
#define DID   1u
#define PASID 1u
#define RAM   (32 * MIB)

/* One page each, from 0 up; then PASID tables of 64 entries a page, then what the rows use. */
#define ROOT       (1 * PAGE)
#define CONTEXT    (2 * PAGE)
#define DIRECTORY  (3 * PAGE)
#define STATUS     (4 * PAGE)
#define INTERRUPTS (5 * PAGE) /* 256 entries */
#define QUEUE      (8 * PAGE) /* 256 descriptors of 32 bytes: two pages */
#define REQUESTS   (10 * PAGE)
#define TABLES     (16 * PAGE)
#define PASIDS     1024u
#define FIRST      (TABLES + PASIDS / 64 * PAGE) /* four levels of first-stage tables */
#define DATA       (8 * MIB)
#define DATA_BYTES (2 * MIB)
/* Where the process has DATA. */
#define GVA UINT64_C(0x7f1234400000)

#define QUEUE_BYTES 8192u

struct unit_config {
	uint32_t flags; /* VIOMMU_GUEST_* besides caching mode */
	/*
	 * A part of a device that others have parts of; all NULL: a host and a device of its own.
	 */
	struct viommu_host *host;
	struct viommu_device *parent;
	struct viommu_dsa_hw *hw;
};

struct unit {
	struct unit_config config;
	struct viommu_board *board;
	struct viommu_guest *guest;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	struct viommu_dma *dma;
	uint8_t *ram;
	void *map;
	uint64_t map_bytes;
	uint32_t tail;
	uint32_t seq;
	uint64_t errors;

	/* copies */
	uint64_t bytes;
	uint64_t at;
};

/* Set-up that fails ends the process. */
void unit_need(int ret, const char *what);
/* config may be NULL. */
void unit_open(struct unit *u, const struct unit_config *config);
/* Says so if a step went wrong. */
void unit_close(struct bench *b, struct unit *u);
/* The board with its device, over the guest's memory, as after power-on. */
void unit_board_new(struct unit *u);
void unit_board_free(struct unit *u);

uint64_t *unit_words(struct unit *u, uint64_t gpa);
void unit_command(struct unit *u, uint32_t bit);
/* A descriptor; those of a PASID. */
void unit_put(struct unit *u, uint64_t d0, uint64_t d1);
void unit_put_pasid_cache(struct unit *u, uint32_t pasid);
void unit_put_piotlb(struct unit *u, uint32_t pasid);
/* A wait behind what was put; the tail; and its status, which has to be there at once. */
void unit_flush(struct unit *u);
/* The PASID entry; nothing is flushed. */
void unit_entry(struct unit *u, uint32_t pasid);
/* Present in the first stage or not: the page of gva. */
uint64_t *unit_leaf(struct unit *u, uint64_t gva);

/* Binds that the unit holds. */
uint64_t unit_bound(struct unit *u);
/* PASIDs 1 to n by a flush each: bound, or gone. What the flushes took. */
uint64_t unit_binds(struct unit *u, uint64_t n, bool bind);

/* One dedicated queue of the device with PASID, which has to be bound. */
void unit_dsa_open(struct unit *u);
/* Copies of u->bytes, one at a time: portal to completion. */
uint64_t unit_copies(void *ctx, uint64_t n);
/* The same bytes by memcpy(). */
uint64_t unit_memcpy(void *ctx, uint64_t n);

#endif /* VIOMMU_CMD_BENCH_GUEST_H */
