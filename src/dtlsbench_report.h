/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_report: what one run found out: what was asked for, named figures, named histograms of
 * durations. The modes fill it; table, export and plot write it. Names are the keys of JSON and the columns
 * of CSV, and people's programs rely on them: lower case, words joined by underscores, unique in their
 * report.
 *
 * Texts are copied, cut to what there is room for; of them only printable ASCII stays, the rest becomes '?',
 * so that no writer has to think of terminals and character sets.
 */
#ifndef DTLSD_DTLSBENCH_REPORT_H
#define DTLSD_DTLSBENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "histogram.h"

#define REPORT_PARAMETERS 32
#define REPORT_FIGURES    64
#define REPORT_SERIES     8

struct report_parameter {
	char name[24];
	char text[104];
	bool is_number; /* the text is one */
};

struct report_figure {
	char name[48];
	char unit[16]; /* "us", "bytes", "/s"; "" for a plain number */
	double value;  /* NaN, or infinite: not known */
};

struct report_series {
	char name[24];
	const struct histogram *histogram; /* borrowed, as long as the report is used */
};

struct report {
	char mode[16];
	char server[128];
	time_t began;
	unsigned parameters, figures, series_count;
	struct report_parameter parameter[REPORT_PARAMETERS];
	struct report_figure figure[REPORT_FIGURES];
	struct report_series series[REPORT_SERIES];
};

void report_init(struct report *r, const char *mode, const char *server, time_t began);

/* The first two append a parameter. That there is room for it and that the name is new is asserted. */
void report_add_text(struct report *r, const char *name, const char *text);
void report_add_number(struct report *r, const char *name, double value);
void report_add_figure(struct report *r, const char *name, const char *unit, double value);
void report_add_histogram(struct report *r, const char *name, const struct histogram *h);

/* The percentiles that every writer tells. */
struct report_percentile {
	double percent;
	const char *key;   /* "p99_9" */
	const char *label; /* "p99.9" */
};

#define REPORT_PERCENTILES 5
extern const struct report_percentile report_percentile[REPORT_PERCENTILES];

/* For people: "1,234,567", "12.34", "0.004561", "-" when not known. */
#define REPORT_NUMBER_LEN 40
const char *report_format_number(char buf[REPORT_NUMBER_LEN], double value);
/* "850 ns", "12.3 us", "1.2 ms", "3 s": three digits. */
const char *report_format_ns(char buf[REPORT_NUMBER_LEN], double ns);

/* One of table_write, export_json, export_csv, plot_write. */
typedef void report_writer(FILE *out, const struct report *r);
/* Into a file, which is replaced; "-" is standard output. 0 or -errno. */
int report_write(const struct report *r, const char *path, report_writer *writer);

#endif
