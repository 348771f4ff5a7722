/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The totals are two atomics; the addresses are in shards, each an open hash with linear probing and deletion by
 * shifting back, so that it holds no tombstones and may shrink. An address is known by its SipHash alone: a million
 * sessions may have a million of them, and two with the same 64 bits would only share a limit.
 *
 * A shard has its memory only while it has addresses, from mmap: small arrays that live long would hold back the
 * pages of malloc's heap that ended handshakes leave between them. When it grows or shrinks all of it moves; that is
 * one of CENSUS_SHARDS parts of all addresses, some tens of microseconds with a million of them.
 */
#include "census.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "siphash.h"

#define CENSUS_SHARD_BITS 6
#define CENSUS_SHARDS (1u << CENSUS_SHARD_BITS)
#define CENSUS_MIN_SLOTS 256 /* a page */

struct entry {
	uint64_t hash;   /* of the prefix */
	uint32_t count;  /* 0: free */
	uint32_t halves; /* of these, handshakes under way */
};

struct shard {
	pthread_mutex_t lock;
	struct entry *slot;
	uint32_t slots; /* power of two, or 0 */
	uint32_t used;
} __attribute__((aligned(64))); /* a lock of its own to each cache line */

struct census {
	struct shard shard[CENSUS_SHARDS];
	struct siphash_key key;
	unsigned ipv6_prefix;
	_Atomic uint32_t sessions, handshakes;
	_Atomic uint32_t max_sessions, max_handshakes, max_per_address, max_handshakes_per_address;
};

void census_set_limits(struct census *c, const struct census_limits *limits)
{
	atomic_store_explicit(&c->max_sessions, limits->sessions, memory_order_relaxed);
	atomic_store_explicit(&c->max_handshakes, limits->handshakes, memory_order_relaxed);
	atomic_store_explicit(&c->max_per_address, limits->sessions_per_address, memory_order_relaxed);
	atomic_store_explicit(&c->max_handshakes_per_address, limits->handshakes_per_address, memory_order_relaxed);
}

struct census *census_new(const struct census_limits *limits)
{
	struct census *c = aligned_alloc(_Alignof(struct census), sizeof(*c));
	ssize_t n;
	unsigned i;
	int rc;

	if (c == NULL)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->ipv6_prefix = limits->ipv6_prefix;
	n = getrandom(&c->key, sizeof(c->key), 0);
	assert(n == (ssize_t)sizeof(c->key)); /* so few bytes are never cut short or interrupted */
	(void)n;
	for (i = 0; i < CENSUS_SHARDS; i++) {
		rc = pthread_mutex_init(&c->shard[i].lock, NULL);
		assert(rc == 0);
		(void)rc;
	}
	census_set_limits(c, limits);
	return c;
}

void census_free(struct census *c)
{
	unsigned i;

	assert(atomic_load(&c->sessions) == 0 && atomic_load(&c->handshakes) == 0);
	for (i = 0; i < CENSUS_SHARDS; i++) {
		assert(c->shard[i].used == 0);
		pthread_mutex_destroy(&c->shard[i].lock);
	}
	free(c);
}

static uint64_t census_hash(const struct census *c, const struct addr *peer)
{
	struct addr prefix = addr_prefix(peer, c->ipv6_prefix);

	return siphash(&c->key, &prefix, sizeof(prefix));
}

static struct shard *shard_lock(struct census *c, uint64_t hash)
{
	struct shard *s = &c->shard[hash >> (64 - CENSUS_SHARD_BITS)];
	int rc = pthread_mutex_lock(&s->lock);

	assert(rc == 0);
	(void)rc;
	return s;
}

static void shard_unlock(struct shard *s)
{
	int rc = pthread_mutex_unlock(&s->lock);

	assert(rc == 0);
	(void)rc;
}

/* The entry of an address, or the free one where it belongs. NULL: no memory, or full. */
static struct entry *shard_find(const struct shard *s, uint64_t hash)
{
	uint32_t i, tries;

	for (tries = 0, i = (uint32_t)hash; tries < s->slots; tries++, i++) {
		struct entry *e = &s->slot[i & (s->slots - 1)];

		if (e->count == 0 || e->hash == hash)
			return e;
	}
	return NULL;
}

static void shard_unmap(struct shard *s)
{
	int rc = s->slots > 0 ? munmap(s->slot, s->slots * sizeof(*s->slot)) : 0;

	assert(rc == 0);
	(void)rc;
	s->slot = NULL;
	s->slots = 0;
}

static bool shard_resize(struct shard *s, uint32_t slots)
{
	struct shard to = { .slots = slots };
	uint32_t i;

	to.slot = mmap(NULL, slots * sizeof(*to.slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to.slot == MAP_FAILED)
		return false;
	for (i = 0; i < s->slots; i++) {
		const struct entry *e = &s->slot[i];

		if (e->count > 0)
			*shard_find(&to, e->hash) = *e;
	}
	shard_unmap(s);
	s->slot = to.slot;
	s->slots = slots;
	return true;
}

/* May an address have one more? With the lock held. session: that is already counted, only a handshake comes. */
static enum census_verdict shard_allows(const struct census *c, const struct entry *e, bool session)
{
	uint32_t sessions = atomic_load_explicit(&c->max_per_address, memory_order_relaxed);
	uint32_t handshakes = atomic_load_explicit(&c->max_handshakes_per_address, memory_order_relaxed);

	if (e == NULL)
		return CENSUS_OK;
	if (!session && sessions != 0 && e->count >= sessions)
		return CENSUS_ADDRESS;
	return handshakes != 0 && e->halves >= handshakes ? CENSUS_ADDRESS_HANDSHAKES : CENSUS_OK;
}

/* Counts one more of an address, with the lock held. */
static enum census_verdict shard_add(struct shard *s, uint64_t hash)
{
	struct entry *e = shard_find(s, hash);

	if (e != NULL && e->count > 0) {
		e->count++;
		e->halves++;
		return CENSUS_OK;
	}
	if (s->used + 1 > s->slots / 4 * 3) {
		/* without memory to grow the last slots are used too */
		(void)shard_resize(s, s->slots > 0 ? s->slots * 2 : CENSUS_MIN_SLOTS);
		e = shard_find(s, hash);
	}
	if (e == NULL)
		return CENSUS_MEMORY;
	*e = (struct entry){ .hash = hash, .count = 1, .halves = 1 };
	s->used++;
	return CENSUS_OK;
}

/* Frees a slot and moves back into it what was pushed past it: a search ends at the first free slot. */
static void shard_delete(struct shard *s, struct entry *e)
{
	uint32_t mask = s->slots - 1, hole = (uint32_t)(e - s->slot), i;

	e->count = 0;
	for (i = (hole + 1) & mask; s->slot[i].count != 0; i = (i + 1) & mask) {
		uint32_t home = (uint32_t)s->slot[i].hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue; /* its home lies after the hole */
		s->slot[hole] = s->slot[i];
		s->slot[i].count = 0;
		hole = i;
	}
	s->used--;
	if (s->used == 0)
		shard_unmap(s);
	else if (s->slots > CENSUS_MIN_SLOTS && s->used < s->slots / 4)
		(void)shard_resize(s, s->slots / 2);
}

/* Takes one of a total that max bounds. */
static bool total_take(_Atomic uint32_t *total, const _Atomic uint32_t *max)
{
	uint32_t limit = atomic_load_explicit(max, memory_order_relaxed);
	uint32_t old = atomic_load_explicit(total, memory_order_relaxed);

	do {
		if (old >= limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(total, &old, old + 1, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void total_give(_Atomic uint32_t *total)
{
	uint32_t old = atomic_fetch_sub_explicit(total, 1, memory_order_relaxed);

	assert(old > 0);
	(void)old;
}

/* Both totals and the address, with the lock held. */
static enum census_verdict admit_locked(struct census *c, struct shard *s, uint64_t hash)
{
	enum census_verdict verdict = shard_allows(c, shard_find(s, hash), false);

	if (verdict != CENSUS_OK)
		return verdict;
	if (!total_take(&c->sessions, &c->max_sessions))
		return CENSUS_SESSIONS;
	verdict = CENSUS_HANDSHAKES;
	if (total_take(&c->handshakes, &c->max_handshakes)) {
		verdict = shard_add(s, hash);
		if (verdict == CENSUS_OK)
			return CENSUS_OK;
		total_give(&c->handshakes);
	}
	total_give(&c->sessions);
	return verdict;
}

enum census_verdict census_admit(struct census *c, const struct addr *peer)
{
	uint64_t hash = census_hash(c, peer);
	struct shard *s = shard_lock(c, hash);
	enum census_verdict verdict = admit_locked(c, s, hash);

	shard_unlock(s);
	return verdict;
}

enum census_verdict census_again(struct census *c, const struct addr *peer)
{
	uint64_t hash = census_hash(c, peer);
	struct shard *s = shard_lock(c, hash);
	struct entry *e = shard_find(s, hash);
	enum census_verdict verdict;

	assert(e != NULL && e->count > 0);
	verdict = shard_allows(c, e, true);
	if (verdict == CENSUS_OK && !total_take(&c->handshakes, &c->max_handshakes))
		verdict = CENSUS_HANDSHAKES;
	if (verdict == CENSUS_OK)
		e->halves++;
	shard_unlock(s);
	return verdict;
}

void census_handshake_over(struct census *c, const struct addr *peer)
{
	uint64_t hash = census_hash(c, peer);
	struct shard *s = shard_lock(c, hash);
	struct entry *e = shard_find(s, hash);

	assert(e != NULL && e->count > 0 && e->halves > 0);
	e->halves--;
	shard_unlock(s);
	total_give(&c->handshakes);
}

void census_leave(struct census *c, const struct addr *peer)
{
	uint64_t hash = census_hash(c, peer);
	struct shard *s = shard_lock(c, hash);
	struct entry *e = shard_find(s, hash);

	assert(e != NULL && e->count > e->halves);
	if (e->count > 1)
		e->count--;
	else
		shard_delete(s, e);
	shard_unlock(s);
	total_give(&c->sessions);
}

uint32_t census_sessions(const struct census *c)
{
	return atomic_load_explicit(&c->sessions, memory_order_relaxed);
}

uint32_t census_handshakes(const struct census *c)
{
	return atomic_load_explicit(&c->handshakes, memory_order_relaxed);
}
