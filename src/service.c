/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RESUMPTION_ENTRIES 10000 /* sessions of clients without tickets that are remembered, up to some KB each */
#define RESUMPTION_LIFETIME_S 21600

struct standing {
	atomic_uint refs;
	struct quota *quota;
	struct tls_shared *tls;
	struct crew *crew;
};

struct standing *standing_new(const struct quota_limits *limits)
{
	struct standing *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->quota = quota_new(limits);
	s->tls = tls_shared_new(RESUMPTION_ENTRIES, RESUMPTION_LIFETIME_S);
	s->crew = crew_new();
	if (!s->quota || !s->tls || !s->crew) {
		standing_unref(s);
		return NULL;
	}
	return s;
}

struct standing *standing_ref(struct standing *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void standing_unref(struct standing *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	crew_unref(s->crew);
	tls_shared_free(s->tls);
	quota_free(s->quota);
	free(s);
}

struct quota *standing_quota(struct standing *s)
{
	return s->quota;
}

struct tls_shared *standing_tls(struct standing *s)
{
	return s->tls;
}

struct crew *standing_crew(struct standing *s)
{
	return s->crew;
}

/* A copy of a text; NULL of none. */
static bool copy_text(const char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return *out || !text;
}

static bool copy_route(struct service_route *out, const struct service_route *r)
{
	bool well;

	*out = *r;
	well = copy_text(&out->name, r->name);
	well &= copy_text(&out->place, r->place);
	well &= copy_text(&out->rule.server_name, r->rule.server_name);
	well &= copy_text(&out->rule.alpn, r->rule.alpn);
	well &= copy_text(&out->rule.identity, r->rule.identity);
	if (out->forward.backends)
		backends_ref(out->forward.backends);
	if (out->exec)
		exec_ref(out->exec);
	return well;
}

static void free_routes(struct service_route *routes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct service_route *r = &routes[i];
		const char *const texts[] = { r->name, r->place, r->rule.server_name, r->rule.alpn, r->rule.identity };

		for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
			free((void *)(uintptr_t)texts[j]);
		backends_unref(r->forward.backends);
		exec_unref(r->exec);
	}
	free(routes);
}

/* NULL: out of memory. */
static struct service_route *copy_routes(const struct service_route *routes, unsigned count)
{
	struct service_route *copy = calloc(count + 1, sizeof(*copy)); /* + 1: none are no failure */
	bool well = copy != NULL;

	assert(count <= SERVICE_ROUTES_MOST);
	for (unsigned i = 0; i < count && copy; i++)
		well &= copy_route(&copy[i], &routes[i]);
	if (well)
		return copy;
	free_routes(copy, copy ? count : 0);
	return NULL;
}

struct service *service_new(const struct service_config *c)
{
	size_t size = strlen(c->name) + 1;
	struct service *s = malloc(sizeof(*s) + size);
	struct service_route *routes = copy_routes(c->routes, c->route_count);
	char *name;

	if (!s || !routes) {
		free_routes(routes, routes ? c->route_count : 0);
		free(s);
		return NULL;
	}
	name = (char *)(s + 1);
	memcpy(name, c->name, size);
	s->config = *c;
	s->config.name = name;
	s->config.routes = routes;
	if (c->tls)
		tls_ref(c->tls);
	if (c->uplink)
		uplink_ref(c->uplink);
	standing_ref(c->standing);
	if (c->forward.backends)
		backends_ref(c->forward.backends);
	if (c->exec)
		exec_ref(c->exec);
	atomic_init(&s->refs, 1);
	return s;
}

struct service *service_ref(struct service *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void service_unref(struct service *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	tls_unref(s->config.tls); /* before the standing, which it points into */
	standing_unref(s->config.standing);
	uplink_unref(s->config.uplink);
	backends_unref(s->config.forward.backends);
	exec_unref(s->config.exec);
	free_routes((struct service_route *)(uintptr_t)s->config.routes, s->config.route_count);
	free(s);
}

unsigned service_find_route(const struct service_config *c, const struct route_client *who)
{
	for (unsigned i = 0; i < c->route_count; i++)
		if (route_matches(&c->routes[i].rule, who))
			return i + 1;
	return 0;
}

bool service_goes_on(const struct service_config *a, const struct service_config *b)
{
	if (a->handler != b->handler || a->standing != b->standing || a->uplink != b->uplink ||
	    a->route_count != b->route_count)
		return false;
	for (unsigned i = 0; i < a->route_count; i++)
		if (a->routes[i].handler != b->routes[i].handler || !route_same(&a->routes[i].rule, &b->routes[i].rule))
			return false;
	return true;
}
