/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tunnels: the local peers of a worker's connect services. Each address that sends datagrams to such a service has a
 * session of its own with the remote server (line), which begins with its first datagram and ends when both sides
 * have been silent for the idle time-out. What it sends meanwhile is held, a bounded number.
 *
 * A server that does not answer any more, or refuses, may have been restarted and lost its sessions: then a new one is
 * begun beside the old one, and takes its place when it is there.
 */
#ifndef DTLSD_TUNNELS_H
#define DTLSD_TUNNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datagram.h"
#include "env.h"
#include "siphash.h"
#include "table.h"
#include "wheel.h"

/* Datagrams of unix sockets have no flow: their peer is a name. */
struct tunnels_local {
	/* To the peer of that name; what it does not take is lost. In bytes, as the kernel has it: sun_path. */
	void (*send)(void *ctx, uint32_t listener, const char *name, size_t name_len, const void *data, size_t len);
	void *ctx;
};

struct tunnels {
	/* filled in by the owner before tunnels_init, borrowed */
	struct env *env;
	struct tunnels_local local;
	/* its own */
	struct siphash_key key, name_key;
	struct table *table;
	struct wheel timers;
	uint64_t cursor; /* of the round under way: drain, sweep */
};

/* Not to be moved afterwards. 0, -ENOMEM; tunnels_clear is due in either case. */
int tunnels_init(struct tunnels *t, uint64_t now_ms);
/* Ends all, with close_notify as far as the sockets take it, and frees what init made. */
void tunnels_clear(struct tunnels *t);

/* A datagram of a local peer, for a listener with a connect service. admit: whether one that is not known may come. */
void tunnels_datagram(struct tunnels *t, const struct flow *flow, uint32_t listener, bool admit, const uint8_t *data,
		      size_t len);
/* The same from a unix socket: by the name of the peer's socket. */
void tunnels_named(struct tunnels *t, const char *name, size_t name_len, uint32_t listener, bool admit,
		   const uint8_t *data, size_t len);

/* Timers: a bounded piece. true: there is more. */
bool tunnels_run(struct tunnels *t);
/* Milliseconds until tunnels_run is wanted, at most that; UINT64_MAX: there is nothing to wait for. */
uint64_t tunnels_wait(const struct tunnels *t, uint64_t limit_ms);

/*
 * A piece of a round over all: those of listeners that leave end, the others have their timers set anew. begun is the
 * caller's, false at first. true: there is more.
 */
bool tunnels_sweep(struct tunnels *t, bool *begun, const bool *leaving);
/* A piece of ending all. true: there is more. */
bool tunnels_drain(struct tunnels *t);
bool tunnels_none(const struct tunnels *t);

#endif
