/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The demo's guest kernel: what an operating system's driver does with the unit, in the order in
 * which it does it (VT-d 5.10).
 */
#include <errno.h>

#include "demo_guest.h"

/* Where its tables stand in guest memory. */
enum {
	AT_ROOT = 0x10000,
	AT_CONTEXT = 0x11000,
	AT_DIRECTORY = 0x20000, /* 2^14 entries */
	AT_TABLE = 0x40000,     /* the one PASID table that is used */
	AT_QUEUE = 0x50000,     /* one page, 128 descriptors */
	AT_RING = 0x60000,
	AT_STATUS = 0x70000,
};

#define QUEUE_BYTES 4096u
#define RING_BYTES  4096u
#define DOMAIN_ID   1u /* of first-stage entries, as Linux has it */

static int store(struct demo_guest *g, uint64_t gpa, uint64_t v)
{
	return viommu_mem_store64(g->mem, gpa, v);
}

static void command(struct demo_guest *g, uint64_t bit)
{
	uint64_t on = viommu_guest_read(g->unit, VTD_REG_GSTS, 4) & VTD_GCMD_LEVELS;

	viommu_guest_write(g->unit, VTD_REG_GCMD, 4, on | bit);
}

static void event(struct demo_guest *g, unsigned int control, uint32_t vector)
{
	viommu_guest_write(g->unit, control + 4, 4, vector);
	viommu_guest_write(g->unit, control + 8, 4, 0xfee00000);
	viommu_guest_write(g->unit, control + 12, 4, 0);
	viommu_guest_write(g->unit, control, 4, 0); /* not masked */
}

int demo_guest_start(struct demo_guest *g)
{
	uint64_t context = AT_CONTEXT + (g->sid & 0x7f) * (uint64_t)VTD_SCE_BYTES;
	int ret;

	g->cap = viommu_guest_read(g->unit, VTD_REG_CAP, 8);
	viommu_guest_write(g->unit, VTD_REG_IQT, 4, 0);
	viommu_guest_write(g->unit, VTD_REG_IQA, 8, AT_QUEUE | VTD_MASK(VTD_IQA_DW));
	command(g, VTD_MASK(VTD_GCMD_QIE));

	/* Requests without PASID use PASID 0, or 1 if that is the process's. */
	ret = store(g, context + 8, g->gp == 0);
	if (!ret)
		ret = store(g, context,
			    AT_DIRECTORY | VTD_VAL(VTD_SCE_PDTS, 7) | VTD_MASK(VTD_SCE_DTE) |
				    VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE) |
				    VTD_MASK(VTD_SCE_P));
	if (!ret)
		ret = store(g,
			    AT_ROOT + (uint64_t)(g->sid >> 8) * VTD_ROOT_ENTRY_BYTES +
				    (g->sid >> 7 & 1) * 8,
			    AT_CONTEXT | VTD_MASK(VTD_SROOT_LP));
	if (ret)
		return ret;
	viommu_guest_write(g->unit, VTD_REG_RTADDR, 8,
			   AT_ROOT | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	command(g, VTD_MASK(VTD_GCMD_SRTP));
	event(g, VTD_REG_FECTL, DEMO_GUEST_VECTOR_FAULT);
	event(g, VTD_REG_PECTL, DEMO_GUEST_VECTOR_PAGE);
	viommu_guest_write(g->unit, VTD_REG_PQA, 8, AT_RING);
	command(g, VTD_MASK(VTD_GCMD_TE));
	return viommu_guest_read(g->unit, VTD_REG_GSTS, 4) & VTD_MASK(VTD_GSTS_TES) ? 0 : -EIO;
}

/* Into the ring; the tail is told by wait(). */
static int put(struct demo_guest *g, uint64_t d0, uint64_t d1)
{
	int ret = store(g, AT_QUEUE + g->tail, d0);

	if (!ret)
		ret = store(g, AT_QUEUE + g->tail + 8, d1);
	if (!ret)
		ret = store(g, AT_QUEUE + g->tail + 16, 0);
	if (!ret)
		ret = store(g, AT_QUEUE + g->tail + 24, 0);
	g->tail = (g->tail + 32) % QUEUE_BYTES;
	return ret;
}

/* Everything before it is done when its status arrives. */
static int wait(struct demo_guest *g)
{
	uint32_t status = 0;
	int ret;

	ret = put(g,
		  VTD_IQ_TYPE_WAIT | VTD_MASK(VTD_IQ_WAIT_SW) | VTD_VAL(VTD_IQ_WAIT_DATA, ++g->seq),
		  AT_STATUS);
	if (ret)
		return ret;
	viommu_guest_write(g->unit, VTD_REG_IQT, 4, g->tail);
	while (viommu_guest_run(g->unit))
		;
	ret = viommu_mem_read(g->mem, AT_STATUS, &status, sizeof(status));
	return ret ? ret : status == g->seq ? 0 : -EIO;
}

/* PASID cache, this PASID; the trap. */
static int flush_pasid_cache(struct demo_guest *g)
{
	g->flush[0] = VTD_IQ_TYPE_PC | VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) |
		      VTD_VAL(VTD_IQ_PC_DID, DOMAIN_ID) | VTD_VAL(VTD_IQ_PC_PASID, g->gp);
	g->flush[1] = 0;
	return put(g, g->flush[0], g->flush[1]);
}

int demo_guest_bind(struct demo_guest *g, uint64_t root, unsigned int levels)
{
	uint64_t *e = g->entry;
	unsigned int i;
	int ret;

	for (i = 0; i < 8; i++)
		e[i] = 0;
	VTD_SET(e, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(e, VTD_PE_DID, DOMAIN_ID);
	VTD_SET(e, VTD_PE_PWSNP, 1);
	VTD_SET(e, VTD_PE_FSPM, levels == 5);
	VTD_SET(e, VTD_PE_FSPTPTR, root >> 12);
	VTD_SET(e, VTD_PE_P, 1);
	g->entry_addr = AT_TABLE + (uint64_t)(g->gp % VTD_PASID_TABLE_ENTRIES) * VTD_PE_BYTES;
	ret = store(g, AT_DIRECTORY + (uint64_t)(g->gp >> VTD_PASID_TABLE_LG2) * VTD_PDIR_BYTES,
		    AT_TABLE | VTD_MASK(VTD_PDIR_P));
	/* P is in the first word, which goes last. */
	for (i = 8; i-- > 0 && !ret;)
		ret = store(g, g->entry_addr + 8 * i, e[i]);
	if (!ret)
		ret = flush_pasid_cache(g);
	return ret ? ret : wait(g);
}

int demo_guest_unbind(struct demo_guest *g)
{
	int ret = store(g, g->entry_addr, 0);

	if (!ret)
		ret = flush_pasid_cache(g);
	if (!ret)
		ret = put(g,
			  VTD_IQ_TYPE_PIOTLB | VTD_VAL(VTD_IQ_PIOTLB_G, VTD_IQ_PIOTLB_SELECTIVE) |
				  VTD_VAL(VTD_IQ_PIOTLB_DID, DOMAIN_ID) |
				  VTD_VAL(VTD_IQ_PIOTLB_PASID, g->gp),
			  0);
	if (!ret)
		ret = put(g,
			  VTD_IQ_TYPE_PDTLB | VTD_VAL(VTD_IQ_PDTLB_SID, g->sid) |
				  VTD_VAL(VTD_IQ_PDTLB_PASID, g->gp),
			  VTD_MASK(VTD_IQ_PDTLB_S) | UINT64_C(0x7ffffffffffff000));
	return ret ? ret : wait(g);
}

int demo_guest_flush(struct demo_guest *g, uint64_t va, unsigned int page_lg2)
{
	int ret = put(g,
		      VTD_IQ_TYPE_PIOTLB | VTD_VAL(VTD_IQ_PIOTLB_G, VTD_IQ_PIOTLB_PAGE) |
			      VTD_VAL(VTD_IQ_PIOTLB_DID, DOMAIN_ID) |
			      VTD_VAL(VTD_IQ_PIOTLB_PASID, g->gp),
		      (va & ~UINT64_C(4095)) | (page_lg2 - 12));

	return ret ? ret : wait(g);
}

bool demo_guest_request(struct demo_guest *g, uint64_t request[4])
{
	uint64_t head = viommu_guest_read(g->unit, VTD_REG_PQH, 8);

	/* Status first: a request that comes after the tail was read raises the event again. */
	viommu_guest_write(g->unit, VTD_REG_PRS, 4, VTD_MASK(VTD_PRS_PPR));
	if (head == viommu_guest_read(g->unit, VTD_REG_PQT, 8) ||
	    viommu_mem_read(g->mem, AT_RING + head, request, VTD_PRQ_BYTES))
		return false;
	viommu_guest_write(g->unit, VTD_REG_PQH, 8, (head + VTD_PRQ_BYTES) % RING_BYTES);
	return true;
}

int demo_guest_respond(struct demo_guest *g, const uint64_t request[4], unsigned int code)
{
	int ret = put(g,
		      VTD_IQ_TYPE_PGRP | VTD_VAL(VTD_IQ_PGRP_PP, VTD_GET(request, VTD_PRQ_PP)) |
			      VTD_VAL(VTD_IQ_PGRP_RC, code) |
			      VTD_VAL(VTD_IQ_PGRP_RID, VTD_GET(request, VTD_PRQ_RID)) |
			      VTD_VAL(VTD_IQ_PGRP_PASID, VTD_GET(request, VTD_PRQ_PASID)),
		      VTD_VAL(VTD_IQ_PGRP_PRGI, VTD_GET(request, VTD_PRQ_PRGI)));

	return ret ? ret : wait(g);
}

bool demo_guest_fault(struct demo_guest *g, uint64_t record[2])
{
	uint64_t fsts = viommu_guest_read(g->unit, VTD_REG_FSTS, 4);
	uint64_t nr = VTD_FIELD(g->cap, VTD_CAP_NFR) + 1, n, at;

	/* FRI is the first that was filled; it stays when that one is freed. */
	for (n = 0; n < nr && (fsts & VTD_MASK(VTD_FSTS_PPF)); n++) {
		at = 16 *
		     (VTD_FIELD(g->cap, VTD_CAP_FRO) + (VTD_FIELD(fsts, VTD_FSTS_FRI) + n) % nr);
		record[0] = viommu_guest_read(g->unit, at, 8);
		record[1] = viommu_guest_read(g->unit, at + 8, 8);
		if (!VTD_GET(record, VTD_FRCD_F))
			continue;
		viommu_guest_write(g->unit, at + 12, 4, UINT64_C(1) << 31); /* F frees it */
		return true;
	}
	viommu_guest_write(g->unit, VTD_REG_FSTS, 4, VTD_MASK(VTD_FSTS_PFO));
	return false;
}
