/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose board is replaced at random points computes what one does whose board stays. Work
 * of every operation meets pages that are not there; at a request the machine is paused, or right
 * after its answer, so that jobs leave in every place where they can wait or look.
 *
 * One thread: the pause begins inside of the run, from the message of the page request, as another
 * thread's would, and is completed behind it.
 */
#include "board/machine.h"

#include <viommu/vtd.h>

#include "dev/dsa/dsa.h"
#include "dev/pci.h"
#include "host/soft.h"

#define AREA_PAGES 96u
#define AREA       (MACHINE_VA + 0x100000)
#define LIST       (MACHINE_VA + 0x10000)
#define RECORDS    (MACHINE_VA + 0x20000)
#define RECORD_MAX 1024u

/* What both machines do; a page's fate is the same in both. */
struct script {
	struct machine m;
	struct rng work; /* the same in both */
	struct rng cuts; /* only of the one that moves */
	uint64_t fate;
	bool moves;
	bool early; /* every request is answered, and then there is a pause */
	unsigned int descriptors;
	/* since pages were hidden: a bit for reading, one for writing */
	uint8_t asked[MACHINE_PAGES];
	unsigned int cut;
};

static bool comes(const struct script *s, uint64_t va)
{
	return (va >> 12) * 0x9e3779b97f4a7c15u + s->fate > UINT64_C(1) << 60;
}

/* Everything the guest was asked is answered. */
static void answer(struct script *s)
{
	struct machine *m = &s->m;
	uint64_t head = unit_rd(m, VTD_REG_PQH, 8), tail = unit_rd(m, VTD_REG_PQT, 8);

	for (; head != tail; head = (head + 32) & 4095) {
		const uint64_t *req = machine_ram(m, m->pages + head);
		uint64_t va = VTD_GET(req, VTD_PRQ_ADDR) << 12;

		uint8_t how = (uint8_t)(1u << (VTD_GET(req, VTD_PRQ_RDR) | VTD_GET(req, VTD_PRQ_WRR)
										   << 1));
		uint8_t *asked = &s->asked[(va - MACHINE_VA) >> 12];

		if (comes(s, va)) {
			/* One request for each need, wherever who has it goes on. */
			assert_false(*asked & how);
			*asked |= how;
			machine_show(m, va);
		}
		unit_wr(m, VTD_REG_PQH, 8, (head + 32) & 4095);
		unit_wr(m, VTD_REG_PRS, 4, VTD_MASK(VTD_PRS_PPR));
		unit_respond(m, req, comes(s, va) ? VTD_PGRP_SUCCESS : VTD_PGRP_INVALID);
	}
}

/* The beginning of viommu_board_pause(), from inside of a run. */
static void pause_begin(struct machine *m)
{
	fetch_or(&m->pci->gate, PCI_GATE_PAUSED);
	viommu__device_pause(viommu_pci_device(m->pci), 1);
}

static void hide_records(struct script *s)
{
	uint64_t va;

	for (va = RECORDS; va < RECORDS + 5 * 4096; va += 4096) {
		if (!comes(s, va))
			continue;
		s->asked[(va - MACHINE_VA) >> 12] = 0;
		machine_hide(&s->m, va);
	}
}

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct script *s = ctx;
	bool cut;

	(void)addr;
	if (data != 0x42)
		return;
	cut = s->early || (s->moves && !rng_one_in(&s->cuts, 3));
	if (!cut || s->early || rng_one_in(&s->cuts, 2))
		answer(s);
	if (!cut)
		return;
	/* Its record will have to wait as well. */
	if (!s->early && rng_one_in(&s->cuts, 4))
		hide_records(s);
	pause_begin(&s->m);
}

static void hear(struct script *s)
{
	const struct viommu_pci_vmm unit = { .ctx = s, .message = on_message };

	viommu_pci_set_vmm(s->m.unit, &unit);
}

static void settle(struct script *s)
{
	unsigned int bound = 0;

	for (;;) {
		dsa_steps(&s->m);
		if (!viommu_pci_pausing(s->m.pci))
			break;
		s->cut++;
		machine_move(&s->m);
		hear(s);
		if (rng_one_in(&s->cuts, 4)) {
			machine_move(&s->m); /* with nothing done in between */
			hear(s);
		}
		answer(s);
		assert_in_range(++bound, 1, 100000);
	}
	answer(s);
}

/* Hide some pages, by the same choice in both. */
static void hide(struct script *s)
{
	unsigned int i, n = (unsigned int)rng_below(&s->work, 24);

	for (i = 0; i < n; i++)
		*tables_entry(&s->m.fs, AREA + 4096 * rng_below(&s->work, AREA_PAGES), 1) = 0;
	if (rng_one_in(&s->work, 3))
		*tables_entry(&s->m.fs, RECORDS + 4096 * rng_below(&s->work, 4), 1) = 0;
	if (rng_one_in(&s->work, 3))
		*tables_entry(&s->m.fs, LIST, 1) = 0;
	memset(s->asked, 0, sizeof(s->asked));
	/* All translations of the process go. */
	machine_hide(&s->m, MACHINE_VA + 0x30000);
}

static uint64_t address(struct script *s, unsigned int align)
{
	return AREA + rng_below(&s->work, AREA_PAGES - 24) * 4096 +
	       rng_below(&s->work, 4096 / align) * align;
}

static void dif(struct script *s, uint64_t w[8], unsigned int op)
{
	uint32_t blocks = (uint32_t)rng_range(&s->work, 1, 40),
		 in = op == DSA_OP_DIF_INSERT ? 512 : 520;

	w[4] = (w[4] & ~low_bits(32)) | blocks * in;
	w[3] = AREA + (AREA_PAGES - 24) * 4096 + rng_below(&s->work, 4096);
	w[5] = 0;
	DSA_SET(w, DSA_D_DIF_SRC,
		op == DSA_OP_DIF_UPDATE || op == DSA_OP_DIF_STRIP || op == DSA_OP_DIF_CHECK
			? DSA_DIF_SRC_NO_GUARD | DSA_DIF_SRC_NO_REF
			: 0);
	DSA_SET(w, DSA_D_DIF_SRC_MASK, op == DSA_OP_DIF_INSERT ? 0 : 0xffff);
}

/* A random descriptor; some are wrong, most are good. */
static void descriptor(struct script *s, uint64_t w[8])
{
	static const uint8_t ops[] = {
		DSA_OP_NOOP,      DSA_OP_MOVE,       DSA_OP_MOVE,       DSA_OP_FILL,
		DSA_OP_COMPARE,   DSA_OP_COMPVAL,    DSA_OP_CR_DELTA,   DSA_OP_AP_DELTA,
		DSA_OP_DUALCAST,  DSA_OP_CRC,        DSA_OP_COPY_CRC,   DSA_OP_DIF_CHECK,
		DSA_OP_DIF_STRIP, DSA_OP_DIF_INSERT, DSA_OP_DIF_UPDATE, DSA_OP_CFLUSH,
	};
	unsigned int op = ops[rng_below(&s->work, sizeof(ops))];
	uint32_t size = (uint32_t)rng_range(&s->work, 1, rng_one_in(&s->work, 2) ? 60000 : 9000);

	memset(w, 0, 64);
	w[0] = (uint64_t)(op << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR |
			  (op == DSA_OP_NOOP ? 0 : DSA_FLAG_BOF))
	       << 32;
	w[1] = RECORDS + 64 * (s->descriptors++ % (RECORD_MAX / 4));
	w[2] = address(s, 1);
	w[3] = address(s, 1);
	w[4] = size;
	switch (op) {
	case DSA_OP_NOOP:
		w[2] = w[3] = w[4] = 0;
		break;
	case DSA_OP_MOVE:
		if (rng_one_in(&s->work, 3)) /* overlapping, from the end */
			w[3] = w[2] + rng_range(&s->work, 1, size);
		break;
	case DSA_OP_FILL:
		w[2] = rng_u64(&s->work);
		break;
	case DSA_OP_CFLUSH:
		w[2] = 0;
		break;
	case DSA_OP_COMPARE:
		if (rng_one_in(&s->work, 2))
			w[3] = w[2];
		break;
	case DSA_OP_COMPVAL:
		w[3] = 0;
		break;
	case DSA_OP_CR_DELTA:
		w[2] = address(s, 8);
		w[3] = rng_one_in(&s->work, 2) ? w[2] : address(s, 8);
		w[4] = size & ~7u;
		w[5] = AREA + (AREA_PAGES - 24) * 4096 + 8 * rng_below(&s->work, 512);
		DSA_SET(w, DSA_D_DELTA_MAX, 80 * rng_range(&s->work, 1, 900));
		break;
	case DSA_OP_AP_DELTA: {
		uint32_t i, n = (uint32_t)rng_range(&s->work, 1, 900), at = 0;
		uint8_t *r = machine_ptr(&s->m, AREA + (AREA_PAGES - 24) * 4096);

		for (i = 0; i < n; i++, at += 1 + (uint32_t)rng_below(&s->work, 3)) {
			r[10 * i] = (uint8_t)at;
			r[10 * i + 1] = (uint8_t)(at >> 8);
			rng_fill(&s->work, r + 10 * i + 2, 8);
		}
		w[2] = AREA + (AREA_PAGES - 24) * 4096;
		w[3] = address(s, 8);
		w[4] = 8 * (at + 8);
		DSA_SET(w, DSA_D_DELTA_SIZE, 10 * n);
		break;
	}
	case DSA_OP_DUALCAST:
		w[4] = size = 1 + size % 20000;
		w[5] = AREA + (AREA_PAGES - 24) * 4096 + (w[3] & 4095);
		break;
	case DSA_OP_CRC:
		w[3] = 0;
		w[5] = 0;
		DSA_SET(w, DSA_D_CRC_SEED, rng_u64(&s->work) & 0xffffffff);
		break;
	case DSA_OP_COPY_CRC:
		w[3] = AREA + (AREA_PAGES - 24) * 4096 + rng_below(&s->work, 4096);
		DSA_SET(w, DSA_D_CRC_SEED, 0x1234);
		if (rng_one_in(&s->work, 2)) {
			w[0] |= (uint64_t)DSA_FLAG_CRC_READ_SEED << 32;
			w[5] = 0;
			DSA_SET(w, DSA_D_CRC_SEED_ADDR, address(s, 4));
		}
		break;
	default:
		dif(s, w, op);
		break;
	}
}

static void batch(struct script *s)
{
	unsigned int i, n = (unsigned int)rng_range(&s->work, 2, 40);
	uint64_t w[8] = { 0 };

	for (i = 0; i < n; i++) {
		uint64_t *d = (uint64_t *)machine_ptr(&s->m, LIST + 64 * i);

		descriptor(s, d);
		if (rng_one_in(&s->work, 8))
			d[0] |= (uint64_t)DSA_FLAG_FENCE << 32;
	}
	w[0] = (uint64_t)(DSA_OP_BATCH << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32;
	w[1] = RECORDS + 64 * (RECORD_MAX / 4);
	w[2] = LIST;
	w[4] = n;
	dsa_store(&s->m, 0, w, 64);
}

static void begin(struct script *s, uint64_t seed, bool moves, enum machine_way way)
{
	const struct machine_config config = { .way = way };

	memset(s, 0, sizeof(*s));
	rng_init_seed(&s->work, seed);
	rng_init_seed(&s->cuts, seed + 1);
	s->fate = seed * 77;
	s->moves = moves;
	machine_open(&s->m, &config);
	machine_start(&s->m);
	dsa_enable(&s->m, MACHINE_GP);
	hear(s);
	rng_fill(&s->work, machine_ptr(&s->m, AREA), AREA_PAGES * 4096);
}

static void play(struct script *s, unsigned int rounds)
{
	unsigned int i, k, n;
	uint64_t w[8];

	for (i = 0; i < rounds; i++) {
		hide(s);
		if (rng_one_in(&s->work, 3)) {
			batch(s);
		} else {
			n = (unsigned int)rng_range(&s->work, 1, 4);
			for (k = 0; k < n; k++) {
				descriptor(s, w);
				dsa_store(&s->m, 0, w, 64);
			}
		}
		settle(s);
	}
}

static void a_guest_whose_board_moves_computes_the_same(void **state)
{
	static struct script stays, moves;
	uint64_t seed;
	struct rng rng;
	uint64_t n;

	rng_init(&rng, "equal");
	for (n = test_scale(6); n; n--) {
		seed = rng_u64(&rng);
		begin(&stays, seed, false, MACHINE_SAME);
		begin(&moves, seed, true, machine_way(state));
		play(&stays, 12);
		play(&moves, 12);
		assert_memory_equal(machine_ptr(&stays.m, MACHINE_VA),
				    machine_ptr(&moves.m, MACHINE_VA), MACHINE_PAGES * 4096ull);
		assert_true(moves.cut > 0);
		machine_close(&stays.m);
		machine_close(&moves.m);
	}
}

/* The next look is at most 256 KiB away. */
static void a_long_operation_leaves_soon(void **state)
{
	const uint32_t size = 512 * 4096;
	static struct script s;
	const struct dsa_engine *e;
	uint64_t w[8] = {
		(uint64_t)(DSA_OP_MOVE << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR | DSA_FLAG_BOF) << 32,
		RECORDS, MACHINE_VA + 0x40000, MACHINE_VA + 0x240000, size - 0x40000
	};

	begin(&s, 1, true, machine_way(state));
	rng_fill(&s.work, machine_ptr(&s.m, w[2]), w[4]);
	machine_hide(&s.m, w[2]);
	s.early = true;
	dsa_store(&s.m, 0, w, 64);
	dsa_steps(&s.m);
	e = &s.m.dsa->engine[0];
	assert_true(e->parked);
	assert_in_range(e->job.completed, 1, DSA_MOVE_BYTES);
	s.moves = false;
	machine_move(&s.m);
	hear(&s);
	assert_int_equal(dsa_steps(&s.m), 1);
	assert_int_equal(machine_ptr(&s.m, RECORDS)[0], DSA_ST_SUCCESS);
	assert_memory_equal(machine_ptr(&s.m, w[2]), machine_ptr(&s.m, w[3]), w[4]);
	machine_close(&s.m);
}

static const struct CMUnitTest tests[] = {
	machine_test_each(a_long_operation_leaves_soon),
	machine_test_each(a_guest_whose_board_moves_computes_the_same),
};
TEST_MAIN(tests)
