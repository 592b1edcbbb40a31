/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The register block (VT-d 5.10, register map of viommu/vtd.h): which register a dword belongs to,
 * partial accesses and masks, and what a write starts.
 *
 * Commands complete inside of the write that starts them, so no busy bit is ever seen set. Where
 * interrupt remapping is not announced, setting its table completes and means nothing.
 */
#include "guest/unit.h"

#include <viommu/state.h>

/* Numbers of registers, in the order of viommu_spec_regs, then of viommu_spec_old_regs. */
#define REG_NUMBER(NAME, ...) REG_##NAME,
enum {
	VTD_REGS(REG_NUMBER) VTD_OLD_REGS(REG_NUMBER) REGS
};
#undef REG_NUMBER

VIOMMU_STATIC_ASSERT(REGS < 255, "a register's number plus 1 fits a byte");

/* A write has been stored by the masks; bits: which of the register were written, with what. */
struct reg_write {
	unsigned int offset; /* of the register in the block */
	uint64_t old;
	uint64_t value;
	uint64_t bits;
};

typedef void (*reg_hook)(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out);

/* ---- Global command (VTD-CMD-*) ---- */

/* VTD-CMD-02, VTD-CMD-14, VTD-CMD-19: the address counts from here on. */
static void set_root_table(struct viommu_guest *g)
{
	uint32_t *gsts = &REG32(g, GSTS);

	*gsts &= ~(uint32_t)VTD_MASK(VTD_GSTS_RTPS);
	g->unit.rtaddr = REG64(g, RTADDR);
	if (HAS_CAP(g, ESRTPS) && unit_translates(g))
		viommu__bind_reset_all(g, VIOMMU_TRAP_GLOBAL);
	*gsts |= (uint32_t)VTD_MASK(VTD_GSTS_RTPS);
}

/* VTD-FREC-18: nothing is on that could fault. */
static void fault_index_reset(struct viommu_guest *g)
{
	if (!(REG32(g, GSTS) & (VTD_MASK(VTD_GSTS_TES) | VTD_MASK(VTD_GSTS_IRES))))
		g->fault_index = 0;
}

/*
 * VTD-CMD-11, VTD-CMD-12, VTD-CMD-13: ending binds drains what used them, and no cache is left. The
 * status changes under the lock, so nobody sees it before the effect (VTD-CMD-22).
 */
static void set_translation(struct viommu_guest *g, bool on)
{
	uint32_t *gsts = &REG32(g, GSTS);

	*gsts = (*gsts & ~(uint32_t)VTD_MASK(VTD_GSTS_TES)) |
		(on ? (uint32_t)VTD_MASK(VTD_GSTS_TES) : 0);
	viommu__bind_reset_all(g, VIOMMU_TRAP_GLOBAL);
	fault_index_reset(g);
}

/* VTD-CMD-05, VTD-CMD-07: levels, at the same bits in both registers. */
static void set_interrupts(struct viommu_guest *g, uint32_t changed)
{
	if (!changed || !HAS_ECAP(g, IR))
		return;
	REG32(g, GSTS) ^= changed;
	viommu__ir_switch(g);
	fault_index_reset(g);
}

static void hook_gcmd(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	uint32_t v = (uint32_t)w->value, *gsts = &REG32(g, GSTS), changed;

	/* WBF has nothing to flush: WBFS is 0 again at once (VTD-CMD-03). */
	if (v & VTD_MASK(VTD_GCMD_SRTP))
		set_root_table(g);
	if (v & VTD_MASK(VTD_GCMD_SIRTP)) {
		if (HAS_ECAP(g, IR))
			viommu__ir_table(g); /* VTD-CMD-06 */
		*gsts |= (uint32_t)VTD_MASK(VTD_GSTS_IRTPS);
	}
	changed = v ^ *gsts;
	if (changed & VTD_MASK(VTD_GCMD_QIE) && HAS_ECAP(g, QI)) {
		*gsts ^= (uint32_t)VTD_MASK(VTD_GSTS_QIES);
		viommu__queue_enable(g, v & VTD_MASK(VTD_GCMD_QIE));
	}
	set_interrupts(g, changed & (uint32_t)(VTD_MASK(VTD_GCMD_IRE) | VTD_MASK(VTD_GCMD_CFI)));
	if (changed & VTD_MASK(VTD_GCMD_TE))
		set_translation(g, v & VTD_MASK(VTD_GCMD_TE));
	if (viommu__queue_run(g, out))
		out->kick = true;
}

/* ---- Register-based invalidation (VTD-RINV-*) ---- */

/* VTD-RINV-06 */
static bool by_register(const struct viommu_guest *g)
{
	return VTD_FIELD(g->unit.ver, VTD_VER_MAX) < 6;
}

static void hook_ccmd(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	uint64_t v = REG64(g, CCMD);
	struct shadow_filter f = { .cause = VIOMMU_TRAP_CONTEXT_CACHE, .sid_ignore = 0xffff };
	uint32_t budget = UINT32_MAX;
	unsigned int done = VTD_RINV_ERROR;
	struct unit_scan queue;

	(void)out;
	/* VTD-RINV-12: the upper half starts it. */
	if (!(w->value & w->bits & VTD_MASK(VTD_CCMD_ICC)))
		return;
	if (by_register(g) && unit_ttm(g) == VTD_TTM_LEGACY) { /* VTD-RINV-05 */
		done = (unsigned int)VTD_FIELD(v, VTD_CCMD_CIRG);
		if (done == VTD_RINV_DOMAIN) {
			f.by_did = true;
			f.did = (uint16_t)VTD_FIELD(v, VTD_CCMD_DID);
		} else if (done == VTD_RINV_DEVICE) {
			f.sid = (uint16_t)VTD_FIELD(v, VTD_CCMD_SID);
			f.sid_ignore = (uint16_t)viommu__fm_bits(VTD_FIELD(v, VTD_CCMD_FM));
		}
		if (done != VTD_RINV_ERROR) {
			/* A descriptor may be in the middle of its own. */
			queue = g->scan;
			g->scan.active = false;
			viommu__bind_scan(g, &f, &budget);
			g->scan = queue;
		}
	}
	v &= ~(VTD_MASK(VTD_CCMD_ICC) | VTD_MASK(VTD_CCMD_CAIG));
	REG64_SET(g, CCMD, v | VTD_VAL(VTD_CCMD_CAIG, done));
}

static void hook_iotlb(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	uint64_t v = reg64_at(g, w->offset), iva = reg64_at(g, g->iva);
	unsigned int done = VTD_RINV_ERROR, am = (unsigned int)VTD_FIELD(iva, VTD_IVA_AM);
	uint16_t did = (uint16_t)VTD_FIELD(v, VTD_IOTLB_DID);

	(void)out;
	if (!(w->value & w->bits & VTD_MASK(VTD_IOTLB_IVT)))
		return;
	if (by_register(g)) {
		done = (unsigned int)VTD_FIELD(v, VTD_IOTLB_IIRG);
		/* VTD-RINV-09; without PSI the whole domain is dropped, and the answer says so. */
		if (done == VTD_RINV_PAGE && !HAS_CAP(g, PSI))
			done = VTD_RINV_DOMAIN;
		else if (done == VTD_RINV_PAGE && am > HAS_CAP(g, MAMV))
			done = VTD_RINV_ERROR;
		switch (done) {
		case VTD_RINV_GLOBAL:
			viommu__inv_global(g);
			break;
		case VTD_RINV_DOMAIN:
			viommu__inv_domain(g, did, false, 0, 0);
			break;
		case VTD_RINV_PAGE:
			viommu__inv_domain(g, did, true,
					   iva & VTD_MASK(VTD_IVA_ADDR) & ~low_bits(12 + am),
					   BIT64(12 + am));
			break;
		default:
			break;
		}
		viommu__inv_drain(g); /* VTD-RINV-10 */
	}
	v &= ~(VTD_MASK(VTD_IOTLB_IVT) | VTD_MASK(VTD_IOTLB_IAIG));
	reg64_at_set(g, w->offset, v | VTD_VAL(VTD_IOTLB_IAIG, done));
}

/* ---- Status, events, queues ---- */

static void hook_fsts(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	viommu__fault_update(g);
	/* VTD-QERR-10: IQE and ITE held the queue. */
	if (viommu__queue_run(g, out))
		out->kick = true;
}

static void hook_frcd_hi(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	(void)out;
	viommu__fault_update(g);
}

static void hook_fectl(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	viommu__event_control(g, EVENT_FAULT, out);
}

static void hook_iectl(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	viommu__event_control(g, EVENT_INVALIDATION, out);
}

static void hook_pectl(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	viommu__event_control(g, EVENT_PAGE, out);
}

static void hook_ics(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	(void)out;
	if (!(REG32(g, ICS) & VTD_MASK(VTD_ICS_IWC)))
		viommu__event_clear(g, EVENT_INVALIDATION); /* VTD-QORD-07 */
}

static void hook_prs(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	(void)out;
	if (!(REG32(g, PRS) & (VTD_MASK(VTD_PRS_PPR) | VTD_MASK(VTD_PRS_PRO))))
		viommu__event_clear(g, EVENT_PAGE);
}

static void hook_iqt(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)w;
	if (viommu__queue_run(g, out))
		out->kick = true;
}

/* ---- Virtual commands ---- */

static unsigned int vcrsp_of(const struct viommu_guest *g)
{
	return g->flags & VIOMMU_GUEST_VCMD_OLD ? VTD_REG_OLD_VCRSP : VTD_REG_VCRSP;
}

/*
 * VTD-REG-03: a qword may come as two dwords, the low one first; so the high one starts it. The
 * command ends inside of the write: VCRSP.IP is never seen set, and no write meets it set
 * (VTD-VCMD-04, VTD-VCMD-05).
 */
static void hook_vcmd(struct viommu_guest *g, const struct reg_write *w, struct unit_out *out)
{
	(void)out;
	if (w->bits >> 32)
		reg64_at_set(g, vcrsp_of(g), viommu__vcmd_run(g, reg64_at(g, w->offset)));
}

static const reg_hook hooks[REGS] = {
	[REG_GCMD] = hook_gcmd,     [REG_CCMD] = hook_ccmd,       [REG_FSTS] = hook_fsts,
	[REG_FECTL] = hook_fectl,   [REG_IQT] = hook_iqt,         [REG_ICS] = hook_ics,
	[REG_IECTL] = hook_iectl,   [REG_PRS] = hook_prs,         [REG_PECTL] = hook_pectl,
	[REG_IOTLB] = hook_iotlb,   [REG_FRCD_HI] = hook_frcd_hi, [REG_VCMD] = hook_vcmd,
	[REG_OLD_VCMD] = hook_vcmd,
};

/* ---- The block ---- */

static unsigned int reg_base(const struct viommu_spec_reg *reg, uint64_t cap, uint64_t ecap)
{
	switch (reg->base) {
	case VIOMMU_SPEC_BASE_IRO:
		return 16u * (unsigned int)VTD_FIELD(ecap, VTD_ECAP_IRO);
	case VIOMMU_SPEC_BASE_FRO:
		return 16u * (unsigned int)VTD_FIELD(cap, VTD_CAP_FRO);
	default:
		return 0;
	}
}

static const struct viommu_spec_reg *reg_number(unsigned int n)
{
	return n < REG_OLD_VCCAP ? &viommu_spec_regs[n] : &viommu_spec_old_regs[n - REG_OLD_VCCAP];
}

/* Registers of one layout are none of the other's (VTD-VCMD-06). */
static bool other_layout(uint32_t flags, unsigned int n)
{
	if (flags & VIOMMU_GUEST_VCMD_OLD)
		return n >= REG_VCMD && n <= REG_VCCAP;
	return n >= REG_OLD_VCCAP;
}

/* Which register each dword belongs to. False: two claim one, or the block is too small. */
static bool layout(const struct viommu_guest *g, uint8_t owner[VIOMMU_GUEST_REGISTERS / 4])
{
	uint64_t cap = g->unit.cap, ecap = g->unit.ecap;
	unsigned int n, i, j;

	memset(owner, 0, VIOMMU_GUEST_REGISTERS / 4);
	for (n = 0; n < REGS; n++) {
		const struct viommu_spec_reg *reg = reg_number(n);
		unsigned int at = reg_base(reg, cap, ecap) + reg->offset;
		unsigned int count = reg->count, stride = reg->width / 8;

		if (other_layout(g->flags, n) || !viommu_spec_reg_present(reg, cap, ecap))
			continue;
		if (reg->flags & VIOMMU_SPEC_REG_PER_RECORD) {
			count = (unsigned int)VTD_FIELD(cap, VTD_CAP_NFR) + 1;
			stride = 16;
		}
		for (i = 0; i < count; i++) {
			for (j = 0; j < reg->width / 32u; j++) {
				unsigned int dword = (at + i * stride) / 4 + j;

				if (dword >= VIOMMU_GUEST_REGISTERS / 4 || owner[dword])
					return false;
				owner[dword] = (uint8_t)(n + 1);
			}
		}
	}
	return true;
}

bool viommu__registers_fit(const struct viommu_guest *g)
{
	uint8_t owner[VIOMMU_GUEST_REGISTERS / 4];

	return layout(g, owner);
}

void viommu__registers_init(struct viommu_guest *g)
{
	layout(g, g->owner);
	g->frcd = (uint16_t)(16u * (unsigned int)HAS_CAP(g, FRO));
	g->iva = (uint16_t)(16u * (unsigned int)HAS_ECAP(g, IRO));
	viommu__registers_reset(g, false);
}

/* The register that a dword belongs to, and where it begins; NULL: none. */
static const struct viommu_spec_reg *reg_of(const struct viommu_guest *g, unsigned int dword,
					    unsigned int *first)
{
	const struct viommu_spec_reg *reg;

	if (!g->owner[dword])
		return NULL;
	reg = reg_number(g->owner[dword] - 1u);
	*first = reg->width == 64 ? dword & ~1u : dword;
	return reg;
}

void viommu__registers_reset(struct viommu_guest *g, bool warm)
{
	const struct viommu_spec_reg *reg;
	unsigned int i, first;

	for (i = 0; i < VIOMMU_GUEST_REGISTERS / 4; i++) {
		uint64_t sticky = 0, value = 0;

		reg = reg_of(g, i, &first);
		if (reg) {
			value = reg->reset >> 32 * (i - first);
			/* VTD-REG-07: only the loss of power clears these. */
			sticky = warm ? reg->sticky >> 32 * (i - first) : 0;
		}
		g->reg[i] = (uint32_t)((g->reg[i] & sticky) | (value & ~sticky));
	}
	viommu__registers_constants(g);
}

void viommu__registers_constants(struct viommu_guest *g)
{
	REG32(g, VER) = g->unit.ver;
	REG64_SET(g, CAP, g->unit.cap);
	REG64_SET(g, ECAP, g->unit.ecap);
	if (g->flags & VIOMMU_GUEST_VCMD)
		reg64_at_set(g,
			     g->flags & VIOMMU_GUEST_VCMD_OLD ? VTD_REG_OLD_VCCAP : VTD_REG_VCCAP,
			     viommu__vcmd_capability(g));
}

/* Bits of a register that are reserved in its layout. */
static uint64_t reg_reserved(const struct viommu_spec_reg *reg)
{
	const struct viommu_spec_table *table = viommu_spec_table_find(reg->layout);

	/* A fault record is two registers. */
	return table ? viommu_spec_reserved(table, reg == reg_number(REG_FRCD_HI)) : 0;
}

void viommu__registers_check(const struct viommu_guest *g,
			     const uint32_t value[VIOMMU_GUEST_REGISTERS / 4],
			     struct viommu_state_in *in)
{
	const struct viommu_spec_reg *reg;
	unsigned int i, first;

	for (i = 0; i < VIOMMU_GUEST_REGISTERS / 4; i++) {
		uint64_t reserved = UINT64_MAX;

		reg = reg_of(g, i, &first);
		if (reg)
			reserved = reg_reserved(reg) >> 32 * (i - first);
		if (value[i] & (uint32_t)reserved) {
			viommu_state_refuse(in, "register %s at %xh has bits that it cannot have",
					    reg ? reg->name : "none", i * 4);
			return;
		}
	}
	/* A command ends inside of the write that starts it: nobody would end this one. */
	if (value[VTD_REG_CCMD / 4 + 1] & VTD_MASK(VTD_CCMD_ICC) >> 32 ||
	    value[(g->iva + 8) / 4 + 1] & VTD_MASK(VTD_IOTLB_IVT) >> 32 ||
	    (g->flags & VIOMMU_GUEST_VCMD && value[vcrsp_of(g) / 4] & VTD_MASK(VTD_VCRSP_IP)))
		viommu_state_refuse(in, "a register's command is under way");
}

/* One register, all of it or (bits) half of it. */
static void reg_store(struct viommu_guest *g, const struct viommu_spec_reg *reg, unsigned int first,
		      uint64_t value, uint64_t bits, struct unit_out *out)
{
	struct reg_write w = { .offset = first * 4, .value = value, .bits = bits };
	uint64_t now;

	w.old = reg->width == 64 ? reg64_at(g, w.offset) : g->reg[first];
	now = (w.old & ~(reg->writable & bits)) | (value & reg->writable & bits);
	now &= ~(value & reg->rw1c & bits);
	if (reg->width == 64)
		reg64_at_set(g, w.offset, now);
	else
		g->reg[first] = (uint32_t)now;
	if (hooks[g->owner[first] - 1])
		hooks[g->owner[first] - 1](g, &w, out);
}

static bool access_fits(uint64_t offset, unsigned bytes)
{
	return (bytes == 4 || bytes == 8) && is_aligned(offset, bytes) &&
	       offset < VIOMMU_GUEST_REGISTERS;
}

static uint32_t dword_load(const struct viommu_guest *g, unsigned int dword)
{
	unsigned int first;
	const struct viommu_spec_reg *reg = reg_of(g, dword, &first);

	return reg && !(reg->flags & VIOMMU_SPEC_REG_WO) ? g->reg[dword] : 0;
}

uint64_t viommu_guest_read(struct viommu_guest *guest, uint64_t offset, unsigned bytes)
{
	uint64_t v;

	if (!access_fits(offset, bytes))
		return 0;
	pthread_mutex_lock(&guest->lock);
	v = dword_load(guest, (unsigned int)offset / 4);
	if (bytes == 8)
		v |= (uint64_t)dword_load(guest, (unsigned int)offset / 4 + 1) << 32;
	pthread_mutex_unlock(&guest->lock);
	return v;
}

void viommu_guest_write(struct viommu_guest *guest, uint64_t offset, unsigned bytes, uint64_t value)
{
	unsigned int dword = (unsigned int)offset / 4, i, first;
	const struct viommu_spec_reg *reg;
	struct unit_out out;

	if (!access_fits(offset, bytes))
		return;
	viommu__guest_enter(guest, &out);
	reg = reg_of(guest, dword, &first);
	if (bytes == 8 && reg && reg->width == 64) {
		reg_store(guest, reg, first, value, ~UINT64_C(0), &out);
	} else {
		/* VTD-REG-02, VTD-REG-03: two registers, or the low half and then the high one. */
		for (i = 0; i < bytes / 4; i++) {
			uint64_t half = (uint32_t)(value >> 32 * i);
			unsigned int shift;

			reg = reg_of(guest, dword + i, &first);
			if (!reg)
				continue;
			shift = 32 * (dword + i - first);
			reg_store(guest, reg, first, half << shift, MASK64(31, 0) << shift, &out);
		}
	}
	viommu__guest_leave(guest, &out);
}
