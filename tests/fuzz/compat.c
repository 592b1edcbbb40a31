/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the structures of the historical bind interface, in both forms, as bytes of any
 * length, on a small host.
 *
 * An input is a row of calls: one byte says which call, form, domain and device, one how many bytes
 * are handed over, then the bytes, xored into a structure that would pass (or into zeroes). Each
 * result has to be one that the header names for that call, and a refused call must leave
 * everything as it was: entries, PASID maps, page requests.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include <viommu/viommu.h>

#include "base/assert.h"

#define MAX_CALLS 16
#define MAX_BYTES 96
#define DEVICES   3u
#define PASIDS    6u
#define RAM       (UINT64_C(64) << 10)

static uint8_t ram[RAM] __attribute__((aligned(4096)));

struct vm {
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom[2];
	struct viommu_device *dev[DEVICES]; /* with PRI, with PASIDs, without */
	struct viommu_dma *dma;
	struct viommu_page_request req;
};

/* All that a call may change. */
struct snapshot {
	uint64_t pe[DEVICES][PASIDS][8];
	uint32_t gp[2][PASIDS];
	uint32_t hp[2][PASIDS];
	unsigned int requests[DEVICES];
	uint32_t count[2];
};

static void must(int ret)
{
	VIOMMU_ASSERT(ret == 0);
}

static void take_down(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	struct viommu_gpasid_fault a, b;
	struct vm *vm = ctx;

	(void)dev;
	vm->req = *req;
	viommu_gpasid_from_page_request(req, &a);
	viommu_gpasid_from_page_request_v55(req, &b);
	VIOMMU_ASSERT(a.type == VIOMMU_GPASID_FAULT_PAGE && b.type == a.type);
	VIOMMU_ASSERT((a.u.prm.flags & 7) == b.u.prm.flags && a.u.prm.addr == req->addr);
}

static void report(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct viommu_gpasid_fault a, b;

	(void)ctx, (void)dev;
	viommu_gpasid_from_fault(fault, &a);
	viommu_gpasid_from_fault_v55(fault, &b);
	VIOMMU_ASSERT(!memcmp(&a, &b, sizeof(a)) && a.u.event.reason <= 8 && a.u.event.flags <= 7);
}

static void vm_open(struct vm *vm)
{
	struct viommu_host_config hc = {
		.size = sizeof(hc),
		.max_page_requests = 3,
		.ops = { .ctx = vm, .page_request = take_down, .fault = report },
	};
	struct viommu_device_config vc = { .size = sizeof(vc) };
	static const uint32_t flags[DEVICES] = {
		VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI, VIOMMU_DEVICE_PASID, 0
	};
	unsigned int i;

	memset(vm, 0, sizeof(*vm));
	memset(ram, 0, sizeof(ram));
	must(viommu_mem_new(&vm->mem));
	must(viommu_mem_add_ptr(vm->mem, 0, RAM, ram, 0));
	must(viommu_host_new(&hc, &vm->host));
	for (i = 0; i < 2; i++)
		must(viommu_domain_new(vm->host, vm->mem, NULL, &vm->dom[i]));
	for (i = 0; i < DEVICES; i++) {
		vc.sid = (uint16_t)(0x10 + i);
		vc.flags = flags[i];
		must(viommu_device_new(vm->host, &vc, &vm->dev[i]));
	}
	must(viommu_dma_new(vm->host, &vm->dma));
	/* 1 to 3 are the first domain's, 4 the second's, 5 nobody's. */
	for (i = 1; i <= 4; i++)
		must(viommu_pasid_reserve(viommu_domain_owner(vm->dom[i == 4]),
					  (struct viommu_hp){ i }));
}

static void vm_close(struct vm *vm)
{
	viommu_dma_free(vm->dma);
	viommu_host_free(vm->host);
	viommu_mem_free(vm->mem);
}

static void look(struct vm *vm, struct snapshot *s)
{
	unsigned int d, i;

	memset(s, 0, sizeof(*s));
	for (d = 0; d < DEVICES; d++) {
		for (i = 0; i < PASIDS; i++)
			viommu_host_pasid_entry(vm->dev[d], (struct viommu_hp){ i }, s->pe[d][i]);
		s->requests[d] = viommu_device_open_requests(vm->dev[d]);
	}
	for (d = 0; d < 2; d++) {
		struct viommu_owner *owner = viommu_domain_owner(vm->dom[d]);

		for (i = 0; i < PASIDS; i++) {
			struct viommu_gp gp;
			struct viommu_hp hp;

			viommu_pasid_to_guest(owner, (struct viommu_hp){ i }, &gp);
			viommu_pasid_to_host(owner, (struct viommu_gp){ i }, &hp);
			s->gp[d][i] = gp.v;
			s->hp[d][i] = hp.v;
		}
		s->count[d] = viommu_owner_count(owner);
	}
}

static bool one_of(int ret, const int *list)
{
	for (; *list; list++) {
		if (ret == -*list)
			return true;
	}
	return ret == 0;
}

typedef int call_fn(struct viommu_domain *dom, struct viommu_device *dev, const void *data,
		    size_t bytes);

enum call {
	BIND,
	UNBIND,
	INVALIDATE,
	RESPONSE,
	ASK,
	UNPLUG,
	FAULT,
	CALLS,
};

static const struct {
	call_fn *call[2];
	int errnos[8]; /* that it may return */
} calls[] = {
	[BIND] = { { viommu_gpasid_bind, viommu_gpasid_bind_v55 },
		   { EFAULT, EINVAL, ENOTSUP, ENODEV, ENOENT, EPERM, EBUSY } },
	[UNBIND] = { { viommu_gpasid_unbind, viommu_gpasid_unbind_v55 },
		     { EFAULT, EINVAL, EPERM } },
	[INVALIDATE] = { { viommu_gpasid_invalidate, viommu_gpasid_invalidate_v55 },
			 { EFAULT, EINVAL, ENODEV } },
	[RESPONSE] = { { viommu_gpasid_page_response, viommu_gpasid_page_response_v55 },
		       { EFAULT, EINVAL, ENODEV } },
};

/* A structure that passes, if the PASID fits and is free. */
static void template(const struct vm *vm, enum call call, int v55, uint8_t *to)
{
	static const struct viommu_gpasid_bind_data bind = { .argsz = 72,
							     .version = 1,
							     .format = 1,
							     .addr_width = 48,
							     .gpgd = 0x1000,
							     .hpasid = 1 };
	static const struct viommu_gpasid_bind_data_v55 bind55 = {
		.version = 1, .format = 1, .addr_width = 48, .gpgd = 0x1000, .hpasid = 1
	};
	static const struct viommu_gpasid_inv_info inv = { .argsz = 56,
							   .version = 1,
							   .cache = 1,
							   .granularity = 2,
							   .granu.addr = { 1, 0, 1, 0, 4096, 1 } };
	static const struct viommu_gpasid_inv_info_v55 inv55 = {
		.version = 1, .cache = 1, .granularity = 2, .granu.addr = { 1, 0, 1, 0, 4096, 1 }
	};
	const struct viommu_gpasid_response resp = { 24, 1, 1, vm->req.pasid, vm->req.prgi, 0 };
	const struct viommu_gpasid_response_v55 resp55 = { 1, 1, vm->req.pasid, vm->req.prgi, 0 };

	switch (call) {
	case BIND:
	case UNBIND:
		memcpy(to, v55 ? (const void *)&bind55 : &bind, sizeof(bind));
		break;
	case INVALIDATE:
		memcpy(to, v55 ? (const void *)&inv55 : &inv, v55 ? sizeof(inv55) : sizeof(inv));
		break;
	case RESPONSE:
		memcpy(to, v55 ? (const void *)&resp55 : &resp,
		       v55 ? sizeof(resp55) : sizeof(resp));
		break;
	default:
		break;
	}
}

static void check_success(enum call call, const struct snapshot *was, const struct snapshot *is,
			  unsigned int dev)
{
	unsigned int i, before = 0, after = 0;

	for (i = 1; i < PASIDS; i++) {
		before += was->pe[dev][i][0] & 1;
		after += is->pe[dev][i][0] & 1;
	}
	switch (call) {
	case BIND:
		VIOMMU_ASSERT(after == before + 1 && is->requests[dev] == was->requests[dev]);
		break;
	case UNBIND:
		VIOMMU_ASSERT(after == before || after + 1 == before);
		break;
	case RESPONSE:
		VIOMMU_ASSERT(after == before && is->requests[dev] + 1 == was->requests[dev]);
		break;
	default:
		VIOMMU_ASSERT(!memcmp(was, is, sizeof(*was)));
	}
}

static void call_one(struct vm *vm, struct fuzz_input *in, uint8_t op, enum call call)
{
	uint8_t form = op >> 3 & 1, dev = (op >> 4 & 3) % DEVICES, dom = op >> 6 & 1;
	uint8_t buf[MAX_BYTES] = { 0 }, mask[MAX_BYTES];
	size_t n = fuzz_u8(in) % (MAX_BYTES + 1), i;
	struct snapshot was, is;
	void *exact;
	int ret;

	/* The top bit asks for zeroes below, so that no byte of the structure is given. */
	if (!(op & 0x80))
		template(vm, call, form, buf);
	fuzz_bytes(in, mask, n);
	for (i = 0; i < n; i++)
		buf[i] ^= mask[i];
	/* Exactly as long as it says, so that a sanitizer sees a read past its end. */
	exact = malloc(n ? n : 1);
	VIOMMU_ASSERT(exact);
	memcpy(exact, buf, n);
	look(vm, &was);
	ret = calls[call].call[form](vm->dom[dom], vm->dev[dev], exact, n);
	look(vm, &is);
	VIOMMU_ASSERT(one_of(ret, calls[call].errnos) || (call == BIND && ret == -EEXIST));
	if (ret)
		VIOMMU_ASSERT(!memcmp(&was, &is, sizeof(was)));
	else
		check_success(call, &was, &is, dev);
	free(exact);
}

/* DMA that opens a page request, if it finds tables (there is nothing in them). */
static void ask(struct vm *vm, struct fuzz_input *in, uint8_t op)
{
	uint32_t pasid = fuzz_u8(in) % PASIDS, v;
	uint64_t addr = fuzz_u64(in);

	viommu_dma_read(vm->dma, vm->dev[(op >> 4 & 3) % DEVICES], pasid ? pasid : VIOMMU_NO_PASID,
			addr, &v, 1, VIOMMU_DMA_NO_WAIT, NULL);
}

static void fault(struct fuzz_input *in)
{
	struct viommu_fault f;

	fuzz_bytes(in, &f, sizeof(f));
	report(NULL, NULL, &f);
}

/*
 * One VM serves all inputs, since a new one for each takes a hundred times longer than the calls.
 * It is brought back to what it was when it was new, which is checked; after an unplug it is made
 * anew.
 */
static struct vm the_vm;
static struct snapshot fresh;
static bool is_open;

static void vm_reset(void)
{
	struct snapshot now;
	unsigned int d, i;

	for (d = 0; d < DEVICES; d++) {
		for (i = 1; i < PASIDS; i++)
			must(viommu_host_unbind(the_vm.dev[d], (struct viommu_hp){ i }));
		viommu_device_pri_reset(the_vm.dev[d]);
	}
	memset(&the_vm.req, 0, sizeof(the_vm.req));
	look(&the_vm, &now);
	VIOMMU_ASSERT(!memcmp(&now, &fresh, sizeof(now)));
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	bool unplugged = false;
	unsigned int i;

	if (!is_open) {
		vm_open(&the_vm);
		look(&the_vm, &fresh);
		is_open = true;
	}
	for (i = 0; i < MAX_CALLS && !fuzz_done(&in); i++) {
		uint8_t op = fuzz_u8(&in);
		enum call call = (enum call)((op & 7) % CALLS);

		if (call == ASK) {
			ask(&the_vm, &in, op);
		} else if (call == UNPLUG) {
			viommu_device_unplug(the_vm.dev[(op >> 4 & 3) % DEVICES]);
			unplugged = true;
		} else if (call == FAULT) {
			fault(&in);
		} else {
			call_one(&the_vm, &in, op, call);
		}
	}
	if (unplugged) {
		vm_close(&the_vm);
		is_open = false;
	} else {
		vm_reset();
	}
}

FUZZ_TARGET
