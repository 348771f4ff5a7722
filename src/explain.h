/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explain: what counters have to say to who reads the log. Refusals that know their peer log a line themselves;
 * of the others, which may come a million times a second, only counters are kept on the way, and once a second
 * a line says which of them have moved, why that happens and what to do about it.
 */
#ifndef DTLSD_EXPLAIN_H
#define DTLSD_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "metrics.h"

/* All zero at first. One for each struct metrics. */
struct explain {
	uint64_t told[METRIC_COUNT];
};

/* One line for each counter that has moved since the last call and needs explaining; rate-limited like all lines. */
void explain_tell(struct explain *x, const struct metrics *m);
/* Has anything come since the last call? Then another one is due. */
bool explain_wanted(const struct explain *x, const struct metrics *m);
/* What it says about a counter. NULL: nothing, the line on it is written elsewhere, or it is no failure. */
const char *explain_advice(enum metric which);

#endif
