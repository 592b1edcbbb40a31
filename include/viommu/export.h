/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linkage of the public headers. Each of them puts its declarations between VIOMMU_BEGIN_DECLS and
 * VIOMMU_END_DECLS: C linkage for C++ callers, and default visibility in a library that is built
 * with hidden visibility. A name is exported only if src/libviommu.map lists it as well.
 */
#ifndef VIOMMU_EXPORT_H
#define VIOMMU_EXPORT_H

/* clang-format off */
#ifdef __cplusplus
#define VIOMMU_BEGIN_DECLS extern "C" { _Pragma("GCC visibility push(default)")
#define VIOMMU_END_DECLS   _Pragma("GCC visibility pop") }
#else
#define VIOMMU_BEGIN_DECLS _Pragma("GCC visibility push(default)")
#define VIOMMU_END_DECLS   _Pragma("GCC visibility pop")
#endif
/* clang-format on */

#endif /* VIOMMU_EXPORT_H */
