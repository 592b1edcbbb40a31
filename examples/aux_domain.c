/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One device, three domains: the device itself belongs to one VM, and each of two PASIDs of it to
 * another. No guest has page tables here: a device address is a guest physical address, and the
 * PASID says of whom (the aux domains of 2019).
 *
 *	cc aux_domain.c $(pkg-config --cflags --libs viommu)
 */
#include <string.h>

#include "guest.h"

static const struct viommu_bind second_stage = { .size = sizeof(second_stage),
						 .kind = VIOMMU_BIND_NESTED }; /* nr 0: alone */

/* A domain over its guest's memory, and the PASID by which the device reaches it. */
static struct viommu_domain *aux_new(struct viommu_host *host, struct viommu_device *dev,
				     struct guest *g, struct viommu_hp *hp)
{
	struct viommu_domain *dom;

	MUST(viommu_domain_new(host, g->mem, NULL, &dom));
	MUST(viommu_pasid_alloc(viommu_domain_owner(dom), 1, VIOMMU_PASID_MAX, hp));
	MUST(viommu_host_bind(dev, dom, *hp, &second_stage));
	return dom;
}

int main(void)
{
	struct viommu_device_config config = { .size = sizeof(config),
					       .sid = 0x28, /* 00:05.0 */
					       .flags = VIOMMU_DEVICE_PASID };
	struct viommu_domain *whole, *aux[2];
	struct viommu_hp hp[2];
	struct viommu_dma_result res;
	struct viommu_host *host;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct guest g[3];
	char text[3][24];
	int i, ret;

	for (i = 0; i < 3; i++) {
		guest_new(&g[i]);
		snprintf(text[i], sizeof(text[i]), "memory of VM %d", i);
		MUST(viommu_mem_write(g[i].mem, 0x5000, text[i], sizeof(text[i])));
	}
	MUST(viommu_host_new(NULL, &host));
	MUST(viommu_device_new(host, &config, &dev));
	MUST(viommu_dma_new(host, &dma));

	MUST(viommu_domain_new(host, g[0].mem, NULL, &whole));
	MUST(viommu_device_attach(dev, whole, &second_stage));
	for (i = 0; i < 2; i++)
		aux[i] = aux_new(host, dev, &g[1 + i], &hp[i]);

	memset(text, 0, sizeof(text));
	MUST(viommu_dma_read(dma, dev, VIOMMU_NO_PASID, 0x5000, text[0], 24, 0, NULL));
	printf("without PASID: '%s'\n", text[0]);
	for (i = 0; i < 2; i++) {
		MUST(viommu_dma_read(dma, dev, hp[i].v, 0x5000, text[1 + i], 24, 0, NULL));
		printf("PASID %u:       '%s'\n", hp[i].v, text[1 + i]);
		MUST(!strcmp(text[1 + i], text[0]));
	}

	viommu_domain_free(aux[0]); /* the VM ends: its bind goes with it */
	ret = viommu_dma_read(dma, dev, hp[0].v, 0x5000, text[1], 24, 0, &res);
	printf("PASID %u after its VM: fault %02xh, %s\n", hp[0].v, res.fault.reason,
	       viommu_fault_text(res.fault.reason));
	MUST(viommu_dma_read(dma, dev, hp[1].v, 0x5000, text[2], 24, 0, NULL));

	viommu_dma_free(dma);
	viommu_host_free(host); /* the device and the other domains with it */
	for (i = 0; i < 3; i++)
		viommu_mem_free(g[i].mem);
	return ret != VIOMMU_FAULTED;
}
