/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The accelerator saved and restored: registers, queues with what waits in them, stores that came
 * half, a command in progress, jobs that were taken out of a wait.
 *
 * What is restored is checked for everything that the rest of the device relies on: registers have
 * only bits that software or the device could have set, an enabled device's queues fit, indices
 * name what is there, and a job is one that its checks let through.
 */
#include <viommu/state.h>

#include "dev/dsa/dsa.h"

#define VERSION    1u
#define ENTRY      (8u * 8 + 8 + 1) /* bytes of a waiting descriptor */
#define CREDIT_MAX 4096

static struct dsa_entry *entry_at(struct dsa_queue *q, uint32_t i)
{
	return &q->ring[(q->head + i) % q->size];
}

/* ---- Saving ---------------------------------------------------------------------------------- */

static void words_put(struct viommu_state_out *out, const uint64_t *w, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		viommu_state_put_u64(out, w[i]);
}

static void shape_save(struct viommu_dsa *dsa, struct viommu_state_out *out)
{
	viommu_state_put_u32(out, dsa->queues);
	viommu_state_put_u32(out, dsa->groups);
	viommu_state_put_u32(out, dsa->engines);
	viommu_state_put_u32(out, dsa->entries_nr);
	viommu_state_put_u32(out, dsa->transfer_lg2);
	viommu_state_put_u32(out, dsa->batch_lg2);
	viommu_state_put_u32(out, dsa->no_pri);
}

static void queue_save(struct dsa_queue *q, struct viommu_state_out *out)
{
	uint32_t i;

	viommu_state_put_u32(out, q->size);
	viommu_state_put_u32(out, q->count);
	viommu_state_put_u32(out, (uint32_t)q->credit);
	for (i = 0; i < q->count; i++) {
		const struct dsa_entry *e = entry_at(q, i);

		words_put(out, e->w, 8);
		viommu_state_put_u64(out, e->ticket);
		viommu_state_put_u8(out, e->ims);
	}
}

static void command_save(const struct dsa_command *c, struct viommu_state_out *out)
{
	viommu_state_put_u8(out, c->active);
	viommu_state_put_u32(out, c->code);
	viommu_state_put_u32(out, c->operand);
	viommu_state_put_u8(out, c->interrupt);
	viommu_state_put_u64(out, c->ticket);
}

#define ASSEMBLIES (VIOMMU_DSA_MAX_QUEUES * DSA_PORTAL_PAGES * DSA_ASSEMBLIES)

static void assemblies_save(struct viommu_dsa *dsa, struct viommu_state_out *out)
{
	struct dsa_assembly *a = &dsa->assembly[0][0][0];
	uint16_t nr = 0;
	unsigned int i;

	for (i = 0; i < ASSEMBLIES; i++)
		nr += a[i].have != 0;
	viommu_state_put_u16(out, nr);
	for (i = 0; i < ASSEMBLIES; i++) {
		if (!a[i].have)
			continue;
		viommu_state_put_u16(out, (uint16_t)i);
		viommu_state_put_u8(out, a[i].slot);
		viommu_state_put_u8(out, a[i].have);
		viommu_state_put(out, a[i].bytes, a[i].have);
	}
}

/* Flags of a job, in the order of their bits. */
#define JOB_FLAGS(F, job)      \
	F(0, (job)->in_batch)  \
	F(1, (job)->ims)       \
	F(2, (job)->dedicated) \
	F(3, (job)->bof)       \
	F(4, (job)->user_int)  \
	F(5, (job)->ats_off)   \
	F(6, (job)->prs_off)   \
	F(7, (job)->priv) F(8, (job)->int_ok) F(9, (job)->failed) F(10, (job)->fault_write)
#define JOB_FLAG_PUT(bit, flag) flags |= (uint16_t)((flag) ? 1u << (bit) : 0);
#define JOB_FLAG_GET(bit, flag) flag = flags >> (bit)&1;

static void job_save(const struct dsa_job *job, struct viommu_state_out *out)
{
	uint16_t flags = 0;

	JOB_FLAGS(JOB_FLAG_PUT, job)
	words_put(out, job->w, 8);
	viommu_state_put_u8(out, (uint8_t)job->wq);
	viommu_state_put_u16(out, flags);
	viommu_state_put_u8(out, job->stage);
	viommu_state_put_u8(out, job->status);
	viommu_state_put_u8(out, job->result);
	viommu_state_put_u32(out, job->index);
	viommu_state_put_u32(out, job->pasid);
	viommu_state_put_u64(out, job->ops);
	viommu_state_put_u64(out, job->max_transfer);
	viommu_state_put_u64(out, job->max_batch);
	viommu_state_put_u64(out, (uint64_t)job->last);
	viommu_state_put_u32(out, job->bad_flags);
	viommu_state_put_u32(out, job->completed);
	viommu_state_put_u64(out, job->fault_addr);
	words_put(out, job->tail, 2);
	viommu_state_put_u64(out, job->moved);
	viommu_state_put_u32(out, job->ran);
	viommu_state_put_u32(out, job->errors);
}

/* Every engine: is it busy, with what, and the one of a batch. */
static void engine_save(const struct dsa_engine *e, struct viommu_state_out *out)
{
	VIOMMU_ASSERT(e->busy == e->parked); /* nobody runs */
	viommu_state_put_u8(out, (uint8_t)(e->parked + e->in_member));
	if (!e->parked)
		return;
	viommu_state_put_u64(out, e->ticket);
	job_save(&e->job, out);
	if (e->in_member)
		job_save(&e->member, out);
}

static void stats_save(const struct viommu_dsa_stats *s, struct viommu_state_out *out)
{
	viommu_state_put_u64(out, s->descriptors);
	viommu_state_put_u64(out, s->batches);
	viommu_state_put_u64(out, s->bytes);
	viommu_state_put_u64(out, s->errors);
	viommu_state_put_u64(out, s->swerrors);
	viommu_state_put_u64(out, s->retries);
}

void viommu__dsa_save(void *ctx, struct viommu_state_out *out)
{
	struct viommu_dsa *dsa = ctx;
	unsigned int i;

	dsa_lock(dsa);
	viommu_state_put_u32(out, VERSION);
	shape_save(dsa, out);
	for (i = 0; i < DSA_IMAGE / 4; i++)
		viommu_state_put_u32(out, dsa->image[i]);
	viommu_state_put_u64(out, dsa->tickets);
	viommu_state_put_u32(out, dsa->next_group);
	command_save(&dsa->command, out);
	for (i = 0; i < dsa->queues; i++)
		queue_save(&dsa->queue[i], out);
	for (i = 0; i < dsa->engines; i++)
		engine_save(&dsa->engine[i], out);
	assemblies_save(dsa, out);
	stats_save(&dsa->stats, out);
	viommu__dsa_unlock(dsa);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

static void words_get(struct viommu_state_in *in, uint64_t *w, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		w[i] = viommu_state_get_u64(in);
}

static void same(struct viommu_state_in *in, const char *what, unsigned int has)
{
	unsigned int saved = viommu_state_get_u32(in);

	if (saved != has)
		viommu_state_refuse(in, "saved with %u %s, has %u", saved, what, has);
}

static void shape_check(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	same(in, "queues", dsa->queues);
	same(in, "groups", dsa->groups);
	same(in, "engines", dsa->engines);
	same(in, "queue entries", dsa->entries_nr);
	same(in, "as log2 of the largest transfer", dsa->transfer_lg2);
	same(in, "as log2 of the largest batch", dsa->batch_lg2);
	same(in, "as no page requests", dsa->no_pri);
}

/* Bits that the device itself sets beside what software may write. */
static uint32_t own_bits(uint32_t offset)
{
	if (offset == DSA_REG_GENSTS)
		return DSA_BITS(DSA_GENSTS_STATE);
	if (offset == DSA_REG_CMDSTS)
		return UINT32_MAX;
	if (offset >= DSA_REG_SWERROR && offset < DSA_REG_SWERROR + 32)
		return UINT32_MAX;
	if (offset >= DSA_WQCFG && offset < DSA_MSIXPERM &&
	    offset % 64 / 4 == DSA_WQCFG_STATE_LO / 32)
		return DSA_BITS(DSA_WQCFG_STATE);
	return 0;
}

static void image_load(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	uint32_t i, offset, value;

	for (i = 0; i < DSA_IMAGE / 4; i++) {
		offset = 4 * i;
		value = viommu_state_get_u32(in);
		if ((value ^ dsa->image[i]) &
		    ~(viommu__dsa_reg_bits(dsa, offset) | own_bits(offset))) {
			viommu_state_refuse(in, "register %xh cannot be %08xh", offset, value);
			return;
		}
		dsa->image[i] = value;
	}
}

static void queue_load(struct viommu_dsa *dsa, unsigned int wq, struct dsa_entry **at,
		       struct viommu_state_in *in)
{
	struct dsa_queue *q = &dsa->queue[wq];
	const struct dsa_entry *end = dsa->entries + dsa->entries_nr;
	uint32_t i;

	q->size = viommu_state_get_u32(in);
	q->count = viommu_state_get_u32(in);
	q->credit = (int32_t)viommu_state_get_u32(in);
	if (q->size > (uint32_t)(end - *at) || q->count > q->size || q->credit > CREDIT_MAX ||
	    q->credit < -CREDIT_MAX || viommu_state_left(in) < (size_t)q->count * ENTRY) {
		viommu_state_refuse(in, "queue %u cannot be", wq);
		q->count = 0;
		return;
	}
	q->ring = *at;
	*at += q->size;
	for (i = 0; i < q->count; i++) {
		struct dsa_entry *e = &q->ring[i];

		words_get(in, e->w, 8);
		e->ticket = viommu_state_get_u64(in);
		e->ims = viommu_state_get_u8(in);
		if (!e->ticket || e->ticket > dsa->tickets || (i && e->ticket <= e[-1].ticket))
			viommu_state_refuse(in, "queue %u has no such descriptor", wq);
	}
}

/*
 * Queues are placed when the device is enabled; sizes do not change until it is disabled, when
 * nothing waits. Nor does anything wait in a queue that is disabled: what its configuration says is
 * judged when it is enabled, and jobs rely on that.
 */
static void queues_check(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	bool off = dsa_state(dsa) == DSA_STATE_DISABLED;
	unsigned int i;

	for (i = 0; i < dsa->queues; i++) {
		const struct dsa_queue *q = &dsa->queue[i];
		bool wq_off = dsa_wq_state(dsa, i) == DSA_STATE_DISABLED;

		if ((off && !wq_off) || (wq_off && q->count) ||
		    (!wq_off && !viommu__dsa_wq_good(dsa, i)) ||
		    (!off && q->size != DSA_GET32(dsa_wqcfg(dsa, i), DSA_WQCFG_SIZE)))
			viommu_state_refuse(in, "queue %u cannot be so in this state", i);
	}
}

static void command_load(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	struct dsa_command *c = &dsa->command;

	c->active = viommu_state_get_u8(in);
	c->code = viommu_state_get_u32(in);
	c->operand = viommu_state_get_u32(in);
	c->interrupt = viommu_state_get_u8(in);
	c->ticket = viommu_state_get_u64(in);
}

static void command_check(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	const struct dsa_command *c = &dsa->command;

	if (c->active && (c->ticket > dsa->tickets || !viommu__dsa_command_good(dsa)))
		viommu_state_refuse(in, "no command with code %u can be in progress", c->code);
}

static void assemblies_load(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	struct dsa_assembly *a = &dsa->assembly[0][0][0];
	unsigned int nr = viommu_state_get_u16(in), i;

	for (; nr && !viommu_state_bad(in); nr--) {
		i = viommu_state_get_u16(in);
		if (i >= ASSEMBLIES || i / (DSA_PORTAL_PAGES * DSA_ASSEMBLIES) >= dsa->queues) {
			viommu_state_refuse(in, "a store to no portal");
			return;
		}
		a[i].slot = viommu_state_get_u8(in);
		a[i].have = viommu_state_get_u8(in);
		if (a[i].slot > 63 || a[i].slot % DSA_ASSEMBLIES != i % DSA_ASSEMBLIES ||
		    a[i].have > 60 || a[i].have % 4 || !a[i].have) {
			a[i].have = 0;
			viommu_state_refuse(in, "a store that no portal keeps");
			return;
		}
		viommu_state_get(in, a[i].bytes, a[i].have);
	}
}

/* A job's limits are those of its queue, which are none beyond the device's. */
static bool job_limits_good(const struct viommu_dsa *dsa, const struct dsa_job *job)
{
	return job->wq < dsa->queues && !(job->ops & ~DSA_OPCAP0) &&
	       job->max_transfer <= UINT64_C(1) << dsa->transfer_lg2 &&
	       job->max_batch <= UINT64_C(1) << dsa->batch_lg2 && job->index < job->max_batch + 1 &&
	       (job->pasid <= VIOMMU_PASID_MAX || job->pasid == VIOMMU_NO_PASID);
}

/* Where each operation may have been suspended: what it would be without the checks here. */
static bool resumable(struct dsa_job *job)
{
	uint32_t done = job->completed, size = dsa_size(job), used;

	switch (job->op) {
	case DSA_OP_CR_DELTA:
		used = (uint32_t)DSA_FIELD(job->tail[0], DSA_CR_DELTA_SIZE);
		return done <= size && done % 8 == 0 && used % DSA_DELTA_ENTRY == 0 &&
		       used <= DSA_GET(job->w, DSA_D_DELTA_MAX);
	case DSA_OP_AP_DELTA:
		return done <= DSA_GET(job->w, DSA_D_DELTA_SIZE) && done % DSA_DELTA_ENTRY == 0 &&
		       job->last >= -1 && job->last < size / 8;
	case DSA_OP_FILL:
		return done <= size && done % 8 == 0;
	case DSA_OP_DIF_CHECK:
	case DSA_OP_DIF_INSERT:
	case DSA_OP_DIF_STRIP:
	case DSA_OP_DIF_UPDATE:
		return done <= size && viommu__dsa_dif_resumable(job);
	default:
		return done <= size; /* of a batch: descriptors */
	}
}

/* Has it been let through by the checks that it will not see again? */
static bool job_good(const struct viommu_dsa *dsa, struct dsa_job *job)
{
	if (!job_limits_good(dsa, job))
		return false;
	switch (job->stage) {
	case DSA_STAGE_START:
		return true;
	case DSA_STAGE_OPERATE:
		return job->op < 64 && job->ops >> job->op & 1 &&
		       !(job->in_batch && (job->op == DSA_OP_BATCH || job->op == DSA_OP_DRAIN)) &&
		       !viommu__dsa_operands(job) && resumable(job);
	default:
		return job->stage == DSA_STAGE_COMPLETE && job->status &&
		       job->status <= DSA_MASK(DSA_CR_STATUS) && job->status != DSA_ST_CR_FAULT;
	}
}

static void job_load(struct viommu_dsa *dsa, struct dsa_engine *e, struct dsa_job *job,
		     struct viommu_state_in *in)
{
	uint16_t flags;

	*job = (struct dsa_job){ .dsa = dsa, .engine = e, .suspended = true };
	words_get(in, job->w, 8);
	job->wq = viommu_state_get_u8(in);
	flags = viommu_state_get_u16(in);
	JOB_FLAGS(JOB_FLAG_GET, job)
	job->stage = viommu_state_get_u8(in);
	job->status = viommu_state_get_u8(in);
	job->result = viommu_state_get_u8(in);
	job->index = viommu_state_get_u32(in);
	job->pasid = viommu_state_get_u32(in);
	job->ops = viommu_state_get_u64(in);
	job->max_transfer = viommu_state_get_u64(in);
	job->max_batch = viommu_state_get_u64(in);
	job->last = (int64_t)viommu_state_get_u64(in);
	job->bad_flags = viommu_state_get_u32(in);
	job->completed = viommu_state_get_u32(in);
	job->fault_addr = viommu_state_get_u64(in);
	words_get(in, job->tail, 2);
	job->moved = viommu_state_get_u64(in);
	job->ran = viommu_state_get_u32(in);
	job->errors = viommu_state_get_u32(in);
	job->op = (unsigned int)DSA_GET(job->w, DSA_D_OPCODE);
	job->flags = (uint32_t)DSA_GET(job->w, DSA_D_FLAGS);
	if (!viommu_state_bad(in) && !job_good(dsa, job))
		viommu_state_refuse(in, "no descriptor is suspended like that");
}

static void engine_load(struct viommu_dsa *dsa, struct dsa_engine *e, struct viommu_state_in *in)
{
	unsigned int jobs = viommu_state_get_u8(in);

	if (!jobs)
		return;
	e->ticket = viommu_state_get_u64(in);
	job_load(dsa, e, &e->job, in);
	if (viommu_state_bad(in))
		return;
	if (jobs > 2 || !e->ticket || e->ticket > dsa->tickets || e->job.in_batch ||
	    dsa_wq_state(dsa, e->job.wq) == DSA_STATE_DISABLED) {
		viommu_state_refuse(in, "no engine is busy like that");
		return;
	}
	if (jobs == 2) {
		job_load(dsa, e, &e->member, in);
		if (!viommu_state_bad(in) &&
		    (!e->member.in_batch || e->member.wq != e->job.wq ||
		     e->member.pasid != e->job.pasid || e->job.op != DSA_OP_BATCH ||
		     e->job.stage != DSA_STAGE_OPERATE || e->member.index != e->job.completed ||
		     e->member.index >= dsa_size(&e->job)))
			viommu_state_refuse(in, "no batch is suspended like that");
		if (viommu_state_bad(in))
			return;
	}
	e->in_member = jobs == 2;
	e->parked = true;
	e->busy = true;
	store_relaxed(&e->abort, 0);
	e->wq = e->job.wq;
	e->pasid = e->job.pasid;
	dsa->queue[e->wq].running++;
}

static void stats_load(struct viommu_dsa_stats *s, struct viommu_state_in *in)
{
	s->descriptors = viommu_state_get_u64(in);
	s->batches = viommu_state_get_u64(in);
	s->bytes = viommu_state_get_u64(in);
	s->errors = viommu_state_get_u64(in);
	s->swerrors = viommu_state_get_u64(in);
	s->retries = viommu_state_get_u64(in);
}

static void load(struct viommu_dsa *dsa, struct viommu_state_in *in)
{
	struct dsa_entry *at = dsa->entries;
	unsigned int i;

	if (viommu_state_get_u32(in) != VERSION) {
		viommu_state_refuse(in, "saved by a later version of the device");
		return;
	}
	shape_check(dsa, in);
	image_load(dsa, in);
	dsa->tickets = viommu_state_get_u64(in);
	dsa->next_group = viommu_state_get_u32(in);
	if (dsa->next_group >= dsa->groups)
		viommu_state_refuse(in, "group %u is none", dsa->next_group);
	if (viommu_state_bad(in))
		return;
	command_load(dsa, in);
	for (i = 0; i < dsa->queues && !viommu_state_bad(in); i++)
		queue_load(dsa, i, &at, in);
	if (!viommu_state_bad(in))
		queues_check(dsa, in);
	for (i = 0; i < dsa->engines && !viommu_state_bad(in); i++)
		engine_load(dsa, &dsa->engine[i], in);
	if (!viommu_state_bad(in))
		command_check(dsa, in);
	assemblies_load(dsa, in);
	stats_load(&dsa->stats, in);
}

void viommu__dsa_load(void *ctx, struct viommu_state_in *in)
{
	struct viommu_dsa *dsa = ctx;

	dsa_lock(dsa);
	load(dsa, in);
	viommu__dsa_unlock(dsa);
}
