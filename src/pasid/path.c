/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path of viommu/path.h: from a requester id and a PASID to the stages that translate.
 *
 * VT-d 5.10: interrupt window, root table, context table (legacy and scalable), PASID directory,
 * PASID entry, in that order; each structure is read once into a local, then checked (present,
 * reserved bits as this unit's capabilities have them, consistency, what the kind of request
 * needs). The paging structures are src/walk's.
 *
 * Choices, where the specification leaves one or where we implement less:
 *  - FSPTPTR bits at or above HAW are reserved in a nested entry too (5Ah); a guest address that
 *    fits HAW but not min(MGAW, AW) is 5Bh;
 *  - domain-id bits beyond CAP.ND are reserved; DID 0 with caching mode is software's mistake that
 *    no code names: not a fault;
 *  - a root table beyond HAW is an access error of the root entry;
 *  - RTADDR.SSIRWE in scalable mode without ECAP.SSIRWS is ignored;
 *  - a write to the interrupt window that is not aligned to 4 bytes cannot be one dword: 29h;
 *  - there are no host permission tables: a translated request that should be judged by one ends as
 *    if the table were unreadable (A2h);
 *  - ECAP.ERS counts as 0: execute requests are gone since 4.1.
 */
#include <errno.h>
#include <string.h>

#include <viommu/vtd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "pasid/path.h"

#define KNOWN_ACCESS                                                              \
	(VIOMMU_READ | VIOMMU_WRITE | VIOMMU_EXEC | VIOMMU_PRIV | VIOMMU_ATOMIC | \
	 VIOMMU_ZERO_LENGTH)

/* Times that 128 bits are read at most, while somebody writes them. */
#define PIECE_TRIES 16u

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define HAS_CAP(unit, NAME)  VTD_FIELD((unit)->cap, VTD_CAP_##NAME)
#define HAS_ECAP(unit, NAME) VTD_FIELD((unit)->ecap, VTD_ECAP_##NAME)

/*
 * Bits of word w that must be 0 on this unit: those of no field, and fields whose capability it
 * lacks. Bits of pointers beyond HAW come on top.
 */
#define UNIT_CAP  unit->cap
#define UNIT_ECAP unit->ecap
#define MISSING_F(NAME, hi, lo, text)
#define MISSING_C(NAME, hi, lo, reg, bit, text) \
	| (VTD_WORD(NAME) == w && !(UNIT_##reg & VTD_MASK(VTD_##reg##_##bit)) ? VTD_MASK(NAME) : 0)

ALWAYS_INLINE uint64_t sce_reserved(const struct viommu_unit *unit, unsigned int w)
{
	return VTD_RSVD(VTD_SCE, w) VTD_SCE_FIELDS(MISSING_F, MISSING_F, MISSING_C);
}

ALWAYS_INLINE uint64_t pe_reserved(const struct viommu_unit *unit, unsigned int w)
{
	return VTD_RSVD(VTD_PE, w) VTD_PE_FIELDS(MISSING_F, MISSING_F, MISSING_C);
}

/* Address bits that a pointer must not have. */
static uint64_t beyond_haw(const struct viommu_unit *unit)
{
	return ~low_bits(unit->haw);
}

/* Domain-id bits that a DID field must not have. */
static uint32_t beyond_nd(const struct viommu_unit *unit)
{
	return 0xffffu & ~(uint32_t)low_bits(4 + 2 * (unsigned int)HAS_CAP(unit, ND));
}

/* The width of a second stage, min(MGAW, width of AW); 0 for an AW that the unit does not have. */
static unsigned int ss_input_bits(const struct viommu_unit *unit, unsigned int aw)
{
	unsigned int mgaw = (unsigned int)HAS_CAP(unit, MGAW) + 1, bits = 30 + 9 * aw;

	if (aw < VTD_AW_39 || aw > VTD_AW_57 || !(HAS_CAP(unit, SAGAW) >> aw & 1))
		return 0;
	return mgaw < bits ? mgaw : bits;
}

static void stage_fill_fs(const struct viommu_unit *unit, const uint64_t *pe,
			  struct viommu_stage *s)
{
	s->format = VIOMMU_FORMAT_VTD_FS;
	s->levels = VTD_GET(pe, VTD_PE_FSPM) == VTD_FSPM_5LEVEL ? 5 : 4;
	s->haw = unit->haw;
	s->root = pe[VTD_WORD(VTD_PE_FSPTPTR)] & VTD_MASK(VTD_PE_FSPTPTR);
	s->flags = VIOMMU_STAGE_2M;
	if (HAS_CAP(unit, FS1GP))
		s->flags |= VIOMMU_STAGE_1G;
	if (VTD_GET(pe, VTD_PE_SRE))
		s->flags |= VIOMMU_STAGE_SRE;
	if (VTD_GET(pe, VTD_PE_WPE))
		s->flags |= VIOMMU_STAGE_WPE;
	if (VTD_GET(pe, VTD_PE_EAFE))
		s->flags |= VIOMMU_STAGE_EAFE;
	if (VTD_GET(pe, VTD_PE_PWSNP))
		s->flags |= VIOMMU_STAGE_SNOOP;
}

/* What legacy and scalable second stages have in common. */
static void stage_fill_ss(const struct viommu_unit *unit, unsigned int aw, uint64_t root,
			  struct viommu_stage *s)
{
	s->format = VIOMMU_FORMAT_VTD_SS;
	s->levels = (uint8_t)(aw + 2);
	s->haw = unit->haw;
	s->input_bits = (uint8_t)ss_input_bits(unit, aw);
	s->root = root;
	s->flags = 0;
	if (HAS_CAP(unit, SSLPS) & 1)
		s->flags |= VIOMMU_STAGE_2M;
	if (HAS_CAP(unit, SSLPS) & 2)
		s->flags |= VIOMMU_STAGE_1G;
	if (HAS_ECAP(unit, SC))
		s->flags |= VIOMMU_STAGE_SNP;
}

static void stage_fill_scalable_ss(const struct viommu_unit *unit, const uint64_t *pe,
				   struct viommu_stage *s)
{
	stage_fill_ss(unit, (unsigned int)VTD_GET(pe, VTD_PE_AW),
		      pe[VTD_WORD(VTD_PE_SSPTPTR)] & VTD_MASK(VTD_PE_SSPTPTR), s);
	if (VTD_GET(pe, VTD_PE_SSADE))
		s->flags |= VIOMMU_STAGE_AD;
	if (VTD_GET(pe, VTD_PE_PWSNP))
		s->flags |= VIOMMU_STAGE_SNOOP;
	if (VTD_GET(pe, VTD_PE_EMTE))
		s->flags |= VIOMMU_STAGE_MTS;
	if (VTD_FIELD(unit->rtaddr, VTD_RTADDR_SSIRWE) && HAS_ECAP(unit, SSIRWS))
		s->flags |= VIOMMU_STAGE_IORW;
}

/* Everything about a PASID entry but the request: 0 and out's stages, or the fault reason. */
static uint8_t pe_check(const struct viommu_unit *unit, const uint64_t *pe,
			struct viommu_path_result *out)
{
	unsigned int pgtt = (unsigned int)VTD_GET(pe, VTD_PE_PGTT), bits = 0;
	bool fs = pgtt == VTD_PGTT_FS || pgtt == VTD_PGTT_NESTED;
	bool ss = pgtt == VTD_PGTT_SS || pgtt == VTD_PGTT_NESTED;
	uint64_t reserved = 0;

	if (!VTD_GET(pe, VTD_PE_P))
		return VTD_FR_PE_NP;

	/* A unit with ECAP.SSTS = 0 strictly reserves AW; Linux writes it always: not checked. */
	reserved |= pe[0] & pe_reserved(unit, 0);
	reserved |= pe[1] & pe_reserved(unit, 1);
	reserved |= pe[2] & pe_reserved(unit, 2);
	reserved |= pe[3] & pe_reserved(unit, 3);
	reserved |= pe[4] & pe_reserved(unit, 4);
	reserved |= pe[5] & pe_reserved(unit, 5);
	reserved |= pe[6] & pe_reserved(unit, 6);
	reserved |= pe[7] & pe_reserved(unit, 7);
	reserved |= VTD_GET(pe, VTD_PE_DID) & beyond_nd(unit);
	if (fs)
		reserved |=
			pe[VTD_WORD(VTD_PE_FSPTPTR)] & VTD_MASK(VTD_PE_FSPTPTR) & beyond_haw(unit);
	if (ss)
		reserved |=
			pe[VTD_WORD(VTD_PE_SSPTPTR)] & VTD_MASK(VTD_PE_SSPTPTR) & beyond_haw(unit);
	if (reserved)
		return VTD_FR_PE_RSVD;

	switch (pgtt) {
	case VTD_PGTT_FS:
		if (!HAS_ECAP(unit, FSTS))
			return VTD_FR_PE_INVALID;
		break;
	case VTD_PGTT_SS:
		if (!HAS_ECAP(unit, SSTS))
			return VTD_FR_PE_INVALID;
		break;
	case VTD_PGTT_NESTED:
		if (!HAS_ECAP(unit, NEST) || !HAS_ECAP(unit, FSTS) || !HAS_ECAP(unit, SSTS))
			return VTD_FR_PE_INVALID;
		break;
	case VTD_PGTT_PT:
		if (!HAS_ECAP(unit, PT))
			return VTD_FR_PE_INVALID;
		break;
	default:
		return VTD_FR_PE_INVALID;
	}
	if (fs) {
		if (VTD_GET(pe, VTD_PE_FSPM) > VTD_FSPM_5LEVEL)
			return VTD_FR_PE_INVALID;
		if (VTD_GET(pe, VTD_PE_FSPM) == VTD_FSPM_5LEVEL && !HAS_CAP(unit, FS5LP))
			return VTD_FR_PE_INVALID;
	}
	if (ss) {
		bits = ss_input_bits(unit, (unsigned int)VTD_GET(pe, VTD_PE_AW));
		if (!bits)
			return VTD_FR_PE_INVALID;
	}
	if (fs && ss && (pe[VTD_WORD(VTD_PE_FSPTPTR)] & VTD_MASK(VTD_PE_FSPTPTR)) >> bits)
		return VTD_FR_PE_INVALID;

	out->pgtt = (uint8_t)pgtt;
	out->did = (uint16_t)VTD_GET(pe, VTD_PE_DID);
	out->stack.haw = unit->haw;
	out->stack.mem = unit->mem;
	if (fs)
		stage_fill_fs(unit, pe, &out->stack.stage[out->stack.nr++]);
	if (ss)
		stage_fill_scalable_ss(unit, pe, &out->stack.stage[out->stack.nr++]);
	return 0;
}

/* What one lookup carries along. */
struct path {
	const struct viommu_unit *unit;
	const struct viommu_path_request *req;
	struct viommu_recorder *rec;
	struct viommu_path_result *out;
};

static __attribute__((cold, noinline)) int path_fault(struct path *p, uint8_t reason,
						      uint64_t entry_addr, uint64_t entry)
{
	struct viommu_fault *f = &p->out->fault;
	const struct viommu_spec_fault *spec = viommu_fault_find(reason);

	memset(&p->out->stack, 0, sizeof(p->out->stack));
	*f = (struct viommu_fault){
		.reason = reason,
		.stage = VIOMMU_STAGE_PATH,
		.sid = p->req->sid,
		.access = (uint8_t)p->req->access,
		.request = p->req->request,
		.pasid = p->out->pasid,
		.addr = p->req->addr,
		.stage_addr = p->req->addr,
		.entry_addr = entry_addr,
		.entry = entry,
	};
	if (p->req->pasid != VIOMMU_NO_PASID)
		f->flags |= VIOMMU_FAULT_HAS_PASID;
	/* FPD of any structure visited, present or not, silences the qualified reasons. */
	if (p->out->fpd && spec->qualified)
		f->flags |= VIOMMU_FAULT_FPD;
	return VIOMMU_FAULTED;
}

ALWAYS_INLINE bool word_read(const struct path *p, const bool own, uint64_t addr, uint64_t *word)
{
	if (!own)
		return !viommu_mem_load64(p->unit->mem, addr, word);
	*word = load_acquire((const uint64_t *)(uintptr_t)addr);
	return true;
}

/*
 * Read an entry of nr words, 128 bits at a time, the ones with P first: software writes P last and
 * clears it first. The two words of a piece stood together if the first has not changed when both
 * are read; else the piece is read again (VTD-ENT-01, VTD-ENT-02). choice: the last of PIECE_TRIES
 * is taken as it is, so that a guest that writes without pause cannot keep us.
 */
ALWAYS_INLINE bool path_read(struct path *p, const bool own, const char *name, uint64_t addr,
			     uint64_t *words, unsigned int nr)
{
	unsigned int i, tries;
	uint64_t again;

	if (nr == 1) {
		if (!word_read(p, own, addr, words))
			return false;
	}
	for (i = 0; i + 1 < nr; i += 2) {
		if (!word_read(p, own, addr + 8 * i, &words[i]))
			return false;
		for (tries = 0; tries < PIECE_TRIES; tries++) {
			if (!word_read(p, own, addr + 8 * i + 8, &words[i + 1]) ||
			    !word_read(p, own, addr + 8 * i, &again))
				return false;
			if (again == words[i])
				break;
			words[i] = again;
		}
	}
	if (p->rec) {
		struct viommu_step step = {
			.kind = VIOMMU_STEP_READ,
			.stage = VIOMMU_STAGE_PATH,
			.input = p->req->addr,
			.entry_addr = addr,
			.phys = addr,
			.value = words[0],
			.name = name,
		};

		p->rec->step(p->rec, &step);
	}
	return true;
}

/* A translated request that may pass: no table, only the width and the interrupt window. */
static int path_translated(struct path *p)
{
	struct viommu_path_result *out = p->out;

	out->stack.nr = 0;
	out->stack.haw = p->unit->haw;
	out->stack.mem = p->unit->mem;
	if (p->req->addr & beyond_haw(p->unit))
		return path_fault(p, out->legacy ? VTD_FR_BEYOND_MGAW : VTD_FR_PT_BEYOND_HAW, 0, 0);
	if (viommu__path_in_window(p->req->addr))
		return path_fault(p, out->legacy ? VTD_FR_OUT_INTR : VTD_FR_S_OUT_INTR, 0, 0);
	return 0;
}

ALWAYS_INLINE int path_legacy(struct path *p, const bool own)
{
	const struct viommu_unit *unit = p->unit;
	const struct viommu_path_request *req = p->req;
	struct viommu_path_result *out = p->out;
	uint64_t addr, root[2], ce[2], reserved;
	unsigned int tt, aw;
	bool ats;

	out->legacy = 1;
	addr = unit->rtaddr & VTD_MASK(VTD_RTADDR_RTA);
	if (addr & beyond_haw(unit))
		return path_fault(p, VTD_FR_ROOT_ACCESS, addr, 0);
	addr += (uint64_t)(req->sid >> 8) * VTD_ROOT_ENTRY_BYTES;
	if (!path_read(p, own, "root entry", addr, root, 2))
		return path_fault(p, VTD_FR_ROOT_ACCESS, addr, 0);
	if (!VTD_GET(root, VTD_ROOT_P))
		return path_fault(p, VTD_FR_ROOT_NP, addr, root[0]);
	reserved = (root[0] & (VTD_RSVD(VTD_ROOT, 0) | beyond_haw(unit))) |
		   (root[1] & VTD_RSVD(VTD_ROOT, 1));
	if (reserved)
		return path_fault(p, VTD_FR_ROOT_RSVD, addr, root[0]);

	addr = (root[0] & VTD_MASK(VTD_ROOT_CTP)) + (uint64_t)(req->sid & 0xff) * VTD_LCE_BYTES;
	if (!path_read(p, own, "context entry", addr, ce, 2))
		return path_fault(p, VTD_FR_CTX_ACCESS, addr, 0);
	out->pe[0] = ce[0];
	out->pe[1] = ce[1];
	out->fpd |= (uint8_t)VTD_GET(ce, VTD_LCE_FPD);
	if (!VTD_GET(ce, VTD_LCE_P))
		return path_fault(p, VTD_FR_CTX_NP, addr, ce[0]);
	tt = (unsigned int)VTD_GET(ce, VTD_LCE_TT);
	aw = (unsigned int)VTD_GET(ce, VTD_LCE_AW);
	reserved = (ce[0] & VTD_RSVD(VTD_LCE, 0)) | (ce[1] & VTD_RSVD(VTD_LCE, 1)) |
		   (VTD_GET(ce, VTD_LCE_DID) & beyond_nd(unit));
	/* Pass-through does not look at the pointer. */
	if (tt != VTD_TT_PT)
		reserved |= ce[0] & beyond_haw(unit);
	if (reserved)
		return path_fault(p, VTD_FR_CTX_RSVD, addr, ce[0]);
	if (tt > VTD_TT_PT || (tt == VTD_TT_SS_ATS && !HAS_ECAP(unit, DT)) ||
	    (tt == VTD_TT_PT && !HAS_ECAP(unit, PT)) || !ss_input_bits(unit, aw))
		return path_fault(p, VTD_FR_CTX_INVALID, addr, ce[0]);
	ats = req->request == VIOMMU_REQ_TRANSLATION || req->request == VIOMMU_REQ_TRANSLATED;
	if (ats && tt != VTD_TT_SS_ATS)
		return path_fault(p, VTD_FR_CTX_TT, addr, ce[0]);

	out->did = (uint16_t)VTD_GET(ce, VTD_LCE_DID);
	out->pgtt = tt == VTD_TT_PT ? VTD_PGTT_PT : VTD_PGTT_SS;
	if (req->request == VIOMMU_REQ_TRANSLATED)
		return path_translated(p);
	out->stack.haw = unit->haw;
	out->stack.mem = unit->mem;
	if (tt != VTD_TT_PT) {
		struct viommu_stage *s = &out->stack.stage[out->stack.nr++];

		stage_fill_ss(unit, aw, ce[0] & VTD_MASK(VTD_LCE_SSPTPTR), s);
		s->flags |= VIOMMU_STAGE_LEGACY;
		if (HAS_ECAP(unit, C))
			s->flags |= VIOMMU_STAGE_SNOOP;
		if (HAS_CAP(unit, ZLR))
			s->flags |= VIOMMU_STAGE_ZLR;
	}
	return 0;
}

/* What the context entry says about this kind of request: 0 or the fault reason. */
static uint8_t sce_gates(const struct viommu_path_request *req, const uint64_t *ce)
{
	bool has_pasid = req->pasid != VIOMMU_NO_PASID;

	if (req->request == VIOMMU_REQ_TRANSLATION || req->request == VIOMMU_REQ_TRANSLATED) {
		if (!VTD_GET(ce, VTD_SCE_DTE))
			return VTD_FR_SCE_DTE;
	}
	if (has_pasid) {
		/* EPTR stands for PASIDE here, and is invalid without it. */
		if (req->request == VIOMMU_REQ_TRANSLATED) {
			if (!VTD_GET(ce, VTD_SCE_EPTR))
				return VTD_FR_SCE_EPTR;
		} else if (!VTD_GET(ce, VTD_SCE_PASIDE)) {
			return VTD_FR_SCE_PASIDE;
		}
	}
	if (req->request == VIOMMU_REQ_PAGE && !VTD_GET(ce, VTD_SCE_PRE))
		return VTD_FR_SCE_PRE;
	return 0;
}

ALWAYS_INLINE int path_scalable(struct path *p, const bool own)
{
	const struct viommu_unit *unit = p->unit;
	const struct viommu_path_request *req = p->req;
	struct viommu_path_result *out = p->out;
	unsigned int half = req->sid >> 7 & 1, dir_bits, i;
	bool has_pasid = req->pasid != VIOMMU_NO_PASID;
	uint64_t addr, root, ce[4], dir, reserved;
	uint32_t rid_pasid;
	uint8_t reason;

	addr = unit->rtaddr & VTD_MASK(VTD_RTADDR_RTA);
	if (addr & beyond_haw(unit))
		return path_fault(p, VTD_FR_SROOT_ACCESS, addr, 0);
	addr += (uint64_t)(req->sid >> 8) * VTD_ROOT_ENTRY_BYTES + 8 * half;
	if (!path_read(p, own, "root entry", addr, &root, 1))
		return path_fault(p, VTD_FR_SROOT_ACCESS, addr, 0);
	/* Both halves have the layout of the lower one. */
	if (!VTD_FIELD(root, VTD_SROOT_LP))
		return path_fault(p, VTD_FR_SROOT_NP, addr, root);
	if (root & (VTD_RSVD(VTD_SROOT, 0) | beyond_haw(unit)))
		return path_fault(p, VTD_FR_SROOT_RSVD, addr, root);

	addr = (root & VTD_MASK(VTD_SROOT_LCTP)) + (uint64_t)(req->sid & 0x7f) * VTD_SCE_BYTES;
	if (!path_read(p, own, "context entry", addr, ce, 4))
		return path_fault(p, VTD_FR_SCE_ACCESS, addr, 0);
	out->fpd |= (uint8_t)VTD_GET(ce, VTD_SCE_FPD);
	if (!VTD_GET(ce, VTD_SCE_P))
		return path_fault(p, VTD_FR_SCE_NP, addr, ce[0]);
	reserved = ce[0] & beyond_haw(unit);
	for (i = 0; i < 4; i++)
		reserved |= ce[i] & sce_reserved(unit, i);
	if (reserved)
		return path_fault(p, VTD_FR_SCE_RSVD, addr, ce[0]);
	/* Without ECAP.RPS these bits are reserved and thus 0, which is the PASID then used. */
	rid_pasid = (uint32_t)VTD_GET(ce, VTD_SCE_RID_PASID);
	dir_bits = (unsigned int)VTD_GET(ce, VTD_SCE_PDTS) + VTD_PDIR_ENTRIES_LG2_MIN +
		   VTD_PASID_TABLE_LG2;
	if ((VTD_GET(ce, VTD_SCE_PRE) && !VTD_GET(ce, VTD_SCE_DTE)) || rid_pasid >> dir_bits ||
	    (VTD_GET(ce, VTD_SCE_EPTR) && !VTD_GET(ce, VTD_SCE_PASIDE)))
		return path_fault(p, VTD_FR_SCE_INVALID, addr, ce[0]);

	reason = sce_gates(req, ce);
	if (reason)
		return path_fault(p, reason, addr, ce[0]);
	if (has_pasid) {
		if (req->pasid == rid_pasid)
			return path_fault(p, VTD_FR_RID_PASID, addr, ce[0]);
		if (req->pasid >> dir_bits)
			return path_fault(p, VTD_FR_PASID_BEYOND_DIR, addr, ce[0]);
		if (req->request != VIOMMU_REQ_PAGE &&
		    (uint64_t)req->pasid >> (HAS_ECAP(unit, PSS) + 1))
			return path_fault(p, VTD_FR_PASID_BEYOND_PSS, addr, ce[0]);
		out->priv = !!(req->access & VIOMMU_PRIV);
	} else {
		out->pasid = rid_pasid;
		out->priv = (uint8_t)VTD_GET(ce, VTD_SCE_RID_PRIV);
	}
	/* The device translated already; only a host permission table would bring in the entry. */
	if (req->request == VIOMMU_REQ_TRANSLATED && !VTD_GET(ce, VTD_SCE_HPTE))
		return path_translated(p);

	addr = (ce[0] & VTD_MASK(VTD_SCE_PDTP)) +
	       (uint64_t)(out->pasid >> VTD_PASID_TABLE_LG2) * VTD_PDIR_BYTES;
	if (!path_read(p, own, "PASID directory entry", addr, &dir, 1))
		return path_fault(p, VTD_FR_PDIR_ACCESS, addr, 0);
	out->fpd |= (uint8_t)VTD_FIELD(dir, VTD_PDIR_FPD);
	if (!VTD_FIELD(dir, VTD_PDIR_P))
		return path_fault(p, VTD_FR_PDIR_NP, addr, dir);
	if (dir & (VTD_RSVD(VTD_PDIR, 0) | beyond_haw(unit)))
		return path_fault(p, VTD_FR_PDIR_RSVD, addr, dir);

	addr = (dir & VTD_MASK(VTD_PDIR_SMPTBLPTR)) +
	       (uint64_t)(out->pasid % VTD_PASID_TABLE_ENTRIES) * VTD_PE_BYTES;
	if (!path_read(p, own, "PASID entry", addr, out->pe, 8))
		return path_fault(p, VTD_FR_PE_ACCESS, addr, 0);
	out->fpd |= (uint8_t)VTD_GET(out->pe, VTD_PE_FPD);
	reason = pe_check(unit, out->pe, out);
	if (reason)
		return path_fault(p, reason, addr, out->pe[0]);

	switch (req->request) {
	case VIOMMU_REQ_PAGE:
		return 0;
	case VIOMMU_REQ_TRANSLATED:
		return path_fault(p, VTD_FR_HPT_ROOT_ACCESS, 0, 0);
	default:
		break;
	}
	/* Units of version 8 and later have refused it before (34h). */
	if (has_pasid && req->access & VIOMMU_EXEC)
		return path_fault(p, VTD_FR_PE_EXEC, addr, out->pe[0]);
	if (out->priv && (out->pgtt == VTD_PGTT_FS || out->pgtt == VTD_PGTT_NESTED) &&
	    !VTD_GET(out->pe, VTD_PE_SRE))
		return path_fault(p, VTD_FR_PE_SRE, addr, out->pe[0]);
	return 0;
}

/*
 * The interrupt window takes requests without PASID before any table is looked at. True if it took
 * this one; *ret is the answer.
 */
static bool path_window(struct path *p, int *ret)
{
	const struct viommu_path_request *req = p->req;
	uint32_t what =
		req->access & (VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC | VIOMMU_ZERO_LENGTH);

	if (req->pasid != VIOMMU_NO_PASID || !viommu__path_in_window(req->addr))
		return false;
	*ret = 0;
	if (req->request == VIOMMU_REQ_TRANSLATION) {
		p->out->interrupt = 1;
		return true;
	}
	/* A translated request is caught when its width is; a page request is about no address. */
	if (req->request != VIOMMU_REQ_UNTRANSLATED)
		return false;
	if (what == VIOMMU_WRITE && is_aligned(req->addr, 4))
		p->out->interrupt = 1;
	else if (what == (VIOMMU_READ | VIOMMU_ZERO_LENGTH) || what == VIOMMU_ZERO_LENGTH)
		p->out->zero_read = 1;
	else
		*ret = path_fault(p, VTD_FR_IR_WINDOW, 0, 0);
	return true;
}

static bool unit_is_valid(const struct viommu_unit *unit)
{
	return unit && unit->haw >= 32 && unit->haw <= 52;
}

ALWAYS_INLINE int path_lookup(const struct viommu_unit *unit, const struct viommu_path_request *req,
			      struct viommu_recorder *rec, struct viommu_path_result *out,
			      const bool own)
{
	struct path p = { .unit = unit, .req = req, .rec = rec, .out = out };
	unsigned int ttm;
	int ret;

	if (!out)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	out->pasid = VIOMMU_NO_PASID;
	if (!unit_is_valid(unit) || (!own && !unit->mem) || !req ||
	    req->request > VIOMMU_REQ_PAGE || req->access & ~KNOWN_ACCESS ||
	    (req->pasid != VIOMMU_NO_PASID && req->pasid > VIOMMU_PASID_MAX))
		return -EINVAL;

	if (path_window(&p, &ret))
		return ret;
	out->pasid = req->pasid;

	ttm = (unsigned int)VTD_FIELD(unit->rtaddr, VTD_RTADDR_TTM);
	switch (ttm) {
	case VTD_TTM_LEGACY:
		if (VTD_FIELD(unit->rtaddr, VTD_RTADDR_SSIRWE))
			return path_fault(&p, VTD_FR_TTM, 0, 0);
		if (req->request == VIOMMU_REQ_PAGE)
			return path_fault(&p, VTD_FR_LEGACY_PRQ, 0, 0);
		if (req->pasid != VIOMMU_NO_PASID)
			return path_fault(&p, VTD_FR_LEGACY_PASID, 0, 0);
		break;
	case VTD_TTM_SCALABLE:
		if (!HAS_ECAP(unit, SMTS))
			return path_fault(&p, VTD_FR_TTM, 0, 0);
		break;
	case VTD_TTM_ABORT:
		return path_fault(&p, HAS_ECAP(unit, ADMS) ? VTD_FR_ABORT : VTD_FR_TTM, 0, 0);
	default:
		return path_fault(&p, VTD_FR_TTM, 0, 0);
	}
	if (req->access & VIOMMU_EXEC && req->request != VIOMMU_REQ_PAGE &&
	    VTD_FIELD(unit->ver, VTD_VER_MAX) >= 8)
		return path_fault(&p, VTD_FR_EXEC, 0, 0);

	return ttm == VTD_TTM_LEGACY ? path_legacy(&p, own) : path_scalable(&p, own);
}

int viommu_path_lookup(const struct viommu_unit *unit, const struct viommu_path_request *req,
		       struct viommu_recorder *rec, struct viommu_path_result *out)
{
	return path_lookup(unit, req, rec, out, false);
}

int viommu__path_lookup_own(const struct viommu_unit *unit, const struct viommu_path_request *req,
			    struct viommu_recorder *rec, struct viommu_path_result *out)
{
	return path_lookup(unit, req, rec, out, true);
}

int viommu_path_entry(const struct viommu_unit *unit, const uint64_t pe[8],
		      struct viommu_path_result *out)
{
	if (!out)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	out->pasid = VIOMMU_NO_PASID;
	if (!unit_is_valid(unit) || !pe)
		return -EINVAL;
	memcpy(out->pe, pe, sizeof(out->pe));
	out->fpd = (uint8_t)VTD_GET(pe, VTD_PE_FPD);
	return pe_check(unit, out->pe, out);
}
