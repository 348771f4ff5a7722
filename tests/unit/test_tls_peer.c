/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_peer: who the client is, and why it was refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tls_world.h"

/* ---- client certificates ---- */

static void a_client_certificate_names_its_owner(void **state)
{
	enum verify_client modes[] = { VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture f = start_usual(modes[i]);
		struct talk t = { .cert = &client }, n = { .cert = &nameless }, ip = { .cert = &with_ip };

		assert_true(talk(f.tls, &t));
		assert_string_equal(t.identity, "CN=client,O=Example");
		assert_true(talk(f.tls, &n));
		assert_string_equal(n.identity, "device-7.example");
		assert_true(talk(f.tls, &ip));
		assert_string_equal(ip.identity, "192.0.2.7");
		forget(&ip);
		forget(&t);
		forget(&n);
		stop(&f);
	}
}

/* A CA may put anything in. U+202E turns round what follows it in a terminal. */
static void a_name_is_safe_in_a_log(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED);
	struct identity odd = make_ec(&ca, "CN=\xc3\xa9\xe2\x80\xae" "b", GNUTLS_KP_TLS_WWW_CLIENT);
	struct talk t = { .cert = &odd };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_string_equal(t.identity, "CN=\xc3\xa9\\xe2\\x80\\xaeb");
	forget(&t);
	gnutls_x509_crt_deinit(odd.crt);
	gnutls_x509_privkey_deinit(odd.key);
	stop(&f);
}

static bool has_name(const struct talk *t, const char *name)
{
	for (const char *at = t->names.text; *at; at += strlen(at) + 1)
		if (strcmp(at, name) == 0)
			return true;
	return false;
}

static void rules_see_all_names_of_a_client(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_OPTIONAL);
	struct talk t = { .cert = &client }, n = { .cert = &nameless }, ip = { .cert = &with_ip }, nobody = { 0 };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_true(has_name(&t, "CN=client,O=Example"));
	assert_true(has_name(&t, "client"));
	assert_int_equal(strlen(t.names.text), strlen("sha256:") + 64);
	assert_memory_equal(t.names.text, "sha256:", 7);
	assert_true(talk(f.tls, &n));
	assert_true(has_name(&n, "device-7.example"));
	assert_string_not_equal(n.names.text, t.names.text);
	assert_true(talk(f.tls, &ip));
	assert_true(has_name(&ip, "192.0.2.7"));
	assert_true(talk(f.tls, &nobody));
	assert_int_equal(nobody.names.len, 0);
	assert_string_equal(nobody.names.text, "");
	assert_false(t.names.cut || n.names.cut || ip.names.cut || nobody.names.cut);
	forget(&t);
	forget(&n);
	forget(&ip);
	forget(&nobody);
	stop(&f);
}

static void a_client_certificate_is_not_asked_for_under_none(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { .cert = &foreign };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_null(t.identity);
	forget(&t);
	stop(&f);
}

static void no_client_certificate_is_fine_when_optional_only(void **state)
{
	struct fixture optional = start_usual(VERIFY_CLIENT_OPTIONAL);
	struct fixture required = start_usual(VERIFY_CLIENT_REQUIRED);
	struct talk t = { 0 }, u = { 0 };

	(void)state;
	assert_true(talk(optional.tls, &t));
	assert_null(t.identity);
	assert_false(talk(required.tls, &u));
	assert_string_equal(u.why, "the client sent no certificate, but --verify-client required wants one");
	assert_int_equal(u.alert, GNUTLS_A_HANDSHAKE_FAILURE);
	forget(&t);
	stop(&optional);
	stop(&required);
}

static void a_bad_client_certificate_is_refused_with_cause_and_alert(void **state)
{
	static const struct {
		const struct identity *cert;
		const char *why;
		gnutls_alert_description_t alert;
	} cases[] = {
		{ &expired, "client certificate refused: it has expired (CN=late)",
		  GNUTLS_A_CERTIFICATE_EXPIRED },
		{ &foreign, "client certificate refused: its issuer is not in the CA file (CN=stranger)",
		  GNUTLS_A_UNKNOWN_CA },
		{ &wrong_purpose,
		  "client certificate refused: its extended key usage does not allow TLS clients "
		  "(CN=a server)",
		  GNUTLS_A_UNSUPPORTED_CERTIFICATE },
	};
	enum verify_client modes[] = { VERIFY_CLIENT_OPTIONAL, VERIFY_CLIENT_REQUIRED };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f = start_usual(modes[i % 2]);
		struct talk t = { .cert = cases[i / 2].cert };

		assert_false(talk(f.tls, &t));
		assert_string_equal(t.why, cases[i / 2].why);
		assert_int_equal(t.alert, cases[i / 2].alert);
		stop(&f);
	}
}

static void nobody_goes_by_a_name_that_looks_like_another_kind_of_identity(void **state)
{
	static const char *const names[] = { "psk:alice", "rpk:sha256:00", "sha256:00", "CN=admin" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fixture f = start_usual(VERIFY_CLIENT_REQUIRED);
		struct identity id = make_ec(&ca, NULL, NULL);
		struct talk t = { .cert = &id };

		assert_int_equal(gnutls_x509_crt_set_subject_alt_name(id.crt, GNUTLS_SAN_URI, names[i],
								      (unsigned)strlen(names[i]), GNUTLS_FSAN_SET), 0);
		assert_int_equal(gnutls_x509_crt_sign2(id.crt, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0), 0);
		assert_true(talk(f.tls, &t));
		assert_null(t.identity);
		forget(&t);
		gnutls_x509_crt_deinit(id.crt);
		gnutls_x509_privkey_deinit(id.key);
		stop(&f);
	}
}

static void a_revoked_client_is_refused_and_its_session_not_resumed(void **state)
{
	struct tls_options before = usual(VERIFY_CLIENT_REQUIRED), after = before;
	struct talk t = { .cert = &client }, u = t, v = { .cert = &nameless };
	struct fixture f;
	struct tls *again;

	(void)state;
	save_crl("none-crl.pem", &ca, NULL, -1, 10);
	save_crl("client-crl.pem", &ca, &client, -1, 10);
	before.x509crlfile = path("none-crl.pem");
	after.x509crlfile = path("client-crl.pem");
	f = start(&before);
	assert_true(talk(f.tls, &t));
	again = load(&after, f.shared);
	u.resume = &t.session_data;
	assert_false(talk(again, &u));
	assert_string_equal(u.why, "client certificate refused: it is revoked (CN=client,O=Example)");
	assert_int_equal(u.alert, GNUTLS_A_CERTIFICATE_REVOKED);
	assert_true(talk(again, &v));
	forget(&t);
	forget(&v);
	tls_unref(again);
	stop(&f);
}

static void a_revocation_list_out_of_date_still_revokes(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_OPTIONAL);
	struct talk t = { .cert = &client }, u = { .cert = &nameless };
	struct fixture f;

	(void)state;
	save_crl("late-crl.pem", &ca, &client, -3, -1);
	o.x509crlfile = path("late-crl.pem");
	f = start(&o);
	assert_false(talk(f.tls, &t));
	assert_string_equal(t.why, "client certificate refused: it is revoked (CN=client,O=Example)");
	assert_true(talk(f.tls, &u));
	forget(&u);
	stop(&f);
}

/* ---- failures ---- */

static void explains_what_keeps_the_two_apart(void **state)
{
	static const struct {
		const char *priority;
		const char *why;
		gnutls_alert_description_t alert;
	} cases[] = {
		{ "NORMAL:-VERS-ALL:+VERS-DTLS1.0",
		  "the client offers DTLS 1.0 only; DTLS 1.2 is needed: update or "
		  "configure it",
		  GNUTLS_A_PROTOCOL_VERSION },
		{ "NORMAL:-CIPHER-ALL:+AES-128-CBC",
		  "no cipher suite in common; the client must offer AES-GCM, AES-CCM or "
		  "ChaCha20-Poly1305 with the service's kind of certificate, or a pre-shared key",
		  GNUTLS_A_HANDSHAKE_FAILURE },
		{ GNUTLS_12 "+ECDHE-RSA",
		  "no cipher suite in common; the client must offer AES-GCM, AES-CCM or "
		  "ChaCha20-Poly1305 with the service's kind of certificate, or a pre-shared key",
		  GNUTLS_A_HANDSHAKE_FAILURE },
	};
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk t = { .priority = cases[i].priority };

		assert_false(talk(f.tls, &t));
		assert_string_equal(t.why, cases[i].why);
		assert_int_equal(t.alert, cases[i].alert);
	}
	stop(&f);
}

static void explains_the_alert_that_came(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { 0 };

	(void)state;
	talk_start(f.tls, &t);
	step(&t.client);
	step(&t.server);
	gnutls_alert_send(t.client.session, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_CA);
	step(&t.server);
	assert_int_equal(t.server.rc, GNUTLS_E_FATAL_ALERT_RECEIVED);
	note_failure(&t);
	assert_string_equal(t.why,
			    "the client sent the fatal alert UNKNOWN_CA (48); it does not have the CA of "
			    "this server's certificate");
	talk_end(&t);
	stop(&f);
}

static void explains_a_time_out_by_what_came_last(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { 0 };

	(void)state;
	talk_start(f.tls, &t);
	step(&t.client);
	step(&t.server);
	note_failure(&t);
	assert_string_equal(t.why, "timed out; the client's last message was CLIENT HELLO");
	talk_end(&t);
	stop(&f);
}

static void every_error_has_a_phrase_that_fits_a_small_buffer(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct tls_report report;
	gnutls_session_t s;
	char buf[20];

	(void)state;
	assert_int_equal(tls_session_new(f.tls, &report, &s), 0);
	for (int e = -1; e > -450; e--) {
		assert_ptr_equal(tls_explain(e, s, &report, buf, sizeof(buf)), buf);
		assert_true(strlen(buf) > 3 && strlen(buf) < sizeof(buf));
	}
	gnutls_deinit(s);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_certificate_names_its_owner),
		cmocka_unit_test(a_name_is_safe_in_a_log),
		cmocka_unit_test(rules_see_all_names_of_a_client),
		cmocka_unit_test(a_client_certificate_is_not_asked_for_under_none),
		cmocka_unit_test(no_client_certificate_is_fine_when_optional_only),
		cmocka_unit_test(a_bad_client_certificate_is_refused_with_cause_and_alert),
		cmocka_unit_test(nobody_goes_by_a_name_that_looks_like_another_kind_of_identity),
		cmocka_unit_test(a_revoked_client_is_refused_and_its_session_not_resumed),
		cmocka_unit_test(a_revocation_list_out_of_date_still_revokes),
		cmocka_unit_test(explains_what_keeps_the_two_apart),
		cmocka_unit_test(explains_the_alert_that_came),
		cmocka_unit_test(explains_a_time_out_by_what_came_last),
		cmocka_unit_test(every_error_has_a_phrase_that_fits_a_small_buffer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
