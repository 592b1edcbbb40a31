/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server's state on its way to another process: what the two files share that speak with each
 * other (handover.c: the process that serves; takeover.c: the one that comes), and the state as
 * bytes (save.c, saved.c).
 *
 * What they say, at a control socket, lines of text:
 *
 *	comes:  replace 1\n             its version of all this
 *	serves: refused WHY\n           and that is all, or
 *	        state BYTES FDS\n       with a memfd that holds the bytes, and a descriptor of the
 *	                                process (pidfd) if the kernel has such
 *	        a byte with up to HANDOVER_BATCH descriptors, until there were FDS
 *	comes:  ready\n                 or it closes the connection
 *	serves: go\n                    or: no\n, and it goes on
 *
 * The bytes name descriptors by their number in that order; each is named exactly once.
 */
#ifndef VIOMMU_SERVER_HANDOVER_H
#define VIOMMU_SERVER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <viommu-server/server.h>

#include "server/wire.h"

/* Changes with every change of the state or of the lines. */
#define HANDOVER_VERSION 1u
#define HANDOVER_BATCH   128u
#define HANDOVER_MAX_FDS 65536u
/* A line of why. */
#define HANDOVER_WHY 240u
/* Mostly what waits for clients that do not read. */
#define HANDOVER_MAX_BYTES (256u << 20)
/* The one that serves stands still no longer than this; half of the patience of stock QEMU. */
#define HANDOVER_MS 2000
/* The one that comes then has its answer; if not, the other one is stopped or dead. */
#define HANDOVER_VERDICT_MS 10000

/* ---- Bytes and descriptors: what the one that serves fills */

struct viommu__pack {
	uint8_t *p;
	size_t nr;
	size_t room;
	int *fd; /* borrowed */
	uint32_t nr_fds;
	uint32_t room_fds;
	const char *why; /* it can't be done; NULL: so far it can */
};

void viommu__pack32(struct viommu__pack *pack, uint32_t v);
void viommu__pack64(struct viommu__pack *pack, uint64_t v);
/* Their number, then the bytes. */
void viommu__pack_bytes(struct viommu__pack *pack, const void *p, size_t bytes);
/* -1 is none. */
void viommu__pack_fd(struct viommu__pack *pack, int fd);
void viommu__pack_free(struct viommu__pack *pack);

/* ---- The same, read: by the one that comes, who believes none of it */

#define SAVED_MAGIC_BYTES 16u
extern const char viommu__saved_magic[SAVED_MAGIC_BYTES];
/* Bytes between `at` and a length of 8 bytes that is followed by a multiple of 16. */
size_t viommu__saved_padding(size_t at);

/* Not a descriptor; else its number, which is below nr_fds. */
#define SAVED_NO_FD UINT32_MAX

struct viommu__saved_socket {
	const char *path; /* ends with NUL */
	uint32_t listener;
	uint64_t dev;
	uint64_t ino;
	bool taken; /* by somebody that was added */
};

/* Records of fixed size that follow each other in the bytes. */
struct viommu__saved_list {
	const uint8_t *p;
	uint32_t nr;
};

struct viommu__saved_map {
	uint64_t addr;
	uint64_t last;
	uint64_t offset;
	uint32_t file; /* below files.nr, or MAPS_NO_FILE: not in memory */
	bool read_only;
};

struct viommu__saved_port {
	struct viommu__saved_socket socket;
	/* what its function is */
	uint32_t ids; /* vendor << 16 | device */
	uint64_t bar[VIOMMU_PCI_BARS];
	uint32_t irqs[VFU_IRQS];
	bool level;
	/* SAVED_NO_FD: nobody is connected, and what follows says nothing */
	uint32_t client;
	bool negotiated;
	uint32_t age;
	uint16_t calls;
	const uint8_t *in; /* at most SERVER_IN_BYTES */
	size_t in_bytes;
	uint32_t write_at; /* not 0: a WRITE_MULTI is first in there, and has more */
	bool fds_pending;
	bool fds_lost;
	size_t fds_at;                 /* where a message begins in there */
	struct viommu__saved_list fds; /* at most VFU_MAX_FDS numbers */
	const uint8_t *out;
	size_t out_bytes;
	bool masked;
	struct viommu__saved_list irq; /* numbers, or SAVED_NO_FD: as many as irqs[] sums up to */
	uint32_t unmask;
	struct viommu__saved_list file; /* numbers */
	struct viommu__saved_list map;
};

struct viommu__saved {
	uint64_t since;
	uint64_t messages;
	uint64_t errors;
	uint64_t interrupts;
	uint32_t nr_ports;
	uint32_t nr_controls;
	struct viommu__saved_port *port;
	struct viommu__saved_socket *control;
	const uint8_t *data; /* of the application */
	size_t data_bytes;
};

/*
 * Pure. 0; -EINVAL with *why; -ENOMEM. What *out holds points into p. To be freed in any case with
 * viommu__saved_free().
 */
int viommu__saved_parse(const uint8_t *p, size_t bytes, uint32_t nr_fds, struct viommu__saved *out,
			const char **why);
void viommu__saved_free(struct viommu__saved *saved);
uint32_t viommu__saved_number(const struct viommu__saved_list *list, uint32_t n);
struct viommu__saved_map viommu__saved_map(const struct viommu__saved_list *list, uint32_t n);

/*
 * The state of a server that stands still; application's data behind it. pack->why says it failed.
 */
struct viommu_server;
void viommu__save(struct viommu_server *server, uint64_t since, const void *data, size_t bytes,
		  struct viommu__pack *pack);

/* ---- What came: takeover.c */

struct viommu_server_handover {
	int fd;      /* of the conversation */
	int process; /* pidfd of the other one, or -1 */
	uint32_t uid;
	uint32_t gid;
	uint8_t *bytes;
	size_t nr;
	int *fds; /* -1: somebody took it */
	uint32_t nr_fds;
	bool parsed;
	struct viommu__saved saved;
};

/* The descriptor of that number, which is the caller's from now on. */
int viommu__handover_fd(struct viommu_server_handover *h, uint32_t n);
/* What is of that path and was not asked for before. 0, -ENOENT, -ENOMEM. */
int viommu__handover_port(struct viommu_server_handover *h, const char *path,
			  struct viommu__saved_port **out);
int viommu__handover_control(struct viommu_server_handover *h, const char *path,
			     struct viommu__saved_socket **out);

/* ---- Lines: 0 or -errno; they may wait until the deadline (of viommu__now_ms()) */

uint64_t viommu__now_ns(void);
int64_t viommu__now_ms(void);
int viommu__line_send(int fd, const char *line, int64_t deadline);
/*
 * Without its end; what follows it is not received. -EPIPE: the peer closed it; -EPROTO: too long.
 * At most *nr descriptors that came with it; from: who sent its last byte (SO_PASSCRED); both may
 * be NULL, then they are dropped.
 */
int viommu__line_recv(int fd, char *line, size_t size, int *fds, unsigned int *nr,
		      struct ucred *from, int64_t deadline);
/* Until one of events, or an end; -ETIMEDOUT. */
int viommu__fd_wait(int fd, short events, int64_t deadline);
/* Absolute, by this process's folder. Allocated; NULL: out of memory, or no folder. */
char *viommu__path_absolute(const char *path);

#endif /* VIOMMU_SERVER_HANDOVER_H */
