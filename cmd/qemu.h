/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU as `viommu vm` uses it: which one, and what the user's arguments for it say.
 */
#ifndef VIOMMU_CMD_QEMU_H
#define VIOMMU_CMD_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd.h"

/*
 * The QEMU to use: `named` (--qemu), else $VIOMMU_QEMU, else qemu-system-x86_64 in PATH. It is
 * asked for its version and its devices. CMD_OK and a path from malloc(), or CMD_FAILED after one
 * line that says what was found and what is needed.
 */
int qemu_find(const char *command, const char *named, char **path);

/* What matters of the arguments that are the user's. */
struct qemu_args {
	char **word; /* borrowed */
	size_t nr;
	bool machine;   /* names a q35 machine */
	bool cpu;       /* says -cpu */
	bool memory;    /* says a size */
	uint64_t bytes; /* that size */
};

/* CMD_OK or CMD_USAGE after one line: something that cannot work here. */
int qemu_args_read(const char *command, char **word, size_t nr, struct qemu_args *out);

/*
 * The whole command: QEMU, the user's arguments, memory that can be shared, `more` (a vector as of
 * machine_args()). probe: without what would keep the firmware from running, and without a window.
 */
void qemu_command(const char *path, const struct qemu_args *args, char **more, bool probe,
		  struct cmd_words *out);

#endif /* VIOMMU_CMD_QEMU_H */
