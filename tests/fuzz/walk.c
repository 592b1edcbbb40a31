/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the walker over a stack and tables that the input makes up. Memory is 14 writable
 * pages from 0, one read-only page, a hole. What must hold whatever the tables say:
 *
 *  - a walk ends, within the reads that its stages allow, with a translation that permits the
 *    access or a fault that exists and names a stage and level that exist;
 *  - a dry walk, a recorded and a plain one agree, and the dry one writes nothing;
 *  - the others set bits in entries and change nothing else: accessed, dirty, extended accessed;
 *  - walked again there is nothing more to set;
 *  - with edits between the steps of a walk it still ends that way.
 *
 * With the first byte odd the last stage is one of our own: 16 pages from 0 that lead to the
 * memory, page 14 read-only, page 15 absent.
 */
#include <stdlib.h>

#include <viommu/mem.h>
#include <viommu/vtd.h>
#include <viommu/walk.h>

#include "base/assert.h"
#include "base/bits.h"
#include "fuzz/fuzz.h"
#include "walk/walk.h"

#define PAGES   15u
#define WORDS   (PAGES * 512u)
#define ENTRIES 64u /* that one input writes */
#define WALKS   4u
#define EDITS   8u

struct edit {
	uint16_t step, word;
	uint64_t value;
};

struct fuzz {
	uint64_t *ram, *before;
	uint64_t *own; /* an own second stage: four tables */
	struct viommu_mem *mem;
	struct viommu_stack stack;
	bool owned;
	/* recorder */
	struct viommu_recorder rec;
	unsigned int steps, reads;
	struct edit edit[EDITS];
	unsigned int edits;
};

static void fuzz_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct fuzz *f = container_of(rec, struct fuzz, rec);
	unsigned int i;

	VIOMMU_ASSERT(step->stage < f->stack.nr && step->depth < f->stack.nr);
	VIOMMU_ASSERT(step->kind == VIOMMU_STEP_OUTPUT
			      ? !step->level
			      : step->level && step->level <= f->stack.stage[step->stage].levels);
	f->reads += step->kind == VIOMMU_STEP_READ;
	f->steps++;
	for (i = 0; i < f->edits; i++) {
		if (f->edit[i].step == f->steps || f->edit[i].step == 0xffff)
			f->ram[f->edit[i].word % WORDS] ^= f->edit[i].value;
	}
}

/* 16 pages from 0 as pointers. */
static void own_build(struct fuzz *f)
{
	unsigned int i;

	f->own = aligned_alloc(4096, 4 * 4096);
	VIOMMU_ASSERT(f->own);
	memset(f->own, 0, 4 * 4096);
	for (i = 0; i < 3; i++)
		f->own[512 * i] = (uint64_t)(uintptr_t)(f->own + 512 * (i + 1)) | 3;
	for (i = 0; i < PAGES; i++)
		f->own[512 * 3 + i] = (uint64_t)(uintptr_t)(f->ram + 512 * i) | (i == 14 ? 1 : 3);
}

static void stage_read(struct fuzz_input *in, struct viommu_stage *s)
{
	uint8_t kind = fuzz_u8(in);

	s->format = kind & 8 ? VIOMMU_FORMAT_VTD_SS : VIOMMU_FORMAT_VTD_FS;
	s->levels = s->format == VIOMMU_FORMAT_VTD_FS ? 4 + (kind & 1) : 3 + (kind & 7) % 3;
	s->input_bits = (uint8_t)(12 + 9 * s->levels - (kind >> 4));
	s->flags = fuzz_u16(in) & 0xfff;
	s->haw = (uint8_t)(52 - fuzz_u8(in) % 21);
	s->root = (uint64_t)(fuzz_u8(in) % 18) << 12;
	if (s->format == VIOMMU_FORMAT_VTD_SS && (s->flags & VIOMMU_STAGE_LEGACY))
		s->flags &= ~VIOMMU_STAGE_AD;
}

static int walk(struct fuzz *f, uint64_t addr, uint32_t access, uint32_t flags,
		struct viommu_recorder *rec, struct viommu_walk_result *out)
{
	unsigned int most = 1, want = viommu__walk_want(access), i;
	int r;

	memset(out, 0x5a, sizeof(*out));
	r = f->owned ? viommu__walk(&f->stack, addr, access, flags, rec, out)
		     : viommu_walk(&f->stack, addr, access, flags, rec, out);
	VIOMMU_ASSERT(r == 0 || r == VIOMMU_FAULTED);
	for (i = 0; i < f->stack.nr; i++)
		most *= f->stack.stage[i].levels + 1u;
	VIOMMU_ASSERT(out->reads < most);
	if (r) {
		const struct viommu_fault *fault = &out->fault;

		VIOMMU_ASSERT(viommu_fault_find(fault->reason));
		VIOMMU_ASSERT(fault->stage < (f->stack.nr ? f->stack.nr : 1));
		VIOMMU_ASSERT(fault->level <= f->stack.stage[fault->stage].levels);
		VIOMMU_ASSERT(fault->addr == addr && fault->access == access);
		VIOMMU_ASSERT(fault->level || (!fault->entry_addr && !fault->entry));
	} else {
		unsigned int need = want & 3;

		VIOMMU_ASSERT(out->page_lg2 == 12 || out->page_lg2 == 21 || out->page_lg2 == 30);
		if (want & VIOMMU__WANT_PRIV)
			need *= VIOMMU_PERM_SR;
		if (!(want & VIOMMU__WANT_ZERO))
			VIOMMU_ASSERT(!(need & ~out->perm));
		VIOMMU_ASSERT(!f->stack.haw || !(out->out >> f->stack.haw));
		VIOMMU_ASSERT(!f->stack.nr ||
			      ((out->out ^ addr) & 0xfff) == 0); /* no page is smaller */
	}
	return r;
}

static void agree(const struct viommu_walk_result *a, int ra, const struct viommu_walk_result *b,
		  int rb)
{
	VIOMMU_ASSERT(ra == rb && a->reads == b->reads);
	if (ra) {
		VIOMMU_ASSERT(a->fault.reason == b->fault.reason);
		VIOMMU_ASSERT(a->fault.stage == b->fault.stage);
		VIOMMU_ASSERT(a->fault.level == b->fault.level);
		VIOMMU_ASSERT(a->fault.stage_addr == b->fault.stage_addr);
		VIOMMU_ASSERT(a->fault.entry_addr == b->fault.entry_addr);
	} else {
		VIOMMU_ASSERT(a->out == b->out && a->host == b->host);
		VIOMMU_ASSERT(a->page_lg2 == b->page_lg2 && a->snp == b->snp);
		VIOMMU_ASSERT(a->perm == b->perm);
	}
}

static void walk_all(struct fuzz *f, struct fuzz_input *in)
{
	static const uint64_t marks = BIT64(5) | BIT64(6) | BIT64(8) | BIT64(9) | BIT64(10);
	struct viommu_walk_result dry, first, again, recorded;
	uint32_t access = fuzz_u8(in) & 0x3b;
	uint64_t addr = fuzz_u64(in);
	unsigned int i, word;
	int rd, ra, rr;

	if (!(viommu__walk_want(access) & 3))
		access |= VIOMMU_READ;
	f->edits = 0;

	memcpy(f->before, f->ram, PAGES << 12);
	rd = walk(f, addr, access, VIOMMU_WALK_DRY, NULL, &dry);
	VIOMMU_ASSERT(!memcmp(f->before, f->ram, PAGES << 12));

	f->reads = f->steps = 0;
	rr = walk(f, addr, access, VIOMMU_WALK_DRY, &f->rec, &recorded);
	agree(&dry, rd, &recorded, rr);
	VIOMMU_ASSERT(f->reads == recorded.reads);
	VIOMMU_ASSERT(!memcmp(f->before, f->ram, PAGES << 12));

	/*
	 * What a dry walk foretells is compared when nothing is left to mark: before that an entry
	 * that serves twice is marked once in a real walk and twice in a dry one.
	 */
	walk(f, addr, access, 0, NULL, &first);
	for (i = 0; i < PAGES; i++) {
		const uint64_t *now = f->ram + 512 * i;
		uint64_t *then = f->before + 512 * i;

		/* memcmp() first: most pages are as they were, and sanitizers are slow on words. */
		for (word = 0; memcmp(now, then, 4096); word++) {
			VIOMMU_ASSERT(!((now[word] ^ then[word]) & (~marks | then[word])));
			then[word] = now[word];
		}
	}
	ra = walk(f, addr, access, 0, NULL, &again);
	if (!memcmp(f->before, f->ram, PAGES << 12)) {
		f->reads = f->steps = 0;
		rr = walk(f, addr, access, 0, &f->rec, &recorded);
		agree(&again, ra, &recorded, rr);
		VIOMMU_ASSERT(f->reads == recorded.reads);
		rd = walk(f, addr, access, VIOMMU_WALK_DRY, NULL, &dry);
		agree(&again, ra, &dry, rd);
	}

	f->edits = fuzz_u8(in) % (EDITS + 1);
	for (i = 0; i < f->edits; i++) {
		f->edit[i].step = fuzz_u16(in);
		f->edit[i].word = fuzz_u16(in);
		f->edit[i].value = fuzz_u64(in);
	}
	f->steps = 0;
	walk(f, addr, access, 0, &f->rec, &first);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct fuzz f = { .rec.step = fuzz_step };
	unsigned int i, nr;
	uint8_t kind;

	f.ram = aligned_alloc(4096, PAGES << 12);
	f.before = aligned_alloc(4096, PAGES << 12);
	VIOMMU_ASSERT(f.ram && f.before);
	memset(f.ram, 0, PAGES << 12);
	VIOMMU_ASSERT(!viommu_mem_new(&f.mem));
	VIOMMU_ASSERT(!viommu_mem_add_ptr(f.mem, 0, 14 << 12, f.ram, 0));
	VIOMMU_ASSERT(!viommu_mem_add_ptr(f.mem, 14 << 12, 1 << 12, f.ram + 14 * 512,
					  VIOMMU_MEM_READ_ONLY));

	kind = fuzz_u8(&in);
	f.stack.mem = f.mem;
	f.stack.nr = kind >> 1 & 7;
	f.stack.haw = kind & 0x10 ? 48 : 0;
	if (f.stack.nr > VIOMMU_STACK_MAX)
		f.stack.nr = 2;
	f.owned = (kind & 1) && f.stack.nr;
	for (i = 0; i < f.stack.nr; i++)
		stage_read(&in, &f.stack.stage[i]);
	if (f.owned) {
		struct viommu_stage *last = &f.stack.stage[f.stack.nr - 1];

		own_build(&f);
		last->flags &= VIOMMU_STAGE_AD | VIOMMU_STAGE_SNOOP;
		last->flags |= VIOMMU__STAGE_OWN;
		last->format = VIOMMU_FORMAT_VTD_SS;
		last->levels = 4;
		last->input_bits = 48;
		last->haw = 52;
		last->root = (uint64_t)(uintptr_t)f.own;
		f.stack.haw = 0;
		if (kind & 0x20)
			f.stack.mem = NULL;
	}
	VIOMMU_ASSERT(!viommu__walk_check(&f.stack, f.owned));

	nr = fuzz_u8(&in) % ENTRIES;
	for (i = 0; i < nr; i++) {
		unsigned int word = fuzz_u16(&in) % WORDS;

		f.ram[word] = fuzz_u64(&in);
	}
	for (i = 0; i < WALKS && !fuzz_done(&in); i++)
		walk_all(&f, &in);

	viommu_mem_free(f.mem);
	free(f.own);
	free(f.before);
	free(f.ram);
}

FUZZ_TARGET
