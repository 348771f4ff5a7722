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
#include "tls.h"
#include "udp.h"

struct worker;

struct worker_config {
	struct engine_config engine; /* post, flush and ctx are filled in here */
	struct udp_socket *sockets;  /* one for each listener, borrowed */
	struct udp_socket *hello_sockets; /* the lane of hellos, one for each listener or -1; borrowed */
	unsigned socket_count;
	struct worker **all;         /* engine.count workers, complete before the first is started; borrowed */
	void (*done)(void *ctx);     /* called in the worker's thread as its last act */
	void *done_ctx;
};

struct worker *worker_new(const struct worker_config *c); /* NULL: out of memory or file descriptors */
int worker_start(struct worker *w);                       /* 0 or -errno */
void worker_join(struct worker *w);                       /* no-op when it was not started */
void worker_free(struct worker *w);                       /* after all have been joined */

/* 0, -ENOMEM, -ECONNRESET when the worker is gone. */
int worker_reload(struct worker *w, struct tls *tls);
/* No new sessions, close_notify to all, end at the latest after that time. May be repeated to shorten it. */
int worker_drain(struct worker *w, uint64_t most_ms);

const struct metrics *worker_metrics(struct worker *w);

#endif
