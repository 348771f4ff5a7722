/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_grant: what a session remembers of the credential that let its client in, small, so that after a reload it can be
 * asked whether the client would still come in: of a pre-shared key a keyed hash, of a certificate hashes of itself, of
 * its chain and of the CAs that vouch for it, and its names. Of who has neither nothing is kept.
 */
#ifndef DTLSD_TLS_GRANT_H
#define DTLSD_TLS_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "psk.h"
#include "psk_ask.h"
#include "siphash.h"
#include "tls_allowed.h"
#include "tls_raw.h"

#define TLS_GRANT_MAX 2048 /* bytes; what has no room is not let in by its names any more after a reload */

struct tls_grant {
	uint32_t psk;  /* tls_grant_key of its key; 0: it has none */
	uint16_t size; /* of what is used of the certificate's; 0: there is none */
	uint8_t certificate[TLS_GRANT_MAX];
};

struct tls_hashes {
	uint64_t *hash;
	size_t count, room;
};

/* Who is let in, for tls.c: begins all zero but for the key, which is the same over reloads. */
struct tls_grants {
	struct siphash_key key;
	struct tls_hashes cas, revoked;
	const struct tls_allowed *allowed;
	const struct tls_raw *raw;
	const struct psk_table *psks;     /* NULL: none */
	bool psk_program;                 /* a program is asked for those that are not there */
	gnutls_certificate_credentials_t certificate; /* that has the CAs; NULL: none */
	bool certificate_required;
};

/* While loading. 0, -ENOMEM; -EINVAL: not all of the list can be read. */
int tls_grants_add_ca(struct tls_grants *g, gnutls_x509_crt_t ca);
int tls_grants_add_crl(struct tls_grants *g, gnutls_x509_crl_t crl);
void tls_grants_loaded(struct tls_grants *g); /* that was all */
void tls_grants_clear(struct tls_grants *g);

/* Of a handshake that is done, resumed or not. told: the key that a program has told for it, NULL: none has. */
void tls_grant_take(const struct tls_grants *g, gnutls_session_t s, const struct psk_key *told, struct tls_grant *out);
uint32_t tls_grant_key(const struct tls_grants *g, const uint8_t *key, size_t len); /* not 0 */

enum tls_grant_verdict {
	TLS_GRANT_VOID,
	TLS_GRANT_GOOD,
	TLS_GRANT_ASK /* only a program knows its key, and says whether it is still the same */
};
/* certificate: as it was taken, NULL: none; psk, identity: likewise, and as tls_identity gave it. */
enum tls_grant_verdict tls_grant_check(const struct tls_grants *g, const uint8_t *certificate, uint32_t psk,
				       const char *identity);

#endif
