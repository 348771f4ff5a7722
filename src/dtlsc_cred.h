/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_cred: what the client proves itself with and verifies the server by.
 */
#ifndef DTLSD_DTLSC_CRED_H
#define DTLSD_DTLSC_CRED_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>

#include "dtlsc_options.h"

struct cred {
	gnutls_certificate_credentials_t x509;
	gnutls_psk_client_credentials_t psk; /* NULL without --pskusername */
	gnutls_priority_t priority;
	char name[DTLSC_HOST_MAX]; /* the host name or address that the certificate must be for */
	bool name_is_address;      /* then it is no server_name: RFC 6066 3 */
};

/* Loads every file named. Not DTLSC_OK: err says which file, why, and what to do. */
enum dtlsc_exit cred_load(struct cred *cred, const struct dtlsc_options *options, char *err, size_t err_size);
void cred_free(struct cred *cred);

/* Gives a new session its credentials, priorities, server name. 0 or a GnuTLS error. */
int cred_apply(const struct cred *cred, gnutls_session_t tls, bool verify);

/* Whether the server's certificate, of a full or a resumed handshake, is good. err says why not. */
bool cred_server_is_verified(const struct cred *cred, gnutls_session_t tls, char *err, size_t err_size);
/* The same finding in words, for a handshake that GnuTLS ended because of it. */
void cred_describe_refusal(const struct cred *cred, gnutls_session_t tls, char *err, size_t err_size);

#endif
