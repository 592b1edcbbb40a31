/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The steps of a walk, kept and shown: as a table for people, as objects for programs. Entries are
 * decoded with the field tables of viommu/vtd.h.
 *
 *	struct cmd_steps steps;
 *
 *	cmd_steps_init(&steps);
 *	viommu_walk(&stack, addr, VIOMMU_READ, VIOMMU_WALK_DRY, &steps.rec, &result);
 *	cmd_steps_settle(&steps, result.reads);
 *	cmd_steps_print(stdout, &steps, &view);
 *	cmd_steps_clear(&steps);		for the next walk
 *	cmd_steps_free(&steps);
 */
#ifndef VIOMMU_CMD_STEPS_H
#define VIOMMU_CMD_STEPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <viommu/walk.h>

#include "cmd.h"

struct cmd_steps {
	struct viommu_recorder rec;
	struct viommu_step *list;
	size_t nr;
	size_t room;
	bool failed; /* no memory: some are missing */
};

void cmd_steps_init(struct cmd_steps *steps);
void cmd_steps_clear(struct cmd_steps *steps);
void cmd_steps_free(struct cmd_steps *steps);

/*
 * A walk that met an edit of its tables starts again, and the recorder sees both. Keeps what came
 * before the stages (the table path) and the last `reads` reads of stages with all that belongs to
 * them.
 */
void cmd_steps_settle(struct cmd_steps *steps, uint32_t reads);

/* What one has to know to show steps. */
struct cmd_view {
	const struct viommu_stack *stack;
	struct viommu_mem *mem; /* root, context and PASID tables are read again, as a whole */
	uint64_t cap;
	uint64_t ecap;
	uint8_t haw;
	bool legacy; /* context entries are legacy mode's */
	struct cmd_colour colour;
};

/* "first", "second", or "path" for VIOMMU_STAGE_PATH. */
const char *cmd_stage_name(const struct viommu_stack *stack, unsigned int stage);

/* A line for each entry read, lines of at most 100 columns. */
void cmd_steps_print(FILE *out, const struct cmd_steps *steps, const struct cmd_view *view);

/* An array with an object for each entry read. */
json_t *cmd_steps_json(const struct cmd_steps *steps, const struct cmd_view *view);

/* An array of [address in memory, bits set], a pair for each accessed or dirty update. */
json_t *cmd_steps_json_changes(const struct cmd_steps *steps);

#endif /* VIOMMU_CMD_STEPS_H */
