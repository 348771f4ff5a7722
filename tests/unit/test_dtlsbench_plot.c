/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dtlsbench_plot.h"
#include "written.h"

static unsigned count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (text = strstr(text, what); text != NULL; text = strstr(text + 1, what))
		n++;
	return n;
}

/* Elements are closed in the order in which they were opened, and nothing but entities begins with "&". */
static void assert_well_formed(const char *text)
{
	char open[8][16];
	unsigned depth = 0;
	size_t len;

	for (text = strchr(text, '<'); text != NULL; text = strchr(text + 1, '<')) {
		const char *end = strchr(text, '>');

		assert_non_null(end);
		if (text[1] == '/') {
			assert_true(depth > 0);
			depth--;
			len = strlen(open[depth]);
			assert_int_equal(strncmp(text + 2, open[depth], len), 0);
			assert_int_equal(text[2 + len], '>');
		} else if (end[-1] != '/') {
			len = strcspn(text + 1, " >");
			assert_true(depth < 8 && len < sizeof(open[0]));
			memcpy(open[depth], text + 1, len);
			open[depth++][len] = '\0';
		}
	}
	assert_int_equal(depth, 0);
}

/* The corner points of the first curve. */
static unsigned read_curve(const char *text, double *x, double *y, unsigned max)
{
	const char *at = strstr(text, " d=\"M");
	double px, py, value;
	unsigned n = 0;
	int used;
	char how;

	assert_non_null(at);
	assert_int_equal(sscanf(at, " d=\"M%lf,%lf%n", &px, &py, &used), 2);
	for (at += used; sscanf(at, "%c%lf%n", &how, &value, &used) == 2; at += used) {
		if (how == 'V')
			py = value;
		else
			px = value;
		assert_true(n < max);
		x[n] = px;
		y[n++] = py;
	}
	return n;
}

static void each_series_has_a_curve_and_a_name(void **state)
{
	static struct histogram a, b, empty;
	struct report r;
	const char *text;
	unsigned i;

	(void)state;
	histogram_init(&a);
	histogram_init(&b);
	histogram_init(&empty);
	for (i = 1; i <= 10000; i++) {
		histogram_record(&a, i * 10);
		histogram_record(&b, i * 1000);
	}
	report_init(&r, "latency", "<&\">:1", 0);
	report_add_text(&r, "priority", "a<b&c");
	report_add_histogram(&r, "first", &a);
	report_add_histogram(&r, "second", &b);
	report_add_histogram(&r, "third", &empty);
	text = written(plot_write, &r);
	assert_well_formed(text);
	assert_int_equal(count_of(text, "<path "), 2);
	assert_non_null(strstr(text, ">first</text>"));
	assert_non_null(strstr(text, ">third</text>"));
	assert_non_null(strstr(text, "&lt;&amp;\">:1"));
	assert_non_null(strstr(text, "priority a&lt;b&amp;c"));
	assert_non_null(strstr(text, ">99.99 %</text>"));
	assert_null(strstr(text, ">99.999 %</text>")); /* of 10000 nobody knows */
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
}

static void the_curve_rises_from_the_least_to_the_greatest(void **state)
{
	static struct histogram h;
	static double x[4096], y[4096];
	struct report r;
	unsigned i, n;
	const char *text;

	(void)state;
	histogram_init(&h);
	for (i = 0; i < 1000; i++)
		histogram_record(&h, i < 900 ? 1000 : 100000);
	report_init(&r, "latency", "[::1]:4433", 0);
	report_add_histogram(&r, "round_trip", &h);
	text = written(plot_write, &r);
	n = read_curve(text, x, y, 4096);
	assert_int_equal(n, 4);
	/* one decade of three from the left at 90 %, and to the right edge; from the bottom to the top */
	assert_true(x[1] > 302 && x[1] < 304 && x[3] > 749 && x[3] < 751);
	assert_true(y[0] > 419 && y[0] < 421 && y[2] > 63 && y[2] < 65);
	for (i = 0; i < 1000000; i++)
		histogram_record(&h, 1000 + i * 7);
	text = written(plot_write, &r);
	n = read_curve(text, x, y, 4096);
	assert_true(n > 100);
	for (i = 1; i < n; i++)
		assert_true(x[i] >= x[i - 1] && y[i] <= y[i - 1]);
}

static void extremes_stay_in_the_picture(void **state)
{
	static struct histogram h;
	static double x[64], y[64];
	struct report r;
	unsigned i, n;
	const char *text;

	(void)state;
	histogram_init(&h);
	report_init(&r, "latency", "[::1]:4433", 0);
	text = written(plot_write, &r);
	assert_well_formed(text);
	assert_non_null(strstr(text, "nothing was recorded"));
	report_add_histogram(&r, "round_trip", &h);
	histogram_record(&h, 0);
	text = written(plot_write, &r);
	assert_well_formed(text);
	assert_int_equal(count_of(text, "<path "), 1);
	histogram_record(&h, UINT64_MAX);
	text = written(plot_write, &r);
	n = read_curve(text, x, y, 64);
	for (i = 0; i < n; i++)
		assert_true(x[i] >= 80 && x[i] <= 751 && y[i] >= 63 && y[i] <= 421);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_series_has_a_curve_and_a_name),
		cmocka_unit_test(the_curve_rises_from_the_least_to_the_greatest),
		cmocka_unit_test(extremes_stay_in_the_picture),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
