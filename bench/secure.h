/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secure: the record layer of an established session, AES-128-GCM only (RFC 6347 4.1.2, RFC 5288). Written
 * apart from dtlsd's own, so that neither hides a mistake of the other.
 */
#ifndef BENCH_SECURE_H
#define BENCH_SECURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define RECORD_HEADER 13
#define RECORD_OVERHEAD (RECORD_HEADER + 8 + 16)

enum content_type { CONTENT_CCS = 20, CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };

struct secure {
	uint64_t write_seq; /* epoch in the upper 16 bits */
	uint8_t write_salt[4], read_salt[4];
	gnutls_aead_cipher_hd_t writer, reader;
};

void secure_init(struct secure *c, const uint8_t write_key[static 16], const uint8_t read_key[static 16],
		 const uint8_t write_salt[static 4], const uint8_t read_salt[static 4]);
/* Writes len + RECORD_OVERHEAD bytes. in and out do not overlap. */
void secure_seal(struct secure *c, uint8_t type, const uint8_t *in, size_t len, uint8_t *out);
/* Opens one record of len bytes into plain (len bytes). The plaintext's length, or -1. */
ssize_t secure_open(struct secure *c, const uint8_t *record, size_t len, uint8_t *plain);
void secure_free(struct secure *c);

#endif
