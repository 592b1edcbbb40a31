/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that come and go while the guest runs:
 *
 *	ports			@value port BDF SECONDARY-BUS of each root port
 *	plugged VENDOR:DEVICE	waits for such a function, and for dsa0 if its driver is to take it;
 *				@value function BDF
 *	gone BDF		waits until the function is not there
 *	unplug BDF		as an administrator removes it; waits for the kernel to be done
 *	rescan			the kernel looks for functions
 *	hold BDF		a process has the function by vfio-pci, with memory mapped for it and a
 *				queue that copies, until the kernel asks for it back (see vfio.c)
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define PCI     "/sys/bus/pci/devices"
#define WAIT_MS 120000

static const char *attribute(const char *bdf, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), PCI "/%s/%s", bdf, name);
	return path;
}

/* The first function for which wanted() says so; false: none. */
static bool find(bool (*wanted)(const char *bdf, const void *what), const void *what, char *bdf,
		 size_t size)
{
	struct dirent **names;
	int i, n = scandir(PCI, &names, NULL, alphasort);
	bool found = false;

	for (i = 0; i < n; i++) {
		if (!found && names[i]->d_name[0] != '.' && wanted(names[i]->d_name, what)) {
			snprintf(bdf, size, "%.15s", names[i]->d_name);
			found = true;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return found;
}

static bool is_port(const char *bdf, const void *what)
{
	(void)what;
	if (get_number(attribute(bdf, "class"), 0) == 0x060400)
		say("@value port %s %ld", bdf,
		    get_number(attribute(bdf, "secondary_bus_number"), -1));
	return false;
}

int command_ports(int argc, char **argv)
{
	char bdf[16];

	(void)argc;
	(void)argv;
	find(is_port, NULL, bdf, sizeof(bdf));
	return 0;
}

static bool has_ids(const char *bdf, const void *what)
{
	const long *ids = what;

	return get_number(attribute(bdf, "vendor"), -1) == ids[0] &&
	       get_number(attribute(bdf, "device"), -1) == ids[1];
}

int command_plugged(int argc, char **argv)
{
	uint64_t end = now_ms() + WAIT_MS;
	bool dsa = argc > 2, found = false;
	char bdf[16] = "", *colon;
	long ids[2] = { 0 };

	if (argc > 1) {
		ids[0] = strtol(argv[1], &colon, 16);
		ids[1] = *colon ? strtol(colon + 1, NULL, 16) : 0;
	}
	do {
		found = find(has_ids, ids, bdf, sizeof(bdf)) &&
			(!dsa || !access("/sys/bus/dsa/devices/dsa0/wq0.0/name", F_OK));
		sched_yield();
	} while (!found && now_ms() < end);
	say("@value function %s", bdf);
	return !check(found, dsa ? "the driver has the function" : "the function is there",
		      "function '%s'", bdf);
}

int command_gone(int argc, char **argv)
{
	uint64_t end = now_ms() + WAIT_MS;
	const char *path = attribute(argc > 1 ? argv[1] : "", "vendor");

	while (!access(path, F_OK) && now_ms() < end)
		sched_yield();
	return !result("the function is gone", access(path, F_OK) ? NULL : "it is there");
}

int command_unplug(int argc, char **argv)
{
	const char *bdf = argc > 1 ? argv[1] : "";
	int error = put_text(attribute(bdf, "remove"), "1");

	check(!error, "the kernel removes the function", "%s", strerror(-error));
	return command_gone(argc, argv) || error;
}

int command_rescan(int argc, char **argv)
{
	int error = put_text("/sys/bus/pci/rescan", "1");

	(void)argc;
	(void)argv;
	return !check(!error, "the kernel looks for functions", "%s", strerror(-error));
}
