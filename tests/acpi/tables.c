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

/* How often a name stands in a table. */
static unsigned int count(const uint8_t *t, size_t n, const char *name)
{
	unsigned int found = 0;
	size_t i;

	for (i = 0; i + 4 <= n; i++)
		found += !memcmp(t + i, name, 4);
	return found;
}

static void the_ssdt_reads_the_bus_of_each_port(void **state)
{
	static const uint16_t port[] = { 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50 };
	static const uint16_t far[] = { 0x100 };
	/* PB00 = \_SB.PCI0.VP00.BUS */
	static const char store[] = "p\\/\x04_SB_PCI0VP00BUS_PB00";
	uint8_t t[2048], none[256];
	unsigned int nr;
	size_t n, i;

	(void)state;
	for (nr = 1; nr <= VIOMMU_ACPI_MAX_PORTS; nr++) {
		memset(t, 0xaa, sizeof(t));
		n = viommu_acpi_ssdt_ports(0x20, port, nr, 0xc4, t, sizeof(t));
		assert_in_range(n, 100, sizeof(t) - 1);
		assert_table(t, n, "SSDT");
		assert_int_equal(t[n], 0xaa);
		/* Two bytes of length: the whole behind the header is one package. */
		assert_int_equal(t[36], 0x10);
		assert_int_equal((t[37] & 0xf) | t[38] << 4, n - 37);
		for (i = 0; i < nr; i++) {
			const char vp[] = { 'V', 'P', '0', (char)('0' + i), 0 };
			const char pb[] = { 'P', 'B', '0', (char)('0' + i), 0 };

			assert_int_equal(count(t, n, vp), 2);
			assert_int_equal(count(t, n, pb), 2);
		}
		assert_int_equal(count(t, n, "VP08"), 0);
		/* None of them is there for the guest: Name (_STA, Zero). */
		assert_int_equal(count(t, n, "STA"), nr);
		/* The last thing that it does. */
		assert_memory_equal(t + n - 24 * nr, store, sizeof(store) - 1);
	}
	/* What does not fit is not written. */
	memset(none, 0xaa, sizeof(none));
	n = viommu_acpi_ssdt_ports(0x20, port, 8, 0xc4, none, sizeof(none));
	assert_in_range(n, sizeof(none) + 1, sizeof(t));
	assert_int_equal(none[0], 0xaa);
	/* None is the plain one; what cannot be said is none at all. */
	n = viommu_acpi_ssdt(0x20, none, sizeof(none));
	assert_int_equal(viommu_acpi_ssdt_ports(0x20, NULL, 0, 0, t, sizeof(t)), n);
	assert_memory_equal(t, none, n);
	assert_int_equal(viommu_acpi_ssdt_ports(0x20, port, 9, 0xc4, t, sizeof(t)), 0);
	assert_int_equal(viommu_acpi_ssdt_ports(0x20, NULL, 1, 0xc4, t, sizeof(t)), 0);
	assert_int_equal(viommu_acpi_ssdt_ports(0x20, port, 1, 0xf9, t, sizeof(t)), 0);
	assert_int_not_equal(viommu_acpi_ssdt_ports(0x20, port, 1, 0xf8, t, sizeof(t)), 0);
	assert_int_equal(viommu_acpi_ssdt_ports(0x20, far, 1, 0xc4, t, sizeof(t)), 0);
	assert_int_equal(viommu_acpi_ssdt_ports(0x100, port, 1, 0xc4, t, sizeof(t)), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(one_unit_with_one_endpoint_is_72_bytes),
	cmocka_unit_test(a_buffer_that_is_too_small_is_not_overrun),
	cmocka_unit_test(every_kind_of_structure_has_its_layout),
	cmocka_unit_test(what_is_not_well_formed_makes_no_table),
	cmocka_unit_test(the_ssdt_names_the_function),
	cmocka_unit_test(the_ssdt_reads_the_bus_of_each_port),
};
TEST_MAIN(tests)
