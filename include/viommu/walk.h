/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/walk.h - translation is composition of stages.
 *
 * A stage is a page-table format, a root and its rules. A stack is up to four stages over one
 * physical memory; stage 0 is where the device's address enters. The tables of stage i live in the
 * input address space of stage i + 1, those of the last stage in physical memory: so a walk of n
 * stages with L levels reads (L + 1)^n - 1 entries.
 *
 * Formats (VT-d 5.10): first stage with 4 or 5 levels, second stage with 3, 4 or 5. What an entry
 * may hold, which bits are reserved and which fault ends a walk is that revision's; execute-disable
 * is ignored.
 */
#ifndef VIOMMU_WALK_H
#define VIOMMU_WALK_H

#include <viommu/mem.h>
#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum viommu_format {
	VIOMMU_FORMAT_VTD_FS = 1, /* first stage (x86-64 paging) */
	VIOMMU_FORMAT_VTD_SS = 2, /* second stage */
};

/* struct viommu_stage.flags */
/* 2-MiB leaves allowed (SS: SSLPS bit 0; the first stage always has them) */
#define VIOMMU_STAGE_2M  0x0001u
#define VIOMMU_STAGE_1G  0x0002u /* 1-GiB leaves allowed (FS1GP, SSLPS bit 1) */
#define VIOMMU_STAGE_SRE 0x0004u /* FS: supervisor requests allowed */
/* FS: write protection for supervisor requests */
#define VIOMMU_STAGE_WPE  0x0008u
#define VIOMMU_STAGE_EAFE 0x0010u /* FS: set EA together with A */
/* SS: keep accessed and dirty bits (SSADE). The first stage always keeps them */
#define VIOMMU_STAGE_AD 0x0020u
/* walks are snooped (PWSNP with SMPWCS, ECAP.C in legacy mode): A/D can be updated */
#define VIOMMU_STAGE_SNOOP 0x0040u
/* SS: SNP bit of leaves is defined (ECAP.SC) */
#define VIOMMU_STAGE_SNP 0x0080u
/* SS: bits 61 and 62 are I/O read / write permission (RTADDR.SSIRWE) */
#define VIOMMU_STAGE_IORW 0x0100u
/* SS in legacy mode: fault reasons 03h-0Eh instead of 78h-87h */
#define VIOMMU_STAGE_LEGACY 0x0200u
/* SS: EMT and IPAT of leaves are defined (ECAP.MTS and EMTE), else ignored */
#define VIOMMU_STAGE_MTS 0x0400u
/* SS in legacy mode: zero-length reads pass on write-only pages (CAP.ZLR) */
#define VIOMMU_STAGE_ZLR 0x0800u

/* One stage. Plain data, 32 bytes. */
struct viommu_stage {
	uint8_t format; /* enum viommu_format */
	uint8_t levels; /* FS 4, 5; SS 3, 4, 5 */
	uint8_t haw;    /* 32..52: address bits of its entries; bits 51:haw are reserved */
	/* SS: min(MGAW, width of AW); FS: ignored (48 or 57, canonical) */
	uint8_t input_bits;
	uint32_t flags;       /* VIOMMU_STAGE_* */
	uint64_t root;        /* address of the top table, a multiple of 4096 */
	uint64_t reserved[2]; /* 0 */
};

#define VIOMMU_STACK_MAX 4u

struct viommu_stack {
	uint32_t nr; /* 0..VIOMMU_STACK_MAX; 0 = pass-through */
	/*
	 * physical address width: nr 0 checks the input (83h), every stack its output (no check if
	 * 0)
	 */
	uint8_t haw;
	uint8_t reserved[3];
	struct viommu_stage stage[VIOMMU_STACK_MAX];
	struct viommu_mem *mem; /* where the last stage's tables and the output lie */
};

/* What a step of a walk is. */
enum viommu_step_kind {
	VIOMMU_STEP_READ = 1, /* an entry was read */
	/* bits were set in it (or would be, with VIOMMU_WALK_DRY) */
	VIOMMU_STEP_UPDATE = 2,
	VIOMMU_STEP_OUTPUT = 3, /* a stage finished: value is its output address */
};

struct viommu_step {
	uint8_t kind; /* enum viommu_step_kind */
	/* index in the stack; VIOMMU_STAGE_PATH for root, context and PASID tables */
	uint8_t stage;
	uint8_t level;    /* of the entry; 0 for OUTPUT */
	uint8_t page_lg2; /* OUTPUT: 12, 21, 30 */
	/* how many table reads of upper stages this one serves (0 = on the main line) */
	uint32_t depth;
	uint64_t input; /* address that this stage was asked for */
	/* where the entry lies, in the address space of its table (GPA for a guest's tables) */
	uint64_t entry_addr;
	uint64_t phys;  /* the same in physical memory */
	uint64_t value; /* entry as read; UPDATE: bits set; OUTPUT: address */
	/* READ in the table path: "root entry", "PASID entry" ...; else NULL */
	const char *name;
};

/*
 * Called for every step, in order, on the calling thread. It must not call back into the object
 * walked.
 */
struct viommu_recorder {
	void (*step)(struct viommu_recorder *rec, const struct viommu_step *step);
};

/* Permissions of a result. */
#define VIOMMU_PERM_R  0x1u /* for user requests */
#define VIOMMU_PERM_W  0x2u
#define VIOMMU_PERM_SR 0x4u /* for supervisor requests */
#define VIOMMU_PERM_SW 0x8u

struct viommu_walk_result {
	uint64_t out; /* physical address */
	/*
	 * the byte at out in this process, NULL if out lies in no region (or a write, and it is
	 * read-only)
	 */
	void *host;
	uint8_t page_lg2; /* size of the translation: smallest leaf over all stages */
	/*
	 * VIOMMU_PERM_*, AND of all stages; a write permission is given only where D is set or not
	 * kept
	 */
	uint8_t perm;
	uint8_t snp; /* SS leaf's SNP bit was set */
	uint8_t reserved;
	uint32_t reads; /* table entries read */
	/* valid when VIOMMU_FAULTED was returned; sid and pasid are left 0 / NO_PASID */
	struct viommu_fault fault;
};

/* flags of viommu_walk(), besides VIOMMU_READ ... of the access in `access` */
/* set no accessed or dirty bit: UPDATE steps say what would be set */
#define VIOMMU_WALK_DRY 0x1u

/*
 * Translate addr. access: VIOMMU_READ, _WRITE, _PRIV, _ATOMIC (needs R and W), _ZERO_LENGTH (a
 * read); EXEC is judged by the table path. rec may be NULL; then recording costs nothing. 0,
 * VIOMMU_FAULTED, or -EINVAL for a stack that is not well formed, an access that neither reads nor
 * writes, or an unknown flag. Any thread; memory regions cannot go away during the call.
 *
 * Faults name stage, level, entry and the address at that stage's input (fault.stage_addr):
 *  - level 0, no entry: input not canonical (80h) or too wide (84h), supervisor request without SRE
 *    (5Dh), root table beyond the stage below (5Bh); output beyond haw (83h) or in the interrupt
 *    window (87h, 0Eh in legacy mode), which name the last stage;
 *  - missing permission (81h, 85h, 86h; 79h if neither R nor W survives): the leaf;
 *  - a stage may not read (75h top table, 76h others) or update (77h) its tables through those
 *    below: the stage that has the table, with the entry that was to be read or updated;
 *  - everything else, also when met while reading an upper stage's table: where the entry lies.
 *
 * A guest may edit its tables meanwhile: the result is that of one state between begin and end (a
 * recorder then sees the steps of every try, `reads` counts the last). After 64 tries the last one
 * is taken as it is, or is 91h / 7Dh if it lost an update.
 *
 * Choices the specification leaves: accessed bits are set from the top down, so a walk that faults
 * has set them above the fault, and nothing in a leaf that forbids the request; reading a table
 * through a stage that keeps A/D bits counts as a write there; a first stage below another sees
 * table reads as user requests; with IORW bits 61 and 62 replace bits 0 and 1, which only say what
 * is present.
 */
VIOMMU_API int viommu_walk(const struct viommu_stack *stack, uint64_t addr, uint32_t access,
			   uint32_t flags, struct viommu_recorder *rec,
			   struct viommu_walk_result *out);

#ifdef __cplusplus
}
#endif
#endif
