/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UNIX sockets. Linux takes the permissions of a socket's name from the descriptor that is bound,
 * so fchmod() before bind() gives 0600 with no moment in between and without umask(), which belongs
 * to the whole process.
 */
#include "server/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "server/closer.h"

/* Clients that may wait for accept(): more than one is refused anyway. */
#define BACKLOG 8

static int address(struct sockaddr_un *to, const char *path)
{
	size_t n = strlen(path);

	if (!n)
		return -EINVAL;
	memset(to, 0, sizeof(*to));
	to->sun_family = AF_UNIX;
	if (n >= sizeof(to->sun_path))
		return -ENAMETOOLONG;
	memcpy(to->sun_path, path, n + 1);
	return 0;
}

static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* Removes path if it is still the file that was looked at. */
static int remove_name(const char *path, dev_t dev, ino_t ino)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (st.st_dev != dev || st.st_ino != ino)
		return -EADDRINUSE;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* Makes room at the path: nobody accepts there any more. */
static int replace_stale(const struct sockaddr_un *to)
{
	struct stat st;
	int fd, err;

	if (lstat(to->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = unix_socket();
	if (fd < 0)
		return fd;
	/* EAGAIN: it is served, by somebody with no time. */
	err = connect(fd, (const struct sockaddr *)to, sizeof(*to)) ? errno : EAGAIN;
	close(fd);
	if (err == ECONNREFUSED)
		return remove_name(to->sun_path, st.st_dev, st.st_ino);
	return err == EAGAIN ? -EADDRINUSE : -err;
}

static int bind_name(struct viommu__socket *s, const struct sockaddr_un *to)
{
	struct stat st;
	int err;

	if (fchmod(s->fd, S_IRUSR | S_IWUSR))
		return -errno;
	if (bind(s->fd, (const struct sockaddr *)to, sizeof(*to)))
		return -errno;
	if (!lstat(to->sun_path, &st) && !listen(s->fd, BACKLOG)) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
		return 0;
	}
	err = -errno;
	unlink(to->sun_path);
	return err;
}

int viommu__socket_listen(struct viommu__socket *s, const char *path)
{
	struct sockaddr_un to;
	int err;

	s->fd = -1;
	s->path = NULL;
	err = address(&to, path);
	if (!err)
		err = replace_stale(&to);
	if (err)
		return err;
	s->path = viommu__alloc(strlen(path) + 1);
	if (!s->path)
		return -ENOMEM;
	memcpy(s->path, path, strlen(path) + 1);
	s->fd = unix_socket();
	err = s->fd < 0 ? s->fd : bind_name(s, &to);
	if (!err)
		return 0;
	if (s->fd >= 0)
		close(s->fd);
	viommu__free(s->path);
	s->fd = -1;
	s->path = NULL;
	return err;
}

void viommu__socket_leave(struct viommu__socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	viommu__free(s->path);
	s->fd = -1;
	s->path = NULL;
}

void viommu__socket_close(struct viommu__socket *s)
{
	/* The name first: who finds it gone starts anew, who finds nobody behind it waits. */
	if (s->fd >= 0)
		remove_name(s->path, s->dev, s->ino);
	viommu__socket_leave(s);
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t n = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &n) ? -1 : value;
}

bool viommu__socket_is_stream(int fd)
{
	return option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_TYPE) == SOCK_STREAM;
}

/* Nothing of it is to wait for what it does. */
static bool non_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK || !fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

bool viommu__socket_is_connection(int fd)
{
	return viommu__socket_is_stream(fd) && !option(fd, SO_ACCEPTCONN) && non_blocking(fd);
}

int viommu__socket_adopt(struct viommu__socket *s, const char *path, int fd, dev_t dev, ino_t ino)
{
	int err = -EINVAL;

	*s = (struct viommu__socket){ .fd = fd, .dev = dev, .ino = ino };
	if (viommu__socket_is_stream(fd) && option(fd, SO_ACCEPTCONN) == 1 && non_blocking(fd))
		err = 0;
	if (!err) {
		s->path = viommu__alloc(strlen(path) + 1);
		err = s->path ? 0 : -ENOMEM;
	}
	if (err)
		viommu__socket_leave(s);
	else
		memcpy(s->path, path, strlen(path) + 1);
	return err;
}

int viommu__socket_accept(const struct viommu__socket *s)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static void close_all(const int *fds, unsigned int nr)
{
	while (nr)
		viommu__fd_close(fds[--nr]);
}

/* Descriptors of one control message: they are ours from here, whatever we do with them. */
static void take_fds(const struct cmsghdr *c, int *fds, unsigned int room, unsigned int *nr,
		     bool *lost)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;
	int fd;

	for (i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*nr < room) {
			fds[(*nr)++] = fd;
		} else {
			*lost = true;
			viommu__fd_close(fd);
		}
	}
}

ssize_t viommu__socket_recv_from(int fd, void *buf, size_t bytes, int *fds, unsigned int *nr,
				 bool *lost, struct ucred *from)
{
	/*
	 * The kernel would close what does not fit, and we would wait for that: see closer.h.
	 * MSG_CTRUNC: it could not be opened.
	 */
	union {
		char room[CMSG_SPACE(SOCKET_FDS_ALL * sizeof(int)) +
			  CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, bytes };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	unsigned int room = *nr;
	struct cmsghdr *c;
	ssize_t n;

	*nr = 0;
	*lost = false;
	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			take_fds(c, fds, room, nr, lost);
		else if (c->cmsg_type == SCM_CREDENTIALS && from)
			memcpy(from, CMSG_DATA(c), sizeof(*from));
	}
	if (msg.msg_flags & MSG_CTRUNC)
		*lost = true;
	if (!n) { /* descriptors with nothing behind them belong to no message */
		close_all(fds, *nr);
		*nr = 0;
	}
	return n;
}

ssize_t viommu__socket_recv(int fd, void *buf, size_t bytes, int *fds, unsigned int *nr, bool *lost)
{
	return viommu__socket_recv_from(fd, buf, bytes, fds, nr, lost, NULL);
}

int viommu__eventfd_check(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || !viommu__fd_is_eventfd(fd))
		return -EINVAL;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -EINVAL;
	return 0;
}

void viommu__eventfd_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: its counter is full, so whoever waits for it has been told long ago. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}
