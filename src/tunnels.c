/* SPDX-License-Identifier: BSD-2-Clause */
#include "tunnels.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "log.h"
#include "metrics.h"
#include "service.h"

#define A_RUN 64 /* timers and visits in one piece of work */

static bool admit_new(struct tunnels *ts, const struct tunnel_peer *who)
{
	struct service *s = ts->home.env->services[who->listener];
	enum quota_verdict v = quota_admit(service_quota(s), false);

	if (v == QUOTA_OK)
		return true;
	metric_inc(ts->home.env->metrics, METRIC_limited_connect);
	log_limited(LOG_WARNING_, who->name_len ? NULL : &who->flow,
		    "local peer refused: service %s has all that it may have: raise its %s", s->config.name,
		    v == QUOTA_SESSIONS ? "max-sessions" : "max-handshakes");
	return false;
}

static void take(struct tunnels *ts, const struct tunnel_peer *who, bool admit, const uint8_t *data, size_t len)
{
	struct table_node *n = table_find(ts->home.table, &who->flow);
	struct metrics *m = ts->home.env->metrics;

	if (n && tunnel_is(tunnel_of_node(n), who))
		tunnel_data(tunnel_of_node(n), data, len);
	else if (n || !admit)
		metric_inc(m, METRIC_connect_dropped);
	else if (admit_new(ts, who) && tunnel_begin(&ts->home, who, data, len))
		metric_inc(m, METRIC_connect_peers);
}

void tunnels_datagram(struct tunnels *t, const struct datagram *d, bool admit)
{
	const struct tunnel_peer who = { .flow = d->flow, .listener = d->listener, .name = "" };

	take(t, &who, admit, d->data, d->len);
}

void tunnels_named(struct tunnels *t, const struct tunnel_peer *who, bool admit, const uint8_t *data, size_t len)
{
	/* two keyed hashes of the name, in the place of an address of that family */
	uint64_t a = siphash(&t->key, who->name, who->name_len), b = siphash(&t->name_key, who->name, who->name_len);
	struct tunnel_peer hashed = *who;

	hashed.flow = (struct flow){ .peer = { .family = AF_UNIX, .scope = who->listener } };
	memcpy(hashed.flow.peer.ip, &a, sizeof(a));
	memcpy(hashed.flow.peer.ip + sizeof(a), &b, sizeof(b));
	take(t, &hashed, admit, data, len);
}

/* ---- time ---- */

static void fire(void *ctx, struct timer *w)
{
	(void)ctx;
	tunnel_tick(tunnel_of_timer(w));
}

bool tunnels_run(struct tunnels *t)
{
	return wheel_run(&t->home.timers, t->home.env->now, A_RUN, fire, t) == A_RUN;
}

uint64_t tunnels_wait(const struct tunnels *t, uint64_t limit_ms)
{
	return wheel_wait(&t->home.timers, t->home.env->now, limit_ms);
}

static void look(void *ctx, struct table_node *n)
{
	const bool *leaving = ctx;
	struct tunnel *t = tunnel_of_node(n);

	if (leaving[t->listener])
		tunnel_remove(t);
	else
		tunnel_arm(t); /* its time-out may be another one now */
}

bool tunnels_sweep(struct tunnels *t, bool *begun, const bool *leaving)
{
	if (!*begun)
		t->cursor = 0;
	*begun = true;
	return table_walk(t->home.table, &t->cursor, A_RUN, look, (void *)(uintptr_t)leaving);
}

static void goodbye(void *ctx, struct table_node *n)
{
	(void)ctx;
	tunnel_remove(tunnel_of_node(n));
}

bool tunnels_drain(struct tunnels *t)
{
	uint64_t cursor = 0;

	if (!tunnels_none(t))
		table_walk(t->home.table, &cursor, A_RUN, goodbye, NULL);
	return !tunnels_none(t);
}

bool tunnels_none(const struct tunnels *t)
{
	return table_count(t->home.table) == 0;
}

/* ---- life ---- */

int tunnels_init(struct tunnels *t, uint64_t now_ms)
{
	wheel_init(&t->home.timers, now_ms);
	if (getrandom(&t->key, sizeof(t->key), 0) != sizeof(t->key) ||
	    getrandom(&t->name_key, sizeof(t->name_key), 0) != sizeof(t->name_key))
		return -ENOMEM;
	t->home.table = table_new(&t->key);
	return t->home.table ? 0 : -ENOMEM;
}

void tunnels_clear(struct tunnels *t)
{
	if (!t->home.table)
		return;
	while (tunnels_drain(t))
		;
	table_free(t->home.table);
}
