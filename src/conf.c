/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf_text {
	struct conf_text *next;
	char text[];
};

struct conf *conf_new(void)
{
	return calloc(1, sizeof(struct conf));
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->service_count; i++) {
		free(c->services[i]->listeners);
		free(c->services[i]->routes);
		free(c->services[i]);
	}
	free(c->services);
	while (c->texts) {
		struct conf_text *t = c->texts;

		c->texts = t->next;
		free(t);
	}
	free(c);
}

const char *conf_keep(struct conf *c, const char *text)
{
	size_t size = strlen(text) + 1;
	struct conf_text *t = malloc(sizeof(*t) + size);

	if (!t)
		return NULL;
	memcpy(t->text, text, size);
	t->next = c->texts;
	c->texts = t;
	return t->text;
}

struct conf_service *conf_add_service(struct conf *c, const char *name, struct conf_place place)
{
	struct conf_service **more = reallocarray(c->services, c->service_count + 1, sizeof(*more));
	struct conf_service *s;

	if (!more)
		return NULL;
	c->services = more;
	name = conf_keep(c, name);
	s = calloc(1, sizeof(*s));
	if (!name || !s) {
		free(s);
		return NULL;
	}
	s->name = name;
	s->place = place;
	c->services[c->service_count++] = s;
	return s;
}

struct conf_route *conf_add_route(struct conf *c, struct conf_service *s, const char *name, struct conf_place place)
{
	struct conf_route *more = reallocarray(s->routes, s->route_count + 1, sizeof(*more));

	if (!more)
		return NULL;
	s->routes = more;
	name = conf_keep(c, name);
	if (!name)
		return NULL;
	more[s->route_count] = (struct conf_route){ .name = name, .place = place };
	return &more[s->route_count++];
}

static unsigned listeners_of_all(const struct conf *c)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < c->service_count; i++)
		sum += c->services[i]->listener_count;
	return sum;
}

int conf_add_listener(struct conf *c, struct conf_service *s, const char *text, struct conf_place place, char *err,
		      size_t err_size)
{
	struct addr found[CONF_LISTENERS_MOST];
	struct conf_listener *more;
	int n = addr_parse(text, CONF_PORT, found, CONF_LISTENERS_MOST, err, err_size);

	if (n < 0)
		return n;
	if (listeners_of_all(c) + (unsigned)n > CONF_LISTENERS_MOST) {
		snprintf(err, err_size, "more than %d addresses to listen on: start a second dtlsd",
			 CONF_LISTENERS_MOST);
		return -EINVAL;
	}
	more = reallocarray(s->listeners, s->listener_count + (unsigned)n, sizeof(*more));
	if (!more) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	s->listeners = more;
	for (int i = 0; i < n; i++)
		more[s->listener_count++] = (struct conf_listener){ found[i], place };
	return 0;
}

const char *conf_place_text(const struct conf_place *p, char buf[static CONF_PLACE_TEXT])
{
	buf[0] = '\0';
	if (p->file && p->line)
		snprintf(buf, CONF_PLACE_TEXT, "%.280s:%u: ", p->file, p->line);
	else if (p->file)
		snprintf(buf, CONF_PLACE_TEXT, "%.280s: ", p->file);
	return buf;
}

const struct conf_service *conf_find_service(const struct conf *c, const char *name)
{
	for (unsigned i = 0; i < c->service_count; i++)
		if (strcmp(c->services[i]->name, name) == 0)
			return c->services[i];
	return NULL;
}

const struct conf_route *conf_find_route(const struct conf_service *s, const char *name)
{
	for (unsigned i = 0; i < s->route_count; i++)
		if (strcmp(s->routes[i].name, name) == 0)
			return &s->routes[i];
	return NULL;
}
