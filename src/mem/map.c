/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapping file-backed regions: which files are safe to map, and where to put them. The software
 * host uses host addresses as its physical addresses, so a second-stage page of 2 MiB or 1 GiB
 * needs the guest and the host address to be equal below its size. Choice: alignment follows the
 * guest address, not the file offset.
 */
#include "mem/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/bits.h"

#define SIZE_2M BIT64(21)
#define SIZE_1G BIT64(30)

static int file_check(int fd, uint64_t end, bool guarded, bool *sealed)
{
	struct stat st;
	int seals;

	/* The seal first: a size seen after it can only grow. */
	seals = fcntl(fd, F_GET_SEALS);
	*sealed = seals >= 0 && (seals & F_SEAL_SHRINK);
	if (fstat(fd, &st))
		return -errno;
	if (!*sealed && !guarded)
		return -EPERM;
	if (st.st_size < 0 || (uint64_t)st.st_size < end)
		return -ENXIO;
	return 0;
}

/* Address space of `bytes` at an address that equals gpa modulo align. */
static int reserve(uint64_t gpa, uint64_t bytes, uint64_t align, char **out)
{
	uint64_t span, at, start;
	char *p;

	*out = NULL;
	if (add_overflows(bytes, align, &span) || span > SIZE_MAX)
		return -ENOMEM;
	p = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	start = (uintptr_t)p;
	at = align_down(start, align) + (gpa & (align - 1));
	if (at < start)
		at += align;
	VIOMMU_ASSERT(at + bytes <= start + span);
	if (at > start)
		munmap(p, at - start);
	if (at + bytes < start + span)
		munmap(p + (at - start) + bytes, start + span - at - bytes);
	*out = p + (at - start);
	return 0;
}

int viommu__map_fd(uint64_t gpa, uint64_t bytes, int fd, uint64_t offset, bool writable,
		   bool guarded, char **host, bool *sealed)
{
	uint64_t align = 4096, end;
	char *at, *p;
	int ret;

	if (add_overflows(offset, bytes, &end) || end > INT64_MAX)
		return -EINVAL;
	ret = file_check(fd, end, guarded, sealed);
	if (ret)
		return ret;
	if (bytes >= SIZE_1G)
		align = SIZE_1G;
	else if (bytes >= SIZE_2M)
		align = SIZE_2M;
	ret = reserve(gpa, bytes, align, &at);
	if (ret)
		return ret;
	p = mmap(at, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset);
	if (p == MAP_FAILED) {
		ret = -errno;
		munmap(at, bytes);
		return ret;
	}
	/* Only advice: without huge pages all works, slower. */
	if (bytes >= SIZE_2M)
		madvise(p, bytes, MADV_HUGEPAGE);
	*host = p;
	return 0;
}

void viommu__unmap(char *host, uint64_t bytes)
{
	int ret = munmap(host, bytes);

	/*
	 * -ENOMEM: the kernel joined it with a neighbour, and splitting them takes one mapping more
	 * than the process may have. It stays then, out of everyone's reach.
	 */
	VIOMMU_ASSERT(!ret || errno == ENOMEM);
}
