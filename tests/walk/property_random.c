/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker against the oracle on random tables.
 *
 * A case is a stack of 0 to 4 stages with tables that mostly make sense, then a few entries of them
 * broken: bits flipped, addresses led astray, tables turned into pages and pages into tables. Some
 * memories have holes and read-only pages below the tables. Each case is walked a few times, at its
 * mapped addresses, near them and elsewhere, by all kinds of requests.
 *
 * Two arenas hold the same bytes. The oracle walks one and its updates are applied there; the
 * walker walks the other and makes its own. Everything either returns is compared after each walk,
 * all bytes after each case.
 *
 * At its end the test asserts what came up: each page size and each number of levels of each
 * format, each fault code of each format, at least 1,000 times. Codes of VT-d paging that no walk
 * can give:
 *	86 of a first stage: a present page can be read
 *	85 to 87 in legacy, 05, 06, 0E in scalable mode: the other mode's codes
 *	5C: the table path's; 82, 88: retired
 * A legacy second stage in a stack of several is in no unit; it comes up, what it adds to the codes
 * (5B, 74 to 77, 83) is not asked for.
 *
 * Rules: VTD-FLT-103, VTD-FLT-104, VTD-FLT-105, VTD-FLT-106, VTD-FLT-107, VTD-FLT-112,
 * VTD-FLT-114, VTD-FLT-153, VTD-FLT-155, VTD-FLT-156, VTD-FLT-157, VTD-FLT-158, VTD-FLT-159,
 * VTD-FLT-160, VTD-FLT-161, VTD-FLT-162, VTD-FLT-163, VTD-FLT-164, VTD-FLT-165, VTD-FLT-166,
 * VTD-FLT-167, VTD-FLT-168, VTD-FLT-169, VTD-FLT-170, VTD-FLT-171, VTD-FLT-172, VTD-FLT-173,
 * VTD-FLT-174, VTD-FLT-175, VTD-FLT-177, VTD-FLT-178 and those that
 * lib/oracle.c cites.
 *
 * A second test does the same with a last stage of the library's own: a second stage whose entries
 * are pointers of this process, never broken but for rights and A/D bits, or a first stage alone
 * whose entries are somebody else's pointers. That is what a DMA walks, and where the walker takes
 * its shortcuts. The oracle walks the same tables with addresses.
 *
 * VIOMMU_CASE=n runs only case n of a seed and says what it walks.
 */
#include "lib/oracle.h"
#include "lib/tables.h"
#include "lib/test.h"

#include "walk/walk.h"

#include <inttypes.h>
#include <sys/mman.h>

#define WALKS          10000000u /* at VIOMMU_SCALE=1 */
#define OWN_WALKS      5000000u
#define WALKS_A_CASE   24u
#define NEEDED         1000u /* of everything, from 10,000,000 walks on */
#define ARENA          UINT64_C(0x10000000)
#define PAGES          640u
#define DATA           UINT64_C(0x20000000)
#define DATA_READ_ONLY UINT64_C(0x30000000)
#define DATA_BYTES     UINT64_C(0x10000)

/*
 * For stages of our own: all physical memory that they map, and where the oracle has their tables.
 */
#define SPACE     (UINT64_C(4) << 30)
#define OWN_ARENA SPACE
#define OWN_PAGES 256u
#define SLOT      (UINT64_C(1) << 30) /* the largest page: pointers are aligned like addresses */

/* Memories over the same arena: all there, pages read-only, pages missing, both. */
enum {
	WHOLE,
	SOME_READ_ONLY,
	SOME_MISSING,
	MEMORIES
};

/* One arena and its memories. */
struct side {
	struct tables t;
	struct viommu_mem *mem[MEMORIES];
	/* own: */
	uint8_t *mapping, *space; /* physical 0 to SPACE lies at `space`, a multiple of SLOT */
	struct tables own_t;
};

enum {
	FS,
	SS,
	LEGACY,
	OWN,
	NONE,
	CLASSES
};
static const char *const class_name[] = { "first stage", "second stage", "legacy", "own",
					  "pass-through" };

/* What came up. */
struct tally {
	uint64_t walks, passed;
	uint64_t page[CLASSES][3];   /* a stage's leaf of this size was used */
	uint64_t levels[CLASSES][6]; /* a stage with so many levels was passed */
	uint64_t nr[VIOMMU_STACK_MAX + 1];
	uint64_t fault[CLASSES][256];
	uint64_t fault_level[6];
	uint64_t updated, perm[16], dry;
};

struct world {
	struct side real, shadow; /* the walker's and the oracle's */
	void *data, *data_read_only;
	struct rng rng;
	struct tally tally;
	struct oracle_result oracle;
	bool tell;
	bool own; /* the last stage is of our own */

	/* the case */
	unsigned int nr;
	struct tables_stage s[VIOMMU_STACK_MAX];
	struct viommu_stack stack, shadow_stack;
	unsigned int chains;
	uint64_t x[VIOMMU_STACK_MAX + 1][3]; /* where each chain enters each stage */
};

static bool page_is(unsigned int page, unsigned int memory, unsigned int what)
{
	if (memory != what)
		return false;
	return (page * 2654435761u >> 16) % 9 == 0;
}

static void side_init(struct world *w, struct side *s)
{
	unsigned int m, p;

	tables_init(&s->t, ARENA, PAGES << 12);
	for (m = 0; m < MEMORIES; m++) {
		assert_int_equal(viommu_mem_new(&s->mem[m]), 0);
		assert_int_equal(viommu_mem_add_ptr(s->mem[m], DATA, DATA_BYTES, w->data, 0), 0);
		assert_int_equal(viommu_mem_add_ptr(s->mem[m], DATA_READ_ONLY, DATA_BYTES,
						    w->data_read_only, VIOMMU_MEM_READ_ONLY),
				 0);
		if (m == WHOLE) {
			assert_int_equal(tables_add_to(&s->t, s->mem[m]), 0);
			continue;
		}
		for (p = 0; p < PAGES; p++) {
			if (page_is(p, m, SOME_MISSING))
				continue;
			assert_int_equal(
				viommu_mem_add_ptr(
					s->mem[m], ARENA + (p << 12), 4096, s->t.host + (p << 12),
					page_is(p, m, SOME_READ_ONLY) ? VIOMMU_MEM_READ_ONLY : 0),
				0);
		}
	}
}

/* All of [0, SPACE) is memory, and the own tables are beyond it. */
static void side_init_own(struct side *s)
{
	unsigned int m;

	s->mapping = mmap(NULL, SPACE + 2 * SLOT, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(s->mapping, MAP_FAILED);
	s->space = s->mapping + (-(uintptr_t)s->mapping & (SLOT - 1));
	tables_over(&s->t, s->space + ARENA, ARENA, PAGES << 12, 0);
	tables_over(&s->own_t, s->space + SPACE, OWN_ARENA, OWN_PAGES << 12, 0);
	for (m = 0; m < MEMORIES; m++) {
		assert_int_equal(viommu_mem_new(&s->mem[m]), 0);
		assert_int_equal(viommu_mem_add_ptr(s->mem[m], 0, SPACE, s->space, 0), 0);
		assert_int_equal(tables_add_to(&s->own_t, s->mem[m]), 0);
	}
}

static void side_free(struct side *s)
{
	unsigned int m;

	for (m = 0; m < MEMORIES; m++)
		viommu_mem_free(s->mem[m]);
	tables_free(&s->t);
	if (s->mapping)
		munmap(s->mapping, SPACE + 2 * SLOT);
}

/* Is stage i the library's own? */
static bool is_own(const struct world *w, unsigned int i)
{
	return w->own && i + 1 == w->nr;
}

/* Is it a second stage, and so trusted? */
static bool is_trusted(const struct world *w, unsigned int i)
{
	return is_own(w, i) && w->stack.stage[i].format == VIOMMU_FORMAT_VTD_SS;
}

/* What the oracle's side has as a physical address, as a pointer of the walker's side. */
static uint64_t own_pointer(const struct world *w, uint64_t a)
{
	return a + (uintptr_t)w->real.space;
}

/* An entry of an own table with such an address, the same way. */
static uint64_t own_entry(const struct world *w, uint64_t e)
{
	const uint64_t address = UINT64_C(0x000ffffffffff000);

	return e ? (e & ~address) | own_pointer(w, e & address) : 0;
}

static bool chance(struct world *w, unsigned int percent)
{
	return rng_below(&w->rng, 100) < percent;
}

/* Flags of a leaf, mostly all rights. */
static uint32_t random_rights(struct world *w)
{
	uint32_t f = (uint32_t)rng_u64(&w->rng) & (TABLES_A | TABLES_D);

	if (chance(w, 75))
		return f | TABLES_RWU;
	return f | ((uint32_t)rng_u64(&w->rng) & TABLES_RWU);
}

/* Formats, levels, flags, widths of all stages, before any table is made. */
static void random_stages(struct world *w)
{
	static const uint8_t widths[] = { 32, 36, 39, 42, 46, 48, 52, 52 };
	struct rng *rng = &w->rng;
	unsigned int i, pick = (unsigned int)rng_below(rng, 100);

	if (w->own)
		w->nr = pick < 20 ? 1 : pick < 85 ? 2 : 3;
	else
		w->nr = pick < 2 ? 0 : pick < 45 ? 1 : pick < 88 ? 2 : pick < 97 ? 3 : 4;
	memset(&w->stack, 0, sizeof(w->stack));
	w->stack.nr = w->nr;
	for (i = w->nr; i-- > 0;) {
		struct viommu_stage *s = &w->stack.stage[i];
		/* A first stage on top mostly, below one seldom. */
		bool fs = !(w->own && i > 0 && i + 1 == w->nr) &&
			  chance(w, i == 0 ? (w->nr == 1 ? 50 : 90) : 8);

		s->format = fs ? VIOMMU_FORMAT_VTD_FS : VIOMMU_FORMAT_VTD_SS;
		s->levels = (uint8_t)(fs ? rng_range(rng, 4, 5) : rng_range(rng, 3, 5));
		s->haw = chance(w, 60) ? 52 : widths[rng_below(rng, sizeof(widths))];
		s->input_bits = (uint8_t)(12 + 9 * s->levels);
		if (!fs && chance(w, 20))
			s->input_bits = (uint8_t)rng_range(rng, 38, s->input_bits);
		s->flags = (uint32_t)rng_u64(rng) & (VIOMMU_STAGE_2M | VIOMMU_STAGE_1G);
		if (chance(w, 75))
			s->flags |= VIOMMU_STAGE_2M | VIOMMU_STAGE_1G;
		if (chance(w, 88))
			s->flags |= VIOMMU_STAGE_SNOOP;
		if (fs) {
			s->flags |= chance(w, 80) ? VIOMMU_STAGE_SRE : 0;
			s->flags |= chance(w, 50) ? VIOMMU_STAGE_WPE : 0;
			s->flags |= chance(w, 25) ? VIOMMU_STAGE_EAFE : 0;
		} else {
			if (chance(w, w->nr == 1 ? 40 : 5))
				s->flags |= VIOMMU_STAGE_LEGACY;
			else if (chance(w, 50))
				s->flags |= VIOMMU_STAGE_AD;
			s->flags |= chance(w, 50) ? VIOMMU_STAGE_SNP : 0;
			s->flags |= chance(w, 15) ? VIOMMU_STAGE_IORW : 0;
			s->flags |= chance(w, 50) ? VIOMMU_STAGE_MTS : 0;
			s->flags |= chance(w, 50) ? VIOMMU_STAGE_ZLR : 0;
		}
	}
	if (w->own) {
		struct viommu_stage *s = &w->stack.stage[w->nr - 1];

		s->haw = 52;
		/* The library makes no large page where there is none. */
		s->flags |= VIOMMU_STAGE_2M | VIOMMU_STAGE_1G;
		s->flags &= ~(VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_IORW);
		return;
	}
	w->stack.haw = chance(w, 60) ? 52 : chance(w, 20) ? 0 : (uint8_t)rng_range(rng, 32, 52);
}

/* How wide the input of stage i is, sign bit of a first stage not counted; the output: physical. */
static unsigned int input_width(const struct world *w, unsigned int i)
{
	const struct viommu_stage *s = &w->stack.stage[i];

	if (w->own && i == w->nr)
		return 32;
	if (i == w->nr)
		return w->stack.haw ? w->stack.haw : 52;
	if (s->format == VIOMMU_FORMAT_VTD_FS)
		return 12 + 9 * s->levels - 1;
	return s->input_bits;
}

/* An address that enters stage i; not in the slots (1 GiB) where the builder puts tables. */
static uint64_t random_input(struct world *w, unsigned int i)
{
	unsigned int bits = input_width(w, i);
	uint64_t x;

	if (i == w->nr && w->own)
		return rng_below(&w->rng, SPACE);
	if (i > 0 && w->stack.stage[i - 1].haw < bits)
		bits = w->stack.stage[i - 1].haw;
	do {
		x = rng_u64(&w->rng) >> (64 - (chance(w, 40) && bits > 34 ? 34 : bits));
	} while (x >> 30 == 0 || x >> 30 == TABLES_WINDOW >> 30);
	if (i == 0 && w->nr && w->stack.stage[0].format == VIOMMU_FORMAT_VTD_FS && chance(w, 30))
		x |= ~UINT64_C(0) << bits;
	return x;
}

static uint64_t random_output(struct world *w)
{
	unsigned int pick = (unsigned int)rng_below(&w->rng, 100);

	if (w->own && pick < 60)
		return rng_below(&w->rng, SPACE);
	if (w->own)
		return ARENA + rng_below(&w->rng, PAGES << 12);
	if (pick < 15)
		return DATA + rng_below(&w->rng, DATA_BYTES);
	if (pick < 30)
		return DATA_READ_ONLY + rng_below(&w->rng, DATA_BYTES);
	if (pick < 35)
		return ARENA + rng_below(&w->rng, PAGES << 12);
	if (pick < 40)
		return UINT64_C(0xfee00000) + rng_below(&w->rng, 1 << 20);
	if (pick < 50)
		return rng_u64(&w->rng) >> 12; /* beyond the width, maybe */
	return random_input(w, w->nr);
}

/* Tables with one to three chains: an address that goes through all stages. */
static void random_tables(struct world *w)
{
	static const unsigned int sizes[] = { 12, 21, 30 };
	unsigned int i, k, lg2;
	uint64_t low;

	memset(w->shadow.t.host, 0, w->real.t.used);
	tables_reset(&w->real.t);
	if (w->own) {
		memset(w->shadow.own_t.host, 0, w->real.own_t.used);
		tables_reset(&w->real.own_t);
	}
	for (i = w->nr; i-- > 0;) {
		struct tables *t = is_own(w, i) ? &w->real.own_t : &w->real.t;

		tables_stage_init(&w->s[i], t, i + 1 < w->nr ? &w->s[i + 1] : NULL,
				  w->stack.stage[i].format, w->stack.stage[i].levels);
		if (chance(w, 40))
			w->s[i].next = TABLES_SAME;
		if (chance(w, 10))
			w->s[i].upper = random_rights(w);
		w->s[i].page_flags = random_rights(w) | (chance(w, 80) ? TABLES_RWU : 0);
		tables_root(&w->s[i]);
	}
	w->chains = (unsigned int)rng_range(&w->rng, 1, 3);
	for (k = 0; k < w->chains; k++) {
		w->x[0][k] = random_input(w, 0);
		for (i = 0; i < w->nr; i++) {
			lg2 = sizes[rng_below(&w->rng, 3)];
			low = (UINT64_C(1) << lg2) - 1;
			w->x[i + 1][k] = i + 1 < w->nr ? random_input(w, i + 1) : random_output(w);
			w->x[i + 1][k] = (w->x[i + 1][k] & ~low) | (w->x[i][k] & low);
			/* Where chains meet, the first keeps its place: that is a case, too. */
			tables_map(&w->s[i], w->x[i][k], w->x[i + 1][k], lg2, random_rights(w));
		}
	}
	for (i = 0; i < w->nr; i++) {
		w->stack.stage[i].root = w->s[i].root;
		for (k = 0; w->stack.stage[i].flags & VIOMMU_STAGE_IORW && k < w->chains; k++) {
			unsigned int level;

			for (level = 1; level <= w->s[i].levels; level++) {
				uint64_t *e = tables_entry(&w->s[i], w->x[i][k], level);

				if (e && *e)
					*e |= chance(w, 95) ? UINT64_C(3) << 61 : UINT64_C(1) << 61;
			}
		}
	}
}

/* The address of a table of stage i that a walk of this case is likely to use. */
static uint64_t table_of(struct world *w, unsigned int i)
{
	uint64_t x = w->x[i][rng_below(&w->rng, w->chains)];
	unsigned int level = (unsigned int)rng_range(&w->rng, 1, w->s[i].levels);

	return tables_entry_addr(&w->s[i], x, level);
}

/* Tables broken before may lead beyond the pages that are copied and cleared. */
static uint64_t *if_used(const struct world *w, uint64_t *e)
{
	const struct tables *t = &w->real.t, *own = &w->real.own_t;

	if ((uint8_t *)e >= t->host && (uint8_t *)e < t->host + t->used)
		return e;
	if (w->own && (uint8_t *)e >= own->host && (uint8_t *)e < own->host + own->used)
		return e;
	return NULL;
}

/* An entry that a walk of this case is likely to use; NULL if the tables do not lead there. */
static uint64_t *random_entry(struct world *w, unsigned int *stage)
{
	unsigned int i = (unsigned int)rng_below(&w->rng, w->nr);
	uint64_t x = w->x[i][rng_below(&w->rng, w->chains)], *e;

	/* Below another stage, half of the time one that maps a table. */
	if (i > 0 && chance(w, 50))
		x = table_of(w, i - 1);
	*stage = i;
	e = tables_entry(&w->s[i], x, (unsigned int)rng_range(&w->rng, 1, w->s[i].levels));
	return if_used(w, e);
}

static void break_something(struct world *w)
{
	const uint64_t address = UINT64_C(0x000ffffffffff000);
	struct rng *rng = &w->rng;
	unsigned int stage;
	uint64_t *e, a;
	bool fs;

	if (w->nr > 1 && chance(w, 8)) {
		/* A table that the stage below maps, but does not let read or write. */
		stage = (unsigned int)rng_range(rng, 1, w->nr - 1);
		e = if_used(w, tables_entry(&w->s[stage], table_of(w, stage - 1), 1));
		if (e && *e)
			*e ^= chance(w, 70) ? 1 : 2;
		return;
	}
	if (chance(w, 4)) {
		/* The top table lies nowhere, or elsewhere. */
		stage = (unsigned int)rng_below(rng, w->nr);
		if (is_trusted(w, stage))
			return;
		if (is_own(w, stage)) {
			/* Nowhere, for a pointer: between all there is. */
			w->stack.stage[stage].root =
				SPACE + (rng_u64(rng) >> 26 & ~UINT64_C(0xfff));
			return;
		}
		w->stack.stage[stage].root = chance(w, 50) ? rng_u64(rng) >> 12 & ~UINT64_C(0xfff)
							   : ARENA + (rng_below(rng, PAGES) << 12);
		return;
	}
	e = random_entry(w, &stage);
	if (!e)
		return;
	if (is_trusted(w, stage)) {
		/* Rights, A and D: all that the library puts into its own tables. */
		if (*e)
			*e ^= chance(w, 50) ? UINT64_C(1) << rng_below(rng, 2)
					    : rng_u64(rng) & 0x300;
		return;
	}
	fs = w->stack.stage[stage].format == VIOMMU_FORMAT_VTD_FS;
	switch (rng_below(rng, 15)) {
	case 0: /* not present */
		*e &= fs ? ~UINT64_C(1) : ~UINT64_C(3);
		break;
	case 1: /* rights */
		*e &= ~(UINT64_C(1) << rng_below(rng, 3));
		break;
	case 2:
		*e ^= UINT64_C(2);
		break;
	case 3: /* any bit */
		*e ^= UINT64_C(1) << rng_below(rng, 64);
		break;
	case 4: /* any low bit */
		*e ^= UINT64_C(1) << rng_below(rng, 12);
		break;
	case 5: /* a high address bit: beyond the width, or beyond the stage below */
		*e |= UINT64_C(1) << rng_range(rng, 32, 51);
		break;
	case 6: /* the lowest address bits: reserved in large pages */
		*e |= UINT64_C(1) << rng_range(rng, 12, 30);
		break;
	case 7: /* page or table */
		*e ^= UINT64_C(1) << 7;
		break;
	case 8: /* a table or page elsewhere in the arena, its own table maybe */
		a = is_own(w, stage) ? rng_below(rng, w->real.own_t.used >> 12) << 12 | OWN_ARENA
				     : rng_below(rng, w->real.t.used >> 12) << 12 | ARENA;
		*e = (*e & ~address) | a;
		break;
	case 9: /* in a hole */
		*e = (*e & ~address) | (rng_u64(rng) & 0x7ffff000);
		break;
	case 10: /* an address between the widths of the second stage below and 2^52 */
		a = UINT64_C(1) << (stage + 1 < w->nr ? input_width(w, stage + 1) : 48);
		*e = (*e & ~address) | ((rng_u64(rng) | a) & address);
		break;
	case 11: /* accessed, dirty, extended accessed */
		*e ^= rng_u64(rng) & (fs ? 0x460 : 0x300);
		break;
	case 12: /* what only some formats define */
		*e ^= UINT64_C(1) << (chance(w, 50) ? 11 : 62);
		break;
	case 13: /* the interrupt window */
		*e = (*e & ~address) | UINT64_C(0xfee00000) | (rng_u64(rng) & 0xff000);
		break;
	default: /* anything */
		*e = rng_u64(rng);
		break;
	}
	/* A pointer that lies nowhere must be one. */
	if (is_own(w, stage))
		*e &= ~(address & ~UINT64_C(0xffffffffff));
}

/* The other sides: same bytes, same stack over its own memory. */
static void mirror(struct world *w)
{
	unsigned int pick = (unsigned int)rng_below(&w->rng, 100);
	unsigned int memory = pick < 76 ? WHOLE : pick < 90 ? SOME_READ_ONLY : SOME_MISSING;

	w->stack.mem = w->real.mem[memory];
	w->shadow_stack = w->stack;
	w->shadow_stack.mem = w->shadow.mem[memory];
	memcpy(w->shadow.t.host, w->real.t.host, w->real.t.used);
	if (w->own) {
		struct viommu_stage *own = &w->stack.stage[w->nr - 1];
		uint64_t *e = (uint64_t *)w->real.own_t.host, n;

		memcpy(w->shadow.own_t.host, e, w->real.own_t.used);
		for (n = 0; n < w->real.own_t.used / 8; n++)
			e[n] = own_entry(w, e[n]);
		own->root = own_pointer(w, own->root);
		own->flags |= VIOMMU__STAGE_OWN;
		/* Somebody else's tables must be known to lie in memory. */
		if (pick % 2 && is_trusted(w, w->nr - 1))
			w->stack.mem = NULL;
	}
}

/* All bytes that a case can change: the same on both sides? If not, *at is where. */
static bool same_memory(const struct world *w, uint64_t *at)
{
	const uint64_t *a = (uint64_t *)w->real.t.host, *b = (uint64_t *)w->shadow.t.host;
	uint64_t n;

	if (memcmp(a, b, w->real.t.used)) {
		for (n = 0; a[n] == b[n]; n++)
			;
		*at = ARENA + 8 * n;
		return false;
	}
	if (!w->own)
		return true;
	a = (uint64_t *)w->real.own_t.host;
	b = (uint64_t *)w->shadow.own_t.host;
	for (n = 0; n < w->real.own_t.used / 8; n++) {
		if (a[n] != own_entry(w, b[n])) {
			*at = OWN_ARENA + 8 * n;
			return false;
		}
	}
	return true;
}

static uint64_t random_address(struct world *w)
{
	struct rng *rng = &w->rng;
	uint64_t x = w->x[0][rng_below(rng, w->chains ? w->chains : 1)];

	switch (rng_below(rng, 20)) {
	case 0: /* another page, a table further or at the other end */
		return x ^ UINT64_C(1) << rng_range(rng, 12, 63);
	case 1:
		return x ^ UINT64_C(1) << rng_range(rng, 36, 63);
	case 2:
		return rng_u64(rng) >> rng_below(rng, 64);
	case 3:
		return w->nr ? x + 4096 : UINT64_C(0xfee00000) + rng_below(rng, 1 << 21);
	default:
		return x ^ rng_below(rng, 4096);
	}
}

static uint32_t random_access(struct world *w)
{
	static const uint32_t kinds[] = {
		VIOMMU_READ,
		VIOMMU_READ,
		VIOMMU_WRITE,
		VIOMMU_WRITE,
		VIOMMU_READ | VIOMMU_WRITE,
		VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC,
		VIOMMU_ATOMIC,
		VIOMMU_READ | VIOMMU_ZERO_LENGTH,
		VIOMMU_ZERO_LENGTH,
	};

	return kinds[rng_below(&w->rng, sizeof(kinds) / sizeof(kinds[0]))] |
	       (chance(w, 30) ? VIOMMU_PRIV : 0);
}

static unsigned int class_of(const struct viommu_stack *stack, unsigned int stage)
{
	if (stage >= stack->nr)
		return NONE;
	if (stack->stage[stage].format == VIOMMU_FORMAT_VTD_FS)
		return FS;
	if (stack->stage[stage].flags & VIOMMU__STAGE_OWN)
		return OWN;
	return stack->stage[stage].flags & VIOMMU_STAGE_LEGACY ? LEGACY : SS;
}

/* The leaves on the main line, for the tally; and every step for VIOMMU_CASE. */
struct watcher {
	struct viommu_recorder rec;
	struct world *w;
	unsigned int reads;
	uint8_t leaf[VIOMMU_STACK_MAX];
};

static void watcher_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct watcher *watch = (struct watcher *)rec;

	if (step->kind == VIOMMU_STEP_READ)
		watch->reads++;
	if (step->kind == VIOMMU_STEP_OUTPUT && !step->depth && step->stage < VIOMMU_STACK_MAX)
		watch->leaf[step->stage] = step->page_lg2;
	if (watch->w->tell)
		printf("#   %s stage %u level %u depth %u: input %" PRIx64 " entry at %" PRIx64
		       " (phys %" PRIx64 ") value %" PRIx64 "\n",
		       step->kind == VIOMMU_STEP_READ     ? "read  "
		       : step->kind == VIOMMU_STEP_UPDATE ? "update"
							  : "output",
		       step->stage, step->level, step->depth, step->input, step->entry_addr,
		       step->phys, step->value);
}

static void count(struct world *w, int ret, const struct viommu_walk_result *res,
		  const struct watcher *watch)
{
	struct tally *t = &w->tally;
	unsigned int i, class;

	t->walks++;
	if (ret) {
		class = class_of(&w->stack, res->fault.stage);
		t->fault[class][res->fault.reason]++;
		t->fault_level[res->fault.level < 6 ? res->fault.level : 0]++;
		return;
	}
	t->passed++;
	t->nr[w->nr]++;
	t->perm[res->perm & 15]++;
	t->updated += w->oracle.nr_updates != 0;
	for (i = 0; i < w->nr; i++) {
		class = class_of(&w->stack, i);
		t->levels[class][w->stack.stage[i].levels]++;
		if (watch->leaf[i] >= 12)
			t->page[class][(watch->leaf[i] - 12) / 9 % 3]++;
	}
}

static void tell_stack(const struct world *w, uint64_t addr, uint32_t access)
{
	unsigned int i;

	printf("# address %" PRIx64 " access %x; stack of %u, width %u\n", addr, access,
	       w->stack.nr, w->stack.haw);
	for (i = 0; i < w->nr; i++) {
		const struct viommu_stage *s = &w->stack.stage[i];

		printf("#   stage %u: %s, %u levels, haw %u, input %u, flags %x, root %" PRIx64
		       "\n",
		       i, s->format == VIOMMU_FORMAT_VTD_FS ? "first" : "second", s->levels, s->haw,
		       s->input_bits, s->flags, s->root);
	}
}

/* The host pointer that the oracle found, moved to the walker's side. */
static void move_host(const struct world *w, struct viommu_walk_result *walk)
{
	struct viommu_fault *f = &walk->fault;
	uint8_t *p = walk->host;

	if (w->own) {
		/* What is an address here is a pointer there. */
		walk->out = own_pointer(w, walk->out);
		walk->host = (void *)(uintptr_t)walk->out;
		if (f->reason && is_own(w, f->stage) && f->level) {
			f->entry_addr = own_pointer(w, f->entry_addr);
			f->entry = own_entry(w, f->entry);
		}
		return;
	}

	if (p >= w->shadow.t.host && p < w->shadow.t.host + w->shadow.t.bytes)
		walk->host = w->real.t.host + (p - w->shadow.t.host);
}

/* One walk by both; false if they differ. */
static bool walk_both(struct world *w, uint64_t addr, uint32_t access, uint32_t flags, char *why,
		      size_t size)
{
	struct watcher watch = { .rec.step = watcher_step, .w = w };
	bool watched = w->tell || rng_one_in(&w->rng, 4);
	struct viommu_recorder *rec;
	struct viommu_walk_result res;
	unsigned int u;
	uint64_t v;
	int ret;

	oracle_walk(&w->shadow_stack, addr, access, flags, &w->oracle);
	move_host(w, &w->oracle.walk);
	memset(&res, 0xaa, sizeof(res));
	rec = watched ? &watch.rec : NULL;
	if (w->own)
		ret = viommu__walk(&w->stack, addr, access, flags, rec, &res);
	else
		ret = viommu_walk(&w->stack, addr, access, flags, rec, &res);
	count(w, ret, &res, &watch);
	if (!oracle_same(&w->oracle, ret, &res, why, size))
		return false;
	if (watched && !ret && watch.reads != res.reads) {
		snprintf(why, size, "%u steps of reads, %u reads in the result", watch.reads,
			 res.reads);
		return false;
	}
	if (flags & VIOMMU_WALK_DRY) {
		w->tally.dry++;
		return true;
	}
	if (oracle_apply(w->shadow_stack.mem, &w->oracle)) {
		snprintf(why, size, "the oracle's updates cannot be made");
		return false;
	}
	for (u = 0; !w->own && u < w->oracle.nr_updates; u++) {
		if (viommu_mem_load64(w->stack.mem, w->oracle.update[u].phys, &v) ||
		    (v & w->oracle.update[u].bits) != w->oracle.update[u].bits) {
			snprintf(why, size, "entry at %" PRIx64 " lacks bits %" PRIx64,
				 w->oracle.update[u].phys, w->oracle.update[u].bits);
			return false;
		}
	}
	return true;
}

static void run_case(struct world *w, uint64_t number)
{
	unsigned int n, breaks;
	uint64_t addr, at;
	uint32_t access, flags;
	char why[256];

	rng_init_seed(&w->rng, test_seed() ^ number * UINT64_C(0xd1342543de82ef95));
	random_stages(w);
	random_tables(w);
	breaks = chance(w, 45) ? 0 : (unsigned int)rng_range(&w->rng, 1, 3);
	while (w->nr && breaks--)
		break_something(w);
	mirror(w);
	for (n = 0; n < WALKS_A_CASE; n++) {
		addr = random_address(w);
		access = random_access(w);
		flags = rng_one_in(&w->rng, 16) ? VIOMMU_WALK_DRY : 0;
		if (w->tell) {
			printf("# walk %u%s\n", n, flags ? " (dry)" : "");
			tell_stack(w, addr, access);
		}
		if (!walk_both(w, addr, access, flags, why, sizeof(why))) {
			tell_stack(w, addr, access);
			fail_msg("seed %" PRIu64 " case %" PRIu64 " walk %u: %s", test_seed(),
				 number, n, why);
		}
		/* With a trace, find the walk that changed too much. */
		if (w->tell && !same_memory(w, &at))
			fail_msg("case %" PRIu64 " walk %u changed other bytes", number, n);
	}
	if (!same_memory(w, &at)) {
		fail_msg("seed %" PRIu64 " case %" PRIu64 ": memory differs at %" PRIx64,
			 test_seed(), number, ARENA + at);
	}
}

/* A number that must have come up; counts what did not. */
static unsigned int need(uint64_t n, uint64_t needed, const char *class, const char *what,
			 unsigned int value)
{
	if (n >= needed)
		return 0;
	printf("# only %" PRIu64 " of %" PRIu64 ": %s, %s %02x\n", n, needed, class, what, value);
	return 1;
}

typedef const uint8_t code_table[CLASSES][20];

static code_table any_codes = {
	[FS] = { 0x5b, 0x5d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x80, 0x81, 0x83, 0x85,
		 0x87, 0x90, 0x91 },
	/* 5B and 74 to 77 in stacks of three and more, or of second stages alone */
	[SS] = { 0x5b, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x83, 0x84, 0x85,
		 0x86, 0x87 },
	[LEGACY] = { 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x0e },
	[NONE] = { 0x83, 0x87 },
};

/*
 * Over a second stage of our own all that is mapped is memory that can be written, so there are no
 * access errors (78, 7B; 70, 73 only of an own first stage) and no failed updates (91, 7D); its
 * entries are well formed (no 7A); its output is a pointer, not judged (83, 87).
 */
static code_table own_codes = {
	[FS] = { 0x5b, 0x5d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x80, 0x81, 0x85,
		 0x90 },
	[SS] = { 0x5b, 0x74, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x7c, 0x84, 0x85, 0x86 },
	[OWN] = { 0x79, 0x7c, 0x84, 0x85, 0x86 },
};

static unsigned int check_tally(const struct tally *t, code_table codes, uint64_t needed)
{
	static const unsigned int first[] = { 4, 3, 3, 3 }, last = 5;
	unsigned int c, i, missing = 0;

	for (c = 0; c < CLASSES; c++) {
		for (i = 0; i < 20 && codes[c][i]; i++)
			missing += need(t->fault[c][codes[c][i]], needed, class_name[c], "fault",
					codes[c][i]);
		if (c == NONE || !codes[c][0])
			continue;
		for (i = first[c]; i <= last; i++)
			missing += need(t->levels[c][i], needed, class_name[c], "levels", i);
		for (i = 0; i < 3; i++)
			missing +=
				need(t->page[c][i], needed, class_name[c], "page size", 12 + 9 * i);
	}
	for (i = codes[OWN][0] ? 1 : 0; i <= (codes[OWN][0] ? 3 : VIOMMU_STACK_MAX); i++)
		missing += need(t->nr[i], needed, "stack", "stages", i);
	for (i = 0; i < 6; i++)
		missing += need(t->fault_level[i], needed, "fault", "level", i);
	missing += need(t->updated, needed, "walk", "updates", 0);
	missing += need(t->dry, needed, "walk", "dry", 0);
	return missing;
}

static void tell_tally(const struct tally *t)
{
	unsigned int c, code;

	printf("# %" PRIu64 " walks, %" PRIu64 " passed, %" PRIu64 " with updates\n", t->walks,
	       t->passed, t->updated);
	for (c = 0; c < CLASSES; c++) {
		printf("# %s:", class_name[c]);
		for (code = 0; code < 256; code++) {
			if (t->fault[c][code])
				printf(" %02x %" PRIu64 ",", code, t->fault[c][code]);
		}
		printf(" 4K %" PRIu64 ", 2M %" PRIu64 ", 1G %" PRIu64 "\n", t->page[c][0],
		       t->page[c][1], t->page[c][2]);
	}
}

/* A world that is made: all its cases, or the one that was asked for. */
static void run_cases(struct world *w, uint64_t most, code_table codes)
{
	const char *only = getenv("VIOMMU_CASE");
	uint64_t walks = test_scale(most), cases = walks / WALKS_A_CASE + 1, n;
	uint64_t needed = NEEDED * walks / most;

	if (only && *only) {
		w->tell = true;
		run_case(w, strtoull(only, NULL, 0));
		return;
	}
	for (n = 0; n < cases; n++)
		run_case(w, n);
	tell_tally(&w->tally);
	assert_int_equal(check_tally(&w->tally, codes, needed > NEEDED ? NEEDED : needed), 0);
}

static void the_walker_agrees_with_the_oracle_on_random_tables(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	w->data = mmap(NULL, 2 * DATA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(w->data, MAP_FAILED);
	w->data_read_only = (uint8_t *)w->data + DATA_BYTES;
	side_init(w, &w->real);
	side_init(w, &w->shadow);
	run_cases(w, WALKS, any_codes);
	side_free(&w->real);
	side_free(&w->shadow);
	munmap(w->data, 2 * DATA_BYTES);
	free(w);
}

static void the_walker_agrees_with_the_oracle_over_a_stage_of_its_own(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	w->own = true;
	side_init_own(&w->real);
	side_init_own(&w->shadow);
	run_cases(w, OWN_WALKS, own_codes);
	side_free(&w->real);
	side_free(&w->shadow);
	free(w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_walker_agrees_with_the_oracle_on_random_tables),
	cmocka_unit_test(the_walker_agrees_with_the_oracle_over_a_stage_of_its_own),
};

TEST_MAIN(tests)
