/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STATE: what moving a VM costs. Writes while its dirty pages are tracked, and reading the bitmap
 * of them; a board that is paused, saved, loaded into another and resumed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <viommu/state.h>

#include "bench_guest.h"

/* ---- Writes ---- */

#define WRITE_BYTES (64 * MIB)
/* All of it in pages of 2 MiB, and its first MiB in pages of 4 KiB. */
#define LARGE_BASE  UINT64_C(0x7f1200000000)
#define SMALL_BASE  UINT64_C(0x7f3400000000)
#define SMALL_PAGES 256u

struct writes {
	struct vm vm;
	uint32_t pasid;
	uint64_t gva;
	uint64_t pages; /* a power of 2 */
	uint64_t bytes;
	uint64_t at;
	uint64_t errors;
	uint64_t bitmap[WRITE_BYTES / PAGE / 64];
	uint8_t buf[PAGE];
};

static void writes_open(struct writes *w, bool tracked)
{
	const struct vm_config config = {
		.bytes = WRITE_BYTES + 2 * MIB,
		.table_bytes = 2 * MIB,
		.domain_flags = tracked ? VIOMMU_DOMAIN_DIRTY : 0,
	};
	uint64_t root, i;

	vm_open(&w->vm, &config);
	root = vm_table(&w->vm);
	for (i = 0; i < WRITE_BYTES; i += 2 * MIB)
		vm_map(&w->vm, root, LARGE_BASE + i, i, 21);
	for (i = 0; i < SMALL_PAGES * PAGE; i += PAGE)
		vm_map(&w->vm, root, SMALL_BASE + i, i, PAGE_LG2);
	w->pasid = vm_bind(&w->vm, root);
	if (tracked)
		unit_need(viommu_domain_dirty_start(w->vm.dom, PAGE_LG2), "dirty pages");
}

/* Each page once before any comes back; in a page from its begin on. */
static void write_pages(struct writes *w, uint64_t n)
{
	for (; n; n--, w->at++) {
		uint64_t off = (w->at * UINT64_C(0x9e3779b1) & (w->pages - 1)) * PAGE +
			       (w->at / w->pages * w->bytes & (PAGE - 1));

		w->errors += viommu_dma_write(w->vm.dma, w->vm.dev, w->pasid, w->gva + off, w->buf,
					      w->bytes, 0, NULL) != 0;
	}
}

static uint64_t run_writes(void *ctx, uint64_t n)
{
	uint64_t t0 = bench_cpu();

	write_pages(ctx, n);
	return bench_cpu() - t0;
}

/* Read and cleared, as far as flags say; how many there are has to be right. */
static void writes_dirty(struct writes *w, uint32_t flags, uint64_t pages)
{
	uint64_t i, dirty = 0;

	w->errors += viommu_domain_dirty_read(w->vm.dom, 0, WRITE_BYTES, flags, w->bitmap) != 0;
	for (i = 0; i < ARRAY_SIZE(w->bitmap); i++)
		dirty += (unsigned int)__builtin_popcountll(w->bitmap[i]);
	w->errors += dirty != pages;
}

/* Units are all pages, each of them made clean before; that is not in the time. */
static uint64_t run_first(void *ctx, uint64_t n)
{
	struct writes *w = ctx;
	uint64_t t0, ns = 0;

	write_pages(w, w->pages);
	for (; n; n--) {
		writes_dirty(w, VIOMMU_DIRTY_CLEAR, w->pages);
		writes_dirty(w, 0, 0);
		t0 = bench_now();
		write_pages(w, w->pages);
		ns += bench_now() - t0;
	}
	return ns;
}

static uint64_t run_again(void *ctx, uint64_t n)
{
	struct writes *w = ctx;
	uint64_t t0 = bench_now();

	write_pages(w, n * w->pages);
	return bench_now() - t0;
}

static void compare_writes(struct bench *b, const struct comparison *c, struct writes w[2],
			   uint64_t bytes, const char *name)
{
	struct figures f;

	w[0].bytes = w[1].bytes = bytes;
	bench_compare(b, c, &f);
	bench_row_ratio(b, "STATE", name, "not tracked", &f, GOAL_NONE, 0);
}

static void write_row(struct bench *b, struct writes w[2], uint64_t bytes, const char *name)
{
	const struct comparison c = {
		.subject = { run_writes, &w[0], 1, 0 },
		.base = { run_writes, &w[1], 1, 0 },
	};

	compare_writes(b, &c, w, bytes, name);
}

static void first_row(struct bench *b, struct writes w[2], uint64_t bytes, const char *name)
{
	const struct comparison c = {
		.subject = { run_first, &w[0], SMALL_PAGES, 0 },
		.base = { run_again, &w[1], SMALL_PAGES, 0 },
	};

	compare_writes(b, &c, w, bytes, name);
}

static void write_rows(struct bench *b)
{
	struct writes *w = bench_alloc(2 * sizeof(*w));
	unsigned int i;

	bench_progress(b, "writes to tracked pages");
	for (i = 0; i < 2; i++) {
		writes_open(&w[i], i == 0);
		w[i].gva = SMALL_BASE;
		w[i].pages = SMALL_PAGES;
	}
	write_row(b, w, 64, "write 64 B, pages tracked");
	write_row(b, w, PAGE, "write 4 KiB, pages tracked");
	first_row(b, w, 64, "write 64 B to a tracked page that was clean");
	first_row(b, w, PAGE, "write 4 KiB to a tracked page that was clean");
	for (i = 0; i < 2; i++) {
		w[i].gva = LARGE_BASE;
		w[i].pages = WRITE_BYTES / PAGE;
	}
	write_row(b, w, 64, "write 64 B, tracked, 64 MiB of 2-MiB pages");
	write_row(b, w, PAGE, "write 4 KiB, tracked, 64 MiB of 2-MiB pages");
	for (i = 0; i < 2; i++) {
		if (w[i].errors)
			bench_wrong(b, "STATE: %llu writes or bitmaps were wrong",
				    (unsigned long long)w[i].errors);
		vm_close(&w[i].vm);
	}
	free(w);
}

/* ---- The bitmap ---- */

#define DIRTY_BIT UINT64_C(0x200)

/* A VM of which nothing but the tables is touched, and a plain array of as many words. */
struct bitmap {
	struct vm vm;
	uint32_t pasid;
	uint64_t bytes;
	uint64_t pages;
	uint64_t every; /* page is dirty; 0: none */
	uint64_t *words;
	uint64_t *bits;
	uint64_t errors;
};

static void bitmap_is(struct bitmap *m, uint64_t every)
{
	uint64_t i, n = 0;

	for (i = 0; i < m->pages / 64; i++)
		n += (unsigned int)__builtin_popcountll(m->bits[i]);
	m->errors += n != (every ? m->pages / every : 0);
}

static uint64_t run_bitmap(void *ctx, uint64_t n)
{
	struct bitmap *m = ctx;
	uint64_t t0, ns = 0, i;

	for (; n; n--) {
		struct viommu_dma_span span;

		viommu_dma_begin(m->vm.dma);
		for (i = 0; m->every && i < m->pages; i += m->every)
			m->errors += viommu_dma_translate(m->vm.dma, m->vm.dev, m->pasid,
							  LARGE_BASE + i * PAGE, VIOMMU_WRITE,
							  &span) != 0;
		viommu_dma_end(m->vm.dma);
		t0 = bench_now();
		m->errors += viommu_domain_dirty_read(m->vm.dom, 0, m->bytes, VIOMMU_DIRTY_CLEAR,
						      m->bits) != 0;
		ns += bench_now() - t0;
	}
	bitmap_is(m, m->every);
	m->errors += viommu_domain_dirty_read(m->vm.dom, 0, m->bytes, 0, m->bits) != 0;
	bitmap_is(m, 0);
	return ns;
}

/* The least that somebody has to do whose words may be changed by others meanwhile. */
static uint64_t run_words(void *ctx, uint64_t n)
{
	struct bitmap *m = ctx;
	uint64_t t0, ns = 0, i;

	for (; n; n--) {
		for (i = 0; m->every && i < m->pages; i += m->every)
			m->words[i] |= DIRTY_BIT;
		t0 = bench_now();
		memset(m->bits, 0, m->pages / 8);
		for (i = 0; i < m->pages; i++) {
			if (!(__atomic_load_n(&m->words[i], __ATOMIC_RELAXED) & DIRTY_BIT))
				continue;
			__atomic_fetch_and(&m->words[i], ~DIRTY_BIT, __ATOMIC_RELAXED);
			m->bits[i / 64] |= UINT64_C(1) << i % 64;
		}
		ns += bench_now() - t0;
	}
	bitmap_is(m, m->every);
	return ns;
}

static void bitmap_row(struct bench *b, struct bitmap *m, uint64_t every, const char *what)
{
	/* One at a time: to make them dirty takes a hundred times as long. */
	const struct comparison c = {
		.subject = { run_bitmap, m, (double)m->pages, every ? 1 : 0 },
		.base = { run_words, m, (double)m->pages, every ? 1 : 0 },
		.rounds = 31,
	};
	struct figures f;
	char name[80];

	m->every = every;
	bench_compare(b, &c, &f);
	snprintf(name, sizeof(name), "bitmap of %llu MiB, %s, a page",
		 (unsigned long long)(m->bytes / MIB), what);
	bench_row_ratio(b, "STATE", name, "a loop over words", &f, GOAL_NONE, 0);
}

static void bitmap_rows(struct bench *b)
{
	struct bitmap m = { .bytes = b->quick ? 256 * MIB : GIB };
	const struct vm_config config = {
		.bytes = m.bytes + 4 * MIB,
		.table_bytes = 4 * MIB,
		.domain_flags = VIOMMU_DOMAIN_DIRTY,
		.untouched = true,
	};
	uint64_t root, i;

	bench_progress(b, "the bitmap of dirty pages");
	m.pages = m.bytes / PAGE;
	m.words = bench_alloc(m.pages * sizeof(*m.words));
	m.bits = bench_alloc(m.pages / 8);
	vm_open(&m.vm, &config);
	root = vm_table(&m.vm);
	for (i = 0; i < m.bytes; i += 2 * MIB)
		vm_map(&m.vm, root, LARGE_BASE + i, i, 21);
	m.pasid = vm_bind(&m.vm, root);
	unit_need(viommu_domain_dirty_start(m.vm.dom, PAGE_LG2), "dirty pages");
	bitmap_row(b, &m, 0, "none dirty");
	bitmap_row(b, &m, 64, "1 in 64 dirty");
	bitmap_row(b, &m, 1, "all dirty");
	if (m.errors)
		bench_wrong(b, "STATE: %llu bitmaps were wrong", (unsigned long long)m.errors);
	vm_close(&m.vm);
	free(m.words);
	free(m.bits);
}

/* ---- A board ---- */

#define BINDS 256u

struct board {
	struct unit u;
	uint64_t binds;
	size_t bytes; /* of its state */
};

static void *save(struct board *s)
{
	char why[160] = "";
	void *state;

	unit_need(viommu_board_pause(s->u.board, why, sizeof(why)), why);
	unit_need(viommu_board_save(s->u.board, &state, &s->bytes), "saving");
	return state;
}

/* The same board goes on. */
static uint64_t run_save(void *ctx, uint64_t n)
{
	struct board *s = ctx;
	uint64_t t0 = bench_now();

	for (; n; n--) {
		void *state = save(s);

		viommu_board_resume(s->u.board);
		viommu_state_free(state);
	}
	return bench_now() - t0;
}

/* Another one goes on; to make it is not in the time, since that need not wait for the pause. */
static uint64_t run_move(void *ctx, uint64_t n)
{
	struct board *s = ctx;
	char why[160] = "";
	uint64_t t0, ns = 0;

	for (; n; n--) {
		void *state;

		t0 = bench_now();
		state = save(s);
		ns += bench_now() - t0;
		unit_board_free(&s->u);
		unit_board_new(&s->u);
		t0 = bench_now();
		unit_need(viommu_board_load(s->u.board, state, s->bytes, why, sizeof(why)), why);
		viommu_board_resume(s->u.board);
		ns += bench_now() - t0;
		viommu_state_free(state);
		s->u.errors += unit_bound(&s->u) != s->binds;
	}
	unit_copies(&s->u, 1);
	return ns;
}

/* What its guest would do instead. */
static uint64_t run_flushes(void *ctx, uint64_t n)
{
	struct board *s = ctx;
	uint64_t ns = 0;

	for (; n; n--) {
		ns += unit_binds(&s->u, s->binds, true);
		unit_binds(&s->u, s->binds, false);
	}
	return ns;
}

static void board_open(struct board *s, uint64_t binds)
{
	unit_open(&s->u, NULL);
	s->binds = binds;
	s->u.bytes = PAGE;
}

static void board_rows(struct bench *b)
{
	struct board s[3]; /* with many binds, with one, with none yet */
	struct comparison c = {
		.subject = { run_move, &s[0], 1, 0 },
		.base = { run_flushes, &s[2], 1, 0 },
	};
	struct figures f;
	unsigned int i;

	bench_progress(b, "a board saved and restored");
	for (i = 0; i < 3; i++)
		board_open(&s[i], i == 1 ? 1 : BINDS);
	for (i = 0; i < 2; i++) {
		unit_binds(&s[i].u, s[i].binds, true);
		unit_dsa_open(&s[i].u);
	}
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "STATE", "pause, save, load, resume: 256 binds", "256 binds by flushes",
			&f, GOAL_NONE, 0);
	c = (struct comparison){ .subject = { run_save, &s[0], 1, 0 } };
	bench_compare(b, &c, &f);
	bench_row_value(b, "STATE", "pause, save, resume: 256 binds", f.value, "ns", GOAL_NONE, 0);
	c.subject = (struct side){ run_move, &s[1], 1, 0 };
	bench_compare(b, &c, &f);
	bench_row_value(b, "STATE", "pause, save, load, resume: 1 bind", f.value, "ns", GOAL_NONE,
			0);
	bench_row_value(b, "STATE", "state of a board with a DSA, 256 binds", (double)s[0].bytes,
			"B", GOAL_NONE, 0);
	bench_row_value(b, "STATE", "state of a board with a DSA, 1 bind", (double)s[1].bytes, "B",
			GOAL_NONE, 0);
	for (i = 0; i < 3; i++)
		unit_close(b, &s[i].u);
}

void bench_state(struct bench *b)
{
	write_rows(b);
	bitmap_rows(b);
	board_rows(b);
}
