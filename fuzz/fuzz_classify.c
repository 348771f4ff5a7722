/* SPDX-License-Identifier: BSD-2-Clause */
/* classify: every byte string has a verdict, and nothing outside of it is read or pointed to. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "classify.h"
#include "fuzz.h"
#include "wire.h"

/* The shortest hello that passes and is not shorter than its answer: see classify_hello. */
#define HELLO_MIN 61

static void check_fragments(const struct record *r)
{
	struct handshake_fragment f;
	size_t at = 0, before = 0;
	int rc;

	while ((rc = classify_handshake(r->body, r->length, &at, &f)) > 0) {
		assert(at == before + DTLS_HANDSHAKE_HEADER + f.fragment_length && at <= r->length);
		assert(f.body == r->body + before + DTLS_HANDSHAKE_HEADER);
		assert(f.offset + f.fragment_length <= f.length && f.length < 1U << 24);
		before = at;
	}
	assert(rc == 0 ? at == r->length : rc == -EBADMSG && at == before);
	if (r->kind == RECORD_HELLO || r->kind == RECORD_HELLO_TAIL || r->kind == RECORD_HANDSHAKE)
		assert(rc == 0 && r->length > 0);
}

static void check_hello(const struct record *r)
{
	const uint8_t *end = r->body + r->length;
	struct hello h;

	if (!classify_hello(r, &h))
		return;
	assert(r->kind == RECORD_HELLO);
	assert(h.msg == r->header && h.msg_length == DTLS_RECORD_HEADER + r->length);
	assert(h.msg_length >= HELLO_MIN && h.msg_length >= DTLS_HELLO_VERIFY_SIZE);
	assert(h.record_seq == r->seq);
	assert(h.random >= r->body && h.random + DTLS_RANDOM_SIZE < h.cookie);
	assert(h.cookie + h.cookie_length < end);
}

static void check_record(const struct record *r, const uint8_t *data, size_t from, size_t to)
{
	assert(r->header == data + from);
	assert(r->version == DTLS_VERSION_1_0 || r->version == DTLS_VERSION_1_2);
	assert(r->type == data[from] && r->epoch == wire_get16(data + from + 3));
	assert(r->seq == wire_get48(data + from + 5));
	assert(r->body > r->header && r->body + r->length == data + to);
	switch (r->kind) {
	case RECORD_HELLO:
	case RECORD_HELLO_TAIL:
	case RECORD_HANDSHAKE:
		assert(r->type == DTLS_HANDSHAKE && r->epoch == 0);
		break;
	case RECORD_CCS:
		assert(r->type == DTLS_CHANGE_CIPHER_SPEC && r->epoch == 0 && r->length == 1 && r->body[0] == 1);
		break;
	case RECORD_ALERT:
		assert(r->type == DTLS_ALERT && r->epoch == 0 && r->length == 2);
		break;
	case RECORD_PLAIN_DATA:
		assert(r->type == DTLS_APPLICATION_DATA && r->epoch == 0);
		break;
	case RECORD_PROTECTED:
		assert(r->type >= 20 && r->type <= 23 && r->epoch > 0 && r->length <= DTLS_CIPHERTEXT_MAX);
		break;
	case RECORD_CID:
		assert(r->type == DTLS_TLS12_CID && r->epoch > 0);
		break;
	case RECORD_TOO_LARGE:
		assert(r->length > DTLS_PLAINTEXT_MAX);
		break;
	case RECORD_UNKNOWN:
		assert(r->type < 20 || r->type > 23);
		break;
	case RECORD_MALFORMED:
		assert(r->epoch == 0);
		break;
	case RECORD_END:
		assert(0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size);
	size_t at = 0;

	for (;;) {
		size_t from = at, void_rest;
		struct record r;
		enum record_kind kind = classify_record(copy, size, &at, &r);

		assert(kind == r.kind);
		if (kind == RECORD_END) {
			assert(from == size && at == size && !r.header && !r.body);
			break;
		}
		assert(at > from && at <= size);
		/* a record whose header or length is not to be trusted */
		void_rest = size - from < DTLS_RECORD_HEADER || !r.body ||
			    (kind == RECORD_MALFORMED &&
			     wire_get16(copy + from + 11) > size - from - DTLS_RECORD_HEADER);
		if (void_rest) {
			assert(kind == RECORD_MALFORMED && at == size);
			continue;
		}
		check_record(&r, copy, from, at);
		check_fragments(&r);
		check_hello(&r);
	}
	assert(size == 0 || memcmp(copy, data, size) == 0);
	free(copy);
	return 0;
}
