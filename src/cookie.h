/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cookie: the keys of the stateless cookie (RFC 6347 4.2.1) and what they are bound to.
 *
 * The key of a time slot is HKDF-SHA256(master secret, slot number): nothing is stored or exchanged,
 * and every process with the same master and clock has the same keys. A cookie made in one slot is
 * good in that slot and the next, so it lives between one and two lifetimes.
 */
#ifndef DTLSD_COOKIE_H
#define DTLSD_COOKIE_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "wire.h"

#define COOKIE_MASTER_SIZE 32
#define COOKIE_KEY_SIZE 32

struct cookie_ring {
	uint8_t master[COOKIE_MASTER_SIZE];
	uint32_t lifetime_s;
	uint64_t slot; /* of current; UINT64_MAX before the first turn */
	uint8_t current[COOKIE_KEY_SIZE];
	uint8_t previous[COOKIE_KEY_SIZE];
};

/* lifetime_s >= 1. */
void cookie_init(struct cookie_ring *c, const uint8_t master[static COOKIE_MASTER_SIZE],
		 uint32_t lifetime_s);
/* Makes current and previous those of wall_s. Costs a comparison while the slot lasts. */
void cookie_turn(struct cookie_ring *c, uint64_t wall_s);
/* Overwrites the secrets. */
void cookie_wipe(struct cookie_ring *c);

/* What a cookie vouches for: both endpoints in canonical form and the ClientHello random. */
struct cookie_data {
	struct flow flow;
	uint8_t random[DTLS_RANDOM_SIZE];
};
void cookie_bind(struct cookie_data *d, const struct flow *flow, const uint8_t *random);

#endif
