/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests: who waits, who answers, and what happens when nobody does.
 */
#include <pthread.h>
#include <sched.h>

#include "host/world.h"

#define PRI_DEVICE (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)
#define MISSING    (WORLD_VA + 0x5000)

/* A VM whose handler only takes down what it is asked. */
struct vm {
	struct world w;
	pthread_mutex_t lock;
	struct viommu_page_request req; /* the last */
	unsigned int requests;
};

static void take_down(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct vm *vm = ctx;

	(void)dev;
	pthread_mutex_lock(&vm->lock);
	vm->req = *req;
	vm->requests++;
	pthread_mutex_unlock(&vm->lock);
}

/* Several threads may fault at once. */
static void fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *f)
{
	struct vm *vm = ctx;

	(void)dev;
	pthread_mutex_lock(&vm->lock);
	vm->w.fault = *f;
	vm->w.faults++;
	pthread_mutex_unlock(&vm->lock);
}

static void vm_open_with(struct vm *vm,
			 void (*handler)(void *ctx, struct viommu_device *dev,
					 const struct viommu_page_request *req),
			 uint32_t max_page_requests)
{
	struct world_config c = { .device_flags = PRI_DEVICE,
				  .ops = { .ctx = vm, .page_request = handler, .fault = fault },
				  .max_page_requests = max_page_requests };

	memset(vm, 0, sizeof(*vm));
	pthread_mutex_init(&vm->lock, NULL);
	world_open(&vm->w, &c);
	world_map(&vm->w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&vm->w, 5), 0);
}

static void vm_open(struct vm *vm)
{
	vm_open_with(vm, take_down, 0);
}

static void vm_close(struct vm *vm)
{
	world_close(&vm->w);
	pthread_mutex_destroy(&vm->lock);
}

static int dma_no_wait(struct vm *vm, uint64_t va)
{
	uint32_t v;

	return viommu_dma_read(vm->w.dma, vm->w.dev, vm->w.hp.v, va, &v, 4, VIOMMU_DMA_NO_WAIT,
			       NULL);
}

static int answer(struct vm *vm, uint16_t code)
{
	return viommu_host_page_response(
		vm->w.dev,
		&(struct viommu_page_response){ .size = sizeof(struct viommu_page_response),
						.pasid = vm->req.pasid,
						.prgi = vm->req.prgi,
						.code = code });
}

/* An access on a thread of its own, which may be parked. */
struct parked {
	struct vm *vm;
	struct viommu_dma *dma;
	uint64_t va;
	uint32_t pasid;
	struct viommu_dma_result res;
	uint32_t value;
	int ret;
	pthread_t thread;
};

static void *parked_run(void *arg)
{
	struct parked *p = arg;

	p->ret = viommu_dma_read(p->dma, p->vm->w.dev, p->pasid, p->va, &p->value, 4, 0, &p->res);
	return NULL;
}

static void park(struct parked *p, struct vm *vm, uint32_t pasid, uint64_t va)
{
	memset(p, 0, sizeof(*p));
	p->vm = vm;
	p->va = va;
	p->pasid = pasid;
	assert_int_equal(viommu_dma_new(vm->w.host, &p->dma), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, parked_run, p), 0);
}

static int unpark(struct parked *p)
{
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	viommu_dma_free(p->dma);
	return p->ret;
}

/* Until so many requests are open; the handler has been called for all of them. */
static void wait_open(struct vm *vm, unsigned int open, unsigned int requests)
{
	bool there;

	do {
		sched_yield();
		pthread_mutex_lock(&vm->lock);
		there = vm->requests == requests;
		pthread_mutex_unlock(&vm->lock);
	} while (!there || viommu_device_open_requests(vm->w.dev) != open);
}

static struct viommu_page_request last_request(struct vm *vm)
{
	struct viommu_page_request req;

	pthread_mutex_lock(&vm->lock);
	req = vm->req;
	pthread_mutex_unlock(&vm->lock);
	return req;
}

/* The guest brings the page and answers at once. */
static void serve(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct vm *vm = ctx;
	uint64_t gpa = world_map(&vm->w, req->addr, TABLES_RWU);

	*(uint32_t *)world_ptr(&vm->w, gpa) = 0x1234;
	take_down(ctx, dev, req);
	assert_int_equal(answer(vm, VIOMMU_RESPONSE_SUCCESS), 0);
}

static void a_request_served_in_the_callback_lets_the_access_go_on(void **state)
{
	struct viommu_dma_result res;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open_with(&vm, serve, 0);
	assert_int_equal(
		viommu_dma_read(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING + 0x10, &v, 4, 0, &res), 0);
	assert_int_equal(v, 0);
	assert_int_equal(viommu_dma_read(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING, &v, 4, 0, &res),
			 0);
	assert_int_equal(v, 0x1234);
	assert_int_equal(vm.requests, 1);
	assert_int_equal(vm.req.sid, WORLD_SID);
	assert_int_equal(vm.req.addr, MISSING);
	assert_int_equal(vm.req.access, VIOMMU_READ);
	assert_int_equal(vm.req.pasid, vm.w.hp.v);
	assert_int_equal(vm.req.gp.v, 5);
	assert_int_equal(vm.req.flags, VIOMMU_PAGE_REQUEST_LAST | VIOMMU_PAGE_REQUEST_PASID |
					       VIOMMU_PAGE_REQUEST_GP);
	assert_int_equal(vm.w.faults, 0);
	vm_close(&vm);
}

static void a_parked_access_goes_on_when_it_is_answered(void **state)
{
	struct parked a, b;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	/* Two that miss the same page are one request. */
	park(&a, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 1);
	park(&b, &vm, vm.w.hp.v, MISSING + 8);
	*(uint32_t *)world_ptr(&vm.w, world_map(&vm.w, MISSING, TABLES_RWU)) = 77;
	vm.req = last_request(&vm);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_SUCCESS), 0);
	assert_int_equal(unpark(&a), 0);
	assert_int_equal(unpark(&b), 0);
	assert_int_equal(a.value, 77);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_SUCCESS), -ENOENT);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
	vm_close(&vm);
}

/* VTD-PRI-03 */
static void an_answer_has_to_name_the_open_group(void **state)
{
	struct viommu_page_response r = { .size = sizeof(r) };
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	r.pasid = vm.req.pasid + 1;
	r.prgi = vm.req.prgi;
	assert_int_equal(viommu_host_page_response(vm.w.dev, &r), -ENOENT);
	r.pasid = VIOMMU_NO_PASID;
	assert_int_equal(viommu_host_page_response(vm.w.dev, &r), -ENOENT);
	r.pasid = vm.req.pasid;
	r.prgi++;
	assert_int_equal(viommu_host_page_response(vm.w.dev, &r), -ENOENT);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
	r.prgi--;
	assert_int_equal(viommu_host_page_response(vm.w.dev, &r), 0);
	assert_int_equal(viommu_host_page_response(vm.w.dev, &r), -ENOENT);
	vm_close(&vm);
}

static void who_does_not_wait_comes_again(void **state)
{
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN); /* the same request */
	assert_int_equal(vm.requests, 1);
	world_map(&vm.w, MISSING, TABLES_RWU);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_SUCCESS), 0);
	assert_int_equal(dma_no_wait(&vm, MISSING), 0);
	assert_int_equal(vm.w.faults, 0);
	vm_close(&vm);
}

/* VTD-PRI-01, VTD-PRI-02 */
static void invalid_ends_one_access_and_failure_all_asking(void **state)
{
	struct parked p;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	park(&p, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 1);
	vm.req = last_request(&vm);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_INVALID), 0);
	assert_int_equal(unpark(&p), VIOMMU_FAULTED);
	assert_int_equal(p.res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(vm.w.faults, 1);

	park(&p, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 2);
	vm.req = last_request(&vm);
	assert_int_equal(answer(&vm, 0x7), 0); /* an unknown code is a failure */
	assert_int_equal(unpark(&p), VIOMMU_FAULTED);
	assert_int_equal(dma_no_wait(&vm, MISSING), VIOMMU_FAULTED);
	assert_int_equal(dma_no_wait(&vm, WORLD_VA), 0); /* what is there can be used */
	assert_int_equal(vm.requests, 2);
	viommu_device_pri_reset(vm.w.dev);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	vm_close(&vm);
}

static void a_request_nobody_answers_expires_after_a_whole_period(void **state)
{
	struct parked p;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(viommu_host_expire_page_requests(vm.w.host), 0);
	park(&p, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 1);
	assert_int_equal(viommu_host_expire_page_requests(vm.w.host), 0);
	assert_int_equal(dma_no_wait(&vm, MISSING + 0x1000), -EAGAIN);
	/* The first is older than a period, the second is not. */
	assert_int_equal(viommu_host_expire_page_requests(vm.w.host), 1);
	assert_int_equal(unpark(&p), VIOMMU_FAULTED);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
	assert_int_equal(viommu_host_expire_page_requests(vm.w.host), 1);
	assert_int_equal(viommu_host_expire_page_requests(vm.w.host), 0);
	assert_int_equal(dma_no_wait(&vm, MISSING + 0x1000), VIOMMU_FAULTED);
	/* INVALID, not FAILURE: it may ask again. */
	assert_int_equal(dma_no_wait(&vm, MISSING + 0x1000), -EAGAIN);
	vm_close(&vm);
}

static void unbind_answers_what_is_pending(void **state)
{
	struct parked p;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	park(&p, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 1);
	assert_int_equal(dma_no_wait(&vm, MISSING + 0x1000), -EAGAIN);
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
	assert_int_equal(unpark(&p), VIOMMU_FAULTED);
	vm.req = last_request(&vm);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_SUCCESS), -ENOENT);
	vm_close(&vm);
}

static void unplug_ends_parked_accesses(void **state)
{
	struct parked a, b;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	park(&a, &vm, vm.w.hp.v, MISSING);
	park(&b, &vm, vm.w.hp.v, MISSING + 0x1000);
	wait_open(&vm, 2, 2);
	assert_int_equal(viommu_device_unplug(vm.w.dev), 0);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
	assert_int_equal(unpark(&a), VIOMMU_FAULTED);
	assert_int_equal(unpark(&b), VIOMMU_FAULTED);
	assert_int_equal(dma_no_wait(&vm, WORLD_VA), VIOMMU_FAULTED);
	assert_int_equal(vm.w.fault.reason, VTD_FR_SCE_NP);
	assert_int_equal(dma_no_wait(&vm, MISSING), VIOMMU_FAULTED);
	assert_int_equal(vm.requests, 2);
	viommu_device_free(vm.w.dev);
	vm_close(&vm);
}

static void end_of_the_domain_ends_parked_accesses(void **state)
{
	struct parked a;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	park(&a, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 1);
	viommu_domain_free(vm.w.dom);
	assert_int_equal(unpark(&a), VIOMMU_FAULTED);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
	vm_close(&vm);
}

/* VTD-PRI-05: a group's index is free after its response, not before. */
static void with_every_group_in_use_an_access_waits_for_one(void **state)
{
	struct parked a, b;
	struct vm vm;

	(void)state;
	vm_open_with(&vm, take_down, 1);
	park(&a, &vm, vm.w.hp.v, MISSING);
	wait_open(&vm, 1, 1);
	assert_int_equal(dma_no_wait(&vm, MISSING + 0x1000), -EAGAIN);
	park(&b, &vm, vm.w.hp.v, MISSING + 0x1000);
	vm.req = last_request(&vm);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_INVALID), 0);
	assert_int_equal(unpark(&a), VIOMMU_FAULTED);
	/* Now it is the other's turn. */
	wait_open(&vm, 1, 2);
	assert_int_equal(last_request(&vm).addr, MISSING + 0x1000);
	vm.req = last_request(&vm);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_INVALID), 0);
	assert_int_equal(unpark(&b), VIOMMU_FAULTED);
	vm_close(&vm);
}

static void unbind_ends_the_wait_for_a_group(void **state)
{
	struct viommu_hp first;
	struct parked a, b;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open_with(&vm, take_down, 1);
	first = vm.w.hp;
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(vm.w.dom), 1, 99, &vm.w.hp), 0);
	assert_int_equal(world_bind(&vm.w, 6), 0);
	park(&a, &vm, first.v, MISSING);
	wait_open(&vm, 1, 1);
	park(&b, &vm, vm.w.hp.v, MISSING);
	/*
	 * Time to get to where it waits; if it is slower, it finds no bind, and the result is the
	 * same.
	 */
	for (i = 0; i < 2000; i++)
		sched_yield();
	/* Its own bind ends, the group that it waits for stays. */
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(unpark(&b), VIOMMU_FAULTED);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
	assert_int_equal(viommu_host_unbind(vm.w.dev, first), 0);
	assert_int_equal(unpark(&a), VIOMMU_FAULTED);
	vm_close(&vm);
}

static void a_device_without_pri_does_not_ask(void **state)
{
	struct world_config c = { .device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS };
	struct vm vm;

	(void)state;
	memset(&vm, 0, sizeof(vm));
	c.ops.ctx = &vm;
	c.ops.page_request = take_down;
	pthread_mutex_init(&vm.lock, NULL);
	world_open(&vm.w, &c);
	assert_int_equal(world_bind(&vm.w, 5), 0);
	assert_int_equal(dma_no_wait(&vm, MISSING), VIOMMU_FAULTED);
	assert_int_equal(vm.requests, 0);
	vm_close(&vm);
}

static void a_new_bind_does_not_meet_old_answers(void **state)
{
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	/* Answered by the unbind; the device never came back for the answer. */
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(world_bind(&vm.w, 5), 0);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	assert_int_equal(vm.requests, 2);
	vm_close(&vm);
}

static void a_reset_device_does_not_meet_old_answers(void **state)
{
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	assert_int_equal(answer(&vm, VIOMMU_RESPONSE_FAILURE), 0);
	assert_int_equal(dma_no_wait(&vm, MISSING), VIOMMU_FAULTED);
	viommu_device_pri_reset(vm.w.dev);
	assert_int_equal(dma_no_wait(&vm, MISSING), -EAGAIN);
	assert_int_equal(vm.requests, 2);
	vm_close(&vm);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_request_served_in_the_callback_lets_the_access_go_on),
	cmocka_unit_test(a_parked_access_goes_on_when_it_is_answered),
	cmocka_unit_test(an_answer_has_to_name_the_open_group),
	cmocka_unit_test(who_does_not_wait_comes_again),
	cmocka_unit_test(invalid_ends_one_access_and_failure_all_asking),
	cmocka_unit_test(a_request_nobody_answers_expires_after_a_whole_period),
	cmocka_unit_test(unbind_answers_what_is_pending),
	cmocka_unit_test(unplug_ends_parked_accesses),
	cmocka_unit_test(end_of_the_domain_ends_parked_accesses),
	cmocka_unit_test(with_every_group_in_use_an_access_waits_for_one),
	cmocka_unit_test(unbind_ends_the_wait_for_a_group),
	cmocka_unit_test(a_device_without_pri_does_not_ask),
	cmocka_unit_test(a_new_bind_does_not_meet_old_answers),
	cmocka_unit_test(a_reset_device_does_not_meet_old_answers),
};
TEST_MAIN(tests)
