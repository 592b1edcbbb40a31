/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/acpi.h - the tables by which a guest finds its units: DMAR, and an SSDT for a unit in a
 * PCI BAR.
 *
 * Both functions write one whole table, header and checksum included, as a VMM hands it to its
 * firmware (QEMU: -acpitable file=). Structures are those of VT-d 5.10: DRHD, RMRR, ATSR, SATC, in
 * that order.
 *
 * For a board (viommu/board.h) there are viommu_board_dmar() and viommu_board_ssdt(), which know
 * what stands on it. Any thread.
 */
#ifndef VIOMMU_ACPI_H
#define VIOMMU_ACPI_H

#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum viommu_acpi_scope_type {
	VIOMMU_SCOPE_ENDPOINT = 1, /* a function with a type-0 header */
	VIOMMU_SCOPE_BRIDGE = 2,   /* a bridge and what is behind it */
	VIOMMU_SCOPE_IOAPIC = 3,
	VIOMMU_SCOPE_HPET = 4,
};

/* A device scope whose path is one step from the start bus. Plain data, 8 bytes. */
struct viommu_acpi_scope {
	uint8_t type; /* enum viommu_acpi_scope_type */
	uint8_t id;   /* I/O APIC id, HPET number; else 0 */
	uint16_t sid; /* start bus << 8 | device << 3 | function */
	uint32_t reserved;
};

enum viommu_acpi_kind {
	VIOMMU_ACPI_DRHD = 0, /* a unit: base is its registers */
	VIOMMU_ACPI_RMRR = 1, /* memory that its devices use before the guest runs: base..last */
	VIOMMU_ACPI_ATSR = 2, /* root ports (bridges) that pass ATS */
	VIOMMU_ACPI_SATC = 5, /* integrated endpoints with a translation cache */
};

#define VIOMMU_ACPI_ALL 0x1u /* DRHD: every device of the segment; ATSR: every root port */

struct viommu_acpi_structure {
	uint32_t kind;  /* enum viommu_acpi_kind */
	uint32_t flags; /* VIOMMU_ACPI_ALL */
	uint16_t segment;
	uint8_t pages_lg2; /* DRHD: 2^n pages of 4 KiB of registers */
	uint8_t reserved;
	uint32_t nr; /* scopes */
	uint64_t base;
	uint64_t last; /* RMRR: last byte */
	const struct viommu_acpi_scope *scope;
};

#define VIOMMU_DMAR_INTR_REMAP 0x1u

struct viommu_acpi_dmar {
	size_t size;   /* sizeof(struct viommu_acpi_dmar) */
	uint8_t haw;   /* host address width, 12..64 */
	uint8_t flags; /* VIOMMU_DMAR_* */
	uint16_t reserved;
	/* structures, ascending by kind; a DRHD with VIOMMU_ACPI_ALL is the last DRHD */
	uint32_t nr;
	const struct viommu_acpi_structure *structure;
};

/*
 * The bytes needed, written to buf if they fit into size; 0: dmar is not well formed (haw, order, a
 * scope or structure too large for its length field).
 */
VIOMMU_API size_t viommu_acpi_dmar(const struct viommu_acpi_dmar *dmar, void *buf, size_t size);

/*
 * An SSDT that switches memory decode and bus mastering of the function sid (on bus 0, under
 * \_SB.PCI0) on, when the guest's ACPI starts and before it looks for PCI devices. A unit that
 * lives in the BAR of a function needs it: no driver of the guest ever enables that function.
 * Returns as above; 0 if sid is not on bus 0.
 */
VIOMMU_API size_t viommu_acpi_ssdt(uint16_t sid, void *buf, size_t size);

#define VIOMMU_ACPI_MAX_PORTS 8u

/*
 * The same, and for each of nr ports (bridges on bus 0) the guest's ACPI writes the number of the
 * bus behind it, as the firmware chose it, into the function's configuration space: the first
 * port's into the byte at `at`, the next one's into the byte after it. So whoever serves the
 * function learns the requester ids of what is plugged in there. 0 also: too many ports, one that
 * is not on bus 0, or `at` beyond F8h.
 */
VIOMMU_API size_t viommu_acpi_ssdt_ports(uint16_t sid, const uint16_t *port, unsigned nr,
					 uint8_t at, void *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
