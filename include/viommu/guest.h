/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/guest.h - the unit that a guest programs: registers, queues, and the PASID-cache flush
 * that binds.
 *
 * A struct viommu_guest is one VT-d remapping unit (revision 5.10) as a guest sees it. The VMM
 * hands it the guest's register accesses; it reads root, context and PASID tables in guest memory,
 * and keeps the host (viommu/host.h) equal to what they say: a PASID-cache invalidation is the
 * trap, the unit compares the guest's entry with its shadow, turns the guest PASID into a host
 * PASID and binds, rebinds or unbinds. With caching mode off the guest announces nothing when an
 * entry becomes present; the host's miss callback is led to viommu_guest_miss(), which binds on
 * demand. DMA that hits never comes here.
 *
 *	guest memory: root -> context -> PASID directory -> PASID entry      registers, queues
 *	                                     |  read once, checked                |
 *	                                     v                                    v
 *	       shadow (sid, guest PASID) -> (host PASID, entry, DID) <-- invalidation descriptors
 *	                                     |
 *	                                     v
 *	       viommu_host_bind / rebind / unbind / invalidate, viommu_host_page_response
 *
 * Smallest correct use (error checks left out):
 *	struct viommu_guest_config gc = { .size = sizeof(gc), .ops = { .message = send_msi } };
 *	struct viommu_host_config hc = { .size = sizeof(hc), .ops = {
 *		.miss = ..., .fault = ..., .page_request = ... } };	(call viommu_guest_miss() ...)
 *
 *	viommu_host_new(&hc, &host);
 *	viommu_domain_new(host, mem, NULL, &dom);
 *	viommu_guest_new(&gc, dom, mem, &guest);
 *	viommu_device_new(host, &dc, &dev);
 *	viommu_guest_add_device(guest, dev, sid);
 *	... viommu_guest_write(guest, offset, 8, value) for each access to the register page ...
 *
 * Synchronisation
 *	function                                        context
 *	viommu_guest_new, _free                         owner, nobody else; no DMA with its devices
 *	viommu_guest_read, _write, _run, _reset         any thread, serialised inside; may sleep (drains)
 *	viommu_guest_add_device, _remove_device         any thread, serialised inside; may sleep
 *	viommu_guest_miss, _fault, _page_request        from the host's callbacks, on DMA threads
 *	viommu_guest_remap                              any thread but between viommu_dma_begin() and
 *	                                                _end(); a fault may sleep
 *	viommu_guest_* for inspection                   any thread
 * Callbacks of struct viommu_guest_ops are called with no lock held, but `trap` and `interrupts`,
 * which are called under the unit's lock and must not call the unit. A device's own invalidate
 * callback (struct viommu_device_config) may run under it as well: it must neither do DMA nor wait
 * for a thread that is inside of a DMA call. When viommu_guest_write() of the invalidation queue's
 * tail returns, either every descriptor up to it has been carried out, or `kick` was called and the
 * rest waits for viommu_guest_run(): work is bounded per call.
 *
 * Choices where the specification leaves one: nothing absent is cached, with caching mode on
 * neither; a PASID-selective invalidation looks at the PASID on every device and under any domain
 * id; faults of one source are not merged; a reserved page group response code ends the group like
 * Invalid Request; PWSNP 0 does not keep accessed bits from being set (walks of this host always
 * snoop); with translation off requests with PASID end, and nothing is recorded.
 *
 * Nothing here knows time or threads: page requests that nobody answers are the host's
 * viommu_host_expire_page_requests().
 */
#ifndef VIOMMU_GUEST_H
#define VIOMMU_GUEST_H

#include <viommu/host.h>
#include <viommu/mem.h>
#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_guest;

/* Sets of capabilities that are known to boot; see viommu_guest_profile(). */
enum viommu_profile {
	/* first stage only: guest shared virtual addressing, kernels 6.x and 7.x */
	VIOMMU_PROFILE_SVA = 0,
	/* both stages and nesting: the guest is itself a host */
	VIOMMU_PROFILE_HOST = 1,
	/* second stage (legacy and scalable mode) for kernels that want one, caching mode on */
	VIOMMU_PROFILE_LEGACY = 2,
};

/* What was trapped. */
enum viommu_trap_kind {
	VIOMMU_TRAP_BIND = 1,    /* an entry became present: bound */
	VIOMMU_TRAP_REBIND = 2,  /* it changed: bound anew */
	VIOMMU_TRAP_UNBIND = 3,  /* it went away: unbound */
	VIOMMU_TRAP_REFUSED = 4, /* the host would not bind it: error says why */
};

/* What made the unit look. */
enum viommu_trap_cause {
	VIOMMU_TRAP_PASID_CACHE = 1,   /* PASID-cache invalidation */
	VIOMMU_TRAP_CONTEXT_CACHE = 2, /* context-cache invalidation, by descriptor or register */
	VIOMMU_TRAP_MISS = 3,          /* DMA found no bind */
	VIOMMU_TRAP_GLOBAL = 4,        /* TE, SRTP, reset */
};

struct viommu_guest_trap {
	uint32_t kind;  /* enum viommu_trap_kind */
	uint32_t cause; /* enum viommu_trap_cause */
	uint16_t sid;   /* the guest's requester id of the device */
	uint16_t did;   /* domain id in the guest's entry */
	/* VIOMMU_NO_PASID in gp.v: the device's requests without PASID; hp.v is then 0 */
	struct viommu_gp gp;
	struct viommu_hp hp;
	int32_t error;      /* REFUSED: negative errno */
	uint64_t before[8]; /* the guest's PASID entry (legacy mode: context entry in [0], [1]) */
	uint64_t after[8];
};

struct viommu_guest_ops {
	void *ctx;
	/*
	 * An interrupt message of the unit itself: `data`, 4 bytes, to `addr`. It is final: not for
	 * viommu_guest_remap(). NULL: dropped.
	 */
	void (*message)(void *ctx, uint64_t addr, uint32_t data);
	/* There is work left: call viommu_guest_run() soon, not from here. NULL: see _run(). */
	void (*kick)(void *ctx);
	/* For whoever wants to watch binds come and go. May be NULL. */
	void (*trap)(void *ctx, const struct viommu_guest_trap *trap);
	/*
	 * What viommu_guest_remap() says of the interrupt indexes [first, first + nr) may be
	 * another now; all VIOMMU_GUEST_INTERRUPTS of them, also of messages that pass. For who
	 * keeps the outcomes (routes of a hypervisor): the guest's flush is complete when this
	 * returns. May be NULL.
	 */
	void (*interrupts)(void *ctx, uint32_t first, uint32_t nr);
};

#define VIOMMU_GUEST_CM 0x1u /* announce caching mode (CAP.CM) whatever the profile says */
/*
 * A guest PASID is served by a host PASID that the allocator chooses; otherwise by the same number
 * (identity), which another VM on the same host may have taken: then it does not bind.
 */
#define VIOMMU_GUEST_HOST_PASIDS 0x2u
/*
 * Virtual commands (ECAP.VCS): the guest asks for each PASID, the host chooses it, and it is the
 * same number on both sides. A PASID that the guest did not get this way does not bind, and device
 * models get no host PASID for it. What the guest gives back while it is bound, or does not own, is
 * an error and changes nothing. A PASID stays the guest's until it frees it, a reset, or when the
 * guest asks for another, the quota or the host has none left and this one was bound and is no
 * longer: some kernels never send the free command. Not with VIOMMU_GUEST_HOST_PASIDS, nor with a
 * profile without PASIDs. Linux 5.15 to 6.3 uses them, with VIOMMU_GUEST_CM only; later kernels
 * choose PASIDs on their own and get none bound.
 */
#define VIOMMU_GUEST_VCMD 0x4u
/* With VIOMMU_GUEST_VCMD: their registers as up to revision 3.2, for Linux 5.8 to 5.14. */
#define VIOMMU_GUEST_VCMD_OLD 0x8u
/*
 * Announce interrupt remapping (ECAP.IR; a profile gets MHMV 15, too): the VMM owns the interrupt
 * controllers, and asks viommu_guest_remap() for each message of a device and of each I/O APIC.
 * Without this flag ECAP may have nothing of it.
 */
#define VIOMMU_GUEST_INTREMAP 0x10u
/* With it, x2APIC mode, too (ECAP.EIM): destinations of 32 bits. */
#define VIOMMU_GUEST_X2APIC 0x20u

struct viommu_guest_config {
	size_t size;      /* sizeof(struct viommu_guest_config) */
	uint32_t profile; /* enum viommu_profile */
	uint32_t flags;   /* VIOMMU_GUEST_* */
	uint32_t ver;     /* VER register; 0 = the profile's */
	/* host address width that its tables may use, 39..52; 0 = the profile's */
	uint8_t haw;
	uint8_t reserved[3];
	uint64_t cap; /* CAP and ECAP; both 0 = the profile's */
	uint64_t ecap;
	/*
	 * PASID entries bound at a time over all devices, 0 = 65536; what is over it does not bind
	 */
	uint32_t max_binds;
	/* descriptors carried out per call, 0 = 512; see viommu_guest_run() */
	uint32_t burst;
	struct viommu_guest_ops ops;
};

/*
 * VER, CAP, ECAP and haw of a profile with these VIOMMU_GUEST_* flags. 0, -EINVAL (no such
 * profile). Any pointer may be NULL.
 */
VIOMMU_API int viommu_guest_profile(uint32_t profile, uint32_t flags, uint32_t *ver, uint64_t *cap,
				    uint64_t *ecap, uint8_t *haw);

/*
 * The unit over a VM's domain and memory, both borrowed. config may be NULL. 0; -EINVAL: a value
 * out of range, or a capability that needs one which is not announced, or that this unit does not
 * implement; -ENOMEM.
 */
VIOMMU_API int viommu_guest_new(const struct viommu_guest_config *config, struct viommu_domain *dom,
				struct viommu_mem *mem, struct viommu_guest **out);
/* Ends its binds; devices stay with their owner. NULL is allowed. */
VIOMMU_API void viommu_guest_free(struct viommu_guest *guest);

/*
 * A device of the host that this guest sees as requester id sid. It gets what the unit's state says
 * at once (translation off: guest physical addresses). 0, -EINVAL, -EEXIST (sid or dev), -ENOMEM.
 */
VIOMMU_API int viommu_guest_add_device(struct viommu_guest *guest, struct viommu_device *dev,
				       uint16_t sid);
/* Its binds end, open page requests of it too. -ENOENT. */
VIOMMU_API int viommu_guest_remove_device(struct viommu_guest *guest, struct viommu_device *dev);

/* ---- Registers ------------------------------------------------------------------------------- */

/* The register block: a power of two of 4-KiB pages. */
#define VIOMMU_GUEST_REGISTERS 4096u

/*
 * An access to the register block, of 4 or 8 bytes at a multiple of its size. Others read as 0 and
 * write nothing, as does what no register covers: a guest may try anything.
 */
VIOMMU_API uint64_t viommu_guest_read(struct viommu_guest *guest, uint64_t offset, unsigned bytes);
VIOMMU_API void viommu_guest_write(struct viommu_guest *guest, uint64_t offset, unsigned bytes,
				   uint64_t value);
/*
 * Go on with the invalidation queue where a call stopped. 1: there is still work left; 0: none.
 * Without a kick callback, call it after each write until it returns 0.
 */
VIOMMU_API int viommu_guest_run(struct viommu_guest *guest);
/*
 * Power-on state: registers, queues, every bind ended, open page requests answered INVALID. warm:
 * the same, but sticky bits (FSTS, PRS, ICS, IQERCD, fault records) stay, as specified for a reset
 * that keeps power. A VM that reboots wants the first.
 */
VIOMMU_API void viommu_guest_reset(struct viommu_guest *guest);
VIOMMU_API void viommu_guest_warm_reset(struct viommu_guest *guest);

/* ---- From the host's callbacks --------------------------------------------------------------- */

/* struct viommu_host_ops.miss, .fault, .page_request of a device that was added. */
VIOMMU_API int viommu_guest_miss(struct viommu_guest *guest, struct viommu_device *dev,
				 uint32_t pasid, struct viommu_fault *fault);
VIOMMU_API void viommu_guest_fault(struct viommu_guest *guest, struct viommu_device *dev,
				   const struct viommu_fault *fault);
VIOMMU_API void viommu_guest_page_request(struct viommu_guest *guest, struct viommu_device *dev,
					  const struct viommu_page_request *req);

/* ---- Interrupts ------------------------------------------------------------------------------ */

/* The most interrupt indexes that a table has. */
#define VIOMMU_GUEST_INTERRUPTS 65536u

/* What is to be delivered. */
struct viommu_guest_interrupt {
	/* The same as a message in compatibility format; destination 31:8 in addr 63:40. */
	uint64_t addr;
	uint32_t data;
	uint32_t dest; /* APIC id, or a set of them by dest_mode */
	uint8_t vector;
	uint8_t delivery_mode;    /* VTD_DLM_* */
	uint8_t trigger_mode;     /* 1: level */
	uint8_t dest_mode;        /* 1: logical */
	uint8_t redirection_hint; /* 1: one processor of the set */
	uint8_t remapped;         /* 0: it passes as it was sent */
	uint16_t index;           /* of the entry, if remapped */
};

/*
 * An interrupt message, a write of the 4 bytes `data` to `addr`, without PASID, by requester id
 * sid. 0: deliver *out; VIOMMU_FAULTED: it is blocked, and the fault recorded unless the guest's
 * entry says not to; -EINVAL: addr is not in the interrupt window, so it is no interrupt message,
 * but a write for the DMA path. Any sid, added or not: I/O APICs and HPETs have one as well. With
 * interrupt remapping off, or not announced, a message passes.
 *
 * What was returned before an invalidation is the caller's to deliver: one that hands it to another
 * thread drains that in `interrupts`.
 */
VIOMMU_API int viommu_guest_remap(struct viommu_guest *guest, uint16_t sid, uint64_t addr,
				  uint32_t data, struct viommu_guest_interrupt *out);

/* ---- PASIDs ---------------------------------------------------------------------------------- */

/*
 * The host PASID that DMA of this guest has to carry when the guest says gp: the same number, or
 * with VIOMMU_GUEST_HOST_PASIDS the one that is mapped; one that has none yet gets one (bounded by
 * the domain's quota), which it keeps until a reset, or while it is not bound until another is
 * named and no more are left. So ask again for each access: later the number may be another guest
 * PASID's. A mapping that the owner made himself (viommu_pasid_map()) is taken, and never taken
 * back. 0; -EINVAL (beyond 20 bits; 0 without HOST_PASIDS, since the host's PASID 0 stands for
 * requests without); -EPERM (VIOMMU_GUEST_VCMD: not one that the guest was given); -ENOSPC,
 * -EDQUOT, -ENOMEM.
 */
VIOMMU_API int viommu_guest_pasid_to_host(struct viommu_guest *guest, struct viommu_gp gp,
					  struct viommu_hp *out);
/* 0 or -ENOENT. */
VIOMMU_API int viommu_guest_pasid_to_guest(struct viommu_guest *guest, struct viommu_hp hp,
					   struct viommu_gp *out);

/* ---- Inspection ------------------------------------------------------------------------------ */

/* One shadow: what the unit holds bound, and the guest's entry that it was made from. */
struct viommu_guest_shadow {
	uint16_t sid;
	uint16_t did;
	uint8_t pgtt; /* VTD_PGTT_*; 0: translation is off */
	uint8_t fpd;
	uint8_t reserved[2];
	struct viommu_gp gp; /* VIOMMU_NO_PASID: requests without PASID */
	struct viommu_hp hp;
	uint64_t pe[8];
};
/*
 * Copies up to max shadows in the order of (sid, gp) from (sid, gp) on; VIOMMU_NO_PASID sorts
 * first. Returns how many.
 */
VIOMMU_API unsigned viommu_guest_shadows(struct viommu_guest *guest, uint16_t sid,
					 struct viommu_gp gp, struct viommu_guest_shadow *out,
					 unsigned max);

/* The unit as the table path sees it: capabilities, latched root table, guest memory. */
VIOMMU_API void viommu_guest_unit(struct viommu_guest *guest, struct viommu_unit *out);

/* Counts since construction; reset does not clear them. */
struct viommu_guest_stats {
	size_t size;              /* in: sizeof(struct viommu_guest_stats) */
	uint64_t descriptors[16]; /* carried out, by type */
	uint64_t queue_errors;    /* IQE raised */
	uint64_t binds;
	uint64_t rebinds;
	uint64_t unbinds;
	uint64_t refused;
	uint64_t misses;        /* calls of viommu_guest_miss() */
	uint64_t bound;         /* shadows now */
	uint64_t faults;        /* recorded */
	uint64_t faults_lost;   /* dropped: no free record */
	uint64_t page_requests; /* put into the queue */
	uint64_t page_requests_lost;
	uint64_t page_responses;
	uint64_t messages; /* interrupt messages sent */
	uint64_t interrupts_remapped;
	uint64_t interrupts_passed;  /* remapping off, or in compatibility format */
	uint64_t interrupts_blocked; /* recorded or not */
	uint64_t interrupt_hits;     /* entries found in the cache */
	/*
	 * VIOMMU_GUEST_VCMD: commands, PASIDs that the guest has now. Those taken back unasked,
	 * also with VIOMMU_GUEST_HOST_PASIDS, where one that is not bound makes room for another.
	 */
	uint64_t virtual_commands;
	uint64_t pasids_given;
	uint64_t pasids_reclaimed;
};
VIOMMU_API void viommu_guest_stats(struct viommu_guest *guest, struct viommu_guest_stats *out);
/*
 * The last faults that were recorded or lost, newest first (at most 16 are kept). Returns how many.
 */
VIOMMU_API unsigned viommu_guest_last_faults(struct viommu_guest *guest, struct viommu_fault *out,
					     unsigned max);

#ifdef __cplusplus
}
#endif
#endif
