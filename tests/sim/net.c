/* SPDX-License-Identifier: BSD-2-Clause */
#include "net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void net_init(struct net *n, uint64_t seed)
{
	memset(n, 0, sizeof(*n));
	n->seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	n->now = 1000000;
}

void net_clear(struct net *n)
{
	struct net_packet *p;

	while ((p = n->queue)) {
		n->queue = p->next;
		free(p);
	}
}

/* xorshift64*: small, seeded, the same everywhere */
uint32_t net_random(struct net *n, uint32_t below)
{
	n->seed ^= n->seed >> 12;
	n->seed ^= n->seed << 25;
	n->seed ^= n->seed >> 27;
	return (uint32_t)((n->seed * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % below;
}

static bool happens(struct net *n, unsigned per_mille)
{
	return per_mille && net_random(n, 1000) < per_mille;
}

static void enqueue(struct net *n, const struct flow *flow, bool to_server, const void *data, size_t len,
		    const struct net_faults *f)
{
	struct net_packet **at = &n->queue, *p = malloc(sizeof(*p) + len);

	assert(p);
	p->flow = *flow;
	p->to_server = to_server;
	p->len = len;
	p->order = n->order++;
	p->at = n->now + 5 + f->delay + (happens(n, f->reorder) ? net_random(n, 80) : 0);
	memcpy(p->data, data, len);
	if (len && happens(n, f->corrupt))
		p->data[net_random(n, (uint32_t)len)] ^= (uint8_t)(1U << net_random(n, 8));
	while (*at && ((*at)->at < p->at || ((*at)->at == p->at && (*at)->order < p->order)))
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

void net_send(struct net *n, const struct flow *flow, bool to_server, const void *data, size_t len)
{
	const struct net_faults *f = to_server ? &n->up : &n->down;

	if (n->tap && n->tap(n->tap_ctx, flow, to_server, data, len))
		return;
	if (to_server) {
		n->sent_up++;
		n->bytes_up += len;
	} else {
		n->sent_down++;
		n->bytes_down += len;
		n->largest_down = len > n->largest_down ? len : n->largest_down;
	}
	if ((f->mtu && len > f->mtu) || happens(n, f->loss)) {
		n->lost++;
		return;
	}
	enqueue(n, flow, to_server, data, len, f);
	if (happens(n, f->duplicate))
		enqueue(n, flow, to_server, data, len, f);
}

struct net_packet *net_receive(struct net *n)
{
	struct net_packet *p = n->queue;

	if (!p || p->at > n->now)
		return NULL;
	n->queue = p->next;
	return p;
}

uint64_t net_next(const struct net *n)
{
	return n->queue ? n->queue->at : UINT64_MAX;
}
