/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text: whatever a server sends, a terminal gets printable characters, newlines and tabs, and a file
 * gets the bytes as they came.
 */
#include <assert.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <wctype.h>

#include "dtlsc_text.h"
#include "fuzz.h"

static void check_safe(const char *text, size_t len, bool lines)
{
	mbstate_t state = { 0 };

	while (len) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, len, &state);

		assert(n >= 1 && n <= len);
		assert(iswprint((wint_t)c) || (lines && (c == L'\n' || c == L'\t')));
		assert(c != 0x202e && c != 0x2066 && c != 0x200b && c != 0xfeff);
		text += n;
		len -= n;
	}
}

static void write_lines(const char *data, size_t size, bool terminal)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert(f);
	text_write_lines(f, data, size, terminal);
	fclose(f);
	assert(len > 0 && text[len - 1] == '\n');
	if (terminal)
		check_safe(text, len, true);
	else
		assert(len - size <= 1 && (size == 0 || memcmp(text, data, size) == 0));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size), *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	setlocale(LC_CTYPE, "C.UTF-8");
	assert(f);
	text_write_escaped(f, copy, size);
	fclose(f);
	check_safe(text, len, false);
	free(text);
	write_lines(copy, size, true);
	write_lines(copy, size, false);
	free(copy);
	return 0;
}
