/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's version at run time. Nothing else.
 */
#include <viommu/version.h>

const char *viommu_version(void)
{
	return VIOMMU_VERSION;
}
