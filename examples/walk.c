/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walking page tables without a device: a stack of stages over a memory, and a recorder that sees
 * every step.
 *
 *	cc walk.c $(pkg-config --cflags --libs viommu)
 */
#include "guest.h"

#define VA UINT64_C(0x7f0000000000)

static void show(struct viommu_recorder *rec, const struct viommu_step *step)
{
	(void)rec;
	if (step->kind == VIOMMU_STEP_READ)
		printf("level %u: entry at %#llx is %#llx\n", step->level,
		       (unsigned long long)step->entry_addr, (unsigned long long)step->value);
}

int main(void)
{
	struct viommu_recorder rec = { .step = show };
	struct viommu_walk_result result;
	struct viommu_stack stack = { .nr = 1, .haw = 48 };
	struct guest g;
	int ret;

	guest_new(&g);
	guest_map(&g, VA, 0x5000);
	stack.mem = g.mem;
	stack.stage[0] = (struct viommu_stage){ .format = VIOMMU_FORMAT_VTD_FS,
						.levels = 4,
						.haw = 48,
						.flags = VIOMMU_STAGE_1G | VIOMMU_STAGE_SNOOP,
						.root = g.root };

	MUST(viommu_walk(&stack, VA + 0x123, VIOMMU_READ, VIOMMU_WALK_DRY, &rec, &result));
	printf("%#llx -> %#llx after %u reads\n", VA + 0x123ull, (unsigned long long)result.out,
	       result.reads);

	ret = viommu_walk(&stack, VA + 0x1000, VIOMMU_READ, VIOMMU_WALK_DRY, NULL, &result);
	printf("the next page: %s at level %u\n", viommu_fault_text(result.fault.reason),
	       result.fault.level);
	viommu_mem_free(g.mem);
	return ret != VIOMMU_FAULTED;
}
