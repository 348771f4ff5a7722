/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_pace.h"

#define SECOND 1e9

/* The sum is made in whole nanoseconds: a double of the clock itself would be off by hundreds of them. */
uint64_t pace_due(const struct pace *p, uint64_t n)
{
	return p->start_ns + (uint64_t)((double)n * SECOND / p->rate);
}

uint64_t pace_count(const struct pace *p, uint64_t now)
{
	uint64_t n;

	if (p->rate <= 0 || now < p->start_ns)
		return 0;
	n = (uint64_t)((double)(now - p->start_ns) * p->rate / SECOND);
	/* rounding may have put n itself on either side */
	while (n > 0 && pace_due(p, n - 1) > now)
		n--;
	while (pace_due(p, n) <= now)
		n++;
	return n;
}
