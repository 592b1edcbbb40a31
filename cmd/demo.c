/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu demo: not there yet; knows --help only.
 */
#include <stdio.h>
#include <string.h>

#include "cmd.h"

int cmd_demo(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		printf("usage: viommu demo\n");
		return CMD_OK;
	}
	if (argc > 1)
		return cmd_usage("demo", "unknown option '%s'", argv[1]);
	return cmd_error("demo", "not implemented");
}
