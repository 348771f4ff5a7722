/* SPDX-License-Identifier: BSD-2-Clause */
/* held: a bounded number of datagrams that wait, in their order. */
#ifndef DTLSD_HELD_H
#define DTLSD_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELD_DATAGRAMS 32
#define HELD_BYTES 65536

struct held_datagram;

/* Begins all zero. */
struct held {
	struct held_datagram *first, *last;
	unsigned count;
	size_t bytes;
};

/* Takes a copy. false: there is no room for it. */
bool held_add(struct held *h, const uint8_t *data, size_t len);
/* Calls each for all of them in their order, then forgets them. */
void held_release(struct held *h, void (*each)(void *ctx, const uint8_t *data, size_t len), void *ctx);
/* Forgets them. How many that were. */
unsigned held_drop(struct held *h);

#endif
