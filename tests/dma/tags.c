/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tags of a DMA object's caches: when all 19 bits were used, the caches are swept and DMA goes
 * on as before.
 */
#include "dma/cache.h"
#include "host/world.h"

static void dma_goes_on_when_the_tags_are_used_up(void **state)
{
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = VIOMMU_INVALIDATE_DOMAIN,
		.flags = VIOMMU_INVALIDATE_NO_DRAIN,
	};
	uint64_t gpa, i, last = 0;
	unsigned int sweeps = 0;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	gpa = world_map(&w, WORLD_VA, TABLES_RWU);
	assert_int_equal(world_bind(&w, 5), 0);
	/* Each round needs a new tag for the slot and one for the domain. */
	for (i = 0; sweeps < 2; i++) {
		uint64_t v = i;

		assert_true(i <= TAG_LAST);
		assert_int_equal(viommu_host_invalidate(w.host, w.dom, &inv), 0);
		assert_int_equal(viommu_dma_write(w.dma, w.dev, w.hp.v, WORLD_VA, &v, 8, 0, NULL),
				 0);
		assert_memory_equal(world_ptr(&w, gpa), &v, 8);
		sweeps += w.dma->next_tag < last;
		last = w.dma->next_tag;
	}
	assert_true(i > TAG_LAST / 2);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dma_goes_on_when_the_tags_are_used_up),
};
TEST_MAIN(tests)
