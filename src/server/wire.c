/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio-user messages: bytes to checked structures. Nothing here knows a device: whether a region is
 * as long, an interrupt as many as the message says is judged where it is used.
 */
#include "server/wire.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"

struct command {
	const char *name;
	uint32_t min;
	uint32_t max;
	uint8_t use; /* enum viommu__vfu_use */
	uint8_t fds;
};

static const struct command commands[] = {
#define VFU_ROW(symbol, number, name, min, max, use, fds) [number] = { name, min, max, use, fds },
	VFU_COMMANDS(VFU_ROW)
#undef VFU_ROW
};

uint16_t viommu__vfu_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint32_t viommu__vfu_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t viommu__vfu_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

void viommu__vfu_put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

void viommu__vfu_put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

void viommu__vfu_put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static const struct command *command(uint16_t number)
{
	if (number >= ARRAY_SIZE(commands) || !commands[number].name)
		return NULL;
	return &commands[number];
}

const char *viommu__vfu_name(uint16_t number)
{
	const struct command *c = command(number);

	return c ? c->name : "?";
}

bool viommu__vfu_takes_fds(uint16_t number)
{
	const struct command *c = command(number);

	return c && c->fds;
}

int viommu__vfu_header(const uint8_t *p, size_t bytes, struct viommu__vfu_header *out)
{
	if (bytes < VFU_HEADER)
		return -EAGAIN;
	out->id = viommu__vfu_get16(p);
	out->command = viommu__vfu_get16(p + 2);
	out->size = viommu__vfu_get32(p + 4);
	out->flags = viommu__vfu_get32(p + 8);
	out->error = viommu__vfu_get32(p + 12);
	if (out->size < VFU_HEADER || out->size > VFU_MAX_MESSAGE)
		return -EPROTO;
	return 0;
}

void viommu__vfu_put_header(uint8_t p[VFU_HEADER], const struct viommu__vfu_header *h)
{
	viommu__vfu_put16(p, h->id);
	viommu__vfu_put16(p + 2, h->command);
	viommu__vfu_put32(p + 4, h->size);
	viommu__vfu_put32(p + 8, h->flags);
	viommu__vfu_put32(p + 12, h->error);
}

/*
 * argsz is the room of the sender's own structure. Less than the fixed part is a mistake; more is
 * allowed, since newer structures are longer.
 */
static bool argsz_fits(const uint8_t *payload, uint32_t fixed)
{
	return viommu__vfu_get32(payload) >= fixed;
}

static int parse_version(struct viommu__vfu_message *out, const uint8_t *payload, size_t bytes)
{
	/*
	 * 0.0 is what everybody speaks; a higher minor number only adds, and we answer with ours.
	 */
	if (viommu__vfu_get16(payload) != 0)
		return -EPROTO;
	return viommu__vfu_caps((const char *)payload + 4, bytes - 4, &out->u.caps);
}

static int parse_map(struct viommu__vfu_map *map, const uint8_t *payload)
{
	uint64_t last;

	map->flags = viommu__vfu_get32(payload + 4);
	map->offset = viommu__vfu_get64(payload + 8);
	map->addr = viommu__vfu_get64(payload + 16);
	map->bytes = viommu__vfu_get64(payload + 24);
	if (!argsz_fits(payload, 32) || !(map->flags & (VFU_MAP_READ | VFU_MAP_WRITE)) ||
	    map->flags & ~(VFU_MAP_READ | VFU_MAP_WRITE | VFU_MAP_MMAP | VFU_MAP_IO))
		return EINVAL;
	/* A descriptor that may only be read and written, not mapped. */
	if (map->flags & VFU_MAP_IO && !(map->flags & VFU_MAP_MMAP))
		return ENOTSUP;
	if (!range_last(map->addr, map->bytes, &last) ||
	    add_overflows(map->offset, map->bytes, &last))
		return EINVAL;
	return 0;
}

static int parse_unmap(struct viommu__vfu_map *map, const uint8_t *payload)
{
	uint64_t last;

	map->flags = viommu__vfu_get32(payload + 4);
	map->offset = 0;
	map->addr = viommu__vfu_get64(payload + 8);
	map->bytes = viommu__vfu_get64(payload + 16);
	if (!argsz_fits(payload, 24) || map->flags & ~(VFU_UNMAP_DIRTY | VFU_UNMAP_ALL))
		return EINVAL;
	if (map->flags & VFU_UNMAP_DIRTY) /* would be a part of migration */
		return ENOTSUP;
	if (map->flags & VFU_UNMAP_ALL)
		return map->addr || map->bytes ? EINVAL : 0;
	return range_last(map->addr, map->bytes, &last) ? 0 : EINVAL;
}

static int parse_index(uint32_t *index, const uint8_t *payload, uint32_t fixed, uint32_t at,
		       uint32_t end)
{
	*index = viommu__vfu_get32(payload + at);
	return argsz_fits(payload, fixed) && *index < end ? 0 : EINVAL;
}

static int parse_irqs(struct viommu__vfu_message *out, const uint8_t *payload, size_t bytes)
{
	struct viommu__vfu_irqs *irqs = &out->u.irqs;
	uint32_t flags = viommu__vfu_get32(payload + 4), last;

	irqs->data = flags & (VFU_SET_NONE | VFU_SET_BOOL | VFU_SET_EVENTFD);
	irqs->action = flags & (VFU_SET_MASK | VFU_SET_UNMASK | VFU_SET_TRIGGER);
	irqs->index = viommu__vfu_get32(payload + 8);
	irqs->start = viommu__vfu_get32(payload + 12);
	irqs->count = viommu__vfu_get32(payload + 16);
	if (!argsz_fits(payload, 20) || flags & ~(irqs->data | irqs->action) ||
	    !is_pow2(irqs->data) || !is_pow2(irqs->action) || irqs->index >= VFU_IRQS ||
	    add_overflows(irqs->start, irqs->count, &last))
		return EINVAL;
	/* Only "disable the index" names none. */
	if (!irqs->count &&
	    (irqs->data != VFU_SET_NONE || irqs->action != VFU_SET_TRIGGER || irqs->start))
		return EINVAL;
	out->data = payload + 20;
	out->data_bytes = bytes - 20;
	return out->data_bytes == (irqs->data == VFU_SET_BOOL ? irqs->count : 0) ? 0 : EINVAL;
}

static int parse_access(struct viommu__vfu_access *access, const uint8_t *p)
{
	uint64_t end;

	access->offset = viommu__vfu_get64(p);
	access->region = viommu__vfu_get32(p + 8);
	access->count = viommu__vfu_get32(p + 12);
	if (!access->count || access->count > VFU_MAX_XFER || access->region >= VFU_REGIONS ||
	    add_overflows(access->offset, access->count, &end))
		return EINVAL;
	return 0;
}

static int parse_write(struct viommu__vfu_message *out, const uint8_t *payload, size_t bytes)
{
	int err = parse_access(&out->u.access, payload);

	out->data = payload + 16;
	out->data_bytes = bytes - 16;
	return err || out->data_bytes == out->u.access.count ? err : EINVAL;
}

int viommu__vfu_write(const struct viommu__vfu_message *msg, uint32_t n,
		      struct viommu__vfu_access *out, const uint8_t **value)
{
	const uint8_t *p = msg->data + (size_t)n * 24;
	int err = parse_access(out, p);

	*value = p + 16;
	return err || out->count <= 8 ? err : EINVAL;
}

/* All of the writes are looked at before the first of them is done. */
static int parse_writes(struct viommu__vfu_message *out, const uint8_t *payload, size_t bytes)
{
	uint64_t n = viommu__vfu_get64(payload);
	struct viommu__vfu_access access;
	const uint8_t *value;
	uint32_t i;
	int err = 0;

	out->data = payload + 8;
	out->data_bytes = bytes - 8;
	if (out->data_bytes % 24 || n != out->data_bytes / 24)
		return EINVAL;
	out->u.writes = (uint32_t)n;
	for (i = 0; i < out->u.writes && !err; i++)
		err = viommu__vfu_write(out, i, &access, &value);
	return err;
}

static int parse_feature(uint32_t *feature, const uint8_t *payload)
{
	uint32_t ops, flags = viommu__vfu_get32(payload + 4);

	*feature = flags;
	ops = flags & (VFU_FEATURE_GET | VFU_FEATURE_SET);
	if (!argsz_fits(payload, 8) || flags >> 19 || !(flags & ~0xffffu))
		return EINVAL;
	/* Without PROBE exactly one of the two. */
	return flags & VFU_FEATURE_PROBE || is_pow2(ops) ? 0 : EINVAL;
}

int viommu__vfu_parse(const uint8_t *p, const struct viommu__vfu_header *h,
		      struct viommu__vfu_message *out)
{
	const struct command *c = command(h->command);
	const uint8_t *payload = p + VFU_HEADER;
	size_t bytes = h->size - VFU_HEADER;

	memset(out, 0, sizeof(*out));
	out->h = *h;
	/* Also a reply: nothing that we send wants one. */
	if (h->flags & ~VFU_NO_REPLY)
		return EINVAL;
	if (!c || c->use == VFU_OURS)
		return ENOSYS;
	if (c->use == VFU_REFUSED)
		return ENOTSUP;
	if (h->size < c->min || h->size > c->max)
		return EINVAL;
	switch (h->command) {
	case VFU_VERSION:
		return parse_version(out, payload, bytes);
	case VFU_DMA_MAP:
		return parse_map(&out->u.map, payload);
	case VFU_DMA_UNMAP:
		return parse_unmap(&out->u.map, payload);
	case VFU_GET_INFO:
		return argsz_fits(payload, 16) ? 0 : EINVAL;
	case VFU_REGION_INFO:
		return parse_index(&out->u.index, payload, 32, 8, VFU_REGIONS);
	case VFU_REGION_IO_FDS:
		return parse_index(&out->u.index, payload, 16, 8, VFU_REGIONS);
	case VFU_IRQ_INFO:
		return parse_index(&out->u.index, payload, 16, 8, VFU_IRQS);
	case VFU_SET_IRQS:
		return parse_irqs(out, payload, bytes);
	case VFU_REGION_READ:
		return parse_access(&out->u.access, payload);
	case VFU_REGION_WRITE:
		return parse_write(out, payload, bytes);
	case VFU_WRITE_MULTI:
		return parse_writes(out, payload, bytes);
	case VFU_FEATURE:
		return parse_feature(&out->u.feature, payload);
	default: /* VFU_RESET has no payload */
		return 0;
	}
}

int viommu__vfu_parse_reply(const uint8_t *p, const struct viommu__vfu_header *h,
			    struct viommu__vfu_reply *out)
{
	size_t bytes = h->size - VFU_HEADER;

	*out = (struct viommu__vfu_reply){ 0 };
	if (h->flags & VFU_ERROR)
		return h->error && h->error < 4096 ? (int)h->error : EPROTO;
	if (h->command == VFU_DMA_WRITE && !bytes) {
		out->bare = true;
		return 0;
	}
	if (bytes < 16)
		return EPROTO;
	out->addr = viommu__vfu_get64(p + VFU_HEADER);
	out->count = viommu__vfu_get64(p + VFU_HEADER + 8);
	bytes -= 16;
	if (h->command != VFU_DMA_READ)
		return bytes ? EPROTO : 0;
	if (bytes != out->count)
		return EPROTO;
	out->data = p + VFU_HEADER + 16;
	return 0;
}
