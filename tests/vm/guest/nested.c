/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested WHAT BDF: one subject of a guest that is a host (see nested.h), on a DSA device that
 * vfio-pci has ("nested take BDF" makes it so).
 */
#include <string.h>

#include "nested.h"

static int take(const char *bdf)
{
	vfio_take(bdf);
	return 0;
}

static int all_moves(const char *bdf)
{
	return nested_moves(bdf, false);
}

static int few_moves(const char *bdf)
{
	return nested_moves(bdf, true);
}

static const struct {
	const char *name;
	int (*run)(const char *bdf);
} subjects[] = {
	{ "take", take },
	{ "attach", nested_attach },
	{ "moves", all_moves },
	{ "few-moves", few_moves },
	{ "invalidate", nested_invalidate },
	{ "replace", nested_replace },
	{ "unmap", nested_unmap },
	{ "faults", nested_faults },
	{ "errors", nested_errors },
	{ "records", nested_records },
	{ "hostile", nested_hostile },
	{ "dirty", nested_dirty },
	{ "reset", nested_reset },
	{ "abandon", nested_abandon },
};

int command_nested(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc == 3 && i < ARRAY_SIZE(subjects); i++) {
		if (!strcmp(subjects[i].name, argv[1]))
			return subjects[i].run(argv[2]);
	}
	result("nested", "no such subject");
	return 1;
}
