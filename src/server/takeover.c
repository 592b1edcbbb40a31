/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process that comes takes over: see handover.h and viommu-server/server.h, Replacement.
 *
 * Until it serves it does nothing that anybody could see: it has descriptors of everything, and
 * closes them. What could fail (memory, descriptors, threads) is done before it says "ready".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "server/closer.h"
#include "server/handover.h"
#include "server/state.h"

/* Where a line of why goes. */
struct why {
	char *text;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct why *why, int err,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (why->size)
		vsnprintf(why->text, why->size, format, args);
	va_end(args);
	return err;
}

/* ---- The state comes */

static int dial(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd, on = 1, err;

	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Who sends is the kernel's word: the peer may have become somebody since it listened. */
	if (!setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) &&
	    !connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Decimal digits and what follows them, which must be next. */
static const char *number(const char *p, char next, uint64_t most, uint64_t *out)
{
	*out = 0;
	if (*p < '0' || *p > '9')
		return NULL;
	while (*p >= '0' && *p <= '9' && *out <= most)
		*out = *out * 10 + (uint64_t)(*p++ - '0');
	return *out <= most && *p == next ? p + 1 : NULL;
}

/* The one line; its descriptors are in fds, -1 if there is none. */
static int first_line(struct viommu_server_handover *h, int fds[2], uint64_t *bytes, uint64_t *nr,
		      int64_t deadline, const struct why *why)
{
	char line[HANDOVER_WHY + 16];
	struct ucred from = { .uid = UINT32_MAX, .gid = UINT32_MAX };
	unsigned int got = 2;
	const char *p;
	int err;

	fds[0] = -1;
	fds[1] = -1;
	err = viommu__line_recv(h->fd, line, sizeof(line), fds, &got, &from, deadline);
	if (err == -EPIPE)
		return fail(why, -EOPNOTSUPP, "the server there can't be replaced");
	if (err)
		return fail(why, err, "the server there does not answer");
	if (!strncmp(line, "refused ", 8))
		return fail(why, -EOPNOTSUPP, "the server there says: %s", line + 8);
	p = strncmp(line, "state ", 6) != 0 ? NULL
					    : number(line + 6, ' ', HANDOVER_MAX_BYTES, bytes);
	if (p)
		p = number(p, '\0', HANDOVER_MAX_FDS, nr);
	if (!p || got < 1)
		return fail(why, -EPROTO, "the server there says something else");
	h->uid = from.uid;
	h->gid = from.gid;
	return 0;
}

static int receive_bytes(struct viommu_server_handover *h, int fd, uint64_t bytes,
			 const struct why *why)
{
	ssize_t n;

	/* What is no memory could let us wait. */
	if (!viommu__fd_is_memory(fd))
		return fail(why, -EPROTO, "its state is no memory");
	h->bytes = viommu__alloc(bytes);
	if (!h->bytes)
		return fail(why, -ENOMEM, "out of memory");
	while (h->nr < bytes) {
		n = pread(fd, h->bytes + h->nr, bytes - h->nr, (off_t)h->nr);
		if (n <= 0)
			return fail(why, -EPROTO, "its state is too short");
		h->nr += (size_t)n;
	}
	return 0;
}

static int receive_fds(struct viommu_server_handover *h, uint64_t nr, int64_t deadline,
		       const struct why *why)
{
	unsigned int got;
	ssize_t n;
	bool lost;
	char byte;
	int err;

	/* A batch more: what is more than was said is received, too, to be closed by us. */
	h->fds = viommu__alloc((nr + SOCKET_FDS_ALL) * sizeof(*h->fds));
	if (!h->fds)
		return fail(why, -ENOMEM, "out of memory");
	while (h->nr_fds < nr) {
		got = SOCKET_FDS_ALL;
		n = viommu__socket_recv(h->fd, &byte, 1, h->fds + h->nr_fds, &got, &lost);
		h->nr_fds += n > 0 ? got : 0;
		if (n > 0 && lost)
			return fail(why, -EMFILE, "too many descriptors for this process");
		if (!n || (n > 0 && !got))
			return fail(why, -EPROTO, "its descriptors are too few");
		err = n > 0 || n == -EINTR ? 0 : (int)n;
		if (err == -EAGAIN)
			err = viommu__fd_wait(h->fd, POLLIN, deadline);
		if (err)
			return fail(why, err, "its descriptors do not come");
	}
	if (h->nr_fds > nr)
		return fail(why, -EPROTO, "its descriptors are too many");
	return 0;
}

int viommu_server_handover_new(const char *control, struct viommu_server_handover **out, char *text,
			       size_t why_size)
{
	const struct why why = { text, why_size };
	int64_t deadline = viommu__now_ms() + HANDOVER_MS;
	struct viommu_server_handover *h;
	uint64_t bytes, nr;
	char line[32];
	int fds[2], err;

	*out = NULL;
	h = viommu__calloc(1, sizeof(*h));
	if (!h)
		return fail(&why, -ENOMEM, "out of memory");
	h->process = -1;
	h->fd = dial(control);
	if (h->fd < 0) {
		err = fail(&why, h->fd, "%s", strerror(-h->fd));
		goto err;
	}
	snprintf(line, sizeof(line), "replace %u\n", HANDOVER_VERSION);
	err = viommu__line_send(h->fd, line, deadline);
	if (err) {
		fail(&why, err, "%s", strerror(-err));
		goto err;
	}
	err = first_line(h, fds, &bytes, &nr, deadline, &why);
	h->process = fds[1];
	if (!err)
		err = receive_bytes(h, fds[0], bytes, &why);
	if (fds[0] >= 0)
		viommu__fd_close(fds[0]);
	if (!err)
		err = receive_fds(h, nr, deadline, &why);
	if (err)
		goto err;
	*out = h;
	return 0;
err:
	viommu_server_handover_free(h);
	return err;
}

/* Sockets of ours close at once; what a client left with its messages may not. */
static void close_any(int fd)
{
	if (viommu__socket_is_stream(fd))
		close(fd);
	else
		viommu__fd_close(fd);
}

void viommu_server_handover_free(struct viommu_server_handover *h)
{
	uint32_t i;

	if (!h)
		return;
	if (h->fd >= 0)
		close(h->fd);
	if (h->process >= 0)
		close(h->process);
	for (i = 0; i < h->nr_fds; i++)
		if (h->fds[i] >= 0)
			close_any(h->fds[i]);
	viommu__saved_free(&h->saved);
	viommu__free(h->fds);
	viommu__free(h->bytes);
	viommu__free(h);
}

int viommu_server_handover_drop_privileges(struct viommu_server_handover *h)
{
	char user[32];

	if (geteuid() == h->uid && getegid() == h->gid)
		return viommu_server_drop_privileges(NULL);
	snprintf(user, sizeof(user), "%u:%u", h->uid, h->gid);
	return viommu_server_drop_privileges(user);
}

int viommu_server_handover_data(struct viommu_server_handover *h, const void **data, size_t *bytes,
				char *text, size_t why_size)
{
	const struct why why = { text, why_size };
	const char *reason;
	int err = 0;

	if (!h->parsed)
		err = viommu__saved_parse(h->bytes, h->nr, h->nr_fds, &h->saved, &reason);
	if (err) {
		viommu__saved_free(&h->saved);
		return fail(&why, err, "its state is wrong: %s", reason);
	}
	h->parsed = true;
	*data = h->saved.data;
	*bytes = h->saved.data_bytes;
	return 0;
}

uint64_t viommu_server_handover_since(const struct viommu_server_handover *h)
{
	return h->saved.since;
}

/* ---- What of it belongs to whom */

int viommu__handover_fd(struct viommu_server_handover *h, uint32_t n)
{
	int fd = -1;

	if (n != SAVED_NO_FD) {
		fd = h->fds[n];
		h->fds[n] = -1;
	}
	return fd;
}

static bool is_it(struct viommu__saved_socket *s, const char *path)
{
	if (s->taken || strcmp(s->path, path) != 0)
		return false;
	s->taken = true;
	return true;
}

int viommu__handover_port(struct viommu_server_handover *h, const char *path,
			  struct viommu__saved_port **out)
{
	char *absolute = viommu__path_absolute(path);
	uint32_t i;

	*out = NULL;
	if (!absolute)
		return -ENOMEM;
	for (i = 0; i < h->saved.nr_ports && !*out; i++)
		if (is_it(&h->saved.port[i].socket, absolute))
			*out = &h->saved.port[i];
	viommu__free(absolute);
	return *out ? 0 : -ENOENT;
}

int viommu__handover_control(struct viommu_server_handover *h, const char *path,
			     struct viommu__saved_socket **out)
{
	char *absolute = viommu__path_absolute(path);
	uint32_t i;

	*out = NULL;
	if (!absolute)
		return -ENOMEM;
	for (i = 0; i < h->saved.nr_controls && !*out; i++)
		if (is_it(&h->saved.control[i], absolute))
			*out = &h->saved.control[i];
	viommu__free(absolute);
	return *out ? 0 : -ENOENT;
}

/* ---- The moment */

/* It has ended, or will in a moment: its last descriptor is closed before it is seen to be dead. */
static bool has_ended(const struct viommu_server_handover *h, int64_t deadline)
{
	return h->process >= 0 && !viommu__fd_wait(h->process, POLLIN, deadline);
}

/* 0: "go", or it can say nothing any more. */
static int verdict(struct viommu_server_handover *h, const struct why *why)
{
	int64_t deadline = viommu__now_ms() + HANDOVER_VERDICT_MS;
	char line[16];
	int err;

	err = viommu__line_recv(h->fd, line, sizeof(line), NULL, NULL, NULL, deadline);
	if (err == -ETIMEDOUT) {
		/* From here on it can't say "go" any more; it may have just now. */
		shutdown(h->fd, SHUT_RDWR);
		err = viommu__line_recv(h->fd, line, sizeof(line), NULL, NULL, NULL, 0);
	}
	if (!err && !strcmp(line, "go"))
		return 0;
	if (err && has_ended(h, deadline))
		return 0;
	return fail(why, -ECANCELED, "the server there goes on");
}

int viommu_server_take(struct viommu_server *server, char *text, size_t why_size)
{
	const struct why why = { text, why_size };
	struct viommu_server_handover *h = server->config.handover;
	uint32_t i;
	int err;

	if (!h)
		return fail(&why, -EINVAL, "it takes no place of another");
	for (i = 0; i < h->saved.nr_ports; i++)
		if (!h->saved.port[i].socket.taken)
			return fail(&why, -EINVAL, "%s is not served here",
				    h->saved.port[i].socket.path);
	for (i = 0; i < h->saved.nr_controls; i++)
		if (!h->saved.control[i].taken)
			return fail(&why, -EINVAL, "%s is not served here",
				    h->saved.control[i].path);
	/* That this fails means that it is gone: or it gave up waiting, and has said so. */
	viommu__line_send(h->fd, "ready\n", viommu__now_ms() + HANDOVER_MS);
	err = verdict(h, &why);
	if (err)
		return err;
	server->messages += h->saved.messages;
	server->errors += h->saved.errors;
	fetch_add_relaxed(&server->interrupts, h->saved.interrupts);
	server->config.handover = NULL;
	viommu__server_arrive(server);
	return 0;
}
