/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scripted guest. Set-up failures abort the test by cmocka's assertions.
 */
#include "dev/dsa_guest.h"

static unsigned int page_of(uint64_t va)
{
	return (unsigned int)((va - GUEST_VA) >> 12);
}

/* ---- What the host and the framework call ---------------------------------------------------- */

static void respond(struct guest *g, const struct viommu_page_request *req, uint16_t code)
{
	viommu_host_page_response(g->w.dev, &(struct viommu_page_response){
						    .size = sizeof(struct viommu_page_response),
						    .pasid = req->pasid,
						    .prgi = req->prgi,
						    .code = code });
}

static void page_request(void *ctx, struct viommu_device *dev,
			 const struct viommu_page_request *req)
{
	struct guest *g = ctx;
	enum guest_answer answer;

	(void)dev;
	pthread_mutex_lock(&g->lock);
	g->requests++;
	g->last = *req;
	answer = g->answer;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
	if (g->vanish) {
		guest_hide(g, g->vanish);
		g->vanish = 0;
		g->answer = g->then;
	}
	switch (answer) {
	case ANSWER_MAP:
		guest_show(g, req->addr);
		respond(g, req, VIOMMU_RESPONSE_SUCCESS);
		break;
	case ANSWER_NOTHING:
		respond(g, req, VIOMMU_RESPONSE_SUCCESS);
		break;
	case ANSWER_INVALID:
		respond(g, req, VIOMMU_RESPONSE_INVALID);
		break;
	case ANSWER_FAILURE:
		respond(g, req, VIOMMU_RESPONSE_FAILURE);
		break;
	case ANSWER_LATER:
		break;
	}
}

static void interrupt(void *ctx, unsigned int vector)
{
	struct guest *g = ctx;

	assert_true(vector < 16);
	pthread_mutex_lock(&g->lock);
	g->interrupts[vector]++;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

static void kick(void *ctx)
{
	struct guest *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->kicks++;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

static int hpasid(void *ctx, struct viommu_gp gp, struct viommu_hp *out)
{
	struct guest *g = ctx;

	*out = g->w.hp;
	return gp.v == GUEST_GP && !g->no_gp ? 0 : -ENOENT;
}

/* ---- Registers ------------------------------------------------------------------------------- */

uint32_t guest_read32(struct guest *g, uint32_t offset)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(g->pci, 0, offset, 4, &v), 0);
	return (uint32_t)v;
}

uint64_t guest_read64(struct guest *g, uint32_t offset)
{
	uint64_t v;

	assert_int_equal(viommu_pci_bar_read(g->pci, 0, offset, 8, &v), 0);
	return v;
}

void guest_write32(struct guest *g, uint32_t offset, uint32_t value)
{
	assert_int_equal(viommu_pci_bar_write(g->pci, 0, offset, 4, value), 0);
}

void guest_write64(struct guest *g, uint32_t offset, uint64_t value)
{
	assert_int_equal(viommu_pci_bar_write(g->pci, 0, offset, 8, value), 0);
}

uint16_t guest_config16(struct guest *g, uint32_t offset)
{
	uint16_t v;

	assert_int_equal(viommu_pci_config_read(g->pci, offset, &v, 2), 0);
	return v;
}

void guest_set_config16(struct guest *g, uint32_t offset, uint16_t value)
{
	assert_int_equal(viommu_pci_config_write(g->pci, offset, &value, 2), 0);
}

uint32_t guest_capability(struct guest *g, uint16_t id)
{
	uint32_t at = 0x100, v, left;

	for (left = 64; left && at >= 0x100; left--) {
		assert_int_equal(viommu_pci_config_read(g->pci, at, &v, 4), 0);
		if ((v & 0xffff) == id)
			return at;
		at = v >> 20;
	}
	return 0;
}

/* MSI-X on, every vector unmasked. */
static void enable_msix(struct guest *g)
{
	uint8_t at = 0, id = 0;
	unsigned int left, i;

	assert_int_equal(viommu_pci_config_read(g->pci, 0x34, &at, 1), 0);
	for (left = 48; left && at; left--) {
		assert_int_equal(viommu_pci_config_read(g->pci, at, &id, 1), 0);
		if (id == 0x11)
			break;
		assert_int_equal(viommu_pci_config_read(g->pci, at + 1u, &at, 1), 0);
	}
	if (id != 0x11)
		return;
	guest_set_config16(g, at + 2u, 0x8000);
	for (i = 0; i < 9; i++)
		guest_write32(g, 0x2000 + 16 * i + 12, 0);
}

uint32_t guest_command(struct guest *g, unsigned int code, uint32_t operand)
{
	guest_write32(g, 0xa0, code << 20 | operand);
	return guest_read32(g, 0xa8);
}

void guest_queue(struct guest *g, unsigned int wq, unsigned int size, uint32_t bits)
{
	guest_write32(g, WQCFG(wq, 0), size);
	guest_write32(g, WQCFG(wq, 1), size);
	guest_write32(g, WQCFG(wq, 2), bits);
	guest_write32(g, WQCFG(wq, 3), 21 | 10 << 5);
}

/* ---- Its life -------------------------------------------------------------------------------- */

static void enable_functions(struct guest *g, const struct guest_config *c)
{
	if (!c->no_ats)
		guest_set_config16(g, guest_capability(g, 0xf) + 6, 0x8000);
	if (!c->no_pasid)
		guest_set_config16(g, guest_capability(g, 0x1b) + 6, 1);
	if (!c->no_pri && !c->no_ats && !c->dsa.no_pri)
		guest_set_config16(g, guest_capability(g, 0x13) + 4, 1);
	enable_msix(g);
	guest_set_config16(g, 4, c->no_master ? 2 : 6);
}

void guest_open(struct guest *g, const struct guest_config *config)
{
	static const struct guest_config none;
	const struct guest_config *c = config ? config : &none;
	struct viommu_dsa_config dc = c->dsa;
	const struct world_config wc = {
		.ops = { .ctx = &g->w, .page_request = NULL },
		.device_flags = VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS | VIOMMU_DEVICE_PRI,
	};
	const struct viommu_pci_vmm vmm = { .ctx = g, .interrupt = interrupt, .kick = kick };
	struct world_config with = wc;
	uint32_t bits = WQ_PRIORITY(10) | c->wq_bits;
	uint64_t gpa;
	unsigned int i;

	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->cond, NULL);
	with.ops.ctx = g;
	with.ops.page_request = page_request;
	with.ops.fault = NULL;
	if (c->host_no_ats)
		with.device_flags = VIOMMU_DEVICE_PASID;
	world_open(&g->w, &with);
	gpa = world_page(&g->w);
	g->mem = world_ptr(&g->w, gpa);
	for (i = 1; i < GUEST_PAGES; i++)
		assert_int_equal(world_page(&g->w), gpa + i * 4096ull);
	assert_int_equal(tables_map_range(&g->w.fs, GUEST_VA, gpa, GUEST_PAGES * 4096ull, 12,
					  TABLES_RWU),
			 0);
	assert_int_equal(world_bind(&g->w, GUEST_GP), 0);

	dc.size = sizeof(dc);
	assert_int_equal(viommu_dsa_new(&dc, &g->dsa), 0);
	g->pci = viommu_dsa_pci(g->dsa);
	viommu_pci_set_vmm(g->pci, &vmm);
	viommu_pci_attach(g->pci, g->w.dev, hpasid, g);
	enable_functions(g, c);
	if (c->no_enable)
		return;

	guest_write32(g, GRPCFG(0, 0), 1);
	guest_write32(g, GRPCFG(0, 8), 1);
	guest_write32(g, 0x80, guest_read32(g, 0x80) | 0x1000); /* user interrupts */
	if (!c->shared)
		bits |= WQ_DEDICATED;
	if (!c->no_bof && !c->no_pri && !c->no_ats && !c->dsa.no_pri)
		bits |= WQ_BOF;
	if (!c->no_pasid_q)
		bits |= WQ_PASID(GUEST_GP);
	guest_queue(g, 0, 16, bits);
	assert_int_equal(guest_command(g, DSA_CMD_ENABLE_DEVICE, 0), 0);
	assert_int_equal(guest_command(g, DSA_CMD_ENABLE_WQ, 0), 0);
}

static void *work(void *arg)
{
	struct guest_worker *w = arg;
	struct guest *g = w->g;
	unsigned int seen;

	for (;;) {
		pthread_mutex_lock(&g->lock);
		seen = g->kicks;
		if (g->stop)
			break;
		pthread_mutex_unlock(&g->lock);
		while (viommu_pci_run(g->pci, w->dma))
			;
		pthread_mutex_lock(&g->lock);
		while (g->kicks == seen && !g->stop)
			pthread_cond_wait(&g->cond, &g->lock);
		pthread_mutex_unlock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

void guest_workers_start(struct guest *g, unsigned int n)
{
	g->stop = 0;
	for (g->workers = 0; g->workers < n; g->workers++) {
		struct guest_worker *w = &g->worker[g->workers];

		w->g = g;
		assert_int_equal(viommu_dma_new(g->w.host, &w->dma), 0);
		assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
	}
}

void guest_workers_stop(struct guest *g)
{
	pthread_mutex_lock(&g->lock);
	g->stop = 1;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
	for (; g->workers; g->workers--) {
		pthread_join(g->worker[g->workers - 1].thread, NULL);
		viommu_dma_free(g->worker[g->workers - 1].dma);
	}
}

void guest_close(struct guest *g)
{
	guest_workers_stop(g);
	viommu_pci_attach(g->pci, NULL, NULL, NULL);
	viommu_dsa_free(g->dsa);
	world_close(&g->w);
	pthread_mutex_destroy(&g->lock);
	pthread_cond_destroy(&g->cond);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

struct desc desc_make(unsigned int op, uint32_t flags, uint64_t a, uint64_t b, uint32_t size)
{
	return (struct desc){ { (uint64_t)(op << 24 | flags | DSA_FLAG_CRAV | DSA_FLAG_RCR) << 32,
				GUEST_RECORD, a, b, size } };
}

void guest_submit(struct guest *g, uint64_t portal, const struct desc *d)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(viommu_pci_bar_write(g->pci, 2, portal + 8 * i, 8, d->w[i]), 0);
}

unsigned int guest_run(struct guest *g)
{
	unsigned int n = 0;

	while (viommu_pci_run(g->pci, g->w.dma))
		n++;
	return n;
}

struct record guest_do(struct guest *g, const struct desc *d)
{
	struct record r;
	uint64_t at = d->w[1];

	memset(guest_ptr(g, at), 0, 32);
	if (guest_read32(g, WQCFG(0, 2)) & WQ_DEDICATED) {
		guest_submit(g, 0, d);
	} else {
		struct desc shared = *d;

		shared.w[0] |= GUEST_GP;
		assert_int_equal(viommu_dsa_enqueue(g->dsa, 0, &shared), 0);
	}
	assert_int_equal(guest_run(g), 1);
	memcpy(&r, guest_ptr(g, at), 32);
	return r;
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static void forget(struct guest *g, uint64_t va)
{
	const struct viommu_invalidate inv = { .size = sizeof(inv),
					       .granularity = VIOMMU_INVALIDATE_RANGE,
					       .hp = g->w.hp,
					       .addr = va & ~4095ull,
					       .bytes = 4096 };

	assert_int_equal(viommu_host_invalidate(g->w.host, g->w.dom, &inv), 0);
}

/* Entries are changed while engines walk. */
static void set_entry(struct guest *g, uint64_t va, uint64_t value)
{
	__atomic_store_n(tables_entry(&g->w.fs, va, 1), value, __ATOMIC_RELEASE);
}

void guest_hide(struct guest *g, uint64_t va)
{
	uint64_t entry = __atomic_load_n(tables_entry(&g->w.fs, va, 1), __ATOMIC_ACQUIRE);

	if (!(entry & 1))
		return;
	pthread_mutex_lock(&g->lock);
	g->hidden[page_of(va)] = entry;
	pthread_mutex_unlock(&g->lock);
	set_entry(g, va, 0);
	forget(g, va);
}

void guest_show(struct guest *g, uint64_t va)
{
	uint64_t entry;

	if (va < GUEST_VA || page_of(va) >= GUEST_PAGES)
		return;
	pthread_mutex_lock(&g->lock);
	entry = g->hidden[page_of(va)];
	pthread_mutex_unlock(&g->lock);
	if (entry)
		set_entry(g, va, entry);
}

void guest_protect(struct guest *g, uint64_t va)
{
	uint64_t entry = *tables_entry(&g->w.fs, va, 1);

	g->hidden[page_of(va)] = entry;
	set_entry(g, va, entry & ~2ull);
	forget(g, va);
}

void guest_respond(struct guest *g, uint16_t code)
{
	struct viommu_page_request req;

	pthread_mutex_lock(&g->lock);
	req = g->last;
	pthread_mutex_unlock(&g->lock);
	respond(g, &req, code);
}

void guest_wait_requests(struct guest *g, unsigned int n)
{
	pthread_mutex_lock(&g->lock);
	while (g->requests < n)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

void guest_wait_interrupts(struct guest *g, unsigned int vector, unsigned int n)
{
	pthread_mutex_lock(&g->lock);
	while (g->interrupts[vector] < n)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
}
