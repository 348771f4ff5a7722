/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admission: may a peer that has proven its address begin a handshake? Asked are the limits of the process (census),
 * those of its service (quota), and last the rates, so that who is over a limit of its own does not use up
 * what others may have. When all handshakes are taken, a half-open one makes room, but not for one who is
 * then refused.
 */
#ifndef DTLSD_ADMISSION_H
#define DTLSD_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "census.h"
#include "peers.h"
#include "ratelimit.h"
#include "service.h"

struct admission {
	struct peers *peers;   /* borrowed */
	struct census *census; /* borrowed */
	struct ratelimit rate; /* of one worker */
};

struct applicant {
	const struct flow *flow;
	const struct service *service;
	bool again;  /* it has a session already, and with it a place in the census */
	bool shares; /* and one in the quota of this service */
};

void admission_set_rate(struct admission *a, uint32_t per_second, uint64_t now_ms); /* 0: no limit */
/* True: it is counted as a handshake, and as a session where it was none. False: that is counted and logged. */
bool admission_ask(struct admission *a, const struct applicant *who);
/* It was admitted, and yet there is no handshake. */
void admission_give_back(struct admission *a, const struct applicant *who);

#endif
