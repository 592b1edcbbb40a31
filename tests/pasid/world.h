/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small guest memory with the tables of one request in it, for tests of the table path. Guest
 * addresses are the addresses of this process ("low" worlds apart), so that the same tables can be
 * read as a guest's and as our own.
 */
#ifndef VIOMMU_TEST_PASID_WORLD_H
#define VIOMMU_TEST_PASID_WORLD_H

#include <viommu/path.h>
#include <viommu/vtd.h>

#include "base/bits.h"
#include "lib/test.h"
#include "pasid/path.h"

/*
 * Capabilities that Linux 7.3 booted with: a host that nests, and a guest's unit with a first stage
 * alone (its RID entry has AW 3 all the same).
 */
#define CAP_HOST   UINT64_C(0xd1d2078c226f0406)
#define ECAP_HOST  UINT64_C(0x0403ed9ea4000fc7)
#define CAP_GUEST  UINT64_C(0xd1d2078022780006)
#define ECAP_GUEST UINT64_C(0x04038d9a20000fc7)

#define WORLD_PAGES 64
#define WORLD_BYTES (WORLD_PAGES * 4096)
#define WORLD_LOW   UINT64_C(0x200000)
#define WORLD_SID   0x0128 /* bus 1, device 5, function 0 */

/* Pages of the tables. The directory may be as large as it gets. */
enum {
	ROOT_PAGE = 0,
	CONTEXT_PAGE = 1,
	TABLE_PAGE = 2,
	DIR_PAGE = 4
};

struct world {
	struct viommu_mem *mem;
	uint64_t *words; /* the memory */
	uint64_t base;   /* its guest address */
	struct viommu_unit unit;
	struct viommu_path_request req;
	struct viommu_path_result out;
	/* The entries that the request meets. */
	uint64_t *root; /* both halves */
	uint64_t *ce;
	uint64_t *dir;
	uint64_t *pe;
};

static inline uint64_t *world_page(struct world *w, unsigned int page)
{
	return w->words + page * 512;
}

static inline uint64_t world_gpa(struct world *w, unsigned int page)
{
	return w->base + page * UINT64_C(4096);
}

static inline void world_open(struct world *w, bool low)
{
	memset(w, 0, sizeof(*w));
	w->words = aligned_alloc(4096, WORLD_BYTES);
	assert_non_null(w->words);
	memset(w->words, 0, WORLD_BYTES);
	w->base = low ? WORLD_LOW : (uintptr_t)w->words;
	assert_int_equal(viommu_mem_new(&w->mem), 0);
	assert_int_equal(viommu_mem_add_ptr(w->mem, w->base, WORLD_BYTES, w->words, 0), 0);
	w->unit = (struct viommu_unit){
		.cap = CAP_HOST, .ecap = ECAP_HOST, .ver = 0x60, .haw = 48, .mem = w->mem
	};
	w->req = (struct viommu_path_request){
		.sid = WORLD_SID, .pasid = VIOMMU_NO_PASID, .access = VIOMMU_READ, .addr = 0x1000
	};
}

static inline void world_close(struct world *w)
{
	viommu_mem_free(w->mem);
	free(w->words);
}

/* Say where the entries of w->req are, after a change of sid or PASID. */
static inline void world_find(struct world *w, uint32_t pasid)
{
	unsigned int devfn = w->req.sid & 0xff;

	w->root = world_page(w, ROOT_PAGE) + (w->req.sid >> 8) * 2;
	w->ce = world_page(w, CONTEXT_PAGE) +
		(w->unit.rtaddr & VTD_MASK(VTD_RTADDR_TTM) ? (devfn & 0x7f) * 4 : devfn * 2u);
	w->dir = world_page(w, DIR_PAGE) + (pasid >> 6);
	w->pe = world_page(w, TABLE_PAGE) + (pasid & 63) * 8;
}

/* PASID entries that Linux 7.3 wrote on that host: its parent domain, and PASID 5 nested on it. */
static inline void world_pe_ss(struct world *w)
{
	memset(w->pe, 0, 64);
	w->pe[0] = 0x9b5089;
	w->pe[1] = 0x800002;
}

static inline void world_pe_nested(struct world *w)
{
	memset(w->pe, 0, 64);
	w->pe[0] = 0x9b50c9;
	w->pe[1] = 0x1800003;
	w->pe[2] = 0x100000;
}

static inline void world_pe_fs(struct world *w)
{
	memset(w->pe, 0, 64);
	w->pe[0] = 0x49; /* AW 2, PGTT 1 */
	w->pe[1] = 0x800001;
	w->pe[2] = 0x345000;
}

static inline void world_pe_pt(struct world *w)
{
	memset(w->pe, 0, 64);
	w->pe[0] = 0x109; /* AW 2, PGTT 4 */
	w->pe[1] = 0x800001;
}

/* Scalable mode as Linux sets it up: DTE, PASIDE, PRE, a directory for 20 bits; PASID 0 and 5. */
static inline void world_scalable(struct world *w, bool low)
{
	world_open(w, low);
	w->unit.rtaddr = world_gpa(w, ROOT_PAGE) | 0x400;
	world_find(w, 0);
	w->root[0] = world_gpa(w, CONTEXT_PAGE) | 1;
	w->ce[0] = world_gpa(w, DIR_PAGE) | 7 << 9 | 0x1d;
	w->dir[0] = world_gpa(w, TABLE_PAGE) | 1;
	world_pe_ss(w);
	world_find(w, 5);
	world_pe_nested(w);
	w->req.pasid = 5;
}

/* Legacy mode: TT 1 (second stage, ATS), AW 2, domain 7. */
static inline void world_legacy(struct world *w, bool low)
{
	world_open(w, low);
	w->unit.rtaddr = world_gpa(w, ROOT_PAGE);
	world_find(w, 0);
	w->root[0] = world_gpa(w, CONTEXT_PAGE) | 1;
	w->ce[0] = 0x9b5000 | 1 << 2 | 1;
	w->ce[1] = 7 << 8 | 2;
}

/* Look w->req up; in a world whose addresses are pointers also by the reader of our own tables. */
static inline int world_look_up(struct world *w)
{
	int ret = viommu_path_lookup(&w->unit, &w->req, NULL, &w->out);

	return ret;
}

static inline void world_passes(struct world *w)
{
	struct viommu_path_result own;
	int ret = world_look_up(w);

	if (ret == VIOMMU_FAULTED)
		fail_msg("fault %02xh instead of stages", w->out.fault.reason);
	assert_int_equal(ret, 0);
	assert_int_equal(w->out.fault.reason, 0);
	if (w->base == (uintptr_t)w->words) {
		assert_int_equal(viommu__path_lookup_own(&w->unit, &w->req, NULL, &own), 0);
		assert_memory_equal(&own, &w->out, sizeof(own));
	}
}

/* The fault is `reason`, about entry (NULL: none), and would be recorded. */
static inline void world_faults(struct world *w, int reason, const uint64_t *entry)
{
	const struct viommu_fault *f = &w->out.fault;
	struct viommu_path_result own;
	int ret = world_look_up(w);

	assert_int_equal(ret, VIOMMU_FAULTED);
	assert_int_equal(f->reason, reason);
	assert_int_equal(f->stage, VIOMMU_STAGE_PATH);
	assert_int_equal(f->level, 0);
	assert_int_equal(f->sid, w->req.sid);
	assert_int_equal(f->access, w->req.access);
	assert_int_equal(f->request, w->req.request);
	assert_int_equal(f->pasid, w->out.pasid);
	assert_int_equal(f->flags, w->req.pasid == VIOMMU_NO_PASID ? 0 : VIOMMU_FAULT_HAS_PASID);
	assert_true(f->addr == w->req.addr);
	if (entry) {
		assert_true(f->entry_addr ==
			    w->base + (uint64_t)((const char *)entry - (const char *)w->words));
		assert_true(f->entry == *entry);
	} else {
		assert_true(f->entry == 0);
	}
	assert_int_equal(w->out.stack.nr, 0);
	/* What it would get is something that the specification lists for this kind of request. */
	assert_int_not_equal(viommu_fault_outcome((unsigned int)reason, w->req.request),
			     VTD_OUT_NONE);
	if (w->base == (uintptr_t)w->words && (entry || !f->entry_addr)) {
		assert_int_equal(viommu__path_lookup_own(&w->unit, &w->req, NULL, &own),
				 VIOMMU_FAULTED);
		assert_memory_equal(&own, &w->out, sizeof(own));
	}
}

#endif /* VIOMMU_TEST_PASID_WORLD_H */
