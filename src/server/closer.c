/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closing what a peer has sent: see closer.h.
 *
 * A thread for each, since one that waits must not keep the others; they are few: who brings such
 * descriptors while CLOSERS_MAX do not end is turned away. The counter is the process's, as
 * descriptors are.
 */
#include "server/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/atomic.h"
#include "server/socket.h"
#include "server/wire.h"

#define CLOSERS_MAX 16u

static uint32_t closers; /* atomic */

bool viommu__fd_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

bool viommu__fd_is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[32], text[sizeof(name)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, text, sizeof(text));
	return n == sizeof(name) - 1 && !memcmp(text, name, sizeof(name) - 1);
}

static void *close_one(void *arg)
{
	close((int)(intptr_t)arg);
	fetch_sub(&closers, 1);
	return NULL;
}

bool viommu__fd_close(int fd)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int err;

	if (viommu__fd_is_memory(fd) || viommu__fd_is_eventfd(fd)) {
		close(fd);
		return true;
	}
	fetch_add(&closers, 1);
	err = pthread_attr_init(&attr);
	if (!err) {
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN + 65536);
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		err = pthread_create(&thread, &attr, close_one, (void *)(intptr_t)fd);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		pthread_attr_destroy(&attr);
	}
	if (err)
		close_one((void *)(intptr_t)fd);
	return false;
}

uint32_t viommu__fd_closing(void)
{
	return load_acquire(&closers);
}

bool viommu__fd_close_busy(void)
{
	return viommu__fd_closing() >= CLOSERS_MAX;
}

bool viommu__socket_end(int fd)
{
	int fds[SOCKET_FDS_ALL];
	unsigned int nr;
	uint8_t buf[4096];
	bool lost, good = true;
	ssize_t n;

	/* From here on nothing comes any more, so the end is near. */
	shutdown(fd, SHUT_RDWR);
	do {
		nr = SOCKET_FDS_ALL;
		n = viommu__socket_recv(fd, buf, sizeof(buf), fds, &nr, &lost);
		while (nr)
			good &= viommu__fd_close(fds[--nr]);
	} while (n > 0 || n == -EINTR);
	close(fd);
	return good;
}
