/* SPDX-License-Identifier: BSD-3-Clause */
/* The unit's part of a saved state; for the board. */
#ifndef VIOMMU_GUEST_STATE_H
#define VIOMMU_GUEST_STATE_H

#include <viommu/guest.h>

#include "base/state.h"

void viommu__guest_save(struct viommu_guest *g, struct viommu_state_out *out);
/*
 * Into a unit that was reset, with its devices added. False: in->why says why, and the caller
 * resets the unit.
 */
bool viommu__guest_load(struct viommu_guest *g, struct viommu_state_in *in);

#endif /* VIOMMU_GUEST_STATE_H */
