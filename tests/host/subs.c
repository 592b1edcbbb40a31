/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sub-devices: one requester id for three VMs, and the host PASID alone says whose a request is.
 * Each VM has a process at the same guest PASID, with the same addresses.
 */
#include <pthread.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "lib/tables.h"
#include "lib/test.h"
#include <viommu/viommu.h>

#define VMS     3u
#define SID     0x28
#define BYTES   (UINT64_C(1) << 20)
#define DATA    UINT64_C(0x80000) /* not handed out for tables */
#define VA      UINT64_C(0x7f0000000000)
#define MISSING (VA + 0x100000)
#define ALL     (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)

struct vm {
	struct tables ram;
	struct tables_stage fs; /* VA is the page at DATA */
	struct viommu_mem *mem;
	struct viommu_domain *dom;
	struct viommu_device *sub;
	struct viommu_hp hp; /* of guest PASID 1 */
	struct viommu_host_ops ops;
	unsigned int told, misses, faults, messages, requests;
	struct viommu_page_request request; /* the last */
	struct viommu_fault fault;
	int bind_on_miss;
};

struct world {
	struct viommu_host *host;
	struct viommu_device *parent;
	struct viommu_dma *dma;
	struct vm vm[VMS];
	unsigned int host_told; /* callbacks of the host's ops */
};

static const struct viommu_bind second_stage = { .size = sizeof(struct viommu_bind),
						 .kind = VIOMMU_BIND_NESTED };

static int vm_bind(struct vm *vm)
{
	const struct viommu_gpasid_bind b = {
		.size = sizeof(b),
		.flags = VIOMMU_GPASID_VALID,
		.addr_width = 48,
		.gp = { 1 },
		.hp = vm->hp,
		.gpgd = tables_root(&vm->fs),
	};

	return viommu_host_bind_gpasid(vm->sub, vm->dom, &b);
}

static int on_miss(void *ctx, struct viommu_device *dev, uint32_t pasid, struct viommu_fault *fault)
{
	struct vm *vm = ctx;

	(void)fault;
	assert_ptr_equal(dev, vm->sub);
	vm->misses++;
	if (!vm->bind_on_miss)
		return -ENOENT;
	return pasid == VIOMMU_NO_PASID ? viommu_device_attach(vm->sub, vm->dom, &second_stage)
					: vm_bind(vm);
}

static void on_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct vm *vm = ctx;

	assert_ptr_equal(dev, vm->sub);
	vm->faults++;
	vm->fault = *fault;
}

static void on_interrupt(void *ctx, struct viommu_device *dev, uint64_t addr, uint32_t data)
{
	struct vm *vm = ctx;

	(void)addr;
	(void)data;
	assert_ptr_equal(dev, vm->sub);
	vm->messages++;
}

static void on_request(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct vm *vm = ctx;

	assert_ptr_equal(dev, vm->sub);
	vm->requests++;
	vm->request = *req;
}

static void on_told(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct vm *vm = ctx;

	(void)pasid;
	(void)addr;
	(void)bytes;
	vm->told++;
}

static int host_miss(void *ctx, struct viommu_device *dev, uint32_t pasid,
		     struct viommu_fault *fault)
{
	struct world *w = ctx;

	(void)dev;
	(void)pasid;
	(void)fault;
	w->host_told++;
	return -ENOENT;
}

static void host_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct world *w = ctx;

	(void)dev;
	(void)fault;
	w->host_told++;
}

static int sub_new(struct world *w, struct vm *vm, uint32_t requests)
{
	const struct viommu_device_config config = {
		.size = sizeof(config),
		.sid = SID,
		.flags = ALL,
		.parent = w->parent,
		.ops = &vm->ops,
		.max_page_requests = requests,
		.ctx = vm,
		.invalidate = on_told,
	};

	return viommu_device_new(w->host, &config, &vm->sub);
}

static void vm_open(struct world *w, struct vm *vm)
{
	uint64_t i;

	vm->ops = (struct viommu_host_ops){
		.ctx = vm,
		.miss = on_miss,
		.fault = on_fault,
		.interrupt = on_interrupt,
		.page_request = on_request,
	};
	tables_init(&vm->ram, 0, BYTES);
	tables_page(&vm->ram);
	assert_int_equal(viommu_mem_new(&vm->mem), 0);
	assert_int_equal(viommu_mem_add_fd(vm->mem, 0, BYTES, vm->ram.fd, 0, 0), 0);
	assert_int_equal(viommu_domain_new(w->host, vm->mem, NULL, &vm->dom), 0);
	assert_int_equal(sub_new(w, vm, 4), 0);
	assert_int_equal(
		viommu_pasid_alloc(viommu_domain_owner(vm->dom), 1, VIOMMU_PASID_MAX, &vm->hp), 0);
	tables_stage_init(&vm->fs, &vm->ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	for (i = 0; i < 16; i++)
		assert_int_equal(
			tables_map(&vm->fs, VA + i * 4096, DATA + i * 4096, 12, TABLES_RWU), 0);
	assert_int_equal(viommu_device_attach(vm->sub, vm->dom, &second_stage), 0);
	assert_int_equal(vm_bind(vm), 0);
}

static void world_open(struct world *w)
{
	struct viommu_host_config hc = {
		.size = sizeof(hc),
		.ops = { .ctx = w, .miss = host_miss, .fault = host_fault },
	};
	struct viommu_device_config dc = { .size = sizeof(dc), .sid = SID, .flags = ALL };
	unsigned int i;

	memset(w, 0, sizeof(*w));
	assert_int_equal(viommu_host_new(&hc, &w->host), 0);
	assert_int_equal(viommu_device_new(w->host, &dc, &w->parent), 0);
	assert_int_equal(viommu_dma_new(w->host, &w->dma), 0);
	for (i = 0; i < VMS; i++)
		vm_open(w, &w->vm[i]);
}

static void world_close(struct world *w)
{
	unsigned int i;

	viommu_dma_free(w->dma);
	viommu_host_free(w->host);
	for (i = 0; i < VMS; i++) {
		viommu_mem_free(w->vm[i].mem);
		tables_free(&w->vm[i].ram);
	}
}

static uint64_t *word(struct world *w, unsigned int i, uint64_t gpa)
{
	return tables_ptr(&w->vm[i].ram, gpa);
}

static int read_va(struct world *w, unsigned int i, uint32_t pasid, uint64_t va, uint64_t *v)
{
	return viommu_dma_read(w->dma, w->vm[i].sub, pasid, va, v, 8, VIOMMU_DMA_NO_WAIT, NULL);
}

/* The reason in which a read of 8 bytes ends; 0: none. */
static uint8_t reason_of(struct world *w, struct viommu_device *dev, uint32_t pasid, uint64_t addr,
			 uint32_t flags)
{
	struct viommu_dma_result res = { 0 };
	uint64_t v;
	int ret = viommu_dma_read(w->dma, dev, pasid, addr, &v, 8, flags, &res);

	assert_true(ret == 0 || ret == VIOMMU_FAULTED);
	return ret ? res.fault.reason : 0;
}

/* ---- Whose is what ---- */

/* VTD-PE-02 */
static void one_table_has_the_entries_of_all_and_each_sees_its_own(void **state)
{
	struct viommu_path_request req = { .access = VIOMMU_READ };
	struct viommu_path_result path;
	struct viommu_walk_result walk;
	unsigned int i, j, n;
	uint64_t pe[8], other[8];
	uint16_t did[VMS];
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(viommu_device_default_pasid(w.parent).v, 0);
	for (i = 0; i < VMS; i++) {
		struct vm *vm = &w.vm[i];
		struct viommu_hp hp = { 0 }, own = viommu_device_default_pasid(vm->sub);
		struct viommu_gp gp;
		struct viommu_stage st;

		assert_int_equal(viommu_device_sid(vm->sub), SID);
		assert_int_not_equal(own.v, 0);
		viommu_domain_stage(vm->dom, &st, &did[i]);
		/* Requests without PASID: its own number, by either name. */
		assert_int_equal(viommu_host_pasid_entry(vm->sub, hp, pe), 0);
		assert_int_equal(viommu_host_pasid_entry(vm->sub, own, other), 0);
		assert_memory_equal(pe, other, sizeof(pe));
		assert_int_equal(VTD_GET(pe, VTD_PE_PGTT), VTD_PGTT_SS);
		assert_int_equal(VTD_GET(pe, VTD_PE_DID), did[i]);
		for (n = 0; !viommu_host_next_bind(vm->sub, &hp, &gp, pe); n++, hp.v++) {
			assert_true(hp.v == own.v || hp.v == vm->hp.v);
			assert_int_equal(gp.v, hp.v == own.v ? VIOMMU_NO_PASID : 1);
			assert_int_equal(VTD_GET(pe, VTD_PE_DID), did[i]);
		}
		assert_int_equal(n, 2);
		for (j = 0; j < VMS; j++) {
			if (j == i)
				continue;
			assert_int_equal(viommu_host_pasid_entry(vm->sub, w.vm[j].hp, pe), -ENOENT);
			assert_int_equal(viommu_host_pasid_entry(
						 vm->sub, viommu_device_default_pasid(w.vm[j].sub),
						 pe),
					 -ENOENT);
			assert_int_not_equal(vm->hp.v, w.vm[j].hp.v);
			req.pasid = w.vm[j].hp.v;
			req.addr = VA;
			assert_int_equal(viommu_host_walk(vm->sub, &req, 0, NULL, &path, &walk),
					 VIOMMU_FAULTED);
			assert_int_equal(walk.fault.reason, VTD_FR_PE_NP);
		}
		req.pasid = VIOMMU_NO_PASID;
		req.addr = DATA;
		assert_int_equal(viommu_host_walk(vm->sub, &req, 0, NULL, &path, &walk), 0);
		assert_int_equal(path.pasid, own.v);
		req.pasid = vm->hp.v;
		req.addr = VA;
		assert_int_equal(viommu_host_walk(vm->sub, &req, 0, NULL, &path, &walk), 0);
		*word(&w, i, DATA) = 70 + i;
		assert_int_equal(*(const uint64_t *)walk.host, 70 + i);
	}
	/* The parent itself has nothing. */
	{
		struct viommu_hp hp = { 0 };

		assert_int_equal(viommu_host_next_bind(w.parent, &hp, NULL, NULL), -ENOENT);
	}
	world_close(&w);
}

static void each_reaches_its_own_memory_at_the_same_addresses(void **state)
{
	unsigned int i, round;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	/* In turn, by the same thread's caches. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < VMS; i++) {
			v = 100 * round + i;
			assert_int_equal(viommu_dma_write(w.dma, w.vm[i].sub, w.vm[i].hp.v, VA, &v,
							  8, 0, NULL),
					 0);
			assert_int_equal(viommu_dma_write(w.dma, w.vm[i].sub, VIOMMU_NO_PASID,
							  DATA + 0x8000, &v, 8, 0, NULL),
					 0);
		}
		for (i = 0; i < VMS; i++) {
			assert_int_equal(*word(&w, i, DATA), 100 * round + i);
			assert_int_equal(*word(&w, i, DATA + 0x8000), 100 * round + i);
			assert_int_equal(read_va(&w, i, w.vm[i].hp.v, VA + 0x8000, &v), 0);
			assert_int_equal(v, 100 * round + i);
		}
	}
	world_close(&w);
}

/* Every kind of access of vm[0] with a PASID that is not its own. */
static void must_fault(struct world *w, uint32_t pasid, uint64_t addr, uint8_t reason)
{
	const struct viommu_dma_seg seg = { .addr = addr, .bytes = 8 };
	struct viommu_device *dev = w->vm[0].sub;
	uint32_t own = w->vm[0].hp.v;
	struct viommu_ats_result ats;
	struct viommu_dma_result res;
	struct viommu_dma_span span;
	struct viommu_fault fault;
	struct viommu_devtlb *tlb;
	struct viommu_dma_op op = {
		.dev = dev, .pasid = pasid, .kind = VIOMMU_DMA_WRITE, .addr = addr, .bytes = 8
	};
	uint64_t v = 0x6666, old;
	int ret;

#define FAULTS(call)                                                  \
	do {                                                          \
		memset(&res, 0, sizeof(res));                         \
		assert_int_equal(call, VIOMMU_FAULTED);               \
		assert_int_equal(res.fault.reason, reason);           \
		assert_int_equal(res.done, 0);                        \
		assert_int_equal(res.fault.stage, VIOMMU_STAGE_PATH); \
	} while (0)
	op.buf = &v;
	FAULTS(viommu_dma_read(w->dma, dev, pasid, addr, &v, 8, 0, &res));
	v = 0x6666;
	FAULTS(viommu_dma_write(w->dma, dev, pasid, addr, &v, 8, 0, &res));
	FAULTS(viommu_dma_write(w->dma, dev, pasid, addr, &v, 8, VIOMMU_DMA_ATS, &res));
	FAULTS(viommu_dma_write(w->dma, dev, pasid, addr, &v, 8, VIOMMU_DMA_NO_WAIT, &res));
	FAULTS(viommu_dma_fill(w->dma, dev, pasid, addr, 0x6666, 8, 0, &res));
	FAULTS(viommu_dma_copy(w->dma, dev, pasid, addr, own, VA, 8, 0, &res));
	FAULTS(viommu_dma_copy(w->dma, dev, own, VA, pasid, addr, 8, 0, &res));
	FAULTS(viommu_dma_readv(w->dma, dev, pasid, &seg, 1, &old, 0, &res));
	FAULTS(viommu_dma_writev(w->dma, dev, pasid, &seg, 1, &v, 0, &res));
	FAULTS(viommu_dma_atomic(w->dma, dev, pasid, addr, 8, VIOMMU_ATOMIC_SWAP, 0x6666, 0, 0,
				 &old, &res));
#undef FAULTS
	assert_int_equal(viommu_dma_batch(w->dma, &op, 1), 0);
	assert_int_equal(op.status, VIOMMU_FAULTED);
	viommu_dma_begin(w->dma);
	ret = viommu_dma_translate(w->dma, dev, pasid, addr, VIOMMU_READ, &span);
	viommu_dma_end(w->dma);
	assert_int_equal(ret, VIOMMU_FAULTED);
	/* A translation request gets no translation; with it nothing could be asked again. */
	memset(&ats, 0xff, sizeof(ats));
	ret = viommu_ats_translate(w->dma, dev, pasid, addr, 0, &ats, &fault);
	assert_true(ret == VIOMMU_FAULTED || (ret == 0 && !ats.perm && !ats.addr));
	assert_int_equal(viommu_devtlb_new(dev, 16, &tlb), 0);
	assert_int_equal(viommu_devtlb_write(tlb, w->dma, pasid, addr, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(viommu_devtlb_read(tlb, w->dma, pasid, addr, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	viommu_devtlb_free(tlb);
}

static void no_access_with_another_ones_pasid_comes_through(void **state)
{
	struct viommu_hp sub0;
	unsigned int j;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	sub0 = viommu_device_default_pasid(w.vm[0].sub);
	for (j = 1; j < VMS; j++) {
		uint32_t theirs = viommu_device_default_pasid(w.vm[j].sub).v;

		*word(&w, j, DATA) = 0x1111;
		/* Theirs are in the thread's caches, for them. */
		assert_int_equal(read_va(&w, j, w.vm[j].hp.v, VA, &v), 0);
		assert_int_equal(read_va(&w, j, VIOMMU_NO_PASID, DATA, &v), 0);
		must_fault(&w, w.vm[j].hp.v, VA, VTD_FR_PE_NP);
		must_fault(&w, theirs, DATA, VTD_FR_PE_NP);
		assert_int_equal(*word(&w, j, DATA), 0x1111);
		/* Nothing of it was theirs to hear of, or the host's. */
		assert_int_equal(w.vm[j].misses, 0);
		assert_int_equal(w.vm[j].faults, 0);
		assert_int_equal(w.vm[j].requests, 0);
	}
	assert_true(w.vm[0].misses > 0);
	assert_true(w.vm[0].faults > 0);
	assert_int_equal(w.vm[0].fault.sid, SID);
	assert_int_equal(w.host_told, 0);
	/* Its own default PASID is no PASID to be named, as RID_PASID is not. */
	must_fault(&w, sub0.v, DATA, VTD_FR_RID_PASID);
	must_fault(&w, 40, VA, VTD_FR_PE_NP);
	must_fault(&w, 0x777, VA, VTD_FR_PDIR_NP);
	/* The parent has none of theirs, either. */
	for (j = 0; j < VMS; j++) {
		assert_int_equal(reason_of(&w, w.parent, w.vm[j].hp.v, VA, 0), VTD_FR_PE_NP);
		assert_int_equal(reason_of(&w, w.parent, viommu_device_default_pasid(w.vm[j].sub).v,
					   DATA, 0),
				 VTD_FR_PE_NP);
	}
	assert_int_equal(reason_of(&w, w.parent, VIOMMU_NO_PASID, DATA, 0), VTD_FR_PE_NP);
	assert_true(w.host_told > 0);
	world_close(&w);
}

static void what_happens_is_told_to_the_one_it_happens_to(void **state)
{
	struct viommu_dma_result res;
	unsigned int i;
	struct world w;
	uint32_t v = 3;

	(void)state;
	world_open(&w);
	for (i = 0; i < VMS; i++) {
		struct vm *vm = &w.vm[i];

		/* A message, without PASID. */
		assert_int_equal(viommu_dma_write(w.dma, vm->sub, VIOMMU_NO_PASID, 0xfee00000, &v,
						  4, 0, NULL),
				 0);
		assert_int_equal(vm->messages, 1);
		/* Without PASID is without PASID for it, whatever number that has. */
		assert_int_equal(viommu_dma_read(w.dma, vm->sub, VIOMMU_NO_PASID, BYTES, &v, 4, 0,
						 &res),
				 VIOMMU_FAULTED);
		assert_int_equal(vm->faults, 1);
		assert_int_equal(vm->fault.pasid, VIOMMU_NO_PASID);
		assert_false(vm->fault.flags & VIOMMU_FAULT_HAS_PASID);
		assert_int_equal(vm->fault.reason, VTD_FR_SSS_NP);
		/* Misses, and a bind that the miss makes. */
		assert_int_equal(viommu_device_unbind_all(vm->sub), 0);
		vm->bind_on_miss = 1;
		assert_int_equal(reason_of(&w, vm->sub, VIOMMU_NO_PASID, DATA, 0), 0);
		assert_int_equal(reason_of(&w, vm->sub, vm->hp.v, VA, 0), 0);
		assert_int_equal(vm->misses, 2);
		vm->bind_on_miss = 0;
		assert_int_equal(viommu_device_detach(vm->sub), 0);
		assert_int_equal(reason_of(&w, vm->sub, VIOMMU_NO_PASID, DATA, 0), VTD_FR_PE_NP);
		assert_false(vm->fault.flags & VIOMMU_FAULT_HAS_PASID);
		assert_int_equal(reason_of(&w, vm->sub, vm->hp.v, VA, 0), 0);
	}
	assert_int_equal(w.host_told, 0);
	world_close(&w);
}

/* ---- Who may bind ---- */

static void a_sub_device_binds_pasids_of_its_domain_only(void **state)
{
	struct viommu_bind odd = second_stage;
	struct viommu_domain *fourth;
	struct viommu_hp more, def;
	struct world w;

	(void)state;
	world_open(&w);
	def = viommu_device_default_pasid(w.vm[0].sub);
	/* Another's PASID, by its own domain, by the other's domain. */
	assert_int_equal(viommu_host_bind(w.vm[0].sub, w.vm[0].dom, w.vm[1].hp, &odd), -EBUSY);
	assert_int_equal(viommu_host_rebind(w.vm[0].sub, w.vm[0].dom, w.vm[1].hp, &odd), -EBUSY);
	assert_int_equal(viommu_host_rebind(w.vm[0].sub, w.vm[1].dom, w.vm[1].hp, &odd), -EBUSY);
	assert_int_equal(viommu_host_unbind(w.vm[0].sub, w.vm[1].hp), 0);
	assert_int_equal(reason_of(&w, w.vm[1].sub, w.vm[1].hp.v, VA, 0), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w.vm[1].dom), 1, VIOMMU_PASID_MAX,
					    &more),
			 0);
	assert_int_equal(viommu_host_bind(w.vm[0].sub, w.vm[0].dom, more, &odd), -EPERM);
	assert_int_equal(viommu_host_bind(w.vm[0].sub, w.vm[1].dom, more, &odd), -EBUSY);
	assert_int_equal(viommu_device_attach(w.vm[0].sub, w.vm[1].dom, &odd), -EBUSY);
	/* Nor is a domain without sub-device for one that serves another. */
	assert_int_equal(viommu_domain_new(w.host, w.vm[0].mem, NULL, &fourth), 0);
	assert_int_equal(viommu_device_attach(w.vm[0].sub, fourth, &odd), -EBUSY);
	assert_int_equal(viommu_pasid_free(viommu_domain_owner(w.vm[1].dom), more), 0);
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(fourth), more), 0);
	assert_int_equal(viommu_host_bind(w.vm[0].sub, fourth, more, &odd), -EBUSY);
	viommu_domain_free(fourth);
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(w.vm[1].dom), more), 0);
	/* Default PASIDs are nobody's to bind. */
	assert_int_equal(viommu_host_bind(w.vm[0].sub, w.vm[0].dom, def, &odd), -EINVAL);
	assert_int_equal(viommu_host_unbind(w.vm[0].sub, def), -EINVAL);
	assert_int_equal(viommu_host_bind(w.vm[1].sub, w.vm[1].dom, def, &odd), -EBUSY);
	assert_int_equal(viommu_device_detach(w.vm[0].sub), 0);
	assert_int_equal(viommu_host_bind(w.vm[1].sub, w.vm[1].dom, def, &odd), -EPERM);
	assert_int_equal(viommu_host_bind(w.parent, w.vm[1].dom, def, &odd), -EPERM);
	/* With no bind left it may serve another domain, unless that has a sub-device already. */
	assert_int_equal(viommu_device_unbind_all(w.vm[0].sub), 0);
	assert_int_equal(viommu_device_attach(w.vm[0].sub, w.vm[1].dom, &odd), -EBUSY);
	assert_int_equal(viommu_device_unbind_all(w.vm[1].sub), 0);
	assert_int_equal(viommu_device_attach(w.vm[0].sub, w.vm[1].dom, &odd), 0);
	*word(&w, 1, DATA) = 0x55;
	assert_int_equal(reason_of(&w, w.vm[0].sub, VIOMMU_NO_PASID, DATA, 0), 0);
	assert_int_equal(viommu_device_attach(w.vm[1].sub, w.vm[1].dom, &odd), -EBUSY);
	/* Attached to another in one step. */
	assert_int_equal(viommu_device_attach(w.vm[0].sub, w.vm[0].dom, &odd), 0);
	assert_int_equal(viommu_device_attach(w.vm[1].sub, w.vm[1].dom, &odd), 0);
	/* The same host PASID later, by who owns it then. */
	assert_int_equal(viommu_pasid_free(viommu_domain_owner(w.vm[1].dom), more), 0);
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(w.vm[0].dom), more), 0);
	assert_int_equal(viommu_host_bind(w.vm[0].sub, w.vm[0].dom, more, &odd), 0);
	assert_int_equal(reason_of(&w, w.vm[0].sub, more.v, DATA, 0), 0);
	assert_int_equal(reason_of(&w, w.vm[1].sub, more.v, DATA, 0), VTD_FR_PE_NP);
	world_close(&w);
}

static void the_parent_has_binds_of_its_own(void **state)
{
	struct viommu_hp hp;
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(
		viommu_pasid_alloc(viommu_domain_owner(w.vm[0].dom), 1, VIOMMU_PASID_MAX, &hp), 0);
	assert_int_equal(viommu_host_bind(w.parent, w.vm[0].dom, hp, &second_stage), 0);
	assert_int_equal(viommu_device_attach(w.parent, w.vm[1].dom, &second_stage), 0);
	assert_int_equal(viommu_host_bind(w.parent, w.vm[0].dom, w.vm[0].hp, &second_stage),
			 -EBUSY);
	assert_int_equal(reason_of(&w, w.parent, hp.v, DATA, 0), 0);
	assert_int_equal(reason_of(&w, w.parent, VIOMMU_NO_PASID, DATA, 0), 0);
	assert_int_equal(reason_of(&w, w.vm[0].sub, hp.v, DATA, 0), VTD_FR_PE_NP);
	/* They end without those of the sub-devices. */
	assert_int_equal(viommu_device_unbind_all(w.parent), 0);
	assert_int_equal(reason_of(&w, w.parent, hp.v, DATA, 0), VTD_FR_PE_NP);
	assert_int_equal(reason_of(&w, w.vm[0].sub, w.vm[0].hp.v, VA, 0), 0);
	assert_int_equal(reason_of(&w, w.vm[1].sub, VIOMMU_NO_PASID, DATA, 0), 0);
	world_close(&w);
}

static void a_sub_device_is_part_of_a_device_that_can_have_one(void **state)
{
	struct viommu_device_config c = { .size = sizeof(c), .sid = SID, .flags = ALL }, plain = c;
	struct viommu_device *dev, *other;
	struct viommu_host *host;
	struct world w;

	(void)state;
	world_open(&w);
	c.parent = w.vm[0].sub;
	assert_int_equal(viommu_device_new(w.host, &c, &dev), -EINVAL);
	c.parent = w.parent;
	c.sid = SID + 1;
	assert_int_equal(viommu_device_new(w.host, &c, &dev), -EINVAL);
	assert_int_equal(viommu_host_new(NULL, &host), 0);
	c.sid = SID;
	assert_int_equal(viommu_device_new(host, &c, &dev), -EINVAL);
	viommu_host_free(host);
	c.max_page_requests = 513;
	assert_int_equal(viommu_device_new(w.host, &c, &dev), -EINVAL);
	plain.sid = SID + 8;
	plain.flags = 0;
	assert_int_equal(viommu_device_new(w.host, &plain, &other), 0);
	c = plain;
	c.parent = other;
	assert_int_equal(viommu_device_new(w.host, &c, &dev), -EINVAL);
	plain.sid = SID + 16;
	plain.flags = VIOMMU_DEVICE_PASID;
	assert_int_equal(viommu_device_new(w.host, &plain, &other), 0);
	c = plain;
	c.parent = other;
	c.flags = ALL; /* more than its parent has */
	assert_int_equal(viommu_device_new(w.host, &c, &dev), -EINVAL);
	c.flags = 0;
	assert_int_equal(viommu_device_new(w.host, &c, &dev), 0);
	viommu_device_free(dev);
	assert_int_equal(viommu_device_unplug(other), 0);
	assert_int_equal(viommu_device_new(w.host, &c, &dev), -ENODEV);
	assert_null(dev);
	world_close(&w);
}

static void there_are_at_most_255_and_a_number_is_used_again(void **state)
{
	struct viommu_host_config hc = { .size = sizeof(hc), .max_devices = 300 };
	struct viommu_device_config c = {
		.size = sizeof(c), .sid = SID, .flags = VIOMMU_DEVICE_PASID, .max_page_requests = 1
	};
	struct viommu_device *dev[255], *more, *parent;
	struct viommu_host *host;
	unsigned int i;

	(void)state;
	assert_int_equal(viommu_host_new(&hc, &host), 0);
	assert_int_equal(viommu_device_new(host, &c, &parent), 0);
	c.parent = parent;
	for (i = 0; i < 255; i++)
		assert_int_equal(viommu_device_new(host, &c, &dev[i]), 0);
	assert_int_equal(viommu_device_new(host, &c, &more), -ENOSPC);
	viommu_device_free(dev[100]);
	assert_int_equal(viommu_device_new(host, &c, &more), 0);
	viommu_host_free(host);
	/* One without a PASID to have for itself. */
	hc.pasid_min = 10;
	hc.pasid_max = 11;
	c.parent = NULL;
	assert_int_equal(viommu_host_new(&hc, &host), 0);
	assert_int_equal(viommu_device_new(host, &c, &parent), 0);
	c.parent = parent;
	for (i = 0; i < 2; i++) {
		assert_int_equal(viommu_device_new(host, &c, &dev[i]), 0);
		assert_int_equal(viommu_device_default_pasid(dev[i]).v, 10 + i);
	}
	assert_int_equal(viommu_device_new(host, &c, &more), -ENOSPC);
	viommu_device_free(dev[0]);
	assert_int_equal(viommu_device_new(host, &c, &more), 0);
	viommu_host_free(host);
}

/* ---- Invalidation, gates ---- */

static uint64_t misses(struct world *w)
{
	struct viommu_dma_stats stats;

	viommu_dma_stats(w->dma, &stats);
	return stats.misses;
}

static void warm(struct world *w)
{
	unsigned int i;
	uint64_t v;

	for (i = 0; i < VMS; i++) {
		assert_int_equal(read_va(w, i, w->vm[i].hp.v, VA, &v), 0);
		assert_int_equal(read_va(w, i, VIOMMU_NO_PASID, DATA, &v), 0);
		w->vm[i].told = 0;
	}
}

/* Nothing of the others' was forgotten, and they were not told. */
static void others_are_warm(struct world *w, unsigned int but)
{
	uint64_t before = misses(w), v;
	unsigned int i;

	for (i = 0; i < VMS; i++) {
		if (i == but)
			continue;
		assert_int_equal(read_va(w, i, w->vm[i].hp.v, VA, &v), 0);
		assert_int_equal(read_va(w, i, VIOMMU_NO_PASID, DATA, &v), 0);
		assert_int_equal(w->vm[i].told, 0);
	}
	assert_int_equal(misses(w), before);
}

static void what_one_invalidates_the_others_keep(void **state)
{
	struct viommu_invalidate inv = { .size = sizeof(inv), .addr = VA, .bytes = 4096 };
	uint64_t *leaf, saved, v, before;
	struct viommu_hp own;
	struct world w;

	(void)state;
	world_open(&w);
	own = viommu_device_default_pasid(w.vm[1].sub);
	for (inv.granularity = VIOMMU_INVALIDATE_DOMAIN; inv.granularity <= VIOMMU_INVALIDATE_RANGE;
	     inv.granularity++) {
		inv.hp = w.vm[1].hp;
		warm(&w);
		/* The process's page moves. */
		leaf = tables_entry(&w.vm[1].fs, VA, 1);
		saved = *leaf;
		*word(&w, 1, DATA + 0x3000) = 0x4444;
		*leaf = saved + 0x3000;
		assert_int_equal(viommu_host_invalidate(w.host, w.vm[1].dom, &inv), 0);
		assert_int_equal(w.vm[1].told, 1);
		others_are_warm(&w, 1);
		assert_int_equal(read_va(&w, 1, w.vm[1].hp.v, VA, &v), 0);
		assert_int_equal(v, 0x4444);
		*leaf = saved;
		assert_int_equal(viommu_host_invalidate(w.host, w.vm[1].dom, &inv), 0);
		/* Another's PASID: nothing of it is meant. */
		warm(&w);
		inv.hp = w.vm[2].hp;
		if (inv.granularity != VIOMMU_INVALIDATE_DOMAIN) {
			assert_int_equal(viommu_host_invalidate(w.host, w.vm[1].dom, &inv), 0);
			others_are_warm(&w, VMS);
		}
	}
	/* Requests without PASID: hp 0. */
	warm(&w);
	inv.granularity = VIOMMU_INVALIDATE_RANGE;
	inv.hp.v = 0;
	before = misses(&w);
	assert_int_equal(viommu_host_invalidate(w.host, w.vm[1].dom, &inv), 0);
	assert_int_equal(w.vm[1].told, 1);
	assert_int_equal(read_va(&w, 1, VIOMMU_NO_PASID, DATA, &v), 0);
	assert_true(misses(&w) > before);
	others_are_warm(&w, 1);
	assert_int_not_equal(own.v, 0);
	/* Memory that goes, and a bind that ends. */
	warm(&w);
	assert_int_equal(viommu_host_unbind(w.vm[1].sub, w.vm[1].hp), 0);
	others_are_warm(&w, 1);
	assert_int_equal(viommu_mem_remove(w.vm[1].mem, 0, BYTES), 0);
	others_are_warm(&w, 1);
	assert_int_equal(reason_of(&w, w.vm[1].sub, VIOMMU_NO_PASID, DATA, 0), VTD_FR_SSS_NP);
	world_close(&w);
}

static void each_has_its_own_gates(void **state)
{
	struct viommu_ats_result ats;
	struct viommu_dma_result res;
	struct viommu_fault fault;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	warm(&w);
	assert_int_equal(viommu_device_gate(w.vm[0].sub, VIOMMU_DEVICE_ATS), 0);
	others_are_warm(&w, 0);
	assert_int_equal(reason_of(&w, w.vm[0].sub, w.vm[0].hp.v, VA, 0), VTD_FR_SCE_PASIDE);
	assert_int_equal(reason_of(&w, w.vm[0].sub, VIOMMU_NO_PASID, DATA, 0), 0);
	assert_int_equal(w.vm[0].misses, 0);
	assert_int_equal(viommu_device_gate(w.vm[0].sub, VIOMMU_DEVICE_PASID), 0);
	assert_int_equal(reason_of(&w, w.vm[0].sub, w.vm[0].hp.v, VA, 0), 0);
	assert_int_equal(reason_of(&w, w.vm[0].sub, w.vm[0].hp.v, VA, VIOMMU_DMA_ATS),
			 VTD_FR_SCE_DTE);
	assert_int_equal(viommu_ats_translate(w.dma, w.vm[0].sub, w.vm[0].hp.v, VA, 0, &ats,
					      &fault),
			 VIOMMU_FAULTED);
	assert_int_equal(fault.reason, VTD_FR_SCE_DTE);
	/* A page that it would have asked for. */
	assert_int_equal(viommu_device_gate(w.vm[0].sub, VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS),
			 0);
	assert_int_equal(viommu_dma_read(w.dma, w.vm[0].sub, w.vm[0].hp.v, MISSING, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_PRE);
	assert_int_equal(viommu_device_gate(w.vm[0].sub, ALL), 0);
	assert_int_equal(viommu_device_gate(w.vm[0].sub, VIOMMU_DEVICE_PRI), -EINVAL);
	warm(&w);
	assert_int_equal(
		viommu_ats_translate(w.dma, w.vm[0].sub, w.vm[0].hp.v, VA, 0, &ats, &fault), 0);
	*word(&w, 0, DATA) = 71;
	assert_int_equal(*(const uint64_t *)(uintptr_t)ats.addr, 71);
	world_close(&w);
}

/* Nor do a plain device's on the same host cost the others anything. */
static void gates_of_a_plain_device_leave_the_others_warm(void **state)
{
	struct viommu_device_config dc = { .size = sizeof(dc), .sid = SID + 8, .flags = ALL };
	struct viommu_device *plain;
	struct viommu_hp hp;
	struct world w;
	unsigned int i;
	uint64_t v;

	(void)state;
	world_open(&w);
	assert_int_equal(viommu_device_new(w.host, &dc, &plain), 0);
	assert_int_equal(viommu_device_attach(plain, w.vm[0].dom, &second_stage), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w.vm[0].dom), 0x8000,
					    VIOMMU_PASID_MAX, &hp),
			 0);
	assert_int_equal(viommu_host_bind(plain, w.vm[0].dom, hp, &second_stage), 0);
	for (i = 0; i < 4; i++) {
		warm(&w);
		assert_int_equal(reason_of(&w, plain, hp.v, DATA, 0),
				 i & 1 ? VTD_FR_SCE_PASIDE : 0);
		assert_int_equal(reason_of(&w, plain, VIOMMU_NO_PASID, DATA, 0), 0);
		assert_int_equal(viommu_device_gate(plain, i & 1 ? ALL : VIOMMU_DEVICE_ATS), 0);
		others_are_warm(&w, VMS);
	}
	/* What it had itself is forgotten. */
	assert_int_equal(reason_of(&w, plain, hp.v, DATA, 0), 0);
	v = misses(&w);
	assert_int_equal(viommu_device_gate(plain, ALL), 0);
	assert_int_equal(reason_of(&w, plain, hp.v, DATA, 0), 0);
	assert_true(misses(&w) > v);
	viommu_device_free(plain);
	world_close(&w);
}

/* ---- Page requests ---- */

static int answer(struct vm *vm, uint32_t pasid, uint16_t prgi, uint16_t code)
{
	const struct viommu_page_response r = {
		.size = sizeof(r), .pasid = pasid, .prgi = prgi, .code = code
	};

	return viommu_host_page_response(vm->sub, &r);
}

static void groups_with_the_same_index_are_each_its_owners(void **state)
{
	unsigned int i, j;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	for (i = 0; i < VMS; i++) {
		assert_int_equal(read_va(&w, i, w.vm[i].hp.v, MISSING, &v), -EAGAIN);
		assert_int_equal(w.vm[i].requests, 1);
		assert_int_equal(w.vm[i].request.prgi, w.vm[0].request.prgi);
		assert_int_equal(w.vm[i].request.sid, SID);
		assert_int_equal(w.vm[i].request.gp.v, 1);
		assert_int_equal(w.vm[i].request.pasid, w.vm[i].hp.v);
	}
	/* One answers for the others, with their numbers and its own. */
	for (j = 1; j < VMS; j++)
		assert_int_equal(answer(&w.vm[0], w.vm[j].hp.v, w.vm[j].request.prgi,
					VIOMMU_RESPONSE_FAILURE),
				 -ENOENT);
	assert_int_equal(viommu_device_abort_requests(w.vm[0].sub, w.vm[1].hp.v,
						      VIOMMU_RESPONSE_FAILURE),
			 0);
	for (i = 0; i < VMS; i++)
		assert_int_equal(viommu_device_open_requests(w.vm[i].sub), 1);
	/* A failure turns the page requests of one device off, and no other's. */
	assert_int_equal(
		answer(&w.vm[0], w.vm[0].hp.v, w.vm[0].request.prgi, VIOMMU_RESPONSE_FAILURE), 0);
	assert_int_equal(read_va(&w, 0, w.vm[0].hp.v, MISSING, &v), VIOMMU_FAULTED);
	assert_int_equal(read_va(&w, 0, w.vm[0].hp.v, MISSING + 0x1000, &v), VIOMMU_FAULTED);
	assert_int_equal(read_va(&w, 1, w.vm[1].hp.v, MISSING + 0x1000, &v), -EAGAIN);
	viommu_device_pri_reset(w.vm[0].sub);
	assert_int_equal(viommu_device_open_requests(w.vm[1].sub), 2);
	assert_int_equal(tables_map(&w.vm[1].fs, MISSING, DATA + 0x6000, 12, TABLES_RWU), 0);
	assert_int_equal(answer(&w.vm[1], w.vm[1].hp.v, 0, VIOMMU_RESPONSE_SUCCESS), 0);
	assert_int_equal(read_va(&w, 1, w.vm[1].hp.v, MISSING, &v), 0);
	assert_int_equal(read_va(&w, 2, w.vm[2].hp.v, MISSING, &v), -EAGAIN);
	world_close(&w);
}

static void one_that_asks_for_all_pages_leaves_the_others_theirs(void **state)
{
	unsigned int i;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	for (i = 0; i < 8; i++)
		assert_int_equal(read_va(&w, 0, w.vm[0].hp.v, MISSING + i * 4096, &v), -EAGAIN);
	assert_int_equal(viommu_device_open_requests(w.vm[0].sub), 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(read_va(&w, 1, w.vm[1].hp.v, MISSING + i * 4096, &v), -EAGAIN);
	assert_int_equal(w.vm[1].requests, 4);
	assert_int_equal(viommu_host_expire_page_requests(w.host), 0);
	assert_int_equal(viommu_host_expire_page_requests(w.host), 8);
	world_close(&w);
}

/* ---- Ends ---- */

static void one_that_goes_leaves_the_others_alone(void **state)
{
	struct viommu_hp def;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	assert_int_equal(read_va(&w, 0, w.vm[0].hp.v, MISSING, &v), -EAGAIN);
	assert_int_equal(read_va(&w, 1, w.vm[1].hp.v, MISSING, &v), -EAGAIN);
	warm(&w);
	assert_int_equal(viommu_device_unplug(w.vm[0].sub), 0);
	others_are_warm(&w, 0);
	assert_int_equal(viommu_device_open_requests(w.vm[0].sub), 0);
	assert_int_equal(viommu_device_open_requests(w.vm[1].sub), 1);
	assert_int_equal(reason_of(&w, w.vm[0].sub, w.vm[0].hp.v, VA, 0), VTD_FR_SCE_NP);
	assert_int_equal(reason_of(&w, w.vm[0].sub, VIOMMU_NO_PASID, DATA, 0), VTD_FR_SCE_NP);
	assert_int_equal(vm_bind(&w.vm[0]), -ENODEV);
	assert_int_equal(viommu_device_gate(w.vm[0].sub, ALL), -ENODEV);
	def = viommu_device_default_pasid(w.vm[0].sub);
	viommu_device_free(w.vm[0].sub);
	/* The next has its place, its number and its domain. */
	assert_int_equal(sub_new(&w, &w.vm[0], 4), 0);
	assert_int_equal(viommu_device_default_pasid(w.vm[0].sub).v, def.v);
	assert_int_equal(reason_of(&w, w.vm[0].sub, w.vm[0].hp.v, VA, 0), VTD_FR_PE_NP);
	assert_int_equal(viommu_device_attach(w.vm[0].sub, w.vm[0].dom, &second_stage), 0);
	assert_int_equal(vm_bind(&w.vm[0]), 0);
	warm(&w);
	/* A VM's end takes its binds, and only those. */
	viommu_domain_free(w.vm[2].dom);
	assert_int_equal(reason_of(&w, w.vm[2].sub, VIOMMU_NO_PASID, DATA, 0), VTD_FR_PE_NP);
	assert_int_equal(reason_of(&w, w.vm[2].sub, w.vm[2].hp.v, VA, 0), VTD_FR_PE_NP);
	assert_int_equal(read_va(&w, 1, w.vm[1].hp.v, VA, &v), 0);
	assert_int_equal(read_va(&w, 0, w.vm[0].hp.v, VA, &v), 0);
	world_close(&w);
}

static void the_device_takes_all_of_its_parts_along(void **state)
{
	unsigned int i;
	struct world w;
	uint64_t v;

	(void)state;
	world_open(&w);
	warm(&w);
	for (i = 0; i < VMS; i++)
		assert_int_equal(read_va(&w, i, w.vm[i].hp.v, MISSING, &v), -EAGAIN);
	assert_int_equal(viommu_device_unplug(w.parent), 0);
	for (i = 0; i < VMS; i++) {
		assert_int_equal(viommu_device_open_requests(w.vm[i].sub), 0);
		assert_int_equal(reason_of(&w, w.vm[i].sub, w.vm[i].hp.v, VA, 0), VTD_FR_SCE_NP);
		assert_int_equal(vm_bind(&w.vm[i]), -ENODEV);
		assert_int_equal(viommu_pasid_free(viommu_domain_owner(w.vm[i].dom), w.vm[i].hp),
				 0);
		viommu_device_free(w.vm[i].sub);
	}
	viommu_device_free(w.parent);
	world_close(&w);
}

static void a_sub_device_is_made_whole_or_not_at_all(void **state)
{
	long n, live;
	struct world w;
	int err;

	(void)state;
	world_open(&w);
	warm(&w);
	viommu_device_free(w.vm[0].sub);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		int done;

		viommu__alloc_fail_nth(n);
		err = sub_new(&w, &w.vm[0], 4);
		if (!err)
			err = viommu_device_attach(w.vm[0].sub, w.vm[0].dom, &second_stage);
		if (!err)
			err = vm_bind(&w.vm[0]);
		done = !viommu__alloc_fail_done();
		assert_int_equal(err, done ? 0 : -ENOMEM);
		others_are_warm(&w, 0);
		viommu_device_free(w.vm[0].sub);
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 3);
	world_close(&w);
}

/* ---- Threads ---- */

struct worker {
	struct world *w;
	unsigned int vm;
	unsigned int foreign; /* accesses with another's PASID that came through */
	unsigned int wrong;   /* words that were not its own */
	unsigned int done;
	uint32_t *stop;
};

/* A device that writes and reads its own, and tries the others' with every step. */
static void *dma_thread(void *arg)
{
	struct worker *t = arg;
	struct vm *vm = &t->w->vm[t->vm];
	struct viommu_dma *dma;
	uint64_t v, n = 0;

	if (viommu_dma_new(t->w->host, &dma))
		return NULL;
	while (!load_acquire(t->stop)) {
		uint64_t va = VA + n % 16 * 4096 + 8 * t->vm, mark = (uint64_t)t->vm << 32 | ++n;
		struct vm *other = &t->w->vm[(t->vm + 1 + n % 2) % VMS];

		/* It may be unbound at any time: then the access faults. */
		if (!viommu_dma_write(dma, vm->sub, vm->hp.v, va, &mark, 8, VIOMMU_DMA_NO_PRI,
				      NULL) &&
		    !viommu_dma_read(dma, vm->sub, vm->hp.v, va, &v, 8, VIOMMU_DMA_NO_PRI, NULL))
			t->wrong += v != mark;
		t->foreign += viommu_dma_write(dma, vm->sub, other->hp.v, va, &mark, 8,
					       VIOMMU_DMA_NO_PRI, NULL) != VIOMMU_FAULTED;
		t->foreign +=
			viommu_dma_read(dma, vm->sub, viommu_device_default_pasid(other->sub).v,
					DATA, &v, 8, VIOMMU_DMA_NO_PRI, NULL) != VIOMMU_FAULTED;
		t->done++;
	}
	viommu_dma_free(dma);
	return NULL;
}

/* Its VM binds, unbinds, invalidates and resets meanwhile. */
static void *control_thread(void *arg)
{
	struct worker *t = arg;
	struct vm *vm = &t->w->vm[t->vm];
	uint64_t i, n = test_scale(400);

	for (i = 0; i < n; i++) {
		const struct viommu_invalidate inv = {
			.size = sizeof(inv),
			.granularity = 1 + (uint32_t)(i % 3),
			.hp = vm->hp,
		};

		switch (i % 4) {
		case 0:
			t->wrong += viommu_host_unbind(vm->sub, vm->hp) != 0;
			break;
		case 1:
			t->wrong += vm_bind(vm) != 0;
			break;
		case 2:
			t->wrong += viommu_host_invalidate(t->w->host, vm->dom, &inv) != 0;
			break;
		default:
			t->wrong += viommu_device_gate(vm->sub,
						       i % 8 == 3 ? VIOMMU_DEVICE_ATS : ALL) != 0;
		}
	}
	viommu_device_gate(vm->sub, ALL);
	return NULL;
}

static void threads_of_all_never_reach_each_other(void **state)
{
	struct worker dma[VMS], control[VMS];
	pthread_t thread[2 * VMS];
	uint32_t stop = 0;
	unsigned int i, j;
	struct world w;

	(void)state;
	world_open(&w);
	for (i = 0; i < VMS; i++) {
		/* Not told: several threads at once. */
		w.vm[i].ops = (struct viommu_host_ops){ 0 };
		viommu_device_free(w.vm[i].sub);
		assert_int_equal(sub_new(&w, &w.vm[i], 4), 0);
		assert_int_equal(viommu_device_attach(w.vm[i].sub, w.vm[i].dom, &second_stage), 0);
		assert_int_equal(vm_bind(&w.vm[i]), 0);
	}
	for (i = 0; i < VMS; i++) {
		dma[i] = control[i] = (struct worker){ .w = &w, .vm = i, .stop = &stop };
		assert_int_equal(pthread_create(&thread[i], NULL, dma_thread, &dma[i]), 0);
		assert_int_equal(
			pthread_create(&thread[VMS + i], NULL, control_thread, &control[i]), 0);
	}
	for (i = 0; i < VMS; i++)
		pthread_join(thread[VMS + i], NULL);
	store_release(&stop, 1);
	for (i = 0; i < VMS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < VMS; i++) {
		assert_true(dma[i].done > 0);
		assert_int_equal(dma[i].foreign, 0);
		assert_int_equal(dma[i].wrong, 0);
		assert_int_equal(control[i].wrong, 0);
		/* Of the words in its pages only its own were ever written. */
		for (j = 0; j < 16 * VMS; j++) {
			uint64_t v = *word(&w, i, DATA + j / VMS * 4096 + 8 * (j % VMS));

			assert_int_equal(v >> 32, j % VMS == i ? (v ? i : 0) : 0);
			if (j % VMS != i)
				assert_int_equal(v, 0);
		}
	}
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(one_table_has_the_entries_of_all_and_each_sees_its_own),
	cmocka_unit_test(each_reaches_its_own_memory_at_the_same_addresses),
	cmocka_unit_test(no_access_with_another_ones_pasid_comes_through),
	cmocka_unit_test(what_happens_is_told_to_the_one_it_happens_to),
	cmocka_unit_test(a_sub_device_binds_pasids_of_its_domain_only),
	cmocka_unit_test(the_parent_has_binds_of_its_own),
	cmocka_unit_test(a_sub_device_is_part_of_a_device_that_can_have_one),
	cmocka_unit_test(there_are_at_most_255_and_a_number_is_used_again),
	cmocka_unit_test(what_one_invalidates_the_others_keep),
	cmocka_unit_test(each_has_its_own_gates),
	cmocka_unit_test(gates_of_a_plain_device_leave_the_others_warm),
	cmocka_unit_test(groups_with_the_same_index_are_each_its_owners),
	cmocka_unit_test(one_that_asks_for_all_pages_leaves_the_others_theirs),
	cmocka_unit_test(one_that_goes_leaves_the_others_alone),
	cmocka_unit_test(the_device_takes_all_of_its_parts_along),
	cmocka_unit_test(a_sub_device_is_made_whole_or_not_at_all),
	cmocka_unit_test(threads_of_all_never_reach_each_other),
};

TEST_MAIN(tests)
