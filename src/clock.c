/* SPDX-License-Identifier: BSD-2-Clause */
#include "clock.h"

#include <assert.h>
#include <stddef.h>
#include <time.h>

static uint64_t (*injected_mono_ns)(void);
static uint64_t (*injected_wall_s)(void);

static struct timespec now(clockid_t id)
{
	struct timespec t;
	int rc = clock_gettime(id, &t);

	assert(rc == 0); /* fails only for clocks that do not exist */
	(void)rc;
	return t;
}

uint64_t clock_mono_ns(void)
{
	struct timespec t;

	if (injected_mono_ns != NULL)
		return injected_mono_ns();
	t = now(CLOCK_MONOTONIC);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000u;
}

uint64_t clock_wall_ms(void)
{
	struct timespec t;

	if (injected_wall_s != NULL)
		return injected_wall_s() * 1000u;
	t = now(CLOCK_REALTIME);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

uint64_t clock_wall_s(void)
{
	return clock_wall_ms() / 1000u;
}

void clock_inject(uint64_t (*mono_ns)(void), uint64_t (*wall_s)(void))
{
	injected_mono_ns = mono_ns;
	injected_wall_s = wall_s;
}
