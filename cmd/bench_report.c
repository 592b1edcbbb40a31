/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rows of a run, as one aligned table (in colour on a terminal) or as JSON.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "cmd.h"

#define MAX_ROWS  160
#define MAX_NOTES 32

static struct row rows[MAX_ROWS];
static size_t nr_rows;

static struct note {
	char key[24];
	char text[160];
} notes[MAX_NOTES];
static size_t nr_notes;

void bench_row(struct bench *b, const struct row *row, const char *name, ...)
{
	struct row *r = &rows[nr_rows];
	va_list ap;

	if (nr_rows == MAX_ROWS) {
		bench_wrong(b, "too many rows");
		return;
	}
	*r = *row;
	va_start(ap, name);
	vsnprintf(r->name, sizeof(r->name), name, ap);
	va_end(ap);
	nr_rows++;
}

void bench_row_ratio(struct bench *b, const char *id, const char *name, const char *against,
		     const struct figures *f, enum goal kind, double goal)
{
	struct row r = {
		.value = f->value,
		.unit = "ns",
		.against = against,
		.denominator = f->base,
		.ratio = f->ratio,
		.p10 = f->p10,
		.p90 = f->p90,
		.kind = kind,
		.goal = goal,
	};

	snprintf(r.id, sizeof(r.id), "%s", id);
	bench_row(b, &r, "%s", name);
}

void bench_row_value(struct bench *b, const char *id, const char *name, double value,
		     const char *unit, enum goal kind, double goal)
{
	struct row r = { .value = value, .unit = unit, .kind = kind, .goal = goal };

	snprintf(r.id, sizeof(r.id), "%s", id);
	bench_row(b, &r, "%s", name);
}

void bench_note(struct bench *b, const char *key, const char *fmt, ...)
{
	struct note *n = &notes[nr_notes];
	va_list ap;

	if (nr_notes == MAX_NOTES) {
		bench_wrong(b, "too many notes");
		return;
	}
	snprintf(n->key, sizeof(n->key), "%s", key);
	va_start(ap, fmt);
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
	nr_notes++;
}

static double judged(const struct row *r)
{
	return r->against ? r->ratio : r->value;
}

static bool met(const struct row *r)
{
	return r->kind == GOAL_AT_MOST ? judged(r) <= r->goal : judged(r) >= r->goal;
}

/* How far on the good side of the goal, in parts of the goal. */
static double margin(const struct row *r)
{
	double d = (judged(r) - r->goal) / r->goal;

	return r->kind == GOAL_AT_MOST ? -d : d;
}

/* Three digits or so. */
static const char *number(char *buf, size_t bytes, double v)
{
	if (fabs(v) < 10)
		snprintf(buf, bytes, "%.2f", v);
	else if (fabs(v) < 1000)
		snprintf(buf, bytes, "%.1f", v);
	else
		snprintf(buf, bytes, "%.0f", v);
	return buf;
}

static void print_table(void)
{
	const struct cmd_colour colour = cmd_colour(stdout);
	char value[64], base[64], ratio[32], lo[32], hi[32], goal[48], range[80], v[32];
	unsigned int goals = 0, missed = 0;
	int wide = 4, against = 8;
	size_t i;

	for (i = 0; i < nr_notes; i++)
		printf("%-12s %s\n", notes[i].key, notes[i].text);
	for (i = 0; i < nr_rows; i++) {
		int n = (int)strlen(rows[i].name),
		    m = rows[i].against ? (int)strlen(rows[i].against) : 0;

		wide = n > wide ? n : wide;
		against = m + 6 > against ? m + 6 : against;
	}
	printf("\n%-4s %-*s %12s  %-*s %7s %-15s %s\n", "id", wide, "what", "value", against,
	       "against", "ratio", "p10..p90", "goal");
	for (i = 0; i < nr_rows; i++) {
		const struct row *r = &rows[i];

		snprintf(value, sizeof(value), "%s %s", number(v, sizeof(v), r->value), r->unit);
		base[0] = ratio[0] = range[0] = goal[0] = 0;
		if (r->against) {
			snprintf(base, sizeof(base), "%s %s", number(v, sizeof(v), r->denominator),
				 r->against);
			number(ratio, sizeof(ratio), r->ratio);
			snprintf(range, sizeof(range), "%s..%s", number(lo, sizeof(lo), r->p10),
				 number(hi, sizeof(hi), r->p90));
		}
		printf("%-4s %-*s %12s  %-*s %7s %-15s", r->id, wide, r->name, value, against, base,
		       ratio, range);
		if (r->kind != GOAL_NONE) {
			goals++;
			missed += !met(r);
			snprintf(goal, sizeof(goal), "%s %s", r->kind == GOAL_AT_MOST ? "<=" : ">=",
				 number(v, sizeof(v), r->goal));
			printf(" %-9s %s%s %+.0f %%%s", goal, met(r) ? colour.good : colour.bad,
			       met(r) ? "met" : "not met", margin(r) * 100, colour.off);
		}
		printf("\n");
	}
	printf("\n%u goals, %u met, %u not met\n", goals, goals - missed, missed);
}

static void print_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s >= ' ')
			putchar(*s);
	}
	putchar('"');
}

static void print_number(const char *key, double v, bool there)
{
	if (there && isfinite(v))
		printf(", \"%s\": %.6g", key, v);
	else
		printf(", \"%s\": null", key);
}

static void print_json(const struct bench *b)
{
	size_t i;

	printf("{\n\"seed\": %llu,\n\"quick\": %s,\n\"checksum\": \"0x%llx\",\n\"machine\": {",
	       (unsigned long long)b->seed, b->quick ? "true" : "false",
	       (unsigned long long)b->checksum);
	for (i = 0; i < nr_notes; i++) {
		printf("%s\n  ", i ? "," : "");
		print_string(notes[i].key);
		printf(": ");
		print_string(notes[i].text);
	}
	printf("\n},\n\"rows\": [");
	for (i = 0; i < nr_rows; i++) {
		const struct row *r = &rows[i];

		printf("%s\n  {\"id\": ", i ? "," : "");
		print_string(r->id);
		printf(", \"name\": ");
		print_string(r->name);
		print_number("value", r->value, true);
		printf(", \"unit\": ");
		print_string(r->unit);
		print_number("denominator", r->denominator, r->against);
		printf(", \"against\": ");
		if (r->against)
			print_string(r->against);
		else
			printf("null");
		print_number("ratio", r->ratio, r->against);
		print_number("p10", r->p10, r->against);
		print_number("p90", r->p90, r->against);
		print_number("goal", r->goal, r->kind != GOAL_NONE);
		printf(", \"goal_is\": %s", r->kind == GOAL_NONE      ? "null"
					    : r->kind == GOAL_AT_MOST ? "\"at most\""
								      : "\"at least\"");
		if (r->kind == GOAL_NONE)
			printf(", \"met\": null, \"margin\": null}");
		else
			printf(", \"met\": %s, \"margin\": %.4f}", met(r) ? "true" : "false",
			       margin(r));
	}
	printf("\n]\n}\n");
}

void bench_report(const struct bench *b)
{
	if (b->json)
		print_json(b);
	else
		print_table();
}
