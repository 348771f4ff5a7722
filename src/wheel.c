/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A timer is in the slot of its tick, when that tick is still to come; in the list late, when it was armed with a time
 * that had come already; or in the list due, when it was in late as a run began: so a timer that re-arms itself in
 * the past cannot keep one run busy for ever.
 *
 * A slot is looked through one timer after the other, for there may be a million in it. Those of later turns
 * wait in the list later until the slot is empty, and then go back as a whole.
 */
#include "wheel.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define WHEEL_MASK (WHEEL_SLOTS - 1)

static_assert((WHEEL_SLOTS & WHEEL_MASK) == 0 && WHEEL_SLOTS % 64 == 0, "slots fill whole words of bits");
static_assert(sizeof(struct timer) == 24, "a timer grew");

/* The first tick at which the timer may fire without being early. */
static uint64_t due_tick(uint64_t expiry_ms)
{
	return expiry_ms / WHEEL_TICK_MS + (expiry_ms % WHEEL_TICK_MS != 0);
}

static void list_init(struct timer_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_append(struct timer_list *l, struct timer *t)
{
	t->next = NULL;
	t->pprev = l->last;
	*l->last = t;
	l->last = &t->next;
}

static void list_join(struct timer_list *to, struct timer_list *from)
{
	if (from->first == NULL)
		return;
	*to->last = from->first;
	from->first->pprev = to->last;
	to->last = from->last;
	list_init(from);
}

static void push(struct timer **head, struct timer *t)
{
	t->next = *head;
	t->pprev = head;
	if (t->next != NULL)
		t->next->pprev = &t->next;
	*head = t;
}

static void slot_insert(struct wheel *w, struct timer *t, uint64_t tick)
{
	size_t i = tick & WHEEL_MASK;

	push(&w->slot[i], t);
	w->used[i / 64] |= UINT64_C(1) << (i % 64);
}

/* The slot is empty, but for those that were passed over. */
static void slot_restore(struct wheel *w)
{
	size_t i = w->now_tick & WHEEL_MASK;

	w->looking = false;
	if (w->later == NULL)
		return;
	w->slot[i] = w->later;
	w->slot[i]->pprev = &w->slot[i];
	w->used[i / 64] |= UINT64_C(1) << (i % 64);
	w->later = NULL;
}

static void unlink_timer(struct wheel *w, struct timer *t)
{
	uintptr_t at = (uintptr_t)t->pprev, slots = (uintptr_t)w->slot;

	*t->pprev = t->next;
	if (t->next != NULL) {
		t->next->pprev = t->pprev;
	} else if (w->late.last == &t->next) {
		w->late.last = t->pprev;
	} else if (w->due.last == &t->next) {
		w->due.last = t->pprev;
	} else if (at >= slots && at < slots + sizeof(w->slot)) { /* it was alone in its slot */
		size_t i = (at - slots) / sizeof(w->slot[0]);

		w->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
	}
	t->pprev = NULL;
}

/* The first tick from..to whose slot is not empty, or to + 1. At most one turn of the wheel. */
static uint64_t next_used(const struct wheel *w, uint64_t from, uint64_t to)
{
	uint64_t tick;

	assert(to - from < WHEEL_SLOTS);
	for (tick = from; tick <= to; tick = (tick | 63) + 1) {
		uint64_t bits = w->used[(tick & WHEEL_MASK) / 64] >> (tick % 64);

		if (bits != 0) {
			tick += (unsigned)__builtin_ctzll(bits);
			return tick <= to ? tick : to + 1;
		}
	}
	return to + 1;
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	w->now_tick = now_ms / WHEEL_TICK_MS;
	w->seen_ms = now_ms;
	list_init(&w->late);
	list_init(&w->due);
}

bool timer_armed(const struct timer *t)
{
	return t->pprev != NULL;
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
	if (!timer_armed(t))
		return;
	unlink_timer(w, t);
	w->armed--;
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t expiry_ms)
{
	wheel_cancel(w, t);
	t->expiry = expiry_ms;
	if (expiry_ms <= w->seen_ms)
		list_append(&w->late, t);
	else
		slot_insert(w, t, due_tick(expiry_ms));
	w->armed++;
}

/* Goes on to the next slot that has timers. false: there is none up to target. */
static bool look_on(struct wheel *w, uint64_t target)
{
	if (w->looking)
		slot_restore(w);
	if (w->now_tick >= target)
		return false;
	if (target - w->now_tick > WHEEL_SLOTS)
		w->now_tick = target - WHEEL_SLOTS; /* what is left is every slot once */
	w->now_tick = next_used(w, w->now_tick + 1, target);
	if (w->now_tick > target) {
		w->now_tick = target;
		return false;
	}
	w->looking = true;
	return true;
}

/* Takes out the next timer to look at. NULL: the run is complete. */
static struct timer *next_timer(struct wheel *w, uint64_t target)
{
	struct timer *t;

	while ((t = w->due.first) == NULL) {
		t = w->looking ? w->slot[w->now_tick & WHEEL_MASK] : NULL;
		if (t != NULL || !look_on(w, target))
			break;
	}
	if (t != NULL)
		unlink_timer(w, t);
	return t;
}

unsigned wheel_run(struct wheel *w, uint64_t now_ms, unsigned budget,
		   void (*fire)(void *ctx, struct timer *t), void *ctx)
{
	uint64_t target = now_ms / WHEEL_TICK_MS;
	unsigned looked;

	if (now_ms > w->seen_ms)
		w->seen_ms = now_ms;
	list_join(&w->due, &w->late);
	for (looked = 0; looked < budget; looked++) {
		struct timer *t = next_timer(w, target);

		if (t == NULL)
			break;
		if (t->expiry > w->seen_ms) {
			push(&w->later, t);
			continue;
		}
		w->armed--;
		fire(ctx, t);
	}
	return looked;
}

uint64_t wheel_wait(const struct wheel *w, uint64_t now_ms, uint64_t limit_ms)
{
	uint64_t next_ms;

	if (w->armed == 0)
		return UINT64_MAX;
	if (w->late.first != NULL || w->due.first != NULL || w->looking)
		return 0;
	next_ms = next_used(w, w->now_tick + 1, w->now_tick + WHEEL_SLOTS) * WHEEL_TICK_MS;
	if (next_ms <= now_ms)
		return 0;
	return next_ms - now_ms < limit_ms ? next_ms - now_ms : limit_ms;
}
