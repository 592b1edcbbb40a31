/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device with shared virtual addressing, served to QEMU: it copies, XORs and adds up bytes at the
 * addresses of a guest's process, with page requests for what is missing and an interrupt at the
 * end. docs/tutorial-device.md goes through it step by step.
 *
 *	cc sva_device.c -o sva_device $(pkg-config --cflags --libs viommu viommu-server)
 *	./sva_device DIR [REGISTERS]
 *
 * Ids 1af4:10f0 to 1af4:10ff are set apart for experiments that stay in the laboratory (QEMU's list
 * of PCI ids); a device of yours needs an id of yours.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <viommu-server/server.h>
#include <viommu/board.h>

/* clang-format off */
/* Registers, 64 bits each, at the begin of BAR 0. */
enum { SOURCE, DESTINATION, LENGTH, PASID, DOORBELL, STATUS, RESULT, REGISTERS };
/* What DOORBELL takes; what STATUS shows, with a fault's reason in bits 15:8. */
enum { COPY = 1, XOR = 2, SUM = 3, IDLE = 0, BUSY = 1, DONE = 2, FAULT = 3 };
/* clang-format on */

#define PASID_VALID 0x80000000u  /* PASID: without it the addresses are the function's own */
#define CHUNK       (64u * 1024) /* bytes between two looks at whether to stop */

/*
 * The guest writes registers while STATUS is not BUSY, the one worker while it is; the guest may
 * read them at any time. So they need to be atomic, and no more.
 */
struct device {
	struct viommu_pci *pci;
	_Atomic uint64_t reg[REGISTERS];
	uint8_t buf[2][CHUNK];
};

/* ---- Registers: on the accessing thread, which never waits for DMA ---- */

static uint64_t device_read(void *ctx, unsigned bar, uint64_t offset, unsigned bytes)
{
	struct device *d = ctx;

	return bar == 0 && bytes == 8 && offset / 8 < REGISTERS ? d->reg[offset / 8] : 0;
}

static void device_write(void *ctx, unsigned bar, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct device *d = ctx;
	uint64_t n = offset / 8;

	if (bar != 0 || bytes != 8 || n > DOORBELL || d->reg[STATUS] == BUSY)
		return;
	d->reg[n] = value;
	if (n == DOORBELL && value >= COPY && value <= SUM) {
		d->reg[STATUS] = BUSY;
		viommu_pci_kick(d->pci);
	}
}

static void device_reset(void *ctx)
{
	struct device *d = ctx;

	memset(d->reg, 0, sizeof(d->reg));
}

/* ---- Work: on a thread of the server ---- */

/*
 * The n bytes at offset `at` of the job. RESULT counts the source's bytes together, whatever is
 * done with them. 0: done. VIOMMU_FAULTED: res->fault says why.
 */
static int chunk(struct device *d, struct viommu_dma *dma, uint32_t pasid, uint64_t at, size_t n,
		 struct viommu_dma_result *res)
{
	struct viommu_device *dev = viommu_pci_device(d->pci);
	uint64_t to = d->reg[DESTINATION] + at, op = d->reg[DOORBELL], sum = 0;
	uint32_t flags = viommu_pci_dma_flags(d->pci);
	int ret;

	ret = viommu_dma_read(dma, dev, pasid, d->reg[SOURCE] + at, d->buf[0], n, flags, res);
	if (!ret && op == XOR)
		ret = viommu_dma_read(dma, dev, pasid, to, d->buf[1], n, flags, res);
	for (size_t i = 0; !ret && i < n; i++) {
		sum += d->buf[0][i];
		d->buf[0][i] ^= op == XOR ? d->buf[1][i] : 0;
	}
	d->reg[RESULT] += sum;
	if (!ret && op != SUM)
		ret = viommu_dma_write(dma, dev, pasid, to, d->buf[0], n, flags, res);
	return ret;
}

static int device_run(void *ctx, struct viommu_dma *dma)
{
	struct viommu_dma_result res = { 0 };
	struct device *d = ctx;
	uint64_t at, n, bytes = d->reg[LENGTH];
	uint32_t pasid = VIOMMU_NO_PASID;
	int ret = 0;

	if (d->reg[STATUS] != BUSY)
		return 0;
	d->reg[RESULT] = 0;
	if (d->reg[PASID] & PASID_VALID)
		ret = viommu_pci_pasid(d->pci, d->reg[PASID] & VIOMMU_PASID_MAX, &pasid);
	for (at = 0; !ret && at < bytes; at += n) {
		n = bytes - at < CHUNK ? bytes - at : CHUNK;
		ret = viommu_pci_stopping(d->pci) || chunk(d, dma, pasid, at, n, &res);
	}
	if (ret)
		d->reg[RESULT] = res.fault.addr;
	d->reg[STATUS] = ret ? FAULT | res.fault.reason << 8 : DONE;
	viommu_pci_interrupt(d->pci, 0);
	return 1;
}

/* ---- One VM: a board with the unit and the device, and a server for both ---- */

static struct viommu_server *server;

static void stop(int sig)
{
	(void)sig;
	viommu_server_stop(server);
}

/* Once a second: page requests that no guest answers end. */
static void tick(void *ctx)
{
	viommu_host_expire_page_requests(viommu_board_host(ctx));
}

static void must(int ret, const char *what)
{
	if (ret)
		errx(1, "%s: %s", what, strerror(abs(ret)));
}

static void save(const char *name, const void *bytes, size_t size)
{
	FILE *f = fopen(name, "wb");

	if (!f || fwrite(bytes, size, 1, f) != 1 || fclose(f))
		err(1, "%s", name);
}

int main(int argc, char **argv)
{
	static struct device d;
	const struct viommu_pci_config config = {
		.size = sizeof(config),
		.vendor = 0x1af4,
		.device = 0x10f0,
		.class_code = 0x120000, /* processing accelerator */
		.flags = VIOMMU_PCI_HAS_ATS | VIOMMU_PCI_HAS_PRI | VIOMMU_PCI_HAS_PASID |
			 VIOMMU_PCI_HAS_FLR,
		.bar[0].bytes = 0x4000,
		.msix_vectors = 1,
		.msix_table = 0x1000,
		.msix_pba = 0x2000,
		.workers = 1,
		.ops = { &d, device_read, device_write, NULL, device_reset, .run = device_run },
	};
	struct viommu_server_config sc = { .size = sizeof(sc), .tick = tick };
	struct viommu_server_function f = { .size = sizeof(f) };
	struct viommu_board *board;
	/* Where the firmware puts the unit; in a plain machine this. */
	uint64_t registers = argc > 2 ? strtoull(argv[2], NULL, 0) : 0xfebe0000;
	uint8_t acpi[4096];

	if (argc < 2 || chdir(argv[1]))
		errx(1, "usage: sva_device DIR [REGISTERS]");
	must(viommu_pci_new(&config, &d.pci, NULL), "device");
	must(viommu_board_new(NULL, &board), "board");
	must(viommu_board_add(board, d.pci, VIOMMU_SID(0, 5, 0)), "slot 05.0");
	save("dmar.bin", acpi, viommu_board_dmar(board, registers, acpi, sizeof(acpi)));
	save("ssdt.bin", acpi, viommu_board_ssdt(board, acpi, sizeof(acpi)));

	sc.ctx = board;
	must(viommu_server_new(&sc, &server), "server");
	f.path = "device.sock";
	f.pci = d.pci;
	f.host = viommu_board_host(board);
	must(viommu_server_add(server, &f), f.path);
	f.path = "unit.sock";
	f.pci = viommu_board_unit(board);
	f.mem = viommu_board_mem(board);
	must(viommu_server_add(server, &f), f.path);

	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	warnx("ready");
	must(viommu_server_run(server), "serve");
	viommu_server_free(server);
	viommu_board_remove(board, d.pci);
	viommu_board_free(board);
	viommu_pci_free(d.pci);
	return 0;
}
