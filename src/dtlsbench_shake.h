/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_shake: one client's DTLS 1.2 handshake (RFC 6347, RFC 5246, RFC 7627, RFC 4279), as cheap as it can
 * be made, so that one processor of clients keeps one processor of server busy: GnuTLS's and OpenSSL's clients
 * cost several times what the server does. It offers AES-128-GCM with ECDHE on X25519 (one key for all clients)
 * or with a pre-shared key, and verifies neither certificate nor signature. The server's Finished is checked, so
 * keys and transcript were right on both sides. Nothing for real use.
 */
#ifndef DTLSD_DTLSBENCH_SHAKE_H
#define DTLSD_DTLSBENCH_SHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nettle/sha2.h>

#include "reassembly.h"
#include "record.h"

#define SHAKE_FLIGHT_MAX 768
#define SHAKE_FINISHED 24 /* a Finished with its header */
#define SHAKE_IDENTITY_MAX 128
#define SHAKE_PSK_MAX 64

enum shake_verdict {
	SHAKE_WAIT,  /* for the rest of the server's flight */
	SHAKE_SEND,  /* a new flight is there */
	SHAKE_DONE,  /* record protects from now on */
	SHAKE_FAILED /* why says it */
};

/* What all clients share. */
struct shake_setup {
	bool tickets; /* whether clients take session tickets, as most do; none is ever used */
	size_t psk_len;      /* 0: certificates */
	size_t identity_len;
	uint8_t psk[SHAKE_PSK_MAX], identity[SHAKE_IDENTITY_MAX];
	uint8_t private_key[32], public_key[32]; /* X25519; made by shake_prepare */
};

/* One handshake. All zero before the first use; may be begun again after any verdict. */
struct shake {
	const struct shake_setup *setup;
	struct record_cache *cache;
	uint8_t flight[SHAKE_FLIGHT_MAX]; /* one datagram */
	size_t flight_len;
	struct reassembly *in;
	struct record_state record;
	struct sha256_ctx transcript;
	uint64_t record_seq; /* of the next record in epoch 0 */
	uint16_t send_seq;   /* of the next handshake message */
	uint8_t random[32], server_random[32], server_key[32], master[48];
	uint8_t finished[SHAKE_FINISHED];
	bool extended_master;
	bool server_key_seen;
	bool certificate_wanted;
	bool keyed;
	const char *why;
};

/* Makes the key of all clients. 0 or -EIO: no random bytes. */
int shake_prepare(struct shake_setup *setup);
/* A hello without a cookie is in s->flight, unless SHAKE_FAILED. */
enum shake_verdict shake_begin(struct shake *s, const struct shake_setup *setup, struct record_cache *cache);
/* One datagram from the server, which is opened in place. */
enum shake_verdict shake_feed(struct shake *s, uint8_t *data, size_t len);
/* The flight is about to be sent once more: its records get new numbers. */
void shake_again(struct shake *s);
/* Frees what a handshake holds, and overwrites it. */
void shake_end(struct shake *s);

#endif
