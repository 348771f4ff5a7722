/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crew: the processes of one service: how many there may be, and how many may be started a second. It outlives
 * reloads. Counted; thread-safe.
 */
#ifndef DTLSD_CREW_H
#define DTLSD_CREW_H

#include <stdint.h>

enum crew_verdict { CREW_OK, CREW_FULL, CREW_RATE };

struct crew;

struct crew *crew_new(void); /* NULL: out of memory */
struct crew *crew_ref(struct crew *c);
void crew_unref(struct crew *c); /* NULL is fine */
void crew_set_limits(struct crew *c, uint32_t processes, uint32_t rate); /* rate 0: no limit */

/* May one more be started? It is counted, in its group (job.h), until it is gone, or crew_give_back. */
enum crew_verdict crew_admit(struct crew *c, uint64_t now_ms);
void crew_give_back(struct crew *c);
unsigned crew_group(const struct crew *c);

#endif
