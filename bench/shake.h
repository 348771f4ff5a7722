/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shake: one client's DTLS 1.2 handshake (RFC 6347, RFC 5246, RFC 7627), as cheap as it can be made, so that
 * one processor of clients keeps one processor of server busy: GnuTLS's and OpenSSL's clients cost several
 * times what the server does. It offers one suite (ECDHE-ECDSA, AES-128-GCM, X25519), uses one X25519 key for all,
 * verifies neither certificate nor signature, and takes messages only whole and in order. The server's
 * Finished is checked, so keys and transcript were right on both sides. Nothing for real use.
 */
#ifndef BENCH_SHAKE_H
#define BENCH_SHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nettle/sha2.h>

#include "secure.h"

#define SHAKE_FLIGHT_MAX 512

enum shake_verdict {
	SHAKE_WAIT, /* for the rest of the server's flight */
	SHAKE_SEND, /* a new flight is there */
	SHAKE_DONE,
	SHAKE_REFUSED /* by an alert */
};

struct shake {
	uint8_t flight[SHAKE_FLIGHT_MAX]; /* one datagram */
	size_t flight_len;
	struct secure *secure; /* filled when the keys are known */
	struct sha256_ctx transcript;
	uint64_t record_seq;   /* of the next record in epoch 0 */
	uint16_t send_seq, receive_seq; /* of handshake messages */
	uint8_t random[32], server_random[32], server_key[32], master[48];
	bool extended_master;
	bool keyed;
};

/* tickets: whether clients take session tickets, as most do; none is ever used. */
void shake_setup(bool tickets);
/* A hello without a cookie is in s->flight. */
void shake_begin(struct shake *s, struct secure *secure);
/* One datagram from the server. Ends the program when the server does what is not understood. */
enum shake_verdict shake_feed(struct shake *s, const uint8_t *data, size_t len);
/* The flight is about to be sent once more: new sequence numbers in epoch 0. */
void shake_again(struct shake *s);

#endif
