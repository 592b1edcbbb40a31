/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allocation over the C library, with the hook for tests. No pools, no statistics.
 */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"

#ifdef VIOMMU_TEST_HOOKS
#include "base/atomic.h"

struct viommu__alloc_hook viommu__alloc_hook;

static bool hook_refuses(void)
{
	struct viommu__alloc_hook *h = &viommu__alloc_hook;
	long left;

	fetch_add(&h->calls, 1);
	/* Only one thread may take the step from 1 to 0, so exactly one allocation fails. */
	left = load_relaxed(&h->fail_in);
	while (left > 0 && !cmpxchg_weak(&h->fail_in, &left, left - 1))
		;
	if (left != 1)
		return false;
	fetch_add(&h->failed, 1);
	return true;
}

static void *hook_allocated(void *p)
{
	if (p)
		fetch_add(&viommu__alloc_hook.live, 1);
	return p;
}

static void hook_freed(void)
{
	fetch_sub(&viommu__alloc_hook.live, 1);
}

void viommu__alloc_fail_nth(long n)
{
	store_relaxed(&viommu__alloc_hook.failed, 0);
	store_relaxed(&viommu__alloc_hook.fail_in, n);
}

int viommu__alloc_fail_done(void)
{
	store_relaxed(&viommu__alloc_hook.fail_in, 0);
	return load_relaxed(&viommu__alloc_hook.failed) != 0;
}

long viommu__alloc_live(void)
{
	return load_relaxed(&viommu__alloc_hook.live);
}
#else
static inline bool hook_refuses(void)
{
	return false;
}

static inline void *hook_allocated(void *p)
{
	return p;
}

static inline void hook_freed(void)
{
}
#endif

void *viommu__alloc(size_t size)
{
	if (hook_refuses())
		return NULL;
	return hook_allocated(malloc(size ? size : 1));
}

void *viommu__calloc(size_t n, size_t size)
{
	size_t bytes;

	/* calloc() checks as well, but under a sanitizer its refusal is an abort. */
	if (hook_refuses() || mul_overflows(n, size, &bytes))
		return NULL;
	return hook_allocated(calloc(1, bytes ? bytes : 1));
}

void *viommu__alloc_aligned(size_t align, size_t size)
{
	void *p;

	VIOMMU_ASSERT(is_pow2(align) && align >= sizeof(void *));
	if (hook_refuses())
		return NULL;
	if (posix_memalign(&p, align, size ? size : 1))
		return NULL;
	memset(p, 0, size);
	return hook_allocated(p);
}

void *viommu__realloc(void *p, size_t n, size_t size)
{
	size_t bytes;
	void *q;

	VIOMMU_ASSERT(n && size);
	if (hook_refuses() || mul_overflows(n, size, &bytes))
		return NULL;
	q = realloc(p, bytes);
	return p ? q : hook_allocated(q);
}

void viommu__free(void *p)
{
	if (!p)
		return;
	hook_freed();
	free(p);
}
