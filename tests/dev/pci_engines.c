/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Engines that several functions share. Without threads: a model's run calls the engines again, as
 * another thread would that comes while this one works. And with threads.
 */
#include <pthread.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "dev/toy.h"
#include <viommu/dsa.h>

#define FUNCTIONS 4u

struct pool;

struct fn {
	struct viommu_pci *pci;
	struct rig *rig;
	struct pool *pool;
	uint32_t work;   /* pieces that wait; atomic */
	uint32_t runs;   /* pieces that were done; atomic */
	uint32_t inside; /* atomic */
	uint32_t most;   /* that was inside; atomic */
};

struct rig {
	struct viommu_pci_engines *engines;
	unsigned int nr;
	struct fn fn[FUNCTIONS];
	unsigned int depth, most; /* threads that come while others work */
	char order[64];           /* who ran, one after the other */
	unsigned int ran;
	void (*in_run)(struct rig *r, struct fn *f);
	pthread_t thread;
};

static bool take(uint32_t *count)
{
	uint32_t n = load_seqcst(count);

	while (n && !cmpxchg_weak(count, &n, n - 1))
		;
	return n;
}

static int fn_run(void *ctx, struct viommu_dma *dma)
{
	struct fn *f = ctx;
	uint32_t inside;

	(void)dma;
	if (!take(&f->work))
		return 0;
	inside = fetch_add(&f->inside, 1) + 1;
	if (inside > load_relaxed(&f->most))
		store_relaxed(&f->most, inside);
	if (f->rig && f->rig->ran < sizeof(f->rig->order) - 1)
		f->rig->order[f->rig->ran++] = (char)('a' + (f - f->rig->fn));
	if (f->rig && f->rig->in_run)
		f->rig->in_run(f->rig, f);
	fetch_sub(&f->inside, 1);
	fetch_add(&f->runs, 1);
	return 1;
}

static void fn_new(struct fn *f)
{
	const struct viommu_pci_config config = {
		.size = sizeof(config),
		.class_code = 0x088000,
		.bar = { { .bytes = 4096 } },
		.workers = 16,
		.ops = { .ctx = f, .run = fn_run },
	};
	uint8_t master[2] = { CMD_MEMORY | CMD_MASTER, 0 };

	assert_int_equal(viommu_pci_new(&config, &f->pci, NULL), 0);
	assert_int_equal(viommu_pci_config_write(f->pci, AT_COMMAND, master, 2), 0);
}

static void rig_open(struct rig *r, unsigned int engines, unsigned int functions)
{
	unsigned int i;

	memset(r, 0, sizeof(*r));
	r->nr = functions;
	assert_int_equal(viommu_pci_engines_new(engines, functions, &r->engines), 0);
	for (i = 0; i < functions; i++) {
		r->fn[i].rig = r;
		fn_new(&r->fn[i]);
		assert_int_equal(viommu_pci_engines_add(r->engines, r->fn[i].pci), 0);
	}
}

static void rig_close(struct rig *r)
{
	unsigned int i;

	for (i = 0; i < r->nr; i++) {
		viommu_pci_reset(r->fn[i].pci);
		assert_int_equal(viommu_pci_engines_remove(r->engines, r->fn[i].pci), 0);
		viommu_pci_free(r->fn[i].pci);
	}
	viommu_pci_engines_free(r->engines);
}

static int run(struct rig *r)
{
	return viommu_pci_engines_run(r->engines, NULL);
}

static void each_function_has_an_engine_or_there_are_none(void **state)
{
	static const unsigned int bad[][2] = {
		{ 1, 0 }, { 1, 2 }, { 17, 2 }, { 17, 17 }, { 0, 0 }
	};
	struct viommu_pci_engines *e;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e = (void *)1;
		assert_int_equal(viommu_pci_engines_new(bad[i][0], bad[i][1], &e), -EINVAL);
		assert_null(e);
	}
	assert_int_equal(viommu_pci_engines_new(16, 3, &e), 0);
	assert_int_equal(viommu_pci_engines_count(e), 16);
	assert_int_equal(viommu_pci_engines_most(e), 14);
	viommu_pci_engines_free(e);
	viommu_pci_engines_free(NULL);
	viommu__alloc_fail_nth(1);
	assert_int_equal(viommu_pci_engines_new(2, 2, &e), -ENOMEM);
	assert_true(viommu__alloc_fail_done());
}

static void functions_have_their_turns(void **state)
{
	struct rig r;
	unsigned int i;

	(void)state;
	rig_open(&r, 3, 3);
	assert_int_equal(run(&r), 0);
	r.fn[0].work = 100;
	r.fn[1].work = 5;
	r.fn[2].work = 5;
	for (i = 0; i < 15; i++)
		assert_int_equal(run(&r), 1);
	/* Whoever is first: none is a turn ahead. */
	assert_int_equal(r.fn[0].runs, 5);
	assert_int_equal(r.fn[1].runs, 5);
	assert_int_equal(r.fn[2].runs, 5);
	for (i = 3; i < 15; i++)
		assert_int_equal(r.order[i], r.order[i - 3]);
	assert_int_equal(run(&r), 1);
	assert_int_equal(r.fn[0].runs, 6);
	rig_close(&r);
}

/* A thread more, while there is one that finds something. */
static void more_threads(struct rig *r, struct fn *f)
{
	(void)f;
	if (++r->depth > r->most)
		r->most = r->depth;
	if (r->depth < 16)
		run(r);
	r->depth--;
}

static void one_function_leaves_an_engine_for_each_other(void **state)
{
	static const struct {
		unsigned int engines, functions;
	} c[] = { { 4, 2 }, { 4, 4 }, { 1, 1 }, { 16, 3 }, { 2, 2 } };
	unsigned int i, j;
	struct rig r;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		rig_open(&r, c[i].engines, c[i].functions);
		r.in_run = more_threads;
		r.fn[0].work = 1000;
		assert_int_equal(run(&r), 1);
		assert_int_equal(r.fn[0].most, c[i].engines - c[i].functions + 1);
		assert_int_equal(r.fn[0].most, viommu_pci_engines_most(r.engines));
		assert_int_equal(r.most, r.fn[0].most);
		/* All of them busy: none idles for the sake of one that has its own. */
		r.most = 0;
		for (j = 0; j < c[i].functions; j++)
			r.fn[j].work = 1000;
		assert_int_equal(run(&r), 1);
		assert_int_equal(r.most, c[i].engines);
		for (j = 1; j < c[i].functions; j++)
			assert_true(r.fn[j].most >= 1);
		rig_close(&r);
	}
}

/* The last comes when the others have all that they may have. */
static void late(struct rig *r, struct fn *f)
{
	struct fn *last = &r->fn[r->nr - 1];

	if (f == last)
		return;
	if (++r->depth < 16)
		run(r);
	if (!r->most) {
		/* Nothing more was to be had for them. */
		r->most = r->fn[0].inside + r->fn[1].inside;
		last->work = 1;
		assert_int_equal(run(r), 1);
		assert_int_equal(last->runs, 1);
		/* And it has no second. */
	}
	r->depth--;
}

static void who_comes_late_has_an_engine_at_once(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 5, 3);
	r.in_run = late;
	r.fn[0].work = 1000;
	r.fn[1].work = 1000;
	assert_int_equal(run(&r), 1);
	assert_int_equal(r.most, 4);
	rig_close(&r);
}

static void functions_come_and_go(void **state)
{
	struct fn more = { 0 };
	struct rig r;

	(void)state;
	rig_open(&r, 3, 3);
	fn_new(&more);
	assert_int_equal(viommu_pci_engines_add(r.engines, r.fn[1].pci), -EEXIST);
	assert_int_equal(viommu_pci_engines_add(r.engines, more.pci), -ENOSPC);
	assert_int_equal(viommu_pci_engines_remove(r.engines, more.pci), -ENOENT);
	assert_int_equal(viommu_pci_engines_remove(r.engines, r.fn[1].pci), 0);
	r.fn[0].work = r.fn[1].work = 1;
	while (run(&r))
		;
	assert_int_equal(r.fn[0].runs, 1);
	assert_int_equal(r.fn[1].runs, 0);
	/* Its place is free, and it is still one that an engine is kept for. */
	more.work = 1;
	assert_int_equal(viommu_pci_engines_add(r.engines, more.pci), 0);
	while (run(&r))
		;
	assert_int_equal(more.runs, 1);
	assert_int_equal(viommu_pci_engines_remove(r.engines, more.pci), 0);
	assert_int_equal(viommu_pci_engines_add(r.engines, r.fn[1].pci), 0);
	viommu_pci_free(more.pci);
	rig_close(&r);
}

static void *remover(void *arg)
{
	struct fn *f = arg;

	return (void *)(intptr_t)viommu_pci_engines_remove(f->rig->engines, f->pci);
}

/* While one runs it, another removes it: from then on nobody begins, and it is still there. */
static void removed_inside(struct rig *r, struct fn *f)
{
	r->in_run = NULL;
	assert_int_equal(pthread_create(&r->thread, NULL, remover, f), 0);
	do
		store_seqcst(&f->work, 100);
	while (run(r));
	assert_int_equal(viommu_pci_engines_add(r->engines, f->pci), -EEXIST);
	r->most = 1;
}

static void who_removes_a_function_waits_until_nobody_is_inside(void **state)
{
	struct rig r;
	void *ret;

	(void)state;
	rig_open(&r, 3, 2);
	r.in_run = removed_inside;
	r.fn[0].work = 1;
	assert_int_equal(run(&r), 1);
	assert_int_equal(r.most, 1);
	assert_int_equal(pthread_join(r.thread, &ret), 0);
	assert_null(ret);
	assert_int_equal(viommu_pci_engines_add(r.engines, r.fn[0].pci), 0);
	rig_close(&r);
}

static void a_function_that_is_reset_holds_nobody_up(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 2, 2);
	r.fn[0].work = r.fn[1].work = 3;
	viommu_pci_reset(r.fn[0].pci);
	while (run(&r))
		;
	assert_int_equal(r.fn[0].runs, 0);
	assert_int_equal(r.fn[1].runs, 3);
	rig_close(&r);
}

/* ---- Threads, that sleep as those of the server do ---- */

struct pool {
	struct viommu_pci_engines *engines;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	uint64_t kicks; /* atomic */
	uint32_t stop;  /* atomic */
};

static void pool_kick(void *ctx)
{
	struct fn *f = ctx;

	fetch_add(&f->pool->kicks, 1);
	pthread_mutex_lock(&f->pool->lock);
	pthread_cond_signal(&f->pool->cond);
	pthread_mutex_unlock(&f->pool->lock);
}

static void *pool_thread(void *arg)
{
	struct pool *p = arg;
	uint64_t seen;

	while (!load_acquire(&p->stop)) {
		seen = load_seqcst(&p->kicks);
		while (viommu_pci_engines_run(p->engines, NULL))
			;
		pthread_mutex_lock(&p->lock);
		while (load_seqcst(&p->kicks) == seen && !load_acquire(&p->stop))
			pthread_cond_wait(&p->cond, &p->lock);
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

struct feeder {
	struct fn *f;
	uint64_t pieces;
};

/* Pieces one by one, in bursts; waits for all of them now and then: none may be left lying. */
static void *feed(void *arg)
{
	struct feeder *d = arg;
	uint64_t i;

	for (i = 1; i <= d->pieces; i++) {
		fetch_add(&d->f->work, 1);
		viommu_pci_kick(d->f->pci);
		while (i % 7 == 0 && load_acquire(&d->f->runs) < i)
			sched_yield();
	}
	while (load_acquire(&d->f->runs) < d->pieces)
		sched_yield();
	return NULL;
}

static void threads_leave_no_work_lying(void **state)
{
	pthread_t worker[5], feeder[3];
	struct feeder d[3];
	struct fn fn[3] = { { 0 } };
	struct pool p = { 0 };
	unsigned int i;

	(void)state;
	pthread_mutex_init(&p.lock, NULL);
	pthread_cond_init(&p.cond, NULL);
	assert_int_equal(viommu_pci_engines_new(5, 3, &p.engines), 0);
	for (i = 0; i < 3; i++) {
		const struct viommu_pci_vmm vmm = { .ctx = &fn[i], .kick = pool_kick };

		fn[i].pool = &p;
		fn_new(&fn[i]);
		viommu_pci_set_vmm(fn[i].pci, &vmm);
		assert_int_equal(viommu_pci_engines_add(p.engines, fn[i].pci), 0);
	}
	for (i = 0; i < 5; i++)
		assert_int_equal(pthread_create(&worker[i], NULL, pool_thread, &p), 0);
	for (i = 0; i < 3; i++) {
		d[i] = (struct feeder){ .f = &fn[i], .pieces = test_scale(3000) };
		assert_int_equal(pthread_create(&feeder[i], NULL, feed, &d[i]), 0);
	}
	for (i = 0; i < 3; i++)
		pthread_join(feeder[i], NULL);
	for (i = 0; i < 3; i++) {
		viommu_pci_reset(fn[i].pci);
		assert_int_equal(viommu_pci_engines_remove(p.engines, fn[i].pci), 0);
		assert_int_equal(fn[i].runs, d[i].pieces);
		assert_true(fn[i].most <= 3);
	}
	store_release(&p.stop, 1);
	pthread_mutex_lock(&p.lock);
	pthread_cond_broadcast(&p.cond);
	pthread_mutex_unlock(&p.lock);
	for (i = 0; i < 5; i++)
		pthread_join(worker[i], NULL);
	for (i = 0; i < 3; i++)
		viommu_pci_free(fn[i].pci);
	viommu_pci_engines_free(p.engines);
	pthread_cond_destroy(&p.cond);
	pthread_mutex_destroy(&p.lock);
}

/* ---- An accelerator's queues and entries ---- */

static unsigned int wqcap(struct viommu_dsa *dsa, unsigned int hi, unsigned int lo)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(viommu_dsa_pci(dsa), 0, 0x20, 8, &v), 0);
	return v >> lo & ((1u << (hi - lo + 1)) - 1);
}

#define QUEUES(dsa)  wqcap(dsa, 23, 16)
#define ENTRIES(dsa) wqcap(dsa, 15, 0)

static void an_accelerator_is_divided(void **state)
{
	const struct viommu_dsa_hw_config hc = { .size = sizeof(hc), .functions = 3 };
	struct viommu_dsa_config c = { .size = sizeof(c) };
	struct viommu_dsa *dsa[3], *more;
	struct viommu_dsa_hw *hw;
	unsigned int i;

	(void)state;
	assert_int_equal(viommu_dsa_hw_new(&hc, &hw), 0);
	assert_int_equal(viommu_pci_engines_count(viommu_dsa_hw_engines(hw)), 4);
	c.hw = hw;
	for (i = 0; i < 2; i++) {
		assert_int_equal(viommu_dsa_new(&c, &dsa[i]), 0);
		/* Of 8, of 128, of 4 engines. */
		assert_int_equal(QUEUES(dsa[i]), 2);
		assert_int_equal(ENTRIES(dsa[i]), 42);
		assert_int_equal(viommu_pci_config(viommu_dsa_pci(dsa[i]))->workers, 2);
		/* Portals as of the whole, so that a firmware places all VMs' alike. */
		assert_int_equal(viommu_pci_config(viommu_dsa_pci(dsa[i]))->bar[2].bytes, 0x20000);
	}
	/* What is left is 4 queues and 44 entries, and two engines at once are the most. */
	c.queues = 5;
	assert_int_equal(viommu_dsa_new(&c, &more), -ENOSPC);
	assert_null(more);
	c.queues = 4;
	c.entries = 45;
	assert_int_equal(viommu_dsa_new(&c, &more), -ENOSPC);
	c.entries = 44;
	c.engines = 3;
	assert_int_equal(viommu_dsa_new(&c, &more), -EINVAL);
	c.engines = 1;
	assert_int_equal(viommu_dsa_new(&c, &dsa[2]), 0);
	assert_int_equal(QUEUES(dsa[2]), 4);
	c = (struct viommu_dsa_config){ .size = sizeof(c), .queues = 1, .entries = 1, .hw = hw };
	assert_int_equal(viommu_dsa_new(&c, &more), -ENOSPC);
	/* Given back, it is there for the next. */
	viommu_dsa_free(dsa[0]);
	assert_int_equal(viommu_dsa_new(&c, &dsa[0]), 0);
	for (i = 0; i < 3; i++)
		viommu_dsa_free(dsa[i]);
	viommu_dsa_hw_free(hw);
	viommu_dsa_hw_free(NULL);
}

static void an_accelerator_that_has_too_little_is_refused(void **state)
{
	static const struct viommu_dsa_hw_config good = { .size = sizeof(good), .functions = 2 };
	struct viommu_dsa_hw_config bad[10];
	struct viommu_dsa_hw *hw;
	unsigned int i;

	(void)state;
	for (i = 0; i < 10; i++)
		bad[i] = good;
	bad[0].size--;
	bad[1].functions = 0;
	bad[2].functions = 17;
	bad[3].queues = 1;
	bad[4].queues = 65;
	bad[5].engines = 1;
	bad[6].engines = 17;
	bad[7].entries = 1;
	bad[8].entries = 1025;
	bad[9].reserved = 1;
	for (i = 0; i < 10; i++) {
		hw = (void *)1;
		assert_int_equal(viommu_dsa_hw_new(&bad[i], &hw), -EINVAL);
		assert_null(hw);
	}
}

static void every_allocation_may_fail_once(void **state)
{
	const struct viommu_dsa_hw_config hc = { .size = sizeof(hc), .functions = 2 };
	struct viommu_dsa_config c = { .size = sizeof(c) };
	long n, live = viommu__alloc_live();
	struct viommu_dsa *dsa;
	struct viommu_dsa_hw *hw;
	int err, done;

	(void)state;
	for (n = 1;; n++) {
		dsa = NULL;
		viommu__alloc_fail_nth(n);
		err = viommu_dsa_hw_new(&hc, &hw);
		c.hw = hw;
		if (!err)
			err = viommu_dsa_new(&c, &dsa);
		done = !viommu__alloc_fail_done();
		assert_int_equal(err, done ? 0 : -ENOMEM);
		viommu_dsa_free(dsa);
		viommu_dsa_hw_free(hw);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 4);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_function_has_an_engine_or_there_are_none),
	cmocka_unit_test(functions_have_their_turns),
	cmocka_unit_test(one_function_leaves_an_engine_for_each_other),
	cmocka_unit_test(who_comes_late_has_an_engine_at_once),
	cmocka_unit_test(functions_come_and_go),
	cmocka_unit_test(who_removes_a_function_waits_until_nobody_is_inside),
	cmocka_unit_test(a_function_that_is_reset_holds_nobody_up),
	cmocka_unit_test(threads_leave_no_work_lying),
	cmocka_unit_test(an_accelerator_is_divided),
	cmocka_unit_test(an_accelerator_that_has_too_little_is_refused),
	cmocka_unit_test(every_allocation_may_fail_once),
};

TEST_MAIN(tests)
