/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_table.h"

#include <assert.h>
#include <string.h>

#define TABLE_COLUMNS 78
#define BARS_MAX      20 /* lines of one histogram */
#define BAR_COLUMNS   40

static void write_head(FILE *out, const struct report *r)
{
	struct tm tm;
	char when[32] = "";
	unsigned i;
	int column = 0;

	if (localtime_r(&r->began, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s  %s  %s\n", r->mode, r->server, when);
	for (i = 0; i < r->parameters; i++) {
		const struct report_parameter *p = &r->parameter[i];
		int width = (int)(strlen(p->name) + strlen(p->text)) + 3;

		if (column > 0 && column + width > TABLE_COLUMNS) {
			putc('\n', out);
			column = 0;
		}
		column += fprintf(out, "%s%s %s", column > 0 ? ", " : "", p->name, p->text);
	}
	if (column > 0)
		putc('\n', out);
}

/* A key as words. */
static void write_words(FILE *out, const char *name, int width)
{
	int i;

	for (i = 0; name[i] != '\0'; i++)
		putc(name[i] == '_' ? ' ' : name[i], out);
	fprintf(out, "%*s", width > i ? width - i : 0, "");
}

static void write_figures(FILE *out, const struct report *r)
{
	char number[REPORT_NUMBER_LEN];
	int width = 0, len;
	unsigned i;

	for (i = 0; i < r->figures; i++) {
		len = (int)strlen(r->figure[i].name);
		width = len > width ? len : width;
	}
	if (r->figures > 0)
		putc('\n', out);
	for (i = 0; i < r->figures; i++) {
		const struct report_figure *f = &r->figure[i];

		write_words(out, f->name, width);
		fprintf(out, "  %16s%s%s\n", report_format_number(number, f->value), *f->unit ? " " : "", f->unit);
	}
}

static void write_percentiles(FILE *out, const struct report *r)
{
	char text[REPORT_NUMBER_LEN];
	unsigned i, p;

	if (r->series_count == 0)
		return;
	fprintf(out, "\n%-12s %10s %7s", "", "count", "mean");
	for (p = 0; p < REPORT_PERCENTILES; p++)
		fprintf(out, " %7s", report_percentile[p].label);
	fprintf(out, " %7s\n", "max");
	for (i = 0; i < r->series_count; i++) {
		const struct histogram *h = r->series[i].histogram;

		write_words(out, r->series[i].name, 12);
		fprintf(out, " %10s", report_format_number(text, (double)h->count));
		fprintf(out, " %7s", report_format_ns(text, histogram_mean(h)));
		for (p = 0; p < REPORT_PERCENTILES; p++)
			fprintf(out, " %7s", report_format_ns(text,
				(double)histogram_percentile(h, report_percentile[p].percent)));
		fprintf(out, " %7s\n", report_format_ns(text, (double)h->max));
	}
}

/* The first bucket that counts anything from i on, in the direction of step. */
static unsigned next_used(const struct histogram *h, unsigned i, int step)
{
	while (h->bucket[i] == 0)
		i += (unsigned)step;
	return i;
}

/* How many buckets one bar stands for: as few as the number of lines allows. */
static unsigned buckets_per_bar(unsigned first, unsigned last)
{
	unsigned n;

	for (n = HISTOGRAM_SUB / 16; last / n - first / n >= BARS_MAX && n < HISTOGRAM_SUB; n *= 2)
		;
	return n;
}

static uint64_t count_of(const struct histogram *h, unsigned from, unsigned n)
{
	uint64_t sum = 0;

	while (n-- > 0)
		sum += h->bucket[from++];
	return sum;
}

static void write_bar(FILE *out, const struct histogram *h, unsigned from, unsigned n, uint64_t *seen,
		      uint64_t highest)
{
	char low[REPORT_NUMBER_LEN], high[REPORT_NUMBER_LEN];
	uint64_t count = count_of(h, from, n);
	unsigned length = (unsigned)((double)count * BAR_COLUMNS / (double)highest + 0.5);

	*seen += count;
	fprintf(out, "%9s  %9s %8.3f %% %8.3f %%  ", report_format_ns(low, (double)histogram_low(from)),
		report_format_ns(high, (double)histogram_high(from + n - 1) + 1),
		(double)count * 100 / (double)h->count, (double)*seen * 100 / (double)h->count);
	if (count > 0 && length == 0)
		putc('.', out);
	while (length-- > 0)
		putc('#', out);
	putc('\n', out);
}

static void write_bars(FILE *out, const struct report_series *s)
{
	const struct histogram *h = s->histogram;
	uint64_t seen = 0, highest = 0, count;
	unsigned first, last, n, i;

	if (h->count == 0)
		return;
	first = next_used(h, 0, 1);
	last = next_used(h, HISTOGRAM_BUCKETS - 1, -1);
	n = buckets_per_bar(first, last);
	first -= first % n;
	for (i = first; i <= last; i += n) {
		count = count_of(h, i, n);
		highest = count > highest ? count : highest;
	}
	assert(highest > 0);
	putc('\n', out);
	write_words(out, s->name, 0);
	fprintf(out, "\n%9s  %9s %10s %10s\n", "from", "below", "share", "together");
	for (i = first; i <= last; i += n)
		write_bar(out, h, i, n, &seen, highest);
}

void table_write(FILE *out, const struct report *r)
{
	unsigned i;

	write_head(out, r);
	write_figures(out, r);
	write_percentiles(out, r);
	for (i = 0; i < r->series_count; i++)
		write_bars(out, &r->series[i]);
}
