/* SPDX-License-Identifier: BSD-2-Clause */
#include "classify.h"

#include <assert.h>
#include <errno.h>

#include "wire.h"

/* Where the ClientHello's fields lie in its body: client_version 2, random 32, session_id<0..32>. */
#define HELLO_RANDOM 2
#define HELLO_SESSION_ID (HELLO_RANDOM + DTLS_RANDOM_SIZE)
#define HELLO_SESSION_ID_MAX 32

/* In a connection-ID record the ID takes the place of the length, which comes after it. */
#define CID_OFFSET 11

static enum record_kind classify_handshake_record(const struct record *r)
{
	struct handshake_fragment f;
	enum record_kind kind = RECORD_MALFORMED;
	size_t at = 0;
	int rc;

	/* The first fragment decides, but only a record that is sound to its end counts. */
	while ((rc = classify_handshake(r->body, r->length, &at, &f)) > 0) {
		if (kind != RECORD_MALFORMED)
			continue;
		if (f.type != DTLS_CLIENT_HELLO)
			kind = RECORD_HANDSHAKE;
		else
			kind = f.offset == 0 ? RECORD_HELLO : RECORD_HELLO_TAIL;
	}
	return rc == 0 ? kind : RECORD_MALFORMED;
}

static enum record_kind classify_plain_record(const struct record *r)
{
	if (r->length == 0)
		return RECORD_MALFORMED;
	switch (r->type) {
	case DTLS_HANDSHAKE:
		return classify_handshake_record(r);
	case DTLS_CHANGE_CIPHER_SPEC:
		return r->length == 1 && r->body[0] == 1 ? RECORD_CCS : RECORD_MALFORMED;
	case DTLS_ALERT:
		return r->length == 2 ? RECORD_ALERT : RECORD_MALFORMED;
	default:
		return RECORD_PLAIN_DATA;
	}
}

static enum record_kind classify_complete_record(const struct record *r)
{
	if (r->type < DTLS_CHANGE_CIPHER_SPEC || r->type > DTLS_APPLICATION_DATA)
		return RECORD_UNKNOWN;
	if (r->length > (r->epoch == 0 ? DTLS_PLAINTEXT_MAX : DTLS_CIPHERTEXT_MAX))
		return RECORD_TOO_LARGE;
	return r->epoch == 0 ? classify_plain_record(r) : RECORD_PROTECTED;
}

enum record_kind classify_record(uint8_t *data, size_t len, size_t *offset, struct record *out)
{
	size_t left;

	assert(*offset <= len);
	left = len - *offset;
	*out = (struct record){ .kind = RECORD_END };
	if (left == 0)
		return RECORD_END;

	/* Until the record is known to be whole, nothing after it can be found either. */
	out->kind = RECORD_MALFORMED;
	data += *offset;
	if (left < DTLS_RECORD_HEADER) {
		*offset = len;
		return RECORD_MALFORMED;
	}
	out->type = data[0];
	out->version = wire_get16(data + 1);
	out->epoch = wire_get16(data + 3);
	out->seq = wire_get48(data + 5);
	out->header = data;
	if (out->version != DTLS_VERSION_1_0 && out->version != DTLS_VERSION_1_2) {
		*offset = len;
		return RECORD_MALFORMED;
	}
	if (out->type == DTLS_TLS12_CID && out->epoch != 0) {
		out->body = data + CID_OFFSET;
		out->length = left - CID_OFFSET;
		*offset = len;
		return out->kind = RECORD_CID;
	}
	out->body = data + DTLS_RECORD_HEADER;
	out->length = wire_get16(data + 11);
	if (out->length > left - DTLS_RECORD_HEADER) {
		out->length = left - DTLS_RECORD_HEADER;
		*offset = len;
		return RECORD_MALFORMED;
	}
	*offset += DTLS_RECORD_HEADER + out->length;
	return out->kind = classify_complete_record(out);
}

int classify_handshake(const uint8_t *body, size_t length, size_t *at, struct handshake_fragment *out)
{
	const uint8_t *p;
	size_t left;

	assert(*at <= length);
	left = length - *at;
	if (left == 0)
		return 0;
	if (left < DTLS_HANDSHAKE_HEADER)
		return -EBADMSG;
	p = body + *at;
	left -= DTLS_HANDSHAKE_HEADER;
	out->type = p[0];
	out->length = wire_get24(p + 1);
	out->message_seq = wire_get16(p + 4);
	out->offset = wire_get24(p + 6);
	out->fragment_length = wire_get24(p + 9);
	out->body = p + DTLS_HANDSHAKE_HEADER;
	/* Three 24-bit numbers: the sum cannot overflow. */
	if (out->fragment_length > left || out->offset + out->fragment_length > out->length)
		return -EBADMSG;
	*at += DTLS_HANDSHAKE_HEADER + out->fragment_length;
	return 1;
}

bool classify_hello(const struct record *r, struct hello *out)
{
	struct handshake_fragment f;
	const uint8_t *cookie; /* its length byte */
	size_t at = 0;

	if (r->kind != RECORD_HELLO || classify_handshake(r->body, r->length, &at, &f) != 1)
		return false;
	/* Each step needs one byte more than the field before it: the length byte that follows. */
	if (f.fragment_length <= HELLO_SESSION_ID || f.body[0] != DTLS_VERSION_1_2 >> 8)
		return false;
	if (f.body[HELLO_SESSION_ID] > HELLO_SESSION_ID_MAX)
		return false;
	at = HELLO_SESSION_ID + 1 + f.body[HELLO_SESSION_ID];
	if (f.fragment_length <= at)
		return false;
	cookie = f.body + at;
	if (f.fragment_length <= at + 1 + cookie[0])
		return false;
	*out = (struct hello){
		.record_seq = r->seq,
		.message_seq = f.message_seq,
		.random = f.body + HELLO_RANDOM,
		.cookie = cookie + 1,
		.cookie_length = cookie[0],
		.msg = r->header,
		.msg_length = DTLS_RECORD_HEADER + r->length,
	};
	return true;
}
