/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA threads against bind, rebind, unbind, every kind of invalidation, edits of guest tables,
 * removal of memory, the end of domains and the unplugging of devices. The oracle is use after
 * unbind: when a call that takes something away has returned, the page is stamped as forbidden, or
 * made inaccessible, at once; a DMA read that brings the forbidden stamp, a DMA write that changes
 * it, or a SIGSEGV is a bug. Stamps also tell the lane, the address and the generation they were
 * made for, so a page of somebody else, or of before an invalidation, is found as well.
 *
 *	mutator     owns a memory, a domain and LANES lanes; does one change after the other
 *	lane        a device, a host PASID, two sets of first-stage tables, a pool of data pages
 *	page        poisoned (of nobody), or live: mapped at one address of the lane's window
 *	DMA thread  any access to any lane, for ever
 *
 * The window is one range that is only read (so that long reads run), and one in which each thread
 * writes words of its own; no word is ever raced by the test itself, so ThreadSanitizer judges
 * guest memory, too. Two ways to cheat (an invalidation that is not waited for, one that leaves the
 * device's TLB alone) have to be caught in a child process.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <viommu/viommu.h>
#include "lib/tables.h"
#include "lib/test.h"

#define MUTATORS    2u
#define LANES       2u /* of each mutator */
#define DMA_THREADS 2u
#define VA          UINT64_C(0x7f1234000000)
#define READ_PAGES  24u
#define WRITE_PAGES 8u
#define PAGES       (READ_PAGES + WRITE_PAGES)
#define POOL        128u
#define WORDS       512u
#define SLOT_WORDS  64u /* of each thread in a page of the write range */
#define SET_PAGES   5u  /* top, level 3, level 2, and two tables of level 1 */
#define TABLE_PAGES (2 * SET_PAGES)
#define BURST       16u
#define NONE        0xffu

#define FORBIDDEN    UINT64_C(0x8000000000000000)
#define DMA_MADE     UINT64_C(0x4000000000000000)
#define TABLE_GPA(l) ((uint64_t)(l) << 28 | 0x1000000)
#define DATA_GPA(l)  ((uint64_t)(l) << 28 | 0x4000000)
#define ENTRY_P      UINT64_C(0x1)
#define ENTRY_RWU    UINT64_C(0x7)
#define ENTRY_MARKED UINT64_C(0x67)

#define load(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define count(p)    __atomic_fetch_add(p, 1, __ATOMIC_RELAXED)

enum cheat {
	HONEST,
	NO_DRAIN,  /* invalidates and does not wait */
	NO_DEVICE, /* leaves the device TLB alone */
};

/* What a lane's DMA is sent by; replaced as a whole. */
struct target {
	struct viommu_device *dev;
	struct viommu_devtlb *tlb; /* or NULL */
};

struct lane {
	unsigned int nr; /* among all */
	struct mutator *m;
	struct rng rng;
	struct viommu_hp hp;
	struct target *target;   /* DMA threads load it; NULL while there is none */
	uint64_t *tables;        /* TABLE_PAGES pages */
	uint64_t *data;          /* POOL pages */
	unsigned int set;        /* tables in use */
	unsigned int leaf;       /* 3 or 4: table of level 1 in use */
	bool bound, there;       /* there: the data region is in the memory */
	uint8_t page[PAGES];     /* which of the pool; NONE */
	uint64_t gen[PAGES];     /* of its stamp */
	uint64_t min_gen[PAGES]; /* older stamps must not be read any more: DMA threads load it */
	bool live[POOL];
	bool hidden[POOL]; /* PROT_NONE */
	uint64_t next_gen;
	const char *change; /* the last that began, for the report */
};

struct mutator {
	struct stress *s;
	unsigned int nr;
	pthread_t thread;
	struct viommu_mem *mem;
	struct viommu_domain *dom;
	struct lane lane[LANES];
	uint64_t done[16]; /* by kind of change */
};

struct dma_thread {
	struct stress *s;
	unsigned int nr;
	pthread_t thread;
	struct viommu_dma *dma;
	struct rng rng;
	uint64_t epoch; /* odd while targets are in use */
	uint64_t ok, faulted, again;
	uint64_t stamps; /* words looked at */
	uint64_t buf[READ_PAGES * WORDS];
};

struct stress {
	struct viommu_host *host;
	enum cheat cheat;
	uint64_t changes;
	struct mutator m[MUTATORS];
	struct dma_thread dma[DMA_THREADS];
	uint64_t requests;
	int stop;
	int broken; /* a bug was found */
	char what[256];
};

static void broken(struct stress *s, const char *what, const struct lane *l, unsigned int v,
		   uint64_t word)
{
	int none = 0;

	if (!__atomic_compare_exchange_n(&s->broken, &none, 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return;
	snprintf(s->what, sizeof(s->what),
		 "%s: lane %u, page %u, %#llx (not before %#llx); last change: %s", what, l->nr, v,
		 (unsigned long long)word, (unsigned long long)load(&l->min_gen[v]),
		 load(&l->change));
	store(&s->broken, 2);
	store(&s->stop, 1);
}

static uint64_t stamp(const struct lane *l, unsigned int v, uint64_t gen)
{
	return (uint64_t)l->nr << 56 | (uint64_t)v << 48 | gen;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static uint64_t *page_ptr(const struct lane *l, unsigned int p)
{
	return l->data + (size_t)p * WORDS;
}

/* Nobody may use it any more: from now on. */
static void page_poison(struct lane *l, unsigned int p)
{
	uint64_t *w = page_ptr(l, p);
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		w[i] = FORBIDDEN | p;
	if (rng_one_in(&l->rng, 4)) {
		assert_int_equal(mprotect(w, 4096, PROT_NONE), 0);
		l->hidden[p] = true;
	}
	l->live[p] = false;
}

/* A page of nobody, looked at: was it left alone? */
static unsigned int page_take(struct lane *l)
{
	unsigned int p = (unsigned int)rng_below(&l->rng, POOL), i;
	uint64_t *w;

	while (l->live[p])
		p = (p + 1) % POOL;
	w = page_ptr(l, p);
	if (l->hidden[p])
		assert_int_equal(mprotect(w, 4096, PROT_READ | PROT_WRITE), 0);
	l->hidden[p] = false;
	for (i = 0; i < WORDS; i++) {
		if (w[i] != (FORBIDDEN | p)) {
			broken(l->m->s, "written after it was taken away", l, 0, w[i]);
			break;
		}
	}
	l->live[p] = true;
	return p;
}

/*
 * The page that the lane has at v from now on, stamped. The one before is the caller's to poison.
 */
static void page_new(struct lane *l, unsigned int v)
{
	unsigned int p = page_take(l), i;
	uint64_t gen = ++l->next_gen, *w = page_ptr(l, p);

	for (i = 0; i < WORDS; i++)
		w[i] = stamp(l, v, gen);
	l->page[v] = (uint8_t)p;
	l->gen[v] = gen;
}

/* ---- guest tables ---------------------------------------------------------------------------- */

static uint64_t table_gpa(const struct lane *l, unsigned int n)
{
	return TABLE_GPA(l->nr % LANES) + (uint64_t)(l->set * SET_PAGES + n) * 4096;
}

static uint64_t *table_ptr(const struct lane *l, unsigned int n)
{
	return l->tables + (size_t)(l->set * SET_PAGES + n) * WORDS;
}

static uint64_t *leaf_entry(const struct lane *l, unsigned int v)
{
	return &table_ptr(l, l->leaf)[(VA >> 12 & 511) + v];
}

static void entry_set(struct lane *l, unsigned int v)
{
	uint64_t e = 0;

	if (l->page[v] != NONE)
		e = (DATA_GPA(l->nr % LANES) + l->page[v] * UINT64_C(4096)) |
		    (rng_one_in(&l->rng, 2) ? ENTRY_MARKED : ENTRY_RWU);
	store(leaf_entry(l, v), e);
}

static void leaf_link(struct lane *l)
{
	store(&table_ptr(l, 2)[VA >> 21 & 511], table_gpa(l, l->leaf) | ENTRY_RWU);
}

static void tables_write(struct lane *l)
{
	unsigned int v;

	for (v = 0; v < PAGES; v++)
		entry_set(l, v);
	leaf_link(l);
	store(&table_ptr(l, 1)[VA >> 30 & 511], table_gpa(l, 2) | ENTRY_RWU);
	store(&table_ptr(l, 0)[VA >> 39 & 511], table_gpa(l, 1) | ENTRY_RWU);
}

/*
 * A table that nobody may walk any more leads to a poisoned page: who walks it all the same is
 * found out. `trap` stays poisoned and visible.
 */
static void leaf_trap(struct lane *l, uint64_t *table, unsigned int trap)
{
	unsigned int v;

	for (v = 0; v < PAGES; v++)
		store(&table[(VA >> 12 & 511) + v],
		      (DATA_GPA(l->nr % LANES) + trap * UINT64_C(4096)) | ENTRY_MARKED);
}

/* ---- what a mutator takes away --------------------------------------------------------------- */

/* The pages of `old` are nobody's now. */
static void old_poison(struct lane *l, const uint8_t *old)
{
	unsigned int v;

	for (v = 0; v < PAGES; v++)
		if (old[v] != NONE && old[v] != l->page[v])
			store(&l->min_gen[v], l->page[v] == NONE ? l->next_gen + 1 : l->gen[v]);
	for (v = 0; v < PAGES; v++)
		if (old[v] != NONE && old[v] != l->page[v])
			page_poison(l, old[v]);
}

static void all_poison(struct lane *l)
{
	uint8_t old[PAGES];

	memcpy(old, l->page, sizeof(old));
	memset(l->page, NONE, sizeof(l->page));
	old_poison(l, old);
}

static void all_new(struct lane *l)
{
	unsigned int v;

	for (v = 0; v < PAGES; v++)
		page_new(l, v);
	tables_write(l);
}

static struct viommu_gpasid_bind bind_of(const struct lane *l)
{
	return (struct viommu_gpasid_bind){
		.size = sizeof(struct viommu_gpasid_bind),
		.flags = VIOMMU_GPASID_VALID,
		.addr_width = 48,
		.gp = { l->nr + 1 },
		.hp = l->hp,
		.gpgd = table_gpa(l, 0),
	};
}

static void lane_bind(struct lane *l)
{
	const struct viommu_gpasid_bind b = bind_of(l);

	assert_int_equal(viommu_host_bind_gpasid(load(&l->target)->dev, l->m->dom, &b), 0);
	l->bound = true;
}

/* Any granularity that covers the lane. */
static void lane_invalidate(struct lane *l, uint32_t flags)
{
	struct stress *s = l->m->s;
	struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = (uint32_t)rng_range(&l->rng, VIOMMU_INVALIDATE_GLOBAL,
						   VIOMMU_INVALIDATE_RANGE),
		.flags = flags,
		.hp = l->hp,
		.addr = VA,
		.bytes = PAGES * 4096,
	};

	if (s->cheat == NO_DEVICE)
		inv.flags |= VIOMMU_INVALIDATE_NO_DEVICE;
	if (s->cheat == NO_DRAIN)
		inv.flags |= VIOMMU_INVALIDATE_NO_DRAIN;
	if (!s->cheat && rng_one_in(&l->rng, 3)) {
		inv.flags |= VIOMMU_INVALIDATE_NO_DRAIN;
		assert_int_equal(viommu_host_invalidate(s->host, l->m->dom, &inv), 0);
		viommu_host_drain(s->host);
		return;
	}
	assert_int_equal(viommu_host_invalidate(s->host, l->m->dom, &inv), 0);
}

/* The guest maps other pages, or none, and invalidates. */
static void change_map(struct lane *l)
{
	unsigned int n = (unsigned int)rng_range(&l->rng, 1, PAGES), v;
	bool unmap = rng_one_in(&l->rng, 4);
	uint8_t old[PAGES];

	memcpy(old, l->page, sizeof(old));
	while (n--) {
		v = (unsigned int)rng_below(&l->rng, PAGES);
		if (l->page[v] != old[v])
			continue;
		if (unmap)
			l->page[v] = NONE;
		else
			page_new(l, v);
		entry_set(l, v);
	}
	lane_invalidate(l, rng_one_in(&l->rng, 2) ? VIOMMU_INVALIDATE_LEAF : 0);
	old_poison(l, old);
}

/* What is not mapped gets a page; absence is never cached, so nothing is invalidated. */
static void change_fill(struct lane *l)
{
	unsigned int v;

	for (v = 0; v < PAGES; v++) {
		if (l->page[v] != NONE)
			continue;
		page_new(l, v);
		entry_set(l, v);
	}
}

/* The guest puts another table of level 1 in place, with other pages, and uses the old one anew. */
static void change_table(struct lane *l)
{
	unsigned int trap = page_take(l), v;
	uint64_t *before = table_ptr(l, l->leaf);
	uint8_t old[PAGES];

	for (v = 0; v < WORDS; v++)
		page_ptr(l, trap)[v] = FORBIDDEN | trap;
	memcpy(old, l->page, sizeof(old));
	l->leaf = 7 - l->leaf;
	for (v = 0; v < PAGES; v++) {
		page_new(l, v);
		entry_set(l, v);
	}
	leaf_link(l);
	lane_invalidate(l, 0);
	leaf_trap(l, before, trap);
	old_poison(l, old);
	l->live[trap] = false; /* still poisoned: page_take() looks at it */
}

static void change_unbind(struct lane *l)
{
	assert_int_equal(viommu_host_unbind_gpasid(load(&l->target)->dev, l->hp), 0);
	all_poison(l);
	all_new(l);
	lane_bind(l);
}

/* The other set of tables, with other pages. */
static void change_rebind(struct lane *l)
{
	struct viommu_bind b = { .size = sizeof(b),
				 .kind = VIOMMU_BIND_NESTED,
				 .flags = VIOMMU_GPASID_VALID,
				 .gp = { l->nr + 1 },
				 .nr = 1 };
	uint64_t *before = table_ptr(l, l->leaf);
	unsigned int trap = page_take(l), v;
	uint8_t old[PAGES];

	for (v = 0; v < WORDS; v++)
		page_ptr(l, trap)[v] = FORBIDDEN | trap;
	memcpy(old, l->page, sizeof(old));
	l->set = !l->set;
	for (v = 0; v < PAGES; v++)
		page_new(l, v);
	tables_write(l);
	b.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
					    .levels = 4,
					    .root = table_gpa(l, 0) };
	assert_int_equal(viommu_host_rebind(load(&l->target)->dev, l->m->dom, l->hp, &b), 0);
	leaf_trap(l, before, trap);
	old_poison(l, old);
	l->live[trap] = false;
}

static int data_add(struct lane *l)
{
	return viommu_mem_add_ptr(l->m->mem, DATA_GPA(l->nr % LANES), POOL * 4096, l->data, 0);
}

/*
 * The memory goes, and comes back with other contents. The guest invalidates before that: else an
 * access that read an entry of before may find the old page there again.
 */
static void change_memory(struct lane *l)
{
	bool fill = rng_one_in(&l->rng, 2);

	assert_int_equal(viommu_mem_remove(l->m->mem, DATA_GPA(l->nr % LANES), POOL * 4096), 0);
	all_poison(l);
	if (fill)
		all_new(l);
	else
		tables_write(l);
	lane_invalidate(l, 0);
	assert_int_equal(data_add(l), 0);
	if (!fill)
		change_fill(l);
}

/* Until no DMA thread has a target of before. */
static void threads_pass(struct stress *s)
{
	unsigned int i;

	for (i = 0; i < DMA_THREADS; i++) {
		uint64_t epoch = __atomic_load_n(&s->dma[i].epoch, __ATOMIC_SEQ_CST);

		/* A thread that waits for a page is woken by the unplug of what it waits for. */
		while ((epoch & 1) && load(&s->dma[i].epoch) == epoch) {
			viommu_host_expire_page_requests(s->host);
			sched_yield();
		}
	}
}

static struct target *target_new(struct lane *l)
{
	struct viommu_device_config c = {
		.size = sizeof(c),
		.sid = (uint16_t)(0x100 + l->nr),
		.flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS,
	};
	struct target *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	if (l->nr % 2)
		c.flags |= VIOMMU_DEVICE_PRI;
	assert_int_equal(viommu_device_new(l->m->s->host, &c, &t->dev), 0);
	assert_int_equal(viommu_devtlb_new(t->dev, 64, &t->tlb), 0);
	return t;
}

static void target_free(struct target *t)
{
	viommu_devtlb_free(t->tlb);
	viommu_device_free(t->dev);
	free(t);
}

/* Surprise removal, then another device in the slot. */
static void change_device(struct lane *l)
{
	struct target *old = load(&l->target);

	assert_int_equal(viommu_device_unplug(old->dev), 0);
	all_poison(l);
	__atomic_store_n(&l->target, NULL, __ATOMIC_SEQ_CST);
	threads_pass(l->m->s);
	target_free(old);
	store(&l->target, target_new(l));
	all_new(l);
	lane_bind(l);
}

static void domain_make(struct mutator *m)
{
	unsigned int i;

	assert_int_equal(viommu_domain_new(m->s->host, m->mem, NULL, &m->dom), 0);
	for (i = 0; i < LANES; i++)
		assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(m->dom), m->lane[i].hp),
				 0);
}

static void change_domain(struct mutator *m)
{
	unsigned int i;

	viommu_domain_free(m->dom);
	for (i = 0; i < LANES; i++)
		all_poison(&m->lane[i]);
	domain_make(m);
	for (i = 0; i < LANES; i++) {
		all_new(&m->lane[i]);
		lane_bind(&m->lane[i]);
	}
}

static const struct {
	const char *name;
	void (*change)(struct lane *l);
	unsigned int weight;
} changes[] = {
	{ "map", change_map, 10 },      { "fill", change_fill, 4 },
	{ "table", change_table, 4 },   { "unbind", change_unbind, 6 },
	{ "rebind", change_rebind, 6 }, { "memory", change_memory, 4 },
	{ "device", change_device, 2 }, { "domain", NULL, 1 },
};

static unsigned int change_draw(struct rng *rng)
{
	unsigned int sum = 0, i, n;

	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		sum += changes[i].weight;
	n = (unsigned int)rng_below(rng, sum);
	for (i = 0; n >= changes[i].weight; i++)
		n -= changes[i].weight;
	return i;
}

static void *mutate(void *arg)
{
	struct mutator *m = arg;
	struct stress *s = m->s;
	struct rng *rng = &m->lane[0].rng;
	uint64_t i;

	for (i = 0; i < s->changes && !load(&s->stop); i++) {
		struct lane *l = &m->lane[rng_below(rng, LANES)];
		unsigned int n = s->cheat ? 0 : change_draw(rng);

		m->done[n]++;
		store(&l->change, changes[n].name);
		if (changes[n].change)
			changes[n].change(l);
		else
			change_domain(m);
		if (s->cheat && rng_one_in(rng, 2))
			change_fill(l);
		if (rng_one_in(rng, 8))
			viommu_host_expire_page_requests(s->host);
		if (rng_one_in(rng, 16))
			viommu_device_pri_reset(load(&l->target)->dev);
		/* On one processor nothing would run beside. */
		if (rng_one_in(rng, 4))
			sched_yield();
	}
	return NULL;
}

/* ---- DMA ------------------------------------------------------------------------------------- */

/* Words read from `addr` on, on one or more pages. */
static void words_check(struct dma_thread *t, const struct lane *l, const uint64_t *min,
			uint64_t addr, const uint64_t *w, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		unsigned int v = (unsigned int)((addr + i * 8 - VA) >> 12);

		if (w[i] & FORBIDDEN)
			broken(t->s, "read after it was taken away", l, v, w[i]);
		else if (w[i] >> 48 != stamp(l, v, 0) >> 48)
			broken(t->s, "somebody else's page", l, v, w[i]);
		else if ((w[i] & (UINT64_MAX >> 16)) < min[v])
			broken(t->s, "a page of before", l, v, w[i]);
	}
	t->stamps += n;
}

static uint64_t own_slot(const struct dma_thread *t, struct rng *rng)
{
	uint64_t v = READ_PAGES + rng_below(rng, WRITE_PAGES);

	return VA + v * 4096 + t->nr * (uint64_t)SLOT_WORDS * 8;
}

static int access_once(struct dma_thread *t, struct lane *l, const struct target *target)
{
	static const uint32_t flags[] = { 0, 0, VIOMMU_DMA_NO_ALLOCATE, VIOMMU_DMA_NO_WAIT };
	struct rng *rng = &t->rng;
	uint32_t f = flags[rng_below(rng, 4)], pasid = l->hp.v;
	uint64_t first = rng_below(rng, READ_PAGES), n, addr, slot = own_slot(t, rng);
	struct viommu_dma_seg seg[4];
	struct viommu_dma_result res = { 0 };
	uint64_t min[PAGES], old, i;
	int ret;

	for (i = 0; i < PAGES; i++)
		min[i] = load(&l->min_gen[i]);
	n = rng_one_in(rng, 3) ? READ_PAGES - first : 1;
	addr = VA + first * 4096;
	for (i = 0; i < SLOT_WORDS; i++)
		t->buf[i] = DMA_MADE | t->nr;
	switch (rng_below(rng, 10)) {
	case 0: /* a small one */
		addr += rng_below(rng, WORDS) * 8;
		ret = viommu_dma_read(t->dma, target->dev, pasid, addr, t->buf, 8, f, &res);
		words_check(t, l, min, addr, t->buf, ret ? 0 : 1);
		break;
	case 1:
	case 2:
		ret = viommu_dma_read(t->dma, target->dev, pasid, addr, t->buf, n * 4096, f, &res);
		words_check(t, l, min, addr, t->buf, res.done / 8);
		break;
	case 3:
		ret = viommu_devtlb_read(target->tlb, t->dma, pasid, addr, t->buf, n * 4096, f,
					 &res);
		words_check(t, l, min, addr, t->buf, res.done / 8);
		break;
	case 4:
		for (i = 0; i < 4; i++)
			seg[i] = (struct viommu_dma_seg){ VA + rng_below(rng, READ_PAGES) * 4096,
							  1024 };
		ret = viommu_dma_readv(t->dma, target->dev, pasid, seg, 4, t->buf, f, &res);
		for (i = 0; i < res.done / 1024; i++)
			words_check(t, l, min, seg[i].addr, t->buf + i * 128, 128);
		break;
	case 5:
		ret = viommu_dma_write(t->dma, target->dev, pasid, slot, t->buf, SLOT_WORDS * 8, f,
				       &res);
		break;
	case 6:
		ret = viommu_devtlb_write(target->tlb, t->dma, pasid, slot, t->buf, SLOT_WORDS * 8,
					  f, &res);
		break;
	case 7:
		ret = viommu_dma_fill(t->dma, target->dev, pasid, slot, DMA_MADE, SLOT_WORDS * 8, f,
				      &res);
		break;
	case 8:
		ret = viommu_dma_copy(t->dma, target->dev, pasid, slot, pasid, addr, SLOT_WORDS * 8,
				      f, &res);
		break;
	default:
		ret = viommu_dma_atomic(t->dma, target->dev, pasid, slot, 8, VIOMMU_ATOMIC_SWAP,
					DMA_MADE, 0, f & VIOMMU_DMA_NO_WAIT, &old, &res);
		if (!ret && (old & FORBIDDEN))
			broken(t->s, "swapped after it was taken away", l,
			       (unsigned int)((slot - VA) >> 12), old);
	}
	return ret;
}

static void *dma_run(void *arg)
{
	struct dma_thread *t = arg;
	struct stress *s = t->s;
	unsigned int i;

	while (!load(&s->stop)) {
		struct mutator *m = &s->m[rng_below(&t->rng, MUTATORS)];
		struct lane *l = &m->lane[rng_below(&t->rng, LANES)];
		struct target *target;

		__atomic_fetch_add(&t->epoch, 1, __ATOMIC_SEQ_CST);
		target = __atomic_load_n(&l->target, __ATOMIC_SEQ_CST);
		for (i = 0; target && i < BURST && !load(&s->stop); i++) {
			int ret = access_once(t, l, target);

			if (ret == 0)
				t->ok++;
			else if (ret == VIOMMU_FAULTED)
				t->faulted++;
			else if (ret == -EAGAIN)
				t->again++;
			else
				broken(s, "an access returned", l, 0, (uint64_t)ret);
		}
		__atomic_fetch_add(&t->epoch, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Answered at once, in all ways, or left to viommu_host_expire_page_requests(). */
static void page_request(void *ctx, struct viommu_device *dev,
			 const struct viommu_page_request *req)
{
	static const uint16_t codes[] = { VIOMMU_RESPONSE_SUCCESS, VIOMMU_RESPONSE_SUCCESS,
					  VIOMMU_RESPONSE_INVALID, VIOMMU_RESPONSE_FAILURE };
	struct stress *s = ctx;
	uint64_t n = count(&s->requests);
	const struct viommu_page_response resp = {
		.size = sizeof(resp),
		.pasid = req->pasid,
		.prgi = req->prgi,
		.code = codes[n % 4],
	};

	if (n % 5)
		viommu_host_page_response(dev, &resp);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void on_segv(int sig)
{
	static const char text[] = "# SIGSEGV: DMA touched a page that was taken away\n";

	(void)sig;
	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(4);
	_exit(3);
}

static uint64_t *pages_map(size_t pages)
{
	void *p = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void lane_open(struct mutator *m, unsigned int i)
{
	struct lane *l = &m->lane[i];
	unsigned int p;
	char label[32];

	l->nr = m->nr * LANES + i;
	l->m = m;
	snprintf(label, sizeof(label), "lane %u", l->nr);
	rng_init(&l->rng, label);
	l->hp.v = 100 + l->nr;
	l->leaf = 3;
	l->change = "none";
	memset(l->page, NONE, sizeof(l->page));
	l->tables = pages_map(TABLE_PAGES);
	l->data = pages_map(POOL);
	for (p = 0; p < POOL; p++)
		page_poison(l, p);
	assert_int_equal(viommu_mem_add_ptr(m->mem, TABLE_GPA(i), TABLE_PAGES * 4096, l->tables, 0),
			 0);
	assert_int_equal(data_add(l), 0);
}

static void mutator_open(struct stress *s, unsigned int n)
{
	struct mutator *m = &s->m[n];
	unsigned int i;

	m->s = s;
	m->nr = n;
	assert_int_equal(viommu_mem_new(&m->mem), 0);
	for (i = 0; i < LANES; i++)
		lane_open(m, i);
	domain_make(m);
	for (i = 0; i < LANES; i++) {
		m->lane[i].target = target_new(&m->lane[i]);
		all_new(&m->lane[i]);
		lane_bind(&m->lane[i]);
	}
}

static void mutator_close(struct mutator *m)
{
	unsigned int i, p;

	for (i = 0; i < LANES; i++) {
		struct lane *l = &m->lane[i];

		target_free(l->target);
		all_poison(l);
		for (p = 0; p < POOL; p++)
			page_take(l);
	}
	viommu_domain_free(m->dom);
	viommu_mem_free(m->mem);
	for (i = 0; i < LANES; i++) {
		munmap(m->lane[i].tables, TABLE_PAGES * 4096);
		munmap(m->lane[i].data, POOL * 4096);
	}
}

static void threads_run(struct stress *s)
{
	unsigned int i;

	for (i = 0; i < DMA_THREADS; i++) {
		struct dma_thread *t = &s->dma[i];
		char label[32];

		t->s = s;
		t->nr = i;
		snprintf(label, sizeof(label), "DMA %u", i);
		rng_init(&t->rng, label);
		assert_int_equal(viommu_dma_new(s->host, &t->dma), 0);
		assert_int_equal(pthread_create(&t->thread, NULL, dma_run, t), 0);
	}
	for (i = 0; i < MUTATORS; i++)
		assert_int_equal(pthread_create(&s->m[i].thread, NULL, mutate, &s->m[i]), 0);
	for (i = 0; i < MUTATORS; i++)
		assert_int_equal(pthread_join(s->m[i].thread, NULL), 0);
	store(&s->stop, 1);
	/* Who waits for a page gets an answer. */
	threads_pass(s);
	for (i = 0; i < DMA_THREADS; i++) {
		assert_int_equal(pthread_join(s->dma[i].thread, NULL), 0);
		viommu_dma_free(s->dma[i].dma);
	}
}

static struct stress *stress_run(enum cheat cheat, uint64_t changes_wanted)
{
	struct stress *s = calloc(1, sizeof(*s));
	struct viommu_host_config c = { .size = sizeof(c) };
	struct sigaction sa = { .sa_handler = on_segv }, before;
	unsigned int i;

	assert_non_null(s);
	s->cheat = cheat;
	s->changes = changes_wanted;
	c.ops.ctx = s;
	c.ops.page_request = page_request;
	test_seed();
	assert_int_equal(sigaction(SIGSEGV, &sa, &before), 0);
	assert_int_equal(viommu_host_new(&c, &s->host), 0);
	for (i = 0; i < MUTATORS; i++)
		mutator_open(s, i);
	threads_run(s);
	for (i = 0; i < MUTATORS; i++)
		mutator_close(&s->m[i]);
	viommu_host_free(s->host);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	return s;
}

/* VTD-TAG-07 */
static void no_dma_uses_what_was_taken_away(void **state)
{
	struct stress *s = stress_run(HONEST, test_scale(6000));
	uint64_t ok = 0, faulted = 0, again = 0, stamps = 0;
	unsigned int i, n;

	(void)state;
	for (i = 0; i < DMA_THREADS; i++) {
		ok += s->dma[i].ok;
		faulted += s->dma[i].faulted;
		again += s->dma[i].again;
		stamps += s->dma[i].stamps;
	}
	printf("# accesses: %llu done, %llu faulted, %llu to be repeated; %llu stamps read, %llu "
	       "page requests\n",
	       (unsigned long long)ok, (unsigned long long)faulted, (unsigned long long)again,
	       (unsigned long long)stamps, (unsigned long long)s->requests);
	for (n = 0; n < sizeof(changes) / sizeof(changes[0]); n++) {
		printf("# changes: %s %llu + %llu\n", changes[n].name,
		       (unsigned long long)s->m[0].done[n], (unsigned long long)s->m[1].done[n]);
	}
	if (load(&s->broken))
		fail_msg("%s", s->what);
	/* It did run. */
	assert_true(ok > 100 && faulted > 0 && stamps > 1000);
	free(s);
}

/* 0 if the child that cheats found nothing. */
static int caught(enum cheat cheat)
{
	int status;
	pid_t child;

	test_seed();
	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct stress *s;

		/* A report of ThreadSanitizer's is expected, and is not for the reader. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		s = stress_run(cheat, 200000);
		printf("# %s\n", s->what);
		fflush(stdout);
		_exit(load(&s->broken) ? 3 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void an_invalidation_that_does_not_wait_is_caught(void **state)
{
	(void)state;
	assert_int_not_equal(caught(NO_DRAIN), 0);
}

static void a_device_tlb_that_is_left_alone_is_caught(void **state)
{
	(void)state;
	assert_int_not_equal(caught(NO_DEVICE), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(an_invalidation_that_does_not_wait_is_caught),
	cmocka_unit_test(a_device_tlb_that_is_left_alone_is_caught),
	cmocka_unit_test(no_dma_uses_what_was_taken_away),
};
TEST_MAIN(tests)
