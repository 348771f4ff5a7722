/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backlog: hellos with a good cookie that wait for their turn to begin a handshake, first come, first served.
 * Bounded; one of each flow. Copies are made only here, so only peers that have proved their address take memory.
 */
#ifndef DTLSD_BACKLOG_H
#define DTLSD_BACKLOG_H

#include "datagram.h"
#include "table.h"

/* A quarter of a second of handshakes on one processor: who waits for longer has sent his hello again. */
#define BACKLOG_MOST 1024

struct backlog_entry {
	struct table_node node; /* first */
	struct backlog_entry *next;
	struct datagram datagram; /* data lies behind the entry */
};

struct backlog {
	struct table *table;
	struct backlog_entry *first, **last;
};

enum backlog_verdict {
	BACKLOG_TAKEN,
	BACKLOG_REPEATED, /* the flow waits already */
	BACKLOG_FULL      /* or there is no memory */
};

int backlog_init(struct backlog *b, const struct siphash_key *key); /* 0, -ENOMEM */
void backlog_destroy(struct backlog *b);                            /* also after a backlog_init that failed */
enum backlog_verdict backlog_add(struct backlog *b, const struct datagram *d);
struct backlog_entry *backlog_take(struct backlog *b); /* the oldest, to be freed by the caller; NULL: none */
static inline bool backlog_empty(const struct backlog *b) { return !b->first; }

#endif
