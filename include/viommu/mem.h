/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu/mem.h - guest memory: guest physical addresses (GPA) to bytes of this process.
 *
 * A struct viommu_mem is one physical address space: a set of regions that do not overlap. Regions
 * are given by file descriptor and offset (the library maps them, aligned so that large
 * second-stage pages fit) or by pointer (borrowed until the region is removed). Addresses outside
 * all regions are holes: access to them is -EFAULT here and a fault in a translation.
 *
 * Smallest correct use:
 *	struct viommu_mem *mem;
 *	viommu_mem_new(&mem);
 *	viommu_mem_add_fd(mem, 0, size, memfd, 0, 0);
 *	viommu_mem_read(mem, gpa, buf, sizeof(buf));
 *	viommu_mem_free(mem);
 *
 * Truncation. A file that shrinks under a mapping kills the process by SIGBUS. A memfd sealed with
 * F_SEAL_SHRINK cannot shrink and is taken as it is. Any other file is refused (-EPERM) unless
 * viommu_mem_guard_install() was called in this process: then an access to a page that the file
 * lost ends as if the region had been removed (-EFAULT, or the fault of a hole), and every later
 * access to that region ends the same way until it is removed and added again.
 *
 * Synchronisation
 *	function                                  context
 *	viommu_mem_new, _free                     owner, nobody else uses the object
 *	viommu_mem_add_*, _remove                 any thread; serialised inside; may sleep
 *	viommu_mem_read, _write, _load64, ...     any thread, any number at once, while regions change
 * viommu_mem_remove() returns only when no access (these functions, or DMA through a host) can
 * touch the region any more. Neither it nor viommu_mem_add_*() may be called from inside a callback
 * of the library.
 *
 * Accesses of 1, 2, 4 or 8 bytes at a multiple of their size are single accesses, by
 * viommu_mem_read() and _write() as well: what a guest writes at the same time is seen whole or not
 * at all. Longer ones are copied in pieces.
 */
#ifndef VIOMMU_MEM_H
#define VIOMMU_MEM_H

#include <viommu/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_mem;

#define VIOMMU_MEM_READ_ONLY 0x1u

/* Most regions that one memory holds; one more is -ENOSPC. */
#define VIOMMU_MEM_MAX_REGIONS 65536u

/* 0 or -ENOMEM; *out is NULL on failure. */
VIOMMU_API int viommu_mem_new(struct viommu_mem **out);
/* NULL is allowed. Every region is removed. No domain may use it any more (assertion). */
VIOMMU_API void viommu_mem_free(struct viommu_mem *mem);

/*
 * Add [gpa, gpa + bytes). gpa, bytes and offset are multiples of 4096, the end is at most 2^52. The
 * descriptor may be closed after the call. Returns 0, -EINVAL (alignment, size 0, wrap, unknown
 * flag), -EEXIST (overlap), -ENOSPC (too many regions), -ENOMEM, -EPERM (see Truncation), -ENXIO
 * (file shorter than offset + bytes; a device file counts as empty: map it and add it by pointer),
 * what fstat(2) or mmap(2) say, or what a domain that uses the memory says.
 *
 * From 1 GiB (2 MiB) on, the host address equals gpa modulo 1 GiB (2 MiB), so that second-stage
 * pages of that size fit.
 */
VIOMMU_API int viommu_mem_add_fd(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes, int fd,
				 uint64_t offset, uint32_t flags);
/*
 * The same by pointer, borrowed: the bytes must stay mapped until the region is removed. ptr is a
 * multiple of 4096 and not NULL. The same bytes may be added at several guest addresses. Returns as
 * above, but never -EPERM or -ENXIO.
 */
VIOMMU_API int viommu_mem_add_ptr(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes, void *ptr,
				  uint32_t flags);
/*
 * Remove every region that lies inside [gpa, gpa + bytes). 0; -ENOENT if there is none; -EINVAL if
 * one lies only partly inside (nothing is removed then), or if the range is empty or wraps. It
 * needs no memory: it cannot fail in another way.
 */
VIOMMU_API int viommu_mem_remove(struct viommu_mem *mem, uint64_t gpa, uint64_t bytes);

/*
 * Copy bytes; may cross regions. 0, or -EFAULT if any byte lies in a hole (write: or in a read-only
 * region); then bytes before the hole may have been copied. 0 bytes are 0, at any address.
 */
VIOMMU_API int viommu_mem_read(struct viommu_mem *mem, uint64_t gpa, void *buf, size_t bytes);
VIOMMU_API int viommu_mem_write(struct viommu_mem *mem, uint64_t gpa, const void *buf,
				size_t bytes);

/*
 * Aligned 64-bit accesses, single-copy atomic against a guest that writes at the same time. -EINVAL
 * if not aligned.
 */
VIOMMU_API int viommu_mem_load64(struct viommu_mem *mem, uint64_t gpa, uint64_t *out);
VIOMMU_API int viommu_mem_store64(struct viommu_mem *mem, uint64_t gpa, uint64_t value);
/*
 * Compare-and-swap: *old holds what is expected and receives what was found. 0 = swapped, -EAGAIN =
 * was different.
 */
VIOMMU_API int viommu_mem_cas64(struct viommu_mem *mem, uint64_t gpa, uint64_t *old,
				uint64_t value);

/* One region, for inspection. */
struct viommu_mem_region {
	uint64_t gpa;
	uint64_t bytes;
	void *host; /* where it lies in this process: also its HPA on the software host */
	uint32_t flags;
	uint32_t lost; /* not 0: the file was truncated, every access faults */
};

/*
 * The region that holds gpa, or the next one above; -ENOENT if there is none. Walk all: start at 0,
 * go on at gpa + bytes.
 */
VIOMMU_API int viommu_mem_next(struct viommu_mem *mem, uint64_t gpa, struct viommu_mem_region *out);

/*
 * Install the process-wide SIGBUS guard (once; a second call is 0). It handles faults inside
 * guarded regions only and passes every other SIGBUS to the handler that was there before; who sets
 * a handler later has to do the same for ours. Hardware memory errors are passed on as well. 0 or
 * -errno of sigaction(2). Any thread.
 */
VIOMMU_API int viommu_mem_guard_install(void);

#ifdef __cplusplus
}
#endif
#endif
