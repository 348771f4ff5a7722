/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "metrics.h"
#include "pool.h"
#include "service.h"
#include "txq.h"
#include "wire.h"

/* Where to stop: room for the alerts that say so (RFC 6347 4.1: sequence numbers must not wrap). */
#define SEQ_RESERVE 1024
/* The least time between two answers to something that could be a replay. */
#define ASK_AGAIN_MS 200

/*
 * Sizes that sessions and their final flights are kept in; what would need more is kept apart. In malloc's heap a
 * million final flights would be given back in one long pause.
 */
#define STORE_STEP 16
#define STORE_CLASSES 32
#define STORE_MAX (STORE_STEP * STORE_CLASSES)

static_assert(offsetof(struct session, record) == 176, "struct session has grown");

struct session_store {
	struct pool *pool[STORE_CLASSES]; /* of STORE_STEP * (index + 1) bytes; NULL: nothing was of that size yet */
};

static const struct service_config *service_of(const struct session *s)
{
	return &s->env->services[s->listener]->config;
}

static const struct handler *handler_of(const struct session *s)
{
	return service_handler(service_of(s), s->route);
}

/* ---- time ---- */

static uint32_t heard_units(uint64_t ms)
{
	return (uint32_t)((ms + SESSION_HEARD_MS - 1) / SESSION_HEARD_MS);
}

static void note_heard(struct session *s)
{
	s->heard_at = heard_units(s->env->now);
}

/* When it will have been silent for too long. */
static uint64_t idle_due(const struct session *s)
{
	uint64_t now = heard_units(s->env->now), silent = (uint32_t)(now - s->heard_at);

	return (now - silent) * SESSION_HEARD_MS + service_of(s)->idle_timeout_ms;
}

static uint64_t final_due(const struct session *s)
{
	return (s->opened_at + UINT64_C(1)) * 1000 + (s->end == SESSION_LIVE ? SESSION_FINAL_MS : SESSION_REFUSED_MS);
}

/* What a stranger could have recorded and now replay is answered only so often. */
static bool answer_now(struct session *s)
{
	uint32_t now = (uint32_t)s->env->now;

	if (now - s->answered_at < ASK_AGAIN_MS)
		return false;
	s->answered_at = now;
	return true;
}

uint64_t session_age(const struct session *s)
{
	return s->env->now / 1000 - s->opened_at;
}

/* ---- memory ---- */

struct session_store *session_store_new(void)
{
	return calloc(1, sizeof(struct session_store));
}

void session_store_free(struct session_store *st)
{
	for (unsigned i = 0; i < STORE_CLASSES; i++)
		if (st->pool[i])
			pool_free(st->pool[i]);
	free(st);
}

static size_t store_class(size_t size)
{
	assert(size > 0 && size <= STORE_MAX);
	return (size - 1) / STORE_STEP;
}

static void *store_get(struct session_store *st, size_t size)
{
	struct pool **pool = &st->pool[store_class(size)];

	if (!*pool)
		*pool = pool_new((store_class(size) + 1) * STORE_STEP);
	return *pool ? pool_get(*pool) : NULL;
}

static size_t names_size(const struct session_names *n)
{
	size_t grant = n->grant ? n->grant->size : 0;
	size_t alpn = n->alpn ? strlen(n->alpn) + 1 : 0;

	return (n->identity ? strlen(n->identity) + 1 : alpn + grant > 0) + alpn + grant;
}

static void write_names(struct session *s, const struct session_names *n, char *at)
{
	s->names = at;
	at = stpcpy(at, n->identity ? n->identity : "") + 1;
	s->alpn = n->alpn != NULL;
	if (n->alpn)
		at = stpcpy(at, n->alpn) + 1;
	s->certificate = n->grant && n->grant->size;
	if (s->certificate)
		memcpy(at, n->grant->certificate, n->grant->size);
}

struct session *session_new(struct env *env, const struct record_state *record, const struct session_names *names)
{
	size_t keys = record_size(record->cipher), size = offsetof(struct session, record) + keys;
	size_t more = names_size(names);
	bool inside = size + more <= STORE_MAX;
	char *apart = inside ? NULL : malloc(more);
	struct session *s = inside || apart ? store_get(env->store, inside ? size + more : size) : NULL;

	if (!s) {
		free(apart);
		return NULL;
	}
	memcpy(&s->record, record, keys);
	if (more)
		write_names(s, names, inside ? (char *)s + size : apart);
	s->psk_grant = names->grant ? names->grant->psk : 0;
	s->store_class = (uint8_t)store_class(inside ? size + more : size);
	s->env = env;
	s->opened_at = (uint32_t)(env->now / 1000);
	s->answered_at = (uint32_t)env->now - ASK_AGAIN_MS;
	note_heard(s);
	return s;
}

void session_free(struct session *s)
{
	size_t size = (s->store_class + 1U) * (size_t)STORE_STEP;

	if (s->names && (uintptr_t)s->names - (uintptr_t)s >= size)
		free((void *)(uintptr_t)s->names);
	pool_put(s->env->store->pool[s->store_class], s);
}

void session_keep_final(struct session *s, struct flight *final, size_t mtu)
{
	size_t size = flight_packed_size(final);
	void *room = size <= STORE_MAX ? store_get(s->env->store, size) : NULL;

	s->final_mtu = (uint16_t)mtu;
	if (room)
		s->final = flight_pack(final, room);
	else if (size > STORE_MAX)
		s->final = final;
	else
		flight_free(final); /* no memory: the peer may have to begin again */
}

static void forget_final(struct session *s)
{
	size_t size = flight_packed_size(s->final);

	if (size <= STORE_MAX)
		pool_put(s->env->store->pool[store_class(size)], s->final);
	else
		flight_free(s->final);
	s->final = NULL;
}

/* ---- sending ---- */

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
			    handler_of(s)->name, len, DTLS_PLAINTEXT_MAX);
		return -EMSGSIZE;
	}
	if ((s->record.write_seq & DTLS_SEQ_MAX) >= DTLS_SEQ_MAX - SEQ_RESERVE) {
		session_close(s, SESSION_END_SEQ);
		return -ECONNRESET;
	}
	err = send_record(s, DTLS_APPLICATION_DATA, data, len);
	if (err < 0)
		return err;
	s->bytes_out += len;
	metric_inc(s->env->metrics, METRIC_records_out);
	metric_add(s->env->metrics, METRIC_bytes_out, len);
	return 0;
}

bool session_lingers(const struct session *s)
{
	return s->end != SESSION_LIVE && !s->opened && s->final;
}

static void say_goodbye(struct session *s)
{
	if (s->end == SESSION_END_DENIED || s->end == SESSION_END_REVOKED)
		send_alert(s, DTLS_ALERT_FATAL, DTLS_ALERT_ACCESS_DENIED);
	else if (s->end != SESSION_END_REPLACED) /* who has a new session cannot read this one any more */
		send_alert(s, DTLS_ALERT_WARNING, DTLS_ALERT_CLOSE_NOTIFY);
}

void session_close(struct session *s, enum session_end why)
{
	if (s->end != SESSION_LIVE)
		return;
	s->end = (uint8_t)why;
	say_goodbye(s);
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
	if (!s->final || !answer_now(s))
		return;
	metric_inc(s->env->metrics, METRIC_final_flight_resent);
	flight_rewind(s->final);
	flight_send(s->final, s->final_mtu, send_final, s);
	if (s->end != SESSION_LIVE)
		say_goodbye(s);
}

/* Its peer has our Finished: it lingers no more. */
static void on_record_after_end(struct session *s, uint8_t type)
{
	forget_final(s);
	if (type == DTLS_APPLICATION_DATA)
		say_goodbye(s);
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
	handler_of(s)->record(s, data, len);
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
		if (answer_now(s))
			send_alert(s, DTLS_ALERT_WARNING, DTLS_ALERT_NO_RENEGOTIATION);
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
	note_heard(s);
	if (s->end != SESSION_LIVE && r->type != DTLS_HANDSHAKE) {
		on_record_after_end(s, r->type);
		return true;
	}
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
	bool may_idle = s->end == SESSION_LIVE && service_of(s)->idle_timeout_ms;
	uint64_t due = may_idle ? idle_due(s) : UINT64_MAX;

	return s->final && final_due(s) < due ? final_due(s) : due;
}

void session_tick(struct session *s)
{
	uint64_t now = s->env->now;

	if (s->final && now >= final_due(s))
		forget_final(s);
	if (service_of(s)->idle_timeout_ms && now >= idle_due(s))
		session_close(s, SESSION_END_IDLE);
}

void session_release(struct session *s)
{
	if (s->opened && handler_of(s)->close)
		handler_of(s)->close(s);
	if (s->final)
		forget_final(s);
	record_wipe(&s->record, s->env->cache);
}

uint64_t session_records_out(const struct session *s)
{
	return (s->record.write_seq & DTLS_SEQ_MAX) - 1; /* the first was our Finished */
}

const struct addr *session_peer(const struct session *s)
{
	return &s->node.flow.peer;
}

const char *session_identity(const struct session *s)
{
	return s->names && *s->names ? s->names : NULL;
}

/* What lies behind the identity. */
static const char *behind_identity(const struct session *s)
{
	return s->names + strlen(s->names) + 1;
}

const char *session_alpn(const struct session *s)
{
	return s->alpn ? behind_identity(s) : NULL;
}

enum tls_grant_verdict session_check_grant(const struct session *s)
{
	const char *certificate = NULL;

	if (s->certificate)
		certificate = s->alpn ? session_alpn(s) + strlen(session_alpn(s)) + 1 : behind_identity(s);
	return tls_grant_check(tls_grants(service_of(s)->tls), (const uint8_t *)certificate, s->psk_grant,
			       session_identity(s));
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
