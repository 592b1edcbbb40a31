/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ATS: what translation requests get, and a device TLB that lives on them: sizes, permissions, the
 * no-write flag, privileged requests, each class of answer, the interrupt window, invalidations,
 * page requests.
 */
#include <pthread.h>

#include "host/world.h"

#define MIB     (UINT64_C(1) << 20)
#define GIB     (UINT64_C(1) << 30)
#define ALL     (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)
#define MISSING (WORLD_VA + 0x5000)

struct vm {
	struct world w; /* first: the world's own callback gets the same ctx */
	struct viommu_devtlb *tlb;
	unsigned int requests;
	struct viommu_page_request req; /* the last */
	uint32_t serve;                 /* TABLES_* of the page that is brought; 0: none, INVALID */
	unsigned int messages;
	uint32_t message;
};

static void request(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct viommu_page_response resp = { .size = sizeof(resp),
					     .pasid = req->pasid,
					     .prgi = req->prgi,
					     .code = VIOMMU_RESPONSE_INVALID };
	struct vm *vm = ctx;

	vm->requests++;
	vm->req = *req;
	if (vm->serve) {
		world_map(&vm->w, req->addr, vm->serve);
		resp.code = VIOMMU_RESPONSE_SUCCESS;
	}
	assert_int_equal(viommu_host_page_response(dev, &resp), 0);
}

static void interrupt(void *ctx, struct viommu_device *dev, uint64_t addr, uint32_t data)
{
	struct vm *vm = ctx;

	(void)dev, (void)addr;
	vm->messages++;
	vm->message = data;
}

static void vm_open_with(struct vm *vm, struct world_config *c)
{
	memset(vm, 0, sizeof(*vm));
	if (!c->device_flags)
		c->device_flags = ALL;
	c->ops.ctx = vm;
	c->ops.page_request = request;
	c->ops.interrupt = interrupt;
	world_open(&vm->w, c);
	world_map(&vm->w, WORLD_VA, TABLES_RWU);
	assert_int_equal(viommu_devtlb_new(vm->w.dev, 1024, &vm->tlb), 0);
}

static void vm_open(struct vm *vm)
{
	struct world_config c = { .device_flags = ALL };

	vm_open_with(vm, &c);
	assert_int_equal(world_bind(&vm->w, 5), 0);
}

static void vm_close(struct vm *vm)
{
	viommu_devtlb_free(vm->tlb);
	world_close(&vm->w);
}

/* Where a guest physical address lies in the host's view of the memory. */
static uint64_t hpa_of(struct vm *vm, uint64_t gpa)
{
	struct viommu_mem_region r;

	assert_int_equal(viommu_mem_next(vm->w.mem, gpa, &r), 0);
	return (uintptr_t)r.host + gpa - r.gpa;
}

static int ats(struct vm *vm, uint32_t pasid, uint64_t va, uint32_t flags,
	       struct viommu_ats_result *r)
{
	memset(r, 0xa5, sizeof(*r));
	return viommu_ats_translate(vm->w.dma, vm->w.dev, pasid, va, flags, r, NULL);
}

static int tlb_read(struct vm *vm, uint32_t pasid, uint64_t va, void *buf, size_t n, uint32_t flags,
		    struct viommu_dma_result *res)
{
	memset(res, 0, sizeof(*res));
	return viommu_devtlb_read(vm->tlb, vm->w.dma, pasid, va, buf, n, flags, res);
}

static int tlb_write(struct vm *vm, uint32_t pasid, uint64_t va, const void *buf, size_t n,
		     uint32_t flags, struct viommu_dma_result *res)
{
	memset(res, 0, sizeof(*res));
	return viommu_devtlb_write(vm->tlb, vm->w.dma, pasid, va, buf, n, flags, res);
}

struct counts {
	unsigned int valid;
	uint64_t hits, misses;
};

static struct counts counts(struct vm *vm)
{
	struct counts c;

	viommu_devtlb_stats(vm->tlb, &c.valid, &c.hits, &c.misses);
	return c;
}

static const struct viommu_bind second_stage = { .size = sizeof(struct viommu_bind),
						 .kind = VIOMMU_BIND_NESTED };

static int bind_process(struct vm *vm, uint32_t flags)
{
	struct viommu_gpasid_bind b = { .size = sizeof(b),
					.flags = flags,
					.addr_width = 48,
					.hp = vm->w.hp,
					.gpgd = tables_root(&vm->w.fs) };

	return viommu_host_bind_gpasid(vm->w.dev, vm->w.dom, &b);
}

/* ---- Results ---- */

/* VTD-ATS-01, VTD-ATS-02, VTD-ATS-04: one request, one result, of its own kind. */
static void a_result_is_where_the_page_lies_and_what_it_permits(void **state)
{
	static const struct {
		uint32_t map, perm;
	} pages[] = {
		{ TABLES_RWU, VIOMMU_READ | VIOMMU_WRITE },
		{ TABLES_R | TABLES_U, VIOMMU_READ },
		{ TABLES_RW, 0 },
		{ TABLES_R, 0 },
	};
	struct viommu_ats_result r;
	unsigned int i;
	uint64_t gpa;
	struct vm vm;

	(void)state;
	assert_int_equal(VIOMMU_REQ_UNTRANSLATED, 0);
	assert_int_equal(VIOMMU_REQ_TRANSLATION, 1);
	assert_int_equal(VIOMMU_REQ_TRANSLATED, 2);
	vm_open(&vm);
	for (i = 0; i < 4; i++) {
		gpa = world_map(&vm.w, WORLD_VA + 0x1000 * i, pages[i].map);
		assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + 0x1000 * i + 0x123, 0, &r), 0);
		assert_int_equal(r.perm, pages[i].perm);
		assert_int_equal(r.untranslated, 0);
		assert_int_equal(r.priv, 0);
		assert_int_equal(r.no_snoop, 0);
		if (!r.perm)
			continue;
		assert_int_equal(r.addr, hpa_of(&vm, gpa));
		assert_int_equal(r.size_lg2, 12);
	}
	/* A region that is only to be read takes the write permission, whatever the guest says. */
	assert_int_equal(viommu_mem_remove(vm.w.mem, 0, WORLD_BYTES), 0);
	assert_int_equal(viommu_mem_add_fd(vm.w.mem, 0, WORLD_BYTES, vm.w.ram.fd, 0,
					   VIOMMU_MEM_READ_ONLY),
			 0);
	*tables_entry(&vm.w.fs, WORLD_VA, 1) |= VTD_MASK(VTD_FS_A) | VTD_MASK(VTD_FS_D);
	*tables_entry(&vm.w.fs, WORLD_VA, 2) |= VTD_MASK(VTD_FS_A);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA, 0, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ);
	assert_int_equal(vm.w.faults, 0);
	vm_close(&vm);
}

/*
 * VTD-ATS-06, VTD-ATS-11: the smaller of both stages' pages; pass-through as large as memory
 * allows.
 */
static void a_result_is_as_large_as_the_page_and_the_memory_below(void **state)
{
	struct viommu_bind pt = { .size = sizeof(pt), .kind = VIOMMU_BIND_PASSTHROUGH };
	uint8_t *ram = aligned_alloc(2 * MIB, 4 * MIB);
	struct viommu_ats_result r;
	struct vm vm;

	(void)state;
	assert_non_null(ram);
	vm_open(&vm);
	/* 2 MiB of it at an address that is aligned, too, and 1 MiB that is not whole. */
	assert_int_equal(viommu_mem_add_ptr(vm.w.mem, GIB, 2 * MIB, ram, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(vm.w.mem, GIB + 4 * MIB, MIB, ram + 2 * MIB, 0), 0);
	assert_int_equal(tables_map(&vm.w.fs, WORLD_VA + GIB, GIB, 21, TABLES_RWU), 0);
	assert_int_equal(
		tables_map(&vm.w.fs, WORLD_VA + GIB + 2 * MIB, GIB + 4 * MIB, 21, TABLES_RWU), 0);
	assert_int_equal(
		tables_map(&vm.w.fs, WORLD_VA + GIB + 4 * MIB, GIB + 0x3000, 12, TABLES_RWU), 0);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + GIB + 0x12345, 0, &r), 0);
	assert_int_equal(r.size_lg2, 21);
	assert_int_equal(r.addr, (uintptr_t)ram);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + GIB + 2 * MIB + 0x12345, 0, &r), 0);
	assert_int_equal(r.size_lg2, 12);
	assert_int_equal(r.addr, (uintptr_t)ram + 2 * MIB + 0x12000);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + GIB + 4 * MIB, 0, &r), 0);
	assert_int_equal(r.size_lg2, 12);
	assert_int_equal(r.addr, (uintptr_t)ram + 0x3000);

	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, GIB + 0x12345, 0, &r), 0);
	assert_int_equal(r.size_lg2, 21);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &pt), 0);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, (uintptr_t)ram + 0x12345, 0, &r), 0);
	assert_int_equal(r.size_lg2, 21);
	assert_int_equal(r.addr, (uintptr_t)ram);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, (uintptr_t)ram + 2 * MIB + 0x12345, 0, &r), 0);
	assert_int_equal(r.size_lg2, 12);
	vm_close(&vm);
	free(ram);
}

/* VTD-ATS-05, VTD-ATS-06, VTD-ATS-07, VTD-ATS-08, VTD-ATS-09, VTD-ATS-10, VTD-ATS-14 */
static void an_item_is_the_result_as_the_wire_has_it(void **state)
{
	struct viommu_ats_result r = { .addr = 0x123456789000,
				       .size_lg2 = 12,
				       .perm = VIOMMU_READ };
	uint64_t item;

	(void)state;
	assert_int_equal(viommu_ats_item(&r), 0x123456789001);
	r.perm = VIOMMU_READ | VIOMMU_WRITE;
	r.priv = 1;
	r.no_snoop = 1;
	item = viommu_ats_item(&r);
	assert_int_equal(item, 0x123456789413);
	assert_int_equal(VTD_GET(&item, VTD_ATS_EXE), 0);
	assert_int_equal(VTD_GET(&item, VTD_ATS_G), 0);
	assert_int_equal(VTD_GET(&item, VTD_ATS_U), 0);
	/* 8 KiB: bit 12 is 0. 2 MiB: bits 19:12 are 1, bit 20 is 0. */
	r = (struct viommu_ats_result){ .addr = 0x123456788000, .size_lg2 = 13, .perm = 1 };
	assert_int_equal(viommu_ats_item(&r), 0x123456788801);
	r = (struct viommu_ats_result){ .addr = 0x123456600000, .size_lg2 = 21, .perm = 1 };
	assert_int_equal(viommu_ats_item(&r), 0x1234566ff801);
	/* Nothing permitted, nothing said. */
	r.perm = 0;
	assert_int_equal(viommu_ats_item(&r), 0);
}

/* VTD-ATS-07, VTD-SNOOP-03 */
static void a_snooped_page_forbids_no_snoop(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct world_config c = { .device_flags = ALL };
	uint64_t at = WORLD_VA & 0x7fffffffff;
	struct viommu_ats_result r;
	struct tables_stage ss;
	struct vm vm;

	(void)state;
	vm_open_with(&vm, &c);
	tables_stage_init(&ss, &vm.w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&ss, at, world_page(&vm.w), 12, TABLES_RW), 0);
	tables_stage(&ss, 52, &b.stage[0]);
	b.stage[0].flags = VIOMMU_STAGE_SNP;
	assert_int_equal(viommu_host_bind(vm.w.dev, vm.w.dom, vm.w.hp, &b), 0);
	assert_int_equal(ats(&vm, vm.w.hp.v, at, 0, &r), 0);
	assert_int_equal(r.no_snoop, 0);
	*tables_entry(&ss, at, 1) |= VTD_MASK(VTD_SS_SNP);
	assert_int_equal(ats(&vm, vm.w.hp.v, at, 0, &r), 0);
	assert_int_equal(r.no_snoop, 1);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	vm_close(&vm);
}

/* VTD-ATS-03, VTD-FS-31, VTD-CAP-30 */
static void without_the_no_write_flag_a_writable_page_is_dirtied(void **state)
{
	struct world_config c = { .ecap_clear = VTD_MASK(VTD_ECAP_NWFS) };
	struct viommu_ats_result r;
	uint64_t *leaf;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	leaf = tables_entry(&vm.w.fs, WORLD_VA, 1);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA, VIOMMU_ATS_NO_WRITE, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ);
	assert_true(*leaf & VTD_MASK(VTD_FS_A));
	assert_false(*leaf & VTD_MASK(VTD_FS_D));
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA, 0, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_true(*leaf & VTD_MASK(VTD_FS_D));
	/* Not granted, not dirtied. */
	world_map(&vm.w, WORLD_VA + 0x1000, TABLES_R | TABLES_U);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + 0x1000, 0, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ);
	leaf = tables_entry(&vm.w.fs, WORLD_VA + 0x1000, 1);
	assert_true(*leaf & VTD_MASK(VTD_FS_A));
	assert_false(*leaf & VTD_MASK(VTD_FS_D));
	vm_close(&vm);
	/* A host that does not honour the flag. */
	vm_open_with(&vm, &c);
	assert_int_equal(world_bind(&vm.w, 5), 0);
	leaf = tables_entry(&vm.w.fs, WORLD_VA, 1);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA, VIOMMU_ATS_NO_WRITE, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_true(*leaf & VTD_MASK(VTD_FS_D));
	vm_close(&vm);
}

/* VTD-ATS-09, VTD-FS-20 */
static void privileged_requests_see_the_supervisors_pages(void **state)
{
	struct viommu_ats_result r;
	struct viommu_dma_result res;
	struct counts before;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open(&vm);
	world_map(&vm.w, WORLD_VA + 0x1000, TABLES_RW);
	world_map(&vm.w, WORLD_VA + 0x2000, TABLES_R | TABLES_U);
	/* Supervisor requests are not enabled: an answer without permissions. */
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA, VIOMMU_ATS_PRIV, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, VTD_FR_PE_SRE);
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(bind_process(&vm, VIOMMU_GPASID_SRE), 0);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + 0x1000, VIOMMU_ATS_PRIV, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_int_equal(r.priv, 1);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + 0x1000, 0, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(r.priv, 0);
	assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, VTD_FR_FS_USER);
	/* Without WPE the supervisor writes where nobody may. */
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA + 0x2000, VIOMMU_ATS_PRIV, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, 0x1000, VIOMMU_ATS_PRIV, &r), -EINVAL);

	/* What the device TLB keeps for the supervisor serves nobody else, and the other way. */
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA + 0x1000, &v, 4, VIOMMU_PRIV, &res), 0);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA + 0x1000, &v, 4, VIOMMU_DMA_NO_PRI,
				  &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_USER);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), 0);
	before = counts(&vm);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA, &v, 4, VIOMMU_PRIV, &res), 0);
	assert_int_equal(counts(&vm).misses, before.misses + 1);
	vm_close(&vm);
}

/* ---- Answers of each class ---- */

static void broken(struct vm *vm, unsigned int level, uint64_t bits)
{
	*tables_entry(&vm->w.fs, WORLD_VA, level) |= bits;
}

/*
 * VTD-ATS-12, VTD-FREC-20: what the first stage lacks is an answer without permissions, which
 * nobody is told.
 */
static void what_the_first_stage_lacks_is_no_error(void **state)
{
	struct viommu_ats_result r;
	struct vm vm;

	(void)state;
	vm_open(&vm);
#define LACKS(va, code)                                                                        \
	do {                                                                                   \
		assert_int_equal(ats(&vm, vm.w.hp.v, va, 0, &r), 0);                           \
		assert_int_equal(r.perm, 0);                                                   \
		assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, code);                    \
		assert_int_equal(viommu_dma_fault(vm.w.dma)->request, VIOMMU_REQ_TRANSLATION); \
		assert_int_equal(viommu_dma_fault(vm.w.dma)->pasid, vm.w.hp.v);                \
	} while (0)
	LACKS(MISSING, VTD_FR_FS_NP);
	LACKS(UINT64_C(1) << 50, VTD_FR_FS_CANONICAL);
	broken(&vm, 3, VTD_MASK(VTD_FS_PS));
	*tables_entry(&vm.w.fs, WORLD_VA, 3) |= UINT64_C(1) << 13;
	LACKS(WORLD_VA, VTD_FR_FS_RSVD);
	/* A table beyond the domain's reach, and one in a hole of it. */
	world_map(&vm.w, WORLD_VA + GIB, TABLES_RWU);
	tables_entry_set(&vm.w.fs, WORLD_VA + GIB, 2,
			 tables_entry_make(VIOMMU_FORMAT_VTD_FS, UINT64_C(1) << 50, 0, TABLES_RWU));
	LACKS(WORLD_VA + GIB, VTD_FR_FS_BEYOND_MGAW);
	tables_entry_set(&vm.w.fs, WORLD_VA + GIB, 2,
			 tables_entry_make(VIOMMU_FORMAT_VTD_FS, UINT64_C(1) << 40, 0, TABLES_RWU));
	LACKS(WORLD_VA + GIB, VTD_FR_SSS_NP);
	/* Nothing bound, and nothing ever bound nearby: 59h, 51h. */
	assert_int_equal(ats(&vm, vm.w.hp.v + 1, WORLD_VA, 0, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, VTD_FR_PE_NP);
	assert_int_equal(ats(&vm, 0x80000, WORLD_VA, 0, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, VTD_FR_PDIR_NP);
	/* The second stage alone: a hole, an address that is too wide. */
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, GIB, 0, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, VTD_FR_SSS_NP);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, UINT64_C(1) << 50, 0, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(viommu_dma_fault(vm.w.dma)->reason, VTD_FR_SSS_BEYOND_MGAW);
	assert_int_equal(vm.w.faults, 0);
	assert_int_equal(vm.requests, 0); /* to ask for a page is the device's business */
#undef LACKS
	vm_close(&vm);
}

/* VTD-ATS-13, VTD-FREC-21: unsupported requests and completer aborts end it, and are told. */
static void what_is_wrong_on_the_way_is_an_error_and_told(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct world_config c = { .device_flags = ALL };
	struct tables_stage ss;
	struct viommu_ats_result r;
	struct viommu_dma_result res;
	struct viommu_fault fault;
	unsigned int faults = 0;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open_with(&vm, &c);
#define ERROR(pasid, va, code, out)                                                         \
	do {                                                                                \
		assert_int_equal(viommu_ats_translate(vm.w.dma, vm.w.dev, pasid, va, 0, &r, \
						      &fault),                              \
				 VIOMMU_FAULTED);                                           \
		assert_int_equal(fault.reason, code);                                       \
		assert_int_equal(fault.request, VIOMMU_REQ_TRANSLATION);                    \
		assert_int_equal(viommu_fault_outcome(code, VIOMMU_REQ_TRANSLATION), out);  \
		assert_int_equal(vm.w.faults, ++faults);                                    \
		assert_int_equal(vm.w.fault.reason, code);                                  \
		assert_int_equal(r.perm, 0);                                                \
		/* By the device TLB, too. */                                               \
		assert_int_equal(tlb_read(&vm, pasid, va, &v, 4, 0, &res), VIOMMU_FAULTED); \
		assert_int_equal(res.fault.reason, code);                                   \
		assert_int_equal(vm.w.faults, ++faults);                                    \
	} while (0)
	/* The guest's own second stage, with a bit that it must not have: completer abort. */
	tables_stage_init(&ss, &vm.w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&ss, WORLD_VA & 0x7fffffffff, world_page(&vm.w), 12, TABLES_RW),
			 0);
	tables_stage(&ss, 52, &b.stage[0]);
	b.stage[0].flags = 0;
	assert_int_equal(viommu_host_bind(vm.w.dev, vm.w.dom, vm.w.hp, &b), 0);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA & 0x7fffffffff, 0, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	*tables_entry(&ss, WORLD_VA & 0x7fffffffff, 2) |= UINT64_C(1) << 11;
	ERROR(vm.w.hp.v, WORLD_VA & 0x7fffffffff, VTD_FR_SSS_RSVD, VTD_OUT_CA);
	/* PASID 0 is that of requests without; PASIDs that are shut out; a device that is gone. */
	ERROR(0, WORLD_VA, VTD_FR_RID_PASID, VTD_OUT_UR);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_ATS), 0);
	ERROR(vm.w.hp.v, WORLD_VA, VTD_FR_SCE_PASIDE, VTD_OUT_UR);
	assert_int_equal(viommu_device_gate(vm.w.dev, VIOMMU_DEVICE_PASID), 0);
	ERROR(vm.w.hp.v, WORLD_VA, VTD_FR_SCE_DTE, VTD_OUT_UR);
	assert_int_equal(viommu_device_unplug(vm.w.dev), 0);
	ERROR(vm.w.hp.v, WORLD_VA, VTD_FR_SCE_NP, VTD_OUT_UR);
#undef ERROR
	vm_close(&vm);
}

static void arguments_that_make_no_sense_are_refused(void **state)
{
	struct world_config c = { .device_flags = VIOMMU_DEVICE_PASID };
	struct viommu_devtlb *tlb;
	struct viommu_ats_result r;
	struct viommu_dma_result res;
	struct vm vm;
	struct world w;
	uint32_t v;

	(void)state;
	vm_open(&vm);
	assert_int_equal(ats(&vm, vm.w.hp.v, WORLD_VA, 0x4, &r), -EINVAL);
	assert_int_equal(ats(&vm, VIOMMU_PASID_MAX + 1, WORLD_VA, 0, &r), -EINVAL);
	assert_int_equal(tlb_read(&vm, VIOMMU_PASID_MAX + 1, WORLD_VA, &v, 4, 0, &res), -EINVAL);
	assert_int_equal(tlb_read(&vm, VIOMMU_NO_PASID, WORLD_VA, &v, 4, VIOMMU_PRIV, &res),
			 -EINVAL);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA, &v, 4, VIOMMU_EXEC, &res), -EINVAL);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, UINT64_MAX - 1, &v, 4, 0, &res), -EINVAL);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA, &v, 0, 0, &res), 0);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 0, &tlb), -EINVAL);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 3, &tlb), -EINVAL);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 1 << 17, &tlb), -EINVAL);
	assert_null(tlb);
	/* A device that was not made for it, and a DMA object of another host. */
	world_open(&w, &c);
	assert_int_equal(viommu_ats_translate(w.dma, w.dev, w.hp.v, WORLD_VA, 0, &r, NULL),
			 -EINVAL);
	assert_int_equal(viommu_devtlb_new(w.dev, 16, &tlb), -EINVAL);
	assert_int_equal(viommu_devtlb_read(vm.tlb, w.dma, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res),
			 -EINVAL);
	world_close(&w);
	vm_close(&vm);
}

/* ---- The window ---- */

/* VTD-WIN-07, VTD-ATS-05 */
static void the_window_is_not_translated_for_requests_without_pasid(void **state)
{
	struct viommu_ats_result r;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, VTD_WINDOW_BASE + 0x1010, 0, &r), 0);
	assert_int_equal(r.perm, VIOMMU_WRITE);
	assert_int_equal(r.untranslated, 1);
	assert_int_equal(viommu_ats_item(&r), (VTD_WINDOW_BASE + 0x1000) | 0x6);
	assert_int_equal(ats(&vm, VIOMMU_NO_PASID, VTD_WINDOW_LAST, VIOMMU_ATS_NO_WRITE, &r), 0);
	assert_int_equal(r.perm, 0);
	assert_int_equal(viommu_ats_item(&r), 0);
	/* With PASID it is an address like any other. */
	world_map(&vm.w, VTD_WINDOW_BASE, TABLES_RWU);
	assert_int_equal(ats(&vm, vm.w.hp.v, VTD_WINDOW_BASE, 0, &r), 0);
	assert_int_equal(r.perm, VIOMMU_READ | VIOMMU_WRITE);
	assert_int_equal(r.untranslated, 0);
	assert_int_equal(vm.w.faults, 0);
	vm_close(&vm);
}

static void no_result_reaches_into_the_window(void **state)
{
	static const struct {
		uint64_t addr;
		unsigned int size_lg2;
	} near[] = {
		{ VTD_WINDOW_BASE - 1, 21 },
		{ VTD_WINDOW_LAST + 1, 20 },
		{ VTD_WINDOW_LAST + 0x1001, 20 },
		{ VTD_WINDOW_LAST + 1 + MIB, 21 },
	};
	uint8_t *ram = aligned_alloc(2 * MIB, 6 * MIB);
	struct viommu_ats_result r;
	struct viommu_dma_result res;
	uint64_t first = VTD_WINDOW_BASE - 2 * MIB;
	unsigned int i;
	uint8_t byte;
	struct vm vm;

	(void)state;
	memset(ram, 0x77, 6 * MIB);
	vm_open(&vm);
	assert_int_equal(viommu_mem_add_ptr(vm.w.mem, first, 6 * MIB, ram, 0), 0);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(ats(&vm, VIOMMU_NO_PASID, near[i].addr, 0, &r), 0);
		assert_int_equal(r.size_lg2, near[i].size_lg2);
		assert_int_equal(r.addr, ((uintptr_t)ram + near[i].addr - first) &
						 ~((UINT64_C(1) << r.size_lg2) - 1));
		assert_int_equal(tlb_read(&vm, VIOMMU_NO_PASID, near[i].addr, &byte, 1, 0, &res),
				 0);
		assert_int_equal(byte, 0x77);
	}
	vm_close(&vm);
	free(ram);
}

static void a_device_tlb_sends_messages_and_nothing_else_into_the_window(void **state)
{
	struct viommu_dma_result res;
	uint32_t v[2] = { 0x4021, 0x4022 };
	struct vm vm;

	(void)state;
	vm_open(&vm);
	/* Some fault comes first: nothing of it may be taken for what the window says. */
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, MISSING, v + 1, 4, VIOMMU_DMA_NO_PRI, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	assert_int_equal(tlb_write(&vm, VIOMMU_NO_PASID, VTD_WINDOW_BASE, v, 4, 0, &res), 0);
	assert_int_equal(res.done, 4);
	assert_int_equal(vm.messages, 1);
	assert_int_equal(vm.message, 0x4021);
	assert_int_equal(tlb_write(&vm, VIOMMU_NO_PASID, VTD_WINDOW_BASE, v, 8, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
	assert_int_equal(tlb_read(&vm, VIOMMU_NO_PASID, VTD_WINDOW_BASE, v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_IR_WINDOW);
	assert_int_equal(res.done, 0);
	assert_int_equal(vm.messages, 1);
	assert_int_equal(vm.requests, 0);
	vm_close(&vm);
}

/* ---- The device TLB ---- */

static void a_device_tlb_translates_once(void **state)
{
	struct viommu_dma_result res;
	uint8_t out[0x3000], in[0x3000];
	struct counts c;
	struct vm vm;
	unsigned int i;

	(void)state;
	vm_open(&vm);
	for (i = 1; i < 4; i++)
		world_map(&vm.w, WORLD_VA + 0x1000 * i, TABLES_RWU);
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	assert_int_equal(tlb_write(&vm, vm.w.hp.v, WORLD_VA + 0x123, out, sizeof(out), 0, &res), 0);
	assert_int_equal(res.done, sizeof(out));
	c = counts(&vm);
	assert_int_equal(c.misses, 4);
	assert_int_equal(c.valid, 4);
	/* A page that was translated for writing serves reads. */
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA + 0x123, in, sizeof(in), 0, &res), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(counts(&vm).misses, 4);
	assert_int_equal(counts(&vm).hits, c.hits + 4);
	/* Not the other way: the dirty bit would be missing. */
	world_map(&vm.w, WORLD_VA + 0x8000, TABLES_RWU);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA + 0x8000, in, 8, 0, &res), 0);
	assert_false(*tables_entry(&vm.w.fs, WORLD_VA + 0x8000, 1) & VTD_MASK(VTD_FS_D));
	assert_int_equal(tlb_write(&vm, vm.w.hp.v, WORLD_VA + 0x8000, in, 8, 0, &res), 0);
	assert_true(*tables_entry(&vm.w.fs, WORLD_VA + 0x8000, 1) & VTD_MASK(VTD_FS_D));
	assert_int_equal(counts(&vm).misses, 6);
	vm_close(&vm);
}

/* More pages and PASIDs than it has entries: each keeps its own bytes. */
static void a_full_device_tlb_never_mixes_up_pages(void **state)
{
	struct viommu_dma_result res;
	struct tables_stage other;
	struct viommu_gpasid_bind b = { .size = sizeof(b), .addr_width = 48 };
	unsigned int i, round;
	uint64_t v, at;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	viommu_devtlb_free(vm.tlb);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 16, &vm.tlb), 0);
	tables_stage_init(&other, &vm.w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(vm.w.dom), 300, 400, &b.hp), 0);
	for (i = 0; i < 40; i++) {
		at = WORLD_VA + 0x1000 * (uint64_t)i;
		*(uint64_t *)world_ptr(&vm.w, world_map(&vm.w, at, TABLES_RWU)) = i;
		v = world_page(&vm.w);
		*(uint64_t *)world_ptr(&vm.w, v) = 1000 + i;
		assert_int_equal(tables_map(&other, at, v, 12, TABLES_RWU), 0);
	}
	b.gpgd = tables_root(&other);
	assert_int_equal(viommu_host_bind_gpasid(vm.w.dev, vm.w.dom, &b), 0);
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &second_stage), 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 40; i++) {
			at = WORLD_VA + 0x1000 * (uint64_t)i;
			assert_int_equal(tlb_read(&vm, vm.w.hp.v, at, &v, 8, 0, &res), 0);
			assert_int_equal(v, i);
			assert_int_equal(tlb_read(&vm, b.hp.v, at, &v, 8, 0, &res), 0);
			assert_int_equal(v, 1000 + i);
			at = 0x1000 * (uint64_t)(i + 1);
			assert_int_equal(tlb_read(&vm, VIOMMU_NO_PASID, at, &v, 8, 0, &res), 0);
			assert_int_equal(v, *(uint64_t *)world_ptr(&vm.w, at));
		}
	}
	assert_true(counts(&vm).valid <= 16);
	assert_true(counts(&vm).misses > 16);
	vm_close(&vm);
}

/* VTD-TAG-07, VTD-ATS-15: the call is the request, its return the completion. */
static void an_invalidation_leaves_the_device_tlb_nothing_of_it(void **state)
{
	struct viommu_invalidate inv = { .size = sizeof(inv) };
	static const struct {
		uint32_t granularity, flags;
		uint64_t addr, bytes;
		bool dropped; /* the page at WORLD_VA */
		bool other;   /* the page after it */
	} rows[] = {
		{ VIOMMU_INVALIDATE_GLOBAL, 0, 0, 0, true, true },
		{ VIOMMU_INVALIDATE_DOMAIN, 0, 0, 0, true, true },
		{ VIOMMU_INVALIDATE_PASID, 0, 0, 0, true, true },
		{ VIOMMU_INVALIDATE_PASID, VIOMMU_INVALIDATE_ONLY_DEVICE, 0, 0, true, true },
		{ VIOMMU_INVALIDATE_PASID, VIOMMU_INVALIDATE_NO_DEVICE, 0, 0, false, false },
		{ VIOMMU_INVALIDATE_RANGE, 0, WORLD_VA, 0x1000, true, false },
		{ VIOMMU_INVALIDATE_RANGE, 0, WORLD_VA + 0xfff, 1, true, false },
		{ VIOMMU_INVALIDATE_RANGE, 0, WORLD_VA + 0x1000, 0x1000, false, true },
		{ VIOMMU_INVALIDATE_RANGE, 0, WORLD_VA + 0x1000, 0, true, true },
		{ VIOMMU_INVALIDATE_RANGE, 0, WORLD_VA + 0x1800, UINT64_MAX, false, true },
		{ VIOMMU_INVALIDATE_RANGE, 0, 0, WORLD_VA, false, false },
	};
	struct viommu_dma_result res;
	uint64_t gpa[2][2];
	unsigned int i, k;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open(&vm);
	for (k = 0; k < 2; k++) {
		for (i = 0; i < 2; i++) {
			gpa[k][i] = world_page(&vm.w);
			*(uint32_t *)world_ptr(&vm.w, gpa[k][i]) = 10 * k + i;
		}
	}
	for (k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		for (i = 0; i < 2; i++) {
			assert_int_equal(tables_map(&vm.w.fs, WORLD_VA + 0x1000 * i, gpa[0][i], 12,
						    TABLES_RWU),
					 0);
		}
		inv.granularity = VIOMMU_INVALIDATE_GLOBAL;
		inv.flags = 0;
		assert_int_equal(viommu_host_invalidate(vm.w.host, vm.w.dom, &inv), 0);
		for (i = 0; i < 2; i++) {
			assert_int_equal(
				tlb_read(&vm, vm.w.hp.v, WORLD_VA + 0x1000 * i, &v, 4, 0, &res), 0);
			assert_int_equal(v, i);
			assert_int_equal(tables_map(&vm.w.fs, WORLD_VA + 0x1000 * i, gpa[1][i], 12,
						    TABLES_RWU),
					 0);
		}
		inv.granularity = rows[k].granularity;
		inv.flags = rows[k].flags;
		inv.hp = vm.w.hp;
		inv.addr = rows[k].addr;
		inv.bytes = rows[k].bytes;
		assert_int_equal(viommu_host_invalidate(vm.w.host, vm.w.dom, &inv), 0);
		for (i = 0; i < 2; i++) {
			bool dropped = i ? rows[k].other : rows[k].dropped;

			assert_int_equal(
				tlb_read(&vm, vm.w.hp.v, WORLD_VA + 0x1000 * i, &v, 4, 0, &res), 0);
			assert_int_equal(v, (dropped ? 10 : 0) + i);
		}
	}
	/* So do the ends of a bind, and of memory. */
	assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	assert_int_equal(counts(&vm).valid, 0);
	assert_int_equal(world_bind(&vm.w, 5), 0);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), 0);
	assert_int_equal(counts(&vm).valid, 1);
	assert_int_equal(viommu_mem_remove(vm.w.mem, 0, WORLD_BYTES), 0);
	assert_int_equal(counts(&vm).valid, 0);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), VIOMMU_FAULTED);
	assert_int_equal(vm.requests, 0); /* nothing the guest could bring */
	vm_close(&vm);
}

/* ---- Page requests of the device TLB ---- */

/* VTD-ATS-12 */
static void a_device_tlb_asks_for_what_is_missing(void **state)
{
	struct viommu_dma_result res;
	uint32_t v = 9;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	vm.serve = TABLES_RWU;
	assert_int_equal(tlb_write(&vm, vm.w.hp.v, MISSING + 0x10, &v, 4, 0, &res), 0);
	assert_int_equal(vm.requests, 1);
	assert_int_equal(vm.req.addr, MISSING);
	assert_int_equal(vm.req.access, VIOMMU_WRITE);
	assert_int_equal(vm.req.pasid, vm.w.hp.v);
	assert_int_equal(vm.req.gp.v, 5);
	/* One that may only be read, for a write: it asks again, for more. */
	world_map(&vm.w, MISSING + 0x1000, TABLES_R | TABLES_U);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, MISSING + 0x1000, &v, 4, 0, &res), 0);
	assert_int_equal(vm.requests, 1);
	assert_int_equal(tlb_write(&vm, vm.w.hp.v, MISSING + 0x1000, &v, 4, 0, &res), 0);
	assert_int_equal(vm.requests, 2);
	/* A handler that says yes and brings too little is asked a bounded number of times. */
	vm.serve = TABLES_R | TABLES_U;
	assert_int_equal(tlb_write(&vm, vm.w.hp.v, MISSING + 0x2000, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_int_equal(res.asked, 16);
	assert_int_equal(vm.requests, 18);
	/* No. */
	vm.serve = 0;
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, MISSING + 0x3000, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(res.response, VIOMMU_RESPONSE_INVALID);
	assert_int_equal(vm.requests, 19);
	assert_int_equal(tlb_read(&vm, vm.w.hp.v, MISSING + 0x3000, &v, 4, VIOMMU_DMA_NO_PRI, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(vm.requests, 19);
	/* Pages before the one that is missing are done. */
	world_map(&vm.w, MISSING + 0x4000, TABLES_RWU);
	{
		uint8_t buf[0x2000];

		assert_int_equal(tlb_read(&vm, vm.w.hp.v, MISSING + 0x4000, buf, sizeof(buf), 0,
					  &res),
				 VIOMMU_FAULTED);
		assert_int_equal(res.done, 0x1000);
		assert_int_equal(res.fault.addr, MISSING + 0x5000);
	}
	/* None of it is told: a translation request that got an answer. */
	assert_int_equal(vm.w.faults, 0);
	vm_close(&vm);
}

struct late {
	struct vm vm; /* first */
	bool armed;
};

static int late_miss(void *ctx, struct viommu_device *dev, uint32_t pasid,
		     struct viommu_fault *fault)
{
	struct late *l = ctx;

	(void)dev, (void)pasid, (void)fault;
	assert_true(l->armed);
	l->armed = false;
	return world_bind(&l->vm.w, 5);
}

static void a_device_tlb_finds_a_pasid_that_the_guest_did_not_announce(void **state)
{
	struct world_config c = { .device_flags = ALL, .ops = { .miss = late_miss } };
	struct viommu_dma_result res;
	struct late l = { .armed = true };
	uint32_t v;

	(void)state;
	vm_open_with(&l.vm, &c);
	l.armed = true;
	assert_int_equal(tlb_read(&l.vm, l.vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), 0);
	assert_false(l.armed);
	assert_int_equal(tlb_read(&l.vm, l.vm.w.hp.v, WORLD_VA, &v, 4, 0, &res), 0);
	assert_int_equal(l.vm.w.faults, 0);
	vm_close(&l.vm);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_result_is_where_the_page_lies_and_what_it_permits),
	cmocka_unit_test(a_result_is_as_large_as_the_page_and_the_memory_below),
	cmocka_unit_test(an_item_is_the_result_as_the_wire_has_it),
	cmocka_unit_test(a_snooped_page_forbids_no_snoop),
	cmocka_unit_test(without_the_no_write_flag_a_writable_page_is_dirtied),
	cmocka_unit_test(privileged_requests_see_the_supervisors_pages),
	cmocka_unit_test(what_the_first_stage_lacks_is_no_error),
	cmocka_unit_test(what_is_wrong_on_the_way_is_an_error_and_told),
	cmocka_unit_test(arguments_that_make_no_sense_are_refused),
	cmocka_unit_test(the_window_is_not_translated_for_requests_without_pasid),
	cmocka_unit_test(no_result_reaches_into_the_window),
	cmocka_unit_test(a_device_tlb_sends_messages_and_nothing_else_into_the_window),
	cmocka_unit_test(a_device_tlb_translates_once),
	cmocka_unit_test(a_full_device_tlb_never_mixes_up_pages),
	cmocka_unit_test(an_invalidation_leaves_the_device_tlb_nothing_of_it),
	cmocka_unit_test(a_device_tlb_asks_for_what_is_missing),
	cmocka_unit_test(a_device_tlb_finds_a_pasid_that_the_guest_did_not_announce),
};
TEST_MAIN(tests)
