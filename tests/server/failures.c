/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each allocation fails once: making a server, adding functions and control sockets, and everything
 * that a client causes. The caller hears -ENOMEM, the client an error reply or a closed connection;
 * nothing is left behind, and the next try succeeds.
 */
#include "server/peer.h"

#include <unistd.h>

#include "base/alloc.h"

static char *no_answer(void *ctx, const char *line)
{
	(void)ctx, (void)line;
	return NULL;
}

static void a_server_without_memory_is_made_whole_or_not_at_all(void **state)
{
	long live = viommu__alloc_live(), n;
	unsigned int fds = settled_fds();
	struct rig rig;
	char path[64];
	int err, done;

	(void)state;
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = rig_try(&rig, &(struct rig_config){ .ports = 2 });
		if (!err) {
			rig_path(&rig, "control", path, sizeof(path));
			err = viommu_server_add_control(rig.server, path, no_answer, NULL);
			done = !viommu__alloc_fail_done();
			rig_close(&rig);
		} else {
			done = !viommu__alloc_fail_done();
		}
		assert_int_equal(viommu__alloc_live(), live);
		assert_fds(fds);
		if (done)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_int_equal(err, 0);
	assert_true(n > 8);
}

/*
 * A whole life of a client. Returns how it ended: 0, ENOMEM (an error reply), EPIPE (closed); dies
 * by the peer's own assertions for anything else. *ended: allocations that failed at its end.
 */
static int life(struct rig *rig, int memfd, int *efds, long *ended)
{
	uint8_t p[16] = { 0 };
	static struct message m;
	struct peer peer;
	unsigned int i;
	int err = 0;

	*ended = 0;
	peer_open(&peer, rig, 0);
	if (peer_is_closed(&peer)) {
		close(peer.fd);
		return EPIPE;
	}
	err = peer_version(&peer, NULL);
	for (i = 0; i < 20 && !err; i++)
		err = peer_map(&peer, i * 0x1000, 0x1000, 3, i & 1 ? memfd : -1, 0);
	if (!err)
		err = peer_irqs(&peer, 0x24, VFU_MSIX, 0, 4, efds, 4);
	/* More than the first buffer of replies holds. */
	viommu__vfu_put32(p + 8, VFU_REGION_CONFIG);
	viommu__vfu_put32(p + 12, 4096);
	for (i = 0; i < 10 && !err; i++)
		peer_send(&peer, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
	for (i = 0; i < 10 && !err; i++)
		err = peer_recv(&peer, &m) ? 0 : EPIPE;
	*ended = viommu__alloc_hook.failed;
	peer_close(&peer);
	*ended = viommu__alloc_hook.failed - *ended;
	return err;
}

static void a_client_without_memory_gets_an_error_or_the_end(void **state)
{
	int memfd = memory_fd(0x1000), efds[4], i, err;
	unsigned int fds, replies = 0, ends = 0;
	struct viommu_mem_region r;
	struct rig rig;
	long n, live, ended = 0, before = viommu__alloc_live();

	(void)state;
	for (i = 0; i < 4; i++)
		efds[i] = event_fd();
	rig_open(&rig, &(struct rig_config){ .ports = 2 });
	live = viommu__alloc_live();
	fds = settled_fds();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = life(&rig, memfd, efds, &ended);
		if (!viommu__alloc_fail_done())
			break;
		/* What ends memory asks for some as well, and does without. */
		assert_true(err == ENOMEM || err == EPIPE || (!err && ended > 0));
		replies += err == ENOMEM;
		ends += err == EPIPE;
		/* Whatever it was, it is gone with the client. */
		if (!ended)
			assert_int_equal(viommu__alloc_live(), live);
		assert_fds(fds);
		assert_int_equal(viommu_mem_next(rig.mem, 0, &r), -ENOENT);
		assert_int_equal(rig.toy[0].connected, rig.toy[0].disconnected);
		/* And there is no trace in the next one. */
		assert_int_equal(life(&rig, memfd, efds, &ended), 0);
	}
	assert_int_equal(err, 0);
	assert_true(replies > 5);
	assert_true(ends > 1);
	rig_close(&rig);
	assert_int_equal(viommu__alloc_live(), before);
	for (i = 0; i < 4; i++)
		close(efds[i]);
	close(memfd);
}

/* With worker threads: a function whose workers can't be made has no client. */
static void workers_are_all_there_or_the_client_is_refused(void **state)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	unsigned int fds;
	struct peer peer;
	struct rig rig;
	long n, live;
	int done;

	(void)state;
	for (n = 1;; n++) {
		rig_open(&rig, &(struct rig_config){ .workers = 3 });
		live = viommu__alloc_live();
		fds = settled_fds();
		viommu__alloc_fail_nth(n);
		peer_open(&peer, &rig, 0);
		done = !viommu__alloc_fail_done();
		viommu_server_stats(rig.server, &stats);
		if (!done) {
			assert_true(peer_is_closed(&peer));
			assert_int_equal(stats.workers == 0 || stats.workers == 3, 1);
			assert_int_equal(rig.toy[0].connected, 0);
			peer_close(&peer);
			assert_fds(fds);
			if (!stats.workers)
				assert_int_equal(viommu__alloc_live(), live);
			peer_open(&peer, &rig, 0);
			viommu_server_stats(rig.server, &stats);
		}
		assert_int_equal(stats.workers, 3);
		assert_int_equal(peer_version(&peer, NULL), 0);
		peer_close(&peer);
		rig_close(&rig);
		if (done)
			break;
	}
	assert_true(n > 4);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_server_without_memory_is_made_whole_or_not_at_all),
	cmocka_unit_test(a_client_without_memory_gets_an_error_or_the_end),
	cmocka_unit_test(workers_are_all_there_or_the_client_is_refused),
};
TEST_MAIN(tests)
