/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus: what crosses from one worker to another: a text for all sessions, the roster, which goes round all
 * workers and comes back to who asked, and what handlers have to say to each other. Each engine has one end of it.
 */
#ifndef DTLSD_BUS_H
#define DTLSD_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox.h"
#include "session.h"
#include "table.h"

struct bus_job;
struct env;

/* What a handler does at another worker than its session's, with what it was sent. */
typedef void bus_call(struct env *env, uint64_t number, const uint8_t *data, size_t len);

struct bus {
	/* filled in by the owner, borrowed */
	struct table *sessions;
	unsigned index, count; /* this worker, and how many there are */
	/* Brings a letter to the bus of that worker, this one too; owns it from then on. false: closed. */
	bool (*post)(void *ctx, unsigned worker, struct letter *l);
	void *post_ctx;
	/* A session was used by the bus: it may have ended. */
	void (*settle)(void *ctx, struct session *s);
	void *settle_ctx;
	struct env *env; /* of this worker */
	/* its own, all zero at first */
	struct bus_job *jobs;
	unsigned job_count;
	unsigned rosters; /* asked for here and not back yet */
	atomic_uint errands; /* sent from here and not run yet */
};

/* For handlers. A copy to every session of every worker, a few at a time. 0, -ENOMEM. */
int bus_broadcast(struct bus *b, const uint8_t *data, size_t len);
/*
 * For handlers. Answers the session with the number of sessions and a bounded list of them, one record of
 * text, when all workers have been asked; not at all when it has ended by then. 0, -ENOMEM,
 * -EAGAIN: too many are on their way.
 */
int bus_roster(struct bus *b, const struct session *asker);

/*
 * For handlers. Calls call at that worker, with a copy of data. 0, -ENOMEM, -EAGAIN: too many are on their way,
 * -ECONNRESET: that worker is at its end.
 */
int bus_send(struct bus *b, unsigned worker, bus_call *call, uint64_t number, const uint8_t *data, size_t len);

/* A letter that post brought. */
void bus_letter(struct bus *b, struct letter *l);
/* A bounded piece of what there is to do. True: there is more. */
bool bus_run(struct bus *b);
/* Drops what is under way. */
void bus_clear(struct bus *b);

#endif
