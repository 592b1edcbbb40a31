/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What everything is compared with, each written as a careful programmer would: a probe of a hash
 * table in L1, a pointer chase, memcpy, a fence, an atomic, a round trip between two threads. Also
 * the calibration: the same things through the whole run, a few rounds between the groups.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "cmd.h"

void stream_fill(struct bench *b, struct stream *s, uint64_t base, uint64_t pages)
{
	size_t i;

	for (i = 0; i < STREAM; i++) {
		uint64_t r = bench_random(b);

		s->addr[i] = base + (r % pages << PAGE_LG2) + (r >> 40 & (PAGE - 8));
	}
	s->salt_mask = (pages - 1) << PAGE_LG2;
	s->rng = bench_random(b) | 1;
}

void probe_init(struct probe *p, struct stream *s)
{
	size_t i;

	memset(p, 0, sizeof(*p));
	p->stream = s;
	for (i = 0; i < PROBES; i++)
		p->entry[i].page = UINT64_MAX;
}

/* The page's low bits are the index: no multiplication, no shift for the size of an entry. */
static inline struct probe_entry *probe_entry(struct probe *p, uint64_t addr)
{
	uint64_t off = addr >> (PAGE_LG2 - PROBE_LG2) & ((PROBES - 1) << PROBE_LG2);

	return (struct probe_entry *)(void *)((uint8_t *)p->entry + off);
}

void probe_add(struct probe *p, uint64_t addr, void *host)
{
	struct probe_entry *e = probe_entry(p, addr);

	e->page = addr >> PAGE_LG2;
	e->host = (uintptr_t)host;
}

uint64_t probe_run_independent(void *ctx, uint64_t passes)
{
	struct probe *p = ctx;
	struct stream *s = p->stream;
	uint64_t t0 = bench_cpu(), sum = 0;

	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM; i++) {
			uint64_t addr = s->addr[i] ^ salt;
			struct probe_entry *e = probe_entry(p, addr);

			if (__builtin_expect(e->page == addr >> PAGE_LG2, 1))
				sum += e->host + (addr & (PAGE - 1));
			else
				p->misses++;
		}
	}
	p->sum += sum;
	return bench_cpu() - t0;
}

uint64_t probe_run_dependent(void *ctx, uint64_t passes)
{
	struct probe *p = ctx;
	struct stream *s = p->stream;
	uint64_t t0 = bench_cpu(), zero = p->zero, found = 0;

	OPAQUE(zero);
	for (; passes; passes--) {
		uint64_t salt = stream_salt(s);
		size_t i;

		for (i = 0; i < STREAM; i++) {
			uint64_t addr = s->addr[i] ^ salt ^ (found & zero);
			struct probe_entry *e = probe_entry(p, addr);

			if (__builtin_expect(e->page == addr >> PAGE_LG2, 1))
				found = e->host + (addr & (PAGE - 1));
			else
				p->misses++;
		}
	}
	p->sum += found;
	return bench_cpu() - t0;
}

/* The full cycle of a linear congruential generator: random to a prefetcher, quick to lay out. */
void chase_init(struct bench *b, struct chase *c, void *mem, uint64_t bytes)
{
	uint64_t n = bytes / 64, i, add = bench_random(b) | 1;
	uint64_t mul = (bench_random(b) & 0xfffff8) | 0x5000005;
	uint8_t *p = mem;

	for (i = 0; i < n; i++)
		*(void **)(void *)(p + i * 64) = p + (mul * i + add) % n * 64;
	c->at = mem;
	c->lines = n;
}

uint64_t chase_run(void *ctx, uint64_t units)
{
	struct chase *c = ctx;
	void **at = c->at;
	uint64_t t0 = bench_cpu(), i;

	for (i = 0; i < units * CHASE_UNIT; i++)
		at = *at;
	OPAQUE(at);
	c->at = at;
	return bench_cpu() - t0;
}

/* ---- Threads ---- */

static cpu_set_t allowed;
static int nr_allowed;

unsigned int bench_cpus(void)
{
	if (!nr_allowed) {
		sched_getaffinity(0, sizeof(allowed), &allowed);
		nr_allowed = CPU_COUNT(&allowed);
	}
	return (unsigned int)nr_allowed;
}

void bench_pin(unsigned int cpu)
{
	unsigned int i, left = cpu % bench_cpus();
	cpu_set_t set;

	for (i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &allowed) && !left--)
			break;
	}
	CPU_ZERO(&set);
	CPU_SET(i, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

void bench_unpin(void)
{
	bench_cpus();
	pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
}

struct echo {
	int to;
	int back;
	pthread_t thread;
};

static void *echo_thread(void *arg)
{
	struct echo *e = arg;
	uint64_t v;

	bench_pin(1);
	for (;;) {
		if (read(e->to, &v, sizeof(v)) != sizeof(v) || v > 1)
			return NULL;
		if (write(e->back, &v, sizeof(v)) != sizeof(v))
			return NULL;
	}
}

struct echo *echo_new(void)
{
	struct echo *e = bench_alloc(sizeof(*e));

	e->to = eventfd(0, EFD_CLOEXEC);
	e->back = eventfd(0, EFD_CLOEXEC);
	if (e->to < 0 || e->back < 0 || pthread_create(&e->thread, NULL, echo_thread, e)) {
		cmd_error("bench", "eventfd or thread: %s", strerror(errno));
		exit(CMD_FAILED);
	}
	return e;
}

void echo_free(struct echo *e)
{
	uint64_t end = 2;

	if (!e || write(e->to, &end, sizeof(end)) != sizeof(end))
		return;
	pthread_join(e->thread, NULL);
	close(e->to);
	close(e->back);
	free(e);
}

uint64_t echo_run(void *ctx, uint64_t n)
{
	struct echo *e = ctx;
	uint64_t t0, v = 1;

	bench_pin(0);
	t0 = bench_now();
	for (; n; n--) {
		if (write(e->to, &v, sizeof(v)) != sizeof(v) ||
		    read(e->back, &v, sizeof(v)) != sizeof(v))
			exit(cmd_error("bench", "eventfd: %s", strerror(errno)));
	}
	t0 = bench_now() - t0;
	bench_unpin();
	return t0;
}

/* ---- Calibration ---- */

#define SAMPLES 256

struct copies {
	uint8_t *to;
	uint8_t *from;
	uint64_t bytes;
	uint64_t from_mask; /* of offsets into from */
	uint64_t to_mask;
	uint64_t at;
};

/* Hot: a few places in turn. Cold: a stride that comes back only when all was visited. */
static uint64_t copies_run(void *ctx, uint64_t n)
{
	struct copies *c = ctx;
	uint64_t t0 = bench_cpu(), bytes = c->bytes;

	OPAQUE(bytes);
	for (; n; n--) {
		memcpy(c->to + (c->at & c->to_mask), c->from + (c->at & c->from_mask), bytes);
		CLOBBER();
		c->at += UINT64_C(0x9e3779b1) * bytes;
	}
	return bench_cpu() - t0;
}

static uint64_t fence_run(void *ctx, uint64_t n)
{
	uint64_t t0 = bench_cpu();

	(void)ctx;
	for (; n; n--)
		atomic_thread_fence(memory_order_seq_cst);
	return bench_cpu() - t0;
}

static uint64_t atomic_run(void *ctx, uint64_t n)
{
	uint64_t t0 = bench_cpu();

	for (; n; n--)
		__atomic_fetch_add((uint64_t *)ctx, 1, __ATOMIC_SEQ_CST);
	return bench_cpu() - t0;
}

static uint64_t clock_run(void *ctx, uint64_t n)
{
	uint64_t t0 = bench_cpu(), sum = 0;

	for (; n; n--)
		sum += bench_now();
	*(uint64_t *)ctx += sum;
	return bench_cpu() - t0;
}

static struct calibration {
	bool ready;
	struct stream stream;
	struct probe *probe;
	struct chase chase[4];
	struct copies copies[5];
	uint64_t word;
	struct item {
		const char *name;
		struct side side;
		uint64_t units;
		uint64_t warm;
		size_t nr;
		double ns[SAMPLES];
	} item[16];
	size_t items;
} cal;

static struct item *item_add(const char *name, uint64_t (*run)(void *, uint64_t), void *ctx,
			     double per_unit)
{
	struct item *it = &cal.item[cal.items++];

	it->name = name;
	it->side = (struct side){ .run = run, .ctx = ctx, .per_unit = per_unit };
	return it;
}

static void calibration_init(struct bench *b)
{
	const struct {
		const char *name;
		uint64_t bytes;
	} levels[] = {
		{ "chase, L1 (16 KiB)", 16 * KIB },
		{ "chase, L2 (512 KiB)", 512 * KIB },
		{ "chase, L3 (8 MiB)", 8 * MIB },
		{ "chase, DRAM", b->quick ? 256 * MIB : 512 * MIB },
	};
	const uint64_t cold_bytes = b->quick ? 128 * MIB : 512 * MIB;
	const struct {
		const char *name;
		uint64_t bytes, from, to;
	} sizes[] = {
		{ "memcpy 64 B, hot", 64, 16 * KIB, 4 * KIB },
		{ "memcpy 4 KiB, hot", 4 * KIB, 16 * KIB, 4 * KIB },
		{ "memcpy 64 KiB, hot", 64 * KIB, 256 * KIB, 64 * KIB },
		{ "memcpy 4 KiB, cold", 4 * KIB, cold_bytes, cold_bytes },
		{ "memcpy 64 KiB, cold", 64 * KIB, cold_bytes, cold_bytes },
	};
	void *map;
	uint64_t map_bytes, i;
	uint8_t *far, *near;
	struct item *it;

	cal.probe = bench_alloc(sizeof(*cal.probe));
	stream_fill(b, &cal.stream, 0x10000000, 512);
	probe_init(cal.probe, &cal.stream);
	for (i = 0; i < 512; i++)
		probe_add(cal.probe, 0x10000000 + i * PAGE, &cal);
	item_add("hash probe in L1, independent", probe_run_independent, cal.probe, STREAM);
	item_add("hash probe in L1, dependent", probe_run_dependent, cal.probe, STREAM);
	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		chase_init(b, &cal.chase[i], vm_map_memory(levels[i].bytes, &map, &map_bytes),
			   levels[i].bytes);
		it = item_add(levels[i].name, chase_run, &cal.chase[i], CHASE_UNIT);
		if (levels[i].bytes <= 8 * MIB)
			it->warm = 2 * levels[i].bytes / 64 / CHASE_UNIT;
	}
	near = vm_map_memory(2 * MIB, &map, &map_bytes);
	memset(near, 1, 2 * MIB);
	far = vm_map_memory(2 * cold_bytes, &map, &map_bytes);
	memset(far, 1, 2 * cold_bytes);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bool cold = sizes[i].from > MIB;

		cal.copies[i] = (struct copies){
			.from = cold ? far : near,
			.to = cold ? far + cold_bytes : near + MIB,
			.bytes = sizes[i].bytes,
			.from_mask = sizes[i].from - sizes[i].bytes,
			.to_mask = sizes[i].to - sizes[i].bytes,
		};
		item_add(sizes[i].name, copies_run, &cal.copies[i], 1);
	}
	item_add("fence", fence_run, NULL, 1);
	item_add("atomic add, uncontended", atomic_run, &cal.word, 1);
	item_add("clock_gettime", clock_run, &cal.word, 1);
	item_add("eventfd round trip", echo_run, echo_new(), 1);
	cal.ready = true;
}

/* What takes 0.1 ms at the best speed seen. */
static uint64_t units(const struct side *s)
{
	uint64_t n = 1, ns, best = UINT64_MAX;
	int i;

	while (s->run(s->ctx, n) < 20000)
		n *= 2;
	for (i = 0; i < 3; i++) {
		ns = s->run(s->ctx, n);
		best = ns < best ? ns : best;
	}
	return n * 100000 / best + 1;
}

void bench_calibrate(struct bench *b)
{
	size_t i, round;

	if (!bench_wants(b, "CAL"))
		return;
	bench_progress(b, "calibration");
	if (!cal.ready)
		calibration_init(b);
	stream_fill(b, &cal.stream, 0x10000000, 512);
	for (i = 0; i < cal.items; i++) {
		struct item *it = &cal.item[i];

		/* What was measured before left its lines in the caches. */
		if (it->warm)
			it->side.run(it->side.ctx, it->warm);
		it->units = units(&it->side);
		for (round = 0; round < 4; round++) {
			uint64_t ns;

			if (it->nr == SAMPLES)
				continue;
			ns = it->side.run(it->side.ctx, it->units);
			it->ns[it->nr++] = (double)ns / ((double)it->units * it->side.per_unit);
		}
	}
}

void bench_calibration_rows(struct bench *b)
{
	size_t i;

	for (i = 0; i < cal.items; i++) {
		struct item *it = &cal.item[i];
		double p10, p90;

		if (!it->nr)
			continue;
		p10 = bench_percentile(it->ns, it->nr, 0.1);
		p90 = bench_percentile(it->ns, it->nr, 0.9);
		bench_row(b,
			  &(struct row){
				  .id = "CAL",
				  .value = bench_percentile(it->ns, it->nr, 0.5),
				  .unit = "ns",
			  },
			  "%s (%.3g..%.3g)", it->name, p10, p90);
	}
	if (cal.probe && cal.probe->misses)
		bench_wrong(b, "the hash probe missed");
}
