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

/* Batches of records taken from one socket before the others and the timers get their turn; of hellos it is one. */
#define BATCHES_A_TURN 4

/* Of what is ready in one turn of the loop, records are served first, hellos last. */
enum { PRIORITY_HELLOS = -1, PRIORITY_OTHERS = 0, PRIORITY_RECORDS = 1 };

enum order_kind { ORDER_RELOAD, ORDER_DRAIN };

struct order {
	struct letter letter; /* first */
	enum order_kind kind;
	struct tls *tls;      /* RELOAD: a reference that the order holds */
	uint64_t most_ms;     /* DRAIN */
	bool kept;            /* part of the worker, not to be freed */
};

/* A socket's watchers. Its send side is watched only while the kernel takes no more. */
struct port {
	struct worker *worker;
	struct udp_socket *socket;
	ev_io readable, writable;
};

/* The socket for hellos; what is answered leaves from the other one. */
struct lane {
	struct worker *worker;
	struct udp_socket *socket;
	ev_io readable;
};

struct worker {
	struct worker_config config;
	struct engine *engine;
	struct udp_rx *rx;
	struct ev_loop *loop;
	ev_async knock;
	ev_timer timer;
	ev_prepare prepare;
	ev_idle idle;
	struct port *ports;
	struct lane *lanes;
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

	if (udp_send(w->config.sockets, q, engine_metrics(w->engine), too_large, w, &blocked) == -EAGAIN)
		ev_io_start(w->loop, &w->ports[blocked - w->config.sockets].writable);
}

static void set_time(struct worker *w)
{
	engine_time(w->engine, clock_mono_ms(), clock_wall_s());
}

/* What every turn ends with: timers, what is queued, and when to be called again. */
static void end_turn(struct worker *w)
{
	uint64_t wait = engine_run(w->engine);

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

static void receive(void *ctx, struct datagram *d, size_t segment)
{
	struct worker *w = ctx;

	engine_datagram(w->engine, d, segment);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct port *p = io->data;
	struct worker *w = p->worker;

	(void)loop;
	(void)events;
	set_time(w);
	for (int i = 0; i < BATCHES_A_TURN; i++) {
		int n = udp_recv(p->socket, w->rx, engine_metrics(w->engine), receive, w);

		txq_flush(engine_txq(w->engine));
		if (n < UDP_BATCH)
			break;
	}
	end_turn(w);
}

static void on_hellos(struct ev_loop *loop, ev_io *io, int events)
{
	struct lane *l = io->data;
	struct worker *w = l->worker;

	(void)loop;
	(void)events;
	set_time(w);
	udp_recv(l->socket, w->rx, engine_metrics(w->engine), receive, w);
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
	if (!o->kept)
		free(o);
}

static void obey(struct worker *w, struct order *o)
{
	uint64_t by;

	switch (o->kind) {
	case ORDER_RELOAD:
		engine_set_tls(w->engine, o->tls);
		tls_unref(o->tls);
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
	w->config.done(w->config.done_ctx);
	return NULL;
}

static void drop_orders(struct letter *l)
{
	struct letter *next;

	for (; l; l = next) {
		struct order *o = (struct order *)(void *)l;

		next = l->next;
		tls_unref(o->tls);
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

static void watch_sockets(struct worker *w)
{
	const struct worker_config *c = &w->config;

	for (unsigned i = 0; i < c->socket_count; i++) {
		struct port *p = &w->ports[i];
		struct lane *l = &w->lanes[i];

		p->worker = w;
		p->socket = &c->sockets[i];
		ev_io_init(&p->readable, on_readable, p->socket->fd, EV_READ);
		ev_io_init(&p->writable, on_writable, p->socket->fd, EV_WRITE);
		ev_set_priority(&p->readable, PRIORITY_RECORDS);
		p->readable.data = p->writable.data = p;
		ev_io_start(w->loop, &p->readable);
		if (c->hello_sockets[i].fd < 0)
			continue;
		l->worker = w;
		l->socket = &c->hello_sockets[i];
		ev_io_init(&l->readable, on_hellos, l->socket->fd, EV_READ);
		ev_set_priority(&l->readable, PRIORITY_HELLOS);
		l->readable.data = l;
		ev_io_start(w->loop, &l->readable);
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
	unsigned n = 2 * w->config.socket_count + 8;
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
	w->config.engine.ctx = w;
	mailbox_init(&w->letters, wake, w);
	mailbox_init(&w->orders, wake, w);
	w->loop = ev_loop_new(EVFLAG_AUTO);
	w->rx = udp_rx_new();
	w->ports = calloc(c->socket_count, sizeof(*w->ports));
	w->lanes = calloc(c->socket_count, sizeof(*w->lanes));
	w->engine = engine_new(&w->config.engine, clock_mono_ms(), clock_wall_s());
	if (!w->loop || !w->rx || !w->ports || !w->lanes || !w->engine) {
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
	watch_sockets(w);
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
	drop_letters(mailbox_close(&w->letters));
	drop_orders(mailbox_close(&w->orders));
	mailbox_destroy(&w->letters);
	mailbox_destroy(&w->orders);
	if (w->rx)
		udp_rx_free(w->rx);
	if (w->loop)
		ev_loop_destroy(w->loop);
	free(w->ports);
	free(w->lanes);
	free(w);
}

static int give(struct worker *w, const struct order *order)
{
	struct order *o = malloc(sizeof(*o));

	if (!o)
		return -ENOMEM;
	*o = *order;
	if (o->tls)
		tls_ref(o->tls);
	if (mailbox_post(&w->orders, &o->letter))
		return 0;
	tls_unref(o->tls);
	free(o);
	return -ECONNRESET;
}

int worker_reload(struct worker *w, struct tls *tls)
{
	return give(w, &(struct order){ .kind = ORDER_RELOAD, .tls = tls });
}

int worker_drain(struct worker *w, uint64_t most_ms)
{
	struct order *o;

	if (w->said == sizeof(w->farewells) / sizeof(w->farewells[0]))
		return give(w, &(struct order){ .kind = ORDER_DRAIN, .most_ms = most_ms });
	o = &w->farewells[w->said++];
	*o = (struct order){ .kind = ORDER_DRAIN, .most_ms = most_ms, .kept = true };
	return mailbox_post(&w->orders, &o->letter) ? 0 : -ECONNRESET;
}

const struct metrics *worker_metrics(struct worker *w)
{
	return engine_metrics(w->engine);
}
