/* SPDX-License-Identifier: BSD-2-Clause */
#include "words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Takes the word at *in to *out, with a NUL behind it. */
static int take_word(const char **in, char **out)
{
	const char *s = *in;
	bool quoted = false;
	char *o = *out;

	for (; *s && (quoted || !is_blank(*s)); s++) {
		if (*s == '"') {
			quoted = !quoted;
			continue;
		}
		if (s[0] == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		*o++ = *s;
	}
	*o++ = '\0';
	*in = s;
	*out = o;
	return quoted ? -EINVAL : 0;
}

int words_split(struct words *out, const char *text)
{
	char *o;

	*out = (struct words){ .text = malloc(strlen(text) + 1) }; /* none is longer than its form there */
	o = out->text;
	if (!o)
		return -ENOMEM;
	for (;;) {
		char *word = o;

		while (is_blank(*text))
			text++;
		if (!*text)
			break;
		if (out->count == WORDS_MOST)
			return -E2BIG;
		if (take_word(&text, &o) < 0)
			return -EINVAL;
		out->word[out->count++] = word;
	}
	out->size = (size_t)(o - out->text);
	return 0;
}

void words_free(struct words *w)
{
	free(w->text);
	*w = (struct words){ .text = NULL };
}

char *words_join(const char *before, const char *word)
{
	size_t len = before ? strlen(before) : 0;
	char *out = malloc(len + 2 * strlen(word) + 4), *o = out;
	bool quote = !*word || strpbrk(word, " \t\n");

	if (!out)
		return NULL;
	if (before) {
		memcpy(out, before, len);
		o += len;
		*o++ = ' ';
	}
	if (quote)
		*o++ = '"';
	for (; *word; *o++ = *word++)
		if (*word == '"' || *word == '\\')
			*o++ = '\\';
	if (quote)
		*o++ = '"';
	*o = '\0';
	return out;
}
