/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page-table builder of the tests, see tables.h. Entry layouts: VT-d 5.10, first-stage and
 * second-stage paging entries (VTD-FS, VTD-SS). Bit numbers stand here as numbers, not by way of
 * viommu/vtd.h: a wrong constant there must not be wrong on both sides of a test.
 */
#include "lib/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define ADDR UINT64_C(0x000ffffffffff000) /* bits 51:12 */

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "tables: %s\n", what);
	abort();
}

void tables_init(struct tables *t, uint64_t gpa, uint64_t bytes)
{
	int fd = memfd_create("tables", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		die("no memfd");
	*t = (struct tables){ .gpa = gpa, .bytes = bytes, .fd = fd };
	t->host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t->host == MAP_FAILED)
		die("no memory");
}

void tables_over(struct tables *t, void *host, uint64_t gpa, uint64_t bytes, uint64_t used)
{
	*t = (struct tables){ .host = host, .gpa = gpa, .bytes = bytes, .used = used, .fd = -1 };
}

void tables_free(struct tables *t)
{
	if (t->fd < 0)
		return;
	munmap(t->host, t->bytes);
	close(t->fd);
	t->fd = -1;
	t->host = NULL;
}

void tables_reset(struct tables *t)
{
	memset(t->host, 0, t->used);
	t->used = 0;
}

void tables_copy(const struct tables *t, struct tables *copy)
{
	tables_init(copy, t->gpa, t->bytes);
	memcpy(copy->host, t->host, t->used);
	copy->used = t->used;
}

#define SPOILT 0xdb

void tables_spoil(struct tables *t)
{
	if (mprotect(t->host, t->bytes, PROT_READ | PROT_WRITE))
		die("memory cannot be written");
	memset(t->host, SPOILT, t->used);
	if (mprotect(t->host, t->bytes, PROT_READ))
		die("memory cannot be closed");
}

bool tables_spoilt(const struct tables *t)
{
	return t->host[0] == SPOILT && !memcmp(t->host, t->host + 1, t->used - 1);
}

uint64_t tables_page(struct tables *t)
{
	uint64_t phys = t->gpa + t->used;

	if (t->bytes - t->used < PAGE)
		die("arena is full");
	memset(t->host + t->used, 0, PAGE);
	t->used += PAGE;
	return phys;
}

uint64_t tables_left(const struct tables *t)
{
	return (t->bytes - t->used) / PAGE;
}

void *tables_ptr(const struct tables *t, uint64_t phys)
{
	if (phys < t->gpa || phys - t->gpa >= t->bytes)
		return NULL;
	return t->host + (phys - t->gpa);
}

uint64_t tables_entry_make(enum viommu_format format, uint64_t pa, unsigned int page_lg2,
			   uint32_t flags)
{
	uint64_t e = pa & ADDR;

	if (format == VIOMMU_FORMAT_VTD_FS) {
		e |= 1 << 0;                        /* P */
		e |= flags & TABLES_W ? 1 << 1 : 0; /* R/W */
		e |= flags & TABLES_U ? 1 << 2 : 0; /* U/S */
		e |= flags & TABLES_A ? 1 << 5 : 0; /* A */
		e |= flags & TABLES_D ? 1 << 6 : 0; /* D */
	} else {
		e |= flags & TABLES_R ? 1 << 0 : 0; /* R */
		e |= flags & TABLES_W ? 1 << 1 : 0; /* W */
		e |= flags & TABLES_A ? 1 << 8 : 0; /* A */
		e |= flags & TABLES_D ? 1 << 9 : 0; /* D */
	}
	if (page_lg2 > 12)
		e |= 1 << 7; /* PS */
	return e;
}

#define NOWHERE UINT64_MAX

/* The physical address of a table page: through the stages below, by their leaves as they are. */
static uint64_t resolve(struct tables_stage *s, uint64_t addr)
{
	unsigned int level;
	uint64_t *e, low;

	if (!s)
		return addr;
	for (level = s->levels; level >= 1; level--) {
		e = tables_entry(s, addr, level);
		if (!e || !*e)
			return NOWHERE;
		if (level == 1 || *e & 1 << 7) {
			low = (PAGE << 9 * (level - 1)) - 1;
			return resolve(s->below, (*e & ADDR & ~low) | (addr & low));
		}
	}
	return NOWHERE;
}

/* The next address of this stage's window in the space below. */
static uint64_t take(struct tables_stage *s, uint64_t phys)
{
	uint64_t addr = s->next;

	if (addr == TABLES_SAME)
		return phys;
	s->next += PAGE;
	return addr;
}

/* Let addr, an input address of stage s, lead to the page at phys, through s and all below. */
static void expose(struct tables_stage *s, uint64_t addr, uint64_t phys)
{
	uint64_t out = phys;

	if (s->below) {
		out = take(s, phys);
		expose(s->below, out, phys);
	}
	if (tables_map(s, addr, out, 12, s->page_flags))
		die("the address of a table is taken in the stage below");
}

/* A page for a table of stage s: its address in the space below. */
static uint64_t table_page(struct tables_stage *s)
{
	uint64_t phys = tables_page(s->t);
	uint64_t addr;

	if (!s->below)
		return phys;
	addr = take(s, phys);
	expose(s->below, addr, phys);
	return addr;
}

void tables_stage_init(struct tables_stage *s, struct tables *t, struct tables_stage *below,
		       enum viommu_format format, unsigned int levels)
{
	*s = (struct tables_stage){
		.t = t,
		.below = below,
		.format = (uint8_t)format,
		.levels = (uint8_t)levels,
		.root = NOWHERE,
		.next = TABLES_WINDOW,
		.upper = TABLES_RWU,
		.page_flags = TABLES_RWU,
	};
}

uint64_t tables_root(struct tables_stage *s)
{
	if (s->root == NOWHERE)
		s->root = table_page(s);
	return s->root;
}

static uint64_t index_of(uint64_t va, unsigned int level)
{
	return va >> (12 + 9 * (level - 1)) & 511;
}

uint64_t tables_entry_addr(struct tables_stage *s, uint64_t va, unsigned int level)
{
	uint64_t table = tables_root(s);
	uint64_t phys, *e;
	unsigned int l;

	for (l = s->levels; l > level; l--) {
		phys = resolve(s->below, table);
		e = tables_ptr(s->t, phys);
		if (!e)
			return 0;
		e += index_of(va, l);
		if (!*e || (l <= 3 && *e & 1 << 7))
			return 0;
		table = *e & ADDR;
	}
	return table + 8 * index_of(va, level);
}

uint64_t *tables_entry(struct tables_stage *s, uint64_t va, unsigned int level)
{
	uint64_t addr = tables_entry_addr(s, va, level);
	uint64_t phys = addr ? resolve(s->below, addr) : NOWHERE;

	return tables_ptr(s->t, phys);
}

uint64_t tables_entry_set(struct tables_stage *s, uint64_t va, unsigned int level, uint64_t value)
{
	uint64_t *e = tables_entry(s, va, level);
	uint64_t old;

	if (!e)
		die("no such entry");
	old = *e;
	*e = value;
	return old;
}

int tables_map(struct tables_stage *s, uint64_t va, uint64_t pa, unsigned int page_lg2,
	       uint32_t flags)
{
	unsigned int leaf = (page_lg2 - 12) / 9 + 1, level;
	uint64_t *e;

	if (page_lg2 != 12 && page_lg2 != 21 && page_lg2 != 30)
		die("no such page size");
	tables_root(s);
	for (level = s->levels; level > leaf; level--) {
		e = tables_entry(s, va, level);
		if (!e)
			die("a table lies outside the arena");
		if (!*e)
			*e = tables_entry_make(s->format, table_page(s), 0, s->upper);
		else if (level <= 3 && *e & 1 << 7)
			return -EEXIST;
	}
	e = tables_entry(s, va, leaf);
	if (!e)
		die("a table lies outside the arena");
	if (leaf > 1 && *e && !(*e & 1 << 7))
		return -EEXIST;
	pa &= ~((UINT64_C(1) << page_lg2) - 1);
	*e = tables_entry_make(s->format, pa, page_lg2, flags);
	return 0;
}

int tables_map_range(struct tables_stage *s, uint64_t va, uint64_t pa, uint64_t bytes,
		     unsigned int page_lg2, uint32_t flags)
{
	uint64_t done;
	int ret;

	for (done = 0; done < bytes; done += UINT64_C(1) << page_lg2) {
		ret = tables_map(s, va + done, pa + done, page_lg2, flags);
		if (ret)
			return ret;
	}
	return 0;
}

void tables_stage(struct tables_stage *s, unsigned int haw, struct viommu_stage *out)
{
	*out = (struct viommu_stage){
		.format = s->format,
		.levels = s->levels,
		.haw = (uint8_t)haw,
		.input_bits = (uint8_t)(12 + 9 * s->levels),
		.flags = VIOMMU_STAGE_2M | VIOMMU_STAGE_1G | VIOMMU_STAGE_SNOOP,
		.root = tables_root(s),
	};
	if (s->format == VIOMMU_FORMAT_VTD_FS)
		out->flags |= VIOMMU_STAGE_SRE;
}

void tables_stack(struct tables_stage *s, unsigned int haw, struct viommu_mem *mem,
		  struct viommu_stack *out)
{
	*out = (struct viommu_stack){ .haw = (uint8_t)haw, .mem = mem };
	for (; s; s = s->below) {
		if (out->nr == VIOMMU_STACK_MAX)
			die("more stages than a stack has");
		tables_stage(s, haw, &out->stage[out->nr++]);
	}
}
