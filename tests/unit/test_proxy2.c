/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proxy2.h"

/* The signature of section 2.2, written out. */
static const char signature[] = "\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

static struct addr udp(const char *text)
{
	struct addr a;
	char err[200];

	assert_int_equal(addr_parse(text, 0, &a, 1, err, sizeof(err)), 1);
	return a;
}

/* out is the signature, these bytes, and nothing more. */
static void check_bytes(const uint8_t *out, size_t len, const char *rest, size_t rest_len)
{
	assert_int_equal(len, 12 + rest_len);
	assert_memory_equal(out, signature, 12);
	assert_memory_equal(out + 12, rest, rest_len);
}

#define CHECK(out, len, rest) check_bytes(out, len, rest, sizeof(rest) - 1)
/* over TLS, without a certificate: 5 bytes */
#define BARE_SSL "\x20\x00\x05\x01\x00\x00\x00\x01"

static void ipv4_is_version_2_proxy_inet_dgram(void **state)
{
	struct flow flow = { udp("192.0.2.1:40000"), udp("198.51.100.7:4433") };
	const struct proxy2 p = { .flow = &flow };
	uint8_t out[PROXY2_MAX];

	(void)state;
	CHECK(out, proxy2_write(&p, out), "\x21\x12\x00\x14\xc0\x00\x02\x01\xc6\x33\x64\x07\x9c\x40\x11\x51" BARE_SSL);
}

static void ipv6_is_version_2_proxy_inet6_dgram(void **state)
{
	struct flow flow = { udp("[2001:db8::1]:256"), udp("[2001:db8::2]:1") };
	const struct proxy2 p = { .flow = &flow };
	uint8_t out[PROXY2_MAX];

	(void)state;
	CHECK(out, proxy2_write(&p, out),
	      "\x21\x22\x00\x2c"
	      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
	      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
	      "\x01\x00\x00\x01" BARE_SSL);
}

static void without_one_pair_of_addresses_it_is_unspec(void **state)
{
	struct flow mixed = { udp("192.0.2.1:1"), udp("[2001:db8::2]:1") };
	const struct proxy2 none = { .flow = NULL }, two = { .flow = &mixed };
	uint8_t out[PROXY2_MAX];

	(void)state;
	CHECK(out, proxy2_write(&none, out), "\x21\x00\x00\x08" BARE_SSL);
	CHECK(out, proxy2_write(&two, out), "\x21\x00\x00\x08" BARE_SSL);
}

static void what_the_handshake_told_follows_as_tlvs(void **state)
{
	const struct proxy2 p = {
		.alpn = "coap",
		.authority = "a.example",
		.version = "DTLSv1.2",
		.cipher = "C",
		.common_name = "me",
		.certificate = true,
		.verified = true,
	};
	uint8_t out[PROXY2_MAX];

	(void)state;
	CHECK(out, proxy2_write(&p, out),
	      "\x21\x00\x00\x2f"
	      "\x01\x00\x04" "coap"
	      "\x02\x00\x09" "a.example"
	      "\x20\x00\x19\x07\x00\x00\x00\x00"
	      "\x21\x00\x08" "DTLSv1.2"
	      "\x22\x00\x02" "me"
	      "\x23\x00\x01" "C");
}

static void a_certificate_that_is_not_verified_is_told_so(void **state)
{
	const struct proxy2 p = { .certificate = true };
	uint8_t out[PROXY2_MAX];

	(void)state;
	CHECK(out, proxy2_write(&p, out), "\x21\x00\x00\x08\x20\x00\x05\x07\x00\x00\x00\x01");
}

static void a_psk_identity_goes_as_bytes_in_a_custom_tlv(void **state)
{
	const uint8_t identity[] = { 'a', 0, 0xff };
	const struct proxy2 p = { .psk_identity = identity, .psk_identity_len = sizeof(identity) };
	uint8_t out[PROXY2_MAX];

	(void)state;
	CHECK(out, proxy2_write(&p, out), "\x21\x00\x00\x0e" BARE_SSL "\xe0\x00\x03" "a\x00\xff");
}

static void what_is_too_long_is_left_out_and_all_the_rest_fits(void **state)
{
	uint8_t out[PROXY2_MAX + 1], identity[PROXY2_TEXT_MOST];
	char longest[PROXY2_TEXT_MOST + 1], longer[PROXY2_TEXT_MOST + 2];
	struct flow flow = { udp("[2001:db8::1]:256"), udp("[2001:db8::2]:1") };
	struct proxy2 p = { .flow = &flow, .alpn = longest, .authority = longest, .version = longest, .cipher = longest,
			    .common_name = longest, .psk_identity = identity, .psk_identity_len = sizeof(identity) };
	size_t len;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[PROXY2_TEXT_MOST] = '\0';
	memset(longer, 'x', sizeof(longer));
	longer[PROXY2_TEXT_MOST + 1] = '\0';
	memset(identity, 'x', sizeof(identity));
	out[PROXY2_MAX] = 0xa5;
	len = proxy2_write(&p, out);
	assert_int_equal(len, 16 + 36 + 8 + 6 * (3 + PROXY2_TEXT_MOST));
	assert_int_equal(out[PROXY2_MAX], 0xa5);
	p.authority = longer;
	assert_int_equal(proxy2_write(&p, out), len - 3 - PROXY2_TEXT_MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_is_version_2_proxy_inet_dgram),
		cmocka_unit_test(ipv6_is_version_2_proxy_inet6_dgram),
		cmocka_unit_test(without_one_pair_of_addresses_it_is_unspec),
		cmocka_unit_test(what_the_handshake_told_follows_as_tlvs),
		cmocka_unit_test(a_certificate_that_is_not_verified_is_told_so),
		cmocka_unit_test(a_psk_identity_goes_as_bytes_in_a_custom_tlv),
		cmocka_unit_test(what_is_too_long_is_left_out_and_all_the_rest_fits),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
