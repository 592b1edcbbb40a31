/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process that serves hands over: see handover.h and viommu-server/server.h, Replacement.
 *
 * All of it happens in one call on the loop, while a control client waits for its answer. So no
 * message is half executed (a WRITE_MULTI has a mark of how far it came), and nobody else calls the
 * functions. It ends within HANDOVER_MS, whatever the peer does: what stands still meanwhile is a
 * guest.
 *
 * Never do two serve: "go" is the last thing that we do, and if it could be sent, it was. If it
 * could not, the peer is gone, and it serves only after it has read it (or seen us end).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "server/handover.h"
#include "server/state.h"

int viommu_server_allow_handover(struct viommu_server *server,
				 const struct viommu_server_handover_ops *ops)
{
	if (ops->size != sizeof(*ops) || !ops->save || !ops->resume)
		return -EINVAL;
	server->handover = *ops;
	return 0;
}

int viommu_server_handed_over(const struct viommu_server *server)
{
	return server->handed_over;
}

static void refuse(int fd, const char *why)
{
	char line[HANDOVER_WHY + 16];

	snprintf(line, sizeof(line), "refused %.*s\n", (int)HANDOVER_WHY - 1, why);
	viommu__line_send(fd, line, 0);
}

/* Is it somebody who may? The name of the socket has asked already, if nobody changed it. */
static bool allowed(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return false;
	return !peer.uid || peer.uid == geteuid();
}

/* One send with descriptors; the socket takes all of it or nothing, it is so little. */
static int send_fds(int fd, const void *p, size_t bytes, const int *fds, size_t nr,
		    int64_t deadline)
{
	union {
		char room[CMSG_SPACE(HANDOVER_BATCH * sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)p, bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;
	int err;

	if (nr) {
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	}
	for (;;) {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			return (size_t)n == bytes ? 0 : -EIO;
		/*
		 * ETOOMANYREFS: so many are on their way, to whomever; they get there. No event
		 * tells when, so the peer is watched for its end, a moment at a time.
		 */
		if (errno == EAGAIN)
			err = viommu__fd_wait(fd, POLLOUT, deadline);
		else if (errno == ETOOMANYREFS)
			err = viommu__fd_wait(fd, 0,
					      (int64_t)min_u64((uint64_t)deadline,
							       (uint64_t)viommu__now_ms() + 10));
		else
			err = errno == EINTR ? 0 : -errno;
		if (err == -ETIMEDOUT && viommu__now_ms() < deadline)
			err = 0;
		if (err)
			return err;
	}
}

static int send_state(int fd, const struct viommu__pack *pack, int64_t deadline)
{
	int with[2] = { -1, -1 }, err = 0;
	uint32_t sent, n;
	size_t done = 0;
	char line[64];
	ssize_t m;

	with[0] = memfd_create("viommu-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (with[0] < 0)
		return -errno;
#ifdef SYS_pidfd_open
	with[1] = (int)syscall(SYS_pidfd_open, getpid(), 0);
#endif
	while (done < pack->nr && !err) {
		m = write(with[0], pack->p + done, pack->nr - done);
		if (m < 0)
			err = -errno;
		else
			done += (size_t)m;
	}
	snprintf(line, sizeof(line), "state %zu %u\n", pack->nr, pack->nr_fds);
	if (!err)
		err = send_fds(fd, line, strlen(line), with, with[1] < 0 ? 1 : 2, deadline);
	for (sent = 0; sent < pack->nr_fds && !err; sent += n) {
		n = (uint32_t)min_u64(pack->nr_fds - sent, HANDOVER_BATCH);
		err = send_fds(fd, ".", 1, pack->fd + sent, n, deadline);
	}
	close(with[0]);
	if (with[1] >= 0)
		close(with[1]);
	return err;
}

/* The new process has all; is it ready? NULL: it serves now. Else why not. */
static const char *give(int fd, const struct viommu__pack *pack, int64_t deadline)
{
	char line[16];
	int err;

	err = send_state(fd, pack, deadline);
	if (!err)
		err = viommu__line_recv(fd, line, sizeof(line), NULL, NULL, NULL, deadline);
	if (!err && strcmp(line, "ready") != 0)
		err = -EPROTO;
	if (!err && !viommu__line_send(fd, "go\n", deadline))
		return NULL;
	/* If this can't be sent, it has ended, or will read that we have closed it. */
	viommu__line_send(fd, "no\n", 0);
	return err == -ETIMEDOUT ? "the new process was not ready in time"
	       : err == -EPROTO  ? "the new process said something else"
				 : "the new process gave up";
}

/* Whoever is about to be hung up is: what goes over are connections. */
static void end_broken(struct viommu_server *server)
{
	struct viommu__port *port;
	bool more = true;

	while (more) {
		more = false;
		list_for_each_entry(port, &server->ports, node)
			more |= viommu__port_hang_up_broken(port);
	}
}

/* True: another process serves now. Else why not. */
static bool hand_over(struct viommu_server *server, int fd, char *why, size_t why_size)
{
	int64_t deadline = viommu__now_ms() + server->handover_ms;
	uint64_t since = viommu__now_ns();
	struct viommu__pack pack = { .p = NULL };
	struct viommu__port *port;
	const char *reason;
	void *data = NULL;
	size_t bytes = 0;
	int err;

	end_broken(server);
	list_for_each_entry(port, &server->ports, node)
		viommu__dma_end(port, -ECANCELED);
	snprintf(why, why_size, "its state can't be saved");
	err = server->handover.save(server->handover.ctx, &data, &bytes, why, why_size);
	if (err) {
		refuse(fd, why);
		return false;
	}
	viommu__save(server, since, data, bytes, &pack);
	free(data);
	reason = pack.why;
	if (reason)
		refuse(fd, reason);
	else
		reason = give(fd, &pack, deadline);
	viommu__pack_free(&pack);
	if (!reason)
		return true;
	snprintf(why, why_size, "%s", reason);
	server->handover.resume(server->handover.ctx);
	return false;
}

void viommu__handover(struct viommu_server *server, int fd, const char *version)
{
	char why[HANDOVER_WHY];
	bool done;

	snprintf(why, sizeof(why), "its version of the state is %u, not %.8s", HANDOVER_VERSION,
		 version);
	if (!allowed(fd)) {
		refuse(fd, "this user may not replace it");
	} else if (atoi(version) != (int)HANDOVER_VERSION) {
		refuse(fd, why);
	} else {
		server->frozen = true;
		done = hand_over(server, fd, why, sizeof(why));
		server->frozen = false;
		if (!done) {
			viommu__server_log(server, VIOMMU_SERVER_WARNING, "not replaced: %s", why);
			return;
		}
		viommu__server_log(server, VIOMMU_SERVER_INFO, "replaced by another process");
		server->handed_over = true;
		viommu__server_leave(server);
		viommu_server_stop(server);
	}
}
