/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wheel: a hashed timing wheel (Varghese and Lauck). Arming and cancelling cost O(1) and no
 * allocation, so that a million sessions may each have a timer. Milliseconds in, a tick of
 * WHEEL_TICK_MS: a timer never fires early and at most one tick late (given that wheel_run is called).
 */
#ifndef DTLSD_WHEEL_H
#define DTLSD_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_MS 16
#define WHEEL_SLOTS 4096 /* power of two; later timers stay in their slot for more turns */

/* Embedded in what it times. All zero is a timer that is not armed. 24 bytes. */
struct timer {
	struct timer *next;
	struct timer **pprev;
	uint64_t expiry; /* ms, of the clock that the wheel was given */
};

struct timer_list {
	struct timer *first, **last;
};

struct wheel {
	uint64_t now_tick; /* every slot before this tick's has been emptied of what is due; this one, too, if not looking */
	uint64_t seen_ms;  /* the latest time that wheel_run was given */
	uint32_t armed;    /* timers armed */
	struct timer_list late; /* armed when they were due already: for the next run */
	struct timer_list due;  /* were late when the last run began, and have not fired yet */
	struct timer *later;    /* of the slot that is being looked through: seen, and for a later turn */
	bool looking;           /* the slot of now_tick is not looked through yet */
	uint64_t used[WHEEL_SLOTS / 64]; /* one bit for each slot that is not empty */
	struct timer *slot[WHEEL_SLOTS];
};

/* A wheel holds pointers to itself: it stays where it was initialised. */
void wheel_init(struct wheel *w, uint64_t now_ms);
/* Arms or re-arms. An expiry not after the time of the last run fires at the next. */
void wheel_set(struct wheel *w, struct timer *t, uint64_t expiry_ms);
void wheel_cancel(struct wheel *w, struct timer *t); /* no-op when not armed */
bool timer_armed(const struct timer *t);

/*
 * Fires what is due at now; each is disarmed before its call, which may arm, cancel and free any timer, itself too.
 * What is armed in the past meanwhile waits for the next run. At most budget timers are looked at, fired or, being
 * for a later turn of the wheel, passed over. Their number; when it equals budget, more may be due: call again. A
 * clock that jumped far ahead costs one pass over the slots, not one per missed tick.
 */
unsigned wheel_run(struct wheel *w, uint64_t now_ms, unsigned budget,
		   void (*fire)(void *ctx, struct timer *t), void *ctx);

/*
 * Milliseconds until wheel_run should next be called: 0 when something is due, at most limit_ms, and
 * sometimes earlier than needed, as slots hold timers of later turns too. UINT64_MAX when nothing is armed.
 */
uint64_t wheel_wait(const struct wheel *w, uint64_t now_ms, uint64_t limit_ms);

#endif
