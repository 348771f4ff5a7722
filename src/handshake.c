/* SPDX-License-Identifier: BSD-2-Clause */
#include "handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeder.h"
#include "intake.h"
#include "keys.h"
#include "log.h"
#include "metrics.h"
#include "reassembly.h"
#include "retransmit.h"
#include "service.h"
#include "steps.h"
#include "txq.h"
#include "wire.h"

#define ALERT_GRACE_MS 2000    /* an alert in the clear is a hint, not a verdict: anyone can forge it */
#define FINISHED_GRACE_MS 500  /* the same for a Finished that does not open */
#define KEY_MS 5000            /* a program has so long to say a client's key */
#define KEY_AGAIN_MS 500       /* in which it is asked again: psk_ask.h says when that means a question */

struct handshake {
	struct table_node node;
	struct timer timer;
	struct place half_open;
	struct place line;      /* where it waits for an expensive step */
	uint64_t waits_since;
	struct place asking;    /* where it waits for its client's key */
	uint64_t asks_since, asks_again; /* 0: nobody was asked yet */
	struct psk_key key;
	bool admitted_now;      /* its beginning was counted as a step: a whole hello needs no other */
	struct env *env;
	uint32_t listener;
	struct tls *tls;
	gnutls_session_t session;
	gnutls_x509_crt_t leaf; /* the client's certificate, once it is done; NULL: none */
	struct tls_report report;
	uint8_t random[DTLS_RANDOM_SIZE];
	uint64_t before;

	struct intake in;
	struct feeder feeder;
	uint16_t hello_version;
	uint64_t finished_seq;  /* record sequence of the last Finished fed */
	bool finished_bad;      /* it did not open */

	struct retransmit out;

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

struct place *handshake_place(struct handshake *h)
{
	return &h->half_open;
}

struct handshake *handshake_of_place(struct place *p)
{
	return (struct handshake *)(void *)((char *)p - offsetof(struct handshake, half_open));
}

struct handshake *handshake_in_line(struct place *p)
{
	return (struct handshake *)(void *)((char *)p - offsetof(struct handshake, line));
}

struct handshake *handshake_asking(struct place *p)
{
	return (struct handshake *)(void *)((char *)p - offsetof(struct handshake, asking));
}

bool handshake_half_open(const struct handshake *h)
{
	return intake_given(&h->in) <= 1;
}

uint32_t handshake_listener(const struct handshake *h)
{
	return h->listener;
}

uint64_t handshake_due(const struct handshake *h)
{
	uint64_t due = h->deadline;

	/* its peer has said all that it can: the time is ours */
	if (!place_alone(&h->line))
		return UINT64_MAX;
	if (!place_alone(&h->asking))
		return h->asks_again < due ? h->asks_again : due;
	if (h->grace && h->grace < due)
		due = h->grace;
	if (h->out.due && h->out.due < due)
		due = h->out.due;
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

/* What GnuTLS wants to send becomes a part of our flight, and says what the client is to answer. */
static void said(void *ctx, const uint8_t *data, size_t len)
{
	struct handshake *h = ctx;

	if (len > DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER && data[0] == DTLS_HANDSHAKE &&
	    wire_get16(data + 3) == 0 && data[DTLS_RECORD_HEADER] == DTLS_CERTIFICATE_REQUEST)
		h->in.cert_requested = true;
	retransmit_push(&h->out, data, len);
	h->in.abbreviated = flight_has_ccs(h->out.flight);
}

/* ---- beginning and end ---- */

struct handshake *handshake_new(struct env *env, const struct flow *flow, uint32_t listener,
				const struct hello *hello, gnutls_dtls_prestate_st *prestate)
{
	const struct service_config *service = &env->services[listener]->config;
	struct handshake *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return NULL;
	h->node.flow = *flow;
	place_init(&h->half_open);
	place_init(&h->line);
	place_init(&h->asking);
	h->env = env;
	h->listener = listener;
	h->tls = tls_ref(service->tls);
	memcpy(h->random, hello->random, DTLS_RANDOM_SIZE);
	h->hello_version = DTLS_VERSION_1_2;
	h->admitted_now = true;
	h->deadline = env->now + service->handshake_timeout_ms;
	/* both, so that there are both to be freed */
	err = intake_init(&h->in, hello->message_seq);
	if (retransmit_init(&h->out, hello->record_seq, service->mtu) < 0 || err < 0)
		goto fail;
	err = tls_session_new(h->tls, &h->report, &h->session);
	if (err < 0) {
		log_limited(LOG_ERROR_, flow, "cannot begin a handshake: %s", gnutls_strerror(err));
		h->session = NULL;
		goto fail;
	}
	h->feeder = (struct feeder){ .session = h->session, .scratch = env->scratch,
				     .seq = hello->record_seq & 0xffffffff, .said = said, .ctx = h };
	feeder_attach(&h->feeder);
	gnutls_dtls_prestate_set(h->session, prestate);
	return h;
fail:
	handshake_free(h);
	return NULL;
}

void handshake_free(struct handshake *h)
{
	if (h->leaf)
		gnutls_x509_crt_deinit(h->leaf);
	if (h->session)
		gnutls_deinit(h->session);
	place_leave(&h->line);
	place_leave(&h->asking);
	intake_destroy(&h->in);
	retransmit_destroy(&h->out);
	tls_unref(h->tls);
	explicit_bzero(&h->key, sizeof(h->key));
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
	retransmit_send(&h->out, h->env->now, send_datagram, h);
}

static void resend_flight(struct handshake *h, bool asked)
{
	metric_inc(h->env->metrics, METRIC_flight_resent);
	keys_reseal(h->session, h->out.flight, RECORD_CIPHER_NONE, h->env->cache, h->env->scratch);
	retransmit_again(&h->out, asked, h->env->now, send_datagram, h);
}

void handshake_too_large(struct handshake *h, size_t mtu)
{
	retransmit_too_large(&h->out, mtu, h->env->now);
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
	char text[400];

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
		gnutls_alert_description_t alert = (gnutls_alert_description_t)h->peer_alert;
		const char *name = gnutls_alert_get_name(alert);

		snprintf(text, sizeof(text), "the peer refused us with alert %u (%s)%s", h->peer_alert,
			 name ? name : "unknown", tls_alert_advice(alert));
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
	if (flight_empty(h->out.flight))
		return fail(h, FAIL_TIMEOUT, "timed out: the rest of the ClientHello did not come");
	snprintf(text, sizeof(text),
		 "timed out: no %s from the peer after %u resends down to %zu bytes a datagram",
		 h->out.answered ? "end of the last flight" : "answer", h->out.resends, h->out.mtu);
	return fail(h, FAIL_TIMEOUT, text);
}

/* ---- what GnuTLS is fed with ---- */

/* What became of the handshake when GnuTLS was fed and gave this code. */
static enum handshake_verdict conclude(struct handshake *h, int err)
{
	if (h->out.lost)
		return fail_too_large(h, "out of memory or the server's own flight is too large: shorten its certificate chain");
	if (err < 0 && gnutls_error_is_fatal(err))
		return fail_gnutls(h, err);
	if (h->out.unsent)
		send_flight(h);
	return err == GNUTLS_E_SUCCESS ? HANDSHAKE_DONE : HANDSHAKE_GOING;
}

/* Perhaps a Finished: GnuTLS drops those that are not authentic. */
static enum handshake_verdict feed_protected(struct handshake *h, const uint8_t *record, size_t len)
{
	enum handshake_verdict v;

	h->finished_seq = wire_get48(record + 5);
	v = conclude(h, feeder_record(&h->feeder, record, len));
	h->finished_bad = v == HANDSHAKE_GOING;
	return v;
}

static enum handshake_verdict feed_message(struct handshake *h, const uint8_t *msg, size_t len)
{
	bool hello = msg[0] == DTLS_CLIENT_HELLO;
	enum handshake_verdict v;

	h->report.hello = hello ? msg + DTLS_HANDSHAKE_HEADER : NULL;
	h->report.hello_len = len - DTLS_HANDSHAKE_HEADER;
	v = conclude(h, feeder_message(&h->feeder, msg, len, hello ? h->hello_version : DTLS_VERSION_1_2));
	h->report.hello = NULL;
	return v;
}

static enum handshake_verdict feed_next(struct handshake *h, enum intake_kind kind, const uint8_t *data,
					size_t len)
{
	switch (kind) {
	case INTAKE_MESSAGE:
		return feed_message(h, data, len);
	case INTAKE_CCS:
		return conclude(h, feeder_ccs(&h->feeder));
	case INTAKE_PROTECTED:
		return feed_protected(h, data, len);
	case INTAKE_NOTHING:
		break;
	}
	return HANDSHAKE_GOING;
}

/* The peer has gone on: what spoke for its being gone did not mean it. */
static void answered(struct handshake *h)
{
	h->out.answered = true;
	h->grace = 0;
	h->peer_alerted = false;
}

/* ---- a key that a program knows ---- */

static enum handshake_verdict fail_unanswered(struct handshake *h, const char *why)
{
	char text[UNIX_NAME_MOST + 100];

	metric_inc(h->env->metrics, METRIC_psk_unanswered);
	gnutls_alert_send(h->session, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
	send_flight(h);
	snprintf(text, sizeof(text), "the client's key is not known: %s at the psk-socket %s", why,
		 tls_psk(h->tls)->source.at.path);
	return fail(h, FAIL_PSK, text);
}

static enum handshake_verdict wait_for_key(struct handshake *h)
{
	if (h->env->now - h->asks_since >= KEY_MS) {
		place_leave(&h->asking);
		return fail_unanswered(h, "no answer came in 5 seconds");
	}
	h->asks_again = h->env->now + KEY_AGAIN_MS;
	return HANDSHAKE_GOING;
}

/* Of a client whose key only a program knows. False: it is not there (yet), and v is what comes of that. */
static bool has_key(struct handshake *h, const uint8_t *msg, size_t len, enum handshake_verdict *v)
{
	const struct tls_psk *psk = tls_psk(h->tls);
	enum psk_answer answer = PSK_ANSWER_DOWN;
	const uint8_t *identity;
	size_t identity_len;

	if (msg[0] != DTLS_CLIENT_KEY_EXCHANGE || h->report.psk_key || !by_psk(h) ||
	    !tls_psk_asks(psk, msg + DTLS_HANDSHAKE_HEADER, len - DTLS_HANDSHAKE_HEADER, &identity, &identity_len))
		return true;
	answered(h);
	if (!h->asks_since)
		h->asks_since = h->env->now;
	if (h->env->asks)
		answer = psk_ask(h->env->asks, &psk->source, identity, identity_len, &h->asking, &h->key);
	if (answer == PSK_ANSWER_WAIT)
		*v = wait_for_key(h);
	else if (answer == PSK_ANSWER_DOWN)
		*v = fail_unanswered(h, "nobody is there");
	else
		h->report.psk_key = &h->key;
	return h->report.psk_key != NULL;
}

/* Does the message take public-key operations? */
static bool is_expensive(const struct handshake *h, const uint8_t *msg, size_t len)
{
	switch (msg[0]) {
	case DTLS_CLIENT_HELLO:
		return !h->admitted_now;
	case DTLS_CERTIFICATE:
		return len > DTLS_HANDSHAKE_HEADER + 3; /* an empty list is three bytes */
	case DTLS_CLIENT_KEY_EXCHANGE:
		return gnutls_kx_get(h->session) != GNUTLS_KX_PSK;
	default:
		return msg[0] == DTLS_CERTIFICATE_VERIFY;
	}
}

/* False: the message stays where it is until there is a step for it. */
static bool may_feed(struct handshake *h, const uint8_t *msg, size_t len)
{
	bool waited = !place_alone(&h->line);

	if (!waited)
		answered(h);
	if (!is_expensive(h, msg, len) || steps_take(h->env->steps, &h->line))
		return true;
	if (!waited) {
		h->waits_since = h->env->now;
		metric_inc(h->env->metrics, METRIC_handshake_queued);
	}
	return false;
}

/* The time that it waited for us is not the peer's. */
static void leave_line(struct handshake *h)
{
	uint64_t waited = h->env->now - h->waits_since;

	if (place_alone(&h->line))
		return;
	place_leave(&h->line);
	h->deadline += waited;
	if (h->grace)
		h->grace += waited;
	if (h->out.due)
		h->out.due += waited;
}

enum handshake_verdict handshake_proceed(struct handshake *h)
{
	enum handshake_verdict v = HANDSHAKE_GOING;
	enum intake_kind kind;
	const uint8_t *data;
	size_t len;

	while (v == HANDSHAKE_GOING && (kind = intake_next(&h->in, &data, &len)) != INTAKE_NOTHING) {
		if (kind == INTAKE_MESSAGE && (!has_key(h, data, len, &v) || !may_feed(h, data, len)))
			return v;
		v = feed_next(h, kind, data, len);
		intake_pop(&h->in);
	}
	leave_line(h);
	h->admitted_now = false;
	/* only with a PSK can an honest peer have the wrong key */
	if (v == HANDSHAKE_GOING && h->finished_bad && !h->grace && by_psk(h))
		h->grace = h->env->now + FINISHED_GRACE_MS;
	return v;
}

/* ---- in ---- */

/* What could not be taken in is dropped. */
static void count_dropped(struct handshake *h, enum intake_verdict v)
{
	switch (v) {
	case INTAKE_TOO_LARGE:
		metric_inc(h->env->metrics, METRIC_drop_too_large);
		break;
	case INTAKE_UNEXPECTED:
		metric_inc(h->env->metrics, METRIC_drop_unexpected);
		break;
	case INTAKE_MEMORY:
		metric_inc(h->env->metrics, METRIC_limited_memory);
		break;
	case INTAKE_KEPT:
	case INTAKE_DUPLICATE:
	case INTAKE_DUPLICATE_END:
		break;
	}
}

static void on_fragment(struct handshake *h, const struct handshake_fragment *f)
{
	enum intake_verdict v = intake_fragment(&h->in, f);

	count_dropped(h, v);
	if (v == INTAKE_TOO_LARGE && f->length > REASSEMBLY_MESSAGE_MAX)
		log_limited(LOG_NOTICE_, &h->node.flow,
			    "a handshake message claims %u bytes, more than the %u accepted: dropped", f->length,
			    REASSEMBLY_MESSAGE_MAX);
	if ((v == INTAKE_DUPLICATE || v == INTAKE_DUPLICATE_END) && f->type == DTLS_CLIENT_HELLO)
		metric_inc(h->env->metrics, METRIC_hello_repeated);
	if (v == INTAKE_DUPLICATE_END && retransmit_asked(&h->out, h->env->now))
		resend_flight(h, true);
}

static enum handshake_verdict on_handshake(struct handshake *h, const struct record *r)
{
	struct handshake_fragment f;
	size_t at = 0;
	int more;

	while ((more = classify_handshake(r->body, r->length, &at, &f)) > 0) {
		if (f.type == DTLS_CLIENT_HELLO && f.message_seq == h->in.first)
			h->hello_version = r->version;
		on_fragment(h, &f);
	}
	if (more < 0)
		metric_inc(h->env->metrics, METRIC_drop_malformed);
	return handshake_proceed(h);
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
		intake_ccs(&h->in);
		return handshake_proceed(h);
	case RECORD_ALERT:
		return on_alert(h, r);
	case RECORD_PROTECTED:
		if (r->epoch != 1 || r->length == 0 || r->version != DTLS_VERSION_1_2)
			break;
		count_dropped(h, intake_protected(&h->in, r));
		return handshake_proceed(h);
	default:
		break;
	}
	metric_inc(h->env->metrics, METRIC_drop_unexpected);
	return HANDSHAKE_GOING;
}

enum handshake_verdict handshake_tick(struct handshake *h)
{
	uint64_t now = h->env->now;

	if (now >= h->deadline || (h->grace && now >= h->grace))
		return give_up(h);
	if (!place_alone(&h->asking))
		return handshake_proceed(h);
	if (retransmit_tick(&h->out, now))
		resend_flight(h, false);
	return HANDSHAKE_GOING;
}

/* ---- the keys ---- */

bool handshake_finish(struct handshake *h, struct handshake_result *out)
{
	memset(out, 0, sizeof(*out));
	if (!keys_record(h->session, h->finished_seq, &out->record)) {
		fail_gnutls(h, GNUTLS_E_NO_CIPHER_SUITES);
		return false;
	}
	h->leaf = tls_peer_leaf(h->session);
	out->identity = tls_identity(h->session, h->leaf);
	out->tls = h->tls;
	tls_grant_take(tls_grants(h->tls), h->session, h->report.psk_key, &out->grant);
	tls_about_alpn(h->session, out->alpn);
	out->resumed = gnutls_session_is_resumed(h->session) != 0;
	out->kx = gnutls_kx_get_name(gnutls_kx_get(h->session));
	out->mtu = h->out.mtu;
	return true;
}

void handshake_about(const struct handshake *h, struct tls_about *out)
{
	tls_about(h->session, h->leaf, out);
}

void handshake_names(const struct handshake *h, struct tls_names *out)
{
	tls_names(h->session, h->leaf, out);
}

struct flight *handshake_take_final(struct handshake *h)
{
	struct flight *final = h->out.flight;

	/* in a resumption the client's Finished is the last, and it has come */
	if (gnutls_session_is_resumed(h->session))
		return NULL;
	h->out.flight = NULL;
	return final;
}

void handshake_refuse(struct handshake *h)
{
	gnutls_alert_send(h->session, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
	send_flight(h);
	metric_inc(h->env->metrics, METRIC_handshake_failed);
}

void handshake_early(struct handshake *h, void (*each)(void *ctx, uint8_t *data, size_t len), void *ctx)
{
	intake_rest(&h->in, each, ctx);
}
