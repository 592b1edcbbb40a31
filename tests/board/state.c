/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A board saved, and its guest going on with another one.
 */
#include "board/machine.h"

#include <viommu/vtd.h>

static void a_guest_goes_on_with_another_board(void **state)
{
	uint64_t w[8] = { 0 };
	struct machine m;

	(void)state;
	machine_open(&m, NULL);
	machine_start(&m);
	dsa_enable(&m, MACHINE_GP);
	machine_move(&m);
	memset(machine_ptr(&m, MACHINE_VA + 0x10000), 0x5a, 5000);
	w[0] = (uint64_t)(DSA_OP_MOVE << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32;
	w[1] = MACHINE_VA;
	w[2] = MACHINE_VA + 0x10000;
	w[3] = MACHINE_VA + 0x20000;
	w[4] = 5000;
	dsa_store(&m, 0, w, 32);
	machine_move(&m);
	dsa_store(&m, 32, w + 4, 32);
	machine_move(&m);
	assert_int_equal(dsa_steps(&m), 1);
	assert_int_equal(machine_ptr(&m, MACHINE_VA)[0], 1);
	assert_memory_equal(machine_ptr(&m, MACHINE_VA + 0x20000),
			    machine_ptr(&m, MACHINE_VA + 0x10000), 5000);
	machine_close(&m);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_guest_goes_on_with_another_board),
};
TEST_MAIN(tests)
