/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * intake: what a client sends in its handshake, given out in the one order in which it may come (RFC 5246
 * 7.3), however it arrived: whole messages, then ChangeCipherSpec, then Finished. Pure.
 *
 *	Certificate*  ClientKeyExchange  CertificateVerify*  [ChangeCipherSpec]  Finished
 *
 * A message of a type that cannot stand at its place is refused: anyone can forge one. What is protected
 * cannot be judged before there are keys; it is held within fixed bounds, with room kept for a Finished.
 */
#ifndef DTLSD_INTAKE_H
#define DTLSD_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "classify.h"

#define INTAKE_RECORDS 8   /* protected records held that are no handshake records */
#define INTAKE_BYTES 16384 /* of these */
#define INTAKE_FINISHED 4  /* and so many that may be a Finished: the latest */
#define INTAKE_FINISHED_MAX 128 /* bytes: 24, explicit nonce and tag; more is none */

struct intake_held;

/* Bare, so that it lies in its owner; but for the first two members its own. */
struct intake {
	bool cert_requested; /* the owner's flight holds a CertificateRequest */
	bool abbreviated;    /* and its ChangeCipherSpec: a resumption, only the client's Finished is missing */
	struct reassembly *messages;
	uint16_t first;      /* message_seq of the ClientHello */
	bool cert_given, key_exchanged, cert_verified;
	bool ccs_seen, ccs_given;
	struct intake_held *held, **held_last;
	unsigned others, finished; /* held: without and of handshake records */
	size_t bytes;              /* of the others */
};

enum intake_verdict {
	INTAKE_KEPT,
	INTAKE_DUPLICATE,
	INTAKE_DUPLICATE_END, /* of the message given out last: the peer repeats its flight */
	INTAKE_UNEXPECTED,    /* it cannot come here, contradicts what is there, or there is no room for it */
	INTAKE_TOO_LARGE,
	INTAKE_MEMORY
};

enum intake_kind {
	INTAKE_NOTHING, /* what is next has not come */
	INTAKE_MESSAGE, /* 12 header bytes as if unfragmented, then its body */
	INTAKE_CCS,     /* no data: what it was in does not matter */
	INTAKE_PROTECTED /* a whole record, perhaps the Finished; a forged one is followed by the next */
};

/* first: message_seq of the ClientHello. 0, -ENOMEM; intake_destroy is due in either case. */
int intake_init(struct intake *in, uint16_t first);
void intake_destroy(struct intake *in);

/* A handshake fragment of epoch 0. */
enum intake_verdict intake_fragment(struct intake *in, const struct handshake_fragment *f);
void intake_ccs(struct intake *in);
/* A record of epoch 1. Who protects has changed its cipher spec, though what says so may be lost. */
enum intake_verdict intake_protected(struct intake *in, const struct record *r);

/* What is next in order, valid until intake_pop or what is taken in next; asking again gives the same. */
enum intake_kind intake_next(struct intake *in, const uint8_t **data, size_t *len);
/* Moves on, past what intake_next gave: not INTAKE_NOTHING. */
void intake_pop(struct intake *in);
/* Messages given out, the ClientHello included. */
unsigned intake_given(const struct intake *in);

/* Once there are keys: calls each for what is still held, in order, then forgets it. */
void intake_rest(struct intake *in, void (*each)(void *ctx, uint8_t *data, size_t len), void *ctx);

#endif
