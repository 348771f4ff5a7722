/* SPDX-License-Identifier: BSD-2-Clause */
/* tls: whole handshakes with what a service is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tls_world.h"

static void ecdhe_ecdsa_prefers_gcm_and_x25519(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk t = { .priority = "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305:+AES-128-GCM:-GROUP-ALL:"
				      "+GROUP-SECP256R1:+GROUP-X25519" };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_int_equal(t.kx, GNUTLS_KX_ECDHE_ECDSA);
	assert_int_equal(t.cipher, GNUTLS_CIPHER_AES_128_GCM);
	assert_int_equal(t.group, GNUTLS_GROUP_X25519);
	assert_int_equal(t.version, GNUTLS_DTLS1_2);
	assert_int_equal(t.report.client_version, 0xfefd);
	assert_string_equal(t.report.cause, "");
	assert_false(t.resumed);
	assert_null(t.identity);
	forget(&t);
	stop(&f);
}

static void ecdhe_rsa(void **state)
{
	struct tls_options o = { .x509certfile = path("rsa.pem"), .x509keyfile = path("rsa.key") };
	struct fixture f = start(&o);
	struct talk t = { 0 };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_int_equal(t.kx, GNUTLS_KX_ECDHE_RSA);
	forget(&t);
	stop(&f);
}

static void a_chain_with_an_intermediate(void **state)
{
	struct tls_options o = { .x509certfile = path("chain.pem"), .x509keyfile = path("leaf.key") };
	struct fixture f = start(&o);
	struct talk t = { 0 };
	unsigned n = 0;

	(void)state;
	talk_start(f.tls, &t);
	assert_true(talk_finish(&t));
	assert_non_null(gnutls_certificate_get_peers(t.client.session, &n));
	assert_int_equal(n, 2);
	talk_end(&t);
	forget(&t);
	stop(&f);
}

static void every_cipher_that_the_record_layer_has(void **state)
{
	static const char *const names[] = { "AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305", "AES-128-CCM",
					     "AES-128-CCM-8" };
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char priority[100];
		struct talk t = { .priority = priority };

		snprintf(priority, sizeof(priority), "NORMAL:-CIPHER-ALL:+%s", names[i]);
		assert_true(talk(f.tls, &t));
		assert_string_equal(gnutls_cipher_get_name(t.cipher), names[i]);
		forget(&t);
	}
	stop(&f);
}

static void of_several_certificates_the_client_gets_the_one_it_can_verify_by_name(void **state)
{
	static const struct {
		const char *priority, *name, *cn;
	} cases[] = {
		{ NULL, NULL, "server" },
		{ NULL, "other.example", "other.example" },
		{ NULL, "nobody.example", "server" },
		{ "NORMAL:-KX-ALL:+ECDHE-RSA", NULL, "rsa server" },
		{ "NORMAL:-KX-ALL:+ECDHE-RSA", "other.example", "rsa server" },
		{ "NORMAL:-SIGN-ALL:+SIGN-RSA-SHA256", NULL, "rsa server" },
		{ "NORMAL:-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-ECDSA-SHA256", NULL, "server" },
		{ "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA256", "other.example", "other.example" },
		{ "NORMAL:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP384R1", NULL, "rsa server" }, /* P-256 is not known */
		{ "NORMAL:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1", NULL, "server" },
		/* who takes no RSA either */
		{ "NORMAL:-KX-ALL:+ECDHE-ECDSA:-GROUP-ALL:+GROUP-X25519", NULL, "server" },
		{ "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA256:-GROUP-ALL:+GROUP-X25519", NULL, "server" },
	};
	char certs[300], keys[300];
	struct tls_options o = { .x509certfile = certs, .x509keyfile = keys };
	struct fixture f;

	(void)state;
	snprintf(certs, sizeof(certs), "%s,%s,%s", path("rsa.pem"), path("server.pem"), path("other.pem"));
	snprintf(keys, sizeof(keys), "%s,%s,%s", path("rsa.key"), path("server.key"), path("other.key"));
	f = start(&o);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk t = { .priority = cases[i].priority, .server_name = cases[i].name };

		assert_true(talk(f.tls, &t));
		assert_string_equal(t.server_cn, cases[i].cn);
		forget(&t);
	}
	stop(&f);
}

static void psk_and_ecdhe_psk(void **state)
{
	struct tls_options o = { .pskpasswd = path("psk") };
	struct fixture f = start(&o);
	struct talk plain = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY };
	struct talk ecdhe = { .priority = GNUTLS_12 "+ECDHE-PSK", .psk_user = "alice", .psk_key = ALICE_KEY };
	struct talk both = { .priority = GNUTLS_12 "+PSK:+ECDHE-PSK",
			     .psk_user = "alice",
			     .psk_key = ALICE_KEY };

	(void)state;
	assert_true(talk(f.tls, &plain));
	assert_int_equal(plain.kx, GNUTLS_KX_PSK);
	assert_string_equal(plain.identity, "psk:alice");
	assert_true(talk(f.tls, &ecdhe));
	assert_int_equal(ecdhe.kx, GNUTLS_KX_ECDHE_PSK);
	assert_string_equal(ecdhe.identity, "psk:alice");
	assert_true(talk(f.tls, &both));
	assert_int_equal(both.kx, GNUTLS_KX_ECDHE_PSK); /* forward secrecy first */
	forget(&plain);
	forget(&ecdhe);
	forget(&both);
	stop(&f);
}

/* as "openssl s_client -psk" does */
static void a_client_that_offers_certificates_and_psks_gets_what_there_is(void **state)
{
	struct tls_options psks = { .pskpasswd = path("psk") };
	struct tls_options certs = { .x509certfile = path("server.pem"), .x509keyfile = path("server.key") };
	static const char *const orders[] = { "+ECDHE-ECDSA:+ECDHE-RSA:+RSA:+PSK",
					      "+PSK:+ECDHE-PSK:+RSA:+ECDHE-ECDSA:+ECDHE-RSA" };
	char priority[200];

	(void)state;
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		struct talk with_psk = { .priority = priority, .psk_user = "alice", .psk_key = ALICE_KEY };
		struct talk with_cert = with_psk;
		struct fixture f = start(&psks);

		snprintf(priority, sizeof(priority), GNUTLS_12 "%s", orders[i]);
		assert_true(talk(f.tls, &with_psk));
		assert_string_equal(with_psk.identity, "psk:alice");
		forget(&with_psk);
		stop(&f);
		f = start(&certs);
		assert_true(talk(f.tls, &with_cert));
		assert_int_equal(with_cert.kx, GNUTLS_KX_ECDHE_ECDSA);
		forget(&with_cert);
		stop(&f);
	}
}

static void binary_psk_identities(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	unsigned char raw[] = { 0x00, 0xff, '\\', 'A' };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_raw_user = { raw, sizeof(raw) },
			  .psk_key = "0102030405060708" };

	(void)state;
	assert_true(talk(f.tls, &t));
	assert_string_equal(t.identity, "psk:\\x00\\xff\\x5cA");
	forget(&t);
	stop(&f);
}

static void the_longest_psk_key_and_identity_that_a_file_may_hold_work(void **state)
{
	char text[800], user[129], key[513];
	struct tls_options o = { .pskpasswd = path("psk-long") };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_user = user, .psk_key = key };
	struct fixture f;

	(void)state;
	memset(user, 'u', 128);
	user[128] = '\0';
	memset(key, '4', 512);
	key[512] = '\0';
	snprintf(text, sizeof(text), "%s:%s\n", user, key);
	write_text("psk-long", text);
	f = start(&o);
	assert_true(talk(f.tls, &t));
	forget(&t);
	stop(&f);
}

static void an_unknown_psk_identity_is_not_told_from_a_wrong_key(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct talk unknown = { .priority = GNUTLS_12 "+PSK", .psk_user = "mallory\n", .psk_key = ALICE_KEY };
	struct talk wrong = { .priority = GNUTLS_12 "+PSK",
			      .psk_user = "alice",
			      .psk_key = "ffeeddccbbaa9988" };

	(void)state;
	assert_false(talk(f.tls, &unknown));
	assert_true(unknown.report.psk_unknown);
	assert_string_equal(unknown.why, "PSK identity \"mallory\\x0a\" is not in the PSK file");
	assert_false(talk(f.tls, &wrong));
	assert_false(wrong.report.psk_unknown);
	assert_non_null(strstr(wrong.why, "same PSK"));
	assert_int_equal(unknown.client.rc, wrong.client.rc);
	assert_int_equal(unknown.server.rc, wrong.server.rc);
	assert_int_equal(unknown.alert, wrong.alert);
	stop(&f);
}

static void version_and_ciphers_are_imposed_on_any_priority(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_NONE);
	struct talk cbc = { .priority = "NORMAL:-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC" };
	struct talk old = { .priority = "NORMAL:-VERS-ALL:+VERS-DTLS1.0" }, good = { 0 };
	struct fixture f;

	(void)state;
	o.priority = "NORMAL:+VERS-DTLS1.0:+PSK:+AES-128-CBC:+ARCFOUR-128:-VERS-DTLS1.2";
	f = start(&o);
	assert_false(talk(f.tls, &cbc));
	assert_false(talk(f.tls, &old));
	assert_true(talk(f.tls, &good));
	assert_int_equal(good.version, GNUTLS_DTLS1_2);
	forget(&good);
	stop(&f);
}

static void a_reference_outlives_the_loader(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_NONE);
	struct tls *kept = tls_ref(f.tls);
	struct talk t = { 0 };

	(void)state;
	assert_ptr_equal(kept, f.tls);
	tls_unref(f.tls);
	assert_true(talk(kept, &t));
	forget(&t);
	tls_unref(kept);
	tls_unref(NULL);
	tls_shared_free(f.shared);
	tls_shared_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ecdhe_ecdsa_prefers_gcm_and_x25519),
		cmocka_unit_test(ecdhe_rsa),
		cmocka_unit_test(a_chain_with_an_intermediate),
		cmocka_unit_test(every_cipher_that_the_record_layer_has),
		cmocka_unit_test(of_several_certificates_the_client_gets_the_one_it_can_verify_by_name),
		cmocka_unit_test(psk_and_ecdhe_psk),
		cmocka_unit_test(a_client_that_offers_certificates_and_psks_gets_what_there_is),
		cmocka_unit_test(binary_psk_identities),
		cmocka_unit_test(the_longest_psk_key_and_identity_that_a_file_may_hold_work),
		cmocka_unit_test(an_unknown_psk_identity_is_not_told_from_a_wrong_key),
		cmocka_unit_test(version_and_ciphers_are_imposed_on_any_priority),
		cmocka_unit_test(a_reference_outlives_the_loader),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
