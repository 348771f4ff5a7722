/* SPDX-License-Identifier: BSD-2-Clause */
#include "refresh.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "log.h"

#define PLACES_OF_SERVICE (1 + CONF_ROUTES_MOST)
#define PLACES (CONF_SERVICES_MOST * PLACES_OF_SERVICE)

struct refresh {
	void (*done)(void *ctx);
	void *ctx;
	pthread_mutex_t lock;
	bool finished;  /* by the thread */
	bool abandoned; /* by its owner: who is last frees it */
	struct backends *old[PLACES]; /* a reference; NULL: nothing to ask for */
	struct backends *fresh[PLACES];
};

/* Where a service's backends are, and behind them those of its routes. */
static unsigned place_of(unsigned service, unsigned route)
{
	return service * PLACES_OF_SERVICE + route;
}

static void destroy(struct refresh *r)
{
	for (unsigned i = 0; i < PLACES; i++) {
		backends_unref(r->old[i]);
		backends_unref(r->fresh[i]);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void *ask(void *arg)
{
	struct refresh *r = arg;
	bool abandoned;
	char err[300];

	for (unsigned i = 0; i < PLACES; i++) {
		if (!r->old[i])
			continue;
		r->fresh[i] = backends_again(r->old[i], err, sizeof(err));
		if (!r->fresh[i])
			log_limited(LOG_WARNING_, NULL, "%s; its last addresses stay in use, and it is asked for again "
				    "after --forward-refresh seconds", err);
	}
	pthread_mutex_lock(&r->lock);
	abandoned = r->abandoned;
	r->finished = true;
	if (!abandoned)
		r->done(r->ctx);
	pthread_mutex_unlock(&r->lock);
	if (abandoned)
		destroy(r);
	return NULL;
}

/* Detached: a resolver that does not answer holds up nobody, not even our end. */
static bool start(struct refresh *r)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, ask, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err == 0)
		pthread_detach(thread);
	return err == 0;
}

/* Those of a service that are to be asked for again. */
static bool note_named(struct refresh *r, unsigned index, const struct service_config *c)
{
	bool any = false;

	for (unsigned i = 0; i <= c->route_count; i++) {
		struct backends *b = service_forward(c, i)->backends;

		if (!b || !backends_named(b))
			continue;
		r->old[place_of(index, i)] = backends_ref(b);
		any = true;
	}
	return any;
}

struct refresh *refresh_begin(const struct services *s, void (*done)(void *ctx), void *ctx)
{
	struct refresh *r = calloc(1, sizeof(*r));
	bool any = false;

	if (!r)
		return NULL;
	r->done = done;
	r->ctx = ctx;
	pthread_mutex_init(&r->lock, NULL);
	for (unsigned i = 0; i < s->count; i++)
		any |= note_named(r, i, &s->service[i]->config);
	if (any && start(r))
		return r;
	destroy(r);
	return NULL;
}

static bool is_finished(struct refresh *r)
{
	bool finished;

	pthread_mutex_lock(&r->lock);
	finished = r->finished;
	pthread_mutex_unlock(&r->lock);
	return finished;
}

/* true: there were other addresses, and f has them now. */
static bool renew(struct refresh *r, unsigned at, struct forward *f)
{
	if (!r->fresh[at] || backends_same(r->fresh[at], r->old[at]))
		return false;
	backends_inherit(r->fresh[at], r->old[at]);
	f->backends = r->fresh[at];
	return true;
}

/* The service with what has been found. */
static struct service *renew_service(void *ctx, unsigned index, struct service *s)
{
	struct refresh *r = ctx;
	struct service_route routes[CONF_ROUTES_MOST];
	struct service_config c = s->config;
	bool other = renew(r, place_of(index, 0), &c.forward);

	memcpy(routes, c.routes, c.route_count * sizeof(*routes));
	for (unsigned i = 0; i < c.route_count; i++)
		other |= renew(r, place_of(index, i + 1), &routes[i].forward);
	if (!other)
		return service_ref(s);
	c.routes = routes;
	return service_new(&c);
}

bool refresh_take(struct refresh *r, const struct services *s, struct services *out)
{
	out->count = 0;
	return is_finished(r) &&
	       services_replace(out, s, renew_service, r, "the new addresses of backends are not used");
}

void refresh_free(struct refresh *r)
{
	bool finished;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	finished = r->finished;
	r->abandoned = true;
	pthread_mutex_unlock(&r->lock);
	if (finished)
		destroy(r);
}
