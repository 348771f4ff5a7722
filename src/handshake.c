/* SPDX-License-Identifier: BSD-2-Clause */
#include "handshake.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "log.h"
#include "metrics.h"
#include "reassembly.h"
#include "txq.h"
#include "wire.h"

#define RESEND_FIRST_MS 1000   /* RFC 6347 4.2.4.1 */
#define RESEND_MOST_MS 60000
#define RESEND_ASKED_MS 200    /* a peer that repeats itself gets the flight again, at most this often */
#define ALERT_GRACE_MS 2000    /* an alert in the clear is a hint, not a verdict: anyone can forge it */
#define FINISHED_GRACE_MS 500  /* the same for a Finished that does not open */
#define EARLY_RECORDS 8        /* epoch-1 records held until there are keys */
#define EARLY_BYTES 16384
#define EARLY_FINISHED 4       /* of their own: whatever else waits, there is room for a Finished */
#define FINISHED_MOST 128      /* 24 bytes, explicit nonce and tag; more is none */
#define TURNS_MAX 64           /* calls of gnutls_handshake for one record */

/* UDP payloads to fall back to when flights vanish: an IPv4 path of 576 bytes, and the least there is. */
static const size_t mtu_steps[] = { 1200, 548, FLIGHT_MTU_MIN };

struct early {
	struct early *next;
	size_t len;
	uint8_t data[];
};

struct handshake {
	struct table_node node;
	struct timer timer;
	struct handshake_place place;
	struct env *env;
	uint32_t listener;
	struct tls *tls;
	gnutls_session_t session;
	struct tls_report report;
	uint8_t random[DTLS_RANDOM_SIZE];
	uint64_t before;

	/* in */
	struct reassembly *in;
	const uint8_t *feed; /* the one datagram that GnuTLS may pull, NULL when it was pulled */
	size_t feed_len;
	bool starved;        /* GnuTLS has asked for more than there is */
	uint64_t feed_seq;   /* of the epoch-0 records made for GnuTLS */
	uint16_t hello_version;
	uint16_t first_message; /* message_seq of the ClientHello */
	bool cert_requested, cert_given, key_exchanged, cert_verified;
	bool ccs_seen, ccs_fed;
	uint64_t finished_seq;  /* record sequence of the last Finished fed */
	bool finished_bad;      /* it did not open */
	struct early *early, **early_last;
	unsigned early_count, early_finished; /* without and of handshake records */
	size_t early_bytes;

	/* out */
	struct flight *out;
	bool pushed;            /* there is something that has not been sent yet */
	bool unpushed;          /* the flight could not be kept: memory, size */
	size_t mtu;
	bool mtu_told;          /* lowered by EMSGSIZE since the flight last left */
	bool answered;          /* the peer has begun its answer to the flight */
	uint64_t sent_at, resend_at, resend_ms;
	unsigned resends;

	uint64_t deadline;
	uint64_t grace;         /* fail at this time unless something good comes; 0: no */
	uint8_t peer_alert;     /* description of a fatal alert in the clear */
	bool peer_alerted;
};

struct table_node *handshake_node(struct handshake *h)
{
	return &h->node;
}

struct handshake *handshake_of_node(struct table_node *n)
{
	return (struct handshake *)(void *)((char *)n - offsetof(struct handshake, node));
}

struct timer *handshake_timer(struct handshake *h)
{
	return &h->timer;
}

struct handshake *handshake_of_timer(struct timer *t)
{
	return (struct handshake *)(void *)((char *)t - offsetof(struct handshake, timer));
}

struct handshake_place *handshake_place(struct handshake *h)
{
	return &h->place;
}

struct handshake *handshake_of_place(struct handshake_place *p)
{
	return (struct handshake *)(void *)((char *)p - offsetof(struct handshake, place));
}

bool handshake_half_open(const struct handshake *h)
{
	/* no message but the hello is complete */
	return (uint16_t)(reassembly_expected(h->in) - h->first_message) <= 1;
}

uint32_t handshake_listener(const struct handshake *h)
{
	return h->listener;
}

uint64_t handshake_due(const struct handshake *h)
{
	uint64_t due = h->deadline;

	if (h->grace && h->grace < due)
		due = h->grace;
	if (h->resend_at && h->resend_at < due)
		due = h->resend_at;
	return due;
}

bool handshake_same_hello(const struct handshake *h, const struct hello *hello)
{
	return memcmp(h->random, hello->random, DTLS_RANDOM_SIZE) == 0;
}

void handshake_set_before(struct handshake *h, uint64_t tag)
{
	h->before = tag;
}

uint64_t handshake_before(const struct handshake *h)
{
	return h->before;
}

const uint8_t *handshake_random(const struct handshake *h)
{
	return h->random;
}

/* ---- the transport that GnuTLS sees ---- */

static ssize_t pull(gnutls_transport_ptr_t ptr, void *buf, size_t size)
{
	struct handshake *h = ptr;
	size_t n = h->feed_len;

	if (!h->feed) {
		h->starved = true;
		gnutls_transport_set_errno(h->session, EAGAIN);
		return -1;
	}
	assert(n > 0 && n <= size);
	memcpy(buf, h->feed, n);
	h->feed = NULL;
	return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	struct handshake *h = ptr;

	(void)ms;
	if (!h->feed)
		h->starved = true;
	return h->feed != NULL;
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct handshake *h = ptr;
	const uint8_t *p = data;

	if (h->answered) {
		flight_begin(h->out);
		h->answered = false;
		h->resends = 0;
		h->resend_ms = RESEND_FIRST_MS;
	}
	if (len > DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER && p[0] == DTLS_HANDSHAKE && wire_get16(p + 3) == 0 &&
	    p[DTLS_RECORD_HEADER] == DTLS_CERTIFICATE_REQUEST)
		h->cert_requested = true;
	/* an error here would end the session: the flight is marked as lost and the handshake fails cleanly */
	if (flight_push(h->out, data, len) < 0)
		h->unpushed = true;
	h->pushed = true;
	return (ssize_t)len;
}

/* ---- beginning and end ---- */

struct handshake *handshake_new(struct env *env, struct tls *tls, const struct flow *flow,
				uint32_t listener, const struct hello *hello,
				gnutls_dtls_prestate_st *prestate)
{
	struct handshake *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return NULL;
	h->node.flow = *flow;
	h->place.next = h->place.before = &h->place;
	h->env = env;
	h->listener = listener;
	h->tls = tls_ref(tls);
	memcpy(h->random, hello->random, DTLS_RANDOM_SIZE);
	h->first_message = hello->message_seq;
	h->feed_seq = hello->record_seq & 0xffffffff;
	h->hello_version = DTLS_VERSION_1_2;
	h->early_last = &h->early;
	h->mtu = env->mtu;
	h->answered = true;
	h->resend_ms = RESEND_FIRST_MS;
	h->deadline = env->now + env->handshake_timeout_ms;
	h->in = reassembly_new(hello->message_seq);
	h->out = flight_new(hello->record_seq);
	if (!h->in || !h->out)
		goto fail;
	err = tls_session_new(tls, &h->report, &h->session);
	if (err < 0) {
		log_limited(LOG_ERROR_, flow, "cannot begin a handshake: %s", gnutls_strerror(err));
		h->session = NULL;
		goto fail;
	}
	gnutls_transport_set_ptr(h->session, h);
	gnutls_transport_set_push_function(h->session, push);
	gnutls_transport_set_pull_function(h->session, pull);
	gnutls_transport_set_pull_timeout_function(h->session, pull_timeout);
	gnutls_dtls_prestate_set(h->session, prestate);
	return h;
fail:
	handshake_free(h);
	return NULL;
}

void handshake_free(struct handshake *h)
{
	struct early *e;

	if (h->session)
		gnutls_deinit(h->session);
	while ((e = h->early)) {
		h->early = e->next;
		free(e);
	}
	if (h->in)
		reassembly_free(h->in);
	if (h->out)
		flight_free(h->out);
	tls_unref(h->tls);
	free(h);
}

/* ---- out ---- */

static int send_datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct handshake *h = ctx;
	uint8_t *room = txq_reserve(h->env->txq, len);

	if (!room) {
		/* the flight's timer makes up for it */
		metric_inc(h->env->metrics, METRIC_tx_queue_full);
		return 0;
	}
	memcpy(room, data, len);
	txq_commit(h->env->txq, &h->node.flow, h->listener, len, true);
	return 0;
}

static void send_flight(struct handshake *h)
{
	flight_send(h->out, h->mtu, send_datagram, h);
	h->sent_at = h->env->now;
	h->resend_at = h->env->now + h->resend_ms;
	h->mtu_told = false;
	h->pushed = false;
}

static void resend_flight(struct handshake *h)
{
	metric_inc(h->env->metrics, METRIC_flight_resent);
	keys_reseal(h->session, h->out, h->env->cache, h->env->scratch);
	flight_rewind(h->out);
	send_flight(h);
}

static size_t mtu_below(size_t mtu)
{
	for (size_t i = 0; i < sizeof(mtu_steps) / sizeof(mtu_steps[0]); i++)
		if (mtu_steps[i] < mtu)
			return mtu_steps[i];
	return FLIGHT_MTU_MIN;
}

void handshake_too_large(struct handshake *h, size_t mtu)
{
	if (mtu == 0 && !h->mtu_told)
		mtu = mtu_below(h->mtu);
	if (mtu == 0 || mtu >= h->mtu)
		return;
	h->mtu = mtu < FLIGHT_MTU_MIN ? FLIGHT_MTU_MIN : mtu;
	h->mtu_told = true;
	/* at once, but not from within the send that failed */
	h->resend_at = h->env->now;
}

/* ---- failing: one alert, one line ---- */

enum fail_kind { FAIL_TIMEOUT, FAIL_ALERT, FAIL_PSK, FAIL_CERTIFICATE, FAIL_NEGOTIATION, FAIL_OTHER, FAIL_KINDS };

static enum handshake_verdict fail(struct handshake *h, enum fail_kind kind, const char *cause)
{
	/* a gate for each kind: a storm of one must not hide another */
	static struct log_gate gate[FAIL_KINDS];

	metric_inc(h->env->metrics, METRIC_handshake_failed);
	if (kind == FAIL_TIMEOUT)
		metric_inc(h->env->metrics, METRIC_handshake_timeout);
	log_write_limited(&gate[kind], LOG_NOTICE_, &h->node.flow, "handshake failed: %s", cause);
	return HANDSHAKE_FAILED;
}

static enum fail_kind kind_of(const struct handshake *h, int err)
{
	if (h->report.psk_unknown)
		return FAIL_PSK;
	switch (err) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return FAIL_ALERT;
	case GNUTLS_E_NO_CIPHER_SUITES:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_INSUFFICIENT_SECURITY:
		return FAIL_NEGOTIATION;
	case GNUTLS_E_CERTIFICATE_ERROR:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		return FAIL_CERTIFICATE;
	default:
		return FAIL_OTHER;
	}
}

static enum handshake_verdict fail_gnutls(struct handshake *h, int err)
{
	char text[256];

	if (err == GNUTLS_E_MEMORY_ERROR)
		metric_inc(h->env->metrics, METRIC_limited_memory);
	tls_send_alert(err, h->session, &h->report);
	send_flight(h);
	return fail(h, kind_of(h, err), tls_explain(err, h->session, &h->report, text, sizeof(text)));
}

static enum handshake_verdict fail_too_large(struct handshake *h, const char *what)
{
	gnutls_alert_send(h->session, GNUTLS_AL_FATAL, GNUTLS_A_RECORD_OVERFLOW);
	send_flight(h);
	return fail(h, FAIL_OTHER, what);
}

static bool by_psk(const struct handshake *h)
{
	gnutls_kx_algorithm_t kx = gnutls_kx_get(h->session);

	return kx == GNUTLS_KX_PSK || kx == GNUTLS_KX_ECDHE_PSK || kx == GNUTLS_KX_DHE_PSK;
}

static enum handshake_verdict give_up(struct handshake *h)
{
	char text[256];

	if (h->peer_alerted) {
		const char *name = gnutls_alert_get_name((gnutls_alert_description_t)h->peer_alert);

		snprintf(text, sizeof(text), "the peer refused us with alert %u (%s)", h->peer_alert,
			 name ? name : "unknown");
		return fail(h, FAIL_ALERT, text);
	}
	if (h->finished_bad) {
		gnutls_alert_send(h->session, GNUTLS_AL_FATAL, GNUTLS_A_DECRYPT_ERROR);
		send_flight(h);
		if (!by_psk(h))
			return fail(h, FAIL_TIMEOUT, "timed out: no Finished came that opens");
		return fail(h, FAIL_PSK, h->report.cause[0] ? h->report.cause :
			    "the peer's Finished does not open: it has another pre-shared key for its identity");
	}
	if (!h->out || flight_empty(h->out))
		return fail(h, FAIL_TIMEOUT, "timed out: the rest of the ClientHello did not come");
	snprintf(text, sizeof(text),
		 "timed out: no %s from the peer after %u resends down to %zu bytes a datagram",
		 h->answered ? "end of the last flight" : "answer", h->resends, h->mtu);
	return fail(h, FAIL_TIMEOUT, text);
}

/* ---- in ---- */

/* Lets GnuTLS work until it wants what is not there. */
static enum handshake_verdict turn(struct handshake *h)
{
	int err = GNUTLS_E_AGAIN;

	h->starved = false;
	for (unsigned i = 0; i < TURNS_MAX && err != GNUTLS_E_SUCCESS && !h->starved; i++) {
		err = gnutls_handshake(h->session);
		if (err < 0 && gnutls_error_is_fatal(err))
			break;
	}
	h->feed = NULL;
	if (h->unpushed)
		return fail_too_large(h, "out of memory or the server's own flight is too large: shorten its certificate chain");
	if (err < 0 && gnutls_error_is_fatal(err))
		return fail_gnutls(h, err);
	if (h->pushed)
		send_flight(h);
	return err == GNUTLS_E_SUCCESS ? HANDSHAKE_DONE : HANDSHAKE_GOING;
}

static enum handshake_verdict feed(struct handshake *h, const uint8_t *data, size_t len)
{
	h->feed = data;
	h->feed_len = len;
	return turn(h);
}

static void put_header(struct handshake *h, uint8_t *p, uint8_t type, uint16_t version, size_t len)
{
	p[0] = type;
	wire_put16(p + 1, version);
	wire_put16(p + 3, 0);
	wire_put48(p + 5, h->feed_seq++);
	wire_put16(p + 11, (uint16_t)len);
}

/* Feeds one whole message, in records of legal size, with sequence numbers that GnuTLS has not seen. */
static enum handshake_verdict feed_message(struct handshake *h, const uint8_t *msg, size_t len)
{
	const size_t most = DTLS_PLAINTEXT_MAX - DTLS_HANDSHAKE_HEADER;
	uint16_t version = msg[0] == DTLS_CLIENT_HELLO ? h->hello_version : DTLS_VERSION_1_2;
	size_t total = len - DTLS_HANDSHAKE_HEADER, at = 0;
	uint8_t *p = h->env->scratch;
	enum handshake_verdict v;

	do {
		size_t n = total - at < most ? total - at : most;
		uint8_t *hs = p + DTLS_RECORD_HEADER;

		put_header(h, p, DTLS_HANDSHAKE, version, DTLS_HANDSHAKE_HEADER + n);
		memcpy(hs, msg, DTLS_HANDSHAKE_HEADER);
		wire_put24(hs + 6, (uint32_t)at);
		wire_put24(hs + 9, (uint32_t)n);
		memcpy(hs + DTLS_HANDSHAKE_HEADER, msg + DTLS_HANDSHAKE_HEADER + at, n);
		at += n;
		v = feed(h, p, DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + n);
	} while (v == HANDSHAKE_GOING && at < total);
	return v;
}

/*
 * The type that the client's message number k after its ClientHello must have in a full handshake
 * (RFC 5246 7.3); -1: there is none. Anything else would make GnuTLS give up, and anyone can forge it.
 */
static int type_due(const struct handshake *h, unsigned k)
{
	if (k == 0)
		return DTLS_CLIENT_HELLO;
	if (flight_has_ccs(h->out)) /* a resumption: only its Finished is missing */
		return -1;
	if (!h->cert_requested)
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

static void note_message(struct handshake *h, const uint8_t *msg, size_t len)
{
	switch (msg[0]) {
	case DTLS_CERTIFICATE:
		h->cert_given = len > DTLS_HANDSHAKE_HEADER + 3; /* an empty list is three bytes */
		break;
	case DTLS_CLIENT_KEY_EXCHANGE:
		h->key_exchanged = true;
		break;
	case DTLS_CERTIFICATE_VERIFY:
		h->cert_verified = true;
		break;
	default:
		break;
	}
}

/* All of the client's messages before its ChangeCipherSpec have been fed. */
static bool ccs_due(const struct handshake *h)
{
	if (h->key_exchanged)
		return !h->cert_given || h->cert_verified;
	return flight_has_ccs(h->out); /* resumption: our Finished went first */
}

/* The first Finished that waits, out of the list; NULL: none. */
static struct early *take_finished(struct handshake *h)
{
	struct early **at = &h->early, *e;

	while ((e = *at) && e->data[0] != DTLS_HANDSHAKE)
		at = &e->next;
	if (!e)
		return NULL;
	*at = e->next;
	if (!e->next)
		h->early_last = at;
	h->early_finished--;
	return e;
}

/* Finished messages that waited: GnuTLS drops those that are not authentic. */
static enum handshake_verdict feed_early_finished(struct handshake *h)
{
	enum handshake_verdict v = HANDSHAKE_GOING;
	struct early *e;

	while (v == HANDSHAKE_GOING && (e = take_finished(h))) {
		h->finished_seq = wire_get48(e->data + 5);
		v = feed(h, e->data, e->len);
		h->finished_bad = v == HANDSHAKE_GOING;
		free(e);
	}
	return v;
}

static enum handshake_verdict proceed(struct handshake *h)
{
	enum handshake_verdict v = HANDSHAKE_GOING;
	const uint8_t *msg;
	size_t len;

	while (v == HANDSHAKE_GOING && (msg = reassembly_next(h->in, &len))) {
		h->answered = true;
		h->grace = 0;
		h->peer_alerted = false;
		note_message(h, msg, len);
		v = feed_message(h, msg, len);
		reassembly_pop(h->in);
	}
	if (v == HANDSHAKE_GOING && h->ccs_seen && !h->ccs_fed && ccs_due(h)) {
		uint8_t *p = h->env->scratch;

		h->ccs_fed = true;
		put_header(h, p, DTLS_CHANGE_CIPHER_SPEC, DTLS_VERSION_1_2, 1);
		p[DTLS_RECORD_HEADER] = 1;
		v = feed(h, p, DTLS_RECORD_HEADER + 1);
	}
	if (v == HANDSHAKE_GOING && h->ccs_fed) {
		v = feed_early_finished(h);
		/* only with a PSK can an honest peer have the wrong key */
		if (v == HANDSHAKE_GOING && h->finished_bad && !h->grace && by_psk(h))
			h->grace = h->env->now + FINISHED_GRACE_MS;
	}
	return v;
}

/* The peer repeats the end of its last flight: ours was lost (RFC 6347 4.2.4, figure 3). */
static void peer_repeats(struct handshake *h, const struct handshake_fragment *f)
{
	bool last = f->offset + f->fragment_length == f->length &&
		    (uint16_t)(f->message_seq + 1) == reassembly_expected(h->in);

	if (f->type == DTLS_CLIENT_HELLO)
		metric_inc(h->env->metrics, METRIC_hello_repeated);
	if (last && !h->answered && !flight_empty(h->out) && h->env->now - h->sent_at >= RESEND_ASKED_MS) {
		uint64_t due = h->resend_at;

		resend_flight(h);
		/* what the peer asks for comes beside what we send unasked, not in its place */
		h->resend_at = due;
	}
}

static enum handshake_verdict on_handshake(struct handshake *h, const struct record *r)
{
	struct handshake_fragment f;
	size_t at = 0;
	int more;

	while ((more = classify_handshake(r->body, r->length, &at, &f)) > 0) {
		unsigned k = (uint16_t)(f.message_seq - h->first_message);

		if (type_due(h, k) != f.type) {
			metric_inc(h->env->metrics, METRIC_drop_unexpected);
			continue;
		}
		if (k == 0)
			h->hello_version = r->version;
		switch (reassembly_add(h->in, &f)) {
		case REASSEMBLY_DUPLICATE:
			peer_repeats(h, &f);
			break;
		case REASSEMBLY_TOO_LARGE:
			metric_inc(h->env->metrics, METRIC_drop_too_large);
			if (f.length > REASSEMBLY_MESSAGE_MAX)
				log_limited(LOG_NOTICE_, &h->node.flow,
					    "a handshake message claims %u bytes, more than the %u accepted: dropped",
					    f.length, REASSEMBLY_MESSAGE_MAX);
			break;
		case REASSEMBLY_TOO_FAR:
		case REASSEMBLY_MISMATCH:
			metric_inc(h->env->metrics, METRIC_drop_unexpected);
			break;
		case REASSEMBLY_MEMORY:
			metric_inc(h->env->metrics, METRIC_limited_memory);
			break;
		case REASSEMBLY_STORED:
			break;
		}
	}
	if (more < 0)
		metric_inc(h->env->metrics, METRIC_drop_malformed);
	return proceed(h);
}

/* Is there room to hold the record? Nobody knows who sent it, so it must not keep the Finished out. */
static bool may_hold(struct handshake *h, const struct record *r)
{
	if (r->type == DTLS_HANDSHAKE) {
		if (r->length > FINISHED_MOST)
			return false;
		if (h->early_finished == EARLY_FINISHED)
			free(take_finished(h));
		return true;
	}
	return r->type != DTLS_CHANGE_CIPHER_SPEC && h->early_count < EARLY_RECORDS &&
	       h->early_bytes + DTLS_RECORD_HEADER + r->length <= EARLY_BYTES;
}

/* Epoch 1 before there are keys: the Finished, and data that overtook it. Held as a whole record. */
static void hold(struct handshake *h, const struct record *r)
{
	size_t len = DTLS_RECORD_HEADER + r->length;
	struct early *e;

	if (!may_hold(h, r)) {
		metric_inc(h->env->metrics, METRIC_drop_unexpected);
		return;
	}
	e = malloc(sizeof(*e) + len);
	if (!e) {
		metric_inc(h->env->metrics, METRIC_limited_memory);
		return;
	}
	e->next = NULL;
	e->len = len;
	memcpy(e->data, r->header, len);
	*h->early_last = e;
	h->early_last = &e->next;
	if (r->type == DTLS_HANDSHAKE) {
		h->early_finished++;
	} else {
		h->early_count++;
		h->early_bytes += len;
	}
}

static enum handshake_verdict on_alert(struct handshake *h, const struct record *r)
{
	if (r->body[0] != DTLS_ALERT_FATAL && r->body[1] != DTLS_ALERT_CLOSE_NOTIFY)
		return HANDSHAKE_GOING;
	/* believed only if nothing better comes: RFC 6347 4.1.2.7 */
	h->peer_alert = r->body[1];
	h->peer_alerted = true;
	h->grace = h->env->now + ALERT_GRACE_MS;
	return HANDSHAKE_GOING;
}

enum handshake_verdict handshake_record(struct handshake *h, const struct record *r)
{
	switch (r->kind) {
	case RECORD_HELLO:
	case RECORD_HELLO_TAIL:
	case RECORD_HANDSHAKE:
		return on_handshake(h, r);
	case RECORD_CCS:
		h->ccs_seen = true;
		return proceed(h);
	case RECORD_ALERT:
		return on_alert(h, r);
	case RECORD_PROTECTED:
		if (r->epoch != 1 || r->length == 0 || r->version != DTLS_VERSION_1_2)
			break;
		hold(h, r);
		if (r->type != DTLS_HANDSHAKE)
			return HANDSHAKE_GOING;
		/* who protects has changed its cipher spec, though the record that says so may be lost */
		h->ccs_seen = true;
		return proceed(h);
	default:
		break;
	}
	metric_inc(h->env->metrics, METRIC_drop_unexpected);
	return HANDSHAKE_GOING;
}

enum handshake_verdict handshake_tick(struct handshake *h)
{
	uint64_t now = h->env->now;
	size_t mtu = h->mtu;
	bool asked = !h->mtu_told && now - h->sent_at < RESEND_ASKED_MS; /* it left just now, at the peer's wish */

	if (now >= h->deadline || (h->grace && now >= h->grace))
		return give_up(h);
	if (!h->resend_at || now < h->resend_at)
		return HANDSHAKE_GOING;
	if (!h->mtu_told) {
		h->resends++;
		/*
		 * RFC 6347 4.1.1.1: when resending does not help, the flight may be too large for the path. The
		 * last step comes late: hardly a path is that narrow, and more datagrams lose more.
		 */
		if (h->resends == 2 || h->resends == 5)
			h->mtu = mtu_below(h->mtu);
		h->resend_ms = h->resend_ms * 2 < RESEND_MOST_MS ? h->resend_ms * 2 : RESEND_MOST_MS;
	}
	if (asked && h->mtu == mtu)
		h->resend_at = now + h->resend_ms;
	else
		resend_flight(h);
	return HANDSHAKE_GOING;
}

/* ---- the keys ---- */

bool handshake_finish(struct handshake *h, struct handshake_result *out)
{
	enum record_cipher c = record_cipher_from_gnutls((int)gnutls_cipher_get(h->session));
	struct record_direction in, outgoing;
	uint64_t read_seq, write_seq;

	memset(out, 0, sizeof(*out));
	if (c == RECORD_CIPHER_NONE || !keys_take(h->session, true, c, &in, &read_seq) ||
	    !keys_take(h->session, false, c, &outgoing, &write_seq)) {
		fail_gnutls(h, GNUTLS_E_NO_CIPHER_SUITES);
		return false;
	}
	/*
	 * GnuTLS does not export its replay window. All that it has taken in epoch 1 is the Finished, so
	 * everything else is new, also data that was sent before a Finished that had to be sent again.
	 */
	read_seq = (read_seq & ~DTLS_SEQ_MAX) | ((h->finished_seq + 1) & DTLS_SEQ_MAX);
	record_init(&out->record, c, &in, read_seq, &outgoing, write_seq);
	out->record.read_window = 1;
	gnutls_memset(&in, 0, sizeof(in));
	gnutls_memset(&outgoing, 0, sizeof(outgoing));
	out->identity = tls_identity(h->session);
	out->resumed = gnutls_session_is_resumed(h->session) != 0;
	out->kx = gnutls_kx_get_name(gnutls_kx_get(h->session));
	out->mtu = h->mtu;
	metric_inc(h->env->metrics, METRIC_handshake_done);
	if (out->resumed)
		metric_inc(h->env->metrics, METRIC_handshake_resumed);
	return true;
}

struct flight *handshake_take_final(struct handshake *h)
{
	struct flight *final = h->out;

	/* in a resumption the client's Finished is the last, and it has come */
	if (gnutls_session_is_resumed(h->session))
		return NULL;
	h->out = NULL;
	return final;
}

void handshake_refuse(struct handshake *h)
{
	gnutls_alert_send(h->session, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
	send_flight(h);
}

void handshake_early(struct handshake *h, void (*each)(void *ctx, uint8_t *data, size_t len), void *ctx)
{
	struct early *e;

	while ((e = h->early)) {
		h->early = e->next;
		each(ctx, e->data, e->len);
		free(e);
	}
	h->early_last = &h->early;
	h->early_count = h->early_finished = 0;
	h->early_bytes = 0;
}
