/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peers: whom one worker knows: the table of sessions, the handshakes under way, their timers, and the step
 * from one to the other. A peer is here from its admission until its session ends.
 */
#ifndef DTLSD_PEERS_H
#define DTLSD_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "census.h"
#include "classify.h"
#include "datagram.h"
#include "env.h"
#include "handshake.h"
#include "place.h"
#include "quota.h"
#include "session.h"
#include "siphash.h"
#include "table.h"
#include "wheel.h"

/* Visits and timers in one piece of work, so that records do not wait long for it. */
#define PEERS_A_RUN 256
/* The same for sessions whose time may be over: to each that ends close_notify is said, with handles made for that. */
#define PEERS_EXPIRIES_A_RUN 64

struct peers {
	/* filled in by the owner before peers_init, borrowed */
	struct env *env;
	struct census *census;
	/* its own */
	struct siphash_key hash_key;
	struct table *sessions;
	struct table *handshakes;
	struct wheel session_timers;
	struct wheel handshake_timers;
	struct place half_open; /* oldest first; who has gone on since is taken out when he is met */
	struct session *hot; /* of the last protected record: runs of one peer look up once */
	uint32_t serial;
	bool no_room;        /* for the goodbyes of sessions whose time is over, when there last were some */
	unsigned freed;      /* handshakes and sessions, since the owner last looked */
	uint64_t freed_at;   /* ms, of the last of them */
};

/* Not to be moved afterwards. 0, -ENOMEM; peers_clear is due in either case. */
int peers_init(struct peers *p, uint64_t now_ms);
/* Ends all without a word and frees what init made. */
void peers_clear(struct peers *p);

/* Records of these are about to come: what looking up and opening them needs is fetched meanwhile. */
void peers_expect(const struct peers *p, const struct datagram *d, unsigned n);
struct session *peers_session(struct peers *p, const struct flow *flow);     /* NULL: none */
struct handshake *peers_handshake(struct peers *p, const struct flow *flow); /* NULL: none */
/* Of all, or those counted in a quota. NULL: all of these handshakes have got further than the hello. */
struct handshake *peers_oldest_half_open(struct peers *p, const struct quota *of);
/* Whose places the peers of a listener take. */
struct quota *peers_quota(const struct peers *p, unsigned listener);
/* Tells a hello from another by its random, in eight bytes that nobody else can compute. */
uint64_t peers_hello_tag(const struct peers *p, const uint8_t *random);

/* One that was just admitted, and is counted in the census. beside: the session that its flow has, NULL: none. */
void peers_add_handshake(struct peers *p, struct handshake *h, struct session *beside);
/* What a call into a handshake came to: it waits, becomes a session or is gone. */
void peers_settle_handshake(struct peers *p, struct handshake *h, enum handshake_verdict v);
/* It came to nothing, and its peer leaves. */
void peers_remove_handshake(struct peers *p, struct handshake *h);
/* The same of one that the end of its service, or ours, has come to. */
void peers_forsake(struct peers *p, struct handshake *h);
/* One that has ended. */
void peers_remove_session(struct peers *p, struct session *s);
/* Its time-out may be another one than when it was armed last. */
void peers_arm_session(struct peers *p, struct session *s);
/* ctx is the struct peers: after a session was used it may have ended; then it is removed, unless it lingers. */
void peers_settle_session(void *ctx, struct session *s);
/* A record of epoch >= 1, for the session or the handshake of the flow; counted and dropped when there is neither. */
void peers_protected(struct peers *p, const struct flow *flow, const struct record *r);
/* Counts and logs that a peer could not be served for want of memory. */
void peers_refuse_memory(struct peers *p, const struct flow *flow);

/* The handshakes that wait for an expensive step go on, as many as this turn allows. */
void peers_take_steps(struct peers *p);
/* Those that wait for a pre-shared key go on where there is news of it, a bounded number. True: there are more. */
bool peers_take_keys(struct peers *p);
/* Fires a bounded number of timers. True: more may be due. */
bool peers_run(struct peers *p);
/*
 * Milliseconds until peers_run is wanted again, at most limit_ms; UINT64_MAX: no timer is waited for. Those of sessions
 * are not while the queue has no room for what they may say.
 */
uint64_t peers_wait(const struct peers *p, uint64_t limit_ms);
bool peers_none(const struct peers *p);

#endif
