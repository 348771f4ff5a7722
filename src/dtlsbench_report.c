/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_report.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#define WHOLE_LIMIT 1e15 /* a double holds every whole number below it */

const struct report_percentile report_percentile[REPORT_PERCENTILES] = {
	{ 50, "p50", "p50" },
	{ 90, "p90", "p90" },
	{ 99, "p99", "p99" },
	{ 99.9, "p99_9", "p99.9" },
	{ 99.99, "p99_99", "p99.99" },
};

static void copy_text(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; i + 1 < size && from[i] != '\0'; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[i] = '\0';
}

static void copy_name(char *to, size_t size, const char *from)
{
	assert(*from != '\0' && strlen(from) < size);
	assert(strspn(from, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(from));
	memcpy(to, from, strlen(from) + 1);
}

void report_init(struct report *r, const char *mode, const char *server, time_t began)
{
	memset(r, 0, sizeof(*r));
	copy_name(r->mode, sizeof(r->mode), mode);
	copy_text(r->server, sizeof(r->server), server);
	r->began = began;
}

static struct report_parameter *add_parameter(struct report *r, const char *name)
{
	struct report_parameter *p = &r->parameter[r->parameters];
	unsigned i;

	assert(r->parameters < REPORT_PARAMETERS);
	for (i = 0; i < r->parameters; i++)
		assert(strcmp(r->parameter[i].name, name) != 0);
	copy_name(p->name, sizeof(p->name), name);
	r->parameters++;
	return p;
}

void report_add_text(struct report *r, const char *name, const char *text)
{
	struct report_parameter *p = add_parameter(r, name);

	copy_text(p->text, sizeof(p->text), text);
}

void report_add_number(struct report *r, const char *name, double value)
{
	struct report_parameter *p = add_parameter(r, name);

	assert(isfinite(value));
	snprintf(p->text, sizeof(p->text), "%.15g", value);
	p->is_number = true;
}

void report_add_figure(struct report *r, const char *name, const char *unit, double value)
{
	struct report_figure *f = &r->figure[r->figures];
	unsigned i;

	assert(r->figures < REPORT_FIGURES);
	for (i = 0; i < r->figures; i++)
		assert(strcmp(r->figure[i].name, name) != 0);
	copy_name(f->name, sizeof(f->name), name);
	copy_text(f->unit, sizeof(f->unit), unit);
	f->value = value;
	r->figures++;
}

void report_add_histogram(struct report *r, const char *name, const struct histogram *h)
{
	struct report_series *s = &r->series[r->series_count];
	unsigned i;

	assert(r->series_count < REPORT_SERIES);
	for (i = 0; i < r->series_count; i++)
		assert(strcmp(r->series[i].name, name) != 0);
	copy_name(s->name, sizeof(s->name), name);
	s->histogram = h;
	r->series_count++;
}

/* A whole number with a comma before every three digits. */
static void format_grouped(char *buf, double value)
{
	char digits[REPORT_NUMBER_LEN];
	int len = snprintf(digits, sizeof(digits), "%.0f", fabs(value));
	int i;

	if (value < 0)
		*buf++ = '-';
	for (i = 0; i < len; i++) {
		*buf++ = digits[i];
		if (i + 1 < len && (len - i - 1) % 3 == 0)
			*buf++ = ',';
	}
	*buf = '\0';
}

const char *report_format_number(char buf[REPORT_NUMBER_LEN], double value)
{
	double size = fabs(value);

	if (!isfinite(value))
		snprintf(buf, REPORT_NUMBER_LEN, "-");
	else if (size < WHOLE_LIMIT && (size >= 999.95 || trunc(value) == value))
		format_grouped(buf, value);
	else
		snprintf(buf, REPORT_NUMBER_LEN, "%.4g", value);
	return buf;
}

const char *report_format_ns(char buf[REPORT_NUMBER_LEN], double ns)
{
	static const char *const unit[] = { "ns", "us", "ms" };
	unsigned i;

	for (i = 0; i < sizeof(unit) / sizeof(unit[0]); i++, ns /= 1000) {
		if (ns < 999.5) {
			snprintf(buf, REPORT_NUMBER_LEN, "%.3g %s", ns, unit[i]);
			return buf;
		}
	}
	if (ns < 999.5)
		snprintf(buf, REPORT_NUMBER_LEN, "%.3g s", ns);
	else
		snprintf(buf, REPORT_NUMBER_LEN, "%.0f s", ns);
	return buf;
}

int report_write(const struct report *r, const char *path, report_writer *writer)
{
	bool to_stdout = strcmp(path, "-") == 0;
	FILE *out = to_stdout ? stdout : fopen(path, "w");
	int rc = 0;

	if (out == NULL)
		return -errno;
	errno = 0;
	writer(out, r);
	if (fflush(out) != 0 || ferror(out))
		rc = errno ? -errno : -EIO;
	if (!to_stdout && fclose(out) != 0 && rc == 0)
		rc = -errno;
	return rc;
}
