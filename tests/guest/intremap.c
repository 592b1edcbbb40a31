/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt remapping as a guest programs it and a VMM asks for it: every format, every fault
 * reason, the cache and what drops it, source validation, and threads.
 */
#include "base/alloc.h"
#include "base/atomic.h"
#include "guest/world.h"
#include "mem/mem.h"

#define IR       (VIOMMU_GUEST_INTREMAP)
#define IRX      (VIOMMU_GUEST_INTREMAP | VIOMMU_GUEST_X2APIC)
#define G(NAME)  ((uint32_t)VTD_MASK(VTD_GCMD_##NAME))
#define S(NAME)  ((uint32_t)VTD_MASK(VTD_GSTS_##NAME))
#define SID      ((uint16_t)0x0510)
#define FEE      VTD_WINDOW_BASE
#define REMAP    (FEE | VTD_MASK(VTD_RMSI_ADDR_FORMAT))
#define HOLE     UINT64_C(0x1000000000) /* no memory of the VM */
#define EVERYONE VIOMMU_GUEST_INTERRUPTS

/* A guest with a table of 2^(s + 1) entries. */
struct iw {
	struct gw w;
	uint64_t table;
	unsigned int s;
};

/* The address of a message in remappable format, without subhandle. */
static uint64_t handle(uint32_t index)
{
	return REMAP | VTD_VAL(VTD_RMSI_ADDR_HANDLE, index & 0x7fff) |
	       VTD_VAL(VTD_RMSI_ADDR_HANDLE_HI, index >> 15);
}

static void iw_table(struct iw *i, unsigned int s, bool x2apic)
{
	unsigned int pages = (2u << s) * VTD_IRTE_BYTES >> 12, n;

	i->s = s;
	i->table = gw_page(&i->w);
	for (n = 1; n < pages; n++)
		gw_page(&i->w);
	gw_wr64(&i->w, VTD_REG_IRTA, i->table | VTD_VAL(VTD_IRTA_EIME, x2apic) | s);
	gw_command(&i->w, G(SIRTP), true);
	assert_true(gw_rd32(&i->w, VTD_REG_GSTS) & S(IRTPS));
}

static void iw_open(struct iw *i, const struct gw_config *c)
{
	gw_open(&i->w, c);
	gw_iq_setup(&i->w, 32, 0);
	gw_set_root(&i->w, VTD_TTM_SCALABLE);
	iw_table(i, 7, c->flags & VIOMMU_GUEST_X2APIC);
	gw_command(&i->w, G(IRE), true);
}

static void iw_open_flags(struct iw *i, uint32_t flags)
{
	iw_open(i, &(struct gw_config){ .flags = flags });
}

static uint64_t *irte(struct iw *i, uint32_t index)
{
	return gw_ptr(&i->w, i->table) + (size_t)index * 2;
}

/* A present entry in xAPIC mode: fixed, edge, physical, to one destination. */
static uint64_t plain(uint8_t vector, uint8_t dest)
{
	return VTD_MASK(VTD_IRTE_P) | VTD_VAL(VTD_IRTE_V, vector) |
	       VTD_VAL(VTD_IRTE_DST, (uint32_t)dest << 8);
}

static bool sends(struct iw *i, uint64_t addr, uint32_t data, uint8_t vector, uint32_t dest)
{
	struct viommu_guest_interrupt out;

	return !viommu_guest_remap(i->w.guest, SID, addr, data, &out) && out.vector == vector &&
	       out.dest == dest;
}

static bool sends_index(struct iw *i, uint32_t index, uint8_t vector)
{
	return sends(i, handle(index), 0, vector, 1);
}

/* Blocked; the record has this, and is taken out. */
static bool blocked(struct iw *i, uint16_t sid, uint64_t addr, uint32_t data, uint8_t reason,
		    uint32_t index)
{
	struct viommu_guest_interrupt out;
	uint64_t f[2] = { 0 };
	unsigned int n;

	if (viommu_guest_remap(i->w.guest, sid, addr, data, &out) != VIOMMU_FAULTED)
		return false;
	assert_int_equal(out.vector | out.dest | out.addr | out.data, 0);
	n = gw_frcd(&i->w, (unsigned int)VTD_FIELD(gw_rd32(&i->w, VTD_REG_FSTS), VTD_FSTS_FRI));
	f[0] = gw_rd64(&i->w, n);
	f[1] = gw_rd64(&i->w, n + 8);
	gw_wr64(&i->w, n + 8, VTD_MASK(VTD_FRCD_F));
	assert_false(gw_rd32(&i->w, VTD_REG_FSTS) & VTD_MASK(VTD_FSTS_PPF));
	/* A write, untranslated, without PASID; nothing in FI but the index. VTD-FREC-09 */
	return VTD_GET(f, VTD_FRCD_F) && VTD_GET(f, VTD_FRCD_FR) == reason &&
	       VTD_GET(f, VTD_FRCD_SID) == sid && f[0] == (uint64_t)(index & 0xffff) << 48 &&
	       !VTD_GET(f, VTD_FRCD_PP) && !VTD_GET(f, VTD_FRCD_T1) && !VTD_GET(f, VTD_FRCD_T2) &&
	       !VTD_GET(f, VTD_FRCD_AT);
}

/* Blocked, and no record of it. */
static bool blocked_silently(struct iw *i, uint64_t addr)
{
	struct viommu_guest_interrupt out;

	return viommu_guest_remap(i->w.guest, SID, addr, 0, &out) == VIOMMU_FAULTED &&
	       !(gw_rd32(&i->w, VTD_REG_FSTS) & VTD_MASK(VTD_FSTS_PPF));
}

static uint64_t iec(unsigned int g, uint32_t index, unsigned int im)
{
	return VTD_VAL(VTD_IQ_IEC_TYPE, VTD_IQ_TYPE_IEC) | VTD_VAL(VTD_IQ_IEC_G, g) |
	       VTD_VAL(VTD_IQ_IEC_IIDX, index) | VTD_VAL(VTD_IQ_IEC_IM, im);
}

static uint64_t hits(struct iw *i)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(i->w.guest, &s);
	return s.interrupt_hits;
}

/* ---- Formats ---- */

/* VTD-IR-01, VTD-CMD-05, VTD-CAP-21 */
static void with_remapping_off_a_message_passes_as_it_is(void **state)
{
	static const uint32_t flags[] = { 0, IR, IRX };
	struct viommu_guest_interrupt out;
	unsigned int n;
	struct gw w;

	(void)state;
	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		gw_open(&w, &(struct gw_config){ .flags = flags[n] });
		assert_int_equal(VTD_FIELD(w.ecap, VTD_ECAP_IR), n > 0);
		assert_int_equal(VTD_FIELD(w.ecap, VTD_ECAP_EIM), n > 1);
		assert_int_equal(VTD_FIELD(w.ecap, VTD_ECAP_MHMV), n ? 15 : 0);
		assert_int_equal(viommu_guest_remap(w.guest, SID, FEE | 0xab00c, 0xc123, &out), 0);
		assert_int_equal(out.addr, FEE | 0xab00c);
		assert_int_equal(out.data, 0xc123);
		assert_int_equal(out.dest, 0xab);
		assert_int_equal(out.vector, 0x23);
		assert_int_equal(out.delivery_mode, VTD_DLM_LOWEST);
		assert_int_equal(out.trigger_mode, 1);
		assert_int_equal(out.dest_mode, 1);
		assert_int_equal(out.redirection_hint, 1);
		assert_int_equal(out.remapped, 0);
		/* In the other format, too: it means nothing yet. */
		assert_int_equal(viommu_guest_remap(w.guest, SID, REMAP, 5, &out), 0);
		assert_int_equal(out.addr, REMAP);
		assert_int_equal(out.remapped, 0);
		gw_close(&w);
	}
}

/* VTD-WIN-01 */
static void an_address_outside_of_the_window_is_no_message(void **state)
{
	struct viommu_guest_interrupt out;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	assert_int_equal(viommu_guest_remap(i.w.guest, SID, FEE - 4, 0, &out), -EINVAL);
	assert_int_equal(viommu_guest_remap(i.w.guest, SID, FEE + 0x100000, 0, &out), -EINVAL);
	assert_int_equal(viommu_guest_remap(i.w.guest, SID, FEE | UINT64_C(1) << 32, 0, &out),
			 -EINVAL);
	assert_false(gw_rd32(&i.w, VTD_REG_FSTS) & VTD_MASK(VTD_FSTS_PPF));
	gw_close(&i.w);
}

/* VTD-IR-03, VTD-IR-06: every field of an entry, and the message in compatibility form. */
static void a_remappable_message_is_what_its_entry_says(void **state)
{
	static const uint8_t modes[] = { VTD_DLM_FIXED, VTD_DLM_LOWEST, VTD_DLM_SMI,
					 VTD_DLM_NMI,   VTD_DLM_INIT,   VTD_DLM_EXTINT };
	struct viommu_guest_interrupt out;
	struct rng rng;
	unsigned int n;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	rng_init(&rng, "irte");
	for (n = 0; n < 256; n++) {
		uint32_t bits = (uint32_t)rng_u64(&rng), index = (uint32_t)rng_below(&rng, 256);
		uint8_t vector = (uint8_t)(bits >> 8), dest = (uint8_t)(bits >> 16);
		uint8_t mode = modes[rng_below(&rng, ARRAY_SIZE(modes))];

		/* DM 2, RH 3, TM 4, and what is left to software. */
		irte(&i, index)[0] = plain(vector, dest) | (bits & 0xf1c) | mode << 5;
		assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, index, 0), 0));
		/* Without subhandle the data says nothing, and bits 1:0 of the address neither. */
		assert_int_equal(viommu_guest_remap(i.w.guest, SID, handle(index) | (bits & 3),
						    (uint32_t)rng_u64(&rng), &out),
				 0);
		assert_int_equal(out.vector, vector);
		assert_int_equal(out.dest, dest);
		assert_int_equal(out.delivery_mode, mode);
		assert_int_equal(out.dest_mode, bits >> 2 & 1);
		assert_int_equal(out.redirection_hint, bits >> 3 & 1);
		assert_int_equal(out.trigger_mode, bits >> 4 & 1);
		assert_int_equal(out.remapped, 1);
		assert_int_equal(out.index, index);
		assert_int_equal(out.addr,
				 UINT64_C(0xfee00000) | (uint64_t)dest << 12 | (bits & 0xc));
		assert_int_equal(out.data, vector | mode << 8 | 1u << 14 | (bits >> 4 & 1) << 15);
	}
	gw_close(&i.w);
}

/* VTD-IR-06, VTD-REG-29, VTD-CAP-21: destinations of 32 bits. */
static void in_x2apic_mode_the_destination_has_32_bits(void **state)
{
	struct viommu_guest_interrupt out;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IRX);
	irte(&i, 3)[0] = VTD_MASK(VTD_IRTE_P) | VTD_VAL(VTD_IRTE_V, 0x44) |
			 VTD_VAL(VTD_IRTE_DST, 0x89abcdef);
	assert_int_equal(viommu_guest_remap(i.w.guest, SID, handle(3), 0, &out), 0);
	assert_int_equal(out.dest, 0x89abcdef);
	assert_int_equal(out.addr, UINT64_C(0x89abcd00feeef000));
	assert_int_equal(out.data, 0x4044);
	/* CFI or not: VTD-CMD-08, VTD-IR-02, VTD-FLT-120 */
	assert_true(blocked(&i, SID, FEE | 0x1000, 0x33, VTD_FR_IR_COMPAT, 0));
	gw_command(&i.w, G(CFI), true);
	assert_true(blocked(&i, SID, FEE | 0x1000, 0x33, VTD_FR_IR_COMPAT, 0));
	/* The same table in the other mode: bits left over are reserved. */
	gw_wr64(&i.w, VTD_REG_IRTA, i.table | i.s);
	assert_true(blocked(&i, SID, FEE | 0x1000, 0x33, VTD_FR_IR_COMPAT, 0)); /* not yet */
	gw_command(&i.w, G(SIRTP), true);
	assert_true(blocked(&i, SID, handle(3), 0, VTD_FR_IR_IRTE_RSVD, 3));
	assert_true(sends(&i, FEE | 0x1000, 0x33, 0x33, 1));
	gw_close(&i.w);
	/* Without ECAP.EIM the bit in IRTA means nothing. */
	iw_open_flags(&i, IR);
	gw_wr64(&i.w, VTD_REG_IRTA, i.table | VTD_MASK(VTD_IRTA_EIME) | i.s);
	gw_command(&i.w, G(SIRTP), true);
	irte(&i, 3)[0] = plain(0x44, 9);
	assert_true(sends(&i, handle(3), 0, 0x44, 9));
	gw_close(&i.w);
}

/* VTD-IR-03: bit 15 of the handle stands elsewhere, the subhandle is added. */
static void the_index_is_handle_plus_subhandle(void **state)
{
	const uint64_t shv = VTD_MASK(VTD_RMSI_ADDR_SHV);
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	iw_table(&i, 15, false); /* 65536 entries */
	irte(&i, 0x8001)[0] = plain(0x11, 1);
	irte(&i, 0x0001)[0] = plain(0x12, 1);
	irte(&i, 0xffff)[0] = plain(0x13, 1);
	irte(&i, 0x0021)[0] = plain(0x14, 1);
	assert_true(sends(&i, REMAP | 1 << 5 | 1 << 2, 0, 0x11, 1));
	assert_true(sends(&i, REMAP | 1 << 5, 0, 0x12, 1));
	assert_true(sends(&i, REMAP | 0x7fff << 5 | 1 << 2, 0, 0x13, 1));
	assert_true(sends(&i, handle(1) | shv, 0x20, 0x14, 1));
	assert_true(sends(&i, handle(1) | shv, 0x8000, 0x11, 1));
	assert_true(sends(&i, handle(0x8000) | shv, 1, 0x11, 1));
	assert_true(sends(&i, handle(1), 0x20, 0x12, 1)); /* not valid: not looked at */
	/* Beyond 16 bits there is no wrap. VTD-IR-04, VTD-FLT-116 */
	assert_true(blocked(&i, SID, handle(0xffff) | shv, 2, VTD_FR_IR_INDEX, 1));
	assert_true(blocked(&i, SID, handle(0xffff) | shv, 0xffff, VTD_FR_IR_INDEX, 0xfffe));
	gw_close(&i.w);
}

/* VTD-CMD-07, VTD-IR-02, VTD-FLT-120 */
static void compatibility_format_passes_if_cfi_says_so(void **state)
{
	struct viommu_guest_interrupt out;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	assert_true(blocked(&i, SID, FEE | 0x1000, 0x33, VTD_FR_IR_COMPAT, 0));
	gw_command(&i.w, G(CFI), true);
	assert_int_equal(viommu_guest_remap(i.w.guest, SID, FEE | 0x1000, 0x33, &out), 0);
	assert_int_equal(out.remapped, 0);
	assert_int_equal(out.dest, 1);
	assert_int_equal(out.data, 0x33);
	irte(&i, 0)[0] = plain(0x55, 1);
	assert_true(sends_index(&i, 0, 0x55)); /* the other format as ever */
	gw_command(&i.w, G(CFI), false);
	assert_true(blocked(&i, SID, FEE | 0x1000, 0x33, VTD_FR_IR_COMPAT, 0));
	gw_close(&i.w);
}

/* ---- Faults ---- */

/* VTD-FLT-115, VTD-FLT-116, VTD-FLT-117, VTD-FLT-118, VTD-FLT-119 */
static void each_reason_is_recorded_with_the_index(void **state)
{
	const uint64_t shv = VTD_MASK(VTD_RMSI_ADDR_SHV);
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	for (unsigned int n = 0; n < 256; n++)
		irte(&i, n)[0] = plain(0x20, 1);
	assert_true(blocked(&i, SID, handle(7) | shv, 0x10001, VTD_FR_IR_REQ_RSVD, 7));
	assert_true(blocked(&i, SID, handle(7) | shv, 0x80000001, VTD_FR_IR_REQ_RSVD, 7));
	assert_true(sends(&i, handle(255), 0, 0x20, 1));
	assert_true(blocked(&i, SID, handle(256), 0, VTD_FR_IR_INDEX, 256));
	assert_true(blocked(&i, SID, handle(255) | shv, 1, VTD_FR_IR_INDEX, 256));
	irte(&i, 5)[0] = 0;
	assert_true(blocked(&i, SID, handle(5), 0, VTD_FR_IR_IRTE_NP, 5));
	/* Nothing else of an absent entry counts. */
	irte(&i, 5)[0] = ~UINT64_C(3);
	assert_true(blocked(&i, SID, handle(5), 0, VTD_FR_IR_IRTE_NP, 5));
	/* The table's page is no memory, or beyond the host's width. */
	gw_wr64(&i.w, VTD_REG_IRTA, HOLE | i.s);
	gw_command(&i.w, G(SIRTP), true);
	assert_true(blocked(&i, SID, handle(9), 0, VTD_FR_IR_IRTE_ACCESS, 9));
	gw_wr64(&i.w, VTD_REG_IRTA, UINT64_C(1) << 63 | i.s);
	gw_command(&i.w, G(SIRTP), true);
	assert_true(blocked(&i, SID, handle(9), 0, VTD_FR_IR_IRTE_ACCESS, 9));
	/* Any bus, added or not, is who it says it is. */
	assert_true(blocked(&i, 0xffff, handle(9), 0, VTD_FR_IR_IRTE_ACCESS, 9));
	gw_close(&i.w);
}

/* VTD-IR-11: what is wrong in several ways is wrong in the first of them. */
static void checks_come_in_the_order_of_what_they_need(void **state)
{
	const uint64_t shv = VTD_MASK(VTD_RMSI_ADDR_SHV);
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	/* Reserved data and an index beyond the table; beyond the table and no memory. */
	assert_true(blocked(&i, SID, handle(300) | shv, 0x10000, VTD_FR_IR_REQ_RSVD, 300));
	gw_wr64(&i.w, VTD_REG_IRTA, HOLE | i.s);
	gw_command(&i.w, G(SIRTP), true);
	assert_true(blocked(&i, SID, handle(300), 0, VTD_FR_IR_INDEX, 300));
	gw_wr64(&i.w, VTD_REG_IRTA, i.table | i.s);
	gw_command(&i.w, G(SIRTP), true);
	/* Absent, reserved, of another source. */
	irte(&i, 1)[0] = 1 << 12;
	irte(&i, 1)[1] = 0x40000;
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_NP, 1));
	irte(&i, 1)[0] |= 1;
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_RSVD, 1));
	irte(&i, 1)[0] = plain(0x20, 1);
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_SID, 1));
	gw_close(&i.w);
}

/* VTD-FLT-119, VTD-IR-05: posted entries are not announced, so IM is reserved like the rest. */
static void reserved_bits_and_the_posted_format_are_refused(void **state)
{
	struct {
		uint64_t lo, hi;
	} bad[64];
	unsigned int nr = 0, n;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	assert_int_equal(VTD_FIELD(i.w.cap, VTD_CAP_PI), 0);
	for (n = 12; n <= 15; n++)
		bad[nr++].lo = UINT64_C(1) << n;
	for (n = 24; n <= 39; n++)
		bad[nr++].lo = UINT64_C(1) << n;
	for (n = 48; n <= 63; n++)
		bad[nr++].lo = UINT64_C(1) << n;
	bad[nr++].lo = 3 << 5;
	bad[nr++].lo = 6 << 5;
	for (n = 0; n < nr; n++)
		bad[n].hi = 0;
	for (n = 0; n < 4; n++) {
		static const uint64_t hi[] = { UINT64_C(3) << 18, UINT64_C(1) << 20,
					       UINT64_C(1) << 40, UINT64_C(1) << 63 };

		bad[nr].lo = 0;
		bad[nr++].hi = hi[n];
	}
	for (n = 0; n < nr; n++) {
		irte(&i, n)[0] = plain(0x20, 1) | bad[n].lo;
		irte(&i, n)[1] = bad[n].hi;
		assert_true(blocked(&i, SID, handle(n), 0, VTD_FR_IR_IRTE_RSVD, n));
		/* And is not kept. */
		irte(&i, n)[0] = plain(0x20, 1);
		irte(&i, n)[1] = 0;
		assert_true(sends_index(&i, n, 0x20));
	}
	assert_true(nr > 40);
	gw_close(&i.w);
}

/* VTD-IR-07, VTD-IR-08, VTD-FLT-121 */
static void a_message_counts_only_from_whom_its_entry_names(void **state)
{
	static const struct {
		uint32_t check; /* SVT, SQ, SID as they stand in the entry */
		uint16_t sid;
		bool good;
	} tries[] = {
		{ 0x00510, 0xffff, true }, /* no validation */
		{ 0x70510, 0x0510, true },
		{ 0x40510, 0x0511, false },
		{ 0x40510, 0x0510, true },
		{ 0x40510, 0x0514, false },
		{ 0x40510, 0x0410, false },
		{ 0x40510, 0x8510, false },
		{ 0x50510, 0x0514, true },
		{ 0x50510, 0x0512, false }, /* bit 2 left out */
		{ 0x50510, 0x0511, false },
		{ 0x60510, 0x0516, true }, /* bits 2:1 */
		{ 0x60510, 0x0511, false },
		{ 0x70510, 0x0517, true }, /* bits 2:0 */
		{ 0x70510, 0x0518, false },
		/* By bus: 5 to 7; SQ does not count. */
		{ 0x80507, 0x0500, true },
		{ 0x80507, 0x07ff, true },
		{ 0x80507, 0x0680, true },
		{ 0x80507, 0x04ff, false },
		{ 0x80507, 0x0800, false },
		{ 0xb0507, 0x0800, false },
		{ 0x80705, 0x0600, false }, /* an empty range */
		{ 0x800ff, 0xffff, true },
		{ 0x80000, 0x00ff, true },
	};
	unsigned int n, round;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	for (n = 0; n < ARRAY_SIZE(tries); n++) {
		irte(&i, n)[0] = plain(0x20, 1);
		irte(&i, n)[1] = tries[n].check;
		/* Of an entry that was just read, and of one in the cache. */
		for (round = 0; round < 2; round++) {
			struct viommu_guest_interrupt out;

			if (tries[n].good)
				assert_int_equal(viommu_guest_remap(i.w.guest, tries[n].sid,
								    handle(n), 0, &out),
						 0);
			else
				assert_true(
					blocked(&i, tries[n].sid, handle(n), 0, VTD_FR_IR_SID, n));
		}
	}
	gw_close(&i.w);
}

/* VTD-IR-10: the qualified reasons are 22h, 24h and 26h. */
static void fpd_keeps_qualified_faults_out_of_the_records(void **state)
{
	const uint64_t fpd = VTD_MASK(VTD_IRTE_FPD);
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	irte(&i, 1)[0] = fpd;
	irte(&i, 2)[0] = plain(0x20, 1) | fpd | 1 << 12;
	irte(&i, 3)[0] = plain(0x20, 1) | fpd;
	irte(&i, 3)[1] = 0x40000; /* requester 0 alone */
	assert_true(blocked_silently(&i, handle(1)));
	assert_true(blocked_silently(&i, handle(2)));
	assert_true(blocked_silently(&i, handle(3)));
	assert_true(blocked_silently(&i, handle(3))); /* from the cache */
	irte(&i, 1)[0] = 0;
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_NP, 1));
	gw_close(&i.w);
}

/* VTD-CAP-50, VTD-FLT-125, VTD-FLT-126 */
static void what_is_required_is_required(void **state)
{
	struct gw_config c = { .flags = IRX };
	struct iw i;

	(void)state;
	assert_int_equal(viommu_guest_profile(0, IRX, NULL, &c.cap, &c.ecap, NULL), 0);
	c.ecap |= VTD_MASK(VTD_ECAP_EIMER) | VTD_MASK(VTD_ECAP_IRREQ);
	gw_open(&i.w, &c);
	assert_int_equal(VTD_FIELD(i.w.ecap, VTD_ECAP_IRREQ), 1);
	assert_true(blocked(&i, SID, FEE | 0x1000, 0x33, VTD_FR_IR_OFF, 0));
	assert_true(blocked(&i, SID, handle(4), 0, VTD_FR_IR_OFF, 0));
	iw_table(&i, 7, false);
	gw_command(&i.w, G(IRE), true);
	irte(&i, 4)[0] = plain(0x20, 1);
	assert_true(blocked(&i, SID, handle(4), 0, VTD_FR_IR_EIM, 0));
	iw_table(&i, 7, true);
	irte(&i, 4)[0] = plain(0x20, 1);
	assert_true(sends(&i, handle(4), 0, 0x20, 0x100));
	gw_close(&i.w);
}

/* VTD-EVT-06, VTD-FEVT-01: what tells of a fault is not asked about. */
static void a_fault_sends_the_units_own_message_as_it_is(void **state)
{
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	gw_wr32(&i.w, VTD_REG_FEDATA, 0x4021);
	gw_wr32(&i.w, VTD_REG_FEADDR, 0xfee01000); /* compatibility format, which is blocked */
	gw_wr32(&i.w, VTD_REG_FECTL, 0);
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_NP, 1));
	assert_int_equal(i.w.messages, 1);
	assert_int_equal(i.w.message[0].addr, 0xfee01000);
	assert_int_equal(i.w.message[0].data, 0x4021);
	gw_close(&i.w);
}

/* VTD-FREC-18 */
static void the_next_record_is_the_first_again_when_both_are_off(void **state)
{
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	gw_command(&i.w, G(TE), true);
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_NP, 1));
	gw_command(&i.w, G(TE), false);
	assert_true(blocked(&i, SID, handle(2), 0, VTD_FR_IR_IRTE_NP, 2));
	assert_int_equal(VTD_FIELD(gw_rd32(&i.w, VTD_REG_FSTS), VTD_FSTS_FRI), 1);
	gw_command(&i.w, G(TE), true);
	gw_command(&i.w, G(IRE), false);
	gw_command(&i.w, G(IRE), true);
	assert_true(blocked(&i, SID, handle(3), 0, VTD_FR_IR_IRTE_NP, 3));
	assert_int_equal(VTD_FIELD(gw_rd32(&i.w, VTD_REG_FSTS), VTD_FSTS_FRI), 2);
	gw_command(&i.w, G(TE), false);
	gw_command(&i.w, G(IRE), false);
	gw_command(&i.w, G(IRE), true);
	assert_true(blocked(&i, SID, handle(4), 0, VTD_FR_IR_IRTE_NP, 4));
	assert_int_equal(VTD_FIELD(gw_rd32(&i.w, VTD_REG_FSTS), VTD_FSTS_FRI), 0);
	gw_close(&i.w);
}

/* ---- The cache ---- */

/* VTD-IR-09: what was absent or wrong is looked at anew, with caching mode as well. */
static void what_was_not_present_is_not_kept(void **state)
{
	static const uint32_t flags[] = { IR, IR | VIOMMU_GUEST_CM };
	unsigned int n;
	struct iw i;

	(void)state;
	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		iw_open_flags(&i, flags[n]);
		assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_NP, 1));
		irte(&i, 1)[0] = plain(0x31, 1);
		assert_true(sends_index(&i, 1, 0x31));
		assert_int_equal(hits(&i), 0);
		gw_close(&i.w);
	}
}

/* VTD-IR-09, VTD-QI-33 */
static void an_entry_is_kept_until_it_is_invalidated(void **state)
{
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	irte(&i, 1)[0] = plain(0x31, 1);
	irte(&i, 2)[0] = plain(0x32, 1);
	assert_true(sends_index(&i, 1, 0x31));
	assert_true(sends_index(&i, 2, 0x32));
	irte(&i, 1)[0] = plain(0x41, 1);
	irte(&i, 2)[0] = 0;
	assert_true(sends_index(&i, 1, 0x31));
	assert_true(sends_index(&i, 2, 0x32));
	assert_int_equal(hits(&i), 2);
	/* By index: that one alone. */
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, 1, 0), 0));
	assert_true(sends_index(&i, 1, 0x41));
	assert_true(sends_index(&i, 2, 0x32));
	irte(&i, 1)[0] = plain(0x51, 1);
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_GLOBAL, 0, 0), 0));
	assert_true(sends_index(&i, 1, 0x51));
	assert_true(blocked(&i, SID, handle(2), 0, VTD_FR_IR_IRTE_NP, 2));
	gw_close(&i.w);
}

/* VTD-QI-33, VTD-CAP-24: the low IM bits of the index do not count. */
static void the_index_mask_widens_an_invalidation(void **state)
{
	unsigned int im, n;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	iw_table(&i, 15, false);
	for (im = 0; im <= 15; im++) {
		uint32_t span = 1u << im, first = span & 0xffff, at = first + span / 3;
		const uint32_t probe[] = { first - 1, first, first + span - 1, first + span };

		for (n = 0; n < ARRAY_SIZE(probe); n++) {
			if (probe[n] > 0xffff)
				continue;
			irte(&i, probe[n])[0] = plain(0x60, 1);
			assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, probe[n], 0), 0));
			assert_true(sends_index(&i, probe[n], 0x60));
			irte(&i, probe[n])[0] = plain(0x61, 1);
		}
		assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, at, im), 0));
		for (n = 1; n <= 2; n++)
			assert_true(sends_index(&i, probe[n], 0x61));
		/* Up to here exactly; from the cache's size on more may go. */
		if (im < 10) {
			assert_true(sends_index(&i, probe[0], 0x60));
			assert_true(sends_index(&i, probe[3], 0x60));
		}
	}
	gw_close(&i.w);
}

/* VTD-CAP-24 */
static void a_mask_beyond_what_is_announced_stops_the_queue(void **state)
{
	struct gw_config c = { .flags = IR };
	struct iw i;

	(void)state;
	assert_int_equal(viommu_guest_profile(0, IR, NULL, &c.cap, &c.ecap, NULL), 0);
	VTD_SET(&c.ecap, VTD_ECAP_MHMV, 3);
	iw_open(&i, &c);
	assert_int_equal(VTD_FIELD(i.w.ecap, VTD_ECAP_MHMV), 3);
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, 8, 3), 0));
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_GLOBAL, 8, 31), 0)); /* global: not looked at */
	gw_submit(&i.w, iec(VTD_IQ_IEC_INDEX, 8, 4), 0);
	assert_true(gw_rd32(&i.w, VTD_REG_FSTS) & VTD_MASK(VTD_FSTS_IQE));
	assert_int_equal(VTD_FIELD(gw_rd64(&i.w, VTD_REG_IQERCD), VTD_IQERCD_IQEI), VTD_IQEI_TYPE);
	gw_close(&i.w);
}

/* VTD-QI-33: in either queue width, before any root table, and with a reserved bit not at all. */
static void invalidation_works_in_both_queue_widths(void **state)
{
	static const unsigned int widths[] = { 16, 32 };
	unsigned int n;
	struct iw i;

	(void)state;
	for (n = 0; n < 2; n++) {
		gw_open(&i.w, &(struct gw_config){ .flags = IR });
		gw_iq_setup(&i.w, widths[n], 0);
		iw_table(&i, 7, false);
		gw_command(&i.w, G(IRE), true);
		irte(&i, 1)[0] = plain(0x31, 1);
		assert_true(sends_index(&i, 1, 0x31));
		irte(&i, 1)[0] = plain(0x32, 1);
		assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_GLOBAL, 0, 0), 0));
		assert_true(sends_index(&i, 1, 0x32));
		gw_submit(&i.w, iec(VTD_IQ_IEC_GLOBAL, 0, 0) | 1 << 5, 0);
		assert_int_equal(VTD_FIELD(gw_rd64(&i.w, VTD_REG_IQERCD), VTD_IQERCD_IQEI),
				 VTD_IQEI_RSVD);
		gw_close(&i.w);
	}
}

/* VTD-CMD-06, VTD-CMD-16, VTD-CMD-20 */
static void setting_the_table_or_turning_off_drops_the_cache(void **state)
{
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	assert_int_equal(VTD_FIELD(i.w.cap, VTD_CAP_ESIRTPS), 1);
	irte(&i, 1)[0] = plain(0x31, 1);
	assert_true(sends_index(&i, 1, 0x31));
	/* A new address alone does nothing, a size neither. */
	gw_wr64(&i.w, VTD_REG_IRTA, gw_page(&i.w));
	assert_true(sends_index(&i, 1, 0x31));
	irte(&i, 200)[0] = plain(0x32, 1);
	assert_true(sends_index(&i, 200, 0x32));
	gw_command(&i.w, G(SIRTP), true);
	assert_true(blocked(&i, SID, handle(1), 0, VTD_FR_IR_IRTE_NP, 1));
	assert_true(blocked(&i, SID, handle(2), 0, VTD_FR_IR_INDEX, 2)); /* S 0: 2 entries */
	gw_wr64(&i.w, VTD_REG_IRTA, i.table | i.s);
	gw_command(&i.w, G(SIRTP), true);
	assert_true(sends_index(&i, 1, 0x31));
	irte(&i, 1)[0] = plain(0x33, 1);
	gw_command(&i.w, G(IRE), false);
	gw_command(&i.w, G(IRE), true);
	assert_true(sends_index(&i, 1, 0x33));
	gw_close(&i.w);
}

/* VTD-REG-29 */
static void the_table_has_2_to_the_s_plus_1_entries(void **state)
{
	unsigned int s;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	iw_table(&i, 15, false);
	for (s = 0; s < 16; s++) {
		uint32_t nr = 2u << s;

		irte(&i, nr - 1)[0] = plain((uint8_t)(0x40 + s), 1);
		gw_wr64(&i.w, VTD_REG_IRTA, i.table | s);
		gw_command(&i.w, G(SIRTP), true);
		assert_true(sends_index(&i, nr - 1, (uint8_t)(0x40 + s)));
		if (nr <= 0xffff)
			assert_true(blocked(&i, SID, handle(nr), 0, VTD_FR_IR_INDEX, nr));
	}
	gw_close(&i.w);
}

/* Indexes that share a line of the cache do not take each other's entry. */
static void indexes_a_cache_apart_do_not_mix(void **state)
{
	unsigned int n, round;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	iw_table(&i, 15, false);
	for (n = 0; n < 64; n++)
		irte(&i, n << 10 | 5)[0] = plain((uint8_t)(0x40 + n), 1);
	for (round = 0; round < 2; round++)
		for (n = 0; n < 64; n++)
			assert_true(sends_index(&i, n << 10 | 5, (uint8_t)(0x40 + n)));
	/* One of them is told, the line holds another: nothing is lost, nothing stays. */
	irte(&i, 5)[0] = plain(0x31, 1);
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, 5, 0), 0));
	assert_true(sends_index(&i, 63 << 10 | 5, 0x40 + 63));
	assert_true(sends_index(&i, 5, 0x31));
	gw_close(&i.w);
}

/* VTD-IR-12 */
static void after_a_reset_everything_is_off_and_forgotten(void **state)
{
	unsigned int warm;
	struct iw i;

	(void)state;
	for (warm = 0; warm < 2; warm++) {
		iw_open_flags(&i, IRX);
		irte(&i, 1)[0] = plain(0x31, 0);
		assert_true(sends(&i, handle(1), 0, 0x31, 0));
		gw_command(&i.w, G(CFI), true);
		if (warm)
			viommu_guest_warm_reset(i.w.guest);
		else
			viommu_guest_reset(i.w.guest);
		assert_int_equal(gw_rd32(&i.w, VTD_REG_GSTS), 0);
		assert_true(sends(&i, handle(1), 0x77, 0x77, 0)); /* passes */
		/* No table was set: none is there. */
		gw_command(&i.w, G(IRE), true);
		assert_true(blocked(&i, SID, handle(0), 0, VTD_FR_IR_INDEX, 0));
		assert_true(blocked(&i, SID, FEE, 0, VTD_FR_IR_COMPAT, 0));
		gw_close(&i.w);
	}
}

/* ---- Who keeps outcomes, counts, memory that fails ---- */

struct kept {
	uint32_t first[8], nr[8];
	unsigned int n;
};

static void on_interrupts(void *ctx, uint32_t first, uint32_t nr)
{
	struct kept *k = ctx;

	assert_true(k->n < 8);
	k->first[k->n] = first;
	k->nr[k->n++] = nr;
}

static void who_keeps_outcomes_hears_of_each_change(void **state)
{
	static const struct {
		uint32_t first, nr;
	} want[] = {
		{ 0, EVERYONE }, { 0, EVERYONE }, { 0x120, 0x20 },
		{ 0x7, 1 },      { 0, EVERYONE }, { 0, EVERYONE },
	};
	struct kept k = { .n = 0 };
	struct viommu_guest_config c = { .size = sizeof(c),
					 .flags = IR,
					 .ops = { .ctx = &k, .interrupts = on_interrupts } };
	unsigned int n;
	struct iw i;

	(void)state;
	gw_open_host(&i.w, &(struct gw_config){ .flags = 0 });
	assert_int_equal(viommu_guest_new(&c, i.w.dom, i.w.mem, &i.w.guest), 0);
	gw_iq_setup(&i.w, 32, 0);
	gw_set_root(&i.w, VTD_TTM_SCALABLE);
	iw_table(&i, 7, false);
	gw_command(&i.w, G(IRE), true);
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, 0x123, 5), 0));
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_INDEX, 7, 0), 0));
	assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_GLOBAL, 0, 0), 0));
	gw_command(&i.w, G(CFI), true);
	assert_int_equal(k.n, ARRAY_SIZE(want));
	for (n = 0; n < ARRAY_SIZE(want); n++) {
		assert_int_equal(k.first[n], want[n].first);
		assert_int_equal(k.nr[n], want[n].nr);
	}
	viommu_guest_reset(i.w.guest);
	assert_int_equal(k.nr[k.n - 1], EVERYONE);
	gw_close(&i.w);
}

static void messages_are_counted(void **state)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };
	struct iw i;

	(void)state;
	gw_open(&i.w, &(struct gw_config){ .flags = IR });
	assert_true(sends(&i, FEE, 0x21, 0x21, 0));
	gw_iq_setup(&i.w, 32, 0);
	iw_table(&i, 7, false);
	gw_command(&i.w, G(IRE), true);
	irte(&i, 1)[0] = plain(0x31, 1);
	assert_true(sends_index(&i, 1, 0x31));
	assert_true(sends_index(&i, 1, 0x31));
	assert_true(blocked(&i, SID, handle(2), 0, VTD_FR_IR_IRTE_NP, 2));
	viommu_guest_stats(i.w.guest, &s);
	assert_int_equal(s.interrupts_passed, 1);
	assert_int_equal(s.interrupts_remapped, 2);
	assert_int_equal(s.interrupts_blocked, 1);
	assert_int_equal(s.interrupt_hits, 1);
	assert_int_equal(s.faults, 1);
	gw_close(&i.w);
}

/* VTD-FLT-118: each read of guest memory finds a hole once; the next finds the entry. */
static void a_read_that_fails_blocks_that_message_alone(void **state)
{
	struct viommu_guest_interrupt out;
	unsigned int ok = 0, n;
	struct iw i;

	(void)state;
	iw_open_flags(&i, IR);
	irte(&i, 1)[0] = plain(0x31, 1);
	for (n = 1; n < 4; n++) {
		assert_true(gw_do(&i.w, iec(VTD_IQ_IEC_GLOBAL, 0, 0), 0));
		viommu__mem_fail_nth(i.w.mem, (long)n);
		if (viommu_guest_remap(i.w.guest, SID, handle(1), 0, &out))
			assert_int_equal(n, 1);
		else
			ok++;
		assert_int_equal(viommu__mem_fail_done(i.w.mem), n == 1);
		assert_true(sends_index(&i, 1, 0x31));
	}
	assert_int_equal(ok, 2); /* an entry is one read */
	assert_int_equal(gw_rd32(&i.w, gw_frcd(&i.w, 0) + 12) & 0xff, VTD_FR_IR_IRTE_ACCESS);
	gw_close(&i.w);
}

static void a_unit_with_it_is_made_whole_or_not_at_all(void **state)
{
	const struct viommu_guest_config c = { .size = sizeof(c), .flags = IRX };
	struct viommu_guest *guest;
	struct gw w;
	long n, live;
	int err;

	(void)state;
	gw_open_host(&w, &(struct gw_config){ .flags = 0 });
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		err = viommu_guest_new(&c, w.dom, w.mem, &guest);
		if (!viommu__alloc_fail_done())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(guest);
		assert_int_equal(viommu__alloc_live(), live);
	}
	assert_int_equal(err, 0);
	assert_int_equal(n, 3);
	viommu_guest_free(guest);
	assert_int_equal(viommu__alloc_live(), live);
	gw_close(&w);
}

/* VTD-CAP-21, VTD-CAP-24, VTD-CAP-50: announced by the flag, and by nothing else. */
static void it_is_announced_by_the_flag_alone(void **state)
{
	static const uint64_t bits[] = { VTD_MASK(VTD_ECAP_IR), VTD_MASK(VTD_ECAP_EIM),
					 VTD_MASK(VTD_ECAP_MHMV), VTD_MASK(VTD_ECAP_EIMER),
					 VTD_MASK(VTD_ECAP_IRREQ) };
	uint64_t cap, ecap, plain_ecap;
	struct viommu_guest_config c = { .size = sizeof(c) };
	struct viommu_guest *guest;
	unsigned int n;
	struct gw w;

	(void)state;
	assert_int_equal(viommu_guest_profile(0, 0, NULL, &cap, &plain_ecap, NULL), 0);
	assert_int_equal(viommu_guest_profile(0, VIOMMU_GUEST_X2APIC, NULL, NULL, NULL, NULL),
			 -EINVAL);
	assert_int_equal(viommu_guest_profile(0, IR, NULL, NULL, &ecap, NULL), 0);
	assert_int_equal(ecap, plain_ecap | VTD_MASK(VTD_ECAP_IR) | VTD_MASK(VTD_ECAP_MHMV));
	assert_int_equal(viommu_guest_profile(0, IRX, NULL, NULL, &ecap, NULL), 0);
	assert_int_equal(ecap, plain_ecap | bits[0] | bits[1] | bits[2]);
	gw_open_host(&w, &(struct gw_config){ .flags = 0 });
	c.cap = cap;
	for (n = 0; n < ARRAY_SIZE(bits); n++) {
		c.flags = 0;
		c.ecap = plain_ecap | bits[n];
		assert_int_equal(viommu_guest_new(&c, w.dom, w.mem, &guest), -EINVAL);
		c.flags = IR;
		/* x2APIC mode cannot be required where there is none. */
		assert_int_equal(viommu_guest_new(&c, w.dom, w.mem, &guest), n == 3 ? -EINVAL : 0);
		viommu_guest_free(guest);
	}
	gw_close(&w);
}

/* ---- Threads ---- */

#define WORKERS 3u
#define RACED   7u

struct race {
	struct iw i;
	uint64_t completed; /* the epoch whose invalidation has completed */
	uint64_t stop;
	uint64_t asked, stale, odd;
};

/* VTD-IR-09, VTD-QORD-02: a message that begins after a flush finds the entry of then or later. */
static void *sender(void *arg)
{
	struct race *r = arg;
	struct viommu_guest_interrupt out;

	while (!load_acquire(&r->stop)) {
		uint64_t floor = load_acquire(&r->completed);
		int err = viommu_guest_remap(r->i.w.guest, SID, handle(RACED), 0, &out);

		if (err)
			fetch_add(&r->odd, 1);
		else if (out.dest < floor)
			fetch_add(&r->stale, 1);
		/* And one that is blocked, by everyone at once. */
		if (viommu_guest_remap(r->i.w.guest, SID, handle(8), 0, &out) != VIOMMU_FAULTED)
			fetch_add(&r->odd, 1);
		fetch_add(&r->asked, 1);
	}
	return NULL;
}

static void no_thread_uses_an_old_entry_after_the_flush(void **state)
{
	uint64_t epochs = test_scale(3000), e;
	pthread_t thread[WORKERS];
	struct race r = { .stop = 0 };
	unsigned int n;

	(void)state;
	iw_open_flags(&r.i, IRX);
	irte(&r.i, RACED)[0] = VTD_MASK(VTD_IRTE_P);
	for (n = 0; n < WORKERS; n++)
		assert_int_equal(pthread_create(&thread[n], NULL, sender, &r), 0);
	for (e = 1; e <= epochs || load_acquire(&r.asked) < 100; e++) {
		store_release(irte(&r.i, RACED), VTD_MASK(VTD_IRTE_P) | VTD_VAL(VTD_IRTE_DST, e));
		assert_true(gw_do(&r.i.w,
				  e % 3 ? iec(VTD_IQ_IEC_INDEX, RACED, (unsigned int)e % 4)
					: iec(VTD_IQ_IEC_GLOBAL, 0, 0),
				  0));
		store_release(&r.completed, e);
		if (e % 64 == 0)
			gw_wr32(&r.i.w, VTD_REG_FSTS, (uint32_t)VTD_MASK(VTD_FSTS_PFO));
	}
	store_release(&r.stop, 1);
	for (n = 0; n < WORKERS; n++)
		pthread_join(thread[n], NULL);
	assert_true(r.asked >= 100);
	assert_int_equal(r.stale, 0);
	assert_int_equal(r.odd, 0);
	gw_close(&r.i.w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(with_remapping_off_a_message_passes_as_it_is),
	cmocka_unit_test(an_address_outside_of_the_window_is_no_message),
	cmocka_unit_test(a_remappable_message_is_what_its_entry_says),
	cmocka_unit_test(in_x2apic_mode_the_destination_has_32_bits),
	cmocka_unit_test(the_index_is_handle_plus_subhandle),
	cmocka_unit_test(compatibility_format_passes_if_cfi_says_so),
	cmocka_unit_test(each_reason_is_recorded_with_the_index),
	cmocka_unit_test(checks_come_in_the_order_of_what_they_need),
	cmocka_unit_test(reserved_bits_and_the_posted_format_are_refused),
	cmocka_unit_test(a_message_counts_only_from_whom_its_entry_names),
	cmocka_unit_test(fpd_keeps_qualified_faults_out_of_the_records),
	cmocka_unit_test(what_is_required_is_required),
	cmocka_unit_test(a_fault_sends_the_units_own_message_as_it_is),
	cmocka_unit_test(the_next_record_is_the_first_again_when_both_are_off),
	cmocka_unit_test(what_was_not_present_is_not_kept),
	cmocka_unit_test(an_entry_is_kept_until_it_is_invalidated),
	cmocka_unit_test(the_index_mask_widens_an_invalidation),
	cmocka_unit_test(a_mask_beyond_what_is_announced_stops_the_queue),
	cmocka_unit_test(invalidation_works_in_both_queue_widths),
	cmocka_unit_test(setting_the_table_or_turning_off_drops_the_cache),
	cmocka_unit_test(the_table_has_2_to_the_s_plus_1_entries),
	cmocka_unit_test(indexes_a_cache_apart_do_not_mix),
	cmocka_unit_test(after_a_reset_everything_is_off_and_forgotten),
	cmocka_unit_test(who_keeps_outcomes_hears_of_each_change),
	cmocka_unit_test(messages_are_counted),
	cmocka_unit_test(a_read_that_fails_blocks_that_message_alone),
	cmocka_unit_test(a_unit_with_it_is_made_whole_or_not_at_all),
	cmocka_unit_test(it_is_announced_by_the_flag_alone),
	cmocka_unit_test(no_thread_uses_an_old_entry_after_the_flush),
};
TEST_MAIN(tests)
