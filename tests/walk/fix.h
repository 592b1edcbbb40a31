/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the walker's unit tests share: a memory, up to four stages over it in which one address
 * leads through, and checks of what a walk gave. A test breaks the tables in one place and walks.
 */
#ifndef VIOMMU_TESTS_WALK_FIX_H
#define VIOMMU_TESTS_WALK_FIX_H

#include <viommu/mem.h>
#include <viommu/walk.h>

#include "base/bits.h"
#include "lib/tables.h"
#include "lib/test.h"
#include "walk/walk.h"

#define GPA   UINT64_C(0x100000000) /* where the arena lies */
#define PAGES 2048u
#define FS    VIOMMU_FORMAT_VTD_FS
#define SS    VIOMMU_FORMAT_VTD_SS

/* Bits as printed in the specification, not by way of viommu/vtd.h. */
#define FS_P  BIT64(0)
#define FS_RW BIT64(1)
#define FS_US BIT64(2)
#define FS_A  BIT64(5)
#define FS_D  BIT64(6)
#define PS    BIT64(7)
#define FS_EA BIT64(10)
#define SS_R  BIT64(0)
#define SS_W  BIT64(1)
#define SS_A  BIT64(8)
#define SS_D  BIT64(9)
#define SNP   BIT64(11)

/* What stage i of a stack is asked for, and the last one's output: below 2^39, for 3 levels. */
static inline uint64_t fix_addr(unsigned int i)
{
	return UINT64_C(0x1234567000) + i * UINT64_C(0x10203000);
}

struct fix {
	struct tables t;
	struct viommu_mem *mem;
	unsigned int nr;
	struct tables_stage stage[VIOMMU_STACK_MAX]; /* 0 is entered first */
	struct viommu_stack stack;
	struct viommu_walk_result r;
	uint8_t *before; /* the arena, as fix_remember() saw it */
};

/* A memory with nothing in it, no stage. */
void fix_memory(struct fix *f);
/* nr stages, "f4" a first stage of 4 levels, "s3" a second stage of 3; no data page is mapped. */
void fix_stages(struct fix *f, const char *stages);
/* The stages as they are, as a stack: haw 48, all page sizes, SNOOP, no SRE. */
void fix_stack(struct fix *f);
/*
 * The same with fix_addr(0) mapped through all stages to fix_addr(nr), 4-KiB pages, all permitted.
 */
void fix_init(struct fix *f, const char *stages);
void fix_free(struct fix *f);
/* What viommu_walk() says; the result is in f->r. */
int fix_walk(struct fix *f, uint64_t addr, uint32_t access);
/* A walk that succeeds and gives out. */
void fix_ok(struct fix *f, uint64_t addr, uint32_t access, uint64_t out);
/* A walk that faults so; level 0: no entry is named. */
void fix_fault(struct fix *f, uint64_t addr, uint32_t access, uint8_t reason, unsigned int stage,
	       unsigned int level, uint64_t stage_addr, uint64_t entry_addr, uint64_t entry);
/* The same, at the entry of stage `stage` for its own address. */
void fix_fault_at(struct fix *f, uint32_t access, uint8_t reason, unsigned int stage,
		  unsigned int level);
/* The entry of a stage for its fix_addr(), to read and to break. */
uint64_t *fix_entry(struct fix *f, unsigned int stage, unsigned int level);
/* Keep what the memory holds now, for fix_changes(). */
void fix_remember(struct fix *f);
/* How many bits of the arena changed since then. */
unsigned int fix_changes(const struct fix *f);
/* The second-stage leaf that maps stage i's table of this level. */
uint64_t *fix_leaf_below(struct fix *f, unsigned int i, unsigned int level);

/* A recorder that keeps the steps. */
struct log {
	struct viommu_recorder rec;
	struct viommu_step step[4096];
	unsigned int nr, reads, updates, outputs;
	/* called on each step, to edit tables under the walk */
	void (*edit)(struct log *log, const struct viommu_step *step);
	struct fix *f;
	unsigned int edits;
};

/* A recorder for walks over f. To be freed. */
struct log *log_new(struct fix *f);
/* viommu_walk() with it; counters start anew. */
int log_walk(struct log *log, uint64_t addr, uint32_t access, uint32_t flags);

#endif /* VIOMMU_TESTS_WALK_FIX_H */
