/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "metrics.h"

static void every_counter_has_a_distinct_name_and_a_help_text(void **state)
{
	unsigned i, j;
	const char *c;

	(void)state;
	for (i = 0; i < METRIC_COUNT; i++) {
		assert_true(strlen(metric_name[i]) > 0);
		assert_true(strlen(metric_help[i]) > 0);
		for (c = metric_name[i]; *c != '\0'; c++)
			assert_true(islower((unsigned char)*c) || *c == '_');
		for (j = 0; j < i; j++) {
			assert_string_not_equal(metric_name[i], metric_name[j]);
			assert_string_not_equal(metric_help[i], metric_help[j]);
		}
	}
	assert_string_equal(metric_name[METRIC_drop_replay], "drop_replay");
	assert_string_equal(metric_help[METRIC_drop_replay], "records seen before or too old");
}

static void counting_touches_one_counter_only(void **state)
{
	struct metrics m = { 0 };
	unsigned i, j;

	(void)state;
	for (i = 0; i < METRIC_COUNT; i++)
		metric_add(&m, (enum metric)i, i + 1);
	for (j = 0; j < METRIC_COUNT; j++)
		assert_int_equal(metric_get(&m, (enum metric)j), j + 1);
	metric_inc(&m, METRIC_records_in);
	assert_int_equal(metric_get(&m, METRIC_records_in), METRIC_records_in + 2);
}

static void only_what_was_counted_is_formatted(void **state)
{
	struct metrics m = { 0 };
	char buf[200];

	(void)state;
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(metrics_format(&m, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	metric_add(&m, METRIC_rx_bytes, UINT64_MAX);
	metric_add(&m, METRIC_bytes_in, 7);
	assert_int_equal(metrics_format(&m, buf, sizeof(buf)), 40);
	assert_string_equal(buf, "rx_bytes=18446744073709551615 bytes_in=7");
}

static void a_cut_never_shows_half_a_number(void **state)
{
	static const char first[] = "rx_bytes=123456";
	static const char both[] = "rx_bytes=123456 bytes_in=789";
	struct metrics m = { 0 };
	char buf[64];
	size_t size, n;

	(void)state;
	metric_add(&m, METRIC_rx_bytes, 123456);
	metric_add(&m, METRIC_bytes_in, 789);
	for (size = 1; size < sizeof(buf); size++) {
		memset(buf, 'x', sizeof(buf));
		n = metrics_format(&m, buf, size);
		assert_string_equal(buf, size > strlen(both) ? both : size > strlen(first) ? first : "");
		assert_int_equal(n, strlen(buf));
		assert_int_equal(buf[size], 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_has_a_distinct_name_and_a_help_text),
		cmocka_unit_test(counting_touches_one_counter_only),
		cmocka_unit_test(only_what_was_counted_is_formatted),
		cmocka_unit_test(a_cut_never_shows_half_a_number),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
