/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each command does. One message at a time, on the loop, after viommu__vfu_parse() has found
 * it well formed; here it is held against the function: regions, vectors, maps.
 *
 * Nothing here waits for the client: an access of its guest is answered before anything that we
 * sent to it could be, since stock QEMU serves neither while it waits for the other.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "server/closer.h"
#include "server/state.h"

/* Units of a turn: see SERVER_TURN. */
#define COST_MAP   16u
#define COST_RESET 64u

/* One message on its way through. */
struct call {
	struct viommu__port *port;
	struct viommu__vfu_message msg;
	int *fds;
	unsigned int nr_fds;
	uint32_t cost;
};

void viommu__port_break(struct viommu__port *port, const char *why)
{
	if (load_relaxed(&port->broken))
		return;
	port->why = why;
	store_relaxed(&port->broken, true);
	/* So that epoll reports it, whichever thread this is. */
	shutdown(port->client.fd, SHUT_RDWR);
}

void viommu__port_finish(struct viommu__port *port, const char *why)
{
	pthread_mutex_lock(&port->lock);
	viommu__out_send(port);
	viommu__port_break(port, why);
	pthread_mutex_unlock(&port->lock);
}

static void answer(struct viommu__port *port, const struct viommu__vfu_header *to, uint32_t flags,
		   uint32_t error, const void *data, size_t bytes)
{
	struct viommu__vfu_header h = { .id = to->id,
					.command = to->command,
					.size = (uint32_t)(VFU_HEADER + bytes),
					.flags = VFU_REPLY | flags,
					.error = error };
	uint8_t head[VFU_HEADER];

	if (to->flags & VFU_NO_REPLY)
		return;
	viommu__vfu_put_header(head, &h);
	pthread_mutex_lock(&port->lock);
	viommu__out_put(port, head, sizeof(head), data, bytes);
	pthread_mutex_unlock(&port->lock);
}

static void refuse(struct viommu__port *port, const struct viommu__vfu_header *h, int error)
{
	port->server->errors++;
	viommu__server_log(port->server, VIOMMU_SERVER_DEBUG, "%s: %s refused: errno %d",
			   port->socket.path, viommu__vfu_name(h->command), error);
	answer(port, h, VFU_ERROR, (uint32_t)error, NULL, 0);
}

static int reply(struct call *call, const void *data, size_t bytes)
{
	answer(call->port, &call->msg.h, 0, 0, data, bytes);
	return 0;
}

static int serve_version(struct call *call)
{
	struct viommu__port *port = call->port;
	uint8_t data[4 + VFU_MAX_JSON_REPLY];

	viommu__vfu_put16(data, 0);
	viommu__vfu_put16(data + 2, 0);
	port->negotiated = true;
	reply(call, data,
	      4 + viommu__vfu_caps_reply((char *)data + 4, &call->msg.u.caps,
					 port->server->config.max_maps));
	/* Behind that reply, the function may send. */
	pthread_mutex_lock(&port->lock);
	port->open = true;
	pthread_mutex_unlock(&port->lock);
	return 0;
}

/* ---- Maps */

static int serve_map(struct call *call)
{
	struct viommu__port *port = call->port;
	const struct viommu__vfu_map *map = &call->msg.u.map;
	struct viommu__map entry = { .addr = map->addr,
				     .last = map->addr + map->bytes - 1,
				     .offset = map->offset,
				     .file = MAPS_NO_FILE,
				     .read_only = !(map->flags & VFU_MAP_WRITE) };
	uint32_t at;
	int err;

	call->cost += COST_MAP;
	if (call->nr_fds > 1)
		return EINVAL;
	/*
	 * A file behind which a process stands (FUSE), or a network, would let that decide how long
	 * an access takes, also one of this loop; to ask the file what it is would wait as well.
	 * Memory is what answers at once.
	 */
	if (call->nr_fds && !viommu__fd_is_memory(call->fds[0]))
		return EACCES;
	err = viommu__maps_prepare(&port->maps, entry.addr, entry.last, &at);
	/*
	 * Without a descriptor (firmware, BARs, private memory): there is nothing we could access.
	 */
	if (!err && call->nr_fds && port->function.mem)
		err = viommu__maps_prepare_files(&port->maps);
	if (!err && call->nr_fds && port->function.mem) {
		err = viommu_mem_add_fd(port->function.mem, map->addr, map->bytes, call->fds[0],
					map->offset, entry.read_only ? VIOMMU_MEM_READ_ONLY : 0);
		entry.in_mem = !err;
	}
	if (err) {
		viommu__server_log(port->server, VIOMMU_SERVER_WARNING,
				   "%s: map of %#llx + %#llx refused: errno %d", port->socket.path,
				   (unsigned long long)map->addr, (unsigned long long)map->bytes,
				   -err);
		return -err;
	}
	if (entry.in_mem)
		entry.file = viommu__maps_file(&port->maps, call->fds);
	viommu__maps_insert(&port->maps, at, entry);
	return reply(call, NULL, 0);
}

/* Returns when no DMA can touch it any more. */
static void unmap(struct viommu__port *port, const struct viommu__map *map)
{
	if (map->in_mem)
		viommu_mem_remove(port->function.mem, map->addr, map->last - map->addr + 1);
}

void viommu__port_unmap_all(struct viommu__port *port)
{
	uint32_t i;

	for (i = 0; i < port->maps.nr; i++)
		unmap(port, &port->maps.map[i]);
	viommu__maps_free(&port->maps);
}

static int serve_unmap(struct call *call)
{
	const struct viommu__vfu_map *map = &call->msg.u.map;
	struct viommu__port *port = call->port;
	struct viommu__map *found;
	uint8_t data[24];

	call->cost += COST_MAP;
	if (map->flags & VFU_UNMAP_ALL) {
		viommu__port_unmap_all(port);
	} else {
		found = viommu__maps_find(&port->maps, map->addr, map->addr + map->bytes - 1);
		if (!found)
			return ENOENT;
		unmap(port, found);
		viommu__maps_remove(&port->maps, found);
	}
	viommu__vfu_put32(data, sizeof(data));
	viommu__vfu_put32(data + 4, map->flags);
	viommu__vfu_put64(data + 8, map->addr);
	viommu__vfu_put64(data + 16, map->bytes);
	return reply(call, data, sizeof(data));
}

/* ---- Information */

static uint64_t region_bytes(const struct viommu__port *port, uint32_t region)
{
	if (region < VIOMMU_PCI_BARS)
		return port->config->bar[region].bytes;
	return region == VFU_REGION_CONFIG ? VIOMMU_PCI_CONFIG_BYTES : 0;
}

static int serve_info(struct call *call)
{
	uint8_t data[16];

	viommu__vfu_put32(data, sizeof(data));
	viommu__vfu_put32(data + 4, VFU_DEVICE_RESET | VFU_DEVICE_PCI);
	viommu__vfu_put32(data + 8, VFU_REGIONS);
	viommu__vfu_put32(data + 12, VFU_IRQS);
	return reply(call, data, sizeof(data));
}

/* Nothing can be mapped: every access of a guest is to be seen. */
static int serve_region_info(struct call *call)
{
	uint64_t bytes = region_bytes(call->port, call->msg.u.index);
	uint8_t data[32];

	memset(data, 0, sizeof(data));
	viommu__vfu_put32(data, sizeof(data));
	viommu__vfu_put32(data + 4, bytes ? VFU_REGION_READABLE | VFU_REGION_WRITABLE : 0);
	viommu__vfu_put32(data + 8, call->msg.u.index);
	viommu__vfu_put64(data + 16, bytes);
	return reply(call, data, sizeof(data));
}

static int serve_io_fds(struct call *call)
{
	uint8_t data[16];

	memset(data, 0, sizeof(data));
	viommu__vfu_put32(data, sizeof(data));
	viommu__vfu_put32(data + 8, call->msg.u.index);
	return reply(call, data, sizeof(data));
}

static int serve_irq_info(struct call *call)
{
	uint32_t index = call->msg.u.index, flags = VFU_IRQ_EVENTFD;
	uint8_t data[16];

	if (index == VFU_INTX)
		flags |= VFU_IRQ_MASKABLE | VFU_IRQ_AUTOMASKED;
	viommu__vfu_put32(data, sizeof(data));
	viommu__vfu_put32(data + 4, flags);
	viommu__vfu_put32(data + 8, index);
	viommu__vfu_put32(data + 12, viommu__irqs_count(&call->port->irqs, index));
	return reply(call, data, sizeof(data));
}

static int serve_irqs(struct call *call)
{
	int err = viommu__irqs_set(call->port, &call->msg, call->fds, call->nr_fds);

	return err ? err : reply(call, NULL, 0);
}

static int serve_feature(struct call *call)
{
	/* All of them belong to migration. */
	(void)call;
	return ENOTSUP;
}

static int serve_reset(struct call *call)
{
	call->cost += COST_RESET;
	viommu_pci_reset(call->port->function.pci);
	return reply(call, NULL, 0);
}

/* ---- Regions */

static bool inside(const struct viommu__port *port, const struct viommu__vfu_access *access)
{
	/* The sum does not wrap: the parser's check. */
	return access->offset + access->count <= region_bytes(port, access->region);
}

/* The largest natural access at offset that is no longer than left (and than most). */
static unsigned int natural(uint64_t offset, uint32_t left, unsigned int most)
{
	unsigned int n = most;

	while (n > left || !is_aligned(offset, n))
		n /= 2;
	return n;
}

static int read_bar(struct viommu__port *port, const struct viommu__vfu_access *access,
		    uint8_t *data)
{
	uint32_t done = 0;
	unsigned int n;
	uint64_t v;
	int err;

	while (done < access->count) {
		n = natural(access->offset + done, access->count - done, 8);
		err = viommu_pci_bar_read(port->function.pci, access->region, access->offset + done,
					  n, &v);
		if (err)
			return -err;
		memcpy(data + done, &v, n);
		done += n;
	}
	return 0;
}

static int write_bar(struct viommu__port *port, const struct viommu__vfu_access *access,
		     const uint8_t *data)
{
	uint32_t done = 0;
	unsigned int n;
	uint64_t v;
	int err;

	while (done < access->count) {
		n = natural(access->offset + done, access->count - done, 8);
		v = 0;
		memcpy(&v, data + done, n);
		err = viommu_pci_bar_write(port->function.pci, access->region,
					   access->offset + done, n, v);
		if (err)
			return -err;
		done += n;
	}
	return 0;
}

static int write_config(struct viommu__port *port, const struct viommu__vfu_access *access,
			const uint8_t *data)
{
	uint32_t done = 0;
	unsigned int n;
	int err;

	while (done < access->count) {
		n = natural(access->offset + done, access->count - done, 4);
		err = viommu_pci_config_write(port->function.pci, access->offset + done,
					      data + done, n);
		if (err)
			return -err;
		done += n;
	}
	return 0;
}

static int write_region(struct viommu__port *port, const struct viommu__vfu_access *access,
			const uint8_t *data)
{
	if (!inside(port, access))
		return EINVAL;
	if (access->region == VFU_REGION_CONFIG)
		return write_config(port, access, data);
	return write_bar(port, access, data);
}

static void put_access(uint8_t p[16], const struct viommu__vfu_access *access)
{
	viommu__vfu_put64(p, access->offset);
	viommu__vfu_put32(p + 8, access->region);
	viommu__vfu_put32(p + 12, access->count);
}

static int serve_read(struct call *call)
{
	const struct viommu__vfu_access *access = &call->msg.u.access;
	struct viommu__port *port = call->port;
	uint8_t *data = port->server->scratch;
	int err;

	call->cost += access->count / 8;
	if (!inside(port, access))
		return EINVAL;
	put_access(data, access);
	if (access->region == VFU_REGION_CONFIG)
		err = -viommu_pci_config_read(port->function.pci, access->offset, data + 16,
					      access->count);
	else
		err = read_bar(port, access, data + 16);
	return err ? err : reply(call, data, 16 + access->count);
}

static int serve_write(struct call *call)
{
	const struct viommu__vfu_access *access = &call->msg.u.access;
	uint8_t data[16];
	int err;

	call->cost += access->count / 8;
	err = write_region(call->port, access, call->msg.data);
	if (err)
		return err;
	put_access(data, access);
	return reply(call, data, sizeof(data));
}

static int serve_writes(struct call *call)
{
	struct viommu__vfu_access access;
	const uint8_t *value;
	uint8_t data[8];
	uint32_t i;
	int err = 0;

	for (i = call->port->write_at; i < call->msg.u.writes && !err; i++) {
		if (i > call->port->write_at && viommu__port_turn_over(call->port)) {
			call->port->write_at = i;
			return 0;
		}
		call->cost++;
		err = viommu__vfu_write(&call->msg, i, &access, &value);
		if (!err)
			err = write_region(call->port, &access, value);
	}
	call->port->write_at = 0;
	if (err)
		return err;
	viommu__vfu_put64(data, call->msg.u.writes);
	return reply(call, data, sizeof(data));
}

/* ---- */

static int serve(struct call *call)
{
	switch (call->msg.h.command) {
	case VFU_VERSION:
		return serve_version(call);
	case VFU_DMA_MAP:
		return serve_map(call);
	case VFU_DMA_UNMAP:
		return serve_unmap(call);
	case VFU_GET_INFO:
		return serve_info(call);
	case VFU_REGION_INFO:
		return serve_region_info(call);
	case VFU_REGION_IO_FDS:
		return serve_io_fds(call);
	case VFU_IRQ_INFO:
		return serve_irq_info(call);
	case VFU_SET_IRQS:
		return serve_irqs(call);
	case VFU_REGION_READ:
		return serve_read(call);
	case VFU_REGION_WRITE:
		return serve_write(call);
	case VFU_RESET:
		return serve_reset(call);
	case VFU_WRITE_MULTI:
		return serve_writes(call);
	default:
		return serve_feature(call);
	}
}

uint32_t viommu__port_serve(struct viommu__port *port, const uint8_t *p,
			    const struct viommu__vfu_header *h, int *fds, unsigned int nr_fds,
			    bool fds_lost)
{
	struct call call = { .port = port, .fds = fds, .nr_fds = nr_fds, .cost = 1 };
	bool first = !port->negotiated;
	int err;

	port->server->messages += !port->write_at; /* else it is not the first time */
	/* To a command of ours; a reply is never answered. */
	if ((h->flags & VFU_TYPE) == VFU_REPLY)
		return viommu__dma_reply(port, p, h);
	err = viommu__vfu_parse(p, h, &call.msg);
	/* VERSION is the first message, and only that. */
	if (!err && (h->command == VFU_VERSION) != first)
		err = EINVAL;
	if (!err && nr_fds && !viommu__vfu_takes_fds(h->command))
		err = EINVAL;
	if (!err && fds_lost)
		err = EMFILE;
	if (!err)
		err = serve(&call);
	if (!err)
		return call.cost;
	refuse(port, h, err < 0 ? -err : err);
	/* Without a version nothing that follows has a meaning. */
	if (first)
		viommu__port_finish(port, "no common version");
	return call.cost;
}
