/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table path against the plain implementation of plain.h: random units, requests and tables.
 * Each case starts from tables that work and breaks a few things, so that every code of the path
 * comes up often; how often is counted and asserted.
 *
 * With VIOMMU_CORPUS=DIRECTORY the first case of each code and of each kind of stages is written
 * there as an input of the fuzz target (tests/fuzz/path.c): that is how its corpus was made.
 */
#include <viommu/path.h>
#include <viommu/vtd.h>

#include "base/bits.h"
#include "lib/test.h"
#include "pasid/path.h"
#include "plain.h"

#define PAGES 48
#define BASE  UINT64_C(0x40000000)

static uint64_t words[PAGES * 512] __attribute__((aligned(4096)));

/* Entries that a case wrote, to be wiped after it. */
static struct {
	uint64_t *at;
	unsigned int nr;
} wrote[8];
static unsigned int wrote_nr;

static uint64_t *put(uint64_t gpa, const uint64_t *entry, unsigned int nr)
{
	uint64_t *at;

	if (gpa < BASE || gpa - BASE + nr * 8 > sizeof(words))
		return NULL;
	at = &words[(gpa - BASE) / 8];
	memcpy(at, entry, nr * 8);
	wrote[wrote_nr].at = at;
	wrote[wrote_nr++].nr = nr;
	return at;
}

static void wipe(void)
{
	while (wrote_nr) {
		wrote_nr--;
		memset(wrote[wrote_nr].at, 0, wrote[wrote_nr].nr * 8);
	}
}

/* A page of the memory, seldom one outside it. */
static uint64_t some_page(struct rng *rng, unsigned int pages)
{
	if (rng_one_in(rng, 40))
		return BASE + sizeof(words) + rng_below(rng, 3) * 4096;
	return BASE + rng_below(rng, pages) * 4096;
}

/* One or two bits of an entry. */
static void flip(struct rng *rng, uint64_t *entry, unsigned int nr)
{
	do {
		unsigned int bit = (unsigned int)rng_below(rng, nr * 64);

		entry[bit / 64] ^= BIT64(bit % 64);
	} while (rng_one_in(rng, 4));
}

static const uint64_t cap_bits[] = {
	VTD_MASK(VTD_CAP_ZLR),
	VTD_MASK(VTD_CAP_FS1GP),
	VTD_MASK(VTD_CAP_FS5LP),
	BIT64(9),
	BIT64(10),
	BIT64(11), /* widths of SAGAW */
	BIT64(34),
	BIT64(35), /* SSLPS */
	BIT64(0),
	BIT64(1),
	BIT64(2), /* ND */
};

static const uint64_t ecap_bits[] = {
	VTD_MASK(VTD_ECAP_C),      VTD_MASK(VTD_ECAP_DT),    VTD_MASK(VTD_ECAP_PT),
	VTD_MASK(VTD_ECAP_SC),     VTD_MASK(VTD_ECAP_MTS),   VTD_MASK(VTD_ECAP_NEST),
	VTD_MASK(VTD_ECAP_PRS),    VTD_MASK(VTD_ECAP_ERS),   VTD_MASK(VTD_ECAP_SRS),
	VTD_MASK(VTD_ECAP_EAFS),   VTD_MASK(VTD_ECAP_PASID), VTD_MASK(VTD_ECAP_SMTS),
	VTD_MASK(VTD_ECAP_SSADS),  VTD_MASK(VTD_ECAP_SSTS),  VTD_MASK(VTD_ECAP_FSTS),
	VTD_MASK(VTD_ECAP_SMPWCS), VTD_MASK(VTD_ECAP_RPS),   VTD_MASK(VTD_ECAP_ADMS),
	VTD_MASK(VTD_ECAP_RPRIVS), VTD_MASK(VTD_ECAP_HPTS),  VTD_MASK(VTD_ECAP_PTRS),
	VTD_MASK(VTD_ECAP_SSIRWS),
};

static void random_unit(struct rng *rng, struct viommu_unit *unit)
{
	static const uint8_t haws[] = { 32, 36, 39, 46, 48, 52 };
	size_t i;

	unit->haw = haws[rng_below(rng, ARRAY_SIZE(haws))];
	unit->ver = (uint32_t)rng_below(rng, 256);
	unit->cap = unit->ecap = 0;
	/* Mostly everything. */
	for (i = 0; i < ARRAY_SIZE(cap_bits); i++)
		unit->cap |= rng_one_in(rng, 20) ? 0 : cap_bits[i];
	for (i = 0; i < ARRAY_SIZE(ecap_bits); i++)
		unit->ecap |= rng_one_in(rng, 40) ? 0 : ecap_bits[i];
	VTD_SET(&unit->cap, VTD_CAP_MGAW, rng_range(rng, 38, 57));
	VTD_SET(&unit->ecap, VTD_ECAP_PSS, rng_one_in(rng, 4) ? rng_below(rng, 32) : 19);
	if (rng_one_in(rng, 20))
		unit->cap ^= rng_u64(rng);
	if (rng_one_in(rng, 50))
		unit->ecap ^= rng_u64(rng) & rng_u64(rng) & rng_u64(rng);
	unit->rtaddr = some_page(rng, PAGES);
	if (rng_one_in(rng, 100))
		unit->rtaddr |= rng_u64(rng) & ~UINT64_C(0xfff);
	VTD_SET(&unit->rtaddr, VTD_RTADDR_TTM,
		rng_one_in(rng, 50) ? rng_below(rng, 4) : !rng_one_in(rng, 3));
	VTD_SET(&unit->rtaddr, VTD_RTADDR_SSIRWE,
		VTD_FIELD(unit->rtaddr, VTD_RTADDR_TTM) ? rng_below(rng, 2) : rng_one_in(rng, 60));
}

static void random_request(struct rng *rng, bool scalable, struct viommu_path_request *req)
{
	static const uint32_t accesses[] = {
		VIOMMU_READ,
		VIOMMU_WRITE,
		VIOMMU_READ | VIOMMU_WRITE,
		VIOMMU_READ | VIOMMU_WRITE | VIOMMU_ATOMIC,
		VIOMMU_READ | VIOMMU_ZERO_LENGTH,
		VIOMMU_READ | VIOMMU_EXEC,
	};

	memset(req, 0, sizeof(*req));
	req->sid = (uint16_t)rng_u64(rng);
	req->request = (uint8_t)rng_below(rng, 4);
	if (!scalable && req->request == VIOMMU_REQ_PAGE && !rng_one_in(rng, 20))
		req->request = VIOMMU_REQ_TRANSLATED;
	req->access = accesses[rng_below(rng, ARRAY_SIZE(accesses))];
	if (rng_one_in(rng, 4))
		req->access |= VIOMMU_PRIV;
	if (rng_one_in(rng, 50))
		req->access = (uint32_t)rng_below(rng, 0x40);
	req->pasid = VIOMMU_NO_PASID;
	if (scalable ? rng_one_in(rng, 2) : rng_one_in(rng, 40))
		req->pasid = (uint32_t)(rng_u64(rng) & low_bits((unsigned int)rng_below(rng, 21)));
	switch (rng_below(rng, 16)) {
	case 0:
		req->addr = 0xfee00000 + rng_below(rng, 0x100000);
		break;
	case 1:
		req->addr = 0xfedffff0 + rng_below(rng, 0x10);
		break;
	case 2:
		req->addr = 0xfeefffff + rng_below(rng, 2);
		break;
	case 3:
		req->addr = rng_u64(rng);
		break;
	default:
		req->addr = rng_below(rng, UINT64_C(1) << 33);
		break;
	}
}

static void random_legacy(struct rng *rng, const struct viommu_unit *unit,
			  const struct viommu_path_request *req)
{
	uint64_t root[2] = { some_page(rng, PAGES) | 1, 0 }, ce[2],
		 table = root[0] & ~UINT64_C(0xfff);

	ce[0] = 1 | rng_below(rng, UINT64_C(1) << 20) << 12;
	VTD_SET(ce, VTD_LCE_TT, rng_one_in(rng, 3) ? rng_below(rng, 4) : VTD_TT_SS_ATS);
	VTD_SET(ce, VTD_LCE_FPD, rng_one_in(rng, 4));
	ce[1] = rng_range(rng, 1, 3) | rng_below(rng, 16) << 3 | rng_below(rng, 16) << 8;
	if (rng_one_in(rng, 8))
		VTD_SET(ce, VTD_LCE_AW, rng_below(rng, 8));
	if (rng_one_in(rng, 8))
		VTD_SET(ce, VTD_LCE_DID, rng_u64(rng));
	if (rng_one_in(rng, 10))
		flip(rng, root, 2);
	if (rng_one_in(rng, 8))
		flip(rng, ce, 2);
	if (rng_one_in(rng, 20))
		root[0] &= ~UINT64_C(1);
	if (rng_one_in(rng, 20))
		ce[0] &= ~UINT64_C(1);
	put(table + (req->sid & 0xff) * 16, ce, 2);
	put((unit->rtaddr & ~UINT64_C(0xfff)) + (req->sid >> 8) * 16, root, 2);
}

static void random_scalable(struct rng *rng, const struct viommu_unit *unit,
			    struct viommu_path_request *req)
{
	uint64_t root, ce[4] = { 0 }, dir, pe[8] = { 0 }, ctp, pdtp, table;
	unsigned int pdts = (unsigned int)(rng_one_in(rng, 3) ? rng_below(rng, 8) : 7);
	uint32_t pasid, rid = 0;

	ctp = some_page(rng, PAGES);
	pdtp = some_page(rng, PAGES - 32);
	table = some_page(rng, PAGES);
	root = ctp | 1;

	ce[0] = pdtp | (uint64_t)pdts << 9 | 1;
	VTD_SET(ce, VTD_SCE_FPD, rng_one_in(rng, 6));
	VTD_SET(ce, VTD_SCE_DTE, !rng_one_in(rng, 20) && unit->ecap & VTD_MASK(VTD_ECAP_DT));
	VTD_SET(ce, VTD_SCE_PASIDE, !rng_one_in(rng, 20) && unit->ecap & VTD_MASK(VTD_ECAP_PASID));
	VTD_SET(ce, VTD_SCE_PRE,
		!rng_one_in(rng, 20) && unit->ecap & VTD_MASK(VTD_ECAP_PRS) &&
			(VTD_GET(ce, VTD_SCE_DTE) || rng_one_in(rng, 3)));
	VTD_SET(ce, VTD_SCE_HPTE, rng_one_in(rng, 5) && unit->ecap & VTD_MASK(VTD_ECAP_HPTS));
	VTD_SET(ce, VTD_SCE_EPTR, !rng_one_in(rng, 4) && unit->ecap & VTD_MASK(VTD_ECAP_PTRS));
	if (unit->ecap & VTD_MASK(VTD_ECAP_RPS) && rng_one_in(rng, 2))
		rid = (uint32_t)rng_below(rng, BIT64(pdts + 13));
	if (rng_one_in(rng, 30))
		rid = (uint32_t)rng_below(rng, VIOMMU_PASID_MAX + 1);
	VTD_SET(ce, VTD_SCE_RID_PASID, rid);
	VTD_SET(ce, VTD_SCE_RID_PRIV, rng_one_in(rng, 8) && unit->ecap & VTD_MASK(VTD_ECAP_RPRIVS));
	if (req->pasid != VIOMMU_NO_PASID && rng_one_in(rng, 20))
		req->pasid = rid;
	pasid = req->pasid == VIOMMU_NO_PASID ? rid : req->pasid;

	dir = table | 1 | (uint64_t)rng_one_in(rng, 10) << 1;

	pe[0] = 1 | (uint64_t)rng_one_in(rng, 10) << 1 | rng_below(rng, UINT64_C(1) << 20) << 12;
	VTD_SET(pe, VTD_PE_PGTT, rng_one_in(rng, 15) ? rng_below(rng, 8) : rng_range(rng, 1, 4));
	VTD_SET(pe, VTD_PE_AW, rng_one_in(rng, 10) ? rng_below(rng, 8) : rng_range(rng, 1, 3));
	VTD_SET(pe, VTD_PE_DID, rng_one_in(rng, 10) ? rng_u64(rng) : rng_below(rng, 16));
	VTD_SET(pe, VTD_PE_FSPM, rng_one_in(rng, 20) ? rng_below(rng, 4) : rng_below(rng, 2));
	VTD_SET(pe, VTD_PE_FSPTPTR, rng_below(rng, UINT64_C(1) << 20));
	if (rng_one_in(rng, 20))
		VTD_SET(pe, VTD_PE_FSPTPTR, BIT64(rng_below(rng, 52)));
	if (rng_one_in(rng, 20))
		VTD_SET(pe, VTD_PE_SSPTPTR, BIT64(rng_below(rng, 52)));
	VTD_SET(pe, VTD_PE_SRE, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_SRS));
	VTD_SET(pe, VTD_PE_WPE, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_SRS));
	VTD_SET(pe, VTD_PE_EAFE, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_EAFS));
	VTD_SET(pe, VTD_PE_PWSNP, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_SMPWCS));
	VTD_SET(pe, VTD_PE_PGSNP, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_SC));
	VTD_SET(pe, VTD_PE_SSADE, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_SSADS));
	VTD_SET(pe, VTD_PE_EMTE, rng_below(rng, 2) && unit->ecap & VTD_MASK(VTD_ECAP_MTS));

	if (rng_one_in(rng, 20))
		flip(rng, &root, 1);
	if (rng_one_in(rng, 15))
		flip(rng, ce, 4);
	if (rng_one_in(rng, 15))
		flip(rng, &dir, 1);
	if (rng_one_in(rng, 10))
		flip(rng, pe, 8);
	if (rng_one_in(rng, 40))
		root &= ~UINT64_C(1);
	if (rng_one_in(rng, 40))
		ce[0] &= ~UINT64_C(1);
	if (rng_one_in(rng, 30))
		dir &= ~UINT64_C(1);
	if (rng_one_in(rng, 30))
		pe[0] &= ~UINT64_C(1);
	/* Later ones win where pages coincide: the entries that are met first are right. */
	put(table + pasid % 64 * 64, pe, 8);
	put(pdtp + pasid / 64 * 8, &dir, 1);
	put(ctp + (req->sid & 0x7f) * 32, ce, 4);
	put((unit->rtaddr & ~UINT64_C(0xfff)) + (req->sid >> 8) * 16 + (req->sid & 0x80 ? 8 : 0),
	    &root, 1);
}

/* Codes of the path, which must all come up; 0 is success. */
static const uint8_t codes[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x08, 0x09, 0x0a, 0x0b, 0x0d, 0x0e, 0x29, 0x30, 0x31, 0x32,
	0x33, 0x34, 0x38, 0x39, 0x3a, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
	0x50, 0x51, 0x52, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x83, 0x87, 0x89, 0xa2,
};

static void corpus_put(FILE *f, uint64_t v, int bytes)
{
	while (bytes--) {
		fputc((int)(v & 0xff), f);
		v >>= 8;
	}
}

static void corpus_write(const char *directory, const struct viommu_unit *unit,
			 const struct viommu_path_request *req, const struct plain_answer *plain)
{
	unsigned int i, k;
	char name[4096];
	FILE *f;

	if (plain->reason)
		snprintf(name, sizeof(name), "%s/%02xh", directory, (unsigned int)plain->reason);
	else
		snprintf(name, sizeof(name), "%s/%s-pgtt%d-request%u", directory,
			 plain->legacy ? "legacy" : "scalable", plain->pgtt, req->request);
	f = fopen(name, "wbx");
	if (!f)
		return;
	corpus_put(f, unit->cap, 8);
	corpus_put(f, unit->ecap, 8);
	corpus_put(f, unit->rtaddr, 8);
	corpus_put(f, unit->ver, 1);
	corpus_put(f, unit->haw, 1);
	corpus_put(f, req->request, 1);
	corpus_put(f, req->access, 1);
	corpus_put(f, req->sid, 2);
	corpus_put(f, req->pasid, 4);
	corpus_put(f, req->addr, 8);
	for (i = 0; i < wrote_nr; i++) {
		for (k = 0; k < wrote[i].nr; k++) {
			if (!wrote[i].at[k])
				continue;
			corpus_put(f, (uint64_t)(wrote[i].at + k - words), 2);
			corpus_put(f, wrote[i].at[k], 8);
		}
	}
	fclose(f);
}

struct shapes {
	uint64_t pgtt[2][5]; /* legacy or not, PGTT */
	uint64_t interrupt;
	uint64_t zero_read;
	uint64_t silent;
	uint64_t by_request[4];
};

static void disagree(const struct viommu_unit *u, const struct viommu_path_request *r,
		     const struct plain_answer *plain, int ret,
		     const struct viommu_path_result *got)
{
	print_error("cap %016llx ecap %016llx rtaddr %016llx ver %02x haw %u\n",
		    (unsigned long long)u->cap, (unsigned long long)u->ecap,
		    (unsigned long long)u->rtaddr, u->ver, u->haw);
	print_error("sid %04x request %u pasid %x access %x addr %016llx\n", r->sid, r->request,
		    r->pasid, r->access, (unsigned long long)r->addr);
	print_error("plain: reason %02x pgtt %d did %d pasid %x nr %d fpd %d\n", plain->reason,
		    plain->pgtt, plain->did, plain->pasid, plain->nr, plain->fpd);
	print_error("path: %d reason %02x pgtt %d did %d pasid %x nr %u fpd %d\n", ret,
		    got->fault.reason, got->pgtt, got->did, got->pasid, got->stack.nr, got->fpd);
	fail();
}

static void path_agrees_with_the_plain_implementation(void **state)
{
	uint64_t cases = test_scale(1500000), i, seen[256] = { 0 };
	const struct plain_memory memory = { BASE, sizeof(words), words };
	struct shapes shapes = { 0 };
	const char *corpus = getenv("VIOMMU_CORPUS");
	struct viommu_unit unit = { 0 };
	struct rng rng;
	unsigned int k;

	(void)state;
	rng_init(&rng, "path");
	assert_int_equal(viommu_mem_new(&unit.mem), 0);
	assert_int_equal(viommu_mem_add_ptr(unit.mem, BASE, sizeof(words), words, 0), 0);
	for (i = 0; i < cases; i++) {
		struct viommu_path_request req;
		struct viommu_path_result got, alone;
		struct plain_answer plain;
		bool scalable;
		int ret;

		random_unit(&rng, &unit);
		scalable = VTD_FIELD(unit.rtaddr, VTD_RTADDR_TTM) != VTD_TTM_LEGACY;
		random_request(&rng, scalable, &req);
		if (scalable)
			random_scalable(&rng, &unit, &req);
		else
			random_legacy(&rng, &unit, &req);

		plain_lookup(&unit, &memory, &req, &plain);
		ret = viommu_path_lookup(&unit, &req, NULL, &got);
		if (!plain_agrees(&plain, &req, ret, &got))
			disagree(&unit, &req, &plain, ret, &got);
		/* The entry by itself says the same as the path. */
		if (!ret && got.stack.nr && !got.legacy) {
			assert_int_equal(viommu_path_entry(&unit, got.pe, &alone), 0);
			assert_memory_equal(&alone.stack, &got.stack, sizeof(got.stack));
		} else if (ret && got.fault.reason >= VTD_FR_PE_NP &&
			   got.fault.reason <= VTD_FR_PE_INVALID) {
			assert_int_equal(viommu_path_entry(&unit, got.pe, &alone),
					 got.fault.reason);
		}

		if (corpus)
			corpus_write(corpus, &unit, &req, &plain);
		seen[plain.reason]++;
		shapes.by_request[req.request] += !plain.reason;
		shapes.silent += plain.silent;
		shapes.interrupt += plain.interrupt;
		shapes.zero_read += plain.zero_read;
		if (!plain.reason)
			shapes.pgtt[plain.legacy][plain.pgtt]++;
		wipe();
	}
	viommu_mem_free(unit.mem);

	for (k = 0; k < ARRAY_SIZE(codes); k++)
		print_message("# %02xh %llu\n", codes[k], (unsigned long long)seen[codes[k]]);
	for (k = 0; k < 256; k++)
		if (seen[k] && !memchr(codes, (int)k, sizeof(codes)))
			fail_msg("code %02xh is not on the list", k);
	if (cases < 1500000)
		return;
	for (k = 0; k < ARRAY_SIZE(codes); k++)
		if (seen[codes[k]] < 1000)
			fail_msg("code %02xh came up %llu times only", codes[k],
				 (unsigned long long)seen[codes[k]]);
	for (k = VTD_PGTT_FS; k <= VTD_PGTT_PT; k++)
		assert_true(shapes.pgtt[0][k] >= 1000);
	assert_true(shapes.pgtt[1][VTD_PGTT_SS] >= 1000 && shapes.pgtt[1][VTD_PGTT_PT] >= 1000);
	for (k = 0; k < 4; k++)
		assert_true(shapes.by_request[k] >= 1000);
	assert_true(shapes.interrupt >= 1000 && shapes.zero_read >= 1000 && shapes.silent >= 1000);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(path_agrees_with_the_plain_implementation),
};
TEST_MAIN(tests)
