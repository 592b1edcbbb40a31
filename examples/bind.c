/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest process shares its page tables with a device: bind, DMA by the process's address, unbind.
 *
 *	cc bind.c $(pkg-config --cflags --libs viommu)
 */
#include <string.h>

#include "guest.h"

#define VA UINT64_C(0x7f0000000000)

int main(void)
{
	struct viommu_device_config config = { .size = sizeof(config),
					       .sid = 0x28, /* 00:05.0 */
					       .flags = VIOMMU_DEVICE_PASID };
	struct viommu_gpasid_bind bind = {
		.size = sizeof(bind), .flags = VIOMMU_GPASID_VALID, .addr_width = 48, .gp = { 5 }
	};
	struct viommu_dma_result res;
	struct viommu_host *host;
	struct viommu_domain *vm;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct guest g;
	char text[32] = "";
	uint64_t page;
	int ret;

	guest_new(&g);
	page = guest_page(&g);
	guest_map(&g, VA, page);
	MUST(viommu_mem_write(g.mem, page + 0x10, "from the guest", 15));

	MUST(viommu_host_new(NULL, &host));
	MUST(viommu_domain_new(host, g.mem, NULL, &vm));
	MUST(viommu_device_new(host, &config, &dev));
	MUST(viommu_dma_new(host, &dma));

	/* The guest says PASID 5; which one the device uses is the host's choice. */
	MUST(viommu_pasid_alloc(viommu_domain_owner(vm), 1, VIOMMU_PASID_MAX, &bind.hp));
	bind.gpgd = g.root;
	MUST(viommu_host_bind_gpasid(dev, vm, &bind));

	MUST(viommu_dma_read(dma, dev, bind.hp.v, VA + 0x10, text, 15, 0, NULL));
	printf("guest PASID %u = host PASID %u: the device read '%s'\n", bind.gp.v, bind.hp.v,
	       text);

	MUST(viommu_host_unbind_gpasid(dev, bind.hp));
	ret = viommu_dma_read(dma, dev, bind.hp.v, VA + 0x10, text, 15, 0, &res);
	printf("after the unbind: fault %02xh, %s\n", res.fault.reason,
	       viommu_fault_text(res.fault.reason));

	viommu_dma_free(dma);
	viommu_host_free(host); /* devices and domains with it */
	viommu_mem_free(g.mem);
	return ret != VIOMMU_FAULTED;
}
