/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.c - the lists of pci.h as tables. No behaviour.
 */
#include "spec/pci.h"

/* clang-format off */

/* What the access macros rely on: one dword per field. */
#define CHECK(NAME, hi, lo, kind, text)                        \
	_Static_assert((hi) >= (lo) && (hi) / 32 == (lo) / 32, \
		       #NAME " crosses a dword");
#define CHECK_S(PREFIX, id, extended, bytes, title) PREFIX##_FIELDS(CHECK)
PCIE_STRUCTS(CHECK_S)
PCIE_MSIX_ENTRY_FIELDS(CHECK)

#define FIELD(NAME, hi, lo, kind, text) { #NAME, text, hi, lo, PCIE_##kind },
#define TABLE(PREFIX, id, extended, bytes, title) \
	static const struct pcie_field PREFIX##_fields[] = { PREFIX##_FIELDS(FIELD) };
PCIE_STRUCTS(TABLE)

#define LAYOUT(PREFIX, id, extended, bytes, title)                  \
	{ #PREFIX, title, id, extended, bytes,                      \
	  sizeof(PREFIX##_fields) / sizeof(PREFIX##_fields[0]), PREFIX##_fields },
const struct pcie_layout viommu__pcie_layouts[PCIE_STRUCTS_NR] = { PCIE_STRUCTS(LAYOUT) };
/* clang-format on */
