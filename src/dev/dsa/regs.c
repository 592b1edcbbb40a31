/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The register file: an image of BAR 0's first page, and one function that applies the rules of
 * viommu_dsa_regs to writes of any width. Locked fields keep their value silently, because drivers
 * write the whole configuration whenever they change a part of it.
 */
#include "dev/dsa/dsa.h"

static void set64(struct viommu_dsa *dsa, uint32_t offset, uint64_t v)
{
	*dsa_reg(dsa, offset) = (uint32_t)v;
	*dsa_reg(dsa, offset + 4) = (uint32_t)(v >> 32);
}

void viommu__dsa_wq_reset(struct viommu_dsa *dsa, unsigned int wq)
{
	uint32_t *cfg = dsa_wqcfg(dsa, wq), size = cfg[0];

	memset(cfg, 0, 64);
	cfg[0] = size;
	DSA_SET32(cfg, DSA_WQCFG_MODE_SUPPORT, 1);
	set64(dsa, DSA_WQCFG + wq * 64 + DSA_WQCFG_OPS0_LO / 8, DSA_OPCAP0);
}

void viommu__dsa_regs_reset(struct viommu_dsa *dsa)
{
	unsigned int i;

	memset(dsa->image, 0, sizeof(dsa->image));
	*dsa_reg(dsa, DSA_REG_VERSION) = DSA_VAL(DSA_VERSION_MAJOR, 1);
	set64(dsa, DSA_REG_GENCAP,
	      DSA_VAL(DSA_GENCAP_BOF, !dsa->no_pri) | DSA_VAL(DSA_GENCAP_OVERLAP, 1) |
		      DSA_VAL(DSA_GENCAP_CACHE, 1) | DSA_VAL(DSA_GENCAP_CMDCAP, 1) |
		      DSA_VAL(DSA_GENCAP_READBACK, 1) |
		      DSA_VAL(DSA_GENCAP_MAX_TRANSFER, dsa->transfer_lg2) |
		      DSA_VAL(DSA_GENCAP_MAX_BATCH, dsa->batch_lg2) |
		      DSA_VAL(DSA_GENCAP_CONFIGURABLE, 1));
	/* Disabling page requests by queue needs the event log, which 1.0 has not. */
	set64(dsa, DSA_REG_WQCAP,
	      DSA_VAL(DSA_WQCAP_TOTAL, dsa->entries_nr) | DSA_VAL(DSA_WQCAP_QUEUES, dsa->queues) |
		      DSA_VAL(DSA_WQCAP_CFG_SIZE, 1) | DSA_VAL(DSA_WQCAP_SHARED, 1) |
		      DSA_VAL(DSA_WQCAP_DEDICATED, 1) | DSA_VAL(DSA_WQCAP_ATS, 1) |
		      DSA_VAL(DSA_WQCAP_PRIORITY, 1) | DSA_VAL(DSA_WQCAP_OCCUPANCY, 1) |
		      DSA_VAL(DSA_WQCAP_OCCUPANCY_INT, 1) | DSA_VAL(DSA_WQCAP_OPCFG, 1));
	set64(dsa, DSA_REG_GRPCAP,
	      DSA_VAL(DSA_GRPCAP_GROUPS, dsa->groups) |
		      DSA_VAL(DSA_GRPCAP_BUFFERS, DSA_READ_BUFFERS) |
		      DSA_VAL(DSA_GRPCAP_CONTROLS, 1) | DSA_VAL(DSA_GRPCAP_LIMIT, 1));
	set64(dsa, DSA_REG_ENGCAP, DSA_VAL(DSA_ENGCAP_ENGINES, dsa->engines));
	set64(dsa, DSA_REG_OPCAP, DSA_OPCAP0);
	set64(dsa, DSA_REG_TABLES,
	      DSA_VAL(DSA_TABLES_GRPCFG, DSA_GRPCFG >> 8) |
		      DSA_VAL(DSA_TABLES_WQCFG, DSA_WQCFG >> 8) |
		      DSA_VAL(DSA_TABLES_MSIXPERM, DSA_MSIXPERM >> 8));
	*dsa_reg(dsa, DSA_REG_GENCFG) = DSA_READ_BUFFERS;
	*dsa_reg(dsa, DSA_REG_CMDCAP) = DSA_COMMANDS_ALL;
	for (i = 0; i < dsa->groups; i++)
		DSA_SET32(dsa_grpcfg(dsa, i), DSA_GRPCFG_ALLOWED, DSA_READ_BUFFERS);
	for (i = 0; i < dsa->queues; i++)
		viommu__dsa_wq_reset(dsa, i);
}

void viommu__dsa_unlock(struct viommu_dsa *dsa)
{
	uint32_t vectors = dsa->vectors;
	bool kick = dsa->kick;

	dsa->vectors = 0;
	dsa->kick = false;
	pthread_mutex_unlock(&dsa->lock);
	for (; vectors; vectors &= vectors - 1)
		viommu_pci_interrupt(dsa->pci, lowest_bit(vectors));
	if (kick)
		viommu_pci_kick(dsa->pci);
}

void viommu__dsa_cause(struct viommu_dsa *dsa, uint32_t bits)
{
	*dsa_reg(dsa, DSA_REG_INTCAUSE) |= bits;
	dsa->vectors |= 1;
}

void viommu__dsa_swerror(struct viommu_dsa *dsa, const struct dsa_swerror *e)
{
	uint32_t *reg = dsa_reg(dsa, DSA_REG_SWERROR);
	unsigned int i;

	dsa->stats.swerrors++;
	/* The first error stays until software took it; of the others it learns that they were. */
	if (DSA_GET32(reg, DSA_SWERROR_VALID)) {
		DSA_SET32(reg, DSA_SWERROR_OVERFLOW, 1);
		return;
	}
	for (i = 0; i < 4; i++)
		set64(dsa, DSA_REG_SWERROR + 8 * i, e->w[i]);
	DSA_SET32(reg, DSA_SWERROR_VALID, 1);
	DSA_SET32(reg, DSA_SWERROR_OVERFLOW, 0);
	if (DSA_GET32(dsa_reg(dsa, DSA_REG_GENCTRL), DSA_GENCTRL_SWERROR))
		viommu__dsa_cause(dsa, DSA_BITS(DSA_INTCAUSE_SWERROR));
}

/* ---- Access ---------------------------------------------------------------------------------- */

struct place {
	const struct viommu_dsa_reg *reg;
	unsigned int index; /* of the table's entry */
	unsigned int dword; /* in the register (all of its count) */
};

static const struct viommu_dsa_reg *reg_at(unsigned int block, unsigned int offset)
{
	unsigned int i;

	for (i = 0; i < viommu_dsa_regs_nr; i++) {
		const struct viommu_dsa_reg *r = &viommu_dsa_regs[i];

		if (r->block == block && offset >= r->offset &&
		    offset < r->offset + r->width / 8u * r->count)
			return r;
	}
	return NULL;
}

/* Which register the dword at offset belongs to; false: none. */
static bool find(struct viommu_dsa *dsa, uint32_t offset, struct place *p)
{
	static const struct {
		uint32_t start, stride;
		unsigned int block;
	} blocks[] = {
		{ DSA_MSIXPERM, 8, VIOMMU_DSA_BLOCK_MSIX },
		{ DSA_WQCFG, 64, VIOMMU_DSA_BLOCK_WQ },
		{ DSA_GRPCFG, 64, VIOMMU_DSA_BLOCK_GRP },
		{ 0, DSA_GRPCFG, VIOMMU_DSA_BLOCK_REG },
	};
	const unsigned int nr[] = { dsa_vectors(dsa), dsa->queues, dsa->groups, 1 };
	unsigned int i = 0;

	while (offset < blocks[i].start)
		i++;
	offset -= blocks[i].start;
	p->index = offset / blocks[i].stride;
	offset %= blocks[i].stride;
	if (p->index >= nr[i])
		return false;
	p->reg = reg_at(blocks[i].block, offset);
	if (!p->reg)
		return false;
	p->dword = (offset - p->reg->offset) / 4;
	return true;
}

/* Groups have only the queues and engines that there are. */
static uint32_t there(struct viommu_dsa *dsa, const struct place *p, uint32_t bits)
{
	if (p->reg->hook == VIOMMU_DSA_HOOK_GRP_WQS)
		return bits & (p->dword ? 0 : (uint32_t)low_bits(dsa->queues));
	if (p->reg->hook == VIOMMU_DSA_HOOK_GRP_ENGINES)
		return bits & (p->dword ? 0 : (uint32_t)low_bits(dsa->engines));
	return bits;
}

uint32_t viommu__dsa_reg_bits(struct viommu_dsa *dsa, uint32_t offset)
{
	struct place p;

	if (!find(dsa, offset, &p))
		return 0;
	return there(dsa, &p,
		     (uint32_t)((p.reg->writable | p.reg->rw1c) >> (p.dword * 32 % p.reg->width)));
}

/* The bits of the dword that software may change now. */
static uint32_t writable(struct viommu_dsa *dsa, const struct place *p)
{
	const struct viommu_dsa_reg *r = p->reg;
	uint32_t bits = (uint32_t)(r->writable >> (p->dword * 32 % r->width));

	switch (r->when) {
	case VIOMMU_DSA_WHEN_DEV_OFF:
		if (dsa_state(dsa) != DSA_STATE_DISABLED)
			return 0;
		break;
	case VIOMMU_DSA_WHEN_WQ_OFF:
		if (dsa_wq_state(dsa, p->index) != DSA_STATE_DISABLED)
			return 0;
		break;
	case VIOMMU_DSA_WHEN_INT_OFF:
		if (DSA_GET32(dsa_wqcfg(dsa, p->index), DSA_WQCFG_INT_EN))
			bits &= DSA_BITS(DSA_WQCFG_INT_EN);
		break;
	default:
		break;
	}
	return there(dsa, p, bits);
}

/* The bytes of mask in the dword at offset. */
static void write32(struct viommu_dsa *dsa, uint32_t offset, uint32_t value, uint32_t mask)
{
	uint32_t *reg = dsa_reg(dsa, offset), bits;
	struct place p;

	if (!find(dsa, offset, &p))
		return;
	bits = writable(dsa, &p) & mask;
	*reg = (*reg & ~bits) | (value & bits);
	*reg &= ~(value & mask & (uint32_t)(p.reg->rw1c >> (p.dword * 32 % p.reg->width)));
	/* choice: a part of the command register is no command. */
	if (p.reg->hook == VIOMMU_DSA_HOOK_CMD && mask == ~UINT32_C(0))
		viommu__dsa_command(dsa, value);
}

static uint32_t read32(struct viommu_dsa *dsa, uint32_t offset)
{
	uint32_t value = *dsa_reg(dsa, offset);
	struct place p;

	if (offset >= DSA_WQCFG && offset < DSA_MSIXPERM && find(dsa, offset, &p) &&
	    p.reg->offset == DSA_WQCFG_OCCUPANCY_LO / 8)
		value |= dsa->queue[p.index].count;
	return value;
}

uint64_t viommu__dsa_reg_read(struct viommu_dsa *dsa, uint64_t offset, unsigned int bytes)
{
	uint32_t at = (uint32_t)offset;
	uint64_t value;

	if (offset >= DSA_DUMMY)
		return low_bits(8 * bytes);
	if (offset >= DSA_IMAGE)
		return 0;
	value = read32(dsa, at & ~3u);
	if (bytes == 8)
		return value | (uint64_t)read32(dsa, at + 4) << 32;
	return value >> 8 * (at & 3) & low_bits(8 * bytes);
}

void viommu__dsa_reg_write(struct viommu_dsa *dsa, uint64_t offset, unsigned int bytes,
			   uint64_t value)
{
	uint32_t at = (uint32_t)offset, shift = 8 * (at & 3);

	if (offset >= DSA_IMAGE)
		return;
	if (bytes == 8) {
		write32(dsa, at, (uint32_t)value, ~UINT32_C(0));
		write32(dsa, at + 4, (uint32_t)(value >> 32), ~UINT32_C(0));
	} else {
		write32(dsa, at & ~3u, (uint32_t)value << shift,
			(uint32_t)low_bits(8 * bytes) << shift);
	}
}
