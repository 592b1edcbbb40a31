/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nested attach: what the kernel says of the unit, and what it grants and refuses on it. Each errno
 * here was seen on Linux 7.3.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nested.h"

static uint64_t unit_register(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/class/iommu/dmar0/intel-iommu/%s", name);
	if (!get_text(path, text, sizeof(text)))
		give_up(path);
	return strtoull(text, NULL, 16);
}

static void hardware(struct nested *n)
{
	struct iofd_vtd_info vtd = { .cap = 0 };
	struct iofd_hw_info info = {
		.size = sizeof(info),
		.device = n->device,
		.data_bytes = sizeof(vtd),
		.data = (uintptr_t)&vtd,
	};
	int error = iofd(n->iommu, IOFD_HW_INFO, &info);

	if (!check_error(error, 0, "the kernel tells what the hardware is"))
		return;
	check(info.out_type == IOFD_TYPE_VTD && info.data_bytes == sizeof(vtd),
	      "the hardware is VT-d", "type %u, %u bytes", info.out_type, info.data_bytes);
	check(vtd.cap == unit_register("cap") && vtd.ecap == unit_register("ecap"),
	      "its capabilities are those of the unit", "CAP %#lx, ECAP %#lx",
	      (unsigned long)vtd.cap, (unsigned long)vtd.ecap);
	check(info.out_pasid_bits == 20, "the device has PASIDs of 20 bits", "%u bits",
	      info.out_pasid_bits);
	check((info.out_capabilities & IOFD_HAS_DIRTY) &&
		      !(info.out_capabilities & IOFD_HAS_PASID_EXEC),
	      "dirty tracking is to be had, execution by PASID is not", "capabilities %#lx",
	      (unsigned long)info.out_capabilities);
	say("@value hardware %#lx %#lx %u %#lx %#x", (unsigned long)vtd.cap,
	    (unsigned long)vtd.ecap, info.out_pasid_bits, (unsigned long)info.out_capabilities,
	    vtd.flags);
}

/* A page table on something, from nothing but flags and a base. */
static int plain(struct nested *n, uint32_t flags, uint32_t base, uint32_t *id)
{
	return hwpt_alloc(n, (struct iofd_hwpt_alloc){ .flags = flags, .base = base }, id);
}

static void parents(struct nested *n)
{
	struct iofd_fault_queue queue = { .size = sizeof(queue) };
	uint32_t id, other;

	check_error(iofd(n->iommu, IOFD_FAULT_QUEUE, &queue), 0, "there is a fault queue");
	check_error(
		hwpt_alloc(n,
			   (struct iofd_hwpt_alloc){ .flags = IOFD_HWPT_PARENT | IOFD_HWPT_FAULTS,
						     .base = n->ioas,
						     .fault_queue = queue.out_id },
			   &id),
		EOPNOTSUPP, "a parent that reports faults is refused");
	check_error(plain(n, 1u << 31, n->ioas, &id), EOPNOTSUPP, "an unknown flag is refused");
	check_error(plain(n, IOFD_HWPT_PARENT, n->ioas, &id), 0, "a parent is made");
	check_error(plain(n, IOFD_HWPT_PARENT | IOFD_HWPT_PASID | IOFD_HWPT_DIRTY, n->ioas, &other),
		    0, "a parent for PASIDs with dirty tracking is made");
	destroy(n, other);
	destroy(n, id);
	check_error(destroy(n, id), ENOENT, "what is destroyed is no longer there");
	destroy(n, queue.out_id);
}

/* A page that the inner guest may not write and a parent exclude each other. */
static void read_only(struct nested *n)
{
	void *page = must_map(NULL, PAGE, 3, 0x22, -1);
	struct iofd_map map = {
		.size = sizeof(map),
		.flags = IOFD_MAP_FIXED | IOFD_MAP_READ,
		.ioas = n->ioas,
		.memory = (uintptr_t)page,
		.bytes = PAGE,
		.iova = 0x1000,
	};
	struct iofd_unmap unmap = {
		.size = sizeof(unmap), .ioas = n->ioas, .iova = 0x1000, .bytes = PAGE
	};
	uint32_t id;

	check_error(iofd(n->iommu, IOFD_IOAS_MAP, &map), 0, "memory is mapped read-only");
	check_error(plain(n, IOFD_HWPT_PARENT, n->ioas, &id), EINVAL, "then no parent can be made");
	check_error(iofd(n->iommu, IOFD_IOAS_UNMAP, &unmap), 0, "it is unmapped again");
	check_error(plain(n, IOFD_HWPT_PARENT, n->ioas, &id), 0, "then a parent can be made");
	check_error(iofd(n->iommu, IOFD_IOAS_MAP, &map), EINVAL,
		    "and nothing can be mapped read-only");
	destroy(n, id);
}

/* With the parent made and attached. */
static void nested_tables(struct nested *n, struct inner *space)
{
	struct iofd_vtd_first first = { .root = space->root, .width = 48 };
	struct iofd_hwpt_alloc a = {
		.flags = IOFD_HWPT_PASID,
		.base = n->parent,
		.data_type = IOFD_TYPE_VTD,
		.data_bytes = sizeof(first),
		.data = (uintptr_t)&first,
	};
	uint32_t id, other;

	a.base = n->ioas;
	check_error(hwpt_alloc(n, a, &id), EOPNOTSUPP,
		    "a first stage on an address space is refused");
	a.base = n->parent;
	a.data_type = 7;
	check_error(hwpt_alloc(n, a, &id), EOPNOTSUPP, "an unknown format is refused");
	a.data_type = IOFD_TYPE_VTD;
	a.data_bytes = 8;
	check_error(hwpt_alloc(n, a, &id), EINVAL, "a description cut short is refused");
	a.data_bytes = sizeof(first);
	a.flags |= IOFD_HWPT_FAULTS;
	a.fault_queue = n->parent;
	check_error(hwpt_alloc(n, a, &id), ENOENT, "a fault queue that is none is refused");
	a.flags = 0;
	a.fault_queue = 0;
	check_error(hwpt_alloc(n, a, &id), 0, "a first stage is nested on the parent");
	check_error(attach(n, id, 7), EINVAL, "one not made for PASIDs is not attached to one");
	a.base = id;
	a.flags = IOFD_HWPT_PASID;
	check_error(hwpt_alloc(n, a, &other), EINVAL, "nothing is nested on a first stage");
	a.base = n->parent;
	destroy(n, id);
	first.width = 50;
	check_error(hwpt_alloc(n, a, &id), 0, "a width of 50 bits is made");
	check_error(attach(n, id, 7), EINVAL, "and not attached");
	destroy(n, id);
}

static void pasids(struct nested *n, struct inner *space)
{
	uint32_t id, other, plain_parent;

	check_error(hwpt_nested(n, space, 0, 0, &id), 0, "a first stage for PASIDs is made");
	check_error(attach(n, id, 0), EBUSY, "PASID 0 is refused");
	check_error(attach(n, id, 1 << 20), EINVAL, "PASID 2^20 is refused");
	check_error(attach(n, id, (1 << 20) - 1), 0, "PASID 2^20 - 1 is attached");
	check_error(attach(n, n->device, 7), EINVAL, "the device's id is nothing to attach");
	check_error(attach(n, id + 1000, 7), ENOENT, "an unknown id is nothing to attach");
	check_error(plain(n, IOFD_HWPT_PARENT, n->ioas, &plain_parent), 0,
		    "another parent without the flag for PASIDs is made");
	check_error(attach(n, plain_parent, NO_PASID), EINVAL,
		    "while a PASID is attached, all that is attached is for PASIDs");
	check_error(destroy(n, plain_parent), 0, "what is not attached is destroyed");
	check_error(hwpt_nested(n, space, 0, 0, &other), 0, "a second first stage is made");
	check_error(attach(n, other, (1 << 20) - 1), 0, "it takes the place of the first");
	check_error(destroy(n, id), 0, "which can be destroyed then");
	check_error(destroy(n, other), EBUSY, "an attached page table is not destroyed");
	check_error(destroy(n, n->parent), EBUSY, "nor is its parent");
	check_error(destroy(n, n->ioas), EBUSY, "nor is the address space");
	check_error(detach(n, (1 << 20) - 1), 0, "it is detached");
	check_error(detach(n, (1 << 20) - 1), 0, "to detach it once more is no error");
	check_error(destroy(n, other), 0, "then it is destroyed");
}

int nested_attach(const char *bdf)
{
	struct vfiod_bind bind = { .size = sizeof(bind) };
	struct inner space;
	struct nested n;
	int error;

	nested_bind(&n, bdf);
	result("the device is bound to an iommufd", NULL);
	bind.iommufd = n.iommu;
	check_error(iofd(n.vfio.device, VFIOD_BIND, &bind), EINVAL, "it is bound once only");
	hardware(&n);
	parents(&n);
	read_only(&n);
	nested_ram(&n);
	nested_map(&n, true);
	inner_new(&n, &space, 4);
	error = plain(&n, IOFD_HWPT_PARENT | IOFD_HWPT_PASID, n.ioas, &n.parent);
	check_error(error ?: attach(&n, n.parent, NO_PASID), 0,
		    "a parent is attached for requests without PASID");
	nested_tables(&n, &space);
	pasids(&n, &space);
	check_error(detach(&n, NO_PASID), 0, "the parent is detached");
	check_error(destroy(&n, n.parent), 0, "and destroyed");
	check_error(destroy(&n, n.ioas), 0, "and so is the address space");
	return 0;
}
