/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Portals, queues, and which descriptor runs next.
 *
 * A descriptor leaves its queue when an engine takes it, so a queue's occupancy counts those that
 * wait. Among the queues of a group an engine takes by weight: each queue that waits earns its
 * priority, the richest pays what all of them earned. No queue starves, and over time each gets its
 * share.
 */
#include "dev/dsa/dsa.h"

void viommu__dsa_queues_place(struct viommu_dsa *dsa)
{
	struct dsa_entry *at = dsa->entries;
	unsigned int i;

	for (i = 0; i < dsa->queues; i++) {
		struct dsa_queue *q = &dsa->queue[i];

		q->size = DSA_GET32(dsa_wqcfg(dsa, i), DSA_WQCFG_SIZE);
		q->ring = at;
		q->head = 0;
		q->credit = 0;
		at += q->size;
	}
	VIOMMU_ASSERT(at <= dsa->entries + dsa->entries_nr);
}

void viommu__dsa_queues_reset(struct viommu_dsa *dsa)
{
	memset(dsa->assembly, 0, sizeof(dsa->assembly));
	memset(dsa->queue, 0, sizeof(dsa->queue));
}

static struct dsa_entry *entry_at(struct dsa_queue *q, uint32_t i)
{
	return &q->ring[(q->head + i) % q->size];
}

uint32_t viommu__dsa_entry_pasid(struct viommu_dsa *dsa, unsigned int wq,
				 const struct dsa_entry *entry)
{
	const uint32_t *cfg = dsa_wqcfg(dsa, wq);

	if (!DSA_GET32(cfg, DSA_WQCFG_PASID_EN))
		return VIOMMU_NO_PASID;
	if (DSA_GET32(cfg, DSA_WQCFG_DEDICATED))
		return DSA_GET32(cfg, DSA_WQCFG_PASID);
	return (uint32_t)DSA_GET(entry->w, DSA_D_PASID);
}

/* ---- Submission ------------------------------------------------------------------------------ */

static bool queue_open(struct viommu_dsa *dsa, unsigned int wq)
{
	return dsa_state(dsa) == DSA_STATE_ENABLED && dsa_wq_state(dsa, wq) == DSA_STATE_ENABLED;
}

/* What fits is checked by the caller. */
static void push(struct viommu_dsa *dsa, unsigned int wq, const void *descriptor, unsigned int page)
{
	struct dsa_queue *q = &dsa->queue[wq];
	struct dsa_entry *e = entry_at(q, q->count);

	memcpy(e->w, descriptor, 64);
	e->ticket = ++dsa->tickets;
	e->ims = page & DSA_PORTAL_IMS;
	q->count++;
	dsa->kick = true;
}

static void swerror_full(struct viommu_dsa *dsa, unsigned int wq, const uint64_t *desc)
{
	struct dsa_swerror e = { .w = { 0 } };

	DSA_SET(e.w, DSA_SWERROR_CODE, DSA_ST_WQ_FULL);
	DSA_SET(e.w, DSA_SWERROR_WQ_VALID, 1);
	DSA_SET(e.w, DSA_SWERROR_WQ, wq);
	DSA_SET(e.w, DSA_SWERROR_DESC, 1);
	DSA_SET(e.w, DSA_SWERROR_OPCODE, DSA_GET(desc, DSA_D_OPCODE));
	DSA_SET(e.w, DSA_SWERROR_PASID, DSA_GET32(dsa_wqcfg(dsa, wq), DSA_WQCFG_PASID));
	viommu__dsa_swerror(dsa, &e);
}

/* 64 bytes arrived as a posted write. */
static void post(struct viommu_dsa *dsa, unsigned int wq, unsigned int page, const void *descriptor)
{
	struct dsa_queue *q = &dsa->queue[wq];
	uint64_t desc[8];

	/* A shared queue takes only what it can answer. */
	if (!queue_open(dsa, wq) || !DSA_GET32(dsa_wqcfg(dsa, wq), DSA_WQCFG_DEDICATED))
		return;
	if (q->count == q->size) {
		memcpy(desc, descriptor, 64);
		swerror_full(dsa, wq, desc);
		return;
	}
	push(dsa, wq, descriptor, page);
}

/*
 * A 64-byte store comes through an emulated bus as eight writes of 8 bytes, or sixteen of 4, in the
 * order of their addresses. Those of two processors may be mixed; they are told apart by the slot.
 * Whatever is not the next piece of a descriptor is discarded, with what there was of it.
 */
void viommu__dsa_portal_write(struct viommu_dsa *dsa, uint64_t offset, unsigned int bytes,
			      uint64_t value)
{
	unsigned int wq = (unsigned int)(offset >> DSA_PORTAL_LG2);
	unsigned int page = (unsigned int)(offset >> 12) % DSA_PORTAL_PAGES;
	uint8_t slot = (uint8_t)(offset >> 6 & 63), at = (uint8_t)(offset & 63);
	struct dsa_assembly *a;

	if (wq >= dsa->queues)
		return;
	a = &dsa->assembly[wq][page][slot % DSA_ASSEMBLIES];
	if (at == 0) {
		a->slot = slot;
		a->have = 0;
	}
	if (bytes < 4 || a->slot != slot || a->have != at) {
		a->have = 0;
		return;
	}
	if (bytes == 8)
		memcpy(a->bytes + at, &value, 8);
	else
		memcpy(a->bytes + at, &value, 4);
	a->have = (uint8_t)(at + bytes);
	if (a->have == 64) {
		a->have = 0;
		post(dsa, wq, page, a->bytes);
	}
}

int viommu__dsa_enqueue(struct viommu_dsa *dsa, uint64_t offset, const void *descriptor)
{
	unsigned int page = (unsigned int)(offset >> 12) % DSA_PORTAL_PAGES, wq;
	const uint32_t *cfg;
	uint32_t limit;

	if (offset & 63 || offset >> DSA_PORTAL_LG2 >= dsa->queues)
		return -EINVAL;
	wq = (unsigned int)(offset >> DSA_PORTAL_LG2);
	cfg = dsa_wqcfg(dsa, wq);
	limit = dsa->queue[wq].size;
	if (page & DSA_PORTAL_LIMIT && DSA_GET32(cfg, DSA_WQCFG_THRESHOLD) < limit)
		limit = DSA_GET32(cfg, DSA_WQCFG_THRESHOLD);
	if (!queue_open(dsa, wq) || DSA_GET32(cfg, DSA_WQCFG_DEDICATED) ||
	    dsa->queue[wq].count >= limit) {
		dsa->stats.retries++;
		return -EAGAIN;
	}
	push(dsa, wq, descriptor, page);
	return 0;
}

/* ---- What commands ask ----------------------------------------------------------------------- */

/*
 * Occupancy went down from `before`. Enabling the queue looked at the handle only if the interrupt
 * was enabled then, and it may be enabled later: choice: a handle that is none sends nothing.
 */
static void occupancy_fell(struct viommu_dsa *dsa, unsigned int wq, uint32_t before)
{
	uint32_t *cfg = dsa_wqcfg(dsa, wq), limit = DSA_GET32(cfg, DSA_WQCFG_LIMIT);
	uint32_t handle = DSA_GET32(cfg, DSA_WQCFG_INT_HANDLE);

	if (!DSA_GET32(cfg, DSA_WQCFG_INT_EN) || DSA_GET32(cfg, DSA_WQCFG_INT_SENT) ||
	    before <= limit || dsa->queue[wq].count > limit)
		return;
	DSA_SET32(cfg, DSA_WQCFG_INT_SENT, 1);
	*dsa_reg(dsa, DSA_REG_INTCAUSE) |= DSA_BITS(DSA_INTCAUSE_OCCUPANCY);
	if (handle < dsa_vectors(dsa) && !DSA_GET32(cfg, DSA_WQCFG_INT_IMS))
		dsa->vectors |= UINT32_C(1) << handle;
}

void viommu__dsa_queue_drop(struct viommu_dsa *dsa, unsigned int wq, uint32_t pasid)
{
	struct dsa_queue *q = &dsa->queue[wq];
	uint32_t i, kept = 0, before = q->count;

	for (i = 0; i < before; i++) {
		struct dsa_entry *e = entry_at(q, i);

		if (pasid != VIOMMU_ALL_PASIDS && viommu__dsa_entry_pasid(dsa, wq, e) != pasid) {
			if (kept != i)
				*entry_at(q, kept) = *e;
			kept++;
		}
	}
	q->count = kept;
	occupancy_fell(dsa, wq, before);
}

bool viommu__dsa_queue_pending(struct viommu_dsa *dsa, unsigned int wq, uint32_t pasid,
			       uint64_t ticket)
{
	struct dsa_queue *q = &dsa->queue[wq];
	uint32_t i;

	for (i = 0; i < dsa->engines; i++) {
		const struct dsa_engine *e = &dsa->engine[i];

		if (e->busy && e->wq == wq && e->ticket <= ticket &&
		    (pasid == VIOMMU_ALL_PASIDS || e->pasid == pasid))
			return true;
	}
	for (i = 0; i < q->count; i++) {
		const struct dsa_entry *e = entry_at(q, i);

		if (e->ticket > ticket)
			break;
		if (pasid == VIOMMU_ALL_PASIDS || viommu__dsa_entry_pasid(dsa, wq, e) == pasid)
			return true;
	}
	return false;
}

bool viommu__dsa_queue_newer(struct viommu_dsa *dsa, unsigned int wq, uint64_t ticket)
{
	struct dsa_queue *q = &dsa->queue[wq];
	uint32_t i;

	for (i = 0; i < dsa->engines; i++) {
		const struct dsa_engine *e = &dsa->engine[i];

		if (e->busy && e->wq == wq && e->ticket > ticket)
			return true;
	}
	return q->count && entry_at(q, q->count - 1)->ticket > ticket;
}

/* ---- The choice ------------------------------------------------------------------------------ */

/* A drain descriptor waits at the head of its queue until what was before it is done. */
static bool ready(struct viommu_dsa *dsa, unsigned int wq)
{
	struct dsa_queue *q = &dsa->queue[wq];

	if (!q->count)
		return false;
	return !q->running || DSA_GET(entry_at(q, 0)->w, DSA_D_OPCODE) != DSA_OP_DRAIN;
}

static struct dsa_engine *idle(struct viommu_dsa *dsa, unsigned int group)
{
	uint32_t engines = dsa_grpcfg(dsa, group)[DSA_GRPCFG_ENGINES_LO / 32];

	for (; engines; engines &= engines - 1) {
		struct dsa_engine *e = &dsa->engine[lowest_bit(engines)];

		if (!e->busy)
			return e;
	}
	return NULL;
}

/* Queues of the group with something to do, as bits. */
static uint32_t group_ready(struct viommu_dsa *dsa, unsigned int group)
{
	uint32_t wqs = dsa_grpcfg(dsa, group)[0], found = 0;

	for (; wqs; wqs &= wqs - 1)
		if (ready(dsa, lowest_bit(wqs)))
			found |= wqs & -wqs;
	return found;
}

static unsigned int choose(struct viommu_dsa *dsa, uint32_t wqs)
{
	unsigned int best = lowest_bit(wqs);
	int32_t sum = 0;

	for (; wqs; wqs &= wqs - 1) {
		unsigned int wq = lowest_bit(wqs);
		int32_t priority = (int32_t)DSA_GET32(dsa_wqcfg(dsa, wq), DSA_WQCFG_PRIORITY);

		dsa->queue[wq].credit += priority;
		sum += priority;
		if (dsa->queue[wq].credit > dsa->queue[best].credit)
			best = wq;
	}
	dsa->queue[best].credit -= sum;
	return best;
}

static void take(struct viommu_dsa *dsa, unsigned int wq, struct dsa_engine *engine,
		 struct dsa_job *job)
{
	const uint32_t *cfg = dsa_wqcfg(dsa, wq);
	struct dsa_queue *q = &dsa->queue[wq];
	struct dsa_entry *e = entry_at(q, 0);

	*job = (struct dsa_job){
		.dsa = dsa,
		.engine = engine,
		.wq = wq,
		.ims = e->ims,
		.dedicated = DSA_GET32(cfg, DSA_WQCFG_DEDICATED),
		.bof = DSA_GET32(cfg, DSA_WQCFG_BOF),
		.ats_off = DSA_GET32(cfg, DSA_WQCFG_ATS_DISABLE),
		.prs_off = DSA_GET32(cfg, DSA_WQCFG_PRS_DISABLE),
		.priv = DSA_GET32(cfg, DSA_WQCFG_PRIV),
		.pasid = viommu__dsa_entry_pasid(dsa, wq, e),
		.ops = cfg[DSA_WQCFG_OPS0_LO / 32] | (uint64_t)cfg[DSA_WQCFG_OPS0_LO / 32 + 1]
							     << 32,
		.max_transfer = UINT64_C(1) << DSA_GET32(cfg, DSA_WQCFG_MAX_TRANSFER),
		.max_batch = UINT64_C(1) << DSA_GET32(cfg, DSA_WQCFG_MAX_BATCH),
	};
	job->user_int = DSA_GET32(dsa_reg(dsa, DSA_REG_GENCFG), DSA_GENCFG_USER_INT) ||
			job->pasid == VIOMMU_NO_PASID || job->priv;
	memcpy(job->w, e->w, 64);
	engine->busy = true;
	store_relaxed(&engine->abort, 0);
	engine->wq = wq;
	engine->pasid = job->pasid;
	engine->ticket = e->ticket;
	q->head = (q->head + 1) % q->size;
	q->count--;
	q->running++;
	occupancy_fell(dsa, wq, q->count + 1);
}

static struct dsa_engine *parked(struct viommu_dsa *dsa)
{
	unsigned int i;

	for (i = 0; i < dsa->engines; i++)
		if (dsa->engine[i].parked)
			return &dsa->engine[i];
	return NULL;
}

void viommu__dsa_park(struct viommu_dsa *dsa, struct dsa_job *job)
{
	(void)dsa;
	job->engine->job = *job;
	job->engine->parked = true;
}

void viommu__dsa_unpark(struct viommu_dsa *dsa, struct dsa_engine *engine)
{
	engine->parked = false;
	engine->in_member = false;
	engine->busy = false;
	dsa->queue[engine->wq].running--;
}

bool viommu__dsa_pick(struct viommu_dsa *dsa, struct dsa_job *job)
{
	struct dsa_engine *was = parked(dsa);
	unsigned int i;

	if (was) {
		*job = was->job;
		was->parked = false;
		return true;
	}
	for (i = 0; i < dsa->groups; i++) {
		unsigned int group = (dsa->next_group + i) % dsa->groups;
		struct dsa_engine *engine = idle(dsa, group);
		uint32_t wqs = engine ? group_ready(dsa, group) : 0;

		if (!wqs)
			continue;
		dsa->next_group = (group + 1) % dsa->groups;
		take(dsa, choose(dsa, wqs), engine, job);
		return true;
	}
	return false;
}

bool viommu__dsa_more(struct viommu_dsa *dsa)
{
	unsigned int i;

	if (parked(dsa))
		return true;
	for (i = 0; i < dsa->groups; i++)
		if (idle(dsa, i) && group_ready(dsa, i))
			return true;
	return false;
}

void viommu__dsa_release(struct viommu_dsa *dsa, struct dsa_job *job)
{
	job->engine->busy = false;
	job->engine->in_member = false; /* of a batch that was told to stop */
	dsa->queue[job->wq].running--;
	dsa->stats.descriptors += job->ran;
	dsa->stats.batches += job->batch;
	dsa->stats.errors += job->errors;
	dsa->stats.bytes += job->moved;
}
