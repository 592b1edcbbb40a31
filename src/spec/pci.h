/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.h - PCI Express configuration space as data: the type 0 header and the capabilities that
 * functions of ours have.
 *
 * PCI Express base specification (5.0 numbering; the layouts are older), PCI power management,
 * Enhanced Allocation. Each structure is one list macro PCIE_<PREFIX>_FIELDS(F) of
 *
 *	F(NAME, hi, lo, KIND, "text")
 *
 * Bit numbers are those of the whole structure, counted from its first byte (bit 32 is bit 0 of the
 * dword at 4); no field crosses a dword. KIND says what a write from outside does:
 *
 *	RO   nothing
 *	RW   stores
 *	W1C  a 1 clears the bit
 *	W1   reads as 0; writing 1 starts something
 *
 * A bit that no line covers is reserved: reads as 0. Says nothing about behaviour; that is
 * src/dev/pci*.c. The same lists give the constants, the write masks of a function's configuration
 * space and the tests' expectations.
 */
#ifndef VIOMMU_SPEC_PCI_H
#define VIOMMU_SPEC_PCI_H

#include <stdint.h>

/* clang-format off */
/* The lists read better as they are. */

/* Type 0 header, 64 bytes at 0. What BAR registers store depends on the function. */
#define PCIE_HDR_FIELDS(F)                                                     \
	F(PCIE_HDR_VENDOR, 15, 0, RO, "vendor id")                             \
	F(PCIE_HDR_DEVICE, 31, 16, RO, "device id")                            \
	F(PCIE_HDR_IO, 32, 32, RO, "I/O decode")                               \
	F(PCIE_HDR_MEMORY, 33, 33, RW, "memory decode")                        \
	F(PCIE_HDR_MASTER, 34, 34, RW, "bus master")                           \
	F(PCIE_HDR_PERR_ENABLE, 38, 38, RW, "parity error response")           \
	F(PCIE_HDR_SERR_ENABLE, 40, 40, RW, "SERR# enable")                    \
	F(PCIE_HDR_INTX_DISABLE, 42, 42, RW, "INTx disable")                   \
	F(PCIE_HDR_INTX_STATUS, 51, 51, RO, "INTx status")                     \
	F(PCIE_HDR_CAPS, 52, 52, RO, "has a list of capabilities")             \
	F(PCIE_HDR_MASTER_PERR, 56, 56, W1C, "master data parity error")       \
	F(PCIE_HDR_SIG_TABORT, 59, 59, W1C, "signalled target abort")          \
	F(PCIE_HDR_RCV_TABORT, 60, 60, W1C, "received target abort")           \
	F(PCIE_HDR_RCV_MABORT, 61, 61, W1C, "received master abort")           \
	F(PCIE_HDR_SIG_SERR, 62, 62, W1C, "signalled system error")            \
	F(PCIE_HDR_PERR, 63, 63, W1C, "detected parity error")                 \
	F(PCIE_HDR_REVISION, 71, 64, RO, "revision")                           \
	F(PCIE_HDR_CLASS, 95, 72, RO, "class code")                            \
	F(PCIE_HDR_CACHE_LINE, 103, 96, RW, "cache line size, without effect") \
	F(PCIE_HDR_TYPE, 119, 112, RO, "header type")                          \
	F(PCIE_HDR_BAR0, 159, 128, RO, "base address register 0")              \
	F(PCIE_HDR_SUBVENDOR, 367, 352, RO, "subsystem vendor id")             \
	F(PCIE_HDR_SUBSYSTEM, 383, 368, RO, "subsystem id")                    \
	F(PCIE_HDR_CAP_PTR, 423, 416, RO, "first capability")                  \
	F(PCIE_HDR_INT_LINE, 487, 480, RW, "interrupt line, without effect")   \
	F(PCIE_HDR_INT_PIN, 495, 488, RO, "interrupt pin, 1 = INTA")

/* Bits of one BAR register. */
#define PCIE_BAR_64       0x4u
#define PCIE_BAR_PREFETCH 0x8u
#define PCIE_BAR_FLAGS    0xfu

/* What every capability below 100h begins with. */
#define PCIE_CAP_FIELDS(F)                        \
	F(PCIE_CAP_ID, 7, 0, RO, "capability id") \
	F(PCIE_CAP_NEXT, 15, 8, RO, "next, 0 = last")

/* And from 100h on. */
#define PCIE_XCAP_FIELDS(F)                         \
	F(PCIE_XCAP_ID, 15, 0, RO, "capability id") \
	F(PCIE_XCAP_VERSION, 19, 16, RO, "version") \
	F(PCIE_XCAP_NEXT, 31, 20, RO, "next, 0 = last")

/*
 * PCI Express capability, version 2; a root complex integrated endpoint has no link, and 0 in the
 * link's fields.
 */
#define PCIE_EXP_FIELDS(F)                                                                \
	F(PCIE_EXP_VERSION, 19, 16, RO, "version")                                        \
	F(PCIE_EXP_TYPE, 23, 20, RO, "kind of function")                                  \
	F(PCIE_EXP_MPS, 34, 32, RO, "payload supported, 128 << n")                        \
	F(PCIE_EXP_EXT_TAG, 37, 37, RO, "extended tags")                                  \
	F(PCIE_EXP_RBER, 47, 47, RO, "role-based error reporting")                        \
	F(PCIE_EXP_FLR, 60, 60, RO, "function level reset")                               \
	F(PCIE_EXP_REPORT, 67, 64, RW, "error reporting enables")                         \
	F(PCIE_EXP_RELAXED, 68, 68, RW, "relaxed ordering enable")                        \
	F(PCIE_EXP_PAYLOAD, 71, 69, RW, "payload, 128 << n")                              \
	F(PCIE_EXP_EXT_TAG_ENABLE, 72, 72, RW, "extended tags enable")                    \
	F(PCIE_EXP_NO_SNOOP, 75, 75, RW, "no-snoop enable")                               \
	F(PCIE_EXP_READ_REQUEST, 78, 76, RW, "read request, 128 << n")                    \
	F(PCIE_EXP_DO_FLR, 79, 79, W1, "initiate function level reset")                   \
	F(PCIE_EXP_ERRORS, 83, 80, W1C, "errors detected")                                \
	F(PCIE_EXP_LINK_SPEED_MAX, 99, 96, RO, "link speed supported, 1 = 2.5 GT/s")      \
	F(PCIE_EXP_LINK_WIDTH_MAX, 105, 100, RO, "lanes supported")                       \
	F(PCIE_EXP_LINK_SPEED, 147, 144, RO, "link speed")                                \
	F(PCIE_EXP_LINK_WIDTH, 153, 148, RO, "lanes")                                     \
	F(PCIE_EXP_CTO_DISABLE_SUP, 292, 292, RO, "completion timeout disable supported") \
	F(PCIE_EXP_EXT_FMT, 308, 308, RO, "extended fmt field")                           \
	F(PCIE_EXP_E2E_PREFIX, 309, 309, RO, "end-end TLP prefix")                        \
	F(PCIE_EXP_MAX_PREFIX, 311, 310, RO, "end-end TLP prefixes, 0 = 4")               \
	F(PCIE_EXP_CTO_DISABLE, 324, 324, RW, "completion timeout disable")

/* MSI-X */
#define PCIE_MSIX_FIELDS(F)                                    \
	F(PCIE_MSIX_LAST, 26, 16, RO, "table size - 1")        \
	F(PCIE_MSIX_MASK, 30, 30, RW, "function mask")         \
	F(PCIE_MSIX_ENABLE, 31, 31, RW, "enable")              \
	F(PCIE_MSIX_TABLE_BAR, 34, 32, RO, "BAR of the table") \
	F(PCIE_MSIX_TABLE, 63, 35, RO, "table, offset / 8")    \
	F(PCIE_MSIX_PBA_BAR, 66, 64, RO, "BAR of the PBA")     \
	F(PCIE_MSIX_PBA, 95, 67, RO, "pending bits, offset / 8")

/* One entry of the MSI-X table, 16 bytes in a BAR. */
#define PCIE_MSIX_ENTRY_BYTES 16u
#define PCIE_MSIX_ENTRY_FIELDS(F)                                  \
	F(PCIE_MSIX_ADDR, 31, 2, RW, "message address, lower / 4") \
	F(PCIE_MSIX_ADDR_HI, 63, 32, RW, "message address, upper") \
	F(PCIE_MSIX_DATA, 95, 64, RW, "message data")              \
	F(PCIE_MSIX_VMASK, 96, 96, RW, "masked")

/* MSI with a 64-bit address, without masking by vector. */
#define PCIE_MSI_FIELDS(F)                                         \
	F(PCIE_MSI_ENABLE, 16, 16, RW, "enable")                   \
	F(PCIE_MSI_CAPABLE, 19, 17, RO, "log2 of the vectors")     \
	F(PCIE_MSI_VECTORS, 22, 20, RW, "log2 of those in use")    \
	F(PCIE_MSI_64, 23, 23, RO, "64-bit address")               \
	F(PCIE_MSI_ADDR, 63, 34, RW, "message address, lower / 4") \
	F(PCIE_MSI_ADDR_HI, 95, 64, RW, "message address, upper")  \
	F(PCIE_MSI_DATA, 111, 96, RW, "message data")

/* Power management, version 3. */
#define PCIE_PM_FIELDS(F)                           \
	F(PCIE_PM_VERSION, 18, 16, RO, "version")   \
	F(PCIE_PM_STATE, 33, 32, RW, "power state") \
	F(PCIE_PM_NO_SOFT_RESET, 35, 35, RO, "D3hot to D0 keeps state")

#define PCIE_PM_D0    0u
#define PCIE_PM_D3HOT 3u

/* Enhanced Allocation with one entry of a 32-bit base. */
#define PCIE_EA_FIELDS(F)                                                \
	F(PCIE_EA_ENTRIES, 21, 16, RO, "entries")                        \
	F(PCIE_EA_ES, 34, 32, RO, "dwords after this one")               \
	F(PCIE_EA_BEI, 39, 36, RO, "which BAR")                          \
	F(PCIE_EA_PRIMARY, 47, 40, RO, "primary properties, 0 = memory") \
	F(PCIE_EA_SECONDARY, 55, 48, RO, "secondary, ffh = none")        \
	F(PCIE_EA_ENABLE, 63, 63, RO, "entry is enabled")                \
	F(PCIE_EA_BASE, 95, 66, RO, "base / 4")                          \
	F(PCIE_EA_OFFSET, 127, 98, RO, "last dword's offset / 4")

/* Vendor specific: what its bytes mean is the function's own affair. */
#define PCIE_VENDOR_FIELDS(F)                          \
	F(PCIE_VENDOR_BYTES, 23, 16, RO, "its length") \
	F(PCIE_VENDOR_0, 63, 32, RW, "bytes 0 to 3")   \
	F(PCIE_VENDOR_1, 95, 64, RW, "bytes 4 to 7")

/* Null capability: a header alone. */
#define PCIE_NULL_FIELDS(F) PCIE_XCAP_FIELDS(F)

/* Address translation services (VTD-EP-01). */
#define PCIE_ATS_FIELDS(F)                                                            \
	F(PCIE_ATS_QUEUE_DEPTH, 36, 32, RO, "invalidations, 0 = 32")                  \
	F(PCIE_ATS_PAGE_ALIGNED, 37, 37, RO, "requests are page aligned")             \
	F(PCIE_ATS_GLOBAL, 38, 38, RO, "global invalidate")                           \
	F(PCIE_ATS_STU, 52, 48, RW, "smallest translation unit, log2 of 4-KiB pages") \
	F(PCIE_ATS_ENABLE, 63, 63, RW, "enable")

/* PASID (VTD-EP-03). What the capability does not offer, the control cannot enable (VTD-EP-05). */
#define PCIE_PASID_FIELDS(F)                              \
	F(PCIE_PASID_EXEC, 33, 33, RO, "execute")         \
	F(PCIE_PASID_PRIV, 34, 34, RO, "privileged mode") \
	F(PCIE_PASID_WIDTH, 44, 40, RO, "width")          \
	F(PCIE_PASID_ENABLE, 48, 48, RW, "enable")

/* Page request interface (VTD-EP-02). */
#define PCIE_PRI_FIELDS(F)                                                  \
	F(PCIE_PRI_ENABLE, 32, 32, RW, "enable")                            \
	F(PCIE_PRI_RESET, 33, 33, W1, "reset, while not enabled")           \
	F(PCIE_PRI_FAILURE, 48, 48, W1C, "response failure")                \
	F(PCIE_PRI_UNEXPECTED, 49, 49, W1C, "unexpected group index")       \
	F(PCIE_PRI_STOPPED, 56, 56, RO, "stopped: no request is open")      \
	F(PCIE_PRI_PASID_REQUIRED, 63, 63, RO, "responses carry the PASID") \
	F(PCIE_PRI_CAPACITY, 95, 64, RO, "outstanding requests, at most")   \
	F(PCIE_PRI_ALLOCATION, 127, 96, RW, "outstanding requests, allowed")

/*
 * S(PREFIX, capability id, extended, bytes, "title"): bytes is what the structure takes in
 * configuration space.
 */
#define PCIE_STRUCTS(S)                                         \
	S(PCIE_HDR, 0x00, 0, 64, "type 0 header")               \
	S(PCIE_EXP, 0x10, 0, 60, "PCI Express")                 \
	S(PCIE_MSIX, 0x11, 0, 12, "MSI-X")                      \
	S(PCIE_PM, 0x01, 0, 8, "power management")              \
	S(PCIE_MSI, 0x05, 0, 16, "MSI")                         \
	S(PCIE_EA, 0x14, 0, 16, "enhanced allocation")          \
	S(PCIE_VENDOR, 0x09, 0, 12, "vendor specific")          \
	S(PCIE_NULL, 0x00, 1, 4, "null")                        \
	S(PCIE_ATS, 0x0f, 1, 8, "address translation services") \
	S(PCIE_PASID, 0x1b, 1, 8, "PASID")                      \
	S(PCIE_PRI, 0x13, 1, 16, "page request interface")

#define PCIE_STRUCT_INDEX(PREFIX, id, extended, bytes, title) PREFIX,
enum pcie_struct {
	PCIE_STRUCTS(PCIE_STRUCT_INDEX) PCIE_STRUCTS_NR
};

#define PCIE_FIELD_CONSTANTS(NAME, hi, lo, kind, text) NAME##_HI = (hi), NAME##_LO = (lo),
enum {
	PCIE_HDR_FIELDS(PCIE_FIELD_CONSTANTS)
	PCIE_CAP_FIELDS(PCIE_FIELD_CONSTANTS) PCIE_XCAP_FIELDS(PCIE_FIELD_CONSTANTS)
		PCIE_EXP_FIELDS(PCIE_FIELD_CONSTANTS) PCIE_MSIX_FIELDS(PCIE_FIELD_CONSTANTS)
			PCIE_MSIX_ENTRY_FIELDS(PCIE_FIELD_CONSTANTS) PCIE_MSI_FIELDS(
				PCIE_FIELD_CONSTANTS) PCIE_PM_FIELDS(PCIE_FIELD_CONSTANTS)
				PCIE_EA_FIELDS(PCIE_FIELD_CONSTANTS)
				PCIE_VENDOR_FIELDS(PCIE_FIELD_CONSTANTS)
					PCIE_ATS_FIELDS(PCIE_FIELD_CONSTANTS)
						PCIE_PASID_FIELDS(PCIE_FIELD_CONSTANTS)
							PCIE_PRI_FIELDS(PCIE_FIELD_CONSTANTS)
};
/* clang-format on */

/* Values of fields. */
#define PCIE_EXP_TYPE_ENDPOINT 0u
#define PCIE_EXP_TYPE_RCIEP    9u

enum pcie_kind {
	PCIE_RO,
	PCIE_RW,
	PCIE_W1C,
	PCIE_W1,
};

struct pcie_field {
	const char *name;
	const char *text;
	uint16_t hi;
	uint16_t lo;
	uint8_t kind; /* enum pcie_kind */
};

struct pcie_layout {
	const char *name;
	const char *title;
	uint16_t id;
	uint8_t extended;
	uint8_t bytes;
	uint8_t nr;
	const struct pcie_field *fields;
};

/* By enum pcie_struct. */
extern const struct pcie_layout viommu__pcie_layouts[PCIE_STRUCTS_NR];

/* ------------------------------------------------------------------------------------------------
 * Access to fields. `at` is a pointer to the structure's first byte; bytes are little-endian.
 */

/* offset of the dword that holds the field; the field's bits in it */
#define PCIE_DWORD(NAME) ((unsigned int)NAME##_LO / 32u * 4u)
#define PCIE_MASK(NAME)                                                               \
	((0xffffffffu >> (31u - ((unsigned int)NAME##_HI - (unsigned int)NAME##_LO))) \
	 << ((unsigned int)NAME##_LO % 32u))
#define PCIE_VAL(NAME, v) (((uint32_t)(v) << ((unsigned int)NAME##_LO % 32u)) & PCIE_MASK(NAME))
#define PCIE_GET(at, NAME)                                                 \
	((viommu__pcie_load((at) + PCIE_DWORD(NAME)) & PCIE_MASK(NAME)) >> \
	 ((unsigned int)NAME##_LO % 32u))
#define PCIE_SET(at, NAME, v)                                                                \
	viommu__pcie_store((at) + PCIE_DWORD(NAME),                                          \
			   (viommu__pcie_load((at) + PCIE_DWORD(NAME)) & ~PCIE_MASK(NAME)) | \
				   PCIE_VAL(NAME, v))

static inline uint32_t viommu__pcie_load(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void viommu__pcie_store(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
	at[2] = (uint8_t)(v >> 16);
	at[3] = (uint8_t)(v >> 24);
}

#endif /* VIOMMU_SPEC_PCI_H */
