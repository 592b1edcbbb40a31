/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/path.h - the table path: root table, context table (legacy and scalable), PASID directory,
 * PASID entry.
 *
 * From a requester id and a PASID to the stages that translate its addresses (VT-d 5.10; in
 * this order: window, RTADDR, root, context, gates, directory, entry). Each structure is read once
 * into a local copy and checked with the specification's codes. Both halves use it: a guest's unit
 * over guest memory, the software host over its own tables.
 */
#ifndef VIOMMU_PATH_H
#define VIOMMU_PATH_H

#include <viommu/walk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a unit is: its capabilities and its root table. Plain data. */
struct viommu_unit {
	uint64_t cap;  /* CAP register */
	uint64_t ecap; /* ECAP register */
	/* RTADDR as latched: root table address, TTM in bits 11:10, SSIRWE in bit 7 */
	uint64_t rtaddr;
	uint32_t ver; /* VER register: major in 7:4 */
	uint8_t haw;  /* host address width, 32..52 */
	uint8_t reserved[3];
	struct viommu_mem *mem; /* where the tables lie */
};

struct viommu_path_request {
	uint16_t sid;
	uint8_t request; /* enum viommu_request */
	uint8_t reserved;
	uint32_t pasid;  /* or VIOMMU_NO_PASID */
	uint32_t access; /* VIOMMU_READ ... */
	uint32_t reserved2;
	/* what the device asked for: for the fault, and for the FEEx_xxxxh window */
	uint64_t addr;
};

/* What the path found. */
struct viommu_path_result {
	uint8_t pgtt;   /* VTD_PGTT_*; legacy contexts give VTD_PGTT_SS or VTD_PGTT_PT */
	uint8_t legacy; /* translated in legacy mode */
	uint8_t fpd;    /* FPD was set in some structure on the way */
	uint8_t priv;   /* request counts as supervisor: PR with PASID, RID_PRIV without */
	/*
	 * A request without PASID for the FEEx_xxxxh window is not translated. interrupt: an
	 * interrupt message (the caller checks that it is 4 bytes), or a translation request, whose
	 * answer is R 0, W and U 1, or all 0 with the no-write flag. zero_read: a read of no bytes,
	 * which completes.
	 */
	uint8_t interrupt;
	uint8_t zero_read;
	uint16_t did;
	/* PASID that was looked up: the request's or RID_PASID; NO_PASID in legacy mode */
	uint32_t pasid;
	uint32_t reserved;
	/* PASID entry as read (scalable), or the context entry in pe[0], pe[1] */
	uint64_t pe[8];
	struct viommu_stack stack; /* stages from PGTT; mem and haw from the unit */
	struct viommu_fault fault; /* when VIOMMU_FAULTED was returned */
};

/*
 * Who translates this request? 0 and the stages; VIOMMU_FAULTED and out->fault; or -EINVAL: no
 * unit, memory, request or out, a haw outside 32..52, an unknown kind of request or access bit, a
 * PASID beyond 20 bits. Translation is on (TES = 1), or the caller would not ask. Any thread. rec
 * may be NULL.
 *
 * A page request stops at the PASID entry. A translated request that passes gives no stages, after
 * its address was checked (host address width, window).
 */
VIOMMU_API int viommu_path_lookup(const struct viommu_unit *unit,
				  const struct viommu_path_request *req,
				  struct viommu_recorder *rec, struct viommu_path_result *out);

/*
 * The stages that a PASID entry names, checked (reserved bits, PGTT, AW, FSPM, pointers): what the
 * path does with the last structure, for callers that hold the entry already. 0, the fault reason
 * (VTD_FR_PE_NP, _RSVD, _INVALID), or -EINVAL (no unit, entry or out, or a bad haw). unit->mem may
 * be NULL and is handed on in out->stack.mem.
 */
VIOMMU_API int viommu_path_entry(const struct viommu_unit *unit, const uint64_t pe[8],
				 struct viommu_path_result *out);

/*
 * The request from device to memory in one call: path, then walk. VIOMMU_WALK_DRY as in
 * viommu_walk().
 */
VIOMMU_API int viommu_path_translate(const struct viommu_unit *unit,
				     const struct viommu_path_request *req, uint32_t flags,
				     struct viommu_recorder *rec, struct viommu_path_result *path,
				     struct viommu_walk_result *out);

#ifdef __cplusplus
}
#endif
#endif
