/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: saved states. An input chooses a machine and what its accelerator was doing when it
 * was paused, and then edits the state's bytes: in a section, its length, version or flags, or the
 * header; most inputs are sealed with a good checksum again. The result is loaded.
 *
 * What is held: what is refused leaves a board without PASIDs, requests and work; what is taken
 * runs, is saved again, and that state is taken.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include <viommu/viommu.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/state.h"
#include "dev/pci.h"
#include "host/soft.h"

#define PAGE      4096u
#define RAM_PAGES 96u
#define ROOT      1u
#define CONTEXT   2u
#define PDIR      3u
#define PTABLE    4u
#define FS        5u /* four pages */
#define QUEUE     9u
#define REQUESTS  10u
#define FIRST     16u /* page of RAM that address 10000h is, and so on */
#define SID       0x28u
#define PORT      0x10u
#define BUS       7u
#define GP        5u
#define RECORD    UINT64_C(0x10000)
#define LIST      UINT64_C(0x11000)
#define SRC       UINT64_C(0x20000)
#define DST       UINT64_C(0x30000)
#define AUX       UINT64_C(0x40000)
#define MAX_EDITS 24u
#define MAX_STEPS 40u

static uint8_t ram[RAM_PAGES * PAGE] __attribute__((aligned(4096)));

struct vm {
	struct viommu_board *board;
	struct viommu_dsa *dsa;
	struct viommu_dsa *late; /* NULL: no port */
	struct viommu_pci *unit, *pci;
	struct viommu_dma *dma;
	uint32_t tail;
	bool pause_at_request, hide_record;
};

static void must(int ret)
{
	VIOMMU_ASSERT(ret == 0);
}

static uint64_t *word(unsigned int page, unsigned int n)
{
	return (uint64_t *)(void *)(ram + page * PAGE) + n;
}

static void cfg(struct viommu_pci *pci, unsigned int at, unsigned int bytes, uint32_t v)
{
	must(viommu_pci_config_write(pci, at, &v, bytes));
}

static void reg(struct vm *vm, unsigned int at, unsigned int bytes, uint64_t v)
{
	must(viommu_pci_bar_write(vm->unit, 0, at, bytes, v));
}

static void dsa_reg(struct vm *vm, unsigned int at, uint32_t v)
{
	must(viommu_pci_bar_write(vm->pci, 0, at, 4, v));
}

static void page_set(uint64_t va, bool there)
{
	*word(FS + 3, (unsigned int)(va >> 12) & 511) =
		there ? (FIRST + ((va - RECORD) >> 12)) * PAGE | 7 : 0;
}

static void forget(struct vm *vm)
{
	const struct viommu_invalidate inv = { .size = sizeof(inv) };

	must(viommu_host_invalidate(viommu_board_host(vm->board), NULL, &inv));
}

/* The page request's message comes inside of the run: so does the beginning of the pause. */
static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct vm *vm = ctx;

	(void)addr;
	if (data != 0x42 || !vm->pause_at_request)
		return;
	reg(vm, VTD_REG_PRS, 4, VTD_MASK(VTD_PRS_PPR)); /* or the next one has no message */
	if (vm->hide_record) {
		page_set(SRC, true);
		page_set(RECORD, false);
		forget(vm);
		viommu_device_abort_requests(viommu_pci_device(vm->pci), VIOMMU_ALL_PASIDS,
					     VIOMMU_RESPONSE_SUCCESS);
		vm->hide_record = false;
		return;
	}
	fetch_or(&vm->pci->gate, PCI_GATE_PAUSED);
	viommu__device_pause(viommu_pci_device(vm->pci), 1);
}

/* ---- A machine ------------------------------------------------------------------------------- */

static const uint32_t unit_flags[4] = {
	0,
	VIOMMU_GUEST_HOST_PASIDS,
	VIOMMU_GUEST_VCMD | VIOMMU_GUEST_CM,
	VIOMMU_GUEST_INTREMAP,
};

static void board_new(struct vm *vm, unsigned int kind)
{
	const struct viommu_board_config bc = {
		.size = sizeof(bc),
		.guest = { .size = sizeof(bc.guest), .flags = unit_flags[kind & 3] },
		.pasid_min = kind & 3 ? GP : 1,
		.pasid_max = 40,
		.max_page_requests = 8,
	};
	const struct viommu_dsa_config dc = { .size = sizeof(dc), .queues = 2, .entries = 16 };
	const struct viommu_pci_vmm vmm = { .ctx = vm, .message = on_message };

	must(viommu_board_new(&bc, &vm->board));
	must(viommu_dsa_new(&dc, &vm->dsa));
	vm->unit = viommu_board_unit(vm->board);
	vm->pci = viommu_dsa_pci(vm->dsa);
	must(viommu_board_add(vm->board, vm->pci, SID));
	vm->late = NULL;
	if (kind & 8) {
		must(viommu_board_add_port(vm->board, PORT));
		must(viommu_board_add_port(vm->board, PORT + 8));
		must(viommu_dsa_new(&dc, &vm->late));
		must(viommu_board_plug(vm->board, viommu_dsa_pci(vm->late), PORT));
	}
	must(viommu_mem_add_ptr(viommu_board_mem(vm->board), 0, sizeof(ram), ram, 0));
	must(viommu_dma_new(viommu_board_host(vm->board), &vm->dma));
	viommu_pci_set_vmm(vm->unit, &vmm);
}

static void board_free(struct vm *vm)
{
	viommu_dma_free(vm->dma);
	viommu_board_free(vm->board);
	viommu_dsa_free(vm->dsa);
	viommu_dsa_free(vm->late);
}

static void tables(void)
{
	uint64_t *pe = word(PTABLE, GP * 8), va;

	memset(ram, 0, sizeof(ram));
	*word(ROOT, 0) = CONTEXT * PAGE | 1;
	*word(CONTEXT, SID * 4) = PDIR * PAGE | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) |
				  VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE);
	*word(PDIR, 0) = PTABLE * PAGE | 1;
	VTD_SET(pe, VTD_PE_DID, 7);
	VTD_SET(pe, VTD_PE_FSPTPTR, FS);
	VTD_SET(pe, VTD_PE_AW, VTD_AW_48);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_P, 1);
	*word(FS, 0) = (FS + 1) * PAGE | 7;
	*word(FS + 1, 0) = (FS + 2) * PAGE | 7;
	*word(FS + 2, 0) = (FS + 3) * PAGE | 7;
	for (va = RECORD; va < RECORD + (RAM_PAGES - FIRST) * PAGE; va += PAGE)
		page_set(va, true);
}

static void unit_start(struct vm *vm)
{
	const uint32_t on = (uint32_t)(VTD_MASK(VTD_GCMD_QIE) | VTD_MASK(VTD_GCMD_TE));

	cfg(vm->unit, 0x10, 4, 0xfebd0000);
	cfg(vm->unit, 4, 2, 6);
	reg(vm, VTD_REG_RTADDR, 8, ROOT * PAGE | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	reg(vm, VTD_REG_GCMD, 4, VTD_MASK(VTD_GCMD_SRTP));
	reg(vm, VTD_REG_IQA, 8, QUEUE * PAGE | VTD_MASK(VTD_IQA_DW));
	reg(vm, VTD_REG_PQA, 8, REQUESTS * PAGE);
	reg(vm, VTD_REG_PEDATA, 4, 0x42);
	reg(vm, VTD_REG_PEADDR, 4, 0xfee00000);
	reg(vm, VTD_REG_PECTL, 4, 0);
	reg(vm, VTD_REG_IRTA, 8, 12 * PAGE | 7);
	reg(vm, VTD_REG_GCMD, 4, VTD_MASK(VTD_GCMD_SIRTP) | on);
	reg(vm, VTD_REG_GCMD, 4, on | VTD_MASK(VTD_GCMD_IRE));
	reg(vm, VTD_REG_VCMD, 8, VTD_VCMD_CODE_ALLOC);
	if (vm->late)
		cfg(vm->unit, VIOMMU_PCI_VENDOR_AT, 1, BUS);
}

static void dsa_start(struct vm *vm)
{
	cfg(vm->pci, 0x82, 2, 0x8000);
	dsa_reg(vm, 0x2000 + 12, 0);
	cfg(vm->pci, 0x236, 2, 1);
	cfg(vm->pci, 0x226, 2, 0x8000);
	cfg(vm->pci, 0x244, 2, 1);
	cfg(vm->pci, 4, 2, 6);
	dsa_reg(vm, 0x400, 1);
	dsa_reg(vm, 0x420, 1);
	dsa_reg(vm, 0x500, 8);
	dsa_reg(vm, 0x508, 1 | 2 | 10 << 4 | GP << 8 | 1u << 28);
	dsa_reg(vm, 0x50c, 21 | 5 << 5);
	dsa_reg(vm, 0xa0, DSA_CMD_ENABLE_DEVICE << 20);
	dsa_reg(vm, 0xa0, DSA_CMD_ENABLE_WQ << 20);
}

static void submit(struct vm *vm, const uint64_t w[8], unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes / 8; i++)
		must(viommu_pci_bar_write(vm->pci, 2, 8 * i, 8, w[i]));
}

/* One of each operation, with a page in its middle that is not there. */
static void work(struct vm *vm, unsigned int what)
{
	static const uint8_t ops[] = {
		DSA_OP_NOOP,       DSA_OP_MOVE,      DSA_OP_FILL,      DSA_OP_COMPARE,
		DSA_OP_CR_DELTA,   DSA_OP_AP_DELTA,  DSA_OP_DUALCAST,  DSA_OP_CRC,
		DSA_OP_COPY_CRC,   DSA_OP_DIF_CHECK, DSA_OP_DIF_STRIP, DSA_OP_DIF_INSERT,
		DSA_OP_DIF_UPDATE, DSA_OP_CFLUSH,    DSA_OP_BATCH,
	};
	unsigned int op = ops[what % sizeof(ops)], i;
	uint64_t w[8] = { 0 }, hidden = SRC + PAGE;

	w[0] = (uint64_t)(op << 24 | DSA_FLAG_CRAV | DSA_FLAG_RCR |
			  (op == DSA_OP_NOOP || op == DSA_OP_BATCH ? 0 : DSA_FLAG_BOF))
	       << 32;
	w[1] = RECORD;
	w[2] = SRC;
	w[3] = DST;
	w[4] = 0x2080; /* of blocks of 520 and of words of 8 */
	switch (op) {
	case DSA_OP_NOOP:
		w[2] = w[3] = w[4] = 0;
		break;
	case DSA_OP_FILL:
		hidden = DST + PAGE;
		break;
	case DSA_OP_CFLUSH:
		w[2] = 0;
		hidden = DST + PAGE;
		break;
	case DSA_OP_COMPARE:
		break;
	case DSA_OP_CR_DELTA:
		memset(ram + (FIRST + ((SRC - RECORD) >> 12)) * PAGE, 1, 8);
		w[5] = AUX;
		w[6] = 800;
		break;
	case DSA_OP_AP_DELTA:
		for (i = 0; i < 500; i++)
			ram[(FIRST + ((SRC - RECORD) >> 12)) * PAGE + 10 * i] = (uint8_t)i;
		for (i = 256; i < 500; i++)
			ram[(FIRST + ((SRC - RECORD) >> 12)) * PAGE + 10 * i + 1] = 1;
		w[5] = 5000;
		break;
	case DSA_OP_DUALCAST:
		w[5] = AUX;
		break;
	case DSA_OP_CRC:
		w[3] = 0;
		break;
	case DSA_OP_DIF_INSERT:
		w[4] = 0x2000;
		break;
	case DSA_OP_DIF_CHECK:
	case DSA_OP_DIF_STRIP:
	case DSA_OP_DIF_UPDATE:
		w[3] = op == DSA_OP_DIF_CHECK ? 0 : w[3];
		DSA_SET(w, DSA_D_DIF_SRC, DSA_DIF_SRC_NO_GUARD | DSA_DIF_SRC_NO_REF);
		DSA_SET(w, DSA_D_DIF_SRC_MASK, 0xffff);
		break;
	case DSA_OP_BATCH: {
		uint64_t *list = word(FIRST + 1, 0);

		list[8] = (uint64_t)(DSA_OP_FILL << 24 | DSA_FLAG_BOF) << 32;
		list[11] = SRC;
		list[12] = 0x2000;
		w[2] = LIST;
		w[3] = 0;
		w[4] = 3;
		break;
	}
	default:
		break;
	}
	if (what & 0x10)
		hidden = RECORD;
	if (what & 0x20) {
		hidden = SRC;
		vm->hide_record = true;
	}
	page_set(hidden, false);
	forget(vm);
	submit(vm, w, 64);
	vm->pause_at_request = true;
	for (i = 0; i < MAX_STEPS && viommu_pci_run(vm->pci, vm->dma); i++)
		;
	vm->pause_at_request = false;
	submit(vm, w, 64);
	submit(vm, w, 8 * (what >> 1 & 7));
	dsa_reg(vm, 0xa0, DSA_CMD_DRAIN_ALL << 20);
}

/* ---- Its state, edited ----------------------------------------------------------------------- */

struct bytes {
	uint8_t *p;
	size_t n;
};

static uint64_t load64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, 8);
	return v;
}

/* The n-th section, around again. */
static uint8_t *section(struct bytes *b, unsigned int n)
{
	uint8_t *at = b->p + 24;

	for (; n; n--) {
		uint64_t bytes = load64(at + 8);

		if (bytes > b->n || at + 16 + bytes + 20 > b->p + b->n)
			return at;
		at += 16 + bytes;
	}
	return at;
}

static void edit(struct bytes *b, struct fuzz_input *in)
{
	unsigned int kind = fuzz_u8(in);
	uint8_t *at = section(b, fuzz_u8(in) & 15);
	size_t room = (size_t)(b->p + b->n - at), offset = fuzz_u16(in) % room, n;
	uint64_t v = fuzz_u64(in), bytes;

	switch (kind & 7) {
	case 0:
		at[offset] ^= (uint8_t)v;
		break;
	case 1:
		memcpy(at + offset, &v, room - offset < 8 ? room - offset : 8);
		break;
	case 2:
		memcpy(at + offset, &v, room - offset < 4 ? room - offset : 4);
		break;
	case 3:
		if (room >= 16)
			memcpy(at + 8, &v, 8); /* the length */
		break;
	case 4:
		if (room >= 16)
			memcpy(at + 4, &v, 4); /* version and flags */
		break;
	case 5: /* bytes of a section go, and its length with them */
		bytes = room >= 16 ? load64(at + 8) : 0;
		n = bytes && bytes + 16 <= room ? (size_t)(v % (bytes + 1)) : 0;
		if (!n)
			break;
		memmove(at + 16 + bytes - n, at + 16 + bytes, room - 16 - (size_t)bytes);
		b->n -= n;
		bytes -= n;
		memcpy(at + 8, &bytes, 8);
		break;
	case 6: /* it ends here */
		b->n = (size_t)(at - b->p) + offset;
		if (b->n < 28)
			b->n = 28;
		break;
	default:
		b->p[offset % 24] ^= (uint8_t)v;
		break;
	}
}

static void seal(struct bytes *b, unsigned int how)
{
	uint64_t n = b->n;
	uint32_t crc;

	if (how & 1)
		return;
	memcpy(b->p + 16, &n, 8);
	crc = viommu__crc32c(b->p, b->n - 4);
	memcpy(b->p + b->n - 4, &crc, 4);
}

static struct bytes save(struct vm *vm)
{
	struct bytes b;
	void *state;

	must(viommu_board_pause(vm->board, NULL, 0));
	must(viommu_board_save(vm->board, &state, &b.n));
	b.p = malloc(b.n);
	VIOMMU_ASSERT(b.p);
	memcpy(b.p, state, b.n);
	viommu_state_free(state);
	return b;
}

static void refused(struct vm *vm, const char *why)
{
	uint64_t v;

	VIOMMU_ASSERT(why[0]);
	must(viommu_pci_bar_read(vm->unit, 0, VTD_REG_GSTS, 4, &v));
	VIOMMU_ASSERT(!v);
	VIOMMU_ASSERT(!viommu_owner_count(viommu_domain_owner(viommu_board_domain(vm->board))));
	VIOMMU_ASSERT(!viommu_device_open_requests(viommu_pci_device(vm->pci)));
	VIOMMU_ASSERT(!viommu_pci_enabled(vm->pci) && !viommu_pci_pausing(vm->pci));
}

static void taken(struct vm *vm)
{
	struct viommu_device *dev = viommu_pci_device(vm->pci);
	struct bytes again;
	char why[160];
	unsigned int i;
	uint64_t va, v;

	viommu_board_resume(vm->board);
	for (va = RECORD; va < RECORD + (RAM_PAGES - FIRST) * PAGE; va += PAGE)
		page_set(va, true);
	/* A page that is still missing leaves the job where it is: nobody would answer. */
	viommu__device_pause(dev, 1);
	viommu_device_abort_requests(dev, VIOMMU_ALL_PASIDS, VIOMMU_RESPONSE_SUCCESS);
	for (i = 0; i < MAX_STEPS && viommu_pci_run(vm->pci, vm->dma); i++)
		;
	for (i = 0; i < MAX_STEPS && viommu_pci_run(vm->unit, NULL); i++)
		;
	for (i = 0; i < 0x1000; i += 8)
		must(viommu_pci_bar_read(vm->pci, 0, i, 8, &v));
	again = save(vm);
	if (viommu_board_load(vm->board, again.p, again.n, why, sizeof(why)))
		VIOMMU_ASSERT(!"what was saved is taken");
	free(again.p);
	viommu_board_resume(vm->board);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	unsigned int kind = fuzz_u8(&in), what = fuzz_u8(&in), how = fuzz_u8(&in), i;
	struct vm vm = { 0 };
	struct bytes b;
	char why[160];
	int ret;

	tables();
	board_new(&vm, kind);
	unit_start(&vm);
	dsa_start(&vm);
	if (!(kind & 4))
		work(&vm, what);
	b = save(&vm);
	board_free(&vm);
	for (i = 0; i < MAX_EDITS && !fuzz_done(&in); i++)
		edit(&b, &in);
	seal(&b, how);
	board_new(&vm, how & 2 ? kind + 1 : kind);
	if (how & 4)
		must(viommu_mem_remove(viommu_board_mem(vm.board), 0, sizeof(ram)));
	ret = viommu_board_load(vm.board, b.p, b.n, why, how & 8 ? 0 : sizeof(why));
	if (ret && !(how & 8))
		refused(&vm, why);
	else if (!ret)
		taken(&vm);
	board_free(&vm);
	free(b.p);
}

FUZZ_TARGET
