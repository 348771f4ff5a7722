/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_plot: the histograms of a report as one SVG picture: the duration over the share of operations
 * that took no longer, both on logarithmic axes, the share by what is left (90 %, 99 %, 99.9 % stand at
 * equal distances), so that the slowest ones are not pressed into the last pixel.
 */
#ifndef DTLSD_DTLSBENCH_PLOT_H
#define DTLSD_DTLSBENCH_PLOT_H

#include <stdio.h>

#include "dtlsbench_report.h"

void plot_write(FILE *out, const struct report *r);

#endif
