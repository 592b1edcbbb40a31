/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a server as bytes, written: see handover.h. Host byte order: it goes to a process of
 * the same machine, at once. saved.c reads it.
 *
 *	"viommu server\0\0\0"  version  bytes  descriptors
 *	when it stood still, counters
 *	ports, each: socket, what its function is, its level, its client
 *	control sockets
 *	the application's bytes
 */
#include <string.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "server/handover.h"
#include "server/state.h"

static uint8_t *room(struct viommu__pack *pack, size_t bytes)
{
	size_t want = pack->room ? pack->room : 4096;
	uint8_t *p;

	if (pack->why)
		return NULL;
	if (bytes > HANDOVER_MAX_BYTES - pack->nr) {
		pack->why = "its state is too large";
		return NULL;
	}
	while (want - pack->nr < bytes)
		want *= 2;
	if (want != pack->room) {
		p = viommu__realloc(pack->p, want, 1);
		if (!p) {
			pack->why = "out of memory";
			return NULL;
		}
		pack->p = p;
		pack->room = want;
	}
	p = pack->p + pack->nr;
	memset(p, 0, bytes);
	pack->nr += bytes;
	return p;
}

void viommu__pack32(struct viommu__pack *pack, uint32_t v)
{
	uint8_t *p = room(pack, 4);

	if (p)
		viommu__vfu_put32(p, v);
}

void viommu__pack64(struct viommu__pack *pack, uint64_t v)
{
	uint8_t *p = room(pack, 8);

	if (p)
		viommu__vfu_put64(p, v);
}

void viommu__pack_bytes(struct viommu__pack *pack, const void *bytes, size_t n)
{
	uint8_t *p;

	viommu__pack64(pack, n);
	p = room(pack, n);
	if (p && n)
		memcpy(p, bytes, n);
}

void viommu__pack_fd(struct viommu__pack *pack, int fd)
{
	uint32_t want = pack->room_fds ? pack->room_fds * 2 : 64;
	int *more;

	if (fd < 0) {
		viommu__pack32(pack, SAVED_NO_FD);
		return;
	}
	if (!pack->why && pack->nr_fds == HANDOVER_MAX_FDS)
		pack->why = "it has too many descriptors";
	if (!pack->why && pack->nr_fds == pack->room_fds) {
		more = viommu__realloc(pack->fd, want, sizeof(*more));
		if (!more) {
			pack->why = "out of memory";
			return;
		}
		pack->fd = more;
		pack->room_fds = want;
	}
	viommu__pack32(pack, pack->nr_fds);
	if (!pack->why)
		pack->fd[pack->nr_fds++] = fd;
}

void viommu__pack_free(struct viommu__pack *pack)
{
	viommu__free(pack->p);
	viommu__free(pack->fd);
	*pack = (struct viommu__pack){ .p = NULL };
}

static void save_socket(struct viommu__pack *pack, const struct viommu__socket *s)
{
	char *path = viommu__path_absolute(s->path);

	if (!path) {
		if (!pack->why)
			pack->why = "out of memory";
		return;
	}
	viommu__pack_bytes(pack, path, strlen(path) + 1);
	viommu__free(path);
	viommu__pack_fd(pack, s->fd);
	viommu__pack64(pack, s->dev);
	viommu__pack64(pack, s->ino);
}

static void save_maps(struct viommu__pack *pack, const struct viommu__maps *maps)
{
	uint32_t number[MAPS_FILES], nr = 0, i;
	const struct viommu__map *map;

	for (i = 0; maps->file && i < MAPS_FILES; i++)
		number[i] = maps->file[i].refs ? nr++ : MAPS_NO_FILE;
	viommu__pack32(pack, nr);
	for (i = 0; maps->file && i < MAPS_FILES; i++)
		if (maps->file[i].refs)
			viommu__pack_fd(pack, maps->file[i].fd);
	viommu__pack32(pack, maps->nr);
	for (i = 0; i < maps->nr; i++) {
		map = &maps->map[i];
		if (map->in_mem && map->file == MAPS_NO_FILE && !pack->why)
			pack->why = "a client's memory has too many files";
		viommu__pack64(pack, map->addr);
		viommu__pack64(pack, map->last);
		viommu__pack64(pack, map->offset);
		viommu__pack32(pack, map->file == MAPS_NO_FILE ? MAPS_NO_FILE : number[map->file]);
		viommu__pack32(pack, map->read_only);
	}
}

/* The loop's own part; then, under the lock, what threads may change. */
static void save_client(struct viommu__pack *pack, struct viommu__port *port)
{
	size_t have = port->in_to - port->in_from;
	unsigned int i;

	viommu__pack32(pack, port->negotiated);
	viommu__pack32(pack, port->age);
	viommu__pack32(pack, port->calls);
	viommu__pack_bytes(pack, port->in + port->in_from, have);
	viommu__pack32(pack, port->write_at);
	viommu__pack32(pack, port->fds_pending);
	viommu__pack32(pack, port->fds_lost);
	viommu__pack64(pack, port->fds_pending ? port->fds_at - port->in_from : 0);
	viommu__pack32(pack, port->nr_fds);
	for (i = 0; i < port->nr_fds; i++)
		viommu__pack_fd(pack, port->fds[i]);
	save_maps(pack, &port->maps);
	pthread_mutex_lock(&port->lock);
	viommu__pack_bytes(pack, port->out.p + port->out.from, port->out.to - port->out.from);
	viommu__pack32(pack, port->irqs.masked);
	for (i = 0; i < port->irqs.first[VFU_IRQS]; i++)
		viommu__pack_fd(pack, port->irqs.fd[i]);
	pthread_mutex_unlock(&port->lock);
	viommu__pack_fd(pack, port->unmask.fd);
}

static void save_port(struct viommu__pack *pack, struct viommu__port *port)
{
	unsigned int i;

	save_socket(pack, &port->socket);
	viommu__pack32(pack, (uint32_t)port->config->vendor << 16 | port->config->device);
	for (i = 0; i < VIOMMU_PCI_BARS; i++)
		viommu__pack64(pack, port->config->bar[i].bytes);
	for (i = 0; i < VFU_IRQS; i++)
		viommu__pack32(pack, viommu__irqs_count(&port->irqs, i));
	pthread_mutex_lock(&port->lock);
	viommu__pack32(pack, port->irqs.level);
	pthread_mutex_unlock(&port->lock);
	viommu__pack_fd(pack, port->client.fd);
	if (port->client.fd >= 0)
		save_client(pack, port);
}

void viommu__save(struct viommu_server *server, uint64_t since, const void *data, size_t bytes,
		  struct viommu__pack *pack)
{
	struct viommu__control *control;
	struct viommu__port *port;
	uint32_t ports = 0, controls = 0;
	uint8_t *head = room(pack, SAVED_MAGIC_BYTES + 12);

	list_for_each_entry(port, &server->ports, node)
		ports++;
	list_for_each_entry(control, &server->controls, node)
		controls++;
	viommu__pack64(pack, since);
	viommu__pack64(pack, server->messages);
	viommu__pack64(pack, server->errors);
	viommu__pack64(pack, load_relaxed(&server->interrupts));
	viommu__pack32(pack, ports);
	viommu__pack32(pack, controls);
	list_for_each_entry(port, &server->ports, node)
		save_port(pack, port);
	list_for_each_entry(control, &server->controls, node)
		save_socket(pack, &control->socket);
	/* So that it is aligned for whatever it is. */
	room(pack, viommu__saved_padding(pack->nr));
	viommu__pack_bytes(pack, data, bytes);
	if (!head || pack->why)
		return;
	memcpy(pack->p, viommu__saved_magic, SAVED_MAGIC_BYTES);
	viommu__vfu_put32(pack->p + SAVED_MAGIC_BYTES, HANDOVER_VERSION);
	viommu__vfu_put32(pack->p + SAVED_MAGIC_BYTES + 4, (uint32_t)pack->nr);
	viommu__vfu_put32(pack->p + SAVED_MAGIC_BYTES + 8, pack->nr_fds);
}
