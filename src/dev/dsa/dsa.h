/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dev/dsa/dsa.h - the accelerator's inside.
 *
 *	portal write --> queue (ring of entries) --pick--> engine --> job: check, run, complete
 *	   dsa/queue.c                          dsa/queue.c      dsa/exec.c, ops.c, crc.c, dif.c
 *	register write --> image, hooks --> command: at once, or when the jobs it waits for ended
 *	   dsa/regs.c                       dsa/command.c
 *
 * One lock guards registers, queues, engines and the command. It is held for table look-ups and
 * copies of 64 bytes, never during an access to guest memory, and nothing of the framework is
 * called with it: vectors to send and the kick wait in the device until dsa_unlock().
 *
 * A job belongs to the thread that runs it. What others may tell it is engine->abort. One that was
 * suspended waits in its engine, which stays busy, until somebody takes it again:
 *
 *	START --checks, page of the record--> OPERATE --result--> COMPLETE --record--> end
 *
 * It goes on in its stage: START from its beginning, OPERATE from `completed` and what the
 * operation keeps in tail and last, COMPLETE with its record.
 */
#ifndef VIOMMU_DEV_DSA_H
#define VIOMMU_DEV_DSA_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"

/* BAR 0 */
#define DSA_BAR0_BYTES UINT64_C(0x10000)
#define DSA_IMAGE      0x1000u /* registers and tables lie below */
#define DSA_DUMMY      0xf000u /* dummy portal, up to the end */
#define DSA_GRPCFG     0x400u
#define DSA_WQCFG      0x500u
#define DSA_MSIXPERM   0x800u
#define DSA_MSIX_TABLE 0x2000u
#define DSA_MSIX_PBA   0x3000u

#define DSA_REG_VERSION  0x00u
#define DSA_REG_GENCAP   0x10u
#define DSA_REG_WQCAP    0x20u
#define DSA_REG_GRPCAP   0x30u
#define DSA_REG_ENGCAP   0x38u
#define DSA_REG_OPCAP    0x40u
#define DSA_REG_TABLES   0x60u
#define DSA_REG_GENCFG   0x80u
#define DSA_REG_GENCTRL  0x88u
#define DSA_REG_GENSTS   0x90u
#define DSA_REG_INTCAUSE 0x98u
#define DSA_REG_CMD      0xa0u
#define DSA_REG_CMDSTS   0xa8u
#define DSA_REG_CMDCAP   0xb0u
#define DSA_REG_SWERROR  0xc0u

/* BAR 2: each queue has four pages. */
#define DSA_PORTAL_LG2   14
#define DSA_PORTAL_PAGES 4u
#define DSA_PORTAL_IMS   2u /* page number bit: interrupt handles are in the IMS */
#define DSA_PORTAL_LIMIT 1u /* page number bit: only up to the threshold */

#define DSA_OPCAP0       UINT64_C(0x1003f03ff)
#define DSA_COMMANDS_ALL 0x1ffeu /* 1 to 12 */
#define DSA_READ_BUFFERS 96u
#define DSA_OPS          (DSA_OP_CFLUSH + 1u)

/* A job that was told to stop leaves no record: no status of the specification. */
#define DSA_ABORTED 0xffu
/* The function pauses: the job leaves its thread with what it has done, and goes on later. */
#define DSA_SUSPENDED 0xfeu

/*
 * Bytes that an operation moves between two looks at engine->abort, and the size of an engine's
 * buffers. A buffer holds seven blocks of 4,104 + 8 bytes.
 */
#define DSA_MOVE_BYTES   (UINT64_C(1) << 18)
#define DSA_BUFFER_BYTES 32768u
#define DSA_BUFFERS      3u

/* Of a delta record, bytes: a 16-bit index of 8-byte words, then the word. */
#define DSA_DELTA_ENTRY 10u

struct dsa_entry {
	uint64_t w[8];
	uint64_t ticket; /* submissions are numbered from 1 */
	bool ims;
};

/* Guarded by the lock, as everything up to the registers. */
struct dsa_queue {
	struct dsa_entry *ring; /* of `size` entries, part of dsa->entries; set at device enable */
	uint32_t size;
	uint32_t head;
	uint32_t count;   /* waiting */
	uint32_t running; /* taken by engines */
	int32_t credit;   /* of the weighted choice */
};

/* How far a job is. */
enum dsa_stage {
	DSA_STAGE_START,
	DSA_STAGE_OPERATE,
	DSA_STAGE_COMPLETE,
};

struct dsa_job {
	struct viommu_dsa *dsa;
	struct dsa_engine *engine;
	struct viommu_dma *dma;
	uint64_t w[8];
	unsigned int wq;
	unsigned int index; /* in its batch */
	bool in_batch;
	bool ims;
	/* of the queue, as they were when the job was taken */
	bool dedicated;
	bool bof;      /* BOF may be asked for */
	bool user_int; /* interrupts may be asked for */
	bool ats_off, prs_off;
	bool priv;
	bool int_ok;    /* the handle is good, and the interrupt is wanted */
	uint32_t pasid; /* the guest's, or VIOMMU_NO_PASID */
	uint64_t ops;   /* operations allowed */
	uint64_t max_transfer;
	uint64_t max_batch;
	/* while it runs */
	bool ats, prs;
	bool suspended;
	bool failed;   /* a batch: one of those before did not succeed */
	uint8_t stage; /* enum dsa_stage */
	unsigned int op;
	uint32_t flags;
	int64_t last; /* apply delta: the index before, -1 = none */
	/* what comes of it */
	bool fault_write;
	uint8_t status; /* enum viommu_dsa_status, or DSA_ABORTED */
	uint8_t result;
	uint32_t bad_flags;
	uint32_t completed; /* of a batch that runs: its next descriptor */
	uint64_t fault_addr;
	uint64_t tail[2];
	/* for the statistics, with those of its batch */
	uint64_t moved;
	uint32_t ran;
	uint32_t errors;
	bool batch;
};

struct dsa_engine {
	bool busy;
	bool parked;    /* its job is suspended, and in here */
	bool in_member; /* as is the one of its batch that was running */
	uint32_t abort; /* atomic: the job reads it without the lock */
	uint32_t wq;
	uint32_t pasid;
	uint64_t ticket;
	uint8_t *buf[DSA_BUFFERS]; /* the job's */
	struct dsa_job job;
	struct dsa_job member;
};

/* 64 bytes that arrive in pieces, for the slots of a portal page whose number is the same mod 8. */
struct dsa_assembly {
	uint8_t bytes[64];
	uint8_t slot;
	uint8_t have; /* bytes from 0 on; 0 = nothing */
};
#define DSA_ASSEMBLIES 8u

struct dsa_command {
	bool active;
	uint32_t code;
	uint32_t operand;
	bool interrupt;
	uint64_t ticket; /* waits for jobs up to this one */
};

struct dsa_tables {
	uint32_t crc32c[8][256];
	uint16_t t10[8][256];
	uint8_t reverse[256];
	uint64_t reserved[DSA_OPS][8]; /* bits of descriptors */
};

struct viommu_dsa {
	struct viommu_pci *pci;
	struct viommu_dsa_hw *hw; /* NULL: no part of one, or it has taken nothing of it yet */
	unsigned int queues, groups, engines;
	unsigned int transfer_lg2, batch_lg2;
	unsigned int entries_nr;
	bool no_pri;
	bool msi;
	struct dsa_tables tables; /* constant after construction */

	pthread_mutex_t lock;
	uint32_t image[DSA_IMAGE / 4];
	struct dsa_entry *entries;
	struct dsa_queue queue[VIOMMU_DSA_MAX_QUEUES];
	struct dsa_engine engine[VIOMMU_DSA_MAX_ENGINES];
	struct dsa_command command;
	struct dsa_assembly assembly[VIOMMU_DSA_MAX_QUEUES][DSA_PORTAL_PAGES][DSA_ASSEMBLIES];
	uint64_t tickets;
	unsigned int next_group; /* where the search for work begins */
	uint32_t vectors;        /* to send, see dsa_unlock() */
	bool kick;
	struct viommu_dsa_stats stats;
};

/* ---- Registers (regs.c) ---- */

static inline uint32_t *dsa_reg(struct viommu_dsa *dsa, uint32_t offset)
{
	return &dsa->image[offset / 4];
}

static inline uint32_t *dsa_grpcfg(struct viommu_dsa *dsa, unsigned int group)
{
	return &dsa->image[(DSA_GRPCFG + group * 64) / 4];
}

static inline uint32_t *dsa_wqcfg(struct viommu_dsa *dsa, unsigned int wq)
{
	return &dsa->image[(DSA_WQCFG + wq * 64) / 4];
}

/* Fields of up to 32 bits that lie in one dword of the image. */
#define DSA_BITS(NAME)          ((uint32_t)(VTD_MASK(NAME) >> (NAME##_LO % 64 / 32 * 32)))
#define DSA_GET32(dwords, NAME) (((dwords)[NAME##_LO / 32] & DSA_BITS(NAME)) >> (NAME##_LO % 32))
#define DSA_SET32(dwords, NAME, v)                                     \
	((void)((dwords)[NAME##_LO / 32] =                             \
			((dwords)[NAME##_LO / 32] & ~DSA_BITS(NAME)) | \
			(((uint32_t)(v) << (NAME##_LO % 32)) & DSA_BITS(NAME))))

static inline unsigned int dsa_state(struct viommu_dsa *dsa)
{
	return DSA_GET32(dsa_reg(dsa, DSA_REG_GENSTS), DSA_GENSTS_STATE);
}

static inline unsigned int dsa_wq_state(struct viommu_dsa *dsa, unsigned int wq)
{
	return DSA_GET32(dsa_wqcfg(dsa, wq), DSA_WQCFG_STATE);
}

static inline unsigned int dsa_vectors(const struct viommu_dsa *dsa)
{
	return dsa->queues + 1;
}

void viommu__dsa_regs_reset(struct viommu_dsa *dsa);
/* WQCFG of one queue to what it is after reset, but for its size. */
void viommu__dsa_wq_reset(struct viommu_dsa *dsa, unsigned int wq);
uint64_t viommu__dsa_reg_read(struct viommu_dsa *dsa, uint64_t offset, unsigned int bytes);
void viommu__dsa_reg_write(struct viommu_dsa *dsa, uint64_t offset, unsigned int bytes,
			   uint64_t value);

/* Bits of the dword at offset that software can change at some time, by writing or clearing. */
uint32_t viommu__dsa_reg_bits(struct viommu_dsa *dsa, uint32_t offset);

static inline void dsa_lock(struct viommu_dsa *dsa)
{
	pthread_mutex_lock(&dsa->lock);
}

/* Then the framework hears what happened meanwhile. */
void viommu__dsa_unlock(struct viommu_dsa *dsa);

/* With the lock: INTCAUSE gets these bits, and vector 0 is sent. */
void viommu__dsa_cause(struct viommu_dsa *dsa, uint32_t bits);

/* What SWERROR is to say; with the lock. */
struct dsa_swerror {
	uint64_t w[4];
};
void viommu__dsa_swerror(struct viommu_dsa *dsa, const struct dsa_swerror *e);

/* ---- A part of an accelerator (hw.c) ---- */

/* What the configuration leaves open. */
void viommu__dsa_hw_share(const struct viommu_dsa_hw *hw, struct viommu_dsa_config *config);
/* 0, -EINVAL, -ENOSPC. */
int viommu__dsa_hw_take(struct viommu_dsa_hw *hw, const struct viommu_dsa *dsa);
void viommu__dsa_hw_give(struct viommu_dsa_hw *hw, const struct viommu_dsa *dsa);

/* ---- Commands (command.c), with the lock ---- */

void viommu__dsa_command(struct viommu_dsa *dsa, uint32_t value);
/* Something ended: is the command complete now? */
void viommu__dsa_command_poll(struct viommu_dsa *dsa);
/* Every job of every queue up to now is dropped or told to stop. */
void viommu__dsa_abort(struct viommu_dsa *dsa);
/* Is the queue's configuration one that an enabled queue can have? */
bool viommu__dsa_wq_good(struct viommu_dsa *dsa, unsigned int wq);
/* May the command be one that is in progress, with what queues and engines have? */
bool viommu__dsa_command_good(struct viommu_dsa *dsa);
/* To Halt, for SWERROR's sake. */
void viommu__dsa_halt(struct viommu_dsa *dsa);

/* ---- Saved and restored (state.c) ---- */

void viommu__dsa_save(void *ctx, struct viommu_state_out *out);
void viommu__dsa_load(void *ctx, struct viommu_state_in *in);

/* ---- Queues and portals (queue.c), with the lock ---- */

/* What is known of a queue is from now on what its registers say. */
void viommu__dsa_queues_place(struct viommu_dsa *dsa);
void viommu__dsa_queues_reset(struct viommu_dsa *dsa);
void viommu__dsa_portal_write(struct viommu_dsa *dsa, uint64_t offset, unsigned int bytes,
			      uint64_t value);
/* 0, -EAGAIN, -EINVAL. */
int viommu__dsa_enqueue(struct viommu_dsa *dsa, uint64_t offset, const void *descriptor);
/* Drop what waits: of `pasid` only, unless it is VIOMMU_ALL_PASIDS. */
void viommu__dsa_queue_drop(struct viommu_dsa *dsa, unsigned int wq, uint32_t pasid);
/* The PASID that an entry's requests carry, or VIOMMU_NO_PASID. */
uint32_t viommu__dsa_entry_pasid(struct viommu_dsa *dsa, unsigned int wq,
				 const struct dsa_entry *entry);
/* Does a command that waits for this queue, and for this PASID, still wait? */
bool viommu__dsa_queue_pending(struct viommu_dsa *dsa, unsigned int wq, uint32_t pasid,
			       uint64_t ticket);
/* Has it something that was submitted later? */
bool viommu__dsa_queue_newer(struct viommu_dsa *dsa, unsigned int wq, uint64_t ticket);
/*
 * The next job, its engine taken, or one that was suspended; false: there is nothing to do, or no
 * engine is free.
 */
bool viommu__dsa_pick(struct viommu_dsa *dsa, struct dsa_job *job);
/* True if viommu__dsa_pick() would find another one. */
bool viommu__dsa_more(struct viommu_dsa *dsa);
/* It has ended. */
void viommu__dsa_release(struct viommu_dsa *dsa, struct dsa_job *job);
/* It is suspended, and will be picked again. */
void viommu__dsa_park(struct viommu_dsa *dsa, struct dsa_job *job);
/* The engine's suspended job is no more. */
void viommu__dsa_unpark(struct viommu_dsa *dsa, struct dsa_engine *engine);

/* ---- Jobs ---- */

/* Runs it to its end, or to where it is suspended. Without the lock. */
void viommu__dsa_job(struct dsa_job *job);

/* ---- Memory of a job (access.c). 0, or a status. ---- */

/* Page requests go out for it although BOF was not asked for (list, completion record). */
#define DSA_ALWAYS 0x1u

unsigned int viommu__dsa_read(struct dsa_job *job, uint64_t addr, void *buf, uint32_t bytes,
			      unsigned int how, uint32_t *done);
unsigned int viommu__dsa_write(struct dsa_job *job, uint64_t addr, const void *buf, uint32_t bytes,
			       unsigned int how, uint32_t *done);
unsigned int viommu__dsa_fill(struct dsa_job *job, uint64_t addr, uint64_t pattern, uint32_t bytes,
			      uint32_t *done);
unsigned int viommu__dsa_copy(struct dsa_job *job, uint64_t dst, uint64_t src, uint32_t bytes,
			      uint32_t *done);
/* The page of the completion record, asked for if it is not there. */
unsigned int viommu__dsa_probe(struct dsa_job *job, uint64_t addr);

/* The second for a job that was taken after the function's abort. */
static inline bool dsa_stopped(const struct dsa_job *job)
{
	return load_relaxed(&job->engine->abort) || viommu_pci_stopping(job->dsa->pci);
}

/* Something was found before the place of a fault: that one is not told. */
static inline unsigned int dsa_no_fault(struct dsa_job *job, unsigned int status)
{
	job->fault_addr = 0;
	job->fault_write = false;
	return status;
}

/* Between two pieces of work: 0 to go on. */
static inline unsigned int dsa_look(const struct dsa_job *job)
{
	if (dsa_stopped(job))
		return DSA_ABORTED;
	return viommu_pci_pausing(job->dsa->pci) ? DSA_SUSPENDED : 0;
}

/* ---- Operations. A status; checks were made by viommu__dsa_check(). ---- */

/* Does a whole number of blocks end at `completed`? */
bool viommu__dsa_dif_resumable(struct dsa_job *job);
/* Of the operation's operands: 0 or a status. */
unsigned int viommu__dsa_operands(struct dsa_job *job);
unsigned int viommu__dsa_operate(struct dsa_job *job);

unsigned int viommu__dsa_crc_operate(struct dsa_job *job);
unsigned int viommu__dsa_dif_operands(struct dsa_job *job);
unsigned int viommu__dsa_dif_operate(struct dsa_job *job);
void viommu__dsa_crc_tables(struct dsa_tables *t);
uint32_t viommu__dsa_crc32c(const struct dsa_tables *t, uint32_t state, const uint8_t *p, size_t n);
uint16_t viommu__dsa_t10(const struct dsa_tables *t, uint16_t crc, const uint8_t *p, size_t n);

static inline uint32_t dsa_size(const struct dsa_job *job)
{
	return (uint32_t)DSA_GET(job->w, DSA_D_SIZE);
}

#endif /* VIOMMU_DEV_DSA_H */
