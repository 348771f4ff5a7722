/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_cert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "clock.h"
#include "log.h"
#include "tls_chain.h"
#include "tls_offer.h"
#include "tls_token.h"

#define NAMES_SERVED 32
#define NAME_SIZE 256

/* One tls_cert_load under way. */
struct job {
	const struct tls_error *e;
	const struct tls_pair *pair;
	gnutls_certificate_credentials_t into;
	struct expiry *expiry;
	struct tls_cert *out;
};

static int note_dates(const struct job *j, const struct tls_chain *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct expiry_item item = {
			.kind = EXPIRY_CERTIFICATE,
			.file = j->pair->certfile,
			.place = i + 1,
			.from = (uint64_t)gnutls_x509_crt_get_activation_time(c->certs[i]),
			.until = (uint64_t)gnutls_x509_crt_get_expiration_time(c->certs[i]),
		};

		if (clock_wall_s() < item.from)
			log_warning(
			    "%s: certificate %u of the chain is not valid yet, the other side will refuse it; "
			    "check it and this machine's clock",
			    item.file, item.place);
		if (expiry_add(j->expiry, &item) < 0)
			return tls_fail(j->e, "out of memory");
	}
	return 0;
}

int tls_cert_password(const struct tls_error *e, const char *path, gnutls_datum_t *out)
{
	int rc = tls_file_read(e, path, "password", true, out);
	char *text = (char *)out->data;

	if (rc < 0)
		return rc;
	text[strcspn(text, "\r\n")] = '\0';
	if (*text != '\0')
		return 0;
	tls_wipe(out);
	return tls_fail(e, "%s: there is no password in it; write it on the first line", path);
}

static int explain_key(const struct job *j, const gnutls_datum_t *pem, int error)
{
	const char *path = j->pair->keyfile;

	if (memmem(pem->data, pem->size, "PRIVATE KEY-----", 16) == NULL)
		return tls_fail(j->e, "%s: there is no private key in it; a PEM file with BEGIN PRIVATE KEY is wanted",
				path);
	if (error == GNUTLS_E_DECRYPTION_FAILED)
		return tls_fail(j->e, "%s: the private key is encrypted with another password than that of "
				"%skey-password; correct that file", path, j->pair->dashes);
	return tls_fail(j->e, "%s: bad private key: %s; a PEM file with BEGIN PRIVATE KEY is wanted", path,
			gnutls_strerror(error));
}

static int parse_key(const struct job *j, const gnutls_datum_t *pem, gnutls_x509_privkey_t *key)
{
	bool encrypted = memmem(pem->data, pem->size, "ENCRYPTED", 9) != NULL;
	const char *path = j->pair->keyfile;
	int rc;

	if (encrypted && j->pair->password == NULL)
		return tls_fail(j->e, "%s: the private key is encrypted and there is nobody to ask for the password; "
				"give %skey-password a file with it, or decrypt the key with: openssl pkey -in %s "
				"-out KEY", path, j->pair->dashes, path);
	rc = gnutls_x509_privkey_init(key);
	if (rc < 0)
		return tls_fail(j->e, "%s: %s", path, gnutls_strerror(rc));
	rc = gnutls_x509_privkey_import2(*key, pem, GNUTLS_X509_FMT_PEM, encrypted ? j->pair->password : NULL,
					 encrypted ? 0 : GNUTLS_PKCS_PLAIN);
	if (rc >= 0)
		return 0;
	gnutls_x509_privkey_deinit(*key);
	return explain_key(j, pem, rc);
}

static void note_purpose(const struct job *j, gnutls_x509_crt_t leaf)
{
	const char *own = j->pair->of_client ? "client" : "server";
	const char *other = j->pair->of_client ? "server" : "client";

	if (gnutls_x509_crt_check_key_purpose(leaf, j->pair->of_client ? GNUTLS_KP_TLS_WWW_CLIENT
								       : GNUTLS_KP_TLS_WWW_SERVER, 0) == 0)
		log_warning("%s: the certificate's extended key usage does not allow TLS %ss, %ss will refuse it; "
			    "issue one with %sAuth", j->pair->certfile, own, other, own);
}

static uint16_t curve_of(gnutls_x509_crt_t leaf)
{
	gnutls_ecc_curve_t curve;

	if (gnutls_x509_crt_get_pk_ecc_raw(leaf, &curve, NULL, NULL) < 0)
		return 0;
	return tls_offer_group_id((gnutls_group_t)curve); /* GnuTLS has the same numbers for both */
}

/* Every key exchange we serve signs with the certificate's key. */
static int check_leaf(const struct job *j, gnutls_x509_crt_t leaf)
{
	unsigned usage, bits;
	int type = gnutls_x509_crt_get_pk_algorithm(leaf, &bits);

	j->out->key_type = (gnutls_pk_algorithm_t)type;
	j->out->curve = curve_of(leaf);
	if (gnutls_x509_crt_get_key_usage(leaf, &usage, NULL) >= 0 &&
	    (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) == 0)
		return tls_fail(
		    j->e,
		    "%s: the certificate's key usage does not allow digital signatures, which DTLS with "
		    "forward secrecy needs; issue one with digitalSignature",
		    j->pair->certfile);
	note_purpose(j, leaf);
	switch (type) {
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
	case GNUTLS_PK_ECDSA:
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		return 0;
	default:
		return tls_fail(
		    j->e,
		    "%s: the certificate has a key of a kind that DTLS 1.2 cannot use; ECDSA, EdDSA or "
		    "RSA is wanted",
		    j->pair->certfile);
	}
}

/* GnuTLS would find it too, and then lose the memory of what it had taken of the chain. */
static int check_keys(const struct job *j, const struct tls_chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++) {
		gnutls_pubkey_t key;
		int rc = gnutls_pubkey_init(&key);

		if (rc < 0)
			return tls_fail(j->e, "out of memory");
		rc = gnutls_pubkey_import_x509(key, chain->certs[i], 0);
		gnutls_pubkey_deinit(key);
		if (rc < 0)
			return tls_fail(j->e, "%s: the key in certificate %u of the chain cannot be used: %s; get "
					"another one", j->pair->certfile, i + 1, gnutls_strerror(rc));
	}
	return 0;
}

static int explain_pair(const struct job *j, int error)
{
	if (error == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return tls_fail(
		    j->e,
		    "%s: this private key does not belong to the first certificate of %s; give the two "
		    "that were made together",
		    j->pair->keyfile, j->pair->certfile);
	return tls_fail(j->e, "%s with %s: %s", j->pair->certfile, j->pair->keyfile, gnutls_strerror(error));
}

static int read_key(const struct job *j, gnutls_x509_privkey_t *key)
{
	gnutls_datum_t pem;
	int rc = tls_file_read(j->e, j->pair->keyfile, "private key", true, &pem);

	if (rc < 0)
		return rc;
	rc = parse_key(j, &pem, key);
	tls_wipe(&pem);
	return rc;
}

static int set_file_key(const struct job *j, const struct tls_chain *chain)
{
	gnutls_x509_privkey_t key;
	int rc = read_key(j, &key);

	if (rc < 0)
		return rc;
	rc = gnutls_certificate_set_x509_key(j->into, chain->certs, (int)chain->count, key);
	gnutls_x509_privkey_deinit(key);
	return rc < 0 ? explain_pair(j, rc) : 0;
}

/* Those that clients may ask for (SNI), which GnuTLS takes from the certificate only beside a key of a file. */
static unsigned served_names(gnutls_x509_crt_t leaf, char names[static NAMES_SERVED][NAME_SIZE])
{
	size_t size = NAME_SIZE;
	unsigned n = 0;
	int type = 0;

	for (unsigned i = 0; n < NAMES_SERVED && (type >= 0 || type == GNUTLS_E_SHORT_MEMORY_BUFFER); i++) {
		size = NAME_SIZE;
		type = gnutls_x509_crt_get_subject_alt_name(leaf, i, names[n], &size, NULL);
		n += type == GNUTLS_SAN_DNSNAME;
	}
	size = NAME_SIZE;
	if (n == 0 && gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, names[0], &size) >= 0)
		n = 1;
	return n;
}

/* What the credentials take, they free; what they refuse is freed here. */
static int give_token_key(const struct job *j, const struct tls_chain *chain, gnutls_pcert_st *certs,
			  gnutls_privkey_t key)
{
	char text[NAMES_SERVED][NAME_SIZE];
	const char *names[NAMES_SERVED];
	unsigned name_count = served_names(chain->certs[0], text), count = chain->count;
	int rc = gnutls_pcert_import_x509_list(certs, chain->certs, &count, 0);

	for (unsigned i = 0; i < name_count; i++)
		names[i] = text[i];
	if (rc < 0)
		return rc;
	rc = gnutls_certificate_set_key(j->into, names, (int)name_count, certs, (int)count, key);
	for (unsigned i = 0; rc < 0 && i < count; i++)
		gnutls_pcert_deinit(&certs[i]);
	return rc;
}

static int set_token_key(const struct job *j, const struct tls_chain *chain)
{
	const struct tls_token token = { j->pair->keyfile, j->pair->password, j->pair->dashes };
	gnutls_pcert_st *certs = calloc(chain->count, sizeof(*certs));
	gnutls_privkey_t key;
	int rc;

	if (certs == NULL)
		return tls_fail(j->e, "out of memory");
	rc = tls_token_key(j->e, &token, &key);
	if (rc == 0) {
		rc = give_token_key(j, chain, certs, key);
		if (rc < 0) {
			gnutls_privkey_deinit(key);
			rc = explain_pair(j, rc);
		}
	}
	free(certs);
	return rc < 0 ? rc : 0;
}

static size_t der_size(const struct tls_chain *chain)
{
	size_t total = 0;

	for (unsigned i = 0; i < chain->count; i++) {
		size_t size = 0;

		gnutls_x509_crt_export(chain->certs[i], GNUTLS_X509_FMT_DER, NULL, &size);
		total += size;
	}
	return total;
}

static int use_chain(const struct job *j, const struct tls_chain *chain)
{
	int rc = check_leaf(j, chain->certs[0]);

	if (rc == 0)
		rc = check_keys(j, chain);
	if (rc == 0)
		rc = names_token(j->pair->keyfile) ? set_token_key(j, chain) : set_file_key(j, chain);
	if (rc == 0)
		rc = note_dates(j, chain);
	if (rc < 0)
		return rc;
	j->out->file = j->pair->certfile;
	j->out->der_size = der_size(chain);
	return 0;
}

static int load_chain(const struct tls_error *e, const struct tls_pair *pair, struct tls_chain *out)
{
	const struct tls_token token = { pair->certfile, pair->password, pair->dashes };
	gnutls_datum_t pem;
	int rc;

	if (names_token(pair->certfile))
		return tls_token_chain(e, &token, out);
	rc = tls_file_read(e, pair->certfile, "certificate", false, &pem);
	if (rc == 0)
		rc = tls_chain_parse(e, pair->certfile, &pem, GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED, out);
	tls_wipe(&pem);
	return rc;
}

/* ---- raw public keys ---- */

/* The credentials take pcert and key, or they are freed. */
static int give_raw_key(const struct job *j, gnutls_pubkey_t public, gnutls_privkey_t key)
{
	gnutls_pcert_st pcert;
	int rc = gnutls_pcert_import_rawpk(&pcert, public, 0);

	if (rc < 0) {
		gnutls_pubkey_deinit(public);
	} else {
		rc = gnutls_certificate_set_key(j->into, NULL, 0, &pcert, 1, key);
		if (rc < 0)
			gnutls_pcert_deinit(&pcert);
	}
	return rc < 0 ? tls_fail(j->e, "%s: %s", j->pair->keyfile, gnutls_strerror(rc)) : 0;
}

static int use_raw_key(const struct job *j, gnutls_privkey_t key)
{
	gnutls_pubkey_t public;
	int rc = gnutls_pubkey_init(&public);

	if (rc < 0)
		return tls_fail(j->e, "out of memory");
	rc = gnutls_pubkey_import_privkey(public, key, 0, 0);
	if (rc < 0) {
		gnutls_pubkey_deinit(public);
		return tls_fail(j->e, "%s: there is no public key to this private key: %s", j->pair->keyfile,
				gnutls_strerror(rc));
	}
	j->out->key_type = (gnutls_pk_algorithm_t)gnutls_pubkey_get_pk_algorithm(public, NULL);
	return give_raw_key(j, public, key);
}

/* From the file. */
static int load_raw_key(const struct job *j, gnutls_privkey_t *out)
{
	gnutls_x509_privkey_t key;
	int rc = read_key(j, &key);

	if (rc < 0)
		return rc;
	rc = gnutls_privkey_init(out);
	if (rc >= 0) {
		rc = gnutls_privkey_import_x509(*out, key, GNUTLS_PRIVKEY_IMPORT_COPY);
		if (rc < 0)
			gnutls_privkey_deinit(*out);
	}
	gnutls_x509_privkey_deinit(key);
	return rc < 0 ? tls_fail(j->e, "%s: %s", j->pair->keyfile, gnutls_strerror(rc)) : 0;
}

int tls_cert_load_raw(const struct tls_error *e, const struct tls_pair *pair, gnutls_certificate_credentials_t into,
		      struct tls_cert *out)
{
	const struct tls_token token = { pair->keyfile, pair->password, pair->dashes };
	const struct job j = { .e = e, .pair = pair, .into = into, .out = out };
	gnutls_privkey_t key;
	int rc = names_token(pair->keyfile) ? tls_token_key(e, &token, &key) : load_raw_key(&j, &key);

	if (rc < 0)
		return rc;
	*out = (struct tls_cert){ .file = pair->keyfile };
	rc = use_raw_key(&j, key);
	if (rc < 0)
		gnutls_privkey_deinit(key);
	return rc;
}

/* ---- certificates ---- */

int tls_cert_load(const struct tls_error *e, const struct tls_pair *pair, gnutls_certificate_credentials_t into,
		  struct expiry *expiry, struct tls_cert *out)
{
	const struct job j = { e, pair, into, expiry, out };
	struct tls_chain chain = { NULL, 0 };
	int rc = load_chain(e, pair, &chain);

	if (rc == 0)
		rc = use_chain(&j, &chain);
	tls_chain_free(&chain);
	return rc;
}
