/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu walk: not there yet; knows --help only.
 */
#include <stdio.h>
#include <string.h>

#include "cmd.h"

int cmd_walk(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		printf("usage: viommu walk\n");
		return CMD_OK;
	}
	if (argc > 1)
		return cmd_usage("walk", "unknown option '%s'", argv[1]);
	return cmd_error("walk", "not implemented");
}
