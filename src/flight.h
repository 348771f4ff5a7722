/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flight: our current flight (RFC 6347 4.2.4), server's or client's, kept until the peer's answer, so that it can
 * be sent again: packed into as few datagrams as the MTU allows, fragmented anew when the MTU
 * shrinks, with fresh record sequence numbers in epoch 0. Pure: datagrams leave through a callback.
 *
 * GnuTLS hands over whole records, cut for an MTU that is not the path's; their epoch-0 record headers are
 * written anew here. Records of epoch 1 (the Finished) are protected and leave verbatim each time:
 * a byte-identical resend is safe for the nonce. Who wants them to be new records uses flight_each.
 */
#ifndef DTLSD_FLIGHT_H
#define DTLSD_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "classify.h"

#define FLIGHT_MTU_MIN 228      /* UDP payload: the smallest that flights are cut for */
#define FLIGHT_BYTES_MAX 131072 /* a flight that is larger is refused */

struct flight;

/* first_seq: sequence of the first epoch-0 record (a server's, by RFC 6347 4.2.1: that of the ClientHello). */
struct flight *flight_new(uint64_t first_seq);
void flight_free(struct flight *f);

/* The peer has answered: what is kept is dropped, and the next record begins a new flight. */
void flight_begin(struct flight *f);
/*
 * Appends what GnuTLS pushed: one or more whole records, of handshake, ChangeCipherSpec, alert or of a
 * later epoch. 0, -ENOMEM, -EMSGSIZE (FLIGHT_BYTES_MAX), -EBADMSG (not that); then nothing is appended.
 */
int flight_push(struct flight *f, const uint8_t *data, size_t len);
/* Nothing more will be appended: what the flight takes as one piece of memory. */
size_t flight_packed_size(const struct flight *f);
/* Moves it there. f is no more; what is returned lies in room, aligned as for malloc, and flight_free is not for it. */
struct flight *flight_pack(struct flight *f, void *room);
bool flight_empty(const struct flight *f);
bool flight_has_ccs(const struct flight *f); /* it ends our side of the handshake */

/*
 * Sends the part of the flight that was not sent yet (all of it after flight_rewind): calls out once per
 * datagram with at most mtu bytes; less than FLIGHT_MTU_MIN is taken as that. It makes as few datagrams as it
 * can, and messages that fit in one are cut only where that saves a datagram: some peers cannot put pieces
 * together that come in disorder or were cut differently the last time. A record that cannot be cut
 * (epoch 1) and is larger goes alone.
 * 0, or the first non-zero that out gave (the rest then counts as sent).
 */
int flight_send(struct flight *f, size_t mtu, int (*out)(void *ctx, const uint8_t *data, size_t len),
		void *ctx);
void flight_rewind(struct flight *f);
/* Calls each for every record kept; one of epoch 1 may be written anew in place, header included. */
void flight_each(struct flight *f, void (*each)(void *ctx, struct record *r), void *ctx);

/* Sequence that the next epoch-0 record would carry. */
uint64_t flight_next_seq(const struct flight *f);

#endif
