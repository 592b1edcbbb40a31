/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that vfio-pci gives to a process, and the memory that the device sees.
 *
 * The modules have to be loaded: vfio-pci, and vfio_iommu_type1 with allow_unsafe_interrupts=1, as
 * the unit has no interrupt remapping.
 */
#ifndef VIOMMU_GUEST_VFIO_DEVICE_H
#define VIOMMU_GUEST_VFIO_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

struct vfio_device {
	int container, group, device;
};

/* vfio-pci becomes the driver of the function; "a result" that ends the process if it does not. */
void vfio_take(const char *bdf);
void vfio_open(struct vfio_device *v, const char *bdf);
/* Memory decoding and bus mastering on. */
void vfio_enable_master(struct vfio_device *v);
/* A BAR, VFIO_PCI_BAR0_REGION_INDEX and so on. */
volatile uint8_t *vfio_map_region(struct vfio_device *v, unsigned int index, uint64_t *size);
/* Memory for the device at an I/O address; flags VFIO_DMA_MAP_FLAG_*. 0 or -errno. */
int vfio_map(struct vfio_device *v, void *memory, uint64_t iova, uint64_t size, uint32_t flags);
int vfio_unmap(struct vfio_device *v, uint64_t iova, uint64_t size);
bool vfio_has_msix(struct vfio_device *v);
/*
 * Vectors 0 to n - 1 of MSI-X, of MSI without it, to eventfds. 0 or -errno. MSI has one vector, as
 * the unit has no interrupt remapping.
 */
int vfio_interrupts(struct vfio_device *v, const int *fds, unsigned int n);
/* The kernel signals the eventfd when it wants the device back. 0 or -errno. */
int vfio_asked_back(struct vfio_device *v, int fd);

#endif /* VIOMMU_GUEST_VFIO_DEVICE_H */
