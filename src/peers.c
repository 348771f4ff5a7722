/* SPDX-License-Identifier: BSD-2-Clause */
#include "peers.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "escape.h"
#include "inquiry.h"
#include "log.h"
#include "metrics.h"
#include "psk_ask.h"
#include "record.h"
#include "service.h"
#include "steps.h"
#include "txq.h"

#define EXPECT_FROM 1000    /* sessions; fewer, with their handles, lie in the cache */
#define EXPECT_AT_ONCE 64

static struct session *session_of_timer(struct timer *t)
{
	return (struct session *)(void *)((char *)t - offsetof(struct session, timer));
}

struct session *peers_session(struct peers *p, const struct flow *flow)
{
	struct table_node *n;

	if (p->hot && flow_equal(&p->hot->node.flow, flow))
		return p->hot;
	n = table_find(p->sessions, flow);
	if (!n)
		return NULL;
	p->hot = session_of_node(n);
	return p->hot;
}

/*
 * Of many sessions each is cold when its record comes, and its lines hang from one another: bucket, node, keys, AEAD
 * handles. So the batch goes through them in steps: one step's lines are on their way for all datagrams at once.
 */
static void expect_some(const struct peers *p, const struct datagram *d, unsigned n)
{
	struct session *found[EXPECT_AT_ONCE];
	uint64_t hash[EXPECT_AT_ONCE];
	unsigned i, sessions = 0;

	for (i = 0; i < n; i++) {
		hash[i] = table_hash(p->sessions, &d[i].flow);
		table_expect_bucket(p->sessions, hash[i]);
	}
	for (i = 0; i < n; i++)
		table_expect_node(p->sessions, hash[i]);
	for (i = 0; i < n; i++) {
		struct table_node *node = table_with_hash(p->sessions, hash[i]);

		if (!node)
			continue;
		found[sessions] = session_of_node(node);
		session_expect(found[sessions++]);
	}
	for (i = 0; i < sessions; i++)
		record_expect_entry(&found[i]->record, p->env->cache);
	for (i = 0; i < sessions; i++)
		record_expect_handles(&found[i]->record, p->env->cache);
}

void peers_expect(const struct peers *p, const struct datagram *d, unsigned n)
{
	unsigned some;

	if (table_count(p->sessions) < EXPECT_FROM)
		return;
	for (; n > 1; n -= some, d += some) {
		some = n < EXPECT_AT_ONCE ? n : EXPECT_AT_ONCE;
		expect_some(p, d, some);
	}
}

struct handshake *peers_handshake(struct peers *p, const struct flow *flow)
{
	/* as a rule there are none, and no hash is wanted to know that */
	struct table_node *n = table_count(p->handshakes) ? table_find(p->handshakes, flow) : NULL;

	return n ? handshake_of_node(n) : NULL;
}

uint64_t peers_hello_tag(const struct peers *p, const uint8_t *random)
{
	return siphash(&p->hash_key, random, DTLS_RANDOM_SIZE);
}

/* ---- sessions come and go ---- */

static void note_freed(struct peers *p)
{
	p->freed++;
	p->freed_at = p->env->now;
}

static const enum metric end_metric[] = {
	[SESSION_END_PEER] = METRIC_session_closed_peer,
	[SESSION_END_LOCAL] = METRIC_session_closed_local,
	[SESSION_END_IDLE] = METRIC_session_closed_idle,
	[SESSION_END_REPLACED] = METRIC_session_closed_replaced,
	[SESSION_END_DRAIN] = METRIC_session_closed_drain,
	[SESSION_END_DENIED] = METRIC_session_closed_denied,
	[SESSION_END_REVOKED] = METRIC_session_closed_revoked,
	[SESSION_END_SEQ] = METRIC_session_closed_seq,
};

static const char *const end_name[] = {
	[SESSION_END_PEER] = "by the peer",
	[SESSION_END_LOCAL] = "by the handler",
	[SESSION_END_IDLE] = "idle",
	[SESSION_END_REPLACED] = "replaced: its peer restarted",
	[SESSION_END_DRAIN] = "shutting down",
	[SESSION_END_DENIED] = "denied",
	[SESSION_END_REVOKED] = "its certificate or pre-shared key is not good any more",
	[SESSION_END_SEQ] = "sequence numbers used up",
};

struct quota *peers_quota(const struct peers *p, unsigned listener)
{
	return service_quota(p->env->services[listener]);
}

/*
 * May the two share a place in a quota? A flow keeps its listener but for one that a reload puts before a wildcard, and
 * that may be another service's.
 */
static bool same_quota(const struct peers *p, const struct session *s, const struct handshake *h)
{
	return peers_quota(p, s->listener) == peers_quota(p, handshake_listener(h));
}

static void tell_end(struct session *s)
{
	if (s->told)
		return;
	s->told = true;
	if (log_level() >= LOG_INFO_)
		log_write(LOG_INFO_, &s->node.flow,
			  "session closed (%s) after %" PRIu64 " s: in %" PRIu64 " records %" PRIu64
			  " bytes, out %" PRIu64 " records %" PRIu64 " bytes", end_name[s->end],
			  session_age(s), s->records_in, s->bytes_in, session_records_out(s), s->bytes_out);
	metric_inc(s->env->metrics, end_metric[s->end]);
}

/*
 * A flow has one place in the census, be it for a session, for a handshake or for one beside the other: a peer
 * that restarts needs no second one, and who leaves last gives it back.
 */
void peers_remove_session(struct peers *p, struct session *s)
{
	struct handshake *rival = s->rival ? peers_handshake(p, &s->node.flow) : NULL;

	assert(s->end != SESSION_LIVE);
	tell_end(s);
	if (p->hot == s)
		p->hot = NULL;
	wheel_cancel(&p->session_timers, &s->timer);
	table_remove(p->sessions, &s->node);
	session_release(s);
	if (!rival)
		census_leave(p->census, &s->node.flow.peer);
	if (!rival || !same_quota(p, s, rival))
		quota_leave(peers_quota(p, s->listener));
	session_free(s);
	note_freed(p);
}

void peers_arm_session(struct peers *p, struct session *s)
{
	uint64_t due = session_due(s);

	if (due != UINT64_MAX)
		wheel_set(&p->session_timers, &s->timer, due);
}

void peers_settle_session(void *ctx, struct session *s)
{
	if (s->end == SESSION_LIVE)
		return;
	if (!session_lingers(s)) {
		peers_remove_session(ctx, s);
		return;
	}
	tell_end(s);
	peers_arm_session(ctx, s);
}

/* Out of the table and the wheel; the caller frees it. */
static void unfile_handshake(struct peers *p, struct handshake *h)
{
	struct table_node *n = handshake_node(h);
	struct session *s = peers_session(p, &n->flow);

	if (s)
		s->rival = false;
	wheel_cancel(&p->handshake_timers, handshake_timer(h));
	table_remove(p->handshakes, n);
	place_leave(handshake_place(h));
	census_handshake_over(p->census, &n->flow.peer);
	quota_handshake_over(peers_quota(p, handshake_listener(h)));
	note_freed(p);
}

void peers_remove_handshake(struct peers *p, struct handshake *h)
{
	const struct flow *flow = &handshake_node(h)->flow;
	struct session *s;

	unfile_handshake(p, h);
	s = peers_session(p, flow);
	if (!s)
		census_leave(p->census, &flow->peer);
	if (!s || !same_quota(p, s, h))
		quota_leave(peers_quota(p, handshake_listener(h)));
	handshake_free(h);
}

void peers_forsake(struct peers *p, struct handshake *h)
{
	metric_inc(p->env->metrics, METRIC_handshake_drained);
	peers_remove_handshake(p, h);
}

struct early {
	struct peers *p;
	struct flow flow;
};

static void early_record(void *ctx, uint8_t *data, size_t len)
{
	struct early *early = ctx;
	struct record r;
	size_t at = 0;

	if (classify_record(data, len, &at, &r) == RECORD_PROTECTED)
		peers_protected(early->p, &early->flow, &r);
}

static void report_denied(const struct session *s, const struct service_route *r, const char *server_name)
{
	const char *identity = session_identity(s);
	char name[100];

	escape_text(name, sizeof(name), server_name, strlen(server_name));
	log_limited(LOG_NOTICE_, &s->node.flow, "%sroute %s denies the client %s%s%s", r->place, r->name,
		    identity ? identity : "without an identity", *name ? ", which asks for " : "", name);
}

/* Which handler the session gets. false: none, its peer is denied. */
static bool take_route(struct session *s, const struct service_config *service, const struct handshake *h,
		       const struct tls_about *about)
{
	const struct service_route *r;
	struct tls_names names;

	handshake_names(h, &names);
	s->route = (uint8_t)service_find_route(service, &(struct route_client){ .server_name = about->server_name,
			.alpn = about->alpn, .names = names.text, .names_cut = names.cut });
	if (s->route == 0)
		return true;
	r = &service->routes[s->route - 1];
	log_write(LOG_INFO_, &s->node.flow, "route %s", r->name);
	if (r->handler)
		return true;
	report_denied(s, r, about->server_name);
	session_close(s, SESSION_END_DENIED);
	return false;
}

/* False: it is not to be served. */
static bool check_again(struct session *s)
{
	enum tls_grant_verdict v = session_check_grant(s);

	if (v == TLS_GRANT_ASK)
		inquiry_ask(s->env->inquiry, s);
	return v != TLS_GRANT_VOID;
}

static void open_session(struct session *s, const struct handshake *h, const struct tls *served_with)
{
	const struct service_config *service = &s->env->services[s->listener]->config;
	const struct handler *handler;
	struct tls_about about;
	int err;

	/* it began before a reload, whose round over the sessions may have passed its place */
	if (served_with != service->tls && !check_again(s)) {
		session_close(s, SESSION_END_REVOKED);
		return;
	}
	if (service->route_count > 0 || service_tells(service, 0))
		handshake_about(h, &about);
	if (service->route_count > 0 && !take_route(s, service, h, &about))
		return;
	handler = service_handler(service, s->route);
	if (service_tells(service, s->route))
		s->env->about = &about;
	err = handler->open ? handler->open(s) : 0;
	s->env->about = NULL;
	if (err < 0) {
		log_limited(err == -ENOMEM ? LOG_WARNING_ : LOG_INFO_, &s->node.flow, "handler %s refuses the session: %s",
			    handler->name, strerror(-err));
		session_close(s, SESSION_END_LOCAL);
		return;
	}
	s->opened = true;
}

void peers_refuse_memory(struct peers *p, const struct flow *flow)
{
	metric_inc(p->env->metrics, METRIC_limited_memory);
	log_limited(LOG_WARNING_, flow, "peer refused: out of memory: lower --max-sessions");
}

/* A session with what the handshake came to. NULL: that is nothing, and the peer was told. */
static struct session *found_session(struct peers *p, struct handshake *h, struct handshake_result *result)
{
	struct session_names names;
	struct flight *final;
	struct session *s;

	if (!handshake_finish(h, result))
		return NULL;
	names = (struct session_names){ result->identity, *result->alpn ? result->alpn : NULL, &result->grant };
	s = session_new(p->env, &result->record, &names);
	explicit_bzero(&result->record, sizeof(result->record));
	free(result->identity);
	if (!s) {
		peers_refuse_memory(p, &handshake_node(h)->flow);
		handshake_refuse(h);
		return NULL;
	}
	s->node.flow = handshake_node(h)->flow;
	final = handshake_take_final(h);
	if (final)
		session_keep_final(s, final, result->mtu);
	s->hello_tag = peers_hello_tag(p, handshake_random(h));
	s->serial = ++p->serial;
	s->listener = (uint16_t)handshake_listener(h);
	return s;
}

/* The handshake is done: what remains of it becomes a session, in the place of the one before. */
static void promote(struct peers *p, struct handshake *h)
{
	struct early early = { p, handshake_node(h)->flow };
	struct session *old = peers_session(p, &early.flow), *s;
	struct handshake_result result;

	s = found_session(p, h, &result);
	if (!s) {
		peers_remove_handshake(p, h);
		return;
	}
	if (old) {
		session_close(old, SESSION_END_REPLACED);
		peers_remove_session(p, old);
	}
	unfile_handshake(p, h);
	table_insert(p->sessions, &s->node);
	peers_arm_session(p, s);
	metric_inc(p->env->metrics, METRIC_handshake_done);
	if (result.resumed)
		metric_inc(p->env->metrics, METRIC_handshake_resumed);
	metric_inc(p->env->metrics, METRIC_session_opened);
	if (log_level() >= LOG_INFO_)
		log_write(LOG_INFO_, &early.flow, "session opened: %s, %s%s%s%s%s%s", result.kx,
			  record_cipher_name(s->record.cipher), result.resumed ? ", resumed" : "",
			  session_identity(s) ? ", " : "", session_identity(s) ? session_identity(s) : "",
			  session_alpn(s) ? ", ALPN " : "", session_alpn(s) ? session_alpn(s) : "");
	open_session(s, h, result.tls);
	peers_settle_session(p, s);
	handshake_early(h, early_record, &early);
	handshake_free(h);
}

void peers_settle_handshake(struct peers *p, struct handshake *h, enum handshake_verdict v)
{
	uint64_t due;

	switch (v) {
	case HANDSHAKE_GOING:
		due = handshake_due(h);
		if (due == UINT64_MAX)
			wheel_cancel(&p->handshake_timers, handshake_timer(h));
		else
			wheel_set(&p->handshake_timers, handshake_timer(h), due);
		break;
	case HANDSHAKE_DONE:
		promote(p, h);
		break;
	case HANDSHAKE_FAILED:
		peers_remove_handshake(p, h);
		break;
	}
}

struct handshake *peers_oldest_half_open(struct peers *p, const struct quota *of)
{
	struct place *at, *next;

	for (at = p->half_open.next; at != &p->half_open; at = next) {
		struct handshake *h = handshake_of_place(at);

		next = at->next;
		if (!handshake_half_open(h))
			place_leave(at);
		else if (!of || peers_quota(p, handshake_listener(h)) == of)
			return h;
	}
	return NULL;
}

void peers_protected(struct peers *p, const struct flow *flow, const struct record *r)
{
	struct session *s = peers_session(p, flow);
	struct handshake *h;

	if (s && session_record(s, r, s->rival)) {
		peers_settle_session(p, s);
		return;
	}
	h = s && !s->rival ? NULL : peers_handshake(p, flow);
	if (h) {
		peers_settle_handshake(p, h, handshake_record(h, r));
		return;
	}
	metric_add(p->env->metrics, s ? METRIC_drop_bad_mac : METRIC_drop_no_session, 1);
}

void peers_add_handshake(struct peers *p, struct handshake *h, struct session *beside)
{
	place_append(&p->half_open, handshake_place(h));
	table_insert(p->handshakes, handshake_node(h));
	if (beside)
		beside->rival = true;
}

/* ---- time ---- */

static void fire_session(void *ctx, struct timer *t)
{
	struct session *s = session_of_timer(t);
	struct peers *p = ctx;

	session_tick(s);
	if (s->end == SESSION_LIVE)
		peers_arm_session(p, s);
	else
		peers_settle_session(p, s);
}

static void fire_handshake(void *ctx, struct timer *t)
{
	struct handshake *h = handshake_of_timer(t);

	peers_settle_handshake(ctx, h, handshake_tick(h));
}

void peers_take_steps(struct peers *p)
{
	struct place *first;

	while ((first = steps_call(p->env->steps))) {
		struct handshake *h = handshake_in_line(first);

		peers_settle_handshake(p, h, handshake_proceed(h));
	}
}

bool peers_take_keys(struct peers *p)
{
	struct place *next;
	unsigned n = 0;

	while (p->env->asks && n < PEERS_A_RUN && (next = psk_asks_news(p->env->asks))) {
		struct handshake *h = handshake_asking(next);

		peers_settle_handshake(p, h, handshake_proceed(h));
		n++;
	}
	return n == PEERS_A_RUN;
}

/* An alert, protected. */
#define GOODBYE_MAX (RECORD_OVERHEAD_MAX + 2)

/* Sessions that end say so, and say it once: not while there is no room for it. */
static bool run_sessions(struct peers *p)
{
	p->no_room = !txq_make_room(p->env->txq, PEERS_EXPIRIES_A_RUN, PEERS_EXPIRIES_A_RUN * GOODBYE_MAX);
	if (p->no_room)
		return false;
	return wheel_run(&p->session_timers, p->env->now, PEERS_EXPIRIES_A_RUN, fire_session, p) ==
	       PEERS_EXPIRIES_A_RUN;
}

bool peers_run(struct peers *p)
{
	bool more = wheel_run(&p->handshake_timers, p->env->now, PEERS_A_RUN, fire_handshake, p) == PEERS_A_RUN;

	return run_sessions(p) | more;
}

uint64_t peers_wait(const struct peers *p, uint64_t limit_ms)
{
	uint64_t a = wheel_wait(&p->handshake_timers, p->env->now, limit_ms);
	uint64_t b = p->no_room ? UINT64_MAX : wheel_wait(&p->session_timers, p->env->now, limit_ms);

	return a < b ? a : b;
}

bool peers_none(const struct peers *p)
{
	return !table_count(p->sessions) && !table_count(p->handshakes);
}

/* ---- life ---- */

int peers_init(struct peers *p, uint64_t now_ms)
{
	place_init(&p->half_open);
	wheel_init(&p->session_timers, now_ms);
	wheel_init(&p->handshake_timers, now_ms);
	if (getrandom(&p->hash_key, sizeof(p->hash_key), 0) != sizeof(p->hash_key))
		return -ENOMEM;
	p->sessions = table_new(&p->hash_key);
	p->handshakes = table_new(&p->hash_key);
	p->env->store = session_store_new();
	return p->sessions && p->handshakes && p->env->store ? 0 : -ENOMEM;
}

static void drop_handshake(void *ctx, struct table_node *n)
{
	peers_forsake(ctx, handshake_of_node(n));
}

static void drop_session(void *ctx, struct table_node *n)
{
	struct session *s = session_of_node(n);

	s->end = SESSION_END_DRAIN;
	peers_remove_session(ctx, s);
}

static void clear_table(struct peers *p, struct table *t, void (*drop)(void *ctx, struct table_node *n))
{
	uint64_t cursor = 0;

	if (!t)
		return;
	while (table_count(t))
		table_walk(t, &cursor, PEERS_A_RUN, drop, p);
}

void peers_clear(struct peers *p)
{
	/* a handshake that goes looks for the session beside it: both tables are there until the end */
	clear_table(p, p->handshakes, drop_handshake);
	clear_table(p, p->sessions, drop_session);
	if (p->handshakes)
		table_free(p->handshakes);
	if (p->sessions)
		table_free(p->sessions);
	if (p->env->store)
		session_store_free(p->env->store);
}
