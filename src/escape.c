/* SPDX-License-Identifier: BSD-2-Clause */
#include "escape.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* U+2028 to U+202E: separators of lines and overrides of direction; U+2066 to U+2069: isolates. */
static bool misleads(const unsigned char *s)
{
	if (s[0] != 0xe2)
		return false;
	return (s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) || (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
}

/*
 * The length of the printable character at s: 1 to 4, or 0 for one that is to be escaped and for bytes that are
 * not UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF).
 */
static size_t printable(const unsigned char *s, size_t len)
{
	unsigned min2 = 0x80, max2 = 0xbf;
	size_t n, i;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (n > len)
		return 0;
	if (s[0] == 0xc2 || s[0] == 0xe0)
		min2 = 0xa0; /* C1 controls; overlong */
	else if (s[0] == 0xed)
		max2 = 0x9f; /* surrogates */
	else if (s[0] == 0xf0)
		min2 = 0x90; /* overlong */
	else if (s[0] == 0xf4)
		max2 = 0x8f; /* above U+10FFFF */
	if (s[1] < min2 || s[1] > max2)
		return 0;
	for (i = 2; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return misleads(s) ? 0 : n;
}

size_t escape_text(char *out, size_t size, const char *in, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t o = 0, i = 0, n;

	assert(size >= ESCAPE_LEAST);
	while (i < len) {
		const unsigned char *s = (const unsigned char *)in + i;

		n = printable(s, len - i);
		if (o + (n > 0 ? n : 4) + 4 > size) {
			memcpy(out + o, "...", 3);
			o += 3;
			break;
		}
		if (n > 0) {
			memcpy(out + o, s, n);
			o += n;
			i += n;
		} else {
			out[o++] = '\\';
			out[o++] = 'x';
			out[o++] = hex[*s >> 4];
			out[o++] = hex[*s & 15];
			i++;
		}
	}
	out[o] = '\0';
	return o;
}
