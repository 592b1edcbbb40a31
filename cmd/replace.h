/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu serve --replace: one process takes the place of another while the guest runs.
 */
#ifndef VIOMMU_CMD_REPLACE_H
#define VIOMMU_CMD_REPLACE_H

#include <viommu-server/server.h>

#include "machine.h"

/* What the process that serves tells besides its board: how it was started. */
struct replace_words {
	int argc;
	char **argv; /* borrowed */
};

/*
 * This machine may be replaced, by one that is made of the same words. CMD_OK or after a message.
 */
int replace_allow(struct machine *m, const struct replace_words *words);

/* The state of a process that stands still, for as long as it takes to make the same machine. */
struct replace {
	struct viommu_server_handover *handover;
	const void *board;
	size_t board_bytes;
	struct replace_words words;
	char *dir;
	bool own_dir;
	bool warned;
	/* Which devices behind ports are there, in the board's order; the bus behind each port. */
	unsigned int nr_plugged;
	unsigned int plugged[MACHINE_MAX_DEVICES];
	unsigned int nr_buses;
	uint8_t bus[VIOMMU_BOARD_MAX_PORTS];
	uint64_t registers;
	uint64_t placed;
};

/*
 * Asks who serves in that folder, or at that control socket, and gives up what he did not have
 * either. CMD_OK, or after a message; then he goes on. To be freed in any case.
 */
int replace_ask(struct replace *r, const char *where, const char *command);
/*
 * m was made of r->words with options.replace: loads its board and serves in the other's stead.
 * CMD_OK or after a message.
 */
int replace_take(struct replace *r, struct machine *m);
void replace_free(struct replace *r);

#endif /* VIOMMU_CMD_REPLACE_H */
