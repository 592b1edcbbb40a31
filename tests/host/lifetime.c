/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Binds, devices and domains that come and go in every order, also while DMA runs: what ends with
 * what, what stays, and that nothing is left of what ended.
 */
#include <pthread.h>
#include <sched.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "host/world.h"

static int read_word(struct world *w, struct viommu_device *dev, uint32_t pasid, uint64_t va,
		     uint32_t *v)
{
	return viommu_dma_read(w->dma, dev, pasid, va, v, 4, 0, NULL);
}

static struct viommu_device *device_new(struct world *w, uint16_t sid)
{
	struct viommu_device *dev;

	assert_int_equal(viommu_device_new(w->host,
					   &(struct viommu_device_config){
						   .size = sizeof(struct viommu_device_config),
						   .sid = sid,
						   .flags = VIOMMU_DEVICE_PASID },
					   &dev),
			 0);
	return dev;
}

static int bind_on(struct world *w, struct viommu_device *dev, struct viommu_hp hp, uint32_t flags)
{
	return viommu_host_bind_gpasid(
		dev, w->dom,
		&(struct viommu_gpasid_bind){ .size = sizeof(struct viommu_gpasid_bind),
					      .flags = flags,
					      .addr_width = 48,
					      .gp = { 5 },
					      .hp = hp,
					      .gpgd = tables_root(&w->fs) });
}

static const struct viommu_bind second_stage = { .size = sizeof(struct viommu_bind),
						 .kind = VIOMMU_BIND_NESTED };

/* ---- One PASID, several devices ---- */

static void a_pasid_on_several_devices_is_one_address_space(void **state)
{
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = VIOMMU_INVALIDATE_PASID };
	struct viommu_device *dev[8];
	uint64_t gpa[2];
	unsigned int i;
	struct world w;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	gpa[0] = world_map(&w, WORLD_VA, TABLES_RWU);
	gpa[1] = world_page(&w);
	*(uint32_t *)world_ptr(&w, gpa[0]) = 10;
	*(uint32_t *)world_ptr(&w, gpa[1]) = 11;
	for (i = 0; i < 8; i++) {
		dev[i] = device_new(&w, (uint16_t)(0x100 + i));
		assert_int_equal(bind_on(&w, dev[i], w.hp, VIOMMU_GPASID_VALID), 0);
		assert_int_equal(read_word(&w, dev[i], w.hp.v, WORLD_VA, &v), 0);
		assert_int_equal(v, 10);
	}
	/* One invalidation is for all of them. */
	assert_int_equal(tables_map(&w.fs, WORLD_VA, gpa[1], 12, TABLES_RWU), 0);
	inv.hp = w.hp;
	assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
	for (i = 0; i < 8; i++) {
		assert_int_equal(read_word(&w, dev[i], w.hp.v, WORLD_VA, &v), 0);
		assert_int_equal(v, 11);
	}
	/* An unbind is for one. */
	for (i = 0; i < 8; i++) {
		struct viommu_gp gp;

		assert_int_equal(read_word(&w, dev[i], w.hp.v, WORLD_VA, &v), 0);
		assert_int_equal(viommu_pasid_to_guest(viommu_domain_owner(w.dom), w.hp, &gp), 0);
		assert_int_equal(viommu_host_unbind(dev[i], w.hp), 0);
		assert_int_equal(read_word(&w, dev[i], w.hp.v, WORLD_VA, &v), VIOMMU_FAULTED);
	}
	world_close(&w);
}

static void the_guests_number_leaves_with_the_last_bind_that_has_it(void **state)
{
	struct viommu_owner *owner;
	struct viommu_device *other;
	struct viommu_gp gp;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	owner = viommu_domain_owner(w.dom);
	other = device_new(&w, 0x100);
	/* Only one of the two binds has a number; it goes first. */
	assert_int_equal(bind_on(&w, w.dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(bind_on(&w, other, w.hp, 0), 0);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_pasid_to_guest(owner, w.hp, &gp), -ENOENT);
	assert_int_equal(viommu_host_unbind(other, w.hp), 0);
	/* And last. */
	assert_int_equal(bind_on(&w, w.dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(bind_on(&w, other, w.hp, 0), 0);
	assert_int_equal(viommu_host_unbind(other, w.hp), 0);
	assert_int_equal(viommu_pasid_to_guest(owner, w.hp, &gp), 0);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_pasid_to_guest(owner, w.hp, &gp), -ENOENT);
	assert_int_equal(viommu_pasid_free(owner, w.hp), 0);
	world_close(&w);
}

static void a_mapping_of_the_caller_outlives_binds(void **state)
{
	struct viommu_owner *owner;
	struct viommu_device *other;
	struct viommu_hp hp, two;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	owner = viommu_domain_owner(w.dom);
	other = device_new(&w, 0x100);
	/* Made before the bind, and after it. */
	assert_int_equal(viommu_pasid_map(owner, (struct viommu_gp){ 5 }, w.hp), 0);
	assert_int_equal(bind_on(&w, w.dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_pasid_to_host(owner, (struct viommu_gp){ 5 }, &hp), 0);
	assert_int_equal(viommu_pasid_unmap(owner, (struct viommu_gp){ 5 }), 0);
	assert_int_equal(viommu_pasid_to_host(owner, (struct viommu_gp){ 5 }, &hp), -ENOENT);
	assert_int_equal(bind_on(&w, w.dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_pasid_map(owner, (struct viommu_gp){ 5 }, w.hp), 0);
	assert_int_equal(bind_on(&w, other, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_host_unbind(other, w.hp), 0);
	assert_int_equal(viommu_pasid_to_host(owner, (struct viommu_gp){ 5 }, &hp), 0);
	/* While a bind names it the caller's is taken back without effect. */
	assert_int_equal(bind_on(&w, w.dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_pasid_unmap(owner, (struct viommu_gp){ 5 }), 0);
	assert_int_equal(viommu_pasid_unmap(owner, (struct viommu_gp){ 5 }), -ENOENT);
	assert_int_equal(viommu_pasid_to_host(owner, (struct viommu_gp){ 5 }, &hp), 0);
	assert_int_equal(hp.v, w.hp.v);
	assert_int_equal(viommu_pasid_alloc(owner, 300, 400, &two), 0);
	assert_int_equal(viommu_pasid_map(owner, (struct viommu_gp){ 5 }, two), -EEXIST);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_pasid_to_host(owner, (struct viommu_gp){ 5 }, &hp), -ENOENT);
	world_close(&w);
}

static void a_held_pasid_may_be_released_before_its_bind_ends(void **state)
{
	struct viommu_owner *owner;
	struct viommu_hp hp = { 5 };
	struct world w;

	(void)state;
	world_open(&w, NULL);
	owner = viommu_domain_owner(w.dom);
	assert_int_equal(viommu_pasid_hold(owner, hp), 0);
	assert_int_equal(bind_on(&w, w.dev, hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_pasid_release(owner, hp), 0);
	assert_int_equal(viommu_owner_count(owner), 2);
	assert_int_equal(viommu_host_unbind(w.dev, hp), 0);
	assert_int_equal(viommu_owner_count(owner), 1);
	assert_int_equal(viommu_pasid_release(owner, hp), -ENOENT);
	/* The other order, and a bind that is left to the domain's end. */
	assert_int_equal(viommu_pasid_hold(owner, hp), 0);
	assert_int_equal(bind_on(&w, w.dev, hp, 0), 0);
	assert_int_equal(viommu_host_unbind(w.dev, hp), 0);
	assert_int_equal(viommu_owner_count(owner), 2);
	assert_int_equal(bind_on(&w, w.dev, hp, 0), 0);
	assert_int_equal(viommu_pasid_release(owner, hp), 0);
	world_close(&w);
}

static void devices_with_the_same_pasid_keep_their_own_tables(void **state)
{
	struct viommu_device *dev[2];
	struct tables_stage other;
	struct world w;
	unsigned int i;
	uint64_t gpa;
	uint32_t v;

	(void)state;
	world_open(&w, NULL);
	dev[0] = w.dev;
	dev[1] = device_new(&w, 0x100);
	*(uint32_t *)world_ptr(&w, world_map(&w, WORLD_VA, TABLES_RWU)) = 0;
	assert_int_equal(bind_on(&w, dev[0], w.hp, 0), 0);
	tables_stage_init(&other, &w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	gpa = world_page(&w);
	*(uint32_t *)world_ptr(&w, gpa) = 1;
	assert_int_equal(tables_map(&other, WORLD_VA, gpa, 12, TABLES_RWU), 0);
	w.fs = other;
	assert_int_equal(bind_on(&w, dev[1], w.hp, 0), 0);
	for (i = 0; i < 8; i++) {
		/* Each twice in a row, so that the second is a hit. */
		assert_int_equal(read_word(&w, dev[i / 2 % 2], w.hp.v, WORLD_VA, &v), 0);
		assert_int_equal(v, i / 2 % 2);
	}
	world_close(&w);
}

/* ---- While a bind ends ---- */

struct told {
	struct world w; /* first */
	unsigned int calls;
	int ret;
};

/* It is told when the bind has ended for everybody: what it could still do must not work. */
static void told_reads(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct told *t = ctx;
	uint32_t v;

	(void)addr, (void)bytes;
	t->calls++;
	t->ret = viommu_dma_read(t->w.dma, t->w.dev, pasid, WORLD_VA, &v, 4, 0, NULL);
}

static void a_device_that_is_told_of_an_end_cannot_begin_anything(void **state)
{
	struct viommu_device_config vc = { .size = sizeof(vc),
					   .sid = 0x100,
					   .flags = VIOMMU_DEVICE_PASID,
					   .invalidate = told_reads };
	struct told t;
	unsigned int i;
	uint32_t v;

	(void)state;
	memset(&t, 0, sizeof(t));
	world_open(&t.w, NULL);
	vc.ctx = &t;
	assert_int_equal(viommu_device_new(t.w.host, &vc, &t.w.dev), 0);
	world_map(&t.w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&t.w, 5), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(read_word(&t.w, t.w.dev, t.w.hp.v, WORLD_VA, &v), 0);
	assert_int_equal(viommu_host_unbind(t.w.dev, t.w.hp), 0);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.ret, VIOMMU_FAULTED);
	world_close(&t.w);
}

/* ---- Rebind while DMA runs ---- */

#define READERS 2

struct rebind_race {
	struct world w;
	/* Even: the tables of number stage / 2 & 1 are bound. Odd: being replaced. */
	uint64_t stage;
	uint64_t seen; /* reads that lay in one stage, all threads */
	uint32_t stop;
};

static void *rebind_reader(void *arg)
{
	struct rebind_race *r = arg;
	struct viommu_dma *dma;
	uint64_t before, after;
	uint32_t v;

	assert_int_equal(viommu_dma_new(r->w.host, &dma), 0);
	while (!load_acquire(&r->stop)) {
		before = load_acquire(&r->stage);
		assert_int_equal(
			viommu_dma_read(dma, r->w.dev, r->w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
		fence_seqcst();
		after = load_acquire(&r->stage);
		assert_true(v < 2);
		if (before != after || before & 1)
			continue;
		assert_int_equal(v, before >> 1 & 1);
		fetch_add(&r->seen, 1);
	}
	viommu_dma_free(dma);
	return NULL;
}

static void after_a_rebind_no_access_uses_the_old_tables(void **state)
{
	struct tables_stage other;
	struct rebind_race r = { .stage = 0 };
	struct viommu_bind b[2];
	pthread_t threads[READERS];
	unsigned int i, n = (unsigned int)test_scale(2000);
	uint64_t gpa;

	(void)state;
	world_open(&r.w, NULL);
	gpa = world_map(&r.w, WORLD_VA, TABLES_RWU);
	*(uint32_t *)world_ptr(&r.w, gpa) = 0;
	tables_stage_init(&other, &r.w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	gpa = world_page(&r.w);
	*(uint32_t *)world_ptr(&r.w, gpa) = 1;
	assert_int_equal(tables_map(&other, WORLD_VA, gpa, 12, TABLES_RWU), 0);
	for (i = 0; i < 2; i++) {
		b[i] = (struct viommu_bind){ .size = sizeof(b[i]),
					     .kind = VIOMMU_BIND_NESTED,
					     .nr = 1 };
		tables_stage(i ? &other : &r.w.fs, 52, &b[i].stage[0]);
		b[i].stage[0].flags = 0;
	}
	assert_int_equal(viommu_host_bind(r.w.dev, r.w.dom, r.w.hp, &b[0]), 0);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, rebind_reader, &r), 0);
	for (i = 1; i <= n || load_relaxed(&r.seen) < 100; i++) {
		store_release(&r.stage, r.stage + 1);
		fence_seqcst();
		assert_int_equal(viommu_host_rebind(r.w.dev, r.w.dom, r.w.hp, &b[i & 1]), 0);
		store_release(&r.stage, r.stage + 1);
		if (i % 16 == 0)
			sched_yield();
	}
	store_release(&r.stop, 1);
	for (i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.w.faults, 0);
	world_close(&r.w);
}

/* ---- Ends with binds alive ---- */

/* What the VM has when nothing is bound any more. */
static void assert_pasids_are_free(struct world *w, struct viommu_domain *dom,
				   const struct viommu_hp *hp, unsigned int nr)
{
	unsigned int i;

	(void)w;
	for (i = 0; i < nr; i++)
		assert_int_equal(viommu_pasid_free(viommu_domain_owner(dom), hp[i]), 0);
}

static void a_device_goes_with_its_binds(void **state)
{
	struct viommu_host_memory before, after;
	struct viommu_device *dev;
	struct viommu_hp hp[3];
	struct world w;
	unsigned int i;
	uint32_t v;
	long live;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	/* What a host keeps for later binds it has by now. */
	dev = device_new(&w, 0x100);
	viommu_device_free(dev);
	for (i = 0; i < 3; i++)
		assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w.dom), 1000 * (i + 1),
						    1000 * (i + 1), &hp[i]),
				 0);
	viommu_host_memory(w.host, &before);
	live = viommu__alloc_live();
	dev = device_new(&w, 0x100);
	for (i = 0; i < 3; i++)
		assert_int_equal(bind_on(&w, dev, hp[i], i ? 0 : VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_device_attach(dev, w.dom, &second_stage), 0);
	assert_int_equal(read_word(&w, dev, hp[1].v, WORLD_VA, &v), 0);
	viommu_device_free(dev);
	assert_int_equal(viommu__alloc_live(), live);
	viommu_host_memory(w.host, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_pasids_are_free(&w, w.dom, hp, 3);
	/* Its requester id can be had again, and nothing of it is bound. */
	dev = device_new(&w, 0x100);
	assert_int_equal(read_word(&w, dev, hp[1].v, WORLD_VA, &v), VIOMMU_FAULTED);
	world_close(&w);
}

static void a_domain_goes_with_its_binds_on_every_device(void **state)
{
	struct viommu_host_memory before, after;
	struct viommu_device *dev[3];
	struct viommu_domain *dom;
	struct viommu_hp hp;
	struct world w;
	unsigned int i;
	uint64_t pe[8];
	uint32_t v;
	long live;

	(void)state;
	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	for (i = 0; i < 3; i++) {
		dev[i] = device_new(&w, (uint16_t)(0x100 + i));
		/* Another VM's binds in the same tables stay. */
		assert_int_equal(bind_on(&w, dev[i], w.hp, 0), 0);
		assert_int_equal(viommu_device_attach(dev[i], w.dom, &second_stage), 0);
		assert_int_equal(viommu_device_detach(dev[i]), 0);
	}
	viommu_host_memory(w.host, &before);
	live = viommu__alloc_live();
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &dom), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(dom), 101, 110, &hp), 0);
	for (i = 0; i < 3; i++) {
		struct viommu_bind b = { .size = sizeof(b),
					 .kind = VIOMMU_BIND_NESTED,
					 .flags = VIOMMU_GPASID_VALID,
					 .gp = { 3 },
					 .nr = 1 };

		tables_stage(&w.fs, 52, &b.stage[0]);
		b.stage[0].flags = 0;
		assert_int_equal(viommu_host_bind(dev[i], dom, hp, &b), 0);
		assert_int_equal(viommu_device_attach(dev[i], dom, &second_stage), 0);
		assert_int_equal(read_word(&w, dev[i], hp.v, WORLD_VA, &v), 0);
		assert_int_equal(read_word(&w, dev[i], VIOMMU_NO_PASID, 0, &v), 0);
	}
	viommu_domain_free(dom);
	for (i = 0; i < 3; i++) {
		assert_int_equal(viommu_host_pasid_entry(dev[i], hp, pe), -ENOENT);
		assert_int_equal(read_word(&w, dev[i], hp.v, WORLD_VA, &v), VIOMMU_FAULTED);
		assert_int_equal(read_word(&w, dev[i], VIOMMU_NO_PASID, 0, &v), VIOMMU_FAULTED);
		assert_int_equal(read_word(&w, dev[i], w.hp.v, WORLD_VA, &v), 0);
	}
	assert_int_equal(viommu__alloc_live(), live);
	viommu_host_memory(w.host, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	/* The PASID is nobody's, so the other VM can have it. */
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(w.dom), hp), 0);
	world_close(&w);
}

static void a_host_goes_with_everything(void **state)
{
	long live = viommu__alloc_live();
	struct viommu_device *dev;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	dev = device_new(&w, 0x100);
	assert_int_equal(bind_on(&w, w.dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(bind_on(&w, dev, w.hp, VIOMMU_GPASID_VALID), 0);
	assert_int_equal(viommu_device_attach(dev, w.dom, &second_stage), 0);
	world_close(&w);
	assert_int_equal(viommu__alloc_live(), live);
}

/* ---- Two enders at once ---- */

struct two_enders {
	struct world w;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	uint32_t told;
	pthread_t thread;
};

static void *end_domain(void *arg)
{
	struct two_enders *t = arg;

	viommu_domain_free(t->dom);
	return NULL;
}

/*
 * The device is told while its bind ends: meanwhile the domain ends, too, and finds the bind dying.
 */
static void end_domain_meanwhile(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct two_enders *t = ctx;
	unsigned int i;

	(void)pasid, (void)addr, (void)bytes;
	if (t->told++)
		return;
	assert_int_equal(pthread_create(&t->thread, NULL, end_domain, t), 0);
	/* Time to get to where it waits; if it is slower, it finds nothing bound. */
	for (i = 0; i < 500; i++)
		sched_yield();
}

static void a_device_and_a_domain_may_end_at_once(void **state)
{
	struct two_enders t;
	struct viommu_hp hp;
	unsigned int i;
	long live = viommu__alloc_live();

	(void)state;
	for (i = 0; i < 10; i++) {
		memset(&t, 0, sizeof(t));
		world_open(&t.w, NULL);
		assert_int_equal(viommu_domain_new(t.w.host, t.w.mem, NULL, &t.dom), 0);
		assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(t.dom), 300, 400, &hp), 0);
		assert_int_equal(
			viommu_device_new(t.w.host,
					  &(struct viommu_device_config){
						  .size = sizeof(struct viommu_device_config),
						  .sid = 0x100,
						  .flags = VIOMMU_DEVICE_PASID,
						  .ctx = &t,
						  .invalidate = end_domain_meanwhile },
					  &t.dev),
			0);
		assert_int_equal(viommu_host_bind(t.dev, t.dom, hp, &second_stage), 0);
		viommu_device_free(t.dev);
		assert_int_equal(pthread_join(t.thread, NULL), 0);
		world_close(&t.w);
		assert_int_equal(viommu__alloc_live(), live);
	}
}

/* ---- Misses ---- */

struct misser {
	struct world w; /* first: the world's own callback gets the same ctx */
	unsigned int calls;
	uint32_t pasid;
	uint8_t reason; /* what the host's tables say */
	bool bind;
	bool lie;
};

static int miss(void *ctx, struct viommu_device *dev, uint32_t pasid, struct viommu_fault *fault)
{
	struct misser *m = ctx;

	m->calls++;
	m->pasid = pasid;
	assert_int_equal(fault->reason, m->reason);
	if (m->lie)
		return 0;
	if (!m->bind) {
		fault->reason = VTD_FR_PE_RSVD; /* the guest's own view */
		return -1;
	}
	if (pasid == VIOMMU_NO_PASID)
		return viommu_device_attach(dev, m->w.dom, &second_stage);
	return world_bind(&m->w, 5);
}

static void miss_open(struct misser *m)
{
	struct world_config c = { .ops = { .ctx = m, .miss = miss } };

	memset(m, 0, sizeof(*m));
	m->reason = VTD_FR_PE_NP;
	world_open(&m->w, &c);
	world_map(&m->w, WORLD_VA, TABLES_RWU);
	/* A table with PASID entries is there, none of them present. */
	assert_int_equal(world_bind(&m->w, 5), 0);
	assert_int_equal(viommu_host_unbind(m->w.dev, m->w.hp), 0);
	assert_int_equal(viommu_device_attach(m->w.dev, m->w.dom, &second_stage), 0);
	assert_int_equal(viommu_device_detach(m->w.dev), 0);
}

static void a_miss_binds_and_the_access_goes_on(void **state)
{
	struct misser m;
	uint32_t v;

	(void)state;
	miss_open(&m);
	m.bind = true;
	assert_int_equal(read_word(&m.w, m.w.dev, m.w.hp.v, WORLD_VA, &v), 0);
	assert_int_equal(m.calls, 1);
	assert_int_equal(m.pasid, m.w.hp.v);
	assert_int_equal(read_word(&m.w, m.w.dev, m.w.hp.v, WORLD_VA, &v), 0);
	assert_int_equal(m.calls, 1);
	assert_int_equal(read_word(&m.w, m.w.dev, VIOMMU_NO_PASID, 0x1000, &v), 0);
	assert_int_equal(m.calls, 2);
	assert_int_equal(m.pasid, VIOMMU_NO_PASID);
	assert_int_equal(m.w.faults, 0);
	world_close(&m.w);
}

static void a_miss_comes_up_where_nothing_was_ever_bound(void **state)
{
	struct misser m;
	struct world_config c = { .ops = { .ctx = &m, .miss = miss } };
	struct viommu_ats_result ats;
	uint32_t v;

	(void)state;
	memset(&m, 0, sizeof(m));
	m.reason = VTD_FR_PDIR_NP;
	m.bind = true;
	world_open(&m.w, &c);
	world_map(&m.w, WORLD_VA, TABLES_RWU);
	assert_int_equal(read_word(&m.w, m.w.dev, VIOMMU_NO_PASID, 0x1000, &v), 0);
	assert_int_equal(m.calls, 1);
	assert_int_equal(m.pasid, VIOMMU_NO_PASID);
	/* The same for a PASID far from it. */
	assert_int_equal(read_word(&m.w, m.w.dev, m.w.hp.v, WORLD_VA, &v), 0);
	assert_int_equal(m.calls, 2);
	world_close(&m.w);
	/* And of a device that sends no PASIDs, by a translation request. */
	memset(&m, 0, sizeof(m));
	m.reason = VTD_FR_PDIR_NP;
	c.device_flags = VIOMMU_DEVICE_ATS;
	world_open(&m.w, &c);
	assert_int_equal(viommu_ats_translate(m.w.dma, m.w.dev, VIOMMU_NO_PASID, 0x1000, 0, &ats,
					      NULL),
			 VIOMMU_FAULTED);
	assert_int_equal(m.calls, 1);
	assert_int_equal(m.w.fault.reason, VTD_FR_PE_RSVD);
	assert_int_equal(m.w.fault.request, VIOMMU_REQ_TRANSLATION);
	m.bind = true;
	assert_int_equal(
		viommu_ats_translate(m.w.dma, m.w.dev, VIOMMU_NO_PASID, 0x1000, 0, &ats, NULL), 0);
	assert_int_equal(m.calls, 2);
	assert_int_equal(ats.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_int_equal(m.w.faults, 1);
	world_close(&m.w);
}

static void a_miss_that_binds_nothing_ends_in_its_fault(void **state)
{
	struct viommu_dma_result res;
	struct misser m;
	uint32_t v;

	(void)state;
	miss_open(&m);
	/* Absence is not cached: each access asks, once. */
	assert_int_equal(viommu_dma_read(m.w.dma, m.w.dev, m.w.hp.v, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(m.calls, 1);
	assert_int_equal(res.fault.reason, VTD_FR_PE_RSVD);
	assert_int_equal(m.w.fault.reason, VTD_FR_PE_RSVD);
	assert_int_equal(read_word(&m.w, m.w.dev, m.w.hp.v, WORLD_VA, &v), VIOMMU_FAULTED);
	assert_int_equal(m.calls, 2);
	m.bind = true;
	assert_int_equal(read_word(&m.w, m.w.dev, m.w.hp.v, WORLD_VA, &v), 0);
	assert_int_equal(m.calls, 3);
	world_close(&m.w);
}

static void a_miss_is_retried_once(void **state)
{
	struct misser m;
	uint32_t v;

	(void)state;
	miss_open(&m);
	m.lie = true; /* it says that it has bound, and has not */
	assert_int_equal(read_word(&m.w, m.w.dev, m.w.hp.v, WORLD_VA, &v), VIOMMU_FAULTED);
	assert_int_equal(m.calls, 1);
	assert_int_equal(m.w.fault.reason, VTD_FR_PE_NP);
	world_close(&m.w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_pasid_on_several_devices_is_one_address_space),
	cmocka_unit_test(the_guests_number_leaves_with_the_last_bind_that_has_it),
	cmocka_unit_test(a_mapping_of_the_caller_outlives_binds),
	cmocka_unit_test(a_held_pasid_may_be_released_before_its_bind_ends),
	cmocka_unit_test(devices_with_the_same_pasid_keep_their_own_tables),
	cmocka_unit_test(a_device_that_is_told_of_an_end_cannot_begin_anything),
	cmocka_unit_test(after_a_rebind_no_access_uses_the_old_tables),
	cmocka_unit_test(a_device_goes_with_its_binds),
	cmocka_unit_test(a_domain_goes_with_its_binds_on_every_device),
	cmocka_unit_test(a_host_goes_with_everything),
	cmocka_unit_test(a_device_and_a_domain_may_end_at_once),
	cmocka_unit_test(a_miss_binds_and_the_access_goes_on),
	cmocka_unit_test(a_miss_comes_up_where_nothing_was_ever_bound),
	cmocka_unit_test(a_miss_that_binds_nothing_ends_in_its_fault),
	cmocka_unit_test(a_miss_is_retried_once),
};
TEST_MAIN(tests)
