/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests: who waits, who answers, and what happens when nobody does.
 */
#include "host/world.h"

#define PRI_DEVICE (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)
#define MISSING    (WORLD_VA + 0x5000)

/* A VM whose handler only takes down what it is asked. */
struct vm {
	struct world w;
	struct viommu_page_request req; /* the last */
	unsigned int requests;
};

static void take_down(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct vm *vm = ctx;

	(void)dev;
	vm->req = *req;
	vm->requests++;
}

static void vm_open(struct vm *vm)
{
	struct world_config c = { .device_flags = PRI_DEVICE,
				  .ops = { .ctx = vm, .page_request = take_down } };

	memset(vm, 0, sizeof(*vm));
	world_open(&vm->w, &c);
	world_map(&vm->w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&vm->w, 5), 0);
}

static void vm_close(struct vm *vm)
{
	world_close(&vm->w);
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
	cmocka_unit_test(a_new_bind_does_not_meet_old_answers),
	cmocka_unit_test(a_reset_device_does_not_meet_old_answers),
};
TEST_MAIN(tests)
