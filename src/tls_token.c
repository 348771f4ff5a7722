/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls_token.h"

#include <stdint.h>
#include <string.h>

#include <gnutls/pkcs11.h>

/* A wrong PIN is given only once: tokens lock themselves after a few. */
static int on_pin(void *ctx, int attempt, const char *url, const char *label, unsigned flags, char *pin, size_t size)
{
	const char *known = ctx;

	(void)attempt;
	(void)url;
	(void)label;
	if (known == NULL || strlen(known) >= size || (flags & GNUTLS_PIN_WRONG) != 0)
		return -1;
	memcpy(pin, known, strlen(known) + 1);
	return 0;
}

static int explain(const struct tls_error *e, const struct tls_token *t, const char *what, int error)
{
	switch (error) {
	case GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE:
		return tls_fail(e, "%s: no token has such a %s, or it shows it only after the right PIN, which "
				"%skey-password names the file of; list what there is with: p11tool --list-all --login "
				"'pkcs11:'", t->uri, what, t->dashes);
	case GNUTLS_E_PKCS11_PIN_ERROR:
	case GNUTLS_E_PKCS11_PIN_EXPIRED:
	case GNUTLS_E_PKCS11_PIN_LOCKED:
		return tls_fail(e, "%s: the token does not open: %s; write its PIN into the file that %skey-password names",
				t->uri, gnutls_strerror(error), t->dashes);
	default:
		return tls_fail(e, "%s: cannot use the %s: %s; check the URI and the token with: p11tool --list-all --login "
				"'pkcs11:'", t->uri, what, gnutls_strerror(error));
	}
}

int tls_token_key(const struct tls_error *e, const struct tls_token *t, gnutls_privkey_t *out)
{
	int rc = gnutls_privkey_init(out);

	if (rc < 0)
		return tls_fail(e, "out of memory");
	gnutls_privkey_set_pin_function(*out, on_pin, (void *)(uintptr_t)t->pin);
	rc = gnutls_privkey_import_url(*out, t->uri, 0);
	if (rc >= 0)
		return 0;
	gnutls_privkey_deinit(*out);
	return explain(e, t, "private key", rc);
}

int tls_token_chain(const struct tls_error *e, const struct tls_token *t, struct tls_chain *out)
{
	int rc = gnutls_x509_crt_list_import_url(&out->certs, &out->count, t->uri, on_pin, (void *)(uintptr_t)t->pin, 0);

	if (rc >= 0 && out->count > 0)
		return 0;
	return explain(e, t, "certificate", rc < 0 ? rc : GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE);
}
