/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <stdlib.h>
#include <string.h>

#define RESUMPTION_ENTRIES 10000 /* sessions of clients without tickets that are remembered, up to some KB each */
#define RESUMPTION_LIFETIME_S 21600

struct standing {
	atomic_uint refs;
	struct quota *quota;
	struct tls_shared *tls;
};

struct standing *standing_new(const struct quota_limits *limits)
{
	struct standing *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->quota = quota_new(limits);
	s->tls = tls_shared_new(RESUMPTION_ENTRIES, RESUMPTION_LIFETIME_S);
	if (!s->quota || !s->tls) {
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

struct service *service_new(const struct service_config *c)
{
	size_t size = strlen(c->name) + 1;
	struct service *s = malloc(sizeof(*s) + size);
	char *name;

	if (!s)
		return NULL;
	name = (char *)(s + 1);
	memcpy(name, c->name, size);
	s->config = *c;
	s->config.name = name;
	tls_ref(c->tls);
	standing_ref(c->standing);
	if (c->forward.backends)
		backends_ref(c->forward.backends);
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
	backends_unref(s->config.forward.backends);
	free(s);
}
