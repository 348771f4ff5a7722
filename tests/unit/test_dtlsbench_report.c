/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "dtlsbench_report.h"

static void numbers_are_grouped_and_have_as_many_digits_as_tell_something(void **state)
{
	char buf[REPORT_NUMBER_LEN];

	(void)state;
	assert_string_equal(report_format_number(buf, 0), "0");
	assert_string_equal(report_format_number(buf, 7), "7");
	assert_string_equal(report_format_number(buf, 999), "999");
	assert_string_equal(report_format_number(buf, 1000), "1,000");
	assert_string_equal(report_format_number(buf, 123456), "123,456");
	assert_string_equal(report_format_number(buf, -1234567), "-1,234,567");
	assert_string_equal(report_format_number(buf, 999999999999999), "999,999,999,999,999");
	assert_string_equal(report_format_number(buf, 12345.67), "12,346");
	assert_string_equal(report_format_number(buf, 999.949), "999.9");
	assert_string_equal(report_format_number(buf, 999.951), "1,000");
	assert_string_equal(report_format_number(buf, 12.344), "12.34");
	assert_string_equal(report_format_number(buf, -0.0045612), "-0.004561");
	assert_string_equal(report_format_number(buf, 1e300), "1e+300");
	assert_string_equal(report_format_number(buf, NAN), "-");
	assert_string_equal(report_format_number(buf, -INFINITY), "-");
}

static void durations_have_three_digits_and_a_unit(void **state)
{
	char buf[REPORT_NUMBER_LEN];

	(void)state;
	assert_string_equal(report_format_ns(buf, 0), "0 ns");
	assert_string_equal(report_format_ns(buf, 850), "850 ns");
	assert_string_equal(report_format_ns(buf, 999.4), "999 ns");
	assert_string_equal(report_format_ns(buf, 999.6), "1 us");
	assert_string_equal(report_format_ns(buf, 12345), "12.3 us");
	assert_string_equal(report_format_ns(buf, 999600), "1 ms");
	assert_string_equal(report_format_ns(buf, 123456789), "123 ms");
	assert_string_equal(report_format_ns(buf, 2500000000), "2.5 s");
	assert_string_equal(report_format_ns(buf, 3600e9), "3600 s");
}

static void texts_are_cut_and_keep_only_what_can_be_printed(void **state)
{
	struct report r;
	char text[300];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	report_init(&r, "echo", "caf\xc3\xa9 \x1b[2J\n:1", 0);
	assert_string_equal(r.server, "caf?? ?[2J?:1");
	report_add_text(&r, "priority", text);
	assert_int_equal(strlen(r.parameter[0].text), sizeof(r.parameter[0].text) - 1);
	report_add_number(&r, "rate", 12500);
	report_add_number(&r, "share", 0.25);
	assert_string_equal(r.parameter[1].text, "12500");
	assert_string_equal(r.parameter[2].text, "0.25");
	assert_false(r.parameter[0].is_number);
	assert_true(r.parameter[2].is_number);
}

static void write_mode(FILE *out, const struct report *r)
{
	fputs(r->mode, out);
}

static void a_file_is_replaced_and_what_cannot_be_written_is_told(void **state)
{
	char path[] = "/tmp/dtlsbench-report-XXXXXX", text[16] = "";
	struct report r;
	int fd = mkstemp(path);
	FILE *in;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "something longer", 16), 16);
	close(fd);
	report_init(&r, "echo", "[::1]:4433", 0);
	assert_int_equal(report_write(&r, path, write_mode), 0);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(fread(text, 1, sizeof(text), in), 4);
	assert_string_equal(text, "echo");
	fclose(in);
	unlink(path);
	assert_int_equal(report_write(&r, "/nonexistent/report", write_mode), -ENOENT);
	if (access("/dev/full", W_OK) == 0)
		assert_int_equal(report_write(&r, "/dev/full", write_mode), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_grouped_and_have_as_many_digits_as_tell_something),
		cmocka_unit_test(durations_have_three_digits_and_a_unit),
		cmocka_unit_test(texts_are_cut_and_keep_only_what_can_be_printed),
		cmocka_unit_test(a_file_is_replaced_and_what_cannot_be_written_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
