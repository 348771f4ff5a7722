/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_token: certificates and private keys in PKCS#11 tokens, where a URI (RFC 7512) stands for the name of a file. A
 * key stays in its token, which signs.
 */
#ifndef DTLSD_TLS_TOKEN_H
#define DTLSD_TLS_TOKEN_H

#include <gnutls/abstract.h>

#include "tls_chain.h"
#include "tls_file.h"

struct tls_token {
	const char *uri;
	const char *pin;    /* lives as long as the key, as a token may ask again; NULL: none is known */
	const char *dashes; /* before the names of options in messages */
};

/* The caller frees *out. 0, or -EINVAL with the sentence in e. */
int tls_token_key(const struct tls_error *e, const struct tls_token *t, gnutls_privkey_t *out);
/* A certificate and those of its issuers that the token has. The caller frees the chain. 0, or -EINVAL likewise. */
int tls_token_chain(const struct tls_error *e, const struct tls_token *t, struct tls_chain *out);

#endif
