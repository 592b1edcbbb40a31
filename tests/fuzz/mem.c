/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the memory map. The input is a script of additions, removals, accesses, listeners
 * and failing allocations, run against the model of tests/mem.
 */
#include "fuzz/fuzz.h"

#include "mem/model.h"

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct model_stats stats = { 0 };

	model_run(&in, &stats);
}

FUZZ_TARGET
