/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vtd.c - the lists of vtd.h as tables, and look-up in them.
 *
 * VT-d 5.10: every structure, register and fault reason of vtd.h. No behaviour: what a field does
 * is elsewhere.
 */
#include <string.h>

#include <viommu/vtd.h>

/* clang-format off */

/* Lists must hold what the access macros rely on: one word per field, inside the structure. */
#define CHECK_F(NAME, hi, lo, text)                                                                \
	_Static_assert((hi) >= (lo) && (hi) / 64 == (lo) / 64 && (hi) == NAME##_HI &&              \
			       (lo) == NAME##_LO,                                                  \
		       #NAME " crosses a word or contradicts its constants");
#define CHECK_C(NAME, hi, lo, reg, bit, text) CHECK_F(NAME, hi, lo, text)
#define CHECK_S(PREFIX, bits, title) PREFIX##_FIELDS(CHECK_F, CHECK_F, CHECK_C)
VTD_STRUCTS(CHECK_S, CHECK_S)
VTD_FS_NAMES(CHECK_F)
VTD_SS_NAMES(CHECK_F)

#define FIELD_F(NAME, hi, lo, text) { #NAME, text, hi, lo, VIOMMU_SPEC_NORMAL, 0, 0 },
#define FIELD_I(NAME, hi, lo, text) { #NAME, text, hi, lo, VIOMMU_SPEC_IGNORED, 0, 0 },
#define FIELD_C(NAME, hi, lo, reg, bit, text)                                                      \
	{ #NAME, text, hi, lo, VIOMMU_SPEC_CONDITIONAL, VIOMMU_SPEC_CAP_##reg,                     \
	  VTD_MASK(VTD_##reg##_##bit) },
#define TABLE(PREFIX, nbits, text)                                                                 \
	static const struct viommu_spec_field PREFIX##_fields[] = {                                \
		PREFIX##_FIELDS(FIELD_F, FIELD_I, FIELD_C)                                         \
	};                                                                                         \
	static const struct viommu_spec_table PREFIX##_table = {                                   \
		.name = #PREFIX,                                                                   \
		.title = text,                                                                     \
		.bits = nbits,                                                                     \
		.nr = sizeof(PREFIX##_fields) / sizeof(PREFIX##_fields[0]),                        \
		.fields = PREFIX##_fields,                                                         \
	};
VTD_STRUCTS(TABLE, TABLE)
/* clang-format on */

#define POINTER(PREFIX, nbits, text) &PREFIX##_table,
const struct viommu_spec_table *const viommu_spec_tables[] = {
	VTD_STRUCTS(POINTER, POINTER) NULL,
};

const struct viommu_spec_table *viommu_spec_table_find(const char *name)
{
	size_t i;

	for (i = 0; viommu_spec_tables[i]; i++)
		if (!strcmp(viommu_spec_tables[i]->name, name))
			return viommu_spec_tables[i];
	return NULL;
}

const char *viommu_spec_field_name(const struct viommu_spec_table *table,
				   const struct viommu_spec_field *field)
{
	size_t i = 0;

	/*
	 * Kinds of paging entry ("VTD_FS_4K") share their names ("VTD_FS_P"), so cut what the two
	 * have in common, back to an underscore, not the table's whole name.
	 */
	while (table->name[i] && table->name[i] == field->name[i])
		i++;
	if (table->name[i] == '\0' && field->name[i] == '_')
		return field->name + i + 1;
	while (i > 0 && field->name[i - 1] != '_')
		i--;
	return field->name + i;
}

uint64_t viommu_spec_field_get(const struct viommu_spec_field *field, const uint64_t *words)
{
	unsigned int nr = field->hi - field->lo + 1u;

	return (words[field->lo / 64] >> (field->lo % 64)) & (~(uint64_t)0 >> (64 - nr));
}

static uint64_t field_mask(const struct viommu_spec_field *field)
{
	unsigned int nr = field->hi - field->lo + 1u;

	return (~(uint64_t)0 >> (64 - nr)) << (field->lo % 64);
}

static int need_met(unsigned int need_reg, uint64_t need, uint64_t cap, uint64_t ecap)
{
	switch (need_reg) {
	case VIOMMU_SPEC_CAP_CAP:
		return (cap & need) != 0;
	case VIOMMU_SPEC_CAP_ECAP:
		return (ecap & need) != 0;
	default:
		return 1;
	}
}

uint64_t viommu_spec_reserved_for(const struct viommu_spec_table *table, unsigned int w,
				  uint64_t cap, uint64_t ecap)
{
	uint64_t covered = 0;
	unsigned int i;

	for (i = 0; i < table->nr; i++) {
		const struct viommu_spec_field *f = &table->fields[i];

		if (f->lo / 64u == w && need_met(f->need_reg, f->need, cap, ecap))
			covered |= field_mask(f);
	}
	return ~covered;
}

uint64_t viommu_spec_reserved(const struct viommu_spec_table *table, unsigned int w)
{
	return viommu_spec_reserved_for(table, w, ~(uint64_t)0, ~(uint64_t)0);
}

#define REG(NAME, bas, off, wid, cnt, LAYOUT, rst, wr, w1c, stk, nreg, nmask, flg, txt) \
	{                                                                               \
		.name = #NAME,                                                          \
		.text = txt,                                                            \
		.layout = #LAYOUT,                                                      \
		.offset = off,                                                          \
		.base = VIOMMU_SPEC_BASE_##bas,                                         \
		.width = wid,                                                           \
		.count = cnt,                                                           \
		.need_reg = VIOMMU_SPEC_CAP_##nreg,                                     \
		.flags = flg,                                                           \
		.need = nmask,                                                          \
		.reset = rst,                                                           \
		.writable = wr,                                                         \
		.rw1c = w1c,                                                            \
		.sticky = stk,                                                          \
	},
const struct viommu_spec_reg viommu_spec_regs[] = { VTD_REGS(REG) };
const unsigned int viommu_spec_regs_nr = sizeof(viommu_spec_regs) / sizeof(viommu_spec_regs[0]);
const struct viommu_spec_reg viommu_spec_old_regs[] = { VTD_OLD_REGS(REG) };
const unsigned int viommu_spec_old_regs_nr =
	sizeof(viommu_spec_old_regs) / sizeof(viommu_spec_old_regs[0]);

int viommu_spec_reg_present(const struct viommu_spec_reg *reg, uint64_t cap, uint64_t ecap)
{
	return need_met(reg->need_reg, reg->need, cap, ecap);
}

#define FAULT(NAME, cod, q, U, T, X, P, txt) { #NAME, txt, cod, q, U, T, X, P },
const struct viommu_spec_fault viommu_spec_faults[] = { VTD_FAULTS(FAULT) };
const unsigned int viommu_spec_faults_nr =
	sizeof(viommu_spec_faults) / sizeof(viommu_spec_faults[0]);

const struct viommu_spec_fault *viommu_fault_find(unsigned int code)
{
	unsigned int i;

	for (i = 0; i < viommu_spec_faults_nr; i++)
		if (viommu_spec_faults[i].code == code)
			return &viommu_spec_faults[i];
	return NULL;
}

const char *viommu_fault_name(unsigned int code)
{
	const struct viommu_spec_fault *f = viommu_fault_find(code);

	return f ? f->name : "unknown";
}

const char *viommu_fault_text(unsigned int code)
{
	const struct viommu_spec_fault *f = viommu_fault_find(code);

	return f ? f->text : "unknown";
}

enum viommu_outcome viommu_fault_outcome(unsigned int code, unsigned int request)
{
	const struct viommu_spec_fault *f = viommu_fault_find(code);

	if (!f)
		return VTD_OUT_NONE;
	switch (request) {
	case VIOMMU_REQ_UNTRANSLATED:
		return (enum viommu_outcome)f->u;
	case VIOMMU_REQ_TRANSLATION:
		return (enum viommu_outcome)f->t;
	case VIOMMU_REQ_TRANSLATED:
		return (enum viommu_outcome)f->x;
	case VIOMMU_REQ_PAGE:
		return (enum viommu_outcome)f->p;
	default:
		return VTD_OUT_NONE;
	}
}

int viommu_fault_is_logged(unsigned int code, enum viommu_outcome outcome)
{
	switch (outcome) {
	case VTD_OUT_UR:
	case VTD_OUT_CA:
	case VTD_OUT_IR:
		return 1;
	case VTD_OUT_S0:
		/*
		 * The device may try again, but memory did not take the update: that is recorded.
		 */
		return code == VTD_FR_FS_AD_FAILED;
	default:
		return 0;
	}
}
