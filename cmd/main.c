/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tool's entry: picks the subcommand. Options before it are --help and --version only.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <viommu/version.h>

#include "cmd.h"

static const struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "demo", "bind a guest's page tables, do DMA through them, unbind; step by step",
	  cmd_demo },
	{ "vm", "start QEMU with an IOMMU and devices that share guest processes' addresses",
	  cmd_vm },
	{ "serve", "give a VM's QEMU an IOMMU and devices, over vfio-user", cmd_serve },
	{ "inspect", "show the unit and the devices of a running vm or serve", cmd_inspect },
	{ "walk", "translate addresses over a raw image of guest memory", cmd_walk },
	{ "bench", "measure translation, DMA, invalidation and bind", cmd_bench },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_error(const char *command, const char *fmt, va_list ap, const char *end)
{
	fprintf(stderr, "viommu%s%s: ", command ? " " : "", command ? command : "");
	vfprintf(stderr, fmt, ap);
	fputs(end, stderr);
}

int cmd_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_error(command, fmt, ap, "");
	va_end(ap);
	fprintf(stderr, " (try 'viommu%s%s --help')\n", command ? " " : "", command ? command : "");
	return CMD_USAGE;
}

int cmd_error(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_error(command, fmt, ap, "\n");
	va_end(ap);
	return CMD_FAILED;
}

static void print_help(void)
{
	size_t i;

	printf("usage: viommu COMMAND [OPTION...]\n\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	printf("\n'viommu COMMAND --help' describes one command; --version prints %s.\n",
	       viommu_version());
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return cmd_usage(NULL, "no command");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help();
		return CMD_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("viommu %s\n", viommu_version());
		return CMD_OK;
	}
	if (argv[1][0] == '-')
		return cmd_usage(NULL, "unknown option '%s'", argv[1]);
	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return cmd_usage(NULL, "unknown command '%s'", argv[1]);
}
