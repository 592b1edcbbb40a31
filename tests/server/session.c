/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a client that behaves gets: the start as stock QEMU makes it, each command and each error of
 * it, interrupts, maps, the end.
 */
#include "server/peer.h"

#include <sys/socket.h>
#include <unistd.h>

#define GUEST_BYTES 0x10000000u

static void qemus_start_is_served(void **state)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	struct viommu_mem_region r;
	int fd = memory_fd(GUEST_BYTES), efd = event_fd();
	struct peer peer;
	struct rig rig;
	uint64_t v = 0x1234;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(rig.toy[0].connected, 1);
	peer_start(&peer, fd, efd);
	assert_int_equal(rig.toy[0].resets, 1);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.functions, 1);
	assert_int_equal(stats.clients, 1);
	assert_int_equal(stats.maps, 5);
	assert_int_equal(stats.errors, 0);
	assert_true(stats.messages > 40);
	/* RAM is there, with its holes. */
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), 0);
	assert_int_equal(r.bytes, 0xc0000);
	assert_int_equal(viommu_mem_next(rig.mem, 0xc0000, &r), 0);
	assert_int_equal(r.gpa, 0x100000);
	assert_int_equal(viommu_mem_write(rig.mem, 0x100000, &v, 8), 0);
	assert_int_equal(pread(fd, &v, 8, 0x100000), 8);
	assert_int_equal(v, 0x1234);
	peer_close(&peer);
	assert_int_equal(rig.toy[0].disconnected, 1);
	assert_int_equal(rig.toy[0].resets, 2);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.clients, 0);
	assert_int_equal(stats.maps, 0);
	/* And the next one. */
	peer_open(&peer, &rig, 0);
	peer_start(&peer, fd, efd);
	assert_int_equal(rig.toy[0].connected, 2);
	peer_close(&peer);
	rig_close(&rig);
	close(fd);
	close(efd);
}

static void the_version_comes_first_and_once(void **state)
{
	uint8_t p[4] = { 0, 0, 0, 0 };
	struct message m;
	struct peer peer;
	struct rig rig;

	(void)state;
	rig_open(&rig, NULL);
	/* Without capabilities. */
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_call(&peer, VFU_VERSION, p, 4, &m), 0);
	assert_null(strstr((char *)m.data + 4, "write_multiple"));
	peer_close(&peer);
	/* As QEMU, whose buffer has 214 bytes. */
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, &m), 0);
	assert_true(m.h.size <= 214);
	assert_int_equal(viommu__vfu_get32(m.data), 0); /* 0.0 */
	assert_non_null(strstr((char *)m.data + 4, "\"write_multiple\":true"));
	assert_int_equal(m.data[m.bytes - 1], 0);
	assert_int_equal(peer_version(&peer, &m), EINVAL);
	assert_int_equal(peer_call(&peer, VFU_RESET, NULL, 0, NULL), 0);
	peer_close(&peer);
	/* Something else first. */
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_call(&peer, VFU_RESET, NULL, 0, NULL), EINVAL);
	assert_true(peer_is_closed(&peer));
	peer_close(&peer);
	/* Another protocol. */
	p[0] = 1;
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_call(&peer, VFU_VERSION, p, 4, NULL), EPROTO);
	assert_true(peer_is_closed(&peer));
	peer_close(&peer);
	rig_close(&rig);
}

static void the_device_tells_its_regions_and_interrupts(void **state)
{
	static const uint64_t bytes[VFU_REGIONS] = { [0] = 0x4000, [2] = 0x2000, [7] = 4096 };
	static const uint32_t count[VFU_IRQS] = { 1, 4, TOY_VECTORS, 1, 1 };
	struct message m;
	uint8_t p[48] = { 0 };
	struct peer peer;
	struct rig rig;
	uint32_t i;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, &m), 0);
	viommu__vfu_put32(p, 16);
	assert_int_equal(peer_call(&peer, VFU_GET_INFO, p, 16, &m), 0);
	assert_int_equal(m.bytes, 16);
	assert_int_equal(viommu__vfu_get32(m.data + 4), 3); /* reset, PCI */
	assert_int_equal(viommu__vfu_get32(m.data + 8), 9);
	assert_int_equal(viommu__vfu_get32(m.data + 12), 5);
	for (i = 0; i < VFU_REGIONS; i++) {
		viommu__vfu_put32(p, 32);
		viommu__vfu_put32(p + 8, i);
		/* With more room than is needed, too. */
		assert_int_equal(peer_call(&peer, VFU_REGION_INFO, p, i & 1 ? 48 : 32, &m), 0);
		assert_int_equal(m.bytes, 32);
		assert_int_equal(viommu__vfu_get32(m.data), 32);
		assert_int_equal(viommu__vfu_get32(m.data + 4), bytes[i] ? 3 : 0);
		assert_int_equal(viommu__vfu_get32(m.data + 8), i);
		assert_int_equal(viommu__vfu_get64(m.data + 16), bytes[i]);
		viommu__vfu_put32(p, 16);
		assert_int_equal(peer_call(&peer, VFU_REGION_IO_FDS, p, 16, &m), 0);
		assert_int_equal(m.bytes, 16);
		assert_int_equal(viommu__vfu_get32(m.data + 12), 0);
	}
	for (i = 0; i < VFU_IRQS; i++) {
		viommu__vfu_put32(p, 16);
		viommu__vfu_put32(p + 8, i);
		assert_int_equal(peer_call(&peer, VFU_IRQ_INFO, p, 16, &m), 0);
		assert_int_equal(viommu__vfu_get32(m.data + 4), i ? 1 : 7);
		assert_int_equal(viommu__vfu_get32(m.data + 12), count[i]);
	}
	viommu__vfu_put32(p + 8, VFU_REGIONS);
	assert_int_equal(peer_call(&peer, VFU_IRQ_INFO, p, 16, &m), EINVAL);
	peer_close(&peer);
	rig_close(&rig);
}

static void what_we_do_not_do_is_said(void **state)
{
	uint8_t p[16] = { 0 };
	struct peer peer;
	struct rig rig;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	viommu__vfu_put32(p, 16);
	viommu__vfu_put32(p + 4, 1 | VFU_FEATURE_GET);
	assert_int_equal(peer_call(&peer, VFU_FEATURE, p, 16, NULL), ENOTSUP);
	assert_int_equal(peer_call(&peer, VFU_DIRTY_PAGES, p, 16, NULL), ENOTSUP);
	assert_int_equal(peer_call(&peer, VFU_MIG_DATA_READ, p, 8, NULL), ENOTSUP);
	assert_int_equal(peer_call(&peer, VFU_MIG_DATA_WRITE, p, 8, NULL), ENOTSUP);
	assert_int_equal(peer_call(&peer, VFU_DMA_READ, p, 16, NULL), ENOSYS);
	assert_int_equal(peer_call(&peer, VFU_DMA_WRITE, p, 16, NULL), ENOSYS);
	assert_int_equal(peer_call(&peer, 19, p, 16, NULL), ENOSYS);
	assert_int_equal(peer_call(&peer, 0, p, 16, NULL), ENOSYS);
	/* And the connection goes on. */
	assert_int_equal(peer_call(&peer, VFU_RESET, NULL, 0, NULL), 0);
	peer_close(&peer);
	rig_close(&rig);
}

static void registers_are_read_and_written_in_any_size(void **state)
{
	uint8_t buf[64], want[64];
	struct peer peer;
	struct rig rig;
	unsigned int n, i;
	uint64_t v;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	for (n = 1; n <= 8; n *= 2) {
		v = UINT64_C(0x1122334455667788) * n;
		assert_int_equal(peer_write(&peer, 0, 0x100 + n, n, &v), 0);
		assert_memory_equal((char *)rig.toy[0].reg + 0x100 + n, &v, n);
		v = 0;
		assert_int_equal(peer_read(&peer, 0, 0x100 + n, n, &v), 0);
		assert_memory_equal((char *)rig.toy[0].reg + 0x100 + n, &v, n);
	}
	/* Unaligned and long: in natural pieces, 1 + 4 + 8. */
	for (i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7);
	rig.toy[0].writes = 0;
	assert_int_equal(peer_write(&peer, 2, 0x103, 13, want), 0);
	assert_int_equal(rig.toy[0].writes, 3);
	assert_memory_equal((char *)rig.toy[0].bar2 + 0x103, want, 13);
	assert_int_equal(peer_read(&peer, 2, 0x103, 13, buf), 0);
	assert_memory_equal(buf, want, 13);
	assert_int_equal(peer_read(&peer, 2, 0x1fc0, 64, buf), 0);
	/* To the end, not beyond. */
	assert_int_equal(peer_read(&peer, 2, 0x1ff8, 8, buf), 0);
	assert_int_equal(peer_read(&peer, 2, 0x1ff9, 8, buf), EINVAL);
	/* And then no part of it is done. */
	rig.toy[0].writes = 0;
	assert_int_equal(peer_write(&peer, 2, 0x1fff, 2, buf), EINVAL);
	assert_int_equal(peer_write(&peer, 2, 0x1ff8, 16, buf), EINVAL);
	assert_int_equal(rig.toy[0].writes, 0);
	assert_int_equal(peer_read(&peer, 2, 0x2000, 1, buf), EINVAL);
	assert_int_equal(peer_read(&peer, 2, UINT64_MAX - 7, 7, buf), EINVAL);
	/* What is not there: the other half of a 64-bit BAR, ROM, VGA. */
	assert_int_equal(peer_read(&peer, 1, 0, 4, buf), EINVAL);
	assert_int_equal(peer_read(&peer, 3, 0, 4, buf), EINVAL);
	assert_int_equal(peer_write(&peer, VFU_REGION_ROM, 0, 4, buf), EINVAL);
	assert_int_equal(peer_read(&peer, VFU_REGION_VGA, 0, 4, buf), EINVAL);
	peer_close(&peer);
	rig_close(&rig);
}

static void configuration_space_is_a_region(void **state)
{
	static uint8_t config[4096], again[4096];
	struct peer peer;
	struct rig rig;
	uint32_t v;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_read(&peer, 7, 0, 4096, config), 0);
	assert_int_equal(viommu__vfu_get16(config), 0x1af4);
	assert_int_equal(viommu__vfu_get16(config + 2), 0x10f0);
	assert_int_equal(viommu_pci_config_read(rig.toy[0].pci, 0, again, 4096), 0);
	assert_memory_equal(config, again, 4096);
	v = 0xffffffff;
	assert_int_equal(peer_write(&peer, 7, 0x10, 4, &v), 0);
	assert_int_equal(peer_read(&peer, 7, 0x10, 4, &v), 0);
	assert_int_equal(v, 0xffffc000);
	/* Eight bytes at once are two writes: 64-bit BAR 2. */
	memset(config, 0xff, 8);
	assert_int_equal(peer_write(&peer, 7, 0x18, 8, config), 0);
	assert_int_equal(peer_read(&peer, 7, 0x18, 4, &v), 0);
	assert_int_equal(v & ~0xfu, 0xffffe000);
	assert_int_equal(peer_read(&peer, 7, 0x1c, 4, &v), 0);
	assert_int_equal(v, 0xffffffff);
	assert_int_equal(peer_read(&peer, 7, 4095, 1, &v), 0);
	assert_int_equal(peer_read(&peer, 7, 4095, 2, &v), EINVAL);
	assert_int_equal(peer_write(&peer, 7, 4096, 1, &v), EINVAL);
	peer_enable(&peer);
	assert_int_equal(viommu_pci_enabled(rig.toy[0].pci),
			 VIOMMU_PCI_MEMORY | VIOMMU_PCI_BUS_MASTER);
	assert_int_equal(peer_call(&peer, VFU_RESET, NULL, 0, NULL), 0);
	assert_int_equal(viommu_pci_enabled(rig.toy[0].pci), 0);
	peer_close(&peer);
	rig_close(&rig);
}

static void posted_writes_have_no_reply_even_if_wrong(void **state)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	struct message m;
	struct peer peer;
	struct rig rig;
	uint64_t v;
	unsigned int i;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	for (i = 0; i < 100; i++) {
		v = i;
		peer_post(&peer, 0, 0x800, 8, &v);
	}
	peer_post(&peer, 0, 0x4000, 8, &v);
	peer_post(&peer, 0, UINT64_MAX, 8, &v);
	peer_post(&peer, 6, 0, 8, &v);
	/* The next reply is that to the next command. */
	assert_int_equal(peer_read(&peer, 0, 0x800, 8, &v), 0);
	assert_int_equal(v, 99);
	assert_int_equal(rig.toy[0].writes, 100);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.errors, 3);
	/* A reply of the client's is not answered. */
	peer_send(&peer, VFU_DMA_WRITE, VFU_REPLY, NULL, 0, NULL, 0);
	peer_send(&peer, VFU_DMA_WRITE, VFU_REPLY | VFU_ERROR, NULL, 0, NULL, 0);
	peer_send(&peer, VFU_RESET, 0, NULL, 0, NULL, 0);
	assert_true(peer_recv(&peer, &m));
	assert_int_equal(m.h.command, VFU_RESET);
	peer_close(&peer);
	rig_close(&rig);
}

static void many_writes_in_one_message_are_done_in_order(void **state)
{
	uint8_t p[8 + 200 * 24];
	struct message m;
	struct peer peer;
	struct rig rig;
	uint32_t i;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	viommu__vfu_put64(p, 200);
	for (i = 0; i < 200; i++) {
		uint8_t *w = p + 8 + (size_t)i * 24;

		viommu__vfu_put64(w, 0x100 + i / 100 * 8);
		viommu__vfu_put32(w + 8, 0);
		viommu__vfu_put32(w + 12, 8);
		viommu__vfu_put64(w + 16, i);
	}
	assert_int_equal(peer_call(&peer, VFU_WRITE_MULTI, p, sizeof(p), &m), 0);
	assert_int_equal(m.bytes, 8);
	assert_int_equal(viommu__vfu_get64(m.data), 200);
	assert_int_equal(rig.toy[0].reg[0x20], 99);
	assert_int_equal(rig.toy[0].reg[0x21], 199);
	assert_int_equal(rig.toy[0].writes, 200);
	/* One of them outside: those before it are done. */
	viommu__vfu_put64(p + 8 + 100 * 24, 0x4000);
	assert_int_equal(peer_call(&peer, VFU_WRITE_MULTI, p, sizeof(p), &m), EINVAL);
	assert_int_equal(rig.toy[0].writes, 300);
	peer_send(&peer, VFU_WRITE_MULTI, VFU_NO_REPLY, p, sizeof(p), NULL, 0);
	assert_int_equal(peer_call(&peer, VFU_RESET, NULL, 0, NULL), 0);
	assert_int_equal(rig.toy[0].writes, 400);
	peer_close(&peer);
	rig_close(&rig);
}

/* ---- Interrupts */

static void a_vector_signals_its_eventfd(void **state)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	int fds[TOY_VECTORS], other = event_fd();
	uint8_t bools[28] = { 0 };
	struct peer peer;
	struct rig rig;
	unsigned int i;

	(void)state;
	for (i = 0; i < TOY_VECTORS; i++)
		fds[i] = event_fd();
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	peer_enable(&peer);
	/* Nobody listens: dropped. */
	assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, 0), 0);
	peer_msix(&peer, fds, 4);
	for (i = 0; i < TOY_VECTORS; i++)
		assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, i), 0);
	for (i = 0; i < TOY_VECTORS; i++)
		assert_int_equal(event_take(fds[i]), i < 4);
	/* A vector more, without the others being touched; one is replaced. */
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 6, 1, &fds[6], 1), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 1, 1, &other, 1), 0);
	for (i = 0; i < TOY_VECTORS; i++)
		assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, i), 0);
	for (i = 0; i < TOY_VECTORS; i++)
		assert_int_equal(event_take(fds[i]), i < 4 ? i != 1 : i == 6);
	assert_int_equal(event_take(other), 1);
	/* Taken away: a run without descriptors. */
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 2, 2, NULL, 0), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, 2), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, 0), 0);
	assert_int_equal(event_take(fds[2]), 0);
	assert_int_equal(event_take(fds[0]), 1);
	/* Triggered by the client: all, or those it names. */
	assert_int_equal(peer_irqs(&peer, 0x21, VFU_MSIX, 0, TOY_VECTORS, NULL, 0), 0);
	assert_int_equal(event_take(fds[0]), 1);
	assert_int_equal(event_take(fds[6]), 1);
	viommu__vfu_put32(bools, 28);
	viommu__vfu_put32(bools + 4, 0x22);
	viommu__vfu_put32(bools + 8, VFU_MSIX);
	viommu__vfu_put32(bools + 16, TOY_VECTORS);
	bools[20 + 6] = 1;
	assert_int_equal(peer_call(&peer, VFU_SET_IRQS, bools, sizeof(bools), NULL), 0);
	assert_int_equal(event_take(fds[0]), 0);
	assert_int_equal(event_take(fds[6]), 1);
	/* All of them off. */
	assert_int_equal(peer_irqs(&peer, 0x21, VFU_MSIX, 0, 0, NULL, 0), 0);
	for (i = 0; i < TOY_VECTORS; i++)
		assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, i), 0);
	for (i = 0; i < TOY_VECTORS; i++)
		assert_int_equal(event_take(fds[i]), 0);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.interrupts, 4 + 5 + 1 + 4 - 1 + 1);
	peer_close(&peer);
	rig_close(&rig);
	for (i = 0; i < TOY_VECTORS; i++)
		close(fds[i]);
	close(other);
}

static void interrupts_that_do_not_fit_are_refused(void **state)
{
	int fds[TOY_VECTORS + 1], pipes[2], socks[2], file = memory_fd(4096);
	unsigned int before, i;
	struct peer peer;
	struct rig rig;

	(void)state;
	before = open_fds();
	for (i = 0; i <= TOY_VECTORS; i++)
		fds[i] = event_fd();
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 9, fds, 9), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 8, 1, fds, 1), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 3, fds, 2), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 2, fds, 3), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x21, VFU_MSIX, 0, 2, fds, 2), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_INTX, 0, 2, fds, 2), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, 5, 0, 1, fds, 1), EINVAL);
	/* What a write could wait in, or is no eventfd at all. */
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 1, &pipes[1], 1), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 1, &socks[0], 1), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 1, &file, 1), EINVAL);
	assert_int_equal(peer_irqs(&peer, 0x14, VFU_INTX, 0, 1, &pipes[1], 1), EINVAL);
	/* Vectors are masked in the client's table, INTx by an eventfd can't be. */
	assert_int_equal(peer_irqs(&peer, 0x09, VFU_MSIX, 0, 1, NULL, 0), ENOTSUP);
	assert_int_equal(peer_irqs(&peer, 0x11, VFU_MSI, 0, 1, NULL, 0), ENOTSUP);
	assert_int_equal(peer_irqs(&peer, 0x0c, VFU_INTX, 0, 1, fds, 1), ENOTSUP);
	/* ERR and REQ are taken and never used. */
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_ERR, 0, 1, fds, 1), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_REQ, 0, 1, fds, 1), 0);
	peer_close(&peer);
	rig_close(&rig);
	for (i = 0; i <= TOY_VECTORS; i++)
		close(fds[i]);
	for (i = 0; i < 2; i++) {
		close(pipes[i]);
		close(socks[i]);
	}
	assert_int_equal(open_fds(), before);
	close(file);
}

static void msi_vectors_work_as_well(void **state)
{
	static uint8_t config[4096];
	int fds[4], i;
	struct peer peer;
	struct rig rig;
	uint32_t at, v = 1 | 2 << 4; /* enable, four vectors */

	(void)state;
	for (i = 0; i < 4; i++)
		fds[i] = event_fd();
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	peer_enable(&peer);
	assert_int_equal(peer_read(&peer, 7, 0, 4096, config), 0);
	for (at = config[0x34]; at && config[at] != 5; at = config[at + 1])
		;
	assert_true(at != 0);
	assert_int_equal(peer_write(&peer, 7, at + 2, 2, &v), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSI, 0, 4, fds, 4), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(peer_write64(&peer, TOY_INTERRUPT, (uint64_t)i), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(event_take(fds[i]), 1);
		close(fds[i]);
	}
	peer_close(&peer);
	rig_close(&rig);
}

static void intx_is_a_level_that_masks_itself(void **state)
{
	int fd = event_fd(), unmask = event_fd();
	struct peer peer;
	struct rig rig;
	uint64_t one = 1;
	uint8_t bools[21] = { 0 };

	viommu__vfu_put32(bools, 21);
	viommu__vfu_put32(bools + 4, VFU_SET_BOOL | VFU_SET_UNMASK);
	viommu__vfu_put32(bools + 16, 1);

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_INTX, 0, 1, &fd, 1), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTX, 1), 0);
	assert_int_equal(event_take(fd), 1);
	/* Masked: a second rise is not told. */
	assert_int_equal(peer_write64(&peer, TOY_INTX, 0), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTX, 1), 0);
	assert_int_equal(event_take(fd), 0);
	/* Unmasked while high: told again. */
	assert_int_equal(peer_irqs(&peer, 0x11, VFU_INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(event_take(fd), 1);
	/* Unmasked while low: not. The next rise is. */
	assert_int_equal(peer_write64(&peer, TOY_INTX, 0), 0);
	assert_int_equal(peer_irqs(&peer, 0x11, VFU_INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(event_take(fd), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTX, 1), 0);
	assert_int_equal(event_take(fd), 1);
	/* Masked by the client. */
	assert_int_equal(peer_write64(&peer, TOY_INTX, 0), 0);
	assert_int_equal(peer_irqs(&peer, 0x11, VFU_INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(peer_irqs(&peer, 0x09, VFU_INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(peer_write64(&peer, TOY_INTX, 1), 0);
	assert_int_equal(event_take(fd), 0);
	/* By a boolean that is false: nothing. */
	bools[20] = 0;
	assert_int_equal(peer_call(&peer, VFU_SET_IRQS, bools, sizeof(bools), NULL), 0);
	assert_int_equal(event_take(fd), 0);
	bools[20] = 1;
	assert_int_equal(peer_call(&peer, VFU_SET_IRQS, bools, sizeof(bools), NULL), 0);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(peer_irqs(&peer, 0x09, VFU_INTX, 0, 1, NULL, 0), 0);
	/* Unmasked by an eventfd, as with KVM; each write of it counts. */
	assert_int_equal(peer_irqs(&peer, 0x14, VFU_INTX, 0, 1, &unmask, 1), 0);
	assert_int_equal(write(unmask, &one, 8), 8);
	rig_settle(&rig);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(write(unmask, &one, 8), 8);
	rig_settle(&rig);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(peer_irqs(&peer, 0x14, VFU_INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(write(unmask, &one, 8), 8);
	rig_settle(&rig);
	assert_int_equal(event_take(fd), 0);
	/* A new eventfd hears of a level that is high. */
	assert_int_equal(peer_irqs(&peer, 0x21, VFU_INTX, 0, 0, NULL, 0), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_INTX, 0, 1, &fd, 1), 0);
	assert_int_equal(event_take(fd), 1);
	peer_close(&peer);
	rig_close(&rig);
	close(fd);
	close(unmask);
}

static void a_message_is_a_dma_write_without_reply(void **state)
{
	struct message m;
	struct peer peer;
	struct rig rig;
	uint64_t v = 0x4321;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	/* Before there is a version, and after the client went: nothing is sent. */
	viommu_pci_message(rig.toy[0].pci, 0xfee00000, 1);
	assert_int_equal(peer_version(&peer, &m), 0);
	/* Caused by an access: in front of its reply. */
	peer_send(&peer, VFU_RESET, VFU_NO_REPLY, NULL, 0, NULL, 0);
	peer_post(&peer, 0, TOY_MESSAGE, 8, &v);
	assert_true(peer_recv(&peer, &m));
	assert_int_equal(m.h.command, VFU_DMA_WRITE);
	assert_int_equal(m.h.flags, VFU_NO_REPLY);
	assert_int_equal(m.bytes, 20);
	assert_int_equal(viommu__vfu_get64(m.data), 0xfee00000);
	assert_int_equal(viommu__vfu_get64(m.data + 8), 4);
	assert_int_equal(viommu__vfu_get32(m.data + 16), 0x4321);
	peer_close(&peer);
	viommu_pci_message(rig.toy[0].pci, 0xfee00000, 1);
	rig_close(&rig);
}

/* ---- Maps */

static void maps_are_regions_of_the_memory(void **state)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	unsigned int before = open_fds();
	struct viommu_mem_region r;
	int fd = memory_fd(0x10000);
	struct peer peer;
	struct rig rig;
	uint64_t v = 7;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .server = { .max_maps = 4 } });
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_map(&peer, 0x10000, 0x4000, 3, fd, 0x2000), 0);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), 0);
	assert_int_equal(r.gpa, 0x10000);
	assert_int_equal(r.bytes, 0x4000);
	assert_int_equal(r.flags, 0);
	assert_int_equal(viommu_mem_write(rig.mem, 0x10008, &v, 8), 0);
	v = 0;
	assert_int_equal(pread(fd, &v, 8, 0x2008), 8);
	assert_int_equal(v, 7);
	/* Read-only. */
	assert_int_equal(peer_map(&peer, 0x20000, 0x1000, 1, fd, 0), 0);
	assert_int_equal(viommu_mem_write(rig.mem, 0x20000, &v, 8), -EFAULT);
	assert_int_equal(viommu_mem_read(rig.mem, 0x20000, &v, 8), 0);
	/* Without a descriptor: known, not there. */
	assert_int_equal(peer_map(&peer, 0x30000, 0x1000, 3, -1, 0), 0);
	assert_int_equal(viommu_mem_read(rig.mem, 0x30000, &v, 8), -EFAULT);
	/* Overlaps, of both kinds. */
	assert_int_equal(peer_map(&peer, 0x13000, 0x2000, 3, fd, 0), EEXIST);
	assert_int_equal(peer_map(&peer, 0xf000, 0x2000, 3, fd, 0), EEXIST);
	assert_int_equal(peer_map(&peer, 0, 0x100000, 3, -1, 0), EEXIST);
	assert_int_equal(peer_map(&peer, 0x30000, 0x1000, 3, fd, 0), EEXIST);
	/* What the memory refuses. */
	assert_int_equal(peer_map(&peer, 0x40800, 0x1000, 3, fd, 0), EINVAL);
	assert_int_equal(peer_map(&peer, 0x40000, 0x1000, 3, fd, 0x10000), ENXIO);
	assert_int_equal(peer_map(&peer, UINT64_C(1) << 52, 0x1000, 3, fd, 0), EINVAL);
	/* The fourth goes, the fifth is one too many. */
	assert_int_equal(peer_map(&peer, 0x40000, 0x1000, 3, fd, 0), 0);
	assert_int_equal(peer_map(&peer, 0x50000, 0x1000, 3, fd, 0), ENOSPC);
	assert_int_equal(peer_map(&peer, 0x50000, 0x1000, 3, -1, 0), ENOSPC);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.maps, 4);
	/* Unmapped exactly. */
	assert_int_equal(peer_unmap(&peer, 0x10000, 0x3000, 0), ENOENT);
	assert_int_equal(peer_unmap(&peer, 0x11000, 0x3000, 0), ENOENT);
	assert_int_equal(peer_unmap(&peer, 0x10000, 0x5000, 0), ENOENT);
	assert_int_equal(peer_unmap(&peer, 0x60000, 0x1000, 0), ENOENT);
	assert_int_equal(peer_unmap(&peer, 0x10000, 0x4000, 0), 0);
	assert_int_equal(viommu_mem_read(rig.mem, 0x10000, &v, 8), -EFAULT);
	assert_int_equal(peer_unmap(&peer, 0x10000, 0x4000, 0), ENOENT);
	assert_int_equal(peer_unmap(&peer, 0x30000, 0x1000, 0), 0);
	/* All at once. */
	assert_int_equal(peer_unmap(&peer, 0, 0, VFU_UNMAP_ALL), 0);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), -ENOENT);
	viommu_server_stats(rig.server, &stats);
	assert_int_equal(stats.maps, 0);
	assert_int_equal(peer_map(&peer, 0x10000, 0x1000, 3, fd, 0), 0);
	peer_close(&peer);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), -ENOENT);
	rig_close(&rig);
	close(fd);
	assert_int_equal(open_fds(), before);
}

static void maps_of_a_second_function_are_taken_and_forgotten(void **state)
{
	struct peer peer[2];
	int fd = memory_fd(0x10000);
	struct viommu_mem_region r;
	struct rig rig;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .ports = 2 });
	peer_open(&peer[0], &rig, 0);
	peer_open(&peer[1], &rig, 1);
	assert_int_equal(peer_version(&peer[0], NULL), 0);
	assert_int_equal(peer_version(&peer[1], NULL), 0);
	assert_int_equal(peer_map(&peer[1], 0x1000, 0x1000, 3, fd, 0), 0);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), -ENOENT);
	assert_int_equal(peer_map(&peer[0], 0x1000, 0x1000, 3, fd, 0), 0);
	assert_int_equal(peer_map(&peer[1], 0x1000, 0x1000, 3, fd, 0), EEXIST);
	assert_int_equal(peer_unmap(&peer[1], 0x1000, 0x1000, 0), 0);
	peer_close(&peer[1]);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), 0);
	peer_close(&peer[0]);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), -ENOENT);
	rig_close(&rig);
	close(fd);
}

/* With several VMs on a host the end of one is nothing to the functions of the others. */
static void the_end_of_a_vm_is_the_end_of_its_own_functions(void **state)
{
	struct peer peer[3];
	unsigned int vms, i;
	struct rig rig;

	(void)state;
	for (vms = 0; vms < 2; vms++) {
		rig_open(&rig, &(struct rig_config){ .ports = 3, .workers = 1, .vms = vms });
		for (i = 0; i < 3; i++) {
			peer_open(&peer[i], &rig, i);
			assert_int_equal(peer_version(&peer[i], NULL), 0);
		}
		peer_close(&peer[0]); /* the one that fills the memory */
		for (i = 1; i < 3; i++) {
			assert_int_equal(rig.toy[i].resets, vms ? 0 : 2);
			if (vms)
				assert_int_equal(peer_write64(&peer[i], TOY_PATTERN, 1), 0);
			else
				assert_true(peer_is_closed(&peer[i]));
			peer_close(&peer[i]);
		}
		rig_close(&rig);
	}
}

static void many_maps_stay_sorted(void **state)
{
	enum {
		N = 300
	};
	struct viommu__maps maps = { .max = N };
	uint64_t order[N];
	struct rng rng;
	uint32_t at, i, j;

	(void)state;
	rng_init(&rng, "maps");
	for (i = 0; i < N; i++)
		order[i] = i;
	for (i = N; i > 1; i--) {
		uint64_t t = order[i - 1];

		j = (uint32_t)rng_below(&rng, i);
		order[i - 1] = order[j];
		order[j] = t;
	}
	for (i = 0; i < N; i++) {
		uint64_t addr = order[i] * 0x1000;

		assert_int_equal(viommu__maps_prepare(&maps, addr, addr + 0xfff, &at), 0);
		viommu__maps_insert(&maps, at,
				    (struct viommu__map){ .addr = addr,
							  .last = addr + 0xfff,
							  .file = MAPS_NO_FILE });
		assert_int_equal(viommu__maps_prepare(&maps, addr, addr, &at), -EEXIST);
		for (j = 1; j < maps.nr; j++)
			assert_true(maps.map[j - 1].last < maps.map[j].addr);
	}
	assert_int_equal(viommu__maps_prepare(&maps, N * 0x1000, N * 0x1000, &at), -ENOSPC);
	for (i = 0; i < N; i++) {
		uint64_t addr = order[i] * 0x1000;
		struct viommu__map *map = viommu__maps_find(&maps, addr, addr + 0xfff);

		assert_null(viommu__maps_find(&maps, addr, addr + 0xffe));
		assert_non_null(map);
		viommu__maps_remove(&maps, map);
		assert_null(viommu__maps_find(&maps, addr, addr + 0xfff));
		for (j = 1; j < maps.nr; j++)
			assert_true(maps.map[j - 1].last < maps.map[j].addr);
	}
	viommu__maps_free(&maps);
}

static void a_server_that_ends_ends_its_clients(void **state)
{
	int fd = memory_fd(0x1000), efds[2] = { event_fd(), event_fd() };
	unsigned int before = open_fds();
	struct viommu_mem_region r;
	struct peer peer;
	struct rig rig;
	char c;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .ports = 2 });
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	assert_int_equal(peer_map(&peer, 0, 0x1000, 3, fd, 0), 0);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_INTX, 0, 1, efds, 1), 0);
	assert_int_equal(peer_irqs(&peer, 0x14, VFU_INTX, 0, 1, efds + 1, 1), 0);
	viommu_server_free(rig.server);
	rig.server = NULL;
	assert_int_equal(rig.toy[0].disconnected, 1);
	assert_int_equal(rig.toy[0].resets, 1);
	assert_int_equal(viommu_mem_next(rig.mem, 0, &r), -ENOENT);
	assert_int_equal(recv(peer.fd, &c, 1, MSG_DONTWAIT), 0);
	/* The function is nobody's now, and may still do what it likes. */
	viommu_pci_intx(rig.toy[0].pci, 1);
	viommu_pci_message(rig.toy[0].pci, 0xfee00000, 1);
	viommu_pci_kick(rig.toy[0].pci);
	close(peer.fd);
	rig_close(&rig);
	assert_int_equal(open_fds(), before);
	close(fd);
	close(efds[0]);
	close(efds[1]);
}

/* ---- Work on the loop */

static void a_function_without_workers_runs_in_bounded_turns(void **state)
{
	unsigned int rounds = 0;
	int fds[2] = { event_fd(), event_fd() };
	struct peer peer;
	struct rig rig;
	uint64_t v = 1000;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	peer_enable(&peer);
	peer_msix(&peer, fds, 2);
	peer_post(&peer, 0, TOY_WORK, 8, &v);
	while (rig.toy[0].runs < 1000 && rounds < 1000) {
		uint64_t was = rig.toy[0].runs;

		rig_step(&rig);
		assert_true(rig.toy[0].runs - was <= SERVER_RUN_STEPS);
		rounds++;
	}
	assert_int_equal(rig.toy[0].runs, 1000);
	rig_settle(&rig);
	assert_int_equal(event_take(fds[1]), 1000);
	/* A kick of another thread, or between accesses. */
	rig.toy[0].work = 3;
	viommu_pci_kick(rig.toy[0].pci);
	rig_settle(&rig);
	assert_int_equal(rig.toy[0].runs, 1003);
	peer_close(&peer);
	rig_close(&rig);
	close(fds[0]);
	close(fds[1]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(qemus_start_is_served),
	cmocka_unit_test(the_version_comes_first_and_once),
	cmocka_unit_test(the_device_tells_its_regions_and_interrupts),
	cmocka_unit_test(what_we_do_not_do_is_said),
	cmocka_unit_test(registers_are_read_and_written_in_any_size),
	cmocka_unit_test(configuration_space_is_a_region),
	cmocka_unit_test(posted_writes_have_no_reply_even_if_wrong),
	cmocka_unit_test(many_writes_in_one_message_are_done_in_order),
	cmocka_unit_test(a_vector_signals_its_eventfd),
	cmocka_unit_test(interrupts_that_do_not_fit_are_refused),
	cmocka_unit_test(msi_vectors_work_as_well),
	cmocka_unit_test(intx_is_a_level_that_masks_itself),
	cmocka_unit_test(a_message_is_a_dma_write_without_reply),
	cmocka_unit_test(maps_are_regions_of_the_memory),
	cmocka_unit_test(maps_of_a_second_function_are_taken_and_forgotten),
	cmocka_unit_test(the_end_of_a_vm_is_the_end_of_its_own_functions),
	cmocka_unit_test(many_maps_stay_sorted),
	cmocka_unit_test(a_server_that_ends_ends_its_clients),
	cmocka_unit_test(a_function_without_workers_runs_in_bounded_turns),
};
TEST_MAIN(tests)
