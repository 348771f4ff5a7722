/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "admission.h"
#include "backlog.h"
#include "bus.h"
#include "classify.h"
#include "desk.h"
#include "env.h"
#include "explain.h"
#include "gate.h"
#include "inquiry.h"
#include "log.h"
#include "peers.h"
#include "psk_ask.h"
#include "record.h"
#include "round.h"
#include "serving.h"
#include "steps.h"
#include "tunnels.h"

#define HOT_SESSIONS 4096     /* AEAD handle pairs kept: 6 MB with GCM at the most */
#define COOL_EVERY_MS 1000    /* a quarter of them is looked at each time, whether it is still hot */
#define BLOCKED_MS 10         /* until a socket that takes no more is tried again, if nothing wakes us before */
#define WAIT_MOST_MS COOL_EVERY_MS
#define TRIM_FREED 500        /* handshakes over and sessions gone, after which freed memory is worth giving back */
#define TRIM_QUIET_MS 2000    /* since the last of them: under load the pages are needed again */
#define TRIM_LATEST_MS 60000
#define TRIM_BLOCK (100 * 1024)
#define TRIM_FEW_MS 5000      /* fewer than that: so long after the last time */

struct engine {
	struct engine_config config;
	struct env env;
	struct bus bus;
	struct cookie_ring keys;
	struct serving serving;
	struct serving_news news;
	struct admission admission;
	struct peers peers;
	struct inquiry inquiry;
	struct tunnels tunnels;
	struct backlog backlog;
	struct steps steps;
	bool from_backlog;   /* is the hello that is looked at */
	bool draining;
	struct round last;
	uint64_t trimmed_at, cooled_at;
	uint64_t aead_seen;
	struct txq txq;
	struct metrics metrics;
	struct explain explain;
	uint8_t scratch[ENV_SCRATCH];
};

/* ---- admission ---- */

/* False: it waits, so that the records of sessions do not, or is refused. */
static bool turn_allows(struct engine *e, const struct datagram *d)
{
	if (steps_may_begin(&e->steps) && (e->from_backlog || backlog_empty(&e->backlog)))
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
	struct session *s = peers_session(&e->peers, &d->flow);
	uint64_t tag = peers_hello_tag(&e->peers, hello->random), before = 0;
	const struct applicant who = {
		.flow = &d->flow,
		.service = e->serving.services[d->listener],
		.again = s != NULL,
		.shares = s && peers_quota(&e->peers, s->listener) == peers_quota(&e->peers, d->listener),
	};
	struct handshake *h;

	if ((s && s->hello_tag == (uint32_t)tag) || (old && handshake_before(old) == tag)) {
		/* a late copy of the hello that this session came from, or what was begun anew since */
		metric_inc(&e->metrics, METRIC_hello_repeated);
		return NULL;
	}
	if (!e->draining && !turn_allows(e, d))
		return NULL;
	if (old) { /* it began anew before the old handshake was over */
		before = peers_hello_tag(&e->peers, handshake_random(old));
		metric_inc(&e->metrics, METRIC_handshake_replaced);
		peers_remove_handshake(&e->peers, old);
	}
	if (e->draining || !admission_ask(&e->admission, &who))
		return NULL;
	h = handshake_new(&e->env, &d->flow, d->listener, hello, &proof->prestate);
	if (!h) {
		peers_refuse_memory(&e->peers, &d->flow);
		admission_give_back(&e->admission, &who);
		return NULL;
	}
	steps_begun(&e->steps);
	handshake_set_before(h, before);
	peers_add_handshake(&e->peers, h, s);
	metric_inc(&e->metrics, METRIC_hello_admitted);
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

	metric_add(&e->metrics, METRIC_hello_received, e->from_backlog ? 0 : 1);
	if (!serving_at(&e->serving, d->listener)) {
		metric_inc(&e->metrics, METRIC_drop_unexpected);
		return NULL;
	}
	if (!classify_hello(r, &hello)) {
		metric_inc(&e->metrics, METRIC_drop_malformed);
		return NULL;
	}
	h = peers_handshake(&e->peers, &d->flow);
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
		h = peers_handshake(&e->peers, &d->flow);
	}
	if (h)
		peers_settle_handshake(&e->peers, h, handshake_record(h, r));
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
			peers_protected(&e->peers, &d->flow, &r);
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

/* Of a service that connects: whatever it is, it goes over a tunnel. */
static bool is_local(const struct engine *e, uint32_t listener)
{
	const struct service *s = e->serving.services[listener];

	return s && s->config.uplink;
}

static bool admits_local(const struct engine *e, uint32_t listener)
{
	return !e->draining && serving_at(&e->serving, listener);
}

static void take(struct engine *e, struct datagram *d)
{
	if (is_local(e, d->listener))
		tunnels_datagram(&e->tunnels, d, admits_local(e, d->listener));
	else
		on_datagram(e, d);
}

void engine_local(struct engine *e, uint32_t listener, const char *name, size_t name_len, const uint8_t *data,
		  size_t len)
{
	const struct tunnel_peer who = { .listener = listener, .name = name, .name_len = name_len };

	if (is_local(e, listener))
		tunnels_named(&e->tunnels, &who, admits_local(e, listener), data, len);
}

void engine_expect(const struct engine *e, const struct datagram *d, unsigned n)
{
	if (is_local(e, d->listener)) /* those of a batch are all of one listener */
		return;
	peers_expect(&e->peers, d, n);
}

void engine_datagram(struct engine *e, struct datagram *d)
{
	struct datagram one = *d;
	size_t left = d->len;

	if (d->segment == 0 || d->segment >= left) {
		take(e, d);
		return;
	}
	for (; left > 0; left -= one.len, one.data += one.len) {
		one.len = left < d->segment ? left : d->segment;
		take(e, &one);
	}
}

void engine_turn(struct engine *e)
{
	steps_turn(&e->steps);
}

static void run_backlog(struct engine *e)
{
	struct backlog_entry *w;

	e->from_backlog = true;
	while (steps_may_begin(&e->steps) && (w = backlog_take(&e->backlog))) {
		on_datagram(e, &w->datagram);
		free(w);
	}
	e->from_backlog = false;
}

void engine_too_large(struct engine *e, const struct tx_entry *t, size_t mtu)
{
	struct handshake *h = peers_handshake(&e->peers, &t->flow);

	if (!h) {
		/* a final flight; it goes out again when the peer asks */
		struct session *s = peers_session(&e->peers, &t->flow);

		if (s && mtu > 0 && mtu < s->final_mtu)
			s->final_mtu = (uint16_t)mtu;
		return;
	}
	handshake_too_large(h, mtu);
	peers_settle_handshake(&e->peers, h, HANDSHAKE_GOING);
}

void engine_letter(struct engine *e, struct letter *l)
{
	bus_letter(&e->bus, l);
}

/* ---- time ---- */

/* Once a second: a session that was not heard of for a few seconds keeps no AEAD handles. */
static void cool(struct engine *e)
{
	if (e->env.now - e->cooled_at < COOL_EVERY_MS)
		return;
	e->cooled_at = e->env.now;
	if (e->env.asks)
		psk_asks_clean(e->env.asks);
	e->peers.freed += record_cache_cool(e->env.cache, HOT_SESSIONS / 4);
	explain_tell(&e->explain, &e->metrics);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * malloc_trim passes over the free end of a thread's arena, where most of it may lie; that is given back when a block
 * beside it is freed that is larger than 64 KB and smaller than what is mapped by itself.
 */
static void give_back(void)
{
	void *volatile block;

	malloc_trim(0);
	block = malloc(TRIM_BLOCK);
	free(block);
}

/*
 * malloc keeps the pages of handshakes that are over and of AEAD handles that cooled: give them back, at
 * once when they are many. Milliseconds until that is due, UINT64_MAX: there are none.
 */
static uint64_t trim(struct engine *e)
{
	uint64_t now = e->env.now, due = e->trimmed_at + TRIM_FEW_MS;

	if (e->peers.freed == 0)
		return UINT64_MAX;
	if (e->peers.freed >= TRIM_FREED)
		due = least(e->peers.freed_at + TRIM_QUIET_MS, e->trimmed_at + TRIM_LATEST_MS);
	if (now < due)
		return due - now;
	e->peers.freed = 0;
	e->trimmed_at = now;
	give_back();
	return UINT64_MAX;
}

/* True: there is more. */
static bool run_inquiry(struct engine *e)
{
	bool busy = e->inquiry.busy, more = inquiry_run(&e->inquiry);

	if (busy && !e->inquiry.busy)
		e->news.settled(e->news.ctx, 0);
	return more;
}

uint64_t engine_run(struct engine *e)
{
	uint64_t now = e->env.now, misses = record_cache_misses(e->env.cache), wait;
	bool more, blocked;

	more = peers_run(&e->peers);
	more |= tunnels_run(&e->tunnels);
	more |= peers_take_keys(&e->peers);
	peers_take_steps(&e->peers);
	run_backlog(e);
	more |= !steps_none_wait(&e->steps) || !backlog_empty(&e->backlog);
	txq_flush(&e->txq);
	blocked = !txq_empty(&e->txq);
	if (!blocked) { /* what these say is said once: not while there is no room for it */
		more |= bus_run(&e->bus);
		more |= serving_run(&e->serving, &e->peers, &e->tunnels, &e->news);
		more |= run_inquiry(e);
		more |= e->draining && round_last(&e->last, &e->peers);
		more |= e->draining && tunnels_drain(&e->tunnels);
	}
	cool(e);
	wait = trim(e);
	wait = least(wait, blocked ? BLOCKED_MS : inquiry_wait(&e->inquiry, WAIT_MOST_MS));
	metric_add(&e->metrics, METRIC_aead_set_up, misses - e->aead_seen);
	e->aead_seen = misses;
	txq_flush(&e->txq);
	if (more)
		return 0;
	if (explain_wanted(&e->explain, &e->metrics))
		wait = least(wait, e->cooled_at + COOL_EVERY_MS - now);
	wait = least(wait, tunnels_wait(&e->tunnels, WAIT_MOST_MS));
	return least(wait, peers_wait(&e->peers, WAIT_MOST_MS));
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
	int peers, tunnels;

	if (!e)
		return NULL;
	e->config = *c;
	e->news = (struct serving_news){ c->left, c->settled, c->ctx };
	e->trimmed_at = now_ms;
	cookie_init(&e->keys, c->cookie_master, c->cookie_lifetime_s);
	steps_init(&e->steps, 0);
	e->env = (struct env){
		.txq = &e->txq,
		.metrics = &e->metrics,
		.cache = record_cache_new(HOT_SESSIONS),
		.scratch = e->scratch,
		.bus = &e->bus,
		.inquiry = &e->inquiry,
		.steps = &e->steps,
		.services = e->serving.services,
		.upstream = c->upstream,
	};
	if (c->upstream) {
		upstream_count(c->upstream, &e->metrics);
		e->env.asks = psk_asks_new(c->upstream, &e->metrics, &e->env.now);
	}
	engine_time(e, now_ms, wall_s);
	e->peers.env = &e->env;
	e->peers.census = c->census;
	e->admission.peers = &e->peers;
	e->admission.census = c->census;
	e->tunnels.home = (struct tunnel_home){ .env = &e->env, .local = { c->local, c->ctx } };
	peers = peers_init(&e->peers, now_ms);
	tunnels = tunnels_init(&e->tunnels, now_ms);
	e->bus = (struct bus){ .sessions = e->peers.sessions, .index = c->index, .count = c->count, .post = c->post,
			       .post_ctx = c->ctx, .settle = peers_settle_session, .settle_ctx = &e->peers,
			       .env = &e->env };
	e->inquiry = (struct inquiry){ .env = &e->env, .sessions = e->peers.sessions, .settle = peers_settle_session,
				       .settle_ctx = &e->peers };
	inquiry_init(&e->inquiry);
	if (txq_init(&e->txq, c->flush, c->ctx) < 0 || !e->env.cache || peers < 0 || tunnels < 0 ||
	    (c->upstream && !e->env.asks) || backlog_init(&e->backlog, &e->peers.hash_key) < 0) {
		engine_free(e);
		return NULL;
	}
	return e;
}

void engine_free(struct engine *e)
{
	bus_clear(&e->bus);
	backlog_destroy(&e->backlog);
	inquiry_clear(&e->inquiry);
	peers_clear(&e->peers);
	tunnels_clear(&e->tunnels);
	psk_asks_free(e->env.asks);
	desks_clear(&e->env);
	if (e->env.cache)
		record_cache_free(e->env.cache);
	txq_destroy(&e->txq);
	cookie_wipe(&e->keys);
	explicit_bzero(e->scratch, sizeof(e->scratch));
	serving_clear(&e->serving);
	free(e);
}

void engine_apply(struct engine *e, const struct engine_settings *s)
{
	serving_apply(&e->serving, s->services, &e->inquiry);
	admission_set_rate(&e->admission, s->handshake_rate, e->env.now);
	e->steps.most = s->handshake_steps_per_turn;
}

void engine_drain(struct engine *e)
{
	e->draining = true;
	e->last = (struct round){ .sessions_done = false };
}

bool engine_drained(const struct engine *e)
{
	return e->draining && peers_none(&e->peers) && tunnels_none(&e->tunnels) && txq_empty(&e->txq);
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
	return table_count(e->peers.sessions);
}

size_t engine_handshakes(const struct engine *e)
{
	return table_count(e->peers.handshakes);
}
