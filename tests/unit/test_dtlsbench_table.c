/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dtlsbench_table.h"
#include "written.h"

static void assert_line(const char *text, const char *line)
{
	if (strstr(text, line) == NULL)
		fail_msg("no line \"%s\" in:\n%s", line, text);
}

static unsigned lines_after(const char *text, const char *head)
{
	const char *at = strstr(text, head);
	unsigned lines = 0;

	assert_non_null(at);
	for (; *at != '\0'; at++)
		lines += *at == '\n';
	return lines - 1;
}

static void figures_stand_in_columns_with_their_units(void **state)
{
	struct report r;
	const char *text;

	(void)state;
	report_init(&r, "echo", "127.0.0.1:4433", 0);
	report_add_number(&r, "sessions", 100);
	report_add_text(&r, "priority", "NORMAL");
	report_add_figure(&r, "echoes", "", 1234567);
	report_add_figure(&r, "server_cpu_per_echo", "us", 3.2141);
	report_add_figure(&r, "server_rss_per_session", "bytes", NAN);
	text = written(table_write, &r);
	assert_line(text, "echo  127.0.0.1:4433  19");
	assert_line(text, "\nsessions 100, priority NORMAL\n");
	assert_line(text, "\nechoes                         1,234,567\n");
	assert_line(text, "\nserver cpu per echo                3.214 us\n");
	assert_line(text, "\nserver rss per session                 - bytes\n");
}

static void many_parameters_go_on_in_the_next_line(void **state)
{
	struct report r;
	char name[8];
	const char *line, *end;
	unsigned i;

	(void)state;
	report_init(&r, "echo", "127.0.0.1:4433", 0);
	for (i = 0; i < REPORT_PARAMETERS; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		report_add_text(&r, name, "some text");
	}
	for (line = written(table_write, &r); (end = strchr(line, '\n')) != NULL; line = end + 1)
		assert_true(end - line < 80);
}

static void bars_are_as_long_as_what_they_count(void **state)
{
	static struct histogram h;
	struct report r;
	const char *text;
	unsigned i;

	(void)state;
	histogram_init(&h);
	for (i = 0; i < 100000; i++)
		histogram_record(&h, i % 100 < 80 ? 1024 : 1100);
	histogram_record(&h, 1023);
	report_init(&r, "latency", "127.0.0.1:4433", 0);
	report_add_histogram(&r, "round_trip", &h);
	text = written(table_write, &r);
	assert_line(text, "\nround trip      100,001 1.04 us 1.03 us  1.1 us  1.1 us  1.1 us  1.1 us  1.1 us\n");
	assert_line(text, "\n   992 ns    1.02 us    0.001 %    0.001 %  .\n");
	assert_line(text, "\n  1.02 us    1.09 us   79.999 %   80.000 %  ########################################\n");
	assert_line(text, "\n  1.09 us    1.15 us   20.000 %  100.000 %  ##########\n");
	assert_int_equal(lines_after(text, "   from "), 3);
}

static void the_widest_histogram_is_still_read_at_a_glance(void **state)
{
	static struct histogram h;
	struct report r;
	uint64_t ns;
	const char *text;

	(void)state;
	histogram_init(&h);
	report_init(&r, "latency", "127.0.0.1:4433", 0);
	report_add_histogram(&r, "round_trip", &h);
	text = written(table_write, &r);
	assert_null(strstr(text, "   from ")); /* nothing to draw */
	for (ns = 1000; ns < UINT64_C(2000000000); ns += ns / 10)
		histogram_record(&h, ns);
	text = written(table_write, &r);
	assert_in_range(lines_after(text, "   from "), 10, 24);
	histogram_record(&h, 0);
	histogram_record(&h, UINT64_MAX);
	text = written(table_write, &r);
	assert_in_range(lines_after(text, "   from "), 20, 40); /* one a doubling */
	assert_line(text, "100.000 %");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_stand_in_columns_with_their_units),
		cmocka_unit_test(many_parameters_go_on_in_the_next_line),
		cmocka_unit_test(bars_are_as_long_as_what_they_count),
		cmocka_unit_test(the_widest_histogram_is_still_read_at_a_glance),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
