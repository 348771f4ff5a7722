/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsbench_source: the sockets of the load generator, which speak for up to millions of peers.
 *
 * A server on 127.0.0.0/8 sees each peer at an address of its own, 127.64.0.1 and up; so does a server that is asked
 * from an IPv6 prefix which is routed to this machine. One socket, bound to the wildcard address, chooses the address
 * for each datagram with packet info, and packet info says which peer an answer is for. Any other server sees one
 * source port for each peer, which costs a socket each. Peers may be mixed freely within one call of either direction.
 */
#ifndef DTLSD_DTLSBENCH_SOURCE_H
#define DTLSD_DTLSBENCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define SOURCE_BATCH 64
#define SOURCE_MESSAGE_MAX 65507
#define SOURCE_RUN_MAX 64 /* datagrams that UDP_SEGMENT makes of one message at most */
#define SOURCE_PEERS_MAX (1u << 22) /* 127.64.0.1 to 127.128.0.0 */

/* One datagram, or a run of them: segment > 0 bytes each, the last may be shorter. */
struct parcel {
	uint32_t peer;
	uint16_t segment;
	uint8_t *data;
	size_t len; /* received: true length, also when source_skip_bodies cut the data short */
};

struct source;

/*
 * Speaks for peers 0 to peers - 1. prefix, or NULL: "fd64::/64"; a peer's number is added to the 32 bits behind it, so
 * peers share a /64 with a prefix of 64 bits, and have one each with a prefix of 32. NULL: err says what and why.
 */
struct source *source_new(const struct addr *server, uint32_t peers, const char *prefix, char *err, size_t err_size);
void source_free(struct source *s);

/* Whether datagrams longer than the path's MTU leave in fragments; else they are an error, as at first. */
void source_fragment(struct source *s, bool fragment);

/* From now on only the first bytes of what arrives are copied: enough to count by. */
void source_skip_bodies(struct source *s, bool skip);
/*
 * Sends n <= SOURCE_BATCH parcels; waits while the kernel has no room. What a refusal (nobody listens) loses is
 * lost. 0, or the -errno of a failure that would repeat itself.
 */
int source_send(struct source *s, const struct parcel *p, unsigned n);
/* At most SOURCE_BATCH parcels; data is valid until the next call. 0 when nothing waits. */
unsigned source_receive(struct source *s, struct parcel *p);
/* Sleeps until something has come, at most so long. */
void source_wait(struct source *s, uint64_t ns);

#endif
