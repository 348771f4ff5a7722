/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "wheel.h"

static uint64_t tick_up(uint64_t ms)
{
	return (ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS * WHEEL_TICK_MS;
}

static void count(void *ctx, struct timer *t)
{
	assert_false(timer_armed(t)); /* disarmed before its call */
	++*(unsigned *)ctx;
}

static void never_early_and_at_most_one_tick_late(void **state)
{
	static struct wheel w;
	struct timer t = { 0 };
	uint64_t start, delay, now;
	unsigned fired;

	(void)state;
	for (start = 0; start < 2 * WHEEL_TICK_MS; start += 3) {
		for (delay = 0; delay < 3 * WHEEL_TICK_MS; delay++) {
			wheel_init(&w, start);
			wheel_set(&w, &t, start + delay);
			assert_true(timer_armed(&t));
			fired = 0;
			for (now = start; fired == 0; now++) {
				wheel_run(&w, now, 10, count, &fired);
				if (fired > 0)
					assert_in_range(now - start, delay, delay + WHEEL_TICK_MS - 1);
			}
			assert_int_equal(w.armed, 0);
			wheel_run(&w, now + 100000000, 10, count, &fired);
			assert_int_equal(fired, 1); /* once */
		}
	}
}

static void a_past_expiry_fires_at_the_next_run(void **state)
{
	static struct wheel w;
	struct timer t = { 0 };
	unsigned fired = 0;

	(void)state;
	wheel_init(&w, 1000);
	wheel_run(&w, 1003, 10, count, &fired);
	wheel_set(&w, &t, 1002);
	assert_int_equal(wheel_wait(&w, 1003, 50), 0);
	assert_int_equal(wheel_run(&w, 1003, 10, count, &fired), 1);
	wheel_set(&w, &t, 0);
	assert_int_equal(wheel_run(&w, 900, 10, count, &fired), 1); /* also when the clock went back */
	assert_int_equal(fired, 2);
}

static void waiting_is_bounded_and_exact_within_a_turn(void **state)
{
	static struct wheel w;
	struct timer t = { 0 }, u = { 0 };

	(void)state;
	wheel_init(&w, 1600);
	assert_true(wheel_wait(&w, 1600, 10) == UINT64_MAX);
	wheel_set(&w, &t, 1600 + 50);
	assert_int_equal(wheel_wait(&w, 1600, 1000), 64);
	assert_int_equal(wheel_wait(&w, 1600, 63), 63);
	assert_int_equal(wheel_wait(&w, 1660, 1000), 4);
	assert_int_equal(wheel_wait(&w, 1664, 1000), 0);
	wheel_set(&w, &u, 1600 + 20);
	assert_int_equal(wheel_wait(&w, 1600, 1000), 32);
	wheel_cancel(&w, &u);
	assert_int_equal(wheel_wait(&w, 1600, 1000), 64); /* an emptied slot wakes nobody */
	wheel_cancel(&w, &t);
	wheel_cancel(&w, &t); /* no-op */
	assert_true(wheel_wait(&w, 1600, 1000) == UINT64_MAX);
	wheel_set(&w, &t, UINT64_MAX); /* never, nearly */
	assert_int_equal(wheel_wait(&w, 1600, 1000), 1000);
	wheel_cancel(&w, &t);
}

static void timers_of_later_turns_stay(void **state)
{
	static struct wheel w;
	const uint64_t turn = (uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS;
	struct timer t[4] = { 0 };
	unsigned fired = 0, i;

	(void)state;
	wheel_init(&w, 0);
	for (i = 0; i < 4; i++)
		wheel_set(&w, &t[i], 160 + i * turn); /* all in one slot */
	for (i = 0; i < 4; i++) {
		wheel_run(&w, 159 + i * turn, 10, count, &fired);
		assert_int_equal(fired, i);
		wheel_run(&w, 160 + i * turn, 10, count, &fired);
		assert_int_equal(fired, i + 1);
		assert_false(timer_armed(&t[i]));
	}
}

static void a_budget_spreads_the_work_and_loses_nothing(void **state)
{
	static struct wheel w;
	struct timer *t = test_calloc(1000, sizeof(*t));
	unsigned fired = 0, runs = 0, i;

	(void)state;
	wheel_init(&w, 0);
	for (i = 0; i < 1000; i++)
		wheel_set(&w, &t[i], i * 97 % 100000);
	while (wheel_run(&w, 200000, 7, count, &fired) == 7) {
		assert_int_equal(w.armed, 1000 - fired);
		runs++;
	}
	assert_int_equal(fired, 1000);
	assert_int_equal(runs, 1000 / 7);
	assert_int_equal(wheel_run(&w, 200000, 0, count, &fired), 0);
	test_free(t);
}

/* A million sessions may have been heard of in one moment: none of their later turns may cost a pause. */
static void timers_of_later_turns_are_passed_over_within_the_budget(void **state)
{
	static struct wheel w;
	const uint64_t turn = (uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS;
	struct timer *t = test_calloc(10000, sizeof(*t)), next = { 0 };
	unsigned fired = 0, runs, turns, i;

	(void)state;
	wheel_init(&w, 0);
	for (i = 0; i < 10000; i++)
		wheel_set(&w, &t[i], 160 + 3 * turn);
	for (turns = 0; turns < 3; turns++) {
		uint64_t now = 160 + turns * turn;

		wheel_set(&w, &next, now + WHEEL_TICK_MS); /* behind them */
		now += WHEEL_TICK_MS;
		for (runs = 0; timer_armed(&next); runs++) {
			assert_int_equal(wheel_wait(&w, now, 1000), 0);
			assert_in_range(wheel_run(&w, now, 64, count, &fired), 1, 64);
		}
		assert_in_range(runs, 10000 / 64, 10000 / 64 + 1);
		assert_int_equal(fired, turns + 1);
		assert_int_equal(w.armed, 10000);
		assert_int_equal(wheel_run(&w, now, 64, count, &fired), 0); /* not again in this turn */
		assert_true(wheel_wait(&w, now, turn) > 60000);
	}
	while (wheel_run(&w, 160 + 3 * turn, 64, count, &fired) == 64)
		continue;
	assert_int_equal(fired, 10003);
	assert_int_equal(w.armed, 0);
	test_free(t);
}

static void a_jump_while_a_slot_is_looked_through_loses_nothing(void **state)
{
	static struct wheel w;
	const uint64_t turn = (uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS;
	struct timer t[100] = { 0 };
	unsigned fired = 0, i;

	(void)state;
	wheel_init(&w, 0);
	for (i = 0; i < 100; i++)
		wheel_set(&w, &t[i], 160 + (1 + i % 2) * turn);
	assert_int_equal(wheel_run(&w, 160, 30, count, &fired), 30);
	wheel_cancel(&w, &t[99]); /* the first of those passed over */
	wheel_cancel(&w, &t[0]);
	assert_int_equal(fired, 0);
	while (wheel_run(&w, 160 + 10 * turn, 30, count, &fired) == 30)
		continue;
	assert_int_equal(fired, 98);
	assert_int_equal(w.armed, 0);
}

static struct wheel *again_wheel;

static void again(void *ctx, struct timer *t)
{
	++*(unsigned *)ctx;
	wheel_set(again_wheel, t, 5); /* for ever in the past */
}

static void a_timer_armed_in_the_past_by_its_call_waits_for_the_next_run(void **state)
{
	static struct wheel w;
	struct timer t = { 0 };
	unsigned fired = 0;

	(void)state;
	again_wheel = &w;
	wheel_init(&w, 0);
	wheel_set(&w, &t, 1);
	assert_int_equal(wheel_run(&w, 1000, 10, again, &fired), 1);
	assert_int_equal(wheel_run(&w, 1000, 10, again, &fired), 1);
	assert_true(timer_armed(&t));
	wheel_cancel(&w, &t);
	assert_int_equal(wheel_run(&w, 1000, 10, again, &fired), 0);
}

/* Every timer is on the heap of its own; a call frees its timer and two more that are still armed. */
static struct timer *heap[64];

static void free_it(void *ctx, struct timer *t)
{
	unsigned i, others = 0;

	++*(unsigned *)ctx;
	for (i = 0; i < 64; i++) {
		if (heap[i] == NULL || (heap[i] != t && others == 2))
			continue;
		others += heap[i] != t;
		wheel_cancel(again_wheel, heap[i]);
		test_free(heap[i]);
		heap[i] = NULL;
	}
}

static void a_call_may_free_its_timer_and_others(void **state)
{
	static struct wheel w;
	unsigned fired = 0, i;

	(void)state;
	again_wheel = &w;
	wheel_init(&w, 0);
	for (i = 0; i < 64; i++) {
		heap[i] = test_calloc(1, sizeof(*heap[i]));
		wheel_set(&w, heap[i], i % 3 == 0 ? 100 : i * 40);
	}
	wheel_run(&w, 100000, 5, free_it, &fired);
	wheel_run(&w, 100000, 100, free_it, &fired);
	assert_int_equal(fired, 22); /* of 64, three at a time */
	assert_int_equal(w.armed, 0);
}

/* The naive model: an array that is searched. */
#define MODEL_TIMERS 200

struct model_timer {
	struct timer t;
	bool armed;
	uint64_t due;   /* the first run time at which it must fire */
	uint64_t expiry;
	uint64_t round; /* of the run in whose call it was armed, 0: outside */
};

struct model {
	struct wheel w;
	struct model_timer m[MODEL_TIMERS];
	uint64_t now, round;
	unsigned armed, fired;
	bool running;
};

static void model_set(struct model *s, struct model_timer *m, uint64_t expiry)
{
	wheel_set(&s->w, &m->t, expiry);
	s->armed += !m->armed;
	m->armed = true;
	m->expiry = expiry;
	m->due = expiry <= s->now ? 0 : tick_up(expiry);
	m->round = s->running ? s->round : 0;
}

static void model_cancel(struct model *s, struct model_timer *m)
{
	wheel_cancel(&s->w, &m->t);
	s->armed -= m->armed;
	m->armed = false;
}

static uint64_t model_expiry(struct model *s)
{
	switch (chance(5)) {
	case 0: return s->now - chance(s->now + 1); /* past */
	case 1: return s->now + chance(40);
	case 2: return s->now + chance(5000);
	case 3: return s->now + chance(200000); /* beyond a turn */
	default: return s->now + chance(UINT64_C(1) << 40);
	}
}

static void model_fire(void *ctx, struct timer *t)
{
	struct model *s = ctx;
	struct model_timer *m = (struct model_timer *)(void *)t;
	unsigned i;

	assert_true(m->armed);
	assert_true(m->expiry <= s->now); /* never early */
	assert_true(m->round != s->round); /* not one that this run armed */
	m->armed = false;
	s->armed--;
	s->fired++;
	for (i = (unsigned)chance(4); i > 0; i--) {
		struct model_timer *other = &s->m[chance(MODEL_TIMERS)];

		if (chance(2) == 0)
			model_cancel(s, other);
		else
			model_set(s, other, model_expiry(s));
	}
	if (chance(4) == 0)
		model_set(s, m, model_expiry(s));
}

static void model_check(struct model *s, bool complete)
{
	uint64_t soonest = UINT64_MAX, wait = wheel_wait(&s->w, s->now, 100000);
	unsigned i;

	assert_int_equal(s->w.armed, s->armed);
	for (i = 0; i < MODEL_TIMERS; i++) {
		struct model_timer *m = &s->m[i];

		assert_int_equal(timer_armed(&m->t), m->armed);
		if (!m->armed)
			continue;
		if (complete && m->round != s->round)
			assert_true(m->due > s->now); /* all that was due has fired */
		if (m->due < soonest)
			soonest = m->due;
	}
	if (s->armed == 0)
		assert_true(wait == UINT64_MAX);
	else if (soonest <= s->now)
		assert_int_equal(wait, 0);
	else
		assert_true(wait <= 100000 && s->now + wait <= soonest);
}

static void random_sequences_match_a_naive_model(void **state)
{
	static struct model s;
	unsigned trial, step, i, n, budget;

	(void)state;
	for (trial = 1; trial <= 60; trial++) {
		chance_seed = trial * UINT64_C(0x9e3779b97f4a7c15);
		memset(&s, 0, sizeof(s));
		s.now = chance(1000000);
		wheel_init(&s.w, s.now);
		for (step = 0; step < 300; step++) {
			for (i = (unsigned)chance(20); i > 0; i--) {
				struct model_timer *m = &s.m[chance(MODEL_TIMERS)];

				if (chance(4) == 0)
					model_cancel(&s, m);
				else
					model_set(&s, m, model_expiry(&s));
			}
			switch (chance(8)) {
			case 0: break;                                /* time stands still */
			case 1: s.now += chance(100000); break;          /* more than a turn */
			case 2: s.now += chance(UINT64_C(1) << 41); break; /* a jump */
			default: s.now += chance(100); break;
			}
			budget = chance(3) == 0 ? (unsigned)chance(10) + 1 : 100000;
			s.round++;
			s.fired = 0;
			s.running = true;
			n = wheel_run(&s.w, s.now, budget, model_fire, &s);
			s.running = false;
			assert_true(n >= s.fired);
			assert_true(n <= budget);
			model_check(&s, n < budget);
		}
		for (i = 0; i < MODEL_TIMERS; i++)
			model_cancel(&s, &s.m[i]);
		assert_int_equal(s.w.armed, 0);
		for (i = 0; i < WHEEL_SLOTS; i++)
			assert_null(s.w.slot[i]);
		for (i = 0; i < WHEEL_SLOTS / 64; i++)
			assert_true(s.w.used[i] == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_early_and_at_most_one_tick_late),
		cmocka_unit_test(a_past_expiry_fires_at_the_next_run),
		cmocka_unit_test(waiting_is_bounded_and_exact_within_a_turn),
		cmocka_unit_test(timers_of_later_turns_stay),
		cmocka_unit_test(a_budget_spreads_the_work_and_loses_nothing),
		cmocka_unit_test(timers_of_later_turns_are_passed_over_within_the_budget),
		cmocka_unit_test(a_jump_while_a_slot_is_looked_through_loses_nothing),
		cmocka_unit_test(a_timer_armed_in_the_past_by_its_call_waits_for_the_next_run),
		cmocka_unit_test(a_call_may_free_its_timer_and_others),
		cmocka_unit_test(random_sequences_match_a_naive_model),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
