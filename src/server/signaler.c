/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals to a client's eventfds. A plain write waits while the counter is full, and O_NONBLOCK
 * does not help: it belongs to the open file, so the client takes it off again. The kernel's own
 * signal never waits, and a finished asynchronous read sends one: of a byte of a file of ours,
 * which is always there, so that it is finished when io_submit(2) returns.
 *
 * Without asynchronous I/O (a kernel or a filter may lack it) the counter is looked at before the
 * write: what a client can do between the two is then its server's end.
 */
#include "server/signaler.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads that may stand in the ring: each thread that signals has one at a time. */
#define RING 256

int viommu__signaler_open(struct viommu__signaler *s)
{
	aio_context_t context = 0;

	s->context = 0;
	s->fd = memfd_create("viommu-signal", MFD_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	if (ftruncate(s->fd, 1))
		return -errno;
	if (!syscall(SYS_io_setup, RING, &context))
		s->context = context;
	return 0;
}

void viommu__signaler_close(struct viommu__signaler *s)
{
	if (s->context)
		syscall(SYS_io_destroy, (aio_context_t)s->context);
	s->context = 0;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void signal_plain(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	/* Full: whoever waits for it has been told long ago. */
	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT && write(fd, &one, sizeof(one)) < 0)
		return;
}

void viommu__signal(struct viommu__signaler *s, int fd)
{
	struct io_event done;
	struct iocb cb, *list = &cb;
	char byte;
	long n;

	if (!s->context) {
		signal_plain(fd);
		return;
	}
	memset(&cb, 0, sizeof(cb));
	cb.aio_lio_opcode = IOCB_CMD_PREAD;
	cb.aio_fildes = (uint32_t)s->fd;
	cb.aio_buf = (uintptr_t)&byte;
	cb.aio_nbytes = 1;
	cb.aio_flags = IOCB_FLAG_RESFD;
	cb.aio_resfd = (uint32_t)fd;
	n = syscall(SYS_io_submit, (aio_context_t)s->context, 1, &list);
	if (n == 1)
		syscall(SYS_io_getevents, (aio_context_t)s->context, 0, 1, &done, NULL);
	else if (errno != EINVAL) /* EINVAL: it is no eventfd; else: no memory */
		signal_plain(fd);
}
