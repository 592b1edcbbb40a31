/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two VMs on one host: two boards, and an accelerator that is divided between them. On the host's
 * side both functions are one requester id. The guests are scripted and alike: the same PASIDs, the
 * same addresses, the same requester id in their tables; one of them is hostile in most tests.
 */
#include <pthread.h>
#include <sched.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "dev/toy.h"
#include "lib/tables.h"
#include <viommu/dsa.h>
#include <viommu/dsa_spec.h>
#include <viommu/state.h>

#define VMS       2u
#define HOST_SID  VIOMMU_SID(0x80, 3, 0)
#define SID       VIOMMU_SID(0, 5, 0)
#define RAM_BYTES (UINT64_C(2) << 20)
#define VA        UINT64_C(0x7f0000400000)
#define RECORD    (VA + 0x40)
#define FROM      (VA + 0x1000)
#define TO        (VA + 0x2000)
#define MARK      (VA + 0x3000) /* nobody is told to write here */
#define HOLE      (VA + 0x5000)
#define PASID     1u
#define DOMAIN_ID 7u
#define PRQ_BYTES 4096u
#define DEDICATED 0u
#define SHARED    1u
#define FIRST_HP  0x1000u
#define CMD       0xa0u
#define CMDSTS    0xa8u
#define MESSAGE   0xfee01000u

#define WQCFG(wq, dword)  (0x500u + (wq)*64u + 4u * (dword))
#define GRPCFG(gr, dword) (0x400u + (gr)*64u + 4u * (dword))
#define MSIXPERM(n)       (0x800u + 8u * (n))

struct rig;

struct vm {
	struct rig *rig;
	struct viommu_board *board;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci, *unit;
	struct tables ram;
	struct tables spoilt;   /* where it was before it was copied; no fd: nowhere */
	struct tables_stage fs; /* of PASID 1, or the one that was given */
	uint32_t pasid;
	uint64_t root, table, queue, prq;
	uint64_t page[4]; /* RECORD, FROM, TO, MARK */
	uint32_t tail;
	unsigned int messages, unit_messages; /* atomic */
	unsigned int open_rounds;
};

struct rig {
	struct viommu_host *host;
	struct viommu_device *parent;
	struct viommu_dsa_hw *hw;
	struct viommu_dma *dma;
	struct vm vm[VMS];
	uint32_t flags;       /* of units; 0: VIOMMU_GUEST_HOST_PASIDS */
	uint32_t stop;        /* atomic */
	uint64_t copied, bad; /* by copier(); atomic */
	uint32_t copier_stop; /* atomic */
};

static uint64_t *ram(struct vm *vm, uint64_t gpa)
{
	uint64_t *p = tables_ptr(&vm->ram, gpa);

	assert_non_null(p);
	return p;
}

/* ---- The unit, as its driver programs it ---- */

static uint64_t unit_rd(struct vm *vm, unsigned int offset, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(vm->unit, 0, offset, bytes, &v), 0);
	return v;
}

static void unit_wr(struct vm *vm, unsigned int offset, unsigned int bytes, uint64_t v)
{
	assert_int_equal(viommu_pci_bar_write(vm->unit, 0, offset, bytes, v), 0);
	while (viommu_pci_run(vm->unit, NULL))
		;
}

static void unit_command(struct vm *vm, uint64_t bit)
{
	unit_wr(vm, VTD_REG_GCMD, 4, (unit_rd(vm, VTD_REG_GSTS, 4) & ~VTD_GCMD_ONESHOTS) | bit);
}

static void unit_submit(struct vm *vm, uint64_t d0, uint64_t d1)
{
	uint64_t *d = ram(vm, vm->queue + vm->tail);

	d[0] = d0;
	d[1] = d1;
	d[2] = d[3] = 0;
	vm->tail = (vm->tail + 32) & 4095;
	unit_wr(vm, VTD_REG_IQT, 8, vm->tail);
	assert_int_equal(unit_rd(vm, VTD_REG_IQH, 8), vm->tail);
}

static void flush_pasid(struct vm *vm, uint32_t pasid)
{
	unit_submit(vm,
		    VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) |
			    VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) |
			    VTD_VAL(VTD_IQ_PC_DID, DOMAIN_ID) | VTD_VAL(VTD_IQ_PC_PASID, pasid),
		    0);
}

static uint64_t *entry(struct vm *vm, uint32_t pasid)
{
	assert_true(pasid < 64 || vm->rig->flags & VIOMMU_GUEST_VCMD);
	return ram(vm, vm->table) + (size_t)(pasid % 64) * 8;
}

static void entry_set(struct vm *vm, uint32_t pasid, uint64_t root)
{
	uint64_t *pe = entry(vm, pasid);

	memset(pe, 0, VTD_PE_BYTES);
	VTD_SET(pe, VTD_PE_DID, DOMAIN_ID);
	VTD_SET(pe, VTD_PE_FSPTPTR, root >> 12);
	VTD_SET(pe, VTD_PE_AW, VTD_AW_48);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_P, 1);
}

static void unit_start(struct vm *vm)
{
	uint64_t context = tables_page(&vm->ram), dir = tables_page(&vm->ram), *ce;
	unsigned int i;

	vm->table = tables_page(&vm->ram);
	vm->root = tables_page(&vm->ram);
	vm->queue = tables_page(&vm->ram);
	vm->prq = tables_page(&vm->ram);
	ram(vm, vm->root)[0] = context | VTD_MASK(VTD_SROOT_LP);
	ce = ram(vm, context) + (SID & 0x7f) * 4;
	ce[0] = dir | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) | VTD_MASK(VTD_SCE_PASIDE) |
		VTD_MASK(VTD_SCE_PRE);
	ram(vm, dir)[0] = vm->table | VTD_MASK(VTD_PDIR_P);
	/* The same table for those of the host, of which the guest knows then. */
	if (vm->rig->flags & VIOMMU_GUEST_VCMD)
		ram(vm, dir)[FIRST_HP / 64] = vm->table | VTD_MASK(VTD_PDIR_P);
	tables_stage_init(&vm->fs, &vm->ram, NULL, VIOMMU_FORMAT_VTD_FS, 4);
	for (i = 0; i < 4; i++) {
		vm->page[i] = tables_page(&vm->ram);
		assert_int_equal(
			tables_map(&vm->fs, VA + i * 0x1000ull, vm->page[i], 12, TABLES_RWU), 0);
	}
	/* Requests without PASID have the same addresses. */
	entry_set(vm, 0, tables_root(&vm->fs));
	entry_set(vm, PASID, tables_root(&vm->fs));
	unit_wr(vm, VTD_REG_RTADDR, 8, vm->root | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	unit_command(vm, VTD_MASK(VTD_GCMD_SRTP));
	unit_wr(vm, VTD_REG_IQA, 8, vm->queue | VTD_MASK(VTD_IQA_DW));
	unit_wr(vm, VTD_REG_IQT, 8, 0);
	unit_command(vm, VTD_MASK(VTD_GCMD_QIE));
	unit_wr(vm, VTD_REG_PQA, 8, vm->prq);
	unit_wr(vm, VTD_REG_PEDATA, 4, 0x42);
	unit_wr(vm, VTD_REG_PEADDR, 4, MESSAGE);
	unit_wr(vm, VTD_REG_PECTL, 4, 0);
	unit_command(vm, VTD_MASK(VTD_GCMD_TE));
}

/* ---- Virtual commands ---- */

#define VCMD     (VIOMMU_GUEST_VCMD | VIOMMU_GUEST_CM)
#define VCMD_OLD (VCMD | VIOMMU_GUEST_VCMD_OLD)

/* In the layout that the unit has; the status is in words of the new one. */
static unsigned int vcmd(struct vm *vm, unsigned int code, uint32_t operand, uint32_t *pasid)
{
	const bool old = vm->rig->flags & VIOMMU_GUEST_VCMD_OLD;
	const unsigned int shift = old ? 8 : 16;
	unsigned int sc;
	uint64_t v;

	unit_wr(vm, old ? VTD_REG_OLD_VCMD : VTD_REG_VCMD, 8, (uint64_t)operand << shift | code);
	v = unit_rd(vm, old ? VTD_REG_OLD_VCRSP : VTD_REG_VCRSP, 8);
	if (pasid)
		*pasid = (uint32_t)(v >> shift);
	sc = (unsigned int)(v >> 1) & (old ? 3 : 0x7f);
	return old && sc == VTD_OLD_VCRSP_PASID_ERROR ? VTD_VCRSP_PASID_ERROR : sc;
}

/* One that the host gives, or else the guest's own choice. */
static uint32_t pasid_new(struct vm *vm, uint32_t own)
{
	uint32_t pasid = own;

	if (vm->rig->flags & VIOMMU_GUEST_VCMD)
		assert_int_equal(vcmd(vm, VTD_VCMD_CODE_ALLOC, 0, &pasid), VTD_VCRSP_OK);
	return pasid;
}

/* A PASID that the host gives, for the same memory. */
static void given(struct vm *vm)
{
	vm->pasid = pasid_new(vm, PASID);
	entry_set(vm, vm->pasid, tables_root(&vm->fs));
	flush_pasid(vm, vm->pasid);
}

/* Guests come to their PASIDs by commands of either layout, */
static void given_by_each(void (*check)(uint32_t flags))
{
	check(VCMD);
	check(VCMD_OLD);
}

/* or by numbers of their own. */
static void by_each(void (*check)(uint32_t flags))
{
	check(0);
	given_by_each(check);
}

/* ---- The accelerator, as its driver programs it ---- */

static uint64_t rd(struct vm *vm, uint32_t offset, unsigned int bytes)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(vm->pci, 0, offset, bytes, &v), 0);
	return v;
}

static void wr(struct vm *vm, uint32_t offset, uint32_t v)
{
	assert_int_equal(viommu_pci_bar_write(vm->pci, 0, offset, 4, v), 0);
}

static void config_wr(struct viommu_pci *pci, uint32_t at, uint16_t v)
{
	assert_int_equal(viommu_pci_config_write(pci, at, &v, 2), 0);
}

static uint32_t capability(struct vm *vm, uint16_t id)
{
	uint32_t at = 0x100, v = 0, left;

	for (left = 64; left && at; left--) {
		assert_int_equal(viommu_pci_config_read(vm->pci, at, &v, 4), 0);
		if ((v & 0xffff) == id)
			return at;
		at = v >> 20;
	}
	fail_msg("no capability %#x", id);
	return 0;
}

static uint32_t command(struct vm *vm, unsigned int code, uint32_t operand)
{
	wr(vm, CMD, code << 20 | operand);
	return (uint32_t)rd(vm, CMDSTS, 4) & 0xff;
}

/* Bits of dword 2: dedicated 0, block on fault 1, priority 7:4, PASID 27:8, PASID enable 28. */
static void queue(struct vm *vm, unsigned int wq, uint32_t bits)
{
	wr(vm, WQCFG(wq, 0), 16);
	wr(vm, WQCFG(wq, 1), 16);
	wr(vm, WQCFG(wq, 2), bits | 10u << 4 | 2u);
	wr(vm, WQCFG(wq, 3), 21 | 5 << 5);
}

static void dsa_queues(struct vm *vm, uint32_t dedicated)
{
	assert_int_equal(command(vm, DSA_CMD_RESET_DEVICE, 0), 0);
	wr(vm, GRPCFG(0, 0), 1u << DEDICATED | 1u << SHARED);
	wr(vm, GRPCFG(0, 8), 3);
	queue(vm, DEDICATED, dedicated | 1u);
	queue(vm, SHARED, 1u << 28);
	assert_int_equal(command(vm, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(command(vm, DSA_CMD_ENABLE_WQ, DEDICATED), 0);
	assert_int_equal(command(vm, DSA_CMD_ENABLE_WQ, SHARED), 0);
}

#define WITH_PASID(pasid) (1u << 28 | (pasid) << 8)

static void dsa_start(struct vm *vm)
{
	config_wr(vm->pci, capability(vm, 0xf) + 6, 0x8000);
	config_wr(vm->pci, capability(vm, 0x1b) + 6, 1);
	config_wr(vm->pci, capability(vm, 0x13) + 4, 1);
	config_wr(vm->pci, 4, 6);
	dsa_queues(vm, WITH_PASID(vm->pasid));
}

static void job(uint64_t d[8], unsigned int op, uint32_t pasid, uint32_t flags, uint64_t from,
		uint64_t to)
{
	memset(d, 0, 64);
	d[0] = (uint64_t)(op << 24 | flags | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32 | pasid;
	d[1] = RECORD;
	d[2] = from;
	d[3] = to;
	d[4] = 4096;
}

static void submit(struct vm *vm, const uint64_t d[8])
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(viommu_pci_bar_write(vm->pci, 2, 8 * i, 8, d[i]), 0);
}

static int enqueue(struct vm *vm, const uint64_t d[8])
{
	return viommu_dsa_enqueue(vm->dsa, SHARED << 14, d);
}

static uint8_t status(struct vm *vm)
{
	return (uint8_t)(load_acquire(ram(vm, vm->page[0] + 0x40)) & 0x3f);
}

static void status_clear(struct vm *vm)
{
	store_release(ram(vm, vm->page[0] + 0x40), 0);
}

/* All that is there to do for both. */
static void run(struct rig *r)
{
	while (viommu_pci_engines_run(viommu_dsa_hw_engines(r->hw), r->dma))
		;
}

/* ---- The rig ---- */

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct vm *vm = ctx;

	(void)addr;
	(void)data;
	fetch_add(&vm->messages, 1);
}

static void on_unit_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct vm *vm = ctx;

	(void)addr;
	(void)data;
	fetch_add(&vm->unit_messages, 1);
}

static int board_new(struct rig *r, struct vm *vm, uint32_t quota)
{
	const struct viommu_board_config bc = {
		.size = sizeof(bc),
		.guest = { .size = sizeof(bc.guest),
			   .flags = r->flags ? r->flags : VIOMMU_GUEST_HOST_PASIDS },
		.pasid_quota = quota,
		.max_page_requests = 8,
		.host = r->host,
	};

	return viommu_board_new(&bc, &vm->board);
}

/* A board and its part of the accelerator, over memory that is there. */
static void vm_board(struct rig *r, struct vm *vm, uint32_t quota)
{
	const struct viommu_pci_vmm vmm = { .ctx = vm, .message = on_message };
	const struct viommu_pci_vmm unit_vmm = { .ctx = vm, .message = on_unit_message };
	const struct viommu_dsa_config dc = { .size = sizeof(dc), .hw = r->hw };

	assert_int_equal(board_new(r, vm, quota), 0);
	vm->unit = viommu_board_unit(vm->board);
	viommu_pci_set_vmm(vm->unit, &unit_vmm);
	assert_int_equal(viommu_dsa_new(&dc, &vm->dsa), 0);
	vm->pci = viommu_dsa_pci(vm->dsa);
	viommu_pci_set_vmm(vm->pci, &vmm);
	assert_int_equal(viommu_board_add_sub(vm->board, vm->pci, SID, r->parent), 0);
	assert_int_equal(
		viommu_mem_add_fd(viommu_board_mem(vm->board), 0, RAM_BYTES, vm->ram.fd, 0, 0), 0);
}

static void vm_open(struct rig *r, struct vm *vm, uint32_t quota)
{
	vm->rig = r;
	vm->pasid = PASID;
	vm->spoilt.fd = -1;
	tables_init(&vm->ram, 0, RAM_BYTES);
	tables_page(&vm->ram);
	vm_board(r, vm, quota);
	config_wr(vm->unit, 4, 6);
}

static void vm_start(struct vm *vm)
{
	unsigned int i;

	unit_start(vm);
	if (vm->rig->flags & VIOMMU_GUEST_VCMD)
		given(vm);
	dsa_start(vm);
	for (i = 0; i < 512; i++) {
		ram(vm, vm->page[1])[i] = (uint64_t)(vm - vm->rig->vm) << 32 | i;
		ram(vm, vm->page[3])[i] = 0x1111u * (uint64_t)(vm - vm->rig->vm + 1);
	}
}

static void host_open(struct rig *r, unsigned int functions, uint32_t flags)
{
	const struct viommu_host_config hc = { .size = sizeof(hc),
					       .pasid_min = FIRST_HP,
					       .pasid_max = FIRST_HP + 63 };
	const struct viommu_device_config vc = {
		.size = sizeof(vc),
		.sid = HOST_SID,
		.flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
	};
	const struct viommu_dsa_hw_config wc = { .size = sizeof(wc),
						 .functions = (uint8_t)functions };

	memset(r, 0, sizeof(*r));
	r->flags = flags;
	assert_int_equal(viommu_host_new(&hc, &r->host), 0);
	assert_int_equal(viommu_device_new(r->host, &vc, &r->parent), 0);
	assert_int_equal(viommu_dsa_hw_new(&wc, &r->hw), 0);
	assert_int_equal(viommu_dma_new(r->host, &r->dma), 0);
}

static void rig_open_as(struct rig *r, uint32_t quota, uint32_t flags)
{
	unsigned int i;

	host_open(r, VMS, flags);
	for (i = 0; i < VMS; i++) {
		vm_open(r, &r->vm[i], quota);
		vm_start(&r->vm[i]);
	}
}

static void rig_open(struct rig *r, uint32_t quota)
{
	rig_open_as(r, quota, 0);
}

static void vm_board_free(struct vm *vm)
{
	assert_int_equal(viommu_board_remove(vm->board, vm->pci), 0);
	viommu_dsa_free(vm->dsa);
	viommu_board_free(vm->board);
}

/* Nobody wrote there. */
static void spoilt_free(struct vm *vm)
{
	if (vm->spoilt.fd >= 0)
		assert_true(tables_spoilt(&vm->spoilt));
	tables_free(&vm->spoilt);
}

static void vm_close(struct vm *vm)
{
	vm_board_free(vm);
	spoilt_free(vm);
	tables_free(&vm->ram);
}

/*
 * The guest goes on with another board of the same host, and another part of the accelerator; over
 * a copy of its memory, too, while the host's caches and tables had to do with what it was before.
 */
static void vm_move(struct rig *r, struct vm *vm, bool copied)
{
	char why[128];
	size_t bytes;
	void *state;

	assert_int_equal(viommu_board_pause(vm->board, why, sizeof(why)), 0);
	assert_int_equal(viommu_board_save(vm->board, &state, &bytes), 0);
	if (copied) {
		spoilt_free(vm);
		vm->spoilt = vm->ram;
		tables_copy(&vm->spoilt, &vm->ram);
		tables_spoil(&vm->spoilt);
	}
	vm_board_free(vm);
	vm_board(r, vm, 0);
	if (viommu_board_load(vm->board, state, bytes, why, sizeof(why)))
		fail_msg("refused: %s", why);
	viommu_board_resume(vm->board);
	viommu_state_free(state);
}

static void rig_close(struct rig *r)
{
	unsigned int i;

	for (i = 0; i < VMS; i++)
		vm_close(&r->vm[i]);
	viommu_dma_free(r->dma);
	viommu_dsa_hw_free(r->hw);
	viommu_device_free(r->parent);
	viommu_host_free(r->host);
}

static struct viommu_device *dev(struct vm *vm)
{
	return viommu_pci_device(vm->pci);
}

static uint32_t host_pasid(struct vm *vm, uint32_t gp)
{
	struct viommu_hp hp;

	assert_int_equal(viommu_pasid_to_host(viommu_domain_owner(viommu_board_domain(vm->board)),
					      (struct viommu_gp){ gp }, &hp),
			 0);
	return hp.v;
}

static struct viommu_guest_stats stats(struct vm *vm)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };

	viommu_guest_stats(viommu_board_guest(vm->board), &s);
	return s;
}

/* Its own copy by its own PASID works. */
static void copies(struct rig *r, struct vm *vm)
{
	uint64_t d[8];

	memset(ram(vm, vm->page[2]), 0, 4096);
	status_clear(vm);
	job(d, DSA_OP_MOVE, 0, 0, FROM, TO);
	submit(vm, d);
	run(r);
	assert_int_equal(status(vm), DSA_ST_SUCCESS);
	assert_memory_equal(ram(vm, vm->page[1]), ram(vm, vm->page[2]), 4096);
}

/* What a VM has and has heard of: nothing of it may change by what another does. */
struct seen {
	uint8_t *ram;
	struct viommu_guest_stats stats;
	unsigned int messages, unit_messages, requests;
	struct viommu_dsa_stats dsa;
	uint32_t bound;
};

static void look(struct vm *vm, struct seen *s)
{
	memset(s, 0, sizeof(*s));
	s->ram = malloc(RAM_BYTES);
	assert_non_null(s->ram);
	memcpy(s->ram, ram(vm, 0), RAM_BYTES);
	s->stats = stats(vm);
	s->messages = vm->messages;
	s->unit_messages = vm->unit_messages;
	s->requests = viommu_device_open_requests(dev(vm));
	s->dsa.size = sizeof(s->dsa);
	viommu_dsa_stats(vm->dsa, &s->dsa);
}

static void unchanged(struct vm *vm, struct seen *s)
{
	struct seen now;

	look(vm, &now);
	assert_memory_equal(now.ram, s->ram, RAM_BYTES);
	free(now.ram);
	free(s->ram);
	now.ram = s->ram = NULL;
	assert_memory_equal(&now, s, sizeof(now));
}

/* ---- Tests ---- */

static void both_copy_with_pasid_1_under_one_requester_id(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 0);
	copies(&r, &r.vm[0]);
	copies(&r, &r.vm[1]);
	copies(&r, &r.vm[0]);
	assert_int_equal(viommu_device_sid(dev(&r.vm[0])), HOST_SID);
	assert_int_equal(viommu_device_sid(dev(&r.vm[1])), HOST_SID);
	assert_int_not_equal(host_pasid(&r.vm[0], PASID), host_pasid(&r.vm[1], PASID));
	rig_close(&r);
}

/*
 * By virtual commands a guest knows numbers of the host. What it was not given it cannot use,
 * wherever it names it, nor give back.
 */
static void check_of_another(uint32_t flags)
{
	static const uint64_t at[] = { FROM, MARK };
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	struct seen seen;
	uint64_t d[8];
	uint32_t n[6], bound;
	unsigned int i, k;

	rig_open_as(&r, 0, flags);
	assert_int_not_equal(a->pasid, b->pasid);
	assert_true(a->pasid >= FIRST_HP && b->pasid >= FIRST_HP);
	copies(&r, a);
	copies(&r, b);
	n[0] = b->pasid;
	n[1] = viommu_device_default_pasid(dev(b)).v;
	n[2] = viommu_device_default_pasid(dev(a)).v;
	n[3] = FIRST_HP + 40; /* nobody's */
	n[4] = 2;
	n[5] = VIOMMU_PASID_MAX;
	bound = (uint32_t)stats(a).bound;
	look(b, &seen);
	for (i = 0; i < 6; i++) {
		assert_int_equal(vcmd(a, VTD_VCMD_CODE_FREE, n[i], NULL), VTD_VCRSP_PASID_ERROR);
		if (n[i] % 64) { /* 0 is requests without PASID */
			entry_set(a, n[i], tables_root(&a->fs));
			flush_pasid(a, n[i]);
		}
		assert_int_equal(stats(a).bound, bound);
		for (k = 0; k < 2; k++) {
			dsa_queues(a, WITH_PASID(n[i]));
			job(d, DSA_OP_FILL, 0, 0, 0x6666666666666666, at[k]);
			submit(a, d);
			run(&r);
			job(d, DSA_OP_FILL, n[i], 0, 0x6666666666666666, at[k]);
			assert_int_equal(enqueue(a, d), 0);
			run(&r);
			command(a, DSA_CMD_DRAIN_PASID, n[i]);
			command(a, DSA_CMD_ABORT_PASID, n[i]);
			run(&r);
		}
		/* Not its own memory either: it has no bind by that number. */
		assert_int_equal(ram(a, a->page[1])[1], 1);
		assert_int_equal(ram(a, a->page[3])[1], 0x1111);
	}
	unchanged(b, &seen);
	copies(&r, b);
	dsa_queues(a, WITH_PASID(a->pasid));
	copies(&r, a);
	rig_close(&r);
}

static void a_pasid_that_was_given_to_another_is_of_no_use(void **state)
{
	(void)state;
	given_by_each(check_of_another);
}

/* Who takes all that he may leaves the other what is the other's, and gives all back by a reset. */
static void check_quota_of_given(uint32_t flags)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	uint32_t pasid, taken[2] = { 0, 0 };
	uint64_t whose[64] = { 0 };
	struct seen seen;

	rig_open_as(&r, 20, flags);
	whose[a->pasid - FIRST_HP] = whose[b->pasid - FIRST_HP] = 1;
	for (; !vcmd(a, VTD_VCMD_CODE_ALLOC, 0, &pasid); taken[0]++)
		assert_int_equal(whose[pasid - FIRST_HP]++, 0);
	for (; !vcmd(b, VTD_VCMD_CODE_ALLOC, 0, &pasid); taken[1]++)
		assert_int_equal(whose[pasid - FIRST_HP]++, 0);
	/* One each has been given before. */
	assert_int_equal(taken[0], 19);
	assert_int_equal(taken[1], 19);
	copies(&r, a);
	copies(&r, b);
	look(b, &seen);
	viommu_pci_reset(a->unit);
	assert_int_equal(stats(a).pasids_given, 0);
	unchanged(b, &seen);
	copies(&r, b);
	/* Nothing of what the other holds is given to it now. */
	config_wr(a->unit, 4, 6);
	a->tail = 0;
	vm_start(a);
	assert_int_not_equal(a->pasid, b->pasid);
	copies(&r, a);
	copies(&r, b);
	rig_close(&r);
}

static void numbers_are_given_up_to_each_ones_quota(void **state)
{
	(void)state;
	given_by_each(check_quota_of_given);
}

/* No quota: what the other took is the other's, and what is idle is still whose it was. */
static void check_idle_of_another(uint32_t flags)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	uint32_t idle[2], pasid, taken = 0;
	struct seen seen;
	uint64_t d[8];
	unsigned int i;

	rig_open_as(&r, 0, flags);
	for (i = 0; i < 2; i++) {
		idle[i] = pasid_new(b, 0);
		entry_set(b, idle[i], tables_root(&b->fs));
		flush_pasid(b, idle[i]);
		job(d, DSA_OP_FILL, idle[i], 0, 0x2222222222222222, TO);
		assert_int_equal(enqueue(b, d), 0);
		run(&r);
		assert_int_equal(status(b), DSA_ST_SUCCESS);
		entry(b, idle[i])[0] = 0;
		flush_pasid(b, idle[i]);
	}
	look(b, &seen);
	while (!vcmd(a, VTD_VCMD_CODE_ALLOC, 0, &pasid)) {
		assert_int_not_equal(pasid, b->pasid);
		assert_true(pasid != idle[0] && pasid != idle[1]);
		taken++;
	}
	/* All: two are the parts', one each was given before. */
	assert_int_equal(taken, 64 - 2 - 2 - 2);
	for (i = 0; i < 3; i++) {
		assert_int_equal(vcmd(a, VTD_VCMD_CODE_ALLOC, 0, NULL), VTD_VCRSP_PASID_ERROR);
		assert_int_equal(vcmd(a, VTD_VCMD_CODE_FREE, idle[i & 1], NULL),
				 VTD_VCRSP_PASID_ERROR);
	}
	assert_int_equal(stats(a).pasids_reclaimed, 0);
	unchanged(b, &seen);
	/* One may be bound again, and the other is what is left to give. */
	entry_set(b, idle[0], tables_root(&b->fs));
	flush_pasid(b, idle[0]);
	assert_int_equal(pasid_new(b, 0), idle[1]);
	assert_int_equal(vcmd(b, VTD_VCMD_CODE_ALLOC, 0, NULL), VTD_VCRSP_PASID_ERROR);
	assert_int_equal(stats(b).pasids_reclaimed, 1);
	copies(&r, a);
	copies(&r, b);
	/* What one gives back is there for either. */
	assert_int_equal(vcmd(a, VTD_VCMD_CODE_FREE, FIRST_HP + 63, NULL), VTD_VCRSP_OK);
	assert_int_equal(pasid_new(b, 0), FIRST_HP + 63);
	assert_int_equal(vcmd(a, VTD_VCMD_CODE_ALLOC, 0, NULL), VTD_VCRSP_PASID_ERROR);
	rig_close(&r);
}

static void who_takes_all_takes_nothing_idle_from_another(void **state)
{
	(void)state;
	given_by_each(check_idle_of_another);
}

/* Whoever is hostile: every number that may be the other's, and some that are nobody's. */
static unsigned int numbers(struct rig *r, uint32_t n[16])
{
	struct vm *mine = &r->vm[0], *theirs = &r->vm[1];
	unsigned int i = 0;

	n[i++] = host_pasid(theirs, PASID);
	n[i++] = viommu_device_default_pasid(dev(theirs)).v;
	n[i++] = host_pasid(mine, PASID);
	n[i++] = viommu_device_default_pasid(dev(mine)).v;
	n[i++] = 0;
	n[i++] = 2;
	n[i++] = 63;
	n[i++] = FIRST_HP + 40;
	n[i++] = VIOMMU_PASID_MAX;
	return i;
}

static void no_register_of_the_device_names_another_ones_pasid(void **state)
{
	static const uint64_t at[] = { MARK, 0x1000, RAM_BYTES - 4096, 0 };
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	unsigned int i, k, nr;
	struct seen seen;
	uint32_t n[16];
	uint64_t d[8];

	(void)state;
	rig_open(&r, 0);
	copies(&r, a);
	copies(&r, b);
	nr = numbers(&r, n);
	look(b, &seen);
	for (i = 0; i < nr; i++) {
		for (k = 0; k < 4; k++) {
			/* The PASID of a dedicated queue: WQCFG. */
			dsa_queues(a, WITH_PASID(n[i]));
			job(d, DSA_OP_FILL, 0, 0, 0x6666666666666666, at[k]);
			submit(a, d);
			run(&r);
			/* That of a descriptor for a shared one, and of one in a batch. */
			job(d, DSA_OP_FILL, n[i], 0, 0x6666666666666666, at[k]);
			assert_int_equal(enqueue(a, d), 0);
			run(&r);
			job(d, DSA_OP_BATCH, n[i], 0, at[k] & ~UINT64_C(63), 0);
			d[4] = 2;
			assert_int_equal(enqueue(a, d), 0);
			run(&r);
			/* What commands end, what interrupts are for. */
			wr(a, MSIXPERM(1), n[i] << 12 | 8);
			command(a, DSA_CMD_DRAIN_PASID, n[i]);
			command(a, DSA_CMD_ABORT_PASID, n[i]);
			run(&r);
		}
	}
	unchanged(b, &seen);
	copies(&r, b);
	/* The first of them has done nothing to itself, either: its PASID works. */
	dsa_queues(a, WITH_PASID(PASID));
	copies(&r, a);
	rig_close(&r);
}

static void without_pasid_each_has_its_own_memory(void **state)
{
	struct rig r;
	struct vm *a = &r.vm[0];
	struct seen seen;
	uint64_t d[8];

	(void)state;
	rig_open(&r, 0);
	dsa_queues(a, 0);
	look(&r.vm[1], &seen);
	job(d, DSA_OP_FILL, 0, 0, 0x6666666666666666, TO);
	submit(a, d);
	run(&r);
	assert_int_equal(status(a), DSA_ST_SUCCESS);
	assert_int_equal(ram(a, a->page[2])[511], 0x6666666666666666);
	/*
	 * With the guest's translation off it is the VM's memory as it is; there are no translation
	 * requests then (VTD-ORDER-02).
	 */
	assert_int_equal(command(a, DSA_CMD_DISABLE_DEVICE, 0), 0);
	config_wr(a->pci, capability(a, 0xf) + 6, 0);
	dsa_queues(a, 0);
	unit_wr(a, VTD_REG_GCMD, 4,
		unit_rd(a, VTD_REG_GSTS, 4) & ~VTD_GCMD_ONESHOTS & ~VTD_MASK(VTD_GCMD_TE));
	job(d, DSA_OP_FILL, 0, 0, 0x7777777777777777, a->page[2]);
	d[1] = a->page[0] + 0x40;
	status_clear(a);
	submit(a, d);
	run(&r);
	assert_int_equal(status(a), DSA_ST_SUCCESS);
	assert_int_equal(ram(a, a->page[2])[0], 0x7777777777777777);
	/* And nothing behind it. */
	job(d, DSA_OP_MOVE, 0, 0, RAM_BYTES, a->page[2]);
	d[1] = a->page[0] + 0x40;
	status_clear(a);
	submit(a, d);
	run(&r);
	assert_int_equal(status(a), DSA_ST_READ);
	unchanged(&r.vm[1], &seen);
	rig_close(&r);
}

/* Entries of its own that have the other's host PASIDs as numbers, or lead out of its memory. */
static void check_entries(uint32_t flags)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	struct viommu_stage theirs;
	const uint64_t *host_memory;
	struct seen seen;
	uint64_t d[8];
	uint32_t gp;
	unsigned int i;

	rig_open_as(&r, 0, flags);
	copies(&r, a);
	copies(&r, b);
	viommu_domain_stage(viommu_board_domain(b->board), &theirs, NULL);
	host_memory = ram(b, b->page[3]);
	gp = pasid_new(a, 5);
	look(b, &seen);
	{
		/* As root of a process: the other's second stage, its memory in this process. */
		const uint64_t roots[] = { theirs.root, (uintptr_t)host_memory & ~4095ull,
					   RAM_BYTES, UINT64_C(1) << 46 };

		for (i = 0; i < 4; i++) {
			entry_set(a, gp, roots[i]);
			flush_pasid(a, gp);
			job(d, DSA_OP_FILL, gp, 0, 0x6666666666666666, MARK);
			assert_int_equal(enqueue(a, d), 0);
			run(&r);
		}
	}
	/* As page of a process that is its own. */
	tables_entry_set(&a->fs, MARK, 1,
			 ((uintptr_t)host_memory & MASK64(51, 12)) | VTD_MASK(VTD_FS_P) |
				 VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US));
	flush_pasid(a, a->pasid);
	job(d, DSA_OP_FILL, a->pasid, 0, 0x6666666666666666, MARK);
	assert_int_equal(enqueue(a, d), 0);
	run(&r);
	unchanged(b, &seen);
	copies(&r, b);
	rig_close(&r);
}

static void no_entry_of_the_guest_leads_to_another(void **state)
{
	(void)state;
	by_each(check_entries);
}

static void check_invalidations(uint32_t flags)
{
	static const uint64_t d0[] = {
		VTD_VAL(VTD_IQ_CC_TYPE, VTD_IQ_TYPE_CC) | VTD_VAL(VTD_IQ_CC_G, 1),
		VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, 3),
		VTD_VAL(VTD_IQ_IOTLB_TYPE, VTD_IQ_TYPE_IOTLB) | VTD_VAL(VTD_IQ_IOTLB_G, 1),
	};
	struct viommu_dma_stats before, after;
	struct rig r;
	struct seen seen;
	uint32_t theirs;
	unsigned int i;

	rig_open_as(&r, 0, flags);
	copies(&r, &r.vm[0]);
	copies(&r, &r.vm[1]);
	copies(&r, &r.vm[1]);
	for (i = 0; i < 3; i++) {
		struct viommu_guest_stats b = stats(&r.vm[1]);

		/* Its entry goes with it, and is bound again by the next job. */
		entry(&r.vm[0], r.vm[0].pasid)[0] &= ~VTD_MASK(VTD_PE_P);
		unit_submit(&r.vm[0], d0[i], 0);
		entry(&r.vm[0], r.vm[0].pasid)[0] |= VTD_MASK(VTD_PE_P);
		assert_int_equal(stats(&r.vm[1]).unbinds, b.unbinds);
		assert_int_equal(stats(&r.vm[1]).bound, b.bound);
		viommu_dma_stats(r.dma, &before);
		copies(&r, &r.vm[1]);
		viommu_dma_stats(r.dma, &after);
		assert_int_equal(after.misses, before.misses);
	}
	/* By name: the number that the other's PASID has on the host. */
	theirs = host_pasid(&r.vm[1], r.vm[1].pasid);
	look(&r.vm[1], &seen);
	viommu_dma_stats(r.dma, &before);
	for (i = 0; i < 2; i++) {
		flush_pasid(&r.vm[0], theirs);
		unit_submit(&r.vm[0],
			    VTD_VAL(VTD_IQ_PIOTLB_TYPE, VTD_IQ_TYPE_PIOTLB) |
				    VTD_VAL(VTD_IQ_PIOTLB_G, 2 + i) |
				    VTD_VAL(VTD_IQ_PIOTLB_DID, DOMAIN_ID) |
				    VTD_VAL(VTD_IQ_PIOTLB_PASID, theirs),
			    i ? VA : 0);
		unit_submit(&r.vm[0],
			    VTD_VAL(VTD_IQ_PDTLB_TYPE, VTD_IQ_TYPE_PDTLB) |
				    VTD_VAL(VTD_IQ_PDTLB_SID, SID) |
				    VTD_VAL(VTD_IQ_PDTLB_PASID, theirs),
			    FROM);
	}
	unchanged(&r.vm[1], &seen);
	copies(&r, &r.vm[1]);
	viommu_dma_stats(r.dma, &after);
	assert_int_equal(after.misses, before.misses);
	copies(&r, &r.vm[0]);
	rig_close(&r);
}

static void invalidations_of_one_leave_the_other_bound(void **state)
{
	(void)state;
	by_each(check_invalidations);
}

static void check_gone(uint32_t flags)
{
	struct rig r;
	struct viommu_hp hp = { 0 };
	struct viommu_gp gp;

	rig_open_as(&r, 0, flags);
	copies(&r, &r.vm[0]);
	copies(&r, &r.vm[1]);
	viommu_board_vm_gone(r.vm[0].board);
	copies(&r, &r.vm[1]);
	/* Nothing of it is bound but the plain way to memory that it no longer has. */
	while (!viommu_host_next_bind(dev(&r.vm[0]), &hp, &gp, NULL)) {
		assert_int_equal(gp.v, VIOMMU_NO_PASID);
		hp.v++;
	}
	/* The next VM in the same place. */
	tables_free(&r.vm[0].ram);
	tables_init(&r.vm[0].ram, 0, RAM_BYTES);
	tables_page(&r.vm[0].ram);
	r.vm[0].tail = 0;
	assert_int_equal(viommu_mem_add_fd(viommu_board_mem(r.vm[0].board), 0, RAM_BYTES,
					   r.vm[0].ram.fd, 0, 0),
			 0);
	config_wr(r.vm[0].unit, 4, 6);
	vm_start(&r.vm[0]);
	copies(&r, &r.vm[0]);
	copies(&r, &r.vm[1]);
	/* The whole board goes, and another comes. */
	vm_close(&r.vm[0]);
	copies(&r, &r.vm[1]);
	memset(&r.vm[0], 0, sizeof(r.vm[0]));
	vm_open(&r, &r.vm[0], 0);
	vm_start(&r.vm[0]);
	copies(&r, &r.vm[0]);
	rig_close(&r);
}

static void a_vm_that_goes_leaves_the_other_and_its_place(void **state)
{
	(void)state;
	by_each(check_gone);
}

static void a_quota_is_one_vms(void **state)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	uint64_t d[8];
	uint32_t gp;

	(void)state;
	rig_open(&r, 3);
	for (gp = 1; gp < 8; gp++) {
		entry_set(a, gp, tables_root(&a->fs));
		status_clear(a);
		job(d, DSA_OP_FILL, gp, 0, 0x2222222222222222, TO);
		assert_int_equal(enqueue(a, d), 0);
		run(&r);
		assert_int_equal(status(a) == DSA_ST_SUCCESS, gp <= 3);
	}
	assert_int_equal(viommu_owner_count(viommu_domain_owner(viommu_board_domain(a->board))), 3);
	for (gp = 1; gp <= 3; gp++) {
		entry_set(b, gp, tables_root(&b->fs));
		status_clear(b);
		job(d, DSA_OP_FILL, gp, 0, 0x2222222222222222, TO);
		assert_int_equal(enqueue(b, d), 0);
		run(&r);
		assert_int_equal(status(b), DSA_ST_SUCCESS);
	}
	/* One that ends makes room for another, whatever its number. */
	entry(a, 2)[0] = 0;
	flush_pasid(a, 2);
	for (gp = 7; gp >= 4; gp--) {
		entry_set(a, gp, tables_root(&a->fs));
		status_clear(a);
		job(d, DSA_OP_FILL, gp, 0, 0x2222222222222222, TO);
		assert_int_equal(enqueue(a, d), 0);
		run(&r);
		assert_int_equal(status(a), DSA_ST_SUCCESS);
		entry(a, gp)[0] = 0;
		flush_pasid(a, gp);
	}
	assert_int_equal(viommu_owner_count(viommu_domain_owner(viommu_board_domain(a->board))), 3);
	assert_int_equal(stats(a).pasids_reclaimed, 4);
	/* Without PASID it costs none. */
	dsa_queues(a, 0);
	copies(&r, a);
	rig_close(&r);
}

static void messages_of_the_device_go_to_its_vm(void **state)
{
	struct rig r;
	uint32_t data = 0x31;

	(void)state;
	rig_open(&r, 0);
	assert_int_equal(viommu_dma_write(r.dma, dev(&r.vm[0]), VIOMMU_NO_PASID, MESSAGE, &data, 4,
					  0, NULL),
			 0);
	assert_int_equal(r.vm[0].messages, 1);
	assert_int_equal(r.vm[1].messages, 0);
	rig_close(&r);
}

static void a_board_on_a_host_of_others_is_made_for_it(void **state)
{
	struct viommu_board_config bc = { .size = sizeof(bc) };
	struct viommu_board *board;
	struct viommu_host *host;
	struct viommu_device *elsewhere;
	struct viommu_device_config vc = { .size = sizeof(vc),
					   .sid = HOST_SID,
					   .flags = VIOMMU_DEVICE_PASID };
	struct toy toy[4];
	unsigned int i;
	struct rig r;

	(void)state;
	rig_open(&r, 0);
	for (i = 0; i < 4; i++)
		toy_open(&toy[i], NULL);
	/* Identity: two guests would have the same host PASIDs. */
	bc.host = r.host;
	assert_int_equal(viommu_board_new(&bc, &board), -EINVAL);
	bc.guest.flags = VIOMMU_GUEST_HOST_PASIDS;
	bc.pasid_min = 1;
	assert_int_equal(viommu_board_new(&bc, &board), -EINVAL);
	bc.pasid_min = 0;
	bc.pasid_max = 5;
	assert_int_equal(viommu_board_new(&bc, &board), -EINVAL);
	bc.pasid_max = 0;
	assert_int_equal(viommu_board_new(&bc, &board), 0);
	assert_ptr_equal(viommu_board_host(board), r.host);
	/* A part of what the host has, one a VM; and only if it can what the function can. */
	assert_int_equal(viommu_host_new(NULL, &host), 0);
	assert_int_equal(viommu_device_new(host, &vc, &elsewhere), 0);
	assert_int_equal(viommu_board_add_sub(board, toy[0].pci, SID, NULL), -EINVAL);
	assert_int_equal(viommu_board_add_sub(board, toy[0].pci, SID, elsewhere), -EINVAL);
	assert_null(viommu_pci_device(toy[0].pci));
	viommu_host_free(host);
	assert_int_equal(viommu_board_add_sub(board, toy[0].pci, SID, r.parent), 0);
	assert_int_equal(viommu_board_add_sub(board, toy[1].pci, SID + 8, r.parent), -EEXIST);
	/* Functions of its own have a requester id that is free on the host. */
	assert_int_equal(viommu_board_add(board, toy[1].pci, SID + 8), 0);
	assert_int_equal(viommu_board_add(r.vm[0].board, toy[2].pci, SID + 8), 0);
	assert_int_equal(viommu_board_add(r.vm[1].board, toy[3].pci, SID + 8), 0);
	assert_int_equal(viommu_device_sid(viommu_pci_device(toy[1].pci)), SID + 8);
	assert_int_equal(viommu_device_sid(viommu_pci_device(toy[2].pci)), 0x100 | (SID + 8));
	assert_int_equal(viommu_device_sid(viommu_pci_device(toy[3].pci)), 0x200 | (SID + 8));
	/* A parent that is gone has no more parts. */
	assert_int_equal(viommu_device_unplug(r.parent), 0);
	assert_int_equal(viommu_board_remove(board, toy[0].pci), 0);
	assert_int_equal(viommu_board_add_sub(board, toy[0].pci, SID, r.parent), -ENODEV);
	viommu_board_free(board);
	assert_int_equal(viommu_board_remove(r.vm[0].board, toy[2].pci), 0);
	assert_int_equal(viommu_board_remove(r.vm[1].board, toy[3].pci), 0);
	for (i = 0; i < 4; i++)
		toy_close(&toy[i]);
	rig_close(&r);
}

static void every_allocation_may_fail_once(void **state)
{
	struct vm vm = { 0 };
	struct toy toy;
	struct rig r;
	long n, live;
	int ret, done;

	(void)state;
	rig_open(&r, 0);
	toy_open(&toy, NULL);
	copies(&r, &r.vm[1]);
	live = viommu__alloc_live();
	for (n = 1;; n++) {
		viommu__alloc_fail_nth(n);
		ret = board_new(&r, &vm, 0);
		if (!ret)
			ret = viommu_board_add_sub(vm.board, toy.pci, SID, r.parent);
		done = !viommu__alloc_fail_done();
		assert_int_equal(ret, done ? 0 : -ENOMEM);
		viommu_board_free(vm.board);
		assert_null(viommu_pci_device(toy.pci));
		assert_int_equal(viommu__alloc_live(), live);
		copies(&r, &r.vm[1]);
		if (done)
			break;
	}
	assert_true(n > 10);
	toy_close(&toy);
	rig_close(&r);
}

/* ---- Page requests, with the engines' threads ---- */

static void *engine(void *arg)
{
	struct rig *r = arg;
	struct viommu_dma *dma;

	if (viommu_dma_new(r->host, &dma))
		return NULL;
	while (!load_acquire(&r->stop))
		if (!viommu_pci_engines_run(viommu_dsa_hw_engines(r->hw), dma))
			sched_yield();
	viommu_dma_free(dma);
	return NULL;
}

static void engines_start(struct rig *r, pthread_t *t, unsigned int n)
{
	r->stop = 0;
	while (n--)
		assert_int_equal(pthread_create(&t[n], NULL, engine, r), 0);
}

static void engines_stop(struct rig *r, pthread_t *t, unsigned int n)
{
	store_release(&r->stop, 1);
	while (n--)
		pthread_join(t[n], NULL);
}

static const uint64_t *request_wait(struct vm *vm, uint32_t n)
{
	while (unit_rd(vm, VTD_REG_PQT, 8) / VTD_PRQ_BYTES < n)
		sched_yield();
	return ram(vm, vm->prq + (n - 1) * VTD_PRQ_BYTES);
}

static void respond(struct vm *vm, uint32_t pasid, uint64_t prgi)
{
	unit_submit(vm,
		    VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_VAL(VTD_IQ_PGRP_PP, 1) |
			    VTD_VAL(VTD_IQ_PGRP_RC, VTD_PGRP_SUCCESS) |
			    VTD_VAL(VTD_IQ_PGRP_RID, SID) | VTD_VAL(VTD_IQ_PGRP_PASID, pasid),
		    VTD_VAL(VTD_IQ_PGRP_PRGI, prgi));
}

/*
 * Its one job is over, and the engine that had it has let go. The status alone, which is read by
 * another mapping than it is written by, would put the next engine's writes behind nothing.
 */
static void job_wait(struct vm *vm)
{
	struct viommu_dsa_stats s = { .size = sizeof(s) };

	while (!status(vm))
		sched_yield();
	do
		viommu_dsa_stats(vm->dsa, &s);
	while (s.occupancy[DEDICATED] || s.occupancy[SHARED]);
}

static void ask(struct vm *vm)
{
	uint64_t d[8];

	status_clear(vm);
	job(d, DSA_OP_MOVE, 0, DSA_FLAG_BOF, FROM, HOLE);
	submit(vm, d);
}

static void bring(struct vm *vm, uint64_t *page)
{
	*page = tables_page(&vm->ram);
	assert_int_equal(tables_map(&vm->fs, HOLE, *page, 12, TABLES_RWU), 0);
}

static void check_answers(uint32_t flags)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	uint64_t page[2], prgi[2];
	const uint64_t *d;
	pthread_t t[4];
	unsigned int i;
	uint32_t gp;

	rig_open_as(&r, 0, flags);
	engines_start(&r, t, 4);
	for (i = 0; i < VMS; i++) {
		ask(&r.vm[i]);
		d = request_wait(&r.vm[i], 1);
		assert_int_equal(VTD_GET(d, VTD_PRQ_PASID), r.vm[i].pasid);
		assert_int_equal(VTD_GET(d, VTD_PRQ_RID), SID);
		assert_int_equal(VTD_GET(d, VTD_PRQ_ADDR), HOLE >> 12);
		prgi[i] = VTD_GET(d, VTD_PRQ_PRGI);
	}
	/* The same index, the same PASID, the same requester id. */
	assert_int_equal(prgi[0], prgi[1]);
	bring(a, &page[0]);
	respond(a, a->pasid, prgi[0]);
	job_wait(a);
	assert_int_equal(status(a), DSA_ST_SUCCESS);
	/* Again and again, with every number that could be the other's group. */
	for (i = 0; i < 8; i++) {
		respond(a, a->pasid, i);
		for (gp = 0; gp < 4; gp++)
			respond(a, gp, i);
		respond(a, host_pasid(b, b->pasid), i);
		respond(a, viommu_device_default_pasid(dev(b)).v, i);
	}
	assert_int_equal(viommu_device_open_requests(dev(b)), 1);
	assert_int_equal(status(b), 0);
	bring(b, &page[1]);
	respond(b, b->pasid, prgi[1]);
	job_wait(b);
	assert_int_equal(status(b), DSA_ST_SUCCESS);
	for (i = 0; i < VMS; i++)
		assert_memory_equal(ram(&r.vm[i], page[i]), ram(&r.vm[i], r.vm[i].page[1]), 4096);
	engines_stop(&r, t, 4);
	rig_close(&r);
}

static void a_request_is_answered_by_its_own_guest_alone(void **state)
{
	(void)state;
	by_each(check_answers);
}

/* More jobs than engines, of which each waits for a page that nobody brings. */
static void a_guest_that_never_answers_keeps_an_engine_from_nobody(void **state)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	unsigned int i, most;
	pthread_t t[4];
	uint64_t d[8];

	(void)state;
	rig_open(&r, 0);
	most = viommu_pci_engines_most(viommu_dsa_hw_engines(r.hw));
	assert_int_equal(most, 3);
	/* Engines 0 to 2 are this VM's: another group than before. */
	assert_int_equal(command(a, DSA_CMD_RESET_DEVICE, 0), 0);
	wr(a, GRPCFG(0, 0), 1u << DEDICATED);
	wr(a, GRPCFG(0, 8), 7);
	queue(a, DEDICATED, WITH_PASID(PASID) | 1u);
	assert_int_equal(command(a, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(command(a, DSA_CMD_ENABLE_WQ, DEDICATED), 0);
	engines_start(&r, t, 4);
	for (i = 0; i < 8; i++) {
		job(d, DSA_OP_FILL, 0, DSA_FLAG_BOF, 0, HOLE + i * 0x1000ull);
		submit(a, d);
	}
	request_wait(a, most);
	for (i = 0; i < 50; i++) {
		status_clear(b);
		job(d, DSA_OP_MOVE, 0, 0, FROM, TO);
		submit(b, d);
		job_wait(b);
		assert_int_equal(status(b), DSA_ST_SUCCESS);
	}
	assert_int_equal(viommu_device_open_requests(dev(a)), most);
	/* Its reset waits for none of the other's, and ends all of its own. */
	viommu_pci_reset(a->pci);
	assert_int_equal(viommu_device_open_requests(dev(a)), 0);
	status_clear(b);
	job(d, DSA_OP_MOVE, 0, 0, FROM, TO);
	submit(b, d);
	job_wait(b);
	engines_stop(&r, t, 4);
	rig_close(&r);
}

static void check_open(uint32_t flags)
{
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	uint64_t page, prgi;
	pthread_t t[4];

	rig_open_as(&r, 0, flags);
	engines_start(&r, t, 4);
	ask(a);
	ask(b);
	request_wait(a, 1);
	prgi = VTD_GET(request_wait(b, 1), VTD_PRQ_PRGI);
	viommu_board_vm_gone(a->board);
	assert_int_equal(viommu_device_open_requests(dev(a)), 0);
	assert_int_equal(viommu_device_open_requests(dev(b)), 1);
	assert_int_equal(viommu_board_remove(a->board, a->pci), 0);
	assert_int_equal(viommu_device_open_requests(dev(b)), 1);
	bring(b, &page);
	respond(b, b->pasid, prgi);
	job_wait(b);
	assert_int_equal(status(b), DSA_ST_SUCCESS);
	engines_stop(&r, t, 4);
	assert_int_equal(viommu_board_add_sub(a->board, a->pci, SID, r.parent), 0);
	rig_close(&r);
}

static void a_reset_with_requests_open_leaves_the_others_open(void **state)
{
	(void)state;
	by_each(check_open);
}

/* Copies all the time, and compares. */
static void *copier(void *arg)
{
	struct vm *vm = arg;
	uint64_t i, d[8];

	for (i = 0; !load_acquire(&vm->rig->copier_stop); i++) {
		status_clear(vm);
		ram(vm, vm->page[1])[5] = i;
		job(d, DSA_OP_MOVE, 0, 0, FROM, TO);
		submit(vm, d);
		job_wait(vm);
		if (status(vm) != DSA_ST_SUCCESS ||
		    memcmp(ram(vm, vm->page[1]), ram(vm, vm->page[2]), 4096) != 0)
			fetch_add(&vm->rig->bad, 1);
		fetch_add(&vm->rig->copied, 1);
	}
	return NULL;
}

/* Its requests stay open, with PASID and without, and it has host PASIDs of its own again. */
static void check_moved(uint32_t flags)
{
	uint64_t page, prgi[2], copied, v = 0;
	struct rig r;
	struct vm *a = &r.vm[0], *b = &r.vm[1];
	pthread_t t[4], other;
	unsigned int i;

	rig_open_as(&r, 0, flags);
	engines_start(&r, t, 4);
	assert_int_equal(pthread_create(&other, NULL, copier, b), 0);
	ask(a);
	prgi[0] = VTD_GET(request_wait(a, 1), VTD_PRQ_PRGI);
	assert_int_equal(viommu_dma_read(r.dma, dev(a), VIOMMU_NO_PASID, HOLE, &v, 8,
					 VIOMMU_DMA_NO_WAIT, NULL),
			 -EAGAIN);
	assert_int_equal(VTD_GET(request_wait(a, 2), VTD_PRQ_PP), 0);
	prgi[1] = VTD_GET(request_wait(a, 2), VTD_PRQ_PRGI);
	for (i = 0; i < 5; i++) {
		copied = load_acquire(&r.copied);
		vm_move(&r, a, i != 2);
		assert_int_equal(viommu_device_open_requests(dev(a)), 2);
		assert_int_equal(status(a), 0);
		/* The other one had its turns. */
		while (load_acquire(&r.copied) < copied + 3)
			sched_yield();
	}
	bring(a, &page);
	respond(a, a->pasid, prgi[0]);
	unit_submit(a,
		    VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) |
			    VTD_VAL(VTD_IQ_PGRP_RC, VTD_PGRP_SUCCESS) |
			    VTD_VAL(VTD_IQ_PGRP_RID, SID),
		    VTD_VAL(VTD_IQ_PGRP_PRGI, prgi[1]));
	job_wait(a);
	assert_int_equal(status(a), DSA_ST_SUCCESS);
	assert_int_equal(viommu_device_open_requests(dev(a)), 0);
	store_release(&r.copier_stop, 1);
	pthread_join(other, NULL);
	engines_stop(&r, t, 4);
	assert_int_equal(viommu_dma_read(r.dma, dev(a), VIOMMU_NO_PASID, HOLE, &v, 8,
					 VIOMMU_DMA_NO_WAIT, NULL),
			 0);
	assert_int_equal(v, ram(a, page)[0]);
	assert_int_equal(r.bad, 0);
	assert_int_equal(stats(b).faults, 0);
	assert_int_equal(stats(b).unbinds, 0);
	rig_close(&r);
}

static void a_vm_is_saved_and_loaded_while_the_other_runs(void **state)
{
	(void)state;
	by_each(check_moved);
}

/* ---- Everything at once ---- */

/* More than can be under way at a time: no two write the same bytes. */
#define PLACES 96u

/*
 * Resets its device and starts anew, floods it, invalidates; names what it must not. It keeps its
 * own jobs apart: that several engines write to one place at a time is its business, and a race.
 */
static void *hostile(void *arg)
{
	struct vm *vm = arg;
	uint64_t i, n = test_scale(150), place, d[8];
	uint32_t k, pasid;

	for (i = 0; i < n; i++) {
		for (k = 0; k < 6; k++) {
			pasid = FIRST_HP + (uint32_t)(i + k) % 16;
			job(d, DSA_OP_FILL, pasid, 0, 0x6666666666666666, MARK);
			if (pasid != vm->pasid)
				enqueue(vm, d);
			place = (i * 6 + k) % PLACES * 32;
			job(d, DSA_OP_MOVE, 0, 0, FROM, TO + place);
			d[1] = VA + 0x400 + place;
			d[4] = 32;
			submit(vm, d);
		}
		flush_pasid(vm, vm->pasid);
		for (k = 0; vm->rig->flags && k < 16; k++) {
			vcmd(vm, VTD_VCMD_CODE_ALLOC, 0, NULL);
			if (FIRST_HP + k != vm->pasid)
				vcmd(vm, VTD_VCMD_CODE_FREE, FIRST_HP + k, NULL);
		}
		unit_submit(vm, VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, 3),
			    0);
		if (i % 8 == 7) {
			viommu_pci_reset(vm->pci);
			dsa_start(vm);
		} else if (i % 8 == 3) {
			command(vm, DSA_CMD_ABORT_ALL, 0);
			while (rd(vm, CMDSTS, 4) >> 31)
				sched_yield();
			dsa_queues(vm, WITH_PASID(vm->pasid));
		}
	}
	return NULL;
}

static void check_under_fire(uint32_t flags)
{
	uint64_t i, k, n = test_scale(300), d[8], marked[512];
	struct rig r;
	struct vm *b = &r.vm[1];
	pthread_t t[4], fire;

	rig_open_as(&r, 20, flags);
	memcpy(marked, ram(b, b->page[3]), sizeof(marked));
	engines_start(&r, t, 4);
	assert_int_equal(pthread_create(&fire, NULL, hostile, &r.vm[0]), 0);
	for (i = 0; i < n; i++) {
		status_clear(b);
		for (k = 0; k < 512; k++)
			ram(b, b->page[1])[k] = i << 32 | k;
		job(d, DSA_OP_MOVE, 0, 0, FROM, TO);
		submit(b, d);
		job_wait(b);
		assert_int_equal(status(b), DSA_ST_SUCCESS);
		assert_memory_equal(ram(b, b->page[1]), ram(b, b->page[2]), 4096);
	}
	pthread_join(fire, NULL);
	engines_stop(&r, t, 4);
	assert_memory_equal(ram(b, b->page[3]), marked, sizeof(marked));
	assert_int_equal(stats(b).faults, 0);
	assert_int_equal(stats(b).page_requests, 0);
	assert_int_equal(stats(b).unbinds, 0);
	rig_close(&r);
}

static void under_fire_the_other_copies_its_own_data(void **state)
{
	(void)state;
	by_each(check_under_fire);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(both_copy_with_pasid_1_under_one_requester_id),
	cmocka_unit_test(a_pasid_that_was_given_to_another_is_of_no_use),
	cmocka_unit_test(numbers_are_given_up_to_each_ones_quota),
	cmocka_unit_test(who_takes_all_takes_nothing_idle_from_another),
	cmocka_unit_test(no_register_of_the_device_names_another_ones_pasid),
	cmocka_unit_test(without_pasid_each_has_its_own_memory),
	cmocka_unit_test(no_entry_of_the_guest_leads_to_another),
	cmocka_unit_test(invalidations_of_one_leave_the_other_bound),
	cmocka_unit_test(a_vm_that_goes_leaves_the_other_and_its_place),
	cmocka_unit_test(a_quota_is_one_vms),
	cmocka_unit_test(messages_of_the_device_go_to_its_vm),
	cmocka_unit_test(a_board_on_a_host_of_others_is_made_for_it),
	cmocka_unit_test(every_allocation_may_fail_once),
	cmocka_unit_test(a_request_is_answered_by_its_own_guest_alone),
	cmocka_unit_test(a_guest_that_never_answers_keeps_an_engine_from_nobody),
	cmocka_unit_test(a_reset_with_requests_open_leaves_the_others_open),
	cmocka_unit_test(a_vm_is_saved_and_loaded_while_the_other_runs),
	cmocka_unit_test(under_fire_the_other_copies_its_own_data),
};

TEST_MAIN(tests)
