/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path once more, as plainly as possible: the oracle of the property test and of the fuzz
 * target. Written from the specification's text (VT-d 5.10, bit numbers as printed there) without a
 * look at src/pasid: every field is picked by bits(), every rule is one if, in the order of the
 * specification's walk. Slow. Tables lie in one array.
 */
#ifndef VIOMMU_TEST_PASID_PLAIN_H
#define VIOMMU_TEST_PASID_PLAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <viommu/path.h>

/* Guest memory: [base, base + bytes), nothing else. */
struct plain_memory {
	uint64_t base;
	uint64_t bytes;
	const uint64_t *words;
};

struct plain_answer {
	int reason;  /* 0 = no fault */
	bool silent; /* qualified, and FPD was set on the way */
	bool fpd;
	bool interrupt;
	bool zero_read;
	bool legacy;
	bool priv;
	int pgtt;
	int did;
	uint32_t pasid;
	int nr;
	struct viommu_stage stage[2];
};

static inline bool plain_read(const struct plain_memory *m, uint64_t addr, uint64_t *words, int nr)
{
	int i;

	for (i = 0; i < nr; i++, addr += 8) {
		if (addr < m->base || addr - m->base >= m->bytes)
			return false;
		words[i] = m->words[(addr - m->base) / 8];
	}
	return true;
}

/* Bits hi..lo of a structure, at most 64 of them, numbered from its first word. */
static inline uint64_t bits(const uint64_t *words, int hi, int lo)
{
	uint64_t v = 0;
	int i;

	for (i = hi; i >= lo; i--)
		v = v << 1 | (words[i / 64] >> i % 64 & 1);
	return v;
}

static inline bool any(const uint64_t *words, int hi, int lo)
{
	int i;

	for (i = lo; i <= hi; i++)
		if (words[i / 64] >> i % 64 & 1)
			return true;
	return false;
}

/* Reason codes that FPD can silence: all but these. */
static inline bool plain_is_qualified(int reason)
{
	switch (reason) {
	case 0x01:
	case 0x08:
	case 0x09:
	case 0x0a:
	case 0x20:
	case 0x21:
	case 0x23:
	case 0x25:
	case 0x29:
	case 0x2a:
	case 0x2b:
	case 0x30:
	case 0x31:
	case 0x32:
	case 0x33:
	case 0x34:
	case 0x38:
	case 0x39:
	case 0x3a:
	case 0x40:
	case 0x50:
	case 0x58:
		return false;
	default:
		return true;
	}
}

struct plain {
	const struct plain_memory *m;
	const struct viommu_path_request *req;
	struct plain_answer *out;
	int major, nd, mgaw, sagaw, sslps, pss, haw;
	bool zlr, fs1gp, fs5lp;
	bool coherent, dt, pt, sc, mts, nest, prs, srs, eafs, pasid, smts, ssads, ssts, fsts,
		smpwcs;
	bool rps, adms, rprivs, hpts, ptrs, ssirws;
	uint64_t rtaddr;
};

static inline int plain_stop(struct plain *p, int reason)
{
	p->out->reason = reason;
	p->out->silent = p->out->fpd && plain_is_qualified(reason);
	p->out->nr = 0;
	return reason;
}

/* min(MGAW, width) for an AW that exists, else 0. */
static inline int plain_width(const struct plain *p, int aw)
{
	int width;

	if (aw == 1 && (p->sagaw & 2))
		width = 39;
	else if (aw == 2 && (p->sagaw & 4))
		width = 48;
	else if (aw == 3 && (p->sagaw & 8))
		width = 57;
	else
		return 0;
	return p->mgaw < width ? p->mgaw : width;
}

static inline int plain_translated(struct plain *p)
{
	uint64_t addr = p->req->addr;

	if (p->haw < 64 && addr >= UINT64_C(1) << p->haw)
		return plain_stop(p, p->out->legacy ? 0x04 : 0x83);
	if (addr >= 0xfee00000 && addr <= 0xfeefffff)
		return plain_stop(p, p->out->legacy ? 0x0e : 0x87);
	p->out->nr = 0;
	return 0;
}

static inline void plain_second_stage(struct plain *p, int aw, uint64_t root,
				      struct viommu_stage *s)
{
	memset(s, 0, sizeof(*s));
	s->format = VIOMMU_FORMAT_VTD_SS;
	s->levels = (uint8_t)(aw == 1 ? 3 : aw == 2 ? 4 : 5);
	s->haw = (uint8_t)p->haw;
	s->input_bits = (uint8_t)plain_width(p, aw);
	s->root = root;
	s->flags |= p->sslps & 1 ? VIOMMU_STAGE_2M : 0;
	s->flags |= p->sslps & 2 ? VIOMMU_STAGE_1G : 0;
	s->flags |= p->sc ? VIOMMU_STAGE_SNP : 0;
}

static inline int plain_legacy(struct plain *p)
{
	const struct viommu_path_request *req = p->req;
	struct plain_answer *out = p->out;
	int bus = req->sid >> 8, devfn = req->sid & 0xff, tt, aw, top = 63;
	uint64_t root[2], ce[2], table;

	out->legacy = true;
	table = p->rtaddr & ~UINT64_C(0xfff);
	if (table >> p->haw || !plain_read(p->m, table + 16 * (uint64_t)bus, root, 2))
		return plain_stop(p, 0x08);
	if (!any(root, 0, 0))
		return plain_stop(p, 0x01);
	if (any(root, 11, 1) || any(root, top, p->haw) || any(root, 127, 64))
		return plain_stop(p, 0x0a);

	table = root[0] & ~UINT64_C(0xfff);
	if (!plain_read(p->m, table + 16 * (uint64_t)devfn, ce, 2))
		return plain_stop(p, 0x09);
	out->fpd |= any(ce, 1, 1);
	if (!any(ce, 0, 0))
		return plain_stop(p, 0x02);
	tt = (int)bits(ce, 3, 2);
	aw = (int)bits(ce, 66, 64);
	if (any(ce, 11, 4) || any(ce, 71, 71) || any(ce, 127, 88))
		return plain_stop(p, 0x0b);
	if (tt != 2 && any(ce, top, p->haw))
		return plain_stop(p, 0x0b);
	if (p->nd < 16 && any(ce, 87, 72 + p->nd))
		return plain_stop(p, 0x0b);
	if (tt == 3 || (tt == 1 && !p->dt) || (tt == 2 && !p->pt))
		return plain_stop(p, 0x03);
	if (!plain_width(p, aw))
		return plain_stop(p, 0x03);
	if (req->request == VIOMMU_REQ_TRANSLATION && tt != 1)
		return plain_stop(p, 0x0d);
	if (req->request == VIOMMU_REQ_TRANSLATED && tt != 1)
		return plain_stop(p, 0x0d);

	out->did = (int)bits(ce, 87, 72);
	out->pgtt = tt == 2 ? 4 : 2;
	if (req->request == VIOMMU_REQ_TRANSLATED)
		return plain_translated(p);
	if (tt == 2)
		return 0;
	out->nr = 1;
	plain_second_stage(p, aw, bits(ce, 63, 12) << 12, &out->stage[0]);
	out->stage[0].flags |= VIOMMU_STAGE_LEGACY;
	out->stage[0].flags |= p->coherent ? VIOMMU_STAGE_SNOOP : 0;
	out->stage[0].flags |= p->zlr ? VIOMMU_STAGE_ZLR : 0;
	return 0;
}

static inline bool plain_pe_reserved(const struct plain *p, const uint64_t *pe)
{
	int pgtt = (int)bits(pe, 8, 6);

	if (any(pe, 5, 5) || any(pe, 11, 10))
		return true;
	if (!p->ssads && any(pe, 9, 9))
		return true;
	if ((pgtt == 2 || pgtt == 3) && any(pe, 63, p->haw))
		return true;
	if (p->nd < 16 && any(pe, 79, 64 + p->nd))
		return true;
	if (any(pe, 86, 80) || any(pe, 95, 91))
		return true;
	if (!p->smpwcs && any(pe, 87, 87))
		return true;
	if (!p->sc && any(pe, 88, 88))
		return true;
	if (!p->mts && (any(pe, 90, 89) || any(pe, 127, 96)))
		return true;
	if (!p->srs && (any(pe, 128, 128) || any(pe, 132, 132)))
		return true;
	if (any(pe, 129, 129) || any(pe, 139, 136))
		return true;
	if (!p->eafs && any(pe, 135, 135))
		return true;
	if ((pgtt == 1 || pgtt == 3) && any(pe, 191, 128 + p->haw))
		return true;
	if (any(pe, 255, 192))
		return true;
	if (!p->hpts && any(pe, 335, 256))
		return true;
	return any(pe, 267, 259) || any(pe, 383, 336) || any(pe, 511, 384);
}

static inline bool plain_pe_invalid(const struct plain *p, const uint64_t *pe)
{
	int pgtt = (int)bits(pe, 8, 6), aw = (int)bits(pe, 4, 2), fspm = (int)bits(pe, 131, 130);

	if (pgtt < 1 || pgtt > 4)
		return true;
	if (pgtt == 1 && !p->fsts)
		return true;
	if (pgtt == 2 && !p->ssts)
		return true;
	if (pgtt == 3 && !(p->nest && p->fsts && p->ssts))
		return true;
	if (pgtt == 4 && !p->pt)
		return true;
	if ((pgtt == 1 || pgtt == 3) && (fspm > 1 || (fspm == 1 && !p->fs5lp)))
		return true;
	if ((pgtt == 2 || pgtt == 3) && !plain_width(p, aw))
		return true;
	return pgtt == 3 && bits(pe, 191, 140) << 12 >> plain_width(p, aw);
}

static inline void plain_pe_stages(struct plain *p, const uint64_t *pe)
{
	struct plain_answer *out = p->out;
	int pgtt = (int)bits(pe, 8, 6);
	struct viommu_stage *s;

	if (pgtt == 1 || pgtt == 3) {
		s = &out->stage[out->nr++];
		memset(s, 0, sizeof(*s));
		s->format = VIOMMU_FORMAT_VTD_FS;
		s->levels = any(pe, 131, 130) ? 5 : 4;
		s->haw = (uint8_t)p->haw;
		s->root = bits(pe, 191, 140) << 12;
		s->flags = VIOMMU_STAGE_2M;
		s->flags |= p->fs1gp ? VIOMMU_STAGE_1G : 0;
		s->flags |= any(pe, 128, 128) ? VIOMMU_STAGE_SRE : 0;
		s->flags |= any(pe, 132, 132) ? VIOMMU_STAGE_WPE : 0;
		s->flags |= any(pe, 135, 135) ? VIOMMU_STAGE_EAFE : 0;
		s->flags |= any(pe, 87, 87) ? VIOMMU_STAGE_SNOOP : 0;
	}
	if (pgtt == 2 || pgtt == 3) {
		s = &out->stage[out->nr++];
		plain_second_stage(p, (int)bits(pe, 4, 2), bits(pe, 63, 12) << 12, s);
		s->flags |= any(pe, 9, 9) ? VIOMMU_STAGE_AD : 0;
		s->flags |= any(pe, 87, 87) ? VIOMMU_STAGE_SNOOP : 0;
		s->flags |= any(pe, 90, 90) ? VIOMMU_STAGE_MTS : 0;
		s->flags |= (p->rtaddr >> 7 & 1) && p->ssirws ? VIOMMU_STAGE_IORW : 0;
	}
}

static inline int plain_scalable(struct plain *p)
{
	const struct viommu_path_request *req = p->req;
	struct plain_answer *out = p->out;
	int bus = req->sid >> 8, devfn = req->sid & 0xff;
	bool has_pasid = req->pasid != VIOMMU_NO_PASID;
	uint64_t root, ce[4], dir, pe[8], table, limit;
	uint32_t rid_pasid;

	table = p->rtaddr & ~UINT64_C(0xfff);
	if (table >> p->haw)
		return plain_stop(p, 0x38);
	if (!plain_read(p->m, table + 16 * (uint64_t)bus + (devfn >= 0x80 ? 8 : 0), &root, 1))
		return plain_stop(p, 0x38);
	if (!any(&root, 0, 0))
		return plain_stop(p, 0x39);
	if (any(&root, 11, 1) || any(&root, 63, p->haw))
		return plain_stop(p, 0x3a);

	table = root & ~UINT64_C(0xfff);
	if (!plain_read(p->m, table + 32 * (uint64_t)(devfn % 0x80), ce, 4))
		return plain_stop(p, 0x40);
	out->fpd |= any(ce, 1, 1);
	if (!any(ce, 0, 0))
		return plain_stop(p, 0x41);
	if ((!p->dt && any(ce, 2, 2)) || (!p->pasid && any(ce, 3, 3)) ||
	    (!p->prs && any(ce, 4, 4)) || (!p->hpts && any(ce, 5, 5)) ||
	    (!p->ptrs && any(ce, 6, 6)) || any(ce, 8, 7) || any(ce, 63, p->haw) ||
	    (!p->rps && any(ce, 83, 64)) || (!p->rprivs && any(ce, 84, 84)) || any(ce, 127, 85) ||
	    any(ce, 255, 128))
		return plain_stop(p, 0x42);
	limit = UINT64_C(1) << (bits(ce, 11, 9) + 13);
	rid_pasid = (uint32_t)bits(ce, 83, 64);
	if (any(ce, 4, 4) && !any(ce, 2, 2))
		return plain_stop(p, 0x43);
	if (any(ce, 6, 6) && !any(ce, 3, 3))
		return plain_stop(p, 0x43);
	if (rid_pasid >= limit)
		return plain_stop(p, 0x43);

	if (req->request == VIOMMU_REQ_TRANSLATION && !any(ce, 2, 2))
		return plain_stop(p, 0x44);
	if (req->request == VIOMMU_REQ_TRANSLATED && !any(ce, 2, 2))
		return plain_stop(p, 0x44);
	if (req->request == VIOMMU_REQ_TRANSLATED && has_pasid && !any(ce, 6, 6))
		return plain_stop(p, 0x49);
	if (req->request != VIOMMU_REQ_TRANSLATED && has_pasid && !any(ce, 3, 3))
		return plain_stop(p, 0x45);
	if (req->request == VIOMMU_REQ_PAGE && !any(ce, 4, 4))
		return plain_stop(p, 0x47);
	if (has_pasid && req->pasid == rid_pasid)
		return plain_stop(p, 0x48);
	if (has_pasid && req->pasid >= limit)
		return plain_stop(p, 0x46);
	if (has_pasid && req->request != VIOMMU_REQ_PAGE &&
	    req->pasid >= UINT64_C(1) << (p->pss + 1))
		return plain_stop(p, 0x89);
	if (!has_pasid)
		out->pasid = rid_pasid;
	out->priv = has_pasid ? (req->access & VIOMMU_PRIV) != 0 : any(ce, 84, 84);
	if (req->request == VIOMMU_REQ_TRANSLATED && !any(ce, 5, 5))
		return plain_translated(p);

	table = bits(ce, 63, 12) << 12;
	if (!plain_read(p->m, table + 8 * (uint64_t)(out->pasid / 64), &dir, 1))
		return plain_stop(p, 0x50);
	out->fpd |= any(&dir, 1, 1);
	if (!any(&dir, 0, 0))
		return plain_stop(p, 0x51);
	if (any(&dir, 11, 2) || any(&dir, 63, p->haw))
		return plain_stop(p, 0x52);

	table = bits(&dir, 63, 12) << 12;
	if (!plain_read(p->m, table + 64 * (uint64_t)(out->pasid % 64), pe, 8))
		return plain_stop(p, 0x58);
	out->fpd |= any(pe, 1, 1);
	if (!any(pe, 0, 0))
		return plain_stop(p, 0x59);
	if (plain_pe_reserved(p, pe))
		return plain_stop(p, 0x5a);
	if (plain_pe_invalid(p, pe))
		return plain_stop(p, 0x5b);
	out->pgtt = (int)bits(pe, 8, 6);
	out->did = (int)bits(pe, 79, 64);
	/* No host permission tables here. */
	if (req->request == VIOMMU_REQ_TRANSLATED)
		return plain_stop(p, 0xa2);
	if (req->request != VIOMMU_REQ_PAGE) {
		if (has_pasid && (req->access & VIOMMU_EXEC))
			return plain_stop(p, 0x5c);
		if (out->priv && (out->pgtt == 1 || out->pgtt == 3) && !any(pe, 128, 128))
			return plain_stop(p, 0x5d);
	}
	plain_pe_stages(p, pe);
	return 0;
}

/* The reason, 0 if there is no fault. */
static inline int plain_lookup(const struct viommu_unit *unit, const struct plain_memory *m,
			       const struct viommu_path_request *req, struct plain_answer *out)
{
	const uint64_t *cap = &unit->cap, *ecap = &unit->ecap;
	uint32_t kind = req->access & ~(VIOMMU_PRIV | VIOMMU_EXEC);
	struct plain p = {
		.m = m,
		.req = req,
		.out = out,
		.major = unit->ver >> 4 & 0xf,
		.haw = unit->haw,
		.rtaddr = unit->rtaddr,
		.nd = 4 + 2 * (int)bits(cap, 2, 0),
		.sagaw = (int)bits(cap, 12, 8),
		.mgaw = (int)bits(cap, 21, 16) + 1,
		.zlr = any(cap, 22, 22),
		.sslps = (int)bits(cap, 37, 34),
		.fs1gp = any(cap, 56, 56),
		.fs5lp = any(cap, 60, 60),
		.coherent = any(ecap, 0, 0),
		.dt = any(ecap, 2, 2),
		.pt = any(ecap, 6, 6),
		.sc = any(ecap, 7, 7),
		.mts = any(ecap, 25, 25),
		.nest = any(ecap, 26, 26),
		.prs = any(ecap, 29, 29),
		.srs = any(ecap, 31, 31),
		.eafs = any(ecap, 34, 34),
		.pss = (int)bits(ecap, 39, 35),
		.pasid = any(ecap, 40, 40),
		.smts = any(ecap, 43, 43),
		.ssads = any(ecap, 45, 45),
		.ssts = any(ecap, 46, 46),
		.fsts = any(ecap, 47, 47),
		.smpwcs = any(ecap, 48, 48),
		.rps = any(ecap, 49, 49),
		.adms = any(ecap, 52, 52),
		.rprivs = any(ecap, 53, 53),
		.hpts = any(ecap, 55, 55),
		.ptrs = any(ecap, 56, 56),
		.ssirws = any(ecap, 57, 57),
	};
	int ttm = (int)bits(&unit->rtaddr, 11, 10);

	memset(out, 0, sizeof(*out));
	out->pasid = VIOMMU_NO_PASID;
	if (req->pasid == VIOMMU_NO_PASID && req->addr >= 0xfee00000 && req->addr <= 0xfeefffff) {
		if (req->request == VIOMMU_REQ_TRANSLATION) {
			out->interrupt = true;
			return 0;
		}
		if (req->request == VIOMMU_REQ_UNTRANSLATED) {
			if (kind == VIOMMU_WRITE && req->addr % 4 == 0)
				out->interrupt = true;
			else if ((kind | VIOMMU_READ) == (VIOMMU_READ | VIOMMU_ZERO_LENGTH))
				out->zero_read = true;
			else
				return plain_stop(&p, 0x29);
			return 0;
		}
	}
	out->pasid = req->pasid;

	if (ttm == 2 || (ttm == 1 && !p.smts) || (ttm == 3 && !p.adms))
		return plain_stop(&p, 0x30);
	if (ttm == 0 && any(&unit->rtaddr, 7, 7))
		return plain_stop(&p, 0x30);
	if (ttm == 3)
		return plain_stop(&p, 0x33);
	if (ttm == 0 && req->request == VIOMMU_REQ_PAGE)
		return plain_stop(&p, 0x32);
	if (ttm == 0 && req->pasid != VIOMMU_NO_PASID)
		return plain_stop(&p, 0x31);
	if (p.major >= 8 && (req->access & VIOMMU_EXEC) && req->request != VIOMMU_REQ_PAGE)
		return plain_stop(&p, 0x34);
	return ttm == 0 ? plain_legacy(&p) : plain_scalable(&p);
}

/* Does what viommu_path_lookup() said agree with it? */
static inline bool plain_agrees(const struct plain_answer *plain,
				const struct viommu_path_request *req, int ret,
				const struct viommu_path_result *got)
{
	int i;

	if (ret != (plain->reason ? VIOMMU_FAULTED : 0))
		return false;
	if (got->interrupt != plain->interrupt || got->zero_read != plain->zero_read ||
	    got->legacy != plain->legacy || got->fpd != plain->fpd || got->pasid != plain->pasid)
		return false;
	if (plain->reason) {
		const struct viommu_fault *f = &got->fault;

		return f->reason == plain->reason && f->sid == req->sid && f->addr == req->addr &&
		       f->access == req->access && f->request == req->request &&
		       f->pasid == plain->pasid && f->stage == VIOMMU_STAGE_PATH && !f->level &&
		       !!(f->flags & VIOMMU_FAULT_FPD) == plain->silent &&
		       !!(f->flags & VIOMMU_FAULT_HAS_PASID) == (req->pasid != VIOMMU_NO_PASID) &&
		       !got->stack.nr;
	}
	if (plain->interrupt || plain->zero_read)
		return true;
	if (got->pgtt != plain->pgtt || got->did != plain->did || got->priv != plain->priv ||
	    got->stack.nr != (uint32_t)plain->nr)
		return false;
	for (i = 0; i < plain->nr; i++)
		if (memcmp(&got->stack.stage[i], &plain->stage[i], sizeof(plain->stage[i])))
			return false;
	return true;
}

#endif /* VIOMMU_TEST_PASID_PLAIN_H */
