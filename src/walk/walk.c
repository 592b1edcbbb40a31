/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker: viommu_walk() over any stack of stages (VT-d 5.10, first-stage, second-stage and
 * nested translation; formats in vtd_fs.h and vtd_ss.h). stage_walk() is one stage, step by step;
 * chain_walk() sends an address through a stage and all below it; every table entry of a stage is
 * found by chain_walk() through the stages below, so depth is bounded by VIOMMU_STACK_MAX and
 * length by VIOMMU__WALK_READS, whatever the tables say. walk_fast() is a shortcut for the two
 * stacks that device models use all day (nested.h), which gives up on anything unusual.
 *
 * Restarts. A guest may edit its tables while they are walked. After the last read every entry of
 * the walk is read once more (own tables excepted): if none changed, apart from accessed and dirty
 * bits, all of them stood together at the moment between the two readings, and the result, a fault
 * too, is what that state gives. Else the walk starts again, at most VIOMMU__WALK_TRIES times;
 * choice: the last try is then taken as it is. An update that loses against an edit restarts as
 * well, and in the last try it is a fault (91h, 7Dh).
 *
 * Choices where the specification has no word, or leaves it open:
 *  - accessed bits are set from the top down while walking, so a walk that faults further down has
 *    set them above; permissions are judged at the leaf, before its accessed and dirty bits are
 *    set;
 *  - reading a table through a stage that keeps A/D bits counts as a write there (for the second
 *    stage the specification says so; a first stage below another stage is treated alike);
 *  - a first stage below another stage sees table reads as user requests, the final address with
 *    the request's own privilege;
 *  - faults of table reads: 75h or 76h where R is missing and 77h where W is, named after the
 *    stage that has the table, whatever its format and wherever below the permission is missing.
 */
#include <errno.h>
#include <stddef.h>

#include <viommu/vtd.h>
#include <viommu/walk.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "mem/mem.h"
#include "walk/nested.h"
#include "walk/vtd_fs.h"
#include "walk/vtd_ss.h"
#include "walk/walk.h"

/* Times that a walk begins at most, and that one update is tried. */
#define VIOMMU__WALK_TRIES 64u

/* Entries that one walk reads at most: (5 + 1)^4 - 1. */
#define VIOMMU__WALK_READS 1295u

/* How a part of a walk ends, besides 0 and VIOMMU_FAULTED. */
enum {
	WALK_RESTART = 2,  /* an entry changed under an update */
	WALK_NO_READ = 3,  /* a table read is not permitted: its stage makes the fault of it */
	WALK_NO_WRITE = 4, /* the same for lack of W */
};

/* An entry as it was read. */
struct seen {
	uintptr_t ptr; /* bit 0: of a second stage */
	uint64_t value;
};

struct run {
	const struct viommu_stack *stack;
	struct viommu_walk_result *out;
	uint64_t addr;
	uint32_t access;
	bool own; /* the last stage is own */
	bool dry;
	bool last_try;
	uint32_t reads;
	uint32_t nr_seen;
	uint64_t last_input; /* input of the last stage on the main line */
	struct seen seen[VIOMMU__WALK_READS];
};

/* What a stage, or a chain of stages, gives. */
struct hop {
	uint64_t addr; /* output */
	uint8_t page_lg2;
	uint8_t perm; /* VIOMMU_PERM_* */
	uint8_t snp;
};

/* Where an entry is. */
struct slot {
	uint64_t addr; /* in the address space of its table */
	uint64_t phys;
	uint64_t *ptr;
	bool writable; /* the stages below permit updates */
};

static int chain_walk_plain(struct run *run, unsigned int i, uint64_t addr, unsigned int want,
			    unsigned int depth, struct hop *out);
static int chain_walk_recorded(struct run *run, struct viommu_recorder *rec, unsigned int i,
			       uint64_t addr, unsigned int want, unsigned int depth,
			       struct hop *out);

/* ---- the format's contract, by a constant ---------------------------------------------------- */

static VIOMMU__INLINE uint8_t fmt_input(unsigned int format, const struct viommu_stage *s,
					uint64_t addr, unsigned int want)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_input(s, addr, want) : vtd_ss_input(s, addr);
}

static VIOMMU__INLINE bool fmt_present(unsigned int format, uint64_t e)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_present(e) : vtd_ss_present(e);
}

static VIOMMU__INLINE bool fmt_leaf(unsigned int format, const struct viommu_stage *s,
				    unsigned int level, uint64_t e)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_leaf(s, level, e) : vtd_ss_leaf(s, level, e);
}

static VIOMMU__INLINE uint64_t fmt_reserved(unsigned int format, const struct viommu_stage *s,
					    unsigned int level, bool leaf, uint64_t e)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_reserved(s, level, leaf, e)
					      : vtd_ss_reserved(s, level, leaf, e);
}

static VIOMMU__INLINE uint8_t fmt_judge(unsigned int format, const struct viommu_stage *s,
					uint64_t cum, unsigned int want)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_judge(s, cum, want)
					      : vtd_ss_judge(s, cum, want);
}

static VIOMMU__INLINE bool fmt_keeps_marks(unsigned int format, const struct viommu_stage *s)
{
	return format == VIOMMU_FORMAT_VTD_FS || (s->flags & VIOMMU_STAGE_AD);
}

static VIOMMU__INLINE uint64_t fmt_marks(unsigned int format, const struct viommu_stage *s,
					 bool leaf, unsigned int want)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_marks(s, leaf, want)
					      : vtd_ss_marks(s, leaf, want);
}

static VIOMMU__INLINE uint8_t fmt_perm(unsigned int format, const struct viommu_stage *s,
				       uint64_t cum, uint64_t leaf)
{
	return format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_perm(s, cum, leaf)
					      : vtd_ss_perm(s, cum, leaf);
}

static uint8_t fmt_reason(const struct viommu_stage *s, unsigned int want,
			  enum viommu__walk_wrong wrong)
{
	return s->format == VIOMMU_FORMAT_VTD_FS ? vtd_fs_reason(wrong)
						 : vtd_ss_reason(s, want, wrong);
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* Every fault of this file is made here. */
static __attribute__((cold, noinline)) int fault_make(struct run *run, uint8_t reason,
						      unsigned int stage, unsigned int level,
						      uint64_t stage_addr, uint64_t entry_addr,
						      uint64_t entry)
{
	run->out->fault = (struct viommu_fault){
		.reason = reason,
		.stage = (uint8_t)stage,
		.level = (uint8_t)level,
		.access = (uint8_t)run->access,
		.pasid = VIOMMU_NO_PASID,
		.addr = run->addr,
		.stage_addr = stage_addr,
		.entry_addr = entry_addr,
		.entry = entry,
	};
	return VIOMMU_FAULTED;
}

static __attribute__((cold, noinline)) int fault_wrong(struct run *run, unsigned int want,
						       enum viommu__walk_wrong wrong,
						       unsigned int stage, unsigned int level,
						       uint64_t stage_addr, uint64_t entry_addr,
						       uint64_t entry)
{
	return fault_make(run, fmt_reason(&run->stack->stage[stage], want, wrong), stage, level,
			  stage_addr, entry_addr, entry);
}

/* A permission fault met by a table read belongs to the stage whose table it is. */
static bool reason_is_permission(uint8_t reason)
{
	return reason == VTD_FR_S_READ || reason == VTD_FR_S_WRITE || reason == VTD_FR_READ ||
	       reason == VTD_FR_WRITE || reason == VTD_FR_FS_USER;
}

static bool reason_is_write(uint8_t reason)
{
	return reason == VTD_FR_S_WRITE || reason == VTD_FR_WRITE;
}

/* ---- entries --------------------------------------------------------------------------------- */

/*
 * Is an address that stage i puts out too wide for the stage below? Judged here for second stages.
 */
static VIOMMU__INLINE bool beyond_below(const struct run *run, unsigned int i, uint64_t addr)
{
	const struct viommu_stage *below = &run->stack->stage[i + 1];

	return i + 1 < run->stack->nr && below->format == VIOMMU_FORMAT_VTD_SS &&
	       addr >> below->input_bits;
}

/* A physical table entry in this process, or NULL. */
static uint64_t *entry_ptr(const struct run *run, unsigned int format, uint64_t phys, bool write)
{
	const struct viommu_stack *stack = run->stack;
	uint64_t bytes;

	if (!run->own)
		return viommu__mem_ptr(stack->mem, phys, write, &bytes);
	if (format == VIOMMU_FORMAT_VTD_FS && stack->nr == 1 && stack->mem) {
		bool writable;

		if (!viommu__mem_has_host(stack->mem, (void *)(uintptr_t)phys, 8, &writable) ||
		    (write && !writable))
			return NULL;
	}
	return (uint64_t *)(uintptr_t)phys;
}

/* Find the entry of stage i at slot->addr: through the stages below, then in memory. */
static VIOMMU__INLINE int entry_find(struct run *run, unsigned int format,
				     struct viommu_recorder *rec, unsigned int i,
				     unsigned int level, uint64_t addr, unsigned int want,
				     unsigned int depth, struct slot *slot)
{
	bool top = level == run->stack->stage[i].levels;
	struct hop hop;
	int r;

	slot->phys = slot->addr;
	slot->writable = true;
	if (i + 1 < run->stack->nr) {
		unsigned int ask = VIOMMU__WANT_R | VIOMMU__WANT_TABLE;

		r = rec ? chain_walk_recorded(run, rec, i + 1, slot->addr, ask, depth + 1, &hop)
			: chain_walk_plain(run, i + 1, slot->addr, ask, depth + 1, &hop);
		if (unlikely(r)) {
			if (r == WALK_NO_READ)
				return fault_make(run,
						  top ? VTD_FR_FS_ROOT_SS_READ : VTD_FR_FS_SS_READ,
						  i, level, addr, slot->addr, 0);
			if (r == WALK_NO_WRITE)
				return fault_make(run, VTD_FR_FS_SS_WRITE, i, level, addr,
						  slot->addr, 0);
			return r;
		}
		slot->phys = hop.addr;
		slot->writable = hop.perm & VIOMMU_PERM_W;
	}
	slot->ptr = entry_ptr(run, format, slot->phys, false);
	if (unlikely(!slot->ptr))
		return fault_wrong(run, want,
				   top ? VIOMMU__WRONG_ROOT_ACCESS : VIOMMU__WRONG_ACCESS, i, level,
				   addr, slot->addr, 0);
	return 0;
}

/*
 * Set the marks (accessed, dirty) that *e lacks, atomically: a guest's processor writes the same
 * entry. An edit of anything but marks restarts the walk.
 */
static __attribute__((noinline)) int entry_update(struct run *run, struct viommu_recorder *rec,
						  unsigned int i, unsigned int level, uint64_t addr,
						  unsigned int want, unsigned int depth,
						  const struct slot *slot, uint64_t marks,
						  uint64_t *e)
{
	const struct viommu_stage *s = &run->stack->stage[i];
	uint64_t same = s->format == VIOMMU_FORMAT_VTD_FS ? ~VTD_FS_MARKS : ~VTD_SS_MARKS;
	uint64_t read = *e, now = *e, *ptr;
	unsigned int tries;

	if (!(s->flags & VIOMMU_STAGE_SNOOP))
		return fault_wrong(run, want, VIOMMU__WRONG_NO_SNOOP, i, level, addr, slot->addr,
				   read);
	if (!slot->writable)
		return fault_make(run, VTD_FR_FS_SS_WRITE, i, level, addr, slot->addr, read);
	ptr = entry_ptr(run, s->format, slot->phys, true);
	if (!ptr)
		return fault_wrong(run, want, VIOMMU__WRONG_NO_UPDATE, i, level, addr, slot->addr,
				   read);
	if (rec) {
		struct viommu_step step = {
			.kind = VIOMMU_STEP_UPDATE,
			.stage = (uint8_t)i,
			.level = (uint8_t)level,
			.depth = depth,
			.input = addr,
			.entry_addr = slot->addr,
			.phys = slot->phys,
			.value = marks & ~read,
		};

		rec->step(rec, &step);
	}
	*e = read | marks;
	if (run->dry)
		return 0;
	for (tries = 0; tries < VIOMMU__WALK_TRIES; tries++) {
		if (cmpxchg(ptr, &now, now | marks)) {
			/* Tables of ours: the stage below marked the page when it was asked. */
			if (!run->own && run->stack->mem)
				viommu__mem_written(run->stack->mem, slot->phys, 8);
			return 0;
		}
		if ((now ^ read) & same)
			break;
	}
	if (run->last_try)
		return fault_wrong(run, want, VIOMMU__WRONG_NO_UPDATE, i, level, addr, slot->addr,
				   read);
	return WALK_RESTART;
}

static void step_read(struct viommu_recorder *rec, unsigned int i, unsigned int level,
		      unsigned int depth, uint64_t addr, const struct slot *slot, uint64_t e)
{
	struct viommu_step step = {
		.kind = VIOMMU_STEP_READ,
		.stage = (uint8_t)i,
		.level = (uint8_t)level,
		.depth = depth,
		.input = addr,
		.entry_addr = slot->addr,
		.phys = slot->phys,
		.value = e,
	};

	rec->step(rec, &step);
}

static void step_output(struct viommu_recorder *rec, unsigned int i, unsigned int depth,
			uint64_t addr, const struct hop *hop)
{
	struct viommu_step step = {
		.kind = VIOMMU_STEP_OUTPUT,
		.stage = (uint8_t)i,
		.page_lg2 = hop->page_lg2,
		.depth = depth,
		.input = addr,
		.value = hop->addr,
	};

	rec->step(rec, &step);
}

/* ---- one stage ------------------------------------------------------------------------------- */

/* format and rec (NULL or not) are constants where this is inlined. */
static VIOMMU__INLINE int stage_walk(struct run *run, unsigned int format,
				     struct viommu_recorder *rec, unsigned int i, uint64_t addr,
				     unsigned int want, unsigned int depth, struct hop *out)
{
	const struct viommu_stage *s = &run->stack->stage[i];
	bool own = run->own && i + 1 == run->stack->nr;
	bool trusted = own && format == VIOMMU_FORMAT_VTD_SS;
	uint64_t table = s->root, cum = ~UINT64_C(0), e, page, marks;
	unsigned int level, shift;
	struct slot slot;
	uint8_t reason;
	bool leaf;
	int r;

	/* 1. The input address: width or canonical form, and SRE for supervisor requests. */
	reason = fmt_input(format, s, addr, want);
	if (unlikely(reason))
		return fault_make(run, reason, i, 0, addr, 0, 0);
	if (unlikely(beyond_below(run, i, table)))
		return fault_make(run, VTD_FR_PE_INVALID, i, 0, addr, 0, 0);

	/*
	 * 2. A table is accessed for reading (VTD-NEST-02), and where A/D bits are kept as if for
	 * writing (VTD-NEST-04).
	 */
	if ((want & VIOMMU__WANT_TABLE) && fmt_keeps_marks(format, s))
		want |= VIOMMU__WANT_W;

	for (level = s->levels;; level--) {
		shift = 12 + 9 * (level - 1);

		/* 3. Find the entry, through the stages below. */
		slot.addr = table | (addr >> shift & 511) << 3;
		r = entry_find(run, format, rec, i, level, addr, want, depth, &slot);
		if (unlikely(r))
			return r;

		/* 4. Read it, once. */
		e = load_acquire(slot.ptr);
		run->reads++;
		if (!trusted)
			run->seen[run->nr_seen++] = (struct seen){
				(uintptr_t)slot.ptr | (format == VIOMMU_FORMAT_VTD_SS), e
			};
		if (rec)
			step_read(rec, i, level, depth, addr, &slot, e);

		/*
		 * 5. Present? 6. Well formed? Absent entries are not looked at further
		 * (VTD-ENT-04).
		 */
		if (unlikely(!fmt_present(format, e)))
			return fault_wrong(run, want, VIOMMU__WRONG_ABSENT, i, level, addr,
					   slot.addr, e);
		leaf = fmt_leaf(format, s, level, e);
		if (unlikely(!trusted && fmt_reserved(format, s, level, leaf, e)))
			return fault_wrong(run, want, VIOMMU__WRONG_RESERVED, i, level, addr,
					   slot.addr, e);

		/* 7. Does its address fit the stage below (VTD-NEST-08)? */
		page = e & VTD_MASK(VTD_FS_ADDR);
		if (leaf)
			page &= ~(BIT64(shift) - 1); /* PAT of a large first-stage leaf */
		if (unlikely(beyond_below(run, i, page)))
			return fault_make(run, VTD_FR_FS_BEYOND_MGAW, i, level, addr, slot.addr, e);

		/* 8. At the leaf: is the request permitted by all levels together (VTD-NEST-09)? */
		cum &= e;
		if (leaf) {
			reason = fmt_judge(format, s, cum, want);
			if (unlikely(reason)) {
				if (!(want & VIOMMU__WANT_TABLE) || !reason_is_permission(reason))
					return fault_make(run, reason, i, level, addr, slot.addr,
							  e);
				return reason_is_write(reason) ? WALK_NO_WRITE : WALK_NO_READ;
			}
		}

		/* 9. Accessed and dirty bits (VTD-FS-30, VTD-NEST-03). */
		marks = fmt_marks(format, s, leaf, want);
		if (unlikely(marks & ~e)) {
			r = entry_update(run, rec, i, level, addr, want, depth, &slot, marks, &e);
			if (unlikely(r))
				return r;
		}

		/* 10. Down, or out. */
		if (leaf)
			break;
		table = page;
	}
	out->addr = page | (addr & (BIT64(shift) - 1));
	out->page_lg2 = (uint8_t)shift;
	out->perm = fmt_perm(format, s, cum, e);
	out->snp = format == VIOMMU_FORMAT_VTD_SS && (s->flags & VIOMMU_STAGE_SNP) &&
		   (e & VTD_MASK(VTD_SS_SNP));
	if (rec)
		step_output(rec, i, depth, addr, out);
	return 0;
}

/* Stage i and all below it. */
static VIOMMU__INLINE int chain_walk(struct run *run, struct viommu_recorder *rec, unsigned int i,
				     uint64_t addr, unsigned int want, unsigned int depth,
				     struct hop *out)
{
	struct hop hop = { 0 };
	int r;

	*out = (struct hop){ .addr = addr, .page_lg2 = 30, .perm = 0xf };
	for (; i < run->stack->nr; i++) {
		if (!depth)
			run->last_input = out->addr;
		if (run->stack->stage[i].format == VIOMMU_FORMAT_VTD_FS)
			r = stage_walk(run, VIOMMU_FORMAT_VTD_FS, rec, i, out->addr, want, depth,
				       &hop);
		else
			r = stage_walk(run, VIOMMU_FORMAT_VTD_SS, rec, i, out->addr, want, depth,
				       &hop);
		if (unlikely(r))
			return r;
		out->addr = hop.addr;
		out->perm &= hop.perm;
		out->snp |= hop.snp;
		if (hop.page_lg2 < out->page_lg2)
			out->page_lg2 = hop.page_lg2;
	}
	return 0;
}

/* The two instances: one knows that nobody records. */
static __attribute__((noinline)) int chain_walk_plain(struct run *run, unsigned int i,
						      uint64_t addr, unsigned int want,
						      unsigned int depth, struct hop *out)
{
	return chain_walk(run, NULL, i, addr, want, depth, out);
}

static __attribute__((noinline)) int chain_walk_recorded(struct run *run,
							 struct viommu_recorder *rec,
							 unsigned int i, uint64_t addr,
							 unsigned int want, unsigned int depth,
							 struct hop *out)
{
	return chain_walk(run, rec, i, addr, want, depth, out);
}

/* ---- the whole walk -------------------------------------------------------------------------- */

/* Did all entries of the walk stand as they were read, at one moment? See the head of the file. */
static bool run_is_settled(const struct run *run)
{
	uint32_t i;

	for (i = 0; i < run->nr_seen; i++) {
		const struct seen *seen = &run->seen[i];

		const uint64_t *ptr = (const uint64_t *)(seen->ptr & ~(uintptr_t)1);
		uint64_t marks = seen->ptr & 1 ? VTD_SS_MARKS : VTD_FS_MARKS;

		if ((load_acquire(ptr) ^ seen->value) & ~marks)
			return false;
	}
	return true;
}

static __attribute__((noinline)) int walk_slow(const struct viommu_stack *stack, uint64_t addr,
					       uint32_t access, uint32_t flags,
					       struct viommu_recorder *rec,
					       struct viommu_walk_result *out, struct hop *hop,
					       uint64_t *last_input)
{
	unsigned int want = viommu__walk_want(access), tries;
	uint64_t lost;
	struct run run;
	int r;

	run.stack = stack;
	run.out = out;
	run.addr = addr;
	run.access = access;
	run.own = stack->nr && (stack->stage[stack->nr - 1].flags & VIOMMU__STAGE_OWN);
	run.dry = flags & VIOMMU_WALK_DRY;
	run.last_input = addr;
	for (tries = 1;; tries++) {
		run.last_try = tries == VIOMMU__WALK_TRIES;
		run.reads = 0;
		run.nr_seen = 0;
		/*
		 * A page that its file lost reads as zeroes: the count tells, the next try faults.
		 */
		lost = viommu__mem_lost_count();
		r = rec ? chain_walk_recorded(&run, rec, 0, addr, want, 0, hop)
			: chain_walk_plain(&run, 0, addr, want, 0, hop);
		if (run.last_try)
			break;
		if (r != WALK_RESTART && run_is_settled(&run) && viommu__mem_lost_count() == lost)
			break;
	}
	VIOMMU_ASSERT(r == 0 || r == VIOMMU_FAULTED);
	out->reads = run.reads;
	*last_input = run.last_input;
	return r;
}

/* A stage of ours that nested.h knows how to hurry through. */
static bool stage_is_fast(const struct viommu_stage *s)
{
	return (s->flags & VIOMMU__STAGE_OWN) && s->format == VIOMMU_FORMAT_VTD_SS;
}

/* viommu__nested_resolve of walk_fast(): no cache, the whole second stage for every address. */
static VIOMMU__INLINE bool resolve_uncached(void *ctx, uint64_t gpa, unsigned int want,
					    struct viommu__hit *hit)
{
	return viommu__walk_own(ctx, gpa, want, hit);
}

static VIOMMU__INLINE void note_nothing(void *ctx, unsigned int level, const uint64_t *table,
					uint64_t cum)
{
	(void)ctx;
	(void)level;
	(void)table;
	(void)cum;
}

/*
 * The stacks of a software host: a second stage of ours, alone or below one first stage. False:
 * something is missing, forbidden or to be marked, and walk_slow() is to say what.
 */
static bool walk_fast(const struct viommu_stack *stack, uint64_t addr, uint32_t access,
		      struct viommu_walk_result *out, struct hop *hop, uint64_t *last_input)
{
	struct viommu_stage *stage = (struct viommu_stage *)stack->stage;
	unsigned int want = viommu__walk_want(access);
	struct viommu__hit hit = { 0 };

	if (stack->nr == 2 && stage[0].format == VIOMMU_FORMAT_VTD_FS && stage_is_fast(&stage[1])) {
		if (unlikely(!viommu__walk_nested(&stage[0], addr, want, resolve_uncached,
						  note_nothing, &stage[1], &hit)))
			return false;
	} else if (stack->nr == 1 && stage_is_fast(&stage[0])) {
		if (unlikely(!viommu__walk_own(&stage[0], addr, want, &hit)))
			return false;
	} else {
		return false;
	}
	*hop = (struct hop){
		.addr = hit.addr, .page_lg2 = hit.page_lg2, .perm = hit.perm, .snp = hit.snp
	};
	*last_input = hit.input;
	out->reads = hit.reads;
	return true;
}

/*
 * The unit's own output: within its address width, outside the interrupt window (VT-d 5.10,
 * FEEx_xxxxh: VTD-WIN-05, VTD-PT-02). Choice: a fault here names the last stage and no entry; what
 * an upper stage puts out is not judged, only what leaves the whole stack.
 */
static uint8_t output_judge(const struct viommu_stack *stack, uint64_t addr)
{
	const struct viommu_stage *last = stack->nr ? &stack->stage[stack->nr - 1] : NULL;

	if (!stack->haw)
		return 0;
	if (addr >> stack->haw)
		return VTD_FR_PT_BEYOND_HAW;
	if (addr >> 20 != 0xfee)
		return 0;
	if (last && last->format == VIOMMU_FORMAT_VTD_SS && (last->flags & VIOMMU_STAGE_LEGACY))
		return VTD_FR_OUT_INTR;
	return VTD_FR_S_OUT_INTR;
}

int viommu__walk(const struct viommu_stack *stack, uint64_t addr, uint32_t access, uint32_t flags,
		 struct viommu_recorder *rec, struct viommu_walk_result *out)
{
	bool own = stack->nr && (stack->stage[stack->nr - 1].flags & VIOMMU__STAGE_OWN);
	bool write = viommu__walk_want(access) & VIOMMU__WANT_W;
	uint64_t last_input = addr, bytes;
	struct hop hop;
	uint8_t reason;
	int r;

	*out = (struct viommu_walk_result){ .page_lg2 = 12 };
	if (rec || !walk_fast(stack, addr, access, out, &hop, &last_input)) {
		r = walk_slow(stack, addr, access, flags, rec, out, &hop, &last_input);
		if (unlikely(r))
			return r;
	}
	reason = output_judge(stack, hop.addr);
	if (unlikely(reason)) {
		out->fault = (struct viommu_fault){
			.reason = reason,
			.stage = (uint8_t)(stack->nr ? stack->nr - 1 : 0),
			.access = (uint8_t)access,
			.pasid = VIOMMU_NO_PASID,
			.addr = addr,
			.stage_addr = last_input,
		};
		return VIOMMU_FAULTED;
	}
	out->out = hop.addr;
	out->page_lg2 = stack->nr ? hop.page_lg2 : 12;
	out->perm = hop.perm;
	out->snp = hop.snp;
	if (own)
		out->host = (void *)(uintptr_t)hop.addr;
	else if (stack->mem)
		out->host = viommu__mem_ptr(stack->mem, hop.addr, write, &bytes);
	return 0;
}

int viommu__walk_check(const struct viommu_stack *stack, bool own)
{
	static const uint32_t known = VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU_STAGE_SRE |
				      VIOMMU_STAGE_WPE | VIOMMU_STAGE_EAFE | VIOMMU_STAGE_AD |
				      VIOMMU_STAGE_SNOOP | VIOMMU_STAGE_SNP | VIOMMU_STAGE_IORW |
				      VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_MTS | VIOMMU_STAGE_ZLR;
	uint32_t i;

	if (stack->nr > VIOMMU_STACK_MAX || (stack->haw && (stack->haw < 32 || stack->haw > 52)) ||
	    stack->reserved[0] || stack->reserved[1] || stack->reserved[2])
		return -EINVAL;
	for (i = 0; i < stack->nr; i++) {
		const struct viommu_stage *s = &stack->stage[i];
		uint32_t flags = s->flags;

		if (own && i + 1 == stack->nr)
			flags &= ~VIOMMU__STAGE_OWN;
		if (flags & ~known) /* what means nothing to the format is ignored */
			return -EINVAL;
		if (s->format == VIOMMU_FORMAT_VTD_FS) {
			if (s->levels < 4 || s->levels > 5)
				return -EINVAL;
		} else if (s->format == VIOMMU_FORMAT_VTD_SS) {
			if (s->levels < 3 || s->levels > 5 || s->input_bits <= 12 ||
			    s->input_bits > 12 + 9 * s->levels)
				return -EINVAL;
			/* Legacy mode has no A/D bits and no reason for their faults. */
			if ((flags & VIOMMU_STAGE_LEGACY) && (flags & VIOMMU_STAGE_AD))
				return -EINVAL;
		} else {
			return -EINVAL;
		}
		if (s->haw < 32 || s->haw > 52 || (s->root & 0xfff) || s->reserved[0] ||
		    s->reserved[1])
			return -EINVAL;
	}
	if (!stack->mem &&
	    !(own && stack->nr && (stack->stage[stack->nr - 1].flags & VIOMMU__STAGE_OWN)))
		return -EINVAL;
	return 0;
}

int viommu_walk(const struct viommu_stack *stack, uint64_t addr, uint32_t access, uint32_t flags,
		struct viommu_recorder *rec, struct viommu_walk_result *out)
{
	unsigned int token;
	int r;

	if ((flags & ~VIOMMU_WALK_DRY) ||
	    (access & ~(VIOMMU_READ | VIOMMU_WRITE | VIOMMU_EXEC | VIOMMU_PRIV | VIOMMU_ATOMIC |
			VIOMMU_ZERO_LENGTH)) ||
	    !(viommu__walk_want(access) & (VIOMMU__WANT_R | VIOMMU__WANT_W)))
		return -EINVAL;
	r = viommu__walk_check(stack, false);
	if (r)
		return r;
	token = viommu__mem_enter(stack->mem);
	r = viommu__walk(stack, addr, access, flags, rec, out);
	viommu__mem_leave(stack->mem, token);
	return r;
}
