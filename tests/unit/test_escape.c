/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "escape.h"

static void assert_escaped(const char *in, const char *expected)
{
	char out[256];

	assert_int_equal(escape_text(out, sizeof(out), in, strlen(in)), strlen(expected));
	assert_string_equal(out, expected);
}

static void printable_characters_stay(void **state)
{
	(void)state;
	assert_escaped("", "");
	assert_escaped(" !~", " !~");
	assert_escaped("gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x8d\x80",
		       "gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x8d\x80");
	assert_escaped("\xc2\xa0", "\xc2\xa0");
	assert_escaped("\xf4\x8f\xbf\xbd", "\xf4\x8f\xbf\xbd");
}

static void control_characters_are_escaped(void **state)
{
	(void)state;
	assert_escaped("a\nb\r\tc", "a\\x0ab\\x0d\\x09c");
	assert_escaped("\x1b[31m", "\\x1b[31m");
	assert_escaped("\x7f", "\\x7f");
	assert_escaped("\xc2\x9b" "31m", "\\xc2\\x9b" "31m"); /* C1: CSI */
}

static void what_is_not_utf8_is_escaped(void **state)
{
	(void)state;
	assert_escaped("\x80", "\\x80");
	assert_escaped("\xc3", "\\xc3");           /* cut off */
	assert_escaped("\xc3(", "\\xc3(");         /* no continuation */
	assert_escaped("\xe2\x82(", "\\xe2\\x82(");
	assert_escaped("\xc0\xaf", "\\xc0\\xaf");  /* overlong */
	assert_escaped("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf");
	assert_escaped("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf");
	assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");           /* surrogate */
	assert_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
	assert_escaped("\xff\xfe", "\\xff\\xfe");
}

static void what_breaks_a_line_or_turns_its_direction_is_escaped(void **state)
{
	(void)state;
	assert_escaped("\xe2\x80\xa7", "\xe2\x80\xa7"); /* U+2027, a dot */
	assert_escaped("\xe2\x80\xa8", "\\xe2\\x80\\xa8");
	assert_escaped("\xe2\x80\xae" "evil", "\\xe2\\x80\\xae" "evil");
	assert_escaped("\xe2\x80\xaf", "\xe2\x80\xaf"); /* U+202F, a space */
	assert_escaped("\xe2\x81\xa5", "\xe2\x81\xa5");
	assert_escaped("\xe2\x81\xa6", "\\xe2\\x81\\xa6");
	assert_escaped("\xe2\x81\xa9", "\\xe2\\x81\\xa9");
	assert_escaped("\xe2\x81\xaa", "\xe2\x81\xaa");
}

static void nothing_beyond_the_text_is_read(void **state)
{
	char *cut = malloc(2), out[32];

	(void)state;
	assert_non_null(cut);
	memcpy(cut, "\xe2\x82", 2);
	assert_int_equal(escape_text(out, sizeof(out), cut, 2), 8);
	assert_string_equal(out, "\\xe2\\x82");
	assert_int_equal(escape_text(out, sizeof(out), cut, 0), 0);
	assert_string_equal(out, "");
	free(cut);
}

static void a_text_that_is_too_long_is_cut_between_characters(void **state)
{
	char out[ESCAPE_LEAST];

	(void)state;
	assert_int_equal(escape_text(out, sizeof(out), "abcd", 4), 4);
	assert_string_equal(out, "abcd");
	assert_int_equal(escape_text(out, sizeof(out), "abcde", 5), 7);
	assert_string_equal(out, "abcd...");
	assert_int_equal(escape_text(out, sizeof(out), "\n", 1), 4);
	assert_string_equal(out, "\\x0a");
	assert_int_equal(escape_text(out, sizeof(out), "a\n", 2), 4);
	assert_string_equal(out, "a...");
	assert_int_equal(escape_text(out, sizeof(out), "abc\xc3\xbc", 5), 6);
	assert_string_equal(out, "abc...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printable_characters_stay),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(what_is_not_utf8_is_escaped),
		cmocka_unit_test(what_breaks_a_line_or_turns_its_direction_is_escaped),
		cmocka_unit_test(nothing_beyond_the_text_is_read),
		cmocka_unit_test(a_text_that_is_too_long_is_cut_between_characters),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
