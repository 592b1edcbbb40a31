/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probe: what the kernel made of the unit and its devices, as values for the test to look at:
 *
 *	@value linux RELEASE
 *	@value cmdline TEXT
 *	@value unit NAME ADDRESS VERSION CAP ECAP		of /sys/class/iommu
 *	@value group NUMBER TYPE DEVICE...
 *	@value device BDF CLASS VENDOR:DEVICE DRIVER GROUP
 *	@value config BDF HEX					configuration space, of classes 06 and 08
 *	@value dsa NAME STATE VERSION PASID CONFIGURABLE GEN_CAP ENGINES QUEUES SIZE
 *	@value interrupts PAGE-REQUESTS FAULTS
 *	@value dmesg TEXT		a line about the unit or the device
 *	@value complaint TEXT		a line that should not be there
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest.h"

static char path[PATH_MAX];

static const char *at(const char *folder, const char *name, const char *file)
{
	snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
	return path;
}

static const char *text_at(const char *folder, const char *name, const char *file)
{
	static char texts[8][256];
	static int turn;
	char *text = texts[turn++ % 8];

	if (!get_text(at(folder, name, file), text, sizeof(texts[0])) || !text[0])
		snprintf(text, sizeof(texts[0]), "-");
	return text;
}

/* The last part of what a link points to. */
static const char *link_at(const char *folder, const char *name, const char *file)
{
	static char targets[4][PATH_MAX];
	static int turn;
	char *target = targets[turn++ % 4];
	ssize_t n = readlink(at(folder, name, file), target, sizeof(targets[0]) - 1);
	char *slash;

	if (n < 0)
		return "-";
	target[n] = 0;
	slash = strrchr(target, '/');
	return slash ? slash + 1 : target;
}

static void each_name(const char *folder, void (*visit)(const char *folder, const char *name))
{
	struct dirent **names;
	int i, n = scandir(folder, &names, NULL, alphasort);

	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			visit(folder, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void say_unit(const char *folder, const char *name)
{
	say("@value unit %s %s %s %s %s", name, text_at(folder, name, "intel-iommu/address"),
	    text_at(folder, name, "intel-iommu/version"), text_at(folder, name, "intel-iommu/cap"),
	    text_at(folder, name, "intel-iommu/ecap"));
}

static void say_group(const char *folder, const char *name)
{
	char devices[512] = "", where[PATH_MAX];
	struct dirent **names;
	int i, n;

	snprintf(where, sizeof(where), "%s/%s/devices", folder, name);
	n = scandir(where, &names, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			strncat(devices, " ", sizeof(devices) - strlen(devices) - 1);
			strncat(devices, names[i]->d_name, sizeof(devices) - strlen(devices) - 1);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	say("@value group %s %s%s", name, text_at(folder, name, "type"), devices);
}

static void say_config(const char *folder, const char *name)
{
	uint8_t bytes[4096];
	char hex[2 * 256 + 1];
	int fd = open(at(folder, name, "config"), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes)), first, i;

	for (first = 0; first < n; first += 256) {
		bool any = false;

		for (i = 0; i < 256 && first + i < n; i++) {
			snprintf(hex + 2 * i, 3, "%02x", bytes[first + i]);
			any |= bytes[first + i] != 0;
		}
		if (any)
			say("@value config %s %03zx %s", name, first, hex);
	}
	if (fd >= 0)
		close(fd);
}

static void say_device(const char *folder, const char *name)
{
	const char *class = text_at(folder, name, "class");
	const char *vendor = text_at(folder, name, "vendor");
	const char *device = text_at(folder, name, "device");
	const char *driver = link_at(folder, name, "driver");
	const char *group = link_at(folder, name, "iommu_group");

	say("@value device %s %s %s:%s %s %s", name, class, vendor, device, driver, group);
	/* The unit and the endpoints, not the chipset's functions. */
	if (!strcmp(class, "0x080600") || !strcmp(class, "0x088000"))
		say_config(folder, name);
}

static void say_dsa(const char *folder, const char *name)
{
	if (strncmp(name, "dsa", 3))
		return;
	say("@value dsa %s %s %s %s %s %s %s %s %s", name, text_at(folder, name, "state"),
	    text_at(folder, name, "version"), text_at(folder, name, "pasid_enabled"),
	    text_at(folder, name, "configurable"), text_at(folder, name, "gen_cap"),
	    text_at(folder, name, "max_engines"), text_at(folder, name, "max_work_queues"),
	    text_at(folder, name, "max_work_queues_size"));
}

static bool has_any(const char *text, const char *const *words)
{
	for (; *words; words++) {
		if (strstr(text, *words))
			return true;
	}
	return false;
}

/* "<6>[    1.234567] text", or "<6>text" of a kernel that keeps no times. */
static char *message(char *line)
{
	char *text = line[0] == '<' ? strchr(line, '>') : NULL, *end;

	text = text ? text + 1 : line;
	end = text[0] == '[' ? strstr(text, "] ") : NULL;
	return end ? end + 2 : text;
}

static void say_dmesg(void)
{
	static const char *const subjects[] = { "DMAR", "iommu", "IOMMU", "idxd",
						"vfio", "LA57",  NULL };
	static const char *const complaints[] = { "BUG",         "WARNING:",  "Oops",
						  "Call Trace",  "panic",     "hung task",
						  "soft lockup", "rcu_sched", "rcu_preempt",
						  "timed out",   "timeout",   NULL };
	size_t size = 1 << 20;
	char *log = malloc(size), *line, *rest;
	int n = log ? klogctl(3, log, size - 1) : -1;

	if (n < 0)
		give_up("the kernel's log");
	log[n] = 0;
	for (line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *text = message(line);

		/*
		 * Two processors of an emulator on a busy machine are not in step; that is no news.
		 */
		if (has_any(text, complaints) && !strstr(text, "ommand line: ") &&
		    strncmp(text, "clocksource:", 12))
			say("@value complaint %s", text);
		if (has_any(text, subjects))
			say("@value dmesg %s", text);
	}
	free(log);
}

int command_probe(int argc, char **argv)
{
	struct utsname uts;
	char text[512];

	(void)argc;
	(void)argv;
	uname(&uts);
	say("@value linux %s", uts.release);
	get_text("/proc/cmdline", text, sizeof(text));
	say("@value cmdline %s", text);
	each_name("/sys/class/iommu", say_unit);
	each_name("/sys/kernel/iommu_groups", say_group);
	each_name("/sys/bus/pci/devices", say_device);
	each_name("/sys/bus/dsa/devices", say_dsa);
	say("@value interrupts %lu %lu", interrupts("-prq"), interrupts("dmar0\n"));
	say_dmesg();
	return 0;
}
