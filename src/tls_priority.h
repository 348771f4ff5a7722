/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_priority: which versions, ciphers and key exchanges a service does: DTLS 1.2 and AEAD, whatever was wished.
 */
#ifndef DTLSD_TLS_PRIORITY_H
#define DTLSD_TLS_PRIORITY_H

#include <stdbool.h>

#include <gnutls/gnutls.h>

#include "tls_cert.h"
#include "tls_file.h"

/*
 * DTLS 1.2 and AEAD only, AES-GCM first, X25519 first among the groups. In any other string the same
 * version and ciphers are imposed, whatever it says; the rest of it holds, but for key exchanges that the service has
 * no credentials for.
 */
extern const char TLS_PRIORITY_DEFAULT[];

#define TLS_PRIORITY_MAX 4096

struct tls_wish {
	const char *priority;
	const char *dashes;    /* before the names of options in messages */
	const struct tls_cert *certs;
	unsigned cert_count;
	bool raw_server, raw_client;   /* raw public keys are shown, and taken, */
	bool x509_server, x509_client; /* and certificates, beside them or instead */
	const char *psks;      /* the file or socket that has them; NULL: there are no PSKs */
	bool verifies;         /* of a client: the server shows a certificate */
};

/*
 * text: what was imposed. The caller frees *out, also after a failure where it is not NULL. 0, or -EINVAL with the
 * sentence in e.
 */
int tls_priority_load(const struct tls_error *e, const struct tls_wish *w, char text[static TLS_PRIORITY_MAX],
		      gnutls_priority_t *out);

#endif
