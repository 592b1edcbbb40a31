/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A domain for a device and others for PASIDs of it (the aux domains of 2019): the second stage
 * alone translates, PGTT 2 (VTD-PE-02). Three VMs have their memory at the same guest physical
 * addresses, and one device reaches each of them.
 */
#include <pthread.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "lib/tables.h"
#include "lib/test.h"
#include <viommu/viommu.h>

#define VMS   3u
#define BYTES (UINT64_C(1) << 20)
#define ROM   (UINT64_C(16) << 20) /* the last VM has a read-only page here */

/* vm[0] is attached: requests without PASID. vm[1] keeps dirty bits, vm[2] has the ROM. */
struct vm {
	struct tables ram;
	struct viommu_mem *mem;
	struct viommu_domain *dom;
	uint32_t pasid;
};

struct aux {
	struct viommu_host *host;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct vm vm[VMS];
	unsigned int told; /* calls of the device's invalidate callback */
};

static const struct viommu_bind second_stage = { .size = sizeof(struct viommu_bind),
						 .kind = VIOMMU_BIND_NESTED };

static void count_told(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct aux *a = ctx;

	(void)pasid;
	(void)addr;
	(void)bytes;
	a->told++;
}

static int domain_new(struct aux *a, unsigned int i)
{
	const struct viommu_domain_config config = {
		.size = sizeof(config),
		.flags = VIOMMU_DOMAIN_NO_NEST | (i == 1 ? VIOMMU_DOMAIN_DIRTY : 0),
		.max_page_lg2 = 12,
	};

	return viommu_domain_new(a->host, a->vm[i].mem, &config, &a->vm[i].dom);
}

static int bind_vm(struct aux *a, unsigned int i)
{
	struct viommu_hp hp;
	int err;

	if (!i) {
		a->vm[i].pasid = VIOMMU_NO_PASID;
		return viommu_device_attach(a->dev, a->vm[i].dom, &second_stage);
	}
	err = viommu_pasid_alloc(viommu_domain_owner(a->vm[i].dom), 1, VIOMMU_PASID_MAX, &hp);
	a->vm[i].pasid = hp.v;
	return err ? err : viommu_host_bind(a->dev, a->vm[i].dom, hp, &second_stage);
}

static void aux_open(struct aux *a)
{
	const struct viommu_device_config dc = {
		.size = sizeof(dc),
		.sid = 0x28,
		.flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS,
		.ctx = a,
		.invalidate = count_told,
	};
	unsigned int i;

	memset(a, 0, sizeof(*a));
	assert_int_equal(viommu_host_new(NULL, &a->host), 0);
	assert_int_equal(viommu_device_new(a->host, &dc, &a->dev), 0);
	assert_int_equal(viommu_dma_new(a->host, &a->dma), 0);
	for (i = 0; i < VMS; i++) {
		struct vm *vm = &a->vm[i];

		tables_init(&vm->ram, 0, BYTES + 4096);
		assert_int_equal(viommu_mem_new(&vm->mem), 0);
		assert_int_equal(viommu_mem_add_fd(vm->mem, 0, BYTES, vm->ram.fd, 0, 0), 0);
		if (i == 2)
			assert_int_equal(viommu_mem_add_fd(vm->mem, ROM, 4096, vm->ram.fd, BYTES,
							   VIOMMU_MEM_READ_ONLY),
					 0);
		assert_int_equal(domain_new(a, i), 0);
		assert_int_equal(bind_vm(a, i), 0);
	}
}

static void aux_close(struct aux *a)
{
	unsigned int i;

	viommu_dma_free(a->dma);
	viommu_host_free(a->host);
	for (i = 0; i < VMS; i++) {
		viommu_mem_free(a->vm[i].mem);
		tables_free(&a->vm[i].ram);
	}
}

static uint64_t *word(struct aux *a, unsigned int i, uint64_t gpa)
{
	return tables_ptr(&a->vm[i].ram, gpa);
}

static int read_as(struct aux *a, unsigned int i, uint64_t gpa, uint64_t *v)
{
	return viommu_dma_read(a->dma, a->dev, a->vm[i].pasid, gpa, v, 8, 0, NULL);
}

static int write_as(struct aux *a, unsigned int i, uint64_t gpa, uint64_t v)
{
	return viommu_dma_write(a->dma, a->dev, a->vm[i].pasid, gpa, &v, 8, 0, NULL);
}

/* The reason in which a read of 8 bytes ends; 0: none. */
static uint8_t fault_of(struct aux *a, uint32_t pasid, uint64_t gpa, uint8_t *flags)
{
	struct viommu_dma_result res = { 0 };
	uint64_t v;
	int ret = viommu_dma_read(a->dma, a->dev, pasid, gpa, &v, 8, 0, &res);

	assert_true(ret == 0 || ret == VIOMMU_FAULTED);
	if (flags)
		*flags = res.fault.flags;
	return ret ? res.fault.reason : 0;
}

/* The entry of a 4-KiB page in a domain's tables; HPAs are addresses of this process. */
static uint64_t *ss_leaf(struct viommu_domain *dom, uint64_t gpa)
{
	struct viommu_stage st;
	uint64_t *table;
	unsigned int level;

	viommu_domain_stage(dom, &st, NULL);
	table = (uint64_t *)(uintptr_t)st.root;
	for (level = st.levels; level > 1; level--) {
		uint64_t e = table[gpa >> (12 + 9 * (level - 1)) & 511];

		assert_true(e & VTD_MASK(VTD_SS_R));
		assert_false(e & VTD_MASK(VTD_SS_PS));
		table = (uint64_t *)(uintptr_t)(e & VTD_MASK(VTD_SS_ADDR));
	}
	return &table[gpa >> 12 & 511];
}

/* ---- Three domains, one device ---- */

/* VTD-PE-02, VTD-PE-22 */
static void the_pasid_entries_name_the_second_stages_alone(void **state)
{
	struct viommu_stage st;
	unsigned int i, j;
	uint16_t did[VMS];
	uint64_t pe[8];
	struct aux a;

	(void)state;
	aux_open(&a);
	for (i = 0; i < VMS; i++) {
		struct viommu_hp hp = { i ? a.vm[i].pasid : 0 }, next = hp;
		struct viommu_gp gp;

		assert_int_equal(viommu_host_pasid_entry(a.dev, hp, pe), 0);
		viommu_domain_stage(a.vm[i].dom, &st, &did[i]);
		assert_int_equal(VTD_GET(pe, VTD_PE_P), 1);
		assert_int_equal(VTD_GET(pe, VTD_PE_PGTT), VTD_PGTT_SS);
		assert_int_equal(VTD_GET(pe, VTD_PE_DID), did[i]);
		assert_int_equal(pe[0] & VTD_MASK(VTD_PE_SSPTPTR), st.root);
		assert_int_equal(VTD_GET(pe, VTD_PE_AW), st.levels - 2);
		assert_int_equal(VTD_GET(pe, VTD_PE_SSADE), i == 1);
		assert_int_equal(pe[2], 0);
		for (j = 0; j < i; j++)
			assert_int_not_equal(did[i], did[j]);
		/* No guest PASID belongs to it. */
		assert_int_equal(viommu_host_next_bind(a.dev, &next, &gp, NULL), 0);
		assert_int_equal(next.v, hp.v);
		assert_int_equal(gp.v, VIOMMU_NO_PASID);
	}
	aux_close(&a);
}

static void each_pasid_reaches_the_memory_of_its_domain(void **state)
{
	const uint64_t size = 3 * 4096 + 100;
	uint8_t *out, *in;
	unsigned int i;
	struct rng rng;
	struct aux a;

	(void)state;
	rng_init(&rng, "each its own");
	out = malloc(VMS * size);
	in = malloc(size);
	assert_non_null(out);
	assert_non_null(in);
	rng_fill(&rng, out, VMS * size);
	aux_open(&a);
	for (i = 0; i < VMS; i++)
		assert_int_equal(viommu_dma_write(a.dma, a.dev, a.vm[i].pasid, 0x3ff0,
						  out + i * size, size, 0, NULL),
				 0);
	for (i = 0; i < VMS; i++) {
		assert_memory_equal((uint8_t *)word(&a, i, 0) + 0x3ff0, out + i * size, size);
		memset(in, 0, size);
		assert_int_equal(
			viommu_dma_read(a.dma, a.dev, a.vm[i].pasid, 0x3ff0, in, size, 0, NULL), 0);
		assert_memory_equal(in, out + i * size, size);
	}
	/* And from one to the other, by the device alone. */
	assert_int_equal(viommu_dma_copy(a.dma, a.dev, a.vm[2].pasid, 0x40000, a.vm[1].pasid,
					 0x3ff0, size, 0, NULL),
			 0);
	assert_memory_equal(word(&a, 2, 0x40000), out + size, size);
	for (i = 0; i < 2; i++)
		assert_int_equal(*word(&a, i, 0x40000), 0);
	aux_close(&a);
	free(in);
	free(out);
}

static void what_is_no_memory_of_the_domain_faults(void **state)
{
	unsigned int i;
	uint8_t flags;
	struct aux a;

	(void)state;
	aux_open(&a);
	for (i = 0; i < VMS; i++) {
		assert_int_equal(fault_of(&a, a.vm[i].pasid, BYTES - 8, NULL), 0);
		assert_int_equal(fault_of(&a, a.vm[i].pasid, BYTES, &flags), VTD_FR_SSS_NP);
		assert_true(flags & VIOMMU_FAULT_HOST);
		assert_int_equal(fault_of(&a, a.vm[i].pasid, UINT64_C(1) << 48, &flags),
				 VTD_FR_SSS_BEYOND_MGAW);
		assert_true(flags & VIOMMU_FAULT_HOST);
		/* What one domain has more than the others is its own. */
		assert_int_equal(fault_of(&a, a.vm[i].pasid, ROM, NULL),
				 i == 2 ? 0 : VTD_FR_SSS_NP);
	}
	assert_int_equal(fault_of(&a, 60, 0, NULL), VTD_FR_PE_NP);
	aux_close(&a);
}

static void a_bind_needs_the_pasid_of_its_domain(void **state)
{
	struct viommu_device_config plain = { .size = sizeof(plain), .sid = 0x30 };
	struct viommu_hp x, free_hp = { 500 };
	struct viommu_bind odd = second_stage;
	struct viommu_device *dev;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	x.v = a.vm[1].pasid;
	assert_int_equal(viommu_host_bind(a.dev, a.vm[1].dom, x, &second_stage), -EBUSY);
	assert_int_equal(viommu_host_bind(a.dev, a.vm[2].dom, free_hp, &second_stage), -ENOENT);
	assert_int_equal(viommu_host_rebind(a.dev, a.vm[2].dom, x, &second_stage), -EBUSY);
	assert_int_equal(viommu_host_unbind(a.dev, x), 0);
	assert_int_equal(viommu_host_bind(a.dev, a.vm[2].dom, x, &second_stage), -EPERM);
	/* The guest's tables may not come between: the domain was made without nesting. */
	odd.nr = 1;
	odd.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
					      .levels = 4,
					      .root = 0x1000 };
	assert_int_equal(viommu_host_bind(a.dev, a.vm[1].dom, x, &odd), -EINVAL);
	assert_int_equal(viommu_device_new(a.host, &plain, &dev), 0);
	assert_int_equal(viommu_host_bind(dev, a.vm[1].dom, x, &second_stage), -EINVAL);
	/* Such a device has requests without PASID alone. */
	assert_int_equal(viommu_device_attach(dev, a.vm[1].dom, &second_stage), 0);
	*word(&a, 1, 0x5000) = 77;
	assert_int_equal(viommu_dma_read(a.dma, dev, VIOMMU_NO_PASID, 0x5000, &v, 8, 0, NULL), 0);
	assert_int_equal(v, 77);
	/* None of this disturbed the others; and the first comes back. */
	assert_int_equal(fault_of(&a, x.v, 0, NULL), VTD_FR_PE_NP);
	assert_int_equal(viommu_host_bind(a.dev, a.vm[1].dom, x, &second_stage), 0);
	assert_int_equal(read_as(&a, 1, 0x5000, &v), 0);
	assert_int_equal(v, 77);
	assert_int_equal(read_as(&a, 2, 0x5000, &v), 0);
	assert_int_equal(v, 0);
	aux_close(&a);
}

static void a_domain_serves_several_pasids_and_devices(void **state)
{
	struct viommu_device_config dc = { .size = sizeof(dc),
					   .sid = 0x30,
					   .flags = VIOMMU_DEVICE_PASID };
	struct viommu_device *other;
	struct viommu_hp one, two;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	one.v = a.vm[1].pasid;
	assert_int_equal(viommu_device_new(a.host, &dc, &other), 0);
	assert_int_equal(
		viommu_pasid_alloc(viommu_domain_owner(a.vm[1].dom), 1, VIOMMU_PASID_MAX, &two), 0);
	assert_int_not_equal(two.v, one.v);
	assert_int_equal(viommu_host_bind(a.dev, a.vm[1].dom, two, &second_stage), 0);
	assert_int_equal(viommu_host_bind(other, a.vm[1].dom, one, &second_stage), 0);
	*word(&a, 1, 0x6000) = 88;
	assert_int_equal(viommu_dma_read(a.dma, a.dev, two.v, 0x6000, &v, 8, 0, NULL), 0);
	assert_int_equal(v, 88);
	v = 0;
	assert_int_equal(viommu_dma_read(a.dma, other, one.v, 0x6000, &v, 8, 0, NULL), 0);
	assert_int_equal(v, 88);
	/* Each bind ends alone. */
	assert_int_equal(viommu_host_unbind(a.dev, one), 0);
	assert_int_equal(fault_of(&a, one.v, 0x6000, NULL), VTD_FR_PE_NP);
	assert_int_equal(fault_of(&a, two.v, 0x6000, NULL), 0);
	assert_int_equal(viommu_dma_read(a.dma, other, one.v, 0x6000, &v, 8, 0, NULL), 0);
	assert_int_equal(viommu_pasid_free(viommu_domain_owner(a.vm[1].dom), one), -EBUSY);
	assert_int_equal(viommu_host_unbind(other, one), 0);
	assert_int_equal(viommu_pasid_free(viommu_domain_owner(a.vm[1].dom), one), 0);
	aux_close(&a);
}

static void a_host_without_nesting_has_second_stages_for_pasids(void **state)
{
	struct viommu_host_config hc = { .size = sizeof(hc), .cap = viommu_host_default_cap() };
	struct viommu_device_config dc = { .size = sizeof(dc),
					   .sid = 0x28,
					   .flags = VIOMMU_DEVICE_PASID };
	struct viommu_domain *dom;
	struct viommu_host *host;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct viommu_hp hp;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	hc.ecap = viommu_host_default_ecap() & ~VTD_MASK(VTD_ECAP_NEST);
	assert_int_equal(viommu_host_new(&hc, &host), 0);
	assert_int_equal(viommu_device_new(host, &dc, &dev), 0);
	assert_int_equal(viommu_dma_new(host, &dma), 0);
	assert_int_equal(viommu_domain_new(host, a.vm[1].mem, NULL, &dom), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(dom), 7, 7, &hp), 0);
	assert_int_equal(viommu_host_bind(dev, dom, hp, &second_stage), 0);
	*word(&a, 1, 0xd000) = 70;
	assert_int_equal(viommu_dma_read(dma, dev, 7, 0xd000, &v, 8, 0, NULL), 0);
	assert_int_equal(v, 70);
	viommu_dma_free(dma);
	viommu_host_free(host);
	aux_close(&a);
}

/* ---- Invalidation ---- */

static uint64_t misses(struct aux *a)
{
	struct viommu_dma_stats stats;

	viommu_dma_stats(a->dma, &stats);
	return stats.misses;
}

static void one_domain_is_invalidated_and_the_others_stay(void **state)
{
	static const uint32_t granularity[] = { VIOMMU_INVALIDATE_DOMAIN, VIOMMU_INVALIDATE_PASID,
						VIOMMU_INVALIDATE_RANGE };
	unsigned int g, i, by;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	for (g = 0; g < ARRAY_SIZE(granularity) * VMS; g++) {
		struct viommu_invalidate inv = { .size = sizeof(inv),
						 .granularity = granularity[g / VMS],
						 .addr = 0x8000,
						 .bytes = 4096 };
		uint64_t *e, swap, before;

		by = g % VMS;
		inv.hp.v = by ? a.vm[by].pasid : 0;
		for (i = 0; i < VMS; i++) {
			*word(&a, i, 0x8000) = 100 + i;
			*word(&a, i, 0x9000) = 200 + i;
			assert_int_equal(read_as(&a, i, 0x8000, &v), 0);
			assert_int_equal(v, 100 + i);
		}
		/* Two pages of one domain change places, behind the library's back. */
		e = ss_leaf(a.vm[by].dom, 0x8000);
		swap = e[0];
		e[0] = e[1];
		e[1] = swap;
		a.told = 0;
		assert_int_equal(viommu_host_invalidate(a.host, a.vm[by].dom, &inv), 0);
		assert_true(a.told > 0);
		/* The others have not lost what they had cached. */
		before = misses(&a);
		for (i = 0; i < VMS; i++) {
			if (i == by)
				continue;
			assert_int_equal(read_as(&a, i, 0x8000, &v), 0);
			assert_int_equal(v, 100 + i);
		}
		assert_int_equal(misses(&a), before);
		assert_int_equal(read_as(&a, by, 0x8000, &v), 0);
		assert_int_equal(v, 200 + by);
		e[1] = e[0];
		e[0] = swap;
		assert_int_equal(viommu_host_invalidate(a.host, a.vm[by].dom, &inv), 0);
	}
	aux_close(&a);
}

static void a_device_tlb_forgets_what_leaves_a_domain(void **state)
{
	struct viommu_devtlb *tlb;
	struct viommu_dma_result res;
	unsigned int i;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	assert_int_equal(viommu_devtlb_new(a.dev, 64, &tlb), 0);
	for (i = 0; i < VMS; i++) {
		*word(&a, i, 0x7000) = 10 + i;
		assert_int_equal(
			viommu_devtlb_read(tlb, a.dma, a.vm[i].pasid, 0x7000, &v, 8, 0, NULL), 0);
		assert_int_equal(v, 10 + i);
	}
	assert_int_equal(viommu_mem_remove(a.vm[1].mem, 0, BYTES), 0);
	assert_int_equal(viommu_devtlb_read(tlb, a.dma, a.vm[1].pasid, 0x7000, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	viommu_domain_free(a.vm[2].dom);
	assert_int_equal(viommu_devtlb_read(tlb, a.dma, a.vm[2].pasid, 0x7000, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_PE_NP);
	assert_int_equal(viommu_devtlb_read(tlb, a.dma, VIOMMU_NO_PASID, 0x7000, &v, 8, 0, NULL),
			 0);
	assert_int_equal(v, 10);
	viommu_devtlb_free(tlb);
	aux_close(&a);
}

/* ---- Permissions, dirty bits ---- */

static void read_only_memory_of_a_domain_is_not_written(void **state)
{
	struct viommu_dma_result res;
	struct viommu_ats_result ats;
	struct viommu_fault fault;
	uint64_t v = 1, old;
	struct aux a;

	(void)state;
	aux_open(&a);
	*word(&a, 2, BYTES) = 0x1234; /* the ROM's bytes */
	assert_int_equal(read_as(&a, 2, ROM, &v), 0);
	assert_int_equal(v, 0x1234);
	assert_int_equal(viommu_dma_write(a.dma, a.dev, a.vm[2].pasid, ROM, &v, 8, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_S_WRITE);
	assert_int_equal(res.fault.pasid, a.vm[2].pasid);
	assert_int_equal(res.fault.addr, ROM);
	assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
	assert_int_equal(viommu_dma_atomic(a.dma, a.dev, a.vm[2].pasid, ROM, 8,
					   VIOMMU_ATOMIC_FETCH_ADD, 1, 0, 0, &old, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(*word(&a, 2, BYTES), 0x1234);
	assert_int_equal(viommu_ats_translate(a.dma, a.dev, a.vm[2].pasid, ROM, 0, &ats, &fault),
			 0);
	assert_int_equal(ats.perm, VIOMMU_READ);
	/* The same address for another domain with memory there, and one without. */
	assert_int_equal(viommu_mem_add_fd(a.vm[1].mem, ROM, 4096, a.vm[1].ram.fd, BYTES, 0), 0);
	assert_int_equal(write_as(&a, 1, ROM, 99), 0);
	assert_int_equal(*word(&a, 1, BYTES), 99);
	assert_int_equal(write_as(&a, 0, ROM, 99), VIOMMU_FAULTED);
	assert_int_equal(*word(&a, 2, BYTES), 0x1234);
	aux_close(&a);
}

static unsigned int count_leaves(struct viommu_domain *dom, uint64_t bits)
{
	unsigned int n = 0;
	uint64_t gpa;

	for (gpa = 0; gpa < BYTES; gpa += 4096)
		n += (*ss_leaf(dom, gpa) & bits) == bits;
	return n;
}

/* VTD-SS-06, VTD-SS-20 */
static void dirty_bits_are_kept_in_the_domain_that_wants_them(void **state)
{
	const uint64_t accessed = VTD_MASK(VTD_SS_A), dirty = VTD_MASK(VTD_SS_D);
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = VIOMMU_INVALIDATE_DOMAIN };
	unsigned int i, round;
	struct aux a;
	uint64_t v, gpa;

	(void)state;
	aux_open(&a);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < VMS; i++) {
			assert_int_equal(write_as(&a, i, 0x8000 + round * 0x1000, 1), 0);
			assert_int_equal(write_as(&a, i, 0x20000, 2), 0);
			assert_int_equal(read_as(&a, i, 0x30000, &v), 0);
		}
		assert_int_equal(count_leaves(a.vm[1].dom, dirty), 2);
		assert_true(*ss_leaf(a.vm[1].dom, 0x8000 + round * 0x1000) & dirty);
		assert_true(*ss_leaf(a.vm[1].dom, 0x20000) & dirty);
		assert_int_equal(count_leaves(a.vm[1].dom, accessed), 3);
		for (i = 0; i < VMS; i += 2)
			assert_int_equal(count_leaves(a.vm[i].dom, accessed) +
						 count_leaves(a.vm[i].dom, dirty),
					 0);
		/*
		 * A read whose translation is cached with its permission to write dirties nothing.
		 */
		assert_int_equal(read_as(&a, 1, 0x30000, &v), 0);
		assert_int_equal(count_leaves(a.vm[1].dom, dirty), 2);
		/* Cleared and invalidated, they are set anew by the next round. */
		for (gpa = 0; gpa < BYTES; gpa += 4096)
			*ss_leaf(a.vm[1].dom, gpa) &= ~(accessed | dirty);
		assert_int_equal(viommu_host_invalidate(a.host, a.vm[1].dom, &inv), 0);
	}
	aux_close(&a);
}

/* VTD-SS-20: by whichever way a device has, on a page it has read before. */
static void every_kind_of_write_sets_the_dirty_bit(void **state)
{
	static const struct viommu_dma_seg seg = { .addr = 0x14000, .bytes = 8 };
	struct viommu_ats_result ats;
	struct viommu_dma_op op;
	struct viommu_fault fault;
	unsigned int i;
	uint64_t v, old;
	struct aux a;
	uint32_t x;

	(void)state;
	aux_open(&a);
	x = a.vm[1].pasid;
	op = (struct viommu_dma_op){ .dev = a.dev,
				     .pasid = x,
				     .kind = VIOMMU_DMA_WRITE,
				     .addr = 0x15000,
				     .buf = &old,
				     .bytes = 8 };
	for (i = 0; i < 8; i++) {
		assert_int_equal(read_as(&a, 1, 0x10000 + i * 0x1000, &v), 0);
		assert_false(*ss_leaf(a.vm[1].dom, 0x10000 + i * 0x1000) & VTD_MASK(VTD_SS_D));
	}
	old = 5;
	assert_int_equal(write_as(&a, 1, 0x10000, 5), 0);
	assert_int_equal(viommu_dma_fill(a.dma, a.dev, x, 0x11000, 5, 8, 0, NULL), 0);
	assert_int_equal(
		viommu_dma_copy(a.dma, a.dev, x, 0x12000, a.vm[2].pasid, 0x12000, 8, 0, NULL), 0);
	assert_int_equal(viommu_dma_atomic(a.dma, a.dev, x, 0x13000, 8, VIOMMU_ATOMIC_SWAP, 5, 0, 0,
					   &v, NULL),
			 0);
	assert_int_equal(viommu_dma_writev(a.dma, a.dev, x, &seg, 1, &old, 0, NULL), 0);
	assert_int_equal(viommu_dma_batch(a.dma, &op, 1), 1);
	assert_int_equal(viommu_ats_translate(a.dma, a.dev, x, 0x16000, 0, &ats, &fault), 0);
	assert_int_equal(ats.perm, VIOMMU_READ | VIOMMU_WRITE);
	for (i = 0; i < 7; i++)
		assert_true(*ss_leaf(a.vm[1].dom, 0x10000 + i * 0x1000) & VTD_MASK(VTD_SS_D));
	/* Not by a translation that wants no writing. */
	assert_int_equal(viommu_ats_translate(a.dma, a.dev, x, 0x17000, VIOMMU_ATS_NO_WRITE, &ats,
					      &fault),
			 0);
	assert_false(*ss_leaf(a.vm[1].dom, 0x17000) & VTD_MASK(VTD_SS_D));
	assert_false(ats.perm & VIOMMU_WRITE);
	aux_close(&a);
}

/* ---- What ends ---- */

static void a_domain_that_ends_takes_its_binds_along(void **state)
{
	struct viommu_hp hp;
	unsigned int i;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	for (i = 0; i < VMS; i++) {
		*word(&a, i, 0x9000) = 30 + i;
		assert_int_equal(read_as(&a, i, 0x9000, &v), 0);
	}
	hp.v = a.vm[1].pasid;
	viommu_domain_free(a.vm[1].dom);
	assert_int_equal(fault_of(&a, hp.v, 0x9000, NULL), VTD_FR_PE_NP);
	assert_int_equal(read_as(&a, 0, 0x9000, &v), 0);
	assert_int_equal(v, 30);
	assert_int_equal(read_as(&a, 2, 0x9000, &v), 0);
	assert_int_equal(v, 32);
	/* Its PASID is free for another, whose memory it names from then on. */
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(a.vm[2].dom), hp), 0);
	assert_int_equal(viommu_host_bind(a.dev, a.vm[2].dom, hp, &second_stage), 0);
	assert_int_equal(viommu_dma_read(a.dma, a.dev, hp.v, 0x9000, &v, 8, 0, NULL), 0);
	assert_int_equal(v, 32);
	/* The one of the requests without PASID, and the last. */
	viommu_domain_free(a.vm[0].dom);
	assert_int_equal(fault_of(&a, VIOMMU_NO_PASID, 0x9000, NULL), VTD_FR_PE_NP);
	assert_int_equal(read_as(&a, 2, 0x9000, &v), 0);
	viommu_domain_free(a.vm[2].dom);
	assert_int_equal(fault_of(&a, a.vm[2].pasid, 0x9000, NULL), VTD_FR_PE_NP);
	assert_int_equal(fault_of(&a, hp.v, 0x9000, NULL), VTD_FR_PE_NP);
	/*
	 * New ones begin where the old ones were, with the same ids and nothing of the old caches.
	 */
	for (i = 0; i < VMS; i++) {
		unsigned int j = VMS - 1 - i;

		assert_int_equal(domain_new(&a, j), 0);
		assert_int_equal(bind_vm(&a, j), 0);
	}
	for (i = 0; i < VMS; i++) {
		assert_int_equal(read_as(&a, i, 0x9000, &v), 0);
		assert_int_equal(v, 30 + i);
	}
	aux_close(&a);
}

static void memory_that_goes_is_missed_by_its_domain_alone(void **state)
{
	unsigned int i, by;
	struct aux a;
	uint64_t v;

	(void)state;
	aux_open(&a);
	for (by = 0; by < VMS; by++) {
		for (i = 0; i < VMS; i++) {
			*word(&a, i, 0xa000) = 40 + i;
			assert_int_equal(read_as(&a, i, 0xa000, &v), 0);
		}
		assert_int_equal(viommu_mem_remove(a.vm[by].mem, 0, BYTES), 0);
		for (i = 0; i < VMS; i++) {
			assert_int_equal(fault_of(&a, a.vm[i].pasid, 0xa000, NULL),
					 i == by ? VTD_FR_SSS_NP : 0);
			assert_int_equal(write_as(&a, i, 0xb000, 50 + i),
					 i == by ? VIOMMU_FAULTED : 0);
		}
		assert_int_equal(*word(&a, by, 0xb000), 0);
		/* It comes back without a new bind. */
		assert_int_equal(viommu_mem_add_fd(a.vm[by].mem, 0, BYTES, a.vm[by].ram.fd, 0, 0),
				 0);
		assert_int_equal(read_as(&a, by, 0xa000, &v), 0);
		assert_int_equal(v, 40 + by);
		for (i = 0; i < VMS; i++)
			*word(&a, i, 0xb000) = 0;
	}
	aux_close(&a);
}

static void a_device_that_goes_leaves_every_domain(void **state)
{
	unsigned int i;
	struct aux a;

	(void)state;
	aux_open(&a);
	assert_int_equal(viommu_device_unbind_all(a.dev), 0);
	for (i = 0; i < VMS; i++)
		assert_int_equal(fault_of(&a, a.vm[i].pasid, 0, NULL), VTD_FR_PE_NP);
	for (i = 1; i < VMS; i++) {
		struct viommu_hp hp = { a.vm[i].pasid };

		assert_int_equal(viommu_pasid_free(viommu_domain_owner(a.vm[i].dom), hp), 0);
	}
	for (i = 0; i < VMS; i++)
		assert_int_equal(bind_vm(&a, i), 0);
	assert_int_equal(viommu_device_unplug(a.dev), 0);
	for (i = 1; i < VMS; i++) {
		struct viommu_hp hp = { a.vm[i].pasid };

		assert_int_equal(viommu_pasid_free(viommu_domain_owner(a.vm[i].dom), hp), 0);
	}
	aux_close(&a);
}

/* ---- While DMA runs ---- */

struct racer {
	struct aux *a;
	uint32_t pasid[VMS];
	uint64_t good[VMS];
	uint64_t faulted[VMS];
	uint64_t wrong; /* bytes of another VM */
	int stop;
};

static void *racer_run(void *arg)
{
	struct racer *r = arg;
	struct viommu_dma *dma;
	unsigned int i;

	if (viommu_dma_new(r->a->host, &dma))
		return arg;
	do {
		for (i = 0; i < VMS; i++) {
			uint64_t v = 0;
			int ret = viommu_dma_read(dma, r->a->dev, load_acquire(&r->pasid[i]),
						  0xc000, &v, 8, 0, NULL);

			r->good[i] += ret == 0;
			r->faulted[i] += ret == VIOMMU_FAULTED;
			r->wrong += (ret != 0 && ret != VIOMMU_FAULTED) || (!ret && v != 60 + i);
		}
	} while (!load_acquire(&r->stop));
	viommu_dma_free(dma);
	return NULL;
}

static void domains_come_and_go_beside_dma(void **state)
{
	struct racer r = { 0 };
	unsigned int i, n;
	pthread_t thread;
	struct aux a;
	void *ret;

	(void)state;
	aux_open(&a);
	r.a = &a;
	for (i = 0; i < VMS; i++) {
		*word(&a, i, 0xc000) = 60 + i;
		r.pasid[i] = a.vm[i].pasid;
	}
	assert_int_equal(pthread_create(&thread, NULL, racer_run, &r), 0);
	for (n = 0; n < test_scale(200); n++) {
		switch (n % 4) {
		case 0: /* the same PASID again: the lowest free one */
			viommu_domain_free(a.vm[1].dom);
			assert_int_equal(domain_new(&a, 1), 0);
			assert_int_equal(bind_vm(&a, 1), 0);
			assert_int_equal(a.vm[1].pasid, r.pasid[1]);
			break;
		case 1:
			assert_int_equal(viommu_mem_remove(a.vm[2].mem, 0, BYTES), 0);
			assert_int_equal(
				viommu_mem_add_fd(a.vm[2].mem, 0, BYTES, a.vm[2].ram.fd, 0, 0), 0);
			break;
		case 2:
			assert_int_equal(viommu_device_detach(a.dev), 0);
			assert_int_equal(bind_vm(&a, 0), 0);
			break;
		default:
			assert_int_equal(
				viommu_host_unbind(a.dev, (struct viommu_hp){ a.vm[2].pasid }), 0);
			assert_int_equal(viommu_host_bind(a.dev, a.vm[2].dom,
							  (struct viommu_hp){ a.vm[2].pasid },
							  &second_stage),
					 0);
		}
	}
	store_release(&r.stop, 1);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_null(ret);
	assert_int_equal(r.wrong, 0);
	for (i = 0; i < VMS; i++)
		assert_true(r.good[i] + r.faulted[i] > 0);
	/* At rest everything is where it was. */
	for (i = 0; i < VMS; i++)
		assert_int_equal(fault_of(&a, a.vm[i].pasid, 0xc000, NULL), 0);
	aux_close(&a);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_pasid_entries_name_the_second_stages_alone),
	cmocka_unit_test(each_pasid_reaches_the_memory_of_its_domain),
	cmocka_unit_test(what_is_no_memory_of_the_domain_faults),
	cmocka_unit_test(a_bind_needs_the_pasid_of_its_domain),
	cmocka_unit_test(a_domain_serves_several_pasids_and_devices),
	cmocka_unit_test(a_host_without_nesting_has_second_stages_for_pasids),
	cmocka_unit_test(one_domain_is_invalidated_and_the_others_stay),
	cmocka_unit_test(a_device_tlb_forgets_what_leaves_a_domain),
	cmocka_unit_test(read_only_memory_of_a_domain_is_not_written),
	cmocka_unit_test(dirty_bits_are_kept_in_the_domain_that_wants_them),
	cmocka_unit_test(every_kind_of_write_sets_the_dirty_bit),
	cmocka_unit_test(a_domain_that_ends_takes_its_binds_along),
	cmocka_unit_test(memory_that_goes_is_missed_by_its_domain_alone),
	cmocka_unit_test(a_device_that_goes_leaves_every_domain),
	cmocka_unit_test(domains_come_and_go_beside_dma),
};
TEST_MAIN(tests)
