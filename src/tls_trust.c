/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_trust.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <gnutls/x509.h>

#include "tls_chain.h"

int tls_trust_begin(struct tls_trust *t, const struct tls_error *e)
{
	t->e = e;
	if (gnutls_hash_init(&t->digest, GNUTLS_DIG_SHA256) < 0)
		return tls_fail(e, "out of memory");
	return 0;
}

void tls_trust_end(struct tls_trust *t, uint8_t out[static TLS_TRUST_SIZE])
{
	gnutls_hash_deinit(t->digest, out);
}

int tls_trust_add(struct tls_trust *t, const char *label, const void *data, size_t len)
{
	uint64_t len64 = len;

	if (gnutls_hash(t->digest, label, strlen(label) + 1) < 0 ||
	    gnutls_hash(t->digest, &len64, sizeof(len64)) < 0 || gnutls_hash(t->digest, data, len) < 0)
		return tls_fail(t->e, "cannot compute a SHA-256 digest: GnuTLS is broken or out of memory");
	return 0;
}

int tls_trust_cas(struct tls_trust *t, const char *path, gnutls_certificate_credentials_t into)
{
	struct tls_chain chain = { NULL, 0 };
	gnutls_datum_t pem;
	int rc = tls_file_read(t->e, path, "CA certificate", false, &pem);

	if (rc < 0)
		return rc;
	rc = tls_chain_parse(t->e, path, &pem, 0, &chain);
	if (rc == 0)
		rc = tls_trust_add(t, "ca", pem.data, pem.size);
	tls_wipe(&pem);
	if (rc == 0) {
		rc = gnutls_certificate_set_x509_trust(into, chain.certs, (int)chain.count);
		/* short of memory it takes fewer and calls that a success */
		if (rc >= 0 && (unsigned)rc < chain.count)
			rc = GNUTLS_E_MEMORY_ERROR;
		if (rc < 0)
			rc = tls_fail(t->e, "%s: %s", path, gnutls_strerror(rc));
	}
	tls_chain_free(&chain);
	return rc < 0 ? rc : 0;
}

int tls_trust_psks(struct tls_trust *t, const char *path, struct psk_table **out)
{
	gnutls_datum_t text;
	int rc = tls_file_read(t->e, path, "PSK file", true, &text);

	if (rc < 0)
		return rc;
	*out = psk_parse(path, (const char *)text.data, text.size, t->e->text, t->e->size);
	rc = *out == NULL ? -EINVAL : tls_trust_add(t, "psk", text.data, text.size);
	tls_wipe(&text);
	return rc;
}
