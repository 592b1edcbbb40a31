/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walks while somebody edits the tables: a guest changes its own entries at any time.
 *
 * An editor thread makes edits of one entry each, in leaves and upper entries of the first stage
 * and of a second stage that the guest owns. Around edit n it sets two counters: started = n
 * before, done = n after. A walker thread reads done before its walk and started after it, so its
 * walk lay between the states "c0 edits made" and "c1 edits made". Afterwards the log is replayed
 * on a private copy, and the result must be the oracle's on one of the states c0 to c1.
 *
 * The editor makes a burst of edits and then waits until every walker has begun a new walk, so a
 * walk meets the edits of one burst at most. With bursts of one, "some state" is meant strictly. A
 * walk that meets more reads all its entries again at its end, so a mixture of states takes an
 * entry that is edited twice and comes back to its first value in between: allowed, but each entry
 * must have had the value that was used at some moment of the walk, and it must be rare. (The
 * tables are made so that no entry that is edited is read twice in one pass of a walk.)
 *
 * Once more with a second stage of the library's own, whose entries are pointers and stand still:
 * the walker has a shortcut for it, which reads the entries of the first stage again by its own
 * code.
 *
 * The checker is itself checked: with results of a state that is over, and with results put
 * together from two states, it must say no.
 */
#include "lib/oracle.h"
#include "lib/tables.h"
#include "lib/test.h"

#include "walk/walk.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#define ARENA   UINT64_C(0x10000000)
#define PAGES   256u
#define HAW     48u
#define WALKERS 3u
#define SLOTS   64u
#define VALUES  4u
#define TARGETS 8u
#define EDITS   4000000u
#define RECORDS 400000u
#define SECONDS 20 /* longest that one run may take on a busy machine */
#define BURST   8u /* edits in a burst, at most */

/* An entry that is edited, and what it may hold. */
struct slot {
	uint64_t phys;
	uint64_t *host;
	uint64_t value[VALUES];
};

struct edit {
	uint64_t phys, before, after;
};

struct record {
	uint64_t addr;
	uint32_t access;
	uint64_t c0, c1;
	int ret;
	struct viommu_walk_result res;
};

struct world;

struct walker {
	pthread_t thread;
	struct world *w;
	struct rng rng;
	uint64_t begun; /* atomic: walks begun */
	uint64_t walks, met, nr;
	struct record *record;
};

struct world {
	struct tables t, copy;
	struct viommu_mem *mem, *copy_mem;
	struct tables_stage s[3];
	unsigned int nr_stages;
	struct viommu_stack stack, copy_stack;
	uint64_t target[TARGETS];
	unsigned int nr_slots;
	struct slot slot[SLOTS];
	int64_t deadline_ms;
	unsigned int burst; /* edits in one, at most */
	bool track;         /* A and D are not set beforehand */
	bool own;           /* the second stage is the library's */

	uint64_t started, done, stop; /* atomic */
	uint64_t nr_edits;
	struct edit *edit;
	uint64_t goal; /* walks that met an edit, of each walker */
	unsigned int nr_walkers;
	struct walker walker[WALKERS];
	struct rng rng;

	uint64_t at; /* edits made in the copy */
	struct oracle_result oracle;
};

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

/* Accessed and dirty, as this world has them beforehand. */
static uint32_t preset(const struct world *w)
{
	return w->track ? 0 : TABLES_A | TABLES_D;
}

static void add_slot(struct world *w, struct tables_stage *s, uint64_t va, unsigned int level,
		     uint64_t v1, uint64_t v2, uint64_t v3)
{
	struct slot *slot = &w->slot[w->nr_slots++];

	assert_in_range(w->nr_slots, 1, SLOTS);
	slot->host = tables_entry(s, va, level);
	assert_non_null(slot->host);
	slot->phys = w->t.gpa + (uint64_t)((uint8_t *)slot->host - w->t.host);
	slot->value[0] = *slot->host;
	slot->value[1] = v1;
	slot->value[2] = v2;
	slot->value[3] = v3;
}

/*
 * A copy of the page that stage s has at table address `table`: it appears at the next address of
 * the stage's window. Returns that address.
 */
static uint64_t twin_page(struct tables_stage *s, uint64_t table, uint64_t flip)
{
	struct tables_stage other = *s;
	uint64_t *from, *to, twin;
	unsigned int i;

	/* An empty stage with the same window makes a page there and nothing else. */
	other.root = UINT64_MAX;
	twin = tables_root(&other);
	s->next = other.next;
	to = tables_entry(&other, 0, other.levels);
	other.root = table;
	from = tables_entry(&other, 0, other.levels);
	assert_non_null(from);
	assert_non_null(to);
	for (i = 0; i < 512; i++)
		to[i] = from[i] ? from[i] ^ flip : 0;
	return twin;
}

static uint64_t page_of(uint64_t entry)
{
	return entry & UINT64_C(0x000ffffffffff000);
}

/* An entry with an address in the arena, as the library has it in tables of its own. */
static uint64_t own_entry(const struct world *w, uint64_t e)
{
	uint64_t a = page_of(e);

	if (!w->own || a < ARENA || a - ARENA >= w->t.bytes)
		return e;
	return e - ARENA + (uintptr_t)w->t.host;
}

/* FS of 4 levels over nr - 1 second stages of 4 levels; data far from the tables at each stage. */
static void build(struct world *w, unsigned int nr)
{
	const uint64_t ad_fs = w->track ? 0 : 0x60, ad_ss = w->track ? 0 : 0x300;
	uint64_t gpa[TARGETS], e, table, twin;
	unsigned int i, k;

	w->nr_stages = nr;
	for (i = nr; i-- > 0;) {
		tables_stage_init(&w->s[i], &w->t, i + 1 < nr ? &w->s[i + 1] : NULL,
				  i ? VIOMMU_FORMAT_VTD_SS : VIOMMU_FORMAT_VTD_FS, 4);
		w->s[i].upper = TABLES_RWU | (preset(w) & TABLES_A);
		w->s[i].page_flags = TABLES_RWU | preset(w);
	}
	for (k = 0; k < TARGETS; k++) {
		/* Pairs share a table of level 1, then of level 2, of level 3. */
		w->target[k] = (UINT64_C(0x7) << 39) + ((uint64_t)(k / 4) << 30) +
			       ((uint64_t)(k / 2 % 2) << 21) + ((uint64_t)(k % 2) << 12);
		gpa[k] = (UINT64_C(0x5) << 39) + ((uint64_t)(k / 4) << 30) +
			 ((uint64_t)(k / 2 % 2) << 21) + ((uint64_t)(k % 2) << 12);
		assert_int_equal(
			tables_map(&w->s[0], w->target[k], gpa[k], 12, TABLES_RWU | preset(w)), 0);
		for (i = 1; i < nr; i++)
			assert_int_equal(tables_map(&w->s[i], gpa[k],
						    i + 1 < nr ? gpa[k]
							       : 0x80000000 + ((uint64_t)k << 12),
						    12, TABLES_RWU | preset(w)),
					 0);
	}
	for (i = 0; i < (w->own ? 1 : nr) && i < 2; i++) {
		struct tables_stage *s = &w->s[i];
		const uint64_t ad = i ? ad_ss : ad_fs, *x = i ? gpa : w->target;

		for (k = 0; k < TARGETS; k++) {
			e = *tables_entry(s, x[k], 1);
			/* Another page, not present, read only with another page. */
			add_slot(w, s, x[k], 1, e ^ 0x1000, e & ~UINT64_C(3), (e ^ 0x200000) & ~2);
		}
		for (k = 0; k < TARGETS; k += 2) {
			e = *tables_entry(s, x[k], 2);
			table = page_of(e);
			/* A table with other pages, no table, a large page. */
			twin = twin_page(s, table, 0x200000);
			add_slot(w, s, x[k], 2, (e ^ table) | twin, 0,
				 UINT64_C(0x40000000) | 0x87 | ad);
		}
		for (k = 0; k < TARGETS; k += 4) {
			e = *tables_entry(s, x[k], 3);
			table = page_of(e);
			/* The same tables by another way, no write, a reserved bit. */
			twin = twin_page(s, table, 0);
			add_slot(w, s, x[k], 3, (e ^ table) | twin, e & ~UINT64_C(2),
				 e | UINT64_C(1) << 51);
		}
		e = *tables_entry(s, x[0], 4);
		table = page_of(e);
		twin = twin_page(s, table, 0);
		add_slot(w, s, x[0], 4, (e ^ table) | twin, 0, e ^ 0x80);
	}
	/*
	 * The second stage's leaf below a first-stage table of level 1: another copy, nothing, no
	 * read.
	 */
	if (nr > 1 && !w->own) {
		struct tables_stage *s = &w->s[0];

		table = page_of(*tables_entry(s, w->target[0], 2));
		twin = twin_page(s, table, 0x800000);
		e = *tables_entry(&w->s[1], table, 1);
		add_slot(w, &w->s[1], table, 1, *tables_entry(&w->s[1], twin, 1), 0,
			 e & ~UINT64_C(1));
	}
	tables_stack(&w->s[0], HAW, w->mem, &w->stack);
	for (i = 1; i < nr; i++)
		w->stack.stage[i].flags |= w->track ? VIOMMU_STAGE_AD : 0;
	w->copy_stack = w->stack;
	w->copy_stack.mem = w->copy_mem;
	memcpy(w->copy.host, w->t.host, w->t.used);
	if (w->own) {
		struct viommu_stage *last = &w->stack.stage[nr - 1];
		uint64_t *p = (uint64_t *)w->t.host, n;

		/* Only entries of the last stage hold physical addresses. */
		for (n = 0; n < w->t.used / 8; n++)
			p[n] = own_entry(w, p[n]);
		last->root = own_entry(w, last->root);
		last->flags |= VIOMMU__STAGE_OWN;
	}
}

static void spin(struct rng *rng, unsigned int most)
{
	volatile unsigned int n = (unsigned int)rng_below(rng, most);

	while (n)
		n--;
}

static void *editor_run(void *arg)
{
	struct world *w = arg;
	uint64_t n, seen[WALKERS];
	unsigned int i, left = 1;

	for (n = 0; n < EDITS && !load(&w->stop); n++) {
		struct slot *slot = &w->slot[rng_below(&w->rng, w->nr_slots)];
		uint64_t v = slot->value[rng_one_in(&w->rng, 2) ? 0 : rng_below(&w->rng, VALUES)];
		uint64_t now = load(slot->host);

		/* Not under track: the walkers' A and D bits make it another value. */
		if (v == now) {
			n--;
			continue;
		}
		w->edit[n] = (struct edit){ .phys = slot->phys, .before = now, .after = v };
		store(&w->started, n + 1);
		store(slot->host, v);
		store(&w->done, n + 1);
		w->nr_edits = n + 1;
		if (--left)
			continue;
		left = (unsigned int)rng_range(&w->rng, 1, w->burst);
		for (i = 0; i < w->nr_walkers; i++)
			seen[i] = load(&w->walker[i].begun);
		for (i = 0; i < w->nr_walkers; i++) {
			while (load(&w->walker[i].begun) == seen[i] && !load(&w->stop))
				sched_yield();
		}
		spin(&w->rng, 1000);
	}
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Every other walk stops at one of its reads until somebody made an edit: or a machine with few
 * processors to spare would run the two threads by turns, and hardly a walk met an edit.
 */
struct pause {
	struct viommu_recorder rec;
	struct world *w;
	unsigned int step; /* steps until the stop */
	uint64_t c0;
};

static void pause_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct pause *p = (struct pause *)rec;
	unsigned int tries = 100;

	(void)step;
	if (p->step-- != 0)
		return;
	/* Not for ever: the editor may be the one that waits. */
	while (load(&p->w->done) == p->c0 && tries--)
		sched_yield();
}

static void *walker_run(void *arg)
{
	static const uint32_t kinds[] = { VIOMMU_READ, VIOMMU_WRITE, VIOMMU_READ | VIOMMU_PRIV,
					  VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC };
	struct walker *me = arg;
	struct world *w = me->w;
	struct pause pause = { .rec.step = pause_step, .w = w };
	unsigned int most = 1;
	uint64_t n;

	for (n = 0; n < w->nr_stages; n++)
		most *= 5;

	/*
	 * Walks that met an edit are kept, and one in 16 of the others. On a machine with nothing
	 * else to run the goal is reached in a moment.
	 */
	for (n = 0; me->met < w->goal && me->nr < RECORDS; n++) {
		struct record *r = &me->record[me->nr];

		if (n % 256 == 0) {
			if (now_ms() >= w->deadline_ms)
				break;
			sched_yield();
		}
		r->addr = w->target[rng_below(&me->rng, TARGETS)] | rng_below(&me->rng, 4096);
		r->access = kinds[rng_below(&me->rng, sizeof(kinds) / sizeof(kinds[0]))];
		store(&me->begun, n + 1);
		r->c0 = load(&w->done);
		pause.c0 = r->c0;
		pause.step = (unsigned int)rng_below(&me->rng, most);
		if (w->own)
			r->ret = viommu__walk(&w->stack, r->addr, r->access, 0,
					      n % 8 ? NULL : &pause.rec, &r->res);
		else
			r->ret = viommu_walk(&w->stack, r->addr, r->access, 0,
					     n % 2 ? NULL : &pause.rec, &r->res);
		r->c1 = load(&w->started);
		me->met += r->c1 > r->c0;
		if (r->c1 > r->c0 || n % 16 == 0)
			me->nr++;
	}
	me->walks = n;
	/* The others may wait for this one no longer. */
	store(&me->begun, UINT64_MAX);
	return NULL;
}

static uint64_t *copy_entry(struct world *w, uint64_t phys)
{
	return tables_ptr(&w->copy, phys);
}

/* Bring the copy to the state after this many edits. */
static void go_to(struct world *w, uint64_t state)
{
	for (; w->at < state; w->at++)
		*copy_entry(w, w->edit[w->at].phys) = w->edit[w->at].after;
	for (; w->at > state; w->at--)
		*copy_entry(w, w->edit[w->at - 1].phys) = w->edit[w->at - 1].before;
}

/* Is this result the oracle's on the copy as it is? */
static bool is_result(struct world *w, const struct record *r)
{
	struct viommu_walk_result *o = &w->oracle.walk, res = r->res;
	char why[200];

	oracle_walk(&w->copy_stack, r->addr, r->access, 0, &w->oracle);
	if (w->track) {
		/* When A and D were set is between the walkers: leave out what depends on it. */
		uint64_t bits = o->fault.stage ? 0x300 : 0x60;

		res.perm &= VIOMMU_PERM_R | VIOMMU_PERM_SR;
		o->perm &= VIOMMU_PERM_R | VIOMMU_PERM_SR;
		res.fault.entry &= ~bits;
		o->fault.entry &= ~bits;
		res.reads = o->reads;
	}
	if (w->own && !o->fault.reason == !res.fault.reason && o->fault.stage == 1) {
		o->fault.entry = own_entry(w, o->fault.entry);
		o->fault.entry_addr = own_entry(w, o->fault.entry_addr);
	}
	/* Data and tables have no memory of their own behind the outputs. */
	res.host = o->host = NULL;
	return oracle_same(&w->oracle, r->ret, &res, why, sizeof(why));
}

enum verdict {
	WRONG,
	ONE_STATE,
	MIXTURE,
};

/* Every combination of the values that each entry had from c0 to c1. */
static enum verdict judge_mixtures(struct world *w, const struct record *r)
{
	struct {
		uint64_t phys, value[BURST + 1];
		unsigned int nr, now;
	} e[BURST];
	unsigned int nr = 0, i, j;
	uint64_t n, combinations = 1;
	bool found = false;

	go_to(w, r->c0);
	for (n = r->c0; n < r->c1; n++) {
		const struct edit *edit = &w->edit[n];

		for (i = 0; i < nr && e[i].phys != edit->phys; i++)
			;
		if (i == nr) {
			e[nr].phys = edit->phys;
			e[nr].value[0] = edit->before;
			e[nr].nr = 1;
			e[nr++].now = 0;
		}
		for (j = 0; j < e[i].nr && e[i].value[j] != edit->after; j++)
			;
		if (j == e[i].nr)
			e[i].value[e[i].nr++] = edit->after;
	}
	for (i = 0; i < nr; i++)
		combinations *= e[i].nr;
	for (n = 0; n < combinations && !found; n++) {
		uint64_t rest = n;

		for (i = 0; i < nr; i++, rest /= e[i - 1].nr)
			*copy_entry(w, e[i].phys) = e[i].value[rest % e[i].nr];
		found = is_result(w, r);
	}
	for (i = 0; i < nr; i++)
		*copy_entry(w, e[i].phys) = e[i].value[0];
	return found ? MIXTURE : WRONG;
}

static enum verdict judge(struct world *w, const struct record *r)
{
	uint64_t state;

	assert_in_range(r->c1 - r->c0, 0, w->burst);
	for (state = r->c0; state <= r->c1; state++) {
		go_to(w, state);
		if (is_result(w, r))
			return ONE_STATE;
	}
	return r->c1 - r->c0 > 1 ? judge_mixtures(w, r) : WRONG;
}

/* Results that no walk may give: the checker must call each of them wrong. */
static unsigned int torn_results_are_found(struct world *w, const struct record *r)
{
	struct record torn = *r;
	unsigned int tried = 0;

	if (r->ret)
		return 0;
	/* The page of one state, the size of another. */
	torn.res.page_lg2 = r->res.page_lg2 == 12 ? 21 : 12;
	assert_int_equal(judge(w, &torn), WRONG);
	/* Half of the address from elsewhere. */
	torn = *r;
	torn.res.out ^= 0x500000;
	assert_int_equal(judge(w, &torn), WRONG);
	tried += 2;
	if (r->c0 != r->c1 || !r->c0)
		return tried;
	/* A state that was over before the walk began, if it gives anything else. */
	go_to(w, r->c0 - 1);
	if (!is_result(w, r)) {
		torn = *r;
		torn.ret = w->oracle.ret;
		torn.res = w->oracle.walk;
		assert_int_equal(judge(w, &torn), WRONG);
		tried++;
	}
	return tried;
}

enum mode {
	PRESET,
	TRACKED,
	OWN
};

static void run(unsigned int nr_stages, unsigned int burst, enum mode mode)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t verdicts[3] = { 0 }, walks = 0, judged = 0, met = 0, most = 0, tried = 0,
		 passed = 0;
	uint64_t n, p;
	unsigned int i;
	pthread_t editor;
	char label[64];
	long cpus;

	assert_non_null(w);
	snprintf(label, sizeof(label), "stages %u, bursts %u, %s", nr_stages, burst,
		 mode == OWN       ? "own"
		 : mode == TRACKED ? "tracked"
				   : "preset");
	rng_init(&w->rng, label);
	w->burst = burst;
	w->track = mode == TRACKED;
	w->own = mode == OWN;
	w->goal = test_scale(20000);
	w->deadline_ms = now_ms() + SECONDS * 1000;
	/*
	 * The editor has a processor of its own, or edits would wait for the end of a time slice.
	 */
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	w->nr_walkers = cpus <= 2 ? 1 : cpus <= 3 ? 2 : WALKERS;
	w->edit = calloc(EDITS, sizeof(*w->edit));
	assert_non_null(w->edit);
	tables_init(&w->t, ARENA, PAGES << 12);
	tables_init(&w->copy, ARENA, PAGES << 12);
	assert_int_equal(viommu_mem_new(&w->mem), 0);
	assert_int_equal(viommu_mem_new(&w->copy_mem), 0);
	assert_int_equal(tables_add_to(&w->t, w->mem), 0);
	assert_int_equal(tables_add_to(&w->copy, w->copy_mem), 0);
	build(w, nr_stages);
	for (i = 0; i < w->nr_walkers; i++) {
		struct walker *me = &w->walker[i];

		me->w = w;
		rng_init_seed(&me->rng, rng_u64(&w->rng));
		me->record = calloc(RECORDS, sizeof(*me->record));
		assert_non_null(me->record);
		assert_int_equal(pthread_create(&me->thread, NULL, walker_run, me), 0);
	}
	assert_int_equal(pthread_create(&editor, NULL, editor_run, w), 0);
	for (i = 0; i < w->nr_walkers; i++)
		pthread_join(w->walker[i].thread, NULL);
	store(&w->stop, 1);
	pthread_join(editor, NULL);

	for (i = 0; i < w->nr_walkers; i++) {
		walks += w->walker[i].walks;
		for (n = 0; n < w->walker[i].nr; n++) {
			const struct record *r = &w->walker[i].record[n];
			enum verdict v = judge(w, r);

			met += r->c1 > r->c0;
			judged++;
			most = r->c1 - r->c0 > most ? r->c1 - r->c0 : most;
			passed += r->ret == 0;
			verdicts[v]++;
			if (v == WRONG)
				fail_msg("%s: address %" PRIx64 " access %x between edits %" PRIu64
					 " and %" PRIu64 ": returned %d, reason %02x, out %" PRIx64,
					 label, r->addr, r->access, r->c0, r->c1, r->ret,
					 r->ret ? r->res.fault.reason : 0, r->res.out);
			if (!w->track && n % 8 == 0)
				tried += torn_results_are_found(w, r);
		}
	}
	printf("# %s: %" PRIu64 " edits; walks %" PRIu64 ", met an edit %" PRIu64
	       " (at most %" PRIu64 "), mixtures %" PRIu64 "; torn results found %" PRIu64 "\n",
	       label, w->nr_edits, walks, met, most, verdicts[MIXTURE], tried);
	assert_true(passed > 0 && passed < judged);
	assert_true(met > 0);
	assert_true(w->nr_edits > 10);
	assert_true(verdicts[MIXTURE] <= met / 100 + 2);
	assert_true(w->track || tried > 0);

	/* Nothing but the edits and A/D bits: an update never brings an old value back. */
	go_to(w, w->nr_edits);
	for (p = 0; p < w->t.used; p += 8) {
		uint64_t real = *(uint64_t *)(w->t.host + p),
			 copy = *(uint64_t *)(w->copy.host + p);

		if (!w->track)
			assert_int_equal(real, own_entry(w, copy));
		else
			assert_int_equal(real | 0x360, copy | 0x360);
	}
	for (i = 0; i < w->nr_walkers; i++)
		free(w->walker[i].record);
	viommu_mem_free(w->mem);
	viommu_mem_free(w->copy_mem);
	tables_free(&w->t);
	tables_free(&w->copy);
	free(w->edit);
	free(w);
}

static void one_stage_walks_match_a_state_between_begin_and_end(void **state)
{
	(void)state;
	run(1, 1, PRESET);
}

static void nested_walks_match_a_state_between_begin_and_end(void **state)
{
	(void)state;
	run(2, 1, PRESET);
}

static void three_stage_walks_match_a_state_between_begin_and_end(void **state)
{
	(void)state;
	run(3, 1, PRESET);
}

static void walks_among_bursts_of_edits_match_a_state_of_their_time(void **state)
{
	(void)state;
	run(1, BURST, PRESET);
	run(2, BURST, PRESET);
}

static void accessed_and_dirty_bits_never_undo_an_edit(void **state)
{
	(void)state;
	run(1, 1, TRACKED);
	run(2, 1, TRACKED);
	run(2, BURST, TRACKED);
}

static void walks_over_an_own_stage_match_a_state_of_their_time(void **state)
{
	(void)state;
	run(2, 1, OWN);
	run(2, BURST, OWN);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(one_stage_walks_match_a_state_between_begin_and_end),
	cmocka_unit_test(nested_walks_match_a_state_between_begin_and_end),
	cmocka_unit_test(three_stage_walks_match_a_state_between_begin_and_end),
	cmocka_unit_test(walks_among_bursts_of_edits_match_a_state_of_their_time),
	cmocka_unit_test(walks_over_an_own_stage_match_a_state_of_their_time),
	cmocka_unit_test(accessed_and_dirty_bits_never_undo_an_edit),
};

TEST_MAIN(tests)
