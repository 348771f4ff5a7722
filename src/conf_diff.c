/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf_diff.h"

#include <stdio.h>
#include <string.h>

#include "setting.h"

#define VALUE_MOST 200
#define LINE_MOST 600

struct diff {
	void (*say)(void *ctx, enum conf_difference what, const char *line);
	void *ctx;
};

static void diff_settings(const struct diff *d, const char *of, enum setting_scope scope, const void *from,
			  const void *to)
{
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];
		char was[VALUE_MOST], is[VALUE_MOST], line[LINE_MOST];

		if (s->scope != scope || setting_equal(s, from, to))
			continue;
		setting_format(s, from, was, sizeof(was));
		setting_format(s, to, is, sizeof(is));
		snprintf(line, sizeof(line), "%s%s %s -> %s", of, s->name, was, is);
		d->say(d->ctx, s->where & SETTING_AT_START ? CONF_AT_START : CONF_CHANGED, line);
	}
}

static bool listens_on(const struct conf_service *s, const struct conf_listener *l)
{
	for (unsigned i = 0; i < s->listener_count; i++)
		if (conf_same_listener(&s->listeners[i], l))
			return true;
	return false;
}

/* Those of s that other does not have. */
static void diff_listeners(const struct diff *d, const struct conf_service *s, const struct conf_service *other,
			   const char *how)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		char line[LINE_MOST], text[CONF_LISTENER_TEXT];

		if (listens_on(other, &s->listeners[i]))
			continue;
		snprintf(line, sizeof(line), "service %s: listen %s %s", s->name, how,
			 conf_listener_text(&s->listeners[i], text));
		d->say(d->ctx, CONF_CHANGED, line);
	}
}

static void say_service(const struct diff *d, const struct conf_service *s, const char *how)
{
	char line[LINE_MOST];

	snprintf(line, sizeof(line), "service %s: %s", s->name, how);
	d->say(d->ctx, CONF_CHANGED, line);
}

static void say_route(const struct diff *d, const struct conf_service *s, const struct conf_route *r, const char *how)
{
	char line[LINE_MOST];

	snprintf(line, sizeof(line), "service %s: route %s: %s", s->name, r->name, how);
	d->say(d->ctx, CONF_CHANGED, line);
}

static bool same_order(const struct conf_service *a, const struct conf_service *b)
{
	for (unsigned i = 0; i < a->route_count && i < b->route_count; i++)
		if (strcmp(a->routes[i].name, b->routes[i].name) != 0)
			return false;
	return true;
}

static void diff_routes(const struct diff *d, const struct conf_service *from, const struct conf_service *to)
{
	bool same = from->route_count == to->route_count;

	for (unsigned i = 0; i < from->route_count; i++)
		if (!conf_find_route(to, from->routes[i].name))
			say_route(d, to, &from->routes[i], "removed");
	for (unsigned i = 0; i < to->route_count; i++) {
		const struct conf_route *r = &to->routes[i], *was = conf_find_route(from, r->name);
		char of[2 * CONF_NAME_MOST + 32];

		same = same && was;
		if (!was) {
			say_route(d, to, r, "added");
			continue;
		}
		snprintf(of, sizeof(of), "service %s: route %s: ", to->name, r->name);
		diff_settings(d, of, SETTING_OF_ROUTE, was, r);
	}
	if (same && !same_order(from, to))
		say_service(d, to, "its routes are in another order");
}

static void diff_service(const struct diff *d, const struct conf_service *from, const struct conf_service *to)
{
	char of[CONF_NAME_MOST + 16];

	snprintf(of, sizeof(of), "service %s: ", to->name);
	diff_settings(d, of, SETTING_OF_SERVICE, from, to);
	diff_listeners(d, from, to, "-");
	diff_listeners(d, to, from, "+");
	diff_routes(d, from, to);
}

void conf_diff(const struct conf *from, const struct conf *to,
	       void (*say)(void *ctx, enum conf_difference what, const char *line), void *ctx)
{
	const struct diff d = { say, ctx };

	diff_settings(&d, "", SETTING_OF_PROCESS, from, to);
	for (unsigned i = 0; i < from->service_count; i++)
		if (!conf_find_service(to, from->services[i]->name))
			say_service(&d, from->services[i], "removed");
	for (unsigned i = 0; i < to->service_count; i++) {
		const struct conf_service *was = conf_find_service(from, to->services[i]->name);

		if (was)
			diff_service(&d, was, to->services[i]);
		else
			say_service(&d, to->services[i], "added");
	}
}
