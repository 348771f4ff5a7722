/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_allowed: which of the client certificates that the CAs have issued are let in, by their names or by
 * themselves.
 */
#ifndef DTLSD_TLS_ALLOWED_H
#define DTLSD_TLS_ALLOWED_H

#include <stdbool.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "tls_file.h"
#include "tls_raw.h"

struct tls_allowed { /* begins all zero: everybody is */
	struct names names; /* patterns of the shell */
	unsigned fingerprint_count;
	uint8_t fingerprints[NAMES_MOST][TLS_FINGERPRINT_SIZE]; /* SHA-256 of a certificate in DER */
};

/* Of the settings of the same names, with commas between; NULL: not given. 0, or -EINVAL with the sentence in e. */
int tls_allowed_load(struct tls_allowed *a, const struct tls_error *e, const char *dashes, const char *names,
		     const char *fingerprints);
/*
 * A certificate in DER is one of the fingerprints, or one of its DNS names and URIs or its common name fits one of the
 * patterns.
 */
bool tls_allowed_has(const struct tls_allowed *a, const gnutls_datum_t *der);
static inline bool tls_allowed_all(const struct tls_allowed *a)
{
	return a->names.count == 0 && a->fingerprint_count == 0;
}
/* One of those names fits one of the patterns. */
bool tls_allowed_name(const struct tls_allowed *a, const char *name, bool dns);
/* Calls each for every such name of a certificate until it returns true, and returns whether it did. */
bool tls_allowed_names(gnutls_x509_crt_t crt, bool (*each)(void *ctx, const char *name, bool dns), void *ctx);
void tls_allowed_clear(struct tls_allowed *a);

#endif
