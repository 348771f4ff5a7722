/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls: the files of a service. What is loaded makes sessions; what is not is explained in one line.
 * The input is a choice of the file that it is, of whether clients need a certificate, and the file, or the URI that
 * stands for the name of one (no token is there). The others are good ones. GnuTLS, which reads PEM and DER, is not
 * instrumented: how it is fed is up to chance.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <gnutls/pkcs11.h>

#include "fuzz.h"
#include "loading.h"

#define TOKEN "pkcs11:"

enum role {
	ROLE_CERT, ROLE_KEY, ROLE_CA, ROLE_PSK, ROLE_PRIORITY, ROLE_PASSWORD, ROLE_ENCRYPTED_KEY, ROLE_CERT_URI,
	ROLE_KEY_URI, ROLES
};

enum { PSK = LOADING_MORE, ENCRYPTED_KEY, PASSWORD };

static struct loading loading;

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void write_encrypted(gnutls_x509_privkey_t key)
{
	gnutls_datum_t pem;
	int rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, "secret", GNUTLS_PKCS_PBES2_AES_128, &pem);

	assert(rc == 0);
	loading_write(&loading, ENCRYPTED_KEY, pem.data, pem.size);
	gnutls_free(pem.data);
	loading_write(&loading, PASSWORD, "secret\n", 7);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char psk[] = "alice:00112233445566778899aabbccddeeff\n";

	(void)argc;
	(void)argv;
	assert(gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL) == 0); /* no tokens of this machine's */
	loading_begin(&loading);
	write_encrypted(loading.server.key);
	loading_write(&loading, PSK, psk, sizeof(psk) - 1);
	return 0;
}

static void choose(struct tls_options *o, enum role role, const char *text)
{
	switch (role) {
	case ROLE_CERT:
		o->x509certfile = loading.path[LOADING_OWN];
		break;
	case ROLE_KEY:
		o->x509keyfile = loading.path[LOADING_OWN];
		break;
	case ROLE_CA:
		o->x509cafile = loading.path[LOADING_OWN];
		break;
	case ROLE_PSK:
		o->pskpasswd = loading.path[LOADING_OWN];
		break;
	case ROLE_PRIORITY:
		o->priority = text;
		break;
	case ROLE_PASSWORD:
		o->x509keyfile = loading.path[ENCRYPTED_KEY];
		o->key_password = loading.path[LOADING_OWN];
		break;
	case ROLE_ENCRYPTED_KEY:
		o->x509keyfile = loading.path[LOADING_OWN];
		o->key_password = loading.path[PASSWORD];
		break;
	case ROLE_CERT_URI:
		o->x509certfile = text;
		break;
	default:
		o->x509keyfile = text;
		o->key_password = loading.path[PASSWORD];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum role role = fuzz_u8(&in) % ROLES;
	struct tls_options o = {
		.x509certfile = loading.path[LOADING_CERT],
		.x509keyfile = loading.path[LOADING_KEY],
		.x509cafile = loading.path[LOADING_CA],
		.pskpasswd = loading.path[PSK],
		.verify_client = fuzz_u8(&in) % 3,
	};
	char *text = malloc(in.left + sizeof(TOKEN)), err[LOADING_ERROR];
	bool quoted = role == ROLE_PRIORITY || role == ROLE_CERT_URI || role == ROLE_KEY_URI;
	struct tls *t;

	assert(text);
	/* where a name would do it is a URI: the fuzzer opens no other files */
	sprintf(text, "%s%.*s", role == ROLE_PRIORITY ? "" : TOKEN, (int)in.left, (const char *)in.at);
	text[strcspn(text, role == ROLE_PRIORITY ? "" : ",")] = '\0';
	loading_write(&loading, LOADING_OWN, in.at, in.left);
	choose(&o, role, text);
	t = loading_try(&loading, &o, err);
	/* it quotes what stands in a setting as it is; the log escapes it */
	assert(t || quoted || !strchr(err, '\n'));
	tls_unref(t);
	free(text);
	return 0;
}
