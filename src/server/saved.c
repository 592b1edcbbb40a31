/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a server as bytes, read: see save.c. It is as hostile as whoever could have sent it:
 * everything is held against its bounds here, once. Whether a descriptor is what it should be is
 * seen when it is taken (adopt.c).
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "server/handover.h"
#include "server/state.h"

#define MAP_BYTES 32u
/* More of one server are not looked at. */
#define MAX_PORTS    1024u
#define MAX_CONTROLS 64u

struct cursor {
	const uint8_t *start;
	const uint8_t *p;
	size_t left;
	uint32_t nr_fds;
	bool *named; /* descriptors */
	uint32_t nr_named;
	const char *why; /* NULL: all was well so far */
};

static void bad(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
}

static const uint8_t *take(struct cursor *c, uint64_t bytes)
{
	const uint8_t *p = c->p;

	if (c->why)
		return NULL;
	if (bytes > c->left) {
		bad(c, "it ends too early");
		return NULL;
	}
	c->p += bytes;
	c->left -= bytes;
	return p;
}

static uint32_t take32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p ? viommu__vfu_get32(p) : 0;
}

static uint64_t take64(struct cursor *c)
{
	const uint8_t *p = take(c, 8);

	return p ? viommu__vfu_get64(p) : 0;
}

static bool take_bool(struct cursor *c)
{
	uint32_t v = take32(c);

	if (v > 1)
		bad(c, "a yes or no that is neither");
	return v == 1;
}

static const uint8_t *take_bytes(struct cursor *c, size_t most, size_t *bytes)
{
	uint64_t n = take64(c);
	const uint8_t *p;

	if (n > most) {
		bad(c, "something is too long");
		n = 0;
	}
	p = take(c, n);
	*bytes = p ? n : 0;
	return p;
}

/* A number of a descriptor: one that nobody has named. */
static void name_fd(struct cursor *c, uint32_t n, bool may_be_none)
{
	if (c->why || (n == SAVED_NO_FD && may_be_none))
		return;
	if (n >= c->nr_fds) {
		bad(c, "a descriptor that did not come");
	} else if (c->named[n]) {
		bad(c, "a descriptor for two things");
	} else {
		c->named[n] = true;
		c->nr_named++;
	}
}

static uint32_t take_fd(struct cursor *c, bool may_be_none)
{
	uint32_t n = take32(c);

	name_fd(c, n, may_be_none);
	return n;
}

static struct viommu__saved_list take_fds(struct cursor *c, uint64_t nr, bool may_be_none)
{
	struct viommu__saved_list list = { .nr = (uint32_t)nr };
	uint32_t i;

	list.p = take(c, nr * 4);
	for (i = 0; list.p && i < list.nr; i++)
		name_fd(c, viommu__saved_number(&list, i), may_be_none);
	return list;
}

static void take_socket(struct cursor *c, struct viommu__saved_socket *s)
{
	size_t n;
	const uint8_t *path = take_bytes(c, 4096, &n);

	if (!c->why && (!n || memchr(path, 0, n) != path + n - 1))
		bad(c, "a path that is none");
	s->path = (const char *)path;
	s->listener = take_fd(c, false);
	s->dev = take64(c);
	s->ino = take64(c);
}

/* What was received: descriptors belong to a message, and what was begun goes on. */
static void check_in(struct cursor *c, const struct viommu__saved_port *port)
{
	struct viommu__vfu_message msg;
	struct viommu__vfu_header h;
	size_t at = 0;

	if (c->why)
		return;
	if (port->write_at &&
	    (!port->negotiated || viommu__vfu_header(port->in, port->in_bytes, &h) ||
	     h.size > port->in_bytes || h.command != VFU_WRITE_MULTI ||
	     (h.flags & VFU_TYPE) != VFU_COMMAND || viommu__vfu_parse(port->in, &h, &msg) ||
	     port->write_at >= msg.u.writes)) {
		bad(c, "a message that is not begun");
		return;
	}
	if (!port->fds_pending) {
		if (port->fds.nr || port->fds_lost)
			bad(c, "descriptors of no message");
		return;
	}
	while (at < port->fds_at && at < port->in_bytes &&
	       !viommu__vfu_header(port->in + at, port->in_bytes - at, &h))
		at += h.size;
	if (at != port->fds_at || at >= port->in_bytes)
		bad(c, "descriptors of no message");
}

static void take_maps(struct cursor *c, struct viommu__saved_port *port)
{
	uint64_t before = 0;
	uint32_t i, nr;

	nr = take32(c);
	if (nr > MAPS_FILES)
		bad(c, "too many files");
	port->file = take_fds(c, nr, false);
	port->map.nr = take32(c);
	port->map.p = take(c, (uint64_t)port->map.nr * MAP_BYTES);
	for (i = 0; port->map.p && i < port->map.nr && !c->why; i++) {
		struct viommu__saved_map map = viommu__saved_map(&port->map, i);

		/* Sorted, and none touches the one before. */
		if (map.addr > map.last || (i && map.addr <= before) ||
		    (map.file != MAPS_NO_FILE && map.file >= port->file.nr))
			bad(c, "a map that is none");
		before = map.last;
	}
}

static void take_client(struct cursor *c, struct viommu__saved_port *port)
{
	uint64_t irqs = 0, calls;
	uint32_t i, nr;

	port->negotiated = take_bool(c);
	port->age = take32(c);
	calls = take32(c);
	if (calls > UINT16_MAX || (!port->negotiated && port->age > SERVER_PATIENCE))
		bad(c, "a count that is too large");
	port->calls = (uint16_t)calls;
	port->in = take_bytes(c, SERVER_IN_BYTES, &port->in_bytes);
	port->write_at = take32(c);
	port->fds_pending = take_bool(c);
	port->fds_lost = take_bool(c);
	port->fds_at = take64(c);
	nr = take32(c);
	if (nr > VFU_MAX_FDS)
		bad(c, "too many descriptors of a message");
	port->fds = take_fds(c, nr, false);
	check_in(c, port);
	take_maps(c, port);
	port->out = take_bytes(c, HANDOVER_MAX_BYTES, &port->out_bytes);
	port->masked = take_bool(c);
	for (i = 0; i < VFU_IRQS; i++)
		irqs += port->irqs[i];
	port->irq = take_fds(c, irqs, true);
	port->unmask = take_fd(c, true);
}

static void take_port(struct cursor *c, struct viommu__saved_port *port)
{
	unsigned int i;

	take_socket(c, &port->socket);
	port->ids = take32(c);
	for (i = 0; i < VIOMMU_PCI_BARS; i++)
		port->bar[i] = take64(c);
	for (i = 0; i < VFU_IRQS; i++) {
		port->irqs[i] = take32(c);
		if (port->irqs[i] > VFU_MAX_IRQS)
			bad(c, "too many interrupts");
	}
	port->level = take_bool(c);
	port->client = take_fd(c, true);
	if (port->client != SAVED_NO_FD)
		take_client(c, port);
}

static void take_head(struct cursor *c, size_t bytes)
{
	const uint8_t *p = take(c, SAVED_MAGIC_BYTES);

	if (p && memcmp(p, viommu__saved_magic, SAVED_MAGIC_BYTES) != 0)
		bad(c, "it is no state of a server");
	if (take32(c) != HANDOVER_VERSION)
		bad(c, "its version is another");
	if (take32(c) != bytes)
		bad(c, "its length is another");
	if (take32(c) != c->nr_fds)
		bad(c, "its descriptors are more or fewer");
}

static int take_all(struct cursor *c, struct viommu__saved *out)
{
	uint32_t i;

	out->since = take64(c);
	out->messages = take64(c);
	out->errors = take64(c);
	out->interrupts = take64(c);
	out->nr_ports = take32(c);
	out->nr_controls = take32(c);
	if (out->nr_ports > MAX_PORTS || out->nr_controls > MAX_CONTROLS)
		bad(c, "too many sockets");
	if (c->why)
		return -EINVAL;
	out->port = viommu__calloc(out->nr_ports, sizeof(*out->port));
	out->control = viommu__calloc(out->nr_controls, sizeof(*out->control));
	if (!out->port || !out->control)
		return -ENOMEM;
	for (i = 0; i < out->nr_ports && !c->why; i++)
		take_port(c, &out->port[i]);
	for (i = 0; i < out->nr_controls && !c->why; i++)
		take_socket(c, &out->control[i]);
	take(c, viommu__saved_padding((size_t)(c->p - c->start)));
	out->data = take_bytes(c, HANDOVER_MAX_BYTES, &out->data_bytes);
	if (c->left)
		bad(c, "more follows than there should be");
	if (c->nr_named != c->nr_fds)
		bad(c, "a descriptor for nothing");
	return c->why ? -EINVAL : 0;
}

int viommu__saved_parse(const uint8_t *p, size_t bytes, uint32_t nr_fds, struct viommu__saved *out,
			const char **why)
{
	struct cursor c = { .start = p, .p = p, .left = bytes, .nr_fds = nr_fds };
	int err = -ENOMEM;

	memset(out, 0, sizeof(*out));
	c.named = viommu__calloc(nr_fds, sizeof(*c.named));
	if (c.named) {
		take_head(&c, bytes);
		err = c.why ? -EINVAL : take_all(&c, out);
	}
	viommu__free(c.named);
	*why = c.why ? c.why : "out of memory";
	return err;
}

void viommu__saved_free(struct viommu__saved *saved)
{
	viommu__free(saved->port);
	viommu__free(saved->control);
	memset(saved, 0, sizeof(*saved));
}

uint32_t viommu__saved_number(const struct viommu__saved_list *list, uint32_t n)
{
	return viommu__vfu_get32(list->p + (size_t)n * 4);
}

struct viommu__saved_map viommu__saved_map(const struct viommu__saved_list *list, uint32_t n)
{
	const uint8_t *p = list->p + (size_t)n * MAP_BYTES;

	return (struct viommu__saved_map){
		.addr = viommu__vfu_get64(p),
		.last = viommu__vfu_get64(p + 8),
		.offset = viommu__vfu_get64(p + 16),
		.file = viommu__vfu_get32(p + 24),
		.read_only = viommu__vfu_get32(p + 28) != 0,
	};
}

const char viommu__saved_magic[SAVED_MAGIC_BYTES] = "viommu server";

size_t viommu__saved_padding(size_t at)
{
	return -(at + 8) % 16;
}
