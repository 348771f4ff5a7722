/* SPDX-License-Identifier: BSD-2-Clause */
#include "loops.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

_Static_assert(CONF_SERVICES_MOST <= 64, "the services seen have a bit each");

/* Nobody else can be there. */
static bool is_at(const struct conf_listener *l, const struct backend_addr *b)
{
	const struct addr *a = &b->addr;

	if (!a->family)
		return l->path && strcmp(l->path, b->path) == 0;
	if (l->path)
		return false;
	return addr_equal(&l->addr, a) || (addr_is_wildcard(&l->addr) && addr_is_loopback(a) &&
					   l->addr.family == a->family && l->addr.port == a->port);
}

static bool listens_at(const struct conf_service *s, const struct backend_addr *b)
{
	for (unsigned i = 0; i < s->listener_count; i++)
		if (is_at(&s->listeners[i], b))
			return true;
	return false;
}

bool loops_elsewhere(const struct subject *u, const char *setting, const struct backends *b)
{
	char where[BACKEND_TEXT_MAX], text[BACKEND_TEXT_MAX + 100];

	for (unsigned i = 0; i < backends_count(b); i++) {
		const struct backend_addr *a = backends_addr(b, i);

		if (!listens_at(u->service, a))
			continue;
		snprintf(text, sizeof(text), "%s%s: %s is where the service itself listens: name the server that is "
			 "meant", subject_dashes(u), setting, backend_format(a, where));
		subject_complain(u, text);
		return false;
	}
	return true;
}

/* ---- over several services ---- */

struct walk {
	const struct conf *conf;
	struct service *const *services;
	uint64_t seen; /* bits of services, by number */
};

/* One of the backends of from, all of whose clients go there, where to listens. NULL: there is none. */
static const struct backend_addr *step(const struct walk *w, unsigned from, unsigned to)
{
	const struct service_config *c = &w->services[from]->config;
	unsigned count = c->forward.backends && c->route_count == 0 ? backends_count(c->forward.backends) : 0;

	for (unsigned i = 0; i < count; i++)
		if (listens_at(w->conf->services[to], backends_addr(c->forward.backends, i)))
			return backends_addr(c->forward.backends, i);
	return NULL;
}

static bool leads_to(struct walk *w, unsigned from, unsigned to)
{
	if (step(w, from, to))
		return true;
	w->seen |= UINT64_C(1) << from;
	for (unsigned i = 0; i < w->conf->service_count; i++)
		if (!(w->seen >> i & 1) && step(w, from, i) && leads_to(w, i, to))
			return true;
	return false;
}

static void complain(const struct walk *w, unsigned from, unsigned over)
{
	const struct subject u = { .conf = w->conf, .service = w->conf->services[from] };
	char where[BACKEND_TEXT_MAX], text[BACKEND_TEXT_MAX + 2 * CONF_NAME_MOST + 200];

	snprintf(text, sizeof(text), "%s: %s is where service %s listens, which leads back here: what comes would go round "
		 "for ever; name the server that is meant", w->services[from]->config.uplink ? "to" : "forward",
		 backend_format(step(w, from, over), where), w->conf->services[over]->name);
	subject_complain(&u, text);
}

bool loops_none(const struct conf *c, struct service *const *services)
{
	for (unsigned i = 0; i < c->service_count; i++)
		for (unsigned j = 0; j < c->service_count; j++) {
			struct walk w = { c, services, 0 };

			if (j == i || !step(&w, i, j) || !leads_to(&w, j, i))
				continue;
			complain(&w, i, j);
			return false;
		}
	return true;
}
