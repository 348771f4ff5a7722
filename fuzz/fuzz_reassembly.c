/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reassembly: against a model that keeps a byte and a mark for every place of every message. What is
 * delivered is what was fed, what came first stays, a message comes out exactly when all of it is there, and
 * what is refused changes nothing.
 * The input is the first sequence and a list of fragments; their bytes follow from their place, or from the
 * input where an overlap is to lie.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuzz.h"
#include "reassembly.h"
#include "wire.h"

struct model_message {
	size_t known;
	uint32_t length;
	uint8_t type;
	bool begun;
	uint8_t *bytes, *marks; /* REASSEMBLY_MESSAGE_MAX each */
};

static struct model_message model[REASSEMBLY_MESSAGES];

static struct model_message *model_of(uint32_t seq)
{
	return &model[seq % REASSEMBLY_MESSAGES];
}

static void model_clear(struct model_message *m)
{
	if (!m->bytes) {
		m->bytes = malloc(REASSEMBLY_MESSAGE_MAX);
		m->marks = malloc(REASSEMBLY_MESSAGE_MAX);
		assert(m->bytes && m->marks);
	}
	memset(m->marks, 0, m->begun ? m->length : REASSEMBLY_MESSAGE_MAX);
	m->begun = false;
	m->known = 0;
}

/*
 * The next places from at on and before end that nothing has come for; a loop over the bytes would be most of what
 * the fuzzer does. false: there are none.
 */
static bool next_gap(const struct model_message *m, uint32_t at, uint32_t end, uint32_t *from, uint32_t *to)
{
	const uint8_t *first = memchr(m->marks + at, 0, end - at), *last;

	if (!first)
		return false;
	*from = (uint32_t)(first - m->marks);
	last = memchr(first, 1, end - *from);
	*to = last ? (uint32_t)(last - m->marks) : end;
	return true;
}

static size_t model_new_bytes(const struct model_message *m, const struct handshake_fragment *f)
{
	uint32_t at = f->offset, end = f->offset + f->fragment_length, from;
	size_t n = 0;

	for (; next_gap(m, at, end, &from, &at); n += at - from)
		continue;
	return n;
}

static void model_store(struct model_message *m, const struct handshake_fragment *f)
{
	uint32_t at = f->offset, end = f->offset + f->fragment_length, from;

	m->begun = true;
	m->type = f->type;
	m->length = f->length;
	while (next_gap(m, at, end, &from, &at)) {
		memset(m->marks + from, 1, at - from);
		memcpy(m->bytes + from, f->body + (from - f->offset), at - from);
		m->known += at - from;
	}
}

/* What stands in a message from that place on. */
static const uint8_t *content(uint16_t message_seq, uint32_t offset)
{
	static uint8_t bytes[65536 * 2 + 256];
	static bool made;

	for (size_t i = 0; !made && i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	made = true;
	return bytes + message_seq % 256 + offset;
}

/* A fragment as classify would give it. */
static struct handshake_fragment read_fragment(struct fuzz_input *in, uint16_t expected, uint8_t *body)
{
	uint8_t flags = fuzz_u8(in);
	struct handshake_fragment f = { .type = flags & 1 ? 11 : 16, .body = body };

	f.message_seq = (uint16_t)(expected + (flags >> 1 & 15) - 2);
	f.length = fuzz_u16(in);
	/* as large as possible and beyond */
	f.length += flags & 0x20 ? REASSEMBLY_MESSAGE_MAX / 2 + 8U : 0;
	f.offset = fuzz_u16(in);
	f.fragment_length = flags & 0x40 ? fuzz_u16(in) : fuzz_u8(in);
	if (f.offset > f.length)
		f.offset = f.length ? f.offset % f.length : 0;
	if (f.fragment_length > f.length - f.offset)
		f.fragment_length = f.length - f.offset;
	memcpy(body, content(f.message_seq, f.offset), f.fragment_length);
	if (flags & 0x80 && f.fragment_length) /* says something else than the others */
		body[0] ^= fuzz_u8(in), body[f.fragment_length - 1] ^= 0x55;
	return f;
}

static void check_add(struct reassembly *r, const struct handshake_fragment *f)
{
	struct handshake_fragment exact = *f;
	uint16_t expected = reassembly_expected(r);
	size_t held = reassembly_bytes(r);
	uint16_t ahead = (uint16_t)(f->message_seq - expected);
	bool past = f->message_seq < expected, window = !past && ahead < REASSEMBLY_MESSAGES;
	struct model_message *m = model_of(f->message_seq);
	uint8_t *body = fuzz_copy(f->body, f->fragment_length);
	enum reassembly_verdict v;

	exact.body = body;
	v = reassembly_add(r, &exact);
	free(body);
	assert(reassembly_expected(r) == expected && reassembly_bytes(r) <= REASSEMBLY_TOTAL_MAX);
	if (v != REASSEMBLY_STORED)
		assert(reassembly_bytes(r) == held);
	switch (v) {
	case REASSEMBLY_STORED:
		assert(window && f->length <= REASSEMBLY_MESSAGE_MAX);
		assert(!m->begun || (m->type == f->type && m->length == f->length));
		assert(model_new_bytes(m, f) > 0 || (f->length == 0 && !m->begun));
		model_store(m, f);
		break;
	case REASSEMBLY_DUPLICATE:
		assert(past || (window && model_new_bytes(m, f) == 0));
		break;
	case REASSEMBLY_TOO_FAR:
		assert(!past && !window);
		break;
	case REASSEMBLY_MISMATCH:
		assert(window && m->begun && (m->type != f->type || m->length != f->length));
		break;
	case REASSEMBLY_TOO_LARGE:
		assert(window);
		break;
	case REASSEMBLY_MEMORY:
		assert(0);
	}
}

/* pops */
static void check_delivery(struct reassembly *r, bool take)
{
	uint16_t seq = reassembly_expected(r);
	struct model_message *m = model_of(seq);
	size_t len = 0;
	const uint8_t *message = reassembly_next(r, &len);

	assert((message != NULL) == (m->begun && m->known == m->length));
	if (!message)
		return;
	assert(len == DTLS_HANDSHAKE_HEADER + (size_t)m->length);
	assert(message[0] == m->type && wire_get24(message + 1) == m->length);
	assert(wire_get16(message + 4) == seq && wire_get24(message + 6) == 0);
	assert(wire_get24(message + 9) == m->length);
	assert(m->length == 0 || memcmp(message + DTLS_HANDSHAKE_HEADER, m->bytes, m->length) == 0);
	if (take) {
		reassembly_pop(r);
		model_clear(m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t body[65536 * 2];
	struct fuzz_input in = { data, size };
	struct reassembly *r;

	/* with sequences that stay clear of the end: there no message comes any more, which has a unit test */
	r = reassembly_new(fuzz_u8(&in));
	assert(r);
	for (unsigned i = 0; i < REASSEMBLY_MESSAGES; i++)
		model_clear(&model[i]);
	for (unsigned n = 0; in.left > 0 && n < 2000; n++) {
		struct handshake_fragment f = read_fragment(&in, reassembly_expected(r), body);

		check_add(r, &f);
		check_delivery(r, f.type == 11 || n % 3 == 0);
	}
	while (reassembly_next(r, &(size_t){ 0 }))
		check_delivery(r, true);
	reassembly_free(r);
	return 0;
}
