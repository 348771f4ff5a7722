/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source: one socket that speaks for thousands of peers. Bound to the wildcard address, it chooses a
 * 127.x.y.z for each datagram with packet info, and packet info says which peer an answer is for. So peers
 * can be mixed freely within one sendmmsg and one recvmmsg, and the generator stays cheaper than the server.
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

struct source *source_new(const struct sockaddr_in *server);
/* From now on only the first bytes of what arrives are copied: enough to count by. */
void source_skip_bodies(struct source *s, bool skip);
/* Sends n <= BATCH parcels. */
void source_send(struct source *s, const struct parcel *p, unsigned n);
/* Sleeps until something has come, at most so long. */
void source_wait(struct source *s, uint64_t ns);
/* At most BATCH parcels; data is valid until the next call. 0 when nothing waits. */
unsigned source_receive(struct source *s, struct parcel *p);

#endif
