/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The version of the library, at compile time and at run time.
 */
#ifndef VIOMMU_VERSION_H
#define VIOMMU_VERSION_H

#include <viommu/types.h>

#define VIOMMU_VERSION_MAJOR 0
#define VIOMMU_VERSION_MINOR 1
#define VIOMMU_VERSION_PATCH 0
#define VIOMMU_VERSION       "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the library that runs, as "major.minor.patch"; VIOMMU_VERSION is the one that was
 * compiled against. Any thread; the string is constant and never freed.
 */
VIOMMU_API const char *viommu_version(void);

#ifdef __cplusplus
}
#endif

#endif /* VIOMMU_VERSION_H */
