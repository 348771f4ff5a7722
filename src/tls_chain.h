/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_chain: X.509 certificates of a PEM file.
 */
#ifndef DTLSD_TLS_CHAIN_H
#define DTLSD_TLS_CHAIN_H

#include <gnutls/x509.h>

#include "tls_file.h"

struct tls_chain {
	gnutls_x509_crt_t *certs;
	unsigned count;
};

/*
 * flags: of gnutls_x509_crt_list_import2. At least one certificate; the caller frees the chain. 0, or -EINVAL with
 * the sentence in e, which names path.
 */
int tls_chain_parse(const struct tls_error *e, const char *path, const gnutls_datum_t *pem, unsigned flags,
		    struct tls_chain *out);
void tls_chain_free(struct tls_chain *c);

#endif
