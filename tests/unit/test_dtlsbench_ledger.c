/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "dtlsbench_ledger.h"

static struct ledger new_ledger(uint64_t room, uint64_t timeout)
{
	struct ledger l;

	assert_int_equal(ledger_init(&l, room, timeout), 0);
	return l;
}

static void an_answer_tells_since_when_its_question_was_out_and_only_once(void **state)
{
	struct ledger l = new_ledger(8, 100);

	(void)state;
	assert_int_equal(ledger_ask(&l, 11), 0);
	assert_int_equal(ledger_ask(&l, 12), 1);
	assert_int_equal(l.open, 2);
	assert_int_equal(ledger_answer(&l, 1), 12);
	assert_int_equal(ledger_answer(&l, 1), 0);
	assert_int_equal(ledger_answer(&l, 0), 11);
	assert_int_equal(ledger_answer(&l, 0), 0);
	assert_int_equal(l.open, 0);
	assert_int_equal(l.lost, 0);
	ledger_free(&l);
}

static void what_was_never_asked_has_no_answer(void **state)
{
	struct ledger l = new_ledger(8, 100);

	(void)state;
	assert_int_equal(ledger_answer(&l, 0), 0);
	ledger_ask(&l, 5);
	assert_int_equal(ledger_answer(&l, 1), 0);
	assert_int_equal(ledger_answer(&l, UINT64_MAX), 0);
	assert_int_equal(ledger_answer(&l, 8), 0); /* the same place in the ring */
	assert_int_equal(l.open, 1);
	ledger_free(&l);
}

static void the_oldest_open_question_bounds_it_and_its_answer_makes_room(void **state)
{
	struct ledger l = new_ledger(4, 100);

	(void)state;
	for (int i = 0; i < 4; i++)
		ledger_ask(&l, 1);
	assert_true(ledger_full(&l));
	for (uint64_t i = 1; i < 4; i++)
		ledger_answer(&l, i);
	assert_true(ledger_full(&l)); /* number 0 is still in the way */
	ledger_answer(&l, 0);
	assert_false(ledger_full(&l));
	for (int i = 0; i < 4; i++)
		assert_int_equal(ledger_ask(&l, 1), 4 + i);
	assert_true(ledger_full(&l));
	ledger_free(&l);
}

static void a_question_is_given_up_at_its_timeout_and_not_before(void **state)
{
	struct ledger l = new_ledger(8, 100);

	(void)state;
	ledger_ask(&l, 10);
	ledger_ask(&l, 20);
	ledger_ask(&l, 30);
	ledger_answer(&l, 1);
	ledger_expire(&l, 109);
	assert_int_equal(l.lost, 0);
	ledger_expire(&l, 110);
	assert_int_equal(l.lost, 1);
	assert_int_equal(ledger_answer(&l, 0), 0); /* too late */
	ledger_expire(&l, 130);
	assert_int_equal(l.lost, 2);
	assert_int_equal(l.open, 0);
	ledger_free(&l);
}

static void all_that_is_open_can_be_given_up_at_once(void **state)
{
	struct ledger l = new_ledger(8, 100);

	(void)state;
	for (int i = 0; i < 5; i++)
		ledger_ask(&l, 1);
	ledger_answer(&l, 2);
	ledger_abandon(&l);
	assert_int_equal(l.lost, 4);
	assert_int_equal(l.open, 0);
	assert_int_equal(ledger_ask(&l, 9), 5);
	assert_int_equal(ledger_answer(&l, 5), 9);
	ledger_free(&l);
}

/* Against a plain list of all questions ever asked. */
static void it_agrees_with_a_plain_list_in_a_long_random_life(void **state)
{
	enum { ASKED = 20000, TIMEOUT = 50 };
	static uint64_t since[ASKED];
	struct ledger l = new_ledger(64, TIMEOUT);
	uint64_t asked = 0, open = 0, lost = 0;

	(void)state;
	srandom(7);
	for (uint64_t now = 1; asked < ASKED; now++) {
		for (long k = random() % 3; k > 0 && asked < ASKED && !ledger_full(&l); k--, open++) {
			assert_int_equal(ledger_ask(&l, now), asked);
			since[asked++] = now;
		}
		for (long k = random() % 4; k > 0 && asked > 0; k--) {
			uint64_t n = asked - 1 - (uint64_t)random() % (asked < 100 ? asked : 100);

			assert_int_equal(ledger_answer(&l, n), since[n]);
			open -= since[n] != 0;
			since[n] = 0;
		}
		for (uint64_t n = asked < 100 ? 0 : asked - 100; n < asked; n++) {
			if (since[n] && since[n] + TIMEOUT <= now) {
				since[n] = 0;
				open--;
				lost++;
			}
		}
		ledger_expire(&l, now);
		assert_int_equal(l.open, open);
		assert_int_equal(l.lost, lost);
	}
	assert_true(lost > 100);
	ledger_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_tells_since_when_its_question_was_out_and_only_once),
		cmocka_unit_test(what_was_never_asked_has_no_answer),
		cmocka_unit_test(the_oldest_open_question_bounds_it_and_its_answer_makes_room),
		cmocka_unit_test(a_question_is_given_up_at_its_timeout_and_not_before),
		cmocka_unit_test(all_that_is_open_can_be_given_up_at_once),
		cmocka_unit_test(it_agrees_with_a_plain_list_in_a_long_random_life),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
