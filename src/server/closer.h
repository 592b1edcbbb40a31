/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closing what a peer has sent. To close the last descriptor of a file can take as long as whoever
 * made it wants: a socket lingers, a file system of a process asks that process. So only what is
 * known not to wait is closed at once; the rest is closed by threads that do nothing else.
 *
 * Synchronisation: any thread.
 */
#ifndef VIOMMU_SERVER_CLOSER_H
#define VIOMMU_SERVER_CLOSER_H

#include <stdbool.h>
#include <stdint.h>

/* Files in memory, of no process and no network: memfd_create(2), tmpfs, hugetlbfs. */
bool viommu__fd_is_memory(int fd);
bool viommu__fd_is_eventfd(int fd);
/* False: it might not end, so a thread does it. */
bool viommu__fd_close(int fd);
/* How many such threads there are. */
uint32_t viommu__fd_closing(void);
/* So many do not end: take no more of whoever brings such ones. */
bool viommu__fd_close_busy(void);
/*
 * The end of a connection: what still waits in it is received first, since it may hold descriptors
 * that would be closed with it. False: as viommu__fd_close() said of one of them.
 */
bool viommu__socket_end(int fd);

#endif /* VIOMMU_SERVER_CLOSER_H */
