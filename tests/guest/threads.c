/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA threads against a guest that rebinds, flushes and answers page requests, and against resets:
 * nothing old after a wait, nothing hangs.
 */
#include "base/atomic.h"
#include "guest/world.h"

#define WORKERS 2u
#define LATE    (GW_VA + 0x400000)

struct race {
	struct gw w;
	struct gw_process p[2];
	uint64_t completed; /* the epoch whose flush has completed */
	uint64_t stop;
	uint64_t reads, stale, odd;
	struct viommu_dma *dma[WORKERS];
};

struct worker {
	struct race *r;
	unsigned int n;
};

/* A read that begins after epoch e was flushed sees e or later: VTD-TAG-07. */
static void *reader(void *arg)
{
	struct worker *me = arg;
	struct race *r = me->r;
	uint64_t floor, v;

	while (!load_acquire(&r->stop)) {
		floor = load_acquire(&r->completed);
		if (viommu_dma_read(r->dma[me->n], r->w.dev[0], 5, GW_VA, &v, 8, 0, NULL)) {
			fetch_add(&r->odd, 1);
			continue;
		}
		if (v < floor)
			fetch_add(&r->stale, 1);
		fetch_add(&r->reads, 1);
	}
	return NULL;
}

static void workers_run(struct race *r, void *(*work)(void *), void (*guest)(struct race *r))
{
	struct worker worker[WORKERS];
	pthread_t thread[WORKERS];
	unsigned int i;

	for (i = 0; i < WORKERS; i++) {
		worker[i] = (struct worker){ r, i };
		assert_int_equal(viommu_dma_new(r->w.host, &r->dma[i]), 0);
		assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	}
	guest(r);
	store_release(&r->stop, 1);
	for (i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < WORKERS; i++)
		viommu_dma_free(r->dma[i]);
}

static void race_open(struct race *r)
{
	memset(r, 0, sizeof(*r));
	gw_open(&r->w, &(struct gw_config){ .no_trap = true });
	gw_start(&r->w);
	gw_process(&r->w, &r->p[0], 4, 0);
	gw_process(&r->w, &r->p[1], 4, 0);
	gw_pe_fs(gw_pe(&r->w, GW_SID(0), 5), &r->p[0].fs, 1);
}

/* Each epoch has the other process's tables, or another page in the same ones. */
static void rebinding_guest(struct race *r)
{
	uint64_t n = test_scale(3000), e, *pe = gw_pe(&r->w, GW_SID(0), 5);
	uint64_t page[2] = { gw_page(&r->w), gw_page(&r->w) };

	for (e = 1; e <= n; e++) {
		struct gw_process *p = &r->p[e / 2 & 1];
		uint64_t to = page[e & 1];

		store_release(gw_ptr(&r->w, to), e);
		store_release(tables_entry(&p->fs, GW_VA, 1),
			      to | VTD_MASK(VTD_FS_P) | 6 | VTD_MASK(VTD_FS_A));
		gw_pe_fs(pe, &p->fs, 1);
		gw_put(&r->w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0);
		gw_put(&r->w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 5), 0);
		assert_true(gw_wait(&r->w));
		store_release(&r->completed, e);
	}
	while (load_acquire(&r->reads) < 100)
		cpu_relax();
}

static void no_thread_uses_an_old_entry_after_the_wait(void **state)
{
	struct race r;

	(void)state;
	race_open(&r);
	workers_run(&r, reader, rebinding_guest);
	assert_int_equal(r.stale, 0);
	assert_true(r.reads >= 100);
	gw_close(&r.w);
}

/* ---- What has begun ---- */

/* Holds a translation of the page until it has looked long enough for a status that comes early. */
static void *holder(void *arg)
{
	struct worker *me = arg;
	struct race *r = me->r;
	const uint32_t *status = (const uint32_t *)gw_ptr(&r->w, r->w.status);
	struct viommu_dma_span span;
	unsigned int i;

	if (me->n)
		return NULL;
	viommu_dma_begin(r->dma[0]);
	if (viommu_dma_translate(r->dma[0], r->w.dev[0], 5, GW_VA, VIOMMU_READ, &span))
		fetch_add(&r->odd, 1);
	store_release(&r->reads, 1);
	while (!load_acquire(&r->completed)) /* the guest is about to flush */
		cpu_relax();
	for (i = 0; i < 200000; i++) {
		if (load_acquire(status))
			fetch_add(&r->stale, 1);
		cpu_relax();
	}
	viommu_dma_end(r->dma[0]);
	return NULL;
}

static void flushing_guest(struct race *r)
{
	while (!load_acquire(&r->reads))
		cpu_relax();
	store_release(&r->completed, 1);
	assert_true(gw_do(&r->w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 5), 0));
}

/* VTD-QI-23, VTD-QI-34 */
static void a_wait_waits_for_accesses_that_had_begun(void **state)
{
	struct race r;

	(void)state;
	race_open(&r);
	assert_true(gw_sees(&r.w, 0, 5, GW_VA, 0));
	workers_run(&r, holder, flushing_guest);
	assert_int_equal(r.odd, 0);
	assert_int_equal(r.stale, 0);
	gw_close(&r.w);
}

/* ---- Page requests, unbinds and resets at once ---- */

static void *asker(void *arg)
{
	struct worker *me = arg;
	struct race *r = me->r;
	uint64_t i, v;

	for (i = 0; !load_acquire(&r->stop); i++) {
		viommu_dma_read(r->dma[me->n], r->w.dev[0], 5, LATE + (i % 64 << 12), &v, 8, 0,
				NULL);
		viommu_dma_write(r->dma[me->n], r->w.dev[1], VIOMMU_NO_PASID, GW_VA + 64 * me->n,
				 &v, 8, 0, NULL);
		fetch_add(&r->reads, 1);
	}
	return NULL;
}

/* Serve what stands in the ring. */
static void serve(struct race *r)
{
	struct gw *w = &r->w;
	uint64_t head = gw_rd64(w, VTD_REG_PQH);

	gw_wr32(w, VTD_REG_PRS, 1);
	while (head != gw_rd64(w, VTD_REG_PQT)) {
		const uint64_t *d = gw_ptr(w, w->prq + head);
		uint64_t va = VTD_GET(d, VTD_PRQ_ADDR) << 12;

		if (tables_left(&w->ram) > 64)
			tables_map(&r->p[0].fs, va, r->p[0].page, 12, TABLES_RWU);
		gw_put(w,
		       gw_pgrp((uint16_t)VTD_GET(d, VTD_PRQ_RID), VTD_GET(d, VTD_PRQ_PP),
			       (uint32_t)VTD_GET(d, VTD_PRQ_PASID), 0),
		       VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(d, VTD_PRQ_PRGI)));
		head = (head + 32) & (w->prq_bytes - 1);
		gw_wr64(w, VTD_REG_PQH, head);
		gw_wait(w);
	}
	gw_wr32(w, VTD_REG_PRS, 2);
}

static void busy_guest(struct race *r)
{
	uint64_t n = test_scale(1500), i, *pe = gw_pe(&r->w, GW_SID(0), 5);

	gw_pe_fs(gw_pe(&r->w, GW_SID(1), 0), &r->p[1].fs, 1);
	/* Until the workers have been at it for a while, too. */
	for (i = 0; i < n || load_acquire(&r->reads) < 100; i++) {
		serve(r);
		tables_entry_set(&r->p[0].fs, GW_VA, 1, 0);
		if (i % 8 == 7) {
			pe[0] &= ~UINT64_C(1);
			gw_put(&r->w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0);
			assert_true(gw_do(&r->w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 5), 0));
			gw_pe_fs(pe, &r->p[0].fs, 1);
		}
		if (i % 16 == 9) {
			uint64_t k;

			for (k = 0; k < 64; k++) {
				uint64_t *e = tables_entry(&r->p[0].fs, LATE + (k << 12), 1);

				if (e)
					store_release(e, 0);
			}
			gw_do(&r->w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 5), 0);
		}
		if (i % 64 == 63) {
			gw_command(&r->w, (uint32_t)VTD_MASK(VTD_GCMD_TE), false);
			gw_command(&r->w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
		}
		if (i % 200 == 199) {
			viommu_guest_reset(r->w.guest);
			r->w.iq_tail = 0;
			gw_wr64(&r->w, VTD_REG_IQA, r->w.iq | VTD_MASK(VTD_IQA_DW));
			gw_command(&r->w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), true);
			gw_wr64(&r->w, VTD_REG_PQA, r->w.prq);
			gw_set_root(&r->w, VTD_TTM_SCALABLE);
			gw_command(&r->w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
		}
	}
	/* Whoever still waits for a page gets an answer when its PASID ends. */
	pe[0] &= ~UINT64_C(1);
	store_release(&r->stop, 1);
	assert_true(gw_do(&r->w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0));
}

static void nothing_hangs_while_everything_happens_at_once(void **state)
{
	struct race r;

	(void)state;
	race_open(&r);
	workers_run(&r, asker, busy_guest);
	assert_true(r.reads > 0);
	assert_int_equal(viommu_device_open_requests(r.w.dev[0]), 0);
	gw_close(&r.w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_thread_uses_an_old_entry_after_the_wait),
	cmocka_unit_test(a_wait_waits_for_accesses_that_had_begun),
	cmocka_unit_test(nothing_hangs_while_everything_happens_at_once),
};
TEST_MAIN(tests)
