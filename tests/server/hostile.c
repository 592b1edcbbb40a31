/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that lie, stop, flood, leave: an error reply or a closed connection, nothing kept of
 * them, and the client of the other function goes on.
 */
#include "server/closer.h"
#include "server/peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two functions; on the second somebody behaves. */
struct two {
	struct rig rig;
	struct peer bad;
	struct peer good;
	unsigned int fds; /* open with both connected */
	uint64_t count;
};

static void two_open(struct two *two, const struct rig_config *config)
{
	struct rig_config c = config ? *config : (struct rig_config){ 0 };

	memset(two, 0, sizeof(*two));
	c.ports = 2;
	rig_open(&two->rig, &c);
	peer_open(&two->good, &two->rig, 1);
	assert_int_equal(peer_version(&two->good, NULL), 0);
	peer_open(&two->bad, &two->rig, 0);
	two->fds = open_fds();
}

static void two_good(struct two *two)
{
	uint64_t v = ++two->count;

	assert_int_equal(peer_write(&two->good, 0, 0x800, 8, &v), 0);
	assert_int_equal(peer_read(&two->good, 0, 0x800, 8, &v), 0);
	assert_int_equal(v, two->count);
}

/* The bad one is gone, nothing of it is left, and its place is free. */
static void two_gone(struct two *two)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	unsigned int gone;

	assert_true(peer_is_closed(&two->bad));
	gone = two->rig.toy[0].disconnected;
	assert_int_equal(gone, two->rig.toy[0].connected);
	viommu_server_stats(two->rig.server, &stats);
	assert_int_equal(stats.clients, 1);
	assert_int_equal(stats.maps, 0);
	/* The server's end of it. */
	assert_int_equal(open_fds(), two->fds - 1);
	two_good(two);
	close(two->bad.fd);
	peer_open(&two->bad, &two->rig, 0);
	assert_int_equal(open_fds(), two->fds);
	assert_int_equal(two->rig.toy[0].connected, gone + 1);
}

static void two_close(struct two *two)
{
	two_good(two);
	peer_close(&two->bad);
	peer_close(&two->good);
	rig_close(&two->rig);
}

static void a_size_that_is_none_ends_the_connection(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 15, VFU_MAX_MESSAGE + 1, 0x7fffffff, UINT32_MAX };
	struct viommu__vfu_header h = { .command = VFU_RESET };
	uint8_t p[VFU_HEADER];
	struct two two;
	unsigned int i;

	(void)state;
	two_open(&two, NULL);
	for (i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
		if (i & 1)
			assert_int_equal(peer_version(&two.bad, NULL), 0);
		h.size = sizes[i / 2];
		viommu__vfu_put_header(p, &h);
		peer_raw(&two.bad, p, sizeof(p), NULL, 0);
		two_gone(&two);
	}
	/* What came before it is answered. */
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	peer_send(&two.bad, VFU_RESET, 0, NULL, 0, NULL, 0);
	peer_raw(&two.bad, p, sizeof(p), NULL, 0);
	{
		struct message m;

		assert_true(peer_recv(&two.bad, &m));
		assert_int_equal(m.h.command, VFU_RESET);
		assert_false(peer_recv(&two.bad, &m));
	}
	two_gone(&two);
	two_close(&two);
}

static void a_message_may_come_in_any_pieces(void **state)
{
	uint8_t p[4096];
	struct viommu__vfu_header h = { .id = 1, .command = VFU_REGION_WRITE, .size = 40 };
	struct message m;
	struct two two;
	size_t n, at;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	memset(p, 0, sizeof(p));
	for (n = 0; n < 100; n++) {
		uint8_t *q = p + n * 40;

		h.flags = n == 99 ? 0 : VFU_NO_REPLY;
		viommu__vfu_put_header(q, &h);
		viommu__vfu_put64(q + 16, 0x800);
		viommu__vfu_put32(q + 28, 8);
		viommu__vfu_put64(q + 32, n);
	}
	for (n = 1; n < 90; n += 7) {
		for (at = 0; at < 4000; at += n) {
			peer_raw(&two.bad, p + at, n < 4000 - at ? n : 4000 - at, NULL, 0);
			rig_settle(&two.rig);
		}
		assert_true(peer_recv(&two.bad, &m));
		assert_int_equal(m.h.flags, VFU_REPLY);
		assert_int_equal(two.rig.toy[0].reg[0x100], 99);
	}
	assert_int_equal(two.rig.toy[0].writes, 13 * 100);
	two_close(&two);
}

static void a_client_may_die_at_every_byte(void **state)
{
	uint8_t p[VFU_HEADER + 32] = { 0 };
	struct viommu__vfu_header h = { .command = VFU_DMA_MAP, .size = sizeof(p) };
	int fd = memory_fd(0x1000);
	struct two two;
	size_t n;

	(void)state;
	two_open(&two, NULL);
	viommu__vfu_put_header(p, &h);
	viommu__vfu_put32(p + 16, 32);
	viommu__vfu_put32(p + 20, 3);
	viommu__vfu_put64(p + 40, 0x1000);
	for (n = 0; n <= sizeof(p); n++) {
		assert_int_equal(peer_version(&two.bad, NULL), 0);
		if (n)
			peer_raw(&two.bad, p, n, &fd, 1);
		rig_settle(&two.rig);
		shutdown(two.bad.fd, SHUT_RDWR);
		two_gone(&two);
	}
	close(fd);
	two_close(&two);
}

/* QEMU is killed: before and after each message of its start. */
static void a_client_may_die_at_every_step(void **state)
{
	int fd = memory_fd(0x10000000), efd = event_fd();
	volatile unsigned int step;
	volatile int sent;
	struct two two;

	(void)state;
	two_open(&two, NULL);
	for (sent = 0; sent < 2; sent++) {
		for (step = 1;; step++) {
			two.bad.dies_at = step;
			two.bad.dies_sent = sent;
			if (!setjmp(two.bad.death)) {
				peer_start(&two.bad, fd, efd);
				break;
			}
			shutdown(two.bad.fd, SHUT_RDWR);
			two_gone(&two);
		}
		assert_true(step > 40);
		shutdown(two.bad.fd, SHUT_RDWR);
		two_gone(&two);
	}
	close(fd);
	close(efd);
	two_close(&two);
}

/* ---- Descriptors */

static void descriptors_where_none_belong_are_refused_and_closed(void **state)
{
	int fds[20], i;
	struct two two;
	uint8_t p[32] = { 0 };

	(void)state;
	for (i = 0; i < 20; i++)
		fds[i] = event_fd();
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	assert_int_equal(peer_call_fds(&two.bad, VFU_RESET, NULL, 0, fds, 1, NULL), EINVAL);
	viommu__vfu_put32(p, 16);
	assert_int_equal(peer_call_fds(&two.bad, VFU_GET_INFO, p, 16, fds, 16, NULL), EINVAL);
	assert_int_equal(open_fds(), two.fds);
	/* More than were agreed on: none of them is used. */
	viommu__vfu_put32(p, 20);
	viommu__vfu_put32(p + 4, 0x24);
	viommu__vfu_put32(p + 8, VFU_MSIX);
	viommu__vfu_put32(p + 16, 8);
	assert_int_equal(peer_call_fds(&two.bad, VFU_SET_IRQS, p, 20, fds, 20, NULL), EMFILE);
	assert_int_equal(open_fds(), two.fds);
	assert_int_equal(peer_call_fds(&two.bad, VFU_SET_IRQS, p, 20, fds, 8, NULL), 0);
	assert_int_equal(open_fds(), two.fds + 8);
	/* Two with one map. */
	viommu__vfu_put32(p, 32);
	viommu__vfu_put32(p + 4, 3);
	viommu__vfu_put64(p + 8, 0);
	viommu__vfu_put64(p + 24, 0x1000);
	assert_int_equal(peer_call_fds(&two.bad, VFU_DMA_MAP, p, 32, fds, 2, NULL), EINVAL);
	/* With an unknown command, with a reply, with one that is posted. */
	assert_int_equal(peer_call_fds(&two.bad, 99, NULL, 0, fds, 3, NULL), ENOSYS);
	peer_send(&two.bad, VFU_DMA_WRITE, VFU_REPLY, NULL, 0, fds, 3);
	peer_send(&two.bad, VFU_RESET, VFU_NO_REPLY, NULL, 0, fds, 3);
	rig_settle(&two.rig);
	assert_int_equal(open_fds(), two.fds + 8);
	two.fds = open_fds() - 8;
	shutdown(two.bad.fd, SHUT_RDWR);
	two_gone(&two);
	two_close(&two);
	for (i = 0; i < 20; i++)
		close(fds[i]);
}

/* A TCP socket whose close() waits for minutes: its data is not taken. *other: the end of that. */
static int lingering(int *other)
{
	const struct linger linger = { 1, 600 };
	struct sockaddr_in to = { .sin_family = AF_INET };
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	socklen_t bytes = sizeof(to);
	static char full[65536];

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (l < 0 || bind(l, (struct sockaddr *)&to, sizeof(to)) || listen(l, 1))
		skip();
	assert_int_equal(getsockname(l, (struct sockaddr *)&to, &bytes), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	*other = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*other >= 0);
	close(l);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(fd, full, sizeof(full), MSG_DONTWAIT) > 0)
		;
	return fd;
}

#define LINGERING 20u

/* The last descriptor of each is the server's. */
static void what_does_not_close_makes_nobody_wait(void **state)
{
	struct viommu__vfu_header h = { .command = VFU_GET_INFO, .size = 32 };
	int fds[LINGERING], other[LINGERING], event = event_fd(), fd;
	uint8_t p[32] = { 0 };
	struct message m;
	struct two two;
	unsigned int i;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	viommu__vfu_put_header(p, &h);
	viommu__vfu_put32(p + 16, 16);
	/* Received with the first bytes, refused with the last. */
	fds[0] = lingering(&other[0]);
	peer_raw(&two.bad, p, 16, fds, 1);
	rig_settle(&two.rig);
	close(fds[0]);
	peer_raw(&two.bad, p + 16, 16, NULL, 0);
	assert_true(peer_recv(&two.bad, &m));
	assert_int_equal(m.h.error, EINVAL);
	two_good(&two);
	/* More than a message may bring, and never received before the client goes. */
	for (i = 1; i < LINGERING; i++)
		fds[i] = lingering(&other[i]);
	peer_raw(&two.bad, p, 32, fds + 1, LINGERING - 1);
	for (i = 1; i < LINGERING; i++)
		close(fds[i]);
	close(two.bad.fd);
	rig_settle(&two.rig);
	assert_int_equal(two.rig.toy[0].disconnected, 1);
	two_good(&two);
	/* Who did it is not let in again, who brings what closes is served as ever. */
	assert_int_equal(peer_irqs(&two.good, 0x24, VFU_ERR, 0, 1, &event, 1), 0);
	fd = peer_dial(two.rig.toy[0].path);
	rig_settle(&two.rig);
	assert_int_equal(recv(fd, p, 1, 0), 0);
	close(fd);
	/* Whoever takes the data lets them end. */
	for (i = 0; i < LINGERING; i++)
		close(other[i]);
	while (open_fds() > two.fds - 1 || viommu__fd_close_busy())
		sched_yield();
	peer_open(&two.bad, &two.rig, 0);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	close(event);
	two_close(&two);
}

/* Files of the disk, of the kernel, of a process: whatever is not memory. */
static void what_is_not_memory_is_not_mapped(void **state)
{
	static const char *const paths[] = { "/proc/self/status", "/dev/zero", "/proc/self/exe" };
	struct two two;
	unsigned int i;
	int fd;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(peer_map(&two.bad, 0, 0x1000, 1, fd, 0), EACCES);
		close(fd);
	}
	two_close(&two);
}

static void descriptors_stay_with_their_message(void **state)
{
	struct viommu__vfu_header h = { .command = VFU_SET_IRQS, .size = 36 };
	int fds[3] = { event_fd(), event_fd(), event_fd() }, i;
	struct message m;
	struct two two;
	uint8_t p[36] = { 0 };
	uint64_t v = 1;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	peer_enable(&two.bad);
	peer_msix(&two.bad, fds, 1);
	viommu__vfu_put_header(p, &h);
	viommu__vfu_put32(p + 16, 20);
	viommu__vfu_put32(p + 20, 0x24);
	viommu__vfu_put32(p + 24, VFU_MSIX);
	viommu__vfu_put32(p + 32, 1);
	/* In a burst: posted writes, the setting, posted writes, another setting. */
	for (i = 0; i < 50; i++)
		peer_post(&two.bad, 0, 0x100, 8, &v);
	viommu__vfu_put32(p + 28, 1);
	peer_raw(&two.bad, p, sizeof(p), &fds[1], 1);
	for (i = 0; i < 50; i++)
		peer_post(&two.bad, 0, 0x100, 8, &v);
	viommu__vfu_put32(p + 28, 2);
	peer_raw(&two.bad, p, sizeof(p), &fds[2], 1);
	peer_post(&two.bad, 0, TOY_INTERRUPT, 8, &v);
	for (i = 0; i < 2; i++) {
		assert_true(peer_recv(&two.bad, &m));
		assert_int_equal(m.h.command, VFU_SET_IRQS);
		assert_int_equal(m.h.flags, VFU_REPLY);
	}
	rig_settle(&two.rig);
	assert_int_equal(event_take(fds[0]), 0);
	assert_int_equal(event_take(fds[1]), 1);
	assert_int_equal(event_take(fds[2]), 0);
	/* With the second half of a message, as some send them. */
	viommu__vfu_put32(p + 28, 1);
	peer_raw(&two.bad, p, 16, NULL, 0);
	rig_settle(&two.rig);
	peer_raw(&two.bad, p + 16, 20, &fds[2], 1);
	assert_true(peer_recv(&two.bad, &m));
	assert_int_equal(m.h.flags, VFU_REPLY);
	assert_int_equal(peer_write64(&two.bad, TOY_INTERRUPT, 1), 0);
	assert_int_equal(event_take(fds[1]), 0);
	assert_int_equal(event_take(fds[2]), 1);
	/* With the first, and something else right behind it. */
	viommu__vfu_put32(p + 28, 1);
	peer_raw(&two.bad, p, 7, &fds[1], 1);
	rig_settle(&two.rig);
	peer_raw(&two.bad, p + 7, 20, NULL, 0);
	rig_settle(&two.rig);
	peer_raw(&two.bad, p + 27, 9, NULL, 0);
	v = 1;
	peer_post(&two.bad, 0, TOY_INTERRUPT, 8, &v);
	assert_true(peer_recv(&two.bad, &m));
	assert_int_equal(m.h.flags, VFU_REPLY);
	rig_settle(&two.rig);
	assert_int_equal(event_take(fds[1]), 1);
	/* In both halves: that is one set too many. */
	peer_raw(&two.bad, p, 16, &fds[1], 1);
	rig_settle(&two.rig);
	peer_raw(&two.bad, p + 16, 20, &fds[2], 1);
	two_gone(&two);
	two_close(&two);
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

/* The ring of bytes ends in the middle of a header now and then. */
static void descriptors_are_found_at_any_place_of_the_buffer(void **state)
{
	struct viommu__vfu_header h = { .command = VFU_REGION_WRITE, .flags = VFU_NO_REPLY };
	int fds[2] = { event_fd(), event_fd() };
	static uint8_t p[VFU_MAX_MESSAGE];
	unsigned int round, rounds = 0, sets = 0, last;
	struct message m;
	struct two two;
	struct rng rng;

	(void)state;
	rng_init(&rng, "places");
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	peer_enable(&two.bad);
	peer_msix(&two.bad, fds, 1);
	for (round = 0; round < test_scale(2000); round++) {
		uint32_t count = (uint32_t)rng_range(&rng, 1, rng_one_in(&rng, 8) ? 60000 : 300);

		/* Refused, which costs nothing; posted, so nobody waits. */
		h.command = VFU_REGION_WRITE;
		h.flags = VFU_NO_REPLY;
		h.size = 32 + count;
		viommu__vfu_put_header(p, &h);
		memset(p + 16, 0, 16);
		viommu__vfu_put32(p + 24, 6);
		viommu__vfu_put32(p + 28, count);
		peer_raw(&two.bad, p, h.size, NULL, 0);
		if (!rng_one_in(&rng, 4))
			continue;
		h.command = VFU_SET_IRQS;
		h.flags = 0;
		h.size = 36;
		viommu__vfu_put_header(p, &h);
		viommu__vfu_put32(p + 16, 20);
		viommu__vfu_put32(p + 20, 0x24);
		viommu__vfu_put32(p + 24, VFU_MSIX);
		viommu__vfu_put32(p + 28, 0);
		viommu__vfu_put32(p + 32, 1);
		last = (unsigned int)rng_below(&rng, 2);
		peer_raw(&two.bad, p, 36, &fds[last], 1);
		sets++;
		if (rng_one_in(&rng, 2))
			continue;
		/* All of them were good, and the last one counts. */
		for (; sets; sets--) {
			assert_true(peer_recv(&two.bad, &m));
			assert_int_equal(m.h.command, VFU_SET_IRQS);
			assert_int_equal(m.h.flags, VFU_REPLY);
		}
		event_take(fds[0]);
		event_take(fds[1]);
		assert_int_equal(peer_write64(&two.bad, TOY_INTERRUPT, 0), 0);
		assert_int_equal(event_take(fds[last]), 1);
		rounds++;
	}
	assert_true(rounds > 10);
	for (; sets; sets--) {
		assert_true(peer_recv(&two.bad, &m));
		assert_int_equal(m.h.flags, VFU_REPLY);
	}
	assert_int_equal(open_fds(), two.fds + 1);
	two_close(&two);
	close(fds[0]);
	close(fds[1]);
}

/* ---- Too much of everything */

static void who_does_not_read_is_disconnected(void **state)
{
	uint8_t p[16] = { 0 };
	unsigned int i;
	struct two two;

	(void)state;
	two_open(&two, &(struct rig_config){ .server = { .max_queued = 100000 } });
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	viommu__vfu_put32(p + 8, VFU_REGION_CONFIG);
	viommu__vfu_put32(p + 12, 4096);
	for (i = 0; i < 1000 && !two.bad.closed; i++) {
		peer_send(&two.bad, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
		rig_settle(&two.rig);
		/* Bounded all the time. */
		assert_true(two.rig.toy[0].disconnected ||
			    ((struct viommu__port *)container_of(two.rig.server->ports.next,
								 struct viommu__port, node))
					    ->out.room <= 2 * 131072);
	}
	assert_true(i < 1000);
	two_gone(&two);
	two_close(&two);
}

static struct viommu__port *bad_port(struct two *two)
{
	return container_of(two->rig.server->ports.next, struct viommu__port, node);
}

/* Reads what waits; returns how many interrupt messages there were, the last one's data. */
static unsigned int messages_read(struct two *two, uint32_t *data)
{
	static struct message m;
	unsigned int n = 0;
	uint8_t head;

	for (;;) {
		rig_settle(&two->rig);
		if (recv(two->bad.fd, &head, 1, MSG_DONTWAIT | MSG_PEEK) != 1)
			return n;
		assert_true(peer_recv(&two->bad, &m));
		assert_int_equal(m.h.command, VFU_DMA_WRITE);
		assert_int_equal(m.bytes, 20);
		*data = viommu__vfu_get32(m.data + 16);
		n++;
	}
}

/* A guest's device writes interrupt messages without end, and its VMM is slow. */
static void a_flood_of_interrupt_messages_costs_nobody_the_connection(void **state)
{
	uint8_t p[16] = { 0 };
	struct viommu__recent waited[SERVER_RECENT];
	static struct message m;
	uint32_t data = 0;
	unsigned int i, n;
	struct two two;

	(void)state;
	two_open(&two, &(struct rig_config){ .server = { .max_queued = 200000 } });
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	/* All different: bounded, and a reply still fits behind them. */
	for (i = 0; i < 100000; i++) {
		viommu_pci_message(two.rig.toy[0].pci, 0xfee00000, i);
		if (i % 1000 == 0)
			rig_settle(&two.rig);
		assert_true(bad_port(&two)->out.room <= 262144);
	}
	assert_true(bad_port(&two)->unsaid > 0);
	viommu__port_tick(bad_port(&two));
	assert_int_equal(bad_port(&two)->unsaid, 0);
	two_good(&two);
	n = messages_read(&two, &data);
	assert_true(n > 1000 && n < 100000);
	assert_int_equal(data, n - 1); /* the first ones, in their order */
	/* The same one: once behind what was sent before, and nothing is dropped. */
	for (i = 0; i < 100000; i++)
		viommu_pci_message(two.rig.toy[0].pci, 0xfee00000, 7);
	n = messages_read(&two, &data);
	assert_true(n >= 1 && n < 100000);
	assert_int_equal(data, 7);
	assert_int_equal(bad_port(&two)->unsaid, 0);
	/* What was read does not stand for what comes later. */
	viommu_pci_message(two.rig.toy[0].pci, 0xfee00000, 7);
	assert_int_equal(messages_read(&two, &data), 1);
	viommu__vfu_put32(p + 8, VFU_REGION_CONFIG);
	viommu__vfu_put32(p + 12, 4096);
	assert_int_equal(peer_call(&two.bad, VFU_REGION_READ, p, sizeof(p), &m), 0);
	/* Nor does what waited for one client stand for the next one's. */
	for (i = 0; i < 100000 && !bad_port(&two)->unsaid; i++)
		viommu_pci_message(two.rig.toy[0].pci, 0xfee00000, i);
	memcpy(waited, bad_port(&two)->recent, sizeof(waited));
	memset(p, 0, sizeof(p));
	peer_raw(&two.bad, p, sizeof(p), NULL, 0); /* a message of 0 bytes */
	two_gone(&two);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	for (i = 0; i < SERVER_RECENT; i++) {
		assert_true(waited[i].valid);
		viommu_pci_message(two.rig.toy[0].pci, waited[i].addr, waited[i].data);
	}
	assert_int_equal(messages_read(&two, &data), SERVER_RECENT);
	two_close(&two);
}

static void who_reads_late_gets_everything(void **state)
{
	static struct message m;
	uint8_t p[16] = { 0 };
	unsigned int i;
	struct two two;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	viommu__vfu_put32(p + 8, VFU_REGION_CONFIG);
	viommu__vfu_put32(p + 12, 4096);
	for (i = 0; i < 200; i++)
		peer_send(&two.bad, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
	rig_settle(&two.rig);
	two_good(&two);
	for (i = 1; i <= 400; i++) {
		assert_true(peer_recv(&two.bad, &m));
		assert_int_equal(m.h.id, i + 1); /* 1 was VERSION */
		assert_int_equal(m.bytes, 16 + 4096);
		/* Others are added while some wait. */
		if (i <= 200)
			peer_send(&two.bad, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
	}
	two_close(&two);
}

/* O_NONBLOCK is the open file's, so the client takes it off when the server has put it on. */
static void a_counter_that_is_full_makes_nobody_wait(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	int fd = event_fd(), flags;
	unsigned long context;
	struct two two;
	unsigned int i;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	peer_enable(&two.bad);
	peer_msix(&two.bad, &fd, 1);
	assert_int_equal(peer_write64(&two.bad, TOY_INTERRUPT, 0), 0);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	flags = fcntl(fd, F_GETFL);
	assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(peer_write64(&two.bad, TOY_INTERRUPT, 0), 0);
	/* Also the client's own trigger. */
	assert_int_equal(peer_irqs(&two.bad, 0x21, VFU_MSIX, 0, 1, NULL, 0), 0);
	two_good(&two);
	assert_true(event_take(fd) >= full);
	/* A kernel without asynchronous I/O. */
	context = two.rig.server->signaler.context;
	two.rig.server->signaler.context = 0;
	assert_int_equal(peer_write64(&two.bad, TOY_INTERRUPT, 0), 0);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(peer_write64(&two.bad, TOY_INTERRUPT, 0), 0);
	two.rig.server->signaler.context = context;
	close(fd);
	two_close(&two);
}

/* One message of many writes, each of which may take long. */
static void many_writes_are_done_over_many_turns(void **state)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	static uint8_t p[8 + 24 * 20];
	struct message m;
	struct two two;
	unsigned int i;
	uint64_t was, messages;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	viommu__vfu_put64(p, 20);
	for (i = 0; i < 20; i++) {
		viommu__vfu_put64(p + 8 + 24 * i, 0x800);
		viommu__vfu_put32(p + 8 + 24 * i + 12, 8);
		viommu__vfu_put64(p + 8 + 24 * i + 16, i + 1);
	}
	viommu_server_stats(two.rig.server, &stats);
	messages = stats.messages;
	was = two.rig.toy[0].writes;
	two.rig.server->turn_ns = 0;
	peer_send(&two.bad, VFU_WRITE_MULTI, 0, p, sizeof(p), NULL, 0);
	for (i = 1; i <= 20; i++) {
		assert_int_equal(recv(two.bad.fd, &m, 1, MSG_DONTWAIT | MSG_PEEK), -1);
		rig_step(&two.rig);
		assert_int_equal(two.rig.toy[0].writes, was + i);
		assert_int_equal(two.rig.toy[0].reg[0x100], i);
	}
	two.rig.server->turn_ns = SERVER_TURN_NS;
	assert_true(peer_recv(&two.bad, &m));
	assert_int_equal(viommu__vfu_get64(m.data), 20);
	viommu_server_stats(two.rig.server, &stats);
	assert_int_equal(stats.messages, messages + 1);
	/* Gone in the middle: the next client begins anew. */
	two.rig.server->turn_ns = 0;
	peer_send(&two.bad, VFU_WRITE_MULTI, 0, p, sizeof(p), NULL, 0);
	rig_step(&two.rig);
	rig_step(&two.rig);
	two.rig.server->turn_ns = SERVER_TURN_NS;
	shutdown(two.bad.fd, SHUT_RDWR);
	two_gone(&two);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	assert_int_equal(peer_call(&two.bad, VFU_WRITE_MULTI, p, sizeof(p), &m), 0);
	assert_int_equal(two.rig.toy[0].reg[0x100], 20);
	two_close(&two);
}

/* It would work on over the next VM's memory, which comes to the same addresses. */
static void nobody_stays_behind_when_the_memory_goes(void **state)
{
	struct rig_config config = { .ports = 3, .workers = 1 };
	struct peer memory, other, third;
	struct rig rig;

	(void)state;
	rig_open(&rig, &config);
	peer_open(&other, &rig, 1);
	peer_open(&memory, &rig, 0);
	peer_open(&third, &rig, 2);
	assert_int_equal(peer_version(&memory, NULL), 0);
	assert_int_equal(peer_version(&other, NULL), 0);
	peer_enable(&other);
	/* A function without memory goes alone. */
	peer_close(&third);
	rig_settle(&rig);
	assert_true(viommu_pci_enabled(rig.toy[1].pci) & VIOMMU_PCI_BUS_MASTER);
	/* In the round in which it is seen, before anybody else's next message. */
	close(memory.fd);
	while (!rig.toy[0].disconnected)
		rig_step(&rig);
	assert_int_equal(viommu_pci_enabled(rig.toy[1].pci), 0);
	peer_open(&memory, &rig, 0);
	assert_true(peer_is_closed(&other));
	assert_int_equal(rig.toy[1].disconnected, 1);
	peer_open(&third, &rig, 1);
	assert_int_equal(peer_version(&third, NULL), 0);
	peer_close(&memory);
	close(other.fd);
	close(third.fd);
	rig_close(&rig);
}

/* A round gives each client a turn, and a turn is bounded. */
static void who_floods_gets_no_more_than_a_turn(void **state)
{
	static uint8_t burst[4096 * 40];
	struct viommu__vfu_header h = { .command = VFU_REGION_WRITE,
					.size = 40,
					.flags = VFU_NO_REPLY };
	struct message m;
	struct two two;
	unsigned int i;
	uint64_t was;
	uint8_t p[16];

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	for (i = 0; i < 4096; i++) {
		viommu__vfu_put_header(burst + i * 40, &h);
		viommu__vfu_put64(burst + i * 40 + 16, 0x800);
		viommu__vfu_put32(burst + i * 40 + 28, 8);
	}
	/* As much as the socket takes at once; the rest of a message is lost with the client. */
	assert_true(send(two.bad.fd, burst, sizeof(burst), MSG_DONTWAIT | MSG_NOSIGNAL) > 80000);
	memset(p, 0, sizeof(p));
	viommu__vfu_put32(p + 12, 4);
	for (i = 0; i < 4; i++) {
		peer_send(&two.good, VFU_REGION_READ, 0, p, sizeof(p), NULL, 0);
		was = two.rig.toy[0].writes;
		rig_step(&two.rig);
		/* Queue and epoll: at most two turns, less than a whole buffer. */
		assert_true(two.rig.toy[0].writes - was <= 2 * SERVER_TURN);
		/* The other one was served in the same round. */
		assert_true(recv(two.good.fd, &m, VFU_HEADER + 16 + 4, MSG_DONTWAIT) ==
			    VFU_HEADER + 16 + 4);
	}
	assert_true(two.rig.toy[0].writes > 0);
	rig_settle(&two.rig);
	two_close(&two);
}

static void a_second_client_is_turned_away(void **state)
{
	struct two two;
	char c;
	int fd;

	(void)state;
	two_open(&two, NULL);
	fd = peer_dial(two.rig.toy[0].path);
	rig_settle(&two.rig);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
	assert_int_equal(two.rig.toy[0].connected, 1);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	two_close(&two);
}

static void a_log_is_bounded(void **state)
{
	struct two two;
	unsigned int i, was;

	(void)state;
	two_open(&two, NULL);
	assert_int_equal(peer_version(&two.bad, NULL), 0);
	was = two.rig.lines;
	for (i = 0; i < 2000; i++)
		assert_int_equal(peer_call(&two.bad, 99, NULL, 0, NULL), ENOSYS);
	assert_true(two.rig.lines - was >= 1);
	/* The burst, and four for each second that this took. */
	assert_true(two.rig.lines - was < 1000);
	/* What was left out is counted, and said when there is room. */
	assert_true(two.rig.server->log.dropped > 0);
	two.rig.server->log.credit = 2;
	was = two.rig.lines;
	assert_int_equal(peer_call(&two.bad, 99, NULL, 0, NULL), ENOSYS);
	assert_int_equal(two.rig.lines, was + 2);
	assert_int_equal(two.rig.server->log.dropped, 0);
	two_close(&two);
}

static void random_bytes_are_survived(void **state)
{
	struct rng rng;
	struct two two;
	unsigned int round, i;
	uint8_t p[256];
	int fds[3];

	(void)state;
	rng_init(&rng, "bytes");
	for (i = 0; i < 3; i++)
		fds[i] = event_fd();
	two_open(&two, NULL);
	for (round = 0; round < test_scale(3000); round++) {
		struct viommu__vfu_header h = {
			.id = (uint16_t)rng_u64(&rng),
			.command = (uint16_t)rng_below(&rng, 20),
			.size = (uint32_t)rng_range(&rng, rng_one_in(&rng, 50) ? 0 : 16, 200),
			.flags = rng_one_in(&rng, 10) ? (uint32_t)rng_u64(&rng) : VFU_NO_REPLY,
		};

		if (two.bad.closed || peer_is_closed(&two.bad)) {
			close(two.bad.fd);
			peer_open(&two.bad, &two.rig, 0);
			if (rng_one_in(&rng, 10))
				continue;
			assert_int_equal(peer_version(&two.bad, NULL), 0);
		}
		for (i = 16; i < sizeof(p); i += 4) {
			uint32_t v = (uint32_t)rng_below(&rng, rng_one_in(&rng, 3) ? 0x10000 : 40);

			viommu__vfu_put32(p + i,
					  rng_one_in(&rng, 20) ? (uint32_t)rng_u64(&rng) : v);
		}
		viommu__vfu_put_header(p, &h);
		peer_raw(&two.bad, p, h.size < 16 ? 16 : h.size, fds,
			 rng_one_in(&rng, 4) ? (unsigned int)rng_below(&rng, 4) : 0);
		rig_settle(&two.rig);
		if (round % 64 == 0)
			two_good(&two);
	}
	two_close(&two);
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_size_that_is_none_ends_the_connection),
	cmocka_unit_test(a_message_may_come_in_any_pieces),
	cmocka_unit_test(a_client_may_die_at_every_byte),
	cmocka_unit_test(a_client_may_die_at_every_step),
	cmocka_unit_test(descriptors_where_none_belong_are_refused_and_closed),
	cmocka_unit_test(what_does_not_close_makes_nobody_wait),
	cmocka_unit_test(what_is_not_memory_is_not_mapped),
	cmocka_unit_test(descriptors_stay_with_their_message),
	cmocka_unit_test(descriptors_are_found_at_any_place_of_the_buffer),
	cmocka_unit_test(who_does_not_read_is_disconnected),
	cmocka_unit_test(a_flood_of_interrupt_messages_costs_nobody_the_connection),
	cmocka_unit_test(who_reads_late_gets_everything),
	cmocka_unit_test(a_counter_that_is_full_makes_nobody_wait),
	cmocka_unit_test(many_writes_are_done_over_many_turns),
	cmocka_unit_test(nobody_stays_behind_when_the_memory_goes),
	cmocka_unit_test(who_floods_gets_no_more_than_a_turn),
	cmocka_unit_test(a_second_client_is_turned_away),
	cmocka_unit_test(a_log_is_bounded),
	cmocka_unit_test(random_bytes_are_survived),
};
TEST_MAIN(tests)
