/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * siphash: SipHash-2-4 (Aumasson and Bernstein), the keyed hash of the session table. Without the
 * key a stranger cannot choose addresses that share a bucket.
 */
#ifndef DTLSD_SIPHASH_H
#define DTLSD_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1; /* the 16 key bytes read little-endian */
};

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
