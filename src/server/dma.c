/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA by messages: DMA_READ and DMA_WRITE that ask the client, and its replies.
 *
 * Nothing waits: QEMU serves none of them while its guest's access is open, so the caller is told
 * by a callback. A call has a slot of its port; the message's id is the slot and a count, so that a
 * reply to a call that is over finds nobody.
 */
#include <errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "server/state.h"

static struct viommu__port *port_of(struct viommu_server *server, const struct viommu_pci *pci)
{
	struct viommu__port *port;

	list_for_each_entry(port, &server->ports, node)
		if (port->function.pci == pci)
			return port;
	return NULL;
}

static struct viommu__dma_call *free_slot(struct viommu__port *port, uint16_t *id)
{
	uint16_t i;

	for (i = 0; i < SERVER_DMA_CALLS; i++) {
		if (port->call[i].done)
			continue;
		*id = (uint16_t)(port->calls++ * SERVER_DMA_CALLS + i);
		return &port->call[i];
	}
	return NULL;
}

static int ask(struct viommu_server *server, const struct viommu_pci *pci, uint16_t command,
	       uint64_t addr, const void *data, size_t bytes, viommu_server_dma_done *done,
	       void *ctx)
{
	struct viommu__port *port = port_of(server, pci);
	size_t more = command == VFU_DMA_WRITE ? bytes : 0;
	struct viommu__vfu_header h = { .command = command,
					.size = (uint32_t)(VFU_HEADER + 16 + more),
					.flags = VFU_COMMAND };
	struct viommu__dma_call *call;
	uint8_t head[VFU_HEADER + 16];
	int err = 0;

	if (server->frozen)
		return -EAGAIN;
	if (!port || !done || !bytes || bytes > VIOMMU_SERVER_MAX_DMA ||
	    addr > UINT64_MAX - (bytes - 1))
		return -EINVAL;
	call = free_slot(port, &h.id);
	if (!call)
		return -EAGAIN;
	viommu__vfu_put_header(head, &h);
	viommu__vfu_put64(head + VFU_HEADER, addr);
	viommu__vfu_put64(head + VFU_HEADER + 8, bytes);
	pthread_mutex_lock(&port->lock);
	if (!port->open || load_relaxed(&port->broken))
		err = -ENOTCONN;
	else if (port->out.to - port->out.from + h.size > server->config.max_queued / 2)
		err = -EAGAIN; /* the other half is for what the client wants to know */
	else {
		viommu__out_put(port, head, sizeof(head), data, more);
		viommu__out_send(port);
	}
	pthread_mutex_unlock(&port->lock);
	if (err)
		return err;
	*call = (struct viommu__dma_call){ .done = done,
					   .ctx = ctx,
					   .addr = addr,
					   .bytes = bytes,
					   .id = h.id,
					   .command = command };
	return 0;
}

int viommu_server_dma_read(struct viommu_server *server, const struct viommu_pci *pci,
			   uint64_t addr, size_t bytes, viommu_server_dma_done *done, void *ctx)
{
	return ask(server, pci, VFU_DMA_READ, addr, NULL, bytes, done, ctx);
}

int viommu_server_dma_write(struct viommu_server *server, const struct viommu_pci *pci,
			    uint64_t addr, const void *data, size_t bytes,
			    viommu_server_dma_done *done, void *ctx)
{
	if (!data)
		return -EINVAL;
	return ask(server, pci, VFU_DMA_WRITE, addr, data, bytes, done, ctx);
}

/* The slot is free before its owner is told: he may ask again at once. */
static void finish(struct viommu__dma_call *slot, int err, const void *data)
{
	struct viommu__dma_call call = *slot;

	slot->done = NULL;
	call.done(call.ctx, err, err ? NULL : data, err ? 0 : call.bytes);
}

uint32_t viommu__dma_reply(struct viommu__port *port, const uint8_t *p,
			   const struct viommu__vfu_header *h)
{
	struct viommu__dma_call *call = &port->call[h->id % SERVER_DMA_CALLS];
	struct viommu__vfu_reply reply;
	int err;

	if (!call->done || call->id != h->id || call->command != h->command)
		return 1;
	err = viommu__vfu_parse_reply(p, h, &reply);
	if (!err && (reply.addr != call->addr || reply.count != call->bytes) && !reply.bare)
		err = EPROTO;
	finish(call, -err, reply.data);
	return 1 + (uint32_t)(call->bytes / 64);
}

void viommu__dma_end(struct viommu__port *port, int err)
{
	unsigned int i;

	for (i = 0; i < SERVER_DMA_CALLS; i++)
		if (port->call[i].done)
			finish(&port->call[i], err, NULL);
}
