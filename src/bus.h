/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus: what crosses from one worker to another: a text for all sessions, and the roster, which
 * goes round all workers and comes back to who asked. Level 4: below the engine.
 */
#ifndef DTLSD_BUS_H
#define DTLSD_BUS_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "mailbox.h"
#include "session.h"

enum bus_kind { BUS_BROADCAST, BUS_ROSTER };

#define BUS_TEXT_MAX 1100 /* the roster fits into one datagram of the usual size */
#define BUS_LISTED_MAX 20

struct bus_message {
	struct letter letter; /* first */
	enum bus_kind kind;
	/* roster */
	unsigned hop;         /* the worker that is asked now */
	unsigned origin;      /* who gets the answer */
	struct flow asker;
	uint64_t serial;
	uint64_t sessions;    /* in all */
	unsigned listed;
	/* both */
	size_t len;
	uint8_t text[];
};

struct bus_message *bus_broadcast(const uint8_t *data, size_t len); /* NULL: out of memory. free() it */
struct bus_message *bus_roster(unsigned origin, const struct session *asker);
static inline struct bus_message *bus_of_letter(struct letter *l)
{
	return (struct bus_message *)(void *)l;
}

/* Adds a line for the session. false: no room for it nor for more. */
bool bus_roster_add(struct bus_message *m, const struct session *s);
/* "N sessions", the lines, and how many are not listed. Returns the length. */
size_t bus_roster_text(const struct bus_message *m, char *out, size_t size);

#endif
