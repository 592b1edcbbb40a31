/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt remapping for a VMM that owns its interrupt controllers: the guest (its part is played
 * here) sets up a table with one entry, a device sends a message, the VMM asks what becomes of it.
 * docs/interrupt-remapping.md goes through it.
 *
 *	cc interrupts.c $(pkg-config --cflags --libs viommu)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <viommu/viommu.h>

#define MUST(call)                                   \
	do {                                         \
		if (call) {                          \
			fprintf(stderr, #call "\n"); \
			exit(1);                     \
		}                                    \
	} while (0)

#define PAGES 4u
#define TABLE UINT64_C(0x1000) /* where the guest keeps its table, in the VM's memory */
#define SID   0x0028u          /* 00:05.0 */

static uint64_t ram[PAGES * 512] __attribute__((aligned(4096)));

/* The VMM's local APICs, or its hypervisor. */
static void inject(const struct viommu_guest_interrupt *irq)
{
	printf("vector %02x to APIC %u, mode %u, %s\n", irq->vector, irq->dest, irq->delivery_mode,
	       irq->trigger_mode ? "level" : "edge");
}

/* A device, an I/O APIC or an HPET writes 4 bytes to fee00000 to feefffff. */
static int message(struct viommu_guest *unit, uint16_t sid, uint64_t addr, uint32_t data)
{
	struct viommu_guest_interrupt irq;
	int ret = viommu_guest_remap(unit, sid, addr, data, &irq);

	if (!ret)
		inject(&irq);
	return ret; /* VIOMMU_FAULTED: blocked; the guest was told why */
}

/* The unit's own messages are final. */
static void unit_message(void *ctx, uint64_t addr, uint32_t data)
{
	(void)ctx;
	printf("the unit: %08x to %08" PRIx64 "\n", data, addr);
}

/* What the guest's driver does: an entry, the table's address, and on. */
static void guest(struct viommu_guest *unit)
{
	uint64_t *irte = &ram[TABLE / 8 + 2 * 3]; /* entry 3 */

	VTD_SET(irte, VTD_IRTE_V, 0x41);
	VTD_SET(irte, VTD_IRTE_DST, 2);
	VTD_SET(irte, VTD_IRTE_SVT, VTD_SVT_SID);
	VTD_SET(irte, VTD_IRTE_SID, SID);
	VTD_SET(irte, VTD_IRTE_P, 1);
	viommu_guest_write(unit, VTD_REG_FEADDR, 4, 0xfee00000);
	viommu_guest_write(unit, VTD_REG_FEDATA, 4, 0x22);
	viommu_guest_write(unit, VTD_REG_FECTL, 4, 0);
	viommu_guest_write(unit, VTD_REG_IRTA, 8, TABLE | VTD_MASK(VTD_IRTA_EIME) | 7);
	viommu_guest_write(unit, VTD_REG_GCMD, 4, VTD_MASK(VTD_GCMD_SIRTP));
	viommu_guest_write(unit, VTD_REG_GCMD, 4, VTD_MASK(VTD_GCMD_IRE));
}

int main(void)
{
	struct viommu_guest_config config = {
		.size = sizeof(config),
		.flags = VIOMMU_GUEST_INTREMAP | VIOMMU_GUEST_X2APIC,
		.ops = { .message = unit_message },
	};
	const uint64_t addr =
		VTD_WINDOW_BASE | VTD_MASK(VTD_RMSI_ADDR_FORMAT) | VTD_VAL(VTD_RMSI_ADDR_HANDLE, 3);
	struct viommu_domain *vm;
	struct viommu_guest *unit;
	struct viommu_host *host;
	struct viommu_mem *mem;

	MUST(viommu_mem_new(&mem));
	MUST(viommu_mem_add_ptr(mem, 0, sizeof(ram), ram, 0));
	MUST(viommu_host_new(NULL, &host));
	MUST(viommu_domain_new(host, mem, NULL, &vm));
	MUST(viommu_guest_new(&config, vm, mem, &unit));
	guest(unit);

	MUST(message(unit, SID, addr, 0));
	/* Another function cannot use the entry. */
	MUST(message(unit, SID + 1, addr, 0) != VIOMMU_FAULTED);

	viommu_guest_free(unit);
	viommu_host_free(host);
	viommu_mem_free(mem);
	return 0;
}
