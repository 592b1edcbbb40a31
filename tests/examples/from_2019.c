/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What docs/from-2019.md shows, done: from_2019.py puts the page's blocks into blocks.h. Prints
 * TAP.
 */
#include <stdio.h>
#include <string.h>

#include "guest.h"

#include "blocks.h"

#define VA UINT64_C(0x7f0000000000)

static int number, failed;

static void is(int good, const char *name)
{
	failed |= !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++number, name);
}

struct world {
	struct vmm vmm; /* first: the handler finds the rest by it */
	struct guest g;
	struct viommu_gpasid_fault fault;
};

/* A page comes for the address that is asked for. */
static void handler(struct vmm *vmm, const struct viommu_gpasid_fault *fault)
{
	struct world *w = (struct world *)vmm;
	uint64_t page = guest_page(&w->g);

	w->fault = *fault;
	MUST(viommu_mem_write(w->g.mem, page, "brought", 8));
	guest_map(&w->g, fault->u.prm.addr, page);
}

static int reads(struct viommu_dma *dma, struct viommu_device *dev, struct viommu_hp hp,
		 uint64_t va, const char *want)
{
	char text[8] = "";

	return !viommu_dma_read(dma, dev, hp.v, va, text, 8, 0, NULL) && !strcmp(text, want);
}

int main(void)
{
	struct viommu_device_config dc = { .size = sizeof(dc),
					   .sid = 0x28,
					   .flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
						    VIOMMU_DEVICE_PRI };
	struct viommu_device_config plain = { .size = sizeof(plain), .sid = 0x30 };
	struct viommu_host_config hc = { .size = sizeof(hc) };
	struct viommu_device *dev, *without;
	struct viommu_host *host;
	struct viommu_dma *dma;
	struct viommu_hp hp, hp2;
	struct world w = { .vmm = { .handler = handler } };
	uint64_t page[2];

	guest_new(&w.g);
	page[0] = guest_page(&w.g);
	page[1] = guest_page(&w.g);
	MUST(viommu_mem_write(w.g.mem, page[0], "first", 6));
	MUST(viommu_mem_write(w.g.mem, page[1], "second", 7));
	guest_map(&w.g, VA, page[0]);
	hc.ops.ctx = &w.vmm;
	hc.ops.page_request = page_request;
	MUST(viommu_host_new(&hc, &host));
	MUST(viommu_domain_new(host, w.g.mem, NULL, &w.vmm.vm));
	MUST(viommu_device_new(host, &dc, &dev));
	MUST(viommu_device_new(host, &plain, &without));
	MUST(viommu_dma_new(host, &dma));

	printf("1..9\n");
	/* The low bits of a CR3 are masked. */
	is(!bind_bytes(w.vmm.vm, dev, w.g.root | 0x18, &hp) && reads(dma, dev, hp, VA, "first"),
	   "bind_with_the_bytes");
	guest_map(&w.g, VA, page[1]);
	is(!invalidate_bytes(w.vmm.vm, dev, hp, VA) && reads(dma, dev, hp, VA, "second"),
	   "invalidate_with_the_bytes");
	guest_map(&w.g, VA, page[0]);
	is(!invalidate_plain(host, w.vmm.vm, hp, VA) && reads(dma, dev, hp, VA, "first"),
	   "invalidate_without_them");
	is(reads(dma, dev, hp, VA + 4096, "brought") && w.fault.type == VIOMMU_GPASID_FAULT_PAGE &&
		   w.fault.u.prm.pasid == hp.v,
	   "a_page_request_is_handled_and_answered");
	is(!unbind(w.vmm.vm, dev, hp) && !reads(dma, dev, hp, VA, "first"), "unbind");
	MUST(viommu_pasid_alloc(viommu_domain_owner(w.vmm.vm), 1, VIOMMU_PASID_MAX, &hp2));
	is(hp2.v == hp.v, "the_pasid_was_given_back");
	is(!bind_plain(w.vmm.vm, dev, w.g.root | 0x18, hp2) && reads(dma, dev, hp2, VA, "first"),
	   "bind_without_the_bytes");
	is(!aux_attach(w.vmm.vm, dev, &hp) && reads(dma, dev, hp, page[1], "second"),
	   "an_aux_domain_has_guest_physical_addresses");
	is(kernel_errno(bind_bytes(w.vmm.vm, without, w.g.root, &hp)) == -524 &&
		   kernel_errno(-EBUSY) == -EBUSY,
	   "errnos_of_the_kernel");

	viommu_dma_free(dma);
	viommu_host_free(host);
	viommu_mem_free(w.g.mem);
	return failed;
}
