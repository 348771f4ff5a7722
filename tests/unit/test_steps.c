/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steps.h"

#define PEERS 8

static struct place peer[PEERS];

static void set_up(struct steps *s, unsigned most)
{
	steps_init(s, most);
	for (unsigned i = 0; i < PEERS; i++)
		place_init(&peer[i]);
}

static void a_turn_has_so_many_steps(void **state)
{
	struct steps s;

	(void)state;
	set_up(&s, 3);
	for (unsigned turn = 0; turn < 3; turn++) {
		steps_turn(&s);
		assert_true(steps_take(&s, &peer[0]));
		steps_begun(&s);
		assert_true(steps_may_begin(&s));
		assert_true(steps_take(&s, &peer[1]));
		assert_false(steps_may_begin(&s));
		assert_true(steps_none_wait(&s));
	}
	assert_false(steps_take(&s, &peer[2]));
	assert_false(steps_none_wait(&s));
}

static void zero_is_any_number(void **state)
{
	struct steps s;

	(void)state;
	set_up(&s, 0);
	for (unsigned i = 0; i < 100000; i++) {
		assert_true(steps_take(&s, &peer[i % PEERS]));
		assert_true(steps_may_begin(&s));
		steps_begun(&s);
	}
	assert_null(steps_call(&s));
}

static void those_who_wait_are_called_in_order(void **state)
{
	struct steps s;

	(void)state;
	set_up(&s, 1);
	steps_begun(&s);
	for (unsigned i = 0; i < PEERS; i++) {
		assert_false(steps_take(&s, &peer[i]));
		assert_false(steps_take(&s, &peer[0])); /* who asks again loses nothing and wins nothing */
	}
	assert_null(steps_call(&s));
	for (unsigned i = 0; i < PEERS; i++) {
		steps_turn(&s);
		/* nobody comes before them, be he new, waiting or beginning */
		assert_false(steps_take(&s, &peer[PEERS - 1]));
		assert_false(steps_may_begin(&s));
		assert_ptr_equal(steps_call(&s), &peer[i]);
		assert_true(steps_take(&s, &peer[i]));
		place_leave(&peer[i]);
		assert_null(steps_call(&s));
	}
	assert_true(steps_none_wait(&s));
	assert_false(steps_may_begin(&s));
	steps_turn(&s);
	assert_true(steps_may_begin(&s));
}

static void who_needs_several_steps_stays_the_first(void **state)
{
	struct steps s;

	(void)state;
	set_up(&s, 2);
	steps_begun(&s);
	steps_begun(&s);
	assert_false(steps_take(&s, &peer[0]));
	assert_false(steps_take(&s, &peer[1]));
	steps_turn(&s);
	assert_ptr_equal(steps_call(&s), &peer[0]);
	assert_true(steps_take(&s, &peer[0]));
	assert_true(steps_take(&s, &peer[0]));
	assert_false(steps_take(&s, &peer[0]));
	assert_null(steps_call(&s));
	steps_turn(&s);
	assert_ptr_equal(steps_call(&s), &peer[0]);
	assert_true(steps_take(&s, &peer[0]));
	place_leave(&peer[0]);
	assert_ptr_equal(steps_call(&s), &peer[1]);
}

static void who_leaves_makes_room_for_the_next(void **state)
{
	struct steps s;

	(void)state;
	set_up(&s, 1);
	steps_begun(&s);
	for (unsigned i = 0; i < 3; i++)
		assert_false(steps_take(&s, &peer[i]));
	place_leave(&peer[1]);
	place_leave(&peer[1]); /* a second time changes nothing */
	place_leave(&peer[0]);
	steps_turn(&s);
	assert_ptr_equal(steps_call(&s), &peer[2]);
	place_leave(&peer[2]);
	assert_null(steps_call(&s));
	/* he needed no step after all: the turn still has it */
	assert_true(steps_may_begin(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_has_so_many_steps),
		cmocka_unit_test(zero_is_any_number),
		cmocka_unit_test(those_who_wait_are_called_in_order),
		cmocka_unit_test(who_needs_several_steps_stays_the_first),
		cmocka_unit_test(who_leaves_makes_room_for_the_next),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
