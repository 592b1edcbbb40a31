/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes the tables to files, for iasl.py: dump DMAR-FILE SSDT-FILE PORTS-FILE. Without the SATC,
 * which Debian 12's iasl does not know yet (tables.c has it).
 */
#include <stdio.h>

#include <viommu/acpi.h>

static int save(const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");
	int ok = f && n && fwrite(bytes, 1, n, f) == n;

	if (f && fclose(f))
		ok = 0;
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct viommu_acpi_scope scopes[] = {
		{ .type = VIOMMU_SCOPE_ENDPOINT, .sid = 0x28 },
		{ .type = VIOMMU_SCOPE_BRIDGE, .sid = 0x11 },
		{ .type = VIOMMU_SCOPE_IOAPIC, .id = 3, .sid = 0xfff8 },
	};
	const struct viommu_acpi_structure s[] = {
		{ .kind = VIOMMU_ACPI_DRHD, .base = 0xfebe0000, .nr = 3, .scope = scopes },
		{ .kind = VIOMMU_ACPI_RMRR,
		  .base = 0x7f000000,
		  .last = 0x7f0fffff,
		  .nr = 1,
		  .scope = scopes },
		{ .kind = VIOMMU_ACPI_ATSR, .nr = 1, .scope = scopes + 1 },
	};
	const struct viommu_acpi_dmar dmar = {
		.size = sizeof(dmar), .haw = 48, .nr = sizeof(s) / sizeof(s[0]), .structure = s
	};
	static const uint16_t ports[] = { 0x10, 0x1a, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50 };
	unsigned char buf[2048];

	if (argc != 4)
		return 2;
	return save(argv[1], buf, viommu_acpi_dmar(&dmar, buf, sizeof(buf))) ||
	       save(argv[2], buf, viommu_acpi_ssdt(0x23, buf, sizeof(buf))) ||
	       save(argv[3], buf, viommu_acpi_ssdt_ports(0x23, ports, 8, 0xc4, buf, sizeof(buf)));
}
