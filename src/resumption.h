/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resumption: sessions of clients that do not take tickets, by session ID. One for the process, shared by
 * the workers under a mutex (asked only in a handshake), bounded in entries and bytes; the entry used
 * longest ago goes first. What it holds are master secrets: everything is wiped when it leaves.
 *
 * A session resumes without being verified again, so when trust changes all entries must go, and what
 * handshakes begun under the old trust still bring must not come in: every call names its generation.
 */
#ifndef DTLSD_RESUMPTION_H
#define DTLSD_RESUMPTION_H

#include <stdint.h>

#include <gnutls/gnutls.h>

#define RESUMPTION_KEY_MAX 32       /* a TLS session ID */
#define RESUMPTION_DATA_MAX 16384   /* one session; larger ones are not kept */
#define RESUMPTION_DATA_TYPICAL 2048 /* all together at most this times the entries */

struct resumption;

/* entries 0: keeps nothing. NULL: out of memory. */
struct resumption *resumption_new(uint32_t entries, uint32_t lifetime_s);
void resumption_free(struct resumption *r); /* NULL is fine */

/*
 * A new generation; the first one is 0. When somebody first asks with it all entries go, and it is the only one that is
 * served from then on: a reload that fails after this call has lost nothing.
 */
uint64_t resumption_renew(struct resumption *r);
uint64_t resumption_generation(struct resumption *r); /* the latest */

/* Entries held, expired ones that nobody asked for included. */
uint32_t resumption_count(struct resumption *r);

/* Copies both; replaces what the key had. 0, or -ESTALE, -EMSGSIZE, -ENOMEM, -ENOBUFS (keeps nothing). */
int resumption_store(struct resumption *r, uint64_t generation, const gnutls_datum_t *key,
		     const gnutls_datum_t *data);
/* A copy that the caller gives to gnutls_free; {NULL, 0} when unknown, expired or stale. */
gnutls_datum_t resumption_retrieve(struct resumption *r, uint64_t generation, const gnutls_datum_t *key);
/* 0, or -ENOENT. */
int resumption_remove(struct resumption *r, uint64_t generation, const gnutls_datum_t *key);

#endif
