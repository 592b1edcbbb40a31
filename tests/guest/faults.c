/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults as the guest sees them: every reason that DMA can meet in its tables, the fields of a
 * record, overflow, qualification, and what only the host knows turned into the guest's words.
 */
#include "guest/world.h"

#define HOLE UINT64_C(0x1000000000) /* no memory of the VM */
#define IOVA UINT64_C(0x40000000)
#define PPF  ((uint32_t)VTD_MASK(VTD_FSTS_PPF))
#define PFO  ((uint32_t)VTD_MASK(VTD_FSTS_PFO))

/* PASIDs by kind of entry. */
enum {
	P_RID = 0,
	P_FS = 5,
	P_SS = 6,
	P_NESTED = 7,
	P_PT = 8,
};

/* A guest with one entry of each kind, before anything is broken. */
struct fw {
	struct gw w;
	struct gw_process p;     /* P_FS and requests without PASID */
	struct tables_stage ss;  /* P_SS */
	struct tables_stage nss; /* P_NESTED: below */
	struct tables_stage nfs;
	uint64_t plain; /* a page of memory */
};

static void fw_open(struct fw *f, const struct gw_config *config)
{
	struct gw *w = &f->w;

	gw_open(w, config);
	gw_start(w);
	f->plain = gw_page(w);
	gw_process(w, &f->p, 4, 1);
	tables_stage_init(&f->ss, &w->ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&f->ss, IOVA, gw_page(w), 12, TABLES_RW), 0);
	tables_stage_init(&f->nss, &w->ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	tables_stage_init(&f->nfs, &w->ram, &f->nss, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(tables_map(&f->nss, IOVA, gw_page(w), 12, TABLES_RW), 0);
	assert_int_equal(tables_map(&f->nfs, GW_VA, IOVA, 12, TABLES_RWU), 0);
	gw_pe_fs(gw_pe(w, GW_SID(0), P_RID), &f->p.fs, 1);
	gw_pe_fs(gw_pe(w, GW_SID(0), P_FS), &f->p.fs, 1);
	gw_pe_ss(gw_pe(w, GW_SID(0), P_SS), &f->ss, 2);
	gw_pe_nested(gw_pe(w, GW_SID(0), P_NESTED), &f->nfs, &f->nss, 3);
	gw_pe_pt(gw_pe(w, GW_SID(0), P_PT), 4);
}

static uint64_t *pe(struct fw *f, uint32_t pasid)
{
	return gw_pe(&f->w, GW_SID(0), pasid);
}

static uint64_t *ce(struct fw *f)
{
	return gw_context(&f->w, GW_SID(0));
}

static uint64_t *root(struct fw *f)
{
	return gw_ptr(&f->w, f->w.root) + (size_t)(GW_SID(0) >> 8) * 2;
}

static uint64_t *pde(struct fw *f)
{
	return gw_pde(&f->w, GW_SID(0), P_FS);
}

/* ---- One way to break it for each reason ---- */

#define BREAK(name, what)              \
	static void name(struct fw *f) \
	{                              \
		what;                  \
	}

static void root_nowhere(struct fw *f)
{
	f->w.root = HOLE;
	gw_set_root(&f->w, VTD_TTM_SCALABLE);
}

BREAK(root_absent, root(f)[0] = 0)
BREAK(root_reserved, root(f)[0] |= 2)
BREAK(context_nowhere, root(f)[0] = HOLE | 1)
BREAK(context_absent, ce(f)[0] &= ~UINT64_C(1))
BREAK(context_reserved, ce(f)[3] = 1)
BREAK(context_pre_without_dte, ce(f)[0] &= ~VTD_MASK(VTD_SCE_DTE))
BREAK(context_no_pasid, ce(f)[0] &= ~VTD_MASK(VTD_SCE_PASIDE))
BREAK(context_rid_is_fs, ce(f)[1] = P_FS)
BREAK(directory_nowhere, ce(f)[0] = (ce(f)[0] & 0xfff) | HOLE)
BREAK(pde_absent, *pde(f) &= ~UINT64_C(1))
BREAK(pde_reserved, *pde(f) |= 4)
BREAK(table_nowhere, *pde(f) = HOLE | 1)
BREAK(pe_absent, pe(f, P_FS)[0] &= ~UINT64_C(1))
BREAK(pe_reserved, pe(f, P_FS)[3] = 1)
BREAK(pe_bad_type, VTD_SET(pe(f, P_FS), VTD_PE_PGTT, 5))
BREAK(fs_root_nowhere, VTD_SET(pe(f, P_FS), VTD_PE_FSPTPTR, HOLE >> 12))
BREAK(fs_entry_nowhere, tables_entry_set(&f->p.fs, GW_VA, 2, HOLE | VTD_MASK(VTD_FS_P) | 6))
BREAK(fs_absent, tables_entry_set(&f->p.fs, GW_VA, 1, 0))
BREAK(fs_reserved, *tables_entry(&f->p.fs, GW_VA, 4) |= VTD_MASK(VTD_FS_PS))
BREAK(fs_supervisor, *tables_entry(&f->p.fs, GW_VA, 1) &= ~VTD_MASK(VTD_FS_US))
BREAK(fs_read_only, *tables_entry(&f->p.fs, GW_VA, 1) &= ~VTD_MASK(VTD_FS_RW))
BREAK(fs_to_window, tables_entry_set(&f->p.fs, GW_VA, 1, VTD_WINDOW_BASE | VTD_MASK(VTD_FS_P) | 6))
BREAK(ss_root_nowhere, VTD_SET(pe(f, P_SS), VTD_PE_SSPTPTR, HOLE >> 12))
BREAK(ss_entry_nowhere, tables_entry_set(&f->ss, IOVA, 2, HOLE | 3))
BREAK(ss_absent, tables_entry_set(&f->ss, IOVA, 1, 0))
BREAK(ss_reserved, *tables_entry(&f->ss, IOVA, 4) |= VTD_MASK(VTD_SS_PS))
BREAK(ss_no_write, *tables_entry(&f->ss, IOVA, 1) &= ~VTD_MASK(VTD_SS_W))
BREAK(ss_no_read, *tables_entry(&f->ss, IOVA, 1) &= ~VTD_MASK(VTD_SS_R))
BREAK(ss_to_window, tables_entry_set(&f->ss, IOVA, 1, VTD_WINDOW_BASE | 3))
BREAK(nested_root_beyond, VTD_SET(pe(f, P_NESTED), VTD_PE_FSPTPTR, UINT64_C(1) << 37))
BREAK(nested_entry_beyond,
      tables_entry_set(&f->nfs, GW_VA, 2, UINT64_C(1) << 50 | VTD_MASK(VTD_FS_P) | 6))
BREAK(nested_root_unreadable,
      *tables_entry(&f->nss, tables_root(&f->nfs), 1) &= ~VTD_MASK(VTD_SS_R))
BREAK(nested_table_unreadable,
      *tables_entry(&f->nss, tables_entry_addr(&f->nfs, GW_VA, 3), 1) &= ~VTD_MASK(VTD_SS_R))
/* The accessed bit has to be set, and its table may not be written. */
BREAK(nested_table_read_only, *tables_entry(&f->nfs, GW_VA, 1) &= ~VTD_MASK(VTD_FS_A);
      *tables_entry(&f->nss, tables_entry_addr(&f->nfs, GW_VA, 1), 1) &= ~VTD_MASK(VTD_SS_W))
BREAK(nested_page_absent, tables_entry_set(&f->nss, IOVA, 1, 0))
BREAK(nothing, (void)f)

struct reason {
	uint8_t code;
	uint32_t pasid;
	uint64_t addr;
	void (*breaks)(struct fw *f);
	bool write;
	uint32_t flags; /* of the access */
};

#define RID VIOMMU_NO_PASID

static const struct reason reasons[] = {
	{ VTD_FR_SROOT_ACCESS, P_FS, GW_VA, root_nowhere, false, 0 },
	{ VTD_FR_SROOT_ACCESS, RID, GW_VA, root_nowhere, false, 0 },
	{ VTD_FR_SROOT_NP, P_FS, GW_VA, root_absent, false, 0 },
	{ VTD_FR_SROOT_NP, RID, GW_VA, root_absent, true, 0 },
	{ VTD_FR_SROOT_RSVD, P_FS, GW_VA, root_reserved, false, 0 },
	{ VTD_FR_SCE_ACCESS, P_FS, GW_VA, context_nowhere, false, 0 },
	{ VTD_FR_SCE_NP, P_FS, GW_VA, context_absent, false, 0 },
	{ VTD_FR_SCE_NP, RID, GW_VA, context_absent, false, 0 },
	{ VTD_FR_SCE_RSVD, P_FS, GW_VA, context_reserved, false, 0 },
	{ VTD_FR_SCE_INVALID, P_FS, GW_VA, context_pre_without_dte, false, 0 },
	{ VTD_FR_SCE_PASIDE, P_FS, GW_VA, context_no_pasid, false, 0 },
	{ VTD_FR_RID_PASID, P_FS, GW_VA, context_rid_is_fs, false, 0 },
	{ VTD_FR_PASID_BEYOND_DIR, 1u << 13, GW_VA, nothing, false, 0 },
	{ VTD_FR_PDIR_ACCESS, P_FS, GW_VA, directory_nowhere, false, 0 },
	{ VTD_FR_PDIR_ACCESS, RID, GW_VA, directory_nowhere, false, 0 },
	{ VTD_FR_PDIR_NP, P_FS, GW_VA, pde_absent, false, 0 },
	{ VTD_FR_PDIR_RSVD, P_FS, GW_VA, pde_reserved, false, 0 },
	{ VTD_FR_PE_ACCESS, P_FS, GW_VA, table_nowhere, false, 0 },
	{ VTD_FR_PE_NP, P_FS, GW_VA, pe_absent, false, 0 },
	{ VTD_FR_PE_RSVD, P_FS, GW_VA, pe_reserved, false, 0 },
	{ VTD_FR_PE_INVALID, P_FS, GW_VA, pe_bad_type, false, 0 },
	{ VTD_FR_PE_SRE, P_FS, GW_VA, nothing, false, VIOMMU_PRIV },
	{ VTD_FR_PE_EXEC, P_FS, GW_VA, nothing, false, VIOMMU_EXEC },
	{ VTD_FR_FS_ACCESS, P_FS, GW_VA, fs_entry_nowhere, false, 0 },
	{ VTD_FR_FS_ACCESS, RID, GW_VA, fs_entry_nowhere, false, 0 },
	{ VTD_FR_FS_NP, P_FS, GW_VA, fs_absent, false, 0 },
	{ VTD_FR_FS_NP, RID, GW_VA, fs_absent, true, 0 },
	{ VTD_FR_FS_RSVD, P_FS, GW_VA, fs_reserved, false, 0 },
	{ VTD_FR_FS_ROOT_ACCESS, P_FS, GW_VA, fs_root_nowhere, false, 0 },
	{ VTD_FR_FS_CANONICAL, P_FS, UINT64_C(1) << 50, nothing, false, 0 },
	{ VTD_FR_FS_USER, P_FS, GW_VA, fs_supervisor, false, 0 },
	{ VTD_FR_S_WRITE, P_FS, GW_VA, fs_read_only, true, 0 },
	{ VTD_FR_S_OUT_INTR, P_FS, GW_VA, fs_to_window, true, 0 },
	{ VTD_FR_SSS_ACCESS, P_SS, IOVA, ss_entry_nowhere, false, 0 },
	{ VTD_FR_SSS_NP, P_SS, IOVA, ss_absent, false, 0 },
	{ VTD_FR_SSS_RSVD, P_SS, IOVA, ss_reserved, false, 0 },
	{ VTD_FR_SSS_ROOT_ACCESS, P_SS, IOVA, ss_root_nowhere, false, 0 },
	{ VTD_FR_SSS_BEYOND_MGAW, P_SS, UINT64_C(1) << 48, nothing, false, 0 },
	{ VTD_FR_S_WRITE, P_SS, IOVA, ss_no_write, true, 0 },
	{ VTD_FR_S_READ, P_SS, IOVA, ss_no_read, false, 0 },
	{ VTD_FR_S_OUT_INTR, P_SS, IOVA, ss_to_window, false, 0 },
	{ VTD_FR_PE_INVALID, P_NESTED, GW_VA, nested_root_beyond, false, 0 },
	{ VTD_FR_FS_BEYOND_MGAW, P_NESTED, GW_VA, nested_entry_beyond, false, 0 },
	{ VTD_FR_FS_ROOT_SS_READ, P_NESTED, GW_VA, nested_root_unreadable, false, 0 },
	{ VTD_FR_FS_SS_READ, P_NESTED, GW_VA, nested_table_unreadable, false, 0 },
	{ VTD_FR_FS_SS_WRITE, P_NESTED, GW_VA, nested_table_read_only, false, 0 },
	{ VTD_FR_SSS_NP, P_NESTED, GW_VA, nested_page_absent, false, 0 },
	{ VTD_FR_PT_BEYOND_HAW, P_PT, UINT64_C(1) << 52, nothing, false, 0 },
};

static int access_once(struct gw *w, const struct reason *r)
{
	uint64_t v = 1;
	uint32_t flags = r->flags | VIOMMU_DMA_NO_PRI;

	return r->write ? viommu_dma_write(w->dma, w->dev[0], r->pasid, r->addr, &v, 8, flags, NULL)
			: viommu_dma_read(w->dma, w->dev[0], r->pasid, r->addr, &v, 8, flags, NULL);
}

static void record(struct gw *w, unsigned int n, uint64_t out[2])
{
	out[0] = gw_rd64(w, gw_frcd(w, n));
	out[1] = gw_rd64(w, gw_frcd(w, n) + 8);
}

/* VTD-FREC-02 to -08: what record n says about this access. */
static void check_record(struct gw *w, unsigned int n, const struct reason *r)
{
	uint64_t rec[2];

	record(w, n, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_F), 1);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), r->code);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_SID), GW_SID(0));
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FI), r->addr >> 12);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_AT), VTD_AT_UNTRANSLATED);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T1), !r->write);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T2), 0);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PP), r->pasid != RID);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PASID), r->pasid == RID ? 0 : r->pasid);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PRIV), !!(r->flags & VIOMMU_PRIV));
	assert_int_equal(VTD_GET(rec, VTD_FRCD_EXE), !!(r->flags & VIOMMU_EXEC));
	assert_int_equal(rec[0] & VTD_RSVD(VTD_FRCD, 0), 0);
	assert_int_equal(rec[1] & VTD_RSVD(VTD_FRCD, 1), 0);
}

/*
 * VTD-FREC-01, VTD-FREC-02, VTD-FREC-03, VTD-FREC-04, VTD-FREC-05, VTD-FREC-06, VTD-FREC-07,
 * VTD-FREC-08, VTD-FREC-21, VTD-FS-20, VTD-ORDER-11
 */
static void every_reason_comes_out_as_the_guests_tables_say_it(void **state)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST };
	unsigned int i, bound;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		/* Met when nothing is bound, and when the entry was bound before it broke. */
		for (bound = 0; bound < 2; bound++) {
			const struct reason *r = &reasons[i];
			struct viommu_fault last;
			struct fw f;
			uint64_t v;

			fw_open(&f, &c);
			if (bound) {
				access_once(&f.w, r);
				gw_read(&f.w, 0, r->pasid, GW_VA, &v);
				gw_read(&f.w, 0, r->pasid, IOVA, &v);
			}
			r->breaks(&f);
			gw_put(&f.w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0);
			gw_put(&f.w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0);
			assert_true(gw_do(&f.w, gw_iotlb_d(VTD_IQ_IOTLB_GLOBAL, 0), 0));
			assert_int_equal(access_once(&f.w, r), VIOMMU_FAULTED);
			assert_int_equal(viommu_guest_last_faults(f.w.guest, &last, 1), 1);
			assert_int_equal(last.reason, r->code);
			assert_int_equal(last.sid, GW_SID(0));
			assert_int_equal(last.pasid, r->pasid);
			assert_int_equal(last.addr, r->addr);
			assert_false(last.flags & VIOMMU_FAULT_HOST);
			if (!bound)
				check_record(&f.w, 0, r);
			gw_close(&f.w);
		}
	}
}

/* ---- Legacy mode ---- */

struct legacy {
	struct gw w;
	struct tables_stage ss;
};

static void legacy_open(struct legacy *l)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_LEGACY };

	gw_open(&l->w, &c);
	gw_set_root(&l->w, VTD_TTM_LEGACY);
	tables_stage_init(&l->ss, &l->w.ram, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&l->ss, IOVA, gw_page(&l->w), 12, TABLES_RW), 0);
	gw_lce_ss(gw_context(&l->w, GW_SID(0)), &l->ss, VTD_TT_SS, 5);
}

#define LROOT(l) (gw_ptr(&(l)->w, (l)->w.root) + (size_t)(GW_SID(0) >> 8) * 2)
#define LCE(l)   gw_context(&(l)->w, GW_SID(0))
#define LBREAK(name, what)                 \
	static void name(struct legacy *l) \
	{                                  \
		what;                      \
	}

static void l_root_nowhere(struct legacy *l)
{
	l->w.root = HOLE;
	gw_set_root(&l->w, VTD_TTM_LEGACY);
}

LBREAK(l_nothing, (void)l)
LBREAK(l_root_absent, LROOT(l)[0] = 0)
LBREAK(l_root_reserved, LROOT(l)[0] |= 2)
LBREAK(l_context_nowhere, LROOT(l)[0] = HOLE | 1)
LBREAK(l_context_absent, LCE(l)[0] = 0)
LBREAK(l_context_reserved, LCE(l)[1] |= UINT64_C(1) << 40)
LBREAK(l_context_bad_width, VTD_SET(LCE(l), VTD_LCE_AW, 5))
LBREAK(l_ss_root_nowhere, VTD_SET(LCE(l), VTD_LCE_SSPTPTR, HOLE >> 12))
LBREAK(l_entry_nowhere, tables_entry_set(&l->ss, IOVA, 2, HOLE | 3))
LBREAK(l_entry_reserved, *tables_entry(&l->ss, IOVA, 4) |= VTD_MASK(VTD_SS_PS))
LBREAK(l_no_write, *tables_entry(&l->ss, IOVA, 1) &= ~VTD_MASK(VTD_SS_W))
LBREAK(l_no_read, *tables_entry(&l->ss, IOVA, 1) &= ~VTD_MASK(VTD_SS_R))
LBREAK(l_window, tables_entry_set(&l->ss, IOVA, 1, VTD_WINDOW_BASE | 3))
LBREAK(l_pass_through, gw_lce_ss(LCE(l), NULL, VTD_TT_PT, 5))

/* VTD-FREC-05, VTD-FREC-04 */
static void legacy_reasons_come_out_in_legacy_words(void **state)
{
	static const struct {
		uint8_t code;
		uint64_t addr;
		void (*breaks)(struct legacy *l);
		bool write;
	} tries[] = {
		{ VTD_FR_ROOT_ACCESS, IOVA, l_root_nowhere, false },
		{ VTD_FR_ROOT_NP, IOVA, l_root_absent, false },
		{ VTD_FR_ROOT_RSVD, IOVA, l_root_reserved, false },
		{ VTD_FR_CTX_ACCESS, IOVA, l_context_nowhere, false },
		{ VTD_FR_CTX_NP, IOVA, l_context_absent, true },
		{ VTD_FR_CTX_RSVD, IOVA, l_context_reserved, false },
		{ VTD_FR_CTX_INVALID, IOVA, l_context_bad_width, false },
		{ VTD_FR_CTX_INVALID, IOVA, l_ss_root_nowhere, false },
		{ VTD_FR_SS_ACCESS, IOVA, l_entry_nowhere, false },
		{ VTD_FR_SS_RSVD, IOVA, l_entry_reserved, false },
		{ VTD_FR_BEYOND_MGAW, UINT64_C(1) << 48, l_nothing, false },
		{ VTD_FR_WRITE, IOVA, l_no_write, true },
		{ VTD_FR_READ, IOVA, l_no_read, false },
		{ VTD_FR_OUT_INTR, IOVA, l_window, false },
		{ VTD_FR_BEYOND_MGAW, UINT64_C(1) << 52, l_pass_through, false },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		const struct reason r = {
			tries[i].code, RID, tries[i].addr, NULL, tries[i].write, 0
		};
		struct legacy l;

		legacy_open(&l);
		tries[i].breaks(&l);
		gw_command(&l.w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
		assert_int_equal(access_once(&l.w, &r), VIOMMU_FAULTED);
		check_record(&l.w, 0, &r);
		gw_close(&l.w);
	}
}

/* ---- Other kinds of request ---- */

/* VTD-FREC-02, VTD-FREC-03, VTD-FREC-20 */
static void translation_requests_are_recorded_only_if_they_end_in_an_error(void **state)
{
	struct viommu_ats_result ats;
	struct viommu_fault fault;
	uint64_t rec[2];
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	fs_absent(&f);
	assert_int_equal(viommu_ats_translate(f.w.dma, f.w.dev[0], P_FS, GW_VA, 0, &ats, &fault),
			 0);
	assert_int_equal(ats.perm, 0);
	assert_int_equal(gw_rd32(&f.w, VTD_REG_FSTS), 0);
	/* DTE goes: 44h. */
	ce(&f)[0] &= ~(VTD_MASK(VTD_SCE_DTE) | VTD_MASK(VTD_SCE_PRE));
	assert_true(gw_do(&f.w, gw_cc(VTD_IQ_CC_DEVICE, 0, GW_SID(0), 0), 0));
	assert_int_equal(viommu_ats_translate(f.w.dma, f.w.dev[0], P_FS, GW_VA, 0, &ats, &fault),
			 VIOMMU_FAULTED);
	record(&f.w, 0, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_SCE_DTE);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_AT), VTD_AT_TRANSLATION);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T1), 0); /* it wanted to write */
	viommu_ats_translate(f.w.dma, f.w.dev[0], P_FS, GW_VA, VIOMMU_ATS_NO_WRITE, &ats, &fault);
	record(&f.w, 1, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T1), 1);
	gw_close(&f.w);
}

/*
 * VTD-FREC-09: without PASID the window of interrupts takes a dword written, and nothing else. The
 * record has the page that was accessed, where those of messages have an index.
 */
static void what_is_no_message_in_the_window_is_recorded_with_its_page(void **state)
{
	static const struct {
		uint64_t addr;
		unsigned int bytes;
		bool write, atomic;
	} tries[] = {
		{ UINT64_C(0xfee00000), 8, true, false },  { UINT64_C(0xfee01008), 8, true, false },
		{ UINT64_C(0xfeeff000), 2, true, false },  { UINT64_C(0xfee02002), 4, true, false },
		{ UINT64_C(0xfee03000), 4, false, false }, { UINT64_C(0xfee04000), 8, false, true },
	};
	unsigned int i, messages;
	uint64_t rec[2], old;
	struct fw f;
	int ret;

	(void)state;
	fw_open(&f, NULL);
	messages = f.w.messages;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		const uint64_t addr = tries[i].addr;
		const unsigned int n = tries[i].bytes;

		old = 0x1234567890;
		if (tries[i].atomic)
			ret = viommu_dma_atomic(f.w.dma, f.w.dev[0], RID, addr, n,
						VIOMMU_ATOMIC_FETCH_ADD, 1, 0, VIOMMU_DMA_NO_PRI,
						&old, NULL);
		else if (tries[i].write)
			ret = viommu_dma_write(f.w.dma, f.w.dev[0], RID, addr, &old, n,
					       VIOMMU_DMA_NO_PRI, NULL);
		else
			ret = viommu_dma_read(f.w.dma, f.w.dev[0], RID, addr, &old, n,
					      VIOMMU_DMA_NO_PRI, NULL);
		assert_int_equal(ret, VIOMMU_FAULTED);
		record(&f.w, i, rec);
		/* By hand: F, T1, FR, SID; no PASID, nothing of T2 but for the atomic. */
		assert_int_equal(rec[0], addr & ~UINT64_C(0xfff));
		assert_int_equal(rec[1], UINT64_C(1) << 63 | (uint64_t)!tries[i].write << 62 |
						 UINT64_C(0x29) << 32 |
						 (uint64_t)tries[i].atomic << 28 | GW_SID(0));
	}
	assert_int_equal(f.w.messages, messages);
	/* With PASID the same address is one like any other: the process has nothing there. */
	old = 0;
	assert_int_equal(viommu_dma_write(f.w.dma, f.w.dev[0], P_FS, tries[0].addr, &old, 8,
					  VIOMMU_DMA_NO_PRI, NULL),
			 VIOMMU_FAULTED);
	record(&f.w, i, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_FS_NP);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FI), tries[0].addr >> 12);
	gw_close(&f.w);
}

static void atomics_are_recorded_as_such(void **state)
{
	uint64_t rec[2], old = 0;
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	fs_absent(&f);
	assert_int_equal(viommu_dma_atomic(f.w.dma, f.w.dev[0], P_FS, GW_VA, 8,
					   VIOMMU_ATOMIC_FETCH_ADD, 1, 0, VIOMMU_DMA_NO_PRI, &old,
					   NULL),
			 VIOMMU_FAULTED);
	record(&f.w, 0, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T1), 1);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_T2), 1);
	gw_close(&f.w);
}

/*
 * VTD-FREC-02, VTD-FREC-03: whatever a device with ATS does, what the unit had of it is a
 * translation request, which knows no atomics.
 */
static void accesses_of_a_device_with_ats_are_recorded_as_translation_requests(void **state)
{
	const uint32_t flags = VIOMMU_DMA_ATS | VIOMMU_DMA_NO_PRI;
	uint64_t rec[2], word = 0;
	unsigned int i;
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	pe_reserved(&f);
	assert_int_equal(viommu_dma_read(f.w.dma, f.w.dev[0], P_FS, GW_VA, &word, 8, flags, NULL),
			 VIOMMU_FAULTED);
	assert_int_equal(viommu_dma_write(f.w.dma, f.w.dev[0], P_FS, GW_VA, &word, 8, flags, NULL),
			 VIOMMU_FAULTED);
	assert_int_equal(viommu_dma_atomic(f.w.dma, f.w.dev[0], P_FS, GW_VA, 8,
					   VIOMMU_ATOMIC_FETCH_ADD, 0, 0, flags, &word, NULL),
			 VIOMMU_FAULTED);
	for (i = 0; i < 3; i++) {
		record(&f.w, i, rec);
		assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_PE_RSVD);
		assert_int_equal(VTD_GET(rec, VTD_FRCD_AT), VTD_AT_TRANSLATION);
		assert_int_equal(VTD_GET(rec, VTD_FRCD_T1), i == 0);
		assert_int_equal(VTD_GET(rec, VTD_FRCD_T2), 0);
	}
	/* Without an error for the device there is still no record. */
	pe(&f, P_FS)[3] = 0;
	fs_absent(&f);
	assert_int_equal(viommu_dma_read(f.w.dma, f.w.dev[0], P_FS, GW_VA, &word, 8, flags, NULL),
			 VIOMMU_FAULTED);
	record(&f.w, 3, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_F), 0);
	gw_close(&f.w);
}

/* The width of PASIDs, and execute requests on a newer unit. */
static void capabilities_and_version_give_their_reasons(void **state)
{
	const struct reason wide = { VTD_FR_PASID_BEYOND_PSS, 0x100, GW_VA, NULL, false, 0 };
	const struct reason exec = { VTD_FR_EXEC, P_FS, GW_VA, NULL, false, VIOMMU_EXEC };
	struct gw_config c = { .ver = 0x80 };
	struct gw w;

	(void)state;
	gw_open_host(&w, &c);
	viommu_guest_profile(VIOMMU_PROFILE_SVA, 0, NULL, &c.cap, &c.ecap, NULL);
	c.ecap = (c.ecap & ~VTD_MASK(VTD_ECAP_PSS)) | VTD_VAL(VTD_ECAP_PSS, 7);
	assert_int_equal(gw_open_unit(&w, &c), 0);
	gw_start(&w);
	assert_int_equal(access_once(&w, &wide), VIOMMU_FAULTED);
	check_record(&w, 0, &wide);
	assert_int_equal(access_once(&w, &exec), VIOMMU_FAULTED);
	check_record(&w, 1, &exec);
	gw_close(&w);
}

/* ---- Recording ---- */

static void fault_at(struct fw *f, uint64_t addr)
{
	uint64_t v;

	assert_int_equal(gw_read(&f->w, 0, P_FS, addr, &v), VIOMMU_FAULTED);
}

static uint32_t fsts(struct fw *f)
{
	return gw_rd32(&f->w, VTD_REG_FSTS);
}

static uint64_t fi(struct fw *f, unsigned int n)
{
	return gw_rd64(&f->w, gw_frcd(&f->w, n));
}

static bool filled(struct fw *f, unsigned int n)
{
	return gw_rd32(&f->w, gw_frcd(&f->w, n) + 12) >> 31;
}

static void release(struct fw *f, unsigned int n)
{
	gw_wr32(&f->w, gw_frcd(&f->w, n) + 12, 1u << 31);
}

#define BAD(n) (GW_VA + 0x100000 + 4096 * (uint64_t)(n))

/*
 * VTD-FREC-13, VTD-FREC-14, VTD-FREC-15, VTD-FREC-16, VTD-FREC-17, VTD-FREC-19, VTD-FSTS-01,
 * VTD-FSTS-05, VTD-FSTS-06, VTD-CAP-11
 */
static void records_fill_in_turn_and_overflow(void **state)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };
	unsigned int i;
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	for (i = 0; i < 8; i++) {
		fault_at(&f, BAD(i));
		assert_int_equal(fsts(&f), PPF); /* FRI stays 0 */
		assert_int_equal(fi(&f, i), BAD(i));
	}
	fault_at(&f, BAD(8)); /* record 0 is filled */
	assert_int_equal(fsts(&f), PPF | PFO);
	assert_int_equal(fi(&f, 0), BAD(0));
	release(&f, 0);
	assert_int_equal(fsts(&f), PPF | PFO);
	fault_at(&f, BAD(9)); /* PFO drops it although there is room */
	assert_false(filled(&f, 0));
	gw_wr32(&f.w, VTD_REG_FSTS, PFO | PPF); /* PPF is not software's to clear */
	assert_int_equal(fsts(&f), PPF);
	fault_at(&f, BAD(10)); /* the index has wrapped */
	assert_int_equal(fi(&f, 0), BAD(10));
	for (i = 0; i < 8; i++) {
		assert_true(fsts(&f) & PPF);
		assert_true(filled(&f, i));
		release(&f, i);
	}
	assert_int_equal(fsts(&f) & PPF, 0);
	fault_at(&f, BAD(11));
	assert_int_equal(fi(&f, 1), BAD(11));
	assert_int_equal(VTD_FIELD(fsts(&f), VTD_FSTS_FRI), 1);
	viommu_guest_stats(f.w.guest, &s);
	assert_int_equal(s.faults, 10);
	assert_int_equal(s.faults_lost, 2);
	gw_close(&f.w);
}

/* VTD-FREC-18 */
static void the_index_returns_to_0_when_translation_goes_off(void **state)
{
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	fault_at(&f, BAD(0));
	fault_at(&f, BAD(1));
	release(&f, 0);
	release(&f, 1);
	gw_command(&f.w, (uint32_t)VTD_MASK(VTD_GCMD_TE), false);
	gw_command(&f.w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
	fault_at(&f, BAD(2));
	assert_int_equal(fi(&f, 0), BAD(2));
	assert_int_equal(VTD_FIELD(fsts(&f), VTD_FSTS_FRI), 0);
	gw_close(&f.w);
}

/* VTD-FEVT-01, VTD-FEVT-02, VTD-FEVT-03, VTD-FEVT-04, VTD-FSTS-02 */
static void one_fault_event_until_all_its_bits_are_clear(void **state)
{
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	gw_wr32(&f.w, VTD_REG_FECTL, 0);
	fault_at(&f, BAD(0));
	assert_int_equal(f.w.messages, 1);
	fault_at(&f, BAD(1));
	gw_put(&f.w, 0, 0);
	gw_kick(&f.w); /* IQE: one of the group was set already */
	assert_int_equal(f.w.messages, 1);
	release(&f, 0);
	release(&f, 1);
	gw_wr32(&f.w, VTD_REG_FSTS, 0x83); /* as Linux writes it */
	fault_at(&f, BAD(2));
	assert_int_equal(f.w.messages, 1); /* IQE still stands */
	release(&f, 2);
	gw_ptr(&f.w, f.w.iq)[0] = VTD_IQ_TYPE_WAIT;
	gw_wr32(&f.w, VTD_REG_FSTS, (uint32_t)VTD_MASK(VTD_FSTS_IQE));
	assert_int_equal(fsts(&f) & (uint32_t)VTD_FSTS_EVENTS, 0);
	fault_at(&f, BAD(3));
	assert_int_equal(f.w.messages, 2);
	gw_close(&f.w);
}

BREAK(fpd_context, ce(f)[0] |= VTD_MASK(VTD_SCE_FPD))
BREAK(fpd_directory, *pde(f) |= VTD_MASK(VTD_PDIR_FPD))
BREAK(fpd_entry, pe(f, P_FS)[0] |= VTD_MASK(VTD_PE_FPD))
/* What Linux leaves when a process exits with a live bind. */
BREAK(fpd_alone, pe(f, P_FS)[0] = VTD_MASK(VTD_PE_FPD))

/* Qualified reasons are silent with FPD anywhere on the way, others are not. */
static void fpd_silences_qualified_reasons(void **state)
{
	static void (*const ways[])(struct fw * f) = { fpd_context, fpd_directory, fpd_entry,
						       fpd_alone };
	unsigned int i, bound;
	uint64_t v;
	struct fw f;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		for (bound = 0; bound < 2; bound++) {
			fw_open(&f, NULL);
			if (bound)
				assert_int_equal(gw_read(&f.w, 0, P_FS, GW_VA, &v), 0);
			ways[i](&f);
			gw_put(&f.w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0);
			assert_true(gw_do(&f.w, gw_pc(VTD_IQ_PC_GLOBAL, 0, 0), 0));
			fault_at(&f, BAD(0));
			assert_int_equal(fsts(&f), 0);
			assert_int_equal(viommu_guest_last_faults(f.w.guest,
								  &(struct viommu_fault){ 0 }, 1),
					 0);
			/* 50h is not qualified. */
			directory_nowhere(&f);
			assert_true(gw_do(&f.w, gw_cc(VTD_IQ_CC_GLOBAL, 0, 0, 0), 0));
			fault_at(&f, BAD(0));
			assert_int_equal(fsts(&f), PPF);
			gw_close(&f.w);
		}
	}
}

/* ---- What only the host knows ---- */

static uint8_t last_reason(struct gw *w)
{
	struct viommu_fault last = { 0 };

	assert_int_equal(viommu_guest_last_faults(w->guest, &last, 1), 1);
	return last.reason;
}

static void a_page_that_is_no_memory_lacks_permission(void **state)
{
	const struct gw_config c = { .profile = VIOMMU_PROFILE_HOST };
	struct fw f;
	uint64_t v;

	(void)state;
	fw_open(&f, &c);
	assert_int_equal(tables_map(&f.p.fs, GW_VA + 4096, HOLE, 12, TABLES_RWU), 0);
	assert_int_equal(gw_read(&f.w, 0, P_FS, GW_VA + 4096, &v), VIOMMU_FAULTED);
	assert_int_equal(last_reason(&f.w), VTD_FR_S_READ);
	assert_int_equal(gw_write(&f.w, 0, P_FS, GW_VA + 4096, v), VIOMMU_FAULTED);
	assert_int_equal(last_reason(&f.w), VTD_FR_S_WRITE);
	assert_int_equal(gw_read(&f.w, 0, P_PT, HOLE, &v), VIOMMU_FAULTED);
	assert_int_equal(last_reason(&f.w), VTD_FR_PT_BEYOND_HAW);
	gw_close(&f.w);
}

static void a_table_in_read_only_memory_takes_no_accessed_bit(void **state)
{
	static uint8_t rom[8192] __attribute__((aligned(4096)));
	const uint64_t at = UINT64_C(0x10000000);
	uint64_t *table = (uint64_t *)(void *)rom, v;
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	assert_int_equal(viommu_mem_add_ptr(f.w.mem, at, sizeof(rom), rom, VIOMMU_MEM_READ_ONLY),
			 0);
	memset(rom, 0, sizeof(rom));
	table[GW_VA >> 12 & 511] = f.p.page | VTD_MASK(VTD_FS_P) | 6;
	tables_entry_set(&f.p.fs, GW_VA, 2, at | VTD_MASK(VTD_FS_P) | 6);
	assert_int_equal(gw_read(&f.w, 0, P_FS, GW_VA, &v), VIOMMU_FAULTED);
	assert_int_equal(last_reason(&f.w), VTD_FR_FS_AD_FAILED);
	table[GW_VA >> 12 & 511] |= VTD_MASK(VTD_FS_A);
	assert_int_equal(gw_read(&f.w, 0, P_FS, GW_VA, &v), 0);
	gw_close(&f.w);
}

/* A device that sends what is not the guest's leaves no trace in the guest. */
static void host_pasids_that_the_guest_does_not_have_are_not_recorded(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_fault fault = { .pasid = 77,
				      .reason = VTD_FR_PE_NP,
				      .stage = VIOMMU_STAGE_PATH };
	struct gw w;
	uint64_t v;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	assert_int_equal(gw_read(&w, 0, 77, GW_VA, &v), VIOMMU_FAULTED);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), 0);
	viommu_guest_fault(w.guest, NULL, &fault); /* nor a device that is not there */
	assert_int_equal(viommu_guest_miss(w.guest, NULL, 77, &fault), VIOMMU_FAULTED);
	assert_int_equal(gw_rd32(&w, VTD_REG_FSTS), 0);
	gw_close(&w);
}

/* The guest's number, not the host's. */
static void records_have_the_guests_pasid(void **state)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct viommu_hp hp;
	uint64_t rec[2], v;
	struct gw w;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_pe(&w, GW_SID(0), 500);
	assert_int_equal(viommu_guest_pasid_to_host(w.guest, (struct viommu_gp){ 500 }, &hp), 0);
	assert_int_not_equal(hp.v, 500);
	assert_int_equal(gw_read(&w, 0, hp.v, GW_VA, &v), VIOMMU_FAULTED);
	record(&w, 0, rec);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PASID), 500);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_PE_NP);
	gw_close(&w);
}

static void the_last_faults_are_kept_newest_first(void **state)
{
	struct viommu_fault last[20];
	unsigned int i;
	struct fw f;

	(void)state;
	fw_open(&f, NULL);
	assert_int_equal(viommu_guest_last_faults(f.w.guest, last, 20), 0);
	for (i = 0; i < 20; i++)
		fault_at(&f, BAD(i));
	assert_int_equal(viommu_guest_last_faults(f.w.guest, last, 20), 16);
	for (i = 0; i < 16; i++)
		assert_int_equal(last[i].addr, BAD(19 - i));
	assert_int_equal(viommu_guest_last_faults(f.w.guest, last, 3), 3);
	gw_close(&f.w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_reason_comes_out_as_the_guests_tables_say_it),
	cmocka_unit_test(legacy_reasons_come_out_in_legacy_words),
	cmocka_unit_test(translation_requests_are_recorded_only_if_they_end_in_an_error),
	cmocka_unit_test(what_is_no_message_in_the_window_is_recorded_with_its_page),
	cmocka_unit_test(atomics_are_recorded_as_such),
	cmocka_unit_test(accesses_of_a_device_with_ats_are_recorded_as_translation_requests),
	cmocka_unit_test(capabilities_and_version_give_their_reasons),
	cmocka_unit_test(records_fill_in_turn_and_overflow),
	cmocka_unit_test(the_index_returns_to_0_when_translation_goes_off),
	cmocka_unit_test(one_fault_event_until_all_its_bits_are_clear),
	cmocka_unit_test(fpd_silences_qualified_reasons),
	cmocka_unit_test(a_page_that_is_no_memory_lacks_permission),
	cmocka_unit_test(a_table_in_read_only_memory_takes_no_accessed_bit),
	cmocka_unit_test(host_pasids_that_the_guest_does_not_have_are_not_recorded),
	cmocka_unit_test(records_have_the_guests_pasid),
	cmocka_unit_test(the_last_faults_are_kept_newest_first),
};
TEST_MAIN(tests)
