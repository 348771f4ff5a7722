/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service: what a listener serves: a handler, an identity, timeouts, and a share of the process's sessions.
 * Immutable and counted: a reload makes a new one. Shared by the workers.
 */
#ifndef DTLSD_SERVICE_H
#define DTLSD_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exec.h"
#include "forward.h"
#include "handler.h"
#include "quota.h"
#include "route.h"
#include "tls.h"
#include "uplink.h"

/* What of a service stays over reloads: who is counted, and whose sessions can be resumed. Counted. */
struct standing;
/* NULL: out of memory. */
struct standing *standing_new(const struct quota_limits *limits);
struct standing *standing_ref(struct standing *s);
void standing_unref(struct standing *s); /* NULL is fine */
struct quota *standing_quota(struct standing *s);
struct tls_shared *standing_tls(struct standing *s);
struct crew *standing_crew(struct standing *s);

/* What is done with the sessions of some clients. */
struct service_route {
	const char *name;
	const char *place;             /* in messages: "FILE:LINE: " */
	struct route_rule rule;        /* which clients */
	const struct handler *handler; /* NULL: they are denied */
	struct forward forward;
	struct exec *exec;
};

#define SERVICE_ROUTES_MOST 255

struct service_config {
	const char *name;         /* copied */
	const struct handler *handler;
	struct tls *tls;          /* a reference is taken */
	struct standing *standing; /* the same */
	uint64_t idle_timeout_ms; /* 0: never */
	uint64_t handshake_timeout_ms;
	size_t mtu;               /* UDP payload that flights are first cut for */
	struct forward forward;   /* for the handler of that name, and the servers of an uplink; a reference is taken */
	struct uplink *uplink;    /* a reference is taken. NULL: it serves DTLS; else it has no tls: it is a client */
	uint64_t silence_ms;      /* of an uplink's server, after which its session is made anew; 0: never */
	struct exec *exec;        /* for the handler of that name; a reference is taken; NULL: for other handlers */
	const struct service_route *routes; /* the first that matches comes before the handler above; copied */
	unsigned route_count;
};

struct service {
	struct service_config config; /* texts and routes are its own copies */
	atomic_uint refs;
};

struct service *service_new(const struct service_config *c); /* NULL: out of memory */
struct service *service_ref(struct service *s);
void service_unref(struct service *s); /* NULL is fine */

/* The number of the route for a client, counted from 1; 0: none is. */
unsigned service_find_route(const struct service_config *c, const struct route_client *who);
/* Sessions that began with the one go on with the other, where their routes have the same numbers. */
bool service_goes_on(const struct service_config *a, const struct service_config *b);

static inline const struct handler *service_handler(const struct service_config *c, unsigned route)
{
	return route ? c->routes[route - 1].handler : c->handler;
}

static inline const struct forward *service_forward(const struct service_config *c, unsigned route)
{
	return route ? &c->routes[route - 1].forward : &c->forward;
}

static inline struct exec *service_exec(const struct service_config *c, unsigned route)
{
	return route ? c->routes[route - 1].exec : c->exec;
}

/* Its handler passes on what is known of the client. */
static inline bool service_tells(const struct service_config *c, unsigned route)
{
	return service_forward(c, route)->proxy != FORWARD_PROXY_NONE || service_exec(c, route);
}

static inline struct quota *service_quota(const struct service *s)
{
	return standing_quota(s->config.standing);
}

#endif
