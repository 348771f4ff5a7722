/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf_scan.h"

/* What the messages are is told by test_conf_file. */
static void comments_become_blanks_and_lines_stay(void **state)
{
	static const struct {
		const char *text, *becomes;
	} some[] = {
		{ "a # b\nc", "a    \nc" },
		{ "#\na // b", " \na     " },
		{ "a /* b\nc */ d", "a     \n     d" },
		{ "a /**/ b /* * / */", "a      b          " },
		{ "/*/ a */ b", "         b" },
		{ "a '# /* //' \"# /* //\"", "a '# /* //' \"# /* //\"" },
		{ "\xef\xbb\xbf" "a\xef\xbb\xbf", "   a\xef\xbb\xbf" }, /* a byte order mark, and one that is none */
		{ "{ a {} b = { c } }", "{ a {} b = { c } }" },
		{ "a/b # \"' { /*", "a/b          " },
		{ "'\\'# ' \"\\\"#\"", "'\\'# ' \"\\\"#\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct conf_scan bad;
		char text[100];

		strcpy(text, some[i].text);
		assert_int_equal(conf_scan(text, strlen(text), &bad), 0);
		assert_string_equal(text, some[i].becomes);
	}
}

static void the_lines_of_sections_are_found(void **state)
{
	char text[] = "# {\na {\n l = { x }\n}\n'{' b\n\n{ } c { d = '}' }";
	struct conf_scan bad;

	(void)state;
	assert_int_equal(conf_scan(text, strlen(text), &bad), 0);
	assert_int_equal(conf_scan_section(text, strlen(text), 0), 2);
	assert_int_equal(conf_scan_section(text, strlen(text), 1), 7);
	assert_int_equal(conf_scan_section(text, strlen(text), 2), 7);
	assert_int_equal(conf_scan_section(text, strlen(text), 3), 0);
}

static void the_line_is_where_it_begins(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
	} some[] = {
		{ "\n'a\nb'", 2 }, { "\n\n/* \n\n", 3 }, { "{\n{\n}\n", 1 }, { "{}\n{\n\n", 2 }, { "{\n}\n}\n", 3 },
		{ "\n+", 2 }, { "\"\\", 1 }, { "'\\", 1 }, { "\n\"\\x41\"", 2 }, { "\n\"\\007\"", 2 }, { "\n\177", 2 },
		{ "a\n'\033[1m'", 2 }, { "\"\177\"", 1 }, { "\"\\\033\"", 1 },
		{ "a = {}", 1 }, { "a\n=\n{ # b\n}", 4 }, { "=\n{}", 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct conf_scan bad = { 0, NULL };
		char text[100];

		strcpy(text, some[i].text);
		assert_int_equal(conf_scan(text, strlen(text), &bad), -EINVAL);
		assert_int_equal(bad.line, some[i].line);
		assert_non_null(bad.wrong);
	}
}

static void a_byte_of_value_0_is_named_wherever_it_is(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *wrong;
	} some[] = {
		{ "a = \"x\0\"", 8, "a byte of value 0: this is no text file" },
		{ "a = \"x\\\0\"", 9, "a byte of value 0: this is no text file" },
		{ "a = 'x\\\0'", 9, "a byte of value 0: this is no text file" },
		{ "a = \0", 5, "a control character: remove it" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct conf_scan bad = { 0 };
		char text[100];

		memcpy(text, some[i].text, some[i].len);
		assert_int_equal(conf_scan(text, some[i].len, &bad), -EINVAL);
		assert_string_equal(bad.wrong, some[i].wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comments_become_blanks_and_lines_stay),
		cmocka_unit_test(the_lines_of_sections_are_found),
		cmocka_unit_test(the_line_is_where_it_begins),
		cmocka_unit_test(a_byte_of_value_0_is_named_wherever_it_is),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
