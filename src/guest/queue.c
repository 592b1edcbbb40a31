/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queued invalidation (VT-d 5.10): fetch, check, carry out, one descriptor after the other.
 *
 * In order and one at a time satisfies every ordering rule (VTD-QORD-01 to VTD-QORD-04). Host
 * invalidations do not wait; what a wait descriptor waits for is drained once, before its status is
 * written. A call carries out a bounded number of descriptors, and looks at a bounded number of
 * shadows: one that has to look at more goes on in the next call, the head still on it.
 *
 * choice: devices answer invalidations inside of the call, so a time-out (ITE) or a completion that
 * nobody waits for (ICE) does not come up; both bits are there to be cleared.
 */
#include "guest/unit.h"

/* What a descriptor comes to. */
enum outcome {
	DONE,
	AGAIN, /* the budget is used up: it is not done yet */
	BAD_TYPE,
	BAD_RSVD,
};

struct run {
	struct viommu_guest *g;
	struct unit_out *out;
	uint32_t budget;
};

void viommu__queue_enable(struct viommu_guest *g, bool on)
{
	uint64_t iqa = REG64(g, IQA);

	/* VTD-REG-25, VTD-REG-26; address, size and width count as they are now. */
	g->queue = (struct unit_queue){
		.base = iqa & VTD_MASK(VTD_IQA_IQA),
		.bytes = 4096u << VTD_FIELD(iqa, VTD_IQA_QS),
		.width = VTD_FIELD(iqa, VTD_IQA_DW) ? 32 : 16,
	};
	g->scan.active = false;
	REG64_SET(g, IQH, 0); /* VTD-CMD-17, VTD-CMD-18, VTD-REG-23 */
	(void)on;
}

static void queue_error(struct run *r, unsigned int code)
{
	struct viommu_guest *g = r->g;
	uint64_t v = REG64(g, IQERCD);

	/* VTD-QERR-08: the head stays. */
	REG64_SET(g, IQERCD, (v & ~VTD_MASK(VTD_IQERCD_IQEI)) | VTD_VAL(VTD_IQERCD_IQEI, code));
	g->stats.queue_errors++;
	g->scan.active = false;
	viommu__fsts_set(g, (uint32_t)VTD_MASK(VTD_FSTS_IQE), r->out);
}

/* Reserved bits of the first two words of a descriptor with this layout, as this unit has them. */
#define QI_MISSING_F(NAME, hi, lo, text)
#define QI_MISSING_C(NAME, hi, lo, reg, bit, text)                                               \
	| (VTD_WORD(NAME) == w && !(g->unit.ecap & VTD_MASK(VTD_##reg##_##bit)) ? VTD_MASK(NAME) \
										: 0)
#define QI_RESERVED(PREFIX)                                                               \
	static bool reserved_##PREFIX(const struct viommu_guest *g, const uint64_t *d)    \
	{                                                                                 \
		uint64_t bad = 0;                                                         \
		unsigned int w;                                                           \
                                                                                          \
		(void)g;                                                                  \
		for (w = 0; w < 2; w++)                                                   \
			bad |= d[w] & (VTD_RSVD(PREFIX, w) PREFIX##_FIELDS(               \
					      QI_MISSING_F, QI_MISSING_F, QI_MISSING_C)); \
		return bad;                                                               \
	}
QI_RESERVED(VTD_IQ_CC)
QI_RESERVED(VTD_IQ_IOTLB)
QI_RESERVED(VTD_IQ_DTLB)
QI_RESERVED(VTD_IQ_IEC)
QI_RESERVED(VTD_IQ_WAIT)
QI_RESERVED(VTD_IQ_PIOTLB)
QI_RESERVED(VTD_IQ_PC)
QI_RESERVED(VTD_IQ_PDTLB)
QI_RESERVED(VTD_IQ_PGRP)

static enum outcome scan(struct run *r, const struct shadow_filter *f)
{
	return viommu__bind_scan(r->g, f, &r->budget) ? DONE : AGAIN;
}

/* VTD-QI-10 to VTD-QI-12 */
static enum outcome context_cache(struct run *r, const uint64_t *d)
{
	struct shadow_filter f = { .cause = VIOMMU_TRAP_CONTEXT_CACHE, .sid_ignore = 0xffff };

	if (reserved_VTD_IQ_CC(r->g, d))
		return BAD_RSVD;
	switch (VTD_GET(d, VTD_IQ_CC_G)) {
	case VTD_IQ_CC_GLOBAL:
		break;
	case VTD_IQ_CC_DOMAIN:
		f.by_did = unit_ttm(r->g) == VTD_TTM_LEGACY;
		f.did = (uint16_t)VTD_GET(d, VTD_IQ_CC_DID);
		break;
	case VTD_IQ_CC_DEVICE:
		f.sid = (uint16_t)VTD_GET(d, VTD_IQ_CC_SID);
		f.sid_ignore = viommu__fm_bits(VTD_GET(d, VTD_IQ_CC_FM));
		break;
	default:
		return BAD_TYPE;
	}
	return scan(r, &f);
}

/* VTD-QI-13 to VTD-QI-19 */
static enum outcome iotlb(struct run *r, const uint64_t *d)
{
	uint16_t did = (uint16_t)VTD_GET(d, VTD_IQ_IOTLB_DID);
	unsigned int am = (unsigned int)VTD_GET(d, VTD_IQ_IOTLB_AM);

	if (reserved_VTD_IQ_IOTLB(r->g, d))
		return BAD_RSVD;
	switch (VTD_GET(d, VTD_IQ_IOTLB_G)) {
	case VTD_IQ_IOTLB_GLOBAL:
		viommu__inv_global(r->g);
		return DONE;
	case VTD_IQ_IOTLB_DOMAIN:
		viommu__inv_domain(r->g, did, false, 0, 0);
		return DONE;
	case VTD_IQ_IOTLB_PAGE:
		/* choice: an address mask that is too large is an invalid descriptor. */
		if (!HAS_CAP(r->g, PSI) || am > HAS_CAP(r->g, MAMV))
			return BAD_TYPE;
		viommu__inv_domain(r->g, did, true,
				   d[1] & VTD_MASK(VTD_IQ_IOTLB_ADDR) & ~low_bits(12 + am),
				   BIT64(12 + am));
		return DONE;
	default:
		return BAD_TYPE;
	}
}

/* VTD-QI-20 to VTD-QI-23 */
static enum outcome pasid_iotlb(struct run *r, const uint64_t *d)
{
	uint16_t did = (uint16_t)VTD_GET(d, VTD_IQ_PIOTLB_DID);
	uint32_t gp = (uint32_t)VTD_GET(d, VTD_IQ_PIOTLB_PASID);
	unsigned int am = (unsigned int)VTD_GET(d, VTD_IQ_PIOTLB_AM);
	uint64_t addr = d[1] & VTD_MASK(VTD_IQ_PIOTLB_ADDR);

	if (reserved_VTD_IQ_PIOTLB(r->g, d))
		return BAD_RSVD;
	switch (VTD_GET(d, VTD_IQ_PIOTLB_G)) {
	case VTD_IQ_PIOTLB_SELECTIVE:
		viommu__inv_pasid(r->g, did, gp, 0, 0);
		return DONE;
	case VTD_IQ_PIOTLB_PAGE:
		if (12 + am >= 64)
			viommu__inv_pasid(r->g, did, gp, 0, 0);
		else
			viommu__inv_pasid(r->g, did, gp, addr & ~low_bits(12 + am), BIT64(12 + am));
		return DONE;
	default:
		return BAD_TYPE;
	}
}

/* VTD-QI-24: the trap. */
static enum outcome pasid_cache(struct run *r, const uint64_t *d)
{
	struct shadow_filter f = { .cause = VIOMMU_TRAP_PASID_CACHE, .sid_ignore = 0xffff };
	uint32_t gp = (uint32_t)VTD_GET(d, VTD_IQ_PC_PASID);

	if (reserved_VTD_IQ_PC(r->g, d))
		return BAD_RSVD;
	switch (VTD_GET(d, VTD_IQ_PC_G)) {
	case VTD_IQ_PC_DOMAIN:
		f.by_did = true;
		f.did = (uint16_t)VTD_GET(d, VTD_IQ_PC_DID);
		return scan(r, &f);
	case VTD_IQ_PC_SELECTIVE:
		viommu__bind_selective(r->g, gp);
		return DONE;
	case VTD_IQ_PC_GLOBAL:
		return scan(r, &f);
	default:
		return BAD_TYPE;
	}
}

/*
 * The range of a device-TLB descriptor: one page, or with S the lowest zero bit from bit 12 on
 * gives the size (VTD-QI-29). *bytes 0: everything (VTD-QI-30).
 */
static void device_range(uint64_t field, bool s, uint64_t *addr, uint64_t *bytes)
{
	unsigned int lg2 = 12;

	if (s) {
		while (lg2 < 63 && (field & BIT64(lg2)))
			lg2++;
		lg2++;
	}
	*addr = lg2 >= 64 ? 0 : field & ~low_bits(lg2);
	*bytes = lg2 >= 64 ? 0 : BIT64(lg2);
}

static enum outcome device_tlb(struct run *r, const uint64_t *d)
{
	struct unit_device *dev;
	uint64_t addr, bytes;

	if (!HAS_ECAP(r->g, DT)) /* VTD-QI-26 */
		return BAD_TYPE;
	if (reserved_VTD_IQ_DTLB(r->g, d))
		return BAD_RSVD;
	device_range(d[1] & VTD_MASK(VTD_IQ_DTLB_ADDR), VTD_GET(d, VTD_IQ_DTLB_S), &addr, &bytes);
	dev = viommu__guest_by_sid(r->g, (uint16_t)VTD_GET(d, VTD_IQ_DTLB_SID));
	if (dev) /* VTD-QI-45 */
		viommu__inv_device(r->g, dev, VIOMMU_NO_PASID, addr, bytes);
	return DONE;
}

static enum outcome pasid_device_tlb(struct run *r, const uint64_t *d)
{
	uint32_t gp = (uint32_t)VTD_GET(d, VTD_IQ_PDTLB_PASID);
	struct unit_device *dev;
	uint64_t addr, bytes;

	if (!HAS_ECAP(r->g, DT))
		return BAD_TYPE;
	if (reserved_VTD_IQ_PDTLB(r->g, d))
		return BAD_RSVD;
	device_range(d[1] & VTD_MASK(VTD_IQ_PDTLB_ADDR), VTD_GET(d, VTD_IQ_PDTLB_S), &addr, &bytes);
	dev = viommu__guest_by_sid(r->g, (uint16_t)VTD_GET(d, VTD_IQ_PDTLB_SID));
	if (dev)
		viommu__inv_device(r->g, dev, VTD_GET(d, VTD_IQ_PDTLB_GI) ? VIOMMU_ALL_PASIDS : gp,
				   addr, bytes); /* VTD-QI-32 */
	return DONE;
}

/* VTD-QI-33; nothing to do without interrupt remapping. */
static enum outcome interrupt_cache(struct run *r, const uint64_t *d)
{
	uint32_t index = (uint32_t)VTD_GET(d, VTD_IQ_IEC_IIDX);
	unsigned int im = (unsigned int)VTD_GET(d, VTD_IQ_IEC_IM);

	if (reserved_VTD_IQ_IEC(r->g, d))
		return BAD_RSVD;
	if (!HAS_ECAP(r->g, IR))
		return DONE;
	if (VTD_GET(d, VTD_IQ_IEC_G) == VTD_IQ_IEC_GLOBAL) {
		viommu__ir_invalidate(r->g, 0, VIOMMU_GUEST_INTERRUPTS);
		return DONE;
	}
	/* choice: as with address masks, one that is too large is an invalid descriptor. */
	if (im > HAS_ECAP(r->g, MHMV)) /* VTD-CAP-24 */
		return BAD_TYPE;
	viommu__ir_invalidate(r->g, index & ~(uint32_t)low_bits(im), 1u << im);
	return DONE;
}

static enum outcome wait(struct run *r, const uint64_t *d)
{
	struct viommu_guest *g = r->g;
	uint32_t data = (uint32_t)VTD_GET(d, VTD_IQ_WAIT_DATA);

	if (reserved_VTD_IQ_WAIT(g, d))
		return BAD_RSVD;
	viommu__inv_drain(g);
	/* VTD-QI-34, VTD-QI-35, VTD-QI-37; an address without memory takes it away. */
	if (VTD_GET(d, VTD_IQ_WAIT_SW))
		viommu_mem_write(g->mem, d[1] & VTD_MASK(VTD_IQ_WAIT_ADDR), &data, sizeof(data));
	/* VTD-QI-36, VTD-QORD-05, VTD-QORD-06 */
	if (VTD_GET(d, VTD_IQ_WAIT_IF) && !(REG32(g, ICS) & VTD_MASK(VTD_ICS_IWC))) {
		REG32(g, ICS) |= (uint32_t)VTD_MASK(VTD_ICS_IWC);
		viommu__event_raise(g, EVENT_INVALIDATION, r->out);
	}
	return DONE;
}

static enum outcome page_group(struct run *r, const uint64_t *d)
{
	if (!HAS_ECAP(r->g, PRS)) /* VTD-QI-41 */
		return BAD_TYPE;
	if (reserved_VTD_IQ_PGRP(r->g, d))
		return BAD_RSVD;
	viommu__prq_respond(r->g, (uint16_t)VTD_GET(d, VTD_IQ_PGRP_RID), VTD_GET(d, VTD_IQ_PGRP_PP),
			    (uint32_t)VTD_GET(d, VTD_IQ_PGRP_PASID),
			    (uint16_t)VTD_GET(d, VTD_IQ_PGRP_PRGI),
			    (unsigned int)VTD_GET(d, VTD_IQ_PGRP_RC));
	return DONE;
}

typedef enum outcome (*carry_out)(struct run *r, const uint64_t *d);

/* By type; HPT cache (type 10) needs ECAP.HPTS, which is never announced: invalid. */
static const carry_out types[16] = {
	[VTD_IQ_TYPE_CC] = context_cache, [VTD_IQ_TYPE_IOTLB] = iotlb,
	[VTD_IQ_TYPE_DTLB] = device_tlb,  [VTD_IQ_TYPE_IEC] = interrupt_cache,
	[VTD_IQ_TYPE_WAIT] = wait,        [VTD_IQ_TYPE_PIOTLB] = pasid_iotlb,
	[VTD_IQ_TYPE_PC] = pasid_cache,   [VTD_IQ_TYPE_PDTLB] = pasid_device_tlb,
	[VTD_IQ_TYPE_PGRP] = page_group,
};

/* 0, or the error code: may descriptors be fetched as queue and mode are? */
static unsigned int queue_check(const struct viommu_guest *g, uint32_t tail)
{
	unsigned int ttm = unit_ttm(g);

	/* choice: the mode is judged first, then the tail. */
	if (ttm == 2)
		return VTD_IQEI_TTM; /* VTD-QI-04, VTD-QERR-07 */
	if (g->queue.width == 16 && ttm != VTD_TTM_LEGACY)
		return VTD_IQEI_WIDTH; /* VTD-QI-03, VTD-QERR-05 */
	if (g->queue.width == 32 && !HAS_ECAP(g, SMTS) && !HAS_ECAP(g, ADMS))
		return VTD_IQEI_WIDTH;
	if (tail >= g->queue.bytes)
		return VTD_IQEI_TAIL; /* VTD-QERR-01 */
	if (!is_aligned(tail, g->queue.width))
		return VTD_IQEI_TAIL_ALIGN; /* VTD-QERR-06 */
	return VTD_IQEI_NONE;
}

static unsigned int fetch(struct viommu_guest *g, uint64_t d[4])
{
	uint64_t addr = g->queue.base + g->queue.head;

	memset(d, 0, 32);
	if (addr >> g->unit.haw || viommu_mem_read(g->mem, addr, d, g->queue.width))
		return VTD_IQEI_FETCH; /* VTD-QERR-02 */
	return VTD_IQEI_NONE;
}

/* One descriptor. 0: done, the head may move; AGAIN is -1; else the error code. */
static int carry(struct run *r, const uint64_t d[4])
{
	unsigned int type = (unsigned int)VTD_GET(d, VTD_IQ_TYPE);

	/* VTD-QI-01, VTD-QI-02 */
	if (VTD_GET(d, VTD_IQ_TYPEX) || !types[type] ||
	    (unit_ttm(r->g) == VTD_TTM_LEGACY && type > VTD_IQ_TYPE_WAIT))
		return VTD_IQEI_TYPE;
	if (d[2] | d[3]) /* VTD-QI-05; no other kind has fields there either */
		return VTD_IQEI_RSVD;
	switch (types[type](r, d)) {
	case BAD_TYPE:
		return VTD_IQEI_TYPE; /* VTD-QI-07, VTD-QERR-03 */
	case BAD_RSVD:
		return VTD_IQEI_RSVD; /* VTD-QI-08, VTD-QERR-04 */
	case AGAIN:
		return -1;
	default:
		r->g->stats.descriptors[type]++;
		return 0;
	}
}

bool viommu__queue_run(struct viommu_guest *g, struct unit_out *out)
{
	const uint32_t stop = (uint32_t)(VTD_MASK(VTD_FSTS_IQE) | VTD_MASK(VTD_FSTS_ITE));
	struct run r = { .g = g, .out = out, .budget = g->burst };
	uint64_t d[4];
	uint32_t tail;
	int err;

	/* VTD-QI-06, VTD-QERR-09 */
	for (;;) {
		tail = (uint32_t)REG64(g, IQT);
		if (!(REG32(g, GSTS) & VTD_MASK(VTD_GSTS_QIES)) || (REG32(g, FSTS) & stop) ||
		    g->queue.head == tail)
			return false;
		if (!r.budget)
			return true;
		err = (int)queue_check(g, tail);
		if (g->scan.active) {
			/* It was read once; what the ring holds now is not what was begun. */
			memcpy(d, g->scan.desc, sizeof(d));
		} else {
			r.budget--;
			if (!err)
				err = (int)fetch(g, d);
		}
		if (!err)
			err = carry(&r, d);
		if (err < 0) {
			memcpy(g->scan.desc, d, sizeof(d));
			return true;
		}
		if (err) {
			queue_error(&r, (unsigned int)err);
			return false;
		}
		g->scan.active = false; /* also if a state said so of what never is */
		g->queue.head = (g->queue.head + g->queue.width) & (g->queue.bytes - 1);
		REG64_SET(g, IQH, g->queue.head); /* VTD-QI-09, VTD-REG-21, VTD-REG-22 */
	}
}

int viommu_guest_run(struct viommu_guest *guest)
{
	struct unit_out out;
	bool more;

	viommu__guest_enter(guest, &out);
	more = viommu__queue_run(guest, &out);
	viommu__guest_leave(guest, &out);
	return more;
}
