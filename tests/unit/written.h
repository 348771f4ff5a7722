/* SPDX-License-Identifier: BSD-2-Clause */
/* written: what a writer makes of a report, as a string. */
#ifndef DTLSD_TESTS_UNIT_WRITTEN_H
#define DTLSD_TESTS_UNIT_WRITTEN_H

#include <stdio.h>

#include "dtlsbench_report.h"

/* Good until the next call. */
static inline const char *written(report_writer *writer, const struct report *r)
{
	static char text[1 << 17];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	writer(out, r);
	assert_int_equal(fclose(out), 0);
	return text;
}

#endif
