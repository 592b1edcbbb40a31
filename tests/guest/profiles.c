/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capabilities: the sets by name, and what a configuration may say.
 */
#include "guest/world.h"

static void profiles_have_the_values_that_boot(void **state)
{
	uint64_t cap, ecap;
	uint32_t ver;
	uint8_t haw;

	(void)state;
	assert_int_equal(viommu_guest_profile(VIOMMU_PROFILE_SVA, 0, &ver, &cap, &ecap, &haw), 0);
	assert_int_equal(ver, 0x60);
	assert_int_equal(cap, 0xd1d2078022780006);
	assert_int_equal(ecap, 0x04038d9a20000fc7);
	assert_int_equal(haw, 52);
	assert_int_equal(viommu_guest_profile(VIOMMU_PROFILE_SVA, VIOMMU_GUEST_CM, NULL, &cap, NULL,
					      NULL),
			 0);
	assert_int_equal(cap, 0xd1d2078022780086);
	assert_int_equal(viommu_guest_profile(VIOMMU_PROFILE_HOST, 0, &ver, &cap, &ecap, &haw), 0);
	assert_int_equal(ver, 0x60);
	assert_int_equal(cap, 0xd1d2078c226f0406);
	assert_int_equal(ecap, 0x0403ed9ea4000fc7);
	assert_int_equal(viommu_guest_profile(VIOMMU_PROFILE_LEGACY, 0, &ver, &cap, &ecap, &haw),
			 0);
	assert_int_equal(ver, 0x50);
	/* What old kernels look for: a width of the second stage; caching mode. */
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_SAGAW), 4);
	assert_int_equal(VTD_FIELD(cap, VTD_CAP_CM), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_SSTS), 1);
	assert_int_equal(VTD_FIELD(ecap, VTD_ECAP_FSTS), 0);
	assert_int_equal(viommu_guest_profile(3, 0, NULL, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(viommu_guest_profile(0, 0x80000000, NULL, NULL, NULL, NULL), -EINVAL);
}

/* A configuration as told, on a host as told. */
static int try_config(const struct viommu_guest_config *c, uint64_t host_cap_clear,
		      uint64_t host_ecap_clear)
{
	struct viommu_host_config hc = { .size = sizeof(hc) };
	struct viommu_guest *guest = NULL;
	struct viommu_domain *dom;
	struct viommu_host *host;
	struct viommu_mem *mem;
	int err;

	hc.cap = viommu_host_default_cap() & ~host_cap_clear;
	hc.ecap = viommu_host_default_ecap() & ~host_ecap_clear;
	assert_int_equal(viommu_mem_new(&mem), 0);
	assert_int_equal(viommu_host_new(&hc, &host), 0);
	assert_int_equal(viommu_domain_new(host, mem, NULL, &dom), 0);
	err = viommu_guest_new(c, dom, mem, &guest);
	assert_int_equal(!err, guest != NULL);
	viommu_guest_free(guest);
	viommu_host_free(host);
	viommu_mem_free(mem);
	return err;
}

/* Registers as told, the rest from a profile. */
static int try_caps(uint32_t profile, uint32_t ver, uint64_t cap_clear, uint64_t cap_set,
		    uint64_t ecap_clear, uint64_t ecap_set)
{
	struct viommu_guest_config c = { .size = sizeof(c), .ver = ver };

	assert_int_equal(
		viommu_guest_profile(profile, 0, ver ? NULL : &c.ver, &c.cap, &c.ecap, NULL), 0);
	c.cap = (c.cap & ~cap_clear) | cap_set;
	c.ecap = (c.ecap & ~ecap_clear) | ecap_set;
	return try_config(&c, 0, 0);
}

#define C(NAME) VTD_MASK(VTD_CAP_##NAME)
#define E(NAME) VTD_MASK(VTD_ECAP_##NAME)
#define SVA     VIOMMU_PROFILE_SVA
#define HOST    VIOMMU_PROFILE_HOST
#define LEGACY  VIOMMU_PROFILE_LEGACY

/*
 * VTD-REG-10, VTD-REG-11, VTD-CAP-03, VTD-CAP-06, VTD-CAP-07, VTD-CAP-09, VTD-CAP-12, VTD-CAP-13,
 * VTD-CAP-26, VTD-CAP-27, VTD-CAP-31, VTD-CAP-36, VTD-CAP-38
 */
static void a_capability_that_needs_another_one_is_refused_without(void **state)
{
	static const struct {
		uint32_t profile, ver;
		uint64_t cap_clear, cap_set, ecap_clear, ecap_set;
		int err;
	} tries[] = {
		{ SVA, 0, 0, 0, 0, 0, 0 },
		{ HOST, 0, 0, 0, 0, 0, 0 },
		{ LEGACY, 0, 0, 0, 0, 0, 0 },
		{ SVA, 0x10, C(DWD) | C(DRD), 0, 0, 0, 0 },
		{ SVA, 0x20, C(DWD), 0, 0, 0, -EINVAL },
		{ SVA, 0x60, C(DRD), 0, 0, 0, -EINVAL },
		{ SVA, 0x60, 0, VTD_VAL(VTD_CAP_SAGAW, 4), 0, 0, -EINVAL }, /* no second stage */
		{ SVA, 0x50, 0, VTD_VAL(VTD_CAP_SAGAW, 4), 0, 0, 0 },
		{ HOST, 0, C(SAGAW), 0, 0, 0, -EINVAL },
		{ HOST, 0, C(SAGAW), VTD_VAL(VTD_CAP_SAGAW, 0x11), 0, 0, -EINVAL },
		{ HOST, 0, C(SAGAW) | C(MGAW),
		  VTD_VAL(VTD_CAP_SAGAW, 0xe) | VTD_VAL(VTD_CAP_MGAW, 56), 0, 0, 0 },
		{ SVA, 0, C(MGAW), 0, 0, 0, -EINVAL },
		{ SVA, 0, C(MGAW), VTD_VAL(VTD_CAP_MGAW, 47) | C(FS1GP), 0, 0, 0 },
		{ HOST, 0, C(SSLPS), VTD_VAL(VTD_CAP_SSLPS, 2), 0, 0, -EINVAL },
		{ HOST, 0, C(SSLPS), VTD_VAL(VTD_CAP_SSLPS, 1), 0, 0, 0 },
		{ HOST, 0, 0, VTD_VAL(VTD_CAP_SSLPS, 4), 0, 0, -EINVAL },
		{ HOST, 0, C(MAMV), VTD_VAL(VTD_CAP_MAMV, 9), 0, 0, -EINVAL },
		{ HOST, 0, C(MAMV) | C(PSI), VTD_VAL(VTD_CAP_MAMV, 9), 0, 0, 0 },
		{ SVA, 0, 0, 0, E(QI), 0, -EINVAL },
		{ LEGACY, 0x50, 0, 0, E(QI), 0, -EINVAL }, /* scalable mode needs it */
		{ LEGACY, 0x50, 0, 0, E(QI) | E(SMTS) | E(SSTS) | E(RPS), 0, 0 },
		{ LEGACY, 0x60, 0, 0, E(QI) | E(SMTS) | E(SSTS) | E(RPS), 0, -EINVAL },
		{ LEGACY, 0, 0, 0, E(SMTS), 0, -EINVAL },
		{ LEGACY, 0, 0, 0, E(SSTS), 0, -EINVAL }, /* no stage at all */
		{ HOST, 0, 0, 0, E(FSTS), 0, -EINVAL },   /* NEST */
		{ HOST, 0, 0, 0, E(SSTS), 0, -EINVAL },
		{ HOST, 0, 0, 0, E(SSTS) | E(NEST) | E(SSADS), 0, -EINVAL }, /* SAGAW */
		{ SVA, 0, 0, 0, E(DT), 0, -EINVAL },
		{ SVA, 0, 0, 0, E(PRS), 0, -EINVAL }, /* PDS */
		{ SVA, 0, 0, 0, E(DT) | E(PRS) | E(PDS), 0, 0 },
		{ HOST, 0, 0, 0, E(SMPWCS), 0, -EINVAL },
		{ HOST, 0, 0, 0, E(SMPWCS) | E(EAFS), 0, -EINVAL },
		{ HOST, 0, 0, 0, E(SMPWCS) | E(EAFS) | E(SSADS), 0, 0 },
		{ SVA, 0, 0, 0, E(PSS), VTD_VAL(VTD_ECAP_PSS, 20), -EINVAL },
		{ SVA, 0, C(ND), VTD_VAL(VTD_CAP_ND, 7), 0, 0, -EINVAL },
		{ SVA, 0, C(ND), VTD_VAL(VTD_CAP_ND, 2), 0, 0, 0 },
		{ SVA, 0, 0, 0, 0, E(ADMS), 0 },
		{ HOST, 0, 0, 0, 0, E(SSIRWS), 0 },
		/* Records and invalidation registers over others, or outside. */
		{ SVA, 0, C(FRO), 0, 0, 0, -EINVAL },
		{ SVA, 0, C(FRO), VTD_VAL(VTD_CAP_FRO, 0xff), 0, 0, -EINVAL },
		{ SVA, 0, C(FRO), VTD_VAL(VTD_CAP_FRO, 0xf8), 0, 0, 0 },
		{ SVA, 0, 0, 0, E(IRO), VTD_VAL(VTD_ECAP_IRO, 0x22), -EINVAL },
		{ SVA, 0, 0, 0, E(IRO), VTD_VAL(VTD_ECAP_IRO, 0x100), -EINVAL },
		{ SVA, 0, C(NFR), VTD_VAL(VTD_CAP_NFR, 255), 0, 0, -EINVAL },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++)
		assert_int_equal(try_caps(tries[i].profile, tries[i].ver, tries[i].cap_clear,
					  tries[i].cap_set, tries[i].ecap_clear, tries[i].ecap_set),
				 tries[i].err);
}

/*
 * What is not implemented is not announced: VTD-CAP-04, VTD-CAP-16, VTD-CAP-34, VTD-CAP-37,
 * VTD-CAP-42, VTD-CAP-43, VTD-CAP-45, VTD-REG-12; nor is interrupt remapping without its flag.
 */
static void a_capability_that_the_unit_lacks_is_refused(void **state)
{
	static const uint64_t cap[] = { C(RWBF),  C(PLMR),          C(PHMR),          C(PI),
					C(ECMDS), UINT64_C(1) << 3, UINT64_C(1) << 23 };
	static const uint64_t ecap[] = { E(IR),
					 E(EIM),
					 E(MHMV),
					 E(MTS),
					 E(ERS),
					 E(DIT),
					 E(VCS),
					 E(TDXCS),
					 E(PMS),
					 E(RPRIVS),
					 E(HPTS),
					 E(PTRS),
					 E(HPT1GPS),
					 E(RDTS),
					 E(EIMER),
					 E(IRREQ),
					 UINT64_C(1) << 24,
					 UINT64_C(1) << 28,
					 UINT64_C(1) << 5 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cap); i++)
		assert_int_equal(try_caps(HOST, 0, 0, cap[i], 0, 0), -EINVAL);
	for (i = 0; i < ARRAY_SIZE(ecap); i++)
		assert_int_equal(try_caps(HOST, 0, 0, 0, 0, ecap[i]), -EINVAL);
}

/* Every stage of the guest's is one of the host's, nested on the VM's. */
static void the_host_below_must_have_what_is_announced(void **state)
{
	static const struct {
		uint32_t profile;
		uint64_t cap, ecap; /* the host lacks them */
	} tries[] = {
		{ SVA, 0, E(NEST) },         { SVA, C(FS5LP), 0 },
		{ SVA, C(FS1GP), 0 },        { SVA, 0, E(DT) | E(PRS) | E(PDS) },
		{ SVA, 0, E(PRS) | E(PDS) }, { HOST, 0, E(SRS) },
		{ HOST, 0, E(EAFS) },
	};
	struct viommu_guest_config c = { .size = sizeof(c) };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		c.profile = tries[i].profile;
		assert_int_equal(try_config(&c, 0, 0), 0);
		assert_int_equal(try_config(&c, tries[i].cap, tries[i].ecap), -EINVAL);
	}
}

static void other_values_out_of_range_are_refused(void **state)
{
	struct viommu_guest_config c = { .size = sizeof(c) };
	struct viommu_guest *guest;

	(void)state;
	assert_int_equal(try_config(NULL, 0, 0), 0);
	c.size--;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	c.size++;
	c.profile = 9;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	c.profile = 0;
	c.flags = 0x80;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	c.flags = 0;
	c.haw = 38;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	c.haw = 53;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	c.haw = 39;
	assert_int_equal(try_config(&c, 0, 0), 0);
	c.ver = 0x160;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	c.ver = 0x0f;
	assert_int_equal(try_config(&c, 0, 0), -EINVAL);
	assert_int_equal(viommu_guest_new(NULL, NULL, NULL, &guest), -EINVAL);
	assert_null(guest);
	viommu_guest_free(NULL);
}

/* A narrower host address width: pointers beyond it are reserved bits. */
static void the_host_address_width_bounds_pointers(void **state)
{
	const struct gw_config c = { .haw = 40 };
	struct gw_process p;
	struct gw w;
	uint64_t v;

	(void)state;
	gw_open(&w, &c);
	gw_start(&w);
	gw_process(&w, &p, 4, 1);
	gw_pe_fs(gw_pe(&w, GW_SID(0), 5), &p.fs, 1);
	assert_true(gw_sees(&w, 0, 5, GW_VA, 1));
	gw_pe(&w, GW_SID(0), 5)[2] |= UINT64_C(1) << 41;
	assert_true(gw_do(&w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, 5), 0));
	assert_true(gw_faults(&w, 0, 5, GW_VA, VTD_FR_PE_RSVD));
	gw_pe_fs(gw_pe(&w, GW_SID(0), 6), &p.fs, 1);
	tables_entry_set(&p.fs, GW_VA, 1, UINT64_C(1) << 41 | VTD_MASK(VTD_FS_P) | 6);
	assert_true(gw_do(&w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, 6), 0));
	assert_int_equal(gw_read(&w, 0, 6, GW_VA, &v), VIOMMU_FAULTED);
	{
		struct viommu_fault last;

		assert_int_equal(viommu_guest_last_faults(w.guest, &last, 1), 1);
		assert_int_equal(last.reason, VTD_FR_FS_RSVD);
	}
	gw_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(profiles_have_the_values_that_boot),
	cmocka_unit_test(a_capability_that_needs_another_one_is_refused_without),
	cmocka_unit_test(a_capability_that_the_unit_lacks_is_refused),
	cmocka_unit_test(the_host_below_must_have_what_is_announced),
	cmocka_unit_test(other_values_out_of_range_are_refused),
	cmocka_unit_test(the_host_address_width_bounds_pointers),
};
TEST_MAIN(tests)
