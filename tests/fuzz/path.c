/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the table path over any memory, unit and request. It must end, touch nothing outside
 * the memory, and say what the plain implementation says.
 *
 * Input: cap, ecap, rtaddr (8 bytes each), ver, haw, request, access (1 each), sid (2), pasid (4),
 * addr (8); then words of the memory: index (2), value (8), until the input ends. All
 * little-endian, as a guest's.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <viommu/path.h>

#include "base/assert.h"
#include "base/bits.h"
#include "pasid/plain.h"

#define PAGES 48
#define BASE  UINT64_C(0x40000000)

/* Most structures that one lookup reads. */
#define MOST_STEPS 4

static uint64_t words[PAGES * 512] __attribute__((aligned(4096)));

struct counter {
	struct viommu_recorder rec;
	unsigned int nr;
};

static void count_step(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct counter *c = container_of(rec, struct counter, rec);

	VIOMMU_ASSERT(step->kind == VIOMMU_STEP_READ && step->name);
	VIOMMU_ASSERT(step->phys >= BASE && step->phys - BASE < sizeof(words));
	c->nr++;
}

void fuzz_one(const uint8_t *data, size_t size)
{
	const struct plain_memory memory = { BASE, sizeof(words), words };
	struct fuzz_input in = { data, size };
	struct counter counter = { .rec.step = count_step };
	struct viommu_path_result got, alone;
	struct viommu_path_request req = { 0 };
	struct viommu_unit unit = { 0 };
	struct plain_answer plain;
	int ret, entry;
	bool valid;

	memset(words, 0, sizeof(words));
	unit.cap = fuzz_u64(&in);
	unit.ecap = fuzz_u64(&in);
	unit.rtaddr = fuzz_u64(&in);
	unit.ver = fuzz_u8(&in);
	unit.haw = fuzz_u8(&in);
	req.request = fuzz_u8(&in);
	req.access = fuzz_u8(&in);
	req.sid = fuzz_u16(&in);
	req.pasid = fuzz_u32(&in);
	req.addr = fuzz_u64(&in);
	while (!fuzz_done(&in)) {
		uint16_t index = fuzz_u16(&in);

		words[index % ARRAY_SIZE(words)] = fuzz_u64(&in);
	}

	VIOMMU_ASSERT(!viommu_mem_new(&unit.mem));
	VIOMMU_ASSERT(!viommu_mem_add_ptr(unit.mem, BASE, sizeof(words), words, 0));
	ret = viommu_path_lookup(&unit, &req, &counter.rec, &got);
	valid = unit.haw >= 32 && unit.haw <= 52 && req.request <= VIOMMU_REQ_PAGE &&
		req.access < 0x40 &&
		(req.pasid == VIOMMU_NO_PASID || req.pasid <= VIOMMU_PASID_MAX);
	VIOMMU_ASSERT((ret != -EINVAL) == valid);
	VIOMMU_ASSERT(counter.nr <= MOST_STEPS);
	if (valid) {
		plain_lookup(&unit, &memory, &req, &plain);
		VIOMMU_ASSERT(plain_agrees(&plain, &req, ret, &got));
	}

	/* The first words as an entry by itself. */
	entry = viommu_path_entry(&unit, words, &alone);
	VIOMMU_ASSERT(entry == -EINVAL || (entry >= 0 && entry <= 0xff));
	VIOMMU_ASSERT(entry || alone.stack.nr <= 2);
	viommu_mem_free(unit.mem);
}

FUZZ_TARGET
