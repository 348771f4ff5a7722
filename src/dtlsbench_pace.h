/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_pace: when the n-th operation of a fixed rate is due. An open loop: what is late does not move what
 * follows, so that a server which stalls is not spared the questions of that time.
 */
#ifndef DTLSD_DTLSBENCH_PACE_H
#define DTLSD_DTLSBENCH_PACE_H

#include <stdint.h>

struct pace {
	uint64_t start_ns;
	double rate; /* a second; 0: nothing is ever due */
};

/* When operation n (from 0 on) is due. */
uint64_t pace_due(const struct pace *p, uint64_t n);
/* How many are due by now. */
uint64_t pace_count(const struct pace *p, uint64_t now);

#endif
