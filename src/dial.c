/* SPDX-License-Identifier: BSD-2-Clause */
#include "dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeder.h"
#include "keys.h"
#include "metrics.h"
#include "reassembly.h"
#include "retransmit.h"
#include "wire.h"

#define ALERT_GRACE_MS 1000 /* an alert in the clear is a hint: anyone can forge it */
#define FINISHED_MAX 128    /* bytes of a protected record that may be one: 24, explicit nonce and tag */
#define SESSION_ID_MAX 32
#define EXTENSION_TICKET 35

struct dial {
	struct env *env;
	struct tls_client *tls;
	gnutls_session_t session;
	struct feeder feeder;
	struct retransmit out;
	int (*send)(void *ctx, const uint8_t *data, size_t len);
	void *ctx;

	struct reassembly *messages;
	uint16_t version;       /* of the records that the last message came in */
	bool abbreviated;       /* the server resumes: its ChangeCipherSpec follows at once */
	bool ticket_due;        /* it has promised a ticket, which goes before that */
	bool hello_given, ccs_seen, ccs_given;
	uint8_t finished[DTLS_RECORD_HEADER + FINISHED_MAX]; /* a record that may be it, the latest */
	size_t finished_len;    /* 0: none waits */
	uint64_t finished_seq;  /* of the one fed last */
	bool finished_bad;      /* it did not open */
	uint8_t session_id[SESSION_ID_MAX]; /* in our hello */
	size_t session_id_len;
	enum record_cipher cipher;

	uint64_t timeout_ms, deadline;
	uint64_t grace;         /* fail at this time unless something good comes; 0: no */
	int alert;              /* the server's, -1: none */
	bool heard, timed_out;
	char why[DIAL_WHY_MAX];
};

/* ---- what GnuTLS says ---- */

/* Of a ClientHello's record: in the resumption with a ticket, too, the server repeats it to agree (RFC 5077 3.4). */
static void note_session_id(struct dial *d, const uint8_t *data, size_t len)
{
	size_t at = DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + 2 + DTLS_RANDOM_SIZE;

	if (len <= at || data[at] > SESSION_ID_MAX || len < at + 1 + data[at])
		return;
	d->session_id_len = data[at];
	memcpy(d->session_id, data + at + 1, d->session_id_len);
}

static void said(void *ctx, const uint8_t *data, size_t len)
{
	struct dial *d = ctx;

	if (len > DTLS_RECORD_HEADER && data[0] == DTLS_HANDSHAKE && wire_get16(data + 3) == 0 &&
	    data[DTLS_RECORD_HEADER] == DTLS_CLIENT_HELLO)
		note_session_id(d, data, len);
	retransmit_push(&d->out, data, len);
}

/* ---- life ---- */

struct dial *dial_new(const struct dial_config *c)
{
	struct dial *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return NULL;
	d->env = c->env;
	d->tls = tls_client_ref(c->tls);
	d->send = c->out;
	d->ctx = c->ctx;
	d->alert = -1;
	d->version = DTLS_VERSION_1_2;
	d->timeout_ms = c->timeout_ms;
	d->deadline = c->env->now + c->timeout_ms;
	d->messages = reassembly_new(0);
	err = retransmit_init(&d->out, 0, c->mtu);
	if (!d->messages || err < 0 || tls_client_session(d->tls, c->saved, &d->session) < 0) {
		dial_free(d);
		return NULL;
	}
	d->feeder = (struct feeder){ .session = d->session, .scratch = d->env->scratch, .said = said, .ctx = d };
	feeder_attach(&d->feeder);
	return d;
}

void dial_free(struct dial *d)
{
	if (!d)
		return;
	if (d->session)
		gnutls_deinit(d->session);
	if (d->messages)
		reassembly_free(d->messages);
	retransmit_destroy(&d->out);
	tls_client_unref(d->tls);
	free(d);
}

uint64_t dial_due(const struct dial *d)
{
	uint64_t due = d->deadline;

	if (d->grace && d->grace < due)
		due = d->grace;
	if (d->out.due && d->out.due < due)
		due = d->out.due;
	return due;
}

/* ---- out ---- */

static void send_flight(struct dial *d)
{
	retransmit_send(&d->out, d->env->now, d->send, d->ctx);
}

static void resend_flight(struct dial *d, bool asked)
{
	metric_inc(d->env->metrics, METRIC_flight_resent);
	keys_reseal(d->session, d->out.flight, d->cipher, d->env->cache, d->env->scratch);
	retransmit_again(&d->out, asked, d->env->now, d->send, d->ctx);
}

static enum dial_verdict fail(struct dial *d, int err)
{
	tls_client_explain(d->tls, d->session, err, d->alert, d->why, sizeof(d->why));
	if (d->alert < 0 && gnutls_alert_send_appropriate(d->session, err) >= 0)
		send_flight(d);
	return DIAL_FAILED;
}

static enum dial_verdict give_up(struct dial *d)
{
	const char *hint = flight_has_ccs(d->out.flight) ?
			   "a wrong pre-shared key looks like this, and so does a bad network" :
			   "the network loses much, or large datagrams";
	unsigned long s = (unsigned long)(d->timeout_ms / 1000);

	if (d->alert >= 0)
		return fail(d, GNUTLS_E_FATAL_ALERT_RECEIVED);
	d->timed_out = true;
	if (!d->heard)
		snprintf(d->why, sizeof(d->why), "no answer in %lu s: is it running, and do UDP datagrams reach it and "
			 "come back?", s);
	else if (d->finished_bad || (d->ccs_seen && !d->ccs_given))
		snprintf(d->why, sizeof(d->why), "its last message does not open: are its key and ours the same?");
	else
		snprintf(d->why, sizeof(d->why), "the handshake did not end in %lu s after %u resends down to %zu bytes "
			 "a datagram: %s", s, d->out.resends, d->out.mtu, hint);
	return DIAL_FAILED;
}

/* ---- in: what GnuTLS is fed with ---- */

static enum dial_verdict conclude(struct dial *d, int err)
{
	if (err < 0 && gnutls_error_is_fatal(err))
		return fail(d, err);
	if (d->out.lost) {
		snprintf(d->why, sizeof(d->why), "out of memory, or our own flight is too large: shorten the certificate "
			 "chain of x509certfile");
		return DIAL_FAILED;
	}
	if (d->out.unsent)
		send_flight(d);
	return err == GNUTLS_E_SUCCESS ? DIAL_DONE : DIAL_GOING;
}

/* Does the server promise a ticket? Its extensions begin at p. */
static bool promises_ticket(const uint8_t *p, const uint8_t *end)
{
	if (end - p < 2)
		return false;
	for (p += 2; end - p >= 4; p += 4 + wire_get16(p + 2))
		if (wire_get16(p) == EXTENSION_TICKET)
			return true;
		else if (end - p < 4 + wire_get16(p + 2))
			return false;
	return false;
}

/* What a ServerHello says about what follows. GnuTLS judges all the rest of it. */
static void read_hello(struct dial *d, const uint8_t *msg, size_t len)
{
	const uint8_t *id = msg + DTLS_HANDSHAKE_HEADER + 2 + DTLS_RANDOM_SIZE, *end = msg + len;
	size_t id_len;

	d->hello_given = true;
	d->cipher = keys_cipher_of_hello(msg, len);
	if (end <= id || end - id < 1 + *id + 3)
		return;
	id_len = *id++;
	d->abbreviated = id_len > 0 && id_len == d->session_id_len && memcmp(id, d->session_id, id_len) == 0;
	d->ticket_due = promises_ticket(id + id_len + 3, end);
}

static enum dial_verdict feed_message(struct dial *d, const uint8_t *msg, size_t len)
{
	d->out.answered = true;
	d->grace = 0;
	d->alert = -1;
	if (msg[0] == DTLS_SERVER_HELLO)
		read_hello(d, msg, len);
	if (msg[0] == DTLS_NEW_SESSION_TICKET)
		d->ticket_due = false;
	return conclude(d, feeder_message(&d->feeder, msg, len, d->version));
}

static enum dial_verdict feed_finished(struct dial *d)
{
	enum dial_verdict v;

	d->finished_seq = wire_get48(d->finished + 5);
	d->out.answered = true; /* what GnuTLS says next, in a resumption, is a flight of its own */
	v = conclude(d, feeder_record(&d->feeder, d->finished, d->finished_len));
	d->out.answered = v != DIAL_GOING;
	d->finished_bad = v == DIAL_GOING;
	d->finished_len = 0;
	return v;
}

/* Nothing comes before it any more. */
static bool ccs_due(const struct dial *d)
{
	if (d->ccs_given || d->ticket_due)
		return false;
	return d->abbreviated || (d->hello_given && flight_has_ccs(d->out.flight));
}

static enum dial_verdict proceed(struct dial *d)
{
	enum dial_verdict v = DIAL_GOING;
	const uint8_t *msg;
	size_t len;

	while (v == DIAL_GOING) {
		if (!d->ccs_given && !ccs_due(d) && (msg = reassembly_next(d->messages, &len)) != NULL) {
			v = feed_message(d, msg, len);
			reassembly_pop(d->messages);
		} else if (ccs_due(d) && (d->ccs_seen || d->finished_len)) {
			/* who protects has changed its cipher spec, though what says so may be lost */
			v = conclude(d, feeder_ccs(&d->feeder));
			d->ccs_given = true;
		} else if (d->ccs_given && d->finished_len) {
			v = feed_finished(d);
		} else {
			break;
		}
	}
	return v;
}

/* ---- in: records ---- */

/* What a server sends in a handshake. Of other types there is nothing to wait for: anyone can forge them. */
static bool is_expected(uint8_t type)
{
	switch (type) {
	case DTLS_SERVER_HELLO:
	case DTLS_HELLO_VERIFY_REQUEST:
	case DTLS_NEW_SESSION_TICKET:
	case DTLS_CERTIFICATE:
	case DTLS_SERVER_KEY_EXCHANGE:
	case DTLS_CERTIFICATE_REQUEST:
	case DTLS_SERVER_HELLO_DONE:
	case DTLS_CERTIFICATE_STATUS:
		return true;
	default:
		return false;
	}
}

static void on_fragment(struct dial *d, const struct handshake_fragment *f)
{
	enum reassembly_verdict v;
	bool last = (uint16_t)(f->message_seq + 1) == reassembly_expected(d->messages) &&
		    f->offset + f->fragment_length == f->length;

	if (!is_expected(f->type)) {
		metric_inc(d->env->metrics, METRIC_drop_unexpected);
		return;
	}
	v = reassembly_add(d->messages, f);
	/* the server repeats the end of its flight: ours was lost */
	if (v == REASSEMBLY_DUPLICATE && last && retransmit_asked(&d->out, d->env->now))
		resend_flight(d, true);
}

static enum dial_verdict on_handshake(struct dial *d, const struct record *r)
{
	struct handshake_fragment f;
	size_t at = 0;

	d->version = r->version;
	while (classify_handshake(r->body, r->length, &at, &f) > 0)
		on_fragment(d, &f);
	return proceed(d);
}

static enum dial_verdict on_protected(struct dial *d, const struct record *r)
{
	size_t len = DTLS_RECORD_HEADER + r->length;

	if (r->type != DTLS_HANDSHAKE || r->epoch != 1 || r->length == 0 || len > sizeof(d->finished)) {
		metric_inc(d->env->metrics, METRIC_drop_unexpected);
		return DIAL_GOING;
	}
	memcpy(d->finished, r->header, len);
	d->finished_len = len;
	return proceed(d);
}

static void on_alert(struct dial *d, const struct record *r)
{
	if (r->body[0] != DTLS_ALERT_FATAL && r->body[1] != DTLS_ALERT_CLOSE_NOTIFY)
		return;
	d->alert = r->body[1];
	d->grace = d->env->now + ALERT_GRACE_MS;
}

enum dial_verdict dial_record(struct dial *d, const struct record *r)
{
	switch (r->kind) {
	case RECORD_HANDSHAKE:
		d->heard = true;
		return on_handshake(d, r);
	case RECORD_CCS:
		d->ccs_seen = true;
		return proceed(d);
	case RECORD_ALERT:
		d->heard = true;
		on_alert(d, r);
		return DIAL_GOING;
	case RECORD_PROTECTED:
		return on_protected(d, r);
	default:
		metric_inc(d->env->metrics, METRIC_drop_unexpected);
		return DIAL_GOING;
	}
}

enum dial_verdict dial_start(struct dial *d)
{
	/* it has nothing to read yet: it says hello */
	return conclude(d, gnutls_handshake(d->session));
}

enum dial_verdict dial_tick(struct dial *d)
{
	uint64_t now = d->env->now;

	if (now >= d->deadline || (d->grace && now >= d->grace))
		return give_up(d);
	if (retransmit_tick(&d->out, now))
		resend_flight(d, false);
	return DIAL_GOING;
}

/* ---- the end ---- */

const char *dial_why(const struct dial *d)
{
	return d->why;
}

bool dial_timed_out(const struct dial *d)
{
	return d->timed_out;
}

bool dial_answered(const struct dial *d)
{
	return d->heard;
}

bool dial_finish(struct dial *d, struct dial_result *out)
{
	memset(out, 0, sizeof(*out));
	if (!keys_record(d->session, d->finished_seq, &out->record)) {
		snprintf(d->why, sizeof(d->why), "the server chose a cipher that is not served here: see priority");
		return false;
	}
	out->mtu = d->out.mtu;
	out->resumed = gnutls_session_is_resumed(d->session) != 0;
	if (out->resumed) {
		out->final = d->out.flight;
		d->out.flight = NULL;
	} else if (gnutls_session_get_data2(d->session, &out->saved) < 0) {
		out->saved = (gnutls_datum_t){ NULL, 0 };
	}
	return true;
}
