/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes that wait for a client. Whoever has something to say appends it whole under port.lock and
 * sends as much as the socket takes, so messages of several threads never mix. What is left is sent
 * by the loop when the socket is writable. A client that leaves more than config.max_queued unread
 * is given up: it costs memory, and nothing it could still say would change that.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "server/state.h"

#define FIRST_BYTES 8192u

static bool make_room(struct viommu__out *out, size_t bytes)
{
	size_t used = out->to - out->from, room = out->room ? out->room : FIRST_BYTES;
	uint8_t *p;

	if (out->room - out->to >= bytes)
		return true;
	if (out->from) {
		memmove(out->p, out->p + out->from, used);
		out->from = 0;
		out->to = used;
	}
	if (out->room - used >= bytes)
		return true;
	while (room - used < bytes)
		room *= 2;
	p = viommu__realloc(out->p, room, 1);
	if (!p)
		return false;
	out->p = p;
	out->room = room;
	return true;
}

static void put(struct viommu__out *out, const void *p, size_t bytes)
{
	if (bytes)
		memcpy(out->p + out->to, p, bytes);
	out->to += bytes;
}

void viommu__out_put(struct viommu__port *port, const void *head, size_t head_bytes,
		     const void *data, size_t data_bytes)
{
	size_t bytes = head_bytes + data_bytes;
	struct viommu__out *out = &port->out;

	if (load_relaxed(&port->broken))
		return;
	if (out->to - out->from + bytes > port->server->config.max_queued) {
		viommu__port_break(port, "it does not read");
		return;
	}
	if (!make_room(out, bytes)) {
		viommu__port_break(port, "out of memory");
		return;
	}
	put(out, head, head_bytes);
	put(out, data, data_bytes);
}

void viommu__out_send(struct viommu__port *port)
{
	struct viommu__out *out = &port->out;
	ssize_t n;

	if (load_relaxed(&port->broken))
		return;
	while (out->from < out->to) {
		n = send(port->client.fd, out->p + out->from, out->to - out->from,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
			viommu__port_break(port, "it can't be written to");
			return;
		}
		if (n < 0)
			break;
		out->from += (size_t)n;
		out->sent += (uint64_t)n;
	}
	if (out->from == out->to) {
		out->from = 0;
		out->to = 0;
	}
	if (port->writing != (out->to > 0)) {
		port->writing = !port->writing;
		viommu__server_rewatch(port->server, &port->client,
				       EPOLLIN | (port->writing ? EPOLLOUT : 0));
	}
}

void viommu__out_free(struct viommu__out *out)
{
	viommu__free(out->p);
	memset(out, 0, sizeof(*out));
}
