/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio BDF: a small driver for DSA on vfio-pci, for kernels whose idxd cannot load here. By the
 * group interface it maps memory at I/O addresses of its own choice, configures one dedicated queue
 * without PASID, and lets the device move data; then the same where nothing is mapped.
 *
 * The modules have to be loaded: vfio-pci with disable_denylist=1, as DSA is on its denylist, and
 * vfio_iommu_type1 with allow_unsafe_interrupts=1, as the unit has no interrupt remapping.
 */
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dsa.h"
#include "dsa_device.h"
#include "guest.h"
#include "vfio_device.h"

#define WAIT_MS DSA_WAIT_MS

struct vfio {
	struct vfio_device device;
	struct dsa_device dsa;
	uint64_t registers_size, portals_size;
};

static bool set_up_queue(struct vfio *v)
{
	uint32_t group = dsa_group(&v->dsa, 0), queue = dsa_queue_at(&v->dsa, 0);
	uint64_t capability = dsa_read64(&v->dsa, REG_GENCAP);
	int error;

	say("@value dsa version %#x gencap %#lx wqcap %#lx", dsa_read32(&v->dsa, REG_VERSION),
	    (unsigned long)capability, (unsigned long)dsa_read64(&v->dsa, REG_WQCAP));
	error = dsa_command(&v->dsa, CMD_RESET_DEVICE, 0);
	if (!check(!error, "the device is reset by command", "error %#x", error))
		return false;
	dsa_write32(&v->dsa, REG_GENCTRL, 3);
	dsa_write32(&v->dsa, queue, 16);
	dsa_write32(&v->dsa, queue + 4, 0);
	/* Dedicated, priority 10, no PASID. */
	dsa_write32(&v->dsa, queue + 8, 1 | 10 << 4);
	dsa_write32(&v->dsa, queue + 12, (capability >> 16 & 31) | (capability >> 21 & 15) << 5);
	dsa_write64(&v->dsa, group, 1);
	dsa_write64(&v->dsa, group + 32, 1);
	error = dsa_command(&v->dsa, CMD_ENABLE_DEVICE, 0);
	if (!check(!error, "the device is enabled", "error %#x", error))
		return false;
	error = dsa_command(&v->dsa, CMD_ENABLE_QUEUE, 0);
	return check(!error && dsa_read32(&v->dsa, queue + 24) >> 30 == 1, "the queue is enabled",
		     "error %#x, state %u", error, dsa_read32(&v->dsa, queue + 24) >> 30);
}

/* Memory of the driver at two places of the device's address space. */
struct window {
	uint8_t *memory;
	uint64_t iova, size;
};

static int one(struct vfio *v, enum dsa_opcode opcode, uint32_t flags, struct window *records,
	       unsigned int slot, uint64_t source, uint64_t destination, uint32_t size,
	       uint16_t handle)
{
	volatile struct dsa_record *record = (struct dsa_record *)records->memory + slot;
	struct dsa_descriptor d;

	dsa_describe(&d, opcode, flags, record, source, destination, size);
	d.record = records->iova + slot * sizeof(*record);
	d.interrupt = handle;
	dsa_submit(v->dsa.portals + PAGE, &d);
	return dsa_wait(record, WAIT_MS);
}

static void move_data(struct vfio *v, struct window *records, struct window *low,
		      struct window *high)
{
	const uint32_t size = 1 * MIB - 4099;
	uint8_t pattern[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint64_t word;
	uint32_t i;
	int status;

	random_fill(low->memory, low->size);
	memset(high->memory, 0, high->size);
	status = one(v, DSA_MEMMOVE, 0, records, 0, low->iova + 4097, high->iova + 2, size, 0);
	check(status == DSA_SUCCESS, "a move by I/O address", "status %#x", status);
	check(!memcmp(high->memory + 2, low->memory + 4097, size) && !high->memory[1] &&
		      !high->memory[2 + size],
	      "moves the data", "it differs");
	memcpy(&word, pattern, sizeof(word));
	status = one(v, DSA_FILL, 0, records, 1, word, high->iova, 8000, 0);
	for (i = 0; i < 8000 && high->memory[i] == pattern[i % 8]; i++)
		;
	check(status == DSA_SUCCESS && i == 8000, "a fill by I/O address", "status %#x, %u bytes",
	      status, i);
	status = one(v, DSA_COMPARE, 0, records, 2, low->iova, low->iova, 4096, 0);
	check(status == DSA_SUCCESS, "a comparison by I/O address", "status %#x", status);
}

/* A status that says the address did not translate; which one depends on ATS. */
static bool is_fault(int status)
{
	status &= DSA_STATUS_CODE;
	return status == DSA_PAGE_FAULT || status == DSA_REQUEST_INVALID ||
	       status == DSA_READ_ERROR || status == DSA_TRANSLATION_FAILED;
}

static void fault(struct vfio *v, struct window *records, struct window *low, const char *what,
		  uint64_t iova)
{
	char name[128];
	int status;

	status = one(v, DSA_MEMMOVE, 0, records, 3, iova, low->iova, 64, 0);
	snprintf(name, sizeof(name), "a read %s fails", what);
	check(status > 0 && is_fault(status), name, "status %#x", status);
	say("@value status %#x %s", status, name);
	status = one(v, DSA_MEMMOVE, 0, records, 4, low->iova, low->iova + 4096, 64, 0);
	snprintf(name, sizeof(name), "the next descriptor after a read %s works", what);
	check(status == DSA_SUCCESS && !memcmp(low->memory, low->memory + 4096, 64), name,
	      "status %#x", status);
}

static void interrupt(struct vfio *v, struct window *records, struct window *low)
{
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	unsigned int last = vfio_has_msix(&v->device) ? 1 : 0;
	struct pollfd wait = { .fd = fds[last], .events = POLLIN };
	int error, status;

	error = vfio_interrupts(&v->device, fds, last + 1);
	if (!check(!error, "vectors are enabled", "%s", strerror(-error)))
		return;
	status = one(v, DSA_MEMMOVE, DSA_REQUEST_INTERRUPT, records, 5, low->iova, low->iova + 8192,
		     64, 1);
	check(status == DSA_SUCCESS && poll(&wait, 1, WAIT_MS) == 1, "a completion interrupts",
	      "status %#x", status);
	close(fds[0]);
	close(fds[1]);
}

/* The device with memory, and a queue that works; false after a result that says why not. */
static bool take(struct vfio *v, const char *bdf, struct window **all, size_t nr)
{
	const int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
	const uint32_t map_rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	int error;
	size_t i;

	vfio_take(bdf);
	vfio_open(&v->device, bdf);
	for (i = 0; i < nr; i++) {
		all[i]->memory = must_map(NULL, all[i]->size, rw, anonymous | MAP_POPULATE, -1);
		error = vfio_map(&v->device, all[i]->memory, all[i]->iova, all[i]->size, map_rw);
		if (error) {
			say("@fail memory is mapped at %#lx: %s", (unsigned long)all[i]->iova,
			    strerror(-error));
			return false;
		}
	}
	v->dsa.registers =
		vfio_map_region(&v->device, VFIO_PCI_BAR0_REGION_INDEX, &v->registers_size);
	v->dsa.portals = vfio_map_region(&v->device, VFIO_PCI_BAR2_REGION_INDEX, &v->portals_size);
	vfio_enable_master(&v->device);
	return set_up_queue(v);
}

int command_vfio(int argc, char **argv)
{
	const char *bdf = argc > 1 ? argv[1] : "0000:00:05.0";
	struct window records = { .iova = 0x7fff0000, .size = 64 * KIB };
	struct window low = { .iova = 0x10000000, .size = 2 * MIB };
	struct window high = { .iova = 0x1234567000, .size = 2 * MIB };
	struct window *all[] = { &records, &low, &high };
	struct vfio v;
	int error;

	if (!take(&v, bdf, all, ARRAY_SIZE(all)))
		return 1;
	move_data(&v, &records, &low, &high);
	fault(&v, &records, &low, "where nothing was ever mapped", 0x40000000);
	error = vfio_unmap(&v.device, high.iova, high.size);
	check(!error, "memory is unmapped", "%s", strerror(-error));
	fault(&v, &records, &low, "where it was unmapped", high.iova + 4096);
	interrupt(&v, &records, &low);
	error = dsa_command(&v.dsa, CMD_DISABLE_DEVICE, 0);
	check(!error, "the device is disabled", "error %#x", error);
	say("@value swerror %#lx", (unsigned long)dsa_read64(&v.dsa, REG_SWERROR));
	return 0;
}

/*
 * hold BDF: copies until the kernel asks for the device, which is about to be ejected, then lets it
 * go as it is: with memory mapped, and a descriptor in flight.
 */
int command_hold(int argc, char **argv)
{
	struct window records = { .iova = 0x7fff0000, .size = 64 * KIB };
	struct window low = { .iova = 0x10000000, .size = 2 * MIB };
	struct window *all[] = { &records, &low };
	struct dsa_descriptor d;
	struct pollfd asked = { .fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN };
	uint64_t end = now_ms() + 2 * WAIT_MS;
	unsigned long done;
	struct vfio v;
	int error, status = DSA_SUCCESS;

	if (!take(&v, argc > 1 ? argv[1] : "", all, ARRAY_SIZE(all)))
		return 1;
	error = vfio_asked_back(&v.device, asked.fd);
	if (!check(!error, "the kernel can ask for it back", "%s", strerror(-error)))
		return 1;
	random_fill(low.memory, low.size);
	for (done = 0; status == DSA_SUCCESS && poll(&asked, 1, 0) == 0 && now_ms() < end; done++) {
		status =
			one(&v, DSA_MEMMOVE, 0, &records, 0, low.iova, low.iova + MIB, 64 * KIB, 0);
		if (done == 3)
			say("@value hold started");
	}
	check(status == DSA_SUCCESS && !memcmp(low.memory, low.memory + MIB, 64 * KIB),
	      "copies go on until the kernel asks for the device", "%lu, status %#x", done, status);
	dsa_describe(&d, DSA_MEMMOVE, 0, NULL, low.iova, low.iova + MIB, MIB);
	dsa_submit(v.dsa.portals + PAGE, &d);
	say("@value hold asked");
	return 0;
}
