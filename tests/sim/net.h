/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net: a network in the process, with a clock that only moves when nothing else is left to do. Two
 * directions, each with its own faults; everything that happens follows from the seed.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

struct net_faults {
	unsigned loss;      /* of 1000 */
	unsigned duplicate; /* of 1000 */
	unsigned reorder;   /* of 1000: late by up to 80 ms */
	unsigned corrupt;   /* of 1000: one bit flipped */
	size_t mtu;         /* larger datagrams vanish; 0: none do */
	unsigned delay;     /* ms, on top of the 5 that every datagram takes */
};

struct net_packet {
	struct net_packet *next;
	uint64_t at;    /* ms, virtual */
	uint64_t order; /* ties: first sent, first served */
	struct flow flow; /* peer is the client, local the server */
	bool to_server;
	size_t len;
	uint8_t data[];
};

struct net {
	uint64_t now;   /* ms */
	uint64_t seed;
	uint64_t order;
	struct net_faults up, down; /* client to server, server to client */
	struct net_packet *queue;
	/* Sees every datagram before the faults do. True: it has dealt with it. NULL: nobody looks. */
	bool (*tap)(void *ctx, const struct flow *flow, bool to_server, const uint8_t *data, size_t len);
	void *tap_ctx;
	/* counted, for what a test wants to know */
	uint64_t sent_up, sent_down, lost, bytes_up, bytes_down;
	size_t largest_down;
};

void net_init(struct net *n, uint64_t seed);
void net_clear(struct net *n);
uint32_t net_random(struct net *n, uint32_t below);
void net_send(struct net *n, const struct flow *flow, bool to_server, const void *data, size_t len);
/* The next packet due at or before now, the caller frees it; NULL: none. */
struct net_packet *net_receive(struct net *n);
uint64_t net_next(const struct net *n); /* when the next one arrives; UINT64_MAX never */

#endif
