/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/board.h - one VM's IOMMU and devices, wired: memory, host, guest unit, PCI functions,
 * ACPI.
 *
 * The board owns a struct viommu_mem (filled by whoever has the guest's memory), a software host
 * with one domain over it, the unit that the guest programs, and the PCI function that carries the
 * unit's registers in its BAR 0. Devices are added with the requester id that the guest will see.
 * DMAR and SSDT are made here, so that a guest finds the unit.
 *
 * Smallest correct use (error checks left out):
 *	viommu_board_new(NULL, &board);
 *	viommu_dsa_new(NULL, &dsa);
 *	viommu_board_add(board, viommu_dsa_pci(dsa), VIOMMU_SID(0, 5, 0));
 *	viommu_mem_add_fd(viommu_board_mem(board), 0, ram, memfd, 0, 0);
 *	... serve viommu_board_unit(board) and viommu_dsa_pci(dsa) ...
 *
 * Synchronisation: viommu_board_new, _free, _add, _remove: owner, no other call. The rest: any
 * thread.
 */
#ifndef VIOMMU_BOARD_H
#define VIOMMU_BOARD_H

#include <viommu/guest.h>
#include <viommu/pci.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_board;

#define VIOMMU_SID(bus, dev, fn) ((uint16_t)((bus) << 8 | (dev) << 3 | (fn)))

/* Most functions beside the unit's own. */
#define VIOMMU_BOARD_MAX_DEVICES 32u

struct viommu_board_config {
	size_t size; /* sizeof(struct viommu_board_config) */
	/*
	 * The unit: profile, flags, ver, haw, cap, ecap, limits; of ops only trap and interrupts
	 * are used.
	 */
	struct viommu_guest_config guest;
	uint16_t unit_sid;     /* where its function stands; 0 = 00:04.0 */
	uint16_t domain_flags; /* VIOMMU_DOMAIN_DIRTY, for viommu_domain_dirty_start() */
	uint32_t pasid_quota;  /* host PASIDs the VM may hold; 0 = no limit */
	/* page requests open at a time for one device, 1..512; 0 = 512 */
	uint32_t max_page_requests;
	/* host PASIDs that the VM may get, inclusive; 0, 0 = 1..VIOMMU_PASID_MAX */
	uint32_t pasid_min;
	uint32_t pasid_max;
	uint32_t reserved2;
	/*
	 * The guest's firmware switched the unit's BAR 0 on: this is where the registers are, and
	 * what viommu_board_dmar() has to say. On the thread of that configuration write, or of
	 * viommu_board_load() if it was on when that state was saved. May be NULL.
	 */
	void *ctx;
	void (*placed)(void *ctx, uint64_t registers);
};

/* config may be NULL. 0, -EINVAL, -ENOMEM. */
VIOMMU_API int viommu_board_new(const struct viommu_board_config *config,
				struct viommu_board **out);
/* Its devices must have been removed or freed by their owners' detaching; NULL is allowed. */
VIOMMU_API void viommu_board_free(struct viommu_board *board);

/* Borrowed parts. */
VIOMMU_API struct viommu_mem *viommu_board_mem(struct viommu_board *board);
VIOMMU_API struct viommu_host *viommu_board_host(struct viommu_board *board);
VIOMMU_API struct viommu_domain *viommu_board_domain(struct viommu_board *board);
VIOMMU_API struct viommu_guest *viommu_board_guest(struct viommu_board *board);
VIOMMU_API struct viommu_pci *viommu_board_unit(struct viommu_board *board);

/*
 * A device model's function under the requester id sid, borrowed until removed. 0, -EINVAL (the
 * unit's own sid), -EEXIST, -ENOSPC, -ENOMEM.
 */
VIOMMU_API int viommu_board_add(struct viommu_board *board, struct viommu_pci *pci, uint16_t sid);
/* Ends its binds and requests. -ENOENT. */
VIOMMU_API int viommu_board_remove(struct viommu_board *board, struct viommu_pci *pci);
/* The n-th function that was added (0 ...), NULL after the last. */
VIOMMU_API struct viommu_pci *viommu_board_device(struct viommu_board *board, unsigned n,
						  uint16_t *sid);

/*
 * The VM is gone: every region of its memory is removed, unit and functions are as after power-on.
 */
VIOMMU_API void viommu_board_vm_gone(struct viommu_board *board);

/* ---- ACPI ------------------------------------------------------------------------------------ */

/*
 * Whole tables, header included, as QEMU's -acpitable file= takes them. The DMAR names every
 * function that was added; registers is the address of the unit's BAR 0 in the guest. The SSDT
 * turns memory decoding and bus mastering of the unit's function on before the guest looks for
 * devices, since no driver of the guest will. Returns the bytes needed; buf is written only if they
 * fit into size.
 */
VIOMMU_API size_t viommu_board_dmar(struct viommu_board *board, uint64_t registers, void *buf,
				    size_t size);
VIOMMU_API size_t viommu_board_ssdt(struct viommu_board *board, void *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
