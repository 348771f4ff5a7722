/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_run: what all modes share: the clients, the clock and the server's account, opening and closing many
 * sessions, and what becomes of it all in the report.
 */
#ifndef DTLSD_DTLSBENCH_RUN_H
#define DTLSD_DTLSBENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "dtlsbench_crowd.h"
#include "dtlsbench_ledger.h"
#include "dtlsbench_options.h"
#include "dtlsbench_progress.h"
#include "dtlsbench_report.h"
#include "dtlsbench_source.h"
#include "histogram.h"

#define SECOND_NS UINT64_C(1000000000)

/* What a stretch of time cost. Meters may be started and stopped several times, and add up. */
struct meter {
	uint64_t wall_ns, server_ns, own_ns;
	uint64_t wall_from, server_from, own_from;
	bool server_gone; /* it has ended: nobody knows what it has cost */
};

/* What a mode does with events; each may be NULL. */
struct run_hooks {
	void (*opened)(void *mode, uint32_t client);
	void (*heard)(void *mode, uint32_t client, const uint8_t *plain, size_t len, uint64_t now);
	void (*raw)(void *mode, const struct parcel *p, uint64_t now);
};

struct run {
	const struct bench_options *o;
	struct source *source;
	struct crowd *crowd;
	struct progress progress;
	struct report report;
	struct run_hooks hooks;
	void *mode; /* of the hooks */
	int error;  /* sending failed, -errno */
	uint64_t unanswered; /* of all kinds: sets the exit status */
	uint64_t wrong;
	uint64_t lost_sessions; /* closed by the server unasked */
	uint64_t said_goodbye;  /* answers to our close_notify */
	struct histogram handshake_times, times;
};

/* Clients 0 to clients - 1. 0, or -1 with err. setup as far as the command line says nothing of it. */
int run_init(struct run *r, const struct bench_options *o, uint32_t clients, const struct tls_setup *tls,
	     const struct shake_setup *lean, char *err, size_t err_size);
void run_free(struct run *r);
/* Makes a session for all others to resume. 0, or -1 with err. */
int run_prepare_resumption(struct run *r, struct tls_setup *tls, char *err, size_t err_size);

/* ctrl-c, from a signal handler. */
void run_interrupt(void);
/* Interrupted, or the network is gone: begin nothing more. */
bool run_over(const struct run *r);
/* Sends, receives, waits for it at most so long. */
void run_turn(struct run *r, uint64_t wait_ns);

/* Room for the questions that may be out, by --window or by --rate. 0 or -ENOMEM. */
int run_ledger_init(const struct run *r, struct ledger *l);
/* How many questions go out together: half a window at most, while the server has the other half. */
unsigned run_burst(uint64_t window);

/* Whether the process of --server-pid is not there (any more). */
bool run_server_gone(const struct run *r);
void meter_start(const struct run *r, struct meter *m);
/* Lets the server fall asleep before its account is read, where it is read. */
void meter_stop(const struct run *r, struct meter *m);
double meter_seconds(const struct meter *m);

/* Opens clients first to first + count - 1, --rate of them a second if paced. The number that opened. */
uint32_t run_open(struct run *r, uint32_t first, uint32_t count, bool paced);
/* Says close_notify for those among them that are open, unless --stay, and waits for the answers. */
void run_close(struct run *r, uint32_t first, uint32_t count);

/* Figures "NAMEs", "NAMEs_per_second", with --server-pid its CPU time per NAME, and ours. */
void run_report_rate(struct run *r, const struct meter *m, const char *name, uint64_t count);
/* Figures and times of the handshakes so far. */
void run_report_handshakes(struct run *r);
/* Where there are any. The histogram stays as long as the run. */
void run_report_times(struct run *r, const char *name, const struct histogram *times);

#endif
