/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program that runs as process 1 of the guests of this folder's tests. It is told on the
 * console what to do, a command a line, and answers with lines that begin with "@":
 *
 *	@ask			waiting for a command
 *	@ok NAME		a property holds
 *	@fail NAME: WHY		it does not
 *	@value KEY REST		a figure, or a finding the test looks at
 *	@note TEXT
 *	@wait			until a line comes: the test looks at the device from outside
 *	@end COMMAND STATUS	the command is over; STATUS is that of its process
 *
 * tests/vm/vmlib.py (class Guest) is the other side. A command runs in a process of its own, so
 * that its end, by a signal too, is seen and said. Everything waits with a bound.
 */
#ifndef VIOMMU_GUEST_H
#define VIOMMU_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB  1024UL
#define MIB  (1024 * KIB)
#define PAGE (4 * KIB)
#define HUGE (2 * MIB)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A line of its own on the console, in one piece. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* @ok if why is NULL, else @fail. Returns whether it was ok. */
bool result(const char *name, const char *why);

/* "@ok NAME" or "@fail NAME: WHY"; the format is of the reason, and only used if !good. */
bool check(bool good, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Says that it failed, and ends the process. */
void give_up(const char *what) __attribute__((noreturn));

/* One write of a text to a file of sysfs or procfs; 0 or -errno. */
int put_text(const char *path, const char *text);
int put_number(const char *path, long number);

/* The first line of a file, without its newline; false if there is none. */
bool get_text(const char *path, char *text, size_t size);
/* The number in a file, decimal or 0x...; fallback if there is none. */
long get_number(const char *path, long fallback);

/* Says @wait and waits for the test's answer. For the process that do_command() made only. */
void wait_for_test(void);

/* The sum of all processors' counts, of the lines of /proc/interrupts whose name has this in it. */
unsigned long interrupts(const char *name);

/* Milliseconds, microseconds of a clock that only goes forward. */
uint64_t now_ms(void);
uint64_t now_us(void);

void *must_map(void *at, size_t size, int prot, int flags, int fd);

/* xorshift64*; the seed is said when it is made, and taken from the command line (seed=) if set. */
uint64_t random_u64(void);
void random_fill(void *start, size_t size);
uint64_t random_seed(void);

/* Takes a line apart at its spaces, in place; returns how many words there are, NULL ends them. */
int split_words(char *line, char **words, size_t size);

/* Runs a program; each line of its output goes to line(). Its status, or 128 + signal. */
int run_program(const char *const argv[], const char *const envp[], void (*line)(const char *text));

/* The commands; 0 is success. */
int command_load(int argc, char **argv);
int command_probe(int argc, char **argv);
int command_config(int argc, char **argv);
int command_copy(int argc, char **argv);
int command_faults(int argc, char **argv);
int command_processes(int argc, char **argv);
int command_kill(int argc, char **argv);
int command_storm(int argc, char **argv);
int command_speed(int argc, char **argv);
int command_steady(int argc, char **argv);
int command_more(int argc, char **argv);
int command_enough(int argc, char **argv);
int command_accel(int argc, char **argv);
int command_dsa_test(int argc, char **argv);
int command_runner(int argc, char **argv);
int command_vfio(int argc, char **argv);
int command_tutorial(int argc, char **argv);
int command_nested(int argc, char **argv);
int command_preload(int argc, char **argv);
int command_hold(int argc, char **argv);
int command_ports(int argc, char **argv);
int command_plugged(int argc, char **argv);
int command_gone(int argc, char **argv);
int command_unplug(int argc, char **argv);
int command_rescan(int argc, char **argv);
int command_given(int argc, char **argv);
int command_exhaust(int argc, char **argv);
int command_keep(int argc, char **argv);
int command_sustain(int argc, char **argv);
int command_refused(int argc, char **argv);
int command_kept(int argc, char **argv);
int command_rounds(int argc, char **argv);
int command_hog(int argc, char **argv);
int command_bound(int argc, char **argv);
int command_wild(int argc, char **argv);

#endif /* VIOMMU_GUEST_H */
