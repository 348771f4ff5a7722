/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ratelimit: a token bucket, in integers. Pure: the time is handed in.
 */
#ifndef DTLSD_RATELIMIT_H
#define DTLSD_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct ratelimit {
	uint64_t last_ms;
	uint64_t tokens; /* thousandths */
	uint32_t rate;   /* per second; 0: no limit */
	uint32_t burst;
};

/* The bucket begins full. A burst of 0 counts as 1. */
void ratelimit_init(struct ratelimit *r, uint32_t rate, uint32_t burst, uint64_t now_ms);
/* Takes one if there is one. A clock that goes backwards adds nothing. */
bool ratelimit_take(struct ratelimit *r, uint64_t now_ms);

#endif
