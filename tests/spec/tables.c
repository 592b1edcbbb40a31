/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lists of vtd.h against themselves (no bit twice, names unique) and against literal values
 * written down from running systems, so that a wrong bit number in a list is seen.
 */
#include <viommu/vtd.h>

#include "lib/test.h"

static uint64_t mask_of(const struct viommu_spec_field *f)
{
	uint64_t m = 0;
	unsigned int i;

	/* Bit by bit on purpose: not the arithmetic of the code under test. */
	for (i = f->lo; i <= f->hi; i++)
		m |= (uint64_t)1 << (i % 64);
	return m;
}

static void no_two_fields_of_a_structure_share_a_bit(void **state)
{
	unsigned int checked = 0;
	size_t t;

	(void)state;
	for (t = 0; viommu_spec_tables[t]; t++) {
		const struct viommu_spec_table *table = viommu_spec_tables[t];
		uint64_t seen[8] = { 0 };
		unsigned int i;

		assert_true(table->nr > 0);
		assert_true(table->bits == 32 || table->bits % 64 == 0);
		assert_in_range(table->bits, 32, 512);
		for (i = 0; i < table->nr; i++) {
			const struct viommu_spec_field *f = &table->fields[i];
			unsigned int w = f->lo / 64u;

			if (f->hi >= table->bits || f->hi < f->lo || f->hi / 64u != w)
				fail_msg("%s is not in one word of %s", f->name, table->name);
			if (seen[w] & mask_of(f))
				fail_msg("%s of %s shares a bit", f->name, table->name);
			seen[w] |= mask_of(f);
			checked++;
		}
		for (i = 0; i < 8; i++)
			assert_int_equal(viommu_spec_reserved(table, i), ~seen[i]);
	}
	assert_true(checked > 300);
}

static void names_are_unique_and_short_names_have_no_prefix(void **state)
{
	size_t t, u;

	(void)state;
	for (t = 0; viommu_spec_tables[t]; t++) {
		const struct viommu_spec_table *table = viommu_spec_tables[t];
		unsigned int i, j;

		assert_ptr_equal(viommu_spec_table_find(table->name), table);
		for (u = 0; u < t; u++)
			assert_string_not_equal(viommu_spec_tables[u]->name, table->name);
		for (i = 0; i < table->nr; i++) {
			const char *name = viommu_spec_field_name(table, &table->fields[i]);

			assert_int_not_equal(name[0], '\0');
			assert_null(strstr(name, "VTD_"));
			for (j = 0; j < i; j++)
				assert_string_not_equal(table->fields[j].name,
							table->fields[i].name);
			assert_int_not_equal(table->fields[i].text[0], '\0');
			assert_true((table->fields[i].kind == VIOMMU_SPEC_CONDITIONAL) ==
				    (table->fields[i].need_reg != VIOMMU_SPEC_CAP_NO));
		}
	}
	assert_null(viommu_spec_table_find("VTD_NO_SUCH"));
	assert_string_equal(viommu_spec_field_name(viommu_spec_table_find("VTD_PE"),
						   &viommu_spec_table_find("VTD_PE")->fields[0]),
			    "P");
	assert_string_equal(viommu_spec_field_name(viommu_spec_table_find("VTD_FS_2M"),
						   &viommu_spec_table_find("VTD_FS_2M")->fields[0]),
			    "P");
}

/* What software must leave 0 on every unit, written as masks and not as bit numbers. */
static void reserved_bits_are_those_of_the_specification(void **state)
{
	static const struct {
		const char *name;
		uint64_t rsvd[8];
	} rows[] = {
		{ "VTD_ROOT", { 0xffe, ~0ull } },
		{ "VTD_SROOT", { 0xffe, 0xffe } },
		{ "VTD_LCE", { 0xff0, 0xffffffffff000080 } },
		{ "VTD_SCE", { 0x180, 0xffffffffffe00000, ~0ull, ~0ull } },
		{ "VTD_PDIR", { 0xffc } },
		{ "VTD_PE",
		  { 0xc20, 0xf87f0000, 0xf02, ~0ull, 0xff8, 0xffffffffffff0000, ~0ull, ~0ull } },
		{ "VTD_FS_TOP", { 0x80 } },
		{ "VTD_FS_TABLE", { 0 } },
		{ "VTD_FS_4K", { 0 } },
		{ "VTD_FS_2M", { 0x1fe000 } },
		{ "VTD_FS_1G", { 0x3fffe000 } },
		{ "VTD_SS_TOP", { 0x880 } },
		{ "VTD_SS_TABLE", { 0x800 } },
		{ "VTD_SS_4K", { 0 } },
		{ "VTD_SS_2M", { 0x1ff000 } },
		{ "VTD_SS_1G", { 0x3ffff000 } },
		{ "VTD_RTADDR", { 0x37f } },
		{ "VTD_IQA", { 0x7f8 } },
		{ "VTD_PQA", { 0xff8 } },
		{ "VTD_FRCD", { 0xfff, 0x0fff0000 } },
		{ "VTD_IQ_CC", { 0xfffc00000000f1c0, ~0ull } },
		{ "VTD_IQ_IOTLB", { 0xffffffff0000f100, 0xf80 } },
		{ "VTD_IQ_DTLB", { 0x000f0000ffe001f0, 0xffe } },
		{ "VTD_IQ_IEC", { 0xffff000007fff1e0, ~0ull } },
		{ "VTD_IQ_WAIT", { 0xfffff100, 0x3 } },
		{ "VTD_IQ_PIOTLB", { 0xfff000000000f1c0, 0xf80, ~0ull, ~0ull } },
		{ "VTD_IQ_PC", { 0xfff000000000f1c0, ~0ull, ~0ull, ~0ull } },
		{ "VTD_IQ_PDTLB", { 0, 0x7fe, ~0ull, ~0ull } },
		{ "VTD_IQ_PGRP", { 0xfff00000000001e0, 0xfffffffffffff003, ~0ull, ~0ull } },
		{ "VTD_IQ", { ~0xe0full } },
		{ "VTD_ATS", { 0x3c0 } },
		{ "VTD_IQ_HPT", { ~0xffff0e3full, 0xf00, ~0ull, ~0ull } },
		{ "VTD_VER", { ~0xffull } },
		{ "VTD_CAP", { 0x060000400080e008 } },
		{ "VTD_ECAP", { 0x80400001190c0020 } },
		{ "VTD_GSTS", { ~0xcf800000ull } },
		{ "VTD_CCMD", { ~0xf8000003ffffffffull } },
		{ "VTD_FSTS", { ~0xff73ull } },
		{ "VTD_EVCTL", { ~0xc0000000ull } },
		{ "VTD_PMEN", { ~0x80000001ull } },
		{ "VTD_IRTA", { 0x7f0 } },
		{ "VTD_IRTE", { 0xff007000, 0xfffffffffff00000 } },
		{ "VTD_MSI_ADDR", { 0x000000ff00000fe0 } },
		{ "VTD_MSI_DATA", { ~0xc7ffull } },
		{ "VTD_RMSI_ADDR", { 0xffffffff00000000 } },
		{ "VTD_RMSI_DATA", { ~0xffffull } },
		{ "VTD_MTRRCAP", { ~0x5ffull } },
		{ "VTD_MTRRDEF", { ~0xcffull } },
		{ "VTD_ECMD", { 0xff00 } },
		{ "VTD_ECRSP", { 0xff00 } },
		{ "VTD_ECCAP3", { ~0x003f000000000000ull } },
		{ "VTD_RDTC", { ~0x1f00000fffull } },
		{ "VTD_VCRSP", { 0xff00 } },
		{ "VTD_VCCAP", { ~0x7ull } },
		{ "VTD_OLD_VCMD", { 0 } },
		{ "VTD_OLD_VCRSP", { 0xf8 } },
		{ "VTD_OLD_VCCAP", { ~0x1ull } },
		{ "VTD_IOTLB", { ~0xb603ffff00000000ull } },
		{ "VTD_PRQ", { 0xffc000000000fe00, 0, ~0ull, ~0ull } },
	};
	unsigned int i, w;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct viommu_spec_table *table = viommu_spec_table_find(rows[i].name);

		assert_non_null(table);
		for (w = 0; w < (table->bits + 63) / 64; w++)
			if (viommu_spec_reserved(table, w) != rows[i].rsvd[w])
				fail_msg("%s word %u: %#llx, expected %#llx", rows[i].name, w,
					 (unsigned long long)viommu_spec_reserved(table, w),
					 (unsigned long long)rows[i].rsvd[w]);
	}
	assert_int_equal(VTD_RSVD(VTD_PE, 0), 0xc20);
	assert_int_equal(VTD_RSVD(VTD_SCE, 1), 0xffffffffffe00000);
	assert_int_equal(VTD_RSVD(VTD_FS_2M, 0), 0x1fe000);
}

/* (VTD-CAP-01) */
static void absent_capabilities_make_fields_reserved(void **state)
{
	const struct viommu_spec_table *pe = viommu_spec_table_find("VTD_PE");
	const struct viommu_spec_table *sce = viommu_spec_table_find("VTD_SCE");
	const struct viommu_spec_table *leaf = viommu_spec_table_find("VTD_SS_4K");

	(void)state;
	/* bare unit: SSADE, PWSNP, PGSNP, CD, EMTE, PAT, SRE, WPE, EAFE and all of HPT go */
	assert_int_equal(viommu_spec_reserved_for(pe, 0, 0, 0), 0xe20);
	assert_int_equal(viommu_spec_reserved_for(pe, 1, 0, 0), 0xffffffffffff0000);
	assert_int_equal(viommu_spec_reserved_for(pe, 2, 0, 0), 0xf93);
	assert_int_equal(viommu_spec_reserved_for(pe, 4, 0, 0), ~0ull);
	/* the nesting host of the trial */
	assert_int_equal(viommu_spec_reserved_for(pe, 0, 0, 0x0403ed9ea4000fc7), 0xc20);
	assert_int_equal(viommu_spec_reserved_for(pe, 1, 0, 0x0403ed9ea4000fc7),
			 0xfffffffffe7f0000);
	assert_int_equal(viommu_spec_reserved_for(pe, 2, 0, 0x0403ed9ea4000fc7), 0xf02);
	assert_int_equal(viommu_spec_reserved_for(sce, 0, 0, 0x0403ed9ea4000fc7), 0x1e0);
	assert_int_equal(viommu_spec_reserved_for(sce, 1, 0, 0x0403ed9ea4000fc7),
			 0xfffffffffff00000);
	assert_int_equal(viommu_spec_reserved_for(leaf, 0, 0, 0), 0x4000000000000800);
	assert_int_equal(viommu_spec_reserved_for(viommu_spec_table_find("VTD_FS_1G"), 0, 0, 0),
			 0x3fffe080);
}

static void access_macros_touch_one_field(void **state)
{
	uint64_t pe[8];
	unsigned int i;

	(void)state;
	memset(pe, 0xff, sizeof(pe));
	VTD_SET(pe, VTD_PE_FSPTPTR, 0x123456789abcd);
	assert_int_equal(pe[2], 0x123456789abcdfff);
	VTD_SET(pe, VTD_PE_PGTT, 0);
	assert_int_equal(pe[0], ~0x1c0ull);
	/* a value that does not fit must not spill into the neighbours */
	VTD_SET(pe, VTD_PE_PGTT, 0xff);
	assert_int_equal(pe[0], ~0ull);
	VTD_SET(pe, VTD_PE_DID, 0x5aa5);
	assert_int_equal(VTD_GET(pe, VTD_PE_DID), 0x5aa5);
	assert_int_equal(pe[1], 0xffffffffffff5aa5);
	for (i = 3; i < 8; i++)
		assert_int_equal(pe[i], ~0ull);
	assert_int_equal(VTD_MASK(VTD_PE_SSPTPTR), 0xfffffffffffff000);
	assert_int_equal(VTD_MASK(VTD_MTRRDEF_TYPE), 0xff);
	assert_int_equal(VTD_VAL(VTD_PE_PWSNP, 3), 0x800000);
	assert_int_equal(VTD_WORD(VTD_PE_EAFE), 2);
}

/* First-stage only unit and nesting host, as booted; qemu: the first trial. */
static void booted_capabilities_decode_to_their_features(void **state)
{
	uint64_t cap = 0xd1d2078022780006, ecap = 0x04038d9a20000fc7;

	(void)state;
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_ND), 6);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_RWBF), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_PLMR), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_PHMR), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_CM), 0);
	assert_int_equal(VTD_FIELD(cap | 0x80, VTD_CAP_CM), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_SAGAW), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_MGAW), 56);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_ZLR), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_FRO), 0x22);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_SSLPS), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_PSI), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_NFR), 7);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_MAMV), 18);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_DWD), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_DRD), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_FS1GP), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_FS5LP), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_PI), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_ECMDS), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_ESIRTPS), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_ESRTPS), 1);
	assert_int_equal(cap & VTD_RSVD(VTD_CAP, 0), 0);

	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_C), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_QI), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_DT), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_IR), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PT), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SC), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_IRO), 0xf);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_NEST), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PRS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_ERS), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SRS), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_NWFS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_EAFS), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PSS), 19);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PASID), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_DIT), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PDS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SMTS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_VCS), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SSADS), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SSTS), 0);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_FSTS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SMPWCS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_RPS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SMS), 1);
	assert_int_equal(ecap & VTD_RSVD(VTD_ECAP, 0), 0);
	/* the same with interrupt remapping */
	assert_int_equal(ecap | VTD_MASK(VTD_ECAP_IR) | VTD_MASK(VTD_ECAP_EIM) |
				 VTD_VAL(VTD_ECAP_MHMV, 15),
			 0x04038d9a20f00fdf);

	cap = 0xd1d2078c226f0406;
	ecap = 0x0403ed9ea4000fc7;
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_MGAW), 47);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_SAGAW), 4);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_SSLPS), 3);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_NEST), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SRS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_EAFS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SSADS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SSTS), 1);
	assert_int_equal(ecap & ~0x04038d9a20000fc7ull,
			 VTD_MASK(VTD_ECAP_NEST) | VTD_MASK(VTD_ECAP_SRS) |
				 VTD_MASK(VTD_ECAP_EAFS) | VTD_MASK(VTD_ECAP_SSADS) |
				 VTD_MASK(VTD_ECAP_SSTS));

	cap = 0x91d2008c40380c06;
	ecap = 0x0001cd98a0f050c7;
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_FRO), 0x40);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_NFR), 0);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_SAGAW), 0xc);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_MGAW), 56);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_FS5LP), 1);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_FS1GP), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_IRO), 0x50);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_MHMV), 15);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PRS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SMPWCS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_PSS), 19);
}

static void entries_seen_under_linux_decode(void **state)
{
	static const uint64_t nested[8] = { 0x9b50c9, 0x1800003, 0x100000 };
	static const uint64_t parent[8] = { 0x9b5089, 0x800002, 0 };
	static const uint64_t context[4] = { 0x2aa0e1d };

	(void)state;
	assert_int_equal(VTD_GET(nested, VTD_PE_P), 1);
	assert_int_equal(VTD_GET(nested, VTD_PE_FPD), 0);
	assert_int_equal(VTD_GET(nested, VTD_PE_PGTT), VTD_PGTT_NESTED);
	assert_int_equal(VTD_GET(nested, VTD_PE_AW), VTD_AW_48);
	assert_int_equal(nested[0] & VTD_MASK(VTD_PE_SSPTPTR), 0x9b5000);
	assert_int_equal(VTD_GET(nested, VTD_PE_DID), 3);
	assert_int_equal(VTD_GET(nested, VTD_PE_PWSNP), 1);
	assert_int_equal(VTD_GET(nested, VTD_PE_PGSNP), 1);
	assert_int_equal(VTD_GET(nested, VTD_PE_FSPM), VTD_FSPM_4LEVEL);
	assert_int_equal(nested[2] & VTD_MASK(VTD_PE_FSPTPTR), 0x100000);

	assert_int_equal(VTD_GET(parent, VTD_PE_PGTT), VTD_PGTT_SS);
	assert_int_equal(VTD_GET(parent, VTD_PE_AW), VTD_AW_48);
	assert_int_equal(VTD_GET(parent, VTD_PE_DID), 2);
	assert_int_equal(VTD_GET(parent, VTD_PE_PWSNP), 1);
	assert_int_equal(VTD_GET(parent, VTD_PE_PGSNP), 0);

	assert_int_equal(VTD_GET(context, VTD_SCE_P), 1);
	assert_int_equal(VTD_GET(context, VTD_SCE_FPD), 0);
	assert_int_equal(VTD_GET(context, VTD_SCE_DTE), 1);
	assert_int_equal(VTD_GET(context, VTD_SCE_PASIDE), 1);
	assert_int_equal(VTD_GET(context, VTD_SCE_PRE), 1);
	assert_int_equal(VTD_GET(context, VTD_SCE_PDTS), 7);
	assert_int_equal(context[0] & VTD_MASK(VTD_SCE_PDTP), 0x2aa0000);

	/* page-table entries: table, read-only leaf, writable leaf */
	assert_int_equal(VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US) |
				 VTD_MASK(VTD_FS_A),
			 0x27);
	assert_int_equal(VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_US) | VTD_MASK(VTD_FS_A), 0x25);
	assert_int_equal(0x25 | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_D), 0x67);
	assert_int_equal(VTD_MASK(VTD_FS_EA), 0x400);
	assert_int_equal(VTD_MASK(VTD_SS_R) | VTD_MASK(VTD_SS_W), 3);
	assert_int_equal(VTD_MASK(VTD_SS_SNP), 0x800);
	assert_int_equal(VTD_MASK(VTD_SS_D), 0x200);
}

static void values_that_linux_writes_decode(void **state)
{
	static const uint64_t wait[2] = { 0x0000000200000025, 0x1234560c };
	static const uint64_t piotlb[4] = { 0x0000000500030036, 0x7f1234567049 };
	static const uint64_t pdtlb[4] = { 0x0000000500280008, 0x7ffffffffffff800 };
	static const uint64_t pgrp[4] = { 0x0000000500280019, 0xff8 };
	uint64_t iqa = 0x1234801;

	(void)state;
	assert_int_equal(VTD_FIELD(iqa, VTD_IQA_DW), 1);
	assert_int_equal(VTD_FIELD(iqa, VTD_IQA_QS), 1);
	assert_int_equal(iqa & VTD_MASK(VTD_IQA_IQA), 0x1234000);
	assert_int_equal(VTD_FIELD(0x1400, VTD_RTADDR_TTM), VTD_TTM_SCALABLE);
	assert_int_equal(VTD_FIELD(0x5678004, VTD_PQA_PQS), 4);
	/* the mask with which one-shot bits are dropped also drops a bit that is gone since 4.0 */
	assert_int_equal(~0x96ffffffu, VTD_GCMD_ONESHOTS | 1u << 29);
	assert_int_equal(VTD_GCMD_LEVELS & VTD_GCMD_ONESHOTS, 0);
	assert_int_equal(VTD_MASK(VTD_GSTS_TES), 0x80000000);
	assert_int_equal(VTD_MASK(VTD_GSTS_RTPS), 0x40000000);
	assert_int_equal(VTD_MASK(VTD_GSTS_QIES), 0x04000000);
	assert_int_equal(VTD_FSTS_EVENTS, 0x73);

	assert_int_equal(VTD_GET(wait, VTD_IQ_TYPE), VTD_IQ_TYPE_WAIT);
	assert_int_equal(VTD_GET(wait, VTD_IQ_WAIT_SW), 1);
	assert_int_equal(VTD_GET(wait, VTD_IQ_WAIT_IF), 0);
	assert_int_equal(VTD_GET(wait, VTD_IQ_WAIT_DATA), 2);
	assert_int_equal(wait[1] & VTD_MASK(VTD_IQ_WAIT_ADDR), 0x1234560c);
	assert_int_equal(VTD_GET(piotlb, VTD_IQ_TYPE), VTD_IQ_TYPE_PIOTLB);
	assert_int_equal(VTD_GET(piotlb, VTD_IQ_PIOTLB_G), VTD_IQ_PIOTLB_PAGE);
	assert_int_equal(VTD_GET(piotlb, VTD_IQ_PIOTLB_DID), 3);
	assert_int_equal(VTD_GET(piotlb, VTD_IQ_PIOTLB_PASID), 5);
	assert_int_equal(VTD_GET(piotlb, VTD_IQ_PIOTLB_AM), 9);
	assert_int_equal(VTD_GET(piotlb, VTD_IQ_PIOTLB_IH), 1);
	assert_int_equal(VTD_GET(pdtlb, VTD_IQ_PDTLB_SID), 0x28);
	assert_int_equal(VTD_GET(pdtlb, VTD_IQ_PDTLB_S), 1);
	assert_int_equal(VTD_GET(pdtlb, VTD_IQ_PDTLB_GI), 0);
	assert_int_equal(VTD_GET(pgrp, VTD_IQ_PGRP_PP), 1);
	assert_int_equal(VTD_GET(pgrp, VTD_IQ_PGRP_RC), VTD_PGRP_SUCCESS);
	assert_int_equal(VTD_GET(pgrp, VTD_IQ_PGRP_RID), 0x28);
	assert_int_equal(VTD_GET(pgrp, VTD_IQ_PGRP_PASID), 5);
	assert_int_equal(VTD_GET(pgrp, VTD_IQ_PGRP_PRGI), 0x1ff);
}

/* The record as drivers read it: two 32-bit reads of the upper half. */
static void fault_record_agrees_with_its_dwords(void **state)
{
	uint64_t frcd[2] = { 0, 0 };

	(void)state;
	VTD_SET(frcd, VTD_FRCD_F, 1);
	VTD_SET(frcd, VTD_FRCD_AT, VTD_AT_TRANSLATED);
	VTD_SET(frcd, VTD_FRCD_PASID, 0xabcde);
	VTD_SET(frcd, VTD_FRCD_FR, VTD_FR_PE_NP);
	assert_int_equal(frcd[1] >> 32, 1u << 31 | 2u << 28 | 0xabcdeu << 8 | 0x59);
	VTD_SET(frcd, VTD_FRCD_T1, 1);
	assert_int_equal(frcd[1] >> 32 & 1u << 30, 1u << 30);
	VTD_SET(frcd, VTD_FRCD_PP, 1);
	VTD_SET(frcd, VTD_FRCD_PRIV, 1);
	VTD_SET(frcd, VTD_FRCD_SID, 0x0028);
	assert_int_equal(frcd[1] & 0xffffffff, 1u << 31 | 1u << 29 | 0x28);
	VTD_SET(frcd, VTD_FRCD_EXE, 1);
	VTD_SET(frcd, VTD_FRCD_T2, 1);
	assert_int_equal(frcd[1] & 0xffffffff, 0xf0000028);
	frcd[0] = 0x7f12345678ab & VTD_MASK(VTD_FRCD_FI);
	assert_int_equal(frcd[0], 0x7f1234567000);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_two_fields_of_a_structure_share_a_bit),
	cmocka_unit_test(names_are_unique_and_short_names_have_no_prefix),
	cmocka_unit_test(reserved_bits_are_those_of_the_specification),
	cmocka_unit_test(absent_capabilities_make_fields_reserved),
	cmocka_unit_test(access_macros_touch_one_field),
	cmocka_unit_test(booted_capabilities_decode_to_their_features),
	cmocka_unit_test(entries_seen_under_linux_decode),
	cmocka_unit_test(values_that_linux_writes_decode),
	cmocka_unit_test(fault_record_agrees_with_its_dwords),
};
TEST_MAIN(tests)
