/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node's bucket is named by the high bits of its hash, and a chain is kept in the order of hashes: the
 * whole table is one sorted sequence, whatever the number of buckets. Hence
 * - a resize moves the sequence from one array to another from its beginning on; one number, the frontier,
 *   says which array holds a hash, and moving appends to empty chains and never sorts;
 * - a walk's cursor is a hash, which means the same place before and after any resize.
 * Two flows with the same 64 bits of SipHash would be one place to a walk; a million flows hold such a pair
 * in one table of thirty million, and then a walk misses one of the two.
 */
#include "table.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define TABLE_MIN_BITS 9 /* one page of buckets */
#define TABLE_MAX_BITS 32
/*
 * Buckets of the smaller array moved by each insertion and removal. Growth is over after 1/8 of the
 * insertions that make the next one necessary, shrinking after half of the removals.
 */
#define TABLE_STEP 8
/* Buckets of the old array whose pages go back together: freeing megabytes at once would be a pause. */
#define TABLE_RELEASE 8192

struct buckets {
	struct table_node **chain;
	unsigned bits;
};

struct table {
	uint64_t frontier; /* hashes below it are in half[0], the others in half[1]; 0: no resize goes on */
	struct buckets half[2];
	struct siphash_key key;
	size_t count;
	size_t grow_at, shrink_at;
	uint64_t moved;
};

/* Arrays come from mmap: zeroed without a pass over them, and given back at once when they are freed. */
static bool buckets_map(struct buckets *b, unsigned bits)
{
	void *p = mmap(NULL, sizeof(struct table_node *) << bits, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	b->chain = p;
	b->bits = bits;
	return true;
}

static void buckets_unmap(struct buckets *b)
{
	int rc = munmap(b->chain, sizeof(struct table_node *) << b->bits);

	assert(rc == 0);
	(void)rc;
	b->chain = NULL;
}

static inline size_t buckets_index(const struct buckets *b, uint64_t hash)
{
	return (size_t)(hash >> (64 - b->bits));
}

static inline struct table_node **table_chain(const struct table *t, uint64_t hash)
{
	const struct buckets *b = &t->half[hash >= t->frontier];

	return &b->chain[buckets_index(b, hash)];
}

static void set_thresholds(struct table *t)
{
	unsigned bits = t->half[1].bits;

	t->grow_at = bits < TABLE_MAX_BITS ? (size_t)1 << bits : SIZE_MAX;
	t->shrink_at = bits > TABLE_MIN_BITS ? (size_t)1 << bits >> 2 : 0;
}

struct table *table_new(const struct siphash_key *key)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	if (!buckets_map(&t->half[1], TABLE_MIN_BITS)) {
		free(t);
		return NULL;
	}
	t->key = *key;
	set_thresholds(t);
	return t;
}

void table_free(struct table *t)
{
	assert(t->count == 0);
	if (t->frontier != 0)
		buckets_unmap(&t->half[0]);
	buckets_unmap(&t->half[1]);
	free(t);
}

size_t table_count(const struct table *t)
{
	return t->count;
}

uint64_t table_moved(const struct table *t)
{
	return t->moved;
}

/* Moves on by one bucket of the smaller array, which is two of the larger, and the frontier with it. */
static void move_bucket(struct table *t)
{
	struct buckets *to = &t->half[0], *from = &t->half[1];
	unsigned small = to->bits < from->bits ? to->bits : from->bits;
	uint64_t at = t->frontier, next = at + (UINT64_C(1) << (64 - small));
	size_t i = buckets_index(from, at), last = buckets_index(from, next - 1);
	size_t j = buckets_index(to, at);
	struct table_node **tail = &to->chain[j], *node;

	for (; i <= last; i++) {
		while ((node = from->chain[i]) != NULL) {
			from->chain[i] = node->next;
			if (buckets_index(to, node->hash) != j) {
				j = buckets_index(to, node->hash);
				tail = &to->chain[j];
			}
			node->next = NULL;
			*tail = node;
			tail = &node->next;
			t->moved++;
		}
		t->moved++;
	}
	t->frontier = next;
	if (i % TABLE_RELEASE == 0) /* advice: when it is refused, the pages go with the array */
		(void)madvise(from->chain + i - TABLE_RELEASE, TABLE_RELEASE * sizeof(*from->chain),
			      MADV_DONTNEED);
	if (next == 0) { /* wrapped: that was the last */
		buckets_unmap(from);
		*from = *to;
		set_thresholds(t);
	}
}

/* Begins a resize. A frontier above 0 says that one goes on. false: no memory, the old array serves on. */
static bool resize_begin(struct table *t, unsigned bits)
{
	if (!buckets_map(&t->half[0], bits))
		return false;
	move_bucket(t);
	return true;
}

static void resize_step(struct table *t)
{
	unsigned i;

	for (i = 0; i < TABLE_STEP && t->frontier != 0; i++)
		move_bucket(t);
	if (t->frontier != 0)
		return;
	/* what fails is not tried again at the very next call */
	if (t->count > t->grow_at) {
		if (!resize_begin(t, t->half[1].bits + 1))
			t->grow_at = t->count + t->count / 8;
	} else if (t->count < t->shrink_at) {
		if (!resize_begin(t, t->half[1].bits - 1))
			t->shrink_at = t->count - t->count / 8;
	}
}

uint64_t table_hash(const struct table *t, const struct flow *flow)
{
	return siphash(&t->key, flow, sizeof(*flow));
}

void table_expect_bucket(const struct table *t, uint64_t hash)
{
	__builtin_prefetch(table_chain(t, hash));
}

void table_expect_node(const struct table *t, uint64_t hash)
{
	__builtin_prefetch(*table_chain(t, hash));
}

struct table_node *table_with_hash(const struct table *t, uint64_t hash)
{
	struct table_node *n = *table_chain(t, hash);

	while (n != NULL && n->hash < hash)
		n = n->next;
	return n != NULL && n->hash == hash ? n : NULL;
}

struct table_node *table_find(const struct table *t, const struct flow *flow)
{
	uint64_t hash = table_hash(t, flow);
	struct table_node *n = table_with_hash(t, hash);

	for (; n != NULL && n->hash == hash; n = n->next) {
		if (flow_equal(&n->flow, flow))
			return n;
	}
	return NULL;
}

void table_insert(struct table *t, struct table_node *node)
{
	struct table_node **at;

	node->hash = table_hash(t, &node->flow);
	at = table_chain(t, node->hash);
	while (*at != NULL && (*at)->hash < node->hash)
		at = &(*at)->next;
	assert(*at == NULL || (*at)->hash != node->hash || !flow_equal(&(*at)->flow, &node->flow));
	node->next = *at;
	*at = node;
	t->count++;
	resize_step(t);
}

void table_remove(struct table *t, struct table_node *node)
{
	struct table_node **at = table_chain(t, node->hash);

	while (*at != NULL && *at != node)
		at = &(*at)->next;
	assert(*at == node);
	*at = node->next;
	node->next = NULL;
	t->count--;
	resize_step(t);
}

/* The first node whose hash is not below from. */
static struct table_node *first_from(const struct table *t, uint64_t from)
{
	for (;;) {
		const struct buckets *b = &t->half[from >= t->frontier];
		size_t i = buckets_index(b, from);
		struct table_node *n = b->chain[i];

		while (n != NULL && n->hash < from)
			n = n->next;
		if (n != NULL)
			return n;
		if (++i >> b->bits != 0)
			return NULL;
		/* a bucket of either array ends at the frontier or on one side of it */
		from = (uint64_t)i << (64 - b->bits);
	}
}

bool table_walk(struct table *t, uint64_t *cursor, size_t max,
		void (*visit)(void *ctx, struct table_node *node), void *ctx)
{
	uint64_t from = *cursor;
	size_t visited = 0;

	assert(max > 0);
	for (;;) {
		struct table_node *n = first_from(t, from);

		if (n == NULL)
			break;
		if (visited == max) {
			*cursor = n->hash;
			return true;
		}
		visited++;
		from = n->hash + 1;
		visit(ctx, n);
		if (from == 0)
			break;
	}
	*cursor = 0;
	return false;
}
