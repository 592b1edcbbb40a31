/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A saved state's bytes: see base/state.h. Knows nothing of what is in a section.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/state.h"

#define MAGIC         "VIOMMUST"
#define MAGIC_BYTES   8u
#define HEADER_BYTES  24u
#define SECTION_BYTES 16u
#define CRC_BYTES     4u
#define ROOM_FIRST    4096u

/* CRC-32C, reflected. The usual table of 256 is linear in its index: two of 16 do. */
uint32_t viommu__crc32c(const uint8_t *bytes, size_t n)
{
	static const uint32_t low[16] = {
		0x00000000, 0xf26b8303, 0xe13b70f7, 0x1350f3f4, 0xc79a971f, 0x35f1141c,
		0x26a1e7e8, 0xd4ca64eb, 0x8ad958cf, 0x78b2dbcc, 0x6be22838, 0x9989ab3b,
		0x4d43cfd0, 0xbf284cd3, 0xac78bf27, 0x5e133c24,
	};
	static const uint32_t high[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	uint32_t crc = ~UINT32_C(0), at;

	for (; n; n--, bytes++) {
		at = crc ^ *bytes;
		crc = crc >> 8 ^ low[at & 15] ^ high[at >> 4 & 15];
	}
	return ~crc;
}

static void le_put(uint8_t *at, uint64_t v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t le_get(const uint8_t *at, size_t n)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n; i++)
		v |= (uint64_t)at[i] << 8 * i;
	return v;
}

/* ---- Writing --------------------------------------------------------------------------------- */

void viommu_state_put(struct viommu_state_out *out, const void *bytes, size_t n)
{
	size_t room = out->room ? out->room : ROOM_FIRST;
	uint8_t *grown;

	if (out->err || !n)
		return;
	while (room - out->used < n) {
		if (room > SIZE_MAX / 2) {
			out->err = -ENOMEM;
			return;
		}
		room *= 2;
	}
	if (room != out->room) {
		grown = viommu__realloc(out->bytes, room, 1);
		if (!grown) {
			out->err = -ENOMEM;
			return;
		}
		out->bytes = grown;
		out->room = room;
	}
	memcpy(out->bytes + out->used, bytes, n);
	out->used += n;
}

static void put(struct viommu_state_out *out, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	le_put(bytes, v, n);
	viommu_state_put(out, bytes, n);
}

void viommu_state_put_u8(struct viommu_state_out *out, uint8_t v)
{
	put(out, v, 1);
}

void viommu_state_put_u16(struct viommu_state_out *out, uint16_t v)
{
	put(out, v, 2);
}

void viommu_state_put_u32(struct viommu_state_out *out, uint32_t v)
{
	put(out, v, 4);
}

void viommu_state_put_u64(struct viommu_state_out *out, uint64_t v)
{
	put(out, v, 8);
}

void viommu__state_begin(struct viommu_state_out *out)
{
	*out = (struct viommu_state_out){ 0 };
	viommu_state_put(out, MAGIC, MAGIC_BYTES);
	put(out, VIOMMU__STATE_VERSION, 4);
	put(out, 0, 4);
	put(out, 0, 8); /* the length, when it is known */
}

void viommu__section_begin(struct viommu_state_out *out, uint32_t tag, uint16_t version,
			   uint16_t flags)
{
	VIOMMU_ASSERT(!out->section);
	out->section = out->used;
	put(out, tag, 4);
	put(out, version, 2);
	put(out, flags, 2);
	put(out, 0, 8);
}

void viommu__section_end(struct viommu_state_out *out)
{
	if (!out->err)
		le_put(out->bytes + out->section + 8, out->used - out->section - SECTION_BYTES, 8);
	out->section = 0;
}

int viommu__state_end(struct viommu_state_out *out, void **bytes, size_t *n)
{
	VIOMMU_ASSERT(!out->section);
	if (!out->err) {
		le_put(out->bytes + MAGIC_BYTES + 8, out->used + CRC_BYTES, 8);
		put(out, viommu__crc32c(out->bytes, out->used), 4);
	}
	if (out->err) {
		viommu__free(out->bytes);
		out->bytes = NULL;
	}
	*bytes = out->bytes;
	*n = out->err ? 0 : out->used;
	return out->err;
}

void viommu_state_free(void *state)
{
	viommu__free(state);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void refuse(struct viommu__state_why *why, int err, const char *text, va_list args)
{
	int n;

	if (why->err)
		return;
	why->err = err;
	if (!why->size)
		return;
	n = snprintf(why->text, why->size, "%s", why->about);
	if (n >= 0 && (size_t)n < why->size)
		vsnprintf(why->text + n, why->size - (size_t)n, text, args);
}

void viommu_state_refuse(struct viommu_state_in *in, const char *why, ...)
{
	va_list args;

	va_start(args, why);
	refuse(in->why, -EINVAL, why, args);
	va_end(args);
}

static __attribute__((format(printf, 3, 4))) void refuse_as(struct viommu_state_in *in, int err,
							    const char *why, ...)
{
	va_list args;

	va_start(args, why);
	refuse(in->why, err, why, args);
	va_end(args);
}

void viommu__state_no_memory(struct viommu_state_in *in)
{
	refuse_as(in, -ENOMEM, "out of memory");
}

int viommu_state_bad(const struct viommu_state_in *in)
{
	return !viommu__state_ok(in);
}

size_t viommu_state_left(const struct viommu_state_in *in)
{
	return in->left;
}

/* A tag as text; what is no letter could be anything. */
static const char *tag_text(uint32_t tag, char text[5])
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		text[i] = (char)(tag >> 8 * i & 0xff);
		if (text[i] < '0' || text[i] > 'z')
			text[i] = '?';
	}
	text[4] = 0;
	return text;
}

void viommu_state_get(struct viommu_state_in *in, void *bytes, size_t n)
{
	char text[5];

	if (n > in->left)
		refuse_as(in, -EINVAL, "section %s ends too early", tag_text(in->tag, text));
	if (in->why->err) {
		memset(bytes, 0, n);
		return;
	}
	memcpy(bytes, in->at, n);
	in->at += n;
	in->left -= n;
}

static uint64_t get(struct viommu_state_in *in, size_t n)
{
	uint8_t bytes[8] = { 0 };

	viommu_state_get(in, bytes, n);
	return le_get(bytes, n);
}

uint8_t viommu_state_get_u8(struct viommu_state_in *in)
{
	return (uint8_t)get(in, 1);
}

uint16_t viommu_state_get_u16(struct viommu_state_in *in)
{
	return (uint16_t)get(in, 2);
}

uint32_t viommu_state_get_u32(struct viommu_state_in *in)
{
	return (uint32_t)get(in, 4);
}

uint64_t viommu_state_get_u64(struct viommu_state_in *in)
{
	return get(in, 8);
}

int viommu__state_open(struct viommu_state_in *in, const void *bytes, size_t n,
		       struct viommu__state_why *why)
{
	const uint8_t *p = bytes;
	uint32_t version;

	why->about[0] = 0;
	why->err = 0;
	*in = (struct viommu_state_in){ .at = p, .left = n, .why = why };
	if (n < HEADER_BYTES + CRC_BYTES || memcmp(p, MAGIC, MAGIC_BYTES)) {
		viommu_state_refuse(in, "this is no saved state");
		return why->err;
	}
	version = (uint32_t)le_get(p + MAGIC_BYTES, 4);
	if (!version || version > VIOMMU__STATE_VERSION) {
		viommu_state_refuse(in, "format version %u, at most %u is known", version,
				    VIOMMU__STATE_VERSION);
		return why->err;
	}
	if (le_get(p + MAGIC_BYTES + 8, 8) != n) {
		viommu_state_refuse(in, "%zu bytes of a state of %llu", n,
				    (unsigned long long)le_get(p + MAGIC_BYTES + 8, 8));
		return why->err;
	}
	if (le_get(p + n - CRC_BYTES, CRC_BYTES) != viommu__crc32c(p, n - CRC_BYTES)) {
		viommu_state_refuse(in, "the checksum is wrong");
		return why->err;
	}
	if (le_get(p + MAGIC_BYTES + 4, 4)) {
		viommu_state_refuse(in, "a reserved word of the header is not 0");
		return why->err;
	}
	in->at += HEADER_BYTES;
	in->left -= HEADER_BYTES + CRC_BYTES;
	return 0;
}

/* The header of the next section; false: there is none, or it is wrong. */
static bool section_next(struct viommu_state_in *in, struct viommu_state_in *section,
			 uint16_t *flags)
{
	uint64_t bytes;
	char text[5];

	if (!viommu__state_ok(in) || !in->left)
		return false;
	if (in->left < SECTION_BYTES) {
		viommu_state_refuse(in, "bytes are left behind the last section");
		return false;
	}
	section->why = in->why;
	section->tag = (uint32_t)le_get(in->at, 4);
	section->version = (uint16_t)le_get(in->at + 4, 2);
	*flags = (uint16_t)le_get(in->at + 6, 2);
	bytes = le_get(in->at + 8, 8);
	if (bytes > in->left - SECTION_BYTES) {
		viommu_state_refuse(in, "section %s reaches beyond the end",
				    tag_text(section->tag, text));
		return false;
	}
	section->at = in->at + SECTION_BYTES;
	section->left = (size_t)bytes;
	in->at += SECTION_BYTES + bytes;
	in->left -= SECTION_BYTES + (size_t)bytes;
	return true;
}

bool viommu__section_get(struct viommu_state_in *in, uint32_t tag, uint16_t version,
			 struct viommu_state_in *section)
{
	char found[5], wanted[5];
	uint16_t flags;

	*section = (struct viommu_state_in){ .why = in->why, .tag = tag };
	while (section_next(in, section, &flags)) {
		if (section->tag == tag && section->version && section->version <= version)
			return true;
		if (section->tag == tag)
			viommu_state_refuse(in, "section %s has version %u, at most %u is known",
					    tag_text(tag, found), section->version, version);
		else if (!(flags & VIOMMU__SECTION_OPTIONAL))
			viommu_state_refuse(in, "section %s where %s was expected",
					    tag_text(section->tag, found), tag_text(tag, wanted));
	}
	if (viommu__state_ok(in))
		viommu_state_refuse(in, "section %s is missing", tag_text(tag, wanted));
	section->left = 0;
	return false;
}

bool viommu__section_peek(const struct viommu_state_in *in, uint32_t tag)
{
	return viommu__state_ok(in) && in->left >= SECTION_BYTES && le_get(in->at, 4) == tag;
}

bool viommu__section_done(struct viommu_state_in *section)
{
	char text[5];

	if (viommu__state_ok(section) && section->left)
		viommu_state_refuse(section, "section %s is longer than its version says",
				    tag_text(section->tag, text));
	return viommu__state_ok(section);
}

bool viommu__state_done(struct viommu_state_in *in)
{
	struct viommu_state_in section;
	uint16_t flags;
	char text[5];

	while (section_next(in, &section, &flags)) {
		if (!(flags & VIOMMU__SECTION_OPTIONAL))
			viommu_state_refuse(in, "section %s is not known here",
					    tag_text(section.tag, text));
	}
	return viommu__state_ok(in);
}
