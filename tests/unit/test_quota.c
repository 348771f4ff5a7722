/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quota.h"

#define THREADS 4
#define ROUNDS 20000

static void without_limits_all_get_in(void **state)
{
	struct quota *q = quota_new(&(struct quota_limits){ 0, 0, 0 });

	(void)state;
	assert_non_null(q);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(quota_admit(q, false), QUOTA_OK);
		assert_true(quota_rate(q, 5));
	}
	for (int i = 0; i < 1000; i++) {
		quota_handshake_over(q);
		quota_leave(q);
	}
	quota_free(q);
	quota_free(NULL);
}

static void sessions_and_handshakes_are_counted_apart(void **state)
{
	struct quota *q = quota_new(&(struct quota_limits){ .sessions = 3, .handshakes = 2 });

	(void)state;
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	assert_int_equal(quota_admit(q, false), QUOTA_HANDSHAKES);
	quota_handshake_over(q);
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	quota_handshake_over(q);
	assert_int_equal(quota_admit(q, false), QUOTA_SESSIONS);
	/* who has a session already needs no second place, and a refusal took none */
	assert_int_equal(quota_admit(q, true), QUOTA_OK);
	quota_handshake_over(q);
	quota_leave(q);
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	quota_handshake_over(q);
	quota_handshake_over(q);
	for (int i = 0; i < 3; i++)
		quota_leave(q);
	quota_free(q);
}

static void new_limits_hold_for_newcomers(void **state)
{
	struct quota *q = quota_new(&(struct quota_limits){ .sessions = 2 });

	(void)state;
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	quota_set_limits(q, &(struct quota_limits){ .sessions = 1 });
	assert_int_equal(quota_admit(q, false), QUOTA_SESSIONS);
	quota_set_limits(q, &(struct quota_limits){ .sessions = 3 });
	assert_int_equal(quota_admit(q, false), QUOTA_OK);
	for (int i = 0; i < 3; i++) {
		quota_handshake_over(q);
		quota_leave(q);
	}
	quota_free(q);
}

static void the_rate_is_a_bucket_of_one_second(void **state)
{
	struct quota *q = quota_new(&(struct quota_limits){ .handshake_rate = 2 });

	(void)state;
	assert_true(quota_rate(q, 1000));
	assert_true(quota_rate(q, 1000));
	assert_false(quota_rate(q, 1000));
	assert_true(quota_rate(q, 1500));
	assert_false(quota_rate(q, 1500));
	quota_set_limits(q, &(struct quota_limits){ .handshake_rate = 1 });
	assert_true(quota_rate(q, 1500));
	assert_false(quota_rate(q, 1999));
	quota_set_limits(q, &(struct quota_limits){ 0, 0, 0 });
	assert_true(quota_rate(q, 1999));
	quota_free(q);
}

static void *come_and_go(void *ctx)
{
	struct quota *q = ctx;
	uintptr_t admitted = 0;

	for (int i = 0; i < ROUNDS; i++) {
		if (quota_admit(q, false) != QUOTA_OK)
			continue;
		admitted++;
		quota_rate(q, (uint64_t)i);
		quota_handshake_over(q);
		quota_leave(q);
	}
	return (void *)admitted;
}

/* It is freed, which asserts that nobody is left. */
static void threads_share_it(void **state)
{
	struct quota *q = quota_new(&(struct quota_limits){ .sessions = 2, .handshakes = 2, .handshake_rate = 100 });
	pthread_t thread[THREADS];
	uintptr_t sum = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, q), 0);
	for (int i = 0; i < THREADS; i++) {
		void *admitted;

		assert_int_equal(pthread_join(thread[i], &admitted), 0);
		sum += (uintptr_t)admitted;
	}
	assert_true(sum > 0);
	quota_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_all_get_in),
		cmocka_unit_test(sessions_and_handshakes_are_counted_apart),
		cmocka_unit_test(new_limits_hold_for_newcomers),
		cmocka_unit_test(the_rate_is_a_bucket_of_one_second),
		cmocka_unit_test(threads_share_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
