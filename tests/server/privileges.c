/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a server gives up: in a child each, since it can't be taken back. A child says by its status
 * in which line something was wrong.
 */
#include "server/peer.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(expr)                             \
	do {                                    \
		if (!(expr))                    \
			_exit(__LINE__ & 0xff); \
	} while (0)

/* 0, or the line of what was wrong (modulo 256). */
static int in_child(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

/* A line of /proc/self/status, or of one of its threads. */
static unsigned long long status_of(pid_t thread, const char *key)
{
	unsigned long long v = ~0ull;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)thread);
	f = fopen(path, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)))
			v = strtoull(line + strlen(key), NULL, 16);
	}
	fclose(f);
	return v;
}

static bool is_worker(pid_t thread)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)thread);
	f = fopen(path, "r");
	if (f && !fgets(name, sizeof(name), f))
		name[0] = '\0';
	if (f)
		fclose(f);
	return !strcmp(name, "viommu-worker\n");
}

static void check_nothing_left(pid_t thread)
{
	CHECK(status_of(thread, "CapEff:") == 0);
	CHECK(status_of(thread, "CapPrm:") == 0);
	CHECK(status_of(thread, "NoNewPrivs:") == 1);
}

static void drop_as_we_are(void)
{
	struct rlimit core;

	CHECK(viommu_server_drop_privileges(NULL) == 0);
	check_nothing_left(gettid());
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
	/* It may be called again. */
	CHECK(viommu_server_drop_privileges(NULL) == 0);
}

static void become_somebody(void)
{
	CHECK(viommu_server_drop_privileges("65534:65533") == 0);
	CHECK(getuid() == 65534 && geteuid() == 65534 && getgid() == 65533);
	CHECK(getgroups(0, NULL) == 0);
	CHECK(setuid(0) == -1 && setgid(0) == -1);
	check_nothing_left(gettid());
	/* That was the last time. */
	CHECK(viommu_server_drop_privileges("1000:1000") == -EPERM);
}

static void become_by_name(void)
{
	CHECK(viommu_server_drop_privileges("nobody") == 0);
	CHECK(getuid() != 0 && geteuid() != 0);
}

static void refuse(void)
{
	static const char *const wrong[] = { "0:0", "root" };
	static const char *const nobody[] = { "",
					      "no-such-user-of-viommu",
					      "1000",
					      "1000:",
					      ":1000",
					      "1000:1000x",
					      "-1:-1",
					      "4294967295:1",
					      "1:4294967295",
					      "1 :1",
					      "99999999999999999999:1" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK(viommu_server_drop_privileges(wrong[i]) == -EINVAL);
	for (i = 0; i < ARRAY_SIZE(nobody); i++)
		CHECK(viommu_server_drop_privileges(nobody[i]) < 0);
	CHECK(getuid() == 0);
}

static void *serve(void *arg)
{
	struct rig *rig = arg;

	check_nothing_left(gettid());
	CHECK(viommu_server_run(rig->server) == 0);
	return NULL;
}

/* With clients afterwards: workers have nothing either, and everything works. */
static void serve_without(void)
{
	int fds[2] = { event_fd(), event_fd() };
	pthread_t thread;
	struct peer peer;
	struct dirent *entry;
	unsigned int n = 0;
	struct rig rig;
	uint64_t v = 1;
	DIR *tasks;

	CHECK(rig_try(&rig, &(struct rig_config){ .workers = 2 }) == 0);
	CHECK(viommu_server_drop_privileges(NULL) == 0);
	CHECK(pthread_create(&thread, NULL, serve, &rig) == 0);
	memset(&peer, 0, sizeof(peer));
	peer.fd = peer_dial(rig.toy[0].path);
	CHECK(peer_version(&peer, NULL) == 0);
	peer_enable(&peer);
	peer_msix(&peer, fds, 2);
	peer_post(&peer, 0, TOY_WORK, 8, &v);
	CHECK(event_wait(fds[1]) == 1);
	check_nothing_left(gettid());
	tasks = opendir("/proc/self/task");
	CHECK(tasks);
	while ((entry = readdir(tasks))) {
		pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);

		/* A sanitizer has threads, too. */
		if (!is_worker(task))
			continue;
		check_nothing_left(task);
		n++;
	}
	closedir(tasks);
	CHECK(n == 2);
	close(peer.fd);
	viommu_server_stop(rig.server);
	CHECK(pthread_join(thread, NULL) == 0);
	rig_close(&rig);
}

static void a_server_gives_up_what_it_has(void **state)
{
	(void)state;
	assert_int_equal(in_child(drop_as_we_are), 0);
	assert_int_equal(in_child(serve_without), 0);
}

static void root_becomes_somebody_else_for_good(void **state)
{
	(void)state;
	if (getuid())
		skip();
	assert_int_equal(in_child(become_somebody), 0);
	assert_int_equal(in_child(become_by_name), 0);
	assert_int_equal(in_child(refuse), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_server_gives_up_what_it_has),
	cmocka_unit_test(root_becomes_somebody_else_for_good),
};
TEST_MAIN(tests)
