/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reassembly.h"
#include "wire.h"

struct intake_held {
	struct intake_held *next;
	size_t len;
	uint8_t data[];
};

int intake_init(struct intake *in, uint16_t first)
{
	*in = (struct intake){ .messages = reassembly_new(first), .first = first };
	in->held_last = &in->held;
	return in->messages ? 0 : -ENOMEM;
}

void intake_destroy(struct intake *in)
{
	struct intake_held *e;

	while ((e = in->held)) {
		in->held = e->next;
		free(e);
	}
	if (in->messages)
		reassembly_free(in->messages);
	in->messages = NULL;
}

/* ---- in ---- */

/* The type of the client's message number k, the ClientHello being 0; -1: there is no such message. */
static int type_due(const struct intake *in, unsigned k)
{
	if (k == 0)
		return DTLS_CLIENT_HELLO;
	if (in->abbreviated)
		return -1;
	if (!in->cert_requested)
		return k == 1 ? DTLS_CLIENT_KEY_EXCHANGE : -1;
	switch (k) {
	case 1:
		return DTLS_CERTIFICATE;
	case 2:
		return DTLS_CLIENT_KEY_EXCHANGE;
	case 3:
		return DTLS_CERTIFICATE_VERIFY;
	default:
		return -1;
	}
}

enum intake_verdict intake_fragment(struct intake *in, const struct handshake_fragment *f)
{
	unsigned k = (uint16_t)(f->message_seq - in->first);
	bool end = f->offset + f->fragment_length == f->length &&
		   (uint16_t)(f->message_seq + 1) == reassembly_expected(in->messages);

	if (type_due(in, k) != f->type)
		return INTAKE_UNEXPECTED;
	switch (reassembly_add(in->messages, f)) {
	case REASSEMBLY_STORED:
		return INTAKE_KEPT;
	case REASSEMBLY_DUPLICATE:
		return end ? INTAKE_DUPLICATE_END : INTAKE_DUPLICATE;
	case REASSEMBLY_TOO_LARGE:
		return INTAKE_TOO_LARGE;
	case REASSEMBLY_MEMORY:
		return INTAKE_MEMORY;
	case REASSEMBLY_TOO_FAR:
	case REASSEMBLY_MISMATCH:
		break;
	}
	return INTAKE_UNEXPECTED;
}

void intake_ccs(struct intake *in)
{
	in->ccs_seen = true;
}

/* Where the list has the first record that may be a Finished; NULL: nowhere. */
static struct intake_held **find_finished(struct intake *in)
{
	struct intake_held **at = &in->held;

	while (*at && (*at)->data[0] != DTLS_HANDSHAKE)
		at = &(*at)->next;
	return *at ? at : NULL;
}

static void drop_finished(struct intake *in)
{
	struct intake_held **at = find_finished(in), *e;

	assert(at);
	e = *at;
	*at = e->next;
	if (!e->next)
		in->held_last = at;
	in->finished--;
	free(e);
}

/* Is there room? Nobody knows who sent the record, so it must not keep the Finished out. */
static bool may_hold(struct intake *in, const struct record *r)
{
	if (r->type == DTLS_HANDSHAKE) {
		if (r->length > INTAKE_FINISHED_MAX)
			return false;
		if (in->finished == INTAKE_FINISHED)
			drop_finished(in);
		return true;
	}
	return r->type != DTLS_CHANGE_CIPHER_SPEC && in->others < INTAKE_RECORDS &&
	       in->bytes + DTLS_RECORD_HEADER + r->length <= INTAKE_BYTES;
}

enum intake_verdict intake_protected(struct intake *in, const struct record *r)
{
	size_t len = DTLS_RECORD_HEADER + r->length;
	struct intake_held *e;

	if (r->type == DTLS_HANDSHAKE)
		in->ccs_seen = true;
	if (!may_hold(in, r))
		return INTAKE_UNEXPECTED;
	e = malloc(sizeof(*e) + len);
	if (!e)
		return INTAKE_MEMORY;
	e->next = NULL;
	e->len = len;
	memcpy(e->data, r->header, len);
	*in->held_last = e;
	in->held_last = &e->next;
	if (r->type == DTLS_HANDSHAKE) {
		in->finished++;
	} else {
		in->others++;
		in->bytes += len;
	}
	return INTAKE_KEPT;
}

/* ---- out ---- */

/* All of the client's messages before its ChangeCipherSpec were given out. */
static bool ccs_due(const struct intake *in)
{
	if (in->key_exchanged)
		return !in->cert_given || in->cert_verified;
	return in->abbreviated;
}

enum intake_kind intake_next(struct intake *in, const uint8_t **data, size_t *len)
{
	struct intake_held **finished;

	if ((*data = reassembly_next(in->messages, len)))
		return INTAKE_MESSAGE;
	*len = 0;
	if (!in->ccs_given)
		return in->ccs_seen && ccs_due(in) ? INTAKE_CCS : INTAKE_NOTHING;
	finished = find_finished(in);
	if (!finished)
		return INTAKE_NOTHING;
	*data = (*finished)->data;
	*len = (*finished)->len;
	return INTAKE_PROTECTED;
}

static void note_message(struct intake *in, const uint8_t *msg, size_t len)
{
	switch (msg[0]) {
	case DTLS_CERTIFICATE:
		in->cert_given = len > DTLS_HANDSHAKE_HEADER + 3; /* an empty list is three bytes */
		break;
	case DTLS_CLIENT_KEY_EXCHANGE:
		in->key_exchanged = true;
		break;
	case DTLS_CERTIFICATE_VERIFY:
		in->cert_verified = true;
		break;
	default:
		break;
	}
}

void intake_pop(struct intake *in)
{
	const uint8_t *data;
	size_t len;

	switch (intake_next(in, &data, &len)) {
	case INTAKE_MESSAGE:
		note_message(in, data, len);
		reassembly_pop(in->messages);
		break;
	case INTAKE_CCS:
		in->ccs_given = true;
		break;
	case INTAKE_PROTECTED:
		drop_finished(in);
		break;
	case INTAKE_NOTHING:
		assert(false);
	}
}

unsigned intake_given(const struct intake *in)
{
	return (uint16_t)(reassembly_expected(in->messages) - in->first);
}

void intake_rest(struct intake *in, void (*each)(void *ctx, uint8_t *data, size_t len), void *ctx)
{
	struct intake_held *e;

	while ((e = in->held)) {
		in->held = e->next;
		each(ctx, e->data, e->len);
		free(e);
	}
	in->held_last = &in->held;
	in->others = in->finished = 0;
	in->bytes = 0;
}
