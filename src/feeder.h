/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * feeder: the network that GnuTLS sees in a handshake, one that loses nothing: whole messages come in their
 * order, in records made here, with sequence numbers that it has not seen. What it sends goes to the owner.
 */
#ifndef DTLSD_FEEDER_H
#define DTLSD_FEEDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#define FEEDER_SCRATCH (17 * 1024)

/* Bare, so that it lies in its owner, where it stays: GnuTLS points to it. */
struct feeder {
	gnutls_session_t session; /* the owner's */
	uint8_t *scratch;         /* FEEDER_SCRATCH bytes, free for the length of a call */
	uint64_t seq;             /* of the next record made here */
	const uint8_t *data;      /* the one datagram that GnuTLS may pull, NULL when it was pulled */
	size_t len;
	bool starved;             /* it has asked for more than there is */
	void (*said)(void *ctx, const uint8_t *data, size_t len); /* what it sends: whole records */
	void *ctx;
};

/* The owner has filled in session, scratch, seq, said and ctx; this sets the session's transport. */
void feeder_attach(struct feeder *f);

/*
 * GnuTLS gets what there is, and works until it wants more: GNUTLS_E_SUCCESS when the handshake is done,
 * GNUTLS_E_AGAIN when it goes on, or the fatal error.
 */
/* msg: 12 header bytes as if unfragmented, then the body; version: of its records. */
int feeder_message(struct feeder *f, const uint8_t *msg, size_t len, uint16_t version);
int feeder_ccs(struct feeder *f);
int feeder_record(struct feeder *f, const uint8_t *record, size_t len); /* as it came, of epoch 1 */

#endif
