/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * txq keeps its arena dense: datagram follows datagram without a gap, so that a run to one peer is one
 * piece of memory and one iovec. As a rule a flush empties the queue and everything starts at 0 again, in
 * memory that the cache still holds. Only when the kernel takes no more does a rest stay in front; it is
 * moved down once what left before it is worth the copying.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "txq.h"

/* Of the arena or the table, the part that must be free in front before the rest is moved down. */
#define TXQ_COMPACT_SHARE 4

int txq_init(struct txq *q, void (*flush)(void *ctx, struct txq *q), void *ctx)
{
	assert(flush != NULL);
	memset(q, 0, sizeof(*q));
	q->flush = flush;
	q->ctx = ctx;
	q->arena = malloc(TXQ_ARENA);
	q->entry = malloc(TXQ_ENTRIES * sizeof(*q->entry));
	if (q->arena == NULL || q->entry == NULL) {
		txq_destroy(q);
		return -ENOMEM;
	}
	return 0;
}

void txq_destroy(struct txq *q)
{
	free(q->arena);
	free(q->entry);
	memset(q, 0, sizeof(*q));
}

static bool txq_has_room(const struct txq *q, uint32_t entries, size_t bytes)
{
	return entries <= TXQ_ENTRIES - q->count && bytes <= TXQ_ARENA - q->used;
}

/*
 * Moves the waiting rest to the front. Only when a good part of the arena or the table is free there: a
 * socket that opens datagram by datagram must not cost a copy of the whole queue each time.
 */
static void txq_compact(struct txq *q)
{
	uint32_t gap = q->entry[q->first].offset;
	uint32_t i, left = q->count - q->first;

	if (gap < TXQ_ARENA / TXQ_COMPACT_SHARE && q->first < TXQ_ENTRIES / TXQ_COMPACT_SHARE)
		return;
	memmove(q->arena, q->arena + gap, q->used - gap);
	memmove(q->entry, q->entry + q->first, left * sizeof(*q->entry));
	for (i = 0; i < left; i++)
		q->entry[i].offset -= gap;
	q->used -= gap;
	q->first = 0;
	q->count = left;
}

bool txq_make_room(struct txq *q, uint32_t entries, size_t bytes)
{
	if (txq_has_room(q, entries, bytes))
		return true;
	txq_flush(q);
	if (!txq_empty(q) && !txq_has_room(q, entries, bytes))
		txq_compact(q);
	return txq_has_room(q, entries, bytes);
}

uint8_t *txq_reserve(struct txq *q, size_t len)
{
	assert(len <= TXQ_DATAGRAM_MAX);
	if (!txq_make_room(q, 1, len))
		return NULL;
	q->reserved = (uint32_t)len;
	return q->arena + q->used;
}

void txq_commit(struct txq *q, const struct flow *flow, uint32_t listener, size_t len, bool handshake)
{
	struct tx_entry *e;

	assert(len <= q->reserved && q->count < TXQ_ENTRIES);
	e = &q->entry[q->count++];
	e->flow = *flow;
	e->listener = listener;
	e->offset = q->used;
	e->len = (uint16_t)len;
	e->handshake = handshake;
	q->used += (uint32_t)len;
	q->reserved = 0;
}

void txq_flush(struct txq *q)
{
	q->reserved = 0; /* what was reserved and not committed is not sent */
	if (!txq_empty(q))
		q->flush(q->ctx, q);
}

void txq_sent(struct txq *q, uint32_t n)
{
	assert(n <= q->count - q->first);
	q->first += n;
	if (q->first == q->count) {
		q->first = 0;
		q->count = 0;
		q->used = 0;
		q->reserved = 0;
	}
}
