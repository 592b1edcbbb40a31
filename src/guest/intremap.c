/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt remapping (VT-d 5.10): what becomes of an interrupt message that a device of the guest
 * sends, by the guest's interrupt-remapping table.
 *
 *	message: address, data ---- remapping off, or compatibility format and CFIS ----> as it is
 *	             |
 *	             | handle (+ subhandle)
 *	             v
 *	   cache, else table at IRTA --> checked entry --> source id --> vector, destination, ...
 *
 * What is not here: posted entries (CAP.PI is not announced, so IM is a reserved bit), who may send
 * what to the window (29h, the DMA path's), and the delivery, which is the VMM's. Messages of the
 * unit itself do not come by (VTD-EVT-06).
 *
 * The cache holds entries that were present and without error, nothing else: a guest without
 * caching mode tells nothing when an entry becomes present (VTD-IR-09). It is a table by the low
 * bits of the index; a line counts while it has the generation of now.
 *
 * Its lock is held over one lookup, with a read of 16 bytes of guest memory in it, so that no line
 * is filled with what was read before an invalidation. It is never held while anything waits.
 */
#include "guest/unit.h"

/* A power of two. */
#define LINES 1024u

struct viommu__ir_line {
	uint64_t irte[2];
	uint64_t generation; /* 0: of no time */
	uint32_t index;
	uint32_t reserved;
};

/* One message on its way. */
struct ir_request {
	uint64_t addr;
	uint32_t data;
	uint32_t index;
	uint16_t sid;
	bool fpd;
	uint64_t entry_addr;
	uint64_t entry;
};

int viommu__ir_init(struct viommu_guest *g)
{
	int err;

	g->ir.generation = 1;
	if (HAS_ECAP(g, IR)) {
		g->ir.line = viommu__calloc(LINES, sizeof(*g->ir.line));
		if (!g->ir.line)
			return -ENOMEM;
	}
	err = -pthread_mutex_init(&g->ir.lock, NULL);
	if (err)
		viommu__free(g->ir.line);
	return err;
}

void viommu__ir_free(struct viommu_guest *g)
{
	pthread_mutex_destroy(&g->ir.lock);
	viommu__free(g->ir.line);
}

/* ---- What the guest sets ---- */

/* The VMM may keep outcomes: it hears of it before the guest can see that it is done. */
static void tell(struct viommu_guest *g, uint32_t first, uint32_t nr)
{
	if (g->ops.interrupts)
		g->ops.interrupts(g->ops.ctx, first, nr);
}

void viommu__ir_table(struct viommu_guest *g)
{
	uint64_t irta = REG64(g, IRTA);

	/* VTD-REG-29, VTD-CMD-20: address, size and mode count as they are now. */
	pthread_mutex_lock(&g->ir.lock);
	g->ir.base = irta & VTD_MASK(VTD_IRTA_IRTA);
	g->ir.entries = 2u << VTD_FIELD(irta, VTD_IRTA_S);
	g->ir.x2apic = HAS_ECAP(g, EIM) && VTD_FIELD(irta, VTD_IRTA_EIME);
	/* choice: whether CAP.ESIRTPS asks for it or not (VTD-CMD-16). */
	g->ir.generation++;
	pthread_mutex_unlock(&g->ir.lock);
	tell(g, 0, VIOMMU_GUEST_INTERRUPTS);
}

void viommu__ir_switch(struct viommu_guest *g)
{
	uint32_t gsts = REG32(g, GSTS);

	pthread_mutex_lock(&g->ir.lock);
	g->ir.on = gsts & VTD_MASK(VTD_GSTS_IRES);
	g->ir.compat = gsts & VTD_MASK(VTD_GSTS_CFIS);
	g->ir.generation++;
	pthread_mutex_unlock(&g->ir.lock);
	tell(g, 0, VIOMMU_GUEST_INTERRUPTS);
}

void viommu__ir_reset(struct viommu_guest *g)
{
	pthread_mutex_lock(&g->ir.lock);
	g->ir.base = 0;
	g->ir.entries = 0;
	g->ir.x2apic = false;
	pthread_mutex_unlock(&g->ir.lock);
	viommu__ir_switch(g);
}

void viommu__ir_invalidate(struct viommu_guest *g, uint32_t first, uint32_t nr)
{
	struct viommu__ir_line *line;
	uint32_t i;

	pthread_mutex_lock(&g->ir.lock);
	if (nr >= LINES) {
		g->ir.generation++; /* to drop more than asked is allowed */
	} else {
		for (i = first; i < first + nr; i++) {
			line = &g->ir.line[i % LINES];
			if (line->index == i)
				line->generation = 0;
		}
	}
	pthread_mutex_unlock(&g->ir.lock);
	tell(g, first, nr);
}

/* ---- What becomes of a message; the lock of it all is held ---- */

/* It goes on as the device sent it. */
static void pass(const struct ir_request *r, struct viommu_guest_interrupt *out)
{
	*out = (struct viommu_guest_interrupt){
		.addr = r->addr,
		.data = r->data,
		.dest = (uint32_t)VTD_FIELD(r->addr, VTD_MSI_ADDR_DEST),
		.vector = (uint8_t)VTD_FIELD(r->data, VTD_MSI_DATA_V),
		.delivery_mode = (uint8_t)VTD_FIELD(r->data, VTD_MSI_DATA_DLM),
		.trigger_mode = (uint8_t)VTD_FIELD(r->data, VTD_MSI_DATA_TM),
		.dest_mode = (uint8_t)VTD_FIELD(r->addr, VTD_MSI_ADDR_DM),
		.redirection_hint = (uint8_t)VTD_FIELD(r->addr, VTD_MSI_ADDR_RH),
	};
}

/*
 * By an entry. The message in compatibility form has the upper bits of the destination where the
 * unit's own event messages have them: 31:8 of the upper half of the address.
 */
static void deliver(const struct viommu_guest *g, const struct ir_request *r,
		    const uint64_t irte[2], struct viommu_guest_interrupt *out)
{
	uint32_t dst = (uint32_t)VTD_GET(irte, VTD_IRTE_DST);

	*out = (struct viommu_guest_interrupt){
		.dest = g->ir.x2apic ? dst : dst >> 8, /* VTD-IR-06 */
		.vector = (uint8_t)VTD_GET(irte, VTD_IRTE_V),
		.delivery_mode = (uint8_t)VTD_GET(irte, VTD_IRTE_DLM),
		.trigger_mode = (uint8_t)VTD_GET(irte, VTD_IRTE_TM),
		.dest_mode = (uint8_t)VTD_GET(irte, VTD_IRTE_DM),
		.redirection_hint = (uint8_t)VTD_GET(irte, VTD_IRTE_RH),
		.remapped = 1,
		.index = (uint16_t)r->index,
	};
	out->addr = VTD_WINDOW_BASE | VTD_VAL(VTD_MSI_ADDR_DM, out->dest_mode) |
		    VTD_VAL(VTD_MSI_ADDR_RH, out->redirection_hint) |
		    VTD_VAL(VTD_MSI_ADDR_DEST, out->dest) |
		    VTD_VAL(VTD_MSI_ADDR_UDEST, out->dest >> 8);
	/* Asserted: of a level-triggered one only that is ever sent; edges do not look at it. */
	out->data = (uint32_t)(VTD_VAL(VTD_MSI_DATA_V, out->vector) |
			       VTD_VAL(VTD_MSI_DATA_DLM, out->delivery_mode) |
			       VTD_VAL(VTD_MSI_DATA_TM, out->trigger_mode) |
			       VTD_MASK(VTD_MSI_DATA_LEVEL));
}

/*
 * Reserved bits and values of a present entry (VTD-FLT-119). IM is one, as CAP.PI is 0 (VTD-IR-05).
 * That the reserved values of delivery mode and validation type, and the bits of the destination
 * that xAPIC mode leaves over, count as reserved fields is our reading (unverified).
 */
static bool reserved(const struct viommu_guest *g, const uint64_t irte[2])
{
	unsigned int dlm = (unsigned int)VTD_GET(irte, VTD_IRTE_DLM);

	return (irte[0] & (VTD_RSVD(VTD_IRTE, 0) | VTD_MASK(VTD_IRTE_IM))) ||
	       (irte[1] & VTD_RSVD(VTD_IRTE, 1)) || dlm == 3 || dlm == 6 ||
	       VTD_GET(irte, VTD_IRTE_SVT) > VTD_SVT_BUS ||
	       (!g->ir.x2apic && (VTD_GET(irte, VTD_IRTE_DST) & ~(uint64_t)VTD_IRTE_DST_XAPIC));
}

/* The entry of r->index, checked. 0 or the fault reason. */
static uint8_t entry_get(struct viommu_guest *g, struct ir_request *r, uint64_t irte[2])
{
	struct viommu__ir_line *line = &g->ir.line[r->index % LINES];
	uint64_t addr = g->ir.base + (uint64_t)r->index * VTD_IRTE_BYTES;

	if (line->generation == g->ir.generation && line->index == r->index) {
		irte[0] = line->irte[0];
		irte[1] = line->irte[1];
		g->ir.hits++;
		return 0;
	}
	/*
	 * Both halves are read whole, but not as one: software that changes an entry in use sees
	 * old or new halves used until it has invalidated, as with any cache.
	 */
	if (addr >> g->unit.haw || viommu_mem_read(g->mem, addr, irte, VTD_IRTE_BYTES))
		return VTD_FR_IR_IRTE_ACCESS;
	r->entry_addr = addr;
	r->entry = irte[0];
	r->fpd = VTD_GET(irte, VTD_IRTE_FPD); /* VTD-IR-10: also of one that is not present */
	if (!VTD_GET(irte, VTD_IRTE_P))
		return VTD_FR_IR_IRTE_NP;
	if (reserved(g, irte))
		return VTD_FR_IR_IRTE_RSVD;
	line->irte[0] = irte[0];
	line->irte[1] = irte[1];
	line->index = r->index;
	line->generation = g->ir.generation;
	return 0;
}

/* VTD-IR-07, VTD-IR-08 */
static bool source_is_valid(const uint64_t irte[2], uint16_t sid)
{
	unsigned int id = (unsigned int)VTD_GET(irte, VTD_IRTE_SID), bus = sid >> 8;

	switch (VTD_GET(irte, VTD_IRTE_SVT)) {
	case VTD_SVT_SID:
		return !((sid ^ id) & 0xffff &
			 ~(unsigned int)viommu__fm_bits(VTD_GET(irte, VTD_IRTE_SQ)));
	case VTD_SVT_BUS:
		return bus >= id >> 8 && bus <= (id & 0xff);
	default:
		return true;
	}
}

/* VTD-IR-03, VTD-FLT-115: the index, or the fault reason of a request with reserved bits. */
static uint8_t index_of(struct ir_request *r)
{
	r->index = (uint32_t)(VTD_FIELD(r->addr, VTD_RMSI_ADDR_HANDLE) |
			      VTD_FIELD(r->addr, VTD_RMSI_ADDR_HANDLE_HI) << 15);
	if (!VTD_FIELD(r->addr, VTD_RMSI_ADDR_SHV))
		return 0;
	if (r->data & VTD_RSVD(VTD_RMSI_DATA, 0))
		return VTD_FR_IR_REQ_RSVD;
	r->index += (uint32_t)VTD_FIELD(r->data, VTD_RMSI_DATA_SUBHANDLE);
	return 0;
}

/* VTD-IR-11: each check comes before what needs it. 0 or the fault reason. */
static uint8_t remap(struct viommu_guest *g, struct ir_request *r,
		     struct viommu_guest_interrupt *out)
{
	uint64_t irte[2];
	uint8_t reason;

	if (!g->ir.on) { /* VTD-IR-01 */
		if (HAS_ECAP(g, IRREQ))
			return VTD_FR_IR_OFF;
		pass(r, out);
		g->ir.passed++;
		return 0;
	}
	/* choice: the mode is judged before the message. */
	if (HAS_ECAP(g, EIMER) && !g->ir.x2apic)
		return VTD_FR_IR_EIM;
	if (!VTD_FIELD(r->addr, VTD_RMSI_ADDR_FORMAT)) {
		/* VTD-CMD-07, VTD-CMD-08, VTD-IR-02 */
		if (g->ir.x2apic || !g->ir.compat)
			return VTD_FR_IR_COMPAT;
		pass(r, out);
		g->ir.passed++;
		return 0;
	}
	reason = index_of(r);
	if (reason)
		return reason;
	if (r->index >= g->ir.entries) /* VTD-IR-04 */
		return VTD_FR_IR_INDEX;
	reason = entry_get(g, r, irte);
	if (reason)
		return reason;
	if (!source_is_valid(irte, r->sid)) {
		r->fpd = VTD_GET(irte, VTD_IRTE_FPD);
		r->entry_addr = g->ir.base + (uint64_t)r->index * VTD_IRTE_BYTES;
		r->entry = irte[0];
		return VTD_FR_IR_SID;
	}
	deliver(g, r, irte, out);
	g->ir.remapped++;
	return 0;
}

static void record(struct viommu_guest *g, const struct ir_request *r, uint8_t reason)
{
	const struct viommu_fault f = {
		.reason = reason,
		.stage = VIOMMU_STAGE_PATH,
		.flags = r->fpd ? VIOMMU_FAULT_FPD : 0,
		.sid = r->sid,
		.access = VIOMMU_WRITE,
		.request = VIOMMU_REQ_UNTRANSLATED,
		.pasid = VIOMMU_NO_PASID,
		.addr = r->addr,
		.stage_addr = r->index & 0xffff,
		.entry_addr = r->entry_addr,
		.entry = r->entry,
	};
	struct unit_out out;

	viommu__guest_enter(g, &out);
	viommu__fault_record(g, &f, &out);
	viommu__guest_leave(g, &out);
}

int viommu_guest_remap(struct viommu_guest *guest, uint16_t sid, uint64_t addr, uint32_t data,
		       struct viommu_guest_interrupt *out)
{
	struct ir_request r = { .addr = addr, .data = data, .sid = sid };
	uint8_t reason;

	memset(out, 0, sizeof(*out));
	if (addr < VTD_WINDOW_BASE || addr > VTD_WINDOW_LAST)
		return -EINVAL;
	pthread_mutex_lock(&guest->ir.lock);
	reason = remap(guest, &r, out);
	if (reason)
		guest->ir.blocked++;
	pthread_mutex_unlock(&guest->ir.lock);
	if (!reason)
		return 0;
	record(guest, &r, reason);
	return VIOMMU_FAULTED;
}
