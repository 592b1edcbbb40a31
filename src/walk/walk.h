/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk/walk.h - the walker as the other floors call it: without a reader section of its own, and
 * with a last stage that lies in our own memory.
 *
 * An own stage (VIOMMU__STAGE_OWN) can only be the last of a stack. Its root and the addresses in
 * its entries are pointers of this process; so is its output. A second stage of ours is trusted: no
 * pointer is looked up, no reserved bit checked, nothing read twice. A first stage that is marked
 * own has somebody else's tables: every bit is checked, and if the stack has a memory, each table
 * must lie in it (viommu__mem_has_host()). The tables must stay while the call lasts.
 */
#ifndef VIOMMU_SRC_WALK_WALK_H
#define VIOMMU_SRC_WALK_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include <viommu/walk.h>

#define VIOMMU__INLINE inline __attribute__((always_inline))

/* struct viommu_stage.flags: see above. viommu_walk() refuses it. */
#define VIOMMU__STAGE_OWN 0x8000u

/* What a stage is asked for. */
enum {
	VIOMMU__WANT_R = 0x01,
	VIOMMU__WANT_W = 0x02,
	VIOMMU__WANT_PRIV = 0x04,  /* supervisor request */
	VIOMMU__WANT_ZERO = 0x08,  /* read of no bytes */
	VIOMMU__WANT_TABLE = 0x10, /* an entry of an upper stage's table, not the data */
};

/* Structural faults that every format has. */
enum viommu__walk_wrong {
	VIOMMU__WRONG_ROOT_ACCESS, /* top table is not in memory */
	VIOMMU__WRONG_ACCESS,      /* another table is not in memory */
	VIOMMU__WRONG_ABSENT,
	VIOMMU__WRONG_RESERVED,
	VIOMMU__WRONG_NO_SNOOP,  /* accessed or dirty bit needed, walk not snooped */
	VIOMMU__WRONG_NO_UPDATE, /* accessed or dirty bit cannot be set */
};

/* VIOMMU_READ ... of a request as VIOMMU__WANT_*. An atomic reads and writes. */
static inline unsigned int viommu__walk_want(uint32_t access)
{
	unsigned int want = access & (VIOMMU_READ | VIOMMU_WRITE);

	_Static_assert((int)VIOMMU_READ == VIOMMU__WANT_R && (int)VIOMMU_WRITE == VIOMMU__WANT_W,
		       "same bits");
	if (access & VIOMMU_ATOMIC)
		want |= VIOMMU__WANT_R | VIOMMU__WANT_W;
	if (access & VIOMMU_PRIV)
		want |= VIOMMU__WANT_PRIV;
	if (access & VIOMMU_ZERO_LENGTH)
		want |= VIOMMU__WANT_R | VIOMMU__WANT_ZERO;
	return want;
}

/*
 * Is the stack well formed? 0 or -EINVAL. viommu_walk() asks for every call; those who keep a stack
 * ask once. own: the last stage may be VIOMMU__STAGE_OWN.
 */
int viommu__walk_check(const struct viommu_stack *stack, bool own);

/*
 * viommu_walk() without viommu__walk_check() and without entering stack->mem: the caller is inside
 * a section that keeps every region and own table. mem may be NULL if the last stage is own (or nr
 * is 0: then result.host is NULL). 0 or VIOMMU_FAULTED.
 */
int viommu__walk(const struct viommu_stack *stack, uint64_t addr, uint32_t access, uint32_t flags,
		 struct viommu_recorder *rec, struct viommu_walk_result *out);

#endif /* VIOMMU_SRC_WALK_WALK_H */
