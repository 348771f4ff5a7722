/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tunnel: one local peer of a service that connects, and its session with the remote server (line). What it sends before
 * there is one is held, a bounded number. It ends when both sides have been silent for the idle time-out, or no session
 * can be made.
 *
 * A server that does not answer any more, or refuses, may have been restarted and lost its sessions: then a new one is
 * begun beside the old one, and takes its place when it is there.
 */
#ifndef DTLSD_TUNNEL_H
#define DTLSD_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "held.h"
#include "line.h"
#include "table.h"
#include "wheel.h"

/* Peers on unix sockets have no flow, but a name, as the kernel has it: sun_path. */
struct tunnel_local {
	/* To the peer of that name; what it does not take is lost. unheard: as of unixdgram_send. */
	void (*send)(void *ctx, uint32_t listener, const char *name, size_t name_len, uint32_t *unheard, const void *data,
		     size_t len);
	void *ctx;
};

/* Who it is. */
struct tunnel_peer {
	struct flow flow;     /* of a peer on a unix socket something else that is its own */
	uint32_t listener;
	const char *name;
	size_t name_len;      /* 0: it is on UDP */
};

/* What all of a worker share. */
struct tunnel_home {
	struct env *env; /* borrowed */
	struct tunnel_local local;
	struct table *table;
	struct wheel timers;
};

struct tunnel {
	struct table_node node;
	struct timer timer;
	struct tunnel_home *home;
	uint32_t listener;
	struct line *line;      /* open, or was; NULL: none */
	struct line *next;      /* begun: NULL: none */
	bool waits;             /* for its turn to begin one */
	bool soon;              /* to be looked at when the timers run */
	bool counted;           /* a handshake of the quota is taken */
	uint64_t ask_by;        /* ms: waits no longer */
	struct held held;
	uint64_t used_at;       /* ms: a datagram came, from either side */
	uint64_t asked_at;      /* the first datagram since the server was heard of; 0: it was heard since */
	unsigned unanswered, patience;
	uint32_t unheard;       /* of a unix peer, about: bytes that it was sent since it was heard of */
	size_t name_len;        /* of a unix peer; 0: it is UDP */
	char name[];
};

/* The tunnel that a node of the table, or a timer, lies in. */
static inline struct tunnel *tunnel_of_node(struct table_node *n)
{
	return (struct tunnel *)(void *)((char *)n - offsetof(struct tunnel, node));
}

static inline struct tunnel *tunnel_of_timer(struct timer *w)
{
	return (struct tunnel *)(void *)((char *)w - offsetof(struct tunnel, timer));
}

/*
 * For a peer that the quota of its listener's service has admitted, with its first datagram; it is in the table. false:
 * no session can be made now, or there is no memory, which is counted, and nothing is left of it.
 */
bool tunnel_begin(struct tunnel_home *home, const struct tunnel_peer *who, const uint8_t *data, size_t len);
bool tunnel_is(const struct tunnel *t, const struct tunnel_peer *who); /* of one that has the same flow */
/* Says close_notify, and frees it. */
void tunnel_remove(struct tunnel *t);

/* A datagram from the peer. It may be gone afterwards, as after tunnel_tick. */
void tunnel_data(struct tunnel *t, const uint8_t *data, size_t len);
/* Its timer has fired. */
void tunnel_tick(struct tunnel *t);
/* Sets its timer anew, where its service's time-outs may be others now. */
void tunnel_arm(struct tunnel *t);

#endif
