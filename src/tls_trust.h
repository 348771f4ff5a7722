/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_trust: what decides who may come in (CAs, PSKs), and a digest of it, which tells whether a reload has
 * changed it.
 */
#ifndef DTLSD_TLS_TRUST_H
#define DTLSD_TLS_TRUST_H

#include <stddef.h>
#include <stdint.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "expiry.h"
#include "psk.h"
#include "tls_file.h"
#include "tls_grant.h"

#define TLS_TRUST_SIZE 32

struct tls_trust {
	gnutls_hash_hd_t digest;
	struct tls_grants *grants; /* which of the functions below fill in what CAs and revocation lists say */
	const struct tls_error *e; /* where the functions below put their sentence when they return -EINVAL */
};

int tls_trust_begin(struct tls_trust *t, struct tls_grants *grants, const struct tls_error *e);
void tls_trust_end(struct tls_trust *t, uint8_t out[static TLS_TRUST_SIZE]);

/* Anything else that decides. */
int tls_trust_add(struct tls_trust *t, const char *label, const void *data, size_t len);
int tls_trust_cas(struct tls_trust *t, const char *path, gnutls_certificate_credentials_t into,
		  struct expiry *expiry);
/*
 * Revocation lists of the CAs, which were loaded before. What one that is out of date revokes stays revoked. list: the files
 * of the option x509crlfile, whose name dashes go before in messages.
 */
int tls_trust_crls(struct tls_trust *t, const char *dashes, const char *list, gnutls_certificate_credentials_t into,
		   struct expiry *expiry);
/* The caller clears out. */
int tls_trust_raw_keys(struct tls_trust *t, const char *path, struct tls_raw *out);
/* The caller frees *out. */
int tls_trust_psks(struct tls_trust *t, const char *path, struct psk_table **out);

#endif
