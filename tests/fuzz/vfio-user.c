/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what a vfio-user client sends, as a stream of messages (a last one that is cut short
 * goes on with zeroes). Whatever is accepted must be what the server relies on without looking
 * again: ranges that do not wrap, indices in their tables, data as long as it is said to be.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bits.h"
#include "server/wire.h"

#define MAX_MESSAGES 64

static void check_access(const struct viommu__vfu_access *a)
{
	VIOMMU_ASSERT(a->count && a->count <= VFU_MAX_XFER && a->region < VFU_REGIONS);
	VIOMMU_ASSERT(a->offset + a->count > a->offset);
}

static void check_caps(const struct viommu__vfu_caps *caps)
{
	struct viommu__vfu_caps again;
	char buf[VFU_MAX_JSON_REPLY];
	size_t n;

	VIOMMU_ASSERT(caps->write_multiple <= 1 && caps->max_data_xfer_size && caps->max_dma_maps);
	n = viommu__vfu_caps_reply(buf, caps, caps->max_dma_maps);
	VIOMMU_ASSERT(n <= sizeof(buf) && strlen(buf) == n - 1);
	VIOMMU_ASSERT(viommu__vfu_caps(buf, n, &again) == 0);
	VIOMMU_ASSERT(again.write_multiple == caps->write_multiple);
}

static void check_message(const struct viommu__vfu_message *m, const uint8_t *p)
{
	const uint8_t *end = p + m->h.size, *value;
	const struct viommu__vfu_irqs *irqs = &m->u.irqs;
	struct viommu__vfu_access access;
	uint64_t last;
	uint32_t i;

	VIOMMU_ASSERT(!m->data || (m->data >= p && m->data + m->data_bytes == end));
	switch (m->h.command) {
	case VFU_VERSION:
		check_caps(&m->u.caps);
		break;
	case VFU_DMA_MAP:
		VIOMMU_ASSERT(m->u.map.flags & (VFU_MAP_READ | VFU_MAP_WRITE));
		VIOMMU_ASSERT(range_last(m->u.map.addr, m->u.map.bytes, &last));
		VIOMMU_ASSERT(m->u.map.offset + m->u.map.bytes >= m->u.map.bytes);
		break;
	case VFU_DMA_UNMAP:
		VIOMMU_ASSERT(
			(m->u.map.flags == VFU_UNMAP_ALL && !m->u.map.addr && !m->u.map.bytes) ||
			(!m->u.map.flags && range_last(m->u.map.addr, m->u.map.bytes, &last)));
		break;
	case VFU_REGION_INFO:
	case VFU_REGION_IO_FDS:
		VIOMMU_ASSERT(m->u.index < VFU_REGIONS);
		break;
	case VFU_IRQ_INFO:
		VIOMMU_ASSERT(m->u.index < VFU_IRQS);
		break;
	case VFU_SET_IRQS:
		VIOMMU_ASSERT(irqs->index < VFU_IRQS && is_pow2(irqs->data) &&
			      is_pow2(irqs->action));
		VIOMMU_ASSERT(irqs->start + irqs->count >= irqs->start);
		VIOMMU_ASSERT(m->data_bytes == (irqs->data == VFU_SET_BOOL ? irqs->count : 0));
		break;
	case VFU_REGION_READ:
		check_access(&m->u.access);
		break;
	case VFU_REGION_WRITE:
		check_access(&m->u.access);
		VIOMMU_ASSERT(m->data_bytes == m->u.access.count);
		break;
	case VFU_WRITE_MULTI:
		VIOMMU_ASSERT(m->data_bytes == (size_t)m->u.writes * 24);
		for (i = 0; i < m->u.writes; i++) {
			VIOMMU_ASSERT(viommu__vfu_write(m, i, &access, &value) == 0);
			check_access(&access);
			VIOMMU_ASSERT(access.count <= 8 && value + 8 <= end);
		}
		break;
	default:
		VIOMMU_ASSERT(m->h.command == VFU_GET_INFO || m->h.command == VFU_RESET ||
			      m->h.command == VFU_FEATURE);
	}
	VIOMMU_ASSERT(viommu__vfu_name(m->h.command)[0] != '?');
	VIOMMU_ASSERT(!(m->h.flags & ~VFU_NO_REPLY));
}

static void check_reply(const uint8_t *p, const struct viommu__vfu_header *h)
{
	struct viommu__vfu_reply r;
	int err = viommu__vfu_parse_reply(p, h, &r);

	VIOMMU_ASSERT(err >= 0);
	if (!err && h->command == VFU_DMA_READ)
		VIOMMU_ASSERT(r.data + r.count == p + h->size);
	VIOMMU_ASSERT(!r.data || (!err && h->command == VFU_DMA_READ));
	if (!err && h->command != VFU_DMA_READ)
		VIOMMU_ASSERT(r.bare || h->size == VFU_HEADER + 16);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct viommu__vfu_message msg;
	struct viommu__vfu_header h;
	uint8_t head[VFU_HEADER];
	unsigned int i;
	uint8_t *p;
	int err;

	for (i = 0; i < MAX_MESSAGES && !fuzz_done(&in); i++) {
		err = viommu__vfu_header(in.data, in.left, &h);
		VIOMMU_ASSERT((err == -EAGAIN) == (in.left < VFU_HEADER));
		if (err)
			return;
		/* Exactly as long as it says, so that a sanitizer sees a read past its end. */
		p = malloc(h.size);
		VIOMMU_ASSERT(p);
		fuzz_bytes(&in, p, h.size);
		viommu__vfu_put_header(head, &h);
		VIOMMU_ASSERT(!memcmp(head, p, sizeof(head)));
		check_reply(p, &h);
		err = viommu__vfu_parse(p, &h, &msg);
		VIOMMU_ASSERT(err == 0 || err == EINVAL || err == ENOSYS || err == ENOTSUP ||
			      err == -EPROTO);
		VIOMMU_ASSERT(!memcmp(&msg.h, &h, sizeof(h)));
		if (!err)
			check_message(&msg, p);
		else if (viommu__vfu_takes_fds(h.command))
			VIOMMU_ASSERT(err != ENOSYS);
		free(p);
	}
}

FUZZ_TARGET
