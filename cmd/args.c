/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arguments of the tool: numbers and devices, vectors of words; and whether its output may have
 * colour.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

bool cmd_number(const char *text, uint64_t *out, const char **why)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	int base = hex ? 16 : 10, digit;
	const char *p = hex ? text + 2 : text;
	uint64_t value = 0;

	if (!*p) {
		*why = "no digits";
		return false;
	}
	if (!hex && p[0] == '0' && p[1]) {
		*why = "octal or hexadecimal? hexadecimal starts with 0x";
		return false;
	}
	for (; *p; p++) {
		digit = digit_value(*p);
		if (digit >= base) {
			*why = digit < 16 ? "hexadecimal starts with 0x" : "not a number";
			return false;
		}
		if (value > (UINT64_MAX - (uint64_t)digit) / (uint64_t)base) {
			*why = "more than 64 bits";
			return false;
		}
		value = value * (uint64_t)base + (uint64_t)digit;
	}
	*out = value;
	return true;
}

/* One or two hexadecimal digits, at most `last`, before the character `end`; moves *p behind it. */
static bool device_part(const char **p, char end, unsigned int last, unsigned int *out)
{
	unsigned int value = 0, digits = 0;

	while (isxdigit((unsigned char)**p) && digits < 2) {
		value = value * 16 + (unsigned int)digit_value(**p);
		digits++;
		(*p)++;
	}
	if (!digits || value > last || **p != end)
		return false;
	if (end)
		(*p)++;
	*out = value;
	return true;
}

bool cmd_device(const char *text, uint16_t *sid)
{
	unsigned int bus, device, function;

	if (!device_part(&text, ':', 0xff, &bus) || !device_part(&text, '.', 0x1f, &device) ||
	    !device_part(&text, '\0', 7, &function))
		return false;
	*sid = (uint16_t)(bus << 8 | device << 3 | function);
	return true;
}

const char *cmd_page_name(unsigned int page_lg2)
{
	switch (page_lg2) {
	case 12:
		return "4 KiB";
	case 21:
		return "2 MiB";
	case 30:
		return "1 GiB";
	default:
		return "?";
	}
}

struct cmd_colour cmd_colour(FILE *f)
{
	static const struct cmd_colour none = { "", "", "", "", "", "" };
	static const struct cmd_colour some = {
		.head = "\033[1m",
		.dim = "\033[2m",
		.good = "\033[1;32m",
		.bad = "\033[1;31m",
		.mark = "\033[33m",
		.off = "\033[0m",
	};
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no && *no) || !term || !strcmp(term, "dumb") || !isatty(fileno(f)))
		return none;
	return some;
}

void cmd_words_add(struct cmd_words *w, char *word)
{
	char **more = word && !w->failed ? realloc(w->word, (w->nr + 2) * sizeof(*more)) : NULL;

	if (!more) {
		w->failed = true;
		free(word);
		return;
	}
	w->word = more;
	w->word[w->nr++] = word;
	w->word[w->nr] = NULL;
}

void cmd_words_free(struct cmd_words *w)
{
	size_t i;

	for (i = 0; i < w->nr; i++)
		free(w->word[i]);
	free(w->word);
	*w = (struct cmd_words){ .word = NULL };
}

void cmd_print_word(const char *word)
{
	if (word[strcspn(word, " \t\n\"'\\$`*?[]{}()<>|&;!~#")] == 0 && *word) {
		fputs(word, stdout);
		return;
	}
	putchar('\'');
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*word);
	}
	putchar('\'');
}
