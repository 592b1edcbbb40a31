/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viommu vm: the unit, its devices and the QEMU that uses them, in one command.
 *
 *	1. find a fit QEMU, read what of the user's arguments matters
 *	2. probe: the same machine is started without a console until its firmware has put the
 *	   unit's registers somewhere; then it is killed, before it runs anything else: QEMU waits
 *	   for our answer to that very access
 *	3. DMAR with that address, the server, and QEMU with our terminal
 *
 * The server runs until QEMU has ended, also while QEMU shuts down: its functions say goodbye over
 * their sockets. So a signal that ends us goes on to QEMU, and only the end of QEMU (SIGCHLD) stops
 * the server. QEMU dies with us, whatever happens (PR_SET_PDEATHSIG).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "machine.h"
#include "qemu.h"

/* For the firmware to place the registers; for QEMU to end after it was told to. */
#define PROBE_S 60u
#define END_S   10u
/* Between two signals, so that the second counts. */
#define AGAIN_S 2

/*
 * Where QEMU's own numbering of the user's devices, which goes upwards and comes first, does not
 * get so soon.
 */
#define UNIT_SLOT  VIOMMU_SID(0, 0x10, 0)
#define FIRST_SLOT VIOMMU_SID(0, 0x11, 0)

/* Not an exit status: we were told to end before there was anything to end. */
#define NOTHING (-1)

static const char name[] = "vm";

/* What a signal handler has to reach. */
static struct viommu_server *signal_server;
static volatile sig_atomic_t signal_seen;
static volatile sig_atomic_t signal_first_s;
static volatile sig_atomic_t signal_ending;
static volatile sig_atomic_t signal_late; /* time was up */
static volatile sig_atomic_t signal_end;  /* what ends QEMU */
static volatile pid_t signal_child;       /* 0: none, or about to be waited for */

static void print_help(void)
{
	printf("usage: viommu vm [OPTION...] -- QEMU-ARGUMENT...\n\n"
	       "Starts QEMU with an IOMMU and devices of viommu, and ends when it ends, with its\n"
	       "exit status. Memory is made here, of the size of QEMU's -m (1G without one).\n\n"
	       "%s"
	       "  --registers ADDRESS    where the guest's firmware puts the unit's registers;\n"
	       "                         without it, a short start of the same machine finds out\n"
	       "  --qemu PATH            QEMU 10.1 or later (default: $VIOMMU_QEMU, else\n"
	       "                         qemu-system-x86_64 in PATH)\n"
	       "  --dry-run              print the QEMU command, start nothing\n",
	       machine_options_help);
}

/* ---- Signals ---- */

static void on_end(int number)
{
	struct timespec now = { 0 };
	int saved = errno;

	clock_gettime(CLOCK_MONOTONIC, &now);
	/*
	 * Told again: without further ado. Not when both come at once: that is one who tells a
	 * process and its group.
	 */
	if (!signal_seen)
		signal_first_s = (sig_atomic_t)now.tv_sec;
	else if ((sig_atomic_t)now.tv_sec - signal_first_s >= AGAIN_S)
		signal_end = SIGKILL;
	signal_seen = number;
	if (signal_child) {
		kill(signal_child, signal_end);
		/* Counted from the first one. */
		if (!signal_ending)
			alarm(END_S);
		signal_ending = 1;
	}
	errno = saved;
}

static void on_late(int number)
{
	int saved = errno;

	(void)number;
	signal_late = 1;
	if (signal_child)
		kill(signal_child, SIGKILL);
	errno = saved;
}

static void on_child(int number)
{
	(void)number;
	if (signal_server)
		viommu_server_stop(signal_server);
}

static int signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_end, .sa_flags = SA_RESTART }, old;
	size_t i;
	int ret = 0;

	/* None of them inside of another. */
	sigfillset(&sa.sa_mask);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		/* Under nohup it stays as it is. */
		if (!sigaction(ends[i], NULL, &old) && old.sa_handler == SIG_IGN)
			continue;
		ret |= sigaction(ends[i], &sa, NULL);
	}
	sa.sa_handler = on_late;
	ret |= sigaction(SIGALRM, &sa, NULL);
	sa.sa_handler = on_child;
	sa.sa_flags |= SA_NOCLDSTOP;
	ret |= sigaction(SIGCHLD, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	ret |= sigaction(SIGPIPE, &sa, NULL);
	return ret ? cmd_error(name, "signals: %s", strerror(errno)) : CMD_OK;
}

/* ---- The child ---- */

/* fd[i] becomes its descriptor i. */
static void child(char **argv, const int fd[3], const sigset_t *mask, pid_t parent)
{
	int i;

	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(127);
	for (i = 0; i < 3; i++)
		if (fd[i] != i && dup2(fd[i], i) < 0)
			_exit(127);
	execv(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/*
 * Starts QEMU; the handlers know it from its first moment on. CMD_OK, CMD_FAILED after a message,
 * or NOTHING.
 */
static int start(char **argv, const int fd[3], unsigned int seconds)
{
	pid_t parent = getpid(), pid;
	sigset_t all, mask;
	int ret = CMD_OK;

	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	if (signal_seen) {
		ret = NOTHING;
	} else {
		pid = fork();
		if (!pid)
			child(argv, fd, &mask, parent);
		if (pid < 0)
			ret = cmd_error(name, "fork: %s", strerror(errno));
		else
			signal_child = pid;
	}
	if (ret == CMD_OK)
		alarm(seconds);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return ret;
}

/* Its wait status, when it has ended. */
static int finish(void)
{
	pid_t pid = signal_child;
	siginfo_t info;
	int status = 0;

	/* The number is its own until it was waited for: until then the handlers may use it. */
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) && errno == EINTR)
		;
	signal_child = 0;
	alarm(0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Serve while QEMU lives. Its wait status in *status. */
static int serve(struct machine *m, int *status)
{
	int ret = viommu_server_run(m->server);

	if (ret)
		kill(signal_child, SIGKILL);
	*status = finish();
	return ret ? cmd_error(name, "%s", strerror(-ret)) : CMD_OK;
}

/* ---- The probe ---- */

/*
 * On the server's thread, inside of the configuration access that QEMU waits for: the guest has no
 * chance to go on.
 */
static void placed(struct machine *m)
{
	if (!m->placed)
		return;
	kill(signal_child, SIGKILL);
	viommu_server_stop(m->server);
}

/* The last line that is not empty of what is in fd. */
static void last_line(int fd, char *buf, size_t size)
{
	off_t end = lseek(fd, 0, SEEK_END), at;
	ssize_t n;
	char *line;

	at = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
	n = end < 0 ? 0 : pread(fd, buf, size - 1, at);
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		n--;
	buf[n > 0 ? n : 0] = 0;
	line = strrchr(buf, '\n');
	if (line)
		memmove(buf, line + 1, strlen(line + 1) + 1);
}

static int probe_failed(int status, int err)
{
	char line[512];

	last_line(err, line, sizeof(line));
	if (signal_late)
		return cmd_error(name,
				 "the firmware has not placed the unit's registers in %u seconds; "
				 "--registers ADDRESS goes without asking it%s%s",
				 PROBE_S, *line ? "; QEMU said: " : "", line);
	if (*line)
		return cmd_error(name, "QEMU ended: %s", line);
	if (WIFSIGNALED(status))
		return cmd_error(name, "QEMU ended by signal %d", WTERMSIG(status));
	return cmd_error(name, "QEMU ended with status %d before its firmware ran",
			 WEXITSTATUS(status));
}

static int probe_run(struct machine *m, char **argv, int null, int err)
{
	int status, ret;

	signal_server = m->server;
	signal_end = SIGKILL;
	m->placed_call = placed;
	ret = start(argv, (const int[]){ null, null, err }, PROBE_S);
	if (ret == CMD_OK)
		ret = serve(m, &status);
	signal_server = NULL;
	if (ret == CMD_OK && !m->placed && !signal_seen)
		ret = probe_failed(status, err);
	return ret;
}

/* Where the firmware puts the registers of this machine. */
static int probe(const struct machine_options *options, const char *path,
		 const struct qemu_args *args, uint64_t *registers)
{
	struct machine_options quiet = *options;
	struct cmd_words command = { .word = NULL };
	struct machine m;
	char **more = NULL;
	int ret, null, err;

	/* That QEMU is killed is no news. */
	if (quiet.level < VIOMMU_SERVER_DEBUG)
		quiet.level = VIOMMU_SERVER_ERROR;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	err = memfd_create("viommu-probe", MFD_CLOEXEC);
	if (null < 0 || err < 0)
		ret = cmd_error(name, "%s: %s", null < 0 ? "/dev/null" : "memfd", strerror(errno));
	else
		ret = CMD_OK;
	if (ret == CMD_OK) {
		ret = machine_init(&m, &quiet);
		if (ret == CMD_OK)
			more = machine_args(&m);
		if (more)
			qemu_command(path, args, more, true, &command);
		if (ret == CMD_OK && (!more || command.failed))
			ret = cmd_error(name, "out of memory");
		if (ret == CMD_OK)
			ret = probe_run(&m, command.word, null, err);
		*registers = m.placed;
		machine_fini(&m);
	}
	cmd_words_free(&command);
	machine_args_free(more);
	if (null >= 0)
		close(null);
	if (err >= 0)
		close(err);
	return ret;
}

/* ---- The machine ---- */

/* QEMU may leave the terminal as it needed it when it could not end by itself. */
static void restore(const struct termios *saved, bool is_terminal)
{
	if (is_terminal && tcgetpgrp(0) == getpgrp())
		tcsetattr(0, TCSADRAIN, saved);
}

static int qemu_ended(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (signal_late)
		cmd_error(name, "QEMU did not end in %u seconds and was killed", END_S);
	else
		cmd_error(name, "QEMU ended by signal %d (%s)", WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	return 128 + WTERMSIG(status);
}

/* What there is to know of the machine before it runs. */
static void tell(const struct machine *m)
{
	unsigned int i;

	if (m->options->level < VIOMMU_SERVER_WARNING)
		return;
	fprintf(stderr, "viommu vm: registers at %#llx; viommu inspect %s\n",
		(unsigned long long)m->registers, m->dir);
	for (i = 0; i < m->nr; i++) {
		char *plug = machine_plug(m, i);

		if (plug)
			fprintf(stderr,
				"viommu vm: plug in by QMP: {\"execute\":\"device_add\","
				"\"arguments\":%s}\n",
				plug);
		free(plug);
	}
}

static int run(struct machine *m, char **argv)
{
	struct termios saved;
	bool is_terminal = !tcgetattr(0, &saved);
	int status, ret;

	tell(m);
	signal_server = m->server;
	signal_end = SIGTERM;
	ret = start(argv, (const int[]){ 0, 1, 2 }, 0);
	if (ret == CMD_OK) {
		ret = machine_drop_privileges(m->options, NULL);
		if (ret != CMD_OK)
			kill(signal_child, SIGKILL);
		if (serve(m, &status) != CMD_OK)
			ret = CMD_FAILED;
		if (WIFSIGNALED(status))
			restore(&saved, is_terminal);
		if (ret == CMD_OK)
			ret = qemu_ended(status);
	}
	signal_server = NULL;
	return ret;
}

static int dry_run(char **argv)
{
	size_t i;

	for (i = 0; argv[i]; i++) {
		if (i)
			putchar(' ');
		cmd_print_word(argv[i]);
	}
	putchar('\n');
	return CMD_OK;
}

static int vm(const struct machine_options *options, const char *path, const struct qemu_args *args,
	      bool dry)
{
	struct cmd_words command = { .word = NULL };
	struct machine m;
	char **more = NULL;
	int ret;

	ret = machine_init(&m, options);
	if (ret == CMD_OK)
		more = machine_args(&m);
	if (more)
		qemu_command(path, args, more, false, &command);
	if (ret == CMD_OK && (!more || command.failed))
		ret = cmd_error(name, "out of memory");
	if (ret == CMD_OK)
		ret = dry ? dry_run(command.word) : run(&m, command.word);
	machine_fini(&m);
	cmd_words_free(&command);
	machine_args_free(more);
	return ret;
}

int cmd_vm(int argc, char **argv)
{
	struct machine_options options;
	const char *named = NULL;
	struct qemu_args args;
	bool dry = false;
	char *path;
	int i, ret;

	machine_options_init(&options, name);
	options.unit_sid = UNIT_SLOT;
	options.first_sid = FIRST_SLOT;
	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help();
			return CMD_OK;
		}
		if (!strcmp(argv[i], "--dry-run")) {
			dry = true;
			continue;
		}
		if (!strcmp(argv[i], "--qemu")) {
			if (++i >= argc || !strcmp(argv[i], "--"))
				return cmd_usage(name, "--qemu needs a value");
			named = argv[i];
			continue;
		}
		ret = machine_option(&options, argc, argv, &i);
		if (ret == 1)
			return argv[i][0] == '-'
				       ? cmd_usage(name, "unknown option '%s'", argv[i])
				       : cmd_usage(name, "'%s': QEMU's arguments go behind --",
						   argv[i]);
		if (ret != CMD_OK)
			return ret;
	}
	if (i == argc)
		return cmd_usage(name, "QEMU's arguments go behind --");
	i++;
	ret = qemu_args_read(name, argv + i, (size_t)(argc - i), &args);
	if (ret != CMD_OK)
		return ret;
	ret = qemu_find(name, named, &path);
	if (ret != CMD_OK)
		return ret;
	/* QEMU too: somebody else's process is not ours to end. */
	if (options.user)
		ret = machine_drop_privileges(&options, options.user);
	if (ret == CMD_OK)
		ret = signals();
	if (ret == CMD_OK && !options.registers && !dry)
		ret = probe(&options, path, &args, &options.registers);
	if (ret == CMD_OK && !signal_seen)
		ret = vm(&options, path, &args, dry);
	free(path);
	return ret == NOTHING ? CMD_OK : ret;
}
