/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server is replaced while its clients are connected: in the middle of everything that can be
 * half done, several times, and by one that fails at each step.
 */
#include "server/closer.h"
#include "server/relay.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bits.h"

#define RAM_BYTES 0x10000u

static struct viommu__port *port0(struct rig *rig)
{
	return container_of(rig->server->ports.next, struct viommu__port, node);
}

static void start(struct relay *relay, struct peer *peer, const struct rig_config *config)
{
	relay_open(relay, config);
	peer_open(peer, relay->now, 0);
	assert_int_equal(peer_version(peer, NULL), 0);
}

static void end(struct relay *relay, struct peer *peer)
{
	peer_close(peer);
	relay_close(relay);
}

static void qemu_goes_on_with_the_next_server(void **state)
{
	struct viommu_server_stats before = { .size = sizeof(before) }, after = before;
	unsigned int fds = settled_fds(), i;
	int memfd, efd, vector[2];
	struct viommu_mem_region r;
	struct relay relay;
	struct peer peer;
	uint64_t v;

	(void)state;
	memfd = memory_fd(0x10000000);
	efd = event_fd();
	for (i = 0; i < 2; i++)
		vector[i] = event_fd();
	relay_open(&relay, NULL);
	peer_open(&peer, relay.now, 0);
	peer_start(&peer, memfd, efd);
	peer_enable(&peer);
	peer_msix(&peer, vector, 2);
	for (i = 0; i < 10; i++) {
		assert_int_equal(peer_write64(&peer, 0x100, 0x1000 + i), 0);
		viommu_server_stats(relay.now->server, &before);
		relay_replace(&relay, &peer);
		viommu_server_stats(relay.now->server, &after);
		assert_int_equal(after.clients, 1);
		assert_int_equal(after.maps, before.maps);
		assert_int_equal(after.messages, before.messages);
		assert_int_equal(after.interrupts, before.interrupts);
		assert_int_equal(relay.now->toy[0].connected, 1);
		assert_int_equal(relay.now->toy[0].resets, 0);
		assert_int_equal(peer_read(&peer, 0, 0x100, 8, &v), 0);
		assert_int_equal(v, 0x1000 + i);
		/* Its interrupts, its memory with the holes, its read-only parts. */
		assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, 1), 0);
		assert_int_equal(event_take(vector[1]), 1);
		assert_int_equal(event_take(vector[0]), 0);
		assert_int_equal(viommu_mem_next(relay.now->mem, 0, &r), 0);
		assert_int_equal(r.bytes, 0xc0000);
		assert_int_equal(viommu_mem_next(relay.now->mem, 0xc0000, &r), 0);
		assert_int_equal(r.gpa, 0x100000);
		v = i;
		assert_int_equal(viommu_mem_write(relay.now->mem, 0x200000, &v, 8), 0);
		v = 99;
		assert_int_equal(pread(memfd, &v, 8, 0x200000), 8);
		assert_int_equal(v, i);
	}
	/* What a map made before is unmapped now, and only that. */
	assert_int_equal(peer_unmap(&peer, 0x100000, 0x1000, 0), ENOENT);
	assert_int_equal(peer_unmap(&peer, 0x100000, 0xff00000, 0), 0);
	assert_int_equal(peer_map(&peer, 0x100000, 0x100000, 1, memfd, 0x100000), 0);
	relay_replace(&relay, &peer);
	assert_int_equal(viommu_mem_next(relay.now->mem, 0x100000, &r), 0);
	assert_int_equal(r.bytes, 0x100000);
	assert_int_equal(r.flags, VIOMMU_MEM_READ_ONLY);
	end(&relay, &peer);
	close(memfd);
	close(efd);
	for (i = 0; i < 2; i++)
		close(vector[i]);
	assert_fds(fds);
}

static void put_access(uint8_t p[16], uint64_t offset, uint32_t count)
{
	viommu__vfu_put64(p, offset);
	viommu__vfu_put32(p + 8, 0);
	viommu__vfu_put32(p + 12, count);
}

static void a_message_may_be_cut_at_each_byte(void **state)
{
	const struct viommu__vfu_header h = { .id = 7,
					      .command = VFU_REGION_WRITE,
					      .size = VFU_HEADER + 24 };
	uint8_t p[2 * (VFU_HEADER + 24)];
	struct relay relay;
	struct message m;
	struct peer peer;
	size_t cut;
	int i;

	(void)state;
	start(&relay, &peer, NULL);
	for (i = 0; i < 2; i++) {
		viommu__vfu_put_header(p + i * 40, &h);
		put_access(p + i * 40 + VFU_HEADER, 0x100 + 8 * (uint64_t)i, 8);
	}
	for (cut = 0; cut <= sizeof(p); cut++) {
		for (i = 0; i < 2; i++)
			viommu__vfu_put64(p + i * 40 + VFU_HEADER + 16, cut * 2 + (uint64_t)i);
		peer_raw(&peer, p, cut, NULL, 0);
		rig_settle(relay.now);
		relay_replace(&relay, &peer);
		peer_raw(&peer, p + cut, sizeof(p) - cut, NULL, 0);
		for (i = 0; i < 2; i++) {
			assert_true(peer_recv(&peer, &m));
			assert_int_equal(m.h.id, 7);
			assert_int_equal(m.h.flags, VFU_REPLY);
			assert_int_equal(relay.now->toy[0].reg[0x20 + i], cut * 2 + (uint64_t)i);
		}
	}
	end(&relay, &peer);
}

static void what_was_received_and_not_looked_at_is_looked_at(void **state)
{
	struct relay relay;
	struct peer peer;
	uint64_t v;
	unsigned int i;

	(void)state;
	start(&relay, &peer, NULL);
	/* A message a turn, so that the buffer is never empty. */
	relay.now->server->turn_ns = 0;
	for (i = 1; i <= 20; i++) {
		v = i;
		peer_post(&peer, 0, 0x100 + i * 8, 8, &v);
	}
	for (i = 0; i < 5; i++)
		rig_step(relay.now);
	assert_true(relay.now->toy[0].writes > 0 && relay.now->toy[0].writes < 20);
	relay_replace(&relay, &peer);
	rig_settle(relay.now);
	for (i = 1; i <= 20; i++)
		assert_int_equal(relay.now->toy[0].reg[0x20 + i], i);
	end(&relay, &peer);
}

static void put_writes(uint8_t *p, uint32_t n, uint64_t offset)
{
	uint32_t i;

	viommu__vfu_put64(p, n);
	for (i = 0; i < n; i++) {
		put_access(p + 8 + 24 * i, offset, 8);
		viommu__vfu_put64(p + 8 + 24 * i + 16, i + 1);
	}
}

static void a_message_of_many_writes_goes_on_where_it_stopped(void **state)
{
	uint8_t p[8 + 24 * 20];
	uint64_t writes = 0;
	struct relay relay;
	struct message m;
	struct peer peer;
	unsigned int stop, i;

	(void)state;
	start(&relay, &peer, NULL);
	put_writes(p, 20, 0x800);
	for (stop = 1; stop < 20; stop++) {
		writes = relay.now->toy[0].writes;
		relay.now->server->turn_ns = 0;
		peer_send(&peer, VFU_WRITE_MULTI, 0, p, sizeof(p), NULL, 0);
		for (i = 0; i < stop; i++)
			rig_step(relay.now);
		assert_int_equal(relay.now->toy[0].writes, writes + stop);
		/* Or the loop goes on with it before it hears of the other. */
		list_del(&port0(relay.now)->runnable);
		list_init(&port0(relay.now)->runnable);
		relay_replace(&relay, &peer);
		assert_true(peer_recv(&peer, &m));
		assert_int_equal(m.h.command, VFU_WRITE_MULTI);
		assert_int_equal(m.h.flags, VFU_REPLY);
		assert_int_equal(viommu__vfu_get64(m.data), 20);
		assert_int_equal(relay.now->toy[0].writes, 20 - stop);
		assert_int_equal(relay.now->toy[0].reg[0x100], 20);
	}
	end(&relay, &peer);
}

static void replies_that_nobody_has_read_arrive_in_order(void **state)
{
	struct relay relay;
	struct message m;
	struct peer peer;
	uint8_t p[16];
	uint16_t first;
	unsigned int i, n = 0;

	(void)state;
	start(&relay, &peer, NULL);
	first = (uint16_t)(peer.id + 1);
	viommu__vfu_put64(p, 0);
	viommu__vfu_put32(p + 8, VFU_REGION_CONFIG);
	viommu__vfu_put32(p + 12, 4096);
	/* More than its socket takes. */
	while (!port0(relay.now)->out.to) {
		peer_send(&peer, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
		rig_settle(relay.now);
		n++;
	}
	for (i = 0; i < 3; i++)
		relay_replace(&relay, &peer);
	for (i = 0; i < n; i++) {
		assert_true(peer_recv(&peer, &m));
		assert_int_equal(m.h.id, (uint16_t)(first + i));
		assert_int_equal(m.bytes, 16 + 4096);
	}
	assert_int_equal(peer_write64(&peer, 0x100, 1), 0);
	end(&relay, &peer);
}

/* Received with their first byte, and the rest of it is still to come. */
static void descriptors_belong_to_a_message_that_is_not_whole(void **state)
{
	const struct viommu__vfu_header map = { .id = 9,
						.command = VFU_DMA_MAP,
						.size = VFU_HEADER + 32 };
	const struct viommu__vfu_header irqs = { .id = 10,
						 .command = VFU_SET_IRQS,
						 .size = VFU_HEADER + 20 };
	unsigned int fds = settled_fds(), round;
	int memfd = memory_fd(RAM_BYTES), vector[4], i;
	uint8_t p[VFU_HEADER + 32], q[VFU_HEADER + 20];
	struct viommu_mem_region r;
	struct relay relay;
	struct message m;
	struct peer peer;

	(void)state;
	for (i = 0; i < 4; i++)
		vector[i] = event_fd();
	start(&relay, &peer, NULL);
	peer_enable(&peer);
	viommu__vfu_put_header(p, &map);
	viommu__vfu_put32(p + 16, 32);
	viommu__vfu_put32(p + 20, 3);
	viommu__vfu_put64(p + 24, 0);
	viommu__vfu_put64(p + 40, RAM_BYTES);
	viommu__vfu_put_header(q, &irqs);
	viommu__vfu_put32(q + 16, 20);
	viommu__vfu_put32(q + 20, 0x24);
	viommu__vfu_put32(q + 24, VFU_MSIX);
	viommu__vfu_put32(q + 28, 0);
	viommu__vfu_put32(q + 32, 4);
	peer_msix(&peer, vector, 1);
	for (round = 0; round < sizeof(q); round++) {
		viommu__vfu_put64(p + 32, round * RAM_BYTES);
		peer_raw(&peer, p, 1 + round, &memfd, 1);
		rig_settle(relay.now);
		relay_replace(&relay, &peer);
		peer_raw(&peer, p + 1 + round, sizeof(p) - 1 - round, NULL, 0);
		assert_true(peer_recv(&peer, &m));
		assert_int_equal(m.h.id, 9);
		assert_int_equal(m.h.flags, VFU_REPLY);
		assert_int_equal(viommu_mem_next(relay.now->mem, round * RAM_BYTES, &r), 0);
		assert_int_equal(r.gpa, round * RAM_BYTES);
		/* With the whole message, that has not had its turn yet. */
		peer_raw(&peer, q, 1 + round, vector, 4);
		if (1 + round < sizeof(q))
			rig_settle(relay.now);
		relay_replace(&relay, &peer);
		peer_raw(&peer, q + 1 + round, sizeof(q) - 1 - round, NULL, 0);
		assert_true(peer_recv(&peer, &m));
		assert_int_equal(m.h.id, 10);
		assert_int_equal(m.h.flags, VFU_REPLY);
		assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, 3), 0);
		assert_int_equal(event_take(vector[3]), 1);
		assert_int_equal(event_take(vector[0]), 0);
	}
	/* One file, however many maps. */
	assert_int_equal(port0(relay.now)->maps.nr, sizeof(q));
	assert_int_equal(port0(relay.now)->maps.file[0].refs, sizeof(q));
	assert_int_equal(port0(relay.now)->maps.file[1].refs, 0);
	end(&relay, &peer);
	close(memfd);
	for (i = 0; i < 4; i++)
		close(vector[i]);
	assert_fds(fds);
}

static void a_level_stays_and_is_signalled_once(void **state)
{
	int intx = event_fd(), unmask = event_fd(), i;
	struct relay relay;
	struct peer peer;
	uint64_t one = 1;

	(void)state;
	start(&relay, &peer, NULL);
	peer_enable(&peer);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_INTX, 0, 1, &intx, 1), 0);
	assert_int_equal(peer_irqs(&peer, 0x14, VFU_INTX, 0, 1, &unmask, 1), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTX, 1), 0);
	assert_int_equal(event_take(intx), 1);
	for (i = 0; i < 3; i++) {
		relay_replace(&relay, &peer);
		rig_settle(relay.now);
		/*
		 * Masked by its own signal, as before. (Once the client has unmasked, it counts.)
		 */
		assert_int_equal(event_take(intx), i ? 1 : 0);
		assert_int_equal(peer_irqs(&peer, 0x11, VFU_INTX, 0, 1, NULL, 0), 0);
		assert_int_equal(event_take(intx), 1);
		assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
		rig_settle(relay.now);
		assert_int_equal(event_take(intx), 1);
	}
	/* Unmasked while nobody serves: not lost. */
	relay_start(&relay);
	assert_int_equal(relay_ask(&relay), 0);
	assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
	assert_int_equal(relay_add(&relay), 0);
	assert_int_equal(event_take(intx), 0);
	assert_int_equal(relay_take(&relay), 0);
	relay_stop(&relay);
	viommu_server_handover_free(relay.h);
	rig_inherit(relay.heir, relay.now);
	rig_close(relay.now);
	relay.now = relay.heir;
	peer.rig = relay.now;
	rig_settle(relay.now);
	assert_int_equal(event_take(intx), 1);
	assert_int_equal(peer_write64(&peer, TOY_INTX, 0), 0);
	assert_int_equal(peer_irqs(&peer, 0x11, VFU_INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(event_take(intx), 0);
	end(&relay, &peer);
	close(intx);
	close(unmask);
}

static void a_client_that_comes_meanwhile_is_served_by_the_next(void **state)
{
	struct relay relay;
	struct peer peer = { .fd = -1 };

	(void)state;
	relay_open(&relay, NULL);
	relay_start(&relay);
	assert_int_equal(relay_ask(&relay), 0);
	peer.fd = peer_dial(relay.now->toy[0].path);
	assert_int_equal(relay_add(&relay), 0);
	assert_int_equal(relay_take(&relay), 0);
	relay_stop(&relay);
	assert_int_equal(relay.now->toy[0].connected, 0);
	viommu_server_handover_free(relay.h);
	rig_inherit(relay.heir, relay.now);
	rig_close(relay.now);
	relay.now = relay.heir;
	peer.rig = relay.now;
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(relay.now->toy[0].connected, 1);
	end(&relay, &peer);
}

/* The old one goes on: with a client in the middle of a message, its interrupts and its memory. */
static void goes_on(struct relay *relay, struct peer *peer, int memfd, int vector)
{
	struct viommu_mem_region r;
	uint64_t v = 0;

	assert_int_equal(relay->saved, relay->resumed);
	assert_int_equal(viommu_server_handed_over(relay->now->server), 0);
	peer_raw(peer, "", 0, NULL, 0);
	assert_int_equal(peer_write64(peer, 0x100, 5), 0);
	assert_int_equal(peer_read(peer, 0, 0x100, 8, &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(peer_write64(peer, TOY_INTERRUPT, 0), 0);
	assert_int_equal(event_take(vector), 1);
	assert_int_equal(viommu_mem_next(relay->now->mem, 0, &r), 0);
	assert_int_equal(r.bytes, RAM_BYTES);
	assert_int_equal(peer_map(peer, RAM_BYTES, RAM_BYTES, 3, memfd, 0), 0);
	assert_int_equal(peer_unmap(peer, RAM_BYTES, RAM_BYTES, 0), 0);
	assert_int_equal(access(relay->path, F_OK), 0);
	assert_int_equal(access(relay->now->toy[0].path, F_OK), 0);
}

static void one_that_fails_at_any_step_leaves_the_other_serving(void **state)
{
	int memfd = memory_fd(RAM_BYTES), vector = event_fd();
	unsigned int fds, step;
	struct relay relay;
	struct peer peer;

	(void)state;
	start(&relay, &peer, NULL);
	peer_enable(&peer);
	peer_msix(&peer, &vector, 1);
	assert_int_equal(peer_map(&peer, 0, RAM_BYTES, 3, memfd, 0), 0);
	fds = settled_fds();
	for (step = 0; step < 5; step++) {
		relay_start(&relay);
		switch (step) {
		case 0: /* it says nothing else */
			close(peer_dial(relay.path));
			break;
		case 1:
			assert_int_equal(relay_ask(&relay), 0);
			break;
		case 2:
			assert_int_equal(relay_ask(&relay), 0);
			assert_int_equal(relay_add(&relay), 0);
			break;
		case 3: /* it says something else */
			assert_int_equal(relay_ask(&relay), 0);
			assert_int_equal(viommu__line_send(relay.h->fd, "steady\n", 0), 0);
			break;
		case 4: /* it says it is ready, and does not hear the answer */
			assert_int_equal(relay_ask(&relay), 0);
			assert_int_equal(relay_add(&relay), 0);
			shutdown(relay.h->fd, SHUT_RD);
			assert_int_equal(viommu__line_send(relay.h->fd, "ready\n", 0), 0);
			break;
		}
		relay_give_up(&relay);
		/* It has noticed when it answers again. */
		assert_int_equal(close(peer_dial(relay.path)), 0);
		relay_stop(&relay);
		goes_on(&relay, &peer, memfd, vector);
		assert_fds(fds);
	}
	relay_replace(&relay, &peer);
	end(&relay, &peer);
	close(memfd);
	close(vector);
}

static void one_that_is_silent_is_not_waited_for(void **state)
{
	int memfd = memory_fd(RAM_BYTES), vector = event_fd();
	struct relay relay;
	struct peer peer;

	(void)state;
	start(&relay, &peer, NULL);
	peer_enable(&peer);
	peer_msix(&peer, &vector, 1);
	assert_int_equal(peer_map(&peer, 0, RAM_BYTES, 3, memfd, 0), 0);
	relay.now->server->handover_ms = 50;
	relay_start(&relay);
	assert_int_equal(relay_ask(&relay), 0);
	assert_int_equal(relay_add(&relay), 0);
	/* Until the other one has given up, and said so. */
	assert_int_equal(viommu__fd_wait(relay.h->fd, POLLIN, INT64_MAX), 0);
	assert_int_equal(relay_take(&relay), -ECANCELED);
	assert_string_equal(relay.why, "the server there goes on");
	relay_give_up(&relay);
	relay_stop(&relay);
	assert_int_equal(relay.resumed, 1);
	goes_on(&relay, &peer, memfd, vector);
	end(&relay, &peer);
	close(memfd);
	close(vector);
}

static void refused(struct relay *relay, int err, const char *why)
{
	relay_start(relay);
	assert_int_equal(relay_ask(relay), err);
	assert_null(relay->h);
	assert_string_equal(relay->why, why);
	relay_stop(relay);
	assert_int_equal(relay->resumed, relay->saved);
}

static void what_cant_be_handed_over_is_refused_with_the_reason(void **state)
{
	int memfd[MAPS_FILES + 1];
	char answer[256];
	struct relay relay;
	struct peer peer;
	unsigned int i;
	int fd;

	(void)state;
	start(&relay, &peer, NULL);
	relay.refuses = "the moon is full";
	refused(&relay, -EOPNOTSUPP, "the server there says: the moon is full");
	relay.refuses = NULL;
	/* Not at this socket: nothing stands still for it. */
	relay.elsewhere = true;
	refused(&relay, -EOPNOTSUPP, "the server there says: ask elsewhere");
	relay.elsewhere = false;
	/* Another version. */
	fd = peer_dial(relay.path);
	assert_int_equal(send(fd, "replace 77\n", 11, 0), 11);
	rig_settle(relay.now);
	memset(answer, 0, sizeof(answer));
	assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
	assert_string_equal(answer, "refused its version of the state is 1, not 77\n");
	close(fd);
	assert_int_equal(relay.saved, 0);
	/* More files than are kept; one less will do. */
	for (i = 0; i <= MAPS_FILES; i++) {
		memfd[i] = memory_fd(0x1000);
		assert_int_equal(peer_map(&peer, i * 0x1000, 0x1000, 3, memfd[i], 0), 0);
	}
	refused(&relay, -EOPNOTSUPP, "the server there says: a client's memory has too many files");
	assert_int_equal(relay.saved, 1);
	assert_int_equal(peer_unmap(&peer, 0x1000, 0x1000, 0), 0);
	/* That one is mapped, and its file still is not kept. */
	refused(&relay, -EOPNOTSUPP, "the server there says: a client's memory has too many files");
	assert_int_equal(peer_unmap(&peer, MAPS_FILES * 0x1000, 0x1000, 0), 0);
	assert_int_equal(peer_map(&peer, 0, 0x1000, 3, -1, 0), EEXIST);
	relay_replace(&relay, &peer);
	for (i = 0; i <= MAPS_FILES; i++)
		close(memfd[i]);
	end(&relay, &peer);
}

/* The state is right, and one of its descriptors is something else. */
static void a_descriptor_of_another_kind_is_refused(void **state)
{
	int memfd = memory_fd(RAM_BYTES), vector = event_fd(), unmask = event_fd(), wrong[4];
	unsigned int at, kind, nr = 1, right = 0;
	struct relay relay;
	struct peer peer;
	bool same;
	int err;

	(void)state;
	start(&relay, &peer, NULL);
	peer_enable(&peer);
	peer_msix(&peer, &vector, 1);
	assert_int_equal(peer_irqs(&peer, 0x14, VFU_INTX, 0, 1, &unmask, 1), 0);
	assert_int_equal(peer_map(&peer, 0, RAM_BYTES, 3, memfd, 0), 0);
	assert_int_equal(pipe(wrong), 0);
	wrong[2] = vector;
	wrong[3] = memfd;
	for (at = 0; at < nr; at++) {
		for (kind = 0; kind < 4; kind++) {
			relay_start(&relay);
			assert_int_equal(relay_ask(&relay), 0);
			nr = relay.h->nr_fds;
			same = (kind == 2 && viommu__fd_is_eventfd(relay.h->fds[at])) ||
			       (kind == 3 && viommu__fd_is_memory(relay.h->fds[at]));
			right += same;
			assert_true(dup2(wrong[kind], relay.h->fds[at]) >= 0);
			err = relay_add(&relay);
			assert_int_equal(err, same ? 0 : -EINVAL);
			relay_give_up(&relay);
			assert_int_equal(close(peer_dial(relay.path)), 0);
			relay_stop(&relay);
			goes_on(&relay, &peer, memfd, vector);
		}
	}
	/* Two listeners, a connection, a file, and what the client gave. */
	assert_int_equal(nr, 6);
	assert_int_equal(right, 3);
	end(&relay, &peer);
	close(wrong[0]);
	close(wrong[1]);
	close(memfd);
	close(vector);
	close(unmask);
}

static void a_server_without_its_leave_is_not_replaced(void **state)
{
	struct viommu_server_handover_ops bad = { .size = sizeof(bad) };
	struct viommu_server_handover *h;
	struct viommu_server *server;
	struct relay relay;
	char why[64];

	(void)state;
	relay_open(&relay, NULL);
	assert_int_equal(viommu_server_allow_handover(relay.now->server, &bad), -EINVAL);
	relay.now->server->handover.save = NULL;
	relay.deaf = true;
	refused(&relay, -EOPNOTSUPP, "the server there can't be replaced");
	assert_int_equal(viommu_server_handover_new("/nowhere/control", &h, why, sizeof(why)),
			 -ENOENT);
	assert_string_equal(why, "No such file or directory");
	assert_int_equal(viommu_server_handover_new("/nowhere/control", &h, NULL, 0), -ENOENT);
	assert_int_equal(viommu_server_take(relay.now->server, why, sizeof(why)), -EINVAL);
	/* A state that nobody has looked at. */
	h = calloc(1, sizeof(*h));
	assert_int_equal(
		viommu_server_new(
			&(struct viommu_server_config){ .size = sizeof(struct viommu_server_config),
							.handover = h },
			&server),
		-EINVAL);
	free(h);
	relay_close(&relay);
}

struct ended {
	unsigned int calls;
	int err;
	struct viommu_server *server;
	struct viommu_pci *pci;
	int again;
};

static void ended(void *ctx, int err, const void *data, size_t bytes)
{
	struct ended *e = ctx;

	(void)data;
	(void)bytes;
	e->calls++;
	e->err = err;
	e->again = viommu_server_dma_read(e->server, e->pci, 0, 8, ended, e);
}

static void dma_by_messages_is_cancelled_and_its_late_reply_meets_nobody(void **state)
{
	struct ended e = { 0 }, f = { 0 };
	struct message first, second;
	struct relay relay;
	struct peer peer;
	uint8_t p[24] = { 0 };

	(void)state;
	start(&relay, &peer, NULL);
	e.server = relay.now->server;
	e.pci = relay.now->toy[0].pci;
	assert_int_equal(viommu_server_dma_read(e.server, e.pci, 0x1000, 8, ended, &e), 0);
	relay_replace(&relay, &peer);
	assert_int_equal(e.calls, 1);
	assert_int_equal(e.err, -ECANCELED);
	assert_int_equal(e.again, -EAGAIN);
	f.server = relay.now->server;
	f.pci = relay.now->toy[0].pci;
	assert_int_equal(viommu_server_dma_read(f.server, f.pci, 0x1000, 8, ended, &f), 0);
	assert_true(peer_recv(&peer, &first));
	assert_true(peer_recv(&peer, &second));
	assert_int_equal(first.h.command, VFU_DMA_READ);
	assert_int_not_equal(first.h.id, second.h.id);
	memcpy(p, first.data, 16);
	peer.id = (uint16_t)(first.h.id - 1);
	peer_send(&peer, VFU_DMA_READ, VFU_REPLY, p, sizeof(p), NULL, 0);
	rig_settle(relay.now);
	assert_int_equal(f.calls, 0);
	peer.id = (uint16_t)(second.h.id - 1);
	peer_send(&peer, VFU_DMA_READ, VFU_REPLY, p, sizeof(p), NULL, 0);
	rig_settle(relay.now);
	assert_int_equal(f.calls, 1);
	assert_int_equal(f.err, 0);
	assert_int_equal(f.again, 0);
	end(&relay, &peer);
}

static void work_goes_on_in_the_next_server(void **state)
{
	const struct rig_config config = { .ports = 2, .workers = 3 };
	int memfd = memory_fd(RAM_BYTES), vector[2] = { event_fd(), event_fd() };
	struct peer memory, device;
	struct relay relay;
	uint64_t v, i;
	unsigned int n;

	(void)state;
	start(&relay, &memory, &config);
	peer_open(&device, relay.now, 1);
	assert_int_equal(peer_version(&device, NULL), 0);
	assert_int_equal(peer_map(&memory, 0, RAM_BYTES, 3, memfd, 0), 0);
	/* The other one tells of the same memory, and does not fill it. */
	assert_int_equal(peer_map(&device, 0, RAM_BYTES, 3, memfd, 0), 0);
	peer_enable(&device);
	peer_msix(&device, vector, 2);
	assert_int_equal(peer_write64(&device, TOY_PATTERN, 0x5000), 0);
	for (n = 1; n <= 5; n++) {
		assert_int_equal(peer_write64(&device, TOY_WORK, 1000), 0);
		relay_replace(&relay, &memory);
		device.rig = relay.now;
	}
	for (v = 0; v < 5000;)
		v += event_wait(vector[1]);
	assert_int_equal(v, 5000);
	for (i = 1; i <= 1000; i++) {
		assert_int_equal(pread(memfd, &v, 8, (off_t)i * 8), 8);
		assert_int_equal(v, 0x5000 + i);
	}
	assert_int_equal(relay.now->toy[0].connected, 1);
	assert_int_equal(relay.now->toy[1].connected, 1);
	peer_close(&device);
	end(&relay, &memory);
	close(memfd);
	close(vector[0]);
	close(vector[1]);
}

/*
 * The serving one is a process of its own, and dies when the other one has everything: before it
 * was asked to go, and after it has said so.
 */
static void a_server_that_dies_is_replaced_all_the_same(void **state)
{
	struct relay relay;
	struct peer peer;
	int status, sync[2];
	char byte;
	pid_t pid;

	(void)state;
	start(&relay, &peer, NULL);
	assert_int_equal(peer_write64(&peer, 0x100, 77), 0);
	assert_int_equal(pipe(sync), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(peer.fd);
		/* Not another's when it is closed in the other process. */
		relay.now->server->handover_ms = 1000000;
		if (write(sync[1], "", 1) != 1)
			_exit(1);
		for (;;)
			viommu__server_step(relay.now->server, -1);
	}
	assert_int_equal(read(sync[0], &byte, 1), 1);
	assert_int_equal(relay_ask(&relay), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(relay_add(&relay), 0);
	assert_int_equal(relay_take(&relay), 0);
	viommu_server_handover_free(relay.h);
	/* Here its twin still has everything as well, and is to let go of it. */
	relay.now->server->handed_over = true;
	viommu__server_leave(relay.now->server);
	rig_inherit(relay.heir, relay.now);
	rig_close(relay.now);
	relay.now = relay.heir;
	peer.rig = relay.now;
	rig_settle(relay.now);
	assert_int_equal(relay.now->toy[0].reg[0x20], 77);
	assert_int_equal(peer_write64(&peer, 0x100, 78), 0);
	close(sync[0]);
	close(sync[1]);
	end(&relay, &peer);
}

/* Each path of the one that comes, short of memory once. */
static void one_without_memory_gives_up_and_the_next_succeeds(void **state)
{
	const struct rig_config config = { .ports = 2, .workers = 1 };
	int memfd = memory_fd(RAM_BYTES), vector = event_fd(), err;
	struct relay relay;
	struct peer peer;
	unsigned int fds;
	long live, n;
	bool done = false;

	(void)state;
	start(&relay, &peer, &config);
	peer_enable(&peer);
	peer_msix(&peer, &vector, 1);
	assert_int_equal(peer_map(&peer, 0, RAM_BYTES, 3, memfd, 0), 0);
	fds = settled_fds();
	live = viommu__alloc_live();
	for (n = 1; !done; n++) {
		relay_start(&relay);
		viommu__alloc_fail_nth(n);
		err = relay_ask(&relay);
		if (!err)
			err = relay_add(&relay);
		done = !viommu__alloc_fail_done();
		/* The serving one had no memory, or the other. */
		if (!done)
			assert_true(err == -ENOMEM || err == -EOPNOTSUPP || err == -EMFILE);
		else
			assert_int_equal(err, 0);
		relay_give_up(&relay);
		assert_int_equal(close(peer_dial(relay.path)), 0);
		relay_stop(&relay);
		rig_settle(relay.now);
		goes_on(&relay, &peer, memfd, vector);
		assert_fds(fds);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_true(n > 20);
	relay_replace(&relay, &peer);
	end(&relay, &peer);
	close(memfd);
	close(vector);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(qemu_goes_on_with_the_next_server),
	cmocka_unit_test(a_message_may_be_cut_at_each_byte),
	cmocka_unit_test(what_was_received_and_not_looked_at_is_looked_at),
	cmocka_unit_test(a_message_of_many_writes_goes_on_where_it_stopped),
	cmocka_unit_test(replies_that_nobody_has_read_arrive_in_order),
	cmocka_unit_test(descriptors_belong_to_a_message_that_is_not_whole),
	cmocka_unit_test(a_level_stays_and_is_signalled_once),
	cmocka_unit_test(a_client_that_comes_meanwhile_is_served_by_the_next),
	cmocka_unit_test(one_that_fails_at_any_step_leaves_the_other_serving),
	cmocka_unit_test(one_that_is_silent_is_not_waited_for),
	cmocka_unit_test(what_cant_be_handed_over_is_refused_with_the_reason),
	cmocka_unit_test(a_descriptor_of_another_kind_is_refused),
	cmocka_unit_test(a_server_without_its_leave_is_not_replaced),
	cmocka_unit_test(dma_by_messages_is_cancelled_and_its_late_reply_meets_nobody),
	cmocka_unit_test(work_goes_on_in_the_next_server),
	cmocka_unit_test(a_server_that_dies_is_replaced_all_the_same),
	cmocka_unit_test(one_without_memory_gives_up_and_the_next_succeeds),
};
TEST_MAIN(tests)
