/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route.h"

static bool fits(const char *pattern, const char *alpn)
{
	const struct route_rule r = { .alpn = pattern };
	const struct route_client c = { .server_name = "", .alpn = alpn, .names = "" };

	return route_matches(&r, &c);
}

static void patterns_are_those_of_the_shell(void **state)
{
	static const char *const good[][2] = {
		{ "coap", "coap" }, { "*", "coap" }, { "c*", "coap" }, { "*p", "coap" }, { "c*p", "cp" }, { "c**p", "coap" },
		{ "?oa?", "coap" }, { "*o*p", "coap" }, { "*ab", "aab" }, { "*a*b*", "xaxbx" }, { "a*b*c", "abbbcbc" },
		{ "?*", "x" }, { "*?", "xy" }, { "[a-z]", "c" }, { "a\\*", "a*" }, { "coap*", "coap" },
		{ "*", ".a/b" },
	};
	static const char *const bad[][2] = {
		{ "coap", "coaps" }, { "coap", "coa" }, { "c", "coap" }, { "*o", "coap" }, { "????", "coaps" }, { "?????", "coap" },
		{ "[a-z]", "[a-z]" }, { "a\\*", "ab" }, { "a*b*c", "abbbcb" }, { "COAP", "coap" }, { "*ab", "aba" }, { "?*?", "x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!fits(good[i][0], good[i][1]))
			fail_msg("%s does not fit %s", good[i][0], good[i][1]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (fits(bad[i][0], bad[i][1]))
			fail_msg("%s fits %s", bad[i][0], bad[i][1]);
}

/* With every star tried at every place this would not end. */
static void a_stranger_cannot_make_it_long(void **state)
{
	char text[256], pattern[64];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i < sizeof(pattern) - 2; i += 2)
		memcpy(pattern + i, "*a", 2);
	memcpy(pattern + sizeof(pattern) - 2, "b", 2);
	assert_false(fits(pattern, text));
}

static void what_a_client_has_not_got_fits_nothing(void **state)
{
	const struct route_client nobody = { .server_name = "", .alpn = "", .names = "" };

	(void)state;
	assert_false(route_matches(&(struct route_rule){ .server_name = "*" }, &nobody));
	assert_false(route_matches(&(struct route_rule){ .alpn = "*" }, &nobody));
	assert_false(route_matches(&(struct route_rule){ .identity = "*" }, &nobody));
	assert_true(route_matches(&(struct route_rule){ .deny = true }, &nobody));
}

static void all_that_a_rule_says_must_be_so(void **state)
{
	const struct route_client c = { .server_name = "A.Example", .alpn = "coap", .names = "CN=x,O=y\0x\0mail@x\0" };
	const struct route_rule yes[] = {
		{ .server_name = NULL }, { .server_name = "a.example" }, { .server_name = "*.EXAMPLE" }, { .alpn = "coap" },
		{ .identity = "CN=x,*" }, { .identity = "x" }, { .identity = "mail@*" },
		{ .server_name = "a.example", .alpn = "c*", .identity = "x" },
	};
	const struct route_rule no[] = {
		{ .server_name = "b.example" }, { .alpn = "h3" }, { .identity = "y" }, { .identity = "cn=x,*" },
		{ .server_name = "b.example", .alpn = "c*", .identity = "x" },
		{ .server_name = "a.example", .alpn = "h*", .identity = "x" },
		{ .server_name = "a.example", .alpn = "c*", .identity = "z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(route_matches(&yes[i], &c));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(route_matches(&no[i], &c));
}

static void whose_names_are_not_all_known_is_denied_and_not_let_in(void **state)
{
	const struct route_client c = { .server_name = "", .alpn = "", .names = "x\0", .names_cut = true };

	(void)state;
	assert_false(route_matches(&(struct route_rule){ .identity = "y" }, &c));
	assert_true(route_matches(&(struct route_rule){ .identity = "y", .deny = true }, &c));
	assert_false(route_matches(&(struct route_rule){ .identity = "y", .alpn = "z", .deny = true }, &c));
}

static void rules_are_the_same_when_they_say_the_same(void **state)
{
	const struct route_rule a = { "s", "a", "i", true };
	struct route_rule b = a;
	char s[] = "s";

	(void)state;
	b.server_name = s;
	assert_true(route_same(&a, &b));
	b.server_name = NULL;
	assert_false(route_same(&a, &b));
	assert_false(route_same(&a, &(struct route_rule){ "s", "b", "i", true }));
	assert_false(route_same(&a, &(struct route_rule){ "s", "a", "j", true }));
	assert_false(route_same(&a, &(struct route_rule){ "s", "a", "i", false }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_are_those_of_the_shell),
		cmocka_unit_test(a_stranger_cannot_make_it_long),
		cmocka_unit_test(what_a_client_has_not_got_fits_nothing),
		cmocka_unit_test(all_that_a_rule_says_must_be_so),
		cmocka_unit_test(whose_names_are_not_all_known_is_denied_and_not_let_in),
		cmocka_unit_test(rules_are_the_same_when_they_say_the_same),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
