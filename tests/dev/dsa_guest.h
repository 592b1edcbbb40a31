/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A scripted guest with an accelerator: memory of a process, registers, portals, and an answer to
 * page requests. Work runs when the test says so: dsa_guest_run() is the worker thread's step.
 */
#ifndef VIOMMU_TEST_DSA_GUEST_H
#define VIOMMU_TEST_DSA_GUEST_H

#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>

#include "host/world.h"

/* The process's memory: one range of small pages, contiguous in the test's memory, too. */
#define GUEST_PAGES 1536u
#define GUEST_VA    WORLD_VA
#define GUEST_GP    5u

enum guest_answer {
	ANSWER_MAP,     /* the page is there now: success */
	ANSWER_NOTHING, /* success, and it is not there */
	ANSWER_INVALID,
	ANSWER_FAILURE,
	ANSWER_LATER, /* the test answers */
};

struct guest {
	struct world w;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	uint8_t *mem; /* GUEST_VA */
	enum guest_answer answer;
	int no_gp; /* the guest's PASID has no place in the host */
	/* while the first page request is answered, this page goes; the next get another answer */
	uint64_t vanish;
	enum guest_answer then;

	pthread_mutex_t lock; /* of the following */
	pthread_cond_t cond;
	unsigned int requests;
	struct viommu_page_request last;
	unsigned int interrupts[16];
	unsigned int kicks;
	uint64_t hidden[GUEST_PAGES]; /* entries of pages that are not there */
	int stop;
	struct guest_worker {
		struct guest *g;
		struct viommu_dma *dma;
		pthread_t thread;
	} worker[4];
	unsigned int workers;
};

struct guest_config {
	struct viommu_dsa_config dsa; /* .size is set */
	int no_ats;
	int no_pri;       /* not enabled */
	int no_pasid;     /* not enabled */
	int no_master;    /* not enabled */
	int no_enable;    /* device and queue are left alone */
	int no_pasid_q;   /* queue 0 is without PASID */
	int shared;       /* queue 0 is shared */
	int no_bof;       /* queue 0 does not allow block on fault */
	uint32_t wq_bits; /* more bits for dword 2 of queue 0 */
	int host_no_ats;  /* the host's device has no ATS, whatever the function says */
};

void guest_open(struct guest *g, const struct guest_config *config);
void guest_close(struct guest *g);

uint32_t guest_read32(struct guest *g, uint32_t offset);
uint64_t guest_read64(struct guest *g, uint32_t offset);
void guest_write32(struct guest *g, uint32_t offset, uint32_t value);
void guest_write64(struct guest *g, uint32_t offset, uint64_t value);
uint16_t guest_config16(struct guest *g, uint32_t offset);
void guest_set_config16(struct guest *g, uint32_t offset, uint16_t value);
/* Offset of an extended capability; 0 if there is none. */
uint32_t guest_capability(struct guest *g, uint16_t id);

/* Writes the command and gives CMDSTS after it. */
uint32_t guest_command(struct guest *g, unsigned int code, uint32_t operand);
/* dword of WQCFG, GRPCFG */
#define WQCFG(wq, dword)  (0x500u + (wq)*64u + 4u * (dword))
#define GRPCFG(gr, dword) (0x400u + (gr)*64u + 4u * (dword))
#define MSIXPERM(n)       (0x800u + 8u * (n))

#define WQ_DEDICATED   0x1u
#define WQ_BOF         0x2u
#define WQ_PASID(p)    ((uint32_t)(p) << 8 | 1u << 28)
#define WQ_PRIORITY(p) ((uint32_t)(p) << 4)

/* Queue: size, threshold = size, dword 2; no command. */
void guest_queue(struct guest *g, unsigned int wq, unsigned int size, uint32_t bits);

/* ---- Descriptors ---- */

struct desc {
	uint64_t w[8];
};
struct record {
	uint64_t w[4];
};

/* Where the record of guest_do() lies: the first page is for records. */
#define GUEST_RECORD (GUEST_VA + 0x40)

/* An operation with record, on memory of the process. */
struct desc desc_make(unsigned int op, uint32_t flags, uint64_t a, uint64_t b, uint32_t size);
/* 64-byte store as the bus brings it: eight writes. */
void guest_submit(struct guest *g, uint64_t portal, const struct desc *d);
/* Steps until there is nothing to do; how many did something. */
unsigned int guest_run(struct guest *g);
/* Submits to queue 0, runs, reads the record at the descriptor's address. */
struct record guest_do(struct guest *g, const struct desc *d);

static inline unsigned int record_status(const struct record *r)
{
	return (unsigned int)(r->w[0] & 0x3f);
}

static inline unsigned int record_result(const struct record *r)
{
	return (unsigned int)(r->w[0] >> 8 & 0xff);
}

static inline uint32_t record_completed(const struct record *r)
{
	return (uint32_t)(r->w[0] >> 32);
}

/* Threads that run whatever there is; guest_close() ends them, if not _stop(). */
void guest_workers_start(struct guest *g, unsigned int n);
void guest_workers_stop(struct guest *g);

/* ---- Pages ---- */

static inline uint8_t *guest_ptr(struct guest *g, uint64_t va)
{
	return g->mem + (va - GUEST_VA);
}

/* The page at va is not there until a page request brings it. */
void guest_hide(struct guest *g, uint64_t va);
void guest_show(struct guest *g, uint64_t va);
/* Writes end in a fault. */
void guest_protect(struct guest *g, uint64_t va);
/* Answers the last request. */
void guest_respond(struct guest *g, uint16_t code);
/* Waits until so many requests came in. */
void guest_wait_requests(struct guest *g, unsigned int n);
void guest_wait_interrupts(struct guest *g, unsigned int vector, unsigned int n);

#endif /* VIOMMU_TEST_DSA_GUEST_H */
