/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redial: when a server that could not be reached may be tried again, so that one which is dead is asked by one client
 * now and then and not by all of them all the time. The wait doubles with each failure in a row, up to REDIAL_MOST_MS,
 * and is spread by chance. Pure; not thread-safe.
 */
#ifndef DTLSD_REDIAL_H
#define DTLSD_REDIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

#define REDIAL_FIRST_MS 500
#define REDIAL_MOST_MS 60000
#define REDIAL_SERVERS 64

struct redial_server {
	struct addr addr;   /* family 0: free */
	uint32_t failures;  /* in a row */
	uint64_t failed_at; /* ms: the last of them that counted */
	uint64_t due;       /* ms: nobody tries before */
};

/* Begins all zero. Servers that never failed take no room. */
struct redial {
	struct redial_server server[REDIAL_SERVERS];
};

/* May one try now? After failures that is one a time: the others wait for what becomes of it. */
bool redial_may(struct redial *r, const struct addr *a, uint64_t now_ms);
/*
 * What was begun then came to nothing. Who were under way together fail together, and count once. chance: any number;
 * the wait is up to a quarter shorter by it.
 */
void redial_failed(struct redial *r, const struct addr *a, uint64_t began_ms, uint64_t now_ms, uint32_t chance);
/* true: it had failed before. */
bool redial_succeeded(struct redial *r, const struct addr *a);

#endif
