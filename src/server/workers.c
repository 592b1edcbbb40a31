/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The threads that work for a function, or for the functions that share engines: run until there is
 * nothing to do, then sleep until the next kick.
 *
 * No kick is lost. A worker notes the number of kicks before it looks for work, and sleeps only if
 * it is still the same:
 *
 *	kick:	kicks += 1; if sleepers: wake one under lock
 *	worker:	seen = kicks; run ...; lock; sleepers += 1; while kicks == seen: wait
 *
 * Both sides write first and then read what the other wrote, sequentially consistent, so at least
 * one of them sees the other. A kick wakes one sleeper; viommu_pci_run() kicks again when there is
 * more to do than the one that came. With shared engines whoever wakes looks at every function.
 *
 * Threads begin with the first client: after the owner gave up its privileges, which is a matter of
 * each thread.
 */
#include <errno.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "server/state.h"

struct viommu__worker {
	struct viommu__pool *pool;
	struct viommu_dma *dma;
	pthread_t thread;
	struct viommu_dma_stats told; /* members atomic: written by the worker alone */
};

void viommu__pool_kick(struct viommu__pool *pool)
{
	fetch_add(&pool->kicks, 1);
	if (!load_seqcst(&pool->sleepers))
		return;
	pthread_mutex_lock(&pool->lock);
	pthread_cond_signal(&pool->cond);
	pthread_mutex_unlock(&pool->lock);
}

/* The counts are the worker's own, so it is the one to copy them to where others may look. */
static void tell(struct viommu__worker *worker)
{
	struct viommu_dma_stats s;

	viommu_dma_stats(worker->dma, &s);
	store_relaxed(&worker->told.misses, s.misses);
	store_relaxed(&worker->told.walks, s.walks);
	store_relaxed(&worker->told.reads, s.reads);
	store_relaxed(&worker->told.faults, s.faults);
	store_relaxed(&worker->told.page_requests, s.page_requests);
}

void viommu__pool_stats(const struct viommu__pool *pool, struct viommu_dma_stats *sum)
{
	uint32_t i;

	for (i = 0; i < pool->nr; i++) {
		const struct viommu_dma_stats *s = &pool->worker[i].told;

		sum->misses += load_relaxed(&s->misses);
		sum->walks += load_relaxed(&s->walks);
		sum->reads += load_relaxed(&s->reads);
		sum->faults += load_relaxed(&s->faults);
		sum->page_requests += load_relaxed(&s->page_requests);
	}
}

static int step(const struct viommu__worker *worker)
{
	const struct viommu__pool *pool = worker->pool;

	return pool->pci ? viommu_pci_run(pool->pci, worker->dma)
			 : viommu_pci_engines_run(pool->engines, worker->dma);
}

static void *work(void *arg)
{
	struct viommu__worker *worker = arg;
	struct viommu__pool *pool = worker->pool;
	uint64_t seen;

	while (!load_acquire(&pool->stop)) {
		seen = load_seqcst(&pool->kicks);
		while (!load_acquire(&pool->stop) && step(worker))
			tell(worker);
		pthread_mutex_lock(&pool->lock);
		fetch_add(&pool->sleepers, 1);
		while (load_seqcst(&pool->kicks) == seen && !load_acquire(&pool->stop))
			pthread_cond_wait(&pool->cond, &pool->lock);
		fetch_sub(&pool->sleepers, 1);
		pthread_mutex_unlock(&pool->lock);
	}
	return NULL;
}

/*
 * Signals for the process are the owner's threads' business. Those that an instruction causes have
 * to reach the thread that executed it: the guard of guest memory lives on SIGBUS.
 */
static int start_one(struct viommu__worker *worker)
{
	static const int synchronous[] = {
		SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT
	};
	sigset_t block, old;
	unsigned int i;
	int err;

	sigfillset(&block);
	for (i = 0; i < ARRAY_SIZE(synchronous); i++)
		sigdelset(&block, synchronous[i]);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	err = pthread_create(&worker->thread, NULL, work, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_setname_np(worker->thread, "viommu-worker");
	return -err;
}

static void stop(struct viommu__pool *pool);

int viommu__pool_start(struct viommu__pool *pool)
{
	uint32_t n = pool->threads;
	struct viommu__worker *worker;
	int err = 0;

	if (!n || pool->nr)
		return 0;
	pool->worker = viommu__calloc(n, sizeof(*pool->worker));
	if (!pool->worker)
		return -ENOMEM;
	while (pool->nr < n && !err) {
		worker = &pool->worker[pool->nr];
		worker->pool = pool;
		err = viommu_dma_new(pool->host, &worker->dma);
		if (!err)
			err = start_one(worker);
		if (err)
			viommu_dma_free(worker->dma);
		else
			pool->nr++;
	}
	if (err)
		stop(pool);
	return err;
}

static void stop(struct viommu__pool *pool)
{
	uint32_t i;

	pthread_mutex_lock(&pool->lock);
	store_release(&pool->stop, true);
	pthread_cond_broadcast(&pool->cond);
	pthread_mutex_unlock(&pool->lock);
	for (i = 0; i < pool->nr; i++)
		pthread_join(pool->worker[i].thread, NULL);
	for (i = 0; i < pool->nr; i++)
		viommu_dma_free(pool->worker[i].dma);
	viommu__free(pool->worker);
	pool->worker = NULL;
	pool->nr = 0;
	/* It may be started again, after a start that failed. */
	store_release(&pool->stop, false);
}

int viommu__pool_get(struct viommu_server *server, const struct viommu_server_function *function,
		     struct viommu__pool **out)
{
	struct viommu__pool *pool;

	*out = NULL;
	list_for_each_entry(pool, &server->pools, node) {
		if (!function->engines || pool->engines != function->engines)
			continue;
		if (pool->host != function->host)
			return -EINVAL;
		pool->users++;
		*out = pool;
		return 0;
	}
	pool = viommu__calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->host = function->host;
	pool->engines = function->engines;
	pool->threads = viommu_pci_config(function->pci)->workers;
	if (pool->engines)
		pool->threads = viommu_pci_engines_count(pool->engines);
	else
		pool->pci = function->pci;
	pool->users = 1;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->cond, NULL);
	list_add_tail(&server->pools, &pool->node);
	*out = pool;
	return 0;
}

void viommu__pool_put(struct viommu__pool *pool)
{
	if (!pool || --pool->users)
		return;
	stop(pool);
	list_del(&pool->node);
	pthread_cond_destroy(&pool->cond);
	pthread_mutex_destroy(&pool->lock);
	viommu__free(pool);
}
