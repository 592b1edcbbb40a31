/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each allocation fails once, each page of guest memory is missing once: the call says so, nothing
 * but what it says has changed, and nothing is leaked.
 */
#include "base/alloc.h"
#include "host/world.h"

/* What a failed bind must leave alone. */
struct seen {
	uint64_t pe[2][8]; /* of the world's PASID, of requests without */
	int bound[2];
	uint32_t gp;
	uint32_t count;
	unsigned int requests;
};

static void look(struct world *w, struct seen *s)
{
	struct viommu_gp gp;

	memset(s, 0, sizeof(*s));
	s->bound[0] = viommu_host_pasid_entry(w->dev, w->hp, s->pe[0]);
	s->bound[1] = viommu_host_pasid_entry(w->dev, (struct viommu_hp){ 0 }, s->pe[1]);
	viommu_pasid_to_guest(viommu_domain_owner(w->dom), w->hp, &gp);
	s->gp = gp.v;
	s->count = viommu_owner_count(viommu_domain_owner(w->dom));
	s->requests = viommu_device_open_requests(w->dev);
}

static int word(struct world *w, uint32_t pasid, uint64_t va)
{
	uint32_t v;

	return viommu_dma_read(w->dma, w->dev, pasid, va, &v, 4, 0, NULL);
}

/* The process over a second stage of the guest's own, over the domain. */
struct deep {
	struct tables_stage ss;
	struct tables_stage fs;
	uint64_t gpa;
};

static void deep_init(struct world *w, struct deep *d)
{
	tables_stage_init(&d->ss, &w->ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	tables_stage_init(&d->fs, &w->ram, &d->ss, VIOMMU_FORMAT_VTD_FS, 4);
	d->gpa = world_page(w);
	assert_int_equal(tables_map(&d->ss, 0x7000000, d->gpa, 12, TABLES_R | TABLES_W), 0);
	assert_int_equal(tables_map(&d->fs, WORLD_VA, 0x7000000, 12, TABLES_RWU), 0);
}

static struct viommu_bind deep_bind(struct deep *d)
{
	struct viommu_bind b = { .size = sizeof(b),
				 .kind = VIOMMU_BIND_NESTED,
				 .flags = VIOMMU_GPASID_VALID,
				 .gp = { 5 },
				 .nr = 2 };

	tables_stage(&d->fs, 52, &b.stage[0]);
	tables_stage(&d->ss, 52, &b.stage[1]);
	b.stage[0].flags = 0;
	return b;
}

/* ---- Allocations ---- */

static void objects_are_made_whole_or_not_at_all(void **state)
{
	long n, live = viommu__alloc_live();
	struct viommu_device_config vc = { .size = sizeof(vc),
					   .sid = 1,
					   .flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS };
	struct viommu_domain *dom = NULL;
	struct viommu_device *dev = NULL;
	struct viommu_devtlb *tlb = NULL;
	struct viommu_host *host = NULL;
	struct viommu_dma *dma = NULL;
	struct viommu_mem *mem;
	static char bytes[8 * 4096] __attribute__((aligned(4096)));
	int err, done;

	(void)state;
	assert_int_equal(viommu_mem_new(&mem), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, 0, sizeof(bytes), bytes, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(mem, UINT64_C(1) << 40, 4096, bytes, 0), 0);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = viommu_host_new(NULL, &host);
		if (!err)
			err = viommu_domain_new(host, mem, NULL, &dom);
		if (!err)
			err = viommu_device_new(host, &vc, &dev);
		if (!err)
			err = viommu_dma_new(host, &dma);
		if (!err)
			err = viommu_devtlb_new(dev, 16, &tlb);
		done = !viommu__alloc_fail_done();
		if (!done) {
			assert_int_equal(err, -ENOMEM);
			/* The first that failed, and all after it. */
			assert_null(tlb);
		} else {
			assert_int_equal(err, 0);
		}
		viommu_devtlb_free(tlb);
		viommu_dma_free(dma);
		viommu_host_free(host);
		assert_int_equal(viommu__alloc_live(), live);
		host = NULL;
		dom = NULL;
		dev = NULL;
		tlb = NULL;
		dma = NULL;
		if (done)
			break;
	}
	assert_true(n > 10);
	viommu_mem_free(mem);
}

enum what {
	BIND,
	REBIND,
	BIND_DEEP,
	REBIND_DEEP,
	ATTACH_DEEP,
	WHATS,
};

static int bind_what(struct world *w, struct deep *d, enum what what)
{
	struct viommu_bind b = deep_bind(d);

	switch (what) {
	case BIND:
		return world_bind(w, 5);
	case REBIND:
		b.nr = 1;
		tables_stage(&w->fs, 52, &b.stage[0]);
		b.stage[0].flags = 0;
		return viommu_host_rebind(w->dev, w->dom, w->hp, &b);
	case BIND_DEEP:
		return viommu_host_bind(w->dev, w->dom, w->hp, &b);
	case REBIND_DEEP:
		return viommu_host_rebind(w->dev, w->dom, w->hp, &b);
	default:
		b.flags = 0;
		return viommu_device_attach(w->dev, w->dom, &b);
	}
}

/* A bind that is new, or takes the place of a deep one. */
static void sweep_bind(enum what what, bool replace)
{
	long n, live = viommu__alloc_live();
	struct seen before, after;
	struct deep d;
	struct world w;
	int err;

	for (n = 1;; n++) {
		world_open(&w, NULL);
		world_map(&w, WORLD_VA, TABLES_RWU);
		deep_init(&w, &d);
		if (replace) {
			assert_int_equal(bind_what(&w, &d, BIND_DEEP), 0);
			assert_int_equal(bind_what(&w, &d, ATTACH_DEEP), 0);
		}
		look(&w, &before);
		viommu__alloc_fail_nth(n);
		err = bind_what(&w, &d, what);
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(err, -ENOMEM);
		look(&w, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(word(&w, w.hp.v, WORLD_VA), replace ? 0 : VIOMMU_FAULTED);
		/* And once there is memory, it goes. */
		assert_int_equal(bind_what(&w, &d, what), 0);
		assert_int_equal(word(&w, what == ATTACH_DEEP ? VIOMMU_NO_PASID : w.hp.v, WORLD_VA),
				 0);
		assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
		assert_int_equal(viommu_device_detach(w.dev), 0);
		assert_int_equal(viommu_pasid_free(viommu_domain_owner(w.dom), w.hp), 0);
		world_close(&w);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_int_equal(err, 0);
	/* A plain bind in the place of another takes no memory. */
	assert_true(n > 1 || (replace && what == REBIND));
	world_close(&w);
	assert_int_equal(viommu__alloc_live(), live);
}

static void a_bind_without_memory_changes_nothing(void **state)
{
	unsigned int what;

	(void)state;
	for (what = BIND; what < WHATS; what++)
		sweep_bind((enum what)what, false);
}

static void a_rebind_without_memory_leaves_the_old_one(void **state)
{
	(void)state;
	sweep_bind(REBIND, true);
	sweep_bind(REBIND_DEEP, true);
	sweep_bind(ATTACH_DEEP, true);
}

/*
 * Memory that comes while a domain follows it: what fails is the memory's own, or a pool of tables.
 */
static void a_region_without_memory_for_tables_is_not_added(void **state)
{
	struct viommu_host_memory before, after;
	unsigned int i, grown = 0;
	struct viommu_mem_region r;
	struct world w;
	uint64_t gpa;
	int err;
	long n;

	(void)state;
	world_open(&w, NULL);
	for (i = 2; i < 60; i++) {
		gpa = (uint64_t)i << 39; /* three tables each */
		viommu_host_memory(w.host, &before);
		for (n = 1;; n++) {
			viommu__alloc_fail_nth(n);
			err = viommu_mem_add_ptr(w.mem, gpa, 4096, w.ram.host, 0);
			if (!viommu__alloc_fail_done())
				break;
			assert_int_equal(err, -ENOMEM);
			viommu_host_memory(w.host, &after);
			assert_int_equal(before.second_stage, after.second_stage);
			assert_true(viommu_mem_next(w.mem, gpa, &r) || r.gpa != gpa);
		}
		assert_int_equal(err, 0);
		viommu_host_memory(w.host, &after);
		assert_int_equal(after.second_stage, before.second_stage + 3 * 4096);
		grown += n > 2;
	}
	assert_true(grown > 2);
	world_close(&w);
}

static void what_ends_or_runs_allocates_nothing(void **state)
{
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = VIOMMU_INVALIDATE_PASID };
	struct viommu_domain *dom;
	struct viommu_bind b;
	struct deep d;
	struct world w;
	long calls;

	(void)state;
	world_open(&w,
		   &(struct world_config){ .device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
							   VIOMMU_DEVICE_PRI });
	deep_init(&w, &d);
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &dom), 0);
	b = deep_bind(&d);
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), 0);
	b.flags = 0;
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	inv.hp = w.hp;
	calls = viommu__alloc_hook.calls;
	assert_int_equal(word(&w, w.hp.v, WORLD_VA), 0);
	assert_int_equal(word(&w, w.hp.v, WORLD_VA + 0x5000), VIOMMU_FAULTED);
	assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
	assert_int_equal(word(&w, w.hp.v, WORLD_VA), 0);
	assert_int_equal(viommu_host_expire_page_requests(w.host), 0);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_device_detach(w.dev), 0);
	assert_int_equal(viommu_device_unplug(w.dev), 0);
	viommu_device_free(w.dev);
	viommu_domain_free(dom);
	assert_int_equal(viommu__alloc_hook.calls, calls);
	world_close(&w);
}

/* ---- Guest memory ---- */

/* The world's memory as pages, so that one can be taken away. */
static void split(struct world *w)
{
	uint64_t gpa;

	assert_int_equal(viommu_mem_remove(w->mem, 0, WORLD_BYTES), 0);
	for (gpa = 0; gpa < w->ram.used; gpa += 4096)
		assert_int_equal(viommu_mem_add_ptr(w->mem, gpa, 4096, w->ram.host + gpa, 0), 0);
}

/* Each page in turn is missing while something is bound, used, invalidated, unbound. */
static unsigned int sweep_pages(struct world *w, struct deep *d, enum what what, uint32_t pasid)
{
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = VIOMMU_INVALIDATE_DOMAIN };
	unsigned int needed = 0;
	uint64_t gpa;
	int ret;

	for (gpa = 0; gpa < w->ram.used; gpa += 4096) {
		assert_int_equal(viommu_mem_remove(w->mem, gpa, 4096), 0);
		/* The guest's tables are not looked at to bind them. */
		assert_int_equal(bind_what(w, d, what), 0);
		ret = word(w, pasid, WORLD_VA);
		if (ret) {
			assert_int_equal(ret, VIOMMU_FAULTED);
			assert_true(w->fault.reason != VTD_FR_PE_NP);
			assert_int_equal(w->fault.addr, WORLD_VA);
			needed++;
		}
		assert_int_equal(viommu_host_invalidate(w->host, w->dom, &inv), 0);
		assert_int_equal(word(w, pasid, WORLD_VA), ret);
		/* It comes back, and the access goes. */
		assert_int_equal(viommu_mem_add_ptr(w->mem, gpa, 4096, w->ram.host + gpa, 0), 0);
		assert_int_equal(word(w, pasid, WORLD_VA), 0);
		/* It goes under a live translation. */
		assert_int_equal(viommu_mem_remove(w->mem, gpa, 4096), 0);
		assert_int_equal(word(w, pasid, WORLD_VA), ret);
		if (pasid == VIOMMU_NO_PASID)
			assert_int_equal(viommu_device_detach(w->dev), 0);
		else
			assert_int_equal(viommu_host_unbind(w->dev, w->hp), 0);
		assert_int_equal(viommu_mem_add_ptr(w->mem, gpa, 4096, w->ram.host + gpa, 0), 0);
	}
	return needed;
}

static void each_guest_page_may_be_missing(void **state)
{
	long live = viommu__alloc_live();
	struct deep d;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	deep_init(&w, &d);
	split(&w);
	/* Four tables and the page. */
	assert_int_equal(sweep_pages(&w, &d, BIND, w.hp.v), 5);
	/*
	 * The same four and the page; of the second stage the top, one below it, and two on each of
	 * the lower levels: the first stage's tables lie 64 GiB above the page.
	 */
	assert_int_equal(sweep_pages(&w, &d, BIND_DEEP, w.hp.v), 11);
	assert_int_equal(sweep_pages(&w, &d, ATTACH_DEEP, VIOMMU_NO_PASID), 11);
	world_close(&w);
	assert_int_equal(viommu__alloc_live(), live);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(objects_are_made_whole_or_not_at_all),
	cmocka_unit_test(a_bind_without_memory_changes_nothing),
	cmocka_unit_test(a_rebind_without_memory_leaves_the_old_one),
	cmocka_unit_test(a_region_without_memory_for_tables_is_not_added),
	cmocka_unit_test(what_ends_or_runs_allocates_nothing),
	cmocka_unit_test(each_guest_page_may_be_missing),
};
TEST_MAIN(tests)
