/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsc_text.h"

#include <wchar.h>
#include <wctype.h>

/* Characters that are "printable" but reorder or hide what stands around them. */
static bool is_deceptive(wchar_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

/* One character of the locale; the number of bytes it took. */
static size_t write_character(FILE *out, const char *data, size_t len)
{
	mbstate_t state = {0};
	wchar_t c;
	size_t n = mbrtowc(&c, data, len, &state);

	if (n == 0 || n > len) { /* NUL, not a character, or cut short */
		fprintf(out, "\\x%02x", (unsigned)(unsigned char)data[0]);
		return 1;
	}
	if (iswprint((wint_t)c) && !is_deceptive(c)) {
		fwrite(data, 1, n, out);
		return n;
	}
	if (n == 1)
		fprintf(out, "\\x%02x", (unsigned)(unsigned char)data[0]);
	else
		fprintf(out, "\\u%04lx", (unsigned long)c);
	return n;
}

void text_write_lines(FILE *out, const char *data, size_t len, bool terminal)
{
	size_t i = 0;

	if (!terminal) {
		fwrite(data, 1, len, out);
		i = len;
	}
	while (i < len) {
		if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n') {
			i++;
		} else if (data[i] == '\n' || data[i] == '\t') {
			putc(data[i], out);
			i++;
		} else {
			i += write_character(out, data + i, len - i);
		}
	}
	if (len == 0 || data[len - 1] != '\n')
		putc('\n', out);
}

void text_write_escaped(FILE *out, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len)
		i += write_character(out, data + i, len - i);
}
