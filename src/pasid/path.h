/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path over tables of our own: the software host keeps VT-d tables in the memory of this
 * process, so a table address there is a pointer. The same code as viommu_path_lookup() with
 * another reader; what the tables hold is still checked.
 */
#ifndef VIOMMU_PASID_PATH_H
#define VIOMMU_PASID_PATH_H

#include <stdbool.h>
#include <viommu/path.h>

/* FEE0_0000h to FEEF_FFFFh: interrupt messages, never memory. */
static inline bool viommu__path_in_window(uint64_t addr)
{
	return addr >> 20 == 0xfee;
}

/*
 * As viommu_path_lookup(), but unit->rtaddr and every table pointer are addresses of this process
 * that the caller vouches for: they are read as they stand, and no access error comes up. unit->haw
 * must cover them (47 bits and more on the usual 64-bit systems; 52 always does). unit->mem is not
 * read from, only handed on in out->stack.mem, and may be NULL. A writer fills an entry first and
 * stores the word with its P bit last, with release order.
 */
int viommu__path_lookup_own(const struct viommu_unit *unit, const struct viommu_path_request *req,
			    struct viommu_recorder *rec, struct viommu_path_result *out);

#endif /* VIOMMU_PASID_PATH_H */
