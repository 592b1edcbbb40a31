/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Engines that several functions share: who of them runs next, on a thread that asks.
 *
 * Two rules. In turn: a thread begins its search behind the function that was looked at last. One
 * is kept: a function that runs on no engine always finds one free, since another may take its
 * second only while more are free than functions have none. So jobs that wait for pages which their
 * guest never brings, or that copy for long, stop nobody but their own function.
 *
 * No work is left lying. Whoever was inside of a function looks at its kicks after that
 * (pci_run.c), and comes back here. What was refused for want of an engine is looked for again by
 * the next that gives one back: after work it comes back anyway, and after it found nothing it does
 * if it had taken more than the one kept for that function.
 *
 * Synchronisation: everything below struct slot is guarded by the lock, which is not held while a
 * function runs.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "dev/pci.h"

struct slot {
	struct viommu_pci *pci; /* NULL: free */
	uint32_t inside;        /* threads in its run; an engine each */
	bool leaving;
};

struct viommu_pci_engines {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* a function that leaves has none inside */
	uint32_t engines;
	uint32_t functions;
	uint32_t busy;   /* engines */
	uint32_t active; /* functions with an engine */
	uint32_t next;
	bool refused;
	struct slot slot[VIOMMU_PCI_MAX_SHARED];
};

int viommu_pci_engines_new(unsigned engines, unsigned functions, struct viommu_pci_engines **out)
{
	struct viommu_pci_engines *e;

	*out = NULL;
	if (!functions || functions > VIOMMU_PCI_MAX_SHARED || engines < functions ||
	    engines > VIOMMU_PCI_MAX_WORKERS)
		return -EINVAL;
	e = viommu__calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->idle, NULL);
	e->engines = engines;
	e->functions = functions;
	*out = e;
	return 0;
}

void viommu_pci_engines_free(struct viommu_pci_engines *e)
{
	uint32_t i;

	if (!e)
		return;
	for (i = 0; i < e->functions; i++)
		VIOMMU_ASSERT(!e->slot[i].pci);
	pthread_cond_destroy(&e->idle);
	pthread_mutex_destroy(&e->lock);
	viommu__free(e);
}

unsigned viommu_pci_engines_count(const struct viommu_pci_engines *e)
{
	return e->engines;
}

unsigned viommu_pci_engines_most(const struct viommu_pci_engines *e)
{
	return e->engines - (e->functions - 1);
}

static struct slot *slot_of(struct viommu_pci_engines *e, const struct viommu_pci *pci)
{
	uint32_t i;

	for (i = 0; i < e->functions; i++)
		if (e->slot[i].pci == pci)
			return &e->slot[i];
	return NULL;
}

int viommu_pci_engines_add(struct viommu_pci_engines *e, struct viommu_pci *pci)
{
	struct slot *s;
	int ret = 0;

	pthread_mutex_lock(&e->lock);
	s = slot_of(e, NULL);
	if (slot_of(e, pci))
		ret = -EEXIST;
	else if (!s)
		ret = -ENOSPC;
	else
		s->pci = pci;
	pthread_mutex_unlock(&e->lock);
	return ret;
}

int viommu_pci_engines_remove(struct viommu_pci_engines *e, struct viommu_pci *pci)
{
	struct slot *s;

	pthread_mutex_lock(&e->lock);
	s = slot_of(e, pci);
	if (s) {
		s->leaving = true;
		while (s->inside)
			pthread_cond_wait(&e->idle, &e->lock);
		*s = (struct slot){ 0 };
	}
	pthread_mutex_unlock(&e->lock);
	return s ? 0 : -ENOENT;
}

/* Lock held. True: an engine is this function's now. */
static bool take(struct viommu_pci_engines *e, struct slot *s)
{
	if (s->inside && e->engines - e->busy <= e->functions - e->active) {
		e->refused = true;
		return false;
	}
	e->active += !s->inside;
	s->inside++;
	e->busy++;
	VIOMMU_ASSERT(e->engines - e->busy >= e->functions - e->active);
	return true;
}

/* Lock held. True: somebody may have been refused for the sake of nothing. */
static bool give(struct viommu_pci_engines *e, struct slot *s)
{
	bool again = false;

	e->busy--;
	if (--s->inside) {
		again = e->refused;
		e->refused = false;
	} else {
		e->active--;
		if (s->leaving)
			pthread_cond_broadcast(&e->idle);
	}
	return again;
}

int viommu_pci_engines_run(struct viommu_pci_engines *e, struct viommu_dma *dma)
{
	uint32_t first, i;
	int ret = 0;

	pthread_mutex_lock(&e->lock);
	first = e->next;
	for (i = 0; i < e->functions && !ret; i++) {
		struct slot *s = &e->slot[(first + i) % e->functions];

		if (!s->pci || s->leaving || !take(e, s))
			continue;
		e->next = (first + i + 1) % e->functions;
		pthread_mutex_unlock(&e->lock);
		ret = viommu_pci_run(s->pci, dma);
		pthread_mutex_lock(&e->lock);
		ret |= give(e, s);
	}
	pthread_mutex_unlock(&e->lock);
	return ret;
}
