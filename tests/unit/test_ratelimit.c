/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ratelimit.h"

static unsigned take_all(struct ratelimit *r, uint64_t now)
{
	unsigned n = 0;

	while (n < 100000 && ratelimit_take(r, now))
		n++;
	return n;
}

static void a_burst_is_given_at_once_and_no_more(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 10, 25, 5000);
	assert_int_equal(take_all(&r, 5000), 25);
	assert_int_equal(take_all(&r, 5000), 0);
	assert_int_equal(take_all(&r, 1000000), 25); /* idle time is not saved beyond the burst */
}

static void tokens_come_at_the_rate_to_the_millisecond(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 10, 5, 0);
	assert_int_equal(take_all(&r, 0), 5);
	assert_false(ratelimit_take(&r, 99));
	assert_true(ratelimit_take(&r, 100));
	assert_false(ratelimit_take(&r, 199));
	assert_true(ratelimit_take(&r, 200));
	assert_int_equal(take_all(&r, 500), 3);
	ratelimit_init(&r, 999, 1, 0);
	assert_int_equal(take_all(&r, 0), 1);
	assert_false(ratelimit_take(&r, 1)); /* 0.999 of a token */
	assert_true(ratelimit_take(&r, 2));
}

static void asking_often_neither_gains_nor_loses(void **state)
{
	static const uint32_t rates[] = { 1, 3, 7, 333, 999, 1001, 50000 };
	unsigned i, given;
	struct ratelimit r;
	uint64_t now;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		ratelimit_init(&r, rates[i], 100, 0);
		take_all(&r, 0);
		given = 0;
		for (now = 1; now <= 60000; now++)
			given += take_all(&r, now);
		assert_int_equal(given, 60 * rates[i]);
	}
}

static void a_clock_that_goes_backwards_adds_nothing(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 1000, 10, 100000);
	assert_int_equal(take_all(&r, 100000), 10);
	assert_int_equal(take_all(&r, 0), 0);
	assert_int_equal(take_all(&r, 100000), 0); /* nor does its return */
	assert_int_equal(take_all(&r, 100003), 3);
}

static void extremes_do_not_overflow(void **state)
{
	struct ratelimit r;
	unsigned i;

	(void)state;
	ratelimit_init(&r, UINT32_MAX, UINT32_MAX, 0);
	for (i = 0; i < 1000; i++)
		assert_true(ratelimit_take(&r, 0));
	assert_true(ratelimit_take(&r, UINT64_MAX));
	assert_true(r.tokens == (uint64_t)UINT32_MAX * 1000 - 1000);
	ratelimit_init(&r, 1, 1, 0);
	assert_int_equal(take_all(&r, UINT64_MAX), 1);
	assert_int_equal(take_all(&r, UINT64_MAX), 0);
}

static void rate_zero_is_no_limit_and_burst_zero_is_one(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 0, 0, 0);
	assert_int_equal(take_all(&r, 0), 100000);
	ratelimit_init(&r, 10, 0, 0);
	assert_int_equal(take_all(&r, 0), 1);
	assert_int_equal(take_all(&r, 100), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_given_at_once_and_no_more),
		cmocka_unit_test(tokens_come_at_the_rate_to_the_millisecond),
		cmocka_unit_test(asking_often_neither_gains_nor_loses),
		cmocka_unit_test(a_clock_that_goes_backwards_adds_nothing),
		cmocka_unit_test(extremes_do_not_overflow),
		cmocka_unit_test(rate_zero_is_no_limit_and_burst_zero_is_one),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
