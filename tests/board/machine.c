/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scripted machine. Set-up failures abort the test by cmocka's assertions.
 *
 * Where memory moves along, *ram is always what the board has that there is:
 *
 *	copied	board stands, save    ram -> copy, spoilt	new board over the copy
 *	live	board begins	      logs on, ram -> next: all pages
 *		at any time	      ram -> next: what was written since
 *		before the pause      the same
 *		behind the save	      the same; ram spoilt	new board over next; logs on, ...
 */
#include "board/machine.h"

#include <viommu/vtd.h>

#define AT_COMMAND   0x04u
#define AT_MSIX_CTL  0x82u
#define AT_ATS_CTL   0x226u
#define AT_PASID_CTL 0x236u
#define AT_PRI_CTL   0x244u
#define CMD_ON       6u /* memory decoding, bus mastering */

#define GRPCFG(g, dword) (0x400u + (g)*64u + 4u * (dword))
#define WQCFG(wq, dword) (0x500u + (wq)*64u + 4u * (dword))

/* ---- The VMM --------------------------------------------------------------------------------- */

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *m = ctx;

	(void)addr;
	m->messages[data & 255]++;
}

static void on_interrupt(void *ctx, unsigned int vector)
{
	struct machine *m = ctx;

	m->interrupts[vector & 15]++;
}

void machine_listen(struct machine *m)
{
	const struct viommu_pci_vmm unit = { .ctx = m, .message = on_message };
	const struct viommu_pci_vmm dsa = { .ctx = m, .interrupt = on_interrupt };

	viommu_pci_set_vmm(m->unit, &unit);
	viommu_pci_set_vmm(m->pci, &dsa);
}

static void on_placed(void *ctx, uint64_t registers)
{
	struct machine *m = ctx;

	m->placed = registers;
}

static void late_new(struct machine *m)
{
	static const uint16_t ports[] = { 0x10, 0x18, 0x30 };
	unsigned int i;

	for (i = 0; i < m->config.ports; i++)
		assert_int_equal(viommu_board_add_port(m->board, ports[i]), 0);
	for (i = 0; m->config.ports && i < MACHINE_LATE; i++)
		assert_int_equal(viommu_dsa_new(&m->config.dsa, &m->late[i]), 0);
	for (i = 0; i < m->nr_plugged; i++)
		assert_int_equal(viommu_board_plug(m->board,
						   viommu_dsa_pci(m->late[m->plugged[i].n]),
						   m->plugged[i].port),
				 0);
}

void machine_board_new(struct machine *m)
{
	m->config.board.ctx = m;
	m->config.board.placed = on_placed;
	m->config.board.size = sizeof(m->config.board);
	m->config.board.guest.size = sizeof(m->config.board.guest);
	m->config.dsa.size = sizeof(m->config.dsa);
	assert_int_equal(viommu_board_new(&m->config.board, &m->board), 0);
	assert_int_equal(viommu_dsa_new(&m->config.dsa, &m->dsa), 0);
	m->unit = viommu_board_unit(m->board);
	m->pci = viommu_dsa_pci(m->dsa);
	assert_int_equal(viommu_board_add(m->board, m->pci, MACHINE_SID), 0);
	late_new(m);
	assert_int_equal(
		viommu_mem_add_fd(viommu_board_mem(m->board), 0, MACHINE_RAM, m->ram.fd, 0, 0), 0);
	assert_int_equal(viommu_dma_new(viommu_board_host(m->board), &m->dma), 0);
}

void machine_board_free(struct machine *m)
{
	unsigned int i;

	viommu_dma_free(m->dma);
	viommu_board_free(m->board);
	viommu_dsa_free(m->dsa);
	for (i = 0; i < MACHINE_LATE; i++)
		viommu_dsa_free(m->late[i]);
}

/* ---- Memory that moves ----------------------------------------------------------------------- */

enum machine_way machine_ways[3] = { MACHINE_COPIED, MACHINE_LIVE, MACHINE_SAME };

/* The first round: all of it, and from here on what is written counts. */
static void live_begin(struct machine *m)
{
	if (m->config.way != MACHINE_LIVE)
		return;
	assert_int_equal(viommu_domain_dirty_start(viommu_board_domain(m->board), 12), 0);
	stores_begin(&m->stores, m->ram.host, m->ram.bytes);
	tables_copy(&m->ram, &m->next);
}

static void live_end(struct machine *m)
{
	if (m->config.way == MACHINE_LIVE)
		stores_end(&m->stores);
}

void machine_round(struct machine *m)
{
	uint64_t devices[MACHINE_RAM >> 18], processors[MACHINE_RAM >> 18];
	unsigned int i;

	assert_int_equal(viommu_domain_dirty_read(viommu_board_domain(m->board), 0, MACHINE_RAM,
						  VIOMMU_DIRTY_CLEAR, devices),
			 0);
	stores_take(&m->stores, processors);
	m->pages_copied[0] = m->pages_copied[1] = 0;
	for (i = 0; i < MACHINE_RAM >> 12; i++) {
		unsigned int by_device = devices[i / 64] >> i % 64 & 1;

		if (!by_device && !(processors[i / 64] >> i % 64 & 1))
			continue;
		memcpy(m->next.host + i * 4096ull, m->ram.host + i * 4096ull, 4096);
		m->pages_copied[0]++;
		m->pages_copied[1] += by_device;
	}
	m->next.used = m->ram.used;
}

/* Nobody wrote to where the guest was before. */
static void old_free(struct machine *m)
{
	if (m->old.fd < 0)
		return;
	assert_true(tables_spoilt(&m->old));
	tables_free(&m->old);
}

/* The board is paused, and saved: the memory as it is by now is where the next one finds it. */
static void ram_moves(struct machine *m)
{
	if (m->config.way == MACHINE_SAME)
		return;
	old_free(m);
	if (m->config.way == MACHINE_LIVE) {
		machine_round(m);
		live_end(m);
	} else {
		tables_copy(&m->ram, &m->next);
	}
	m->old = m->ram;
	m->ram = m->next;
	m->next.fd = -1;
	tables_spoil(&m->old);
}

void machine_open(struct machine *m, const struct machine_config *config)
{
	memset(m, 0, sizeof(*m));
	m->old.fd = m->next.fd = -1;
	if (config)
		m->config = *config;
	if (m->config.way == MACHINE_LIVE)
		m->config.board.domain_flags |= VIOMMU_DOMAIN_DIRTY;
	tables_init(&m->ram, 0, MACHINE_RAM);
	tables_page(&m->ram); /* nothing at 0 */
	machine_board_new(m);
	live_begin(m);
	machine_listen(m);
}

void machine_close(struct machine *m)
{
	live_end(m);
	machine_board_free(m);
	old_free(m);
	tables_free(&m->next);
	tables_free(&m->ram);
}

void *machine_saves(struct machine *m, size_t *bytes)
{
	char why[128];
	void *state;

	if (m->config.way == MACHINE_LIVE)
		machine_round(m);
	assert_int_equal(viommu_board_pause(m->board, why, sizeof(why)), 0);
	assert_int_equal(viommu_board_save(m->board, &state, bytes), 0);
	return state;
}

/* The memory goes first: what the old board still does must not need it. */
void machine_fresh(struct machine *m)
{
	ram_moves(m);
	machine_board_free(m);
	machine_board_new(m);
	live_begin(m);
}

int machine_loads(struct machine *m, const void *state, size_t bytes, char *why, size_t why_size)
{
	machine_fresh(m);
	return viommu_board_load(m->board, state, bytes, why, why_size);
}

void machine_move(struct machine *m)
{
	char why[128];
	size_t bytes;
	void *state = machine_saves(m, &bytes);

	if (machine_loads(m, state, bytes, why, sizeof(why)))
		fail_msg("refused: %s", why);
	machine_listen(m);
	viommu_board_resume(m->board);
	viommu_state_free(state);
	m->moves++;
}

/* ---- The unit -------------------------------------------------------------------------------- */

uint64_t unit_rd(struct machine *m, unsigned int offset, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(m->unit, 0, offset, bytes, &v), 0);
	return v;
}

void unit_poke(struct machine *m, unsigned int offset, unsigned int bytes, uint64_t v)
{
	assert_int_equal(viommu_pci_bar_write(m->unit, 0, offset, bytes, v), 0);
}

void unit_wr(struct machine *m, unsigned int offset, unsigned int bytes, uint64_t v)
{
	unit_poke(m, offset, bytes, v);
	while (viommu_pci_run(m->unit, NULL))
		;
}

void unit_command(struct machine *m, uint64_t bit)
{
	uint64_t on = unit_rd(m, VTD_REG_GSTS, 4) & ~VTD_GCMD_ONESHOTS;

	unit_wr(m, VTD_REG_GCMD, 4, on | bit);
	assert_true(unit_rd(m, VTD_REG_GSTS, 4) & bit);
}

uint64_t *machine_ram(struct machine *m, uint64_t gpa)
{
	uint64_t *p = tables_ptr(&m->ram, gpa);

	assert_non_null(p);
	return p;
}

void unit_queue(struct machine *m, uint64_t d0, uint64_t d1)
{
	uint64_t *d = machine_ram(m, m->queue + m->tail);

	d[0] = d0;
	d[1] = d1;
	d[2] = d[3] = 0;
	m->tail = (m->tail + 32) & 4095;
}

void unit_flush(struct machine *m)
{
	unit_wr(m, VTD_REG_IQT, 8, m->tail);
}

void unit_flush_pasid(struct machine *m, uint32_t pasid)
{
	unit_queue(m,
		   VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) |
			   VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) |
			   VTD_VAL(VTD_IQ_PC_DID, MACHINE_DID) | VTD_VAL(VTD_IQ_PC_PASID, pasid),
		   0);
	unit_flush(m);
}

void unit_respond(struct machine *m, const uint64_t *request, unsigned int code)
{
	unit_queue(m,
		   VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) |
			   VTD_VAL(VTD_IQ_PGRP_RID, VTD_GET(request, VTD_PRQ_RID)) |
			   VTD_VAL(VTD_IQ_PGRP_PP, VTD_GET(request, VTD_PRQ_PP)) |
			   VTD_VAL(VTD_IQ_PGRP_PASID, VTD_GET(request, VTD_PRQ_PASID)) |
			   VTD_VAL(VTD_IQ_PGRP_RC, code),
		   VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(request, VTD_PRQ_PRGI)));
	unit_flush(m);
}

uint64_t *machine_entry(struct machine *m, uint32_t pasid)
{
	uint64_t table = machine_ram(m, m->root)[0] & VTD_MASK(VTD_SROOT_LCTP);
	uint64_t dir = machine_ram(m, table)[(MACHINE_SID & 0x7f) * 4] & VTD_MASK(VTD_SCE_PDTP);
	uint64_t pde = machine_ram(m, dir)[0] & VTD_MASK(VTD_PDIR_SMPTBLPTR);

	assert_true(pasid < 64);
	return machine_ram(m, pde) + pasid * 8;
}

void machine_present(struct machine *m, uint32_t pasid)
{
	uint64_t *pe = machine_entry(m, pasid);

	memset(pe, 0, VTD_PE_BYTES);
	VTD_SET(pe, VTD_PE_DID, MACHINE_DID);
	VTD_SET(pe, VTD_PE_FSPTPTR, tables_root(&m->fs) >> 12);
	VTD_SET(pe, VTD_PE_AW, VTD_AW_48);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_P, 1);
}

static void guest_tables(struct machine *m)
{
	uint64_t context = tables_page(&m->ram), dir = tables_page(&m->ram),
		 table = tables_page(&m->ram), *ce;
	unsigned int i;

	m->root = tables_page(&m->ram);
	machine_ram(m, m->root)[0] = context | VTD_MASK(VTD_SROOT_LP);
	ce = machine_ram(m, context) + (MACHINE_SID & 0x7f) * 4;
	ce[0] = dir | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) | VTD_MASK(VTD_SCE_PASIDE) |
		VTD_MASK(VTD_SCE_PRE);
	machine_ram(m, dir)[0] = table | VTD_MASK(VTD_PDIR_P);
	tables_stage_init(&m->fs, &m->ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	m->first = tables_page(&m->ram);
	for (i = 1; i < MACHINE_PAGES; i++)
		assert_int_equal(tables_page(&m->ram), m->first + i * 4096ull);
	assert_int_equal(tables_map_range(&m->fs, MACHINE_VA, m->first, MACHINE_PAGES * 4096ull, 12,
					  TABLES_RWU),
			 0);
}

static void unit_start(struct machine *m)
{
	m->queue = tables_page(&m->ram);
	m->pages = tables_page(&m->ram);
	m->status = tables_page(&m->ram);
	unit_wr(m, VTD_REG_RTADDR, 8, m->root | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	unit_command(m, VTD_MASK(VTD_GCMD_SRTP));
	unit_wr(m, VTD_REG_IQA, 8, m->queue | VTD_MASK(VTD_IQA_DW));
	unit_wr(m, VTD_REG_IQT, 8, 0);
	unit_command(m, VTD_MASK(VTD_GCMD_QIE));
	unit_wr(m, VTD_REG_PQA, 8, m->pages);
	unit_wr(m, VTD_REG_FEDATA, 4, 0x41);
	unit_wr(m, VTD_REG_FEADDR, 4, 0xfee01000);
	unit_wr(m, VTD_REG_FECTL, 4, 0);
	unit_wr(m, VTD_REG_PEDATA, 4, 0x42);
	unit_wr(m, VTD_REG_PEADDR, 4, 0xfee01000);
	unit_wr(m, VTD_REG_PECTL, 4, 0);
	unit_wr(m, VTD_REG_IEDATA, 4, 0x43);
	unit_wr(m, VTD_REG_IEADDR, 4, 0xfee01000);
	unit_wr(m, VTD_REG_IECTL, 4, 0);
	unit_command(m, VTD_MASK(VTD_GCMD_TE));
}

/* ---- Functions ------------------------------------------------------------------------------- */

void cfg_wr(struct viommu_pci *pci, unsigned int at, unsigned int bytes, uint32_t v)
{
	assert_int_equal(viommu_pci_config_write(pci, at, &v, bytes), 0);
}

uint32_t cfg_rd(struct viommu_pci *pci, unsigned int at, unsigned int bytes)
{
	uint32_t v = 0;

	assert_int_equal(viommu_pci_config_read(pci, at, &v, bytes), 0);
	return v;
}

static void driven(struct viommu_pci *pci)
{
	cfg_wr(pci, AT_PASID_CTL, 2, 1);
	cfg_wr(pci, AT_ATS_CTL, 2, 0x8000);
	cfg_wr(pci, AT_PRI_CTL, 2, 1);
	cfg_wr(pci, AT_COMMAND, 2, CMD_ON);
}

void machine_plug(struct machine *m, unsigned int n, uint16_t port)
{
	struct viommu_pci *pci = viommu_dsa_pci(m->late[n]);

	assert_int_equal(viommu_board_plug(m->board, pci, port), 0);
	m->plugged[m->nr_plugged].n = n;
	m->plugged[m->nr_plugged++].port = port;
	driven(pci);
}

void machine_unplug(struct machine *m, unsigned int n)
{
	assert_int_equal(viommu_board_remove(m->board, viommu_dsa_pci(m->late[n])), 0);
	m->nr_plugged--;
	if (m->plugged[0].n == n)
		m->plugged[0] = m->plugged[1];
}

void machine_start(struct machine *m)
{
	unsigned int i;

	cfg_wr(m->unit, 0x10, 4, MACHINE_BAR);
	cfg_wr(m->unit, AT_COMMAND, 2, CMD_ON);
	cfg_wr(m->pci, AT_MSIX_CTL, 2, 0x8000);
	for (i = 0; i < viommu_pci_config(m->pci)->msix_vectors; i++) {
		dsa_wr(m, 0x2000 + 16 * i, 0xfee02000);
		dsa_wr(m, 0x2000 + 16 * i + 8, 0x50 + i);
		dsa_wr(m, 0x2000 + 16 * i + 12, 0);
	}
	driven(m->pci);
	guest_tables(m);
	unit_start(m);
	machine_present(m, MACHINE_GP);
}

/* ---- The accelerator ------------------------------------------------------------------------- */

uint32_t dsa_rd(struct machine *m, unsigned int offset)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(m->pci, 0, offset, 4, &v), 0);
	return (uint32_t)v;
}

void dsa_wr(struct machine *m, unsigned int offset, uint32_t v)
{
	assert_int_equal(viommu_pci_bar_write(m->pci, 0, offset, 4, v), 0);
}

uint32_t dsa_cmd(struct machine *m, unsigned int code, uint32_t operand)
{
	dsa_wr(m, 0xa0, code << 20 | operand);
	return dsa_rd(m, 0xa8);
}

void dsa_enable(struct machine *m, uint32_t pasid)
{
	dsa_wr(m, GRPCFG(0, 0), 1);
	dsa_wr(m, GRPCFG(0, 8), 1);
	dsa_wr(m, 0x80, dsa_rd(m, 0x80) | 0x1000); /* user interrupts */
	dsa_wr(m, WQCFG(0, 0), 16);
	dsa_wr(m, WQCFG(0, 1), 16);
	/* dedicated, block on fault, priority 10, PASID */
	dsa_wr(m, WQCFG(0, 2), 1 | 2 | 10 << 4 | pasid << 8 | 1u << 28);
	dsa_wr(m, WQCFG(0, 3), 30 | 10 << 5);
	assert_int_equal(dsa_cmd(m, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(dsa_cmd(m, DSA_CMD_ENABLE_WQ, 0), 0);
}

void dsa_store(struct machine *m, uint64_t portal, const uint64_t *w, unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes / 8; i++)
		assert_int_equal(viommu_pci_bar_write(m->pci, 2, portal + 8 * i, 8, w[i]), 0);
}

unsigned int dsa_steps(struct machine *m)
{
	unsigned int n = 0;

	while (viommu_pci_run(m->pci, m->dma))
		n++;
	return n;
}

/* ---- Pages ----------------------------------------------------------------------------------- */

void machine_hide(struct machine *m, uint64_t va)
{
	*tables_entry(&m->fs, va, 1) = 0;
	unit_queue(m,
		   VTD_VAL(VTD_IQ_PIOTLB_TYPE, VTD_IQ_TYPE_PIOTLB) |
			   VTD_VAL(VTD_IQ_PIOTLB_G, VTD_IQ_PIOTLB_SELECTIVE) |
			   VTD_VAL(VTD_IQ_PIOTLB_DID, MACHINE_DID) |
			   VTD_VAL(VTD_IQ_PIOTLB_PASID, MACHINE_GP),
		   0);
	unit_flush(m);
}

void machine_show(struct machine *m, uint64_t va)
{
	assert_int_equal(tables_map(&m->fs, va, m->first + (va - MACHINE_VA), 12, TABLES_RWU), 0);
}
