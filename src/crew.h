/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crew: the processes of one service: how many there may be, and how many may be started a second. It outlives
 * reloads. Counted; thread-safe.
 */
#ifndef DTLSD_CREW_H
#define DTLSD_CREW_H

#include <stdint.h>

#include "spawner.h"

struct crew;

struct crew *crew_new(void); /* NULL: out of memory */
struct crew *crew_ref(struct crew *c);
void crew_unref(struct crew *c); /* NULL is fine */
void crew_set_limits(struct crew *c, uint32_t processes, uint32_t rate); /* rate 0: no limit */

/*
 * Starts one more (spawner_start), but for its socket: that is made, and the near end is what comes back, or: -EDQUOT,
 * there are as many as may be; -EBUSY, too many were started this second; or what spawner_start and socketpair have to say.
 */
int crew_start(struct crew *c, const struct job_head *job, struct spawner_text fixed, struct spawner_text more,
	       uint64_t now_ms);
unsigned crew_live(struct crew *c);

#endif
