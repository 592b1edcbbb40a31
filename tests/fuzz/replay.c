/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target over the files of its corpus directory, in the order of their names: the
 * regression test that every build has. No fuzzing: that needs libFuzzer (-Dfuzz=true).
 *
 * usage: fuzz-NAME DIRECTORY|FILE...
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

static void die(const char *what)
{
	fflush(stdout);
	perror(what);
	exit(2);
}

static void replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;

	if (!f || fstat(fileno(f), &st))
		die(path);
	/* Exactly as large as the file, so that a sanitizer sees a read past its end. */
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	if (!data || fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		die(path);
	fclose(f);
	/* Said before, so that the last line names the input that crashes. */
	printf("# %s\n", path);
	fflush(stdout);
	fuzz_one(data, (size_t)st.st_size);
	free(data);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static unsigned int replay_directory(const char *path)
{
	struct dirent **entries;
	char name[4096];
	int i, n;

	n = scandir(path, &entries, is_input, alphasort);
	if (n < 0)
		die(path);
	for (i = 0; i < n; i++) {
		if (snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name) >=
		    (int)sizeof(name)) {
			fprintf(stderr, "%s: name too long\n", path);
			exit(2);
		}
		replay_file(name);
		free(entries[i]);
	}
	free(entries);
	return (unsigned int)n;
}

int main(int argc, char **argv)
{
	unsigned int inputs = 0;
	struct stat st;
	int i;

	printf("1..1\n");
	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st))
			die(argv[i]);
		if (S_ISDIR(st.st_mode)) {
			inputs += replay_directory(argv[i]);
		} else {
			replay_file(argv[i]);
			inputs++;
		}
	}
	/* An empty corpus tests nothing. */
	printf("%s 1 - every_corpus_input_is_survived (%u)\n", inputs ? "ok" : "not ok", inputs);
	return 0;
}
