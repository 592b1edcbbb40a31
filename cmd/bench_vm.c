/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM for the benchmark: anonymous guest memory with huge pages advised, four-level first-stage
 * tables at its top, one domain, one device, one DMA object. Set-up that fails ends the process:
 * there is nothing to measure then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <viommu/mem.h>
#include <viommu/pasid.h>
#include <viommu/vtd.h>

#include "bench.h"
#include "cmd.h"

static void need(int ret, const char *what)
{
	if (!ret)
		return;
	cmd_error("bench", "%s: %s", what, strerror(-ret));
	exit(CMD_FAILED);
}

void *vm_map_memory(uint64_t bytes, void **map, uint64_t *map_bytes)
{
	uint64_t align = bytes >= GIB ? GIB : 2 * MIB;
	uint8_t *p;

	*map_bytes = bytes + align;
	p = mmap(NULL, *map_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		need(-errno, "guest memory");
	*map = p;
	p += -(uintptr_t)p & (align - 1);
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

double vm_huge_share(const void *p)
{
	unsigned long first, last, kib, rss = 0, huge = 0;
	FILE *f = fopen("/proc/self/smaps", "r");
	bool inside = false;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
			inside = (uintptr_t)p >= first && (uintptr_t)p < last;
		else if (inside && sscanf(line, "Rss: %lu", &kib) == 1)
			rss += kib;
		else if (inside && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			huge += kib;
	}
	fclose(f);
	return rss ? (double)huge / (double)rss : 0;
}

void vm_open(struct vm *vm, const struct vm_config *config)
{
	struct viommu_host_config hc = { .size = sizeof(hc), .ops = config->ops };
	struct viommu_domain_config dc = {
		.size = sizeof(dc),
		.flags = config->domain_flags,
		.max_page_lg2 = config->ss_page_lg2,
	};
	struct viommu_device_config vc = {
		.size = sizeof(vc),
		.sid = 0x28,
		.flags = VIOMMU_DEVICE_PASID | config->device_flags,
	};

	memset(vm, 0, sizeof(*vm));
	vm->bytes = config->bytes;
	vm->data_bytes =
		vm->bytes - (config->table_bytes ? config->table_bytes : config->bytes / 16);
	vm->next_table = vm->data_bytes;
	vm->ram = vm_map_memory(vm->bytes, &vm->map, &vm->map_bytes);
	memset(vm->ram + vm->data_bytes, 0, vm->bytes - vm->data_bytes);
	if (!config->untouched)
		memset(vm->ram, 0x5a, vm->data_bytes);
	vm->huge = vm_huge_share(vm->ram);
	need(viommu_mem_new(&vm->mem), "memory");
	need(viommu_mem_add_ptr(vm->mem, 0, vm->bytes, vm->ram, 0), "memory region");
	need(viommu_host_new(&hc, &vm->host), "host");
	need(viommu_domain_new(vm->host, vm->mem, &dc, &vm->dom), "domain");
	need(viommu_device_new(vm->host, &vc, &vm->dev), "device");
	need(viommu_dma_new(vm->host, &vm->dma), "DMA object");
}

void vm_close(struct vm *vm)
{
	viommu_dma_free(vm->dma);
	viommu_host_free(vm->host);
	viommu_mem_free(vm->mem);
	munmap(vm->map, vm->map_bytes);
}

uint64_t vm_table(struct vm *vm)
{
	uint64_t gpa = vm->next_table;

	vm->next_table += PAGE;
	if (vm->next_table > vm->bytes)
		need(-ENOSPC, "page tables");
	return gpa;
}

static uint64_t *walk(struct vm *vm, uint64_t root, uint64_t gva, unsigned int lg2, bool make)
{
	const uint64_t upper = VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US);
	uint64_t table = root, *entry;
	unsigned int shift;

	for (shift = 39;; shift -= 9) {
		entry = (uint64_t *)(void *)(vm->ram + table) + (gva >> shift & 511);
		if (shift == lg2)
			return entry;
		if (!*entry && make)
			*entry = vm_table(vm) | upper;
		table = *entry & VTD_MASK(VTD_FS_ADDR);
	}
}

uint64_t *vm_entry(struct vm *vm, uint64_t root, uint64_t gva, unsigned int lg2)
{
	return walk(vm, root, gva, lg2, false);
}

void vm_map(struct vm *vm, uint64_t root, uint64_t gva, uint64_t gpa, unsigned int lg2)
{
	*walk(vm, root, gva, lg2, true) = gpa | VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) |
					  VTD_MASK(VTD_FS_US) |
					  (lg2 > PAGE_LG2 ? VTD_MASK(VTD_FS_PS) : 0);
}

uint32_t vm_bind(struct vm *vm, uint64_t root)
{
	struct viommu_gpasid_bind bind = {
		.size = sizeof(bind),
		.flags = VIOMMU_GPASID_VALID,
		.addr_width = 48,
		.gpgd = root,
	};

	need(viommu_pasid_alloc(viommu_domain_owner(vm->dom), 1, VIOMMU_PASID_MAX, &bind.hp),
	     "PASID");
	bind.gp.v = bind.hp.v ^ 0x40000;
	need(viommu_host_bind_gpasid(vm->dev, vm->dom, &bind), "bind");
	return bind.hp.v;
}

void vm_unbind(struct vm *vm, uint32_t pasid)
{
	struct viommu_hp hp = { pasid };

	need(viommu_host_unbind_gpasid(vm->dev, hp), "unbind");
	need(viommu_pasid_free(viommu_domain_owner(vm->dom), hp), "free of a PASID");
}
