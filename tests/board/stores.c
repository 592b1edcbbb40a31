/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log of a guest's processors, by SIGSEGV. An address that is in no log is somebody else's: the
 * handler of before gets it.
 */
#include "board/stores.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "lib/test.h"

static struct stores *logs;
static struct sigaction before;

static bool store(struct stores *s, const uint8_t *at)
{
	uint64_t page;

	if (at < s->host || at >= s->host + s->bytes)
		return false;
	page = (uint64_t)(at - s->host) / 4096;
	fetch_or(&s->page[page / 64], UINT64_C(1) << page % 64);
	return !mprotect(s->host + page * 4096, 4096, PROT_READ | PROT_WRITE);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct stores *s;

	(void)context;
	for (s = logs; s; s = s->next)
		if (store(s, info->si_addr))
			return;
	/* It faults once more. */
	sigaction(sig, &before, NULL);
}

static void protect(struct stores *s)
{
	assert_int_equal(mprotect(s->host, s->bytes, PROT_READ), 0);
}

void stores_begin(struct stores *s, uint8_t *host, uint64_t bytes)
{
	const struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	assert_in_range(bytes, 4096, STORES_PAGES * 4096ull);
	memset(s, 0, sizeof(*s));
	s->host = host;
	s->bytes = bytes;
	s->next = logs;
	if (!logs)
		assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	logs = s;
	protect(s);
}

void stores_take(struct stores *s, uint64_t *bitmap)
{
	uint64_t i;

	/* First: what is stored meanwhile is in one bitmap or the next. */
	protect(s);
	for (i = 0; i < s->bytes / 4096 / 64; i++)
		bitmap[i] = xchg(&s->page[i], 0);
}

void stores_end(struct stores *s)
{
	struct stores **p = &logs;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	assert_int_equal(mprotect(s->host, s->bytes, PROT_READ | PROT_WRITE), 0);
	if (!logs)
		assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
}
