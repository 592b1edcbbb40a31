/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the caches of a DMA object forget, and what they never learn: each granularity of
 * invalidation on each kind of bind, entries that change at every level, and what was not there the
 * first time.
 */
#include "host/world.h"

#define GIB (UINT64_C(1) << 30)

enum kind {
	FIRST_OVER_DOMAIN,  /* PGTT nested */
	SECOND_OVER_DOMAIN, /* a guest's own second stage */
	FIRST_OVER_SECOND,  /* three stages: the one in the middle changes */
	FIRST_ALONE,        /* PGTT first-stage */
	KINDS,
};

/* One address space of a kind, whose page at WORLD_VA can be exchanged. */
struct space {
	struct world w;
	enum kind kind;
	struct tables own; /* FIRST_ALONE: its addresses are those of this process */
	void *own_host;
	struct tables *t;
	/* [0] is bound, [1] another like it, [2] the first of three */
	struct tables_stage stage[3];
	uint64_t at;    /* what [0] and [1] map */
	uint32_t pasid; /* of its requests */
	uint64_t page[4];
};

static void space_open(struct space *s, enum kind kind, bool with_pasid)
{
	enum viommu_format format = kind == SECOND_OVER_DOMAIN || kind == FIRST_OVER_SECOND
					    ? VIOMMU_FORMAT_VTD_SS
					    : VIOMMU_FORMAT_VTD_FS;
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->kind = kind;
	world_open(&s->w, NULL);
	s->t = &s->w.ram;
	if (kind == FIRST_ALONE) {
		s->own_host = aligned_alloc(4096, 64 * 4096);
		assert_non_null(s->own_host);
		memset(s->own_host, 0, 64 * 4096);
		tables_over(&s->own, s->own_host, (uintptr_t)s->own_host, 64 * 4096, 0);
		assert_int_equal(viommu_mem_add_ptr(s->w.mem, GIB, 64 * 4096, s->own_host, 0), 0);
		s->t = &s->own;
	}
	s->at = kind == FIRST_OVER_SECOND ? UINT64_C(1) << 40 : WORLD_VA; /* beside its tables */
	for (i = 0; i < 4; i++) {
		s->page[i] = tables_page(s->t);
		*(uint32_t *)tables_ptr(s->t, s->page[i]) = i;
	}
	for (i = 0; i < 2; i++) {
		tables_stage_init(&s->stage[i], s->t, NULL, format, 4);
		assert_int_equal(tables_map(&s->stage[i], s->at, s->page[0], 12, TABLES_RWU), 0);
	}
	tables_stage(&s->stage[0], 52, &b.stage[0]);
	b.stage[0].flags = 0;
	if (kind == FIRST_ALONE)
		b.kind = VIOMMU_BIND_FIRST;
	if (kind == FIRST_OVER_SECOND) {
		tables_stage_init(&s->stage[2], s->t, &s->stage[0], VIOMMU_FORMAT_VTD_FS, 4);
		assert_int_equal(tables_map(&s->stage[2], WORLD_VA, s->at, 12, TABLES_RWU), 0);
		b.stage[1] = b.stage[0];
		tables_stage(&s->stage[2], 52, &b.stage[0]);
		b.stage[0].flags = 0;
		b.nr = 2;
	}
	s->pasid = with_pasid ? s->w.hp.v : VIOMMU_NO_PASID;
	if (with_pasid)
		assert_int_equal(viommu_host_bind(s->w.dev, s->w.dom, s->w.hp, &b), 0);
	else
		assert_int_equal(viommu_device_attach(s->w.dev, s->w.dom, &b), 0);
}

static void space_close(struct space *s)
{
	world_close(&s->w);
	free(s->own_host);
}

static int look(struct space *s, uint32_t *v)
{
	return viommu_dma_read(s->w.dma, s->w.dev, s->pasid, WORLD_VA, v, 4, 0, NULL);
}

static void sees(struct space *s, uint32_t want)
{
	uint32_t v = ~want;

	assert_int_equal(look(s, &v), 0);
	assert_int_equal(v, want);
}

static void invalidate(struct space *s, uint32_t granularity)
{
	const struct viommu_invalidate inv = {
		.size = sizeof(inv),
		.granularity = granularity,
		.hp = { s->pasid == VIOMMU_NO_PASID ? 0 : s->pasid },
		.addr = WORLD_VA,
		.bytes = granularity == VIOMMU_INVALIDATE_RANGE ? 4096 : 0,
	};

	assert_int_equal(viommu_host_invalidate(s->w.host, s->w.dom, &inv), 0);
}

/*
 * VTD-TAG-03, VTD-TAG-04, VTD-TAG-05, VTD-TAG-06: translations and the tables cached on the way to
 * them go with their PASID, with their domain, and with everything.
 */
static void each_granularity_drops_pages_and_tables_of_each_kind(void **state)
{
	unsigned int kind, granularity, with_pasid;
	struct space s;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		for (granularity = VIOMMU_INVALIDATE_GLOBAL; granularity <= VIOMMU_INVALIDATE_RANGE;
		     granularity++) {
			for (with_pasid = 0; with_pasid < 2; with_pasid++) {
				unsigned int level;

				space_open(&s, (enum kind)kind, with_pasid);
				sees(&s, 0);
				sees(&s, 0);
				/* Another page. */
				assert_int_equal(tables_map(&s.stage[0], s.at, s.page[1], 12,
							    TABLES_RWU),
						 0);
				invalidate(&s, granularity);
				sees(&s, 1);
				/* Another table at every level, with another page behind it. */
				for (level = 2; level <= 4; level++) {
					assert_int_equal(tables_map(&s.stage[1], s.at,
								    s.page[level & 1 ? 3 : 2], 12,
								    TABLES_RWU),
							 0);
					tables_entry_set(&s.stage[0], s.at, level,
							 *tables_entry(&s.stage[1], s.at, level));
					invalidate(&s, granularity);
					sees(&s, level & 1 ? 3 : 2);
				}
				/* Gone. */
				tables_entry_set(&s.stage[0], s.at, 4, 0);
				invalidate(&s, granularity);
				{
					uint32_t v;

					assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
				}
				space_close(&s);
			}
		}
	}
}

/* VTD-TAG-01, VTD-TAG-02: what was read of context and PASID entries goes when they change. */
static void entries_of_the_path_are_used_no_longer_than_they_stand(void **state)
{
	struct viommu_bind b = { .size = sizeof(b), .kind = VIOMMU_BIND_NESTED, .nr = 1 };
	struct viommu_dma_stats before, after;
	struct viommu_dma_result res;
	struct viommu_hp other;
	struct space s;
	uint32_t v;

	(void)state;
	space_open(&s, FIRST_OVER_DOMAIN, true);
	assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(s.w.dom), 300, 400, &other), 0);
	tables_stage(&s.stage[0], 52, &b.stage[0]);
	b.stage[0].flags = 0;
	assert_int_equal(viommu_host_bind(s.w.dev, s.w.dom, other, &b), 0);
	sees(&s, 0);
	assert_int_equal(viommu_dma_read(s.w.dma, s.w.dev, other.v, WORLD_VA, &v, 4, 0, NULL), 0);
	/* A PASID entry that is replaced, and one that is not. */
	assert_int_equal(tables_map(&s.stage[1], s.at, s.page[1], 12, TABLES_RWU), 0);
	tables_stage(&s.stage[1], 52, &b.stage[0]);
	b.stage[0].flags = 0;
	assert_int_equal(viommu_host_rebind(s.w.dev, s.w.dom, s.w.hp, &b), 0);
	sees(&s, 1);
	viommu_dma_stats(s.w.dma, &before);
	assert_int_equal(viommu_dma_read(s.w.dma, s.w.dev, other.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(v, 0);
	viommu_dma_stats(s.w.dma, &after);
	assert_int_equal(after.misses, before.misses);
	assert_int_equal(viommu_host_unbind(s.w.dev, s.w.hp), 0);
	assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
	assert_int_equal(viommu_dma_read(s.w.dma, s.w.dev, other.v, WORLD_VA, &v, 4, 0, NULL), 0);
	/* A context entry that changes, and goes. */
	assert_int_equal(viommu_device_gate(s.w.dev, 0), 0);
	assert_int_equal(viommu_dma_read(s.w.dma, s.w.dev, other.v, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_PASIDE);
	assert_int_equal(viommu_device_gate(s.w.dev, VIOMMU_DEVICE_PASID), 0);
	assert_int_equal(viommu_dma_read(s.w.dma, s.w.dev, other.v, WORLD_VA, &v, 4, 0, NULL), 0);
	assert_int_equal(viommu_device_unplug(s.w.dev), 0);
	assert_int_equal(viommu_dma_read(s.w.dma, s.w.dev, other.v, WORLD_VA, &v, 4, 0, &res),
			 VIOMMU_FAULTED);
	assert_int_equal(res.fault.reason, VTD_FR_SCE_NP);
	space_close(&s);
}

/*
 * VTD-CM-01, VTD-CM-04: an entry that was not present, at whatever level, works as soon as it is,
 * without any invalidation; so does a permission that was missing.
 */
static void what_was_not_there_is_never_remembered(void **state)
{
	unsigned int kind, with_pasid, level, round;
	struct space s;
	uint64_t old;
	uint32_t v;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		for (with_pasid = 0; with_pasid < 2; with_pasid++) {
			space_open(&s, (enum kind)kind, with_pasid);
			/* Nothing cached before, then with all the levels above in the caches. */
			for (round = 0; round < 2; round++) {
				for (level = 4; level >= 1; level--) {
					old = tables_entry_set(&s.stage[0], s.at, level, 0);
					invalidate(&s, VIOMMU_INVALIDATE_GLOBAL);
					assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
					assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
					tables_entry_set(&s.stage[0], s.at, level, old);
					sees(&s, 0);
				}
			}
			/* A write where only reads are permitted, and cached. */
			assert_int_equal(tables_map(&s.stage[0], s.at, s.page[0], 12,
						    TABLES_R | TABLES_U),
					 0);
			invalidate(&s, VIOMMU_INVALIDATE_GLOBAL);
			sees(&s, 0);
			assert_int_equal(viommu_dma_write(s.w.dma, s.w.dev, s.pasid, WORLD_VA, &v,
							  4, 0, NULL),
					 VIOMMU_FAULTED);
			assert_int_equal(tables_map(&s.stage[0], s.at, s.page[0], 12, TABLES_RWU),
					 0);
			v = 0;
			assert_int_equal(viommu_dma_write(s.w.dma, s.w.dev, s.pasid, WORLD_VA, &v,
							  4, 0, NULL),
					 0);
			space_close(&s);
		}
	}
	/* A PASID that is not bound, and memory that is not there. */
	space_open(&s, FIRST_OVER_DOMAIN, true);
	assert_int_equal(viommu_host_unbind(s.w.dev, s.w.hp), 0);
	assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
	assert_int_equal(tables_map(&s.w.fs, WORLD_VA, 2 * GIB, 12, TABLES_RWU), 0);
	assert_int_equal(world_bind(&s.w, 5), 0);
	assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
	{
		void *page = aligned_alloc(4096, 4096);

		assert_non_null(page);
		memset(page, 0, 4096);
		*(uint32_t *)page = 7;
		assert_int_equal(viommu_mem_add_ptr(s.w.mem, 2 * GIB, 4096, page, 0), 0);
		sees(&s, 7);
		assert_int_equal(viommu_mem_remove(s.w.mem, 2 * GIB, 4096), 0);
		assert_int_equal(look(&s, &v), VIOMMU_FAULTED);
		free(page);
	}
	space_close(&s);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_granularity_drops_pages_and_tables_of_each_kind),
	cmocka_unit_test(entries_of_the_path_are_used_no_longer_than_they_stand),
	cmocka_unit_test(what_was_not_there_is_never_remembered),
};
TEST_MAIN(tests)
