/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The waiting half of reader sections: see section.h for the protocol.
 */
#include "mem/section.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"

/* A section lasts nanoseconds to microseconds: look this often before going to sleep. */
#define LOOKS_BEFORE_SLEEP 64

int viommu__sections_init(struct viommu__sections *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	unsigned int n = 1;

	while (n < VIOMMU__STRIPES_MAX && (long)n < cpus)
		n *= 2;
	s->stripes = viommu__alloc_aligned(sizeof(struct viommu__stripe),
					   n * sizeof(struct viommu__stripe));
	if (!s->stripes)
		return -ENOMEM;
	s->mask = n - 1;
	s->phase = 0;
	s->waiting = 0;
	return 0;
}

void viommu__sections_destroy(struct viommu__sections *s)
{
	VIOMMU_ASSERT(!s->stripes ||
		      (viommu__sections_phase_empty(s, 0) && viommu__sections_phase_empty(s, 1)));
	viommu__free(s->stripes);
	s->stripes = NULL;
}

void viommu__sections_wake(uint32_t *count)
{
	syscall(SYS_futex, count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

bool viommu__sections_phase_empty(struct viommu__sections *s, uint32_t phase)
{
	unsigned int i;

	for (i = 0; i <= s->mask; i++)
		if (load_seqcst(&s->stripes[i].readers[phase]))
			return false;
	return true;
}

/* Each count need be seen 0 once, not all at one time: who counts later also looks later. */
static void phase_drain(struct viommu__sections *s, uint32_t phase)
{
	uint32_t *count, seen;
	unsigned int i, looks;

	for (i = 0; i <= s->mask; i++) {
		count = &s->stripes[i].readers[phase];
		for (looks = 0; (seen = load_seqcst(count)) != 0; looks++) {
			if (looks < LOOKS_BEFORE_SLEEP)
				cpu_relax();
			else /* returns at once if *count is not `seen` any more */
				syscall(SYS_futex, count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		}
	}
}

void viommu__sections_wait(struct viommu__sections *s)
{
	uint32_t old = load_relaxed(&s->phase);

	store_seqcst(&s->waiting, 1);
	phase_drain(s, !old);
	store_seqcst(&s->phase, !old);
	phase_drain(s, old);
	store_seqcst(&s->waiting, 0);
}
