/* SPDX-License-Identifier: BSD-2-Clause */
#include "psk.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hex.h"
#include "siphash.h"

/* Identity and key lie one after the other in the arena. */
struct entry {
	uint32_t offset;
	uint32_t line;
	uint16_t identity_len; /* 0: a free slot; no line has an empty identity */
	uint16_t key_len;
};

struct psk_table {
	struct siphash_key hash_key;
	struct entry *slots; /* open addressing, at most half full, so a search ends at a free slot */
	size_t mask;
	uint32_t count;
	uint8_t *arena; /* as large as the text: no line needs more room than it takes there */
	size_t arena_size;
	size_t arena_used;
};

struct parser {
	const char *name;
	size_t line;
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 2, 3)))
static int fail(const struct parser *p, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(p->err, p->err_size, "%s:%zu: %s", p->name, p->line, text);
	return -EINVAL;
}

static bool is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_digit(s[i]) < 0)
			return false;
	return true;
}

/* The slot that holds the identity, or the free one where it belongs. */
static struct entry *slot_of(const struct psk_table *t, const void *identity, size_t len)
{
	size_t i = siphash(&t->hash_key, identity, len) & t->mask;

	for (;; i = (i + 1) & t->mask) {
		struct entry *e = &t->slots[i];

		if (e->identity_len == 0)
			return e;
		if (e->identity_len == len && memcmp(t->arena + e->offset, identity, len) == 0)
			return e;
	}
}

static int check_key(const struct parser *p, const char *key, size_t len)
{
	if (len == 0)
		return fail(p, "the key is missing after the colon; make one with psktool");
	if (!is_hex(key, len))
		return fail(p, "the key is not hexadecimal; write identity:hexkey, as psktool does");
	if (len % 2 != 0)
		return fail(p, "the key has an odd number of hex digits, so one is missing or too many");
	if (len / 2 > PSK_KEY_MAX)
		return fail(p, "the key has %zu bytes; at most %d are possible", len / 2, PSK_KEY_MAX);
	return 0;
}

/* identity_hex: the identity's text is hex digits, an even number of them. */
static int add(struct psk_table *t, const struct parser *p, const char *identity, size_t identity_len,
	       bool identity_hex, const char *key, size_t key_len)
{
	uint8_t *at = t->arena + t->arena_used;
	size_t len = identity_hex ? identity_len / 2 : identity_len;
	struct entry *e;

	if (len == 0)
		return fail(p, "the identity before the colon is empty; write identity:hexkey");
	if (len > PSK_IDENTITY_MAX)
		return fail(p, "the identity has %zu bytes; GnuTLS accepts at most %d from a client", len,
			    PSK_IDENTITY_MAX);
	if (check_key(p, key, key_len) < 0)
		return -EINVAL;
	assert(len + key_len / 2 <= t->arena_size - t->arena_used);
	if (identity_hex)
		hex_decode(at, len, identity, identity_len);
	else
		memcpy(at, identity, identity_len);
	e = slot_of(t, at, len);
	if (e->identity_len != 0)
		return fail(p, "this identity has a key already, on line %u; remove one of the two", e->line);
	hex_decode(at + len, key_len / 2, key, key_len);
	e->offset = (uint32_t)t->arena_used;
	e->line = (uint32_t)p->line;
	e->identity_len = (uint16_t)len;
	e->key_len = (uint16_t)(key_len / 2);
	t->arena_used += len + key_len / 2;
	t->count++;
	return 0;
}

/* line has no newline. */
static int parse_line(struct psk_table *t, const struct parser *p, const char *line, size_t len)
{
	const char *colon;
	size_t identity_len;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	if (len == 0)
		return 0;
	if (memchr(line, '\0', len) != NULL)
		return fail(p, "there is a NUL byte; write an identity of arbitrary bytes as #hex:hexkey");
	colon = memrchr(line, ':', len);
	if (line[0] == '#') {
		identity_len = colon != NULL ? (size_t)(colon - line) - 1 : 0;
		if (identity_len == 0 || identity_len % 2 != 0 || !is_hex(line + 1, identity_len))
			return 0;
		return add(t, p, line + 1, identity_len, true, colon + 1, len - identity_len - 2);
	}
	if (colon == NULL)
		return fail(p, "there is no colon; write identity:hexkey, as psktool does");
	identity_len = (size_t)(colon - line);
	return add(t, p, line, identity_len, false, colon + 1, len - identity_len - 1);
}

static int parse_text(struct psk_table *t, struct parser *p, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline != NULL ? newline : end;

		p->line++;
		if (parse_line(t, p, text, (size_t)(line_end - text)) < 0)
			return -EINVAL;
		text = newline != NULL ? newline + 1 : end;
	}
	return 0;
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static struct psk_table *table_new(size_t lines, size_t text_len)
{
	struct psk_table *t = calloc(1, sizeof(*t));
	size_t slots = 2;

	if (t == NULL)
		return NULL;
	while (slots < 2 * lines)
		slots *= 2;
	t->mask = slots - 1;
	t->slots = calloc(slots, sizeof(*t->slots));
	t->arena_size = text_len;
	t->arena = malloc(text_len + 1);
	if (t->slots == NULL || t->arena == NULL) {
		psk_free(t);
		return NULL;
	}
	/* Without entropy a fixed key still gives a correct table, and the operator chose what is in it. */
	if (getrandom(&t->hash_key, sizeof(t->hash_key), GRND_NONBLOCK) != (ssize_t)sizeof(t->hash_key))
		t->hash_key = (struct siphash_key){ 0, 0 };
	return t;
}

struct psk_table *psk_parse(const char *name, const char *text, size_t len, char *err, size_t err_size)
{
	struct parser p = { .name = name, .err = err, .err_size = err_size };
	struct psk_table *t;

	if (len > UINT32_MAX / 4) {
		snprintf(err, err_size, "%s: the file is larger than a gigabyte; is it the right one?", name);
		return NULL;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark, of no identity */
		text += 3;
		len -= 3;
	}
	t = table_new(count_lines(text, len), len);
	if (t == NULL) {
		snprintf(err, err_size, "%s: out of memory", name);
		return NULL;
	}
	if (parse_text(t, &p, text, len) < 0) {
		psk_free(t);
		return NULL;
	}
	return t;
}

void psk_free(struct psk_table *t)
{
	if (t == NULL)
		return;
	if (t->arena != NULL)
		explicit_bzero(t->arena, t->arena_size);
	free(t->arena);
	free(t->slots);
	free(t);
}

uint32_t psk_count(const struct psk_table *t)
{
	return t->count;
}

const uint8_t *psk_find(const struct psk_table *t, const void *identity, size_t len, size_t *key_len)
{
	const struct entry *e;

	if (len == 0 || len > PSK_IDENTITY_MAX)
		return NULL;
	e = slot_of(t, identity, len);
	if (e->identity_len == 0)
		return NULL;
	*key_len = e->key_len;
	return t->arena + e->offset + e->identity_len;
}
