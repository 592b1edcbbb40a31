/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu_path_translate(): from device to memory, what the walk's faults get from the path, and
 * which requests are not walked at all. The walk itself is tests/walk's.
 */
#include "lib/tables.h"
#include "world.h"

#define VA   UINT64_C(0x7f1234567000)
#define GPA  UINT64_C(0x3000)
#define DATA 60 /* page of the world that VA leads to */

/* The last pages of the world hold paging tables. */
struct paging {
	struct world w;
	struct tables t;
	struct tables_stage ss;
	struct tables_stage fs;
	struct viommu_walk_result out;
};

static void paging_open(struct paging *p)
{
	world_scalable(&p->w, true);
	tables_over(&p->t, world_page(&p->w, 40), world_gpa(&p->w, 40), 20 * 4096, 0);
	tables_stage_init(&p->ss, &p->t, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	tables_stage_init(&p->fs, &p->t, &p->ss, VIOMMU_FORMAT_VTD_FS, 4);
	assert_int_equal(tables_map(&p->ss, GPA, world_gpa(&p->w, DATA), 12, TABLES_RW), 0);
	assert_int_equal(tables_map(&p->fs, VA, GPA, 12, TABLES_RWU), 0);
	VTD_SET(p->w.pe, VTD_PE_SSPTPTR, tables_root(&p->ss) >> 12);
	VTD_SET(p->w.pe, VTD_PE_FSPTPTR, tables_root(&p->fs) >> 12);
	p->w.req.addr = VA + 0x123;
}

static int translate(struct paging *p, uint32_t flags)
{
	return viommu_path_translate(&p->w.unit, &p->w.req, flags, NULL, &p->w.out, &p->out);
}

static void translate_passes(struct paging *p)
{
	int ret = translate(p, 0);

	if (ret == VIOMMU_FAULTED)
		fail_msg("fault %02xh", p->out.fault.reason);
	assert_int_equal(ret, 0);
	assert_int_equal(p->out.fault.reason, 0);
}

static void translate_faults(struct paging *p, int reason, uint8_t flags)
{
	const struct viommu_fault *f = &p->out.fault;

	assert_int_equal(translate(p, 0), VIOMMU_FAULTED);
	assert_int_equal(f->reason, reason);
	assert_int_equal(f->flags, flags);
	assert_int_equal(f->sid, p->w.req.sid);
	assert_int_equal(f->pasid, p->w.out.pasid);
	assert_int_equal(f->access, p->w.req.access);
	assert_int_equal(f->request, p->w.req.request);
	assert_true(f->addr == p->w.req.addr);
}

struct reads {
	struct viommu_recorder rec;
	unsigned int path;
	unsigned int walk;
};

static void reads_count(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct reads *r = container_of(rec, struct reads, rec);

	if (step->kind != VIOMMU_STEP_READ)
		return;
	/* The path comes first, all of it. */
	assert_true(step->stage == VIOMMU_STAGE_PATH ? !r->walk : r->path == 4);
	if (step->stage == VIOMMU_STAGE_PATH)
		r->path++;
	else
		r->walk++;
}

static void nested_request_reaches_memory(void **state)
{
	struct reads reads = { .rec.step = reads_count };
	struct paging p;

	(void)state;
	paging_open(&p);
	p.w.req.access = VIOMMU_READ | VIOMMU_WRITE;
	assert_int_equal(
		viommu_path_translate(&p.w.unit, &p.w.req, 0, &reads.rec, &p.w.out, &p.out), 0);
	assert_true(p.out.out == world_gpa(&p.w, DATA) + 0x123);
	assert_ptr_equal(p.out.host, (char *)world_page(&p.w, DATA) + 0x123);
	assert_int_equal(reads.path, 4);
	assert_int_equal(reads.walk, 24);
	assert_int_equal(p.out.reads, 24);
	assert_int_equal(p.w.out.did, 3);
	world_close(&p.w);
}

static void dry_translation_sets_no_bit(void **state)
{
	uint64_t *leaf, before;
	struct paging p;

	(void)state;
	paging_open(&p);
	leaf = tables_entry(&p.fs, VA, 1);
	before = *leaf;
	p.w.req.access = VIOMMU_WRITE;
	assert_int_equal(translate(&p, VIOMMU_WALK_DRY), 0);
	assert_true(*leaf == before);
	assert_int_equal(translate(&p, 0), 0);
	assert_true(*leaf == (before | VTD_MASK(VTD_FS_A) | VTD_MASK(VTD_FS_D)));
	world_close(&p.w);
}

/* VTD-FREC-04, VTD-FREC-07, VTD-FREC-10 */
static void walk_fault_says_who_asked_and_whether_fpd_silences_it(void **state)
{
	struct paging p;

	(void)state;
	paging_open(&p);
	tables_entry_set(&p.fs, VA, 1, 0);
	translate_faults(&p, VTD_FR_FS_NP, VIOMMU_FAULT_HAS_PASID);
	assert_int_equal(p.out.fault.stage, 0);
	assert_int_equal(p.out.fault.level, 1);
	assert_int_equal(p.out.fault.pasid, 5);
	*p.w.dir |= VTD_MASK(VTD_PDIR_FPD);
	translate_faults(&p, VTD_FR_FS_NP, VIOMMU_FAULT_HAS_PASID | VIOMMU_FAULT_FPD);

	/* Without PASID: RID_PASID is named, but was not in the request. */
	p.w.req.pasid = VIOMMU_NO_PASID;
	p.w.req.addr = BIT64(47);
	world_find(&p.w, 0);
	VTD_SET(p.w.pe, VTD_PE_SSPTPTR, tables_root(&p.ss) >> 12);
	translate_faults(&p, VTD_FR_SSS_NP, VIOMMU_FAULT_FPD);
	assert_int_equal(p.out.fault.pasid, 0);

	/* And the path's own fault is handed on. */
	p.w.ce[0] ^= 1;
	translate_faults(&p, VTD_FR_SCE_NP, 0);
	assert_memory_equal(&p.out.fault, &p.w.out.fault, sizeof(p.out.fault));
	world_close(&p.w);
}

/* VTD-SCTX-09 */
static void rid_priv_and_not_the_request_makes_a_request_without_pasid_privileged(void **state)
{
	struct paging p;
	uint64_t root;

	(void)state;
	paging_open(&p);
	p.w.unit.ecap |= VTD_MASK(VTD_ECAP_RPRIVS);
	root = tables_root(&p.fs);
	tables_entry_set(&p.fs, VA, 1, tables_entry_make(VIOMMU_FORMAT_VTD_FS, GPA, 12, TABLES_RW));
	p.w.req.pasid = VIOMMU_NO_PASID;
	world_find(&p.w, 0);
	world_pe_nested(&p.w);
	VTD_SET(p.w.pe, VTD_PE_SSPTPTR, tables_root(&p.ss) >> 12);
	VTD_SET(p.w.pe, VTD_PE_FSPTPTR, root >> 12);
	VTD_SET(p.w.pe, VTD_PE_SRE, 1);
	p.w.req.access = VIOMMU_READ | VIOMMU_PRIV;
	translate_faults(&p, VTD_FR_FS_USER, 0);
	VTD_SET(p.w.ce, VTD_SCE_RID_PRIV, 1);
	p.w.req.access = VIOMMU_READ;
	translate_passes(&p);
	/* An execute mark without PASID is noise. */
	p.w.req.access = VIOMMU_READ | VIOMMU_EXEC;
	translate_passes(&p);
	world_close(&p.w);
}

/* VTD-PT-01, VTD-PT-02, VTD-FLT-171, VTD-FLT-175, VTD-WIN-05 */
static void pass_through_checks_width_and_window_only(void **state)
{
	struct paging p;

	(void)state;
	paging_open(&p);
	world_pe_pt(&p.w);
	p.w.req.access = VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC;
	p.w.req.addr = world_gpa(&p.w, DATA) + 8;
	translate_passes(&p);
	assert_true(p.out.out == p.w.req.addr);
	assert_ptr_equal(p.out.host, world_page(&p.w, DATA) + 1);
	assert_int_equal(p.out.reads, 0);
	p.w.req.addr = BIT64(48) - 1;
	translate_passes(&p);
	assert_null(p.out.host);
	p.w.req.addr = BIT64(48);
	translate_faults(&p, VTD_FR_PT_BEYOND_HAW, VIOMMU_FAULT_HAS_PASID);
	p.w.req.request = VIOMMU_REQ_TRANSLATION;
	translate_faults(&p, VTD_FR_PT_BEYOND_HAW, VIOMMU_FAULT_HAS_PASID);
	/* A device may ask about the window, and may not go there. */
	p.w.req.addr = 0xfee12345;
	translate_passes(&p);
	assert_true(p.out.out == p.w.req.addr);
	assert_int_equal(p.out.perm & (VIOMMU_PERM_R | VIOMMU_PERM_W),
			 VIOMMU_PERM_R | VIOMMU_PERM_W);
	assert_null(p.out.host);
	p.w.req.request = VIOMMU_REQ_UNTRANSLATED;
	translate_faults(&p, VTD_FR_S_OUT_INTR, VIOMMU_FAULT_HAS_PASID);
	world_close(&p.w);
}

/* VTD-FLT-175, VTD-WIN-04, VTD-WIN-05 */
static void stages_may_not_lead_to_the_window(void **state)
{
	struct paging p;

	(void)state;
	paging_open(&p);
	assert_int_equal(tables_map(&p.ss, GPA, 0xfee00000, 12, TABLES_RW), 0);
	translate_faults(&p, VTD_FR_S_OUT_INTR, VIOMMU_FAULT_HAS_PASID);
	p.w.req.request = VIOMMU_REQ_TRANSLATION;
	translate_faults(&p, VTD_FR_S_OUT_INTR, VIOMMU_FAULT_HAS_PASID);
	world_close(&p.w);
}

/* VTD-FLT-104, VTD-FLT-114, VTD-CTX-02, VTD-CTX-04 */
static void legacy_mode_has_its_own_codes(void **state)
{
	struct paging p = { 0 };

	(void)state;
	world_legacy(&p.w, true);
	tables_over(&p.t, world_page(&p.w, 40), world_gpa(&p.w, 40), 20 * 4096, 0);
	tables_stage_init(&p.ss, &p.t, NULL, VIOMMU_FORMAT_VTD_SS, 4);
	assert_int_equal(tables_map(&p.ss, GPA, world_gpa(&p.w, DATA), 12, TABLES_R), 0);
	assert_int_equal(tables_map(&p.ss, 2 * GPA, 0xfee00000, 12, TABLES_R), 0);
	VTD_SET(p.w.ce, VTD_LCE_SSPTPTR, tables_root(&p.ss) >> 12);
	VTD_SET(p.w.ce, VTD_LCE_FPD, 1);
	p.w.req.addr = GPA + 16;
	translate_passes(&p);
	assert_true(p.out.out == world_gpa(&p.w, DATA) + 16);
	p.w.req.access = VIOMMU_WRITE;
	translate_faults(&p, VTD_FR_WRITE, VIOMMU_FAULT_FPD);
	p.w.req.access = VIOMMU_READ;
	p.w.req.addr = 2 * GPA;
	translate_faults(&p, VTD_FR_OUT_INTR, VIOMMU_FAULT_FPD);
	p.w.req.addr = BIT64(48);
	translate_faults(&p, VTD_FR_BEYOND_MGAW, VIOMMU_FAULT_FPD);

	VTD_SET(p.w.ce, VTD_LCE_TT, VTD_TT_PT);
	translate_faults(&p, VTD_FR_BEYOND_MGAW, VIOMMU_FAULT_FPD);
	p.w.req.addr = world_gpa(&p.w, DATA);
	translate_passes(&p);
	assert_ptr_equal(p.out.host, world_page(&p.w, DATA));
	world_close(&p.w);
}

/* VTD-ORDER-12, VTD-ORDER-13, VTD-WIN-01, VTD-WIN-02 */
static void some_requests_are_not_walked(void **state)
{
	struct reads reads = { .rec.step = reads_count };
	struct paging p;

	(void)state;
	paging_open(&p);
	p.w.req.request = VIOMMU_REQ_PAGE;
	p.w.req.addr = BIT64(60);
	assert_int_equal(
		viommu_path_translate(&p.w.unit, &p.w.req, 0, &reads.rec, &p.w.out, &p.out), 0);
	assert_int_equal(reads.walk, 0);
	assert_int_equal(p.w.out.pgtt, VTD_PGTT_NESTED);

	/* The device has translated itself. */
	p.w.req.request = VIOMMU_REQ_TRANSLATED;
	p.w.req.pasid = VIOMMU_NO_PASID;
	p.w.req.addr = world_gpa(&p.w, DATA) + 4;
	translate_passes(&p);
	assert_true(p.out.out == p.w.req.addr);
	assert_ptr_equal(p.out.host, (char *)world_page(&p.w, DATA) + 4);

	p.w.req.request = VIOMMU_REQ_UNTRANSLATED;
	p.w.req.addr = 0xfee00000;
	p.w.req.access = VIOMMU_WRITE;
	translate_passes(&p);
	assert_int_equal(p.w.out.interrupt, 1);
	assert_null(p.out.host);
	p.w.req.access = VIOMMU_READ | VIOMMU_ZERO_LENGTH;
	translate_passes(&p);
	assert_int_equal(p.w.out.zero_read, 1);
	world_close(&p.w);
}

static void caller_mistakes_are_einval(void **state)
{
	struct paging p;

	(void)state;
	paging_open(&p);
	assert_int_equal(viommu_path_translate(&p.w.unit, &p.w.req, 0, NULL, &p.w.out, NULL),
			 -EINVAL);
	assert_int_equal(viommu_path_translate(&p.w.unit, &p.w.req, 0, NULL, NULL, &p.out),
			 -EINVAL);
	assert_int_equal(viommu_path_translate(&p.w.unit, NULL, 0, NULL, &p.w.out, &p.out),
			 -EINVAL);
	assert_int_equal(translate(&p, 2), -EINVAL);
	p.w.req.access = 0;
	assert_int_equal(translate(&p, 0), -EINVAL);
	world_close(&p.w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(nested_request_reaches_memory),
	cmocka_unit_test(dry_translation_sets_no_bit),
	cmocka_unit_test(walk_fault_says_who_asked_and_whether_fpd_silences_it),
	cmocka_unit_test(rid_priv_and_not_the_request_makes_a_request_without_pasid_privileged),
	cmocka_unit_test(pass_through_checks_width_and_window_only),
	cmocka_unit_test(stages_may_not_lead_to_the_window),
	cmocka_unit_test(legacy_mode_has_its_own_codes),
	cmocka_unit_test(some_requests_are_not_walked),
	cmocka_unit_test(caller_mistakes_are_einval),
};
TEST_MAIN(tests)
