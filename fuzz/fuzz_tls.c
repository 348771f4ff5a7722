/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls: the files of a service. What is loaded makes sessions; what is not is explained in one line.
 * The input is a choice of the file that it is, of whether clients need a certificate, and the file. The
 * others are good ones. GnuTLS, which reads PEM and DER, is not instrumented: how it is fed is up to chance.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "pki.h"
#include "tls.h"

enum role { ROLE_CERT, ROLE_KEY, ROLE_CA, ROLE_PSK, ROLE_PRIORITY, ROLES };

static int files[ROLES]; /* in memory; the last is the fuzzer's own */
static char paths[ROLES][32];
static struct tls_shared *shared;

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void make_file(int i)
{
	files[i] = memfd_create("fuzz", MFD_CLOEXEC);
	assert(files[i] >= 0);
	snprintf(paths[i], sizeof(paths[i]), "/proc/self/fd/%d", files[i]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char psk[] = "alice:00112233445566778899aabbccddeeff\n";
	struct pki_pair ca, server;

	(void)argc;
	(void)argv;
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	log_open(LOG_TO_STDERR, LOG_ERROR_, "fuzz");
	for (int i = 0; i < ROLES; i++)
		make_file(i);
	ca = pki_ca("CA");
	server = pki_issue(&ca, "server", GNUTLS_PK_ECDSA, "localhost");
	pki_write_cert(&server, NULL, paths[ROLE_CERT]);
	pki_write_key(&server, paths[ROLE_KEY]);
	pki_write_cert(&ca, NULL, paths[ROLE_CA]);
	assert(write(files[ROLE_PSK], psk, sizeof(psk) - 1) == (ssize_t)sizeof(psk) - 1);
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
	/* it quotes the priority string as it is; the log escapes it */
	assert(role == ROLE_PRIORITY || !strchr(err, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum role role = fuzz_u8(&in) % ROLES;
	struct tls_options o = {
		.x509certfile = paths[ROLE_CERT],
		.x509keyfile = paths[ROLE_KEY],
		.x509cafile = paths[ROLE_CA],
		.pskpasswd = paths[ROLE_PSK],
		.verify_client = fuzz_u8(&in) % 3,
	};
	const char *own = paths[ROLES - 1];
	char *text = NULL, err[1024] = "";
	struct tls *t;

	if (role == ROLE_PRIORITY) {
		text = strndup((const char *)in.at, in.left);
		o.priority = text;
	} else {
		assert(ftruncate(files[ROLES - 1], 0) == 0);
		assert(pwrite(files[ROLES - 1], in.at, in.left, 0) == (ssize_t)in.left);
	}
	if (role == ROLE_CERT)
		o.x509certfile = own;
	else if (role == ROLE_KEY)
		o.x509keyfile = own;
	else if (role == ROLE_CA)
		o.x509cafile = own;
	else if (role == ROLE_PSK)
		o.pskpasswd = own;
	t = tls_load(&o, shared, err, sizeof(err));
	if (t)
		check_tls(t);
	else
		check_error(role, err, sizeof(err));
	free(text);
	return 0;
}
