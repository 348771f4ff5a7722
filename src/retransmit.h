/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * retransmit: when our flight is sent again, and cut how small (RFC 6347 4.2.4, 4.1.1.1): on a timer that
 * doubles, at the peer's wish, at once when the kernel finds a datagram larger than the path. Pure: the time
 * is handed in, datagrams leave through flight's callback.
 */
#ifndef DTLSD_RETRANSMIT_H
#define DTLSD_RETRANSMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flight.h"

/* Bare, so that it lies in its owner. Times are in ms. */
struct retransmit {
	struct flight *flight;
	size_t mtu;      /* UDP payload that it is cut for now */
	bool mtu_told;   /* lowered by the kernel since the flight last left */
	bool unsent;     /* something has not left yet */
	bool lost;       /* a part of the flight could not be kept: memory, size */
	bool answered;   /* the owner sets it: the peer has begun its answer, what is pushed next begins a flight */
	uint64_t sent_at;
	uint64_t due;    /* when retransmit_tick is wanted; 0: never */
	uint64_t wait;   /* until it is sent again next */
	unsigned resends; /* for want of an answer */
};

typedef int (*retransmit_out)(void *ctx, const uint8_t *data, size_t len);

/* first_seq as flight_new has it. 0, -ENOMEM; retransmit_destroy is due in either case. */
int retransmit_init(struct retransmit *r, uint64_t first_seq, size_t mtu);
void retransmit_destroy(struct retransmit *r);

/* A part of the flight, as flight_push takes it. */
void retransmit_push(struct retransmit *r, const uint8_t *data, size_t len);
/* Sends what has not left yet. */
void retransmit_send(struct retransmit *r, uint64_t now, retransmit_out out, void *ctx);

/* Time passes: should the flight be sent again? Then retransmit_again is to be called. */
bool retransmit_tick(struct retransmit *r, uint64_t now);
/* The same when the peer repeats the end of its flight: ours was lost. */
bool retransmit_asked(const struct retransmit *r, uint64_t now);
/* Sends all of the flight, unasked or asked: what is asked for comes beside what is due, not in its place. */
void retransmit_again(struct retransmit *r, bool asked, uint64_t now, retransmit_out out, void *ctx);

/* A datagram was larger than the path: mtu fits, 0 unknown. The flight is due at once where that helps. */
void retransmit_too_large(struct retransmit *r, size_t mtu, uint64_t now);

#endif
