/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the accelerator. An input is a row of actions of a guest: register and portal
 * accesses, descriptors (built from a few fields so that most of them mean something, or 64 raw
 * bytes), batches, commands, changes of PCI controls, pages that go away and how page requests are
 * answered, steps of the worker.
 *
 * What is held: nothing outside of the mapped pages is written, states and counts stay in their
 * ranges, and when the worker has nothing to do no command is active.
 */
#include "fuzz/fuzz.h"

#include <errno.h>

#include <viommu/viommu.h>

#include "base/assert.h"

#define MAX_ACTIONS 64u
#define PAGE        4096u
#define PAGES       24u /* that the process has */
#define VA          UINT64_C(0x10000)
#define TABLES      4u              /* pages: one of each level */
#define FIRST       (TABLES + 1)    /* page of RAM that VA is */
#define GUARD       (FIRST + PAGES) /* pages that nobody maps */
#define RAM_PAGES   (GUARD + 2u)
#define GP          5u
#define ENTRY       UINT64_C(0x7)

static uint8_t ram[RAM_PAGES * PAGE] __attribute__((aligned(4096)));

enum answer {
	MAP,
	INVALID,
	FAILURE,
	NOTHING
};

struct vm {
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev;
	struct viommu_dma *dma;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	struct viommu_hp hp;
	enum answer answer;
	uint32_t ats, pasid, pri; /* offsets of capabilities */
	bool no_gp;
};

static void must(int ret)
{
	VIOMMU_ASSERT(ret == 0);
}

static uint64_t *leaf(unsigned int page)
{
	return (uint64_t *)(void *)(ram + TABLES * PAGE) + (VA >> 12) + page;
}

static void show(unsigned int page)
{
	__atomic_store_n(leaf(page), ((uint64_t)(FIRST + page) << 12) | ENTRY, __ATOMIC_RELEASE);
}

static void page_request(void *ctx, struct viommu_device *dev,
			 const struct viommu_page_request *req)
{
	static const uint16_t codes[] = { VIOMMU_RESPONSE_SUCCESS, VIOMMU_RESPONSE_INVALID,
					  VIOMMU_RESPONSE_FAILURE, VIOMMU_RESPONSE_SUCCESS };
	struct vm *vm = ctx;

	if (vm->answer == MAP && req->addr >= VA && req->addr < VA + PAGES * PAGE)
		show((unsigned int)((req->addr - VA) >> 12));
	viommu_host_page_response(
		dev, &(struct viommu_page_response){ .size = sizeof(struct viommu_page_response),
						     .pasid = req->pasid,
						     .prgi = req->prgi,
						     .code = codes[vm->answer] });
}

static int hpasid(void *ctx, struct viommu_gp gp, struct viommu_hp *out)
{
	struct vm *vm = ctx;

	*out = vm->hp;
	return gp.v == GP && !vm->no_gp ? 0 : -ENOENT;
}

static void interrupt(void *ctx, unsigned int vector)
{
	(void)ctx;
	VIOMMU_ASSERT(vector < 9);
}

static uint64_t reg(struct vm *vm, unsigned int offset, unsigned int bytes)
{
	uint64_t v;

	must(viommu_pci_bar_read(vm->pci, 0, offset, bytes, &v));
	return v;
}

static void set_reg(struct vm *vm, unsigned int offset, uint32_t value)
{
	must(viommu_pci_bar_write(vm->pci, 0, offset, 4, value));
}

static void config(struct vm *vm, uint32_t offset, uint16_t value)
{
	if (offset)
		must(viommu_pci_config_write(vm->pci, offset, &value, 2));
}

static uint32_t capability(struct vm *vm, uint16_t id)
{
	uint32_t at = 0x100, v = 0, left;

	for (left = 64; left && at; left--) {
		must(viommu_pci_config_read(vm->pci, at, &v, 4));
		if ((v & 0xffff) == id)
			return at;
		at = v >> 20;
	}
	return 0;
}

static void queue(struct vm *vm, unsigned int wq, uint32_t mode)
{
	set_reg(vm, 0x500 + 64 * wq, 8);
	set_reg(vm, 0x504 + 64 * wq, 4);
	set_reg(vm, 0x508 + 64 * wq, mode);
	set_reg(vm, 0x50c + 64 * wq, 21 | 5 << 5);
}

/* bits of `how` leave parts of it out. */
static void configure(struct vm *vm, uint8_t how)
{
	if (!(how & 1))
		config(vm, vm->ats + 6, 0x8000);
	if (!(how & 2))
		config(vm, vm->pasid + 6, 1);
	if (!(how & 4) && vm->pri)
		config(vm, vm->pri + 4, 1);
	config(vm, 4, 6);
	if (how & 8)
		return;
	set_reg(vm, 0x400, 3);
	set_reg(vm, 0x420, 1);
	set_reg(vm, 0x80, 0x1060);
	set_reg(vm, 0x808, how & 16 ? 0 : 8 | GP << 12);
	queue(vm, 0, 0x41 | (how & 5 ? 0 : 2) | (how & 2 ? 0 : 1u << 28 | GP << 8));
	queue(vm, 1, 0x10 | (how & 5 ? 0 : 2) | 1u << 28);
	set_reg(vm, 0x554, 2 | 1 << 16);
	set_reg(vm, 0xa0, 0x80100000);
	set_reg(vm, 0xa0, 0x80600000);
	set_reg(vm, 0xa0, 0x00600001);
}

static void vm_open(struct vm *vm, uint8_t how)
{
	const struct viommu_host_config hc = {
		.size = sizeof(hc),
		.max_page_requests = 2,
		.ops = { .ctx = vm, .page_request = page_request },
	};
	const struct viommu_device_config vc = { .size = sizeof(vc),
						 .sid = 0x28,
						 .flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
							  VIOMMU_DEVICE_PRI };
	const struct viommu_dsa_config dc = {
		.size = sizeof(dc),
		.queues = 3,
		.groups = 2,
		.engines = 2,
		.max_transfer_lg2 = 21,
		.max_batch_lg2 = 5,
		.entries = 24,
		.no_pri = how >> 5 & 1,
	};
	const struct viommu_pci_vmm vmm = { .ctx = vm, .interrupt = interrupt };
	struct viommu_gpasid_bind b = { .size = sizeof(b),
					.flags = VIOMMU_GPASID_VALID,
					.addr_width = 48,
					.gp = { GP },
					.gpgd = PAGE };
	unsigned int i;

	memset(vm, 0, sizeof(*vm));
	memset(ram, 0, sizeof(ram));
	memset(ram + GUARD * PAGE, 0xa5, (RAM_PAGES - GUARD) * PAGE);
	for (i = 1; i < TABLES; i++)
		*(uint64_t *)(void *)(ram + i * PAGE) = (uint64_t)(i + 1) << 12 | ENTRY;
	for (i = 0; i < PAGES; i++)
		show(i);
	must(viommu_mem_new(&vm->mem));
	must(viommu_mem_add_ptr(vm->mem, 0, sizeof(ram), ram, 0));
	must(viommu_host_new(&hc, &vm->host));
	must(viommu_domain_new(vm->host, vm->mem, NULL, &vm->dom));
	must(viommu_device_new(vm->host, &vc, &vm->dev));
	must(viommu_dma_new(vm->host, &vm->dma));
	must(viommu_pasid_alloc(viommu_domain_owner(vm->dom), 9, 9, &vm->hp));
	b.hp = vm->hp;
	must(viommu_host_bind_gpasid(vm->dev, vm->dom, &b));
	must(viommu_dsa_new(&dc, &vm->dsa));
	vm->pci = viommu_dsa_pci(vm->dsa);
	viommu_pci_set_vmm(vm->pci, &vmm);
	viommu_pci_attach(vm->pci, vm->dev, hpasid, vm);
	vm->ats = capability(vm, 0xf);
	vm->pasid = capability(vm, 0x1b);
	vm->pri = capability(vm, 0x13);
	configure(vm, how);
}

static void vm_close(struct vm *vm)
{
	viommu_pci_attach(vm->pci, NULL, NULL, NULL);
	viommu_dsa_free(vm->dsa);
	viommu_dma_free(vm->dma);
	viommu_host_free(vm->host);
	viommu_mem_free(vm->mem);
}

static void forget(struct vm *vm)
{
	const struct viommu_invalidate inv = { .size = sizeof(inv),
					       .granularity = VIOMMU_INVALIDATE_GLOBAL };

	must(viommu_host_invalidate(vm->host, vm->dom, &inv));
}

/* Addresses are 16 bits, in units of 2 from VA on: most of them are mapped. The last is 0. */
static uint64_t address(struct fuzz_input *in)
{
	uint16_t v = fuzz_u16(in);

	return v == 0xffff ? 0 : VA + 2ull * v;
}

#define DESC_RAW   0x08u /* 64 bytes follow */
#define DESC_ADDR5 0x40u /* word 5, 6 are addresses */
#define DESC_ADDR6 0x80u

static void descriptor(struct fuzz_input *in, uint8_t how, uint64_t *w)
{
	uint32_t flags;

	memset(w, 0, 64);
	if (how & DESC_RAW) {
		fuzz_bytes(in, w, 64);
		return;
	}
	w[0] = (uint64_t)fuzz_u8(in) << 56;
	flags = fuzz_u32(in);
	w[0] |= (uint64_t)(flags & 0xffffff) << 32 | (flags >> 24 & 1) << 31 | GP;
	w[1] = VA + 32ull * fuzz_u16(in) + (flags >> 25 & 1);
	w[2] = address(in);
	w[3] = address(in);
	w[4] = fuzz_u32(in);
	w[4] |= (uint64_t)fuzz_u8(in) << 32;
	if (how & DESC_ADDR5)
		w[5] = address(in);
	else
		w[5] = fuzz_u64(in);
	if (how & DESC_ADDR6)
		w[6] = address(in);
	else
		w[6] = fuzz_u64(in);
	w[7] = fuzz_u64(in);
}

static void submit(struct vm *vm, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t portal = (uint64_t)(how >> 4 & 3) << 14 | (uint64_t)(how >> 1 & 3) << 12, w[8];
	unsigned int i;
	int ret;

	descriptor(in, how, w);
	if (how & 1) {
		ret = viommu_dsa_enqueue(vm->dsa, portal, w);
		VIOMMU_ASSERT(ret == 0 || ret == -EAGAIN || (ret == -EINVAL && portal >= 0xc000));
		return;
	}
	for (i = 0; i < 8; i++)
		must(viommu_pci_bar_write(vm->pci, 2, portal + 8 * i, 8, w[i]));
}

/* A descriptor into the process's memory, at a multiple of 64. */
static void member(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), index = fuzz_u8(in);
	uint64_t w[8];

	descriptor(in, how, w);
	memcpy(ram + FIRST * PAGE + 64u * index, w, 64);
}

static void data(struct fuzz_input *in)
{
	uint32_t at = fuzz_u16(in) * 2u, n = fuzz_u8(in);

	if (at > PAGES * PAGE - 256)
		at = 0;
	fuzz_bytes(in, ram + FIRST * PAGE + at, n);
}

static void access_bar(struct vm *vm, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	unsigned int bar = how & 4 ? 2 : 0, bytes = 1u << (how & 3);
	uint64_t offset = fuzz_u16(in) & ~(bytes - 1ull), v;

	if (how & 0x80)
		offset &= 0xfff;
	if (how & 8)
		must(viommu_pci_bar_read(vm->pci, bar, offset, bytes, &v));
	else
		must(viommu_pci_bar_write(vm->pci, bar, offset, bytes, fuzz_u64(in)));
}

static void change(struct vm *vm, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), arg = fuzz_u8(in);
	const struct viommu_bind bind = { .size = sizeof(bind),
					  .kind = VIOMMU_BIND_NESTED,
					  .nr = 1,
					  .stage = { { .format = VIOMMU_FORMAT_VTD_FS,
						       .levels = 4,
						       .flags = VIOMMU_STAGE_SNOOP,
						       .root = PAGE } } };

	switch (what % 12) {
	case 0:
		config(vm, 4, arg);
		break;
	case 1:
		config(vm, vm->ats + 6, (uint16_t)(arg << 8));
		break;
	case 2:
		config(vm, vm->pasid + 6, arg);
		break;
	case 3:
		if (vm->pri)
			config(vm, vm->pri + 4, arg);
		break;
	case 4:
		*leaf(arg % PAGES) = 0;
		forget(vm);
		break;
	case 5:
		*leaf(arg % PAGES) &= ~2ull;
		forget(vm);
		break;
	case 6:
		vm->answer = (enum answer)(arg % 4);
		break;
	case 7:
		viommu_pci_reset(vm->pci);
		configure(vm, arg);
		break;
	case 8:
		vm->no_gp = arg & 1;
		break;
	case 9:
		viommu_pci_attach(vm->pci, arg & 1 ? NULL : vm->dev, hpasid, vm);
		break;
	case 10:
		must(viommu_device_attach(vm->dev, vm->dom, &bind));
		break;
	default:
		configure(vm, arg);
		break;
	}
}

static void look(struct vm *vm)
{
	struct viommu_dsa_stats s = { .size = sizeof(s) };
	unsigned int i;

	VIOMMU_ASSERT(!(reg(vm, 0x90, 4) & ~3ull));
	for (i = 0; i < 3; i++) {
		uint32_t state = (uint32_t)reg(vm, 0x518 + 64 * i, 4);

		VIOMMU_ASSERT(state >> 30 != 3);
		VIOMMU_ASSERT((state & 0xffff) <= reg(vm, 0x500 + 64 * i, 4));
	}
	viommu_dsa_stats(vm->dsa, &s);
	VIOMMU_ASSERT(s.errors <= s.descriptors && s.batches <= s.descriptors);
	for (i = GUARD * PAGE; i < sizeof(ram); i++)
		VIOMMU_ASSERT(ram[i] == 0xa5);
}

static void run(struct vm *vm)
{
	unsigned int left = 200;

	while (viommu_pci_run(vm->pci, vm->dma))
		VIOMMU_ASSERT(left--);
	/* Behind a closed gate (bus mastering off) a drain waits for what will be dropped. */
	if (viommu_pci_enabled(vm->pci) & VIOMMU_PCI_BUS_MASTER)
		VIOMMU_ASSERT(!(reg(vm, 0xa8, 4) >> 31));
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
	struct fuzz_input in = { bytes, size };
	unsigned int left = MAX_ACTIONS;
	struct vm vm;

	vm_open(&vm, fuzz_u8(&in));
	while (!fuzz_done(&in) && left--) {
		switch (fuzz_u8(&in) % 8) {
		case 0:
			access_bar(&vm, &in);
			break;
		case 1:
			submit(&vm, &in);
			break;
		case 2:
			member(&in);
			break;
		case 3:
			data(&in);
			break;
		case 4:
			set_reg(&vm, 0xa0, (uint32_t)fuzz_u8(&in) << 20 | fuzz_u16(&in));
			break;
		case 5:
			change(&vm, &in);
			break;
		case 6:
			viommu_pci_run(vm.pci, vm.dma);
			break;
		default:
			run(&vm);
			break;
		}
	}
	run(&vm);
	look(&vm);
	vm_close(&vm);
}

FUZZ_TARGET
