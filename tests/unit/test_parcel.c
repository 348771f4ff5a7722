/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "parcel.h"

static void the_header_is_as_the_manual_says(void **state)
{
	static const uint8_t want[PARCEL_HEAD] = { 1, 'd', 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	const struct parcel p = { PARCEL_DATA, UINT64_C(0x0102030405060708) };
	uint8_t head[PARCEL_HEAD];

	(void)state;
	parcel_write(&p, head);
	assert_memory_equal(head, want, sizeof(want));
}

static void each_kind_comes_back(void **state)
{
	static const enum parcel_kind kinds[] = { PARCEL_OPEN, PARCEL_DATA, PARCEL_CLOSE, PARCEL_ASK };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct parcel p = { kinds[i], UINT64_MAX - i };
		struct parcel back;
		uint8_t head[PARCEL_HEAD + 1];

		parcel_write(&p, head);
		assert_true(parcel_read(&back, head, PARCEL_HEAD));
		assert_true(parcel_read(&back, head, PARCEL_HEAD + 1));
		assert_int_equal(back.kind, p.kind);
		assert_int_equal(back.session, p.session);
	}
}

static void what_is_no_header_is_refused(void **state)
{
	const struct parcel p = { PARCEL_DATA, 7 };
	struct parcel back;
	uint8_t head[PARCEL_HEAD];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		parcel_write(&p, head);
		head[i] ^= 0x81;
		assert_false(parcel_read(&back, head, sizeof(head)));
	}
	parcel_write(&p, head);
	for (size_t len = 0; len < sizeof(head); len++)
		assert_false(parcel_read(&back, head, len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_as_the_manual_says),
		cmocka_unit_test(each_kind_comes_back),
		cmocka_unit_test(what_is_no_header_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
