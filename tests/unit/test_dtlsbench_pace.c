/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dtlsbench_pace.h"

#define SECOND UINT64_C(1000000000)

static void operations_are_due_at_equal_distances_from_the_start_on(void **state)
{
	const struct pace p = { .start_ns = 5 * SECOND, .rate = 1000 };

	(void)state;
	assert_int_equal(pace_due(&p, 0), 5 * SECOND);
	assert_int_equal(pace_due(&p, 1), 5 * SECOND + 1000000);
	assert_int_equal(pace_due(&p, 1000000), 1005 * SECOND);
	assert_int_equal(pace_count(&p, 5 * SECOND - 1), 0);
	assert_int_equal(pace_count(&p, 5 * SECOND), 1);
	assert_int_equal(pace_count(&p, 5 * SECOND + 999999), 1);
	assert_int_equal(pace_count(&p, 5 * SECOND + 1000000), 2);
}

static void what_was_missed_meanwhile_is_still_due(void **state)
{
	const struct pace p = { .start_ns = 1, .rate = 500 };

	(void)state;
	assert_int_equal(pace_count(&p, 1 + 10 * SECOND), 5001);
}

static void without_a_rate_nothing_is_due(void **state)
{
	const struct pace p = { .start_ns = 1, .rate = 0 };

	(void)state;
	assert_int_equal(pace_count(&p, UINT64_MAX), 0);
}

/* Whatever the rate and the clock: just when an operation is due it counts, and a nanosecond earlier it does not. */
static void counting_and_due_times_agree_to_the_nanosecond(void **state)
{
	static const double rates[] = { 0.3, 1, 3, 7.7, 999, 1e3, 333333, 1e6, 7e7 };

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct pace p = { .start_ns = 1234567890123456789, .rate = rates[i] };

		for (uint64_t n = 1; n < 10000000; n = n * 3 + 1) {
			uint64_t due = pace_due(&p, n);

			assert_true(pace_count(&p, due) >= n + 1);
			assert_true(pace_count(&p, due - 1) <= n);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_are_due_at_equal_distances_from_the_start_on),
		cmocka_unit_test(what_was_missed_meanwhile_is_still_due),
		cmocka_unit_test(without_a_rate_nothing_is_due),
		cmocka_unit_test(counting_and_due_times_agree_to_the_nanosecond),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
