/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "dtlsbench_export.h"
#include "written.h"

#define BEGAN 1795310460 /* 2026-11-22 01:21:00 UTC */

static void fill(struct report *r, struct histogram *h)
{
	histogram_init(h);
	histogram_record(h, 100);
	histogram_record(h, 200);
	histogram_record(h, 1000);
	report_init(r, "latency", "a\"b\\c:1", BEGAN);
	report_add_number(r, "rate", 1000);
	report_add_text(r, "priority", "NORMAL, \"odd\"");
	report_add_figure(r, "answered", "", 3);
	report_add_figure(r, "answered_per_second", "/s", 1234.5678);
	report_add_figure(r, "server_cpu", "us", NAN);
	report_add_histogram(r, "round_trip", h);
}

static void json_has_what_the_report_has(void **state)
{
	static struct histogram h;
	struct report r;
	const char *text;

	(void)state;
	fill(&r, &h);
	text = written(export_json, &r);
	assert_string_equal(text,
		"{\"program\": \"dtlsbench\", \"version\": \"" PACKAGE_VERSION "\", \"mode\": \"latency\", "
		"\"server\": \"a\\\"b\\\\c:1\", \"began\": \"2026-11-22T01:21:00Z\", "
		"\"parameters\": {\"rate\": 1000, \"priority\": \"NORMAL, \\\"odd\\\"\"}, "
		"\"results\": {\"answered\": 3, \"answered_per_second\": 1234.5678, \"server_cpu\": null}, "
		"\"units\": {\"answered\": \"\", \"answered_per_second\": \"/s\", \"server_cpu\": \"us\"}, "
		"\"histograms\": {\"round_trip\": {\"count\": 3, \"min_ns\": 100, \"mean_ns\": 433.3, "
		"\"p50_ns\": 200, \"p90_ns\": 1000, \"p99_ns\": 1000, \"p99_9_ns\": 1000, \"p99_99_ns\": 1000, "
		"\"max_ns\": 1000, \"buckets\": [[100, 100, 1], [200, 200, 1], [1000, 1003, 1]]}}}\n");
}

static void csv_is_a_header_and_a_line_of_as_many_fields(void **state)
{
	static struct histogram h;
	struct report r;
	const char *text;

	(void)state;
	fill(&r, &h);
	text = written(export_csv, &r);
	assert_string_equal(text,
		"mode,server,began,rate,priority,answered,answered_per_second,server_cpu,round_trip_count,"
		"round_trip_min_ns,round_trip_mean_ns,round_trip_p50_ns,round_trip_p90_ns,round_trip_p99_ns,"
		"round_trip_p99_9_ns,round_trip_p99_99_ns,round_trip_max_ns\r\n"
		"latency,\"a\"\"b\\c:1\",2026-11-22T01:21:00Z,1000,\"NORMAL, \"\"odd\"\"\",3,1234.5678,,3,"
		"100,433.3,200,1000,1000,1000,1000,1000\r\n");
}

static void an_empty_report_is_complete(void **state)
{
	struct report r;
	const char *text;

	(void)state;
	report_init(&r, "hello", "[::1]:4433", BEGAN);
	text = written(export_json, &r);
	assert_non_null(strstr(text, "\"parameters\": {}, \"results\": {}, \"units\": {}, \"histograms\": {}}\n"));
	text = written(export_csv, &r);
	assert_string_equal(text, "mode,server,began\r\nhello,[::1]:4433,2026-11-22T01:21:00Z\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_has_what_the_report_has),
		cmocka_unit_test(csv_is_a_header_and_a_line_of_as_many_fields),
		cmocka_unit_test(an_empty_report_is_complete),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
