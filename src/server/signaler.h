/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals to eventfds of a client, who may do with them what it likes: none of it makes a signal
 * wait.
 *
 * Synchronisation: viommu__signal() from any thread; the others by the owner.
 */
#ifndef VIOMMU_SERVER_SIGNALER_H
#define VIOMMU_SERVER_SIGNALER_H

#include <stdint.h>

struct viommu__signaler {
	unsigned long context; /* aio_context_t; 0: there is none */
	int fd;                /* -1: not open */
};

/* 0 or -errno; to be closed in either case. */
int viommu__signaler_open(struct viommu__signaler *s);
void viommu__signaler_close(struct viommu__signaler *s);
/* Adds one to the counter of fd, which viommu__eventfd_check() has passed. */
void viommu__signal(struct viommu__signaler *s, int fd);

#endif /* VIOMMU_SERVER_SIGNALER_H */
