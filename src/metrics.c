/* SPDX-License-Identifier: BSD-2-Clause */
#include "metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define X(name, help) #name,
const char *const metric_name[METRIC_COUNT] = { METRICS(X) };
#undef X

#define X(name, help) help,
const char *const metric_help[METRIC_COUNT] = { METRICS(X) };
#undef X

size_t metrics_format(const struct metrics *m, char *buf, size_t size)
{
	size_t used = 0;
	unsigned i;

	assert(size > 0);
	buf[0] = '\0';
	for (i = 0; i < METRIC_COUNT; i++) {
		uint64_t v = metric_get(m, (enum metric)i);
		int n;

		if (v == 0)
			continue;
		n = snprintf(buf + used, size - used, "%s%s=%" PRIu64, used > 0 ? " " : "",
			     metric_name[i], v);
		assert(n > 0);
		if ((size_t)n >= size - used) {
			buf[used] = '\0'; /* half a number would be a wrong number */
			break;
		}
		used += (size_t)n;
	}
	return used;
}
