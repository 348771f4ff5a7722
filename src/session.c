/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handler.h"
#include "log.h"
#include "metrics.h"
#include "txq.h"
#include "wire.h"

/* Where to stop: room for the alerts that say so (RFC 6347 4.1: sequence numbers must not wrap). */
#define SEQ_RESERVE 1024
/* The least time between two answers to something that a stranger could have recorded and replayed. */
#define ASK_AGAIN_MS 200

static int send_record(struct session *s, uint8_t type, const void *data, size_t len)
{
	size_t size = len + record_overhead(s->record.cipher);
	uint8_t *room = txq_reserve(s->env->txq, size);
	ssize_t n;

	if (!room) {
		metric_inc(s->env->metrics, METRIC_tx_queue_full);
		return -ENOBUFS;
	}
	n = record_protect(&s->record, s->env->cache, type, data, len, room, size);
	if (n < 0)
		return (int)n;
	txq_commit(s->env->txq, &s->node.flow, s->listener, (size_t)n, false);
	return 0;
}

static int send_alert(struct session *s, uint8_t level, uint8_t description)
{
	const uint8_t alert[2] = { level, description };

	return send_record(s, DTLS_ALERT, alert, sizeof(alert));
}

int session_send(struct session *s, const void *data, size_t len)
{
	int err;

	if (s->end != SESSION_LIVE)
		return -ECONNRESET;
	if (len > DTLS_PLAINTEXT_MAX) {
		metric_inc(s->env->metrics, METRIC_send_too_large);
		log_limited(LOG_WARNING_, &s->node.flow,
			    "handler %s: a message of %zu bytes does not fit into a record (%d at most): dropped",
			    s->handler->name, len, DTLS_PLAINTEXT_MAX);
		return -EMSGSIZE;
	}
	if ((s->record.write_seq & DTLS_SEQ_MAX) >= DTLS_SEQ_MAX - SEQ_RESERVE) {
		session_close(s, SESSION_END_SEQ);
		return -ECONNRESET;
	}
	err = send_record(s, DTLS_APPLICATION_DATA, data, len);
	if (err < 0)
		return err;
	s->records_out++;
	s->bytes_out += len;
	metric_inc(s->env->metrics, METRIC_records_out);
	metric_add(s->env->metrics, METRIC_bytes_out, len);
	return 0;
}

void session_close(struct session *s, enum session_end why)
{
	if (s->end != SESSION_LIVE)
		return;
	s->end = (uint8_t)why;
	/* who has a new session cannot read this one any more */
	if (why != SESSION_END_REPLACED)
		send_alert(s, DTLS_ALERT_WARNING, DTLS_ALERT_CLOSE_NOTIFY);
}

static void forget_final(struct session *s)
{
	flight_free(s->final);
	s->final = NULL;
}

static int send_final(void *ctx, const uint8_t *data, size_t len)
{
	struct session *s = ctx;
	uint8_t *room = txq_reserve(s->env->txq, len);

	if (!room) {
		metric_inc(s->env->metrics, METRIC_tx_queue_full);
		return -ENOBUFS;
	}
	memcpy(room, data, len);
	txq_commit(s->env->txq, &s->node.flow, s->listener, len, true);
	return 0;
}

/* The peer's Finished again: our final flight was lost. */
static void resend_final(struct session *s)
{
	if (!s->final || s->env->now - s->resent_at < ASK_AGAIN_MS)
		return;
	s->resent_at = s->env->now;
	metric_inc(s->env->metrics, METRIC_final_flight_resent);
	flight_rewind(s->final);
	flight_send(s->final, s->final_mtu, send_final, s);
}

static void on_data(struct session *s, const uint8_t *data, size_t len)
{
	/* the peer has our Finished, or it would not send data */
	if (s->final)
		forget_final(s);
	s->records_in++;
	s->bytes_in += len;
	metric_inc(s->env->metrics, METRIC_records_in);
	metric_add(s->env->metrics, METRIC_bytes_in, len);
	s->handler->record(s, data, len);
}

static void on_alert(struct session *s, const uint8_t *data, size_t len)
{
	if (len != 2) {
		metric_inc(s->env->metrics, METRIC_drop_malformed);
		return;
	}
	if (data[1] == DTLS_ALERT_CLOSE_NOTIFY) {
		session_close(s, SESSION_END_PEER);
	} else if (data[0] == DTLS_ALERT_FATAL) {
		log_write(LOG_INFO_, &s->node.flow, "the peer ended the session with fatal alert %u", data[1]);
		s->end = SESSION_END_PEER; /* no answer to a fatal alert */
	}
}

static void on_handshake(struct session *s, const uint8_t *data, size_t len)
{
	if (len >= DTLS_HANDSHAKE_HEADER && data[0] == DTLS_FINISHED) {
		resend_final(s);
	} else if (len >= DTLS_HANDSHAKE_HEADER && data[0] == DTLS_CLIENT_HELLO) {
		metric_inc(s->env->metrics, METRIC_renegotiation_refused);
		log_limited(LOG_INFO_, &s->node.flow, "renegotiation refused; the session goes on");
		if (s->env->now - s->resent_at >= ASK_AGAIN_MS) {
			s->resent_at = s->env->now;
			send_alert(s, DTLS_ALERT_WARNING, DTLS_ALERT_NO_RENEGOTIATION);
		}
	} else {
		metric_inc(s->env->metrics, METRIC_drop_unexpected);
	}
}

/* A Finished may come again byte for byte, which the replay window would swallow. */
static bool finished_again(struct session *s, const struct record *r)
{
	ssize_t len;

	if (r->type != DTLS_HANDSHAKE || !s->final || r->length > ENV_SCRATCH)
		return false;
	len = record_peek(&s->record, s->env->cache, r, s->env->scratch);
	if (len < DTLS_HANDSHAKE_HEADER || s->env->scratch[0] != DTLS_FINISHED)
		return false;
	resend_final(s);
	return true;
}

/* rival: a number seen before may belong to the peer's new session, whose numbers begin at 0 */
static bool refuse(struct session *s, const struct record *r, ssize_t err, bool rival)
{
	switch (err) {
	case -EALREADY:
		if (finished_again(s, r))
			return true;
		if (rival)
			return false;
		metric_inc(s->env->metrics, METRIC_drop_replay);
		return true;
	case -EMSGSIZE:
		metric_inc(s->env->metrics, METRIC_drop_too_large);
		return true;
	case -ENOMEM:
		metric_inc(s->env->metrics, METRIC_limited_memory);
		return true;
	default:
		return false;
	}
}

bool session_record(struct session *s, const struct record *r, bool keep)
{
	struct record copy = *r;
	uint8_t *plain;
	ssize_t len;

	if (keep && r->length <= ENV_SCRATCH / 2) {
		/* the upper half of the scratch space: the lower one is for record_peek */
		copy.body = memcpy(s->env->scratch + ENV_SCRATCH / 2, r->body, r->length);
	}
	len = record_unprotect(&s->record, s->env->cache, &copy, &plain, NULL);
	if (len < 0)
		return refuse(s, r, len, keep);
	s->heard_at = s->env->now;
	switch (r->type) {
	case DTLS_APPLICATION_DATA:
		on_data(s, plain, (size_t)len);
		break;
	case DTLS_ALERT:
		on_alert(s, plain, (size_t)len);
		break;
	case DTLS_HANDSHAKE:
		on_handshake(s, plain, (size_t)len);
		break;
	default:
		metric_inc(s->env->metrics, METRIC_drop_unexpected);
		break;
	}
	return true;
}

uint64_t session_due(const struct session *s)
{
	uint64_t due = UINT64_MAX;

	if (s->env->idle_timeout_ms)
		due = s->heard_at + s->env->idle_timeout_ms;
	if (s->final && s->final_until < due)
		due = s->final_until;
	return due;
}

void session_tick(struct session *s)
{
	uint64_t now = s->env->now;

	if (s->final && now >= s->final_until)
		forget_final(s);
	if (s->env->idle_timeout_ms && now >= s->heard_at + s->env->idle_timeout_ms)
		session_close(s, SESSION_END_IDLE);
}

void session_release(struct session *s)
{
	if (s->opened && s->handler->close)
		s->handler->close(s);
	if (s->final)
		forget_final(s);
	free(s->identity);
	s->identity = NULL;
	record_wipe(&s->record, s->env->cache);
}

const struct addr *session_peer(const struct session *s)
{
	return &s->node.flow.peer;
}

const char *session_identity(const struct session *s)
{
	return s->identity;
}

struct env *session_env(const struct session *s)
{
	return s->env;
}

void session_set_state(struct session *s, void *state)
{
	s->state = state;
}

void *session_state(const struct session *s)
{
	return s->state;
}
