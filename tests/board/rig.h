/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A board with two functions and a scripted guest, which programs the unit through the unit's BAR
 * 0, as a VMM carries it.
 */
#ifndef VIOMMU_TEST_RIG_H
#define VIOMMU_TEST_RIG_H

#include "base/alloc.h"
#include "dev/toy.h"
#include "lib/tables.h"

#define RAM_BYTES   (UINT64_C(8) << 20)
#define VA          UINT64_C(0x7f0000400000)
#define SID         VIOMMU_SID(0, 5, 0)
#define SID_OTHER   VIOMMU_SID(0, 6, 1)
#define REGISTERS   0xfebd0000u
#define MESSAGE     0xfee01000u
#define DOMAIN_ID   7u
#define GUEST_PASID 5u

/* A board with two functions, and a guest that has translation on. */
struct rig {
	struct viommu_board *board;
	struct toy toy[2];
	struct toy unit; /* the VMM's side of the unit's function */
	struct tables ram;
	struct tables_stage fs;
	struct viommu_dma *dma;
	uint64_t root, queue, pages, status;
	uint64_t page; /* data at VA */
	uint32_t tail;
	uint64_t placed;
	unsigned int placings, traps;
	struct viommu_guest_trap trap;
};

static inline void on_placed(void *ctx, uint64_t registers)
{
	struct rig *r = ctx;

	r->placed = registers;
	r->placings++;
}

static inline void on_trap(void *ctx, const struct viommu_guest_trap *trap)
{
	struct rig *r = ctx;

	r->traps++;
	r->trap = *trap;
}

static inline void unit_config(struct rig *r, unsigned int at, unsigned int bytes, uint32_t v)
{
	cfg_write(&r->unit, at, bytes, v);
}

static inline uint64_t rd(struct rig *r, unsigned int offset, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(r->unit.pci, 0, offset, bytes, &v), 0);
	return v;
}

static inline void wr(struct rig *r, unsigned int offset, unsigned int bytes, uint64_t v)
{
	assert_int_equal(viommu_pci_bar_write(r->unit.pci, 0, offset, bytes, v), 0);
	/* The event loop's part. */
	while (viommu_pci_run(r->unit.pci, NULL))
		;
}

static inline void command(struct rig *r, uint64_t bit)
{
	uint64_t on = rd(r, VTD_REG_GSTS, 4) & ~VTD_GCMD_ONESHOTS;

	wr(r, VTD_REG_GCMD, 4, on | bit);
	assert_true(rd(r, VTD_REG_GSTS, 4) & bit);
}

static inline uint64_t *ram(struct rig *r, uint64_t gpa)
{
	uint64_t *p = tables_ptr(&r->ram, gpa);

	assert_non_null(p);
	return p;
}

static inline void submit(struct rig *r, uint64_t d0, uint64_t d1)
{
	uint64_t *d = ram(r, r->queue + r->tail);

	d[0] = d0;
	d[1] = d1;
	d[2] = d[3] = 0;
	r->tail = (r->tail + 32) % 4096;
	wr(r, VTD_REG_IQT, 8, r->tail);
	assert_int_equal(rd(r, VTD_REG_IQH, 8), r->tail);
}

static inline void flush_pasid(struct rig *r, uint32_t pasid)
{
	submit(r,
	       VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) |
		       VTD_VAL(VTD_IQ_PC_DID, DOMAIN_ID) | VTD_VAL(VTD_IQ_PC_PASID, pasid),
	       0);
}

/* The PASID entry of the first function. */
static inline uint64_t *entry(struct rig *r, uint32_t pasid)
{
	uint64_t table = ram(r, r->root)[0] & VTD_MASK(VTD_SROOT_LCTP);
	uint64_t dir = ram(r, table)[(SID & 0x7f) * 4] & VTD_MASK(VTD_SCE_PDTP);
	uint64_t pde = ram(r, dir)[0] & VTD_MASK(VTD_PDIR_SMPTBLPTR);

	return ram(r, pde) + pasid * 8;
}

static inline void present(struct rig *r, uint32_t pasid)
{
	uint64_t *pe = entry(r, pasid);

	memset(pe, 0, VTD_PE_BYTES);
	VTD_SET(pe, VTD_PE_DID, DOMAIN_ID);
	VTD_SET(pe, VTD_PE_FSPTPTR, tables_root(&r->fs) >> 12);
	VTD_SET(pe, VTD_PE_AW, VTD_AW_48);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_P, 1);
}

static inline void guest_tables(struct rig *r)
{
	uint64_t context = tables_page(&r->ram), dir = tables_page(&r->ram),
		 table = tables_page(&r->ram), *ce;

	r->root = tables_page(&r->ram);
	ram(r, r->root)[0] = context | VTD_MASK(VTD_SROOT_LP);
	ce = ram(r, context) + (SID & 0x7f) * 4;
	ce[0] = dir | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) | VTD_MASK(VTD_SCE_PASIDE) |
		VTD_MASK(VTD_SCE_PRE);
	ram(r, dir)[0] = table | VTD_MASK(VTD_PDIR_P);
	tables_stage_init(&r->fs, &r->ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	r->page = tables_page(&r->ram);
	assert_int_equal(tables_map(&r->fs, VA, r->page, 12, TABLES_RWU), 0);
}

static inline void open_with(struct rig *r, struct viommu_board_config *config)
{
	static const uint16_t sids[2] = { SID, SID_OTHER };
	int i;

	memset(r, 0, sizeof(*r));
	config->size = sizeof(*config);
	config->ctx = r;
	config->placed = on_placed;
	config->guest.size = sizeof(config->guest);
	config->guest.ops.ctx = r;
	config->guest.ops.trap = on_trap;
	assert_int_equal(viommu_board_new(config, &r->board), 0);
	r->unit.pci = viommu_board_unit(r->board);
	toy_vmm(&r->unit);
	for (i = 0; i < 2; i++) {
		toy_open(&r->toy[i], NULL);
		assert_int_equal(viommu_board_add(r->board, r->toy[i].pci, sids[i]), 0);
		/* As a driver leaves it: DMA, ATS, PASID, PRI. */
		cfg_write(&r->toy[i], AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
		cfg_write(&r->toy[i], AT_PASID_CTL, 2, 1);
		cfg_write(&r->toy[i], AT_ATS_CTL, 2, 0x8000);
		cfg_write(&r->toy[i], AT_PRI_CTL, 2, 1);
	}
	tables_init(&r->ram, 0, RAM_BYTES);
	tables_page(&r->ram); /* nothing at 0 */
	assert_int_equal(
		viommu_mem_add_fd(viommu_board_mem(r->board), 0, RAM_BYTES, r->ram.fd, 0, 0), 0);
	assert_int_equal(viommu_dma_new(viommu_board_host(r->board), &r->dma), 0);
	unit_config(r, 0x10, 4, REGISTERS);
	unit_config(r, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
}

static inline void open(struct rig *r)
{
	struct viommu_board_config config = { 0 };

	open_with(r, &config);
}

/* The guest's driver starts the unit. */
static inline void start(struct rig *r)
{
	guest_tables(r);
	r->queue = tables_page(&r->ram);
	r->pages = tables_page(&r->ram);
	r->status = tables_page(&r->ram);
	wr(r, VTD_REG_RTADDR, 8, r->root | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	command(r, VTD_MASK(VTD_GCMD_SRTP));
	wr(r, VTD_REG_IQA, 8, r->queue | VTD_MASK(VTD_IQA_DW));
	wr(r, VTD_REG_IQT, 8, 0);
	command(r, VTD_MASK(VTD_GCMD_QIE));
	wr(r, VTD_REG_PQA, 8, r->pages);
	wr(r, VTD_REG_FEDATA, 4, 0x41);
	wr(r, VTD_REG_FEADDR, 4, MESSAGE);
	wr(r, VTD_REG_FECTL, 4, 0);
	wr(r, VTD_REG_PEDATA, 4, 0x42);
	wr(r, VTD_REG_PEADDR, 4, MESSAGE);
	wr(r, VTD_REG_PECTL, 4, 0);
	command(r, VTD_MASK(VTD_GCMD_TE));
}

static inline void close_rig(struct rig *r)
{
	viommu_dma_free(r->dma);
	viommu_board_remove(r->board, r->toy[0].pci);
	viommu_board_remove(r->board, r->toy[1].pci);
	viommu_board_free(r->board);
	toy_close(&r->toy[0]);
	toy_close(&r->toy[1]);
	tables_free(&r->ram);
}

static inline struct viommu_device *dev(struct rig *r, int n)
{
	return viommu_pci_device(r->toy[n].pci);
}

static inline int store(struct rig *r, uint64_t va, uint32_t flags, uint64_t v)
{
	uint32_t hp;

	assert_int_equal(viommu_pci_pasid(r->toy[0].pci, GUEST_PASID, &hp), 0);
	return viommu_dma_write(r->dma, dev(r, 0), hp, va, &v, sizeof(v), flags, NULL);
}

static inline struct viommu_guest_stats stats(struct rig *r)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(viommu_board_guest(r->board), &s);
	return s;
}

#endif /* VIOMMU_TEST_RIG_H */
