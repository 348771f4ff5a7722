/* SPDX-License-Identifier: BSD-2-Clause */
/* round: a walk over all peers of a worker, after their services have changed and at the end, a bounded number a time. */
#ifndef DTLSD_ROUND_H
#define DTLSD_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "peers.h"

struct round { /* begins all zero */
	uint64_t handshakes, sessions;
	bool handshakes_done, sessions_done;
};

/*
 * A piece of it: who is at a leaving listener is dropped, or told close_notify; who is at one to be rechecked and would
 * not come in again is told access_denied; the others' timers follow the time-outs that hold now. No handshake may
 * begin at a leaving listener meanwhile. True: there is more.
 */
bool round_run(struct round *r, struct peers *p, const bool *leaving, const bool *recheck);
/* The same where all are to go: says close_notify to some sessions and drops as many handshakes. True: some are left. */
bool round_last(struct round *r, struct peers *p);

#endif
