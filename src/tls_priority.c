/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_priority.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char TLS_PRIORITY_DEFAULT[] =
	"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:+ECDHE-PSK:+PSK:"
	"-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-CCM:+AES-128-CCM-8:"
	"-MAC-ALL:+AEAD:"
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:%SERVER_PRECEDENCE";

#define IMPOSED ":-VERS-ALL:+VERS-DTLS1.2:+AEAD"

static bool cipher_served(unsigned cipher)
{
	switch (cipher) {
	case GNUTLS_CIPHER_AES_128_GCM:
	case GNUTLS_CIPHER_AES_256_GCM:
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
	case GNUTLS_CIPHER_AES_128_CCM:
	case GNUTLS_CIPHER_AES_256_CCM:
	case GNUTLS_CIPHER_AES_128_CCM_8:
	case GNUTLS_CIPHER_AES_256_CCM_8:
		return true;
	default:
		return false;
	}
}

/* Is it what a certificate with such a key does? */
static bool kx_of_key(gnutls_kx_algorithm_t kx, gnutls_pk_algorithm_t key)
{
	switch (kx) {
	case GNUTLS_KX_ECDHE_ECDSA:
		return key == GNUTLS_PK_ECDSA || key == GNUTLS_PK_EDDSA_ED25519 || key == GNUTLS_PK_EDDSA_ED448;
	case GNUTLS_KX_ECDHE_RSA:
	case GNUTLS_KX_DHE_RSA:
		return key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS;
	case GNUTLS_KX_RSA:
		return key == GNUTLS_PK_RSA;
	default:
		return false;
	}
}

static bool kx_of_psk(gnutls_kx_algorithm_t kx)
{
	return kx == GNUTLS_KX_PSK || kx == GNUTLS_KX_ECDHE_PSK || kx == GNUTLS_KX_DHE_PSK;
}

/* cert NULL: for PSKs */
static bool suite_left(gnutls_priority_t p, const struct tls_cert *cert)
{
	gnutls_kx_algorithm_t kx;
	gnutls_cipher_algorithm_t cipher;
	unsigned suite;
	int rc = 0;

	for (unsigned i = 0; rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE; i++) {
		rc = gnutls_priority_get_cipher_suite_index(p, i, &suite);
		if (rc >= 0 && gnutls_cipher_suite_info(suite, NULL, &kx, &cipher, NULL, NULL) != NULL &&
		    cipher_served(cipher) && (cert != NULL ? kx_of_key(kx, cert->key_type) : kx_of_psk(kx)))
			return true;
	}
	return false;
}

/* false: no room. */
static bool subtract(char *text, size_t size, const char *name)
{
	size_t at = strlen(text);

	return (size_t)snprintf(text + at, size - at, ":-%s", name) < size - at;
}

/* Every cipher that the record layer cannot serve. false: no room. */
static bool subtract_ciphers(gnutls_priority_t p, char *text, size_t size)
{
	const unsigned *ciphers;
	int count = gnutls_priority_cipher_list(p, &ciphers);
	bool room = true;

	for (int i = 0; i < count && room; i++)
		if (!cipher_served(ciphers[i]))
			room = subtract(text, size, gnutls_cipher_get_name((gnutls_cipher_algorithm_t)ciphers[i]));
	return room;
}

/* Every key exchange for which there are neither certificates nor PSKs. false: no room. */
static bool subtract_kxs(gnutls_priority_t p, const struct tls_wish *w, char *text, size_t size)
{
	const unsigned *kxs;
	int count = gnutls_priority_kx_list(p, &kxs);
	bool room = true;

	for (int i = 0; i < count && room; i++)
		if (kx_of_psk(kxs[i]) ? w->psks == NULL : w->cert_count == 0 && !w->verifies)
			room = subtract(text, size, gnutls_kx_get_name((gnutls_kx_algorithm_t)kxs[i]));
	return room;
}

/*
 * What both sides show (RFC 7250), where that is not certificates alone, as it is without a word. A client takes what it
 * likes best of what is named, so that what nobody could come in with must not be. false: no room.
 */
static bool name_types(const struct tls_wish *w, char *text, size_t size)
{
	size_t at = strlen(text);

	if (!w->raw_server && !w->raw_client)
		return true;
	return (size_t)snprintf(text + at, size - at, ":-CTYPE-ALL%s%s%s%s", w->raw_server ? ":+CTYPE-SRV-RAWPK" : "",
				w->x509_server || !w->raw_server ? ":+CTYPE-SRV-X509" : "",
				w->raw_client ? ":+CTYPE-CLI-RAWPK" : "",
				w->x509_client || !w->raw_client ? ":+CTYPE-CLI-X509" : "") < size - at;
}

static int check_suites(const struct tls_error *e, const struct tls_wish *w, gnutls_priority_t p)
{
	for (unsigned i = 0; i < w->cert_count; i++)
		if (!suite_left(p, &w->certs[i]))
			return tls_fail(e, "%spriority: %s: leaves no key exchange and AEAD cipher for the certificate "
					"of %s; add some, as :+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM", w->dashes,
					w->priority, w->certs[i].file);
	if (w->psks != NULL && !suite_left(p, NULL))
		return tls_fail(e, "%spriority: %s: leaves no key exchange and AEAD cipher for the PSKs of %s; add "
				"some, as :+ECDHE-PSK:+PSK:+AES-128-GCM", w->dashes, w->priority, w->psks);
	return 0;
}

static int too_many(const struct tls_error *e, const struct tls_wish *w)
{
	return tls_fail(e, "%spriority: %s: names too many ciphers; name those that are wanted only", w->dashes,
			w->priority);
}

/* text becomes what is imposed on the wish. */
static int impose(const struct tls_error *e, const struct tls_wish *w, char *text, size_t size)
{
	gnutls_priority_t wished;
	const char *at = w->priority;
	bool room;
	int rc;

	if ((size_t)snprintf(text, size, "%s" IMPOSED, w->priority) >= size)
		return tls_fail(e, "%spriority: the string is longer than %zu bytes", w->dashes,
				size - sizeof(IMPOSED));
	rc = gnutls_priority_init(&wished, text, &at);
	if (rc < 0) {
		size_t offset = at >= text && at < text + strlen(w->priority) ? (size_t)(at - text) : 0;

		return tls_fail(e, "%spriority: %s: %s at \"%.40s\"; see gnutls-cli --priority-list and the GnuTLS "
				"manual on priority strings", w->dashes, w->priority, gnutls_strerror(rc),
				w->priority + offset);
	}
	room = subtract_ciphers(wished, text, size);
	gnutls_priority_deinit(wished);
	return room ? 0 : too_many(e, w);
}

/*
 * GnuTLS would not look further when it comes upon a suite for which there are no credentials, and refuse a client that
 * offers certificates and PSKs.
 */
static int leave_out_unserved(const struct tls_error *e, const struct tls_wish *w, char *text, gnutls_priority_t *out)
{
	gnutls_priority_t all = *out;
	int rc;

	if (!subtract_kxs(all, w, text, TLS_PRIORITY_MAX) || !name_types(w, text, TLS_PRIORITY_MAX))
		return too_many(e, w);
	*out = NULL;
	rc = gnutls_priority_init(out, text, NULL);
	gnutls_priority_deinit(all);
	return rc < 0 ? tls_fail(e, "%spriority: %s: %s", w->dashes, w->priority, gnutls_strerror(rc)) : 0;
}

int tls_priority_load(const struct tls_error *e, const struct tls_wish *w, char text[static TLS_PRIORITY_MAX],
		      gnutls_priority_t *out)
{
	int rc = impose(e, w, text, TLS_PRIORITY_MAX);

	if (rc < 0)
		return rc;
	if (gnutls_priority_init(out, text, NULL) < 0)
		return tls_fail(e, "%spriority: %s: no AEAD cipher is left of it; add one, as :+AES-128-GCM", w->dashes,
				w->priority);
	rc = check_suites(e, w, *out);
	return rc < 0 ? rc : leave_out_unserved(e, w, text, out);
}
