/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/section.h - reader sections, and a writer that waits until the readers of before have left.
 *
 * Readers count themselves in a stripe (one a processor, as far as the kernel tells) under the
 * current phase, 0 or 1. A writer first publishes (new readers no longer find the old thing),
 * then waits for both phases in turn:
 *
 *	readers[stripe][phase]		phase 0	   phase 1
 *	wait for the phase not in use	   1..n	   -> 0		stragglers of the flip before
 *	flip				   1..n	      0		new readers now count in phase 1
 *	wait for the phase of before	   -> 0	      1..n	so new readers cannot starve the writer
 *
 * A reader that read the phase and was stopped before it counted itself may come late into a
 * phase already waited for. It looks at the published pointers only afterwards, so it finds what
 * the writer published and does no harm; that is also why both phases are waited for each time.
 *
 * Synchronisation
 *	field		written by			read by
 *	readers[][]	readers, seq_cst add and sub	the writer, seq_cst: pairs "count, then load the
 *							pointer" with "store the pointer, then load the
 *							count"; a sub releases to the load that reads 0
 *	phase		the writer			readers, relaxed: a stale one is harmless
 *	waiting		the writer, before it loads	readers, after their sub: one of the two sees
 *			a count				the other, so no wake-up is lost
 * Writers are serialised by the caller. All that readers load to find what a section protects
 * is loaded seq_cst (on x86-64 a plain load).
 */
#ifndef VIOMMU_SRC_MEM_SECTION_H
#define VIOMMU_SRC_MEM_SECTION_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"

/* More processors than this share stripes. */
#define VIOMMU__STRIPES_MAX 256u

/* Two lines, because processors fetch the neighbour of a line as well. */
struct viommu__stripe {
	uint32_t readers[2];
} __attribute__((aligned(128)));

struct viommu__sections {
	struct viommu__stripe *stripes;
	unsigned int mask; /* number of stripes - 1 */
	uint32_t phase;    /* 0 or 1 */
	uint32_t waiting;  /* a writer may sleep on a count */
};

/* 0 or -ENOMEM. */
int viommu__sections_init(struct viommu__sections *s);
/* Nobody is in a section, nobody is in enter or leave. */
void viommu__sections_destroy(struct viommu__sections *s);

/* Wait until every section that was entered before this call has been left. Sleeps. */
void viommu__sections_wait(struct viommu__sections *s);

/* Is this phase empty at the moment? Never sleeps. */
bool viommu__sections_phase_empty(struct viommu__sections *s, uint32_t phase);

void viommu__sections_wake(uint32_t *count);

static inline unsigned viommu__sections_enter(struct viommu__sections *s)
{
	/* -1 for "not known" is a stripe like any other; so is one that we are moved away from. */
	unsigned int stripe = (unsigned int)sched_getcpu() & s->mask;
	unsigned int phase = load_relaxed(&s->phase);

	fetch_add(&s->stripes[stripe].readers[phase], 1);
	return stripe << 1 | phase;
}

static inline void viommu__sections_leave(struct viommu__sections *s, unsigned token)
{
	uint32_t *count = &s->stripes[token >> 1].readers[token & 1];
	uint32_t before = fetch_sub(count, 1);

	VIOMMU_DEBUG_ASSERT(before);
	if (before == 1 && unlikely(load_seqcst(&s->waiting)))
		viommu__sections_wake(count);
}

#endif /* VIOMMU_SRC_MEM_SECTION_H */
