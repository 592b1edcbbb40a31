/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lists of dsa_spec.h against themselves, and against literal values that drivers and programs
 * use.
 */
#include <viommu/dsa_spec.h>

#include "lib/test.h"

static uint64_t mask_of(const struct viommu_spec_field *f)
{
	uint64_t m = 0;
	unsigned int i;

	for (i = f->lo; i <= f->hi; i++)
		m |= (uint64_t)1 << (i % 64);
	return m;
}

static void no_two_fields_of_a_structure_share_a_bit(void **state)
{
	unsigned int checked = 0;
	size_t t, u;

	(void)state;
	for (t = 0; viommu_dsa_tables[t]; t++) {
		const struct viommu_spec_table *table = viommu_dsa_tables[t];
		uint64_t seen[8] = { 0 };
		unsigned int i, j;

		for (u = 0; u < t; u++)
			assert_string_not_equal(viommu_dsa_tables[u]->name, table->name);
		for (i = 0; i < table->nr; i++) {
			const struct viommu_spec_field *f = &table->fields[i];
			unsigned int w = f->lo / 64u;

			if (f->hi >= table->bits || f->hi < f->lo || f->hi / 64u != w)
				fail_msg("%s is not in one word of %s", f->name, table->name);
			if (seen[w] & mask_of(f))
				fail_msg("%s of %s shares a bit", f->name, table->name);
			seen[w] |= mask_of(f);
			for (j = 0; j < i; j++)
				assert_string_not_equal(table->fields[j].name, f->name);
			assert_int_not_equal(viommu_spec_field_name(table, f)[0], '\0');
			assert_int_not_equal(f->text[0], '\0');
			checked++;
		}
		for (i = 0; i < table->bits / 64; i++)
			assert_int_equal(viommu_spec_reserved(table, i), ~seen[i]);
	}
	assert_true(checked > 200);
}

/* Bytes that are not 0 only in descriptors of other operations, as masks of each qword. */
static void reserved_bytes_of_descriptors(void **state)
{
	static const struct {
		unsigned int op;
		uint64_t rsvd[8];
	} rows[] = {
		{ 0x00, { 0x7ff00000, 0, ~0ull, ~0ull, 0xffff0000ffffffff, ~0ull, ~0ull, ~0ull } },
		{ 0x01, { 0x7ff00000, 0, 0, ~0ull, 0xffff000000000000, ~0ull, ~0ull, ~0ull } },
		{ 0x03, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, ~0ull, ~0ull, ~0ull } },
		{ 0x05, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, ~0xffull, ~0ull, ~0ull } },
		{ 0x07, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, 0, ~0xffffffffull, ~0xffull } },
		{ 0x08, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, ~0xffffffffull, ~0ull, ~0ull } },
		{ 0x09, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, 0, ~0ull, ~0ull } },
		{ 0x10, { 0x7ff00000, 0, 0, ~0ull, 0xffff000000000000, ~0xffffffffull, 0, ~0ull } },
		{ 0x12, { 0x7ff00000, 0, 0, ~0ull, 0xffff000000000000, ~0xff00ffull, 0, ~0ull } },
		{ 0x13, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, ~0xffff00ull, ~0ull, 0 } },
		{ 0x15, { 0x7ff00000, 0, 0, 0, 0xffff000000000000, ~0xffffffull, 0, 0 } },
		{ 0x20, { 0x7ff00000, 0, ~0ull, 0, 0xffff000000000000, ~0ull, ~0ull, ~0ull } },
	};
	unsigned int i, w;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (w = 0; w < 8; w++)
			assert_int_equal(viommu_spec_reserved(viommu_dsa_descriptor(rows[i].op), w),
					 rows[i].rsvd[w]);
	for (i = 0; i < 256; i++) {
		bool there = 0x1003f03ffull >> (i & 63) & 1 && i < 64;

		assert_int_equal(!!viommu_dsa_descriptor(i), there);
		assert_int_equal(!!viommu_dsa_code_text(VIOMMU_DSA_CODES_OPCODE, i), there);
	}
}

static const struct viommu_dsa_reg *reg(const char *name)
{
	unsigned int i;

	for (i = 0; i < viommu_dsa_regs_nr; i++)
		if (!strcmp(viommu_dsa_regs[i].name, name))
			return &viommu_dsa_regs[i];
	fail_msg("no register %s", name);
	return NULL;
}

static void registers_do_not_overlap_and_name_their_layout(void **state)
{
	unsigned int i, j;
	size_t t;

	(void)state;
	for (i = 0; i < viommu_dsa_regs_nr; i++) {
		const struct viommu_dsa_reg *r = &viommu_dsa_regs[i];
		unsigned int end = r->offset + r->width / 8u * r->count;
		bool found = !strcmp(r->layout, "RAW");

		assert_int_equal(r->offset % (r->width / 8u), 0);
		for (j = 0; j < viommu_dsa_regs_nr; j++) {
			const struct viommu_dsa_reg *s = &viommu_dsa_regs[j];

			if (i != j && r->block == s->block && s->offset >= r->offset)
				assert_true(s->offset >= end);
		}
		for (t = 0; viommu_dsa_tables[t]; t++)
			found |= !strcmp(viommu_dsa_tables[t]->name, r->layout);
		assert_true(found);
		assert_int_equal(r->writable & r->rw1c, 0);
	}
	assert_int_equal(reg("GENSTS")->offset, 0x90);
	assert_int_equal(reg("CMD")->offset, 0xa0);
	assert_int_equal(reg("CMDSTS")->offset, 0xa8);
	assert_int_equal(reg("SWERROR")->offset, 0xc0);
	assert_int_equal(reg("WQ_STATE")->offset, 24);
}

static void codes_have_texts(void **state)
{
	(void)state;
	assert_string_equal(viommu_dsa_code_text(VIOMMU_DSA_CODES_OPCODE, 3), "memory move");
	assert_string_equal(viommu_dsa_code_text(VIOMMU_DSA_CODES_STATUS, 1), "success");
	assert_string_equal(viommu_dsa_code_text(VIOMMU_DSA_CODES_COMMAND, 12), "abort PASID");
	assert_string_equal(viommu_dsa_code_text(VIOMMU_DSA_CODES_COMMAND_ERROR, 0x23),
			    "priority is 0");
	assert_null(viommu_dsa_code_text(VIOMMU_DSA_CODES_COMMAND, 13));
	assert_null(viommu_dsa_code_text((enum viommu_dsa_codes)0, 1));
	assert_null(viommu_dsa_descriptor(0x21));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_two_fields_of_a_structure_share_a_bit),
	cmocka_unit_test(reserved_bytes_of_descriptors),
	cmocka_unit_test(registers_do_not_overlap_and_name_their_layout),
	cmocka_unit_test(codes_have_texts),
};
TEST_MAIN(tests)
