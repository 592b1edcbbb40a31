/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest's unit asks of the host besides binds: gates of a context entry that open and shut,
 * FPD, looking at all binds, ending all of them, aborting page requests, callbacks that block.
 */
#include <pthread.h>
#include <sched.h>

#include "host/world.h"

#define ALL     (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)
#define MISSING (WORLD_VA + 0x5000)

/* A VM that counts what comes up. */
struct vm {
	struct world w; /* first: the world's own callback gets the same ctx */
	unsigned int misses;
	unsigned int requests;
	struct viommu_page_request req; /* the last */
};

static int miss(void *ctx, struct viommu_device *dev, uint32_t pasid, struct viommu_fault *fault)
{
	struct vm *vm = ctx;

	(void)dev, (void)pasid, (void)fault;
	vm->misses++;
	return -1;
}

static void request(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct vm *vm = ctx;

	(void)dev;
	vm->req = *req;
	vm->requests++;
}

static void vm_open(struct vm *vm, uint32_t device_flags)
{
	struct world_config c = { .device_flags = device_flags,
				  .ops = { .ctx = vm, .miss = miss, .page_request = request } };

	memset(vm, 0, sizeof(*vm));
	world_open(&vm->w, &c);
	world_map(&vm->w, WORLD_VA, TABLES_RWU);
	if (device_flags & VIOMMU_DEVICE_PASID)
		assert_int_equal(world_bind(&vm->w, 5), 0);
}

static int read_at(struct vm *vm, uint32_t pasid, uint64_t va, uint32_t flags,
		   struct viommu_dma_result *res)
{
	uint32_t v;

	memset(res, 0, sizeof(*res));
	return viommu_dma_read(vm->w.dma, vm->w.dev, pasid, va, &v, 4, flags, res);
}

static const struct viommu_bind second_stage = { .size = sizeof(struct viommu_bind),
						 .kind = VIOMMU_BIND_NESTED };

/* ---- Gates ---- */

static void a_gate_is_one_the_device_was_made_with(void **state)
{
	struct vm vm;

	(void)state;
	vm_open(&vm, VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS);
	assert_int_equal(viommu_device_gate(vm.w.dev, ALL), -EINVAL);
	assert_int_equal(viommu_device_gate(vm.w.dev, 0x8), -EINVAL);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_ATS), 0);
	assert_int_equal(viommu_device_gate(vm.w.dev, 0), 0);
	world_close(&vm.w);
	vm_open(&vm, ALL);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_PRI),
			 -EINVAL);
	assert_int_equal(viommu_device_unplug(vm.w.dev), 0);
	assert_int_equal(viommu_device_gate(vm.w.dev, ALL), -ENODEV);
	world_close(&vm.w);
}

/* VTD-FLT-140 */
static void without_pasid_gate_a_request_with_pasid_ends_in_45h(void **state)
{
	struct viommu_dma_result res;
	struct vm vm;

	(void)state;
	vm_open(&vm, ALL);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, 0, &res), 0);
	assert_int_equal(read_at(&vm, VIOMMU_NO_PASID, 0x1000, 0, &res), 0);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI), 0);
	/* Although it was cached. Bound or not: no tables are looked at, nobody is asked. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_PASIDE);
	assert_int_equal(vm.w.faults, 1);
	assert_int_equal(vm.w.fault.reason, VTD_FR_SCE_PASIDE);
	assert_int_equal(read_at(&vm, vm.w.hp.v + 1, WORLD_VA, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_PASIDE);
	assert_int_equal(vm.misses, 0);
	assert_int_equal(read_at(&vm, VIOMMU_NO_PASID, 0x1000, 0, &res), 0);
	/* The bind is still there. */
	assert_int_equal(viommu_device_gate(vm.w.dev, ALL), 0);
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, 0, &res), 0);
	world_close(&vm.w);
}

/* VTD-FLT-139 */
static void without_ats_gate_a_translation_request_ends_in_44h(void **state)
{
	struct viommu_ats_result ats;
	struct viommu_dma_result res;
	struct viommu_devtlb *tlb;
	struct viommu_fault fault;
	unsigned int valid;
	uint64_t hits, misses;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open(&vm, ALL);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 16, &tlb), 0);
	assert_int_equal(viommu_devtlb_read(tlb, vm.w.dma, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), 0);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_PASID), 0);
	viommu_devtlb_stats(tlb, &valid, &hits, &misses);
	assert_int_equal(valid, 0);
	assert_int_equal(viommu_devtlb_read(tlb, vm.w.dma, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_DTE);
	assert_int_equal(viommu_ats_translate(vm.w.dma, vm.w.dev, vm.w.hp.v, WORLD_VA, 0, &ats,
					      &fault),
			 VIOMMU_FAULTED);
	assert_int_equal(fault.reason, VTD_FR_SCE_DTE);
	assert_int_equal(viommu_ats_translate(vm.w.dma, vm.w.dev, vm.w.hp.v + 1, WORLD_VA, 0, &ats,
					      &fault),
			 VIOMMU_FAULTED);
	assert_int_equal(fault.reason, VTD_FR_SCE_DTE);
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, VIOMMU_DMA_ATS, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_DTE);
	assert_int_equal(vm.w.faults, 4); /* an unsupported request is told */
	assert_int_equal(vm.misses, 0);
	/* A plain request is none of the gate's business. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, 0, &res), 0);
	assert_int_equal(viommu_device_gate(vm.w.dev, ALL), 0);
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, VIOMMU_DMA_ATS, &res), 0);
	assert_int_equal(viommu_devtlb_read(tlb, vm.w.dma, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), 0);
	viommu_devtlb_free(tlb);
	world_close(&vm.w);
}

/* VTD-FLT-142, VTD-PRI-06 */
static void without_pri_gate_a_missing_page_ends_in_47h(void **state)
{
	struct viommu_dma_result res;
	struct vm vm;

	(void)state;
	vm_open(&vm, ALL);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS), 0);
	assert_int_equal(read_at(&vm, vm.w.hp.v, MISSING, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_PRE);
	assert_int_equal(res.fault.request, VIOMMU_REQ_PAGE);
	assert_int_equal(res.fault.pasid, vm.w.hp.v);
	assert_int_equal(res.fault.addr, MISSING);
	assert_int_equal(res.response, VIOMMU_RESPONSE_INVALID);
	assert_int_equal(vm.w.faults, 1);
	/* Also by translation requests, of which the missing page alone would not be told. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, MISSING, VIOMMU_DMA_ATS, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_PRE);
	assert_int_equal(vm.w.faults, 2);
	/* Who would not have asked sees its fault as ever. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, MISSING, VIOMMU_DMA_NO_PRI, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(vm.requests, 0);
	assert_int_equal(viommu_device_gate(vm.w.dev, ALL), 0);
	assert_int_equal(read_at(&vm, vm.w.hp.v, MISSING, VIOMMU_DMA_NO_WAIT, &res), -EAGAIN);
	assert_int_equal(vm.requests, 1);
	world_close(&vm.w);
}

struct parked {
	struct vm *vm;
	struct viommu_dma *dma;
	struct viommu_dma_result res;
	uint64_t va;
	int ret;
	pthread_t thread;
};

static void *parked_run(void *arg)
{
	struct parked *p = arg;
	uint32_t v;

	p->ret = viommu_dma_read(p->dma, p->vm->w.dev, p->vm->w.hp.v, p->va, &v, 4, 0, &p->res);
	return NULL;
}

static void park(struct parked *p, struct vm *vm, uint64_t va)
{
	unsigned int open = viommu_device_open_requests(vm->w.dev);

	*p = (struct parked){ .vm = vm, .va = va };
	assert_int_equal(viommu_dma_new(vm->w.host, &p->dma), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, parked_run, p), 0);
	while (viommu_device_open_requests(vm->w.dev) == open)
		sched_yield();
}

static void unpark(struct parked *p)
{
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	viommu_dma_free(p->dma);
}

static void to_shut_the_pri_gate_answers_open_groups_invalid(void **state)
{
	struct parked p;
	struct vm vm;

	(void)state;
	vm_open(&vm, ALL);
	park(&p, &vm, MISSING);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS), 0);
	unpark(&p);
	assert_int_equal(p.ret, VIOMMU_FAULTED);
	assert_int_equal(p.res.response, VIOMMU_RESPONSE_INVALID);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
	world_close(&vm.w);
}

/* ---- FPD ---- */

/* VTD-FREC-10, VTD-FREC-12 */
static void a_bind_with_fpd_has_its_qualified_faults_not_told(void **state)
{
	struct viommu_path_request req = { .pasid = 0, .access = VIOMMU_READ, .addr = MISSING };
	struct viommu_bind b = {
		.size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .flags = VIOMMU_BIND_FPD, .nr = 1
	};
	struct viommu_path_result path;
	struct viommu_walk_result walk;
	struct viommu_ats_result ats;
	struct viommu_dma_result res;
	struct viommu_fault fault;
	struct vm vm;

	(void)state;
	vm_open(&vm, VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS);
	tables_stage(&vm.w.fs, 52, &b.stage[0]);
	b.stage[0].flags = 0;
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(viommu_host_bind(vm.w.dev, vm.w.dom, vm.w.hp, &b), 0);
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, 0, &res), 0);
	/* By the walk. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, MISSING, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_true(res.fault.flags & VIOMMU_FAULT_FPD);
	req.pasid = vm.w.hp.v;
	assert_int_equal(viommu_host_walk(vm.w.dev, &req, VIOMMU_WALK_DRY, NULL, &path, &walk),
			 VIOMMU_FAULTED);
	assert_true(walk.fault.flags & VIOMMU_FAULT_FPD);
	/* By the path: supervisor requests are not enabled. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, VIOMMU_PRIV, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_SRE);
	assert_true(res.fault.flags & VIOMMU_FAULT_FPD);
	assert_int_equal(vm.w.faults, 0);
	/* The same of requests without PASID. */
	b = second_stage;
	b.flags = VIOMMU_BIND_FPD;
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &b), 0);
	assert_int_equal(read_at(&vm, VIOMMU_NO_PASID, WORLD_BYTES, 0, &res), VIOMMU_FAULTED);
	assert_true(res.fault.flags & VIOMMU_FAULT_FPD);
	assert_int_equal(vm.w.faults, 0);
	/* A reason that is not qualified is told all the same. */
	assert_int_equal(read_at(&vm, VIOMMU_NO_PASID, 0xfee00000, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
	assert_int_equal(vm.w.faults, 1);
	/* A translation request that is an answer without error is none in either case. */
	assert_int_equal(
		viommu_ats_translate(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING, 0, &ats, &fault), 0);
	assert_int_equal(ats.perm, 0);
	assert_int_equal(vm.w.faults, 1);
	/* Rebound without it, it is told. */
	b.flags = 0;
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &b), 0);
	assert_int_equal(read_at(&vm, VIOMMU_NO_PASID, WORLD_BYTES, 0, &res), VIOMMU_FAULTED);
	assert_false(res.fault.flags & VIOMMU_FAULT_FPD);
	assert_int_equal(vm.w.faults, 2);
	world_close(&vm.w);
}

/* ---- All binds ---- */

static void next_bind_shows_every_bind_in_order(void **state)
{
	static const uint32_t ids[] = { 3, 64, 127, 0x12345, VIOMMU_PASID_MAX };
	uint64_t pe[8], same[8];
	struct viommu_hp hp = { 0 };
	struct viommu_gp gp;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm, VIOMMU_DEVICE_PASID);
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, &gp, pe), -ENOENT);
	assert_int_equal(hp.v, 0);
	for (i = 0; i < 5; i++) {
		struct viommu_bind b = second_stage;

		hp.v = ids[i];
		b.flags = i & 1 ? VIOMMU_GPASID_VALID : 0;
		b.gp.v = ids[i] ^ 1;
		assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(vm.w.dom), hp), 0);
		assert_int_equal(viommu_host_bind(vm.w.dev, vm.w.dom, hp, &b), 0);
	}
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	hp.v = 0;
	assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, &gp, pe), 0);
	assert_int_equal(hp.v, 0);
	assert_int_equal(gp.v, VIOMMU_NO_PASID);
	for (i = 0; i < 5; i++) {
		hp.v++;
		assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, &gp, pe), 0);
		assert_int_equal(hp.v, ids[i]);
		assert_int_equal(gp.v, i & 1 ? ids[i] ^ 1 : VIOMMU_NO_PASID);
		assert_int_equal(viommu_host_pasid_entry(vm.w.dev, hp, same), 0);
		assert_memory_equal(pe, same, sizeof(pe));
	}
	hp.v++;
	assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, NULL, NULL), -ENOENT);
	hp.v = UINT32_MAX;
	assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, NULL, NULL), -ENOENT);
	assert_int_equal(hp.v, UINT32_MAX);
	hp.v = 4;
	assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, NULL, NULL), 0);
	assert_int_equal(hp.v, 64);
	world_close(&vm.w);
}

static void unbind_all_ends_every_bind_and_its_requests(void **state)
{
	struct viommu_dma_result res;
	struct viommu_hp hp = { 0 };
	struct parked p;
	struct vm vm;

	(void)state;
	vm_open(&vm, ALL);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	park(&p, &vm, MISSING);
	assert_int_equal(viommu_device_unbind_all(vm.w.dev), 0);
	unpark(&p);
	assert_int_equal(p.ret, VIOMMU_FAULTED);
	assert_int_equal(p.res.response, VIOMMU_RESPONSE_INVALID);
	assert_int_equal(viommu_host_next_bind(vm.w.dev, &hp, NULL, NULL), -ENOENT);
	assert_int_equal(read_at(&vm, vm.w.hp.v, WORLD_VA, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(read_at(&vm, VIOMMU_NO_PASID, 0x1000, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(viommu_pasid_free(viommu_domain_owner(vm.w.dom), vm.w.hp), 0);
	assert_int_equal(viommu_device_unbind_all(vm.w.dev), 0);
	world_close(&vm.w);
}

/* ---- Page requests ---- */

/* VTD-PRI-02: also with code 2 */
static void abort_answers_the_groups_of_a_pasid_alone(void **state)
{
	struct viommu_dma_result res;
	struct viommu_hp other;
	struct parked p[2];
	struct vm vm;

	(void)state;
	vm_open(&vm, ALL);
	/* Of one PASID two that wait; of the other, and of none, requests that nobody waits for. */
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(vm.w.dom), 300, 400, &other), 0);
	assert_int_equal(viommu_host_bind_gpasid(vm.w.dev, vm.w.dom,
						 &(struct viommu_gpasid_bind){
							 .size = sizeof(struct viommu_gpasid_bind),
							 .addr_width = 48,
							 .hp = other,
							 .gpgd = tables_root(&vm.w.fs) }),
			 0);
	park(&p[0], &vm, MISSING);
	park(&p[1], &vm, MISSING + 0x1000);
	assert_int_equal(read_at(&vm, other.v, MISSING, VIOMMU_DMA_NO_WAIT, &res), -EAGAIN);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 3);
	assert_int_equal(viommu_device_abort_requests(vm.w.dev, VIOMMU_NO_PASID,
						      VIOMMU_RESPONSE_INVALID),
			 0);
	assert_int_equal(viommu_device_abort_requests(vm.w.dev, vm.w.hp.v, VIOMMU_RESPONSE_INVALID),
			 2);
	unpark(&p[0]);
	unpark(&p[1]);
	assert_int_equal(p[0].ret, VIOMMU_FAULTED);
	assert_int_equal(p[1].res.response, VIOMMU_RESPONSE_INVALID);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
	/* The bind is alive: it may ask again. */
	assert_int_equal(read_at(&vm, vm.w.hp.v, MISSING, VIOMMU_DMA_NO_WAIT, &res), -EAGAIN);
	/* SUCCESS lets the accesses walk again; any code that is none counts as FAILURE. */
	assert_int_equal(viommu_device_abort_requests(vm.w.dev, VIOMMU_ALL_PASIDS,
						      VIOMMU_RESPONSE_SUCCESS),
			 2);
	assert_int_equal(viommu_device_abort_requests(vm.w.dev, VIOMMU_ALL_PASIDS, 2), 0);
	assert_int_equal(read_at(&vm, other.v, MISSING, VIOMMU_DMA_NO_WAIT, &res), -EAGAIN);
	assert_int_equal(viommu_device_abort_requests(vm.w.dev, other.v, 2), 1);
	assert_int_equal(read_at(&vm, other.v, MISSING, VIOMMU_DMA_NO_WAIT, &res), VIOMMU_FAULTED);
	assert_int_equal(res.response, VIOMMU_RESPONSE_FAILURE);
	world_close(&vm.w);
}

/* ---- Callbacks that block ---- */

struct blocker {
	struct world w;       /* first */
	pthread_mutex_t lock; /* the unit's */
	unsigned int inside;  /* callbacks that have begun: each is about to block */
	pthread_mutex_t count;
};

static void blocker_block(struct blocker *b)
{
	pthread_mutex_lock(&b->count);
	b->inside++;
	pthread_mutex_unlock(&b->count);
	pthread_mutex_lock(&b->lock);
	pthread_mutex_unlock(&b->lock);
}

static int block_miss(void *ctx, struct viommu_device *dev, uint32_t pasid,
		      struct viommu_fault *fault)
{
	(void)dev, (void)pasid, (void)fault;
	blocker_block(ctx);
	return -1;
}

static void block_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	(void)dev, (void)fault;
	blocker_block(ctx);
}

static void block_request(void *ctx, struct viommu_device *dev,
			  const struct viommu_page_request *req)
{
	(void)dev, (void)req;
	blocker_block(ctx);
}

static void block_interrupt(void *ctx, struct viommu_device *dev, uint64_t addr, uint32_t data)
{
	(void)dev, (void)addr, (void)data;
	blocker_block(ctx);
}

struct block_arg {
	struct blocker *b;
	unsigned int kind;
};

static void *block_run(void *arg)
{
	static const struct {
		uint32_t pasid;
		uint64_t va;
		bool write;
	} kinds[] = {
		{ 0, WORLD_VA, false }, /* a PASID that is not bound: miss, then a fault */
		{ 1, MISSING, false },  /* page request */
		{ VIOMMU_NO_PASID, 0xfee01000, true },  /* interrupt */
		{ VIOMMU_NO_PASID, 0xfee01000, false }, /* fault */
	};
	struct block_arg *a = arg;
	struct blocker *b = a->b;
	uint32_t pasid = kinds[a->kind].pasid, v = 0;
	struct viommu_dma *dma;

	if (pasid != VIOMMU_NO_PASID)
		pasid = pasid ? b->w.hp.v : b->w.hp.v + 1;
	assert_int_equal(viommu_dma_new(b->w.host, &dma), 0);
	if (kinds[a->kind].write)
		viommu_dma_write(dma, b->w.dev, pasid, kinds[a->kind].va, &v, 4, 0, NULL);
	else
		viommu_dma_read(dma, b->w.dev, pasid, kinds[a->kind].va, &v, 4, 0, NULL);
	viommu_dma_free(dma);
	return NULL;
}

/*
 * All of them while DMA threads are stuck in each kind of callback, by a thread that has the lock.
 */
static void no_call_waits_for_a_callback_to_return(void **state)
{
	struct blocker b;
	struct world_config c = { .device_flags = ALL,
				  .ops = { .ctx = &b,
					   .miss = block_miss,
					   .fault = block_fault,
					   .interrupt = block_interrupt,
					   .page_request = block_request } };
	struct viommu_invalidate inv = { .size = sizeof(inv) };
	struct block_arg arg[4];
	pthread_t thread[4];
	unsigned int i, inside;
	void *page;

	(void)state;
	memset(&b, 0, sizeof(b));
	pthread_mutex_init(&b.lock, NULL);
	pthread_mutex_init(&b.count, NULL);
	world_open(&b.w, &c);
	world_map(&b.w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&b.w, 5), 0);
	assert_int_equal(viommu_device_attach(b.w.dev, b.w.dom, &second_stage), 0);
	page = aligned_alloc(4096, 4096);
	assert_int_equal(viommu_mem_add_ptr(b.w.mem, UINT64_C(1) << 32, 4096, page, 0), 0);
	pthread_mutex_lock(&b.lock);
	for (i = 0; i < 4; i++) {
		arg[i].b = &b;
		arg[i].kind = i;
		assert_int_equal(pthread_create(&thread[i], NULL, block_run, &arg[i]), 0);
	}
	do {
		sched_yield();
		pthread_mutex_lock(&b.count);
		inside = b.inside;
		pthread_mutex_unlock(&b.count);
	} while (inside < 4);
	assert_int_equal(viommu_host_invalidate(b.w.host, NULL, &inv), 0);
	viommu_host_drain(b.w.host);
	assert_int_equal(viommu_host_expire_page_requests(b.w.host), 0);
	assert_int_equal(viommu_mem_remove(b.w.mem, UINT64_C(1) << 32, 4096), 0);
	assert_int_equal(viommu_device_gate(b.w.dev, VIOMMU_DEVICE_PASID), 0);
	assert_int_equal(viommu_device_attach(b.w.dev, b.w.dom, &second_stage), 0);
	assert_int_equal(viommu_host_unbind(b.w.dev, b.w.hp), 0);
	assert_int_equal(world_bind(&b.w, 5), 0);
	assert_int_equal(viommu_device_unbind_all(b.w.dev), 0);
	assert_int_equal(viommu_device_unplug(b.w.dev), 0);
	viommu_domain_free(b.w.dom);
	pthread_mutex_unlock(&b.lock);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	world_close(&b.w);
	free(page);
	pthread_mutex_destroy(&b.count);
	pthread_mutex_destroy(&b.lock);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_gate_is_one_the_device_was_made_with),
	cmocka_unit_test(without_pasid_gate_a_request_with_pasid_ends_in_45h),
	cmocka_unit_test(without_ats_gate_a_translation_request_ends_in_44h),
	cmocka_unit_test(without_pri_gate_a_missing_page_ends_in_47h),
	cmocka_unit_test(to_shut_the_pri_gate_answers_open_groups_invalid),
	cmocka_unit_test(a_bind_with_fpd_has_its_qualified_faults_not_told),
	cmocka_unit_test(next_bind_shows_every_bind_in_order),
	cmocka_unit_test(unbind_all_ends_every_bind_and_its_requests),
	cmocka_unit_test(abort_answers_the_groups_of_a_pasid_alone),
	cmocka_unit_test(no_call_waits_for_a_callback_to_return),
};
TEST_MAIN(tests)
