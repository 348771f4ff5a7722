/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * words: the words of a command that is taken are the words that a reader finds who goes through it a byte at a
 * time; joined again they are split into the same ones, and so is every list of words.
 * The input is a choice, and a command or words with newlines between.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuzz.h"
#include "words.h"

static void check_joined(const struct words *w)
{
	char *text = NULL;
	struct words again;

	for (unsigned i = 0; i < w->count; i++) {
		char *more = words_join(text, w->word[i]);

		assert(more);
		free(text);
		text = more;
	}
	assert(words_split(&again, text ? text : "") == 0 && again.count == w->count && again.size == w->size);
	assert(memcmp(again.text, w->text, w->size) == 0);
	words_free(&again);
	free(text);
}

/* They follow each other, each with its NUL. */
static void check_layout(const struct words *w)
{
	const char *at = w->text;

	for (unsigned i = 0; i < w->count; i++) {
		assert(w->word[i] == at);
		at += strlen(at) + 1;
	}
	assert((size_t)(at - w->text) == w->size);
}

static void check_command(const char *text)
{
	struct words w;
	int rc = words_split(&w, text);

	assert(rc == 0 || rc == -EINVAL || rc == -E2BIG);
	assert(w.count <= WORDS_MOST);
	if (rc == 0) {
		check_layout(&w);
		check_joined(&w);
		assert(strpbrk(text, "\"\\") || w.size <= strlen(text) + 1);
	}
	words_free(&w);
}

/* One word of any bytes, alone and behind another, is that word again. */
static void check_word(const char *word)
{
	char *alone = words_join(NULL, word), *behind;
	struct words w;

	assert(alone);
	behind = words_join(alone, word);
	assert(behind && words_split(&w, behind) == 0 && w.count == 2);
	assert(strcmp(w.word[0], word) == 0 && strcmp(w.word[1], word) == 0);
	words_free(&w);
	free(behind);
	free(alone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	bool word = fuzz_u8(&in) & 1;
	char *text = strndup((const char *)in.at, in.left);

	assert(text);
	if (word)
		check_word(text);
	else
		check_command(text);
	free(text);
	return 0;
}
