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
 * What is replaced as a whole: one machine, or all those of a fleet. Borrowed, as is what it names.
 */
struct replace_whole {
	struct machine *machine;
	unsigned int nr;
	struct fleet *fleet; /* NULL: the machine is alone */
	const struct replace_words *words;
};

/*
 * It may be replaced, by one that is made of the same words. Until its server ends. CMD_OK or after
 * a message.
 */
int replace_allow(struct replace_whole *whole);

/* One machine of a process that stands still. */
struct replace_vm {
	const void *board;
	size_t board_bytes;
	bool warned;
	bool misplaced;
	uint64_t registers;
	uint64_t placed;
	unsigned int nr_plugged; /* behind ports, in their order on the board */
	unsigned int plugged[MACHINE_MAX_DEVICES];
};

/* The state of a process that stands still, for as long as it takes to make the same machines. */
struct replace {
	struct viommu_server_handover *handover;
	struct replace_words words;
	char *dir;
	bool own_dir;
	unsigned int nr;
	struct replace_vm vm[MACHINE_MAX_VMS];
};

/*
 * Asks who serves in that folder, or at that control socket, and gives up what he did not have
 * either. CMD_OK, or after a message; then he goes on. To be freed in any case.
 */
int replace_ask(struct replace *r, const char *where, const char *command);
/*
 * The machines were made of r->words with options.replace: loads their boards and serves in the
 * other's stead. CMD_OK or after a message.
 */
int replace_take(struct replace *r, struct replace_whole *whole);
/* Folders and files are (not) another process's. */
void replace_borrow(struct replace_whole *whole, bool borrowed);
void replace_free(struct replace *r);

#endif /* VIOMMU_CMD_REPLACE_H */
