/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands 1 to 12. Each is checked and begun when it is written; what has to wait for descriptors
 * stays active, and ends on the thread that ends the last of them. Descriptors that come after a
 * drain are not waited for: submissions are numbered, and a command remembers the last number.
 */
#include "dev/dsa/dsa.h"

#define NO_ERROR 0u

static void set_state(struct viommu_dsa *dsa, unsigned int state)
{
	DSA_SET32(dsa_reg(dsa, DSA_REG_GENSTS), DSA_GENSTS_STATE, state);
}

static void set_wq_state(struct viommu_dsa *dsa, unsigned int wq, unsigned int state)
{
	DSA_SET32(dsa_wqcfg(dsa, wq), DSA_WQCFG_STATE, state);
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static uint32_t group_engines(struct viommu_dsa *dsa, unsigned int group)
{
	return dsa_grpcfg(dsa, group)[DSA_GRPCFG_ENGINES_LO / 32];
}

/* How many groups have bit n in the dword at this index of their configuration. */
static unsigned int groups_with(struct viommu_dsa *dsa, unsigned int dword, unsigned int n)
{
	unsigned int i, count = 0;

	for (i = 0; i < dsa->groups; i++)
		count += dsa_grpcfg(dsa, i)[dword] >> n & 1;
	return count;
}

static unsigned int check_buffers(struct viommu_dsa *dsa)
{
	unsigned int i, reserved = 0;

	for (i = 0; i < dsa->groups; i++) {
		const uint32_t *cfg = dsa_grpcfg(dsa, i);
		unsigned int engines = (unsigned int)__builtin_popcount(group_engines(dsa, i));
		unsigned int allowed = DSA_GET32(cfg, DSA_GRPCFG_ALLOWED);

		if (!engines)
			continue;
		reserved += DSA_GET32(cfg, DSA_GRPCFG_RESERVED);
		if (allowed < 4 * engines || allowed < DSA_GET32(cfg, DSA_GRPCFG_RESERVED))
			return DSA_CE_BUFFERS;
	}
	return reserved > DSA_READ_BUFFERS ? DSA_CE_BUFFERS : NO_ERROR;
}

static unsigned int check_device(struct viommu_dsa *dsa, uint32_t enabled)
{
	unsigned int i, sum = 0;

	if (dsa_state(dsa) != DSA_STATE_DISABLED)
		return DSA_CE_DEV_ENABLED;
	if (!(enabled & VIOMMU_PCI_BUS_MASTER))
		return DSA_CE_BUS_MASTER;
	for (i = 0; i < dsa->queues; i++)
		sum += DSA_GET32(dsa_wqcfg(dsa, i), DSA_WQCFG_SIZE);
	if (sum > dsa->entries_nr)
		return DSA_CE_WQ_SIZES;
	for (i = 0; i < dsa->groups; i++)
		if (!dsa_grpcfg(dsa, i)[0] != !group_engines(dsa, i))
			return DSA_CE_GROUP;
	for (i = 0; i < dsa->queues; i++)
		if (groups_with(dsa, 0, i) != !!DSA_GET32(dsa_wqcfg(dsa, i), DSA_WQCFG_SIZE))
			return DSA_CE_WQ_GROUP;
	for (i = 0; i < dsa->engines; i++)
		if (groups_with(dsa, DSA_GRPCFG_ENGINES_LO / 32, i) > 1)
			return DSA_CE_ENGINE_GROUP;
	return check_buffers(dsa);
}

static bool ops_allowed(const uint32_t *cfg)
{
	unsigned int i;

	if (cfg[DSA_WQCFG_OPS0_LO / 32] & ~(uint32_t)DSA_OPCAP0 ||
	    cfg[DSA_WQCFG_OPS0_LO / 32 + 1] & ~(uint32_t)(DSA_OPCAP0 >> 32))
		return false;
	for (i = DSA_WQCFG_OPS1_LO / 32; i < 16; i++)
		if (cfg[i])
			return false;
	return true;
}

static bool occupancy_good(const struct viommu_dsa *dsa, const uint32_t *cfg)
{
	return !DSA_GET32(cfg, DSA_WQCFG_INT_EN) ||
	       (!DSA_GET32(cfg, DSA_WQCFG_INT_IMS) &&
		DSA_GET32(cfg, DSA_WQCFG_INT_HANDLE) < dsa_vectors(dsa));
}

/* What an enabled queue's configuration is; with `interrupt` also what only enabling it asks. */
static unsigned int check_wq_config(struct viommu_dsa *dsa, unsigned int wq, uint32_t enabled,
				    bool interrupt)
{
	const uint32_t *cfg = dsa_wqcfg(dsa, wq);
	bool pasid = DSA_GET32(cfg, DSA_WQCFG_PASID_EN);

	if (!DSA_GET32(cfg, DSA_WQCFG_SIZE))
		return DSA_CE_WQ_SIZE;
	if (!DSA_GET32(cfg, DSA_WQCFG_PRIORITY))
		return DSA_CE_WQ_PRIORITY;
	if (DSA_GET32(cfg, DSA_WQCFG_BOF) && (dsa->no_pri || !(enabled & VIOMMU_PCI_PRI)))
		return DSA_CE_WQ_BOF;
	if (pasid ? !(enabled & VIOMMU_PCI_PASID) : !DSA_GET32(cfg, DSA_WQCFG_DEDICATED))
		return DSA_CE_WQ_PASID;
	if (DSA_GET32(cfg, DSA_WQCFG_MAX_BATCH) > dsa->batch_lg2 ||
	    DSA_GET32(cfg, DSA_WQCFG_MAX_SGL))
		return DSA_CE_WQ_BATCH;
	if (DSA_GET32(cfg, DSA_WQCFG_MAX_TRANSFER) > dsa->transfer_lg2)
		return DSA_CE_WQ_TRANSFER;
	/* The PASID capability has no privileged mode. */
	if (pasid && DSA_GET32(cfg, DSA_WQCFG_PRIV))
		return DSA_CE_WQ_PRIV;
	if (interrupt && !occupancy_good(dsa, cfg))
		return DSA_CE_WQ_OCCUPANCY;
	if (!ops_allowed(cfg))
		return DSA_CE_WQ_OPS;
	if (DSA_GET32(cfg, DSA_WQCFG_PRS_DISABLE))
		return DSA_CE_WQ_PRS;
	return NO_ERROR;
}

static unsigned int check_wq(struct viommu_dsa *dsa, unsigned int wq, uint32_t enabled)
{
	if (dsa_state(dsa) != DSA_STATE_ENABLED)
		return DSA_CE_DEV_OFF;
	if (dsa_wq_state(dsa, wq) != DSA_STATE_DISABLED)
		return DSA_CE_WQ_ENABLED;
	return check_wq_config(dsa, wq, enabled, true);
}

bool viommu__dsa_wq_good(struct viommu_dsa *dsa, unsigned int wq)
{
	/*
	 * What the function has enabled may have changed since, which halted the device; and the
	 * interrupt may have been enabled since, whatever its handle is (queue.c).
	 */
	return check_wq_config(dsa, wq, ~UINT32_C(0), false) == NO_ERROR;
}

/* ---- What commands do ------------------------------------------------------------------------ */

/* The queues whose descriptors a command ends or waits for, as bits. */
static uint32_t queues_of(struct viommu_dsa *dsa, const struct dsa_command *c)
{
	switch (c->code) {
	case DSA_CMD_ENABLE_DEVICE:
	case DSA_CMD_ENABLE_WQ:
		return 0;
	case DSA_CMD_DISABLE_WQ:
	case DSA_CMD_DRAIN_WQ:
	case DSA_CMD_ABORT_WQ:
	case DSA_CMD_RESET_WQ:
		return c->operand & 0xffff;
	default:
		return (uint32_t)low_bits(dsa->queues);
	}
}

static uint32_t pasid_of(const struct dsa_command *c)
{
	if (c->code == DSA_CMD_DRAIN_PASID || c->code == DSA_CMD_ABORT_PASID)
		return c->operand;
	return VIOMMU_ALL_PASIDS;
}

static unsigned int check_operand(struct viommu_dsa *dsa, const struct dsa_command *c)
{
	switch (c->code) {
	case DSA_CMD_ENABLE_DEVICE:
	case DSA_CMD_DISABLE_DEVICE:
	case DSA_CMD_DRAIN_ALL:
	case DSA_CMD_ABORT_ALL:
	case DSA_CMD_RESET_DEVICE:
		return c->operand ? DSA_CE_RESERVED : NO_ERROR;
	case DSA_CMD_ENABLE_WQ:
		return c->operand < dsa->queues ? NO_ERROR : DSA_CE_WQ;
	case DSA_CMD_DISABLE_WQ:
	case DSA_CMD_DRAIN_WQ:
	case DSA_CMD_ABORT_WQ:
	case DSA_CMD_RESET_WQ:
		/* Bits 19:16 choose sixteen queues, of which there are at most the first. */
		return c->operand & ~(uint32_t)low_bits(dsa->queues) ? DSA_CE_WQ : NO_ERROR;
	case DSA_CMD_DRAIN_PASID:
	case DSA_CMD_ABORT_PASID:
		return NO_ERROR;
	default:
		return DSA_CE_COMMAND;
	}
}

static void abort_jobs(struct viommu_dsa *dsa, uint32_t wqs, uint32_t pasid)
{
	unsigned int i;

	for (i = 0; i < dsa->queues; i++)
		if (wqs >> i & 1)
			viommu__dsa_queue_drop(dsa, i, pasid);
	for (i = 0; i < dsa->engines; i++) {
		struct dsa_engine *e = &dsa->engine[i];

		if (!e->busy || !(wqs >> e->wq & 1) ||
		    (pasid != VIOMMU_ALL_PASIDS && e->pasid != pasid))
			continue;
		if (e->parked)
			viommu__dsa_unpark(dsa, e);
		else
			store_relaxed(&e->abort, 1);
	}
}

void viommu__dsa_abort(struct viommu_dsa *dsa)
{
	abort_jobs(dsa, (uint32_t)low_bits(dsa->queues), VIOMMU_ALL_PASIDS);
}

static unsigned int check_enabled(struct viommu_dsa *dsa, uint32_t wqs)
{
	for (; wqs; wqs &= wqs - 1)
		if (dsa_wq_state(dsa, lowest_bit(wqs)) != DSA_STATE_ENABLED)
			return DSA_CE_WQ_NOT_ENABLED;
	return NO_ERROR;
}

/* No submission is taken from now on. */
static void close_queues(struct viommu_dsa *dsa, uint32_t wqs)
{
	for (; wqs; wqs &= wqs - 1)
		if (dsa_wq_state(dsa, lowest_bit(wqs)) == DSA_STATE_ENABLED)
			set_wq_state(dsa, lowest_bit(wqs), DSA_STATE_DRAINING);
}

/* The checks, and the part that happens at once. An error ends the command. */
static unsigned int begin(struct viommu_dsa *dsa, const struct dsa_command *c, uint32_t enabled)
{
	uint32_t wqs = queues_of(dsa, c);
	unsigned int err = check_operand(dsa, c);

	if (err)
		return err;
	if (dsa_state(dsa) == DSA_STATE_HALT && c->code != DSA_CMD_RESET_DEVICE)
		return DSA_CE_HALTED;
	switch (c->code) {
	case DSA_CMD_ENABLE_DEVICE:
		err = check_device(dsa, enabled);
		if (err)
			return err;
		viommu__dsa_queues_place(dsa);
		set_state(dsa, DSA_STATE_ENABLED);
		return NO_ERROR;
	case DSA_CMD_DISABLE_DEVICE:
		if (dsa_state(dsa) != DSA_STATE_ENABLED)
			return DSA_CE_DEV_NOT_ENABLED;
		close_queues(dsa, wqs);
		set_state(dsa, DSA_STATE_DRAINING);
		return NO_ERROR;
	case DSA_CMD_RESET_DEVICE:
		close_queues(dsa, wqs);
		abort_jobs(dsa, wqs, VIOMMU_ALL_PASIDS);
		if (dsa_state(dsa) == DSA_STATE_ENABLED)
			set_state(dsa, DSA_STATE_DRAINING);
		return NO_ERROR;
	case DSA_CMD_ENABLE_WQ:
		err = check_wq(dsa, c->operand, enabled);
		if (err)
			return err;
		set_wq_state(dsa, c->operand, DSA_STATE_ENABLED);
		return NO_ERROR;
	case DSA_CMD_DISABLE_WQ:
		err = check_enabled(dsa, wqs);
		if (!err)
			close_queues(dsa, wqs);
		return err;
	case DSA_CMD_DRAIN_WQ:
		return check_enabled(dsa, wqs);
	case DSA_CMD_ABORT_WQ:
		err = check_enabled(dsa, wqs);
		if (!err)
			abort_jobs(dsa, wqs, VIOMMU_ALL_PASIDS);
		return err;
	case DSA_CMD_RESET_WQ:
		close_queues(dsa, wqs);
		abort_jobs(dsa, wqs, VIOMMU_ALL_PASIDS);
		return NO_ERROR;
	case DSA_CMD_ABORT_ALL:
	case DSA_CMD_ABORT_PASID:
		abort_jobs(dsa, wqs, pasid_of(c));
		return NO_ERROR;
	default: /* drain: only waits */
		return NO_ERROR;
	}
}

static bool pending(struct viommu_dsa *dsa, const struct dsa_command *c)
{
	uint32_t wqs = queues_of(dsa, c);

	for (; wqs; wqs &= wqs - 1)
		if (viommu__dsa_queue_pending(dsa, lowest_bit(wqs), pasid_of(c), c->ticket))
			return true;
	return false;
}

/* Registers to power-on, but for those that tell what happened. */
static void reset_device(struct viommu_dsa *dsa)
{
	uint32_t swerror[8];

	memcpy(swerror, dsa_reg(dsa, DSA_REG_SWERROR), sizeof(swerror));
	viommu__dsa_regs_reset(dsa);
	memcpy(dsa_reg(dsa, DSA_REG_SWERROR), swerror, sizeof(swerror));
	viommu__dsa_queues_reset(dsa);
}

/* Nothing is waited for any more: the rest. */
static void end(struct viommu_dsa *dsa, const struct dsa_command *c)
{
	uint32_t wqs = queues_of(dsa, c);

	switch (c->code) {
	case DSA_CMD_DISABLE_DEVICE:
		set_state(dsa, DSA_STATE_DISABLED);
		for (; wqs; wqs &= wqs - 1)
			set_wq_state(dsa, lowest_bit(wqs), DSA_STATE_DISABLED);
		break;
	case DSA_CMD_RESET_DEVICE:
		reset_device(dsa);
		break;
	case DSA_CMD_DISABLE_WQ:
		for (; wqs; wqs &= wqs - 1)
			set_wq_state(dsa, lowest_bit(wqs), DSA_STATE_DISABLED);
		break;
	case DSA_CMD_RESET_WQ:
		for (; wqs; wqs &= wqs - 1) {
			viommu__dsa_wq_reset(dsa, lowest_bit(wqs));
			memset(dsa->assembly[lowest_bit(wqs)], 0, sizeof(dsa->assembly[0]));
		}
		break;
	default:
		break;
	}
}

static void finish(struct viommu_dsa *dsa, unsigned int err)
{
	/* Drivers compare the whole register with 0. */
	*dsa_reg(dsa, DSA_REG_CMDSTS) = err;
	dsa->command.active = false;
	if (dsa->command.interrupt)
		viommu__dsa_cause(dsa, DSA_BITS(DSA_INTCAUSE_COMMAND));
}

/* Does it end with queues whose configuration may be changed? */
static bool disables(const struct dsa_command *c)
{
	return c->code == DSA_CMD_DISABLE_DEVICE || c->code == DSA_CMD_RESET_DEVICE ||
	       c->code == DSA_CMD_DISABLE_WQ || c->code == DSA_CMD_RESET_WQ;
}

bool viommu__dsa_command_good(struct viommu_dsa *dsa)
{
	const struct dsa_command *c = &dsa->command;
	uint32_t wqs;

	if (c->code == DSA_CMD_ENABLE_DEVICE || c->code == DSA_CMD_ENABLE_WQ ||
	    check_operand(dsa, c) != NO_ERROR)
		return false;
	/* It would have ended. To end it now would send its interrupt, and no load may do that. */
	if (!pending(dsa, c))
		return false;
	/* It closed them, so nothing of them came later, and nothing is left when it ends. */
	for (wqs = disables(c) ? queues_of(dsa, c) : 0; wqs; wqs &= wqs - 1)
		if (dsa_wq_state(dsa, lowest_bit(wqs)) == DSA_STATE_ENABLED ||
		    viommu__dsa_queue_newer(dsa, lowest_bit(wqs), c->ticket))
			return false;
	return true;
}

void viommu__dsa_command_poll(struct viommu_dsa *dsa)
{
	if (!dsa->command.active || pending(dsa, &dsa->command))
		return;
	end(dsa, &dsa->command);
	finish(dsa, NO_ERROR);
}

void viommu__dsa_command(struct viommu_dsa *dsa, uint32_t value)
{
	struct dsa_swerror dropped = { .w = { DSA_VAL(DSA_SWERROR_CODE, DSA_ST_COMMAND) } };
	struct dsa_command *c = &dsa->command;
	unsigned int err;

	if (c->active) {
		viommu__dsa_swerror(dsa, &dropped);
		return;
	}
	*c = (struct dsa_command){
		.active = true,
		.code = (uint32_t)DSA_FIELD(value, DSA_CMD_CODE),
		.operand = (uint32_t)DSA_FIELD(value, DSA_CMD_OPERAND),
		.interrupt = DSA_FIELD(value, DSA_CMD_INT),
		.ticket = dsa->tickets,
	};
	*dsa_reg(dsa, DSA_REG_CMDSTS) = DSA_BITS(DSA_CMDSTS_ACTIVE);
	if (value &
	    ~(uint32_t)(DSA_MASK(DSA_CMD_CODE) | DSA_MASK(DSA_CMD_OPERAND) | DSA_MASK(DSA_CMD_INT)))
		err = DSA_CE_RESERVED;
	else
		err = begin(dsa, c, viommu_pci_enabled(dsa->pci));
	if (err)
		finish(dsa, err);
	else
		viommu__dsa_command_poll(dsa);
}

void viommu__dsa_halt(struct viommu_dsa *dsa)
{
	viommu__dsa_abort(dsa);
	close_queues(dsa, (uint32_t)low_bits(dsa->queues));
	set_state(dsa, DSA_STATE_HALT);
	if (DSA_GET32(dsa_reg(dsa, DSA_REG_GENCTRL), DSA_GENCTRL_HALT))
		viommu__dsa_cause(dsa, DSA_BITS(DSA_INTCAUSE_HALT));
	viommu__dsa_command_poll(dsa);
}
