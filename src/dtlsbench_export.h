/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_export: a report for programs.
 *
 * JSON: one object on one line: {"program", "version", "mode", "server", "began" (RFC 3339), "parameters":
 * {name: text or number}, "results": {name: number or null}, "units": {name: text}, "histograms": {name:
 * {"count", "min_ns", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns", "buckets":
 * [[low_ns, high_ns, count], ...]}}}, buckets without the empty ones.
 * CSV (RFC 4180): a header and a line: mode, server, began, each parameter, each result, and of each
 * histogram the same percentiles as NAME_p50_ns.
 */
#ifndef DTLSD_DTLSBENCH_EXPORT_H
#define DTLSD_DTLSBENCH_EXPORT_H

#include <stdio.h>

#include "dtlsbench_report.h"

void export_json(FILE *out, const struct report *r);
void export_csv(FILE *out, const struct report *r);

#endif
