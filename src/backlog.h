/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backlog: hellos with a good cookie that wait for their turn to begin a handshake. Bounded; one of each flow. Copies
 * are made only here, so only peers that have proved their address take memory.
 */
#ifndef DTLSD_BACKLOG_H
#define DTLSD_BACKLOG_H

#include "datagram.h"

#define BACKLOG_MOST 256

struct backlog_entry {
	struct backlog_entry *next;
	struct datagram datagram; /* data lies behind the entry */
};

struct backlog {
	struct backlog_entry *first, **last;
	unsigned count;
};

enum backlog_verdict {
	BACKLOG_TAKEN,
	BACKLOG_REPEATED, /* the flow waits already: its datagram was replaced, its place is the old one */
	BACKLOG_FULL      /* or there is no memory */
};

void backlog_init(struct backlog *b);
void backlog_clear(struct backlog *b);
enum backlog_verdict backlog_add(struct backlog *b, const struct datagram *d);
struct backlog_entry *backlog_take(struct backlog *b); /* the oldest, to be freed by the caller; NULL: none */

#endif
