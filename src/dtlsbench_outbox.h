/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_outbox: what the clients say, until a batch of it is sent. Records of one client's flight share a
 * datagram, records of one length a message that the kernel cuts (UDP_SEGMENT).
 */
#ifndef DTLSD_DTLSBENCH_OUTBOX_H
#define DTLSD_DTLSBENCH_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtlsbench_source.h"

#define OUTBOX_ROOM (4 * 65536)

enum outbox_join {
	OUTBOX_APART,  /* a datagram of its own */
	OUTBOX_FLIGHT, /* in one datagram with what is before, as long as the MTU holds both */
	OUTBOX_RUN     /* a datagram of its own, in one message with those before */
};

struct outbox {
	struct source *source;
	size_t mtu;
	int error; /* the first failure of sending, -errno; nothing is sent after it */
	unsigned count;
	size_t used;
	struct parcel parcel[SOURCE_BATCH];
	uint8_t room[OUTBOX_ROOM];
};

void outbox_init(struct outbox *o, struct source *source, size_t mtu);
/* Where the next len bytes (at most SOURCE_MESSAGE_MAX) are to be written; valid until the next call. */
uint8_t *outbox_reserve(struct outbox *o, size_t len);
/* What was written there: len of them or fewer. */
void outbox_add(struct outbox *o, uint32_t peer, size_t len, enum outbox_join join);
/* Bytes that stay where they are until the next outbox_flush. */
void outbox_borrow(struct outbox *o, const struct parcel *p);
void outbox_flush(struct outbox *o);

#endif
