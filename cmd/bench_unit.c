/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest sees: a bind by a flush of its PASID cache, descriptors of the invalidation queue,
 * a page request through the unit's queues, copies by a DSA device.
 *
 * The guest is a script in this process: tables in guest memory, and accesses to the register page.
 * What a VMM adds on the way (an exit, a message) is not in these figures.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <viommu/board.h>
#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>
#include <viommu/vtd.h>

#include "bench.h"
#include "cmd.h"

#define SID   VIOMMU_SID(0, 5, 0)
#define DID   1u
#define PASID 1u
#define RAM   (32 * MIB)

/* One page each, from 0 up; then PASID tables of 64 entries a page, then what the rows use. */
#define ROOT       (1 * PAGE)
#define CONTEXT    (2 * PAGE)
#define DIRECTORY  (3 * PAGE)
#define STATUS     (4 * PAGE)
#define QUEUE      (8 * PAGE) /* 256 descriptors of 32 bytes: two pages */
#define REQUESTS   (10 * PAGE)
#define TABLES     (16 * PAGE)
#define PASIDS     1024u
#define FIRST      (TABLES + PASIDS / 64 * PAGE) /* four levels of first-stage tables */
#define DATA       (8 * MIB)
#define DATA_BYTES (2 * MIB)
/* Where the process has DATA. */
#define GVA UINT64_C(0x7f1234400000)

#define QUEUE_BYTES 8192u

struct unit {
	struct viommu_board *board;
	struct viommu_guest *guest;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	struct viommu_dma *dma;
	uint8_t *ram;
	void *map;
	uint64_t map_bytes;
	uint32_t tail;
	uint32_t seq;
	uint64_t errors;

	/* page requests */
	pthread_t thread;
	int wake;
	int end;
	uint64_t served;
	uint32_t head;

	/* copies */
	uint64_t bytes;
	uint64_t at;
};

static void need(int ret, const char *what)
{
	if (!ret)
		return;
	cmd_error("bench", "%s: %s", what, strerror(-ret));
	exit(CMD_FAILED);
}

static uint64_t *words(struct unit *u, uint64_t gpa)
{
	return (uint64_t *)(void *)(u->ram + gpa);
}

/* ---- The guest's driver ---- */

static void put(struct unit *u, uint64_t d0, uint64_t d1)
{
	uint64_t *d = words(u, QUEUE + u->tail);

	d[0] = d0;
	d[1] = d1;
	d[2] = d[3] = 0;
	u->tail = (u->tail + 32) % QUEUE_BYTES;
}

static void put_pasid_cache(struct unit *u, uint32_t pasid)
{
	put(u,
	    VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) |
		    VTD_VAL(VTD_IQ_PC_DID, DID) | VTD_VAL(VTD_IQ_PC_PASID, pasid),
	    0);
}

static void put_piotlb(struct unit *u, uint32_t pasid)
{
	put(u,
	    VTD_VAL(VTD_IQ_PIOTLB_TYPE, VTD_IQ_TYPE_PIOTLB) |
		    VTD_VAL(VTD_IQ_PIOTLB_G, VTD_IQ_PIOTLB_SELECTIVE) |
		    VTD_VAL(VTD_IQ_PIOTLB_DID, DID) | VTD_VAL(VTD_IQ_PIOTLB_PASID, pasid),
	    0);
}

/* A wait behind what was put; the tail; and its status, which has to be there at once. */
static void flush(struct unit *u)
{
	volatile uint32_t *status = (volatile uint32_t *)words(u, STATUS);

	u->seq++;
	put(u,
	    VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_MASK(VTD_IQ_WAIT_SW) |
		    VTD_VAL(VTD_IQ_WAIT_DATA, u->seq),
	    STATUS);
	viommu_guest_write(u->guest, VTD_REG_IQT, 8, u->tail);
	while (*status != u->seq && viommu_guest_run(u->guest))
		;
	u->errors += *status != u->seq;
}

static void command(struct unit *u, uint32_t bit)
{
	uint32_t on =
		(uint32_t)viommu_guest_read(u->guest, VTD_REG_GSTS, 4) & (uint32_t)VTD_GCMD_LEVELS;

	viommu_guest_write(u->guest, VTD_REG_GCMD, 4, on | bit);
}

static void entry(struct unit *u, uint32_t pasid)
{
	uint64_t *pe = words(u, TABLES + pasid * UINT64_C(64));

	memset(pe, 0, 64);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_DID, DID);
	VTD_SET(pe, VTD_PE_PWSNP, 1);
	pe[VTD_WORD(VTD_PE_FSPTPTR)] |= FIRST;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	pe[0] |= VTD_MASK(VTD_PE_P);
}

static void no_entry(struct unit *u, uint32_t pasid)
{
	words(u, TABLES + pasid * UINT64_C(64))[0] &= ~VTD_MASK(VTD_PE_P);
}

static uint64_t *leaf(struct unit *u, uint64_t gva)
{
	return words(u, FIRST + 3 * PAGE) + (gva >> 12 & 511);
}

static void process(struct unit *u)
{
	const uint64_t all = VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US);
	uint64_t i;

	words(u, FIRST)[GVA >> 39 & 511] = (FIRST + 1 * PAGE) | all;
	words(u, FIRST + 1 * PAGE)[GVA >> 30 & 511] = (FIRST + 2 * PAGE) | all;
	words(u, FIRST + 2 * PAGE)[GVA >> 21 & 511] = (FIRST + 3 * PAGE) | all;
	for (i = 0; i < DATA_BYTES; i += PAGE)
		*leaf(u, GVA + i) = (DATA + i) | all;
}

static void tables(struct unit *u)
{
	uint64_t *context = words(u, CONTEXT + (SID & 0x7f) * UINT64_C(32)), i;

	words(u, ROOT)[0] = CONTEXT | VTD_MASK(VTD_SROOT_LP);
	context[0] = DIRECTORY | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) |
		     VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE);
	for (i = 0; i < PASIDS / 64; i++)
		words(u, DIRECTORY)[i] = (TABLES + i * PAGE) | VTD_MASK(VTD_PDIR_P);
	process(u);
}

/* What an operating system switches on in the device's configuration space. */
static void config_write(struct unit *u, unsigned int offset, uint16_t value)
{
	const uint8_t le[2] = { (uint8_t)value, (uint8_t)(value >> 8) };

	need(viommu_pci_config_write(u->pci, offset, le, sizeof(le)), "configuration");
}

static void device_on(struct unit *u)
{
	config_write(u, 0x04, 6);       /* memory, bus master */
	config_write(u, 0x236, 1);      /* PASID */
	config_write(u, 0x226, 0x8000); /* ATS */
	config_write(u, 0x24c, 64);     /* page requests outstanding */
	config_write(u, 0x244, 1);      /* PRI */
}

static void unit_open(struct unit *u)
{
	const struct viommu_board_config config = {
		.size = sizeof(config),
		.guest = { .size = sizeof(config.guest), .flags = VIOMMU_GUEST_CM },
	};

	memset(u, 0, sizeof(*u));
	u->ram = vm_map_memory(RAM, &u->map, &u->map_bytes);
	memset(u->ram, 0, RAM);
	need(viommu_board_new(&config, &u->board), "board");
	need(viommu_dsa_new(NULL, &u->dsa), "DSA");
	u->guest = viommu_board_guest(u->board);
	u->pci = viommu_dsa_pci(u->dsa);
	need(viommu_board_add(u->board, u->pci, SID), "device");
	need(viommu_mem_add_ptr(viommu_board_mem(u->board), 0, RAM, u->ram, 0), "memory");
	need(viommu_dma_new(viommu_board_host(u->board), &u->dma), "DMA object");
	tables(u);
	viommu_guest_write(u->guest, VTD_REG_IQA, 8, QUEUE | VTD_MASK(VTD_IQA_DW) | 1);
	command(u, (uint32_t)VTD_MASK(VTD_GCMD_QIE));
	viommu_guest_write(u->guest, VTD_REG_RTADDR, 8,
			   ROOT | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	command(u, (uint32_t)VTD_MASK(VTD_GCMD_SRTP));
	command(u, (uint32_t)VTD_MASK(VTD_GCMD_TE));
	device_on(u);
}

static void unit_close(struct unit *u)
{
	viommu_dma_free(u->dma);
	viommu_board_remove(u->board, u->pci);
	viommu_dsa_free(u->dsa);
	viommu_board_free(u->board);
	munmap(u->map, u->map_bytes);
}

static uint64_t bound(struct unit *u)
{
	struct viommu_guest_stats stats = { .size = sizeof(stats) };

	viommu_guest_stats(u->guest, &stats);
	return stats.bound;
}

/* ---- Binds and invalidations ---- */

static uint64_t flushes(struct unit *u, uint64_t n, bool bind)
{
	uint64_t before = bound(u), t0, ns = 0, i;

	for (i = 1; i <= n; i++) {
		if (!bind)
			no_entry(u, (uint32_t)i);
		else
			entry(u, (uint32_t)i);
		t0 = bench_now();
		put_pasid_cache(u, (uint32_t)i);
		flush(u);
		ns += bench_now() - t0;
	}
	u->errors += bound(u) != (bind ? before + n : before - n);
	return ns;
}

static uint64_t run_bind(void *ctx, uint64_t n)
{
	uint64_t ns = flushes(ctx, n, true);

	flushes(ctx, n, false);
	return ns;
}

static uint64_t run_unbind(void *ctx, uint64_t n)
{
	flushes(ctx, n, true);
	return flushes(ctx, n, false);
}

#define BATCH 250u

/* A queue full of descriptors and one wait behind them. */
static uint64_t run_descriptors(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0, ns = 0, i;

	for (; n; n--) {
		for (i = 0; i < BATCH; i++)
			put_piotlb(u, PASID);
		t0 = bench_now();
		flush(u);
		ns += bench_now() - t0;
	}
	return ns;
}

static uint64_t run_one(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0 = bench_now();

	for (; n; n--) {
		put_piotlb(u, PASID);
		flush(u);
	}
	return bench_now() - t0;
}

static void bind_rows(struct bench *b, struct unit *u)
{
	struct comparison c = { .subject = { run_bind, u, 1, PASIDS - 1 } };
	struct figures f;

	bench_compare(b, &c, &f);
	bench_row_value(b, "UNIT", "bind by a flush of the PASID cache", f.value, "ns", GOAL_NONE,
			0);
	c.subject.run = run_unbind;
	bench_compare(b, &c, &f);
	bench_row_value(b, "UNIT", "unbind by a flush (drains)", f.value, "ns", GOAL_NONE, 0);
	entry(u, PASID);
	put_pasid_cache(u, PASID);
	flush(u);
	c.subject = (struct side){ run_descriptors, u, BATCH, 0 };
	bench_compare(b, &c, &f);
	bench_row_value(b, "P7", "invalidate a PASID, a queue descriptor of 250", f.value, "ns",
			GOAL_AT_MOST, 50);
	c.subject = (struct side){ run_one, u, 1, 0 };
	bench_compare(b, &c, &f);
	bench_row_value(b, "UNIT", "invalidate a PASID and wait, by the queue", f.value, "ns",
			GOAL_NONE, 0);
}

/* ---- Page requests ---- */

/* The unit's interrupt, on the DMA thread: wake the guest's driver. */
static void message(void *ctx, uint64_t addr, uint32_t data)
{
	struct unit *u = ctx;
	uint64_t one = 1;

	(void)addr;
	(void)data;
	u->errors += write(u->wake, &one, sizeof(one)) != sizeof(one);
}

/* The guest's driver: reads the ring, maps the page, answers by a descriptor. */
static void *driver(void *arg)
{
	struct unit *u = arg;
	uint64_t v;

	bench_pin(1);
	while (read(u->wake, &v, sizeof(v)) == sizeof(v) &&
	       !__atomic_load_n(&u->end, __ATOMIC_ACQUIRE)) {
		viommu_guest_write(u->guest, VTD_REG_PRS, 4, VTD_MASK(VTD_PRS_PPR));
		while (u->head != viommu_guest_read(u->guest, VTD_REG_PQT, 8)) {
			const uint64_t *r = words(u, REQUESTS + u->head);
			uint64_t gva = r[1] & VTD_MASK(VTD_PRQ_ADDR);

			__atomic_fetch_or(leaf(u, gva), VTD_MASK(VTD_FS_P), __ATOMIC_SEQ_CST);
			put(u,
			    VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_MASK(VTD_IQ_PGRP_PP) |
				    VTD_VAL(VTD_IQ_PGRP_RID, VTD_GET(r, VTD_PRQ_RID)) |
				    VTD_VAL(VTD_IQ_PGRP_PASID, VTD_GET(r, VTD_PRQ_PASID)),
			    VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(r, VTD_PRQ_PRGI)));
			u->head = (u->head + VTD_PRQ_BYTES) % PAGE;
			u->served++;
		}
		viommu_guest_write(u->guest, VTD_REG_PQH, 8, u->head);
		flush(u);
	}
	return NULL;
}

static uint64_t run_requests(void *ctx, uint64_t n)
{
	const uint32_t flags = VIOMMU_DMA_ATS;
	struct unit *u = ctx;
	uint64_t ns = 0, word;

	bench_pin(0);
	for (; n; n--) {
		uint64_t before = __atomic_load_n(&u->served, __ATOMIC_ACQUIRE), t0;

		/*
		 * The driver's thread has the queue: take its part while it waits. It is done when
		 * the access has gone on.
		 */
		__atomic_fetch_and(leaf(u, GVA), ~VTD_MASK(VTD_FS_P), __ATOMIC_SEQ_CST);
		u->errors +=
			viommu_host_invalidate(viommu_board_host(u->board),
					       viommu_board_domain(u->board),
					       &(struct viommu_invalidate){
						       .size = sizeof(struct viommu_invalidate),
						       .granularity = VIOMMU_INVALIDATE_PASID,
						       .hp = { PASID } }) != 0;
		t0 = bench_now();
		u->errors += viommu_dma_read(u->dma, viommu_pci_device(u->pci), PASID, GVA, &word,
					     8, flags, NULL) != 0;
		ns += bench_now() - t0;
		u->errors += __atomic_load_n(&u->served, __ATOMIC_ACQUIRE) != before + 1;
	}
	bench_unpin();
	return ns;
}

static void request_row(struct bench *b, struct unit *u)
{
	const struct viommu_pci_vmm vmm = { .ctx = u, .message = message };
	struct echo *echo = echo_new();
	struct comparison c = {
		.subject = { run_requests, u, 1, 0 },
		.base = { echo_run, echo, 1, 0 },
		.slice_ns = 2000000,
		.rounds = 31,
	};
	struct figures f;

	u->wake = eventfd(0, EFD_CLOEXEC);
	need(u->wake < 0 ? -errno : 0, "eventfd");
	viommu_pci_set_vmm(viommu_board_unit(u->board), &vmm);
	viommu_guest_write(u->guest, VTD_REG_PQA, 8, REQUESTS);
	viommu_guest_write(u->guest, VTD_REG_PEADDR, 4, 0xfee00000);
	viommu_guest_write(u->guest, VTD_REG_PECTL, 4, 0);
	need(-pthread_create(&u->thread, NULL, driver, u), "thread");
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "page request through the unit's queues", "eventfd round trip",
			&f, GOAL_NONE, 0);
	__atomic_store_n(&u->end, 1, __ATOMIC_RELEASE);
	message(u, 0, 0);
	pthread_join(u->thread, NULL);
	viommu_pci_set_vmm(viommu_board_unit(u->board), NULL);
	close(u->wake);
	echo_free(echo);
}

/* ---- DSA ---- */

#define BAR0(offset, bytes, value) \
	need(viommu_pci_bar_write(u->pci, 0, offset, bytes, value), "BAR 0")
/* Buffers move through this much; the largest still fits between. */
#define SPREAD (512 * KIB - 4 * PAGE)
#define GRPCFG 0x400u
#define WQCFG  0x500u

static void dsa_command(struct unit *u, unsigned int code, uint32_t operand)
{
	uint64_t status;

	BAR0(0xa0, 4, (uint64_t)code << DSA_CMD_CODE_LO | operand);
	while (viommu_pci_run(u->pci, u->dma))
		;
	need(viommu_pci_bar_read(u->pci, 0, 0xa8, 4, &status), "BAR 0");
	u->errors += status != 0;
}

/* One dedicated queue with the process's PASID. */
static void dsa_open(struct unit *u)
{
	BAR0(GRPCFG, 8, 1);
	BAR0(GRPCFG + 32, 8, 1);
	BAR0(GRPCFG + 40, 4, 96u << 20);
	BAR0(WQCFG, 4, 16);
	BAR0(WQCFG + 8, 4, 1 | 10 << 4 | PASID << 8 | 1u << 28);
	BAR0(WQCFG + 12, 4, 21 | 5 << 5);
	dsa_command(u, DSA_CMD_ENABLE_DEVICE, 0);
	dsa_command(u, DSA_CMD_ENABLE_WQ, 0);
}

static uint64_t run_copies(void *ctx, uint64_t n)
{
	volatile uint8_t *status;
	uint64_t d[8] = { 0 }, t0, i;
	struct unit *u = ctx;

	d[0] = (uint64_t)DSA_OP_MOVE << DSA_D_OPCODE_LO | (uint64_t)(DSA_FLAG_CRAV | DSA_FLAG_RCR)
								  << DSA_D_FLAGS_LO;
	d[1] = GVA;
	d[4] = u->bytes;
	status = u->ram + DATA;
	t0 = bench_now();
	for (; n; n--) {
		u->at = (u->at + 2 * PAGE) % SPREAD;
		d[2] = GVA + PAGE + u->at;
		d[3] = GVA + MIB + u->at;
		*status = 0;
		for (i = 0; i < 8; i++)
			u->errors += viommu_pci_bar_write(u->pci, 2, 0x1000 + i * 8, 8, d[i]) != 0;
		while (viommu_pci_run(u->pci, u->dma))
			;
		u->errors += *status != DSA_ST_SUCCESS;
	}
	return bench_now() - t0;
}

static uint64_t run_memcpy(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0 = bench_now();

	for (; n; n--) {
		u->at = (u->at + 2 * PAGE) % SPREAD;
		memcpy(u->ram + DATA + MIB + u->at, u->ram + DATA + PAGE + u->at, u->bytes);
		CLOBBER();
	}
	return bench_now() - t0;
}

static void copy_row(struct bench *b, struct unit *u, uint64_t bytes, const char *what)
{
	const struct comparison c = {
		.subject = { run_copies, u, 1, 0 },
		.base = { run_memcpy, u, 1, 0 },
		.speed = true,
	};
	struct figures f;
	char text[80];

	u->bytes = bytes;
	bench_compare(b, &c, &f);
	snprintf(text, sizeof(text), "DSA copy of %s, portal to completion", what);
	bench_row_ratio(b, "UNIT", text, "memcpy", &f, GOAL_NONE, 0);
	snprintf(text, sizeof(text), "DSA copies of %s a second, one engine", what);
	bench_row_value(b, "UNIT", text, 1e3 / f.value, "M/s", GOAL_NONE, 0);
}

void bench_unit(struct bench *b)
{
	struct unit *u = bench_alloc(sizeof(*u));

	bench_progress(b, "the unit that a guest programs");
	unit_open(u);
	bind_rows(b, u);
	bench_progress(b, "page requests through the unit");
	request_row(b, u);
	bench_progress(b, "DSA copies");
	dsa_open(u);
	copy_row(b, u, 64, "64 B");
	copy_row(b, u, 4096, "4 KiB");
	copy_row(b, u, 512 * KIB, "512 KiB");
	if (u->errors)
		bench_wrong(b, "UNIT: %llu steps went wrong", (unsigned long long)u->errors);
	unit_close(u);
	free(u);
}
