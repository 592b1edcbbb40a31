/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem/copy.h - copies between guest memory and our own, while the guest may write the same bytes.
 *
 * 1, 2, 4 or 8 bytes at a multiple of their size are one access. Anything else is as many accesses
 * as memcpy likes, in any order. Under ThreadSanitizer copies are made of relaxed atomics: a
 * guest that races is no bug of ours, and plain memcpy would be reported as one.
 */
#ifndef VIOMMU_SRC_MEM_COPY_H
#define VIOMMU_SRC_MEM_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/atomic.h"

#if defined(__SANITIZE_THREAD__)
#define VIOMMU__COPY_ATOMIC 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VIOMMU__COPY_ATOMIC 1
#endif
#endif
#ifndef VIOMMU__COPY_ATOMIC
#define VIOMMU__COPY_ATOMIC 0
#endif

static inline void viommu__copy_from_guest(void *dst, const void *src, size_t n)
{
	const char *s = src;
	char *d = dst;
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;
	uint8_t v1;

	if (n == 8 && !((uintptr_t)s & 7)) {
		v8 = load_relaxed((const uint64_t *)s);
		memcpy(d, &v8, 8);
	} else if (n == 4 && !((uintptr_t)s & 3)) {
		v4 = load_relaxed((const uint32_t *)s);
		memcpy(d, &v4, 4);
	} else if (n == 2 && !((uintptr_t)s & 1)) {
		v2 = load_relaxed((const uint16_t *)s);
		memcpy(d, &v2, 2);
	} else if (VIOMMU__COPY_ATOMIC) {
		for (; n && ((uintptr_t)s & 7); s++, d++, n--) {
			v1 = load_relaxed((const uint8_t *)s);
			memcpy(d, &v1, 1);
		}
		for (; n >= 8; s += 8, d += 8, n -= 8) {
			v8 = load_relaxed((const uint64_t *)s);
			memcpy(d, &v8, 8);
		}
		for (; n; s++, d++, n--) {
			v1 = load_relaxed((const uint8_t *)s);
			memcpy(d, &v1, 1);
		}
	} else {
		memcpy(d, s, n);
	}
}

static inline void viommu__copy_to_guest(void *dst, const void *src, size_t n)
{
	const char *s = src;
	char *d = dst;
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;
	uint8_t v1;

	if (n == 8 && !((uintptr_t)d & 7)) {
		memcpy(&v8, s, 8);
		store_relaxed((uint64_t *)d, v8);
	} else if (n == 4 && !((uintptr_t)d & 3)) {
		memcpy(&v4, s, 4);
		store_relaxed((uint32_t *)d, v4);
	} else if (n == 2 && !((uintptr_t)d & 1)) {
		memcpy(&v2, s, 2);
		store_relaxed((uint16_t *)d, v2);
	} else if (VIOMMU__COPY_ATOMIC) {
		for (; n && ((uintptr_t)d & 7); s++, d++, n--) {
			memcpy(&v1, s, 1);
			store_relaxed((uint8_t *)d, v1);
		}
		for (; n >= 8; s += 8, d += 8, n -= 8) {
			memcpy(&v8, s, 8);
			store_relaxed((uint64_t *)d, v8);
		}
		for (; n; s++, d++, n--) {
			memcpy(&v1, s, 1);
			store_relaxed((uint8_t *)d, v1);
		}
	} else {
		memcpy(d, s, n);
	}
}

#endif /* VIOMMU_SRC_MEM_COPY_H */
