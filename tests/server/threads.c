/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server as it is meant to run: its loop on a thread, workers on theirs, real waiting on both
 * sides. Functions do DMA and raise interrupts on workers while clients unmap memory, reset, and
 * die.
 */
#include "server/peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/atomic.h"

static void *serve(void *arg)
{
	struct rig *rig = arg;

	return (void *)(intptr_t)viommu_server_run(rig->server);
}

static pthread_t start(struct rig *rig)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, serve, rig), 0);
	return thread;
}

static void stop(struct rig *rig, pthread_t thread)
{
	void *ret;

	viommu_server_stop(rig->server);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_null(ret);
}

/* A client of a server that runs by itself. */
static void dial(struct peer *peer, struct rig *rig, unsigned int port)
{
	memset(peer, 0, sizeof(*peer));
	peer->fd = peer_dial(rig->toy[port].path);
}

/* Until the server has seen that the last one went, a new one is turned away. */
static void dial_again(struct peer *peer, struct rig *rig, unsigned int port)
{
	do {
		dial(peer, rig, port);
	} while (peer_version(peer, NULL) == EPIPE && !close(peer->fd));
}

static void work_wakes_workers_and_interrupts_come(void **state)
{
	int fds[2] = { event_fd(), event_fd() }, memfd = memory_fd(0x100000);
	uint64_t *ram = mmap(NULL, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	unsigned int round, pieces;
	pthread_t thread;
	struct peer peer;
	struct rig rig;
	uint64_t got;

	(void)state;
	assert_true(ram != MAP_FAILED);
	rig_open(&rig, &(struct rig_config){ .workers = 2 });
	thread = start(&rig);
	dial(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_map(&peer, 0, 0x100000, 3, memfd, 0), 0);
	peer_enable(&peer);
	peer_msix(&peer, fds, 2);
	for (round = 0; round < test_scale(300); round++) {
		pieces = 1 + round % 5;
		assert_int_equal(peer_write64(&peer, TOY_PATTERN, round + 1), 0);
		assert_int_equal(peer_write64(&peer, TOY_ADDR, round * 8 % 4096), 0);
		assert_int_equal(peer_write64(&peer, TOY_WORK, pieces), 0);
		for (got = 0; got < pieces;)
			got += event_wait(fds[1]);
		assert_int_equal(got, pieces);
		for (got = 1; got <= pieces; got++)
			assert_int_equal(load_relaxed(&ram[round % 512 + got]), round + 1 + got);
	}
	close(peer.fd);
	stop(&rig, thread);
	rig_close(&rig);
	munmap(ram, 0x100000);
	close(memfd);
	close(fds[0]);
	close(fds[1]);
}

/* Two functions that three threads work for; one client goes, and its function with it. */
static void threads_of_shared_engines_work_for_all(void **state)
{
	int fds[2][2], memfd = memory_fd(0x10000);
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	unsigned int i, round, pieces;
	struct peer peer[2];
	pthread_t thread;
	struct rig rig;
	uint64_t got;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .ports = 2, .workers = 2, .engines = 3, .vms = true });
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.workers, 0);
	thread = start(&rig);
	for (i = 0; i < 2; i++) {
		fds[i][0] = event_fd();
		fds[i][1] = event_fd();
		dial(&peer[i], &rig, i);
		assert_int_equal(peer_version(&peer[i], NULL), 0);
		if (!i)
			assert_int_equal(peer_map(&peer[i], 0, 0x10000, 3, memfd, 0), 0);
		peer_enable(&peer[i]);
		peer_msix(&peer[i], fds[i], 2);
	}
	/* Each writes to a place of its own. */
	assert_int_equal(peer_write64(&peer[1], TOY_ADDR, 0x8000), 0);
	for (round = 0; round < test_scale(200); round++) {
		pieces = 1 + round % 5;
		for (i = 0; i < 2; i++)
			assert_int_equal(peer_write64(&peer[i], TOY_WORK, pieces), 0);
		for (i = 0; i < 2; i++) {
			for (got = 0; got < pieces;)
				got += event_wait(fds[i][1]);
			assert_int_equal(got, pieces);
		}
		/* The second client goes and comes, with work left. */
		if (round % 16 == 15) {
			assert_int_equal(peer_write64(&peer[1], TOY_WORK, 1000), 0);
			close(peer[1].fd);
			dial_again(&peer[1], &rig, 1);
			peer_enable(&peer[1]);
			assert_int_equal(peer_write64(&peer[1], TOY_ADDR, 0x8000), 0);
			event_take(fds[1][1]);
			peer_msix(&peer[1], fds[1], 2);
			event_take(fds[1][1]);
		}
	}
	for (i = 0; i < 2; i++)
		close(peer[i].fd);
	stop(&rig, thread);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.workers, 3);
	rig_close(&rig);
	for (i = 0; i < 2; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
	close(memfd);
}

static void memory_goes_and_comes_under_dma(void **state)
{
	int fds[2] = { event_fd(), event_fd() }, memfd = memory_fd(0x10000);
	unsigned int round;
	pthread_t thread;
	struct peer peer;
	struct rig rig;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .workers = 2 });
	thread = start(&rig);
	dial(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	peer_enable(&peer);
	peer_msix(&peer, fds, 2);
	assert_int_equal(peer_write64(&peer, TOY_PATTERN, 1), 0);
	for (round = 0; round < test_scale(200); round++) {
		assert_int_equal(peer_map(&peer, 0, 0x10000, 3, memfd, 0), 0);
		assert_int_equal(peer_write64(&peer, TOY_WORK, 100), 0);
		assert_int_equal(peer_unmap(&peer, 0, 0x10000, 0), 0);
		/* When an unmap is answered, nothing of it is touched: see what is written then. */
		assert_int_equal(fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					   0x10000),
				 0);
		{
			uint64_t v = 7;

			assert_int_equal(pread(memfd, &v, 8, 0), 8);
			assert_int_equal(v, 0);
		}
		if (round % 8 == 0)
			assert_int_equal(peer_call(&peer, VFU_RESET, NULL, 0, NULL), 0);
		if (round % 8 == 0)
			peer_enable(&peer);
	}
	close(peer.fd);
	stop(&rig, thread);
	rig_close(&rig);
	close(memfd);
	close(fds[0]);
	close(fds[1]);
}

static void a_client_dies_with_work_in_flight(void **state)
{
	int fds[2] = { event_fd(), event_fd() }, memfd = memory_fd(0x10000);
	unsigned int round, before;
	pthread_t thread;
	struct peer peer, other;
	struct rig rig;
	uint64_t v;

	(void)state;
	/* The other one has the memory: when its client goes, all of them have to. */
	rig_open(&rig, &(struct rig_config){ .ports = 2, .workers = 2 });
	thread = start(&rig);
	dial(&other, &rig, 0);
	assert_int_equal(peer_version(&other, NULL), 0);
	dial_again(&peer, &rig, 1);
	close(peer.fd);
	before = 0;
	for (round = 0; round < test_scale(100); round++) {
		dial_again(&peer, &rig, 1);
		assert_int_equal(peer_map(&peer, 0, 0x10000, 3, memfd, 0), 0);
		peer_enable(&peer);
		peer_msix(&peer, fds, 2);
		v = 1000;
		peer_post(&peer, 0, TOY_WORK, 8, &v);
		if (round & 1)
			event_wait(fds[1]);
		close(peer.fd);
		v = round;
		assert_int_equal(peer_write(&other, 0, 0x800, 8, &v), 0);
		assert_int_equal(peer_read(&other, 0, 0x800, 8, &v), 0);
		assert_int_equal(v, round);
	}
	dial_again(&peer, &rig, 1);
	close(peer.fd);
	close(other.fd);
	stop(&rig, thread);
	assert_int_equal(rig.toy[0].connected, 1);
	assert_true(rig.toy[1].connected > before);
	rig_close(&rig);
	close(memfd);
	close(fds[0]);
	close(fds[1]);
}

struct sender {
	struct toy *toy;
	uint32_t first; /* no two messages are alike: of those one would do */
	pthread_t thread;
};

/* Messages of workers and replies of the loop share one stream and never mix. */
static void *messages(void *arg)
{
	struct sender *sender = arg;
	uint32_t i;

	for (i = 0; i < 2000; i++)
		viommu_pci_message(sender->toy->pci, 0xfee01000, sender->first + i);
	return NULL;
}

static void messages_of_threads_and_replies_do_not_mix(void **state)
{
	unsigned int got = 0, replies = 0;
	struct sender sender[3];
	pthread_t thread;
	struct message m;
	struct peer peer;
	struct rig rig;
	uint8_t p[16] = { 0 };
	uint32_t next[3] = { 0 }, data, i;

	(void)state;
	rig_open(&rig, NULL);
	thread = start(&rig);
	dial(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	for (i = 0; i < 3; i++) {
		sender[i] = (struct sender){ .toy = &rig.toy[0], .first = i << 16 };
		assert_int_equal(pthread_create(&sender[i].thread, NULL, messages, &sender[i]), 0);
	}
	viommu__vfu_put32(p + 12, 4);
	for (i = 0; i < 500; i++)
		peer_send(&peer, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
	while (got < 6000 || replies < 500) {
		assert_true(peer_recv(&peer, &m));
		if (m.h.command == VFU_REGION_READ) {
			assert_int_equal(m.h.id, ++replies + 1);
			continue;
		}
		assert_int_equal(m.h.command, VFU_DMA_WRITE);
		assert_int_equal(m.bytes, 20);
		/* Those of one thread are in order. */
		data = viommu__vfu_get32(m.data + 16);
		assert_true(data >> 16 < 3);
		assert_int_equal(next[data >> 16]++, data & 0xffff);
		got++;
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_join(sender[i].thread, NULL), 0);
	close(peer.fd);
	stop(&rig, thread);
	rig_close(&rig);
}

static struct viommu_server *to_stop;

static void on_signal(int sig)
{
	(void)sig;
	viommu_server_stop(to_stop);
}

static void a_signal_handler_can_stop_it(void **state)
{
	struct sigaction act = { .sa_handler = on_signal }, old;
	pthread_t thread;
	struct rig rig;

	(void)state;
	rig_open(&rig, NULL);
	to_stop = rig.server;
	assert_int_equal(sigaction(SIGUSR1, &act, &old), 0);
	thread = start(&rig);
	assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* Stopped is stopped. */
	assert_int_equal(viommu_server_run(rig.server), 0);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	rig_close(&rig);
}

static void a_client_that_left_does_not_kill_by_sigpipe(void **state)
{
	struct sigaction act = { .sa_handler = SIG_DFL }, old;
	struct message m;
	struct peer peer;
	struct rig rig;
	unsigned int i;

	(void)state;
	assert_int_equal(sigaction(SIGPIPE, &act, &old), 0);
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, &m), 0);
	peer_send(&peer, VFU_RESET, 0, NULL, 0, NULL, 0);
	close(peer.fd);
	for (i = 0; i < 10; i++)
		viommu_pci_message(rig.toy[0].pci, 0xfee00000, i);
	rig_settle(&rig);
	assert_int_equal(rig.toy[0].disconnected, 1);
	rig_close(&rig);
	assert_int_equal(sigaction(SIGPIPE, &old, NULL), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(work_wakes_workers_and_interrupts_come),
	cmocka_unit_test(threads_of_shared_engines_work_for_all),
	cmocka_unit_test(memory_goes_and_comes_under_dma),
	cmocka_unit_test(a_client_dies_with_work_in_flight),
	cmocka_unit_test(messages_of_threads_and_replies_do_not_mix),
	cmocka_unit_test(a_signal_handler_can_stop_it),
	cmocka_unit_test(a_client_that_left_does_not_kill_by_sigpipe),
};
TEST_MAIN(tests)
