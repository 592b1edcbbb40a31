/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer's side of in-flight markers; the protocol is drawn in marker.h.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/marker.h"

/* How often the writer looks at a marker before it gives the processor away each time. */
#define MARKER_SPINS 200

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

int viommu__markers_init(struct viommu__markers *ms)
{
	int err = pthread_mutex_init(&ms->lock, NULL);

	if (err)
		return -err;
	list_init(&ms->list);
	ms->fence = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
	return 0;
}

void viommu__markers_destroy(struct viommu__markers *ms)
{
	VIOMMU_ASSERT(list_empty(&ms->list));
	pthread_mutex_destroy(&ms->lock);
}

void viommu__marker_add(struct viommu__markers *ms, struct viommu__marker *m)
{
	m->seq = 0;
	m->fence = ms->fence;
	pthread_mutex_lock(&ms->lock);
	list_add_tail(&ms->list, &m->link);
	pthread_mutex_unlock(&ms->lock);
}

void viommu__marker_del(struct viommu__markers *ms, struct viommu__marker *m)
{
	VIOMMU_ASSERT(!viommu__marker_inside(m));
	pthread_mutex_lock(&ms->lock);
	list_del(&m->link);
	pthread_mutex_unlock(&ms->lock);
}

#ifndef VIOMMU_MARKER_SEQCST
static void membarrier_all(void)
{
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0)
		return;
	/* The registration belongs to the address space: a fork lost it. */
	VIOMMU_ASSERT(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
	VIOMMU_ASSERT(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
}
#endif

static void marker_wait(struct viommu__marker *m)
{
	uint64_t seq = load_seqcst(&m->seq);
	unsigned int spins = 0;

	if (!(seq & 1))
		return;
	/*
	 * Any change will do: the reader left, and if it is inside again it began after the fence.
	 */
	while (load_acquire(&m->seq) == seq) {
		if (++spins < MARKER_SPINS) {
			cpu_relax();
		} else {
			spins = 0;
			sched_yield();
		}
	}
}

void viommu__markers_drain(struct viommu__markers *ms)
{
	struct list *l;

	pthread_mutex_lock(&ms->lock);
#ifdef VIOMMU_MARKER_SEQCST
	fence_seqcst();
#else
	if (ms->fence)
		fence_seqcst();
	else
		membarrier_all();
#endif
	for (l = ms->list.next; l != &ms->list; l = l->next)
		marker_wait(container_of(l, struct viommu__marker, link));
	pthread_mutex_unlock(&ms->lock);
}
