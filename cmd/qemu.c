/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu.h: finds QEMU, and reads as much of a QEMU command line as is needed to add to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "qemu.h"

/* vfio-user-pci came with 10.1. */
#define NEED_MAJOR 10u
#define NEED_MINOR 1u
#define PROGRAM    "qemu-system-x86_64"
#define NEEDED \
	"QEMU 10.1 or later with vfio-user-pci is needed ('scripts/vm-fetch.py qemu' fetches one)"

/* What QEMU prints about itself, at most, and how long that may take. */
#define OUTPUT_BYTES ((size_t)1 << 20)
#define OUTPUT_MS    20000

#define MEMORY_DEFAULT (UINT64_C(1) << 30)
#define MEMORY_LAST    (UINT64_C(1) << 52)
/* QEMU rounds -m up to this. */
#define MEMORY_ALIGN UINT64_C(8192)
#define MEMORY_ID    "viommu-mem"

/* ---- Which QEMU ---- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Reads until the end, a full buffer or the deadline. NUL-terminates. */
static void drain(int fd, char *buf, size_t size)
{
	int64_t deadline = now_ms() + OUTPUT_MS, left;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	while (used + 1 < size) {
		left = deadline - now_ms();
		if (left <= 0)
			break;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(fd, buf + used, size - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	buf[used] = 0;
}

/* What `path arg0 arg1` prints, both outputs. 0 or -errno: it could not be started. */
static int output_of(const char *path, const char *arg0, const char *arg1, char *buf, size_t size)
{
	char *argv[] = { (char *)path, (char *)arg0, (char *)arg1, NULL };
	int out[2], null, error = 0;
	pid_t pid;

	if (access(path, X_OK))
		return -errno;
	if (pipe2(out, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		error = -errno;
	} else if (!pid) {
		null = open("/dev/null", O_RDONLY);
		if (null >= 0 && dup2(null, 0) == 0 && dup2(out[1], 1) == 1 && dup2(out[1], 2) == 2)
			execv(path, argv);
		_exit(127);
	}
	close(out[1]);
	if (!error) {
		drain(out[0], buf, size);
		/* It said all that is wanted, or takes too long. */
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(out[0]);
	return error;
}

/* The first one in PATH, from malloc(), or NULL. */
static char *in_path(void)
{
	const char *dirs = getenv("PATH"), *end;
	char *path;

	for (; dirs && *dirs; dirs = *end ? end + 1 : end) {
		end = strchrnul(dirs, ':');
		if (asprintf(&path, "%.*s/%s", (int)(end - dirs), dirs, PROGRAM) < 0)
			return NULL;
		if (!access(path, X_OK))
			return path;
		free(path);
	}
	return NULL;
}

static int check(const char *command, const char *path, char *buf)
{
	unsigned int major, minor;
	const char *version;
	int ret;

	ret = output_of(path, "--version", NULL, buf, OUTPUT_BYTES);
	if (ret)
		return cmd_error(command, "%s: %s; " NEEDED, path, strerror(-ret));
	version = strstr(buf, "QEMU emulator version ");
	if (!version || sscanf(version, "QEMU emulator version %u.%u", &major, &minor) != 2)
		return cmd_error(command, "%s does not say that it is QEMU; " NEEDED, path);
	if (major < NEED_MAJOR || (major == NEED_MAJOR && minor < NEED_MINOR))
		return cmd_error(command, "%s is QEMU %u.%u; " NEEDED, path, major, minor);
	ret = output_of(path, "-device", "help", buf, OUTPUT_BYTES);
	if (ret)
		return cmd_error(command, "%s: %s", path, strerror(-ret));
	if (!strstr(buf, "\"vfio-user-pci\""))
		return cmd_error(command, "%s is QEMU %u.%u without vfio-user-pci; " NEEDED, path,
				 major, minor);
	return CMD_OK;
}

int qemu_find(const char *command, const char *named, char **path)
{
	const char *variable = getenv("VIOMMU_QEMU");
	char *buf;
	int ret;

	if (!named && variable && *variable)
		named = variable;
	*path = named ? strdup(named) : in_path();
	if (!*path)
		return cmd_error(command, "there is no " PROGRAM " in PATH; " NEEDED);
	buf = malloc(OUTPUT_BYTES);
	ret = buf ? check(command, *path, buf) : cmd_error(command, "out of memory");
	free(buf);
	if (ret != CMD_OK) {
		free(*path);
		*path = NULL;
	}
	return ret;
}

/* ---- The user's arguments ---- */

/* QEMU's options without a value; every other one takes the next word. */
static bool takes_value(const char *option)
{
	static const char *const none[] = {
		"alt-grab",
		"ctrl-grab",
		"daemonize",
		"enable-kvm",
		"enable-sync-profile",
		"full-screen",
		"h",
		"help",
		"jitdump",
		"mem-prealloc",
		"no-acpi",
		"no-fd-bootchk",
		"no-hpet",
		"no-reboot",
		"no-shutdown",
		"no-user-config",
		"nodefaults",
		"nographic",
		"old-param",
		"one-insn-per-tb",
		"only-migratable",
		"perfmap",
		"portrait",
		"preconfig",
		"s",
		"S",
		"semihosting",
		"singlestep",
		"snapshot",
		"usb",
		"version",
		"win2k-hack",
		"xen-attach",
		"xen-domid-restrict",
	};
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (!strcmp(option, none[i]))
			return false;
	return true;
}

/* The option's name if the word is one: -name or --name. */
static const char *option_name(const char *word)
{
	if (word[0] != '-' || !word[1])
		return NULL;
	return word[1] == '-' ? word + 2 : word + 1;
}

/* `value` of a size as QEMU reads it, MiB without a unit. 0: none. */
static uint64_t memory_bytes(const char *text)
{
	static const char units[] = "bkmgtpe";
	unsigned int shift = 20;
	const char *unit;
	double value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	value = strtod(text, &end);
	if (*end) {
		unit = strchr(units, *end | 0x20);
		if (!unit || end[1])
			return 0;
		shift = 10 * (unsigned int)(unit - units);
	}
	value *= (double)(UINT64_C(1) << shift);
	if (!(value >= 1) || value > (double)MEMORY_LAST)
		return 0;
	return ((uint64_t)value + MEMORY_ALIGN - 1) & ~(MEMORY_ALIGN - 1);
}

/*
 * The next of NAME=VALUE,... at *next, which moves on; a first one without '=' has the name
 * `implied`. A comma in a value is written twice, and that is left as it is. value has room for the
 * whole text. NULL: no more.
 */
static const char *property(const char **next, const char *implied, char *value)
{
	static const char unnamed[] = "";
	const char *start = *next, *p = start, *eq;
	size_t n = 0;

	if (!*p)
		return NULL;
	eq = p + strcspn(p, "=,");
	while (*p && (p[0] != ',' || p[1] == ',')) {
		if (p[0] == ',')
			value[n++] = *p++;
		value[n++] = *p++;
	}
	value[n] = 0;
	*next = *p ? p + 1 : p;
	if (*eq == '=' && eq < p) {
		/* Name, NUL, what is behind the '='. */
		value[eq - start] = 0;
		return value;
	}
	return implied ? implied : unnamed;
}

static int machine_word(const char *command, const char *text, struct qemu_args *out)
{
	const char *next = text, *implied = "type", *name, *value;
	char *buf = malloc(strlen(text) + 1);
	int ret = CMD_OK;

	if (!buf)
		return cmd_error(command, "out of memory");
	while (ret == CMD_OK && (name = property(&next, implied, buf))) {
		value = name == buf ? buf + strlen(buf) + 1 : buf;
		implied = NULL;
		if (!strcmp(name, "memory-backend"))
			ret = cmd_usage(command,
					"-machine memory-backend=%s: the memory is made here, "
					"shared, of the size of -m",
					value);
		else if (strcmp(name, "type") != 0)
			continue;
		else if (strcmp(value, "q35") != 0 && strncmp(value, "pc-q35", 6) != 0 &&
			 strcmp(value, "help") != 0)
			ret = cmd_usage(command,
					"-machine %s: a q35 machine is needed, for PCI Express",
					value);
		else
			out->machine = true;
	}
	free(buf);
	return ret;
}

static int memory_word(const char *command, const char *text, struct qemu_args *out)
{
	const char *next = text, *implied = "size", *name, *value;
	char *buf = malloc(strlen(text) + 1);
	int ret = CMD_OK;

	if (!buf)
		return cmd_error(command, "out of memory");
	while (ret == CMD_OK && (name = property(&next, implied, buf))) {
		value = name == buf ? buf + strlen(buf) + 1 : buf;
		implied = NULL;
		if (strcmp(name, "size") != 0)
			continue;
		out->memory = true;
		out->bytes = memory_bytes(value);
		if (!out->bytes)
			ret = cmd_usage(command, "-m %s: a size such as 2G", value);
	}
	free(buf);
	return ret;
}

int qemu_args_read(const char *command, char **word, size_t nr, struct qemu_args *out)
{
	const char *name, *value;
	int ret = CMD_OK;
	size_t i;

	*out = (struct qemu_args){ .word = word, .nr = nr, .bytes = MEMORY_DEFAULT };
	for (i = 0; ret == CMD_OK && i < nr; i++) {
		name = option_name(word[i]);
		if (!name)
			continue;
		if (!strcmp(name, "daemonize"))
			return cmd_usage(command,
					 "-daemonize: QEMU has to stay a child of this program");
		if (!takes_value(name))
			continue;
		if (i + 1 == nr)
			return cmd_usage(command, "QEMU's %s needs a value", word[i]);
		value = word[++i];
		if (!strcmp(name, "machine") || !strcmp(name, "M"))
			ret = machine_word(command, value, out);
		else if (!strcmp(name, "m"))
			ret = memory_word(command, value, out);
		else if (!strcmp(name, "cpu"))
			out->cpu = true;
	}
	return ret;
}

/* ---- The command ---- */

static void add_option(struct cmd_words *out, const char *option, char *value)
{
	cmd_words_add(out, strdup(option));
	cmd_words_add(out, value);
}

/* For the probe: the machine is not to wait for anybody. */
static bool waits(const char *word)
{
	const char *name = option_name(word);

	return name && (!strcmp(name, "S") || !strcmp(name, "preconfig"));
}

void qemu_command(const char *path, const struct qemu_args *args, char **more, bool probe,
		  struct cmd_words *out)
{
	const char *name;
	char *value;
	size_t i;

	*out = (struct cmd_words){ .word = NULL };
	cmd_words_add(out, strdup(path));
	for (i = 0; i < args->nr; i++) {
		if (probe && waits(args->word[i]))
			continue;
		cmd_words_add(out, strdup(args->word[i]));
		name = option_name(args->word[i]);
		if (name && takes_value(name) && i + 1 < args->nr)
			cmd_words_add(out, strdup(args->word[++i]));
	}
	add_option(out, "-machine",
		   strdup(args->machine ? "memory-backend=" MEMORY_ID
					: "q35,memory-backend=" MEMORY_ID));
	if (!args->cpu)
		add_option(out, "-cpu", strdup("max"));
	if (!args->memory)
		add_option(out, "-m", strdup("1G"));
	if (asprintf(&value, "memory-backend-memfd,id=" MEMORY_ID ",size=%" PRIu64 ",share=on",
		     args->bytes) < 0)
		value = NULL;
	add_option(out, "-object", value);
	for (i = 0; more && more[i]; i++)
		cmd_words_add(out, strdup(more[i]));
	/* The last -display counts. It changes no device. */
	if (probe)
		add_option(out, "-display", strdup("none"));
}
