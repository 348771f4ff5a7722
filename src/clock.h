/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock: the only place that asks the system for the time. Everything below the worker is handed
 * the time as an argument, so that the simulator can turn it.
 */
#ifndef DTLSD_CLOCK_H
#define DTLSD_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ms(void); /* CLOCK_MONOTONIC: timers, ages */
uint64_t clock_mono_ns(void);
uint64_t clock_wall_s(void);  /* CLOCK_REALTIME: time slots of cookie keys */
uint64_t clock_wall_ms(void); /* the same, finer: dates in the log */

/* For tests, before other threads start: the clocks come from these from now on (NULL: the system again). */
void clock_inject(uint64_t (*mono_ns)(void), uint64_t (*wall_s)(void));

#endif
