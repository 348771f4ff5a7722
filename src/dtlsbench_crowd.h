/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_crowd: all the clients of the load generator: up to millions of sessions, of which each keeps its keys
 * only, and a bounded number of handshakes under way, by GnuTLS or by dtlsbench_shake.
 *
 * A client is known by its number. What it says is queued, and leaves when the queue is full or in crowd_turn;
 * what it hears is told through the events, from within crowd_turn.
 */
#ifndef DTLSD_DTLSBENCH_CROWD_H
#define DTLSD_DTLSBENCH_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtlsbench_shake.h"
#include "dtlsbench_source.h"
#include "dtlsbench_tls.h"

enum client_state { CLIENT_ABSENT, CLIENT_SHAKING, CLIENT_OPEN, CLIENT_CLOSING };

/* All times in ns of the monotonic clock. */
struct crowd_events {
	void *ctx;
	void (*opened)(void *ctx, uint32_t client, uint64_t since, uint64_t now);
	void (*failed)(void *ctx, uint32_t client); /* the handshake; crowd_why says why the first did */
	void (*heard)(void *ctx, uint32_t client, const uint8_t *plain, size_t len, uint64_t now);
	void (*closed)(void *ctx, uint32_t client, bool answer); /* close_notify; answer: to crowd_close */
	void (*raw)(void *ctx, const struct parcel *p, uint64_t now); /* see crowd_hear_raw */
};

struct crowd_setup {
	uint32_t clients;           /* numbers 0 to clients - 1 */
	uint32_t handshakes;        /* under way at most */
	uint32_t handles;           /* sessions that keep AEAD handles */
	const struct tls_setup *tls;
	const struct shake_setup *lean; /* NULL: GnuTLS makes the handshakes */
	uint64_t retransmit_ns;     /* first time-out of a flight, doubled each time */
	uint64_t timeout_ns;        /* of a whole handshake */
	size_t mtu;
};

/* Counted since the beginning. */
struct crowd_counts {
	uint64_t opened, resumed, failed;
	uint64_t repeated; /* flights sent again */
	uint64_t strays;   /* records and datagrams that nobody waits for */
};

struct crowd;

/* NULL: out of memory. Borrows the source and all that setup points to. */
struct crowd *crowd_new(struct source *source, const struct crowd_setup *setup,
			const struct crowd_events *events);
void crowd_free(struct crowd *c);

/* The next handshake that is done leaves its session there, for others to resume. */
void crowd_keep_session(struct crowd *c, gnutls_datum_t *session);

enum client_state crowd_state(const struct crowd *c, uint32_t client);
const struct crowd_counts *crowd_counts(const struct crowd *c);
const char *crowd_why(const struct crowd *c); /* why the first handshake failed; "" if none did */
uint32_t crowd_shaking(const struct crowd *c);
bool crowd_can_open(const struct crowd *c); /* fewer handshakes are under way than there may be */

/* Begins the handshake of an absent client; crowd_can_open. since: when its time begins to count. */
void crowd_open(struct crowd *c, uint32_t client, uint64_t since);
/* A record of an open client. run: in one message with the one before, if that is of the same client and length. */
void crowd_say(struct crowd *c, uint32_t client, const uint8_t *plain, size_t len, bool run);
/* Says close_notify for an open client. */
void crowd_close(struct crowd *c, uint32_t client);
/* Forgets a client without a word. */
void crowd_drop(struct crowd *c, uint32_t client);

/* Protects a record of an open client ahead of time; out has room. Its length, or 0: out of memory. */
size_t crowd_seal(struct crowd *c, uint32_t client, const uint8_t *plain, size_t len, uint8_t *out,
		  size_t room);
/* Sends bytes as they are: a copy, or themselves, which stay until crowd_turn. segment as in struct parcel. */
void crowd_say_plain(struct crowd *c, uint32_t client, const uint8_t *data, size_t len, bool run);
void crowd_say_borrowed(struct crowd *c, uint32_t client, uint8_t *data, size_t len, uint16_t segment);
/*
 * From now on what arrives is handed over as it is, but for handshakes under way; with heads_only, while there are
 * none, of long datagrams only the beginning.
 */
void crowd_hear_raw(struct crowd *c, bool raw, bool heads_only);

/* Sends what is queued, takes what has come (waiting at most so long for it), and looks after handshakes. */
int crowd_turn(struct crowd *c, uint64_t wait_ns);

#endif
