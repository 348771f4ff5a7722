/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_grant: who would still come in after a reload, by what was kept of a handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tls_world.h"

static const struct talk BY_CERT = { .cert = &client };
static const struct talk BY_PSK = { .priority = GNUTLS_12 "+PSK", .psk_user = "alice", .psk_key = ALICE_KEY };
static const struct talk BY_NOBODY = { .cert = NULL };

static enum tls_grant_verdict check(const struct tls *tls, const struct talk *t)
{
	return tls_grant_check(tls_grants(tls), t->grant.size > 0 ? t->grant.certificate : NULL, t->grant.psk,
			       t->identity);
}

static bool holds(const struct tls *tls, const struct talk *t)
{
	return check(tls, t) == TLS_GRANT_GOOD;
}

/* Who came in with the one and asks again with the other. */
static void assert_after(const struct tls_options *before, const struct tls_options *after, struct talk like, bool stays)
{
	struct fixture f = start(before);
	struct tls *again = load(after, f.shared);

	assert_true(talk(f.tls, &like));
	assert_true(holds(f.tls, &like));
	assert_int_equal(holds(again, &like), stays);
	forget(&like);
	tls_unref(again);
	stop(&f);
}

static void everybody_stays_when_nothing_that_matters_changes(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_OPTIONAL), other = o;

	(void)state;
	other.x509certfile = path("rsa.pem");
	other.x509keyfile = path("rsa.key");
	assert_after(&o, &other, BY_CERT, true);
	assert_after(&o, &other, BY_PSK, true);
	assert_after(&o, &other, BY_NOBODY, true);
}

static void a_key_that_is_gone_or_another_does_not_hold(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_NONE), gone = o, other = o, more = o, none = o;

	(void)state;
	gone.pskpasswd = write_text("psk-gone", "bob:00\n");
	other.pskpasswd = write_text("psk-other", "alice:00112233445566778899aabbccddeefe\n");
	more.pskpasswd = write_text("psk-more", "bob:00\n# new\nalice:" ALICE_KEY "\n");
	none.pskpasswd = NULL;
	assert_after(&o, &gone, BY_PSK, false);
	assert_after(&o, &other, BY_PSK, false);
	assert_after(&o, &more, BY_PSK, true);
	assert_after(&o, &none, BY_PSK, false);
}

/* It is asked about who is not in the file, and where it is not any more, these are gone. */
static void what_only_a_program_knows_it_is_asked_about(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_NONE), asks = o, both = o, other = o;
	struct fixture f = start(&o);
	struct talk t = BY_PSK, nobody = BY_NOBODY;
	struct tls *tls;

	(void)state;
	asks.psk_socket = both.psk_socket = other.psk_socket = "/tmp/dtlsd-nobody-is-there";
	asks.pskpasswd = NULL;
	other.pskpasswd = write_text("psk-other-key", "alice:00\n");
	assert_true(talk(f.tls, &t));
	assert_true(talk(f.tls, &nobody));
	tls = load(&asks, f.shared);
	assert_int_equal(check(tls, &t), TLS_GRANT_ASK);
	assert_int_equal(check(tls, &nobody), TLS_GRANT_GOOD);
	tls_unref(tls);
	tls = load(&both, f.shared);
	assert_int_equal(check(tls, &t), TLS_GRANT_GOOD);
	tls_unref(tls);
	tls = load(&other, f.shared);
	assert_int_equal(check(tls, &t), TLS_GRANT_VOID);
	tls_unref(tls);
	forget(&t);
	forget(&nobody);
	stop(&f);
}

static void identities_of_any_bytes_are_found_again(void **state)
{
	static unsigned char name[] = { 'a', 0, '\\', 'x', 0xff, '\n', 'b' };
	struct talk t = { .priority = GNUTLS_12 "+PSK", .psk_key = "1111111111111111", .psk_raw_user = { name, sizeof(name) } };
	struct tls_options o = usual(VERIFY_CLIENT_NONE), other = o;

	(void)state;
	o.pskpasswd = write_text("psk-bytes", "#61005c78ff0a62:1111111111111111\n");
	other.pskpasswd = write_text("psk-bytes-other", "#61005c78ff0a62:1111111111111112\n");
	assert_after(&o, &o, t, true);
	assert_after(&o, &other, t, false);
}

static void a_revoked_certificate_does_not_hold(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), revoked = o, others = o;

	(void)state;
	save_crl("crl-client.pem", &ca, &client, -1, 1);
	save_crl("crl-server.pem", &ca, &server, -1, 1);
	revoked.x509crlfile = path("crl-client.pem");
	others.x509crlfile = path("crl-server.pem");
	assert_after(&o, &revoked, BY_CERT, false);
	assert_after(&o, &others, BY_CERT, true);
}

static void a_certificate_of_a_ca_that_is_gone_does_not_hold(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_OPTIONAL), other = o, both = o, none = o;

	(void)state;
	other.x509cafile = path("foreign-ca.pem");
	save_crt("grant-cas.pem", (const struct identity *const[]){ &foreign_ca, &ca }, 2);
	both.x509cafile = path("grant-cas.pem");
	none.x509cafile = NULL;
	none.verify_client = VERIFY_CLIENT_NONE;
	assert_after(&o, &other, BY_CERT, false);
	assert_after(&o, &both, BY_CERT, true);
	assert_after(&o, &none, BY_CERT, false);
	assert_after(&o, &other, BY_NOBODY, true);
}

/* Beside its own certificate a client may send what it likes. */
static void nobody_is_vouched_for_by_what_has_not_signed_his_certificate(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), without = o, chain = o;
	struct identity like_foreign = make_ec(&foreign_ca, "CN=Foreign CA", NULL); /* subject and issuer */
	struct identity like_ca = make_ec(&like_foreign, "CN=Test CA", NULL);
	struct identity member = make_ec(&intermediate, "CN=member", GNUTLS_KP_TLS_WWW_CLIENT);
	const struct identity *beside[] = { &foreign, &foreign_ca, &like_ca, &like_foreign };

	(void)state;
	save_crt("beside-cas.pem", (const struct identity *const[]){ &ca, &foreign_ca }, 2);
	o.x509cafile = path("beside-cas.pem");
	without.x509cafile = path("foreign-ca.pem");
	chain.x509cafile = path("ca.pem");
	for (unsigned i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		struct fixture f = start(&o);
		struct tls *again = load(&without, f.shared);
		struct talk t = BY_CERT;

		t.beside = beside[i];
		assert_int_equal(talk(f.tls, &t), beside[i] != &like_ca); /* which GnuTLS takes for the issuer */
		assert_false(holds(again, &t));
		forget(&t);
		tls_unref(again);
		stop(&f);
	}
	assert_after(&chain, &o, (struct talk){ .cert = &member, .beside = &intermediate }, true);
	assert_after(&o, &without, (struct talk){ .cert = &member, .beside = &intermediate }, false);
	gnutls_x509_crt_deinit(like_foreign.crt);
	gnutls_x509_privkey_deinit(like_foreign.key);
	gnutls_x509_crt_deinit(member.crt);
	gnutls_x509_privkey_deinit(member.key);
	gnutls_x509_crt_deinit(like_ca.crt);
	gnutls_x509_privkey_deinit(like_ca.key);
}

static void a_certificate_that_is_in_the_ca_file_itself_holds_while_it_is(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), more = o, without = o;

	(void)state;
	save_crt("pinned.pem", (const struct identity *const[]){ &client }, 1);
	save_crt("pinned-more.pem", (const struct identity *const[]){ &foreign_ca, &client }, 2);
	o.x509cafile = path("pinned.pem");
	more.x509cafile = path("pinned-more.pem");
	without.x509cafile = path("foreign-ca.pem");
	assert_after(&o, &more, BY_CERT, true);
	assert_after(&o, &without, BY_CERT, false);
}

static void of_two_cas_of_one_name_it_is_the_one_that_has_signed(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), without = o;
	struct identity older = make_ec(&ca, "CN=Test CA", NULL);

	(void)state;
	save_crt("two-cas.pem", (const struct identity *const[]){ &older, &ca }, 2);
	save_crt("older-ca.pem", (const struct identity *const[]){ &older }, 1);
	o.x509cafile = path("two-cas.pem");
	without.x509cafile = path("older-ca.pem");
	assert_after(&o, &without, BY_CERT, false);
	without.x509cafile = path("ca.pem");
	assert_after(&o, &without, BY_CERT, true);
	gnutls_x509_crt_deinit(older.crt);
	gnutls_x509_privkey_deinit(older.key);
}

static void a_ca_with_a_key_of_an_unknown_kind_is_no_harm(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), without = o;
	char text[8192];
	size_t len = 0;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		FILE *f = fopen(path(i ? "ca.pem" : "odd-ca.pem"), "r");

		assert_non_null(f);
		len += fread(text + len, 1, sizeof(text) - len, f);
		fclose(f);
	}
	o.x509cafile = write_file("odd-cas.pem", text, len);
	without.x509cafile = path("foreign-ca.pem");
	assert_after(&o, &o, BY_CERT, true);
	assert_after(&o, &without, BY_CERT, false);
}

static void names_and_fingerprints_decide_anew(void **state)
{
	static const char other_print[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct tls_options o = usual(VERIFY_CLIENT_REQUIRED), fits = o, other = o, print = o, wrong_print = o;
	gnutls_datum_t der;
	uint8_t raw[32];
	char hex[65];
	size_t size = sizeof(raw);

	(void)state;
	assert_int_equal(gnutls_x509_crt_export2(client.crt, GNUTLS_X509_FMT_DER, &der), 0);
	assert_int_equal(gnutls_fingerprint(GNUTLS_DIG_SHA256, &der, raw, &size), 0);
	gnutls_free(der.data);
	for (size_t i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", raw[i]);
	fits.allowed_names = "x,cli*";
	other.allowed_names = "x,server*";
	print.allowed_fingerprints = hex;
	wrong_print.allowed_fingerprints = other_print;
	assert_after(&o, &fits, BY_CERT, true);
	assert_after(&o, &other, BY_CERT, false);
	assert_after(&o, &print, BY_CERT, true);
	assert_after(&o, &wrong_print, BY_CERT, false);
	assert_after(&fits, &print, BY_CERT, true);
	assert_after(&print, &o, BY_CERT, true);
	assert_after(&print, &other, BY_CERT, false);
}

static void who_showed_nothing_does_not_stay_where_a_certificate_is_required(void **state)
{
	struct tls_options o = usual(VERIFY_CLIENT_OPTIONAL), required = usual(VERIFY_CLIENT_REQUIRED);

	(void)state;
	assert_after(&o, &required, BY_NOBODY, false);
	assert_after(&o, &required, BY_CERT, true);
	assert_after(&o, &required, BY_PSK, true);
}

static void a_resumed_session_is_asked_for_the_same(void **state)
{
	static const struct talk *const like[] = { &BY_CERT, &BY_PSK };
	struct tls_options o = usual(VERIFY_CLIENT_OPTIONAL), without = o;

	(void)state;
	without.x509cafile = path("foreign-ca.pem");
	without.pskpasswd = path("psk-bob");
	for (unsigned i = 0; i < 2; i++) {
		struct fixture f = start(&o);
		struct tls *again;
		struct talk t = *like[i], u = t;

		assert_true(talk(f.tls, &t));
		u.resume = &t.session_data;
		assert_true(talk(f.tls, &u));
		assert_true(u.resumed);
		assert_int_equal(u.grant.size, t.grant.size);
		assert_memory_equal(u.grant.certificate, t.grant.certificate, t.grant.size);
		assert_int_equal(u.grant.psk, t.grant.psk);
		assert_true(holds(f.tls, &u));
		again = load(&without, f.shared);
		assert_false(holds(again, &u));
		forget(&t);
		forget(&u);
		tls_unref(again);
		stop(&f);
	}
}

static void little_is_kept(void **state)
{
	struct fixture f = start_usual(VERIFY_CLIENT_OPTIONAL);
	struct talk cert = BY_CERT, psk = BY_PSK, nobody = BY_NOBODY;

	(void)state;
	assert_true(talk(f.tls, &cert));
	assert_true(talk(f.tls, &psk));
	assert_true(talk(f.tls, &nobody));
	assert_in_range(cert.grant.size, 24, 64);
	assert_int_equal(psk.grant.size, 0);
	assert_int_equal(nobody.grant.size, 0);
	assert_int_equal(nobody.grant.psk, 0);
	forget(&cert);
	forget(&psk);
	forget(&nobody);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_stays_when_nothing_that_matters_changes),
		cmocka_unit_test(a_key_that_is_gone_or_another_does_not_hold),
		cmocka_unit_test(what_only_a_program_knows_it_is_asked_about),
		cmocka_unit_test(identities_of_any_bytes_are_found_again),
		cmocka_unit_test(a_revoked_certificate_does_not_hold),
		cmocka_unit_test(a_certificate_of_a_ca_that_is_gone_does_not_hold),
		cmocka_unit_test(nobody_is_vouched_for_by_what_has_not_signed_his_certificate),
		cmocka_unit_test(a_certificate_that_is_in_the_ca_file_itself_holds_while_it_is),
		cmocka_unit_test(of_two_cas_of_one_name_it_is_the_one_that_has_signed),
		cmocka_unit_test(a_ca_with_a_key_of_an_unknown_kind_is_no_harm),
		cmocka_unit_test(names_and_fingerprints_decide_anew),
		cmocka_unit_test(who_showed_nothing_does_not_stay_where_a_certificate_is_required),
		cmocka_unit_test(a_resumed_session_is_asked_for_the_same),
		cmocka_unit_test(little_is_kept),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
