/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unix_name.h"

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

/* Each has room for so many. The number of them, or -errno with err. */
static int find_listeners(struct conf *c, const char *text, struct conf_listener found[static CONF_LISTENERS_MOST],
			  char *err, size_t err_size)
{
	struct addr addr[CONF_LISTENERS_MOST];
	int n;

	if (strncmp(text, UNIX_NAME_PREFIX, strlen(UNIX_NAME_PREFIX)) == 0) {
		text += strlen(UNIX_NAME_PREFIX);
		if (unix_name_check(text, err, err_size) < 0)
			return -EINVAL;
		found[0] = (struct conf_listener){ .path = conf_keep(c, text) };
		return found[0].path ? 1 : -ENOMEM;
	}
	n = addr_parse(text, CONF_PORT, addr, CONF_LISTENERS_MOST, err, err_size);
	for (int i = 0; i < n; i++)
		found[i] = (struct conf_listener){ .addr = addr[i] };
	return n;
}

int conf_add_listener(struct conf *c, struct conf_service *s, const char *text, struct conf_place place, char *err,
		      size_t err_size)
{
	struct conf_listener found[CONF_LISTENERS_MOST], *more;
	int n = find_listeners(c, text, found, err, err_size);

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
	for (int i = 0; i < n; i++) {
		found[i].place = place;
		more[s->listener_count++] = found[i];
	}
	return 0;
}

bool conf_same_listener(const struct conf_listener *a, const struct conf_listener *b)
{
	if (a->path && b->path)
		return strcmp(a->path, b->path) == 0;
	return !a->path && !b->path && addr_equal(&a->addr, &b->addr);
}

bool conf_listeners_clash(const struct conf_listener *a, const struct conf_listener *b)
{
	if (a->path || b->path || !a->addr.port)
		return conf_same_listener(a, b);
	return a->addr.port == b->addr.port && a->addr.family == b->addr.family &&
	       (addr_is_wildcard(&a->addr) || addr_is_wildcard(&b->addr) || addr_equal(&a->addr, &b->addr));
}

const char *conf_listener_text(const struct conf_listener *l, char buf[static CONF_LISTENER_TEXT])
{
	static_assert(CONF_LISTENER_TEXT >= ADDR_TEXT_MAX && CONF_LISTENER_TEXT > sizeof(UNIX_NAME_PREFIX) + UNIX_NAME_MOST,
		      "each fits");
	if (!l->path)
		return addr_format(&l->addr, buf);
	snprintf(buf, CONF_LISTENER_TEXT, UNIX_NAME_PREFIX "%s", l->path);
	return buf;
}

bool conf_connects(const struct conf_service *s)
{
	return s->answer.handler && (strcmp(s->answer.handler, "connect") == 0 ||
				     (s->to && strcmp(s->answer.handler, "command") == 0));
}

enum log_level conf_log_level(const struct conf *c)
{
	int level = (int)c->log_level + (int)c->verbose - (int)c->quiet;

	level = level < LOG_ERROR_ ? LOG_ERROR_ : level > LOG_DEBUG_ ? LOG_DEBUG_ : level;
	return (enum log_level)level;
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
