/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world: the real engine, GnuTLS clients and a simulated network between them, in one thread and in
 * virtual time.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "engine.h"
#include "metrics.h"
#include "net.h"

enum world_auth { AUTH_ECDSA, AUTH_RSA, AUTH_PSK, AUTH_ECDHE_PSK, AUTH_MUTUAL, AUTH_MUTUAL_BULKY };

#define WORLD_BULK 10000 /* bytes more in the certificate of AUTH_MUTUAL_BULKY */

#define MINUTE 60000
#define COUNT(w, name) metric_get(engine_metrics((w)->engine), METRIC_##name)

struct world;

struct client {
	struct client *next;
	struct world *world;
	struct flow flow;
	gnutls_session_t session;
	gnutls_datum_t inbox[256]; /* whole datagrams, malloc'd */
	unsigned inbox_first, inbox_count;
	bool done;    /* handshake finished */
	int error;    /* fatal, 0: none */
	bool closed;  /* close_notify came */
	uint64_t done_at;
	unsigned echoes, strange, repeated; /* answers: right, never sent, seen before */
	bool seen[1024];
	size_t mtu;   /* of its datagrams */
};

struct world {
	struct net net;
	struct engine *engine;
	struct census *census;
	struct engine_settings settings;  /* in force; world_serve changes them */
	unsigned settled;                 /* changes that had all their effects */
	unsigned left[LISTENERS_MOST];    /* how often the engine has said so */
	unsigned shift;                   /* datagrams come in by a listener so many further on */
	struct client *clients;
	struct letter *letters, **last_letter;
	struct addr address;
};

struct world_options {
	uint64_t seed;
	const struct handler *handler;       /* NULL: echo */
	struct census_limits limits;         /* all zero: plenty */
	uint64_t idle_timeout_ms;            /* 0: 300 s */
	uint64_t handshake_timeout_ms;       /* 0: 60 s */
	uint32_t handshake_rate;             /* 0: any number */
	uint32_t handshake_steps_per_turn;   /* 0: any number */
	enum verify_client verify;
	bool rsa;                            /* an RSA-2048 chain of two instead of one ECDSA certificate */
	const char *psks;                    /* the text of the PSK file; NULL: the clients' */
	const char *certfile, *keyfile;      /* these instead; NULL: those above */
	struct quota_limits quota;           /* of a service; all zero: none */
	const struct service_route *routes;
	unsigned route_count;
};

/* Once for the program: certificates in a temporary directory, virtual time for GnuTLS. */
int world_set_up(void **state);
int world_tear_down(void **state);

void world_init(struct world *w, const struct world_options *o);
/* Asserts that nothing is left behind. */
void world_end(struct world *w);

/* One with the options that are a service's; standing NULL: a new one. The caller has a reference. */
struct service *world_service(const struct world_options *o, const char *name, struct standing *standing);
/* Serves it from now on at the port that is so many above the first one's; takes the reference. NULL: nothing there. */
void world_serve(struct world *w, unsigned listener, struct service *s);

/* A client on a port of its own, or on the given one; it begins its handshake at once. resume may be NULL. */
struct client *client_new(struct world *w, enum world_auth auth, uint16_t port, const gnutls_datum_t *resume);
/* The same to another listener. */
struct client *client_new_to(struct world *w, unsigned listener, enum world_auth auth);
void client_free(struct client *c);
/* Sends message number i (0..1023) of a size that follows from i; an echo handler sends it back. */
void client_say(struct client *c, unsigned i);
void client_bye(struct client *c);

/* What has arrived by now reaches the engine, which does not run. */
void world_deliver(struct world *w);
/* Time passes, one turn of the loop a ms at the most: until done(ctx), asked after each turn, or for so many virtual ms. True: done. */
bool world_run(struct world *w, uint64_t ms, bool (*done)(void *ctx), void *ctx);
bool client_settled(void *client);  /* done or failed */
bool client_is_done(void *client);
/* So many ms pass. */
void pause_(struct world *w, uint64_t ms);
/* client_new, and it is in within a minute. */
struct client *connected(struct world *w, enum world_auth auth, uint16_t port);

#endif
