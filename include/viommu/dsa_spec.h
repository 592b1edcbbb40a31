/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dsa_spec.h - the Data Streaming Accelerator 1.0 as data: registers, descriptors, completion
 * records, commands and codes.
 *
 * Each structure is one list macro DSA_<PREFIX>_FIELDS(F), whose lines are F(NAME, hi, lo, "text")
 * with bit numbers of the whole structure; what no line covers is reserved. As in vtd.h, the
 * constants NAME_HI and NAME_LO come from the list, and its access macros work on them:
 *
 *	uint64_t desc[8];
 *
 *	switch (DSA_GET(desc, DSA_D_OPCODE)) ...
 *
 * A descriptor's fields depend on its operation: DSA_D_NAMES has them all, and there is one list
 * for the operands of each operation. Features of later revisions (event log, inter-domain
 * operations, 16-byte fills, CRC64, type conversion) are not here.
 *
 * All of it is constant data; any thread may read it.
 */
#ifndef VIOMMU_DSA_SPEC_H
#define VIOMMU_DSA_SPEC_H

#include <stdint.h>

#include <viommu/vtd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As in vtd.h; `words` points to the structure's 64-bit words. */
#define DSA_MASK(NAME)          VTD_MASK(NAME)
#define DSA_VAL(NAME, v)        VTD_VAL(NAME, v)
#define DSA_FIELD(word, NAME)   VTD_FIELD(word, NAME)
#define DSA_GET(words, NAME)    VTD_GET(words, NAME)
#define DSA_SET(words, NAME, v) VTD_SET(words, NAME, v)

/* clang-format off: the lists read better as they are */

/* ------------------------------------------------------------------------------------------------
 * Registers, BAR 0.
 */

#define DSA_VERSION_FIELDS(F)                       \
	F(DSA_VERSION_MINOR, 7, 0, "minor version") \
	F(DSA_VERSION_MAJOR, 15, 8, "major version")

#define DSA_GENCAP_FIELDS(F)                                                        \
	F(DSA_GENCAP_BOF, 0, 0, "block on fault")                                   \
	F(DSA_GENCAP_OVERLAP, 1, 1, "overlapping copy")                             \
	F(DSA_GENCAP_CACHE, 2, 2, "cache control")                                  \
	F(DSA_GENCAP_CMDCAP, 4, 4, "the command capabilities register is there")    \
	F(DSA_GENCAP_READBACK, 8, 8, "destination readback")                        \
	F(DSA_GENCAP_DRAIN_READBACK, 9, 9, "drain readback addresses")              \
	F(DSA_GENCAP_FILL16, 10, 10, "16-byte fill pattern")                        \
	F(DSA_GENCAP_FAULT_INFO, 12, 12, "fault information in completion records") \
	F(DSA_GENCAP_EVENT_LOG, 14, 13, "event log")                                \
	F(DSA_GENCAP_MAX_TRANSFER, 20, 16, "transfers of up to 2^n bytes")          \
	F(DSA_GENCAP_MAX_BATCH, 24, 21, "batches of up to 2^n descriptors")         \
	F(DSA_GENCAP_IMS, 30, 25, "interrupt message store, 256 entries each")      \
	F(DSA_GENCAP_CONFIGURABLE, 31, 31, "groups and queues can be configured")

#define DSA_WQCAP_FIELDS(F)                                            \
	F(DSA_WQCAP_TOTAL, 15, 0, "entries of all queues together")    \
	F(DSA_WQCAP_QUEUES, 23, 16, "queues")                          \
	F(DSA_WQCAP_CFG_SIZE, 27, 24, "WQCFG has 2^(n + 5) bytes")     \
	F(DSA_WQCAP_SHARED, 48, 48, "shared mode")                     \
	F(DSA_WQCAP_DEDICATED, 49, 49, "dedicated mode")               \
	F(DSA_WQCAP_ATS, 50, 50, "ATS can be disabled by queue")       \
	F(DSA_WQCAP_PRIORITY, 51, 51, "priorities")                    \
	F(DSA_WQCAP_OCCUPANCY, 52, 52, "occupancy")                    \
	F(DSA_WQCAP_OCCUPANCY_INT, 53, 53, "occupancy interrupt")      \
	F(DSA_WQCAP_OPCFG, 54, 54, "operations configurable by queue") \
	F(DSA_WQCAP_PRS, 55, 55, "page requests can be disabled by queue")

#define DSA_GRPCAP_FIELDS(F)                                   \
	F(DSA_GRPCAP_GROUPS, 7, 0, "groups")                   \
	F(DSA_GRPCAP_BUFFERS, 15, 8, "read buffers")           \
	F(DSA_GRPCAP_CONTROLS, 16, 16, "read buffer controls") \
	F(DSA_GRPCAP_LIMIT, 17, 17, "global read buffer limit")

#define DSA_ENGCAP_FIELDS(F) F(DSA_ENGCAP_ENGINES, 7, 0, "engines")

#define DSA_TABLES_FIELDS(F)                                            \
	F(DSA_TABLES_GRPCFG, 15, 0, "group configuration, 256 bytes")   \
	F(DSA_TABLES_WQCFG, 31, 16, "queue configuration, 256 bytes")   \
	F(DSA_TABLES_MSIXPERM, 47, 32, "MSI-X permissions, 256 bytes")  \
	F(DSA_TABLES_IMS, 63, 48, "interrupt message store, 256 bytes") \
	F(DSA_TABLES_PERFMON, 79, 64, "performance monitoring, 256 bytes")

#define DSA_GENCFG_FIELDS(F)                                  \
	F(DSA_GENCFG_LIMIT, 7, 0, "global read buffer limit") \
	F(DSA_GENCFG_USER_INT, 12, 12, "user-mode interrupts")

#define DSA_GENCTRL_FIELDS(F)                                       \
	F(DSA_GENCTRL_SWERROR, 0, 0, "interrupt on software error") \
	F(DSA_GENCTRL_HALT, 1, 1, "interrupt on halt")

#define DSA_GENSTS_FIELDS(F)               \
	F(DSA_GENSTS_STATE, 1, 0, "state") \
	F(DSA_GENSTS_RESET, 3, 2, "kind of reset that is needed")

#define DSA_INTCAUSE_FIELDS(F)                               \
	F(DSA_INTCAUSE_SWERROR, 0, 0, "software error")      \
	F(DSA_INTCAUSE_COMMAND, 1, 1, "command completed")   \
	F(DSA_INTCAUSE_OCCUPANCY, 2, 2, "queue below limit") \
	F(DSA_INTCAUSE_PERFMON, 3, 3, "performance counter") \
	F(DSA_INTCAUSE_HALT, 4, 4, "device halted")

#define DSA_CMD_FIELDS(F)                    \
	F(DSA_CMD_OPERAND, 19, 0, "operand") \
	F(DSA_CMD_CODE, 24, 20, "command")   \
	F(DSA_CMD_INT, 31, 31, "interrupt when done")

#define DSA_CMDSTS_FIELDS(F)                    \
	F(DSA_CMDSTS_ERROR, 7, 0, "error code") \
	F(DSA_CMDSTS_RESULT, 23, 8, "result")   \
	F(DSA_CMDSTS_ACTIVE, 31, 31, "active")

#define DSA_SWERROR_FIELDS(F)                                       \
	F(DSA_SWERROR_VALID, 0, 0, "valid")                         \
	F(DSA_SWERROR_OVERFLOW, 1, 1, "errors were lost")           \
	F(DSA_SWERROR_DESC, 2, 2, "descriptor fields are valid")    \
	F(DSA_SWERROR_WQ_VALID, 3, 3, "queue is valid")             \
	F(DSA_SWERROR_BATCH, 4, 4, "descriptor of a batch")         \
	F(DSA_SWERROR_WRITE, 5, 5, "access was a write")            \
	F(DSA_SWERROR_PRIV, 6, 6, "privileged")                     \
	F(DSA_SWERROR_INFO_VALID, 7, 7, "information is valid")     \
	F(DSA_SWERROR_CODE, 15, 8, "error code")                    \
	F(DSA_SWERROR_WQ, 23, 16, "queue")                          \
	F(DSA_SWERROR_OPCODE, 39, 32, "operation")                  \
	F(DSA_SWERROR_PASID, 59, 40, "PASID")                       \
	F(DSA_SWERROR_INDEX, 79, 64, "index in the batch")          \
	F(DSA_SWERROR_INFO, 127, 96, "information about the error") \
	F(DSA_SWERROR_ADDR, 191, 128, "address")

/* SWERROR_INFO of code 19h has the interrupt handle from this bit on. */
#define DSA_SWERROR_INFO_HANDLE 0

#define DSA_GRPCFG_FIELDS(F)                                                  \
	F(DSA_GRPCFG_WQS, 63, 0, "queues of the group")                       \
	F(DSA_GRPCFG_ENGINES, 319, 256, "engines of the group")               \
	F(DSA_GRPCFG_TC_A, 322, 320, "traffic class A")                       \
	F(DSA_GRPCFG_TC_B, 325, 323, "traffic class B")                       \
	F(DSA_GRPCFG_USE_LIMIT, 327, 327, "global read buffer limit is used") \
	F(DSA_GRPCFG_RESERVED, 335, 328, "read buffers reserved")             \
	F(DSA_GRPCFG_ALLOWED, 347, 340, "read buffers allowed")

#define DSA_WQCFG_FIELDS(F)                                                    \
	F(DSA_WQCFG_SIZE, 15, 0, "entries")                                    \
	F(DSA_WQCFG_THRESHOLD, 47, 32, "entries that limited portals may use") \
	F(DSA_WQCFG_DEDICATED, 64, 64, "dedicated mode")                       \
	F(DSA_WQCFG_BOF, 65, 65, "block on fault is allowed")                  \
	F(DSA_WQCFG_ATS_DISABLE, 66, 66, "ATS disabled")                       \
	F(DSA_WQCFG_PRS_DISABLE, 67, 67, "page requests disabled")             \
	F(DSA_WQCFG_PRIORITY, 71, 68, "priority")                              \
	F(DSA_WQCFG_PASID, 91, 72, "PASID")                                    \
	F(DSA_WQCFG_PASID_EN, 92, 92, "PASID enabled")                         \
	F(DSA_WQCFG_PRIV, 93, 93, "privileged")                                \
	F(DSA_WQCFG_MAX_TRANSFER, 100, 96, "transfers of up to 2^n bytes")     \
	F(DSA_WQCFG_MAX_BATCH, 104, 101, "batches of up to 2^n descriptors")   \
	F(DSA_WQCFG_MAX_SGL, 108, 105, "gather lists of up to 2^n entries")    \
	F(DSA_WQCFG_INT_HANDLE, 143, 128, "occupancy interrupt handle")        \
	F(DSA_WQCFG_INT_IMS, 144, 144, "that handle is in the IMS")            \
	F(DSA_WQCFG_LIMIT, 175, 160, "occupancy limit")                        \
	F(DSA_WQCFG_INT_EN, 176, 176, "occupancy interrupt enabled")           \
	F(DSA_WQCFG_OCCUPANCY, 207, 192, "occupancy")                          \
	F(DSA_WQCFG_INT_SENT, 208, 208, "occupancy interrupt was generated")   \
	F(DSA_WQCFG_MODE_SUPPORT, 221, 221, "mode can be configured")          \
	F(DSA_WQCFG_STATE, 223, 222, "state")                                  \
	F(DSA_WQCFG_OPS0, 319, 256, "operations allowed, 0 to 63")             \
	F(DSA_WQCFG_OPS1, 383, 320, "operations allowed, 64 to 127")           \
	F(DSA_WQCFG_OPS2, 447, 384, "operations allowed, 128 to 191")          \
	F(DSA_WQCFG_OPS3, 511, 448, "operations allowed, 192 to 255")

#define DSA_MSIXPERM_FIELDS(F)                                  \
	F(DSA_MSIXPERM_IGNORE, 2, 2, "interrupts are not sent") \
	F(DSA_MSIXPERM_PASID_EN, 3, 3, "only for this PASID")   \
	F(DSA_MSIXPERM_PASID, 31, 12, "PASID")

/* GENSTS.STATE; WQCFG.STATE has the first three, too. */
enum {
	DSA_STATE_DISABLED = 0,
	DSA_STATE_ENABLED = 1,
	DSA_STATE_DRAINING = 2,
	DSA_STATE_HALT = 3,
};

/* ------------------------------------------------------------------------------------------------
 * Descriptor, 64 bytes. Flags are numbered inside of DSA_D_FLAGS.
 */

#define DSA_D_NAMES(F)                                                      \
	F(DSA_D_PASID, 19, 0, "PASID (shared queues)")                      \
	F(DSA_D_PRIV, 31, 31, "privileged (shared queues)")                 \
	F(DSA_D_FLAGS, 55, 32, "flags")                                     \
	F(DSA_D_OPCODE, 63, 56, "operation")                                \
	F(DSA_D_CR, 127, 64, "completion record address")                   \
	F(DSA_D_A, 191, 128, "first address")                               \
	F(DSA_D_B, 255, 192, "second address")                              \
	F(DSA_D_SIZE, 287, 256, "bytes, or descriptors")                    \
	F(DSA_D_INT, 303, 288, "interrupt handle")                          \
	F(DSA_D_EXPECTED, 327, 320, "expected result")                      \
	F(DSA_D_DELTA, 383, 320, "delta record address")                    \
	F(DSA_D_DELTA_MAX, 415, 384, "bytes for the delta record")          \
	F(DSA_D_EXPECTED_MASK, 455, 448, "expected results")                \
	F(DSA_D_DELTA_SIZE, 351, 320, "bytes of the delta record")          \
	F(DSA_D_DST2, 383, 320, "second destination")                       \
	F(DSA_D_CRC_SEED, 351, 320, "CRC seed")                             \
	F(DSA_D_CRC_SEED_ADDR, 447, 384, "address of the CRC seed")         \
	F(DSA_D_DIF_SRC, 327, 320, "DIF source flags")                      \
	F(DSA_D_DIF_DST, 335, 328, "DIF destination flags")                 \
	F(DSA_D_DIF, 343, 336, "DIF flags")                                 \
	F(DSA_D_DIF_SRC_REF, 415, 384, "source reference tag")              \
	F(DSA_D_DIF_SRC_MASK, 431, 416, "source application tag mask")      \
	F(DSA_D_DIF_SRC_APP, 447, 432, "source application tag")            \
	F(DSA_D_DIF_DST_REF, 479, 448, "destination reference tag")         \
	F(DSA_D_DIF_DST_MASK, 495, 480, "destination application tag mask") \
	F(DSA_D_DIF_DST_APP, 511, 496, "destination application tag")

#define DSA_D_HEAD_FIELDS(F)                                \
	F(DSA_D_PASID, 19, 0, "PASID (shared queues)")      \
	F(DSA_D_PRIV, 31, 31, "privileged (shared queues)") \
	F(DSA_D_FLAGS, 55, 32, "flags")                     \
	F(DSA_D_OPCODE, 63, 56, "operation")                \
	F(DSA_D_CR, 127, 64, "completion record address")   \
	F(DSA_D_INT, 303, 288, "interrupt handle")

#define DSA_D_NOOP_FIELDS(F)  DSA_D_HEAD_FIELDS(F)
#define DSA_D_DRAIN_FIELDS(F) DSA_D_HEAD_FIELDS(F)

#define DSA_D_BATCH_FIELDS(F)                       \
	DSA_D_HEAD_FIELDS(F)                        \
	F(DSA_D_A, 191, 128, "list of descriptors") \
	F(DSA_D_SIZE, 287, 256, "descriptors")

#define DSA_D_MOVE_FIELDS(F)                \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_A, 191, 128, "source")      \
	F(DSA_D_B, 255, 192, "destination") \
	F(DSA_D_SIZE, 287, 256, "bytes")

#define DSA_D_FILL_FIELDS(F)                \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_A, 191, 128, "pattern")     \
	F(DSA_D_B, 255, 192, "destination") \
	F(DSA_D_SIZE, 287, 256, "bytes")

#define DSA_D_COMPARE_FIELDS(F)          \
	DSA_D_HEAD_FIELDS(F)             \
	F(DSA_D_A, 191, 128, "source 1") \
	F(DSA_D_B, 255, 192, "source 2") \
	F(DSA_D_SIZE, 287, 256, "bytes") \
	F(DSA_D_EXPECTED, 327, 320, "expected result")

#define DSA_D_COMPVAL_FIELDS(F)          \
	DSA_D_HEAD_FIELDS(F)             \
	F(DSA_D_A, 191, 128, "source")   \
	F(DSA_D_B, 255, 192, "pattern")  \
	F(DSA_D_SIZE, 287, 256, "bytes") \
	F(DSA_D_EXPECTED, 327, 320, "expected result")

#define DSA_D_CR_DELTA_FIELDS(F)                                   \
	DSA_D_HEAD_FIELDS(F)                                       \
	F(DSA_D_A, 191, 128, "source 1")                           \
	F(DSA_D_B, 255, 192, "source 2")                           \
	F(DSA_D_SIZE, 287, 256, "bytes")                           \
	F(DSA_D_DELTA, 383, 320, "delta record address")           \
	F(DSA_D_DELTA_MAX, 415, 384, "bytes for the delta record") \
	F(DSA_D_EXPECTED_MASK, 455, 448, "expected results")

#define DSA_D_AP_DELTA_FIELDS(F)             \
	DSA_D_HEAD_FIELDS(F)                 \
	F(DSA_D_A, 191, 128, "delta record") \
	F(DSA_D_B, 255, 192, "destination")  \
	F(DSA_D_SIZE, 287, 256, "bytes")     \
	F(DSA_D_DELTA_SIZE, 351, 320, "bytes of the delta record")

#define DSA_D_DUALCAST_FIELDS(F)              \
	DSA_D_HEAD_FIELDS(F)                  \
	F(DSA_D_A, 191, 128, "source")        \
	F(DSA_D_B, 255, 192, "destination 1") \
	F(DSA_D_SIZE, 287, 256, "bytes")      \
	F(DSA_D_DST2, 383, 320, "destination 2")

#define DSA_D_CRC_FIELDS(F)                     \
	DSA_D_HEAD_FIELDS(F)                    \
	F(DSA_D_A, 191, 128, "source")          \
	F(DSA_D_SIZE, 287, 256, "bytes")        \
	F(DSA_D_CRC_SEED, 351, 320, "CRC seed") \
	F(DSA_D_CRC_SEED_ADDR, 447, 384, "address of the CRC seed")

#define DSA_D_COPY_CRC_FIELDS(F)                \
	DSA_D_HEAD_FIELDS(F)                    \
	F(DSA_D_A, 191, 128, "source")          \
	F(DSA_D_B, 255, 192, "destination")     \
	F(DSA_D_SIZE, 287, 256, "bytes")        \
	F(DSA_D_CRC_SEED, 351, 320, "CRC seed") \
	F(DSA_D_CRC_SEED_ADDR, 447, 384, "address of the CRC seed")

#define DSA_D_DIF_SRC_FIELDS(F)                                        \
	F(DSA_D_DIF_SRC, 327, 320, "DIF source flags")                 \
	F(DSA_D_DIF_SRC_REF, 415, 384, "source reference tag")         \
	F(DSA_D_DIF_SRC_MASK, 431, 416, "source application tag mask") \
	F(DSA_D_DIF_SRC_APP, 447, 432, "source application tag")

#define DSA_D_DIF_DST_FIELDS(F)                                             \
	F(DSA_D_DIF_DST, 335, 328, "DIF destination flags")                 \
	F(DSA_D_DIF_DST_REF, 479, 448, "destination reference tag")         \
	F(DSA_D_DIF_DST_MASK, 495, 480, "destination application tag mask") \
	F(DSA_D_DIF_DST_APP, 511, 496, "destination application tag")

#define DSA_D_DIF_CHECK_FIELDS(F)           \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_A, 191, 128, "source")      \
	F(DSA_D_SIZE, 287, 256, "bytes")    \
	F(DSA_D_DIF, 343, 336, "DIF flags") \
	DSA_D_DIF_SRC_FIELDS(F)

#define DSA_D_DIF_INSERT_FIELDS(F)          \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_A, 191, 128, "source")      \
	F(DSA_D_B, 255, 192, "destination") \
	F(DSA_D_SIZE, 287, 256, "bytes")    \
	F(DSA_D_DIF, 343, 336, "DIF flags") \
	DSA_D_DIF_DST_FIELDS(F)

#define DSA_D_DIF_STRIP_FIELDS(F)           \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_A, 191, 128, "source")      \
	F(DSA_D_B, 255, 192, "destination") \
	F(DSA_D_SIZE, 287, 256, "bytes")    \
	F(DSA_D_DIF, 343, 336, "DIF flags") \
	DSA_D_DIF_SRC_FIELDS(F)

#define DSA_D_DIF_UPDATE_FIELDS(F)          \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_A, 191, 128, "source")      \
	F(DSA_D_B, 255, 192, "destination") \
	F(DSA_D_SIZE, 287, 256, "bytes")    \
	F(DSA_D_DIF, 343, 336, "DIF flags") \
	DSA_D_DIF_SRC_FIELDS(F)             \
	DSA_D_DIF_DST_FIELDS(F)

#define DSA_D_CFLUSH_FIELDS(F)              \
	DSA_D_HEAD_FIELDS(F)                \
	F(DSA_D_B, 255, 192, "destination") \
	F(DSA_D_SIZE, 287, 256, "bytes")

enum {
	DSA_FLAG_FENCE = 0x1,
	DSA_FLAG_BOF = 0x2,                /* block on fault */
	DSA_FLAG_CRAV = 0x4,               /* completion record address is valid */
	DSA_FLAG_RCR = 0x8,                /* completion record wanted */
	DSA_FLAG_RCI = 0x10,               /* completion interrupt wanted */
	DSA_FLAG_CACHE3 = 0x20,            /* cache control 3 */
	DSA_FLAG_CHECK = 0x80,             /* check the result */
	DSA_FLAG_CACHE1 = 0x100,           /* cache control 1 */
	DSA_FLAG_TC_A1 = 0x200,            /* traffic class of address 1 */
	DSA_FLAG_TC_A2 = 0x400,            /* of address 2 */
	DSA_FLAG_TC_A3 = 0x800,            /* of address 3 */
	DSA_FLAG_TC_CR = 0x1000,           /* of the completion record */
	DSA_FLAG_STRICT = 0x2000,          /* strict ordering */
	DSA_FLAG_CACHE2 = 0x4000,          /* cache control 2, destination readback */
	DSA_FLAG_DRAIN_NO_RB1 = 0x40000,   /* drain: no implicit readback, traffic class A */
	DSA_FLAG_DRAIN_NO_RB2 = 0x80000,   /* the same, class B */
	DSA_FLAG_CRC_READ_SEED = 0x10000,  /* CRC: seed is in memory */
	DSA_FLAG_CRC_NO_INVERT = 0x20000,  /* CRC: seed and result not inverted, not reflected */
	DSA_FLAG_CRC_NO_REFLECT = 0x40000, /* CRC: data not reflected */
};

/* DIF flags, source flags, destination flags. */
enum {
	DSA_DIF_BLOCK = 0x3, /* 512, 520, 4096, 4104 bytes */
	DSA_DIF_SEED_ONES = 0x4,
	DSA_DIF_INVERT = 0x8,

	DSA_DIF_SRC_ALL_F_ERROR = 0x01,
	DSA_DIF_SRC_ALL_F = 0x02,
	DSA_DIF_SRC_APP_F = 0x04,
	DSA_DIF_SRC_APP_REF_F = 0x08,
	DSA_DIF_SRC_APP_INC = 0x10,
	DSA_DIF_SRC_NO_GUARD = 0x20,
	DSA_DIF_SRC_NO_REF = 0x40,
	DSA_DIF_SRC_REF_FIXED = 0x80,

	DSA_DIF_DST_APP_PASS = 0x08,
	DSA_DIF_DST_APP_INC = 0x10,
	DSA_DIF_DST_GUARD_PASS = 0x20,
	DSA_DIF_DST_REF_PASS = 0x40,
	DSA_DIF_DST_REF_FIXED = 0x80,
};

/* Result of an operation on DIF with status 9. */
enum {
	DSA_DIF_ERROR_GUARD = 0x1,
	DSA_DIF_ERROR_APP = 0x2,
	DSA_DIF_ERROR_REF = 0x4,
	DSA_DIF_ERROR_ALL_F = 0x8,
};

/* ------------------------------------------------------------------------------------------------
 * Completion record, 32 bytes.
 */

#define DSA_CR_HEAD_FIELDS(F)                                         \
	F(DSA_CR_STATUS, 5, 0, "status")                              \
	F(DSA_CR_WRITE, 7, 7, "faulting access was a write")          \
	F(DSA_CR_RESULT, 15, 8, "result")                             \
	F(DSA_CR_COMPLETED, 63, 32, "bytes or descriptors completed") \
	F(DSA_CR_FAULT_ADDR, 127, 64, "fault address")

#define DSA_CR_FIELDS(F)      \
	DSA_CR_HEAD_FIELDS(F) \
	F(DSA_CR_BAD_FLAGS, 151, 128, "flags that are not allowed")

#define DSA_CR_DELTA_FIELDS(F) F(DSA_CR_DELTA_SIZE, 159, 128, "bytes of the delta record")

#define DSA_CR_CRC_FIELDS(F) F(DSA_CR_CRC, 191, 128, "CRC")

#define DSA_CR_DIF_FIELDS(F)                                             \
	F(DSA_CR_SRC_REF, 159, 128, "source reference tag")              \
	F(DSA_CR_SRC_MASK, 175, 160, "source application tag mask")      \
	F(DSA_CR_SRC_APP, 191, 176, "source application tag")            \
	F(DSA_CR_DST_REF, 223, 192, "destination reference tag")         \
	F(DSA_CR_DST_MASK, 239, 224, "destination application tag mask") \
	F(DSA_CR_DST_APP, 255, 240, "destination application tag")

/* Every structure: S(PREFIX, bits, title); T has no names of its own (see DSA_D_NAMES). */
#define DSA_STRUCTS(S, T)                                              \
	S(DSA_VERSION, 32, "version")                                  \
	S(DSA_GENCAP, 64, "general capabilities")                      \
	S(DSA_WQCAP, 64, "work queue capabilities")                    \
	S(DSA_GRPCAP, 64, "group capabilities")                        \
	S(DSA_ENGCAP, 64, "engine capabilities")                       \
	S(DSA_TABLES, 128, "offsets of tables")                        \
	S(DSA_GENCFG, 32, "general configuration")                     \
	S(DSA_GENCTRL, 32, "general control")                          \
	S(DSA_GENSTS, 32, "general status")                            \
	S(DSA_INTCAUSE, 32, "interrupt cause")                         \
	S(DSA_CMD, 32, "command")                                      \
	S(DSA_CMDSTS, 32, "command status")                            \
	S(DSA_SWERROR, 256, "software error")                          \
	S(DSA_GRPCFG, 512, "group configuration")                      \
	S(DSA_WQCFG, 512, "work queue configuration")                  \
	S(DSA_MSIXPERM, 64, "MSI-X permissions")                       \
	S(DSA_CR, 256, "completion record")                            \
	S(DSA_CR_DELTA, 256, "completion record of create delta")      \
	S(DSA_CR_CRC, 256, "completion record of CRC operations")      \
	S(DSA_CR_DIF, 256, "completion record of operations on DIF")   \
	T(DSA_D_NOOP, 512, "descriptor: no operation")                 \
	T(DSA_D_BATCH, 512, "descriptor: batch")                       \
	T(DSA_D_DRAIN, 512, "descriptor: drain")                       \
	T(DSA_D_MOVE, 512, "descriptor: memory move")                  \
	T(DSA_D_FILL, 512, "descriptor: fill")                         \
	T(DSA_D_COMPARE, 512, "descriptor: compare")                   \
	T(DSA_D_COMPVAL, 512, "descriptor: compare with a pattern")    \
	T(DSA_D_CR_DELTA, 512, "descriptor: create delta record")      \
	T(DSA_D_AP_DELTA, 512, "descriptor: apply delta record")       \
	T(DSA_D_DUALCAST, 512, "descriptor: dualcast")                 \
	T(DSA_D_CRC, 512, "descriptor: CRC generation")                \
	T(DSA_D_COPY_CRC, 512, "descriptor: copy with CRC generation") \
	T(DSA_D_DIF_CHECK, 512, "descriptor: DIF check")               \
	T(DSA_D_DIF_INSERT, 512, "descriptor: DIF insert")             \
	T(DSA_D_DIF_STRIP, 512, "descriptor: DIF strip")               \
	T(DSA_D_DIF_UPDATE, 512, "descriptor: DIF update")             \
	T(DSA_D_CFLUSH, 512, "descriptor: cache flush")

#define DSA_FIELD_ENUM(NAME, hi, lo, text)   NAME##_HI = hi, NAME##_LO = lo,
#define DSA_STRUCT_ENUM(PREFIX, bits, title) PREFIX##_FIELDS(DSA_FIELD_ENUM)
#define DSA_STRUCT_NONE(PREFIX, bits, title)
enum {
	DSA_STRUCTS(DSA_STRUCT_ENUM, DSA_STRUCT_NONE) DSA_D_NAMES(DSA_FIELD_ENUM)
};
#undef DSA_FIELD_ENUM
#undef DSA_STRUCT_ENUM
#undef DSA_STRUCT_NONE

/* ------------------------------------------------------------------------------------------------
 * Codes: C(NAME, code, "text").
 */

#define DSA_OPCODES(C)                             \
	C(DSA_OP_NOOP, 0x00, "no operation")       \
	C(DSA_OP_BATCH, 0x01, "batch")             \
	C(DSA_OP_DRAIN, 0x02, "drain")             \
	C(DSA_OP_MOVE, 0x03, "memory move")        \
	C(DSA_OP_FILL, 0x04, "fill")               \
	C(DSA_OP_COMPARE, 0x05, "compare")         \
	C(DSA_OP_COMPVAL, 0x06, "compare pattern") \
	C(DSA_OP_CR_DELTA, 0x07, "create delta")   \
	C(DSA_OP_AP_DELTA, 0x08, "apply delta")    \
	C(DSA_OP_DUALCAST, 0x09, "dualcast")       \
	C(DSA_OP_CRC, 0x10, "CRC generation")      \
	C(DSA_OP_COPY_CRC, 0x11, "copy with CRC")  \
	C(DSA_OP_DIF_CHECK, 0x12, "DIF check")     \
	C(DSA_OP_DIF_INSERT, 0x13, "DIF insert")   \
	C(DSA_OP_DIF_STRIP, 0x14, "DIF strip")     \
	C(DSA_OP_DIF_UPDATE, 0x15, "DIF update")   \
	C(DSA_OP_CFLUSH, 0x20, "cache flush")

/* Completion status; from 50h on only in SWERROR. */
#define DSA_STATUSES(C)                                                      \
	C(DSA_ST_SUCCESS, 0x01, "success")                                   \
	C(DSA_ST_FALSE, 0x02, "success, the result is not the expected one") \
	C(DSA_ST_PAGE_FAULT, 0x03, "page fault, not blocked on")             \
	C(DSA_ST_PAGE_INVALID, 0x04, "page request answered: invalid")       \
	C(DSA_ST_BATCH, 0x05, "a descriptor of the batch failed")            \
	C(DSA_ST_BATCH_FAULT, 0x06, "page fault on the batch's list")        \
	C(DSA_ST_DELTA_ORDER, 0x07, "delta record: offsets do not ascend")   \
	C(DSA_ST_DELTA_RANGE, 0x08, "delta record: offset out of range")     \
	C(DSA_ST_DIF, 0x09, "DIF error")                                     \
	C(DSA_ST_OPCODE, 0x10, "operation not supported")                    \
	C(DSA_ST_FLAGS, 0x11, "flags not allowed")                           \
	C(DSA_ST_RESERVED, 0x12, "reserved field is not 0")                  \
	C(DSA_ST_SIZE, 0x13, "transfer size")                                \
	C(DSA_ST_COUNT, 0x14, "number of descriptors")                       \
	C(DSA_ST_VALUE, 0x15, "size of the delta record")                    \
	C(DSA_ST_OVERLAP, 0x16, "buffers overlap")                           \
	C(DSA_ST_DUALCAST, 0x17, "destinations differ in bits 11:0")         \
	C(DSA_ST_LIST_ALIGN, 0x18, "list of descriptors is not aligned")     \
	C(DSA_ST_INT_HANDLE, 0x19, "interrupt handle")                       \
	C(DSA_ST_CR_FAULT, 0x1a, "completion record cannot be written")      \
	C(DSA_ST_CR_ALIGN, 0x1b, "completion record is not aligned")         \
	C(DSA_ST_ALIGN, 0x1c, "address or size is not aligned")              \
	C(DSA_ST_PRIV, 0x1d, "privilege not allowed")                        \
	C(DSA_ST_READ, 0x20, "error of a read")                              \
	C(DSA_ST_TRANSLATION, 0x22, "translation request failed")            \
	C(DSA_ST_PCI_CONTROL, 0x51, "PCI control changed while enabled")     \
	C(DSA_ST_COMMAND, 0x52, "command written while one is active")       \
	C(DSA_ST_WQ_FULL, 0x53, "dedicated queue overflowed")

#define DSA_COMMANDS(C)                                \
	C(DSA_CMD_ENABLE_DEVICE, 1, "enable device")   \
	C(DSA_CMD_DISABLE_DEVICE, 2, "disable device") \
	C(DSA_CMD_DRAIN_ALL, 3, "drain all")           \
	C(DSA_CMD_ABORT_ALL, 4, "abort all")           \
	C(DSA_CMD_RESET_DEVICE, 5, "reset device")     \
	C(DSA_CMD_ENABLE_WQ, 6, "enable queue")        \
	C(DSA_CMD_DISABLE_WQ, 7, "disable queues")     \
	C(DSA_CMD_DRAIN_WQ, 8, "drain queues")         \
	C(DSA_CMD_ABORT_WQ, 9, "abort queues")         \
	C(DSA_CMD_RESET_WQ, 10, "reset queues")        \
	C(DSA_CMD_DRAIN_PASID, 11, "drain PASID")      \
	C(DSA_CMD_ABORT_PASID, 12, "abort PASID")

#define DSA_COMMAND_ERRORS(C)                                            \
	C(DSA_CE_COMMAND, 0x01, "unknown command")                       \
	C(DSA_CE_WQ, 0x02, "no such queue")                              \
	C(DSA_CE_RESERVED, 0x04, "reserved bits are set")                \
	C(DSA_CE_HALTED, 0x05, "device is halted")                       \
	C(DSA_CE_DEV_ENABLED, 0x10, "device is not disabled")            \
	C(DSA_CE_BUS_MASTER, 0x12, "bus mastering is off")               \
	C(DSA_CE_WQ_SIZES, 0x14, "queues are larger than the total")     \
	C(DSA_CE_GROUP, 0x15, "group with only queues, or only engines") \
	C(DSA_CE_WQ_GROUP, 0x16, "queue not in exactly one group")       \
	C(DSA_CE_ENGINE_GROUP, 0x17, "engine in two groups")             \
	C(DSA_CE_BUFFERS, 0x18, "read buffers")                          \
	C(DSA_CE_DEV_OFF, 0x20, "device is not enabled")                 \
	C(DSA_CE_WQ_ENABLED, 0x21, "queue is not disabled")              \
	C(DSA_CE_WQ_SIZE, 0x22, "queue has no entries")                  \
	C(DSA_CE_WQ_PRIORITY, 0x23, "priority is 0")                     \
	C(DSA_CE_WQ_BOF, 0x25, "block on fault without page requests")   \
	C(DSA_CE_WQ_PASID, 0x26, "PASID enable")                         \
	C(DSA_CE_WQ_BATCH, 0x27, "batch or list size")                   \
	C(DSA_CE_WQ_TRANSFER, 0x28, "transfer size")                     \
	C(DSA_CE_WQ_PRIV, 0x2a, "privileged mode")                       \
	C(DSA_CE_WQ_OCCUPANCY, 0x2b, "occupancy interrupt")              \
	C(DSA_CE_WQ_OPS, 0x2d, "operations that are not supported")      \
	C(DSA_CE_WQ_PRS, 0x2e, "page requests cannot be disabled")       \
	C(DSA_CE_DEV_NOT_ENABLED, 0x31, "device is not enabled")         \
	C(DSA_CE_WQ_NOT_ENABLED, 0x32, "queue is not enabled")

#define DSA_CODE_ENUM(NAME, code, text) NAME = code,
enum viommu_dsa_opcode {
	DSA_OPCODES(DSA_CODE_ENUM)
};
enum viommu_dsa_status {
	DSA_STATUSES(DSA_CODE_ENUM)
};
enum viommu_dsa_command {
	DSA_COMMANDS(DSA_CODE_ENUM)
};
enum viommu_dsa_command_error {
	DSA_COMMAND_ERRORS(DSA_CODE_ENUM)
};
#undef DSA_CODE_ENUM

/* ------------------------------------------------------------------------------------------------
 * Register map of BAR 0.
 *
 * R(NAME, block, offset, width, count, LAYOUT, writable, rw1c, when, hook, text)
 *
 * block    REG: offset in the BAR; GRP, WQ, MSIX: in each entry of that table
 * width    bits of one register, 32 or 64; count of them follow each other
 * LAYOUT   prefix of the field list of the whole structure, RAW when there is none
 * writable bits that take the written value; rw1c: a written 1 clears
 * when     they take it: ALWAYS, DEV_OFF device disabled, WQ_OFF the queue disabled, INT_OFF the
 *          queue's occupancy interrupt not enabled
 */
#define DSA_ALL64 (~(uint64_t)0)

#define DSA_REGS(R)                                                                              \
	R(VERSION, REG, 0x00, 32, 1, DSA_VERSION, 0, 0, ALWAYS, NONE, "version")                 \
	R(GENCAP, REG, 0x10, 64, 1, DSA_GENCAP, 0, 0, ALWAYS, NONE, "general capabilities")      \
	R(WQCAP, REG, 0x20, 64, 1, DSA_WQCAP, 0, 0, ALWAYS, NONE, "work queue capabilities")     \
	R(GRPCAP, REG, 0x30, 64, 1, DSA_GRPCAP, 0, 0, ALWAYS, NONE, "group capabilities")        \
	R(ENGCAP, REG, 0x38, 64, 1, DSA_ENGCAP, 0, 0, ALWAYS, NONE, "engine capabilities")       \
	R(OPCAP, REG, 0x40, 64, 4, RAW, 0, 0, ALWAYS, NONE, "operations supported")              \
	R(TABLES, REG, 0x60, 64, 2, DSA_TABLES, 0, 0, ALWAYS, NONE, "offsets of tables")         \
	R(GENCFG, REG, 0x80, 32, 1, DSA_GENCFG,                                                  \
	  DSA_MASK(DSA_GENCFG_LIMIT) | DSA_MASK(DSA_GENCFG_USER_INT), 0, DEV_OFF, NONE,          \
	  "general configuration")                                                               \
	R(GENCTRL, REG, 0x88, 32, 1, DSA_GENCTRL,                                                \
	  DSA_MASK(DSA_GENCTRL_SWERROR) | DSA_MASK(DSA_GENCTRL_HALT), 0, ALWAYS, NONE,           \
	  "general control")                                                                     \
	R(GENSTS, REG, 0x90, 32, 1, DSA_GENSTS, 0, 0, ALWAYS, NONE, "general status")            \
	R(INTCAUSE, REG, 0x98, 32, 1, DSA_INTCAUSE, 0, 0x1f, ALWAYS, NONE, "interrupt cause")    \
	R(CMD, REG, 0xa0, 32, 1, DSA_CMD, 0, 0, ALWAYS, CMD, "command")                          \
	R(CMDSTS, REG, 0xa8, 32, 1, DSA_CMDSTS, 0, 0, ALWAYS, NONE, "command status")            \
	R(CMDCAP, REG, 0xb0, 64, 1, RAW, 0, 0, ALWAYS, NONE, "commands supported")               \
	R(SWERROR, REG, 0xc0, 64, 1, DSA_SWERROR, 0,                                             \
	  DSA_MASK(DSA_SWERROR_VALID) | DSA_MASK(DSA_SWERROR_OVERFLOW), ALWAYS, NONE,            \
	  "software error")                                                                      \
	R(SWERROR1, REG, 0xc8, 64, 3, RAW, 0, 0, ALWAYS, NONE, "software error, upper part")     \
	R(GRP_WQS, GRP, 0x00, 64, 4, DSA_GRPCFG, DSA_ALL64, 0, DEV_OFF, GRP_WQS,                 \
	  "queues of the group")                                                                 \
	R(GRP_ENGINES, GRP, 0x20, 64, 1, RAW, DSA_ALL64, 0, DEV_OFF, GRP_ENGINES,                \
	  "engines of the group")                                                                \
	R(GRP_FLAGS, GRP, 0x28, 32, 1, RAW, 0x0ff0ffbf, 0, DEV_OFF, NONE, "flags of the group")  \
	R(WQ_SIZE, WQ, 0x00, 32, 1, DSA_WQCFG, 0xffff, 0, DEV_OFF, NONE, "queue: entries")       \
	R(WQ_THRESHOLD, WQ, 0x04, 32, 1, RAW, 0xffff, 0, ALWAYS, NONE, "queue: threshold")       \
	R(WQ_MODE, WQ, 0x08, 32, 1, RAW, 0x3fffffff, 0, WQ_OFF, NONE, "queue: mode, PASID")      \
	R(WQ_MAX, WQ, 0x0c, 32, 1, RAW, 0x1fff, 0, WQ_OFF, NONE, "queue: largest transfers")     \
	R(WQ_INT, WQ, 0x10, 32, 1, RAW, 0x1ffff, 0, WQ_OFF, NONE, "queue: occupancy interrupt")  \
	R(WQ_LIMIT, WQ, 0x14, 32, 1, RAW, 0x1ffff, 0, INT_OFF, NONE, "queue: occupancy limit")   \
	R(WQ_STATE, WQ, 0x18, 32, 1, RAW, 0, 0x10000, ALWAYS, NONE, "queue: state")              \
	R(WQ_OPS, WQ, 0x20, 64, 4, RAW, DSA_ALL64, 0, WQ_OFF, NONE, "queue: operations allowed") \
	R(MSIXPERM, MSIX, 0x00, 32, 1, DSA_MSIXPERM, 0xfffff00c, 0, ALWAYS, NONE,                \
	  "MSI-X permissions")

/* clang-format on */

enum viommu_dsa_block {
	VIOMMU_DSA_BLOCK_REG,
	VIOMMU_DSA_BLOCK_GRP,
	VIOMMU_DSA_BLOCK_WQ,
	VIOMMU_DSA_BLOCK_MSIX,
};

enum viommu_dsa_when {
	VIOMMU_DSA_WHEN_ALWAYS,
	VIOMMU_DSA_WHEN_DEV_OFF,
	VIOMMU_DSA_WHEN_WQ_OFF,
	VIOMMU_DSA_WHEN_INT_OFF,
};

enum viommu_dsa_hook {
	VIOMMU_DSA_HOOK_NONE,
	VIOMMU_DSA_HOOK_CMD,
	VIOMMU_DSA_HOOK_GRP_WQS,     /* only queues that exist */
	VIOMMU_DSA_HOOK_GRP_ENGINES, /* only engines that exist */
};

struct viommu_dsa_reg {
	const char *name; /* "GENCAP" */
	const char *text;
	const char *layout; /* name of the table of its structure, "RAW" if none */
	uint16_t offset;
	uint8_t block; /* enum viommu_dsa_block */
	uint8_t width; /* bits: 32 or 64 */
	uint8_t count; /* this many in a row */
	uint8_t when;  /* enum viommu_dsa_when */
	uint8_t hook;  /* enum viommu_dsa_hook */
	uint8_t reserved;
	uint64_t writable;
	uint64_t rw1c;
};

extern VIOMMU_API const struct viommu_dsa_reg viommu_dsa_regs[];
extern VIOMMU_API const unsigned int viommu_dsa_regs_nr;

/* The structures of this header; NULL after the last. Use as those of vtd.h. */
extern VIOMMU_API const struct viommu_spec_table *const viommu_dsa_tables[];

enum viommu_dsa_codes {
	VIOMMU_DSA_CODES_OPCODE = 1,
	VIOMMU_DSA_CODES_STATUS = 2,
	VIOMMU_DSA_CODES_COMMAND = 3,
	VIOMMU_DSA_CODES_COMMAND_ERROR = 4,
};
/* The text of a code ("memory move"), or NULL if there is no such code. */
VIOMMU_API const char *viommu_dsa_code_text(enum viommu_dsa_codes codes, unsigned int code);
/* The layout of an operation's descriptor, or NULL. */
VIOMMU_API const struct viommu_spec_table *viommu_dsa_descriptor(unsigned int opcode);

#ifdef __cplusplus
}
#endif
#endif
