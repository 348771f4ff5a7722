/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inquiry: after a reload the programs that know pre-shared keys (psk_ask.h) are asked about the live sessions of one
 * worker: who is unknown now, or has another key, is closed. They get a few questions of each listener at a time, so that
 * neither handshakes nor records wait for that. Without an answer nobody is closed, and it is asked until there is one.
 */
#ifndef DTLSD_INQUIRY_H
#define DTLSD_INQUIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "datagram.h"
#include "env.h"
#include "place.h"
#include "psk_ask.h"
#include "session.h"
#include "table.h"

#define INQUIRY_AT_ONCE 8       /* questions of a listener on their way: less than a unix socket takes */
#define INQUIRY_A_SPELL 20      /* put in INQUIRY_SPELL_MS, however fast the program is */
#define INQUIRY_SPELL_MS 10
#define INQUIRY_AGAIN_MS 500    /* until one is put again: psk_ask.h says when that means a datagram */
#define INQUIRY_SILENT_MS 5000  /* without an answer: counted, and in the log */
#define INQUIRY_SILENT_MOST 64  /* such ones of a listener; until one is answered nobody else is asked about */

/* Over the sessions of one listener. */
struct inquiry_walk {
	uint64_t cursor;
	bool under_way;
	unsigned questions, silent; /* without an answer yet; and of these, for long */
};

struct inquiry {
	/* filled in by the owner before inquiry_init, borrowed */
	struct env *env;
	struct table *sessions;
	/* A session was closed. */
	void (*settle)(void *ctx, struct session *s);
	void *settle_ctx;
	/* its own */
	bool busy;             /* somebody is to be asked about */
	struct psk_asks *asks; /* while busy; apart from those of handshakes, which remember so many keys only */
	struct place questions;
	struct inquiry_walk walks[LISTENERS_MOST];
	unsigned put;          /* since spell_at */
	uint64_t spell_at, again_at, due;
};

void inquiry_init(struct inquiry *q);
/* Before the upstream and the sessions go. */
void inquiry_clear(struct inquiry *q);

/* The service of a listener is another one now, whose program is to be asked about all who are there. */
void inquiry_begin(struct inquiry *q, unsigned listener);
/* The same about one session: its handshake was under way then. */
void inquiry_ask(struct inquiry *q, const struct session *s);
/* A bounded piece of that. True: there is more. */
bool inquiry_run(struct inquiry *q);
/* Milliseconds until inquiry_run is wanted again, at most limit_ms. */
uint64_t inquiry_wait(const struct inquiry *q, uint64_t limit_ms);

#endif
