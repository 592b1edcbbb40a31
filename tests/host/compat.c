/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The historical guest-PASID interface, row by row of the table in viommu/gpasid.h: ROW() names the
 * row and the errno that stands there (gpasid_rows.py compares both). What both forms have is run
 * in both.
 */
#include "base/alloc.h"
#include "host/world.h"

#define ROW(id, err, call) row_is(id, err, call, __FILE__, __LINE__)

static void row_is(const char *id, int err, int got, const char *file, int line)
{
	if (got == -err)
		return;
	print_error("%s: returned %d, not %d\n", id, got, -err);
	_fail(file, line);
}

enum form {
	ARGSZ,
	V55,
};

#define FOR_FORMS(form) for (enum form form = ARGSZ; form <= V55; form++)

/* ---- The small VM of these tests ---- */

struct vm {
	struct world w;
	struct viommu_page_request req; /* the last that came up */
	unsigned int requests;
};

static void page_request(void *ctx, struct viommu_device *dev,
			 const struct viommu_page_request *req)
{
	struct vm *vm = ctx;

	(void)dev;
	vm->req = *req;
	vm->requests++;
}

#define PRI_DEVICE (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)

static void vm_open_as(struct vm *vm, struct world_config c)
{
	memset(vm, 0, sizeof(*vm));
	c.ops.ctx = vm;
	c.ops.page_request = page_request;
	world_open(&vm->w, &c);
	world_map(&vm->w, WORLD_VA, TABLES_RWU);
}

static void vm_open(struct vm *vm)
{
	vm_open_as(vm, (struct world_config){ .device_flags = PRI_DEVICE });
}

static void vm_close(struct vm *vm)
{
	world_close(&vm->w);
}

/* An access of one word at va, without waiting for pages. */
static int dma(struct vm *vm, struct viommu_device *dev, uint32_t pasid, uint64_t va)
{
	uint32_t v;

	return viommu_dma_read(vm->w.dma, dev, pasid, va, &v, 4, VIOMMU_DMA_NO_WAIT, NULL);
}

static struct viommu_device *second_device(struct vm *vm, uint32_t flags)
{
	struct viommu_device *dev;

	assert_int_equal(viommu_device_new(vm->w.host,
					   &(struct viommu_device_config){
						   .size = sizeof(struct viommu_device_config),
						   .sid = 0x30,
						   .flags = flags },
					   &dev),
			 0);
	return dev;
}

static struct viommu_domain *second_domain(struct vm *vm)
{
	struct viommu_domain *dom;

	assert_int_equal(viommu_domain_new(vm->w.host, vm->w.mem, NULL, &dom), 0);
	return dom;
}

/* A host that has nothing to do with the VM, and a device of it. */
static struct viommu_host *other_host(struct viommu_device **dev)
{
	struct viommu_host *host;

	assert_int_equal(viommu_host_new(NULL, &host), 0);
	assert_int_equal(viommu_device_new(host,
					   &(struct viommu_device_config){
						   .size = sizeof(struct viommu_device_config),
						   .sid = WORLD_SID,
						   .flags = PRI_DEVICE },
					   dev),
			 0);
	return host;
}

static int entry(struct vm *vm, struct viommu_device *dev)
{
	uint64_t pe[8];

	return viommu_host_pasid_entry(dev, vm->w.hp, pe);
}

/* ---- The calls in either form ---- */

static struct viommu_gpasid_bind_data bind_data(struct vm *vm)
{
	return (struct viommu_gpasid_bind_data){
		.argsz = sizeof(struct viommu_gpasid_bind_data),
		.version = 1,
		.format = VIOMMU_GPASID_FORMAT_VTD,
		.addr_width = vm->w.fs.levels == 5 ? 57 : 48,
		.flags = VIOMMU_GPASID_DATA_VALID,
		.gpgd = tables_root(&vm->w.fs),
		.hpasid = vm->w.hp.v,
		.gpasid = 5,
	};
}

static struct viommu_gpasid_bind_data_v55 bind_v55(const struct viommu_gpasid_bind_data *d)
{
	struct viommu_gpasid_bind_data_v55 old = {
		.version = d->version,
		.format = d->format,
		.flags = d->flags,
		.gpgd = d->gpgd,
		.hpasid = d->hpasid,
		.gpasid = d->gpasid,
		.addr_width = d->addr_width,
		.vtd = d->vtd,
	};

	memcpy(old.padding, d->padding, sizeof(d->padding));
	return old;
}

static int bind_on(struct viommu_domain *dom, struct viommu_device *dev, enum form form,
		   const struct viommu_gpasid_bind_data *d)
{
	struct viommu_gpasid_bind_data_v55 old = bind_v55(d);

	return form == ARGSZ ? viommu_gpasid_bind(dom, dev, d, sizeof(*d))
			     : viommu_gpasid_bind_v55(dom, dev, &old, sizeof(old));
}

static int bind(struct vm *vm, enum form form, const struct viommu_gpasid_bind_data *d)
{
	return bind_on(vm->w.dom, vm->w.dev, form, d);
}

static int unbind_on(struct viommu_domain *dom, struct viommu_device *dev, enum form form,
		     const struct viommu_gpasid_bind_data *d)
{
	struct viommu_gpasid_bind_data_v55 old = bind_v55(d);

	return form == ARGSZ ? viommu_gpasid_unbind(dom, dev, d, sizeof(*d))
			     : viommu_gpasid_unbind_v55(dom, dev, &old, sizeof(old));
}

static int unbind(struct vm *vm, enum form form, const struct viommu_gpasid_bind_data *d)
{
	return unbind_on(vm->w.dom, vm->w.dev, form, d);
}

static void bind_now(struct vm *vm)
{
	struct viommu_gpasid_bind_data d = bind_data(vm);

	assert_int_equal(bind(vm, ARGSZ, &d), 0);
}

static struct viommu_gpasid_inv_info inv_pasid(struct vm *vm)
{
	return (struct viommu_gpasid_inv_info){
		.argsz = sizeof(struct viommu_gpasid_inv_info),
		.version = 1,
		.cache = VIOMMU_GPASID_CACHE_IOTLB,
		.granularity = VIOMMU_GPASID_GRANU_PASID,
		.granu.pasid = { .flags = VIOMMU_GPASID_INV_PASID, .pasid = vm->w.hp.v },
	};
}

static struct viommu_gpasid_inv_info inv_addr(struct vm *vm)
{
	return (struct viommu_gpasid_inv_info){
		.argsz = sizeof(struct viommu_gpasid_inv_info),
		.version = 1,
		.cache = VIOMMU_GPASID_CACHE_IOTLB,
		.granularity = VIOMMU_GPASID_GRANU_ADDR,
		.granu.addr = { .flags = VIOMMU_GPASID_INV_PASID | VIOMMU_GPASID_INV_LEAF,
				.pasid = vm->w.hp.v,
				.addr = WORLD_VA,
				.granule_size = 4096,
				.nb_granules = 1 },
	};
}

static int inv_on(struct viommu_domain *dom, struct viommu_device *dev, enum form form,
		  const struct viommu_gpasid_inv_info *d)
{
	struct viommu_gpasid_inv_info_v55 old = { .version = d->version,
						  .cache = d->cache,
						  .granularity = d->granularity };

	memcpy(old.padding, d->padding, sizeof(old.padding));
	memcpy(&old.granu, &d->granu, sizeof(old.granu));
	return form == ARGSZ ? viommu_gpasid_invalidate(dom, dev, d, sizeof(*d))
			     : viommu_gpasid_invalidate_v55(dom, dev, &old, sizeof(old));
}

static int inv(struct vm *vm, enum form form, const struct viommu_gpasid_inv_info *d)
{
	return inv_on(vm->w.dom, vm->w.dev, form, d);
}

/* The answer to the page request that came last. */
static struct viommu_gpasid_response response(struct vm *vm)
{
	return (struct viommu_gpasid_response){
		.argsz = sizeof(struct viommu_gpasid_response),
		.version = 1,
		.flags = vm->req.flags & VIOMMU_PAGE_REQUEST_PASID ? VIOMMU_GPASID_RESP_PASID : 0,
		.pasid = vm->req.pasid,
		.grpid = vm->req.prgi,
		.code = VIOMMU_GPASID_RESP_SUCCESS,
	};
}

static int respond_on(struct viommu_domain *dom, struct viommu_device *dev, enum form form,
		      const struct viommu_gpasid_response *d)
{
	struct viommu_gpasid_response_v55 old = { d->version, d->flags, d->pasid, d->grpid,
						  d->code };

	return form == ARGSZ ? viommu_gpasid_page_response(dom, dev, d, sizeof(*d))
			     : viommu_gpasid_page_response_v55(dom, dev, &old, sizeof(old));
}

static int respond(struct vm *vm, enum form form, const struct viommu_gpasid_response *d)
{
	return respond_on(vm->w.dom, vm->w.dev, form, d);
}

/* Open a request for the page at va. */
static void ask(struct vm *vm, uint32_t pasid, uint64_t va)
{
	unsigned int before = vm->requests;

	assert_int_equal(dma(vm, vm->w.dev, pasid, va), -EAGAIN);
	assert_int_equal(vm->requests, before + 1);
}

#define MISSING (WORLD_VA + 0x5000)

/* ---- Bind: what the core checked ---- */

static void bind_reads_no_more_than_it_may(void **state)
{
	struct viommu_gpasid_bind_data_v55 old;
	struct viommu_gpasid_bind_data d;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	dom = vm.w.dom;
	dev = vm.w.dev;
	d = bind_data(&vm);
	old = bind_v55(&d);
	ROW("GP-BIND-02", EFAULT, viommu_gpasid_bind(dom, dev, NULL, sizeof(d)));
	ROW("GP-BIND-02", EFAULT, viommu_gpasid_bind(dom, dev, &d, 0));
	ROW("GP-BIND-02", EFAULT, viommu_gpasid_bind(dom, dev, &d, 55));
	ROW("GP-BIND-02", EFAULT, viommu_gpasid_bind_v55(dom, dev, NULL, sizeof(old)));
	ROW("GP-BIND-04", EFAULT, viommu_gpasid_bind_v55(dom, dev, &old, sizeof(old) - 1));
	/* The copy comes before every look at what was copied. */
	d.version = 9;
	ROW("GP-BIND-04", EFAULT, viommu_gpasid_bind(dom, dev, &d, 56));
	ROW("GP-BIND-04", EFAULT, viommu_gpasid_bind(dom, dev, &d, 71));
	d.version = 1;
	d.argsz = 55;
	ROW("GP-BIND-03", EINVAL, viommu_gpasid_bind(dom, dev, &d, sizeof(d)));
	d.argsz = 0;
	ROW("GP-BIND-03", EINVAL, viommu_gpasid_bind(dom, dev, &d, sizeof(d)));
	/* The core takes 56 to 71, the driver does not. */
	for (d.argsz = 56; d.argsz < 72; d.argsz++) {
		ROW("GP-BIND-06", EINVAL, viommu_gpasid_bind(dom, dev, &d, d.argsz));
		ROW("GP-VTB-03", EINVAL, viommu_gpasid_bind(dom, dev, &d, sizeof(d)));
		ROW("GP-BIND-06", 0, viommu_gpasid_unbind(dom, dev, &d, d.argsz));
	}
	assert_int_equal(entry(&vm, dev), -ENOENT);
	/* A longer structure than ours: only what we know has to be there. */
	d.argsz = 4096;
	ROW("GP-BIND-05", 0, viommu_gpasid_bind(dom, dev, &d, sizeof(d)));
	assert_int_equal(entry(&vm, dev), 0);
	ROW("GP-BIND-05", 0, viommu_gpasid_unbind(dom, dev, &d, sizeof(d)));
	d.argsz = UINT32_MAX;
	ROW("GP-BIND-05", 0, viommu_gpasid_bind(dom, dev, &d, SIZE_MAX));
	vm_close(&vm);
}

static void bind_and_unbind_check_the_head_alike(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct vm vm;
	unsigned int i;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		for (i = 0; i < 4; i++) {
			d = bind_data(&vm);
			d.version = (uint32_t[]){ 0, 2, 0x100, UINT32_MAX }[i];
			ROW("GP-BIND-07", EINVAL, bind(&vm, form, &d));
			ROW("GP-UNB-02", EINVAL, unbind(&vm, form, &d));
			d = bind_data(&vm);
			d.format = (uint32_t[]){ 2, 3, 0x101, UINT32_MAX }[i];
			ROW("GP-BIND-08", EINVAL, bind(&vm, form, &d));
			ROW("GP-UNB-02", EINVAL, unbind(&vm, form, &d));
		}
		for (i = 1; i < 64; i++) {
			d = bind_data(&vm);
			d.flags |= UINT64_C(1) << i;
			ROW("GP-BIND-09", EINVAL, bind(&vm, form, &d));
			ROW("GP-UNB-02", EINVAL, unbind(&vm, form, &d));
		}
		for (i = 0; i < sizeof(d.padding); i++) {
			d = bind_data(&vm);
			d.padding[i] = 0x80;
			ROW("GP-BIND-10", EINVAL, bind(&vm, form, &d));
			ROW("GP-UNB-02", EINVAL, unbind(&vm, form, &d));
		}
		d = bind_data(&vm);
		d.format = 0;
		ROW("GP-BIND-11", EINVAL, bind(&vm, form, &d));
		ROW("GP-VTB-02", EINVAL, bind(&vm, form, &d));
		ROW("GP-BIND-11", 0, unbind(&vm, form, &d));
	}
	assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
	vm_close(&vm);
}

static void the_oldest_padding_is_checked_to_its_end(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_gpasid_bind_data_v55 old;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	d = bind_data(&vm);
	for (i = 0; i < sizeof(old.padding); i++) {
		old = bind_v55(&d);
		old.padding[i] = 1;
		ROW("GP-BIND-10", EINVAL,
		    viommu_gpasid_bind_v55(vm.w.dom, vm.w.dev, &old, sizeof(old)));
	}
	vm_close(&vm);
}

static void unbind_reads_and_uses_the_pasid_alone(void **state)
{
	struct viommu_gpasid_bind_data d, u;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		/* Nothing but the PASID is like it was. */
		u = d;
		u.addr_width = 1;
		u.gpgd = 0xfff;
		u.gpasid = UINT64_MAX;
		u.vtd.flags = UINT64_MAX;
		u.hpasid = UINT64_C(0x100000000) | vm.w.hp.v;
		ROW("GP-UNB-03", EINVAL, unbind(&vm, form, &u));
		assert_int_equal(entry(&vm, vm.w.dev), 0);
		u.hpasid = vm.w.hp.v;
		assert_int_equal(unbind(&vm, form, &u), 0);
		assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
	}
	ROW("GP-UNB-02", EFAULT, viommu_gpasid_unbind(vm.w.dom, vm.w.dev, &d, 55));
	ROW("GP-UNB-02", EFAULT, viommu_gpasid_unbind(vm.w.dom, vm.w.dev, &d, 71));
	ROW("GP-UNB-02", EFAULT, viommu_gpasid_unbind_v55(vm.w.dom, vm.w.dev, &d, 71));
	/* By number. */
	bind_now(&vm);
	ROW("GP-UNB-05", 0, viommu_host_unbind_gpasid(vm.w.dev, vm.w.hp));
	assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
	vm_close(&vm);
}

/* ---- Bind: what the VT-d driver checked ---- */

static void bind_wants_a_domain_and_a_device(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_device *foreign;
	struct viommu_host *host;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	host = other_host(&foreign);
	d = bind_data(&vm);
	FOR_FORMS(form)
	{
		ROW("GP-VTB-01", EINVAL, bind_on(NULL, vm.w.dev, form, &d));
		ROW("GP-VTB-01", EINVAL, bind_on(vm.w.dom, NULL, form, &d));
		ROW("GP-VTB-01", EINVAL, unbind_on(NULL, vm.w.dev, form, &d));
		ROW("GP-VTB-01", EINVAL, unbind_on(vm.w.dom, NULL, form, &d));
		ROW("GP-VTB-08", EINVAL, bind_on(vm.w.dom, foreign, form, &d));
		ROW("GP-VTB-08", EINVAL, unbind_on(vm.w.dom, foreign, form, &d));
	}
	viommu_device_unplug(vm.w.dev);
	FOR_FORMS(form)
	{
		ROW("GP-VTB-08", ENODEV, bind(&vm, form, &d));
		assert_int_equal(unbind(&vm, form, &d), 0);
	}
	viommu_host_free(host);
	vm_close(&vm);
}

static void bind_refuses_bad_pasids(void **state)
{
	struct viommu_device *plain;
	struct viommu_gpasid_bind_data d;
	struct viommu_domain *other;
	struct viommu_hp hp;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	plain = second_device(&vm, 0);
	other = second_domain(&vm);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(other), 300, 300, &hp), 0);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		ROW("GP-VTB-05", ENOTSUP, bind_on(vm.w.dom, plain, form, &d));
		d.hpasid = 0;
		ROW("GP-VTB-07", EINVAL, bind(&vm, form, &d));
		ROW("GP-VTU-01", EINVAL, unbind(&vm, form, &d));
		d.hpasid = VIOMMU_PASID_MAX + 1;
		ROW("GP-VTB-07", EINVAL, bind(&vm, form, &d));
		ROW("GP-VTU-01", EINVAL, unbind(&vm, form, &d));
		d.hpasid = UINT64_C(0x100000000) | vm.w.hp.v;
		ROW("GP-VTB-07", EINVAL, bind(&vm, form, &d));
		d.hpasid = VIOMMU_PASID_MAX;
		ROW("GP-VTB-09", ENOENT, bind(&vm, form, &d));
		d.hpasid = 300;
		ROW("GP-VTB-09", EPERM, bind(&vm, form, &d));
		assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
	}
	vm_close(&vm);
	vm_open_as(&vm, (struct world_config){ .ecap_clear = VTD_VAL(VTD_ECAP_PSS, 1) });
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		ROW("GP-VTB-06", EINVAL, bind(&vm, form, &d));
	}
	vm_close(&vm);
}

static void a_pasid_is_bound_once_on_a_device(void **state)
{
	struct viommu_bind second_stage = { .size = sizeof(second_stage),
					    .kind = VIOMMU_BIND_NESTED };
	struct viommu_gpasid_bind_data d;
	struct viommu_device *dev;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	dev = second_device(&vm, VIOMMU_DEVICE_PASID);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		ROW("GP-VTB-10", EBUSY, bind(&vm, form, &d));
		/* It comes before the checks of the tables. */
		d.gpgd = 1;
		d.addr_width = 0;
		ROW("GP-VTB-10", EBUSY, bind(&vm, form, &d));
		/* A table for each device. */
		d = bind_data(&vm);
		ROW("GP-VTB-26", 0, bind_on(vm.w.dom, dev, form, &d));
		assert_int_equal(dma(&vm, dev, vm.w.hp.v, WORLD_VA), 0);
		assert_int_equal(unbind(&vm, form, &d), 0);
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), VIOMMU_FAULTED);
		assert_int_equal(dma(&vm, dev, vm.w.hp.v, WORLD_VA), 0);
		assert_int_equal(unbind_on(vm.w.dom, dev, form, &d), 0);
		assert_int_equal(viommu_host_bind(vm.w.dev, vm.w.dom, vm.w.hp, &second_stage), 0);
		ROW("GP-VTB-16", EBUSY, bind(&vm, form, &d));
		assert_int_equal(viommu_host_unbind(vm.w.dev, vm.w.hp), 0);
	}
	vm_close(&vm);
}

static void bind_refuses_what_the_host_lacks(void **state)
{
	static const uint64_t wpe_sre = VIOMMU_GPASID_VTD_WPE | VIOMMU_GPASID_VTD_SRE;
	struct viommu_gpasid_bind_data d;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		for (i = form == V55 ? 6 : 7; i < 64; i++) {
			d.vtd.flags = UINT64_C(1) << i;
			ROW("GP-VTB-04", EINVAL, bind(&vm, form, &d));
		}
		for (i = 2; i < 6; i++) {
			d.vtd.flags = UINT64_C(1) << i;
			ROW("GP-VTB-22", EINVAL, bind(&vm, form, &d));
		}
		d.vtd.flags = VIOMMU_GPASID_VTD_WPE;
		ROW("GP-VTB-20", EINVAL, bind(&vm, form, &d));
		d.vtd.flags = VIOMMU_GPASID_VTD_SRE | VIOMMU_GPASID_VTD_EAFE;
		d.vtd.pat = 0x12345678; /* not looked at */
		d.vtd.emt = 7;
		assert_int_equal(bind(&vm, form, &d), 0);
		assert_int_equal(unbind(&vm, form, &d), 0);
	}
	d = bind_data(&vm);
	d.vtd.flags = wpe_sre;
	ROW("GP-VTB-04", EINVAL, bind(&vm, V55, &d));
	assert_int_equal(bind(&vm, ARGSZ, &d), 0);
	vm_close(&vm);

	vm_open_as(&vm, (struct world_config){ .ecap_clear = VTD_MASK(VTD_ECAP_SRS) |
							     VTD_MASK(VTD_ECAP_EAFS) });
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		d.vtd.flags = VIOMMU_GPASID_VTD_SRE;
		ROW("GP-VTB-19", EINVAL, bind(&vm, form, &d));
		d.vtd.flags = VIOMMU_GPASID_VTD_EAFE;
		ROW("GP-VTB-21", EINVAL, bind(&vm, form, &d));
	}
	vm_close(&vm);

	vm_open_as(&vm, (struct world_config){ .ecap_clear = VTD_MASK(VTD_ECAP_NEST) });
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		ROW("GP-VTB-13", EINVAL, bind(&vm, form, &d));
	}
	vm_close(&vm);

	vm_open_as(&vm, (struct world_config){ .domain_flags = VIOMMU_DOMAIN_NO_NEST });
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		ROW("GP-VTB-14", EINVAL, bind(&vm, form, &d));
	}
	vm_close(&vm);
}

static void bind_refuses_bad_tables(void **state)
{
	struct viommu_gpasid_bind_data d;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		for (i = 0; i < 6; i++) {
			d = bind_data(&vm);
			d.addr_width = (uint32_t[]){ 0, 39, 47, 49, 58, UINT32_MAX }[i];
			ROW("GP-VTB-17", EINVAL, bind(&vm, form, &d));
		}
		/* The second stage has four levels. */
		d = bind_data(&vm);
		d.gpgd = UINT64_C(1) << 48;
		ROW("GP-VTB-18", EINVAL, bind(&vm, form, &d));
		d.gpgd = UINT64_C(1) << 63;
		ROW("GP-VTB-18", EINVAL, bind(&vm, form, &d));
		d.gpgd = (UINT64_C(1) << 48) - 4096;
		assert_int_equal(bind(&vm, form, &d), 0);
		assert_int_equal(unbind(&vm, form, &d), 0);
		for (i = 0; i < 12; i++) {
			d = bind_data(&vm);
			d.gpgd |= UINT64_C(1) << i;
			ROW("GP-VTB-27", EINVAL, bind(&vm, form, &d));
		}
	}
	assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
	vm_close(&vm);

	vm_open_as(&vm,
		   (struct world_config){ .fs_levels = 5, .cap_clear = VTD_MASK(VTD_CAP_FS5LP) });
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		ROW("GP-VTB-17", EINVAL, bind(&vm, form, &d));
	}
	vm_close(&vm);

	vm_open_as(&vm, (struct world_config){ .fs_levels = 5 });
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), 0);
		assert_int_equal(unbind(&vm, form, &d), 0);
	}
	vm_close(&vm);
}

static void a_domain_deeper_than_the_host_is_not_made(void **state)
{
	struct viommu_domain_config c = { .size = sizeof(c), .levels = 5 };
	struct viommu_domain *dom;
	struct vm vm;

	(void)state;
	/* SAGAW bit 3 is five levels. */
	vm_open_as(&vm, (struct world_config){ .cap_clear = VTD_VAL(VTD_CAP_SAGAW, 8) });
	ROW("GP-VTB-23", EINVAL, viommu_domain_new(vm.w.host, vm.w.mem, &c, &dom));
	assert_null(dom);
	vm_close(&vm);
}

static void bind_without_memory_changes_nothing(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_gp gp;
	unsigned int i, n;
	struct vm vm;
	int err;

	(void)state;
	FOR_FORMS(form)
	{
		for (n = 1;; n++) {
			vm_open(&vm);
			/* Take table pages until the next one has to come from the allocator. */
			for (i = 0; i < 64; i++)
				assert_int_equal(
					viommu_pasid_reserve(viommu_domain_owner(vm.w.dom),
							     (struct viommu_hp){ 0x1000 + 64 * i }),
					0);
			d = bind_data(&vm);
			for (i = 0; i < 64; i++) {
				d.hpasid = 0x1000 + 64 * i;
				d.gpasid = d.hpasid;
				viommu__alloc_fail_nth((long)n);
				err = bind(&vm, form, &d);
				viommu__alloc_fail_nth(0);
				if (err)
					break;
			}
			if (!err) {
				vm_close(&vm);
				break;
			}
			ROW("GP-VTB-11", ENOMEM, err);
			ROW("GP-VTB-15", ENOMEM, err);
			vm.w.hp.v = (uint32_t)d.hpasid;
			assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
			assert_int_equal(viommu_pasid_to_guest(viommu_domain_owner(vm.w.dom),
							       vm.w.hp, &gp),
					 -ENOENT);
			assert_int_equal(bind(&vm, form, &d), 0);
			assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), 0);
			vm_close(&vm);
		}
		assert_true(n > 2);
	}
}

static void the_entry_holds_what_was_bound(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_stage ss;
	uint64_t pe[8];
	uint16_t did;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	viommu_domain_stage(vm.w.dom, &ss, &did);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		d.vtd.flags = VIOMMU_GPASID_VTD_SRE | (form ? 0 : VIOMMU_GPASID_VTD_WPE);
		assert_int_equal(bind(&vm, form, &d), 0);
		ROW("GP-VTB-24", 0, viommu_host_pasid_entry(vm.w.dev, vm.w.hp, pe));
		assert_int_equal(VTD_GET(pe, VTD_PE_P), 1);
		assert_int_equal(VTD_GET(pe, VTD_PE_FPD), 0);
		assert_int_equal(VTD_GET(pe, VTD_PE_PGTT), VTD_PGTT_NESTED);
		assert_int_equal(VTD_GET(pe, VTD_PE_SSPTPTR), ss.root >> 12);
		assert_int_equal(VTD_GET(pe, VTD_PE_AW), 2);
		assert_int_equal(VTD_GET(pe, VTD_PE_DID), did);
		assert_int_equal(VTD_GET(pe, VTD_PE_PWSNP), 1);
		assert_int_equal(VTD_GET(pe, VTD_PE_FSPTPTR), d.gpgd >> 12);
		assert_int_equal(VTD_GET(pe, VTD_PE_FSPM), 0);
		assert_int_equal(VTD_GET(pe, VTD_PE_SRE), 1);
		assert_int_equal(VTD_GET(pe, VTD_PE_WPE), form ? 0 : 1);
		assert_int_equal(VTD_GET(pe, VTD_PE_EAFE), 0);
		assert_int_equal(unbind(&vm, form, &d), 0);
	}
	vm_close(&vm);
}

static void bind_is_seen_by_the_next_access(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		/* Absence is not cached. */
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), VIOMMU_FAULTED);
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		ROW("GP-VTB-25", 0, dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA));
		assert_int_equal(unbind(&vm, form, &d), 0);
	}
	vm_close(&vm);
}

static void the_guest_number_is_kept_if_it_is_valid(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_owner *owner;
	struct viommu_hp hp2;
	struct viommu_gp gp;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	owner = viommu_domain_owner(vm.w.dom);
	assert_int_equal(viommu_pasid_alloc(owner, 101, 200, &hp2), 0);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		assert_int_equal(viommu_pasid_to_guest(owner, vm.w.hp, &gp), 0);
		assert_int_equal(gp.v, 5);
		d.hpasid = hp2.v;
		ROW("GP-VTB-31", EEXIST, bind(&vm, form, &d));
		d = bind_data(&vm);
		assert_int_equal(unbind(&vm, form, &d), 0);
		assert_int_equal(viommu_pasid_to_guest(owner, vm.w.hp, &gp), -ENOENT);

		d.gpasid = VIOMMU_PASID_MAX + 1;
		ROW("GP-VTB-29", EINVAL, bind(&vm, form, &d));
		d.gpasid = UINT64_C(0x100000005);
		ROW("GP-VTB-29", EINVAL, bind(&vm, form, &d));
		d.flags = 0;
		ROW("GP-VTB-28", 0, bind(&vm, form, &d));
		assert_int_equal(viommu_pasid_to_guest(owner, vm.w.hp, &gp), -ENOENT);
		assert_int_equal(unbind(&vm, form, &d), 0);
	}
	vm_close(&vm);
}

/* ---- Unbind ---- */

static void unbind_ends_everything_but_the_allocation(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		ROW("GP-VTU-02", 0, unbind(&vm, form, &d));
		d.hpasid = 0xabcde; /* nobody ever had it */
		ROW("GP-VTU-02", 0, unbind(&vm, form, &d));

		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), 0);
		ask(&vm, vm.w.hp.v, MISSING);
		assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
		assert_int_equal(viommu_pasid_free(viommu_domain_owner(vm.w.dom), vm.w.hp), -EBUSY);
		ROW("GP-VTU-06", 0, unbind(&vm, form, &d));
		assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
		assert_int_equal(entry(&vm, vm.w.dev), -ENOENT);
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), VIOMMU_FAULTED);
		assert_int_equal(vm.w.fault.reason, VTD_FR_PE_NP);
	}
	ROW("GP-VTU-07", 0, viommu_pasid_free(viommu_domain_owner(vm.w.dom), vm.w.hp));
	vm_close(&vm);
}

static void unbind_clears_the_whole_entry(void **state)
{
	struct viommu_gpasid_bind_data d;
	const uint64_t *root, *context, *dir, *pe;
	struct viommu_unit unit;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	/* The host's tables as hardware would read them; their addresses are this process's. */
	viommu_host_unit(vm.w.host, &unit);
	root = (const uint64_t *)(uintptr_t)(unit.rtaddr & ~UINT64_C(0xfff));
	context = (const uint64_t *)(uintptr_t)(root[0] & ~UINT64_C(0xfff));
	dir = (const uint64_t *)(uintptr_t)(context[WORLD_SID * 4] & ~UINT64_C(0xfff));
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		pe = (const uint64_t *)(uintptr_t)(dir[vm.w.hp.v >> 6] & ~UINT64_C(0xfff));
		pe += (vm.w.hp.v & 63) * 8;
		assert_true(pe[0] & 1);
		ROW("GP-VTU-03", 0, unbind(&vm, form, &d));
		for (i = 0; i < 8; i++)
			assert_int_equal(pe[i], 0);
	}
	vm_close(&vm);
}

static void unbind_flushes_every_cache(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_devtlb *tlb;
	struct viommu_dma_result res;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open(&vm);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 16, &tlb), 0);
	FOR_FORMS(form)
	{
		d = bind_data(&vm);
		assert_int_equal(bind(&vm, form, &d), 0);
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), 0);
		assert_int_equal(
			viommu_devtlb_read(tlb, vm.w.dma, vm.w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
		ROW("GP-VTU-04", 0, unbind(&vm, form, &d));
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), VIOMMU_FAULTED);
		assert_int_equal(viommu_devtlb_read(tlb, vm.w.dma, vm.w.hp.v, WORLD_VA, &v, 4,
						    VIOMMU_DMA_NO_WAIT, &res),
				 VIOMMU_FAULTED);
	}
	viommu_devtlb_free(tlb);
	vm_close(&vm);
}

static void unbind_leaves_another_vms_pasid_alone(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_domain *other;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	other = second_domain(&vm);
	bind_now(&vm);
	d = bind_data(&vm);
	FOR_FORMS(form)
	{
		ROW("GP-VTU-08", EPERM, unbind_on(other, vm.w.dev, form, &d));
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, WORLD_VA), 0);
	}
	vm_close(&vm);
}

/* ---- Invalidation ---- */

static void invalidate_reads_no_more_than_it_may(void **state)
{
	struct viommu_gpasid_inv_info d;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	dom = vm.w.dom;
	dev = vm.w.dev;
	d = inv_addr(&vm);
	ROW("GP-INV-02", EFAULT, viommu_gpasid_invalidate(dom, dev, NULL, sizeof(d)));
	ROW("GP-INV-02", EFAULT, viommu_gpasid_invalidate(dom, dev, &d, 15));
	ROW("GP-INV-02", EFAULT, viommu_gpasid_invalidate_v55(dom, dev, NULL, 48));
	ROW("GP-INV-06", EFAULT, viommu_gpasid_invalidate_v55(dom, dev, &d, 47));
	ROW("GP-INV-06", EFAULT, viommu_gpasid_invalidate(dom, dev, &d, 55));
	ROW("GP-INV-06", EFAULT, viommu_gpasid_invalidate(dom, dev, &d, 16));
	d.argsz = 15;
	ROW("GP-INV-03", EINVAL, viommu_gpasid_invalidate(dom, dev, &d, sizeof(d)));
	/* Too small for what it says comes before too short to be read. */
	d.argsz = 55;
	ROW("GP-INV-05", EINVAL, viommu_gpasid_invalidate(dom, dev, &d, 16));
	d = inv_pasid(&vm);
	d.argsz = 31;
	ROW("GP-INV-04", EINVAL, viommu_gpasid_invalidate(dom, dev, &d, 16));
	d.argsz = 32;
	assert_int_equal(viommu_gpasid_invalidate(dom, dev, &d, 32), 0);
	ROW("GP-INV-06", EFAULT, viommu_gpasid_invalidate(dom, dev, &d, 31));
	d.argsz = UINT32_MAX;
	assert_int_equal(viommu_gpasid_invalidate(dom, dev, &d, sizeof(d)), 0);
	vm_close(&vm);
}

static void invalidate_checks_its_head(void **state)
{
	struct viommu_gpasid_inv_info d;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	FOR_FORMS(form)
	{
		d = inv_pasid(&vm);
		d.version = 0;
		ROW("GP-INV-07", EINVAL, inv(&vm, form, &d));
		d.version = 2;
		ROW("GP-INV-07", EINVAL, inv(&vm, form, &d));
		for (i = 3; i < 8; i++) {
			d = inv_pasid(&vm);
			d.cache |= (uint8_t)(1u << i);
			ROW("GP-INV-08", EINVAL, inv(&vm, form, &d));
		}
		for (i = 3; i < 256; i++) {
			d = inv_pasid(&vm);
			d.granularity = (uint8_t)i;
			ROW("GP-INV-09", EINVAL, inv(&vm, form, &d));
		}
		for (i = 0; i < 4; i++) {
			d = inv_addr(&vm);
			d.cache = (uint8_t)(VIOMMU_GPASID_CACHE_PASID | i);
			ROW("GP-INV-10", EINVAL, inv(&vm, form, &d));
		}
		for (i = 3; i < 32; i++) {
			d = inv_addr(&vm);
			d.granu.addr.flags |= 1u << i;
			ROW("GP-INV-11", EINVAL, inv(&vm, form, &d));
		}
		for (i = 2; i < 32; i++) {
			d = inv_pasid(&vm);
			d.granu.pasid.flags |= 1u << i;
			ROW("GP-INV-12", EINVAL, inv(&vm, form, &d));
		}
		for (i = 0; i < 8; i++) {
			d = inv_pasid(&vm);
			d.granularity = VIOMMU_GPASID_GRANU_DOMAIN;
			d.cache = (uint8_t)(VIOMMU_GPASID_CACHE_DEV_IOTLB | i);
			ROW("GP-INV-13", EINVAL, inv(&vm, form, &d));
		}
		for (i = 0; i < (form == V55 ? 2 : 6); i++) {
			d = inv_pasid(&vm);
			d.padding[i] = 1;
			ROW("GP-INV-14", EINVAL, inv(&vm, form, &d));
		}
		for (i = 0; i < 3; i++) {
			d = i == VIOMMU_GPASID_GRANU_ADDR ? inv_addr(&vm) : inv_pasid(&vm);
			d.granularity = (uint8_t)i;
			d.cache = 0;
			ROW("GP-INV-15", EINVAL, inv(&vm, form, &d));
		}
	}
	vm_close(&vm);
}

static void invalidate_wants_a_nesting_domain_and_a_device(void **state)
{
	struct viommu_device *foreign;
	struct viommu_gpasid_inv_info d;
	struct viommu_host *host;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	host = other_host(&foreign);
	d = inv_pasid(&vm);
	FOR_FORMS(form)
	{
		ROW("GP-VTI-01", EINVAL, inv_on(NULL, vm.w.dev, form, &d));
		ROW("GP-VTI-01", EINVAL, inv_on(vm.w.dom, NULL, form, &d));
		ROW("GP-VTI-04", EINVAL, inv_on(vm.w.dom, foreign, form, &d));
	}
	viommu_device_unplug(vm.w.dev);
	FOR_FORMS(form)
	ROW("GP-VTI-02", ENODEV, inv(&vm, form, &d));
	viommu_host_free(host);
	vm_close(&vm);

	vm_open_as(&vm, (struct world_config){ .domain_flags = VIOMMU_DOMAIN_NO_NEST });
	FOR_FORMS(form)
	ROW("GP-VTI-03", EINVAL, inv(&vm, form, &d));
	vm_close(&vm);
}

/* Two pages in turn at WORLD_VA: which one does DMA see, and the caches of a device? */
struct pages {
	uint64_t gpa[2];
	unsigned int now;
};

static void pages_init(struct vm *vm, struct pages *p)
{
	unsigned int i;

	p->now = 0;
	for (i = 0; i < 2; i++) {
		p->gpa[i] = world_page(&vm->w);
		*(uint32_t *)world_ptr(&vm->w, p->gpa[i]) = i;
	}
	assert_int_equal(tables_map(&vm->w.fs, WORLD_VA, p->gpa[0], 12, TABLES_RWU | TABLES_A), 0);
}

/* The guest maps the other page. */
static void pages_swap(struct vm *vm, struct pages *p)
{
	p->now ^= 1;
	assert_int_equal(tables_map(&vm->w.fs, WORLD_VA, p->gpa[p->now], 12, TABLES_RWU | TABLES_A),
			 0);
}

static bool dma_is_current(struct vm *vm, const struct pages *p)
{
	uint32_t v;

	assert_int_equal(
		viommu_dma_read(vm->w.dma, vm->w.dev, vm->w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	return v == p->now;
}

static bool devtlb_is_current(struct vm *vm, struct viommu_devtlb *tlb, const struct pages *p)
{
	uint32_t v;

	assert_int_equal(viommu_devtlb_read(tlb, vm->w.dma, vm->w.hp.v, WORLD_VA, &v, 4, 0, NULL),
			 0);
	return v == p->now;
}

static void invalidate_makes_the_new_page_seen(void **state)
{
	struct viommu_gpasid_inv_info d;
	struct viommu_devtlb *tlb;
	struct pages p;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	pages_init(&vm, &p);
	bind_now(&vm);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 16, &tlb), 0);
	FOR_FORMS(form)
	{
		assert_true(dma_is_current(&vm, &p) && devtlb_is_current(&vm, tlb, &p));
		pages_swap(&vm, &p);
		/* Else this test would show nothing. */
		assert_false(devtlb_is_current(&vm, tlb, &p));
		d = inv_pasid(&vm);
		ROW("GP-VTI-05", 0, inv(&vm, form, &d));
		assert_true(dma_is_current(&vm, &p));
		ROW("GP-VTI-11", 0, devtlb_is_current(&vm, tlb, &p) ? 0 : -1);

		pages_swap(&vm, &p);
		assert_false(devtlb_is_current(&vm, tlb, &p));
		d = inv_addr(&vm);
		ROW("GP-VTI-05", 0, inv(&vm, form, &d));
		assert_true(dma_is_current(&vm, &p));
		ROW("GP-VTI-11", 0, devtlb_is_current(&vm, tlb, &p) ? 0 : -1);

		pages_swap(&vm, &p);
		assert_int_equal(
			viommu_host_invalidate(vm.w.host, vm.w.dom,
					       &(struct viommu_invalidate){
						       .size = sizeof(struct viommu_invalidate),
						       .granularity = VIOMMU_INVALIDATE_PASID,
						       .flags = VIOMMU_INVALIDATE_NO_DEVICE,
						       .hp = vm.w.hp }),
			0);
		assert_false(devtlb_is_current(&vm, tlb, &p));
		d = inv_addr(&vm);
		d.cache = VIOMMU_GPASID_CACHE_DEV_IOTLB;
		ROW("GP-VTI-05", 0, inv(&vm, form, &d));
		assert_true(devtlb_is_current(&vm, tlb, &p));
		d.cache |= VIOMMU_GPASID_CACHE_IOTLB;
		ROW("GP-VTI-05", 0, inv(&vm, form, &d));
	}
	viommu_devtlb_free(tlb);
	vm_close(&vm);
}

static void invalidate_refuses_the_other_pairs_undone(void **state)
{
	struct viommu_gpasid_inv_info d;
	struct viommu_devtlb *tlb;
	struct pages p;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	pages_init(&vm, &p);
	bind_now(&vm);
	assert_int_equal(viommu_devtlb_new(vm.w.dev, 16, &tlb), 0);
	assert_true(devtlb_is_current(&vm, tlb, &p));
	pages_swap(&vm, &p);
	FOR_FORMS(form)
	{
		d = inv_pasid(&vm);
		for (i = 2; i < 8; i++) {
			d.cache = (uint8_t)i;
			ROW("GP-VTI-07", EINVAL, inv(&vm, form, &d));
		}
		d.granularity = VIOMMU_GPASID_GRANU_DOMAIN;
		d.cache = VIOMMU_GPASID_CACHE_IOTLB;
		ROW("GP-VTI-07", EINVAL, inv(&vm, form, &d));
		d.cache = VIOMMU_GPASID_CACHE_PASID;
		ROW("GP-VTI-06", EINVAL, inv(&vm, form, &d));
		d.granularity = VIOMMU_GPASID_GRANU_PASID;
		ROW("GP-VTI-06", EINVAL, inv(&vm, form, &d));
		d.cache |= VIOMMU_GPASID_CACHE_IOTLB;
		ROW("GP-VTI-06", EINVAL, inv(&vm, form, &d));
	}
	assert_false(devtlb_is_current(&vm, tlb, &p));
	viommu_devtlb_free(tlb);
	vm_close(&vm);
}

/* What the device is told of an invalidation. */
struct told {
	unsigned int n;
	uint32_t pasid;
	uint64_t addr;
	uint64_t bytes;
};

static void tell(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct told *told = ctx;

	told->n++;
	told->pasid = pasid;
	told->addr = addr;
	told->bytes = bytes;
}

static struct viommu_device *listening_device_at(struct vm *vm, struct told *told, uint16_t sid)
{
	struct viommu_device *dev;

	memset(told, 0, sizeof(*told));
	assert_int_equal(viommu_device_new(vm->w.host,
					   &(struct viommu_device_config){
						   .size = sizeof(struct viommu_device_config),
						   .sid = sid,
						   .flags = PRI_DEVICE,
						   .ctx = told,
						   .invalidate = tell },
					   &dev),
			 0);
	return dev;
}

static struct viommu_device *listening_device(struct vm *vm, struct told *told)
{
	return listening_device_at(vm, told, 0x40);
}

static void the_device_cache_of_one_device_is_dropped(void **state)
{
	struct viommu_gpasid_bind_data b;
	struct viommu_gpasid_inv_info d;
	struct viommu_device *dev[2];
	struct told told[2];
	struct vm vm;

	(void)state;
	vm_open(&vm);
	b = bind_data(&vm);
	for (unsigned int i = 0; i < 2; i++) {
		dev[i] = listening_device_at(&vm, &told[i], (uint16_t)(0x40 + i));
		assert_int_equal(bind_on(vm.w.dom, dev[i], ARGSZ, &b), 0);
	}
	FOR_FORMS(form)
	{
		memset(told, 0, sizeof(told));
		d = inv_addr(&vm);
		d.cache = VIOMMU_GPASID_CACHE_DEV_IOTLB;
		ROW("GP-VTI-05", 0, inv_on(vm.w.dom, dev[1], form, &d));
		assert_int_equal(told[0].n, 0);
		assert_int_equal(told[1].n, 1);
		d.cache |= VIOMMU_GPASID_CACHE_IOTLB;
		ROW("GP-VTI-05", 0, inv_on(vm.w.dom, dev[1], form, &d));
		assert_int_equal(told[0].n, 1);
		assert_int_equal(told[1].n, 2);
	}
	vm_close(&vm);
}

static void a_range_is_exact_in_whole_pages(void **state)
{
	static const struct {
		uint64_t addr, granule, nb, first, bytes;
	} ranges[] = {
		{ 0x1000, 4096, 1, 0x1000, 4096 },
		{ 0x3000, 4096, 3, 0x3000, 0x3000 }, /* not aligned to its order */
		{ 0x1fff, 1, 2, 0x1000, 0x2000 },
		{ 0, 1, 1, 0, 4096 },
		{ 0x40000000, UINT64_C(1) << 30, 2, 0x40000000, UINT64_C(1) << 31 },
		{ 0, UINT64_C(1) << 63, 1, 0, UINT64_C(1) << 63 },
		{ UINT64_MAX, 1, 1, UINT64_MAX - 4095, 4096 },
		{ 0, UINT64_MAX, 1, 0, 0 }, /* everything */
	};
	struct viommu_gpasid_bind_data b;
	struct viommu_gpasid_inv_info d;
	struct viommu_device *dev;
	struct told told;
	unsigned int i;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	dev = listening_device(&vm, &told);
	b = bind_data(&vm);
	assert_int_equal(bind_on(vm.w.dom, dev, ARGSZ, &b), 0);
	FOR_FORMS(form)
	{
		for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
			d = inv_addr(&vm);
			d.granu.addr.addr = ranges[i].addr;
			d.granu.addr.granule_size = ranges[i].granule;
			d.granu.addr.nb_granules = ranges[i].nb;
			ROW("GP-VTI-09", 0, inv(&vm, form, &d));
			assert_int_equal(told.pasid, vm.w.hp.v);
			assert_int_equal(told.addr, ranges[i].first);
			assert_int_equal(told.bytes, ranges[i].bytes);
		}
		d = inv_addr(&vm);
		d.granu.addr.addr += 4096;
		d.granu.addr.nb_granules = 512;
		ROW("GP-VTI-10", 0, inv(&vm, form, &d));
		d.granu.addr.nb_granules = 0;
		ROW("GP-VTI-14", EINVAL, inv(&vm, form, &d));
		d.granu.addr.nb_granules = UINT64_C(1) << 52;
		ROW("GP-VTI-14", EINVAL, inv(&vm, form, &d));
		d.granu.addr.nb_granules = 2;
		d.granu.addr.granule_size = (UINT64_C(1) << 63) + 4096;
		ROW("GP-VTI-14", EINVAL, inv(&vm, form, &d));
		d.granu.addr.nb_granules = 1;
		d.granu.addr.granule_size = 0;
		ROW("GP-VTI-14", EINVAL, inv(&vm, form, &d));
		d.granu.addr.granule_size = 4096;
		d.granu.addr.addr = UINT64_MAX - 4094;
		ROW("GP-VTI-14", EINVAL, inv(&vm, form, &d));
	}
	vm_close(&vm);
}

static void an_invalidation_names_its_pasid(void **state)
{
	const struct viommu_bind second_stage = { .size = sizeof(second_stage),
						  .kind = VIOMMU_BIND_NESTED };
	struct viommu_gpasid_bind_data b;
	struct viommu_gpasid_inv_info d;
	struct viommu_domain *other;
	struct viommu_device *dev;
	struct told told;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	other = second_domain(&vm);
	dev = listening_device(&vm, &told);
	b = bind_data(&vm);
	assert_int_equal(bind_on(vm.w.dom, dev, ARGSZ, &b), 0);
	assert_int_equal(viommu_device_attach(dev, vm.w.dom, &second_stage), 0);
	FOR_FORMS(form)
	{
		d = inv_pasid(&vm);
		d.granu.pasid.flags = 0;
		told.n = 0;
		ROW("GP-VTI-08", 0, inv(&vm, form, &d));
		assert_int_equal(told.n, 1);
		assert_int_equal(told.pasid, VIOMMU_NO_PASID);
		d.granu.pasid.flags = VIOMMU_GPASID_INV_ARCHID;
		d.granu.pasid.archid = 77;
		ROW("GP-VTI-12", EINVAL, inv(&vm, form, &d));
		d.granu.pasid.flags |= VIOMMU_GPASID_INV_PASID;
		ROW("GP-VTI-12", 0, inv(&vm, form, &d));
		assert_int_equal(told.pasid, vm.w.hp.v);
		/* By somebody else's domain: not an error, and nothing happens. */
		told.n = 0;
		d = inv_pasid(&vm);
		ROW("GP-VTI-13", 0, inv_on(other, dev, form, &d));
		d = inv_addr(&vm);
		ROW("GP-VTI-13", 0, inv_on(other, dev, form, &d));
		assert_int_equal(told.n, 0);
		d.granu.addr.pasid = VIOMMU_PASID_MAX + 1;
		ROW("GP-VTI-15", EINVAL, inv(&vm, form, &d));
		d.granu.addr.pasid = UINT64_C(0x100000000) | vm.w.hp.v;
		ROW("GP-VTI-15", EINVAL, inv(&vm, form, &d));
		d = inv_pasid(&vm);
		d.granu.pasid.pasid = UINT64_MAX;
		ROW("GP-VTI-15", EINVAL, inv(&vm, form, &d));
	}
	vm_close(&vm);
}

/* ---- Page responses ---- */

static void a_response_is_read_and_checked(void **state)
{
	struct viommu_gpasid_response d;
	struct viommu_device *plain;
	struct vm vm;
	unsigned int i;

	(void)state;
	vm_open(&vm);
	plain = second_device(&vm, VIOMMU_DEVICE_PASID);
	bind_now(&vm);
	ask(&vm, vm.w.hp.v, MISSING);
	d = response(&vm);
	ROW("GP-VTR-02", EFAULT, viommu_gpasid_page_response(vm.w.dom, vm.w.dev, NULL, sizeof(d)));
	ROW("GP-VTR-02", EFAULT, viommu_gpasid_page_response_v55(vm.w.dom, vm.w.dev, NULL, 20));
	ROW("GP-RESP-10", EFAULT, viommu_gpasid_page_response(vm.w.dom, vm.w.dev, &d, 23));
	ROW("GP-RESP-10", EFAULT, viommu_gpasid_page_response_v55(vm.w.dom, vm.w.dev, &d, 19));
	d.argsz = 23;
	ROW("GP-RESP-10", EINVAL, respond(&vm, ARGSZ, &d));
	d.argsz = 0;
	ROW("GP-RESP-10", EINVAL, respond(&vm, ARGSZ, &d));
	FOR_FORMS(form)
	{
		d = response(&vm);
		ROW("GP-VTR-02", EINVAL, respond_on(NULL, vm.w.dev, form, &d));
		ROW("GP-VTR-02", EINVAL, respond_on(vm.w.dom, NULL, form, &d));
		ROW("GP-RESP-02", EINVAL, respond_on(vm.w.dom, plain, form, &d));
		d.version = 0;
		ROW("GP-RESP-03", EINVAL, respond(&vm, form, &d));
		d.version = 2;
		ROW("GP-RESP-03", EINVAL, respond(&vm, form, &d));
		for (i = 1; i < 32; i++) {
			d = response(&vm);
			d.flags |= 1u << i;
			ROW("GP-RESP-04", EINVAL, respond(&vm, form, &d));
		}
		for (i = 3; i < 20; i++) {
			d = response(&vm);
			d.code = i;
			ROW("GP-RESP-11", EINVAL, respond(&vm, form, &d));
		}
		d.code = UINT32_MAX;
		ROW("GP-RESP-11", EINVAL, respond(&vm, form, &d));
		assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
	}
	vm_close(&vm);
}

static void a_response_finds_its_request(void **state)
{
	struct viommu_gpasid_response d;
	struct viommu_domain *other;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	other = second_domain(&vm);
	bind_now(&vm);
	FOR_FORMS(form)
	{
		vm.req = (struct viommu_page_request){ .flags = VIOMMU_PAGE_REQUEST_PASID,
						       .pasid = vm.w.hp.v };
		d = response(&vm);
		ROW("GP-RESP-05", EINVAL, respond(&vm, form, &d));
		ask(&vm, vm.w.hp.v, MISSING);
		d = response(&vm);
		d.grpid++;
		ROW("GP-RESP-06", EINVAL, respond(&vm, form, &d));
		d.grpid = 512;
		ROW("GP-RESP-06", EINVAL, respond(&vm, form, &d));
		d.grpid = UINT32_MAX;
		ROW("GP-RESP-06", EINVAL, respond(&vm, form, &d));
		d = response(&vm);
		d.flags = 0;
		ROW("GP-RESP-07", EINVAL, respond(&vm, form, &d));
		d = response(&vm);
		d.pasid++;
		ROW("GP-RESP-07", EINVAL, respond(&vm, form, &d));
		d.pasid = 0;
		ROW("GP-VTR-04", EINVAL, respond(&vm, form, &d));
		d.pasid = VIOMMU_PASID_MAX + 1;
		ROW("GP-VTR-04", EINVAL, respond(&vm, form, &d));
		d.pasid = VIOMMU_NO_PASID;
		ROW("GP-VTR-04", EINVAL, respond(&vm, form, &d));
		d = response(&vm);
		ROW("GP-VTR-06", ENODEV, respond_on(other, vm.w.dev, form, &d));
		assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
		ROW("GP-RESP-09", 0, respond(&vm, form, &d));
		assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
		ROW("GP-RESP-09", EINVAL, respond(&vm, form, &d));
	}
	viommu_device_unplug(vm.w.dev);
	d = response(&vm);
	FOR_FORMS(form)
	ROW("GP-VTR-01", ENODEV, respond(&vm, form, &d));
	vm_close(&vm);
}

static void requests_without_pasid_are_answered_too(void **state)
{
	/*
	 * A first stage for the requests without PASID: the second stage alone has nothing to ask
	 * for.
	 */
	struct viommu_bind nested = { .size = sizeof(nested), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct viommu_gpasid_response d;
	struct viommu_gpasid_fault f;
	struct viommu_domain *other;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	other = second_domain(&vm);
	tables_stage(&vm.w.fs, 52, &nested.stage[0]);
	nested.stage[0].flags = 0;
	assert_int_equal(viommu_device_attach(vm.w.dev, vm.w.dom, &nested), 0);
	FOR_FORMS(form)
	{
		ask(&vm, VIOMMU_NO_PASID, MISSING);
		viommu_gpasid_from_page_request(&vm.req, &f);
		ROW("GP-PRQ-01", 0, f.u.prm.flags == VIOMMU_GPASID_PRM_LAST ? 0 : -1);
		d = response(&vm);
		assert_int_equal(d.flags, 0);
		assert_int_equal(respond_on(other, vm.w.dev, form, &d), -ENODEV);
		ROW("GP-VTR-03", 0, respond(&vm, form, &d));
		ask(&vm, VIOMMU_NO_PASID, MISSING);
		d = response(&vm);
		d.flags = VIOMMU_GPASID_RESP_PASID;
		d.pasid = 9;
		ROW("GP-RESP-08", 0, respond(&vm, form, &d));
	}
	vm_close(&vm);
}

static void codes_reach_the_device_translated(void **state)
{
	struct viommu_gpasid_response d;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	bind_now(&vm);
	FOR_FORMS(form)
	{
		/* SUCCESS: it walks again, finds nothing again, asks again. */
		ask(&vm, vm.w.hp.v, MISSING);
		d = response(&vm);
		assert_int_equal(respond(&vm, form, &d), 0);
		ask(&vm, vm.w.hp.v, MISSING);
		/* INVALID: this access faults, the next asks. */
		d = response(&vm);
		d.code = VIOMMU_GPASID_RESP_INVALID;
		ROW("GP-VTR-09", 0, respond(&vm, form, &d));
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, MISSING), VIOMMU_FAULTED);
		ask(&vm, vm.w.hp.v, MISSING);
		/* FAILURE is 2 there and Fh on the wire: the device stops asking. */
		d = response(&vm);
		d.code = VIOMMU_GPASID_RESP_FAILURE;
		ROW("GP-VTR-09", 0, respond(&vm, form, &d));
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, MISSING), VIOMMU_FAULTED);
		assert_int_equal(dma(&vm, vm.w.dev, vm.w.hp.v, MISSING), VIOMMU_FAULTED);
		assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
		viommu_device_pri_reset(vm.w.dev);
		vm.requests = 0;
		ask(&vm, vm.w.hp.v, MISSING + 0x1000);
		d = response(&vm);
		assert_int_equal(respond(&vm, form, &d), 0);
	}
	vm_close(&vm);
}

/* ---- Page requests ---- */

static void nobody_is_asked_for_what_cannot_be(void **state)
{
	struct viommu_gpasid_bind_data d;
	struct viommu_gpasid_fault f;
	struct vm vm;
	uint32_t v;

	(void)state;
	vm_open(&vm);
	bind_now(&vm);
	assert_int_equal(viommu_dma_read(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING, &v, 4,
					 VIOMMU_PRIV | VIOMMU_DMA_NO_WAIT, NULL),
			 VIOMMU_FAULTED);
	assert_int_equal(vm.w.fault.reason, VTD_FR_PE_SRE);
	ROW("GP-PRQ-04", 0,
	    viommu_dma_read(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING, &v, 4,
			    VIOMMU_EXEC | VIOMMU_DMA_NO_WAIT, NULL) == VIOMMU_FAULTED
		    ? 0
		    : -1);
	assert_int_equal(vm.requests, 0);
	assert_int_equal(viommu_host_unbind_gpasid(vm.w.dev, vm.w.hp), 0);

	d = bind_data(&vm);
	d.vtd.flags = VIOMMU_GPASID_VTD_SRE;
	assert_int_equal(bind(&vm, ARGSZ, &d), 0);
	assert_int_equal(viommu_dma_read(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING, &v, 4,
					 VIOMMU_PRIV | VIOMMU_DMA_NO_WAIT, NULL),
			 -EAGAIN);
	viommu_gpasid_from_page_request(&vm.req, &f);
	ROW("GP-PRQ-03", 0,
	    f.u.prm.perm == (VIOMMU_GPASID_PERM_READ | VIOMMU_GPASID_PERM_PRIV) ? 0 : -1);
	vm_close(&vm);
}

static void an_address_that_is_not_canonical_is_asked_for(void **state)
{
	struct vm vm;

	(void)state;
	vm_open(&vm);
	bind_now(&vm);
	/* A device sees no error in the answer to its translation request, so it asks. */
	ROW("GP-PRQ-02", 0, dma(&vm, vm.w.dev, vm.w.hp.v, UINT64_C(1) << 47) == -EAGAIN ? 0 : -1);
	assert_int_equal(vm.requests, 1);
	assert_int_equal(vm.req.addr, UINT64_C(1) << 47);
	vm_close(&vm);
}

static void a_request_nobody_handles_is_invalid(void **state)
{
	struct world_config c = { .device_flags = PRI_DEVICE };
	struct viommu_gpasid_bind_data d;
	struct vm vm;
	uint32_t v;

	(void)state;
	memset(&vm, 0, sizeof(vm));
	world_open(&vm.w, &c);
	d = bind_data(&vm);
	assert_int_equal(bind(&vm, ARGSZ, &d), 0);
	ROW("GP-RPT-03", 0,
	    viommu_dma_read(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING, &v, 4, 0, NULL) ==
			    VIOMMU_FAULTED
		    ? 0
		    : -1);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 0);
	vm_close(&vm);
}

static void page_requests_go_up_in_both_forms(void **state)
{
	struct viommu_gpasid_fault f, old, want;
	struct vm vm;
	uint32_t v = 0;

	(void)state;
	vm_open(&vm);
	bind_now(&vm);
	assert_int_equal(viommu_dma_write(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING + 0x123, &v, 4,
					  VIOMMU_DMA_NO_WAIT, NULL),
			 -EAGAIN);
	memset(&f, 0xff, sizeof(f));
	memset(&old, 0xff, sizeof(old));
	viommu_gpasid_from_page_request(&vm.req, &f);
	viommu_gpasid_from_page_request_v55(&vm.req, &old);
	memset(&want, 0, sizeof(want));
	want.type = 2;
	want.u.prm = (struct viommu_gpasid_fault_prm){ .flags = 1 | 2 | 8,
						       .pasid = vm.w.hp.v,
						       .grpid = vm.req.prgi,
						       .perm = 2,
						       .addr = MISSING };
	assert_memory_equal(&f, &want, sizeof(f));
	ROW("GP-RPT-01", 0, f.u.prm.flags & VIOMMU_GPASID_PRM_LAST ? 0 : -1);
	assert_int_equal(viommu_device_open_requests(vm.w.dev), 1);
	want.u.prm.flags = 1 | 2;
	assert_memory_equal(&old, &want, sizeof(old));
	vm_close(&vm);
}

static void faults_go_up_in_both_forms(void **state)
{
	static const struct {
		uint8_t reason;
		uint32_t want;
	} map[] = {
		{ VTD_FR_ROOT_NP, 0 },       { VTD_FR_SCE_NP, 0 },
		{ VTD_FR_PDIR_ACCESS, 1 },   { VTD_FR_PE_ACCESS, 1 },
		{ VTD_FR_PDIR_RSVD, 2 },     { VTD_FR_PE_RSVD, 2 },
		{ VTD_FR_PE_INVALID, 2 },    { VTD_FR_PDIR_NP, 3 },
		{ VTD_FR_PE_NP, 3 },         { VTD_FR_PASID_BEYOND_DIR, 3 },
		{ VTD_FR_SCE_PASIDE, 3 },    { VTD_FR_FS_ACCESS, 4 },
		{ VTD_FR_FS_SS_READ, 4 },    { VTD_FR_SSS_ACCESS, 4 },
		{ VTD_FR_SSS_AD_FAILED, 4 }, { VTD_FR_FS_NP, 5 },
		{ VTD_FR_FS_RSVD, 5 },       { VTD_FR_SSS_NP, 5 },
		{ VTD_FR_S_WRITE, 6 },       { VTD_FR_S_READ, 6 },
		{ VTD_FR_FS_USER, 6 },       { VTD_FR_PE_SRE, 6 },
		{ VTD_FR_FS_CANONICAL, 8 },  { VTD_FR_SSS_BEYOND_MGAW, 8 },
		{ VTD_FR_PT_BEYOND_HAW, 8 }, { VTD_FR_S_OUT_INTR, 8 },
	};
	struct viommu_gpasid_fault f, old, want;
	struct viommu_fault in = { 0 };
	unsigned int i;
	struct vm vm;
	uint32_t v = 0;

	(void)state;
	for (i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		in.reason = map[i].reason;
		viommu_gpasid_from_fault(&in, &f);
		assert_int_equal(f.type, 1);
		ROW("GP-RPT-04", 0, f.u.event.reason == map[i].want ? 0 : -1);
		assert_int_equal(f.u.event.flags, 2);
		in.entry_addr = 0x5000;
		viommu_gpasid_from_fault(&in, &f);
		assert_int_equal(f.u.event.flags, map[i].want == 1 || map[i].want == 4 ? 6 : 2);
		in.entry_addr = 0;
	}
	/* A real one. */
	vm_open(&vm);
	bind_now(&vm);
	assert_int_equal(viommu_dma_write(vm.w.dma, vm.w.dev, vm.w.hp.v, MISSING + 0x123, &v, 4,
					  VIOMMU_DMA_NO_PRI, NULL),
			 VIOMMU_FAULTED);
	memset(&f, 0xff, sizeof(f));
	memset(&old, 0xff, sizeof(old));
	viommu_gpasid_from_fault(&vm.w.fault, &f);
	viommu_gpasid_from_fault_v55(&vm.w.fault, &old);
	memset(&want, 0, sizeof(want));
	want.type = 1;
	want.u.event = (struct viommu_gpasid_fault_event){
		.reason = 5, .flags = 1 | 2, .pasid = vm.w.hp.v, .perm = 2, .addr = MISSING + 0x123
	};
	assert_memory_equal(&f, &want, sizeof(f));
	assert_memory_equal(&old, &want, sizeof(old));
	/* What a fault may say it wanted. */
	in.access = VIOMMU_ATOMIC;
	viommu_gpasid_from_fault(&in, &f);
	assert_int_equal(f.u.event.perm, VIOMMU_GPASID_PERM_READ | VIOMMU_GPASID_PERM_WRITE);
	in.access = VIOMMU_READ | VIOMMU_EXEC | VIOMMU_PRIV;
	viommu_gpasid_from_fault(&in, &f);
	assert_int_equal(f.u.event.perm, 1 | 4 | 8);
	vm_close(&vm);
}

/* ---- PASIDs ---- */

static void pasids_are_had_from_the_allocator(void **state)
{
	struct viommu_owner *owner, *stranger;
	struct viommu_domain *other;
	struct viommu_hp hp, none = { 0x7000 };
	struct viommu_gp gp;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	other = second_domain(&vm);
	owner = viommu_domain_owner(vm.w.dom);
	stranger = viommu_domain_owner(other);
	ROW("GP-IDA-02", 0, viommu_pasid_alloc(owner, 500, 501, &hp));
	assert_int_equal(hp.v, 500);
	ROW("GP-IDA-02", 0, viommu_pasid_alloc(stranger, 500, 501, &hp));
	assert_int_equal(hp.v, 501);
	ROW("GP-IDA-01", ENOSPC, viommu_pasid_alloc(owner, 500, 501, &hp));
	assert_int_equal(hp.v, VIOMMU_NO_PASID);
	assert_int_equal(hp.v, UINT32_MAX);
	hp.v = 500;
	ROW("GP-IDA-06", EEXIST, viommu_pasid_reserve(owner, hp));
	ROW("GP-IDA-08", ENOENT, viommu_pasid_map(owner, (struct viommu_gp){ 1 }, none));
	ROW("GP-IDA-09", ENOENT, viommu_pasid_get(owner, none));
	ROW("GP-IDA-09", ENOENT, viommu_pasid_to_guest(owner, none, &gp));
	ROW("GP-IDA-10", EPERM, viommu_pasid_get(stranger, hp));
	assert_int_equal(viommu_pasid_get(owner, hp), 0);
	ROW("GP-IDA-12", EBUSY, viommu_pasid_free(owner, hp));
	viommu_pasid_put(owner, hp);
	ROW("GP-VF-01", 0, viommu_pasid_free(owner, hp));
	ROW("GP-VF-01", 0, viommu_pasid_alloc(owner, 500, 500, &hp));
	vm_close(&vm);
}

static void an_allocator_with_ids_in_use_does_not_go(void **state)
{
	struct viommu_owner *owner;
	struct viommu_hp hp;
	struct vm vm;

	(void)state;
	vm_open(&vm);
	assert_int_equal(viommu_owner_new(viommu_host_pasids(vm.w.host), 0, &owner), 0);
	assert_int_equal(viommu_pasid_alloc(owner, 500, 501, &hp), 0);
	assert_int_equal(viommu_pasid_get(owner, hp), 0);
	ROW("GP-IDA-16", EBUSY, viommu_owner_free(owner));
	viommu_pasid_put(owner, hp);
	assert_int_equal(viommu_owner_free(owner), 0);
	assert_int_equal(viommu_pasid_reserve(viommu_domain_owner(vm.w.dom), hp), 0);
	vm_close(&vm);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(bind_reads_no_more_than_it_may),
	cmocka_unit_test(bind_and_unbind_check_the_head_alike),
	cmocka_unit_test(the_oldest_padding_is_checked_to_its_end),
	cmocka_unit_test(unbind_reads_and_uses_the_pasid_alone),
	cmocka_unit_test(bind_wants_a_domain_and_a_device),
	cmocka_unit_test(bind_refuses_bad_pasids),
	cmocka_unit_test(a_pasid_is_bound_once_on_a_device),
	cmocka_unit_test(bind_refuses_what_the_host_lacks),
	cmocka_unit_test(bind_refuses_bad_tables),
	cmocka_unit_test(a_domain_deeper_than_the_host_is_not_made),
	cmocka_unit_test(bind_without_memory_changes_nothing),
	cmocka_unit_test(the_entry_holds_what_was_bound),
	cmocka_unit_test(bind_is_seen_by_the_next_access),
	cmocka_unit_test(the_guest_number_is_kept_if_it_is_valid),
	cmocka_unit_test(unbind_ends_everything_but_the_allocation),
	cmocka_unit_test(unbind_clears_the_whole_entry),
	cmocka_unit_test(unbind_flushes_every_cache),
	cmocka_unit_test(unbind_leaves_another_vms_pasid_alone),
	cmocka_unit_test(invalidate_reads_no_more_than_it_may),
	cmocka_unit_test(invalidate_checks_its_head),
	cmocka_unit_test(invalidate_wants_a_nesting_domain_and_a_device),
	cmocka_unit_test(invalidate_makes_the_new_page_seen),
	cmocka_unit_test(invalidate_refuses_the_other_pairs_undone),
	cmocka_unit_test(the_device_cache_of_one_device_is_dropped),
	cmocka_unit_test(a_range_is_exact_in_whole_pages),
	cmocka_unit_test(an_invalidation_names_its_pasid),
	cmocka_unit_test(a_response_is_read_and_checked),
	cmocka_unit_test(a_response_finds_its_request),
	cmocka_unit_test(requests_without_pasid_are_answered_too),
	cmocka_unit_test(codes_reach_the_device_translated),
	cmocka_unit_test(nobody_is_asked_for_what_cannot_be),
	cmocka_unit_test(an_address_that_is_not_canonical_is_asked_for),
	cmocka_unit_test(a_request_nobody_handles_is_invalid),
	cmocka_unit_test(page_requests_go_up_in_both_forms),
	cmocka_unit_test(faults_go_up_in_both_forms),
	cmocka_unit_test(pasids_are_had_from_the_allocator),
	cmocka_unit_test(an_allocator_with_ids_in_use_does_not_go),
};
TEST_MAIN(tests)
