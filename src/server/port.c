/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port: one function, its socket, and the client that it has now: from accept() to the end of the
 * connection. Also what its function calls back for.
 *
 * Input. Bytes are taken in large pieces, since a burst of posted writes is thousands of small
 * messages. Descriptors arrive with bytes, not with messages: the kernel ends a recvmsg() behind
 * the piece of the sender that carried them, so they belong to the last message that begins in what
 * was received (if several begin in that piece: the last that takes any). While the message that
 * owns descriptors is not complete, nothing beyond it is received; so there is never more than one
 * set.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "server/closer.h"
#include "server/handover.h"
#include "server/state.h"

/* ---- The end of a connection */

static void drop_fds(struct viommu__port *port)
{
	while (port->nr_fds) {
		if (port->fds[--port->nr_fds] >= 0 && !viommu__fd_close(port->fds[port->nr_fds]))
			port->shunned = true;
	}
	port->fds_pending = false;
	port->fds_lost = false;
}

/*
 * The client that filled the memory went, and with it the VM. The next one's memory comes to the
 * same place, so whoever still serves a function over it is let go now, and the function does
 * nothing any more when the next message of anybody is looked at.
 */
static void end_vm(struct viommu__port *port)
{
	struct viommu__port *other;

	if (!port->function.mem || !port->function.host)
		return;
	list_for_each_entry(other, &port->server->ports, node) {
		if (other == port || other->client.fd < 0 || other->function.mem ||
		    other->function.host != port->function.host ||
		    other->function.vm != port->function.vm)
			continue;
		viommu__port_finish(other, "its VM's memory went");
		viommu_pci_reset(other->function.pci);
	}
}

static void hang_up(struct viommu__port *port)
{
	struct viommu_server *server = port->server;
	int fd = port->client.fd;

	list_del(&port->runnable);
	viommu__server_unwatch(server, &port->client);
	/* From here on nobody signals or sends. */
	pthread_mutex_lock(&port->lock);
	port->client.fd = -1;
	port->open = false;
	viommu__irqs_clear(&port->irqs);
	viommu__out_free(&port->out);
	memset(port->recent, 0, sizeof(port->recent));
	pthread_mutex_unlock(&port->lock);
	port->shunned |= !viommu__socket_end(fd);
	if (port->unmask.fd >= 0) {
		viommu__server_unwatch(server, &port->unmask);
		close(port->unmask.fd);
		port->unmask.fd = -1;
	}
	drop_fds(port);
	viommu__free(port->in);
	port->in = NULL;
	/* The function first: what works for it ends, and nobody looks for memory that is gone. */
	viommu_pci_reset(port->function.pci);
	end_vm(port);
	viommu__port_unmap_all(port);
	server->clients--;
	viommu__server_log(server, VIOMMU_SERVER_INFO, "%s: client went: %s", port->socket.path,
			   port->why);
	viommu__dma_end(port, -ECONNRESET);
	if (port->function.disconnected)
		port->function.disconnected(port->function.ctx, port->function.pci);
	viommu__server_unpark(server);
	viommu__server_retime(server);
}

/* ---- Input */

/*
 * Which message do the descriptors belong to that came with the last bytes of the buffer? Returns
 * where it begins. No message before in_to is whole that was so before those bytes came.
 */
static size_t owner(const struct viommu__port *port)
{
	size_t pos = port->in_from, last = pos, takes = SIZE_MAX;
	struct viommu__vfu_header h;

	while (pos < port->in_to) {
		last = pos;
		/* The last bytes are those that the descriptors came with. */
		if (viommu__vfu_header(port->in + pos, port->in_to - pos, &h))
			return pos;
		if (viommu__vfu_takes_fds(h.command))
			takes = pos;
		pos += h.size;
	}
	return takes != SIZE_MAX ? takes : last;
}

/* How much to receive now; the buffer has room for it. */
static size_t wanted(struct viommu__port *port)
{
	size_t have = port->in_to - port->in_from;
	struct viommu__vfu_header h;

	if (SERVER_IN_BYTES - port->in_from < VFU_MAX_MESSAGE || !have) {
		memmove(port->in, port->in + port->in_from, have);
		port->fds_at -= port->fds_pending ? port->in_from : 0;
		port->in_from = 0;
		port->in_to = have;
	}
	if (!port->fds_pending)
		return SERVER_IN_BYTES - port->in_to;
	if (viommu__vfu_header(port->in + port->in_from, have, &h))
		return VFU_HEADER - have;
	return h.size - have;
}

/* False: nothing came, or the connection ends. */
static bool receive(struct viommu__port *port)
{
	size_t want = wanted(port), was = port->in_to;
	unsigned int nr = VFU_MAX_FDS;
	int fds[VFU_MAX_FDS];
	ssize_t n;
	bool lost;

	n = viommu__socket_recv(port->client.fd, port->in + was, want, fds, &nr, &lost);
	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n <= 0) {
		viommu__port_finish(port, "end of the stream");
		return false;
	}
	port->in_to += (size_t)n;
	if (!nr && !lost)
		return true;
	if (port->shunned && viommu__fd_close_busy()) {
		while (nr)
			viommu__fd_close(fds[--nr]);
		port->server->errors++;
		viommu__port_finish(port, "its descriptors can't be closed");
		return false;
	}
	if (port->fds_pending) { /* twice for one message */
		while (nr)
			viommu__fd_close(fds[--nr]);
		port->server->errors++;
		viommu__port_finish(port, "descriptors twice for one message");
		return false;
	}
	memcpy(port->fds, fds, nr * sizeof(*fds));
	port->nr_fds = nr;
	port->fds_lost = lost;
	port->fds_pending = true;
	port->fds_at = owner(port);
	return true;
}

/* The next message of the buffer, if it is whole. False: there is none. */
static bool next(struct viommu__port *port, uint32_t *cost)
{
	const uint8_t *p = port->in + port->in_from;
	size_t have = port->in_to - port->in_from;
	struct viommu__vfu_header h;
	bool mine;
	int err;

	err = viommu__vfu_header(p, have, &h);
	if (err == -EPROTO) {
		port->server->errors++;
		viommu__port_finish(port, "a message of impossible size");
	}
	if (err || have < h.size)
		return false;
	mine = port->fds_pending && port->fds_at == port->in_from;
	*cost += viommu__port_serve(port, p, &h, port->fds, mine ? port->nr_fds : 0,
				    mine && port->fds_lost);
	if (port->write_at) /* the rest of it in the next turn */
		return false;
	if (mine)
		drop_fds(port);
	port->in_from += h.size;
	return true;
}

static bool has_message(const struct viommu__port *port)
{
	size_t have = port->in_to - port->in_from;
	struct viommu__vfu_header h;
	int err = viommu__vfu_header(port->in + port->in_from, have, &h);

	return err == -EPROTO || (!err && have >= h.size);
}

bool viommu__port_turn_over(const struct viommu__port *port)
{
	return viommu__now_ns() >= port->turn_ends;
}

void viommu__port_turn(struct viommu__port *port)
{
	uint32_t cost = 0;

	list_del(&port->runnable);
	if (port->client.fd < 0)
		return;
	port->turn_ends = viommu__now_ns() + port->server->turn_ns;
	if (has_message(port) || receive(port)) {
		while (cost < SERVER_TURN && !load_relaxed(&port->broken) && next(port, &cost) &&
		       !viommu__port_turn_over(port))
			;
	}
	pthread_mutex_lock(&port->lock);
	viommu__out_send(port);
	pthread_mutex_unlock(&port->lock);
	if (load_relaxed(&port->broken))
		hang_up(port);
	else if (has_message(port))
		list_add_tail(&port->server->runnable, &port->runnable);
}

static void client_ready(struct viommu__source *source, uint32_t events)
{
	struct viommu__port *port = container_of(source, struct viommu__port, client);

	(void)events; /* writable: a turn sends as well */
	viommu__port_turn(port);
}

/* ---- Who comes */

static int greet(struct viommu__port *port, int fd)
{
	int err;

	err = viommu__pool_start(port->pool);
	if (err)
		return err;
	port->in = viommu__alloc(SERVER_IN_BYTES);
	if (!port->in)
		return -ENOMEM;
	port->in_from = 0;
	port->in_to = 0;
	port->write_at = 0;
	port->negotiated = false;
	port->age = 0;
	pthread_mutex_lock(&port->lock);
	port->client.fd = fd;
	port->writing = false;
	store_relaxed(&port->broken, false);
	port->why = "the server ends";
	err = viommu__server_watch(port->server, &port->client, EPOLLIN);
	if (err)
		port->client.fd = -1;
	pthread_mutex_unlock(&port->lock);
	if (err) {
		viommu__free(port->in);
		port->in = NULL;
		return err;
	}
	port->server->clients++;
	viommu__server_retime(port->server);
	return 0;
}

static void listener_ready(struct viommu__source *source, uint32_t events)
{
	struct viommu__port *port = container_of(source, struct viommu__port, listener);
	int fd, err;

	(void)events;
	fd = viommu__socket_accept(&port->socket);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
		viommu__server_park(port->server, source);
	if (fd < 0)
		return;
	if (port->client.fd >= 0) {
		viommu__server_log(port->server, VIOMMU_SERVER_WARNING,
				   "%s: a second client refused", port->socket.path);
		viommu__socket_end(fd);
		return;
	}
	port->shunned &= viommu__fd_close_busy();
	err = port->shunned ? -EBUSY : greet(port, fd);
	if (err) {
		viommu__server_log(port->server, VIOMMU_SERVER_ERROR,
				   "%s: client refused: errno %d", port->socket.path, -err);
		viommu__socket_end(fd);
		return;
	}
	viommu__server_log(port->server, VIOMMU_SERVER_INFO, "%s: client came", port->socket.path);
	if (port->function.connected)
		port->function.connected(port->function.ctx, port->function.pci);
}

bool viommu__port_hang_up_broken(struct viommu__port *port)
{
	if (port->client.fd < 0 || !load_relaxed(&port->broken))
		return false;
	hang_up(port);
	return true;
}

void viommu__port_tick(struct viommu__port *port)
{
	uint32_t unsaid;

	pthread_mutex_lock(&port->lock);
	unsaid = port->unsaid;
	port->unsaid = 0;
	pthread_mutex_unlock(&port->lock);
	if (unsaid)
		viommu__server_log(port->server, VIOMMU_SERVER_WARNING,
				   "%s: %u interrupt messages were dropped: too many wait",
				   port->socket.path, unsaid);
	if (port->client.fd < 0 || port->negotiated || ++port->age <= SERVER_PATIENCE)
		return;
	port->server->errors++;
	viommu__port_finish(port, "it said no version");
	hang_up(port);
}

/* ---- What the function wants: struct viommu_pci_vmm, any thread */

/*
 * May an interrupt message be put? A guest can make its devices write them without end, and its
 * client may be slow: neither costs memory or the connection. One that waits already, none of it
 * sent, stands for a second like it: an interrupt that is pending stays one. More different ones
 * than fill half of what may wait are dropped: a reply always has room. Under port.lock.
 */
static bool message_wanted(struct viommu__port *port, uint64_t addr, uint32_t data)
{
	struct viommu__out *out = &port->out;
	size_t waiting = out->to - out->from, limit = port->server->config.max_queued;
	struct viommu__recent *r;
	unsigned int i;

	for (i = 0; i < SERVER_RECENT; i++) {
		r = &port->recent[i];
		if (r->valid && r->addr == addr && r->data == data && r->at >= out->sent)
			return false;
	}
	if (waiting > min_u64(limit / 2, limit - VFU_MAX_MESSAGE)) {
		port->unsaid++;
		return false;
	}
	r = &port->recent[port->next_recent++ % SERVER_RECENT];
	*r = (struct viommu__recent){ addr, out->sent + waiting, data, true };
	return true;
}

/* A DMA write of four bytes: the only one that an interrupt controller takes as one interrupt. */
static void message(void *ctx, uint64_t addr, uint32_t data)
{
	static const struct viommu__vfu_header h = {
		.command = VFU_DMA_WRITE,
		.size = VFU_HEADER + 20,
		.flags = VFU_COMMAND | VFU_NO_REPLY,
	};
	struct viommu__port *port = ctx;
	uint8_t bytes[VFU_HEADER + 20];

	viommu__vfu_put_header(bytes, &h);
	viommu__vfu_put64(bytes + VFU_HEADER, addr);
	viommu__vfu_put64(bytes + VFU_HEADER + 8, sizeof(data));
	viommu__vfu_put32(bytes + VFU_HEADER + 16, data);
	pthread_mutex_lock(&port->lock);
	if (port->open && message_wanted(port, addr, data)) {
		fetch_add_relaxed(&port->server->interrupts, 1);
		viommu__out_put(port, bytes, sizeof(bytes), NULL, 0);
		viommu__out_send(port);
	}
	pthread_mutex_unlock(&port->lock);
}

static void kick(void *ctx)
{
	struct viommu__port *port = ctx;

	if (port->config->workers)
		viommu__pool_kick(port->pool);
	else if (!xchg(&port->kicked, 1))
		viommu__server_wake(port->server);
}

void viommu__port_run(struct viommu__port *port)
{
	uint32_t i;

	if (!load_relaxed(&port->kicked) || !xchg(&port->kicked, 0))
		return;
	for (i = 0; i < SERVER_RUN_STEPS; i++) {
		if (!viommu_pci_run(port->function.pci, NULL))
			return;
	}
	kick(port);
}

/* ---- Objects */

static void port_destroy(struct viommu__port *port)
{
	viommu__pool_put(port->pool);
	viommu__irqs_free(&port->irqs);
	pthread_mutex_destroy(&port->lock);
	viommu__free(port);
}

/* A new socket at the path, or the one that another process listens at there. */
static int port_socket(struct viommu__port *port, struct viommu__saved_port **saved)
{
	struct viommu_server_handover *h = port->server->config.handover;
	const char *path = port->function.path;
	int err;

	*saved = NULL;
	if (!h)
		return viommu__socket_listen(&port->socket, path);
	err = viommu__handover_port(h, path, saved);
	return err ? err : viommu__port_adopt_socket(port, *saved);
}

/* From here on the function raises its interrupts here. */
static void port_listens(struct viommu__port *port)
{
	const struct viommu_pci_vmm vmm = {
		.ctx = port,
		.interrupt = viommu__irqs_interrupt,
		.intx = viommu__irqs_intx,
		.message = message,
		.kick = kick,
	};

	viommu_pci_set_vmm(port->function.pci, &vmm);
}

int viommu__port_new(struct viommu_server *server, const struct viommu_server_function *function,
		     struct viommu__port **out)
{
	struct viommu__saved_port *saved;
	struct viommu__port *port;
	int err;

	port = viommu__calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->server = server;
	port->function = *function;
	port->config = viommu_pci_config(function->pci);
	port->client.fd = -1;
	port->unmask.fd = -1;
	port->listener.fd = -1;
	port->client.ready = client_ready;
	port->listener.ready = listener_ready;
	port->maps.max = server->config.max_maps;
	list_init(&port->runnable);
	pthread_mutex_init(&port->lock, NULL);
	err = viommu__irqs_new(&port->irqs, port->config);
	if (!err)
		err = viommu__pool_get(server, function, &port->pool);
	if (!err)
		err = port_socket(port, &saved);
	if (err) {
		port_destroy(port);
		return err;
	}
	/* The caller's string may end with the call. */
	port->function.path = port->socket.path;
	port->listener.fd = port->socket.fd;
	err = viommu__server_watch(server, &port->listener, EPOLLIN);
	if (!err && saved && saved->client != SAVED_NO_FD)
		err = viommu__port_adopt_client(port, saved);
	if (err) {
		viommu__port_free(port);
		return err;
	}
	if (!saved)
		port_listens(port);
	*out = port;
	return 0;
}

void viommu__port_free(struct viommu__port *port)
{
	static const struct viommu_pci_vmm nobody;

	if (port->server->config.handover)
		viommu__port_leave(port);
	if (port->client.fd >= 0)
		hang_up(port);
	/* First, since a kick of it would go to the pool. */
	viommu_pci_set_vmm(port->function.pci, &nobody);
	viommu__pool_put(port->pool);
	port->pool = NULL;
	viommu__server_unwatch(port->server, &port->listener);
	viommu__socket_close(&port->socket);
	port_destroy(port);
}

/* ---- From one process to another: see handover.h */

/*
 * Descriptors are closed, which the other process has as well: no end of a connection, no name
 * removed, no reset. They are taken out of epoll first, which would go on to tell of them.
 */
void viommu__port_leave(struct viommu__port *port)
{
	struct viommu_server *server = port->server;

	list_del(&port->runnable);
	list_init(&port->runnable);
	if (port->listener.fd >= 0)
		viommu__server_unwatch(server, &port->listener);
	port->listener.fd = -1;
	viommu__socket_leave(&port->socket);
	if (port->client.fd < 0)
		return;
	viommu__server_unwatch(server, &port->client);
	pthread_mutex_lock(&port->lock);
	close(port->client.fd);
	port->client.fd = -1;
	port->open = false;
	viommu__irqs_clear(&port->irqs);
	viommu__out_free(&port->out);
	pthread_mutex_unlock(&port->lock);
	if (port->unmask.fd >= 0) {
		viommu__server_unwatch(server, &port->unmask);
		close(port->unmask.fd);
		port->unmask.fd = -1;
	}
	drop_fds(port);
	viommu__free(port->in);
	port->in = NULL;
	viommu__port_unmap_all(port);
	server->clients--;
}

void viommu__port_arrive(struct viommu__port *port)
{
	port_listens(port);
	if (port->client.fd >= 0) {
		viommu__server_log(port->server, VIOMMU_SERVER_INFO, "%s: client taken over",
				   port->socket.path);
		if (has_message(port))
			list_add_tail(&port->server->runnable, &port->runnable);
		if (port->function.connected)
			port->function.connected(port->function.ctx, port->function.pci);
	}
	/* It may have had something to do. */
	kick(port);
}
