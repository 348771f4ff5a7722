/* SPDX-License-Identifier: BSD-2-Clause */
#include "explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"

/* Runs explain_tell with standard error in a file; what was written there. */
static char *told(struct explain *x, const struct metrics *m)
{
	static char text[8192];
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t n;

	assert_non_null(f);
	dup2(fileno(f), STDERR_FILENO);
	explain_tell(x, m);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void what_moved_is_told_once_with_its_number_and_advice(void **state)
{
	struct explain x = { 0 };
	struct metrics m = { 0 };
	char *text;

	(void)state;
	assert_string_equal(told(&x, &m), "");
	metric_add(&m, METRIC_drop_replay, 7);
	metric_add(&m, METRIC_tx_queue_full, 3);
	text = told(&x, &m);
	assert_non_null(strstr(text, "info: drop_replay: 7 records seen before or too old: "));
	assert_non_null(strstr(text, "warning: tx_queue_full: 3 datagrams dropped"));
	assert_non_null(strstr(text, "net.core.wmem_max"));
	assert_string_equal(told(&x, &m), "");
	metric_inc(&m, METRIC_drop_replay);
	assert_non_null(strstr(told(&x, &m), "drop_replay: 1 "));
}

static void what_is_no_failure_is_not_told(void **state)
{
	struct explain x = { 0 };
	struct metrics m = { 0 };

	(void)state;
	metric_inc(&m, METRIC_rx_datagrams);
	metric_inc(&m, METRIC_session_opened);
	metric_inc(&m, METRIC_records_out);
	assert_string_equal(told(&x, &m), "");
}

static void a_flood_does_not_flood_the_log(void **state)
{
	struct explain x = { 0 };
	struct metrics m = { 0 };
	unsigned lines = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		metric_inc(&m, METRIC_drop_malformed);
		lines += *told(&x, &m) != '\0';
	}
	assert_in_range(lines, 1, 2 * LOG_BURST);
}

static void everything_that_drops_has_advice(void **state)
{
	(void)state;
	for (int i = 0; i < METRIC_COUNT; i++)
		if (strncmp(metric_name[i], "drop_", 5) == 0)
			assert_non_null(explain_advice((enum metric)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_moved_is_told_once_with_its_number_and_advice),
		cmocka_unit_test(what_is_no_failure_is_not_told),
		cmocka_unit_test(a_flood_does_not_flood_the_log),
		cmocka_unit_test(everything_that_drops_has_advice),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	log_open(LOG_TO_STDERR, LOG_INFO_, "test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
