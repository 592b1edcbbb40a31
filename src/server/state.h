/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the server share: the server, a port (a function, its socket, its client), a
 * control socket.
 *
 *	server ── epoll ──┬── wake        eventfd: stop, kicks from other threads
 *	                  ├── timer       once a second while somebody is connected
 *	                  ├── port        listener, client, unmask eventfd         one a function
 *	                  └── control     listener; its clients are the server's
 *
 * Threads. The server's thread (the loop) owns everything, except
 *	port.lock	guards what stands below it in struct viommu__port, and changes of the
 *			client's descriptor, against threads that raise interrupts and send
 *			messages. Never held while the function or its memory is called. Nothing
 *			else is locked under it.
 *	pool.lock	only puts workers to sleep (see workers.c).
 *	atomics		port.broken, port.kicked, server.awake, server.stop, server.interrupts
 */
#ifndef VIOMMU_SERVER_STATE_H
#define VIOMMU_SERVER_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <viommu-server/server.h>

#include "base/list.h"
#include "server/maps.h"
#include "server/signaler.h"
#include "server/socket.h"
#include "server/wire.h"

/* Bytes taken from a client at a time; a whole message always fits. */
#define SERVER_IN_BYTES (VFU_MAX_MESSAGE + (64u << 10))
/*
 * What a client gets before the next one has its turn, in units of about one register access.
 */
#define SERVER_TURN 512u
/*
 * And in time: one access can start a queue of the guest's, whose work nobody knows beforehand.
 * Nanoseconds.
 */
#define SERVER_TURN_NS UINT64_C(5000000)
/* DMA_READ and DMA_WRITE that wait for a client's reply; a power of two. */
#define SERVER_DMA_CALLS 16u
/* Steps of a function without workers before the next has its turn. */
#define SERVER_RUN_STEPS 32u
/* Control clients at a time, the longest line of one. */
#define SERVER_CONTROLS     8u
#define SERVER_CONTROL_LINE 1024u
/* Seconds that a client may take to say VERSION, that a control client may take for all. */
#define SERVER_PATIENCE 10u
/* Lines of the log at once, and then a second. */
#define SERVER_LOG_BURST 32u
#define SERVER_LOG_RATE  4u

struct viommu__saved_port;

/* Something that epoll watches. */
struct viommu__source {
	int fd; /* -1: none */
	bool parked;
	void (*ready)(struct viommu__source *source, uint32_t events);
};

/* Bytes that wait for a client. */
struct viommu__out {
	uint8_t *p;
	size_t from;
	size_t to;
	size_t room;
	uint64_t sent; /* bytes ever */
};

/* Interrupt messages that wait, of which a second like it would say nothing more. */
#define SERVER_RECENT 16u

/* An interrupt message that was put, and how many bytes had been put before it. */
struct viommu__recent {
	uint64_t addr;
	uint64_t at;
	uint32_t data;
	bool valid;
};

struct viommu__irqs {
	int *fd; /* of all indices, one after the other; -1: none */
	uint32_t first[VFU_IRQS + 1];
	bool level;  /* INTx as the function drives it */
	bool masked; /* by its own signal, until the client unmasks it; or by the client */
};

/* Threads of a function, or of engines that several functions share. */
struct viommu__pool {
	struct list node; /* of the server's */
	struct viommu_host *host;
	struct viommu_pci *pci;             /* NULL: */
	struct viommu_pci_engines *engines; /* these */
	uint32_t threads;                   /* when it has started */
	uint32_t users;                     /* ports */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	uint64_t kicks;    /* atomic: a worker that saw this many has done what they were for */
	uint32_t sleepers; /* atomic; changed under lock */
	bool stop;         /* atomic; set under lock */
	uint32_t nr;
	struct viommu__worker *worker;
};

/* A DMA_READ or DMA_WRITE of ours that the client has not answered. */
struct viommu__dma_call {
	viommu_server_dma_done *done; /* NULL: the slot is free */
	void *ctx;
	uint64_t addr;
	size_t bytes;
	uint16_t id;
	uint16_t command;
};

struct viommu__port {
	struct list node;
	struct viommu_server *server;
	struct viommu_server_function function;
	const struct viommu_pci_config *config;
	struct viommu__socket socket;
	struct viommu__source listener;
	struct viommu__source client;
	struct viommu__source unmask; /* the client's eventfd that stands for an unmask of INTx */
	struct list runnable;         /* of the server, while messages wait in .in */

	/* input */
	uint8_t *in;
	size_t in_from;
	size_t in_to;
	int fds[VFU_MAX_FDS]; /* that came with the message that begins at fds_at */
	unsigned int nr_fds;
	bool shunned;     /* its client brought what does not close */
	bool fds_pending; /* there are some, or there were (fds_lost) */
	bool fds_lost;
	size_t fds_at;

	uint64_t turn_ends; /* CLOCK_MONOTONIC in ns */
	uint32_t write_at;  /* of the WRITE_MULTI at in_from: so many writes are done */
	bool negotiated;
	uint32_t age; /* seconds without VERSION */
	struct viommu__maps maps;
	struct viommu__dma_call call[SERVER_DMA_CALLS];
	uint16_t calls; /* ever */

	pthread_mutex_t lock;
	struct viommu__out out;
	struct viommu__recent recent[SERVER_RECENT];
	uint32_t next_recent;
	uint32_t unsaid; /* messages that were dropped, until the log says so */
	struct viommu__irqs irqs;
	bool broken;     /* atomic, set under lock: can't go on, the loop is to close it */
	bool writing;    /* EPOLLOUT is on */
	bool open;       /* the version is agreed on: the function may send */
	const char *why; /* it is broken */

	uint32_t kicked; /* atomic; a function without workers has something to do */
	struct viommu__pool *pool;
};

struct viommu__control {
	struct list node;
	struct viommu_server *server;
	struct viommu__socket socket;
	struct viommu__source listener;
	char *(*answer)(void *ctx, const char *line);
	void *ctx;
};

struct viommu__control_client {
	struct viommu__source source;
	struct viommu__control *control;
	uint32_t age;
	size_t nr;
	char line[SERVER_CONTROL_LINE];
	char *answer; /* of malloc() */
	size_t from;
	size_t to;
};

struct viommu__log {
	uint32_t credit;
	uint32_t dropped;
	time_t second;
};

struct viommu_server {
	struct viommu_server_config config;
	int epoll;
	struct viommu__source wake;
	struct viommu__source timer;
	struct viommu__signaler signaler;
	bool ticking;
	uint32_t awake; /* atomic; wake was written to and not yet read */
	uint32_t stop;  /* atomic */
	uint64_t turn_ns;
	struct list ports;
	struct list pools;
	struct list controls;
	struct list runnable;
	struct viommu__control_client control_client[SERVER_CONTROLS];
	struct viommu_server_handover_ops handover; /* .save NULL: it can't be replaced */
	int64_t handover_ms;                        /* HANDOVER_MS */
	bool frozen;      /* it is being handed over: nothing new is begun */
	bool handed_over; /* nothing of it is ours any more */
	uint32_t parked;  /* listeners that wait for descriptors or memory */
	uint32_t clients;
	uint64_t messages;
	uint64_t errors;
	uint64_t interrupts; /* atomic */
	struct viommu__log log;
	/* A reply's data on its way: one message is handled at a time. */
	uint8_t scratch[VFU_HEADER + 16 + VFU_MAX_XFER];
};

/* ---- server.c */

int viommu__server_watch(struct viommu_server *server, struct viommu__source *source,
			 uint32_t events);
/* Other events for what is watched. Any thread. */
void viommu__server_rewatch(struct viommu_server *server, struct viommu__source *source,
			    uint32_t events);
/* Stops watching; the descriptor stays open. */
void viommu__server_unwatch(struct viommu_server *server, struct viommu__source *source);
/*
 * accept() of this listener failed for want of something: it would say so again at once, so it is
 * left alone until something was closed or a second went by.
 */
void viommu__server_park(struct viommu_server *server, struct viommu__source *listener);
void viommu__server_unpark(struct viommu_server *server);
/* Makes the loop look around. Any thread, any context. */
void viommu__server_wake(struct viommu_server *server);
/* Starts or stops the timer, as needed. */
void viommu__server_retime(struct viommu_server *server);
/* Another process serves now: everything is let go of, and nothing of it is touched. */
void viommu__server_leave(struct viommu_server *server);
/* This process serves now, what another one did. */
void viommu__server_arrive(struct viommu_server *server);
/* One round of the loop; waits at most so long (-1: no limit). 0 or -errno. */
int viommu__server_step(struct viommu_server *server, int timeout_ms);

/* ---- log.c */

__attribute__((format(printf, 3, 4))) void viommu__server_log(struct viommu_server *server,
							      enum viommu_server_level level,
							      const char *format, ...);

/* ---- port.c */

int viommu__port_new(struct viommu_server *server, const struct viommu_server_function *function,
		     struct viommu__port **out);
void viommu__port_free(struct viommu__port *port);
/* Of a server that takes another one's place: adopt.c. 0 or -errno; then to be freed. */
int viommu__port_adopt_socket(struct viommu__port *port, const struct viommu__saved_port *saved);
int viommu__port_adopt_client(struct viommu__port *port, const struct viommu__saved_port *saved);
/* True: the connection was at its end, and has ended now. */
bool viommu__port_hang_up_broken(struct viommu__port *port);
/* Its socket and its client are another process's. */
void viommu__port_leave(struct viommu__port *port);
/* They are ours now: the function has its VMM, and what waits is looked at. */
void viommu__port_arrive(struct viommu__port *port);
/* Messages that wait in the buffer. */
void viommu__port_turn(struct viommu__port *port);
/* Its turn has taken its time. */
bool viommu__port_turn_over(const struct viommu__port *port);
/* A few steps of a function without workers. */
void viommu__port_run(struct viommu__port *port);
/* A second went by. */
void viommu__port_tick(struct viommu__port *port);

/* ---- serve.c */

/*
 * One message with its descriptors; those that are kept become -1. Returns what it cost, in units
 * of a turn. The port may be broken afterwards.
 */
uint32_t viommu__port_serve(struct viommu__port *port, const uint8_t *p,
			    const struct viommu__vfu_header *h, int *fds, unsigned int nr_fds,
			    bool fds_lost);
/*
 * The connection can't go on: no more is read from it, and the loop closes it. Under port.lock. why
 * goes into the log.
 */
void viommu__port_break(struct viommu__port *port, const char *why);
/* The same when what was said so far is still to be answered. Not under port.lock. */
void viommu__port_finish(struct viommu__port *port, const char *why);
/* Every map of the client is removed from the memory and forgotten. */
void viommu__port_unmap_all(struct viommu__port *port);

/* ---- dma.c */

/* A reply to a command of ours, or to none. Returns what it cost. */
uint32_t viommu__dma_reply(struct viommu__port *port, const uint8_t *p,
			   const struct viommu__vfu_header *h);
/* No reply comes any more, because of err: whoever waits is told. */
void viommu__dma_end(struct viommu__port *port, int err);

/* ---- handover.c */

/* A control client on that socket asks for all that we have; version is what it said behind. */
void viommu__handover(struct viommu_server *server, int fd, const char *version);

/* ---- out.c: all under port.lock, except _flush() */

/* Appends; breaks the port if the client leaves too much unread, or without memory. */
void viommu__out_put(struct viommu__port *port, const void *head, size_t head_bytes,
		     const void *data, size_t data_bytes);
/* Sends what the socket takes, and has the loop told when it takes more. */
void viommu__out_send(struct viommu__port *port);
void viommu__out_free(struct viommu__out *out);

/* ---- irqs.c */

int viommu__irqs_new(struct viommu__irqs *irqs, const struct viommu_pci_config *config);
void viommu__irqs_free(struct viommu__irqs *irqs);
/* Closes all of the client's, and nothing is masked. Under port.lock. */
void viommu__irqs_clear(struct viommu__irqs *irqs);
/* SET_IRQS: 0 or the errno (positive) for the client; descriptors that are kept become -1. */
int viommu__irqs_set(struct viommu__port *port, const struct viommu__vfu_message *msg, int *fds,
		     unsigned int nr_fds);
uint32_t viommu__irqs_count(const struct viommu__irqs *irqs, uint32_t index);
void viommu__irqs_unmasked(struct viommu__port *port);
/* struct viommu_pci_vmm */
void viommu__irqs_interrupt(void *ctx, unsigned int vector);
void viommu__irqs_intx(void *ctx, int level);
/* SET_IRQS of a client of before; the numbers are taken. 0, -EINVAL. */
int viommu__irqs_adopt(struct viommu__port *port, const struct viommu__saved_port *saved);

/* ---- workers.c */

/* The pool that works for a function: one of its own, or that of its engines. 0 or -errno. */
int viommu__pool_get(struct viommu_server *server, const struct viommu_server_function *function,
		     struct viommu__pool **out);
/* The last who leaves it ends its threads. NULL is allowed. */
void viommu__pool_put(struct viommu__pool *pool);
/* 0 or -errno; once started it goes on to its end. */
int viommu__pool_start(struct viommu__pool *pool);
void viommu__pool_kick(struct viommu__pool *pool);
/* Adds what its workers have counted. */
void viommu__pool_stats(const struct viommu__pool *pool, struct viommu_dma_stats *sum);

/* ---- control.c */

int viommu__control_new(struct viommu_server *server, const char *path,
			char *(*answer)(void *ctx, const char *line), void *ctx);
void viommu__control_free(struct viommu__control *control);
/* Its socket is another process's. */
void viommu__control_leave(struct viommu__control *control);
void viommu__control_tick(struct viommu_server *server);
/* Clients of control sockets. */
bool viommu__control_busy(const struct viommu_server *server);
void viommu__control_init(struct viommu_server *server);

#endif /* VIOMMU_SERVER_STATE_H */
