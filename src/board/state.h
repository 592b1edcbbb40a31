/* SPDX-License-Identifier: BSD-3-Clause */
/* What restoring asks of the board. */
#ifndef VIOMMU_BOARD_STATE_H
#define VIOMMU_BOARD_STATE_H

#include <viommu/board.h>

/* The unit's function was restored: functions behind ports get their requester ids. */
void viommu__board_ports_restored(struct viommu_board *board);
/* All of it was restored: whoever has to know where its registers are is told. */
void viommu__board_restored(struct viommu_board *board);

#endif /* VIOMMU_BOARD_STATE_H */
