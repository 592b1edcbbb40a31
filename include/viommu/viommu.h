/* SPDX-License-Identifier: BSD-3-Clause */
/* viommu/viommu.h - all of libviommu. */
#ifndef VIOMMU_VIOMMU_H
#define VIOMMU_VIOMMU_H

#include <viommu/acpi.h>
#include <viommu/board.h>
#include <viommu/dma.h>
#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>
#include <viommu/error.h>
#include <viommu/gpasid.h>
#include <viommu/guest.h>
#include <viommu/host.h>
#include <viommu/mem.h>
#include <viommu/pasid.h>
#include <viommu/path.h>
#include <viommu/pci.h>
#include <viommu/state.h>
#include <viommu/types.h>
#include <viommu/vtd.h>
#include <viommu/walk.h>

#endif
