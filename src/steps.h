/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steps: the expensive steps of handshakes, those with public-key operations, each of which costs as much
 * as some hundred records. A worker does so many in a turn of its loop; who finds none left waits in line,
 * so that the records of sessions do not. Pure.
 *
 * The steps of handshakes under way go before beginnings, which are steps too: what is begun holds memory,
 * and its peer waits. That starves nobody: who is under way has at most a handful of steps left, and nobody
 * else comes under way meanwhile, so the line ends and the beginnings have their turn. And since nobody
 * begins while somebody waits, nobody who waits is taken for half-open and loses his place to a beginner.
 */
#ifndef DTLSD_STEPS_H
#define DTLSD_STEPS_H

#include <stdbool.h>

#include "place.h"

struct steps {
	unsigned most; /* a turn; 0: any number */
	unsigned done; /* in this one */
	struct place line;          /* of handshakes that wait for a step */
	const struct place *called; /* the first of them, while it has its turn; compared, not looked at */
};

void steps_init(struct steps *s, unsigned most); /* it holds pointers to itself: not to be moved afterwards */
void steps_turn(struct steps *s);                /* a turn begins */

/*
 * May the handshake with this place do a step now? Then it counts as done. Else it stands in line, and keeps
 * its place there until its owner makes it leave: when it needs no step any more, or is over.
 */
bool steps_take(struct steps *s, struct place *p);
/*
 * Whose turn it is: to call steps_take for as many steps as it needs, and to leave. NULL: nobody waits, or no
 * step is left.
 */
struct place *steps_call(struct steps *s);

/* May a handshake begin now? */
bool steps_may_begin(const struct steps *s);
/* One has: its ClientHello, when it is whole, needs no step of its own. */
static inline void steps_begun(struct steps *s) { s->done++; }
static inline bool steps_none_wait(const struct steps *s) { return place_alone(&s->line); }

#endif
