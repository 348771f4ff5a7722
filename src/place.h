/* SPDX-License-Identifier: BSD-2-Clause */
/* place: a place in a line, inside of what stands there; the head of a line is one too. */
#ifndef DTLSD_PLACE_H
#define DTLSD_PLACE_H

#include <stdbool.h>

struct place {
	struct place *next, *before; /* itself: in no line, or a head of nobody */
};

static inline void place_init(struct place *p)
{
	p->next = p->before = p;
}

static inline bool place_alone(const struct place *p)
{
	return p->next == p;
}

/* p, which stands nowhere, goes to the end of the line. */
static inline void place_append(struct place *head, struct place *p)
{
	p->before = head->before;
	p->next = head;
	p->before->next = head->before = p;
}

/* A no-op when it stands nowhere. */
static inline void place_leave(struct place *p)
{
	p->next->before = p->before;
	p->before->next = p->next;
	place_init(p);
}

#endif
