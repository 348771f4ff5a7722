/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "backlog.h"
#include "bus.h"
#include "classify.h"
#include "env.h"
#include "explain.h"
#include "gate.h"
#include "handshake.h"
#include "log.h"
#include "pool.h"
#include "ratelimit.h"
#include "record.h"
#include "session.h"
#include "table.h"
#include "wheel.h"

#define HOT_SESSIONS 4096     /* AEAD handle pairs kept: 6 MB with GCM at the most */
#define COOL_EVERY_MS 1000    /* a quarter of them is looked at each time, whether it is still hot */
#define TIMERS_A_RUN 256
#define VISITS_A_RUN 256
#define BLOCKED_MS 10         /* until a socket that takes no more is tried again, if nothing wakes us before */
#define WAIT_MOST_MS COOL_EVERY_MS
#define TRIM_FREED 500        /* handshakes over and sessions gone, after which freed memory is worth giving back */
#define TRIM_QUIET_MS 2000    /* since the last of them: under load the pages are needed again */
#define TRIM_LATEST_MS 60000

struct engine {
	struct engine_config config;
	struct env env;
	struct bus bus;
	struct cookie_ring keys;
	struct tls *tls;
	struct siphash_key hash_key;
	struct table *sessions;
	struct table *handshakes;
	struct pool *pool;
	struct wheel session_timers;
	struct wheel handshake_timers;
	struct ratelimit rate;
	struct handshake_place half_open; /* oldest first; who has gone on since is taken out when he is met */
	struct backlog backlog;
	unsigned begun;      /* handshakes in this turn */
	bool serving;        /* a hello from the backlog */
	struct session *hot; /* of the last protected record: runs of one peer look up once */
	uint64_t serial;
	bool draining;
	uint64_t drain_cursor;
	unsigned freed;      /* since the last trim */
	uint64_t freed_at, trimmed_at, cooled_at;
	uint64_t aead_seen;
	struct txq txq;
	struct metrics metrics;
	struct explain explain;
	uint8_t scratch[ENV_SCRATCH];
};

static struct session *session_of_node(struct table_node *n)
{
	return (struct session *)(void *)((char *)n - offsetof(struct session, node));
}

static struct session *session_of_timer(struct timer *t)
{
	return (struct session *)(void *)((char *)t - offsetof(struct session, timer));
}

static struct session *find_session(struct engine *e, const struct flow *flow)
{
	struct table_node *n;

	if (e->hot && flow_equal(&e->hot->node.flow, flow))
		return e->hot;
	n = table_find(e->sessions, flow);
	if (!n)
		return NULL;
	e->hot = session_of_node(n);
	return e->hot;
}

static struct handshake *find_handshake(struct engine *e, const struct flow *flow)
{
	struct table_node *n = table_find(e->handshakes, flow);

	return n ? handshake_of_node(n) : NULL;
}

static uint64_t hello_tag(const struct engine *e, const uint8_t *random)
{
	return siphash(&e->hash_key, random, DTLS_RANDOM_SIZE);
}

/* ---- sessions come and go ---- */

static void note_freed(struct engine *e, unsigned n)
{
	e->freed += n;
	if (n)
		e->freed_at = e->env.now;
}

static const enum metric end_metric[] = {
	[SESSION_END_PEER] = METRIC_session_closed_peer,
	[SESSION_END_LOCAL] = METRIC_session_closed_local,
	[SESSION_END_IDLE] = METRIC_session_closed_idle,
	[SESSION_END_REPLACED] = METRIC_session_closed_replaced,
	[SESSION_END_DRAIN] = METRIC_session_closed_drain,
	[SESSION_END_SEQ] = METRIC_session_closed_seq,
};

static const char *const end_name[] = {
	[SESSION_END_PEER] = "by the peer",
	[SESSION_END_LOCAL] = "by the handler",
	[SESSION_END_IDLE] = "idle",
	[SESSION_END_REPLACED] = "replaced: its peer restarted",
	[SESSION_END_DRAIN] = "shutting down",
	[SESSION_END_SEQ] = "sequence numbers used up",
};

/*
 * A flow has one place in the census, be it for a session, for a handshake or for one beside the other: a peer
 * that restarts needs no second one, and who leaves last gives it back.
 */
static void remove_session(struct engine *e, struct session *s)
{
	assert(s->end != SESSION_LIVE);
	if (log_level() >= LOG_INFO_)
		log_write(LOG_INFO_, &s->node.flow,
			  "session closed (%s) after %" PRIu64 " s: in %" PRIu64 " records %" PRIu64
			  " bytes, out %" PRIu64 " records %" PRIu64 " bytes", end_name[s->end],
			  (e->env.now - s->opened_at) / 1000, s->records_in, s->bytes_in, s->records_out, s->bytes_out);
	metric_inc(&e->metrics, end_metric[s->end]);
	if (e->hot == s)
		e->hot = NULL;
	wheel_cancel(&e->session_timers, &s->timer);
	table_remove(e->sessions, &s->node);
	session_release(s);
	if (!s->rival)
		census_leave(e->config.census, &s->node.flow.peer);
	pool_put(e->pool, s);
	note_freed(e, 1);
}

static void settle_session(void *ctx, struct session *s)
{
	if (s->end != SESSION_LIVE)
		remove_session(ctx, s);
}

static void arm_session(struct engine *e, struct session *s)
{
	uint64_t due = session_due(s);

	if (due != UINT64_MAX)
		wheel_set(&e->session_timers, &s->timer, due);
}

static void leave_place(struct handshake_place *p)
{
	p->next->before = p->before;
	p->before->next = p->next;
	p->next = p->before = p;
}

static void take_place(struct handshake_place *head, struct handshake_place *p)
{
	p->before = head->before;
	p->next = head;
	p->before->next = head->before = p;
}

/* Out of the table and the wheel; the caller frees it. */
static void unfile_handshake(struct engine *e, struct handshake *h)
{
	struct table_node *n = handshake_node(h);
	struct session *s = find_session(e, &n->flow);

	if (s)
		s->rival = false;
	wheel_cancel(&e->handshake_timers, handshake_timer(h));
	table_remove(e->handshakes, n);
	leave_place(handshake_place(h));
	census_handshake_over(e->config.census, &n->flow.peer);
	note_freed(e, 1);
}

/* It came to nothing, and its peer leaves. */
static void remove_handshake(struct engine *e, struct handshake *h)
{
	const struct flow *flow = &handshake_node(h)->flow;

	unfile_handshake(e, h);
	if (!find_session(e, flow))
		census_leave(e->config.census, &flow->peer);
	handshake_free(h);
}

struct early {
	struct engine *e;
	struct flow flow;
};

static void on_protected(struct engine *e, const struct flow *flow, const struct record *r);

static void early_record(void *ctx, uint8_t *data, size_t len)
{
	struct early *early = ctx;
	struct record r;
	size_t at = 0;

	if (classify_record(data, len, &at, &r) == RECORD_PROTECTED)
		on_protected(early->e, &early->flow, &r);
}

static void open_session(struct session *s)
{
	int err = s->handler->open ? s->handler->open(s) : 0;

	if (err < 0) {
		log_limited(LOG_WARNING_, &s->node.flow, "handler %s refuses the session: %s", s->handler->name,
			    strerror(-err));
		session_close(s, SESSION_END_LOCAL);
		return;
	}
	s->opened = true;
}

static void refuse_memory(struct engine *e, const struct flow *flow)
{
	metric_inc(&e->metrics, METRIC_limited_memory);
	log_limited(LOG_WARNING_, flow, "peer refused: out of memory: lower --max-sessions");
}

/* The handshake is done: what remains of it becomes a session, in the place of the one before. */
static void promote(struct engine *e, struct handshake *h)
{
	struct early early = { e, handshake_node(h)->flow };
	struct session *old = find_session(e, &early.flow), *s = pool_get(e->pool);
	struct handshake_result result;

	if (!s || !handshake_finish(h, &result)) {
		if (s) {
			pool_put(e->pool, s);
		} else {
			refuse_memory(e, &early.flow);
			handshake_refuse(h);
		}
		remove_handshake(e, h);
		return;
	}
	if (old) {
		session_close(old, SESSION_END_REPLACED);
		remove_session(e, old);
	}
	unfile_handshake(e, h);
	s->node.flow = early.flow;
	s->record = result.record;
	explicit_bzero(&result.record, sizeof(result.record));
	s->env = &e->env;
	s->handler = e->config.handler;
	s->identity = result.identity;
	s->final = result.final;
	s->final_mtu = (uint16_t)result.mtu;
	s->final_until = e->env.now + SESSION_FINAL_MS;
	s->opened_at = s->heard_at = e->env.now;
	s->hello_tag = hello_tag(e, handshake_random(h));
	s->serial = ++e->serial;
	s->listener = handshake_listener(h);
	table_insert(e->sessions, &s->node);
	arm_session(e, s);
	metric_inc(&e->metrics, METRIC_session_opened);
	if (log_level() >= LOG_INFO_)
		log_write(LOG_INFO_, &early.flow, "session opened: %s, %s%s%s%s", result.kx,
			  record_cipher_name(s->record.cipher), result.resumed ? ", resumed" : "",
			  s->identity ? ", " : "", s->identity ? s->identity : "");
	open_session(s);
	settle_session(e, s);
	handshake_early(h, early_record, &early);
	handshake_free(h);
}

static void settle_handshake(struct engine *e, struct handshake *h, enum handshake_verdict v)
{
	switch (v) {
	case HANDSHAKE_GOING:
		wheel_set(&e->handshake_timers, handshake_timer(h), handshake_due(h));
		break;
	case HANDSHAKE_DONE:
		promote(e, h);
		break;
	case HANDSHAKE_FAILED:
		remove_handshake(e, h);
		break;
	}
}

/* ---- admission ---- */

/* NULL: all handshakes of this worker have got further than the hello. */
static struct handshake *oldest_half_open(struct engine *e)
{
	struct handshake_place *p;

	while ((p = e->half_open.next) != &e->half_open) {
		if (handshake_half_open(handshake_of_place(p)))
			return handshake_of_place(p);
		leave_place(p);
	}
	return NULL;
}

static void evict(struct engine *e, struct handshake *h)
{
	metric_inc(&e->metrics, METRIC_handshake_evicted);
	log_limited(LOG_WARNING_, &handshake_node(h)->flow,
		    "half-open handshake given up for a newer one: a flood of hellos, or --max-handshakes is too low");
	remove_handshake(e, h);
}

static bool rate_allows(struct engine *e, const struct flow *flow)
{
	if (ratelimit_take(&e->rate, e->env.now))
		return true;
	metric_inc(&e->metrics, METRIC_limited_rate);
	log_limited(LOG_WARNING_, flow, "peer refused: more handshakes a second than --handshake-rate allows");
	return false;
}

static enum census_verdict ask_census(struct engine *e, const struct flow *flow, bool again)
{
	if (again)
		return census_again(e->config.census, &flow->peer);
	return census_admit(e->config.census, &flow->peer);
}

static void give_back(struct engine *e, const struct flow *flow, bool again)
{
	census_handshake_over(e->config.census, &flow->peer);
	if (!again)
		census_leave(e->config.census, &flow->peer);
}

/* again: the peer has a session already, and with it a place. */
static bool admission_allowed(struct engine *e, const struct flow *flow, bool again)
{
	static const struct {
		enum metric metric;
		const char *advice;
	} refused[] = {
		[CENSUS_SESSIONS] = { METRIC_limited_sessions, "all sessions are taken: raise --max-sessions" },
		[CENSUS_HANDSHAKES] = { METRIC_limited_handshakes,
					"too many handshakes are under way: raise --max-handshakes, or lower "
					"--handshake-timeout" },
		[CENSUS_ADDRESS] = { METRIC_limited_address,
				     "its address has all the sessions it may have: raise --max-sessions-per-address" },
		[CENSUS_ADDRESS_HANDSHAKES] = { METRIC_limited_address_handshakes,
						"its address has all the handshakes under way that it may have: raise "
						"--max-handshakes-per-address" },
		[CENSUS_MEMORY] = { METRIC_limited_memory, "out of memory: lower --max-sessions" },
	};
	static struct log_gate gate[sizeof(refused) / sizeof(refused[0])];
	struct handshake *oldest;
	enum census_verdict v;
	bool in_rate = false;

	if (e->draining)
		return false;
	v = ask_census(e, flow, again);
	if (v == CENSUS_HANDSHAKES && (oldest = oldest_half_open(e))) {
		/* nobody gives his place to one who is then refused */
		in_rate = rate_allows(e, flow);
		if (!in_rate)
			return false;
		evict(e, oldest);
		v = ask_census(e, flow, again);
	}
	if (v == CENSUS_OK) {
		/* asked last: who is over a limit of its own must not use up the rate of all */
		if (in_rate || rate_allows(e, flow))
			return true;
		give_back(e, flow, again);
		return false;
	}
	metric_inc(&e->metrics, refused[v].metric);
	log_write_limited(&gate[v], LOG_WARNING_, flow, "peer refused: %s", refused[v].advice);
	return false;
}

/*
 * The signature is what a handshake costs, as much as some hundred records: so many in a turn, and the others wait,
 * so that the sessions' records do not.
 */
static bool turn_allows(struct engine *e, const struct datagram *d)
{
	unsigned most = e->config.handshakes_per_turn;

	if (most == 0 || (e->begun < most && (e->serving || backlog_empty(&e->backlog))))
		return true;
	switch (backlog_add(&e->backlog, d)) {
	case BACKLOG_TAKEN:
		metric_inc(&e->metrics, METRIC_hello_queued);
		break;
	case BACKLOG_REPEATED:
		metric_inc(&e->metrics, METRIC_hello_repeated);
		break;
	case BACKLOG_FULL:
		metric_inc(&e->metrics, METRIC_limited_turn);
		log_limited(LOG_WARNING_, &d->flow,
			    "peer refused: too many hellos wait for their turn: it may come again; more --workers serve more");
		break;
	}
	return false;
}

static struct handshake *admit(struct engine *e, const struct datagram *d, const struct hello *hello,
			       struct gate_result *proof, struct handshake *old)
{
	struct session *s = find_session(e, &d->flow);
	uint64_t tag = hello_tag(e, hello->random), before = 0;
	struct handshake *h;

	if ((s && s->hello_tag == tag) || (old && handshake_before(old) == tag)) {
		/* a late copy of the hello that this session came from, or what was begun anew since */
		metric_inc(&e->metrics, METRIC_hello_repeated);
		return NULL;
	}
	if (!e->draining && !turn_allows(e, d))
		return NULL;
	if (old) { /* it began anew before the old handshake was over */
		before = hello_tag(e, handshake_random(old));
		remove_handshake(e, old);
	}
	if (!admission_allowed(e, &d->flow, s != NULL))
		return NULL;
	h = handshake_new(&e->env, e->tls, &d->flow, d->listener, hello, &proof->prestate);
	if (!h) {
		refuse_memory(e, &d->flow);
		give_back(e, &d->flow, s != NULL);
		return NULL;
	}
	e->begun++;
	take_place(&e->half_open, handshake_place(h));
	handshake_set_before(h, before);
	metric_inc(&e->metrics, METRIC_hello_admitted);
	table_insert(e->handshakes, handshake_node(h));
	if (s)
		s->rival = true;
	return h;
}

static void challenge(struct engine *e, const struct datagram *d, const struct gate_result *g)
{
	uint8_t *room = txq_reserve(&e->txq, g->answer_len);

	if (!room) {
		metric_inc(&e->metrics, METRIC_tx_queue_full);
		return;
	}
	memcpy(room, g->answer, g->answer_len);
	txq_commit(&e->txq, &d->flow, d->listener, g->answer_len, false);
	metric_inc(&e->metrics, METRIC_hello_challenged);
}

/* A ClientHello, from whomever. NULL: it has led to nothing that could take more records. */
static struct handshake *on_hello(struct engine *e, const struct datagram *d, const struct record *r)
{
	struct gate_result g;
	struct handshake *h;
	struct hello hello;

	metric_add(&e->metrics, METRIC_hello_received, e->serving ? 0 : 1);
	if (!classify_hello(r, &hello)) {
		metric_inc(&e->metrics, METRIC_drop_malformed);
		return NULL;
	}
	h = table_count(e->handshakes) ? find_handshake(e, &d->flow) : NULL;
	if (h && hello.cookie_length > 0 && handshake_same_hello(h, &hello))
		return h;
	switch (gate_check(&e->keys, &d->flow, &hello, &g)) {
	case GATE_CHALLENGE:
		if (g.stale)
			metric_inc(&e->metrics, METRIC_hello_bad_cookie);
		challenge(e, d, &g);
		return NULL;
	case GATE_ADMIT:
		return admit(e, d, &hello, &g, h);
	case GATE_DROP:
		break;
	}
	metric_inc(&e->metrics, METRIC_drop_malformed);
	return NULL;
}

/* ---- records ---- */

static void on_protected(struct engine *e, const struct flow *flow, const struct record *r)
{
	struct session *s = find_session(e, flow);
	struct handshake *h;

	if (s && session_record(s, r, s->rival)) {
		settle_session(e, s);
		return;
	}
	h = s && !s->rival ? NULL : find_handshake(e, flow);
	if (h) {
		settle_handshake(e, h, handshake_record(h, r));
		return;
	}
	metric_add(&e->metrics, s ? METRIC_drop_bad_mac : METRIC_drop_no_session, 1);
}

static void on_plain(struct engine *e, const struct datagram *d, const struct record *r, bool *answered)
{
	struct handshake *h;

	if (r->kind == RECORD_HELLO) {
		/* one hello a datagram, whatever it holds: never more challenges out than in, and one signature */
		h = *answered ? NULL : on_hello(e, d, r);
		*answered = true;
		if (!h)
			return;
	} else {
		h = table_count(e->handshakes) ? find_handshake(e, &d->flow) : NULL;
	}
	if (h)
		settle_handshake(e, h, handshake_record(h, r));
	else
		metric_inc(&e->metrics, METRIC_drop_unexpected);
}

static void on_datagram(struct engine *e, struct datagram *d)
{
	bool answered = false;
	size_t at = 0;
	struct record r;

	if (d->len == 0)
		metric_inc(&e->metrics, METRIC_drop_malformed);
	for (;;) {
		switch (classify_record(d->data, d->len, &at, &r)) {
		case RECORD_END:
			return;
		case RECORD_PROTECTED:
			on_protected(e, &d->flow, &r);
			break;
		case RECORD_HELLO:
		case RECORD_HELLO_TAIL:
		case RECORD_HANDSHAKE:
		case RECORD_CCS:
		case RECORD_ALERT:
			on_plain(e, d, &r, &answered);
			break;
		case RECORD_MALFORMED:
			metric_inc(&e->metrics, METRIC_drop_malformed);
			break;
		case RECORD_TOO_LARGE:
			metric_inc(&e->metrics, METRIC_drop_too_large);
			break;
		case RECORD_PLAIN_DATA:
			metric_inc(&e->metrics, METRIC_drop_plain_data);
			break;
		case RECORD_UNKNOWN:
		case RECORD_CID: /* none was ever negotiated */
			metric_inc(&e->metrics, METRIC_drop_unexpected);
			break;
		}
	}
}

void engine_datagram(struct engine *e, struct datagram *d, size_t segment)
{
	struct datagram one = *d;
	size_t left = d->len;

	if (segment == 0 || segment >= left) {
		on_datagram(e, d);
		return;
	}
	for (; left > 0; left -= one.len, one.data += one.len) {
		one.len = left < segment ? left : segment;
		on_datagram(e, &one);
	}
}

void engine_turn(struct engine *e)
{
	e->begun = 0;
}

static void run_backlog(struct engine *e)
{
	struct backlog_entry *w;

	e->serving = true;
	while (e->begun < e->config.handshakes_per_turn && (w = backlog_take(&e->backlog))) {
		on_datagram(e, &w->datagram);
		free(w);
	}
	e->serving = false;
}

void engine_too_large(struct engine *e, const struct tx_entry *t, size_t mtu)
{
	struct handshake *h = find_handshake(e, &t->flow);

	if (!h) {
		/* a final flight; it goes out again when the peer asks */
		struct session *s = find_session(e, &t->flow);

		if (s && mtu > 0 && mtu < s->final_mtu)
			s->final_mtu = (uint16_t)mtu;
		return;
	}
	handshake_too_large(h, mtu);
	wheel_set(&e->handshake_timers, handshake_timer(h), handshake_due(h));
}

void engine_letter(struct engine *e, struct letter *l)
{
	bus_letter(&e->bus, l);
}

/* ---- time ---- */

static void fire_session(void *ctx, struct timer *t)
{
	struct session *s = session_of_timer(t);
	struct engine *e = ctx;

	session_tick(s);
	if (s->end != SESSION_LIVE)
		remove_session(e, s);
	else
		arm_session(e, s);
}

static void fire_handshake(void *ctx, struct timer *t)
{
	struct handshake *h = handshake_of_timer(t);

	settle_handshake(ctx, h, handshake_tick(h));
}

static void goodbye(void *ctx, struct table_node *n)
{
	struct session *s = session_of_node(n);

	session_close(s, SESSION_END_DRAIN);
	remove_session(ctx, s);
}

static void forsake(void *ctx, struct table_node *n)
{
	remove_handshake(ctx, handshake_of_node(n));
}

static bool run_drain(struct engine *e)
{
	uint64_t cursor = 0;

	if (!e->draining)
		return false;
	if (table_count(e->handshakes))
		table_walk(e->handshakes, &cursor, VISITS_A_RUN, forsake, e);
	if (table_count(e->sessions))
		table_walk(e->sessions, &e->drain_cursor, VISITS_A_RUN, goodbye, e);
	return table_count(e->sessions) || table_count(e->handshakes);
}

/* Once a second: a session that was not heard of for a few seconds keeps no AEAD handles. */
static void cool(struct engine *e)
{
	if (e->env.now - e->cooled_at < COOL_EVERY_MS)
		return;
	e->cooled_at = e->env.now;
	note_freed(e, record_cache_cool(e->env.cache, HOT_SESSIONS / 4));
	explain_tell(&e->explain, &e->metrics);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * malloc keeps the pages of handshakes that are over: give them back when enough are. Milliseconds until
 * that is due, UINT64_MAX: not in sight.
 */
static uint64_t trim(struct engine *e)
{
	uint64_t now = e->env.now, due = least(e->freed_at + TRIM_QUIET_MS, e->trimmed_at + TRIM_LATEST_MS);

	if (e->freed < TRIM_FREED)
		return UINT64_MAX;
	if (now < due)
		return due - now;
	e->freed = 0;
	e->trimmed_at = now;
	malloc_trim(0);
	return UINT64_MAX;
}

uint64_t engine_run(struct engine *e)
{
	uint64_t now = e->env.now, misses = record_cache_misses(e->env.cache), wait;
	bool more, blocked;

	more = wheel_run(&e->handshake_timers, now, TIMERS_A_RUN, fire_handshake, e) == TIMERS_A_RUN;
	more |= wheel_run(&e->session_timers, now, TIMERS_A_RUN, fire_session, e) == TIMERS_A_RUN;
	run_backlog(e);
	more |= !backlog_empty(&e->backlog);
	txq_flush(&e->txq);
	blocked = !txq_empty(&e->txq);
	if (!blocked) { /* what these say is said once: not while there is no room for it */
		more |= bus_run(&e->bus);
		more |= run_drain(e);
	}
	cool(e);
	wait = trim(e);
	if (blocked)
		wait = least(wait, BLOCKED_MS);
	metric_add(&e->metrics, METRIC_aead_set_up, misses - e->aead_seen);
	e->aead_seen = misses;
	txq_flush(&e->txq);
	if (more)
		return 0;
	if (explain_wanted(&e->explain, &e->metrics))
		wait = least(wait, e->cooled_at + COOL_EVERY_MS - now);
	wait = least(wait, wheel_wait(&e->handshake_timers, now, WAIT_MOST_MS));
	return least(wait, wheel_wait(&e->session_timers, now, WAIT_MOST_MS));
}

void engine_time(struct engine *e, uint64_t now_ms, uint64_t wall_s)
{
	e->env.now = now_ms;
	cookie_turn(&e->keys, wall_s);
}

/* ---- life ---- */

struct engine *engine_new(const struct engine_config *c, uint64_t now_ms, uint64_t wall_s)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->config = *c;
	e->tls = tls_ref(c->tls);
	e->trimmed_at = now_ms;
	cookie_init(&e->keys, c->cookie_master, c->cookie_lifetime_s);
	ratelimit_init(&e->rate, c->handshake_rate, c->handshake_rate, now_ms);
	e->half_open.next = e->half_open.before = &e->half_open;
	wheel_init(&e->session_timers, now_ms);
	wheel_init(&e->handshake_timers, now_ms);
	e->env = (struct env){
		.txq = &e->txq,
		.metrics = &e->metrics,
		.cache = record_cache_new(HOT_SESSIONS),
		.scratch = e->scratch,
		.bus = &e->bus,
		.idle_timeout_ms = c->idle_timeout_ms,
		.handshake_timeout_ms = c->handshake_timeout_ms,
		.mtu = c->mtu,
	};
	engine_time(e, now_ms, wall_s);
	if (getrandom(&e->hash_key, sizeof(e->hash_key), 0) == sizeof(e->hash_key)) {
		e->sessions = table_new(&e->hash_key);
		e->handshakes = table_new(&e->hash_key);
	}
	e->pool = pool_new(sizeof(struct session));
	e->bus = (struct bus){ .sessions = e->sessions, .index = c->index, .count = c->count, .post = c->post,
			       .post_ctx = c->ctx, .settle = settle_session, .settle_ctx = e };
	if (txq_init(&e->txq, c->flush, c->ctx) < 0 || !e->env.cache || !e->sessions || !e->handshakes || !e->pool ||
	    backlog_init(&e->backlog, &e->hash_key) < 0) {
		engine_free(e);
		return NULL;
	}
	return e;
}

static void drop_session(void *ctx, struct table_node *n)
{
	struct session *s = session_of_node(n);

	s->end = SESSION_END_DRAIN;
	remove_session(ctx, s);
}

void engine_free(struct engine *e)
{
	uint64_t cursor;

	bus_clear(&e->bus);
	backlog_destroy(&e->backlog);
	if (e->handshakes) {
		for (cursor = 0; table_count(e->handshakes);)
			table_walk(e->handshakes, &cursor, VISITS_A_RUN, forsake, e);
		table_free(e->handshakes);
	}
	if (e->sessions) {
		for (cursor = 0; table_count(e->sessions);)
			table_walk(e->sessions, &cursor, VISITS_A_RUN, drop_session, e);
		table_free(e->sessions);
	}
	if (e->pool)
		pool_free(e->pool);
	if (e->env.cache)
		record_cache_free(e->env.cache);
	txq_destroy(&e->txq);
	cookie_wipe(&e->keys);
	explicit_bzero(e->scratch, sizeof(e->scratch));
	tls_unref(e->tls);
	free(e);
}

void engine_set_tls(struct engine *e, struct tls *tls)
{
	struct tls *old = e->tls;

	e->tls = tls_ref(tls);
	tls_unref(old);
}

void engine_drain(struct engine *e)
{
	e->draining = true;
	e->drain_cursor = 0;
}

bool engine_drained(const struct engine *e)
{
	return e->draining && !table_count(e->sessions) && !table_count(e->handshakes) && txq_empty(&e->txq);
}

struct txq *engine_txq(struct engine *e)
{
	return &e->txq;
}

struct metrics *engine_metrics(struct engine *e)
{
	return &e->metrics;
}

size_t engine_sessions(const struct engine *e)
{
	return table_count(e->sessions);
}

size_t engine_handshakes(const struct engine *e)
{
	return table_count(e->handshakes);
}
