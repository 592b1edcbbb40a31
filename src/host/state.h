/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's part of a saved state: its page requests; for the board. */
#ifndef VIOMMU_HOST_STATE_H
#define VIOMMU_HOST_STATE_H

#include <viommu/host.h>

#include "base/state.h"

/*
 * Host PASIDs are this host's own, so the guest's are saved. Each returns 0, or an error: there is
 * no such PASID.
 */
struct viommu__pasid_names {
	void *ctx;
	int (*to_guest)(void *ctx, struct viommu_hp hp, struct viommu_gp *out);
	int (*to_host)(void *ctx, struct viommu_gp gp, struct viommu_hp *out);
};

/* Of a device that is paused. */
void viommu__device_save(struct viommu_device *dev, const struct viommu__pasid_names *names,
			 struct viommu_state_out *out);
/*
 * Into a device without requests, its binds made. What a request that is open no longer has a bind
 * for is answered INVALID, as its unbind would have.
 */
void viommu__device_load(struct viommu_device *dev, const struct viommu__pasid_names *names,
			 struct viommu_state_in *in);

#endif /* VIOMMU_HOST_STATE_H */
