/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UNIX sockets: a listening one that only its owner can reach, messages with descriptors, and
 * descriptors of a peer that are what they should be.
 */
#ifndef VIOMMU_SERVER_SOCKET_H
#define VIOMMU_SERVER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Most descriptors that the kernel carries with one message. */
#define SOCKET_FDS_ALL 253

/* A listening socket, and the name it has in the file system. */
struct viommu__socket {
	int fd;
	char *path;
	dev_t dev; /* what path was when it was made: nothing else is removed */
	ino_t ino;
};

/*
 * Listen at path, mode 0600 from its first moment. A socket there that nobody serves is replaced.
 * 0; -EADDRINUSE: somebody serves it; -EEXIST: it is no socket; -ENAMETOOLONG; -EINVAL (empty);
 * -ENOMEM; or -errno. On failure s->fd is -1 and s->path NULL.
 */
int viommu__socket_listen(struct viommu__socket *s, const char *path);
/* Closes it and removes its name. */
void viommu__socket_close(struct viommu__socket *s);
/* Closes it; its name is somebody else's. */
void viommu__socket_leave(struct viommu__socket *s);
/*
 * fd listens at path, as somebody did before. 0, -EINVAL (it does not), -ENOMEM; then it is closed.
 */
int viommu__socket_adopt(struct viommu__socket *s, const char *path, int fd, dev_t dev, ino_t ino);
/* A connection of the kind that viommu__socket_accept() gives; it is made non-blocking. */
bool viommu__socket_is_connection(int fd);
/* Either of the two. */
bool viommu__socket_is_stream(int fd);
/* A new client, non-blocking. Its descriptor or -errno. */
int viommu__socket_accept(const struct viommu__socket *s);

/*
 * Up to bytes into buf, with at most *nr descriptors into fds; *nr is how many came. *lost: more
 * came than fit, or could be opened. Returns bytes, 0 at the end of the stream, -errno.
 */
ssize_t viommu__socket_recv(int fd, void *buf, size_t bytes, int *fds, unsigned int *nr,
			    bool *lost);
/* The same; with SO_PASSCRED on, *from is who sent it. */
ssize_t viommu__socket_recv_from(int fd, void *buf, size_t bytes, int *fds, unsigned int *nr,
				 bool *lost, struct ucred *from);

/*
 * Is it an eventfd that takes writes? It is made non-blocking, as far as that goes: see signaler.c.
 * 0 or -EINVAL.
 */
int viommu__eventfd_check(int fd);
/* Adds one to an eventfd of our own. Async-signal-safe. */
void viommu__eventfd_signal(int fd);

#endif /* VIOMMU_SERVER_SOCKET_H */
