/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker's rules one by one, over tables of a few pages that a test builds, breaks in one place
 * and walks: every fault reason of the first stage, the second stage (scalable and legacy mode) and
 * their nesting, with the stage, level and addresses it names; permissions; which accessed and
 * dirty bits are set and that nothing else is; the number of reads; the steps a recorder sees.
 *
 * Random tables against the slow walker are in the property tests.
 */
#include <sys/mman.h>

#include <viommu/mem.h>
#include <viommu/vtd.h>
#include <viommu/walk.h>

#include "base/bits.h"
#include "lib/tables.h"
#include "lib/test.h"
#include "mem/mem.h"
#include "walk/walk.h"

#define GPA   UINT64_C(0x100000000) /* where the arena lies */
#define PAGES 2048u
#define FS    VIOMMU_FORMAT_VTD_FS
#define SS    VIOMMU_FORMAT_VTD_SS

/* Bits as printed in the specification, not by way of viommu/vtd.h. */
#define FS_P  BIT64(0)
#define FS_RW BIT64(1)
#define FS_US BIT64(2)
#define FS_A  BIT64(5)
#define FS_D  BIT64(6)
#define PS    BIT64(7)
#define FS_EA BIT64(10)
#define SS_R  BIT64(0)
#define SS_W  BIT64(1)
#define SS_A  BIT64(8)
#define SS_D  BIT64(9)
#define SNP   BIT64(11)

/* What stage i of a stack is asked for, and the last one's output: below 2^39, for 3 levels. */
static uint64_t addr_of(unsigned int i)
{
	return UINT64_C(0x1234567000) + i * UINT64_C(0x10203000);
}

struct fix {
	struct tables t;
	struct viommu_mem *mem;
	unsigned int nr;
	struct tables_stage stage[VIOMMU_STACK_MAX]; /* 0 is entered first */
	struct viommu_stack stack;
	struct viommu_walk_result r;
	uint8_t *before; /* the arena, as fix_remember() saw it */
};

static void fix_memory(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	tables_init(&f->t, GPA, PAGES << 12);
	assert_int_equal(viommu_mem_new(&f->mem), 0);
	assert_int_equal(tables_add_to(&f->t, f->mem), 0);
}

/* nr stages, "f4" a first stage of 4 levels, "s3" a second stage of 3; no data page is mapped. */
static void fix_stages(struct fix *f, const char *stages)
{
	unsigned int i;

	fix_memory(f);
	f->nr = (unsigned int)(strlen(stages) / 2);
	for (i = f->nr; i-- > 0;)
		tables_stage_init(&f->stage[i], &f->t, i + 1 < f->nr ? &f->stage[i + 1] : NULL,
				  stages[2 * i] == 'f' ? FS : SS,
				  (unsigned int)(stages[2 * i + 1] - '0'));
}

static void fix_stack(struct fix *f)
{
	unsigned int i;

	tables_stack(&f->stage[0], 48, f->mem, &f->stack);
	for (i = 0; i < f->nr; i++)
		f->stack.stage[i].flags &= ~VIOMMU_STAGE_SRE;
}

/* The same with addr_of(0) mapped through all stages to addr_of(nr), 4-KiB pages, all permitted. */
static void fix_init(struct fix *f, const char *stages)
{
	unsigned int i;

	fix_stages(f, stages);
	for (i = f->nr; i-- > 0;)
		assert_int_equal(
			tables_map(&f->stage[i], addr_of(i), addr_of(i + 1), 12, TABLES_RWU), 0);
	fix_stack(f);
}

static void fix_free(struct fix *f)
{
	free(f->before);
	viommu_mem_free(f->mem);
	tables_free(&f->t);
}

static int fix_walk(struct fix *f, uint64_t addr, uint32_t access)
{
	memset(&f->r, 0xa5, sizeof(f->r));
	return viommu_walk(&f->stack, addr, access, 0, NULL, &f->r);
}

static void fix_ok(struct fix *f, uint64_t addr, uint32_t access, uint64_t out)
{
	int r = fix_walk(f, addr, access);

	if (r)
		print_error("reason %02x stage %u level %u\n", f->r.fault.reason, f->r.fault.stage,
			    f->r.fault.level);
	assert_int_equal(r, 0);
	assert_int_equal(f->r.out, out);
}

/* A fault that names no entry. */
static void fix_fault(struct fix *f, uint64_t addr, uint32_t access, uint8_t reason,
		      unsigned int stage, unsigned int level, uint64_t stage_addr,
		      uint64_t entry_addr, uint64_t entry)
{
	assert_int_equal(fix_walk(f, addr, access), VIOMMU_FAULTED);
	assert_int_equal(f->r.fault.reason, reason);
	assert_int_equal(f->r.fault.stage, stage);
	assert_int_equal(f->r.fault.level, level);
	assert_int_equal(f->r.fault.addr, addr);
	assert_int_equal(f->r.fault.stage_addr, stage_addr);
	assert_int_equal(f->r.fault.entry_addr, entry_addr);
	assert_int_equal(f->r.fault.entry, entry);
	assert_int_equal(f->r.fault.access, access);
	assert_int_equal(f->r.fault.pasid, VIOMMU_NO_PASID);
	assert_int_equal(f->r.fault.sid, 0);
}

/* The same, at the entry of stage `stage` for its own address. */
static void fix_fault_at(struct fix *f, uint32_t access, uint8_t reason, unsigned int stage,
			 unsigned int level)
{
	uint64_t *e = tables_entry(&f->stage[stage], addr_of(stage), level);

	fix_fault(f, addr_of(0), access, reason, stage, level, addr_of(stage),
		  tables_entry_addr(&f->stage[stage], addr_of(stage), level), e ? *e : 0);
}

static uint64_t *entry(struct fix *f, unsigned int stage, unsigned int level)
{
	return tables_entry(&f->stage[stage], addr_of(stage), level);
}

static void fix_remember(struct fix *f)
{
	free(f->before);
	f->before = malloc(PAGES << 12);
	assert_non_null(f->before);
	memcpy(f->before, f->t.host, PAGES << 12);
}

/* How many bits of the arena changed since then. */
static unsigned int fix_changes(const struct fix *f)
{
	const uint64_t *now = (const uint64_t *)f->t.host, *then = (const uint64_t *)f->before;
	unsigned int i, bits = 0;

	for (i = 0; i < PAGES * 512; i++)
		bits += (unsigned int)__builtin_popcountll(now[i] ^ then[i]);
	return bits;
}

/* ---- the first stage ------------------------------------------------------------------------- */

static void first_stage_of_4_and_5_levels_translates(void **state)
{
	unsigned int levels;

	(void)state;
	for (levels = 4; levels <= 5; levels++) {
		struct fix f;

		fix_init(&f, levels == 4 ? "f4" : "f5");
		fix_ok(&f, addr_of(0) + 0x123, VIOMMU_READ, addr_of(1) + 0x123);
		assert_int_equal(f.r.reads, levels);
		assert_int_equal(f.r.page_lg2, 12);
		assert_int_equal(f.r.snp, 0);
		assert_null(f.r.host); /* addr_of(1) is no memory */
		fix_free(&f);
	}
}

static void output_in_memory_has_a_host_pointer(void **state)
{
	struct fix f;
	uint64_t data;

	(void)state;
	fix_stages(&f, "f4");
	data = tables_page(&f.t);
	tables_map(&f.stage[0], 0x5000, data, 12, TABLES_RWU);
	fix_stack(&f);
	fix_ok(&f, 0x5008, VIOMMU_WRITE, data + 8);
	assert_ptr_equal(f.r.host, (uint8_t *)tables_ptr(&f.t, data) + 8);
	fix_free(&f);
}

/* Both halves of the address space are there; what lies between is 80h. */
static void first_stage_input_must_be_canonical(void **state)
{
	static const struct {
		const char *stages;
		unsigned int bits;
	} cases[] = { { "f4", 48 }, { "f5", 57 } };
	unsigned int i, b;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t high = ~UINT64_C(0) << (cases[i].bits - 1), low = ~high & ~UINT64_C(0xfff);
		struct fix f;

		fix_stages(&f, cases[i].stages);
		tables_map(&f.stage[0], high, 0x7000, 12, TABLES_RWU);
		tables_map(&f.stage[0], low, 0x8000, 12, TABLES_RWU);
		fix_stack(&f);
		fix_ok(&f, high, VIOMMU_READ, 0x7000);
		fix_ok(&f, low, VIOMMU_READ, 0x8000);
		for (b = cases[i].bits; b < 64; b++) {
			fix_fault(&f, high ^ BIT64(b), VIOMMU_READ, 0x80, 0, 0, high ^ BIT64(b), 0,
				  0);
			fix_fault(&f, low ^ BIT64(b), VIOMMU_READ, 0x80, 0, 0, low ^ BIT64(b), 0,
				  0);
		}
		fix_fault(&f, high ^ BIT64(cases[i].bits - 1), VIOMMU_READ, 0x80, 0, 0,
			  high ^ BIT64(cases[i].bits - 1), 0, 0);
		assert_int_equal(f.r.reads, 0);
		fix_free(&f);
	}
}

static void first_stage_absent_entry_faults_at_its_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "f5");
		/* Nothing of an absent entry is looked at, reserved bits either. */
		*entry(&f, 0, level) = ~FS_P;
		fix_fault_at(&f, VIOMMU_READ, 0x71, 0, level);
		fix_fault_at(&f, VIOMMU_WRITE, 0x71, 0, level);
		assert_int_equal(f.r.reads, 6 - level);
		fix_free(&f);
	}
}

static void first_stage_reserved_address_bits_fault(void **state)
{
	unsigned int level, bit;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "f5");
		for (bit = 48; bit < 52; bit++) {
			*entry(&f, 0, level) ^= BIT64(bit);
			f.stack.stage[0].haw = (uint8_t)bit;
			fix_fault_at(&f, VIOMMU_READ, 0x72, 0, level);
			*entry(&f, 0, level) ^= BIT64(bit);
			fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
		}
		/* Below haw it is an address like any other. */
		f.stack.stage[0].haw = 52;
		f.stack.haw = 52;
		*entry(&f, 0, 1) |= BIT64(51);
		fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1) | BIT64(51));
		fix_free(&f);
	}
}

static void first_stage_bit_7_is_reserved_where_no_page_is(void **state)
{
	struct fix f;
	unsigned int level;

	(void)state;
	for (level = 4; level <= 5; level++) {
		fix_init(&f, "f5");
		*entry(&f, 0, level) |= PS;
		fix_fault_at(&f, VIOMMU_READ, 0x72, 0, level);
		fix_free(&f);
	}
	fix_stages(&f, "f4");
	tables_map(&f.stage[0], addr_of(0), UINT64_C(0x80000000), 30, TABLES_RWU);
	fix_stack(&f);
	fix_ok(&f, addr_of(0), VIOMMU_READ, UINT64_C(0x80000000) | (addr_of(0) & 0x3fffffff));
	assert_int_equal(f.r.page_lg2, 30);
	f.stack.stage[0].flags &= ~VIOMMU_STAGE_1G;
	fix_fault_at(&f, VIOMMU_READ, 0x72, 0, 3);
	fix_free(&f);
}

static void first_stage_large_leaves_must_be_aligned_but_for_pat(void **state)
{
	static const unsigned int lg2[] = { 21, 30 };
	unsigned int i, bit;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint64_t mask = BIT64(lg2[i]) - 1, *e;
		struct fix f;

		fix_stages(&f, "f4");
		tables_map(&f.stage[0], addr_of(0), UINT64_C(0xc0000000), lg2[i], TABLES_RWU);
		fix_stack(&f);
		/* 2 MiB needs no capability */
		f.stack.stage[0].flags &= ~VIOMMU_STAGE_2M;
		e = entry(&f, 0, 2 + i);
		*e |= BIT64(12);
		fix_ok(&f, addr_of(0), VIOMMU_READ, UINT64_C(0xc0000000) | (addr_of(0) & mask));
		assert_int_equal(f.r.page_lg2, lg2[i]);
		for (bit = 13; bit < lg2[i]; bit++) {
			*e ^= BIT64(bit);
			fix_fault_at(&f, VIOMMU_READ, 0x72, 0, 2 + i);
			*e ^= BIT64(bit);
		}
		fix_free(&f);
	}
}

static void first_stage_ignored_bits_are_ignored(void **state)
{
	uint64_t ignored =
		BIT64(3) | BIT64(4) | BIT64(8) | BIT64(9) | BIT64(10) | BIT64(11) | MASK64(63, 52);
	struct fix f;
	unsigned int level;

	(void)state;
	fix_init(&f, "f5");
	for (level = 1; level <= 5; level++)
		*entry(&f, 0, level) |= ignored;
	*entry(&f, 0, 1) |= PS; /* PAT there */
	for (level = 2; level <= 5; level++)
		*entry(&f, 0, level) |= FS_D;
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	fix_free(&f);
}

static void user_requests_need_user_at_every_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;

		fix_init(&f, "f4");
		f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
		*entry(&f, 0, level) &= ~FS_US;
		/* Judged at the leaf. */
		assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ), VIOMMU_FAULTED);
		fix_fault_at(&f, VIOMMU_READ, 0x81, 0, 1);
		fix_fault_at(&f, VIOMMU_WRITE, 0x81, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x81, 0, 1);
		fix_ok(&f, addr_of(0), VIOMMU_READ | VIOMMU_PRIV, addr_of(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_SR);
		fix_ok(&f, addr_of(0), VIOMMU_WRITE | VIOMMU_PRIV, addr_of(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_SR | VIOMMU_PERM_SW);
		fix_free(&f);
	}
}

static void writes_need_rw_at_every_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "f5");
		f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
		*entry(&f, 0, level) &= ~FS_RW;
		fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
		fix_ok(&f, addr_of(0), VIOMMU_ZERO_LENGTH, addr_of(1));
		fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_READ | VIOMMU_WRITE, 0x85, 0, 1);
		/* Supervisor: as WPE says. */
		fix_ok(&f, addr_of(0), VIOMMU_WRITE | VIOMMU_PRIV, addr_of(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR | VIOMMU_PERM_SW);
		f.stack.stage[0].flags |= VIOMMU_STAGE_WPE;
		fix_fault_at(&f, VIOMMU_WRITE | VIOMMU_PRIV, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC | VIOMMU_PRIV, 0x85, 0, 1);
		fix_ok(&f, addr_of(0), VIOMMU_READ | VIOMMU_PRIV, addr_of(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
		fix_free(&f);
	}
}

static void supervisor_requests_need_sre(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	fix_fault(&f, addr_of(0), VIOMMU_READ | VIOMMU_PRIV, 0x5d, 0, 0, addr_of(0), 0, 0);
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_W);
	f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
	fix_ok(&f, addr_of(0), VIOMMU_WRITE | VIOMMU_PRIV, addr_of(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_free(&f);
}

static void a_read_sets_accessed_everywhere_and_nothing_else(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f5");
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(fix_changes(&f), 5);
	for (level = 1; level <= 5; level++)
		assert_int_equal(*entry(&f, 0, level) & (FS_A | FS_D | FS_EA), FS_A);
	/* Again: nothing to do. */
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(fix_changes(&f), 0);
	fix_free(&f);
}

static void a_write_sets_dirty_in_the_leaf_alone(void **state)
{
	static const uint32_t accesses[] = { VIOMMU_WRITE, VIOMMU_ATOMIC,
					     VIOMMU_READ | VIOMMU_WRITE };
	unsigned int level, i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(accesses); i++) {
		struct fix f;

		fix_init(&f, "f4");
		fix_remember(&f);
		fix_ok(&f, addr_of(0), accesses[i], addr_of(1));
		assert_int_equal(fix_changes(&f), 5);
		for (level = 1; level <= 4; level++)
			assert_int_equal(*entry(&f, 0, level) & (FS_A | FS_D | FS_EA),
					 level == 1 ? FS_A | FS_D : FS_A);
		fix_free(&f);
	}
}

static void extended_accessed_goes_with_accessed_if_asked(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_EAFE;
	*entry(&f, 0, 2) |= FS_A; /* EA alone is missing there */
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(fix_changes(&f), 7);
	for (level = 1; level <= 4; level++)
		assert_int_equal(*entry(&f, 0, level) & (FS_A | FS_D | FS_EA), FS_A | FS_EA);
	fix_free(&f);
}

/* What a cache may keep of a read must not serve a write that would have set D. */
static void write_permission_is_given_only_where_dirty_is_set(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_free(&f);

	fix_init(&f, "s4");
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(f.r.perm, 0xf); /* no D is kept */
	f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	assert_int_equal(f.r.perm, 0xf);
	fix_free(&f);
}

static void a_forbidden_access_marks_no_leaf(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	*entry(&f, 0, 1) &= ~FS_RW;
	fix_remember(&f);
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
	assert_int_equal(fix_changes(&f), 3); /* accessed, in the three above */
	assert_int_equal(*entry(&f, 0, 1) & (FS_A | FS_D), 0);
	fix_free(&f);
}

static void an_update_without_snoop_faults(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].flags &= ~VIOMMU_STAGE_SNOOP;
	fix_remember(&f);
	fix_fault_at(&f, VIOMMU_READ, 0x90, 0, 4);
	assert_int_equal(fix_changes(&f), 0);
	*entry(&f, 0, 4) |= FS_A;
	*entry(&f, 0, 3) |= FS_A;
	*entry(&f, 0, 2) |= FS_A;
	fix_fault_at(&f, VIOMMU_READ, 0x90, 0, 1);
	*entry(&f, 0, 1) |= FS_A;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	fix_fault_at(&f, VIOMMU_WRITE, 0x90, 0, 1);
	*entry(&f, 0, 1) |= FS_D;
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	fix_free(&f);

	fix_init(&f, "s4");
	f.stack.stage[0].flags &= ~VIOMMU_STAGE_SNOOP;
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
	fix_fault_at(&f, VIOMMU_WRITE, 0x7c, 0, 4);
	fix_free(&f);
}

static void an_update_in_read_only_memory_fails(void **state)
{
	static const char *const stages[] = { "f4", "s4" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct fix f;

		fix_init(&f, stages[i]);
		f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
		assert_int_equal(viommu_mem_remove(f.mem, GPA, PAGES << 12), 0);
		assert_int_equal(viommu_mem_add_ptr(f.mem, GPA, PAGES << 12, f.t.host,
						    VIOMMU_MEM_READ_ONLY),
				 0);
		fix_fault_at(&f, VIOMMU_READ, i ? 0x7d : 0x91, 0, 4);
		fix_free(&f);
	}
}

static void a_first_stage_table_in_a_hole_faults(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	f.stack.stage[0].root = 0x7000;
	fix_fault(&f, addr_of(0), VIOMMU_READ, 0x73, 0, 4, addr_of(0),
		  0x7000 + 8 * (addr_of(0) >> 39 & 511), 0);
	assert_int_equal(f.r.reads, 0);
	fix_free(&f);
	for (level = 1; level < 4; level++) {
		fix_init(&f, "f4");
		*entry(&f, 0, level + 1) = 0x7000 | FS_P | FS_RW | FS_US;
		fix_fault(&f, addr_of(0), VIOMMU_READ, 0x70, 0, level, addr_of(0),
			  0x7000 + 8 * (addr_of(0) >> (12 + 9 * (level - 1)) & 511), 0);
		assert_int_equal(f.r.reads, 4 - level);
		fix_free(&f);
	}
}

/* ---- the second stage ------------------------------------------------------------------------ */

static void second_stage_of_3_to_5_levels_translates(void **state)
{
	static const char *const stages[] = { "s3", "s4", "s5" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		uint64_t wide = BIT64(39 + 9 * i);
		struct fix f;

		fix_init(&f, stages[i]);
		fix_remember(&f);
		fix_ok(&f, addr_of(0) + 0xfff, VIOMMU_ATOMIC, addr_of(1) + 0xfff);
		assert_int_equal(f.r.reads, 3 + i);
		assert_int_equal(f.r.page_lg2, 12);
		assert_int_equal(f.r.perm, 0xf);
		/* no supervisor there, and no SRE */
		fix_ok(&f, addr_of(0), VIOMMU_WRITE | VIOMMU_PRIV, addr_of(1));
		/* nothing is marked without SSADE */
		assert_int_equal(fix_changes(&f), 0);
		fix_fault(&f, wide, VIOMMU_READ, 0x84, 0, 0, wide, 0, 0);
		fix_fault(&f, ~UINT64_C(0), VIOMMU_READ, 0x84, 0, 0, ~UINT64_C(0), 0, 0);
		/* input_bits may be less than the levels give */
		f.stack.stage[0].input_bits = 38;
		fix_fault(&f, BIT64(38), VIOMMU_READ, 0x84, 0, 0, BIT64(38), 0, 0);
		fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
		fix_free(&f);
	}
}

static void second_stage_absent_entry_faults_at_its_level(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "s5");
		*entry(&f, 0, level) = ~(SS_R | SS_W);
		fix_fault_at(&f, VIOMMU_READ, 0x79, 0, level);
		fix_fault_at(&f, VIOMMU_WRITE, 0x79, 0, level);
		fix_free(&f);
	}
}

static void second_stage_permissions_are_the_and_of_all_levels(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;

		fix_init(&f, "s4");
		*entry(&f, 0, level) &= ~SS_W;
		fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
		fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x85, 0, 1);
		*entry(&f, 0, level) ^= SS_W | SS_R;
		fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
		assert_int_equal(f.r.perm, VIOMMU_PERM_W | VIOMMU_PERM_SW);
		fix_fault_at(&f, VIOMMU_READ, 0x86, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x86, 0, 1);
		/* scalable mode has no pardon for zero-length reads */
		f.stack.stage[0].flags |= VIOMMU_STAGE_ZLR;
		fix_fault_at(&f, VIOMMU_ZERO_LENGTH, 0x86, 0, 1);
		/* R here, W there: present at all levels, and nothing survives */
		*entry(&f, 0, level == 1 ? 2 : level - 1) &= ~SS_W;
		fix_fault_at(&f, VIOMMU_READ, 0x79, 0, 1);
		fix_fault_at(&f, VIOMMU_WRITE, 0x79, 0, 1);
		fix_free(&f);
	}
}

static void second_stage_reserved_bits_fault(void **state)
{
	unsigned int level, bit;

	(void)state;
	for (level = 1; level <= 5; level++) {
		struct fix f;

		fix_init(&f, "s5");
		for (bit = 48; bit < 52; bit++) {
			f.stack.stage[0].haw = (uint8_t)bit;
			*entry(&f, 0, level) ^= BIT64(bit);
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
			*entry(&f, 0, level) ^= BIT64(bit);
		}
		/* once TM, now IW where SSIRWE allows it */
		*entry(&f, 0, level) ^= BIT64(62);
		fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		*entry(&f, 0, level) ^= BIT64(62);
		/* SNP: in a leaf, if the unit has snoop control */
		*entry(&f, 0, level) ^= SNP;
		fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		f.stack.stage[0].flags |= VIOMMU_STAGE_SNP;
		if (level == 1) {
			fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
			assert_int_equal(f.r.snp, 1);
		} else {
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		}
		*entry(&f, 0, level) ^= SNP;
		fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
		assert_int_equal(f.r.snp, 0);
		if (level >= 4) {
			*entry(&f, 0, level) ^= PS;
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, level);
		}
		fix_free(&f);
	}
}

static void second_stage_large_leaves_need_their_capability(void **state)
{
	static const unsigned int lg2[] = { 21, 30 };
	unsigned int i, bit;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint64_t mask = BIT64(lg2[i]) - 1, *e;
		struct fix f;

		fix_stages(&f, "s4");
		tables_map(&f.stage[0], addr_of(0), UINT64_C(0xc0000000), lg2[i], TABLES_RW);
		fix_stack(&f);
		f.stack.stage[0].flags = i ? VIOMMU_STAGE_1G : VIOMMU_STAGE_2M;
		e = entry(&f, 0, 2 + i);
		fix_ok(&f, addr_of(0), VIOMMU_READ, UINT64_C(0xc0000000) | (addr_of(0) & mask));
		assert_int_equal(f.r.page_lg2, lg2[i]);
		assert_int_equal(f.r.reads, 3 - i);
		for (bit = 12; bit < lg2[i]; bit++) {
			*e ^= BIT64(bit);
			fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, 2 + i);
			*e ^= BIT64(bit);
		}
		f.stack.stage[0].flags = i ? VIOMMU_STAGE_2M : VIOMMU_STAGE_1G;
		fix_fault_at(&f, VIOMMU_READ, 0x7a, 0, 2 + i);
		fix_free(&f);
	}
}

static void second_stage_ignored_bits_are_ignored(void **state)
{
	uint64_t ignored = BIT64(2) | MASK64(5, 3) | BIT64(6) | BIT64(8) | BIT64(9) | BIT64(10) |
			   MASK64(60, 52) | BIT64(61) | BIT64(63);
	unsigned int level, mts;
	struct fix f;

	(void)state;
	fix_init(&f, "s5");
	for (level = 1; level <= 5; level++)
		*entry(&f, 0, level) |= ignored;
	*entry(&f, 0, 1) |= PS;
	for (mts = 0; mts < 2; mts++) {
		fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
		f.stack.stage[0].flags |= VIOMMU_STAGE_MTS;
	}
	fix_free(&f);
}

static void io_permission_bits_stand_in_for_r_and_w(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "s4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_IORW;
	fix_fault_at(&f, VIOMMU_READ, 0x79, 0, 1);
	for (level = 1; level <= 4; level++)
		*entry(&f, 0, level) |= BIT64(61) | BIT64(62);
	fix_ok(&f, addr_of(0), VIOMMU_ATOMIC, addr_of(1));
	assert_int_equal(f.r.perm, 0xf);
	*entry(&f, 0, 3) ^= BIT64(62);
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	*entry(&f, 0, 3) ^= BIT64(62) | BIT64(61);
	fix_fault_at(&f, VIOMMU_READ, 0x86, 0, 1);
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(1));
	/* bits 1:0 still say what is present */
	*entry(&f, 0, 3) &= ~(SS_R | SS_W);
	fix_fault_at(&f, VIOMMU_WRITE, 0x79, 0, 3);
	fix_free(&f);
}

static void second_stage_marks_only_with_ssade(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "s4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(1));
	assert_int_equal(fix_changes(&f), 4);
	for (level = 1; level <= 4; level++)
		assert_int_equal(*entry(&f, 0, level) & (SS_A | SS_D), SS_A);
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_ATOMIC, addr_of(1));
	assert_int_equal(fix_changes(&f), 1);
	assert_int_equal(*entry(&f, 0, 1) & (SS_A | SS_D), SS_A | SS_D);
	fix_free(&f);
}

static void a_second_stage_table_in_a_hole_faults(void **state)
{
	unsigned int level, legacy;
	struct fix f;

	(void)state;
	for (legacy = 0; legacy < 2; legacy++) {
		fix_init(&f, "s4");
		f.stack.stage[0].flags |= legacy ? VIOMMU_STAGE_LEGACY : 0;
		f.stack.stage[0].root = 0x7000;
		fix_fault(&f, addr_of(0), VIOMMU_READ, legacy ? 0x03 : 0x7b, 0, 4, addr_of(0),
			  0x7000 + 8 * (addr_of(0) >> 39 & 511), 0);
		fix_free(&f);
		for (level = 1; level < 4; level++) {
			fix_init(&f, "s4");
			f.stack.stage[0].flags |= legacy ? VIOMMU_STAGE_LEGACY : 0;
			*entry(&f, 0, level + 1) = 0x7000 | SS_R | SS_W;
			fix_fault(&f, addr_of(0), VIOMMU_READ, legacy ? 0x07 : 0x78, 0, level,
				  addr_of(0),
				  0x7000 + 8 * (addr_of(0) >> (12 + 9 * (level - 1)) & 511), 0);
			fix_free(&f);
		}
	}
}

static void legacy_mode_has_its_own_reasons(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		uint64_t was;
		struct fix f;

		fix_init(&f, "s4");
		f.stack.stage[0].flags |= VIOMMU_STAGE_LEGACY;
		fix_ok(&f, addr_of(0), VIOMMU_ATOMIC, addr_of(1));
		fix_fault(&f, BIT64(48), VIOMMU_READ, 0x04, 0, 0, BIT64(48), 0, 0);
		was = *entry(&f, 0, level);
		*entry(&f, 0, level) = 0;
		fix_fault_at(&f, VIOMMU_READ, 0x06, 0, level);
		fix_fault_at(&f, VIOMMU_WRITE, 0x05, 0, level);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x05, 0, level);
		*entry(&f, 0, level) = was | BIT64(62);
		fix_fault_at(&f, VIOMMU_READ, 0x0c, 0, level);
		*entry(&f, 0, level) = was & ~SS_W;
		fix_fault_at(&f, VIOMMU_WRITE, 0x05, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x05, 0, 1);
		*entry(&f, 0, level) = was & ~SS_R;
		fix_fault_at(&f, VIOMMU_READ, 0x06, 0, 1);
		fix_fault_at(&f, VIOMMU_ATOMIC, 0x06, 0, 1);
		/* ZLR */
		fix_fault_at(&f, VIOMMU_ZERO_LENGTH, 0x06, 0, 1);
		f.stack.stage[0].flags |= VIOMMU_STAGE_ZLR;
		fix_ok(&f, addr_of(0), VIOMMU_ZERO_LENGTH, addr_of(1));
		fix_fault_at(&f, VIOMMU_READ, 0x06, 0, 1);
		*entry(&f, 0, level == 1 ? 2 : 1) &= ~SS_W;
		fix_fault_at(&f, VIOMMU_ZERO_LENGTH, 0x06, 0, 1);
		fix_free(&f);
	}
}

/* ---- the output, and no stage at all --------------------------------------------------------- */

static void output_must_not_lie_in_the_interrupt_window(void **state)
{
	static const struct {
		const char *stages;
		uint32_t flags;
		uint8_t reason;
	} cases[] = { { "f4", 0, 0x87 },
		      { "s4", 0, 0x87 },
		      { "s4", VIOMMU_STAGE_LEGACY, 0x0e },
		      { "f4s4", 0, 0x87 } };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int last;
		struct fix f;

		fix_init(&f, cases[i].stages);
		last = f.nr - 1;
		f.stack.stage[last].flags |= cases[i].flags;
		*entry(&f, last, 1) &= 0xfff;
		*entry(&f, last, 1) |= 0xfee00000;
		fix_fault(&f, addr_of(0) + 4, VIOMMU_WRITE, cases[i].reason, last, 0,
			  addr_of(last) + 4, 0, 0);
		*entry(&f, last, 1) |= 0xfeeff000;
		fix_fault(&f, addr_of(0) + 4, VIOMMU_WRITE, cases[i].reason, last, 0,
			  addr_of(last) + 4, 0, 0);
		*entry(&f, last, 1) = (*entry(&f, last, 1) & 0xfff) | 0xfef00000;
		fix_ok(&f, addr_of(0), VIOMMU_WRITE, 0xfef00000);
		*entry(&f, last, 1) = (*entry(&f, last, 1) & 0xfff) | 0xfedff000;
		fix_ok(&f, addr_of(0) + 0xfff, VIOMMU_WRITE, 0xfedfffff);
		/* not judged without an address width of the unit */
		*entry(&f, last, 1) = (*entry(&f, last, 1) & 0xfff) | 0xfee00000;
		f.stack.haw = 0;
		fix_ok(&f, addr_of(0), VIOMMU_WRITE, 0xfee00000);
		fix_free(&f);
	}
}

static void a_first_stage_may_name_the_window_if_a_second_stage_follows(void **state)
{
	struct fix f;

	(void)state;
	fix_stages(&f, "f4s4");
	tables_map(&f.stage[1], 0xfee00000, 0x9000, 12, TABLES_RW);
	tables_map(&f.stage[0], 0x5000, 0xfee00000, 12, TABLES_RWU);
	fix_stack(&f);
	fix_ok(&f, 0x5000, VIOMMU_READ, 0x9000);
	fix_free(&f);
}

static void no_stage_passes_through(void **state)
{
	struct fix f;

	(void)state;
	fix_memory(&f);
	f.stack = (struct viommu_stack){ .haw = 40, .mem = f.mem };
	fix_ok(&f, GPA + 0x1234, VIOMMU_WRITE | VIOMMU_PRIV, GPA + 0x1234);
	assert_int_equal(f.r.reads, 0);
	assert_int_equal(f.r.perm, 0xf);
	assert_int_equal(f.r.page_lg2, 12);
	assert_ptr_equal(f.r.host, f.t.host + 0x1234);
	fix_fault(&f, BIT64(40), VIOMMU_READ, 0x83, 0, 0, BIT64(40), 0, 0);
	fix_fault(&f, 0xfee12340, VIOMMU_WRITE, 0x87, 0, 0, 0xfee12340, 0, 0);
	f.stack.haw = 0;
	fix_ok(&f, BIT64(40), VIOMMU_READ, BIT64(40));
	fix_free(&f);
}

/* ---- nested ---------------------------------------------------------------------------------- */

/* Every stack of up to four stages of any formats and levels, and one of the deepest. */
static void reads_are_a_power_of_levels(void **state)
{
	static const char *const kinds[] = { "f4", "f5", "s3", "s4", "s5" };
	unsigned int n, a, i;

	(void)state;
	for (n = 1; n <= 4; n++) {
		unsigned int all = n == 1 ? 5 : n == 2 ? 25 : n == 3 ? 125 : 625;

		for (a = 0; a < all; a++) {
			unsigned int left = a, reads = 1;
			char stages[9] = "";
			struct fix f;

			for (i = 0; i < n; i++) {
				memcpy(stages + 2 * i, kinds[left % 5], 2);
				reads *= (unsigned int)(kinds[left % 5][1] - '0') + 1;
				left /= 5;
			}
			fix_init(&f, stages);
			fix_ok(&f, addr_of(0) + 0x18, VIOMMU_WRITE, addr_of(n) + 0x18);
			assert_int_equal(f.r.reads, reads - 1);
			assert_int_equal(f.r.perm & (VIOMMU_PERM_R | VIOMMU_PERM_W),
					 VIOMMU_PERM_R | VIOMMU_PERM_W);
			fix_free(&f);
		}
	}
}

static void nested_permissions_are_the_and_of_both_stages(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[0].flags |= VIOMMU_STAGE_SRE;
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(2));
	assert_int_equal(f.r.perm, 0xf);
	*entry(&f, 1, 1) &= ~SS_W;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(2));
	assert_int_equal(f.r.perm, VIOMMU_PERM_R | VIOMMU_PERM_SR);
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 1, 1);
	fix_fault_at(&f, VIOMMU_ATOMIC, 0x85, 1, 1);
	*entry(&f, 1, 1) ^= SS_W | SS_R;
	fix_fault_at(&f, VIOMMU_READ, 0x86, 1, 1);
	fix_fault_at(&f, VIOMMU_READ | VIOMMU_PRIV, 0x86, 1, 1);
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(2));
	assert_int_equal(f.r.perm, VIOMMU_PERM_W | VIOMMU_PERM_SW);
	/* first-stage rules come first */
	*entry(&f, 0, 1) &= ~FS_RW;
	*entry(&f, 1, 1) = 0;
	fix_fault_at(&f, VIOMMU_WRITE, 0x85, 0, 1);
	fix_fault_at(&f, VIOMMU_READ, 0x79, 1, 1);
	fix_free(&f);
}

static void nested_page_size_is_the_smaller_one(void **state)
{
	static const unsigned int lg2[] = { 12, 21, 30 };
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++) {
			uint64_t gpa = UINT64_C(0x40000000), hpa = UINT64_C(0x2c0000000);
			struct fix f;

			fix_stages(&f, "f4s4");
			tables_map(&f.stage[1], gpa, hpa, lg2[j], TABLES_RW);
			tables_map(&f.stage[0], UINT64_C(0x7fc0000000), gpa, lg2[i], TABLES_RWU);
			fix_stack(&f);
			fix_ok(&f, UINT64_C(0x7fc0000abc), VIOMMU_READ, hpa + 0xabc);
			assert_int_equal(f.r.page_lg2, lg2[i < j ? i : j]);
			assert_int_equal(f.r.reads, 24 - 5 * i - j);
			fix_free(&f);
		}
	}
}

/* FSPTPTR and the addresses in first-stage entries are inputs of the second stage. */
static void first_stage_addresses_must_fit_the_second_stage(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	for (level = 1; level <= 4; level++) {
		fix_init(&f, "f4s3");
		*entry(&f, 0, level) |= BIT64(39);
		fix_fault_at(&f, VIOMMU_READ, 0x74, 0, level);
		assert_int_equal(*entry(&f, 0, level) & FS_A, 0);
		fix_free(&f);
	}
	fix_init(&f, "f4s3");
	f.stack.stage[0].root |= BIT64(39);
	fix_fault(&f, addr_of(0), VIOMMU_READ, 0x5b, 0, 0, addr_of(0), 0, 0);
	fix_free(&f);
	/* a large page's start fits, the byte does not: an ordinary address above the width */
	fix_stages(&f, "f4s4");
	tables_map(&f.stage[0], 0x40000000, 0, 30, TABLES_RWU);
	fix_stack(&f);
	f.stack.stage[1].input_bits = 37;
	fix_fault(&f, 0x40000000, VIOMMU_READ, 0x79, 1, 3, 0, tables_entry_addr(&f.stage[1], 0, 3),
		  0);
	fix_free(&f);
}

/* The second-stage leaf that maps stage i's table of this level. */
static uint64_t *leaf_below(struct fix *f, unsigned int i, unsigned int level)
{
	return tables_entry(&f->stage[i + 1], tables_entry_addr(&f->stage[i], addr_of(i), level),
			    1);
}

static void first_stage_tables_must_be_readable_in_the_second(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		uint64_t at;
		struct fix f;

		fix_init(&f, "f4s4");
		at = tables_entry_addr(&f.stage[0], addr_of(0), level);
		*leaf_below(&f, 0, level) &= ~SS_R;
		fix_fault(&f, addr_of(0), VIOMMU_READ, level == 4 ? 0x75 : 0x76, 0, level,
			  addr_of(0), at, 0);
		fix_free(&f);
	}
}

static void first_stage_updates_need_w_in_the_second(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;

		fix_init(&f, "f4s4");
		*leaf_below(&f, 0, level) &= ~SS_W;
		fix_fault_at(&f, VIOMMU_READ, 0x77, 0, level);
		*entry(&f, 0, level) |= FS_A | (level == 1 ? FS_D : 0);
		fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(2));
		*entry(&f, 0, level) &= ~FS_D;
		if (level == 1) {
			fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(2));
			fix_fault_at(&f, VIOMMU_WRITE, 0x77, 0, 1);
		}
		fix_free(&f);
	}
}

/* With SSADE every access to a first-stage table is one with R and W, and dirties its page. */
static void with_ssade_reads_of_tables_count_as_writes(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[1].flags |= VIOMMU_STAGE_AD;
	for (level = 1; level <= 4; level++)
		*entry(&f, 0, level) |= FS_A | (level == 1 ? FS_D : 0);
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(2));
	for (level = 1; level <= 4; level++)
		assert_int_equal(*leaf_below(&f, 0, level) & (SS_A | SS_D), SS_A | SS_D);
	assert_int_equal(*entry(&f, 1, 1) & (SS_A | SS_D), SS_A);
	/*
	 * Five leaves, four of them dirty. Upper entries: the data and the tables (at the window)
	 * share the top two of stage 1 (addr_of(1) and the window lie in one 512-GiB slot, not in
	 * one GiB), then two paths of two.
	 */
	assert_int_equal(fix_changes(&f), 5 + 4 + 1 + 2 + 2);
	/* A read-only page for a table is not enough, even if no bit of it needs setting. */
	*leaf_below(&f, 0, 2) &= ~SS_W;
	fix_fault(&f, addr_of(0), VIOMMU_READ, 0x77, 0, 2, addr_of(0),
		  tables_entry_addr(&f.stage[0], addr_of(0), 2), 0);
	fix_free(&f);
}

static void second_stage_faults_of_table_reads_keep_their_reason(void **state)
{
	unsigned int level;
	struct fix f;

	(void)state;
	for (level = 1; level <= 4; level++) {
		uint64_t at, *e;
		unsigned int ss;

		fix_init(&f, "f4s4");
		at = tables_entry_addr(&f.stage[0], addr_of(0), level);
		for (ss = 1; ss <= 4; ss++) {
			uint64_t was, ea = tables_entry_addr(&f.stage[1], at, ss);

			/* entries of levels 2 and up serve all tables: the top one meets it */
			if (ss > 1 && level != 4)
				continue;
			e = tables_entry(&f.stage[1], at, ss);
			was = *e;
			*e = 0;
			fix_fault(&f, addr_of(0), VIOMMU_READ, 0x79, 1, ss, at, ea, 0);
			*e = was | BIT64(51);
			fix_fault(&f, addr_of(0), VIOMMU_READ, 0x7a, 1, ss, at, ea,
				  was | BIT64(51));
			*e = was;
		}
		fix_free(&f);
	}
	fix_init(&f, "f4s4");
	f.stack.stage[1].root = 0x7000;
	assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ), VIOMMU_FAULTED);
	assert_int_equal(f.r.fault.reason, 0x7b);
	assert_int_equal(f.r.fault.stage, 1);
	fix_free(&f);
}

static void a_first_stage_table_mapped_to_a_hole_is_an_access_error(void **state)
{
	unsigned int level;

	(void)state;
	for (level = 1; level <= 4; level++) {
		struct fix f;
		uint64_t at;

		fix_init(&f, "f4s4");
		at = tables_entry_addr(&f.stage[0], addr_of(0), level);
		*leaf_below(&f, 0, level) = 0x7000 | SS_R | SS_W;
		fix_fault(&f, addr_of(0), VIOMMU_READ, level == 4 ? 0x73 : 0x70, 0, level,
			  addr_of(0), at, 0);
		fix_free(&f);
	}
}

static void nested_read_marks_first_stage_tables_exactly(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f5s5");
	fix_remember(&f);
	fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(2));
	assert_int_equal(f.r.reads, 35);
	assert_int_equal(fix_changes(&f), 6);
	assert_int_equal(*entry(&f, 0, 1) & (FS_A | FS_D), FS_A | FS_D);
	fix_free(&f);
}

static void second_stage_snoop_bit_is_reported_through_nesting(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[1].flags |= VIOMMU_STAGE_SNP;
	*entry(&f, 1, 1) |= SNP;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(2));
	assert_int_equal(f.r.snp, 1);
	*entry(&f, 1, 1) ^= SNP;
	/* of the data page, not of a table's */
	*leaf_below(&f, 0, 1) |= SNP;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(2));
	assert_int_equal(f.r.snp, 0);
	fix_free(&f);
}

/* ---- three and four stages ------------------------------------------------------------------- */

static void in_deeper_stacks_each_pair_nests_alike(void **state)
{
	static const char *const stacks[] = { "f4s4s4", "f5s4s3", "f4s4s4s4" };
	unsigned int k, i, level;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(stacks); k++) {
		unsigned int n = (unsigned int)strlen(stacks[k]) / 2;
		struct fix f;

		fix_init(&f, stacks[k]);
		fix_ok(&f, addr_of(0), VIOMMU_WRITE, addr_of(n));
		for (i = 0; i + 1 < n; i++) {
			uint64_t was;

			for (level = 1; level <= f.stage[i].levels; level++) {
				uint64_t at = tables_entry_addr(&f.stage[i], addr_of(i), level);
				uint64_t e = *entry(&f, i, level);

				/* R or W missing one stage below: named after the upper one */
				was = *leaf_below(&f, i, level);
				*leaf_below(&f, i, level) &= ~SS_R;
				assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ),
						 VIOMMU_FAULTED);
				assert_int_equal(f.r.fault.reason,
						 level == f.stage[i].levels ? 0x75 : 0x76);
				assert_int_equal(f.r.fault.stage, i);
				assert_int_equal(f.r.fault.level, level);
				if (!i)
					assert_int_equal(f.r.fault.entry_addr, at);
				*leaf_below(&f, i, level) = was;
				/* address too wide for the stage below */
				f.stack.stage[i + 1].input_bits = 38;
				*entry(&f, i, level) |= BIT64(38);
				assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ),
						 VIOMMU_FAULTED);
				assert_int_equal(f.r.fault.reason, 0x74);
				assert_int_equal(f.r.fault.stage, i);
				assert_int_equal(f.r.fault.level, level);
				*entry(&f, i, level) = e;
			}
			/* the final access, judged stage by stage */
			was = *entry(&f, i, 1);
			*entry(&f, i, 1) &= ~BIT64(1);
			fix_fault_at(&f, VIOMMU_WRITE, 0x85, i, 1);
			*entry(&f, i, 1) = was;
			f.stack.stage[i].root |= BIT64(38);
			assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ), VIOMMU_FAULTED);
			assert_int_equal(f.r.fault.reason, 0x5b);
			assert_int_equal(f.r.fault.stage, i);
			f.stack.stage[i].root ^= BIT64(38);
		}
		*entry(&f, n - 1, 1) = 0;
		fix_fault_at(&f, VIOMMU_READ, 0x79, n - 1, 1);
		fix_free(&f);
	}
}

/* Two stages down counts as much as one: first-stage updates need W in all of them. */
static void updates_need_w_in_every_stage_below(void **state)
{
	uint64_t at, mid;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4s4");
	at = tables_entry_addr(&f.stage[0], addr_of(0), 2);
	mid = (*tables_entry(&f.stage[1], at, 1) & MASK64(51, 12)) | (at & 0xfff);
	*tables_entry(&f.stage[2], mid, 1) &= ~SS_W;
	fix_fault_at(&f, VIOMMU_READ, 0x77, 0, 2);
	*entry(&f, 0, 2) |= FS_A;
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(3));
	/* and R */
	*tables_entry(&f.stage[2], mid, 1) ^= SS_W | SS_R;
	fix_fault(&f, addr_of(0), VIOMMU_READ, 0x76, 0, 2, addr_of(0), at, 0);
	fix_free(&f);
}

/* A table read wants W in each stage that keeps A/D bits, so its page gets dirty there too. */
static void table_reads_dirty_every_stage_that_keeps_bits(void **state)
{
	uint64_t at, mid;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4s4");
	f.stack.stage[2].flags |= VIOMMU_STAGE_AD;
	at = tables_entry_addr(&f.stage[0], addr_of(0), 3);
	mid = *tables_entry(&f.stage[1], at, 1) & MASK64(51, 12);
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(3));
	assert_int_equal(*tables_entry(&f.stage[2], mid, 1) & (SS_A | SS_D), SS_A | SS_D);
	assert_int_equal(*leaf_below(&f, 0, 3) & (SS_A | SS_D), 0);
	assert_int_equal(*leaf_below(&f, 1, 3) & (SS_A | SS_D), SS_A | SS_D);
	assert_int_equal(*entry(&f, 2, 1) & (SS_A | SS_D), SS_A);
	fix_free(&f);
}

/* Not in VT-d, but stages of any format stack: table reads are user requests there. */
static void a_first_stage_below_sees_table_reads_as_user_writes(void **state)
{
	struct fix f;

	(void)state;
	fix_init(&f, "f4f4");
	fix_ok(&f, addr_of(0), VIOMMU_READ, addr_of(2));
	assert_int_equal(*leaf_below(&f, 0, 3) & (FS_A | FS_D), FS_A | FS_D);
	assert_int_equal(*entry(&f, 1, 1) & (FS_A | FS_D), FS_A);
	*leaf_below(&f, 0, 3) ^= FS_US;
	fix_fault(&f, addr_of(0), VIOMMU_READ, 0x76, 0, 3, addr_of(0),
		  tables_entry_addr(&f.stage[0], addr_of(0), 3), 0);
	*leaf_below(&f, 0, 3) ^= FS_US | FS_RW;
	fix_fault(&f, addr_of(0), VIOMMU_READ, 0x77, 0, 3, addr_of(0),
		  tables_entry_addr(&f.stage[0], addr_of(0), 3), 0);
	fix_free(&f);
}

/* ---- dry walks, recorders -------------------------------------------------------------------- */

struct log {
	struct viommu_recorder rec;
	struct viommu_step step[4096];
	unsigned int nr, reads, updates, outputs;
	/* called on each step, to edit tables under the walk */
	void (*edit)(struct log *log, const struct viommu_step *step);
	struct fix *f;
	unsigned int edits;
};

static void log_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct log *log = container_of(rec, struct log, rec);

	assert_null(step->name);
	log->reads += step->kind == VIOMMU_STEP_READ;
	log->updates += step->kind == VIOMMU_STEP_UPDATE;
	log->outputs += step->kind == VIOMMU_STEP_OUTPUT;
	if (log->nr < ARRAY_SIZE(log->step))
		log->step[log->nr++] = *step;
	if (log->edit)
		log->edit(log, step);
}

static struct log *log_new(struct fix *f)
{
	struct log *log = calloc(1, sizeof(*log));

	assert_non_null(log);
	log->rec.step = log_step;
	log->f = f;
	return log;
}

static int log_walk(struct log *log, uint64_t addr, uint32_t access, uint32_t flags)
{
	log->nr = log->reads = log->updates = log->outputs = log->edits = 0;
	return viommu_walk(&log->f->stack, addr, access, flags, &log->rec, &log->f->r);
}

static void a_dry_walk_tells_what_it_would_set_and_sets_nothing(void **state)
{
	struct log *log;
	struct fix f;
	unsigned int i;

	(void)state;
	fix_init(&f, "f4s4");
	f.stack.stage[1].flags |= VIOMMU_STAGE_AD;
	log = log_new(&f);
	fix_remember(&f);
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_WRITE, VIOMMU_WALK_DRY), 0);
	assert_int_equal(f.r.out, addr_of(2));
	assert_int_equal(f.r.perm & VIOMMU_PERM_W, VIOMMU_PERM_W);
	assert_int_equal(fix_changes(&f), 0);
	/* Nothing was set in between, so every use of an entry says it again. */
	assert_int_equal(log->updates, 24);
	for (i = 0; i < log->nr; i++) {
		const struct viommu_step *s = &log->step[i];

		if (s->kind == VIOMMU_STEP_UPDATE && s->stage == 0)
			assert_int_equal(s->value, s->level == 1 ? FS_A | FS_D : FS_A);
		else if (s->kind == VIOMMU_STEP_UPDATE)
			assert_int_equal(s->value, s->level == 1 ? SS_A | SS_D : SS_A);
	}
	assert_int_equal(
		viommu_walk(&f.stack, addr_of(0), VIOMMU_WRITE, VIOMMU_WALK_DRY, NULL, &f.r), 0);
	assert_int_equal(fix_changes(&f), 0);
	/* A dry walk faults where a real one does. */
	*leaf_below(&f, 0, 2) &= ~SS_W;
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_READ, VIOMMU_WALK_DRY), VIOMMU_FAULTED);
	assert_int_equal(f.r.fault.reason, 0x77);
	free(log);
	fix_free(&f);
}

static void a_recorder_sees_every_step_in_order(void **state)
{
	unsigned int i, level, at = 0;
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	log = log_new(&f);
	assert_int_equal(log_walk(log, addr_of(0) + 0x10, VIOMMU_READ, 0), 0);
	assert_int_equal(log->reads, 24);
	assert_int_equal(f.r.reads, 24);
	assert_int_equal(log->updates, 4);
	assert_int_equal(log->outputs, 6);
	for (level = 4; level >= 1; level--) {
		uint64_t ea = tables_entry_addr(&f.stage[0], addr_of(0), level);
		uint64_t phys = GPA + (uint64_t)((uint8_t *)entry(&f, 0, level) - f.t.host);

		for (i = 4; i >= 1; i--, at++) {
			const struct viommu_step *s = &log->step[at];

			assert_int_equal(s->kind, VIOMMU_STEP_READ);
			assert_int_equal(s->stage, 1);
			assert_int_equal(s->level, i);
			assert_int_equal(s->depth, 1);
			assert_int_equal(s->input, ea);
			assert_int_equal(s->entry_addr, tables_entry_addr(&f.stage[1], ea, i));
			assert_int_equal(s->phys, s->entry_addr);
			assert_int_equal(s->value, *tables_entry(&f.stage[1], ea, i));
		}
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_OUTPUT);
		assert_int_equal(log->step[at].stage, 1);
		assert_int_equal(log->step[at].level, 0);
		assert_int_equal(log->step[at].depth, 1);
		assert_int_equal(log->step[at].page_lg2, 12);
		assert_int_equal(log->step[at].input, ea);
		assert_int_equal(log->step[at].value, phys);
		at++;
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_READ);
		assert_int_equal(log->step[at].stage, 0);
		assert_int_equal(log->step[at].level, level);
		assert_int_equal(log->step[at].depth, 0);
		assert_int_equal(log->step[at].input, addr_of(0) + 0x10);
		assert_int_equal(log->step[at].entry_addr, ea);
		assert_int_equal(log->step[at].phys, phys);
		assert_int_equal(log->step[at].value, *entry(&f, 0, level) & ~FS_A);
		at++;
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_UPDATE);
		assert_int_equal(log->step[at].stage, 0);
		assert_int_equal(log->step[at].level, level);
		assert_int_equal(log->step[at].entry_addr, ea);
		assert_int_equal(log->step[at].phys, phys);
		assert_int_equal(log->step[at].value, FS_A);
		at++;
	}
	assert_int_equal(log->step[at].kind, VIOMMU_STEP_OUTPUT);
	assert_int_equal(log->step[at].stage, 0);
	assert_int_equal(log->step[at].value, addr_of(1) + 0x10);
	at++;
	for (i = 4; i >= 1; i--, at++) {
		assert_int_equal(log->step[at].kind, VIOMMU_STEP_READ);
		assert_int_equal(log->step[at].stage, 1);
		assert_int_equal(log->step[at].depth, 0);
		assert_int_equal(log->step[at].level, i);
		assert_int_equal(log->step[at].input, addr_of(1) + 0x10);
	}
	assert_int_equal(log->step[at].kind, VIOMMU_STEP_OUTPUT);
	assert_int_equal(log->step[at].value, addr_of(2) + 0x10);
	assert_int_equal(at + 1, log->nr);
	free(log);
	fix_free(&f);
}

static void depth_counts_the_table_reads_that_a_read_serves(void **state)
{
	unsigned int count[3][3] = { { 0 } }, i;
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4s4");
	log = log_new(&f);
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_READ, 0), 0);
	assert_int_equal(log->reads, 124);
	for (i = 0; i < log->nr; i++) {
		assert_in_range(log->step[i].depth, 0, 2);
		if (log->step[i].kind == VIOMMU_STEP_READ)
			count[log->step[i].stage][log->step[i].depth]++;
	}
	assert_int_equal(count[0][0], 4);
	assert_int_equal(count[1][0], 4);
	assert_int_equal(count[1][1], 16);
	assert_int_equal(count[2][0], 4);
	assert_int_equal(count[2][1], 16 + 16); /* for stage 0's tables, and for stage 1's */
	assert_int_equal(count[2][2], 64);
	free(log);
	fix_free(&f);
}

/* ---- edits under the walk -------------------------------------------------------------------- */

/* When the leaf is read, the top entry moves the whole space to other tables. */
static void edit_top(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_READ && step->stage == 0 && step->level == 1 && !log->edits) {
		log->edits++;
		*entry(log->f, 0, 4) = 0;
	}
}

static void a_result_that_no_state_gave_is_walked_again(void **state)
{
	static const char *const stacks[] = { "f4", "s4", "f4s4", "f4s4s4" };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(stacks); i++) {
		struct log *log;
		struct fix f;

		fix_init(&f, stacks[i]);
		log = log_new(&f);
		log->edit = edit_top;
		assert_int_equal(log_walk(log, addr_of(0), VIOMMU_READ, 0), VIOMMU_FAULTED);
		assert_int_equal(log->edits, 1);
		assert_int_equal(f.r.fault.reason, stacks[i][0] == 'f' ? 0x71 : 0x79);
		assert_int_equal(f.r.fault.level, 4);
		free(log);
		fix_free(&f);
	}
}

/* Marks that somebody else sets or clears meanwhile are no reason to start again. */
static void edit_marks(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_READ && step->stage == 0 && step->level == 1) {
		log->edits++;
		*entry(log->f, 0, 4) ^= FS_D | FS_EA;
		*entry(log->f, 0, 3) ^= FS_A;
	}
}

static void marks_set_meanwhile_do_not_restart(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	log = log_new(&f);
	log->edit = edit_marks;
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_READ, 0), 0);
	assert_int_equal(log->edits, 1);
	assert_int_equal(log->reads, 24);
	free(log);
	fix_free(&f);
}

/* The entry changes between its read and its update: the update must not bring it back. */
static void edit_leaf_once(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_UPDATE && step->stage == 0 && step->level == 1 &&
	    !log->edits) {
		log->edits++;
		*entry(log->f, 0, 1) = 0xabc000 | FS_P | FS_RW | FS_US;
	}
}

static void an_update_that_loses_walks_again(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	log = log_new(&f);
	log->edit = edit_leaf_once;
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_WRITE, 0), 0);
	assert_int_equal(log->edits, 1);
	assert_int_equal(f.r.out, 0xabc000);
	assert_int_equal(f.r.reads, 4); /* of the try that counts */
	assert_int_equal(*entry(&f, 0, 1), 0xabc000 | FS_P | FS_RW | FS_US | FS_A | FS_D);
	free(log);
	fix_free(&f);
}

static void edit_leaf_always(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_UPDATE && step->level == 1) {
		log->edits++;
		*entry(log->f, 0, 1) ^= 0x100000;
	}
}

static void an_update_that_always_loses_is_a_fault(void **state)
{
	static const char *const stacks[] = { "f4", "s4" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct log *log;
		struct fix f;

		fix_init(&f, stacks[i]);
		f.stack.stage[0].flags |= VIOMMU_STAGE_AD;
		log = log_new(&f);
		log->edit = edit_leaf_always;
		assert_int_equal(log_walk(log, addr_of(0), VIOMMU_WRITE, 0), VIOMMU_FAULTED);
		assert_int_equal(f.r.fault.reason, i ? 0x7d : 0x91);
		assert_int_equal(f.r.fault.level, 1);
		assert_in_range(log->edits, 2, 1000);
		free(log);
		fix_free(&f);
	}
}

/* A processor that sets the same bits at the same time is no conflict. */
static void edit_same_bits(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_UPDATE) {
		log->edits++;
		*entry(log->f, 0, step->level) |= FS_A;
	}
}

static void an_update_that_somebody_else_made_is_done(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	log = log_new(&f);
	log->edit = edit_same_bits;
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_WRITE, 0), 0);
	assert_int_equal(log->edits, 4);
	assert_int_equal(log->reads, 4);
	assert_int_equal(*entry(&f, 0, 1) & (FS_A | FS_D), FS_A | FS_D);
	free(log);
	fix_free(&f);
}

static void edit_top_always(struct log *log, const struct viommu_step *step)
{
	if (step->kind == VIOMMU_STEP_READ && step->level == 1) {
		log->edits++;
		*entry(log->f, 0, 4) ^= BIT64(60); /* ignored, but an edit */
	}
}

static void endless_edits_end(void **state)
{
	struct log *log;
	struct fix f;

	(void)state;
	fix_init(&f, "f4");
	log = log_new(&f);
	log->edit = edit_top_always;
	assert_int_equal(log_walk(log, addr_of(0), VIOMMU_READ, 0), 0);
	assert_int_equal(f.r.out, addr_of(1));
	assert_in_range(log->edits, 2, 1000);
	free(log);
	fix_free(&f);
}

/* ---- own stages ------------------------------------------------------------------------------ */

/* Turn the last stage's tables into tables of pointers: the arena is ours then. */
static void own_table(struct fix *f, uint64_t *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; i < 512; i++) {
		uint64_t *next = tables_ptr(&f->t, table[i] & MASK64(51, 12));

		if (!(table[i] & 3) || !next)
			continue;
		table[i] = (table[i] & ~MASK64(51, 12)) | (uint64_t)(uintptr_t)next;
		if (level > 1)
			own_table(f, next, level - 1);
	}
}

static void fix_own(struct fix *f)
{
	struct viommu_stage *last = &f->stack.stage[f->nr - 1];
	uint64_t *root = tables_ptr(&f->t, last->root);

	own_table(f, root, last->levels);
	last->root = (uint64_t)(uintptr_t)root;
	last->flags |= VIOMMU__STAGE_OWN;
	f->stack.haw = 0;
}

/* An own second stage gives what the same tables in a memory give: plain, recorded, faulting. */
static void an_own_second_stage_gives_the_same_with_pointers(void **state)
{
	static const char *const stacks[] = { "s4", "f4s4", "f5s5", "f4s3", "s4s4", "f4s4s4" };
	static const uint32_t accesses[] = { VIOMMU_READ, VIOMMU_WRITE, VIOMMU_ATOMIC,
					     VIOMMU_READ | VIOMMU_PRIV };
	unsigned int k, a, ad, pass;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(stacks); k++) {
		for (a = 0; a < ARRAY_SIZE(accesses); a++) {
			for (ad = 0; ad < 2; ad++) {
				struct viommu_walk_result own;
				struct fix f, g;
				uint64_t data;
				unsigned int last;
				struct log *log;

				fix_init(&f, stacks[k]);
				fix_init(&g, stacks[k]);
				last = f.nr - 1;
				data = tables_page(&f.t);
				assert_int_equal(data, tables_page(&g.t));
				tables_map(&f.stage[last], addr_of(last), data, 12, TABLES_RW);
				tables_map(&g.stage[last], addr_of(last), data, 12, TABLES_RW);
				if (ad) {
					f.stack.stage[last].flags |= VIOMMU_STAGE_AD;
					g.stack.stage[last].flags |= VIOMMU_STAGE_AD;
				}
				fix_own(&g);
				g.stack.mem = NULL;
				assert_int_equal(viommu__walk_check(&g.stack, true), 0);
				log = log_new(&g);
				/* the first pass marks, the second finds all marked */
				for (pass = 0; pass < 3; pass++) {
					int want = fix_walk(&f, addr_of(0) + 8, accesses[a]);

					assert_int_equal(
						viommu__walk(&g.stack, addr_of(0) + 8, accesses[a],
							     0, pass == 2 ? &log->rec : NULL, &own),
						want);
					assert_int_equal(own.reads, f.r.reads);
					assert_int_equal(own.perm, f.r.perm);
					assert_int_equal(own.page_lg2, f.r.page_lg2);
					if (want) {
						assert_int_equal(own.fault.reason,
								 f.r.fault.reason);
						continue;
					}
					assert_ptr_equal(own.host,
							 (uint8_t *)tables_ptr(&g.t, data) + 8);
					assert_int_equal(own.out, (uintptr_t)own.host);
				}
				if (!f.r.fault.reason)
					assert_int_equal(log->reads, own.reads);
				free(log);
				fix_free(&f);
				fix_free(&g);
			}
		}
	}
}

static void an_own_second_stage_faults_alike(void **state)
{
	struct viommu_walk_result r;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	fix_own(&f);
	assert_int_equal(viommu__walk(&f.stack, BIT64(50), VIOMMU_READ, 0, NULL, &r),
			 VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x80);
	assert_int_equal(viommu__walk(&f.stack, 0x5000, VIOMMU_READ, 0, NULL, &r), VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x71);
	assert_int_equal(r.fault.stage, 0);
	f.stack.stage[1].input_bits = 36;
	assert_int_equal(viommu__walk(&f.stack, addr_of(0), VIOMMU_READ, 0, NULL, &r),
			 VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x5b);
	fix_free(&f);
}

static void an_own_first_stage_stays_in_its_memory(void **state)
{
	struct viommu_walk_result r;
	uint64_t page, *root;
	struct fix f;

	(void)state;
	fix_stages(&f, "f4");
	page = tables_page(&f.t);
	tables_map(&f.stage[0], addr_of(0), page, 12, TABLES_RWU);
	fix_stack(&f);
	fix_own(&f);
	assert_int_equal(viommu__walk_check(&f.stack, true), 0);
	assert_int_equal(viommu__walk_check(&f.stack, false), -EINVAL);
	assert_int_equal(viommu__walk(&f.stack, addr_of(0), VIOMMU_READ, 0, NULL, &r), 0);
	assert_ptr_equal(r.host, tables_ptr(&f.t, page));
	/* a table that somebody put elsewhere is not followed */
	root = (uint64_t *)(uintptr_t)f.stack.stage[0].root;
	root[addr_of(0) >> 39 & 511] = 0x1000 | FS_P | FS_RW | FS_US;
	assert_int_equal(viommu__walk(&f.stack, addr_of(0), VIOMMU_READ, 0, NULL, &r),
			 VIOMMU_FAULTED);
	assert_int_equal(r.fault.reason, 0x70);
	fix_free(&f);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void a_stack_that_is_not_well_formed_is_refused(void **state)
{
	struct viommu_stack good;
	struct fix f;

	(void)state;
	fix_init(&f, "f4s4");
	good = f.stack;
	assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ), 0);
#define REFUSED(field, value)                                                     \
	do {                                                                      \
		f.stack = good;                                                   \
		f.stack.field = value;                                            \
		assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ), -EINVAL); \
	} while (0)
	REFUSED(nr, 5);
	REFUSED(haw, 31);
	REFUSED(haw, 53);
	REFUSED(reserved[1], 1);
	REFUSED(mem, NULL);
	REFUSED(stage[0].format, 0);
	REFUSED(stage[1].format, 3);
	REFUSED(stage[0].levels, 3);
	REFUSED(stage[0].levels, 6);
	REFUSED(stage[1].levels, 2);
	REFUSED(stage[1].levels, 6);
	REFUSED(stage[1].input_bits, 49);
	REFUSED(stage[1].input_bits, 12);
	REFUSED(stage[0].haw, 31);
	REFUSED(stage[1].haw, 53);
	REFUSED(stage[0].root, 0x1008);
	REFUSED(stage[0].reserved[0], 1);
	REFUSED(stage[1].reserved[1], 1);
	REFUSED(stage[0].flags, 0x1000);
	REFUSED(stage[1].flags, VIOMMU__STAGE_OWN);
	REFUSED(stage[1].flags, VIOMMU_STAGE_LEGACY | VIOMMU_STAGE_AD);
	f.stack = good;
	assert_int_equal(fix_walk(&f, addr_of(0), 0), -EINVAL);
	assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_PRIV), -EINVAL);
	assert_int_equal(fix_walk(&f, addr_of(0), VIOMMU_READ | 0x80), -EINVAL);
	assert_int_equal(viommu_walk(&f.stack, addr_of(0), VIOMMU_READ, 2, NULL, &f.r), -EINVAL);
	/* own is for the last stage only */
	f.stack.stage[0].flags |= VIOMMU__STAGE_OWN;
	assert_int_equal(viommu__walk_check(&f.stack, true), -EINVAL);
	fix_free(&f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(first_stage_of_4_and_5_levels_translates),
	cmocka_unit_test(output_in_memory_has_a_host_pointer),
	cmocka_unit_test(first_stage_input_must_be_canonical),
	cmocka_unit_test(first_stage_absent_entry_faults_at_its_level),
	cmocka_unit_test(first_stage_reserved_address_bits_fault),
	cmocka_unit_test(first_stage_bit_7_is_reserved_where_no_page_is),
	cmocka_unit_test(first_stage_large_leaves_must_be_aligned_but_for_pat),
	cmocka_unit_test(first_stage_ignored_bits_are_ignored),
	cmocka_unit_test(user_requests_need_user_at_every_level),
	cmocka_unit_test(writes_need_rw_at_every_level),
	cmocka_unit_test(supervisor_requests_need_sre),
	cmocka_unit_test(a_read_sets_accessed_everywhere_and_nothing_else),
	cmocka_unit_test(a_write_sets_dirty_in_the_leaf_alone),
	cmocka_unit_test(extended_accessed_goes_with_accessed_if_asked),
	cmocka_unit_test(write_permission_is_given_only_where_dirty_is_set),
	cmocka_unit_test(a_forbidden_access_marks_no_leaf),
	cmocka_unit_test(an_update_without_snoop_faults),
	cmocka_unit_test(an_update_in_read_only_memory_fails),
	cmocka_unit_test(a_first_stage_table_in_a_hole_faults),
	cmocka_unit_test(second_stage_of_3_to_5_levels_translates),
	cmocka_unit_test(second_stage_absent_entry_faults_at_its_level),
	cmocka_unit_test(second_stage_permissions_are_the_and_of_all_levels),
	cmocka_unit_test(second_stage_reserved_bits_fault),
	cmocka_unit_test(second_stage_large_leaves_need_their_capability),
	cmocka_unit_test(second_stage_ignored_bits_are_ignored),
	cmocka_unit_test(io_permission_bits_stand_in_for_r_and_w),
	cmocka_unit_test(second_stage_marks_only_with_ssade),
	cmocka_unit_test(a_second_stage_table_in_a_hole_faults),
	cmocka_unit_test(legacy_mode_has_its_own_reasons),
	cmocka_unit_test(output_must_not_lie_in_the_interrupt_window),
	cmocka_unit_test(a_first_stage_may_name_the_window_if_a_second_stage_follows),
	cmocka_unit_test(no_stage_passes_through),
	cmocka_unit_test(reads_are_a_power_of_levels),
	cmocka_unit_test(nested_permissions_are_the_and_of_both_stages),
	cmocka_unit_test(nested_page_size_is_the_smaller_one),
	cmocka_unit_test(first_stage_addresses_must_fit_the_second_stage),
	cmocka_unit_test(first_stage_tables_must_be_readable_in_the_second),
	cmocka_unit_test(first_stage_updates_need_w_in_the_second),
	cmocka_unit_test(with_ssade_reads_of_tables_count_as_writes),
	cmocka_unit_test(second_stage_faults_of_table_reads_keep_their_reason),
	cmocka_unit_test(a_first_stage_table_mapped_to_a_hole_is_an_access_error),
	cmocka_unit_test(nested_read_marks_first_stage_tables_exactly),
	cmocka_unit_test(second_stage_snoop_bit_is_reported_through_nesting),
	cmocka_unit_test(in_deeper_stacks_each_pair_nests_alike),
	cmocka_unit_test(updates_need_w_in_every_stage_below),
	cmocka_unit_test(table_reads_dirty_every_stage_that_keeps_bits),
	cmocka_unit_test(a_first_stage_below_sees_table_reads_as_user_writes),
	cmocka_unit_test(a_dry_walk_tells_what_it_would_set_and_sets_nothing),
	cmocka_unit_test(a_recorder_sees_every_step_in_order),
	cmocka_unit_test(depth_counts_the_table_reads_that_a_read_serves),
	cmocka_unit_test(a_result_that_no_state_gave_is_walked_again),
	cmocka_unit_test(marks_set_meanwhile_do_not_restart),
	cmocka_unit_test(an_update_that_loses_walks_again),
	cmocka_unit_test(an_update_that_always_loses_is_a_fault),
	cmocka_unit_test(an_update_that_somebody_else_made_is_done),
	cmocka_unit_test(endless_edits_end),
	cmocka_unit_test(an_own_second_stage_gives_the_same_with_pointers),
	cmocka_unit_test(an_own_second_stage_faults_alike),
	cmocka_unit_test(an_own_first_stage_stays_in_its_memory),
	cmocka_unit_test(a_stack_that_is_not_well_formed_is_refused),
};
TEST_MAIN(tests)
