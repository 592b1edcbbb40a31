/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vtd.h - Intel VT-d as data: structures, registers, invalidation descriptors, fault codes.
 *
 * Covers DMA remapping of the VT-d architecture, revision 5.10, with remarks where an older
 * revision differs: root, context and PASID tables, both paging formats, the register block, queued
 * invalidation, fault records, page requests, virtual commands; interrupt-remapping entries and the
 * two formats of interrupt messages (remapped, not posted). Says nothing about behaviour.
 *
 * Each structure is one list macro VTD_<PREFIX>_FIELDS(F, I, C):
 *
 *	F(NAME, hi, lo, "text")                field with a meaning
 *	I(NAME, hi, lo, "text")                ignored: software may leave anything there
 *	C(NAME, hi, lo, REG, BIT, "text")      field that is reserved unless REG.BIT (CAP or ECAP) is 1
 *
 * Bit numbers are those of the whole structure (bit 64 is bit 0 of the second 64-bit word). A bit
 * no line covers is reserved: software writes 0, hardware checks 0 where the entry is present.
 * Address fields hold page numbers as a field; use `word & VTD_MASK(NAME)` to get the address
 * itself.
 *
 * From a list come the constants NAME_HI and NAME_LO and everything below:
 *
 *	uint64_t pe[8];
 *
 *	if (VTD_GET(pe, VTD_PE_PGTT) == VTD_PGTT_NESTED && VTD_GET(pe, VTD_PE_PWSNP))
 *		root = pe[VTD_WORD(VTD_PE_FSPTPTR)] & VTD_MASK(VTD_PE_FSPTPTR);
 *	VTD_SET(pe, VTD_PE_P, 1);
 *	if (pe[0] & VTD_RSVD(VTD_PE, 0))
 *		return VTD_FR_PE_RSVD;
 *
 * All of it is constant data; any thread may read it.
 */
#ifndef VIOMMU_VTD_H
#define VIOMMU_VTD_H

#include <stdint.h>

#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off: the lists read better as they are */

/* ------------------------------------------------------------------------------------------------
 * Access to fields. `words` is a uint64_t pointer to the whole structure. No field crosses a 64-bit
 * word (asserted in src/spec/vtd.c), so every access touches one word.
 */

/* index of the word that holds the field */
#define VTD_WORD(NAME) ((unsigned int)NAME##_LO / 64u)
/* position of the field inside its word */
#define VTD_SHIFT(NAME) ((unsigned int)NAME##_LO % 64u)
/* number of bits */
#define VTD_BITS(NAME) ((unsigned int)NAME##_HI - (unsigned int)NAME##_LO + 1u)
/* the field's bits inside its word */
#define VTD_MASK(NAME) ((~(uint64_t)0 >> (64u - VTD_BITS(NAME))) << VTD_SHIFT(NAME))
/* v placed inside its word; bits of v that do not fit are dropped */
#define VTD_VAL(NAME, v) (((uint64_t)(v) << VTD_SHIFT(NAME)) & VTD_MASK(NAME))
/* the field's value, taken from the one word that holds it */
#define VTD_FIELD(word, NAME) (((uint64_t)(word)&VTD_MASK(NAME)) >> VTD_SHIFT(NAME))
/* the field's value, taken from the structure */
#define VTD_GET(words, NAME) VTD_FIELD((words)[VTD_WORD(NAME)], NAME)
/* replaces the field's value */
#define VTD_SET(words, NAME, v)           \
	((void)((words)[VTD_WORD(NAME)] = \
			((words)[VTD_WORD(NAME)] & ~VTD_MASK(NAME)) | VTD_VAL(NAME, v)))

/* ------------------------------------------------------------------------------------------------
 * Remapping tables.
 */

/* Root entry, legacy mode: 128 bits, indexed by bus. */
#define VTD_ROOT_FIELDS(F, I, C)       \
	F(VTD_ROOT_P, 0, 0, "present") \
	F(VTD_ROOT_CTP, 63, 12, "context table, page number")

/* Root entry, scalable mode: 128 bits; the lower half serves devfn 00-7f, the upper half 80-ff. */
#define VTD_SROOT_FIELDS(F, I, C)                                     \
	F(VTD_SROOT_LP, 0, 0, "lower half present")                   \
	F(VTD_SROOT_LCTP, 63, 12, "lower context table, page number") \
	F(VTD_SROOT_UP, 64, 64, "upper half present")                 \
	F(VTD_SROOT_UCTP, 127, 76, "upper context table, page number")

/* Context entry, legacy mode: 128 bits, indexed by devfn. */
#define VTD_LCE_FIELDS(F, I, C)                                       \
	F(VTD_LCE_P, 0, 0, "present")                                 \
	F(VTD_LCE_FPD, 1, 1, "fault processing disable")              \
	F(VTD_LCE_TT, 3, 2, "translation type")                       \
	F(VTD_LCE_SSPTPTR, 63, 12, "second-stage table, page number") \
	F(VTD_LCE_AW, 66, 64, "address width of the second stage")    \
	I(VTD_LCE_IGN, 70, 67, "ignored")                             \
	F(VTD_LCE_DID, 87, 72, "domain id")

/* Context entry, scalable mode: 256 bits, indexed by devfn & 7f. */
#define VTD_SCE_FIELDS(F, I, C)                                                          \
	F(VTD_SCE_P, 0, 0, "present")                                                    \
	F(VTD_SCE_FPD, 1, 1, "fault processing disable (counts even when P is 0)")       \
	C(VTD_SCE_DTE, 2, 2, ECAP, DT, "translation and translated requests allowed")    \
	C(VTD_SCE_PASIDE, 3, 3, ECAP, PASID, "requests with PASID allowed")              \
	C(VTD_SCE_PRE, 4, 4, ECAP, PRS, "page requests allowed")                         \
	C(VTD_SCE_HPTE, 5, 5, ECAP, HPTS, "host permission table enable")                \
	C(VTD_SCE_EPTR, 6, 6, ECAP, PTRS, "PASID on translated requests allowed")        \
	F(VTD_SCE_PDTS, 11, 9, "PASID directory has 2^(PDTS+7) entries")                 \
	F(VTD_SCE_PDTP, 63, 12, "PASID directory, page number")                          \
	C(VTD_SCE_RID_PASID, 83, 64, ECAP, RPS, "PASID used for requests without PASID") \
	C(VTD_SCE_RID_PRIV, 84, 84, ECAP, RPRIVS, "requests without PASID are privileged")

/* PASID directory entry: 64 bits, indexed by PASID[19:6]. */
#define VTD_PDIR_FIELDS(F, I, C)                          \
	F(VTD_PDIR_P, 0, 0, "present")                    \
	F(VTD_PDIR_FPD, 1, 1, "fault processing disable") \
	F(VTD_PDIR_SMPTBLPTR, 63, 12, "PASID table, page number")

/*
 * PASID table entry: 512 bits, indexed by PASID[5:0]. Fields that the chosen PGTT does not use are
 * ignored. AW is kept a plain field although 4.1 and later reserve it where ECAP.SSTS is 0: Linux
 * writes it in every entry.
 */
#define VTD_PE_FIELDS(F, I, C)                                                             \
	F(VTD_PE_P, 0, 0, "present")                                                       \
	F(VTD_PE_FPD, 1, 1, "fault processing disable")                                    \
	F(VTD_PE_AW, 4, 2, "address width of the second stage")                            \
	F(VTD_PE_PGTT, 8, 6, "translation type")                                           \
	C(VTD_PE_SSADE, 9, 9, ECAP, SSADS, "second-stage accessed/dirty enable")           \
	F(VTD_PE_SSPTPTR, 63, 12, "second-stage table, page number")                       \
	F(VTD_PE_DID, 79, 64, "domain id")                                                 \
	C(VTD_PE_PWSNP, 87, 87, ECAP, SMPWCS, "page walks snoop")                          \
	C(VTD_PE_PGSNP, 88, 88, ECAP, SC, "pages snoop")                                   \
	C(VTD_PE_CD, 89, 89, ECAP, MTS, "cache disable")                                   \
	C(VTD_PE_EMTE, 90, 90, ECAP, MTS, "extended memory type enable")                   \
	C(VTD_PE_PAT, 127, 96, ECAP, MTS, "page attribute table")                          \
	C(VTD_PE_SRE, 128, 128, ECAP, SRS, "supervisor requests enable")                   \
	F(VTD_PE_FSPM, 131, 130, "first-stage paging mode")                                \
	C(VTD_PE_WPE, 132, 132, ECAP, SRS, "write protect enable for supervisor requests") \
	I(VTD_PE_IGN, 134, 133, "ignored (once no-execute enable and SMEP)")               \
	C(VTD_PE_EAFE, 135, 135, ECAP, EAFS, "extended accessed flag enable")              \
	F(VTD_PE_FSPTPTR, 191, 140, "first-stage table, page number")                      \
	C(VTD_PE_HPTSZ, 257, 256, ECAP, HPTS, "host permission table size")                \
	C(VTD_PE_HPTPFD, 258, 258, ECAP, HPTS, "host permission table flag")               \
	C(VTD_PE_HPTPTR, 319, 268, ECAP, HPTS, "host permission table, page number")       \
	C(VTD_PE_HPTDID, 335, 320, ECAP, HPTS, "domain id of the host permission table")

/* Legacy context entry: translation type. */
enum {
	VTD_TT_SS = 0,     /* second stage, untranslated requests only */
	VTD_TT_SS_ATS = 1, /* second stage, translation and translated requests too */
	VTD_TT_PT = 2,     /* pass-through */
};

/* PASID table entry: translation type. */
enum {
	VTD_PGTT_FS = 1,
	VTD_PGTT_SS = 2,
	VTD_PGTT_NESTED = 3,
	VTD_PGTT_PT = 4,
};

/* Address width codes of the second stage: levels = AW + 2, bits = 30 + 9 * AW. */
enum {
	VTD_AW_39 = 1,
	VTD_AW_48 = 2,
	VTD_AW_57 = 3,
};

/* First-stage paging mode. */
enum {
	VTD_FSPM_4LEVEL = 0,
	VTD_FSPM_5LEVEL = 1,
};

/* Sizes and index arithmetic of the tables. */
enum {
	VTD_ROOT_ENTRIES = 256,
	VTD_ROOT_ENTRY_BYTES = 16,
	VTD_LCE_BYTES = 16,
	VTD_SCE_BYTES = 32,
	VTD_PDIR_BYTES = 8,
	VTD_PDIR_ENTRIES_LG2_MIN = 7, /* a directory has 2^(PDTS + this) entries */
	VTD_PE_BYTES = 64,
	VTD_PASID_TABLE_ENTRIES = 64,
	VTD_PASID_TABLE_LG2 = 6,
	VTD_PASID_BITS = 20,
};

/* ------------------------------------------------------------------------------------------------
 * Paging entries, 64 bits each. The constants come from the ..._NAMES lists; which of them apply to
 * an entry depends on its level, so there is one field list per kind of entry. Address bits at or
 * above the host address width are reserved at run time.
 */

#define VTD_FS_NAMES(F)                                                                       \
	F(VTD_FS_P, 0, 0, "present")                                                          \
	F(VTD_FS_RW, 1, 1, "write allowed")                                                   \
	F(VTD_FS_US, 2, 2, "user access allowed")                                             \
	F(VTD_FS_PWT, 3, 3, "memory type: write-through")                                     \
	F(VTD_FS_PCD, 4, 4, "memory type: cache disable")                                     \
	F(VTD_FS_A, 5, 5, "accessed")                                                         \
	F(VTD_FS_D, 6, 6, "dirty (leaf)")                                                     \
	F(VTD_FS_PS, 7, 7, "page size: this entry is a leaf")                                 \
	F(VTD_FS_PAT, 7, 7, "memory type: PAT (4 KiB leaf)")                                  \
	F(VTD_FS_G, 8, 8, "global, ignored")                                                  \
	F(VTD_FS_IGN9, 9, 9, "ignored")                                                       \
	F(VTD_FS_EA, 10, 10, "extended accessed, ignored unless the PASID entry's EAFE is 1") \
	F(VTD_FS_IGN11, 11, 11, "ignored")                                                    \
	F(VTD_FS_PAT_LARGE, 12, 12, "memory type: PAT (large leaf)")                          \
	F(VTD_FS_ADDR, 51, 12, "next table or 4 KiB page, page number")                       \
	F(VTD_FS_ADDR_2M, 51, 21, "2 MiB page, number")                                       \
	F(VTD_FS_ADDR_1G, 51, 30, "1 GiB page, number")                                       \
	F(VTD_FS_IGN_SW, 62, 52, "ignored")                                                   \
	F(VTD_FS_XD, 63, 63, "execute disable, ignored")

/* What every first-stage entry has. */
#define VTD_FS_COMMON_FIELDS(F, I, C)                                                         \
	F(VTD_FS_P, 0, 0, "present")                                                          \
	F(VTD_FS_RW, 1, 1, "write allowed")                                                   \
	F(VTD_FS_US, 2, 2, "user access allowed")                                             \
	F(VTD_FS_PWT, 3, 3, "memory type: write-through")                                     \
	F(VTD_FS_PCD, 4, 4, "memory type: cache disable")                                     \
	F(VTD_FS_A, 5, 5, "accessed")                                                         \
	I(VTD_FS_G, 8, 8, "global, ignored")                                                  \
	I(VTD_FS_IGN9, 9, 9, "ignored")                                                       \
	F(VTD_FS_EA, 10, 10, "extended accessed, ignored unless the PASID entry's EAFE is 1") \
	I(VTD_FS_IGN11, 11, 11, "ignored")                                                    \
	I(VTD_FS_IGN_SW, 62, 52, "ignored")                                                   \
	I(VTD_FS_XD, 63, 63, "execute disable, ignored")

/* PML5E, PML4E: never a leaf, bit 7 reserved. */
#define VTD_FS_TOP_FIELDS(F, I, C)    \
	VTD_FS_COMMON_FIELDS(F, I, C) \
	I(VTD_FS_D, 6, 6, "ignored")  \
	F(VTD_FS_ADDR, 51, 12, "next table, page number")

/* PDPE, PDE with PS = 0. */
#define VTD_FS_TABLE_FIELDS(F, I, C)                                     \
	VTD_FS_COMMON_FIELDS(F, I, C)                                    \
	I(VTD_FS_D, 6, 6, "ignored")                                     \
	F(VTD_FS_PS, 7, 7, "page size: 0, this entry points to a table") \
	F(VTD_FS_ADDR, 51, 12, "next table, page number")

/* PTE. */
#define VTD_FS_4K_FIELDS(F, I, C)               \
	VTD_FS_COMMON_FIELDS(F, I, C)           \
	F(VTD_FS_D, 6, 6, "dirty")              \
	F(VTD_FS_PAT, 7, 7, "memory type: PAT") \
	F(VTD_FS_ADDR, 51, 12, "page number")

/* PDE with PS = 1. */
#define VTD_FS_2M_FIELDS(F, I, C)                                \
	VTD_FS_COMMON_FIELDS(F, I, C)                            \
	F(VTD_FS_D, 6, 6, "dirty")                               \
	F(VTD_FS_PS, 7, 7, "page size: 1, this entry is a leaf") \
	F(VTD_FS_PAT_LARGE, 12, 12, "memory type: PAT")          \
	F(VTD_FS_ADDR_2M, 51, 21, "2 MiB page, number")

/* PDPE with PS = 1. */
#define VTD_FS_1G_FIELDS(F, I, C)                                            \
	VTD_FS_COMMON_FIELDS(F, I, C)                                        \
	F(VTD_FS_D, 6, 6, "dirty")                                           \
	C(VTD_FS_PS, 7, 7, CAP, FS1GP, "page size: 1, this entry is a leaf") \
	F(VTD_FS_PAT_LARGE, 12, 12, "memory type: PAT")                      \
	F(VTD_FS_ADDR_1G, 51, 30, "1 GiB page, number")

#define VTD_SS_NAMES(F)                                                       \
	F(VTD_SS_R, 0, 0, "read allowed")                                     \
	F(VTD_SS_W, 1, 1, "write allowed")                                    \
	F(VTD_SS_IGN2, 2, 2, "ignored (once execute)")                        \
	F(VTD_SS_EMT, 5, 3, "memory type (leaf)")                             \
	F(VTD_SS_IPAT, 6, 6, "ignore PAT (leaf)")                             \
	F(VTD_SS_PS, 7, 7, "page size: this entry is a leaf")                 \
	F(VTD_SS_IGN7, 7, 7, "ignored (4 KiB leaf)")                          \
	F(VTD_SS_A, 8, 8, "accessed, used if SSADE")                          \
	F(VTD_SS_D, 9, 9, "dirty (leaf), used if SSADE")                      \
	F(VTD_SS_IGN10, 10, 10, "ignored")                                    \
	F(VTD_SS_SNP, 11, 11, "snoop (leaf)")                                 \
	F(VTD_SS_ADDR, 51, 12, "next table or 4 KiB page, page number")       \
	F(VTD_SS_ADDR_2M, 51, 21, "2 MiB page, number")                       \
	F(VTD_SS_ADDR_1G, 51, 30, "1 GiB page, number")                       \
	F(VTD_SS_IGN_SW, 60, 52, "ignored")                                   \
	F(VTD_SS_IR, 61, 61, "I/O read, ignored unless RTADDR.SSIRWE is 1")   \
	F(VTD_SS_IW, 62, 62, "I/O write, reserved unless RTADDR.SSIRWE is 1") \
	F(VTD_SS_IGN63, 63, 63, "ignored")

/* What every second-stage entry has. */
#define VTD_SS_COMMON_FIELDS(F, I, C)                                                       \
	F(VTD_SS_R, 0, 0, "read allowed")                                                   \
	F(VTD_SS_W, 1, 1, "write allowed")                                                  \
	I(VTD_SS_IGN2, 2, 2, "ignored (once execute)")                                      \
	F(VTD_SS_A, 8, 8, "accessed, used if SSADE")                                        \
	I(VTD_SS_IGN10, 10, 10, "ignored")                                                  \
	I(VTD_SS_IGN_SW, 60, 52, "ignored")                                                 \
	F(VTD_SS_IR, 61, 61, "I/O read, ignored unless RTADDR.SSIRWE is 1")                 \
	C(VTD_SS_IW, 62, 62, ECAP, SSIRWS, "I/O write, reserved unless RTADDR.SSIRWE is 1") \
	I(VTD_SS_IGN63, 63, 63, "ignored")

/* choice: memory-type bits of an entry that points to a table are ignored, not reserved. */
#define VTD_SS_NONLEAF_FIELDS(F, I, C)  \
	VTD_SS_COMMON_FIELDS(F, I, C)   \
	I(VTD_SS_EMT, 5, 3, "ignored")  \
	I(VTD_SS_IPAT, 6, 6, "ignored") \
	I(VTD_SS_D, 9, 9, "ignored")    \
	F(VTD_SS_ADDR, 51, 12, "next table, page number")

/* PML5E, PML4E: bits 7 and 11 reserved. */
#define VTD_SS_TOP_FIELDS(F, I, C) VTD_SS_NONLEAF_FIELDS(F, I, C)

/* PDPE, PDE with PS = 0: bit 11 reserved. */
#define VTD_SS_TABLE_FIELDS(F, I, C)   \
	VTD_SS_NONLEAF_FIELDS(F, I, C) \
	F(VTD_SS_PS, 7, 7, "page size: 0, this entry points to a table")

#define VTD_SS_LEAF_FIELDS(F, I, C)               \
	VTD_SS_COMMON_FIELDS(F, I, C)             \
	F(VTD_SS_EMT, 5, 3, "memory type")        \
	F(VTD_SS_IPAT, 6, 6, "ignore PAT")        \
	F(VTD_SS_D, 9, 9, "dirty, used if SSADE") \
	C(VTD_SS_SNP, 11, 11, ECAP, SC, "snoop")

/* PTE. choice: bit 7 is ignored here, as in the paging format of the processor. */
#define VTD_SS_4K_FIELDS(F, I, C)       \
	VTD_SS_LEAF_FIELDS(F, I, C)     \
	I(VTD_SS_IGN7, 7, 7, "ignored") \
	F(VTD_SS_ADDR, 51, 12, "page number")

/* PDE with PS = 1; PS is reserved unless CAP.SSLPS has bit 0. */
#define VTD_SS_2M_FIELDS(F, I, C)                                \
	VTD_SS_LEAF_FIELDS(F, I, C)                              \
	F(VTD_SS_PS, 7, 7, "page size: 1, this entry is a leaf") \
	F(VTD_SS_ADDR_2M, 51, 21, "2 MiB page, number")

/* PDPE with PS = 1; PS is reserved unless CAP.SSLPS has bit 1. */
#define VTD_SS_1G_FIELDS(F, I, C)                                \
	VTD_SS_LEAF_FIELDS(F, I, C)                              \
	F(VTD_SS_PS, 7, 7, "page size: 1, this entry is a leaf") \
	F(VTD_SS_ADDR_1G, 51, 30, "1 GiB page, number")

/* ------------------------------------------------------------------------------------------------
 * Registers: fields. The map with offsets and access classes is VTD_REGS below.
 */

#define VTD_VER_FIELDS(F, I, C)       \
	F(VTD_VER_MIN, 3, 0, "minor") \
	F(VTD_VER_MAX, 7, 4, "major")

#define VTD_CAP_FIELDS(F, I, C)                                                           \
	F(VTD_CAP_ND, 2, 0, "domain ids have 4 + 2 * ND bits")                            \
	F(VTD_CAP_RWBF, 4, 4, "software must flush write buffers")                        \
	F(VTD_CAP_PLMR, 5, 5, "protected low memory region")                              \
	F(VTD_CAP_PHMR, 6, 6, "protected high memory region")                             \
	F(VTD_CAP_CM, 7, 7, "caching mode: absence may be cached")                        \
	F(VTD_CAP_SAGAW, 12, 8, "second-stage widths: bit 1 39, bit 2 48, bit 3 57 bits") \
	F(VTD_CAP_MGAW, 21, 16, "maximum guest address width - 1")                        \
	F(VTD_CAP_ZLR, 22, 22, "zero-length reads of write-only pages")                   \
	F(VTD_CAP_FRO, 33, 24, "fault records at 16 * FRO")                               \
	F(VTD_CAP_SSLPS, 37, 34, "second-stage large pages: bit 0 2 MiB, bit 1 1 GiB")    \
	F(VTD_CAP_PSI, 39, 39, "page-selective IOTLB invalidation")                       \
	F(VTD_CAP_NFR, 47, 40, "fault records - 1")                                       \
	F(VTD_CAP_MAMV, 53, 48, "largest address mask of page-selective invalidation")    \
	F(VTD_CAP_DWD, 54, 54, "write drain")                                             \
	F(VTD_CAP_DRD, 55, 55, "read drain")                                              \
	F(VTD_CAP_FS1GP, 56, 56, "first-stage 1 GiB pages")                               \
	F(VTD_CAP_PI, 59, 59, "posted interrupts")                                        \
	F(VTD_CAP_FS5LP, 60, 60, "first-stage 5-level paging")                            \
	F(VTD_CAP_ECMDS, 61, 61, "enhanced commands")                                     \
	F(VTD_CAP_ESIRTPS, 62, 62, "setting the interrupt table pointer invalidates")     \
	F(VTD_CAP_ESRTPS, 63, 63, "setting the root table pointer invalidates")

#define VTD_ECAP_FIELDS(F, I, C)                                                 \
	F(VTD_ECAP_C, 0, 0, "table accesses snoop")                              \
	F(VTD_ECAP_QI, 1, 1, "queued invalidation")                              \
	F(VTD_ECAP_DT, 2, 2, "device TLBs (ATS)")                                \
	F(VTD_ECAP_IR, 3, 3, "interrupt remapping")                              \
	F(VTD_ECAP_EIM, 4, 4, "x2APIC interrupt mode")                           \
	F(VTD_ECAP_PT, 6, 6, "pass-through")                                     \
	F(VTD_ECAP_SC, 7, 7, "snoop control")                                    \
	F(VTD_ECAP_IRO, 17, 8, "IOTLB registers at 16 * IRO")                    \
	F(VTD_ECAP_MHMV, 23, 20, "largest mask of interrupt-entry invalidation") \
	F(VTD_ECAP_MTS, 25, 25, "memory types")                                  \
	F(VTD_ECAP_NEST, 26, 26, "nested translation")                           \
	F(VTD_ECAP_PRS, 29, 29, "page requests")                                 \
	F(VTD_ECAP_ERS, 30, 30, "execute requests (0 since 4.1)")                \
	F(VTD_ECAP_SRS, 31, 31, "supervisor requests")                           \
	F(VTD_ECAP_NWFS, 33, 33, "no-write flag of translation requests")        \
	F(VTD_ECAP_EAFS, 34, 34, "extended accessed flag")                       \
	F(VTD_ECAP_PSS, 39, 35, "PASID width - 1")                               \
	F(VTD_ECAP_PASID, 40, 40, "requests with PASID")                         \
	F(VTD_ECAP_DIT, 41, 41, "device-TLB invalidation throttling")            \
	F(VTD_ECAP_PDS, 42, 42, "page-request drain")                            \
	F(VTD_ECAP_SMTS, 43, 43, "scalable mode")                                \
	F(VTD_ECAP_VCS, 44, 44, "virtual commands")                              \
	F(VTD_ECAP_SSADS, 45, 45, "second-stage accessed/dirty")                 \
	F(VTD_ECAP_SSTS, 46, 46, "second stage in scalable mode")                \
	F(VTD_ECAP_FSTS, 47, 47, "first stage in scalable mode")                 \
	F(VTD_ECAP_SMPWCS, 48, 48, "scalable-mode page walks are coherent")      \
	F(VTD_ECAP_RPS, 49, 49, "RID_PASID field")                               \
	F(VTD_ECAP_TDXCS, 50, 50, "TDX Connect")                                 \
	F(VTD_ECAP_PMS, 51, 51, "performance monitoring")                        \
	F(VTD_ECAP_ADMS, 52, 52, "abort-DMA mode")                               \
	F(VTD_ECAP_RPRIVS, 53, 53, "RID_PRIV field")                             \
	F(VTD_ECAP_HPTS, 55, 55, "host permission tables")                       \
	F(VTD_ECAP_PTRS, 56, 56, "PASID on translated requests")                 \
	F(VTD_ECAP_SSIRWS, 57, 57, "second-stage I/O read/write bits")           \
	F(VTD_ECAP_SMS, 58, 58, "stop markers")                                  \
	F(VTD_ECAP_HPT1GPS, 59, 59, "host permission tables, 1 GiB pages")       \
	F(VTD_ECAP_RDTS, 60, 60, "RDT tags")                                     \
	F(VTD_ECAP_EIMER, 61, 61, "x2APIC interrupt mode required")              \
	F(VTD_ECAP_IRREQ, 62, 62, "interrupt remapping required")

/* Bits 29 and 28 (advanced fault log) are gone since 4.0. */
#define VTD_GCMD_FIELDS(F, I, C)                                        \
	F(VTD_GCMD_CFI, 23, 23, "pass compatibility-format interrupts") \
	F(VTD_GCMD_SIRTP, 24, 24, "set interrupt table pointer")        \
	F(VTD_GCMD_IRE, 25, 25, "interrupt remapping enable")           \
	F(VTD_GCMD_QIE, 26, 26, "queued invalidation enable")           \
	F(VTD_GCMD_WBF, 27, 27, "write buffer flush")                   \
	F(VTD_GCMD_SRTP, 30, 30, "set root table pointer")              \
	F(VTD_GCMD_TE, 31, 31, "translation enable")

#define VTD_GSTS_FIELDS(F, I, C)                                         \
	F(VTD_GSTS_CFIS, 23, 23, "compatibility-format interrupts pass") \
	F(VTD_GSTS_IRTPS, 24, 24, "interrupt table pointer set")         \
	F(VTD_GSTS_IRES, 25, 25, "interrupt remapping on")               \
	F(VTD_GSTS_QIES, 26, 26, "queued invalidation on")               \
	F(VTD_GSTS_WBFS, 27, 27, "write buffer flush in progress")       \
	F(VTD_GSTS_RTPS, 30, 30, "root table pointer set")               \
	F(VTD_GSTS_TES, 31, 31, "translation on")

#define VTD_RTADDR_FIELDS(F, I, C)                                                     \
	C(VTD_RTADDR_SSIRWE, 7, 7, ECAP, SSIRWS, "second-stage I/O read/write enable") \
	F(VTD_RTADDR_TTM, 11, 10, "translation table mode")                            \
	F(VTD_RTADDR_RTA, 63, 12, "root table, page number")

#define VTD_CCMD_FIELDS(F, I, C)                          \
	F(VTD_CCMD_DID, 15, 0, "domain id")               \
	F(VTD_CCMD_SID, 31, 16, "source id")              \
	F(VTD_CCMD_FM, 33, 32, "function mask")           \
	F(VTD_CCMD_CAIG, 60, 59, "granularity done")      \
	F(VTD_CCMD_CIRG, 62, 61, "granularity requested") \
	F(VTD_CCMD_ICC, 63, 63, "invalidate context cache")

#define VTD_FSTS_FIELDS(F, I, C)                               \
	F(VTD_FSTS_PFO, 0, 0, "fault records overflowed")      \
	F(VTD_FSTS_PPF, 1, 1, "some fault record is filled")   \
	F(VTD_FSTS_IQE, 4, 4, "invalidation queue error")      \
	F(VTD_FSTS_ICE, 5, 5, "invalidation completion error") \
	F(VTD_FSTS_ITE, 6, 6, "invalidation time-out error")   \
	F(VTD_FSTS_FRI, 15, 8, "first filled fault record")

/*
 * Event registers share one layout: fault (FE), invalidation (IE), page request (PE) and perfmon.
 */
#define VTD_EVCTL_FIELDS(F, I, C)                    \
	F(VTD_EVCTL_IP, 30, 30, "interrupt pending") \
	F(VTD_EVCTL_IM, 31, 31, "interrupt mask")

#define VTD_EVDATA_FIELDS(F, I, C)                                          \
	F(VTD_EVDATA_VECTOR, 7, 0, "vector")                                \
	F(VTD_EVDATA_DM, 8, 8, "delivery mode: 0 fixed, 1 lowest priority") \
	F(VTD_EVDATA_REST, 15, 9, "rest of the message data")

#define VTD_EVADDR_FIELDS(F, I, C) F(VTD_EVADDR_MA, 31, 2, "message address, dwords")

#define VTD_EVUADDR_FIELDS(F, I, C) F(VTD_EVUADDR_DEST, 31, 8, "destination bits 31:8, x2APIC mode")

#define VTD_PMEN_FIELDS(F, I, C)                      \
	F(VTD_PMEN_PRS, 0, 0, "protected regions on") \
	F(VTD_PMEN_EPM, 31, 31, "enable protected regions")

/* choice: protected regions, if announced, have 1 MiB granularity. */
#define VTD_PLM_FIELDS(F, I, C) F(VTD_PLM_ADDR, 31, 20, "base or limit, 1 MiB units")
#define VTD_PHM_FIELDS(F, I, C) F(VTD_PHM_ADDR, 63, 20, "base or limit, 1 MiB units")

#define VTD_IQH_FIELDS(F, I, C) F(VTD_IQH_QH, 18, 4, "head, 16-byte units")
#define VTD_IQT_FIELDS(F, I, C) F(VTD_IQT_QT, 18, 4, "tail, 16-byte units")

#define VTD_IQA_FIELDS(F, I, C)                                           \
	F(VTD_IQA_QS, 2, 0, "queue size: 2^QS pages")                     \
	F(VTD_IQA_DW, 11, 11, "descriptor width: 0 128 bits, 1 256 bits") \
	F(VTD_IQA_IQA, 63, 12, "queue, page number")

#define VTD_ICS_FIELDS(F, I, C) F(VTD_ICS_IWC, 0, 0, "invalidation wait completed")

#define VTD_IQERCD_FIELDS(F, I, C)                                                \
	F(VTD_IQERCD_IQEI, 3, 0, "queue error code")                              \
	F(VTD_IQERCD_ITESID, 47, 32, "source id of a time-out, 0 = not reported") \
	F(VTD_IQERCD_ICESID, 63, 48, "source id of a completion error, 0 = not reported")

#define VTD_IRTA_FIELDS(F, I, C)                                     \
	F(VTD_IRTA_S, 3, 0, "2^(S+1) entries of 16 bytes")           \
	C(VTD_IRTA_EIME, 11, 11, ECAP, EIM, "x2APIC interrupt mode") \
	F(VTD_IRTA_IRTA, 63, 12, "interrupt table, page number")

#define VTD_PQH_FIELDS(F, I, C) F(VTD_PQH_PQH, 18, 5, "head, 32-byte units")
#define VTD_PQT_FIELDS(F, I, C) F(VTD_PQT_PQT, 18, 5, "tail, 32-byte units")

#define VTD_PQA_FIELDS(F, I, C)                         \
	F(VTD_PQA_PQS, 2, 0, "queue size: 2^PQS pages") \
	F(VTD_PQA_PQA, 63, 12, "queue, page number")

#define VTD_PRS_FIELDS(F, I, C)                      \
	F(VTD_PRS_PPR, 0, 0, "page request pending") \
	F(VTD_PRS_PRO, 1, 1, "page request queue overflowed")

#define VTD_MTRRCAP_FIELDS(F, I, C)                  \
	F(VTD_MTRRCAP_VCNT, 7, 0, "variable ranges") \
	F(VTD_MTRRCAP_FIX, 8, 8, "fixed ranges")     \
	F(VTD_MTRRCAP_WC, 10, 10, "write combining")

#define VTD_MTRRDEF_FIELDS(F, I, C)                  \
	F(VTD_MTRRDEF_TYPE, 7, 0, "default type")    \
	F(VTD_MTRRDEF_FE, 10, 10, "fixed ranges on") \
	F(VTD_MTRRDEF_E, 11, 11, "range registers on")

#define VTD_ECMD_FIELDS(F, I, C)         \
	F(VTD_ECMD_CMD, 7, 0, "command") \
	F(VTD_ECMD_OPERAND, 63, 16, "operand")

#define VTD_ECRSP_FIELDS(F, I, C)            \
	F(VTD_ECRSP_IP, 0, 0, "in progress") \
	F(VTD_ECRSP_SC, 7, 1, "status")      \
	F(VTD_ECRSP_RSLT, 63, 16, "result")

#define VTD_ECCAP3_FIELDS(F, I, C)                                    \
	F(VTD_ECCAP3_ECNTS, 48, 48, "enable counter")                 \
	F(VTD_ECCAP3_DCNTS, 49, 49, "disable counter")                \
	F(VTD_ECCAP3_RCNTCFGS, 50, 50, "reset counter configuration") \
	F(VTD_ECCAP3_RCNTS, 51, 51, "reset counter values")           \
	F(VTD_ECCAP3_FCNTS, 52, 52, "freeze counters")                \
	F(VTD_ECCAP3_UFCNTS, 53, 53, "unfreeze counters")

#define VTD_RDTC_FIELDS(F, I, C)                 \
	F(VTD_RDTC_RMID, 11, 0, "monitoring id") \
	F(VTD_RDTC_CLOS, 36, 32, "class of service")

/* Virtual commands, layout of 3.3 and later. */
#define VTD_VCMD_FIELDS(F, I, C)                    \
	F(VTD_VCMD_CMD, 7, 0, "command")            \
	F(VTD_VCMD_PASID, 35, 16, "operand: PASID") \
	F(VTD_VCMD_OPERAND, 63, 36, "rest of the operand")

#define VTD_VCRSP_FIELDS(F, I, C)                   \
	F(VTD_VCRSP_IP, 0, 0, "in progress")        \
	F(VTD_VCRSP_SC, 7, 1, "status")             \
	F(VTD_VCRSP_PASID, 35, 16, "result: PASID") \
	F(VTD_VCRSP_RSLT, 63, 36, "rest of the result")

/* Linux tests bit 0 where the specification has bit 1; an emulator sets all three. */
#define VTD_VCCAP_FIELDS(F, I, C)                                       \
	F(VTD_VCCAP_NULL, 0, 0, "null command (Linux: PASID commands)") \
	F(VTD_VCCAP_PAS, 1, 1, "allocate PASID")                        \
	F(VTD_VCCAP_FPS, 2, 2, "free PASID")

/* The same up to 3.2, at other places (VTD_OLD_REGS). */
#define VTD_OLD_VCCAP_FIELDS(F, I, C) F(VTD_OLD_VCCAP_PAS, 0, 0, "allocate and free PASID")

#define VTD_OLD_VCMD_FIELDS(F, I, C)                   \
	F(VTD_OLD_VCMD_CMD, 7, 0, "command")           \
	F(VTD_OLD_VCMD_PASID, 27, 8, "operand: PASID") \
	F(VTD_OLD_VCMD_OPERAND, 63, 28, "rest of the operand")

#define VTD_OLD_VCRSP_FIELDS(F, I, C)                  \
	F(VTD_OLD_VCRSP_IP, 0, 0, "in progress")       \
	F(VTD_OLD_VCRSP_SC, 2, 1, "status")            \
	F(VTD_OLD_VCRSP_PASID, 27, 8, "result: PASID") \
	F(VTD_OLD_VCRSP_RSLT, 63, 28, "rest of the result")

#define VTD_IVA_FIELDS(F, I, C)                          \
	F(VTD_IVA_AM, 5, 0, "address mask")              \
	F(VTD_IVA_IH, 6, 6, "only leaf entries changed") \
	F(VTD_IVA_ADDR, 63, 12, "page number")

#define VTD_IOTLB_FIELDS(F, I, C)                          \
	F(VTD_IOTLB_DID, 47, 32, "domain id")              \
	F(VTD_IOTLB_DW, 48, 48, "drain writes")            \
	F(VTD_IOTLB_DR, 49, 49, "drain reads")             \
	F(VTD_IOTLB_IAIG, 58, 57, "granularity done")      \
	F(VTD_IOTLB_IIRG, 61, 60, "granularity requested") \
	F(VTD_IOTLB_IVT, 63, 63, "invalidate IOTLB")

/* Fault record: 128 bits at 16 * CAP.FRO + 16 * n. */
#define VTD_FRCD_FIELDS(F, I, C)                                                          \
	F(VTD_FRCD_FI, 63, 12, "faulting address, page number; interrupt index in 63:48") \
	F(VTD_FRCD_SID, 79, 64, "source id")                                              \
	F(VTD_FRCD_T2, 92, 92, "type, second bit")                                        \
	F(VTD_FRCD_PRIV, 93, 93, "privileged request")                                    \
	F(VTD_FRCD_EXE, 94, 94, "execute request")                                        \
	F(VTD_FRCD_PP, 95, 95, "request had a PASID")                                     \
	F(VTD_FRCD_FR, 103, 96, "fault reason")                                           \
	F(VTD_FRCD_PASID, 123, 104, "PASID")                                              \
	F(VTD_FRCD_AT, 125, 124, "address type of the request")                           \
	F(VTD_FRCD_T1, 126, 126, "type, first bit")                                       \
	F(VTD_FRCD_F, 127, 127, "record is filled")

/* Fault record: T1 * 2 + T2. */
enum {
	VTD_FRCD_TYPE_WRITE = 0,
	VTD_FRCD_TYPE_PAGE = 1,
	VTD_FRCD_TYPE_READ = 2,
	VTD_FRCD_TYPE_ATOMIC = 3,
};

/* Address type of a request (PCIe AT field). */
enum {
	VTD_AT_UNTRANSLATED = 0,
	VTD_AT_TRANSLATION = 1,
	VTD_AT_TRANSLATED = 2,
};

/* RTADDR.TTM; 2 is reserved. */
enum {
	VTD_TTM_LEGACY = 0,
	VTD_TTM_SCALABLE = 1,
	VTD_TTM_ABORT = 3,
};

/* The level bits and the one-shot bits of GCMD. */
#define VTD_GCMD_LEVELS                                                            \
	(VTD_MASK(VTD_GCMD_TE) | VTD_MASK(VTD_GCMD_QIE) | VTD_MASK(VTD_GCMD_IRE) | \
	 VTD_MASK(VTD_GCMD_CFI))
#define VTD_GCMD_ONESHOTS \
	(VTD_MASK(VTD_GCMD_SRTP) | VTD_MASK(VTD_GCMD_SIRTP) | VTD_MASK(VTD_GCMD_WBF))

/* The FSTS bits whose rise raises a fault event. */
#define VTD_FSTS_EVENTS                                                             \
	(VTD_MASK(VTD_FSTS_PFO) | VTD_MASK(VTD_FSTS_PPF) | VTD_MASK(VTD_FSTS_IQE) | \
	 VTD_MASK(VTD_FSTS_ICE) | VTD_MASK(VTD_FSTS_ITE))

/* CCMD.CIRG / CAIG and IOTLB.IIRG / IAIG. */
enum {
	VTD_RINV_ERROR = 0,
	VTD_RINV_GLOBAL = 1,
	VTD_RINV_DOMAIN = 2,
	VTD_RINV_DEVICE = 3, /* CCMD */
	VTD_RINV_PAGE = 3,   /* IOTLB */
};

/* IQERCD.IQEI */
enum {
	VTD_IQEI_NONE = 0,
	VTD_IQEI_TAIL = 1,       /* invalid tail */
	VTD_IQEI_FETCH = 2,      /* descriptor could not be read */
	VTD_IQEI_TYPE = 3,       /* invalid type or granularity */
	VTD_IQEI_RSVD = 4,       /* reserved bit set */
	VTD_IQEI_WIDTH = 5,      /* descriptor width does not fit the mode */
	VTD_IQEI_TAIL_ALIGN = 6, /* tail not on a 32-byte entry */
	VTD_IQEI_TTM = 7,        /* invalid translation table mode */
};

/* Virtual commands: command and status codes. */
enum {
	VTD_VCMD_CODE_NULL = 0,
	VTD_VCMD_CODE_ALLOC = 1,
	VTD_VCMD_CODE_FREE = 2,
	VTD_VCRSP_OK = 0,
	VTD_VCRSP_UNDEFINED = 1,
	VTD_VCRSP_PASID_ERROR = 16,    /* none left, or not an allocated one */
	VTD_OLD_VCRSP_PASID_ERROR = 2, /* the same up to 3.2 (1 in 3.0, which only confuses) */
};

/* Enhanced commands: command and status codes. */
enum {
	VTD_ECMD_CODE_ENABLE = 240,
	VTD_ECMD_CODE_DISABLE = 241,
	VTD_ECMD_CODE_RESET_CONFIG = 242,
	VTD_ECMD_CODE_RESET_VALUES = 243,
	VTD_ECMD_CODE_FREEZE = 244,
	VTD_ECMD_CODE_UNFREEZE = 245,
	VTD_ECRSP_OK = 0,
	VTD_ECRSP_UNDEFINED = 1,
	VTD_ECRSP_ABORTED = 2,
	VTD_ECRSP_SPECIFIC = 16, /* from here on: specific to the command */
};

/* ------------------------------------------------------------------------------------------------
 * Register map.
 *
 * R(NAME, base, offset, width, count, LAYOUT, reset, writable, rw1c, sticky, REG, need, flags,
 * text)
 *
 * base     FIX: offset counts from the block; IRO, FRO: from 16 * ECAP.IRO, 16 * CAP.FRO
 * width    bits of one register; count registers follow each other (FRCD halves: stride 16)
 * LAYOUT   prefix of the field list, RAW when there is none
 * writable bits that take the written value; rw1c: a written 1 clears; sticky: kept by a warm reset
 * REG,need the register is there if (REG & need) is not 0; REG NO: always
 * flags    WO: reads give 0; HOOK: a write starts something
 */
#define VTD_REGS(R)                                                                                \
	R(VER, FIX, 0x000, 32, 1, VTD_VER, 0x60, 0, 0, 0, NO, 0, 0, "version")                     \
	R(CAP, FIX, 0x008, 64, 1, VTD_CAP, 0, 0, 0, 0, NO, 0, 0, "capability")                     \
	R(ECAP, FIX, 0x010, 64, 1, VTD_ECAP, 0, 0, 0, 0, NO, 0, 0, "extended capability")          \
	R(GCMD, FIX, 0x018, 32, 1, VTD_GCMD, 0, VTD_GCMD_LEVELS | VTD_GCMD_ONESHOTS, 0, 0, NO, 0,  \
	  VIOMMU_SPEC_REG_WO | VIOMMU_SPEC_REG_HOOK, "global command")                             \
	R(GSTS, FIX, 0x01c, 32, 1, VTD_GSTS, 0, 0, 0, 0, NO, 0, 0, "global status")                \
	R(RTADDR, FIX, 0x020, 64, 1, VTD_RTADDR, 0,                                                \
	  VTD_MASK(VTD_RTADDR_RTA) | VTD_MASK(VTD_RTADDR_TTM) | VTD_MASK(VTD_RTADDR_SSIRWE), 0, 0, \
	  NO, 0, 0, "root table address")                                                          \
	R(CCMD, FIX, 0x028, 64, 1, VTD_CCMD, 0,                                                    \
	  VTD_MASK(VTD_CCMD_ICC) | VTD_MASK(VTD_CCMD_CIRG) | VTD_MASK(VTD_CCMD_FM) |               \
		  VTD_MASK(VTD_CCMD_SID) | VTD_MASK(VTD_CCMD_DID),                                 \
	  0, 0, NO, 0, VIOMMU_SPEC_REG_HOOK, "context command (deprecated)")                       \
	R(FSTS, FIX, 0x034, 32, 1, VTD_FSTS, 0, 0,                                                 \
	  VTD_MASK(VTD_FSTS_PFO) | VTD_MASK(VTD_FSTS_IQE) | VTD_MASK(VTD_FSTS_ICE) |               \
		  VTD_MASK(VTD_FSTS_ITE),                                                          \
	  VTD_FSTS_EVENTS | VTD_MASK(VTD_FSTS_FRI), NO, 0, VIOMMU_SPEC_REG_HOOK, "fault status")   \
	R(FECTL, FIX, 0x038, 32, 1, VTD_EVCTL, VTD_MASK(VTD_EVCTL_IM), VTD_MASK(VTD_EVCTL_IM), 0,  \
	  0, NO, 0, VIOMMU_SPEC_REG_HOOK, "fault event control")                                   \
	R(FEDATA, FIX, 0x03c, 32, 1, VTD_EVDATA, 0, 0xffff, 0, 0, NO, 0, 0, "fault event data")    \
	R(FEADDR, FIX, 0x040, 32, 1, VTD_EVADDR, 0, VTD_MASK(VTD_EVADDR_MA), 0, 0, NO, 0, 0,       \
	  "fault event address")                                                                   \
	R(FEUADDR, FIX, 0x044, 32, 1, VTD_EVUADDR, 0, VTD_MASK(VTD_EVUADDR_DEST), 0, 0, NO, 0, 0,  \
	  "fault event upper address")                                                             \
	R(PMEN, FIX, 0x064, 32, 1, VTD_PMEN, 0, VTD_MASK(VTD_PMEN_EPM), 0, 0, CAP,                 \
	  VTD_MASK(VTD_CAP_PLMR) | VTD_MASK(VTD_CAP_PHMR), VIOMMU_SPEC_REG_HOOK,                   \
	  "protected memory enable")                                                               \
	R(PLMBASE, FIX, 0x068, 32, 1, VTD_PLM, 0, VTD_MASK(VTD_PLM_ADDR), 0, 0, CAP,               \
	  VTD_MASK(VTD_CAP_PLMR), 0, "protected low memory base")                                  \
	R(PLMLIMIT, FIX, 0x06c, 32, 1, VTD_PLM, 0, VTD_MASK(VTD_PLM_ADDR), 0, 0, CAP,              \
	  VTD_MASK(VTD_CAP_PLMR), 0, "protected low memory limit")                                 \
	R(PHMBASE, FIX, 0x070, 64, 1, VTD_PHM, 0, VTD_MASK(VTD_PHM_ADDR), 0, 0, CAP,               \
	  VTD_MASK(VTD_CAP_PHMR), 0, "protected high memory base")                                 \
	R(PHMLIMIT, FIX, 0x078, 64, 1, VTD_PHM, 0, VTD_MASK(VTD_PHM_ADDR), 0, 0, CAP,              \
	  VTD_MASK(VTD_CAP_PHMR), 0, "protected high memory limit")                                \
	R(IQH, FIX, 0x080, 64, 1, VTD_IQH, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_QI), 0,             \
	  "invalidation queue head")                                                               \
	R(IQT, FIX, 0x088, 64, 1, VTD_IQT, 0, VTD_MASK(VTD_IQT_QT), 0, 0, ECAP,                    \
	  VTD_MASK(VTD_ECAP_QI), VIOMMU_SPEC_REG_HOOK, "invalidation queue tail")                  \
	R(IQA, FIX, 0x090, 64, 1, VTD_IQA, 0,                                                      \
	  VTD_MASK(VTD_IQA_IQA) | VTD_MASK(VTD_IQA_DW) | VTD_MASK(VTD_IQA_QS), 0, 0, ECAP,         \
	  VTD_MASK(VTD_ECAP_QI), 0, "invalidation queue address")                                  \
	R(ICS, FIX, 0x09c, 32, 1, VTD_ICS, 0, 0, VTD_MASK(VTD_ICS_IWC), VTD_MASK(VTD_ICS_IWC),     \
	  ECAP, VTD_MASK(VTD_ECAP_QI), VIOMMU_SPEC_REG_HOOK, "invalidation completion status")     \
	R(IECTL, FIX, 0x0a0, 32, 1, VTD_EVCTL, VTD_MASK(VTD_EVCTL_IM), VTD_MASK(VTD_EVCTL_IM), 0,  \
	  0, ECAP, VTD_MASK(VTD_ECAP_QI), VIOMMU_SPEC_REG_HOOK, "invalidation event control")      \
	R(IEDATA, FIX, 0x0a4, 32, 1, VTD_EVDATA, 0, 0xffff, 0, 0, ECAP, VTD_MASK(VTD_ECAP_QI), 0,  \
	  "invalidation event data")                                                               \
	R(IEADDR, FIX, 0x0a8, 32, 1, VTD_EVADDR, 0, VTD_MASK(VTD_EVADDR_MA), 0, 0, ECAP,           \
	  VTD_MASK(VTD_ECAP_QI), 0, "invalidation event address")                                  \
	R(IEUADDR, FIX, 0x0ac, 32, 1, VTD_EVUADDR, 0, VTD_MASK(VTD_EVUADDR_DEST), 0, 0, ECAP,      \
	  VTD_MASK(VTD_ECAP_QI), 0, "invalidation event upper address")                            \
	R(IQERCD, FIX, 0x0b0, 64, 1, VTD_IQERCD, 0, 0, 0,                                          \
	  VTD_MASK(VTD_IQERCD_ICESID) | VTD_MASK(VTD_IQERCD_ITESID) | VTD_MASK(VTD_IQERCD_IQEI),   \
	  ECAP, VTD_MASK(VTD_ECAP_QI), 0, "invalidation queue error record")                       \
	R(IRTA, FIX, 0x0b8, 64, 1, VTD_IRTA, 0,                                                    \
	  VTD_MASK(VTD_IRTA_IRTA) | VTD_MASK(VTD_IRTA_EIME) | VTD_MASK(VTD_IRTA_S), 0, 0, ECAP,    \
	  VTD_MASK(VTD_ECAP_IR), 0, "interrupt table address")                                     \
	R(PQH, FIX, 0x0c0, 64, 1, VTD_PQH, 0, VTD_MASK(VTD_PQH_PQH), 0, 0, ECAP,                   \
	  VTD_MASK(VTD_ECAP_PRS), VIOMMU_SPEC_REG_HOOK, "page request queue head")                 \
	R(PQT, FIX, 0x0c8, 64, 1, VTD_PQT, 0, VTD_MASK(VTD_PQT_PQT), 0, 0, ECAP,                   \
	  VTD_MASK(VTD_ECAP_PRS), VIOMMU_SPEC_REG_HOOK, "page request queue tail")                 \
	R(PQA, FIX, 0x0d0, 64, 1, VTD_PQA, 0, VTD_MASK(VTD_PQA_PQA) | VTD_MASK(VTD_PQA_PQS), 0, 0, \
	  ECAP, VTD_MASK(VTD_ECAP_PRS), 0, "page request queue address")                           \
	R(PRS, FIX, 0x0dc, 32, 1, VTD_PRS, 0, 0, VTD_MASK(VTD_PRS_PPR) | VTD_MASK(VTD_PRS_PRO),    \
	  VTD_MASK(VTD_PRS_PPR) | VTD_MASK(VTD_PRS_PRO), ECAP, VTD_MASK(VTD_ECAP_PRS),             \
	  VIOMMU_SPEC_REG_HOOK, "page request status")                                             \
	R(PECTL, FIX, 0x0e0, 32, 1, VTD_EVCTL, VTD_MASK(VTD_EVCTL_IM), VTD_MASK(VTD_EVCTL_IM), 0,  \
	  0, ECAP, VTD_MASK(VTD_ECAP_PRS), VIOMMU_SPEC_REG_HOOK, "page request event control")     \
	R(PEDATA, FIX, 0x0e4, 32, 1, VTD_EVDATA, 0, 0xffff, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PRS), 0, \
	  "page request event data")                                                               \
	R(PEADDR, FIX, 0x0e8, 32, 1, VTD_EVADDR, 0, VTD_MASK(VTD_EVADDR_MA), 0, 0, ECAP,           \
	  VTD_MASK(VTD_ECAP_PRS), 0, "page request event address")                                 \
	R(PEUADDR, FIX, 0x0ec, 32, 1, VTD_EVUADDR, 0, VTD_MASK(VTD_EVUADDR_DEST), 0, 0, ECAP,      \
	  VTD_MASK(VTD_ECAP_PRS), 0, "page request event upper address")                           \
	R(MTRRCAP, FIX, 0x100, 64, 1, VTD_MTRRCAP, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_MTS), 0,    \
	  "memory type range capability")                                                          \
	R(MTRRDEF, FIX, 0x108, 64, 1, VTD_MTRRDEF, 0,                                              \
	  VTD_MASK(VTD_MTRRDEF_TYPE) | VTD_MASK(VTD_MTRRDEF_FE) | VTD_MASK(VTD_MTRRDEF_E), 0, 0,   \
	  ECAP, VTD_MASK(VTD_ECAP_MTS), 0, "memory type range default")                            \
	R(MTRRFIX64K, FIX, 0x120, 64, 1, RAW, 0, ~(uint64_t)0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_MTS), \
	  0, "fixed range, 64 KiB units at 0")                                                     \
	R(MTRRFIX16K, FIX, 0x128, 64, 2, RAW, 0, ~(uint64_t)0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_MTS), \
	  0, "fixed ranges, 16 KiB units at 80000, a0000")                                         \
	R(MTRRFIX4K, FIX, 0x138, 64, 8, RAW, 0, ~(uint64_t)0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_MTS),  \
	  0, "fixed ranges, 4 KiB units at c0000 to f8000")                                        \
	R(MTRRVAR, FIX, 0x180, 64, 20, RAW, 0, ~(uint64_t)0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_MTS),   \
	  0, "variable ranges, base and mask")                                                     \
	R(PERFCAP, FIX, 0x300, 64, 1, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,            \
	  "perfmon capability")                                                                    \
	R(PERFCFGOFF, FIX, 0x310, 32, 1, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,         \
	  "perfmon configuration offset")                                                          \
	R(PERFFRZOFF, FIX, 0x314, 32, 1, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,         \
	  "perfmon freeze offset")                                                                 \
	R(PERFOVFOFF, FIX, 0x318, 32, 1, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,         \
	  "perfmon overflow offset")                                                               \
	R(PERFCNTROFF, FIX, 0x31c, 32, 1, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,        \
	  "perfmon counter offset")                                                                \
	R(PERFINTRSTS, FIX, 0x324, 32, 1, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,        \
	  "perfmon event status")                                                                  \
	R(PERFINTRCTL, FIX, 0x328, 32, 1, VTD_EVCTL, VTD_MASK(VTD_EVCTL_IM),                       \
	  VTD_MASK(VTD_EVCTL_IM), 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), VIOMMU_SPEC_REG_HOOK,        \
	  "perfmon event control")                                                                 \
	R(PERFINTRDATA, FIX, 0x32c, 32, 1, VTD_EVDATA, 0, 0xffff, 0, 0, ECAP,                      \
	  VTD_MASK(VTD_ECAP_PMS), 0, "perfmon event data")                                         \
	R(PERFINTRADDR, FIX, 0x330, 32, 1, VTD_EVADDR, 0, VTD_MASK(VTD_EVADDR_MA), 0, 0, ECAP,     \
	  VTD_MASK(VTD_ECAP_PMS), 0, "perfmon event address")                                      \
	R(PERFINTRUADDR, FIX, 0x334, 32, 1, VTD_EVUADDR, 0, VTD_MASK(VTD_EVUADDR_DEST), 0, 0,      \
	  ECAP, VTD_MASK(VTD_ECAP_PMS), 0, "perfmon event upper address")                          \
	R(PERFEVNTCAP, FIX, 0x380, 64, 16, RAW, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_PMS), 0,       \
	  "perfmon event capabilities")                                                            \
	R(ECMD, FIX, 0x400, 64, 1, VTD_ECMD, 0,                                                    \
	  VTD_MASK(VTD_ECMD_CMD) | VTD_MASK(VTD_ECMD_OPERAND), 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), \
	  VIOMMU_SPEC_REG_HOOK, "enhanced command")                                                \
	R(ECEO, FIX, 0x408, 64, 1, RAW, 0, ~(uint64_t)0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,    \
	  "enhanced command, extended operand")                                                    \
	R(ECRSP, FIX, 0x410, 64, 1, VTD_ECRSP, 0, 0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,        \
	  "enhanced command response")                                                             \
	R(ECSTS, FIX, 0x420, 64, 2, RAW, 0, 0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,              \
	  "enhanced command status")                                                               \
	R(ECCAP0, FIX, 0x430, 64, 1, RAW, 0, 0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,             \
	  "enhanced command capability 0")                                                         \
	R(ECCAP1, FIX, 0x438, 64, 1, RAW, 0, 0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,             \
	  "enhanced command capability 1")                                                         \
	R(ECCAP2, FIX, 0x440, 64, 1, RAW, 0, 0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,             \
	  "enhanced command capability 2")                                                         \
	R(ECCAP3, FIX, 0x448, 64, 1, VTD_ECCAP3, 0, 0, 0, 0, CAP, VTD_MASK(VTD_CAP_ECMDS), 0,      \
	  "enhanced command capability 3")                                                         \
	R(RDTC, FIX, 0xdc0, 64, 1, VTD_RDTC, 0, VTD_MASK(VTD_RDTC_CLOS) | VTD_MASK(VTD_RDTC_RMID), \
	  0, 0, ECAP, VTD_MASK(VTD_ECAP_RDTS), 0, "RDT tags of the unit")                          \
	R(VCMD, FIX, 0xe00, 64, 1, VTD_VCMD, 0,                                                    \
	  VTD_MASK(VTD_VCMD_CMD) | VTD_MASK(VTD_VCMD_PASID) | VTD_MASK(VTD_VCMD_OPERAND), 0, 0,    \
	  ECAP, VTD_MASK(VTD_ECAP_VCS), VIOMMU_SPEC_REG_HOOK, "virtual command")                   \
	R(VCMD_EO, FIX, 0xe08, 64, 1, RAW, 0, ~(uint64_t)0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_VCS), 0, \
	  "virtual command, extended operand")                                                     \
	R(VCRSP, FIX, 0xe10, 64, 1, VTD_VCRSP, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_VCS), 0,        \
	  "virtual command response")                                                              \
	R(VCCAP, FIX, 0xe30, 64, 1, VTD_VCCAP, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_VCS), 0,        \
	  "virtual command capability")                                                            \
	R(IVA, IRO, 0x0, 64, 1, VTD_IVA, 0,                                                        \
	  VTD_MASK(VTD_IVA_ADDR) | VTD_MASK(VTD_IVA_IH) | VTD_MASK(VTD_IVA_AM), 0, 0, NO, 0,       \
	  VIOMMU_SPEC_REG_WO, "invalidate address (deprecated)")                                   \
	R(IOTLB, IRO, 0x8, 64, 1, VTD_IOTLB, 0,                                                    \
	  VTD_MASK(VTD_IOTLB_IVT) | VTD_MASK(VTD_IOTLB_IIRG) | VTD_MASK(VTD_IOTLB_DR) |            \
		  VTD_MASK(VTD_IOTLB_DW) | VTD_MASK(VTD_IOTLB_DID),                                \
	  0, 0, NO, 0, VIOMMU_SPEC_REG_HOOK, "IOTLB invalidate (deprecated)")                      \
	R(FRCD_LO, FRO, 0x0, 64, 1, VTD_FRCD, 0, 0, 0, ~(uint64_t)0, NO, 0,                        \
	  VIOMMU_SPEC_REG_PER_RECORD, "fault record, low half")                                    \
	R(FRCD_HI, FRO, 0x8, 64, 1, VTD_FRCD, 0, 0, VTD_MASK(VTD_FRCD_F), ~(uint64_t)0, NO, 0,     \
	  VIOMMU_SPEC_REG_PER_RECORD | VIOMMU_SPEC_REG_HOOK, "fault record, high half")

/*
 * Where the virtual command registers stood up to 3.2: instead of VCMD, VCMD_EO, VCRSP and VCCAP on
 * a unit that has them there. Linux 5.8 to 5.14 looks for them here.
 */
#define VTD_OLD_REGS(R)                                                                           \
	R(OLD_VCCAP, FIX, 0xe00, 64, 1, VTD_OLD_VCCAP, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_VCS),  \
	  0, "virtual command capability, up to 3.2")                                             \
	R(OLD_VCMD, FIX, 0xe10, 64, 1, VTD_OLD_VCMD, 0,                                           \
	  VTD_MASK(VTD_OLD_VCMD_CMD) | VTD_MASK(VTD_OLD_VCMD_PASID) |                             \
		  VTD_MASK(VTD_OLD_VCMD_OPERAND),                                                 \
	  0, 0, ECAP, VTD_MASK(VTD_ECAP_VCS), VIOMMU_SPEC_REG_HOOK, "virtual command, up to 3.2") \
	R(OLD_VCRSP, FIX, 0xe20, 64, 1, VTD_OLD_VCRSP, 0, 0, 0, 0, ECAP, VTD_MASK(VTD_ECAP_VCS),  \
	  0, "virtual command response, up to 3.2")

/* ------------------------------------------------------------------------------------------------
 * Invalidation queue descriptors. Types 1 to 5 are 128 bits (in a 256-bit queue the second half
 * must be 0), the others 256 bits. TYPEX is the upper half of the type and 0 in all present kinds.
 */

#define VTD_IQ_FIELDS(F, I, C)       \
	F(VTD_IQ_TYPE, 3, 0, "type") \
	F(VTD_IQ_TYPEX, 11, 9, "type, upper half")

#define VTD_IQ_CC_FIELDS(F, I, C)                      \
	F(VTD_IQ_CC_TYPE, 3, 0, "type: context cache") \
	F(VTD_IQ_CC_G, 5, 4, "granularity")            \
	F(VTD_IQ_CC_TYPEX, 11, 9, "type, upper half")  \
	F(VTD_IQ_CC_DID, 31, 16, "domain id")          \
	F(VTD_IQ_CC_SID, 47, 32, "source id")          \
	F(VTD_IQ_CC_FM, 49, 48, "function mask")

#define VTD_IQ_IOTLB_FIELDS(F, I, C)                            \
	F(VTD_IQ_IOTLB_TYPE, 3, 0, "type: IOTLB")               \
	F(VTD_IQ_IOTLB_G, 5, 4, "granularity")                  \
	F(VTD_IQ_IOTLB_DW, 6, 6, "drain writes")                \
	F(VTD_IQ_IOTLB_DR, 7, 7, "drain reads")                 \
	F(VTD_IQ_IOTLB_TYPEX, 11, 9, "type, upper half")        \
	F(VTD_IQ_IOTLB_DID, 31, 16, "domain id")                \
	F(VTD_IQ_IOTLB_AM, 69, 64, "address mask")              \
	F(VTD_IQ_IOTLB_IH, 70, 70, "only leaf entries changed") \
	F(VTD_IQ_IOTLB_ADDR, 127, 76, "page number")

#define VTD_IQ_DTLB_FIELDS(F, I, C)                                                               \
	F(VTD_IQ_DTLB_TYPE, 3, 0, "type: device TLB")                                             \
	F(VTD_IQ_DTLB_TYPEX, 11, 9, "type, upper half")                                           \
	C(VTD_IQ_DTLB_PFSIDL, 15, 12, ECAP, DIT, "source id of the physical function, bits 3:0")  \
	F(VTD_IQ_DTLB_MIP, 20, 16, "most invalidations pending")                                  \
	F(VTD_IQ_DTLB_SID, 47, 32, "source id")                                                   \
	C(VTD_IQ_DTLB_PFSIDH, 63, 52, ECAP, DIT, "source id of the physical function, bits 15:4") \
	F(VTD_IQ_DTLB_S, 64, 64, "size encoded in the address")                                   \
	F(VTD_IQ_DTLB_ADDR, 127, 76, "page number")

#define VTD_IQ_IEC_FIELDS(F, I, C)                                 \
	F(VTD_IQ_IEC_TYPE, 3, 0, "type: interrupt entry cache")    \
	F(VTD_IQ_IEC_G, 4, 4, "granularity: 0 global, 1 by index") \
	F(VTD_IQ_IEC_TYPEX, 11, 9, "type, upper half")             \
	F(VTD_IQ_IEC_IM, 31, 27, "index mask")                     \
	F(VTD_IQ_IEC_IIDX, 47, 32, "index")

#define VTD_IQ_WAIT_FIELDS(F, I, C)                               \
	F(VTD_IQ_WAIT_TYPE, 3, 0, "type: wait")                   \
	F(VTD_IQ_WAIT_IF, 4, 4, "raise the completion event")     \
	F(VTD_IQ_WAIT_SW, 5, 5, "write the status dword")         \
	F(VTD_IQ_WAIT_FN, 6, 6, "fence")                          \
	C(VTD_IQ_WAIT_PD, 7, 7, ECAP, PDS, "drain page requests") \
	F(VTD_IQ_WAIT_TYPEX, 11, 9, "type, upper half")           \
	F(VTD_IQ_WAIT_DATA, 63, 32, "status data")                \
	F(VTD_IQ_WAIT_ADDR, 127, 66, "status address, dwords")

#define VTD_IQ_PIOTLB_FIELDS(F, I, C)                            \
	F(VTD_IQ_PIOTLB_TYPE, 3, 0, "type: IOTLB by PASID")      \
	F(VTD_IQ_PIOTLB_G, 5, 4, "granularity")                  \
	F(VTD_IQ_PIOTLB_TYPEX, 11, 9, "type, upper half")        \
	F(VTD_IQ_PIOTLB_DID, 31, 16, "domain id")                \
	F(VTD_IQ_PIOTLB_PASID, 51, 32, "PASID")                  \
	F(VTD_IQ_PIOTLB_AM, 69, 64, "address mask")              \
	F(VTD_IQ_PIOTLB_IH, 70, 70, "only leaf entries changed") \
	F(VTD_IQ_PIOTLB_ADDR, 127, 76, "page number")

#define VTD_IQ_PC_FIELDS(F, I, C)                     \
	F(VTD_IQ_PC_TYPE, 3, 0, "type: PASID cache")  \
	F(VTD_IQ_PC_G, 5, 4, "granularity")           \
	F(VTD_IQ_PC_TYPEX, 11, 9, "type, upper half") \
	F(VTD_IQ_PC_DID, 31, 16, "domain id")         \
	F(VTD_IQ_PC_PASID, 51, 32, "PASID")

#define VTD_IQ_PDTLB_FIELDS(F, I, C)                                                               \
	F(VTD_IQ_PDTLB_TYPE, 3, 0, "type: device TLB by PASID")                                    \
	F(VTD_IQ_PDTLB_MIP, 8, 4, "most invalidations pending")                                    \
	F(VTD_IQ_PDTLB_TYPEX, 11, 9, "type, upper half")                                           \
	C(VTD_IQ_PDTLB_PFSIDL, 15, 12, ECAP, DIT, "source id of the physical function, bits 3:0")  \
	F(VTD_IQ_PDTLB_SID, 31, 16, "source id")                                                   \
	F(VTD_IQ_PDTLB_PASID, 51, 32, "PASID")                                                     \
	C(VTD_IQ_PDTLB_PFSIDH, 63, 52, ECAP, DIT, "source id of the physical function, bits 15:4") \
	F(VTD_IQ_PDTLB_GI, 64, 64, "all PASIDs")                                                   \
	F(VTD_IQ_PDTLB_S, 75, 75, "size encoded in the address")                                   \
	F(VTD_IQ_PDTLB_ADDR, 127, 76, "page number")

#define VTD_IQ_PGRP_FIELDS(F, I, C)                                     \
	F(VTD_IQ_PGRP_TYPE, 3, 0, "type: page group response")          \
	F(VTD_IQ_PGRP_PP, 4, 4, "PASID present")                        \
	F(VTD_IQ_PGRP_TYPEX, 11, 9, "type, upper half")                 \
	F(VTD_IQ_PGRP_RC, 15, 12, "response code")                      \
	F(VTD_IQ_PGRP_RID, 31, 16, "requester id")                      \
	F(VTD_IQ_PGRP_PASID, 51, 32, "PASID")                           \
	I(VTD_IQ_PGRP_IGN, 66, 66, "ignored (once last page in group)") \
	F(VTD_IQ_PGRP_PRGI, 75, 67, "page request group index")

/* Revision 5; the place of G is taken from its siblings. */
#define VTD_IQ_HPT_FIELDS(F, I, C)                                          \
	F(VTD_IQ_HPT_TYPE, 3, 0, "type: host permission table cache")       \
	F(VTD_IQ_HPT_G, 5, 4, "granularity")                                \
	F(VTD_IQ_HPT_TYPEX, 11, 9, "type, upper half")                      \
	F(VTD_IQ_HPT_DID, 31, 16, "domain id of the host permission table") \
	F(VTD_IQ_HPT_AM, 69, 64, "address mask")                            \
	F(VTD_IQ_HPT_IH, 71, 70, "hint")                                    \
	F(VTD_IQ_HPT_ADDR, 127, 76, "page number")

/* Descriptor types. */
enum {
	VTD_IQ_TYPE_CC = 1,
	VTD_IQ_TYPE_IOTLB = 2,
	VTD_IQ_TYPE_DTLB = 3,
	VTD_IQ_TYPE_IEC = 4,
	VTD_IQ_TYPE_WAIT = 5,
	VTD_IQ_TYPE_PIOTLB = 6,
	VTD_IQ_TYPE_PC = 7,
	VTD_IQ_TYPE_PDTLB = 8,
	VTD_IQ_TYPE_PGRP = 9,
	VTD_IQ_TYPE_HPT = 10,
};

/* Granularities; a value not listed for a kind is reserved. */
enum {
	VTD_IQ_CC_GLOBAL = 1,
	VTD_IQ_CC_DOMAIN = 2,
	VTD_IQ_CC_DEVICE = 3,
	VTD_IQ_IOTLB_GLOBAL = 1,
	VTD_IQ_IOTLB_DOMAIN = 2,
	VTD_IQ_IOTLB_PAGE = 3,
	VTD_IQ_IEC_GLOBAL = 0,
	VTD_IQ_IEC_INDEX = 1,
	VTD_IQ_PIOTLB_SELECTIVE = 2, /* one PASID */
	VTD_IQ_PIOTLB_PAGE = 3,      /* pages of one PASID */
	VTD_IQ_PC_DOMAIN = 0,
	VTD_IQ_PC_SELECTIVE = 1, /* one PASID of a domain */
	VTD_IQ_PC_GLOBAL = 3,
};

/* Page group response codes; 2 to 14 are reserved on the wire. */
enum {
	VTD_PGRP_SUCCESS = 0,
	VTD_PGRP_INVALID = 1,
	VTD_PGRP_FAILURE = 15,
};

/* Page request descriptor: 256 bits. */
#define VTD_PRQ_FIELDS(F, I, C)                             \
	F(VTD_PRQ_TYPE, 7, 0, "type: 1")                    \
	F(VTD_PRQ_PP, 8, 8, "PASID present")                \
	F(VTD_PRQ_RID, 31, 16, "requester id")              \
	F(VTD_PRQ_PASID, 51, 32, "PASID")                   \
	F(VTD_PRQ_EXR, 52, 52, "execute requested")         \
	F(VTD_PRQ_PMR, 53, 53, "privileged mode requested") \
	F(VTD_PRQ_RDR, 64, 64, "read requested")            \
	F(VTD_PRQ_WRR, 65, 65, "write requested")           \
	F(VTD_PRQ_LPIG, 66, 66, "last page in group")       \
	F(VTD_PRQ_PRGI, 75, 67, "page request group index") \
	F(VTD_PRQ_ADDR, 127, 76, "page number")

enum {
	VTD_PRQ_TYPE_PAGE = 1,
	VTD_PRQ_BYTES = 32,
};

/*
 * Completion item: what one translation request (ATS) gets. Bits 9 to 6 belong to other
 * specifications and are 0 here.
 */
#define VTD_ATS_FIELDS(F, I, C)                             \
	F(VTD_ATS_R, 0, 0, "read permission")               \
	F(VTD_ATS_W, 1, 1, "write permission")              \
	F(VTD_ATS_U, 2, 2, "untranslated access only")      \
	F(VTD_ATS_EXE, 3, 3, "execute permission")          \
	F(VTD_ATS_PRIV, 4, 4, "for privileged requests")    \
	F(VTD_ATS_G, 5, 5, "global: for every PASID")       \
	F(VTD_ATS_N, 10, 10, "no-snoop must not be used")   \
	F(VTD_ATS_S, 11, 11, "size encoded in the address") \
	F(VTD_ATS_ADDR, 63, 12, "page number")

/* ------------------------------------------------------------------------------------------------
 * Interrupt remapping.
 */

/*
 * Interrupt-remapping entry: 128 bits, indexed by the interrupt index. The layout of a posted entry
 * (IM 1, needs CAP.PI) is another one and is not here. In xAPIC mode the destination stands in bits
 * 15:8 of DST, the rest of it is reserved (VTD_IRTE_DST_XAPIC).
 */
#define VTD_IRTE_FIELDS(F, I, C)                                                            \
	F(VTD_IRTE_P, 0, 0, "present")                                                      \
	F(VTD_IRTE_FPD, 1, 1, "fault processing disable (counts even when P is 0)")         \
	F(VTD_IRTE_DM, 2, 2, "destination mode: 0 physical, 1 logical")                     \
	F(VTD_IRTE_RH, 3, 3, "redirection hint")                                            \
	F(VTD_IRTE_TM, 4, 4, "trigger mode: 0 edge, 1 level")                               \
	F(VTD_IRTE_DLM, 7, 5, "delivery mode")                                              \
	I(VTD_IRTE_AVAIL, 11, 8, "left to software")                                        \
	C(VTD_IRTE_IM, 15, 15, CAP, PI, "mode: 0 remapped, 1 posted")                       \
	F(VTD_IRTE_V, 23, 16, "vector")                                                     \
	F(VTD_IRTE_DST, 63, 32, "destination: 31:0 in x2APIC mode, 15:8 in xAPIC mode")     \
	F(VTD_IRTE_SID, 79, 64, "source id; by bus: first bus in 79:72, last bus in 71:64") \
	F(VTD_IRTE_SQ, 81, 80, "source id qualifier: which function bits are left out")     \
	F(VTD_IRTE_SVT, 83, 82, "source validation type")

/* Address of an interrupt message, compatibility format. */
#define VTD_MSI_ADDR_FIELDS(F, I, C)                                        \
	I(VTD_MSI_ADDR_IGN, 1, 0, "ignored")                                \
	F(VTD_MSI_ADDR_DM, 2, 2, "destination mode: 0 physical, 1 logical") \
	F(VTD_MSI_ADDR_RH, 3, 3, "redirection hint")                        \
	F(VTD_MSI_ADDR_FORMAT, 4, 4, "format: 0 compatibility")             \
	F(VTD_MSI_ADDR_DEST, 19, 12, "destination 7:0")                     \
	F(VTD_MSI_ADDR_WINDOW, 31, 20, "fee")                               \
	F(VTD_MSI_ADDR_UDEST, 63, 40, "destination 31:8, only in what the unit sends")

/* Data of an interrupt message, compatibility format. */
#define VTD_MSI_DATA_FIELDS(F, I, C)                       \
	F(VTD_MSI_DATA_V, 7, 0, "vector")                  \
	F(VTD_MSI_DATA_DLM, 10, 8, "delivery mode")        \
	F(VTD_MSI_DATA_LEVEL, 14, 14, "level: 1 asserted") \
	F(VTD_MSI_DATA_TM, 15, 15, "trigger mode: 0 edge, 1 level")

/* Address of an interrupt message, remappable format. */
#define VTD_RMSI_ADDR_FIELDS(F, I, C)                         \
	I(VTD_RMSI_ADDR_IGN, 1, 0, "ignored")                 \
	F(VTD_RMSI_ADDR_HANDLE_HI, 2, 2, "handle, bit 15")    \
	F(VTD_RMSI_ADDR_SHV, 3, 3, "the subhandle is valid")  \
	F(VTD_RMSI_ADDR_FORMAT, 4, 4, "format: 1 remappable") \
	F(VTD_RMSI_ADDR_HANDLE, 19, 5, "handle, bits 14:0")   \
	F(VTD_RMSI_ADDR_WINDOW, 31, 20, "fee")

/* Data of an interrupt message, remappable format with SHV 1; ignored with SHV 0. */
#define VTD_RMSI_DATA_FIELDS(F, I, C) \
	F(VTD_RMSI_DATA_SUBHANDLE, 15, 0, "subhandle, added to the handle")

/* Source validation type. */
enum {
	VTD_SVT_NONE = 0,
	VTD_SVT_SID = 1, /* requester id, without the bits that SQ leaves out */
	VTD_SVT_BUS = 2, /* bus number in a range */
};

/* Delivery modes. 3 and 6 are reserved. */
enum {
	VTD_DLM_FIXED = 0,
	VTD_DLM_LOWEST = 1,
	VTD_DLM_SMI = 2,
	VTD_DLM_NMI = 4,
	VTD_DLM_INIT = 5,
	VTD_DLM_EXTINT = 7,
};

enum {
	VTD_IRTE_BYTES = 16,
	VTD_IRTE_DST_XAPIC = 0xff00, /* the bits of DST that hold the destination in xAPIC mode */
};

/* Interrupt window of the address space: never translated for requests without PASID. */
#define VTD_WINDOW_BASE ((uint64_t)0xfee00000)
#define VTD_WINDOW_LAST ((uint64_t)0xfeefffff)

/* ------------------------------------------------------------------------------------------------
 * All structures. S(PREFIX, bits, "title") for those whose list defines its constants, V(...) for
 * the kinds of paging entry, whose constants come from the ..._NAMES lists.
 */
#define VTD_STRUCTS(S, V)                                                          \
	S(VTD_ROOT, 128, "root entry, legacy mode")                                \
	S(VTD_SROOT, 128, "root entry, scalable mode")                             \
	S(VTD_LCE, 128, "context entry, legacy mode")                              \
	S(VTD_SCE, 256, "context entry, scalable mode")                            \
	S(VTD_PDIR, 64, "PASID directory entry")                                   \
	S(VTD_PE, 512, "PASID table entry")                                        \
	V(VTD_FS_TOP, 64, "first-stage entry, PML5E or PML4E")                     \
	V(VTD_FS_TABLE, 64, "first-stage entry, PDPE or PDE to a table")           \
	V(VTD_FS_4K, 64, "first-stage entry, 4 KiB page")                          \
	V(VTD_FS_2M, 64, "first-stage entry, 2 MiB page")                          \
	V(VTD_FS_1G, 64, "first-stage entry, 1 GiB page")                          \
	V(VTD_SS_TOP, 64, "second-stage entry, PML5E or PML4E")                    \
	V(VTD_SS_TABLE, 64, "second-stage entry, PDPE or PDE to a table")          \
	V(VTD_SS_4K, 64, "second-stage entry, 4 KiB page")                         \
	V(VTD_SS_2M, 64, "second-stage entry, 2 MiB page")                         \
	V(VTD_SS_1G, 64, "second-stage entry, 1 GiB page")                         \
	S(VTD_VER, 32, "version")                                                  \
	S(VTD_CAP, 64, "capability")                                               \
	S(VTD_ECAP, 64, "extended capability")                                     \
	S(VTD_GCMD, 32, "global command")                                          \
	S(VTD_GSTS, 32, "global status")                                           \
	S(VTD_RTADDR, 64, "root table address")                                    \
	S(VTD_CCMD, 64, "context command")                                         \
	S(VTD_FSTS, 32, "fault status")                                            \
	S(VTD_EVCTL, 32, "event control")                                          \
	S(VTD_EVDATA, 32, "event data")                                            \
	S(VTD_EVADDR, 32, "event address")                                         \
	S(VTD_EVUADDR, 32, "event upper address")                                  \
	S(VTD_PMEN, 32, "protected memory enable")                                 \
	S(VTD_PLM, 32, "protected low memory base or limit")                       \
	S(VTD_PHM, 64, "protected high memory base or limit")                      \
	S(VTD_IQH, 64, "invalidation queue head")                                  \
	S(VTD_IQT, 64, "invalidation queue tail")                                  \
	S(VTD_IQA, 64, "invalidation queue address")                               \
	S(VTD_ICS, 32, "invalidation completion status")                           \
	S(VTD_IQERCD, 64, "invalidation queue error record")                       \
	S(VTD_IRTA, 64, "interrupt table address")                                 \
	S(VTD_PQH, 64, "page request queue head")                                  \
	S(VTD_PQT, 64, "page request queue tail")                                  \
	S(VTD_PQA, 64, "page request queue address")                               \
	S(VTD_PRS, 32, "page request status")                                      \
	S(VTD_MTRRCAP, 64, "memory type range capability")                         \
	S(VTD_MTRRDEF, 64, "memory type range default")                            \
	S(VTD_ECMD, 64, "enhanced command")                                        \
	S(VTD_ECRSP, 64, "enhanced command response")                              \
	S(VTD_ECCAP3, 64, "enhanced command capability 3")                         \
	S(VTD_RDTC, 64, "RDT tags of the unit")                                    \
	S(VTD_VCMD, 64, "virtual command")                                         \
	S(VTD_VCRSP, 64, "virtual command response")                               \
	S(VTD_VCCAP, 64, "virtual command capability")                             \
	S(VTD_OLD_VCCAP, 64, "virtual command capability, up to 3.2")              \
	S(VTD_OLD_VCMD, 64, "virtual command, up to 3.2")                          \
	S(VTD_OLD_VCRSP, 64, "virtual command response, up to 3.2")                \
	S(VTD_IVA, 64, "invalidate address")                                       \
	S(VTD_IOTLB, 64, "IOTLB invalidate")                                       \
	S(VTD_FRCD, 128, "fault record")                                           \
	S(VTD_IQ, 64, "invalidation descriptor, what all kinds share")             \
	S(VTD_IQ_CC, 128, "invalidation descriptor, context cache")                \
	S(VTD_IQ_IOTLB, 128, "invalidation descriptor, IOTLB")                     \
	S(VTD_IQ_DTLB, 128, "invalidation descriptor, device TLB")                 \
	S(VTD_IQ_IEC, 128, "invalidation descriptor, interrupt entry cache")       \
	S(VTD_IQ_WAIT, 128, "invalidation descriptor, wait")                       \
	S(VTD_IQ_PIOTLB, 256, "invalidation descriptor, IOTLB by PASID")           \
	S(VTD_IQ_PC, 256, "invalidation descriptor, PASID cache")                  \
	S(VTD_IQ_PDTLB, 256, "invalidation descriptor, device TLB by PASID")       \
	S(VTD_IQ_PGRP, 256, "invalidation descriptor, page group response")        \
	S(VTD_IQ_HPT, 256, "invalidation descriptor, host permission table cache") \
	S(VTD_PRQ, 256, "page request")                                            \
	S(VTD_ATS, 64, "translation completion item")                              \
	S(VTD_IRTE, 128, "interrupt-remapping entry")                              \
	S(VTD_MSI_ADDR, 64, "interrupt message address, compatibility format")     \
	S(VTD_MSI_DATA, 32, "interrupt message data, compatibility format")        \
	S(VTD_RMSI_ADDR, 64, "interrupt message address, remappable format")       \
	S(VTD_RMSI_DATA, 32, "interrupt message data, remappable format")

#define VIOMMU_SPEC_NOTHING(...)
#define VIOMMU_SPEC_ENUM_F(NAME, hi, lo, text)           NAME##_HI = hi, NAME##_LO = lo,
#define VIOMMU_SPEC_ENUM_C(NAME, hi, lo, reg, bit, text) NAME##_HI = hi, NAME##_LO = lo,
#define VIOMMU_SPEC_ENUM_S(PREFIX, bits, title)                                             \
	enum {                                                                              \
		PREFIX##_FIELDS(VIOMMU_SPEC_ENUM_F, VIOMMU_SPEC_ENUM_F, VIOMMU_SPEC_ENUM_C) \
	};

VTD_STRUCTS(VIOMMU_SPEC_ENUM_S, VIOMMU_SPEC_NOTHING)
enum {
	VTD_FS_NAMES(VIOMMU_SPEC_ENUM_F)
};
enum {
	VTD_SS_NAMES(VIOMMU_SPEC_ENUM_F)
};

#undef VIOMMU_SPEC_ENUM_F
#undef VIOMMU_SPEC_ENUM_C
#undef VIOMMU_SPEC_ENUM_S
#undef VIOMMU_SPEC_NOTHING

/* Offsets: VTD_REG_<NAME>; those with base IRO or FRO are relative to it. */
#define VIOMMU_SPEC_OFFSET(NAME, base, off, ...) VTD_REG_##NAME = off,
enum {
	VTD_REGS(VIOMMU_SPEC_OFFSET) VTD_OLD_REGS(VIOMMU_SPEC_OFFSET)
};
#undef VIOMMU_SPEC_OFFSET

/*
 * VTD_RSVD(PREFIX, w): the bits of word w that no field of the structure covers. Bits at or above
 * the structure's end count as reserved. A constant where w is one; conditional fields (C) count as
 * fields, see viommu_spec_reserved() for the ones this unit's capabilities take away.
 */
#define VTD_RSVD(PREFIX, w)                     viommu_spec_rsvd_##PREFIX(w)
#define VIOMMU_SPEC_COVER_F(NAME, hi, lo, text) | (VTD_WORD(NAME) == w ? VTD_MASK(NAME) : 0)
#define VIOMMU_SPEC_COVER_C(NAME, hi, lo, reg, bit, text) \
	| (VTD_WORD(NAME) == w ? VTD_MASK(NAME) : 0)
#define VIOMMU_SPEC_RSVD_FN(PREFIX, bits, title)                                               \
	static inline uint64_t viommu_spec_rsvd_##PREFIX(unsigned int w)                       \
	{                                                                                      \
		return ~((uint64_t)0 PREFIX##_FIELDS(VIOMMU_SPEC_COVER_F, VIOMMU_SPEC_COVER_F, \
						     VIOMMU_SPEC_COVER_C));                    \
	}
VTD_STRUCTS(VIOMMU_SPEC_RSVD_FN, VIOMMU_SPEC_RSVD_FN)
#undef VIOMMU_SPEC_RSVD_FN
#undef VIOMMU_SPEC_COVER_F
#undef VIOMMU_SPEC_COVER_C

/* ------------------------------------------------------------------------------------------------
 * Fault reasons.
 *
 * F(NAME, code, qualified, U, T, X, P, "text")
 *
 * qualified: FPD of the entries visited suppresses the record. U, T, X, P: what an untranslated
 * request, a translation request, a translated request and a page request get. UR, CA and IR are
 * logged; S0 and SP are recoverable and leave no record (VTD_FR_FS_AD_FAILED is the exception, see
 * viommu_fault_is_logged()). Interrupt-remapping codes stand for blocked interrupt messages, which
 * are untranslated requests. Codes 82 and 88 are retired.
 */
enum viommu_outcome {
	VTD_OUT_NONE = 0, /* cannot happen */
	VTD_OUT_UR,       /* unsupported request */
	VTD_OUT_CA,       /* completer abort */
	VTD_OUT_S0,       /* successful completion, all permissions 0 */
	VTD_OUT_SP,       /* successful completion with the effective permissions */
	VTD_OUT_IR,       /* page request: Invalid Request if last in group, else dropped */
};

#define VTD_FAULTS(F)                                                                              \
	F(VTD_FR_ROOT_NP, 0x01, 0, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,               \
	  "legacy root entry not present")                                                         \
	F(VTD_FR_CTX_NP, 0x02, 1, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,                \
	  "legacy context entry not present")                                                      \
	F(VTD_FR_CTX_INVALID, 0x03, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,           \
	  "legacy context entry: bad width, bad type or unreadable table")                         \
	F(VTD_FR_BEYOND_MGAW, 0x04, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_UR, VTD_OUT_NONE,           \
	  "address beyond the widths in force")                                                    \
	F(VTD_FR_WRITE, 0x05, 1, VTD_OUT_UR, VTD_OUT_SP, VTD_OUT_NONE, VTD_OUT_NONE,               \
	  "no write permission")                                                                   \
	F(VTD_FR_READ, 0x06, 1, VTD_OUT_UR, VTD_OUT_SP, VTD_OUT_NONE, VTD_OUT_NONE,                \
	  "no read permission")                                                                    \
	F(VTD_FR_SS_ACCESS, 0x07, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,           \
	  "second-stage entry unreadable")                                                         \
	F(VTD_FR_ROOT_ACCESS, 0x08, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,           \
	  "legacy root entry unreadable")                                                          \
	F(VTD_FR_CTX_ACCESS, 0x09, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,            \
	  "legacy context entry unreadable")                                                       \
	F(VTD_FR_ROOT_RSVD, 0x0a, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,             \
	  "reserved bit set in the legacy root entry")                                             \
	F(VTD_FR_CTX_RSVD, 0x0b, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,              \
	  "reserved bit set in the legacy context entry")                                          \
	F(VTD_FR_SS_RSVD, 0x0c, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,             \
	  "reserved bit set in a second-stage entry")                                              \
	F(VTD_FR_CTX_TT, 0x0d, 1, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,              \
	  "translation type forbids translation and translated requests")                          \
	F(VTD_FR_OUT_INTR, 0x0e, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,              \
	  "translation leads to the interrupt window")                                             \
	F(VTD_FR_IR_REQ_RSVD, 0x20, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,       \
	  "interrupt request with a reserved bit set")                                             \
	F(VTD_FR_IR_INDEX, 0x21, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,          \
	  "interrupt index beyond the table")                                                      \
	F(VTD_FR_IR_IRTE_NP, 0x22, 1, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,        \
	  "interrupt entry not present")                                                           \
	F(VTD_FR_IR_IRTE_ACCESS, 0x23, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,    \
	  "interrupt entry unreadable")                                                            \
	F(VTD_FR_IR_IRTE_RSVD, 0x24, 1, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,      \
	  "reserved bit set in the interrupt entry")                                               \
	F(VTD_FR_IR_COMPAT, 0x25, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,         \
	  "compatibility-format interrupt blocked")                                                \
	F(VTD_FR_IR_SID, 0x26, 1, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,            \
	  "interrupt from the wrong source id")                                                    \
	F(VTD_FR_IR_PD_ACCESS, 0x27, 1, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,      \
	  "posted-interrupt descriptor unreadable")                                                \
	F(VTD_FR_IR_PD_RSVD, 0x28, 1, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,        \
	  "reserved bit set in the posted-interrupt descriptor")                                   \
	F(VTD_FR_IR_WINDOW, 0x29, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,         \
	  "access to the interrupt window that is no interrupt message")                           \
	F(VTD_FR_IR_EIM, 0x2a, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,            \
	  "x2APIC interrupt mode is required and off")                                             \
	F(VTD_FR_IR_OFF, 0x2b, 0, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE,            \
	  "interrupt remapping is required and off")                                               \
	F(VTD_FR_TTM, 0x30, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_IR,                     \
	  "invalid translation table mode")                                                        \
	F(VTD_FR_LEGACY_PASID, 0x31, 0, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,          \
	  "request with PASID in legacy mode")                                                     \
	F(VTD_FR_LEGACY_PRQ, 0x32, 0, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_IR,        \
	  "page request in legacy mode")                                                           \
	F(VTD_FR_ABORT, 0x33, 0, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_IR, "abort-DMA mode") \
	F(VTD_FR_EXEC, 0x34, 0, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,                  \
	  "execute requested, major version 8 and later")                                          \
	F(VTD_FR_SROOT_ACCESS, 0x38, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_IR,            \
	  "scalable root entry unreadable")                                                        \
	F(VTD_FR_SROOT_NP, 0x39, 0, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_IR,                \
	  "scalable root entry: used half not present")                                            \
	F(VTD_FR_SROOT_RSVD, 0x3a, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_IR,              \
	  "reserved bit set in the used half of the scalable root entry")                          \
	F(VTD_FR_SCE_ACCESS, 0x40, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_IR,              \
	  "scalable context entry unreadable")                                                     \
	F(VTD_FR_SCE_NP, 0x41, 1, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_IR,                  \
	  "scalable context entry not present")                                                    \
	F(VTD_FR_SCE_RSVD, 0x42, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_IR,                \
	  "reserved bit set in the scalable context entry")                                        \
	F(VTD_FR_SCE_INVALID, 0x43, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_IR,             \
	  "scalable context entry contradicts itself")                                             \
	F(VTD_FR_SCE_DTE, 0x44, 1, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,             \
	  "translation or translated request, DTE is 0")                                           \
	F(VTD_FR_SCE_PASIDE, 0x45, 1, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE, VTD_OUT_IR,            \
	  "request with PASID, PASIDE is 0")                                                       \
	F(VTD_FR_PASID_BEYOND_DIR, 0x46, 1, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_IR,        \
	  "PASID beyond the directory")                                                            \
	F(VTD_FR_SCE_PRE, 0x47, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_IR,           \
	  "page request, PRE is 0")                                                                \
	F(VTD_FR_RID_PASID, 0x48, 1, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_IR,               \
	  "request's PASID is the RID_PASID")                                                      \
	F(VTD_FR_SCE_EPTR, 0x49, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_NONE,          \
	  "translated request with PASID, EPTR is 0")                                              \
	F(VTD_FR_PDIR_ACCESS, 0x50, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_CA, VTD_OUT_IR,             \
	  "PASID directory entry unreadable")                                                      \
	F(VTD_FR_PDIR_NP, 0x51, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_UR, VTD_OUT_IR,                 \
	  "PASID directory entry not present")                                                     \
	F(VTD_FR_PDIR_RSVD, 0x52, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_CA, VTD_OUT_IR,               \
	  "reserved bit set in the PASID directory entry")                                         \
	F(VTD_FR_PE_ACCESS, 0x58, 0, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_CA, VTD_OUT_IR,               \
	  "PASID entry unreadable")                                                                \
	F(VTD_FR_PE_NP, 0x59, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_UR, VTD_OUT_IR,                   \
	  "PASID entry not present")                                                               \
	F(VTD_FR_PE_RSVD, 0x5a, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_CA, VTD_OUT_IR,                 \
	  "reserved bit set in the PASID entry")                                                   \
	F(VTD_FR_PE_INVALID, 0x5b, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_CA, VTD_OUT_IR,              \
	  "PASID entry: bad width, type, paging mode or table address")                            \
	F(VTD_FR_PE_EXEC, 0x5c, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,             \
	  "execute requested, major version 7 and earlier")                                        \
	F(VTD_FR_PE_SRE, 0x5d, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,              \
	  "supervisor request, SRE is 0")                                                          \
	F(VTD_FR_HPT_SIZE, 0x60, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_NONE,          \
	  "translated address beyond the host permission table")                                   \
	F(VTD_FR_FS_ACCESS, 0x70, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,           \
	  "first-stage entry unreadable")                                                          \
	F(VTD_FR_FS_NP, 0x71, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,               \
	  "first-stage entry not present")                                                         \
	F(VTD_FR_FS_RSVD, 0x72, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,             \
	  "reserved bit set in a first-stage entry")                                               \
	F(VTD_FR_FS_ROOT_ACCESS, 0x73, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,      \
	  "top first-stage table unreadable")                                                      \
	F(VTD_FR_FS_BEYOND_MGAW, 0x74, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,      \
	  "nested: first-stage entry's address beyond the second stage")                           \
	F(VTD_FR_FS_ROOT_SS_READ, 0x75, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,     \
	  "nested: second stage forbids reading the top first-stage table")                        \
	F(VTD_FR_FS_SS_READ, 0x76, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,          \
	  "nested: second stage forbids reading a first-stage table")                              \
	F(VTD_FR_FS_SS_WRITE, 0x77, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,         \
	  "nested: second stage forbids updating a first-stage entry")                             \
	F(VTD_FR_SSS_ACCESS, 0x78, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,          \
	  "second-stage entry unreadable, scalable mode")                                          \
	F(VTD_FR_SSS_NP, 0x79, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,              \
	  "second-stage entry not present, scalable mode")                                         \
	F(VTD_FR_SSS_RSVD, 0x7a, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,            \
	  "reserved bit set in a second-stage entry, scalable mode")                               \
	F(VTD_FR_SSS_ROOT_ACCESS, 0x7b, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,     \
	  "top second-stage table unreadable, scalable mode")                                      \
	F(VTD_FR_SSS_AD_NOSNOOP, 0x7c, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,      \
	  "second-stage accessed/dirty update needed, walk not snooped")                           \
	F(VTD_FR_SSS_AD_FAILED, 0x7d, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_NONE, VTD_OUT_NONE,       \
	  "second-stage accessed/dirty update failed")                                             \
	F(VTD_FR_FS_CANONICAL, 0x80, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,        \
	  "address not canonical")                                                                 \
	F(VTD_FR_FS_USER, 0x81, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,             \
	  "user request to a supervisor page")                                                     \
	F(VTD_FR_PT_BEYOND_HAW, 0x83, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_UR, VTD_OUT_NONE,         \
	  "pass-through or translated address beyond the host width")                              \
	F(VTD_FR_SSS_BEYOND_MGAW, 0x84, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,     \
	  "address beyond the second stage's width, scalable mode")                                \
	F(VTD_FR_S_WRITE, 0x85, 1, VTD_OUT_UR, VTD_OUT_SP, VTD_OUT_NONE, VTD_OUT_NONE,             \
	  "no write permission, scalable mode")                                                    \
	F(VTD_FR_S_READ, 0x86, 1, VTD_OUT_UR, VTD_OUT_SP, VTD_OUT_NONE, VTD_OUT_NONE,              \
	  "no read permission, scalable mode")                                                     \
	F(VTD_FR_S_OUT_INTR, 0x87, 1, VTD_OUT_UR, VTD_OUT_CA, VTD_OUT_UR, VTD_OUT_NONE,            \
	  "translation leads to the interrupt window, scalable mode")                              \
	F(VTD_FR_PASID_BEYOND_PSS, 0x89, 1, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_UR, VTD_OUT_NONE,      \
	  "PASID wider than the unit supports")                                                    \
	F(VTD_FR_FS_AD_NOSNOOP, 0x90, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,       \
	  "first-stage accessed/dirty update needed, walk not snooped")                            \
	F(VTD_FR_FS_AD_FAILED, 0x91, 1, VTD_OUT_UR, VTD_OUT_S0, VTD_OUT_NONE, VTD_OUT_NONE,        \
	  "first-stage accessed/dirty update failed")                                              \
	F(VTD_FR_HPT_ACCESS, 0xa0, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_CA, VTD_OUT_NONE,        \
	  "host permission entry unreadable")                                                      \
	F(VTD_FR_HPT_RSVD, 0xa1, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_CA, VTD_OUT_NONE,          \
	  "reserved bit set in a host permission entry")                                           \
	F(VTD_FR_HPT_ROOT_ACCESS, 0xa2, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_CA, VTD_OUT_NONE,   \
	  "top host permission table unreadable")                                                  \
	F(VTD_FR_HPT_ZLR, 0xa3, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_NONE,           \
	  "host permission table forbids the zero-length read")                                    \
	F(VTD_FR_HPT_WRITE, 0xa4, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_NONE,         \
	  "host permission table forbids the write")                                               \
	F(VTD_FR_HPT_READ, 0xa5, 1, VTD_OUT_NONE, VTD_OUT_NONE, VTD_OUT_UR, VTD_OUT_NONE,          \
	  "host permission table forbids the read")

#define VIOMMU_SPEC_FAULT_ENUM(NAME, code, q, u, t, x, p, text) NAME = code,
enum vtd_fault_reason {
	VTD_FR_NONE = 0,
	VTD_FAULTS(VIOMMU_SPEC_FAULT_ENUM)
};
#undef VIOMMU_SPEC_FAULT_ENUM
/* clang-format on */

/* ------------------------------------------------------------------------------------------------
 * The same as tables, for inspector, documentation and tests. All of it is constant and lives as
 * long as the library; every function may be called from any thread.
 */

enum viommu_spec_kind {
	VIOMMU_SPEC_NORMAL,
	VIOMMU_SPEC_IGNORED,
	VIOMMU_SPEC_CONDITIONAL, /* reserved unless the capability named by need_* is there */
};

/* A capability register; VIOMMU_SPEC_CAP_NO: no condition. */
enum viommu_spec_cap {
	VIOMMU_SPEC_CAP_NO,
	VIOMMU_SPEC_CAP_CAP,
	VIOMMU_SPEC_CAP_ECAP,
};

struct viommu_spec_field {
	const char *name; /* the whole constant without _HI / _LO: "VTD_PE_PGTT" */
	const char *text;
	uint16_t hi;
	uint16_t lo;
	uint8_t kind;     /* enum viommu_spec_kind */
	uint8_t need_reg; /* enum viommu_spec_cap */
	uint64_t need;    /* mask in that register, any bit suffices */
};

struct viommu_spec_table {
	const char *name;  /* "VTD_PE" */
	const char *title; /* "PASID table entry" */
	unsigned int bits;
	unsigned int nr;
	const struct viommu_spec_field *fields;
};

/* NULL after the last. */
extern VIOMMU_API const struct viommu_spec_table *const viommu_spec_tables[];

/* The table with this name ("VTD_PE"), or NULL. */
VIOMMU_API const struct viommu_spec_table *viommu_spec_table_find(const char *name);

/* The field's name without its structure's prefix ("PGTT"); points into the table. */
VIOMMU_API const char *viommu_spec_field_name(const struct viommu_spec_table *table,
					      const struct viommu_spec_field *field);

/* The field's value in a structure of table->bits bits at words. */
VIOMMU_API uint64_t viommu_spec_field_get(const struct viommu_spec_field *field,
					  const uint64_t *words);

/* The bits of word w that are reserved on every unit. */
VIOMMU_API uint64_t viommu_spec_reserved(const struct viommu_spec_table *table, unsigned int w);

/* The same plus the conditional fields that a unit with these capabilities lacks. */
VIOMMU_API uint64_t viommu_spec_reserved_for(const struct viommu_spec_table *table, unsigned int w,
					     uint64_t cap, uint64_t ecap);

enum viommu_spec_base {
	VIOMMU_SPEC_BASE_FIX,
	VIOMMU_SPEC_BASE_IRO,
	VIOMMU_SPEC_BASE_FRO,
};

#define VIOMMU_SPEC_REG_WO         1u /* reads give 0 */
#define VIOMMU_SPEC_REG_HOOK       2u /* a write starts something */
#define VIOMMU_SPEC_REG_PER_RECORD 4u /* once per fault record, every 16 bytes */

struct viommu_spec_reg {
	const char *name; /* "RTADDR" */
	const char *text;
	const char *layout; /* name of the field table, "RAW" if none */
	uint16_t offset;
	uint8_t base;     /* enum viommu_spec_base */
	uint8_t width;    /* bits: 32 or 64 */
	uint8_t count;    /* this many in a row */
	uint8_t need_reg; /* enum viommu_spec_cap */
	uint16_t flags;   /* VIOMMU_SPEC_REG_... */
	uint64_t need;    /* mask in that register, any bit suffices */
	uint64_t reset;
	uint64_t writable;
	uint64_t rw1c;
	uint64_t sticky;
};

/* In the order of VTD_REGS: fixed ones by offset, then those with a base. */
extern VIOMMU_API const struct viommu_spec_reg viommu_spec_regs[];
extern VIOMMU_API const unsigned int viommu_spec_regs_nr;
/* Those of VTD_OLD_REGS. */
extern VIOMMU_API const struct viommu_spec_reg viommu_spec_old_regs[];
extern VIOMMU_API const unsigned int viommu_spec_old_regs_nr;

/* True if a unit with these capabilities has the register. */
VIOMMU_API int viommu_spec_reg_present(const struct viommu_spec_reg *reg, uint64_t cap,
				       uint64_t ecap);

struct viommu_spec_fault {
	const char *name; /* "VTD_FR_PE_NP" */
	const char *text;
	uint8_t code;
	uint8_t qualified;
	uint8_t u; /* enum viommu_outcome by kind of request */
	uint8_t t;
	uint8_t x;
	uint8_t p;
};

extern VIOMMU_API const struct viommu_spec_fault viommu_spec_faults[];
extern VIOMMU_API const unsigned int viommu_spec_faults_nr;

/* The row of a fault code, or NULL for a code that is not assigned. */
VIOMMU_API const struct viommu_spec_fault *viommu_fault_find(unsigned int code);

/* Name and text of a fault code; "unknown" for one that is not assigned. */
VIOMMU_API const char *viommu_fault_name(unsigned int code);
VIOMMU_API const char *viommu_fault_text(unsigned int code);

/*
 * What a request of this kind (enum viommu_request) gets that meets this fault; VTD_OUT_NONE if it
 * cannot meet it.
 */
VIOMMU_API enum viommu_outcome viommu_fault_outcome(unsigned int code, unsigned int request);

/* True if this outcome of this fault is to be recorded (unless FPD says otherwise). */
VIOMMU_API int viommu_fault_is_logged(unsigned int code, enum viommu_outcome outcome);

#ifdef __cplusplus
}
#endif

#endif /* VIOMMU_VTD_H */
