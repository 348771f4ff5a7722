/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * psk_many: a file of up to 100,000 identities, with an identity that comes twice or a line that is wrong somewhere in
 * it: each identity is found with its key and nobody else's, or the line that is wrong is named, and the one that it
 * repeats.
 * The input says how the file is made.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "psk.h"

#define MOST 100000

enum fault { NONE, TWICE, TWICE_IN_HEX, NO_COLON, FAULTS };

struct recipe {
	unsigned count, prefix_len, step;
	bool hex;           /* identities are written as #hex */
	enum fault fault;
	unsigned at, first; /* the fault's line and, where an identity comes twice, the line of the first; from 0 */
	char prefix[PSK_IDENTITY_MAX - 10 + 1];
};

static struct recipe read_recipe(struct fuzz_input *in)
{
	struct recipe r = { .count = 1 + (fuzz_u8(in) << 16 | fuzz_u16(in)) % MOST };
	size_t len;
	const uint8_t *bytes;

	r.step = 1 + fuzz_u8(in) % 9;
	r.hex = fuzz_u8(in) & 1;
	r.fault = fuzz_u8(in) % FAULTS;
	r.at = (unsigned)(fuzz_u8(in) << 16 | fuzz_u16(in)) % r.count;
	r.first = r.at > 0 ? (unsigned)(fuzz_u8(in) << 16 | fuzz_u16(in)) % r.at : 0;
	if (r.at == 0 && (r.fault == TWICE || r.fault == TWICE_IN_HEX))
		r.fault = NONE;
	len = sizeof(r.prefix) - 1;
	bytes = fuzz_bytes(in, &len);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] && bytes[i] != '\n')
			r.prefix[r.prefix_len++] = (char)bytes[i];
	if (r.prefix[0] == '#')
		r.prefix[0] = '_'; /* which would be a comment, or hex */
	return r;
}

static size_t identity_of(const struct recipe *r, unsigned i, char out[static PSK_IDENTITY_MAX + 1])
{
	return (size_t)snprintf(out, PSK_IDENTITY_MAX + 1, "%s%u", r->prefix, i * r->step);
}

static void write_entry(FILE *f, const char *identity, bool hex, unsigned key)
{
	if (hex) {
		fputc('#', f);
		for (; *identity; identity++)
			fprintf(f, "%02X", (unsigned char)*identity);
	} else {
		fputs(identity, f);
	}
	fprintf(f, ":%08x\n", key);
}

static void write_line(FILE *f, const struct recipe *r, unsigned i)
{
	char identity[PSK_IDENTITY_MAX + 1];

	if (i == r->at && r->fault == NO_COLON) {
		fputs("nobody\n", f);
		return;
	}
	if (i == r->at && r->fault != NONE) {
		identity_of(r, r->first, identity);
		write_entry(f, identity, r->fault == TWICE_IN_HEX, i);
		return;
	}
	identity_of(r, i, identity);
	write_entry(f, identity, r->hex, i);
}

static void check_table(const struct psk_table *t, const struct recipe *r)
{
	char identity[PSK_IDENTITY_MAX + 1];
	size_t len, key_len;

	assert(r->fault == NONE && psk_count(t) == r->count);
	for (unsigned i = 0; i < r->count; i++) {
		const uint8_t *key;

		len = identity_of(r, i, identity);
		key = psk_find(t, identity, len, &key_len);
		assert(key && key_len == 4);
		assert(((unsigned)key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3]) == i);
	}
	len = identity_of(r, r->count, identity);
	assert(!psk_find(t, identity, len, &key_len));
}

static void check_error(const char *err, const struct recipe *r)
{
	char want[64];

	assert(r->fault != NONE);
	snprintf(want, sizeof(want), "file:%u: ", r->at + 1);
	assert(strncmp(err, want, strlen(want)) == 0);
	if (r->fault == NO_COLON)
		return;
	snprintf(want, sizeof(want), "on line %u;", r->first + 1);
	assert(strstr(err, want));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct recipe r = read_recipe(&in);
	char *text = NULL, err[400] = "";
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct psk_table *t;

	assert(f);
	for (unsigned i = 0; i < r.count; i++)
		write_line(f, &r, i);
	fclose(f);
	t = psk_parse("file", text, len, err, sizeof(err));
	if (t)
		check_table(t, &r);
	else
		check_error(err, &r);
	psk_free(t);
	free(text);
	return 0;
}
