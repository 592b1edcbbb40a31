/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What both sides of a handover need: lines over a socket that does not block, each with an end to
 * its patience. They are few and short, so a byte at a time is received: what follows a line may
 * carry descriptors.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "server/closer.h"
#include "server/handover.h"
#include "server/socket.h"

uint64_t viommu__now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t viommu__now_ms(void)
{
	return (int64_t)(viommu__now_ns() / 1000000);
}

int viommu__fd_wait(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - viommu__now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

int viommu__line_send(int fd, const char *line, int64_t deadline)
{
	size_t left = strlen(line);
	ssize_t n;
	int err;

	while (left) {
		n = send(fd, line, left, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			err = viommu__fd_wait(fd, POLLOUT, deadline);
			if (err)
				return err;
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		} else if (n > 0) {
			line += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

int viommu__line_recv(int fd, char *line, size_t size, int *fds, unsigned int *nr,
		      struct ucred *from, int64_t deadline)
{
	unsigned int most = nr ? *nr : 0, now, i;
	int got[SOCKET_FDS_ALL], err;
	size_t at = 0;
	ssize_t n;
	bool lost;

	if (nr)
		*nr = 0;
	for (;;) {
		now = SOCKET_FDS_ALL;
		n = viommu__socket_recv_from(fd, line + at, 1, got, &now, &lost, from);
		for (i = 0; n > 0 && i < now; i++) {
			if (nr && *nr < most)
				fds[(*nr)++] = got[i];
			else
				viommu__fd_close(got[i]);
		}
		if (!n)
			return -EPIPE;
		if (n > 0 && line[at] == '\n')
			break;
		if (n > 0 && ++at == size)
			return -EPROTO;
		if (n < 0 && n != -EAGAIN && n != -EINTR)
			return (int)n;
		err = n == -EAGAIN ? viommu__fd_wait(fd, POLLIN, deadline) : 0;
		if (err)
			return err;
	}
	line[at] = '\0';
	return 0;
}

char *viommu__path_absolute(const char *path)
{
	char cwd[PATH_MAX], *out;
	size_t n = 0;

	if (path[0] != '/') {
		if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
			return NULL;
		n = strlen(cwd);
	}
	out = viommu__alloc(n + strlen(path) + 2);
	if (!out)
		return NULL;
	memcpy(out, cwd, n);
	if (n && out[n - 1] != '/')
		out[n++] = '/';
	memcpy(out + n, path, strlen(path) + 1);
	return out;
}
