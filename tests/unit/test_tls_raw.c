/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_raw: lists of public keys. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tls_raw.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define ONES "11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11"
#define LETTERS "abcdefABCDEFabcdefABCDEFabcdefABCDEFabcdefABCDEFabcdefABCDEFabcd"

static struct tls_raw keys;
static char err[300];

static int parse(const char *text)
{
	tls_raw_clear(&keys);
	return tls_raw_parse(&keys, "list", text, strlen(text), err, sizeof(err));
}

static bool has(uint8_t byte)
{
	uint8_t key[TLS_FINGERPRINT_SIZE];

	memset(key, byte, sizeof(key));
	return tls_raw_has(&keys, key);
}

static int tear_down(void **state)
{
	(void)state;
	tls_raw_clear(&keys);
	return 0;
}

static void keys_with_remarks_colons_and_any_end_of_line(void **state)
{
	uint8_t letters[TLS_FINGERPRINT_SIZE];

	(void)state;
	assert_int_equal(parse("# meters\n\n" LETTERS "\tthe first # one\r\n\t" ONES "\n  \n" ZEROS " x\n # y"), 0);
	assert_int_equal(keys.count, 3);
	assert_true(has(0x00) && has(0x11));
	assert_false(has(0x01) || has(0xff));
	assert_true(tls_fingerprint_parse(LETTERS, 64, letters));
	assert_true(tls_raw_has(&keys, letters));
	letters[31]++;
	assert_false(tls_raw_has(&keys, letters));
}

static void nobody_is_in_an_empty_list(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_false(has(0));
	assert_int_equal(parse("# " ZEROS "\n"), 0);
	assert_false(has(0));
}

static void what_is_none_is_told_with_its_line(void **state)
{
	static const char *const bad[] = { "1", " 1", LETTERS "00", "g" LETTERS, ":" ZEROS, ZEROS ":", "0:0" ZEROS,
					   "000000000000000000000000000000000000000000000000000000000000000" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[300];

		snprintf(text, sizeof(text), ZEROS "\n#\n%s\n" ONES "\n", bad[i]);
		assert_int_equal(parse(text), -EINVAL);
		assert_memory_equal(err, "list:3: this is no SHA-256 fingerprint", 38);
	}
}

static void a_name_says_the_fingerprint(void **state)
{
	uint8_t key[TLS_FINGERPRINT_SIZE];
	char name[TLS_RAW_NAME_SIZE];

	(void)state;
	memset(key, 0xa0, sizeof(key));
	tls_raw_name(key, name);
	assert_string_equal(name, "rpk:sha256:a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(keys_with_remarks_colons_and_any_end_of_line, tear_down),
		cmocka_unit_test_teardown(nobody_is_in_an_empty_list, tear_down),
		cmocka_unit_test_teardown(what_is_none_is_told_with_its_line, tear_down),
		cmocka_unit_test(a_name_says_the_fingerprint),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
