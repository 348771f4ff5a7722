/* SPDX-License-Identifier: BSD-2-Clause */
#include "histogram.h"

#include <assert.h>
#include <string.h>

/*
 * Bucket i of octave i / SUB: octave 0 holds 0 to SUB - 1 one by one, octave o >= 1 holds the numbers of
 * SUB_BITS + o bits, whose topmost SUB_BITS + 1 bits say which bucket it is.
 */
static unsigned bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < HISTOGRAM_SUB)
		return (unsigned)ns;
	if (ns >> HISTOGRAM_TOP_BITS)
		return HISTOGRAM_BUCKETS - 1;
	shift = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
	return shift * HISTOGRAM_SUB + (unsigned)(ns >> shift);
}

uint64_t histogram_low(unsigned i)
{
	assert(i < HISTOGRAM_BUCKETS);
	if (i < HISTOGRAM_SUB)
		return i;
	return (uint64_t)(HISTOGRAM_SUB + i % HISTOGRAM_SUB) << (i / HISTOGRAM_SUB - 1);
}

uint64_t histogram_high(unsigned i)
{
	assert(i < HISTOGRAM_BUCKETS);
	if (i < HISTOGRAM_SUB)
		return i;
	return histogram_low(i) + (UINT64_C(1) << (i / HISTOGRAM_SUB - 1)) - 1;
}

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

void histogram_record(struct histogram *h, uint64_t ns)
{
	if (h->count == 0 || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->count++;
	h->sum += (double)ns;
	h->bucket[bucket_of(ns)]++;
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
	unsigned i;

	if (other->count == 0)
		return;
	if (h->count == 0 || other->min < h->min)
		h->min = other->min;
	if (other->max > h->max)
		h->max = other->max;
	h->count += other->count;
	h->sum += other->sum;
	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		h->bucket[i] += other->bucket[i];
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? h->sum / (double)h->count : 0;
}

/* How many are to be at or below the percentile: rounded up, but 99.9 % of 1000 are 999, whatever binary makes of it. */
static uint64_t rank_of(uint64_t count, double percent)
{
	double exact = percent / 100 * (double)count * (1 - 1e-12);
	uint64_t rank = (uint64_t)exact;

	if ((double)rank < exact)
		rank++;
	return rank < count ? rank : count;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t rank, seen = 0, ns;
	unsigned i;

	assert(percent >= 0 && percent <= 100);
	rank = rank_of(h->count, percent);
	if (rank == 0)
		return h->min;
	for (i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->bucket[i];
		if (seen >= rank)
			break;
	}
	ns = histogram_high(i);
	return ns < h->max && i < HISTOGRAM_BUCKETS - 1 ? ns : h->max;
}
