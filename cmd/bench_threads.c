/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads: does a second one disturb the first, does an invalidator disturb both (P8), how
 * long does a page request take that another thread answers (P10).
 *
 * Throughput is by the wall clock, less the time that a thread was ready to run and another process
 * (or the invalidator) had its processor, as /proc/thread-self/schedstat tells: time that a thread
 * waits for a lock counts.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <viommu/vtd.h>

#include "bench.h"
#include "cmd.h"

#define PAGES     512u
#define BASE      UINT64_C(0x7fde00000000)
#define SECTION   64u
#define PER_TICK  100u
#define MAX_TICKS 20u
#define TICK_NS   1000000u

/* Time this thread spent ready to run while its processor did something else. */
static uint64_t run_delay(void)
{
	unsigned long long ran, waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return waited;
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	int err = pthread_create(thread, NULL, run, arg);

	if (err)
		exit(cmd_error("bench", "thread: %s", strerror(err)));
}

struct team;

struct worker {
	struct team *team;
	unsigned int nr;
	pthread_t thread;
	struct viommu_dma *dma;
	struct stream stream;
	uint64_t passes; /* of the last run */
	uint64_t ns;
	uint64_t sum;
	uint64_t errors;
} __attribute__((aligned(128)));

struct team {
	struct vm vm;
	uint32_t pasid;
	uint32_t other; /* the PASID that is invalidated meanwhile */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* guarded by lock */
	uint64_t job;
	unsigned int wanted; /* bit i: worker i runs */
	unsigned int left;
	bool end;
	bool invalidate;
	uint64_t target; /* passes: who is there first ends the run for both */

	_Atomic unsigned int arrived;
	_Atomic bool stop;
	unsigned int alone; /* who runs when one does */
	struct worker worker[2];

	pthread_t invalidator;
	bool drain_each;
	uint64_t since; /* of this run of the invalidator, and its ticks */
	uint64_t ticks;
	uint64_t calls;
	uint64_t busy_ns;
	uint64_t active_ns;
	uint64_t errors;
};

static void work(struct worker *w, uint64_t target, unsigned int others)
{
	struct viommu_device *dev = w->team->vm.dev;
	uint32_t pasid = w->team->pasid;
	struct viommu_dma *dma = w->dma;
	uint64_t sum = 0, errors = 0, passes = 0, delay, t0;
	size_t i, j;

	atomic_fetch_add(&w->team->arrived, 1);
	while (atomic_load(&w->team->arrived) < others)
		if (bench_cpus() < 2)
			sched_yield();
	delay = run_delay();
	t0 = bench_now();
	while (!atomic_load_explicit(&w->team->stop, memory_order_relaxed)) {
		uint64_t salt = stream_salt(&w->stream);

		for (i = 0; i < STREAM; i += SECTION) {
			viommu_dma_begin(dma);
			for (j = i; j < i + SECTION; j++) {
				struct viommu_dma_span span;

				errors += viommu_dma_translate(dma, dev, pasid,
							       w->stream.addr[j] ^ salt,
							       VIOMMU_WRITE, &span) != 0;
				sum += (uintptr_t)span.host;
			}
			viommu_dma_end(dma);
		}
		if (++passes == target)
			atomic_store_explicit(&w->team->stop, true, memory_order_relaxed);
	}
	w->ns = bench_now() - t0;
	delay = run_delay() - delay;
	w->ns -= delay < w->ns ? delay : 0;
	w->passes = passes;
	w->sum += sum;
	w->errors += errors;
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct team *t = w->team;
	uint64_t seen = 0;

	bench_pin(w->nr);
	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (t->job == seen && !t->end)
			pthread_cond_wait(&t->cond, &t->lock);
		if (t->end)
			break;
		seen = t->job;
		if (t->wanted >> w->nr & 1) {
			uint64_t target = t->target;
			unsigned int others = (t->wanted & 1) + (t->wanted >> 1);

			pthread_mutex_unlock(&t->lock);
			work(w, target, others);
			pthread_mutex_lock(&t->lock);
			if (!--t->left)
				pthread_cond_broadcast(&t->cond);
		}
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* Time of n passes at the speed that all who run have together. */
static uint64_t team_run(struct team *t, unsigned int wanted, uint64_t n)
{
	double speed = 0;
	unsigned int i;

	pthread_mutex_lock(&t->lock);
	atomic_store(&t->arrived, 0);
	atomic_store(&t->stop, false);
	t->wanted = wanted;
	t->left = (wanted & 1) + (wanted >> 1);
	t->target = n;
	t->job++;
	pthread_cond_broadcast(&t->cond);
	while (t->left)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
	for (i = 0; i < 2; i++)
		if (wanted >> i & 1)
			speed += (double)t->worker[i].passes / (double)t->worker[i].ns;
	return (uint64_t)((double)n / speed);
}

static uint64_t run_alone(void *ctx, uint64_t n)
{
	struct team *t = ctx;

	t->alone ^= 1;
	return team_run(t, 1u << t->alone, n);
}

static uint64_t run_both(void *ctx, uint64_t n)
{
	return team_run(ctx, 3, n);
}

static uint64_t run_both_invalidated(void *ctx, uint64_t n)
{
	struct team *t = ctx;
	uint64_t t0, ns;

	pthread_mutex_lock(&t->lock);
	t->invalidate = true;
	t->since = t0 = bench_now();
	t->ticks = 0;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	ns = team_run(t, 3, n);
	pthread_mutex_lock(&t->lock);
	t->invalidate = false;
	t->active_ns += bench_now() - t0;
	pthread_mutex_unlock(&t->lock);
	return ns;
}

/*
 * A hundred each millisecond, asleep in between; what was due while another process had the
 * processor is made up for, but not endlessly.
 */
static void *invalidator_thread(void *arg)
{
	struct team *t = arg;
	struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = VIOMMU_INVALIDATE_PASID,
		.hp = { t->other },
	};

	pthread_mutex_lock(&t->lock);
	while (!t->end) {
		uint64_t cpu, ticks, i;
		bool each = t->drain_each;
		struct timespec at;

		if (!t->invalidate) {
			pthread_cond_wait(&t->cond, &t->lock);
			continue;
		}
		ticks = (bench_now() - t->since) / TICK_NS + 1 - t->ticks;
		t->ticks += ticks;
		pthread_mutex_unlock(&t->lock);
		cpu = bench_cpu();
		ticks = ticks < MAX_TICKS ? ticks : MAX_TICKS;
		inv.flags = each ? 0 : VIOMMU_INVALIDATE_NO_DRAIN;
		for (i = 0; i < ticks * PER_TICK; i++)
			t->errors += viommu_host_invalidate(t->vm.host, t->vm.dom, &inv) != 0;
		if (!each)
			viommu_host_drain(t->vm.host);
		cpu = bench_cpu() - cpu;
		pthread_mutex_lock(&t->lock);
		t->calls += ticks * PER_TICK;
		t->busy_ns += cpu;
		ticks = t->since + t->ticks * TICK_NS;
		pthread_mutex_unlock(&t->lock);
		at.tv_sec = (time_t)(ticks / 1000000000);
		at.tv_nsec = (long)(ticks % 1000000000);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void team_fresh(struct bench *b, void *ctx)
{
	struct team *t = ctx;

	stream_fill(b, &t->worker[0].stream, BASE, PAGES);
	stream_fill(b, &t->worker[1].stream, BASE, PAGES);
}

static void invalidated_row(struct bench *b, struct team *t, bool drain_each, const char *what,
			    enum goal kind)
{
	struct comparison c = {
		.subject = { run_both_invalidated, t, STREAM, 0 },
		.base = { run_both, t, STREAM, 0 },
		.fresh = team_fresh,
		.fresh_ctx = t,
		.speed = true,
		.slice_ns = 10000000,
		.rounds = 31,
	};
	struct figures f;
	char name[80];

	bench_progress(b, what);
	t->drain_each = drain_each;
	t->calls = t->busy_ns = t->active_ns = 0;
	bench_compare(b, &c, &f);
	snprintf(name, sizeof(name), "two threads, %s", what);
	bench_row_ratio(b, "P8", name, "undisturbed", &f, kind, 0.95);
	bench_note(b, "P8", "%s: %.0f a second, %.1f %% of one processor, taken out", what,
		   (double)t->calls / (double)t->active_ns * 1e9,
		   100 * (double)t->busy_ns / (double)t->active_ns);
}

void bench_threads(struct bench *b)
{
	const struct vm_config config = { .bytes = 16 * MIB };
	struct team *t = bench_alloc(sizeof(*t));
	struct comparison c = {
		.subject = { run_both, t, STREAM, 0 },
		.base = { run_alone, t, STREAM, 0 },
		.fresh = team_fresh,
		.fresh_ctx = t,
		.speed = true,
		.slice_ns = b->quick ? 1000000 : 2000000,
	};
	struct figures f;
	uint64_t root, i;

	if (bench_cpus() < 2) {
		bench_note(b, "P8", "left out: one processor");
		free(t);
		return;
	}
	bench_progress(b, "P8 two threads");
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
	vm_open(&t->vm, &config);
	root = vm_table(&t->vm);
	for (i = 0; i < PAGES; i++)
		vm_map(&t->vm, root, BASE + i * PAGE, i * PAGE, PAGE_LG2);
	t->pasid = vm_bind(&t->vm, root);
	t->other = vm_bind(&t->vm, root);
	for (i = 0; i < 2; i++) {
		struct worker *w = &t->worker[i];

		w->team = t;
		w->nr = (unsigned int)i;
		if (viommu_dma_new(t->vm.host, &w->dma))
			exit(cmd_error("bench", "out of memory"));
		start(&w->thread, worker_thread, w);
	}
	start(&t->invalidator, invalidator_thread, t);

	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P8", "hits, two threads", "one thread", &f, GOAL_AT_LEAST, 1.85);
	invalidated_row(b, t, false, "100,000 invalidations/s, drain each ms", GOAL_AT_LEAST);
	invalidated_row(b, t, true, "100,000 invalidations/s, drain each", GOAL_NONE);

	pthread_mutex_lock(&t->lock);
	t->end = true;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->invalidator, NULL);
	for (i = 0; i < 2; i++) {
		struct worker *w = &t->worker[i];

		pthread_join(w->thread, NULL);
		viommu_dma_free(w->dma);
		t->errors += w->errors;
		b->checksum ^= w->sum;
	}
	if (t->errors)
		bench_wrong(b, "P8: %llu calls failed", (unsigned long long)t->errors);
	vm_close(&t->vm);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- P10 ---- */

struct pager {
	struct vm vm;
	uint64_t root;
	uint32_t pasid;
	int wake;
	pthread_t thread;
	struct viommu_page_request req;
	uint64_t errors;
	uint64_t requests;
};

/* On the DMA thread: hand the request to the one who answers. */
static void page_request(void *ctx, struct viommu_device *dev,
			 const struct viommu_page_request *req)
{
	struct pager *p = ctx;
	uint64_t one = 1;

	(void)dev;
	p->req = *req;
	p->requests++;
	p->errors += write(p->wake, &one, sizeof(one)) != sizeof(one);
}

static void *pager_thread(void *arg)
{
	struct pager *p = arg;
	uint64_t v;

	bench_pin(1);
	while (read(p->wake, &v, sizeof(v)) == sizeof(v) && v == 1) {
		const struct viommu_page_response resp = {
			.size = sizeof(resp),
			.pasid = p->req.pasid,
			.prgi = p->req.prgi,
			.code = VIOMMU_RESPONSE_SUCCESS,
		};
		uint64_t *entry = vm_entry(&p->vm, p->root, p->req.addr, PAGE_LG2);

		__atomic_fetch_or(entry, VTD_MASK(VTD_FS_P), __ATOMIC_SEQ_CST);
		p->errors += viommu_host_page_response(p->vm.dev, &resp) != 0;
	}
	return NULL;
}

static uint64_t page_request_run(void *ctx, uint64_t n)
{
	struct pager *p = ctx;
	uint64_t *entry = vm_entry(&p->vm, p->root, BASE, PAGE_LG2), ns = 0, word;
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = VIOMMU_INVALIDATE_PASID,
		.hp = { p->pasid },
	};

	bench_pin(0);
	for (; n; n--) {
		uint64_t before = p->requests, t0;

		__atomic_fetch_and(entry, ~VTD_MASK(VTD_FS_P), __ATOMIC_SEQ_CST);
		p->errors += viommu_host_invalidate(p->vm.host, p->vm.dom, &inv) != 0;
		t0 = bench_now();
		p->errors += viommu_dma_read(p->vm.dma, p->vm.dev, p->pasid, BASE, &word, 8, 0,
					     NULL) != 0;
		ns += bench_now() - t0;
		p->errors += p->requests != before + 1;
	}
	bench_unpin();
	return ns;
}

void bench_wakes(struct bench *b)
{
	struct pager *p = bench_alloc(sizeof(*p));
	const struct vm_config config = {
		.bytes = 4 * MIB,
		.device_flags = VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
		.ops = { .ctx = p, .page_request = page_request },
	};
	struct echo *echo = echo_new();
	struct comparison c = {
		.subject = { page_request_run, p, 1, 0 },
		.base = { echo_run, echo, 1, 0 },
		.slice_ns = 2000000,
		.rounds = 31,
	};
	uint64_t end = 2;
	struct figures f;

	bench_progress(b, "P10 page requests");
	vm_open(&p->vm, &config);
	p->root = vm_table(&p->vm);
	vm_map(&p->vm, p->root, BASE, 0, PAGE_LG2);
	p->pasid = vm_bind(&p->vm, p->root);
	p->wake = eventfd(0, EFD_CLOEXEC);
	if (p->wake < 0)
		exit(cmd_error("bench", "eventfd: %s", strerror(errno)));
	start(&p->thread, pager_thread, p);
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "P10", "page request answered by a thread", "eventfd round trip", &f,
			GOAL_AT_MOST, 1.15);
	if (write(p->wake, &end, sizeof(end)) == sizeof(end))
		pthread_join(p->thread, NULL);
	close(p->wake);
	if (p->errors)
		bench_wrong(b, "P10: %llu calls failed", (unsigned long long)p->errors);
	vm_close(&p->vm);
	echo_free(echo);
	free(p);
}
