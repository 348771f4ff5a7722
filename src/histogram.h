/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram: durations in nanoseconds, counted in buckets whose width grows with the duration: exact below 256 ns,
 * then 128 buckets to each doubling, so that what a bucket stands for is known to 0.8 %. Fixed size (36 KiB), no
 * allocation; recording is a shift and an addition. Not thread-safe: one for each thread, merged afterwards.
 */
#ifndef DTLSD_HISTOGRAM_H
#define DTLSD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB      (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_TOP_BITS 42 /* 2^42 ns are 73 minutes; what lasts longer is counted in the last bucket */
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_TOP_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

struct histogram {
	uint64_t count;
	uint64_t min, max; /* exact; both 0 while nothing is recorded */
	double sum;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *h, const struct histogram *other); /* adds the other to h */

double histogram_mean(const struct histogram *h); /* exact; 0 of none */
/*
 * The least duration that this percentage (0 to 100) of all do not exceed: the upper end of the bucket that it fell
 * into, hence never too good, and at most 0.8 % too bad. 0 gives the least, 100 the greatest, exactly; 0 of none.
 */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* The least and the greatest duration that bucket i counts; the last one has no upper end but this number. */
uint64_t histogram_low(unsigned i);
uint64_t histogram_high(unsigned i);

#endif
