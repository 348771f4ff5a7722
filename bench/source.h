/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source: one socket that speaks for thousands of peers. Bound to the wildcard address, it chooses a 127.x.y.z,
 * or an address of an IPv6 prefix that is routed to this machine, for each datagram with packet info, and packet
 * info says which peer an answer is for. So peers can be mixed freely within one sendmmsg and one recvmmsg, and
 * the generator stays cheaper than the server.
 */
#ifndef BENCH_SOURCE_H
#define BENCH_SOURCE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_PEERS_MAX (1u << 22)
#define SOURCE_BUFFER 65536

struct source;

/* One datagram, or a run of them: segment > 0 bytes each, the last may be shorter. */
struct parcel {
	uint32_t peer;
	uint16_t segment;
	uint8_t *data;
	size_t len; /* received: true length, also when source_skip_bodies cut the data short */
};

/* server: IPv4 as a mapped address. The peers are 127.64.0.1 and those that follow. */
struct source *source_new(const struct sockaddr_in6 *server);
/*
 * The peers are addresses of an IPv6 prefix, "fd64::/64"; a peer's number is added to the 32 bits behind it. So
 * they share a /64 with a prefix of 64 bits, and have one each with a prefix of 32.
 */
void source_prefix(struct source *s, const char *prefix);
/* Whether datagrams longer than the path's MTU leave in fragments; else they are an error, as at first. */
void source_fragment(struct source *s, bool fragment);
/* From now on only the first bytes of what arrives are copied: enough to count by. */
void source_skip_bodies(struct source *s, bool skip);
/* Sends n <= BATCH parcels. */
void source_send(struct source *s, const struct parcel *p, unsigned n);
/* Sleeps until something has come, at most so long. */
void source_wait(struct source *s, uint64_t ns);
/* At most BATCH parcels; data is valid until the next call. 0 when nothing waits. */
unsigned source_receive(struct source *s, struct parcel *p);

#endif
