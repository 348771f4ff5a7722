/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_shared: what resumption needs over reloads: the ticket key and the bounded cache of sessions for clients
 * without tickets, shared by the workers (mutex; asked only in a handshake). Lives as long as the process.
 */
#ifndef DTLSD_TLS_SHARED_H
#define DTLSD_TLS_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "resumption.h"
#include "siphash.h"
#include "tls_trust.h"

struct tls_shared;
struct tls_shared *tls_shared_new(uint32_t cache_entries, uint32_t lifetime_s); /* NULL: out of memory */
void tls_shared_free(struct tls_shared *s);

/* What one struct tls holds of it. */
struct tls_share {
	struct resumption *cache; /* NULL: no sessions are kept */
	uint64_t generation;      /* of the cache */
	gnutls_datum_t ticket_key;
	uint32_t lifetime_s;      /* 0: nothing is resumed */
};

/* What grants are hashed with (tls_grant.h). */
const struct siphash_key *tls_shared_hash_key(const struct tls_shared *s);

/*
 * When trust differs from what was seen last, the ticket key is another one and so is the cache's generation, so that
 * nobody who was removed can resume; who joined before goes on with what he has until a handshake uses these. 0 or
 * -ENOMEM; tls_share_clear in either case.
 */
int tls_share_join(struct tls_shared *s, const uint8_t trust[static TLS_TRUST_SIZE], struct tls_share *out);
void tls_share_clear(struct tls_share *s);

#endif
