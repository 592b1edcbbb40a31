/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM's unit and accelerator saved, and restored on another board, with a descriptor that waits in
 * a queue; and which pages the accelerator wrote. The guest's part is played here, with translation
 * off: the device has guest physical addresses. docs/state.md goes through it.
 *
 *	cc save_restore.c $(pkg-config --cflags --libs viommu)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <viommu/viommu.h>

#define MUST(call)                                   \
	do {                                         \
		if (call) {                          \
			fprintf(stderr, #call "\n"); \
			exit(1);                     \
		}                                    \
	} while (0)

#define PAGES 64u
#define SID   0x0028u /* 00:05.0 */

static uint64_t ram[PAGES * 512] __attribute__((aligned(4096)));

struct vm {
	struct viommu_board *board;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	struct viommu_dma *dma;
};

/* The same each time: configuration, devices, memory. */
static void vm_new(struct vm *vm)
{
	const struct viommu_board_config config = {
		.size = sizeof(config),
		.guest = { .size = sizeof(config.guest) },
		.domain_flags = VIOMMU_DOMAIN_DIRTY,
	};

	MUST(viommu_board_new(&config, &vm->board));
	MUST(viommu_dsa_new(NULL, &vm->dsa));
	vm->pci = viommu_dsa_pci(vm->dsa);
	MUST(viommu_board_add(vm->board, vm->pci, SID));
	MUST(viommu_mem_add_ptr(viommu_board_mem(vm->board), 0, sizeof(ram), ram, 0));
	MUST(viommu_dma_new(viommu_board_host(vm->board), &vm->dma));
}

static void vm_free(struct vm *vm)
{
	viommu_dma_free(vm->dma);
	viommu_board_free(vm->board);
	viommu_dsa_free(vm->dsa);
}

/* ---- The guest ---- */

static void store(struct vm *vm, unsigned bar, uint64_t offset, unsigned bytes, uint64_t value)
{
	MUST(viommu_pci_bar_write(vm->pci, bar, offset, bytes, value));
}

/* Bus mastering on; one dedicated queue of 16 entries, without PASID, on one engine. */
static void guest_enables_the_queue(struct vm *vm)
{
	const uint16_t on = 6;

	MUST(viommu_pci_config_write(vm->pci, 4, &on, sizeof(on)));
	store(vm, 0, 0x400, 4, 1);
	store(vm, 0, 0x420, 4, 1);
	store(vm, 0, 0x500, 4, 16);
	store(vm, 0, 0x508, 4, 1 | 10 << 4);
	store(vm, 0, 0x50c, 4, 21 | 5 << 5);
	store(vm, 0, 0xa0, 4, DSA_CMD_ENABLE_DEVICE << 20);
	store(vm, 0, 0xa0, 4, DSA_CMD_ENABLE_WQ << 20);
}

/* 5 pages from 10000h to 20000h, with a completion record at 1000h. */
static void guest_submits_a_copy(struct vm *vm)
{
	const uint64_t flags = DSA_FLAG_CRAV | DSA_FLAG_RCR;
	const uint64_t w[8] = {
		((uint64_t)DSA_OP_MOVE << 24 | flags) << 32, 0x1000, 0x10000, 0x20000, 5 * 4096,
	};
	unsigned i;

	for (i = 0; i < 8; i++)
		store(vm, 2, 8 * i, 8, w[i]);
}

/* ---- The VMM ---- */

static void *save(struct vm *vm, size_t *bytes)
{
	char why[160];
	void *state;

	if (viommu_board_pause(vm->board, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	MUST(viommu_board_save(vm->board, &state, bytes));
	return state;
}

static void restore(struct vm *vm, const void *state, size_t bytes)
{
	char why[160];

	if (viommu_board_load(vm->board, state, bytes, why, sizeof(why))) {
		fprintf(stderr, "refused: %s\n", why);
		exit(1);
	}
	/* Now who listens to interrupts: viommu_pci_set_vmm() of each function. Then: */
	viommu_board_resume(vm->board);
}

static void show_dirty(struct viommu_domain *dom)
{
	uint64_t bitmap[PAGES / 64];

	MUST(viommu_domain_dirty_read(dom, 0, sizeof(ram), VIOMMU_DIRTY_CLEAR, bitmap));
	printf("dirty pages: %016" PRIx64 "\n", bitmap[0]);
}

int main(void)
{
	struct vm old, new;
	struct viommu_domain *dom;
	size_t bytes;
	void *state;

	vm_new(&old);
	guest_enables_the_queue(&old);
	guest_submits_a_copy(&old);
	state = save(&old, &bytes);
	vm_free(&old);
	printf("a state of %zu bytes, with a descriptor that waits\n", bytes);

	vm_new(&new);
	dom = viommu_board_domain(new.board);
	restore(&new, state, bytes);
	MUST(viommu_domain_dirty_start(dom, 12));
	show_dirty(dom);
	while (viommu_pci_run(new.pci, new.dma))
		;
	printf("completion record: status %u\n", (unsigned)(ram[0x1000 / 8] & 0x3f));
	show_dirty(dom);
	show_dirty(dom);
	viommu_domain_dirty_stop(dom);

	/* What was cut is refused, and leaves nothing. */
	{
		char why[160];

		if (!viommu_board_load(new.board, state, bytes - 100, why, sizeof(why)))
			return 1;
		printf("refused: %s\n", why);
	}
	viommu_state_free(state);
	vm_free(&new);
	return 0;
}
