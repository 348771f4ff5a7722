/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_allowed: which of the good client certificates are let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tls_allowed.h"
#include "tls_world.h"

/* NULL where there is none of that kind. The caller frees the data. */
static gnutls_datum_t certificate(const char *cn, const char *dns, const char *uri)
{
	gnutls_x509_crt_t crt;
	gnutls_datum_t der;

	assert_int_equal(gnutls_x509_crt_init(&crt), 0);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\x55", 1);
	gnutls_x509_crt_set_key(crt, client.key);
	gnutls_x509_crt_set_activation_time(crt, time(NULL) - 86400);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 86400);
	if (cn != NULL)
		gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
	if (dns != NULL)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, dns, (unsigned)strlen(dns), GNUTLS_FSAN_APPEND);
	if (uri != NULL)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, uri, (unsigned)strlen(uri),
						     GNUTLS_FSAN_APPEND);
	assert_int_equal(gnutls_x509_crt_sign2(crt, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), 0);
	gnutls_x509_crt_deinit(crt);
	return der;
}

static bool has(const char *names, const char *fingerprints, const gnutls_datum_t *der)
{
	const struct tls_error e = { world_err, sizeof(world_err) };
	static struct tls_allowed a;
	bool found;

	memset(&a, 0, sizeof(a));
	assert_int_equal(tls_allowed_load(&a, &e, "--", names, fingerprints), 0);
	found = tls_allowed_has(&a, der);
	tls_allowed_clear(&a);
	return found;
}

static void names_are_compared_with_patterns_of_the_shell(void **state)
{
	static const struct {
		const char *patterns;
		bool fits;
	} cases[] = {
		{ "device-7.example", true },
		{ "DEVICE-7.Example", true },
		{ "device-?.example", true },
		{ "device-[5-9].example", true },
		{ "device-[1-6].example", false },
		{ "*.example", true },
		{ "device-7", false },
		{ "evice-7.example", false },
		{ "Meter 7", true },
		{ "meter 7", false },
		{ "Meter*", true },
		{ "urn:dev:mac:*", true },
		{ "URN:*", false },
		{ "x,y,urn:dev:mac:0024befffe804ff1", true },
		{ "x,y", false },
		{ "*", true },
	};
	gnutls_datum_t der = certificate("Meter 7", "device-7.example", "urn:dev:mac:0024befffe804ff1");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (has(cases[i].patterns, NULL, &der) != cases[i].fits)
			fail_msg("%s", cases[i].patterns);
	gnutls_free(der.data);
}

static void a_name_with_a_nul_inside_fits_nothing(void **state)
{
	gnutls_datum_t der = certificate(NULL, "good.example/.evil", NULL);
	uint8_t *slash = memmem(der.data, der.size, "/.evil", 6);

	(void)state;
	assert_non_null(slash);
	*slash = 0;
	assert_false(has("good.example", NULL, &der));
	assert_false(has("*", NULL, &der));
	gnutls_free(der.data);
}

static void a_name_too_long_to_look_at_fits_nothing_and_hides_no_other(void **state)
{
	char dns[301] = "";
	gnutls_datum_t der;

	(void)state;
	memset(dns, 'a', sizeof(dns) - 1);
	der = certificate("short", dns, "urn:x");
	assert_false(has("a*", NULL, &der));
	assert_true(has("urn:x", NULL, &der));
	assert_true(has("short", NULL, &der));
	gnutls_free(der.data);
}

/* Of the certificate, in the two forms that people write. */
static void fingerprint(const gnutls_datum_t *der, bool openssl, char out[static 100])
{
	uint8_t digest[TLS_FINGERPRINT_SIZE];
	size_t size = sizeof(digest);

	assert_int_equal(gnutls_fingerprint(GNUTLS_DIG_SHA256, der, digest, &size), 0);
	for (size_t i = 0; i < size; i++)
		out += openssl ? sprintf(out, "%s%02X", i > 0 ? ":" : "", digest[i]) : sprintf(out, "%02x", digest[i]);
}

static void fingerprints_are_of_one_certificate(void **state)
{
	gnutls_datum_t der = certificate("same", NULL, NULL), other = certificate("other", NULL, NULL);
	char plain[100], colons[100], both[300];

	(void)state;
	fingerprint(&der, false, plain);
	fingerprint(&der, true, colons);
	assert_true(has(NULL, plain, &der));
	assert_true(has(NULL, colons, &der));
	assert_false(has(NULL, plain, &other));
	assert_true(has("nobody", plain, &der));
	assert_false(has("nobody", plain, &other));
	assert_true(has("other", plain, &other));
	fingerprint(&other, true, colons);
	snprintf(both, sizeof(both), "%s,%s", plain, colons);
	assert_true(has(NULL, both, &der));
	assert_true(has(NULL, both, &other));
	gnutls_free(der.data);
	gnutls_free(other.data);
}

static void without_lists_everybody_is_let_in(void **state)
{
	gnutls_datum_t der = certificate(NULL, NULL, NULL);

	(void)state;
	assert_true(has(NULL, NULL, &der));
	gnutls_free(der.data);
}

static void what_is_no_fingerprint_is_told(void **state)
{
	static const char *const bad[] = {
		"0123", "zz23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
		"0:123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef:",
	};
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct tls_shared *shared = tls_shared_new(10, 60);
	char want[400];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o.allowed_fingerprints = bad[i];
		assert_null(tls_load(&o, shared, world_err, sizeof(world_err)));
		snprintf(want, sizeof(want), "--allowed-fingerprints: '%s' is no SHA-256 fingerprint, which has 64 "
			 "hexadecimal digits; get one with: openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE",
			 bad[i]);
		assert_string_equal(world_err, want);
	}
	o = usual(VERIFY_CLIENT_NONE);
	o.allowed_names = "x";
	assert_null(tls_load(&o, shared, world_err, sizeof(world_err)));
	assert_string_equal(world_err, "--allowed-names is of no use while clients are not asked for certificates; give "
				       "--verify-client required or optional");
	tls_shared_free(shared);
}

static void who_is_not_allowed_gets_access_denied(void **state)
{
	enum verify_client modes[] = { VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct tls_options o = usual(modes[i]);
		struct talk t = { .cert = &nameless }, u = { .cert = &client }, v = { .cert = &expired };
		struct talk psk = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY };
		struct fixture f;

		o.allowed_names = "device-*.example,late";
		f = start(&o);
		assert_true(talk(f.tls, &t));
		assert_false(talk(f.tls, &u));
		assert_string_equal(u.why, "client certificate refused: it is none of those that are allowed "
					   "(CN=client,O=Example)");
		assert_int_equal(u.alert, GNUTLS_A_ACCESS_DENIED);
		assert_false(talk(f.tls, &v));
		assert_int_equal(v.alert, GNUTLS_A_CERTIFICATE_EXPIRED);
		assert_true(talk(f.tls, &psk));
		forget(&t);
		forget(&psk);
		stop(&f);
	}
}

static void who_is_not_allowed_any_more_does_not_resume(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED);
	struct talk t = { .cert = &client }, u = t;
	struct fixture f;
	struct tls *again;

	(void)state;
	o.allowed_names = "client";
	f = start(&o);
	assert_true(talk(f.tls, &t));
	o.allowed_names = "other";
	again = load(&o, f.shared);
	u.resume = &t.session_data;
	assert_false(talk(again, &u));
	assert_int_equal(u.alert, GNUTLS_A_ACCESS_DENIED);
	forget(&t);
	tls_unref(again);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_compared_with_patterns_of_the_shell),
		cmocka_unit_test(a_name_with_a_nul_inside_fits_nothing),
		cmocka_unit_test(a_name_too_long_to_look_at_fits_nothing_and_hides_no_other),
		cmocka_unit_test(fingerprints_are_of_one_certificate),
		cmocka_unit_test(without_lists_everybody_is_let_in),
		cmocka_unit_test(what_is_no_fingerprint_is_told),
		cmocka_unit_test(who_is_not_allowed_gets_access_denied),
		cmocka_unit_test(who_is_not_allowed_any_more_does_not_resume),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
