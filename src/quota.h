/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quota: what one service may take of the sessions and handshakes that the census counts for all. It outlives
 * reloads, so that who is counted stays counted. Shared by the workers, and asked only in a handshake. Thread-safe.
 */
#ifndef DTLSD_QUOTA_H
#define DTLSD_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct quota;

struct quota_limits { /* 0: no limit */
	uint32_t sessions;       /* handshakes under way count as sessions to be */
	uint32_t handshakes;
	uint32_t handshake_rate; /* a second */
};

enum quota_verdict { QUOTA_OK, QUOTA_SESSIONS, QUOTA_HANDSHAKES };

struct quota *quota_new(const struct quota_limits *l); /* NULL: out of memory */
void quota_free(struct quota *q); /* NULL is fine; asserts that all have left */
void quota_set_limits(struct quota *q, const struct quota_limits *l);

/*
 * A peer begins a handshake: counted as one and as a session, unless it is a session already. Counted only on
 * QUOTA_OK.
 */
enum quota_verdict quota_admit(struct quota *q, bool session_already);
void quota_handshake_over(struct quota *q); /* it still counts as a session */
void quota_leave(struct quota *q);          /* its handshake is over */
uint32_t quota_sessions(const struct quota *q); /* counted now */
/* May one more handshake begin now? Takes it from the rate. */
bool quota_rate(struct quota *q, uint64_t now_ms);

#endif
