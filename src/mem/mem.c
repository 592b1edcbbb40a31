/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory object: regions come and go, listeners are told. See memory.h for the order of steps.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "mem/guard.h"
#include "mem/map.h"
#include "mem/memory.h"

#define PAGE_BYTES UINT64_C(4096)
#define GPA_END    BIT64(52)

int viommu_mem_new(struct viommu_mem **out)
{
	struct viommu_mem *mem;

	*out = NULL;
	mem = viommu__calloc(1, sizeof(*mem));
	if (!mem)
		return -ENOMEM;
	list_init(&mem->listeners);
	list_init(&mem->trackers);
	mem->by_gpa = viommu__index_new(false);
	mem->by_host = viommu__index_new(true);
	if (!mem->by_gpa || !mem->by_host || viommu__sections_init(&mem->sections))
		goto err;
	/* -ENOMEM is the one error that a mutex without attributes could have. */
	if (pthread_mutex_init(&mem->lock, NULL))
		goto err;
	if (pthread_mutex_init(&mem->track_lock, NULL)) {
		pthread_mutex_destroy(&mem->lock);
		goto err;
	}
	*out = mem;
	return 0;
err:
	viommu__sections_destroy(&mem->sections);
	viommu__index_free(mem->by_host);
	viommu__index_free(mem->by_gpa);
	viommu__free(mem);
	return -ENOMEM;
}

static void retired_free(struct viommu__retired **list)
{
	struct viommu__retired *node;

	while ((node = *list)) {
		*list = node->next;
		viommu__free(node);
	}
}

static void retire(struct viommu__retired **list, struct viommu__retired *node)
{
	node->next = *list;
	*list = node;
}

/* Wait for all readers of before, and free what was retired. */
static void grace_wait(struct viommu_mem *mem)
{
	viommu__sections_wait(&mem->sections);
	retired_free(&mem->retired);
	retired_free(&mem->ageing);
	mem->ageing_step = 0;
}

/* The steps of viommu__sections_wait as far as they go without waiting. */
static void grace_poll(struct viommu_mem *mem)
{
	struct viommu__sections *s = &mem->sections;
	int rounds;

	/* Twice: what was ageing, then what was retired meanwhile. */
	for (rounds = 0; rounds < 2; rounds++) {
		if (!mem->ageing) {
			mem->ageing = mem->retired;
			mem->retired = NULL;
			mem->ageing_step = 0;
		}
		if (!mem->ageing)
			return;
		/* The phase to be empty is the one that is not in use, in both steps. */
		if (!viommu__sections_phase_empty(s, !load_relaxed(&s->phase)))
			return;
		if (mem->ageing_step == 0) {
			store_seqcst(&s->phase, !load_relaxed(&s->phase));
			mem->ageing_step = 1;
			if (!viommu__sections_phase_empty(s, !load_relaxed(&s->phase)))
				return;
		}
		retired_free(&mem->ageing);
	}
}

/* Unmap, once nobody can reach it. */
static void region_release(struct viommu__region *r)
{
	viommu__guard_del(r->guard);
	r->guard = -1;
	if (r->mapped)
		viommu__unmap(r->host, r->bytes);
	r->mapped = false;
}

void viommu_mem_free(struct viommu_mem *mem)
{
	struct viommu__region *r;
	struct viommu__spot spot;
	bool more;

	if (!mem)
		return;
	VIOMMU_ASSERT(list_empty(&mem->listeners));
	/* What is left over may still be in one index, or in both: leave that to its own list. */
	more = viommu__index_first(mem->by_gpa, &spot);
	for (; more; more = viommu__index_next(mem->by_gpa, &spot)) {
		r = viommu__index_at(mem->by_gpa, &spot);
		if (r->dead & REGION_GONE)
			continue;
		region_release(r);
		retire(&mem->retired, &r->retired);
	}
	retired_free(&mem->leftover);
	retired_free(&mem->retired);
	retired_free(&mem->ageing);
	viommu__index_free(mem->by_host);
	viommu__index_free(mem->by_gpa);
	viommu__sections_destroy(&mem->sections);
	pthread_mutex_destroy(&mem->track_lock);
	pthread_mutex_destroy(&mem->lock);
	viommu__free(mem);
}

void viommu__mem_describe(const struct viommu__region *r, struct viommu_mem_region *out)
{
	out->gpa = r->gpa;
	out->bytes = r->bytes;
	out->host = r->host;
	out->flags = r->flags;
	out->lost = !!(viommu__region_dead(r) & REGION_LOST);
}

static void listeners_removed(struct viommu_mem *mem, struct viommu__region *r, struct list *until)
{
	struct viommu_mem_region desc;
	struct list *pos;

	viommu__mem_describe(r, &desc);
	for (pos = mem->listeners.next; pos != until; pos = pos->next) {
		struct viommu__mem_listener *l = list_entry(pos, struct viommu__mem_listener, link);

		l->removed(l, &desc);
	}
}

static int listeners_added(struct viommu_mem *mem, struct viommu__region *r)
{
	struct viommu_mem_region desc;
	struct list *pos;
	int ret;

	viommu__mem_describe(r, &desc);
	list_for_each(pos, &mem->listeners) {
		struct viommu__mem_listener *l = list_entry(pos, struct viommu__mem_listener, link);

		ret = l->added(l, &desc);
		if (ret) {
			listeners_removed(mem, r, pos);
			return ret;
		}
	}
	return 0;
}

/*
 * Take regions that are gone out of the indexes, as many as memory allows: those taken out go to
 * the retired, the others to the leftover.
 */
static void regions_erase(struct viommu_mem *mem, struct viommu__retired *gone)
{
	struct viommu__edit gpa, host;
	struct viommu__retired *node;
	struct viommu__region *r;

	if (!gone)
		return;
	if (viommu__edit_begin(&gpa, mem->by_gpa))
		gpa.top = NULL;
	if (viommu__edit_begin(&host, mem->by_host))
		host.top = NULL;
	while ((node = gone)) {
		gone = node->next;
		r = list_entry(node, struct viommu__region, retired);
		if (r->in_gpa && gpa.top && !viommu__edit_erase(&gpa, r))
			r->in_gpa = false;
		if (r->in_host && host.top && !viommu__edit_erase(&host, r))
			r->in_host = false;
		if (r->in_gpa || r->in_host)
			retire(&mem->leftover, node);
		else
			retire(&mem->retired, node);
	}
	if (gpa.top)
		store_seqcst(&mem->by_gpa, viommu__edit_commit(&gpa, &mem->retired));
	if (host.top)
		store_seqcst(&mem->by_host, viommu__edit_commit(&host, &mem->retired));
}

static void leftover_erase(struct viommu_mem *mem)
{
	struct viommu__retired *list = mem->leftover;

	mem->leftover = NULL;
	regions_erase(mem, list);
}

static int range_check(uint64_t gpa, uint64_t bytes, uint32_t flags)
{
	uint64_t end;

	if (!bytes || !is_aligned(gpa | bytes, PAGE_BYTES) || add_overflows(gpa, bytes, &end) ||
	    end > GPA_END || (flags & ~VIOMMU_MEM_READ_ONLY))
		return -EINVAL;
	return 0;
}

/* Does the region fit in? Nothing is left over at this time, so keys do not overlap. */
static int place_check(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes)
{
	struct viommu__region *r;
	struct viommu__spot spot;

	if (viommu__index_find(mem->by_gpa, gpa + bytes - 1, &spot)) {
		r = viommu__index_at(mem->by_gpa, &spot);
		if (r->gpa + r->bytes > gpa)
			return -EEXIST;
	}
	return mem->n_regions < VIOMMU_MEM_MAX_REGIONS ? 0 : -ENOSPC;
}

/* Under the lock: publish a region that is mapped and described. */
static int region_publish(struct viommu_mem *mem, struct viommu__region *r)
{
	struct viommu__edit gpa = { 0 }, host = { 0 };
	int ret;

	ret = viommu__edit_begin(&gpa, mem->by_gpa);
	if (!ret)
		ret = viommu__edit_insert(&gpa, r);
	if (!ret)
		ret = viommu__edit_begin(&host, mem->by_host);
	if (!ret)
		ret = viommu__edit_insert(&host, r);
	if (!ret)
		ret = listeners_added(mem, r);
	if (ret) {
		viommu__edit_abort(&host);
		viommu__edit_abort(&gpa);
		return ret;
	}
	store_seqcst(&mem->by_gpa, viommu__edit_commit(&gpa, &mem->retired));
	store_seqcst(&mem->by_host, viommu__edit_commit(&host, &mem->retired));
	r->in_gpa = true;
	r->in_host = true;
	mem->n_regions++;
	return 0;
}

/* ptr or, if that is NULL, fd and offset. */
static int region_add(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes, void *ptr, int fd,
		      uint64_t offset, uint32_t flags)
{
	bool writable = !(flags & VIOMMU_MEM_READ_ONLY), sealed = true;
	struct viommu__region *r = NULL;
	int ret;

	pthread_mutex_lock(&mem->lock);
	leftover_erase(mem);
	ret = mem->leftover ? -ENOMEM : place_check(mem, gpa, bytes);
	if (ret)
		goto out;
	r = viommu__calloc(1, sizeof(*r));
	if (!r) {
		ret = -ENOMEM;
		goto out;
	}
	r->gpa = gpa;
	r->bytes = bytes;
	r->host = ptr;
	r->flags = flags;
	r->guard = -1;
	if (!ptr) {
		ret = viommu__map_fd(gpa, bytes, fd, offset, writable, viommu__guard_installed(),
				     &r->host, &sealed);
		if (ret)
			goto out;
		r->mapped = true;
	}
	if (!sealed) {
		r->guard = viommu__guard_add(r->host, bytes, &r->dead, REGION_LOST);
		if (r->guard < 0) {
			ret = r->guard;
			goto out;
		}
	}
	ret = region_publish(mem, r);
out:
	if (ret && r) {
		region_release(r);
		viommu__free(r);
	}
	grace_poll(mem);
	pthread_mutex_unlock(&mem->lock);
	return ret;
}

int viommu_mem_add_fd(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes, int fd, uint64_t offset,
		      uint32_t flags)
{
	int ret = range_check(gpa, bytes, flags);

	if (ret)
		return ret;
	if (!is_aligned(offset, PAGE_BYTES))
		return -EINVAL;
	return region_add(mem, gpa, bytes, NULL, fd, offset, flags);
}

int viommu_mem_add_ptr(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes, void *ptr,
		       uint32_t flags)
{
	uintptr_t end;
	int ret = range_check(gpa, bytes, flags);

	if (ret)
		return ret;
	if (!ptr || !is_aligned((uintptr_t)ptr, PAGE_BYTES) ||
	    add_overflows((uintptr_t)ptr, bytes, &end))
		return -EINVAL;
	return region_add(mem, gpa, bytes, ptr, -1, 0, flags);
}

/* The regions inside [gpa, end), marked gone and chained in *out; or an error and no change. */
static int regions_take(struct viommu_mem *mem, uint64_t gpa, uint64_t end,
			struct viommu__retired **out)
{
	const struct viommu__top *top = mem->by_gpa;
	struct viommu__spot spot, first;
	struct viommu__region *r;
	bool more, found = false;

	more = viommu__index_find(top, gpa, &first) || viommu__index_first(top, &first);
	if (!more)
		return -ENOENT;
	/* First look, then mark. */
	spot = first;
	for (; more; more = viommu__index_next(top, &spot)) {
		r = viommu__index_at(top, &spot);
		if (r->gpa >= end)
			break;
		if (r->gpa + r->bytes <= gpa || (load_relaxed(&r->dead) & REGION_GONE))
			continue;
		if (r->gpa < gpa || r->gpa + r->bytes > end)
			return -EINVAL;
		found = true;
	}
	if (!found)
		return -ENOENT;
	spot = first;
	for (more = true; more; more = viommu__index_next(top, &spot)) {
		r = viommu__index_at(top, &spot);
		if (r->gpa >= end)
			break;
		if (r->gpa < gpa || (load_relaxed(&r->dead) & REGION_GONE))
			continue;
		fetch_or(&r->dead, REGION_GONE);
		mem->n_regions--;
		retire(out, &r->retired);
	}
	return 0;
}

int viommu_mem_remove(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes)
{
	struct viommu__retired *gone = NULL, *node;
	uint64_t end;
	int ret;

	if (!bytes || add_overflows(gpa, bytes, &end))
		return -EINVAL;
	pthread_mutex_lock(&mem->lock);
	leftover_erase(mem);
	ret = regions_take(mem, gpa, end, &gone);
	if (ret)
		goto out;
	for (node = gone; node; node = node->next)
		listeners_removed(mem, list_entry(node, struct viommu__region, retired),
				  &mem->listeners);
	grace_wait(mem);
	for (node = gone; node; node = node->next)
		region_release(list_entry(node, struct viommu__region, retired));
	/* Readers that come meanwhile still find the entries, and see that they are gone. */
	regions_erase(mem, gone);
	grace_poll(mem);
out:
	pthread_mutex_unlock(&mem->lock);
	return ret;
}

int viommu__mem_listen(struct viommu_mem *mem, struct viommu__mem_listener *l)
{
	struct viommu_mem_region desc;
	struct viommu__spot spot, told;
	struct viommu__region *r;
	bool more;
	int ret = 0;

	pthread_mutex_lock(&mem->lock);
	leftover_erase(mem);
	more = viommu__index_first(mem->by_gpa, &spot);
	for (; more; more = viommu__index_next(mem->by_gpa, &spot)) {
		r = viommu__index_at(mem->by_gpa, &spot);
		if (load_relaxed(&r->dead) & REGION_GONE)
			continue;
		viommu__mem_describe(r, &desc);
		ret = l->added(l, &desc);
		if (ret)
			break;
	}
	if (!ret) {
		list_add_tail(&mem->listeners, &l->link);
		goto out;
	}
	more = viommu__index_first(mem->by_gpa, &told);
	for (; more && (told.leaf != spot.leaf || told.i != spot.i);
	     more = viommu__index_next(mem->by_gpa, &told)) {
		r = viommu__index_at(mem->by_gpa, &told);
		if (load_relaxed(&r->dead) & REGION_GONE)
			continue;
		viommu__mem_describe(r, &desc);
		l->removed(l, &desc);
	}
out:
	pthread_mutex_unlock(&mem->lock);
	return ret;
}

void viommu__mem_unlisten(struct viommu_mem *mem, struct viommu__mem_listener *l)
{
	struct viommu_mem_region desc;
	struct viommu__region *r;
	struct viommu__spot spot;
	bool more;

	pthread_mutex_lock(&mem->lock);
	list_del(&l->link);
	more = viommu__index_first(mem->by_gpa, &spot);
	for (; more; more = viommu__index_next(mem->by_gpa, &spot)) {
		r = viommu__index_at(mem->by_gpa, &spot);
		if (load_relaxed(&r->dead) & REGION_GONE)
			continue;
		viommu__mem_describe(r, &desc);
		l->removed(l, &desc);
	}
	pthread_mutex_unlock(&mem->lock);
}
