/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table: a hash table of flows, keyed with SipHash, that grows and shrinks a few buckets at a time, so
 * that no single insertion pauses for a rehash. Intrusive: a node is embedded in a session or handshake.
 * Not thread-safe: each worker has its own.
 */
#ifndef DTLSD_TABLE_H
#define DTLSD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "siphash.h"

struct table_node {
	struct table_node *next;
	uint64_t hash; /* the whole SipHash, set by table_insert: growth need not hash again */
	struct flow flow;
};

struct table;

struct table *table_new(const struct siphash_key *key); /* NULL: out of memory */
void table_free(struct table *t);                       /* asserts that it is empty */
size_t table_count(const struct table *t);
/* Buckets and nodes that resizes have moved so far: no insertion or removal moves many. */
uint64_t table_moved(const struct table *t);

struct table_node *table_find(const struct table *t, const struct flow *flow); /* NULL: none */
/*
 * For many look-ups at a time: the steps of table_find, so that the memory that one needs is fetched while the same step
 * is made for the others. table_with_hash: some node with that hash, as a rule the flow's; NULL: none.
 */
uint64_t table_hash(const struct table *t, const struct flow *flow);
void table_expect_bucket(const struct table *t, uint64_t hash);
void table_expect_node(const struct table *t, uint64_t hash);
struct table_node *table_with_hash(const struct table *t, uint64_t hash);
/* node->flow is set, and not in the table yet. Never fails: without memory to grow, chains get longer. */
void table_insert(struct table *t, struct table_node *node);
void table_remove(struct table *t, struct table_node *node); /* is in the table */

/*
 * Visits up to max (> 0) nodes from *cursor on (0 to begin) and moves it; visit may remove the node it is
 * given (and any other), and insert. Every node that stays from begin to end is visited at least once, also
 * while the table resizes. false: the round is complete.
 */
bool table_walk(struct table *t, uint64_t *cursor, size_t max,
		void (*visit)(void *ctx, struct table_node *node), void *ctx);

#endif
