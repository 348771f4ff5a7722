/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "held.h"

struct seen {
	unsigned count;
	uint8_t first[HELD_DATAGRAMS];
	size_t len[HELD_DATAGRAMS];
};

static void note(void *ctx, const uint8_t *data, size_t len)
{
	struct seen *s = ctx;

	s->first[s->count] = len ? data[0] : 0xff;
	s->len[s->count++] = len;
}

static void they_come_out_in_their_order_and_once(void **state)
{
	struct held h = { .count = 0 };
	struct seen s = { .count = 0 };
	uint8_t data[3] = { 1, 2, 3 };

	(void)state;
	assert_true(held_add(&h, data, 3));
	data[0] = 7;
	assert_true(held_add(&h, data, 1));
	assert_true(held_add(&h, data, 0));
	held_release(&h, note, &s);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.first[0], 1);
	assert_int_equal(s.len[0], 3);
	assert_int_equal(s.first[1], 7);
	assert_int_equal(s.len[2], 0);
	held_release(&h, note, &s);
	assert_int_equal(s.count, 3);
	assert_int_equal(held_drop(&h), 0);
}

static void their_number_is_bounded(void **state)
{
	struct held h = { .count = 0 };
	uint8_t data = 0;

	(void)state;
	for (unsigned i = 0; i < HELD_DATAGRAMS; i++)
		assert_true(held_add(&h, &data, 1));
	assert_false(held_add(&h, &data, 1));
	assert_int_equal(held_drop(&h), HELD_DATAGRAMS);
	assert_true(held_add(&h, &data, 1));
	assert_int_equal(held_drop(&h), 1);
}

static void their_bytes_are_bounded(void **state)
{
	static uint8_t data[HELD_BYTES];
	struct held h = { .count = 0 };

	(void)state;
	assert_true(held_add(&h, data, HELD_BYTES - 10));
	assert_false(held_add(&h, data, 11));
	assert_true(held_add(&h, data, 10));
	assert_int_equal(held_drop(&h), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_out_in_their_order_and_once),
		cmocka_unit_test(their_number_is_bounded),
		cmocka_unit_test(their_bytes_are_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
