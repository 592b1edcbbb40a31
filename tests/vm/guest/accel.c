/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Debian's accel-config and its tests, as they are:
 *
 *	accel config		one dedicated queue, by accel-config
 *	accel off		and gone again
 *	dsa_test		dsa_test as its runner does not call it: deltas, many descriptors
 *	runner			dsa_user_test_runner.sh --skip-config
 *	preload			that the preloaded library stands in for MOVDIR64B
 *
 * They come with their own libraries; the initramfs has all where Debian has it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define TESTS "/usr/libexec/accel-config/test/"

#define CONFIG_QUEUE                                                                     \
	"/usr/bin/accel-config config-wq dsa0/wq0.0 -g 0 -m dedicated -s 16 -p 10 -b 1 " \
	"-y user -n app1 -d user"

static const char *const plain[] = { "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/", NULL };
static const char *const preloaded[] = { "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/",
					 "LD_PRELOAD=/usr/lib/movdir64b.so", NULL };

/* The last lines of a program's output, to show if it fails. */
static char tail[6][160];
static unsigned int lines, passes;

/* What the runner says it does, and how many runs that was: alone or in a batch; DIF or not. */
static struct {
	const char *const name;
	unsigned int passes;
} kinds[] = { { "single", 0 }, { "batched", 0 }, { "dif", 0 }, { "dif_batched", 0 } };
static unsigned int kind, blocking, passes_by_blocking[2];

static void keep(const char *text)
{
	snprintf(tail[lines++ % ARRAY_SIZE(tail)], sizeof(tail[0]), "%s", text);
}

static void keep_and_count(const char *text)
{
	keep(text);
	if (!strncmp(text, "Performing ", 11))
		kind = (strstr(text, " batched ") ? 1 : 0) + (strcasestr(text, "dif") ? 2 : 0);
	if (strstr(text, "'block on fault' flag"))
		blocking = !!strstr(text, " ON");
	/* The runner says this before each run, and ends at the first that fails. */
	if (!strncmp(text, "Testing ", 8) && strstr(text, " bytes")) {
		passes++;
		kinds[kind].passes++;
		passes_by_blocking[blocking]++;
	}
}

static void show_tail(void)
{
	unsigned int i = lines < ARRAY_SIZE(tail) ? 0 : lines - ARRAY_SIZE(tail);

	for (; i < lines; i++)
		say("@note %s", tail[i % ARRAY_SIZE(tail)]);
}

/* A command line of words with single spaces between; true if it ended well. */
static bool run_line(const char *command, const char *const env[])
{
	const char *name, *next, *words;
	char text[256], *argv[24];
	int status;

	snprintf(text, sizeof(text), "%s", command);
	split_words(text, argv, ARRAY_SIZE(argv));
	lines = 0;
	status = run_program((const char *const *)argv, env, keep);
	/* Without its folder. */
	words = strchr(command, ' ');
	for (name = command; (next = strchr(name, '/')) && (!words || next < words);)
		name = next + 1;
	if (!check(!status, name, "status %d", status))
		show_tail();
	return !status;
}

int command_accel(int argc, char **argv)
{
	static const char *const on[] = {
		"/usr/bin/accel-config list -i",
		"/usr/bin/accel-config config-engine dsa0/engine0.0 -g 0",
		CONFIG_QUEUE,
		"/usr/bin/accel-config enable-device dsa0",
		"/usr/bin/accel-config enable-wq dsa0/wq0.0",
	};
	static const char *const off[] = {
		"/usr/bin/accel-config disable-wq dsa0/wq0.0",
		"/usr/bin/accel-config disable-device dsa0",
	};
	bool undo = argc > 1 && !strcmp(argv[1], "off");
	const char *const *list = undo ? off : on;
	size_t i, n = undo ? ARRAY_SIZE(off) : ARRAY_SIZE(on);
	bool good = true;

	for (i = 0; i < n && good; i++)
		good = run_line(list[i], plain);
	return !good;
}

int command_dsa_test(int argc, char **argv)
{
	static const char *const runs[] = {
		"-o 0x7 -l 4096",
		"-o 0x7 -l 65536",
		"-o 0x7 -l 8",
		"-o 0x8 -l 4096",
		"-o 0x8 -l 65536",
		"-o 0x3 -l 4096 -n 32",
		"-o 0x3 -l 100000 -n 10",
		"-o 0x1 -b 0x3 -l 4096 -c 2",
		"-o 0x1 -b 0x3 -l 777 -c 32",
		"-o 0x1 -b 0x0 -l 4096 -c 16 -n 10",
	};
	/* Block on fault; not; buffers touched before. */
	static const char *const flags[] = { "0x1", "0x0", "0x8" };
	char command[256];
	bool good = true;
	size_t i, j;

	(void)argc;
	(void)argv;
	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			snprintf(command, sizeof(command), TESTS "dsa_test -d dsa0/wq0.0 %s -f %s",
				 runs[i], flags[j]);
			good &= run_line(command, preloaded);
		}
	}
	return !good;
}

int command_runner(int argc, char **argv)
{
	static const char *const runner[] = { "/usr/bin/bash", "-E",
					      TESTS "dsa_user_test_runner.sh", "--skip-config",
					      NULL };
	size_t i;
	int status;

	(void)argc;
	(void)argv;
	lines = passes = 0;
	status = run_program(runner, preloaded, keep_and_count);
	if (status && passes)
		passes--;
	say("@value runner_passes %u", passes);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		say("@value runner_kind %s %u", kinds[i].name, kinds[i].passes);
	say("@value runner_kind block_on_fault %u", passes_by_blocking[1]);
	say("@value runner_kind no_block_on_fault %u", passes_by_blocking[0]);
	if (!check(!status, "dsa_user_test_runner.sh --skip-config", "status %d after %u passes",
		   status, passes))
		show_tail();
	return status;
}

int command_preload(int argc, char **argv)
{
	static const char *const run[] = { "/usr/bin/movdir64b_run", NULL };
	int status;

	(void)argc;
	(void)argv;
	lines = 0;
	status = run_program(run, plain, keep);
	say("@value movdir64b %s", status ? "missing" : "there");
	return !run_line("/usr/bin/movdir64b_run", preloaded);
}
