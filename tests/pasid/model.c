/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PASID allocator against a model that is nothing but arrays: random operations of a few
 * owners, right and wrong ones, on small ranges (where everything collides) and on the whole range.
 */
#include "base/alloc.h"
#include "base/bits.h"
#include "lib/test.h"
#include <viommu/pasid.h>

#define OWNERS  3
#define IDS     (VIOMMU_PASID_MAX + 1)
#define NOBODY  0xff
#define NOTHING VIOMMU_NO_PASID

struct model {
	uint32_t min, max;
	uint32_t quota[OWNERS];
	uint32_t count[OWNERS];
	uint8_t owner[IDS]; /* of a host PASID */
	uint32_t refs[IDS];
	bool held[IDS];           /* made by hold */
	uint32_t gp[IDS];         /* of a host PASID */
	uint32_t hp[OWNERS][IDS]; /* of a guest PASID */
};

static struct model m;

static void model_reset(uint32_t min, uint32_t max)
{
	memset(&m, 0, sizeof(m));
	memset(m.owner, NOBODY, sizeof(m.owner));
	memset(m.gp, 0xff, sizeof(m.gp));
	memset(m.hp, 0xff, sizeof(m.hp));
	m.min = min;
	m.max = max;
}

static void model_take(unsigned int o, uint32_t id)
{
	m.owner[id] = (uint8_t)o;
	m.refs[id] = 1;
	m.held[id] = false;
	m.count[o]++;
}

static int model_alloc(unsigned int o, uint32_t min, uint32_t max, uint32_t *out)
{
	uint32_t id;

	*out = NOTHING;
	if (min > max)
		return -EINVAL;
	if (max < m.min || min > m.max)
		return -ENOSPC;
	if (m.quota[o] && m.count[o] >= m.quota[o])
		return -EDQUOT;
	for (id = min > m.min ? min : m.min; id <= max && id <= m.max; id++) {
		if (m.owner[id] == NOBODY) {
			model_take(o, id);
			*out = id;
			return 0;
		}
	}
	return -ENOSPC;
}

static int model_reserve(unsigned int o, uint32_t id)
{
	if (id < m.min || id > m.max)
		return -EINVAL;
	if (m.owner[id] != NOBODY)
		return -EEXIST;
	if (m.quota[o] && m.count[o] >= m.quota[o])
		return -EDQUOT;
	model_take(o, id);
	return 0;
}

static int model_holds(unsigned int o, uint32_t id)
{
	if (id >= IDS || m.owner[id] == NOBODY)
		return -ENOENT;
	return m.owner[id] == o ? 0 : -EPERM;
}

static int model_free(unsigned int o, uint32_t id)
{
	int ret = model_holds(o, id);

	if (ret)
		return ret;
	if (m.refs[id] > 1 || m.gp[id] != NOTHING || m.held[id])
		return -EBUSY;
	m.owner[id] = NOBODY;
	m.count[o]--;
	return 0;
}

static int model_hold(unsigned int o, uint32_t id)
{
	int ret;

	if (id >= m.min && id <= m.max && m.owner[id] == o) {
		m.refs[id]++;
		return 0;
	}
	ret = model_reserve(o, id);
	if (!ret)
		m.held[id] = true;
	return ret;
}

/* put and release alike. */
static int model_drop(unsigned int o, uint32_t id)
{
	int ret = model_holds(o, id);

	if (ret)
		return ret;
	if (m.refs[id] > 1) {
		m.refs[id]--;
		return 0;
	}
	if (!m.held[id])
		return -EBUSY;
	if (m.gp[id] != NOTHING)
		m.hp[o][m.gp[id]] = NOTHING;
	m.gp[id] = NOTHING;
	m.owner[id] = NOBODY;
	m.count[o]--;
	return 0;
}

static int model_map(unsigned int o, uint32_t gp, uint32_t hp)
{
	int ret;

	if (gp >= IDS)
		return -EINVAL;
	ret = model_holds(o, hp);
	if (ret)
		return ret;
	if (m.hp[o][gp] == hp)
		return 0;
	if (m.hp[o][gp] != NOTHING || m.gp[hp] != NOTHING)
		return -EEXIST;
	m.hp[o][gp] = hp;
	m.gp[hp] = gp;
	return 0;
}

static int model_unmap(unsigned int o, uint32_t gp)
{
	if (gp >= IDS || m.hp[o][gp] == NOTHING)
		return -ENOENT;
	m.gp[m.hp[o][gp]] = NOTHING;
	m.hp[o][gp] = NOTHING;
	return 0;
}

static int model_owner_free(unsigned int o)
{
	uint32_t id;

	for (id = 0; id < IDS; id++)
		if (m.owner[id] == o && m.refs[id] > 1)
			return -EBUSY;
	for (id = 0; id < IDS; id++) {
		if (m.owner[id] == o) {
			m.owner[id] = NOBODY;
			m.gp[id] = NOTHING;
		}
		m.hp[o][id] = NOTHING;
	}
	m.count[o] = 0;
	return 0;
}

/* Counts how often each operation ended how. */
static uint64_t seen[12][200];

static void same(unsigned int op, int got, int want)
{
	assert_int_equal(got, want);
	seen[op][-got]++;
}

static uint32_t some_id(struct rng *rng, bool small)
{
	switch (rng_below(rng, 40)) {
	case 0:
		return 0;
	case 1:
		return VIOMMU_PASID_MAX;
	case 2:
		return VIOMMU_PASID_MAX + 1;
	case 3:
		return UINT32_MAX;
	case 4:
	case 5:
		return (uint32_t)rng_below(rng, IDS);
	default:
		/* Close by, and with holes as wide as a chunk. */
		return small ? (uint32_t)rng_below(rng, 150)
			     : (uint32_t)(rng_below(rng, 8) * 8192 * 16 + rng_below(rng, 90));
	}
}

static void drop_references(struct viommu_owner *owner, unsigned int o)
{
	uint32_t id;

	for (id = 0; id < IDS; id++) {
		while (m.owner[id] == o && m.refs[id] > 1) {
			viommu_pasid_put(owner, (struct viommu_hp){ id });
			m.refs[id]--;
		}
	}
}

static void random_ops(struct rng *rng, uint32_t min, uint32_t max, bool small, uint64_t steps)
{
	long live = viommu__alloc_live();
	struct viommu_owner *owner[OWNERS];
	struct viommu_pasids *pasids;
	uint32_t a, b, out;
	unsigned int o;
	uint64_t i;
	int ret;

	model_reset(min, max);
	assert_int_equal(viommu_pasids_new(min, max, &pasids), 0);
	for (o = 0; o < OWNERS; o++) {
		m.quota[o] = o == 2 ? 20 : 0;
		assert_int_equal(viommu_owner_new(pasids, m.quota[o], &owner[o]), 0);
	}
	for (i = 0; i < steps; i++) {
		struct viommu_gp gp;
		struct viommu_hp hp;
		unsigned int op = (unsigned int)rng_below(rng, 12);

		o = (unsigned int)rng_below(rng, OWNERS);
		a = some_id(rng, small);
		b = some_id(rng, small);
		switch (op) {
		case 0:
			if (rng_one_in(rng, 2)) {
				a = 1;
				b = VIOMMU_PASID_MAX;
			}
			same(op, viommu_pasid_alloc(owner[o], a, b, &hp),
			     model_alloc(o, a, b, &out));
			assert_int_equal(hp.v, out);
			break;
		case 1:
			hp.v = a;
			same(op, viommu_pasid_reserve(owner[o], hp), model_reserve(o, a));
			break;
		case 2:
			hp.v = a;
			same(op, viommu_pasid_free(owner[o], hp), model_free(o, a));
			break;
		case 3:
			hp.v = a;
			same(op, viommu_pasid_get(owner[o], hp), model_holds(o, a));
			if (!model_holds(o, a))
				m.refs[a]++;
			break;
		case 4:
			hp.v = a;
			if (!model_holds(o, a) && (m.refs[a] > 1 || m.held[a])) {
				viommu_pasid_put(owner[o], hp);
				assert_int_equal(model_drop(o, a), 0);
			}
			break;
		case 10:
			hp.v = a;
			same(op, viommu_pasid_hold(owner[o], hp), model_hold(o, a));
			break;
		case 11:
			hp.v = a;
			same(op, viommu_pasid_release(owner[o], hp), model_drop(o, a));
			break;
		case 5:
			gp.v = a;
			hp.v = b;
			same(op, viommu_pasid_map(owner[o], gp, hp), model_map(o, a, b));
			break;
		case 6:
			gp.v = a;
			same(op, viommu_pasid_unmap(owner[o], gp), model_unmap(o, a));
			break;
		case 7:
			gp.v = a;
			out = a < IDS ? m.hp[o][a] : NOTHING;
			same(op, viommu_pasid_to_host(owner[o], gp, &hp),
			     out == NOTHING ? -ENOENT : 0);
			assert_int_equal(hp.v, out);
			break;
		case 8:
			hp.v = a;
			out = model_holds(o, a) ? NOTHING : m.gp[a];
			same(op, viommu_pasid_to_guest(owner[o], hp, &gp),
			     out == NOTHING ? -ENOENT : 0);
			assert_int_equal(gp.v, out);
			break;
		default:
			assert_int_equal(viommu_owner_count(owner[o]), m.count[o]);
			/* Seldom: it looks at every id of the model. */
			if (!rng_one_in(rng, 300))
				break;
			same(op, viommu_owner_free(owner[o]), ret = model_owner_free(o));
			if (ret) {
				drop_references(owner[o], o);
				same(op, viommu_owner_free(owner[o]), model_owner_free(o));
			}
			assert_int_equal(viommu_owner_new(pasids, m.quota[o], &owner[o]), 0);
			break;
		}
	}
	for (o = 0; o < OWNERS; o++) {
		drop_references(owner[o], o);
		assert_int_equal(viommu_owner_free(owner[o]), 0);
	}
	viommu_pasids_free(pasids);
	assert_int_equal(viommu__alloc_live(), live);
}

/* Operations by the number that random_ops() draws, and how each may end. */
static const struct {
	unsigned int op;
	const char *name;
	int errs[6];
} endings[] = {
	{ 0, "alloc", { 0, EINVAL, ENOSPC, EDQUOT, -1 } },
	{ 1, "reserve", { 0, EINVAL, EEXIST, EDQUOT, -1 } },
	{ 2, "free", { 0, ENOENT, EPERM, EBUSY, -1 } },
	{ 3, "get", { 0, ENOENT, EPERM, -1 } },
	{ 5, "map", { 0, EINVAL, ENOENT, EPERM, EEXIST, -1 } },
	{ 6, "unmap", { 0, ENOENT, -1 } },
	{ 7, "to_host", { 0, ENOENT, -1 } },
	{ 8, "to_guest", { 0, ENOENT, -1 } },
	{ 9, "owner_free", { 0, EBUSY, -1 } },
	{ 10, "hold", { 0, EINVAL, EEXIST, EDQUOT, -1 } },
	{ 11, "release", { 0, ENOENT, EPERM, EBUSY, -1 } },
};

static void allocator_agrees_with_plain_arrays(void **state)
{
	uint64_t steps = test_scale(150000);
	struct rng rng;
	size_t i, k;

	(void)state;
	memset(seen, 0, sizeof(seen));
	rng_init(&rng, "model");
	random_ops(&rng, 1, VIOMMU_PASID_MAX, false, steps);
	random_ops(&rng, 1, VIOMMU_PASID_MAX, true, steps);
	random_ops(&rng, 3, 130, true, steps);
	random_ops(&rng, 64, 127, true, steps);
	random_ops(&rng, VIOMMU_PASID_MAX, VIOMMU_PASID_MAX, true, steps / 10);
	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		for (k = 0; endings[i].errs[k] >= 0; k++) {
			uint64_t n = seen[endings[i].op][endings[i].errs[k]];

			print_message("# %s: %llu times %s\n", endings[i].name,
				      (unsigned long long)n,
				      endings[i].errs[k] ? strerror(endings[i].errs[k]) : "done");
			if (steps >= 150000)
				assert_true(n >= (endings[i].op == 9 ? 10 : 100));
		}
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(allocator_agrees_with_plain_arrays),
};
TEST_MAIN(tests)
