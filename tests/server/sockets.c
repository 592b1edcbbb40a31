/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names in the file system, control sockets, the clock, and what happens when descriptors run out.
 */
#include "server/peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct viommu_server_function function(struct rig *rig, const char *path)
{
	return (struct viommu_server_function){ .size = sizeof(struct viommu_server_function),
						.pci = rig->toy[0].pci,
						.path = path };
}

static void only_the_owner_reaches_a_socket(void **state)
{
	mode_t old = umask(0);
	char path[64];
	struct stat st;
	struct rig rig;

	(void)state;
	rig_open(&rig, NULL);
	assert_int_equal(stat(rig.toy[0].path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	rig_path(&rig, "control", path, sizeof(path));
	assert_int_equal(viommu_server_add_control(rig.server, path, (void *)abort, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	rig_close(&rig);
	umask(old);
}

/* A socket whose server is gone without removing it. */
static void leave_stale(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
}

static void what_nobody_serves_is_replaced_and_nothing_else(void **state)
{
	struct viommu_server_function f;
	struct viommu__socket s;
	unsigned int before;
	char path[64], target[64], lengthy[200];
	struct stat st;
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, NULL);
	before = settled_fds();
	rig_path(&rig, "stale", path, sizeof(path));
	leave_stale(path);
	assert_int_equal(viommu__socket_listen(&s, path), 0);
	/* Somebody serves it: this server, for one. */
	f = function(&rig, path);
	assert_int_equal(viommu_server_add(rig.server, &f), -EADDRINUSE);
	f = function(&rig, rig.toy[0].path);
	assert_int_equal(viommu_server_add(rig.server, &f), -EADDRINUSE);
	viommu__socket_close(&s);
	assert_int_equal(access(path, F_OK), -1);
	/* With a queue that is full, it is served as well. */
	assert_int_equal(viommu__socket_listen(&s, path), 0);
	{
		struct sockaddr_un to = { .sun_family = AF_UNIX };
		int waiting[64], n = 0;

		memcpy(to.sun_path, path, strlen(path) + 1);
		do {
			waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		} while (!connect(waiting[n++], (struct sockaddr *)&to, sizeof(to)) && n < 64);
		assert_int_equal(errno, EAGAIN);
		f = function(&rig, path);
		assert_int_equal(viommu_server_add(rig.server, &f), -EADDRINUSE);
		while (n)
			close(waiting[--n]);
	}
	/* Not ours any more: it stays when we go. */
	assert_int_equal(unlink(path), 0);
	leave_stale(path);
	viommu__socket_close(&s);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	/* Files, folders, links are not touched. */
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	f = function(&rig, path);
	assert_int_equal(viommu_server_add(rig.server, &f), -EEXIST);
	assert_int_equal(unlink(path), 0);
	rig_path(&rig, "target", target, sizeof(target));
	leave_stale(target);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(viommu_server_add(rig.server, &f), -EEXIST);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(target), 0);
	f = function(&rig, rig.dir);
	assert_int_equal(viommu_server_add(rig.server, &f), -EEXIST);
	/* Names. */
	f = function(&rig, "");
	assert_int_equal(viommu_server_add(rig.server, &f), -EINVAL);
	f = function(&rig, "/tmp/no-such-folder-of-viommu/x");
	assert_int_equal(viommu_server_add(rig.server, &f), -ENOENT);
	memset(lengthy, 'a', sizeof(lengthy));
	memcpy(lengthy, rig.dir, strlen(rig.dir));
	lengthy[strlen(rig.dir)] = '/';
	lengthy[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
	f = function(&rig, lengthy);
	assert_int_equal(viommu_server_add(rig.server, &f), -ENAMETOOLONG);
	lengthy[sizeof(((struct sockaddr_un *)0)->sun_path) - 1] = '\0';
	assert_int_equal(viommu__socket_listen(&s, lengthy), 0);
	viommu__socket_close(&s);
	assert_fds(before);
	rig_close(&rig);
}

static void arguments_are_checked(void **state)
{
	struct viommu_server_config config = { .size = sizeof(config) - 8 };
	struct viommu_server_function f;
	struct viommu_server *server;
	struct rig rig;
	char path[64];

	(void)state;
	assert_int_equal(viommu_server_new(&config, &server), -EINVAL);
	assert_null(server);
	viommu_server_free(NULL);
	rig_open(&rig, NULL);
	rig_path(&rig, "x", path, sizeof(path));
	f = function(&rig, NULL);
	assert_int_equal(viommu_server_add(rig.server, &f), -EINVAL);
	f = function(&rig, path);
	f.size = 0;
	assert_int_equal(viommu_server_add(rig.server, &f), -EINVAL);
	f = function(&rig, path);
	f.pci = NULL;
	assert_int_equal(viommu_server_add(rig.server, &f), -EINVAL);
	assert_int_equal(viommu_server_add_control(rig.server, NULL, (void *)abort, NULL), -EINVAL);
	assert_int_equal(viommu_server_add_control(rig.server, path, NULL, NULL), -EINVAL);
	assert_int_equal(access(path, F_OK), -1);
	rig_close(&rig);
}

/* ---- Control */

struct oracle {
	unsigned int asked;
	size_t bytes; /* of the answer; 0: none */
	char line[SERVER_CONTROL_LINE];
};

static char *oracle_answer(void *ctx, const char *line)
{
	struct oracle *oracle = ctx;
	char *answer;

	oracle->asked++;
	snprintf(oracle->line, sizeof(oracle->line), "%s", line);
	if (!oracle->bytes)
		return NULL;
	answer = malloc(oracle->bytes + 1);
	memset(answer, 'x', oracle->bytes);
	answer[oracle->bytes] = '\0';
	return answer;
}

/* Everything until the server closes it. */
static size_t drain(struct rig *rig, int fd)
{
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		rig_settle(rig);
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n <= 0)
			break;
		total += (size_t)n;
	}
	assert_int_equal(n, 0);
	return total;
}

static void a_line_gets_an_answer(void **state)
{
	static const struct {
		const char *sent;
		size_t bytes;
		const char *line;
	} lines[] = { { "status\n", 7, "status" },
		      { "status", 6, "status" },
		      { "status\nmore\n", 12, "status" },
		      { "st\0us\n", 6, "st" },
		      { "\n", 1, "" } };
	struct oracle oracle = { .bytes = 5 };
	unsigned int before, i;
	struct rig rig;
	char path[64];
	int fd;

	(void)state;
	rig_open(&rig, NULL);
	rig_path(&rig, "control", path, sizeof(path));
	assert_int_equal(viommu_server_add_control(rig.server, path, oracle_answer, &oracle), 0);
	assert_int_equal(viommu_server_add_control(rig.server, path, oracle_answer, &oracle),
			 -EADDRINUSE);
	rig_settle(&rig);
	before = settled_fds();
	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		fd = peer_dial(path);
		assert_int_equal(send(fd, lines[i].sent, lines[i].bytes, MSG_NOSIGNAL),
				 lines[i].bytes);
		if (i == 1)
			shutdown(fd, SHUT_WR);
		assert_int_equal(drain(&rig, fd), 5);
		assert_int_equal(oracle.asked, i + 1);
		assert_string_equal(oracle.line, lines[i].line);
		close(fd);
	}
	/* In pieces; a long answer, which is read late. */
	oracle.bytes = 1 << 20;
	fd = peer_dial(path);
	for (i = 0; i < 7; i++) {
		assert_int_equal(send(fd, &"inspect"[i], 1, MSG_NOSIGNAL), 1);
		rig_settle(&rig);
	}
	assert_int_equal(oracle.asked, 5);
	assert_int_equal(send(fd, "\n", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(drain(&rig, fd), 1 << 20);
	assert_string_equal(oracle.line, "inspect");
	close(fd);
	/* No answer. */
	oracle.bytes = 0;
	fd = peer_dial(path);
	assert_int_equal(send(fd, "x\n", 2, MSG_NOSIGNAL), 2);
	assert_int_equal(drain(&rig, fd), 0);
	close(fd);
	assert_int_equal(oracle.asked, 7);
	assert_fds(before);
	rig_close(&rig);
}

static void control_clients_are_bounded(void **state)
{
	struct oracle oracle = { .bytes = 1 << 22 };
	char path[64], line[SERVER_CONTROL_LINE];
	int fd, many[SERVER_CONTROLS], i;
	unsigned int before;
	struct rig rig;

	(void)state;
	rig_open(&rig, NULL);
	rig_path(&rig, "control", path, sizeof(path));
	assert_int_equal(viommu_server_add_control(rig.server, path, oracle_answer, &oracle), 0);
	before = settled_fds();
	/* Nothing, a line too long, gone in the middle of an answer. */
	fd = peer_dial(path);
	rig_settle(&rig);
	close(fd);
	rig_settle(&rig);
	assert_int_equal(oracle.asked, 0);
	memset(line, 'a', sizeof(line));
	fd = peer_dial(path);
	assert_int_equal(send(fd, line, sizeof(line), MSG_NOSIGNAL), sizeof(line));
	rig_settle(&rig);
	assert_int_equal(oracle.asked, 0);
	close(fd);
	line[1022] = '\n';
	fd = peer_dial(path);
	assert_int_equal(send(fd, line, 1023, MSG_NOSIGNAL), 1023);
	rig_settle(&rig);
	assert_int_equal(oracle.asked, 1);
	assert_int_equal(strlen(oracle.line), 1022);
	close(fd);
	rig_settle(&rig);
	assert_fds(before);
	/* As many as there are places; the next is closed. */
	for (i = 0; i < (int)SERVER_CONTROLS; i++) {
		many[i] = peer_dial(path);
		rig_settle(&rig);
	}
	fd = peer_dial(path);
	rig_settle(&rig);
	assert_int_equal(recv(fd, line, 1, MSG_DONTWAIT), 0);
	close(fd);
	/* They say nothing, and their time is over. */
	for (i = 0; i <= (int)SERVER_PATIENCE; i++)
		viommu__control_tick(rig.server);
	for (i = 0; i < (int)SERVER_CONTROLS; i++) {
		assert_int_equal(recv(many[i], line, 1, MSG_DONTWAIT), 0);
		close(many[i]);
	}
	assert_fds(before);
	/* One that asks and does not read, when the server goes. */
	fd = peer_dial(path);
	assert_int_equal(send(fd, "x\n", 2, MSG_NOSIGNAL), 2);
	rig_settle(&rig);
	assert_int_equal(oracle.asked, 2);
	rig_close(&rig);
	close(fd);
}

/* ---- Time */

static void the_clock_runs_while_somebody_is_there(void **state)
{
	struct oracle oracle = { 0 };
	struct peer peer;
	struct rig rig;
	char path[64];
	int fd;

	(void)state;
	rig_open(&rig, NULL);
	rig_path(&rig, "control", path, sizeof(path));
	assert_int_equal(viommu_server_add_control(rig.server, path, oracle_answer, &oracle), 0);
	assert_false(rig.server->ticking);
	/* A control client is watched, but is no client. */
	fd = peer_dial(path);
	rig_settle(&rig);
	assert_true(rig.server->ticking);
	assert_int_equal(viommu__server_step(rig.server, 10000), 0);
	assert_int_equal(rig.ticks, 0);
	close(fd);
	rig_settle(&rig);
	assert_false(rig.server->ticking);
	peer_open(&peer, &rig, 0);
	assert_true(rig.server->ticking);
	assert_int_equal(viommu__server_step(rig.server, 10000), 0);
	assert_int_equal(rig.ticks, 1);
	peer_close(&peer);
	assert_false(rig.server->ticking);
	rig_close(&rig);
}

static void who_never_says_a_version_has_to_go(void **state)
{
	struct peer peer;
	struct rig rig;
	unsigned int i;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .ports = 2 });
	peer_open(&peer, &rig, 0);
	for (i = 0; i < SERVER_PATIENCE; i++)
		viommu__port_tick(container_of(rig.server->ports.next, struct viommu__port, node));
	assert_false(peer_is_closed(&peer));
	viommu__port_tick(container_of(rig.server->ports.next, struct viommu__port, node));
	assert_true(peer_is_closed(&peer));
	assert_int_equal(rig.toy[0].disconnected, 1);
	peer_close(&peer);
	/* Who said it may be silent for ever. */
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	for (i = 0; i < 10 * SERVER_PATIENCE; i++)
		viommu__port_tick(container_of(rig.server->ports.next, struct viommu__port, node));
	assert_false(peer_is_closed(&peer));
	peer_close(&peer);
	rig_close(&rig);
}

/* ---- Descriptors run out */

static rlim_t limit_fds(rlim_t n)
{
	struct rlimit limit;
	rlim_t old;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	old = limit.rlim_cur;
	limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return old;
}

/* The next open() fails. */
static rlim_t no_more_fds(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	return limit_fds((rlim_t)fd);
}

static void a_client_waits_until_there_is_a_descriptor(void **state)
{
	struct oracle oracle = { .bytes = 3 };
	struct pollfd epoll;
	struct peer peer;
	char path[64];
	struct rig rig;
	rlim_t old;
	int fd;

	(void)state;
	rig_open(&rig, &(struct rig_config){ .ports = 2 });
	rig_path(&rig, "control", path, sizeof(path));
	assert_int_equal(viommu_server_add_control(rig.server, path, oracle_answer, &oracle), 0);
	peer_open(&peer, &rig, 1);
	assert_int_equal(peer_version(&peer, NULL), 0);
	fd = peer_dial(rig.toy[0].path);
	old = no_more_fds();
	rig_step(&rig);
	assert_int_equal(rig.server->parked, 1);
	assert_int_equal(rig.toy[0].connected, 0);
	/* No busy waiting: the loop has nothing to do, though somebody waits. */
	epoll = (struct pollfd){ .fd = rig.server->epoll, .events = POLLIN };
	assert_int_equal(poll(&epoll, 1, 0), 0);
	limit_fds(old);
	/* Somebody went: now is the time. */
	peer_close(&peer);
	assert_int_equal(rig.server->parked, 0);
	assert_int_equal(rig.toy[0].connected, 1);
	/* The same by the clock. */
	peer.fd = fd;
	peer_close(&peer);
	fd = peer_dial(rig.toy[0].path);
	old = no_more_fds();
	rig_step(&rig);
	assert_int_equal(rig.server->parked, 1);
	limit_fds(old);
	assert_int_equal(viommu__server_step(rig.server, 10000), 0);
	rig_settle(&rig);
	assert_int_equal(rig.toy[0].connected, 2);
	peer.fd = fd;
	assert_int_equal(peer_version(&peer, NULL), 0);
	/* Control clients wait in the same way. */
	fd = peer_dial(path);
	assert_int_equal(send(fd, "x\n", 2, MSG_NOSIGNAL), 2);
	old = no_more_fds();
	rig_step(&rig);
	assert_int_equal(rig.server->parked, 1);
	limit_fds(old);
	peer_close(&peer);
	assert_int_equal(drain(&rig, fd), 3);
	close(fd);
	rig_close(&rig);
}

static void descriptors_that_can_not_be_received_are_an_error_reply(void **state)
{
	int fds[4] = { event_fd(), event_fd(), event_fd(), event_fd() }, i;
	struct peer peer;
	struct rig rig;
	rlim_t old;

	(void)state;
	rig_open(&rig, NULL);
	peer_open(&peer, &rig, 0);
	assert_int_equal(peer_version(&peer, NULL), 0);
	old = no_more_fds();
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 4, fds, 4), EMFILE);
	limit_fds(old);
	assert_int_equal(peer_irqs(&peer, 0x24, VFU_MSIX, 0, 4, fds, 4), 0);
	peer_close(&peer);
	rig_close(&rig);
	for (i = 0; i < 4; i++)
		close(fds[i]);
}

/* Making a server with n descriptors left: all or nothing, for each n. */
static void a_server_is_made_whole_or_not_at_all(void **state)
{
	unsigned int before = settled_fds(), n;
	struct rig rig;
	rlim_t old;
	int first, err;

	(void)state;
	first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(first);
	for (n = 0;; n++) {
		old = limit_fds((rlim_t)first + n);
		err = rig_try(&rig, &(struct rig_config){ .ports = 3 });
		limit_fds(old);
		if (!err)
			break;
		assert_int_equal(err, -EMFILE);
		assert_fds(before);
	}
	/*
	 * epoll, wake, timer, what signals, three listeners; one to see whether somebody serves
	 * there needs none.
	 */
	assert_int_equal(n, 7);
	rig_close(&rig);
	assert_fds(before);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(only_the_owner_reaches_a_socket),
	cmocka_unit_test(what_nobody_serves_is_replaced_and_nothing_else),
	cmocka_unit_test(arguments_are_checked),
	cmocka_unit_test(a_line_gets_an_answer),
	cmocka_unit_test(control_clients_are_bounded),
	cmocka_unit_test(the_clock_runs_while_somebody_is_there),
	cmocka_unit_test(who_never_says_a_version_has_to_go),
	cmocka_unit_test(a_client_waits_until_there_is_a_descriptor),
	cmocka_unit_test(descriptors_that_can_not_be_received_are_an_error_reply),
	cmocka_unit_test(a_server_is_made_whole_or_not_at_all),
};
TEST_MAIN(tests)
