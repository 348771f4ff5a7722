/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_progress: one line on a terminal that says how far a run is, drawn over itself a few times a
 * second. Where there is no terminal nothing is written.
 */
#ifndef DTLSD_DTLSBENCH_PROGRESS_H
#define DTLSD_DTLSBENCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
	FILE *out;
	bool terminal;
	uint64_t next_ms; /* nothing is drawn before */
	unsigned width;   /* of what is drawn now */
};

void progress_init(struct progress *p, FILE *out); /* NULL: nothing is drawn */
/* Cheap to call for every batch: most calls only look at the time. The text is cut to 79 columns. */
void progress_show(struct progress *p, uint64_t now_ms, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
/* Before anything else is written to the terminal, and at the end. */
void progress_clear(struct progress *p);

#endif
