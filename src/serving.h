/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serving: which service each listener has, and how a listener gets another one: at once where sessions can go on with
 * it; else its peers are told close_notify first, a few at a time, and nobody is admitted meanwhile. Where sessions go
 * on, those are ended whose certificates or keys do not hold any more.
 */
#ifndef DTLSD_SERVING_H
#define DTLSD_SERVING_H

#include <stdbool.h>

#include "datagram.h"
#include "inquiry.h"
#include "peers.h"
#include "round.h"
#include "service.h"
#include "tunnels.h"

struct serving { /* begins all zero */
	struct service *services[LISTENERS_MOST]; /* NULL: none */
	struct service *next[LISTENERS_MOST];     /* of a leaving listener; NULL: it goes */
	bool leaving[LISTENERS_MOST];
	bool recheck[LISTENERS_MOST]; /* who came in before might not come in now */
	unsigned changes; /* that a round over the peers is due or under way for */
	struct round round;
	bool tunnels_begun, tunnels_done; /* the same over local peers */
};

/* From now on, by listener; takes references. Where a program knows the keys the inquiry begins. */
void serving_apply(struct serving *v, struct service *const services[static LISTENERS_MOST], struct inquiry *q);
/* The service that a handshake may begin with there, NULL: none may. */
static inline struct service *serving_at(const struct serving *v, unsigned listener)
{
	return v->leaving[listener] ? NULL : v->services[listener];
}
struct serving_news {
	void (*left)(void *ctx, unsigned listener);   /* that was taken away: it has no peers any more */
	void (*settled)(void *ctx, unsigned changes); /* so many are done */
	void *ctx;
};
/* A piece of what a change brings about; only while all that was said before has left. True: there is more. */
bool serving_run(struct serving *v, struct peers *p, struct tunnels *t, const struct serving_news *news);
void serving_clear(struct serving *v); /* after the peers are gone */

#endif
