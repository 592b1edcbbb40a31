/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a failed assertion ends. The only place in the library that prints or aborts.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void viommu__assert_failed(const char *file, int line, const char *func, const char *expr)
{
	fprintf(stderr, "viommu: %s:%d: %s: assertion failed: %s\n", file, line, func, expr);
	abort();
}
