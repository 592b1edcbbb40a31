/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of `viommu bench` share.
 *
 *	bench.c            options, the order of the groups, machine
 *	bench_measure.c    two things measured alternately: rounds, slices, medians
 *	bench_report.c     rows, as a table or JSON
 *	bench_vm.c         a VM: guest memory, page tables, a host, a device, binds
 *	bench_probe.c      what everything is compared with: probes, chases, memcpy, wake-ups
 *	bench_translate.c  P1, P3, P4 and the counted loops for callgrind
 *	bench_dma.c        P5, P6
 *	bench_host.c       P7, P9, bind and unbind
 *	bench_threads.c    P8, P10
 *	bench_guest.c      a scripted guest on a board with a DSA device, for the two below
 *	bench_unit.c       what a guest sees: binds, queue descriptors, requests, interrupts, DSA
 *	bench_state.c      dirty pages, and a board that is saved and restored
 *	bench_peer.c       P2
 *
 * Every figure is a ratio of two things measured alternately in this process: see bench_measure.c.
 */
#ifndef VIOMMU_CMD_BENCH_H
#define VIOMMU_CMD_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <viommu/dma.h>
#include <viommu/host.h>

#define PAGE_LG2 12
#define PAGE     (UINT64_C(1) << PAGE_LG2)
#define KIB      (UINT64_C(1) << 10)
#define MIB      (UINT64_C(1) << 20)
#define GIB      (UINT64_C(1) << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The compiler has to have the value ready here, and knows nothing of it afterwards. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))
/* All memory may have been read and written. */
#define CLOBBER() __asm__ volatile("" ::: "memory")

struct bench {
	bool quick;
	bool json;
	const char *only; /* ids, comma separated; NULL: all */
	uint64_t seed;
	unsigned int rounds;
	uint64_t slice_ns;
	uint64_t rng;
	uint64_t checksum; /* of what was read, so that nothing is optimised away */
	struct peer *peers;
	bool failed; /* a thing under test did not do what it should: no figure counts */
};

/* ---- bench.c ---- */

uint64_t bench_random(struct bench *b);
uint64_t bench_now(void); /* ns */
/*
 * Processor time of this thread, ns: what other processes take is left out. A system call: for
 * stretches of 0.1 ms and more.
 */
uint64_t bench_cpu(void);
bool bench_wants(const struct bench *b, const char *id);
/* Says what is being measured, on a terminal. */
void bench_progress(const struct bench *b, const char *what);
/* The thing under test went wrong: one line on stderr, exit status 1 in the end. */
void bench_wrong(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Memory in the middle of a benchmark is no result: ends the process if there is none. */
void *bench_alloc(size_t bytes);
uint64_t bench_available_memory(void);

/* ---- bench_measure.c ---- */

/*
 * One side of a comparison. run() does n units and returns the ns they took; it times itself, so
 * that it can leave out what does not belong to the question.
 */
struct side {
	uint64_t (*run)(void *ctx, uint64_t n);
	void *ctx;
	double per_unit;    /* operations in a unit; 0 = 1 */
	uint64_t max_units; /* in one slice; 0 = no limit */
};

struct comparison {
	struct side subject;
	struct side base; /* run == NULL: subject alone */
	/* before each round: a fresh random stream */
	void (*fresh)(struct bench *b, void *ctx);
	void *fresh_ctx;
	bool speed;          /* the ratio is base / subject: speeds; else subject / base: costs */
	double scale;        /* times the ratio; 0 = 1 */
	uint64_t slice_ns;   /* 0 = the default */
	unsigned int rounds; /* 0 = the default */
};

struct figures {
	double value; /* ns an operation of the subject, median of rounds */
	double base;
	double ratio; /* median of the rounds' ratios */
	double p10;
	double p90;
};

void bench_compare(struct bench *b, const struct comparison *c, struct figures *out);
/* Sorts v. p in 0..1. */
double bench_percentile(double *v, size_t n, double p);

/* ---- bench_report.c ---- */

enum goal {
	GOAL_NONE,
	GOAL_AT_MOST,
	GOAL_AT_LEAST,
};

struct row {
	char id[16];
	char name[80];
	double value;
	const char *unit;
	const char
		*against; /* what the denominator is; NULL: no ratio, the goal is for the value */
	double denominator;
	double ratio;
	double p10;
	double p90;
	enum goal kind;
	double goal;
};

/* Keeps a copy; name is a printf format. */
void bench_row(struct bench *b, const struct row *row, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
/* A row from figures in ns, with a goal for the ratio. */
void bench_row_ratio(struct bench *b, const char *id, const char *name, const char *against,
		     const struct figures *f, enum goal kind, double goal);
/* A row that is a value alone. */
void bench_row_value(struct bench *b, const char *id, const char *name, double value,
		     const char *unit, enum goal kind, double goal);
/* A line for the head or the foot of the table. */
void bench_note(struct bench *b, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void bench_report(const struct bench *b);

/* ---- bench_vm.c ---- */

struct vm_config {
	uint64_t bytes;        /* guest memory; its top holds the page tables */
	uint64_t table_bytes;  /* of these; 0 = 1/16 */
	uint8_t ss_page_lg2;   /* largest second-stage page; 0 = 30 */
	uint32_t device_flags; /* besides VIOMMU_DEVICE_PASID */
	uint32_t domain_flags; /* VIOMMU_DOMAIN_* */
	bool untouched;        /* leave data pages to be made by the first access */
	struct viommu_host_ops ops;
};

struct vm {
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	uint8_t *ram; /* GPA 0 */
	uint64_t bytes;
	uint64_t data_bytes; /* GPA 0 .. data_bytes - 1 are for data */
	uint64_t next_table;
	double huge; /* share of the touched memory that is in huge pages */
	void *map;
	uint64_t map_bytes;
};

void vm_open(struct vm *vm, const struct vm_config *config);
void vm_close(struct vm *vm);
/* GPA of a zeroed page for a table. */
uint64_t vm_table(struct vm *vm);
/*
 * Map one page of 2^lg2 bytes (12, 21) in the first stage whose top table is root. Accessed and
 * dirty bits are left to the library.
 */
void vm_map(struct vm *vm, uint64_t root, uint64_t gva, uint64_t gpa, unsigned int lg2);
/* The level-1 (lg2 12) or level-2 entry of gva. */
uint64_t *vm_entry(struct vm *vm, uint64_t root, uint64_t gva, unsigned int lg2);
/* A new host PASID bound to root; gp is another number. */
uint32_t vm_bind(struct vm *vm, uint64_t root);
void vm_unbind(struct vm *vm, uint32_t pasid);
/* Anonymous memory with huge pages advised, aligned as large pages need it. Not touched. */
void *vm_map_memory(uint64_t bytes, void **map, uint64_t *map_bytes);
/* Share of the resident memory of this mapping that is in huge pages. */
double vm_huge_share(const void *p);

/* ---- bench_probe.c ---- */

/*
 * A stream of addresses: a pass goes through all of them, each exclusive-or'd with a salt that is
 * new in each pass and keeps them inside their region. As long as a quarter of an L1 cache.
 */
#define STREAM 2048u

struct stream {
	uint64_t addr[STREAM];
	uint64_t salt_mask; /* 0: the addresses are as they are */
	uint64_t toggle;    /* exclusive-or'd in every other pass: the other half of a region */
	uint64_t half;
	uint64_t rng;
};

static inline uint64_t stream_salt(struct stream *s)
{
	/* xorshift64: cheap, and the low bits of pages are good enough */
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	s->half ^= s->toggle;
	return (s->rng & s->salt_mask) ^ s->half;
}

/* Random pages of [base, base + pages * 4096), each at a random multiple of 8. pages: power of 2 */
void stream_fill(struct bench *b, struct stream *s, uint64_t base, uint64_t pages);

/*
 * The hash probe: a direct-mapped table that fits in L1, as one would write it for a flat map:
 * one load and compare of the page, one load of where it lies.
 */
#define PROBES    1024u
#define PROBE_LG2 4

struct probe_entry {
	uint64_t page;
	uint64_t host;
};

struct probe {
	struct stream *stream;
	uint64_t zero; /* is 0, but the compiler does not know */
	uint64_t sum;
	uint64_t misses;
	struct probe_entry entry[PROBES] __attribute__((aligned(64)));
};

void probe_init(struct probe *p, struct stream *s);
void probe_add(struct probe *p, uint64_t addr, void *host);
uint64_t probe_run_independent(void *ctx, uint64_t passes);
uint64_t probe_run_dependent(void *ctx, uint64_t passes);

/* ---- bench_translate.c ---- */

/* The hits' working set: half of the cache's 1,024 entries, a quarter of an L1 cache of tables. */
#define HIT_PAGES 512u
#define HIT_BASE  UINT64_C(0x7f1200000000)

/* PASIDs of one device that are used in turn. */
#define MANY_PASIDS 16u

/* Translations of a stream, by one DMA object. */
struct xlate {
	struct vm *vm;
	struct viommu_dma *dma;
	struct viommu_device *dev;
	uint32_t pasid;
	uint32_t access;
	struct stream *stream;
	uint64_t zero; /* is 0, but the compiler does not know */
	uint64_t sum;
	uint64_t errors;
	uint32_t pasids[MANY_PASIDS];
};

void xlate_init(struct xlate *x, struct vm *vm, uint32_t pasid, struct stream *s);
/* Units are passes of the stream. */
uint64_t xlate_independent(void *ctx, uint64_t passes);
/* Each time the domain is invalidated first: path and tables are read again. */
uint64_t xlate_walk(void *ctx, uint64_t passes);
void xlate_check(struct bench *b, struct xlate *x, const char *what);

/* A chase through every line of some memory in random order, each load needs the one before. */
struct chase {
	void **at;
	uint64_t lines;
};

#define CHASE_UNIT 64u /* loads in a unit of run */

void chase_init(struct bench *b, struct chase *c, void *mem, uint64_t bytes);
uint64_t chase_run(void *ctx, uint64_t units);

/* A round trip of two eventfds between two threads on two processors, if there are two. */
struct echo;
struct echo *echo_new(void);
void echo_free(struct echo *e);
uint64_t echo_run(void *ctx, uint64_t n);
/* Keep a thread on one processor (counted modulo those that this process may use). */
void bench_pin(unsigned int cpu);
void bench_unpin(void);
unsigned int bench_cpus(void);

/*
 * Called between groups: a few rounds of each calibration, so that the medians are of the whole
 * run. bench_calibration_rows() adds their rows.
 */
void bench_calibrate(struct bench *b);
void bench_calibration_rows(struct bench *b);

/* ---- groups ---- */

void bench_hit(struct bench *b);        /* P1 */
void bench_miss(struct bench *b);       /* P3 */
void bench_cold(struct bench *b);       /* P4 */
void bench_batch(struct bench *b);      /* P5 */
void bench_copy(struct bench *b);       /* P6 */
void bench_invalidate(struct bench *b); /* P7 */
void bench_threads(struct bench *b);    /* P8 */
void bench_memory(struct bench *b);     /* P9 */
void bench_wakes(struct bench *b);      /* P10 */
void bench_bind(struct bench *b);       /* BIND */
void bench_unit(struct bench *b);       /* UNIT, and P7 by the queue */
void bench_state(struct bench *b);      /* STATE */

/* ---- bench_peer.c ---- */

/* NAME=ADAPTER.so, see bench_peer.h. CMD_*. */
int bench_peer_add(struct bench *b, const char *arg);
void bench_peers_free(struct bench *b);
void bench_peers(struct bench *b); /* P2 */

/* Does `what` n times in a process of its own under callgrind; CMD_*. */
int bench_count(const char *what, uint64_t n);
#endif /* VIOMMU_CMD_BENCH_H */
