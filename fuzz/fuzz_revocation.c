/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * revocation: the files that tell who is revoked: lists of the clients' CA, and an OCSP response about the server. What
 * is loaded makes sessions; what is not is explained in one line.
 * The input is a choice, and the file; or a list that the CA signs anew, as if it had meant it; or what becomes
 * of a good response's bytes: pairs of a place, two bytes, and a value.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include <gnutls/crypto.h>

#include "fuzz.h"
#include "loading.h"

enum choice { CRL, CRL_SIGNED, OCSP, OCSP_CHANGED, CHOICES };
static struct loading loading;

/* A response is about a certificate by the SHA-1 of its issuer's name and key, and its serial number (RFC 6960). */
static struct {
	uint8_t der[400];
	size_t len;
} response;

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- a response that nobody signed: the server's chain has no issuer to ask ---- */

static size_t wrap(uint8_t tag, uint8_t *out, size_t len)
{
	assert(len < 256);
	memmove(out + 3, out, len);
	out[0] = tag;
	out[1] = 0x81;
	out[2] = (uint8_t)len;
	return len + 3;
}

static size_t put(uint8_t *out, const char *bytes, size_t len)
{
	memcpy(out, bytes, len);
	return len;
}
#define PUT(out, bytes) put(out, bytes, sizeof(bytes) - 1)

static size_t put_hash(uint8_t *out, const void *data, size_t len)
{
	size_t at = PUT(out, "\x04\x14");

	assert(gnutls_hash_fast(GNUTLS_DIG_SHA1, data, len, out + at) == 0);
	return at + 20;
}

/* CertID of the certificate */
static size_t put_id(uint8_t *out, gnutls_x509_crt_t cert)
{
	size_t at = PUT(out, "\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00"), size = 32;
	uint8_t serial[32];
	gnutls_datum_t name;

	assert(gnutls_x509_crt_get_raw_issuer_dn(cert, &name) == 0);
	at += put_hash(out + at, name.data, name.size);
	gnutls_free(name.data);
	at += PUT(out + at, "\x04\x14");
	memset(out + at, 0, 20); /* GnuTLS leaves the key's hash to the signature */
	at += 20;
	assert(gnutls_x509_crt_get_serial(cert, serial, &size) == 0);
	out[at++] = 0x02;
	out[at++] = (uint8_t)size;
	memcpy(out + at, serial, size);
	return wrap(0x30, out, at + size);
}

static size_t put_time(uint8_t *out, time_t when)
{
	struct tm tm;

	out[0] = 0x18;
	out[1] = 15;
	gmtime_r(&when, &tm);
	assert(strftime((char *)out + 2, 16, "%Y%m%d%H%M%SZ", &tm) == 15);
	return 17;
}

static size_t put_single(uint8_t *out, gnutls_x509_crt_t cert)
{
	time_t now = time(NULL);
	size_t at = put_id(out, cert), next;

	at += PUT(out + at, "\x80\x00"); /* good */
	at += put_time(out + at, now - 3600);
	next = put_time(out + at, now + 3600);
	at += wrap(0xa0, out + at, next);
	return wrap(0x30, out, at);
}

static void make_response(gnutls_x509_crt_t cert)
{
	uint8_t *out = response.der;
	size_t at, list;

	at = PUT(out, "\xa2\x16\x04\x14" "12345678901234567890"); /* by the hash of a key */
	at += put_time(out + at, time(NULL) - 3600);
	list = put_single(out + at, cert);
	at += wrap(0x30, out + at, list);
	at = wrap(0x30, out, at);
	at += PUT(out + at, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" "\x03\x03\x00\x30\x00");
	at = wrap(0x30, out, at);
	at = wrap(0x04, out, at);
	memmove(out + 11, out, at);
	at = 11 + at;
	memcpy(out, "\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01", 11);
	at = wrap(0x30, out, at);
	at = wrap(0xa0, out, at);
	memmove(out + 3, out, at);
	memcpy(out, "\x0a\x01\x00", 3); /* successful */
	response.len = wrap(0x30, out, at + 3);
}

/* ---- inputs ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	loading_begin(&loading);
	make_response(loading.server.cert);
	return 0;
}

static void write_own(const void *data, size_t len)
{
	loading_write(&loading, LOADING_OWN, data, len);
}

/* False: it is no list. */
static bool sign(const struct fuzz_input *in)
{
	const gnutls_datum_t pem = { (unsigned char *)(uintptr_t)in->at, (unsigned)in->left };
	gnutls_datum_t out = { NULL, 0 };
	gnutls_x509_crl_t crl;

	assert(gnutls_x509_crl_init(&crl) == 0);
	if (gnutls_x509_crl_import(crl, &pem, GNUTLS_X509_FMT_PEM) == 0 &&
	    gnutls_x509_crl_sign2(crl, loading.ca.cert, loading.ca.key, GNUTLS_DIG_SHA256, 0) == 0 &&
	    gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &out) == 0)
		write_own(out.data, out.size);
	gnutls_x509_crl_deinit(crl);
	gnutls_free(out.data);
	return out.size > 0;
}

static void change_response(struct fuzz_input *in)
{
	uint8_t der[sizeof(response.der)];

	memcpy(der, response.der, sizeof(der));
	while (in->left >= 3) {
		size_t at = fuzz_u16(in) % response.len;

		der[at] = fuzz_u8(in);
	}
	write_own(der, response.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum choice choice = fuzz_u8(&in) % CHOICES;
	struct tls_options o = {
		.x509certfile = loading.path[LOADING_CERT],
		.x509keyfile = loading.path[LOADING_KEY],
		.x509cafile = loading.path[LOADING_CA],
		.x509crlfile = choice == CRL || choice == CRL_SIGNED ? loading.path[LOADING_OWN] : NULL,
		.ocsp_response = choice == OCSP || choice == OCSP_CHANGED ? loading.path[LOADING_OWN] : NULL,
		.verify_client = VERIFY_CLIENT_REQUIRED,
	};
	bool as_it_was = choice == OCSP_CHANGED && in.left < 3;
	char err[LOADING_ERROR];
	struct tls *t;

	if (choice == OCSP_CHANGED)
		change_response(&in);
	else if (choice != CRL_SIGNED || !sign(&in))
		write_own(in.at, in.left);
	t = loading_try(&loading, &o, err);
	assert(t || !strchr(err, '\n'));
	/* the certificate runs out some time, and the CA, and what is stapled */
	assert(!as_it_was || (t && tls_expiry(t)->count == 3));
	tls_unref(t);
	return 0;
}
