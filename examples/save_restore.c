/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM that moves while its accelerator works: its memory is copied, what the accelerator writes
 * meanwhile is copied again, then its unit and accelerator are saved, with a descriptor that waits
 * in a queue, and a fresh VM goes on. The guest's part is played here, with translation off: the
 * device has guest physical addresses. docs/state.md goes through it.
 *
 *	cc save_restore.c $(pkg-config --cflags --libs viommu)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <viommu/viommu.h>

#define MUST(call)                                   \
	do {                                         \
		if (call) {                          \
			fprintf(stderr, #call "\n"); \
			exit(1);                     \
		}                                    \
	} while (0)

#define PAGES 64u
#define PAGE  4096u
#define SID   0x0028u /* 00:05.0 */

struct vm {
	uint8_t *ram; /* PAGES */
	struct viommu_board *board;
	struct viommu_dsa *dsa;
	struct viommu_pci *pci;
	struct viommu_dma *dma;
};

/* The same each time: configuration, devices, and where there is memory. */
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
	vm->ram = aligned_alloc(PAGE, PAGES * PAGE);
	MUST(!vm->ram);
	memset(vm->ram, 0, PAGES * PAGE);
	MUST(viommu_mem_add_ptr(viommu_board_mem(vm->board), 0, PAGES * PAGE, vm->ram, 0));
	MUST(viommu_dma_new(viommu_board_host(vm->board), &vm->dma));
}

static void vm_free(struct vm *vm)
{
	viommu_dma_free(vm->dma);
	viommu_board_free(vm->board);
	viommu_dsa_free(vm->dsa);
	free(vm->ram);
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

/* 5 pages each time, and a completion record for each. */
#define FROM      0x10000u
#define TO(n)     (0x20000u + 0x10000u * (n))
#define RECORD(n) (0x1000u + 64u * (n))

static void guest_submits_a_copy(struct vm *vm, unsigned n)
{
	const uint64_t flags = DSA_FLAG_CRAV | DSA_FLAG_RCR;
	const uint64_t w[8] = {
		((uint64_t)DSA_OP_MOVE << 24 | flags) << 32, RECORD(n), FROM, TO(n), 5 * PAGE,
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

/* What devices wrote since it was last asked for; what processors wrote, their hypervisor says. */
static void copy_dirty(struct vm *old, struct vm *new)
{
	struct viommu_domain *dom = viommu_board_domain(old->board);
	uint64_t bitmap[PAGES / 64], i;

	MUST(viommu_domain_dirty_read(dom, 0, PAGES * PAGE, VIOMMU_DIRTY_CLEAR, bitmap));
	for (i = 0; i < PAGES; i++)
		if (bitmap[i / 64] >> i % 64 & 1)
			memcpy(new->ram + i *PAGE, old->ram + i * PAGE, PAGE);
	printf("dirty pages: %016" PRIx64 "\n", bitmap[0]);
}

static void work(struct vm *vm, unsigned n)
{
	while (viommu_pci_run(vm->pci, vm->dma))
		;
	printf("status %u, copied: '%s'\n", vm->ram[RECORD(n)] & 0x3fu, (char *)vm->ram + TO(n));
}

int main(void)
{
	struct vm old, new;
	size_t bytes;
	void *state;

	vm_new(&old);
	memcpy(old.ram + FROM, "from the guest", 15);
	guest_enables_the_queue(&old);

	/* All of it once, while it runs; then what was written meanwhile. */
	vm_new(&new);
	MUST(viommu_domain_dirty_start(viommu_board_domain(old.board), 12));
	memcpy(new.ram, old.ram, PAGES * PAGE);
	guest_submits_a_copy(&old, 0);
	work(&old, 0);
	copy_dirty(&old, &new);

	/* It stands; what is left, and the devices. */
	guest_submits_a_copy(&old, 1);
	state = save(&old, &bytes);
	printf("a state of %zu bytes, with a descriptor that waits\n", bytes);
	copy_dirty(&old, &new);
	vm_free(&old);

	restore(&new, state, bytes);
	work(&new, 1);

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
