/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker: one thread that joins an event loop, sockets and an engine. The only file that does.
 *
 * All functions are the main thread's; the thread itself is reached by letters only.
 */
#ifndef DTLSD_WORKER_H
#define DTLSD_WORKER_H

#include <stdint.h>

#include "engine.h"
#include "metrics.h"
#include "udp.h"

struct worker;

struct worker_config {
	struct upstream_limit *upstreams; /* of all workers; borrowed */
	struct engine_config engine; /* post, flush, left, settled, local, ctx and upstream are filled in here */
	struct worker **all;         /* engine.count workers, complete before the first is started; borrowed */
	void (*done)(void *ctx);     /* called in the worker's thread as its last act */
	/* The listener that was taken away is not used any more: its sockets may be closed. In the worker's thread. */
	void (*left)(void *ctx, unsigned listener);
	/* So many changes have had their effect on all of its peers. In the worker's thread. */
	void (*settled)(void *ctx, unsigned changes);
	void *ctx;                   /* of all three */
};

/* What a worker serves, and through which sockets. */
struct worker_settings {
	struct engine_settings engine;
	/* By listener that is served; fd -1: the worker has it already, or for hellos: there is no lane. Not owned. */
	struct udp_socket sockets[LISTENERS_MOST], hello_sockets[LISTENERS_MOST];
};

struct worker *worker_new(const struct worker_config *c); /* NULL: out of memory or file descriptors */
int worker_start(struct worker *w);                       /* 0 or -errno */
void worker_join(struct worker *w);                       /* no-op when it was not started */
void worker_free(struct worker *w);                       /* after all have been joined */

/*
 * A change of what it serves, in two steps so that all workers take it or none: the first takes the memory, the
 * second cannot fail. Before worker_start it holds at once.
 */
struct worker_change;
struct worker_change *worker_prepare(const struct worker_settings *s); /* NULL: out of memory */
void worker_forget(struct worker_change *c);                           /* instead of the second; NULL is fine */
void worker_apply(struct worker *w, struct worker_change *c);
/* No new sessions, close_notify to all, end at the latest after that time. May be repeated to shorten it. */
int worker_drain(struct worker *w, uint64_t most_ms);

const struct metrics *worker_metrics(struct worker *w);

#endif
