/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scripted guest. Set-up failures abort the test by cmocka's assertions.
 */
#include "guest/world.h"

/* ---- Callbacks ---- */

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->message[w->messages++ % GW_LOG] = (struct gw_message){ addr, data };
	pthread_mutex_unlock(&w->lock);
}

static void on_kick(void *ctx)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->kicks++;
	pthread_mutex_unlock(&w->lock);
}

static void on_trap(void *ctx, const struct viommu_guest_trap *trap)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->trap[w->traps++ % GW_LOG] = *trap;
	pthread_mutex_unlock(&w->lock);
}

/* Lock held. */
static void named(struct gw *w, uint32_t pasid)
{
	if (pasid == VIOMMU_NO_PASID || pasid == VIOMMU_ALL_PASIDS)
		return;
	if (pasid < w->named_min)
		w->named_min = pasid;
	if (pasid > w->named_max)
		w->named_max = pasid;
}

static int on_miss(void *ctx, struct viommu_device *dev, uint32_t pasid, struct viommu_fault *fault)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	named(w, pasid);
	pthread_mutex_unlock(&w->lock);
	return w->guest ? viommu_guest_miss(w->guest, dev, pasid, fault) : VIOMMU_FAULTED;
}

static void on_fault(void *ctx, struct viommu_device *dev, const struct viommu_fault *fault)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	named(w, fault->pasid);
	pthread_mutex_unlock(&w->lock);
	if (w->guest)
		viommu_guest_fault(w->guest, dev, fault);
}

static void on_page_request(void *ctx, struct viommu_device *dev,
			    const struct viommu_page_request *req)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->request = *req;
	w->requests++;
	if (req->flags & VIOMMU_PAGE_REQUEST_PASID)
		named(w, req->pasid);
	pthread_mutex_unlock(&w->lock);
	viommu_guest_page_request(w->guest, dev, req);
	if (w->answer)
		w->answer(w);
}

static void on_invalidate(void *ctx, uint32_t pasid, uint64_t addr, uint64_t bytes)
{
	struct gw *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->told++;
	named(w, pasid);
	w->told_pasid = pasid;
	w->told_addr = addr;
	w->told_bytes = bytes;
	pthread_mutex_unlock(&w->lock);
}

/* ---- Life ---- */

void gw_open_host(struct gw *w, const struct gw_config *c)
{
	struct viommu_host_config hc = { .size = sizeof(hc),
					 .max_page_requests = c->max_page_requests,
					 .pasid_min = c->pasid_min,
					 .pasid_max = c->pasid_max,
					 .ops = { .ctx = w,
						  .miss = on_miss,
						  .fault = on_fault,
						  .page_request = on_page_request } };
	const struct viommu_domain_config domc = { .size = sizeof(domc),
						   .pasid_quota = c->pasid_quota };
	unsigned int i;

	memset(w, 0, sizeof(*w));
	w->named_min = UINT32_MAX;
	pthread_mutex_init(&w->lock, NULL);
	tables_init(&w->ram, 0, GW_BYTES);
	tables_page(&w->ram); /* GPA 0 is nobody's */
	assert_int_equal(viommu_mem_new(&w->mem), 0);
	assert_int_equal(viommu_mem_add_fd(w->mem, 0, GW_BYTES, w->ram.fd, 0, 0), 0);
	assert_int_equal(viommu_host_new(&hc, &w->host), 0);
	assert_int_equal(viommu_domain_new(w->host, w->mem, &domc, &w->dom), 0);
	for (i = 0; i < GW_DEVICES; i++) {
		const struct viommu_device_config dc = {
			.size = sizeof(dc),
			.sid = GW_HOST_SID(i),
			.flags = c->device_flags ? c->device_flags
						 : VIOMMU_DEVICE_PASID | VIOMMU_DEVICE_ATS |
							   VIOMMU_DEVICE_PRI,
			.ctx = w,
			.invalidate = on_invalidate,
		};

		assert_int_equal(viommu_device_new(w->host, &dc, &w->dev[i]), 0);
	}
	assert_int_equal(viommu_dma_new(w->host, &w->dma), 0);
	w->root = gw_page(w);
	w->status = gw_page(w);
}

int gw_open_unit(struct gw *w, const struct gw_config *c)
{
	const struct viommu_guest_config gc = {
		.size = sizeof(gc),
		.profile = c->profile,
		.flags = c->flags,
		.ver = c->ver,
		.haw = c->haw,
		.cap = c->cap,
		.ecap = c->ecap,
		.max_binds = c->max_binds,
		.burst = c->burst,
		.ops = { .ctx = w,
			 .message = on_message,
			 .kick = c->no_kick ? NULL : on_kick,
			 .trap = c->no_trap ? NULL : on_trap },
	};
	unsigned int i;
	int err;

	err = viommu_guest_new(&gc, w->dom, w->mem, &w->guest);
	for (i = 0; i < GW_DEVICES && !err; i++)
		err = viommu_guest_add_device(w->guest, w->dev[i], GW_SID(i));
	if (err)
		return err;
	w->cap = gw_rd64(w, VTD_REG_CAP);
	w->ecap = gw_rd64(w, VTD_REG_ECAP);
	w->traps = 0;
	return 0;
}

void gw_open(struct gw *w, const struct gw_config *config)
{
	static const struct gw_config none;

	gw_open_host(w, config ? config : &none);
	assert_int_equal(gw_open_unit(w, config ? config : &none), 0);
}

void gw_close(struct gw *w)
{
	viommu_guest_free(w->guest);
	viommu_dma_free(w->dma);
	viommu_host_free(w->host);
	viommu_mem_free(w->mem);
	tables_free(&w->ram);
	pthread_mutex_destroy(&w->lock);
}

uint64_t gw_page(struct gw *w)
{
	return tables_page(&w->ram);
}

uint64_t *gw_ptr(struct gw *w, uint64_t gpa)
{
	return tables_ptr(&w->ram, gpa);
}

/* ---- Registers ---- */

uint32_t gw_rd32(struct gw *w, unsigned int offset)
{
	return (uint32_t)viommu_guest_read(w->guest, offset, 4);
}

uint64_t gw_rd64(struct gw *w, unsigned int offset)
{
	return viommu_guest_read(w->guest, offset, 8);
}

void gw_wr32(struct gw *w, unsigned int offset, uint32_t v)
{
	viommu_guest_write(w->guest, offset, 4, v);
}

void gw_wr64(struct gw *w, unsigned int offset, uint64_t v)
{
	viommu_guest_write(w->guest, offset, 8, v);
}

void gw_command(struct gw *w, uint32_t bit, bool on)
{
	uint32_t v = gw_rd32(w, VTD_REG_GSTS) & (uint32_t)VTD_GCMD_LEVELS;

	gw_wr32(w, VTD_REG_GCMD, on ? v | bit : v & ~bit);
	/* Every command is complete when the write returns. */
	if (bit & VTD_GCMD_LEVELS)
		assert_int_equal(!!(gw_rd32(w, VTD_REG_GSTS) & bit), on);
}

unsigned int gw_frcd(struct gw *w, unsigned int n)
{
	return 16 * ((unsigned int)VTD_FIELD(w->cap, VTD_CAP_FRO) + n);
}

unsigned int gw_iotlb(struct gw *w)
{
	return 16 * (unsigned int)VTD_FIELD(w->ecap, VTD_ECAP_IRO) + VTD_REG_IOTLB;
}

/* ---- Tables ---- */

void gw_set_root(struct gw *w, unsigned int ttm)
{
	w->legacy = ttm == VTD_TTM_LEGACY;
	gw_wr64(w, VTD_REG_RTADDR, w->root | VTD_VAL(VTD_RTADDR_TTM, ttm));
	gw_command(w, (uint32_t)VTD_MASK(VTD_GCMD_SRTP), true);
	assert_true(gw_rd32(w, VTD_REG_GSTS) & VTD_MASK(VTD_GSTS_RTPS));
}

uint64_t *gw_context(struct gw *w, uint16_t sid)
{
	unsigned int half = w->legacy ? 0 : sid >> 7 & 1;
	uint64_t *root = gw_ptr(w, w->root) + (size_t)(sid >> 8) * 2 + half;
	uint64_t *table;

	if (!(*root & 1))
		*root = gw_page(w) | 1;
	table = gw_ptr(w, *root & ~UINT64_C(4095));
	return w->legacy ? table + (size_t)(sid & 0xff) * 2 : table + (size_t)(sid & 0x7f) * 4;
}

uint64_t *gw_context_make(struct gw *w, uint16_t sid, uint64_t bits, unsigned int pdts)
{
	uint64_t *ce = gw_context(w, sid), dir = gw_page(w);
	unsigned int i;

	for (i = 1; i < 1u << (pdts + 7) >> 9; i++)
		gw_page(w); /* the directory goes on in the next pages */
	ce[1] = 0;
	ce[2] = 0;
	ce[3] = 0;
	ce[0] = dir | VTD_VAL(VTD_SCE_PDTS, pdts) | bits | 1;
	return ce;
}

uint64_t *gw_pde(struct gw *w, uint16_t sid, uint32_t pasid)
{
	return gw_ptr(w, gw_context(w, sid)[0] & VTD_MASK(VTD_SCE_PDTP)) + (pasid >> 6);
}

uint64_t *gw_pe(struct gw *w, uint16_t sid, uint32_t pasid)
{
	uint64_t *pde = gw_pde(w, sid, pasid);

	if (!(*pde & 1))
		*pde |= gw_page(w) | 1;
	return gw_ptr(w, *pde & VTD_MASK(VTD_PDIR_SMPTBLPTR)) + (size_t)(pasid & 63) * 8;
}

/* What all kinds have; then the rest, P last. */
static void pe_store(uint64_t *pe, const uint64_t with[8])
{
	unsigned int i;

	pe[0] = 0;
	for (i = 1; i < 8; i++)
		pe[i] = with[i];
	__atomic_store_n(&pe[0], with[0] | 1, __ATOMIC_RELEASE);
}

static void put_fs(uint64_t *e, struct tables_stage *fs)
{
	VTD_SET(e, VTD_PE_FSPTPTR, tables_root(fs) >> 12);
	VTD_SET(e, VTD_PE_FSPM, fs->levels == 5);
}

static void put_ss(uint64_t *e, struct tables_stage *ss)
{
	VTD_SET(e, VTD_PE_SSPTPTR, tables_root(ss) >> 12);
	VTD_SET(e, VTD_PE_AW, ss->levels - 2u);
}

static void put_common(uint64_t *e, unsigned int pgtt, uint16_t did)
{
	VTD_SET(e, VTD_PE_PGTT, pgtt);
	VTD_SET(e, VTD_PE_DID, did);
	VTD_SET(e, VTD_PE_PWSNP, 1);
}

void gw_pe_fs(uint64_t *pe, struct tables_stage *fs, uint16_t did)
{
	uint64_t e[8] = { 0 };

	put_common(e, VTD_PGTT_FS, did);
	put_fs(e, fs);
	pe_store(pe, e);
}

void gw_pe_ss(uint64_t *pe, struct tables_stage *ss, uint16_t did)
{
	uint64_t e[8] = { 0 };

	put_common(e, VTD_PGTT_SS, did);
	put_ss(e, ss);
	pe_store(pe, e);
}

void gw_pe_nested(uint64_t *pe, struct tables_stage *fs, struct tables_stage *ss, uint16_t did)
{
	uint64_t e[8] = { 0 };

	put_common(e, VTD_PGTT_NESTED, did);
	put_fs(e, fs);
	put_ss(e, ss);
	pe_store(pe, e);
}

void gw_pe_pt(uint64_t *pe, uint16_t did)
{
	uint64_t e[8] = { 0 };

	put_common(e, VTD_PGTT_PT, did);
	pe_store(pe, e);
}

void gw_lce_ss(uint64_t *ce, struct tables_stage *ss, unsigned int tt, uint16_t did)
{
	uint64_t e[2] = { 0 };

	VTD_SET(e, VTD_LCE_TT, tt);
	VTD_SET(e, VTD_LCE_DID, did);
	VTD_SET(e, VTD_LCE_AW, ss ? ss->levels - 2u : VTD_AW_48);
	if (ss)
		VTD_SET(e, VTD_LCE_SSPTPTR, tables_root(ss) >> 12);
	ce[1] = e[1];
	__atomic_store_n(&ce[0], e[0] | 1, __ATOMIC_RELEASE);
}

/* ---- The invalidation queue ---- */

void gw_iq_setup(struct gw *w, unsigned int width, unsigned int qs)
{
	unsigned int i;

	w->iq = gw_page(w);
	for (i = 1; i < 1u << qs; i++)
		gw_page(w);
	w->iq_bytes = 4096u << qs;
	w->iq_width = width;
	w->iq_tail = 0;
	gw_wr32(w, VTD_REG_IQT, 0);
	gw_wr64(w, VTD_REG_IQA, w->iq | VTD_VAL(VTD_IQA_DW, width == 32) | qs);
	gw_command(w, (uint32_t)VTD_MASK(VTD_GCMD_QIE), true);
}

void gw_put4(struct gw *w, const uint64_t d[4])
{
	memcpy((uint8_t *)gw_ptr(w, w->iq) + w->iq_tail, d, w->iq_width);
	w->iq_tail = (w->iq_tail + w->iq_width) & (w->iq_bytes - 1);
}

void gw_put(struct gw *w, uint64_t d0, uint64_t d1)
{
	const uint64_t d[4] = { d0, d1, 0, 0 };

	gw_put4(w, d);
}

void gw_kick(struct gw *w)
{
	gw_wr32(w, VTD_REG_IQT, w->iq_tail);
}

void gw_submit(struct gw *w, uint64_t d0, uint64_t d1)
{
	gw_put(w, d0, d1);
	gw_kick(w);
}

bool gw_wait(struct gw *w)
{
	uint32_t *status = (uint32_t *)gw_ptr(w, w->status);

	w->seq++;
	gw_submit(w,
		  VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_MASK(VTD_IQ_WAIT_SW) |
			  VTD_VAL(VTD_IQ_WAIT_DATA, w->seq),
		  w->status);
	while (viommu_guest_run(w->guest))
		;
	return *status == w->seq;
}

bool gw_do(struct gw *w, uint64_t d0, uint64_t d1)
{
	gw_put(w, d0, d1);
	return gw_wait(w);
}

uint64_t gw_cc(unsigned int g, uint16_t did, uint16_t sid, unsigned int fm)
{
	return VTD_VAL(VTD_IQ_CC_TYPE, VTD_IQ_TYPE_CC) | VTD_VAL(VTD_IQ_CC_G, g) |
	       VTD_VAL(VTD_IQ_CC_DID, did) | VTD_VAL(VTD_IQ_CC_SID, sid) |
	       VTD_VAL(VTD_IQ_CC_FM, fm);
}

uint64_t gw_pc(unsigned int g, uint16_t did, uint32_t pasid)
{
	return VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) | VTD_VAL(VTD_IQ_PC_G, g) |
	       VTD_VAL(VTD_IQ_PC_DID, did) | VTD_VAL(VTD_IQ_PC_PASID, pasid);
}

uint64_t gw_piotlb(unsigned int g, uint16_t did, uint32_t pasid)
{
	return VTD_VAL(VTD_IQ_PIOTLB_TYPE, VTD_IQ_TYPE_PIOTLB) | VTD_VAL(VTD_IQ_PIOTLB_G, g) |
	       VTD_VAL(VTD_IQ_PIOTLB_DID, did) | VTD_VAL(VTD_IQ_PIOTLB_PASID, pasid);
}

uint64_t gw_iotlb_d(unsigned int g, uint16_t did)
{
	return VTD_VAL(VTD_IQ_IOTLB_TYPE, VTD_IQ_TYPE_IOTLB) | VTD_VAL(VTD_IQ_IOTLB_G, g) |
	       VTD_VAL(VTD_IQ_IOTLB_DID, did);
}

uint64_t gw_dtlb(uint16_t sid)
{
	return VTD_VAL(VTD_IQ_DTLB_TYPE, VTD_IQ_TYPE_DTLB) | VTD_VAL(VTD_IQ_DTLB_SID, sid);
}

uint64_t gw_pdtlb(uint16_t sid, uint32_t pasid)
{
	return VTD_VAL(VTD_IQ_PDTLB_TYPE, VTD_IQ_TYPE_PDTLB) | VTD_VAL(VTD_IQ_PDTLB_SID, sid) |
	       VTD_VAL(VTD_IQ_PDTLB_PASID, pasid);
}

uint64_t gw_pgrp(uint16_t sid, bool pp, uint32_t pasid, unsigned int code)
{
	return VTD_VAL(VTD_IQ_PGRP_TYPE, VTD_IQ_TYPE_PGRP) | VTD_VAL(VTD_IQ_PGRP_RID, sid) |
	       VTD_VAL(VTD_IQ_PGRP_PP, pp) | VTD_VAL(VTD_IQ_PGRP_PASID, pasid) |
	       VTD_VAL(VTD_IQ_PGRP_RC, code);
}

/* ---- Page requests ---- */

void gw_prq_setup(struct gw *w, unsigned int pqs)
{
	unsigned int i;

	w->prq = gw_page(w);
	for (i = 1; i < 1u << pqs; i++)
		gw_page(w);
	w->prq_bytes = 4096u << pqs;
	gw_wr64(w, VTD_REG_PQH, 0);
	gw_wr64(w, VTD_REG_PQT, 0);
	gw_wr64(w, VTD_REG_PQA, w->prq | pqs);
}

/* ---- DMA ---- */

int gw_read(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint64_t *v)
{
	return viommu_dma_read(w->dma, w->dev[dev], pasid, addr, v, sizeof(*v), VIOMMU_DMA_NO_PRI,
			       NULL);
}

int gw_write(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint64_t v)
{
	return viommu_dma_write(w->dma, w->dev[dev], pasid, addr, &v, sizeof(v), VIOMMU_DMA_NO_PRI,
				NULL);
}

bool gw_sees(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint64_t v)
{
	uint64_t got = ~v;

	return !gw_read(w, dev, pasid, addr, &got) && got == v;
}

bool gw_faults(struct gw *w, unsigned int dev, uint32_t pasid, uint64_t addr, uint8_t reason)
{
	struct viommu_dma_result res = { 0 };
	uint64_t v;

	return viommu_dma_read(w->dma, w->dev[dev], pasid, addr, &v, sizeof(v), VIOMMU_DMA_NO_PRI,
			       &res) == VIOMMU_FAULTED &&
	       res.fault.reason == reason;
}

void gw_process(struct gw *w, struct gw_process *p, unsigned int levels, uint64_t value)
{
	tables_stage_init(&p->fs, &w->ram, NULL, VIOMMU_FORMAT_VTD_FS, levels);
	p->page = gw_page(w);
	assert_int_equal(tables_map(&p->fs, GW_VA, p->page, 12, TABLES_RWU), 0);
	gw_ptr(w, p->page)[0] = value;
}

void gw_start(struct gw *w)
{
	unsigned int i;

	gw_iq_setup(w, 32, 0);
	gw_prq_setup(w, 0);
	gw_set_root(w, VTD_TTM_SCALABLE);
	for (i = 0; i < GW_DEVICES; i++)
		gw_context_make(w, GW_SID(i), GW_ALL, 0);
	gw_command(w, (uint32_t)VTD_MASK(VTD_GCMD_TE), true);
}
