/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/error.h - what each errno means, everywhere in this library. Functions return them
 * negated.
 *
 *	EINVAL		an argument is out of its range, not aligned, or not allowed in this combination
 *	EFAULT		an address lies in no region of guest memory (or is written and read-only)
 *	ENOENT		the thing named does not exist: no such region, PASID, mapping, page request
 *	EEXIST		it exists already, or overlaps what exists
 *	EBUSY		it is in use: bound, referenced
 *	EPERM		it belongs to somebody else, or is not safe to use (a file that can shrink)
 *	ENODEV		the device was unplugged
 *	ENOSPC		a table or an id space is full
 *	EDQUOT		the owner's quota is used up
 *	ERANGE		beyond what this domain or host can address
 *	EAGAIN		not now: repeat after the event that the function names
 *	ENOTSUP		this host, domain or device model cannot do it (the kernel's internal 524,
 *			ENOTSUPP, becomes this one)
 *	ENOMEM		an allocation failed; nothing was changed
 *	EOVERFLOW	a counter is at its end
 *	ENXIO		a file is shorter than what was asked of it
 */
#ifndef VIOMMU_ERROR_H
#define VIOMMU_ERROR_H

#include <errno.h>

#endif
