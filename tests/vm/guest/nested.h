/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the commands "nested ..." share: the guest is a host, and this program is its VMM and its
 * VMM's guest in one. Three stages lie behind an address that the device is given:
 *
 *	inner virtual	-> inner physical	the inner guest's page tables, made here (struct inner)
 *	inner physical	-> our physical		iommufd's second stage over the inner guest's RAM
 *	our physical	-> the host's		the unit under test, below us
 *
 * The inner guest's RAM is in three pieces that lie at quite different places of each space. The
 * program keeps a copy of it, changes there what a descriptor has to change, and compares every
 * byte when the descriptor is done: what else changed is found, too. Only accessed and dirty bits
 * of the inner tables may appear.
 */
#ifndef VIOMMU_GUEST_NESTED_H
#define VIOMMU_GUEST_NESTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dsa.h"
#include "dsa_device.h"
#include "guest.h"
#include "iommufd.h"
#include "vfio_device.h"

#define GIANT    (512 * HUGE)
#define NO_PASID UINT32_MAX

/* The pieces of the inner guest's RAM, and what each is for. */
enum inner_piece {
	PIECE_LOW,  /* data */
	PIECE_HIGH, /* tables in its first half, data in its second; nowhere aligned to 2 MiB */
	PIECE_HUGE, /* pages of 2 MiB, at a multiple of 1 GiB */
	PIECES
};

#define PIECE_BYTES  (4 * MIB)
#define RAM_BYTES    (PIECES * PIECE_BYTES)
#define TABLES_START PIECE_BYTES
#define TABLES_BYTES (2 * MIB)
#define DATA_PAGES   ((PIECE_BYTES + PIECE_BYTES - TABLES_BYTES) / PAGE)

/* Inner physical, and nothing there. */
#define LOW_PA      UINT64_C(0x0000000010000000)
#define HIGH_PA     UINT64_C(0x0000000240203000)
#define HUGE_PA     UINT64_C(0x0000000140000000)
#define UNMAPPED_PA UINT64_C(0x0000000300000000)

/* Bits of the inner guest's tables. */
#define INNER_P    0x1UL
#define INNER_RW   0x2UL
#define INNER_US   0x4UL
#define INNER_A    0x20UL
#define INNER_D    0x40UL
#define INNER_PS   0x80UL
#define INNER_EA   0x400UL
#define INNER_ADDR 0x000ffffffffff000UL
#define INNER_PAGE (INNER_P | INNER_RW | INNER_US)

struct nested {
	const char *bdf;
	struct vfio_device vfio; /* .device alone is used */
	struct dsa_device dsa;
	int iommu;
	uint32_t device, ioas, parent;
	uint8_t *ram, *model;
	unsigned int tables; /* pages of tables taken */
	unsigned int pages;  /* pages of data taken */
	uint64_t page[DATA_PAGES];
};

/* An address space of the inner guest. */
struct inner {
	struct nested *n;
	unsigned int levels;
	uint64_t root;
	uint64_t flags; /* IOFD_VTD_* of its page tables */
};

/* Who sends descriptors: a queue with a PASID or without, and the space its addresses are of. */
struct user {
	struct nested *n;
	struct inner space;
	unsigned int queue, slot;
	uint32_t pasid;
	uint32_t page_table; /* iommufd's id */
	bool untranslated;   /* the queue asks for no translations: the unit records its faults */
};

/* ---- nested_world.c -------------------------------------------------------------------------- */

/*
 * The device bound to an iommufd of its own, RAM mapped, a parent page table with these flags
 * besides IOFD_HWPT_PARENT and _PASID attached for requests without PASID; descriptors running.
 * What fails ends the process.
 */
void nested_open(struct nested *n, const char *bdf, uint32_t parent_flags);
/* Only the device and the iommufd. */
void nested_bind(struct nested *n, const char *bdf);
/* RAM and its copy; then what the kernel is to know of it. large: pages as large as they come. */
void nested_ram(struct nested *n);
void nested_map(struct nested *n, bool large);
/* A piece of RAM taken away; the inner physical address where it was. */
uint64_t piece_unmap(struct nested *n, enum inner_piece piece);
/* Other memory with other data in its place. What was there is at the address returned. */
uint8_t *piece_renew(struct nested *n, enum inner_piece piece);

/* 0 or -errno of a request. */
int iofd(int fd, unsigned long request, void *arg);
int hwpt_alloc(struct nested *n, struct iofd_hwpt_alloc alloc, uint32_t *id);
/* A first stage of the inner guest's on the parent, with PASID and more flags. */
int hwpt_nested(struct nested *n, const struct inner *space, uint32_t flags, uint32_t queue,
		uint32_t *id);
int attach(struct nested *n, uint32_t page_table, uint32_t pasid);
int detach(struct nested *n, uint32_t pasid);
int destroy(struct nested *n, uint32_t id);
/* bytes of each entry are those of its structure; *nr comes back as how many were done. */
int invalidate(struct nested *n, uint32_t page_table, const struct iofd_inv_entry *entry,
	       uint32_t *nr);
/* Pages from here on, or all for IOFD_INV_ALL of them; a failure is a result. */
void flush(struct user *u, uint64_t addr, uint64_t pages, uint32_t flags);

/* "@ok NAME" if the error is the one wanted: 0 or a positive errno. */
bool check_error(int error, int wanted, const char *name);

/* ---- The inner guest's memory ---- */

/* NULL if there is none. */
void *ram_at(struct nested *n, uint64_t pa);
uint64_t ram_pa(struct nested *n, const void *at);
/* A page of random data from somewhere in RAM. */
uint64_t page_new(struct nested *n);
void inner_new(struct nested *n, struct inner *space, unsigned int levels);
/* The entry of a level that an address goes by, with the tables above it made; NULL without. */
uint64_t *inner_entry(struct inner *space, uint64_t va, unsigned int level, bool make);
/* A page of level 1, 2 or 3. */
void inner_map(struct inner *space, uint64_t va, uint64_t pa, unsigned int level, uint64_t bits);
/* So many new pages from an address on. */
void inner_fill(struct inner *space, uint64_t va, unsigned int pages);
/* By the tables; NULL if they do not lead to RAM. */
void *inner_at(struct inner *space, uint64_t va);

/* The copy is what RAM is now; or is what RAM has to be: "a result". */
void model_take(struct nested *n);
bool model_check(struct nested *n, const char *name);
void model_copy(struct inner *to, uint64_t dst, struct inner *from, uint64_t src, size_t bytes);
void model_fill(struct inner *to, uint64_t dst, uint64_t pattern, size_t bytes);

/* ---- Descriptors ---- */

#define RECORDS_VA UINT64_C(0x00002c0ffee00000)
#define RECORDS    (PAGE / sizeof(struct dsa_record))
/* Where the commands put data: its pages lie on both sides of a multiple of 2 MiB. */
#define DATA_VA UINT64_C(0x00001234561fc000)

/* The device reset and enabled, its queues ready for user_queue(). */
void dsa_start(struct nested *n);
/* A space of so many levels with a page of records, for a queue; attached to nothing yet. */
void user_new(struct nested *n, struct user *u, unsigned int queue, uint32_t pasid,
	      unsigned int levels);
/* Its page table made and attached. */
void user_attach(struct user *u, uint32_t flags, uint32_t fault_queue);
/* The queue configured anew for this PASID. */
void user_queue(struct user *u, bool block_on_fault);

void describe(struct user *u, struct dsa_descriptor *d, enum dsa_opcode opcode, uint32_t flags,
	      uint64_t source, uint64_t destination, uint32_t size);
struct dsa_record *record_of(struct user *u, const struct dsa_descriptor *d);
void submit(struct user *u, const struct dsa_descriptor *d);
/* The status, or -1 when the time is over. The record becomes part of the copy. */
int complete(struct user *u, const struct dsa_descriptor *d);
/* submit() and complete() of a plain operation. */
int run(struct user *u, enum dsa_opcode opcode, uint32_t flags, uint64_t source,
	uint64_t destination, uint32_t size);
/* A move, and that it moved what it should and nothing else: a result. */
bool moves(struct user *u, uint64_t source, uint64_t destination, uint32_t size, const char *name);

/* That it fails with this status at this page, and changes nothing: a result. */
bool fails(struct user *u, enum dsa_opcode opcode, uint64_t source, uint64_t destination,
	   int status, uint64_t fault, const char *name);
/* That it leaves nothing but a software error of the device's with this code: a result. */
bool vanishes(struct user *u, uint64_t source, uint64_t destination, const char *name);

/* ---- The commands, each of which has a world of its own ---- */

int nested_attach(const char *bdf);
int nested_moves(const char *bdf, bool few);
int nested_invalidate(const char *bdf);
int nested_replace(const char *bdf);
int nested_unmap(const char *bdf);
int nested_faults(const char *bdf);
int nested_errors(const char *bdf);
int nested_records(const char *bdf);
int nested_hostile(const char *bdf);
int nested_dirty(const char *bdf);
int nested_reset(const char *bdf);
int nested_abandon(const char *bdf);

#endif /* VIOMMU_GUEST_NESTED_H */
