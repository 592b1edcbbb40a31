/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu bench: how fast translation, DMA, invalidation and bind are, as ratios to what the machine
 * can do at the same moment. The goals have ids (P1 ...); docs/benchmarks.md says what each is.
 *
 * Exit status: CMD_OK also when a goal is missed (the table says so); CMD_FAILED when something
 * under test gave a wrong answer, so that no figure counts.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <viommu/version.h>

#include "bench.h"
#include "cmd.h"

/* From parse(): no exit status yet. */
#define GO_ON (-1)

static const struct group {
	const char *id;
	const char *what;
	void (*run)(struct bench *b);
} groups[] = {
	{ "P1", "hits", bench_hit },
	{ "P2", "other implementations (with --peer)", bench_peers },
	{ "P3", "warm misses", bench_miss },
	{ "P4", "cold misses", bench_cold },
	{ "P5", "batches", bench_batch },
	{ "P6", "DMA against memcpy", bench_copy },
	{ "P7", "invalidation", bench_invalidate },
	{ "P8", "two threads, and an invalidator", bench_threads },
	{ "P9", "memory", bench_memory },
	{ "P10", "page requests", bench_wakes },
	{ "BIND", "bind and unbind", bench_bind },
	{ "UNIT", "the unit that a guest programs, and a DSA device", bench_unit },
	{ "STATE", "dirty pages, and a board that is saved and restored", bench_state },
};

uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t bench_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* splitmix64 */
uint64_t bench_random(struct bench *b)
{
	uint64_t x = b->rng += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

bool bench_wants(const struct bench *b, const char *id)
{
	const char *p = b->only;
	size_t n = strlen(id);

	if (!p)
		return true;
	for (; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (!strncasecmp(p, id, n) && (!p[n] || p[n] == ','))
			return true;
	}
	return false;
}

void bench_progress(const struct bench *b, const char *what)
{
	(void)b;
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s", what);
	fflush(stderr);
}

void bench_wrong(struct bench *b, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "viommu bench: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	b->failed = true;
}

void *bench_alloc(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (!p)
		exit(cmd_error("bench", "out of memory"));
	memset(p, 0, bytes);
	return p;
}

static uint64_t proc_kib(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	unsigned long long v = 0;
	char line[256];
	size_t n = strlen(key);

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, n) && sscanf(line + n, " : %llu", &v) == 1)
			break;
		if (!strncmp(line, key, n) && sscanf(line + n, " %llu", &v) == 1)
			break;
	}
	fclose(f);
	return v;
}

uint64_t bench_available_memory(void)
{
	return proc_kib("/proc/meminfo", "MemAvailable:") * KIB;
}

static void first_line(const char *path, const char *key, char *out, size_t bytes)
{
	FILE *f = fopen(path, "r");
	char line[512];
	const char *p;

	snprintf(out, bytes, "?");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (key && strncmp(line, key, strlen(key)))
			continue;
		line[strcspn(line, "\n")] = 0;
		p = key ? strchr(line, ':') : line;
		if (p && key)
			p += strspn(p, ": \t");
		snprintf(out, bytes, "%.120s", p ? p : line);
		break;
	}
	fclose(f);
}

/* Ticks that this machine's processors were kept from it, and all ticks. */
static void steal(uint64_t *stolen, uint64_t *all)
{
	unsigned long long v[8] = { 0 };
	FILE *f = fopen("/proc/stat", "r");
	size_t i;

	*stolen = *all = 0;
	if (!f)
		return;
	if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		   &v[4], &v[5], &v[6], &v[7]) == 8) {
		*stolen = v[7];
		for (i = 0; i < 8; i++)
			*all += v[i];
	}
	fclose(f);
}

static void note_machine(struct bench *b)
{
	char model[128], thp[128], cache[3][128];
	struct utsname u;
	static const int index[] = { 0, 2, 3 };
	size_t i;

	first_line("/proc/cpuinfo", "model name", model, sizeof(model));
	first_line("/sys/kernel/mm/transparent_hugepage/enabled", NULL, thp, sizeof(thp));
	for (i = 0; i < ARRAY_SIZE(index); i++) {
		char path[80];

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size",
			 index[i]);
		first_line(path, NULL, cache[i], sizeof(cache[i]));
	}
	uname(&u);
	bench_note(b, "viommu", "%s, %s %s, %s", viommu_version(), u.sysname, u.release, u.machine);
	bench_note(b, "processor", "%.60s, %u processors; L1d %.8s, L2 %.8s, L3 %.8s", model,
		   bench_cpus(), cache[0], cache[1], cache[2]);
	bench_note(b, "memory", "%.1f GiB available; huge pages: %.60s",
		   (double)bench_available_memory() / (double)GIB, thp);
	bench_note(b, "method", "medians of %u rounds of 4 slices of %.2f ms: A B B A", b->rounds,
		   (double)b->slice_ns / 1e6);
	bench_note(b, "seed", "%llu", (unsigned long long)b->seed);
}

static void print_help(void)
{
	size_t i;

	printf("usage: viommu bench [OPTION...]\n\n"
	       "  --quick            fewer rounds and smaller memory: under 30 s\n"
	       "  --json             one JSON object instead of the table\n"
	       "  --only ID[,ID...]  these alone (CAL: the calibration)\n"
	       "  --seed N           of the random streams\n"
	       "  --peer NAME=SO     compare with another implementation, by an adapter\n"
	       "  --count WHAT N     do WHAT (translate, read64, invalidate) N times and print\n"
	       "                     nothing: for callgrind\n\n");
	for (i = 0; i < ARRAY_SIZE(groups); i++)
		printf("  %-5s %s\n", groups[i].id, groups[i].what);
}

static bool known_ids(const char *only)
{
	char *copy = strdup(only), *save, *id;
	bool good = copy && *copy;

	for (id = copy ? strtok_r(copy, ",", &save) : NULL; id; id = strtok_r(NULL, ",", &save)) {
		bool found = !strcasecmp(id, "CAL");
		size_t i;

		for (i = 0; i < ARRAY_SIZE(groups); i++)
			found |= !strcasecmp(id, groups[i].id);
		good &= found;
	}
	free(copy);
	return good;
}

static int run(struct bench *b)
{
	uint64_t s0, a0, s1, a1, t0 = bench_now();
	struct rusage r0, r1;
	size_t i;

	b->rng = b->seed;
	note_machine(b);
	steal(&s0, &a0);
	getrusage(RUSAGE_SELF, &r0);
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		if (!bench_wants(b, groups[i].id))
			continue;
		bench_calibrate(b);
		groups[i].run(b);
	}
	bench_calibrate(b);
	bench_calibration_rows(b);
	steal(&s1, &a1);
	getrusage(RUSAGE_SELF, &r1);
	bench_note(b, "noise", "%.2f %% of processor time stolen, %ld involuntary switches, %.1f s",
		   a1 > a0 ? 100.0 * (double)(s1 - s0) / (double)(a1 - a0) : 0.0,
		   r1.ru_nivcsw - r0.ru_nivcsw, (double)(bench_now() - t0) / 1e9);
	bench_progress(b, "");
	bench_report(b);
	return b->failed ? CMD_FAILED : CMD_OK;
}

/* The value of an option that takes one, NULL if argv has no more. */
static const char *value_of(int argc, char **argv, int *i)
{
	return *i + 1 < argc ? argv[++*i] : NULL;
}

static int count(int argc, char **argv, int i)
{
	const char *what = value_of(argc, argv, &i), *n = value_of(argc, argv, &i), *why;
	uint64_t v;

	if (!n)
		return cmd_usage("bench", "--count needs WHAT and N");
	if (!cmd_number(n, &v, &why))
		return cmd_usage("bench", "--count: '%s': %s", n, why);
	return bench_count(what, v);
}

/* CMD_*, or GO_ON. */
static int parse(struct bench *b, int argc, char **argv)
{
	const char *value, *why;
	int i, status;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			print_help();
			return CMD_OK;
		} else if (!strcmp(argv[i], "--quick")) {
			b->quick = true;
		} else if (!strcmp(argv[i], "--json")) {
			b->json = true;
		} else if (!strcmp(argv[i], "--only")) {
			value = value_of(argc, argv, &i);
			if (!value || !known_ids(value))
				return cmd_usage("bench", "--only: '%s' is no list of ids",
						 value ? value : "");
			b->only = value;
		} else if (!strcmp(argv[i], "--seed")) {
			value = value_of(argc, argv, &i);
			if (!value)
				return cmd_usage("bench", "--seed needs a number");
			if (!cmd_number(value, &b->seed, &why))
				return cmd_usage("bench", "--seed: '%s': %s", value, why);
		} else if (!strcmp(argv[i], "--peer")) {
			value = value_of(argc, argv, &i);
			if (!value)
				return cmd_usage("bench", "--peer needs NAME=ADAPTER.so");
			status = bench_peer_add(b, value);
			if (status != CMD_OK)
				return status;
		} else if (!strcmp(argv[i], "--count")) {
			return count(argc, argv, i);
		} else {
			return cmd_usage("bench", "unknown argument '%s'", argv[i]);
		}
	}
	return GO_ON;
}

int cmd_bench(int argc, char **argv)
{
	struct bench b = { 0 };
	int status;

	if (getrandom(&b.seed, 4, 0) < 0)
		b.seed = 1;
	status = parse(&b, argc, argv);
	if (status == GO_ON) {
		b.rounds = b.quick ? 31 : 101;
		b.slice_ns = b.quick ? 200000 : 500000;
		status = run(&b);
	}
	bench_peers_free(&b);
	return status;
}
