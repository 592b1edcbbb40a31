/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's memory file is truncated under DMA: every kind of access ends in the fault of a hole,
 * the process lives.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/world.h"

#define EXTRA_GPA   (UINT64_C(64) << 20)
#define EXTRA_BYTES (UINT64_C(2) << 20)
#define VA_LOST     (WORLD_VA + (UINT64_C(1) << 30))

/* A region of its own by a file that can shrink, one page of it mapped for the process. */
static int extra_open(struct world *w)
{
	int fd = memfd_create("shrinks", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)EXTRA_BYTES), 0);
	assert_int_equal(viommu_mem_add_fd(w->mem, EXTRA_GPA, EXTRA_BYTES, fd, 0, 0), 0);
	assert_int_equal(tables_map(&w->fs, VA_LOST, EXTRA_GPA, 12, TABLES_RWU), 0);
	return fd;
}

enum access {
	READ,
	WRITE,
	PAGE,
	ATOMIC,
	FILL,
	COPY,
	DEVTLB,
	ACCESSES
};

static int access_do(struct world *w, struct viommu_devtlb *tlb, enum access kind,
		     struct viommu_dma_result *res)
{
	static uint8_t buf[4096];
	uint64_t old;

	switch (kind) {
	case READ:
		return viommu_dma_read(w->dma, w->dev, w->hp.v, VA_LOST, buf, 64, 0, res);
	case WRITE:
		return viommu_dma_write(w->dma, w->dev, w->hp.v, VA_LOST, buf, 64, 0, res);
	case PAGE:
		return viommu_dma_read(w->dma, w->dev, w->hp.v, VA_LOST, buf, 4096, 0, res);
	case ATOMIC:
		return viommu_dma_atomic(w->dma, w->dev, w->hp.v, VA_LOST, 8,
					 VIOMMU_ATOMIC_FETCH_ADD, 1, 0, 0, &old, res);
	case FILL:
		return viommu_dma_fill(w->dma, w->dev, w->hp.v, VA_LOST, 0x55, 100, 0, res);
	case COPY:
		return viommu_dma_copy(w->dma, w->dev, w->hp.v, WORLD_VA, w->hp.v, VA_LOST, 100, 0,
				       res);
	default:
		return viommu_devtlb_read(tlb, w->dma, w->hp.v, VA_LOST, buf, 64, 0, res);
	}
}

static void lost_data(void)
{
	const struct world_config config = { .device_flags =
						     VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS };
	struct viommu_dma_result res;
	struct viommu_devtlb *tlb;
	unsigned int kind;
	struct world w;
	uint32_t v;
	int fd;

	for (kind = 0; kind < ACCESSES; kind++) {
		world_open(&w, &config);
		world_map(&w, WORLD_VA, TABLES_RWU);
		fd = extra_open(&w);
		assert_int_equal(world_bind(&w, 5), 0);
		assert_int_equal(viommu_devtlb_new(w.dev, 64, &tlb), 0);
		/* In all caches before, so that the lost page is really touched. */
		assert_int_equal(access_do(&w, tlb, WRITE, NULL), 0);
		assert_int_equal(access_do(&w, tlb, kind, NULL), 0);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(access_do(&w, tlb, kind, &res), VIOMMU_FAULTED);
		assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
		assert_true(res.fault.flags & VIOMMU_FAULT_HOST);
		assert_int_equal(res.done, 0);
		/* For good, and for this region alone. */
		assert_int_equal(access_do(&w, tlb, kind, &res), VIOMMU_FAULTED);
		assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 4, 0, NULL),
				 0);
		close(fd);
		viommu_devtlb_free(tlb);
		world_close(&w);
	}
}

static void lost_tables(void)
{
	struct viommu_dma_result res;
	struct world w;
	uint32_t v = 0;
	int fd;

	world_open(&w, NULL);
	world_map(&w, WORLD_VA, TABLES_RWU);
	fd = extra_open(&w);
	/* The process's level 3 entry leads to a table in the file. */
	tables_entry_set(&w.fs, VA_LOST, 3,
			 tables_entry_make(VIOMMU_FORMAT_VTD_FS, EXTRA_GPA + 0x5000, 0,
					   TABLES_RWU));
	assert_int_equal(world_bind(&w, 5), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, VA_LOST, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_FS_NP);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, VA_LOST, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SSS_NP);
	assert_int_equal(viommu_dma_read(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 4, 0, NULL), 0);
	close(fd);
	world_close(&w);
}

/* One test: cmocka sets its own handler of SIGBUS for each, over the guard. */
static void lost_data_and_lost_tables_are_holes(void **state)
{
	(void)state;
	assert_int_equal(viommu_mem_guard_install(), 0);
	lost_data();
	lost_tables();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(lost_data_and_lost_tables_are_holes),
};
TEST_MAIN(tests)
