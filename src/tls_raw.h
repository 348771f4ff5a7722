/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_raw: raw public keys (RFC 7250), which a peer may show instead of a certificate. Nobody vouches for them: those
 * that are good are known by the SHA-256 of their SubjectPublicKeyInfo.
 */
#ifndef DTLSD_TLS_RAW_H
#define DTLSD_TLS_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#define TLS_FINGERPRINT_SIZE 32
#define TLS_RAW_NAME_SIZE (11 + 2 * TLS_FINGERPRINT_SIZE + 1)

/* In 64 hexadecimal digits; colons may stand between the bytes. false: it is none. */
bool tls_fingerprint_parse(const char *text, size_t len, uint8_t out[static TLS_FINGERPRINT_SIZE]);

struct tls_raw { /* those that are good; begins all zero: none */
	uint8_t (*keys)[TLS_FINGERPRINT_SIZE]; /* sorted */
	size_t count;
};

/*
 * Of a file with a fingerprint on each line, what follows a blank being a remark, as are lines that begin with '#'. 0, or
 * -EINVAL with err saying file:line, cause and what to do.
 */
int tls_raw_parse(struct tls_raw *r, const char *name, const char *text, size_t len, char *err, size_t err_size);
bool tls_raw_has(const struct tls_raw *r, const uint8_t key[static TLS_FINGERPRINT_SIZE]);
void tls_raw_clear(struct tls_raw *r);

/* The one that the other side has shown, here or in the handshake that this one resumes. false: it has shown none. */
bool tls_raw_peer(gnutls_session_t s, uint8_t out[static TLS_FINGERPRINT_SIZE]);
/* "rpk:sha256:HEX": what it goes by. */
void tls_raw_name(const uint8_t key[static TLS_FINGERPRINT_SIZE], char out[static TLS_RAW_NAME_SIZE]);

#endif
