/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A seeded, single-threaded simulator of a guest, a device and a VMM against a plain model.
 *
 * Oracles:
 *  1. No DMA uses a translation after an invalidation of it has returned. 2. The bytes of a DMA are
 *  those of the page that the guest's tables name, or named since the last invalidation. 3. What no
 *  table allows faults, what every table in question allows succeeds. 4. After an unbind nothing of
 *  the process is reachable, and what was removed from memory is not. 5. A page that was absent is
 *  found as soon as it is there, without an invalidation. 6. At the end nothing is left allocated.
 *
 * Not simulated: threads (tests/dma/stress.c).
 */
#include "base/alloc.h"
#include "host/world.h"

#define PROCESSES  3u
#define SLOTS      12u /* pages of address space a process */
#define FRAMES     24u /* data pages; the upper half lies in a region that comes and goes */
#define REGION     (FRAMES / 2)
#define REGION_GPA UINT64_C(0x40000000)
#define STALE_MAX  8u
#define NONE       0xffu

/* What a guest's entry says: a frame and whether it may be written. */
struct mapping {
	uint8_t frame;
	uint8_t write;
};

struct page {
	struct mapping now;
	struct mapping stale[STALE_MAX]; /* said before, not yet invalidated */
	unsigned int nr;
};

struct process {
	struct tables_stage fs;
	struct viommu_hp hp;
	bool bound;
	struct page page[SLOTS];
};

enum op {
	EDIT,
	INVALIDATE,
	READ,
	WRITE,
	ATOMIC,
	DEVTLB,
	BIND,
	UNBIND,
	REBIND,
	MEMORY,
	OPS
};

struct sim {
	struct world w;
	struct rng rng;
	struct process process[PROCESSES];
	struct viommu_devtlb *tlb;
	uint8_t *region;
	bool region_there;
	uint64_t gpa[FRAMES];
	uint64_t model[FRAMES]; /* the first word of each frame */
	bool forget;            /* invalidations are believed and not made */
	unsigned int count[OPS], faults, requests, served;
	const char *wrong;
};

static uint64_t *frame_ptr(struct sim *s, unsigned int frame)
{
	if (frame >= REGION)
		return (uint64_t *)(void *)(s->region + (frame - REGION) * 4096);
	return world_ptr(&s->w, s->gpa[frame]);
}

static bool frame_there(const struct sim *s, unsigned int frame)
{
	return frame != NONE && (frame < REGION || s->region_there);
}

static uint64_t slot_va(unsigned int slot)
{
	/* Some next to each other, some behind other upper tables. */
	return WORLD_VA + slot * 4096ull + (slot / 4) * (UINT64_C(1) << 31);
}

/* The guest writes its entry. Absence is never cached, so an absent page leaves nothing stale. */
static void guest_edit(struct sim *s, struct process *p, unsigned int slot, struct mapping to)
{
	struct page *page = &p->page[slot];

	if (page->now.frame != NONE) {
		if (page->nr == STALE_MAX)
			return;
		page->stale[page->nr++] = page->now;
	}
	page->now = to;
	if (to.frame == NONE) {
		if (tables_entry(&p->fs, slot_va(slot), 1))
			tables_entry_set(&p->fs, slot_va(slot), 1, 0);
		return;
	}
	assert_int_equal(tables_map(&p->fs, slot_va(slot), s->gpa[to.frame], 12,
				    TABLES_R | TABLES_U | (to.write ? TABLES_W : 0)),
			 0);
}

static struct mapping random_mapping(struct sim *s)
{
	struct mapping m = { NONE, 0 };

	if (!rng_one_in(&s->rng, 4)) {
		m.frame = (uint8_t)rng_below(&s->rng, FRAMES);
		m.write = rng_one_in(&s->rng, 2);
	}
	return m;
}

static void on_page_request(void *ctx, struct viommu_device *dev,
			    const struct viommu_page_request *req)
{
	struct sim *s = ctx;
	struct viommu_page_response resp = { .size = sizeof(resp),
					     .pasid = req->pasid,
					     .prgi = req->prgi,
					     .code = VIOMMU_RESPONSE_INVALID };
	unsigned int i, k;

	s->requests++;
	for (i = 0; i < PROCESSES; i++) {
		struct process *p = &s->process[i];

		for (k = 0; k < SLOTS && p->hp.v == req->pasid; k++) {
			struct mapping m = { (uint8_t)rng_below(&s->rng, REGION), 1 };

			if (slot_va(k) != req->addr || p->page[k].now.frame != NONE ||
			    rng_one_in(&s->rng, 3))
				continue;
			guest_edit(s, p, k, m);
			resp.code = VIOMMU_RESPONSE_SUCCESS;
			s->served++;
		}
	}
	viommu_host_page_response(dev, &resp);
}

static void on_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	(void)ctx;
	(void)dev;
	(void)fault;
}

static int bind(struct sim *s, struct process *p)
{
	const struct viommu_gpasid_bind b = { .size = sizeof(b),
					      .flags = VIOMMU_GPASID_VALID,
					      .addr_width = 48,
					      .gp = { p->hp.v + 1000 },
					      .hp = p->hp,
					      .gpgd = tables_root(&p->fs) };

	return viommu_host_bind_gpasid(s->w.dev, s->w.dom, &b);
}

static void forget_stale(struct process *p, unsigned int slot)
{
	p->page[slot].nr = 0;
}

static void do_invalidate(struct sim *s, struct process *p, unsigned int slot)
{
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = (uint32_t)rng_below(&s->rng, 4),
					 .hp = p->hp,
					 .addr = slot_va(slot),
					 .bytes = 4096 };
	unsigned int i, k;

	if (rng_one_in(&s->rng, 2))
		inv.flags = VIOMMU_INVALIDATE_NO_DRAIN;
	if (!s->forget) {
		assert_int_equal(viommu_host_invalidate(s->w.host, s->w.dom, &inv), 0);
		if (inv.flags)
			viommu_host_drain(s->w.host);
	}
	for (i = 0; i < PROCESSES; i++) {
		for (k = 0; k < SLOTS; k++) {
			bool hit = inv.granularity == VIOMMU_INVALIDATE_GLOBAL ||
				   inv.granularity == VIOMMU_INVALIDATE_DOMAIN ||
				   (&s->process[i] == p &&
				    (inv.granularity == VIOMMU_INVALIDATE_PASID || k == slot));

			if (hit)
				forget_stale(&s->process[i], k);
		}
	}
}

/*
 * Do these mappings allow an access that gave (ret, value)? Nr of them that do in *yes, that do not
 * in *no.
 */
static void judge(const struct sim *s, const struct page *page, bool write, unsigned int *yes,
		  unsigned int *no)
{
	unsigned int i;

	*yes = *no = 0;
	for (i = 0; i <= page->nr; i++) {
		const struct mapping *m = i < page->nr ? &page->stale[i] : &page->now;
		bool can = frame_there(s, m->frame) && (!write || m->write);

		*yes += can;
		*no += !can;
	}
}

static bool wrong(struct sim *s, const char *why)
{
	s->wrong = why;
	return false;
}

/* A read gave value: is it the word of a frame that a mapping in question names? */
static bool read_fits(struct sim *s, const struct page *page, uint64_t value)
{
	unsigned int i;

	for (i = 0; i <= page->nr; i++) {
		const struct mapping *m = i < page->nr ? &page->stale[i] : &page->now;

		if (frame_there(s, m->frame) && s->model[m->frame] == value)
			return true;
	}
	return wrong(s, "a read gave the bytes of a page that no entry names");
}

/*
 * A write of value succeeded: exactly one frame that a mapping in question lets write holds it now.
 */
static bool write_fits(struct sim *s, const struct page *page, uint64_t value)
{
	unsigned int frame, i, hits = 0;

	for (frame = 0; frame < FRAMES; frame++) {
		bool named = false;

		if (*frame_ptr(s, frame) == s->model[frame])
			continue;
		for (i = 0; i <= page->nr; i++) {
			const struct mapping *m = i < page->nr ? &page->stale[i] : &page->now;

			named |= m->frame == frame && m->write;
		}
		if (!named || *frame_ptr(s, frame) != value || !frame_there(s, frame))
			return wrong(s, "a write went to a page that no entry lets it write");
		s->model[frame] = value;
		hits++;
	}
	return hits == 1 ? true : wrong(s, "a write went nowhere, or to two pages");
}

static bool do_access(struct sim *s, struct process *p, unsigned int slot, enum op op)
{
	struct page *page = &p->page[slot];
	bool write = op == WRITE || op == ATOMIC;
	uint64_t value = rng_u64(&s->rng), got = 0;
	struct viommu_dma_result res;
	unsigned int yes, no;
	int ret;

	if (op == READ)
		ret = viommu_dma_read(s->w.dma, s->w.dev, p->hp.v, slot_va(slot), &got, 8, 0, &res);
	else if (op == DEVTLB)
		ret = viommu_devtlb_read(s->tlb, s->w.dma, p->hp.v, slot_va(slot), &got, 8, 0,
					 &res);
	else if (op == WRITE)
		ret = viommu_dma_write(s->w.dma, s->w.dev, p->hp.v, slot_va(slot), &value, 8, 0,
				       &res);
	else
		ret = viommu_dma_atomic(s->w.dma, s->w.dev, p->hp.v, slot_va(slot), 8,
					VIOMMU_ATOMIC_SWAP, value, 0, 0, &got, &res);
	/* After the access: a page request may have changed what is mapped. */
	judge(s, page, write, &yes, &no);
	if (ret == VIOMMU_FAULTED) {
		s->faults++;
		if (!p->bound)
			return res.fault.reason == VTD_FR_PE_NP ||
					       res.fault.reason == VTD_FR_PDIR_NP
				       ? true
				       : wrong(s, "an unbound PASID faults elsewhere");
		return no ? true : wrong(s, "a fault, though every entry in question allows it");
	}
	if (ret)
		return wrong(s, "an errno");
	if (!p->bound)
		return wrong(s, "DMA by a PASID that is not bound");
	if (!yes)
		return wrong(s, "no entry in question allows what was done");
	if (op == ATOMIC && !read_fits(s, page, got))
		return false;
	return write ? write_fits(s, page, value) : read_fits(s, page, got);
}

static void do_memory(struct sim *s)
{
	if (s->region_there)
		assert_int_equal(viommu_mem_remove(s->w.mem, REGION_GPA, (FRAMES - REGION) * 4096),
				 0);
	else
		assert_int_equal(viommu_mem_add_ptr(s->w.mem, REGION_GPA, (FRAMES - REGION) * 4096,
						    s->region, 0),
				 0);
	s->region_there = !s->region_there;
}

static bool step(struct sim *s)
{
	static const uint8_t weights[OPS] = { 30, 15, 30, 25, 10, 20, 4, 2, 2, 3 };
	struct process *p = &s->process[rng_below(&s->rng, PROCESSES)];
	unsigned int slot = (unsigned int)rng_below(&s->rng, SLOTS), k;
	unsigned int pick = (unsigned int)rng_below(&s->rng, 141), op;

	for (op = 0; pick >= weights[op]; op++)
		pick -= weights[op];
	s->count[op]++;
	switch (op) {
	case EDIT:
		guest_edit(s, p, slot, random_mapping(s));
		return true;
	case INVALIDATE:
		do_invalidate(s, p, slot);
		return true;
	case BIND:
		if (bind(s, p) != (p->bound ? -EBUSY : 0))
			return wrong(s, "bind");
		p->bound = true;
		return true;
	case UNBIND:
	case REBIND:
		assert_int_equal(viommu_host_unbind(s->w.dev, p->hp), 0);
		if (op == REBIND && bind(s, p))
			return wrong(s, "bind after unbind");
		p->bound = op == REBIND;
		for (k = 0; k < SLOTS; k++)
			forget_stale(p, k);
		return true;
	case MEMORY:
		do_memory(s);
		return true;
	default:
		return do_access(s, p, slot, op);
	}
}

static void sim_open(struct sim *s, const char *label, bool forget)
{
	const struct world_config config = {
		.ops = { .ctx = s, .fault = on_fault, .page_request = on_page_request },
		.device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
	};
	unsigned int i, k;

	memset(s, 0, sizeof(*s));
	rng_init(&s->rng, label);
	s->forget = forget;
	world_open(&s->w, &config);
	assert_int_equal(viommu_devtlb_new(s->w.dev, 16, &s->tlb), 0);
	s->region = aligned_alloc(4096, (FRAMES - REGION) * 4096);
	assert_non_null(s->region);
	for (i = 0; i < FRAMES; i++) {
		s->gpa[i] = i < REGION ? world_page(&s->w) : REGION_GPA + (i - REGION) * 4096ull;
		s->model[i] = *frame_ptr(s, i) = rng_u64(&s->rng);
	}
	for (i = 0; i < PROCESSES; i++) {
		struct process *p = &s->process[i];

		tables_stage_init(&p->fs, &s->w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
		assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(s->w.dom), 500 + i * 70,
						    900, &p->hp),
				 0);
		for (k = 0; k < SLOTS; k++)
			p->page[k].now.frame = NONE;
		assert_int_equal(bind(s, p), 0);
		p->bound = true;
	}
}

static void sim_close(struct sim *s)
{
	viommu_devtlb_free(s->tlb);
	world_close(&s->w);
	free(s->region);
}

static void the_host_does_what_the_model_says(void **state)
{
	static struct sim s;
	long live = viommu__alloc_live();
	uint64_t n = test_scale(4000000), i;
	unsigned int op;

	(void)state;
	sim_open(&s, "simulation", false);
	for (i = 0; i < n; i++) {
		if (!step(&s)) {
			print_message("step %llu: %s\n", (unsigned long long)i, s.wrong);
			fail();
		}
	}
	print_message("# %llu steps, %u faults, %u page requests, %u served\n",
		      (unsigned long long)n, s.faults, s.requests, s.served);
	for (op = 0; op < OPS && n >= 100000; op++)
		assert_true(s.count[op] > n / 200);
	assert_true(n < 100000 || (s.faults > n / 50 && s.served > n / 200));
	sim_close(&s);
	assert_int_equal(viommu__alloc_live(), live);
}

/* The oracle can fail: invalidations that the model believes in and nobody makes are found. */
static void a_forgotten_invalidation_is_found(void **state)
{
	static struct sim s;
	unsigned int i;

	(void)state;
	sim_open(&s, "forgotten", true);
	for (i = 0; i < 100000 && step(&s); i++)
		;
	assert_true(i < 100000);
	assert_non_null(s.wrong);
	sim_close(&s);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_host_does_what_the_model_says),
	cmocka_unit_test(a_forgotten_invalidation_is_found),
};
TEST_MAIN(tests)
