/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The small VM. Set-up failures abort the test by cmocka's assertions.
 */
#include "host/world.h"

static void count_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct world *w = ctx;

	(void)dev;
	pthread_mutex_lock(&w->lock);
	w->fault = *fault;
	w->faults++;
	pthread_mutex_unlock(&w->lock);
}

void world_open(struct world *w, const struct world_config *config)
{
	static const struct world_config none;
	const struct world_config *c = config ? config : &none;
	struct viommu_host_config hc = { .size = sizeof(hc), .ops = c->ops };
	struct viommu_domain_config dc = { .size = sizeof(dc),
					   .flags = c->domain_flags,
					   .levels = (uint8_t)c->ss_levels };
	struct viommu_device_config vc = {
		.size = sizeof(vc),
		.sid = WORLD_SID,
		.flags = c->device_flags ? c->device_flags : VIOMMU_DEVICE_PASID,
	};

	hc.max_page_requests = c->max_page_requests;
	hc.cap = viommu_host_default_cap() & ~c->cap_clear;
	hc.ecap = viommu_host_default_ecap() & ~c->ecap_clear;
	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	if (!hc.ops.fault) {
		hc.ops.fault = count_fault;
		hc.ops.ctx = hc.ops.ctx ? hc.ops.ctx : w;
	}
	tables_init(&w->ram, 0, WORLD_BYTES);
	tables_page(&w->ram); /* GPA 0 is nobody's */
	assert_int_equal(viommu_mem_new(&w->mem), 0);
	assert_int_equal(viommu_mem_add_fd(w->mem, 0, WORLD_BYTES, w->ram.fd, 0, 0), 0);
	assert_int_equal(viommu_host_new(&hc, &w->host), 0);
	assert_int_equal(viommu_domain_new(w->host, w->mem, &dc, &w->dom), 0);
	assert_int_equal(viommu_device_new(w->host, &vc, &w->dev), 0);
	assert_int_equal(viommu_dma_new(w->host, &w->dma), 0);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(w->dom), 100, 200, &w->hp), 0);
	tables_stage_init(&w->fs, &w->ram, NULL, VIOMMU_FORMAT_VTD_FS,
			  c->fs_levels ? c->fs_levels : 4);
}

void world_close(struct world *w)
{
	viommu_dma_free(w->dma);
	viommu_host_free(w->host);
	viommu_mem_free(w->mem);
	tables_free(&w->ram);
	pthread_mutex_destroy(&w->lock);
}

uint64_t world_page(struct world *w)
{
	return tables_page(&w->ram);
}

void *world_ptr(struct world *w, uint64_t gpa)
{
	return tables_ptr(&w->ram, gpa);
}

uint64_t world_map(struct world *w, uint64_t va, uint32_t flags)
{
	uint64_t gpa = world_page(w);

	assert_int_equal(tables_map(&w->fs, va, gpa, 12, flags), 0);
	return gpa;
}

int world_bind(struct world *w, uint32_t gp)
{
	const struct viommu_gpasid_bind b = {
		.size = sizeof(b),
		.flags = VIOMMU_GPASID_VALID,
		.addr_width = w->fs.levels == 5 ? 57 : 48,
		.gp = { gp },
		.hp = w->hp,
		.gpgd = tables_root(&w->fs),
	};

	return viommu_host_bind_gpasid(w->dev, w->dom, &b);
}
