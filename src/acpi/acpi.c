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

/* Bytes of a package: its length, which counts itself, and n bytes of contents (AML 20.2.4). */
static unsigned int package_bytes(unsigned int n)
{
	return n + 1 <= 0x3f ? n + 1 : n + 2;
}

static void put_package(struct cursor *c, unsigned int n)
{
	unsigned int bytes = package_bytes(n);

	if (bytes <= 0x3f) {
		put_le(c, bytes, 1);
		return;
	}
	put_le(c, 0x40 | (bytes & 0xf), 1);
	put_le(c, bytes >> 4, 1);
}

static void put_adr(struct cursor *c, uint16_t sid)
{
	put(c, "\x08_ADR\x0c", 6);
	put_le(c, (uint32_t)(sid >> 3) << 16 | (sid & 7), 4);
}

/* "VP00" ... "PB07": two letters, two digits. */
static void put_name(struct cursor *c, const char letters[2], unsigned int n)
{
	put(c, letters, 2);
	put_le(c, '0' + n / 10, 1);
	put_le(c, '0' + n % 10, 1);
}

static const uint8_t unit_region[] = {
	0x5b, 0x80, 'C', 'F', 'G', '_', 0x02, 0x00, 0x0a, 0x08, /* OperationRegion */
	/* Field, 13 bytes from the length on */
	0x5b, 0x81, 13, 'C', 'F', 'G', '_', 0x02, 0x00, 0x20, /* 32 bits left out */
	'C', 'M', 'D', '_', 0x10,                             /* the command register */
};

static const uint8_t unit_enable[] = {
	0x7d, 'C', 'M', 'D', '_', 0x0a, 0x06, 'C', 'M', 'D', '_', /* Or */
};

static const uint8_t port_region[] = {
	0x08, '_',  'S', 'T', 'A',  0x00,                               /* Name: Zero */
	0x5b, 0x80, 'C', 'F', 'G',  '_',  0x02, 0x0a, 0x18, 0x0a, 0x04, /* OperationRegion */
	0x5b, 0x81, 13,  'C', 'F',  'G',  '_',  0x01, 0x00, 0x08,       /* 8 bits left out */
	'B',  'U',  'S', '_', 0x08,                                     /* secondary bus */
};

#define ADR_BYTES        10u
#define STORE_BYTES      24u
#define FIELDS_BYTES(nr) (4u + 1u + 5u * (nr))

/*
 *	Device (VP00) {			as if it were not there: it only lends its _ADR
 *		Name (_ADR, device << 16 | function)
 *		Name (_STA, Zero)
 *		OperationRegion (CFG, PCI_Config, 0x18, 4)
 *		Field (CFG, ByteAcc, NoLock, Preserve) { Offset (1), BUS, 8 }
 *	}
 */
static unsigned int port_bytes(void)
{
	return 4 + ADR_BYTES + (unsigned int)sizeof(port_region);
}

static void put_port(struct cursor *c, unsigned int n, uint16_t sid)
{
	put(c, "\x5b\x82", 2);
	put_package(c, port_bytes());
	put_name(c, "VP", n);
	put_adr(c, sid);
	put(c, port_region, sizeof(port_region));
}

/*
 *	OperationRegion (PRT, PCI_Config, at, 8)
 *	Field (PRT, ByteAcc, NoLock, Preserve) { PB00, 8, PB01, 8 ... }
 */
static unsigned int fields_bytes(unsigned int nr)
{
	return nr ? 11u + 2u + package_bytes(FIELDS_BYTES(nr)) : 0;
}

static void put_fields(struct cursor *c, uint8_t at, unsigned int nr)
{
	unsigned int i;

	if (!nr)
		return;
	put(c, "\x5b\x80PRT_\x02\x0a", 8);
	put_le(c, at, 1);
	put(c, "\x0a\x08", 2);
	put(c, "\x5b\x81", 2);
	put_package(c, FIELDS_BYTES(nr));
	put(c, "PRT_\x01", 5);
	for (i = 0; i < nr; i++) {
		put_name(c, "PB", i);
		put_le(c, 8, 1);
	}
}

/*
 *	Scope (\_SB.PCI0) {
 *		the ports
 *		Device (VIOM) {
 *			Name (_ADR, device << 16 | function)
 *			OperationRegion (CFG, PCI_Config, 0, 8)
 *			Field (CFG, WordAcc, NoLock, Preserve) { Offset (4), CMD, 16 }
 *			the ports' fields
 *			Method (_INI) { Or (CMD, 6, CMD) Store (\_SB.PCI0.VP00.BUS, PB00) ... }
 *		}
 *	}
 */
static size_t ssdt_write(uint16_t sid, const uint16_t *port, unsigned int nr, uint8_t at, void *buf,
			 size_t size)
{
	const unsigned int method = 4 + 1 + (unsigned int)sizeof(unit_enable) + nr * STORE_BYTES;
	const unsigned int device = 4 + ADR_BYTES + (unsigned int)sizeof(unit_region) +
				    fields_bytes(nr) + 1 + package_bytes(method);
	const unsigned int scope =
		10 + nr * (2 + package_bytes(port_bytes())) + 2 + package_bytes(device);
	struct cursor c = { .buf = buf, .size = buf ? size : 0 };
	unsigned int i;

	if (sid >> 8 || nr > VIOMMU_ACPI_MAX_PORTS ||
	    (nr && (!port || at + VIOMMU_ACPI_MAX_PORTS > 0x100)))
		return 0;
	for (i = 0; i < nr; i++)
		if (port[i] >> 8)
			return 0;
	put_header(&c, "SSDT", 2);
	put(&c, "\x10", 1);
	put_package(&c, scope);
	put(&c, "\\._SB_PCI0", 10);
	for (i = 0; i < nr; i++)
		put_port(&c, i, port[i]);
	put(&c, "\x5b\x82", 2);
	put_package(&c, device);
	put(&c, "VIOM", 4);
	put_adr(&c, sid);
	put(&c, unit_region, sizeof(unit_region));
	put_fields(&c, at, nr);
	put(&c, "\x14", 1);
	put_package(&c, method);
	put(&c, "_INI", 5); /* and no argument */
	put(&c, unit_enable, sizeof(unit_enable));
	for (i = 0; i < nr; i++) {
		put(&c, "\x70\\/\x04_SB_PCI0", 12);
		put_name(&c, "VP", i);
		put(&c, "BUS_", 4);
		put_name(&c, "PB", i);
	}
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
	return viommu_acpi_ssdt_ports(sid, NULL, 0, 0, buf, size);
}

size_t viommu_acpi_ssdt_ports(uint16_t sid, const uint16_t *port, unsigned nr, uint8_t at,
			      void *buf, size_t size)
{
	size_t n = ssdt_write(sid, port, nr, at, NULL, 0);

	return n && n <= size ? ssdt_write(sid, port, nr, at, buf, size) : n;
}
