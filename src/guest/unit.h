/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest/unit.h - the guest's unit from inside.
 *
 *	registers.c	the register block: one table, one function that applies masks, hooks
 *	event.c		interrupt messages: masked, pending, sent
 *	fault.c		fault records, the guest's view of what the host reports
 *	queue.c		invalidation queue: fetch, check, carry out
 *	prq.c		page request queue, page group responses
 *	shadow.c	what is bound: by (device, guest PASID) and by domain id
 *	bind.c		the guest's tables read, compared with the shadows; binds on the host
 *	invalidate.c	invalidations handed to the host
 *	intremap.c	interrupt messages, their table and its cache
 *	vcmd.c		virtual commands: PASIDs that the guest asks for
 *	state.c		all of it saved and restored
 *	profile.c	capabilities: sets that boot, and what a config may say
 *	unit.c		life, locking, devices, inspection
 *
 * Shadows. A shadow is what the unit holds bound on the host, with the entry it was made from:
 *
 *	unit -> device (by host object, by requester id) -> requests without PASID: 1 shadow
 *	                                                 -> sparse array by guest PASID: shadows
 *	unit.by_did[hash] -> list of shadows with that domain id
 *
 * There is one exactly if the host was told to bind; it goes when the host was told to unbind. It
 * may be behind the guest's tables until the guest invalidates: that is what a cache is.
 *
 * Synchronisation
 *	field					guard
 *	cap, ecap, ver, haw, limits, ops	constant after viommu_guest_new()
 *	ir					ir.lock
 *	everything else				unit->lock
 *	struct unit_out				its thread: filled under the lock, delivered after it
 *
 * The lock is taken by register accesses, by run and reset, and by the host's callbacks on DMA
 * threads. Host functions are called with it held, also those that wait until DMA has drained.
 * That cannot deadlock: the callbacks run outside of any in-flight section, so a DMA thread that
 * waits for the lock is not one that a drain waits for; an access that waits for the answer to a
 * page request is outside too, and whoever unbinds answers it. Order: unit->lock, then whatever the
 * host takes, or ir.lock, which an interrupt message takes alone. The host calls nothing of ours
 * with a lock held.
 * No callback of struct viommu_guest_ops but trap and interrupts is called with the lock held.
 */
#ifndef VIOMMU_GUEST_UNIT_H
#define VIOMMU_GUEST_UNIT_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <viommu/guest.h>
#include <viommu/vtd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bits.h"
#include "base/hash.h"
#include "base/list.h"
#include "pasid/sparse.h"

#define GUEST_HASH      256u
#define GUEST_FAULTS    16u
#define GUEST_MAX_BINDS 65536u
#define GUEST_BURST     512u
/*
 * Shadows of one domain id up to this many are invalidated one by one, more by one call for the
 * whole VM.
 */
#define GUEST_FEW 32u

#define HAS_CAP(g, NAME)  VTD_FIELD((g)->unit.cap, VTD_CAP_##NAME)
#define HAS_ECAP(g, NAME) VTD_FIELD((g)->unit.ecap, VTD_ECAP_##NAME)

/* The three event register sets. */
enum unit_event {
	EVENT_FAULT,
	EVENT_INVALIDATION,
	EVENT_PAGE,
	EVENTS,
};

/* What is to be called once the lock is dropped. One message a kind and call is the most. */
struct unit_out {
	struct {
		uint64_t addr;
		uint32_t data;
	} message[2 * EVENTS];
	unsigned int messages;
	bool kick;
};

/* Of 4096 PASIDs. */
#define HELD_BITS 4096u
struct unit_held {
	uint64_t given[HELD_BITS / 64]; /* allocated by us, for this guest PASID */
	uint64_t idle[HELD_BITS / 64];  /* vcmd.c: a bind of it ended; it may be bound again */
	uint64_t again[HELD_BITS / 64]; /* vcmd.c: given after it was taken back */
};

struct unit_device;

struct shadow {
	struct list did_link; /* in viommu_guest.by_did */
	struct unit_device *dev;
	uint64_t pe[8];
	struct viommu_stage stage[2]; /* as bound */
	uint32_t gp;                  /* VIOMMU_NO_PASID: requests without */
	uint32_t hp;                  /* 0: requests without */
	uint32_t rid_pasid;           /* requests without: the PASID that was looked up */
	uint16_t did;
	uint8_t nr; /* stages */
	uint8_t pgtt;
	uint8_t fpd;
};

/* 64 guest PASIDs of one device. */
struct shadow_chunk {
	uint64_t used;
	struct shadow *shadow[SPARSE_CHUNK];
};

struct unit_device {
	struct list link;   /* in viommu_guest.devices, by requester id */
	struct list by_dev; /* in a bucket of viommu_guest.dev_hash */
	struct list by_sid; /* in a bucket of viommu_guest.sid_hash */
	struct viommu_device *dev;
	struct shadow *rid; /* requests without PASID; NULL: nothing attached */
	struct viommu__sparse shadows;
	size_t bytes;
	uint32_t nr; /* shadows with a PASID */
	uint16_t sid;
	uint8_t gate; /* VIOMMU_DEVICE_*: what the host admits */
};

/* The invalidation queue as latched at QIE. */
struct unit_queue {
	uint64_t base;
	uint32_t bytes; /* of the ring, a power of two */
	uint32_t head;  /* byte offset */
	uint32_t width; /* 16 or 32 */
};

/* A descriptor that looks at many shadows goes on from here in the next call. */
struct unit_scan {
	bool active;
	bool rid_done; /* of device sid: requests without PASID were looked at */
	uint32_t sid;
	uint32_t gp;
	uint64_t desc[4];
};

/* Interrupt remapping as latched, and its cache. */
struct viommu__ir_line;
struct unit_ir {
	pthread_mutex_t lock;
	bool on;     /* GSTS.IRES */
	bool compat; /* GSTS.CFIS */
	bool x2apic; /* IRTA.EIME at SIRTP */
	uint64_t base;
	uint32_t entries;             /* 0: no table was set yet */
	uint64_t generation;          /* of lines that count */
	struct viommu__ir_line *line; /* NULL without ECAP.IR */
	uint64_t remapped, passed, blocked, hits;
};

/* Which shadows an invalidation is about. */
struct shadow_filter {
	uint32_t cause; /* enum viommu_trap_cause */
	bool by_did;
	uint16_t did;
	uint16_t sid;
	uint16_t sid_ignore; /* requester id bits that do not matter; 0xffff: every device */
};

struct viommu_guest {
	pthread_mutex_t lock;
	struct viommu_unit unit; /* rtaddr: latched at SRTP */
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_mem *mem;
	struct viommu_guest_ops ops;
	uint32_t flags;
	uint32_t max_binds;
	uint32_t burst;

	/* registers.c: values by dword, and which register a dword belongs to (0: none) */
	uint32_t reg[VIOMMU_GUEST_REGISTERS / 4];
	uint8_t owner[VIOMMU_GUEST_REGISTERS / 4];
	uint16_t frcd; /* byte offset of the first fault record */
	uint16_t iva;  /* byte offset of IVA; IOTLB is 8 above */

	struct unit_queue queue;
	struct unit_scan scan;
	bool undrained; /* the host was told to invalidate and has not drained */

	struct unit_ir ir;

	uint32_t fault_index;
	struct viommu_fault last[GUEST_FAULTS];
	uint64_t last_nr; /* ever */

	struct list devices;
	struct list dev_hash[GUEST_HASH];
	struct list sid_hash[GUEST_HASH];
	struct list by_did[GUEST_HASH];
	uint32_t binds;

	/* Host PASIDs that we allocated, by guest PASID; NULL: none of these. */
	struct unit_held *held[(VIOMMU_PASID_MAX + 1) / HELD_BITS];
	uint32_t reclaim; /* the next PASID that is looked at when none is left */
	/* HOST_PASIDS: once one was taken back, where the next host PASID is looked for; else 0 */
	uint32_t next_hp;

	struct viommu_guest_stats stats;
};

/* ---- Registers by name ---- */

/* Offsets of fixed registers as constants of vtd.h: REG32(g, FSTS). */
#define REG32(g, NAME) ((g)->reg[VTD_REG_##NAME / 4])

static inline uint64_t reg64_at(const struct viommu_guest *g, unsigned int offset)
{
	return g->reg[offset / 4] | (uint64_t)g->reg[offset / 4 + 1] << 32;
}

static inline void reg64_at_set(struct viommu_guest *g, unsigned int offset, uint64_t v)
{
	g->reg[offset / 4] = (uint32_t)v;
	g->reg[offset / 4 + 1] = (uint32_t)(v >> 32);
}

#define REG64(g, NAME)        reg64_at(g, VTD_REG_##NAME)
#define REG64_SET(g, NAME, v) reg64_at_set(g, VTD_REG_##NAME, v)

static inline bool unit_translates(const struct viommu_guest *g)
{
	return REG32(g, GSTS) & (uint32_t)VTD_MASK(VTD_GSTS_TES);
}

static inline unsigned int unit_ttm(const struct viommu_guest *g)
{
	return (unsigned int)VTD_FIELD(g->unit.rtaddr, VTD_RTADDR_TTM);
}

/* ---- unit.c ---- */

/* Lock, and unlock with delivery of what is due. */
void viommu__guest_enter(struct viommu_guest *g, struct unit_out *out);
void viommu__guest_leave(struct viommu_guest *g, struct unit_out *out);
struct unit_device *viommu__guest_by_dev(struct viommu_guest *g, const struct viommu_device *dev);
struct unit_device *viommu__guest_by_sid(struct viommu_guest *g, uint16_t sid);

/* Everything below: lock held. */

/* ---- registers.c ---- */

void viommu__registers_init(struct viommu_guest *g);
/* Power-on values; warm: sticky bits stay. */
void viommu__registers_reset(struct viommu_guest *g, bool warm);
/* What nobody writes is set: version and capabilities. */
void viommu__registers_constants(struct viommu_guest *g);
/* True if the registers that the capabilities place by IRO, FRO and NFR fit into the block. */
bool viommu__registers_fit(const struct viommu_guest *g);
struct viommu_state_in;
/* Values for all of them from outside: can they be? */
void viommu__registers_check(const struct viommu_guest *g,
			     const uint32_t value[VIOMMU_GUEST_REGISTERS / 4],
			     struct viommu_state_in *in);

/* ---- event.c ---- */

/* The condition arises: IP, and the message if it is not masked. */
void viommu__event_raise(struct viommu_guest *g, enum unit_event event, struct unit_out *out);
/* CTL was written. */
void viommu__event_control(struct viommu_guest *g, enum unit_event event, struct unit_out *out);
/* All status bits that caused it are clear. */
void viommu__event_clear(struct viommu_guest *g, enum unit_event event);
/* Set bits of FSTS; the fault event by its rules. */
void viommu__fsts_set(struct viommu_guest *g, uint32_t bits, struct unit_out *out);

/* ---- fault.c ---- */

/* A fault in the guest's view: pasid is the guest's. Qualified and FPD: dropped. */
void viommu__fault_record(struct viommu_guest *g, const struct viommu_fault *fault,
			  struct unit_out *out);
/* FSTS was written, or a record's F bit cleared: PPF and the event follow. */
void viommu__fault_update(struct viommu_guest *g);

/* ---- queue.c ---- */

/* Arm at QIE 1, disarm at QIE 0. */
void viommu__queue_enable(struct viommu_guest *g, bool on);
/* Carry out descriptors, up to the burst. True: there is work left. */
bool viommu__queue_run(struct viommu_guest *g, struct unit_out *out);

/* ---- prq.c ---- */

/* The response of descriptor type 9. */
void viommu__prq_respond(struct viommu_guest *g, uint16_t rid, bool pp, uint32_t gp, uint16_t prgi,
			 unsigned int code);

/* ---- shadow.c ---- */

struct shadow *viommu__shadow_find(const struct unit_device *d, uint32_t gp);
/* A shadow for gp, in the list of its domain id. NULL: no memory. */
struct shadow *viommu__shadow_add(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
				  uint16_t did);
void viommu__shadow_did(struct viommu_guest *g, struct shadow *s, uint16_t did);
void viommu__shadow_del(struct viommu_guest *g, struct shadow *s);
/* The first with a guest PASID of at least gp. */
struct shadow *viommu__shadow_next(const struct unit_device *d, uint32_t gp);
struct list *viommu__shadow_did_list(struct viommu_guest *g, uint16_t did);

/* ---- bind.c ---- */

/*
 * (device, gp) as the guest's tables say now: bind, rebind, unbind. 0, or why the host would not.
 */
int viommu__bind_refresh(struct viommu_guest *g, struct unit_device *d, uint32_t gp,
			 uint32_t cause);
/* Requester id bits that a function mask leaves out. */
static inline uint16_t viommu__fm_bits(uint64_t fm)
{
	return fm == 1 ? 4 : fm == 2 ? 6 : fm == 3 ? 7 : 0;
}
/* Look at the shadows that the filter names, at most *budget. True: done. */
bool viommu__bind_scan(struct viommu_guest *g, const struct shadow_filter *f, uint32_t *budget);
/* One guest PASID on every device, and requests without that use it. */
void viommu__bind_selective(struct viommu_guest *g, uint32_t gp);
/* Everything of a device ends, and it has what the unit's state gives it. */
void viommu__bind_reset_device(struct viommu_guest *g, struct unit_device *d, uint32_t cause);
void viommu__bind_reset_all(struct viommu_guest *g, uint32_t cause);
/* End all of a device, attach nothing. */
void viommu__bind_drop_device(struct viommu_guest *g, struct unit_device *d, uint32_t cause);
/* A request of the device looks for its way in the guest's tables. */
int viommu__bind_lookup(struct viommu_guest *g, struct unit_device *d, uint32_t gp, uint8_t request,
			uint32_t access, uint64_t addr, struct viommu_path_result *path);
/* Host PASID of gp, made if need be. */
int viommu__bind_hp(struct viommu_guest *g, uint32_t gp, uint32_t *hp);
/* The one that it has, 0 or -ENOENT. */
int viommu__bind_hp_find(struct viommu_guest *g, uint32_t gp, uint32_t *hp);
/* Guest PASID of hp. 0, -ENOENT. */
int viommu__bind_gp(struct viommu_guest *g, uint32_t hp, uint32_t *gp);
/* Give back the host PASIDs that we allocated. */
void viommu__bind_release(struct viommu_guest *g);
/* Where gp is noted as held; NULL: no memory. */
struct unit_held *viommu__bind_held(struct viommu_guest *g, uint32_t gp);

/* ---- vcmd.c ---- */

/* VCCAP. */
uint64_t viommu__vcmd_capability(const struct viommu_guest *g);
/* Carry out VCMD; what VCRSP is then. */
uint64_t viommu__vcmd_run(struct viommu_guest *g, uint64_t command);
/* Was it given to the guest? */
bool viommu__vcmd_given(const struct viommu_guest *g, uint32_t pasid);
/* A bind of it ended. */
void viommu__vcmd_idle(struct viommu_guest *g, uint32_t pasid);

/* ---- invalidate.c ---- */

void viommu__inv_global(struct viommu_guest *g);
/* Translations of a domain id; page: [addr, addr + bytes) where the entry has no first stage. */
void viommu__inv_domain(struct viommu_guest *g, uint16_t did, bool page, uint64_t addr,
			uint64_t bytes);
/* bytes 0: the whole PASID. */
void viommu__inv_pasid(struct viommu_guest *g, uint16_t did, uint32_t gp, uint64_t addr,
		       uint64_t bytes);
/* The device's own cache. gp VIOMMU_NO_PASID: requests without; VIOMMU_ALL_PASIDS: all. */
void viommu__inv_device(struct viommu_guest *g, struct unit_device *d, uint32_t gp, uint64_t addr,
			uint64_t bytes);
/* Everything invalidated so far is out of use. */
void viommu__inv_drain(struct viommu_guest *g);

/* ---- intremap.c; unit->lock held but for the first two ---- */

/* The capabilities are known. 0, -ENOMEM. */
int viommu__ir_init(struct viommu_guest *g);
void viommu__ir_free(struct viommu_guest *g);
/* SIRTP: take IRTA. */
void viommu__ir_table(struct viommu_guest *g);
/* GSTS.IRES or CFIS changed. */
void viommu__ir_switch(struct viommu_guest *g);
void viommu__ir_reset(struct viommu_guest *g);
/* Entries [first, first + nr), at most VIOMMU_GUEST_INTERRUPTS. */
void viommu__ir_invalidate(struct viommu_guest *g, uint32_t first, uint32_t nr);

/* ---- profile.c ---- */

/* The unit, its flags and its host: do they go together? */
int viommu__profile_check(const struct viommu_guest *g);

#endif /* VIOMMU_GUEST_UNIT_H */
