/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reassembly: puts the epoch-0 handshake messages of one peer in order and together (RFC 6347 4.2.2,
 * 4.2.3) before GnuTLS sees them: any order of messages and fragments, duplicates, overlaps, within
 * fixed bounds. Pure.
 */
#ifndef DTLSD_REASSEMBLY_H
#define DTLSD_REASSEMBLY_H

#include <stddef.h>
#include <stdint.h>

#include "classify.h"

#define REASSEMBLY_MESSAGES 8          /* message sequences held at a time, the next one included */
#define REASSEMBLY_MESSAGE_MAX 65536   /* bytes of one message: a lying length is refused */
#define REASSEMBLY_TOTAL_MAX 98304     /* bytes of memory held in all */
#define REASSEMBLY_GAPS_MAX 64         /* pieces that one message may lie in at a time */

struct reassembly;

/* The next message to be delivered has sequence first. NULL: out of memory. */
struct reassembly *reassembly_new(uint16_t first);
void reassembly_free(struct reassembly *r);

enum reassembly_verdict {
	REASSEMBLY_STORED,    /* something new */
	REASSEMBLY_DUPLICATE, /* nothing new; also a message delivered before */
	REASSEMBLY_TOO_FAR,   /* a sequence beyond the window */
	REASSEMBLY_TOO_LARGE, /* over a bound: a message, the sum, or too many pieces */
	REASSEMBLY_MISMATCH,  /* type or length differ from what an earlier fragment said */
	REASSEMBLY_MEMORY
};

/*
 * Takes a copy of the fragment; where it overlaps what is there, what came first stays. Memory grows
 * with the bytes received, not with the length claimed: at most 100 bytes more than them for each
 * piece. After any verdict but STORED all is as it was before.
 */
enum reassembly_verdict reassembly_add(struct reassembly *r, const struct handshake_fragment *f);

/*
 * The next message in order when it is complete: 12 header bytes as if unfragmented, then its body.
 * NULL: not complete. Valid until reassembly_pop, which moves on to the next sequence.
 */
const uint8_t *reassembly_next(struct reassembly *r, size_t *len);
void reassembly_pop(struct reassembly *r);

uint16_t reassembly_expected(const struct reassembly *r); /* sequence of the next message */
size_t reassembly_bytes(const struct reassembly *r);      /* held now */

#endif
