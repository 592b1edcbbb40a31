/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/types.h - words that every other header uses: PASIDs, requests, faults, results.
 *
 * Three kinds of wrong, three mechanisms:
 *   - the caller or the host went wrong: a function returns -errno (see viommu/error.h for the one
 *     table);
 *   - the guest or a device went wrong in a way the specification describes: a function returns
 *     VIOMMU_FAULTED and fills a struct viommu_fault;
 *   - viommu itself went wrong: an assertion aborts. Nothing a guest or a device says can cause
 *     one.
 */
#ifndef VIOMMU_TYPES_H
#define VIOMMU_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(VIOMMU_BUILD) && defined(__GNUC__)
#define VIOMMU_API __attribute__((visibility("default")))
#else
#define VIOMMU_API
#endif

/*
 * A function that translates or accesses returns 0, a negative errno, or this: a fault was
 * described.
 */
#define VIOMMU_FAULTED 1

/* PASIDs are 20 bits wide. VIOMMU_NO_PASID stands for a request without PASID. */
#define VIOMMU_PASID_BITS 20
#define VIOMMU_PASID_MAX  0xfffffu
#define VIOMMU_NO_PASID   0xffffffffu
/* Only in invalidations told to a device: every PASID it has, and its requests without. */
#define VIOMMU_ALL_PASIDS 0xfffffffeu

/*
 * A guest PASID and a host PASID are different types on purpose: to confuse them is the bug of this
 * field.
 */
struct viommu_gp {
	uint32_t v;
};

struct viommu_hp {
	uint32_t v;
};

/*
 * What a request wants, and how it was sent. READ and WRITE may be set together; an atomic needs
 * both.
 */
#define VIOMMU_READ  0x01u
#define VIOMMU_WRITE 0x02u
/* Execute-Requested: always ends in a fault; VER.major decides in which */
#define VIOMMU_EXEC        0x04u
#define VIOMMU_PRIV        0x08u /* Privileged-mode Requested (only with a PASID) */
#define VIOMMU_ATOMIC      0x10u
#define VIOMMU_ZERO_LENGTH 0x20u /* a read of no bytes */

/* Kinds of request, as the specification's AT field and message types tell them apart. */
enum viommu_request {
	VIOMMU_REQ_UNTRANSLATED = 0,
	VIOMMU_REQ_TRANSLATION = 1, /* ATS translation request */
	VIOMMU_REQ_TRANSLATED = 2,  /* ATS translated request */
	VIOMMU_REQ_PAGE = 3,        /* page request message */
};

/*
 * struct viommu_fault.stage when the fault lies in the root, context or PASID tables, before any
 * stage.
 */
#define VIOMMU_STAGE_PATH 0xffu

/* struct viommu_fault.flags */
/* FPD set somewhere on the path and the reason is qualified: not to be recorded */
#define VIOMMU_FAULT_FPD       0x01u
#define VIOMMU_FAULT_HAS_PASID 0x02u
/* The domain's memory or second stage was in the way: nothing a guest's tables or page can mend. */
#define VIOMMU_FAULT_HOST 0x04u

/* A fault, as the walker or the table path found it. Plain data; 48 bytes. */
struct viommu_fault {
	uint8_t reason; /* VTD_FR_*: the specification's fault reason; 0 = no fault */
	/* index in the stack, 0 = the stage the device's address enters; VIOMMU_STAGE_PATH */
	uint8_t stage;
	/* level of the entry, 1 = the table of 4-KiB entries; 0 = no entry was involved */
	uint8_t level;
	uint8_t flags;   /* VIOMMU_FAULT_* */
	uint16_t sid;    /* requester id: bus << 8 | device << 3 | function */
	uint8_t access;  /* VIOMMU_READ ... of the request */
	uint8_t request; /* enum viommu_request */
	uint32_t pasid;  /* PASID used, or VIOMMU_NO_PASID */
	uint32_t reserved;
	uint64_t addr;       /* address that the device sent */
	uint64_t stage_addr; /* address at the input of the stage that faulted */
	/* address of the entry, in the address space its table lives in; 0 if none */
	uint64_t entry_addr;
	uint64_t entry; /* value of the entry (first 64 bits), 0 if none or not read */
};

#ifdef __cplusplus
}
#endif
#endif
