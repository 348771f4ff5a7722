/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "addr.h"

static char err[256];

static struct addr parse_one(const char *text)
{
	struct addr a[4];

	assert_int_equal(addr_parse(text, 4433, a, 4, err, sizeof(err)), 1);
	return a[0];
}

static void assert_text(const char *text, const char *expect)
{
	char buf[ADDR_TEXT_MAX];
	struct addr a = parse_one(text);

	assert_string_equal(addr_format(&a, buf), expect);
}

static void assert_refused(const char *text, const char *why)
{
	struct addr a[4];

	memset(err, 0, sizeof(err));
	assert_int_equal(addr_parse(text, 4433, a, 4, err, sizeof(err)), -EINVAL);
	if (strstr(err, why) == NULL)
		fail_msg("\"%s\" was refused with: %s", text, err);
}

static void numeric_addresses_are_read_and_printed(void **state)
{
	(void)state;
	assert_text("127.0.0.1:4433", "127.0.0.1:4433");
	assert_text("192.0.2.1:1", "192.0.2.1:1");
	assert_text("0.0.0.0", "0.0.0.0:4433");
	assert_text("[::1]:65535", "[::1]:65535");
	assert_text("[::]", "[::]:4433");
	assert_text("[2001:DB8:0:0:0:0:0:1]:0", "[2001:db8::1]:0");
	assert_text("[::ffff:192.0.2.1]:5", "192.0.2.1:5"); /* our sockets of IPv6 have no IPv4 */
	assert_text("[fe80::1%7]:9", "[fe80::1%7]:9");
}

static void zones_go_by_name_too(void **state)
{
	unsigned lo = if_nametoindex("lo");
	struct addr a;

	(void)state;
	assert_int_not_equal(lo, 0); /* every Linux has one */
	a = parse_one("[fe80::1%lo]:9");
	assert_int_equal(a.scope, lo);
	assert_refused("[fe80::1%nosuchzone]:9", "no network interface \"nosuchzone\"");
	assert_refused("[fe80::1%]:9", "no network interface");
	assert_refused("[fe80::1%99999999999]:9", "no network interface");
	assert_refused("[fe80::1]:9", "zone");
	assert_refused("[2001:db8::1%1]:9", "link-local");
}

static void star_and_empty_host_are_both_wildcards(void **state)
{
	static const char *const texts[] = { "*", "*:4433", ":4433" };
	char buf[ADDR_TEXT_MAX];
	struct addr a[4];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(addr_parse(texts[i], 4433, a, 4, err, sizeof(err)), 2);
		assert_string_equal(addr_format(&a[0], buf), "0.0.0.0:4433");
		assert_string_equal(addr_format(&a[1], buf), "[::]:4433");
		assert_true(addr_is_wildcard(&a[0]));
		assert_true(addr_is_wildcard(&a[1]));
	}
	memset(a, 0x55, sizeof(a));
	assert_int_equal(addr_parse("*", 1, a, 1, err, sizeof(err)), 1);
	assert_int_equal(a[1].port, 0x5555); /* max is heeded */
}

static void names_are_resolved_to_distinct_addresses(void **state)
{
	struct addr a[8];
	int n = addr_parse("localhost:7", 4433, a, 8, err, sizeof(err)), i, j;

	(void)state;
	assert_in_range(n, 1, 8);
	for (i = 0; i < n; i++) {
		assert_true(addr_is_loopback(&a[i]));
		assert_int_equal(a[i].port, 7);
		for (j = 0; j < i; j++)
			assert_false(addr_equal(&a[i], &a[j]));
	}
}

static void what_is_wrong_is_named(void **state)
{
	char long_name[2000];

	(void)state;
	assert_refused("", "empty");
	assert_refused("::1", "brackets");
	assert_refused("::1:4433", "brackets");
	assert_refused("[::1", "closing bracket");
	assert_refused("[::1]4433", "follows the bracket");
	assert_refused("[::1]:", "no port");
	assert_refused("[127.0.0.1]:4433", "not an IPv6 address");
	assert_refused("[]:4433", "not an IPv6 address");
	assert_refused("127.0.0.1:", "no port");
	assert_refused("127.0.0.1:65536", "65535");
	assert_refused("127.0.0.1:99999999999999999999", "65535");
	assert_refused("127.0.0.1:-1", "not a number");
	assert_refused("127.0.0.1:+1", "not a number");
	assert_refused("127.0.0.1: 1", "not a number");
	assert_refused("127.0.0.1:dtls", "not a number");
	assert_refused("4433", ":4433"); /* not 0.0.17.81 */
	assert_refused("127.1:4433", "not an IPv4 address");
	assert_refused("256.0.0.1:4433", "not an IPv4 address");
	assert_refused("0x7f.1:4433", "not an IPv4 address");
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_refused(long_name, "too long");
}

static void a_short_error_buffer_is_not_overrun(void **state)
{
	char small[9] = "XXXXXXXX";
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse("::1", 1, &a, 1, small, 8), -EINVAL);
	assert_int_equal(small[7], '\0');
	assert_int_equal(addr_parse("::1", 1, &a, 1, small, 0), -EINVAL);
}

static void sockaddr_round_trips(void **state)
{
	static const char *const texts[] = { "192.0.2.7:1234", "[2001:db8::7]:1234", "[fe80::7%3]:1234" };
	struct sockaddr_storage ss;
	struct addr a, b;
	socklen_t len;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		a = parse_one(texts[i]);
		len = addr_to_sockaddr(&a, &ss);
		assert_int_equal(len, a.family == AF_INET ? sizeof(struct sockaddr_in) :
							    sizeof(struct sockaddr_in6));
		memset(&b, 0xff, sizeof(b));
		assert_int_equal(addr_from_sockaddr(&b, (struct sockaddr *)&ss, len), 0);
		assert_true(addr_equal(&a, &b));
		assert_int_equal(addr_from_sockaddr(&b, (struct sockaddr *)&ss, len - 1), -EAFNOSUPPORT);
	}
	memset(&a, 0, sizeof(a));
	assert_int_equal(addr_to_sockaddr(&a, &ss), 0);
	ss.ss_family = AF_UNIX;
	assert_int_equal(addr_from_sockaddr(&b, (struct sockaddr *)&ss, sizeof(ss)), -EAFNOSUPPORT);
	assert_int_equal(addr_from_sockaddr(&b, (struct sockaddr *)&ss, 0), -EAFNOSUPPORT);
}

static void equal_endpoints_are_equal_bytes(void **state)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct addr a, b;

	(void)state;
	memset(&in, 0xaa, sizeof(in)); /* garbage in the padding */
	in.sin_family = AF_INET;
	in.sin_port = htons(5);
	in.sin_addr.s_addr = htonl(0xc0000201);
	assert_int_equal(addr_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in)), 0);
	b = parse_one("192.0.2.1:5");
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_equal(a.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16);

	memset(&in6, 0xaa, sizeof(in6)); /* flow label, scope of an address that has none */
	in6.sin6_family = AF_INET6;
	in6.sin6_port = htons(5);
	inet_pton(AF_INET6, "2001:db8::1", &in6.sin6_addr);
	assert_int_equal(addr_from_sockaddr(&a, (struct sockaddr *)&in6, sizeof(in6)), 0);
	b = parse_one("[2001:db8::1]:5");
	assert_memory_equal(&a, &b, sizeof(a));

	inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
	assert_int_equal(addr_from_sockaddr(&a, (struct sockaddr *)&in6, sizeof(in6)), 0);
	assert_int_equal(a.family, AF_INET6); /* mapped, but told apart from IPv4 */
	b = parse_one("192.0.2.1:5");
	assert_false(addr_equal(&a, &b));
}

static void flows_differ_by_either_end(void **state)
{
	struct flow f = { parse_one("192.0.2.1:5"), parse_one("127.0.0.1:6") }, g = f;

	(void)state;
	assert_true(flow_equal(&f, &g));
	g.peer.port++;
	assert_false(flow_equal(&f, &g));
	g = f;
	g.local.ip[15]++;
	assert_false(flow_equal(&f, &g));
}

static void loopback_and_wildcard_are_known(void **state)
{
	struct addr a = parse_one("127.255.0.1:1"), none = { 0 };

	(void)state;
	assert_true(addr_is_loopback(&a));
	assert_false(addr_is_wildcard(&a));
	a = parse_one("[::1]:1");
	assert_true(addr_is_loopback(&a));
	assert_false(addr_is_wildcard(&a));
	a = parse_one("[::ffff:127.0.0.1]:1");
	assert_true(addr_is_loopback(&a));
	a = parse_one("128.0.0.1:1");
	assert_false(addr_is_loopback(&a));
	a = parse_one("[::2]:1");
	assert_false(addr_is_loopback(&a));
	assert_false(addr_is_wildcard(&a));
	assert_false(addr_is_wildcard(&none));
	assert_false(addr_is_loopback(&none));
}

static void assert_prefix(const char *text, unsigned bits, const char *expect)
{
	char buf[ADDR_TEXT_MAX];
	struct addr a = parse_one(text), p = addr_prefix(&a, bits);

	assert_string_equal(addr_format(&p, buf), expect);
}

static void prefix_keeps_what_one_customer_owns(void **state)
{
	(void)state;
	assert_prefix("192.0.2.1:5", 64, "192.0.2.1:0");
	assert_prefix("192.0.2.1:5", 0, "192.0.2.1:0");
	assert_prefix("[2001:db8:1:2:3:4:5:6]:5", 64, "[2001:db8:1:2::]:0");
	assert_prefix("[2001:db8:1:2:3:4:5:6]:5", 128, "[2001:db8:1:2:3:4:5:6]:0");
	assert_prefix("[2001:db8:1:ffff:3:4:5:6]:5", 57, "[2001:db8:1:ff80::]:0");
	assert_prefix("[2001:db8:1:2:3:4:5:6]:5", 0, "[::]:0");
	assert_prefix("[fe80::1%3]:5", 128, "[fe80::1]:0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numeric_addresses_are_read_and_printed),
		cmocka_unit_test(zones_go_by_name_too),
		cmocka_unit_test(star_and_empty_host_are_both_wildcards),
		cmocka_unit_test(names_are_resolved_to_distinct_addresses),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_short_error_buffer_is_not_overrun),
		cmocka_unit_test(sockaddr_round_trips),
		cmocka_unit_test(equal_endpoints_are_equal_bytes),
		cmocka_unit_test(flows_differ_by_either_end),
		cmocka_unit_test(loopback_and_wildcard_are_known),
		cmocka_unit_test(prefix_keeps_what_one_customer_owns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
