/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The board: parts that are wired, functions that come and go, tables for the firmware, and what
 * happens on the host getting up to the guest. The guest is scripted: it programs the unit through
 * the unit's BAR 0, as a VMM carries it.
 */
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

static void on_placed(void *ctx, uint64_t registers)
{
	struct rig *r = ctx;

	r->placed = registers;
	r->placings++;
}

static void on_trap(void *ctx, const struct viommu_guest_trap *trap)
{
	struct rig *r = ctx;

	r->traps++;
	r->trap = *trap;
}

static void unit_config(struct rig *r, unsigned int at, unsigned int bytes, uint32_t v)
{
	cfg_write(&r->unit, at, bytes, v);
}

static uint64_t rd(struct rig *r, unsigned int offset, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(r->unit.pci, 0, offset, bytes, &v), 0);
	return v;
}

static void wr(struct rig *r, unsigned int offset, unsigned int bytes, uint64_t v)
{
	assert_int_equal(viommu_pci_bar_write(r->unit.pci, 0, offset, bytes, v), 0);
	/* The event loop's part. */
	while (viommu_pci_run(r->unit.pci, NULL))
		;
}

static void command(struct rig *r, uint64_t bit)
{
	uint64_t on = rd(r, VTD_REG_GSTS, 4) & ~VTD_GCMD_ONESHOTS;

	wr(r, VTD_REG_GCMD, 4, on | bit);
	assert_true(rd(r, VTD_REG_GSTS, 4) & bit);
}

static uint64_t *ram(struct rig *r, uint64_t gpa)
{
	uint64_t *p = tables_ptr(&r->ram, gpa);

	assert_non_null(p);
	return p;
}

static void submit(struct rig *r, uint64_t d0, uint64_t d1)
{
	uint64_t *d = ram(r, r->queue + r->tail);

	d[0] = d0;
	d[1] = d1;
	d[2] = d[3] = 0;
	r->tail += 32;
	wr(r, VTD_REG_IQT, 8, r->tail);
	assert_int_equal(rd(r, VTD_REG_IQH, 8), r->tail);
}

static void flush_pasid(struct rig *r, uint32_t pasid)
{
	submit(r,
	       VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) |
		       VTD_VAL(VTD_IQ_PC_DID, DOMAIN_ID) | VTD_VAL(VTD_IQ_PC_PASID, pasid),
	       0);
}

/* The PASID entry of the first function. */
static uint64_t *entry(struct rig *r, uint32_t pasid)
{
	uint64_t table = ram(r, r->root)[0] & VTD_MASK(VTD_SROOT_LCTP);
	uint64_t dir = ram(r, table)[(SID & 0x7f) * 4] & VTD_MASK(VTD_SCE_PDTP);
	uint64_t pde = ram(r, dir)[0] & VTD_MASK(VTD_PDIR_SMPTBLPTR);

	return ram(r, pde) + pasid * 8;
}

static void present(struct rig *r, uint32_t pasid)
{
	uint64_t *pe = entry(r, pasid);

	memset(pe, 0, VTD_PE_BYTES);
	VTD_SET(pe, VTD_PE_DID, DOMAIN_ID);
	VTD_SET(pe, VTD_PE_FSPTPTR, tables_root(&r->fs) >> 12);
	VTD_SET(pe, VTD_PE_AW, VTD_AW_48);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_P, 1);
}

static void guest_tables(struct rig *r)
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

static void open_with(struct rig *r, struct viommu_board_config *config)
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

static void open(struct rig *r)
{
	struct viommu_board_config config = { 0 };

	open_with(r, &config);
}

/* The guest's driver starts the unit. */
static void start(struct rig *r)
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

static void close_rig(struct rig *r)
{
	viommu_dma_free(r->dma);
	viommu_board_remove(r->board, r->toy[0].pci);
	viommu_board_remove(r->board, r->toy[1].pci);
	viommu_board_free(r->board);
	toy_close(&r->toy[0]);
	toy_close(&r->toy[1]);
	tables_free(&r->ram);
}

static struct viommu_device *dev(struct rig *r, int n)
{
	return viommu_pci_device(r->toy[n].pci);
}

static int store(struct rig *r, uint64_t va, uint32_t flags, uint64_t v)
{
	uint32_t hp;

	assert_int_equal(viommu_pci_pasid(r->toy[0].pci, GUEST_PASID, &hp), 0);
	return viommu_dma_write(r->dma, dev(r, 0), hp, va, &v, sizeof(v), flags, NULL);
}

static struct viommu_guest_stats stats(struct rig *r)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(viommu_board_guest(r->board), &s);
	return s;
}

/* ---- Parts ---- */

static void a_board_of_defaults_has_its_parts(void **state)
{
	struct viommu_board *board;
	const struct viommu_pci_config *pc;

	(void)state;
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	assert_non_null(viommu_board_mem(board));
	assert_non_null(viommu_board_host(board));
	assert_non_null(viommu_board_domain(board));
	assert_non_null(viommu_board_guest(board));
	pc = viommu_pci_config(viommu_board_unit(board));
	assert_int_equal(pc->class_code, 0x080600);
	assert_int_equal(pc->workers, 0);
	assert_null(viommu_board_device(board, 0, NULL));
	viommu_board_free(board);
	viommu_board_free(NULL);
}

static void a_config_that_is_not_one_is_refused(void **state)
{
	static const struct viommu_board_config good = { .size = sizeof(good) };
	struct viommu_board_config bad[5];
	struct viommu_board *board;
	size_t i;

	(void)state;
	assert_int_equal(viommu_board_new(&good, NULL), -EINVAL);
	for (i = 0; i < 5; i++)
		bad[i] = good;
	bad[0].size--;
	bad[1].domain_flags = VIOMMU_DOMAIN_NO_NEST;
	bad[2].reserved2 = 1;
	bad[3].guest.profile = 99;
	bad[4].max_page_requests = 513;
	for (i = 0; i < 5; i++) {
		board = (void *)1;
		assert_int_equal(viommu_board_new(&bad[i], &board), -EINVAL);
		assert_null(board);
	}
}

static void every_allocation_may_fail_once(void **state)
{
	long live = viommu__alloc_live(), n;
	struct viommu_board *board;
	struct toy toy;
	int ret, done;

	(void)state;
	toy_open(&toy, NULL);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = viommu_board_new(NULL, &board);
		if (!ret) {
			ret = viommu_board_add(board, toy.pci, SID);
			/* Not half there. */
			assert_int_equal(!ret, viommu_board_device(board, 0, NULL) == toy.pci);
			assert_int_equal(!ret, viommu_pci_device(toy.pci) != NULL);
		}
		done = !viommu__alloc_fail_done();
		assert_int_equal(ret, done ? 0 : -ENOMEM);
		viommu_board_free(board);
		assert_null(viommu_pci_device(toy.pci));
		assert_int_equal(viommu__alloc_live(), live);
		if (done)
			break;
	}
	assert_true(n > 10);
	toy_close(&toy);
}

/* ---- Functions ---- */

static void functions_come_and_go(void **state)
{
	struct toy toy[VIOMMU_BOARD_MAX_DEVICES + 1];
	struct viommu_board *board;
	uint16_t sid = 0;
	unsigned int i;

	(void)state;
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	for (i = 0; i <= VIOMMU_BOARD_MAX_DEVICES; i++)
		toy_open(&toy[i], NULL);
	assert_int_equal(viommu_board_add(board, NULL, SID), -EINVAL);
	assert_int_equal(viommu_board_add(board, toy[0].pci, VIOMMU_SID(0, 4, 0)), -EINVAL);
	assert_int_equal(viommu_board_remove(board, toy[0].pci), -ENOENT);
	assert_int_equal(viommu_board_add(board, toy[0].pci, SID), 0);
	assert_int_equal(viommu_device_sid(viommu_pci_device(toy[0].pci)), SID);
	assert_int_equal(viommu_board_add(board, toy[0].pci, SID_OTHER), -EEXIST);
	assert_int_equal(viommu_board_add(board, toy[1].pci, SID), -EEXIST);
	for (i = 1; i < VIOMMU_BOARD_MAX_DEVICES; i++)
		assert_int_equal(viommu_board_add(board, toy[i].pci, (uint16_t)(0x100 + i)), 0);
	assert_int_equal(viommu_board_add(board, toy[i].pci, 0x200), -ENOSPC);
	/* In the order in which they came. */
	assert_ptr_equal(viommu_board_device(board, 3, &sid), toy[3].pci);
	assert_int_equal(sid, 0x103);
	assert_null(viommu_board_device(board, VIOMMU_BOARD_MAX_DEVICES, &sid));
	assert_int_equal(viommu_board_remove(board, toy[2].pci), 0);
	assert_null(viommu_pci_device(toy[2].pci));
	assert_int_equal(viommu_board_remove(board, toy[2].pci), -ENOENT);
	assert_ptr_equal(viommu_board_device(board, 2, &sid), toy[3].pci);
	/* Its place is free again. */
	assert_int_equal(viommu_board_add(board, toy[i].pci, 0x102), 0);
	/* What is left is let go with the board. */
	viommu_board_free(board);
	for (i = 0; i <= VIOMMU_BOARD_MAX_DEVICES; i++) {
		assert_null(viommu_pci_device(toy[i].pci));
		toy_close(&toy[i]);
	}
}

static void a_function_is_reset_before_it_leaves(void **state)
{
	unsigned int resets;
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA, 0, 1), 0);
	assert_int_equal(stats(&r).bound, 1);
	resets = r.toy[0].resets;
	assert_int_equal(viommu_board_remove(r.board, r.toy[0].pci), 0);
	assert_int_equal(r.toy[0].resets, resets + 1);
	assert_int_equal(stats(&r).bound, 0);
	close_rig(&r);
}

static void what_a_function_can_do_is_what_its_device_may(void **state)
{
	struct viommu_pci_config config;
	struct viommu_board *board;
	uint64_t v = 1;
	struct viommu_dma *dma;
	struct toy toy;

	(void)state;
	memset(&toy, 0, sizeof(toy));
	config = toy_config(&toy);
	config.flags = 0;
	toy_open(&toy, &config);
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	assert_int_equal(viommu_board_add(board, toy.pci, SID), 0);
	assert_int_equal(viommu_dma_new(viommu_board_host(board), &dma), 0);
	/* No PASID capability: a request with one does not pass. */
	assert_int_equal(viommu_dma_write(dma, viommu_pci_device(toy.pci), 5, VA, &v, sizeof(v), 0,
					  NULL),
			 VIOMMU_FAULTED);
	viommu_dma_free(dma);
	viommu_board_free(board);
	toy_close(&toy);
}

/* ---- The unit's function ---- */

static void registers_are_in_bar_0(void **state)
{
	struct rig r;
	uint64_t v;

	(void)state;
	open(&r);
	assert_int_equal(rd(&r, VTD_REG_VER, 4),
			 viommu_guest_read(viommu_board_guest(r.board), VTD_REG_VER, 4));
	assert_int_equal(rd(&r, VTD_REG_CAP, 8),
			 viommu_guest_read(viommu_board_guest(r.board), VTD_REG_CAP, 8));
	wr(&r, VTD_REG_RTADDR, 8, 0x1234000);
	assert_int_equal(rd(&r, VTD_REG_RTADDR, 8), 0x1234000);
	/* 64 KiB are claimed, one page is used. */
	assert_int_equal(rd(&r, 0x1000, 8), 0);
	assert_int_equal(rd(&r, 0xfff8, 8), 0);
	assert_int_equal(viommu_pci_bar_read(r.unit.pci, 0, 0x10000, 8, &v), -EINVAL);
	assert_int_equal(viommu_pci_bar_read(r.unit.pci, 1, 0, 8, &v), -EINVAL);
	close_rig(&r);
}

static void a_reset_of_the_function_resets_the_unit(void **state)
{
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	viommu_pci_reset(r.unit.pci);
	assert_int_equal(rd(&r, VTD_REG_RTADDR, 8), 0);
	assert_int_equal(rd(&r, VTD_REG_GSTS, 4) & VTD_MASK(VTD_GSTS_TES), 0);
	close_rig(&r);
}

static void the_firmwares_address_is_told_when_decoding_goes_on(void **state)
{
	struct rig r;

	(void)state;
	open(&r);
	assert_int_equal(r.placings, 1);
	assert_int_equal(r.placed, REGISTERS);
	/* Measuring the size goes with decoding off, and says nothing. */
	unit_config(&r, AT_COMMAND, 2, 0);
	unit_config(&r, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_read(&r.unit, 0x10, 4), 0xffff0000);
	unit_config(&r, 0x10, 4, 0xfe600000);
	assert_int_equal(r.placings, 1);
	unit_config(&r, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	assert_int_equal(r.placings, 2);
	assert_int_equal(r.placed, 0xfe600000);
	/* Another bit of the command register is no placing. */
	unit_config(&r, AT_COMMAND, 2, CMD_MEMORY);
	assert_int_equal(r.placings, 2);
	close_rig(&r);
}

/* ---- Up to the guest ---- */

static void a_miss_binds_what_the_guest_says(void **state)
{
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	/* No announcement: caching mode is off. */
	present(&r, GUEST_PASID);
	r.traps = 0;
	assert_int_equal(store(&r, VA + 8, 0, 0x1122), 0);
	assert_int_equal(ram(&r, r.page)[1], 0x1122);
	assert_int_equal(stats(&r).misses, 1);
	assert_int_equal(r.traps, 1);
	assert_int_equal(r.trap.kind, VIOMMU_TRAP_BIND);
	assert_int_equal(r.trap.cause, VIOMMU_TRAP_MISS);
	assert_int_equal(r.trap.sid, SID);
	assert_int_equal(r.trap.gp.v, GUEST_PASID);
	assert_int_equal(r.trap.did, DOMAIN_ID);
	assert_int_equal(store(&r, VA + 16, 0, 0x3344), 0);
	assert_int_equal(stats(&r).misses, 1);
	/* The entry goes, and the flush takes the bind away. */
	entry(&r, GUEST_PASID)[0] = 0;
	flush_pasid(&r, GUEST_PASID);
	assert_int_equal(r.trap.kind, VIOMMU_TRAP_UNBIND);
	assert_int_equal(store(&r, VA + 24, VIOMMU_DMA_NO_PRI, 0x5566), VIOMMU_FAULTED);
	assert_int_equal(ram(&r, r.page)[3], 0);
	close_rig(&r);
}

static void a_host_pasid_of_the_allocators_serves_as_well(void **state)
{
	struct viommu_board_config config = { .guest.flags = VIOMMU_GUEST_HOST_PASIDS,
					      .pasid_min = 0x80000,
					      .pasid_max = 0x80001 };
	struct viommu_board *none;
	struct viommu_gp gp;
	struct rig r;
	uint32_t hp;

	(void)state;
	open_with(&r, &config);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID, &hp), 0);
	assert_int_equal(viommu_guest_pasid_to_guest(viommu_board_guest(r.board),
						     (struct viommu_hp){ hp }, &gp),
			 0);
	assert_int_equal(gp.v, GUEST_PASID);
	assert_int_equal(hp, 0x80000);
	assert_int_equal(store(&r, VA, 0, 0x77), 0);
	assert_int_equal(ram(&r, r.page)[0], 0x77);
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID + 1, &hp), 0);
	assert_int_equal(hp, 0x80001);
	assert_int_equal(viommu_pci_pasid(r.toy[0].pci, GUEST_PASID + 2, &hp), -ENOSPC);
	close_rig(&r);
	config.pasid_max = 0x7ffff;
	assert_int_equal(viommu_board_new(&config, &none), -EINVAL);
}

static void a_fault_is_recorded_and_its_interrupt_goes_out_at_the_unit(void **state)
{
	struct viommu_fault f;
	unsigned int at;
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_PRI, 1), VIOMMU_FAULTED);
	at = 16 * (unsigned int)VTD_FIELD(rd(&r, VTD_REG_CAP, 8), VTD_CAP_FRO);
	assert_true(rd(&r, at + 8, 8) & VTD_MASK(VTD_FRCD_F));
	assert_int_equal(VTD_FIELD(rd(&r, at + 8, 8), VTD_FRCD_SID), SID);
	assert_int_equal(rd(&r, at, 8) & VTD_MASK(VTD_FRCD_FI), VA + 4096);
	assert_int_equal(r.unit.messages, 1);
	assert_int_equal(r.unit.addr, MESSAGE);
	assert_int_equal(r.unit.data, 0x41);
	assert_int_equal(r.toy[0].messages + r.toy[1].messages, 0);
	assert_int_equal(viommu_guest_last_faults(viommu_board_guest(r.board), &f, 1), 1);
	assert_int_equal(f.addr, VA + 4096);
	close_rig(&r);
}

static void a_page_request_gets_to_the_guest_and_its_answer_back(void **state)
{
	uint64_t page, *prq;
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_WAIT, 0x99), -EAGAIN);
	assert_int_equal(viommu_device_open_requests(dev(&r, 0)), 1);
	assert_int_equal(rd(&r, VTD_REG_PQT, 8), 32);
	assert_int_equal(r.unit.messages, 1);
	assert_int_equal(r.unit.data, 0x42);
	prq = ram(&r, r.pages);
	assert_int_equal(VTD_GET(prq, VTD_PRQ_RID), SID);
	assert_int_equal(VTD_GET(prq, VTD_PRQ_PASID), GUEST_PASID);
	page = tables_page(&r.ram);
	assert_int_equal(tables_map(&r.fs, VA + 4096, page, 12, TABLES_RWU), 0);
	submit(&r,
	       VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_VAL(VTD_IQ_PGRP_RID, SID) |
		       VTD_VAL(VTD_IQ_PGRP_PP, 1) | VTD_VAL(VTD_IQ_PGRP_PASID, GUEST_PASID) |
		       VTD_VAL(VTD_IQ_PGRP_RC, VTD_PGRP_SUCCESS),
	       VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(prq, VTD_PRQ_PRGI)));
	assert_int_equal(viommu_device_open_requests(dev(&r, 0)), 0);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_WAIT, 0x99), 0);
	assert_int_equal(ram(&r, page)[0], 0x99);
	close_rig(&r);
}

static void an_interrupt_by_dma_goes_out_at_its_own_function(void **state)
{
	uint32_t data = 0x31;
	struct rig r;

	(void)state;
	open(&r);
	assert_int_equal(viommu_dma_write(r.dma, dev(&r, 1), VIOMMU_NO_PASID, 0xfee00000, &data,
					  sizeof(data), 0, NULL),
			 0);
	assert_int_equal(r.toy[1].messages, 1);
	assert_int_equal(r.toy[1].addr, 0xfee00000);
	assert_int_equal(r.toy[1].data, 0x31);
	assert_int_equal(r.toy[0].messages + r.unit.messages, 0);
	close_rig(&r);
}

/* ---- The VM goes ---- */

static void a_vm_that_is_gone_leaves_nothing(void **state)
{
	struct viommu_mem_region region;
	unsigned int resets[2];
	struct rig r;

	(void)state;
	open(&r);
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA, 0, 1), 0);
	assert_int_equal(store(&r, VA + 4096, VIOMMU_DMA_NO_WAIT, 1), -EAGAIN);
	resets[0] = r.toy[0].resets;
	resets[1] = r.toy[1].resets;
	viommu_board_vm_gone(r.board);
	assert_int_equal(viommu_mem_next(viommu_board_mem(r.board), 0, &region), -ENOENT);
	assert_int_equal(r.toy[0].resets, resets[0] + 1);
	assert_int_equal(r.toy[1].resets, resets[1] + 1);
	assert_int_equal(viommu_device_open_requests(dev(&r, 0)), 0);
	assert_int_equal(rd(&r, VTD_REG_RTADDR, 8), 0);
	assert_int_equal(cfg_read(&r.unit, AT_COMMAND, 2) & CMD_MEMORY, 0);
	assert_int_equal(stats(&r).bound, 2); /* requests without PASID, translation off */
	assert_int_equal(viommu_host_pasid_entry(dev(&r, 0), (struct viommu_hp){ GUEST_PASID },
						 (uint64_t[8]){ 0 }),
			 -ENOENT);
	/* The next one may come. */
	assert_int_equal(viommu_mem_add_fd(viommu_board_mem(r.board), 0, RAM_BYTES, r.ram.fd, 0, 0),
			 0);
	unit_config(&r, 0x10, 4, REGISTERS);
	unit_config(&r, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(&r.toy[0], AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(&r.toy[0], AT_PASID_CTL, 2, 1);
	tables_reset(&r.ram);
	tables_page(&r.ram);
	r.tail = 0;
	start(&r);
	present(&r, GUEST_PASID);
	assert_int_equal(store(&r, VA, VIOMMU_DMA_NO_PRI, 0x42), 0);
	assert_int_equal(ram(&r, r.page)[0], 0x42);
	close_rig(&r);
}

/* ---- Tables ---- */

static uint8_t sum(const uint8_t *b, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *b++);
	return s;
}

static void the_dmar_names_every_function(void **state)
{
	static const uint8_t scope[] = { 1, 8, 0, 0, 0, 0, 6, 1 };
	uint8_t buf[256], small[8] = { 0 };
	struct rig r;
	size_t n;

	(void)state;
	open(&r);
	n = viommu_board_dmar(r.board, REGISTERS, buf, sizeof(buf));
	assert_int_equal(n, 48 + 16 + 2 * 8);
	assert_memory_equal(buf, "DMAR", 4);
	assert_int_equal(buf[4], n);
	assert_int_equal(sum(buf, n), 0);
	assert_int_equal(buf[36], 52 - 1); /* host address width */
	assert_int_equal(buf[48 + 8] | buf[48 + 9] << 8 | buf[48 + 10] << 16, REGISTERS & 0xffffff);
	assert_memory_equal(buf + 48 + 16 + 8, scope, sizeof(scope));
	/* Nothing is written where it does not fit. */
	assert_int_equal(viommu_board_dmar(r.board, REGISTERS, small, sizeof(small)), n);
	assert_int_equal(sum(small, sizeof(small)), 0);
	assert_int_equal(viommu_board_remove(r.board, r.toy[0].pci), 0);
	assert_int_equal(viommu_board_dmar(r.board, REGISTERS, buf, sizeof(buf)), n - 8);
	assert_memory_equal(buf + 48 + 16, scope, sizeof(scope));
	close_rig(&r);
}

static void the_ssdt_is_about_the_units_function(void **state)
{
	struct viommu_board_config config = { .size = sizeof(config),
					      .unit_sid = VIOMMU_SID(0, 3, 0) };
	uint8_t a[512], b[512];
	struct viommu_board *board;
	size_t n, m;

	(void)state;
	assert_int_equal(viommu_board_new(NULL, &board), 0);
	n = viommu_board_ssdt(board, a, sizeof(a));
	viommu_board_free(board);
	assert_int_equal(viommu_board_new(&config, &board), 0);
	m = viommu_board_ssdt(board, b, sizeof(b));
	assert_in_range(n, 37, sizeof(a));
	assert_memory_equal(a, "SSDT", 4);
	assert_int_equal(sum(a, n), 0);
	assert_int_equal(sum(b, m), 0);
	assert_true(n != m || memcmp(a, b, n) != 0);
	viommu_board_free(board);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_board_of_defaults_has_its_parts),
	cmocka_unit_test(a_config_that_is_not_one_is_refused),
	cmocka_unit_test(every_allocation_may_fail_once),
	cmocka_unit_test(functions_come_and_go),
	cmocka_unit_test(a_function_is_reset_before_it_leaves),
	cmocka_unit_test(what_a_function_can_do_is_what_its_device_may),
	cmocka_unit_test(registers_are_in_bar_0),
	cmocka_unit_test(a_reset_of_the_function_resets_the_unit),
	cmocka_unit_test(the_firmwares_address_is_told_when_decoding_goes_on),
	cmocka_unit_test(a_miss_binds_what_the_guest_says),
	cmocka_unit_test(a_host_pasid_of_the_allocators_serves_as_well),
	cmocka_unit_test(a_fault_is_recorded_and_its_interrupt_goes_out_at_the_unit),
	cmocka_unit_test(a_page_request_gets_to_the_guest_and_its_answer_back),
	cmocka_unit_test(an_interrupt_by_dma_goes_out_at_its_own_function),
	cmocka_unit_test(a_vm_that_is_gone_leaves_nothing),
	cmocka_unit_test(the_dmar_names_every_function),
	cmocka_unit_test(the_ssdt_is_about_the_units_function),
};
TEST_MAIN(tests)
