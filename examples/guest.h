/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the examples' guests share: memory, and a process's first-stage page table with one page
 * after the other. In a real VMM the guest's kernel writes these tables.
 */
#ifndef EXAMPLES_GUEST_H
#define EXAMPLES_GUEST_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <viommu/viommu.h>

#define GUEST_BYTES (UINT64_C(16) << 20)

/* Stop the example with the line that went wrong. */
#define MUST(call)                                                                        \
	do {                                                                              \
		int must_ret_ = (call);                                                   \
		if (must_ret_) {                                                          \
			fprintf(stderr, "%s:%d: %s gave %d\n", __FILE__, __LINE__, #call, \
				must_ret_);                                               \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

struct guest {
	struct viommu_mem *mem;
	uint64_t root; /* of the process's tables */
	uint64_t next; /* page not used yet */
};

/*
 * Guest memory as QEMU gives it: a memfd. Sealed against shrinking, so that it is taken without a
 * guard.
 */
static inline void guest_new(struct guest *g)
{
	int fd = memfd_create("guest", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	MUST(fd < 0 || ftruncate(fd, GUEST_BYTES) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	MUST(viommu_mem_new(&g->mem));
	MUST(viommu_mem_add_fd(g->mem, 0, GUEST_BYTES, fd, 0, 0));
	close(fd);
	g->root = 0x1000;
	g->next = 0x2000;
}

static inline uint64_t guest_page(struct guest *g)
{
	g->next += 4096;
	return g->next - 4096;
}

/* Map the page at va to gpa for user reads and writes: four levels of first-stage entries. */
static inline void guest_map(struct guest *g, uint64_t va, uint64_t gpa)
{
	const uint64_t bits = VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US);
	uint64_t table = g->root, e;
	int shift;

	for (shift = 39; shift > 12; shift -= 9) {
		uint64_t at = table + (va >> shift & 511) * 8;

		MUST(viommu_mem_load64(g->mem, at, &e));
		if (!(e & VTD_MASK(VTD_FS_P))) {
			e = guest_page(g) | bits;
			MUST(viommu_mem_store64(g->mem, at, e));
		}
		table = e & VTD_MASK(VTD_FS_ADDR);
	}
	MUST(viommu_mem_store64(g->mem, table + (va >> 12 & 511) * 8, gpa | bits));
}

#endif /* EXAMPLES_GUEST_H */
