/* SPDX-License-Identifier: BSD-2-Clause */
#include "tunnels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "held.h"
#include "line.h"
#include "log.h"
#include "metrics.h"
#include "service.h"
#include "txq.h"
#include "uplink.h"
#include "upstream.h"

#define A_RUN 64        /* timers and visits in one piece of work */
#define ASK_AGAIN_MS 20 /* until who waits for another's handshake asks again */
#define UNANSWERED 3    /* datagrams in a row, the first of them longer ago than the silence allowed */
#define PATIENCE_MOST 64 /* a server that never answers is asked for less and less often: up to so many times as long */

struct tunnel {
	struct table_node node;
	struct timer timer;
	struct tunnels *all;
	uint32_t listener;
	struct line *line;      /* open, or was; NULL: none */
	struct line *next;      /* begun: NULL: none */
	bool waits;             /* for its turn to begin one */
	bool soon;              /* to be looked at when the timers run */
	bool counted;           /* a handshake of the quota is taken */
	uint64_t ask_by;        /* ms: waits no longer */
	struct held held;
	uint64_t used_at;       /* ms: a datagram came, from either side */
	uint64_t asked_at;      /* the first datagram since the server was heard of; 0: it was heard since */
	unsigned unanswered, patience;
	size_t name_len;        /* of a unix peer; 0: it is UDP */
	char name[];
};

static void settle(struct tunnel *t);

static struct tunnel *tunnel_of_node(struct table_node *n)
{
	return (struct tunnel *)(void *)((char *)n - offsetof(struct tunnel, node));
}

static struct tunnel *tunnel_of_timer(struct timer *w)
{
	return (struct tunnel *)(void *)((char *)w - offsetof(struct tunnel, timer));
}

static struct service *service_at(const struct tunnel *t)
{
	return t->all->env->services[t->listener];
}

static struct metrics *metrics_of(const struct tunnel *t)
{
	return t->all->env->metrics;
}

static uint64_t now_of(const struct tunnel *t)
{
	return t->all->env->now;
}

/* ---- towards the local peer ---- */

static void to_peer(void *ctx, const uint8_t *data, size_t len)
{
	struct tunnel *t = ctx;
	struct txq *q = t->all->env->txq;
	uint8_t *room;

	t->used_at = now_of(t);
	t->asked_at = 0;
	t->patience = 1;
	metric_inc(metrics_of(t), METRIC_connect_in);
	if (t->name_len) {
		t->all->local.send(t->all->local.ctx, t->listener, t->name, t->name_len, data, len);
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
	wheel_set(&t->all->timers, &t->timer, now_of(t));
}

/* For the log; what stands for the name of a unix socket says nothing. */
static const struct flow *readable(const struct flow *flow)
{
	return flow->peer.family == AF_UNIX ? NULL : flow;
}

static void handshake_over(struct tunnel *t)
{
	if (t->counted)
		quota_handshake_over(service_quota(service_at(t)));
	t->counted = false;
}

/* One of the servers that may be asked now, or the verdict on the last of them. */
static enum uplink_verdict choose(struct tunnel *t, unsigned *server, gnutls_datum_t *saved)
{
	const struct service_config *c = &service_at(t)->config;
	struct backends *b = c->forward.backends;
	enum uplink_verdict v = UPLINK_DOWN;
	bool trial;

	for (unsigned n = backends_count(b); n > 0 && v == UPLINK_DOWN; n--) {
		*server = backends_choose(b, now_of(t), &trial);
		v = uplink_may_dial(c->uplink, &backends_addr(b, *server)->addr, now_of(t), saved);
	}
	return v;
}

static bool open_next(struct tunnel *t, unsigned server, const gnutls_datum_t *saved)
{
	struct service *s = service_at(t);
	const struct line_config c = {
		.env = t->all->env,
		.service = s,
		.backend = server,
		.saved = saved,
		.owner = { .data = to_peer, .changed = on_changed, .soon = on_soon, .ctx = t },
	};
	int err = line_open(&t->next, &c);

	if (err == 0)
		return true;
	uplink_failed(s->config.uplink, &backends_addr(s->config.forward.backends, server)->addr, UPLINK_OURS, now_of(t),
		      now_of(t));
	metric_inc(metrics_of(t), err == -EADDRNOTAVAIL ? METRIC_limited_ports : METRIC_limited_sockets);
	log_limited(LOG_WARNING_, NULL, "service %s: no socket for another session: %s", s->config.name, upstream_advice(err));
	return false;
}

/* false: there is no session to come: the server is down, or sockets are. */
static bool begin(struct tunnel *t)
{
	gnutls_datum_t saved = { NULL, 0 };
	bool begun = false;
	unsigned server;

	t->waits = false;
	switch (choose(t, &server, &saved)) {
	case UPLINK_GO:
		begun = open_next(t, server, &saved);
		break;
	case UPLINK_WAIT:
		t->waits = now_of(t) < t->ask_by;
		begun = t->waits;
		break;
	case UPLINK_DOWN:
		break;
	}
	uplink_forget(&saved);
	return begun;
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

static void remove_tunnel(struct tunnel *t)
{
	close_lines(t);
	give_up(t);
	quota_leave(service_quota(service_at(t)));
	wheel_cancel(&t->all->timers, &t->timer);
	table_remove(t->all->table, &t->node);
	free(t);
}

/* ---- what has become of it ---- */

static void send_one(void *ctx, const uint8_t *data, size_t len)
{
	struct tunnel *t = ctx;
	int err = line_send(t->line, data, len);

	if (err == 0)
		metric_inc(metrics_of(t), METRIC_connect_out);
	else if (err == -ENOMEM)
		metric_inc(metrics_of(t), METRIC_limited_memory);
	else if (err != -EMSGSIZE)
		metric_inc(metrics_of(t), METRIC_connect_dropped);
	else {
		metric_inc(metrics_of(t), METRIC_connect_too_large);
		log_limited(LOG_WARNING_, readable(&t->node.flow), "service %s: a datagram of %zu bytes does not fit into a record: "
			    "dropped; have the local peer send shorter ones", service_at(t)->config.name, len);
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
	if (begin(t))
		metric_inc(metrics_of(t), METRIC_connect_renewed);
	else
		handshake_over(t);
}

/* false: there is none any more, and nothing to wait for. */
static bool look_at_next(struct tunnel *t)
{
	if (t->next && line_state(t->next) == LINE_OVER) {
		line_close(t->next);
		t->next = NULL;
		if (!begin(t)) /* perhaps with another of its servers */
			give_up(t);
	}
	if (t->next && line_state(t->next) == LINE_OPEN)
		promote(t);
	return t->next || t->waits || t->line;
}

static bool look_at_line(struct tunnel *t)
{
	if (t->line && line_state(t->line) == LINE_OVER) {
		line_close(t->line);
		t->line = NULL;
	}
	if (t->line && line_state(t->line) == LINE_REFUSED)
		renew(t);
	return t->line || t->next || t->waits;
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

static void arm(struct tunnel *t)
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
		wheel_cancel(&t->all->timers, &t->timer);
	else if (!timer_armed(&t->timer) || due < t->timer.expiry)
		wheel_set(&t->all->timers, &t->timer, due);
}

/* It goes on, or is removed. */
static void settle(struct tunnel *t)
{
	bool there = look_at_next(t);

	there &= look_at_line(t);
	if (!there)
		remove_tunnel(t);
	else
		arm(t);
}

static void fire(void *ctx, struct timer *w)
{
	struct tunnel *t = tunnel_of_timer(w);

	(void)ctx;
	t->soon = false;
	if (now_of(t) >= idle_due(t)) {
		metric_inc(metrics_of(t), METRIC_connect_closed_idle);
		remove_tunnel(t);
		return;
	}
	if (t->next)
		line_tick(t->next);
	if (t->line)
		line_tick(t->line);
	if (t->waits && !begin(t))
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

static void from_peer(struct tunnel *t, const uint8_t *data, size_t len)
{
	t->used_at = now_of(t);
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

static bool admit_new(struct tunnels *ts, const struct flow *flow, struct service *s)
{
	enum quota_verdict v = quota_admit(service_quota(s), false);

	if (v == QUOTA_OK)
		return true;
	metric_inc(ts->env->metrics, METRIC_limited_connect);
	log_limited(LOG_WARNING_, readable(flow), "local peer refused: service %s has all that it may have: raise its %s",
		    s->config.name, v == QUOTA_SESSIONS ? "max-sessions" : "max-handshakes");
	return false;
}

/* NULL: there is no place for it, or no server. */
static struct tunnel *make(struct tunnels *ts, const struct flow *flow, uint32_t listener, const char *name,
			   size_t name_len)
{
	struct service *s = ts->env->services[listener];
	struct tunnel *t;

	if (!admit_new(ts, flow, s))
		return NULL;
	t = calloc(1, sizeof(*t) + name_len);
	if (!t) {
		metric_inc(ts->env->metrics, METRIC_limited_memory);
		quota_handshake_over(service_quota(s));
		quota_leave(service_quota(s));
		return NULL;
	}
	t->all = ts;
	t->node.flow = *flow;
	t->listener = listener;
	t->counted = true;
	t->patience = 1;
	t->used_at = ts->env->now;
	t->ask_by = ts->env->now + s->config.handshake_timeout_ms;
	t->name_len = name_len;
	memcpy(t->name, name, name_len);
	table_insert(ts->table, &t->node);
	return t;
}

static void from_stranger(struct tunnels *ts, const struct flow *flow, uint32_t listener, const char *name,
			  size_t name_len, const uint8_t *data, size_t len)
{
	struct tunnel *t = make(ts, flow, listener, name, name_len);

	if (!t)
		return;
	if (!begin(t)) {
		metric_inc(ts->env->metrics, METRIC_connect_down);
		remove_tunnel(t);
		return;
	}
	metric_inc(ts->env->metrics, METRIC_connect_peers);
	hold(t, data, len);
	settle(t);
}

static void take(struct tunnels *ts, const struct flow *flow, uint32_t listener, bool admit, const char *name,
		 size_t name_len, const uint8_t *data, size_t len)
{
	struct table_node *n = table_find(ts->table, flow);
	struct tunnel *t = n ? tunnel_of_node(n) : NULL;

	if (t && t->listener == listener && t->name_len == name_len && memcmp(t->name, name, name_len) == 0)
		from_peer(t, data, len);
	else if (!t && admit)
		from_stranger(ts, flow, listener, name, name_len, data, len);
	else
		metric_inc(ts->env->metrics, METRIC_connect_dropped);
}

void tunnels_datagram(struct tunnels *t, const struct flow *flow, uint32_t listener, bool admit, const uint8_t *data,
		      size_t len)
{
	take(t, flow, listener, admit, "", 0, data, len);
}

/* A flow that stands for the name: two keyed hashes of it, in the place of an address of that family. */
void tunnels_named(struct tunnels *t, const char *name, size_t name_len, uint32_t listener, bool admit,
		   const uint8_t *data, size_t len)
{
	struct flow flow = { .peer = { .family = AF_UNIX, .scope = listener } };
	uint64_t a = siphash(&t->key, name, name_len), b = siphash(&t->name_key, name, name_len);

	memcpy(flow.peer.ip, &a, sizeof(a));
	memcpy(flow.peer.ip + sizeof(a), &b, sizeof(b));
	take(t, &flow, listener, admit, name, name_len, data, len);
}

/* ---- time ---- */

bool tunnels_run(struct tunnels *t)
{
	return wheel_run(&t->timers, t->env->now, A_RUN, fire, t) == A_RUN;
}

uint64_t tunnels_wait(const struct tunnels *t, uint64_t limit_ms)
{
	return wheel_wait(&t->timers, t->env->now, limit_ms);
}

static void look(void *ctx, struct table_node *n)
{
	const bool *leaving = ctx;
	struct tunnel *t = tunnel_of_node(n);

	if (leaving[t->listener])
		remove_tunnel(t);
	else
		arm(t); /* its time-out may be another one now */
}

bool tunnels_sweep(struct tunnels *t, bool *begun, const bool *leaving)
{
	if (!*begun)
		t->cursor = 0;
	*begun = true;
	return table_walk(t->table, &t->cursor, A_RUN, look, (void *)(uintptr_t)leaving);
}

static void goodbye(void *ctx, struct table_node *n)
{
	(void)ctx;
	remove_tunnel(tunnel_of_node(n));
}

bool tunnels_drain(struct tunnels *t)
{
	uint64_t cursor = 0;

	if (!tunnels_none(t))
		table_walk(t->table, &cursor, A_RUN, goodbye, NULL);
	return !tunnels_none(t);
}

bool tunnels_none(const struct tunnels *t)
{
	return table_count(t->table) == 0;
}

/* ---- life ---- */

int tunnels_init(struct tunnels *t, uint64_t now_ms)
{
	wheel_init(&t->timers, now_ms);
	if (getrandom(&t->key, sizeof(t->key), 0) != sizeof(t->key) ||
	    getrandom(&t->name_key, sizeof(t->name_key), 0) != sizeof(t->name_key))
		return -ENOMEM;
	t->table = table_new(&t->key);
	return t->table ? 0 : -ENOMEM;
}

void tunnels_clear(struct tunnels *t)
{
	if (!t->table)
		return;
	while (tunnels_drain(t))
		;
	table_free(t->table);
}
