/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parcel: what comes from the processes that serve sessions: headers of datagrams, and the lines of their standard error.
 * A header that is taken is the one that would be written; lines are the same however they come in pieces.
 * The input is a header, the lengths of the pieces up to a zero, and what is said.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuzz.h"
#include "lines.h"
#include "parcel.h"

struct said {
	uint8_t *text; /* of all lines, each with a newline */
	size_t len, lines;
};

static void check_header(const uint8_t *data, size_t len)
{
	uint8_t *copy = fuzz_copy(data, len), again[PARCEL_HEAD];
	struct parcel p;

	if (parcel_read(&p, copy, len)) {
		assert(len >= PARCEL_HEAD);
		parcel_write(&p, again);
		assert(memcmp(again, data, PARCEL_HEAD) == 0);
	}
	free(copy);
}

static void on_line(void *ctx, const char *line, size_t len)
{
	struct said *s = ctx;

	assert(len > 0 && len <= LINES_MOST && !memchr(line, '\n', len));
	s->text = realloc(s->text, s->len + len + 1);
	assert(s->text);
	memcpy(s->text + s->len, line, len);
	s->len += len + 1;
	s->text[s->len - 1] = '\n';
	s->lines++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct said whole = { NULL, 0, 0 }, pieces = { NULL, 0, 0 };
	struct lines one = { 0 }, two = { 0 };
	const uint8_t *cuts;
	size_t head = PARCEL_HEAD, count, rest;

	check_header(in.at, in.left);
	fuzz_bytes(&in, &head);
	cuts = in.at;
	count = in.left ? strnlen((const char *)cuts, in.left) : 0;
	rest = count + 1;
	fuzz_bytes(&in, &rest);
	lines_add(&one, (const char *)in.at, in.left, on_line, &whole);
	lines_end(&one, on_line, &whole);
	for (size_t i = 0; in.left > 0; i++) {
		size_t len = i < count ? cuts[i] : in.left;
		char *piece = fuzz_copy(in.at, len < in.left ? len : in.left);

		fuzz_bytes(&in, &len);
		lines_add(&two, piece, len, on_line, &pieces);
		free(piece);
	}
	lines_end(&two, on_line, &pieces);
	assert(whole.lines == pieces.lines && whole.len == pieces.len);
	assert(whole.len == 0 || memcmp(whole.text, pieces.text, whole.len) == 0);
	free(whole.text);
	free(pieces.text);
	return 0;
}
