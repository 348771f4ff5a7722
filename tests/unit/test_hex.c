/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "hex.h"

static void every_byte_there_and_back(void **state)
{
	uint8_t in[256], out[256];
	char text[513];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		in[i] = (uint8_t)i;
	hex_encode(text, in, sizeof(in));
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102", 6);
	assert_string_equal(text + 506, "fdfeff");
	assert_int_equal(hex_decode(out, sizeof(out), text, 512), 256);
	assert_memory_equal(in, out, sizeof(in));
}

static void capitals_are_read_and_nothing_is_nothing(void **state)
{
	uint8_t out[2] = { 7, 7 };
	char text[1] = { 'x' };

	(void)state;
	assert_int_equal(hex_decode(out, sizeof(out), "aBCd", 4), 2);
	assert_memory_equal(out, "\xab\xcd", 2);
	assert_int_equal(hex_decode(out, 0, "", 0), 0);
	hex_encode(text, out, 0);
	assert_int_equal(text[0], '\0');
}

static void what_is_none_or_too_long_is_refused(void **state)
{
	uint8_t out[2];

	(void)state;
	assert_int_equal(hex_decode(out, sizeof(out), "abc", 3), -EINVAL);
	assert_int_equal(hex_decode(out, sizeof(out), "ag", 2), -EINVAL);
	assert_int_equal(hex_decode(out, sizeof(out), "/0", 2), -EINVAL);
	assert_int_equal(hex_decode(out, sizeof(out), ":0", 2), -EINVAL);
	assert_int_equal(hex_decode(out, sizeof(out), "@A", 2), -EINVAL);
	assert_int_equal(hex_decode(out, sizeof(out), "001122", 6), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_there_and_back),
		cmocka_unit_test(capitals_are_read_and_nothing_is_nothing),
		cmocka_unit_test(what_is_none_or_too_long_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
