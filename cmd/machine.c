/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Board, devices, server, sockets and tables of one VM: see machine.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cmd.h"
#include "machine.h"
#include "replace.h"

/* Where SeaBIOS puts the one BAR of a q35 machine that has nothing else. */
#define REGISTERS_DEFAULT UINT64_C(0xfebe0000)
#define UNIT_SLOT_DEFAULT VIOMMU_SID(0, 4, 0)
/* Binds and unbinds that a second has lines of the log for. */
#define TRAP_LINES 64u
/*
 * The first PASID that the host chooses: a guest's own begin at 1, so that one mistaken for the
 * other is seen at once.
 */
#define HOST_PASID_FIRST 0x1000u

const char machine_options_help[] =
	"  --dir DIR              folder for sockets and tables, made if it is not there\n"
	"                         (default: a new one, removed at the end)\n"
	"  --profile NAME         what the unit announces: sva (default: first stage only),\n"
	"                         host (nesting: the guest can be a host), legacy-kernels\n"
	"  --caching-mode         announce caching mode (CAP.CM)\n"
	"  --pasids identity|host host PASIDs are the guest's numbers, or the allocator's\n"
	"  --virtual-commands new|old\n"
	"                         the guest asks the host for each PASID, with registers as\n"
	"                         from VT-d 3.3 on (Linux 5.15 to 6.3), or as before it;\n"
	"                         announces caching mode, too\n"
	"  --unit SLOT            the unit's PCI slot on bus 0 (default 04.0; vm: 10.0)\n"
	"  --device dsa[,OPT...]  a DSA device; again for more (default: one, at 05.0;\n"
	"                         vm: at 11.0)\n"
	"                         slot=DD.F queues=1..8 engines=1..4 groups=1..4\n"
	"                         entries=1..1024 no-pri\n"
	"  --user NAME            become this user after start\n"
	"  --verbose, --quiet     say more, or errors only\n";

void machine_options_init(struct machine_options *o, const char *command)
{
	*o = (struct machine_options){
		.command = command,
		.unit_sid = UNIT_SLOT_DEFAULT,
		.first_sid = UNIT_SLOT_DEFAULT + 8,
		.level = VIOMMU_SERVER_WARNING,
	};
}

/* ---- Options ---- */

/* DD.F on bus 0. */
static bool slot(const char *text, uint16_t *sid)
{
	char whole[16];

	if (strlen(text) > 4 || snprintf(whole, sizeof(whole), "0:%s", text) < 0)
		return false;
	return cmd_device(whole, sid) && *sid;
}

static int device_number(const struct machine_options *o, const char *key, const char *text,
			 uint64_t last, uint64_t *out)
{
	const char *why;

	if (!cmd_number(text, out, &why))
		return cmd_usage(o->command, "%s=%s: %s", key, text, why);
	if (*out < 1 || *out > last)
		return cmd_usage(o->command, "%s=%s: 1 to %llu", key, text,
				 (unsigned long long)last);
	return CMD_OK;
}

static int device_key(const struct machine_options *o, struct machine_device *d, const char *key,
		      const char *value)
{
	uint64_t n;
	int ret;

	if (!value) {
		if (strcmp(key, "no-pri"))
			return cmd_usage(
				o->command,
				"--device dsa: '%s' is none of slot=, queues=, engines=, groups=, "
				"entries=, no-pri",
				key);
		d->config.no_pri = 1;
		return CMD_OK;
	}
	if (!strcmp(key, "slot")) {
		if (slot(value, &d->sid))
			return CMD_OK;
		return cmd_usage(o->command, "slot=%s: a slot is DD.F, such as 05.0", value);
	}
	if (!strcmp(key, "queues")) {
		ret = device_number(o, key, value, VIOMMU_DSA_MAX_QUEUES, &n);
		d->config.queues = (uint8_t)n;
	} else if (!strcmp(key, "engines")) {
		ret = device_number(o, key, value, VIOMMU_DSA_MAX_ENGINES, &n);
		d->config.engines = (uint8_t)n;
	} else if (!strcmp(key, "groups")) {
		ret = device_number(o, key, value, VIOMMU_DSA_MAX_GROUPS, &n);
		d->config.groups = (uint8_t)n;
	} else if (!strcmp(key, "entries")) {
		ret = device_number(o, key, value, 1024, &n);
		d->config.entries = (uint16_t)n;
	} else {
		return cmd_usage(o->command,
				 "--device dsa: '%s' is none of slot=, queues=, engines=, groups=, "
				 "entries=, no-pri",
				 key);
	}
	return ret;
}

static int device_option(struct machine_options *o, const char *text)
{
	struct machine_device *d = &o->device[o->nr];
	char *copy, *next, *key, *value;
	int ret = CMD_OK;

	if (o->nr == MACHINE_MAX_DEVICES)
		return cmd_usage(o->command, "--device: %u at most", MACHINE_MAX_DEVICES);
	*d = (struct machine_device){ .config.size = sizeof(d->config) };
	copy = next = strdup(text);
	if (!copy)
		return cmd_error(o->command, "out of memory");
	key = strsep(&next, ",");
	if (strcmp(key, "dsa"))
		ret = cmd_usage(o->command, "--device %s: there is only 'dsa'", key);
	while (ret == CMD_OK && next) {
		key = strsep(&next, ",");
		value = strchr(key, '=');
		if (value)
			*value++ = 0;
		ret = device_key(o, d, key, value);
	}
	free(copy);
	if (ret == CMD_OK)
		o->nr++;
	return ret;
}

static int profile_option(struct machine_options *o, const char *name)
{
	static const char *const names[] = {
		[VIOMMU_PROFILE_SVA] = "sva",
		[VIOMMU_PROFILE_HOST] = "host",
		[VIOMMU_PROFILE_LEGACY] = "legacy-kernels",
	};

	for (o->profile = 0; o->profile < 3; o->profile++)
		if (!strcmp(name, names[o->profile]))
			return CMD_OK;
	return cmd_usage(o->command, "--profile %s: sva, host or legacy-kernels", name);
}

static int value_option(struct machine_options *o, const char *name, const char *value)
{
	const char *why;

	if (!strcmp(name, "--dir")) {
		o->dir = value;
	} else if (!strcmp(name, "--user")) {
		o->user = value;
	} else if (!strcmp(name, "--profile")) {
		return profile_option(o, value);
	} else if (!strcmp(name, "--device")) {
		return device_option(o, value);
	} else if (!strcmp(name, "--unit")) {
		if (!slot(value, &o->unit_sid))
			return cmd_usage(o->command, "--unit %s: a slot is DD.F, such as 04.0",
					 value);
	} else if (!strcmp(name, "--registers")) {
		if (!cmd_number(value, &o->registers, &why))
			return cmd_usage(o->command, "--registers %s: %s", value, why);
		if (!o->registers || o->registers & 0xffff || o->registers >> 32)
			return cmd_usage(o->command,
					 "--registers %s: a multiple of 0x10000 below 4 GiB",
					 value);
	} else if (!strcmp(name, "--virtual-commands")) {
		if (strcmp(value, "new") && strcmp(value, "old"))
			return cmd_usage(o->command, "--virtual-commands %s: new or old", value);
		/* Kernels that have them use them with caching mode only. */
		o->guest_flags &= ~VIOMMU_GUEST_VCMD_OLD;
		o->guest_flags |= VIOMMU_GUEST_CM | VIOMMU_GUEST_VCMD;
		if (!strcmp(value, "old"))
			o->guest_flags |= VIOMMU_GUEST_VCMD_OLD;
	} else {
		if (strcmp(value, "identity") && strcmp(value, "host"))
			return cmd_usage(o->command, "--pasids %s: identity or host", value);
		o->guest_flags &= ~VIOMMU_GUEST_HOST_PASIDS;
		if (!strcmp(value, "host"))
			o->guest_flags |= VIOMMU_GUEST_HOST_PASIDS;
	}
	return CMD_OK;
}

int machine_option(struct machine_options *o, int argc, char **argv, int *i)
{
	static const char *const with_value[] = { "--dir",       "--user",
						  "--profile",   "--device",
						  "--unit",      "--pasids",
						  "--registers", "--virtual-commands" };
	const char *name = argv[*i];
	size_t n;

	if (!strcmp(name, "--caching-mode"))
		o->guest_flags |= VIOMMU_GUEST_CM;
	else if (!strcmp(name, "--verbose") || !strcmp(name, "-v"))
		o->level = o->level < VIOMMU_SERVER_INFO ? VIOMMU_SERVER_INFO : VIOMMU_SERVER_DEBUG;
	else if (!strcmp(name, "--quiet") || !strcmp(name, "-q"))
		o->level = VIOMMU_SERVER_ERROR;
	else
		goto value;
	return CMD_OK;
value:
	for (n = 0; n < sizeof(with_value) / sizeof(with_value[0]); n++) {
		if (strcmp(name, with_value[n]))
			continue;
		if (*i + 1 >= argc)
			return cmd_usage(o->command, "%s needs a value", name);
		return value_option(o, name, argv[++*i]);
	}
	return 1;
}

/* ---- Board and devices ---- */

static const char *const level_names[] = { "error", "warning", "info", "debug" };

static void machine_log(void *ctx, enum viommu_server_level level, const char *line)
{
	struct machine *m = ctx;

	if (level <= m->options->level)
		fprintf(stderr, "viommu %s: %s: %s\n", m->options->command, level_names[level],
			line);
}

static void machine_tick(void *ctx)
{
	struct machine *m = ctx;
	uint32_t hidden = __atomic_exchange_n(&m->traps_hidden, 0, __ATOMIC_RELAXED);
	char line[64];

	__atomic_store_n(&m->trap_lines, TRAP_LINES, __ATOMIC_RELAXED);
	if (hidden) {
		snprintf(line, sizeof(line), "%u binds and unbinds were left out", hidden);
		machine_log(m, VIOMMU_SERVER_DEBUG, line);
	}
	viommu_host_expire_page_requests(viommu_board_host(m->board));
}

static void machine_placed(void *ctx, uint64_t registers)
{
	struct machine *m = ctx;

	m->placed = registers;
	if (m->placed_call) {
		m->placed_call(m);
	} else if (registers != m->registers && !m->warned) {
		m->warned = true;
		fprintf(stderr,
			"viommu %s: error: the firmware put the unit's registers at %#llx, the "
			"DMAR table says %#llx: the guest will not find them; "
			"start again with --registers %#llx\n",
			m->options->command, (unsigned long long)registers,
			(unsigned long long)m->registers, (unsigned long long)registers);
	}
}

static void machine_trap(void *ctx, const struct viommu_guest_trap *t)
{
	static const char *const kinds[] = { "?", "bind", "rebind", "unbind", "refused" };
	struct machine *m = ctx;
	char line[256], gp[48], error[64] = "";

	if (m->options->level < VIOMMU_SERVER_DEBUG)
		return;
	/* The guest says how many there are. One at a time: the unit's lock is held. */
	if (!__atomic_load_n(&m->trap_lines, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&m->traps_hidden, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_sub(&m->trap_lines, 1, __ATOMIC_RELAXED);
	if (t->gp.v == VIOMMU_NO_PASID)
		snprintf(gp, sizeof(gp), "no PASID");
	else
		snprintf(gp, sizeof(gp), "PASID %u as host PASID %u", t->gp.v, t->hp.v);
	if (t->kind == VIOMMU_TRAP_REFUSED)
		snprintf(error, sizeof(error), ": %s", strerror(-t->error));
	snprintf(line, sizeof(line), "%s %02x:%02x.%x %s, entry %016llx%s",
		 kinds[t->kind <= VIOMMU_TRAP_REFUSED ? t->kind : 0], t->sid >> 8, t->sid >> 3 & 31,
		 t->sid & 7, gp, (unsigned long long)t->after[0], error);
	machine_log(m, VIOMMU_SERVER_DEBUG, line);
}

char *machine_path(const struct machine *m, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", m->dir, name) < 0 ? NULL : path;
}

static int folder(struct machine *m)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (m->options->replace) {
		m->dir = strdup(m->options->replace->dir);
		m->own_dir = m->options->replace->own_dir;
		return m->dir ? CMD_OK : cmd_error(m->options->command, "out of memory");
	}
	if (m->options->dir) {
		m->dir = strdup(m->options->dir);
		if (!m->dir)
			return cmd_error(m->options->command, "out of memory");
		if (mkdir(m->dir, 0700) && errno != EEXIST)
			return cmd_error(m->options->command, "%s: %s", m->dir, strerror(errno));
		return CMD_OK;
	}
	if (!base || access(base, W_OK))
		base = "/tmp";
	if (asprintf(&m->dir, "%s/viommu-XXXXXX", base) < 0) {
		m->dir = NULL;
		return cmd_error(m->options->command, "out of memory");
	}
	if (!mkdtemp(m->dir)) {
		cmd_error(m->options->command, "%s: %s", m->dir, strerror(errno));
		free(m->dir);
		m->dir = NULL;
		return CMD_FAILED;
	}
	m->own_dir = true;
	return CMD_OK;
}

static int serve(struct machine *m, const char *name, struct viommu_server_function f)
{
	char *path = machine_path(m, name);
	int ret;

	if (!path)
		return cmd_error(m->options->command, "out of memory");
	f.size = sizeof(f);
	f.path = path;
	ret = viommu_server_add(m->server, &f);
	if (ret)
		cmd_error(m->options->command, "%s: %s", path,
			  ret == -EADDRINUSE ? "somebody serves there already" : strerror(-ret));
	free(path);
	return ret ? CMD_FAILED : CMD_OK;
}

static void device_name(char *buf, size_t size, unsigned int n)
{
	snprintf(buf, size, "dsa%u.sock", n);
}

static int device(struct machine *m, const struct machine_device *d, uint16_t *next)
{
	uint16_t sid = d->sid;
	char name[32];
	int ret;

	if (!sid) {
		while (*next == m->options->unit_sid)
			*next = (uint16_t)(*next + 8);
		sid = *next;
		*next = (uint16_t)(*next + 8);
	}
	ret = viommu_dsa_new(&d->config, &m->dsa[m->nr]);
	if (ret)
		return cmd_error(m->options->command, "DSA device: %s", strerror(-ret));
	m->sid[m->nr] = sid;
	m->nr++;
	ret = viommu_board_add(m->board, viommu_dsa_pci(m->dsa[m->nr - 1]), sid);
	if (ret)
		return cmd_error(m->options->command, "slot %02x.%x: %s", sid >> 3, sid & 7,
				 ret == -EEXIST || ret == -EINVAL ? "it is taken already"
								  : strerror(-ret));
	device_name(name, sizeof(name), m->nr - 1);
	return serve(m, name,
		     (struct viommu_server_function){
			     .pci = viommu_dsa_pci(m->dsa[m->nr - 1]),
			     .host = viommu_board_host(m->board),
		     });
}

static char *control(void *ctx, const char *line)
{
	struct machine *m = ctx;

	return !strcmp(line, "inspect") ? machine_report(m) : NULL;
}

static int board(struct machine *m)
{
	const struct machine_options *o = m->options;
	const struct viommu_board_config config = {
		.size = sizeof(config),
		.guest = {
			.size = sizeof(config.guest),
			.profile = o->profile,
			.flags = o->guest_flags,
			.ops = { .ctx = m, .trap = machine_trap },
		},
		.unit_sid = o->unit_sid,
		.pasid_min = o->guest_flags & (VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD)
				     ? HOST_PASID_FIRST
				     : 1,
		.pasid_max = VIOMMU_PASID_MAX,
		.ctx = m,
		.placed = machine_placed,
	};
	const struct viommu_server_config sc = {
		.size = sizeof(sc),
		.ctx = m,
		.tick = machine_tick,
		.log = machine_log,
		.handover = o->replace ? o->replace->handover : NULL,
	};
	static const struct machine_device dsa = { .config.size = sizeof(dsa.config) };
	uint16_t next = o->first_sid;
	unsigned int i;
	char *path;
	int ret;

	if (o->guest_flags & VIOMMU_GUEST_VCMD && o->guest_flags & VIOMMU_GUEST_HOST_PASIDS)
		return cmd_usage(o->command, "--virtual-commands and --pasids host: either the "
					     "guest has numbers of its own, or the host's");
	if (o->guest_flags & VIOMMU_GUEST_VCMD && o->profile == VIOMMU_PROFILE_LEGACY)
		return cmd_usage(o->command,
				 "--virtual-commands: profile legacy-kernels has no PASIDs");
	ret = viommu_board_new(&config, &m->board);
	if (!ret)
		ret = viommu_server_new(&sc, &m->server);
	if (ret)
		return cmd_error(o->command, "start: %s", strerror(-ret));
	ret = serve(m, "iommu.sock",
		    (struct viommu_server_function){
			    .pci = viommu_board_unit(m->board),
			    .mem = viommu_board_mem(m->board),
			    .host = viommu_board_host(m->board),
		    });
	for (i = 0; ret == CMD_OK && i < o->nr; i++)
		ret = device(m, &o->device[i], &next);
	if (ret == CMD_OK && !o->nr)
		ret = device(m, &dsa, &next);
	if (ret != CMD_OK)
		return ret;
	path = machine_path(m, "control.sock");
	if (!path)
		return cmd_error(o->command, "out of memory");
	ret = viommu_server_add_control(m->server, path, control, m);
	if (ret)
		cmd_error(o->command, "%s: %s", path, strerror(-ret));
	free(path);
	return ret ? CMD_FAILED : CMD_OK;
}

int machine_init(struct machine *m, const struct machine_options *options)
{
	int ret;

	*m = (struct machine){ .options = options, .trap_lines = TRAP_LINES };
	m->registers = options->registers ? options->registers : REGISTERS_DEFAULT;
	if (options->replace) {
		m->borrowed = true;
		m->registers = options->replace->registers;
		m->placed = options->replace->placed;
		m->warned = options->replace->warned;
	}
	ret = folder(m);
	if (ret == CMD_OK)
		ret = board(m);
	/* QEMU has read them. */
	if (ret == CMD_OK && !options->replace)
		ret = machine_tables(m, m->registers);
	return ret;
}

void machine_fini(struct machine *m)
{
	static const char *const tables[] = { "dmar.aml", "ssdt.aml" };
	unsigned int i;

	viommu_server_free(m->server);
	for (i = 0; i < m->nr; i++)
		viommu_board_remove(m->board, viommu_dsa_pci(m->dsa[i]));
	for (i = 0; i < m->nr; i++)
		viommu_dsa_free(m->dsa[i]);
	viommu_board_free(m->board);
	for (i = 0; m->dir && !m->borrowed && i < 2; i++) {
		char *path = machine_path(m, tables[i]);

		if (path)
			unlink(path);
		free(path);
	}
	if (m->own_dir && !m->borrowed)
		rmdir(m->dir);
	free(m->dir);
	*m = (struct machine){ .options = m->options };
}

/* ---- Tables and arguments ---- */

static int save(const struct machine *m, const char *name, const void *bytes, size_t n)
{
	char *path = machine_path(m, name);
	int fd, ret = CMD_OK;

	if (!path)
		return cmd_error(m->options->command, "out of memory");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n || fchmod(fd, 0644))
		ret = cmd_error(m->options->command, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(path);
	return ret;
}

int machine_tables(struct machine *m, uint64_t registers)
{
	uint8_t buf[1024];
	size_t n;
	int ret;

	n = viommu_board_dmar(m->board, registers, buf, sizeof(buf));
	ret = save(m, "dmar.aml", buf, n);
	if (ret != CMD_OK)
		return ret;
	n = viommu_board_ssdt(m->board, buf, sizeof(buf));
	ret = save(m, "ssdt.aml", buf, n);
	if (ret == CMD_OK)
		m->registers = registers;
	return ret;
}

/* A comma in a value is written twice. */
static char *comma_twice(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *p = out;

	while (p && *text) {
		if (*text == ',')
			*p++ = ',';
		*p++ = *text++;
	}
	if (p)
		*p = 0;
	return out;
}

static void add_table(struct cmd_words *w, const struct machine *m, const char *name)
{
	char *dir = comma_twice(m->dir), *arg = NULL;

	if (dir && asprintf(&arg, "file=%s/%s", dir, name) < 0)
		arg = NULL;
	free(dir);
	cmd_words_add(w, strdup("-acpitable"));
	cmd_words_add(w, arg);
}

static void add_device(struct cmd_words *w, const struct machine *m, const char *name, uint16_t sid)
{
	char addr[8], *path = machine_path(m, name), *arg = NULL;
	json_t *json = NULL;

	snprintf(addr, sizeof(addr), "%02x.%x", sid >> 3 & 31, sid & 7);
	if (path)
		json = json_pack("{s:s, s:s, s:{s:s, s:s}}", "driver", "vfio-user-pci", "addr",
				 addr, "socket", "type", "unix", "path", path);
	if (json)
		arg = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(json);
	free(path);
	cmd_words_add(w, strdup("-device"));
	cmd_words_add(w, arg);
}

char **machine_args(const struct machine *m)
{
	struct cmd_words w = { .word = NULL };
	char name[32];
	unsigned int i;

	add_table(&w, m, "dmar.aml");
	add_table(&w, m, "ssdt.aml");
	add_device(&w, m, "iommu.sock", m->options->unit_sid);
	for (i = 0; i < m->nr; i++) {
		device_name(name, sizeof(name), i);
		add_device(&w, m, name, m->sid[i]);
	}
	if (w.failed) {
		cmd_words_free(&w);
		return NULL;
	}
	return w.word;
}

void machine_args_free(char **args)
{
	size_t i;

	for (i = 0; args && args[i]; i++)
		free(args[i]);
	free(args);
}

/* ---- The process ---- */

/* A signal handler can only reach what is global. */
static struct viommu_server *signal_server;
static volatile sig_atomic_t signal_seen;

static void on_signal(int number)
{
	signal_seen = number;
	viommu_server_stop(signal_server);
}

int machine_signals(struct machine *m)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };
	size_t i;

	signal_server = m->server;
	signal_seen = 0;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], &sa, NULL))
			return cmd_error(m->options->command, "signals: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	return CMD_OK;
}

int machine_signal_seen(void)
{
	return signal_seen;
}

int machine_drop_privileges(const struct machine_options *o, const char *user)
{
	int ret = viommu_server_drop_privileges(user);

	if (!ret)
		return CMD_OK;
	if (user)
		return cmd_error(o->command, "--user %s: %s", user,
				 ret == -ENOENT   ? "no such user"
				 : ret == -EINVAL ? "that is root"
						  : strerror(-ret));
	return cmd_error(o->command, "could not drop privileges: %s", strerror(-ret));
}
