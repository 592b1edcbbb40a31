/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty pages of a domain: what was written is named, what was not is not, whichever way it was
 * written; and nothing is lost between rounds while DMA runs.
 */
#include "host/world.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "mem/mem.h"

#define DATA_PAGES 600u
#define PAGES      (WORLD_BYTES / 4096)
#define HIGH       (UINT64_C(1) << 30)

struct rig {
	struct world w;
	uint64_t data; /* GPA of the first page of the process */
	struct viommu_devtlb *tlb;
	uint8_t *before; /* memory when it was last clean */
	uint8_t written[PAGES];
	uint64_t bitmap[PAGES / 64];
};

static void open_rig(struct rig *r)
{
	const struct world_config config = {
		.device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS,
		.domain_flags = VIOMMU_DOMAIN_DIRTY,
	};
	unsigned int i;

	memset(r, 0, sizeof(*r));
	world_open(&r->w, &config);
	r->data = world_page(&r->w);
	for (i = 1; i < DATA_PAGES; i++)
		assert_int_equal(world_page(&r->w), r->data + i * 4096ull);
	assert_int_equal(tables_map_range(&r->w.fs, WORLD_VA, r->data, DATA_PAGES * 4096ull, 12,
					  TABLES_RWU),
			 0);
	assert_int_equal(world_bind(&r->w, 5), 0);
	assert_int_equal(viommu_devtlb_new(r->w.dev, 64, &r->tlb), 0);
	r->before = malloc(WORLD_BYTES);
	assert_non_null(r->before);
}

static void close_rig(struct rig *r)
{
	free(r->before);
	viommu_devtlb_free(r->tlb);
	world_close(&r->w);
}

static void clean(struct rig *r)
{
	memcpy(r->before, r->w.ram.host, WORLD_BYTES);
	memset(r->written, 0, sizeof(r->written));
}

static bool is_set(const uint64_t *bitmap, uint64_t n)
{
	return bitmap[n / 64] >> n % 64 & 1;
}

static void look(struct rig *r, uint32_t flags)
{
	assert_int_equal(viommu_domain_dirty_read(r->w.dom, 0, WORLD_BYTES, flags, r->bitmap), 0);
}

/*
 * VTD-SS-20: every page that changed is named; of data pages no other than those that were written.
 */
static void check(struct rig *r)
{
	uint64_t i, first = r->data / 4096;

	look(r, VIOMMU_DIRTY_CLEAR);
	for (i = 0; i < PAGES; i++) {
		bool changed = memcmp(r->before + i * 4096, r->w.ram.host + i * 4096, 4096);

		if (changed && !is_set(r->bitmap, i))
			fail_msg("page %u changed and is clean", (unsigned int)i);
		if (is_set(r->bitmap, i) && i >= first && i < first + DATA_PAGES && !r->written[i])
			fail_msg("page %u is dirty, and nobody wrote it", (unsigned int)i);
	}
	clean(r);
	look(r, 0);
	for (i = 0; i < PAGES / 64; i++)
		assert_int_equal(r->bitmap[i], 0);
}

static void wrote(struct rig *r, uint64_t va, uint64_t bytes)
{
	uint64_t gpa = r->data + (va - WORLD_VA), at;

	for (at = gpa / 4096; at <= (gpa + bytes - 1) / 4096; at++)
		r->written[at] = 1;
}

/* ---- Every way to write ---------------------------------------------------------------------- */

static void one_access(struct rig *r, struct rng *rng)
{
	struct world *w = &r->w;
	const uint64_t all = DATA_PAGES * 4096ull;
	uint64_t bytes = rng_range(rng, 1, rng_one_in(rng, 4) ? 30000 : 300);
	uint64_t va = WORLD_VA + rng_below(rng, all - bytes), other, old;
	struct viommu_dma_op ops[4];
	struct viommu_dma_seg seg[2];
	struct viommu_dma_span span;
	static uint8_t buf[30008];
	unsigned int i;

	rng_fill(rng, buf, bytes);
	other = WORLD_VA + rng_below(rng, all - bytes);
	switch (rng_below(rng, 12)) {
	case 0:
		assert_int_equal(viommu_dma_read(w->dma, w->dev, w->hp.v, va, buf, bytes, 0, NULL),
				 0);
		return;
	case 1:
		assert_int_equal(viommu_dma_fill(w->dma, w->dev, w->hp.v, va, rng_u64(rng), bytes,
						 0, NULL),
				 0);
		break;
	case 2:
		assert_int_equal(viommu_dma_copy(w->dma, w->dev, w->hp.v, va, w->hp.v, other, bytes,
						 0, NULL),
				 0);
		break;
	case 3:
		va &= ~7ull;
		bytes = 8;
		assert_int_equal(viommu_dma_atomic(w->dma, w->dev, w->hp.v, va, 8,
						   VIOMMU_ATOMIC_FETCH_ADD, rng_u64(rng), 0, 0,
						   &old, NULL),
				 0);
		break;
	case 4:
		seg[0] = (struct viommu_dma_seg){ va, bytes / 2 };
		seg[1] = (struct viommu_dma_seg){ other, bytes - bytes / 2 };
		assert_int_equal(viommu_dma_writev(w->dma, w->dev, w->hp.v, seg, 2, buf, 0, NULL),
				 0);
		wrote(r, other, bytes);
		break;
	case 5:
		bytes = 64;
		for (i = 0; i < 4; i++) {
			uint64_t at = WORLD_VA + rng_below(rng, all - 64);

			ops[i] = (struct viommu_dma_op){
				.dev = w->dev,
				.pasid = w->hp.v,
				.kind = i ? VIOMMU_DMA_WRITE : VIOMMU_DMA_READ,
				.addr = at,
				.buf = buf + 64 * i,
				.bytes = 64,
			};
			if (i)
				wrote(r, at, 64);
		}
		assert_int_equal(viommu_dma_batch(w->dma, ops, 4), 4);
		return;
	case 6:
		assert_int_equal(
			viommu_devtlb_write(r->tlb, w->dma, w->hp.v, va, buf, bytes, 0, NULL), 0);
		break;
	case 7:
		assert_int_equal(
			viommu_devtlb_read(r->tlb, w->dma, w->hp.v, va, buf, bytes, 0, NULL), 0);
		return;
	case 8:
		viommu_dma_begin(w->dma);
		assert_int_equal(viommu_dma_translate(w->dma, w->dev, w->hp.v, va,
						      VIOMMU_READ | VIOMMU_WRITE, &span),
				 0);
		*(uint8_t *)span.host ^= 0x55;
		viommu_dma_end(w->dma);
		bytes = 1;
		break;
	case 9:
		assert_int_equal(viommu_mem_write(w->mem, r->data + (va - WORLD_VA), buf, bytes),
				 0);
		break;
	case 10:
		va &= ~7ull;
		bytes = 8;
		assert_int_equal(
			viommu_mem_store64(w->mem, r->data + (va - WORLD_VA), rng_u64(rng)), 0);
		break;
	default:
		assert_int_equal(viommu_dma_write(w->dma, w->dev, w->hp.v, va, buf, bytes,
						  rng_one_in(rng, 2) ? VIOMMU_DMA_NO_ALLOCATE : 0,
						  NULL),
				 0);
		break;
	}
	wrote(r, va, bytes);
}

static void what_is_written_is_dirty_and_nothing_else(void **state)
{
	uint64_t rounds, n;
	struct rng rng;
	struct rig r;

	(void)state;
	rng_init(&rng, "dirty");
	open_rig(&r);
	for (n = 0; n < 200; n++)
		one_access(&r, &rng); /* caches are warm */
	clean(&r);
	assert_int_equal(viommu_domain_dirty_start(r.w.dom, 12), 0);
	for (rounds = test_scale(300); rounds; rounds--) {
		n = rng_below(&rng, 40);
		/* First-stage entries lose their marks: walks write the guest's tables. */
		if (rng_one_in(&rng, 3)) {
			uint64_t va = WORLD_VA + rng_below(&rng, DATA_PAGES) * 4096;
			const struct viommu_invalidate inv = {
				.size = sizeof(inv),
				.granularity = VIOMMU_INVALIDATE_GLOBAL,
			};

			uint64_t *e = tables_entry(&r.w.fs, va, 1);

			*e &= ~(VTD_MASK(VTD_FS_A) | VTD_MASK(VTD_FS_D));
			/* By the guest's processor, which is nobody's business here. */
			memcpy(r.before + ((uint8_t *)e - r.w.ram.host), e, 8);
			assert_int_equal(viommu_host_invalidate(r.w.host, NULL, &inv), 0);
		}
		while (n--)
			one_access(&r, &rng);
		check(&r);
	}
	viommu_domain_dirty_stop(r.w.dom);
	close_rig(&r);
}

static void a_bit_in_the_guests_tables_makes_their_page_dirty(void **state)
{
	struct rig r;
	uint64_t v = 1, *e, table;

	(void)state;
	open_rig(&r);
	e = tables_entry(&r.w.fs, WORLD_VA, 1);
	table = (uint64_t)((uint8_t *)e - r.w.ram.host) / 4096;
	assert_int_equal(viommu_dma_read(r.w.dma, r.w.dev, r.w.hp.v, WORLD_VA, &v, 8, 0, NULL), 0);
	assert_int_equal(viommu_domain_dirty_start(r.w.dom, 12), 0);
	assert_int_equal(viommu_dma_write(r.w.dma, r.w.dev, r.w.hp.v, WORLD_VA, &v, 8, 0, NULL), 0);
	assert_true(*e & VTD_MASK(VTD_FS_D));
	look(&r, 0);
	assert_true(is_set(r.bitmap, table));
	assert_true(is_set(r.bitmap, r.data / 4096));
	close_rig(&r);
}

static void a_walk_of_somebody_elses_stack_is_seen(void **state)
{
	struct viommu_walk_result out;
	struct viommu_stack stack;
	struct rig r;
	uint64_t *e;

	(void)state;
	open_rig(&r);
	e = tables_entry(&r.w.fs, WORLD_VA, 1);
	*e &= ~(VTD_MASK(VTD_FS_A) | VTD_MASK(VTD_FS_D));
	assert_int_equal(viommu_domain_dirty_start(r.w.dom, 12), 0);
	tables_stack(&r.w.fs, 48, r.w.mem, &stack);
	assert_int_equal(viommu_walk(&stack, WORLD_VA, VIOMMU_WRITE, 0, NULL, &out), 0);
	look(&r, 0);
	assert_true(is_set(r.bitmap, (uint64_t)((uint8_t *)e - r.w.ram.host) / 4096));
	close_rig(&r);
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static uint64_t table_bytes(struct rig *r)
{
	struct viommu_host_memory m;

	viommu_host_memory(r->w.host, &m);
	return m.second_stage;
}

static int write_gpa(struct rig *r, uint64_t gpa)
{
	uint64_t v = gpa;

	return viommu_dma_write(r->w.dma, r->w.dev, VIOMMU_NO_PASID, gpa, &v, 8, 0, NULL);
}

static void attach(struct rig *r)
{
	const struct viommu_bind ss = { .size = sizeof(ss), .kind = VIOMMU_BIND_NESTED };

	assert_int_equal(viommu_device_attach(r->w.dev, r->w.dom, &ss), 0);
}

/* 1 GiB of a file at 1 GiB. */
static void add_high(struct rig *r, uint32_t flags)
{
	int fd = memfd_create("high", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)HIGH), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(viommu_mem_add_fd(r->w.mem, HIGH, HIGH, fd, 0, flags), 0);
	close(fd);
}

static void large_leaves_are_split_and_put_together_again(void **state)
{
	static const unsigned int lg2[] = { 12, 21, 30 };
	uint64_t before, during[3], bitmap[8];
	struct rig r;
	unsigned int i;

	(void)state;
	open_rig(&r);
	attach(&r);
	add_high(&r, 0);
	before = table_bytes(&r);
	for (i = 0; i < 3; i++) {
		assert_int_equal(viommu_domain_dirty_start(r.w.dom, lg2[i]), 0);
		assert_int_equal(viommu_domain_dirty_start(r.w.dom, lg2[i]), -EBUSY);
		during[i] = table_bytes(&r);
		assert_int_equal(write_gpa(&r, HIGH + 5 * BIT64(21) + 4096), 0);
		assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, NULL), 0);
		if (lg2[i] == 21) {
			assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, bitmap),
					 0);
			assert_int_equal(bitmap[0], 1u << 5);
			assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH + 4096, BIT64(21),
								  0, bitmap),
					 -EINVAL);
		}
		if (lg2[i] == 30) {
			assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, bitmap),
					 0);
			assert_int_equal(bitmap[0], 1);
			assert_int_equal(viommu_domain_dirty_read(r.w.dom, 0, HIGH, 0, bitmap), 0);
			assert_int_equal(bitmap[0], 0);
		}
		viommu_domain_dirty_stop(r.w.dom);
		assert_int_equal(table_bytes(&r), before);
		assert_int_equal(write_gpa(&r, HIGH + 7 * BIT64(21)), 0);
	}
	assert_true(during[0] > during[1] && during[1] > during[2] && during[2] == before);
	viommu_domain_dirty_stop(r.w.dom); /* twice is once */
	close_rig(&r);
}

static void regions_come_and_go_while_pages_are_tracked(void **state)
{
	uint64_t bitmap[8];
	struct rig r;

	(void)state;
	open_rig(&r);
	attach(&r);
	assert_int_equal(viommu_domain_dirty_start(r.w.dom, 21), 0);
	add_high(&r, 0);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, bitmap), 0);
	assert_int_equal(bitmap[0], 0); /* it begins clean */
	assert_int_equal(write_gpa(&r, HIGH + BIT64(21)), 0);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, bitmap), 0);
	assert_int_equal(bitmap[0], 2);
	assert_int_equal(viommu_mem_remove(r.w.mem, HIGH, HIGH), 0);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, bitmap), 0);
	assert_int_equal(bitmap[0], 0);
	/* Read-only memory is never dirty. */
	add_high(&r, VIOMMU_MEM_READ_ONLY);
	assert_int_equal(write_gpa(&r, HIGH), VIOMMU_FAULTED);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, HIGH, HIGH, 0, bitmap), 0);
	assert_int_equal(bitmap[0], 0);
	viommu_domain_dirty_stop(r.w.dom);
	assert_int_equal(viommu_mem_remove(r.w.mem, HIGH, HIGH), 0);
	close_rig(&r);
}

static void what_cannot_be_tracked_is_refused(void **state)
{
	uint64_t bitmap[2];
	struct world w;
	struct rig r;

	(void)state;
	world_open(&w, NULL);
	assert_int_equal(viommu_domain_dirty_start(w.dom, 12), -ENOTSUP);
	world_close(&w);
	open_rig(&r);
	assert_int_equal(viommu_domain_dirty_start(r.w.dom, 13), -EINVAL);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, 0, 4096, 0, bitmap), -ENOENT);
	assert_int_equal(viommu_domain_dirty_start(r.w.dom, 12), 0);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, 0, 0, 0, bitmap), -EINVAL);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, 0, 4096, 2, bitmap), -EINVAL);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, 1, 4096, 0, bitmap), -EINVAL);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, BIT64(48), 4096, 0, bitmap), -EINVAL);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, BIT64(48) - 4096, 8192, 0, bitmap),
			 -EINVAL);
	assert_int_equal(viommu_domain_dirty_read(r.w.dom, ~0ull << 12, 4096, 0, bitmap), -EINVAL);
	close_rig(&r); /* tracked to the end */
}

static void every_allocation_may_fail_once(void **state)
{
	uint64_t before;
	struct rig r;
	long n;
	int ret, done;

	(void)state;
	open_rig(&r);
	attach(&r);
	add_high(&r, 0);
	before = table_bytes(&r);
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = viommu_domain_dirty_start(r.w.dom, 21);
		/* Also that of a stop: then leaves stay small, and nothing is wrong. */
		viommu_domain_dirty_stop(r.w.dom);
		done = !viommu__alloc_fail_done();
		assert_true(!ret || ret == -ENOMEM);
		assert_int_equal(write_gpa(&r, HIGH + 4096), 0);
		assert_int_equal(viommu_domain_dirty_start(r.w.dom, 21), 0);
		viommu_domain_dirty_stop(r.w.dom);
		assert_int_equal(table_bytes(&r), before);
		if (done)
			break;
	}
	assert_true(n > 1);
	close_rig(&r);
}

/* ---- While DMA runs -------------------------------------------------------------------------- */

#define WRITERS 3u

struct writer {
	struct rig *r;
	struct viommu_dma *dma;
	struct rng rng;
	pthread_t thread;
	uint32_t stop;
	uint64_t writes;
};

static void *write_on(void *arg)
{
	struct writer *x = arg;
	uint64_t old, va;

	while (!load_acquire(&x->stop)) {
		va = WORLD_VA + rng_below(&x->rng, DATA_PAGES * 4096ull / 8) * 8;
		assert_int_equal(viommu_dma_atomic(x->dma, x->r->w.dev, x->r->w.hp.v, va, 8,
						   VIOMMU_ATOMIC_FETCH_ADD, 1 + x->writes, 0, 0,
						   &old, NULL),
				 0);
		x->writes++;
	}
	return NULL;
}

static void copy_page(uint64_t *to, uint64_t *from)
{
	unsigned int i;

	for (i = 0; i < 512; i++)
		to[i] = load_relaxed(&from[i]);
}

/* What a live migration does: its copy is the memory in the end. */
static void no_write_is_lost_between_rounds(void **state)
{
	struct writer w[WRITERS];
	unsigned int i, rounds, starts;
	uint64_t p, first;
	struct rig r;

	(void)state;
	open_rig(&r);
	first = r.data / 4096;
	for (i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .r = &r };
		rng_init(&w[i].rng, "writer");
		w[i].rng.s[0] += i;
		assert_int_equal(viommu_dma_new(r.w.host, &w[i].dma), 0);
		assert_int_equal(pthread_create(&w[i].thread, NULL, write_on, &w[i]), 0);
	}
	for (starts = 0; starts < 4; starts++) {
		/* Large and small leaves change places under the writers. */
		assert_int_equal(viommu_domain_dirty_start(r.w.dom, 12), 0);
		for (p = first; p < first + DATA_PAGES; p++)
			copy_page((uint64_t *)(r.before + p * 4096),
				  (uint64_t *)(r.w.ram.host + p * 4096));
		for (rounds = (unsigned int)test_scale(100); rounds; rounds--) {
			look(&r, VIOMMU_DIRTY_CLEAR);
			for (p = first; p < first + DATA_PAGES; p++)
				if (is_set(r.bitmap, p))
					copy_page((uint64_t *)(r.before + p * 4096),
						  (uint64_t *)(r.w.ram.host + p * 4096));
		}
		if (starts < 3)
			viommu_domain_dirty_stop(r.w.dom);
	}
	for (i = 0; i < WRITERS; i++)
		store_release(&w[i].stop, 1);
	for (i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_true(w[i].writes > 0);
		viommu_dma_free(w[i].dma);
	}
	look(&r, VIOMMU_DIRTY_CLEAR);
	for (p = first; p < first + DATA_PAGES; p++)
		if (is_set(r.bitmap, p))
			copy_page((uint64_t *)(r.before + p * 4096),
				  (uint64_t *)(r.w.ram.host + p * 4096));
	assert_memory_equal(r.before + first * 4096, r.w.ram.host + first * 4096,
			    DATA_PAGES * 4096ull);
	close_rig(&r);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_is_written_is_dirty_and_nothing_else),
	cmocka_unit_test(a_bit_in_the_guests_tables_makes_their_page_dirty),
	cmocka_unit_test(a_walk_of_somebody_elses_stack_is_seen),
	cmocka_unit_test(large_leaves_are_split_and_put_together_again),
	cmocka_unit_test(regions_come_and_go_while_pages_are_tracked),
	cmocka_unit_test(what_cannot_be_tracked_is_refused),
	cmocka_unit_test(every_allocation_may_fail_once),
	cmocka_unit_test(no_write_is_lost_between_rounds),
};
TEST_MAIN(tests)
