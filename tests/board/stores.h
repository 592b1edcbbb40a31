/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest's processors write, as the log of its hypervisor has it: the memory is read-only for
 * this process, the first store to a page faults, is noted, and goes on. Devices write by mappings
 * of their own (viommu_mem_add_fd()) and are not seen here.
 */
#ifndef VIOMMU_TEST_BOARD_STORES_H
#define VIOMMU_TEST_BOARD_STORES_H

#include <stdint.h>

#define STORES_PAGES 4096u /* at most */

struct stores {
	uint8_t *host;
	uint64_t bytes;
	uint64_t page[STORES_PAGES / 64]; /* atomic: bits of pages that were written */
	struct stores *next;
};

/* From one thread at a time; whoever stores may be others. No system call stores. */
void stores_begin(struct stores *s, uint8_t *host, uint64_t bytes);
/* A bit for each page that was written since, and all of them are clean again. */
void stores_take(struct stores *s, uint64_t *bitmap);
void stores_end(struct stores *s);

#endif /* VIOMMU_TEST_BOARD_STORES_H */
