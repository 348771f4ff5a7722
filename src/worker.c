/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "clock.h"
#include "log.h"
#include "mailbox.h"
#include "txq.h"
#include "unixdgram.h"

/* Batches of records taken from one socket before the others and the timers get their turn; of hellos it is one. */
#define BATCHES_A_TURN 4
#define LOCAL_A_TURN 64      /* datagrams from a unix socket */
#define LOCAL_SIZE (64 * 1024) /* what is larger than that is larger than any record */

/* Of what is ready in one turn of the loop, records are served first, hellos last. */
enum { PRIORITY_HELLOS = -1, PRIORITY_OTHERS = 0, PRIORITY_RECORDS = 1 };

enum order_kind { ORDER_CHANGE, ORDER_DRAIN };

struct order {
	struct letter letter; /* first */
	enum order_kind kind;
	struct worker_settings *settings; /* CHANGE: the order's, with references to the services */
	uint64_t most_ms;     /* DRAIN */
	bool kept;            /* part of the worker, not to be freed */
};

struct worker_change {
	struct order order; /* first */
	struct worker_settings settings;
};

/* The watchers of one listener's sockets. The send side is watched only while the kernel takes no more. */
struct port {
	struct worker *worker;
	ev_io readable, writable;
	ev_io hellos; /* of the socket for these; what is answered leaves from the other one */
};

struct worker {
	struct worker_config config;
	struct engine *engine;
	struct udp_rx *rx;
	uint8_t *local;          /* LOCAL_SIZE bytes for a datagram from a unix socket */
	struct upstream *upstream;
	ev_io answers; /* from backends */
	struct ev_loop *loop;
	ev_async knock;
	ev_timer timer;
	ev_prepare prepare;
	ev_idle idle;
	/* by listener; fd -1: none */
	struct port ports[LISTENERS_MOST];
	struct udp_socket sockets[LISTENERS_MOST], hello_sockets[LISTENERS_MOST];
	struct mailbox letters; /* for the engine */
	struct mailbox orders;  /* for this worker */
	struct order farewells[2]; /* the main thread's: to stop, and to hurry, takes no memory that may be out */
	unsigned said;
	bool draining;
	uint64_t drain_by;
	bool started;
	pthread_t thread;
};

static void wake(void *ctx)
{
	struct worker *w = ctx;

	ev_async_send(w->loop, &w->knock);
}

static bool post(void *ctx, unsigned to, struct letter *l)
{
	struct worker *w = ctx;

	assert(to < w->config.engine.count);
	return mailbox_post(&w->config.all[to]->letters, l);
}

static void too_large(void *ctx, const struct tx_entry *e, size_t mtu)
{
	struct worker *w = ctx;

	engine_too_large(w->engine, e, mtu);
}

static void flush(void *ctx, struct txq *q)
{
	struct udp_socket *blocked = NULL;
	struct worker *w = ctx;

	if (udp_send(w->sockets, q, engine_metrics(w->engine), too_large, w, &blocked) == -EAGAIN)
		ev_io_start(w->loop, &w->ports[blocked - w->sockets].writable);
}

static void set_time(struct worker *w)
{
	engine_time(w->engine, clock_mono_ms(), clock_wall_s());
}

/* What every turn ends with: timers, what is queued, and when to be called again. */
static void end_turn(struct worker *w)
{
	uint64_t wait = engine_run(w->engine);

	upstream_flush(w->upstream);

	if (w->draining) {
		uint64_t now = clock_mono_ms();

		if (engine_drained(w->engine)) {
			ev_break(w->loop, EVBREAK_ALL);
			return;
		}
		if (now >= w->drain_by) {
			log_warning("%zu sessions were not told that the server stops: raise --drain-time",
				    engine_sessions(w->engine));
			ev_break(w->loop, EVBREAK_ALL);
			return;
		}
		if (wait > w->drain_by - now)
			wait = w->drain_by - now;
	}
	/* a timer that is due at once would still let the loop sleep for a millisecond */
	if (wait == 0)
		ev_idle_start(w->loop, &w->idle);
	else
		ev_idle_stop(w->loop, &w->idle);
	if (wait == 0 || wait == UINT64_MAX) {
		ev_timer_stop(w->loop, &w->timer);
		return;
	}
	w->timer.repeat = (double)wait / 1000;
	ev_timer_again(w->loop, &w->timer);
}

static void receive(void *ctx, struct datagram *d, unsigned n)
{
	struct worker *w = ctx;

	engine_expect(w->engine, d, n);
	for (unsigned i = 0; i < n; i++)
		engine_datagram(w->engine, &d[i]);
}

/* What hellos need does not depend on the number of sessions. */
static void receive_hellos(void *ctx, struct datagram *d, unsigned n)
{
	struct worker *w = ctx;

	for (unsigned i = 0; i < n; i++)
		engine_datagram(w->engine, &d[i]);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct port *p = io->data;
	struct worker *w = p->worker;

	(void)loop;
	(void)events;
	set_time(w);
	for (int i = 0; i < BATCHES_A_TURN; i++) {
		int n = udp_recv(&w->sockets[p - w->ports], w->rx, engine_metrics(w->engine), receive, w);

		txq_flush(engine_txq(w->engine));
		upstream_flush(w->upstream);
		if (n < UDP_BATCH)
			break;
	}
	end_turn(w);
}

static void receive_local(void *ctx, const char *name, size_t name_len, const uint8_t *data, size_t len)
{
	struct port *p = ctx;

	engine_local(p->worker->engine, (uint32_t)(p - p->worker->ports), name, name_len, data, len);
}

static void on_local(struct ev_loop *loop, ev_io *io, int events)
{
	struct port *p = io->data;
	struct worker *w = p->worker;

	(void)loop;
	(void)events;
	set_time(w);
	unixdgram_recv(w->sockets[p - w->ports].fd, w->local, LOCAL_SIZE, LOCAL_A_TURN, engine_metrics(w->engine),
		       receive_local, p);
	end_turn(w);
}

static void send_local(void *ctx, uint32_t listener, const char *name, size_t name_len, uint32_t *unheard,
		       const void *data, size_t len)
{
	struct worker *w = ctx;

	unixdgram_send(w->sockets[listener].fd, engine_metrics(w->engine), name, name_len, unheard, data, len);
}

static void on_hellos(struct ev_loop *loop, ev_io *io, int events)
{
	struct port *p = io->data;
	struct worker *w = p->worker;

	(void)loop;
	(void)events;
	set_time(w);
	udp_recv(&w->hello_sockets[p - w->ports], w->rx, engine_metrics(w->engine), receive_hellos, w);
	end_turn(w);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
	struct port *p = io->data;

	(void)events;
	ev_io_stop(loop, io);
	set_time(p->worker);
	txq_flush(engine_txq(p->worker->engine));
	end_turn(p->worker);
}

static void on_answers(struct ev_loop *loop, ev_io *io, int events)
{
	struct worker *w = io->data;

	(void)loop;
	(void)events;
	set_time(w);
	upstream_run(w->upstream);
	end_turn(w);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct worker *w = t->data;

	(void)loop;
	(void)events;
	set_time(w);
	end_turn(w);
}

static void on_idle(struct ev_loop *loop, ev_idle *i, int events)
{
	struct worker *w = i->data;

	(void)loop;
	(void)events;
	set_time(w);
	end_turn(w);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *p, int events)
{
	struct worker *w = p->data;

	(void)loop;
	(void)events;
	engine_turn(w->engine);
}

static void order_free(struct order *o)
{
	for (unsigned i = 0; o->settings && i < LISTENERS_MOST; i++)
		service_unref(o->settings->engine.services[i]);
	if (!o->kept)
		free(o);
}

static void watch(struct worker *w, unsigned listener, const struct worker_settings *s)
{
	struct udp_socket *socket = &w->sockets[listener], *hellos = &w->hello_sockets[listener];
	struct port *p = &w->ports[listener];

	*socket = s->sockets[listener];
	*hellos = s->hello_sockets[listener];
	p->worker = w;
	p->readable.data = p->writable.data = p->hellos.data = p;
	ev_io_init(&p->readable, socket->named ? on_local : on_readable, socket->fd, EV_READ);
	ev_io_init(&p->writable, on_writable, socket->fd, EV_WRITE);
	ev_set_priority(&p->readable, PRIORITY_RECORDS);
	ev_io_start(w->loop, &p->readable);
	if (hellos->fd < 0)
		return;
	ev_io_init(&p->hellos, on_hellos, hellos->fd, EV_READ);
	ev_set_priority(&p->hellos, PRIORITY_HELLOS);
	ev_io_start(w->loop, &p->hellos);
}

static void left(void *ctx, unsigned listener)
{
	struct worker *w = ctx;
	struct port *p = &w->ports[listener];

	ev_io_stop(w->loop, &p->readable);
	ev_io_stop(w->loop, &p->writable);
	if (w->hello_sockets[listener].fd >= 0)
		ev_io_stop(w->loop, &p->hellos);
	w->sockets[listener].fd = w->hello_sockets[listener].fd = -1;
	w->config.left(w->config.ctx, listener);
}

static void settled(void *ctx, unsigned changes)
{
	struct worker *w = ctx;

	w->config.settled(w->config.ctx, changes);
}

static void change(struct worker *w, const struct worker_settings *s)
{
	engine_apply(w->engine, &s->engine);
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		if (s->engine.services[i] && w->sockets[i].fd < 0 && s->sockets[i].fd >= 0)
			watch(w, i, s);
}

static void obey(struct worker *w, struct order *o)
{
	uint64_t by;

	switch (o->kind) {
	case ORDER_CHANGE:
		change(w, o->settings);
		break;
	case ORDER_DRAIN:
		by = clock_mono_ms() + o->most_ms;
		if (!w->draining || by < w->drain_by)
			w->drain_by = by;
		w->draining = true;
		engine_drain(w->engine);
		break;
	}
	order_free(o);
}

static void on_knock(struct ev_loop *loop, ev_async *a, int events)
{
	struct worker *w = a->data;
	struct letter *l, *next;

	(void)loop;
	(void)events;
	set_time(w);
	for (l = mailbox_take(&w->orders); l; l = next) {
		next = l->next;
		obey(w, (struct order *)(void *)l);
	}
	for (l = mailbox_take(&w->letters); l; l = next) {
		next = l->next;
		engine_letter(w->engine, l);
	}
	end_turn(w);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	ev_run(w->loop, 0);
	w->config.done(w->config.ctx);
	return NULL;
}

static void drop_orders(struct letter *l)
{
	struct letter *next;

	for (; l; l = next) {
		struct order *o = (struct order *)(void *)l;

		next = l->next;
		order_free(o);
	}
}

static void drop_letters(struct letter *l)
{
	struct letter *next;

	for (; l; l = next) {
		next = l->next;
		free(l); /* a letter is the first member of what was allocated */
	}
}

static void on_nothing(struct ev_loop *loop, ev_timer *t, int events)
{
	(void)loop;
	(void)t;
	(void)events;
}

/*
 * libev's arrays grow when more is pending than ever before, and it ends the process when there is no memory
 * for that. So all that can be pending at a time is so once now: from here on the loop allocates nothing.
 */
static bool make_room(struct worker *w)
{
	unsigned n = 3 * LISTENERS_MOST + 8;
	ev_timer *some = calloc(n, sizeof(*some)), due;

	if (!some)
		return false;
	for (int priority = EV_MINPRI; priority <= EV_MAXPRI; priority++) {
		for (unsigned i = 0; i < n; i++) {
			ev_init(&some[i], on_nothing);
			ev_set_priority(&some[i], priority);
			ev_feed_event(w->loop, &some[i], EV_CUSTOM);
		}
		ev_invoke_pending(w->loop);
	}
	free(some);
	ev_timer_init(&due, on_nothing, 0, 0);
	ev_timer_start(w->loop, &due);
	ev_run(w->loop, EVRUN_NOWAIT);
	ev_timer_stop(w->loop, &due);
	ev_idle_start(w->loop, &w->idle);
	ev_idle_stop(w->loop, &w->idle);
	return true;
}

struct worker *worker_new(const struct worker_config *c)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->config = *c;
	w->config.engine.post = post;
	w->config.engine.flush = flush;
	w->config.engine.left = left;
	w->config.engine.local = send_local;
	w->config.engine.settled = settled;
	w->config.engine.ctx = w;
	mailbox_init(&w->letters, wake, w);
	mailbox_init(&w->orders, wake, w);
	w->loop = ev_loop_new(EVFLAG_AUTO);
	w->rx = udp_rx_new();
	w->local = malloc(LOCAL_SIZE);
	w->upstream = upstream_new(c->upstreams);
	w->config.engine.upstream = w->upstream;
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		w->sockets[i].fd = w->hello_sockets[i].fd = -1;
	w->engine = engine_new(&w->config.engine, clock_mono_ms(), clock_wall_s());
	if (!w->loop || !w->rx || !w->local || !w->upstream || !w->engine) {
		worker_free(w);
		return NULL;
	}
	ev_timer_init(&w->timer, on_timer, 0, 1);
	w->timer.data = w;
	ev_idle_init(&w->idle, on_idle);
	w->idle.data = w;
	if (!make_room(w)) {
		worker_free(w);
		return NULL;
	}
	ev_io_init(&w->answers, on_answers, upstream_fd(w->upstream), EV_READ);
	ev_set_priority(&w->answers, PRIORITY_RECORDS);
	w->answers.data = w;
	ev_io_start(w->loop, &w->answers);
	ev_async_init(&w->knock, on_knock);
	w->knock.data = w;
	ev_async_start(w->loop, &w->knock);
	ev_prepare_init(&w->prepare, on_prepare);
	w->prepare.data = w;
	ev_prepare_start(w->loop, &w->prepare);
	return w;
}

int worker_start(struct worker *w)
{
	sigset_t all, before;
	int err;

	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->started = err == 0;
	return -err;
}

void worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	w->started = false;
	/* the others may still post: from now on they keep what they have */
	drop_letters(mailbox_close(&w->letters));
	drop_orders(mailbox_close(&w->orders));
}

void worker_free(struct worker *w)
{
	if (w->engine)
		engine_free(w->engine);
	upstream_free(w->upstream);
	drop_letters(mailbox_close(&w->letters));
	drop_orders(mailbox_close(&w->orders));
	mailbox_destroy(&w->letters);
	mailbox_destroy(&w->orders);
	if (w->rx)
		udp_rx_free(w->rx);
	free(w->local);
	if (w->loop)
		ev_loop_destroy(w->loop);
	free(w);
}

struct worker_change *worker_prepare(const struct worker_settings *s)
{
	struct worker_change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->settings = *s;
	c->order.kind = ORDER_CHANGE;
	c->order.settings = &c->settings;
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		if (s->engine.services[i])
			service_ref(s->engine.services[i]);
	return c;
}

void worker_forget(struct worker_change *c)
{
	if (c)
		order_free(&c->order);
}

void worker_apply(struct worker *w, struct worker_change *c)
{
	if (!w->started)
		obey(w, &c->order);
	else if (!mailbox_post(&w->orders, &c->order.letter))
		worker_forget(c); /* it is at its end */
}

int worker_drain(struct worker *w, uint64_t most_ms)
{
	bool kept = w->said < sizeof(w->farewells) / sizeof(w->farewells[0]);
	struct order *o = kept ? &w->farewells[w->said++] : malloc(sizeof(*o));

	if (!o)
		return -ENOMEM;
	*o = (struct order){ .kind = ORDER_DRAIN, .most_ms = most_ms, .kept = kept };
	if (mailbox_post(&w->orders, &o->letter))
		return 0;
	order_free(o);
	return -ECONNRESET;
}

const struct metrics *worker_metrics(struct worker *w)
{
	return engine_metrics(w->engine);
}
