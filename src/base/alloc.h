/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every allocation of the library. No other file calls malloc and its family (tests/tidy), so a
 * test can fail the n-th allocation and count what is still allocated.
 *
 * Any thread. A NULL return means out of memory; the caller turns it into -ENOMEM.
 */
#ifndef VIOMMU_BASE_ALLOC_H
#define VIOMMU_BASE_ALLOC_H

#include <stddef.h>

/* size bytes, not initialised; size 0 gives a pointer that can be freed. */
void *viommu__alloc(size_t size);

/* n * size bytes of zeroes; NULL also if n * size overflows. */
void *viommu__calloc(size_t n, size_t size);

/*
 * size bytes of zeroes at a multiple of align, a power of two of at least sizeof(void *).
 * For page tables and structures that own their cache lines. Freed by viommu__free.
 */
void *viommu__alloc_aligned(size_t align, size_t size);

/*
 * Grow or shrink an array to n * size bytes, n and size not 0; what is added is not initialised.
 * On NULL the old array is still there. Not for memory of viommu__alloc_aligned.
 */
void *viommu__realloc(void *p, size_t n, size_t size);

/* Takes NULL. */
void viommu__free(void *p);

#ifdef VIOMMU_TEST_HOOKS
/*
 * The test hook, only in the library variant that the tests link; the one mutable global of the
 * library. All fields are atomic, so threads may allocate while a test reads them. Use:
 *
 *	for (n = 1;; n++) {
 *		viommu__alloc_fail_nth(n);
 *		... the sequence under test; it may fail with -ENOMEM only ...
 *		if (!viommu__alloc_fail_done())
 *			break;		the sequence made less than n allocations
 *	}
 */
struct viommu__alloc_hook {
	long fail_in; /* allocations until the one that fails: 1 is the next, 0 is none */
	long failed;  /* how many were failed since viommu__alloc_fail_nth */
	long calls;   /* allocations asked for, ever */
	long live;    /* allocated and not yet freed */
};

extern struct viommu__alloc_hook viommu__alloc_hook;

/* Fail the n-th allocation from here, once; 0 to fail none. Clears `failed`. */
void viommu__alloc_fail_nth(long n);

/* Stop failing; true if one was failed since viommu__alloc_fail_nth. */
int viommu__alloc_fail_done(void);

/* Allocations that are not freed yet. */
long viommu__alloc_live(void);
#endif

#endif /* VIOMMU_BASE_ALLOC_H */
