/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "names.h"

static void commas_part_names_and_nothing_else_does(void **state)
{
	struct names n;

	(void)state;
	assert_int_equal(names_parse(&n, "one"), 0);
	assert_int_equal(n.count, 1);
	assert_string_equal(n.name[0], "one");
	names_free(&n);
	assert_int_equal(names_parse(&n, "/a b/c.pem,d;e:f, g "), 0);
	assert_int_equal(n.count, 3);
	assert_string_equal(n.name[0], "/a b/c.pem");
	assert_string_equal(n.name[1], "d;e:f");
	assert_string_equal(n.name[2], " g ");
	names_free(&n);
	assert_int_equal(n.count, 0);
}

static void empty_names_are_refused(void **state)
{
	static const char *const bad[] = { "", ",", "a,", ",a", "a,,b" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct names n;

		assert_int_equal(names_parse(&n, bad[i]), -EINVAL);
		names_free(&n);
	}
}

static void a_uri_names_what_is_in_a_token(void **state)
{
	(void)state;
	assert_true(names_token("pkcs11:token=x;object=y"));
	assert_true(names_token("PKCS11:"));
	assert_false(names_token("pkcs11"));
	assert_false(names_token("./pkcs11:x"));
	assert_false(names_token(""));
}

static void there_is_room_for_so_many_and_no_more(void **state)
{
	char text[2 * NAMES_MOST + 3];
	struct names n;

	(void)state;
	for (unsigned i = 0; i < NAMES_MOST; i++)
		memcpy(text + 2 * i, "x,", 2);
	text[2 * NAMES_MOST - 1] = '\0';
	assert_int_equal(names_parse(&n, text), 0);
	assert_int_equal(n.count, NAMES_MOST);
	names_free(&n);
	strcat(text, ",y");
	assert_int_equal(names_parse(&n, text), -E2BIG);
	names_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_part_names_and_nothing_else_does),
		cmocka_unit_test(empty_names_are_refused),
		cmocka_unit_test(a_uri_names_what_is_in_a_token),
		cmocka_unit_test(there_is_room_for_so_many_and_no_more),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
