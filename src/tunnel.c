/* SPDX-License-Identifier: BSD-2-Clause */
#include "tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "metrics.h"
#include "service.h"
#include "txq.h"
#include "uplink.h"
#include "upstream.h"

#define ASK_AGAIN_MS 20 /* until who waits for another's handshake asks again */
#define UNANSWERED 3    /* datagrams in a row, the first of them longer ago than the silence allowed */
#define PATIENCE_MOST 64 /* a server that never answers is asked for less and less often: up to so many times as long */

static void settle(struct tunnel *t);

static struct service *service_at(const struct tunnel *t)
{
	return t->home->env->services[t->listener];
}

static struct metrics *metrics_of(const struct tunnel *t)
{
	return t->home->env->metrics;
}

static uint64_t now_of(const struct tunnel *t)
{
	return t->home->env->now;
}

/* ---- towards the local peer ---- */

static void to_peer(void *ctx, const uint8_t *data, size_t len)
{
	struct tunnel *t = ctx;
	struct txq *q = t->home->env->txq;
	uint8_t *room;

	t->used_at = now_of(t);
	t->asked_at = 0;
	t->patience = 1;
	metric_inc(metrics_of(t), METRIC_connect_in);
	if (t->name_len) {
		t->home->local.send(t->home->local.ctx, t->listener, t->name, t->name_len, &t->unheard,
				   data, len);
		return;
	}
	room = txq_reserve(q, len);
	if (!room) {
		metric_inc(metrics_of(t), METRIC_tx_queue_full);
		return;
	}
	memcpy(room, data, len);
	txq_commit(q, &t->node.flow, t->listener, len, false);
}

/* ---- beginning a session ---- */

static void on_changed(void *ctx, struct line *l)
{
	(void)l;
	settle(ctx);
}

static void on_soon(void *ctx, struct line *l)
{
	struct tunnel *t = ctx;

	(void)l;
	t->soon = true;
	wheel_set(&t->home->timers, &t->timer, now_of(t));
}

static void handshake_over(struct tunnel *t)
{
	if (t->counted)
		quota_handshake_over(service_quota(service_at(t)));
	t->counted = false;
}

/* One of the servers that may be asked now, or the verdict on the last of them. */
static enum uplink_verdict choose(struct tunnel *t, unsigned *server, struct uplink_offer *offer)
{
	const struct service_config *c = &service_at(t)->config;
	struct backends *b = c->forward.backends;
	enum uplink_verdict v = UPLINK_DOWN;
	bool trial;

	for (unsigned n = backends_count(b); n > 0 && v == UPLINK_DOWN; n--) {
		*server = backends_choose(b, now_of(t), &trial);
		v = uplink_may_dial(c->uplink, &backends_addr(b, *server)->addr, now_of(t), offer);
	}
	return v;
}

static bool open_next(struct tunnel *t, unsigned server, const struct uplink_offer *offer)
{
	struct service *s = service_at(t);
	const struct line_config c = {
		.env = t->home->env,
		.service = s,
		.backend = server,
		.offer = offer,
		.owner = { .data = to_peer, .changed = on_changed, .soon = on_soon, .ctx = t },
	};
	int err = line_open(&t->next, &c);

	if (err == 0)
		return true;
	uplink_failed(s->config.uplink, &backends_addr(s->config.forward.backends, server)->addr, UPLINK_OURS, now_of(t),
		      now_of(t));
	metric_inc(metrics_of(t), err == -EADDRNOTAVAIL ? METRIC_limited_ports : METRIC_limited_sockets);
	log_limited(LOG_WARNING_, NULL, "service %s: no socket for another session: %s", s->config.name,
		    upstream_advice(err));
	return false;
}

/* Is there a session to come? What is wrong with sockets is counted and told of here. */
enum outlook { TO_COME, NO_SERVER, NO_SOCKET };

static enum outlook begin(struct tunnel *t)
{
	struct uplink_offer offer = { .number = 0 };
	enum outlook o = NO_SERVER;
	unsigned server;

	t->waits = false;
	switch (choose(t, &server, &offer)) {
	case UPLINK_GO:
		o = open_next(t, server, &offer) ? TO_COME : NO_SOCKET;
		break;
	case UPLINK_WAIT:
		t->waits = now_of(t) < t->ask_by;
		o = t->waits ? TO_COME : NO_SERVER;
		break;
	case UPLINK_DOWN:
		break;
	}
	uplink_forget(&offer.saved);
	return o;
}

/* ---- ending one ---- */

/* No session is to come. What waits for one is not sent over one that comes much later. */
static void give_up(struct tunnel *t)
{
	handshake_over(t);
	metric_add(metrics_of(t), METRIC_connect_dropped, held_drop(&t->held));
}

static void close_lines(struct tunnel *t)
{
	if (t->line)
		line_close(t->line);
	if (t->next)
		line_close(t->next);
	t->line = t->next = NULL;
}

void tunnel_remove(struct tunnel *t)
{
	close_lines(t);
	give_up(t);
	quota_leave(service_quota(service_at(t)));
	wheel_cancel(&t->home->timers, &t->timer);
	table_remove(t->home->table, &t->node);
	free(t);
}

/* ---- what has become of it ---- */

static void send_one(void *ctx, const uint8_t *data, size_t len)
{
	struct tunnel *t = ctx;

	switch (line_send(t->line, data, len)) {
	case 0:
		metric_inc(metrics_of(t), METRIC_connect_out);
		break;
	case -ENOMEM:
		metric_inc(metrics_of(t), METRIC_limited_memory);
		break;
	case -EMSGSIZE:
		metric_inc(metrics_of(t), METRIC_connect_too_large);
		log_limited(LOG_WARNING_, t->name_len ? NULL : &t->node.flow,
			    "service %s: a datagram of %zu bytes does not fit into a record: dropped; have the local peer "
			    "send shorter ones", service_at(t)->config.name, len);
		break;
	default:
		metric_inc(metrics_of(t), METRIC_connect_dropped);
	}
}

/* The new session takes the place of the old one, if there is one. */
static void promote(struct tunnel *t)
{
	if (t->line)
		line_close(t->line);
	t->line = t->next;
	t->next = NULL;
	t->asked_at = 0;
	handshake_over(t);
	held_release(&t->held, send_one, t);
}

/* A new session, though there is one, if there may be another handshake and the server has not failed just now. */
static void renew(struct tunnel *t)
{
	if (t->next || t->waits || t->counted)
		return;
	if (quota_admit(service_quota(service_at(t)), true) != QUOTA_OK)
		return;
	t->counted = true;
	t->asked_at = 0;
	t->ask_by = now_of(t) + service_at(t)->config.handshake_timeout_ms;
	if (begin(t) == TO_COME)
		metric_inc(metrics_of(t), METRIC_connect_renewed);
	else
		handshake_over(t);
}

static void look_at_next(struct tunnel *t)
{
	if (t->next && line_state(t->next) == LINE_OVER) {
		line_close(t->next);
		t->next = NULL;
		if (begin(t) != TO_COME) /* perhaps with another of its servers */
			give_up(t);
	}
	if (t->next && line_state(t->next) == LINE_OPEN)
		promote(t);
}

static void look_at_line(struct tunnel *t)
{
	if (t->line && line_state(t->line) == LINE_OVER) {
		line_close(t->line);
		t->line = NULL;
	}
	if (t->line && line_state(t->line) == LINE_REFUSED)
		renew(t);
}

static uint64_t idle_due(const struct tunnel *t)
{
	uint64_t idle = service_at(t)->config.idle_timeout_ms;

	return idle ? t->used_at + idle : UINT64_MAX;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void tunnel_arm(struct tunnel *t)
{
	uint64_t due = idle_due(t);

	if (t->next)
		due = least(due, line_due(t->next));
	if (t->line)
		due = least(due, line_due(t->line));
	if (t->waits)
		due = least(due, now_of(t) + ASK_AGAIN_MS);
	if (t->soon)
		due = now_of(t);
	/* most that comes does not bring it forward, and when it fires it finds out how long it has */
	if (due == UINT64_MAX)
		wheel_cancel(&t->home->timers, &t->timer);
	else if (!timer_armed(&t->timer) || due < t->timer.expiry)
		wheel_set(&t->home->timers, &t->timer, due);
}

/* It goes on, or is removed. */
static void settle(struct tunnel *t)
{
	look_at_next(t);
	look_at_line(t);
	if (t->line || t->next || t->waits)
		tunnel_arm(t);
	else
		tunnel_remove(t);
}

void tunnel_tick(struct tunnel *t)
{
	t->soon = false;
	if (now_of(t) >= idle_due(t)) {
		metric_inc(metrics_of(t), METRIC_connect_closed_idle);
		tunnel_remove(t);
		return;
	}
	if (t->next)
		line_tick(t->next);
	if (t->line)
		line_tick(t->line);
	if (t->waits && begin(t) != TO_COME)
		give_up(t);
	settle(t);
}

/* ---- from the local peer ---- */

static void hold(struct tunnel *t, const uint8_t *data, size_t len)
{
	metric_inc(metrics_of(t), held_add(&t->held, data, len) ? METRIC_connect_held : METRIC_connect_dropped);
}

/* Has the server been silent for too long? */
static void note_asked(struct tunnel *t)
{
	uint64_t silence = service_at(t)->config.silence_ms;

	if (!t->asked_at) {
		t->asked_at = now_of(t);
		t->unanswered = 0;
	}
	if (++t->unanswered < UNANSWERED || !silence || now_of(t) - t->asked_at < silence * t->patience)
		return;
	if (t->patience < PATIENCE_MOST)
		t->patience *= 2;
	renew(t);
}

/* There is nobody at the other end of its session, as it seems. */
static bool is_lost(const struct tunnel *t)
{
	return t->line && (line_state(t->line) == LINE_REFUSED || line_forgotten(t->line));
}

void tunnel_data(struct tunnel *t, const uint8_t *data, size_t len)
{
	t->used_at = now_of(t);
	t->unheard = 0;
	if (is_lost(t))
		renew(t);
	if (!t->line || (is_lost(t) && (t->next || t->waits))) {
		hold(t, data, len);
		settle(t);
		return;
	}
	send_one(t, data, len);
	note_asked(t);
	settle(t);
}

/* NULL: there is no memory. */
static struct tunnel *make(struct tunnel_home *home, const struct tunnel_peer *who)
{
	const struct service *s = home->env->services[who->listener];
	struct tunnel *t = calloc(1, sizeof(*t) + who->name_len);

	if (!t)
		return NULL;
	t->node.flow = who->flow;
	t->home = home;
	t->listener = who->listener;
	t->counted = true;
	t->patience = 1;
	t->used_at = home->env->now;
	t->ask_by = home->env->now + s->config.handshake_timeout_ms;
	t->name_len = who->name_len;
	memcpy(t->name, who->name, who->name_len);
	table_insert(home->table, &t->node);
	return t;
}

bool tunnel_begin(struct tunnel_home *home, const struct tunnel_peer *who, const uint8_t *data, size_t len)
{
	struct quota *quota = service_quota(home->env->services[who->listener]);
	struct tunnel *t = make(home, who);
	enum outlook o;

	if (!t) {
		metric_inc(home->env->metrics, METRIC_limited_memory);
		quota_handshake_over(quota);
		quota_leave(quota);
		return false;
	}
	o = begin(t);
	if (o != TO_COME) {
		if (o == NO_SERVER)
			metric_inc(metrics_of(t), METRIC_connect_down);
		tunnel_remove(t);
		return false;
	}
	hold(t, data, len);
	settle(t);
	return true;
}

bool tunnel_is(const struct tunnel *t, const struct tunnel_peer *who)
{
	return t->listener == who->listener && t->name_len == who->name_len &&
	       memcmp(t->name, who->name, who->name_len) == 0;
}
