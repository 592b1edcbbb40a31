/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Short names for the compiler's atomics, so that the order is the first thing to read at each use.
 * They work on plain integers and pointers of up to 8 bytes (also in guest memory, which has no
 * _Atomic type) and evaluate their arguments once.
 *
 * Read-modify-write without a suffix is sequentially consistent.
 */
#ifndef VIOMMU_BASE_ATOMIC_H
#define VIOMMU_BASE_ATOMIC_H

#define load_relaxed(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define load_seqcst(p)  __atomic_load_n(p, __ATOMIC_SEQ_CST)

#define store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define store_seqcst(p, v)  __atomic_store_n(p, v, __ATOMIC_SEQ_CST)

/*
 * If *p equals *expected store desired and return true, else put *p into *expected and return
 * false. The weak one may fail for no reason and belongs in a loop.
 */
#define cmpxchg(p, expected, desired) \
	__atomic_compare_exchange_n(p, expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define cmpxchg_weak(p, expected, desired) \
	__atomic_compare_exchange_n(p, expected, desired, 1, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define cmpxchg_acqrel(p, expected, desired) \
	__atomic_compare_exchange_n(p, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define cmpxchg_relaxed(p, expected, desired) \
	__atomic_compare_exchange_n(p, expected, desired, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

#define xchg(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)

/* All of these return the value before. */
#define fetch_add(p, v)         __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)
#define fetch_sub(p, v)         __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST)
#define fetch_or(p, v)          __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST)
#define fetch_and(p, v)         __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST)
#define fetch_add_relaxed(p, v) __atomic_fetch_add(p, v, __ATOMIC_RELAXED)

#define fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
#define fence_seqcst()  __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Keeps the compiler, not the processor, from moving memory accesses across. */
#define compiler_barrier() __asm__ __volatile__("" ::: "memory")

/* In a loop that waits for another thread. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

#endif /* VIOMMU_BASE_ATOMIC_H */
