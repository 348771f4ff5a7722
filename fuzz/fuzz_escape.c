/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * escape: the line is that of a model, which decodes by arithmetic: each harmless character as it is, the rest
 * byte by byte in hexadecimal digits, cut where the room ends.
 * The input is the room and the text.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "escape.h"
#include "fuzz.h"

/* RFC 3629 by arithmetic. 0: not a character. */
static size_t decode(const uint8_t *s, size_t len, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = 0;

	while (n < 8 && s[0] & 0x80 >> n)
		n++;
	if (n == 0) {
		*c = s[0];
		return 1;
	}
	if (n == 1 || n > 4 || n > len)
		return 0;
	*c = s[0] & 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff) ? 0 : n;
}

static bool is_harmless(uint32_t c)
{
	bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
	bool misleading = (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);

	return !control && !misleading;
}

/* The line that the text must become. */
static void model(char *out, size_t room, const uint8_t *text, size_t len)
{
	while (len) {
		uint32_t c = 0;
		size_t n = decode(text, len, &c);
		bool plain = n && is_harmless(c);
		int wide = plain ? (int)n : 4;

		if ((size_t)wide + 4 > room) {
			strcpy(out, "...");
			return;
		}
		if (plain)
			memcpy(out, text, n);
		else
			snprintf(out, 5, "\\x%02x", text[0]);
		out += wide;
		room -= (size_t)wide;
		text += plain ? n : 1;
		len -= plain ? n : 1;
	}
	*out = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	size_t room = ESCAPE_LEAST + fuzz_u8(&in) * 16U, len;
	char *text = fuzz_copy(in.at, in.left), *out = malloc(room), *expected = malloc(room);

	assert(out && expected);
	len = escape_text(out, room, text, in.left);
	model(expected, room, in.at, in.left);
	assert(len == strlen(expected) && strcmp(out, expected) == 0);
	free(expected);
	free(out);
	free(text);
	return 0;
}
