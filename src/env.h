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
struct handler;
struct session_store;
struct steps;

#define ENV_SCRATCH (64 * 1024)

struct env {
	uint64_t now;  /* ms, monotonic */
	struct txq *txq;
	struct metrics *metrics;
	struct record_cache *cache;
	const struct handler *handler; /* of its sessions */
	struct session_store *store;  /* where they are kept */
	uint8_t *scratch;             /* ENV_SCRATCH bytes, free for the length of one call */
	struct bus *bus;              /* to the other workers */
	struct steps *steps;          /* the expensive ones that this turn still has */
	uint64_t idle_timeout_ms;      /* 0: never */
	uint64_t handshake_timeout_ms;
	size_t mtu;                    /* UDP payload that flights are first cut for */
};

#endif
