/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_export.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

static void format_began(char buf[32], const struct report *r)
{
	struct tm tm;

	buf[0] = '\0';
	if (gmtime_r(&r->began, &tm) != NULL)
		strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* As JSON and spreadsheets read it, with all the digits that a measurement can have. */
static void format_value(char buf[REPORT_NUMBER_LEN], double value)
{
	if (fabs(value) < 1e15 && trunc(value) == value)
		snprintf(buf, REPORT_NUMBER_LEN, "%.0f", value);
	else
		snprintf(buf, REPORT_NUMBER_LEN, "%.9g", value);
}

/* ---- JSON */

/* A report's texts are printable ASCII: two characters need a backslash. */
static void write_string(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text, out);
	}
	putc('"', out);
}

static void write_key(FILE *out, const char *name, unsigned number)
{
	fprintf(out, "%s\"%s\": ", number ? ", " : "", name);
}

static void write_member(FILE *out, const char *name, const char *text)
{
	fprintf(out, ", \"%s\": ", name);
	write_string(out, text);
}

static void write_parameters(FILE *out, const struct report *r)
{
	unsigned i;

	fputs(", \"parameters\": {", out);
	for (i = 0; i < r->parameters; i++) {
		write_key(out, r->parameter[i].name, i);
		if (r->parameter[i].is_number)
			fputs(r->parameter[i].text, out);
		else
			write_string(out, r->parameter[i].text);
	}
	putc('}', out);
}

static void write_results(FILE *out, const struct report *r)
{
	char number[REPORT_NUMBER_LEN];
	unsigned i;

	fputs(", \"results\": {", out);
	for (i = 0; i < r->figures; i++) {
		write_key(out, r->figure[i].name, i);
		format_value(number, r->figure[i].value);
		fputs(isfinite(r->figure[i].value) ? number : "null", out);
	}
	fputs("}, \"units\": {", out);
	for (i = 0; i < r->figures; i++) {
		write_key(out, r->figure[i].name, i);
		write_string(out, r->figure[i].unit);
	}
	putc('}', out);
}

static void write_histogram(FILE *out, const struct histogram *h)
{
	const char *separator = "";
	unsigned i;

	fprintf(out, "{\"count\": %" PRIu64 ", \"min_ns\": %" PRIu64 ", \"mean_ns\": %.1f", h->count, h->min,
		histogram_mean(h));
	for (i = 0; i < REPORT_PERCENTILES; i++)
		fprintf(out, ", \"%s_ns\": %" PRIu64, report_percentile[i].key,
			histogram_percentile(h, report_percentile[i].percent));
	fprintf(out, ", \"max_ns\": %" PRIu64 ", \"buckets\": [", h->max);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->bucket[i] == 0)
			continue;
		fprintf(out, "%s[%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", separator, histogram_low(i),
			histogram_high(i), h->bucket[i]);
		separator = ", ";
	}
	fputs("]}", out);
}

void export_json(FILE *out, const struct report *r)
{
	char began[32];
	unsigned i;

	format_began(began, r);
	fputs("{\"program\": \"dtlsbench\"", out);
	write_member(out, "version", PACKAGE_VERSION);
	write_member(out, "mode", r->mode);
	write_member(out, "server", r->server);
	write_member(out, "began", began);
	write_parameters(out, r);
	write_results(out, r);
	fputs(", \"histograms\": {", out);
	for (i = 0; i < r->series_count; i++) {
		write_key(out, r->series[i].name, i);
		write_histogram(out, r->series[i].histogram);
	}
	fputs("}}\n", out);
}

/* ---- CSV */

/* A field of the header or of the line; RFC 4180 wants quotes around what holds commas or quotes. */
static void write_field(FILE *out, const char *text)
{
	bool quoted = strpbrk(text, ",\"") != NULL;

	putc(',', out);
	if (quoted)
		putc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			putc('"', out);
		putc(*text, out);
	}
	if (quoted)
		putc('"', out);
}

static void write_names(FILE *out, const struct report *r)
{
	unsigned i, p;

	fputs("mode,server,began", out);
	for (i = 0; i < r->parameters; i++)
		write_field(out, r->parameter[i].name);
	for (i = 0; i < r->figures; i++)
		write_field(out, r->figure[i].name);
	for (i = 0; i < r->series_count; i++) {
		const char *name = r->series[i].name;

		fprintf(out, ",%s_count,%s_min_ns,%s_mean_ns", name, name, name);
		for (p = 0; p < REPORT_PERCENTILES; p++)
			fprintf(out, ",%s_%s_ns", name, report_percentile[p].key);
		fprintf(out, ",%s_max_ns", name);
	}
	fputs("\r\n", out);
}

static void write_values(FILE *out, const struct report *r)
{
	char text[REPORT_NUMBER_LEN];
	unsigned i, p;

	fputs(r->mode, out);
	write_field(out, r->server);
	format_began(text, r);
	write_field(out, text);
	for (i = 0; i < r->parameters; i++)
		write_field(out, r->parameter[i].text);
	for (i = 0; i < r->figures; i++) {
		format_value(text, r->figure[i].value);
		write_field(out, isfinite(r->figure[i].value) ? text : "");
	}
	for (i = 0; i < r->series_count; i++) {
		const struct histogram *h = r->series[i].histogram;

		fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%.1f", h->count, h->min, histogram_mean(h));
		for (p = 0; p < REPORT_PERCENTILES; p++)
			fprintf(out, ",%" PRIu64, histogram_percentile(h, report_percentile[p].percent));
		fprintf(out, ",%" PRIu64, h->max);
	}
	fputs("\r\n", out);
}

void export_csv(FILE *out, const struct report *r)
{
	write_names(out, r);
	write_values(out, r);
}
