/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine: one worker's DTLS server without its sockets and its loop: datagrams, letters and the time come in,
 * datagrams leave through the txq. The simulator drives it just as the worker does.
 *
 * Not thread-safe; one thread owns it. Only census and tls are shared with others.
 */
#ifndef DTLSD_ENGINE_H
#define DTLSD_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "census.h"
#include "cookie.h"
#include "datagram.h"
#include "mailbox.h"
#include "metrics.h"
#include "service.h"
#include "txq.h"
#include "upstream.h"

struct engine;

struct engine_config {
	unsigned index, count;       /* this worker, and how many there are */
	struct census *census;       /* borrowed, outlives the engine */
	const uint8_t *cookie_master; /* COOKIE_MASTER_SIZE bytes, copied */
	uint32_t cookie_lifetime_s;
	struct upstream *upstream;   /* to backends; borrowed, outlives the engine; NULL: none is forwarded to */
	/* Brings a letter to the engine of that worker, this one too; owns it from then on. false: closed, still the caller's. */
	bool (*post)(void *ctx, unsigned worker, struct letter *l);
	void (*flush)(void *ctx, struct txq *q); /* as txq_init wants it */
	/* A listener that was taken away: nobody is there any more, and nothing is left to send from there. */
	void (*left)(void *ctx, unsigned listener);
	/* So many calls of engine_apply have had their effect on all peers; 0: so has what programs were asked. */
	void (*settled)(void *ctx, unsigned changes);
	/* To a local peer on a unix socket, as of struct tunnel_local; NULL: there are none. */
	void (*local)(void *ctx, uint32_t listener, const char *name, size_t name_len, uint32_t *unheard,
		      const void *data, size_t len);
	void *ctx;
};

/* What a reload can change. */
struct engine_settings {
	struct service *services[LISTENERS_MOST]; /* by listener; NULL: nobody is served there, or no longer */
	uint32_t handshake_rate;      /* per second and engine, 0: no limit */
	uint32_t handshake_steps_per_turn; /* 0: any number */
};

/* Serves nobody yet. NULL: out of memory. */
struct engine *engine_new(const struct engine_config *c, uint64_t now_ms, uint64_t wall_s);
/* Sessions that are left are closed without a word (engine_drain says goodbye). */
void engine_free(struct engine *e);

/* What time it is for all that follows. */
void engine_time(struct engine *e, uint64_t now_ms, uint64_t wall_s);

/* These are about to come: a hint, what they need of memory is fetched meanwhile. */
void engine_expect(const struct engine *e, const struct datagram *d, unsigned n);
/* One datagram, or several of one peer. */
void engine_datagram(struct engine *e, struct datagram *d);
/* One from the unix socket of a service that connects; name: of the sender's socket. */
void engine_local(struct engine *e, uint32_t listener, const char *name, size_t name_len, const uint8_t *data,
		  size_t len);
/* A turn of the loop begins: at most handshake_steps_per_turn expensive steps from here to the next call. */
void engine_turn(struct engine *e);
/* A letter that post brought. */
void engine_letter(struct engine *e, struct letter *l);
/* Timers, broadcasts, draining: a bounded piece. Milliseconds until the next call is wanted, 0: at once. */
uint64_t engine_run(struct engine *e);
/* The kernel refused a handshake datagram as larger than the path MTU; mtu: what fits, 0 unknown. */
void engine_too_large(struct engine *e, const struct tx_entry *t, size_t mtu);

/*
 * From now on; takes references. New handshakes use the new services, and live sessions their time-outs; those whose
 * certificates or keys the new ones do not let in are closed. Where a
 * listener's handler or standing is another one, and where it is taken away, its peers are told close_notify by
 * engine_run, and nobody is admitted until all are gone; then it serves the new one, or left is called.
 */
void engine_apply(struct engine *e, const struct engine_settings *s);
/* No admissions from now on; engine_run says close_notify to all sessions, a piece at a time. */
void engine_drain(struct engine *e);
bool engine_drained(const struct engine *e);

struct txq *engine_txq(struct engine *e);
struct metrics *engine_metrics(struct engine *e);
size_t engine_sessions(const struct engine *e);
size_t engine_handshakes(const struct engine *e);

#endif
