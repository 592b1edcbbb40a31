/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/guard.h - the SIGBUS guard: which mappings it watches. viommu_mem_guard_install() is in
 * viommu/mem.h and viommu__mem_lost_count() in mem/mem.h.
 */
#ifndef VIOMMU_SRC_MEM_GUARD_H
#define VIOMMU_SRC_MEM_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mappings watched at a time, in the whole process. Linux allows no more by default. */
#define VIOMMU__GUARD_SLOTS 65536

bool viommu__guard_installed(void);

/*
 * Watch [start, start + bytes): when a page of it is lost, `bit` is set in *dead. Returns a slot,
 * 0 or more, or -ENOSPC. Any thread.
 */
int viommu__guard_add(void *start, size_t bytes, uint32_t *dead, uint32_t bit);
/*
 * Stop watching; a negative slot is allowed. Nobody may access the mapping any more: who is in
 * the handler for it would use *dead after the return.
 */
void viommu__guard_del(int slot);

#endif /* VIOMMU_SRC_MEM_GUARD_H */
