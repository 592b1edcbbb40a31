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
 * Hot-plug: a root port is named before the tables are made, and functions come and go behind it
 * while the guest runs:
 *	viommu_board_add_port(board, VIOMMU_SID(0, 2, 0));
 *	... viommu_board_dmar(), viommu_board_ssdt(), start the guest ...
 *	viommu_board_plug(board, pci, VIOMMU_SID(0, 2, 0));	the VMM plugs it in
 *	viommu_board_remove(board, pci);			the VMM has ejected it
 *
 * Several VMs on one host: each board is given the same host (.host), which its maker frees after
 * them. Then a device of the host can be divided among the VMs (viommu/host.h, sub-devices):
 *	viommu_device_new(host, &physical, &dev);
 *	viommu_board_add_sub(board[i], viommu_dsa_pci(dsa[i]), VIOMMU_SID(0, 5, 0), dev);	for each
 * and functions of viommu_board_add() get requester ids of the host that are free there.
 *
 * Synchronisation
 *	function                            context
 *	viommu_board_new, _free, _add_port  owner; _new and _free: no other call of this board
 *	viommu_board_add, _add_sub, _plug,  the thread that accesses that function's registers; the
 *	_remove                             guest may run, and other functions may work
 *	the rest                            any thread
 * None of them from callbacks of struct viommu_guest_ops.
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
#define VIOMMU_BOARD_MAX_PORTS   8u

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
	/*
	 * The host that other boards are on, too; NULL: one of its own. Borrowed until the board is
	 * freed. Two guests have the same PASIDs, so the unit needs VIOMMU_GUEST_HOST_PASIDS or
	 * VIOMMU_GUEST_VCMD, and pasid_min and pasid_max are the host's (0 here).
	 */
	struct viommu_host *host;
};

/* config may be NULL. 0, -EINVAL, -ENOSPC (domains of the host), -ENOMEM. */
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
/*
 * The same as a sub-device of `parent`, a device of the board's host that outlives it. Its guest
 * knows sid, and nothing of the requester id that all of them have on the host. -EINVAL also: the
 * parent is another host's, or lacks what the function can do; -EEXIST also: the VM has a part of
 * this parent already; -ENODEV: the parent is unplugged.
 */
VIOMMU_API int viommu_board_add_sub(struct viommu_board *board, struct viommu_pci *pci,
				    uint16_t sid, struct viommu_device *parent);
/*
 * A root port (a PCI Express bridge on bus 0, the VMM's own) that functions may be plugged into.
 * DMAR names it, so from then on everything behind it belongs to this unit: a VMM must not put
 * functions there that the unit does not translate for. 0, -EINVAL (not on bus 0, the unit's own),
 * -EEXIST, -ENOSPC.
 */
VIOMMU_API int viommu_board_add_port(struct viommu_board *board, uint16_t port);
/*
 * The bus behind a port. 1: the guest said so; 0: what it will be if firmware numbers the ports by
 * their slots and there is no other bridge. -ENOENT.
 */
VIOMMU_API int viommu_board_port(struct viommu_board *board, uint16_t port, uint8_t *bus);
/*
 * A device model's function as device 00.0 of the bus behind a port, borrowed until removed. Its
 * requester id follows the number of the bus, which the guest's firmware chooses and the guest
 * tells by the SSDT. The function must be as after a reset. 0, -ENOENT (no such port), -EEXIST (the
 * port is taken), -EINVAL, -ENOSPC, -ENOMEM.
 */
VIOMMU_API int viommu_board_plug(struct viommu_board *board, struct viommu_pci *pci, uint16_t port);
/*
 * Also while the guest uses it: the function is reset, its binds end, page requests are answered,
 * PASIDs that nothing else names are given back. What the guest queues for it later completes
 * without effect. -ENOENT.
 */
VIOMMU_API int viommu_board_remove(struct viommu_board *board, struct viommu_pci *pci);
/*
 * The n-th function that is there (0 ...), NULL after the last. Behind a port sid is what it is
 * now.
 */
VIOMMU_API struct viommu_pci *viommu_board_device(struct viommu_board *board, unsigned n,
						  uint16_t *sid);

/*
 * The VM is gone: every region of its memory is removed, unit and functions are as after power-on.
 */
VIOMMU_API void viommu_board_vm_gone(struct viommu_board *board);

/* ---- ACPI ------------------------------------------------------------------------------------ */

/*
 * Whole tables, header included, as QEMU's -acpitable file= takes them. The DMAR names every
 * function that was added, and every port as a bridge, also as one that passes ATS; registers is
 * the address of the unit's BAR 0 in the guest. The SSDT turns memory decoding and bus mastering of
 * the unit's function on before the guest looks for devices, since no driver of the guest will, and
 * tells the unit's function the bus numbers behind the ports. Returns the bytes needed; buf is
 * written only if they fit into size.
 */
VIOMMU_API size_t viommu_board_dmar(struct viommu_board *board, uint64_t registers, void *buf,
				    size_t size);
VIOMMU_API size_t viommu_board_ssdt(struct viommu_board *board, void *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
