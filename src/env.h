/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * env: what everything on one worker shares: the time of this turn, the way out, the counters, the
 * cache of AEAD handles and the settings. Owned by the engine, lent downwards.
 */
#ifndef DTLSD_ENV_H
#define DTLSD_ENV_H

#include <stddef.h>
#include <stdint.h>

struct txq;
struct metrics;
struct record_cache;
struct bus;
struct service;
struct session_store;
struct steps;
struct upstream;
struct psk_asks;
struct inquiry;
struct tls_about;
struct desk;

#define ENV_SCRATCH (64 * 1024)

struct env {
	uint64_t now;  /* ms, monotonic */
	struct txq *txq;
	struct metrics *metrics;
	struct record_cache *cache;
	struct service *const *services; /* by listener; NULL: nobody is served there */
	struct session_store *store;  /* where sessions are kept */
	uint8_t *scratch;             /* ENV_SCRATCH bytes, free for the length of one call */
	struct bus *bus;              /* to the other workers */
	struct steps *steps;          /* the expensive ones that this turn still has */
	struct upstream *upstream;    /* to backends */
	struct psk_asks *asks;        /* programs that know pre-shared keys; NULL: none can be asked */
	struct inquiry *inquiry;      /* where these are asked about sessions that are there already */
	struct desk *desks;           /* to processes that serve all sessions of a service */
	const struct tls_about *about; /* while a handler that passes it on opens a session: its handshake */
};

#endif
