/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: an established peer: keys, sequence numbers, replay window, identity, handler. No GnuTLS
 * session is left behind it.
 */
#ifndef DTLSD_SESSION_H
#define DTLSD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "classify.h"
#include "env.h"
#include "flight.h"
#include "record.h"
#include "table.h"
#include "tls_grant.h"
#include "wheel.h"

enum session_end {
	SESSION_LIVE,
	SESSION_END_PEER,     /* close_notify or a fatal alert came */
	SESSION_END_LOCAL,    /* the handler wants it so */
	SESSION_END_IDLE,
	SESSION_END_REPLACED, /* its peer restarted and has a new session */
	SESSION_END_DRAIN,
	SESSION_END_DENIED,   /* a route of the service denies its peer */
	SESSION_END_REVOKED,  /* a reload has taken away what its peer came in with */
	SESSION_END_SEQ       /* sequence numbers nearly used up */
};

/*
 * The engine files sessions; others use the functions below.
 *
 * Memory is what bounds the number of sessions, and the cache what a record costs when there are many: with
 * AES-128-GCM this takes 256 bytes, four cache lines. A record needs the first (to find it) and the last two. What
 * comes behind record's keys is not there; names that are short lie in its place, and what is kept of a certificate.
 */
struct session {
	struct table_node node;
	/* what comes and goes with the session */
	struct timer timer;
	const char *names;     /* identity ("": nobody), behind its NUL protocol, then certificate's grant; NULL: none */
	void *state;           /* the handler's */
	uint32_t hello_tag;    /* of the ClientHello random: tells a late copy from a restart */
	uint32_t psk_grant;    /* of the key that its peer came in with (tls_grant.h); 0: without one */
	uint32_t serial;       /* tells it from the one before of the same flow */
	uint32_t opened_at;    /* s */
	uint32_t answered_at;  /* ms, modulo 2^32: of the last answer to what could be a replay */
	uint16_t listener;
	uint16_t final_mtu;
	/* what a record changes */
	struct env *env;
	struct flight *final;  /* our final flight, while the peer may ask for it again */
	uint64_t records_in, bytes_in, bytes_out;
	uint32_t heard_at;     /* in units of SESSION_HEARD_MS, rounded up */
	uint8_t end;           /* enum session_end */
	bool rival : 1;        /* a handshake of the same flow is under way beside it */
	bool opened : 1;       /* the handler has it */
	bool alpn : 1;         /* a protocol is behind the identity */
	bool certificate : 1;  /* and its grant behind these */
	bool told : 1;         /* its end is counted and in the log */
	uint8_t route;         /* of its service, counted from 1; 0: none of them */
	uint8_t store_class;   /* the store's */
	struct record_state record; /* last */
};

#define SESSION_HEARD_MS 10 /* 32 bits of them are more than a year, the longest idle time-out */

/* Where a worker keeps its sessions, env->store: each takes what its cipher and its names need. */
struct session_store;
struct session_store *session_store_new(void);      /* NULL: out of memory */
void session_store_free(struct session_store *st);  /* asserts that no session is out */
struct session_names {
	const char *identity; /* NULL: nobody */
	const char *alpn;     /* NULL: no protocol */
	const struct tls_grant *grant; /* NULL: nothing to be asked for after a reload */
};
/* Opened and heard of now; record and names are copied. The rest is zero. NULL: out of memory. */
struct session *session_new(struct env *env, const struct record_state *record, const struct session_names *names);
void session_free(struct session *s); /* after session_release */
/* Our last flight, for the peer that asks for it again; it is the session's from then on. mtu: what it is cut for. */
void session_keep_final(struct session *s, struct flight *final, size_t mtu);

/* The session that a node of the session table lies in. */
static inline struct session *session_of_node(struct table_node *n)
{
	return (struct session *)(void *)((char *)n - offsetof(struct session, node));
}

/* How long the peer may ask for the final flight: twice the MSL of TCP (RFC 6347 4.2.4). */
#define SESSION_FINAL_MS 240000

/* A record is about to come: fetches what it needs of the session. */
static inline void session_expect(const struct session *s)
{
	__builtin_prefetch(&s->env);
	__builtin_prefetch(&s->record.secret);
}

/*
 * A record of epoch >= 1. True: the record was authentic and of this session. The session may have ended by it: see end.
 * The body is opened in place; where keep is set a record that is not authentic is left as it was.
 */
bool session_record(struct session *s, const struct record *r, bool keep);

/* When session_tick wants to be called; UINT64_MAX never. */
uint64_t session_due(const struct session *s);
void session_tick(struct session *s);

/* Would its peer come in with what it came in with? */
enum tls_grant_verdict session_check_grant(const struct session *s);
/* Ends it, with close_notify or, for who is denied or revoked, access_denied where the peer should know. The engine removes it when the current call is over. */
void session_close(struct session *s, enum session_end why);
/*
 * Ended before it was opened, and its peer may have heard neither that nor our final flight: for SESSION_REFUSED_MS, or
 * until he says something else, he is told both when he asks for the flight.
 */
bool session_lingers(const struct session *s);
#define SESSION_REFUSED_MS 15000 /* as a rule he asks after 1, 3 and 7 s; slow ones get there, too */
/* Lets go of what the session holds, but for its memory: handler's close, keys wiped. */
void session_release(struct session *s);

/*
 * Sends one record to the peer. 0; -EMSGSIZE: larger than 2^14 bytes or than a datagram holds (counted); -ENOBUFS: the queue is full, dropped as UDP
 * would (counted); -ECONNRESET: the session has ended; -ENOMEM.
 */
int session_send(struct session *s, const void *data, size_t len);

uint64_t session_age(const struct session *s); /* s */
/* Records sent, of whatever type. */
uint64_t session_records_out(const struct session *s);
const struct addr *session_peer(const struct session *s);
const char *session_identity(const struct session *s); /* NULL: nobody in particular */
const char *session_alpn(const struct session *s);     /* the application protocol; NULL: none was agreed on */
struct env *session_env(const struct session *s);
void session_set_state(struct session *s, void *state);
void *session_state(const struct session *s);

#endif
