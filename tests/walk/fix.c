/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fixture of the walker's unit tests, see fix.h. Bit numbers and fault reasons stand in the
 * tests as numbers, not by way of viommu/vtd.h.
 */
#include "walk/fix.h"

void fix_memory(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	tables_init(&f->t, GPA, PAGES << 12);
	assert_int_equal(viommu_mem_new(&f->mem), 0);
	assert_int_equal(tables_add_to(&f->t, f->mem), 0);
}

void fix_stages(struct fix *f, const char *stages)
{
	unsigned int i;

	fix_memory(f);
	f->nr = (unsigned int)(strlen(stages) / 2);
	for (i = f->nr; i-- > 0;)
		tables_stage_init(&f->stage[i], &f->t, i + 1 < f->nr ? &f->stage[i + 1] : NULL,
				  stages[2 * i] == 'f' ? FS : SS,
				  (unsigned int)(stages[2 * i + 1] - '0'));
}

void fix_stack(struct fix *f)
{
	unsigned int i;

	tables_stack(&f->stage[0], 48, f->mem, &f->stack);
	for (i = 0; i < f->nr; i++)
		f->stack.stage[i].flags &= ~VIOMMU_STAGE_SRE;
}

void fix_init(struct fix *f, const char *stages)
{
	unsigned int i;

	fix_stages(f, stages);
	for (i = f->nr; i-- > 0;)
		assert_int_equal(
			tables_map(&f->stage[i], fix_addr(i), fix_addr(i + 1), 12, TABLES_RWU), 0);
	fix_stack(f);
}

void fix_free(struct fix *f)
{
	free(f->before);
	viommu_mem_free(f->mem);
	tables_free(&f->t);
}

int fix_walk(struct fix *f, uint64_t addr, uint32_t access)
{
	memset(&f->r, 0xa5, sizeof(f->r));
	return viommu_walk(&f->stack, addr, access, 0, NULL, &f->r);
}

void fix_ok(struct fix *f, uint64_t addr, uint32_t access, uint64_t out)
{
	int r = fix_walk(f, addr, access);

	if (r)
		print_error("reason %02x stage %u level %u\n", f->r.fault.reason, f->r.fault.stage,
			    f->r.fault.level);
	assert_int_equal(r, 0);
	assert_int_equal(f->r.out, out);
}

void fix_fault(struct fix *f, uint64_t addr, uint32_t access, uint8_t reason, unsigned int stage,
	       unsigned int level, uint64_t stage_addr, uint64_t entry_addr, uint64_t entry)
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

void fix_fault_at(struct fix *f, uint32_t access, uint8_t reason, unsigned int stage,
		  unsigned int level)
{
	uint64_t *e = tables_entry(&f->stage[stage], fix_addr(stage), level);

	fix_fault(f, fix_addr(0), access, reason, stage, level, fix_addr(stage),
		  tables_entry_addr(&f->stage[stage], fix_addr(stage), level), e ? *e : 0);
}

uint64_t *fix_entry(struct fix *f, unsigned int stage, unsigned int level)
{
	return tables_entry(&f->stage[stage], fix_addr(stage), level);
}

void fix_remember(struct fix *f)
{
	free(f->before);
	f->before = malloc(PAGES << 12);
	assert_non_null(f->before);
	memcpy(f->before, f->t.host, PAGES << 12);
}

unsigned int fix_changes(const struct fix *f)
{
	const uint64_t *now = (const uint64_t *)f->t.host, *then = (const uint64_t *)f->before;
	unsigned int i, bits = 0;

	for (i = 0; i < PAGES * 512; i++)
		bits += (unsigned int)__builtin_popcountll(now[i] ^ then[i]);
	return bits;
}

uint64_t *fix_leaf_below(struct fix *f, unsigned int i, unsigned int level)
{
	return tables_entry(&f->stage[i + 1], tables_entry_addr(&f->stage[i], fix_addr(i), level),
			    1);
}

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

struct log *log_new(struct fix *f)
{
	struct log *log = calloc(1, sizeof(*log));

	assert_non_null(log);
	log->rec.step = log_step;
	log->f = f;
	return log;
}

int log_walk(struct log *log, uint64_t addr, uint32_t access, uint32_t flags)
{
	log->nr = log->reads = log->updates = log->outputs = log->edits = 0;
	return viommu_walk(&log->f->stack, addr, access, flags, &log->rec, &log->f->r);
}
