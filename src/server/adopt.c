/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port of a server that takes another one's place: socket and client are those of before. See
 * handover.h. The numbers of descriptors are right here (saved.c); what they are is looked at now.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "server/closer.h"
#include "server/handover.h"
#include "server/state.h"

/* The state is of this very function, or of one that its client can't tell from it. */
static bool same_function(const struct viommu__port *port, const struct viommu__saved_port *saved)
{
	const struct viommu_pci_config *config = port->config;
	unsigned int i;

	if (saved->ids != ((uint32_t)config->vendor << 16 | config->device))
		return false;
	for (i = 0; i < VIOMMU_PCI_BARS; i++)
		if (saved->bar[i] != config->bar[i].bytes)
			return false;
	for (i = 0; i < VFU_IRQS; i++)
		if (saved->irqs[i] != viommu__irqs_count(&port->irqs, i))
			return false;
	return true;
}

int viommu__port_adopt_socket(struct viommu__port *port, const struct viommu__saved_port *saved)
{
	struct viommu_server_handover *h = port->server->config.handover;

	if (!same_function(port, saved))
		return -EINVAL;
	port->irqs.level = saved->level;
	return viommu__socket_adopt(&port->socket, port->function.path,
				    viommu__handover_fd(h, saved->socket.listener),
				    saved->socket.dev, saved->socket.ino);
}

static int adopt_files(struct viommu__port *port, const struct viommu__saved_port *saved,
		       uint32_t place[MAPS_FILES])
{
	int fd, err = viommu__maps_prepare_files(&port->maps);
	uint32_t i;

	for (i = 0; i < saved->file.nr && !err; i++) {
		fd = viommu__handover_fd(port->server->config.handover,
					 viommu__saved_number(&saved->file, i));
		if (viommu__fd_is_memory(fd))
			place[i] = viommu__maps_file(&port->maps, &fd);
		else
			err = -EINVAL;
		/* The state has each file once: so it is kept. */
		if (!err && fd >= 0)
			err = -EINVAL;
		if (fd >= 0)
			viommu__fd_close(fd);
	}
	return err;
}

static int adopt_map(struct viommu__port *port, const struct viommu__saved_map *saved,
		     const uint32_t *place)
{
	struct viommu__map map = { .addr = saved->addr,
				   .last = saved->last,
				   .offset = saved->offset,
				   .file = MAPS_NO_FILE,
				   .in_mem = saved->file != MAPS_NO_FILE,
				   .read_only = saved->read_only };
	struct viommu_mem *mem = port->function.mem;
	struct viommu__file *file;
	uint32_t at;
	int err;

	err = viommu__maps_prepare(&port->maps, map.addr, map.last, &at);
	if (err || !map.in_mem)
		goto insert;
	/* All of 2^64 is no region. */
	if (!mem || map.last - map.addr == UINT64_MAX)
		return -EINVAL;
	file = &port->maps.file[place[saved->file]];
	err = viommu_mem_add_fd(mem, map.addr, map.last - map.addr + 1, file->fd, map.offset,
				map.read_only ? VIOMMU_MEM_READ_ONLY : 0);
	map.file = place[saved->file];
	file->refs += !err;
insert:
	if (!err)
		viommu__maps_insert(&port->maps, at, map);
	return err;
}

static int adopt_maps(struct viommu__port *port, const struct viommu__saved_port *saved)
{
	uint32_t place[MAPS_FILES], i;
	int err;

	/* Each is counted once until all maps are there, so that a failure finds all to close. */
	err = adopt_files(port, saved, place);
	for (i = 0; i < saved->map.nr && !err; i++) {
		struct viommu__saved_map map = viommu__saved_map(&saved->map, i);

		err = adopt_map(port, &map, place);
	}
	viommu__maps_release(&port->maps);
	return err;
}

static int adopt_buffers(struct viommu__port *port, const struct viommu__saved_port *saved)
{
	unsigned int i;

	port->in = viommu__alloc(SERVER_IN_BYTES);
	if (!port->in)
		return -ENOMEM;
	if (saved->in_bytes)
		memcpy(port->in, saved->in, saved->in_bytes);
	port->in_from = 0;
	port->in_to = saved->in_bytes;
	port->write_at = saved->write_at;
	port->fds_pending = saved->fds_pending;
	port->fds_lost = saved->fds_lost;
	port->fds_at = saved->fds_at;
	for (i = 0; i < saved->fds.nr; i++)
		port->fds[port->nr_fds++] = viommu__handover_fd(
			port->server->config.handover, viommu__saved_number(&saved->fds, i));
	if (saved->out_bytes > port->server->config.max_queued)
		return -EMSGSIZE;
	/* Not by viommu__out_put(): what it does if it fails would be seen by the client. */
	port->out.p = viommu__alloc(saved->out_bytes);
	if (!port->out.p)
		return -ENOMEM;
	if (saved->out_bytes)
		memcpy(port->out.p, saved->out, saved->out_bytes);
	port->out.to = saved->out_bytes;
	port->out.room = saved->out_bytes;
	return 0;
}

int viommu__port_adopt_client(struct viommu__port *port, const struct viommu__saved_port *saved)
{
	int fd = viommu__handover_fd(port->server->config.handover, saved->client), err;

	if (!viommu__socket_is_connection(fd)) {
		viommu__fd_close(fd);
		return -EINVAL;
	}
	port->client.fd = fd;
	port->why = "the server ends";
	port->negotiated = saved->negotiated;
	port->open = saved->negotiated;
	port->age = saved->age;
	port->calls = saved->calls;
	port->server->clients++;
	err = viommu__pool_start(port->pool);
	if (!err)
		err = adopt_buffers(port, saved);
	if (!err)
		err = viommu__irqs_adopt(port, saved);
	if (!err)
		err = adopt_maps(port, saved);
	port->writing = port->out.to > 0;
	if (!err)
		err = viommu__server_watch(port->server, &port->client,
					   EPOLLIN | (port->writing ? EPOLLOUT : 0));
	return err;
}
