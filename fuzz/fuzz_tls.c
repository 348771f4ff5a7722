/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls: the files of a service. What is loaded makes sessions; what is not is explained in one line.
 * The input is a choice of the file that it is, of whether clients need a certificate, and the file, or the URI that
 * stands for the name of one (no token is there). The others are good ones. GnuTLS, which reads PEM and DER, is not
 * instrumented: how it is fed is up to chance.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gnutls/pkcs11.h>

#include "fuzz.h"
#include "log.h"
#include "pki.h"
#include "tls.h"

#define TOKEN "pkcs11:"

enum role {
	ROLE_CERT, ROLE_KEY, ROLE_CA, ROLE_PSK, ROLE_PRIORITY, ROLE_PASSWORD, ROLE_ENCRYPTED_KEY, ROLE_CERT_URI,
	ROLE_KEY_URI, ROLES
};

enum file { CERT, KEY, CA, PSK, ENCRYPTED_KEY, PASSWORD, OWN, FILES };

static int files[FILES]; /* in memory; the last is the fuzzer's own */
static char paths[FILES][32];
static struct tls_shared *shared;

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void make_file(int i)
{
	files[i] = memfd_create("fuzz", MFD_CLOEXEC);
	assert(files[i] >= 0);
	snprintf(paths[i], sizeof(paths[i]), "/proc/self/fd/%d", files[i]);
}

static void write_file(enum file i, const void *data, size_t len)
{
	assert(ftruncate(files[i], 0) == 0);
	assert(pwrite(files[i], data, len, 0) == (ssize_t)len);
}

static void write_encrypted(gnutls_x509_privkey_t key)
{
	gnutls_datum_t pem;
	int rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, "secret", GNUTLS_PKCS_PBES2_AES_128, &pem);

	assert(rc == 0);
	write_file(ENCRYPTED_KEY, pem.data, pem.size);
	gnutls_free(pem.data);
	write_file(PASSWORD, "secret\n", 7);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char psk[] = "alice:00112233445566778899aabbccddeeff\n";
	struct pki_pair ca, server;

	(void)argc;
	(void)argv;
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	log_open(LOG_TO_STDERR, LOG_ERROR_, "fuzz");
	assert(gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL) == 0); /* no tokens of this machine's */
	for (int i = 0; i < FILES; i++)
		make_file(i);
	ca = pki_ca("CA");
	server = pki_issue(&ca, "server", GNUTLS_PK_ECDSA, "localhost");
	pki_write_cert(&server, NULL, paths[CERT]);
	pki_write_key(&server, paths[KEY]);
	write_encrypted(server.key);
	pki_write_cert(&ca, NULL, paths[CA]);
	write_file(PSK, psk, sizeof(psk) - 1);
	pki_free(&server);
	pki_free(&ca);
	shared = tls_shared_new(10, 60);
	assert(shared);
	return 0;
}

static void check_tls(struct tls *t)
{
	struct tls_report report;
	gnutls_session_t s;

	assert(tls_session_new(t, &report, &s) == 0);
	gnutls_deinit(s);
	tls_unref(t);
}

static void check_error(enum role role, const char *err, size_t size)
{
	assert(err[0] && memchr(err, '\0', size));
	/* it quotes what stands in a setting as it is; the log escapes it */
	assert(role == ROLE_PRIORITY || role == ROLE_CERT_URI || role == ROLE_KEY_URI || !strchr(err, '\n'));
}

static void choose(struct tls_options *o, enum role role, const char *text)
{
	switch (role) {
	case ROLE_CERT:
		o->x509certfile = paths[OWN];
		break;
	case ROLE_KEY:
		o->x509keyfile = paths[OWN];
		break;
	case ROLE_CA:
		o->x509cafile = paths[OWN];
		break;
	case ROLE_PSK:
		o->pskpasswd = paths[OWN];
		break;
	case ROLE_PRIORITY:
		o->priority = text;
		break;
	case ROLE_PASSWORD:
		o->x509keyfile = paths[ENCRYPTED_KEY];
		o->key_password = paths[OWN];
		break;
	case ROLE_ENCRYPTED_KEY:
		o->x509keyfile = paths[OWN];
		o->key_password = paths[PASSWORD];
		break;
	case ROLE_CERT_URI:
		o->x509certfile = text;
		break;
	default:
		o->x509keyfile = text;
		o->key_password = paths[PASSWORD];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum role role = fuzz_u8(&in) % ROLES;
	struct tls_options o = {
		.x509certfile = paths[CERT],
		.x509keyfile = paths[KEY],
		.x509cafile = paths[CA],
		.pskpasswd = paths[PSK],
		.verify_client = fuzz_u8(&in) % 3,
	};
	char *text = malloc(in.left + sizeof(TOKEN)), err[1024] = "";
	struct tls *t;

	assert(text);
	/* where a name would do it is a URI: the fuzzer opens no other files */
	sprintf(text, "%s%.*s", role == ROLE_PRIORITY ? "" : TOKEN, (int)in.left, (const char *)in.at);
	text[strcspn(text, role == ROLE_PRIORITY ? "" : ",")] = '\0';
	write_file(OWN, in.at, in.left);
	choose(&o, role, text);
	t = tls_load(&o, shared, err, sizeof(err));
	if (t)
		check_tls(t);
	else
		check_error(role, err, sizeof(err));
	free(text);
	return 0;
}
