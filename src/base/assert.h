/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Assertions: the third kind of wrong, ours. A caller's mistake returns -errno and a guest's is a
 * fault value; neither of them may reach an assertion.
 *
 * VIOMMU_ASSERT stays in every build: a broken invariant in an IOMMU is a hole, so it stops the
 * process. VIOMMU_DEBUG_ASSERT is for checks that cost on a hot path; it is there in builds with
 * the test hooks (what the tests link) and in none that ships.
 */
#ifndef VIOMMU_BASE_ASSERT_H
#define VIOMMU_BASE_ASSERT_H

/* Print "file:line: function: expression" to stderr and abort. */
__attribute__((noreturn, cold)) void viommu__assert_failed(const char *file, int line,
							   const char *func, const char *expr);

#define VIOMMU_ASSERT(expr)                                                         \
	do {                                                                        \
		if (__builtin_expect(!(expr), 0))                                   \
			viommu__assert_failed(__FILE__, __LINE__, __func__, #expr); \
	} while (0)

#ifdef VIOMMU_TEST_HOOKS
#define VIOMMU_DEBUG_ASSERT(expr) VIOMMU_ASSERT(expr)
#else
/* Not evaluated, but still compiled, so that it cannot rot. */
#define VIOMMU_DEBUG_ASSERT(expr) ((void)sizeof(!(expr)))
#endif

#define VIOMMU_STATIC_ASSERT(expr, what) _Static_assert(expr, what)

#endif /* VIOMMU_BASE_ASSERT_H */
