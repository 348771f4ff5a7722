/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "redial.h"

static struct addr server(uint16_t port)
{
	return (struct addr){ .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, .port = port, .family = AF_INET };
}

/* One failure in a row after another, each as soon as may be. Returns the last wait. */
static uint64_t fail_times(struct redial *r, const struct addr *a, uint64_t *now, unsigned times, uint32_t chance)
{
	uint64_t wait = 0;

	for (unsigned i = 0; i < times; i++) {
		redial_failed(r, a, *now, *now + 1, chance);
		*now += 1;
		for (wait = 1; !redial_may(r, a, *now + wait); wait++)
			assert_true(wait <= REDIAL_MOST_MS);
		*now += wait;
	}
	return wait;
}

static void who_never_failed_may_be_tried_always(void **state)
{
	struct redial r = { .server = { { .failures = 0 } } };
	struct addr a = server(1);

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(redial_may(&r, &a, 5));
	assert_false(redial_succeeded(&r, &a));
}

static void waits_double_up_to_a_bound(void **state)
{
	struct redial r = { .server = { { .failures = 0 } } };
	struct addr a = server(1);
	uint64_t now = 1000;

	(void)state;
	assert_int_equal(fail_times(&r, &a, &now, 1, 0), REDIAL_FIRST_MS);
	assert_int_equal(fail_times(&r, &a, &now, 1, 0), 2 * REDIAL_FIRST_MS);
	assert_int_equal(fail_times(&r, &a, &now, 1, 0), 4 * REDIAL_FIRST_MS);
	assert_int_equal(fail_times(&r, &a, &now, 20, 0), REDIAL_MOST_MS);
	assert_true(redial_succeeded(&r, &a));
	assert_true(redial_may(&r, &a, now));
	assert_int_equal(fail_times(&r, &a, &now, 1, 0), REDIAL_FIRST_MS);
}

static void chance_shortens_a_wait_by_up_to_a_quarter(void **state)
{
	(void)state;
	for (uint32_t chance = 0; chance < 5000; chance += 7) {
		struct redial r = { .server = { { .failures = 0 } } };
		struct addr a = server(1);
		uint64_t now = 0, wait = fail_times(&r, &a, &now, 1, chance);

		assert_in_range(wait, REDIAL_FIRST_MS * 3 / 4, REDIAL_FIRST_MS);
	}
}

static void one_at_a_time_tries_again(void **state)
{
	struct redial r = { .server = { { .failures = 0 } } };
	struct addr a = server(1), other = server(2);

	(void)state;
	redial_failed(&r, &a, 10, 20, 0);
	assert_false(redial_may(&r, &a, 20 + REDIAL_FIRST_MS - 1));
	assert_true(redial_may(&r, &a, 20 + REDIAL_FIRST_MS));
	assert_false(redial_may(&r, &a, 20 + REDIAL_FIRST_MS));
	assert_false(redial_may(&r, &a, 20 + 2 * REDIAL_FIRST_MS - 1));
	assert_true(redial_may(&r, &a, 20 + 2 * REDIAL_FIRST_MS));
	assert_true(redial_may(&r, &other, 20));
}

static void who_were_under_way_together_fail_once(void **state)
{
	struct redial r = { .server = { { .failures = 0 } } };
	struct addr a = server(1);

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		redial_failed(&r, &a, i, 200 + i, 0);
	assert_true(redial_may(&r, &a, 200 + REDIAL_FIRST_MS));
}

static void more_servers_than_have_room_push_out_the_one_that_is_due_first(void **state)
{
	struct redial r = { .server = { { .failures = 0 } } };
	struct addr a;

	(void)state;
	for (uint16_t port = 1; port <= REDIAL_SERVERS + 1; port++) {
		a = server(port);
		redial_failed(&r, &a, port, port, 0);
	}
	a = server(1);
	assert_true(redial_may(&r, &a, REDIAL_SERVERS + 2));
	for (uint16_t port = 2; port <= REDIAL_SERVERS + 1; port++) {
		a = server(port);
		assert_false(redial_may(&r, &a, REDIAL_SERVERS + 2));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_never_failed_may_be_tried_always),
		cmocka_unit_test(waits_double_up_to_a_bound),
		cmocka_unit_test(chance_shortens_a_wait_by_up_to_a_quarter),
		cmocka_unit_test(one_at_a_time_tries_again),
		cmocka_unit_test(who_were_under_way_together_fail_once),
		cmocka_unit_test(more_servers_than_have_room_push_out_the_one_that_is_due_first),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
