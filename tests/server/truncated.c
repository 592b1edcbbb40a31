/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's memory that shrinks under the server. One test: cmocka sets its own handler of SIGBUS
 * for each, over the guard.
 */
#include "server/peer.h"

#include <sys/mman.h>
#include <unistd.h>

static void a_file_that_shrinks_is_a_hole_then(void **state)
{
	int fd = memfd_create("loose", MFD_CLOEXEC);
	struct peer peer;
	struct rig rig;
	uint64_t v = 1;

	(void)state;
	assert_int_equal(ftruncate(fd, 0x2000), 0);
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_map(&peer, 0x20000, 0x2000, 3, fd, 0), 0);
	assert_int_equal(viommu_mem_write(rig.mem, 0x21000, &v, 8), 0);
	assert_int_equal(ftruncate(fd, 0x1000), 0);
	assert_int_equal(viommu_mem_read(rig.mem, 0x21000, &v, 8), -EFAULT);
	/* The client may go on, and end it as any other map. */
	assert_int_equal(peer_unmap(&peer, 0x20000, 0x2000, 0), 0);
	assert_int_equal(peer_map(&peer, 0x20000, 0x1000, 3, fd, 0), 0);
	assert_int_equal(viommu_mem_write(rig.mem, 0x20000, &v, 8), 0);
	peer_close(&peer);
	rig_close(&rig);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_file_that_shrinks_is_a_hole_then),
};
TEST_MAIN(tests)
