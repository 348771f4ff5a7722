/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ocsp: stapled OCSP responses (RFC 6066 section 8), by which a client learns without asking that the server's
 * certificate is not revoked.
 */
#ifndef DTLSD_TLS_OCSP_H
#define DTLSD_TLS_OCSP_H

#include <stddef.h>

#include <gnutls/gnutls.h>

#include "expiry.h"
#include "tls_file.h"

/*
 * Gives the response in a file, DER or PEM, to the one of the certificates in the credentials that it is about. Warns
 * (log) of one that is out of date or calls the certificate anything but good, which is not sent. *size: of
 * what goes into a handshake. 0, or -EINVAL with the sentence in e.
 */
int tls_ocsp_load(const struct tls_error *e, const char *path, gnutls_certificate_credentials_t into,
		  struct expiry *expiry, size_t *size);

#endif
