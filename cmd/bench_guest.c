/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the rows UNIT and STATE, as far as it is a driver: the unit's and a DSA device's.
 * What a VMM adds on the way (an exit, a message) is not in what it takes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_guest.h"
#include "cmd.h"

void unit_need(int ret, const char *what)
{
	if (!ret)
		return;
	cmd_error("bench", "%s: %s", what, strerror(-ret));
	exit(CMD_FAILED);
}

uint64_t *unit_words(struct unit *u, uint64_t gpa)
{
	return (uint64_t *)(void *)(u->ram + gpa);
}

/* ---- The guest's driver ---- */

void unit_put(struct unit *u, uint64_t d0, uint64_t d1)
{
	uint64_t *d = unit_words(u, QUEUE + u->tail);

	d[0] = d0;
	d[1] = d1;
	d[2] = d[3] = 0;
	u->tail = (u->tail + 32) % QUEUE_BYTES;
}

void unit_put_pasid_cache(struct unit *u, uint32_t pasid)
{
	unit_put(u,
		 VTD_VAL(VTD_IQ_PC_TYPE, VTD_IQ_TYPE_PC) |
			 VTD_VAL(VTD_IQ_PC_G, VTD_IQ_PC_SELECTIVE) | VTD_VAL(VTD_IQ_PC_DID, DID) |
			 VTD_VAL(VTD_IQ_PC_PASID, pasid),
		 0);
}

void unit_put_piotlb(struct unit *u, uint32_t pasid)
{
	unit_put(u,
		 VTD_VAL(VTD_IQ_PIOTLB_TYPE, VTD_IQ_TYPE_PIOTLB) |
			 VTD_VAL(VTD_IQ_PIOTLB_G, VTD_IQ_PIOTLB_SELECTIVE) |
			 VTD_VAL(VTD_IQ_PIOTLB_DID, DID) | VTD_VAL(VTD_IQ_PIOTLB_PASID, pasid),
		 0);
}

void unit_flush(struct unit *u)
{
	volatile uint32_t *status = (volatile uint32_t *)unit_words(u, STATUS);

	u->seq++;
	unit_put(u,
		 VTD_VAL(VTD_IQ_WAIT_TYPE, VTD_IQ_TYPE_WAIT) | VTD_MASK(VTD_IQ_WAIT_SW) |
			 VTD_VAL(VTD_IQ_WAIT_DATA, u->seq),
		 STATUS);
	viommu_guest_write(u->guest, VTD_REG_IQT, 8, u->tail);
	while (*status != u->seq && viommu_guest_run(u->guest))
		;
	u->errors += *status != u->seq;
}

void unit_command(struct unit *u, uint32_t bit)
{
	uint32_t on =
		(uint32_t)viommu_guest_read(u->guest, VTD_REG_GSTS, 4) & (uint32_t)VTD_GCMD_LEVELS;

	viommu_guest_write(u->guest, VTD_REG_GCMD, 4, on | bit);
}

void unit_entry(struct unit *u, uint32_t pasid)
{
	uint64_t *pe = unit_words(u, TABLES + pasid * UINT64_C(64));

	memset(pe, 0, 64);
	VTD_SET(pe, VTD_PE_PGTT, VTD_PGTT_FS);
	VTD_SET(pe, VTD_PE_DID, DID);
	VTD_SET(pe, VTD_PE_PWSNP, 1);
	pe[VTD_WORD(VTD_PE_FSPTPTR)] |= FIRST;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	pe[0] |= VTD_MASK(VTD_PE_P);
}

static void no_entry(struct unit *u, uint32_t pasid)
{
	unit_words(u, TABLES + pasid * UINT64_C(64))[0] &= ~VTD_MASK(VTD_PE_P);
}

uint64_t *unit_leaf(struct unit *u, uint64_t gva)
{
	return unit_words(u, FIRST + 3 * PAGE) + (gva >> 12 & 511);
}

static void process(struct unit *u)
{
	const uint64_t all = VTD_MASK(VTD_FS_P) | VTD_MASK(VTD_FS_RW) | VTD_MASK(VTD_FS_US);
	uint64_t i;

	unit_words(u, FIRST)[GVA >> 39 & 511] = (FIRST + 1 * PAGE) | all;
	unit_words(u, FIRST + 1 * PAGE)[GVA >> 30 & 511] = (FIRST + 2 * PAGE) | all;
	unit_words(u, FIRST + 2 * PAGE)[GVA >> 21 & 511] = (FIRST + 3 * PAGE) | all;
	for (i = 0; i < DATA_BYTES; i += PAGE)
		*unit_leaf(u, GVA + i) = (DATA + i) | all;
}

static void tables(struct unit *u)
{
	uint64_t *context = unit_words(u, CONTEXT + (SID & 0x7f) * UINT64_C(32)), i;

	unit_words(u, ROOT)[0] = CONTEXT | VTD_MASK(VTD_SROOT_LP);
	context[0] = DIRECTORY | VTD_MASK(VTD_SCE_P) | VTD_MASK(VTD_SCE_DTE) |
		     VTD_MASK(VTD_SCE_PASIDE) | VTD_MASK(VTD_SCE_PRE);
	for (i = 0; i < PASIDS / 64; i++)
		unit_words(u, DIRECTORY)[i] = (TABLES + i * PAGE) | VTD_MASK(VTD_PDIR_P);
	process(u);
}

/* What an operating system switches on in the device's configuration space. */
static void config_write(struct unit *u, unsigned int offset, uint16_t value)
{
	const uint8_t le[2] = { (uint8_t)value, (uint8_t)(value >> 8) };

	unit_need(viommu_pci_config_write(u->pci, offset, le, sizeof(le)), "configuration");
}

static void device_on(struct unit *u)
{
	config_write(u, 0x04, 6);       /* memory, bus master */
	config_write(u, 0x236, 1);      /* PASID */
	config_write(u, 0x226, 0x8000); /* ATS */
	config_write(u, 0x24c, 64);     /* page requests outstanding */
	config_write(u, 0x244, 1);      /* PRI */
}

void unit_board_new(struct unit *u)
{
	const struct viommu_board_config config = {
		.size = sizeof(config),
		.guest = { .size = sizeof(config.guest),
			   .flags = VIOMMU_GUEST_CM | u->config.flags },
		.host = u->config.host,
	};
	const struct viommu_dsa_config dsa = { .size = sizeof(dsa), .hw = u->config.hw };

	unit_need(viommu_board_new(&config, &u->board), "board");
	unit_need(viommu_dsa_new(&dsa, &u->dsa), "DSA");
	u->guest = viommu_board_guest(u->board);
	u->pci = viommu_dsa_pci(u->dsa);
	if (u->config.parent)
		unit_need(viommu_board_add_sub(u->board, u->pci, SID, u->config.parent), "device");
	else
		unit_need(viommu_board_add(u->board, u->pci, SID), "device");
	unit_need(viommu_mem_add_ptr(viommu_board_mem(u->board), 0, RAM, u->ram, 0), "memory");
	unit_need(viommu_dma_new(viommu_board_host(u->board), &u->dma), "DMA object");
}

void unit_board_free(struct unit *u)
{
	viommu_dma_free(u->dma);
	viommu_board_remove(u->board, u->pci);
	viommu_dsa_free(u->dsa);
	viommu_board_free(u->board);
}

void unit_open(struct unit *u, const struct unit_config *config)
{
	memset(u, 0, sizeof(*u));
	if (config)
		u->config = *config;
	u->ram = vm_map_memory(RAM, &u->map, &u->map_bytes);
	memset(u->ram, 0, RAM);
	unit_board_new(u);
	tables(u);
	viommu_guest_write(u->guest, VTD_REG_IQA, 8, QUEUE | VTD_MASK(VTD_IQA_DW) | 1);
	unit_command(u, (uint32_t)VTD_MASK(VTD_GCMD_QIE));
	viommu_guest_write(u->guest, VTD_REG_RTADDR, 8,
			   ROOT | VTD_VAL(VTD_RTADDR_TTM, VTD_TTM_SCALABLE));
	unit_command(u, (uint32_t)VTD_MASK(VTD_GCMD_SRTP));
	unit_command(u, (uint32_t)VTD_MASK(VTD_GCMD_TE));
	device_on(u);
}

void unit_close(struct bench *b, struct unit *u)
{
	if (u->errors)
		bench_wrong(b, "the guest: %llu steps went wrong", (unsigned long long)u->errors);
	unit_board_free(u);
	munmap(u->map, u->map_bytes);
}

/* ---- Binds ---- */

uint64_t unit_bound(struct unit *u)
{
	struct viommu_guest_stats stats = { .size = sizeof(stats) };

	viommu_guest_stats(u->guest, &stats);
	return stats.bound;
}

uint64_t unit_binds(struct unit *u, uint64_t n, bool bind)
{
	uint64_t before = unit_bound(u), t0, ns = 0, i;

	for (i = 1; i <= n; i++) {
		if (!bind)
			no_entry(u, (uint32_t)i);
		else
			unit_entry(u, (uint32_t)i);
		t0 = bench_now();
		unit_put_pasid_cache(u, (uint32_t)i);
		unit_flush(u);
		ns += bench_now() - t0;
	}
	u->errors += unit_bound(u) != (bind ? before + n : before - n);
	return ns;
}

/* ---- DSA ---- */

/* Until there is nothing left to do. */
static void work(struct unit *u)
{
	struct viommu_dsa_hw *hw = u->config.hw;

	while (hw ? viommu_pci_engines_run(viommu_dsa_hw_engines(hw), u->dma)
		  : viommu_pci_run(u->pci, u->dma))
		;
}

#define BAR0(offset, bytes, value) \
	unit_need(viommu_pci_bar_write(u->pci, 0, offset, bytes, value), "BAR 0")
/* Buffers move through this much; the largest still fits between. */
#define SPREAD (512 * KIB - 4 * PAGE)
#define GRPCFG 0x400u
#define WQCFG  0x500u

static void dsa_command(struct unit *u, unsigned int code, uint32_t operand)
{
	uint64_t status;

	BAR0(0xa0, 4, (uint64_t)code << DSA_CMD_CODE_LO | operand);
	work(u);
	unit_need(viommu_pci_bar_read(u->pci, 0, 0xa8, 4, &status), "BAR 0");
	u->errors += status != 0;
}

void unit_dsa_open(struct unit *u)
{
	BAR0(GRPCFG, 8, 1);
	BAR0(GRPCFG + 32, 8, 1);
	BAR0(GRPCFG + 40, 4, 96u << 20);
	BAR0(WQCFG, 4, 16);
	BAR0(WQCFG + 8, 4, 1 | 10 << 4 | PASID << 8 | 1u << 28);
	BAR0(WQCFG + 12, 4, 21 | 5 << 5);
	dsa_command(u, DSA_CMD_ENABLE_DEVICE, 0);
	dsa_command(u, DSA_CMD_ENABLE_WQ, 0);
}

uint64_t unit_copies(void *ctx, uint64_t n)
{
	volatile uint8_t *status;
	uint64_t d[8] = { 0 }, t0, i;
	struct unit *u = ctx;

	d[0] = (uint64_t)DSA_OP_MOVE << DSA_D_OPCODE_LO | (uint64_t)(DSA_FLAG_CRAV | DSA_FLAG_RCR)
								  << DSA_D_FLAGS_LO;
	d[1] = GVA;
	d[4] = u->bytes;
	status = u->ram + DATA;
	t0 = bench_now();
	for (; n; n--) {
		u->at = (u->at + 2 * PAGE) % SPREAD;
		d[2] = GVA + PAGE + u->at;
		d[3] = GVA + MIB + u->at;
		*status = 0;
		for (i = 0; i < 8; i++)
			u->errors += viommu_pci_bar_write(u->pci, 2, 0x1000 + i * 8, 8, d[i]) != 0;
		work(u);
		u->errors += *status != DSA_ST_SUCCESS;
	}
	return bench_now() - t0;
}

uint64_t unit_memcpy(void *ctx, uint64_t n)
{
	struct unit *u = ctx;
	uint64_t t0 = bench_now();

	for (; n; n--) {
		u->at = (u->at + 2 * PAGE) % SPREAD;
		memcpy(u->ram + DATA + MIB + u->at, u->ram + DATA + PAGE + u->at, u->bytes);
		CLOBBER();
	}
	return bench_now() - t0;
}
