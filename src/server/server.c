/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server: its event loop and the public functions.
 *
 * Fairness. epoll hands out what is ready in turn; each source gets one turn of bounded work in a
 * round. A client with more messages in its buffer than its turn allows is put into a queue that is
 * served once a round as well.
 *
 * No busy waiting. Everything that the loop waits for is a descriptor, and what can't be taken now
 * (a client when descriptors have run out) is not watched until something changed.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "server/handover.h"
#include "server/state.h"

#define MAX_EVENTS         64
#define DEFAULT_MAX_MAPS   4096u
#define DEFAULT_MAX_QUEUED (1u << 20)

/* ---- What is watched */

int viommu__server_watch(struct viommu_server *server, struct viommu__source *source,
			 uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, source->fd, &ev) ? -errno : 0;
}

void viommu__server_rewatch(struct viommu_server *server, struct viommu__source *source,
			    uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	/* Of what is watched already: needs no memory. */
	epoll_ctl(server->epoll, EPOLL_CTL_MOD, source->fd, &ev);
}

void viommu__server_unwatch(struct viommu_server *server, struct viommu__source *source)
{
	if (source->parked)
		server->parked--;
	source->parked = false;
	/* Explicitly: a descriptor that was passed on lives on elsewhere after our close(). */
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

void viommu__server_park(struct viommu_server *server, struct viommu__source *listener)
{
	if (listener->parked)
		return;
	listener->parked = true;
	server->parked++;
	viommu__server_rewatch(server, listener, 0);
	viommu__server_log(server, VIOMMU_SERVER_ERROR, "no descriptor left for a client");
	viommu__server_retime(server);
}

static void unpark_one(struct viommu_server *server, struct viommu__source *listener)
{
	if (!listener->parked)
		return;
	listener->parked = false;
	server->parked--;
	viommu__server_rewatch(server, listener, EPOLLIN);
}

void viommu__server_unpark(struct viommu_server *server)
{
	struct viommu__control *control;
	struct viommu__port *port;

	if (!server->parked)
		return;
	list_for_each_entry(port, &server->ports, node)
		unpark_one(server, &port->listener);
	list_for_each_entry(control, &server->controls, node)
		unpark_one(server, &control->listener);
	viommu__server_retime(server);
}

/* ---- Time */

void viommu__server_retime(struct viommu_server *server)
{
	struct itimerspec spec = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	bool wanted = server->clients || server->parked || viommu__control_busy(server);

	if (wanted == server->ticking)
		return;
	server->ticking = wanted;
	if (!wanted)
		memset(&spec, 0, sizeof(spec));
	timerfd_settime(server->timer.fd, 0, &spec, NULL);
}

static void timer_ready(struct viommu__source *source, uint32_t events)
{
	struct viommu_server *server = container_of(source, struct viommu_server, timer);
	struct viommu__port *port;
	uint64_t times;

	(void)events;
	if (read(source->fd, &times, sizeof(times)) != sizeof(times))
		return;
	viommu__server_unpark(server);
	viommu__control_tick(server);
	list_for_each_entry(port, &server->ports, node)
		viommu__port_tick(port);
	if (server->clients && server->config.tick)
		server->config.tick(server->config.ctx);
}

/* ---- Wakes */

/* Async-signal-safe. */
void viommu__server_wake(struct viommu_server *server)
{
	int err = errno;

	if (!xchg(&server->awake, 1))
		viommu__eventfd_signal(server->wake.fd);
	errno = err;
}

static void wake_ready(struct viommu__source *source, uint32_t events)
{
	struct viommu_server *server = container_of(source, struct viommu_server, wake);
	uint64_t count;

	(void)events;
	/* First the counter, then the mark: who comes in between wakes again. */
	if (read(source->fd, &count, sizeof(count)) < 0)
		return;
	xchg(&server->awake, 0);
}

/* ---- The loop */

int viommu__server_step(struct viommu_server *server, int timeout_ms)
{
	struct epoll_event ev[MAX_EVENTS];
	struct viommu__source *source;
	struct viommu__port *port;
	struct list turn;
	int i, n;

	n = epoll_wait(server->epoll, ev, MAX_EVENTS,
		       list_empty(&server->runnable) ? timeout_ms : 0);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	/* Those that wait now; who joins during this round has its turn in the next. */
	list_init(&turn);
	list_splice_tail(&turn, &server->runnable);
	while (!list_empty(&turn))
		viommu__port_turn(list_first(&turn, struct viommu__port, runnable));
	/* What was ready may have become another process's by what was handled before. */
	for (i = 0; i < n && !server->handed_over; i++) {
		source = ev[i].data.ptr;
		source->ready(source, ev[i].events);
	}
	if (server->handed_over)
		return 0;
	list_for_each_entry(port, &server->ports, node)
		viommu__port_run(port);
	return 0;
}

int viommu_server_run(struct viommu_server *server)
{
	int err = 0;

	while (!err && !load_acquire(&server->stop))
		err = viommu__server_step(server, -1);
	return err;
}

void viommu_server_stop(struct viommu_server *server)
{
	int err = errno;

	store_release(&server->stop, 1);
	/* Not by viommu__server_wake(): the mark may be set by a thread that did not write yet. */
	viommu__eventfd_signal(server->wake.fd);
	errno = err;
}

/* ---- From one process to another */

void viommu__server_leave(struct viommu_server *server)
{
	struct viommu__control *control;
	struct viommu__port *port;

	list_for_each_entry(port, &server->ports, node)
		viommu__port_leave(port);
	list_for_each_entry(control, &server->controls, node)
		viommu__control_leave(control);
}

void viommu__server_arrive(struct viommu_server *server)
{
	struct viommu__port *port;

	server->frozen = false;
	list_for_each_entry(port, &server->ports, node)
		viommu__port_arrive(port);
	viommu__server_retime(server);
}

/* ---- Objects */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int open_loop(struct viommu_server *server)
{
	int err;

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0)
		return -errno;
	server->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake.fd < 0)
		return -errno;
	server->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->timer.fd < 0)
		return -errno;
	err = viommu__signaler_open(&server->signaler);
	if (err)
		return err;
	server->wake.ready = wake_ready;
	server->timer.ready = timer_ready;
	err = viommu__server_watch(server, &server->wake, EPOLLIN);
	return err ? err : viommu__server_watch(server, &server->timer, EPOLLIN);
}

int viommu_server_new(const struct viommu_server_config *config, struct viommu_server **out)
{
	struct viommu_server *server;
	int err;

	*out = NULL;
	if (config && config->size != sizeof(*config))
		return -EINVAL;
	if (config && config->handover && !config->handover->parsed)
		return -EINVAL;
	err = viommu_mem_guard_install();
	if (err)
		return err;
	server = viommu__calloc(1, sizeof(*server));
	if (!server)
		return -ENOMEM;
	if (config)
		server->config = *config;
	if (!server->config.max_maps)
		server->config.max_maps = DEFAULT_MAX_MAPS;
	if (!server->config.max_queued)
		server->config.max_queued = DEFAULT_MAX_QUEUED;
	/* The longest reply has to fit. */
	server->config.max_queued = (uint32_t)max_u64(server->config.max_queued, VFU_MAX_MESSAGE);
	server->turn_ns = SERVER_TURN_NS;
	server->handover_ms = HANDOVER_MS;
	server->frozen = server->config.handover != NULL;
	server->epoll = -1;
	server->wake.fd = -1;
	server->timer.fd = -1;
	server->signaler.fd = -1;
	list_init(&server->ports);
	list_init(&server->pools);
	list_init(&server->controls);
	list_init(&server->runnable);
	viommu__control_init(server);
	err = open_loop(server);
	if (err) {
		viommu_server_free(server);
		return err;
	}
	*out = server;
	return 0;
}

void viommu_server_free(struct viommu_server *server)
{
	struct viommu__control *control, *next_control;
	struct viommu__port *port, *next_port;

	if (!server)
		return;
	list_for_each_entry_safe(control, next_control, &server->controls, node)
		viommu__control_free(control);
	list_for_each_entry_safe(port, next_port, &server->ports, node) {
		list_del(&port->node);
		viommu__port_free(port);
	}
	viommu__signaler_close(&server->signaler);
	close_fd(server->timer.fd);
	close_fd(server->wake.fd);
	close_fd(server->epoll);
	viommu__free(server);
}

int viommu_server_add(struct viommu_server *server, const struct viommu_server_function *function)
{
	struct viommu__port *port;
	int err;

	if (function->size != sizeof(*function) || !function->pci || !function->path)
		return -EINVAL;
	if ((viommu_pci_config(function->pci)->workers || function->engines) && !function->host)
		return -EINVAL;
	err = viommu__port_new(server, function, &port);
	if (err)
		return err;
	list_add_tail(&server->ports, &port->node);
	return 0;
}

int viommu_server_add_control(struct viommu_server *server, const char *path,
			      char *(*answer)(void *ctx, const char *line), void *ctx)
{
	if (!path || !answer)
		return -EINVAL;
	return viommu__control_new(server, path, answer, ctx);
}

void viommu_server_stats(struct viommu_server *server, struct viommu_server_stats *out)
{
	struct viommu_server_stats stats = {
		.size = out->size,
		.clients = server->clients,
		.messages = server->messages,
		.errors = server->errors,
		.interrupts = load_relaxed(&server->interrupts),
	};
	struct viommu__pool *pool;
	struct viommu__port *port;

	list_for_each_entry(port, &server->ports, node) {
		stats.functions++;
		stats.maps += port->maps.nr;
	}
	list_for_each_entry(pool, &server->pools, node) {
		stats.workers += pool->nr;
		viommu__pool_stats(pool, &stats.dma);
	}
	/* A caller of an older header has less room. */
	memcpy(out, &stats, min_u64(out->size, sizeof(stats)));
}
