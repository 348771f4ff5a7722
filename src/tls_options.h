/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_options: what a service is wished to be, and whether that fits together. */
#ifndef DTLSD_TLS_OPTIONS_H
#define DTLSD_TLS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tls_file.h"

enum verify_client { VERIFY_CLIENT_NONE, VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

struct tls_options {
	/* Of these four each lists as many files as are wanted, with commas between. */
	/* Of the first two each name may also be a PKCS#11 URI. */
	const char *x509certfile;  /* PEM chain, leaf first. With x509keyfile, or both NULL */
	const char *x509keyfile;   /* one for each certificate, in the same order */
	const char *ocsp_response; /* DER or PEM; to be stapled, each about one of the certificates; or NULL */
	const char *x509crlfile;   /* PEM; revocation lists of the CAs, or NULL */

	/* A file whose first line is the password of all encrypted keys, and the PIN of tokens, or NULL. */
	const char *key_password;
	const char *x509cafile;    /* PEM; what client certificates are verified with */
	const char *allowed_names; /* of client certificates: patterns with commas between; NULL: all, or */
	const char *allowed_fingerprints; /* SHA-256 of them in hexadecimal, likewise */
	const char *raw_public_key;   /* its private key, in PEM: the public one is shown to clients (RFC 7250); or NULL */
	const char *allowed_raw_keys; /* fingerprints of the public keys that clients may show: see tls_raw.h; or NULL */
	const char *pskpasswd;     /* psktool's format: "identity:hexkey" lines, '#' comments */
	const char *psk_socket;    /* a program that is asked for what is not in that file; NULL: none */
	uint32_t psk_cache_s;      /* how long its answers are good */
	const char *priority;      /* NULL: TLS_PRIORITY_DEFAULT */
	const char *alpn;          /* protocols (RFC 7301) with commas between, the most wanted first; NULL: none */
	enum verify_client verify_client;
	const char *dashes;        /* before the names of options in messages: "" for those of a file; NULL: "--" */
};

/* It has a certificate or a public key to show. */
static inline bool tls_has_key(const struct tls_options *o)
{
	return o->x509certfile != NULL || o->raw_public_key != NULL;
}

static inline bool tls_has_psks(const struct tls_options *o)
{
	return o->pskpasswd != NULL || o->psk_socket != NULL;
}

/* Warns (log) of what is of no use. 0, or -EINVAL with the sentence in e. */
int tls_options_check(const struct tls_options *o, const struct tls_error *e);

#endif
