/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_client: what a connect service is towards its server: whom it trusts, who it is itself, what it offers; one
 * immutable object for GnuTLS, loaded from files. Counted; shared by the workers.
 */
#ifndef DTLSD_TLS_CLIENT_H
#define DTLSD_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "expiry.h"
#include "tls_trust.h"

struct tls_client_options {
	const char *to;            /* "HOST:PORT,...": its host is the name, where none is given */
	const char *server_name;   /* that the server's certificate must have, and is asked for (SNI); NULL: of to */
	const char *x509cafile;    /* PEM; NULL: the CAs of the system, or none where there are allowed_raw_keys */
	const char *x509crlfile;   /* PEM; several with commas between; NULL: none */
	const char *x509certfile, *x509keyfile, *key_password; /* the client's own, as tls_options has them; or NULL */
	const char *raw_public_key;   /* the client's own private key, whose public half is shown (RFC 7250); or NULL */
	const char *allowed_raw_keys; /* those that the server may show, see tls_raw.h; NULL: it shows a certificate */
	const char *pskpasswd;     /* psktool's file; NULL: the server shows a certificate or public key */
	const char *psk_identity;  /* of those in it */
	const char *priority;      /* NULL: as of servers */
	const char *alpn;          /* protocols to ask for, with commas between; NULL: none */
	const char *dashes;        /* before the names of options in messages */
};

struct tls_client;
/* NULL: err holds one sentence with the cause and what to do. */
struct tls_client *tls_client_load(const struct tls_client_options *o, char *err, size_t err_size);
struct tls_client *tls_client_ref(struct tls_client *t);
void tls_client_unref(struct tls_client *t); /* NULL is fine */

/* All that decides whom they talk to, and as whom, is the same. */
bool tls_client_same(const struct tls_client *a, const struct tls_client *b);
const struct expiry *tls_client_expiry(const struct tls_client *t);
const char *tls_client_name(const struct tls_client *t); /* of the server */

/*
 * A client session, DATAGRAM | NONBLOCK, with GnuTLS's own retransmission and MTU put out of the way, which resumes
 * saved where that has a size. The caller holds a reference on t until it is freed. 0, or a GnuTLS error code, and
 * *out is NULL.
 */
int tls_client_session(struct tls_client *t, const gnutls_datum_t *saved, gnutls_session_t *out);

/*
 * One phrase for an operator: why this handshake failed with that GnuTLS error, and what to do about it. alert: of the
 * server, -1: none. Returns buf.
 */
const char *tls_client_explain(const struct tls_client *t, gnutls_session_t s, int gnutls_error, int alert, char *buf,
			       size_t size);

#endif
