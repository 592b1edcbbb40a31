/* SPDX-License-Identifier: BSD-3-Clause */
/* A function's part of a saved state; for the board, which has paused it. */
#ifndef VIOMMU_DEV_STATE_H
#define VIOMMU_DEV_STATE_H

#include <viommu/pci.h>

#include "base/state.h"

void viommu__pci_save(struct viommu_pci *pci, struct viommu_state_out *out);
void viommu__pci_model_save(struct viommu_pci *pci, struct viommu_state_out *out);
/*
 * Into a function that was reset and is paused: configuration space and interrupts; nothing is
 * sent. Then, when what the model may ask for is restored, the model.
 */
void viommu__pci_load(struct viommu_pci *pci, struct viommu_state_in *in);
void viommu__pci_model_load(struct viommu_pci *pci, struct viommu_state_in *in);

#endif /* VIOMMU_DEV_STATE_H */
