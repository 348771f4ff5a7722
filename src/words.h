/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * words: a list of words, as of a command, in one text: blanks between, and double quotes around what has blanks in it
 * or is empty; \" and \\ stand for these two. Nothing else is special: this is no shell. Pure.
 */
#ifndef DTLSD_WORDS_H
#define DTLSD_WORDS_H

#include <stddef.h>

#define WORDS_MOST 64

struct words {
	char *text; /* what the words point into: each ends with a NUL, and they follow each other */
	size_t size;
	const char *word[WORDS_MOST];
	unsigned count;
};

/* 0; -EINVAL: a quote has no end; -E2BIG: more than WORDS_MOST; -ENOMEM. words_free in any case. */
int words_split(struct words *out, const char *text);
void words_free(struct words *w);

/* The list with one word more; before may be NULL. free it; NULL: out of memory. */
char *words_join(const char *before, const char *word);

#endif
