/* SPDX-License-Identifier: BSD-2-Clause */
#include "pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

static void make(struct pki_pair *p, const char *name, gnutls_pk_algorithm_t pk, unsigned bits)
{
	static unsigned char serial;
	const unsigned char number[2] = { 1, ++serial };

	assert_int_equal(gnutls_x509_privkey_init(&p->key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(p->key, pk, bits, 0), 0);
	assert_int_equal(gnutls_x509_crt_init(&p->cert), 0);
	gnutls_x509_crt_set_version(p->cert, 3);
	gnutls_x509_crt_set_key(p->cert, p->key);
	gnutls_x509_crt_set_serial(p->cert, number, sizeof(number));
	gnutls_x509_crt_set_activation_time(p->cert, time(NULL) - 86400);
	gnutls_x509_crt_set_expiration_time(p->cert, time(NULL) + 86400 * 365);
	gnutls_x509_crt_set_dn_by_oid(p->cert, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
}

static unsigned usual_bits(gnutls_pk_algorithm_t pk)
{
	return pk == GNUTLS_PK_RSA ? 2048 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
}

struct pki_pair pki_ca(const char *name)
{
	struct pki_pair p;

	make(&p, name, GNUTLS_PK_ECDSA, usual_bits(GNUTLS_PK_ECDSA));
	gnutls_x509_crt_set_ca_status(p.cert, 1);
	gnutls_x509_crt_set_key_usage(p.cert, GNUTLS_KEY_KEY_CERT_SIGN);
	assert_int_equal(gnutls_x509_crt_sign2(p.cert, p.cert, p.key, GNUTLS_DIG_SHA256, 0), 0);
	return p;
}

struct pki_pair pki_issue(const struct pki_pair *ca, const char *name, gnutls_pk_algorithm_t pk, const char *dns)
{
	struct pki_pair p;

	make(&p, name, pk, usual_bits(pk));
	if (dns)
		gnutls_x509_crt_set_subject_alt_name(p.cert, GNUTLS_SAN_DNSNAME, dns, (unsigned)strlen(dns), 0);
	gnutls_x509_crt_set_key_usage(p.cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
	assert_int_equal(gnutls_x509_crt_sign2(p.cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0), 0);
	return p;
}

struct pki_pair pki_issue_rsa(const struct pki_pair *ca, const char *name, unsigned bits)
{
	struct pki_pair p;

	make(&p, name, GNUTLS_PK_RSA, bits);
	gnutls_x509_crt_set_ca_status(p.cert, !ca);
	gnutls_x509_crt_set_key_usage(p.cert, ca ? GNUTLS_KEY_DIGITAL_SIGNATURE : GNUTLS_KEY_KEY_CERT_SIGN);
	if (!ca)
		ca = &p;
	assert_int_equal(gnutls_x509_crt_sign2(p.cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0), 0);
	return p;
}

struct pki_pair pki_issue_bulky(const struct pki_pair *ca, const char *name, size_t bytes)
{
	unsigned char *bulk = calloc(1, bytes);
	struct pki_pair p;

	assert_non_null(bulk);
	make(&p, name, GNUTLS_PK_ECDSA, usual_bits(GNUTLS_PK_ECDSA));
	assert_int_equal(gnutls_x509_crt_set_extension_by_oid(p.cert, "1.3.6.1.4.1.99999.1", bulk, bytes, 0), 0);
	gnutls_x509_crt_set_key_usage(p.cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
	assert_int_equal(gnutls_x509_crt_sign2(p.cert, ca->cert, ca->key, GNUTLS_DIG_SHA256, 0), 0);
	free(bulk);
	return p;
}

static void append_cert(gnutls_x509_crt_t cert, FILE *f)
{
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem), 0);
	assert_int_equal(fwrite(pem.data, 1, pem.size, f), pem.size);
	gnutls_free(pem.data);
}

void pki_write_cert(const struct pki_pair *p, const struct pki_pair *and_this, const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	append_cert(p->cert, f);
	if (and_this)
		append_cert(and_this->cert, f);
	assert_int_equal(fclose(f), 0);
}

void pki_write_key(const struct pki_pair *p, const char *path)
{
	gnutls_datum_t pem;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(gnutls_x509_privkey_export2(p->key, GNUTLS_X509_FMT_PEM, &pem), 0);
	assert_int_equal(fwrite(pem.data, 1, pem.size, f), pem.size);
	gnutls_free(pem.data);
	assert_int_equal(fclose(f), 0);
}

void pki_free(struct pki_pair *p)
{
	gnutls_x509_crt_deinit(p->cert);
	gnutls_x509_privkey_deinit(p->key);
}
