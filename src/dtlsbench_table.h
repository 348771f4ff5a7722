/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_table: a report for people: the figures in aligned columns, the percentiles of the histograms,
 * and each histogram as bars of text, a bar for each doubling of the duration or for a part of one.
 */
#ifndef DTLSD_DTLSBENCH_TABLE_H
#define DTLSD_DTLSBENCH_TABLE_H

#include <stdio.h>

#include "dtlsbench_report.h"

void table_write(FILE *out, const struct report *r);

#endif
