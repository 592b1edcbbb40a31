/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu serve: the unit and its devices for one VM, at sockets, until a signal ends it.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd.h"
#include "machine.h"

static const char name[] = "serve";

static void print_help(void)
{
	printf("usage: viommu serve [OPTION...]\n\n"
	       "Serves an IOMMU and its devices to one VM and prints the arguments for QEMU 10.1\n"
	       "or later. Goes on when the VM ends: the next one may come. SIGINT or SIGTERM ends\n"
	       "it.\n\n"
	       "%s"
	       "  --registers ADDRESS    where the guest's firmware puts the unit's registers\n"
	       "                         (default 0xfebe0000; 'viommu vm' finds out by itself)\n"
	       "  --memory SIZE          in the printed arguments (default 1G)\n"
	       "  --json                 print one line of JSON instead: qemu_args, control,\n"
	       "                         plug\n",
	       machine_options_help);
}

static void print_args(const struct machine *m, char **args, const char *memory)
{
	size_t i;

	printf("# The arguments that QEMU needs; yours (kernel, disks, network) go beside them.\n"
	       "# inspect: viommu inspect %s/control.sock\n"
	       "qemu-system-x86_64 -machine q35,memory-backend=viommu-mem -cpu max -m %s \\\n"
	       "  -object memory-backend-memfd,id=viommu-mem,size=%s,share=on",
	       m->dir, memory, memory);
	for (i = 0; args[i]; i++) {
		fputs(i % 2 ? " " : " \\\n  ", stdout);
		cmd_print_word(args[i]);
	}
	putchar('\n');
	for (i = 0; i < m->nr; i++) {
		char *plug = machine_plug(m, (unsigned int)i);

		if (plug)
			printf("# plug in by QMP: {\"execute\":\"device_add\",\"arguments\":%s}\n",
			       plug);
		free(plug);
	}
}

static json_t *plugs(const struct machine *m)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		char *plug = machine_plug(m, i);

		if (plug)
			json_array_append_new(list, json_loads(plug, 0, NULL));
		free(plug);
	}
	return list;
}

static int print_json(const struct machine *m, char **args, const char *memory)
{
	char *control = machine_path(m, "control.sock"), *object = NULL, *text = NULL;
	json_t *list = json_array(), *root = NULL;
	size_t i;

	if (asprintf(&object, "memory-backend-memfd,id=viommu-mem,size=%s,share=on", memory) < 0)
		object = NULL;
	if (list && control && object) {
		const char *first[] = { "-machine", "q35,memory-backend=viommu-mem",
					"-m",       memory,
					"-object",  object };

		for (i = 0; i < 6; i++)
			json_array_append_new(list, json_string(first[i]));
		for (i = 0; args[i]; i++)
			json_array_append_new(list, json_string(args[i]));
		root = json_pack("{s:O, s:s, s:o}", "qemu_args", list, "control", control, "plug",
				 plugs(m));
	}
	if (root)
		text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (text)
		puts(text);
	i = text ? CMD_OK : (size_t)cmd_error(name, "out of memory");
	json_decref(root);
	json_decref(list);
	free(control);
	free(object);
	free(text);
	return (int)i;
}

/* Who sees the arguments may end us at once, so the signals come first. */
static int serve(struct machine *m, const char *memory, bool json)
{
	char **args = machine_args(m);
	int ret;

	if (!args)
		return cmd_error(name, "out of memory");
	ret = machine_signals(m);
	if (ret == CMD_OK)
		ret = machine_drop_privileges(m->options, m->options->user);
	if (ret == CMD_OK && json)
		ret = print_json(m, args, memory);
	else if (ret == CMD_OK)
		print_args(m, args, memory);
	machine_args_free(args);
	fflush(stdout);
	if (ret != CMD_OK)
		return ret;
	ret = viommu_server_run(m->server);
	return ret ? cmd_error(name, "%s", strerror(-ret)) : CMD_OK;
}

int cmd_serve(int argc, char **argv)
{
	struct machine_options options;
	const char *memory = "1G";
	bool json = false;
	struct machine m;
	int i, ret;

	machine_options_init(&options, name);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help();
			return CMD_OK;
		}
		if (!strcmp(argv[i], "--json")) {
			json = true;
			continue;
		}
		if (!strcmp(argv[i], "--memory")) {
			if (++i >= argc)
				return cmd_usage(name, "--memory needs a value");
			memory = argv[i];
			if (!*memory || memory[strspn(memory, "0123456789")] == 0 ||
			    strspn(memory, "0123456789KMGTkmgt") != strlen(memory))
				return cmd_usage(name, "--memory %s: a size such as 512M or 4G",
						 memory);
			continue;
		}
		ret = machine_option(&options, argc, argv, &i);
		if (ret == 1)
			return argv[i][0] == '-' ? cmd_usage(name, "unknown option '%s'", argv[i])
						 : cmd_usage(name, "unexpected '%s'", argv[i]);
		if (ret != CMD_OK)
			return ret;
	}
	ret = machine_init(&m, &options);
	if (ret == CMD_OK)
		ret = serve(&m, memory, json);
	machine_fini(&m);
	return ret;
}
