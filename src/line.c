/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "dial.h"
#include "log.h"
#include "metrics.h"
#include "uplink.h"
#include "wire.h"

#define ASK_AGAIN_MS 200  /* the least time between two answers to something that could be a replay */
#define HINT_MS 5000      /* from its beginning, and from alert to alert, until one in the clear is heeded */
#define TURNED_AWAY_MS 5000 /* a session that is ended so soon, and without a word, was not wanted */
#define SEQ_RESERVE 1024  /* RFC 6347 4.1: sequence numbers must not wrap */
#define FINAL_MS 240000   /* how long the server may ask for our final flight: twice the MSL (RFC 6347 4.2.4) */

struct line {
	struct upstream_socket socket; /* first */
	struct env *env;
	struct line_owner owner;
	struct service *service;       /* a reference: as it was when this was opened, and may be no more */
	unsigned backend;
	enum line_state state;
	int refused;                   /* the error number that the server's host answered with; 0: none */
	struct dial *dial;             /* while LINE_DIALING */
	uint64_t began_at, opened_at, answered_at, hinted_at;
	bool heard;                    /* data came over it */
	unsigned offered;              /* the number of the session to resume */
	unsigned forgetful, newest;    /* of the uplink, when the server knew this session */
	uint64_t final_until;
	struct flight *final;          /* ours, while the server may ask for it again */
	size_t mtu;
	struct record_state record;    /* from LINE_OPEN on */
};

static const struct backend_addr *server_of(const struct line *l)
{
	return backends_addr(l->service->config.forward.backends, l->backend);
}

static struct uplink *uplink_of(const struct line *l)
{
	return l->service->config.uplink;
}

static void end_dial(struct line *l)
{
	dial_free(l->dial);
	l->dial = NULL;
}

/* ---- out ---- */

static int send_datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct line *l = ctx;

	upstream_send(l->env->upstream, &l->socket, NULL, 0, data, len);
	return 0;
}

static int send_record(struct line *l, uint8_t type, const void *data, size_t len)
{
	ssize_t n = record_protect(&l->record, l->env->cache, type, data, len, l->env->scratch, ENV_SCRATCH);

	if (n < 0)
		return (int)n;
	upstream_send(l->env->upstream, &l->socket, NULL, 0, l->env->scratch, (size_t)n);
	return 0;
}

static void say_goodbye(struct line *l)
{
	static const uint8_t alert[2] = { DTLS_ALERT_WARNING, DTLS_ALERT_CLOSE_NOTIFY };

	if (l->state == LINE_OPEN || l->state == LINE_REFUSED)
		(void)send_record(l, DTLS_ALERT, alert, sizeof(alert));
}

int line_send(struct line *l, const void *data, size_t len)
{
	if (l->state != LINE_OPEN && l->state != LINE_REFUSED)
		return -ECONNRESET;
	if ((l->record.write_seq & DTLS_SEQ_MAX) >= DTLS_SEQ_MAX - SEQ_RESERVE) {
		say_goodbye(l);
		l->state = LINE_OVER;
		return -ECONNRESET;
	}
	return send_record(l, DTLS_APPLICATION_DATA, data, len);
}

/* ---- the handshake ---- */

static void fail(struct line *l, const char *why)
{
	bool answered = dial_answered(l->dial);
	char text[BACKEND_TEXT_MAX];

	metric_inc(l->env->metrics, METRIC_connect_failed);
	if (dial_timed_out(l->dial))
		metric_inc(l->env->metrics, METRIC_connect_timeout);
	log_limited(LOG_WARNING_, NULL, "service %s: no session with %s: %s", l->service->config.name,
		    backend_format(server_of(l), text), why);
	end_dial(l);
	uplink_failed(uplink_of(l), &server_of(l)->addr, answered ? UPLINK_ANSWERED : UPLINK_SILENT, l->began_at,
		      l->env->now);
	l->state = LINE_OVER;
}

/* The server knows this session now. */
static void note_known(struct line *l)
{
	l->forgetful = uplink_forgetful(uplink_of(l));
	l->newest = uplink_newest(uplink_of(l), &server_of(l)->addr);
}

static void finish(struct line *l)
{
	char text[BACKEND_TEXT_MAX];
	struct dial_result r;

	if (!dial_finish(l->dial, &r)) {
		fail(l, dial_why(l->dial));
		return;
	}
	end_dial(l);
	if (uplink_dialed(uplink_of(l), &server_of(l)->addr, l->offered, &r.saved, r.resumed, l->env->now))
		log_limited(LOG_NOTICE_, NULL, "service %s: %s answers again", l->service->config.name,
			    backend_format(server_of(l), text));
	uplink_forget(&r.saved);
	l->record = r.record;
	explicit_bzero(&r.record, sizeof(r.record));
	l->final = r.final;
	l->final_until = l->env->now + FINAL_MS;
	l->mtu = r.mtu;
	l->state = LINE_OPEN;
	l->opened_at = l->hinted_at = l->env->now;
	note_known(l);
	metric_inc(l->env->metrics, METRIC_connect_done);
	if (r.resumed)
		metric_inc(l->env->metrics, METRIC_connect_resumed);
}

static void settle(struct line *l, enum dial_verdict v)
{
	switch (v) {
	case DIAL_GOING:
		break;
	case DIAL_DONE:
		finish(l);
		break;
	case DIAL_FAILED:
		fail(l, dial_why(l->dial));
		break;
	}
}

/* ---- in ---- */

static void forget_final(struct line *l)
{
	flight_free(l->final);
	l->final = NULL;
}

/* The server repeats its Finished: ours, in a resumption the last of all, was lost. */
static void resend_final(struct line *l)
{
	if (!l->final || l->env->now - l->answered_at < ASK_AGAIN_MS)
		return;
	l->answered_at = l->env->now;
	metric_inc(l->env->metrics, METRIC_final_flight_resent);
	flight_rewind(l->final);
	flight_send(l->final, l->mtu, send_datagram, l);
}

/* By a server that takes part in handshakes and lets nobody in, with each datagram of each local peer otherwise. */
static void note_turned_away(struct line *l)
{
	char text[BACKEND_TEXT_MAX];

	if (l->heard || l->env->now - l->opened_at >= TURNED_AWAY_MS)
		return;
	log_limited(LOG_WARNING_, NULL, "service %s: %s ends sessions as soon as they are made: its log "
		    "should say why; it may not let this client in, or have no place", l->service->config.name,
		    backend_format(server_of(l), text));
	uplink_turned_away(uplink_of(l), &server_of(l)->addr, l->began_at, l->env->now);
}

static void on_alert(struct line *l, const uint8_t *data, size_t len)
{
	if (len != 2) {
		metric_inc(l->env->metrics, METRIC_drop_malformed);
		return;
	}
	if (data[0] != DTLS_ALERT_FATAL && data[1] != DTLS_ALERT_CLOSE_NOTIFY)
		return;
	metric_inc(l->env->metrics, METRIC_connect_closed_peer);
	note_turned_away(l);
	if (data[1] == DTLS_ALERT_CLOSE_NOTIFY)
		say_goodbye(l);
	else
		log_limited(LOG_INFO_, NULL, "service %s: the server ended a session with fatal alert %u",
			    l->service->config.name, data[1]);
	l->state = LINE_OVER;
}

/* It may come again byte for byte, which the replay window would swallow. */
static bool finished_again(struct line *l, const struct record *r)
{
	ssize_t len;

	if (r->type != DTLS_HANDSHAKE || !l->final || r->length > ENV_SCRATCH)
		return false;
	len = record_peek(&l->record, l->env->cache, r, l->env->scratch);
	return len >= DTLS_HANDSHAKE_HEADER && l->env->scratch[0] == DTLS_FINISHED;
}

static void refuse(struct line *l, const struct record *r, ssize_t err)
{
	switch (err) {
	case -EALREADY:
		if (finished_again(l, r))
			resend_final(l);
		else
			metric_inc(l->env->metrics, METRIC_drop_replay);
		break;
	case -EMSGSIZE:
		metric_inc(l->env->metrics, METRIC_drop_too_large);
		break;
	case -ENOMEM:
		metric_inc(l->env->metrics, METRIC_limited_memory);
		break;
	default:
		metric_inc(l->env->metrics, METRIC_drop_bad_mac);
	}
}

static void on_protected(struct line *l, const struct record *r)
{
	uint8_t *plain;
	ssize_t len = record_unprotect(&l->record, l->env->cache, r, &plain, NULL);

	if (len < 0) {
		refuse(l, r, len);
		return;
	}
	l->state = LINE_OPEN; /* who refused is back, or it was forged */
	if (l->forgetful != uplink_forgetful(uplink_of(l)))
		note_known(l);
	switch (r->type) {
	case DTLS_APPLICATION_DATA:
		if (l->final) /* it has our Finished, or it would not send data */
			forget_final(l);
		l->heard = true;
		l->owner.data(l->owner.ctx, plain, (size_t)len);
		break;
	case DTLS_ALERT:
		on_alert(l, plain, (size_t)len);
		break;
	case DTLS_HANDSHAKE: /* a HelloRequest goes without an answer, which RFC 5246 7.4.1.1 allows */
		if (len >= DTLS_HANDSHAKE_HEADER && plain[0] == DTLS_FINISHED)
			resend_final(l);
		break;
	default:
		metric_inc(l->env->metrics, METRIC_drop_unexpected);
	}
}

/* In the clear: a server that does not know the session any more may say so, and so may anyone. Nothing is ended. */
static void on_hint(struct line *l, const struct record *r)
{
	if (r->body[0] != DTLS_ALERT_FATAL || l->env->now - l->hinted_at < HINT_MS)
		return;
	l->hinted_at = l->env->now;
	l->state = LINE_REFUSED;
}

static void on_record(struct line *l, const struct record *r)
{
	if (l->state == LINE_DIALING)
		settle(l, dial_record(l->dial, r));
	else if (l->state != LINE_OVER && r->kind == RECORD_PROTECTED)
		on_protected(l, r);
	else if (l->state == LINE_OPEN && r->kind == RECORD_ALERT)
		on_hint(l, r);
	/* else what is left of the handshake: the rest of a flight that came twice */
}

static void on_reply(struct upstream_socket *s, uint8_t *data, size_t len)
{
	struct line *l = (struct line *)(void *)s;
	struct record r;
	size_t at = 0;

	for (enum record_kind k; (k = classify_record(data, len, &at, &r)) != RECORD_END;)
		if (k == RECORD_MALFORMED || k == RECORD_TOO_LARGE || k == RECORD_UNKNOWN)
			metric_inc(l->env->metrics, METRIC_drop_malformed);
		else
			on_record(l, &r);
	l->owner.changed(l->owner.ctx, l);
}

static void on_refused(struct upstream_socket *s, int err)
{
	struct line *l = (struct line *)(void *)s;

	l->refused = err;
	if (l->state == LINE_OPEN)
		l->state = LINE_REFUSED;
	l->owner.soon(l->owner.ctx, l);
}

static const struct upstream_owner socket_owner = { .reply = on_reply, .refused = on_refused };

/* ---- time ---- */

uint64_t line_due(const struct line *l)
{
	if (l->state == LINE_OVER)
		return l->env->now; /* for its owner to see */
	if (l->state == LINE_DIALING)
		return l->refused ? l->env->now : dial_due(l->dial);
	return l->final ? l->final_until : UINT64_MAX;
}

static const char *refusal(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return "nothing listens on that UDP port: is it running, and is this its port?";
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
		return "it cannot be reached: check the address, the route and the firewall";
	default:
		return strerror(err);
	}
}

void line_tick(struct line *l)
{
	if (l->state == LINE_DIALING && l->refused)
		fail(l, refusal(l->refused));
	else if (l->state == LINE_DIALING)
		settle(l, dial_tick(l->dial));
	else if (l->final && l->env->now >= l->final_until)
		forget_final(l);
}

/* ---- life ---- */

static int start(struct line *l, const struct line_config *c)
{
	const struct dial_config d = {
		.env = c->env,
		.tls = uplink_tls(uplink_of(l)),
		.saved = &c->offer->saved,
		.timeout_ms = c->service->config.handshake_timeout_ms,
		.mtu = c->service->config.mtu,
		.out = send_datagram,
		.ctx = l,
	};

	l->dial = dial_new(&d);
	if (!l->dial)
		return -ENOMEM;
	settle(l, dial_start(l->dial));
	return 0;
}

static void destroy(struct line *l)
{
	end_dial(l);
	forget_final(l);
	if (l->record.cipher != RECORD_CIPHER_NONE)
		record_wipe(&l->record, l->env->cache);
	service_unref(l->service);
	free(l);
}

static int connect_line(struct line *l, const struct line_config *c)
{
	int err = upstream_open(l->env->upstream, &l->socket, server_of(l), &l->service->config.forward.sources,
				&socket_owner);

	if (err < 0)
		return err;
	err = start(l, c);
	if (err < 0)
		upstream_close(l->env->upstream, &l->socket);
	return err;
}

int line_open(struct line **out, const struct line_config *c)
{
	struct line *l = calloc(1, sizeof(*l));
	int err;

	*out = NULL;
	if (!l)
		return -ENOMEM;
	l->env = c->env;
	l->owner = c->owner;
	l->service = service_ref(c->service);
	l->backend = c->backend;
	l->offered = c->offer->number;
	l->began_at = c->env->now;
	err = connect_line(l, c);
	if (err < 0)
		destroy(l);
	else
		*out = l;
	return err;
}

void line_close(struct line *l)
{
	say_goodbye(l);
	if (l->state == LINE_DIALING)
		uplink_failed(uplink_of(l), &server_of(l)->addr, UPLINK_OURS, l->began_at, l->env->now);
	upstream_close(l->env->upstream, &l->socket);
	destroy(l);
}

enum line_state line_state(const struct line *l)
{
	return l->state;
}

bool line_forgotten(struct line *l)
{
	unsigned forgetful = uplink_forgetful(uplink_of(l));

	if (forgetful == l->forgetful)
		return false;
	if (uplink_has_forgotten(uplink_of(l), &server_of(l)->addr, l->newest))
		return true;
	l->forgetful = forgetful; /* that was another server */
	return false;
}
