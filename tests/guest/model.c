/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random edits of a guest's tables, random flushes that are enough for them, and DMA. Two oracles:
 *
 *  - after the wait that follows the flush of an edit, DMA does what a walk of the guest's own
 *    tables as they stand in memory says: the same byte, or the same fault in the guest's record
 *    (VTD-TAG-07, VTD-QORD-08: nothing of before is used);
 *  - what becomes present needs no flush (VTD-CM-01).
 *
 * The walk is viommu_path_translate() over guest memory, which knows nothing of shadows, binds and
 * caches.
 */
#include "guest/world.h"

#define PASIDS 6u /* 1 .. 6; requests without use 0 */
#define VAS    5u
#define STAGES 3u
#define PAGES  16u
#define IOVA   UINT64_C(0x40000000)

struct model {
	struct gw w;
	struct rng rng;
	struct tables_stage fs[STAGES];  /* over the VM's memory */
	struct tables_stage ss[STAGES];  /* the guest's second stages */
	struct tables_stage nfs[STAGES]; /* over ss[i] */
	uint64_t page[PAGES];
	uint64_t edits, checks, faults;
};

static uint64_t below(struct model *m, uint64_t n)
{
	return rng_below(&m->rng, n);
}

static uint64_t va_of(uint64_t n)
{
	return GW_VA + (n << 12) + (n == VAS - 1 ? UINT64_C(1) << 30 : 0);
}

static uint64_t iova_of(uint64_t n)
{
	return IOVA + (n << 12) + (n == VAS - 1 ? UINT64_C(1) << 30 : 0);
}

static uint64_t some_page(struct model *m)
{
	return m->page[below(m, PAGES)];
}

static uint32_t some_flags(struct model *m)
{
	static const uint32_t flags[] = { TABLES_RWU, TABLES_RWU, TABLES_R | TABLES_U, TABLES_RW };

	return flags[below(m, ARRAY_SIZE(flags))];
}

static void model_open(struct model *m)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST, .no_trap = true };
	unsigned int i, n;

	memset(m, 0, sizeof(*m));
	rng_init(&m->rng, "guest/model");
	gw_open(&m->w, &c);
	gw_start(&m->w);
	for (i = 0; i < PAGES; i++) {
		m->page[i] = gw_page(&m->w);
		gw_ptr(&m->w, m->page[i])[0] = 0x1000 + i;
	}
	for (i = 0; i < STAGES; i++) {
		tables_stage_init(&m->fs[i], &m->w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4 + i % 2);
		tables_stage_init(&m->ss[i], &m->w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
		tables_stage_init(&m->nfs[i], &m->w.ram, &m->ss[i], VIOMMU_FORMAT_VTD_FS, 4);
		for (n = 0; n < VAS; n++) {
			tables_map(&m->fs[i], va_of(n), some_page(m), 12, TABLES_RWU);
			tables_map(&m->ss[i], iova_of(n), some_page(m), 12, TABLES_RW);
			tables_map(&m->nfs[i], va_of(n), iova_of(below(m, VAS)), 12, TABLES_RWU);
		}
	}
	for (i = 0; i < GW_DEVICES; i++) {
		for (n = 0; n <= PASIDS; n++)
			gw_pe(&m->w, GW_SID(i), n);
	}
}

/* ---- Flushes ---- */

static void put(struct model *m, uint64_t d0, uint64_t d1)
{
	gw_put(&m->w, d0, d1);
}

/* All translations of this domain id and PASID, in one of the ways that reach them. */
static void flush_translations(struct model *m, uint16_t did, uint32_t pasid)
{
	switch (below(m, 4)) {
	case 0:
		put(m, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0);
		break;
	case 1:
		put(m, gw_iotlb_d(VTD_IQ_IOTLB_DOMAIN, did), 0);
		break;
	default:
		put(m, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, did, pasid), 0);
		break;
	}
}

static void done(struct model *m)
{
	assert_true(gw_wait(&m->w));
	m->edits++;
}

/* ---- Edits, each with a flush that is enough ---- */

static uint16_t did_of(const uint64_t *pe)
{
	return (uint16_t)VTD_GET(pe, VTD_PE_DID);
}

static void pe_fill(struct model *m, uint64_t *pe)
{
	uint64_t i = below(m, STAGES);

	/* Ids tell kinds and tables apart, as they must. */
	switch (below(m, 6)) {
	case 0:
	case 1:
		gw_pe_fs(pe, &m->fs[i], 1);
		break;
	case 2:
		gw_pe_ss(pe, &m->ss[i], (uint16_t)(10 + i));
		break;
	case 3:
		gw_pe_nested(pe, &m->nfs[i], &m->ss[i], (uint16_t)(20 + i));
		break;
	case 4:
		gw_pe_pt(pe, 2);
		break;
	default:
		pe[0] = below(m, 2) ? VTD_MASK(VTD_PE_FPD) : 0;
		break;
	}
	/* A bit that may be wrong, a pointer to nowhere; never to other memory of the guest's. */
	if (!below(m, 5)) {
		static const unsigned int bits[] = { 1,   5,   6,   7,   9,   40,  62,  81, 91,
						     129, 131, 135, 170, 180, 192, 300, 400 };
		unsigned int bit = bits[below(m, ARRAY_SIZE(bits))];

		pe[bit / 64] ^= BIT64(bit % 64);
	}
}

static void edit_pe(struct model *m)
{
	uint16_t sid = GW_SID(below(m, GW_DEVICES));
	uint32_t pasid = (uint32_t)below(m, PASIDS + 1);
	/* Also under a directory entry that is not present now. */
	uint64_t *pe = gw_ptr(&m->w, *gw_pde(&m->w, sid, pasid) & VTD_MASK(VTD_PDIR_SMPTBLPTR)) +
		       (size_t)pasid * 8;
	uint64_t old[8];

	memcpy(old, pe, sizeof(old));
	pe_fill(m, pe);
	if (!(old[0] & 1)) {
		/* FPD of an entry that is not there is read each time, too. */
		m->edits++;
		return;
	}
	switch (below(m, 5)) {
	case 0:
		put(m, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
		break;
	case 1:
		put(m, gw_pc(VTD_IQ_PC_DOMAIN, did_of(old), 0), 0);
		break;
	case 2:
		put(m, gw_cc(VTD_IQ_CC_DEVICE, 0, sid, 0), 0);
		break;
	default:
		put(m, gw_pc(VTD_IQ_PC_SELECTIVE, did_of(old), pasid), 0);
		break;
	}
	flush_translations(m, did_of(old), pasid);
	done(m);
}

static void edit_fs(struct model *m)
{
	uint64_t va = va_of(below(m, VAS));
	struct tables_stage *fs = &m->fs[below(m, STAGES)];
	uint64_t old = *tables_entry(fs, va, 1);

	if (below(m, 4))
		tables_map(fs, va, some_page(m), 12, some_flags(m));
	else
		tables_entry_set(fs, va, 1, 0);
	if (!(old & 1)) {
		m->edits++;
		return;
	}
	if (below(m, 2)) {
		put(m, gw_iotlb_d(below(m, 2) ? VTD_IQ_IOTLB_DOMAIN : VTD_IQ_IOTLB_GLOBAL, 1), 0);
	} else {
		uint32_t pasid;

		for (pasid = 0; pasid <= PASIDS; pasid++)
			put(m, gw_piotlb(VTD_IQ_PIOTLB_PAGE, 1, pasid), va | below(m, 12));
	}
	done(m);
}

static void edit_ss(struct model *m)
{
	uint64_t i = below(m, STAGES), iova = iova_of(below(m, VAS));
	uint64_t old = *tables_entry(&m->ss[i], iova, 1);

	if (below(m, 4))
		tables_map(&m->ss[i], iova, some_page(m), 12, some_flags(m));
	else
		tables_entry_set(&m->ss[i], iova, 1, 0);
	if (!(old & 3)) {
		m->edits++;
		return;
	}
	/* Both ids that stand for it: alone and under a first stage. */
	put(m, gw_iotlb_d(VTD_IQ_IOTLB_PAGE, (uint16_t)(10 + i)), iova | below(m, 19));
	put(m,
	    gw_iotlb_d(below(m, 2) ? VTD_IQ_IOTLB_PAGE : VTD_IQ_IOTLB_DOMAIN, (uint16_t)(20 + i)),
	    0);
	done(m);
}

static void edit_nested_fs(struct model *m)
{
	uint64_t i = below(m, STAGES), va = va_of(below(m, VAS));
	uint64_t *e = tables_entry(&m->nfs[i], va, 1), old = *e;

	*e = below(m, 4) ? tables_entry_make(VIOMMU_FORMAT_VTD_FS, iova_of(below(m, VAS)), 12,
					     some_flags(m))
			 : 0;
	if (old & 1) {
		put(m, gw_iotlb_d(VTD_IQ_IOTLB_DOMAIN, (uint16_t)(20 + i)), 0);
		done(m);
	} else {
		m->edits++;
	}
}

static void edit_context(struct model *m)
{
	static const uint64_t bits[] = { VTD_MASK(VTD_SCE_P), VTD_MASK(VTD_SCE_PASIDE),
					 VTD_MASK(VTD_SCE_FPD), GW_ALL };
	uint16_t sid = GW_SID(below(m, GW_DEVICES));
	uint64_t *ce = gw_context(&m->w, sid);

	switch (below(m, 5)) {
	case 4:
		VTD_SET(ce, VTD_SCE_RID_PASID, below(m, 4));
		break;
	default:
		ce[0] ^= bits[below(m, ARRAY_SIZE(bits))];
		break;
	}
	if (below(m, 2))
		put(m, gw_cc(VTD_IQ_CC_DEVICE, 0, sid, (unsigned int)below(m, 4)), 0);
	else
		put(m, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0);
	put(m, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
	put(m, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0);
	done(m);
	/* Mostly on again, so that something goes through. */
	if (below(m, 3)) {
		ce[0] = (ce[0] & ~VTD_MASK(VTD_SCE_FPD)) | GW_ALL | 1;
		put(m, gw_cc(VTD_IQ_CC_DEVICE, 0, sid, 0), 0);
		done(m);
	}
}

static void edit_directory(struct model *m)
{
	uint16_t sid = GW_SID(below(m, GW_DEVICES));
	uint64_t *pde = gw_ptr(&m->w, gw_context(&m->w, sid)[0] & VTD_MASK(VTD_SCE_PDTP));

	*pde ^= below(m, 3) ? 1 : 4;
	put(m, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
	put(m, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0);
	done(m);
	if (below(m, 4)) {
		*pde = (*pde & ~UINT64_C(4)) | 1;
		put(m, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
		done(m);
	}
}

static void edit_unit(struct model *m)
{
	switch (below(m, 3)) {
	case 0:
		gw_command(&m->w, (uint32_t)VTD_MASK(VTD_GCMD_TE), false);
		gw_command(&m->w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
		break;
	case 1:
		gw_set_root(&m->w, VTD_TTM_SCALABLE);
		break;
	default:
		viommu_guest_reset(m->w.guest);
		m->w.iq_tail = 0;
		gw_wr64(&m->w, VTD_REG_IQA, m->w.iq | VTD_MASK(VTD_IQA_DW));
		gw_command(&m->w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), true);
		gw_set_root(&m->w, VTD_TTM_SCALABLE);
		gw_command(&m->w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
		break;
	}
	m->edits++;
}

static void edit(struct model *m)
{
	switch (below(m, 40)) {
	case 0:
		edit_unit(m);
		break;
	case 1:
	case 2:
		edit_directory(m);
		break;
	case 3 ... 6:
		edit_context(m);
		break;
	case 7 ... 14:
		edit_ss(m);
		break;
	case 15 ... 18:
		edit_nested_fs(m);
		break;
	case 19 ... 27:
		edit_fs(m);
		break;
	default:
		edit_pe(m);
		break;
	}
}

/* ---- DMA ---- */

static void check_fault(struct model *m, const struct viommu_fault *expect)
{
	struct viommu_fault last;

	m->faults++;
	if (expect->flags & VIOMMU_FAULT_FPD)
		return;
	assert_int_equal(viommu_guest_last_faults(m->w.guest, &last, 1), 1);
	assert_int_equal(last.reason, expect->reason);
	assert_int_equal(last.sid, expect->sid);
	assert_int_equal(last.addr, expect->addr);
}

static uint64_t some_address(struct model *m)
{
	switch (below(m, 8)) {
	case 0:
		return some_page(m); /* for pass-through */
	case 1 ... 3:
		return iova_of(below(m, VAS));
	default:
		return va_of(below(m, VAS));
	}
}

static void check(struct model *m)
{
	unsigned int dev = (unsigned int)below(m, GW_DEVICES);
	uint32_t pasid = (uint32_t)below(m, PASIDS + 1);
	bool write = !below(m, 3);
	struct viommu_path_request req = {
		.sid = GW_SID(dev),
		.pasid = pasid ? pasid : VIOMMU_NO_PASID,
		.access = write ? VIOMMU_WRITE : VIOMMU_READ,
		.addr = some_address(m) + 8 * below(m, 4),
	};
	struct viommu_path_result path;
	struct viommu_walk_result walk;
	struct viommu_unit unit;
	uint64_t v = rng_u64(&m->rng), got = v;
	int expect, ret;

	viommu_guest_unit(m->w.guest, &unit);
	expect = viommu_path_translate(&unit, &req, VIOMMU_WALK_DRY, NULL, &path, &walk);
	m->checks++;
	if (write)
		ret = viommu_dma_write(m->w.dma, m->w.dev[dev], req.pasid, req.addr, &v, 8,
				       VIOMMU_DMA_NO_PRI, NULL);
	else
		ret = viommu_dma_read(m->w.dma, m->w.dev[dev], req.pasid, req.addr, &got, 8,
				      VIOMMU_DMA_NO_PRI, NULL);
	if (ret != (expect || !walk.host ? VIOMMU_FAULTED : 0))
		print_error(
			"# after %u edits: sid %x PASID %x address %#llx, PGTT %u, reason %02xh\n",
			(unsigned int)m->edits, req.sid, req.pasid, (unsigned long long)req.addr,
			path.pgtt, walk.fault.reason);
	assert_int_equal(ret, expect || !walk.host ? VIOMMU_FAULTED : 0);
	if (expect)
		check_fault(m, &walk.fault);
	else if (walk.host)
		assert_int_equal(*(uint64_t *)walk.host, got);
}

static void dma_does_what_the_guests_tables_say_after_each_flush(void **state)
{
	uint64_t n = test_scale(6000), i, k;
	struct model m;

	(void)state;
	model_open(&m);
	for (i = 0; i < n; i++) {
		edit(&m);
		for (k = below(&m, 8); k > 0; k--)
			check(&m);
	}
	/* It was about something: most went through, some faulted. */
	assert_true(m.checks > 0);
	if (n >= 1000) {
		assert_true(m.faults > m.checks / 20);
		assert_true(m.faults < m.checks * 9 / 10);
	}
	gw_close(&m.w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dma_does_what_the_guests_tables_say_after_each_flush),
};
TEST_MAIN(tests)
