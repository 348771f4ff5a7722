/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_trust.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <gnutls/x509.h>

#include "log.h"
#include "tls_chain.h"

int tls_trust_begin(struct tls_trust *t, struct tls_grants *grants, const struct tls_error *e)
{
	t->grants = grants;
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

static int note_ca(struct tls_trust *t, const struct tls_chain *chain, unsigned i, const char *path,
		   struct expiry *expiry)
{
	const struct expiry_item item = {
		.kind = EXPIRY_CA,
		.file = path,
		.place = i + 1,
		.from = (uint64_t)gnutls_x509_crt_get_activation_time(chain->certs[i]),
		.until = (uint64_t)gnutls_x509_crt_get_expiration_time(chain->certs[i]),
	};

	if (tls_grants_add_ca(t->grants, chain->certs[i]) < 0 || expiry_add(expiry, &item) < 0)
		return tls_fail(t->e, "out of memory");
	return 0;
}

int tls_trust_cas(struct tls_trust *t, const char *path, gnutls_certificate_credentials_t into,
		  struct expiry *expiry)
{
	struct tls_chain chain = { NULL, 0 };
	gnutls_datum_t pem;
	int rc = tls_file_read(t->e, path, "CA certificate", false, &pem);

	if (rc < 0)
		return rc;
	rc = tls_chain_parse(t->e, path, &pem, 0, &chain);
	if (rc == 0)
		rc = tls_trust_add(t, "ca", pem.data, pem.size);
	for (unsigned i = 0; rc == 0 && i < chain.count; i++)
		rc = note_ca(t, &chain, i, path, expiry);
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

/* One load_crls under way. */
struct job {
	struct tls_trust *trust;
	const char *path;
	gnutls_x509_trust_list_t list;
	struct expiry *expiry;
};

static int note_dates(const struct job *j, unsigned place, gnutls_x509_crl_t crl)
{
	time_t next = gnutls_x509_crl_get_next_update(crl);
	const struct expiry_item item = {
		.kind = EXPIRY_CRL,
		.file = j->path,
		.place = place,
		.from = (uint64_t)gnutls_x509_crl_get_this_update(crl),
		.until = (uint64_t)next,
	};

	if (next == (time_t)-1 || expiry_add(j->expiry, &item) == 0)
		return 0;
	return tls_fail(j->trust->e, "out of memory");
}

/* A list out of date is better than none. */
#define CRL_TIMES (GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED | GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE)

static bool crl_of_a_ca(gnutls_x509_crl_t crl, gnutls_x509_trust_list_t list)
{
	gnutls_x509_trust_list_iter_t at = NULL;
	gnutls_x509_crt_t ca;
	bool found = false;

	while (!found && gnutls_x509_trust_list_iter_get_ca(list, &at, &ca) >= 0) {
		unsigned wrong = 0;
		int rc = gnutls_x509_crl_verify(crl, &ca, 1, 0, &wrong);

		found = rc >= 0 && (wrong & ~(unsigned)(CRL_TIMES | GNUTLS_CERT_INVALID)) == 0;
		gnutls_x509_crt_deinit(ca);
	}
	gnutls_x509_trust_list_iter_deinit(at);
	return found;
}

static int note_revoked(const struct job *j, unsigned place, gnutls_x509_crl_t crl)
{
	int rc = tls_grants_add_crl(j->trust->grants, crl);

	if (rc == -EINVAL)
		return tls_fail(j->trust->e, "%s: an entry of revocation list %u cannot be read; a serial number has at most "
				"20 bytes (RFC 5280): have the list issued again", j->path, place);
	return rc < 0 ? tls_fail(j->trust->e, "out of memory") : 0;
}

/* The list takes crl, or it is freed. */
static int take_crl(const struct job *j, unsigned place, gnutls_x509_crl_t crl)
{
	int rc = note_dates(j, place, crl);

	if (rc == 0 && !crl_of_a_ca(crl, j->list))
		rc = tls_fail(j->trust->e, "%s: revocation list %u was signed by no CA that clients may come from; "
			      "name the file of its CA, or leave the list out", j->path, place);
	if (rc == 0)
		rc = note_revoked(j, place, crl);
	if (rc == 0 && gnutls_x509_trust_list_add_crls(j->list, &crl, 1, 0, 0) != 1)
		rc = tls_fail(j->trust->e, "out of memory");
	if (rc < 0)
		gnutls_x509_crl_deinit(crl);
	return rc;
}

static int load_crls(struct tls_trust *t, const char *path, gnutls_certificate_credentials_t into, struct expiry *expiry)
{
	struct job j = { .trust = t, .path = path, .expiry = expiry };
	gnutls_x509_crl_t *crls = NULL;
	gnutls_datum_t pem;
	unsigned count = 0;
	int rc = tls_file_read(t->e, path, "revocation list", false, &pem);

	if (rc < 0)
		return rc;
	rc = gnutls_x509_crl_list_import2(&crls, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
	if (rc < 0 || count == 0)
		rc = tls_fail(t->e, "%s: there is no revocation list in it; a PEM file with BEGIN X509 CRL is wanted",
			      path);
	else
		rc = tls_trust_add(t, "crl", pem.data, pem.size);
	tls_wipe(&pem);
	gnutls_certificate_get_trust_list(into, &j.list);
	for (unsigned i = 0; i < count; i++) {
		if (rc == 0)
			rc = take_crl(&j, i + 1, crls[i]);
		else
			gnutls_x509_crl_deinit(crls[i]);
	}
	gnutls_free(crls);
	return rc;
}

int tls_trust_crls(struct tls_trust *t, const char *dashes, const char *list, gnutls_certificate_credentials_t into,
		   struct expiry *expiry)
{
	struct names files;
	int rc = tls_file_names(t->e, dashes, "x509crlfile", list, &files);

	for (unsigned i = 0; rc == 0 && i < files.count; i++)
		rc = load_crls(t, files.name[i], into, expiry);
	names_free(&files);
	return rc;
}

int tls_trust_raw_keys(struct tls_trust *t, const char *path, struct tls_raw *out)
{
	gnutls_datum_t text;
	int rc = tls_file_read(t->e, path, "list of public keys", false, &text);

	if (rc < 0)
		return rc;
	rc = tls_raw_parse(out, path, (const char *)text.data, text.size, t->e->text, t->e->size);
	if (rc == 0 && out->count == 0)
		log_warning("%s: there is no public key in it: whoever shows one is refused; write the fingerprint of "
			    "each on a line", path);
	if (rc == 0)
		rc = tls_trust_add(t, "raw keys", text.data, text.size);
	tls_wipe(&text);
	return rc;
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
