/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the guest half asks of a host's objects and the public header does not say. It sees nothing
 * else of how a host is made.
 */
#ifndef VIOMMU_HOST_HANDLE_H
#define VIOMMU_HOST_HANDLE_H

#include <viommu/host.h>

struct viommu_host *viommu__domain_host(const struct viommu_domain *dom);
/* VIOMMU_DEVICE_*, as it was made with. */
uint32_t viommu__device_flags(const struct viommu_device *dev);

#endif /* VIOMMU_HOST_HANDLE_H */
