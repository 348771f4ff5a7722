/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_cert: a certificate of the server's own, with its chain and its private key, in files or in PKCS#11 tokens.
 */
#ifndef DTLSD_TLS_CERT_H
#define DTLSD_TLS_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "expiry.h"
#include "tls_file.h"

struct tls_pair {
	const char *certfile; /* PEM chain, the server's own first */
	const char *keyfile;  /* PEM */
	const char *password; /* of a key that is encrypted, or the PIN of a token: see tls_token.h; NULL: none is known */
	const char *dashes;   /* before the names of options in messages */
	bool of_client;       /* it goes to servers */
};

/* What is to be known of one that was loaded. */
struct tls_cert {
	const char *file; /* borrowed of the pair */
	gnutls_pk_algorithm_t key_type;
	uint16_t curve;   /* of an ECDSA certificate that clients may not know: as of tls_offer_group_id, else 0 */
	size_t der_size; /* of all of the chain */
};

/* The first line of a file; tls_wipe(out), where it is a string. 0, or -EINVAL with the sentence in e. */
int tls_cert_password(const struct tls_error *e, const char *path, gnutls_datum_t *out);

/*
 * Checks both and gives them to the credentials. Warns (log) of certificates that are not valid yet. 0, or -EINVAL with
 * the sentence in e.
 */
/* The same of a key alone, whose public half is shown instead of a certificate (RFC 7250); certfile is NULL. */
int tls_cert_load_raw(const struct tls_error *e, const struct tls_pair *pair, gnutls_certificate_credentials_t into,
		      struct tls_cert *out);
int tls_cert_load(const struct tls_error *e, const struct tls_pair *pair, gnutls_certificate_credentials_t into,
		  struct expiry *expiry, struct tls_cert *out);

#endif
