/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dsa.c - the lists of dsa_spec.h as tables, and look-up in them. No behaviour.
 */
#include <stddef.h>

#include <viommu/dsa_spec.h>

/* clang-format off */

#define CHECK_F(NAME, hi, lo, text)                                                                \
	_Static_assert((hi) >= (lo) && (hi) / 64 == (lo) / 64 && (hi) == NAME##_HI &&              \
			       (lo) == NAME##_LO,                                                  \
		       #NAME " crosses a word or contradicts its constants");
#define CHECK_S(PREFIX, bits, title) PREFIX##_FIELDS(CHECK_F)
DSA_STRUCTS(CHECK_S, CHECK_S)

#define FIELD_F(NAME, hi, lo, text) { #NAME, text, hi, lo, VIOMMU_SPEC_NORMAL, 0, 0 },
#define TABLE(PREFIX, nbits, text)                                                                 \
	static const struct viommu_spec_field PREFIX##_fields[] = { PREFIX##_FIELDS(FIELD_F) };    \
	static const struct viommu_spec_table PREFIX##_table = {                                   \
		.name = #PREFIX,                                                                   \
		.title = text,                                                                     \
		.bits = nbits,                                                                     \
		.nr = sizeof(PREFIX##_fields) / sizeof(PREFIX##_fields[0]),                        \
		.fields = PREFIX##_fields,                                                         \
	};
DSA_STRUCTS(TABLE, TABLE)
/* clang-format on */

#define POINTER(PREFIX, nbits, text) &PREFIX##_table,
const struct viommu_spec_table *const viommu_dsa_tables[] = {
	DSA_STRUCTS(POINTER, POINTER) NULL,
};

#define REG_ROW(NAME, blk, off, bits, nr, LAYOUT, w, w1c, cond, hk, txt) \
	{ .name = #NAME,                                                 \
	  .text = txt,                                                   \
	  .layout = #LAYOUT,                                             \
	  .offset = off,                                                 \
	  .block = VIOMMU_DSA_BLOCK_##blk,                               \
	  .width = bits,                                                 \
	  .count = nr,                                                   \
	  .when = VIOMMU_DSA_WHEN_##cond,                                \
	  .hook = VIOMMU_DSA_HOOK_##hk,                                  \
	  .writable = w,                                                 \
	  .rw1c = w1c },
const struct viommu_dsa_reg viommu_dsa_regs[] = { DSA_REGS(REG_ROW) };
const unsigned int viommu_dsa_regs_nr = sizeof(viommu_dsa_regs) / sizeof(viommu_dsa_regs[0]);

struct code {
	unsigned int code;
	const char *text;
};

#define CODE_ROW(NAME, code, text) { code, text },
static const struct code opcodes[] = { DSA_OPCODES(CODE_ROW){ 0, NULL } };
static const struct code statuses[] = { DSA_STATUSES(CODE_ROW){ 0, NULL } };
static const struct code commands[] = { DSA_COMMANDS(CODE_ROW){ 0, NULL } };
static const struct code errors[] = { DSA_COMMAND_ERRORS(CODE_ROW){ 0, NULL } };

const char *viommu_dsa_code_text(enum viommu_dsa_codes codes, unsigned int code)
{
	const struct code *c;

	switch (codes) {
	case VIOMMU_DSA_CODES_OPCODE:
		c = opcodes;
		break;
	case VIOMMU_DSA_CODES_STATUS:
		c = statuses;
		break;
	case VIOMMU_DSA_CODES_COMMAND:
		c = commands;
		break;
	case VIOMMU_DSA_CODES_COMMAND_ERROR:
		c = errors;
		break;
	default:
		return NULL;
	}
	while (c->text && c->code != code)
		c++;
	return c->text;
}

const struct viommu_spec_table *viommu_dsa_descriptor(unsigned int opcode)
{
	static const struct viommu_spec_table *const layouts[] = {
		[DSA_OP_NOOP] = &DSA_D_NOOP_table,
		[DSA_OP_BATCH] = &DSA_D_BATCH_table,
		[DSA_OP_DRAIN] = &DSA_D_DRAIN_table,
		[DSA_OP_MOVE] = &DSA_D_MOVE_table,
		[DSA_OP_FILL] = &DSA_D_FILL_table,
		[DSA_OP_COMPARE] = &DSA_D_COMPARE_table,
		[DSA_OP_COMPVAL] = &DSA_D_COMPVAL_table,
		[DSA_OP_CR_DELTA] = &DSA_D_CR_DELTA_table,
		[DSA_OP_AP_DELTA] = &DSA_D_AP_DELTA_table,
		[DSA_OP_DUALCAST] = &DSA_D_DUALCAST_table,
		[DSA_OP_CRC] = &DSA_D_CRC_table,
		[DSA_OP_COPY_CRC] = &DSA_D_COPY_CRC_table,
		[DSA_OP_DIF_CHECK] = &DSA_D_DIF_CHECK_table,
		[DSA_OP_DIF_INSERT] = &DSA_D_DIF_INSERT_table,
		[DSA_OP_DIF_STRIP] = &DSA_D_DIF_STRIP_table,
		[DSA_OP_DIF_UPDATE] = &DSA_D_DIF_UPDATE_table,
		[DSA_OP_CFLUSH] = &DSA_D_CFLUSH_table,
	};

	return opcode < sizeof(layouts) / sizeof(layouts[0]) ? layouts[opcode] : NULL;
}
