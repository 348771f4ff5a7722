/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options: the command line of dtlsd as a plain struct. Pure but for the look-up of host names.
 */
#ifndef DTLSD_OPTIONS_H
#define DTLSD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "addr.h"

#define OPTIONS_LISTEN_MAX 64
#define OPTIONS_PORT 4433
#define OPTIONS_WORKERS_MAX 256

struct options {
	struct addr listen[OPTIONS_LISTEN_MAX];
	unsigned listen_count;
	/* strings point into argv */
	const char *handler;
	const char *x509certfile, *x509keyfile, *x509cafile;
	const char *pskpasswd;
	const char *priority;
	const char *pid_file;
	const char *cookie_secret; /* NULL: a secret of this process alone */
	uint32_t verify_client; /* enum verify_client of tls.h: none, optional, required */
	uint32_t workers;       /* 0: one for each processor */
	uint32_t idle_timeout, handshake_timeout, drain_time, cookie_lifetime; /* seconds */
	uint32_t max_sessions, max_handshakes, max_sessions_per_address, handshake_rate;
	uint32_t max_handshakes_per_address, handshake_steps_per_turn, ipv6_prefix;
	uint32_t mtu;
	uint32_t verbose, quiet; /* how often each was given */
	uint32_t hello_lane;       /* 0: yes, 1: no */
	bool daemon;
	bool syslog;
};

enum options_verdict { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

/*
 * Fills *o with the defaults and what argv changes. OPTIONS_BAD: err says what is wrong and what is
 * accepted. Without an address: "*:4433".
 */
enum options_verdict options_parse(struct options *o, int argc, char *argv[], char *err, size_t err_size);

void options_help(FILE *to);

#endif
