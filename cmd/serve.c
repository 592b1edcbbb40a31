/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu serve: the unit and its devices for one VM, or for several, at sockets, until a signal
 * ends it.
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
	       "  --vms N                serve N VMs (1 to 16), each with a unit and devices of\n"
	       "                         its own, in DIR/vm0, DIR/vm1 and so on\n"
	       "  --shared-device dsa[,OPT...]\n"
	       "                         one DSA device for all of them: each VM has a function\n"
	       "                         with an equal part of its queues and entries\n"
	       "                         slot=DD.F queues=1..64 engines=1..16 entries=1..1024\n"
	       "                         no-pri\n"
	       "  --registers ADDRESS    where the guest's firmware puts the unit's registers\n"
	       "                         (default 0xfebe0000; 'viommu vm' finds out by itself)\n"
	       "  --memory SIZE          in the printed arguments (default 1G)\n"
	       "  --json                 print one line of JSON instead: qemu_args, control\n",
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
}

/* qemu_args, control; NULL: out of memory. */
static json_t *machine_json(const struct machine *m, char **args, const char *memory)
{
	char *control = machine_path(m, "control.sock"), *object = NULL;
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
		root = json_pack("{s:O, s:s}", "qemu_args", list, "control", control);
	}
	json_decref(list);
	free(control);
	free(object);
	return root;
}

static int print_json(json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

	if (text)
		puts(text);
	json_decref(root);
	free(text);
	return text ? CMD_OK : cmd_error(name, "out of memory");
}

/* Who sees the arguments may end us at once, so the signals come first. */
static int begin(struct machine *m)
{
	int ret = machine_signals(m);

	return ret == CMD_OK ? machine_drop_privileges(m->options, m->options->user) : ret;
}

static int run(struct viommu_server *server)
{
	int ret;

	fflush(stdout);
	ret = viommu_server_run(server);
	return ret ? cmd_error(name, "%s", strerror(-ret)) : CMD_OK;
}

static int serve(struct machine *m, const char *memory, bool json)
{
	char **args = machine_args(m);
	int ret;

	if (!args)
		return cmd_error(name, "out of memory");
	ret = begin(m);
	if (ret == CMD_OK && json)
		ret = print_json(machine_json(m, args, memory));
	else if (ret == CMD_OK)
		print_args(m, args, memory);
	machine_args_free(args);
	return ret == CMD_OK ? run(m->server) : ret;
}

static int print_fleet(const struct fleet *f, const char *memory, bool json)
{
	char *control = machine_path_in(f->dir, "control.sock"), **args;
	json_t *list = json_array(), *root = NULL;
	bool failed = !list || !control;
	unsigned int i;

	for (i = 0; i < f->nr && !failed; i++) {
		args = machine_args(&f->machine[i]);
		failed = !args;
		if (!failed && json) {
			failed = json_array_append_new(list,
						       machine_json(&f->machine[i], args, memory));
		} else if (!failed) {
			printf("%s# VM %u\n", i ? "\n" : "", i);
			print_args(&f->machine[i], args, memory);
		}
		machine_args_free(args);
	}
	if (!failed && json)
		root = json_pack("{s:O, s:s}", "vms", list, "control", control);
	if (!failed && !json)
		printf("\n# What they share: viommu inspect %s\n", control);
	json_decref(list);
	free(control);
	if (failed)
		return cmd_error(name, "out of memory");
	return json ? print_json(root) : CMD_OK;
}

static int serve_fleet(struct machine_options *o, const char *memory, bool json)
{
	static struct fleet f;
	int ret;

	if (!o->vms)
		o->vms = 1;
	/* Guests have the same PASIDs, and a shared device has one table for all of them. */
	if (!(o->guest_flags & (VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD))) {
		if (o->pasids_said)
			return cmd_usage(name, "--pasids identity is for one VM alone: guests of "
					       "--vms have the same numbers");
		o->guest_flags |= VIOMMU_GUEST_HOST_PASIDS;
	}
	ret = fleet_init(&f, o);
	if (ret == CMD_OK)
		ret = begin(&f.machine[0]);
	if (ret == CMD_OK)
		ret = print_fleet(&f, memory, json);
	if (ret == CMD_OK)
		ret = run(f.server);
	fleet_fini(&f);
	return ret;
}

int cmd_serve(int argc, char **argv)
{
	struct machine_options options;
	const char *memory = "1G";
	bool json = false;
	struct machine m;
	int i, ret;

	machine_options_init(&options, name);
	options.fleet = true;
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
	if (options.vms || options.nr_shared)
		return serve_fleet(&options, memory, json);
	ret = machine_init(&m, &options);
	if (ret == CMD_OK)
		ret = serve(&m, memory, json);
	machine_fini(&m);
	return ret;
}
