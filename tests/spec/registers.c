/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The register map of vtd.h: rows do not overlap, masks stay inside their register and its fields,
 * offsets and access classes agree with values written down on their own.
 */
#include <viommu/vtd.h>

#include "lib/test.h"

static const struct viommu_spec_reg *reg(const char *name)
{
	unsigned int i;

	for (i = 0; i < viommu_spec_regs_nr; i++)
		if (!strcmp(viommu_spec_regs[i].name, name))
			return &viommu_spec_regs[i];
	fail_msg("no register %s", name);
	return NULL;
}

static void registers_do_not_overlap_and_are_aligned(void **state)
{
	/* one mark per byte of the block, for each of the three bases */
	static uint8_t taken[3][4096];
	unsigned int i, b;

	(void)state;
	memset(taken, 0, sizeof(taken));
	for (i = 0; i < viommu_spec_regs_nr; i++) {
		const struct viommu_spec_reg *r = &viommu_spec_regs[i];
		unsigned int bytes = r->width / 8u * r->count;

		assert_true(r->width == 32 || r->width == 64);
		assert_true(r->count >= 1);
		assert_int_equal(r->offset % (r->width / 8u), 0);
		assert_in_range(r->base, 0, 2);
		assert_true(r->offset + bytes <= 4096);
		for (b = 0; b < bytes; b++) {
			if (taken[r->base][r->offset + b])
				fail_msg("%s lies on another register", r->name);
			taken[r->base][r->offset + b] = 1;
		}
		if (i > 0 && viommu_spec_regs[i - 1].base == r->base)
			assert_true(viommu_spec_regs[i - 1].offset < r->offset);
	}
	/* what follows a base must fit its stride: a fault record is 16 bytes */
	for (b = 16; b < 4096; b++)
		assert_int_equal(taken[VIOMMU_SPEC_BASE_FRO][b] | taken[VIOMMU_SPEC_BASE_IRO][b],
				 0);
}

static void masks_stay_inside_the_register_and_its_fields(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < viommu_spec_regs_nr; i++) {
		const struct viommu_spec_reg *r = &viommu_spec_regs[i];
		uint64_t all = r->writable | r->rw1c | r->sticky | r->reset;
		const struct viommu_spec_table *t = viommu_spec_table_find(r->layout);

		if (r->width < 64)
			assert_int_equal(all >> r->width, 0);
		assert_int_equal(r->writable & r->rw1c, 0);
		assert_true((r->need_reg != VIOMMU_SPEC_CAP_NO) == (r->need != 0));
		if (!strcmp(r->layout, "RAW"))
			continue;
		assert_non_null(t);
		if (r->base == VIOMMU_SPEC_BASE_FRO) {
			assert_int_equal(t->bits, 128);
			assert_int_equal((r->writable | r->rw1c) &
						 viommu_spec_reserved(t, r->offset / 8u),
					 0);
			continue;
		}
		assert_int_equal(t->bits, r->width);
		if ((r->writable | r->rw1c | r->sticky) & viommu_spec_reserved(t, 0))
			fail_msg("%s: reserved bits are writable", r->name);
	}
}

/* Offsets once more, by hand (VTD-REG-42). */
static void registers_are_where_drivers_expect_them(void **state)
{
	static const struct {
		const char *name;
		unsigned int offset, width;
	} rows[] = {
		{ "VER", 0x00, 32 },      { "CAP", 0x08, 64 },         { "ECAP", 0x10, 64 },
		{ "GCMD", 0x18, 32 },     { "GSTS", 0x1c, 32 },        { "RTADDR", 0x20, 64 },
		{ "CCMD", 0x28, 64 },     { "FSTS", 0x34, 32 },        { "FECTL", 0x38, 32 },
		{ "FEDATA", 0x3c, 32 },   { "FEADDR", 0x40, 32 },      { "FEUADDR", 0x44, 32 },
		{ "PMEN", 0x64, 32 },     { "PLMBASE", 0x68, 32 },     { "PLMLIMIT", 0x6c, 32 },
		{ "PHMBASE", 0x70, 64 },  { "PHMLIMIT", 0x78, 64 },    { "IQH", 0x80, 64 },
		{ "IQT", 0x88, 64 },      { "IQA", 0x90, 64 },         { "ICS", 0x9c, 32 },
		{ "IECTL", 0xa0, 32 },    { "IEDATA", 0xa4, 32 },      { "IEADDR", 0xa8, 32 },
		{ "IEUADDR", 0xac, 32 },  { "IQERCD", 0xb0, 64 },      { "IRTA", 0xb8, 64 },
		{ "PQH", 0xc0, 64 },      { "PQT", 0xc8, 64 },         { "PQA", 0xd0, 64 },
		{ "PRS", 0xdc, 32 },      { "PECTL", 0xe0, 32 },       { "PEDATA", 0xe4, 32 },
		{ "PEADDR", 0xe8, 32 },   { "PEUADDR", 0xec, 32 },     { "MTRRCAP", 0x100, 64 },
		{ "MTRRDEF", 0x108, 64 }, { "MTRRFIX64K", 0x120, 64 }, { "MTRRVAR", 0x180, 64 },
		{ "PERFCAP", 0x300, 64 }, { "ECMD", 0x400, 64 },       { "ECRSP", 0x410, 64 },
		{ "ECCAP0", 0x430, 64 },  { "ECCAP3", 0x448, 64 },     { "RDTC", 0xdc0, 64 },
		{ "VCMD", 0xe00, 64 },    { "VCMD_EO", 0xe08, 64 },    { "VCRSP", 0xe10, 64 },
		{ "VCCAP", 0xe30, 64 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct viommu_spec_reg *r = reg(rows[i].name);

		assert_int_equal(r->offset, rows[i].offset);
		assert_int_equal(r->width, rows[i].width);
		assert_int_equal(r->base, VIOMMU_SPEC_BASE_FIX);
	}
	assert_int_equal(VTD_REG_RTADDR, 0x20);
	assert_int_equal(VTD_REG_PEUADDR, 0xec);
	/* last of the ranges: 170 and 218 */
	assert_int_equal(reg("MTRRFIX4K")->offset + 8 * (reg("MTRRFIX4K")->count - 1), 0x170);
	assert_int_equal(reg("MTRRVAR")->offset + 8 * (reg("MTRRVAR")->count - 1), 0x218);
	assert_int_equal(reg("PERFEVNTCAP")->offset + 8 * reg("PERFEVNTCAP")->count, 0x400);
	assert_int_equal(reg("IVA")->base, VIOMMU_SPEC_BASE_IRO);
	assert_int_equal(reg("IVA")->offset, 0);
	assert_int_equal(reg("IOTLB")->offset, 8);
	assert_int_equal(reg("FRCD_HI")->base, VIOMMU_SPEC_BASE_FRO);
	assert_int_equal(reg("FRCD_HI")->offset, 8);
}

static void access_classes_are_those_of_the_specification(void **state)
{
	static const struct {
		const char *name;
		uint64_t reset, writable, rw1c, sticky;
	} rows[] = {
		{ "CAP", 0, 0, 0, 0 },
		{ "ECAP", 0, 0, 0, 0 },
		{ "GCMD", 0, 0xcf800000, 0, 0 },
		{ "GSTS", 0, 0, 0, 0 },
		{ "RTADDR", 0, 0xfffffffffffffc80, 0, 0 },
		{ "CCMD", 0, 0xe0000003ffffffff, 0, 0 },
		{ "FSTS", 0, 0, 0x71, 0xff73 },
		{ "FECTL", 0x80000000, 0x80000000, 0, 0 },
		{ "IECTL", 0x80000000, 0x80000000, 0, 0 },
		{ "PECTL", 0x80000000, 0x80000000, 0, 0 },
		{ "FEDATA", 0, 0xffff, 0, 0 },
		{ "FEADDR", 0, 0xfffffffc, 0, 0 },
		{ "FEUADDR", 0, 0xffffff00, 0, 0 },
		{ "IQH", 0, 0, 0, 0 },
		{ "IQT", 0, 0x7fff0, 0, 0 },
		{ "IQA", 0, 0xfffffffffffff807, 0, 0 },
		{ "ICS", 0, 0, 1, 1 },
		{ "IQERCD", 0, 0, 0, 0xffffffff0000000f },
		{ "IRTA", 0, 0xfffffffffffff80f, 0, 0 },
		{ "PQH", 0, 0x7ffe0, 0, 0 },
		{ "PQT", 0, 0x7ffe0, 0, 0 },
		{ "PQA", 0, 0xfffffffffffff007, 0, 0 },
		{ "PRS", 0, 0, 3, 3 },
		{ "VCMD", 0, 0xffffffffffff00ff, 0, 0 },
		{ "VCRSP", 0, 0, 0, 0 },
		{ "VCCAP", 0, 0, 0, 0 },
		{ "IVA", 0, 0xfffffffffffff07f, 0, 0 },
		{ "IOTLB", 0, 0xb003ffff00000000, 0, 0 },
		{ "FRCD_LO", 0, 0, 0, ~0ull },
		{ "FRCD_HI", 0, 0, 0x8000000000000000, ~0ull },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct viommu_spec_reg *r = reg(rows[i].name);

		if (r->reset != rows[i].reset || r->writable != rows[i].writable ||
		    r->rw1c != rows[i].rw1c || r->sticky != rows[i].sticky)
			fail_msg("%s: reset %#llx writable %#llx rw1c %#llx sticky %#llx", r->name,
				 (unsigned long long)r->reset, (unsigned long long)r->writable,
				 (unsigned long long)r->rw1c, (unsigned long long)r->sticky);
	}
	assert_true(reg("GCMD")->flags & VIOMMU_SPEC_REG_WO);
	assert_true(reg("IVA")->flags & VIOMMU_SPEC_REG_WO);
	assert_false(reg("IOTLB")->flags & VIOMMU_SPEC_REG_WO);
}

static void registers_follow_their_capability(void **state)
{
	uint64_t cap = 0xd1d2078022780006, ecap = 0x04038d9a20000fc7;

	(void)state;
	assert_true(viommu_spec_reg_present(reg("GCMD"), 0, 0));
	assert_true(viommu_spec_reg_present(reg("IQT"), cap, ecap));
	assert_true(viommu_spec_reg_present(reg("PQH"), cap, ecap));
	assert_false(viommu_spec_reg_present(reg("PMEN"), cap, ecap));
	assert_true(viommu_spec_reg_present(reg("PMEN"), cap | 1u << 5, ecap));
	assert_true(viommu_spec_reg_present(reg("PMEN"), cap | 1u << 6, ecap));
	assert_false(viommu_spec_reg_present(reg("PHMBASE"), cap | 1u << 5, ecap));
	assert_false(viommu_spec_reg_present(reg("IRTA"), cap, ecap));
	assert_true(viommu_spec_reg_present(reg("IRTA"), cap, ecap | 1u << 3));
	assert_false(viommu_spec_reg_present(reg("VCMD"), cap, ecap));
	assert_true(viommu_spec_reg_present(reg("VCMD"), cap, ecap | 1ull << 44));
	assert_false(viommu_spec_reg_present(reg("MTRRCAP"), cap, ecap));
	assert_false(viommu_spec_reg_present(reg("PERFCAP"), cap, ecap));
	assert_false(viommu_spec_reg_present(reg("ECMD"), cap, ecap));
	assert_false(viommu_spec_reg_present(reg("RDTC"), cap, ecap));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(registers_do_not_overlap_and_are_aligned),
	cmocka_unit_test(masks_stay_inside_the_register_and_its_fields),
	cmocka_unit_test(registers_are_where_drivers_expect_them),
	cmocka_unit_test(access_classes_are_those_of_the_specification),
	cmocka_unit_test(registers_follow_their_capability),
};
TEST_MAIN(tests)
