/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_raw.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"

#define NAME_PREFIX "rpk:sha256:"

static_assert(TLS_RAW_NAME_SIZE == sizeof(NAME_PREFIX) + 2 * TLS_FINGERPRINT_SIZE, "a name has room");

bool tls_fingerprint_parse(const char *text, size_t len, uint8_t out[static TLS_FINGERPRINT_SIZE])
{
	const char *end = text + len;

	for (unsigned i = 0; i < TLS_FINGERPRINT_SIZE; i++) {
		if (i > 0 && text < end && *text == ':')
			text++;
		if (end - text < 2 || hex_decode(&out[i], 1, text, 2) != 1)
			return false;
		text += 2;
	}
	return text == end;
}

/* ---- which are good ---- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, TLS_FINGERPRINT_SIZE);
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Of a line without its end; 0: it has none. -EINVAL: what it has is none. */
static int parse_line(const char *line, size_t len, uint8_t out[static TLS_FINGERPRINT_SIZE])
{
	size_t n = 0;

	for (; len > 0 && is_blank(*line); len--)
		line++;
	while (n < len && !is_blank(line[n]))
		n++;
	if (n == 0 || *line == '#')
		return 0;
	return tls_fingerprint_parse(line, n, out) ? 1 : -EINVAL;
}

int tls_raw_parse(struct tls_raw *r, const char *name, const char *text, size_t len, char *err, size_t err_size)
{
	const char *end = text + len, *next;
	unsigned line = 1;
	int rc;

	r->keys = calloc(count_lines(text, len), sizeof(*r->keys));
	if (r->keys == NULL) {
		snprintf(err, err_size, "%s: out of memory", name);
		return -EINVAL;
	}
	for (; text < end; text = next, line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		next = newline ? newline + 1 : end;
		rc = parse_line(text, (size_t)((newline ? newline : end) - text), r->keys[r->count]);
		if (rc < 0) {
			snprintf(err, err_size, "%s:%u: this is no SHA-256 fingerprint of a public key, which has 64 "
				 "hexadecimal digits; get one with: openssl pkey -pubin -in KEY -outform der | sha256sum",
				 name, line);
			return -EINVAL;
		}
		r->count += (size_t)rc;
	}
	qsort(r->keys, r->count, sizeof(*r->keys), compare);
	return 0;
}

bool tls_raw_has(const struct tls_raw *r, const uint8_t key[static TLS_FINGERPRINT_SIZE])
{
	return r->count > 0 && bsearch(key, r->keys, r->count, sizeof(*r->keys), compare) != NULL;
}

void tls_raw_clear(struct tls_raw *r)
{
	free(r->keys);
	*r = (struct tls_raw){ .keys = NULL };
}

/* ---- who it is ---- */

bool tls_raw_peer(gnutls_session_t s, uint8_t out[static TLS_FINGERPRINT_SIZE])
{
	size_t size = TLS_FINGERPRINT_SIZE;
	const gnutls_datum_t *key;

	if (gnutls_auth_get_type(s) != GNUTLS_CRD_CERTIFICATE ||
	    gnutls_certificate_type_get2(s, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_RAWPK)
		return false;
	key = gnutls_certificate_get_peers(s, NULL);
	return key != NULL && gnutls_fingerprint(GNUTLS_DIG_SHA256, key, out, &size) >= 0;
}

void tls_raw_name(const uint8_t key[static TLS_FINGERPRINT_SIZE], char out[static TLS_RAW_NAME_SIZE])
{
	memcpy(out, NAME_PREFIX, strlen(NAME_PREFIX));
	hex_encode(out + strlen(NAME_PREFIX), key, TLS_FINGERPRINT_SIZE);
}
