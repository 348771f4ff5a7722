/* SPDX-License-Identifier: BSD-2-Clause */
/* chance: random numbers that are the same in each run. */
#ifndef DTLSD_TESTS_UNIT_CHANCE_H
#define DTLSD_TESTS_UNIT_CHANCE_H

#include <stdint.h>

static uint64_t chance_seed = 1; /* not 0 */

/* xorshift64*; below must not be 0. */
static inline uint64_t chance(uint64_t below)
{
	chance_seed ^= chance_seed >> 12;
	chance_seed ^= chance_seed << 25;
	chance_seed ^= chance_seed >> 27;
	return (chance_seed * UINT64_C(0x2545f4914f6cdd1d) >> 16) % below;
}

#endif
