/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control sockets: a client sends one line, gets a text, and is closed. Everything about it is
 * bounded: how many there are, the line, the seconds it may take to send and to read. None of it
 * needs memory, except the answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "server/closer.h"
#include "server/handover.h"
#include "server/state.h"

static void client_close(struct viommu__control_client *client)
{
	struct viommu_server *server = client->control->server;

	viommu__server_unwatch(server, &client->source);
	viommu__socket_end(client->source.fd);
	client->source.fd = -1;
	free(client->answer);
	client->answer = NULL;
	viommu__server_unpark(server);
	viommu__server_retime(server);
}

static void client_send(struct viommu__control_client *client)
{
	ssize_t n;

	while (client->from < client->to) {
		n = send(client->source.fd, client->answer + client->from,
			 client->to - client->from, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		client->from += (size_t)n;
	}
	client_close(client);
}

/* The line is whole, without its end. */
static void client_answer(struct viommu__control_client *client)
{
	struct viommu__control *control = client->control;

	/* It is asked first: it may not want to be replaced by this one of several sockets. */
	client->answer = control->answer(control->ctx, client->line);
	if (!client->answer) {
		if (control->server->handover.save && !strncmp(client->line, "replace ", 8))
			viommu__handover(control->server, client->source.fd, client->line + 8);
		client_close(client);
		return;
	}
	client->from = 0;
	client->to = strlen(client->answer);
	viommu__server_rewatch(control->server, &client->source, EPOLLOUT);
	client_send(client);
}

static void client_ready(struct viommu__source *source, uint32_t events)
{
	struct viommu__control_client *client;
	int fds[SOCKET_FDS_ALL];
	unsigned int nr = SOCKET_FDS_ALL;
	char *end;
	ssize_t n;
	bool lost;

	(void)events;
	client = container_of(source, struct viommu__control_client, source);
	if (source->fd < 0)
		return;
	if (client->answer) {
		client_send(client);
		return;
	}
	n = viommu__socket_recv(source->fd, client->line + client->nr,
				sizeof(client->line) - 1 - client->nr, fds, &nr, &lost);
	while (nr) /* nobody wants any */
		viommu__fd_close(fds[--nr]);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n > 0)
		client->nr += (size_t)n;
	client->line[client->nr] = '\0';
	/* A peer that says no more has ended its line as well. */
	end = memchr(client->line, '\n', client->nr);
	if (end || (!n && client->nr)) {
		if (end)
			*end = '\0';
		client_answer(client);
	} else if (n <= 0 || client->nr == sizeof(client->line) - 1) {
		client_close(client);
	}
}

static void listener_ready(struct viommu__source *source, uint32_t events)
{
	struct viommu__control *control = container_of(source, struct viommu__control, listener);
	struct viommu_server *server = control->server;
	struct viommu__control_client *client = NULL;
	unsigned int i;
	int fd;

	(void)events;
	fd = viommu__socket_accept(&control->socket);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
		viommu__server_park(server, source);
	if (fd < 0)
		return;
	for (i = 0; i < SERVER_CONTROLS && !client; i++) {
		if (server->control_client[i].source.fd < 0)
			client = &server->control_client[i];
	}
	if (!client) {
		viommu__socket_end(fd);
		return;
	}
	client->source.fd = fd;
	client->control = control;
	client->age = 0;
	client->nr = 0;
	if (viommu__server_watch(server, &client->source, EPOLLIN)) {
		client->source.fd = -1;
		viommu__socket_end(fd);
		return;
	}
	viommu__server_retime(server);
}

void viommu__control_tick(struct viommu_server *server)
{
	unsigned int i;

	for (i = 0; i < SERVER_CONTROLS; i++) {
		struct viommu__control_client *client = &server->control_client[i];

		if (client->source.fd >= 0 && ++client->age > SERVER_PATIENCE)
			client_close(client);
	}
}

bool viommu__control_busy(const struct viommu_server *server)
{
	unsigned int i;

	for (i = 0; i < SERVER_CONTROLS; i++) {
		if (server->control_client[i].source.fd >= 0)
			return true;
	}
	return false;
}

void viommu__control_init(struct viommu_server *server)
{
	unsigned int i;

	for (i = 0; i < SERVER_CONTROLS; i++) {
		server->control_client[i].source.fd = -1;
		server->control_client[i].source.ready = client_ready;
	}
}

/* A new socket at the path, or the one that another process listens at there. */
static int control_socket(struct viommu__control *control, const char *path)
{
	struct viommu_server_handover *h = control->server->config.handover;
	struct viommu__saved_socket *saved;
	int err;

	if (!h)
		return viommu__socket_listen(&control->socket, path);
	control->socket.fd = -1;
	err = viommu__handover_control(h, path, &saved);
	if (err)
		return err;
	return viommu__socket_adopt(&control->socket, path, viommu__handover_fd(h, saved->listener),
				    saved->dev, saved->ino);
}

static void control_close(struct viommu__control *control)
{
	/* Not taken over yet: it is the other one's. */
	if (control->server->config.handover)
		viommu__socket_leave(&control->socket);
	else
		viommu__socket_close(&control->socket);
}

void viommu__control_leave(struct viommu__control *control)
{
	viommu__server_unwatch(control->server, &control->listener);
	control->listener.fd = -1;
	viommu__socket_leave(&control->socket);
}

int viommu__control_new(struct viommu_server *server, const char *path,
			char *(*answer)(void *ctx, const char *line), void *ctx)
{
	struct viommu__control *control;
	int err;

	control = viommu__calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	control->server = server;
	control->answer = answer;
	control->ctx = ctx;
	control->listener.ready = listener_ready;
	err = control_socket(control, path);
	control->listener.fd = control->socket.fd;
	if (!err)
		err = viommu__server_watch(server, &control->listener, EPOLLIN);
	if (err) {
		control_close(control);
		viommu__free(control);
		return err;
	}
	list_add_tail(&server->controls, &control->node);
	return 0;
}

void viommu__control_free(struct viommu__control *control)
{
	struct viommu_server *server = control->server;
	unsigned int i;

	for (i = 0; i < SERVER_CONTROLS; i++) {
		struct viommu__control_client *client = &server->control_client[i];

		if (client->source.fd >= 0 && client->control == control)
			client_close(client);
	}
	list_del(&control->node);
	viommu__server_unwatch(server, &control->listener);
	control_close(control);
	viommu__free(control);
}
