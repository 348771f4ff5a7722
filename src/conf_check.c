/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct check {
	const struct conf *conf;
	const struct conf_service *service; /* that is looked at */
	char *err;
	size_t err_size;
};

/* Says it with the place, and on a file's behalf with the service. */
__attribute__((format(printf, 3, 4)))
static int fail(const struct check *k, const struct conf_place *place, const char *fmt, ...)
{
	char where[CONF_PLACE_TEXT], what[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (k->conf->file && k->service)
		snprintf(k->err, k->err_size, "%sservice %s: %s", conf_place_text(place, where), k->service->name,
			 what);
	else
		snprintf(k->err, k->err_size, "%s%s", conf_place_text(place, where), what);
	return -EINVAL;
}

static int check_name(const struct check *k, unsigned at)
{
	const struct conf_service *s = k->service;
	char first[CONF_PLACE_TEXT];

	if (!*s->name || strlen(s->name) > CONF_NAME_MOST)
		return fail(k, &s->place, "its name has %zu bytes; 1 to %d are allowed", strlen(s->name),
			    CONF_NAME_MOST);
	for (unsigned i = 0; i < at; i++)
		if (strcmp(k->conf->services[i]->name, s->name) == 0)
			return fail(k, &s->place, "there is one of that name already, at %sgive this one another name",
				    conf_place_text(&k->conf->services[i]->place, first));
	return 0;
}

/* l is not the first of its service and the services before it. */
static int check_twice(const struct check *k, unsigned at, unsigned index)
{
	const struct conf_listener *l = &k->service->listeners[index];
	char text[CONF_LISTENER_TEXT], other[CONF_LISTENER_TEXT], by[CONF_LISTENER_TEXT + 5] = "";
	char first[CONF_PLACE_TEXT];

	for (unsigned i = 0; i <= at; i++) {
		const struct conf_service *s = k->conf->services[i];
		unsigned n = i == at ? index : s->listener_count;

		for (unsigned j = 0; j < n; j++) {
			const struct conf_listener *o = &s->listeners[j];

			if ((!l->path && !l->addr.port) || !conf_listeners_clash(l, o))
				continue;
			if (!conf_same_listener(l, o)) /* one of them is all addresses */
				snprintf(by, sizeof(by), " by %s", conf_listener_text(o, other));
			if (!k->conf->file)
				return fail(k, &l->place, "%s is given twice%s%s: leave one of them out",
					    conf_listener_text(l, text), *by ? ", also" : "", by);
			return fail(k, &l->place, "listen: %s is given twice, also%s at %sleave one of them out",
				    conf_listener_text(l, text), by, conf_place_text(&o->place, first));
		}
	}
	return 0;
}

static int check_listeners(const struct check *k, unsigned at)
{
	int rc = 0;

	if (k->service->listener_count == 0)
		return fail(k, &k->service->place,
			    "it listens nowhere; give it an address, as: listen = \"*:%d\"", CONF_PORT);
	for (unsigned i = 0; i < k->service->listener_count && rc == 0; i++) {
		const struct conf_listener *l = &k->service->listeners[i];

		if (l->path && !conf_connects(k->service))
			return fail(k, &l->place, "unix:%s: DTLS is served on UDP only; a unix socket is for a service that "
				    "connects: give it to = \"HOST:PORT\", or an address", l->path);
		rc = check_twice(k, at, i);
	}
	return rc;
}

static int check_route(const struct check *k, const struct conf_route *r)
{
	const struct conf_answer *a = &r->answer;

	if (!*r->name || strlen(r->name) > CONF_NAME_MOST)
		return fail(k, &r->place, "the name of a route has %zu bytes; 1 to %d are allowed", strlen(r->name),
			    CONF_NAME_MOST);
	if (r->deny && (a->handler || a->forward || a->command))
		return fail(k, &r->place, "route %s: it denies and has a handler: leave one of them out", r->name);
	if (!r->deny && !a->handler && !a->forward && !a->command)
		return fail(k, &r->place, "route %s: it leads nowhere: give it a handler, forward, command, or deny = yes", r->name);
	if (r->alpn && !k->service->alpn)
		return fail(k, &r->place, "route %s: alpn: the service has no protocols that it could be; give it some, "
			    "as: alpn = coap", r->name);
	return 0;
}

/* Nobody gets past a route that is for everybody. */
static int check_reached(const struct check *k, const struct conf_route *before, const struct conf_route *r)
{
	if (before->sni || before->alpn || before->identity)
		return 0;
	return fail(k, &r->place, "route %s: nobody comes to it: route %s before it is for everybody; put that one "
		    "last", r->name, before->name);
}

static int check_routes(const struct check *k)
{
	const struct conf_service *s = k->service;
	int rc = 0;

	if (s->route_count > CONF_ROUTES_MOST)
		return fail(k, &s->routes[CONF_ROUTES_MOST].place, "there are more than %d routes: join some",
			    CONF_ROUTES_MOST);
	for (unsigned i = 0; i < s->route_count && rc == 0; i++) {
		rc = check_route(k, &s->routes[i]);
		if (rc == 0 && i > 0)
			rc = check_reached(k, &s->routes[i - 1], &s->routes[i]);
	}
	return rc;
}

int conf_check(const struct conf *c, char *err, size_t err_size)
{
	struct check k = { .conf = c, .err = err, .err_size = err_size };
	const struct conf_place file = { c->file, 0 };
	int rc = 0;

	if (c->service_count == 0)
		return fail(&k, &file,
			    "there is no service in it; add one, as: service NAME { listen = \"*:%d\" … }",
			    CONF_PORT);
	if (c->service_count > CONF_SERVICES_MOST)
		return fail(&k, &c->services[CONF_SERVICES_MOST]->place,
			    "there are more than %d services: start a second dtlsd", CONF_SERVICES_MOST);
	for (unsigned i = 0; i < c->service_count && rc == 0; i++) {
		k.service = c->services[i];
		rc = check_name(&k, i);
		if (rc == 0)
			rc = check_listeners(&k, i);
		if (rc == 0)
			rc = check_routes(&k);
	}
	return rc;
}
