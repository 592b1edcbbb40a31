/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the subcommands of the tool share. One file each; main.c picks one and hands it its own
 * argument vector, argv[0] being the subcommand's name. args.c reads numbers, json.h makes JSON,
 * image.h takes files as memory, steps.h shows walks.
 *
 * Exit status: CMD_OK, CMD_FAILED when the work failed, CMD_USAGE when the command line was wrong
 * (one line on stderr, see cmd_usage).
 */
#ifndef VIOMMU_CMD_H
#define VIOMMU_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
};

int cmd_bench(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_vm(int argc, char **argv);
int cmd_walk(int argc, char **argv);

/* "viommu COMMAND: message" and, on the same line, a pointer at --help. Returns CMD_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "viommu COMMAND: message" on stderr. Returns CMD_FAILED. */
int cmd_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The whole text as a number: decimal, or hexadecimal after 0x. No sign, no blanks, no octal; a
 * number of more than 64 bits is refused. `what` is wrong with it in *why, if false.
 */
bool cmd_number(const char *text, uint64_t *out, const char **why);

/* BB:DD.F, hexadecimal as lspci prints it, to a requester id. */
bool cmd_device(const char *text, uint16_t *sid);

/* "4 KiB", "2 MiB", "1 GiB". */
const char *cmd_page_name(unsigned int page_lg2);

/* A vector of words from malloc(), NULL-terminated once it has one. failed: out of memory. */
struct cmd_words {
	char **word;
	size_t nr;
	bool failed;
};

/* Takes word over, NULL counts as failed. */
void cmd_words_add(struct cmd_words *w, char *word);
void cmd_words_free(struct cmd_words *w);

/* On standard output, quoted so that a shell takes it back. */
void cmd_print_word(const char *word);

/* Escape sequences, or empty strings where the output is not for eyes. */
struct cmd_colour {
	const char *head;
	const char *dim;
	const char *good;
	const char *bad;
	const char *mark;
	const char *off;
};

/* Colour if f is a terminal that knows it, and NO_COLOR is not set. */
struct cmd_colour cmd_colour(FILE *f);

#endif /* VIOMMU_CMD_H */
