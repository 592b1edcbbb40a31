/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capabilities: sets that are known to boot, and which sets this unit can be given.
 *
 * A capability that is announced has to work, so what the unit or the host below does not implement
 * is refused: performance counters, protected regions, host permission tables, memory types, posted
 * interrupts and the rest of ECAP that is not named here. Interrupt remapping needs a VMM that asks
 * (viommu_guest_remap()), so it is refused unless the VMM says that it does.
 */
#include "guest/unit.h"

#define CAP_COMMON                                                                         \
	(VTD_VAL(VTD_CAP_ND, 6) | VTD_VAL(VTD_CAP_ZLR, 1) | VTD_VAL(VTD_CAP_FRO, 0x22) |   \
	 VTD_VAL(VTD_CAP_PSI, 1) | VTD_VAL(VTD_CAP_NFR, 7) | VTD_VAL(VTD_CAP_MAMV, 18) |   \
	 VTD_VAL(VTD_CAP_DWD, 1) | VTD_VAL(VTD_CAP_DRD, 1) | VTD_VAL(VTD_CAP_ESIRTPS, 1) | \
	 VTD_VAL(VTD_CAP_ESRTPS, 1))

#define ECAP_COMMON                                                                       \
	(VTD_VAL(VTD_ECAP_C, 1) | VTD_VAL(VTD_ECAP_QI, 1) | VTD_VAL(VTD_ECAP_DT, 1) |     \
	 VTD_VAL(VTD_ECAP_PT, 1) | VTD_VAL(VTD_ECAP_SC, 1) | VTD_VAL(VTD_ECAP_IRO, 0xf) | \
	 VTD_VAL(VTD_ECAP_SMTS, 1) | VTD_VAL(VTD_ECAP_SMPWCS, 1) | VTD_VAL(VTD_ECAP_RPS, 1))

#define ECAP_SVA                                                                             \
	(ECAP_COMMON | VTD_VAL(VTD_ECAP_PRS, 1) | VTD_VAL(VTD_ECAP_NWFS, 1) |                \
	 VTD_VAL(VTD_ECAP_PSS, 19) | VTD_VAL(VTD_ECAP_PASID, 1) | VTD_VAL(VTD_ECAP_PDS, 1) | \
	 VTD_VAL(VTD_ECAP_FSTS, 1) | VTD_VAL(VTD_ECAP_SMS, 1))

static const struct {
	uint32_t ver;
	uint8_t haw;
	uint64_t cap;
	uint64_t ecap;
} profiles[] = {
	/* First stage only; addresses of 57 bits, so that processes of a 5-level CPU fit. */
	[VIOMMU_PROFILE_SVA] = {
		.ver = 0x60,
		.haw = 52,
		.cap = CAP_COMMON | VTD_VAL(VTD_CAP_MGAW, 56) | VTD_VAL(VTD_CAP_FS1GP, 1) |
		       VTD_VAL(VTD_CAP_FS5LP, 1),
		.ecap = ECAP_SVA,
	},
	/* As a physical one for a host that nests: its own DMA goes by the first stage. */
	[VIOMMU_PROFILE_HOST] = {
		.ver = 0x60,
		.haw = 52,
		.cap = CAP_COMMON | VTD_VAL(VTD_CAP_MGAW, 47) | VTD_VAL(VTD_CAP_SAGAW, 4) |
		       VTD_VAL(VTD_CAP_SSLPS, 3) | VTD_VAL(VTD_CAP_FS1GP, 1) |
		       VTD_VAL(VTD_CAP_FS5LP, 1),
		.ecap = ECAP_SVA | VTD_VAL(VTD_ECAP_NEST, 1) | VTD_VAL(VTD_ECAP_SRS, 1) |
			VTD_VAL(VTD_ECAP_EAFS, 1) | VTD_VAL(VTD_ECAP_SSADS, 1) |
			VTD_VAL(VTD_ECAP_SSTS, 1),
	},
	/*
	 * Kernels that ignore a unit without second-stage widths (6.1, 6.12): second stage alone,
	 * usable in legacy and in scalable mode. Without a first stage there is no PASID worth
	 * announcing. A version below 6 keeps invalidation by registers.
	 */
	[VIOMMU_PROFILE_LEGACY] = {
		.ver = 0x50,
		.haw = 52,
		.cap = CAP_COMMON | VTD_VAL(VTD_CAP_CM, 1) | VTD_VAL(VTD_CAP_MGAW, 47) |
		       VTD_VAL(VTD_CAP_SAGAW, 4) | VTD_VAL(VTD_CAP_SSLPS, 3),
		.ecap = ECAP_COMMON | VTD_VAL(VTD_ECAP_SSTS, 1),
	},
};

int viommu_guest_profile(uint32_t profile, uint32_t flags, uint32_t *ver, uint64_t *cap,
			 uint64_t *ecap, uint8_t *haw)
{
	if (profile >= ARRAY_SIZE(profiles) ||
	    (flags & ~(VIOMMU_GUEST_CM | VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD |
		       VIOMMU_GUEST_VCMD_OLD | VIOMMU_GUEST_INTREMAP | VIOMMU_GUEST_X2APIC)))
		return -EINVAL;
	if ((flags & VIOMMU_GUEST_X2APIC) && !(flags & VIOMMU_GUEST_INTREMAP))
		return -EINVAL;
	if (ver)
		*ver = profiles[profile].ver;
	if (cap)
		*cap = profiles[profile].cap | (flags & VIOMMU_GUEST_CM ? VTD_MASK(VTD_CAP_CM) : 0);
	if (ecap)
		*ecap = profiles[profile].ecap |
			(flags & VIOMMU_GUEST_INTREMAP
				 ? VTD_MASK(VTD_ECAP_IR) | VTD_MASK(VTD_ECAP_MHMV)
				 : 0) |
			(flags & VIOMMU_GUEST_X2APIC ? VTD_MASK(VTD_ECAP_EIM) : 0) |
			(flags & VIOMMU_GUEST_VCMD ? VTD_MASK(VTD_ECAP_VCS) : 0);
	if (haw)
		*haw = profiles[profile].haw;
	return 0;
}

/* What the unit implements, whatever the host. */
static const uint64_t cap_known =
	VTD_MASK(VTD_CAP_ND) | VTD_MASK(VTD_CAP_CM) | VTD_MASK(VTD_CAP_SAGAW) |
	VTD_MASK(VTD_CAP_MGAW) | VTD_MASK(VTD_CAP_ZLR) | VTD_MASK(VTD_CAP_FRO) |
	VTD_MASK(VTD_CAP_SSLPS) | VTD_MASK(VTD_CAP_PSI) | VTD_MASK(VTD_CAP_NFR) |
	VTD_MASK(VTD_CAP_MAMV) | VTD_MASK(VTD_CAP_DWD) | VTD_MASK(VTD_CAP_DRD) |
	VTD_MASK(VTD_CAP_FS1GP) | VTD_MASK(VTD_CAP_FS5LP) | VTD_MASK(VTD_CAP_ESIRTPS) |
	VTD_MASK(VTD_CAP_ESRTPS);

static const uint64_t ecap_known =
	VTD_MASK(VTD_ECAP_C) | VTD_MASK(VTD_ECAP_QI) | VTD_MASK(VTD_ECAP_DT) |
	VTD_MASK(VTD_ECAP_PT) | VTD_MASK(VTD_ECAP_SC) | VTD_MASK(VTD_ECAP_IRO) |
	VTD_MASK(VTD_ECAP_NEST) | VTD_MASK(VTD_ECAP_PRS) | VTD_MASK(VTD_ECAP_SRS) |
	VTD_MASK(VTD_ECAP_NWFS) | VTD_MASK(VTD_ECAP_EAFS) | VTD_MASK(VTD_ECAP_PSS) |
	VTD_MASK(VTD_ECAP_PASID) | VTD_MASK(VTD_ECAP_PDS) | VTD_MASK(VTD_ECAP_SMTS) |
	VTD_MASK(VTD_ECAP_VCS) | VTD_MASK(VTD_ECAP_SSADS) | VTD_MASK(VTD_ECAP_SSTS) |
	VTD_MASK(VTD_ECAP_FSTS) | VTD_MASK(VTD_ECAP_SMPWCS) | VTD_MASK(VTD_ECAP_RPS) |
	VTD_MASK(VTD_ECAP_ADMS) | VTD_MASK(VTD_ECAP_SSIRWS) | VTD_MASK(VTD_ECAP_SMS);

/* With VIOMMU_GUEST_INTREMAP. */
static const uint64_t ecap_intremap = VTD_MASK(VTD_ECAP_IR) | VTD_MASK(VTD_ECAP_EIM) |
				      VTD_MASK(VTD_ECAP_MHMV) | VTD_MASK(VTD_ECAP_EIMER) |
				      VTD_MASK(VTD_ECAP_IRREQ);

/* Bits that the host below must have for the guest to have them. */
static const uint64_t cap_host = VTD_MASK(VTD_CAP_FS5LP) | VTD_MASK(VTD_CAP_FS1GP);
static const uint64_t ecap_host = VTD_MASK(VTD_ECAP_DT) | VTD_MASK(VTD_ECAP_PRS) |
				  VTD_MASK(VTD_ECAP_SRS) | VTD_MASK(VTD_ECAP_EAFS) |
				  VTD_MASK(VTD_ECAP_FSTS) | VTD_MASK(VTD_ECAP_SSTS);

#define CAP(NAME)  VTD_FIELD(unit->cap, VTD_CAP_##NAME)
#define ECAP(NAME) VTD_FIELD(unit->ecap, VTD_ECAP_##NAME)

static bool fields_fit(const struct viommu_unit *unit)
{
	if (unit->haw < 39 || unit->haw > 52 || unit->ver > 0xff || !(unit->ver >> 4))
		return false;
	/* VTD-CAP-07: never 0; less than the narrowest second stage would leave it none. */
	if (CAP(ND) > 6 || CAP(MGAW) < 29 || CAP(MGAW) > 63 || (CAP(SAGAW) & 0x11))
		return false;
	if (CAP(SSLPS) == 2 || CAP(SSLPS) > 3) /* VTD-CAP-09 */
		return false;
	/* VTD-CAP-12 */
	if (CAP(PSI) && (CAP(SSLPS) & 2) && CAP(MAMV) < 18)
		return false;
	return !ECAP(PASID) || ECAP(PSS) < VIOMMU_PASID_BITS;
}

/* One capability needs another. */
static bool dependencies_hold(const struct viommu_unit *unit)
{
	uint64_t major = VTD_FIELD(unit->ver, VTD_VER_MAX);

	if (major >= 2 && (!CAP(DWD) || !CAP(DRD))) /* VTD-REG-10 */
		return false;
	if (!ECAP(QI) && major >= 6) /* no way to invalidate at all (VTD-RINV-06) */
		return false;
	if (ECAP(SMTS) && !ECAP(QI)) /* VTD-CAP-36 */
		return false;
	if (ECAP(IR) && !ECAP(QI)) /* VTD-CAP-21: its cache is invalidated by queue alone */
		return false;
	if (ECAP(EIMER) && !ECAP(EIM)) /* VTD-CAP-50 */
		return false;
	if (!ECAP(SMTS) && (ECAP(FSTS) || ECAP(SSTS) || ECAP(NEST) || ECAP(PASID) || ECAP(RPS)))
		return false;
	if (ECAP(SMTS) && !ECAP(FSTS) && !ECAP(SSTS))
		return false;
	/* VTD-CAP-06, VTD-REG-11 */
	if (!CAP(SAGAW) && (!ECAP(SMTS) || ECAP(SSTS)))
		return false;
	if (CAP(SAGAW) && ECAP(SMTS) && !ECAP(SSTS) && major >= 6)
		return false;
	if (ECAP(NEST) && (!ECAP(FSTS) || !ECAP(SSTS))) /* VTD-CAP-26 */
		return false;
	if (ECAP(PRS) && (!ECAP(DT) || !ECAP(SMTS))) /* VTD-CAP-27 */
		return false;
	if (ECAP(PDS) && !ECAP(PRS))
		return false;
	if (ECAP(EAFS) && (!ECAP(FSTS) || !ECAP(SMPWCS))) /* VTD-CAP-31 */
		return false;
	if (ECAP(SSADS) && (!ECAP(SSTS) || !ECAP(SMPWCS))) /* VTD-CAP-38 */
		return false;
	return true;
}

/* VTD-CAP-37: a flag announces them, since who has them also says in which layout. */
static bool vcmd_fits(const struct viommu_guest *g)
{
	const struct viommu_unit *unit = &g->unit;

	if (!(g->flags & VIOMMU_GUEST_VCMD))
		return !ECAP(VCS) && !(g->flags & VIOMMU_GUEST_VCMD_OLD);
	return ECAP(PASID) && !(g->flags & VIOMMU_GUEST_HOST_PASIDS);
}

int viommu__profile_check(const struct viommu_guest *g)
{
	const struct viommu_unit *unit = &g->unit;
	uint64_t known = ecap_known | (g->flags & VIOMMU_GUEST_INTREMAP ? ecap_intremap : 0);
	struct viommu_unit below;

	viommu_host_unit(g->host, &below);
	if (!vcmd_fits(g) || (unit->cap & ~cap_known) || (unit->ecap & ~known) ||
	    !fields_fit(unit) || !dependencies_hold(unit) || !viommu__registers_fit(g))
		return -EINVAL;
	if ((unit->cap & cap_host & ~below.cap) || (unit->ecap & ecap_host & ~below.ecap))
		return -EINVAL;
	/* Every stage of the guest's is nested on the VM's. */
	if (!VTD_FIELD(below.ecap, VTD_ECAP_NEST))
		return -EINVAL;
	if (ECAP(PASID) && ECAP(PSS) > VTD_FIELD(below.ecap, VTD_ECAP_PSS))
		return -EINVAL;
	return 0;
}
