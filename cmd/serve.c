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
#include "replace.h"

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
	       "  --json                 print one line of JSON instead: qemu_args, control,\n"
	       "                         plug\n"
	       "  --replace DIR          take the place of the viommu serve in that folder, while\n"
	       "                         its guests run, of --vms all of them; --verbose and\n"
	       "                         --quiet go with it, the other options stay as they are\n",
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
		root = json_pack("{s:O, s:s, s:o}", "qemu_args", list, "control", control, "plug",
				 plugs(m));
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

static int run(struct replace_whole *whole)
{
	struct viommu_server *server = whole->machine->server;
	int ret;

	fflush(stdout);
	ret = viommu_server_run(server);
	/* Another process has it all now. */
	if (viommu_server_handed_over(server))
		replace_borrow(whole, true);
	return ret ? cmd_error(name, "%s", strerror(-ret)) : CMD_OK;
}

/* Who sees the arguments may end us at once, so the signals come first. */
static int begin(struct machine *m)
{
	int ret = machine_signals(m);

	return ret == CMD_OK ? machine_drop_privileges(m->options, m->options->user) : ret;
}

static int print_machine(const struct machine *m, const char *memory, bool json)
{
	char **args = machine_args(m);
	int ret = CMD_OK;

	if (!args)
		return cmd_error(name, "out of memory");
	if (json)
		ret = print_json(machine_json(m, args, memory));
	else
		print_args(m, args, memory);
	machine_args_free(args);
	return ret;
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

static bool is_fleet(const struct machine_options *o)
{
	return o->vms || o->nr_shared;
}

static int fleet_options(struct machine_options *o)
{
	if (!o->vms)
		o->vms = 1;
	/* Guests have the same PASIDs, and a shared device has one table for all of them. */
	if (o->guest_flags & (VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD))
		return CMD_OK;
	if (o->pasids_said)
		return cmd_usage(name, "--pasids identity is for one VM alone: guests of "
				       "--vms have the same numbers");
	o->guest_flags |= VIOMMU_GUEST_HOST_PASIDS;
	return CMD_OK;
}

/* All that one process serves. */
struct all {
	struct machine machine; /* without a fleet */
	struct fleet fleet;
	struct replace_whole whole;
};

static int all_init(struct all *all, struct machine_options *o, const struct replace_words *words)
{
	int ret;

	if (!is_fleet(o)) {
		ret = machine_init(&all->machine, o);
		all->whole = (struct replace_whole){ &all->machine, 1, NULL, words };
	} else {
		ret = fleet_options(o);
		if (ret == CMD_OK)
			ret = fleet_init(&all->fleet, o);
		all->whole = (struct replace_whole){ all->fleet.machine, all->fleet.nr, &all->fleet,
						     words };
	}
	return ret == CMD_OK ? replace_allow(&all->whole) : ret;
}

static void all_fini(struct all *all)
{
	if (all->whole.fleet)
		fleet_fini(&all->fleet);
	else
		machine_fini(&all->machine);
}

static int serve(struct machine_options *o, const struct replace_words *words, const char *memory,
		 bool json)
{
	static struct all all;
	int ret;

	ret = all_init(&all, o, words);
	if (ret == CMD_OK)
		ret = begin(all.whole.machine);
	if (ret == CMD_OK)
		ret = all.whole.fleet ? print_fleet(&all.fleet, memory, json)
				      : print_machine(&all.machine, memory, json);
	if (ret == CMD_OK)
		ret = run(&all.whole);
	all_fini(&all);
	return ret;
}

struct serve {
	struct machine_options options;
	const char *memory;
	const char *replace; /* NULL: it begins anew */
	const char *other;   /* the first option that goes with beginning anew only */
	bool json;
	bool help;
};

static int own_option(struct serve *s, int argc, char **argv, int *i)
{
	const char *word = argv[*i];
	bool memory = !strcmp(word, "--memory");

	if (!strcmp(word, "--json")) {
		s->json = true;
		return CMD_OK;
	}
	if (!memory && strcmp(word, "--replace") != 0)
		return 1;
	if (++*i >= argc)
		return cmd_usage(name, "%s needs a value", word);
	word = argv[*i];
	if (!memory) {
		s->replace = word;
		return CMD_OK;
	}
	s->memory = word;
	if (!*word || word[strspn(word, "0123456789")] == 0 ||
	    strspn(word, "0123456789KMGTkmgt") != strlen(word))
		return cmd_usage(name, "--memory %s: a size such as 512M or 4G", word);
	return CMD_OK;
}

/* Goes with --replace: it changes nothing of what the guest or QEMU knows. */
static bool may_change(const char *word)
{
	static const char *const words[] = { "--replace", "--verbose", "-v", "--quiet", "-q" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

/* CMD_OK or an exit status after a message. */
static int read_options(struct serve *s, int argc, char **argv)
{
	int i, ret;

	*s = (struct serve){ .memory = "1G" };
	machine_options_init(&s->options, name);
	s->options.fleet = true;
	for (i = 1; i < argc && !s->help; i++) {
		s->help = !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
		if (s->help)
			break;
		if (!s->other && !may_change(argv[i]))
			s->other = argv[i];
		ret = own_option(s, argc, argv, &i);
		if (ret == 1)
			ret = machine_option(&s->options, argc, argv, &i);
		if (ret == 1)
			return argv[i][0] == '-' ? cmd_usage(name, "unknown option '%s'", argv[i])
						 : cmd_usage(name, "unexpected '%s'", argv[i]);
		if (ret != CMD_OK)
			return ret;
	}
	return CMD_OK;
}

/* How many VMs it serves is among its words, too. */
static int same_number(struct replace *r, const struct machine_options *o)
{
	if (r->nr == (is_fleet(o) && o->vms ? o->vms : 1))
		return CMD_OK;
	return cmd_error(name, "the state is wrong: of %u VMs", r->nr);
}

/* The machines of the process that serves in that folder, in its stead. */
static int replace(const struct serve *now)
{
	static struct replace r;
	static struct all all;
	struct serve was;
	int ret;

	if (now->other)
		return cmd_usage(name, "%s does not go with --replace: the options stay",
				 now->other);
	ret = replace_ask(&r, now->replace, name);
	/* What is wrong there is not this command's usage. */
	if (ret == CMD_OK && read_options(&was, r.words.argc, r.words.argv) != CMD_OK)
		ret = CMD_FAILED;
	if (ret == CMD_OK)
		ret = same_number(&r, &was.options);
	if (ret == CMD_OK) {
		was.options.replace = &r;
		if (now->options.level != VIOMMU_SERVER_WARNING)
			was.options.level = now->options.level;
		ret = all_init(&all, &was.options, &r.words);
		if (ret == CMD_OK)
			ret = machine_signals(all.whole.machine);
		if (ret == CMD_OK)
			ret = replace_take(&r, &all.whole);
		if (ret == CMD_OK)
			ret = run(&all.whole);
		all_fini(&all);
	}
	replace_free(&r);
	return ret;
}

int cmd_serve(int argc, char **argv)
{
	const struct replace_words words = { argc, argv };
	struct serve s;
	int ret;

	ret = read_options(&s, argc, argv);
	if (ret != CMD_OK)
		return ret;
	if (s.help) {
		print_help();
		return CMD_OK;
	}
	if (s.replace)
		return replace(&s);
	return serve(&s.options, &words, s.memory, s.json);
}
