/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_allowed.h"

#include <fnmatch.h>
#include <string.h>

#define NAME_SIZE 256 /* no longer ones are let in by their names */

/* ---- loading ---- */

static int load_fingerprints(struct tls_allowed *a, const struct tls_error *e, const char *dashes, const char *list)
{
	struct names names;
	int rc = tls_file_names(e, dashes, "allowed-fingerprints", list, &names);

	for (unsigned i = 0; rc == 0 && i < names.count; i++)
		if (tls_fingerprint_parse(names.name[i], strlen(names.name[i]), a->fingerprints[i]))
			a->fingerprint_count++;
		else
			rc = tls_fail(e, "%sallowed-fingerprints: '%.100s' is no SHA-256 fingerprint, which has 64 "
				      "hexadecimal digits; get one with: openssl x509 -noout -fingerprint -sha256 -in "
				      "CERTIFICATE", dashes, names.name[i]);
	names_free(&names);
	return rc;
}

int tls_allowed_load(struct tls_allowed *a, const struct tls_error *e, const char *dashes, const char *names,
		     const char *fingerprints)
{
	int rc = 0;

	if (names != NULL)
		rc = tls_file_names(e, dashes, "allowed-names", names, &a->names);
	if (rc == 0 && fingerprints != NULL)
		rc = load_fingerprints(a, e, dashes, fingerprints);
	return rc;
}

void tls_allowed_clear(struct tls_allowed *a)
{
	names_free(&a->names);
	a->fingerprint_count = 0;
}

/* ---- asking ---- */

bool tls_allowed_name(const struct tls_allowed *a, const char *name, bool dns)
{
	for (unsigned i = 0; i < a->names.count; i++)
		if (fnmatch(a->names.name[i], name, dns ? FNM_CASEFOLD : 0) == 0)
			return true;
	return false;
}

/* Who wants to know the names. */
struct asker {
	bool (*each)(void *ctx, const char *name, bool dns);
	void *ctx;
};

/* A name with a NUL inside is not what it seems. */
static bool tell(const struct asker *k, const char name[static NAME_SIZE], size_t size, bool dns)
{
	size_t len = strnlen(name, NAME_SIZE - 1);

	return len > 0 && len + 1 >= size && k->each(k->ctx, name, dns);
}

static bool tell_alternative_names(const struct asker *k, gnutls_x509_crt_t crt)
{
	for (unsigned i = 0;; i++) {
		char name[NAME_SIZE] = "";
		size_t size = sizeof(name) - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &size, NULL);

		if ((type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI) &&
		    tell(k, name, size, type == GNUTLS_SAN_DNSNAME))
			return true;
		if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return false;
	}
}

static bool tell_common_names(const struct asker *k, gnutls_x509_crt_t crt)
{
	for (unsigned i = 0;; i++) {
		char name[NAME_SIZE] = "";
		size_t size = sizeof(name) - 1;
		int rc = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, i, 0, name, &size);

		if (rc >= 0 && tell(k, name, size, false))
			return true;
		if (rc < 0 && rc != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return false;
	}
}

bool tls_allowed_names(gnutls_x509_crt_t crt, bool (*each)(void *ctx, const char *name, bool dns), void *ctx)
{
	const struct asker k = { each, ctx };

	return tell_alternative_names(&k, crt) || tell_common_names(&k, crt);
}

static bool fits(void *ctx, const char *name, bool dns)
{
	return tls_allowed_name(ctx, name, dns);
}

static bool has_name(const struct tls_allowed *a, const gnutls_datum_t *der)
{
	gnutls_x509_crt_t crt;
	bool found;

	if (gnutls_x509_crt_init(&crt) < 0)
		return false;
	found = gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) >= 0 &&
		tls_allowed_names(crt, fits, (void *)(uintptr_t)a);
	gnutls_x509_crt_deinit(crt);
	return found;
}

static bool has_fingerprint(const struct tls_allowed *a, const gnutls_datum_t *der)
{
	uint8_t fingerprint[TLS_FINGERPRINT_SIZE];
	size_t size = sizeof(fingerprint);

	if (gnutls_fingerprint(GNUTLS_DIG_SHA256, der, fingerprint, &size) < 0)
		return false;
	for (unsigned i = 0; i < a->fingerprint_count; i++)
		if (memcmp(a->fingerprints[i], fingerprint, sizeof(fingerprint)) == 0)
			return true;
	return false;
}

bool tls_allowed_has(const struct tls_allowed *a, const gnutls_datum_t *der)
{
	if (tls_allowed_all(a))
		return true;
	return (a->fingerprint_count > 0 && has_fingerprint(a, der)) || (a->names.count > 0 && has_name(a, der));
}
