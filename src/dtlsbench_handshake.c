/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mode handshake. In lots, so that what is measured is a server with some sessions, whatever the count; and so
 * that the goodbyes, which are not measured, do not come between.
 */
#include "dtlsbench_modes.h"

#include "clock.h"

uint32_t handshake_clients(const struct bench_options *o)
{
	return 2 * o->sessions; /* a lot does not follow on its own addresses */
}

/* count handshakes under the clock; their sessions end outside it. */
static uint32_t lot(struct run *r, struct meter *m, unsigned number, uint32_t count)
{
	uint32_t first = number % 2 ? r->o->sessions : 0, opened;

	meter_start(r, m);
	opened = run_open(r, first, count, true);
	meter_stop(r, m);
	run_close(r, first, count);
	return opened;
}

int handshake_run(struct run *r)
{
	const struct bench_options *o = r->o;
	uint64_t goal = o->count ? o->count : UINT64_MAX, done = 0, opened = 0;
	struct meter warm = {0}, m = {0};
	unsigned number = 0;

	for (uint32_t left = o->warmup, n; left > 0 && !run_over(r); left -= n) {
		n = left < o->sessions ? left : o->sessions;
		lot(r, &warm, number++, n);
	}
	histogram_init(&r->handshake_times);
	while (done < goal && meter_seconds(&m) < o->duration && !run_over(r)) {
		uint32_t n = goal - done < o->sessions ? (uint32_t)(goal - done) : o->sessions;

		opened += lot(r, &m, number++, n);
		done += n;
		if (opened == 0)
			break; /* nobody is there */
	}
	report_add_figure(&r->report, "seconds", "s", meter_seconds(&m));
	run_report_rate(r, &m, "handshake", opened);
	run_report_handshakes(r);
	return 0;
}
