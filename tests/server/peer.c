/* SPDX-License-Identifier: BSD-3-Clause */
/* The rig and the peer of the server's tests. */
#include "server/peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/atomic.h"

/* A wait that should never end by itself. */
#define PATIENCE_MS 20000

const char qemu_caps[194] =
	"{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535, "
	"\"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, "
	"\"pgsize\": 4096}, \"write_multiple\": true}}";

/* ---- The function */

static uint64_t toy_read(void *ctx, unsigned int bar, uint64_t offset, unsigned int bytes)
{
	struct toy *toy = ctx;
	uint64_t v = 0;

	toy->reads++;
	memcpy(&v, (char *)(bar ? toy->bar2 : toy->reg) + offset, bytes);
	return v;
}

static void toy_written(void *ctx, int err, const void *data, size_t bytes)
{
	struct toy *toy = ctx;

	(void)data;
	(void)bytes;
	toy->reg[TOY_COPIED / 8] = err ? (uint64_t)-err : toy->reg[TOY_COPIED / 8] + 1;
}

static void toy_was_read(void *ctx, int err, const void *data, size_t bytes)
{
	struct toy *toy = ctx;

	if (!err)
		err = viommu_server_dma_write(toy->rig->server, toy->pci,
					      toy->reg[TOY_ADDR / 8] + 0x10000, data, bytes,
					      toy_written, toy);
	if (err)
		toy_written(toy, err, NULL, 0);
}

static void toy_write(void *ctx, unsigned int bar, uint64_t offset, unsigned int bytes,
		      uint64_t value)
{
	struct toy *toy = ctx;

	toy->writes++;
	/* Workers read registers, so a whole one is stored at once. */
	if (!bar && bytes == 8 && offset < sizeof(toy->reg))
		store_relaxed(&toy->reg[offset / 8], value);
	else if (bar || offset < sizeof(toy->reg))
		memcpy((char *)(bar ? toy->bar2 : toy->reg) + offset, &value, bytes);
	if (bar)
		return;
	switch (offset) {
	case TOY_INTERRUPT:
		viommu_pci_interrupt(toy->pci, (unsigned int)value);
		break;
	case TOY_INTX:
		viommu_pci_intx(toy->pci, (int)value);
		break;
	case TOY_MESSAGE:
		viommu_pci_message(toy->pci,
				   toy->reg[TOY_ADDR / 8] ? toy->reg[TOY_ADDR / 8] : 0xfee00000,
				   (uint32_t)value);
		break;
	case TOY_COPY:
		if (viommu_server_dma_read(toy->rig->server, toy->pci, toy->reg[TOY_ADDR / 8],
					   value, toy_was_read, toy))
			toy->reg[TOY_COPIED / 8] = EINVAL;
		break;
	case TOY_WORK:
		fetch_add(&toy->work, value);
		viommu_pci_kick(toy->pci);
		break;
	}
}

static void toy_reset(void *ctx)
{
	struct toy *toy = ctx;

	toy->resets++;
	store_seqcst(&toy->work, 0);
	memset(toy->reg, 0, sizeof(toy->reg)); /* no worker runs */
}

static int toy_run(void *ctx, struct viommu_dma *dma)
{
	struct toy *toy = ctx;
	uint64_t left = load_seqcst(&toy->work), value;

	while (left && !cmpxchg_weak(&toy->work, &left, left - 1))
		;
	if (!left)
		return 0;
	fetch_add(&toy->runs, 1);
	/* Each piece has a place of its own. */
	value = load_relaxed(&toy->reg[TOY_PATTERN / 8]) + left;
	if (dma)
		viommu_dma_write(dma, viommu_pci_device(toy->pci), VIOMMU_NO_PASID,
				 load_relaxed(&toy->reg[TOY_ADDR / 8]) + left * 8, &value, 8, 0,
				 NULL);
	viommu_pci_interrupt(toy->pci, 1);
	return 1;
}

static void toy_connected(void *ctx, struct viommu_pci *pci)
{
	struct toy *toy = ctx;

	assert_ptr_equal(pci, toy->pci);
	toy->connected++;
}

static void toy_disconnected(void *ctx, struct viommu_pci *pci)
{
	struct viommu_mem_region r;
	struct toy *toy = ctx;

	assert_ptr_equal(pci, toy->pci);
	toy->disconnected++;
	/* What the header promises for now. */
	assert_true(toy->resets > 0);
	if (toy->rig->mem && toy == toy->rig->toy)
		assert_int_equal(viommu_mem_next(toy->rig->mem, 0, &r), -ENOENT);
}

/* ---- The rig */

void rig_path(const struct rig *rig, const char *name, char *path, size_t size)
{
	size_t n = strlen(rig->dir);

	assert_true(n + 1 + strlen(name) < size);
	memcpy(path, rig->dir, n);
	path[n] = '/';
	memcpy(path + n + 1, name, strlen(name) + 1);
}

static void rig_tick(void *ctx)
{
	struct rig *rig = ctx;

	rig->ticks++;
}

static void rig_log(void *ctx, enum viommu_server_level level, const char *line)
{
	struct rig *rig = ctx;

	assert_true(level <= VIOMMU_SERVER_DEBUG);
	assert_null(strchr(line, '\n'));
	rig->lines++;
	snprintf(rig->line, sizeof(rig->line), "%s", line);
}

static int toy_new(struct rig *rig, struct toy *toy, const struct rig_config *config,
		   unsigned int n)
{
	struct viommu_pci_config pc = {
		.size = sizeof(pc),
		.vendor = 0x1af4,
		.device = 0x10f0,
		.class_code = 0x088000,
		.intx = 1,
		.msi_vectors = 4,
		.msix_vectors = TOY_VECTORS,
		.msix_table = 0x1000,
		.msix_pba = 0x2000,
		.workers = config->workers,
		.bar = { [0] = { .bytes = 0x4000 },
			 [2] = { .bytes = 0x2000, .flags = VIOMMU_PCI_BAR_64 } },
		.ops = { .ctx = toy,
			 .read = toy_read,
			 .write = toy_write,
			 .reset = toy_reset,
			 .run = toy_run },
	};
	struct viommu_server_function f = {
		.size = sizeof(f),
		.path = toy->path,
		.mem = n || config->no_mem ? NULL : rig->mem,
		.host = rig->host,
		.ctx = toy,
		.connected = toy_connected,
		.disconnected = toy_disconnected,
	};
	struct viommu_device_config dc = { .size = sizeof(dc), .sid = (uint16_t)(0x20 + n * 8) };
	char name[16];
	int err;

	toy->rig = rig;
	snprintf(name, sizeof(name), "%u.sock", n);
	rig_path(rig, name, toy->path, sizeof(toy->path));
	f.engines = rig->engines;
	f.vm = config->vms ? toy : NULL;
	err = viommu_pci_new(&pc, &toy->pci, NULL);
	if (!err && rig->engines)
		err = viommu_pci_engines_add(rig->engines, toy->pci);
	if (!err && rig->host) {
		err = viommu_device_new(rig->host, &dc, &toy->dev);
		if (!err) {
			struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED };

			viommu_pci_attach(toy->pci, toy->dev, NULL, NULL);
			err = viommu_device_attach(toy->dev, rig->domain, &b);
		}
	}
	f.pci = toy->pci;
	return err ? err : viommu_server_add(rig->server, &f);
}

int rig_try(struct rig *rig, const struct rig_config *config)
{
	static const struct rig_config plain;
	struct viommu_server_config sc;
	unsigned int i;
	int err;

	if (!config)
		config = &plain;
	memset(rig, 0, sizeof(*rig));
	snprintf(rig->dir, sizeof(rig->dir), "%s",
		 config->heir_of ? config->heir_of->dir : "/tmp/viommu-server-XXXXXX");
	rig->no_dir = config->heir_of;
	if (!rig->no_dir)
		assert_non_null(mkdtemp(rig->dir));
	sc = config->server;
	sc.size = sizeof(sc);
	sc.ctx = rig;
	sc.tick = rig_tick;
	sc.log = rig_log;
	rig->ports = config->ports ? config->ports : 1;
	err = viommu_server_new(&sc, &rig->server);
	if (!err)
		err = viommu_mem_new(&rig->mem);
	if (!err && config->workers) {
		err = viommu_host_new(NULL, &rig->host);
		if (!err)
			err = viommu_domain_new(rig->host, rig->mem, NULL, &rig->domain);
	}
	if (!err && config->engines)
		err = viommu_pci_engines_new(config->engines, rig->ports, &rig->engines);
	for (i = 0; i < rig->ports && !err; i++)
		err = toy_new(rig, &rig->toy[i], config, i);
	if (err)
		rig_close(rig);
	return err;
}

void rig_open(struct rig *rig, const struct rig_config *config)
{
	assert_int_equal(rig_try(rig, config), 0);
}

void rig_close(struct rig *rig)
{
	unsigned int i;

	viommu_server_free(rig->server);
	for (i = 0; i < RIG_PORTS; i++) {
		if (rig->toy[i].pci && rig->engines)
			viommu_pci_engines_remove(rig->engines, rig->toy[i].pci);
		if (rig->toy[i].pci)
			viommu_pci_attach(rig->toy[i].pci, NULL, NULL, NULL);
		viommu_pci_free(rig->toy[i].pci);
	}
	viommu_pci_engines_free(rig->engines);
	viommu_host_free(rig->host);
	viommu_mem_free(rig->mem);
	/* Every socket is gone, or this fails. */
	if (!rig->no_dir)
		assert_int_equal(rmdir(rig->dir), 0);
}

void rig_inherit(struct rig *rig, struct rig *from)
{
	rig->no_dir = false;
	from->no_dir = true;
}

void rig_step(struct rig *rig)
{
	assert_int_equal(viommu__server_step(rig->server, 0), 0);
}

void rig_settle(struct rig *rig)
{
	struct pollfd epoll = { .fd = rig->server->epoll, .events = POLLIN };
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		if (list_empty(&rig->server->runnable) && !poll(&epoll, 1, 0))
			return;
		rig_step(rig);
	}
	fail_msg("the server is never done");
}

/* ---- Descriptors */

unsigned int open_fds(void)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the directory's own */
}

int memory_fd(size_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

int event_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

uint64_t event_take(int fd)
{
	uint64_t v;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

uint64_t event_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	return event_take(fd);
}

/* ---- The peer */

int peer_dial(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(to.sun_path));
	memcpy(to.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

void peer_open(struct peer *peer, struct rig *rig, unsigned int port)
{
	memset(peer, 0, sizeof(*peer));
	peer->rig = rig;
	peer->fd = peer_dial(rig->toy[port].path);
	rig_settle(rig);
}

void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
	if (peer->rig)
		rig_settle(peer->rig);
}

/* Waits for the socket; the server works meanwhile. */
static void peer_wait(struct peer *peer, short events)
{
	struct pollfd p[2] = { { .fd = peer->fd, .events = events }, { .fd = -1 } };
	unsigned int i;

	for (i = 0; i < 1000000; i++) {
		if (peer->rig)
			rig_settle(peer->rig);
		if (peer->rig)
			p[1] = (struct pollfd){ .fd = peer->rig->server->epoll, .events = POLLIN };
		assert_true(poll(p, 2, PATIENCE_MS) > 0);
		if (p[0].revents)
			return;
	}
	fail_msg("the server runs and runs, and says nothing");
}

void peer_raw(struct peer *peer, const void *p, size_t bytes, const int *fds, unsigned int nr)
{
	union {
		char room[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)p, bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (nr) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	}
	while (iov.iov_len && !peer->closed) {
		n = sendmsg(peer->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			peer_wait(peer, POLLOUT);
			continue;
		}
		if (n < 0) {
			peer->closed = true;
			return;
		}
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
}

void peer_send(struct peer *peer, uint16_t command, uint32_t flags, const void *payload,
	       size_t bytes, const int *fds, unsigned int nr)
{
	struct viommu__vfu_header h = { .id = ++peer->id,
					.command = command,
					.size = (uint32_t)(VFU_HEADER + bytes),
					.flags = flags };
	uint8_t *p = malloc(VFU_HEADER + bytes);
	bool dies;

	assert_non_null(p);
	viommu__vfu_put_header(p, &h);
	if (bytes)
		memcpy(p + VFU_HEADER, payload, bytes);
	dies = peer->dies_at && !--peer->dies_at;
	if (!dies || peer->dies_sent)
		peer_raw(peer, p, VFU_HEADER + bytes, fds, nr);
	free(p);
	if (dies)
		longjmp(peer->death, 1);
}

static bool receive(struct peer *peer, uint8_t *to, size_t bytes)
{
	size_t done = 0;
	ssize_t n;

	while (done < bytes) {
		n = recv(peer->fd, to + done, bytes - done, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			peer_wait(peer, POLLIN);
			continue;
		}
		if (n <= 0) {
			/* Never in the middle of a message. */
			assert_int_equal(done, 0);
			peer->closed = true;
			return false;
		}
		done += (size_t)n;
	}
	return true;
}

bool peer_recv(struct peer *peer, struct message *m)
{
	uint8_t head[VFU_HEADER];

	if (!receive(peer, head, sizeof(head)))
		return false;
	assert_int_equal(viommu__vfu_header(head, sizeof(head), &m->h), 0);
	m->bytes = m->h.size - VFU_HEADER;
	assert_true(m->bytes <= sizeof(m->data));
	return receive(peer, m->data, m->bytes);
}

int peer_call_fds(struct peer *peer, uint16_t command, const void *payload, size_t bytes,
		  const int *fds, unsigned int nr, struct message *m)
{
	static struct message spare;

	if (!m)
		m = &spare;
	peer_send(peer, command, 0, payload, bytes, fds, nr);
	if (!peer_recv(peer, m))
		return EPIPE;
	assert_int_equal(m->h.id, peer->id);
	assert_int_equal(m->h.command, command);
	if (m->h.flags & VFU_ERROR) {
		assert_int_equal(m->h.flags, VFU_REPLY | VFU_ERROR);
		assert_int_equal(m->bytes, 0);
		assert_true(m->h.error > 0);
		return (int)m->h.error;
	}
	assert_int_equal(m->h.flags, VFU_REPLY);
	assert_int_equal(m->h.error, 0);
	return 0;
}

int peer_call(struct peer *peer, uint16_t command, const void *payload, size_t bytes,
	      struct message *m)
{
	return peer_call_fds(peer, command, payload, bytes, NULL, 0, m);
}

bool peer_is_closed(struct peer *peer)
{
	char drop[4096];
	ssize_t n;

	rig_settle(peer->rig);
	do {
		n = recv(peer->fd, drop, sizeof(drop), MSG_DONTWAIT);
	} while (n > 0);
	return n == 0 || errno != EAGAIN;
}

/* ---- The commands */

int peer_version(struct peer *peer, struct message *m)
{
	uint8_t p[4 + sizeof(qemu_caps)] = { 0 };

	memcpy(p + 4, qemu_caps, sizeof(qemu_caps));
	return peer_call(peer, VFU_VERSION, p, sizeof(p), m);
}

int peer_map(struct peer *peer, uint64_t addr, uint64_t bytes, uint32_t flags, int fd,
	     uint64_t offset)
{
	uint8_t p[32];

	viommu__vfu_put32(p, sizeof(p));
	viommu__vfu_put32(p + 4, flags);
	viommu__vfu_put64(p + 8, offset);
	viommu__vfu_put64(p + 16, addr);
	viommu__vfu_put64(p + 24, bytes);
	return peer_call_fds(peer, VFU_DMA_MAP, p, sizeof(p), &fd, fd >= 0, NULL);
}

int peer_unmap(struct peer *peer, uint64_t addr, uint64_t bytes, uint32_t flags)
{
	struct message m;
	uint8_t p[24];
	int err;

	viommu__vfu_put32(p, sizeof(p));
	viommu__vfu_put32(p + 4, flags);
	viommu__vfu_put64(p + 8, addr);
	viommu__vfu_put64(p + 16, bytes);
	err = peer_call(peer, VFU_DMA_UNMAP, p, sizeof(p), &m);
	if (!err) {
		assert_int_equal(m.bytes, sizeof(p));
		assert_memory_equal(m.data, p, sizeof(p));
	}
	return err;
}

int peer_irqs(struct peer *peer, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	      const int *fds, unsigned int nr)
{
	uint8_t p[20];

	viommu__vfu_put32(p, sizeof(p));
	viommu__vfu_put32(p + 4, flags);
	viommu__vfu_put32(p + 8, index);
	viommu__vfu_put32(p + 12, start);
	viommu__vfu_put32(p + 16, count);
	return peer_call_fds(peer, VFU_SET_IRQS, p, sizeof(p), fds, nr, NULL);
}

static void put_access(uint8_t p[16], uint32_t region, uint64_t offset, uint32_t count)
{
	viommu__vfu_put64(p, offset);
	viommu__vfu_put32(p + 8, region);
	viommu__vfu_put32(p + 12, count);
}

int peer_read(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count, void *to)
{
	static struct message m;
	uint8_t p[16];
	int err;

	put_access(p, region, offset, count);
	err = peer_call(peer, VFU_REGION_READ, p, sizeof(p), &m);
	if (err)
		return err;
	assert_int_equal(m.bytes, 16 + count);
	assert_memory_equal(m.data, p, 16);
	memcpy(to, m.data + 16, count);
	return 0;
}

int peer_write(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count,
	       const void *from)
{
	static uint8_t p[16 + VFU_MAX_XFER];
	struct message m;
	int err;

	assert_true(count <= VFU_MAX_XFER);
	put_access(p, region, offset, count);
	memcpy(p + 16, from, count);
	err = peer_call(peer, VFU_REGION_WRITE, p, 16 + count, &m);
	if (!err) {
		assert_int_equal(m.bytes, 16);
		assert_memory_equal(m.data, p, 16);
	}
	return err;
}

void peer_post(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count,
	       const void *from)
{
	uint8_t p[16 + 64];

	assert_true(count <= 64);
	put_access(p, region, offset, count);
	memcpy(p + 16, from, count);
	peer_send(peer, VFU_REGION_WRITE, VFU_NO_REPLY, p, 16 + count, NULL, 0);
}

int peer_write64(struct peer *peer, uint64_t offset, uint64_t value)
{
	return peer_write(peer, 0, offset, sizeof(value), &value);
}

static void config_write(struct peer *peer, uint64_t offset, uint32_t count, uint32_t value)
{
	assert_int_equal(peer_write(peer, VFU_REGION_CONFIG, offset, count, &value), 0);
}

/* Offset of a capability in configuration space; it is there. */
static unsigned int capability(const uint8_t *config, uint8_t id)
{
	unsigned int at = config[0x34], n;

	for (n = 0; at && n < 48; n++, at = config[at + 1]) {
		if (config[at] == id)
			return at;
	}
	fail_msg("no capability %02x", id);
	return 0;
}

void peer_start(struct peer *peer, int memfd, int eventfd)
{
	static const uint32_t regions[] = { 0, 1, 2, 3, 4, 5, 7 };
	static uint8_t config[4096];
	uint8_t p[32] = { 0 };
	uint32_t v = 0;
	struct message m;
	unsigned int i;

	assert_int_equal(peer_version(peer, &m), 0);
	assert_int_equal(peer_map(peer, 0, 0x10000000, 3, memfd, 0), 0);
	assert_int_equal(peer_map(peer, 0xfffc0000, 0x40000, 1, -1, 0), 0);
	viommu__vfu_put32(p, 16);
	assert_int_equal(peer_call(peer, VFU_GET_INFO, p, 16, &m), 0);
	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		memset(p, 0, sizeof(p));
		viommu__vfu_put32(p, 32);
		viommu__vfu_put32(p + 8, regions[i]);
		assert_int_equal(peer_call(peer, VFU_REGION_INFO, p, 32, &m), 0);
	}
	memset(p, 0, sizeof(p));
	viommu__vfu_put32(p, 16);
	viommu__vfu_put32(p + 8, VFU_ERR);
	assert_int_equal(peer_call(peer, VFU_IRQ_INFO, p, 16, &m), 0);
	assert_int_equal(peer_read(peer, 7, 0, 4096, config), 0);
	/* ROM. */
	assert_int_equal(peer_read(peer, 7, 0x30, 4, &v), 0);
	config_write(peer, 0x30, 4, 0xfffff800);
	assert_int_equal(peer_read(peer, 7, 0x30, 4, &v), 0);
	assert_int_equal(v, 0);
	config_write(peer, 0x30, 4, 0);
	assert_int_equal(peer_read(peer, 7, 0x10, 4, &v), 0);
	assert_int_equal(peer_read(peer, 7, 0x18, 4, &v), 0);
	for (i = 2; i <= 8; i += i == 2 ? 2 : 4)
		assert_int_equal(
			peer_read(peer, 7, capability(config, 0x11) + i, i == 2 ? 2 : 4, &v), 0);
	viommu__vfu_put32(p + 8, VFU_MSIX);
	assert_int_equal(peer_call(peer, VFU_IRQ_INFO, p, 16, &m), 0);
	assert_int_equal(viommu__vfu_get32(m.data + 12), TOY_VECTORS);
	assert_int_equal(peer_read(peer, 7, 0x3d, 1, &v), 0);
	assert_int_equal(peer_irqs(peer, 0x24, VFU_INTX, 0, 1, &eventfd, 1), 0);
	assert_int_equal(peer_irqs(peer, 0x24, VFU_ERR, 0, 1, &eventfd, 1), 0);
	/* The machine's reset. */
	assert_int_equal(peer_irqs(peer, 0x21, VFU_INTX, 0, 0, NULL, 0), 0);
	assert_int_equal(peer_read(peer, 7, 4, 2, &v), 0);
	config_write(peer, 4, 2, v & ~7u);
	assert_int_equal(peer_call(peer, VFU_RESET, NULL, 0, NULL), 0);
	assert_int_equal(peer_read(peer, 7, 0x3d, 1, &v), 0);
	assert_int_equal(peer_irqs(peer, 0x24, VFU_INTX, 0, 1, &eventfd, 1), 0);
	for (i = 0x10; i <= 0x24; i += 4)
		config_write(peer, i, 4, 0);
	/* The memory's last layout. */
	assert_int_equal(peer_unmap(peer, 0, 0x10000000, 0), 0);
	assert_int_equal(peer_map(peer, 0, 0xc0000, 3, memfd, 0), 0);
	assert_int_equal(peer_map(peer, 0xc0000, 0x20000, 1, -1, 0), 0);
	assert_int_equal(peer_map(peer, 0xe0000, 0x20000, 1, -1, 0), 0);
	assert_int_equal(peer_map(peer, 0x100000, 0xff00000, 3, memfd, 0x100000), 0);
}

void peer_enable(struct peer *peer)
{
	config_write(peer, 4, 2, 6);
}

void peer_msix(struct peer *peer, const int *fds, unsigned int nr)
{
	static uint8_t config[4096];
	unsigned int at;

	assert_int_equal(peer_read(peer, 7, 0, 4096, config), 0);
	at = capability(config, 0x11);
	config_write(peer, at + 2, 2, 0x8000);
	assert_int_equal(peer_irqs(peer, 0x24, VFU_MSIX, 0, nr, fds, nr), 0);
}
