/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * steps.h: keeps the steps of a walk and shows them.
 *
 * Which kind of entry a value is follows from its stage, level and PS bit; names, fields and
 * reserved bits are those of the kind's table in viommu/vtd.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <viommu/vtd.h>

#include "json.h"
#include "steps.h"

#define COLUMNS 100

/* More fields than any structure has, and more room than any field takes. */
#define NOTES_MAX  40
#define NOTE_BYTES 48

/* Words of a PASID entry, the longest there is. */
#define WORDS_MAX 8

/* What is to be said about an entry. */
enum note_kind {
	NOTE_PLAIN,
	NOTE_BAD,
	NOTE_SET, /* a bit that the walk sets */
};

struct note {
	enum note_kind kind;
	char text[NOTE_BYTES];
};

struct notes {
	unsigned int nr;
	struct note list[NOTES_MAX];
};

/* ---- keeping --------------------------------------------------------------------------------- */

static void steps_record(struct viommu_recorder *rec, const struct viommu_step *step)
{
	struct cmd_steps *steps = (struct cmd_steps *)rec;

	if (steps->nr == steps->room) {
		size_t room = steps->room ? 2 * steps->room : 64;
		struct viommu_step *list = realloc(steps->list, room * sizeof(*list));

		if (!list) {
			steps->failed = true;
			return;
		}
		steps->list = list;
		steps->room = room;
	}
	steps->list[steps->nr++] = *step;
}

void cmd_steps_init(struct cmd_steps *steps)
{
	_Static_assert(offsetof(struct cmd_steps, rec) == 0, "steps_record() goes back by a cast");
	memset(steps, 0, sizeof(*steps));
	steps->rec.step = steps_record;
}

void cmd_steps_clear(struct cmd_steps *steps)
{
	steps->nr = 0;
	steps->failed = false;
}

void cmd_steps_free(struct cmd_steps *steps)
{
	free(steps->list);
	steps->list = NULL;
	steps->nr = steps->room = 0;
}

static bool step_is_read(const struct viommu_step *step)
{
	return step->kind == VIOMMU_STEP_READ && step->stage != VIOMMU_STAGE_PATH;
}

void cmd_steps_settle(struct cmd_steps *steps, uint32_t reads)
{
	size_t first = 0, keep = steps->nr;

	while (first < steps->nr && steps->list[first].stage == VIOMMU_STAGE_PATH)
		first++;
	while (keep > first && reads) {
		keep--;
		if (step_is_read(&steps->list[keep]))
			reads--;
	}
	/* Nothing of the last try comes before its first read. */
	if (keep > first && keep < steps->nr) {
		memmove(&steps->list[first], &steps->list[keep],
			(steps->nr - keep) * sizeof(*steps->list));
		steps->nr -= keep - first;
	}
}

/* ---- decoding -------------------------------------------------------------------------------- */

const char *cmd_stage_name(const struct viommu_stack *stack, unsigned int stage)
{
	if (stage >= stack->nr)
		return "path";
	return stack->stage[stage].format == VIOMMU_FORMAT_VTD_FS ? "first" : "second";
}

static const struct viommu_stage *step_stage(const struct cmd_view *view,
					     const struct viommu_step *step)
{
	return step->stage < view->stack->nr ? &view->stack->stage[step->stage] : NULL;
}

/* Does its entry lie in the address space of a stage below, a guest's? */
static bool step_is_inner(const struct cmd_view *view, const struct viommu_step *step)
{
	return step_stage(view, step) && step->stage + 1u < view->stack->nr;
}

/* The table of fields for the entry of this step. */
static const struct viommu_spec_table *step_table(const struct cmd_view *view,
						  const struct viommu_step *step)
{
	const struct viommu_stage *s = step_stage(view, step);
	bool fs, leaf;

	if (!s) {
		if (!strcmp(step->name, "root entry"))
			return viommu_spec_table_find(view->legacy ? "VTD_ROOT" : "VTD_SROOT");
		if (!strcmp(step->name, "context entry"))
			return viommu_spec_table_find(view->legacy ? "VTD_LCE" : "VTD_SCE");
		if (!strcmp(step->name, "PASID directory entry"))
			return viommu_spec_table_find("VTD_PDIR");
		return viommu_spec_table_find("VTD_PE");
	}
	fs = s->format == VIOMMU_FORMAT_VTD_FS;
	leaf = step->value & VTD_MASK(VTD_FS_PS);
	_Static_assert(VTD_MASK(VTD_FS_PS) == VTD_MASK(VTD_SS_PS), "one bit for both formats");
	if (step->level > 3)
		return viommu_spec_table_find(fs ? "VTD_FS_TOP" : "VTD_SS_TOP");
	if (step->level == 3 && leaf && (s->flags & VIOMMU_STAGE_1G))
		return viommu_spec_table_find(fs ? "VTD_FS_1G" : "VTD_SS_1G");
	if (step->level == 2 && leaf && (fs || (s->flags & VIOMMU_STAGE_2M)))
		return viommu_spec_table_find(fs ? "VTD_FS_2M" : "VTD_SS_2M");
	if (step->level > 1)
		return viommu_spec_table_find(fs ? "VTD_FS_TABLE" : "VTD_SS_TABLE");
	return viommu_spec_table_find(fs ? "VTD_FS_4K" : "VTD_SS_4K");
}

static bool step_is_present(const struct cmd_view *view, const struct viommu_step *step)
{
	const struct viommu_stage *s = step_stage(view, step);

	if (s && s->format == VIOMMU_FORMAT_VTD_SS)
		return step->value & (VTD_MASK(VTD_SS_R) | VTD_MASK(VTD_SS_W));
	return step->value & 1; /* the same in all other structures */
}

/* The whole structure of this step in words. Returns how many. */
static unsigned int step_words(const struct cmd_view *view, const struct viommu_step *step,
			       const struct viommu_spec_table *table, uint64_t words[WORDS_MAX])
{
	unsigned int nr = (table->bits + 63) / 64;

	memset(words, 0, WORDS_MAX * sizeof(*words));
	/* Of a scalable root entry only one half is read, and each has fields of its own. */
	if (!strcmp(table->name, "VTD_SROOT")) {
		words[step->entry_addr / 8 % 2] = step->value;
		return nr;
	}
	words[0] = step->value;
	if (nr > 1 &&
	    viommu_mem_read(view->mem, step->phys + 8, words + 1, (nr - 1) * sizeof(*words)))
		memset(words + 1, 0, (nr - 1) * sizeof(*words));
	return nr;
}

static bool field_is_pointer(const struct viommu_spec_field *field)
{
	return field->hi - field->lo >= 21;
}

static uint64_t field_mask(const struct viommu_spec_field *field)
{
	return (~UINT64_C(0) >> (63 - (field->hi - field->lo))) << field->lo % 64;
}

/* Bits of word w that a unit with this view's capabilities refuses in a present entry. */
static uint64_t step_reserved(const struct cmd_view *view, const struct viommu_step *step,
			      const struct viommu_spec_table *table, unsigned int w)
{
	const struct viommu_stage *s = step_stage(view, step);
	uint64_t rsvd = viommu_spec_reserved_for(table, w, view->cap, view->ecap);
	uint64_t beyond = ~UINT64_C(0) << view->haw;
	unsigned int i;

	if (s) {
		rsvd |= beyond & VTD_MASK(VTD_FS_ADDR);
		if (!strcmp(table->name, "VTD_FS_TABLE") || !strcmp(table->name, "VTD_SS_TABLE"))
			rsvd |= VTD_MASK(VTD_FS_PS);
		if (s->format == VIOMMU_FORMAT_VTD_SS && !(s->flags & VIOMMU_STAGE_IORW))
			rsvd |= VTD_MASK(VTD_SS_IW);
		return rsvd;
	}
	for (i = 0; i < table->nr; i++) {
		if (field_is_pointer(&table->fields[i]) && table->fields[i].lo / 64 == w)
			rsvd |= beyond & field_mask(&table->fields[i]);
	}
	return rsvd;
}

static char *note_new(struct notes *notes, enum note_kind kind)
{
	struct note *note = &notes->list[notes->nr];

	/* Full: the last one is overwritten. NOTES_MAX is more than any structure needs. */
	if (notes->nr < NOTES_MAX - 1)
		notes->nr++;
	note->kind = kind;
	return note->text;
}

static void note_field(struct notes *notes, const struct viommu_spec_table *table,
		       const struct viommu_spec_field *field, uint64_t value)
{
	static const char *const pgtt[] = { "", "first stage", "second stage", "nested",
					    "pass-through" };
	const char *name = viommu_spec_field_name(table, field);
	char *text = note_new(notes, NOTE_PLAIN);

	if (field->hi == field->lo)
		snprintf(text, NOTE_BYTES, "%s", name);
	else if (field_is_pointer(field))
		snprintf(text, NOTE_BYTES, "%s=%#" PRIx64, name, value << field->lo % 64);
	else if (!strcmp(field->name, "VTD_PE_PGTT") && value < sizeof(pgtt) / sizeof(pgtt[0]))
		snprintf(text, NOTE_BYTES, "%s=%" PRIu64 " (%s)", name, value, pgtt[value]);
	else
		snprintf(text, NOTE_BYTES, "%s=%" PRIu64, name, value);
}

/*
 * The fields of the step's entry that are not 0. Not said of a paging entry: ignored fields, where
 * it points to (the next row shows that), and anything if it is absent.
 */
static void notes_take(const struct cmd_view *view, const struct viommu_step *step,
		       struct notes *notes)
{
	const struct viommu_spec_table *table = step_table(view, step);
	bool path = !step_stage(view, step), present = step_is_present(view, step);
	uint64_t words[WORDS_MAX], value, rsvd;
	unsigned int nr, i;

	notes->nr = 0;
	if (!present && !path)
		return;
	nr = step_words(view, step, table, words);
	for (i = 0; i < table->nr; i++) {
		const struct viommu_spec_field *field = &table->fields[i];

		if (field->kind == VIOMMU_SPEC_IGNORED || (!path && field_is_pointer(field)))
			continue;
		value = viommu_spec_field_get(field, words);
		if (value)
			note_field(notes, table, field, value);
	}
	/* Absent entries are not checked. */
	for (i = 0; present && i < nr; i++) {
		rsvd = words[i] & step_reserved(view, step, table, i);
		if (rsvd && nr == 1)
			snprintf(note_new(notes, NOTE_BAD), NOTE_BYTES, "reserved=%#" PRIx64, rsvd);
		else if (rsvd)
			snprintf(note_new(notes, NOTE_BAD), NOTE_BYTES, "reserved[%u]=%#" PRIx64, i,
				 rsvd);
	}
}

/* The bits that this UPDATE sets in the entry of the READ before it. */
static void notes_add_update(const struct cmd_view *view, const struct viommu_step *read,
			     const struct viommu_step *update, struct notes *notes)
{
	const struct viommu_spec_table *table = step_table(view, read);
	unsigned int i;

	for (i = 0; i < table->nr; i++) {
		const struct viommu_spec_field *field = &table->fields[i];

		if (field->hi == field->lo && (update->value & field_mask(field)))
			snprintf(note_new(notes, NOTE_SET), NOTE_BYTES, "+%s",
				 viommu_spec_field_name(table, field));
	}
}

/* The UPDATE that belongs to the READ at i, or NULL. */
static const struct viommu_step *steps_update(const struct cmd_steps *steps, size_t i)
{
	if (i + 1 < steps->nr && steps->list[i + 1].kind == VIOMMU_STEP_UPDATE)
		return &steps->list[i + 1];
	return NULL;
}

/* ---- for people ------------------------------------------------------------------------------ */

/* Widths of the columns. */
struct layout {
	int stage;
	int addr; /* digits after 0x */
	bool nested;
};

/* The name of a step of the path without "entry" where that is clear, for a narrow column. */
static void path_label(const struct viommu_step *step, char *out, size_t bytes)
{
	const char *end = strstr(step->name, " entry");

	if (end && strcmp(step->name, "PASID entry") != 0)
		snprintf(out, bytes, "%.*s", (int)(end - step->name), step->name);
	else
		snprintf(out, bytes, "%s", step->name);
}

static int digits_of(uint64_t value)
{
	int digits = 1;

	while (value >>= 4)
		digits++;
	return digits;
}

static int max(int a, int b)
{
	return a > b ? a : b;
}

static struct layout steps_layout(const struct cmd_steps *steps, const struct cmd_view *view)
{
	struct layout l = { .stage = 6, .addr = 8, .nested = view->stack->nr > 1 };
	size_t i;

	for (i = 0; i < steps->nr; i++) {
		const struct viommu_step *step = &steps->list[i];

		if (step->kind != VIOMMU_STEP_READ)
			continue;
		if (step->stage == VIOMMU_STAGE_PATH)
			l.stage = max(l.stage, (int)sizeof("PASID directory") - 1);
		else
			l.stage = max(l.stage, 6 + 2 * (int)step->depth);
		l.addr = max(l.addr, digits_of(step->entry_addr));
		l.addr = max(l.addr, digits_of(step->phys));
	}
	return l;
}

static int notes_width(const struct notes *notes)
{
	int width = 0;
	unsigned int i;

	for (i = 0; i < notes->nr; i++)
		width += (int)strlen(notes->list[i].text) + (i > 0);
	return width;
}

/* At the end of a line that has `column` characters, or on lines of their own, indented so far. */
static void notes_print(FILE *out, const struct notes *notes, const struct cmd_colour *c,
			int column, int indent)
{
	unsigned int i;
	int len;

	for (i = 0; i < notes->nr; i++) {
		const struct note *note = &notes->list[i];
		const char *on = note->kind == NOTE_BAD   ? c->bad
				 : note->kind == NOTE_SET ? c->mark
							  : "";

		len = (int)strlen(note->text);
		if (i && column + 1 + len > COLUMNS) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (i) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%s%s%s", *on ? on : "", note->text, *on ? c->off : "");
		column += len;
	}
}

static void row_print(FILE *out, unsigned int number, const struct viommu_step *step,
		      const struct viommu_step *update, const struct cmd_view *view,
		      const struct layout *l)
{
	const struct cmd_colour *c = &view->colour;
	bool path = step->stage == VIOMMU_STAGE_PATH;
	char label[32], level[8] = "";
	const int indent = 6;
	struct notes notes;
	int column;

	notes_take(view, step, &notes);
	if (update)
		notes_add_update(view, step, update, &notes);
	if (path) {
		path_label(step, label, sizeof(label));
	} else {
		snprintf(label, sizeof(label), "%*s%s", 2 * (int)step->depth, "",
			 cmd_stage_name(view->stack, step->stage));
		snprintf(level, sizeof(level), "%u", step->level);
	}
	column = fprintf(out, "%4u  %-*s  %5s", number, l->stage, label, level);
	if (l->nested && step_is_inner(view, step))
		column += fprintf(out, "  0x%0*" PRIx64, l->addr, step->entry_addr);
	else if (l->nested)
		column += fprintf(out, "  %*s", l->addr + 2, "");
	column += fprintf(out, "  0x%0*" PRIx64, l->addr, step->phys);
	column += fprintf(out, "  0x%016" PRIx64, step->value);
	if (!step_is_present(view, step)) {
		fprintf(out, "  %snot present%s", c->bad, c->off);
		column = COLUMNS;
	}
	if (notes.nr && (path || column + 2 + notes_width(&notes) > COLUMNS)) {
		fprintf(out, "\n%*s", indent, "");
		column = indent;
	} else if (notes.nr) {
		fputs("  ", out);
		column += 2;
	}
	notes_print(out, &notes, c, column, indent);
	fputc('\n', out);
}

/* Where a stage on the main line led to, if another follows. */
static void output_print(FILE *out, const struct viommu_step *step, const struct cmd_view *view)
{
	if (step->depth || step->stage + 1u >= view->stack->nr)
		return;
	fprintf(out, "      %s%s stage: %#" PRIx64 " -> %#" PRIx64 ", %s page%s\n",
		view->colour.head, cmd_stage_name(view->stack, step->stage), step->input,
		step->value, cmd_page_name(step->page_lg2), view->colour.off);
}

void cmd_steps_print(FILE *out, const struct cmd_steps *steps, const struct cmd_view *view)
{
	struct layout l = steps_layout(steps, view);
	const struct cmd_colour *c = &view->colour;
	unsigned int number = 0;
	size_t i;

	if (steps->nr) {
		fprintf(out, "%s%4s  %-*s  %5s", c->dim, "read", l.stage, "stage", "level");
		if (l.nested)
			fprintf(out, "  %-*s", l.addr + 2, "guest at");
		fprintf(out, "  %-*s", l.addr + 2, "entry at");
		fprintf(out, "  %-18s  %s%s\n", "value", "fields", c->off);
	}
	for (i = 0; i < steps->nr; i++) {
		const struct viommu_step *step = &steps->list[i];

		if (step->kind == VIOMMU_STEP_READ)
			row_print(out, ++number, step, steps_update(steps, i), view, &l);
		else if (step->kind == VIOMMU_STEP_OUTPUT)
			output_print(out, step, view);
	}
}

/* ---- for programs ---------------------------------------------------------------------------- */

static json_t *step_json(const struct viommu_step *step, const struct cmd_view *view)
{
	const struct viommu_spec_table *table = step_table(view, step);
	json_t *object = json_object(), *flags = json_array(), *list;
	uint64_t words[WORDS_MAX];
	unsigned int nr, i;
	struct notes notes;

	notes_take(view, step, &notes);
	for (i = 0; i < notes.nr; i++)
		cmd_json_add(flags, json_string(notes.list[i].text));
	cmd_json_set(object, "kind", json_string("read"));
	cmd_json_set(object, "stage", json_string(cmd_stage_name(view->stack, step->stage)));
	cmd_json_set(object, "level", json_integer(step->level));
	cmd_json_set(object, "depth", json_integer(step->depth));
	cmd_json_set(object, "name", json_string(step->name ? step->name : table->title));
	cmd_json_set(object, "input", cmd_json_hex(step->input));
	cmd_json_set(object, "entry", cmd_json_hex(step->entry_addr));
	cmd_json_set(object, "physical", cmd_json_hex(step->phys));
	cmd_json_set(object, "value", cmd_json_hex(step->value));
	cmd_json_set(object, "flags", flags);
	if (!step_stage(view, step)) {
		list = json_array();
		nr = step_words(view, step, table, words);
		for (i = 0; i < nr; i++)
			cmd_json_add(list, cmd_json_hex(words[i]));
		cmd_json_set(object, "words", list);
	}
	return object;
}

json_t *cmd_steps_json(const struct cmd_steps *steps, const struct cmd_view *view)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < steps->nr; i++) {
		if (steps->list[i].kind == VIOMMU_STEP_READ)
			cmd_json_add(list, step_json(&steps->list[i], view));
	}
	return list;
}

json_t *cmd_steps_json_changes(const struct cmd_steps *steps)
{
	json_t *list = json_array(), *pair;
	size_t i;

	for (i = 0; i < steps->nr; i++) {
		const struct viommu_step *step = &steps->list[i];

		if (step->kind != VIOMMU_STEP_UPDATE)
			continue;
		pair = json_array();
		cmd_json_add(pair, cmd_json_hex(step->phys));
		cmd_json_add(pair, cmd_json_hex(step->value));
		cmd_json_add(list, pair);
	}
	return list;
}
