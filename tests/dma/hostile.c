/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that means ill: threads scribble over every page of its memory, tables among them, while
 * devices use the memory in every way there is and the VMM binds, unbinds, shuts gates, removes
 * memory and answers page requests at random, wrongly too. What must hold:
 *
 *  - calls return what their headers say, and nothing but faults comes of the tables;
 *  - no byte of this process outside of the guest's memory changes, nor one of what it may only
 *    read;
 *  - everybody gets to an end, and nothing is left.
 *
 * Not under TSan: the guest's stores race with the devices' copies, as on any machine.
 */
#include <pthread.h>
#include <sched.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "host/world.h"

#define PAGES   64u
#define FENCE   16u /* pages of ours before and behind the guest's */
#define PASIDS  3u
#define DEVICES 2u
#define THREADS 3u
#define OPS     40u /* of a batch */
#define ALL     (VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI)
/*
 * Where a second region of the guest lies, which it may only read, and a third that comes and goes.
 */
#define ROM  UINT64_C(0x40000000)
#define COME UINT64_C(0x80000000)

struct hostile {
	uint8_t *mine; /* FENCE pages of ours, PAGES of the guest's, FENCE of ours, 4 it may read */
	uint8_t *ram;
	uint8_t *rom;
	uint8_t *come;
	struct viommu_mem *mem;
	struct viommu_host *host;
	struct viommu_domain *dom;
	struct viommu_device *dev[DEVICES];
	struct viommu_devtlb *tlb[DEVICES];
	struct viommu_hp hp[PASIDS];
	uint32_t stop;
	uint64_t steps;
	uint64_t good, faulted, asked;
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + 5);
}

static bool whole(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != pattern(i))
			return false;
	return true;
}

/* Answers as it likes, now, never, or for groups that are not open. */
static void request(void *ctx, struct viommu_device *dev, const struct viommu_page_request *req)
{
	static const uint16_t codes[] = { 0, 1, 0, 1, 0, 1, 0, 0xf, 2, 0 };
	struct hostile *h = ctx;
	uint64_t n = fetch_add(&h->asked, 1);
	struct viommu_page_response resp = {
		.size = sizeof(resp), .pasid = req->pasid, .prgi = req->prgi, .code = codes[n % 5]
	};

	if (n % 7 == 0)
		return;
	if (n % 11 == 0)
		resp.prgi ^= (uint16_t)n;
	if (n % 13 == 0)
		resp.pasid ^= 1;
	viommu_host_page_response(dev, &resp);
}

static void fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *f)
{
	(void)ctx;
	(void)dev;
	if (!viommu_fault_find(f->reason))
		abort();
}

/* An entry that leads somewhere: to the guest's pages more often than not. */
static uint64_t some_entry(struct rng *rng)
{
	uint64_t page;

	if (rng_one_in(rng, 8))
		return rng_u64(rng);
	page = rng_below(rng, PAGES + 4);
	if (rng_one_in(rng, 8))
		page = (rng_one_in(rng, 2) ? ROM : COME) / 4096 + rng_below(rng, 5);
	return page << 12 | (rng_u64(rng) & (rng_one_in(rng, 4) ? 0xfff : 0x67)) |
	       (rng_one_in(rng, 16) ? 0 : 7);
}

static void *guest_run(void *arg)
{
	struct hostile *h = arg;
	struct rng rng;
	unsigned int i;

	rng_init(&rng, "guest");
	while (!load_acquire(&h->stop)) {
		uint64_t *words = (uint64_t *)h->ram;
		uint64_t page = rng_below(&rng, PAGES) * 512;

		if (rng_one_in(&rng, 4)) {
			for (i = 0; i < 512; i++)
				store_relaxed(&words[page + i], some_entry(&rng));
		} else {
			for (i = 0; i < 16; i++)
				store_relaxed(&words[page + rng_below(&rng, 512)],
					      some_entry(&rng));
		}
		sched_yield();
	}
	return NULL;
}

static uint64_t some_address(struct rng *rng)
{
	switch (rng_below(rng, 6)) {
	case 0:
		return rng_u64(rng);
	case 1:
		return UINT64_C(0xfee00000) + rng_below(rng, 0x100000) - 8;
	case 2:
		return rng_below(rng, (PAGES + 2) * 4096);
	case 3:
		return (rng_one_in(rng, 2) ? ROM : COME) + rng_below(rng, 0x5000);
	default:
		return (rng_below(rng, 4) << 39 | rng_below(rng, 4) << 30 |
			rng_below(rng, 8) << 21 | rng_below(rng, 16) << 12) +
		       rng_below(rng, 4096);
	}
}

static void *device_run(void *arg)
{
	struct hostile *h = arg;
	static _Atomic unsigned int number;
	struct viommu_dma_result res;
	struct viommu_ats_result ats;
	struct viommu_dma_span span;
	struct viommu_dma_op ops[OPS];
	struct viommu_dma *dma;
	uint8_t buf[3 * 4096];
	unsigned int i;
	struct rng rng;
	char label[16];
	uint64_t old;

	snprintf(label, sizeof(label), "device %u", number++ % THREADS);
	rng_init(&rng, label);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(viommu_dma_new(h->host, &dma), 0);
	while (fetch_add(&h->steps, 1) < test_scale(1000000)) {
		unsigned int d = (unsigned int)rng_below(&rng, DEVICES);
		uint32_t pasid =
			rng_one_in(&rng, 3) ? VIOMMU_NO_PASID : h->hp[rng_below(&rng, PASIDS)].v;
		uint32_t other = h->hp[rng_below(&rng, PASIDS)].v;
		uint64_t at = some_address(&rng), to = some_address(&rng);
		size_t n = rng_one_in(&rng, 4) ? rng_below(&rng, sizeof(buf)) : rng_below(&rng, 64);
		uint32_t flags = 0;
		int ret;

		if (rng_one_in(&rng, 8) && pasid != VIOMMU_NO_PASID)
			flags |= VIOMMU_PRIV;
		if (rng_one_in(&rng, 16))
			flags |= VIOMMU_DMA_NO_ALLOCATE;
		/* One of the devices has to wait for its pages. */
		if (d || rng_one_in(&rng, 2))
			flags |= rng_one_in(&rng, 2) ? VIOMMU_DMA_NO_WAIT : VIOMMU_DMA_NO_PRI;
		if (rng_one_in(&rng, 8))
			flags |= VIOMMU_DMA_ATS;
		if (at + n < at)
			at -= n;
		if (to + n < to)
			to -= n;
		memset(&res, 0, sizeof(res));
		switch (rng_below(&rng, 10)) {
		case 0:
			ret = viommu_dma_read(dma, h->dev[d], pasid, at, buf, n, flags, &res);
			break;
		case 1:
			ret = viommu_dma_write(dma, h->dev[d], pasid, at, buf, n, flags, &res);
			break;
		case 2:
			ret = viommu_dma_fill(dma, h->dev[d], pasid, at, some_entry(&rng), n, flags,
					      &res);
			break;
		case 3:
			if (pasid == VIOMMU_NO_PASID)
				flags &= ~VIOMMU_PRIV;
			ret = viommu_dma_copy(dma, h->dev[d], pasid, to, other, at, n,
					      flags & ~VIOMMU_PRIV, &res);
			break;
		case 4:
			ret = viommu_dma_atomic(dma, h->dev[d], pasid, at & ~UINT64_C(7), 8,
						VIOMMU_ATOMIC_SWAP, some_entry(&rng), 0, flags,
						&old, &res);
			n = 8;
			break;
		case 5:
			ret = viommu_ats_translate(dma, h->dev[d], pasid, at,
						   rng_one_in(&rng, 2) ? VIOMMU_ATS_NO_WRITE : 0,
						   &ats, NULL);
			n = 0;
			if (!ret && ats.perm && !ats.untranslated)
				assert_true(ats.size_lg2 >= 12);
			break;
		case 6:
			ret = viommu_devtlb_read(h->tlb[d], dma, pasid, at, buf, n, flags, &res);
			break;
		case 8:
			for (i = 0; i < OPS; i++)
				ops[i] = (struct viommu_dma_op){
					.dev = h->dev[d],
					.pasid = pasid,
					.kind = (uint32_t)rng_range(&rng, 1, 3),
					.addr = some_address(&rng) & ~UINT64_C(7),
					.buf = buf,
					.bytes = 8,
					.flags = flags | VIOMMU_DMA_NO_WAIT,
				};
			viommu_dma_batch(dma, ops, OPS);
			ret = 0;
			for (i = 0; i < OPS; i++)
				assert_true(ops[i].status == 0 || ops[i].status == -EAGAIN ||
					    ops[i].status == VIOMMU_FAULTED);
			n = 0;
			break;
		case 7:
			ret = viommu_devtlb_write(h->tlb[d], dma, pasid, at, buf, n, flags, &res);
			break;
		default:
			viommu_dma_begin(dma);
			ret = viommu_dma_translate(dma, h->dev[d], pasid, at, VIOMMU_WRITE, &span);
			if (!ret && span.host && span.bytes >= 8)
				store_relaxed((uint8_t *)span.host, 0x77);
			viommu_dma_end(dma);
			n = 0;
			break;
		}
		assert_true(ret == 0 || ret == VIOMMU_FAULTED || ret == -EAGAIN);
		assert_true(res.done <= n);
		if (ret == 0) {
			assert_true(!res.done || res.done == n);
			fetch_add(&h->good, 1);
		} else if (ret == VIOMMU_FAULTED) {
			fetch_add(&h->faulted, 1);
		}
	}
	viommu_dma_free(dma);
	return NULL;
}

/* Some bind; the tables it names are whatever the guest has there. */
static struct viommu_bind some_bind(struct rng *rng)
{
	struct viommu_bind b = { .size = sizeof(b),
				 .kind = VIOMMU_BIND_NESTED,
				 .flags = rng_one_in(rng, 8) ? VIOMMU_BIND_FPD : 0,
				 .nr = (uint32_t)rng_below(rng, 3) };
	unsigned int i;

	for (i = 0; i < b.nr; i++) {
		bool fs = i == 0 && !rng_one_in(rng, 4);
		uint8_t levels = (uint8_t)(fs ? 4 + rng_below(rng, 2) : 3 + rng_below(rng, 3));

		b.stage[i] = (struct viommu_stage){
			.format = fs ? VIOMMU_FORMAT_VTD_FS : VIOMMU_FORMAT_VTD_SS,
			.levels = levels,
			.input_bits = fs ? 0 : (uint8_t)(12 + 9 * levels),
			.flags = fs ? (rng_one_in(rng, 2) ? VIOMMU_STAGE_SRE | VIOMMU_STAGE_WPE : 0)
				    : VIOMMU_STAGE_2M | VIOMMU_STAGE_1G |
						 (rng_one_in(rng, 2) ? VIOMMU_STAGE_AD : 0),
			.root = rng_below(rng, PAGES) << 12,
		};
	}
	return b;
}

static void vmm_step(struct hostile *h, struct rng *rng)
{
	struct viommu_device *dev = h->dev[rng_below(rng, DEVICES)];
	struct viommu_hp hp = h->hp[rng_below(rng, PASIDS)];
	struct viommu_bind b = some_bind(rng);
	struct viommu_invalidate inv = { .size = sizeof(inv),
					 .granularity = (uint32_t)rng_below(rng, 4),
					 .hp = hp,
					 .addr = some_address(rng),
					 .bytes = rng_below(rng, 0x10000) };

	switch (rng_below(rng, 12)) {
	case 0:
	case 1:
	case 2:
		assert_int_equal(viommu_host_rebind(dev, h->dom, hp, &b), 0);
		break;
	case 3:
		assert_int_equal(viommu_device_attach(dev, h->dom, &b), 0);
		break;
	case 4:
		assert_int_equal(viommu_host_unbind(dev, hp), 0);
		break;
	case 5:
		assert_int_equal(rng_one_in(rng, 2) ? viommu_device_detach(dev)
						    : viommu_device_unbind_all(dev),
				 0);
		break;
	case 6:
		assert_int_equal(viommu_host_invalidate(h->host, h->dom, &inv), 0);
		break;
	case 7:
		if (viommu_mem_remove(h->mem, COME, 4 * 4096))
			assert_int_equal(viommu_mem_add_ptr(h->mem, COME, 4 * 4096, h->come, 0), 0);
		break;
	case 8:
		assert_int_equal(
			viommu_device_gate(dev, rng_one_in(rng, 2) ? ALL : VIOMMU_DEVICE_ATS), 0);
		break;
	case 9:
		viommu_device_abort_requests(dev, hp.v, VIOMMU_RESPONSE_INVALID);
		break;
	case 10:
		viommu_device_pri_reset(dev);
		break;
	default:
		viommu_host_expire_page_requests(h->host);
	}
}

static void *vmm_run(void *arg)
{
	struct hostile *h = arg;
	struct rng rng;

	rng_init(&rng, "vmm");
	while (!load_acquire(&h->stop)) {
		vmm_step(h, &rng);
		/* Who waits for an answer that nobody gives gets one by the second call. */
		viommu_host_expire_page_requests(h->host);
		sched_yield();
	}
	return NULL;
}

static void a_hostile_guest_reaches_its_own_memory_only(void **state)
{
	struct viommu_host_config hc = { .size = sizeof(hc), .max_page_requests = 2 };
	const size_t ours = FENCE * 4096, rom = 4 * 4096;
	pthread_t guest, vmm, device[THREADS];
	long live = viommu__alloc_live();
	struct hostile h = { 0 };
	struct rng rng;
	unsigned int i;
	size_t k;

	(void)state;
	h.mine = aligned_alloc(4096, 2 * ours + PAGES * 4096 + rom);
	h.come = aligned_alloc(4096, 4 * 4096);
	assert_true(h.mine && h.come);
	h.ram = h.mine + ours;
	h.rom = h.ram + PAGES * 4096 + ours;
	for (k = 0; k < ours; k++)
		h.mine[k] = h.ram[PAGES * 4096 + k] = pattern(k);
	for (k = 0; k < rom; k++)
		h.rom[k] = pattern(k);
	memset(h.ram, 0, PAGES * 4096);
	memset(h.come, 0, 4 * 4096);

	hc.ops.ctx = &h;
	hc.ops.page_request = request;
	hc.ops.fault = fault;
	assert_int_equal(viommu_host_new(&hc, &h.host), 0);
	assert_int_equal(viommu_mem_new(&h.mem), 0);
	assert_int_equal(viommu_mem_add_ptr(h.mem, 0, PAGES * 4096, h.ram, 0), 0);
	assert_int_equal(viommu_mem_add_ptr(h.mem, ROM, rom, h.rom, VIOMMU_MEM_READ_ONLY), 0);
	assert_int_equal(viommu_mem_add_ptr(h.mem, COME, 4 * 4096, h.come, 0), 0);
	assert_int_equal(viommu_domain_new(h.host, h.mem,
					   &(struct viommu_domain_config){
						   .size = sizeof(struct viommu_domain_config),
						   .flags = VIOMMU_DOMAIN_DIRTY },
					   &h.dom),
			 0);
	rng_init(&rng, "set-up");
	for (i = 0; i < PASIDS; i++)
		assert_int_equal(viommu_pasid_alloc(viommu_domain_owner(h.dom), 1, 100, &h.hp[i]),
				 0);
	for (i = 0; i < DEVICES; i++) {
		struct viommu_device_config dc = { .size = sizeof(dc),
						   .sid = (uint16_t)(0x28 + i),
						   .flags = ALL };

		assert_int_equal(viommu_device_new(h.host, &dc, &h.dev[i]), 0);
		assert_int_equal(viommu_devtlb_new(h.dev[i], 64, &h.tlb[i]), 0);
	}
	for (i = 0; i < 20; i++)
		vmm_step(&h, &rng);

	assert_int_equal(pthread_create(&guest, NULL, guest_run, &h), 0);
	assert_int_equal(pthread_create(&vmm, NULL, vmm_run, &h), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&device[i], NULL, device_run, &h), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(device[i], NULL), 0);
	store_release(&h.stop, 1);
	assert_int_equal(pthread_join(guest, NULL), 0);
	assert_int_equal(pthread_join(vmm, NULL), 0);

	print_message("# %llu accesses done, %llu faulted, %llu page requests\n",
		      (unsigned long long)h.good, (unsigned long long)h.faulted,
		      (unsigned long long)h.asked);
	assert_true(whole(h.mine, ours));
	assert_true(whole(h.ram + PAGES * 4096, ours));
	assert_true(whole(h.rom, rom));
	assert_true(h.good > 100 && h.faulted > 100 && h.asked > 10);
	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(viommu_device_open_requests(h.dev[i]) > 2, 0);
		viommu_devtlb_free(h.tlb[i]);
	}
	viommu_host_free(h.host);
	viommu_mem_free(h.mem);
	assert_int_equal(viommu__alloc_live(), live);
	free(h.come);
	free(h.mine);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_hostile_guest_reaches_its_own_memory_only),
};
TEST_MAIN(tests)
