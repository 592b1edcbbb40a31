/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the server share: a rig (a server with small functions, stepped by the test
 * itself, so that nothing depends on time) and a peer (a client that can say anything).
 *
 * The function. BAR 0 has 16 KiB: registers, MSI-X table at 1000h, PBA at 2000h; BAR 2 has 8 KiB
 * (64-bit). Registers below 1000h keep what is written to them; a write to one of TOY_* does
 * something as well. Vectors: 8 MSI-X, 4 MSI, INTA.
 */
#ifndef VIOMMU_TEST_SERVER_PEER_H
#define VIOMMU_TEST_SERVER_PEER_H

#include "lib/test.h"

#include <viommu-server/server.h>
#include <viommu/viommu.h>

#include "server/state.h"
#include "server/wire.h"

#define TOY_INTERRUPT 0x10u /* vector */
#define TOY_INTX      0x18u /* level */
#define TOY_MESSAGE   0x20u /* data, to TOY_ADDR, FEE00000h if that is 0 */
#define TOY_WORK      0x28u /* pieces of work; each ends with an interrupt of vector 1 */
/* With workers: the n-th last piece of work writes TOY_PATTERN + n to TOY_ADDR + 8 n. */
#define TOY_PATTERN 0x30u
#define TOY_ADDR    0x38u
/*
 * So many bytes of the client's memory at TOY_ADDR are copied 64 KiB above, by messages; then
 * TOY_COPIED grows by one, or is the errno.
 */
#define TOY_COPY   0x40u
#define TOY_COPIED 0x48u

#define TOY_VECTORS 8u
#define RIG_PORTS   3u

struct toy {
	struct rig *rig;
	struct viommu_pci *pci;
	struct viommu_device *dev;
	uint64_t reg[512];
	uint64_t bar2[1024];
	uint64_t work; /* atomic: pieces left */
	uint64_t runs; /* atomic */
	uint64_t reads;
	uint64_t writes;
	uint64_t resets;
	unsigned int connected;
	unsigned int disconnected;
	char path[64];
};

struct rig_config {
	unsigned int ports;   /* 0 = 1 */
	unsigned int workers; /* of each function; then it has a host, too */
	unsigned int engines; /* that all functions share instead */
	bool vms;             /* each function is a VM of its own, though not its memory */
	bool no_mem;
	struct viommu_server_config server;
	/* Takes the place of that rig: its folder, which becomes ours by rig_inherit(). */
	const struct rig *heir_of;
};

struct rig {
	char dir[32];
	bool no_dir; /* the folder is another rig's */
	struct viommu_server *server;
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *domain;
	struct viommu_pci_engines *engines;
	unsigned int ports;
	struct toy toy[RIG_PORTS];
	unsigned int ticks;
	unsigned int lines;
	char line[512];
};

struct peer {
	struct rig *rig; /* stepped while the peer waits; NULL: a thread runs the server */
	int fd;
	uint16_t id;
	bool closed; /* by the server */
	/*
	 * Not 0: the client dies at its so many-th message, with it unsent or just sent, and the
	 * test goes on at setjmp(death).
	 */
	unsigned int dies_at;
	bool dies_sent;
	jmp_buf death;
};

/* A message that came. */
struct message {
	struct viommu__vfu_header h;
	uint8_t data[VFU_MAX_XFER + 64];
	size_t bytes;
};

/* 0, or -errno of the first thing that failed: everything is closed again then. */
int rig_try(struct rig *rig, const struct rig_config *config);
void rig_open(struct rig *rig, const struct rig_config *config);
void rig_close(struct rig *rig);
/* The folder is this one's now. */
void rig_inherit(struct rig *rig, struct rig *from);
/* One round of the loop that does not wait. */
void rig_step(struct rig *rig);
/* Rounds until nothing is left to do. */
void rig_settle(struct rig *rig);
void rig_path(const struct rig *rig, const char *name, char *path, size_t size);

/* Descriptors of this process that are open. */
unsigned int open_fds(void);
/* A memfd of so many bytes that can't shrink. */
int memory_fd(size_t bytes);
int event_fd(void);
/* What the eventfd counts, and zero again; waits up to ten seconds for the first. */
uint64_t event_wait(int fd);
/* What it counts now. */
uint64_t event_take(int fd);

int peer_dial(const char *path);
void peer_open(struct peer *peer, struct rig *rig, unsigned int port);
void peer_close(struct peer *peer);
/* Bytes as they are, with descriptors. */
void peer_raw(struct peer *peer, const void *p, size_t bytes, const int *fds, unsigned int nr);
void peer_send(struct peer *peer, uint16_t command, uint32_t flags, const void *payload,
	       size_t bytes, const int *fds, unsigned int nr);
/* The next message; false: the server closed the connection. */
bool peer_recv(struct peer *peer, struct message *m);
/* Command and reply. The errno of an error reply, or 0; EPIPE: closed instead. */
int peer_call_fds(struct peer *peer, uint16_t command, const void *payload, size_t bytes,
		  const int *fds, unsigned int nr, struct message *m);
int peer_call(struct peer *peer, uint16_t command, const void *payload, size_t bytes,
	      struct message *m);
/* True when the server has closed it; messages that came before are dropped. */
bool peer_is_closed(struct peer *peer);

/* ---- The commands, as stock QEMU builds them */

extern const char qemu_caps[194];

int peer_version(struct peer *peer, struct message *m);
int peer_map(struct peer *peer, uint64_t addr, uint64_t bytes, uint32_t flags, int fd,
	     uint64_t offset);
int peer_unmap(struct peer *peer, uint64_t addr, uint64_t bytes, uint32_t flags);
int peer_irqs(struct peer *peer, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	      const int *fds, unsigned int nr);
int peer_read(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count, void *to);
int peer_write(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count,
	       const void *from);
/* No reply wanted. */
void peer_post(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count,
	       const void *from);
int peer_write64(struct peer *peer, uint64_t offset, uint64_t value);
/* All that QEMU 11.1.3 says from connect to reset, in that order (measured). */
void peer_start(struct peer *peer, int memfd, int eventfd);
/* Memory decoding and bus mastering on. */
void peer_enable(struct peer *peer);
/* MSI-X on, vectors 0 to nr - 1 to these. */
void peer_msix(struct peer *peer, const int *fds, unsigned int nr);

#endif /* VIOMMU_TEST_SERVER_PEER_H */
