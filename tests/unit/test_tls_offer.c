/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tls_offer.h"

#define SERVED "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD:" \
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1"
#define LIST(text) { (const uint8_t *)(text), sizeof(text) - 1 }

static const char *explain(const struct tls_offer *o)
{
	static char buf[400];
	gnutls_priority_t served;

	assert_int_equal(gnutls_priority_init(&served, SERVED, NULL), 0);
	strcpy(buf, "none in common");
	tls_offer_explain_suites(o, served, buf, sizeof(buf));
	gnutls_priority_deinit(served);
	return buf;
}

static void says_what_does_not_fit(void **state)
{
	static const struct {
		struct tls_offer offer;
		const char *words;
	} cases[] = {
		{ { .suites = { NULL, 0 } }, "none in common; of these it offers nothing" },
		{ { .suites = LIST("\xc0\x09\x00\x2f") }, "none in common; of these it offers nothing" }, /* CBC */
		{ { .suites = LIST("\xc0\x2f\x00\x9c\xc0\x30\x00\xa8\xfa\xfa\xc0") }, /* half a suite at the end */
		  "none in common; of these it offers RSA, ECDHE-RSA, PSK" },
		{ { .suites = LIST("\xc0\x2c\x00\xa8") },
		  "none in common; of these it offers ECDHE-ECDSA, PSK, but with other ciphers than the service's priority has" },
		{ { .suites = LIST("\xc0\x2b"), .groups = LIST("\x00\x1e\x00\x19\xfa\xfa\x00") },
		  "no elliptic curve in common; the client should offer X25519 or P-256; it offers SECP521R1, X448" },
		{ { .suites = LIST("\xc0\x2b"), .groups = LIST("\xfa\xfa") },
		  "no elliptic curve in common; the client should offer X25519 or P-256; it offers others" },
		{ { .suites = LIST("\xc0\x2b"), .groups = LIST("\x00\x1d"),
		    .signatures = LIST("\x04\x01\x05\x01\x08\x04\x08\x07\x02\x02\x03") },
		  "the service has no key that the client takes; it takes X.509 certificates, and signatures with RSA, "
		  "RSA-PSS, EdDSA, DSA" },
		{ { .suites = LIST("\xc0\x2b"), .server_types = LIST("\x02") },
		  "the service has no key that the client takes; it takes raw public keys, and signatures with RSA or ECDSA "
		  "with SHA-1" },
		{ { .suites = LIST("\xc0\x2b"), .server_types = LIST("\x02\x00"), .signatures = LIST("\x04\x03") },
		  "the service has no key that the client takes; it takes X.509 certificates and raw public keys, and "
		  "signatures with ECDSA" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(explain(&cases[i].offer), cases[i].words);
}

static void names_the_protocols_that_are_asked_for(void **state)
{
	const struct tls_offer o = { .protocols = LIST("\x02h3\x03" "a\nb\x09x") }, none = { .protocols = { NULL, 0 } };
	char buf[100] = "none", small[12] = "none";

	(void)state;
	tls_offer_explain_protocols(&none, buf, sizeof(buf));
	assert_string_equal(buf, "none");
	tls_offer_explain_protocols(&o, buf, sizeof(buf));
	assert_string_equal(buf, "none: the client asks for h3, a\\x0ab, ");
	tls_offer_explain_protocols(&o, small, sizeof(small));
	assert_string_equal(small, "none: the c");
}

/* version, random, session ID, cookie, suites, compression, extensions */
#define HEAD "\xfe\xfd" "0123456789abcdef0123456789abcdef" "\x02ID" "\x03" "CKY" "\x00\x04\xc0\x2b\x00\xa8" "\x01\x00"
#define GROUPS "\x00\x0a\x00\x04\x00\x02\x00\x1d"
#define OTHER "\xff\x01\x00\x01\x00"
#define PROTOCOLS "\x00\x10\x00\x05\x00\x03\x02h3"
#define SIGNATURES "\x00\x0d\x00\x04\x00\x02\x04\x03"
#define TYPES "\x00\x14\x00\x02\x01\x02"
#define HELLO HEAD "\x00\x24" GROUPS OTHER PROTOCOLS SIGNATURES TYPES

static void assert_list(const struct tls_offer_list *l, const char *bytes, size_t len)
{
	assert_int_equal(l->len, len);
	assert_memory_equal(l->data, bytes, len);
}

static void reads_a_hello(void **state)
{
	static const uint8_t hello[] = HELLO;
	struct tls_offer o;

	(void)state;
	tls_offer_parse(&o, hello, sizeof(hello) - 1);
	assert_list(&o.suites, "\xc0\x2b\x00\xa8", 4);
	assert_list(&o.groups, "\x00\x1d", 2);
	assert_list(&o.signatures, "\x04\x03", 2);
	assert_list(&o.protocols, "\x02h3", 3);
	assert_list(&o.server_types, "\x02", 1);
}

/* Each in memory of its own, where a sanitizer sees what is read behind its end. */
static void a_hello_that_is_cut_or_lies_offers_less(void **state)
{
	static const uint8_t hello[] = HELLO;
	const size_t len = sizeof(hello) - 1;
	struct tls_offer o;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		uint8_t *cut = test_malloc(n + 1);

		memcpy(cut, hello, n);
		tls_offer_parse(&o, cut, n);
		assert_int_equal(o.server_types.len, 0);
		test_free(cut);
	}
	for (size_t i = 0; i < len; i++) {
		uint8_t *lie = test_malloc(len);

		memcpy(lie, hello, len);
		lie[i] = 0xff;
		tls_offer_parse(&o, lie, len);
		assert_true(strlen(explain(&o)) > strlen("none in common"));
		test_free(lie);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_does_not_fit),
		cmocka_unit_test(names_the_protocols_that_are_asked_for),
		cmocka_unit_test(reads_a_hello),
		cmocka_unit_test(a_hello_that_is_cut_or_lies_offers_less),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
