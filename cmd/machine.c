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
#include <viommu/vtd.h>

#include "cmd.h"
#include "machine.h"
#include "replace.h"

/* Where SeaBIOS puts the one BAR of a q35 machine that has nothing else. */
#define REGISTERS_DEFAULT UINT64_C(0xfebe0000)
#define UNIT_SLOT_DEFAULT VIOMMU_SID(0, 4, 0)
/* Binds and unbinds that a second has lines of the log for. */
#define TRAP_LINES 64u
/* And devices that come and go: whoever can connect says how often. */
#define PLUG_LINES 16u

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
	"  --pasid-range FIRST-LAST\n"
	"                         the host PASIDs that this VM may have, both ends included\n"
	"  --unit SLOT            the unit's PCI slot on bus 0 (default 04.0; vm: 10.0)\n"
	"  --device dsa[,OPT...]  a DSA device; again for more (default: one, at 05.0;\n"
	"                         vm: at 11.0)\n"
	"                         slot=DD.F queues=1..8 engines=1..4 groups=1..4\n"
	"                         entries=1..1024 no-pri msi\n"
	"                         port=DD.F: not there yet; QEMU plugs it in behind a root\n"
	"                         port in this slot (docs/hot-plug.md)\n"
	"  --pasid-quota N        host PASIDs that a VM may have at a time (default: no limit;\n"
	"                         several VMs: an even share)\n"
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

static bool is_port(const struct machine_options *o, uint16_t sid)
{
	unsigned int i;

	for (i = 0; i < o->nr; i++)
		if (o->device[i].port == sid)
			return true;
	return false;
}

void machine_slot(const struct machine_options *o, uint16_t *next, uint16_t *sid)
{
	if (*sid)
		return;
	while (*next == o->unit_sid || is_port(o, *next))
		*next = (uint16_t)(*next + 8);
	*sid = *next;
	*next = (uint16_t)(*next + 8);
}

/* A whole number from 1 to last; `sign` stands between the name and it. */
static int count(const struct machine_options *o, const char *name, char sign, const char *text,
		 uint64_t last, uint64_t *out)
{
	const char *why;

	if (!cmd_number(text, out, &why))
		return cmd_usage(o->command, "%s%c%s: %s", name, sign, text, why);
	if (*out < 1 || *out > last)
		return cmd_usage(o->command, "%s%c%s: 1 to %llu", name, sign, text,
				 (unsigned long long)last);
	return CMD_OK;
}

static int device_key_unknown(const struct machine_options *o, const char *key)
{
	return cmd_usage(o->command,
			 "--device dsa: '%s' is none of slot=, port=, queues=, engines=, groups=, "
			 "entries=, no-pri, msi",
			 key);
}

static int device_key(const struct machine_options *o, struct machine_device *d, const char *key,
		      const char *value)
{
	uint64_t n;
	int ret;

	if (!value) {
		if (!strcmp(key, "no-pri"))
			d->config.no_pri = 1;
		else if (!strcmp(key, "msi"))
			d->config.msi = 1;
		else
			return device_key_unknown(o, key);
		return CMD_OK;
	}
	if (!strcmp(key, "slot") || !strcmp(key, "port")) {
		if (slot(value, *key == 's' ? &d->sid : &d->port))
			return CMD_OK;
		return cmd_usage(o->command, "%s=%s: a slot is DD.F, such as 05.0", key, value);
	}
	if (!strcmp(key, "queues")) {
		ret = count(o, key, '=', value, VIOMMU_DSA_MAX_QUEUES, &n);
		d->config.queues = (uint8_t)n;
	} else if (!strcmp(key, "engines")) {
		ret = count(o, key, '=', value, VIOMMU_DSA_MAX_ENGINES, &n);
		d->config.engines = (uint8_t)n;
	} else if (!strcmp(key, "groups")) {
		ret = count(o, key, '=', value, VIOMMU_DSA_MAX_GROUPS, &n);
		d->config.groups = (uint8_t)n;
	} else if (!strcmp(key, "entries")) {
		ret = count(o, key, '=', value, 1024, &n);
		d->config.entries = (uint16_t)n;
	} else {
		return device_key_unknown(o, key);
	}
	return ret;
}

static int shared_key(const struct machine_options *o, struct machine_shared_device *d,
		      const char *key, const char *value)
{
	uint64_t n = 0;
	int ret;

	if (!value && !strcmp(key, "no-pri")) {
		d->no_pri = true;
		return CMD_OK;
	}
	if (value && !strcmp(key, "slot")) {
		if (slot(value, &d->sid))
			return CMD_OK;
		return cmd_usage(o->command, "slot=%s: a slot is DD.F, such as 05.0", value);
	}
	if (value && !strcmp(key, "queues")) {
		ret = count(o, key, '=', value, VIOMMU_DSA_HW_MAX_QUEUES, &n);
		d->config.queues = (uint8_t)n;
	} else if (value && !strcmp(key, "engines")) {
		ret = count(o, key, '=', value, VIOMMU_PCI_MAX_WORKERS, &n);
		d->config.engines = (uint8_t)n;
	} else if (value && !strcmp(key, "entries")) {
		ret = count(o, key, '=', value, 1024, &n);
		d->config.entries = (uint16_t)n;
	} else {
		return cmd_usage(o->command,
				 "--shared-device dsa: '%s' is none of slot=, queues=, engines=, "
				 "entries=, no-pri",
				 key);
	}
	return ret;
}

/* dsa,KEY=VALUE...: exactly one of the two is given. */
static int dsa_keys(const struct machine_options *o, const char *name, const char *text,
		    struct machine_device *d, struct machine_shared_device *shared)
{
	char *copy, *next, *key, *value;
	int ret = CMD_OK;

	copy = next = strdup(text);
	if (!copy)
		return cmd_error(o->command, "out of memory");
	key = strsep(&next, ",");
	if (strcmp(key, "dsa"))
		ret = cmd_usage(o->command, "%s %s: there is only 'dsa'", name, key);
	while (ret == CMD_OK && next) {
		key = strsep(&next, ",");
		value = strchr(key, '=');
		if (value)
			*value++ = 0;
		ret = d ? device_key(o, d, key, value) : shared_key(o, shared, key, value);
	}
	free(copy);
	return ret;
}

static int device_option(struct machine_options *o, const char *text)
{
	struct machine_device *d = &o->device[o->nr];
	int ret;

	if (o->nr == MACHINE_MAX_DEVICES)
		return cmd_usage(o->command, "--device: %u at most", MACHINE_MAX_DEVICES);
	*d = (struct machine_device){ .config.size = sizeof(d->config) };
	ret = dsa_keys(o, "--device", text, d, NULL);
	if (ret == CMD_OK && d->sid && d->port)
		ret = cmd_usage(o->command, "--device dsa: slot= is on bus 0, port= behind a port");
	if (ret == CMD_OK)
		o->nr++;
	return ret;
}

static int shared_option(struct machine_options *o, const char *text)
{
	struct machine_shared_device *d = &o->shared[o->nr_shared];
	int ret;

	if (o->nr_shared == MACHINE_MAX_SHARED)
		return cmd_usage(o->command, "--shared-device: %u at most", MACHINE_MAX_SHARED);
	*d = (struct machine_shared_device){ .config.size = sizeof(d->config) };
	ret = dsa_keys(o, "--shared-device", text, NULL, d);
	if (ret == CMD_OK)
		o->nr_shared++;
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

static int range_option(struct machine_options *o, const char *text)
{
	char *copy = strdup(text), *last = copy, *first;
	uint64_t from = 0, to = 0;
	const char *why;
	bool good;

	if (!copy)
		return cmd_error(o->command, "out of memory");
	first = strsep(&last, "-");
	good = last && cmd_number(first, &from, &why) && cmd_number(last, &to, &why);
	free(copy);
	if (!good || !from || from > to || to > VIOMMU_PASID_MAX)
		return cmd_usage(
			o->command,
			"--pasid-range %s: FIRST-LAST, such as 0x1000-0x10ff, within 1 to %#x",
			text, VIOMMU_PASID_MAX);
	o->pasid_first = (uint32_t)from;
	o->pasid_last = (uint32_t)to;
	return CMD_OK;
}

static int value_option(struct machine_options *o, const char *name, const char *value)
{
	const char *why;
	uint64_t n = 0;
	int ret;

	if (!strcmp(name, "--dir")) {
		o->dir = value;
	} else if (!strcmp(name, "--vms")) {
		ret = count(o, name, ' ', value, MACHINE_MAX_VMS, &n);
		o->vms = (unsigned int)n;
		return ret;
	} else if (!strcmp(name, "--pasid-quota")) {
		ret = count(o, name, ' ', value, VIOMMU_PASID_MAX, &n);
		o->pasid_quota = (uint32_t)n;
		return ret;
	} else if (!strcmp(name, "--shared-device")) {
		return shared_option(o, value);
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
	} else if (!strcmp(name, "--pasid-range")) {
		return range_option(o, value);
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
		o->pasids_said = true;
		o->guest_flags &= ~VIOMMU_GUEST_HOST_PASIDS;
		if (!strcmp(value, "host"))
			o->guest_flags |= VIOMMU_GUEST_HOST_PASIDS;
	}
	return CMD_OK;
}

int machine_option(struct machine_options *o, int argc, char **argv, int *i)
{
	static const char *const with_value[] = {
		"--dir",    "--user",      "--profile",          "--device",      "--unit",
		"--pasids", "--registers", "--virtual-commands", "--pasid-range", "--pasid-quota",
	};
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
	if (o->fleet && (!strcmp(name, "--vms") || !strcmp(name, "--shared-device"))) {
		if (*i + 1 >= argc)
			return cmd_usage(o->command, "%s needs a value", name);
		return value_option(o, name, argv[++*i]);
	}
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

void machine_log(void *ctx, enum viommu_server_level level, const char *line)
{
	struct machine *m = ctx;

	if (level <= m->options->level)
		fprintf(stderr, "viommu %s: %s: %s\n", m->options->command, level_names[level],
			line);
}

static void look_for_misplaced(struct machine *m);

void machine_second(struct machine *m)
{
	uint32_t hidden = __atomic_exchange_n(&m->traps_hidden, 0, __ATOMIC_RELAXED);
	char line[64];

	__atomic_store_n(&m->trap_lines, TRAP_LINES, __ATOMIC_RELAXED);
	m->plug_lines = PLUG_LINES;
	if (hidden) {
		snprintf(line, sizeof(line), "%u binds and unbinds were left out", hidden);
		machine_log(m, VIOMMU_SERVER_DEBUG, line);
	}
	look_for_misplaced(m);
}

/*
 * Page requests do not expire: a guest that its VMM has stopped answers when it goes on, and one
 * that never does keeps nobody waiting but engines of its own, until its device is reset.
 */
static void machine_tick(void *ctx)
{
	machine_second(ctx);
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

char *machine_path_in(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

char *machine_path(const struct machine *m, const char *name)
{
	return machine_path_in(m->dir, name);
}

int machine_folder(const struct machine_options *o, char **dir, bool *own)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (o->replace) {
		*dir = strdup(o->replace->dir);
		*own = o->replace->own_dir;
		return *dir ? CMD_OK : cmd_error(o->command, "out of memory");
	}
	if (o->dir) {
		*dir = strdup(o->dir);
		if (!*dir)
			return cmd_error(o->command, "out of memory");
		if (mkdir(*dir, 0700) && errno != EEXIST)
			return cmd_error(o->command, "%s: %s", *dir, strerror(errno));
		return CMD_OK;
	}
	if (!base || access(base, W_OK))
		base = "/tmp";
	if (asprintf(dir, "%s/viommu-XXXXXX", base) < 0) {
		*dir = NULL;
		return cmd_error(o->command, "out of memory");
	}
	if (!mkdtemp(*dir)) {
		cmd_error(o->command, "%s: %s", *dir, strerror(errno));
		free(*dir);
		*dir = NULL;
		return CMD_FAILED;
	}
	*own = true;
	return CMD_OK;
}

/* DIR/vm0 and so on; it goes if the whole folder goes. */
static int fleet_folder(struct machine *m)
{
	char name[16];

	snprintf(name, sizeof(name), "vm%u", m->vm);
	m->dir = machine_path_in(m->fleet->dir, name);
	if (!m->dir)
		return cmd_error(m->options->command, "out of memory");
	if (!m->borrowed && mkdir(m->dir, 0700) && errno != EEXIST)
		return cmd_error(m->options->command, "%s: %s", m->dir, strerror(errno));
	m->own_dir = m->fleet->own_dir;
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
	f.vm = m;
	ret = viommu_server_add(m->server, &f);
	if (ret)
		cmd_error(m->options->command, "%s: %s", path,
			  ret == -EADDRINUSE ? "somebody serves there already" : strerror(-ret));
	free(path);
	return ret ? CMD_FAILED : CMD_OK;
}

/* ---- Behind ports ---- */

/* The place of a slot among the ports; nr_ports: it is none of them. */
static unsigned int port_index(const struct machine *m, uint16_t sid)
{
	unsigned int i;

	for (i = 0; i < m->nr_ports && m->port[i] != sid; i++)
		;
	return i;
}

static int port(struct machine *m, uint16_t sid)
{
	int ret;

	if (port_index(m, sid) < m->nr_ports)
		return CMD_OK;
	ret = viommu_board_add_port(m->board, sid);
	if (ret == -ENOSPC)
		return cmd_usage(m->options->command, "port=: %u ports at most",
				 VIOMMU_BOARD_MAX_PORTS);
	if (ret)
		return cmd_error(m->options->command, "port %02x.%x: %s", sid >> 3, sid & 7,
				 ret == -ENOMEM ? strerror(-ret) : "the slot is taken already");
	m->port[m->nr_ports++] = sid;
	return CMD_OK;
}

uint16_t machine_sid(const struct machine *m, unsigned int n)
{
	struct viommu_pci *pci;
	unsigned int i;
	uint16_t sid;

	for (i = 0; (pci = viommu_board_device(m->board, i, &sid)); i++)
		if (pci == viommu_dsa_pci(m->dsa[n]))
			return sid;
	return 0;
}

static void plug_log(const struct machine_seat *seat, enum viommu_server_level level,
		     const char *what)
{
	struct machine *m = seat->m;
	char line[128];

	if (!m->plug_lines)
		return;
	m->plug_lines--;
	snprintf(line, sizeof(line), "device %u behind port %02x.%x: %s", seat->n, seat->port >> 3,
		 seat->port & 7, what);
	machine_log(m, level, line);
}

/* QEMU has plugged it in, or starts with it. */
static void plugged(void *ctx, struct viommu_pci *pci)
{
	const struct machine_seat *seat = ctx;
	int ret;

	/* Taken over with its client (replace.c). */
	if (seat->m->taking)
		return;
	ret = viommu_board_plug(seat->m->board, pci, seat->port);
	if (!ret)
		plug_log(seat, VIOMMU_SERVER_INFO, "plugged in");
	else
		plug_log(seat, VIOMMU_SERVER_ERROR,
			 ret == -EEXIST ? "another one is there already, so this one gets no memory"
					: strerror(-ret));
}

/* It was ejected, or the connection ended; the function has been reset. */
static void unplugged(void *ctx, struct viommu_pci *pci)
{
	const struct machine_seat *seat = ctx;

	if (!viommu_board_remove(seat->m->board, pci))
		plug_log(seat, VIOMMU_SERVER_INFO, "gone");
}

/*
 * A device whose requester id is not the guest's finds no tables. Said once: either the guest gave
 * buses other numbers after its firmware, or it shut the device out.
 */
static void look_for_misplaced(struct machine *m)
{
	struct viommu_guest_stats s = { .size = sizeof(s) };
	struct viommu_guest *guest = viommu_board_guest(m->board);
	struct viommu_fault f[16];
	unsigned int nr, i, n;
	char line[192];

	if (!m->nr_ports || m->misplaced)
		return;
	viommu_guest_stats(guest, &s);
	if (s.faults == m->faults)
		return;
	m->faults = s.faults;
	nr = viommu_guest_last_faults(guest, f, 16);
	for (i = 0; i < nr && !m->misplaced; i++) {
		if (f[i].reason != VTD_FR_SROOT_NP && f[i].reason != VTD_FR_SCE_NP &&
		    f[i].reason != VTD_FR_ROOT_NP && f[i].reason != VTD_FR_CTX_NP)
			continue;
		for (n = 0; n < m->nr; n++)
			m->misplaced |= m->seat[n].port && machine_sid(m, n) == f[i].sid;
		if (!m->misplaced)
			continue;
		snprintf(line, sizeof(line),
			 "the guest has no tables for %02x:%02x.%x: if it shows the device behind "
			 "the port at another bus number, that number came after its firmware's "
			 "(docs/hot-plug.md)",
			 f[i].sid >> 8, f[i].sid >> 3 & 31, f[i].sid & 7);
		machine_log(m, VIOMMU_SERVER_WARNING, line);
	}
}

static void device_name(char *buf, size_t size, unsigned int n)
{
	snprintf(buf, size, "dsa%u.sock", n);
}

/* port: behind that one, without sid. parent: a part of that device. */
static int device(struct machine *m, const struct viommu_dsa_config *config, uint16_t sid,
		  uint16_t port, struct viommu_device *parent)
{
	struct viommu_pci *pci;
	char name[32];
	int ret;

	ret = viommu_dsa_new(config, &m->dsa[m->nr]);
	if (ret)
		return cmd_error(m->options->command, "DSA device: %s", strerror(-ret));
	m->sid[m->nr] = sid;
	m->seat[m->nr] = (struct machine_seat){ m, m->nr, port };
	pci = viommu_dsa_pci(m->dsa[m->nr++]);
	/* Behind a port it is there when its client is. */
	if (!port)
		ret = parent ? viommu_board_add_sub(m->board, pci, sid, parent)
			     : viommu_board_add(m->board, pci, sid);
	if (ret)
		return cmd_error(m->options->command, "slot %02x.%x: %s", sid >> 3, sid & 7,
				 ret == -EEXIST || ret == -EINVAL ? "it is taken already"
								  : strerror(-ret));
	device_name(name, sizeof(name), m->nr - 1);
	return serve(m, name,
		     (struct viommu_server_function){
			     .pci = pci,
			     .host = viommu_board_host(m->board),
			     .engines = config->hw ? viommu_dsa_hw_engines(config->hw) : NULL,
			     .ctx = &m->seat[m->nr - 1],
			     .connected = port ? plugged : NULL,
			     .disconnected = port ? unplugged : NULL,
		     });
}

static int devices(struct machine *m)
{
	static const struct machine_device dsa = { .config.size = sizeof(dsa.config) };
	const struct machine_options *o = m->options;
	uint16_t next = m->fleet ? m->fleet->next : o->first_sid, sid;
	const struct machine_device *d;
	unsigned int i;
	int ret = CMD_OK;

	for (i = 0; ret == CMD_OK && m->fleet && i < m->fleet->nr_shared; i++) {
		const struct viommu_dsa_config config = {
			.size = sizeof(config),
			.no_pri = o->shared[i].no_pri,
			.hw = m->fleet->shared[i].hw,
		};

		ret = device(m, &config, m->fleet->shared[i].sid, 0, m->fleet->shared[i].dev);
	}
	for (i = 0; ret == CMD_OK && (i < o->nr || (!i && !o->nr_shared)); i++) {
		d = o->nr ? &o->device[i] : &dsa;
		sid = d->sid;
		if (!d->port)
			machine_slot(o, &next, &sid);
		ret = device(m, &d->config, sid, d->port, NULL);
	}
	return ret;
}

static char *control(void *ctx, const char *line)
{
	struct machine *m = ctx;
	char *text = NULL;

	if (!strcmp(line, "inspect"))
		return machine_report(m);
	/* Who may not be asked says why not (viommu-server/server.h, Replacement). */
	if (strncmp(line, "replace ", 8) != 0 || (!m->fleet && m->options->fleet))
		return NULL;
	if (!m->fleet)
		return strdup("refused it is a viommu vm, whose QEMU ends with it\n");
	if (asprintf(&text,
		     "refused it is VM %u of %u that are replaced together: --replace the folder "
		     "above it\n",
		     m->vm, m->fleet->nr) < 0)
		text = NULL;
	return text;
}

static int board(struct machine *m)
{
	const uint32_t numbers = VIOMMU_GUEST_HOST_PASIDS | VIOMMU_GUEST_VCMD;
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
		.pasid_quota = m->fleet ? m->fleet->pasid_quota : o->pasid_quota,
		/* On a host of several VMs the range is the host's. */
		.pasid_min = m->fleet		       ? 0
			     : o->pasid_first	       ? o->pasid_first
			     : o->guest_flags & numbers ? MACHINE_PASID_FIRST
						       : 1,
		.pasid_max = m->fleet	     ? 0
			     : o->pasid_last ? o->pasid_last
					     : VIOMMU_PASID_MAX,
		.ctx = m,
		.placed = machine_placed,
		.host = m->fleet ? m->fleet->host : NULL,
	};
	const struct viommu_server_config sc = {
		.size = sizeof(sc),
		.ctx = m,
		.tick = machine_tick,
		.log = machine_log,
		.handover = o->replace ? o->replace->handover : NULL,
	};
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
	if (!ret && m->fleet)
		m->server = m->fleet->server;
	else if (!ret)
		ret = viommu_server_new(&sc, &m->server);
	if (ret)
		return cmd_error(o->command, "start: %s", strerror(-ret));
	ret = serve(m, "iommu.sock",
		    (struct viommu_server_function){
			    .pci = viommu_board_unit(m->board),
			    .mem = viommu_board_mem(m->board),
			    .host = viommu_board_host(m->board),
		    });
	/* Ports first: a device without a slot of its own gets none of theirs. */
	for (i = 0; ret == CMD_OK && i < o->nr; i++)
		if (o->device[i].port)
			ret = port(m, o->device[i].port);
	if (ret == CMD_OK)
		ret = devices(m);
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
	return machine_init_in(m, options, NULL, 0);
}

int machine_init_in(struct machine *m, const struct machine_options *options, struct fleet *fleet,
		    unsigned int vm)
{
	int ret;

	*m = (struct machine){ .options = options,
			       .trap_lines = TRAP_LINES,
			       .plug_lines = PLUG_LINES,
			       .fleet = fleet,
			       .vm = vm };
	m->registers = options->registers ? options->registers : REGISTERS_DEFAULT;
	if (options->replace) {
		m->borrowed = true;
		m->registers = options->replace->vm[vm].registers;
		m->placed = options->replace->vm[vm].placed;
		m->warned = options->replace->vm[vm].warned;
		m->misplaced = options->replace->vm[vm].misplaced;
	}
	ret = fleet ? fleet_folder(m) : machine_folder(options, &m->dir, &m->own_dir);
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

	if (!m->fleet)
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
	uint8_t buf[4096];
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

/* Of QEMU's -device and device_add. bus NULL: bus 0. */
static char *device_json(const struct machine *m, const char *name, const char *id, const char *bus,
			 uint16_t sid)
{
	char addr[8], *path = machine_path(m, name), *text = NULL;
	json_t *json = NULL;

	snprintf(addr, sizeof(addr), "%02x.%x", sid >> 3 & 31, sid & 7);
	if (path)
		json = json_pack("{s:s, s:s*, s:s*, s:s, s:{s:s, s:s}}", "driver", "vfio-user-pci",
				 "id", id, "bus", bus, "addr", addr, "socket", "type", "unix",
				 "path", path);
	if (json)
		text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(json);
	free(path);
	return text;
}

static void add_device(struct cmd_words *w, const struct machine *m, const char *name, uint16_t sid)
{
	cmd_words_add(w, strdup("-device"));
	cmd_words_add(w, device_json(m, name, NULL, NULL, sid));
}

static void port_name(char *buf, size_t size, const struct machine *m, uint16_t sid)
{
	snprintf(buf, size, "viommu-port%u", port_index(m, sid));
}

/* QEMU wants a number of its own for each chassis; a user's begin at the other end. */
static void add_port(struct cmd_words *w, const struct machine *m, uint16_t sid)
{
	char name[32], *arg;

	port_name(name, sizeof(name), m, sid);
	if (asprintf(&arg, "pcie-root-port,id=%s,bus=pcie.0,addr=%02x.%x,chassis=%u", name,
		     sid >> 3, sid & 7, 0xf0u + port_index(m, sid)) < 0)
		arg = NULL;
	cmd_words_add(w, strdup("-device"));
	cmd_words_add(w, arg);
}

char *machine_plug(const struct machine *m, unsigned int n)
{
	char name[32], bus[32], id[32];

	if (!m->seat[n].port)
		return NULL;
	device_name(name, sizeof(name), n);
	port_name(bus, sizeof(bus), m, m->seat[n].port);
	snprintf(id, sizeof(id), "viommu-dsa%u", n);
	return device_json(m, name, id, bus, 0);
}

char **machine_args(const struct machine *m)
{
	struct cmd_words w = { .word = NULL };
	char name[32];
	unsigned int i;

	add_table(&w, m, "dmar.aml");
	add_table(&w, m, "ssdt.aml");
	add_device(&w, m, "iommu.sock", m->options->unit_sid);
	for (i = 0; i < m->nr_ports; i++)
		add_port(&w, m, m->port[i]);
	for (i = 0; i < m->nr; i++) {
		if (m->seat[i].port)
			continue;
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
