/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions behind root ports: named beforehand, plugged in and taken away while the guest runs,
 * with binds alive, requests open and descriptors of the guest's to come; and buses that get other
 * numbers.
 */
#include <pthread.h>

#include <viommu/acpi.h>

#include "base/atomic.h"
#include "board/rig.h"

#define PORT        VIOMMU_SID(0, 2, 0)
#define PORT_2      VIOMMU_SID(0, 3, 0)
#define BEHIND(bus) VIOMMU_SID(bus, 0, 0)
#define LATE        (VA + 4096) /* not mapped */

/* The rig, and two functions that stand in no slot yet. */
struct slots {
	struct rig r;
	struct toy toy[2];
};

static void slots_open(struct slots *s, struct viommu_board_config *config)
{
	struct viommu_board_config defaults = { 0 };

	open_with(&s->r, config ? config : &defaults);
	start(&s->r);
	toy_open(&s->toy[0], NULL);
	toy_open(&s->toy[1], NULL);
	assert_int_equal(viommu_board_add_port(s->r.board, PORT), 0);
	assert_int_equal(viommu_board_add_port(s->r.board, PORT_2), 0);
}

static void slots_close(struct slots *s)
{
	viommu_board_remove(s->r.board, s->toy[0].pci);
	viommu_board_remove(s->r.board, s->toy[1].pci);
	close_rig(&s->r);
	toy_close(&s->toy[0]);
	toy_close(&s->toy[1]);
}

/* As a driver leaves it. */
static void enable(struct toy *t)
{
	cfg_write(t, AT_COMMAND, 2, CMD_MEMORY | CMD_MASTER);
	cfg_write(t, AT_PASID_CTL, 2, 1);
	cfg_write(t, AT_ATS_CTL, 2, 0x8000);
	cfg_write(t, AT_PRI_CTL, 2, 1);
}

static void plug(struct slots *s, unsigned int n, uint16_t port)
{
	assert_int_equal(viommu_board_plug(s->r.board, s->toy[n].pci, port), 0);
	enable(&s->toy[n]);
}

/* The guest's kernel has found a function on this bus: context entry, directory, PASID table. */
static void found(struct slots *s, uint8_t bus)
{
	struct rig *r = &s->r;
	uint64_t context = tables_page(&r->ram), dir = tables_page(&r->ram),
		 table = tables_page(&r->ram);

	ram(r, dir)[0] = table | VTD_MASK(VTD_PDIR_P);
	ram(r, context)[0] = dir | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) |
			     VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE);
	ram(r, r->root)[bus * 2] = context | VTD_MASK(VTD_SROOT_LP);
}

/* Its process's tables, for the PASID on this bus. */
static uint64_t *pasid_entry(struct slots *s, uint8_t bus, uint32_t pasid)
{
	uint64_t context = ram(&s->r, s->r.root)[bus * 2] & VTD_MASK(VTD_SROOT_LCTP);
	uint64_t dir = ram(&s->r, context)[0] & VTD_MASK(VTD_SCE_PDTP);

	return ram(&s->r, ram(&s->r, dir)[0] & VTD_MASK(VTD_PDIR_SMPTBLPTR)) + pasid * 8;
}

static void attach(struct slots *s, uint8_t bus, uint32_t pasid)
{
	uint64_t *pe = pasid_entry(s, bus, pasid);

	memset(pe, 0, VTD_PE_BYTES);
	VTD_SET(pe, VTD_PE_DID, DOMAIN_ID);
	VTD_SET(pe, VTD_PE_FSPTPTR, tables_root(&s->r.fs) >> 12);
	VTD_SET(pe, VTD_PE_AW, VTD_AW_48);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_P, 1);
}

static int put(struct slots *s, unsigned int n, uint32_t pasid, uint64_t va, uint32_t flags,
	       uint64_t v)
{
	uint32_t hp;

	if (viommu_pci_pasid(s->toy[n].pci, pasid, &hp))
		return -EPERM;
	return viommu_dma_write(s->r.dma, viommu_pci_device(s->toy[n].pci), hp, va, &v, sizeof(v),
				flags, NULL);
}

static void told(struct slots *s, unsigned int port, uint8_t bus)
{
	unit_config(&s->r, VIOMMU_PCI_VENDOR_AT + port, 1, bus);
}

static uint16_t sid_of(struct slots *s, unsigned int n)
{
	struct viommu_pci *pci;
	unsigned int i;
	uint16_t sid;

	for (i = 0; (pci = viommu_board_device(s->r.board, i, &sid)); i++)
		if (pci == s->toy[n].pci)
			return sid;
	return 0;
}

/* ---- Ports ---- */

static void a_port_is_in_the_units_scope_and_passes_ats(void **state)
{
	static const uint8_t scopes[] = { 2, 8, 0, 0, 0, 0, 2, 0, 2, 8, 0, 0, 0, 0, 3, 0 };
	static const uint8_t atsr[] = { 2, 0, 24, 0, 0, 0, 0, 0 };
	uint8_t before[256], after[256];
	struct slots s;
	size_t n;

	(void)state;
	slots_open(&s, NULL);
	/* Two endpoints, then both ports; and the ports once more. */
	n = viommu_board_dmar(s.r.board, REGISTERS, before, sizeof(before));
	assert_int_equal(n, 48 + 16 + 4 * 8 + 8 + 2 * 8);
	assert_memory_equal(before + 48 + 16 + 16, scopes, sizeof(scopes));
	assert_memory_equal(before + 48 + 48, atsr, sizeof(atsr));
	assert_memory_equal(before + 48 + 56, scopes, sizeof(scopes));
	/* What comes later changes nothing of it. */
	plug(&s, 0, PORT);
	assert_int_equal(viommu_board_dmar(s.r.board, REGISTERS, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
	slots_close(&s);
}

static void the_ssdt_asks_for_the_bus_of_each_port(void **state)
{
	const uint16_t ports[] = { PORT, PORT_2 };
	uint8_t a[512], b[512];
	struct slots s;
	size_t n;

	(void)state;
	slots_open(&s, NULL);
	n = viommu_acpi_ssdt_ports(VIOMMU_SID(0, 4, 0), ports, 2, VIOMMU_PCI_VENDOR_AT, a,
				   sizeof(a));
	assert_int_equal(viommu_board_ssdt(s.r.board, b, sizeof(b)), n);
	assert_memory_equal(a, b, n);
	slots_close(&s);
}

static void what_is_no_port_is_refused(void **state)
{
	struct slots s;
	uint8_t bus;
	unsigned int i;

	(void)state;
	slots_open(&s, NULL);
	assert_int_equal(viommu_board_add_port(s.r.board, 0), -EINVAL);
	assert_int_equal(viommu_board_add_port(s.r.board, VIOMMU_SID(1, 0, 0)), -EINVAL);
	assert_int_equal(viommu_board_add_port(s.r.board, VIOMMU_SID(0, 4, 0)), -EINVAL);
	assert_int_equal(viommu_board_add_port(s.r.board, PORT), -EEXIST);
	assert_int_equal(viommu_board_add_port(s.r.board, SID), -EEXIST);
	assert_int_equal(viommu_board_add(s.r.board, s.toy[0].pci, PORT), -EEXIST);
	assert_int_equal(viommu_board_plug(s.r.board, NULL, PORT), -EINVAL);
	assert_int_equal(viommu_board_plug(s.r.board, s.toy[0].pci, SID), -ENOENT);
	assert_int_equal(viommu_board_plug(s.r.board, s.toy[0].pci, PORT), 0);
	assert_int_equal(viommu_board_plug(s.r.board, s.toy[1].pci, PORT), -EEXIST);
	assert_int_equal(viommu_board_plug(s.r.board, s.toy[0].pci, PORT_2), -EEXIST);
	assert_null(viommu_pci_device(s.toy[1].pci));
	for (i = 2; i < VIOMMU_BOARD_MAX_PORTS; i++)
		assert_int_equal(viommu_board_add_port(s.r.board, VIOMMU_SID(0, 8 + i, 0)), 0);
	assert_int_equal(viommu_board_add_port(s.r.board, VIOMMU_SID(0, 20, 0)), -ENOSPC);
	assert_int_equal(viommu_board_port(s.r.board, VIOMMU_SID(0, 20, 0), &bus), -ENOENT);
	slots_close(&s);
}

static void buses_count_by_slot_until_the_guest_has_said_them(void **state)
{
	struct slots s;
	uint8_t bus = 0;

	(void)state;
	slots_open(&s, NULL);
	/* One below both of the others, named last: its bus is the first. */
	assert_int_equal(viommu_board_add_port(s.r.board, VIOMMU_SID(0, 1, 0)), 0);
	assert_int_equal(viommu_board_port(s.r.board, VIOMMU_SID(0, 1, 0), &bus), 0);
	assert_int_equal(bus, 1);
	assert_int_equal(viommu_board_port(s.r.board, PORT, &bus), 0);
	assert_int_equal(bus, 2);
	assert_int_equal(viommu_board_port(s.r.board, PORT_2, &bus), 0);
	assert_int_equal(bus, 3);
	/* The bytes are in the order in which ports were named. */
	told(&s, 1, 0x2a);
	assert_int_equal(viommu_board_port(s.r.board, PORT_2, &bus), 1);
	assert_int_equal(bus, 0x2a);
	assert_int_equal(viommu_board_port(s.r.board, PORT, &bus), 0);
	/* 0 says nothing, and so does a unit after a reset. */
	told(&s, 1, 0);
	assert_int_equal(viommu_board_port(s.r.board, PORT_2, &bus), 0);
	assert_int_equal(bus, 0x2a);
	told(&s, 0, 9);
	viommu_pci_reset(s.r.unit.pci);
	assert_int_equal(viommu_board_port(s.r.board, PORT, &bus), 0);
	assert_int_equal(bus, 9);
	slots_close(&s);
}

/* ---- In ---- */

static void a_function_behind_a_port_is_an_endpoint_with_a_link(void **state)
{
	struct slots s;

	(void)state;
	slots_open(&s, NULL);
	/* PCI Express capability at 40h: device type, then link capabilities and status. */
	assert_int_equal(cfg_read(&s.toy[0], 0x42, 2) >> 4 & 15, 9);
	assert_int_equal(cfg_read(&s.toy[0], 0x4c, 4), 0);
	plug(&s, 0, PORT);
	assert_int_equal(cfg_read(&s.toy[0], 0x42, 2) >> 4 & 15, 0);
	assert_int_equal(cfg_read(&s.toy[0], 0x4c, 4), 0x11);
	assert_int_equal(cfg_read(&s.toy[0], 0x52, 2), 0x11);
	viommu_pci_reset(s.toy[0].pci);
	assert_int_equal(cfg_read(&s.toy[0], 0x42, 2) >> 4 & 15, 0);
	assert_int_equal(viommu_board_remove(s.r.board, s.toy[0].pci), 0);
	assert_int_equal(cfg_read(&s.toy[0], 0x42, 2) >> 4 & 15, 9);
	assert_int_equal(cfg_read(&s.toy[0], 0x4c, 4), 0);
	assert_int_equal(cfg_read(&s.toy[0], 0x52, 2), 0);
	slots_close(&s);
}

static void a_function_that_comes_late_has_what_the_guest_gives_its_bus(void **state)
{
	struct slots s;

	(void)state;
	slots_open(&s, NULL);
	told(&s, 0, 3);
	plug(&s, 0, PORT);
	assert_int_equal(sid_of(&s, 0), BEHIND(3));
	/* Before the guest knows of it there is nothing; that is a fault of that requester. */
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 1), VIOMMU_FAULTED);
	assert_int_equal(stats(&s.r).faults, 1);
	found(&s, 3);
	attach(&s, 3, GUEST_PASID);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 0x1234), 0);
	assert_int_equal(ram(&s.r, s.r.page)[0], 0x1234);
	assert_int_equal(s.r.trap.kind, VIOMMU_TRAP_BIND);
	assert_int_equal(s.r.trap.sid, BEHIND(3));
	/* A missing page is asked for under the same requester id. */
	assert_int_equal(put(&s, 0, GUEST_PASID, LATE, VIOMMU_DMA_NO_WAIT, 1), -EAGAIN);
	assert_int_equal(VTD_GET(ram(&s.r, s.r.pages), VTD_PRQ_RID), BEHIND(3));
	slots_close(&s);
}

static void every_allocation_of_plugging_in_may_fail(void **state)
{
	struct slots s;
	long n, live;
	int ret;

	(void)state;
	slots_open(&s, NULL);
	live = viommu__alloc_live();
	for (n = 1, ret = -1; ret; n++) {
		viommu__alloc_fail_nth(n);
		ret = viommu_board_plug(s.r.board, s.toy[0].pci, PORT);
		viommu__alloc_fail_nth(0);
		assert_true(!ret || ret == -ENOMEM);
		if (!ret)
			break;
		assert_null(viommu_pci_device(s.toy[0].pci));
		assert_int_equal(sid_of(&s, 0), 0);
		/* A table of the host's own stays for the next one. */
		assert_in_range(viommu__alloc_live(), live, live + 1);
		assert_in_range(n, 1, 100);
	}
	assert_in_range(n, 3, 100);
	assert_int_equal(sid_of(&s, 0), BEHIND(1));
	slots_close(&s);
}

/* ---- Buses with other numbers ---- */

static void a_bus_with_another_number_is_another_requester(void **state)
{
	struct viommu_device *device;
	struct slots s;

	(void)state;
	slots_open(&s, NULL);
	plug(&s, 0, PORT);
	found(&s, 1);
	attach(&s, 1, GUEST_PASID);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 1), 0);
	assert_int_equal(put(&s, 0, GUEST_PASID, LATE, VIOMMU_DMA_NO_WAIT, 1), -EAGAIN);
	device = viommu_pci_device(s.toy[0].pci);
	assert_int_equal(viommu_device_open_requests(device), 1);
	assert_int_equal(stats(&s.r).bound, 1);
	told(&s, 0, 7);
	/* What was bound for the old number is gone, and so is what was asked. */
	assert_int_equal(sid_of(&s, 0), BEHIND(7));
	assert_int_equal(stats(&s.r).bound, 0);
	assert_int_equal(viommu_device_open_requests(device), 0);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, VIOMMU_DMA_NO_PRI, 2), VIOMMU_FAULTED);
	assert_int_equal(ram(&s.r, s.r.page)[0], 1);
	found(&s, 7);
	attach(&s, 7, GUEST_PASID);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 3), 0);
	assert_int_equal(ram(&s.r, s.r.page)[0], 3);
	assert_int_equal(s.r.trap.sid, BEHIND(7));
	/* The same device of the host all the time: who works for it notices nothing else. */
	assert_ptr_equal(viommu_pci_device(s.toy[0].pci), device);
	slots_close(&s);
}

static void two_buses_may_swap_their_numbers(void **state)
{
	struct slots s;

	(void)state;
	slots_open(&s, NULL);
	plug(&s, 0, PORT);
	plug(&s, 1, PORT_2);
	assert_int_equal(sid_of(&s, 0), BEHIND(1));
	assert_int_equal(sid_of(&s, 1), BEHIND(2));
	/* In between both claim bus 2, and one of them has no place. */
	told(&s, 0, 2);
	found(&s, 1);
	found(&s, 2);
	attach(&s, 1, GUEST_PASID);
	attach(&s, 2, GUEST_PASID);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 1), VIOMMU_FAULTED);
	assert_int_equal(put(&s, 1, GUEST_PASID, VA, 0, 2), 0);
	told(&s, 1, 1);
	assert_int_equal(sid_of(&s, 0), BEHIND(2));
	assert_int_equal(sid_of(&s, 1), BEHIND(1));
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 3), 0);
	assert_int_equal(s.r.trap.sid, BEHIND(2));
	assert_int_equal(put(&s, 1, GUEST_PASID, VA, 0, 4), 0);
	assert_int_equal(s.r.trap.sid, BEHIND(1));
	slots_close(&s);
}

/* Whatever a guest writes there, nobody has the requester id of another. */
static void a_guest_may_say_any_bus_numbers(void **state)
{
	uint16_t sids[4];
	struct slots s;
	struct rng rng;
	unsigned int i, j, k, n;

	(void)state;
	rng_init(&rng, "buses");
	slots_open(&s, NULL);
	plug(&s, 0, PORT);
	plug(&s, 1, PORT_2);
	for (i = 0; i < 500; i++) {
		told(&s, (unsigned int)rng_below(&rng, VIOMMU_PCI_VENDOR_BYTES),
		     (uint8_t)rng_below(&rng, 4));
		if (!rng_below(&rng, 8))
			viommu_pci_reset(s.r.unit.pci);
		for (n = 0; n < 4; n++)
			assert_non_null(viommu_board_device(s.r.board, n, &sids[n]));
		for (j = 0; j < 2; j++) {
			uint8_t bus;

			assert_true(viommu_board_port(s.r.board, j ? PORT_2 : PORT, &bus) >= 0);
			assert_int_equal(sid_of(&s, j), BEHIND(bus));
			assert_true(bus);
		}
		for (j = 0; j < 2; j++)
			for (k = 2; k < 4; k++)
				assert_int_not_equal(sids[j], sids[k]);
	}
	slots_close(&s);
}

/* ---- Out ---- */

/* All that is in the queue has been carried out, says the guest's own wait. */
static void waited(struct slots *s)
{
	ram(&s->r, s->r.status)[0] = 0;
	submit(&s->r,
	       VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_VAL(VTD_IQ_WAIT_SW, 1) |
		       VTD_VAL(VTD_IQ_WAIT_DATA, 0x55),
	       s->r.status);
	assert_int_equal((uint32_t)ram(&s->r, s->r.status)[0], 0x55);
	assert_int_equal(rd(&s->r, VTD_REG_FSTS, 4) & VTD_MASK(VTD_FSTS_IQE), 0);
}

/* What a kernel sends for a device after the fact: responses, and invalidations of all kinds. */
static void last_words(struct slots *s, uint16_t sid, uint16_t prgi)
{
	const uint64_t did = DOMAIN_ID, pasid = GUEST_PASID;

	submit(&s->r,
	       VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_VAL(VTD_IQ_PGRP_RID, sid) |
		       VTD_VAL(VTD_IQ_PGRP_PP, 1) | VTD_VAL(VTD_IQ_PGRP_PASID, pasid) |
		       VTD_VAL(VTD_IQ_PGRP_RC, VTD_PGRP_SUCCESS),
	       VTD_VAL(VTD_IQ_PGRP_PRGI, prgi));
	flush_pasid(&s->r, GUEST_PASID);
	submit(&s->r,
	       VTD_VAL(VTD_IQ_PIOTLB_TYPE, VTD_IQ_TYPE_PIOTLB) |
		       VTD_VAL(VTD_IQ_PIOTLB_G, VTD_IQ_PIOTLB_SELECTIVE) |
		       VTD_VAL(VTD_IQ_PIOTLB_DID, did) | VTD_VAL(VTD_IQ_PIOTLB_PASID, pasid),
	       0);
	submit(&s->r,
	       VTD_VAL(VTD_IQ_PDTLB_TYPE, VTD_IQ_TYPE_PDTLB) | VTD_VAL(VTD_IQ_PDTLB_SID, sid) |
		       VTD_VAL(VTD_IQ_PDTLB_PASID, pasid),
	       VTD_VAL(VTD_IQ_PDTLB_S, 1) | VTD_MASK(VTD_IQ_PDTLB_ADDR));
	submit(&s->r, VTD_VAL(VTD_IQ_DTLB_TYPE, VTD_IQ_TYPE_DTLB) | VTD_VAL(VTD_IQ_DTLB_SID, sid),
	       VTD_VAL(VTD_IQ_DTLB_S, 1) | VTD_MASK(VTD_IQ_DTLB_ADDR));
	submit(&s->r,
	       VTD_VAL(VTD_IQ_CC_TYPE, VTD_IQ_TYPE_CC) | VTD_VAL(VTD_IQ_CC_G, VTD_IQ_CC_DEVICE) |
		       VTD_VAL(VTD_IQ_CC_SID, sid),
	       0);
	waited(s);
}

/* VTD-QI-*: a requester id that the unit does not know is nobody's mistake. */
static void what_a_guest_says_of_a_function_that_is_gone_completes(void **state)
{
	uint64_t *prq;
	struct slots s;

	(void)state;
	slots_open(&s, NULL);
	plug(&s, 0, PORT);
	found(&s, 1);
	attach(&s, 1, GUEST_PASID);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 1), 0);
	assert_int_equal(put(&s, 0, GUEST_PASID, LATE, VIOMMU_DMA_NO_WAIT, 1), -EAGAIN);
	prq = ram(&s.r, s.r.pages);
	assert_int_equal(viommu_board_remove(s.r.board, s.toy[0].pci), 0);
	assert_null(viommu_pci_device(s.toy[0].pci));
	assert_int_equal(stats(&s.r).bound, 0);
	last_words(&s, BEHIND(1), (uint16_t)VTD_GET(prq, VTD_PRQ_PRGI));
	/* And of one that never was. */
	last_words(&s, BEHIND(0x77), 3);
	assert_int_equal(stats(&s.r).faults, 0);
	assert_int_equal(stats(&s.r).queue_errors, 0);
	slots_close(&s);
}

struct waiter {
	struct slots *s;
	struct viommu_dma *dma;
	struct viommu_device *dev;
	int ret;
};

static void *wait_for_a_page(void *arg)
{
	struct waiter *w = arg;
	uint64_t v = 1;

	w->ret = viommu_dma_write(w->dma, w->dev, GUEST_PASID, LATE, &v, sizeof(v), VIOMMU_DMA_ATS,
				  NULL);
	return NULL;
}

static void removal_lets_go_of_who_waits_for_a_page(void **state)
{
	struct waiter w = { 0 };
	pthread_t thread;
	struct slots s;

	(void)state;
	slots_open(&s, NULL);
	plug(&s, 0, PORT);
	found(&s, 1);
	attach(&s, 1, GUEST_PASID);
	w.dev = viommu_pci_device(s.toy[0].pci);
	assert_int_equal(viommu_dma_new(viommu_board_host(s.r.board), &w.dma), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_a_page, &w), 0);
	while (!viommu_device_open_requests(w.dev))
		cpu_relax();
	/* As a server does: the function is reset, then it leaves. */
	viommu_pci_reset(s.toy[0].pci);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.ret, VIOMMU_FAULTED);
	assert_int_equal(viommu_board_remove(s.r.board, s.toy[0].pci), 0);
	assert_int_equal(stats(&s.r).bound, 0);
	viommu_dma_free(w.dma);
	slots_close(&s);
}

/* The VM may hold one PASID: whoever binds next shows that none is left over. */
static void pasids_are_given_back(void **state)
{
	struct viommu_board_config config = { .pasid_quota = 1 };
	struct slots s;

	(void)state;
	slots_open(&s, &config);
	plug(&s, 0, PORT);
	plug(&s, 1, PORT_2);
	found(&s, 1);
	found(&s, 2);
	attach(&s, 1, GUEST_PASID);
	attach(&s, 2, GUEST_PASID + 1);
	assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, 1), 0);
	assert_int_equal(put(&s, 1, GUEST_PASID + 1, VA, VIOMMU_DMA_NO_PRI, 2), VIOMMU_FAULTED);
	assert_int_equal(viommu_board_remove(s.r.board, s.toy[0].pci), 0);
	assert_int_equal(put(&s, 1, GUEST_PASID + 1, VA, 0, 3), 0);
	assert_int_equal(ram(&s.r, s.r.page)[0], 3);
	slots_close(&s);
}

static void in_and_out_a_hundred_times_costs_nothing(void **state)
{
	struct viommu_host_memory first = { 0 }, last = { 0 };
	struct slots s;
	long live = 0;
	int i;

	(void)state;
	slots_open(&s, NULL);
	found(&s, 1);
	for (i = 0; i < 100; i++) {
		unsigned int resets = s.toy[0].resets;

		plug(&s, 0, PORT);
		attach(&s, 1, GUEST_PASID);
		assert_int_equal(put(&s, 0, GUEST_PASID, VA, 0, (uint64_t)i), 0);
		assert_int_equal(ram(&s.r, s.r.page)[0], i);
		assert_int_equal(viommu_board_remove(s.r.board, s.toy[0].pci), 0);
		/* As after power-on. */
		assert_int_equal(s.toy[0].resets, resets + 1);
		assert_int_equal(viommu_pci_enabled(s.toy[0].pci), 0);
		pasid_entry(&s, 1, GUEST_PASID)[0] = 0;
		viommu_host_memory(viommu_board_host(s.r.board), i ? &last : &first);
		if (!i)
			live = viommu__alloc_live();
	}
	assert_memory_equal(&first, &last, sizeof(first));
	assert_int_equal(viommu__alloc_live(), live);
	slots_close(&s);
}

/* ---- While others work ---- */

#define WORKERS 2u

struct race {
	struct slots s;
	uint64_t stop;
	uint64_t good, bad;
	struct viommu_dma *dma[WORKERS];
};

struct worker {
	struct race *race;
	unsigned int n;
};

/* The first function of the rig copies all the time; nothing of the others is to be seen in it. */
static void *work_on(void *arg)
{
	struct worker *w = arg;
	struct race *race = w->race;
	struct viommu_device *device = viommu_pci_device(race->s.r.toy[0].pci);
	uint64_t v = w->n, seen;

	while (!load_acquire(&race->stop)) {
		if (viommu_dma_write(race->dma[w->n], device, GUEST_PASID, VA + 64 * w->n, &v, 8, 0,
				     NULL) ||
		    viommu_dma_read(race->dma[w->n], device, GUEST_PASID, VA + 64 * w->n, &seen, 8,
				    0, NULL) ||
		    seen != v)
			fetch_add(&race->bad, 1);
		else
			fetch_add(&race->good, 1);
		v += WORKERS;
	}
	return NULL;
}

/* Who inspects. */
static void *look(void *arg)
{
	struct race *race = arg;
	struct viommu_board *board = race->s.r.board;
	uint8_t buf[512], bus;
	uint16_t sid;
	unsigned int i;

	while (!load_acquire(&race->stop)) {
		for (i = 0; viommu_board_device(board, i, &sid); i++)
			;
		viommu_board_port(board, PORT, &bus);
		viommu_board_dmar(board, REGISTERS, buf, sizeof(buf));
		viommu_board_ssdt(board, buf, sizeof(buf));
		stats(&race->s.r);
	}
	return NULL;
}

static void others_work_on_while_functions_come_and_go(void **state)
{
	uint64_t rounds = test_scale(200), i;
	struct worker worker[WORKERS];
	pthread_t thread[WORKERS + 1];
	struct race race;

	(void)state;
	memset(&race, 0, sizeof(race));
	slots_open(&race.s, NULL);
	present(&race.s.r, GUEST_PASID);
	for (i = 0; i < WORKERS; i++) {
		worker[i] = (struct worker){ &race, (unsigned int)i };
		assert_int_equal(viommu_dma_new(viommu_board_host(race.s.r.board), &race.dma[i]),
				 0);
		assert_int_equal(pthread_create(&thread[i], NULL, work_on, &worker[i]), 0);
	}
	assert_int_equal(pthread_create(&thread[WORKERS], NULL, look, &race), 0);
	for (i = 1; i <= 3; i++)
		found(&race.s, (uint8_t)i);
	for (i = 0; i < rounds; i++) {
		uint8_t bus = (uint8_t)(1 + i % 3);

		plug(&race.s, 0, PORT);
		told(&race.s, 0, bus);
		attach(&race.s, bus, GUEST_PASID + 1);
		assert_int_equal(put(&race.s, 0, GUEST_PASID + 1, VA + 256, 0, i), 0);
		assert_int_equal(put(&race.s, 0, GUEST_PASID + 1, LATE, VIOMMU_DMA_NO_WAIT, i),
				 -EAGAIN);
		assert_int_equal(viommu_board_remove(race.s.r.board, race.s.toy[0].pci), 0);
		pasid_entry(&race.s, bus, GUEST_PASID + 1)[0] = 0;
		flush_pasid(&race.s.r, GUEST_PASID + 1);
		/* The ring has room for as many as are taken out. */
		wr(&race.s.r, VTD_REG_PQH, 8, rd(&race.s.r, VTD_REG_PQT, 8));
	}
	while (load_acquire(&race.good) < 100 && !load_acquire(&race.bad))
		cpu_relax();
	store_release(&race.stop, 1);
	for (i = 0; i < WORKERS + 1; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(race.bad, 0);
	for (i = 0; i < WORKERS; i++)
		viommu_dma_free(race.dma[i]);
	slots_close(&race.s);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_port_is_in_the_units_scope_and_passes_ats),
	cmocka_unit_test(the_ssdt_asks_for_the_bus_of_each_port),
	cmocka_unit_test(what_is_no_port_is_refused),
	cmocka_unit_test(buses_count_by_slot_until_the_guest_has_said_them),
	cmocka_unit_test(a_function_behind_a_port_is_an_endpoint_with_a_link),
	cmocka_unit_test(a_function_that_comes_late_has_what_the_guest_gives_its_bus),
	cmocka_unit_test(every_allocation_of_plugging_in_may_fail),
	cmocka_unit_test(a_bus_with_another_number_is_another_requester),
	cmocka_unit_test(two_buses_may_swap_their_numbers),
	cmocka_unit_test(a_guest_may_say_any_bus_numbers),
	cmocka_unit_test(what_a_guest_says_of_a_function_that_is_gone_completes),
	cmocka_unit_test(removal_lets_go_of_who_waits_for_a_page),
	cmocka_unit_test(pasids_are_given_back),
	cmocka_unit_test(in_and_out_a_hundred_times_costs_nothing),
	cmocka_unit_test(others_work_on_while_functions_come_and_go),
};
TEST_MAIN(tests)
