/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The SIGBUS guard: turns an access to a page that a file has lost into an access to zeroes, a
 * mark on the region and a count. The one place of the library with state of the whole process,
 * because a signal handler belongs to the whole process. Hardware memory errors are not handled.
 *
 * The handler replaces the whole mapping, not the page: hugetlbfs allows nothing less, and the
 * region is a hole from then on anyway. Its order is
 *
 *	mark the region lost; count; replace
 *
 * so who reads a zero that the replacement made finds the count moved, or began after the count
 * and found the mark. Readers look at the count (or the mark) before and after, see mem/mem.h.
 *
 * Synchronisation
 *	field			written by			read by
 *	slots[].start ...	under slots_lock, with seq odd	the handler, without lock: a slot whose
 *				meanwhile			seq is odd or moved is in change, hence
 *								not the one of the fault, whose region
 *								cannot go while its reader stands here
 *	slots_used		under slots_lock, only grows	the handler
 *	viommu__mem_lost	the handler			anyone, viommu__mem_lost_count()
 *	previous		once, before the handler is in	the handler
 */
#include "mem/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "mem/mem.h"

struct guard_slot {
	uint32_t seq;
	uint32_t bit;
	uintptr_t start; /* start = end: not in use */
	uintptr_t end;
	uint32_t *dead;
};

/* The state of the whole process, all of it. */
static struct {
	struct guard_slot slots[VIOMMU__GUARD_SLOTS];
	uint32_t slots_used;
	uint32_t slots_free; /* below this, none is free */
	pthread_mutex_t slots_lock;

	pthread_mutex_t install_lock;
	uint32_t installed;
	struct sigaction previous;
	uint32_t previous_reset; /* SA_RESETHAND of the previous handler: it was called */
} guard_state = {
	.slots_lock = PTHREAD_MUTEX_INITIALIZER,
	.install_lock = PTHREAD_MUTEX_INITIALIZER,
};

/* Apart from it, to be seen by mem.h's inline function. */
uint64_t viommu__mem_lost;

bool viommu__guard_installed(void)
{
	return load_acquire(&guard_state.installed);
}

static void slot_set(struct guard_slot *slot, uintptr_t start, uintptr_t end, uint32_t *dead,
		     uint32_t bit)
{
	uint32_t seq = load_relaxed(&slot->seq);

	store_relaxed(&slot->seq, seq + 1);
	fence_release();
	store_relaxed(&slot->start, start);
	store_relaxed(&slot->end, end);
	store_relaxed(&slot->dead, dead);
	store_relaxed(&slot->bit, bit);
	store_release(&slot->seq, seq + 2);
}

int viommu__guard_add(void *start, size_t bytes, uint32_t *dead, uint32_t bit)
{
	uint32_t i;
	int slot = -ENOSPC;

	pthread_mutex_lock(&guard_state.slots_lock);
	for (i = guard_state.slots_free; i < guard_state.slots_used; i++)
		if (guard_state.slots[i].start == guard_state.slots[i].end)
			break;
	if (i < VIOMMU__GUARD_SLOTS) {
		slot_set(&guard_state.slots[i], (uintptr_t)start, (uintptr_t)start + bytes, dead,
			 bit);
		guard_state.slots_free = i + 1;
		if (i == guard_state.slots_used)
			store_release(&guard_state.slots_used, i + 1);
		slot = (int)i;
	}
	pthread_mutex_unlock(&guard_state.slots_lock);
	return slot;
}

void viommu__guard_del(int slot)
{
	if (slot < 0)
		return;
	pthread_mutex_lock(&guard_state.slots_lock);
	VIOMMU_ASSERT((uint32_t)slot < guard_state.slots_used &&
		      guard_state.slots[slot].start != guard_state.slots[slot].end);
	slot_set(&guard_state.slots[slot], 0, 0, NULL, 0);
	if ((uint32_t)slot < guard_state.slots_free)
		guard_state.slots_free = (uint32_t)slot;
	pthread_mutex_unlock(&guard_state.slots_lock);
}

/*
 * The handler's part has no sanitizer in it: the instruction that faulted may be one inside of
 * ThreadSanitizer (an atomic of guest memory), which then holds locks that it would need again.
 */
#if defined(__clang__) && defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define NOT_SANITIZED __attribute__((disable_sanitizer_instrumentation))
#endif
#elif defined(__SANITIZE_THREAD__)
#define NOT_SANITIZED __attribute__((no_sanitize_thread))
#endif
#ifndef NOT_SANITIZED
#define NOT_SANITIZED
#endif

/* Async-signal-safe. The C library's mmap would do, but sanitizers put themselves into it. */
NOT_SANITIZED static bool replace_by_zeroes(uintptr_t start, uintptr_t end)
{
#ifdef SYS_mmap2
	long nr = SYS_mmap2;
#else
	long nr = SYS_mmap;
#endif
	long p = syscall(nr, start, end - start, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);

	return p == (long)start;
}

/* Is addr in a guarded mapping, and is it readable again? Async-signal-safe. */
NOT_SANITIZED static bool guard_handles(uintptr_t addr)
{
	uint32_t i, n = load_acquire(&guard_state.slots_used), seq, bit;
	uintptr_t start, end;
	uint32_t *dead;

	for (i = 0; i < n; i++) {
		seq = load_acquire(&guard_state.slots[i].seq);
		start = load_relaxed(&guard_state.slots[i].start);
		end = load_relaxed(&guard_state.slots[i].end);
		dead = load_relaxed(&guard_state.slots[i].dead);
		bit = load_relaxed(&guard_state.slots[i].bit);
		fence_acquire();
		if ((seq & 1) || load_relaxed(&guard_state.slots[i].seq) != seq)
			continue;
		if (addr < start || addr >= end)
			continue;
		/*
		 * Also when another thread did it already: it may stand between count and replace.
		 */
		fetch_or(dead, bit);
		fetch_add(&viommu__mem_lost, 1);
		return replace_by_zeroes(start, end);
	}
	return false;
}

/* Did an instruction raise it, so that returning raises it again? */
static bool signal_is_synchronous(const siginfo_t *info)
{
	return info->si_code == BUS_ADRALN || info->si_code == BUS_ADRERR ||
	       info->si_code == BUS_OBJERR || info->si_code == BUS_MCEERR_AR;
}

static void default_action(const siginfo_t *info)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	/* A synchronous one kills when the instruction runs again, with its address in the core. */
	if (!signal_is_synchronous(info))
		raise(SIGBUS);
}

static void chain(int sig, siginfo_t *info, void *context)
{
	bool gone = (guard_state.previous.sa_flags & SA_RESETHAND) &&
		    xchg(&guard_state.previous_reset, 1);

	if (!gone && (guard_state.previous.sa_flags & SA_SIGINFO)) {
		guard_state.previous.sa_sigaction(sig, info, context);
	} else if (gone || guard_state.previous.sa_handler == SIG_DFL) {
		default_action(info);
	} else if (guard_state.previous.sa_handler == SIG_IGN) {
		/* As the kernel: what an instruction raised cannot be ignored. */
		if (signal_is_synchronous(info))
			default_action(info);
	} else {
		guard_state.previous.sa_handler(sig);
	}
}

NOT_SANITIZED static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	/*
	 * Only the kernel says BUS_ADRERR by itself; a process that sends SIGBUS has a code <= 0.
	 */
	if (info->si_code != BUS_ADRERR || !guard_handles((uintptr_t)info->si_addr))
		chain(sig, info, context);
	errno = saved;
}

int viommu_mem_guard_install(void)
{
	struct sigaction action;
	int ret = 0;

	pthread_mutex_lock(&guard_state.install_lock);
	if (guard_state.installed)
		goto out;
	if (sigaction(SIGBUS, NULL, &guard_state.previous)) {
		ret = -errno;
		goto out;
	}
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_sigbus;
	/* The handler before us runs inside ours: with the mask and the stack that it asked for. */
	action.sa_mask = guard_state.previous.sa_mask;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK |
			  (guard_state.previous.sa_flags & (SA_NODEFER | SA_RESTART));
	if (sigaction(SIGBUS, &action, NULL)) {
		ret = -errno;
		goto out;
	}
	store_release(&guard_state.installed, 1);
out:
	pthread_mutex_unlock(&guard_state.install_lock);
	return ret;
}
