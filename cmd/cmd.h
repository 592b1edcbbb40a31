/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the subcommands of the tool share. One file each; main.c picks one and hands it its own
 * argument vector, argv[0] being the subcommand's name.
 *
 * Exit status: CMD_OK, CMD_FAILED when the work failed, CMD_USAGE when the command line was wrong
 * (one line on stderr, see cmd_usage).
 */
#ifndef VIOMMU_CMD_H
#define VIOMMU_CMD_H

enum {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
};

int cmd_bench(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_walk(int argc, char **argv);

/* "viommu COMMAND: message" and one line on stderr that points at --help. Returns CMD_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "viommu COMMAND: message" on stderr. Returns CMD_FAILED. */
int cmd_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* VIOMMU_CMD_H */
