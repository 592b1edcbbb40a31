/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu-server/server.h - PCI functions of viommu/pci.h for a VMM in another process: vfio-user.
 *
 * A server listens at a UNIX socket for each function and serves one client (QEMU 10.1 or later) at
 * a time there. It maps the client's memory (memfd, tmpfs, hugetlbfs: files that answer at once),
 * carries register and configuration accesses, sends interrupts by eventfd, runs the functions'
 * work on threads of its own, and answers at control sockets. One event loop, no busy waiting, no
 * descriptor of the client's kept longer than the connection, unless closing it takes that long.
 *
 * Smallest correct use (error checks left out):
 *	struct viommu_server_function f = {
 *		.size = sizeof(f), .pci = viommu_dsa_pci(dsa), .path = "/run/x/dsa.sock",
 *		.host = viommu_board_host(board),
 *	};
 *
 *	viommu_server_new(NULL, &server);
 *	viommu_server_add(server, &f);
 *	viommu_server_run(server);	until viommu_server_stop()
 *
 * What a client may do wrong (a malformed message, a size beyond its limit, more maps than allowed)
 * ends in an error reply or a closed connection; the others live on. Sockets are made with mode
 * 0600.
 *
 * Synchronisation: one thread owns the server; viommu_server_stop() from any thread or signal
 * handler.
 */
#ifndef VIOMMU_SERVER_H
#define VIOMMU_SERVER_H

#include <viommu/pci.h>

#ifdef __cplusplus
extern "C" {
#endif

struct viommu_server;
struct viommu_server_handover;

enum viommu_server_level {
	VIOMMU_SERVER_ERROR = 0,
	VIOMMU_SERVER_WARNING = 1,
	VIOMMU_SERVER_INFO = 2,
	VIOMMU_SERVER_DEBUG = 3,
};

struct viommu_server_config {
	size_t size;       /* sizeof(struct viommu_server_config) */
	uint32_t max_maps; /* DMA maps of one client; 0 = 4096 */
	/*
	 * Bytes that may wait for a client that does not read, before it is disconnected; 0 = 1
	 * MiB. At least one reply always fits. Interrupt messages (a device wrote to FEEx_xxxxh)
	 * disconnect nobody: of two alike that wait one goes, and beyond half of it they are
	 * dropped.
	 */
	uint32_t max_queued;
	/*
	 * Called about once a second on the server's thread while a client is connected: what
	 * nobody answers can expire. May be NULL.
	 */
	void *ctx;
	void (*tick)(void *ctx);
	/* One line without newline; rate-limited, so that a guest can't fill a log. May be NULL. */
	void (*log)(void *ctx, enum viommu_server_level level, const char *line);
	/*
	 * This server takes the place of one that runs: see Replacement. NULL: it begins anew.
	 * Borrowed until viommu_server_take() or viommu_server_free().
	 */
	struct viommu_server_handover *handover;
};

struct viommu_server_function {
	size_t size;            /* sizeof(struct viommu_server_function) */
	struct viommu_pci *pci; /* borrowed */
	/* of the socket; what is there and is a socket nobody serves is replaced */
	const char *path;
	/*
	 * Memory that this client's DMA maps fill; NULL: its maps are taken and forgotten, since
	 * all functions of one VM tell the same. Borrowed.
	 */
	struct viommu_mem *mem;
	/*
	 * Whose DMA objects its workers get. NULL: the function has no workers. Functions of one
	 * host (and one .vm) are one VM: when the client goes that fills the memory, the functions
	 * without memory are reset and their clients are let go, so that none of them meets the
	 * next VM's memory. Borrowed.
	 */
	struct viommu_host *host;
	void *ctx;
	/*
	 * A client came or went, on the server's thread. When it went, its maps are already removed
	 * from mem and the function was reset. May be NULL.
	 */
	void (*connected)(void *ctx, struct viommu_pci *pci);
	void (*disconnected)(void *ctx, struct viommu_pci *pci);
	/* With several VMs on a host: which one (any pointer, compared only). */
	const void *vm;
	/*
	 * Engines that it was added to (viommu/pci.h). Instead of workers of its own they run it:
	 * one thread an engine, for all functions that name them. NULL: its own. Borrowed.
	 */
	struct viommu_pci_engines *engines;
};

/*
 * config may be NULL. Calls viommu_mem_guard_install(). 0, -EINVAL (size, or the handover's state
 * was not asked for), -ENOMEM or -errno.
 */
VIOMMU_API int viommu_server_new(const struct viommu_server_config *config,
				 struct viommu_server **out);
/* Closes everything, removes its sockets, joins its threads. NULL is allowed. */
VIOMMU_API void viommu_server_free(struct viommu_server *server);

/*
 * Listen for clients of a function. 0; -EINVAL (also: workers and no host); -EADDRINUSE: somebody
 * serves there; -EEXIST: something else than a socket is there; -ENAMETOOLONG; -ENOMEM; or -errno.
 */
VIOMMU_API int viommu_server_add(struct viommu_server *server,
				 const struct viommu_server_function *function);

/*
 * A control socket: a client sends one line (of at most 1,022 bytes), gets what answer() says, and
 * is closed; also if it takes more than ten seconds. Eight clients at a time. answer() runs on the
 * server's thread, gets the line without its end and returns a string from malloc() (freed by the
 * server), NULL: closed without answer. Returns as viommu_server_add().
 */
VIOMMU_API int viommu_server_add_control(struct viommu_server *server, const char *path,
					 char *(*answer)(void *ctx, const char *line), void *ctx);

/* Most bytes of one viommu_server_dma_read() or _write(). */
#define VIOMMU_SERVER_MAX_DMA 65536u

/*
 * How a DMA by messages ended, once, on the server's thread. err: 0; the client's errno, negated;
 * -EPROTO (an answer that is none); -ECONNRESET (the client went); -ECANCELED (another process
 * takes over: it may have been done or not, who asks again asks there). data: what was read, valid
 * during the call; NULL after a write or an error. bytes: so many were read or written, 0 after an
 * error.
 */
typedef void viommu_server_dma_done(void *ctx, int err, const void *data, size_t bytes);
/*
 * Asks the client of a function to read or write its guest's memory at addr, on that function's
 * behalf: for memory that it did not map here (private, or another device's), in the address space
 * that the function's bus mastering has on the client's side, untranslated by any unit of ours.
 * Never waits: done() is called later. Only on the server's thread (callbacks of functions, of the
 * server); 16 at a time a function. 0; -EINVAL: no such function, no done, 0 bytes, too many, or a
 * wrap; -ENOTCONN: no client; -EAGAIN: too many, or too much waits to be sent, or another process
 * is about to take over.
 */
VIOMMU_API int viommu_server_dma_read(struct viommu_server *server, const struct viommu_pci *pci,
				      uint64_t addr, size_t bytes, viommu_server_dma_done *done,
				      void *ctx);
VIOMMU_API int viommu_server_dma_write(struct viommu_server *server, const struct viommu_pci *pci,
				       uint64_t addr, const void *data, size_t bytes,
				       viommu_server_dma_done *done, void *ctx);

/* Serve until viommu_server_stop(). 0 or -errno (the event loop itself failed). */
VIOMMU_API int viommu_server_run(struct viommu_server *server);
/* Makes viommu_server_run() return soon; a later run() returns at once. Async-signal-safe. */
VIOMMU_API void viommu_server_stop(struct viommu_server *server);

/* ---- Replacement ----------------------------------------------------------------------------- */

/*
 * A process that serves is replaced by another one, on the same machine, while its clients are
 * connected: they notice a pause and nothing else. Sockets, connections with all that was sent and
 * not yet read, half received messages and their descriptors, memory, eventfds and interrupt levels
 * go over; what the functions are is the application's to save and load (viommu/state.h).
 *
 *	the process that serves                 the one that comes
 *	viommu_server_allow_handover()
 *	viommu_server_run()                     viommu_server_handover_new()      asks at a control socket
 *	  save(): all stands still
 *	  state, descriptors ---------------->
 *	                                        viommu_server_handover_data()     what save() said
 *	                                        viommu_server_new() with .handover, then _add() and
 *	                                        _add_control() as in the other one: same paths
 *	                                        load the functions
 *	                   <---------- "ready"  viommu_server_take()
 *	  "go" ------------------------------>
 *	  run() ends, _handed_over() is 1         returns 0: it is ours now
 *	viommu_server_free(), exit              let the functions go on, viommu_server_run()
 *
 * Until "go" the old one can go on, and does so if the new one fails, dies, or is not ready in two
 * seconds: resume(). A new one that did not get that far leaves nothing changed. Neither of them
 * touches a connection, a socket's name or an eventfd while it is not its turn. If the old one dies
 * after it has sent everything, the new one takes over without its word.
 *
 * Left out: clients of control sockets (closed), DMA by messages (ended, -ECANCELED, before
 * save()).
 */
struct viommu_server_handover_ops {
	size_t size; /* sizeof(struct viommu_server_handover_ops) */
	void *ctx;
	/*
	 * Let no function of the server run, raise an interrupt or touch the guest's memory from
	 * here on, and tell what the new process needs to go on: *data from malloc(), freed by the
	 * server. Between two messages of a client, on the server's thread. 0, or -errno with one
	 * line of why: nothing was changed, all goes on.
	 */
	int (*save)(void *ctx, void **data, size_t *bytes, char *why, size_t why_size);
	/* It is not replaced after all. Not called if save() failed. */
	void (*resume)(void *ctx);
};

/*
 * Lets processes of this one's user (or root) replace it, by its control sockets: a line that
 * begins with "replace " asks for it. answer() gets that, too, and returns NULL if it may; else
 * "refused WHY\n" (256 bytes at most), which viommu_server_handover_new() tells there. ops is
 * copied. Before viommu_server_run(). 0, -EINVAL.
 */
VIOMMU_API int viommu_server_allow_handover(struct viommu_server *server,
					    const struct viommu_server_handover_ops *ops);
/* 1: another process serves now. Do nothing with the functions any more; end. */
VIOMMU_API int viommu_server_handed_over(const struct viommu_server *server);

/*
 * Asks the server with that control socket to be replaced by this process, and receives its state,
 * unseen. From here on it stands still, for two seconds at most. why may be NULL if why_size is 0;
 * it is one line, on failure. 0; -ENOENT, -ECONNREFUSED ...: connect(2); -EOPNOTSUPP: it can't be
 * replaced, or not by this version; -EPERM; -EPROTO; -ETIMEDOUT; -EMFILE; -ENOMEM; or -errno.
 */
VIOMMU_API int viommu_server_handover_new(const char *control, struct viommu_server_handover **out,
					  char *why, size_t why_size);
/*
 * Gives up what the server that is replaced did not have: its user (if that is another, which needs
 * root), and as viommu_server_drop_privileges(). The state comes from a process with no more than
 * that, so call it before the state is looked at.
 */
VIOMMU_API int viommu_server_handover_drop_privileges(struct viommu_server_handover *handover);
/*
 * Checks the state and returns what save() told, owned by the handover, aligned for anything. 0;
 * -EINVAL with a line of why; -ENOMEM.
 */
VIOMMU_API int viommu_server_handover_data(struct viommu_server_handover *handover,
					   const void **data, size_t *bytes, char *why,
					   size_t why_size);
/*
 * Everything was added and loaded: take over. All functions and control sockets of the other server
 * must have been added. 0: this process serves, the other one has ended or will, and connected()
 * was called for each client; -EINVAL with why: something is missing; -ECANCELED: the other one
 * goes on: free the server (nothing of it is removed) and end.
 */
VIOMMU_API int viommu_server_take(struct viommu_server *server, char *why, size_t why_size);
/* When the other one stood still: CLOCK_MONOTONIC in nanoseconds. Valid after _data(). */
VIOMMU_API uint64_t viommu_server_handover_since(const struct viommu_server_handover *handover);
/* After the server that uses it was freed, or has taken over. NULL is allowed. */
VIOMMU_API void viommu_server_handover_free(struct viommu_server_handover *handover);

/*
 * Give up what serving does not need: call it once after start, before viommu_server_run(), on the
 * thread that runs the server. (Workers are started with the first client, so they have nothing
 * either.) Sockets made before belong to the old user.
 *
 * user: a name or "uid:gid", who the process becomes, without supplementary groups; needs root.
 * NULL: it stays who it is. Always: no capabilities, no new privileges by exec, no core dump, and
 * no debugger of the same user (the memory of a guest is in here).
 *
 * 0; -ENOENT: no such user; -EINVAL: it is root; -EPERM; or -errno. On failure some may be given up
 * already: end the process.
 */
VIOMMU_API int viommu_server_drop_privileges(const char *user);

struct viommu_server_stats {
	size_t size; /* in: sizeof(struct viommu_server_stats) */
	uint32_t functions;
	uint32_t clients;
	uint32_t maps;       /* DMA maps now */
	uint32_t workers;    /* threads now */
	uint64_t messages;   /* received */
	uint64_t errors;     /* error replies and connections closed for what they sent */
	uint64_t interrupts; /* eventfds signalled, messages sent */
	/*
	 * of all workers' DMA objects since they were made, up to the pieces of work that are done
	 */
	struct viommu_dma_stats dma;
};
VIOMMU_API void viommu_server_stats(struct viommu_server *server, struct viommu_server_stats *out);

#ifdef __cplusplus
}
#endif
#endif
