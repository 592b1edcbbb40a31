/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the state that a server takes over from another process. The first byte is how many
 * descriptors came with it, the second whether its head is put right (0) or as it is. What is
 * accepted must be what the one that takes it relies on: lists inside of the bytes, numbers of
 * descriptors below their count and each once, a buffer whose descriptors have a message.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "server/handover.h"
#include "server/state.h"

#define HEAD 28u

struct seen {
	bool fd[256];
	unsigned int nr;
};

static void name_fd(struct seen *seen, uint32_t n)
{
	if (n == SAVED_NO_FD)
		return;
	VIOMMU_ASSERT(n < 256 && !seen->fd[n]);
	seen->fd[n] = true;
	seen->nr++;
}

static void name_list(struct seen *seen, const struct viommu__saved_list *list)
{
	uint32_t i;

	for (i = 0; i < list->nr; i++)
		name_fd(seen, viommu__saved_number(list, i));
}

static void check_socket(struct seen *seen, const struct viommu__saved_socket *s)
{
	VIOMMU_ASSERT(strlen(s->path) < 4096);
	VIOMMU_ASSERT(s->listener != SAVED_NO_FD && !s->taken);
	name_fd(seen, s->listener);
}

static void check_client(struct seen *seen, const struct viommu__saved_port *port)
{
	uint64_t sum = 0, last = 0;
	uint32_t i;

	VIOMMU_ASSERT(port->in_bytes <= SERVER_IN_BYTES && port->fds.nr <= VFU_MAX_FDS);
	VIOMMU_ASSERT(!port->fds_pending || port->fds_at < port->in_bytes);
	VIOMMU_ASSERT(!port->write_at || (port->negotiated && port->in_bytes > 24));
	for (i = 0; i < port->in_bytes; i++)
		sum += port->in[i];
	for (i = 0; i < port->out_bytes; i++)
		sum += port->out[i];
	name_list(seen, &port->fds);
	name_list(seen, &port->irq);
	name_list(seen, &port->file);
	name_fd(seen, port->unmask);
	for (i = 0; i < port->map.nr; i++) {
		struct viommu__saved_map map = viommu__saved_map(&port->map, i);

		VIOMMU_ASSERT(map.addr <= map.last && (!i || map.addr > last));
		VIOMMU_ASSERT(map.file == MAPS_NO_FILE || map.file < port->file.nr);
		last = map.last;
		sum += map.offset;
	}
	VIOMMU_ASSERT(sum || true);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct seen seen = { .nr = 0 };
	struct viommu__saved saved;
	uint8_t fds = fuzz_u8(&in);
	bool as_it_is = fuzz_u8(&in);
	size_t bytes = in.left;
	const char *why = NULL;
	uint8_t *p;
	uint32_t i;
	int err;

	p = malloc(bytes ? bytes : 1);
	VIOMMU_ASSERT(p);
	fuzz_bytes(&in, p, bytes);
	if (!as_it_is && bytes >= HEAD) {
		memcpy(p, viommu__saved_magic, SAVED_MAGIC_BYTES);
		viommu__vfu_put32(p + 16, HANDOVER_VERSION);
		viommu__vfu_put32(p + 20, (uint32_t)bytes);
		viommu__vfu_put32(p + 24, fds);
	}
	err = viommu__saved_parse(p, bytes, fds, &saved, &why);
	VIOMMU_ASSERT(err == 0 || (err == -EINVAL && why && *why));
	for (i = 0; !err && i < saved.nr_ports; i++) {
		check_socket(&seen, &saved.port[i].socket);
		name_fd(&seen, saved.port[i].client);
		if (saved.port[i].client != SAVED_NO_FD)
			check_client(&seen, &saved.port[i]);
	}
	for (i = 0; !err && i < saved.nr_controls; i++)
		check_socket(&seen, &saved.control[i]);
	if (!err) {
		VIOMMU_ASSERT(seen.nr == fds);
		VIOMMU_ASSERT(saved.data + saved.data_bytes == p + bytes);
		VIOMMU_ASSERT((saved.data - p) % 16 == 0);
	}
	viommu__saved_free(&saved);
	free(p);
}

FUZZ_TARGET
