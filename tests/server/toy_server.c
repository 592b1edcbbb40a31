/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rig as a program, for a VMM in another process: serves its functions in a folder until
 * SIGTERM, says on standard output where, and at the end what happened.
 *
 * usage: toy-server WORKERS
 */
#include "server/peer.h"

#include <signal.h>

static struct viommu_server *server;

static void on_signal(int sig)
{
	(void)sig;
	viommu_server_stop(server);
}

int main(int argc, char **argv)
{
	struct viommu_server_stats stats = { .size = sizeof(stats) };
	struct rig_config config = { .ports = 2 };
	struct sigaction act = { .sa_handler = on_signal };
	struct rig rig;
	int err;

	if (argc > 1)
		config.workers = (unsigned int)strtoul(argv[1], NULL, 10);
	err = rig_try(&rig, &config);
	if (err) {
		fprintf(stderr, "toy-server: %s\n", strerror(-err));
		return 1;
	}
	server = rig.server;
	sigaction(SIGTERM, &act, NULL);
	printf("%s\n%s\n", rig.toy[0].path, rig.toy[1].path);
	fflush(stdout);
	err = viommu_server_run(server);
	viommu_server_stats(server, &stats);
	/* Also those whose end the loop has not seen. */
	rig_close(&rig);
	printf("messages %llu errors %llu interrupts %llu connected %u disconnected %u last %s\n",
	       (unsigned long long)stats.messages, (unsigned long long)stats.errors,
	       (unsigned long long)stats.interrupts, rig.toy[0].connected, rig.toy[0].disconnected,
	       rig.line);
	return err ? 1 : 0;
}
