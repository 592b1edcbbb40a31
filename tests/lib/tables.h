/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page tables for tests: an arena of memory, and builders that write first-stage (VT-d 5.10 first
 * stage, 4 or 5 levels) and second-stage tables (3, 4 or 5 levels) into it, alone or stacked. It
 * writes what the specification's tables say and checks nothing: a test may break every entry
 * afterwards. It allocates no library object and takes no lock.
 *
 *	struct tables t;
 *	struct tables_stage fs, ss;
 *	struct viommu_mem *mem;
 *
 *	tables_init(&t, 0x100000000, 64 << 12);            64 pages of "physical" memory
 *	viommu_mem_new(&mem);
 *	tables_add_to(&t, mem);
 *	tables_stage_init(&ss, &t, NULL, VIOMMU_FORMAT_VTD_SS, 4);
 *	tables_stage_init(&fs, &t, &ss, VIOMMU_FORMAT_VTD_FS, 4);
 *	tables_map(&ss, 0x5000, 0x9000, 12, TABLES_RW);
 *	tables_map(&fs, 0x7f0000000000, 0x5000, 12, TABLES_RWU);
 *	tables_stack(&fs, 48, mem, &stack);                fs, then ss
 *
 * A stage has the stage below it, whose input addresses are the ones its own tables have; without
 * one its tables have physical addresses. When a table page of an upper stage is needed, a page is
 * taken from the arena and mapped in the stage below, at the next address of that upper stage's
 * window (`next`, by default from TABLES_WINDOW up, or the physical address itself with
 * TABLES_SAME). Any number of stages stack this way.
 *
 * The memory is a memfd, sealed against shrinking: `fd` goes to viommu_mem_add_fd() as it is.
 * tables_over() builds into memory that the test already has instead: a guest's RAM.
 */
#ifndef VIOMMU_TEST_TABLES_H
#define VIOMMU_TEST_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include <viommu/walk.h>

/* An arena: [gpa, gpa + bytes) of physical memory, given out in pages from the bottom up. */
struct tables {
	uint8_t *host; /* where gpa lies in this process */
	uint64_t gpa;
	uint64_t bytes;
	uint64_t used; /* bytes given out */
	int fd;        /* memfd that holds it, -1 after tables_over() */
};

/* Both multiples of 4096. Aborts if the system gives no memory: tests do not go on without. */
void tables_init(struct tables *t, uint64_t gpa, uint64_t bytes);
/* The same over memory that stays the caller's; the first `used` bytes are not given out. */
void tables_over(struct tables *t, void *host, uint64_t gpa, uint64_t bytes, uint64_t used);
/* Nobody uses the memory any more. */
void tables_free(struct tables *t);
/* Gives all pages back and zeroes those that were used. Stages of this arena are void then. */
void tables_reset(struct tables *t);

/*
 * A VM's memory moves, as much as was given out. *copy is another memfd with the same bytes. What
 * it was copied from can be spoilt: filled with what is no table, no address and no data, and this
 * process writes to it no more. tables_spoilt() says if it still is all that: a device that writes
 * to it is found.
 */
void tables_copy(const struct tables *t, struct tables *copy);
void tables_spoil(struct tables *t);
bool tables_spoilt(const struct tables *t);

/*
 * A zeroed page: its physical address. Aborts when the arena is full (tables_left first, or more).
 */
uint64_t tables_page(struct tables *t);
uint64_t tables_left(const struct tables *t); /* in pages */
/* Where a physical address of the arena lies in this process; NULL outside. */
void *tables_ptr(const struct tables *t, uint64_t phys);

/* Makes the arena a region of mem, by pointer: remove it before tables_free(). 0 or -errno. */
static inline int tables_add_to(const struct tables *t, struct viommu_mem *mem)
{
	return viommu_mem_add_ptr(mem, t->gpa, t->bytes, t->host, 0);
}

/* tables_map() flags: what the leaf gives. The first stage has no R bit: a present page reads. */
#define TABLES_R   0x01u
#define TABLES_W   0x02u
#define TABLES_U   0x04u /* first stage: user */
#define TABLES_A   0x08u /* accessed bit set already, in the leaf */
#define TABLES_D   0x10u /* dirty bit set already */
#define TABLES_RW  (TABLES_R | TABLES_W)
#define TABLES_RWU (TABLES_R | TABLES_W | TABLES_U)

/* Where an upper stage's tables appear in the stage below, if the test does not choose. */
#define TABLES_WINDOW UINT64_C(0x1000000000) /* 64 GiB up */
#define TABLES_SAME   UINT64_MAX             /* `next`: at their physical addresses */

/*
 * One stage. Set `next`, `upper` and `page_flags` after tables_stage_init(), before the first map.
 */
struct tables_stage {
	struct tables *t;
	struct tables_stage *below; /* NULL: its tables have physical addresses */
	uint8_t format;             /* enum viommu_format */
	uint8_t levels;
	uint64_t root;       /* top table, in the address space below; made on init */
	uint64_t next;       /* where in that space the next table page appears */
	uint32_t upper;      /* TABLES_* of entries that point to tables: R, W and U if not set */
	uint32_t page_flags; /* TABLES_* of the mappings below that make its tables readable: RWU */
};

/* The root table is made by the first call that needs it: tables_root(), _map(), _stack(), ... */
void tables_stage_init(struct tables_stage *s, struct tables *t, struct tables_stage *below,
		       enum viommu_format format, unsigned int levels);
uint64_t tables_root(struct tables_stage *s);

/*
 * Map the page of 2^page_lg2 bytes (12, 21, 30) at va to pa. Replaces a leaf of the same size; 0,
 * or -EEXIST if a leaf of another size, or a table with that page's small pages, is in the way.
 * Bits of va and pa below the page size are dropped, bits above the levels ignored (canonical).
 */
int tables_map(struct tables_stage *s, uint64_t va, uint64_t pa, unsigned int page_lg2,
	       uint32_t flags);
/* The same for [va, va + bytes) with pages of one size. */
int tables_map_range(struct tables_stage *s, uint64_t va, uint64_t pa, uint64_t bytes,
		     unsigned int page_lg2, uint32_t flags);

/*
 * The entry for va in the table of this level (1 = the table of 4-KiB entries): where it lies in
 * this process, to read and to break. NULL if the entries above do not lead there.
 */
uint64_t *tables_entry(struct tables_stage *s, uint64_t va, unsigned int level);
/* The same entry's address in the space below; 0 if there is none. */
uint64_t tables_entry_addr(struct tables_stage *s, uint64_t va, unsigned int level);
/* Set it. Returns what it was. Aborts if it does not exist. */
uint64_t tables_entry_set(struct tables_stage *s, uint64_t va, unsigned int level, uint64_t value);

/* The bits of an entry: a leaf of this size, or page_lg2 0 for one that points to a table. */
uint64_t tables_entry_make(enum viommu_format format, uint64_t pa, unsigned int page_lg2,
			   uint32_t flags);

/*
 * A struct viommu_stage for it: all page sizes, SRE, SNOOP; first stage without WPE and EAFE,
 * second stage without AD; input_bits as the levels give; haw as told. Change what the test is
 * about.
 */
void tables_stage(struct tables_stage *s, unsigned int haw, struct viommu_stage *out);
/* This stage and all those below it. */
void tables_stack(struct tables_stage *s, unsigned int haw, struct viommu_mem *mem,
		  struct viommu_stack *out);

#endif /* VIOMMU_TEST_TABLES_H */
