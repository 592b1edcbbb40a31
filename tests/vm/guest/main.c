/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Process 1 of a test's guest: sets the system up, then does what the console says. See guest.h.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define MAX_WORDS 24

static uint64_t seed;

void say(const char *format, ...)
{
	char line[1024];
	va_list args;
	int len, done = 0;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	while (done < len) {
		ssize_t n = write(1, line + done, len - done);

		if (n > 0)
			done += n;
		else if (errno != EINTR)
			return;
	}
}

bool result(const char *name, const char *why)
{
	if (why)
		say("@fail %s: %s", name, why);
	else
		say("@ok %s", name);
	return !why;
}

bool check(bool good, const char *name, const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return result(name, good ? NULL : why);
}

void wait_for_test(void)
{
	char c;

	say("@wait");
	while (read(0, &c, 1) == 1 && c != '\n' && c != '\r')
		;
}

void give_up(const char *what)
{
	say("@fail %s: %s", what, strerror(errno));
	_exit(1);
}

int put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int error = 0;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	if (n != (ssize_t)strlen(text))
		error = n < 0 ? -errno : -EIO;
	close(fd);
	return error;
}

int put_number(const char *path, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	return put_text(path, text);
}

bool get_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	text[0] = 0;
	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return true;
}

long get_number(const char *path, long fallback)
{
	char text[64], *end;
	long number;

	if (!get_text(path, text, sizeof(text)))
		return fallback;
	number = strtol(text, &end, 0);
	return end == text ? fallback : number;
}

unsigned long interrupts(const char *name)
{
	FILE *f = fopen("/proc/interrupts", "r");
	unsigned long sum = 0;
	char line[1024];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		char *p = strchr(line, ':');

		if (!p || !strstr(line, name))
			continue;
		for (p++;;) {
			char *end;
			unsigned long n = strtoul(p, &end, 10);

			/* Counts are words of digits; what follows them is no count. */
			if (end == p || (*end && !isspace((unsigned char)*end)))
				break;
			sum += n;
			p = end;
		}
	}
	fclose(f);
	return sum;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

void *must_map(void *at, size_t size, int prot, int flags, int fd)
{
	void *p = mmap(at, size, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		give_up("mmap");
	return p;
}

uint64_t random_u64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

uint64_t random_seed(void)
{
	return seed;
}

void random_fill(void *start, size_t size)
{
	uint8_t *byte = start;

	for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), byte += sizeof(uint64_t)) {
		uint64_t word = random_u64();

		memcpy(byte, &word, sizeof(word));
	}
	while (size--)
		*byte++ = random_u64();
}

int run_program(const char *const argv[], const char *const envp[], void (*line)(const char *text))
{
	char text[512];
	int pipes[2], status;
	pid_t pid;
	FILE *f;

	if (pipe2(pipes, O_CLOEXEC))
		give_up("pipe");
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		/* It only reads them. */
		execve(argv[0], (char *const *)argv, (char *const *)envp);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(pipes[1]);
	f = fdopen(pipes[0], "r");
	while (f && fgets(text, sizeof(text), f)) {
		text[strcspn(text, "\r\n")] = 0;
		line(text);
	}
	if (f)
		fclose(f);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int split_words(char *line, char **words, size_t size)
{
	size_t n = 0;
	char *word;

	while (n + 1 < size && (word = strsep(&line, " "))) {
		if (*word)
			words[n++] = word;
	}
	words[n] = NULL;
	return n;
}

static int load_one(const char *name, const char *parameters)
{
	char path[256];
	int fd, error = 0;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters, 0) && errno != EEXIST)
		error = -errno;
	close(fd);
	return error;
}

/*
 * load MODULE [PARAMETER=VALUE...]: with what it depends on. /modules/MODULE.list has the names in
 * order, the module itself last; tests/vm/vmlib.py made it.
 */
int command_load(int argc, char **argv)
{
	char path[256], name[128], wanted[64], parameters[256] = "";
	int i, error = 0;
	FILE *f;

	/* Files have it one way, users another. */
	snprintf(wanted, sizeof(wanted), "%s", argc > 1 ? argv[1] : "");
	for (i = 0; wanted[i]; i++) {
		if (wanted[i] == '-')
			wanted[i] = '_';
	}

	for (i = 2; i < argc; i++) {
		strncat(parameters, argv[i], sizeof(parameters) - strlen(parameters) - 1);
		strncat(parameters, " ", sizeof(parameters) - strlen(parameters) - 1);
	}
	snprintf(path, sizeof(path), "/modules/%s.list", wanted);
	f = fopen(path, "r");
	if (!f)
		give_up(path);
	while (!error && fgets(name, sizeof(name), f)) {
		name[strcspn(name, "\n")] = 0;
		error = load_one(name, strcmp(name, wanted) ? "" : parameters);
		snprintf(path, sizeof(path), "module %s loads", name);
		check(!error, path, "%s", strerror(-error));
	}
	fclose(f);
	return !!error;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "load", command_load },         { "probe", command_probe },
	{ "config", command_config },     { "copy", command_copy },
	{ "faults", command_faults },     { "processes", command_processes },
	{ "kill", command_kill },         { "storm", command_storm },
	{ "speed", command_speed },       { "accel", command_accel },
	{ "dsa_test", command_dsa_test }, { "runner", command_runner },
	{ "vfio", command_vfio },         { "preload", command_preload },
	{ "tutorial", command_tutorial }, { "ports", command_ports },
	{ "plugged", command_plugged },   { "gone", command_gone },
	{ "unplug", command_unplug },     { "rescan", command_rescan },
	{ "nested", command_nested },     { "given", command_given },
	{ "exhaust", command_exhaust },   { "refused", command_refused },
	{ "keep", command_keep },         { "sustain", command_sustain },
	{ "steady", command_steady },     { "hold", command_hold },
	{ "kept", command_kept },         { "rounds", command_rounds },
	{ "hog", command_hog },           { "bound", command_bound },
	{ "wild", command_wild },         { "more", command_more },
	{ "enough", command_enough },
};

/* A process of its own; with "&" as the last word nobody waits for it. */
static void do_command(int argc, char **argv)
{
	bool background = argc > 1 && !strcmp(argv[argc - 1], "&");
	int status;
	size_t i;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, argv[0]))
			break;
	}
	if (i == ARRAY_SIZE(commands)) {
		say("@fail %s: no such command", argv[0]);
		return;
	}
	argv[argc - background] = NULL;
	/* Every command has random bytes of its own. */
	random_u64();
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid == 0)
		_exit(commands[i].run(argc - background, argv));
	if (background)
		return;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		say("@fail %s: it ended by signal %d", argv[0], WTERMSIG(status));
	say("@end %s %d", argv[0],
	    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void mount_at(const char *type, const char *path, bool needed)
{
	mkdir(path, 0755);
	if (mount(type, path, type, 0, NULL) && needed)
		give_up(path);
}

static void set_up(void)
{
	const char *given = getenv("seed");
	struct termios t;

	mount_at("proc", "/proc", true);
	mount_at("sysfs", "/sys", true);
	mount_at("devtmpfs", "/dev", true);
	mount_at("tmpfs", "/tmp", true);
	mount_at("debugfs", "/sys/kernel/debug", false);
	/* Console level 1: no message of the kernel's between two halves of a line of ours. */
	klogctl(8, NULL, 1);
	if (!tcgetattr(1, &t)) {
		cfmakeraw(&t);
		tcsetattr(1, TCSANOW, &t);
	}
	if (given)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = now_ms() * 0x9e3779b97f4a7c15ULL;
	if (!seed)
		seed = 1;
	say("@note seed %#lx", (unsigned long)seed);
}

/* False if the console is gone. */
static bool read_line(char *line, size_t size)
{
	size_t len = 0;

	for (;;) {
		char c;
		ssize_t n = read(0, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if (c == '\n' || c == '\r') {
			line[len] = 0;
			return true;
		}
		if (len + 1 < size)
			line[len++] = c;
	}
}

int main(void)
{
	char line[1024];

	set_up();
	for (;;) {
		char *argv[MAX_WORDS + 1];
		int argc;

		/* The leavings of commands in the background. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		say("@ask");
		if (!read_line(line, sizeof(line)))
			break;
		argc = split_words(line, argv, ARRAY_SIZE(argv));
		if (!argc)
			continue;
		if (!strcmp(argv[0], "off"))
			break;
		if (!strcmp(argv[0], "reboot")) {
			sync();
			reboot(RB_AUTOBOOT);
		}
		do_command(argc, argv);
	}
	reboot(RB_POWER_OFF);
	return 1;
}
