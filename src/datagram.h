/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram: what udp hands up and everybody else borrows. Valid until the call that got it returns.
 */
#ifndef DTLSD_DATAGRAM_H
#define DTLSD_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define LISTENERS_MOST 128 /* of a process; those that are about to go included */

struct datagram {
	struct flow flow;  /* local is the address that was spoken to, also on a wildcard socket */
	uint32_t listener; /* index of the listening address; the answer leaves from there */
	uint8_t *data;     /* writable: records are opened in place */
	size_t len;
	size_t segment;    /* 0: one datagram; else several of one peer (GRO), each so long, the last may be shorter */
};

#endif
