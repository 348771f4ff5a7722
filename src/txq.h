/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * txq: datagrams of one worker on their way out. They are written in place into one arena and leave
 * together at the end of a batch, so that runs to one peer lie next to each other for UDP_SEGMENT.
 * Pure: sending is a function that the owner gives (sendmmsg in the daemon, a list in the simulator).
 */
#ifndef DTLSD_TXQ_H
#define DTLSD_TXQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define TXQ_ARENA (512 * 1024)
#define TXQ_ENTRIES 1024
#define TXQ_DATAGRAM_MAX 65507

struct tx_entry {
	struct flow flow;  /* peer: to; local: from */
	uint32_t listener;
	uint32_t offset;   /* into the arena */
	uint16_t len;
	bool handshake;    /* part of a flight: EMSGSIZE is told to the handshake, no IP fragmentation */
};

struct txq {
	uint32_t first;    /* entries before it have left */
	uint32_t count;    /* entries, those that have left included */
	uint32_t used;     /* arena bytes */
	uint32_t reserved; /* bytes promised by the last txq_reserve */
	uint8_t *arena;
	struct tx_entry *entry;
	/* Sends what it can and calls txq_sent; what stays is tried again at the next flush. */
	void (*flush)(void *ctx, struct txq *q);
	void *ctx;
};

int txq_init(struct txq *q, void (*flush)(void *ctx, struct txq *q), void *ctx); /* 0, -ENOMEM */
void txq_destroy(struct txq *q);

/*
 * Room for a datagram of at most len bytes, flushing first when the arena or the table is full. NULL: still no
 * room (the kernel takes nothing now): the caller counts tx_queue_full and drops. One at a time.
 */
uint8_t *txq_reserve(struct txq *q, size_t len);
/* Queues the reserved datagram with its true length. */
void txq_commit(struct txq *q, const struct flow *flow, uint32_t listener, size_t len, bool handshake);
/* True: so many datagrams, with so many bytes in all, have room now; it flushes for that when it must. */
bool txq_make_room(struct txq *q, uint32_t entries, size_t bytes);
void txq_flush(struct txq *q); /* no-op when empty */
/* For flush: n entries from first on have left or were given up. */
void txq_sent(struct txq *q, uint32_t n);
static inline bool txq_empty(const struct txq *q) { return q->first == q->count; }
static inline const uint8_t *txq_data(const struct txq *q, const struct tx_entry *e)
{
	return q->arena + e->offset;
}

#endif
