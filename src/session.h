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
#include "wheel.h"

struct handler;

enum session_end {
	SESSION_LIVE,
	SESSION_END_PEER,     /* close_notify or a fatal alert came */
	SESSION_END_LOCAL,    /* the handler wants it so */
	SESSION_END_IDLE,
	SESSION_END_REPLACED, /* its peer restarted and has a new session */
	SESSION_END_DRAIN,
	SESSION_END_SEQ       /* sequence numbers nearly used up */
};

/* The engine files and frees sessions; others use the functions below. */
struct session {
	struct table_node node;
	struct timer timer;
	struct record_state record;
	struct env *env;
	const struct handler *handler;
	void *state;           /* the handler's */
	char *identity;        /* NULL: nobody in particular */
	struct flight *final;  /* our final flight, while the peer may ask for it again */
	uint64_t opened_at, heard_at, resent_at; /* ms */
	uint64_t final_until;
	uint64_t records_in, records_out, bytes_in, bytes_out;
	uint64_t hello_tag;    /* of the ClientHello random: tells a late copy from a restart */
	uint64_t serial;       /* never used twice by one worker */
	uint32_t listener;
	uint16_t final_mtu;
	uint8_t end;           /* enum session_end */
	bool rival;            /* a handshake of the same flow is under way beside it */
	bool opened;           /* the handler has it */
};

/* The session that a node of the session table lies in. */
static inline struct session *session_of_node(struct table_node *n)
{
	return (struct session *)(void *)((char *)n - offsetof(struct session, node));
}

/* How long the peer may ask for the final flight: twice the MSL of TCP (RFC 6347 4.2.4). */
#define SESSION_FINAL_MS 240000

/*
 * A record of epoch >= 1. True: the record was authentic and of this session. The session may have ended by it: see end.
 * The body is opened in place; where keep is set a record that is not authentic is left as it was.
 */
bool session_record(struct session *s, const struct record *r, bool keep);

/* When session_tick wants to be called; UINT64_MAX never. */
uint64_t session_due(const struct session *s);
void session_tick(struct session *s);

/* Ends it, with close_notify where the peer should know. The engine removes it when the current call is over. */
void session_close(struct session *s, enum session_end why);
/* Frees what the session holds (not the struct): handler's close, keys wiped. */
void session_release(struct session *s);

/*
 * Sends one record to the peer. 0; -EMSGSIZE: larger than 2^14 bytes or than a datagram holds (counted); -ENOBUFS: the queue is full, dropped as UDP
 * would (counted); -ECONNRESET: the session has ended; -ENOMEM.
 */
int session_send(struct session *s, const void *data, size_t len);

const struct addr *session_peer(const struct session *s);
const char *session_identity(const struct session *s); /* NULL: nobody in particular */
struct env *session_env(const struct session *s);
void session_set_state(struct session *s, void *state);
void *session_state(const struct session *s);

#endif
