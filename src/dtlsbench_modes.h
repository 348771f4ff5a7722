/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_modes: the kinds of load. Each runs to its end, or until run_over, and leaves its figures in the report
 * and in run->unanswered and run->wrong.
 */
#ifndef DTLSD_DTLSBENCH_MODES_H
#define DTLSD_DTLSBENCH_MODES_H

#include "dtlsbench_options.h"
#include "dtlsbench_run.h"

/* How many clients the mode wants. */
uint32_t hello_clients(const struct bench_options *o);
uint32_t handshake_clients(const struct bench_options *o);
uint32_t traffic_clients(const struct bench_options *o);
uint32_t ahead_clients(const struct bench_options *o);

/* ClientHellos without a cookie, which a server answers by HelloVerifyRequests. 0 or -ENOMEM. */
int hello_run(struct run *r);
/* Handshakes in lots of --sessions; a lot's sessions leave outside the measurement. */
int handshake_run(struct run *r);
/* echo, latency, idle, churn and mixed: sessions are held, records go, sessions are replaced. */
int traffic_run(struct run *r);
/* echo --ahead: records sealed before the clock starts, answers counted unopened. */
int ahead_run(struct run *r);

#endif
