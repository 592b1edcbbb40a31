/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ACPI table bytes: DMAR (VT-d 5.10) and the SSDT that enables the function of a unit (ACPI 6.4,
 * AML).
 *
 * Both are written through a cursor that counts what does not fit, so that one pass both measures
 * and writes. Knows nothing of boards and units: numbers in, bytes out.
 */
#include <string.h>

#include <viommu/acpi.h>
#include "base/bits.h"

#define HEADER_BYTES      36u
#define DMAR_HEADER_BYTES 48u
#define SCOPE_BYTES       8u
#define STRUCTURE_MAX     0xffffu

struct cursor {
	uint8_t *buf;
	size_t size; /* of buf; 0 if buf is NULL */
	size_t at;
};

static void put(struct cursor *c, const void *bytes, size_t n)
{
	if (c->at <= c->size && n <= c->size - c->at)
		memcpy(c->buf + c->at, bytes, n);
	c->at += n;
}

static void put_le(struct cursor *c, uint64_t v, unsigned int bytes)
{
	uint8_t le[8];
	unsigned int i;

	for (i = 0; i < bytes; i++)
		le[i] = (uint8_t)(v >> (8 * i));
	put(c, le, bytes);
}

static void put_zeroes(struct cursor *c, unsigned int n)
{
	while (n--)
		put_le(c, 0, 1);
}

static void put_header(struct cursor *c, const char signature[4], uint8_t revision)
{
	put(c, signature, 4);
	put_le(c, 0, 4); /* length: finish() */
	put_le(c, revision, 1);
	put_le(c, 0, 1); /* checksum: finish() */
	put(c, "VIOMMU", 6);
	put(c, "VIOMMU  ", 8);
	put_le(c, 1, 4);
	put(c, "VIOM", 4);
	put_le(c, 1, 4);
}

/* Length and checksum, once all is there. Returns the bytes needed. */
static size_t finish(struct cursor *c)
{
	uint8_t sum = 0;
	size_t i;

	if (c->at > c->size)
		return c->at;
	for (i = 0; i < 4; i++)
		c->buf[4 + i] = (uint8_t)(c->at >> (8 * i));
	for (i = 0; i < c->at; i++)
		sum = (uint8_t)(sum + c->buf[i]);
	c->buf[9] = (uint8_t)-sum;
	return c->at;
}

/* ---- DMAR ---- */

/* Bytes of a structure before its scopes; 0: no such kind. */
static unsigned int head_bytes(uint32_t kind)
{
	switch (kind) {
	case VIOMMU_ACPI_DRHD:
		return 16;
	case VIOMMU_ACPI_RMRR:
		return 24;
	case VIOMMU_ACPI_ATSR:
	case VIOMMU_ACPI_SATC:
		return 8;
	default:
		return 0;
	}
}

static bool well_formed(const struct viommu_acpi_dmar *dmar)
{
	const struct viommu_acpi_structure *s = dmar->structure;
	uint32_t i, j;

	if (dmar->size != sizeof(*dmar) || dmar->haw < 12 || dmar->haw > 64 || (dmar->nr && !s))
		return false;
	for (i = 0; i < dmar->nr; i++) {
		unsigned int head = head_bytes(s[i].kind);

		if (!head || s[i].nr > (STRUCTURE_MAX - head) / SCOPE_BYTES ||
		    (s[i].nr && !s[i].scope) || s[i].pages_lg2 > 15)
			return false;
		if (i && s[i].kind < s[i - 1].kind)
			return false;
		/* What no other unit has goes to this one, so it has to be asked last. */
		if (i && s[i].kind == VIOMMU_ACPI_DRHD && (s[i - 1].flags & VIOMMU_ACPI_ALL))
			return false;
		for (j = 0; j < s[i].nr; j++)
			if (s[i].scope[j].type < VIOMMU_SCOPE_ENDPOINT ||
			    s[i].scope[j].type > VIOMMU_SCOPE_HPET)
				return false;
	}
	return true;
}

static void put_scope(struct cursor *c, const struct viommu_acpi_scope *s)
{
	put_le(c, s->type, 1);
	put_le(c, SCOPE_BYTES, 1);
	put_le(c, 0, 2); /* flags, reserved */
	put_le(c, s->type >= VIOMMU_SCOPE_IOAPIC ? s->id : 0, 1);
	put_le(c, s->sid >> 8, 1);
	put_le(c, s->sid >> 3 & 31, 1);
	put_le(c, s->sid & 7, 1);
}

static void put_structure(struct cursor *c, const struct viommu_acpi_structure *s)
{
	bool flag = s->kind != VIOMMU_ACPI_RMRR && (s->flags & VIOMMU_ACPI_ALL);
	uint32_t i;

	put_le(c, s->kind, 2);
	put_le(c, head_bytes(s->kind) + s->nr * SCOPE_BYTES, 2);
	/* An RMRR has reserved bytes where the others have flags and size. */
	put_le(c, flag, 1);
	put_le(c, s->kind == VIOMMU_ACPI_DRHD ? s->pages_lg2 : 0, 1);
	put_le(c, s->segment, 2);
	if (s->kind == VIOMMU_ACPI_DRHD || s->kind == VIOMMU_ACPI_RMRR)
		put_le(c, s->base, 8);
	if (s->kind == VIOMMU_ACPI_RMRR)
		put_le(c, s->last, 8);
	for (i = 0; i < s->nr; i++)
		put_scope(c, &s->scope[i]);
}

static size_t dmar_write(const struct viommu_acpi_dmar *dmar, void *buf, size_t size)
{
	struct cursor c = { .buf = buf, .size = buf ? size : 0 };
	uint32_t i;

	if (!dmar || !well_formed(dmar))
		return 0;
	put_header(&c, "DMAR", 1);
	put_le(&c, (uint8_t)(dmar->haw - 1), 1);
	put_le(&c, dmar->flags, 1);
	put_zeroes(&c, DMAR_HEADER_BYTES - HEADER_BYTES - 2);
	for (i = 0; i < dmar->nr; i++)
		put_structure(&c, &dmar->structure[i]);
	return finish(&c);
}

/* ---- SSDT ---- */

/*
 * Sizes are constants, so package lengths are known; only the outer one takes AML's two-byte form.
 *
 *	Scope (\_SB.PCI0) {
 *		Device (VIOM) {
 *			Name (_ADR, device << 16 | function)
 *			OperationRegion (CFG, PCI_Config, 0, 8)
 *			Field (CFG, WordAcc, NoLock, Preserve) { Offset (4), CMD, 16 }
 *			Method (_INI) { Or (CMD, 6, CMD) }
 *		}
 *	}
 */
static size_t ssdt_write(uint16_t sid, void *buf, size_t size)
{
	static const uint8_t region[] = {
		0x5b, 0x80, 'C', 'F', 'G', '_', 0x02, 0x00, 0x0a, 0x08, /* OperationRegion */
		/* Field, 13 bytes from the length on */
		0x5b, 0x81, 13, 'C', 'F', 'G', '_', 0x02, 0x00, 0x20, /* 32 bits left out */
		'C', 'M', 'D', '_', 0x10,                             /* the command register */
	};
	static const uint8_t method[] = {
		0x14, 17,  '_', 'I', 'N', 'I',  0x00,                     /* Method, 17 bytes */
		0x7d, 'C', 'M', 'D', '_', 0x0a, 0x06, 'C', 'M', 'D', '_', /* Or */
	};
	/* From its length on: length, name, contents. */
	const unsigned int device = 1 + 4 + 10 + sizeof(region) + sizeof(method);
	const unsigned int scope = 2 + 10 + 2 + device;
	struct cursor c = { .buf = buf, .size = buf ? size : 0 };

	if (sid >> 8)
		return 0;
	put_header(&c, "SSDT", 2);
	put(&c, "\x10", 1);
	put_le(&c, 0x40 | (scope & 0xf), 1);
	put_le(&c, scope >> 4, 1);
	put(&c, "\\._SB_PCI0", 10);
	put(&c, "\x5b\x82", 2);
	put_le(&c, device, 1);
	put(&c, "VIOM", 4);
	put(&c, "\x08_ADR\x0c", 6);
	put_le(&c, (uint32_t)(sid >> 3) << 16 | (sid & 7), 4);
	put(&c, region, sizeof(region));
	put(&c, method, sizeof(method));
	return finish(&c);
}

/* Whether they fit is known before the first byte is written. */
size_t viommu_acpi_dmar(const struct viommu_acpi_dmar *dmar, void *buf, size_t size)
{
	size_t n = dmar_write(dmar, NULL, 0);

	return n && n <= size ? dmar_write(dmar, buf, size) : n;
}

size_t viommu_acpi_ssdt(uint16_t sid, void *buf, size_t size)
{
	size_t n = ssdt_write(sid, NULL, 0);

	return n && n <= size ? ssdt_write(sid, buf, size) : n;
}
