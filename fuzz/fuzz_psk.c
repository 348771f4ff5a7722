/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * psk: a file that is taken gives each identity in it the key that stands beside it, and no other; one that
 * is not is explained in a line that quotes nothing of it.
 */
#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "psk.h"

static bool is_hex_pairs(const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isxdigit(s[i]))
			return false;
	return len % 2 == 0;
}

static size_t unhex(uint8_t *out, const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len; i += 2) {
		const char pair[3] = { (char)s[i], (char)s[i + 1], 0 };

		out[i / 2] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return len / 2;
}

/* One line of a file that was taken. True: it is an entry. */
static bool check_line(const struct psk_table *t, const uint8_t *line, size_t len)
{
	uint8_t identity[PSK_IDENTITY_MAX], key[PSK_KEY_MAX];
	const uint8_t *colon, *found;
	size_t identity_len, found_len = 0, key_len;

	while (len && strchr("\r \t", line[len - 1]) && line[len - 1])
		len--;
	colon = len ? memrchr(line, ':', len) : NULL;
	if (len == 0 || (line[0] == '#' && !colon))
		return false;
	assert(colon);
	identity_len = (size_t)(colon - line);
	if (line[0] == '#') {
		if (identity_len == 1 || !is_hex_pairs(line + 1, identity_len - 1))
			return false;
		assert(identity_len - 1 <= 2 * sizeof(identity));
		identity_len = unhex(identity, line + 1, identity_len - 1);
	} else {
		assert(identity_len > 0 && identity_len <= sizeof(identity));
		memcpy(identity, line, identity_len);
	}
	key_len = len - (size_t)(colon + 1 - line);
	assert(key_len > 0 && key_len <= 2 * sizeof(key) && is_hex_pairs(colon + 1, key_len));
	key_len = unhex(key, colon + 1, key_len);
	found = psk_find(t, identity, identity_len, &found_len);
	assert(found && found_len == key_len && memcmp(found, key, key_len) == 0);
	return true;
}

static void check_table(const struct psk_table *t, const uint8_t *text, size_t len)
{
	uint32_t entries = 0;
	size_t ignored;

	while (len) {
		const uint8_t *newline = memchr(text, '\n', len);
		size_t line = newline ? (size_t)(newline - text) : len;

		entries += check_line(t, text, line);
		text += line;
		len -= line;
		if (len)
			text++, len--;
	}
	assert(entries == psk_count(t));
	assert(!psk_find(t, "", 0, &ignored));
	assert(!psk_find(t, "nobody\nhas a newline", 20, &ignored));
}

static void check_error(const char *err)
{
	assert(strncmp(err, "a file:", 7) == 0);
	for (; *err; err++)
		assert(isprint((unsigned char)*err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size), err[512] = "", short_err[16];
	struct psk_table *t = psk_parse("a file", text, size, err, sizeof(err));

	if (t) {
		check_table(t, data, size);
	} else {
		check_error(err);
		memset(short_err, 'x', sizeof(short_err));
		assert(!psk_parse("a file", text, size, short_err, sizeof(short_err) - 1));
		assert(memchr(short_err, '\0', sizeof(short_err)) && short_err[sizeof(short_err) - 1] == 'x');
	}
	psk_free(t);
	free(text);
	return 0;
}
