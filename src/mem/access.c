/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading and writing guest memory: the checked accessors. Each looks at the region's mark after
 * its access, because the SIGBUS guard may have put zeroes under it (see guard.c for the order).
 */
#include <errno.h>

#include "mem/copy.h"
#include "mem/memory.h"

unsigned viommu__mem_enter(struct viommu_mem *mem)
{
	return viommu__sections_enter(&mem->sections);
}

void viommu__mem_leave(struct viommu_mem *mem, unsigned token)
{
	viommu__sections_leave(&mem->sections, token);
}

#ifdef VIOMMU_TEST_HOOKS
static bool hook_refuses(struct viommu_mem *mem)
{
	long left = load_relaxed(&mem->fail_in);

	/* Only one thread may take the step from 1 to 0, so exactly one lookup fails. */
	while (left > 0 && !cmpxchg_weak(&mem->fail_in, &left, left - 1))
		;
	if (left != 1)
		return false;
	store_release(&mem->failed, 1);
	return true;
}

void viommu__mem_fail_nth(struct viommu_mem *mem, long n)
{
	store_relaxed(&mem->failed, 0);
	store_relaxed(&mem->fail_in, n);
}

bool viommu__mem_fail_done(struct viommu_mem *mem)
{
	store_relaxed(&mem->fail_in, 0);
	return load_acquire(&mem->failed);
}
#else
static inline bool hook_refuses(struct viommu_mem *mem)
{
	(void)mem;
	return false;
}
#endif

/* The live region that holds gpa and allows the access, or NULL. */
static struct viommu__region *region_for(struct viommu_mem *mem, uint64_t gpa, bool write)
{
	struct viommu__region *r = viommu__mem_region(mem, gpa);

	if (!r || (write && (r->flags & VIOMMU_MEM_READ_ONLY)) || hook_refuses(mem))
		return NULL;
	return r;
}

/* After an access: was what it touched still the file? */
static bool region_was_lost(struct viommu__region *r)
{
	fence_acquire();
	return load_relaxed(&r->dead) & REGION_LOST;
}

void *viommu__mem_ptr(struct viommu_mem *mem, uint64_t gpa, bool write, uint64_t *bytes)
{
	struct viommu__region *r = region_for(mem, gpa, write);

	if (!r)
		return NULL;
	*bytes = r->bytes - (gpa - r->gpa);
	return r->host + (gpa - r->gpa);
}

bool viommu__mem_has_host(struct viommu_mem *mem, const void *host, uint64_t bytes, bool *write)
{
	const struct viommu__top *top = load_seqcst(&mem->by_host);
	uint64_t at = (uintptr_t)host;

	*write = false;
	if (hook_refuses(mem))
		return false;
	*write = viommu__index_containing(top, at, bytes, true) != NULL;
	return *write || viommu__index_containing(top, at, bytes, false);
}

int viommu_mem_read(struct viommu_mem *mem, uint64_t gpa, void *buf, size_t bytes)
{
	unsigned token = viommu__mem_enter(mem);
	struct viommu__region *r;
	char *to = buf;
	int ret = 0;
	uint64_t n;

	while (bytes) {
		r = region_for(mem, gpa, false);
		if (!r) {
			ret = -EFAULT;
			break;
		}
		n = min_u64(bytes, r->bytes - (gpa - r->gpa));
		viommu__copy_from_guest(to, r->host + (gpa - r->gpa), n);
		if (unlikely(region_was_lost(r))) {
			ret = -EFAULT;
			break;
		}
		/* A region ends at 2^52 at most, so gpa cannot wrap. */
		gpa += n;
		to += n;
		bytes -= n;
	}
	viommu__mem_leave(mem, token);
	return ret;
}

void viommu__mem_written(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes)
{
	struct list *pos;

	if (likely(!load_acquire(&mem->tracked)) || !bytes)
		return;
	pthread_mutex_lock(&mem->track_lock);
	list_for_each(pos, &mem->trackers) {
		struct viommu__mem_tracker *t = list_entry(pos, struct viommu__mem_tracker, link);

		t->written(t, gpa, bytes);
	}
	pthread_mutex_unlock(&mem->track_lock);
}

void viommu__mem_track(struct viommu_mem *mem, struct viommu__mem_tracker *t)
{
	pthread_mutex_lock(&mem->track_lock);
	list_add_tail(&mem->trackers, &t->link);
	store_release(&mem->tracked, mem->tracked + 1);
	pthread_mutex_unlock(&mem->track_lock);
}

void viommu__mem_untrack(struct viommu_mem *mem, struct viommu__mem_tracker *t)
{
	pthread_mutex_lock(&mem->track_lock);
	list_del(&t->link);
	store_release(&mem->tracked, mem->tracked - 1);
	pthread_mutex_unlock(&mem->track_lock);
}

int viommu_mem_write(struct viommu_mem *mem, uint64_t gpa, const void *buf, size_t bytes)
{
	unsigned token = viommu__mem_enter(mem);
	struct viommu__region *r;
	const char *from = buf;
	uint64_t first = gpa, n;
	int ret = 0;

	while (bytes) {
		r = region_for(mem, gpa, true);
		if (!r) {
			ret = -EFAULT;
			break;
		}
		n = min_u64(bytes, r->bytes - (gpa - r->gpa));
		viommu__copy_to_guest(r->host + (gpa - r->gpa), from, n);
		if (unlikely(region_was_lost(r))) {
			ret = -EFAULT;
			break;
		}
		gpa += n;
		from += n;
		bytes -= n;
	}
	viommu__mem_leave(mem, token);
	viommu__mem_written(mem, first, gpa - first);
	return ret;
}

/* Regions are whole pages, so eight aligned bytes lie in one. */
static uint64_t *word_of(struct viommu__region *r, uint64_t gpa)
{
	return (uint64_t *)(r->host + (gpa - r->gpa));
}

int viommu_mem_load64(struct viommu_mem *mem, uint64_t gpa, uint64_t *out)
{
	struct viommu__region *r;
	int ret = -EFAULT;
	unsigned token;
	uint64_t v;

	if (gpa & 7)
		return -EINVAL;
	token = viommu__mem_enter(mem);
	r = region_for(mem, gpa, false);
	if (r) {
		v = load_acquire(word_of(r, gpa));
		if (likely(!region_was_lost(r))) {
			*out = v;
			ret = 0;
		}
	}
	viommu__mem_leave(mem, token);
	return ret;
}

int viommu_mem_store64(struct viommu_mem *mem, uint64_t gpa, uint64_t value)
{
	struct viommu__region *r;
	int ret = -EFAULT;
	unsigned token;

	if (gpa & 7)
		return -EINVAL;
	token = viommu__mem_enter(mem);
	r = region_for(mem, gpa, true);
	if (r) {
		store_release(word_of(r, gpa), value);
		if (likely(!region_was_lost(r)))
			ret = 0;
	}
	viommu__mem_leave(mem, token);
	viommu__mem_written(mem, gpa, ret ? 0 : 8);
	return ret;
}

int viommu_mem_cas64(struct viommu_mem *mem, uint64_t gpa, uint64_t *old, uint64_t value)
{
	struct viommu__region *r;
	uint64_t found = *old;
	int ret = -EFAULT;
	unsigned token;
	bool swapped;

	if (gpa & 7)
		return -EINVAL;
	token = viommu__mem_enter(mem);
	r = region_for(mem, gpa, true);
	if (r) {
		swapped = cmpxchg(word_of(r, gpa), &found, value);
		if (likely(!region_was_lost(r))) {
			*old = found;
			ret = swapped ? 0 : -EAGAIN;
		}
	}
	viommu__mem_leave(mem, token);
	viommu__mem_written(mem, gpa, ret ? 0 : 8);
	return ret;
}

int viommu_mem_next(struct viommu_mem *mem, uint64_t gpa, struct viommu_mem_region *out)
{
	unsigned token = viommu__mem_enter(mem);
	const struct viommu__top *top = load_seqcst(&mem->by_gpa);
	struct viommu__region *r;
	struct viommu__spot spot;
	int ret = -ENOENT;
	uint32_t dead;
	bool more;

	more = viommu__index_find(top, gpa, &spot) || viommu__index_first(top, &spot);
	for (; more; more = viommu__index_next(top, &spot)) {
		r = viommu__index_at(top, &spot);
		dead = viommu__region_dead(r);
		if (r->gpa + r->bytes <= gpa || (dead & REGION_GONE))
			continue;
		viommu__mem_describe(r, out);
		ret = 0;
		break;
	}
	viommu__mem_leave(mem, token);
	return ret;
}
