/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device in the hands of a process by vfio's group interface, the one that Debian's kernels have
 * on. What is not there ends the process with a result that says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vfio_device.h"

#define WAIT_MS 60000

volatile uint8_t *vfio_map_region(struct vfio_device *v, unsigned int index, uint64_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	void *p;

	if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info))
		give_up("VFIO_DEVICE_GET_REGION_INFO");
	p = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, v->device, info.offset);
	if (p == MAP_FAILED)
		give_up("mmap of a BAR");
	*size = info.size;
	return p;
}

void vfio_take(const char *bdf)
{
	char path[128];
	int error;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	error = put_text(path, "vfio-pci");
	error = error ?: put_text("/sys/bus/pci/drivers_probe", bdf);
	if (!check(!error, "vfio-pci takes the device", "%s", strerror(-error)))
		_exit(1);
}

void vfio_open(struct vfio_device *v, const char *bdf)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	uint64_t end = now_ms() + WAIT_MS;
	char path[128], target[256], *number;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		give_up("the device's group");
	target[n] = 0;
	number = strrchr(target, '/') + 1;
	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	/* What was just plugged in is in sysfs before it may have a driver. */
	while (access(path, F_OK) && now_ms() < end)
		sched_yield();
	v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (v->container < 0)
		give_up("/dev/vfio/vfio");
	v->group = open(path, O_RDWR | O_CLOEXEC);
	if (v->group < 0)
		give_up(path);
	if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status))
		give_up("VFIO_GROUP_GET_STATUS");
	check(status.flags & VFIO_GROUP_FLAGS_VIABLE, "the group is viable", "flags %#x",
	      status.flags);
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container))
		give_up("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		give_up("VFIO_SET_IOMMU");
	/* The group is there before the device is in it. */
	do {
		v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	} while (v->device < 0 && errno == ENODEV && now_ms() < end);
	if (v->device < 0)
		give_up("VFIO_GROUP_GET_DEVICE_FD");
	if (ioctl(v->device, VFIO_DEVICE_GET_INFO, &info))
		give_up("VFIO_DEVICE_GET_INFO");
	result("the device is had by its group", NULL);
	say("@value vfio group %s, %u regions, %u interrupts%s", number, info.num_regions,
	    info.num_irqs, info.flags & VFIO_DEVICE_FLAGS_RESET ? ", can be reset" : "");
}

void vfio_enable_master(struct vfio_device *v)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t bits = 0;

	if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info) ||
	    pread(v->device, &bits, 2, info.offset + PCI_COMMAND) != 2)
		give_up("reading the command register");
	bits |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(v->device, &bits, 2, info.offset + PCI_COMMAND) != 2)
		give_up("writing the command register");
}

int vfio_map(struct vfio_device *v, void *memory, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return ioctl(v->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

int vfio_unmap(struct vfio_device *v, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

static unsigned int vectors(struct vfio_device *v, unsigned int index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	return ioctl(v->device, VFIO_DEVICE_GET_IRQ_INFO, &info) ? 0 : info.count;
}

static int set_eventfds(struct vfio_device *v, unsigned int index, const int *fds, unsigned int n)
{
	size_t size = sizeof(struct vfio_irq_set) + n * sizeof(int);
	struct vfio_irq_set *set = calloc(1, size);
	int error;

	if (!set)
		return -ENOMEM;
	set->argsz = size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = n;
	memcpy(set->data, fds, n * sizeof(int));
	error = ioctl(v->device, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
	free(set);
	return error;
}

bool vfio_has_msix(struct vfio_device *v)
{
	return vectors(v, VFIO_PCI_MSIX_IRQ_INDEX);
}

int vfio_interrupts(struct vfio_device *v, const int *fds, unsigned int n)
{
	return set_eventfds(v, vfio_has_msix(v) ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX,
			    fds, n);
}

int vfio_asked_back(struct vfio_device *v, int fd)
{
	return set_eventfds(v, VFIO_PCI_REQ_IRQ_INDEX, &fd, 1);
}
