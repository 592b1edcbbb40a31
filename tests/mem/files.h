/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files for tests of memory: sealed and plain ones, and what a test does to them.
 */
#ifndef VIOMMU_TEST_MEM_FILES_H
#define VIOMMU_TEST_MEM_FILES_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/test.h"

#define KIB  UINT64_C(1024)
#define MIB  (KIB * KIB)
#define GIB  (KIB * MIB)
#define PAGE UINT64_C(4096)

/* A file of zeroes that can shrink. */
static inline int file_plain(uint64_t bytes)
{
	int fd = memfd_create("viommu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* A file of zeroes that cannot shrink. */
static inline int file_sealed(uint64_t bytes)
{
	int fd = file_plain(bytes);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

/* The process's file descriptors in use. */
static inline int files_open(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Is the page at p mapped? */
static inline bool page_is_mapped(const void *p)
{
	unsigned char in_core;

	return mincore((void *)(uintptr_t)p, PAGE, &in_core) == 0;
}

#endif /* VIOMMU_TEST_MEM_FILES_H */
