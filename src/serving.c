/* SPDX-License-Identifier: BSD-2-Clause */
#include "serving.h"

#include <string.h>

static void serve(struct serving *v, unsigned listener, struct service *s)
{
	service_unref(v->services[listener]);
	v->services[listener] = s;
}

/* Sessions go on, though not all of them for certain. */
static void go_on(struct serving *v, unsigned listener, const struct tls *now, const struct tls *fresh,
		  struct inquiry *q)
{
	v->recheck[listener] |= tls_trust_differs(now, fresh);
	if (now != fresh && tls_psk(fresh)->source.id)
		inquiry_begin(q, listener);
}

static void change(struct serving *v, unsigned listener, struct service *fresh, struct inquiry *q)
{
	struct service *now = v->services[listener];

	if (fresh)
		service_ref(fresh);
	if (v->leaving[listener] || (now && (!fresh || !service_goes_on(&now->config, &fresh->config)))) {
		service_unref(v->next[listener]);
		v->next[listener] = fresh;
		v->leaving[listener] = true;
		return;
	}
	if (now && now->config.tls)
		go_on(v, listener, now->config.tls, fresh->config.tls, q);
	serve(v, listener, fresh);
}

void serving_apply(struct serving *v, struct service *const services[static LISTENERS_MOST], struct inquiry *q)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++)
		change(v, i, services[i], q);
	v->round = (struct round){ .handshakes_done = false };
	v->tunnels_begun = v->tunnels_done = false;
	v->changes++;
}

/* All peers of leaving listeners are gone. */
static void complete(struct serving *v, const struct serving_news *news)
{
	unsigned changes = v->changes;

	v->changes = 0;
	memset(v->recheck, 0, sizeof(v->recheck));
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		if (!v->leaving[i])
			continue;
		v->leaving[i] = false;
		serve(v, i, v->next[i]);
		v->next[i] = NULL;
		if (!v->services[i])
			news->left(news->ctx, i);
	}
	news->settled(news->ctx, changes);
}

bool serving_run(struct serving *v, struct peers *p, struct tunnels *t, const struct serving_news *news)
{
	if (v->changes == 0)
		return false;
	if (!v->tunnels_done) {
		v->tunnels_done = !tunnels_sweep(t, &v->tunnels_begun, v->leaving);
		return true;
	}
	if (!v->round.sessions_done) {
		round_run(&v->round, p, v->leaving, v->recheck);
		return true; /* be it only for what was said to leave */
	}
	complete(v, news);
	return false;
}

void serving_clear(struct serving *v)
{
	for (unsigned i = 0; i < LISTENERS_MOST; i++) {
		service_unref(v->services[i]);
		service_unref(v->next[i]);
	}
}
