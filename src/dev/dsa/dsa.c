/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The accelerator as a PCI function: its life, and what the framework calls.
 */
#include "dev/dsa/dsa.h"

static uint64_t dsa_read(void *ctx, unsigned int bar, uint64_t offset, unsigned int bytes)
{
	struct viommu_dsa *dsa = ctx;
	uint64_t value = low_bits(8 * bytes); /* portals */

	if (bar != 0)
		return value;
	dsa_lock(dsa);
	value = viommu__dsa_reg_read(dsa, offset, bytes);
	viommu__dsa_unlock(dsa);
	return value;
}

static void dsa_write(void *ctx, unsigned int bar, uint64_t offset, unsigned int bytes,
		      uint64_t value)
{
	struct viommu_dsa *dsa = ctx;

	dsa_lock(dsa);
	if (bar == 0)
		viommu__dsa_reg_write(dsa, offset, bytes, value);
	else if (bar == 2)
		viommu__dsa_portal_write(dsa, offset, bytes, value);
	viommu__dsa_unlock(dsa);
}

/* The framework wants .run to end. What ends so leaves no record. */
static void dsa_abort(void *ctx)
{
	struct viommu_dsa *dsa = ctx;

	dsa_lock(dsa);
	viommu__dsa_abort(dsa);
	viommu__dsa_unlock(dsa);
}

static void dsa_reset(void *ctx)
{
	struct viommu_dsa *dsa = ctx;
	unsigned int i;

	dsa_lock(dsa);
	memset(&dsa->command, 0, sizeof(dsa->command));
	for (i = 0; i < dsa->engines; i++)
		if (dsa->engine[i].parked)
			viommu__dsa_unpark(dsa, &dsa->engine[i]);
	viommu__dsa_regs_reset(dsa);
	viommu__dsa_queues_reset(dsa);
	dsa->vectors = 0;
	viommu__dsa_unlock(dsa);
}

/*
 * Bus mastering, ATS, PRI and PASID are set up before the device is enabled (Linux does it when it
 * finds the function, before a driver has it). A change later pulls the ground from under jobs.
 */
static void dsa_control(void *ctx, uint32_t changed)
{
	const struct dsa_swerror e = { .w = { DSA_VAL(DSA_SWERROR_CODE, DSA_ST_PCI_CONTROL) } };
	const uint32_t ground =
		VIOMMU_PCI_BUS_MASTER | VIOMMU_PCI_ATS | VIOMMU_PCI_PRI | VIOMMU_PCI_PASID;
	struct viommu_dsa *dsa = ctx;

	if (!(changed & ground))
		return;
	dsa_lock(dsa);
	if (dsa_state(dsa) == DSA_STATE_ENABLED || dsa_state(dsa) == DSA_STATE_DRAINING) {
		viommu__dsa_swerror(dsa, &e);
		viommu__dsa_halt(dsa);
	}
	viommu__dsa_unlock(dsa);
}

static int dsa_run(void *ctx, struct viommu_dma *dma)
{
	struct viommu_dsa *dsa = ctx;
	struct dsa_job job;
	bool found;

	dsa_lock(dsa);
	found = viommu__dsa_pick(dsa, &job);
	/* Another engine may be free: another thread is to look, this one may be in here long. */
	dsa->kick = found && viommu__dsa_more(dsa);
	viommu__dsa_unlock(dsa);
	if (!found)
		return 0;
	job.dma = dma;
	viommu__dsa_job(&job);
	dsa_lock(dsa);
	if (job.suspended && !dsa_stopped(&job)) {
		viommu__dsa_park(dsa, &job);
	} else {
		viommu__dsa_release(dsa, &job);
		viommu__dsa_command_poll(dsa);
	}
	viommu__dsa_unlock(dsa);
	return 1;
}

/* ---- Its life -------------------------------------------------------------------------------- */

static int configure(struct viommu_dsa *dsa, const struct viommu_dsa_config *c)
{
	dsa->queues = c->queues ? c->queues : VIOMMU_DSA_MAX_QUEUES;
	dsa->groups = c->groups ? c->groups : VIOMMU_DSA_MAX_GROUPS;
	dsa->engines = c->engines ? c->engines : VIOMMU_DSA_MAX_ENGINES;
	dsa->transfer_lg2 = c->max_transfer_lg2 ? c->max_transfer_lg2 : 30;
	dsa->batch_lg2 = c->max_batch_lg2 ? c->max_batch_lg2 : 10;
	dsa->entries_nr = c->entries ? c->entries : 128;
	dsa->no_pri = c->no_pri;
	dsa->msi = c->msi;
	if (dsa->queues > VIOMMU_DSA_MAX_QUEUES || dsa->groups > VIOMMU_DSA_MAX_GROUPS ||
	    dsa->engines > VIOMMU_DSA_MAX_ENGINES || dsa->transfer_lg2 < 21 ||
	    dsa->transfer_lg2 > 31 || dsa->batch_lg2 < 5 || dsa->batch_lg2 > 10 ||
	    dsa->entries_nr > 1024 || c->no_pri > 1 || c->msi > 1 || c->reserved)
		return -EINVAL;
	return 0;
}

static int make_pci(struct viommu_dsa *dsa, bool part)
{
	/* Of a part as large as of the whole: firmware then places each VM's BARs alike. */
	uint64_t room = part ? VIOMMU_DSA_MAX_QUEUES : dsa->queues;

	struct viommu_pci_config pc = {
		.size = sizeof(pc),
		.vendor = dsa->msi ? 0x1af4 : 0x8086,
		.device = dsa->msi ? 0x10f1 : 0x0b25,
		.subsystem_vendor = 0x8086,
		.class_code = 0x088000,
		.flags = VIOMMU_PCI_HAS_ATS | VIOMMU_PCI_HAS_PASID | VIOMMU_PCI_HAS_FLR |
			 VIOMMU_PCI_HAS_PM,
		.bar = { { .bytes = DSA_BAR0_BYTES,
			   .flags = VIOMMU_PCI_BAR_64 | VIOMMU_PCI_BAR_PREFETCH } },
		.msix_vectors = dsa->msi ? 0 : (uint16_t)dsa_vectors(dsa),
		.msix_table = DSA_MSIX_TABLE,
		.msix_pba = DSA_MSIX_PBA,
		.workers = dsa->engines,
		.ops = { .ctx = dsa,
			 .read = dsa_read,
			 .write = dsa_write,
			 .abort = dsa_abort,
			 .reset = dsa_reset,
			 .control = dsa_control,
			 .run = dsa_run,
			 .save = viommu__dsa_save,
			 .load = viommu__dsa_load },
	};
	uint64_t portals = UINT64_C(1) << DSA_PORTAL_LG2;

	if (!dsa->no_pri)
		pc.flags |= VIOMMU_PCI_HAS_PRI;
	/* As a power of two. */
	for (pc.msi_vectors = dsa->msi; pc.msi_vectors && pc.msi_vectors < dsa_vectors(dsa);)
		pc.msi_vectors = (uint8_t)(pc.msi_vectors * 2);
	while (portals < room << DSA_PORTAL_LG2)
		portals *= 2;
	pc.bar[2].bytes = portals;
	pc.bar[2].flags = VIOMMU_PCI_BAR_64 | VIOMMU_PCI_BAR_PREFETCH;
	return viommu_pci_new(&pc, &dsa->pci, NULL);
}

static int make_memory(struct viommu_dsa *dsa)
{
	unsigned int i, k;

	dsa->entries = viommu__calloc(dsa->entries_nr, sizeof(*dsa->entries));
	if (!dsa->entries)
		return -ENOMEM;
	for (i = 0; i < dsa->engines; i++) {
		for (k = 0; k < DSA_BUFFERS; k++) {
			dsa->engine[i].buf[k] = viommu__alloc(DSA_BUFFER_BYTES);
			if (!dsa->engine[i].buf[k])
				return -ENOMEM;
		}
	}
	return 0;
}

static void make_tables(struct dsa_tables *t)
{
	unsigned int op, i;

	viommu__dsa_crc_tables(t);
	for (op = 0; op < DSA_OPS; op++) {
		const struct viommu_spec_table *layout = viommu_dsa_descriptor(op);

		for (i = 0; layout && i < 8; i++)
			t->reserved[op][i] = viommu_spec_reserved(layout, i);
	}
}

int viommu_dsa_new(const struct viommu_dsa_config *config, struct viommu_dsa **out)
{
	struct viommu_dsa_config c = { .size = sizeof(c) };
	struct viommu_dsa *dsa;
	int err;

	*out = NULL;
	if (config && config->size != sizeof(c))
		return -EINVAL;
	if (config)
		c = *config;
	if (c.hw)
		viommu__dsa_hw_share(c.hw, &c);
	dsa = viommu__calloc(1, sizeof(*dsa));
	if (!dsa)
		return -ENOMEM;
	err = pthread_mutex_init(&dsa->lock, NULL);
	if (err) {
		viommu__free(dsa);
		return -err;
	}
	err = configure(dsa, &c);
	if (err)
		goto fail;
	make_tables(&dsa->tables);
	err = make_memory(dsa);
	if (err)
		goto fail;
	viommu__dsa_regs_reset(dsa);
	err = make_pci(dsa, c.hw);
	if (err)
		goto fail;
	err = c.hw ? viommu__dsa_hw_take(c.hw, dsa) : 0;
	if (err)
		goto fail;
	dsa->hw = c.hw;
	*out = dsa;
	return 0;

fail:
	viommu_dsa_free(dsa);
	return err;
}

void viommu_dsa_free(struct viommu_dsa *dsa)
{
	unsigned int i, k;

	if (!dsa)
		return;
	if (dsa->hw)
		viommu__dsa_hw_give(dsa->hw, dsa);
	viommu_pci_free(dsa->pci);
	for (i = 0; i < VIOMMU_DSA_MAX_ENGINES; i++)
		for (k = 0; k < DSA_BUFFERS; k++)
			viommu__free(dsa->engine[i].buf[k]);
	viommu__free(dsa->entries);
	pthread_mutex_destroy(&dsa->lock);
	viommu__free(dsa);
}

struct viommu_pci *viommu_dsa_pci(struct viommu_dsa *dsa)
{
	return dsa->pci;
}

int viommu_dsa_enqueue(struct viommu_dsa *dsa, uint64_t offset, const void *descriptor)
{
	int ret;

	dsa_lock(dsa);
	ret = viommu__dsa_enqueue(dsa, offset, descriptor);
	viommu__dsa_unlock(dsa);
	return ret;
}

void viommu_dsa_stats(struct viommu_dsa *dsa, struct viommu_dsa_stats *out)
{
	struct viommu_dsa_stats s;
	unsigned int i;

	dsa_lock(dsa);
	s = dsa->stats;
	for (i = 0; i < dsa->queues; i++)
		s.occupancy[i] = dsa->queue[i].count + dsa->queue[i].running;
	viommu__dsa_unlock(dsa);
	/* A program that knows less gets what it knows. */
	s.size = min_u64(out->size, sizeof(s));
	memcpy(out, &s, s.size);
}
