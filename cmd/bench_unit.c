/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest sees: a bind by a flush of its PASID cache, descriptors of the invalidation queue, a
 * page request through the unit's queues, PASIDs and virtual commands, interrupts, copies by a DSA
 * device of its own and by a part of one.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <viommu/pasid.h>

#include "bench_guest.h"

/* ---- Binds and invalidations ---- */

static uint64_t run_bind(void *ctx, uint64_t n)
{
	uint64_t ns = unit_binds(ctx, n, true);

	unit_binds(ctx, n, false);
	return ns;
}

static uint64_t run_unbind(void *ctx, uint64_t n)
{
	unit_binds(ctx, n, true);
	return unit_binds(ctx, n, false);
}

#define BATCH 250u

/* A queue full of descriptors and one wait behind them. */
static uint64_t run_descriptors(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0, ns = 0, i;

	for (; n; n--) {
		for (i = 0; i < BATCH; i++)
			unit_put_piotlb(u, PASID);
		t0 = bench_now();
		unit_flush(u);
		ns += bench_now() - t0;
	}
	return ns;
}

static uint64_t run_one(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0 = bench_now();

	for (; n; n--) {
		unit_put_piotlb(u, PASID);
		unit_flush(u);
	}
	return bench_now() - t0;
}

static void bind_process(struct unit *u)
{
	unit_entry(u, PASID);
	unit_put_pasid_cache(u, PASID);
	unit_flush(u);
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
	bind_process(u);
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

struct requests {
	struct unit *u;
	pthread_t thread;
	int wake;
	int end;
	uint64_t served; /* atomic */
	uint64_t errors; /* of the thread that asks; those of the driver's are the unit's */
	uint32_t head;
};

/* The unit's interrupt, on the DMA thread: wake the guest's driver. */
static void message(void *ctx, uint64_t addr, uint32_t data)
{
	struct requests *q = ctx;
	uint64_t one = 1;

	(void)addr;
	(void)data;
	q->errors += write(q->wake, &one, sizeof(one)) != sizeof(one);
}

/* The guest's driver: reads the ring, maps the page, answers by a descriptor. */
static void *driver(void *arg)
{
	struct requests *q = arg;
	struct unit *u = q->u;
	uint64_t v;

	bench_pin(1);
	while (read(q->wake, &v, sizeof(v)) == sizeof(v) &&
	       !__atomic_load_n(&q->end, __ATOMIC_ACQUIRE)) {
		viommu_guest_write(u->guest, VTD_REG_PRS, 4, VTD_MASK(VTD_PRS_PPR));
		while (q->head != viommu_guest_read(u->guest, VTD_REG_PQT, 8)) {
			const uint64_t *r = unit_words(u, REQUESTS + q->head);
			uint64_t gva = r[1] & VTD_MASK(VTD_PRQ_ADDR);

			__atomic_fetch_or(unit_leaf(u, gva), VTD_MASK(VTD_FS_P), __ATOMIC_SEQ_CST);
			unit_put(u,
				 VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) |
					 VTD_MASK(VTD_IQ_PGRP_PP) |
					 VTD_VAL(VTD_IQ_PGRP_RID, VTD_GET(r, VTD_PRQ_RID)) |
					 VTD_VAL(VTD_IQ_PGRP_PASID, VTD_GET(r, VTD_PRQ_PASID)),
				 VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(r, VTD_PRQ_PRGI)));
			q->head = (q->head + VTD_PRQ_BYTES) % PAGE;
			__atomic_fetch_add(&q->served, 1, __ATOMIC_RELEASE);
		}
		viommu_guest_write(u->guest, VTD_REG_PQH, 8, q->head);
		unit_flush(u);
	}
	return NULL;
}

static uint64_t run_requests(void *ctx, uint64_t n)
{
	const uint32_t flags = VIOMMU_DMA_ATS;
	struct requests *q = ctx;
	struct unit *u = q->u;
	uint64_t ns = 0, word;

	bench_pin(0);
	for (; n; n--) {
		uint64_t before = __atomic_load_n(&q->served, __ATOMIC_ACQUIRE), t0;

		/*
		 * The driver's thread has the queue: take its part while it waits. It is done when
		 * the access has gone on.
		 */
		__atomic_fetch_and(unit_leaf(u, GVA), ~VTD_MASK(VTD_FS_P), __ATOMIC_SEQ_CST);
		q->errors +=
			viommu_host_invalidate(viommu_board_host(u->board),
					       viommu_board_domain(u->board),
					       &(struct viommu_invalidate){
						       .size = sizeof(struct viommu_invalidate),
						       .granularity = VIOMMU_INVALIDATE_PASID,
						       .hp = { PASID } }) != 0;
		t0 = bench_now();
		q->errors += viommu_dma_read(u->dma, viommu_pci_device(u->pci), PASID, GVA, &word,
					     8, flags, NULL) != 0;
		ns += bench_now() - t0;
		q->errors += __atomic_load_n(&q->served, __ATOMIC_ACQUIRE) != before + 1;
	}
	bench_unpin();
	return ns;
}

static void request_row(struct bench *b, struct unit *u)
{
	struct requests requests = { .u = u }, *q = &requests;
	const struct viommu_pci_vmm vmm = { .ctx = q, .message = message };
	struct echo *echo = echo_new();
	struct comparison c = {
		.subject = { run_requests, q, 1, 0 },
		.base = { echo_run, echo, 1, 0 },
		.slice_ns = 2000000,
		.rounds = 31,
	};
	struct figures f;

	q->wake = eventfd(0, EFD_CLOEXEC);
	unit_need(q->wake < 0 ? -errno : 0, "eventfd");
	viommu_pci_set_vmm(viommu_board_unit(u->board), &vmm);
	viommu_guest_write(u->guest, VTD_REG_PQA, 8, REQUESTS);
	viommu_guest_write(u->guest, VTD_REG_PEADDR, 4, 0xfee00000);
	viommu_guest_write(u->guest, VTD_REG_PECTL, 4, 0);
	unit_need(-pthread_create(&q->thread, NULL, driver, q), "thread");
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "page request through the unit's queues", "eventfd round trip",
			&f, GOAL_NONE, 0);
	__atomic_store_n(&q->end, 1, __ATOMIC_RELEASE);
	message(q, 0, 0);
	pthread_join(q->thread, NULL);
	u->errors += q->errors;
	viommu_pci_set_vmm(viommu_board_unit(u->board), NULL);
	close(q->wake);
	echo_free(echo);
}

/* ---- PASIDs of the host's choice ---- */

/*
 * Binds of a unit that keeps two numbers for each PASID, against one with the same on both sides.
 */
static void host_pasid_row(struct bench *b, struct unit *identity)
{
	const struct unit_config config = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct unit u;
	struct comparison c = {
		.subject = { run_bind, &u, 1, PASIDS - 1 },
		.base = { run_bind, identity, 1, PASIDS - 1 },
	};
	struct figures f;

	unit_open(&u, &config);
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "bind by a flush, host PASIDs", "identity", &f, GOAL_NONE, 0);
	unit_close(b, &u);
}

/* What the guest's driver does at the bind of a process, and at its end. */
static uint64_t run_commands(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0 = bench_now(), v;

	for (; n; n--) {
		viommu_guest_write(u->guest, VTD_REG_VCMD, 8,
				   VTD_VAL(VTD_VCMD_CMD, VTD_VCMD_CODE_ALLOC));
		v = viommu_guest_read(u->guest, VTD_REG_VCRSP, 8);
		u->errors += VTD_FIELD(v, VTD_VCRSP_SC) != VTD_VCRSP_OK;
		viommu_guest_write(u->guest, VTD_REG_VCMD, 8,
				   VTD_VAL(VTD_VCMD_CMD, VTD_VCMD_CODE_FREE) |
					   VTD_VAL(VTD_VCMD_PASID, VTD_FIELD(v, VTD_VCRSP_PASID)));
		v = viommu_guest_read(u->guest, VTD_REG_VCRSP, 8);
		u->errors += VTD_FIELD(v, VTD_VCRSP_SC) != VTD_VCRSP_OK;
	}
	return bench_now() - t0;
}

/* The same of the host's allocator, by calls. */
static uint64_t run_allocator(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	struct viommu_owner *owner = viommu_domain_owner(viommu_board_domain(u->board));
	uint64_t t0 = bench_now();
	struct viommu_hp hp;

	for (; n; n--) {
		u->errors += viommu_pasid_alloc(owner, 1, VIOMMU_PASID_MAX, &hp) != 0;
		u->errors += viommu_pasid_free(owner, hp) != 0;
	}
	return bench_now() - t0;
}

static void command_row(struct bench *b)
{
	const struct unit_config config = { .flags = VIOMMU_GUEST_VCMD };
	struct unit u;
	struct comparison c = {
		.subject = { run_commands, &u, 1, 0 },
		.base = { run_allocator, &u, 1, 0 },
	};
	struct figures f;
	struct viommu_hp hp;

	unit_open(&u, &config);
	/* A VM that has one: the allocator's first and last cost its tables. */
	unit_need(viommu_pasid_alloc(viommu_domain_owner(viommu_board_domain(u.board)), 1,
				     VIOMMU_PASID_MAX, &hp),
		  "PASID");
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "virtual commands, allocate and free", "calls of the allocator",
			&f, GOAL_NONE, 0);
	unit_close(b, &u);
}

/* ---- Interrupts ---- */

#define ENTRIES_LG2 8u
#define ENTRIES     (1u << ENTRIES_LG2)

static void interrupts(struct unit *u, uint64_t n, uint64_t addr)
{
	struct viommu_guest_interrupt irq;
	uint64_t i;

	for (i = 0; i < n; i++) {
		u->errors += viommu_guest_remap(u->guest, SID,
						addr | VTD_VAL(VTD_RMSI_ADDR_HANDLE, i % ENTRIES),
						0, &irq) != 0;
		u->errors += irq.vector != (addr == VTD_WINDOW_BASE ? 0 : 0x41);
	}
}

/* A message that names an entry. */
#define REMAPPABLE (VTD_WINDOW_BASE | VTD_MASK(VTD_RMSI_ADDR_FORMAT))

/* Units are all entries of the table. */
static uint64_t run_cached(void *ctx, uint64_t n)
{
	uint64_t t0 = bench_now();

	interrupts(ctx, n * ENTRIES, REMAPPABLE);
	return bench_now() - t0;
}

static uint64_t run_passed(void *ctx, uint64_t n)
{
	uint64_t t0 = bench_now();

	interrupts(ctx, n * ENTRIES, VTD_WINDOW_BASE);
	return bench_now() - t0;
}

static void put_interrupt_entries(struct unit *u, unsigned int index, unsigned int mask)
{
	unit_put(u,
		 VTD_VAL(VTD_IQ_IEC_TYPE, VTD_IQ_TYPE_IEC) |
			 VTD_VAL(VTD_IQ_IEC_G, VTD_IQ_IEC_INDEX) | VTD_VAL(VTD_IQ_IEC_IM, mask) |
			 VTD_VAL(VTD_IQ_IEC_IIDX, index),
		 0);
}

/* Each entry was invalidated before; the invalidation is not in the time. */
static uint64_t run_invalidated(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0, ns = 0;

	for (; n; n--) {
		put_interrupt_entries(u, 0, ENTRIES_LG2);
		unit_flush(u);
		t0 = bench_now();
		interrupts(u, ENTRIES, REMAPPABLE);
		ns += bench_now() - t0;
	}
	return ns;
}

static uint64_t hits(struct unit *u)
{
	struct viommu_guest_stats stats = { .size = sizeof(stats) };

	viommu_guest_stats(u->guest, &stats);
	return stats.interrupt_hits;
}

static uint64_t run_entry_flushes(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0 = bench_now();

	for (; n; n--) {
		put_interrupt_entries(u, (unsigned int)n % ENTRIES, 0);
		unit_flush(u);
	}
	return bench_now() - t0;
}

static void interrupt_rows(struct bench *b)
{
	const struct unit_config config = { .flags = VIOMMU_GUEST_INTREMAP };
	struct unit u;
	struct comparison c = {
		.subject = { run_cached, &u, ENTRIES, 0 },
		.base = { run_passed, &u, ENTRIES, 0 },
	};
	struct figures f;
	uint64_t before;
	unsigned int i;

	unit_open(&u, &config);
	for (i = 0; i < ENTRIES; i++) {
		uint64_t *e = unit_words(&u, INTERRUPTS) + (size_t)i * 2;

		VTD_SET(e, VTD_IRTE_V, 0x41);
		VTD_SET(e, VTD_IRTE_SVT, VTD_SVT_SID);
		VTD_SET(e, VTD_IRTE_SID, SID);
		VTD_SET(e, VTD_IRTE_P, 1);
	}
	viommu_guest_write(u.guest, VTD_REG_IRTA, 8,
			   INTERRUPTS | VTD_VAL(VTD_IRTA_S, ENTRIES_LG2 - 1));
	unit_command(&u, (uint32_t)VTD_MASK(VTD_GCMD_SIRTP));
	unit_command(&u, (uint32_t)VTD_MASK(VTD_GCMD_IRE));
	unit_command(&u, (uint32_t)VTD_MASK(VTD_GCMD_CFI));
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "interrupt, its entry in the cache", "in compatibility format",
			&f, GOAL_NONE, 0);
	c.base = c.subject;
	c.subject.run = run_invalidated;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "interrupt, its entry just invalidated", "in the cache", &f,
			GOAL_NONE, 0);
	/* Was it what it says? */
	before = hits(&u);
	run_invalidated(&u, 1);
	u.errors += hits(&u) != before;
	run_cached(&u, 1);
	u.errors += hits(&u) != before + ENTRIES;
	c = (struct comparison){ .subject = { run_entry_flushes, &u, 1, 0 } };
	bench_compare(b, &c, &f);
	bench_row_value(b, "UNIT", "invalidate an interrupt entry and wait, by the queue", f.value,
			"ns", GOAL_NONE, 0);
	unit_close(b, &u);
}

/* ---- DSA ---- */

static void copy_row(struct bench *b, struct unit *u, uint64_t bytes, const char *what)
{
	const struct comparison c = {
		.subject = { unit_copies, u, 1, 0 },
		.base = { unit_memcpy, u, 1, 0 },
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

/*
 * Two VMs have parts of one accelerator, and one of them copies; against the same accelerator all
 * of a VM's own.
 */
static void shared_rows(struct bench *b, struct unit *own)
{
	const struct viommu_dsa_hw_config hw = { .size = sizeof(hw), .functions = 2 };
	const struct viommu_device_config dev = {
		.size = sizeof(dev),
		.sid = SID,
		.flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
	};
	struct unit_config config = { .flags = VIOMMU_GUEST_HOST_PASIDS };
	struct unit u[2];
	struct comparison c = {
		.subject = { unit_copies, &u[0], 1, 0 },
		.base = { unit_copies, own, 1, 0 },
	};
	struct figures f;
	unsigned int i;

	unit_need(viommu_host_new(NULL, &config.host), "host");
	unit_need(viommu_device_new(config.host, &dev, &config.parent), "device");
	unit_need(viommu_dsa_hw_new(&hw, &config.hw), "DSA");
	for (i = 0; i < 2; i++) {
		unit_open(&u[i], &config);
		bind_process(&u[i]);
		unit_dsa_open(&u[i]);
	}
	own->bytes = u[0].bytes = 64;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "DSA copy of 64 B, a shared device", "one of its own", &f,
			GOAL_NONE, 0);
	own->bytes = u[0].bytes = 4 * KIB;
	bench_compare(b, &c, &f);
	bench_row_ratio(b, "UNIT", "DSA copy of 4 KiB, a shared device", "one of its own", &f,
			GOAL_NONE, 0);
	for (i = 0; i < 2; i++)
		unit_close(b, &u[i]);
	viommu_dsa_hw_free(config.hw);
	viommu_device_free(config.parent);
	viommu_host_free(config.host);
}

void bench_unit(struct bench *b)
{
	struct unit u;

	bench_progress(b, "the unit that a guest programs");
	unit_open(&u, NULL);
	bind_rows(b, &u);
	bench_progress(b, "page requests through the unit");
	request_row(b, &u);
	bench_progress(b, "DSA copies");
	unit_dsa_open(&u);
	copy_row(b, &u, 64, "64 B");
	copy_row(b, &u, 4096, "4 KiB");
	copy_row(b, &u, 512 * KIB, "512 KiB");
	shared_rows(b, &u);
	unit_close(b, &u);
	bench_progress(b, "PASIDs of the host's choice");
	unit_open(&u, NULL);
	host_pasid_row(b, &u);
	unit_close(b, &u);
	command_row(b);
	bench_progress(b, "interrupts");
	interrupt_rows(b);
}
