/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_options: the load generator's command line, and the exit statuses that it promises in dtlsbench(1).
 */
#ifndef DTLSD_DTLSBENCH_OPTIONS_H
#define DTLSD_DTLSBENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "dtlsc_options.h"

enum bench_exit {
	BENCH_OK = 0,        /* all was answered, rightly */
	BENCH_FAILED = 1,    /* the command line, or the run could not begin or not be reported */
	BENCH_UNANSWERED = 2 /* something was not answered, or wrongly */
};

enum bench_mode { BENCH_HELLO, BENCH_HANDSHAKE, BENCH_ECHO, BENCH_LATENCY, BENCH_IDLE, BENCH_CHURN, BENCH_MIXED };

enum bench_order { BENCH_IN_TURN, BENCH_RANDOM };

enum bench_verdict {
	BENCH_RUN,  /* go */
	BENCH_DONE, /* --help or --version was answered: exit 0 */
	BENCH_BAD   /* err says what is wrong: exit BENCH_FAILED */
};

#define BENCH_ALL UINT32_MAX /* --verify all */

struct bench_options {
	enum bench_mode mode;
	const char *mode_name;
	const char *server_text;
	struct addr server;
	struct dtlsc_options who; /* credentials, as the client has them; host is the name to verify */

	uint32_t sessions, handshakes, window, size, run, warmup, verify, mtu, seed, server_pid;
	uint64_t count;    /* operations; 0: as many as the duration holds */
	double duration;   /* seconds */
	double rate;       /* operations a second; 0: as fast as answers come */
	double timeout, handshake_timeout, retransmit, settle; /* seconds */
	uint32_t order;    /* enum bench_order */
	uint32_t mix_handshakes, mix_records, mix_idle; /* --mix */
	bool lean, resume, no_tickets, plain, ahead, flood, stay, server_children, quiet;
	const char *prefix; /* of the clients' addresses */
	const char *json, *csv, *svg;
};

/* Reads the command line. A --pskkey is copied and overwritten in argv. The strings borrow from argv. */
enum bench_verdict bench_options_read(struct bench_options *o, int argc, char **argv, char *err, size_t err_size);
void bench_options_free(struct bench_options *o);
/* Does the path of a report, NULL: there is none, mean standard output? */
bool bench_to_stdout(const char *path);

#endif
