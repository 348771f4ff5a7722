/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay: the main program of a target where no fuzzer is linked in. Without arguments it replays the
 * target's corpus, fuzz/corpus/TARGET in the source tree, and says in TAP what came of it; with files,
 * those: that is how a finding is looked at, and how afl-fuzz runs a target ("fuzz/fuzz_classify @@").
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static void replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *data = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&data, &len);
	int c;

	if (!f || !memory) {
		perror(path);
		exit(1);
	}
	while ((c = getc(f)) != EOF)
		putc(c, memory);
	fclose(memory);
	fclose(f);
	LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	free(data);
}

static int is_input(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* The number of inputs; whatever one of them breaks ends the program, after its name has been said. */
static int replay_corpus(const char *directory)
{
	struct dirent **list;
	int n = scandir(directory, &list, is_input, alphasort);

	if (n < 0 || chdir(directory) != 0) {
		perror(directory);
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		fprintf(stderr, "# %s\n", list[i]->d_name);
		replay(list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return n;
}

int main(int argc, char *argv[])
{
	const char *top = getenv("top_srcdir"), *name = strrchr(argv[0], '/');
	FILE *tap = fdopen(dup(STDOUT_FILENO), "w");
	char directory[4096];
	int n;

	/* what a target prints is not for the harness */
	if (!tap || !freopen("/dev/null", "w", stdout)) {
		perror("standard output");
		return 1;
	}
	setvbuf(tap, NULL, _IOLBF, 0);
	name = name ? name + 1 : argv[0];
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc > 1)
		return 0;
	snprintf(directory, sizeof(directory), "%s/fuzz/corpus/%s", top ? top : ".", name);
	fprintf(tap, "1..2\n");
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	fprintf(tap, "ok 1 - %s bears an empty input\n", name);
	n = replay_corpus(directory);
	fprintf(tap, "%s 2 - %s bears %d inputs of its corpus\n", n > 0 ? "ok" : "not ok", name, n);
	fclose(tap);
	return n > 0 ? 0 : 1;
}
