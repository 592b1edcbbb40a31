/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every errno that viommu/host.h names for a function, brought about. -ENOMEM is in failures.c.
 */
#include "host/world.h"

#define PRI_DEVICE (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)

static int host_try(const struct viommu_host_config *c)
{
	struct viommu_host *host = (void *)c; /* anything but NULL */
	int err = viommu_host_new(c, &host);

	if (err)
		assert_null(host);
	viommu_host_free(host);
	return err;
}

static struct viommu_host_config host_config(void)
{
	return (struct viommu_host_config){ .size = sizeof(struct viommu_host_config) };
}

/* All of the host's capabilities but these; the other register stays as it is. */
static struct viommu_host_config without(uint64_t cap, uint64_t ecap)
{
	struct viommu_host_config c = host_config();

	c.cap = viommu_host_default_cap() & ~cap;
	c.ecap = viommu_host_default_ecap() & ~ecap;
	return c;
}

static void host_new_refuses_numbers_out_of_range(void **state)
{
	struct viommu_host_config c = host_config();
	unsigned int i;

	(void)state;
	assert_int_equal(host_try(NULL), 0);
	assert_int_equal(host_try(&c), 0);
	c.size = sizeof(c) - 1;
	assert_int_equal(host_try(&c), -EINVAL);
	c = host_config();
	c.ver = 0x100;
	assert_int_equal(host_try(&c), -EINVAL);
	for (i = 1; i < 256; i++) {
		c = host_config();
		c.haw = (uint8_t)i;
		assert_int_equal(host_try(&c), i >= 48 && i <= 52 ? 0 : -EINVAL);
	}
	c = host_config();
	c.pasid_min = 0;
	c.pasid_max = 10;
	assert_int_equal(host_try(&c), -EINVAL);
	c.pasid_min = 11;
	assert_int_equal(host_try(&c), -EINVAL);
	c.pasid_min = 10;
	assert_int_equal(host_try(&c), 0);
	c.pasid_max = VIOMMU_PASID_MAX + 1;
	assert_int_equal(host_try(&c), -EINVAL);
	c = host_config();
	c.max_page_requests = 513;
	assert_int_equal(host_try(&c), -EINVAL);
	c.max_page_requests = 1;
	assert_int_equal(host_try(&c), 0);
	c = host_config();
	c.max_devices = 65537;
	assert_int_equal(host_try(&c), -EINVAL);
	c.max_devices = 65536;
	assert_int_equal(host_try(&c), 0);
}

/* VTD-CAP-06, VTD-CAP-07, VTD-CAP-09 */
static void without_a_second_stage_the_host_announces_no_width_of_it(void **state)
{
	struct viommu_host_config c = without(0, VTD_MASK(VTD_ECAP_SSTS) | VTD_MASK(VTD_ECAP_NEST) |
							 VTD_MASK(VTD_ECAP_SSADS));
	struct viommu_host *host;
	struct viommu_unit unit;

	(void)state;
	assert_int_equal(viommu_host_new(&c, &host), 0);
	viommu_host_unit(host, &unit);
	assert_int_equal(VTD_GET(&unit.cap, VTD_CAP_SAGAW), 0);
	assert_int_not_equal(VTD_GET(&unit.cap, VTD_CAP_MGAW), 0);
	viommu_host_free(host);
	assert_int_equal(viommu_host_new(NULL, &host), 0);
	viommu_host_unit(host, &unit);
	assert_int_equal(VTD_GET(&unit.cap, VTD_CAP_SAGAW), 0xe);
	assert_int_equal(VTD_GET(&unit.cap, VTD_CAP_SSLPS), 3);
	assert_int_not_equal(VTD_GET(&unit.cap, VTD_CAP_MGAW), 0);
	viommu_host_free(host);
	/* 2 as SSLPS would be 1-GiB pages without 2-MiB ones; no address width at all. */
	c = without(VTD_VAL(VTD_CAP_SSLPS, 1), 0);
	assert_int_equal(host_try(&c), -EINVAL);
	c = without(VTD_MASK(VTD_CAP_MGAW), 0);
	assert_int_equal(host_try(&c), -EINVAL);
}

/* VTD-CAP-26, VTD-CAP-27, VTD-CAP-31, VTD-CAP-36, VTD-CAP-38, VTD-CAP-45 */
static void host_new_takes_capabilities_away_but_adds_none(void **state)
{
	/* What its own tables are made of. */
	static const uint64_t needed[] = { VTD_MASK(VTD_ECAP_SMTS), VTD_MASK(VTD_ECAP_SMPWCS),
					   VTD_MASK(VTD_ECAP_PASID), VTD_MASK(VTD_ECAP_QI),
					   VTD_MASK(VTD_ECAP_RPS) };
	struct viommu_host_config c;
	unsigned int i;
	uint64_t bit;

	(void)state;
	c = without(VTD_MASK(VTD_CAP_FS5LP), VTD_MASK(VTD_ECAP_NEST));
	assert_int_equal(host_try(&c), 0);
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		c = without(0, needed[i]);
		assert_int_equal(host_try(&c), -EINVAL);
	}
	/* Nesting is of a first stage on a second. */
	c = without(0, VTD_MASK(VTD_ECAP_SSTS));
	assert_int_equal(host_try(&c), -EINVAL);
	c = without(0, VTD_MASK(VTD_ECAP_FSTS));
	assert_int_equal(host_try(&c), -EINVAL);
	c = without(0, VTD_MASK(VTD_ECAP_FSTS) | VTD_MASK(VTD_ECAP_NEST));
	assert_int_equal(host_try(&c), -EINVAL); /* EAFS */
	c = without(0, VTD_MASK(VTD_ECAP_FSTS) | VTD_MASK(VTD_ECAP_NEST) | VTD_MASK(VTD_ECAP_EAFS));
	assert_int_equal(host_try(&c), 0);
	c = without(0, VTD_MASK(VTD_ECAP_SSTS) | VTD_MASK(VTD_ECAP_NEST));
	assert_int_equal(host_try(&c), -EINVAL); /* SSADS */
	c = without(0, VTD_MASK(VTD_ECAP_DT));
	assert_int_equal(host_try(&c), -EINVAL); /* PRS */
	c = without(0, VTD_MASK(VTD_ECAP_DT) | VTD_MASK(VTD_ECAP_PRS));
	assert_int_equal(host_try(&c), 0);
	for (i = 0; i < 64; i++) {
		bit = UINT64_C(1) << i;
		c = without(0, 0);
		if (!(c.ecap & bit) && !(bit & VTD_MASK(VTD_ECAP_PSS))) {
			c.ecap |= bit;
			assert_int_equal(host_try(&c), -EINVAL);
		}
	}
	c = without(0, VTD_MASK(VTD_ECAP_PSS));
	c.ecap |= VTD_VAL(VTD_ECAP_PSS, 20);
	assert_int_equal(host_try(&c), -EINVAL);
	c = without(VTD_MASK(VTD_CAP_MGAW), 0);
	c.cap |= VTD_VAL(VTD_CAP_MGAW, 57);
	assert_int_equal(host_try(&c), -EINVAL);
	c = without(0, 0);
	c.cap |= VTD_MASK(VTD_CAP_CM);
	assert_int_equal(host_try(&c), -EINVAL);
}

static int domain_try(struct world *w, struct viommu_domain_config c)
{
	struct viommu_domain *dom = w->dom;
	int err = viommu_domain_new(w->host, w->mem, &c, &dom);

	if (err)
		assert_null(dom);
	viommu_domain_free(dom);
	return err;
}

#define DOMAIN(...) \
	((struct viommu_domain_config){ .size = sizeof(struct viommu_domain_config), __VA_ARGS__ })

static void domain_new_refuses_what_the_host_cannot_hold(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(domain_try(&w, (struct viommu_domain_config){ .size = 1 }), -EINVAL);
	assert_int_equal(domain_try(&w, DOMAIN(.flags = 4)), -EINVAL);
	for (i = 1; i < 256; i++) {
		assert_int_equal(domain_try(&w, DOMAIN(.levels = (uint8_t)i)),
				 i >= 3 && i <= 5 ? 0 : -EINVAL);
		assert_int_equal(domain_try(&w, DOMAIN(.max_page_lg2 = (uint8_t)i)),
				 i == 12 || i == 21 || i == 30 ? 0 : -EINVAL);
	}
	world_close(&w);

	world_open(&w, &(struct world_config){ .ecap_clear = VTD_MASK(VTD_ECAP_SSADS),
					       .cap_clear = VTD_VAL(VTD_CAP_SSLPS, 2) |
							    VTD_VAL(VTD_CAP_SAGAW, 2) });
	assert_int_equal(domain_try(&w, DOMAIN(.flags = VIOMMU_DOMAIN_DIRTY)), -EINVAL);
	assert_int_equal(domain_try(&w, DOMAIN(.max_page_lg2 = 30)), -EINVAL);
	assert_int_equal(domain_try(&w, DOMAIN(.max_page_lg2 = 21)), 0);
	assert_int_equal(domain_try(&w, DOMAIN(.levels = 3)), -EINVAL);
	world_close(&w);
}

static void domain_new_refuses_memory_beyond_its_levels(void **state)
{
	struct viommu_domain *dom;
	struct world w;
	void *page;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_domain_new(w.host, w.mem, &DOMAIN(.levels = 3), &dom), 0);
	/* The domain that is there says it as well, and the region is not added. */
	page = world_ptr(&w, world_page(&w));
	assert_int_equal(viommu_mem_add_ptr(w.mem, UINT64_C(1) << 39, 4096, page, 0), -ERANGE);
	viommu_domain_free(dom);
	assert_int_equal(viommu_mem_add_ptr(w.mem, UINT64_C(1) << 39, 4096, page, 0), 0);
	assert_int_equal(domain_try(&w, DOMAIN(.levels = 3)), -ERANGE);
	assert_int_equal(domain_try(&w, DOMAIN(.levels = 4)), 0);
	assert_int_equal(viommu_mem_remove(w.mem, UINT64_C(1) << 39, 4096), 0);
	world_close(&w);
}

static void domain_ids_run_out(void **state)
{
	struct viommu_domain *dom, *last = NULL;
	struct viommu_mem *empty;
	unsigned int n = 0;
	struct world w;
	int err;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_mem_new(&empty), 0);
	while (!(err = viommu_domain_new(w.host, empty, NULL, &dom))) {
		last = dom;
		n++;
		assert_true(n < 70000);
	}
	assert_int_equal(err, -ENOSPC);
	assert_true(n > 1000);
	viommu_domain_free(last);
	assert_int_equal(viommu_domain_new(w.host, empty, NULL, &dom), 0);
	viommu_dma_free(w.dma);
	viommu_host_free(w.host);
	viommu_mem_free(empty);
	viommu_mem_free(w.mem);
	tables_free(&w.ram);
}

static int device_try(struct world *w, struct viommu_device_config c)
{
	struct viommu_device *dev = w->dev;
	int err = viommu_device_new(w->host, &c, &dev);

	if (err)
		assert_null(dev);
	viommu_device_free(dev);
	return err;
}

#define DEVICE(id, ...)                 \
	((struct viommu_device_config){ \
		.size = sizeof(struct viommu_device_config), .sid = id, __VA_ARGS__ })

static void device_new_refuses_what_the_host_cannot_hold(void **state)
{
	struct viommu_host_config hc = host_config();
	struct viommu_device *dev;
	struct viommu_host *host;
	unsigned int i;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(device_try(&w, (struct viommu_device_config){ .size = 4 }), -EINVAL);
	for (i = 3; i < 32; i++)
		assert_int_equal(device_try(&w, DEVICE(0x100, .flags = 1u << i)), -EINVAL);
	assert_int_equal(device_try(&w, DEVICE(0x100, .flags = VIOMMU_DEVICE_PRI)), -EINVAL);
	assert_int_equal(device_try(&w, DEVICE(0x100, .flags = PRI_DEVICE)), 0);
	assert_int_equal(device_try(&w, DEVICE(WORLD_SID)), -EEXIST);
	assert_int_equal(device_try(&w, DEVICE(0xffff)), 0);
	world_close(&w);

	world_open(&w, &(struct world_config){ .ecap_clear = VTD_MASK(VTD_ECAP_DT) |
							     VTD_MASK(VTD_ECAP_PRS) });
	assert_int_equal(device_try(&w, DEVICE(0x100, .flags = VIOMMU_DEVICE_ATS)), -EINVAL);
	world_close(&w);
	world_open(&w, &(struct world_config){ .ecap_clear = VTD_MASK(VTD_ECAP_PRS) });
	assert_int_equal(device_try(&w, DEVICE(0x100, .flags = PRI_DEVICE)), -EINVAL);
	assert_int_equal(device_try(&w, DEVICE(0x100, .flags = VIOMMU_DEVICE_ATS)), 0);
	world_close(&w);

	hc.max_devices = 1;
	assert_int_equal(viommu_host_new(&hc, &host), 0);
	assert_int_equal(viommu_device_new(host, &DEVICE(1), &dev), 0);
	assert_int_equal(viommu_device_new(host, &DEVICE(2), &(struct viommu_device *){ 0 }),
			 -ENOSPC);
	viommu_device_free(dev);
	assert_int_equal(viommu_device_new(host, &DEVICE(2), &dev), 0);
	assert_int_equal(viommu_device_sid(dev), 2);
	viommu_host_free(host);
}

/* A bind of the process's tables; the test changes what it is about. */
static struct viommu_bind nested(struct world *w)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };

	tables_stage(&w->fs, 52, &b.stage[0]);
	b.stage[0].flags = 0;
	return b;
}

typedef int bind_fn(struct viommu_device *dev, struct viommu_domain *dom, struct viommu_hp hp,
		    const struct viommu_bind *bind);

static int attach(struct viommu_device *dev, struct viommu_domain *dom, struct viommu_hp hp,
		  const struct viommu_bind *bind)
{
	(void)hp;
	return viommu_device_attach(dev, dom, bind);
}

static bind_fn *const binds[] = { viommu_host_bind, viommu_host_rebind, attach };

#define FOR_BINDS(fn)                                       \
	for (unsigned int fn##_i = 0; fn##_i < 3; fn##_i++) \
		for (bind_fn *fn = binds[fn##_i]; fn; fn = NULL)

static void bind_refuses_what_is_not_well_formed(void **state)
{
	struct viommu_bind b;
	unsigned int i;
	struct world w;
	uint64_t pe[8];

	(void)state;
	world_open(&w, NULL);
	FOR_BINDS(fn)
	{
		b = nested(&w);
		b.size--;
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		b = nested(&w);
		b.flags = 2;
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		for (i = 0; i < 6; i++) {
			b = nested(&w);
			b.kind = (uint32_t[]){ 0, 2, 4, 5, 100, UINT32_MAX }[i];
			if (b.kind == VIOMMU_BIND_FIRST)
				b.nr = 2;
			assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		}
		b = nested(&w);
		b.nr = 3;
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		b = nested(&w);
		b.kind = VIOMMU_BIND_PASSTHROUGH; /* has no stages */
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		b = nested(&w);
		assert_int_equal(fn(w.dev, NULL, w.hp, &b), -EINVAL);
		for (i = 0; i < 256; i++) {
			b = nested(&w);
			b.stage[0].levels = (uint8_t)i;
			if (i == 4 || i == 5)
				continue;
			assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		}
		for (i = 0; i < 5; i++) {
			b = nested(&w);
			b.stage[0].root ^= (uint64_t[]){ 1, 0x800, UINT64_C(1) << 48,
							 UINT64_C(1) << 52, UINT64_C(1) << 63 }[i];
			assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		}
		b = nested(&w);
		b.stage[0].flags = VIOMMU_STAGE_WPE;
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		b.stage[0].flags = VIOMMU_STAGE_AD; /* of a second stage */
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		b = nested(&w);
		b.stage[0].reserved[0] = 1;
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		b = nested(&w);
		b.stage[0].format = 9;
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
		/* First stage below another stage of the guest's. */
		b = nested(&w);
		b.nr = 2;
		b.stage[1] = b.stage[0];
		assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -EINVAL);
	}
	b = nested(&w);
	b.flags = VIOMMU_GPASID_VALID;
	b.gp.v = VIOMMU_PASID_MAX + 1;
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), -EINVAL);
	assert_int_equal(viommu_host_rebind(w.dev, w.dom, w.hp, &b), -EINVAL);
	b.gp.v = 1;
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), -EINVAL);
	assert_int_equal(viommu_host_pasid_entry(w.dev, w.hp, pe), -ENOENT);
	assert_int_equal(viommu_host_pasid_entry(w.dev, (struct viommu_hp){ 0 }, pe), -ENOENT);
	assert_int_equal(viommu_host_pasid_entry(w.dev, (struct viommu_hp){ UINT32_MAX }, pe),
			 -ENOENT);
	world_close(&w);
}

static void bind_refuses_what_the_capabilities_forbid(void **state)
{
	static const struct {
		uint64_t cap, ecap;
		unsigned int fs_levels;
		uint32_t domain_flags;
		uint32_t stage_flags;
		uint32_t kind;
	} cases[] = {
		{ .cap = VTD_MASK(VTD_CAP_FS5LP), .fs_levels = 5, .kind = VIOMMU_BIND_NESTED },
		{ .ecap = VTD_MASK(VTD_ECAP_NEST), .kind = VIOMMU_BIND_NESTED },
		{ .domain_flags = VIOMMU_DOMAIN_NO_NEST, .kind = VIOMMU_BIND_NESTED },
		{ .ecap = VTD_MASK(VTD_ECAP_SRS),
		  .stage_flags = VIOMMU_STAGE_SRE,
		  .kind = VIOMMU_BIND_NESTED },
		{ .ecap = VTD_MASK(VTD_ECAP_EAFS),
		  .stage_flags = VIOMMU_STAGE_EAFE,
		  .kind = VIOMMU_BIND_NESTED },
		{ .ecap = VTD_MASK(VTD_ECAP_NEST) | VTD_MASK(VTD_ECAP_FSTS) |
			  VTD_MASK(VTD_ECAP_EAFS),
		  .kind = VIOMMU_BIND_FIRST },
		{ .ecap = VTD_MASK(VTD_ECAP_PT), .kind = VIOMMU_BIND_PASSTHROUGH },
	};
	struct viommu_bind b;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Refused without the capability, taken with it. */
		for (int with = 0; with < 2; with++) {
			struct world_config c = { .cap_clear = with ? 0 : cases[i].cap,
						  .ecap_clear = with ? 0 : cases[i].ecap,
						  .domain_flags = with ? 0 : cases[i].domain_flags,
						  .fs_levels = cases[i].fs_levels };

			world_open(&w, &c);
			b = nested(&w);
			b.kind = cases[i].kind;
			b.stage[0].flags = cases[i].stage_flags;
			if (b.kind == VIOMMU_BIND_PASSTHROUGH)
				b.nr = 0;
			FOR_BINDS(fn)
			{
				assert_int_equal(fn(w.dev, w.dom, w.hp, &b), with ? 0 : -EINVAL);
				viommu_host_unbind(w.dev, w.hp);
			}
			world_close(&w);
		}
	}
}

static void bind_refuses_pasids_that_are_not_its_own(void **state)
{
	struct viommu_device *plain, *foreign;
	struct viommu_hp hp, other_hp;
	struct viommu_domain *other;
	struct viommu_host *host;
	struct viommu_bind b;
	unsigned int i;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_device_new(w.host, &DEVICE(1), &plain), 0);
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &other), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(other), 300, 300, &other_hp), 0);
	assert_int_equal(viommu_host_new(NULL, &host), 0);
	assert_int_equal(
		viommu_device_new(host, &DEVICE(0x100, .flags = VIOMMU_DEVICE_PASID), &foreign), 0);
	b = nested(&w);
	for (i = 0; i < 2; i++) {
		hp.v = 0;
		assert_int_equal(binds[i](w.dev, w.dom, hp, &b), -EINVAL);
		hp.v = VIOMMU_PASID_MAX + 1;
		assert_int_equal(binds[i](w.dev, w.dom, hp, &b), -EINVAL);
		hp.v = VIOMMU_PASID_MAX;
		assert_int_equal(binds[i](w.dev, w.dom, hp, &b), -ENOENT);
		assert_int_equal(binds[i](plain, w.dom, w.hp, &b), -EINVAL);
		assert_int_equal(binds[i](foreign, w.dom, w.hp, &b), -EINVAL);
		assert_int_equal(binds[i](w.dev, w.dom, other_hp, &b), -EPERM);
		assert_int_equal(binds[i](w.dev, other, w.hp, &b), -EPERM);
	}
	assert_int_equal(viommu_device_attach(foreign, w.dom, &b), -EINVAL);
	/* A device without PASIDs can be attached. */
	assert_int_equal(viommu_device_attach(plain, w.dom, &b), 0);
	hp.v = 0;
	assert_int_equal(viommu_host_unbind(w.dev, hp), -EINVAL);
	hp.v = VIOMMU_PASID_MAX + 1;
	assert_int_equal(viommu_host_unbind(w.dev, hp), -EINVAL);
	assert_int_equal(viommu_host_unbind_gpasid(w.dev, hp), -EINVAL);
	viommu_host_free(host);
	world_close(&w);

	world_open(&w, &(struct world_config){ .ecap_clear = VTD_VAL(VTD_ECAP_PSS, 0x13) });
	/* One bit of PASID, and the world's is above a hundred. */
	b = nested(&w);
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), -EINVAL);
	world_close(&w);
}

static void bind_refuses_what_is_bound_and_rebind_another_domains(void **state)
{
	struct viommu_domain *other;
	struct viommu_hp hp2;
	struct viommu_bind b;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_domain_new(w.host, w.mem, NULL, &other), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w.dom), 1, 50, &hp2), 0);
	b = nested(&w);
	b.flags = VIOMMU_GPASID_VALID;
	b.gp.v = 5;
	assert_int_equal(viommu_host_rebind(w.dev, w.dom, w.hp, &b), 0); /* binds, too */
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), -EBUSY);
	assert_int_equal(viommu_host_rebind(w.dev, w.dom, w.hp, &b), 0);
	b.flags = 0;
	assert_int_equal(viommu_host_rebind(w.dev, other, w.hp, &b), -EBUSY);
	/* The guest's number is another one, or another's. */
	b.flags = VIOMMU_GPASID_VALID;
	b.gp.v = 6;
	assert_int_equal(viommu_host_rebind(w.dev, w.dom, w.hp, &b), -EEXIST);
	b.gp.v = 5;
	assert_int_equal(viommu_host_bind(w.dev, w.dom, hp2, &b), -EEXIST);
	assert_int_equal(viommu_host_rebind(w.dev, w.dom, hp2, &b), -EEXIST);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0); /* not bound: no error */
	assert_int_equal(viommu_host_bind(w.dev, w.dom, hp2, &b), 0);
	/* Any domain may be attached in the place of another. */
	b.flags = 0;
	assert_int_equal(viommu_device_attach(w.dev, w.dom, &b), 0);
	assert_int_equal(viommu_device_attach(w.dev, other, &b), 0);
	assert_int_equal(viommu_device_detach(w.dev), 0);
	assert_int_equal(viommu_device_detach(w.dev), 0);
	world_close(&w);
}

static void nothing_is_bound_to_an_unplugged_device(void **state)
{
	struct viommu_bind b;
	uint64_t pe[8];
	struct world w;

	(void)state;
	world_open(&w, NULL);
	b = nested(&w);
	assert_int_equal(viommu_host_bind(w.dev, w.dom, w.hp, &b), 0);
	assert_int_equal(viommu_device_unplug(w.dev), 0);
	assert_int_equal(viommu_device_unplug(w.dev), 0);
	assert_int_equal(viommu_host_pasid_entry(w.dev, w.hp, pe), -ENOENT);
	FOR_BINDS(fn)
	assert_int_equal(fn(w.dev, w.dom, w.hp, &b), -ENODEV);
	assert_int_equal(world_bind(&w, 5), -ENODEV);
	assert_int_equal(viommu_host_unbind(w.dev, w.hp), 0);
	assert_int_equal(viommu_device_detach(w.dev), 0);
	world_close(&w);
}

static void bind_gpasid_refuses_unknown_flags_and_widths(void **state)
{
	struct viommu_gpasid_bind g;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	g = (struct viommu_gpasid_bind){
		.size = sizeof(g), .addr_width = 48, .hp = w.hp, .gpgd = tables_root(&w.fs)
	};
	g.size++;
	assert_int_equal(viommu_host_bind_gpasid(w.dev, w.dom, &g), -EINVAL);
	g.size--;
	for (i = 4; i < 32; i++) {
		g.flags = 1u << i;
		assert_int_equal(viommu_host_bind_gpasid(w.dev, w.dom, &g), -EINVAL);
	}
	g.flags = 0;
	for (i = 0; i < 300; i++) {
		g.addr_width = i;
		if (i != 48 && i != 57)
			assert_int_equal(viommu_host_bind_gpasid(w.dev, w.dom, &g), -EINVAL);
	}
	g.addr_width = 48;
	assert_int_equal(viommu_host_bind_gpasid(w.dev, w.dom, &g), 0);
	world_close(&w);
}

static void invalidate_refuses_what_it_does_not_know(void **state)
{
	struct viommu_invalidate inv;
	struct viommu_domain *foreign;
	struct viommu_host *host;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_host_new(NULL, &host), 0);
	assert_int_equal(viommu_domain_new(host, w.mem, NULL, &foreign), 0);
#define INV(...) (inv = (struct viommu_invalidate){ .size = sizeof(inv), __VA_ARGS__ })
	inv = (struct viommu_invalidate){ .size = 8 };
	assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), -EINVAL);
	for (i = 4; i < 32; i++) {
		INV(.flags = 1u << i);
		assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), -EINVAL);
	}
	INV(.flags = VIOMMU_INVALIDATE_NO_DEVICE | VIOMMU_INVALIDATE_ONLY_DEVICE);
	assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), -EINVAL);
	INV(.granularity = 4);
	assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), -EINVAL);
	for (i = 1; i < 4; i++) {
		INV(.granularity = i);
		assert_int_equal(viommu_host_invalidate(w.host, NULL, &inv), -EINVAL);
		assert_int_equal(viommu_host_invalidate(w.host, foreign, &inv), -EINVAL);
		INV(.granularity = i, .hp = { VIOMMU_PASID_MAX + 1 });
		assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), -EINVAL);
		/* Nothing is bound, and that is no error. */
		INV(.granularity = i, .hp = w.hp);
		assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
		INV(.granularity = i, .hp = { 77 }, .addr = UINT64_MAX, .bytes = UINT64_MAX);
		assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
	}
	INV(.granularity = VIOMMU_INVALIDATE_GLOBAL);
	assert_int_equal(viommu_host_invalidate(w.host, NULL, &inv), 0);
#undef INV
	viommu_host_free(host);
	world_close(&w);
}

static void a_response_without_a_request_is_not_found(void **state)
{
	struct viommu_page_response r = { .size = sizeof(r) };
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, &(struct world_config){ .device_flags = PRI_DEVICE });
	assert_int_equal(world_bind(&w, 5), 0);
	r.pasid = w.hp.v;
	for (i = 0; i < 513; i++) {
		r.prgi = (uint16_t)i;
		assert_int_equal(viommu_host_page_response(w.dev, &r), -ENOENT);
	}
	r.prgi = UINT16_MAX;
	assert_int_equal(viommu_host_page_response(w.dev, &r), -ENOENT);
	r.prgi = 0;
	r.size = 0;
	assert_int_equal(viommu_host_page_response(w.dev, &r), -EINVAL);
	assert_int_equal(viommu_host_expire_page_requests(w.host), 0);
	world_close(&w);
}

static void a_request_without_a_walk_ends_with_its_path(void **state)
{
	struct viommu_path_request req = { .access = VIOMMU_READ, .addr = 0x1000 };
	struct world_config c = { .device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
						  VIOMMU_DEVICE_PRI };
	struct viommu_walk_result walk;
	struct viommu_path_result path;
	struct world w;

	(void)state;
	world_open(&w, &c);
	/* Nothing was ever bound, so there are no tables that could be walked by mistake. */
	req.pasid = VIOMMU_NO_PASID;
	req.request = VIOMMU_REQ_TRANSLATED;
	assert_int_equal(viommu_host_walk(w.dev, &req, 0, NULL, &path, &walk), 0);
	assert_int_equal(walk.reads, 0);
	assert_int_equal(world_bind(&w, 5), 0);
	req.pasid = w.hp.v;
	req.request = VIOMMU_REQ_PAGE;
	assert_int_equal(viommu_host_walk(w.dev, &req, 0, NULL, &path, &walk), 0);
	assert_int_equal(walk.reads, 0);
	assert_int_equal(path.pgtt, VTD_PGTT_NESTED);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_request_without_a_walk_ends_with_its_path),
	cmocka_unit_test(host_new_refuses_numbers_out_of_range),
	cmocka_unit_test(host_new_takes_capabilities_away_but_adds_none),
	cmocka_unit_test(without_a_second_stage_the_host_announces_no_width_of_it),
	cmocka_unit_test(domain_new_refuses_what_the_host_cannot_hold),
	cmocka_unit_test(domain_new_refuses_memory_beyond_its_levels),
	cmocka_unit_test(domain_ids_run_out),
	cmocka_unit_test(device_new_refuses_what_the_host_cannot_hold),
	cmocka_unit_test(bind_refuses_what_is_not_well_formed),
	cmocka_unit_test(bind_refuses_what_the_capabilities_forbid),
	cmocka_unit_test(bind_refuses_pasids_that_are_not_its_own),
	cmocka_unit_test(bind_refuses_what_is_bound_and_rebind_another_domains),
	cmocka_unit_test(nothing_is_bound_to_an_unplugged_device),
	cmocka_unit_test(bind_gpasid_refuses_unknown_flags_and_widths),
	cmocka_unit_test(invalidate_refuses_what_it_does_not_know),
	cmocka_unit_test(a_response_without_a_request_is_not_found),
};
TEST_MAIN(tests)
