/* SPDX-License-Identifier: BSD-2-Clause */
#include "cookie.h"

#include <assert.h>
#include <string.h>

#include <nettle/hkdf.h>
#include <nettle/hmac.h>

#define COOKIE_LABEL "dtlsd cookie key"
#define COOKIE_NO_SLOT UINT64_MAX

/* The whole struct goes under a MAC, so no byte of it may be padding. */
static_assert(sizeof(struct addr) == 16 + 4 + 2 + 2, "struct addr has padding");
static_assert(sizeof(struct cookie_data) == 2 * sizeof(struct addr) + DTLS_RANDOM_SIZE,
	      "struct cookie_data has padding");
static_assert(COOKIE_MASTER_SIZE == SHA256_DIGEST_SIZE, "the absent salt is taken to be as long");

/* HKDF-SHA256 without a salt (RFC 5869 2.2: as many zeros as a hash has), info = label and slot. */
static void cookie_derive(const struct cookie_ring *c, uint64_t slot, uint8_t key[static COOKIE_KEY_SIZE])
{
	static const uint8_t no_salt[SHA256_DIGEST_SIZE];
	uint8_t info[sizeof(COOKIE_LABEL) - 1 + 8];
	uint8_t prk[SHA256_DIGEST_SIZE];
	struct hmac_sha256_ctx hmac;

	memcpy(info, COOKIE_LABEL, sizeof(COOKIE_LABEL) - 1);
	wire_put64(info + sizeof(COOKIE_LABEL) - 1, slot);
	hmac_sha256_set_key(&hmac, sizeof(no_salt), no_salt);
	hkdf_extract(&hmac, (nettle_hash_update_func *)hmac_sha256_update,
		     (nettle_hash_digest_func *)hmac_sha256_digest, sizeof(prk),
		     sizeof(c->master), c->master, prk);
	hmac_sha256_set_key(&hmac, sizeof(prk), prk);
	hkdf_expand(&hmac, (nettle_hash_update_func *)hmac_sha256_update,
		    (nettle_hash_digest_func *)hmac_sha256_digest, sizeof(prk), sizeof(info), info,
		    COOKIE_KEY_SIZE, key);
	explicit_bzero(&hmac, sizeof(hmac));
	explicit_bzero(prk, sizeof(prk));
}

static void cookie_enter(struct cookie_ring *c, uint64_t slot)
{
	c->slot = slot;
	cookie_derive(c, slot, c->current);
	cookie_derive(c, slot - 1, c->previous);
}

void cookie_init(struct cookie_ring *c, const uint8_t master[static COOKIE_MASTER_SIZE], uint32_t lifetime_s)
{
	assert(lifetime_s >= 1);
	memcpy(c->master, master, sizeof(c->master));
	c->lifetime_s = lifetime_s;
	/* Keys that nobody can guess, even if somebody forgets to turn the ring. */
	cookie_enter(c, COOKIE_NO_SLOT);
}

void cookie_turn(struct cookie_ring *c, uint64_t wall_s)
{
	uint64_t slot = wall_s / c->lifetime_s;

	if (slot != c->slot)
		cookie_enter(c, slot);
}

void cookie_wipe(struct cookie_ring *c)
{
	explicit_bzero(c->master, sizeof(c->master));
	explicit_bzero(c->current, sizeof(c->current));
	explicit_bzero(c->previous, sizeof(c->previous));
}

void cookie_bind(struct cookie_data *d, const struct flow *flow, const uint8_t *random)
{
	d->flow = *flow;
	memcpy(d->random, random, sizeof(d->random));
}
