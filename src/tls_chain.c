/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_chain.h"

void tls_chain_free(struct tls_chain *c)
{
	for (unsigned i = 0; i < c->count; i++)
		gnutls_x509_crt_deinit(c->certs[i]);
	gnutls_free(c->certs);
}

int tls_chain_parse(const struct tls_error *e, const char *path, const gnutls_datum_t *pem, unsigned flags,
		    struct tls_chain *out)
{
	int rc = gnutls_x509_crt_list_import2(&out->certs, &out->count, pem, GNUTLS_X509_FMT_PEM, flags);

	if (rc >= 0 && out->count > 0)
		return 0;
	if (rc == GNUTLS_E_CERTIFICATE_LIST_UNSORTED)
		return tls_fail(e, "%s: the certificates are not in order; put the server's own first, then each "
			    "one's issuer after it", path);
	if (rc >= 0 || rc == GNUTLS_E_NO_CERTIFICATE_FOUND || rc == GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR)
		return tls_fail(e,
			    "%s: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted",
			    path);
	return tls_fail(e, "%s: bad certificate: %s; a PEM file with BEGIN CERTIFICATE is wanted", path,
		    gnutls_strerror(rc));
}
