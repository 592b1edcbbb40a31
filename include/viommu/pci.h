/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/pci.h - a PCI Express function: configuration space, capabilities, BARs, interrupts, and
 * the threads that work for it.
 *
 * A device model says what it is (struct viommu_pci_config) and gives a few callbacks; this
 * framework builds its 4,096 bytes of configuration space, keeps command, PCIe (with function-level
 * reset), MSI-X, MSI, ATS, PRI, PASID and Enhanced Allocation as the specification says, and hides
 * from the model who the VMM is: a vfio-user server (libviommu-server), a VMM that links this
 * library, a test.
 *
 *	VMM side:    viommu_pci_config_read(), _bar_write(), _reset(), _set_vmm(), worker threads: _run()
 *	                |                                                     ^
 *	                v                                                     | interrupts, messages, kick
 *	device side: ops.read, .write, .reset, .control, .run         viommu_pci_interrupt(), _kick()
 *	                                        |
 *	                                        v
 *	             viommu_dma_*(dma, viommu_pci_device(pci), pasid, address, ...)
 *
 * Work that does DMA belongs into ops.run, which is called on worker threads that somebody else
 * owns (the server), each with a struct viommu_dma of its own. A register access never waits for
 * DMA: it stores what is to be done, calls viommu_pci_kick(), and returns.
 *
 * Synchronisation
 *	function                                        context
 *	viommu_pci_new, _free                           owner, nobody else
 *	viommu_pci_attach                               the accessing thread, while no .run is running (after a reset)
 *	viommu_pci_set_vmm                              any thread; returns when no callback of the VMM before runs
 *	viommu_pci_config_*, _bar_*, _reset             one thread at a time (the event loop); may sleep
 *	viommu_pci_run                                  any number of threads
 *	viommu_pci_interrupt, _intx, _message, _kick    any thread, also from ops
 *	viommu_pci_enabled, _stopping, _dma_flags       any thread
 *	callback                                        runs on, and may not
 *	ops.read, .write, .control                      the accessing thread; must not wait for .run
 *	ops.abort                                       the accessing thread, while .run may be running
 *	ops.reset                                       the accessing thread, while no .run is running
 *	ops.run                                         worker threads, as many as .workers says, at once
 * Callbacks of struct viommu_pci_vmm must return soon, must not call this function's
 * viommu_pci_set_vmm(), and must not wait for the accessing thread: that one may be waiting for
 * the end of .run.
 */
#ifndef VIOMMU_PCI_H
#define VIOMMU_PCI_H

#include <viommu/dma.h>
#include <viommu/host.h>
#include <viommu/state.h>
#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_pci;

#define VIOMMU_PCI_CONFIG_BYTES 4096u
#define VIOMMU_PCI_BARS         6u
#define VIOMMU_PCI_MAX_MSIX     2048u
#define VIOMMU_PCI_MAX_WORKERS  16u

/* What of the function is switched on now: viommu_pci_enabled(), ops.control. */
#define VIOMMU_PCI_MEMORY     0x01u /* memory decode */
#define VIOMMU_PCI_BUS_MASTER 0x02u
#define VIOMMU_PCI_ATS        0x04u
#define VIOMMU_PCI_PRI        0x08u
#define VIOMMU_PCI_PASID      0x10u
#define VIOMMU_PCI_MSIX       0x20u
#define VIOMMU_PCI_MSI        0x40u
/* ops.control only: the guest wrote into the vendor-specific capability. */
#define VIOMMU_PCI_VENDOR 0x80u

struct viommu_pci_ops {
	void *ctx;
	/*
	 * An access to a BAR: 1, 2, 4 or 8 bytes inside of it, at a multiple of its size. NULL:
	 * reads as 0. Accesses to the MSI-X table and PBA are answered by the framework.
	 */
	uint64_t (*read)(void *ctx, unsigned bar, uint64_t offset, unsigned bytes);
	void (*write)(void *ctx, unsigned bar, uint64_t offset, unsigned bytes, uint64_t value);
	/*
	 * .run has to end soon: a reset begins, or bus mastering goes off (also by power state).
	 * Page requests that it waits for are answered right after, and no new ones are sent:
	 * missing pages are faults. From here until .run may begin again viommu_pci_stopping() is
	 * 1. May be NULL.
	 */
	void (*abort)(void *ctx);
	/*
	 * Function-level reset, or the VMM's: back to power-on state. No .run is running, nothing
	 * is enabled any more (.control is not called for that). May be NULL.
	 */
	void (*reset)(void *ctx);
	/*
	 * Bits of VIOMMU_PCI_* that changed by a configuration write; see viommu_pci_enabled(). May
	 * be NULL.
	 */
	void (*control)(void *ctx, uint32_t changed);
	/*
	 * Do one piece of work. 1: call again, there may be more; 0: nothing to do now. Not called
	 * while bus mastering is off. After a kick it is called at least once. dma is NULL if
	 * workers is 0.
	 */
	int (*run)(void *ctx, struct viommu_dma *dma);
	/*
	 * viommu/state.h: write what the model is now, and become that. Both with the function
	 * paused; .load after a reset, with configuration space and interrupts restored, so that
	 * viommu_pci_enabled() is right; .control is not called. .load checks everything as if a
	 * guest had written it. Both or neither may be NULL: then the function cannot be paused.
	 * .run of a model that has them looks at viommu_pci_pausing() as at _stopping(), and keeps
	 * what it has done; an access that would wait for a page while that is 1 ends with -EAGAIN
	 * and is repeated by a later .run.
	 */
	void (*save)(void *ctx, struct viommu_state_out *out);
	void (*load)(void *ctx, struct viommu_state_in *in);
};

/* struct viommu_pci_bar.flags */
#define VIOMMU_PCI_BAR_64       0x1u /* takes two BAR registers */
#define VIOMMU_PCI_BAR_PREFETCH 0x2u

struct viommu_pci_bar {
	uint64_t bytes; /* a power of two of 4096 and more; 0 = none */
	uint32_t flags;
	uint32_t reserved;
};

/* struct viommu_pci_config.flags: capabilities */
#define VIOMMU_PCI_HAS_ATS   0x01u
#define VIOMMU_PCI_HAS_PRI   0x02u /* needs ATS */
#define VIOMMU_PCI_HAS_PASID 0x04u /* width 20 bits, no execute, no privileged mode */
#define VIOMMU_PCI_HAS_FLR   0x08u
/*
 * Enhanced Allocation pins BAR 0, a 32-bit one, where the firmware put it: its entry takes every
 * address written to BAR 0 (0 and the all-ones of measuring the size are none).
 */
#define VIOMMU_PCI_PIN_BAR0 0x10u
/* Power management capability (D0 and D3hot only). */
#define VIOMMU_PCI_HAS_PM 0x20u
/*
 * A vendor-specific capability: VIOMMU_PCI_VENDOR_BYTES at VIOMMU_PCI_VENDOR_AT of configuration
 * space, 0 after power-on, that the guest may write as it likes. What they mean is the function's
 * own affair; ops.control tells of each write.
 */
#define VIOMMU_PCI_HAS_VENDOR   0x40u
#define VIOMMU_PCI_VENDOR_AT    0xc4u
#define VIOMMU_PCI_VENDOR_BYTES 8u

struct viommu_pci_config {
	size_t size; /* sizeof(struct viommu_pci_config) */
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint32_t class_code; /* 24 bits: base << 16 | sub << 8 | interface */
	uint8_t revision;
	uint8_t intx;        /* 1: interrupt pin INTA */
	uint8_t msi_vectors; /* 0 = no MSI capability; 1, 2, 4 ... 32 */
	uint8_t reserved;
	uint32_t flags; /* VIOMMU_PCI_HAS_*, VIOMMU_PCI_PIN_BAR0 */
	struct viommu_pci_bar bar[VIOMMU_PCI_BARS];
	uint16_t msix_vectors; /* 0 = no MSI-X capability */
	uint16_t msix_bar;
	uint32_t msix_table; /* offset in that BAR, a multiple of 4096; also msix_pba */
	uint32_t msix_pba;
	uint32_t pri_capacity; /* outstanding page requests, 1..512; 0 = 512 */
	/* threads that may be in .run at once; 0: .run is called on the event loop, without dma */
	uint32_t workers;
	struct viommu_pci_ops ops;
};

/* What the framework wants from the VMM. Each may be NULL. Any thread calls them. */
struct viommu_pci_vmm {
	void *ctx;
	/*
	 * MSI-X or MSI vector. If NULL, .message gets the address and data that the guest wrote
	 * into the MSI-X table or the MSI registers. MSI-X vectors are masked by the table here
	 * only when the VMM forwards writes to it; QEMU does not and masks itself.
	 */
	void (*interrupt)(void *ctx, unsigned vector);
	/* INTx was raised (1) or lowered (0). */
	void (*intx)(void *ctx, int level);
	/* `data`, 4 bytes, written to `addr` in the interrupt range (FEEx_xxxxh). */
	void (*message)(void *ctx, uint64_t addr, uint32_t data);
	/*
	 * viommu_pci_run() has something to do: wake one worker that waits (more than one does no
	 * harm). A wake that comes between a run's 0 and the wait must count.
	 */
	void (*kick)(void *ctx);
};

/* 0; -EINVAL: config does not make a function (one line of why, in *why if not NULL); -ENOMEM. */
VIOMMU_API int viommu_pci_new(const struct viommu_pci_config *config, struct viommu_pci **out,
			      const char **why);
/* NULL is allowed. */
VIOMMU_API void viommu_pci_free(struct viommu_pci *pci);

/* ---- For whoever wires it (viommu/board.h) --------------------------------------------------- */

/*
 * Its requester id in a host, borrowed (NULL: none any more), and how its guest's PASIDs become
 * host PASIDs (NULL: they are the same).
 */
VIOMMU_API void viommu_pci_attach(struct viommu_pci *pci, struct viommu_device *dev,
				  int (*hpasid)(void *ctx, struct viommu_gp gp,
						struct viommu_hp *out),
				  void *ctx);
VIOMMU_API void viommu_pci_set_vmm(struct viommu_pci *pci, const struct viommu_pci_vmm *vmm);
VIOMMU_API const struct viommu_pci_config *viommu_pci_config(const struct viommu_pci *pci);

/* ---- For the VMM ----------------------------------------------------------------------------- */

/*
 * Configuration space. Reads of any length inside 4,096 bytes; writes of 1, 2 or 4 bytes at a
 * multiple of their size. 0, -EINVAL. A write may reset the function, and then waits until no .run
 * is running.
 */
VIOMMU_API int viommu_pci_config_read(struct viommu_pci *pci, uint64_t offset, void *buf,
				      size_t bytes);
VIOMMU_API int viommu_pci_config_write(struct viommu_pci *pci, uint64_t offset, const void *buf,
				       size_t bytes);
/*
 * A BAR access of 1, 2, 4, 8 bytes. 0; -EINVAL: no such BAR, beyond its end, not aligned. Whether
 * memory is decoded is for the VMM to say, which routes accesses: it is not asked here.
 */
VIOMMU_API int viommu_pci_bar_read(struct viommu_pci *pci, unsigned bar, uint64_t offset,
				   unsigned bytes, uint64_t *value);
VIOMMU_API int viommu_pci_bar_write(struct viommu_pci *pci, unsigned bar, uint64_t offset,
				    unsigned bytes, uint64_t value);
/* The whole function as after power-on, configuration space too. Waits until no .run is running. */
VIOMMU_API void viommu_pci_reset(struct viommu_pci *pci);
/*
 * No run begins any more, and those inside end soon at a point from which they can go on; returns
 * when none is. What waits stays: kicks, open page requests. 0; -ENOTSUP: the model has no
 * ops.save. Resume lets runs begin again. See viommu/state.h, which does this for all functions of
 * a board. Owner, while nobody accesses the function.
 */
VIOMMU_API int viommu_pci_pause(struct viommu_pci *pci);
VIOMMU_API void viommu_pci_resume(struct viommu_pci *pci);
/*
 * A worker thread's step: 1: it did something, call again; 0: nothing to do, wait for the next
 * kick.
 */
VIOMMU_API int viommu_pci_run(struct viommu_pci *pci, struct viommu_dma *dma);

/* ---- Engines that several functions share ---------------------------------------------------- */

/*
 * A device that is divided into functions, one for each VM, works for all of them with the same
 * engines. Threads, one an engine, call viommu_pci_engines_run() instead of viommu_pci_run():
 * functions have their turn one after the other, a step each, and as many engines as other
 * functions have none are kept free for those. So with E engines for V functions no function has
 * more than E - V + 1, and each always has one, whatever the others do.
 *
 * Synchronisation: any thread; _new and _free the owner's.
 */
struct viommu_pci_engines;

#define VIOMMU_PCI_MAX_SHARED 16u /* functions */

/*
 * functions: 1..16, so many it is for, added or not; engines: at least as many, at most 16. 0,
 * -EINVAL, -ENOMEM.
 */
VIOMMU_API int viommu_pci_engines_new(unsigned engines, unsigned functions,
				      struct viommu_pci_engines **out);
/* NULL is allowed. No function may be left (assertion). */
VIOMMU_API void viommu_pci_engines_free(struct viommu_pci_engines *engines);
VIOMMU_API unsigned viommu_pci_engines_count(const struct viommu_pci_engines *engines);
/* How many one function has at most. */
VIOMMU_API unsigned viommu_pci_engines_most(const struct viommu_pci_engines *engines);
/* Borrowed until removed. 0, -EEXIST, -ENOSPC. */
VIOMMU_API int viommu_pci_engines_add(struct viommu_pci_engines *engines, struct viommu_pci *pci);
/* Waits until no engine runs for it, so reset it first. 0, -ENOENT. */
VIOMMU_API int viommu_pci_engines_remove(struct viommu_pci_engines *engines,
					 struct viommu_pci *pci);
/* A thread's step, as viommu_pci_run(): any function's kick may have been for it. */
VIOMMU_API int viommu_pci_engines_run(struct viommu_pci_engines *engines, struct viommu_dma *dma);

/* ---- For the device model -------------------------------------------------------------------- */

/* VIOMMU_PCI_* that are on. In D3hot memory, bus mastering and interrupts are not. */
VIOMMU_API uint32_t viommu_pci_enabled(const struct viommu_pci *pci);
/* Its requester for viommu/dma.h; NULL before viommu_pci_attach(). */
VIOMMU_API struct viommu_device *viommu_pci_device(const struct viommu_pci *pci);
/*
 * The PASID for viommu/dma.h when the guest said gp: in a register, a descriptor. 0 or -errno: then
 * the guest's PASID has no place here, and the request is to fault as if its entry were not
 * present. -EINVAL: beyond 20 bits; -EPERM: the function's PASID control is off.
 */
VIOMMU_API int viommu_pci_pasid(struct viommu_pci *pci, uint32_t gp, uint32_t *hp);
/*
 * For the flags of accesses: VIOMMU_DMA_ATS if ATS is on, VIOMMU_DMA_NO_PRI if page requests are
 * off.
 */
VIOMMU_API uint32_t viommu_pci_dma_flags(const struct viommu_pci *pci);
/* 1 while .run has to end soon or may not begin: for loops in .run to look at. */
VIOMMU_API int viommu_pci_stopping(const struct viommu_pci *pci);
/* 1 between viommu_pci_pause() and _resume(): .run has to return, and to keep what it has done. */
VIOMMU_API int viommu_pci_pausing(const struct viommu_pci *pci);
/*
 * Sends MSI-X (else MSI) vector n if it is enabled and bus mastering is on; drops it otherwise.
 * With fewer MSI vectors in use than the function has, n is taken modulo their number.
 */
VIOMMU_API void viommu_pci_interrupt(struct viommu_pci *pci, unsigned vector);
VIOMMU_API void viommu_pci_intx(struct viommu_pci *pci, int level);
VIOMMU_API void viommu_pci_message(struct viommu_pci *pci, uint64_t addr, uint32_t data);
/* There is work for .run. Cheap when somebody is working already. */
VIOMMU_API void viommu_pci_kick(struct viommu_pci *pci);

#ifdef __cplusplus
}
#endif
#endif
