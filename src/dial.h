/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial: one DTLS 1.2 handshake under way, client side, on sans-I/O terms: what handshake is to a server's. Datagrams and
 * the time come in, datagrams leave through a callback. GnuTLS sees whole messages in order; our flights are kept,
 * packed, resent and cut smaller by flight and retransmit. Once it is done the keys are taken and GnuTLS is left.
 */
#ifndef DTLSD_DIAL_H
#define DTLSD_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "classify.h"
#include "env.h"
#include "flight.h"
#include "record.h"
#include "tls_client.h"

struct dial;

enum dial_verdict {
	DIAL_GOING,
	DIAL_DONE,  /* call dial_finish */
	DIAL_FAILED /* an alert was sent where one is due; dial_why says why */
};

struct dial_config {
	struct env *env;             /* borrowed */
	struct tls_client *tls;      /* a reference is taken */
	const gnutls_datum_t *saved; /* to be resumed; size 0: none */
	uint64_t timeout_ms;
	size_t mtu;                  /* UDP payload that flights are first cut for */
	int (*out)(void *ctx, const uint8_t *data, size_t len); /* a datagram to the server; as flight_send wants it */
	void *ctx;
};

/* dial_start is due, from where out may be called. NULL: out of memory. */
struct dial *dial_new(const struct dial_config *c);
void dial_free(struct dial *d); /* NULL is fine */

/* Says hello. */
enum dial_verdict dial_start(struct dial *d);
/* A record from the server. */
enum dial_verdict dial_record(struct dial *d, const struct record *r);
/* Time passes: a flight is resent, or it is given up. */
enum dial_verdict dial_tick(struct dial *d);
uint64_t dial_due(const struct dial *d); /* when dial_tick wants to be called */

#define DIAL_WHY_MAX 320
/* After DIAL_FAILED: one phrase with the cause and what to do. */
const char *dial_why(const struct dial *d);
bool dial_timed_out(const struct dial *d); /* of this: no time was left */
bool dial_answered(const struct dial *d);  /* something came that could be the server's */

/* What is left of it. */
struct dial_result {
	struct record_state record;
	struct flight *final; /* ours is last in a resumption, and the server may ask again; else NULL. The caller's */
	size_t mtu;
	bool resumed;
	gnutls_datum_t saved; /* for others to resume; size 0: nothing new. gnutls_free(data) */
};
/* After DIAL_DONE. false: the keys are none that can be taken over; dial_why says so. */
bool dial_finish(struct dial *d, struct dial_result *out);

#endif
