/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One descriptor from its checks to its completion: flags and reserved bits, the operation, the
 * record (status last), the interrupt; and batches, whose descriptors run one after the other on
 * their engine.
 */
#include "dev/dsa/dsa.h"

/* Descriptors of a batch that are read at once. */
#define FETCH 16u

/* Flags that every operation may have; that those may have which write. */
#define COMMON (DSA_FLAG_CRAV | DSA_FLAG_RCR | DSA_FLAG_RCI | DSA_FLAG_TC_CR)
#define WRITER (DSA_FLAG_CACHE1 | DSA_FLAG_CACHE2 | DSA_FLAG_STRICT)
#define TC1    DSA_FLAG_TC_A1
#define TC2    DSA_FLAG_TC_A2
#define TC3    DSA_FLAG_TC_A3
#define CRC    (DSA_FLAG_CRC_READ_SEED | DSA_FLAG_CRC_NO_INVERT | DSA_FLAG_CRC_NO_REFLECT)

static const uint32_t op_flags[DSA_OPS] = {
	[DSA_OP_NOOP] = COMMON,
	[DSA_OP_BATCH] = COMMON | TC1,
	[DSA_OP_DRAIN] = COMMON | DSA_FLAG_DRAIN_NO_RB1 | DSA_FLAG_DRAIN_NO_RB2,
	[DSA_OP_MOVE] = COMMON | DSA_FLAG_BOF | WRITER | TC1 | TC2,
	[DSA_OP_FILL] = COMMON | DSA_FLAG_BOF | WRITER | TC2,
	[DSA_OP_COMPARE] = COMMON | DSA_FLAG_BOF | DSA_FLAG_CHECK | TC1 | TC2,
	[DSA_OP_COMPVAL] = COMMON | DSA_FLAG_BOF | DSA_FLAG_CHECK | TC1,
	[DSA_OP_CR_DELTA] = COMMON | DSA_FLAG_BOF | DSA_FLAG_CHECK | WRITER | TC1 | TC2 | TC3,
	[DSA_OP_AP_DELTA] = COMMON | DSA_FLAG_BOF | WRITER | TC1 | TC2,
	[DSA_OP_DUALCAST] = COMMON | DSA_FLAG_BOF | WRITER | TC1 | TC2 | TC3,
	[DSA_OP_CRC] = COMMON | DSA_FLAG_BOF | CRC | TC1 | TC3,
	[DSA_OP_COPY_CRC] = COMMON | DSA_FLAG_BOF | WRITER | CRC | TC1 | TC2 | TC3,
	[DSA_OP_DIF_CHECK] = COMMON | DSA_FLAG_BOF | TC1,
	[DSA_OP_DIF_INSERT] = COMMON | DSA_FLAG_BOF | WRITER | TC1 | TC2,
	[DSA_OP_DIF_STRIP] = COMMON | DSA_FLAG_BOF | WRITER | TC1 | TC2,
	[DSA_OP_DIF_UPDATE] = COMMON | DSA_FLAG_BOF | WRITER | TC1 | TC2,
	[DSA_OP_CFLUSH] = COMMON | DSA_FLAG_BOF | DSA_FLAG_CACHE2 | TC2,
};

/* What it is for is told in the completion record alone. */
#define NEEDS_RECORD                                                              \
	(BIT64(DSA_OP_COMPARE) | BIT64(DSA_OP_COMPVAL) | BIT64(DSA_OP_CR_DELTA) | \
	 BIT64(DSA_OP_CRC) | BIT64(DSA_OP_COPY_CRC) | BIT64(DSA_OP_DIF_CHECK))

/* ---- Errors that no record tells ------------------------------------------------------------- */

static void swerror(struct dsa_job *job, unsigned int code, uint64_t addr)
{
	struct dsa_swerror e = { .w = { 0 } };

	DSA_SET(e.w, DSA_SWERROR_DESC, 1);
	DSA_SET(e.w, DSA_SWERROR_WQ_VALID, 1);
	DSA_SET(e.w, DSA_SWERROR_BATCH, job->in_batch);
	DSA_SET(e.w, DSA_SWERROR_WRITE, code == DSA_ST_CR_FAULT || job->fault_write);
	DSA_SET(e.w, DSA_SWERROR_PRIV, job->priv);
	DSA_SET(e.w, DSA_SWERROR_CODE, code);
	DSA_SET(e.w, DSA_SWERROR_WQ, job->wq);
	DSA_SET(e.w, DSA_SWERROR_OPCODE, job->op);
	if (job->pasid != VIOMMU_NO_PASID)
		DSA_SET(e.w, DSA_SWERROR_PASID, job->pasid);
	DSA_SET(e.w, DSA_SWERROR_INDEX, job->index);
	if (code == DSA_ST_FLAGS) {
		DSA_SET(e.w, DSA_SWERROR_INFO_VALID, 1);
		DSA_SET(e.w, DSA_SWERROR_INFO, job->bad_flags);
	} else if (code == DSA_ST_INT_HANDLE) {
		DSA_SET(e.w, DSA_SWERROR_INFO_VALID, 1);
		DSA_SET(e.w, DSA_SWERROR_INFO, DSA_GET(job->w, DSA_D_INT));
	}
	DSA_SET(e.w, DSA_SWERROR_ADDR, addr);
	dsa_lock(job->dsa);
	viommu__dsa_swerror(job->dsa, &e);
	viommu__dsa_unlock(job->dsa);
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* The handle: in the table, for this PASID. *send: not silenced. */
static bool handle_good(struct dsa_job *job, bool *send)
{
	uint32_t handle = (uint32_t)DSA_GET(job->w, DSA_D_INT), perm;

	if (job->ims || handle >= dsa_vectors(job->dsa))
		return false;
	dsa_lock(job->dsa);
	perm = *dsa_reg(job->dsa, DSA_MSIXPERM + 8 * handle);
	viommu__dsa_unlock(job->dsa);
	*send = !DSA_GET32(&perm, DSA_MSIXPERM_IGNORE);
	if (job->pasid == VIOMMU_NO_PASID)
		return !DSA_GET32(&perm, DSA_MSIXPERM_PASID_EN);
	return DSA_GET32(&perm, DSA_MSIXPERM_PASID_EN) &&
	       DSA_GET32(&perm, DSA_MSIXPERM_PASID) == job->pasid;
}

/* The flags that this descriptor must not have, or lacks. */
static uint32_t wrong_flags(const struct dsa_job *job)
{
	const uint32_t record = DSA_FLAG_CRAV | DSA_FLAG_RCR;
	uint32_t allowed = op_flags[job->op], wrong;

	if (job->in_batch)
		allowed |= DSA_FLAG_FENCE;
	if (!job->bof)
		allowed &= ~(uint32_t)DSA_FLAG_BOF;
	if (!job->user_int)
		allowed &= ~(uint32_t)DSA_FLAG_RCI;
	if ((job->op == DSA_OP_CRC || job->op == DSA_OP_COPY_CRC) &&
	    !(job->flags & DSA_FLAG_CRC_READ_SEED))
		allowed &= ~(uint32_t)DSA_FLAG_TC_A3;
	wrong = job->flags & ~allowed;
	if (BIT64(job->op) & NEEDS_RECORD)
		wrong |= record & ~job->flags;
	if (job->flags & DSA_FLAG_RCR && !(job->flags & DSA_FLAG_CRAV))
		wrong |= DSA_FLAG_CRAV;
	if (job->op == DSA_OP_DRAIN && !(job->flags & (DSA_FLAG_RCR | DSA_FLAG_RCI)))
		wrong |= DSA_FLAG_RCR;
	return wrong;
}

static unsigned int wrong_bits(const struct dsa_job *job)
{
	/* Who sends it is told by the queue, or by the batch. */
	uint64_t head = job->dedicated || job->in_batch ? ~low_bits(32) : ~UINT64_C(0);
	unsigned int i;

	for (i = 0; i < 8; i++) {
		if (job->w[i] & job->dsa->tables.reserved[job->op][i] & (i ? ~UINT64_C(0) : head))
			return DSA_ST_RESERVED;
	}
	return 0;
}

static unsigned int check(struct dsa_job *job)
{
	bool send = false;

	if (job->flags & DSA_FLAG_CRAV && DSA_GET(job->w, DSA_D_CR) & 31)
		return DSA_ST_CR_ALIGN;
	if (!job->dedicated && !job->in_batch && DSA_GET(job->w, DSA_D_PRIV))
		return DSA_ST_PRIV;
	if (job->op >= 64 || !(job->ops >> job->op & 1) ||
	    (job->in_batch && (job->op == DSA_OP_BATCH || job->op == DSA_OP_DRAIN)))
		return DSA_ST_OPCODE;
	job->bad_flags = wrong_flags(job);
	if (job->bad_flags)
		return DSA_ST_FLAGS;
	if (job->flags & DSA_FLAG_RCI && !handle_good(job, &send))
		return DSA_ST_INT_HANDLE;
	job->int_ok = send;
	return wrong_bits(job);
}

/* ---- The record ------------------------------------------------------------------------------ */

/* Is a record wanted for this status? */
static bool record_wanted(const struct dsa_job *job)
{
	if (!(job->flags & DSA_FLAG_CRAV) || job->status == DSA_ST_CR_ALIGN ||
	    job->status == DSA_ST_PRIV)
		return false;
	if (job->flags & DSA_FLAG_RCR)
		return true;
	return job->status != DSA_ST_SUCCESS && job->status != DSA_ST_FALSE &&
	       job->status != DSA_ST_BATCH;
}

static bool succeeded(unsigned int status)
{
	return status == DSA_ST_SUCCESS || status == DSA_ST_FALSE;
}

/*
 * The upper part first, then the 8 bytes with the status in one store: who sees the status sees all
 * of the record, and all that the operation wrote.
 */
static unsigned int record_write(struct dsa_job *job)
{
	uint64_t cr[4] = { 0 }, addr = DSA_GET(job->w, DSA_D_CR);
	unsigned int status;
	uint32_t done;

	DSA_SET(cr, DSA_CR_STATUS, job->status);
	DSA_SET(cr, DSA_CR_RESULT, job->result);
	DSA_SET(cr, DSA_CR_COMPLETED, job->completed);
	if (!succeeded(job->status)) {
		DSA_SET(cr, DSA_CR_WRITE, job->fault_write);
		DSA_SET(cr, DSA_CR_FAULT_ADDR, job->fault_addr);
	}
	cr[2] = job->tail[0];
	cr[3] = job->tail[1];
	if (job->status == DSA_ST_FLAGS)
		DSA_SET(cr, DSA_CR_BAD_FLAGS, job->bad_flags);
	status = viommu__dsa_write(job, addr + 8, &cr[1], 24, DSA_ALWAYS, &done);
	if (status)
		return status;
	fence_seqcst();
	return viommu__dsa_write(job, addr, &cr[0], 8, DSA_ALWAYS, &done);
}

static void complete(struct dsa_job *job)
{
	uint64_t cr = DSA_GET(job->w, DSA_D_CR);
	unsigned int status;
	bool told = true;

	if (record_wanted(job)) {
		status = record_write(job);
		if (status == DSA_SUSPENDED) {
			job->suspended = true;
			return;
		}
		told = !status;
	} else if (!succeeded(job->status) && job->status != DSA_ST_BATCH) {
		swerror(job, job->status, job->status == DSA_ST_CR_ALIGN ? cr : job->fault_addr);
	}
	if (dsa_stopped(job)) {
		job->status = DSA_ABORTED;
		return;
	}
	if (!told)
		swerror(job, DSA_ST_CR_FAULT, cr);
	if (job->int_ok && job->flags & DSA_FLAG_RCI)
		viommu_pci_interrupt(job->dsa->pci, (unsigned int)DSA_GET(job->w, DSA_D_INT));
}

/* ---- Batches --------------------------------------------------------------------------------- */

static void run(struct dsa_job *job);

/* One of a batch, from its beginning or from where it was suspended. 0, or a status. */
static unsigned int batch_member(struct dsa_job *job, struct dsa_job *member)
{
	run(member);
	job->moved = member->moved;
	job->ran = member->ran;
	job->errors = member->errors;
	if (member->suspended) {
		job->engine->member = *member;
		job->engine->in_member = true;
		return DSA_SUSPENDED;
	}
	if (member->status == DSA_ABORTED)
		return DSA_ABORTED;
	job->failed |= member->status != DSA_ST_SUCCESS;
	job->completed = member->index + 1;
	return 0;
}

/* The one that was running when the batch was suspended. */
static unsigned int batch_resume(struct dsa_job *job)
{
	struct dsa_job member = job->engine->member;

	if (!job->engine->in_member)
		return 0;
	job->engine->in_member = false;
	member.dsa = job->dsa;
	member.engine = job->engine;
	member.dma = job->dma;
	member.ats = job->ats;
	member.prs = job->prs;
	return batch_member(job, &member);
}

/*
 * The list is read once, some descriptors at a time. What could be read runs before a fault of the
 * list is told. After a suspension what has not run is read again.
 */
static unsigned int batch(struct dsa_job *job)
{
	uint64_t list = DSA_GET(job->w, DSA_D_A), desc[FETCH][8];
	unsigned int status = batch_resume(job), ended;
	uint32_t count = dsa_size(job), at, got, i, n;

	if (status)
		return status;
	while (job->completed < count && !status) {
		at = job->completed;
		n = count - at < FETCH ? count - at : FETCH;
		status = viommu__dsa_read(job, list + (uint64_t)at * 64, desc, n * 64, DSA_ALWAYS,
					  &got);
		for (i = 0; i < got / 64; i++) {
			struct dsa_job member = *job;

			if (job->failed && DSA_GET(desc[i], DSA_D_FLAGS) & DSA_FLAG_FENCE)
				return DSA_ST_BATCH;
			member.stage = DSA_STAGE_START;
			member.in_batch = true;
			member.index = at + i;
			memcpy(member.w, desc[i], 64);
			ended = batch_member(job, &member);
			if (ended)
				return ended;
		}
	}
	if (status)
		return status == DSA_ST_PAGE_FAULT ? DSA_ST_BATCH_FAULT : status;
	return job->failed ? DSA_ST_BATCH : DSA_ST_SUCCESS;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static unsigned int operate(struct dsa_job *job)
{
	return job->op == DSA_OP_BATCH ? batch(job) : viommu__dsa_operate(job);
}

static unsigned int execute(struct dsa_job *job)
{
	unsigned int status = check(job);

	if (!status)
		status = viommu__dsa_operands(job);
	if (status)
		return status;
	/* Nothing is done whose end could not be told. */
	if (job->flags & DSA_FLAG_CRAV) {
		status = viommu__dsa_probe(job, DSA_GET(job->w, DSA_D_CR));
		if (status)
			return status == DSA_SUSPENDED ? status : DSA_ST_CR_FAULT;
	}
	status = dsa_look(job);
	if (status)
		return status;
	job->stage = DSA_STAGE_OPERATE;
	return operate(job);
}

static void begin(struct dsa_job *job)
{
	job->op = (unsigned int)DSA_GET(job->w, DSA_D_OPCODE);
	job->flags = (uint32_t)DSA_GET(job->w, DSA_D_FLAGS);
	job->int_ok = false;
	job->fault_write = false;
	job->failed = false;
	job->result = 0;
	job->bad_flags = 0;
	job->completed = 0;
	job->last = -1;
	job->fault_addr = 0;
	job->tail[0] = 0;
	job->tail[1] = 0;
}

static void run(struct dsa_job *job)
{
	unsigned int status;

	job->suspended = false;
	if (job->stage == DSA_STAGE_START)
		begin(job);
	if (job->stage != DSA_STAGE_COMPLETE) {
		status = job->stage == DSA_STAGE_START ? execute(job) : operate(job);
		job->suspended = status == DSA_SUSPENDED;
		job->status = (uint8_t)status;
	}
	if (job->status == DSA_ABORTED || dsa_stopped(job)) {
		job->status = DSA_ABORTED;
		return;
	}
	if (job->suspended)
		return;
	job->stage = DSA_STAGE_COMPLETE;
	if (job->status == DSA_ST_CR_FAULT)
		swerror(job, DSA_ST_CR_FAULT, DSA_GET(job->w, DSA_D_CR));
	else
		complete(job);
	if (job->status == DSA_ABORTED || job->suspended)
		return;
	job->ran++;
	job->errors += !succeeded(job->status);
}

void viommu__dsa_job(struct dsa_job *job)
{
	uint32_t enabled = viommu_pci_enabled(job->dsa->pci);

	job->ats = enabled & VIOMMU_PCI_ATS && !job->ats_off;
	job->prs = job->ats && enabled & VIOMMU_PCI_PRI && !job->prs_off;
	run(job);
	job->batch = job->op == DSA_OP_BATCH && job->status != DSA_ABORTED && !job->suspended;
}
