/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The oracle of the walker's tests, see oracle.h. VT-d 5.10: first-stage and second-stage
 * entries, nested translation, fault reasons; rules by their id in the ledger.
 *
 * translate(i) answers for stage i and everything below it: the stage's own walk, then its output
 * through translate(i + 1). A table of stage i is read through translate(i + 1) too. That is all.
 */
#include "lib/oracle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Fault reasons, by number on purpose: independent of viommu/vtd.h. */
enum reason {
	L_TOP_TABLE = 0x03,
	L_INPUT_WIDTH = 0x04,
	L_NO_WRITE = 0x05,
	L_NO_READ = 0x06,
	L_ACCESS = 0x07,
	L_RESERVED = 0x0c,
	L_OUTPUT_FEE = 0x0e,
	ROOT_BEYOND_BELOW = 0x5b,
	SUPERVISOR = 0x5d,
	FS_ACCESS = 0x70,
	FS_NOT_PRESENT = 0x71,
	FS_RESERVED = 0x72,
	FS_TOP_ACCESS = 0x73,
	BEYOND_BELOW = 0x74,
	TOP_NO_READ_BELOW = 0x75,
	NO_READ_BELOW = 0x76,
	NO_WRITE_BELOW = 0x77,
	SS_ACCESS = 0x78,
	SS_NOT_PRESENT = 0x79,
	SS_RESERVED = 0x7a,
	SS_TOP_ACCESS = 0x7b,
	SS_AD_NO_SNOOP = 0x7c,
	SS_AD_FAILED = 0x7d,
	FS_NOT_CANONICAL = 0x80,
	FS_USER = 0x81,
	PT_WIDTH = 0x83,
	SS_INPUT_WIDTH = 0x84,
	NO_WRITE = 0x85,
	NO_READ = 0x86,
	OUTPUT_FEE = 0x87,
	FS_AD_NO_SNOOP = 0x90,
	FS_AD_FAILED = 0x91,
};

#define BIT(n)       (UINT64_C(1) << (n))
#define BITS(hi, lo) ((~UINT64_C(0) >> (63 - (hi))) & (~UINT64_C(0) << (lo)))
#define ALL_PERM     (VIOMMU_PERM_R | VIOMMU_PERM_W | VIOMMU_PERM_SR | VIOMMU_PERM_SW)

/* What is asked of a stage. */
struct ask {
	bool read;
	bool write;
	bool priv;
	bool zero;  /* a read of no bytes */
	bool table; /* an entry of an upper stage's table is to be read */
};

/*
 * How translate() ends. The last two are faults as well: the caller that read a table renames them.
 */
enum end {
	DONE = 0,
	FAULT,
	LACKS_READ,
	LACKS_WRITE,
};

/* What stage i and all below it answer. */
struct answer {
	uint64_t out;
	unsigned int page_lg2;
	unsigned int perm;
	bool snp;
	uint64_t last_input; /* what the last stage was asked for */
};

struct walk {
	const struct viommu_stack *stack;
	uint32_t reads;
	struct viommu_fault fault;
	bool dry;
	struct oracle_result *result; /* the list of updates */
};

/* One entry on the way down a table. */
struct hop {
	unsigned int level;
	uint64_t entry_addr; /* in the address space of the table */
	uint64_t phys;
	uint64_t entry;
	bool writable; /* all stages below let the entry be written */
};

static enum end translate(struct walk *w, unsigned int i, uint64_t addr, const struct ask *ask,
			  struct answer *a);

static enum end fault(struct walk *w, enum reason reason, unsigned int stage, uint64_t stage_addr,
		      const struct hop *hop)
{
	w->fault = (struct viommu_fault){
		.reason = (uint8_t)reason,
		.stage = (uint8_t)stage,
		.stage_addr = stage_addr,
	};
	if (hop) {
		w->fault.level = (uint8_t)hop->level;
		w->fault.entry_addr = hop->entry_addr;
		w->fault.entry = hop->entry;
	}
	return FAULT;
}

/*
 * Is stage i + 1 a second stage that addr does not fit? (VTD-NEST-08) A first stage below has its
 * own rule, the canonical check.
 */
static bool beyond_below(const struct walk *w, unsigned int i, uint64_t addr)
{
	const struct viommu_stage *below = &w->stack->stage[i + 1];
	unsigned int width;

	if (i + 1 == w->stack->nr || below->format != VIOMMU_FORMAT_VTD_SS)
		return false;
	width = 12 + 9 * below->levels;
	if (below->input_bits < width)
		width = below->input_bits;
	return addr >> width;
}

/*
 * Read the entry of stage i at hop->entry_addr. top: it lies in the top table.
 *
 * The entry's address goes through the stages below and needs R there (VTD-NEST-02): 75 for the top
 * table, 76 for lower ones. A stage below that keeps A/D wants R and W for every access to a
 * first-stage table (VTD-NEST-04): 77 if W lacks. Everything else that goes wrong below keeps its
 * own code (VTD-NEST-10). choice (walk.h): every stage over another is treated like a first stage
 * over a second one; a first stage below takes table reads for user requests.
 */
static enum end read_entry(struct walk *w, unsigned int i, uint64_t addr, bool top, struct hop *hop)
{
	const struct viommu_stage *s = &w->stack->stage[i];
	struct ask ask = { .read = true, .table = true };
	enum reason access;
	struct answer a;
	unsigned int u;

	hop->entry = 0;
	switch (translate(w, i + 1, hop->entry_addr, &ask, &a)) {
	case FAULT:
		return FAULT;
	case LACKS_READ:
		return fault(w, top ? TOP_NO_READ_BELOW : NO_READ_BELOW, i, addr, hop);
	case LACKS_WRITE:
		return fault(w, NO_WRITE_BELOW, i, addr, hop);
	case DONE:
		break;
	}
	if (s->format == VIOMMU_FORMAT_VTD_FS)
		access = top ? FS_TOP_ACCESS : FS_ACCESS;
	else if (s->flags & VIOMMU_STAGE_LEGACY)
		access = top ? L_TOP_TABLE : L_ACCESS;
	else
		access = top ? SS_TOP_ACCESS : SS_ACCESS;
	hop->phys = a.out;
	hop->writable = a.perm & VIOMMU_PERM_W;
	if (viommu_mem_load64(w->stack->mem, hop->phys, &hop->entry))
		return fault(w, access, i, addr, hop);
	/* What this walk set before is found set, unless it sets nothing. */
	for (u = 0; !w->dry && u < w->result->nr_updates; u++) {
		if (w->result->update[u].phys == hop->phys)
			hop->entry |= w->result->update[u].bits;
	}
	w->reads++;
	return DONE;
}

/* The region that holds phys; false for a hole. */
static bool region_of(struct viommu_mem *mem, uint64_t phys, struct viommu_mem_region *r)
{
	return !viommu_mem_next(mem, phys, r) && r->gpa <= phys && !r->lost;
}

/* Put bits on the list of updates; an entry that several walks use is there once. */
static void add_update(struct oracle_result *r, uint64_t phys, uint64_t bits)
{
	unsigned int u;

	for (u = 0; u < r->nr_updates; u++) {
		if (r->update[u].phys == phys) {
			r->update[u].bits |= bits;
			return;
		}
	}
	r->update[r->nr_updates++] = (struct oracle_update){ .phys = phys, .bits = bits };
}

/*
 * An entry of stage i is used: bits are to be set in it.
 *
 * choice (walk.h): from the top down, when the entry is used, so a walk that faults further down
 * has set A above (VTD-FS-30: updates may be speculative).
 */
static enum end use_entry(struct walk *w, unsigned int i, uint64_t addr, const struct hop *hop,
			  uint64_t bits)
{
	const struct viommu_stage *s = &w->stack->stage[i];
	bool is_fs = s->format == VIOMMU_FORMAT_VTD_FS;
	struct viommu_mem_region region;

	if (!(bits & ~hop->entry))
		return DONE;
	/* A/D updates need a snooped walk (VTD-FS-32, VTD-SS-21). */
	if (!(s->flags & VIOMMU_STAGE_SNOOP))
		return fault(w, is_fs ? FS_AD_NO_SNOOP : SS_AD_NO_SNOOP, i, addr, hop);
	/* The stages below must give W (VTD-NEST-03). */
	if (!hop->writable)
		return fault(w, NO_WRITE_BELOW, i, addr, hop);
	/* The memory must take it. */
	if (!region_of(w->stack->mem, hop->phys, &region) || region.flags & VIOMMU_MEM_READ_ONLY)
		return fault(w, is_fs ? FS_AD_FAILED : SS_AD_FAILED, i, addr, hop);
	add_update(w->result, hop->phys, bits & ~hop->entry);
	return DONE;
}

/*
 * Go on below with the output of stage i, for the same request (VTD-NEST-05); what stage i itself
 * allows is in a->perm (VTD-NEST-06), the size of its page in a->page_lg2 (VTD-NEST-07).
 */
static enum end go_on(struct walk *w, unsigned int i, uint64_t addr, const struct ask *ask,
		      struct answer *a)
{
	struct answer next;
	enum end end;

	end = translate(w, i + 1, a->out, ask, &next);
	if (end)
		return end;
	a->out = next.out;
	a->perm &= next.perm;
	a->snp = a->snp || next.snp;
	if (next.page_lg2 < a->page_lg2)
		a->page_lg2 = next.page_lg2;
	a->last_input = i + 1 < w->stack->nr ? next.last_input : addr;
	return DONE;
}

/* First stage, 4 or 5 levels. */
static enum end first_stage(struct walk *w, unsigned int i, uint64_t addr, const struct ask *ask,
			    struct answer *a)
{
	const struct viommu_stage *s = &w->stack->stage[i];
	bool eafe = s->flags & VIOMMU_STAGE_EAFE, wpe = s->flags & VIOMMU_STAGE_WPE;
	/* A table read through a stage that keeps A/D counts as a write (choice: here, too). */
	bool write = ask->write || ask->table;
	bool user = true, rw = true, dirty, leaf;
	unsigned int top_bit = 12 + 9 * s->levels - 1; /* 47 or 56 */
	uint64_t table = s->root, above, reserved, set;
	unsigned int level, shift;
	struct hop h;
	enum end end;

	/*
	 * 1. Supervisor requests need SRE: judged with the PASID entry, before tables (VTD-FS-21).
	 */
	if (ask->priv && !(s->flags & VIOMMU_STAGE_SRE))
		return fault(w, SUPERVISOR, i, addr, NULL);

	/* 2. Canonical: the bits above the top bit equal it (VTD-FS-16, VTD-FS-18). */
	above = addr >> top_bit;
	if (above != 0 && above != ~UINT64_C(0) >> top_bit)
		return fault(w, FS_NOT_CANONICAL, i, addr, NULL);
	if (beyond_below(w, i, s->root))
		return fault(w, ROOT_BEYOND_BELOW, i, addr, NULL);

	for (level = s->levels;; level--) {
		/* 3. Read the entry. */
		shift = 12 + 9 * (level - 1);
		h.level = level;
		h.entry_addr = table + 8 * (addr >> shift & 511);
		end = read_entry(w, i, addr, level == s->levels, &h);
		if (end)
			return end;

		/* 4. Present (VTD-FS-01, VTD-ENT-04). */
		if (!(h.entry & BIT(0)))
			return fault(w, FS_NOT_PRESENT, i, addr, &h);

		/*
		 * 5. Reserved bits: address bits beyond the width (VTD-FS-14, VTD-ENT-03), PS where
		 * there is no such page (VTD-FS-05, VTD-FS-07, VTD-FS-08), low address bits of
		 * large pages (VTD-FS-12, VTD-FS-13). All others are ignored here (VTD-FS-03,
		 * VTD-FS-04, VTD-FS-06, VTD-FS-09, VTD-FS-11, VTD-FS-15). 2-MiB pages are always
		 * there (VTD-FS-17).
		 */
		leaf = level == 1;
		reserved = s->haw < 52 ? BITS(51, s->haw) : 0;
		if (level >= 2 && h.entry & BIT(7)) {
			if (level > 3 || (level == 3 && !(s->flags & VIOMMU_STAGE_1G)))
				reserved |= BIT(7);
			else
				leaf = true;
			if (leaf)
				reserved |= level == 3 ? BITS(29, 13) : BITS(20, 13);
		}
		if (h.entry & reserved)
			return fault(w, FS_RESERVED, i, addr, &h);

		/* 6. The address must fit the second stage below: 74 (VTD-NEST-01, VTD-NEST-08). */
		table = h.entry & BITS(51, leaf ? shift : 12);
		if (beyond_below(w, i, table))
			return fault(w, BEYOND_BELOW, i, addr, &h);

		/* 7. Permissions are those of all levels together (VTD-FS-02). */
		user = user && h.entry & BIT(2);
		rw = rw && h.entry & BIT(1);
		if (leaf)
			break;

		/*
		 * 8. A is set in every entry used (VTD-FS-27), EA with it (VTD-FS-10, VTD-FS-28).
		 */
		end = use_entry(w, i, addr, &h, BIT(5) | (eafe ? BIT(10) : 0));
		if (end)
			return end;
	}

	/*
	 * 9. Permission of the request (VTD-FS-22, VTD-FS-23, VTD-FS-24, VTD-FS-25, VTD-FS-26).
	 * choice (walk.h): after the leaf is found, so a lower entry that is not present counts
	 * before a higher one that forbids; reported at the leaf.
	 */
	if (!ask->priv && !user) {
		fault(w, FS_USER, i, addr, &h);
		return LACKS_READ;
	}
	if (write && !rw && (!ask->priv || wpe)) {
		fault(w, NO_WRITE, i, addr, &h);
		return LACKS_WRITE;
	}

	/* 10. The leaf is used: A, and D for a write (VTD-FS-29). */
	set = BIT(5) | (eafe ? BIT(10) : 0) | (write ? BIT(6) : 0);
	end = use_entry(w, i, addr, &h, set);
	if (end)
		return end;
	dirty = (h.entry | set) & BIT(6);

	/* 11. The output, and what the stages below say, after all of this (VTD-NEST-09). */
	a->out = table | (addr & (BIT(shift) - 1));
	a->page_lg2 = shift;
	a->snp = false;
	a->perm = 0;
	if (user)
		a->perm |= VIOMMU_PERM_R;
	if (user && rw && dirty)
		a->perm |= VIOMMU_PERM_W;
	if (s->flags & VIOMMU_STAGE_SRE)
		a->perm |= VIOMMU_PERM_SR;
	if (s->flags & VIOMMU_STAGE_SRE && (rw || !wpe) && dirty)
		a->perm |= VIOMMU_PERM_SW;
	return go_on(w, i, addr, ask, a);
}

/* Second stage, 3, 4 or 5 levels, scalable and legacy codes. */
static enum end second_stage(struct walk *w, unsigned int i, uint64_t addr, const struct ask *ask,
			     struct answer *a)
{
	const struct viommu_stage *s = &w->stack->stage[i];
	bool legacy = s->flags & VIOMMU_STAGE_LEGACY, ad = s->flags & VIOMMU_STAGE_AD;
	bool write = ask->write || (ask->table && ad); /* VTD-NEST-04 */
	bool r = true, wr = true, er, ew, dirty, read_ok, leaf;
	unsigned int width = 12 + 9 * s->levels;
	uint64_t table = s->root, reserved, set;
	unsigned int level, shift;
	struct hop h;
	enum end end;

	/* 1. Input width: min(MGAW, AW) (VTD-SS-15, VTD-SS-16). */
	if (s->input_bits < width)
		width = s->input_bits;
	if (addr >> width)
		return fault(w, legacy ? L_INPUT_WIDTH : SS_INPUT_WIDTH, i, addr, NULL);
	if (beyond_below(w, i, s->root))
		return fault(w, ROOT_BEYOND_BELOW, i, addr, NULL);

	for (level = s->levels;; level--) {
		/* 2. Read the entry. */
		shift = 12 + 9 * (level - 1);
		h.level = level;
		h.entry_addr = table + 8 * (addr >> shift & 511);
		end = read_entry(w, i, addr, level == s->levels, &h);
		if (end)
			return end;

		/*
		 * 3. Present: R or W; what is not present is not checked further (VTD-SS-01).
		 * Legacy mode has no code of its own for it: no write, or no read. choice: a
		 * request of both lacks write; under a table read it keeps that code, as 79 does.
		 */
		er = h.entry & BIT(0);
		ew = h.entry & BIT(1);
		if (!er && !ew) {
			if (legacy)
				return fault(w, write ? L_NO_WRITE : L_NO_READ, i, addr, &h);
			return fault(w, SS_NOT_PRESENT, i, addr, &h);
		}

		/*
		 * 4. Reserved bits: address bits beyond the width (VTD-SS-10), PS where there is no
		 * such page (VTD-SS-04, VTD-SS-05), low address bits of large pages (VTD-SS-09),
		 * SNP (VTD-SS-08), bit 62 (VTD-SS-12). All others are ignored here (VTD-SS-02,
		 * VTD-SS-03, VTD-SS-07, VTD-SS-11). choice: EMT and IPAT of entries that point to
		 * tables are ignored.
		 */
		leaf = level == 1;
		reserved = s->haw < 52 ? BITS(51, s->haw) : 0;
		if (level >= 2 && h.entry & BIT(7)) {
			leaf = (level == 3 && s->flags & VIOMMU_STAGE_1G) ||
			       (level == 2 && s->flags & VIOMMU_STAGE_2M);
			if (!leaf)
				reserved |= BIT(7);
			else
				reserved |= level == 3 ? BITS(29, 12) : BITS(20, 12);
		}
		if (!leaf || !(s->flags & VIOMMU_STAGE_SNP))
			reserved |= BIT(11);
		if (!(s->flags & VIOMMU_STAGE_IORW))
			reserved |= BIT(62);
		if (h.entry & reserved)
			return fault(w, legacy ? L_RESERVED : SS_RESERVED, i, addr, &h);

		/*
		 * 5. The address must fit the stage below: 74, as for a first stage (choice,
		 * walk.h).
		 */
		table = h.entry & BITS(51, leaf ? shift : 12);
		if (beyond_below(w, i, table))
			return fault(w, BEYOND_BELOW, i, addr, &h);

		/*
		 * 6. Permissions of all levels together (VTD-SS-17); with SSIRWE those of I/O
		 * (VTD-SS-13). choice (walk.h): IR and IW instead of R and W.
		 */
		if (s->flags & VIOMMU_STAGE_IORW) {
			er = h.entry & BIT(61);
			ew = h.entry & BIT(62);
		}
		r = r && er;
		wr = wr && ew;
		if (leaf)
			break;

		/* 7. A in all entries used, if SSADE (VTD-SS-06, VTD-SS-20). */
		end = use_entry(w, i, addr, &h, ad ? BIT(8) : 0);
		if (end)
			return end;
	}

	/* 8. Neither R nor W survives: as if not present. choice (walk.h): judged at the leaf. */
	if (!legacy && !r && !wr)
		return fault(w, SS_NOT_PRESENT, i, addr, &h);

	/*
	 * 9. Permission of the request; an atomic asks for both (VTD-SS-18). Legacy zero-length
	 * reads pass on write-only pages with ZLR (VTD-SS-19).
	 */
	read_ok = r || (legacy && ask->zero && wr && s->flags & VIOMMU_STAGE_ZLR);
	if (write && !wr) {
		fault(w, legacy ? L_NO_WRITE : NO_WRITE, i, addr, &h);
		return LACKS_WRITE;
	}
	if (ask->read && !read_ok) {
		fault(w, legacy ? L_NO_READ : NO_READ, i, addr, &h);
		return LACKS_READ;
	}

	/* 10. The leaf is used: A, and D for a write, if SSADE. */
	set = ad ? BIT(8) | (write ? BIT(9) : 0) : 0;
	end = use_entry(w, i, addr, &h, set);
	if (end)
		return end;
	dirty = !ad || (h.entry | set) & BIT(9);

	/* 11. The output, and what the stages below say. */
	a->out = table | (addr & (BIT(shift) - 1));
	a->page_lg2 = shift;
	a->snp = h.entry & BIT(11);
	a->perm = 0;
	if (r)
		a->perm |= VIOMMU_PERM_R | VIOMMU_PERM_SR;
	if (wr && dirty)
		a->perm |= VIOMMU_PERM_W | VIOMMU_PERM_SW;
	return go_on(w, i, addr, ask, a);
}

static enum end translate(struct walk *w, unsigned int i, uint64_t addr, const struct ask *ask,
			  struct answer *a)
{
	if (i == w->stack->nr) {
		*a = (struct answer){ .out = addr, .perm = ALL_PERM, .page_lg2 = 64 };
		return DONE;
	}
	if (w->stack->stage[i].format == VIOMMU_FORMAT_VTD_FS)
		return first_stage(w, i, addr, ask, a);
	return second_stage(w, i, addr, ask, a);
}

static bool well_formed(const struct viommu_stack *stack)
{
	unsigned int i;

	if (stack->nr > VIOMMU_STACK_MAX || !stack->mem)
		return false;
	for (i = 0; i < stack->nr; i++) {
		const struct viommu_stage *s = &stack->stage[i];

		if (s->format == VIOMMU_FORMAT_VTD_FS) {
			if (s->levels != 4 && s->levels != 5)
				return false;
		} else if (s->format == VIOMMU_FORMAT_VTD_SS) {
			if (s->levels < 3 || s->levels > 5)
				return false;
		} else {
			return false;
		}
		if (s->haw < 32 || s->haw > 52 || s->root & 4095)
			return false;
	}
	return true;
}

/* What is judged of the final address, after all stages. */
static enum end output(struct walk *w, uint64_t addr, const struct answer *a)
{
	const struct viommu_stack *stack = w->stack;
	unsigned int last = stack->nr ? stack->nr - 1 : 0;
	uint64_t input = stack->nr ? a->last_input : addr;
	bool legacy = stack->nr && stack->stage[last].flags & VIOMMU_STAGE_LEGACY;

	/* A stack without an address width is no unit's: its output is not judged (walk.h). */
	if (!stack->haw)
		return DONE;
	/* Address width: the one check of pass-through (VTD-PT-01, VTD-PT-02). */
	if (a->out >> stack->haw)
		return fault(w, PT_WIDTH, last, input, NULL);
	/* choice: only the request's own output is judged, not that of table reads. */
	if (a->out >> 20 == 0xfee)
		return fault(w, legacy ? L_OUTPUT_FEE : OUTPUT_FEE, last, input, NULL);
	return DONE;
}

void oracle_walk(const struct viommu_stack *stack, uint64_t addr, uint32_t access, uint32_t flags,
		 struct oracle_result *out)
{
	struct walk w = { .stack = stack, .dry = flags & VIOMMU_WALK_DRY, .result = out };
	struct ask ask = {
		.read = access & (VIOMMU_READ | VIOMMU_ATOMIC | VIOMMU_ZERO_LENGTH),
		.write = access & (VIOMMU_WRITE | VIOMMU_ATOMIC),
		.priv = access & VIOMMU_PRIV,
		.zero = access & VIOMMU_ZERO_LENGTH,
	};
	struct viommu_mem_region region;
	struct answer a;

	out->ret = 0;
	out->nr_updates = 0;
	memset(&out->walk, 0, sizeof(out->walk));
	if (!well_formed(stack)) {
		out->ret = -EINVAL;
		return;
	}
	if (translate(&w, 0, addr, &ask, &a) || output(&w, addr, &a)) {
		out->ret = VIOMMU_FAULTED;
		out->walk.reads = w.reads;
		out->walk.fault = w.fault;
		out->walk.fault.addr = addr;
		out->walk.fault.access = (uint8_t)access;
		out->walk.fault.pasid = VIOMMU_NO_PASID;
		return;
	}
	out->walk.out = a.out;
	/* choice: pass-through answers for one page of the smallest size. */
	out->walk.page_lg2 = stack->nr ? (uint8_t)a.page_lg2 : 12;
	out->walk.perm = (uint8_t)a.perm;
	out->walk.snp = a.snp;
	out->walk.reads = w.reads;
	if (region_of(stack->mem, a.out, &region) &&
	    !(ask.write && region.flags & VIOMMU_MEM_READ_ONLY))
		out->walk.host = (uint8_t *)region.host + (a.out - region.gpa);
}

#define SAME(what, fmt, a, b)                                                                \
	do {                                                                                 \
		if ((a) != (b)) {                                                            \
			snprintf(why, size, what ": walker " fmt ", oracle " fmt, (a), (b)); \
			return false;                                                        \
		}                                                                            \
	} while (0)

bool oracle_same(const struct oracle_result *r, int ret, const struct viommu_walk_result *walk,
		 char *why, size_t size)
{
	const struct viommu_walk_result *o = &r->walk;
	const struct viommu_fault *f = &walk->fault, *g = &o->fault;

	if (ret != r->ret) {
		snprintf(why, size,
			 "returned: walker %d (reason %02x, stage %u, level %u), oracle %d (reason "
			 "%02x, stage %u, level %u)",
			 ret, ret == VIOMMU_FAULTED ? f->reason : 0, f->stage, f->level, r->ret,
			 r->ret == VIOMMU_FAULTED ? g->reason : 0, g->stage, g->level);
		return false;
	}
	if (ret == VIOMMU_FAULTED) {
		SAME("reason", "%02x", f->reason, g->reason);
		SAME("stage", "%u", f->stage, g->stage);
		SAME("level", "%u", f->level, g->level);
		SAME("stage_addr", "%" PRIx64, f->stage_addr, g->stage_addr);
		SAME("entry_addr", "%" PRIx64, f->entry_addr, g->entry_addr);
		SAME("entry", "%" PRIx64, f->entry, g->entry);
		SAME("addr", "%" PRIx64, f->addr, g->addr);
		SAME("access", "%x", f->access, g->access);
		SAME("flags", "%x", f->flags, g->flags);
		SAME("sid", "%x", f->sid, g->sid);
		SAME("pasid", "%x", f->pasid, g->pasid);
	} else if (!ret) {
		SAME("out", "%" PRIx64, walk->out, o->out);
		SAME("page_lg2", "%u", walk->page_lg2, o->page_lg2);
		SAME("perm", "%x", walk->perm, o->perm);
		SAME("snp", "%u", walk->snp, o->snp);
		SAME("reads", "%u", walk->reads, o->reads);
		SAME("host", "%p", walk->host, o->host);
	}
	return true;
}

int oracle_apply(struct viommu_mem *mem, const struct oracle_result *r)
{
	unsigned int u;
	int ret;

	for (u = 0; u < r->nr_updates; u++) {
		uint64_t old = 0;

		ret = viommu_mem_load64(mem, r->update[u].phys, &old);
		while (!ret) {
			ret = viommu_mem_cas64(mem, r->update[u].phys, &old,
					       old | r->update[u].bits);
			if (ret != -EAGAIN)
				break;
			ret = 0;
		}
		if (ret)
			return ret;
	}
	return 0;
}
