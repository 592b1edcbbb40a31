/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA by messages: what the server asks of a client, every way in which that can end, and that
 * nobody waits meanwhile.
 */
#include <sys/socket.h>

#include "server/peer.h"

struct ended {
	unsigned int calls;
	int err;
	size_t bytes;
	bool has_data;
	uint8_t data[VIOMMU_SERVER_MAX_DMA];
	/* Ask again from inside: what that said. */
	struct rig *again;
	int again_said;
};

static void ended(void *ctx, int err, const void *data, size_t bytes)
{
	struct ended *e = ctx;

	e->calls++;
	e->err = err;
	e->bytes = bytes;
	e->has_data = data;
	if (data)
		memcpy(e->data, data, bytes);
	if (e->again)
		e->again_said = viommu_server_dma_read(e->again->server, e->again->toy[0].pci, 0, 1,
						       ended, &(struct ended){ 0 });
}

static int ask_read(struct rig *rig, uint64_t addr, size_t bytes, struct ended *e)
{
	return viommu_server_dma_read(rig->server, rig->toy[0].pci, addr, bytes, ended, e);
}

/* The client answers message m. */
static void reply(struct peer *peer, const struct message *m, uint32_t flags, const void *payload,
		  size_t bytes)
{
	peer->id = (uint16_t)(m->h.id - 1);
	peer_send(peer, m->h.command, VFU_REPLY | flags, payload, bytes, NULL, 0);
	rig_settle(peer->rig);
}

static void start(struct rig *rig, struct peer *peer, struct message *m)
{
	rig_open(rig, NULL);
	peer_open(peer, rig, 0);
	assert_int_equal(peer_version(peer, m), 0);
}

static void a_read_is_answered_with_the_clients_bytes(void **state)
{
	static struct message m;
	static uint8_t answer[16 + VIOMMU_SERVER_MAX_DMA];
	static struct ended e;
	struct peer peer;
	struct rig rig;
	size_t i;

	(void)state;
	start(&rig, &peer, &m);
	e = (struct ended){ 0 };
	assert_int_equal(ask_read(&rig, 0x123456789000, VIOMMU_SERVER_MAX_DMA, &e), 0);
	assert_true(peer_recv(&peer, &m));
	assert_int_equal(m.h.command, VFU_DMA_READ);
	assert_int_equal(m.h.flags, VFU_COMMAND);
	assert_int_equal(m.bytes, 16);
	assert_int_equal(viommu__vfu_get64(m.data), 0x123456789000);
	assert_int_equal(viommu__vfu_get64(m.data + 8), VIOMMU_SERVER_MAX_DMA);
	/* An access of the guest is served meanwhile. */
	assert_int_equal(peer_write64(&peer, 0x100, 7), 0);
	assert_int_equal(e.calls, 0);
	memcpy(answer, m.data, 16);
	for (i = 0; i < VIOMMU_SERVER_MAX_DMA; i++)
		answer[16 + i] = (uint8_t)(i * 7);
	reply(&peer, &m, 0, answer, sizeof(answer));
	assert_int_equal(e.calls, 1);
	assert_int_equal(e.err, 0);
	assert_int_equal(e.bytes, VIOMMU_SERVER_MAX_DMA);
	assert_memory_equal(e.data, answer + 16, VIOMMU_SERVER_MAX_DMA);
	/* A second answer finds nobody. */
	reply(&peer, &m, 0, answer, sizeof(answer));
	assert_int_equal(e.calls, 1);
	assert_int_equal(peer_write64(&peer, 0x100, 8), 0);
	peer_close(&peer);
	rig_close(&rig);
}

static void a_write_carries_its_bytes_and_is_answered(void **state)
{
	static struct message m;
	static struct ended e;
	const uint64_t data[2] = { 0x1122334455667788, 0x99 };
	struct peer peer;
	struct rig rig;
	unsigned int bare;

	(void)state;
	start(&rig, &peer, &m);
	for (bare = 0; bare < 2; bare++) {
		e = (struct ended){ 0 };
		assert_int_equal(viommu_server_dma_write(rig.server, rig.toy[0].pci, 0x2000, data,
							 16, ended, &e),
				 0);
		assert_true(peer_recv(&peer, &m));
		assert_int_equal(m.h.command, VFU_DMA_WRITE);
		assert_int_equal(m.h.flags, VFU_COMMAND);
		assert_int_equal(m.bytes, 32);
		assert_memory_equal(m.data + 16, data, 16);
		reply(&peer, &m, 0, m.data, bare ? 0 : 16);
		assert_int_equal(e.calls, 1);
		assert_int_equal(e.err, 0);
		/* Nothing was read, so there is nothing to look at. */
		assert_false(e.has_data);
		assert_int_equal(e.bytes, 16);
	}
	peer_close(&peer);
	rig_close(&rig);
}

static void an_answer_that_is_none_ends_the_call_alone(void **state)
{
	static struct message m;
	static struct ended e;
	struct peer peer;
	struct rig rig;
	uint8_t p[64] = { 0 };
	unsigned int i;

	(void)state;
	start(&rig, &peer, &m);
	for (i = 0; i < 6; i++) {
		e = (struct ended){ 0 };
		assert_int_equal(ask_read(&rig, 0x1000, 8, &e), 0);
		assert_true(peer_recv(&peer, &m));
		viommu__vfu_put64(p, i == 0 ? 0x1008 : 0x1000);
		viommu__vfu_put64(p + 8, i == 1 ? 9 : i == 2 ? UINT64_MAX : 8);
		/* another address, count, wrapping count, too few bytes, no payload, too many */
		reply(&peer, &m, 0, p, i == 3 ? 20 : i == 4 ? 0 : i == 5 ? 40 : 24);
		assert_int_equal(e.calls, 1);
		assert_int_equal(e.err, -EPROTO);
		assert_int_equal(e.bytes, 0);
	}
	/* The client's own errno, and an error that has none. */
	for (i = 0; i < 2; i++) {
		struct viommu__vfu_header h;
		uint8_t head[VFU_HEADER];

		e = (struct ended){ 0 };
		assert_int_equal(ask_read(&rig, 0x1000, 8, &e), 0);
		assert_true(peer_recv(&peer, &m));
		h = m.h;
		h.size = VFU_HEADER;
		h.flags = VFU_REPLY | VFU_ERROR;
		h.error = i ? 0 : ENODEV;
		viommu__vfu_put_header(head, &h);
		peer_raw(&peer, head, sizeof(head), NULL, 0);
		rig_settle(&rig);
		assert_int_equal(e.calls, 1);
		assert_int_equal(e.err, i ? -EPROTO : -ENODEV);
	}
	/* The right number with another command is no answer. */
	e = (struct ended){ 0 };
	assert_int_equal(ask_read(&rig, 0x1000, 8, &e), 0);
	assert_true(peer_recv(&peer, &m));
	m.h.command = VFU_DMA_WRITE;
	reply(&peer, &m, 0, NULL, 0);
	assert_int_equal(e.calls, 0);
	assert_int_equal(peer_write64(&peer, 0x100, 7), 0);
	peer_close(&peer);
	rig_settle(&rig);
	assert_int_equal(e.calls, 1);
	assert_int_equal(e.err, -ECONNRESET);
	rig_close(&rig);
}

static void a_client_that_goes_ends_every_call(void **state)
{
	static struct message m;
	static struct ended e[SERVER_DMA_CALLS];
	struct peer peer;
	struct rig rig;
	unsigned int i;

	(void)state;
	start(&rig, &peer, &m);
	memset(e, 0, sizeof(e));
	for (i = 0; i < SERVER_DMA_CALLS; i++)
		assert_int_equal(ask_read(&rig, i * 4096, 64, &e[i]), 0);
	assert_int_equal(ask_read(&rig, 0, 64, &e[0]), -EAGAIN);
	e[3].again = &rig;
	peer_close(&peer);
	rig_settle(&rig);
	for (i = 0; i < SERVER_DMA_CALLS; i++) {
		assert_int_equal(e[i].calls, 1);
		assert_int_equal(e[i].err, -ECONNRESET);
	}
	assert_int_equal(e[3].again_said, -ENOTCONN);
	rig_close(&rig);
}

static void a_client_that_does_not_read_is_not_asked_for_more(void **state)
{
	static struct message m;
	static struct ended e[SERVER_DMA_CALLS];
	static uint8_t data[VIOMMU_SERVER_MAX_DMA];
	struct rig_config config = { .server = { .size = sizeof(config.server),
						 .max_queued = 4 * VIOMMU_SERVER_MAX_DMA } };
	struct peer peer;
	struct rig rig;
	int said = 0;
	unsigned int i;

	(void)state;
	rig_open(&rig, &config);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, &m), 0);
	memset(e, 0, sizeof(e));
	for (i = 0; i < SERVER_DMA_CALLS && !said; i++)
		said = viommu_server_dma_write(rig.server, rig.toy[0].pci, 0, data, sizeof(data),
					       ended, &e[i]);
	assert_int_equal(said, -EAGAIN);
	/* It is still served when it reads again. */
	while (--i) {
		assert_true(peer_recv(&peer, &m));
		assert_int_equal(m.h.command, VFU_DMA_WRITE);
		reply(&peer, &m, 0, m.data, 16);
	}
	assert_int_equal(e[0].calls, 1);
	assert_int_equal(peer_write64(&peer, 0x100, 7), 0);
	peer_close(&peer);
	rig_close(&rig);
}

static void wrong_arguments_are_refused(void **state)
{
	static struct message m;
	static struct ended e;
	struct viommu_pci *pci;
	struct peer peer;
	struct rig rig;

	(void)state;
	rig_open(&rig, NULL);
	pci = rig.toy[0].pci;
	assert_int_equal(ask_read(&rig, 0, 8, &e), -ENOTCONN);
	peer_open(&peer, &rig, 0);
	rig_settle(&rig);
	assert_int_equal(ask_read(&rig, 0, 8, &e), -ENOTCONN); /* no version yet */
	assert_int_equal(peer_version(&peer, &m), 0);
	assert_int_equal(ask_read(&rig, 0, 0, &e), -EINVAL);
	assert_int_equal(ask_read(&rig, 0, VIOMMU_SERVER_MAX_DMA + 1, &e), -EINVAL);
	assert_int_equal(ask_read(&rig, UINT64_MAX - 6, 8, &e), -EINVAL);
	assert_int_equal(viommu_server_dma_read(rig.server, NULL, 0, 8, ended, &e), -EINVAL);
	assert_int_equal(viommu_server_dma_read(rig.server, pci, 0, 8, NULL, &e), -EINVAL);
	assert_int_equal(viommu_server_dma_write(rig.server, pci, 0, NULL, 8, ended, &e), -EINVAL);
	assert_int_equal(ask_read(&rig, UINT64_MAX - 7, 8, &e), 0);
	assert_int_equal(e.calls, 0);
	peer_close(&peer);
	rig_close(&rig);
	assert_int_equal(e.calls, 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_read_is_answered_with_the_clients_bytes),
	cmocka_unit_test(a_write_carries_its_bytes_and_is_answered),
	cmocka_unit_test(an_answer_that_is_none_ends_the_call_alone),
	cmocka_unit_test(a_client_that_goes_ends_every_call),
	cmocka_unit_test(a_client_that_does_not_read_is_not_asked_for_more),
	cmocka_unit_test(wrong_arguments_are_refused),
};
TEST_MAIN(tests)
