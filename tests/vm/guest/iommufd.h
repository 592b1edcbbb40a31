/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux's iommufd and the part of vfio that goes with it, as far as the tests of a guest that is a
 * host use them: requests, structures and flags. The system's headers may be older than the kernel
 * of the guest, so they are not asked. Each request takes a structure that begins with its size;
 * reserved members have to be 0. Members that the kernel fills in are named out_*.
 */
#ifndef VIOMMU_GUEST_IOMMUFD_H
#define VIOMMU_GUEST_IOMMUFD_H

#include <stdint.h>

/* Of /dev/iommu. An id is never 0; IOFD_DESTROY takes any of them. */
enum iofd_request {
	IOFD_DESTROY = 0x3b80,
	IOFD_IOAS_ALLOC = 0x3b81,
	IOFD_IOAS_MAP = 0x3b85,
	IOFD_IOAS_UNMAP = 0x3b86,
	IOFD_OPTION = 0x3b87,
	IOFD_HWPT_ALLOC = 0x3b89,
	IOFD_HW_INFO = 0x3b8a,
	IOFD_SET_DIRTY = 0x3b8b,
	IOFD_GET_DIRTY = 0x3b8c,
	IOFD_INVALIDATE = 0x3b8d,
	IOFD_FAULT_QUEUE = 0x3b8e,
	IOFD_IOAS_MAP_FILE = 0x3b8f,
};

/* Of /dev/vfio/devices/vfioN. */
enum vfiod_request {
	VFIOD_RESET = 0x3b6f,
	VFIOD_BIND = 0x3b76,
	VFIOD_ATTACH = 0x3b77,
	VFIOD_DETACH = 0x3b78,
};

#define IOFD_SIZE(name, bytes) _Static_assert(sizeof(struct name) == (bytes), #name)

/* ---- vfio ------------------------------------------------------------------------------------ */

struct vfiod_bind {
	uint32_t size;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_device;
};
IOFD_SIZE(vfiod_bind, 16);

#define VFIOD_HAS_PASID 1u

/* page_table: an IOAS or a page table of iommufd's. Without a PASID: for requests without one. */
struct vfiod_attach {
	uint32_t size;
	uint32_t flags;
	uint32_t page_table;
	uint32_t pasid;
};
IOFD_SIZE(vfiod_attach, 16);

struct vfiod_detach {
	uint32_t size;
	uint32_t flags;
	uint32_t pasid;
};
IOFD_SIZE(vfiod_detach, 12);

/* ---- Address spaces -------------------------------------------------------------------------- */

struct iofd_destroy {
	uint32_t size;
	uint32_t id;
};
IOFD_SIZE(iofd_destroy, 8);

struct iofd_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_id;
};
IOFD_SIZE(iofd_ioas_alloc, 12);

#define IOFD_MAP_FIXED 1u
#define IOFD_MAP_WRITE 2u
#define IOFD_MAP_READ  4u

struct iofd_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas;
	uint32_t reserved;
	uint64_t memory;
	uint64_t bytes;
	uint64_t iova;
};
IOFD_SIZE(iofd_map, 40);

struct iofd_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas;
	int32_t fd;
	uint64_t offset;
	uint64_t bytes;
	uint64_t iova;
};
IOFD_SIZE(iofd_map_file, 40);

/* bytes comes back as what was unmapped. */
struct iofd_unmap {
	uint32_t size;
	uint32_t ioas;
	uint64_t iova;
	uint64_t bytes;
};
IOFD_SIZE(iofd_unmap, 24);

#define IOFD_OPTION_LARGE_PAGES 1u /* of an IOAS: value 0 makes all of its pages small */

struct iofd_option {
	uint32_t size;
	uint32_t option;
	uint16_t get; /* 0: set */
	uint16_t reserved;
	uint32_t id;
	uint64_t value;
};
IOFD_SIZE(iofd_option, 24);

/* ---- Hardware -------------------------------------------------------------------------------- */

#define IOFD_TYPE_VTD 1u /* of hardware information, and of a page table's data */

/* What the host's IOMMU announces. */
struct iofd_vtd_info {
	uint32_t flags;
	uint32_t reserved;
	uint64_t cap;
	uint64_t ecap;
};
IOFD_SIZE(iofd_vtd_info, 24);

#define IOFD_HAS_DIRTY      1u
#define IOFD_HAS_PASID_EXEC 2u
#define IOFD_HAS_PASID_PRIV 4u

/* data_bytes: of the buffer, comes back as what there is. */
struct iofd_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t device;
	uint32_t data_bytes;
	uint64_t data;
	uint32_t out_type;
	uint8_t out_pasid_bits;
	uint8_t reserved[3];
	uint64_t out_capabilities;
};
IOFD_SIZE(iofd_hw_info, 40);

/* ---- Page tables ----------------------------------------------------------------------------- */

#define IOFD_HWPT_PARENT 1u
#define IOFD_HWPT_DIRTY  2u
#define IOFD_HWPT_FAULTS 4u
#define IOFD_HWPT_PASID  8u

/* base: an IOAS for a second stage of the kernel's; such a one for a first stage nested on it. */
struct iofd_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t device;
	uint32_t base;
	uint32_t out_id;
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_bytes;
	uint64_t data;
	uint32_t fault_queue;
	uint32_t reserved2;
};
IOFD_SIZE(iofd_hwpt_alloc, 48);

#define IOFD_VTD_SRE  1u
#define IOFD_VTD_EAFE 2u
#define IOFD_VTD_WPE  4u

/* root: an I/O virtual address of the IOAS, which is an inner guest's physical one. */
struct iofd_vtd_first {
	uint64_t flags;
	uint64_t root;
	uint32_t width;
	uint32_t reserved;
};
IOFD_SIZE(iofd_vtd_first, 24);

/* nr comes back as how many were done. */
struct iofd_invalidate {
	uint32_t size;
	uint32_t page_table;
	uint64_t entries;
	uint32_t data_type; /* 0: first stage of VT-d */
	uint32_t entry_bytes;
	uint32_t nr;
	uint32_t reserved;
};
IOFD_SIZE(iofd_invalidate, 32);

#define IOFD_INV_LEAF 1u
#define IOFD_INV_ALL  UINT64_MAX

/* From 0 for IOFD_INV_ALL pages: everything. */
struct iofd_inv_entry {
	uint64_t addr;
	uint64_t pages;
	uint32_t flags;
	uint32_t reserved;
};
IOFD_SIZE(iofd_inv_entry, 24);

/* ---- Dirty pages ----------------------------------------------------------------------------- */

#define IOFD_DIRTY_ON   1u
#define IOFD_DIRTY_KEEP 1u /* do not clear what is read */

struct iofd_set_dirty {
	uint32_t size;
	uint32_t flags;
	uint32_t page_table;
	uint32_t reserved;
};
IOFD_SIZE(iofd_set_dirty, 16);

struct iofd_get_dirty {
	uint32_t size;
	uint32_t page_table;
	uint32_t flags;
	uint32_t reserved;
	uint64_t iova;
	uint64_t bytes;
	uint64_t page;
	uint64_t bitmap;
};
IOFD_SIZE(iofd_get_dirty, 48);

/* ---- Faults ---------------------------------------------------------------------------------- */

struct iofd_fault_queue {
	uint32_t size;
	uint32_t flags;
	uint32_t out_id;
	int32_t out_fd;
};
IOFD_SIZE(iofd_fault_queue, 16);

/* The kernel sets other flags besides. */
#define IOFD_FAULT_PASID 1u
#define IOFD_FAULT_LAST  2u
#define IOFD_FAULT_READ  1u
#define IOFD_FAULT_WRITE 2u

/* Read from the queue's descriptor. */
struct iofd_fault {
	uint32_t flags;
	uint32_t device;
	uint32_t pasid;
	uint32_t group;
	uint32_t access;
	uint32_t reserved;
	uint64_t addr;
	uint32_t length;
	uint32_t cookie;
};
IOFD_SIZE(iofd_fault, 40);

#define IOFD_SUCCESS 0u
#define IOFD_INVALID 1u

/* Written to it. */
struct iofd_response {
	uint32_t cookie;
	uint32_t code;
};
IOFD_SIZE(iofd_response, 8);

#endif /* VIOMMU_GUEST_IOMMUFD_H */
