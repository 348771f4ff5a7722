/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * census: how many sessions and handshakes there are, in all and per address. The one thing that
 * workers share: it is asked when a peer is admitted and when it leaves, never for a record.
 * Addresses are counted by addr_prefix; the map is sharded, a mutex each, and holds only addresses
 * whose count is not zero. Thread-safe.
 */
#ifndef DTLSD_CENSUS_H
#define DTLSD_CENSUS_H

#include <stdint.h>

#include "addr.h"

struct census;

struct census_limits {
	uint32_t sessions;             /* handshakes under way count as sessions to be */
	uint32_t handshakes;
	uint32_t sessions_per_address; /* 0: no limit */
	unsigned ipv6_prefix;          /* bits of IPv6 that are one address: 64 */
	uint32_t handshakes_per_address; /* 0: no limit */
};

enum census_verdict {
	CENSUS_OK,
	CENSUS_SESSIONS,
	CENSUS_HANDSHAKES,
	CENSUS_ADDRESS,
	CENSUS_ADDRESS_HANDSHAKES,
	CENSUS_MEMORY
};

struct census *census_new(const struct census_limits *limits); /* NULL: out of memory */
void census_free(struct census *c);                            /* asserts that all have left */
/* ipv6_prefix stays as it was at census_new: who is counted already must be found again. */
void census_set_limits(struct census *c, const struct census_limits *limits);

/*
 * A peer begins a handshake: counted as a handshake and as a session. Counted only on CENSUS_OK. The limits of its
 * address come first: another verdict says that it is within these.
 */
enum census_verdict census_admit(struct census *c, const struct addr *peer);
/* One that is counted as a session already begins a handshake beside it. */
enum census_verdict census_again(struct census *c, const struct addr *peer);
/* Its handshake is over, well or not; it still counts as a session. */
void census_handshake_over(struct census *c, const struct addr *peer);
/* It is gone, and its handshake is over. */
void census_leave(struct census *c, const struct addr *peer);

uint32_t census_sessions(const struct census *c); /* sessions and handshakes */
uint32_t census_handshakes(const struct census *c);

#endif
