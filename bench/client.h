/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client: DTLS 1.2 clients by the thousand. GnuTLS does the handshakes, many at a time; of each session only
 * the keys are kept. Certificates are not verified: what is measured is the server.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdint.h>
#include <sys/types.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "source.h"

#define RECORD_OVERHEAD (13 + 8 + 16) /* AES-128-GCM */
#define HELLO_MAX 1024

enum content_type { CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };

/* An established session. */
struct secure {
	uint64_t write_seq; /* epoch in the upper 16 bits */
	uint8_t write_salt[4], read_salt[4];
	gnutls_aead_cipher_hd_t writer, reader;
};

/* tickets: whether the clients take session tickets, as most do; none is ever used. */
void client_init(bool tickets);

/* A ClientHello without a cookie, as GnuTLS makes it. Its length. */
size_t client_hello(uint8_t hello[static HELLO_MAX]);

/*
 * Full handshakes (X25519, ECDSA P-256, AES-128-GCM, no resumption) of peers first..first+count-1, lanes at a
 * time; their keys go to out[0..count-1]. Retransmits; ends the program when a peer does not get through.
 */
void client_connect(struct source *s, uint32_t first, uint32_t count, unsigned lanes, struct secure *out);

/* Writes len + RECORD_OVERHEAD bytes. in and out do not overlap. */
void secure_seal(struct secure *c, uint8_t type, const uint8_t *in, size_t len, uint8_t *out);
/* Opens one record of len bytes into plain (len bytes). The plaintext's length, or -1. */
ssize_t secure_open(struct secure *c, const uint8_t *record, size_t len, uint8_t *plain);
void secure_free(struct secure *c);

#endif
