/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI function with workers: kicks that come while workers go to sleep, stopping and resetting
 * while they run, page requests that nobody answers. A lost wake or a missed end shows as a test
 * that does not end.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "base/atomic.h"
#include "host/world.h"

#define WORKERS 3u
#define AT_CMD  0x04u
#define AT_CTL  0x48u
#define AT_PRI  0x244u
#define MASTER  0x4u
#define FLR     0x8000u

/* A function, its model and the threads that a server would have. All counters are atomic. */
struct machine {
	struct viommu_pci *pci;
	sem_t wake;
	int end;
	pthread_t thread[WORKERS];
	unsigned int threads;
	struct viommu_host *host; /* NULL: no DMA */
	/* model */
	uint64_t queued, done;
	uint32_t inside, most; /* of .run, at once */
	uint32_t resets, aborts;
	uint32_t broken; /* what may not happen */
	/* model with DMA */
	struct world *w;
	uint32_t faulted, parked;
	size_t bytes;
};

static void on_kick(void *ctx)
{
	struct machine *m = ctx;

	sem_post(&m->wake);
}

static void *worker(void *ctx)
{
	struct machine *m = ctx;
	struct viommu_dma *dma = NULL;

	if (m->host && viommu_dma_new(m->host, &dma))
		abort();
	while (!load_acquire(&m->end)) {
		while (sem_wait(&m->wake))
			;
		while (viommu_pci_run(m->pci, dma))
			;
	}
	viommu_dma_free(dma);
	return NULL;
}

static void enter(struct machine *m)
{
	uint32_t n = fetch_add(&m->inside, 1) + 1;

	if (n > load_relaxed(&m->most))
		store_relaxed(&m->most, n); /* a lower bound is enough */
	if (!(viommu_pci_enabled(m->pci) & VIOMMU_PCI_BUS_MASTER))
		fetch_add(&m->broken, 1);
}

static int take_one(void *ctx, struct viommu_dma *dma)
{
	struct machine *m = ctx;
	uint64_t n = load_acquire(&m->queued);
	int took = 0;

	(void)dma;
	enter(m);
	while (n && !took)
		took = cmpxchg_weak(&m->queued, &n, n - 1);
	if (took)
		fetch_add(&m->done, 1);
	fetch_sub(&m->inside, 1);
	return took;
}

static void on_abort(void *ctx)
{
	fetch_add(&((struct machine *)ctx)->aborts, 1);
}

static void on_reset(void *ctx)
{
	struct machine *m = ctx;

	if (load_seqcst(&m->inside))
		fetch_add(&m->broken, 1);
	fetch_add(&m->resets, 1);
}

static void on_control(void *ctx, uint32_t changed)
{
	struct machine *m = ctx;

	/* While bus mastering is off, nobody is in .run. */
	if ((changed & VIOMMU_PCI_BUS_MASTER) &&
	    !(viommu_pci_enabled(m->pci) & VIOMMU_PCI_BUS_MASTER) && load_seqcst(&m->inside))
		fetch_add(&m->broken, 1);
}

static void config_write(struct machine *m, unsigned int at, uint32_t v)
{
	const uint8_t b[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	assert_int_equal(viommu_pci_config_write(m->pci, at, b, 2), 0);
}

static void machine_open(struct machine *m, struct world *w, uint32_t workers,
			 int (*run)(void *ctx, struct viommu_dma *dma))
{
	struct viommu_pci_config c = {
		.size = sizeof(c),
		.flags = VIOMMU_PCI_HAS_FLR | VIOMMU_PCI_HAS_ATS | VIOMMU_PCI_HAS_PRI |
			 VIOMMU_PCI_HAS_PASID,
		.workers = workers,
		.ops = { .ctx = m,
			 .abort = on_abort,
			 .reset = on_reset,
			 .control = on_control,
			 .run = run },
	};
	struct viommu_pci_vmm vmm = { .ctx = m, .kick = on_kick };

	memset(m, 0, sizeof(*m));
	m->w = w;
	m->host = w ? w->host : NULL;
	assert_int_equal(sem_init(&m->wake, 0, 0), 0);
	assert_int_equal(viommu_pci_new(&c, &m->pci, NULL), 0);
	if (w)
		viommu_pci_attach(m->pci, w->dev, NULL, NULL);
	viommu_pci_set_vmm(m->pci, &vmm);
	for (; m->threads < WORKERS; m->threads++)
		assert_int_equal(pthread_create(&m->thread[m->threads], NULL, worker, m), 0);
}

static void machine_close(struct machine *m)
{
	unsigned int i;

	store_release(&m->end, 1);
	for (i = 0; i < m->threads; i++)
		sem_post(&m->wake);
	for (i = 0; i < m->threads; i++)
		pthread_join(m->thread[i], NULL);
	viommu_pci_free(m->pci);
	sem_destroy(&m->wake);
}

struct producer {
	struct machine *m;
	uint64_t n;
	pthread_t thread;
};

static void *produce(void *ctx)
{
	struct producer *p = ctx;
	uint64_t i;

	for (i = 0; i < p->n; i++) {
		fetch_add(&p->m->queued, 1);
		viommu_pci_kick(p->m->pci);
		/* Now and then workers find nothing and go to sleep. */
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void kick_to_the_end(uint32_t workers)
{
	struct producer p[2];
	struct machine m;
	unsigned int i;

	machine_open(&m, NULL, workers, take_one);
	config_write(&m, AT_CMD, MASTER);
	for (i = 0; i < 2; i++) {
		p[i] = (struct producer){ .m = &m, .n = test_scale(200000) };
		assert_int_equal(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
	}
	for (i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	/* Every kick has been made; nobody helps from here. */
	while (load_acquire(&m.done) < p[0].n + p[1].n)
		sched_yield();
	assert_int_equal(m.queued, 0);
	assert_int_equal(m.broken, 0);
	assert_in_range(m.most, 1, workers);
	machine_close(&m);
}

static void no_kick_is_lost_however_workers_go_to_sleep(void **state)
{
	(void)state;
	kick_to_the_end(WORKERS);
}

static void no_kick_is_lost_when_more_threads_come_than_the_model_wants(void **state)
{
	(void)state;
	kick_to_the_end(1);
	kick_to_the_end(2);
}

static void no_worker_runs_during_a_reset_or_without_bus_mastering(void **state)
{
	uint64_t rounds = test_scale(3000), i, done;
	struct producer p;
	struct machine m;
	struct rng rng;
	uint32_t resets = 0;

	(void)state;
	rng_init(&rng, "resets");
	machine_open(&m, NULL, WORKERS, take_one);
	p = (struct producer){ .m = &m, .n = rounds * 50 };
	assert_int_equal(pthread_create(&p.thread, NULL, produce, &p), 0);
	for (i = 0; i < rounds; i++) {
		config_write(&m, AT_CMD, MASTER);
		switch (rng_below(&rng, 4)) {
		case 0:
			config_write(&m, AT_CTL, FLR);
			resets++;
			break;
		case 1:
			viommu_pci_reset(m.pci);
			resets++;
			break;
		case 2:
			config_write(&m, AT_CMD, 0);
			break;
		default:
			break;
		}
		if (viommu_pci_enabled(m.pci) & VIOMMU_PCI_BUS_MASTER)
			continue;
		assert_int_equal(load_seqcst(&m.inside), 0);
		done = load_acquire(&m.done);
		sched_yield();
		assert_int_equal(load_acquire(&m.done), done);
	}
	pthread_join(p.thread, NULL);
	/* What is queued is still there; kicks of a stopped time are made up for at the start. */
	config_write(&m, AT_CMD, MASTER);
	viommu_pci_kick(m.pci);
	while (load_acquire(&m.done) < p.n)
		sched_yield();
	assert_int_equal(m.resets, resets);
	assert_int_equal(m.broken, 0);
	machine_close(&m);
}

static void another_vmm_is_told_nothing_of_the_one_before(void **state)
{
	struct viommu_pci_vmm vmm = { .kick = on_kick };
	uint64_t rounds = test_scale(2000), i;
	struct producer p;
	struct machine m;

	(void)state;
	machine_open(&m, NULL, WORKERS, take_one);
	vmm.ctx = &m;
	config_write(&m, AT_CMD, MASTER);
	p = (struct producer){ .m = &m, .n = rounds * 50 };
	assert_int_equal(pthread_create(&p.thread, NULL, produce, &p), 0);
	for (i = 0; i < rounds; i++) {
		viommu_pci_set_vmm(m.pci, NULL);
		/* Kicks of this time are told to the next. */
		viommu_pci_set_vmm(m.pci, &vmm);
	}
	pthread_join(p.thread, NULL);
	while (load_acquire(&m.done) < p.n)
		sched_yield();
	machine_close(&m);
}

/* ---- Page requests that nobody answers ------------------------------------------------------- */

#define MISSING (WORLD_VA + 0x100000)
#define PAGES   32u

static void park(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct machine *m = ctx;

	(void)dev;
	(void)req;
	fetch_add(&m->parked, 1);
}

static void fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *f)
{
	(void)ctx;
	(void)dev;
	(void)f;
}

/* Page after page, without a look at viommu_pci_stopping() before the first fault. */
static int read_missing(void *ctx, struct viommu_dma *dma)
{
	struct machine *m = ctx;
	uint64_t n = load_acquire(&m->queued);
	unsigned int i;
	int took = 0;
	uint32_t v;

	enter(m);
	while (n && !took)
		took = cmpxchg_weak(&m->queued, &n, n - 1);
	for (i = 0; took && i < PAGES && !viommu_pci_stopping(m->pci); i++) {
		uint32_t flags = viommu_pci_dma_flags(m->pci);

		if (viommu_dma_read(dma, m->w->dev, m->w->hp.v, MISSING + i * 4096, &v, 4, flags,
				    NULL) == VIOMMU_FAULTED)
			fetch_add(&m->faulted, 1);
	}
	if (took)
		fetch_add(&m->done, 1);
	fetch_sub(&m->inside, 1);
	return took;
}

static void parked_accesses_end(void (*stop)(struct machine *m))
{
	struct world_config wc = {
		.device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
	};
	struct machine m;
	struct world w;
	unsigned int i;

	wc.ops = (struct viommu_host_ops){ .ctx = &m, .page_request = park, .fault = fault };
	world_open(&w, &wc);
	world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	machine_open(&m, &w, WORKERS, read_missing);
	config_write(&m, 0x236, 1);
	config_write(&m, 0x226, 0x8000);
	config_write(&m, AT_PRI, 1);
	config_write(&m, AT_CMD, MASTER);
	fetch_add(&m.queued, WORKERS);
	for (i = 0; i < WORKERS; i++)
		viommu_pci_kick(m.pci);
	/* They join one group, or open more for the pages after. */
	while (load_acquire(&m.inside) < WORKERS || !viommu_device_open_requests(w.dev))
		sched_yield();
	stop(&m);
	assert_int_equal(viommu_device_open_requests(w.dev), 0);
	while (load_acquire(&m.done) < WORKERS)
		sched_yield();
	assert_in_range(m.faulted, WORKERS, WORKERS * PAGES);
	assert_int_equal(m.broken, 0);
	/* The next one asks again, once it may. */
	config_write(&m, AT_PRI, 1);
	config_write(&m, AT_CMD, MASTER);
	i = load_acquire(&m.parked);
	fetch_add(&m.queued, 1);
	viommu_pci_kick(m.pci);
	while (load_acquire(&m.parked) == i)
		sched_yield();
	viommu_pci_reset(m.pci);
	machine_close(&m);
	world_close(&w);
}

static void stop_flr(struct machine *m)
{
	config_write(m, AT_CTL, FLR);
	assert_int_equal(load_seqcst(&m->inside), 0);
	assert_int_equal(m->resets, 1);
}

static void stop_reset(struct machine *m)
{
	viommu_pci_reset(m->pci);
	assert_int_equal(load_seqcst(&m->inside), 0);
	assert_int_equal(m->resets, 1);
}

static void stop_master(struct machine *m)
{
	config_write(m, AT_CMD, 0);
	assert_int_equal(load_seqcst(&m->inside), 0);
	assert_int_equal(m->aborts, 1);
}

static void stop_pri(struct machine *m)
{
	config_write(m, AT_PRI, 0);
	assert_int_equal(m->aborts, 0);
}

static void a_function_level_reset_ends_accesses_that_wait_for_a_page(void **state)
{
	(void)state;
	parked_accesses_end(stop_flr);
}

static void the_vmms_reset_ends_accesses_that_wait_for_a_page(void **state)
{
	(void)state;
	parked_accesses_end(stop_reset);
}

static void bus_master_off_ends_accesses_that_wait_for_a_page(void **state)
{
	(void)state;
	parked_accesses_end(stop_master);
}

static void page_requests_off_end_accesses_that_wait_for_a_page(void **state)
{
	(void)state;
	parked_accesses_end(stop_pri);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_kick_is_lost_however_workers_go_to_sleep),
	cmocka_unit_test(no_kick_is_lost_when_more_threads_come_than_the_model_wants),
	cmocka_unit_test(no_worker_runs_during_a_reset_or_without_bus_mastering),
	cmocka_unit_test(another_vmm_is_told_nothing_of_the_one_before),
	cmocka_unit_test(a_function_level_reset_ends_accesses_that_wait_for_a_page),
	cmocka_unit_test(the_vmms_reset_ends_accesses_that_wait_for_a_page),
	cmocka_unit_test(bus_master_off_ends_accesses_that_wait_for_a_page),
	cmocka_unit_test(page_requests_off_end_accesses_that_wait_for_a_page),
};

TEST_MAIN(tests)
