/* SPDX-License-Identifier: BSD-2-Clause */
/* What is wrong with files and options, and that it is said what and why. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "tls_world.h"

/* In messages and arguments '@' stands for the directory. */
static const char *expand(const char *in, char *out, size_t size)
{
	size_t at = 0;

	for (; *in != '\0' && at + strlen(world_dir) + 1 < size; in++)
		at += (size_t)(*in == '@' ? snprintf(out + at, size - at, "%s", world_dir) :
					    snprintf(out + at, size - at, "%c", *in));
	return out;
}

struct bad {
	const char *cert, *key, *password, *cafile, *crl, *psk, *priority;
	enum verify_client verify;
	const char *message;
};

static const struct bad BAD[] = {
	{ .message =
	      "there is neither a certificate nor a PSK file; give --x509certfile and --x509keyfile, or "
	      "--pskpasswd, or all three" },
	{ .cert = "@/server.pem",
	  .message = "--x509certfile @/server.pem is given without --x509keyfile; name its "
		     "private key too" },
	{ .key = "@/server.key",
	  .message = "--x509keyfile @/server.key is given without --x509certfile; name its "
		     "certificate too" },
	{ .cert = "@/none",
	  .key = "@/server.key",
	  .message =
	      "@/none: cannot open the certificate: No such file or directory; check the path and that "
	      "dtlsd's user may read it" },
	{ .cert = "@/server.pem",
	  .key = "@/none",
	  .message =
	      "@/none: cannot open the private key: No such file or directory; check the path and that "
	      "dtlsd's user may read it" },
	{ .cert = "@",
	  .key = "@/server.key",
	  .message = "@: cannot read the certificate: Is a directory; give the name of a readable file" },
	{ .cert = "@/server.key",
	  .key = "@/server.key",
	  .message =
	      "@/server.key: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted" },
	{ .cert = "@/empty",
	  .key = "@/server.key",
	  .message = "@/empty: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/server.pem",
	  .message =
	      "@/server.pem: there is no private key in it; a PEM file with BEGIN PRIVATE KEY is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/empty",
	  .message = "@/empty: there is no private key in it; a PEM file with BEGIN PRIVATE KEY is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/encrypted.key",
	  .message =
	      "@/encrypted.key: the private key is encrypted and there is nobody to ask for the password; "
	      "give --key-password a file with it, or decrypt the key with: openssl pkey -in @/encrypted.key -out KEY" },
	{ .cert = "@/server.pem",
	  .key = "@/encrypted.key",
	  .password = "@/wrong-password",
	  .message = "@/encrypted.key: the private key is encrypted with another password than that of --key-password; "
		     "correct that file" },
	{ .cert = "@/server.pem",
	  .key = "@/encrypted.key",
	  .password = "@/empty",
	  .message = "@/empty: there is no password in it; write it on the first line" },
	{ .cert = "@/server.pem",
	  .key = "@/encrypted.key",
	  .password = "@/none",
	  .message = "@/none: cannot open the password: No such file or directory; check the path and that "
		     "dtlsd's user may read it" },
	{ .cert = "@/server.pem",
	  .key = "@/rsa.key",
	  .message =
	      "@/rsa.key: this private key does not belong to the first certificate of @/server.pem; give "
	      "the two that were made together" },
	/* the leak sanitizer looks here, too */
	{ .cert = "@/odd-chain.pem",
	  .key = "@/leaf.key",
	  .message =
	      "@/odd-chain.pem: the key in certificate 2 of the chain cannot be used: An unimplemented or "
	      "disabled feature has been requested.; get another one" },
	{ .cert = "@/unsorted.pem",
	  .key = "@/leaf.key",
	  .message =
	      "@/unsorted.pem: the certificates are not in order; put the server's own first, then each "
	      "one's issuer after it" },
	{ .cert = "@/no-signing.pem",
	  .key = "@/no-signing.key",
	  .message =
	      "@/no-signing.pem: the certificate's key usage does not allow digital signatures, which DTLS "
	      "with forward secrecy needs; issue one with digitalSignature" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .verify = VERIFY_CLIENT_OPTIONAL,
	  .message =
	      "--verify-client asks clients for certificates, but there is no CA to check them with; give "
	      "--x509cafile" },
	{ .psk = "@/psk",
	  .cafile = "@/ca.pem",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .message =
	      "--x509cafile @/ca.pem is of no use without --x509certfile: only a server with a certificate "
	      "can ask clients for theirs" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/none",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .message =
	      "@/none: cannot open the CA certificate: No such file or directory; check the path and that "
	      "dtlsd's user may read it" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/empty",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .message = "@/empty: there is no certificate in it; a PEM file with BEGIN CERTIFICATE is wanted" },
	{ .cert = "@/server.pem,@/rsa.pem",
	  .key = "@/server.key",
	  .message = "--x509certfile and --x509keyfile name 2 certificates and 1 keys; name as many of each, in the "
		     "same order" },
	{ .cert = "@/server.pem,@/rsa.pem",
	  .key = "@/server.key,",
	  .message = "--x509keyfile @/server.key,: there is a comma with no name beside it; write one there or "
		     "remove it" },
	{ .cert = "@/server.pem,@/rsa.pem",
	  .key = "@/rsa.key,@/server.key",
	  .message =
	      "@/rsa.key: this private key does not belong to the first certificate of @/server.pem; give "
	      "the two that were made together" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .crl = "@/crl.pem",
	  .message = "--x509crlfile @/crl.pem is of no use without the CA that signed it; give --x509cafile" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/ca.pem",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .crl = "@/ca.pem",
	  .message = "@/ca.pem: there is no revocation list in it; a PEM file with BEGIN X509 CRL is wanted" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/ca.pem",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .crl = "@/crl.pem,@/foreign-crl.pem",
	  .message = "@/foreign-crl.pem: revocation list 1 was signed by no CA that clients may come from; name the "
		     "file of its CA, or leave the list out" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .cafile = "@/ca.pem",
	  .verify = VERIFY_CLIENT_REQUIRED,
	  .crl = "@/long-crl.pem",
	  .message = "@/long-crl.pem: an entry of revocation list 1 cannot be read; a serial number has at most 20 "
		     "bytes (RFC 5280): have the list issued again" },
	{ .psk = "@/none",
	  .message = "@/none: cannot open the PSK file: No such file or directory; check the path "
		     "and that dtlsd's user may read it" },
	{ .psk = "@/psk-bad",
	  .message = "@/psk-bad:2: there is no colon; write identity:hexkey, as psktool does" },
	{ .psk = "@/empty",
	  .message = "@/empty: there is no identity in it, so nobody could come in; add one with: "
		     "psktool -u NAME -p @/empty" },
	{ .psk = "@/psk",
	  .priority = "NORMAL:+SPAM",
	  .message = "--priority: NORMAL:+SPAM: The request is invalid. at \"+SPAM\"; see gnutls-cli "
		     "--priority-list and the GnuTLS manual on priority strings" },
	{ .psk = "@/psk",
	  .priority = "NORMAL",
	  .message = "--priority: NORMAL: leaves no key exchange and AEAD cipher for the PSKs of @/psk; add "
		     "some, as "
		     ":+ECDHE-PSK:+PSK:+AES-128-GCM" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .priority = "NORMAL:-ECDHE-ECDSA",
	  .message = "--priority: NORMAL:-ECDHE-ECDSA: leaves no key exchange and AEAD cipher for the "
		     "certificate of "
		     "@/server.pem; add some, as :+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM" },
	{ .cert = "@/server.pem",
	  .key = "@/server.key",
	  .priority = "NORMAL:-CIPHER-ALL:+AES-128-CBC",
	  .message = "--priority: NORMAL:-CIPHER-ALL:+AES-128-CBC: no AEAD cipher is left of it; add one, as "
		     ":+AES-128-GCM" },
};

/* With a serial number that is too long before one that is revoked. */
static void save_long_crl(const char *name)
{
	uint8_t serial[70] = { 1 };
	gnutls_x509_crl_t crl;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_crl_init(&crl), 0);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, time(NULL) - 60);
	assert_int_equal(gnutls_x509_crl_set_crt_serial(crl, serial, sizeof(serial), time(NULL)), 0);
	assert_int_equal(gnutls_x509_crl_set_crt(crl, client.crt, time(NULL)), 0);
	assert_int_equal(gnutls_x509_crl_sign2(crl, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_file(name, (const char *)pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crl_deinit(crl);
}

static void every_bad_file_and_option_says_what_and_why(void **state)
{
	struct tls_shared *shared = tls_shared_new(10, 60);
	gnutls_datum_t pem;

	(void)state;
	write_text("empty", "");
	save_crl("crl.pem", &ca, NULL, -1, 10);
	save_crl("foreign-crl.pem", &foreign_ca, NULL, -1, 10);
	save_long_crl("long-crl.pem");
	write_text("wrong-password", "sesame");
	write_text("psk-bad", "alice:00\nbob 11\n");
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(server.key, GNUTLS_X509_FMT_PEM, "secret",
							   GNUTLS_PKCS_PBES2_AES_128, &pem), 0);
	write_file("encrypted.key", (const char *)pem.data, pem.size);
	gnutls_free(pem.data);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		const struct bad *b = &BAD[i];
		char text[8][500];
		struct tls_options o = {
			.x509certfile = b->cert ? expand(b->cert, text[0], 500) : NULL,
			.x509keyfile = b->key ? expand(b->key, text[1], 500) : NULL,
			.x509cafile = b->cafile ? expand(b->cafile, text[2], 500) : NULL,
			.key_password = b->password ? expand(b->password, text[6], 500) : NULL,
			.x509crlfile = b->crl ? expand(b->crl, text[5], 500) : NULL,
			.pskpasswd = b->psk ? expand(b->psk, text[3], 500) : NULL,
			.priority = b->priority,
			.verify_client = b->verify,
		};

		strcpy(world_err, "nothing was said");
		assert_null(tls_load(&o, shared, world_err, sizeof(world_err)));
		assert_string_equal(world_err, expand(b->message, text[4], 500));
	}
	tls_shared_free(shared);
}

static void warns_of_expiry_and_open_key_files_only(void **state)
{
	struct tls_options good = usual(VERIFY_CLIENT_REQUIRED);
	struct tls_options old = { .x509certfile = path("old.pem"), .x509keyfile = path("old.key") };
	struct tls_options open_key = { .x509certfile = path("server.pem"), .x509keyfile = path("open.key"),
					.pskpasswd = path("open.psk") };
	struct tls_options old_crl = usual(VERIFY_CLIENT_REQUIRED);
	char log[2000], key[4096];
	int fd = open(path("server.key"), O_RDONLY);
	ssize_t n = read(fd, key, sizeof(key));

	(void)state;
	close(fd);
	assert_true(n > 0);
	write_file("open.key", key, (size_t)n);
	write_text("open.psk", "bob:01\n");
	chmod(path("open.key"), 0644);
	chmod(path("open.psk"), 0604);
	load_logged(&good, log, sizeof(log));
	assert_string_equal(log, "");
	load_logged(&old, log, sizeof(log));
	assert_non_null(strstr(log, "certificate 1 of the chain has expired"));
	save_crl("old-crl.pem", &ca, NULL, -2, -1);
	old_crl.x509crlfile = path("old-crl.pem");
	load_logged(&old_crl, log, sizeof(log));
	assert_non_null(strstr(log, "revocation list 1 is out of date"));
	load_logged(&open_key, log, sizeof(log));
	assert_non_null(strstr(log, "may access the private key; run: chmod o-rwx"));
	assert_non_null(strstr(log, "may access the PSK file; run: chmod o-rwx"));
}

static void warns_of_a_certificate_that_is_for_clients(void **state)
{
	struct tls_options o = { .x509certfile = path("client.pem"), .x509keyfile = path("client.key") };
	char log[2000];

	(void)state;
	save("client", &client);
	load_logged(&o, log, sizeof(log));
	assert_non_null(strstr(log, "client.pem: the certificate's extended key usage does not allow TLS servers, "
				    "clients will refuse it; issue one with serverAuth"));
}

static int days_ahead;

static uint64_t later(void)
{
	return (uint64_t)(time(NULL) + days_ahead * 86400);
}

static void warns_of_what_soon_expires(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	char log[2000];

	(void)state;
	save_crl("late-crl.pem", &ca, NULL, -1, 350);
	o.x509crlfile = path("late-crl.pem");
	clock_inject(NULL, later);
	days_ahead = 300;
	load_logged(&o, log, sizeof(log));
	assert_string_equal(log, "");
	days_ahead = 345;
	load_logged(&o, log, sizeof(log));
	clock_inject(NULL, NULL);
	assert_non_null(strstr(log, "server.pem: certificate 1 of the chain expires in 20 days, on "));
	assert_non_null(strstr(log, "late-crl.pem: revocation list 1 is out of date in 5 days, on "));
}

static void *feed_pipe(void *arg)
{
	const char *text = arg;
	int fd = open(path("fifo"), O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good ? arg : NULL;
}

static void a_psk_file_may_be_a_pipe(void **state)
{
	struct tls_options o = { .pskpasswd = path("fifo") };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_user = "bob", .psk_key = "0202020202020202" };
	char text[9000];
	pthread_t feeder;
	struct fixture f;
	void *good;

	(void)state;
	snprintf(text, sizeof(text), "alice:01\n#%8000s\nbob:0202020202020202\n", " ");
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	assert_int_equal(pthread_create(&feeder, NULL, feed_pipe, text), 0);
	f = start(&o);
	assert_int_equal(pthread_join(feeder, &good), 0);
	assert_non_null(good);
	assert_true(talk(f.tls, &t));
	forget(&t);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bad_file_and_option_says_what_and_why),
		cmocka_unit_test(warns_of_expiry_and_open_key_files_only),
		cmocka_unit_test(warns_of_a_certificate_that_is_for_clients),
		cmocka_unit_test(warns_of_what_soon_expires),
		cmocka_unit_test(a_psk_file_may_be_a_pipe),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
