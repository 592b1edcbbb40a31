/* SPDX-License-Identifier: BSD-3-Clause */
/* What board/state.c asks of the board: slots and bus numbers as a state has them. */
#ifndef VIOMMU_BOARD_STATE_H
#define VIOMMU_BOARD_STATE_H

#include <stdbool.h>

#include <viommu/board.h>

/* Where a function is plugged in: what stays when buses get other numbers. */
struct viommu__place {
	uint16_t slot; /* its own on bus 0, or that of the port that it is behind */
	bool behind;   /* a port */
	bool known;    /* the unit has it under its requester id */
};

/* Of the n-th function, in the order of viommu_board_device(). False: there is none. */
bool viommu__board_place(struct viommu_board *board, unsigned int n, struct viommu__place *out);
/* The n-th port and the number of the bus behind it. False: there is none. */
bool viommu__board_bus(struct viommu_board *board, unsigned int n, uint16_t *port, uint8_t *bus);

/* After a reset: buses get the numbers of before a guest has said anything. */
void viommu__board_buses_guess(struct viommu_board *board);
/*
 * The n-th port has bus[n] behind it, and the n-th function is known if known[n] says so. What the
 * guest told is in the unit's configuration space. -EINVAL: that says something else; -EEXIST: two
 * have one requester id; -ENOMEM.
 */
int viommu__board_buses_load(struct viommu_board *board, const uint8_t *bus, const bool *known);

/* The unit's function was restored: whoever has to know where its registers are is told. */
void viommu__board_restored(struct viommu_board *board);

#endif /* VIOMMU_BOARD_STATE_H */
