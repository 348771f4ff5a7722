/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serving: which service each listener has, and how a listener gets another one: at once where sessions can go on with
 * it; else its peers are told close_notify first, a few at a time, and nobody is admitted meanwhile.
 */
#ifndef DTLSD_SERVING_H
#define DTLSD_SERVING_H

#include <stdbool.h>

#include "datagram.h"
#include "peers.h"
#include "service.h"

struct serving { /* begins all zero */
	struct service *services[LISTENERS_MOST]; /* NULL: none */
	struct service *next[LISTENERS_MOST];     /* of a leaving listener; NULL: it goes */
	bool leaving[LISTENERS_MOST];
	bool changed; /* a round over the peers is due or under way */
	struct peers_sweep sweep;
};

/* From now on, by listener; takes references. */
void serving_apply(struct serving *v, struct service *const services[static LISTENERS_MOST]);
/* The service that a handshake may begin with there, NULL: none may. */
static inline struct service *serving_at(const struct serving *v, unsigned listener)
{
	return v->leaving[listener] ? NULL : v->services[listener];
}
/*
 * A piece of what a change brings about; only while all that was said before has left. left(ctx, listener): the
 * listener that was taken away has no peers any more. True: there is more.
 */
bool serving_run(struct serving *v, struct peers *p, void (*left)(void *ctx, unsigned listener), void *ctx);
void serving_clear(struct serving *v); /* after the peers are gone */

#endif
