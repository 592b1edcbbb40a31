/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose PASIDs are not the host's, from end to end: an accelerator, the unit, the host.
 * Whatever the guest programs is its own number, whatever the host gets is the host's; the two come
 * from ranges that have nothing in common. At the end everything that the guest can read is
 * searched for a number of the host's.
 */
#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>

#include "guest/world.h"

#define HOST_MIN 0x9a5c0u
#define HOST_MAX 0x9a5cfu

/* Two processes, and a PASID that has no entry. */
#define GP_A      0x41u
#define GP_B      0x123u
#define GP_ABSENT 0x77u

/* Pages of a process. */
#define RECORD (GW_VA + 0x40)
#define FROM   (GW_VA + 0x1000)
#define TO     (GW_VA + 0x2000)
#define HOLE   (GW_VA + 0x3000)

#define WQCFG(wq, dword)  (0x500u + (wq)*64u + 4u * (dword))
#define GRPCFG(gr, dword) (0x400u + (gr)*64u + 4u * (dword))
#define MSIXPERM(n)       (0x800u + 8u * (n))
#define CMD               0xa0u
#define CMDSTS            0xa8u
#define SWERROR           0xc0u
#define DEDICATED         0u
#define SHARED            1u

struct process {
	struct tables_stage fs;
	uint64_t page[3];
};

struct rig {
	struct gw w; /* first: callbacks of the world have it */
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	struct process a, b;
	uint64_t filler; /* the page that a request brings */
	unsigned int interrupts[16];
	unsigned int refused; /* responses with the host's number that changed nothing */
};

/* ---- The device ---- */

static int hpasid(void *ctx, struct viommu_gp gp, struct viommu_hp *out)
{
	struct rig *r = ctx;

	return viommu_guest_pasid_to_host(r->w.guest, gp, out);
}

static void interrupt(void *ctx, unsigned int vector)
{
	struct rig *r = ctx;

	assert_true(vector < 16);
	r->interrupts[vector]++;
}

static uint64_t rd(struct rig *r, uint32_t offset, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(r->pci, 0, offset, bytes, &v), 0);
	return v;
}

static void wr(struct rig *r, uint32_t offset, uint32_t v)
{
	assert_int_equal(viommu_pci_bar_write(r->pci, 0, offset, 4, v), 0);
}

static void config_wr(struct rig *r, uint32_t at, uint16_t v)
{
	assert_int_equal(viommu_pci_config_write(r->pci, at, &v, 2), 0);
}

/* Where a capability of either list is. */
static uint32_t capability(struct rig *r, uint16_t id, bool extended)
{
	uint32_t at = extended ? 0x100 : 0, v = 0, left;

	if (!extended)
		assert_int_equal(viommu_pci_config_read(r->pci, 0x34, &at, 1), 0);
	for (left = 64; left && at; left--) {
		assert_int_equal(viommu_pci_config_read(r->pci, at, &v, 4), 0);
		if ((extended ? v & 0xffff : v & 0xff) == id)
			return at;
		at = extended ? v >> 20 : v >> 8 & 0xff;
	}
	fail_msg("no capability %#x", id);
	return 0;
}

static uint32_t command(struct rig *r, unsigned int code, uint32_t operand)
{
	wr(r, CMD, code << 20 | operand);
	return (uint32_t)rd(r, CMDSTS, 4);
}

/* Bits of dword 2: dedicated 0, block on fault 1, priority 7:4, PASID 27:8, PASID enable 28. */
static void queue(struct rig *r, unsigned int wq, uint32_t bits)
{
	wr(r, WQCFG(wq, 0), 16);
	wr(r, WQCFG(wq, 1), 16);
	wr(r, WQCFG(wq, 2), bits | 10u << 4 | 2u | 1u << 28);
	wr(r, WQCFG(wq, 3), 21 | 10 << 5);
}

static void device_start(struct rig *r)
{
	uint32_t msix = capability(r, 0x11, false);
	unsigned int i;

	config_wr(r, capability(r, 0xf, true) + 6, 0x8000);
	config_wr(r, capability(r, 0x1b, true) + 6, 1);
	config_wr(r, capability(r, 0x13, true) + 4, 1);
	config_wr(r, msix + 2, 0x8000);
	for (i = 0; i < 9; i++)
		wr(r, 0x2000 + 16 * i + 12, 0);
	config_wr(r, 4, 6);
	wr(r, GRPCFG(0, 0), 1u << DEDICATED | 1u << SHARED);
	wr(r, GRPCFG(0, 8), 1);
	wr(r, 0x80, (uint32_t)rd(r, 0x80, 4) | 0x1000); /* user interrupts */
	queue(r, DEDICATED, 1u | GP_A << 8);
	queue(r, SHARED, 0);
	assert_int_equal(command(r, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(command(r, DSA_CMD_ENABLE_WQ, DEDICATED), 0);
	assert_int_equal(command(r, DSA_CMD_ENABLE_WQ, SHARED), 0);
}

/* ---- The guest ---- */

static void process_open(struct rig *r, struct process *p, uint32_t gp, uint8_t fill)
{
	unsigned int i;

	tables_stage_init(&p->fs, &r->w.ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	for (i = 0; i < 3; i++) {
		p->page[i] = gw_page(&r->w);
		assert_int_equal(
			tables_map(&p->fs, GW_VA + 0x1000ull * i, p->page[i], 12, TABLES_RWU), 0);
	}
	memset(gw_ptr(&r->w, p->page[1]), fill, 4096);
	gw_pe_fs(gw_pe(&r->w, GW_SID(0), gp), &p->fs, 1);
}

static void rig_open(struct rig *r)
{
	const struct gw_config c = { .flags = VIOMMU_GUEST_HOST_PASIDS,
				     .pasid_min = HOST_MIN,
				     .pasid_max = HOST_MAX };
	const struct viommu_pci_vmm vmm = { .ctx = r, .interrupt = interrupt };
	unsigned int i;

	memset(r, 0, sizeof(*r));
	gw_open(&r->w, &c);
	gw_start(&r->w);
	for (i = 0; i < GW_DEVICES; i++)
		gw_pe(&r->w, GW_SID(i), GP_ABSENT); /* its table is there */
	process_open(r, &r->a, GP_A, 0xa1);
	process_open(r, &r->b, GP_B, 0xb2);
	assert_int_equal(viommu_dsa_new(NULL, &r->dsa), 0);
	r->pci = viommu_dsa_pci(r->dsa);
	viommu_pci_set_vmm(r->pci, &vmm);
	viommu_pci_attach(r->pci, r->w.dev[0], hpasid, r);
	device_start(r);
}

/* A number of the host's, wherever in the word a field may begin. */
static bool names_host_pasid(uint64_t v)
{
	unsigned int shift;

	for (shift = 0; shift <= 44; shift++)
		if ((v >> shift & 0xffff0) == (HOST_MIN & 0xffff0))
			return true;
	return false;
}

static void nothing_shows_the_host(struct rig *r)
{
	uint64_t at, v;

	for (at = 0; at < GW_BYTES; at += 8)
		if (names_host_pasid(*gw_ptr(&r->w, at)))
			fail_msg("memory at %#llx: %#llx", (unsigned long long)at,
				 (unsigned long long)*gw_ptr(&r->w, at));
	for (at = 0; at < VIOMMU_GUEST_REGISTERS; at += 8)
		assert_false(names_host_pasid(viommu_guest_read(r->w.guest, at, 8)));
	for (at = 0; at < 0x10000; at += 8)
		assert_false(names_host_pasid(rd(r, (uint32_t)at, 8)));
	for (at = 0; at < 4096; at += 8) {
		assert_int_equal(viommu_pci_config_read(r->pci, (uint32_t)at, &v, 8), 0);
		assert_false(names_host_pasid(v));
	}
}

/* What the host has of the device, and what its callbacks named. */
static void nothing_shows_the_guest(struct rig *r)
{
	struct viommu_hp hp = { 1 };
	struct viommu_gp gp;

	for (; !viommu_host_next_bind(r->w.dev[0], &hp, &gp, NULL); hp.v++) {
		assert_in_range(hp.v, HOST_MIN, HOST_MAX);
		assert_true(gp.v == GP_A || gp.v == GP_B);
	}
	if (r->w.named_max) {
		assert_in_range(r->w.named_min, HOST_MIN, HOST_MAX);
		assert_in_range(r->w.named_max, HOST_MIN, HOST_MAX);
	}
}

static void rig_close(struct rig *r)
{
	nothing_shows_the_host(r);
	nothing_shows_the_guest(r);
	viommu_pci_attach(r->pci, NULL, NULL, NULL);
	viommu_dsa_free(r->dsa);
	gw_close(&r->w);
}

static uint32_t host_pasid(struct rig *r, uint32_t gp)
{
	struct viommu_hp hp;

	assert_int_equal(viommu_pasid_to_host(viommu_domain_owner(r->w.dom),
					      (struct viommu_gp){ gp }, &hp),
			 0);
	assert_in_range(hp.v, HOST_MIN, HOST_MAX);
	return hp.v;
}

/* ---- Descriptors ---- */

static void copy(uint64_t d[8], uint32_t pasid, uint32_t flags, uint64_t to)
{
	memset(d, 0, 64);
	d[0] = (uint64_t)(DSA_OP_MOVE << 24 | flags | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32 | pasid;
	d[1] = RECORD;
	d[2] = FROM;
	d[3] = to;
	d[4] = 4096;
}

static void submit(struct rig *r, const uint64_t d[8])
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(viommu_pci_bar_write(r->pci, 2, 8 * i, 8, d[i]), 0);
}

static void enqueue(struct rig *r, const uint64_t d[8])
{
	assert_int_equal(viommu_dsa_enqueue(r->dsa, SHARED << 14, d), 0);
}

static unsigned int run(struct rig *r)
{
	unsigned int n = 0;

	while (viommu_pci_run(r->pci, r->w.dma))
		n++;
	return n;
}

static uint8_t status(struct rig *r, const struct process *p)
{
	return (uint8_t)(gw_ptr(&r->w, p->page[0] + 0x40)[0] & 0x3f);
}

static bool copied(struct rig *r, const struct process *p)
{
	return !memcmp(gw_ptr(&r->w, p->page[1]), gw_ptr(&r->w, p->page[2]), 4096);
}

/* ---- Tests ---- */

static void a_queue_and_a_descriptor_name_processes_by_the_guests_numbers(void **state)
{
	struct viommu_guest_shadow sh[8];
	unsigned int n, i, seen = 0;
	uint64_t d[8];
	struct rig r;

	(void)state;
	rig_open(&r);
	/* WQCFG has the PASID of a dedicated queue; what a descriptor says does not count. */
	copy(d, GP_B, 0, TO);
	submit(&r, d);
	assert_int_equal(run(&r), 1);
	assert_int_equal(status(&r, &r.a), DSA_ST_SUCCESS);
	assert_true(copied(&r, &r.a));
	assert_false(copied(&r, &r.b));
	/* A descriptor has that of a shared one. */
	copy(d, GP_B, 0, TO);
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	assert_int_equal(status(&r, &r.b), DSA_ST_SUCCESS);
	assert_true(copied(&r, &r.b));
	assert_int_not_equal(host_pasid(&r, GP_A), host_pasid(&r, GP_B));
	/* Both numbers are there for whoever inspects. */
	n = viommu_guest_shadows(r.w.guest, GW_SID(0), (struct viommu_gp){ 0 }, sh, 8);
	for (i = 0; i < n && sh[i].sid == GW_SID(0); i++) {
		assert_int_equal(sh[i].hp.v, host_pasid(&r, sh[i].gp.v));
		seen++;
	}
	assert_int_equal(seen, 2);
	rig_close(&r);
}

static void a_host_pasid_that_the_guest_guesses_is_one_of_its_own_numbers(void **state)
{
	struct rig r;
	uint32_t hp;
	uint64_t d[8];

	(void)state;
	rig_open(&r);
	copy(d, GP_A, 0, TO);
	submit(&r, d);
	assert_int_equal(run(&r), 1);
	hp = host_pasid(&r, GP_A);
	memset(gw_ptr(&r.w, r.a.page[2]), 0, 4096);
	copy(d, hp, 0, TO);
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	assert_false(copied(&r, &r.a));
	/* What the guest said, which is no number of the host's though it looks like one. */
	assert_int_equal(rd(&r, SWERROR, 8) >> 40 & 0xfffff, hp);
	assert_int_not_equal(host_pasid(&r, hp), hp);
	/* The guess stands where errors are told, and would be found. */
	viommu_pci_reset(r.pci);
	viommu_guest_reset(r.w.guest);
	rig_close(&r);
}

static void interrupt_permissions_compare_the_guests_numbers(void **state)
{
	uint64_t d[8];
	struct rig r;

	(void)state;
	rig_open(&r);
	wr(&r, MSIXPERM(1), GP_B << 12 | 8u);
	copy(d, GP_B, DSA_FLAG_RCI, TO);
	d[4] |= (uint64_t)1 << 32; /* handle 1: word 4, bits 47:32 */
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	assert_int_equal(status(&r, &r.b), DSA_ST_SUCCESS);
	assert_int_equal(r.interrupts[1], 1);
	assert_int_equal(rd(&r, MSIXPERM(1), 4), GP_B << 12 | 8u);
	/* Another's. */
	copy(d, GP_A, DSA_FLAG_RCI, TO);
	d[4] |= (uint64_t)1 << 32;
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	assert_int_equal(status(&r, &r.a), DSA_ST_INT_HANDLE);
	assert_int_equal(r.interrupts[1], 1);
	rig_close(&r);
}

/* The page comes; a response that names the host's number is for nobody. */
static void answer(struct gw *w)
{
	struct rig *r = container_of(w, struct rig, w);
	uint32_t slot = (uint32_t)(gw_rd64(w, VTD_REG_PQT) - VTD_PRQ_BYTES) & (w->prq_bytes - 1);
	const uint64_t *d = gw_ptr(w, w->prq + slot);
	uint64_t prgi = VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(d, VTD_PRQ_PRGI));

	assert_int_equal(VTD_GET(d, VTD_PRQ_PP), 1);
	assert_int_equal(VTD_GET(d, VTD_PRQ_RID), GW_SID(0));
	assert_int_equal(VTD_GET(d, VTD_PRQ_PASID), GP_A);
	assert_int_equal(w->request.pasid, host_pasid(r, GP_A));
	assert_int_equal(VTD_GET(d, VTD_PRQ_ADDR), HOLE >> 12);
	assert_int_equal(viommu_device_open_requests(w->dev[0]), 1);
	assert_true(
		gw_do(w, gw_pgrp(GW_SID(0), true, host_pasid(r, GP_A), VTD_PGRP_SUCCESS), prgi));
	assert_int_equal(viommu_device_open_requests(w->dev[0]), 1);
	r->refused++;
	assert_int_equal(tables_map(&r->a.fs, HOLE, r->filler, 12, TABLES_RWU), 0);
	assert_true(gw_do(w, gw_pgrp(GW_SID(0), true, GP_A, VTD_PGRP_SUCCESS), prgi));
	/* The guess of the host's number stands in the ring: it is the test's, not a leak. */
	memset(gw_ptr(w, w->iq), 0, w->iq_bytes);
}

static void page_requests_and_their_responses_have_the_guests_number(void **state)
{
	uint64_t d[8];
	struct rig r;

	(void)state;
	rig_open(&r);
	r.filler = gw_page(&r.w);
	r.w.answer = answer;
	copy(d, 0, DSA_FLAG_BOF, HOLE);
	submit(&r, d);
	assert_int_equal(run(&r), 1);
	assert_int_equal(r.w.requests, 1);
	assert_int_equal(r.refused, 1);
	assert_int_equal(status(&r, &r.a), DSA_ST_SUCCESS);
	assert_memory_equal(gw_ptr(&r.w, r.filler), gw_ptr(&r.w, r.a.page[1]), 4096);
	rig_close(&r);
}

static void errors_and_fault_records_have_the_guests_number(void **state)
{
	struct viommu_fault last;
	uint64_t d[8], rec[2], v;
	struct rig r;

	(void)state;
	rig_open(&r);
	/* No such page, and not asked for: the record tells the address. */
	copy(d, 0, 0, HOLE);
	submit(&r, d);
	assert_int_equal(run(&r), 1);
	assert_int_equal(status(&r, &r.a), DSA_ST_PAGE_FAULT);
	assert_int_equal(gw_ptr(&r.w, r.a.page[0] + 0x40)[1] & ~4095ull, HOLE);
	/* No such PASID: there is no place for a record. */
	copy(d, GP_ABSENT, 0, TO);
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	v = rd(&r, SWERROR, 8);
	assert_int_equal(v & 1, 1);
	assert_int_equal(v >> 40 & 0xfffff, GP_ABSENT);
	/* A request that is not translated before, as a device without ATS sends it. */
	assert_int_equal(gw_read(&r.w, 0, host_pasid(&r, GP_ABSENT), HOLE, &v), VIOMMU_FAULTED);
	rec[0] = gw_rd64(&r.w, gw_frcd(&r.w, 0));
	rec[1] = gw_rd64(&r.w, gw_frcd(&r.w, 0) + 8);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_F), 1);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PP), 1);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PASID), GP_ABSENT);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_SID), GW_SID(0));
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_PE_NP);
	assert_int_equal(gw_read(&r.w, 0, host_pasid(&r, GP_A), HOLE, &v), VIOMMU_FAULTED);
	rec[0] = gw_rd64(&r.w, gw_frcd(&r.w, 1));
	rec[1] = gw_rd64(&r.w, gw_frcd(&r.w, 1) + 8);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_PASID), GP_A);
	assert_int_equal(VTD_GET(rec, VTD_FRCD_FR), VTD_FR_FS_NP);
	assert_int_equal(viommu_guest_last_faults(r.w.guest, &last, 1), 1);
	assert_int_equal(last.pasid, GP_A);
	rig_close(&r);
}

static void drains_and_aborts_go_by_the_guests_number(void **state)
{
	uint64_t a[8], b[8];
	struct rig r;

	(void)state;
	rig_open(&r);
	copy(a, GP_A, 0, TO);
	copy(b, GP_B, 0, TO);
	enqueue(&r, a);
	enqueue(&r, b);
	/* Of nobody: at once. */
	assert_int_equal(command(&r, DSA_CMD_DRAIN_PASID, GP_ABSENT), 0);
	assert_int_equal(command(&r, DSA_CMD_DRAIN_PASID, HOST_MIN), 0);
	wr(&r, CMD, 0);
	assert_int_equal(command(&r, DSA_CMD_ABORT_PASID, GP_A), 0);
	assert_int_equal(command(&r, DSA_CMD_DRAIN_PASID, GP_A), 0);
	assert_int_equal(command(&r, DSA_CMD_DRAIN_PASID, GP_B) >> 31, 1);
	assert_int_equal(run(&r), 1);
	assert_int_equal(rd(&r, CMDSTS, 4), 0);
	assert_false(copied(&r, &r.a));
	assert_true(copied(&r, &r.b));
	rig_close(&r);
}

static void invalidations_go_by_the_guests_number(void **state)
{
	struct viommu_hp hp = { 1 };
	struct viommu_gp gp;
	uint64_t other, v;
	struct rig r;
	uint32_t a;

	(void)state;
	rig_open(&r);
	assert_int_equal(viommu_pci_pasid(r.pci, GP_A, &a), 0);
	assert_int_equal(a, host_pasid(&r, GP_A));
	assert_int_equal(gw_read(&r.w, 0, a, FROM, &v), 0);
	/* Another page at the address: seen after the flush. */
	other = gw_page(&r.w);
	*gw_ptr(&r.w, other) = 0x5150;
	tables_entry_set(&r.a.fs, FROM, 1, other | VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_A) | 6);
	assert_true(gw_do(&r.w, gw_piotlb(VTD_IQ_PIOTLB_SELECTIVE, 1, GP_A), 0));
	assert_int_equal(gw_read(&r.w, 0, a, FROM, &v), 0);
	assert_int_equal(v, 0x5150);
	r.w.told = 0;
	assert_true(gw_do(&r.w, gw_pdtlb(GW_SID(0), GP_A), GW_EVERYTHING));
	assert_int_equal(r.w.told, 1);
	assert_int_equal(r.w.told_pasid, a);
	/* The entry goes. */
	gw_pe(&r.w, GW_SID(0), GP_A)[0] = 0;
	assert_true(gw_do(&r.w, gw_pc(VTD_IQ_PC_SELECTIVE, 1, GP_A), 0));
	assert_int_equal(viommu_host_next_bind(r.w.dev[0], &hp, &gp, NULL), -ENOENT);
	assert_int_equal(host_pasid(&r, GP_A), a); /* the guest's until a reset */
	rig_close(&r);
}

/* Numbers beyond what the VM may have: a device's error, not the host's. */
static void numbers_run_out_without_harm(void **state)
{
	uint64_t d[8];
	struct rig r;
	uint32_t i;

	(void)state;
	rig_open(&r);
	copy(d, GP_B, 0, TO);
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	for (i = 0; i < 2 * (HOST_MAX - HOST_MIN + 1); i++) {
		copy(d, GP_ABSENT + i, 0, TO);
		enqueue(&r, d);
		assert_int_equal(run(&r), 1);
	}
	assert_int_equal(viommu_owner_count(viommu_domain_owner(r.w.dom)), HOST_MAX - HOST_MIN + 1);
	memset(gw_ptr(&r.w, r.b.page[2]), 0, 4096);
	copy(d, GP_B, 0, TO);
	enqueue(&r, d);
	assert_int_equal(run(&r), 1);
	assert_true(copied(&r, &r.b));
	/* A reset gives all back. */
	viommu_guest_reset(r.w.guest);
	assert_int_equal(viommu_owner_count(viommu_domain_owner(r.w.dom)), 0);
	rig_close(&r);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_queue_and_a_descriptor_name_processes_by_the_guests_numbers),
	cmocka_unit_test(a_host_pasid_that_the_guest_guesses_is_one_of_its_own_numbers),
	cmocka_unit_test(interrupt_permissions_compare_the_guests_numbers),
	cmocka_unit_test(page_requests_and_their_responses_have_the_guests_number),
	cmocka_unit_test(errors_and_fault_records_have_the_guests_number),
	cmocka_unit_test(drains_and_aborts_go_by_the_guests_number),
	cmocka_unit_test(invalidations_go_by_the_guests_number),
	cmocka_unit_test(numbers_run_out_without_harm),
};
TEST_MAIN(tests)
