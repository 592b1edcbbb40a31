/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMAR and SSDT bytes against what the specification lays out, and what does not make a table.
 */
#include <viommu/acpi.h>
#include "lib/test.h"

static uint64_t le(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

static void assert_table(const uint8_t *t, size_t n, const char *signature)
{
	uint8_t sum = 0;
	size_t i;

	assert_memory_equal(t, signature, 4);
	assert_int_equal(le(t + 4, 4), n);
	for (i = 0; i < n; i++)
		sum = (uint8_t)(sum + t[i]);
	assert_int_equal(sum, 0);
}

/* The table of 72 bytes that a Linux guest was seen to boot with. */
static void one_unit_with_one_endpoint_is_72_bytes(void **state)
{
	static const uint8_t expected[] = {
		0x38, 0x00, 0,    0,    0,    0,    0,    0,
		0,    0,    0,    0,                            /* width - 1, flags, reserved */
		0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x00, /* DRHD */
		0x00, 0x00, 0xbe, 0xfe, 0x00, 0x00, 0x00, 0x00, /* registers */
		0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, /* endpoint 00:05.0 */
	};
	const struct viommu_acpi_scope scope = { .type = VIOMMU_SCOPE_ENDPOINT, .sid = 0x28 };
	const struct viommu_acpi_structure unit = {
		.kind = VIOMMU_ACPI_DRHD, .base = 0xfebe0000, .nr = 1, .scope = &scope
	};
	const struct viommu_acpi_dmar dmar = {
		.size = sizeof(dmar), .haw = 57, .nr = 1, .structure = &unit
	};
	uint8_t buf[128];

	(void)state;
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 72);
	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(viommu_acpi_dmar(&dmar, buf, sizeof(buf)), 72);
	assert_table(buf, 72, "DMAR");
	assert_int_equal(buf[8], 1);
	assert_memory_equal(buf + 36, expected, sizeof(expected));
	assert_int_equal(buf[72], 0xaa);
}

static void a_buffer_that_is_too_small_is_not_overrun(void **state)
{
	const struct viommu_acpi_dmar dmar = { .size = sizeof(dmar), .haw = 48 };
	uint8_t buf[48];

	(void)state;
	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(viommu_acpi_dmar(&dmar, buf, 47), 48);
	assert_int_equal(buf[0], 0xaa);
	assert_int_equal(buf[47], 0xaa);
	assert_int_equal(viommu_acpi_dmar(&dmar, buf, 48), 48);
	assert_table(buf, 48, "DMAR");
}

static void every_kind_of_structure_has_its_layout(void **state)
{
	const struct viommu_acpi_scope scopes[] = {
		{ .type = VIOMMU_SCOPE_ENDPOINT, .sid = 0x28, .id = 7 },
		{ .type = VIOMMU_SCOPE_IOAPIC, .id = 3, .sid = 0xff00 },
		{ .type = VIOMMU_SCOPE_BRIDGE, .sid = 0x11 },
	};
	const struct viommu_acpi_structure s[] = {
		{ .kind = VIOMMU_ACPI_DRHD, .base = 0x123456789000, .nr = 2, .scope = scopes },
		{ .kind = VIOMMU_ACPI_DRHD, .flags = VIOMMU_ACPI_ALL, .pages_lg2 = 4, .base = 1 },
		{ .kind = VIOMMU_ACPI_RMRR,
		  .segment = 2,
		  .base = 0x1000,
		  .last = 0x1fff,
		  .nr = 1,
		  .scope = scopes },
		{ .kind = VIOMMU_ACPI_ATSR, .flags = VIOMMU_ACPI_ALL },
		{ .kind = VIOMMU_ACPI_ATSR, .nr = 1, .scope = scopes + 2 },
		{ .kind = VIOMMU_ACPI_SATC, .nr = 1, .scope = scopes },
	};
	const struct viommu_acpi_dmar dmar = { .size = sizeof(dmar),
					       .haw = 48,
					       .flags = VIOMMU_DMAR_INTR_REMAP,
					       .nr = 6,
					       .structure = s };
	uint8_t t[256], *p = t + 48;

	(void)state;
	assert_int_equal(viommu_acpi_dmar(&dmar, t, sizeof(t)), 48 + 32 + 16 + 32 + 8 + 16 + 16);
	assert_table(t, 168, "DMAR");
	assert_int_equal(t[36], 47);
	assert_int_equal(t[37], 1);
	assert_int_equal(le(p + 2, 2), 32);
	assert_int_equal(le(p + 8, 8), 0x123456789000);
	assert_int_equal(le(p + 16, 8), 0x0005000000000801);
	assert_int_equal(le(p + 24, 8), 0x0000ff0300000803);
	p += 32;
	assert_int_equal(le(p, 8), 0x0000040100100000); /* 16 bytes, flag, 2^4 pages */
	p += 16;
	assert_int_equal(le(p, 4), 0x00200001);
	assert_int_equal(le(p + 4, 4), 0x00020000);
	assert_int_equal(le(p + 8, 8), 0x1000);
	assert_int_equal(le(p + 16, 8), 0x1fff);
	p += 32;
	assert_int_equal(le(p, 8), 0x0000000100080002);
	p += 8;
	assert_int_equal(le(p, 8), 0x0000000000100002);
	assert_int_equal(le(p + 8, 8), 0x0102000000000802);
	p += 16;
	assert_int_equal(le(p, 8), 0x0000000000100005);
}

static void what_is_not_well_formed_makes_no_table(void **state)
{
	const struct viommu_acpi_scope bad = { .type = 5 };
	const struct viommu_acpi_structure s[] = {
		{ .kind = VIOMMU_ACPI_SATC },
		{ .kind = VIOMMU_ACPI_ATSR }, /* descending */
		{ .kind = 3 },
		{ .kind = VIOMMU_ACPI_DRHD, .nr = 1, .scope = &bad },
		{ .kind = VIOMMU_ACPI_DRHD, .nr = 1 },
		{ .kind = VIOMMU_ACPI_DRHD, .nr = 0x2000, .scope = &bad },
		{ .kind = VIOMMU_ACPI_DRHD, .flags = VIOMMU_ACPI_ALL },
		{ .kind = VIOMMU_ACPI_DRHD },
	};
	struct viommu_acpi_dmar dmar = { .size = sizeof(dmar), .haw = 48, .nr = 2, .structure = s };
	uint32_t i;

	(void)state;
	assert_int_equal(viommu_acpi_dmar(NULL, NULL, 0), 0);
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 0);
	dmar.nr = 1;
	for (i = 2; i < 6; i++) {
		dmar.structure = s + i;
		assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 0);
	}
	dmar.structure = s + 6;
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 64);
	dmar.nr = 2; /* a unit for all the rest is the last one */
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 0);
	dmar.nr = 0;
	dmar.haw = 11;
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 0);
	dmar.haw = 65;
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 0);
	dmar.haw = 64;
	dmar.size--;
	assert_int_equal(viommu_acpi_dmar(&dmar, NULL, 0), 0);
}

static void the_ssdt_names_the_function(void **state)
{
	uint8_t a[256], b[256];
	size_t n;

	(void)state;
	n = viommu_acpi_ssdt(0x20, a, sizeof(a));
	assert_in_range(n, 60, 200);
	assert_table(a, n, "SSDT");
	assert_int_equal(viommu_acpi_ssdt(0x23, b, sizeof(b)), n);
	/* _ADR is device << 16 | function; nothing but it and the checksum differs. */
	for (size_t i = 0, differ = 0; i < n; i++) {
		if (a[i] == b[i])
			continue;
		assert_true(i == 9 || (a[i] == 0 && b[i] == 3 && a[i + 2] == 4));
		assert_true(++differ <= 2);
	}
	assert_int_equal(viommu_acpi_ssdt(0x100, a, sizeof(a)), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(one_unit_with_one_endpoint_is_72_bytes),
	cmocka_unit_test(a_buffer_that_is_too_small_is_not_overrun),
	cmocka_unit_test(every_kind_of_structure_has_its_layout),
	cmocka_unit_test(what_is_not_well_formed_makes_no_table),
	cmocka_unit_test(the_ssdt_names_the_function),
};
TEST_MAIN(tests)
