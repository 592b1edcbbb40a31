/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A board saved, and its guest going on with another one, at every point where something is half
 * done. The state itself, cut and flipped, is in state_format.c.
 */
#include "board/machine.h"

#include <pthread.h>
#include <viommu/vtd.h>

#include "base/atomic.h"

#define SRC    (MACHINE_VA + 0x40000)
#define DST    (MACHINE_VA + 0x140000)
#define LIST   (MACHINE_VA + 0x1000)
#define RECORD (MACHINE_VA)

struct desc {
	uint64_t w[8];
};

static struct desc desc(unsigned int op, uint32_t flags, uint64_t a, uint64_t b, uint32_t size)
{
	return (struct desc){ { (uint64_t)(op << 24 | flags | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32,
				RECORD, a, b, size } };
}

static void submit(struct machine *m, const struct desc *d)
{
	dsa_store(m, 0, d->w, 64);
}

static unsigned int status(struct machine *m)
{
	return machine_ptr(m, RECORD)[0];
}

static void open(struct machine *m, void *const *state)
{
	const struct machine_config config = { .way = machine_way(state) };

	machine_open(m, &config);
	machine_start(m);
	dsa_enable(m, MACHINE_GP);
}

/* ---- The unit -------------------------------------------------------------------------------- */

static void registers_are_what_they_were(void **state)
{
	uint64_t before[VIOMMU_GUEST_REGISTERS / 8];
	struct machine m;
	unsigned int i;

	open(&m, state);
	for (i = 0; i < VIOMMU_GUEST_REGISTERS / 8; i++)
		before[i] = unit_rd(&m, 8 * i, 8);
	assert_int_equal(m.placed, MACHINE_BAR);
	m.placed = 0;
	machine_move(&m);
	assert_int_equal(m.placed, MACHINE_BAR);
	for (i = 0; i < VIOMMU_GUEST_REGISTERS / 8; i++)
		assert_int_equal(unit_rd(&m, 8 * i, 8), before[i]);
	assert_int_equal(cfg_rd(m.unit, 0x10, 4), MACHINE_BAR);
	machine_close(&m);
}

static void the_root_table_that_was_latched_counts(void **state)
{
	struct machine m;

	open(&m, state);
	/* Another one is named, and not yet set. */
	unit_wr(&m, VTD_REG_RTADDR, 8, 0x123000);
	machine_move(&m);
	assert_int_equal(unit_rd(&m, VTD_REG_RTADDR, 8), 0x123000);
	{
		struct desc d = desc(DSA_OP_FILL, 0, 0x5a5a5a5a5a5a5a5a, DST, 64);

		submit(&m, &d);
		assert_int_equal(dsa_steps(&m), 1);
		assert_int_equal(status(&m), DSA_ST_SUCCESS);
	}
	machine_close(&m);
}

/* The state is saved between a descriptor and its wait, and in the middle of one. */
static void the_queue_goes_on_where_it_stopped(void **state)
{
	struct machine_config config = { .way = machine_way(state), .board.guest.burst = 1 };
	struct viommu_guest_stats s = { .size = sizeof(s) };
	unsigned int steps = 0, pasid;
	struct machine m;

	machine_open(&m, &config);
	machine_start(&m);
	/* Shadows for the scan to go over. */
	for (pasid = 6; pasid < 12; pasid++) {
		machine_present(&m, pasid);
		unit_flush_pasid(&m, pasid);
	}
	for (pasid = 6; pasid < 12; pasid++) {
		uint64_t v = pasid;

		assert_int_equal(viommu_dma_write(m.dma, viommu_pci_device(m.pci), pasid,
						  MACHINE_VA, &v, 8, 0, NULL),
				 0);
	}
	/* One of them goes before the flush: the next board does not even know it. */
	machine_entry(&m, 9)[0] = 0;
	unit_queue(&m,
		   VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_GLOBAL),
		   0);
	unit_queue(&m,
		   VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_VAL(VTD_IQ_WAIT_SW, 1) |
			   VTD_VAL(VTD_IQ_WAIT_IF, 1) | VTD_VAL(VTD_IQ_WAIT_DATA, 0x77),
		   m.status);
	unit_poke(&m, VTD_REG_IQT, 8, m.tail);
	while (unit_rd(&m, VTD_REG_IQH, 8) != m.tail) {
		assert_int_equal(machine_ram(&m, m.status)[0], 0);
		machine_move(&m);
		viommu_pci_run(m.unit, NULL);
		assert_in_range(++steps, 1, 20);
	}
	assert_true(steps > 4);
	assert_int_equal(machine_ram(&m, m.status)[0], 0x77);
	assert_int_equal(m.messages[0x43], 1);
	viommu_guest_stats(viommu_board_guest(m.board), &s);
	assert_int_equal(s.bound, 5);
	machine_close(&m);
}

static void a_queue_error_and_its_message_wait(void **state)
{
	struct machine m;

	open(&m, state);
	unit_wr(&m, VTD_REG_FECTL, 4, VTD_MASK(VTD_EVCTL_IM));
	unit_queue(&m, 0xf, 0); /* no such type */
	unit_flush(&m);
	assert_true(unit_rd(&m, VTD_REG_FSTS, 4) & VTD_MASK(VTD_FSTS_IQE));
	machine_move(&m);
	assert_int_equal(m.messages[0x41], 0);
	assert_true(unit_rd(&m, VTD_REG_FECTL, 4) & VTD_MASK(VTD_EVCTL_IP));
	unit_wr(&m, VTD_REG_FECTL, 4, 0);
	assert_int_equal(m.messages[0x41], 1);
	assert_int_equal(VTD_FIELD(unit_rd(&m, VTD_REG_IQERCD, 8), VTD_IQERCD_IQEI), VTD_IQEI_TYPE);
	/* The guest mends it and goes on. */
	machine_ram(&m, m.queue + ((m.tail - 32) & 4095))[0] =
		VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_GLOBAL);
	unit_wr(&m, VTD_REG_FSTS, 4, VTD_MASK(VTD_FSTS_IQE));
	assert_int_equal(unit_rd(&m, VTD_REG_IQH, 8), m.tail);
	machine_close(&m);
}

static void fault(struct machine *m, uint64_t va)
{
	uint64_t v = 1;

	assert_int_equal(viommu_dma_write(m->dma, viommu_pci_device(m->pci), MACHINE_GP, va, &v, 8,
					  VIOMMU_DMA_NO_PRI, NULL),
			 VIOMMU_FAULTED);
}

static void fault_records_go_on_in_their_order(void **state)
{
	unsigned int frcd, n, i;
	struct machine m;

	open(&m, state);
	frcd = 16 * (unsigned int)VTD_FIELD(unit_rd(&m, VTD_REG_CAP, 8), VTD_CAP_FRO);
	n = (unsigned int)VTD_FIELD(unit_rd(&m, VTD_REG_CAP, 8), VTD_CAP_NFR) + 1;
	assert_true(n > 1);
	for (i = 0; i < n; i++) {
		fault(&m, 0x1000 * (i + 1));
		machine_move(&m);
	}
	assert_int_equal(m.messages[0x41], 1);
	assert_int_equal(VTD_FIELD(unit_rd(&m, VTD_REG_FSTS, 4), VTD_FSTS_FRI), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(unit_rd(&m, frcd + 16 * i, 8), 0x1000 * (i + 1));
	assert_false(unit_rd(&m, VTD_REG_FSTS, 4) & VTD_MASK(VTD_FSTS_PFO));
	fault(&m, 0x99000);
	machine_move(&m);
	assert_true(unit_rd(&m, VTD_REG_FSTS, 4) & VTD_MASK(VTD_FSTS_PFO));
	fault(&m, 0x9a000);
	assert_int_equal(unit_rd(&m, frcd, 8), 0x1000);
	machine_close(&m);
}

static uint32_t vcmd(struct machine *m, uint64_t command)
{
	unit_wr(m, VTD_REG_VCMD, 8, command);
	return (uint32_t)VTD_FIELD(unit_rd(m, VTD_REG_VCRSP, 8), VTD_VCRSP_PASID);
}

static void pasids_that_the_guest_was_given_stay_its(void **state)
{
	struct machine_config config = { .way = machine_way(state),
					 .board.guest.flags = VIOMMU_GUEST_VCMD | VIOMMU_GUEST_CM,
					 .board.pasid_min = 5,
					 .board.pasid_max = 8 };
	struct machine m;
	uint64_t v = 1;

	machine_open(&m, &config);
	machine_start(&m);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 5);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 6);
	machine_move(&m);
	/* The response, too. */
	assert_int_equal(VTD_FIELD(unit_rd(&m, VTD_REG_VCRSP, 8), VTD_VCRSP_PASID), 6);
	assert_int_equal(viommu_dma_write(m.dma, viommu_pci_device(m.pci), 5, MACHINE_VA, &v, 8, 0,
					  NULL),
			 0);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 7);
	machine_entry(&m, 5)[0] = 0;
	unit_flush_pasid(&m, 5);
	/* 5 is idle: taken back when there is none left. */
	machine_move(&m);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 8);
	machine_move(&m);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 5);
	/* Given anew, and not bound: after a refusal it is idle again. */
	machine_move(&m);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 0);
	machine_move(&m);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 5);
	assert_int_equal(vcmd(&m, VTD_VCMD_CODE_ALLOC), 0);
	machine_close(&m);
}

static void host_pasids_stay_what_they_were(void **state)
{
	struct machine_config config = { .way = machine_way(state),
					 .board.guest.flags = VIOMMU_GUEST_HOST_PASIDS,
					 .board.pasid_min = 0x80000,
					 .board.pasid_max = 0x80001 };
	struct desc d = desc(DSA_OP_FILL, 0, 0x5a5a5a5a5a5a5a5a, DST, 64);
	uint32_t other, hp;
	struct machine m;

	machine_open(&m, &config);
	machine_start(&m);
	/* Not in the order in which it would be given again. */
	assert_int_equal(viommu_pci_pasid(m.pci, 9, &other), 0);
	dsa_enable(&m, MACHINE_GP);
	submit(&m, &d);
	assert_int_equal(dsa_steps(&m), 1);
	machine_move(&m);
	assert_int_equal(viommu_pci_pasid(m.pci, MACHINE_GP, &hp), 0);
	assert_int_equal(hp, 0x80001);
	assert_int_equal(viommu_pci_pasid(m.pci, 9, &hp), 0);
	assert_int_equal(hp, other);
	/* None is left, so what is not bound makes room. */
	assert_int_equal(viommu_pci_pasid(m.pci, 10, &hp), 0);
	assert_int_equal(hp, other);
	submit(&m, &d);
	assert_int_equal(dsa_steps(&m), 1);
	assert_int_equal(status(&m), DSA_ST_SUCCESS);
	/* On a host that gives other numbers the guest sees no difference. */
	m.config.board.pasid_min = 0x100;
	m.config.board.pasid_max = 0x200;
	machine_move(&m);
	assert_int_equal(viommu_pci_pasid(m.pci, MACHINE_GP, &hp), 0);
	assert_in_range(hp, 0x100, 0x200);
	submit(&m, &d);
	assert_int_equal(dsa_steps(&m), 1);
	machine_close(&m);
}

static void interrupt_remapping_is_as_it_was_latched(void **state)
{
	struct machine_config config = { .way = machine_way(state),
					 .board.guest.flags = VIOMMU_GUEST_INTREMAP };
	struct viommu_guest_interrupt irq;
	uint64_t table, *irte;
	struct machine m;

	machine_open(&m, &config);
	machine_start(&m);
	table = tables_page(&m.ram);
	irte = machine_ram(&m, table + 3 * VTD_IRTE_BYTES);
	irte[0] = 0;
	irte[1] = 0;
	VTD_SET(irte, VTD_IRTE_V, 0x31);
	VTD_SET(irte, VTD_IRTE_P, 1);
	unit_wr(&m, VTD_REG_IRTA, 8, table | 7);
	unit_command(&m, VTD_MASK(VTD_GCMD_SIRTP));
	unit_command(&m, VTD_MASK(VTD_GCMD_IRE));
	/* Named, and not set. */
	unit_wr(&m, VTD_REG_IRTA, 8, 0);
	machine_move(&m);
	assert_int_equal(viommu_guest_remap(viommu_board_guest(m.board), MACHINE_SID,
					    VTD_WINDOW_BASE | VTD_VAL(VTD_RMSI_ADDR_FORMAT, 1) |
						    VTD_VAL(VTD_RMSI_ADDR_HANDLE, 3),
					    0, &irq),
			 0);
	assert_int_equal(irq.vector, 0x31);
	assert_int_equal(irq.remapped, 1);
	machine_close(&m);
}

/* ---- Dirty pages ----------------------------------------------------------------------------- */

static bool dirty(struct machine *m, uint64_t gpa)
{
	uint64_t bitmap;

	assert_int_equal(
		viommu_domain_dirty_read(viommu_board_domain(m->board), gpa, 4096, 0, &bitmap), 0);
	return bitmap;
}

static void what_the_unit_writes_is_dirty(void **state)
{
	struct machine_config config = { .board.domain_flags = VIOMMU_DOMAIN_DIRTY };
	struct viommu_domain *dom;
	struct machine m;
	uint64_t v = 0;

	(void)state;
	machine_open(&m, &config);
	machine_start(&m);
	dom = viommu_board_domain(m.board);
	assert_int_equal(viommu_domain_dirty_start(dom, 12), 0);
	assert_false(dirty(&m, m.status) || dirty(&m, m.pages));
	unit_queue(&m,
		   VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_VAL(VTD_IQ_WAIT_SW, 1) |
			   VTD_VAL(VTD_IQ_WAIT_DATA, 1),
		   m.status);
	unit_flush(&m);
	assert_true(dirty(&m, m.status));
	machine_hide(&m, SRC);
	assert_int_equal(viommu_dma_read(m.dma, viommu_pci_device(m.pci), MACHINE_GP, SRC, &v, 8,
					 VIOMMU_DMA_NO_WAIT, NULL),
			 -EAGAIN);
	assert_true(dirty(&m, m.pages));
	/* Their reading is no writing. */
	assert_false(dirty(&m, m.queue) || dirty(&m, m.root));
	machine_close(&m);
}

/* ---- Functions ------------------------------------------------------------------------------- */

static void a_vector_that_is_masked_stays_pending(void **state)
{
	struct desc d = desc(DSA_OP_NOOP, DSA_FLAG_RCI, 0, 0, 0);
	struct machine m;
	uint64_t v;

	open(&m, state);
	d.w[4] |= (uint64_t)1 << 32; /* interrupt handle 1 */
	dsa_wr(&m, 0x800 + 8, MACHINE_GP << 12 | 1u << 3);
	dsa_wr(&m, 0x2000 + 16 + 12, 1);
	submit(&m, &d);
	assert_int_equal(dsa_steps(&m), 1);
	assert_int_equal(status(&m), DSA_ST_SUCCESS);
	machine_move(&m);
	assert_int_equal(m.interrupts[1], 0);
	assert_int_equal(viommu_pci_bar_read(m.pci, 0, 0x3000, 8, &v), 0);
	assert_int_equal(v, 2);
	dsa_wr(&m, 0x2000 + 16 + 12, 0);
	assert_int_equal(m.interrupts[1], 1);
	machine_close(&m);
}

/* ---- The accelerator ------------------------------------------------------------------------- */

static void a_store_that_came_half_is_completed(void **state)
{
	struct machine m;
	unsigned int cut;

	open(&m, state);
	for (cut = 1; cut < 8; cut++) {
		struct desc d = desc(DSA_OP_FILL, 0, 0x0101010101010101ull * cut, DST, 64);
		unsigned int i;

		for (i = 0; i < 8; i++) {
			if (i == cut)
				machine_move(&m);
			assert_int_equal(viommu_pci_bar_write(m.pci, 2, 8 * i, 8, d.w[i]), 0);
		}
		assert_int_equal(dsa_steps(&m), 1);
		assert_int_equal(machine_ptr(&m, DST)[63], cut);
	}
	machine_close(&m);
}

static void descriptors_that_wait_run_in_their_order(void **state)
{
	struct machine m;
	unsigned int i;

	open(&m, state);
	for (i = 0; i < 16; i++) {
		struct desc d =
			desc(DSA_OP_FILL, 0, 0x0101010101010101ull * (i + 1), DST + 8 * i, 256);

		d.w[1] = RECORD + 64 * i;
		submit(&m, &d);
	}
	assert_int_equal(dsa_rd(&m, 0x500 + 24) & 0xffff, 16);
	for (i = 0; i < 16; i++) {
		machine_move(&m);
		assert_int_equal(dsa_rd(&m, 0x500 + 24) & 0xffff, 16 - i);
		viommu_pci_run(m.pci, m.dma);
	}
	for (i = 0; i < 16; i++)
		assert_int_equal(machine_ptr(&m, DST + 8 * i)[0], i + 1);
	machine_close(&m);
}

/* A worker, as the server has one. */
struct worker {
	struct machine *m;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	dsa_steps(w->m);
	return NULL;
}

static void begin(struct worker *w, struct machine *m)
{
	w->m = m;
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void wait_requests(struct machine *m, unsigned int n)
{
	while (unit_rd(m, VTD_REG_PQT, 8) < 32 * n)
		sched_yield();
}

/*
 * The worker is in the wait for the page; it leaves it, and another one of another board goes on.
 */
static void a_job_that_waits_for_its_page_goes_on_elsewhere(void **state)
{
	struct desc d = desc(DSA_OP_MOVE, DSA_FLAG_BOF, SRC, DST, 5 * 4096);
	struct worker w;
	struct machine m;

	open(&m, state);
	memset(machine_ptr(&m, SRC), 0xa5, 5 * 4096);
	machine_hide(&m, SRC + 2 * 4096);
	submit(&m, &d);
	begin(&w, &m);
	wait_requests(&m, 1);
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	pthread_join(w.thread, NULL);
	viommu_board_resume(m.board);
	machine_move(&m);
	assert_int_equal(viommu_device_open_requests(viommu_pci_device(m.pci)), 1);
	assert_int_equal(m.messages[0x42], 1);
	/* It waits again, and asks for nothing anew. */
	begin(&w, &m);
	machine_show(&m, SRC + 2 * 4096);
	unit_respond(&m, machine_ram(&m, m.pages), VTD_PGRP_SUCCESS);
	pthread_join(w.thread, NULL);
	assert_int_equal(unit_rd(&m, VTD_REG_PQT, 8), 32);
	assert_int_equal(status(&m), DSA_ST_SUCCESS);
	assert_memory_equal(machine_ptr(&m, SRC), machine_ptr(&m, DST), 5 * 4096);
	machine_close(&m);
}

static void an_answer_that_comes_before_the_job_is_back_counts(void **state)
{
	static const struct {
		unsigned int code, status;
	} row[] = {
		{ VTD_PGRP_SUCCESS, DSA_ST_SUCCESS },
		{ VTD_PGRP_INVALID, DSA_ST_PAGE_INVALID },
		{ VTD_PGRP_FAILURE, DSA_ST_TRANSLATION },
	};
	struct worker w;
	struct machine m;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct desc d = desc(DSA_OP_MOVE, DSA_FLAG_BOF, SRC, DST, 4096);

		open(&m, state);
		machine_hide(&m, SRC);
		submit(&m, &d);
		begin(&w, &m);
		wait_requests(&m, 1);
		assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
		pthread_join(w.thread, NULL);
		machine_move(&m);
		if (row[i].code == VTD_PGRP_SUCCESS)
			machine_show(&m, SRC);
		unit_respond(&m, machine_ram(&m, m.pages), row[i].code);
		machine_move(&m);
		assert_int_equal(dsa_steps(&m), 1);
		assert_int_equal(status(&m), row[i].status);
		assert_int_equal(unit_rd(&m, VTD_REG_PQT, 8), 32);
		machine_close(&m);
	}
}

static void a_command_waits_for_the_job_wherever_it_is(void **state)
{
	struct desc d = desc(DSA_OP_MOVE, DSA_FLAG_BOF, SRC, DST, 4096);
	struct worker w;
	struct machine m;

	open(&m, state);
	machine_hide(&m, DST);
	submit(&m, &d);
	begin(&w, &m);
	wait_requests(&m, 1);
	assert_int_equal(dsa_cmd(&m, DSA_CMD_DRAIN_ALL, 0), 0x80000000u);
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	pthread_join(w.thread, NULL);
	machine_move(&m);
	assert_int_equal(dsa_rd(&m, 0xa8), 0x80000000u);
	machine_show(&m, DST);
	unit_respond(&m, machine_ram(&m, m.pages), VTD_PGRP_SUCCESS);
	assert_int_equal(dsa_steps(&m), 1);
	assert_int_equal(dsa_rd(&m, 0xa8), 0);
	machine_close(&m);
}

static void a_suspended_job_can_be_aborted(void **state)
{
	struct desc d = desc(DSA_OP_MOVE, DSA_FLAG_BOF, SRC, DST, 4096);
	struct worker w;
	struct machine m;

	open(&m, state);
	machine_hide(&m, DST);
	submit(&m, &d);
	begin(&w, &m);
	wait_requests(&m, 1);
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	pthread_join(w.thread, NULL);
	machine_move(&m);
	assert_int_equal(dsa_cmd(&m, DSA_CMD_ABORT_ALL, 0), 0);
	assert_int_equal(dsa_steps(&m), 0);
	assert_int_equal(status(&m), 0);
	/* And the function reset. */
	machine_move(&m);
	viommu_pci_reset(m.pci);
	assert_int_equal(dsa_rd(&m, 0x90), 0);
	machine_close(&m);
}

/*
 * Rounds while the worker writes: what the log names is all that is copied, and the last round, for
 * which the guest stands still, is a short one.
 */
static void what_devices_write_while_it_is_copied_arrives(void **state)
{
	const struct machine_config config = { .way = MACHINE_LIVE };
	const uint64_t hidden = DST + 15 * 16 * 4096;
	unsigned int i, named = 0;
	struct machine m;
	struct worker w;

	(void)state;
	machine_open(&m, &config);
	machine_start(&m);
	dsa_enable(&m, MACHINE_GP);
	machine_hide(&m, hidden);
	for (i = 0; i < 16; i++) {
		struct desc d = desc(DSA_OP_FILL, DSA_FLAG_BOF, 0x0101010101010101ull * (i + 1),
				     DST + i * 16 * 4096, 16 * 4096);

		d.w[1] = RECORD + 64 * i;
		submit(&m, &d);
	}
	machine_round(&m);
	begin(&w, &m);
	while (!unit_rd(&m, VTD_REG_PQT, 8)) {
		machine_round(&m);
		named += m.pages_copied[1];
	}
	machine_round(&m);
	named += m.pages_copied[1];
	assert_true(named >= 15 * 16 + 2); /* records, and the request */
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	pthread_join(w.thread, NULL);
	machine_move(&m);
	assert_in_range(m.pages_copied[0], 0, 16);
	assert_int_equal(m.messages[0x42], 1);
	machine_show(&m, hidden);
	unit_respond(&m, machine_ram(&m, m.pages), VTD_PGRP_SUCCESS);
	assert_int_equal(dsa_steps(&m), 1);
	for (i = 0; i < 16; i++) {
		const uint8_t *p = machine_ptr(&m, DST + i * 16 * 4096);

		assert_int_equal(machine_ptr(&m, RECORD + 64 * i)[0], DSA_ST_SUCCESS);
		assert_int_equal(p[0], i + 1);
		assert_memory_equal(p, p + 1, 16 * 4096 - 1);
	}
	machine_close(&m);
}

/* It is enabled when the handle is not looked at any more: that must hold nobody here. */
static void an_occupancy_interrupt_with_no_vector_moves_along(void **state)
{
	struct machine m;

	open(&m, state);
	assert_int_equal(dsa_cmd(&m, DSA_CMD_DISABLE_WQ, 1), 0);
	dsa_wr(&m, 0x510, 0xffff);
	assert_int_equal(dsa_cmd(&m, DSA_CMD_ENABLE_WQ, 0), 0);
	dsa_wr(&m, 0x514, 0x10000);
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	machine_move(&m);
	assert_int_equal(dsa_rd(&m, 0x510), 0xffff);
	assert_int_equal(dsa_rd(&m, 0x514), 0x10000);
	machine_close(&m);
}

/* Its entry counts as it is by now, also if the host has no use of it: then there is no bind. */
static void an_entry_made_wrong_without_a_flush_moves_along(void **state)
{
	struct viommu_guest_stats st = { .size = sizeof(st) };
	struct desc d = desc(DSA_OP_MOVE, 0, SRC, DST, 4096);
	struct machine m;
	uint64_t *pe;

	open(&m, state);
	submit(&m, &d);
	assert_int_equal(dsa_steps(&m), 1);
	assert_int_equal(status(&m), DSA_ST_SUCCESS);
	viommu_guest_stats(viommu_board_guest(m.board), &st);
	assert_int_equal(st.bound, 1);
	/* An address that the unit has, and the VM's memory has not. */
	pe = machine_entry(&m, MACHINE_GP);
	VTD_SET(pe, VTD_PE_FSPTPTR, UINT64_C(1) << (51 - 12));
	assert_int_equal(viommu_board_pause(m.board, NULL, 0), 0);
	machine_move(&m);
	viommu_guest_stats(viommu_board_guest(m.board), &st);
	assert_int_equal(st.bound, 0);
	machine_close(&m);
}

static const struct CMUnitTest tests[] = {
	machine_test_each(registers_are_what_they_were),
	machine_test_each(the_root_table_that_was_latched_counts),
	machine_test_each(the_queue_goes_on_where_it_stopped),
	machine_test_each(a_queue_error_and_its_message_wait),
	machine_test_each(fault_records_go_on_in_their_order),
	machine_test_each(pasids_that_the_guest_was_given_stay_its),
	machine_test_each(host_pasids_stay_what_they_were),
	machine_test_each(interrupt_remapping_is_as_it_was_latched),
	cmocka_unit_test(what_the_unit_writes_is_dirty),
	machine_test_each(a_vector_that_is_masked_stays_pending),
	machine_test_each(a_store_that_came_half_is_completed),
	machine_test_each(descriptors_that_wait_run_in_their_order),
	machine_test_each(a_job_that_waits_for_its_page_goes_on_elsewhere),
	machine_test_each(an_answer_that_comes_before_the_job_is_back_counts),
	machine_test_each(a_command_waits_for_the_job_wherever_it_is),
	machine_test_each(a_suspended_job_can_be_aborted),
	cmocka_unit_test(what_devices_write_while_it_is_copied_arrives),
	machine_test_each(an_occupancy_interrupt_with_no_vector_moves_along),
	machine_test_each(an_entry_made_wrong_without_a_flush_moves_along),
};
TEST_MAIN(tests)
