/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tutorial: the device of examples/sva_device.c, driven by a process of stock Linux.
 *
 * The device has no kernel driver, and without one a process gets no PASID for its own page tables.
 * So vfio-pci gives it the device, and memory is mapped for the device at I/O addresses that are
 * the process's pointers. The device translates by the requester id, through tables that the
 * guest's kernel keeps: same pointers, nothing brought on demand.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vfio_device.h"

#define WAIT_MS 60000
#define SIZE    (8 * MIB)

#define VENDOR 0x1af4
#define DEVICE 0x10f0

/* docs/tutorial-device.md */
enum {
	SOURCE,
	DESTINATION,
	LENGTH,
	PASID,
	DOORBELL,
	STATUS,
	RESULT
};
enum {
	COPY = 1,
	XOR = 2,
	SUM = 3
};
enum {
	IDLE = 0,
	BUSY = 1,
	DONE = 2,
	FAULT = 3
};

#define PASID_VALID 0x80000000UL

struct tutorial {
	struct vfio_device vfio;
	volatile uint64_t *reg;
	int vector;
};

/* The function among those of sysfs. */
static void find(char *bdf, size_t size)
{
	const char *folder = "/sys/bus/pci/devices";
	struct dirent *entry;
	char path[512];
	DIR *dir = opendir(folder);
	bool found = false;

	if (!dir)
		give_up(folder);
	while (!found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s/vendor", folder, entry->d_name);
		if (get_number(path, 0) != VENDOR)
			continue;
		snprintf(path, sizeof(path), "%s/%s/device", folder, entry->d_name);
		found = get_number(path, 0) == DEVICE;
		snprintf(bdf, size, "%.15s", entry->d_name);
	}
	closedir(dir);
	if (!result("the function is in sysfs by its ids", found ? NULL : "it is not"))
		_exit(1);
}

/* What is written in an extended capability's control; -1 if the capability is not there. */
static int control(const uint8_t *config, uint16_t id, unsigned int offset)
{
	unsigned int at = 0x100, n;
	uint32_t header;
	uint16_t value;

	for (n = 0; at >= 0x100 && n < 64; n++, at = header >> 20) {
		memcpy(&header, config + at, sizeof(header));
		if ((header & 0xffff) == id) {
			memcpy(&value, config + at + offset, sizeof(value));
			return value;
		}
	}
	return -1;
}

/* What the kernel made of the function before any driver came. */
static void enabled(const char *bdf)
{
	uint8_t config[4096];
	char path[128];
	int fd, ats, pasid, pri;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, config, sizeof(config)) != sizeof(config))
		give_up(path);
	close(fd);
	ats = control(config, 0x0f, 6);
	pasid = control(config, 0x1b, 6);
	pri = control(config, 0x13, 4);
	check(ats >= 0 && ats & 0x8000, "the kernel enabled ATS", "%#x", ats);
	check(pasid >= 0 && pasid & 1, "the kernel enabled PASID", "%#x", pasid);
	check(pri >= 0 && pri & 1, "the kernel enabled page requests", "%#x", pri);
}

/* A job to its end, by interrupt; its status, or BUSY when the time is over. */
static uint64_t job(struct tutorial *t, uint64_t op, const void *to, const void *from, size_t bytes,
		    uint64_t pasid)
{
	struct pollfd wait = { .fd = t->vector, .events = POLLIN };
	uint64_t count;

	t->reg[SOURCE] = (uintptr_t)from;
	t->reg[DESTINATION] = (uintptr_t)to;
	t->reg[LENGTH] = bytes;
	t->reg[PASID] = pasid;
	t->reg[DOORBELL] = op;
	if (poll(&wait, 1, WAIT_MS) == 1 && read(t->vector, &count, sizeof(count)) != sizeof(count))
		give_up("reading an eventfd");
	return t->reg[STATUS];
}

static void moves_data(struct tutorial *t, uint8_t *from, uint8_t *to)
{
	static const size_t sizes[] = { 1, 7, 4096, 12345, 64 * KIB + 1, SIZE - 4 * KIB };
	uint64_t status = DONE, sum = 0;
	uint8_t *before;
	size_t i, n;

	random_fill(from, SIZE);
	for (n = 0; n < ARRAY_SIZE(sizes) && status == DONE; n++) {
		memset(to, 0, SIZE);
		status = job(t, COPY, to + 3, from + 1000, sizes[n], 0);
		if (memcmp(to + 3, from + 1000, sizes[n]) || to[2] || to[3 + sizes[n]])
			status = BUSY;
	}
	check(status == DONE, "copies by the process's pointers, an interrupt for each",
	      "status %#lx, %zu bytes", (unsigned long)status, sizes[n ? n - 1 : 0]);

	before = must_map(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memcpy(before, to, SIZE);
	n = 100001;
	status = job(t, XOR, to + 5, from, n, 0);
	for (i = 0; i < n && to[5 + i] == (before[5 + i] ^ from[i]); i++)
		;
	check(status == DONE && i == n, "XORs", "status %#lx, byte %zu", (unsigned long)status, i);

	status = job(t, SUM, NULL, from, n, 0);
	for (i = 0; i < n; i++)
		sum += from[i];
	check(status == DONE && t->reg[RESULT] == sum, "adds up", "status %#lx, %#lx, wanted %#lx",
	      (unsigned long)status, (unsigned long)t->reg[RESULT], (unsigned long)sum);
	munmap(before, SIZE);
}

static void faults(struct tutorial *t, const char *what, uint8_t *good, const void *bad,
		   uint64_t pasid)
{
	char name[128];
	uint64_t status = job(t, SUM, NULL, bad, 64, pasid);

	snprintf(name, sizeof(name), "%s ends in the status", what);
	check((status & 0xff) == FAULT, name, "status %#lx", (unsigned long)status);
	say("@value fault %#lx %s", (unsigned long)(status >> 8), what);
	snprintf(name, sizeof(name), "the job after %s works", what);
	status = job(t, COPY, good + 64, good, 64, 0);
	check(status == DONE && !memcmp(good, good + 64, 64), name, "status %#lx",
	      (unsigned long)status);
}

int command_tutorial(int argc, char **argv)
{
	const int rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	const uint32_t map_rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	uint8_t *from = must_map(NULL, SIZE, rw, flags, -1),
		*hole = must_map(NULL, SIZE, rw, flags, -1);
	uint8_t *to = must_map(NULL, SIZE, rw, flags, -1);
	struct tutorial t;
	uint64_t size;
	char bdf[16];
	int error;

	(void)argc;
	(void)argv;
	find(bdf, sizeof(bdf));
	enabled(bdf);
	vfio_take(bdf);
	vfio_open(&t.vfio, bdf);
	error = vfio_map(&t.vfio, from, (uintptr_t)from, SIZE, map_rw);
	error = error ?: vfio_map(&t.vfio, to, (uintptr_t)to, SIZE, map_rw);
	if (!check(!error, "memory is mapped for the device at its own addresses", "%s",
		   strerror(-error)))
		return 1;
	t.reg = (volatile uint64_t *)vfio_map_region(&t.vfio, VFIO_PCI_BAR0_REGION_INDEX, &size);
	vfio_enable_master(&t.vfio);
	t.vector = eventfd(0, EFD_CLOEXEC);
	error = vfio_interrupts(&t.vfio, &t.vector, 1);
	if (!check(!error, "MSI-X is enabled", "%s", strerror(-error)))
		return 1;

	moves_data(&t, from, to);
	faults(&t, "memory of the process that is not mapped for the device", from, hole, 0);
	faults(&t, "a PASID that nobody bound", from, from, PASID_VALID | 5);
	error = vfio_unmap(&t.vfio, (uintptr_t)to, SIZE);
	check(!error, "memory is unmapped", "%s", strerror(-error));
	faults(&t, "memory that was mapped before", from, to, 0);

	check(!ioctl(t.vfio.device, VFIO_DEVICE_RESET) && !t.reg[SOURCE] && !t.reg[STATUS],
	      "a function-level reset empties the registers", "source %#lx",
	      (unsigned long)t.reg[SOURCE]);
	vfio_enable_master(&t.vfio);
	check(job(&t, SUM, NULL, from, 64, 0) == DONE, "and the device works after it",
	      "status %#lx", (unsigned long)t.reg[STATUS]);
	return 0;
}
