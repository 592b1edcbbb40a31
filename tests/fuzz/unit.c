/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a guest that writes any register, any descriptor and any table, and devices that do
 * DMA and send interrupt messages meanwhile.
 *
 * Input: one byte of configuration (profile in 1:0, caching mode 2, host PASIDs 3, bursts of one 4,
 * tables and queues set up and translation on 5, a second stage's width in legacy mode 6, interrupt
 * remapping 7, with 5 on as well), then a row of operations, one byte each and its operands (see
 * enum op), until the input ends or MAX_OPS.
 *
 * After each operation: one-shots are done, the queue's head lies in its ring, PPF is the OR of the
 * records, read-only registers are what they were, shadows are in order and are what the host says
 * is bound. A message that passes is what it was; one that is remapped says the same twice.
 */
#include "fuzz/fuzz.h"

#include <viommu/viommu.h>

#include "base/assert.h"
#include "base/bits.h"

#define MAX_OPS 400u
#define PAGES   40u
#define DEVICES 2u

static uint64_t words[PAGES * 512] __attribute__((aligned(4096)));

enum op {
	OP_WRITE32, /* offset (2), value (4) */
	OP_WRITE64, /* offset (2), value (8) */
	OP_READ,    /* offset (2) */
	OP_STORE,   /* word (2), value (8) */
	OP_SUBMIT,  /* four words (8 each) at the tail, tail told */
	OP_RUN,     /* */
	OP_DMA,     /* flags (1), PASID (2), address (8) */
	OP_ASK,     /* flags (1), PASID (2), group (2), address (8) */
	OP_RESET,   /* 1 bit: warm */
	OP_DEVICE,  /* 1 bit: which goes and comes */
	OP_COMMAND, /* GCMD bits 31:24 (1) */
	OP_ENTRY,   /* word of the PASID table (1), value (8): bits to flip */
	OP_CONVERT, /* PASID (4) */
	OP_ATS,     /* PASID (2), address (8) */
	OP_FLUSH,   /* type and granularity (1), PASID (1): a descriptor that is well formed */
	OP_REMAP,   /* requester id (2), bits 19:0 of the address (4), data (4) */
	OP_IRTE,    /* index (1), both words (8 each) */
	OPS,
};

/* Where things stand in the VM's memory, by page. */
enum page {
	P_ROOT = 1,
	P_CONTEXT,
	P_DIRECTORY,
	P_TABLE,
	P_FS,     /* 4 pages, top first */
	P_SS = 9, /* 4 pages */
	P_IQ = 13,
	P_IQ_2,
	P_PRQ,
	P_STATUS,
	P_DATA,
	P_LEGACY_CONTEXT = 20,
	P_IRTES = 24, /* 256 entries */
};

#define GPA(page) ((uint64_t)(page) << 12)
#define VA        UINT64_C(0x40000000)
#define SID(n)    (uint16_t)(8 + (n))

struct vm {
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev[DEVICES];
	struct viommu_dma *dma;
	struct viommu_guest *guest;
	uint64_t cap, ecap;
	uint32_t vcrsp;
};

static void must(int ret)
{
	VIOMMU_ASSERT(ret == 0);
}

static int on_miss(void *ctx, struct viommu_device *dev, uint32_t pasid, struct viommu_fault *fault)
{
	struct vm *vm = ctx;

	return viommu_guest_miss(vm->guest, dev, pasid, fault);
}

static void on_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct vm *vm = ctx;

	viommu_guest_fault(vm->guest, dev, fault);
}

static void on_page_request(void *ctx, struct viommu_device *dev,
			    const struct viommu_page_request *req)
{
	struct vm *vm = ctx;

	viommu_guest_page_request(vm->guest, dev, req);
}

/* ---- The guest's memory ---- */

static uint64_t *at(unsigned int page, unsigned int word)
{
	return &words[page * 512 + word];
}

static void tables_make(void)
{
	unsigned int level, n;

	memset(words, 0, sizeof(words));
	*at(P_ROOT, 0) = GPA(P_CONTEXT) | 1;
	for (n = 0; n < DEVICES; n++) {
		uint64_t *ce = at(P_CONTEXT, SID(n) * 4);

		ce[0] = GPA(P_DIRECTORY) | 0x1d; /* P, DTE, PASIDE, PRE */
		at(P_LEGACY_CONTEXT, SID(n) * 2)[0] = GPA(P_SS) | 1;
		at(P_LEGACY_CONTEXT, SID(n) * 2)[1] = 2 | 5 << 8;
	}
	*at(P_DIRECTORY, 0) = GPA(P_TABLE) | 1;
	for (level = 0; level < 3; level++) {
		unsigned int index = level == 1 ? VA >> 30 & 511 : 0;

		*at(P_FS + level, index) = GPA(P_FS + level + 1) | 7;
		*at(P_SS + level, index) = GPA(P_SS + level + 1) | 3;
	}
	for (n = 0; n < 4; n++) {
		*at(P_FS + 3, n) = n == 3 ? 0 : GPA(P_DATA + n % 2) | 7;
		*at(P_SS + 3, n) = n == 3 ? 0 : GPA(P_DATA + n % 2) | 3;
	}
	/* PASIDs 0 and 1 first stage, 2 second stage, 3 pass-through, 4 nested. */
	for (n = 0; n < 5; n++) {
		static const uint64_t kind[] = { 1, 1, 2, 4, 3 };
		uint64_t *pe = at(P_TABLE, n * 8);

		pe[0] = kind[n] << 6 | 2 << 2 | 1;
		pe[1] = n | 1 << 23;
		if (kind[n] & 2)
			pe[0] |= GPA(P_SS);
		if (kind[n] & 1)
			pe[2] = GPA(P_FS);
	}
}

static void write64(struct vm *vm, unsigned int offset, uint64_t v)
{
	viommu_guest_write(vm->guest, offset, 8, v);
}

static void start(struct vm *vm, bool legacy)
{
	write64(vm, VTD_REG_IQA, GPA(P_IQ) | VTD_MASK(VTD_IQA_DW) | 1);
	write64(vm, VTD_REG_PQA, GPA(P_PRQ));
	if (legacy)
		*at(P_ROOT, 0) = GPA(P_LEGACY_CONTEXT) | 1;
	write64(vm, VTD_REG_RTADDR, GPA(P_ROOT) | (legacy ? 0 : 1 << 10));
	viommu_guest_write(vm->guest, VTD_REG_GCMD, 4, 0x44000000);
	viommu_guest_write(vm->guest, VTD_REG_GCMD, 4, 0x84000000);
	if (vm->ecap & VTD_MASK(VTD_ECAP_IR)) {
		write64(vm, VTD_REG_IRTA, GPA(P_IRTES) | 7);
		viommu_guest_write(vm->guest, VTD_REG_GCMD, 4, 0x85000000);
		viommu_guest_write(vm->guest, VTD_REG_GCMD, 4, 0x86000000);
	}
	viommu_guest_write(vm->guest, VTD_REG_FECTL, 4, 0);
	viommu_guest_write(vm->guest, VTD_REG_PECTL, 4, 0);
}

/* ---- What always holds ---- */

static void check(struct vm *vm)
{
	uint32_t gsts = (uint32_t)viommu_guest_read(vm->guest, VTD_REG_GSTS, 4);
	uint32_t fsts = (uint32_t)viommu_guest_read(vm->guest, VTD_REG_FSTS, 4);
	unsigned int fro = 16 * (unsigned int)VTD_FIELD(vm->cap, VTD_CAP_FRO), n, i;
	struct viommu_guest_shadow sh[16];
	bool filled = false;

	VIOMMU_ASSERT(!(gsts & VTD_MASK(VTD_GSTS_WBFS)));
	if (!(vm->ecap & VTD_MASK(VTD_ECAP_IR)))
		VIOMMU_ASSERT(!(gsts & (VTD_MASK(VTD_GSTS_IRES) | VTD_MASK(VTD_GSTS_CFIS))));
	VIOMMU_ASSERT(viommu_guest_read(vm->guest, VTD_REG_IQH, 8) < 4096u << 7);
	for (n = 0; n <= VTD_FIELD(vm->cap, VTD_CAP_NFR); n++)
		filled |= viommu_guest_read(vm->guest, fro + 16 * n + 12, 4) >> 31;
	VIOMMU_ASSERT(!!(fsts & VTD_MASK(VTD_FSTS_PPF)) == filled);
	VIOMMU_ASSERT(viommu_guest_read(vm->guest, VTD_REG_CAP, 8) == vm->cap);
	VIOMMU_ASSERT(viommu_guest_read(vm->guest, VTD_REG_ECAP, 8) == vm->ecap);
	/* VTD-VCMD-04: an answer is one. */
	if (vm->ecap & VTD_MASK(VTD_ECAP_VCS))
		VIOMMU_ASSERT(!(viommu_guest_read(vm->guest, vm->vcrsp, 8) & 1));

	n = viommu_guest_shadows(vm->guest, 0, (struct viommu_gp){ VIOMMU_NO_PASID }, sh, 16);
	for (i = 0; i < n; i++) {
		struct viommu_device *dev = vm->dev[sh[i].sid - SID(0)];
		uint64_t pe[8];

		must(viommu_host_pasid_entry(dev, sh[i].hp, pe));
		VIOMMU_ASSERT((sh[i].gp.v == VIOMMU_NO_PASID) == !sh[i].hp.v);
		if (i && sh[i].sid == sh[i - 1].sid)
			VIOMMU_ASSERT(sh[i].gp.v + 1 > sh[i - 1].gp.v + 1);
		else if (i)
			VIOMMU_ASSERT(sh[i].sid > sh[i - 1].sid);
		/* With translation off there is nothing but the VM's memory. */
		if (!(gsts & VTD_MASK(VTD_GSTS_TES)))
			VIOMMU_ASSERT(sh[i].pgtt == 0);
	}
}

/* ---- Operations ---- */

static uint32_t host_pasid(struct vm *vm, uint32_t gp)
{
	struct viommu_hp hp;

	if (gp >= 0x8000)
		return VIOMMU_NO_PASID;
	if (gp & 0x4000 || viommu_guest_pasid_to_host(vm->guest, (struct viommu_gp){ gp }, &hp))
		return gp;
	return hp.v;
}

static uint64_t dma_address(struct fuzz_input *in)
{
	uint64_t v = fuzz_u64(in);

	return v < 8 ? VA + v * 4096 : v;
}

static void op_submit(struct vm *vm, struct fuzz_input *in)
{
	uint64_t tail = viommu_guest_read(vm->guest, VTD_REG_IQT, 8) & 0x1fe0;
	unsigned int i;

	for (i = 0; i < 4; i++)
		*at(P_IQ, (unsigned int)tail / 8 + i) = fuzz_u64(in);
	viommu_guest_write(vm->guest, VTD_REG_IQT, 4, (tail + 32) & 0x1fe0);
}

static void op_flush(struct vm *vm, struct fuzz_input *in)
{
	uint64_t tail = viommu_guest_read(vm->guest, VTD_REG_IQT, 8) & 0x1fe0, d[4] = { 0 };
	uint8_t kind = fuzz_u8(in), pasid = fuzz_u8(in);

	d[0] = kind & 0x3f; /* type and granularity stand at the same place */
	switch (kind & 0xf) {
	case VTD_IQ_TYPE_CC:
	case VTD_IQ_TYPE_DTLB:
		d[0] |= (uint64_t)SID(pasid % DEVICES) << 32;
		break;
	case VTD_IQ_TYPE_PIOTLB:
	case VTD_IQ_TYPE_PC:
		d[0] |= (uint64_t)pasid << 32 | (uint64_t)(pasid % 8) << 16;
		break;
	case VTD_IQ_TYPE_PDTLB:
	case VTD_IQ_TYPE_PGRP:
		d[0] |= (uint64_t)(pasid & 7) << 32 | SID(0) << 16;
		d[1] = kind & 0x40 ? 1 : 0;
		break;
	case VTD_IQ_TYPE_WAIT:
		d[1] = GPA(P_STATUS);
		break;
	default:
		d[0] |= (uint64_t)(pasid % 8) << 16;
		break;
	}
	if (kind & 0x80)
		d[1] |= (VA | 0xfff000) & ~UINT64_C(0xfff);
	memcpy(at(P_IQ, (unsigned int)tail / 8), d, sizeof(d));
	viommu_guest_write(vm->guest, VTD_REG_IQT, 4, (tail + 32) & 0x1fe0);
}

static void op_dma(struct vm *vm, struct fuzz_input *in)
{
	uint8_t flags = fuzz_u8(in);
	uint32_t pasid = host_pasid(vm, fuzz_u16(in)), how = VIOMMU_DMA_NO_WAIT;
	uint64_t addr = dma_address(in), v = 1;
	struct viommu_device *dev = vm->dev[flags & 1];

	if (flags & 2)
		how |= VIOMMU_DMA_NO_PRI;
	if (flags & 4 && pasid != VIOMMU_NO_PASID)
		how |= VIOMMU_PRIV;
	if (flags & 8)
		how |= VIOMMU_DMA_ATS;
	if (flags & 16)
		how |= VIOMMU_EXEC;
	if (flags & 32)
		viommu_dma_write(vm->dma, dev, pasid, addr, &v, sizeof(v), how, NULL);
	else
		viommu_dma_read(vm->dma, dev, pasid, addr, &v, sizeof(v), how, NULL);
}

static void op_ask(struct vm *vm, struct fuzz_input *in)
{
	uint8_t flags = fuzz_u8(in);
	uint32_t pasid = host_pasid(vm, fuzz_u16(in));
	struct viommu_page_request req = {
		.flags = (flags & 2 ? VIOMMU_PAGE_REQUEST_LAST : 0) |
			 (pasid == VIOMMU_NO_PASID ? 0 : VIOMMU_PAGE_REQUEST_PASID),
		.pasid = pasid,
		.access = flags >> 2 & (VIOMMU_READ | VIOMMU_WRITE),
	};
	unsigned int n;

	req.prgi = fuzz_u16(in) & 511;
	req.addr = dma_address(in) & ~UINT64_C(4095);
	for (n = flags & 0x80 ? 130 : 1; n; n--)
		viommu_guest_page_request(vm->guest, vm->dev[flags & 1], &req);
}

static void op_device(struct vm *vm, struct fuzz_input *in)
{
	unsigned int n = fuzz_u8(in) & 1;

	must(viommu_guest_remove_device(vm->guest, vm->dev[n]));
	must(viommu_guest_add_device(vm->guest, vm->dev[n], SID(n)));
}

static void op_convert(struct vm *vm, struct fuzz_input *in)
{
	struct viommu_gp gp = { fuzz_u32(in) }, back;
	struct viommu_hp hp;

	if (viommu_guest_pasid_to_host(vm->guest, gp, &hp)) {
		VIOMMU_ASSERT(hp.v == VIOMMU_NO_PASID);
		return;
	}
	must(viommu_guest_pasid_to_guest(vm->guest, hp, &back));
	VIOMMU_ASSERT(back.v == gp.v);
}

static void op_ats(struct vm *vm, struct fuzz_input *in)
{
	uint32_t pasid = host_pasid(vm, fuzz_u16(in));
	struct viommu_ats_result out;
	struct viommu_fault fault;

	viommu_ats_translate(vm->dma, vm->dev[0], pasid, dma_address(in), 0, &out, &fault);
}

static void op_remap(struct vm *vm, struct fuzz_input *in)
{
	uint32_t gsts = (uint32_t)viommu_guest_read(vm->guest, VTD_REG_GSTS, 4);
	uint16_t sid = fuzz_u16(in);
	uint64_t addr = VTD_WINDOW_BASE | (fuzz_u32(in) & 0xfffff);
	uint32_t data = fuzz_u32(in);
	struct viommu_guest_interrupt out;

	if (viommu_guest_remap(vm->guest, sid, addr, data, &out)) {
		VIOMMU_ASSERT(gsts & VTD_MASK(VTD_GSTS_IRES));
		VIOMMU_ASSERT(!out.addr && !out.data);
		return;
	}
	VIOMMU_ASSERT(out.vector == (out.data & 0xff) && out.delivery_mode == (out.data >> 8 & 7));
	VIOMMU_ASSERT(out.trigger_mode == (out.data >> 15 & 1));
	VIOMMU_ASSERT(out.dest == ((out.addr >> 12 & 0xff) | out.addr >> 40 << 8));
	if (out.remapped)
		VIOMMU_ASSERT(gsts & VTD_MASK(VTD_GSTS_IRES));
	else
		VIOMMU_ASSERT(out.addr == addr && out.data == data);
}

static void operate(struct vm *vm, struct fuzz_input *in)
{
	uint16_t offset;
	uint32_t bits;

	switch (fuzz_u8(in) % OPS) {
	case OP_WRITE32:
		offset = fuzz_u16(in);
		viommu_guest_write(vm->guest, offset, 4, fuzz_u32(in));
		break;
	case OP_WRITE64:
		offset = fuzz_u16(in);
		viommu_guest_write(vm->guest, offset, 8, fuzz_u64(in));
		break;
	case OP_READ:
		offset = fuzz_u16(in);
		viommu_guest_read(vm->guest, offset, 4);
		viommu_guest_read(vm->guest, offset, 8);
		break;
	case OP_STORE:
		offset = fuzz_u16(in);
		words[offset % ARRAY_SIZE(words)] = fuzz_u64(in);
		break;
	case OP_SUBMIT:
		op_submit(vm, in);
		break;
	case OP_RUN:
		viommu_guest_run(vm->guest);
		break;
	case OP_DMA:
		op_dma(vm, in);
		break;
	case OP_ASK:
		op_ask(vm, in);
		break;
	case OP_RESET:
		if (fuzz_u8(in) & 1)
			viommu_guest_warm_reset(vm->guest);
		else
			viommu_guest_reset(vm->guest);
		break;
	case OP_DEVICE:
		op_device(vm, in);
		break;
	case OP_COMMAND:
		bits = (uint32_t)fuzz_u8(in) << 24;
		viommu_guest_write(vm->guest, VTD_REG_GCMD, 4, bits);
		VIOMMU_ASSERT(!((viommu_guest_read(vm->guest, VTD_REG_GSTS, 4) ^ bits) &
				VTD_MASK(VTD_GSTS_TES)));
		break;
	case OP_ENTRY:
		offset = fuzz_u8(in);
		*at(P_TABLE, offset) ^= fuzz_u64(in);
		break;
	case OP_CONVERT:
		op_convert(vm, in);
		break;
	case OP_ATS:
		op_ats(vm, in);
		break;
	case OP_REMAP:
		op_remap(vm, in);
		break;
	case OP_IRTE:
		offset = fuzz_u8(in);
		at(P_IRTES, 2u * offset)[0] = fuzz_u64(in);
		at(P_IRTES, 2u * offset)[1] = fuzz_u64(in);
		break;
	default:
		op_flush(vm, in);
		break;
	}
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t config = fuzz_u8(&in);
	/* The legacy profile has no PASIDs, and another use for the bit. */
	bool vcmd = config & 64 && (config & 3) != VIOMMU_PROFILE_LEGACY;
	struct vm vm = { 0 };
	struct viommu_host_config hc = { .size = sizeof(hc),
					 .max_page_requests = 16,
					 .pasid_min = 1,
					 .pasid_max = VIOMMU_PASID_MAX,
					 .ops = { .ctx = &vm,
						  .miss = on_miss,
						  .fault = on_fault,
						  .page_request = on_page_request } };
	struct viommu_guest_config gc = {
		.size = sizeof(gc),
		.profile = config & 3,
		.flags = (config & 4 ? VIOMMU_GUEST_CM : 0) |
			 (config & 128 ? VIOMMU_GUEST_INTREMAP | VIOMMU_GUEST_X2APIC : 0) |
			 (vcmd ? VIOMMU_GUEST_VCMD : 0) |
			 (!(config & 8) ? 0
			  : vcmd        ? VIOMMU_GUEST_VCMD_OLD
					: VIOMMU_GUEST_HOST_PASIDS),
		.burst = config & 16 ? 1 : 0,
		.max_binds = 6,
	};
	unsigned int n;

	if (gc.profile > VIOMMU_PROFILE_LEGACY)
		gc.profile = VIOMMU_PROFILE_HOST;
	if (vcmd)
		hc.pasid_max = hc.pasid_min + 4; /* so few that they run out */
	tables_make();
	must(viommu_mem_new(&vm.mem));
	must(viommu_mem_add_ptr(vm.mem, 0, sizeof(words), words, 0));
	must(viommu_host_new(&hc, &vm.host));
	must(viommu_domain_new(vm.host, vm.mem, NULL, &vm.dom));
	must(viommu_guest_new(&gc, vm.dom, vm.mem, &vm.guest));
	must(viommu_dma_new(vm.host, &vm.dma));
	for (n = 0; n < DEVICES; n++) {
		const struct viommu_device_config dc = { .size = sizeof(dc),
							 .sid = SID(n),
							 .flags = VIOMMU_DEVICE_PASID |
								  VIOMMU_DEVICE_ATS |
								  VIOMMU_DEVICE_PRI };

		must(viommu_device_new(vm.host, &dc, &vm.dev[n]));
		must(viommu_guest_add_device(vm.guest, vm.dev[n], SID(n)));
	}
	vm.cap = viommu_guest_read(vm.guest, VTD_REG_CAP, 8);
	vm.ecap = viommu_guest_read(vm.guest, VTD_REG_ECAP, 8);
	vm.vcrsp = gc.flags & VIOMMU_GUEST_VCMD_OLD ? VTD_REG_OLD_VCRSP : VTD_REG_VCRSP;
	if (config & 32)
		start(&vm, config & 64 && gc.profile == VIOMMU_PROFILE_LEGACY);
	check(&vm);
	for (n = 0; n < MAX_OPS && !fuzz_done(&in); n++) {
		operate(&vm, &in);
		check(&vm);
	}
	viommu_guest_free(vm.guest);
	viommu_dma_free(vm.dma);
	viommu_host_free(vm.host);
	viommu_mem_free(vm.mem);
}

FUZZ_TARGET
